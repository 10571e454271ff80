//! LVM's run files: which ought to be there ([`truth`]), what is there ([`heal`]), and when what is
//! done about it. The daemon carries it out; whether it could is told back.
//!
//! - A change is written before anybody is told that it is known: before any settle is answered.
//! - What is there is listed, and put right, when the first scan or a resync is over, and after
//!   something could not be written.
//! - Hints are invalidated once for all that has happened in a turn of the loop, and once more a
//!   little later: a command that was making new ones may have listed the devices before.

mod heal;
mod truth;

use super::{Content, Device, Effect, HeldBack, Report, Watcher};
use crate::devno::DevNo;
use crate::filter::Rule;
use crate::id::Id;
use crate::metadata::{Kept, VgText};
use crate::online::{Change, Hints, Listing, PvOnline};
use crate::pvscan::{self, Found};
use crate::scan::{self, Code};
use heal::Known;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;
use truth::{Candidate, Truth};

pub(super) use truth::{Origin, Vg};

/// Of what there is the run files speak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Publish {
    /// There are no run files.
    #[default]
    Nothing,
    /// Files of devices that are not looked at are not ours.
    OurDevices,
    /// A device that is not known is not there.
    Everything,
}

/// When writing failed, this long until it is tried again; the wait doubles with each failure.
const RETRY_FIRST: Duration = Duration::from_secs(1);
/// Longer than a command takes from listing the devices to locking the hints.
const HINTS_AGAIN_AFTER: Duration = Duration::from_secs(2);
/// While a command makes hints.
const HINTS_WAIT_FIRST: Duration = Duration::from_millis(100);
const HINTS_WAIT_MAX: Duration = Duration::from_secs(10);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Heal {
    #[default]
    No,
    /// When everything that is known to have happened has been looked at.
    WhenQuiet,
    Now,
}

/// Why the run files may not be what they should.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failing {
    pub error: String,
    pub since: Duration,
    pub tries: u32,
    pub retry_at: Option<Duration>,
}

/// For people to read.
#[derive(Debug)]
pub struct RunFilesView<'w> {
    /// Files in `pvs_online`, and in `pvs_lookup`, that are ours.
    pub pvs: usize,
    pub lookups: usize,
    pub failures: u64,
    pub failing: Option<&'w Failing>,
}

#[derive(Debug, Default)]
pub(super) struct Online {
    publish: Publish,
    images_are_disks: bool,
    system_id: Option<String>,
    pub(super) truth: Truth,
    heal: Heal,
    /// Devices of which nothing was known when what is there was listed: files that may be theirs
    /// were left.
    unread: BTreeSet<DevNo>,
    failing: Option<Failing>,
    /// All that has been tried since what is there was listed has worked.
    sound: bool,
    failures: u64,
    /// The file in `vgs_online` that was to be removed last.
    removing: Option<Vec<u8>>,
    /// Those that could not be.
    not_removed: BTreeSet<Vec<u8>>,
    /// The PVs that commands may have hints of.
    hinted: BTreeMap<DevNo, Id>,
    hints_due: bool,
    /// Nothing has been said since a command may have begun to make new ones.
    hints_again: bool,
    hints_at: Option<Duration>,
    hints_wait: Duration,
}

impl Online {
    pub(super) fn poll_timeout(&self) -> Option<Duration> {
        let retry_at = self.failing.as_ref().and_then(|failing| failing.retry_at);
        retry_at.into_iter().chain(self.hints_at).min()
    }

    pub(super) fn handle_timeout(&mut self, now: Duration) {
        if let Some(failing) = &mut self.failing
            && failing.retry_at.is_some_and(|at| at <= now)
        {
            failing.retry_at = None;
            self.heal = Heal::Now;
        }
        if self.hints_at.is_some_and(|at| at <= now) {
            self.hints_at = None;
            self.hints_due = true;
        }
    }

    pub(super) fn heal_when_quiet(&mut self) {
        if self.heal == Heal::No {
            self.heal = Heal::WhenQuiet;
        }
    }

    pub(super) fn heal_now(&mut self) {
        self.heal = Heal::Now;
    }

    /// The next file to change.
    pub(super) fn next_change(&mut self) -> Option<Effect> {
        if self.publish == Publish::Nothing {
            self.truth.due = truth::Due::default();
            return None;
        }
        let change = self.truth.pop()?;
        self.removing = match &change {
            Change::VgOffline(vg) => Some(vg.clone()),
            _ => None,
        };
        Some(Effect::Publish(change))
    }

