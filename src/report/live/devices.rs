//! Which device-mapper devices an LV has. Their uuids tell: those of the VG and the LV, and a suffix
//! for what is no LV that anybody but LVM uses (`build_dm_uuid` in lib/misc/lvm-string.c).

use super::{Info, Live, Mapping, VdoUse};
use crate::dm::Target;
use crate::id::Id;
use crate::report::inventory::Mapped;
use crate::report::model::lvs::{Lv, Settings, Status};
use crate::report::row::Row;

/// LVM before 2.02.106 made these without.
const LATE_SUFFIXES: [&str; 9] = ["pool", "cdata", "cmeta", "cvol", "tdata", "tmeta", "vdata", "vpool", "imeta"];

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Layer {
    /// What has the name of the LV.
    Top,
    /// What is beneath that where there is something in between: the LV itself below its snapshots,
    /// or a pool.
    Own,
}

#[derive(Clone, Copy)]
pub struct Devices<'r> {
    source: Source<'r>,
    vgid: &'r Id,
}

#[derive(Clone, Copy)]
enum Source<'r> {
    Live(&'r Live),
    Sysfs(&'r [Mapped]),
}

#[derive(Clone, Copy, Default)]
pub struct Device<'r> {
    pub info: Info,
    /// `None`: nobody was asked.
    pub targets: Option<&'r [Target]>,
    pub vdo: Option<VdoUse>,
}

impl<'r> Devices<'r> {
    /// `None`: nothing is known of any.
    pub fn of(row: &Row<'r>) -> Option<Devices<'r>> {
        let source = match (row.live, &row.host.mapped) {
            (Some(live), _) => Source::Live(live),
            (None, Some(mapped)) => Source::Sysfs(mapped),
            (None, None) => return None,
        };
        Some(Devices { source, vgid: row.vg?.vg.id.as_ref()? })
    }

    pub fn live(&self) -> Option<&'r Live> {
        match self.source {
            Source::Live(live) => Some(live),
            Source::Sysfs(_) => None,
        }
    }

    pub fn device(&self, lv: &Lv, layer: Layer) -> Device<'r> {
        match layer {
            Layer::Top => {
                let found = self.find(lv, suffix(lv));
                if found.info.exists || !is_new_thin_pool(lv) { found } else { self.find(lv, own_suffix(lv)) }
            }
            Layer::Own => self.find(lv, own_suffix(lv).or_else(|| suffix(lv))),
        }
    }

    pub fn uuid(&self, lv: &Lv, suffix: Option<&str>) -> String {
        let text = |id: &Id| String::from_utf8_lossy(&id.0).into_owned();
        let (dash, suffix) = suffix.map_or(("", ""), |suffix| ("-", suffix));
        format!("LVM-{}{}{dash}{suffix}", text(self.vgid), text(&lv.id))
    }

    fn find(&self, lv: &Lv, suffix: Option<&str>) -> Device<'r> {
        let found = self.get(&self.uuid(lv, suffix));
        if !found.info.exists && suffix.is_some_and(|suffix| LATE_SUFFIXES.contains(&suffix)) {
            return self.get(&self.uuid(lv, None));
        }
        found
    }

    fn get(&self, uuid: &str) -> Device<'r> {
        let found = match self.source {
            Source::Live(live) => live.devices.get(uuid).map(Device::from),
            Source::Sysfs(mapped) => {
                let at = mapped.binary_search_by(|mapped| mapped.uuid.as_str().cmp(uuid)).ok();
                at.map(|at| Device::from(&mapped[at]))
            }
        };
        let none = Info { is_known: true, ..Info::default() };
        found.unwrap_or(Device { info: none, targets: self.live().map(|_| &[][..]), vdo: None })
    }
}

impl<'r> From<&'r Mapping> for Device<'r> {
    fn from(mapping: &'r Mapping) -> Device<'r> {
        let info = Info {
            is_known: true,
            exists: true,
            devno: Some(mapping.devno),
            suspended: mapping.suspended,
            open: Some(mapping.open_count > 0),
            read_only: Some(mapping.read_only),
            live_table: Some(mapping.live_table),
            inactive_table: Some(mapping.inactive_table),
            read_ahead: mapping.read_ahead,
        };
        Device { info, targets: Some(&mapping.targets), vdo: mapping.vdo }
    }
}

impl From<&Mapped> for Device<'_> {
    fn from(mapped: &Mapped) -> Self {
        let known = Info { is_known: true, exists: true, suspended: mapped.suspended, ..Info::default() };
        Device { info: Info { devno: Some(mapped.devno), ..known }, targets: None, vdo: None }
    }
}

fn suffix(lv: &Lv) -> Option<&'static str> {
    let suffixes = [
        (Status::CACHE_ORIGIN.or(Status::WRITECACHE_ORIGIN), "real"),
        (Status::CACHE_POOL_DATA, "cdata"),
        (Status::CACHE_POOL_METADATA, "cmeta"),
        (Status::CACHE_VOL, "cvol"),
        (Status::THIN_POOL, "pool"),
        (Status::THIN_POOL_DATA, "tdata"),
        (Status::THIN_POOL_METADATA, "tmeta"),
        (Status::VDO_POOL, "pool"),
        (Status::VDO_POOL_DATA, "vdata"),
    ];
    if lv.is(Status::CACHE) && lv.is(Status::PENDING_DELETE) {
        return Some("real");
    }
    suffixes.into_iter().find(|(status, _)| lv.is(*status)).map(|(_, suffix)| suffix)
}

/// `lv_layer` in lib/metadata/lv.c.
pub fn own_suffix(lv: &Lv) -> Option<&'static str> {
    if lv.is(Status::THIN_POOL) {
        Some("tpool")
    } else if lv.is(Status::VDO_POOL) {
        Some("vpool")
    } else if lv.is_origin() || lv.is_external_origin() || lv.is(Status::WRITECACHE_ORIGIN) {
        Some("real")
    } else {
        None
    }
}

/// One that no thin volume was made in, which is activated as the pool itself.
fn is_new_thin_pool(lv: &Lv) -> bool {
    lv.is(Status::THIN_POOL)
        && lv.first().is_some_and(|first| matches!(first.settings, Settings::ThinPool { transaction_id: 0, .. }))
}
