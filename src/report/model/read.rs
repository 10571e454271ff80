//! A VG without its LVs, out of its text (metadata-text.md 2 and 4).

use super::{Vg, VgPv};
use crate::bytes::Bytes;
use crate::id::Id;
use crate::metadata::is_known_segment_type;
use crate::text::{self, Scalar, Section};
use std::collections::{HashMap, HashSet};

impl Vg {
    /// Reads what the section of a VG has between its braces. What is missing or of the wrong kind is
    /// empty; whether LVM would read the VG at all is not asked here.
    ///
    /// # Errors
    /// It is no text of LVM's.
    pub fn read(name: &[u8], body: &[u8]) -> Result<Vg, text::Error> {
        let section = text::parse(body)?;
        let pvs = section.section("physical_volumes").into_iter().flat_map(Section::sections);
        let mut pvs = pvs.map(|(key, pv)| read_pv(key, pv)).collect::<Vec<_>>();
        let lvs = section.section("logical_volumes");
        allocate(&mut pvs, lvs);
        let (lv_count, snap_count) = count(lvs);
        let historical = section.section("historical_logical_volumes");
        Ok(Vg {
            name: name.into(),
            id: id(&section),
            seqno: section.int("seqno").unwrap_or(0),
            status: strings(&section, "status"),
            flags: strings(&section, "flags"),
            tags: strings(&section, "tags"),
            system_id: string(&section, "system_id"),
            lock_type: string(&section, "lock_type"),
            lock_args: string(&section, "lock_args"),
            extent_size: short(&section, "extent_size"),
            max_lv: short(&section, "max_lv"),
            max_pv: short(&section, "max_pv"),
            allocation_policy: string(&section, "allocation_policy"),
            profile: string(&section, "profile"),
            metadata_copies: cut(section.int("metadata_copies").unwrap_or(0)),
            pvs,
            lv_count,
            snap_count,
            has_historical: historical.is_some_and(|historical| historical.sections().next().is_some()),
        })
    }
}

fn read_pv(key: &[u8], pv: &Section) -> VgPv {
    VgPv {
        id: id(pv),
        key: key.into(),
        device: string(pv, "device"),
        device_id_type: string(pv, "device_id_type"),
        device_id: string(pv, "device_id"),
        status: strings(pv, "status"),
        flags: strings(pv, "flags"),
        tags: strings(pv, "tags"),
        dev_size: long(pv, "dev_size"),
        pe_start: long(pv, "pe_start"),
        pe_count: short(pv, "pe_count"),
        pe_alloc_count: 0,
        ba_start: long(pv, "ba_start"),
        ba_size: long(pv, "ba_size"),
    }
}

/// Counts the extents of PVs that segments use. Those of other LVs that they use are counted where
/// these have theirs.
fn allocate(pvs: &mut [VgPv], lvs: Option<&Section>) {
    let mut used = vec![0u64; pvs.len()];
    let mut places = HashMap::with_capacity(pvs.len());
    for (place, pv) in pvs.iter().enumerate() {
        places.entry(&*pv.key).or_insert(place);
    }
    for segment in lvs.into_iter().flat_map(Section::sections).flat_map(|(_, lv)| lv.sections()) {
        let segment = segment.1;
        let (areas, is_striped) = match kind(segment) {
            b"striped" | b"linear" => ("stripes", true),
            b"mirror" => ("mirrors", false),
            _ => continue,
        };
        let Some(areas) = segment.value(areas).map(text::Value::scalars) else { continue };
        let extents = short(segment, "extent_count");
        let each = if is_striped { extents / (areas.len() as u64 / 2).max(1) } else { extents };
        for area in areas.chunks_exact(2) {
            if let Scalar::Str(name) = &area[0]
                && let Some(place) = places.get(&**name)
            {
                used[*place] = used[*place].saturating_add(each);
            }
        }
    }
    drop(places);
    for (pv, used) in pvs.iter_mut().zip(used) {
        pv.pe_alloc_count = used;
    }
}

/// The type of a segment without the flags behind it; empty if LVM does not know it, or one of them.
fn kind<'s>(segment: &'s Section) -> &'s [u8] {
    let Some(Scalar::Str(written)) = segment.value("type").and_then(|value| value.scalars().first()) else {
        return b"";
    };
    if !is_known_segment_type(written) {
        return b"";
    }
    &written[..memchr::memchr(b'+', written).unwrap_or(written.len())]
}

/// What of an LV counts for whether users see it.
#[derive(Default)]
struct Seen {
    is_marked: bool,
    /// It ties a snapshot to its origin, and stands for neither.
    is_tie: bool,
    is_origin: bool,
    /// It holds what a snapshot has of its own; of which origin.
    cow_of: Option<usize>,
    is_merging: bool,
}

