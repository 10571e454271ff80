//! Goes through an inventory, and prints the reports that it is asked for.

use super::access::{self, Access, Barred};
use super::inventory::{Host, Item, Needs, Present, Source, Unreadable, VgItem, Warning};
use super::kind::{self, Kind};
use super::layout::{Json, Look};
use super::live::Live;
use super::log::{self, Entry};
use super::model::VgPv;
use super::model::lvs::{Lv, Lvs};
use super::names::{self, Names, VgName};
use super::options::{Command, Options};
use super::print::{Keep, Report, Section};
use super::row::{Marks, PvRow, Row};
use super::rows::{Common, Wanted};
use super::value::Object;
use std::collections::HashMap;
use std::io::{self, Write};

/// What a command is to do.
pub struct Plan<'p> {
    pub command: Command,
    pub options: &'p Options,
    pub look: &'p Look,
    pub marks: &'p Marks,
    /// One, or the five of a full report.
    pub sections: Vec<Section>,
    pub log: Option<Section>,
    pub live: Option<&'p Live>,
    /// Where rows are kept.
    pub keep: fn() -> Box<dyn Keep>,
}

#[derive(Debug)]
pub enum Error {
    Write(io::Error),
    /// Of the source, in words.
    Source(String),
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Error {
        Error::Write(error)
    }
}

impl Plan<'_> {
    /// # Errors
    /// What LVM says of fields that do not go together.
    pub fn kind(&self) -> Result<Kind, String> {
        let section = &self.sections[0];
        kind::kind(section.start, section.columns.objects, None)
    }

    pub fn names_of(&self, kind: Kind) -> names::Of {
        if self.command == Command::Pvs {
            names::Of::Pvs
        } else if self.command != Command::FullReport && matches!(kind, Kind::Lvs | Kind::Segments) {
            names::Of::Lvs
        } else {
            names::Of::Vgs
        }
    }

    pub fn needs(&self, kind: Kind, names: &Names) -> Needs {
        let of_lvs = [Object::Lv, Object::LvInfo, Object::LvStatus, Object::LvInfoStatus, Object::Seg, Object::PvSeg];
        let is_of_lvs = |section: &Section| section.columns.objects.has_any(&of_lvs);
        let is_of_pvs = self.command == Command::Pvs;
        Needs {
            lvs: self.sections.iter().any(is_of_lvs) || kind == Kind::PvSegments,
            devices: is_of_pvs && (self.options.all || !names.pvs.is_empty()),
        }
    }

    /// Whether anything of it is of the state of targets.
    pub fn needs_status(&self) -> bool {
        let of_targets = [Object::LvStatus, Object::LvInfoStatus];
        self.sections.iter().any(|section| section.columns.objects.has_any(&of_targets))
    }
}

/// The exit status of LVM's commands.
const FAILED: u8 = 5;

pub struct Engine<'e> {
    plan: &'e Plan<'e>,
    names: Names,
    out: &'e mut dyn Write,
    /// Says a line on standard error.
    say: &'e mut dyn FnMut(&str),
    json: Json,
    host: Host,
    entries: Vec<Entry>,
    status: u8,
    /// Of the last error: LVM keeps it for what succeeds afterwards.
    errno: i32,
    /// Of the full report, how many VGs it has.
    count: usize,
    /// What was not found of so many of the VGs that were named is said.
    told: usize,
}

/// Prints what there is. The exit status.
///
/// # Errors
/// Nobody takes what is printed, or nobody says what there is.
pub fn run(
    plan: &Plan,
    kind: Kind,
    names: Names,
    source: &mut dyn Source,
    out: &mut dyn Write,
    say: &mut dyn FnMut(&str),
) -> Result<u8, Error> {
    let json = Json::default();
    let entries = Vec::new();
    let mut engine =
        Engine { plan, names, out, say, json, host: Host::default(), entries, status: 0, errno: 0, count: 0, told: 0 };
    engine.begin()?;
    match plan.command {
        Command::FullReport => engine.full(source)?,
        Command::Pvs | Command::Vgs | Command::Lvs => engine.single(kind, source)?,
    }
    engine.end()?;
    Ok(engine.status)
}

