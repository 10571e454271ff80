//! Whether dmeventd watches a segment (`lvseg_monitor_dup` in lib/metadata/lv.c).

use super::devices::{Devices, Layer, own_suffix};
use super::{Monitored, Snapshot, known};
use crate::report::model::lvs::{Kind, Lv, Raid, Status};
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
    let can_be = match kind {
        Kind::Raid(raid) => !matches!(raid, Raid::Raid0 | Raid::Raid0Meta),
        Kind::Mirror | Kind::Snapshot | Kind::ThinPool | Kind::VdoPool => true,
        _ => false,
    };
    if !can_be || covers_its_origin(row, lv) {
        return None;
    }
    if segment.settings == crate::report::model::lvs::Settings::Pvmove {
        return Some("not monitored");
    }
    let devices = Devices::of(row)?;
    let live = devices.live()?;
    if !devices.device(lv, Layer::Own).info.exists {
        return None;
    }
    // dmeventd watches what is beneath an origin, and pools by the device that knows them.
    let uuid = devices.uuid(lv, if lv.is(Status::VDO_POOL) { None } else { own_suffix(lv) });
    Some(match live.monitored.get(&uuid) {
        Some(Monitored::Yes) => "monitored",
        Some(Monitored::Pending) => "pending",
        None => "not monitored",
    })
}
