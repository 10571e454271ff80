use super::*;

/// A VG that breaks no rule: two PVs, a linear, a striped and a raid LV.
const GOOD: &str = r#"vg {
id = "VGVGVG-VGVG-VGVG-VGVG-VGVG-VGVG-VGVGVG"
seqno = 7
status = ["RESIZEABLE", "READ"]
flags = ["WRITE_LOCKED"]
extent_size = 8192
max_lv = 0
max_pv = 0
physical_volumes {
pv0 { id = "PV0PV0-PV0P-V0PV-0PV0-PV0P-V0PV-0PV0PV" status = ["ALLOCATABLE"] pe_start = 2048 pe_count = 10 }
pv1 { id = "PV1PV1-PV1P-V1PV-1PV1-PV1P-V1PV-1PV1PV" status = [] dev_size = 99 pe_start = 2048 pe_count = 10 }
}
logical_volumes {
lin { id = "000000-0000-0000-0000-0000-0000-000001" status = ["READ"] segment_count = 2
segment1 { start_extent = 0 extent_count = 2 type = "striped" stripe_count = 1 stripes = ["pv0", 0] }
segment2 { start_extent = 2 extent_count = 3 type = "linear" stripe_count = 1 stripes = ["pv0", 3] } }
two { id = "000000-0000-0000-0000-0000-0000-000002" status = ["READ"] segment_count = 1
segment1 { start_extent = 0 extent_count = 4 type = "striped" stripe_count = 2 stripe_size = 128
stripes = ["pv0", 6, "pv1", 0] } }
meta { id = "000000-0000-0000-0000-0000-0000-000003" status = ["READ"] segment_count = 1
segment1 { start_extent = 0 extent_count = 1 type = "striped" stripe_count = 1 stripes = ["pv1", 2] } }
raid { id = "000000-0000-0000-0000-0000-0000-000004" status = ["READ"] segment_count = 1
segment1 { start_extent = 0 extent_count = 1 type = "raid1" device_count = 1 raids = ["meta", "lin"] } }
}
}
contents = "Text Format Volume Group"
version = 1
"#;

/// The good text with a change.
fn changed(from: &str, to: &str) -> Result<VgText, Refusal> {
    assert!(GOOD.contains(from), "{from}");
    VgText::parse(GOOD.replacen(from, to, 1).into_bytes().into())
}

fn check_refused(from: &str, to: &str, expected: &Refusal) {
    assert_eq!(changed(from, to).err().as_ref(), Some(expected), "{from} -> {to}");
}

fn check_unreadable(from: &str, to: &str, kind: ProblemKind, detail: &str) {
    let vg = changed(from, to).unwrap();
    let problem = vg.unreadable.unwrap();
    assert_eq!((problem.kind, &*problem.detail), (kind, detail), "{from} -> {to}");
    assert_eq!(vg.seqno, 7);
}

fn check_readable(from: &str, to: &str) {
    let vg = changed(from, to).unwrap();
    assert_eq!((vg.unreadable, vg.warnings), (None, vec![]), "{from} -> {to}");
}

#[test]
fn the_summary_and_the_body() {
    let vg = changed("vg {", "vg {").unwrap();
    assert_eq!((vg.unreadable, vg.warnings), (None, vec![]));
    assert_eq!(vg.name, b"vg");
    assert_eq!(vg.vgid.to_string(), "VGVGVG-VGVG-VGVG-VGVG-VGVG-VGVG-VGVGVG");
    assert_eq!(vg.seqno, 7);
    assert_eq!(vg.pvids.iter().map(|id| id.0[2]).collect::<Vec<_>>(), b"01");
    let start = GOOD.find('{').unwrap() + 1;
    let end = GOOD.find("}\ncontents").unwrap();
    assert_eq!(&*vg.body, &GOOD.as_bytes()[start..end]);
    assert_eq!(text::parse(&vg.body).unwrap().int("seqno"), Some(7));
}

#[test]
fn the_text_ends_at_a_nul() {
    check_readable("version = 1\n", "version = 1\0 } {");
    check_refused("contents", "\0contents", &Refusal::Schema("contents is missing or unknown"));
}

#[test]
fn texts_without_a_summary_are_refused() {
    let schema = Refusal::Schema;
    check_refused("version = 1", "", &schema("version is missing or unknown"));
    check_refused("version = 1", "version = 2", &schema("version is missing or unknown"));
    check_refused("Text Format", "Next Format", &schema("contents is missing or unknown"));
    check_refused("id = \"VG", "no = \"VG", &Refusal::Lacks(b"vg".to_vec(), "id"));
    check_refused("id = \"VG", "id = \"V/", &Refusal::Lacks(b"vg".to_vec(), "id"));
    check_refused("seqno = 7", "seqno = \"7\"", &Refusal::Lacks(b"vg".to_vec(), "seqno"));
    check_refused("vg {", "vg = 1 vg {", &schema("the text does not begin with the section of a VG"));
    check_refused("}\ncontents", "contents", &Refusal::Parse(text::parse(b"a {\n\n\n").unwrap_err()).at_line(27));
}

