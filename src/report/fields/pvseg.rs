//! Fields of parts of PVs.

use crate::report::value::Field;

pub const FIELDS: &[Field] = &[];
