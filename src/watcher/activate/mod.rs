//! Which VG is offered when: the rules of [`crate::activation`], applied to what is known.
//!
//! The rules, in the order in which they are asked ([`rules`]); the first that applies is the one
//! that is named:
//!
//! | rules | until |
//! |---|---|
//! | what the metadata and the configuration say ([`decide::by_metadata`]) | these change |
//! | [`Rule::NameTaken`] | the other VG of the name is gone |
//! | [`Rule::Incomplete`] | the PVs are there, each for this VG |
//! | [`Rule::MarkedMissing`] | the metadata says otherwise |
//! | of each PV: [`Rule::OnLv`], [`Rule::Copies`], [`Rule::Unreadable`] | its device is another, or can be read |
//! | [`Rule::Inhibited`] | its time is over, or it is lifted |
//! | [`Rule::OfferedBefore`] | a PV of the VG leaves |
//! | [`Rule::AwaitsUdev`], [`Rule::RefusedByUdev`] | udevd has dealt with the device |
//! | [`Rule::Mode`] | somebody puts us in charge |
//!
//! A VG that no rule keeps, and whose devices have all been read since anything
//! happened to them, is offered ([`offers`]). Times are those of the clock that the watcher is told
//! the time of, which counts from boot: CLOCK_MONOTONIC.

mod asked;
mod compare;
mod offers;
mod rules;

use super::{Cause, Event, Report, Watcher};
use crate::activation::{By, Mode, Order, Outcome, Restored, Rule, udev};
use crate::devno::DevNo;
use crate::id::Id;
use crate::online::Change;
use std::collections::BTreeSet;
use std::time::Duration;

pub use compare::{Compared, Difference};
pub use offers::Ended;
pub(super) use offers::Offers;

#[cfg(doc)]
use crate::activation::decide;

/// What is to be said of a VG's activation, for people and programs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Activation {
    pub vgid: Id,
    pub name: Vec<u8>,
    /// The first rule that keeps it from being activated; `None`: it is, or will be at once.
    pub rule: Option<Rule>,
    /// The same without what is of this moment: inhibits, offers made before, udev, and the mode.
    pub decision: Option<Rule>,
}

/// How far the activation of a VG has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    pub vgid: Id,
    pub name: Vec<u8>,
    pub offered: Option<(Duration, By)>,
    /// Since when it goes on, and as which unit or process.
    pub running: Option<(Duration, Option<String>)>,
    /// Its turn comes when others have ended.
    pub is_queued: bool,
    pub ended: Option<Ended>,
    /// It could not be offered or started.
    pub failing: Option<super::Failing>,
}

/// Of all VGs, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub succeeded: u64,
    pub failed: u64,
}

impl Watcher {
    /// Of every VG that is known.
    pub fn activations(&self) -> Vec<Activation> {
        self.online.truth.vgs.keys().filter_map(|vgid| self.activation(*vgid)).collect()
    }

    /// Of one VG, if it is known.
    pub fn activation(&self, vgid: Id) -> Option<Activation> {
        let vg = self.online.truth.vgs.get(&vgid)?;
        let decision = self.decide(vgid, vg).err().map(|(rule, _)| rule);
        let offered = self.offers.progress(vgid).and_then(|progress| progress.offered);
        let rule = (decision.clone())
            .or_else(|| self.inhibit_of(&vg.text.name).map(|until| Rule::Inhibited { until }))
            .or_else(|| offered.map(|(_, by)| Rule::OfferedBefore(by)))
            .or_else(|| self.udev_rule(&vg.text))
            .or_else(|| Some(Rule::Mode(self.settings.mode())).filter(|_| self.settings.mode() != Mode::On));
        Some(Activation { vgid, name: vg.text.name.clone(), rule, decision })
    }

    /// How far the activation of a VG has come; `None` if nothing has been done about it.
    pub fn progress(&self, vgid: Id) -> Option<Progress> {
        self.offers.progress(vgid)
    }

    /// Of all VGs of which something goes on, waits, or has failed.
    pub fn in_progress(&self) -> Vec<Progress> {
        self.offers.in_progress()
    }

    pub fn activation_tally(&self) -> Tally {
        self.offers.tally
    }

