//! Fields that device-mapper tells.

use super::table::{field, later, wide};
use super::values::{lv, number, text};
use crate::report::live::{self, Cache, Discards, Info, Mismatches, Percent, Snapshot, State, ThinPool, known};
use crate::report::model::lvs::Status;
use crate::report::row::Row;
use crate::report::value::Kind::{Number, Percent as Percentage, Size, String, StringList};
use crate::report::value::{Field, Object, Value};
use std::borrow::Cow;

mod caches;
mod health;

const LV: Object = Object::Lv;
const INFO: Object = Object::LvInfo;
const STATUS: Object = Object::LvStatus;

const UNKNOWN: Value = Value::Undefined("unknown");
const NOTHING: Value = Value::Undefined("");
const MINUS_ONE: Value = Value::Undefined("-1");

pub const FIELDS: &[Field] = &[
    field(LV, String, "lv_active", "Active", "It has a device.", active),
    wide(
        10,
        field(LV, Number, "lv_active_locally", "ActLocal", "It has a device here.", |row| {
            is_active(row, "active locally")
        }),
    ),
    wide(
        10,
        field(LV, Number, "lv_active_remotely", "ActRemote", "It has one elsewhere; never.", |row| {
            if live::top(row).is_known { Value::Flag(false, "active remotely") } else { UNKNOWN }
        }),
    ),
    wide(
        10,
        field(LV, Number, "lv_active_exclusively", "ActExcl", "It has one here alone.", |row| {
            is_active(row, "active exclusively")
        }),
    ),
    field(LV, Number, "raid_mismatch_count", "Mismatches", "What a check of raid found to be different.", |row| {
        live::mismatch_count(row).map_or(NOTHING, number)
    }),
    field(LV, String, "raid_sync_action", "SyncAction", "What raid is doing to be in sync.", |row| {
        Value::Text(Cow::Owned(live::sync_action(row).unwrap_or_default().into_bytes()))
    }),
    field(LV, Number, "integritymismatches", "IntegMismatches", "Checksums that did not match.", |row| {
        match live::integrity_mismatches(row) {
            Some(Mismatches::Known(count)) => number(count),
            Some(Mismatches::Unknown) | None => NOTHING,
        }
    }),
    field(INFO, Number, "lv_kernel_major", "KMaj", "The major number of its device, or -1.", |row| {
        devno(row, |devno| devno.major)
    }),
    field(INFO, Number, "lv_kernel_minor", "KMin", "The minor number of its device, or -1.", |row| {
        devno(row, |devno| devno.minor)
    }),
    field(INFO, Size, "lv_kernel_read_ahead", "KRahead", "How far ahead the kernel reads.", |row| {
        of_device(row, |info| info.read_ahead).map_or(MINUS_ONE, Value::Size)
    }),
    wide(8, field(INFO, String, "lv_permissions", "LPerms", "Whether it can be written to.", permissions)),
    wide(
        10,
        field(INFO, Number, "lv_suspended", "Suspended", "I/O waits until it is resumed.", |row| {
            flag(of_device(row, |info| Some(info.suspended)), "suspended")
        }),
    ),
    wide(
        20,
        field(INFO, Number, "lv_live_table", "LiveTable", "Its device has a table that is used.", |row| {
            flag(of_device(row, |info| info.live_table), "live table present")
        }),
    ),
    wide(
        20,
        field(INFO, Number, "lv_inactive_table", "InactiveTable", "It has one that waits to be used.", |row| {
            flag(of_device(row, |info| info.inactive_table), "inactive table present")
        }),
    ),
    wide(
        10,
        field(INFO, Number, "lv_device_open", "DevOpen", "Somebody has it open.", |row| {
            flag(of_device(row, |info| info.open), "open")
        }),
    ),
    wide(6, field(STATUS, Percentage, "data_percent", "Data%", "How full a snapshot, pool or cache is.", data)),
    wide(6, field(STATUS, Percentage, "snap_percent", "Snap%", "How full a snapshot is.", data)),
    wide(6, field(STATUS, Percentage, "metadata_percent", "Meta%", "How full a pool's metadata LV is.", metadata)),
    field(STATUS, Percentage, "copy_percent", "Cpy%Sync", "How much of it is in sync, or moved.", copied),
    field(STATUS, Percentage, "sync_percent", "Cpy%Sync", "The same.", copied),
    field(STATUS, Number, "cache_total_blocks", "CacheTotalBlocks", "Blocks that a cache has.", |row| {
        caches::number_of(row, |cache| cache.total)
    }),
    wide(
        16,
        field(STATUS, Number, "cache_used_blocks", "CacheUsedBlocks", "Those that it uses.", |row| {
            caches::number_of(row, |cache| cache.used)
        }),
    ),
    field(STATUS, Number, "cache_dirty_blocks", "CacheDirtyBlocks", "Those that are not written back.", |row| {
        caches::number_of(row, |cache| cache.dirty)
    }),
    wide(
        16,
        field(STATUS, Number, "cache_read_hits", "CacheReadHits", "Reads that it answered.", |row| {
            caches::number_of(row, |cache| cache.read_hits)
        }),
    ),
    wide(
        16,
        field(STATUS, Number, "cache_read_misses", "CacheReadMisses", "Reads that it did not.", |row| {
            caches::number_of(row, |cache| cache.read_misses)
        }),
    ),
    wide(
        16,
        field(STATUS, Number, "cache_write_hits", "CacheWriteHits", "Writes that it took.", |row| {
            caches::number_of(row, |cache| cache.write_hits)
        }),
    ),
    field(STATUS, Number, "cache_write_misses", "CacheWriteMisses", "Writes that it did not.", |row| {
        caches::number_of(row, |cache| cache.write_misses)
    }),
    later(field(STATUS, Number, "cache_promotions", "CachePromotions", "Blocks that were moved into it.", |row| {
        caches::number_of(row, |cache| cache.promotions)
    })),
    later(field(STATUS, Number, "cache_demotions", "CacheDemotions", "Blocks that were moved out of it.", |row| {
        caches::number_of(row, |cache| cache.demotions)
    })),
    wide(
        18,
        field(STATUS, StringList, "kernel_cache_settings", "KCacheSettings", "How it is set up now.", |row| {
            caches::settings(row)
        }),
    ),
    later(field(STATUS, String, "kernel_cache_mode", "KCacheMode", "How it writes now.", caches::mode)),
    wide(18, field(STATUS, String, "kernel_cache_policy", "KCachePolicy", "Its policy now.", caches::policy)),
    field(STATUS, Number, "kernel_metadata_format", "KMFmt", "The format of its metadata.", caches::metadata_format),
    wide(15, field(STATUS, String, "lv_health_status", "Health", "What is wrong with it.", health::health)),
    field(STATUS, String, "kernel_discards", "KDiscards", "What a thin pool does with discards now.", discards),
    wide(15, field(STATUS, Number, "lv_check_needed", "CheckNeeded", "Its metadata must be checked.", check_needed)),
    wide(
        15,
        field(STATUS, Number, "lv_merge_failed", "MergeFailed", "Merging the snapshot failed.", |row| {
            snapshot(row, &Snapshot::MergeFailed, "merge failed")
        }),
    ),
    wide(
        15,
        field(STATUS, Number, "lv_snapshot_invalid", "SnapInvalid", "The snapshot is lost.", |row| {
            snapshot(row, &Snapshot::Invalid, "snapshot invalid")
        }),
    ),
    field(STATUS, String, "vdo_operating_mode", "VDOOperatingMode", "How a VDO pool works now.", |row| {
        caches::vdo(row, |pool| text(pool.mode))
    }),
    field(STATUS, String, "vdo_compression_state", "VDOCompressionState", "Whether it compresses now.", |row| {
        caches::vdo(row, |pool| text(pool.compression))
    }),
    field(STATUS, String, "vdo_index_state", "VDOIndexState", "Whether it knows what it has.", |row| {
        caches::vdo(row, |pool| text(pool.index))
    }),
    field(STATUS, Number, "vdo_used_size", "VDOUsedSize", "What it uses.", |row| {
        caches::vdo(row, |pool| Value::Size(pool.used.saturating_mul(8)))
    }),
    field(STATUS, Number, "vdo_saving_percent", "VDOSaving%", "What it need not store.", |row| {
        if lv(row).is(Status::VDO.or(Status::VDO_POOL)) { percentage(known(row).vdo_saving()) } else { NOTHING }
    }),
    field(STATUS, Number, "writecache_total_blocks", "WCacheTotalBlocks", "Blocks that a writecache has.", |row| {
        caches::writecache(row, |cache| cache.total)
    }),
    field(STATUS, Number, "writecache_free_blocks", "WCacheFreeBlocks", "Those that are free.", |row| {
        caches::writecache(row, |cache| cache.free)
    }),
    field(STATUS, Number, "writecache_writeback_blocks", "WCacheWritebackBlocks", "Those on the way out.", |row| {
        caches::writecache(row, |cache| cache.writeback)
    }),
    field(STATUS, Number, "writecache_error", "WCacheErrors", "The error that it has met, or 0.", |row| {
        caches::writecache(row, |cache| cache.error)
    }),
    field(Object::Seg, String, "seg_monitor", "Monitor", "Whether dmeventd watches it.", |row| {
        text(live::monitored(row).unwrap_or(""))
    }),
];

