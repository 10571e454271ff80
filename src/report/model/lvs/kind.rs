//! The types of segments, and what each of them is like.

use std::borrow::Cow;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// With one stripe, it is linear.
    Striped,
    Mirror,
    Raid(Raid),
    /// Only that of the LV that ties a COW LV to its origin.
    Snapshot,
    ThinPool,
    Thin,
    CachePool,
    Cache,
    Writecache,
    Integrity,
    VdoPool,
    Vdo,
    Zero,
    Error,
    /// Part of a PV that no LV uses.
    Free,
    Unknown,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Raid {
    Raid0,
    Raid0Meta,
    Raid1,
    Raid10,
    Raid4,
    Raid5,
    Raid6,
}

const NAMES: &[(&str, Kind)] = &[
    ("striped", Kind::Striped),
    ("linear", Kind::Striped),
    ("thin", Kind::Thin),
    ("thin-pool", Kind::ThinPool),
    ("mirror", Kind::Mirror),
    ("snapshot", Kind::Snapshot),
    ("cache-pool", Kind::CachePool),
    ("cache", Kind::Cache),
    ("writecache", Kind::Writecache),
    ("integrity", Kind::Integrity),
    ("vdo-pool", Kind::VdoPool),
    ("vdo", Kind::Vdo),
    ("zero", Kind::Zero),
    ("error", Kind::Error),
    ("raid0", Kind::Raid(Raid::Raid0)),
    ("raid0_meta", Kind::Raid(Raid::Raid0Meta)),
    ("raid1", Kind::Raid(Raid::Raid1)),
    ("raid10", Kind::Raid(Raid::Raid10)),
    ("raid10_near", Kind::Raid(Raid::Raid10)),
    ("raid4", Kind::Raid(Raid::Raid4)),
    ("raid5", Kind::Raid(Raid::Raid5)),
    ("raid5_n", Kind::Raid(Raid::Raid5)),
    ("raid5_la", Kind::Raid(Raid::Raid5)),
    ("raid5_ls", Kind::Raid(Raid::Raid5)),
    ("raid5_ra", Kind::Raid(Raid::Raid5)),
    ("raid5_rs", Kind::Raid(Raid::Raid5)),
    ("raid6", Kind::Raid(Raid::Raid6)),
    ("raid6_n_6", Kind::Raid(Raid::Raid6)),
    ("raid6_nc", Kind::Raid(Raid::Raid6)),
    ("raid6_nr", Kind::Raid(Raid::Raid6)),
    ("raid6_zr", Kind::Raid(Raid::Raid6)),
    ("raid6_la_6", Kind::Raid(Raid::Raid6)),
    ("raid6_ls_6", Kind::Raid(Raid::Raid6)),
    ("raid6_ra_6", Kind::Raid(Raid::Raid6)),
    ("raid6_rs_6", Kind::Raid(Raid::Raid6)),
];

impl Kind {
    /// Of a type's name, which has no flags behind it; with the name as LVM shows it.
    pub fn of(name: &[u8]) -> (Kind, Cow<'static, [u8]>) {
        match NAMES.iter().find(|(known, _)| known.as_bytes() == name) {
            Some((known, kind)) => (*kind, Cow::Borrowed(known.as_bytes())),
            None => (Kind::Unknown, Cow::Owned(name.to_vec())),
        }
    }

    pub fn raid(self) -> Option<Raid> {
        match self {
            Kind::Raid(raid) => Some(raid),
            _ => None,
        }
    }

    /// Its areas hold the same data.
    pub fn is_mirrored(self) -> bool {
        matches!(self, Kind::Mirror | Kind::Raid(Raid::Raid1 | Raid::Raid10))
    }

    /// Its extents lie nowhere, or not one by one.
    pub fn is_virtual(self) -> bool {
        matches!(self, Kind::Zero | Kind::Error | Kind::Thin | Kind::Vdo | Kind::Free | Kind::Unknown)
    }

    pub fn is_pool(self) -> bool {
        matches!(self, Kind::ThinPool | Kind::CachePool)
    }

    /// Devices that hold no data but what restores it.
    pub fn parity_devices(self) -> u64 {
        match self {
            Kind::Raid(Raid::Raid4 | Raid::Raid5) => 1,
            Kind::Raid(Raid::Raid6) => 2,
            _ => 0,
        }
    }

    /// Stripes can be added to it and taken from it.
    pub fn is_reshapable(self) -> bool {
        matches!(self, Kind::Raid(Raid::Raid4 | Raid::Raid5 | Raid::Raid6 | Raid::Raid10))
    }

    /// What device-mapper needs for it, of `lv_modules`.
    pub fn modules(self) -> &'static [&'static str] {
        match self {
            Kind::Striped | Kind::Free | Kind::Unknown => &[],
            Kind::Mirror => &["mirror"],
            Kind::Raid(_) => &["raid"],
            Kind::Snapshot => &["snapshot"],
            Kind::ThinPool => &["thin-pool"],
            Kind::Thin => &["thin", "thin-pool"],
            Kind::CachePool | Kind::Cache => &["cache"],
            Kind::Writecache => &["writecache"],
            Kind::Integrity => &["integrity"],
            Kind::VdoPool | Kind::Vdo => &["kvdo"],
            Kind::Zero => &["zero"],
            Kind::Error => &["error"],
        }
    }

    /// How often the data are there in a raid that does not say so.
    pub fn data_copies(self, areas: u64) -> u64 {
        match self {
            Kind::Raid(Raid::Raid1) => areas,
            Kind::Raid(Raid::Raid10) => 2,
            _ => self.parity_devices() + 1,
        }
    }
}
