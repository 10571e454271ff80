//! Images that lvm2 made, and damaged copies of them, against what lvm2 says about them.
//!
//! They are described by `MANIFEST.json` beside them, and are no part of this repository: it has
//! them only where it is developed. A plain clone skips these tests and says so.

#[path = "common/examined.rs"]
mod examined;

use examined::Examined;
use pvwatch::metadata::TextCache;
use pvwatch::scan::{Area, ByteRange, Finding, Pv, ReadError, Scan, Step, Verdict};
use pvwatch::signature::{Medium, Member, When};
use serde_json::Value;
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

/// The folder of the images, when there is one.
fn folder() -> Option<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/vectors/disks");
    if folder.join("MANIFEST.json").is_file() {
        return Some(folder);
    }
    let test = std::thread::current().name().unwrap_or_default().to_owned();
    println!("skipped: images, {test}: there is no ../shared/vectors");
    None
}

/// An image, unpacked as far as it has been read.
struct Image {
    packed: flate2::read::GzDecoder<File>,
    unpacked: Vec<u8>,
}

impl Image {
    fn open(name: &str) -> Image {
        let path = folder().expect("there are images").join(format!("{name}.gz"));
        let file = File::open(&path).unwrap_or_else(|error| panic!("{name}: {error}"));
        Image { packed: flate2::read::GzDecoder::new(file), unpacked: Vec::new() }
    }

    fn read(&mut self, range: ByteRange) -> Result<&[u8], ReadError> {
        let start = usize::try_from(range.offset).unwrap();
        let end = start + range.length;
        if let Some(missing) = end.checked_sub(self.unpacked.len()) {
            let missing = missing.try_into().unwrap();
            (&mut self.packed).take(missing).read_to_end(&mut self.unpacked).unwrap();
        }
        self.unpacked.get(start..end).ok_or(ReadError::Short)
    }
}

fn scan(name: &str, size: u64) -> Verdict {
    let mut image = Image::open(name);
    let mut texts = TextCache::new();
    let (mut scan, mut step) = Scan::begin(Medium { size, is_partition: false }, When::Asked);
    loop {
        match step {
            Step::Read(range) => step = scan.handle_read(&mut texts, image.read(range)),
            Step::Done(verdict) => return verdict,
        }
    }
}

struct Described {
    set: String,
    file: String,
    size: u64,
    about: Value,
    lvm: Value,
    class: Option<String>,
}

fn described() -> Vec<Described> {
    let Some(folder) = folder() else { return Vec::new() };
    let manifest: Value = serde_json::from_reader(File::open(folder.join("MANIFEST.json")).unwrap()).unwrap();
    let mut images = Vec::new();
    for (name, set) in manifest["sets"].as_object().unwrap() {
        for about in set["images"].as_array().unwrap() {
            images.push(Described {
                set: name.clone(),
                file: string(&about["file"]),
                size: about["size"].as_u64().unwrap(),
                about: about.clone(),
                lvm: set["lvm"].clone(),
                class: set["suggested_class"].as_str().map(str::to_string),
            });
        }
    }
    assert!(images.len() > 50);
    images
}

fn string(value: &Value) -> String {
    value.as_str().unwrap().to_string()
}

fn rows(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn codes(findings: &[Finding]) -> Vec<&'static str> {
    findings.iter().map(|finding| finding.code.as_str()).collect()
}

#[test]
fn the_layout_is_read_as_it_is() {
    let mut compared = 0;
    for image in described() {
        let layout = &image.about["layout"];
        if layout.is_null() {
            continue;
        }
        let Verdict::Pv(pv) = scan(&image.file, image.size) else {
            // The label on an array's member is the array's.
            assert!(is_array_member(&image), "{}", image.file);
            continue;
        };
        compare_layout(&pv, layout, &image.file);
        compared += 1;
    }
    assert!(compared > 30 || folder().is_none());
}

