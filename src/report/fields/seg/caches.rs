//! How caches are set up: by their pool, or, without one, by themselves.

use super::{bytes, list, number, other, seg, text};
use crate::report::model::lvs::{CacheSettings, Kind, Segment, Settings, Status};
use crate::report::row::Row;
use crate::report::value::Value;

/// That has the settings.
pub fn segment<'r>(row: &Row<'r>) -> Option<&'r Segment> {
    let seg = seg(row);
    match seg.kind {
        Kind::CachePool => Some(seg),
        Kind::Cache => match other(row, seg.pool) {
            Some(pool) if !pool.is(Status::CACHE_VOL) => pool.first(),
            _ => Some(seg),
        },
        _ => None,
    }
}

fn cache<'r>(row: &Row<'r>) -> Option<&'r CacheSettings> {
    match &segment(row)?.settings {
        Settings::Cache(settings) => Some(settings),
        _ => None,
    }
}

pub fn format<'r>(row: &Row<'r>) -> Value<'r> {
    cache(row).and_then(|cache| cache.metadata_format).map_or(Value::Undefined(""), number)
}

pub fn mode<'r>(row: &Row<'r>) -> Value<'r> {
    text(cache(row).and_then(|cache| cache.mode).unwrap_or_default())
}

pub fn policy<'r>(row: &Row<'r>) -> Value<'r> {
    match cache(row).and_then(|cache| cache.policy.as_deref()) {
        Some(policy) => bytes(policy),
        None => Value::Undefined(""),
    }
}

pub fn settings<'r>(row: &Row<'r>) -> Value<'r> {
    if let Settings::Writecache { settings, .. } = &seg(row).settings {
        return list(settings);
    }
    cache(row).map_or(Value::List(Vec::new()), |cache| list(&cache.policy_settings))
}
