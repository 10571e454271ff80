//! What goes wrong and what is done: said on standard error, or put into the log if there is one.

use super::names::{self, PvName};
use super::{Engine, FAILED};
use crate::metadata::is_valid_name;
use crate::report::access::{self, Access, Barred};
use crate::report::inventory::{Host, Present, Unreadable, VgItem, Warning};
use crate::report::kind::Kind;
use crate::report::log::Entry;
use crate::report::model::Vg;
use crate::report::options::Command;
use crate::report::row::Row;

/// LVM's name for the PVs that are in no VG.
const ORPHANS: &[u8] = b"lvm2";

/// What a command goes through.
pub fn processed(command: Command, kind: Kind) -> &'static str {
    match (command, kind) {
        (Command::Pvs, Kind::Labels) => "label",
        (Command::Pvs, _) => "pv",
        (Command::Lvs, _) => "lv",
        (Command::Vgs | Command::FullReport, _) => "vg",
    }
}

/// That it is about the VG.
pub fn about(vg: &Vg) -> Entry {
    let id = vg.id.map_or_else(String::new, |id| id.to_string());
    Entry { object: "vg", name: vg.name.to_vec(), id, ..Entry::default() }
}

/// That it is about something in the VG.
fn within(vg: &Vg, object: &'static str, name: &[u8]) -> Entry {
    let vg = about(vg);
    Entry { object, name: name.to_vec(), group: vg.name, group_id: vg.id, ..Entry::default() }
}

