//! The rules of a full read, as lvm2's `lib/format_text/import_vsn1.c`, the segment types and
//! `check_lv_segments` have them.
//!
//! Where LVM builds lists of extents this only compares numbers: the work and the memory are
//! bounded by the length of the text, whatever counts it states.

use super::{About, Problem, ProblemKind, Shown, Warning, id, string};
use crate::text::{Item, Node, Scalar, Section, Value};
use std::collections::{HashMap, HashSet};
use std::fmt;

/// More say nothing new, and each is a line in the log.
const MAX_WARNINGS: usize = 16;

const VG_STATUS: &[&str] = &["EXPORTED", "RESIZEABLE", "PVMOVE", "READ", "WRITE", "CLUSTERED", "SHARED", "PARTIAL"];
const PV_STATUS: &[&str] = &["ALLOCATABLE", "EXPORTED", "MISSING"];
const LV_STATUS: &[&str] = &[
    "READ",
    "WRITE",
    "FIXED_MINOR",
    "VISIBLE",
    "PVMOVE",
    "LOCKED",
    "NOTSYNCED",
    "REBUILD",
    "WRITEMOSTLY",
    "CACHE_VOL",
];

/// They stand behind a segment's type, and LVM takes them in an LV's status too.
const SEGMENT_FLAGS: &[&str] = &[
    "RESHAPE",
    "RESHAPE_DATA_OFFSET",
    "RESHAPE_DELTA_DISKS_PLUS",
    "RESHAPE_DELTA_DISKS_MINUS",
    "REMOVE_AFTER_RESHAPE",
    "METADATA_FORMAT",
    "CROP_METADATA",
    "CACHE_USES_CACHEVOL",
];

/// The types whose areas and references are known here.
#[derive(Clone, Copy)]
enum SegmentType {
    Striped,
    Mirror,
    Raid,
    /// The keys that must name an LV, and those that must if they are there.
    Refers {
        needed: &'static [&'static str],
        optional: &'static [&'static str],
    },
}

fn segment_type(name: &[u8]) -> Option<SegmentType> {
    const fn refers(needed: &'static [&'static str], optional: &'static [&'static str]) -> Option<SegmentType> {
        Some(SegmentType::Refers { needed, optional })
    }
    match name {
        b"striped" | b"linear" => Some(SegmentType::Striped),
        b"mirror" => Some(SegmentType::Mirror),
        b"raid0" | b"raid0_meta" | b"raid1" | b"raid10" | b"raid10_near" | b"raid4" => Some(SegmentType::Raid),
        b"raid5" | b"raid5_n" | b"raid5_la" | b"raid5_ls" | b"raid5_ra" | b"raid5_rs" => Some(SegmentType::Raid),
        b"raid6" | b"raid6_nc" | b"raid6_nr" | b"raid6_zr" | b"raid6_n_6" => Some(SegmentType::Raid),
        b"raid6_la_6" | b"raid6_ls_6" | b"raid6_ra_6" | b"raid6_rs_6" => Some(SegmentType::Raid),
        b"snapshot" => refers(&["origin"], &["cow_store", "merging_store"]),
        b"thin-pool" => refers(&["metadata", "pool"], &[]),
        b"thin" => refers(&["thin_pool"], &["external_origin", "origin", "merge"]),
        b"cache-pool" => refers(&["data", "metadata"], &[]),
        b"cache" => refers(&["cache_pool", "origin"], &[]),
        b"writecache" => refers(&["writecache", "origin"], &[]),
        b"integrity" | b"vdo" | b"vdo-pool" | b"zero" | b"error" | b"virtual" => refers(&[], &[]),
        _ => None,
    }
}

/// `None` also for one that has a flag behind it which is not known.
fn known_segment_type(written: &[u8]) -> Option<SegmentType> {
    let mut words = written.split(|&byte| byte == b'+');
    let kind = words.next().and_then(segment_type);
    kind.filter(|_| words.all(|flag| SEGMENT_FLAGS.iter().any(|known| known.as_bytes() == flag)))
}

/// Whether LVM knows what a segment of this type is.
pub fn is_known_segment_type(written: &[u8]) -> bool {
    known_segment_type(written).is_some()
}

/// What a problem is about, for its detail.
#[derive(Clone, Copy)]
struct Part<'s>(&'static str, &'s [u8]);

impl fmt::Display for Part<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.0, Shown(self.1))
    }
}

impl Part<'_> {
    fn wrong(&self, what: impl fmt::Display) -> Problem {
        Problem { kind: ProblemKind::Structure, detail: format!("{self}: {what}"), about: About::Other }
    }

    fn lacks(&self, key: &str) -> Problem {
        self.wrong(format_args!("{key} is missing or of the wrong kind"))
    }
}