fn active<'r>(row: &Row<'r>) -> Value<'r> {
    let info = live::top(row);
    text(match (info.is_known, info.exists) {
        (false, _) => "unknown",
        (true, false) => "",
        (true, true) => "active",
    })
}

fn is_active<'r>(row: &Row<'r>, word: &'static str) -> Value<'r> {
    let info = live::top(row);
    if info.is_known { Value::Flag(info.exists, word) } else { UNKNOWN }
}

fn of_device<T>(row: &Row, part: fn(&Info) -> Option<T>) -> Option<T> {
    let info = live::info(row);
    part(&info).filter(|_| info.is_known && info.exists)
}

fn devno<'r>(row: &Row<'r>, part: fn(crate::devno::DevNo) -> u32) -> Value<'r> {
    of_device(row, |info| info.devno).map_or(MINUS_ONE, |devno| number(part(devno).into()))
}

fn flag<'r>(is: Option<bool>, word: &'static str) -> Value<'r> {
    is.map_or(UNKNOWN, |is| Value::Flag(is, word))
}

fn percentage<'r>(percent: Option<u64>) -> Value<'r> {
    percent.map_or(NOTHING, Value::Percent)
}

fn permissions<'r>(row: &Row<'r>) -> Value<'r> {
    let lv = lv(row);
    text(if lv.is(Status::PVMOVE) {
        ""
    } else if lv.is(Status::WRITE) {
        match of_device(row, |info| info.read_only) {
            None => "unknown",
            Some(true) => "read-only-override",
            Some(false) => "writeable",
        }
    } else if lv.is(Status::READ) {
        "read-only"
    } else {
        "unknown"
    })
}

