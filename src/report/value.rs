//! What fields are, and what they hold.

use super::row::Row;
use std::borrow::Cow;

/// What a field belongs to. A report shows the most particular of those that its fields need.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Object {
    /// The device and its label.
    Label,
    Pv,
    Vg,
    Lv,
    /// An LV, by what device-mapper says of its device.
    LvInfo,
    /// An LV, by what device-mapper says of its targets.
    LvStatus,
    /// An LV, by both.
    LvInfoStatus,
    Seg,
    PvSeg,
    /// What a command did.
    Log,
}

/// How a field is compared, in the words of LVM's help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Number,
    /// In sectors.
    Size,
    Percent,
    String,
    StringList,
    Time,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    Left,
    Right,
}

/// A column of reports. Its name, heading, width and kind are those that LVM has.
pub struct Field {
    pub name: &'static str,
    pub heading: &'static str,
    /// Of the column, at least; 0 for that of the heading.
    pub width: usize,
    pub align: Align,
    pub kind: Kind,
    pub object: Object,
    /// Came after lvm2 2.03.16: there if asked for, and not in `all`.
    pub later: bool,
    /// In our words.
    pub help: &'static str,
    pub value: for<'r> fn(&Row<'r>) -> Value<'r>,
}

/// What a field holds in one row.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'v> {
    Text(Cow<'v, [u8]>),
    Number(u64),
    /// Sectors.
    Size(u64),
    /// In millionths of a percent, as device-mapper counts: 100 % is 100_000_000.
    Percent(u64),
    /// Seconds since 1970.
    Time(i64),
    List(Vec<Cow<'v, [u8]>>),
    /// Of a field that is set or not: whether, and the word that is shown for it.
    Flag(bool, &'static str),
    /// A word in place of a value, such as `auto` for a size or `unmanaged` for a number, and what
    /// it is compared as.
    Word(&'static str, u64),
    /// There is nothing to say; what is shown for it: mostly nothing, or `-1`, or `unknown`.
    Undefined(&'static str),
}

/// A field for tests, of which only these matter.
#[cfg(test)]
impl Field {
    pub const fn of_kind(name: &'static str, kind: Kind) -> Field {
        fn none<'r>(_: &Row<'r>) -> Value<'r> {
            Value::Undefined("")
        }
        let (align, object) = (Align::Left, Object::Lv);
        Field { name, heading: "", width: 0, align, kind, object, later: false, help: "", value: none }
    }
}
