//! What LVM's commands say on standard error before a report, in the order in which they say it:
//! first of each device, as they look for labels, then of each VG as they read it.
//!
//! Some of it LVM says twice, because it reads twice, and scripts look for these lines as they are.
//! Said otherwise, or not at all, on purpose:
//!
//! | LVM 2.03.16 | here | why |
//! |---|---|---|
//! | `Parse error at byte N (line N): unexpected token` | the same with the line alone | its place depends on the parser |
//! | `Internal error: lvmcache_get_outdated_mdas no vginfo` | nothing | a mistake of LVM's |
//! | `PV DEVICE size is zero.` for a label that leads out of its sector | nothing | it is no PV, and is not shown here either |
//! | why the rules of a full read are broken, in many words | one line | it says the same |
//! | `Internal error: WARNING: Failed to properly detect layout and role` of segments of unknown types | nothing | likewise |
//! | `Retrying metadata scan.`, on standard output | nothing | it would be no JSON |
//! | `WARNING: Ignoring duplicate config node`, `Full LV name "..." is too long` | nothing | LVM reads it all the same |
//! | `Error reading device` for a text that would wrap around | `Checksum error` | nothing is read |

use super::{Holder, Read, Step, View};
use crate::cache::{Key, VgView};
use crate::devno::DevNo;
use crate::metadata::{About, Problem, Refusal, VgText, Warning as Noticed};
use crate::ondisk::pv_header::FLAGS_SINCE;
use crate::ondisk::{Covered, Error};
use crate::report::access;
use crate::report::inventory::{Present, Warning};
use crate::report::model::Vg;
use crate::scan::{Code, Fault, Finding, MdaScan, Pv, Why};
use crate::text;
use crate::watcher::Device;
use std::collections::HashMap;
use std::collections::hash_map::Entry;

const SECTOR: u64 = 512;

/// Lines, as they come.
#[derive(Default)]
pub(super) struct Lines(Vec<Warning>);

impl Lines {
    pub(super) fn say(&mut self, text: impl Into<String>) {
        self.0.push(Warning { text: text.into(), unless_foreign: false });
    }

    pub(super) fn into_warnings(self) -> Vec<Warning> {
        self.0
    }
}

