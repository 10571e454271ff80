//! `lv_health_status`.

use super::{known, live, lv, text};
use crate::report::fields::attr::is_partial;
use crate::report::live::status::{Cache, ThinPool};
use crate::report::live::{Known, State};
use crate::report::model::lvs::{Lv, Status};
use crate::report::row::Row;
use crate::report::value::Value;

const RAID_TYPES: Status = Status::RAID.or(Status::RAID_IMAGE).or(Status::RAID_META);

pub fn health<'r>(row: &Row<'r>) -> Value<'r> {
    let lv = lv(row);
    text(if is_partial(row) {
        "partial"
    } else if lv.is(RAID_TYPES) {
        raid(row, lv)
    } else {
        of_target(lv, &known(row))
    })
}

fn raid(row: &Row, lv: &Lv) -> &'static str {
    match live::is_healthy(row) {
        None => "unknown",
        Some(false) => "refresh needed",
        Some(true) if lv.is(Status::RAID) => {
            if live::mismatch_count(row).is_some_and(|count| count > 0) {
                "mismatches exist"
            } else {
                ""
            }
        }
        Some(true) if lv.is(Status::WRITEMOSTLY) => "writemostly",
        Some(true) => "",
    }
}

fn of_target(lv: &Lv, known: &Known) -> &'static str {
    let State::Is(status) = &known.state else { return "" };
    match status {
        live::Status::Cache(cache) if lv.is(Status::CACHE) => match cache {
            Cache::Failed | Cache::Error => "failed",
            Cache::Works(cache) if cache.read_only => "metadata_read_only",
            Cache::Works(_) => "",
        },
        live::Status::Writecache(cache) if lv.is(Status::WRITECACHE) && cache.error > 0 => "error",
        live::Status::ThinPool(pool) if lv.is(Status::THIN_POOL) => match pool {
            ThinPool::Failed | ThinPool::Error => "failed",
            ThinPool::Works(pool) if pool.out_of_data_space => "out_of_data",
            ThinPool::Works(pool) if pool.read_only => "metadata_read_only",
            ThinPool::Works(_) => "",
        },
        _ => "",
    }
}