impl Engine<'_> {
    /// Something went wrong.
    pub fn fail(&mut self, entry: Entry) {
        self.status = FAILED;
        self.complain(entry);
    }

    /// What goes into the log is not said as well.
    pub fn complain(&mut self, entry: Entry) {
        if self.plan.log.is_none() {
            (self.say)(&entry.message);
        }
        self.errno = -1;
        self.note(Entry { kind: "error", errno: -1, ..entry });
    }

    /// Something is done.
    pub fn done(&mut self, entry: Entry) {
        let message = "success".to_owned();
        self.note(Entry { kind: "status", message, errno: self.errno, status: 1, ..entry });
    }

    /// Something is not.
    pub fn failed(&mut self, entry: Entry) {
        let message = "failure".to_owned();
        self.note(Entry { kind: "status", message, errno: self.errno, status: FAILED.into(), ..entry });
    }

    fn note(&mut self, entry: Entry) {
        if self.plan.log.is_some() {
            self.entries.push(entry);
        }
    }

    pub fn take_host(&mut self, host: Host, kind: Kind) {
        let object = processed(self.plan.command, kind);
        self.warn(&host.warnings, &Entry { object, ..Entry::default() });
        self.host = host;
    }

    pub fn unreadable(&mut self, vg: &Unreadable) {
        let id = vg.id.map_or_else(String::new, |id| id.to_string());
        self.warn(&vg.warnings, &Entry { object: "vg", name: vg.name.to_vec(), id, ..Entry::default() });
    }

    pub fn warn_of_orphan(&mut self, warnings: &[Warning]) {
        self.warn(warnings, &Entry { object: "orphan", name: ORPHANS.to_vec(), ..Entry::default() });
    }

    fn warn(&mut self, warnings: &[Warning], about: &Entry) {
        for warning in warnings.iter().filter(|warning| !(warning.unless_foreign && self.plan.options.foreign)) {
            let entry = Entry { message: warning.text.clone(), ..about.clone() };
            // The second half of a warning has no such word before it.
            if ["WARNING: ", "See ", "Fix "].iter().any(|word| warning.text.starts_with(word)) {
                if self.plan.log.is_none() {
                    (self.say)(&warning.text);
                }
                self.note(Entry { kind: "warn", errno: self.errno, ..entry });
            } else {
                self.complain(entry);
            }
        }
    }

    /// Whether there is anything to show of it; and says why not.
    pub fn admit(&mut self, vg: &VgItem, is_of_lvs: bool) -> bool {
        let named = self.names.vgs.iter_mut().find(|named| named.name == *vg.vg.name);
        let is_named = named.is_some();
        if let Some(named) = named {
            named.is_found = true;
        }
        let has_names = !self.names.vgs.is_empty();
        if has_names && !is_named && self.names.tags.is_empty() {
            return false;
        }
        let about = about(&vg.vg);
        self.warn(&vg.warnings, &about);
        for present in &vg.present {
            self.warn(&present.warnings, &about);
        }
        let options = self.plan.options;
        let access = Access { foreign: options.foreign, shared: options.shared, is_of_lvs };
        let Some(barred) = access::barred(&vg.vg, &self.host, access) else { return true };
        for message in access::lines(barred, &vg.vg, &self.host, is_named) {
            self.complain(Entry { message, ..about.clone() });
        }
        if options.verbose > 0
            && !is_named
            && let Some(line) = access::skip_line(barred, &vg.vg)
        {
            (self.say)(&line);
        }
        let is_of_pvs = self.plan.command == Command::Pvs;
        let is_pv_named = is_of_pvs && self.say_barred(barred, vg);
        if is_named {
            self.status = FAILED;
        }
        if is_named || is_pv_named {
            self.failed(about);
        } else if is_of_pvs {
            self.done(about);
        }
        false
    }

    /// Of PVs that were named and are in a VG that is not looked into; whether there are any.
    fn say_barred(&mut self, barred: Barred, vg: &VgItem) -> bool {
        let mut is_any = false;
        for present in &vg.present {
            self.names.note_path(&present.device);
            if self.names.takes_pv(present)
                && let Some(message) = access::pv_line(barred, &vg.vg, &present.device.path)
            {
                is_any = true;
                let pv = within(&vg.vg, "pv", present.device.path.as_bytes());
                self.fail(Entry { message, id: present.id.to_string(), ..pv });
            }
        }
        is_any
    }

    /// The end of a VG, once all of it was shown that is to be.
    pub fn done_vg(&mut self, vg: &VgItem) {
        let named = self.names.vgs.iter().find(|named| named.name == *vg.vg.name);
        let named = named.filter(|named| !named.is_whole);
        let lvs = named.into_iter().flat_map(|named| &named.lvs).filter(|lv| !lv.is_found);
        let missing = lvs.map(|lv| lv.name.clone()).collect::<Vec<_>>();
        for lv in &missing {
            let (of, lv_name) = (names::show(&vg.vg.name), names::show(lv));
            let message = format!("Failed to find logical volume \"{of}/{lv_name}\"");
            self.fail(Entry { message, ..within(&vg.vg, "lv", lv) });
            self.failed(within(&vg.vg, "lv", lv));
        }
        if missing.is_empty() { self.done(about(&vg.vg)) } else { self.failed(about(&vg.vg)) }
    }

    pub fn done_within(&mut self, vg: &VgItem, done: Vec<Done>) {
        for (object, name, id) in done {
            self.done(Entry { id, ..within(&vg.vg, object, &name) });
        }
    }

    pub fn done_pv(&mut self, present: &Present) {
        let name = present.device.path.as_bytes().to_vec();
        self.done(Entry { object: "pv", name, id: present.id.to_string(), ..Entry::default() });
    }

    pub fn done_orphans(&mut self) {
        self.done(Entry { object: "orphan", name: ORPHANS.to_vec(), ..Entry::default() });
    }

    /// A VG was named, and none has the name.
    pub fn miss_vg(&mut self, at: usize) {
        let Some(vg) = self.names.vgs.get(at).filter(|_| self.names.tags.is_empty()) else { return };
        let shown = names::show(&vg.name);
        let about = Entry { object: "vg", name: vg.name.clone(), ..Entry::default() };
        let lines = if vg.has_twins {
            [
                format!("Multiple VGs found with the same name: skipping {shown}"),
                "Use --select vg_uuid=<uuid> in place of the VG name.".to_owned(),
            ]
        } else {
            let why = if is_valid_name(&vg.name) {
                format!("Volume group \"{shown}\" not found")
            } else {
                format!("Volume group name \"{shown}\" has invalid characters.")
            };
            [why, format!("Cannot process volume group {shown}")]
        };
        for message in lines {
            self.fail(Entry { message, ..about.clone() });
        }
        self.failed(about);
    }

    /// What was named and is no device that can be used: it counts for nothing.
    pub fn miss_devices(&mut self) {
        let (there, missing) = std::mem::take(&mut self.names.pvs).into_iter().partition(|pv| pv.is_device);
        self.names.pvs = there;
        let missing: Vec<PvName> = missing;
        for pv in missing {
            self.names.has_missed = true;
            let why = pv.reason.as_deref().unwrap_or("device not found");
            let message = format!("Cannot use {}: {why}", names::show(&pv.text));
            self.fail(Entry { object: "pv", message, ..Entry::default() });
        }
    }

    /// Devices that were named and hold no PV.
    pub fn miss_pvs(&mut self) {
        let missing = self.names.pvs.iter().filter(|pv| !pv.is_found).map(|pv| names::show(&pv.text));
        for shown in missing.collect::<Vec<_>>() {
            let message = format!("Failed to find physical volume \"{shown}\".");
            self.fail(Entry { object: "pv", message, ..Entry::default() });
        }
    }

    pub fn miss_label(&mut self, pv: &PvName) {
        let shown = names::show(&pv.text);
        let message = if pv.is_device {
            format!("No physical volume label read from {shown}.")
        } else {
            format!("Failed to find device \"{shown}\".")
        };
        self.fail(Entry { object: "label", message, ..Entry::default() });
    }
}

/// What a row is of, its name and its id.
pub type Done = (&'static str, Vec<u8>, String);

pub fn note_done(done: &mut Vec<Done>, row: &Row, kind: Kind) {
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