fn compare_layout(pv: &Pv, layout: &Value, file: &str) {
    let areas = |areas: &[Area]| areas.iter().map(|area| serde_json::json!([area.offset, area.size])).collect();
    assert_eq!(pv.id.0.as_slice(), string(&layout["pv_uuid"]).as_bytes(), "{file}");
    assert_eq!(layout["label_sector"], pv.label_sector, "{file}");
    assert_eq!(layout["dev_size"], pv.dev_size, "{file}");
    assert_eq!(layout["data_areas"], Value::Array(areas(&pv.data_areas)), "{file}");
    assert_eq!(layout["ext_version"], pv.ext_version, "{file}");
    assert_eq!(layout["ext_flags"], pv.ext_flags, "{file}");
    assert_eq!(layout["bootloader_areas"], Value::Array(areas(&pv.bootloader_areas)), "{file}");
    assert_eq!(rows(&layout["mdas"]).len(), pv.mdas.len(), "{file}");
    for (mda, expected) in pv.mdas.iter().zip(rows(&layout["mdas"])) {
        assert_eq!((&expected["start"], &expected["size"]), (&mda.area.offset.into(), &mda.area.size.into()), "{file}");
        let slot = &expected["slots"][0];
        assert_eq!(slot["flags"].as_u64().unwrap_or(0) & 1 == 1, mda.ignored, "{file}");
        let is_good = expected["header_crc_ok"] == true && expected["text_crc_ok"] == true;
        assert!(is_good || mda.text.is_none(), "{file}");
        let Some(text) = &mda.text else { continue };
        assert_eq!(slot["offset"], text.location.offset, "{file}");
        assert_eq!(slot["size"], text.location.size, "{file}");
        assert_eq!(slot["checksum"], format!("{:08x}", text.location.checksum), "{file}");
        if let Some(name) = expected["text_file"].as_str() {
            let expected = std::fs::read(folder().unwrap().join(name)).unwrap();
            let length = text.vg.text().iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
            assert!(text.vg.text()[..length] == expected[..], "{file}: {name}");
        }
    }
}

/// What `pvs` and `vgs` of 2.03 show for the devices of a set.
#[test]
fn pvs_and_vgs_are_those_that_lvm_shows() {
    let mut shown = 0;
    for image in described() {
        // The two sets of which we do not say what LVM says: it takes the one without any check,
        // and of the other it lists no PV for want of a VG, although it knows the PV.
        if ["c-label-magic", "c-text-noid"].contains(&image.set.as_str()) {
            continue;
        }
        let verdict = scan(&image.file, image.size);
        for row in rows(&image.lvm["pvs"]).iter().filter(|row| row["pv_name"] == *image.file) {
            compare_row(&verdict, row, &image);
            shown += 1;
        }
    }
    assert!(shown > 40 || folder().is_none());
}

fn compare_row(verdict: &Verdict, row: &Value, image: &Described) {
    let file = &image.file;
    let pv = match verdict {
        Verdict::Pv(pv) => pv,
        Verdict::NotAPv { .. } | Verdict::Member { .. } => return assert_eq!(row["pv_uuid"], "", "{file}"),
        Verdict::Unreadable { .. } => panic!("{file}: {verdict:?}"),
    };
    assert_eq!(row["pv_uuid"], pv.id.to_string(), "{file}");
    // Of a PV with a VG, pvs shows that it is used whatever its label says.
    assert_eq!(row["pv_in_use"] == "used", pv.is_in_use() || pv.vg.is_some(), "{file}");
    if row["pv_duplicate"] == "" {
        let good = pv.mdas.iter().filter(|mda| mda.problem.is_none() && !mda.ignored).count();
        assert_eq!(row["pv_mda_used_count"], good.to_string(), "{file}");
    }
    let Some(vg) = pv.metadata_to_serve() else {
        return assert!(["", "[unknown]"].contains(&row["vg_name"].as_str().unwrap()), "{file}");
    };
    assert_eq!(row["vg_name"], *String::from_utf8_lossy(&vg.name), "{file}");
    let shown = rows(&image.lvm["vgs"]).iter().find(|shown| shown["vg_name"] == row["vg_name"]).unwrap();
    assert_eq!(shown["vg_uuid"], vg.vgid.to_string(), "{file}");
    // The one device that was put back to an older copy.
    let seqno = if file == "oldseq-b.img" { vg.seqno + 1 } else { vg.seqno };
    assert_eq!(shown["vg_seqno"], seqno.to_string(), "{file}");
    assert!(vg.pvids.contains(&pv.id), "{file}");
    assert_eq!(shown["pv_count"], vg.pvids.len().to_string(), "{file}");
}

