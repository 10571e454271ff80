//! From the text to LVs and segments, with the names in it found, and nothing concluded.

use super::section::{find_number, low_32_bits, number, number64, string};
use super::{Allocation, Area, Kind, Lv, LvIndex, Segment, Status, settings};
use crate::id::Id;
use crate::report::model::Vg;
use crate::text::{Item, Scalar, Section};
use std::collections::HashMap;

pub struct Texts {
    pub all: Vec<Lv>,
    pub ties: Vec<Tie>,
}

/// What the LV says that ties a COW LV to its origin.
pub struct Tie {
    pub cow: LvIndex,
    pub origin: LvIndex,
    pub chunk_size: u64,
    pub extents: u64,
    pub is_merging: bool,
}

struct Names<'s> {
    pvs: HashMap<&'s [u8], usize>,
    lvs: HashMap<&'s [u8], LvIndex>,
}

pub fn read(vg: &Vg, section: &Section) -> Texts {
    let sections = |key: &str| section.section(key).map_or(&[][..], |section| &section.0).iter();
    let written = || {
        sections("logical_volumes").filter_map(|node| match &node.item {
            Item::Section(lv) => Some((&*node.key, lv)),
            Item::Value(_) | Item::Known(_) => None,
        })
    };
    let mut names = Names { pvs: HashMap::new(), lvs: HashMap::new() };
    for (index, pv) in vg.pvs.iter().enumerate() {
        names.pvs.entry(&pv.key).or_insert(index);
    }
    let mut count = 0;
    for (name, _) in written().filter(|(_, lv)| !is_tie(lv)) {
        names.lvs.entry(name).or_insert(count);
        count += 1;
    }
    let (mut all, mut ties) = (Vec::with_capacity(count), Vec::new());
    for (name, lv) in written() {
        if is_tie(lv) {
            ties.extend(segments(lv).filter_map(|segment| names.tie(segment)));
        } else {
            all.push(names.lv(all.len(), name, lv));
        }
    }
    let historical = sections("historical_logical_volumes").filter_map(|node| match &node.item {
        Item::Section(lv) => Some((&*node.key, lv)),
        Item::Value(_) | Item::Known(_) => None,
    });
    read_historical(&historical.collect::<Vec<_>>(), &names, &mut all);
    Texts { all, ties }
}

fn is_tie(lv: &Section) -> bool {
    segments(lv).any(|segment| string(segment, "type") == Some(b"snapshot"))
}

/// Each section in that of an LV is a segment.
fn segments<'s>(lv: &'s Section<'s>) -> impl Iterator<Item = &'s Section<'s>> {
    lv.sections().map(|(_, segment)| segment)
}

fn read_historical(sections: &[(&[u8], &Section)], names: &Names, all: &mut Vec<Lv>) {
    let mut known = HashMap::new();
    for (index, (key, section)) in (all.len()..).zip(sections) {
        let name = string(section, "name").unwrap_or(key);
        known.entry(*key).or_insert(index);
        known.entry(name).or_insert(index);
        all.push(Lv {
            id: id(section),
            is_historical: true,
            created: number64(section, "creation_time"),
            removed: number64(section, "removal_time"),
            ..Lv::new(name)
        });
    }
    let live = all.len() - sections.len();
    for (index, (_, section)) in (live..).zip(sections) {
        let origin = string(section, "origin").and_then(|name| match name.strip_prefix(b"-") {
            Some(historical) => known.get(historical),
            None => names.lvs.get(name),
        });
        if let Some(&origin) = origin {
            all[index].indirect_origin = Some(origin);
            all[origin].indirect_descendants.push(index);
        }
        let descendants = section.value("descendants").into_iter().flat_map(|names| names.strings());
        for &descendant in descendants.filter_map(|name| names.lvs.get(name)) {
            all[index].indirect_descendants.push(descendant);
            all[descendant].indirect_origin = Some(index);
        }
    }
}

