//! What device-mapper says of LVs.

mod percent;
mod status;

use super::row::Row;
use crate::devno::DevNo;
use crate::dm::Target;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

pub use percent::{FULL, percent};
pub use status::Status;

/// All device-mapper devices of LVs, by their uuid. Asked of device-mapper itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Live {
    pub devices: BTreeMap<String, Mapping>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mapping {
    pub name: String,
    pub devno: DevNo,
    pub suspended: bool,
    pub read_only: bool,
    pub open_count: u32,
    pub live_table: bool,
    pub inactive_table: bool,
    /// Sectors.
    pub read_ahead: Option<u64>,
    /// Of the live table, each with its state.
    pub targets: Vec<Target>,
    pub vdo: Option<VdoUse>,
}

/// What a VDO pool says elsewhere of how full it is, in blocks of 4 KiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VdoUse {
    pub data_blocks: u64,
    pub logical_blocks: u64,
}

/// What is known of the device of an LV.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Info {
    /// Not even whether there is one: nothing else here means anything then.
    pub is_known: bool,
    pub exists: bool,
    pub name: String,
    pub devno: Option<DevNo>,
    pub suspended: bool,
    /// The rest only device-mapper itself tells.
    pub open: Option<bool>,
    pub read_only: Option<bool>,
    pub live_table: Option<bool>,
    pub inactive_table: Option<bool>,
}

/// Of the row's LV, from device-mapper if it was asked, or else from sysfs.
pub fn info(row: &Row) -> Info {
    let (Some(lv), Some(vg)) = (row.lv, row.vg) else { return Info::default() };
    let Some(vgid) = vg.vg.id else { return Info::default() };
    let uuid = format!("LVM-{}{}", String::from_utf8_lossy(&vgid.0), String::from_utf8_lossy(&lv.id.0));
    if let Some(live) = row.live {
        return live.devices.get(&uuid).map_or(Info { is_known: true, ..Info::default() }, |mapping| Info {
            is_known: true,
            exists: true,
            name: mapping.name.clone(),
            devno: Some(mapping.devno),
            suspended: mapping.suspended,
            open: Some(mapping.open_count > 0),
            read_only: Some(mapping.read_only),
            live_table: Some(mapping.live_table),
            inactive_table: Some(mapping.inactive_table),
        });
    }
    let Some(mapped) = &row.host.mapped else { return Info::default() };
    let found = mapped.binary_search_by(|mapped| mapped.uuid.cmp(&uuid)).ok().map(|at| &mapped[at]);
    found.map_or(Info { is_known: true, ..Info::default() }, |mapped| Info {
        is_known: true,
        exists: true,
        name: mapped.name.clone(),
        devno: Some(mapped.devno),
        suspended: mapped.suspended,
        ..Info::default()
    })
}
