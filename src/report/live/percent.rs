//! How full, or how far.

use super::known::{Known, State};
use super::status::{Cache, Snapshot, Status, Thin, ThinPool, VdoPool};
use crate::report::model::lvs::{Kind, Lvs, Settings};

/// As device-mapper counts: 100 %.
pub const FULL: u64 = 100_000_000;

/// Of blocks of VDO.
const VDO_BLOCK_SECTORS: u64 = 8;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Percent {
    Data,
    Metadata,
    /// Not written back, of a cache; of others, in sync.
    Dirty,
}

/// In millionths of a percent. Whatever is not nothing or all does not look like it.
#[expect(clippy::cast_precision_loss, reason = "it is what libdevmapper does")]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "casts of floats saturate")]
pub fn percent(part: u64, whole: u64) -> u64 {
    if whole == 0 || part == whole {
        return FULL;
    }
    if part == 0 {
        return 0;
    }
    match (FULL as f64 * (part as f64 / whole as f64)) as u64 {
        FULL => FULL - 1,
        0 => 1,
        percent => percent,
    }
}

impl Known<'_> {
    /// `lvseg_percent_with_info_and_seg_status` in lib/metadata/lv.c.
    pub fn percent(&self, which: Percent, lvs: &Lvs) -> Option<u64> {
        let State::Is(status) = &self.state else { return None };
        match (status, which) {
            (Status::Integrity(integrity), Percent::Dirty) if integrity.recalculated > 0 => {
                Some(percent(integrity.recalculated, integrity.provided))
            }
            (Status::Cache(Cache::Works(cache)), which) => Some(match which {
                Percent::Data => percent(cache.used, cache.total),
                Percent::Metadata => percent(cache.metadata_used, cache.metadata_total),
                Percent::Dirty if cache.used == 0 => 0,
                Percent::Dirty => percent(cache.dirty, cache.used),
            }),
            (Status::Writecache(cache), Percent::Data) => {
                Some(percent(cache.total.saturating_sub(cache.free), cache.total))
            }
            (Status::Raid(raid), Percent::Dirty) => Some(percent(raid.in_sync, raid.total)),
            (Status::Snapshot(snapshot), _) => match snapshot {
                Snapshot::MergeFailed => None,
                // How full nobody knows any more; what is full is invalid.
                Snapshot::Invalid => Some(FULL),
                // It tells neither number.
                Snapshot::Overflow => Some(percent(0, 0)),
                Snapshot::Works { used, metadata: Some(metadata), .. } if used == metadata => Some(0),
                Snapshot::Works { used, total, .. } => Some(percent(*used, *total)),
            },
            (Status::ThinPool(ThinPool::Works(pool)), which) => Some(match which {
                Percent::Metadata => percent(pool.metadata_used, pool.metadata_total),
                Percent::Data | Percent::Dirty => percent(pool.data_used, pool.data_total),
            }),
            (Status::Thin(Thin::Works { mapped }), Percent::Data) => Some(self.mapped(*mapped, lvs)),
            (Status::VdoPool(pool), _) => self.vdo_percent(pool, lvs),
            _ => None,
        }
    }

    /// Of a thin volume. Its pool gives it whole chunks, of which the last may be larger than the rest
    /// of the volume.
    fn mapped(&self, mapped: u64, lvs: &Lvs) -> u64 {
        let lv = self.segment.and_then(|segment| lvs.lv(segment.lv));
        let size = lv.map_or(0, |lv| lv.extents.saturating_mul(lvs.extent_size));
        let pool = self.segment.and_then(|segment| lvs.lv(segment.pool?)?.first());
        let chunk = pool.map_or(1, |pool| pool.chunk_size.max(1));
        let size = size.div_ceil(chunk).saturating_mul(chunk);
        percent(mapped.min(size), size)
    }

    fn vdo_percent(&self, pool: &VdoPool, lvs: &Lvs) -> Option<u64> {
        let used = self.vdo.filter(|_| pool.mode == "normal")?;
        let segment = self.segment?;
        if segment.kind == Kind::VdoPool {
            return Some(percent(pool.used, pool.total));
        }
        let pool = lvs.lv(segment.first_lv()?)?.first()?;
        let Settings::VdoPool(settings) = &pool.settings else { return None };
        let size = settings.virtual_extents.saturating_mul(lvs.extent_size);
        Some(percent(used.data_blocks.saturating_mul(VDO_BLOCK_SECTORS), size))
    }

    /// How much less a VDO pool needs than what was written to it.
    pub fn vdo_saving(&self) -> Option<u64> {
        let State::Is(Status::VdoPool(VdoPool { mode: "normal", .. })) = &self.state else { return None };
        let used = self.vdo?;
        Some(percent(used.logical_blocks.saturating_sub(used.data_blocks), used.logical_blocks))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_all_is_less() {
        for (part, whole, expected) in [
            (0, 5, 0),
            (5, 5, FULL),
            (0, 0, FULL),
            (3, 0, FULL),
            (1, 3, 33_333_333),
            (1, u64::MAX, 1),
            (u64::MAX - 1, u64::MAX, FULL - 1),
            (3, 2, 150_000_000),
        ] {
            assert_eq!(percent(part, whole), expected, "{part}/{whole}");
        }
        assert!(percent(u64::MAX, 1) > FULL);
    }
}
