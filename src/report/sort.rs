//! Keys by which rows are sorted: bytes that compare as LVM compares the values.

use super::columns::Key;
use super::value::{Field, Kind, Value};

/// What a field that says nothing counts for, where numbers are compared.
const UNDEFINED: u64 = u64::MAX;

/// Adds what this value says to the key of its row.
///
/// LVM compares percentages and texts up to their first NUL, percentages as the bytes of a little
/// endian number; ours has the lists, of which LVM compares the addresses, in the order of their
/// texts.
pub fn add_key(out: &mut Vec<u8>, key: Key, field: &Field, value: &Value, text: &[u8]) {
    let start = out.len();
    match field.kind {
        Kind::Number | Kind::Size | Kind::Time => out.extend_from_slice(&number(value).to_be_bytes()),
        Kind::Percent => add_text(out, &number(value).to_le_bytes()),
        Kind::String => add_text(out, unmarked(field, text)),
        Kind::StringList => add_text(out, text),
    }
    if key.is_descending {
        out[start..].iter_mut().for_each(|byte| *byte = !*byte);
    }
}

fn add_text(out: &mut Vec<u8>, text: &[u8]) {
    let length = memchr::memchr(0, text).unwrap_or(text.len());
    out.extend_from_slice(&text[..length]);
    out.push(0);
}

/// The name of an LV that users do not see stands in brackets, and is compared without them.
pub fn unmarked<'t>(field: &Field, text: &'t [u8]) -> &'t [u8] {
    match text {
        [b'[', name @ .., b']'] if field.name == "lv_name" => name,
        text => text,
    }
}

#[allow(clippy::cast_sign_loss, reason = "LVM compares times as unsigned numbers")]
pub fn number(value: &Value) -> u64 {
    match value {
        Value::Number(number) | Value::Size(number) | Value::Percent(number) | Value::Word(_, number) => *number,
        Value::Time(seconds) => *seconds as u64,
        Value::Flag(is_set, _) => u64::from(*is_set),
        Value::Text(_) | Value::List(_) | Value::Undefined(_) => UNDEFINED,
    }
}