impl Engine<'_> {
    /// Whether nothing but the log is shown.
    fn is_quiet(&self) -> bool {
        self.plan.options.log_only
    }

    fn is_json(&self) -> bool {
        self.plan.look.is_json()
    }

    /// Each report has its name above it, if there is more than one.
    fn has_titles(&self) -> bool {
        self.plan.log.is_some() && !self.is_quiet() && !self.is_json()
    }

    fn begin(&mut self) -> io::Result<()> {
        for section in &self.plan.sections {
            for key in &section.columns.duplicate_keys {
                (self.say)(&format!("dm_report: Ignoring duplicate sort field: {key}."));
            }
        }
        for complaint in std::mem::take(&mut self.names.complaints) {
            match complaint.status {
                Some(_) => self.fail(Entry { object: "vg", message: complaint.text, ..Entry::default() }),
                None => (self.say)(&complaint.text),
            }
        }
        if self.is_json() {
            self.json.begin(self.out)?;
            if !self.is_quiet() {
                self.json.begin_array(self.out, "report")?;
            }
        }
        Ok(())
    }

    fn end(&mut self) -> io::Result<()> {
        if self.is_json() && !self.is_quiet() {
            self.json.end_array(self.out)?;
        }
        if let Some(section) = &self.plan.log {
            let entries = std::mem::take(&mut self.entries);
            let mut report = self.report(section, !self.is_quiet());
            for (number, entry) in (1..).zip(&entries) {
                let values = log::values(number, entry);
                report.add(&|field| log::value(&values, field), self.out)?;
            }
            self.print(section, report)?;
        }
        if self.is_json() { self.json.end(self.out) } else { Ok(()) }
    }

    /// `is_after` another one.
    fn report<'s>(&self, section: &'s Section, is_after: bool) -> Report<'s>
    where
        Self: 's,
    {
        let mut report = Report::new(section, self.plan.look.clone(), (self.plan.keep)());
        if self.has_titles() {
            report.set_title(kind::title(section.start), is_after);
        }
        report
    }

    fn print(&mut self, section: &Section, report: Report) -> io::Result<()> {
        if !self.is_json() {
            return report.finish(self.out, &mut self.json);
        }
        self.json.begin_array(self.out, kind::name(section.start))?;
        report.finish(self.out, &mut self.json)?;
        self.json.end_array(self.out)
    }

    /// Something went wrong.
    fn fail(&mut self, entry: Entry) {
        self.status = FAILED;
        self.complain(entry);
    }

    /// What goes into the log is not said as well.
    fn complain(&mut self, entry: Entry) {
        if self.plan.log.is_none() {
            (self.say)(&entry.message);
        }
        self.errno = -1;
        self.note(Entry { kind: "error", errno: -1, ..entry });
    }

    /// Something is done.
    fn done(&mut self, object: &'static str, name: &[u8], id: String, vg: Option<&VgItem>) {
        let group = vg.map_or(Vec::new(), |vg| vg.vg.name.to_vec());
        let group_id = vg.and_then(|vg| vg.vg.id).map_or_else(String::new, |id| id.to_string());
        let message = "success".to_owned();
        let name = name.to_vec();
        self.note(Entry { kind: "status", object, name, id, group, group_id, message, errno: self.errno, status: 1 });
    }

    fn note(&mut self, entry: Entry) {
        if self.plan.log.is_some() {
            self.entries.push(entry);
        }
    }
}

