//! One row of a report: the objects that its fields are of.

use super::inventory::{Device, Host, Present, VgItem};
use super::live::asked::Live;
use super::model::VgPv;
use super::model::lvs::{Lv, Lvs, PvSegment, Segment};

/// What of `report/*` in lvm.conf has a say in values.
#[derive(Clone, Debug)]
pub struct Marks {
    /// `mark_hidden_devices`: names of LVs that users do not see stand in brackets.
    pub hidden: bool,
    /// `two_word_unknown_device`: a PV that is not there is `unknown device`, not `[unknown]`.
    pub two_word_unknown: bool,
    /// `activation/monitoring`: LVM looks whether LVs are watched.
    pub monitoring: bool,
    /// `time_format`, for strftime.
    pub time_format: String,
}

impl Default for Marks {
    fn default() -> Marks {
        Marks { hidden: true, two_word_unknown: false, monitoring: true, time_format: "%Y-%m-%d %T %z".to_owned() }
    }
}

#[derive(Clone, Copy)]
pub struct Row<'r> {
    pub host: &'r Host,
    pub marks: &'r Marks,
    /// None for a PV in no VG.
    pub vg: Option<&'r VgItem>,
    pub pv: Option<PvRow<'r>>,
    pub lvs: Option<&'r Lvs>,
    pub lv: Option<&'r Lv>,
    pub segment: Option<&'r Segment>,
    pub pv_segment: Option<&'r PvSegment>,
    /// What device-mapper said, if it was asked.
    pub live: Option<&'r Live>,
}

/// A PV, a device that another PV's label is on, too, or a device that is none.
#[derive(Clone, Copy, Default)]
pub struct PvRow<'r> {
    /// What its VG says of it.
    pub listed: Option<&'r VgPv>,
    /// What is there of it.
    pub present: Option<&'r Present>,
    /// It is this unused duplicate of it.
    pub duplicate: Option<&'r Device>,
    /// No PV at all.
    pub device: Option<&'r Device>,
}
