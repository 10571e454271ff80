//! Fields of parts of PVs.

use super::lv::number;
use super::table::field;
use crate::report::value::Kind::Number;
use crate::report::value::{Field, Object};

pub const FIELDS: &[Field] = &[
    field(Object::PvSeg, Number, "pvseg_start", "Start", "The first extent of the PV that is in it.", |row| {
        number(row.pv_segment.map_or(0, |part| part.start))
    }),
    field(Object::PvSeg, Number, "pvseg_size", "SSize", "How many extents it has.", |row| {
        number(row.pv_segment.map_or(0, |part| part.length))
    }),
];