/// Reads the section of a VG by all rules, until one is broken.
pub(super) fn check(name: &[u8], vg: &Section) -> (Option<Problem>, Vec<Warning>) {
    let mut checker = Checker::default();
    let problem = checker.vg(Part("VG", name), vg).err();
    (problem, checker.warnings)
}

#[derive(Default)]
struct Checker<'s> {
    /// Keys of PVs, with the place of each in the text and its extents.
    pvs: HashMap<&'s [u8], (usize, u64)>,
    lvs: HashSet<&'s [u8]>,
    used: Vec<UsedExtents>,
    /// The segment that is looked at.
    segment: &'s [u8],
    warnings: Vec<Warning>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct UsedExtents {
    pv: usize,
    start: u64,
    end: u64,
}

impl<'s> Checker<'s> {
    fn vg(&mut self, part: Part, vg: &'s Section) -> Result<(), Problem> {
        check_flags(part, vg, &[VG_STATUS])?;
        if let Some(format) = string(vg, "format").filter(|format| *format != b"lvm2") {
            return Err(part.wrong(format_args!("its format is {}", Shown(format))));
        }
        for key in ["extent_size", "max_lv", "max_pv"] {
            number(vg, key).ok_or_else(|| part.lacks(key))?;
        }
        check_tags(part, vg)?;
        let pvs = vg.section("physical_volumes").ok_or_else(|| part.lacks("physical_volumes"))?;
        for (number, node) in pvs.0.iter().enumerate() {
            let extents = check_pv(Part("PV", &node.key), node)?;
            self.pvs.insert(&node.key, (number, extents));
        }
        let lvs = vg.section("logical_volumes").map_or(&[][..], |section| &section.0);
        self.lvs = lvs.iter().map(|node| &*node.key).collect();
        for node in lvs {
            self.lv(Part("LV", &node.key), node)?;
        }
        if let Some(historical) = vg.section("historical_logical_volumes") {
            check_history(lvs, historical)?;
        }
        self.check_extents_used_once(pvs)
    }

    fn lv(&mut self, part: Part<'s>, node: &'s Node) -> Result<(), Problem> {
        let lv = filled_section(part, node)?;
        id(lv).ok_or_else(|| part.lacks("id"))?;
        check_flags(part, lv, &[LV_STATUS, SEGMENT_FLAGS])?;
        check_tags(part, lv)?;
        if lv.node("creation_time").is_some() != lv.node("creation_host").is_some() {
            return Err(part.lacks("one of creation_time and creation_host"));
        }
        if lv.node("creation_time").is_some() && lv.int("creation_time").is_none() {
            return Err(part.lacks("creation_time"));
        }
        let fixed_minor = lv.value("status").is_some_and(|value| value.strings().any(|flag| flag == b"FIXED_MINOR"));
        if fixed_minor && number(lv, "minor").is_none() {
            return Err(part.lacks("minor"));
        }
        let mut spans = Vec::new();
        // LVM does not see a section without contents.
        for (key, segment) in lv.sections().filter(|(_, segment)| !segment.0.is_empty()) {
            self.segment = key;
            spans.push(self.segment(part, segment)?);
        }
        let count = number(lv, "segment_count").ok_or_else(|| part.lacks("segment_count"))?;
        if u64::try_from(spans.len()) != Ok(count) || spans.is_empty() {
            let problem = part.wrong(format_args!("it has {} segments, segment_count is {count}", spans.len()));
            return Err(Problem { about: About::SegmentCount { lv: part.1.to_vec() }, ..problem });
        }
        spans.sort_unstable();
        let mut covered = 0;
        for (start, length) in spans {
            if start != covered {
                let what = if start < covered { "overlap" } else { "leave a gap" };
                return Err(part.wrong(format_args!("its segments {what} at extent {}", covered.min(start))));
            }
            covered = start.saturating_add(length);
        }
        if covered == 0 {
            return Err(part.wrong("it has no extents"));
        }
        Ok(())
    }

    /// The first extent and the number of extents.
    fn segment(&mut self, part: Part<'s>, segment: &'s Section) -> Result<(u64, u64), Problem> {
        let start = number(segment, "start_extent").ok_or_else(|| part.lacks("start_extent"))?;
        let length = number(segment, "extent_count").ok_or_else(|| part.lacks("extent_count"))?;
        let written = string(segment, "type").ok_or_else(|| part.lacks("a segment's type"))?;
        match known_segment_type(written) {
            None => self.warn(Warning::UnknownSegment { lv: part.1.to_vec(), segment_type: written.to_vec() }),
            Some(SegmentType::Striped) => self.striped(part, segment, length)?,
            Some(SegmentType::Mirror) => self.mirror(part, segment, length)?,
            Some(SegmentType::Raid) => self.raid(part, segment)?,
            Some(SegmentType::Refers { needed, optional }) => {
                for key in needed {
                    self.check_reference(part, string(segment, key).ok_or_else(|| part.lacks(key))?)?;
                }
                for key in optional {
                    string(segment, key).map_or(Ok(()), |name| self.check_reference(part, name))?;
                }
            }
        }
        Ok((start, length))
    }