    /// Whether the VG's file in `vgs_online` could not be removed when it was incomplete; that is
    /// tried again then.
    pub(super) fn retry_offline(&mut self, vg: &[u8]) -> bool {
        let is_left = self.not_removed.contains(vg);
        if is_left {
            self.truth.due.offline(vg);
        }
        is_left
    }

    /// What is to be done when nothing else is, for the time being.
    fn next_check(&mut self, is_quiet: bool) -> Option<Effect> {
        if self.publish == Publish::Nothing {
            return None;
        }
        if self.heal == Heal::Now || (self.heal == Heal::WhenQuiet && is_quiet) {
            self.heal = Heal::No;
            return Some(Effect::ListRunFiles);
        }
        if self.hints_due {
            self.hints_due = false;
            return Some(Effect::InvalidateHints);
        }
        if self.sound && self.failing.take().is_some() {
            return Some(Effect::Report(Report::RunFilesRight));
        }
        None
    }

    /// Notes the PV on a device, whoever uses it: a change of these makes LVM's hints wrong.
    fn note_hinted(&mut self, devno: DevNo, pvid: Option<Id>) {
        let before = match pvid {
            Some(pvid) => self.hinted.insert(devno, pvid),
            None => self.hinted.remove(&devno),
        };
        if before != pvid {
            self.hints_due = true;
            self.hints_again = true;
        }
    }
}

impl Watcher {
    /// From now on run files are written, or are not.
    pub fn set_publish(&mut self, publish: Publish) {
        let online = &mut self.online;
        online.publish = publish;
        online.truth.start_over();
        online.failing = None;
        online.hints_due = true;
        online.hints_again = true;
        online.heal_when_quiet();
    }

    /// An image file counts as the disk that it is the image of: LVM is asked for nothing, but what it
    /// would do. To be said before anything is known.
    pub fn take_images_for_disks(&mut self) {
        self.online.images_are_disks = true;
    }

    /// The host's own system ID. What has been read under another counts until it is read again.
    pub fn set_system_id(&mut self, system_id: Option<String>) {
        self.online.system_id = system_id;
    }

    pub fn system_id(&self) -> Option<&str> {
        self.online.system_id.as_deref()
    }