impl View<'_> {
    /// Of the look at all devices.
    pub(super) fn of_scan(&self) -> Vec<Warning> {
        let mut lines = Lines::default();
        let mut devices = self.watcher.devices.iter().filter(|(_, device)| device.seen.is_some()).collect::<Vec<_>>();
        devices.sort_by_key(|(devno, _)| devno.turn());
        for (devno, device) in &devices {
            self.of_device(**devno, device, &mut lines);
        }
        for (devno, device) in &devices {
            if let Some(pv) = device.pv() {
                self.of_copies(**devno, pv, &mut lines);
            }
        }
        self.of_names(&mut lines);
        lines.into_warnings()
    }

    /// Of VGs with the name of one before; those of other hosts may have any.
    fn of_names(&self, lines: &mut Lines) {
        let cache = &self.watcher.cache;
        if cache.vgs().all(|vg| cache.vgids_named(vg.name()).len() < 2) {
            return;
        }
        let mut first: HashMap<&[u8], Key> = HashMap::new();
        for step in self.watcher.vg_steps().into_iter().rev() {
            let Step::Vg(vgid) = step else { continue };
            let Some(vg) = cache.vg(&vgid).filter(|vg| cache.vgids_named(vg.name()).len() > 1) else { continue };
            if !access::is_own(&vg.summary(), self.watcher.system_id()) {
                continue;
            }
            match first.entry(vg.name()) {
                Entry::Vacant(entry) => drop(entry.insert(vgid)),
                Entry::Occupied(entry) => {
                    let [name, new, old] = [vg.name(), &vgid, entry.get()].map(|key| String::from_utf8_lossy(key));
                    lines.say(format!("WARNING: VG name {name} is used by VGs {new} and {old}."));
                    lines.say("Fix duplicate VG names with vgrename uuid, a device filter, or system IDs.");
                }
            }
        }
    }

    fn of_device(&self, devno: DevNo, device: &Device, lines: &mut Lines) {
        let Some(seen) = &device.seen else { return };
        let path = self.path(devno, device);
        seen.content.findings().iter().for_each(|finding| of_label(&path, finding, lines));
        if let Some(pv) = device.pv() {
            of_areas(&path, pv, lines);
        }
    }

    /// That a PV is on several devices is said where the one is that is used.
    fn of_copies(&self, devno: DevNo, pv: &Pv, lines: &mut Lines) {
        let choice = self.watcher.choice(pv.id).filter(|choice| choice.device == devno && !choice.others.is_empty());
        let Some(choice) = choice else { return };
        let named = |devno| self.watcher.devices.get(devno).map(|device| self.path(*devno, device));
        for other in choice.others.keys().filter_map(named) {
            lines.say(format!("WARNING: Not using device {other} for PV {}.", pv.id));
        }
        let Some(chosen) = named(&devno) else { return };
        for other in choice.others.values() {
            let because = other.because.in_lvms_words();
            lines.say(format!("WARNING: PV {} prefers device {chosen} because {because}.", pv.id));
        }
    }

    /// Of a VG that can be read.
    pub(super) fn of_vg(&self, view: VgView, vg: &Vg, present: &[Present], read: &Read) -> Vec<Warning> {
        let mut lines = Lines::default();
        let name = String::from_utf8_lossy(&vg.name);
        // LVM looks again at PVs of which an area was damaged.
        for (own, pv) in present.iter().zip(&read.pvs).filter_map(|(own, pv)| Some((own, (*pv)?))) {
            of_areas(&own.device.path, pv, &mut lines);
        }
        let policy = String::from_utf8_lossy(&vg.allocation_policy);
        if !policy.is_empty() && vg.policy().is_none() {
            lines.say(format!("Unrecognised allocation policy {policy}"));
            lines.say(format!("WARNING: Ignoring unrecognised allocation policy {policy} for VG {name}"));
        }
        // What was read of the metadata that is in the cache.
        let is_in_force = |text: &&VgText| text.seqno == view.seqno() && view.is_text(&text.body);
        let newest = read.holders.iter().map(|holder| holder.text).find(is_in_force);
        for kind in newest.iter().flat_map(|text| &text.warnings) {
            let Noticed::UnknownSegment { segment_type, .. } = kind;
            lines.say(format!("WARNING: Unrecognised segment type {}", String::from_utf8_lossy(segment_type)));
        }
        let mut there = present.iter().peekable();
        let own = vg.pvs.iter().map(|pv| there.next_if(|present| Some(present.id) == pv.id)).collect::<Vec<_>>();
        for id in vg.pvs.iter().zip(&own).filter_map(|(pv, own)| pv.id.filter(|_| own.is_none())) {
            let text = format!("WARNING: Couldn't find device with uuid {id}.");
            lines.0.push(Warning { text, unless_foreign: true });
        }
        self.of_older(view, read.holders, &name, &mut lines);
        self.of_removed(view, read.unlisted, &name, &mut lines);
        of_missing(vg, &name, &own, &mut lines);
        of_sizes(vg, &name, &own, &mut lines);
        for own in present {
            let path = &own.device.path;
            if own.label.ext_version < FLAGS_SINCE {
                lines.say(format!(
                    "WARNING: PV {path} in VG {name} is using an old PV header, modify the VG to update."
                ));
            } else if !own.label.in_use {
                lines.say(format!("WARNING: PV {path} in VG {name} is missing the used flag in PV header."));
            }
        }
        lines.into_warnings()
    }

    /// Of PVs with an older text.
    fn of_older(&self, view: VgView, holders: &[Holder], name: &str, lines: &mut Lines) {
        let read = holders.iter().map(|Holder { devno, device, text, .. }| (devno.turn(), *devno, *device, text.seqno));
        let current = view.seqno();
        let mut older = read.clone().filter(|(.., seqno)| *seqno < current).collect::<Vec<_>>();
        let newest = read.filter(|(.., seqno)| *seqno == current).min_by_key(|(turn, ..)| *turn);
        let Some((_, devno, device, _)) = newest.filter(|_| !older.is_empty()) else { return };
        let newest = self.path(devno, device);
        older.sort_by_key(|(turn, ..)| *turn);
        for (_, devno, device, seqno) in older {
            let path = self.path(devno, device);
            lines.say(format!(
                "WARNING: ignoring metadata seqno {seqno} on {path} for seqno {current} on {newest} for VG {name}."
            ));
        }
        lines.say(format!("WARNING: Inconsistent metadata found for VG {name}."));
        lines.say("See vgck --updatemetadata to correct inconsistency.");
    }

    /// Of PVs whose text is of the VG, which does not list them.
    fn of_removed(&self, view: VgView, unlisted: &[&Holder], name: &str, lines: &mut Lines) {
        let mut removed = unlisted.to_vec();
        removed.sort_by_key(|holder| holder.devno.turn());
        for Holder { devno, device, text, .. } in &removed {
            let path = self.path(*devno, device);
            let (seqno, current) = (text.seqno, view.seqno());
            lines.say(format!(
                "WARNING: outdated PV {path} seqno {seqno} has been removed in current VG {name} seqno {current}."
            ));
        }
        if !removed.is_empty() {
            lines.say("See vgck --updatemetadata to clear outdated metadata.");
        }
    }

    /// Of a VG that cannot be read.
    pub(super) fn of_unreadable(&self, devno: DevNo, device: &Device, pv: &Pv) -> Vec<Warning> {
        let mut lines = Lines::default();
        let (Some(text), path) = (&pv.vg, self.path(devno, device)) else { return Vec::new() };
        let name = text.name.escape_ascii().to_string();
        let Some(problem) = &text.unreadable else {
            if text.seqno <= 0 {
                lines.say(format!("WARNING: VG {name} on {path} is left out: its seqno is {}.", text.seqno));
            }
            return lines.into_warnings();
        };
        for (number, mda) in numbered(pv) {
            let Some(found) = mda.text.as_ref().filter(|found| found.vg.unreadable.is_some()) else { continue };
            let (start, offset, size) = (mda.area.offset, found.location.offset, found.location.size);
            say_problem(problem, &name, &mut lines);
            if is_of_vg_flags(problem) {
                lines.say(format!("Error reading flags of volume group {name}."));
            }
            let at = start.saturating_add(offset);
            lines.say(format!(
                "WARNING: Failed to read metadata text at {at} off {offset} size {size} VG {name} on {path}"
            ));
            lines.say(format!("WARNING: reading {path} mda{number} failed to read metadata."));
            lines.say(repair(&path));
        }
        lines.say(format!("WARNING: Reading VG {name} on {path} failed."));
        lines.into_warnings()
    }
}

