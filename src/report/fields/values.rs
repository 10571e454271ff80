//! Values of common kinds.

use crate::report::model::lvs::Lv;
use crate::report::row::Row;
use crate::report::value::Value;
use std::borrow::Cow;

/// That of the row; in its place what LVM shows of what no LV uses.
pub(super) fn lv<'r>(row: &Row<'r>) -> &'r Lv {
    static FREE: Lv = Lv::FREE;
    row.lv.unwrap_or(&FREE)
}

pub(super) fn text(text: &str) -> Value<'_> {
    Value::Text(Cow::Borrowed(text.as_bytes()))
}

pub(super) fn bytes(bytes: &[u8]) -> Value<'_> {
    Value::Text(Cow::Borrowed(bytes))
}

pub(super) fn number<'r>(value: u64) -> Value<'r> {
    Value::Number(value)
}

pub(super) fn list(items: &[Vec<u8>]) -> Value<'_> {
    Value::List(items.iter().map(|item| Cow::Borrowed(&item[..])).collect())
}

pub(super) fn words<'r>(words: &[&'static str]) -> Value<'r> {
    Value::List(words.iter().map(|word| Cow::Borrowed(word.as_bytes())).collect())
}