    /// Whether a VG of this name is inhibited, and until when; without that, until it is lifted.
    pub fn inhibit_of(&self, name: &[u8]) -> Option<Option<Duration>> {
        self.offers.inhibits.get(name).copied()
    }

    /// Where LVM has done otherwise than we would have; the last of them.
    pub fn differences(&self) -> impl Iterator<Item = &Compared> {
        self.offers.differences.iter()
    }

    /// Whether who asks now is the first to be told that the VG is complete since it became so.
    pub fn told_complete(&mut self, vgid: Id) -> bool {
        self.note_activation_changes();
        self.online.truth.vgs.get(&vgid).is_some_and(|vg| vg.is_complete()) && self.offers.tell(vgid)
    }

    pub(super) fn handle_activation(&mut self, now: Duration, event: Event) {
        self.note_activation_changes();
        match event {
            Event::Restored(restored) => self.restored(restored),
            Event::Inhibited(inhibits) => {
                self.set_inhibits(inhibits.into_iter().map(|inhibit| (inhibit.vg, inhibit.until)).collect());
            }
            Event::UdevSays { devno, standing } => self.udev_says(devno, standing),
            Event::UdevDone { devno, .. } => self.doubt_udev(devno),
            Event::Offered { vgid, result } => self.offered(now, vgid, result),
            Event::ActivationStarted { vgid, by } => self.activation_started(vgid, by),
            Event::ActivationEnded { vgid, outcome } => self.activation_ended(now, vgid, outcome),
            Event::VgOnline(name) => self.vg_online(now, name),
            _ => {}
        }
    }

    fn restored(&mut self, restored: Restored) {
        let Restored { offered, inhibits, is_first, vgs_online, pvs_online } = restored;
        let offers = &mut self.offers;
        offers.is_restored = true;
        offers.before.vgs.extend(vgs_online);
        if is_first {
            offers.before.pvs.extend(pvs_online);
            offers.is_first = true;
        }
        for record in offered {
            offers.remember(record);
        }
        self.set_inhibits(inhibits.into_iter().map(|inhibit| (inhibit.vg, inhibit.until)).collect());
        self.think_of_all();
    }

    /// Other settings: the mode may be another.
    pub(super) fn reconfigure_activation(&mut self, now: Duration, before: Mode, had_event_activation: bool) {
        let mode = self.settings.mode();
        self.offers.forget_decisions();
        let in_charge = mode == Mode::On && (before != Mode::On || !had_event_activation);
        if in_charge || (mode == Mode::Compare && before != Mode::Compare) {
            self.leave_all_complete(now);
        }
        self.think_of_all();
    }

    fn think_of_all(&mut self) {
        for vgid in self.online.truth.vgs.keys() {
            self.offers.wake(*vgid);
        }
        self.offers.wake_all();
    }

    /// Takes in what has become of PVs and VGs.
    fn note_activation_changes(&mut self) {
        let changes = std::mem::take(&mut self.online.truth.changes);
        for pvid in changes.pvs_left {
            self.offers.before.pvs.remove(&pvid);
        }
        for vgid in changes.left {
            let name = self.vg_name(vgid);
            let is_known = name.is_some();
            if let Some(name) = name {
                self.offers.before.vgs.remove(&name);
            }
            self.effects.extend(self.offers.left(vgid, is_known));
            // What they lie on may be what is gone, which may not show any more when it is back.
            let lvs = self.offers.lvs.get(&vgid).into_iter().flatten().copied().collect::<Vec<_>>();
            lvs.into_iter().for_each(|lv| self.touch(lv, Cause::Below));
        }
        for vgid in changes.changed {
            self.offers.wake(vgid);
        }
        for (vgid, is_made) in changes.complete {
            self.offers.vg(vgid).is_made_complete = is_made;
        }
    }

    /// Notes what is changed in the run directory.
    pub(super) fn note_run_file(&mut self, change: &Change) {
        let before = &mut self.offers.before;
        match change {
            Change::VgOffline(vg) => drop(before.vgs.remove(vg)),
            Change::PvGone(pvid) => drop(before.pvs.remove(pvid)),
            Change::VgRenamed { from, to } => {
                if before.vgs.remove(from) {
                    before.vgs.insert(to.clone());
                }
            }
            Change::Pv(..) | Change::Lookup(_) | Change::LookupGone(_) => {}
        }
    }