impl Refusal {
    fn at_line(self, line: usize) -> Refusal {
        match self {
            Refusal::Parse(error) => Refusal::Parse(text::Error { line, ..error }),
            other => other,
        }
    }
}

#[test]
fn what_would_end_a_message_is_not_served() {
    let detail = "it contains what ends a message of lvmetad's protocol";
    check_unreadable("seqno = 7", "seqno = 7 x = \"\n##\n\"", ProblemKind::Structure, detail);
    check_readable("seqno = 7", "seqno = 7\n##x\n");
}

#[test]
fn long_names_are_cut_in_details() {
    let detail = format!("VG vg: unknown status flag {}...", "N".repeat(127));
    check_unreadable("\"RESIZEABLE\"", &format!("\"{}\"", "N".repeat(5000)), ProblemKind::StatusFlag, &detail);
}

#[test]
fn names() {
    for name in ["a", "A.b_c+d-9", "...", &"n".repeat(127)] {
        check_readable("vg {", &format!("{name} {{"));
        check_readable("vg {", &format!("{name}{{"));
        check_readable("vg {", &format!("{name}\n#\n{{"));
    }
    for name in ["-a", ".", "..", "a!b", "a/b", "\"vg\"", "\u{e9}"] {
        check_refused("vg {", &format!("{name} {{"), &Refusal::Name(name.into()));
    }
    check_refused("vg {", " vg {", &Refusal::Name(vec![]));
    check_refused("vg {", "vg=1 vg {", &Refusal::Name(b"vg=1".to_vec()));
    check_refused("vg {", &format!("{} {{", "n".repeat(5000)), &Refusal::Name(vec![b'n'; 128]));
    assert_eq!(VgText::parse([].into()).err(), Some(Refusal::Name(vec![])));
}

#[test]
fn status_flags_must_be_known_and_other_flags_need_not() {
    let unknown = |part: &str| format!("{part}: unknown status flag NEW");
    let flag = ProblemKind::StatusFlag;
    check_unreadable("\"RESIZEABLE\"", "\"NEW\"", flag, &unknown("VG vg"));
    check_unreadable("[\"ALLOCATABLE\"]", "[\"NEW\"]", flag, &unknown("PV pv0"));
    check_unreadable("0001\" status = [\"READ\"", "0001\" status = [\"NEW\"", flag, &unknown("LV lin"));
    check_unreadable("\"RESIZEABLE\"", "\"resizeable\"", flag, "VG vg: unknown status flag resizeable");
    check_readable("\"WRITE_LOCKED\"", "\"NEW\"");
    check_readable("0001\" status = [\"READ\"", "0001\" status = [\"RESHAPE\"");
    check_readable("[\"ALLOCATABLE\"]", "\"MISSING\"");
}