/// The one report of `pvs`, `vgs` and `lvs`.
impl Engine<'_> {
    fn single(&mut self, kind: Kind, source: &mut dyn Source) -> Result<(), Error> {
        let plan = self.plan;
        let section = &plan.sections[0];
        let mut report = self.report(section, false);
        let mut labels = Vec::new();
        // Those that were named come in the order of their names.
        let mut named: Vec<(usize, Box<VgItem>)> = Vec::new();
        while let Some(item) = source.next().map_err(Error::Source)? {
            match item {
                Item::Host(host) => {
                    self.take_host(host);
                    if kind != Kind::Labels {
                        self.say_lost_pvs();
                    }
                }
                Item::Vg(vg) if kind == Kind::Labels => labels.extend(vg.present),
                // LVM stops when it has all that was named.
                Item::Vg(_) | Item::Unreadable(_) if self.names.has_all_pvs() => {}
                Item::Vg(vg) => match self.place(&vg) {
                    Some(at) => named.push((at, vg)),
                    None => self.vg(&vg, kind, &mut report)?,
                },
                Item::Unreadable(_) if kind == Kind::Labels => {}
                Item::Unreadable(vg) => self.unreadable(&vg),
                Item::Orphan(present) | Item::Label(present) if kind == Kind::Labels => labels.push(*present),
                Item::Label(present) => self.names.note_device(&present.device),
                Item::Orphan(present) => {
                    if plan.command == Command::Pvs {
                        self.say_all(&present.warnings);
                    }
                    if plan.command == Command::Pvs && self.is_pv_wanted(None, Some(&present)) {
                        let mut add = |row: &Row| report.add_row(row, self.out);
                        Common { host: &self.host, marks: plan.marks, live: plan.live }
                            .orphan(&present, kind, &mut add)?;
                        self.done("pv", present.device.path.as_bytes(), present.id.to_string(), None);
                    }
                    self.duplicates(None, &present, kind, &mut report)?;
                }
                Item::Device(device) => {
                    self.names.note_device(&device);
                    if plan.options.all && self.names.is_empty() && matches!(kind, Kind::Pvs | Kind::PvSegments) {
                        let mut add = |row: &Row| report.add_row(row, self.out);
                        Common { host: &self.host, marks: plan.marks, live: plan.live }
                            .device(&device, kind, &mut add)?;
                    }
                }
            }
        }
        for (at, vg) in self.choose(named) {
            self.say_missing_vgs(at);
            self.vg(&vg, kind, &mut report)?;
        }
        if kind == Kind::Labels {
            self.labels(labels, &mut report)?;
        }
        self.say_missing(kind);
        if self.is_quiet() {
            return Ok(());
        }
        if self.is_json() {
            self.json.begin_object(self.out)?;
        }
        self.print(section, report)?;
        if self.is_json() {
            self.json.end_object(self.out)?;
        }
        Ok(())
    }

    fn take_host(&mut self, host: Host) {
        self.say_all(&host.warnings);
        self.host = host;
    }

    /// LVM looks for what was named once it has looked at all devices.
    fn say_lost_pvs(&mut self) {
        let images = &self.plan.options.devices;
        let is_image = |text: &[u8]| images.iter().any(|given| lists_image(given, text));
        for text in self.names.lost_pvs(is_image) {
            self.fail(not_found(&text));
        }
    }

    /// Where the VG comes among those that were named, if it is only these that are shown.
    fn place(&self, vg: &VgItem) -> Option<usize> {
        if !self.names.tags.is_empty() {
            None
        } else {
            self.names.vgs.iter().position(|named| named.name == *vg.vg.name)
        }
    }

    /// Of VGs with a name that was given, only one can be meant: the one that is not another host's.
    fn choose(&mut self, mut named: Vec<(usize, Box<VgItem>)>) -> Vec<(usize, Box<VgItem>)> {
        named.sort_by_key(|(at, _)| *at);
        let mut counts = HashMap::new();
        let is_own = |vg: &VgItem, host: &Host| access::is_own(&vg.vg, host.system_id.as_deref());
        for (at, vg) in &named {
            let (all, own) = counts.entry(*at).or_insert((0, 0));
            *all += 1;
            *own += usize::from(is_own(vg, &self.host));
        }
        named.retain(|(at, vg)| match counts[at] {
            (0 | 1, _) => true,
            (_, own) => own == 1 && is_own(vg, &self.host),
        });
        for (at, (_, own)) in counts {
            self.names.vgs[at].has_twins = own > 1;
        }
        named
    }

    fn named(&self, vg: &VgItem) -> Option<&VgName> {
        self.names.vgs.iter().find(|named| named.name == *vg.vg.name)
    }

    fn unreadable(&mut self, vg: &Unreadable) {
        self.say_all(&vg.warnings);
    }

    fn say_all(&mut self, warnings: &[Warning]) {
        for warning in warnings.iter().filter(|warning| !(warning.unless_foreign && self.plan.options.foreign)) {
            (self.say)(&warning.text);
        }
    }

    /// Whether there is anything to show of it; and says why not.
    fn admit(&mut self, vg: &VgItem, is_of_lvs: bool) -> bool {
        let named = self.names.vgs.iter_mut().find(|named| named.name == *vg.vg.name);
        let is_named = named.is_some();
        if let Some(named) = named {
            named.is_found = true;
        }
        let is_of_pvs = self.plan.command == Command::Pvs;
        let has_names = !self.names.vgs.is_empty() || self.names.has_bad;
        if has_names && !is_named && self.names.tags.is_empty() {
            return false;
        }
        self.say_all(&vg.warnings);
        for present in &vg.present {
            self.say_all(&present.warnings);
        }
        let options = self.plan.options;
        let access = Access { foreign: options.foreign, shared: options.shared, is_of_lvs };
        let Some(barred) = access::barred(&vg.vg, &self.host, access) else { return true };
        let lines = access::lines(barred, &vg.vg, &self.host, is_named);
        for message in lines {
            let id = vg.vg.id.map_or_else(String::new, |id| id.to_string());
            self.complain(Entry { object: "vg", name: vg.vg.name.to_vec(), id, message, ..Entry::default() });
        }
        if is_named {
            self.status = FAILED;
        }
        if is_of_pvs {
            self.say_barred(barred, vg);
        }
        false
    }

    /// Of PVs that were named and are in a VG that is not looked into.
    fn say_barred(&mut self, barred: Barred, vg: &VgItem) {
        for present in vg.present.iter().filter(|present| self.names.takes_pv(present)).collect::<Vec<_>>() {
            if let Some(line) = access::pv_line(barred, &vg.vg, &present.device.path) {
                self.fail(Entry { object: "pv", message: line, ..Entry::default() });
                self.names.note_told(&present.device);
            }
        }
    }

    fn vg(&mut self, vg: &VgItem, kind: Kind, report: &mut Report) -> Result<(), Error> {
        if !self.admit(vg, self.plan.command == Command::Lvs) {
            return Ok(());
        }
        let has_tag = |tags: &[crate::bytes::Bytes]| self.names.has_tag(tags);
        let is_tagged = has_tag(&vg.vg.tags);
        if kind == Kind::Vgs && !self.names.tags.is_empty() && !is_tagged && self.named(vg).is_none() {
            return Ok(());
        }
        let lvs = self.lvs(vg);
        self.rows(vg, lvs.as_ref(), kind, report)?;
        self.done("vg", &vg.vg.name, vg.vg.id.map_or_else(String::new, |id| id.to_string()), None);
        Ok(())
    }

    fn lvs(&self, vg: &VgItem) -> Option<Lvs> {
        let mut lvs = Lvs::read(&vg.vg, vg.text.as_ref()?).ok()?;
        lvs.shows_historical = self.plan.options.history;
        Some(lvs)
    }

    fn rows(&mut self, vg: &VgItem, lvs: Option<&Lvs>, kind: Kind, report: &mut Report) -> Result<(), Error> {
        let plan = self.plan;
        let mut done = Vec::new();
        let filter = LvFilter::new(&self.names, plan.options, vg);
        let names = &self.names;
        let wanted = Wanted {
            kind,
            is_lv_wanted: &|lv| filter.takes(lv, kind),
            is_pv_wanted: &|listed, present| is_pv_wanted(names, plan.command, listed, present),
        };
        let out = &mut *self.out;
        let common = Common { host: &self.host, marks: plan.marks, live: plan.live };
        let has_log = plan.log.is_some();
        common.vg(vg, lvs, &wanted, |row| {
            if has_log {
                note_done(&mut done, row, kind);
            }
            report.add_row(row, out)
        })?;
        for present in &vg.present {
            self.duplicates(Some(vg), present, kind, report)?;
        }
        self.names.note_lvs(vg, lvs);
        for present in &vg.present {
            self.names.note_path(&present.device);
        }
        for (object, name, id) in done {
            self.done(object, &name, id, Some(vg));
        }
        Ok(())
    }

    /// The devices with the PV that are not used.
    fn duplicates(
        &mut self,
        vg: Option<&VgItem>,
        present: &Present,
        kind: Kind,
        report: &mut Report,
    ) -> Result<(), Error> {
        let plan = self.plan;
        if plan.command != Command::Pvs || !matches!(kind, Kind::Pvs | Kind::PvSegments) {
            return Ok(());
        }
        let common = Common { host: &self.host, marks: plan.marks, live: plan.live };
        let listed = vg.and_then(|vg| vg.vg.pvs.iter().find(|listed| listed.id == Some(present.id)));
        for duplicate in &present.duplicates {
            if plan.options.all && self.names.is_empty() || self.names.has_path(duplicate) {
                let pv = PvRow { listed, present: Some(present), duplicate: Some(duplicate), device: None };
                common.duplicate(vg, pv, kind, |row| report.add_row(row, self.out))?;
                self.names.note_path(duplicate);
            }
        }
        Ok(())
    }

    fn labels(&mut self, mut labels: Vec<Present>, report: &mut Report) -> Result<(), Error> {
        labels.sort_by_key(|present| (present.device.devno.turn(), present.device.path.clone()));
        for present in &labels {
            self.names.note_path(&present.device);
            if !self.is_pv_wanted(None, Some(present)) {
                continue;
            }
            let common = Common { host: &self.host, marks: self.plan.marks, live: self.plan.live };
            common.orphan(present, Kind::Labels, |row| report.add_row(row, self.out))?;
            self.done("label", present.device.path.as_bytes(), String::new(), None);
        }
        Ok(())
    }

    fn is_pv_wanted(&mut self, listed: Option<&VgPv>, present: Option<&Present>) -> bool {
        if let Some(present) = present {
            self.names.note_path(&present.device);
        }
        is_pv_wanted(&self.names, self.plan.command, listed, present)
    }

    /// What was named and not found.
    fn say_missing(&mut self, kind: Kind) {
        self.say_missing_vgs(self.names.vgs.len());
        let mut missing = Vec::new();
        for pv in self.names.pvs.iter().filter(|pv| !pv.is_found && !pv.is_told) {
            let shown = names::show(&pv.text);
            let message = match (kind, pv.is_device) {
                (Kind::Labels, true) => format!("No physical volume label read from {shown}."),
                (Kind::Labels, false) => format!("Failed to find device \"{shown}\"."),
                (_, true) => format!("Failed to find physical volume \"{shown}\"."),
                (_, false) => {
                    missing.push(not_found(&pv.text));
                    continue;
                }
            };
            missing.push(Entry { message, ..Entry::default() });
        }
        missing.into_iter().for_each(|entry| self.fail(entry));
    }

    /// Of VGs that were named before this one, what was not found.
    fn say_missing_vgs(&mut self, before: usize) {
        let has_tags = !self.names.tags.is_empty();
        while self.told < before {
            let vg = self.names.vgs[self.told].clone();
            self.told += 1;
            let shown = names::show(&vg.name);
            let entry = |message| Entry { object: "vg", name: vg.name.clone(), message, ..Entry::default() };
            if vg.has_twins {
                self.fail(entry(format!("Multiple VGs found with the same name: skipping {shown}")));
                self.fail(entry("Use --select vg_uuid=<uuid> in place of the VG name.".to_owned()));
            } else if vg.is_found {
                for lv in vg.lvs.iter().filter(|lv| !lv.is_found && !vg.is_whole) {
                    let lv = names::show(&lv.name);
                    self.fail(entry(format!("Failed to find logical volume \"{shown}/{lv}\"")));
                }
            } else if !has_tags {
                self.fail(entry(format!("Volume group \"{shown}\" not found")));
                self.fail(entry(format!("Cannot process volume group {shown}")));
                let (errno, status) = (self.errno, FAILED.into());
                self.note(Entry { kind: "status", errno, status, ..entry("failure".to_owned()) });
            }
        }
    }
}

