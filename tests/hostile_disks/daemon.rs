//! Disks through all of the daemon that is pure, and through the reports of it.

use super::disk::Disk;
use super::naive::{self, Vg};
use pvwatch::conf::Settings;
use pvwatch::device::Facts;
use pvwatch::devno::DevNo;
use pvwatch::id::Id;
use pvwatch::metadata::VgText;
use pvwatch::ondisk::ByteRange;
use pvwatch::ondisk::mda::MAX_TEXT;
use pvwatch::report::fields;
use pvwatch::report::inventory::{Host, Item, Needs, VgItem};
use pvwatch::report::model::lvs::Lvs;
use pvwatch::report::row::{Marks, PvRow, Row};
use pvwatch::report::value::Value;
use pvwatch::scan::HEAD;
use pvwatch::text::{self, Scalar, Section, TERMINATOR};
use pvwatch::watcher::{Effect, Event, Inventory, Opened, Watcher};
use std::collections::BTreeMap;
use std::time::Duration;

/// Both looks at the label, and at the end: 399 sectors, and a few places more.
const ENDS: u64 = 2 * (HEAD as u64 + 399 * 512 + (64 << 10));
/// A text that is damaged is read four times, since somebody may be writing it; so are two areas.
const TRIES: u64 = 4;

const NOW: Duration = Duration::from_secs(1);

/// What a daemon knows that has just started, and how many bytes it has read.
pub fn look(disks: &[Disk]) -> (Watcher, u64) {
    let mut settings = Settings::default();
    // Ours are small, so that many fit a test.
    settings.filter.pv_min_size = 0;
    let mut watcher = Watcher::new(settings, 1, NOW);
    let mut jobs = BTreeMap::new();
    let mut read = vec![0; disks.len()];
    while let Some(effect) = watcher.poll_effect(NOW) {
        let event = match effect {
            Effect::Enumerate => Event::Resync((0..).zip(disks).map(|(number, _)| DevNo::new(8, number)).collect()),
            Effect::Examine(devno) => {
                let disk = (0..).zip(disks).find(|(number, _)| *number == devno.minor);
                let found = disk.map(|(number, disk)| (facts(number, disk), vec![format!("/dev/sd{number}")]));
                Event::Facts { devno, found }
            }
            Effect::Open { job, devno, length, .. } => {
                let number = usize::try_from(devno.minor).expect("there are three");
                jobs.insert(job, number);
                let size = disks[number].size;
                let length = length.min(usize::try_from(size).unwrap_or(length));
                read[number] += length as u64;
                let head = disks[number].read(ByteRange { offset: 0, length });
                Event::Opened { job, result: Ok(Opened { size, diskseq: None, head }) }
            }
            Effect::Read { job, ranges } => {
                let number = jobs[&job];
                let is_there = |range: &ByteRange| range.length > 0 && range.end_within(disks[number].size).is_some();
                assert!(ranges.iter().all(is_there), "{ranges:?}");
                read[number] += ranges.iter().map(|range| range.length as u64).sum::<u64>();
                let pieces = ranges.into_iter().map(|range| Ok(disks[number].read(range))).collect();
                Event::Data { job, diskseq: None, pieces }
            }
            // Nobody else is there.
            _ => continue,
        };
        watcher.handle(NOW, event);
    }
    for (disk, read) in disks.iter().zip(&read) {
        let bound = ENDS + 2 * TRIES * (512 + disk.size.min(MAX_TEXT));
        assert!(*read <= bound, "{read} bytes read of {}, at most {bound} are expected", disk.size);
    }
    (watcher, read.iter().sum())
}

fn facts(number: u32, disk: &Disk) -> Facts {
    Facts { name: format!("sd{number}"), size: disk.size, driver: Some("sd".into()), ..Facts::default() }
}

/// What is served is well formed, holds what the rules of metadata promise, and every field of every
/// report has a value. How many VGs there are.
pub fn check(watcher: &mut Watcher) -> usize {
    for request in ["pv_list", "vg_list", "dump"] {
        let reply = ask(watcher, &format!("request=\"{request}\" token=\"skip\""));
        assert!(text::parse(&reply).is_ok(), "{request}: {}", reply.escape_ascii());
    }
    let vgids = watcher.cache().vgs().map(|vg| (vg.vgid.to_vec(), vg.body().to_vec())).collect::<Vec<_>>();
    for (vgid, body) in &vgids {
        let mut request = b"request=\"vg_lookup\" token=\"skip\" uuid=\"".to_vec();
        text::escape_into(vgid, &mut request);
        let request = String::from_utf8(request).expect("an id is ASCII") + "\"";
        let reply = ask(watcher, &request);
        let reply = text::parse(&reply).expect("a reply is text");
        assert_eq!(reply.str("response"), Some(&b"OK"[..]));
        let vg = text::parse(body).expect("what is kept can be read");
        check_extents(&vg);
        check_stripes(&vg);
    }
    report(watcher);
    vgids.len()
}

/// Nothing is served that is on no disk behind good checksums.
pub fn check_against(watcher: &Watcher, disks: &[Disk]) {
    let believed = naive::believe(disks);
    for vg in watcher.cache().vgs() {
        let body = text::parse(vg.body()).expect("what is kept can be read");
        let vg = Vg::read(&body).expect("a VG has both");
        assert!(believed.vgs.contains(&vg), "{vg:?} is not among {:?}", believed.vgs);
    }
    for (pvid, _) in watcher.cache().present_pvs() {
        let id = Id::from_hyphenated(pvid).expect("an id is one");
        assert!(believed.pvs.contains(&id), "PV {id} is not among {:?}", believed.pvs);
    }
}

