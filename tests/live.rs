//! Fields that device-mapper tells, against what LVM printed of them: a host with LVs of every kind, as
//! it was once in the machine of `scripts/vm` (`tests/vm/live.sh`). Its files have the texts of its VGs,
//! what device-mapper said of their devices, and what lvs 2.03.16 made of it.

use pvwatch::devno::DevNo;
use pvwatch::dm::Target;
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
    (VgItem { vg: Rc::new(vg), present: Vec::new(), stray: Vec::new(), warnings: Vec::new(), text: None }, lvs)
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
        let device = Device { path: format!("/dev/sd{number}"), devno: DevNo::new(8, number * 16), size: 64 << 20 };
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

/// What sysfs has of the same devices.
fn mapped() -> Host {
    let mut mapped = live()
        .devices
        .into_iter()
        .map(|(uuid, mapping)| Mapped { uuid, name: mapping.name, devno: mapping.devno, suspended: mapping.suspended })
        .collect::<Vec<_>>();
    mapped.sort_by(|one, other| one.uuid.cmp(&other.uuid));
    Host { mapped: Some(mapped), ..Host::default() }
}

/// Whether a device is there, its number, and whether it is suspended; all else is unknown.
#[test]
fn without_asking_sysfs_tells_a_part() {
    let told = ["lv_active", "lv_active_locally", "lv_active_exclusively", "lv_active_remotely"];
    let (mut active, mut suspended) = (0, 0);
    each_line("fields", None, &mapped(), |row, lv, values| {
        for (field, expected) in values {
            let ours = shown(row, field);
            if told.contains(&field.as_str()) {
                assert_eq!(ours, *expected, "{lv} {field}");
            }
            if field == "lv_suspended" && expected == "suspended" {
                assert_eq!(ours, "suspended", "{lv}");
                suspended += 1;
            }
            if ["data_percent", "lv_kernel_read_ahead", "kernel_cache_policy", "cache_used_blocks"]
                .contains(&field.as_str())
            {
                assert!(["", "-1"].contains(&ours.as_str()), "{lv} {field}: {ours}");
            }
            if field == "lv_attr" {
                let [ours, expected] = [ours.as_bytes(), expected.as_bytes()];
                let may_differ = |at: usize| at == 0 && ours[0] == b'I' || at == 1 && expected[1] == b'R';
                for at in (0..10).filter(|at| ours[*at] != b'X' && !may_differ(*at)) {
                    assert_eq!(ours[at], expected[at], "{lv} {at}: {ours:?} {expected:?}");
                }
                assert_eq!(ours[5] == b'X', !b"-h".contains(&expected[4]), "{lv}");
                active += usize::from(ours[4] == b'a');
            }
        }
    });
    assert!(active > 20 && suspended > 0, "{active} {suspended}");
}

/// Of images, and where there is no device-mapper.
#[test]
fn where_nothing_is_known() {
    each_line("fields", None, &Host::default(), |row, lv, values| {
        for (field, value) in values {
            let ours = shown(row, field);
            match field.as_str() {
                "lv_attr" if value.as_bytes()[4] == b'h' => assert_eq!(ours, *value),
                "lv_attr" => assert_eq!(&ours[4..6], "XX", "{lv}"),
                "lv_active" | "lv_active_locally" | "lv_suspended" | "lv_device_open" => {
                    assert_eq!(ours, "unknown", "{lv} {field}");
                }
                "lv_kernel_major" | "lv_kernel_read_ahead" => assert_eq!(ours, "-1", "{lv} {field}"),
                "data_percent" | "cache_used_blocks" | "kernel_discards" => assert_eq!(ours, "", "{lv} {field}"),
                _ => {}
            }
        }
    });
}

/// Whatever the kernel says, and whatever of it does not belong together.
#[test]
fn odd_answers_are_unknown() {
    let mut state = 1u64;
    let mut random = move |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % below
    };
    let usual = live();
    let all = usual.devices.values().flat_map(|mapping| mapping.targets.clone()).collect::<Vec<_>>();
    for _ in 0..12 {
        let mut live = usual.clone();
        for mapping in live.devices.values_mut() {
            for target in &mut mapping.targets {
                let cut = random(target.text.len() + 1);
                match random(8) {
                    0 => target.text.truncate(cut),
                    1 => target.text = target.text.replace(['1', '2', '4'], "18446744073709551615"),
                    2 => target.text = target.text.replace(' ', "/"),
                    3 => *target = all[random(all.len())].clone(),
                    4 => target.length = u64::MAX,
                    5 => target.kind.push('!'),
                    6 => target.text = target.text.replace(char::is_numeric, "0"),
                    _ => {}
                }
            }
            if random(9) == 0 {
                mapping.targets.clear();
            }
        }
        each_line("fields", Some(&live), &Host::default(), |row, _, values| {
            for (field, _) in values {
                shown(row, field);
            }
        });
    }
}
