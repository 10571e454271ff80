//! What device-mapper says of LVs.

use super::row::Row;
use crate::devno::DevNo;
use std::collections::BTreeMap;

/// All device-mapper devices of LVs, by their uuid. Asked of device-mapper itself.
#[derive(Clone, Debug, Default)]
pub struct Live {
    pub devices: BTreeMap<String, Mapping>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    pub name: String,
    pub devno: DevNo,
    pub suspended: bool,
    pub read_only: bool,
    pub open_count: u32,
    pub live_table: bool,
    pub inactive_table: bool,
    pub targets: Vec<Target>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Sectors.
    pub start: u64,
    pub length: u64,
    pub kind: String,
    pub table: String,
    pub status: String,
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
    mapped.iter().find(|mapped| mapped.uuid == uuid).map_or(Info { is_known: true, ..Info::default() }, |mapped| Info {
        is_known: true,
        exists: true,
        name: mapped.name.clone(),
        devno: Some(mapped.devno),
        suspended: mapped.suspended,
        ..Info::default()
    })
}