fn ask(watcher: &mut Watcher, request: &str) -> Vec<u8> {
    let reply = watcher.handle_request(NOW, request.as_bytes());
    reply.bytes().strip_suffix(TERMINATOR).expect("a reply has an end").to_vec()
}

/// Segments of an LV lie one behind the other, as numbers of 32 bits.
fn check_extents(vg: &Section) {
    let short = |section: &Section, key: &str| section.int(key).map(|number| number.cast_unsigned() & 0xffff_ffff);
    for (name, lv) in vg.section("logical_volumes").into_iter().flat_map(Section::sections) {
        let segments = lv.sections().filter_map(|(_, segment)| Some((short(segment, "start_extent")?, segment)));
        let mut segments = segments.collect::<Vec<_>>();
        segments.sort_by_key(|(start, _)| *start);
        let mut end = 0;
        for (start, segment) in segments {
            assert_eq!(start, end, "{}", name.escape_ascii());
            end += short(segment, "extent_count").expect("a segment has a length");
        }
    }
}

/// No two stripes have an extent of a PV in common.
fn check_stripes(vg: &Section) {
    let lvs = vg.section("logical_volumes").into_iter().flat_map(Section::sections);
    let mut stripes =
        lvs.flat_map(|(_, lv)| lv.sections()).flat_map(|(_, segment)| stripes(segment)).collect::<Vec<_>>();
    stripes.sort();
    for pair in stripes.windows(2) {
        assert!(pair[0].0 != pair[1].0 || pair[0].1 + pair[0].2 <= pair[1].1, "{pair:?}");
    }
}

/// The PV, first extent and length of each stripe.
fn stripes(segment: &Section) -> Vec<(String, i64, i64)> {
    let list = segment.value("stripes").filter(|_| segment.str("type") == Some(b"striped"));
    let (Some(list), Some(extents)) = (list, segment.int("extent_count")) else { return Vec::new() };
    let count = i64::try_from(list.scalars().len() / 2).expect("there are a few");
    let pairs = list.scalars().chunks_exact(2).filter_map(|pair| match pair {
        [Scalar::Str(pv), Scalar::Int(start)] if pv.starts_with(b"pv") => {
            Some((pv.escape_ascii().to_string(), *start, extents / count))
        }
        _ => None,
    });
    pairs.filter(|(_, _, length)| *length > 0).collect()
}

/// All fields of all rows.
fn report(watcher: &Watcher) {
    let needs = Needs { lvs: true, labels: true, devices: true, named: Vec::new() };
    let mut inventory = Inventory::begin(watcher, &needs, true);
    let mut host = Host::default();
    while let Some(item) = inventory.next(watcher) {
        match item {
            Item::Host(found) => host = found,
            Item::Vg(vg) => report_vg(&host, &vg),
            Item::Orphan(present) | Item::Label(present) => {
                let pv = PvRow { present: Some(&present), ..PvRow::default() };
                show(&Row { pv: Some(pv), ..row(&host, &Marks::default()) });
            }
            Item::Named(_) | Item::Unreadable(_) | Item::Device(_) => {}
        }
    }
}

/// The reports of a text, if it is one of a VG.
#[allow(dead_code, reason = "for fuzzing")]
pub fn report_text(text: &[u8]) {
    let Ok(text) = VgText::parse(text.into()) else { return };
    if text.unreadable.is_some() {
        return;
    }
    let Ok(vg) = pvwatch::report::model::Vg::read(&text.name, &text.body) else { return };
    let text = Some(text.body);
    let vg = VgItem { vg: vg.into(), present: Vec::new(), stray: Vec::new(), warnings: Vec::new(), text };
    report_vg(&Host::default(), &vg);
}

fn report_vg(host: &Host, vg: &VgItem) {
    let marks = Marks::default();
    let body = vg.text.as_ref().expect("LVs are needed");
    let lvs = Lvs::read(&vg.vg, body).expect("what is kept can be read");
    let row = Row { vg: Some(vg), lvs: Some(&lvs), ..row(host, &marks) };
    show(&row);
    for listed in &vg.vg.pvs {
        let present = vg.present.iter().find(|present| Some(present.id) == listed.id);
        show(&Row { pv: Some(PvRow { listed: Some(listed), present, ..PvRow::default() }), ..row });
    }
    for lv in &lvs.all {
        show(&Row { lv: Some(lv), ..row });
        for segment in &lv.segments {
            show(&Row { lv: Some(lv), segment: Some(segment), ..row });
        }
    }
    for part in &lvs.pv_segments {
        show(&Row { pv_segment: Some(part), ..row });
    }
}

fn row<'r>(host: &'r Host, marks: &'r Marks) -> Row<'r> {
    Row { host, marks, vg: None, pv: None, lvs: None, lv: None, segment: None, pv_segment: None, live: None }
}

fn show(row: &Row) {
    for field in fields::all() {
        match (field.value)(row) {
            Value::Text(text) => assert!(text.len() < 1 << 20, "{} of {} bytes", field.name, text.len()),
            Value::List(texts) => assert!(texts.len() < 1 << 16, "{} of {} parts", field.name, texts.len()),
            _ => {}
        }
    }
}
