//! `lv_attr`: ten characters that say what an LV is and what state it is in. By
//! `lv_attr_dup_with_info_and_seg_status` of lvm2's `lib/metadata/lv.c`.

use super::values::{lv, text};
use crate::report::live::status::{Cache, Snapshot, Thin, ThinPool};
use crate::report::live::{self, Info, Known, State};
use crate::report::model::lvs::{Allocation, Area, Lv, Settings, Status};
use crate::report::row::Row;
use crate::report::value::Value;
use std::borrow::Cow;

const POOL_METADATA: Status = Status::THIN_POOL_METADATA.or(Status::CACHE_POOL_METADATA);
const METADATA: Status =
    POOL_METADATA.or(Status::POOL_METADATA_SPARE).or(Status::RAID_META).or(Status::INTEGRITY_METADATA);
const CACHES: Status = Status::CACHE
    .or(Status::CACHE_POOL)
    .or(Status::CACHE_VOL)
    .or(Status::CACHE_POOL_DATA)
    .or(Status::CACHE_POOL_METADATA)
    .or(Status::WRITECACHE);
const CACHE_TARGETS: Status = Status::CACHE_POOL
    .or(Status::CACHE_VOL)
    .or(Status::CACHE)
    .or(Status::CACHE_ORIGIN)
    .or(Status::WRITECACHE)
    .or(Status::WRITECACHE_ORIGIN);
const RAID_TYPES: Status = Status::RAID.or(Status::RAID_IMAGE).or(Status::RAID_META);
/// They tell how they are.
const HAVE_HEALTH: Status = Status::CACHE.or(Status::THIN_POOL).or(Status::THIN_VOLUME).or(Status::WRITECACHE);
const MIRROR_TYPES: Status = Status::MIRROR.or(Status::MIRROR_LOG).or(Status::MIRROR_IMAGE).or(Status::PVMOVE);

pub fn lv_attr<'r>(row: &Row<'r>) -> Value<'r> {
    let Some(own) = row.lv else { return text("") };
    let known = live::known(row);
    let [state, open] = device(own, &known);
    let attr = vec![
        volume_type(row),
        permissions(own, &known.info),
        allocation(own),
        if own.is(Status::FIXED_MINOR) { b'm' } else { b'-' },
        state,
        open,
        target_type(own),
        if zeroes(row) { b'z' } else { b'-' },
        health(row, &known),
        if own.is(Status::ACTIVATION_SKIP) { b'k' } else { b'-' },
    ];
    Value::Text(Cow::Owned(attr))
}

fn volume_type(row: &Row) -> u8 {
    let lv = lv(row);
    let merging_or = |other| if lv.is(Status::MERGING) { b'O' } else { other };
    let unless_synced = |synced: u8| if lv.is(Status::NOTSYNCED) { synced.to_ascii_uppercase() } else { synced };
    let image = || if live::image_in_sync(row) { b'i' } else { b'I' };
    if lv.is(Status::PVMOVE) {
        b'p'
    } else if lv.is(Status::CONVERTING) {
        b'c'
    } else if lv.is_origin() || lv.is_external_origin() {
        merging_or(b'o')
    } else if lv.is(METADATA) {
        b'e'
    } else if lv.is(CACHES) {
        b'C'
    } else if lv.is(Status::INTEGRITY) {
        b'g'
    } else if lv.is(Status::RAID) {
        unless_synced(b'r')
    } else if lv.is(Status::MIRROR) {
        unless_synced(b'm')
    } else if lv.is(Status::THIN_VOLUME) {
        merging_or(if lv.is_merging_thin_snapshot() { b'S' } else { b'V' })
    } else if lv.is(Status::VDO_POOL) {
        b'd'
    } else if lv.is(Status::VDO_POOL_DATA) {
        b'D'
    } else if lv.is(Status::VIRTUAL) {
        b'v'
    } else if lv.is(Status::THIN_POOL) {
        b't'
    } else if lv.is(Status::THIN_POOL_DATA) {
        b'T'
    } else if lv.is(Status::MIRROR_IMAGE.or(Status::RAID_IMAGE)) {
        image()
    } else if lv.is(Status::MIRROR_LOG) {
        b'l'
    } else if lv.cow.is_some() {
        if lv.is_merging_cow() { b'S' } else { b's' }
    } else if lv.is(Status::CACHE_ORIGIN.or(Status::WRITECACHE_ORIGIN)) {
        b'o'
    } else {
        b'-'
    }
}

/// `R`: writable, but its device is not.
fn permissions(lv: &Lv, info: &Info) -> u8 {
    let written = if lv.is(Status::PVMOVE) {
        b'-'
    } else if lv.is(Status::WRITE) {
        b'w'
    } else if lv.is(Status::READ) {
        b'r'
    } else {
        b'-'
    };
    if written != b'r' && info.exists && info.read_only == Some(true) { b'R' } else { written }
}

fn allocation(lv: &Lv) -> u8 {
    let policy = match lv.allocation {
        Allocation::None => b'-',
        Allocation::Contiguous => b'c',
        Allocation::Cling => b'l',
        Allocation::Normal => b'n',
        Allocation::Anywhere => b'a',
        Allocation::Inherit => b'i',
    };
    if lv.is(Status::LOCKED) { policy.to_ascii_uppercase() } else { policy }
}

