//! Selections are read or refused where the trouble is, and a negated one finds what it does not.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pvwatch::report::select::Selection;
use pvwatch::report::select::time::Utc;
use pvwatch::report::units::Units;
use pvwatch::report::value::{Field, Kind, Value};
use pvwatch::report::{fields, key};
use std::borrow::Cow;

fn look_up(name: &str) -> Result<&'static Field, String> {
    fields::all().find(|field| field.name == name).ok_or_else(String::new)
}

/// Something of the kind, or nothing.
fn value<'v>(field: &Field, number: u64, text: &'v [u8]) -> Value<'v> {
    match field.kind {
        _ if number % 7 == 0 => Value::Undefined(""),
        Kind::Number => Value::Number(number),
        Kind::Size => Value::Size(number),
        Kind::Percent => Value::Percent(number % 100_000_001),
        Kind::Time => Value::Time(number.cast_signed()),
        Kind::String => Value::Text(Cow::Borrowed(text)),
        Kind::StringList => Value::List(text.split(|&byte| byte == b',').map(Cow::Borrowed).collect()),
    }
}

fuzz_target!(|input: &[u8]| {
    let (number, text) = input.split_at(input.len().min(4));
    let number = number.iter().fold(1_u64, |number, byte| number.rotate_left(9) ^ u64::from(*byte));
    let now = Utc(i64::from(u32::try_from(number >> 32).unwrap_or_default()));
    let selection = match Selection::parse(text, &look_up, &now) {
        Ok(selection) => selection,
        Err(error) => {
            assert!(error.column <= text.len(), "{error}");
            return;
        }
    };
    let mut row = |field: &'static Field| value(field, number, text);
    let found = selection.matches(&mut row);
    for field in selection.fields() {
        let mut keys = Vec::new();
        key::push(field, &row(field), found, &mut keys);
        assert!(!keys.is_empty());
    }
    // A negation of a negation is one, so what has any is left alone; `all` is no comparison; and a
    // tab at the end belongs to a word, but before a parenthesis does not.
    let is_other_space = |byte: &u8| matches!(byte, b'\t'..=b'\r');
    if !text.contains(&b'!') && !text.iter().any(is_other_space) && !selection.fields().is_empty() {
        let negated = [b"!(", text, b")"].concat();
        if let Ok(negated) = Selection::parse(&negated, &look_up, &now) {
            assert_eq!(negated.matches(&mut row), !found);
        }
    }
    if let Ok(units) = Units::parse(text) {
        assert!(!units.show(number).is_empty());
    }
});