    /// Something has become of a device: it was read, given up or forgotten.
    pub(super) fn note_standing(&mut self, devno: DevNo) {
        if let Some(pvid) = self.pv_of(devno) {
            self.wake_pv(pvid);
        }
    }

    /// VGs that wait because of this PV are thought of again.
    pub(super) fn wake_pv(&mut self, pvid: Id) {
        for vgid in self.online.truth.listed_by.get(&pvid).into_iter().flatten() {
            self.offers.wake_for(*vgid, pvid);
        }
    }

    fn udev_says(&mut self, devno: DevNo, standing: udev::Standing) {
        if self.offers.udev.answer(devno, standing) {
            self.note_standing(devno);
        }
    }

    /// What udev said of a device may not be so any more.
    pub(super) fn doubt_udev(&mut self, devno: DevNo) {
        if self.offers.udev.doubt(devno) {
            self.note_standing(devno);
        }
    }

    /// The VGs that are offered though a PV of theirs is not there, and has not been since before we
    /// looked: they have left.
    pub(super) fn forget_offers(&mut self, gone: BTreeSet<Id>) {
        self.online.truth.changes.left.extend(gone);
        self.note_activation_changes();
    }

    /// What is to be done for activation. It is asked for when no run file is to be written.
    pub(super) fn next_activation(&mut self, now: Duration) -> Option<super::Effect> {
        use super::Effect;
        self.note_activation_changes();
        // An offer is forgotten before the next one of the same VG is made.
        if let Some(effect) = self.effects.pop_front() {
            return Some(effect);
        }
        if !self.offers.is_restored || self.enumerating {
            return None;
        }
        while let Some(vgid) = self.offers.due.pop_first() {
            self.consider(now, vgid);
        }
        if let Some(devno) = self.offers.udev.next_to_ask() {
            return Some(Effect::AskUdev(devno));
        }
        while let Some(vgid) = self.offers.next_claimed() {
            if let Some(effect) = self.activate(now, vgid) {
                return Some(effect);
            }
        }
        while let Some(vgid) = self.offers.next_to_record() {
            if let Some(effect) = self.record(now, vgid) {
                return Some(effect);
            }
        }
        if self.first_scan.as_ref().is_some_and(|scan| scan.offers_from.is_some()) {
            return None;
        }
        while let Some(vgid) = self.offers.next_ready(self.settings.activation_parallel) {
            if let Some(effect) = self.offer(now, vgid) {
                return Some(effect);
            }
        }
        None
    }

    pub(super) fn handle_activation_timeout(&mut self, now: Duration) {
        self.offers.ring(now);
        let over = self.offers.inhibits.iter().filter(|(_, until)| until.is_some_and(|until| until <= now));
        for name in over.map(|(name, _)| name.clone()).collect::<Vec<_>>() {
            self.offers.inhibits.remove(&name);
            self.wake_named(&name);
        }
    }

    fn set_inhibits(&mut self, inhibits: std::collections::BTreeMap<Vec<u8>, Option<Duration>>) {
        let before = std::mem::replace(&mut self.offers.inhibits, inhibits);
        for name in before.into_keys() {
            self.wake_named(&name);
        }
    }

    fn wake_named(&mut self, name: &[u8]) {
        for vgid in self.online.truth.names.get(name).into_iter().flatten() {
            self.offers.wake(*vgid);
        }
    }

    fn vg_name(&self, vgid: Id) -> Option<Vec<u8>> {
        self.online.truth.vgs.get(&vgid).map(|vg| vg.text.name.clone())
    }

    fn order(&self, vgid: Id, name: Vec<u8>) -> Order {
        Order { vgid, name, refresh: self.lvs_lie_on_gone_devices(vgid), limit: self.settings.activation_timeout }
    }

    fn report_end(&mut self, vg: Vec<u8>, by: Option<String>, outcome: Outcome, took: Duration) {
        self.report(match outcome {
            Outcome::Succeeded => Report::Activated { vg, took },
            outcome => Report::ActivationFailed { vg, by, outcome },
        });
    }
}

#[cfg(test)]
mod tests;