    fn striped(&mut self, part: Part, segment: &'s Section, length: u64) -> Result<(), Problem> {
        let stripes = number(segment, "stripe_count").ok_or_else(|| part.lacks("stripe_count"))?;
        if stripes > 1 && number(segment, "stripe_size").is_none() {
            return Err(part.lacks("stripe_size"));
        }
        let Some(length) = length.checked_div(stripes).filter(|_| length.is_multiple_of(stripes)) else {
            return Err(part.wrong(format_args!("{length} extents cannot be divided into {stripes} stripes")));
        };
        self.areas(part, segment, "stripes", stripes, length)
    }

    fn mirror(&mut self, part: Part, segment: &'s Section, length: u64) -> Result<(), Problem> {
        let mirrors = number(segment, "mirror_count").ok_or_else(|| part.lacks("mirror_count"))?;
        if let Some(log) = string(segment, "mirror_log") {
            self.check_reference(part, log)?;
        }
        self.areas(part, segment, "mirrors", mirrors, length)
    }

    /// Pairs of a volume's name and the extent in it where an area of `length` extents begins.
    fn areas(&mut self, part: Part, segment: &Section, key: &str, count: u64, length: u64) -> Result<(), Problem> {
        let list = segment.value(key).ok_or_else(|| part.lacks(key))?.scalars();
        let (pairs, rest) = list.as_chunks();
        if count == 0 || !rest.is_empty() || u64::try_from(pairs.len()) != Ok(count) {
            return Err(part.wrong(format_args!("{key} are not {count} pairs of volume and extent")));
        }
        for pair in pairs {
            let [Scalar::Str(name), Scalar::Int(start)] = pair else {
                return Err(part.wrong(format_args!("{key} are not {count} pairs of volume and extent")));
            };
            match self.pvs.get(&**name) {
                None => self.area(part, name)?,
                Some(_) if length == 0 => return Err(part.wrong("an area on a PV has no extents")),
                Some(&(pv, extents)) => {
                    let start = low_32_bits(*start);
                    let end = start.saturating_add(length);
                    if end > extents {
                        let name = Shown(name);
                        return Err(part.wrong(format_args!("it needs extent {end} of {extents} on {name}")));
                    }
                    self.used.push(UsedExtents { pv, start, end });
                }
            }
        }
        Ok(())
    }

    /// `raids` has pairs of a metadata LV and an image, for raid0 `raid0_lvs` has images alone.
    fn raid(&mut self, part: Part, segment: &Section) -> Result<(), Problem> {
        let count = number(segment, "device_count").or_else(|| number(segment, "stripe_count"));
        let count = count.ok_or_else(|| part.lacks("device_count"))?;
        let (raids, images) = (segment.value("raids"), segment.value("raid0_lvs"));
        let list = raids.or(images).ok_or_else(|| part.lacks("raids"))?.scalars();
        let length = u64::try_from(list.len()).unwrap_or(u64::MAX);
        if count == 0 || length != count.saturating_mul(2) && (raids.is_some() || length != count) {
            return Err(part.wrong(format_args!("{length} names are not those of {count} raid devices")));
        }
        for name in list {
            match name {
                Scalar::Str(name) => self.area(part, name)?,
                Scalar::Int(_) | Scalar::Float(_) => return Err(part.lacks("the name of a raid device")),
            }
        }
        Ok(())
    }

    /// Of the LV itself, an area would be without end.
    fn area(&self, part: Part, name: &[u8]) -> Result<(), Problem> {
        if name == part.1 {
            return Err(part.wrong("it is an area of its own"));
        }
        self.check_reference(part, name)
    }

    fn check_reference(&self, part: Part, name: &[u8]) -> Result<(), Problem> {
        if self.lvs.contains(name) {
            return Ok(());
        }
        let about = About::NoVolume { volume: name.to_vec(), segment: self.segment.to_vec() };
        Err(Problem { about, ..part.wrong(format_args!("there is no volume {}", Shown(name))) })
    }

    fn check_extents_used_once(&mut self, pvs: &Section) -> Result<(), Problem> {
        self.used.retain(|used| used.start < used.end);
        self.used.sort_unstable();
        let mut pairs = self.used.iter().zip(self.used.iter().skip(1));
        match pairs.find(|(before, next)| before.pv == next.pv && before.end > next.start) {
            None => Ok(()),
            Some((_, next)) => {
                let key = pvs.0.get(next.pv).map_or(&b"?"[..], |node| &node.key);
                Err(Part("PV", key).wrong(format_args!("extent {} is used twice", next.start)))
            }
        }
    }

