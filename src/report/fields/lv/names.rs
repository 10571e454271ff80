//! Names and paths of LVs.

use crate::report::fields::values::{bytes, lv, text};
use crate::report::model::lvs::{Lv, Status};
use crate::report::row::Row;
use crate::report::value::Value;
use std::borrow::Cow;

/// As reports name LVs: in brackets if users do not see it, with a `-` if it is remembered only.
pub fn shown<'r>(row: &Row<'r>, lv: &'r Lv) -> Value<'r> {
    if lv.is_historical {
        return Value::Text(Cow::Owned([b"-", &lv.name[..]].concat()));
    }
    if lv.is_visible || !row.marks.hidden {
        return bytes(&lv.name);
    }
    Value::Text(Cow::Owned([b"[", &lv.name[..], b"]"].concat()))
}

pub fn uuid<'r>(row: &Row<'r>) -> Value<'r> {
    row.lv.map_or(text(""), uuid_of)
}

pub fn uuid_of<'r>(lv: &Lv) -> Value<'r> {
    Value::Text(Cow::Owned(lv.id.hyphenated()))
}

pub fn name<'r>(row: &Row<'r>) -> Value<'r> {
    shown(row, lv(row))
}

fn vg_name<'r>(row: &Row<'r>) -> &'r [u8] {
    row.vg.map_or(b"", |vg| &vg.vg.name)
}

pub fn full_name<'r>(row: &Row<'r>) -> Value<'r> {
    Value::Text(Cow::Owned([vg_name(row), b"/", &lv(row).name].concat()))
}

pub fn path<'r>(row: &Row<'r>) -> Value<'r> {
    let lv = lv(row);
    if vg_name(row).is_empty() || !lv.is_visible || lv.is(Status::THIN_POOL) {
        return text("");
    }
    Value::Text(Cow::Owned([b"/dev/", vg_name(row), b"/", &lv.name].concat()))
}

pub fn dm_path<'r>(row: &Row<'r>) -> Value<'r> {
    if vg_name(row).is_empty() {
        return text("");
    }
    let mut path = b"/dev/mapper/".to_vec();
    double_hyphens(vg_name(row), &mut path);
    path.push(b'-');
    double_hyphens(&lv(row).name, &mut path);
    Value::Text(Cow::Owned(path))
}

/// A single one stands between the names of the VG and the LV.
fn double_hyphens(name: &[u8], out: &mut Vec<u8>) {
    for &byte in name {
        out.push(byte);
        if byte == b'-' {
            out.push(byte);
        }
    }
}
