//! Fields of LVs and segments, read from the texts of VGs, beside what lvm2 printed for them: for the
//! recorded images, and for VGs of every kind in `tests/lvs`.

use pvwatch::devno::DevNo;
use pvwatch::id::Id;
use pvwatch::metadata::VgText;
use pvwatch::report::fields;
use pvwatch::report::inventory::{Device, Host, Label, Present, VgItem};
use pvwatch::report::layout::{Texts, show};
use pvwatch::report::model::Vg;
use pvwatch::report::model::lvs::Lvs;
use pvwatch::report::row::{Marks, Row};
use pvwatch::report::units::Units;
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// What is not of the metadata alone is tested where there is device-mapper.
const NOT_HERE: &[&str] = &["vg_name", "data_percent", "metadata_percent", "copy_percent"];

struct Read {
    vg: VgItem,
    lvs: Lvs,
}

/// `devices` are those that are there, by the ids of their PVs.
fn read(text: &[u8], devices: &BTreeMap<Id, String>) -> Read {
    let text = VgText::parse(text.into()).unwrap();
    let vg = Vg::read(&text.name, &text.body).unwrap();
    let device = |path: &String| Device {
        path: path.clone(),
        devno: DevNo::new(7, 0),
        size: 0,
        device_id_type: None,
        device_id: None,
    };
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
    Read { vg: VgItem { vg: Rc::new(vg), present, warnings: Vec::new(), text: None }, lvs }
}

fn texts(units: &[u8], suffix: bool) -> Texts {
    let units = Units { suffix, ..Units::parse(units).unwrap() };
    Texts { units, is_binary: false, list_separator: b",".to_vec(), time_format: String::new(), time: utc }
}

/// As by `%Y-%m-%d %T %z`.
fn utc(seconds: i64, _: &str) -> Vec<u8> {
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds.cast_unsigned());
    let time = humantime::format_rfc3339_seconds(time).to_string();
    time.replace('T', " ").replace('Z', " +0000").into_bytes()
}

fn value(name: &str, row: &Row, texts: &Texts) -> Option<String> {
    let field = fields::all().find(|field| field.name == name)?;
    let separator: &[u8] = if name == "seg_pe_ranges" { b" " } else { b"," };
    let mut out = Vec::new();
    show(&mut out, &(field.value)(row), &Texts { list_separator: separator.to_vec(), ..texts.clone() });
    Some(String::from_utf8(out).unwrap())
}

/// Compares those rows with what was printed; as many lines as there are differences.
fn compare(title: &str, read: &Read, expected: &[Json], is_of_segments: bool, texts: &Texts) -> Vec<String> {
    let (host, marks) = (Host::default(), Marks::default());
    let row = Row {
        host: &host,
        marks: &marks,
        vg: Some(&read.vg),
        pv: None,
        lvs: Some(&read.lvs),
        lv: None,
        segment: None,
        pv_segment: None,
        live: None,
    };
    let mut rows = BTreeMap::new();
    for lv in &read.lvs.all {
        let row = Row { lv: Some(lv), ..row };
        let name = value("lv_name", &row, texts).unwrap();
        if is_of_segments {
            for segment in &lv.segments {
                rows.insert((name.clone(), segment.start.to_string()), Row { segment: Some(segment), ..row });
            }
        } else {
            rows.insert((name, String::new()), row);
        }
    }
    let mut wrong = Vec::new();
    if rows.len() < expected.len() {
        wrong.push(format!("{title}: {} rows, not {}", rows.len(), expected.len()));
    }
    for printed in expected {
        let printed = printed.as_object().unwrap();
        let text = |key: &str| printed.get(key).and_then(Json::as_str).unwrap_or_default().to_owned();
        let key = (text("lv_name"), text("seg_start_pe"));
        let Some(row) = rows.get(&key) else {
            wrong.push(format!("{title}: there is no {key:?}"));
            continue;
        };
        for (name, printed) in printed.iter().filter(|(name, _)| !NOT_HERE.contains(&name.as_str())) {
            let Some(found) = value(name, row, texts) else {
                continue;
            };
            if found != printed.as_str().unwrap() {
                wrong.push(format!("{title}: {key:?} {name}: {found:?}, not {printed}"));
            }
        }
    }
    wrong
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

fn of_vg(rows: &Json, read: &Read) -> Vec<Json> {
    let name = String::from_utf8(read.vg.vg.name.to_vec()).unwrap();
    rows.as_array().into_iter().flatten().filter(|row| row["vg_name"] == *name).cloned().collect()
}

#[test]
fn recorded_images() {
    let Some(folder) = recorded() else { return };
    let manifest: Json = serde_json::from_slice(&fs::read(folder.join("MANIFEST.json")).unwrap()).unwrap();
    let (mut wrong, mut rows) = (Vec::new(), 0);
    for (name, set) in manifest["sets"].as_object().unwrap() {
        for read in of_set(&folder, set) {
            for (report, is_of_segments) in [("lvs", false), ("segments", true), ("lvs_default", false)] {
                let expected = of_vg(&set["lvm"][report], &read);
                let texts = if report == "lvs_default" { texts(b"r", true) } else { texts(b"b", false) };
                rows += expected.len();
                wrong.extend(compare(&format!("{name}, {report}"), &read, &expected, is_of_segments, &texts));
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
    let texts = texts(b"b", false);
    let mut found = BTreeMap::new();
    for lv in &read.lvs.all {
        let row = Row {
            host: &host,
            marks: &marks,
            vg: Some(&read.vg),
            pv: None,
            lvs: Some(&read.lvs),
            lv: Some(lv),
            segment: None,
            pv_segment: None,
            live: None,
        };
        found.insert(String::from_utf8(lv.name.clone()).unwrap(), value("lv_attr", &row, &texts).unwrap());
    }
    let expected = manifest["lvtypes_inactive_lv_attr"].as_object().unwrap();
    let expected = expected.iter().map(|(name, lv)| (name.clone(), lv["lv_attr"].as_str().unwrap().to_owned()));
    assert_eq!(found, expected.collect());
}