/// Of a PV that a VG uses which nobody knows.
pub(super) fn of_orphan(path: &str, pv: &Pv) -> Vec<Warning> {
    let mut lines = Lines::default();
    if pv.is_in_use() {
        lines.say(format!("WARNING: PV {path} is marked in use but no VG was found using it."));
        lines.say(format!("WARNING: PV {path} might need repairing."));
    }
    lines.into_warnings()
}

fn repair(path: &str) -> String {
    format!("WARNING: repair VG metadata on {path} with vgck --updatemetadata.")
}

fn of_label(path: &str, finding: &Finding, lines: &mut Lines) {
    let Some(place) = &finding.place else { return };
    let sector = place.sector;
    match (finding.code, place.stated) {
        (Code::LabelWrongSector, Some(stated)) => {
            lines.say(format!("{path}: Label for sector {stated} found at sector {sector} - ignoring."));
        }
        (Code::ExtraLabelIgnored, _) => {
            lines.say(format!("Ignoring additional label on {path} at sector {sector}"));
        }
        _ => {}
    }
}

/// Metadata areas with the numbers that LVM gives them, by where they are.
fn numbered(pv: &Pv) -> impl Iterator<Item = (usize, &MdaScan)> {
    (1..).zip(&pv.mdas)
}

fn of_areas(path: &str, pv: &Pv, lines: &mut Lines) {
    let mut has_good = false;
    let mut has_bad = false;
    for (number, mda) in numbered(pv) {
        if let Some(problem) = mda.text.as_ref().and_then(|text| text.vg.unreadable.as_ref()) {
            of_summary(path, mda, problem, lines);
        }
        let Some(fault) = &mda.fault else {
            has_good = true;
            continue;
        };
        if let Why::Text(Refusal::Lacks(name, what)) = &fault.why {
            of_lacking(path, mda, fault, name, what, lines);
            has_good = true;
            continue;
        }
        has_bad = true;
        of_fault(path, number, mda, fault, lines);
        lines.say(format!("WARNING: scanning {path} mda{number} failed to read metadata summary."));
        lines.say(repair(path));
    }
    if has_bad && !has_good {
        let pvid = pv.id.0.escape_ascii();
        lines.say(format!("WARNING: scan failed to get metadata summary from {path} PVID {pvid}"));
    }
}