impl Names<'_> {
    fn tie(&self, segment: &Section) -> Option<Tie> {
        let merging = string(segment, "merging_store");
        Some(Tie {
            cow: self.find(merging.or_else(|| string(segment, "cow_store")))?,
            origin: self.find(string(segment, "origin"))?,
            chunk_size: number(segment, "chunk_size"),
            extents: number(segment, "extent_count"),
            is_merging: merging.is_some(),
        })
    }

    fn find(&self, name: Option<&[u8]>) -> Option<LvIndex> {
        self.lvs.get(name?).copied()
    }

    fn lv(&self, index: LvIndex, name: &[u8], section: &Section) -> Lv {
        let mut lv = Lv::new(name);
        let words = |key| section.value(key).into_iter().flat_map(|words| words.strings());
        words("status").for_each(|word| lv.status.set(Status::written(word)));
        words("flags").for_each(|word| lv.status.set(Status::compatible(word)));
        let is_visible = lv.is(Status::VISIBLE);
        if !is_visible && memchr::memmem::find(name, b"_pmspare").is_some() {
            lv.status.set(Status::POOL_METADATA_SPARE);
        }
        if !is_visible && name == b"lvmlock" {
            lv.status.set(Status::SANLOCK);
        }
        lv.id = id(section);
        lv.tags = words("tags").map(<[u8]>::to_vec).collect();
        lv.tags.sort();
        lv.created = number64(section, "creation_time");
        if lv.created > 0 {
            lv.host = string(section, "creation_host").unwrap_or_default().to_vec();
        }
        lv.allocation = match string(section, "allocation_policy") {
            Some(b"contiguous") => Allocation::Contiguous,
            Some(b"cling") => Allocation::Cling,
            Some(b"normal") => Allocation::Normal,
            Some(b"anywhere") => Allocation::Anywhere,
            _ => Allocation::Inherit,
        };
        lv.profile = string(section, "profile").unwrap_or_default().to_vec();
        lv.lock_args = string(section, "lock_args").unwrap_or_default().to_vec();
        lv.read_ahead = match find_number(section, "read_ahead") {
            None | Some(0) => None,
            Some(u32::MAX) => Some(0),
            Some(sectors) => Some(u64::from(sectors)),
        };
        if lv.is(Status::FIXED_MINOR) {
            lv.devno = find_number(section, "minor")
                .filter(|minor| *minor <= MINOR_MAX)
                .map(|minor| (find_number(section, "major"), minor))
                .map(|(major, minor)| (major.map_or(settings::DEVICE_MAPPER_MAJOR, u64::from), u64::from(minor)));
        }
        for written in segments(section) {
            let segment = self.segment(index, &mut lv, written);
            lv.extents = lv.extents.saturating_add(segment.length);
            lv.segments.push(segment);
        }
        lv.segments.sort_by_key(|segment| segment.start);
        lv
    }

    fn segment(&self, lv: LvIndex, status: &mut Lv, section: &Section) -> Segment {
        let written = string(section, "type").unwrap_or_default();
        let (name, flags) = split_flags(written);
        flags.for_each(|flag| status.status.set(Status::written(flag)));
        let (kind, type_name) = Kind::of(name);
        let tags = section.value("tags").into_iter().flat_map(|tags| tags.strings());
        let mut segment = Segment {
            lv,
            start: number(section, "start_extent"),
            length: number(section, "extent_count"),
            reshape_length: number(section, "reshape_count"),
            kind,
            type_name,
            tags: tags.map(<[u8]>::to_vec).collect(),
            data_copies: find_number(section, "data_copies").map_or(1, u64::from),
            ..Segment::FREE
        };
        segment.tags.sort();
        self.details(&mut segment, section);
        segment
    }

    fn details(&self, segment: &mut Segment, section: &Section) {
        let lv = |key| self.find(string(section, key));
        let area = |key| vec![lv(key).map_or(Area::Unassigned, |lv| Area::Lv { lv, extent: 0 })];
        segment.settings = settings::read(segment.kind, section);
        match segment.kind {
            Kind::Striped => {
                segment.areas = self.areas(section, "stripes");
                if segment.areas.len() > 1 {
                    segment.stripe_size = number(section, "stripe_size");
                }
            }
            Kind::Mirror => {
                segment.areas = self.areas(section, "mirrors");
                segment.region_size = number(section, "region_size");
                segment.log = lv("mirror_log");
            }
            Kind::Raid(_) => {
                segment.region_size = number(section, "region_size");
                segment.stripe_size = number(section, "stripe_size");
                self.raid_areas(segment, section);
                if segment.data_copies <= 1 {
                    let areas = u64::try_from(segment.areas.len()).unwrap_or(u64::MAX);
                    segment.data_copies = segment.kind.data_copies(areas);
                }
            }
            Kind::ThinPool | Kind::CachePool => {
                let data = if segment.kind == Kind::ThinPool { "pool" } else { "data" };
                segment.areas = area(data);
                segment.metadata = lv("metadata");
                segment.chunk_size = number(section, "chunk_size");
            }
            Kind::Thin => {
                segment.pool = lv("thin_pool");
                segment.origin = lv("origin");
                segment.external_origin = lv("external_origin");
            }
            Kind::Cache => {
                segment.areas = area("origin");
                segment.pool = lv("cache_pool");
                segment.chunk_size = number(section, "chunk_size");
            }
            Kind::Writecache => {
                segment.areas = area("origin");
                segment.origin = lv("origin");
                segment.pool = lv("writecache");
            }
            Kind::Integrity => {
                segment.areas = area("origin");
                segment.origin = lv("origin");
                segment.metadata = lv("meta_dev");
            }
            Kind::VdoPool => segment.areas = area("data"),
            Kind::Vdo => {
                let extent = number(section, "vdo_offset");
                segment.areas = vec![lv("vdo_pool").map_or(Area::Unassigned, |lv| Area::Lv { lv, extent })];
            }
            Kind::Snapshot | Kind::Zero | Kind::Error | Kind::Free | Kind::Unknown => {}
        }
    }

    /// Pairs of the name of a PV or an LV, and an extent of it.
    fn areas(&self, section: &Section, key: &str) -> Vec<Area> {
        let scalars = section.value(key).map_or(&[][..], |list| list.scalars());
        let (pairs, _) = scalars.as_chunks();
        let area = |pair: &[Scalar; 2]| {
            let [Scalar::Str(name), Scalar::Int(extent)] = pair else { return Area::Unassigned };
            let extent = u64::from(low_32_bits(*extent));
            if let Some(&pv) = self.pvs.get(&**name) {
                return Area::Pv { pv, extent };
            }
            self.lvs.get(&**name).map_or(Area::Unassigned, |&lv| Area::Lv { lv, extent })
        };
        pairs.iter().map(area).collect()
    }

    /// Pairs of metadata and image; of raid0, images alone.
    fn raid_areas(&self, segment: &mut Segment, section: &Section) {
        let area = |name: &[u8]| self.lvs.get(name).map_or(Area::Unassigned, |&lv| Area::Lv { lv, extent: 0 });
        if let Some(pairs) = section.value("raids") {
            let names = pairs.strings().collect::<Vec<_>>();
            let (pairs, _) = names.as_chunks();
            for [metadata, image] in pairs {
                segment.metadata_areas.push(self.lvs.get(metadata).copied());
                segment.areas.push(area(image));
            }
        } else if let Some(images) = section.value("raid0_lvs") {
            segment.areas = images.strings().map(area).collect();
        }
    }
}

/// A larger one is not heeded, nor the major number with it.
const MINOR_MAX: u32 = (1 << 20) - 1;

/// Where a flag is not known, LVM takes the whole for the name of a type.
fn split_flags(written: &[u8]) -> (&[u8], impl Iterator<Item = &[u8]>) {
    let mut words = written.split(|&byte| byte == b'+');
    let name = words.next().unwrap_or_default();
    let is_known = words.clone().all(|flag| settings::SEGMENT_FLAGS.contains(&flag));
    let flags = words.filter(move |_| is_known);
    (if is_known { name } else { written }, flags)
}

fn id(section: &Section) -> Id {
    string(section, "id").and_then(Id::parse).unwrap_or(Id([0; 32]))
}