    pub fn run_files(&self) -> RunFilesView<'_> {
        let Online { truth, failures, failing, .. } = &self.online;
        RunFilesView {
            pvs: truth.pvs.len(),
            lookups: truth.lookups.len(),
            failures: *failures,
            failing: failing.as_ref(),
        }
    }

    /// What is known of a device that somebody asks for.
    pub fn find(&self, devno: DevNo, lvs: bool) -> Found {
        let Some(device) = self.devices.get(&devno) else { return Found::Gone };
        if let Some(rule) = device.rule.or_else(|| self.hides(device)) {
            return Found::Excluded(rule.to_string());
        }
        if let Some(held_back) = device.held_back.as_ref().filter(|_| device.pv().is_none()) {
            return Found::Excluded(held_back.to_string());
        }
        match (device.seen.as_ref().map(|seen| &seen.content), &device.quarantine, device.not_ready) {
            // Of what has no label it is not said.
            (Some(Content::NotAPv(findings)), ..)
                if findings.iter().any(|finding| finding.code == Code::PartitionTable) =>
            {
                Found::partitioned()
            }
            (Some(Content::NotAPv(_)), ..) => Found::NotAPv,
            (Some(Content::Member(member, _)), ..) => Found::of_member(member),
            (Some(Content::Pv(pv)), ..) => self.found_pv(devno, device, pv, lvs),
            (None, Some(quarantine), _) => Found::Unreadable(quarantine.reason.to_string()),
            (None, None, Some(not_ready)) => Found::Excluded(not_ready.to_owned()),
            (None, None, None) => Found::Unreadable("it has not been read yet".to_owned()),
        }
    }

    fn found_pv(&self, devno: DevNo, device: &Device, pv: &scan::Pv, lvs: bool) -> Found {
        if let Some(problem) = pv.vg.as_ref().and_then(|text| text.unreadable.as_ref()) {
            return Found::Unreadable(problem.detail.clone());
        }
        if let Some(ambiguity) = self.choice(pv.id).and_then(|choice| choice.ambiguity.as_ref()) {
            let names = ambiguity.devices.iter().map(|devno| self.name_of(*devno).0).collect::<Vec<_>>();
            let (pvid, names) = (pv.id, names.join(" and "));
            return Found::Ambiguous(format!("PV {pvid} is on {names}, which differ: {}", ambiguity.differs));
        }
        let mut found = pvscan::Pv::of_scan(pv, devno, device.node(), lvs);
        match self.duplicate_of(devno) {
            Some((other, how)) if how.is_path => return Found::OtherPath(self.node_of(other)),
            Some((other, _)) => found.duplicate_of = Some((other, self.node_of(other))),
            None if self.place(pv.id) == Some(devno) => {}
            None => {
                let why = device.quarantine.as_ref().map(|quarantine| quarantine.reason.to_string());
                return Found::Unreadable(why.unwrap_or_else(|| "it has to be read again".to_owned()));
            }
        }
        if found.vg.is_none() {
            let vgid = self.online.truth.listed_by.get(&pv.id).and_then(|vgids| vgids.first());
            let vg = vgid.and_then(|vgid| self.online.truth.vgs.get(vgid));
            found.listed_by = vg.map(|vg| pvscan::Vg::of_text(&vg.text, lvs));
        }
        Found::Pv(Box::new(found))
    }

    fn node_of(&self, devno: DevNo) -> String {
        self.devices.get(&devno).map_or_else(|| devno.to_string(), Device::node)
    }

    /// What could, or could not, be written.
    pub(super) fn published(&mut self, now: Duration, result: Result<(), String>) {
        if let Some(vg) = self.online.removing.take() {
            match result {
                Ok(()) => drop(self.online.not_removed.remove(&vg)),
                Err(_) => drop(self.online.not_removed.insert(vg)),
            }
        }
        match result {
            Ok(()) => {
                // What failed before may work as well; not for each of many.
                if let Some(failing) = &mut self.online.failing {
                    let soon = now + RETRY_FIRST;
                    failing.retry_at = failing.retry_at.map(|at| at.min(soon));
                }
            }
            Err(error) => self.publish_failed(now, error),
        }
    }

    /// The next run file to change.
    pub(super) fn online_change(&mut self) -> Option<Effect> {
        let effect = self.online.next_change()?;
        if let Effect::Publish(change) = &effect {
            self.note_run_file(change);
        }
        Some(effect)
    }

    /// What there is in the run directory.
    pub(super) fn listed(&mut self, now: Duration, result: Result<Listing, String>) {
        match result {
            Ok(listing) => {
                self.online.sound = true;
                let mut truth = std::mem::take(&mut self.online.truth);
                let unread = self.devices.keys().filter(|devno| self.known(**devno) == Known::Unread);
                let unread = unread.copied().collect::<BTreeSet<_>>();
                let gone = truth.heal(&listing, self.offers.offered(), &|devno| match (devno, self.online.publish) {
                    (Some(devno), _) => self.known(devno),
                    (None, Publish::Everything) if unread.is_empty() => Known::Gone,
                    (None, _) => Known::Unread,
                });
                self.online.truth = truth;
                self.online.unread = unread;
                self.forget_offers(gone);
            }
            Err(error) => self.publish_failed(now, error),
        }
    }

    /// A device can be read again: commands may have made hints without the PV on it.
    pub(super) fn note_readable(&mut self, devno: DevNo) {
        if self.online.hinted.contains_key(&devno) {
            self.online.hints_due = true;
            self.online.hints_again = true;
        }
    }

    pub(super) fn hints_invalidated(&mut self, now: Duration, result: Result<Hints, String>) {
        let online = &mut self.online;
        match result {
            Ok(Hints::InTheMaking) => {
                let wait = online.hints_wait.max(HINTS_WAIT_FIRST);
                online.hints_at = Some(now + wait);
                online.hints_wait = (2 * wait).min(HINTS_WAIT_MAX);
            }
            Ok(Hints::Invalidated) => {
                online.hints_wait = Duration::ZERO;
                let again = std::mem::take(&mut online.hints_again);
                online.hints_at = again.then_some(now + HINTS_AGAIN_AFTER);
            }
            Err(error) => {
                self.publish_failed(now, error);
                self.online.hints_at = self.online.failing.as_ref().and_then(|failing| failing.retry_at);
            }
        }
    }

    fn publish_failed(&mut self, now: Duration, error: String) {
        let retry_max = self.settings.retry_max;
        let online = &mut self.online;
        online.failures += 1;
        online.sound = false;
        let news = online.failing.is_none();
        let failing =
            online.failing.get_or_insert(Failing { error: String::new(), since: now, tries: 0, retry_at: None });
        if failing.retry_at.is_none() {
            let wait = RETRY_FIRST.saturating_mul(1 << failing.tries.min(16)).min(retry_max);
            failing.retry_at = Some(now + wait);
            failing.tries += 1;
        }
        failing.error.clone_from(&error);
        if news {
            self.report(Report::RunFilesWrong { error });
        }
    }

    pub(super) fn check_run_files(&mut self) -> Option<Effect> {
        let is_quiet = self.first_scan.is_none() && self.is_quiet();
        self.online.next_check(is_quiet)
    }

    /// What can be said of a device that a file names and that holds no PV that is online.
    fn known(&self, devno: DevNo) -> Known {
        if self.touched.contains_key(&devno) || self.examining.contains_key(&devno) {
            return Known::Unread;
        }
        match (self.devices.get(&devno), self.online.publish) {
            (None, Publish::Everything) => Known::Gone,
            (None, Publish::Nothing | Publish::OurDevices) => Known::Elsewhere,
            (Some(device), _) if device.seen.is_some() => Known::Read,
            (Some(device), _) if device.quarantine.is_some() || !device.is_quiet() => Known::Unread,
            (Some(Device { held_back: Some(HeldBack::Pending { .. } | HeldBack::Passive(_)), .. }), _) => Known::Unread,
            // There is nothing behind it, or a rule keeps us, and LVM, from reading it.
            (Some(_), _) => Known::Read,
        }
    }

    /// Notes what is on a device now.
    pub(super) fn note_online(&mut self, devno: DevNo) {
        // An image file is no device that LVM could open.
        if devno.major == 0 && !self.online.images_are_disks {
            return;
        }
        let holds = self.devices.get(&devno).and_then(Device::pv).map(|pv| pv.id);
        let candidate = self.candidate(devno);
        if self.online.unread.remove(&devno) {
            self.online.heal_when_quiet();
        }
        self.online.note_hinted(devno, holds);
        // A PV that may be on any of several devices has left its VG.
        let holds = holds.filter(|pvid| !self.is_ambiguous(*pvid) && !self.is_unused_elsewhere(devno, *pvid));
        self.online.truth.device(devno, candidate, holds);
    }

    /// Whether the PV is on another device now, on which no VG uses it.
    fn is_unused_elsewhere(&self, devno: DevNo, pvid: Id) -> bool {
        self.place(pvid).is_some_and(|place| place != devno && self.candidate(place).is_none())
    }

    /// The newest text of the VG that lists the PV, if there is but one.
    pub(super) fn only_listing(&self, pvid: Id) -> Option<&Rc<VgText>> {
        let vgid = self.online.truth.listed_by.get(&pvid).filter(|vgids| vgids.len() == 1)?.first()?;
        self.online.truth.vgs.get(vgid).map(|vg| &vg.text)
    }

    /// Notes the newest text of a VG. The one before.
    pub(super) fn note_vg(&mut self, vgid: Id, text: Option<Rc<VgText>>) -> Option<Rc<VgText>> {
        let text = text.map(|text| {
            let is_kept = self.is_kept(&text);
            (text, is_kept)
        });
        let before = self.online.truth.vgs.get(&vgid).map(|vg| Rc::clone(&vg.text));
        self.online.truth.vg(vgid, text);
        before
    }

    fn is_kept(&self, text: &VgText) -> bool {
        self.kept(text).is_some()
    }

    /// Why this host lets a VG alone.
    pub fn kept(&self, text: &VgText) -> Option<Kept> {
        text.access.kept_from(self.system_id().map(str::as_bytes))
    }

    /// The rule by which commands do not use it.
    pub(super) fn hides(&self, device: &Device) -> Option<Rule> {
        self.settings.filter.hides(device.names.iter().map(String::as_str))
    }

    /// The PV on a device, if LVM would say that it is online: in use as far as its header can say,
    /// and with a text that can be used and lists it, or with none.
    fn candidate(&self, devno: DevNo) -> Option<Candidate> {
        let device = self.devices.get(&devno)?;
        let seen = device.seen.as_ref()?;
        let pv = seen.content.pv()?;
        let is_usable = |text: &Rc<VgText>| text.unreadable.is_none() && text.pvids.contains(&pv.id);
        if !pv.id.is_regular()
            || (pv.knows_use() && !pv.is_in_use())
            || !pv.vg.as_ref().is_none_or(is_usable)
            || self.hides(device).is_some()
            || self.place(pv.id) != Some(devno)
        {
            return None;
        }
        Some(Candidate {
            pvid: pv.id,
            file: PvOnline { devno, vg: pv.vg.as_ref().map(|text| text.name.clone()), device: Some(device.node()) },
            own_is_kept: pv.vg.as_ref().map(|text| self.is_kept(text)),
        })
    }
}

#[cfg(test)]
mod tests;