    fn warn(&mut self, warning: Warning) {
        if self.warnings.len() < MAX_WARNINGS {
            self.warnings.push(warning);
        }
    }
}

fn is_thin(lv: &Node) -> bool {
    let Item::Section(lv) = &lv.item else { return false };
    lv.sections().next().and_then(|(_, segment)| string(segment, "type")) == Some(b"thin")
}

/// What is left of LVs that are gone: their origins are LVs or historical ones, and their descendants are
/// LVs, which are thin.
fn check_history(lvs: &[Node], historical: &Section) -> Result<(), Problem> {
    let mut names = HashSet::new();
    for node in &historical.0 {
        let part = Part("historical LV", &node.key);
        let lv = filled_section(part, node)?;
        id(lv).ok_or_else(|| part.lacks("id"))?;
        names.insert(string(lv, "name").unwrap_or(&node.key));
    }
    let lvs = lvs.iter().map(|node| (&*node.key, node)).collect::<HashMap<_, _>>();
    for (key, lv) in historical.sections() {
        let part = Part("historical LV", key);
        if !names.contains(key) {
            return Err(part.wrong("its name is another"));
        }
        if lv.node("origin").is_some() {
            let origin = string(lv, "origin").ok_or_else(|| part.lacks("origin"))?;
            let is_known = match origin.strip_prefix(b"-") {
                Some(gone) => names.contains(gone),
                None => lvs.contains_key(origin),
            };
            if !is_known {
                return Err(part.wrong(format_args!("there is no origin {}", Shown(origin))));
            }
        }
        let Some(descendants) = lv.value("descendants") else { continue };
        check_strings(part, "descendants", descendants)?;
        if descendants.scalars().is_empty() {
            return Err(part.lacks("descendants"));
        }
        for name in descendants.strings() {
            let Some(descendant) = lvs.get(name) else {
                return Err(part.wrong(format_args!("there is no descendant {}", Shown(name))));
            };
            if !is_thin(descendant) {
                return Err(part.wrong(format_args!("its descendant {} is not thin", Shown(name))));
            }
        }
    }
    Ok(())
}

/// The number of its extents.
fn check_pv(part: Part, node: &Node) -> Result<u64, Problem> {
    let pv = filled_section(part, node)?;
    id(pv).ok_or_else(|| part.lacks("id"))?;
    check_flags(part, pv, &[PV_STATUS])?;
    pv.int("pe_start").ok_or_else(|| part.lacks("pe_start"))?;
    let extents = number(pv, "pe_count").ok_or_else(|| part.lacks("pe_count"))?;
    if pv.node("dev_size").is_some() && pv.int("dev_size").is_none() {
        return Err(part.lacks("dev_size"));
    }
    if pv.int("ba_start").is_some() != pv.int("ba_size").is_some() {
        return Err(part.lacks("one of ba_start and ba_size"));
    }
    check_tags(part, pv)?;
    Ok(extents)
}

/// LVM finds nothing to read in an empty section, nor in a value.
fn filled_section<'s>(part: Part, node: &'s Node) -> Result<&'s Section<'s>, Problem> {
    match &node.item {
        Item::Section(section) if !section.0.is_empty() => Ok(section),
        Item::Section(_) | Item::Value(_) | Item::Known(_) => Err(part.wrong("it is empty")),
    }
}

/// Every status flag must be known. A list `flags` may have any, but only strings.
fn check_flags(part: Part, section: &Section, known: &[&[&str]]) -> Result<(), Problem> {
    let status = section.value("status").ok_or_else(|| part.lacks("status"))?;
    check_strings(part, "status", status)?;
    if let Some(flags) = section.value("flags") {
        check_strings(part, "flags", flags)?;
    }
    match status.strings().find(|flag| !known.iter().copied().flatten().any(|known| known.as_bytes() == *flag)) {
        None => Ok(()),
        Some(flag) => Err(Problem {
            kind: ProblemKind::StatusFlag,
            detail: format!("{part}: unknown status flag {}", Shown(flag)),
            about: About::Flag { flag: flag.to_vec(), is_of_vg: part.0 == "VG" },
        }),
    }
}

fn check_tags(part: Part, section: &Section) -> Result<(), Problem> {
    section.value("tags").map_or(Ok(()), |tags| check_strings(part, "tags", tags))
}

fn check_strings(part: Part, key: &str, value: &Value) -> Result<(), Problem> {
    if value.strings().count() == value.scalars().len() { Ok(()) } else { Err(part.lacks(key)) }
}

fn number(section: &Section, key: &str) -> Option<u64> {
    section.int(key).map(low_32_bits)
}

/// LVM keeps these in 32 bits, and sums of a few of them fit a `u64`.
fn low_32_bits(value: i64) -> u64 {
    value.cast_unsigned() & u64::from(u32::MAX)
}