/// How many LVs users see, and how many are snapshots: also one that is merged, which users do not see.
fn count(lvs: Option<&Section>) -> (u64, u64) {
    let lvs = lvs.into_iter().flat_map(Section::sections).collect::<Vec<_>>();
    let has_flag = |lv: &Section| {
        let mut flags = lv.value("status").into_iter().flat_map(text::Value::strings);
        flags.any(|flag| flag == b"VISIBLE")
    };
    let hidden = hidden(&lvs);
    let is_marked = |name: &[u8], lv: &Section| has_flag(lv) && !hidden.contains(name);
    let seen = lvs.iter().map(|(name, lv)| Seen { is_marked: is_marked(name, lv), ..Seen::default() });
    let mut seen = seen.collect::<Vec<_>>();
    tie_snapshots(&lvs, &mut seen);
    let is_visible = |lv: &&Seen| match lv.cow_of {
        _ if lv.is_tie => false,
        _ if lv.is_origin && lv.cow_of.is_some() => false,
        // An origin that is hidden is that of a sparse LV, which users see as its snapshot.
        Some(origin) => !lv.is_merging || !seen[origin].is_marked,
        None => lv.is_marked,
    };
    let is_snapshot = |lv: &&Seen| lv.cow_of.is_some() && !lv.is_origin && !lv.is_tie;
    let count = |lvs: usize| u64::try_from(lvs).unwrap_or(u64::MAX);
    (count(seen.iter().filter(is_visible).count()), count(seen.iter().filter(is_snapshot).count()))
}

/// What pools and caches are made of, and thin snapshots that are merged, is hidden whatever its flags say.
fn hidden<'s>(lvs: &[(&'s [u8], &'s Section)]) -> HashSet<&'s [u8]> {
    let segments = lvs.iter().flat_map(|(name, lv)| lv.sections().map(|(_, segment)| (*name, segment)));
    let hidden = segments.flat_map(|(name, segment)| match kind(segment) {
        b"thin" => [segment.node("merge").map(|_| name), None],
        b"thin-pool" => [segment.str("pool"), segment.str("metadata")],
        b"cache-pool" => [segment.str("data"), segment.str("metadata")],
        b"cache" => [segment.str("cache_pool"), None],
        b"vdo-pool" => [segment.str("data"), None],
        _ => [None, None],
    });
    hidden.flatten().collect()
}

fn tie_snapshots(lvs: &[(&[u8], &Section)], seen: &mut [Seen]) {
    let ties = lvs.iter().enumerate().filter_map(|(place, (_, lv))| {
        let (_, segment) = lv.sections().find(|(_, segment)| kind(segment) == b"snapshot")?;
        Some((place, segment))
    });
    let ties = ties.collect::<Vec<_>>();
    if ties.is_empty() {
        return;
    }
    let mut places = HashMap::with_capacity(lvs.len());
    for (place, (name, _)) in lvs.iter().enumerate() {
        places.entry(*name).or_insert(place);
    }
    for (tie, segment) in ties {
        seen[tie].is_tie = true;
        let merging = segment.str("merging_store");
        let cow = merging.or_else(|| segment.str("cow_store")).and_then(|name| places.get(name));
        let origin = segment.str("origin").and_then(|name| places.get(name));
        if let (Some(&cow), Some(&origin)) = (cow, origin) {
            seen[cow].cow_of = Some(origin);
            seen[cow].is_merging = merging.is_some();
            seen[origin].is_origin = true;
        }
    }
}

fn id(section: &Section) -> Option<Id> {
    Id::parse(section.str("id")?)
}

fn string(section: &Section, key: &str) -> Bytes {
    section.str(key).unwrap_or_default().into()
}

fn strings(section: &Section, key: &str) -> Vec<Bytes> {
    section.value(key).into_iter().flat_map(text::Value::strings).map(Bytes::from).collect()
}

/// LVM keeps these in 64 bits without a sign.
fn long(section: &Section, key: &str) -> u64 {
    section.int(key).unwrap_or(0).cast_unsigned()
}

