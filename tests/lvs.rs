//! Fields of LVs and segments, read from the texts of VGs, beside what lvm2 printed for them: for the
//! recorded images, and for VGs of every kind in `tests/lvs`.

use pvwatch::devno::DevNo;
use pvwatch::id::Id;
use pvwatch::metadata::VgText;
use pvwatch::report::fields;
use pvwatch::report::inventory::{Device, Host, Label, Present, VgItem};
use pvwatch::report::layout::{Look, Texts, show};
use pvwatch::report::model::Vg;
use pvwatch::report::model::lvs::Lvs;
use pvwatch::report::options::Format;
use pvwatch::report::row::{Marks, Row};
use pvwatch::report::settings::Headings;
use pvwatch::report::units::Units;
use serde_json::{Map as JsonMap, Value as Json};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// What is not of the metadata alone is tested where there is device-mapper.
const NOT_HERE: &[&str] = &["vg_name", "pv_name", "data_percent", "metadata_percent", "copy_percent", "seg_monitor"];

type Map = JsonMap<String, Json>;

struct Read {
    vg: VgItem,
    lvs: Lvs,
}

/// `devices` are those that are there, by the ids of their PVs.
fn read(text: &[u8], devices: &BTreeMap<Id, String>) -> Read {
    let text = VgText::parse(text.into()).unwrap();
    let vg = Vg::read(&text.name, &text.body).unwrap();
    let device = |path: &String| Device { path: path.clone(), devno: DevNo::new(7, 0), size: 0 };
    let present = vg.pvs.iter().filter_map(|pv| pv.id.and_then(|id| Some((id, devices.get(&id)?))));
    let present = present.map(|(id, path)| Present {
        id,
        device: device(path),
        label: Label::default(),
        duplicates: Vec::new(),
        warnings: Vec::new(),
    });
    let mut lvs = Lvs::read(&vg, &text.body).unwrap();
    lvs.shows_historical = true;
    let present = present.collect();
    Read { vg: VgItem { vg: Rc::new(vg), present, warnings: Vec::new(), text: None, stray: Vec::new() }, lvs }
}

fn look(units: &[u8], suffix: bool) -> Look {
    let units = Units { suffix, ..Units::parse(units).unwrap() };
    let texts = Texts { units, is_binary: false, list_separator: b",".to_vec(), time_format: String::new(), time: utc };
    Look {
        format: Format::Json,
        aligned: true,
        buffered: true,
        headings: Headings::Short,
        separator: b" ".to_vec(),
        prefixes: false,
        quoted: true,
        transposed: false,
        texts,
    }
}

/// As by `%Y-%m-%d %T %z`.
fn utc(seconds: i64, _: &str) -> Vec<u8> {
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds.cast_unsigned());
    let time = humantime::format_rfc3339_seconds(time).to_string();
    time.replace('T', " ").replace('Z', " +0000").into_bytes()
}

fn value(name: &str, row: &Row, look: &Look) -> Option<String> {
    let field = fields::all().find(|field| field.name == name)?;
    let mut out = Vec::new();
    show(&mut out, field, &(field.value)(row), look);
    Some(String::from_utf8(out).unwrap())
}

