//! What the text of a VG says, read for reports.

pub mod lvs;
mod read;

use crate::bytes::Bytes;
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
    pub flags: Vec<Bytes>,
    pub tags: Vec<Bytes>,
    pub system_id: Bytes,
    pub lock_type: Bytes,
    pub lock_args: Bytes,
    /// Sectors.
    pub extent_size: u64,
    pub max_lv: u64,
    pub max_pv: u64,
    pub allocation_policy: Bytes,
    pub profile: Bytes,
    pub metadata_copies: u32,
    pub pvs: Vec<VgPv>,
    /// Those that users see, snapshots among them.
    pub lv_count: u64,
    pub snap_count: u64,
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
    pub device_id_type: Bytes,
    pub device_id: Bytes,
    pub status: Vec<Bytes>,
    pub flags: Vec<Bytes>,
    pub tags: Vec<Bytes>,
    /// Sectors.
    pub dev_size: u64,
    pub pe_start: u64,
    pub pe_count: u64,
    /// Extents that segments of LVs use.
    pub pe_alloc_count: u64,
    pub ba_start: u64,
    pub ba_size: u64,
}
