//! What is known of the devices of an LV, and of the state of the target of one of its segments: which
//! device LVM asks for that (`lv_info_with_seg_status` in lib/activate/activate.c).

use super::devices::{Device, Devices, Layer};
use super::{Info, Snapshot, Status, VdoUse};
use crate::report::model::lvs::{self, Kind, Lv, Lvs, Segment};
use crate::report::row::Row;

/// LVM's `DM_THIN_MAX_METADATA_SIZE`, in sectors: thin pools use no more metadata.
const THIN_METADATA_MAX: u64 = 255 * (1 << 14) * 8 - (256 << 10);

#[derive(Clone, Debug, Default)]
pub struct Known<'r> {
    pub info: Info,
    pub state: State,
    /// The one that the state is of.
    pub segment: Option<&'r Segment>,
    /// Of a VDO pool.
    pub vdo: Option<VdoUse>,
}

/// Of the target of a segment.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum State {
    /// There is nothing to know: it is not active, or of a type without.
    #[default]
    None,
    /// Nobody was asked.
    NotAsked,
    /// The target is not what the metadata says, or its state cannot be understood.
    Unknown,
    Is(Status),
}

/// Of the row's segment, or of the first one of its LV.
pub fn known<'r>(row: &Row<'r>) -> Known<'r> {
    let (Some(devices), Some(lvs), Some(lv)) = (Devices::of(row), row.lvs, row.lv) else { return Known::default() };
    if lv.is_historical {
        return Known::default();
    }
    let Some(segment) = row.segment.or_else(|| lv.first()) else {
        return Known { info: Info { is_known: true, ..Info::default() }, ..Known::default() };
    };
    Asking { devices, lvs }.known(lv, segment)
}

struct Asking<'r> {
    devices: Devices<'r>,
    lvs: &'r Lvs,
}

/// What a target is of.
struct Part<'r> {
    lv: &'r Lv,
    segment: Option<&'r Segment>,
    kind: Kind,
    /// Sectors.
    start: u64,
    length: u64,
}

impl<'r> Asking<'r> {
    fn known(&self, lv: &'r Lv, segment: &'r Segment) -> Known<'r> {
        let top = |lv| self.devices.device(lv, Layer::Top);
        let own = |lv| self.devices.device(lv, Layer::Own);
        let part = self.part(lv, segment);
        if lv.is(lvs::Status::CACHE_POOL) && !lv.users.is_empty() {
            // It has no device, and the cache knows its state.
            let [user] = lv.users[..] else { return Known::default() };
            let found = self.lvs.lv(user.lv).and_then(|lv| Some((lv, lv.segments.get(user.segment)?)));
            let Some((user, segment)) = found else { return Known::default() };
            let known = of(&own(user), &self.part(user, segment));
            return Known { info: Info { is_known: true, ..Info::default() }, ..known };
        }
        if lv.is(lvs::Status::THIN_POOL.or(lvs::Status::VDO_POOL)) {
            let mut known = of(&own(lv), &part);
            known.info.read_ahead = known.info.read_ahead.map(|_| 0);
            let (is_pool, needs_check) = match &known.state {
                State::Is(Status::ThinPool(pool)) => (true, pool.needs_check()),
                State::Is(Status::VdoPool(_)) | State::NotAsked => (true, false),
                _ => (false, false),
            };
            // What has the name of the pool is active or not.
            if is_pool && !needs_check && !top(lv).info.exists {
                known.info.exists = false;
            }
            return known;
        }
        if lv.is_external_origin() {
            return Known { info: top(lv).info, ..of(&own(lv), &part) };
        }
        if lv.is_origin() {
            let device = top(lv);
            let merging = if lv.is(lvs::Status::MERGING) { of(&device, &part) } else { Known::default() };
            if !device.info.exists || matches!(merging.state, State::Is(Status::Snapshot(_))) {
                return Known { info: device.info, ..merging };
            }
            return Known { info: device.info, ..of(&own(lv), &part) };
        }
        if let Some(cow) = lv.cow {
            let origin = self.lvs.lv(cow.origin).and_then(|origin| Some((origin, origin.first()?)));
            if let Some((origin, first)) = origin.filter(|_| cow.is_merging) {
                let known = of(&top(origin), &self.part(origin, first));
                if matches!(known.state, State::Is(Status::Snapshot(_))) {
                    return known;
                }
            }
            let length = self.sectors(cow.extents);
            return of(&top(lv), &Part { lv, segment: None, kind: Kind::Snapshot, start: 0, length });
        }
        if lv.is(lvs::Status::VDO) {
            let device = top(lv);
            let pool = segment.first_lv().and_then(|pool| self.lvs.lv(pool));
            let Some((pool, first)) = pool.and_then(|pool| Some((pool, pool.first()?))) else {
                return Known { info: device.info, ..Known::default() };
            };
            let known = if device.info.exists { of(&own(pool), &self.part(pool, first)) } else { Known::default() };
            return Known { info: device.info, segment: Some(segment), ..known };
        }
        of(&top(lv), &part)
    }

    fn sectors(&self, extents: u64) -> u64 {
        extents.saturating_mul(self.lvs.extent_size)
    }

    fn part(&self, lv: &'r Lv, segment: &'r Segment) -> Part<'r> {
        let areas = u64::try_from(segment.areas.len()).unwrap_or(u64::MAX);
        let data = areas.saturating_sub(segment.kind.parity_devices());
        let reshape = if segment.kind.raid().is_some() { data.saturating_mul(segment.reshape_length) } else { 0 };
        let length = match &segment.settings {
            lvs::Settings::Integrity { data_sectors, .. } => *data_sectors,
            lvs::Settings::VdoPool(vdo) => {
                self.sectors(vdo.virtual_extents).saturating_add(vdo.header_size.saturating_mul(2))
            }
            _ => self.sectors(segment.length.saturating_sub(reshape)),
        };
        Part { lv, segment: Some(segment), kind: segment.kind, start: self.sectors(segment.start), length }
    }
}