/// Its state, and whether it is open.
fn device(lv: &Lv, known: &Known) -> [u8; 2] {
    let info = &known.info;
    if lv.is_historical {
        return *b"h-";
    }
    if !info.is_known || known.state == State::Unknown {
        return *b"XX";
    }
    if !info.exists {
        return *b"--";
    }
    // Only their targets know whether they are lost, or must be checked.
    let depends = lv.cow.is_some() || lv.is(Status::THIN_POOL.or(Status::CACHE));
    let state = match (info.suspended, info.live_table, info.inactive_table) {
        _ if known.state == State::NotAsked && depends => b'X',
        (true, _, _) => b's',
        // sysfs has no word of tables; hardly any device is without.
        (false, Some(true) | None, _) => b'a',
        (false, Some(false), Some(true)) => b'i',
        (false, Some(false), _) => b'd',
    };
    let letter = |usual: u8, suspended: u8| if info.suspended { suspended } else { usual };
    let state = match &known.state {
        State::Is(live::Status::Snapshot(Snapshot::Invalid)) if info.live_table == Some(true) => letter(b'I', b'S'),
        State::Is(live::Status::Snapshot(Snapshot::MergeFailed)) if info.live_table == Some(true) => letter(b'm', b'M'),
        State::Is(live::Status::ThinPool(pool)) if lv.is(Status::THIN_POOL) && pool.needs_check() => letter(b'c', b'C'),
        State::Is(live::Status::Cache(cache)) if lv.is(Status::CACHE) && cache.needs_check() => letter(b'c', b'C'),
        _ => state,
    };
    let open = info.open.map_or(b'X', |open| if open { b'o' } else { b'-' });
    [state, open]
}

fn target_type(lv: &Lv) -> u8 {
    if lv.is(Status::THIN_POOL.or(Status::THIN_VOLUME)) {
        b't'
    } else if lv.is(CACHE_TARGETS) {
        b'C'
    } else if lv.is(RAID_TYPES) {
        b'r'
    } else if lv.is(MIRROR_TYPES) {
        b'm'
    } else if lv.cow.is_some() || lv.is_origin() {
        b's'
    } else if lv.is(Status::HAS_UNKNOWN) {
        b'u'
    } else if lv.is(Status::VIRTUAL) {
        b'v'
    } else {
        b'-'
    }
}

/// Of a thin pool, or that of a thin volume.
fn zeroes(row: &Row) -> bool {
    let lv = lv(row);
    let pool = if lv.is(Status::THIN_VOLUME) { row.lvs.and_then(|lvs| lvs.pool(lv)) } else { Some(lv) };
    let settings = pool.and_then(Lv::first).map(|first| &first.settings);
    matches!(settings, Some(Settings::ThinPool { zeroes: true, .. }))
}

pub fn is_partial(row: &Row) -> bool {
    let index = row.lvs.zip(row.lv).and_then(|(lvs, lv)| lvs.index(lv));
    row.lvs.zip(row.vg).zip(index).is_some_and(|((lvs, vg), index)| lvs.is_partial(vg, index))
}

fn health(row: &Row, known: &Known) -> u8 {
    let lv = lv(row);
    if is_partial(row) {
        b'p'
    } else if lv.is(RAID_TYPES) {
        raid_health(row, lv)
    } else {
        match &known.state {
            State::Is(status) => status_health(status),
            State::Unknown => b'X',
            State::NotAsked if lv.is(HAVE_HEALTH) => b'X',
            State::NotAsked | State::None => b'-',
        }
    }
}

fn raid_health(row: &Row, lv: &Lv) -> u8 {
    match live::is_healthy(row) {
        None => b'X',
        Some(false) => b'r',
        Some(true) if lv.is(Status::RAID) => {
            if live::mismatch_count(row).is_some_and(|count| count > 0) {
                b'm'
            } else if live::sync_action(row).as_deref() == Some("reshape") {
                b's'
            } else if has_emptied_images(row) {
                b'R'
            } else {
                b'-'
            }
        }
        Some(true) if lv.is(Status::WRITEMOSTLY) => b'w',
        Some(true) if lv.is(Status::REMOVE_AFTER_RESHAPE) => b'R',
        Some(true) => b'-',
    }
}

fn status_health(status: &live::Status) -> u8 {
    match status {
        live::Status::Cache(Cache::Failed | Cache::Error)
        | live::Status::ThinPool(ThinPool::Failed | ThinPool::Error)
        | live::Status::Thin(Thin::Failed) => b'F',
        live::Status::Cache(Cache::Works(cache)) if cache.read_only => b'M',
        live::Status::ThinPool(ThinPool::Works(pool)) if pool.out_of_data_space => b'D',
        live::Status::ThinPool(ThinPool::Works(pool)) if pool.read_only => b'M',
        live::Status::Writecache(cache) if cache.error > 0 => b'E',
        _ => b'-',
    }
}

/// A reshape has left some to be removed.
fn has_emptied_images(row: &Row) -> bool {
    let areas = lv(row).first().map_or(&[][..], |first| &first.areas);
    areas.iter().skip(1).any(|area| match *area {
        Area::Lv { lv, .. } => row.lvs.and_then(|lvs| lvs.lv(lv)).is_some_and(|lv| lv.is(Status::REMOVE_AFTER_RESHAPE)),
        Area::Pv { .. } | Area::Unassigned => false,
    })
}
