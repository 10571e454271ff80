//! What device-mapper says when it is asked itself.

use crate::devno::DevNo;
use crate::dm::Target;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

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
