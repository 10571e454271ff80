//! What device-mapper says of LVs.

mod devices;
mod known;
mod monitor;
mod percent;
mod raid;
pub mod status;

use super::row::Row;
use crate::devno::DevNo;
use crate::dm::Target;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use devices::{Devices, Layer};

pub use known::{Known, State, known};
pub use monitor::monitored;
pub use percent::{Percent, percent};
pub use raid::{
    Mismatches, copy_percent, image_in_sync, integrity_mismatches, is_healthy, mismatch_count, sync_action,
};
pub use status::{Cache, Discards, Snapshot, Status, Thin, ThinPool};

/// All device-mapper devices of LVs, by their uuid. Asked of device-mapper itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Live {
    pub devices: BTreeMap<String, Mapping>,
    /// The report has something of the state of targets. LVM then has the rest from the devices that
    /// it asks for that: of a thin pool, from another one than without.
    pub with_status: bool,
    /// What dmeventd watches, by uuid: nothing if it does not run.
    pub monitored: BTreeMap<String, Monitored>,
}

/// How dmeventd watches a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Monitored {
    Yes,
    /// It is about to.
    Pending,
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Info {
    /// Not even whether there is one: nothing else here means anything then.
    pub is_known: bool,
    pub exists: bool,
    pub devno: Option<DevNo>,
    pub suspended: bool,
    /// The rest only device-mapper itself tells.
    pub open: Option<bool>,
    pub read_only: Option<bool>,
    pub live_table: Option<bool>,
    pub inactive_table: Option<bool>,
    /// Sectors.
    pub read_ahead: Option<u64>,
}

/// Of the row's LV, from device-mapper if it was asked, or else from sysfs.
pub fn info(row: &Row) -> Info {
    if row.live.is_some_and(|live| !live.with_status) { top(row) } else { known(row).info }
}

/// Of what has the name of the row's LV: whether it is active.
pub fn top(row: &Row) -> Info {
    let devices = Devices::of(row).zip(row.lv.filter(|lv| !lv.is_historical));
    devices.map_or(Info { is_known: Devices::of(row).is_some(), ..Info::default() }, |(devices, lv)| {
        devices.device(lv, Layer::Top).info
    })
}
