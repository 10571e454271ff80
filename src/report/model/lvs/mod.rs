//! The LVs of a VG, and how they are made of each other: what lvm2 has after `_read_vg` of
//! `lib/format_text/import_vsn1.c`.

mod family;
mod kind;
mod merge;
mod parts;
mod places;
mod pv_segments;
mod read;
mod relate;
mod role;
mod section;
mod settings;
mod status;
#[cfg(test)]
mod tests;

use super::Vg;
use crate::id::Id;
use crate::text;

use std::cell::OnceCell;

pub use kind::{Kind, Raid};
pub use settings::{CacheSettings, RaidSettings, Settings, VdoSettings};
pub use status::Status;

/// Where an LV stands in [`Lvs::all`].
pub type LvIndex = usize;

#[derive(Clone, Debug, Default)]
pub struct Lvs {
    /// In the order of the text, in which LVM goes through them; behind them those that are
    /// remembered only. The LVs that tie snapshots to their origins are left out, as LVM never
    /// shows them.
    pub all: Vec<Lv>,
    /// In the order of the PVs of the VG, then by extent; what is free is in between.
    pub pv_segments: Vec<PvSegment>,
    /// Ancestors and descendants that are remembered only are named, too.
    pub shows_historical: bool,
    /// Sectors.
    pub extent_size: u64,
    places: OnceCell<places::Places>,
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
    pub status: Status,
    pub tags: Vec<Vec<u8>>,
    /// Seconds since 1970; 0 if it is not known.
    pub created: u64,
    pub removed: u64,
    pub host: Vec<u8>,
    pub allocation: Allocation,
    pub profile: Vec<u8>,
    pub lock_args: Vec<u8>,
    /// Sectors; `None` is `auto`.
    pub read_ahead: Option<u64>,
    /// Asked for by the text.
    pub devno: Option<(u64, u64)>,
    pub extents: u64,
    /// The segments that lie on it or refer to it, in LVM's order, each once.
    pub users: Vec<User>,
    /// It holds what a snapshot has of its own.
    pub cow: Option<Snapshot>,
    /// Those of its snapshots that are not thin: LVs that hold what these have of their own.
    pub snapshots: Vec<LvIndex>,
    /// How many snapshots that are not thin say that they are of it.
    pub origin_count: usize,
    /// How many thin volumes of other pools have it as their origin.
    pub external_count: usize,
    /// How many thin volumes are snapshots of it.
    pub thin_snapshots: usize,
    /// That of its first mirror that has one.
    pub log: Option<LvIndex>,
    /// The first of its segments that pvmove made.
    pub pvmove: Option<usize>,
    /// What it came from, through LVs that are gone.
    pub indirect_origin: Option<LvIndex>,
    pub indirect_descendants: Vec<LvIndex>,
}

/// A use of an LV by a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct User {
    pub lv: LvIndex,
    pub segment: usize,
    pub times: usize,
}

/// What the snapshot is of which an LV is the COW device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Snapshot {
    pub origin: LvIndex,
    /// Sectors.
    pub chunk_size: u64,
    pub extents: u64,
    pub is_merging: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Allocation {
    /// Of an LV that is not there.
    #[default]
    None,
    Contiguous,
    Cling,
    Normal,
    Anywhere,
    Inherit,
}

#[derive(Clone, Debug)]
pub struct Segment {
    pub lv: LvIndex,
    /// Extents.
    pub start: u64,
    pub length: u64,
    /// Extents of each area that are there for a reshape.
    pub reshape_length: u64,
    pub kind: Kind,
    /// As LVM shows it, but that a striped one with one stripe is shown as linear.
    pub type_name: std::borrow::Cow<'static, [u8]>,
    pub areas: Vec<Area>,
    /// Of an area of the same number, where raid has metadata.
    pub metadata_areas: Vec<Option<LvIndex>>,
    pub tags: Vec<Vec<u8>>,
    pub data_copies: u64,
    /// Sectors.
    pub stripe_size: u64,
    pub region_size: u64,
    pub chunk_size: u64,
    pub log: Option<LvIndex>,
    pub pool: Option<LvIndex>,
    pub metadata: Option<LvIndex>,
    pub origin: Option<LvIndex>,
    pub external_origin: Option<LvIndex>,
    pub settings: Settings,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Area {
    /// Where in the VG's list the PV stands, and the extent of it.
    Pv {
        pv: usize,
        extent: u64,
    },
    Lv {
        lv: LvIndex,
        extent: u64,
    },
    Unassigned,
}

/// A part of a PV that one segment uses, or none does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PvSegment {
    /// Where it stands in the VG's list of PVs.
    pub pv: usize,
    /// Extents.
    pub start: u64,
    pub length: u64,
    pub used_by: Option<(LvIndex, usize)>,
}