fn not_found(pv: &[u8]) -> Entry {
    let message = format!("Cannot use {}: device not found", names::show(pv));
    Entry { message, ..Entry::default() }
}

/// Whether `--devices` has it, alone or among others.
fn lists_image(given: &str, text: &[u8]) -> bool {
    given.as_bytes() == text || given.split(',').any(|name| name.as_bytes() == text)
}

fn is_pv_wanted(names: &Names, command: Command, listed: Option<&VgPv>, present: Option<&Present>) -> bool {
    if command != Command::Pvs || names.is_empty() {
        return true;
    }
    present.is_some_and(|present| names.takes_pv(present)) || listed.is_some_and(|listed| names.has_tag(&listed.tags))
}

fn note_done(done: &mut Vec<(&'static str, Vec<u8>, String)>, row: &Row, kind: Kind) {
    let entry = match kind {
        Kind::Lvs | Kind::Segments => row.lv.map(|lv| ("lv", lv.name.clone(), lv.id.to_string())),
        Kind::Pvs | Kind::PvSegments => row.pv.and_then(|pv| {
            let path = pv.present.map_or(&b"[unknown]"[..], |present| present.device.path.as_bytes());
            Some(("pv", path.to_vec(), pv.listed?.id?.to_string()))
        }),
        Kind::Log | Kind::Labels | Kind::Vgs => None,
    };
    if let Some(entry) = entry
        && done.last() != Some(&entry)
    {
        done.push(entry);
    }
}

/// Which LVs of a VG are shown.
struct LvFilter<'f> {
    names: &'f Names,
    options: &'f Options,
    named: Option<&'f VgName>,
    takes_all: bool,
}