fn text_at(mda: &MdaScan, fault: &Fault) -> u64 {
    mda.area.offset.saturating_add(fault.location.map_or(0, |location| location.offset))
}

fn invalid_summary(path: &str, at: u64) -> String {
    format!("WARNING: metadata on {path} at {at} has invalid summary for VG.")
}

/// The summary of a text needs the flags of its VG, and nothing else that a full read needs.
fn of_summary(path: &str, mda: &MdaScan, problem: &Problem, lines: &mut Lines) {
    let Some(text) = mda.text.as_ref().filter(|_| is_of_vg_flags(problem)) else { return };
    let name = text.vg.name.escape_ascii().to_string();
    say_problem(problem, &name, lines);
    lines.say(format!("Couldn't find status flags for volume group {name}."));
    lines.say(invalid_summary(path, mda.area.offset.saturating_add(text.location.offset)));
}

fn is_of_vg_flags(problem: &Problem) -> bool {
    matches!(problem.about, About::Flag { is_of_vg: true, .. })
}

fn say_problem(problem: &Problem, vg: &str, lines: &mut Lines) {
    let of_lvs = || format!("Couldn't read all logical volumes for volume group {vg}.");
    match &problem.about {
        About::Flag { flag, .. } => {
            lines.say(format!("Unknown status flag '{}'.", flag.escape_ascii()));
            lines.say("Could not read status flags.");
        }
        About::SegmentCount { lv } => {
            let lv = lv.escape_ascii();
            lines.say(format!("segment_count and actual number of segments disagree for logical volume {lv}."));
            lines.say(of_lvs());
        }
        About::NoVolume { volume, segment } => {
            let (volume, segment) = (volume.escape_ascii(), segment.escape_ascii());
            lines.say(format!("Couldn't find volume '{volume}' for segment '{segment}'."));
            lines.say(of_lvs());
        }
        About::Other => lines.say(format!("Couldn't read volume group {vg}: {}.", problem.detail)),
    }
}

fn of_lacking(path: &str, mda: &MdaScan, fault: &Fault, name: &[u8], what: &str, lines: &mut Lines) {
    let name = name.escape_ascii();
    if what == "id" {
        lines.say("Couldn't find uuid.");
        lines.say(format!("Couldn't read uuid for volume group {name}."));
    } else {
        lines.say(format!("Couldn't read '{what}' for volume group {name}."));
    }
    lines.say(invalid_summary(path, text_at(mda, fault)));
}

fn of_fault(path: &str, number: usize, mda: &MdaScan, fault: &Fault, lines: &mut Lines) {
    let start = mda.area.offset;
    match &fault.why {
        Why::OutOfRange | Why::Unread(_) if fault.location.is_none() => {
            lines.say(format!("Error reading device {path} at {start} length {SECTOR}."));
            lines.say(format!("Failed to read metadata area header on {path} at {start}"));
            lines.say(format!("WARNING: bad metadata header on {path} at {start}."));
        }
        Why::Header(faults) => {
            for error in faults {
                let what = match error {
                    Error::Checksum { expected, .. } => format!("checksum {expected:x}"),
                    Error::MdaVersion { found } => format!("version {found}"),
                    // The word is LVM's; they are bytes.
                    Error::MdaStart { stated } => format!("start sector {stated}"),
                    _ => "magic number".to_owned(),
                };
                lines.say(format!("WARNING: wrong {what} in mda header on {path} at {start}"));
            }
            lines.say(format!("WARNING: bad metadata header on {path} at {start}."));
        }
        why => {
            for _ in 0..2 {
                of_text(path, text_at(mda, fault), why, lines);
            }
            lines.say(format!("WARNING: bad metadata text on {path} in mda{number}"));
        }
    }
}

