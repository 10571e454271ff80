//! Fields of PVs, and of their devices and labels.

use crate::report::value::Field;

pub const FIELDS: &[Field] = &[];
