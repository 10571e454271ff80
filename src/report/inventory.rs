//! What a report is made of: the host as a cache knows it. The daemon sends this as JSON
//! (`Inventory` in `src/api/io.pvwatch.varlink`); of images it is made in place.

use super::model::{Vg, VgPv};
use crate::bytes::{Bytes, is_default};
use crate::devno::DevNo;
use crate::id::Id;
use crate::metadata::Body;
use serde::{Deserialize, Serialize};
use std::rc::Rc;

/// What is not needed is not sent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Needs {
    /// The texts of the VGs, from which their LVs are read.
    pub lvs: bool,
    /// The devices and labels of PVs in VGs.
    pub labels: bool,
    /// Devices that are no PVs.
    pub devices: bool,
    /// Whether there are these, and may be used.
    pub named: Vec<NamedDevice>,
}

/// A device as somebody calls it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedDevice {
    pub path: Bytes,
    /// What the path leads to where it was said.
    pub devno: Option<DevNo>,
}

/// A device that was named and is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Named {
    /// Which one, of those that are needed.
    pub at: usize,
    pub devno: DevNo,
    /// Why it is not used, if it is not.
    pub reason: Option<String>,
}

/// One thing after the other: the host first, then devices that were named, then its VGs in the order in
/// which LVM goes through them, then PVs in no VG, then other devices.
#[derive(Clone, Debug)]
pub enum Item {
    Host(Host),
    Named(Named),
    Vg(Box<VgItem>),
    /// A VG that LVM refuses to read: neither it nor its PVs are shown.
    Unreadable(Box<Unreadable>),
    /// A PV in no VG that can be read.
    Orphan(Box<Present>),
    /// A PV whose text is of a VG that does not list it, or cannot be read: reports of labels alone show it.
    Label(Box<Present>),
    Device(Device),
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Host {
    pub system_id: Option<String>,
    /// The device-mapper devices of LVs, sorted by uuid, if there is a device-mapper and it matters
    /// here.
    pub mapped: Option<Vec<Mapped>>,
    /// What LVM says while it looks at all devices, before anything else.
    pub warnings: Vec<Warning>,
}

/// A device-mapper device, as sysfs has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mapped {
    /// `LVM-`, the ids of the VG and the LV, and for what is beneath an LV a suffix.
    pub uuid: String,
    pub name: String,
    pub devno: DevNo,
    pub suspended: bool,
}

/// A VG, and what there is of its PVs. What the cache has of it is shared, not copied.
#[derive(Clone, Debug)]
pub struct VgItem {
    pub vg: Rc<Vg>,
    /// Those of its PVs that are there, in the order of the metadata.
    pub present: Vec<Present>,
    /// Metadata areas of PVs that have its metadata and are not listed in it. LVM counts them.
    pub stray: Vec<Mda>,
    /// What is wrong with it, in the order in which LVM says so.
    pub warnings: Vec<Warning>,
    /// What its section has between its braces, if LVs are needed.
    pub text: Option<Body>,
}

/// A VG that is there and cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unreadable {
    /// It may lack either.
    pub name: Bytes,
    pub id: Option<Id>,
    pub devices: Vec<Device>,
    pub warnings: Vec<Warning>,
}

/// A PV that is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Present {
    pub id: Id,
    /// This and the label are empty where they are not needed.
    #[serde(default, skip_serializing_if = "is_default")]
    pub device: Device,
    #[serde(default, skip_serializing_if = "is_default")]
    pub label: Label,
    /// Other devices with the same PV, which are not used.
    #[serde(default, skip_serializing_if = "is_default")]
    pub duplicates: Vec<Device>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub warnings: Vec<Warning>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// The name that LVM shows: of an image, as it was given.
    pub path: String,
    pub devno: DevNo,
    /// Bytes.
    pub size: u64,
}

/// What the label of a PV says, in bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Label {
    /// 0 if there is no extension.
    pub ext_version: u32,
    pub in_use: bool,
    pub dev_size: u64,
    /// Where the first data area begins.
    pub data_start: u64,
    /// Start and size of the bootloader area; 0 if there is none.
    #[serde(default, skip_serializing_if = "is_default")]
    pub bootloader: (u64, u64),
    pub mdas: Vec<Mda>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mda {
    pub start: u64,
    pub size: u64,
    /// By what the text takes (on-disk.md 10).
    pub free: u64,
    #[serde(default, skip_serializing_if = "is_default")]
    pub ignored: bool,
    /// It cannot be read, and LVM does not count it.
    #[serde(default, skip_serializing_if = "is_default")]
    pub bad: bool,
}

/// Something that LVM's commands say on standard error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warning {
    /// Without the two spaces that LVM begins each line with.
    pub text: String,
    /// It is not said with `--foreign`.
    #[serde(default)]
    pub unless_foreign: bool,
}

impl VgItem {
    /// Those that are present stand in the order of the metadata.
    pub fn missing_count(&self) -> u64 {
        let mut present = self.present.iter().peekable();
        let missing = self.vg.pvs.iter().filter(|pv| {
            let own = present.next_if(|present| Some(present.id) == pv.id);
            pv.is_missing(own)
        });
        missing.count() as u64
    }
}

impl VgPv {
    /// Whether it is not there for LVM. One that was missing when its VG was changed stays missing when it
    /// is back, unless no LV is on it, or it has no metadata that could be outdated.
    pub fn is_missing(&self, present: Option<&Present>) -> bool {
        let was_missed = |present: &Present| {
            let has_metadata = present.label.readable_mdas().any(|mda| !mda.ignored);
            self.is_marked_missing() && self.pe_alloc_count > 0 && has_metadata
        };
        present.is_none_or(was_missed)
    }
}

impl Label {
    /// The metadata areas that LVM counts.
    pub fn readable_mdas(&self) -> impl Iterator<Item = &Mda> {
        self.mdas.iter().filter(|mda| !mda.bad)
    }
}

/// Where items come from.
pub trait Source {
    /// The next one; `None` at the end.
    ///
    /// # Errors
    /// What is said to whoever asked for the report.
    fn next(&mut self) -> Result<Option<Item>, Broken>;
}

/// Why no more items come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// In words.
    pub reason: String,
    /// There is nobody to ask, or no longer.
    pub is_gone: bool,
}
