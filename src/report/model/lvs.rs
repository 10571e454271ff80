//! The LVs of a VG, and how they are made of each other.

use crate::id::Id;

/// Where an LV stands in [`Lvs::all`].
pub type LvIndex = usize;

#[derive(Clone, Debug, Default)]
pub struct Lvs {
    /// In the order in which LVM goes through them.
    pub all: Vec<Lv>,
    /// In the order of the PVs of the VG, then by extent; what is free is in between.
    pub pv_segments: Vec<PvSegment>,
}

#[derive(Clone, Debug)]
pub struct Lv {
    pub name: Vec<u8>,
    pub id: Id,
    pub is_visible: bool,
    /// What was removed, and is remembered only.
    pub is_historical: bool,
    /// Sorted, neighbours of one kind merged.
    pub segments: Vec<Segment>,
}

#[derive(Clone, Debug)]
pub struct Segment {
    pub lv: LvIndex,
    /// Extents.
    pub start: u64,
    pub length: u64,
}

/// A part of a PV that one segment uses, or none does.
#[derive(Clone, Debug)]
pub struct PvSegment {
    /// Where it stands in the VG's list of PVs.
    pub pv: usize,
    /// Extents.
    pub start: u64,
    pub length: u64,
    pub used_by: Option<(LvIndex, usize)>,
}
