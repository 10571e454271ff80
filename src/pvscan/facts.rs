//! What a device has turned out to be, whoever has read it: the daemon, or the command itself.

use crate::devno::DevNo;
use crate::id::Id;
use crate::metadata::{Access, VgText, visible_lvs};
use crate::scan;
use crate::signature::{Class, Member};
use crate::text;

/// What is behind a device's name or numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// There is no such device.
    Gone,
    /// A rule keeps it from being read: the rule, in LVM's words where it has some.
    Excluded(String),
    /// It could not be read: the reason.
    Unreadable(String),
    NotAPv,
    /// A path to a disk that is used on another path, which is named.
    OtherPath(String),
    /// It holds a PV, and so do others that are not the same: which, and in what they differ.
    Ambiguous(String),
    Pv(Box<Pv>),
}

impl Found {
    /// It belongs to an array, or to something that LVM does not look for itself.
    pub fn of_member(member: &Member) -> Found {
        match member.class {
            Class::Md | Class::FirmwareRaid | Class::Multipath => Found::Excluded(member.why_no_pv()),
            Class::Other => Found::NotAPv,
        }
    }

    /// There is a label, and before it a partition table that counts.
    pub fn partitioned() -> Found {
        Found::Excluded("device is partitioned".to_owned())
    }
}

/// A PV, as far as coming online is concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pv {
    pub devno: DevNo,
    /// Below `/dev/`.
    pub device: String,
    pub pvid: Id,
    /// False if its header says that no VG uses it; `None` if its header cannot say.
    pub used: Option<bool>,
    /// Of the VG that its own text names.
    pub vg: Option<Vg>,
    /// Of the VG that lists it, if it has no text itself and the daemon knows one.
    pub listed_by: Option<Vg>,
    /// The device that the PV is used on, if that is another: its number and its name below `/dev/`.
    pub duplicate_of: Option<(DevNo, String)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vg {
    pub name: Vec<u8>,
    pub vgid: Id,
    /// In the order of the text.
    pub pvids: Vec<Id>,
    pub access: Access,
    /// Only where somebody asked for them.
    pub lvs: Vec<Lv>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lv {
    pub name: Vec<u8>,
    /// The PVs that it lies on.
    pub pvids: Vec<Id>,
}

impl Pv {
    /// What a scan has found, as far as this device alone tells.
    pub fn of_scan(scanned: &scan::Pv, devno: DevNo, device: String, lvs: bool) -> Pv {
        Pv {
            devno,
            device,
            pvid: scanned.id,
            used: scanned.knows_use().then(|| scanned.is_in_use()),
            vg: scanned.metadata_to_serve().map(|vg| Vg::of_text(vg, lvs)),
            listed_by: None,
            duplicate_of: None,
        }
    }
}

impl Vg {
    pub fn of_text(vg: &VgText, lvs: bool) -> Vg {
        let lvs = if lvs {
            text::parse(&vg.body).map(|section| visible_lvs(&section)).unwrap_or_default()
        } else {
            Vec::new()
        };
        Vg {
            name: vg.name.clone(),
            vgid: vg.vgid,
            pvids: vg.pvids.clone(),
            access: vg.access.clone(),
            lvs: lvs.into_iter().map(|(name, pvids)| Lv { name, pvids }).collect(),
        }
    }
}