impl Read {
    /// Of LVs by their names, of segments by where they begin, too, or of parts of PVs.
    fn rows<'r>(&'r self, row: Row<'r>, report: Report) -> BTreeMap<(String, String), Row<'r>> {
        let row = Row { vg: Some(&self.vg), lvs: Some(&self.lvs), ..row };
        let text = |name: &str, row: &Row| value(name, row, &look(b"b", false)).unwrap();
        let mut rows = BTreeMap::new();
        if report == Report::PvSegments {
            for part in &self.lvs.pv_segments {
                let used = part.used_by.map(|(lv, segment)| (&self.lvs.all[lv], segment));
                let segment = used.map(|(lv, segment)| &lv.segments[segment]);
                let row = Row { lv: used.map(|(lv, _)| lv), segment, pv_segment: Some(part), ..row };
                let present = self.lvs.present(&self.vg, part.pv);
                let name = present.map_or("[unknown]", |present| &present.device.path);
                rows.insert((name.to_owned(), text("pvseg_start", &row)), row);
            }
            return rows;
        }
        for lv in &self.lvs.all {
            let row = Row { lv: Some(lv), ..row };
            if report == Report::Lvs {
                rows.insert((text("lv_name", &row), String::new()), row);
                continue;
            }
            for segment in &lv.segments {
                let row = Row { segment: Some(segment), ..row };
                rows.insert((text("lv_name", &row), text("seg_start_pe", &row)), row);
            }
        }
        rows
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Report {
    Lvs,
    Segments,
    PvSegments,
}

impl Report {
    /// What tells the rows from each other.
    fn key(self, row: &Map) -> (String, String) {
        let text = |key: &str| row.get(key).and_then(Json::as_str).unwrap_or_default().to_owned();
        match self {
            Report::Lvs => (text("lv_name"), String::new()),
            Report::Segments => (text("lv_name"), text("seg_start_pe")),
            Report::PvSegments => (text("pv_name"), text("pvseg_start")),
        }
    }
}

/// Compares those rows with what was printed; as many lines as there are differences.
fn compare(title: &str, read: &Read, expected: &[Map], report: Report, look: &Look) -> Vec<String> {
    let (host, marks) = (Host::default(), Marks::default());
    let rows = read.rows(empty_row(&host, &marks), report);
    let mut wrong = Vec::new();
    if rows.len() < expected.len() {
        wrong.push(format!("{title}: {} rows, not {}", rows.len(), expected.len()));
    }
    for printed in expected {
        let key = report.key(printed);
        let Some(row) = rows.get(&key) else {
            wrong.push(format!("{title}: there is no {key:?}"));
            continue;
        };
        for (name, printed) in printed.iter().filter(|(name, _)| !NOT_HERE.contains(&name.as_str())) {
            let Some(found) = value(name, row, look) else {
                continue;
            };
            if found != printed.as_str().unwrap() {
                wrong.push(format!("{title}: {key:?} {name}: {found:?}, not {printed}"));
            }
        }
    }
    wrong
}

fn empty_row<'r>(host: &'r Host, marks: &'r Marks) -> Row<'r> {
    Row { host, marks, vg: None, pv: None, lvs: None, lv: None, segment: None, pv_segment: None, live: None }
}

/// Each `.vg` is the text of a VG, the `.json` beside it what lvm2 2.03.16 printed of it, and of
/// integrity 2.03.31: for each report what most rows have, and what each row has otherwise.
#[test]
fn vgs_of_every_kind() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lvs");
    let (mut wrong, mut count) = (Vec::new(), 0);
    for file in fs::read_dir(folder).unwrap() {
        let file = file.unwrap().path();
        if file.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let printed: Json = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        let devices = printed["devices"].as_object().unwrap().iter();
        let devices = devices.map(|(id, path)| (Id::parse(id.as_bytes()).unwrap(), path.as_str().unwrap().to_owned()));
        let read = read(&fs::read(file.with_extension("vg")).unwrap(), &devices.collect());
        let title = file.file_stem().unwrap().to_str().unwrap();
        for (name, report) in [("lvs", Report::Lvs), ("segments", Report::Segments), ("pvsegs", Report::PvSegments)] {
            let rows = printed[name]["rows"].as_array().unwrap().iter();
            let expected = rows.map(|row| {
                let mut whole = printed[name]["usual"].as_object().unwrap().clone();
                whole.extend(row.as_object().unwrap().clone());
                whole
            });
            let expected = expected.collect::<Vec<_>>();
            count += expected.len();
            wrong.extend(compare(&format!("{title}, {name}"), &read, &expected, report, &look(b"b", false)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(count > 1000, "{count}");
}

fn recorded() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/vectors/disks");
    if !folder.exists() {
        println!("skipped: lvs: there is no ../shared/vectors");
        return None;
    }
    Some(folder)
}

/// The text with the highest seqno of each VG of a set, and the images of its PVs.
fn of_set(folder: &Path, set: &Json) -> Vec<Read> {
    let mut devices = BTreeMap::new();
    let mut latest = BTreeMap::new();
    for image in set["images"].as_array().unwrap() {
        let layout = &image["layout"];
        let Some(id) = layout["pv_uuid"].as_str().and_then(|id| Id::parse(id.as_bytes())) else { continue };
        devices.entry(id).or_insert(image["file"].as_str().unwrap().to_owned());
        for mda in layout["mdas"].as_array().into_iter().flatten() {
            let Some(file) = mda["text_file"].as_str() else { continue };
            let text = fs::read(folder.join(file)).unwrap();
            let Ok(parsed) = VgText::parse(text.as_slice().into()) else { continue };
            let best: &mut (i64, Vec<u8>) = latest.entry(parsed.vgid).or_default();
            if parsed.seqno >= best.0 {
                *best = (parsed.seqno, text);
            }
        }
    }
    latest.values().map(|(_, text)| read(text, &devices)).collect()
}

fn of_vg(rows: &Json, read: &Read) -> Vec<Map> {
    let name = String::from_utf8(read.vg.vg.name.to_vec()).unwrap();
    let rows = rows.as_array().into_iter().flatten().filter(|row| row["vg_name"] == *name);
    rows.filter_map(Json::as_object).cloned().collect()
}

#[test]
fn recorded_images() {
    let Some(folder) = recorded() else { return };
    let manifest: Json = serde_json::from_slice(&fs::read(folder.join("MANIFEST.json")).unwrap()).unwrap();
    let (mut wrong, mut rows) = (Vec::new(), 0);
    for (name, set) in manifest["sets"].as_object().unwrap() {
        for read in of_set(&folder, set) {
            for (key, report) in [("lvs", Report::Lvs), ("segments", Report::Segments), ("lvs_default", Report::Lvs)] {
                let expected = of_vg(&set["lvm"][key], &read);
                let look = if key == "lvs_default" { look(b"r", true) } else { look(b"b", false) };
                rows += expected.len();
                wrong.extend(compare(&format!("{name}, {key}"), &read, &expected, report, &look));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(rows > 150, "{rows}");
}

/// With device-mapper, and none of them active.
#[test]
fn inactive_lvs() {
    let Some(folder) = recorded() else { return };
    let manifest: Json = serde_json::from_slice(&fs::read(folder.join("MANIFEST.json")).unwrap()).unwrap();
    let read = of_set(&folder, &manifest["sets"]["lvtypes"]).remove(0);
    let (host, marks) = (Host { mapped: Some(Vec::new()), ..Host::default() }, Marks::default());
    let rows = read.rows(empty_row(&host, &marks), Report::Lvs);
    let attr = |row: &Row| value("lv_attr", row, &look(b"b", false)).unwrap();
    let name = |row: &Row| String::from_utf8(row.lv.unwrap().name.clone()).unwrap();
    let found = rows.values().map(|row| (name(row), attr(row))).collect::<BTreeMap<_, _>>();
    let expected = manifest["lvtypes_inactive_lv_attr"].as_object().unwrap();
    let expected = expected.iter().map(|(name, lv)| (name.clone(), lv["lv_attr"].as_str().unwrap().to_owned()));
    assert_eq!(found, expected.collect::<BTreeMap<_, _>>());
}
