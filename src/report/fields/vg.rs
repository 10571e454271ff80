//! Fields of VGs.

use crate::report::value::Field;

pub const FIELDS: &[Field] = &[];
