//! Goes through an inventory, and prints the reports that it is asked for.

mod account;
mod filter;
mod full;

use super::access;
use super::inventory::{Broken, Host, Item, Needs, Present, Source, VgItem};
use super::kind::{self, Kind};
use super::layout::{Json, Look};
use super::live::Live;
use super::log::{self, Entry};
use super::model::VgPv;
use super::model::lvs::Lvs;
use super::names::{self, Names, PvName, VgName};
use super::options::{Command, Options};
use super::print::{Keep, Report, Section};
use super::row::{Marks, PvRow, Row};
use super::rows::{Common, Wanted};
use super::value::Object;
use account::note_done;
use filter::LvFilter;
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
    Source(Broken),
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
            labels: self.command != Command::Vgs || self.sections.iter().any(Section::has_more_than_vgs),
            devices: is_of_pvs && self.options.all && names.is_empty(),
            named: names.pvs.iter().map(PvName::to_device).collect(),
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
        Engine { plan, names, out, say, json, host: Host::default(), entries, status: 0, errno: 0, count: 0 };
    let fatal = engine.names.fatal;
    engine.begin(kind)?;
    match plan.command {
        Command::FullReport if fatal.is_some() => {}
        Command::FullReport => engine.full(source)?,
        Command::Pvs | Command::Vgs | Command::Lvs if fatal.is_some() => {
            let report = engine.report(&plan.sections[0], false);
            engine.print_alone(&plan.sections[0], report)?;
        }
        Command::Pvs | Command::Vgs | Command::Lvs => engine.single(kind, source)?,
    }
    engine.end()?;
    if fatal == Some(names::USAGE) {
        (engine.say)(&format!("Run `{} --help' for more information.", plan.command.name()));
    }
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

    fn begin(&mut self, kind: Kind) -> io::Result<()> {
        for section in &self.plan.sections {
            for key in &section.columns.duplicate_keys {
                (self.say)(&format!("dm_report: Ignoring duplicate sort field: {key}."));
            }
        }
        let object = account::processed(self.plan.command, kind);
        for message in std::mem::take(&mut self.names.complaints) {
            self.complain(Entry { object, message, ..Entry::default() });
        }
        self.status = self.names.fatal.unwrap_or(0);
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
        if let Some(name) = &section.unknown_compact {
            (self.say)(&format!("dm_report: Unrecognized field: {name}"));
            (self.say)("Failed to compact given columns in report output.");
        }
        if !self.is_json() {
            return report.finish(self.out, &mut self.json);
        }
        self.json.begin_array(self.out, kind::name(section.start))?;
        report.finish(self.out, &mut self.json)?;
        self.json.end_array(self.out)
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
        // Like LVM, nothing is looked at any more once all is found that is looked for.
        let mut is_over = false;
        let mut has_missed = kind == Kind::Labels;
        while !is_over && let Some(item) = source.next().map_err(Error::Source)? {
            if !has_missed && !matches!(item, Item::Host(_) | Item::Named(_)) {
                has_missed = true;
                self.miss_devices();
            }
            let is_group = matches!(item, Item::Vg(_) | Item::Unreadable(_));
            match item {
                Item::Host(host) => self.take_host(host, kind),
                Item::Named(named) => self.names.note_device(named),
                Item::Vg(vg) if kind == Kind::Labels => labels.extend(vg.present),
                Item::Vg(vg) => match self.place(&vg) {
                    Some(at) => named.push((at, vg)),
                    None => self.vg(&vg, kind, &mut report)?,
                },
                Item::Unreadable(_) if kind == Kind::Labels => {}
                Item::Unreadable(vg) => self.unreadable(&vg),
                Item::Orphan(present) | Item::Label(present) if kind == Kind::Labels => labels.push(*present),
                Item::Label(_) => {}
                Item::Orphan(present) => {
                    if plan.command == Command::Pvs {
                        self.warn_of_orphan(&present.warnings);
                    }
                    if plan.command == Command::Pvs && self.is_pv_wanted(None, Some(&present)) {
                        let mut add = |row: &Row| report.add_row(row, self.out);
                        Common { host: &self.host, marks: plan.marks, live: plan.live }
                            .orphan(&present, kind, &mut add)?;
                        self.done_pv(&present);
                    }
                    self.duplicates(None, &present, kind, &mut report)?;
                }
                Item::Device(device) => {
                    if plan.options.all && self.names.is_empty() && matches!(kind, Kind::Pvs | Kind::PvSegments) {
                        let mut add = |row: &Row| report.add_row(row, self.out);
                        Common { host: &self.host, marks: plan.marks, live: plan.live }
                            .device(&device, kind, &mut add)?;
                    }
                }
            }
            is_over = is_group && kind != Kind::Labels && self.names.has_all_pvs();
        }
        if !has_missed {
            self.miss_devices();
        }
        self.each_named(named, |engine, vg| engine.vg(vg, kind, &mut report))?;
        if kind == Kind::Labels {
            self.labels(labels, &mut report)?;
        } else if plan.command == Command::Pvs && !is_over {
            self.done_orphans();
        }
        if kind != Kind::Labels {
            self.miss_pvs();
        }
        Ok(self.print_alone(section, report)?)
    }

    fn print_alone(&mut self, section: &Section, report: Report) -> io::Result<()> {
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

    /// Where the VG comes among those that were named, if it is only these that are shown.
    fn place(&self, vg: &VgItem) -> Option<usize> {
        if !self.names.tags.is_empty() {
            None
        } else {
            self.names.vgs.iter().position(|named| named.name == *vg.vg.name)
        }
    }

    /// In the order of their names, of which each has its place.
    fn each_named(
        &mut self,
        mut named: Vec<(usize, Box<VgItem>)>,
        mut each: impl FnMut(&mut Self, &VgItem) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.choose(&mut named);
        let mut named = named.into_iter().peekable();
        for at in 0..self.names.vgs.len() {
            if named.peek().is_none_or(|(place, _)| *place != at) {
                self.miss_vg(at);
            }
            while let Some((_, vg)) = named.next_if(|(place, _)| *place == at) {
                each(self, &vg)?;
            }
        }
        Ok(())
    }

    /// Of VGs with a name that was given only one can be meant: the one that is not another host's.
    fn choose(&mut self, named: &mut Vec<(usize, Box<VgItem>)>) {
        named.sort_by_key(|(at, _)| *at);
        let mut counts = HashMap::new();
        let is_own = |vg: &VgItem, host: &Host| access::is_own(&vg.vg, host.system_id.as_deref());
        for (at, vg) in &*named {
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
    }

    fn named(&self, vg: &VgItem) -> Option<&VgName> {
        self.names.vgs.iter().find(|named| named.name == *vg.vg.name)
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
        self.done_vg(vg);
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
        self.done_within(vg, done);
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
        if self.names.is_empty() {
            return labels.iter().try_for_each(|present| self.label(present, report));
        }
        for name in self.names.pvs.clone() {
            match labels.iter().find(|present| name.is_of(&present.device)) {
                Some(present) => self.label(present, report)?,
                None => self.miss_label(&name),
            }
        }
        Ok(())
    }

    fn label(&mut self, present: &Present, report: &mut Report) -> Result<(), Error> {
        let common = Common { host: &self.host, marks: self.plan.marks, live: self.plan.live };
        common.orphan(present, Kind::Labels, |row| report.add_row(row, self.out))?;
        let name = present.device.path.as_bytes().to_vec();
        self.done(Entry { object: "label", name, ..Entry::default() });
        Ok(())
    }

    fn is_pv_wanted(&mut self, listed: Option<&VgPv>, present: Option<&Present>) -> bool {
        if let Some(present) = present {
            self.names.note_path(&present.device);
        }
        is_pv_wanted(&self.names, self.plan.command, listed, present)
    }
}

fn is_pv_wanted(names: &Names, command: Command, listed: Option<&VgPv>, present: Option<&Present>) -> bool {
    if command != Command::Pvs || names.is_empty() {
        return true;
    }
    present.is_some_and(|present| names.takes_pv(present)) || listed.is_some_and(|listed| names.has_tag(&listed.tags))
}
