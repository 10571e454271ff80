//! Fields of LVs that the metadata tells.

mod names;
mod relations;

use super::table::{field, wide};
use super::values::{bytes, list, lv, number, text, words};
use crate::report::model::lvs::{Allocation, Lvs, Settings, Status};
use crate::report::row::Row;
use crate::report::value::Kind::{Number, Size, String, StringList, Time};
use crate::report::value::{Field, Object, Value};

const LV: Object = Object::Lv;

pub const FIELDS: &[Field] = &[
    wide(38, field(LV, String, "lv_uuid", "LV UUID", "What tells the LV from all others.", names::uuid)),
    wide(4, field(LV, String, "lv_name", "LV", "The name, in brackets if users do not see the LV.", names::name)),
    wide(4, field(LV, String, "lv_full_name", "LV", "The name behind that of the VG: VG/LV.", names::full_name)),
    field(LV, String, "lv_path", "Path", "What to open; of LVs that users see only.", names::path),
    field(LV, String, "lv_dm_path", "DMPath", "Its path under /dev/mapper.", names::dm_path),
    field(LV, String, "lv_parent", "Parent", "The LV that this one is a part of.", relations::parent),
    wide(10, field(LV, StringList, "lv_layout", "Layout", "How its data are laid out.", layout)),
    wide(10, field(LV, StringList, "lv_role", "Role", "What it is there for.", role)),
    wide(
        10,
        field(LV, Number, "lv_initial_image_sync", "InitImgSync", "Its images were made equal once.", initial_sync),
    ),
    wide(10, field(LV, Number, "lv_image_synced", "ImgSynced", "This image is equal to the others.", image_synced)),
    wide(10, field(LV, Number, "lv_merging", "Merging", "A snapshot is being merged into its origin.", merging)),
    field(LV, Number, "lv_converting", "Converting", "It is being made into another type.", |row| {
        flag(row, Status::CONVERTING, "converting")
    }),
    wide(10, field(LV, String, "lv_allocation_policy", "AllocPol", "Where extents for it are looked for.", allocation)),
    wide(
        10,
        field(LV, Number, "lv_allocation_locked", "AllocLock", "Its extents must stay where they are.", |row| {
            flag(row, Status::LOCKED, "allocation locked")
        }),
    ),
    wide(
        10,
        field(LV, Number, "lv_fixed_minor", "FixMin", "Its device has a number of its own.", |row| {
            flag(row, Status::FIXED_MINOR, "fixed minor")
        }),
    ),
    wide(
        15,
        field(LV, Number, "lv_skip_activation", "SkipAct", "It is left out when its VG is activated.", |row| {
            flag(row, Status::ACTIVATION_SKIP, "skip activation")
        }),
    ),
    field(LV, Number, "lv_autoactivation", "AutoAct", "It is activated as soon as its VG is there.", autoactivation),
    wide(15, field(LV, String, "lv_when_full", "WhenFull", "What a full thin pool does with writes.", when_full)),
    field(LV, Number, "lv_major", "Maj", "The major number asked for, or -1.", |row| devno(row, |(major, _)| major)),
    field(LV, Number, "lv_minor", "Min", "The minor number asked for, or -1.", |row| devno(row, |(_, minor)| minor)),
    field(LV, Size, "lv_read_ahead", "Rahead", "How far ahead is to be read.", read_ahead),
    field(LV, Size, "lv_size", "LSize", "How much it holds.", size),
    field(LV, Size, "lv_metadata_size", "MSize", "What the metadata LV of a pool holds.", metadata_size),
    field(LV, Number, "seg_count", "#Seg", "How many segments it has.", |row| {
        // LVM counts one of what is remembered only.
        let count = lv(row).segments.len().max(usize::from(lv(row).is_historical));
        number(u64::try_from(count).unwrap_or(u64::MAX))
    }),
    field(LV, String, "origin", "Origin", "What a snapshot or a cached LV has its data from.", relations::origin),
    wide(38, field(LV, String, "origin_uuid", "Origin UUID", "The uuid of that.", relations::origin_uuid)),
    field(LV, Size, "origin_size", "OSize", "What the origin of a snapshot holds.", relations::origin_size),
    field(LV, StringList, "lv_ancestors", "Ancestors", "Its origin, the origin of that, and so on.", |row| {
        relations::ancestors(row, false)
    }),
    field(LV, StringList, "lv_full_ancestors", "FAncestors", "The same, through LVs that are gone.", |row| {
        relations::ancestors(row, true)
    }),
    field(LV, StringList, "lv_descendants", "Descendants", "Its snapshots, theirs, and so on.", |row| {
        relations::descendants(row, false)
    }),
    field(LV, StringList, "lv_full_descendants", "FDescendants", "The same, through LVs that are gone.", |row| {
        relations::descendants(row, true)
    }),
    field(
        LV,
        Number,
        "raid_write_behind",
        "WBehind",
        "Writes that may wait for devices that are rarely read.",
        |row| raid(row, |raid| raid.write_behind),
    ),
    field(
        LV,
        Number,
        "raid_min_recovery_rate",
        "MinSync",
        "The least that recovery takes, in KiB/s a device.",
        |row| raid(row, |raid| raid.min_recovery_rate),
    ),
    field(LV, Number, "raid_max_recovery_rate", "MaxSync", "The most that recovery takes, in KiB/s a device.", |row| {
        raid(row, |raid| raid.max_recovery_rate)
    }),
    field(LV, String, "raidintegritymode", "IntegMode", "How checksums of its images are kept.", |row| {
        text(integrity(row).map_or("", |(mode, _)| mode))
    }),
    field(LV, Number, "raidintegrityblocksize", "IntegBlkSize", "Bytes that have one checksum.", |row| {
        integrity(row).filter(|(_, size)| *size > 0).map_or(Value::Undefined("-1"), |(_, size)| number(size))
    }),
    field(LV, String, "move_pv", "Move", "The PV that pvmove empties.", relations::move_pv),
    wide(38, field(LV, String, "move_pv_uuid", "Move UUID", "The uuid of that.", relations::move_pv_uuid)),
    field(LV, String, "convert_lv", "Convert", "What lvconvert has made for the time being.", relations::convert),
    wide(38, field(LV, String, "convert_lv_uuid", "Convert UUID", "The uuid of that.", relations::convert_uuid)),
    field(LV, String, "mirror_log", "Log", "Where a mirror notes what is equal.", relations::log),
    wide(38, field(LV, String, "mirror_log_uuid", "Log UUID", "The uuid of that.", relations::log_uuid)),
    field(LV, String, "data_lv", "Data", "Where a pool has its data.", relations::data),
    wide(38, field(LV, String, "data_lv_uuid", "Data UUID", "The uuid of that.", relations::data_uuid)),
    field(LV, String, "metadata_lv", "Meta", "Where a pool has its metadata.", relations::metadata),
    wide(38, field(LV, String, "metadata_lv_uuid", "Meta UUID", "The uuid of that.", relations::metadata_uuid)),
    field(LV, String, "pool_lv", "Pool", "The pool that it is in, or what it is cached in.", relations::pool),
    wide(38, field(LV, String, "pool_lv_uuid", "Pool UUID", "The uuid of that.", relations::pool_uuid)),
    field(LV, StringList, "lv_tags", "LV Tags", "Its tags.", |row| list(&lv(row).tags)),
    field(LV, String, "lv_profile", "LProfile", "The profile whose settings it has.", |row| bytes(&lv(row).profile)),
    field(LV, String, "lv_lockargs", "LLockArgs", "What lvmlockd keeps for it.", |row| bytes(&lv(row).lock_args)),
    wide(26, field(LV, Time, "lv_time", "CTime", "When it was made.", |row| time(lv(row).created))),
    wide(26, field(LV, Time, "lv_time_removed", "RTime", "When it was removed.", |row| time(lv(row).removed))),
    wide(10, field(LV, String, "lv_host", "Host", "Where it was made.", |row| bytes(&lv(row).host))),
    field(LV, StringList, "lv_modules", "Modules", "What device-mapper needs for it.", relations::modules),
    field(LV, Number, "lv_historical", "Historical", "It was removed, and is remembered only.", |row| {
        Value::Flag(lv(row).is_historical, "historical")
    }),
    field(LV, Number, "writecache_block_size", "WCacheBlkSize", "Bytes of a block of its writecache.", writecache),
    field(Object::LvInfoStatus, String, "lv_attr", "Attr", "What it is and what state it is in.", super::attr::lv_attr),
];