fn of_text(path: &str, at: u64, why: &Why, lines: &mut Lines) {
    let no_name = || format!("WARNING: Metadata location on {path} at offset {at} begins with invalid name.");
    let checksum = || format!("WARNING: Checksum error on {path} at offset {at}.");
    let invalid = || format!("WARNING: invalid metadata text from {path} at {at}.");
    match why {
        Why::Text(Refusal::Schema(what)) => {
            let lacks_version = what.starts_with("version");
            let what = if lacks_version { "missing version number" } else { what };
            lines.say(format!("Can't process text format file - {what}."));
        }
        Why::Text(Refusal::Name(_)) => {
            lines.say(no_name());
            lines.say(invalid());
        }
        Why::Text(Refusal::Parse(text::Error { line, .. })) => {
            lines.say(format!("Parse error (line {line}): unexpected token"));
            lines.say(invalid());
        }
        Why::Bytes(Error::LocationEmpty) => {
            lines.say(no_name());
            lines.say(checksum());
            lines.say(invalid());
        }
        Why::Bytes(Error::LocationOffset { offset, .. }) if *offset < SECTOR => {
            lines.say(no_name());
            lines.say(checksum());
            lines.say(invalid());
        }
        Why::Bytes(Error::Checksum { what: Covered::Text, .. }) | Why::Bytes(_) => {
            lines.say(checksum());
            lines.say(invalid());
        }
        _ => {
            lines.say(format!("Error reading device {path} at {at}."));
            lines.say(invalid());
        }
    }
    lines.say(invalid_summary(path, at));
}

/// Of PVs that are not there, and of those that were not when the VG was changed.
fn of_missing(vg: &Vg, name: &str, present: &[Option<&Present>], lines: &mut Lines) {
    let pvs = || vg.pvs.iter().zip(present);
    for (_, own) in pvs().filter(|(pv, _)| pv.is_marked_missing()) {
        if let Some(own) = own {
            let path = &own.device.path;
            lines.say(format!("WARNING: VG {name} was previously updated while PV {path} was missing."));
        }
    }
    for (pv, own) in pvs() {
        let Some(id) = pv.id else { continue };
        let path = own.map_or("", |own| &own.device.path);
        if own.is_none() {
            let hint = match &*pv.device {
                b"" => String::new(),
                hint => format!(" (last written to {})", String::from_utf8_lossy(hint)),
            };
            lines.say(format!("WARNING: VG {name} is missing PV {id}{hint}."));
        } else if pv.is_missing(*own) {
            lines.say(format!("WARNING: VG {name} was missing PV {path} {id}."));
        } else if pv.is_marked_missing() && own.is_some_and(|own| own.label.readable_mdas().any(|mda| !mda.ignored)) {
            lines.say(format!("WARNING: VG {name} has unused reappeared PV {path} {id}."));
        }
    }
}

/// Of devices that have shrunk.
fn of_sizes(vg: &Vg, name: &str, present: &[Option<&Present>], lines: &mut Lines) {
    let mut is_any = false;
    for (pv, own) in vg.pvs.iter().zip(present).filter_map(|(pv, own)| Some((pv, (*own)?))) {
        let size = own.device.size / SECTOR;
        if size < pv.dev_size {
            is_any = true;
            lines.say(format!(
                "WARNING: Device {} has size of {size} sectors which is smaller than corresponding PV size of {} sectors. Was device resized?",
                own.device.path, pv.dev_size
            ));
        }
    }
    if is_any {
        lines.say(format!("WARNING: One or more devices used as PVs in VG {name} have changed sizes."));
    }
}