impl Lvs {
    /// Reads what stands between the braces of the VG's section.
    ///
    /// # Errors
    /// It is no text. What else may be wrong with it is read over.
    pub fn read(vg: &Vg, body: &[u8]) -> Result<Lvs, text::Error> {
        let section = text::parse(body)?;
        let read::Texts { mut all, ties } = read::read(vg, &section);
        merge::merge(&mut all);
        relate::relate(&mut all, &ties);
        let pv_segments = pv_segments::of(vg, &all);
        Ok(Lvs { all, pv_segments, extent_size: vg.extent_size, ..Lvs::default() })
    }

    pub fn lv(&self, index: LvIndex) -> Option<&Lv> {
        self.all.get(index)
    }

    /// Where it stands, if it is one of these.
    pub fn index(&self, lv: &Lv) -> Option<LvIndex> {
        let offset = std::ptr::from_ref(lv).addr().checked_sub(self.all.as_ptr().addr())?;
        Some(offset / size_of::<Lv>()).filter(|&index| self.all.get(index).is_some_and(|own| std::ptr::eq(own, lv)))
    }

    /// Those of the PV that stands there in the list of the VG.
    pub fn pv_segments_of(&self, pv: usize) -> &[PvSegment] {
        let start = self.pv_segments.partition_point(|segment| segment.pv < pv);
        let rest = &self.pv_segments[start..];
        &rest[..rest.partition_point(|segment| segment.pv == pv)]
    }
}

impl Lv {
    pub fn new(name: &[u8]) -> Lv {
        Lv { name: name.to_vec(), ..Lv::FREE }
    }

    /// What LVM shows in place of an LV for what no LV uses.
    pub const FREE: Lv = Lv {
        name: Vec::new(),
        id: Id([0; 32]),
        is_visible: true,
        is_historical: false,
        segments: Vec::new(),
        status: Status::NONE,
        tags: Vec::new(),
        created: 0,
        removed: 0,
        host: Vec::new(),
        allocation: Allocation::None,
        profile: Vec::new(),
        lock_args: Vec::new(),
        read_ahead: Some(0),
        devno: None,
        extents: 0,
        users: Vec::new(),
        cow: None,
        snapshots: Vec::new(),
        origin_count: 0,
        external_count: 0,
        thin_snapshots: 0,
        log: None,
        pvmove: None,
        indirect_origin: None,
        indirect_descendants: Vec::new(),
    };

    pub fn first(&self) -> Option<&Segment> {
        self.segments.first()
    }

    pub fn is(&self, flags: Status) -> bool {
        self.status.has(flags)
    }

    pub fn is_origin(&self) -> bool {
        self.origin_count > 0
    }

    pub fn is_external_origin(&self) -> bool {
        self.external_count > 0
    }

    /// Of a snapshot that is not thin, and is merged into its origin.
    pub fn is_merging_cow(&self) -> bool {
        self.cow.is_some_and(|cow| cow.is_merging)
    }

    pub fn is_merging_thin_snapshot(&self) -> bool {
        self.first().is_some_and(|first| matches!(first.settings, Settings::Thin { is_merging: true, .. }))
    }

    /// The type of its first segment.
    pub fn kind(&self) -> Option<Kind> {
        self.first().map(|first| first.kind)
    }
}

impl Segment {
    /// What LVM shows in place of a segment for what no LV uses.
    pub const FREE: Segment = Segment {
        lv: LvIndex::MAX,
        start: 0,
        length: 0,
        reshape_length: 0,
        kind: Kind::Free,
        type_name: std::borrow::Cow::Borrowed(b"free"),
        areas: Vec::new(),
        metadata_areas: Vec::new(),
        tags: Vec::new(),
        data_copies: 0,
        stripe_size: 0,
        region_size: 0,
        chunk_size: 0,
        log: None,
        pool: None,
        metadata: None,
        origin: None,
        external_origin: None,
        settings: Settings::None,
    };

    /// The LV that its first area is.
    pub fn first_lv(&self) -> Option<LvIndex> {
        match self.areas.first() {
            Some(Area::Lv { lv, .. }) => Some(*lv),
            _ => None,
        }
    }

    /// The extents of each area that is on a PV.
    pub fn area_length(&self) -> u64 {
        match (self.kind, u64::try_from(self.areas.len())) {
            (Kind::Striped, Ok(count)) if count > 1 => self.length / count,
            _ => self.length,
        }
    }
}
