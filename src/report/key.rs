//! What values are compared as, to be selected and sorted.
//!
//! LVM has a second value beside most that it shows: a name without its brackets, a number that is
//! 2^64 - 1 where nothing is known, a size of which nothing is known that is no number.

use super::value::{Field, Kind, Value};
use std::borrow::Cow;

/// Those that show the name of an LV, in brackets or after a `-` if it is hidden or history.
const NAMES: [&str; 8] =
    ["lv_name", "origin", "pool_lv", "data_lv", "metadata_lv", "mirror_log", "convert_lv", "lv_parent"];

/// Those are strings to LVM, which takes the bytes of the numbers for them when it sorts.
const DEVICE_NUMBERS: [&str; 2] = ["pv_major", "pv_minor"];

pub fn number(value: &Value<'_>) -> u64 {
    match value {
        Value::Number(number) | Value::Size(number) | Value::Percent(number) | Value::Word(_, number) => *number,
        Value::Time(seconds) => seconds.cast_unsigned(),
        Value::Flag(set, _) => u64::from(*set),
        Value::Undefined(_) | Value::Text(_) | Value::List(_) => u64::MAX,
    }
}

/// In sectors. `auto` is larger than any size, and what is undefined is no number.
pub fn size(value: &Value<'_>) -> f64 {
    match value {
        Value::Word(_, u64::MAX) => f64::MAX,
        Value::Undefined(_) | Value::Text(_) | Value::List(_) => f64::NAN,
        #[expect(clippy::cast_precision_loss, reason = "LVM compares sizes as doubles")]
        value => number(value) as f64,
    }
}

pub fn time(value: &Value<'_>) -> i64 {
    match value {
        Value::Undefined(_) => 0,
        value => number(value).cast_signed(),
    }
}

pub fn text<'v>(field: &Field, value: &'v Value<'_>) -> Cow<'v, [u8]> {
    match value {
        Value::Text(text) if NAMES.contains(&field.name) => Cow::Borrowed(bare_name(text)),
        Value::Text(text) => Cow::Borrowed(text),
        Value::Word(word, _) | Value::Undefined(word) | Value::Flag(true, word) => Cow::Borrowed(word.as_bytes()),
        Value::Flag(false, _) => Cow::Borrowed(b""),
        Value::Number(number) | Value::Size(number) | Value::Percent(number) => Cow::Owned(number.to_string().into()),
        Value::Time(seconds) => Cow::Owned(seconds.to_string().into()),
        Value::List(items) => Cow::Owned(items.join(&b","[..])),
    }
}

fn bare_name(shown: &[u8]) -> &[u8] {
    let inner = shown.strip_prefix(b"[").and_then(|name| name.strip_suffix(b"]"));
    inner.or_else(|| shown.strip_prefix(b"-")).unwrap_or(shown)
}

pub fn items<'v>(value: &'v Value<'_>) -> Vec<&'v [u8]> {
    match value {
        Value::List(items) => items.iter().map(|item| &**item).collect(),
        Value::Text(text) if !text.is_empty() => vec![text],
        Value::Word(word, _) => vec![word.as_bytes()],
        _ => Vec::new(),
    }
}

/// Adds a key to those of a row, so that memcmp of rows with the same fields is their order.
///
/// It is LVM's: strings by their bytes; numbers, sizes and times by what they are compared as, with
/// what is undefined at the end; percentages by the bytes of the number from the lowest one up to the
/// first zero, as LVM's sort takes them for strings. Lists stand in the order of their texts: LVM has
/// them in that of their addresses in memory.
pub fn push(field: &Field, value: &Value<'_>, descending: bool, out: &mut Vec<u8>) {
    let start = out.len();
    match field.kind {
        Kind::Number => out.extend_from_slice(&number(value).to_be_bytes()),
        Kind::Time => out.extend_from_slice(&time(value).cast_unsigned().to_be_bytes()),
        Kind::Size => {
            let size = size(value);
            let bits = if size.is_nan() { u64::MAX } else { size.to_bits() };
            out.extend_from_slice(&bits.to_be_bytes());
        }
        Kind::Percent => push_string(&number(value).to_le_bytes(), out),
        Kind::String if DEVICE_NUMBERS.contains(&field.name) => {
            let shown = std::str::from_utf8(&text(field, value)).ok().and_then(|text| text.parse::<i64>().ok());
            push_string(&shown.unwrap_or(-1).to_le_bytes(), out);
        }
        Kind::String | Kind::StringList => push_string(&text(field, value), out),
    }
    if descending {
        out[start..].iter_mut().for_each(|byte| *byte = !*byte);
    }
}

fn push_string(bytes: &[u8], out: &mut Vec<u8>) {
    let length = memchr::memchr(0, bytes).unwrap_or(bytes.len());
    out.extend_from_slice(&bytes[..length]);
    out.push(0);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text_value(text: &str) -> Value<'_> {
        Value::Text(Cow::Borrowed(text.as_bytes()))
    }

    fn check_order(name: &'static str, kind: Kind, ordered: &[Value<'_>]) {
        let field = Field::of_kind(name, kind);
        let key = |value: &Value<'_>, descending| {
            let mut key = Vec::new();
            push(&field, value, descending, &mut key);
            push(&field, &ordered[0], false, &mut key);
            key
        };
        for pair in ordered.windows(2) {
            assert!(key(&pair[0], false) < key(&pair[1], false), "{pair:?}");
            assert!(key(&pair[0], true) > key(&pair[1], true), "{pair:?}");
        }
    }

    #[test]
    fn each_kind_has_lvms_order() {
        check_order(
            "lv_uuid",
            Kind::String,
            &[text_value(""), text_value("A"), text_value("a"), text_value("a-"), text_value("b")],
        );
        check_order(
            "x",
            Kind::Number,
            &[Value::Flag(false, ""), Value::Number(1), Value::Number(256), Value::Undefined("-1")],
        );
        let sizes =
            [Value::Size(0), Value::Size(1), Value::Size(1 << 40), Value::Word("auto", u64::MAX), Value::Undefined("")];
        check_order("x", Kind::Size, &sizes);
        check_order("x", Kind::Time, &[Value::Undefined(""), Value::Time(1), Value::Time(1 << 33)]);
        check_order("pv_minor", Kind::String, &[text_value("768"), text_value("7"), text_value("760")]);
        // 100 % ends with a zero byte, 1 % is 0x0f4240.
        check_order(
            "x",
            Kind::Percent,
            &[Value::Percent(100_000_000), Value::Percent(1_000_000), Value::Undefined("")],
        );
    }

    #[test]
    fn names_are_compared_without_their_brackets() {
        let hidden = [text_value("a"), text_value("[b]"), text_value("-c"), text_value("d")];
        check_order("lv_name", Kind::String, &hidden);
        assert_eq!(&*text(&Field::of_kind("devices", Kind::String), &hidden[1]), b"[b]");
    }
}
