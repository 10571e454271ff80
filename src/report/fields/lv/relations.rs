//! What an LV is to others.

use super::extents;
use super::names::{shown, uuid_of};
use crate::report::fields::seg::device_name;
use crate::report::fields::values::{lv, text, words};
use crate::report::model::lvs::{Lv, Lvs};
use crate::report::row::Row;
use crate::report::value::Value;
use std::borrow::Cow;

fn related<'r>(row: &Row<'r>, find: fn(&'r Lvs, &'r Lv) -> Option<&'r Lv>) -> Value<'r> {
    row.lvs.and_then(|lvs| find(lvs, lv(row))).map_or(text(""), |found| shown(row, found))
}

fn related_uuid<'r>(row: &Row<'r>, find: fn(&'r Lvs, &'r Lv) -> Option<&'r Lv>) -> Value<'r> {
    row.lvs.and_then(|lvs| find(lvs, lv(row))).map_or(text(""), uuid_of)
}

macro_rules! relations {
    ($($name:ident, $uuid:ident = $find:path;)*) => {
        $(
            pub fn $name<'r>(row: &Row<'r>) -> Value<'r> {
                related(row, |lvs, lv| $find(lvs, lv))
            }

            pub fn $uuid<'r>(row: &Row<'r>) -> Value<'r> {
                related_uuid(row, |lvs, lv| $find(lvs, lv))
            }
        )*
    };
}

relations! {
    origin, origin_uuid = Lvs::origin;
    convert, convert_uuid = Lvs::convert;
    log, log_uuid = Lvs::mirror_log;
    data, data_uuid = Lvs::data;
    metadata, metadata_uuid = Lvs::metadata;
    pool, pool_uuid = Lvs::pool;
}

pub fn parent<'r>(row: &Row<'r>) -> Value<'r> {
    related(row, |lvs, lv| lvs.parent(lv))
}

pub fn origin_size<'r>(row: &Row<'r>) -> Value<'r> {
    match row.lvs.map_or(0, |lvs| lvs.origin_extents(lv(row))) {
        0 => Value::Word("", 0),
        count => extents(row, count),
    }
}

fn names<'r>(names: Vec<Vec<u8>>) -> Value<'r> {
    Value::List(names.into_iter().map(Cow::Owned).collect())
}

pub fn ancestors<'r>(row: &Row<'r>, full: bool) -> Value<'r> {
    names(row.lvs.map_or_else(Vec::new, |lvs| lvs.ancestors(lv(row), full)))
}

pub fn descendants<'r>(row: &Row<'r>, full: bool) -> Value<'r> {
    names(row.lvs.map_or_else(Vec::new, |lvs| lvs.descendants(lv(row), full)))
}

pub fn modules<'r>(row: &Row<'r>) -> Value<'r> {
    words(&row.lvs.map_or_else(Vec::new, |lvs| lvs.modules(lv(row))))
}

fn moved(row: &Row) -> Option<usize> {
    row.lvs?.moved_pv(lv(row))
}

pub fn move_pv<'r>(row: &Row<'r>) -> Value<'r> {
    moved(row).map_or(text(""), |pv| Value::Text(device_name(row, pv)))
}

pub fn move_pv_uuid<'r>(row: &Row<'r>) -> Value<'r> {
    let id = moved(row).and_then(|pv| row.vg?.vg.pvs.get(pv)?.id);
    id.map_or(text(""), |id| Value::Text(Cow::Owned(id.hyphenated())))
}
