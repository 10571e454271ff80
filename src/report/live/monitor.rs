//! Whether dmeventd watches a segment (`lvseg_monitor_dup` in lib/metadata/lv.c).

use super::devices::{Devices, Layer, own_suffix};
use super::{Monitored, Snapshot, known};
use crate::report::model::lvs::{Kind, Lv, Raid, Settings, Status};
use crate::report::row::Row;

/// How it is watched, in LVM's words; `None` if there is nothing to say.
pub fn monitored(row: &Row) -> Option<&'static str> {
    let (Some(lvs), Some(lv), Some(segment)) = (row.lvs, row.lv, row.segment.or(row.lv?.first())) else { return None };
    // A snapshot is watched as long as it is one.
    let is_snapshot = lv.cow.is_some_and(|cow| {
        let is_being_merged = || {
            let origin = lvs.lv(cow.origin);
            let known = origin.map(|origin| known(&Row { lv: Some(origin), segment: origin.first(), ..*row }));
            matches!(known.as_ref().and_then(|known| known.snapshot()), Some(Snapshot::Works { .. }))
        };
        !cow.is_merging || !is_being_merged()
    });
    let kind = if is_snapshot { Kind::Snapshot } else { segment.kind };
    let can_be = matches!(kind, Kind::Raid(_) | Kind::Mirror | Kind::Snapshot | Kind::ThinPool | Kind::VdoPool);
    // LVM could, and never does.
    let is_never = matches!(kind, Kind::Raid(Raid::Raid0 | Raid::Raid0Meta)) || segment.settings == Settings::Pvmove;
    if !row.marks.monitoring || !can_be || covers_its_origin(row, lv) {
        return None;
    }
    if is_never {
        return Some("not monitored");
    }
    let devices = Devices::of(row)?;
    let live = devices.live()?;
    if !devices.device(lv, Layer::Own).info.exists {
        return None;
    }
    // dmeventd watches what is beneath an origin, and pools by the device that knows them.
    let uuid = devices.uuid(lv, own_suffix(lv).filter(|_| !lv.is(Status::WRITECACHE_ORIGIN)));
    Some(match live.monitored.get(&uuid) {
        Some(Monitored::Yes) => "monitored",
        Some(Monitored::Pending) => "pending",
        None => "not monitored",
    })
}

/// A snapshot as large as this never fills up: all of its origin fits, and what tells where it is
/// (`_cow_max_size` in lib/metadata/snapshot_manip.c). Where the kernel was not asked, it may be one that
/// loses a little of the room.
fn covers_its_origin(row: &Row, lv: &Lv) -> bool {
    let Some((lvs, cow)) = row.lvs.zip(lv.cow) else { return false };
    let Some(origin) = lvs.lv(cow.origin) else { return false };
    let sectors = |extents: u64| extents.saturating_mul(lvs.extent_size);
    let chunk = cow.chunk_size.max(1);
    let data = sectors(origin.extents).div_ceil(chunk);
    // 16 bytes tell of a chunk.
    let told_in_one = chunk.saturating_mul(32);
    let chunks = data.saturating_add(data.saturating_add(told_in_one) / told_in_one).saturating_add(1);
    let lost = if row.live.is_some() { 0 } else { chunks.div_ceil(64) };
    sectors(lv.extents) >= chunks.saturating_add(lost).saturating_mul(chunk)
}