impl<'f> LvFilter<'f> {
    fn new(names: &'f Names, options: &'f Options, vg: &VgItem) -> LvFilter<'f> {
        let named = names.vgs.iter().find(|named| named.name == *vg.vg.name);
        let is_whole = named.is_some_and(|named| named.is_whole);
        let has_lvs = named.is_some_and(|named| !named.lvs.is_empty());
        let takes_all = is_whole || (names.tags.is_empty() && !has_lvs) || names.has_tag(&vg.vg.tags);
        LvFilter { names, options, named: named.filter(|_| !is_whole), takes_all }
    }

    fn takes(&self, lv: &Lv, kind: Kind) -> bool {
        if lv.is_historical && !self.options.history {
            return false;
        }
        let lvs = self.named.map_or(&[][..], |named| &named.lvs);
        let is_hidden = !lv.is_visible && !lv.is_historical && !self.options.all;
        if is_hidden && (lvs.is_empty() || kind == Kind::Segments) {
            return false;
        }
        let is_named = lvs.iter().any(|named| named.name == lv.name);
        let takes_all = self.takes_all && (!is_hidden || lvs.is_empty());
        takes_all || is_named || lv.tags.iter().any(|tag| self.names.tags.contains(tag))
    }
}

/// Each VG's five reports.
impl Engine<'_> {
    fn full(&mut self, source: &mut dyn Source) -> Result<(), Error> {
        let mut named: Vec<(usize, Box<VgItem>)> = Vec::new();
        let mut orphans = Vec::new();
        while let Some(item) = source.next().map_err(Error::Source)? {
            match item {
                Item::Host(host) => self.take_host(host),
                Item::Vg(vg) => match self.place(&vg) {
                    Some(at) => named.push((at, vg)),
                    None => self.full_vg(&vg)?,
                },
                Item::Unreadable(vg) => self.unreadable(&vg),
                Item::Orphan(present) => {
                    if self.names.is_empty() {
                        self.say_all(&present.warnings);
                    }
                    orphans.push(present);
                }
                Item::Device(_) | Item::Label(_) => {}
            }
        }
        for (at, vg) in self.choose(named) {
            self.say_missing_vgs(at);
            self.full_vg(&vg)?;
        }
        if self.names.is_empty() && !orphans.is_empty() {
            self.full_orphans(&orphans)?;
        }
        self.say_missing(Kind::Vgs);
        Ok(())
    }

    fn begin_vg(&mut self) -> io::Result<()> {
        self.count += 1;
        if self.is_quiet() {
            Ok(())
        } else if self.is_json() {
            self.json.begin_object(self.out)
        } else if self.has_titles() && self.count > 1 {
            self.out.write_all(b"  \n")
        } else {
            Ok(())
        }
    }

    fn end_vg(&mut self) -> io::Result<()> {
        if self.is_json() && !self.is_quiet() { self.json.end_object(self.out) } else { Ok(()) }
    }

    fn full_vg(&mut self, vg: &VgItem) -> Result<(), Error> {
        if !self.admit(vg, false) {
            return Ok(());
        }
        if !self.names.tags.is_empty() && !self.names.has_tag(&vg.vg.tags) && self.named(vg).is_none() {
            return Ok(());
        }
        let plan = self.plan;
        let lvs = self.lvs(vg);
        self.begin_vg()?;
        let name = names::show(&vg.vg.name);
        for (at, section) in plan.sections.iter().enumerate() {
            let own = kind::own(section.start);
            match kind::kind(section.start, section.columns.objects, Some(&name)) {
                Ok(kind) if kind == own => {}
                Ok(_) => {
                    let part = kind::name(section.start);
                    let message = format!(
                        "Subreport of type \"{part}\" for VG {name} contains columns which lead to change of report \
                         type. Add these columns to proper subreport type."
                    );
                    self.fail(Entry { object: "vg", message, ..Entry::default() });
                    break;
                }
                Err(message) => {
                    self.fail(Entry { object: "vg", message, ..Entry::default() });
                    break;
                }
            }
            let mut report = self.report(section, at > 0);
            self.rows(vg, lvs.as_ref(), own, &mut report)?;
            if !self.is_quiet() {
                self.print(section, report)?;
            }
        }
        self.end_vg()?;
        self.done("vg", &vg.vg.name, vg.vg.id.map_or_else(String::new, |id| id.to_string()), None);
        Ok(())
    }

    fn full_orphans(&mut self, orphans: &[Box<Present>]) -> Result<(), Error> {
        let plan = self.plan;
        self.begin_vg()?;
        let of_pvs = plan.sections.iter().filter(|section| matches!(section.start, Object::Pv | Object::PvSeg));
        for (at, section) in of_pvs.enumerate() {
            let mut report = self.report(section, at > 0);
            for present in orphans {
                let kind = kind::own(section.start);
                let common = Common { host: &self.host, marks: plan.marks, live: plan.live };
                common.orphan(present, kind, |row| report.add_row(row, self.out))?;
                self.done("pv", present.device.path.as_bytes(), present.id.to_string(), None);
            }
            if !self.is_quiet() {
                self.print(section, report)?;
            }
        }
        Ok(self.end_vg()?)
    }
}
