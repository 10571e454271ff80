//! What the text of a VG says, read for reports.

pub mod lvs;
mod read;

use crate::bytes::{Bytes, is_default};
use crate::id::Id;
use serde::{Deserialize, Serialize};

/// A VG without its LVs: what `vgs` and `pvs` need, small enough to be kept for each VG.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Vg {
    pub name: Bytes,
    pub id: Option<Id>,
    pub seqno: i64,
    pub status: Vec<Bytes>,
    #[serde(skip_serializing_if = "is_default")]
    pub flags: Vec<Bytes>,
    #[serde(skip_serializing_if = "is_default")]
    pub tags: Vec<Bytes>,
    #[serde(skip_serializing_if = "is_default")]
    pub system_id: Bytes,
    #[serde(skip_serializing_if = "is_default")]
    pub lock_type: Bytes,
    #[serde(skip_serializing_if = "is_default")]
    pub lock_args: Bytes,
    /// Sectors.
    pub extent_size: u64,
    #[serde(skip_serializing_if = "is_default")]
    pub max_lv: u64,
    #[serde(skip_serializing_if = "is_default")]
    pub max_pv: u64,
    pub allocation_policy: Bytes,
    #[serde(skip_serializing_if = "is_default")]
    pub profile: Bytes,
    #[serde(skip_serializing_if = "is_default")]
    pub metadata_copies: u32,
    pub pvs: Vec<VgPv>,
    /// Those that users see, snapshots among them.
    pub lv_count: u64,
    #[serde(skip_serializing_if = "is_default")]
    pub snap_count: u64,
    #[serde(skip_serializing_if = "is_default")]
    pub has_historical: bool,
}

/// A PV as its VG lists it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct VgPv {
    pub id: Option<Id>,
    /// `pv0` and so on: what segments call it.
    pub key: Bytes,
    /// The name that its device had when this was written.
    pub device: Bytes,
    #[serde(skip_serializing_if = "is_default")]
    pub device_id_type: Bytes,
    #[serde(skip_serializing_if = "is_default")]
    pub device_id: Bytes,
    pub status: Vec<Bytes>,
    #[serde(skip_serializing_if = "is_default")]
    pub flags: Vec<Bytes>,
    #[serde(skip_serializing_if = "is_default")]
    pub tags: Vec<Bytes>,
    /// Sectors.
    pub dev_size: u64,
    pub pe_start: u64,
    pub pe_count: u64,
    /// Extents that segments of LVs use.
    #[serde(skip_serializing_if = "is_default")]
    pub pe_alloc_count: u64,
    #[serde(skip_serializing_if = "is_default")]
    pub ba_start: u64,
    #[serde(skip_serializing_if = "is_default")]
    pub ba_size: u64,
}

/// How several hosts use a VG.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClusterKind {
    /// By clvmd, as of old.
    Clustered,
    /// By lvmlockd.
    Shared,
}

impl Vg {
    pub fn has_status(&self, status: &str) -> bool {
        self.status.iter().any(|own| *own == *status)
    }

    pub fn has_flag(&self, flag: &str) -> bool {
        self.flags.iter().any(|own| *own == *flag)
    }

    /// Whether it may be changed. The flag keeps versions of LVM away that know no owners of VGs.
    pub fn is_writeable(&self) -> bool {
        self.has_status("WRITE") || self.has_flag("WRITE_LOCKED")
    }

    pub fn cluster(&self) -> Option<ClusterKind> {
        if self.has_status("CLUSTERED") {
            Some(ClusterKind::Clustered)
        } else if [&b"sanlock"[..], b"dlm", b"idm"].contains(&&*self.lock_type) {
            Some(ClusterKind::Shared)
        } else {
            None
        }
    }

    /// How extents are chosen for its LVs, and the letter for that; `None` if LVM does not know it.
    pub fn policy(&self) -> Option<(&'static str, u8)> {
        Some(match &*self.allocation_policy {
            b"contiguous" => ("contiguous", b'c'),
            b"cling" => ("cling", b'l'),
            b"normal" | b"" => ("normal", b'n'),
            b"anywhere" => ("anywhere", b'a'),
            b"inherit" => ("inherit", b'i'),
            _ => return None,
        })
    }

    /// Of PVs that are missing, too.
    pub fn extent_count(&self) -> u64 {
        self.pvs.iter().fold(0, |count, pv| count.saturating_add(pv.pe_count))
    }

    pub fn free_count(&self) -> u64 {
        let used = self.pvs.iter().fold(0u64, |count, pv| count.saturating_add(pv.pe_alloc_count));
        self.extent_count().saturating_sub(used)
    }
}

impl VgPv {
    pub fn has(&self, status: &str) -> bool {
        self.status.iter().any(|own| *own == *status)
    }

    /// Whether it was not there when its VG was changed.
    pub fn is_marked_missing(&self) -> bool {
        self.has("MISSING") || self.flags.iter().any(|flag| *flag == *"MISSING")
    }
}
