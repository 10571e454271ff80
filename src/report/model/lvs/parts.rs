//! Single LVs that another has to do with, as reports name them.

use super::{Area, Kind, Lv, LvIndex, Lvs, Segment, Settings, Status};
use std::collections::HashSet;

/// Segments that are looked at for what an LV needs of device-mapper. A text may stack LVs as high
/// as it likes.
const LOOKED_AT_MAX: usize = 10_000;

const IMAGES: Status = Status::MIRROR_IMAGE.or(Status::MIRROR_LOG).or(Status::RAID_IMAGE).or(Status::RAID_META);
const POOL_PARTS: Status =
    Status::CACHE_POOL_DATA.or(Status::CACHE_POOL_METADATA).or(Status::THIN_POOL_DATA).or(Status::THIN_POOL_METADATA);

impl Lvs {
    /// The segment that alone uses the LV.
    pub fn only_user(&self, lv: &Lv) -> Option<&Segment> {
        let [user] = &lv.users[..] else { return None };
        self.lv(user.lv).filter(|_| user.times == 1)?.segments.get(user.segment)
    }

    pub fn parent(&self, lv: &Lv) -> Option<&Lv> {
        if lv.is_visible || !lv.is(IMAGES.or(POOL_PARTS)) {
            return None;
        }
        self.lv(self.only_user(lv)?.lv)
    }

    pub fn origin(&self, lv: &Lv) -> Option<&Lv> {
        if let Some(cow) = lv.cow {
            return self.lv(cow.origin);
        }
        let first = lv.first()?;
        let index = match first.kind {
            Kind::Cache if !lv.is(Status::PENDING_DELETE) => first.first_lv(),
            Kind::Thin => first.origin.or(first.external_origin),
            Kind::Writecache | Kind::Integrity => first.origin,
            _ => None,
        };
        self.lv(index?)
    }

    /// Extents.
    pub fn origin_extents(&self, lv: &Lv) -> u64 {
        if let Some(cow) = lv.cow {
            return cow.extents;
        }
        let external = lv.first().and_then(|first| first.external_origin).and_then(|origin| self.lv(origin));
        match external {
            Some(origin) if lv.is(Status::THIN_VOLUME) => origin.extents,
            _ if lv.is_origin() => lv.extents,
            _ => 0,
        }
    }

    pub fn pool(&self, lv: &Lv) -> Option<&Lv> {
        let first = lv.first()?;
        let index = match first.kind {
            Kind::Thin | Kind::Cache | Kind::Writecache => first.pool,
            Kind::Vdo => first.first_lv(),
            _ => None,
        };
        self.lv(index?)
    }

    pub fn data(&self, lv: &Lv) -> Option<&Lv> {
        let first = lv.first().filter(|first| first.kind.is_pool() || first.kind == Kind::VdoPool)?;
        self.lv(first.first_lv()?)
    }

    pub fn metadata(&self, lv: &Lv) -> Option<&Lv> {
        let first = lv.first().filter(|first| first.kind.is_pool())?;
        self.lv(first.metadata?)
    }

    pub fn mirror_log(&self, lv: &Lv) -> Option<&Lv> {
        self.lv(lv.log?)
    }

    /// What a mirror is converted to, or from.
    pub fn convert(&self, lv: &Lv) -> Option<&Lv> {
        let first = lv.first().filter(|_| lv.is(Status::CONVERTING.or(Status::MIRRORED)))?;
        let area = self.lv(first.first_lv()?)?;
        let is_layer = |segment: &Segment| segment.kind.is_mirrored();
        (area.is(Status::MIRROR_IMAGE) && area.segments.iter().any(is_layer)).then_some(area)
    }

    /// Where in the VG's list the PV stands that pvmove empties.
    pub fn moved_pv(&self, lv: &Lv) -> Option<usize> {
        let mut area = lv.segments.get(lv.pvmove?)?.areas.first()?;
        if let Area::Lv { lv, .. } = *area {
            area = self.lv(lv)?.first()?.areas.first()?;
        }
        match *area {
            Area::Pv { pv, .. } => Some(pv),
            Area::Lv { .. } | Area::Unassigned => None,
        }
    }

    /// Of integrity on an LV's images, or of the LV itself.
    /// And the size of what has one checksum.
    pub fn integrity(&self, lv: &Lv) -> Option<(&'static str, u64)> {
        let of = |segment: &'_ Segment| matches!(segment.kind, Kind::Integrity);
        let first = lv.first()?;
        let segment = match first.kind {
            Kind::Integrity => first,
            Kind::Raid(_) => first.areas.iter().find_map(|area| match *area {
                Area::Lv { lv, .. } => self.lv(lv)?.first().filter(|first| of(first)),
                Area::Pv { .. } | Area::Unassigned => None,
            })?,
            _ => return None,
        };
        match &segment.settings {
            Settings::Integrity { mode, block_size, .. } => Some((*mode, *block_size)),
            _ => None,
        }
    }

    /// What of device-mapper it needs.
    pub fn modules(&self, lv: &Lv) -> Vec<&'static str> {
        let mut modules = Vec::new();
        let mut seen = HashSet::new();
        let mut waiting = lv.segments.iter().map(|segment| (lv, segment)).collect::<Vec<_>>();
        while let Some((lv, segment)) = waiting.pop() {
            if seen.len() >= LOOKED_AT_MAX || !seen.insert(std::ptr::from_ref(segment)) {
                continue;
            }
            let is_cow = lv.cow.is_some().then_some("snapshot");
            modules.extend(segment.kind.modules().iter().copied().chain(is_cow));
            let whole =
                |index: LvIndex| self.lv(index).into_iter().flat_map(|lv| lv.segments.iter().map(move |s| (lv, s)));
            if lv.is_origin() {
                waiting.extend(lv.snapshots.iter().copied().flat_map(whole));
            }
            if let Some(log) = segment.log.and_then(|log| self.lv(log)) {
                waiting.extend(log.first().map(|first| (log, first)));
            }
            for area in &segment.areas {
                if let Area::Lv { lv, extent } = *area {
                    waiting.extend(self.lv(lv).and_then(|lv| Some((lv, segment_at(lv, extent)?))));
                }
            }
        }
        modules.sort_unstable();
        modules.dedup();
        modules
    }
}

fn segment_at(lv: &Lv, extent: u64) -> Option<&Segment> {
    let index = lv.segments.partition_point(|segment| segment.start <= extent).checked_sub(1)?;
    lv.segments.get(index).filter(|segment| extent - segment.start < segment.length)
}