/// Our verdict on each damaged image, and our findings.
const DAMAGED: &[(&str, &str, &str, &[&str])] = &[
    ("c-label-crc", "label-crc", "not", &["label-crc"]),
    ("c-label-sectorno", "label-wrong-sector", "not", &["label-wrong-sector"]),
    ("c-label-type", "not-a-pv", "not", &["label-type"]),
    ("c-label-magic", "label-id-damaged", "not", &["label-id-damaged"]),
    ("c-label-two", "ok-extra-label-ignored", "vg_plain", &["extra-label-ignored"]),
    ("c-label-offset-big", "pv-header-out-of-sector", "not", &["pv-header-out-of-sector"]),
    ("c-pvh-uuid-odd", "pvid-not-in-vg", "vg_plain", &["pvid-irregular", "pvid-not-in-vg"]),
    ("c-ext-v1", "ok", "vg_plain", &[]),
    ("c-mda-crc", "mda-header-crc", "in use", &["mda-header-crc", "in-use-no-vg"]),
    ("c-mda-magic", "mda-header-magic", "in use", &["mda-header-magic", "in-use-no-vg"]),
    ("c-mda-size", "ok", "vg_plain", &[]),
    ("c-mda-zero", "mda-header-crc", "in use", &["mda-header-crc", "in-use-no-vg"]),
    ("c-mda1-text", "ok-one-mda-bad", "vg_mda2", &["text-crc"]),
    ("c-text-checksum", "text-crc", "in use", &["text-crc", "in-use-no-vg"]),
    ("c-text-parse", "text-parse", "in use", &["text-parse", "in-use-no-vg"]),
    ("c-text-vgname", "text-vg-name", "in use", &["text-vg-name", "in-use-no-vg"]),
    ("c-text-noid", "text-schema", "in use", &["text-schema", "in-use-no-vg"]),
    ("c-text-noversion", "text-schema", "in use", &["text-schema", "in-use-no-vg"]),
    ("c-text-unknownflag", "text-unknown-status-flag", "in use", &["text-unknown-status-flag"]),
    ("c-text-unknowncompat", "ok", "vg_plain", &[]),
    ("c-text-unknownseg", "ok-lv-unknown-segment", "vg_plain", &["lv-unknown-segment"]),
    ("c-text-segcount", "vg-structure", "in use", &["vg-structure"]),
    ("c-text-badpvref", "vg-structure", "in use", &["vg-structure"]),
    ("c-text-nonul", "ok", "vg_plain", &[]),
    ("c-rlocn-offset", "location-out-of-range", "in use", &["location-out-of-range", "in-use-no-vg"]),
    ("c-rlocn-offset-header", "location-out-of-range", "in use", &["location-out-of-range", "in-use-no-vg"]),
    ("c-rlocn-size-zero", "location-out-of-range", "in use", &["location-out-of-range", "in-use-no-vg"]),
    ("c-rlocn-size-big", "location-out-of-range", "in use", &["location-out-of-range", "in-use-no-vg"]),
    ("c-rlocn-size-overflow", "location-out-of-range", "in use", &["location-out-of-range", "in-use-no-vg"]),
    ("c-rlocn-slot1", "ok", "vg_plain", &[]),
    ("c-trunc-1k", "device-too-small", "in use", &["device-smaller", "mda-out-of-range", "in-use-no-vg"]),
    ("c-trunc-text", "device-too-small", "in use", &["device-smaller", "location-out-of-range", "in-use-no-vg"]),
    ("c-trunc-64k", "device-too-small", "vg_plain", &["device-smaller"]),
    ("c-dev-smaller", "ok-device-smaller", "vg_plain", &["device-smaller"]),
    ("c-zero-8k", "not-a-pv", "not", &[]),
    ("c-mda-offset-device", "mda-out-of-range", "in use", &["mda-out-of-range", "in-use-no-vg"]),
    ("c-mda-offset-odd", "mda-header-crc", "in use", &["mda-header-crc", "in-use-no-vg"]),
    ("c-uuid-mismatch", "pvid-not-in-vg", "vg_plain", &["pvid-not-in-vg"]),
    ("c-partitioned", "partitioned-if-real-disk", "vg_plain", &["partition-table"]),
];

