//! What a device has turned out to be, whoever has read it: the daemon, or the command itself.

use crate::devno::DevNo;
use crate::id::Id;

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
    Pv(Box<Pv>),
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
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vg {
    pub name: Vec<u8>,
    pub vgid: Id,
    /// In the order of the text.
    pub pvids: Vec<Id>,
    pub system_id: Option<Vec<u8>>,
    /// `lock_type`, such as `sanlock`.
    pub lock_type: Option<Vec<u8>>,
    pub exported: bool,
    /// Only where somebody asked for them.
    pub lvs: Vec<Lv>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lv {
    pub name: Vec<u8>,
    /// The PVs that it lies on.
    pub pvids: Vec<Id>,
}
