//! Fields that device-mapper tells, against what LVM printed of them: a host with LVs of every kind, as
//! it was once in the machine of `scripts/vm` (`tests/vm/live.sh`). Its files have the texts of its VGs,
//! what device-mapper said of their devices, and what lvs 2.03.16 made of it.

use pvwatch::dm::Target;
use pvwatch::devno::DevNo;
use pvwatch::report::fields;
use pvwatch::report::inventory::{Device, Host, Label, Mapped, Present, VgItem};
use pvwatch::report::live::{Live, Mapping};
use pvwatch::report::model::Vg;
use pvwatch::report::model::lvs::{Lv, Lvs, Segment};
use pvwatch::report::row::{Marks, Row};
use pvwatch::report::value::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::rc::Rc;

/// A part of what was recorded.
fn file(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/live").join(name);
    std::fs::read_to_string(path).unwrap()
}

/// What `dmsetup info` and `dmsetup status` printed.
fn live() -> Live {
    let mut targets = BTreeMap::<String, Vec<Target>>::new();
    for line in file("status").lines() {
        let (name, line) = line.split_once(": ").unwrap();
        let words = line.splitn(4, ' ').collect::<Vec<_>>();
        let [start, length, kind, text] = words[..] else { panic!("{line}") };
        targets.entry(name.into()).or_default().push(Target {
            start: start.parse().unwrap(),
            length: length.parse().unwrap(),
            kind: kind.into(),
            text: text.trim_end().into(),
        });
    }
    let mut live = Live { with_status: true, ..Live::default() };
    for line in file("info").lines() {
        let [uuid, name, major, minor, open, attr, read_ahead] = line.split('|').collect::<Vec<_>>()[..] else {
            panic!("{line}")
        };
        let [live_table, inactive_table, suspended, access] = attr.as_bytes() else { panic!("{line}") };
        let mapping = Mapping {
            name: name.into(),
            devno: DevNo::new(major.parse().unwrap(), minor.parse().unwrap()),
            suspended: *suspended == b's',
            read_only: *access == b'r',
            open_count: open.parse().unwrap(),
            live_table: *live_table == b'L',
            inactive_table: *inactive_table == b'I',
            read_ahead: Some(read_ahead.parse().unwrap()),
            targets: targets.remove(name).unwrap_or_default(),
            vdo: None,
        };
        live.devices.insert(uuid.into(), mapping);
    }
    live
}

/// A VG whose PVs are all there, and its LVs.
fn vg(name: &str) -> (VgItem, Lvs) {
    let text = file(name);
    let body = text.split_once(&format!("{name} {{\n")).unwrap().1.rsplit_once("\n}").unwrap().0;
    let vg = Vg::read(name.as_bytes(), body.as_bytes()).unwrap();
    let lvs = Lvs::read(&vg, body.as_bytes()).unwrap();
    (VgItem { vg: Rc::new(vg), present: Vec::new(), warnings: Vec::new(), text: None }, lvs)
}

fn text(value: &Value) -> String {
    match value {
        Value::Text(text) => String::from_utf8_lossy(text).into_owned(),
        Value::Number(number) | Value::Size(number) => number.to_string(),
        Value::Percent(percent) => {
            let hundredths = (percent + 5000) / 10_000;
            format!("{}.{:02}", hundredths / 100, hundredths % 100)
        }
        Value::List(list) => list.iter().map(|item| String::from_utf8_lossy(item)).collect::<Vec<_>>().join(","),
        Value::Flag(is_set, word) => if *is_set { *word } else { "" }.to_owned(),
        Value::Word(word, _) | Value::Undefined(word) => (*word).to_owned(),
        Value::Time(_) => unreachable!(),
    }
}

fn shown(row: &Row, name: &str) -> String {
    text(&(fields::all().find(|field| field.name == name).unwrap().value)(row))
}

fn with_pvs((vg, lvs): (VgItem, Lvs), is_there: impl Fn(usize) -> bool) -> (VgItem, Lvs) {
    let present = vg.vg.pvs.iter().enumerate().filter(|(number, _)| is_there(*number)).map(|(number, pv)| {
        let number = u32::try_from(number).unwrap();
        let device = Device {
            path: format!("/dev/sd{number}"),
            devno: DevNo::new(8, number * 16),
            size: 64 << 20,
            device_id_type: None,
            device_id: None,
        };
        Present { id: pv.id.unwrap(), device, label: Label::default(), duplicates: Vec::new(), warnings: Vec::new() }
    });
    let present = present.collect();
    (VgItem { present, ..vg }, lvs)
}

/// Both VGs; of the second one a PV is gone.
fn vgs() -> [(VgItem, Lvs); 2] {
    [with_pvs(vg("vg"), |_| true), with_pvs(vg("vgp"), |number| number == 0)]
}

/// Calls for each line that lvs printed: with a row of each LV or segment, and what it printed of it.
fn each_line(name: &str, live: Option<&Live>, host: &Host, mut each: impl FnMut(&Row, &str, &[(String, String)])) {
    let (marks, vgs, file) = (Marks::default(), vgs(), file(name));
    let mut lines = file.lines();
    let names = lines.next().unwrap().split(',').map(str::to_owned).collect::<Vec<_>>();
    for line in lines {
        let values = line.trim_start().split('|').map(str::to_owned);
        let values = names.iter().cloned().zip(values).collect::<Vec<_>>();
        let (vg, lvs) = vgs.iter().find(|(vg, _)| *vg.vg.name == *values[0].1.as_bytes()).unwrap();
        let name = values[1].1.trim_matches(['[', ']']);
        let is_it = |lv: &&Lv| if lv.is_historical { name == "-thingone" } else { lv.name == name.as_bytes() };
        let lv = lvs.all.iter().find(is_it).unwrap_or_else(|| panic!("there is no {name}"));
        let start = values.iter().find(|(name, _)| name == "seg_start").map(|(_, start)| start.clone());
        let segment = start.and_then(|start| {
            let is_it = |segment: &&Segment| (segment.start * lvs.extent_size).to_string() == start;
            lv.segments.iter().find(is_it)
        });
        let row = Row {
            host,
            marks: &marks,
            vg: Some(vg),
            pv: None,
            lvs: Some(lvs),
            lv: Some(lv),
            segment,
            pv_segment: None,
            live,
        };
        each(&row, name, &values[2..]);
    }
}

/// The two things that were recorded at two moments differ in nothing.
fn compare(name: &str, live: &Live) {
    let mut wrong = Vec::new();
    each_line(name, Some(live), &Host::default(), |row, lv, values| {
        for (field, expected) in values {
            let ours = shown(row, field);
            if ours != *expected {
                wrong.push(format!("{lv} {field}: {ours:?}, not {expected:?}"));
            }
        }
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_field_is_as_lvm_printed_it() {
    compare("fields", &live());
}

/// LVM asks other devices then, where a pool has several.
#[test]
fn without_the_state_of_targets() {
    compare("infos", &Live { with_status: false, ..live() });
}