fn time<'r>(seconds: u64) -> Value<'r> {
    if seconds == 0 { Value::Word("", 0) } else { Value::Time(seconds.cast_signed()) }
}

fn flag<'r>(row: &Row<'r>, flag: Status, word: &'static str) -> Value<'r> {
    Value::Flag(lv(row).is(flag), word)
}

fn extents<'r>(row: &Row<'r>, count: u64) -> Value<'r> {
    Value::Size(count.saturating_mul(row.lvs.map_or(0, |lvs| lvs.extent_size)))
}

fn layout<'r>(row: &Row<'r>) -> Value<'r> {
    words(&Lvs::role(lv(row)).layout)
}

fn role<'r>(row: &Row<'r>) -> Value<'r> {
    words(&Lvs::role(lv(row)).role)
}

fn initial_sync<'r>(row: &Row<'r>) -> Value<'r> {
    let lv = lv(row);
    let is_synced = lv.is(Status::RAID.or(Status::MIRRORED)) && !lv.is(Status::NOTSYNCED);
    Value::Flag(is_synced, "initial image sync")
}

fn image_synced<'r>(row: &Row<'r>) -> Value<'r> {
    Value::Flag(crate::report::live::image_in_sync(row), "image synced")
}

fn merging<'r>(row: &Row<'r>) -> Value<'r> {
    let lv = lv(row);
    let is_merging = if lv.is_origin() || lv.is_external_origin() {
        lv.is(Status::MERGING)
    } else {
        lv.is_merging_cow() || lv.is_merging_thin_snapshot()
    };
    Value::Flag(is_merging, "merging")
}

