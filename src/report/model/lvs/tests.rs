use super::*;
use crate::report::fields;
use crate::report::inventory::{Host, VgItem};
use crate::report::row::{Marks, Row};
use std::rc::Rc;

const TYPES: &[&str] = &[
    "striped",
    "mirror",
    "raid1",
    "raid5",
    "raid0",
    "thin-pool",
    "thin",
    "cache-pool",
    "cache",
    "writecache",
    "integrity",
    "vdo-pool",
    "vdo",
    "snapshot",
    "zero",
    "error",
    "unheard",
    "raid1+UNHEARD",
];

/// Each key that names an LV names this one.
fn segment(kind: &str, other: &str) -> String {
    let names = [
        "mirror_log",
        "metadata",
        "pool",
        "thin_pool",
        "external_origin",
        "origin",
        "merge",
        "data",
        "cache_pool",
        "writecache",
        "meta_dev",
        "vdo_pool",
        "cow_store",
    ];
    let names = names.map(|key| format!("{key}=\"{other}\"\n")).concat();
    let lists = format!("stripes=[\"{other}\",0] mirrors=[\"{other}\",7] raids=[\"{other}\",\"{other}\"]\n");
    let numbers = "start_extent=4294967295 extent_count=-1 reshape_count=-1 chunk_size=-1 vdo_offset=-1\n";
    format!("s {{ type=\"{kind}\"\n{names}{lists}{numbers} extents_moved=1 }}\n")
}

fn read(lvs: &str, historical: &str) -> (Rc<Vg>, Lvs) {
    let body = format!(
        "id=\"GpJ7WN-yKiu-O8xE-G1iJ-yQdO-4DYS-CGa4HS\" extent_size=-1\n\
         physical_volumes {{ pv0 {{ id=\"GpJ7WN-yKiu-O8xE-G1iJ-yQdO-4DYS-CGa4HS\" pe_count=10 }} }}\n\
         logical_volumes {{ {lvs} }} historical_logical_volumes {{ {historical} }}"
    );
    let vg = Rc::new(Vg::read(b"vg", body.as_bytes()).unwrap());
    let lvs = Lvs::read(&vg, body.as_bytes()).unwrap();
    (vg, lvs)
}

/// All fields of all LVs and segments.
fn show((vg, mut lvs): (Rc<Vg>, Lvs)) {
    lvs.shows_historical = true;
    let item = VgItem { vg, present: Vec::new(), warnings: Vec::new(), text: None, stray: Vec::new() };
    let (host, marks) = (Host::default(), Marks::default());
    let row = Row {
        host: &host,
        marks: &marks,
        vg: Some(&item),
        pv: None,
        lvs: Some(&lvs),
        lv: None,
        segment: None,
        pv_segment: None,
        live: None,
    };
    for lv in &lvs.all {
        for segment in lv.segments.iter().map(Some).chain([None]) {
            fields::all().for_each(|field| drop((field.value)(&Row { lv: Some(lv), segment, ..row })));
        }
    }
}

#[test]
fn lvs_may_run_in_circles() {
    for first in TYPES {
        for second in TYPES {
            let lvs = format!("a {{ {} }} b {{ {} }}", segment(first, "b"), segment(second, "a"));
            show(read(&lvs, "h { origin=\"-i\" descendants=[\"a\"] } i { origin=\"-h\" descendants=[\"b\"] }"));
            show(read(&format!("a {{ {} {} }}", segment(first, "a"), segment(second, "a")), "a { origin=\"a\" }"));
        }
    }
}

#[test]
fn lvs_may_be_stacked_high() {
    let lv = |number: usize, kind: &str| format!("l{number} {{ {} }}\n", segment(kind, &format!("l{}", number + 1)));
    for kind in ["thin", "striped", "mirror", "cache", "snapshot"] {
        let (_, lvs) = read(&(0..4_000).map(|number| lv(number, kind)).collect::<String>(), "");
        let first = lvs.all.first();
        first.into_iter().for_each(|first| {
            lvs.modules(first);
            lvs.ancestors(first, true);
            lvs.descendants(first, true);
        });
    }
}

#[test]
fn a_pv_is_in_parts() {
    let lv = |name: &str, start: u64, length: u64| {
        let areas = format!("stripe_count=1 stripes=[\"pv0\",{start}]");
        format!("{name} {{ s {{ start_extent=0 extent_count={length} type=\"striped\" {areas} }} }}")
    };
    let (_, lvs) = read(&(lv("a", 2, 3) + &lv("b", 5, 1)), "");
    let parts = lvs.pv_segments_of(0).iter().map(|part| (part.start, part.length, part.used_by.map(|(lv, _)| lv)));
    assert_eq!(parts.collect::<Vec<_>>(), [(0, 2, None), (2, 3, Some(0)), (5, 1, Some(1)), (6, 4, None)]);
    assert!(lvs.pv_segments_of(1).is_empty());
    assert_eq!(lvs.all.iter().map(|lv| lvs.index(lv)).collect::<Vec<_>>(), [Some(0), Some(1)]);
    assert_eq!(lvs.index(&Lv::FREE), None);
}

#[test]
fn a_minor_number_that_no_device_can_have_is_not_heeded() {
    for (minor, expected) in [("7", Some((8, 7))), ("1048575", Some((8, 1_048_575))), ("1048576", None), ("-1", None)] {
        let (_, lvs) = read(&format!("a {{ status=[\"FIXED_MINOR\"] major=8 minor={minor} }}"), "");
        assert_eq!(lvs.all[0].devno, expected, "{minor}");
    }
}

/// An origin and its snapshots, of which one each lies on a PV that is missing: as LVM judges them, in the
/// order of the text.
#[test]
fn a_missing_pv_beneath_a_snapshot_or_its_origin() {
    let partial = |order: [&str; 3], missing: &str| {
        let lv = |name: &str| {
            let kind = if name == missing { "striped\" stripes=[\"pv0\",0] x=\"" } else { "error" };
            format!("{name} {{ status=[\"VISIBLE\"] s {{ type=\"{kind}\" extent_count=1 }} }}\n")
        };
        let tie = |name: &str| format!("tie{name} {{ s {{ type=\"snapshot\" origin=\"o\" cow_store=\"{name}\" }} }}\n");
        let (vg, lvs) = read(&(order.map(lv).concat() + &tie("a") + &tie("b")), "");
        let item = VgItem { vg, present: Vec::new(), warnings: Vec::new(), text: None, stray: Vec::new() };
        let mut names = (0..lvs.all.len()).filter(|lv| lvs.is_partial(&item, *lv)).collect::<Vec<_>>();
        names.sort_by_key(|lv| &lvs.all[*lv].name);
        names.iter().map(|lv| String::from_utf8_lossy(&lvs.all[*lv].name)).collect::<String>()
    };
    for (order, missing, expected) in [
        (["o", "a", "b"], "o", "o"),
        (["o", "a", "b"], "a", "ao"),
        (["a", "o", "b"], "o", "ao"),
        (["a", "o", "b"], "a", "a"),
        (["a", "o", "b"], "b", "abo"),
        (["a", "b", "o"], "o", "ao"),
        (["a", "b", "o"], "b", "abo"),
    ] {
        assert_eq!(partial(order, missing), expected, "{order:?} without {missing}");
    }
}