#[test]
fn structure() {
    for (from, to, detail) in [
        ("status = [\"RESIZEABLE\", \"READ\"]", "", "VG vg: status is missing or of the wrong kind"),
        ("[\"RESIZEABLE\", \"READ\"]", "[1]", "VG vg: status is missing or of the wrong kind"),
        ("[\"WRITE_LOCKED\"]", "[1]", "VG vg: flags is missing or of the wrong kind"),
        ("extent_size = 8192", "extent_size = 8192 format = \"lvm1\"", "VG vg: its format is lvm1"),
        ("extent_size = 8192", "", "VG vg: extent_size is missing or of the wrong kind"),
        ("max_lv = 0", "max_lv = \"0\"", "VG vg: max_lv is missing or of the wrong kind"),
        ("max_pv = 0", "max_pv = 0 tags = [1]", "VG vg: tags is missing or of the wrong kind"),
        ("physical_volumes", "other", "VG vg: physical_volumes is missing or of the wrong kind"),
        ("pv0 {", "pvx {} pv0 {", "PV pvx: it is empty"),
        ("pv0 {", "pvx = 1 pv0 {", "PV pvx: it is empty"),
        ("id = \"PV0", "id = \"PV", "PV pv0: id is missing or of the wrong kind"),
        ("pe_count = 10", "", "PV pv0: pe_count is missing or of the wrong kind"),
        ("pe_start = 2048", "", "PV pv0: pe_start is missing or of the wrong kind"),
        ("dev_size = 99", "dev_size = \"\"", "PV pv1: dev_size is missing or of the wrong kind"),
        ("dev_size = 99", "ba_start = 9", "PV pv1: one of ba_start and ba_size is missing or of the wrong kind"),
        ("id = \"000000", "id = \"", "LV lin: id is missing or of the wrong kind"),
        ("segment_count = 2", "segment_count = 3", "LV lin: it has 2 segments, segment_count is 3"),
        ("segment_count = 2", "", "LV lin: segment_count is missing or of the wrong kind"),
        ("extent_count = 2 ", "extent_count = 3 ", "LV lin: its segments overlap at extent 2"),
        ("extent_count = 2 ", "extent_count = 1 ", "LV lin: its segments leave a gap at extent 1"),
        ("start_extent = 0", "start_extent = 9", "LV lin: its segments leave a gap at extent 0"),
        ("start_extent = 0", "", "LV lin: start_extent is missing or of the wrong kind"),
        ("type = \"striped\"", "type = 1", "LV lin: a segment's type is missing or of the wrong kind"),
        ("\"pv0\", 3", "\"pv9\", 3", "LV lin: there is no volume pv9"),
        ("\"pv0\", 3", "\"pv0\", 8", "LV lin: it needs extent 11 of 10 on pv0"),
        ("\"pv0\", 3", "\"pv0\", -1", "LV lin: it needs extent 4294967298 of 10 on pv0"),
        ("\"pv0\", 3", "\"pv0\", 1", "PV pv0: extent 1 is used twice"),
        ("\"pv1\", 2", "\"pv1\", 1", "PV pv1: extent 1 is used twice"),
        ("\"pv0\", 3", "\"pv0\"", "LV lin: stripes are not 1 pairs of volume and extent"),
        ("\"pv0\", 3", "3, \"pv0\"", "LV lin: stripes are not 1 pairs of volume and extent"),
        ("\"pv0\", 3", "\"pv0\", 3, \"pv1\", 3", "LV lin: stripes are not 1 pairs of volume and extent"),
        ("stripe_count = 1", "stripe_count = 0", "LV lin: 2 extents cannot be divided into 0 stripes"),
        ("stripe_count = 1", "stripe_count = 4294967295", "LV lin: stripe_size is missing or of the wrong kind"),
        ("extent_count = 4", "extent_count = 5", "LV two: 5 extents cannot be divided into 2 stripes"),
        ("stripe_size = 128", "", "LV two: stripe_size is missing or of the wrong kind"),
        ("\"meta\", \"lin\"", "\"meta\", \"gone\"", "LV raid: there is no volume gone"),
        ("\"meta\", \"lin\"", "\"meta\"", "LV raid: 1 names are not those of 1 raid devices"),
        ("device_count = 1", "", "LV raid: device_count is missing or of the wrong kind"),
        ("\"raid1\"", "\"thin\"", "LV raid: thin_pool is missing or of the wrong kind"),
        ("\"raid1\"", "\"thin\" thin_pool = \"lin\" origin = \"gone\"", "LV raid: there is no volume gone"),
        ("\"raid1\"", "\"mirror\" mirror_count = 1", "LV raid: mirrors is missing or of the wrong kind"),
        (
            "segment_count = 2",
            "segment_count = 2 creation_time = 1",
            "LV lin: one of creation_time and creation_host is missing or of the wrong kind",
        ),
        (
            "segment_count = 2",
            "segment_count = 2 creation_time = \"1\" creation_host = \"h\"",
            "LV lin: creation_time is missing or of the wrong kind",
        ),
        ("0001\" status = [", "0001\" status = [\"FIXED_MINOR\", ", "LV lin: minor is missing or of the wrong kind"),
        ("logical_volumes {", "historical_logical_volumes { h { } } logical_volumes {", "historical LV h: it is empty"),
        ("\"pv0\", 3", "\"lin\", 0", "LV lin: it is an area of its own"),
        ("\"meta\", \"lin\"", "\"meta\", \"raid\"", "LV raid: it is an area of its own"),
        (
            "segment1 { start_extent = 0 extent_count = 1 type = \"raid1\"",
            "segment1 { start_extent = 0 extent_count = 0 type = \"raid1\"",
            "LV raid: it has no extents",
        ),
        (
            "segment_count = 2",
            "segment_count = 3 s { start_extent = 0 extent_count = 0 type = \"linear\" stripe_count = 1 stripes = [\"pv0\", 9] }",
            "LV lin: an area on a PV has no extents",
        ),
    ] {
        check_unreadable(from, to, ProblemKind::Structure, detail);
    }
}

fn history(more: &str) -> String {
    let id = "id = \"000000-0000-0000-0000-0000-0000-000009\"";
    let other = format!("other {{ {id} name = \"other\" }}");
    format!("historical_logical_volumes {{ h {{ {id} {more} }} {other} }} logical_volumes {{")
}

