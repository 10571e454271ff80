//! Fields of parts of PVs.

use crate::report::row::Row;
use crate::report::value::{Align, Field, Kind, Object, Value};

const fn field(
    heading: &'static str,
    name: &'static str,
    help: &'static str,
    value: for<'r> fn(&Row<'r>) -> Value<'r>,
) -> Field {
    let (kind, align) = (Kind::Number, Align::Right);
    Field { name, heading, width: 0, align, kind, object: Object::PvSeg, later: false, help, value }
}

pub const FIELDS: &[Field] = &[
    field("Start", "pvseg_start", "The first extent of the part, counted on the PV.", |row| {
        Value::Number(row.pv_segment.map_or(0, |segment| segment.start))
    }),
    field("SSize", "pvseg_size", "How many extents the part has.", |row| {
        Value::Number(row.pv_segment.map_or(0, |segment| segment.length))
    }),
];