#[test]
fn damage_is_called_by_its_name() {
    for image in described() {
        let Some(class) = &image.class else { continue };
        let (_, expected_class, verdict, findings) = DAMAGED
            .iter()
            .find(|row| row.0 == image.set)
            .unwrap_or_else(|| panic!("{} is not in the table", image.set));
        assert_eq!(class, expected_class);
        let (ours, ours_findings) = match scan(&image.file, image.size) {
            Verdict::Pv(pv) => {
                let vg = pv.metadata_to_serve().map(|vg| String::from_utf8_lossy(&vg.name).into_owned());
                (vg.unwrap_or_else(|| "in use".to_string()), codes(&pv.findings))
            }
            Verdict::NotAPv { findings } | Verdict::Member { findings, .. } => ("not".to_string(), codes(&findings)),
            Verdict::Unreadable { error, .. } => panic!("{}: {error}", image.file),
        };
        assert_eq!((ours.as_str(), ours_findings.as_slice()), (*verdict, *findings), "{}", image.file);
    }
}

/// What blkid calls it.
fn blkid_type(format: &str) -> &str {
    match format {
        "md" => "linux_raid_member",
        "ddf" => "ddf_raid_member",
        "imsm" => "isw_raid_member",
        "asr" => "adaptec_raid_member",
        "lvm1" => "LVM1_member",
        other => other,
    }
}

/// The images that nobody damaged.
#[test]
fn good_images_have_nothing_to_be_found() {
    for image in described().iter().filter(|image| image.class.is_none()) {
        match scan(&image.file, image.size) {
            Verdict::Pv(pv) => assert_eq!(codes(&pv.findings), [""; 0], "{}", image.file),
            Verdict::NotAPv { findings } => {
                assert_eq!(codes(&findings), [""; 0], "{}", image.file);
                assert_ne!(image.about["facts"]["blkid"]["TYPE"], "LVM2_member", "{}", image.file);
            }
            Verdict::Member { member, findings } => {
                assert_eq!(codes(&findings), [""; 0], "{}", image.file);
                assert_eq!(image.about["facts"]["blkid"]["TYPE"], blkid_type(member.format), "{}", image.file);
            }
            Verdict::Unreadable { error, .. } => panic!("{}: {error}", image.file),
        }
    }
}

/// Whether blkid knows it as a member of an array that mdadm or dmraid can examine.
fn is_array_member(image: &Described) -> bool {
    let known = image.about["facts"]["blkid"]["TYPE"].as_str();
    ["md", "ddf", "imsm", "asr"].iter().any(|format| known == Some(blkid_type(format)))
}

/// What `mdadm --examine` and `blkid -p` say of members; of a member, `pvs` lists no PV.
#[test]
fn members_are_those_that_mdadm_and_blkid_know() {
    let mut compared = Vec::new();
    for image in described() {
        let facts = &image.about["facts"];
        let member = match scan(&image.file, image.size) {
            Verdict::Member { member, .. } if is_array_member(&image) => member,
            other => {
                assert!(!is_array_member(&image), "{}: {other:?}", image.file);
                continue;
            }
        };
        assert_eq!(facts["blkid"]["TYPE"], blkid_type(member.format), "{}", image.file);
        let lines = rows(&facts["mdadm_examine"]).iter().filter_map(Value::as_str).collect::<Vec<_>>();
        match member.format {
            "md" => {
                compare_md(&member, &lines, &image.file);
                let hex = |text: &str| text.replace([':', '-'], "");
                assert_eq!(hex(facts["blkid"]["UUID"].as_str().unwrap()), hex(member.uuid.as_deref().unwrap()));
            }
            // mdadm does not know it: this is how the images were made, and what dmraid has read.
            "asr" => {
                let number = if image.file == "asr-a.img" { 0 } else { 1 };
                let expected = Examined {
                    version: "8".into(),
                    uuid: "c0ffee01".into(),
                    name: Some("LABMIRROR".into()),
                    level: Some("raid1".into()),
                    members: Some(2),
                    role: Some(format!("active device {number}")),
                };
                assert_eq!(Examined::from(&*member), expected, "{}", image.file);
            }
            _ => assert_eq!(Examined::from(&*member), Examined::new(&lines), "{}", image.file),
        }
        if member.format != "md" {
            assert_eq!(facts["blkid"]["VERSION"], *member.version, "{}", image.file);
        }
        assert!(!rows(&image.lvm["pvs"]).iter().any(|row| row["pv_name"] == *image.file && row["pv_uuid"] != ""));
        compared.push(member.format);
    }
    for (format, least) in [("md", 8), ("ddf", 2), ("asr", 2)] {
        let count = compared.iter().filter(|compared| **compared == format).count();
        assert!(count >= least || folder().is_none(), "{format}: {count}");
    }
}

