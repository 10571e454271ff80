//! How raid and mirrors are, and what is on them: what LVM asks of a device of its own choice, not of
//! the one that the rest is asked of.

use super::devices::{Devices, Layer};
use super::percent::{FULL, Percent, percent};
use super::status::{Raid, Status};
use super::{State, known, top};
use crate::report::model::lvs::{self, Area, Kind, Lv, Lvs, Segment};
use crate::report::row::Row;

/// What is known of sums that do not match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mismatches {
    Known(u64),
    Unknown,
}

#[derive(Clone, Copy)]
struct Asking<'r> {
    devices: Devices<'r>,
    lvs: &'r Lvs,
}

impl<'r> Asking<'r> {
    /// `None`: device-mapper was not asked.
    fn of(row: &Row<'r>) -> Option<(Asking<'r>, &'r Lv)> {
        let devices = Devices::of(row).filter(|devices| devices.live().is_some())?;
        Some((Asking { devices, lvs: row.lvs? }, row.lv?))
    }

    fn is_active(self, lv: &Lv) -> bool {
        self.devices.device(lv, Layer::Top).info.exists
    }

    /// That of the first target.
    fn raid(self, lv: &Lv) -> Option<Raid> {
        if !self.is_active(lv) {
            return None;
        }
        let target = self.devices.device(lv, Layer::Own).targets?.first()?;
        match Status::parse(&target.kind, &target.text)? {
            Status::Raid(raid) => Some(raid),
            _ => None,
        }
    }

    fn user(self, lv: &Lv) -> Option<(&'r Lv, &'r Segment)> {
        let [user] = lv.users[..] else { return None };
        let using = self.lvs.lv(user.lv).filter(|_| user.times == 1)?;
        Some((using, using.segments.get(user.segment)?))
    }

    /// The letter for an image, or for the metadata that is beside it.
    fn letter(self, lv: &Lv) -> Option<u8> {
        let (raid_lv, segment) = self.user(lv).filter(|(_, segment)| segment.kind.raid().is_some())?;
        let is =
            |index: Option<usize>| index.and_then(|index| self.lvs.lv(index)).is_some_and(|it| std::ptr::eq(it, lv));
        let image = segment.areas.iter().position(|area| matches!(area, Area::Lv { lv, .. } if is(Some(*lv))));
        let place = image.or_else(|| segment.metadata_areas.iter().position(|metadata| is(*metadata)))?;
        self.raid(raid_lv)?.health.as_bytes().get(place).copied()
    }

    /// Of each mirror of the LV, which is made up of such and others, how many extents are the same on
    /// all images; by its percentage, and by extents.
    fn mirror(self, lv: &Lv) -> Option<(u64, u64)> {
        if let [segment] = &lv.segments[..]
            && segment.areas.len() == 1
        {
            return Some((FULL, FULL));
        }
        if !self.is_active(lv) {
            return None;
        }
        let kind = lv.first()?.kind;
        let targets = self.devices.device(lv, Layer::Own).targets?;
        if targets.len() != lv.segments.len() {
            return None;
        }
        let (mut in_sync, mut total) = (0u64, 0u64);
        let (mut copied, mut extents) = (0u64, 0u64);
        let mut percents = Vec::new();
        for (target, segment) in targets.iter().zip(&lv.segments) {
            let is_one = match kind {
                Kind::Raid(_) => target.kind.contains("raid"),
                Kind::Mirror => target.kind == "mirror",
                _ => false,
            };
            let length = segment.area_length();
            let mut own = 0;
            if is_one {
                let (part, whole) = match Status::parse(&target.kind, &target.text)? {
                    Status::Mirror(mirror) => (mirror.in_sync, mirror.total),
                    Status::Raid(raid) => (raid.in_sync, raid.total),
                    _ => return None,
                };
                in_sync = in_sync.saturating_add(part);
                total = total.saturating_add(whole);
                percents.push(percent(part, whole));
                own = length.saturating_mul(part).checked_div(whole).unwrap_or(length);
            }
            extents = extents.saturating_add(length);
            let is_copied = segment.kind == Kind::Mirror && segment.areas.len() > 1;
            copied = copied.saturating_add(if is_copied { own } else { length });
        }
        let overall = match &percents[..] {
            [] => FULL,
            all if all.iter().all(|each| *each == FULL) => FULL,
            all if all.iter().all(|each| *each == 0) => 0,
            [one] => *one,
            _ => percent(in_sync, total),
        };
        Some((overall, percent(copied, extents)))
    }
}

