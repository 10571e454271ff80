//! How tables of fields are written.

use crate::report::row::Row;
use crate::report::value::{Align, Field, Kind, Object, Value};

/// Aligned as LVM aligns its kind, and as wide as its heading.
pub const fn field(
    object: Object,
    kind: Kind,
    name: &'static str,
    heading: &'static str,
    help: &'static str,
    value: for<'r> fn(&Row<'r>) -> Value<'r>,
) -> Field {
    let align = match kind {
        Kind::Number | Kind::Size => Align::Right,
        Kind::Percent | Kind::String | Kind::StringList | Kind::Time => Align::Left,
    };
    Field { name, heading, width: heading.len(), align, kind, object, later: false, help, value }
}

/// At least that wide.
pub const fn wide(width: usize, field: Field) -> Field {
    Field { width, ..field }
}

/// Not in lvm2 2.03.16.
pub const fn later(field: Field) -> Field {
    Field { later: true, ..field }
}