fn compare_md(member: &Member, lines: &[&str], file: &str) {
    let examined = |key: &str| {
        let mut pairs = lines.iter().filter_map(|line| line.split_once(" : "));
        pairs.find(|(found, _)| found.trim() == key).map(|(_, value)| value.trim().to_string())
    };
    assert_eq!(examined("Array UUID").or(examined("UUID")).as_ref(), member.uuid.as_ref());
    assert_eq!(examined("Name").as_deref().map(str::as_bytes), member.name.as_deref());
    assert_eq!(examined("Raid Level"), member.level);
    assert_eq!(examined("Raid Devices"), member.members.map(|members| members.to_string()));
    assert!(examined("Version").unwrap().starts_with(&member.version), "{file}");
    let role = examined("Device Role").map_or_else(
        || {
            // "this     0       7        8        0      active sync"
            let this = lines.iter().filter_map(|line| line.strip_prefix("this")).next().unwrap();
            let words = this.split_whitespace().collect::<Vec<_>>();
            format!("{} device {}", words[4], words[3])
        },
        |role| role.to_lowercase(),
    );
    assert_eq!(role, member.role.unwrap().to_string(), "{file}");
}

#[test]
fn a_pv_of_lvm1_is_what_blkid_says_and_no_pv_to_lvm() {
    let images = described();
    for image in images.iter().filter(|image| image.about["facts"]["blkid"]["TYPE"] == "LVM1_member") {
        let Verdict::Member { member, .. } = scan(&image.file, image.size) else { panic!("{}", image.file) };
        assert_eq!((member.format, &*member.version), ("lvm1", "1"));
        assert_eq!(image.about["facts"]["blkid"]["UUID"].as_str(), member.uuid.as_deref());
        assert_eq!(member.name.as_deref(), Some(&b"vg_lvm1"[..]));
        assert!(rows(&image.lvm["pvs"]).is_empty());
        let said = image.about["facts"]["pvck_headers_stderr"][0].as_str().unwrap();
        assert!(said.contains("device has a signature") && member.why_no_pv().contains("device has a signature"));
    }
    assert!(folder().is_none() || images.iter().any(|image| image.set == "lvm1"));
}

#[test]
fn pvmeta_is_what_was_seen_on_the_wire() {
    if folder().is_none() {
        return;
    }
    let Verdict::Pv(pv) = scan("plain.img", 16 << 20) else { panic!("plain.img is a PV") };
    let mut out = Vec::new();
    pvwatch::text::write_nodes(&pv.pvmeta(1794), 0, &mut out);
    let expected = "device=1794\ndev_size=16777216\nformat=\"lvm2\"\nlabel_sector=1\n\
        id=\"GpJ7WN-yKiu-O8xE-G1iJ-yQdO-4DYS-CGa4HS\"\next_version=2\next_flags=1\n\
        mda0 {\n\tignore=0\n\tstart=4096\n\tsize=1044480\n\tfree_sectors=1016\n}\n\
        da0 {\n\toffset=1048576\n\tsize=0\n}\n";
    assert_eq!(String::from_utf8(out).unwrap(), expected);
}
