//! How VDO pools are set up.

use super::{bytes, number, other, seg, text};
use crate::report::model::lvs::{Kind, Settings, VdoSettings};
use crate::report::row::Row;
use crate::report::value::Value;

fn settings<'r>(row: &Row<'r>) -> Option<&'r VdoSettings> {
    let own = seg(row);
    let seg = if own.kind == Kind::Vdo { other(row, own.first_lv())?.first()? } else { own };
    match &seg.settings {
        Settings::VdoPool(settings) => Some(settings),
        _ => None,
    }
}

pub fn flag<'r>(row: &Row<'r>, part: fn(&VdoSettings) -> bool, word: &'static str) -> Value<'r> {
    settings(row).map_or(Value::Undefined(""), |vdo| Value::Flag(part(vdo), word))
}

pub fn number_of<'r>(row: &Row<'r>, part: fn(&VdoSettings) -> u64) -> Value<'r> {
    settings(row).map_or(Value::Undefined(""), |vdo| number(part(vdo)))
}

pub fn size<'r>(row: &Row<'r>, part: fn(&VdoSettings) -> u64) -> Value<'r> {
    settings(row).map_or(Value::Undefined(""), |vdo| Value::Size(part(vdo)))
}

pub fn mebibytes<'r>(row: &Row<'r>, part: fn(&VdoSettings) -> u64) -> Value<'r> {
    settings(row).map_or(Value::Undefined(""), |vdo| Value::Size(part(vdo).saturating_mul(2048)))
}

pub fn write_policy<'r>(row: &Row<'r>) -> Value<'r> {
    settings(row).map_or(text(""), |vdo| bytes(&vdo.write_policy))
}