/// `None`: it is not known, or there is none.
pub fn sync_action(row: &Row) -> Option<String> {
    let (asking, lv) = Asking::of(row)?;
    asking.raid(lv).filter(|_| lv.is(lvs::Status::RAID))?.action
}

pub fn mismatch_count(row: &Row) -> Option<u64> {
    let (asking, lv) = Asking::of(row)?;
    Some(asking.raid(lv).filter(|_| lv.is(lvs::Status::RAID))?.mismatches)
}

/// Of an LV that is raid or a part of it. `None`: it is not known. What is not active is healthy.
pub fn is_healthy(row: &Row) -> Option<bool> {
    let top = top(row);
    if top.is_known && !top.exists {
        return Some(true);
    }
    let (asking, lv) = Asking::of(row)?;
    Some(if lv.is(lvs::Status::RAID) {
        asking.raid(lv).is_some_and(|raid| !raid.health.contains('D'))
    } else {
        asking.letter(lv).is_some_and(|letter| letter != b'D')
    })
}

/// Of an image of a mirror or of raid. What is not known is not in sync.
pub fn image_in_sync(row: &Row) -> bool {
    let Some((asking, lv)) = Asking::of(row) else { return false };
    if lv.is(lvs::Status::RAID_IMAGE) {
        return !lv.is_visible && asking.is_active(lv) && asking.letter(lv) == Some(b'A');
    }
    let mirror = asking.user(lv).filter(|_| lv.is(lvs::Status::MIRROR_IMAGE));
    mirror.and_then(|(mirror, _)| asking.mirror(mirror)).is_some_and(|(overall, _)| overall == FULL)
}

pub fn copy_percent(row: &Row) -> Option<u64> {
    let (asking, lv) = Asking::of(row)?;
    let is_redundant =
        lv.is(lvs::Status::RAID) && !matches!(lv.kind(), Some(Kind::Raid(lvs::Raid::Raid0 | lvs::Raid::Raid0Meta)));
    let is_used_pool = lv.is(lvs::Status::CACHE_POOL) && !lv.users.is_empty();
    if lv.is(lvs::Status::INTEGRITY.or(lvs::Status::CACHE))
        || is_used_pool
        || is_redundant && !lv.is(lvs::Status::MERGING)
    {
        return known(row).percent(Percent::Dirty, asking.lvs);
    }
    if is_redundant {
        return asking.mirror(lv).map(|(overall, _)| overall);
    }
    asking.mirror(lv).filter(|_| lv.is(lvs::Status::MIRROR)).map(|(_, copied)| copied)
}

/// Of an LV with integrity, or the sum of those of its images. `None`: it has no integrity.
pub fn integrity_mismatches(row: &Row) -> Option<Mismatches> {
    let lv = row.lv?;
    if lv.is(lvs::Status::INTEGRITY) {
        return Some(match known(row).state {
            State::Is(Status::Integrity(integrity)) => Mismatches::Known(integrity.mismatches),
            _ => Mismatches::Unknown,
        });
    }
    let lvs = row.lvs.filter(|_| lv.is(lvs::Status::RAID))?;
    let images = lv.first()?.areas.iter().filter_map(|area| match area {
        Area::Lv { lv, .. } => lvs.lv(*lv),
        _ => None,
    });
    let mut images = images.filter(|image| image.is(lvs::Status::INTEGRITY)).peekable();
    images.peek()?;
    let counts = images.map(|image| integrity_mismatches(&Row { lv: Some(image), segment: image.first(), ..*row }));
    Some(counts.fold(Mismatches::Known(0), |sum, count| match (sum, count) {
        (Mismatches::Known(sum), Some(Mismatches::Known(count))) => Mismatches::Known(sum.saturating_add(count)),
        _ => Mismatches::Unknown,
    }))
}