fn of<'r>(device: &Device<'r>, part: &Part<'r>) -> Known<'r> {
    Known { info: device.info, state: state(device, part), segment: part.segment, vdo: device.vdo }
}

/// `_get_segment_status_from_target_params` in lib/activate/dev_manager.c.
fn state(device: &Device, part: &Part) -> State {
    if !device.info.exists {
        return State::None;
    }
    let Some(targets) = device.targets else { return State::NotAsked };
    let Some(last) = targets.last() else { return State::None };
    let is_whole = |length: u64| {
        let is_metadata = part.lv.is(lvs::Status::THIN_POOL_METADATA) && part.length > THIN_METADATA_MAX;
        length == part.length || is_metadata && length == THIN_METADATA_MAX
    };
    let found = targets.iter().find(|target| target.start == part.start && is_whole(target.length));
    let target = found.unwrap_or(last);
    let mut kind = part.kind;
    if part.lv.is(lvs::Status::MERGING) && part.segment.is_some() {
        match target.kind.as_str() {
            // It has not begun yet.
            "snapshot-origin" => return State::None,
            "snapshot-merge" => kind = Kind::Snapshot,
            _ => {}
        }
    }
    if found.is_none() || !part.lv.is(lvs::Status::LOCKED) && !is_expected(kind, part, &target.kind) {
        return State::Unknown;
    }
    match kind {
        Kind::Cache
        | Kind::Raid(_)
        | Kind::Thin
        | Kind::ThinPool
        | Kind::Snapshot
        | Kind::VdoPool
        | Kind::Writecache
        | Kind::Integrity => Status::parse(&target.kind, &target.text).map_or(State::Unknown, State::Is),
        _ => State::None,
    }
}

fn is_expected(kind: Kind, part: &Part, target: &str) -> bool {
    match kind {
        Kind::Striped => ["striped", "linear"].contains(&target),
        Kind::Raid(_) => target.contains("raid"),
        Kind::Snapshot => ["snapshot", "snapshot-merge"].contains(&target),
        Kind::VdoPool => ["vdo-pool", "vdo"].contains(&target),
        Kind::Vdo => ["vdo", "linear"].contains(&target),
        _ => part.segment.is_some_and(|segment| *segment.type_name == *target.as_bytes()),
    }
}

impl Known<'_> {
    pub fn snapshot(&self) -> Option<&Snapshot> {
        match &self.state {
            State::Is(Status::Snapshot(snapshot)) => Some(snapshot),
            _ => None,
        }
    }
}
