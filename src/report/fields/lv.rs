//! Fields of LVs.

use crate::report::value::Field;

pub const FIELDS: &[Field] = &[];
