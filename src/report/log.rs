//! The report of what a command did: LVM's command log.

use super::value::{Align, Field, Kind, Object, Value};
use std::borrow::Cow;

/// One thing that was done or went wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    pub kind: &'static str,
    /// `vg`, `lv`, `pv`, `label` or `orphan`.
    pub object: &'static str,
    pub name: Vec<u8>,
    pub id: String,
    /// The VG that the object is of.
    pub group: Vec<u8>,
    pub group_id: String,
    pub message: String,
    pub errno: i32,
    pub status: u32,
}

macro_rules! field {
    ($name:literal, $heading:literal, $width:literal, $align:ident, $kind:ident, $help:literal) => {
        Field {
            name: $name,
            heading: $heading,
            width: $width,
            align: Align::$align,
            kind: Kind::$kind,
            object: Object::Log,
            later: false,
            help: $help,
            value: |_| Value::Undefined(""),
        }
    };
}

/// In the order of [`values`].
pub static FIELDS: [Field; 11] = [
    field!("log_seq_num", "Seq", 3, Right, Number, "The number of the entry."),
    field!("log_type", "LogType", 0, Left, String, "Whether something went wrong, or how something ended."),
    field!("log_context", "Context", 0, Left, String, "What was being done."),
    field!("log_object_type", "ObjType", 0, Left, String, "What kind of thing it is about."),
    field!("log_object_name", "ObjName", 0, Left, String, "The name of the thing."),
    field!("log_object_id", "ObjID", 7, Left, String, "The id of the thing."),
    field!("log_object_group", "ObjGrp", 7, Left, String, "The name of the VG that the thing is in."),
    field!("log_object_group_id", "ObjGrpID", 0, Left, String, "The id of that VG."),
    field!("log_message", "Msg", 7, Left, String, "What was said."),
    field!("log_errno", "Errno", 0, Right, Number, "The error's number."),
    field!("log_ret_code", "RetCode", 0, Right, Number, "What it ended with."),
];

/// Of an entry, in the order of the fields.
pub fn values(number: u64, entry: &Entry) -> [Value<'_>; 11] {
    let text = |text: &'static str| Value::Text(Cow::Borrowed(text.as_bytes()));
    let errno = if entry.errno < 0 { Value::Undefined("-1") } else { Value::Number(entry.errno.unsigned_abs().into()) };
    [
        Value::Number(number),
        text(entry.kind),
        text("processing"),
        text(entry.object),
        Value::Text(Cow::Borrowed(&entry.name)),
        Value::Text(Cow::Borrowed(entry.id.as_bytes())),
        Value::Text(Cow::Borrowed(&entry.group)),
        Value::Text(Cow::Borrowed(entry.group_id.as_bytes())),
        Value::Text(Cow::Borrowed(entry.message.as_bytes())),
        errno,
        Value::Number(entry.status.into()),
    ]
}

/// Of these values, that of the field.
pub fn value<'v>(values: &[Value<'v>; 11], field: &Field) -> Value<'v> {
    let at = FIELDS.iter().position(|known| std::ptr::eq(known, field));
    at.map_or(Value::Undefined(""), |at| values[at].clone())
}