#[test]
fn what_is_left_of_lvs_is_of_others() {
    for (more, detail) in [
        ("origin = 1", "origin is missing or of the wrong kind"),
        ("origin = \"gone\"", "there is no origin gone"),
        ("origin = \"other\"", "there is no origin other"),
        ("origin = \"-lin\"", "there is no origin -lin"),
        ("name = \"g\"", "its name is another"),
        ("descendants = []", "descendants is missing or of the wrong kind"),
        ("descendants = [1]", "descendants is missing or of the wrong kind"),
        ("descendants = [\"gone\"]", "there is no descendant gone"),
        ("descendants = [\"-other\"]", "there is no descendant -other"),
        ("descendants = \"lin\"", "its descendant lin is not thin"),
    ] {
        let detail = format!("historical LV h: {detail}");
        check_unreadable("logical_volumes {", &history(more), ProblemKind::Structure, &detail);
    }
    for more in ["name = \"h\"", "origin = \"lin\"", "origin = \"-other\"", "origin = \"-h\""] {
        check_readable("logical_volumes {", &history(more));
    }
    let thin = "t { id = \"000000-0000-0000-0000-0000-0000-000008\" status = [] segment_count = 1
segment1 { start_extent = 0 extent_count = 1 type = \"thin\" thin_pool = \"lin\" } }";
    check_readable("logical_volumes {", &format!("{}\n{thin}", history("descendants = [\"t\"]")));
}

#[test]
fn what_lvm_reads_over() {
    let first =
        "segment1 { start_extent = 0 extent_count = 2 type = \"striped\" stripe_count = 1 stripes = [\"pv0\", 0] }\n";
    let (before, behind) = GOOD.split_once(first).unwrap();
    let (second, _) = behind.split_once(" }\ntwo").unwrap();
    assert!(before.ends_with("segment_count = 2\n"));
    check_readable(&format!("{first}{second}"), &format!("{second} {first}"));
    check_readable("logical_volumes {", "other { pv9 { } } logical_volumes {");
    check_readable("segment_count = 2", "segment_count = 2 later {}");
    check_readable("\"raid1\"", "\"raid1+RESHAPE+REMOVE_AFTER_RESHAPE\"");
    check_readable("\"raid1\"", "\"thin\" thin_pool = \"lin\"");
    check_readable("logical_volumes {", "nothing {");
    check_readable("pe_count = 10", "pe_count = 4294967306");
}

#[test]
fn unknown_segments_are_warned_of_and_their_number_is_bounded() {
    for unknown in ["future", "raid1+FUTURE", "raid1+", ""] {
        let vg = changed("\"raid1\"", &format!("\"{unknown}\"")).unwrap();
        assert_eq!(vg.unreadable, None);
        let segment_type = unknown.into();
        assert_eq!(vg.warnings, [Warning::UnknownSegment { lv: b"raid".to_vec(), segment_type }]);
    }
    let many = "s { start_extent=0 extent_count=0 type=\"x\" }".repeat(1000);
    let vg = changed("segment_count = 2", &format!("{many} segment_count = 1002")).unwrap();
    assert_eq!(vg.unreadable, None);
    assert_eq!(vg.warnings.len(), 16);
}

/// The text of a large VG: parsing must stay far below the time it takes to read it.
#[test]
fn many_volumes_are_read_in_linear_time() {
    use std::fmt::Write;
    let lvs = 50_000;
    let mut text = GOOD.split("lin {").next().unwrap().replace("pe_count = 10", "pe_count = 100000");
    for number in (0..lvs).rev() {
        writeln!(
            text,
            "l{number} {{ id = \"000000-0000-0000-0000-0000-0000-000001\" status = [] segment_count = 1 \
             s {{ start_extent = 0 extent_count = 1 type = \"striped\" stripe_count = 1 stripes = [\"pv0\", {number}] }} }}"
        )
        .unwrap();
    }
    text.push_str("} }\ncontents = \"Text Format Volume Group\" version = 1\n");
    let vg = VgText::parse(text.clone().into_bytes().into()).unwrap();
    assert_eq!(vg.unreadable, None);
    let twice = text.replace("[\"pv0\", 17]", "[\"pv0\", 18]");
    let vg = VgText::parse(twice.into_bytes().into()).unwrap();
    assert_eq!(vg.unreadable.unwrap().detail, "PV pv0: extent 18 is used twice");
}

#[test]
fn every_flip_and_every_cut_is_answered() {
    let good = GOOD.as_bytes();
    for at in 0..good.len() {
        assert_ne!(VgText::parse(good[..at].into()).ok().map(|vg| vg.seqno), Some(0), "cut at {at}");
        for flip in [1, 0x20, 0x80, 0xff] {
            let mut bytes = good.to_vec();
            bytes[at] ^= flip;
            if let Ok(vg) = VgText::parse(bytes.into()) {
                assert!(vg.body.len() < good.len() && is_valid_name(&vg.name), "byte {at}");
            }
        }
    }
}