fn data<'r>(row: &Row<'r>) -> Value<'r> {
    percentage(row.lvs.and_then(|lvs| known(row).percent(Percent::Data, lvs)))
}

fn metadata<'r>(row: &Row<'r>) -> Value<'r> {
    let known = known(row);
    let is_pool = matches!(known.state, State::Is(live::Status::Cache(_) | live::Status::ThinPool(_)));
    percentage(row.lvs.filter(|_| is_pool).and_then(|lvs| known.percent(Percent::Metadata, lvs)))
}

fn copied<'r>(row: &Row<'r>) -> Value<'r> {
    percentage(live::copy_percent(row))
}

fn discards<'r>(row: &Row<'r>) -> Value<'r> {
    text(match known(row).state {
        State::Is(live::Status::ThinPool(ThinPool::Works(pool))) => match pool.discards {
            Discards::Ignore => "ignore",
            Discards::NoPassdown => "nopassdown",
            Discards::Passdown => "passdown",
        },
        // What LVM makes of one that has failed.
        State::Is(live::Status::ThinPool(_)) => "ignore",
        State::Is(live::Status::Cache(Cache::Works(cache))) if cache.no_discard_passdown => "nopassdown",
        _ => "",
    })
}

fn check_needed<'r>(row: &Row<'r>) -> Value<'r> {
    let lv = lv(row);
    match known(row).state {
        State::Is(live::Status::ThinPool(pool)) if lv.is(Status::THIN_POOL) => {
            Value::Flag(pool.needs_check(), "check needed")
        }
        State::Is(live::Status::Cache(cache)) if lv.is(Status::CACHE) => {
            Value::Flag(cache.needs_check(), "check needed")
        }
        _ => UNKNOWN,
    }
}

fn snapshot<'r>(row: &Row<'r>, is: &Snapshot, word: &'static str) -> Value<'r> {
    known(row).snapshot().map_or(UNKNOWN, |snapshot| Value::Flag(snapshot == is, word))
}
