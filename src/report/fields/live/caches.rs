//! Of caches and VDO pools.

use super::{NOTHING, known, live, lv, number};
use crate::report::live::State;
use crate::report::live::status::{Cache, CacheState, VdoPool, Writecache};
use crate::report::model::lvs::Status;
use crate::report::row::Row;
use crate::report::value::Value;
use std::borrow::Cow;

/// `None`: it is none. What LVM shows of one that has failed is what it knows of it: nothing.
fn cache(row: &Row) -> Option<CacheState> {
    match known(row).state {
        State::Is(live::Status::Cache(Cache::Works(cache))) => Some(*cache),
        State::Is(live::Status::Cache(_)) => Some(CacheState::default()),
        _ => None,
    }
}

pub fn number_of<'r>(row: &Row<'r>, part: fn(&CacheState) -> u64) -> Value<'r> {
    cache(row).map_or(NOTHING, |cache| number(part(&cache)))
}

pub fn settings<'r>(row: &Row<'r>) -> Value<'r> {
    let settings = cache(row).map(|cache| cache.settings).unwrap_or_default().into_iter();
    Value::List(settings.map(|(name, value)| Cow::Owned(format!("{name}={value}").into_bytes())).collect())
}

pub fn policy<'r>(row: &Row<'r>) -> Value<'r> {
    Value::Text(Cow::Owned(cache(row).map(|cache| cache.policy).unwrap_or_default().into_bytes()))
}

pub fn mode<'r>(row: &Row<'r>) -> Value<'r> {
    Value::Text(Cow::Owned(cache(row).map(|cache| cache.mode).unwrap_or_default().into_bytes()))
}

pub fn metadata_format<'r>(row: &Row<'r>) -> Value<'r> {
    cache(row).map_or(NOTHING, |cache| number(if cache.metadata2 { 2 } else { 1 }))
}

pub fn writecache<'r>(row: &Row<'r>, part: fn(&Writecache) -> u64) -> Value<'r> {
    match known(row).state {
        State::Is(live::Status::Writecache(cache)) => number(part(&cache)),
        _ => NOTHING,
    }
}

pub fn vdo<'r>(row: &Row<'r>, part: fn(&VdoPool) -> Value<'static>) -> Value<'r> {
    match known(row).state {
        State::Is(live::Status::VdoPool(pool)) if lv(row).is(Status::VDO.or(Status::VDO_POOL)) => part(&pool),
        _ => NOTHING,
    }
}