fn allocation<'r>(row: &Row<'r>) -> Value<'r> {
    text(match lv(row).allocation {
        Allocation::None => "unknown",
        Allocation::Contiguous => "contiguous",
        Allocation::Cling => "cling",
        Allocation::Normal => "normal",
        Allocation::Anywhere => "anywhere",
        Allocation::Inherit => "inherit",
    })
}

fn autoactivation<'r>(row: &Row<'r>) -> Value<'r> {
    Value::Flag(!lv(row).is(Status::NOAUTOACTIVATE), "enabled")
}

fn when_full<'r>(row: &Row<'r>) -> Value<'r> {
    let lv = lv(row);
    text(match (lv.is(Status::THIN_POOL), lv.is(Status::ERROR_WHEN_FULL)) {
        (true, true) => "error",
        (true, false) => "queue",
        (false, _) => "",
    })
}

fn devno<'r>(row: &Row<'r>, part: fn((u64, u64)) -> u64) -> Value<'r> {
    lv(row).devno.map_or(Value::Undefined("-1"), |devno| number(part(devno)))
}

fn read_ahead<'r>(row: &Row<'r>) -> Value<'r> {
    lv(row).read_ahead.map_or(Value::Word("auto", u64::MAX), Value::Size)
}

/// Without what its devices have room for to be reshaped.
fn size<'r>(row: &Row<'r>) -> Value<'r> {
    let lv = lv(row);
    let room = lv.first().filter(|_| !lv.is(Status::RAID_IMAGE)).map_or(0, |first| {
        let areas = u64::try_from(first.areas.len()).unwrap_or(u64::MAX);
        let data = if areas > 2 { areas - first.kind.parity_devices() } else { 1 };
        first.reshape_length.saturating_mul(data)
    });
    extents(row, lv.extents.saturating_sub(room))
}

fn metadata_size<'r>(row: &Row<'r>) -> Value<'r> {
    if let Some(length) = cachevol_metadata(row) {
        return Value::Size(length);
    }
    let metadata = row.lvs.and_then(|lvs| lvs.metadata(lv(row)));
    metadata.map_or(Value::Undefined(""), |metadata| extents(row, metadata.extents))
}

/// In sectors, of a cache without a pool.
fn cachevol_metadata(row: &Row) -> Option<u64> {
    let lvs = row.lvs?;
    let own = lv(row);
    lvs.pool(own).filter(|pool| pool.is(Status::CACHE_VOL) && own.is(Status::CACHE))?;
    match &own.first()?.settings {
        Settings::Cache(settings) => Some(settings.metadata_length),
        _ => None,
    }
}

fn raid<'r>(row: &Row<'r>, part: fn(&crate::report::model::lvs::RaidSettings) -> u64) -> Value<'r> {
    match lv(row).first().map(|first| &first.settings) {
        Some(Settings::Raid(settings)) if part(settings) > 0 => number(part(settings)),
        _ => Value::Undefined(""),
    }
}

fn integrity(row: &Row) -> Option<(&'static str, u64)> {
    row.lvs?.integrity(lv(row))
}

fn writecache<'r>(row: &Row<'r>) -> Value<'r> {
    match lv(row).first().map(|first| &first.settings) {
        Some(Settings::Writecache { block_size: Some(size), .. }) => number(*size),
        _ => Value::Undefined("-1"),
    }
}