/// And these in 32.
fn short(section: &Section, key: &str) -> u64 {
    cut(section.int(key).unwrap_or(0)).into()
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "what LVM does")]
fn cut(value: i64) -> u32 {
    value as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    const VG: &str = r#"
        id = "111111-1111-1111-1111-1111-1111-111111" seqno = 7 status = ["RESIZEABLE", "READ"] flags = "WRITE_LOCKED"
        tags = ["a", "b\"c"] system_id = "host" extent_size = 8192 max_lv = 4294967297 metadata_copies = -1
        physical_volumes {
            pv0 { id = "222222-2222-2222-2222-2222-2222-222222" device = "/dev/sda" status = ["ALLOCATABLE"]
                  dev_size = 99 pe_start = 2048 pe_count = 20 ba_start = 5 ba_size = 6 }
            pv1 { id = "odd" status = [] pe_start = 2048 pe_count = 30 tags = "x" }
        }
        logical_volumes {"#;

    fn read(lvs: &str) -> Vg {
        Vg::read(b"vg", format!("{VG}{lvs}}}").as_bytes()).unwrap()
    }

    fn lv(name: &str, status: &str, segment: &str) -> String {
        format!("{name} {{ status = [{status}] segment_count = 1 segment1 {{ {segment} }} }}\n")
    }

    #[test]
    fn what_a_vg_says_of_itself() {
        let vg = read("");
        assert_eq!((vg.id, vg.seqno), (Some(Id([b'1'; 32])), 7));
        assert_eq!(
            (&vg.status[..], &vg.flags[..]),
            (&["RESIZEABLE".into(), "READ".into()][..], &["WRITE_LOCKED".into()][..])
        );
        assert_eq!(vg.tags, [Bytes::from("a"), "b\"c".into()]);
        assert_eq!((vg.extent_size, vg.max_lv, vg.metadata_copies), (8192, 1, u32::MAX));
        let [pv0, pv1] = &vg.pvs[..] else { panic!("{vg:?}") };
        assert_eq!((pv0.id, &*pv0.device, pv0.dev_size), (Some(Id([b'2'; 32])), &b"/dev/sda"[..], 99));
        assert_eq!((pv0.pe_start, pv0.pe_count, pv0.ba_start, pv0.ba_size), (2048, 20, 5, 6));
        assert_eq!((pv1.id, &pv1.tags[..], &*pv1.key), (None, &[Bytes::from("x")][..], &b"pv1"[..]));
        assert!(!vg.has_historical && Vg::read(b"vg", b"historical_logical_volumes { x { } }").unwrap().has_historical);
        assert!(Vg::read(b"vg", b"a = ").is_err());
    }

    #[test]
    fn extents_of_pvs_are_counted_where_they_are_used() {
        let check = |segment: &str, expected: [u64; 2]| {
            let vg = read(&lv("lv", "", segment));
            assert_eq!([vg.pvs[0].pe_alloc_count, vg.pvs[1].pe_alloc_count], expected, "{segment}");
        };
        check("extent_count = 3 type = \"striped\" stripes = [\"pv0\", 4]", [3, 0]);
        check("extent_count = 6 type = \"linear\" stripes = [\"pv0\", 4, \"pv1\", 0]", [3, 3]);
        check("extent_count = 6 type = \"mirror\" mirrors = [\"pv0\", 4, \"pv1\", 0]", [6, 6]);
        check("extent_count = 6 type = \"mirror\" mirrors = [\"lv0\", 4, \"pv1\", 0]", [0, 6]);
        check("extent_count = 6 type = \"raid1\" raids = [\"a\", \"b\"]", [0, 0]);
        check("extent_count = 6 type = \"striped+RESHAPE\" stripes = [\"pv0\", 0]", [6, 0]);
        check("extent_count = 6 type = \"future\" stripes = [\"pv0\", 0]", [0, 0]);
        check("extent_count = 6 type = \"striped+FUTURE\" stripes = [\"pv0\", 0]", [0, 0]);
        check("extent_count = -1 type = \"striped\" stripes = [1, \"pv0\", 0, \"pv1\"]", [0, 0]);
        check("extent_count = 1 type = \"striped\" stripes = []", [0, 0]);
    }

    #[test]
    fn snapshots_are_seen_by_what_they_are_of() {
        let striped = "extent_count = 1 type = \"striped\" stripes = [\"pv0\", 0]";
        let check = |store: &str, origin: &str, expected: (u64, u64)| {
            let tie = format!("type = \"snapshot\" origin = \"o\" {store} = \"s\"");
            let lvs = [lv("o", origin, striped), lv("s", "", striped), lv("snapshot0", "\"VISIBLE\"", &tie)];
            let vg = read(&(lvs.concat() + &lv("hidden", "", striped)));
            assert_eq!((vg.lv_count, vg.snap_count), expected, "{store} {origin}");
        };
        check("cow_store", "\"VISIBLE\"", (2, 1));
        check("merging_store", "\"VISIBLE\"", (1, 1));
        check("cow_store", "", (1, 1));
        check("merging_store", "", (1, 1));
    }

    #[test]
    fn what_others_are_made_of_is_not_counted() {
        for (segment, expected) in [
            ("type = \"thin\" origin = \"b\"", 3),
            ("type = \"thin\" origin = \"b\" merge = \"b\"", 2),
            ("type = \"thin-pool\" pool = \"b\" metadata = \"c\"", 1),
            ("type = \"cache-pool\" data = \"b\" metadata = \"c\"", 1),
            ("type = \"cache\" origin = \"b\" cache_pool = \"c\"", 2),
            ("type = \"vdo-pool\" data = \"b\"", 2),
            ("type = \"future\" data = \"b\"", 3),
        ] {
            let others = ["b", "c"].map(|name| lv(name, "\"VISIBLE\"", "type = \"error\"")).concat();
            let vg = read(&(lv("a", "\"VISIBLE\"", segment) + &others));
            assert_eq!(vg.lv_count, expected, "{segment}");
        }
    }
}
