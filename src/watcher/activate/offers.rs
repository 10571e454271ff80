//! A VG is offered once, and activated once.
//!
//! ```text
//! idle -> whole, by the rules, and udev has nothing against it -> Effect::Offer -> Event::Offered
//!      -> Effect::Activate -> Event::ActivationStarted -> Event::ActivationEnded -> idle
//! ```
//!
//! - What was offered is not offered again before a PV of the VG has left. What leaves while it is
//!   being activated is offered again when that is over.
//! - A VG is offered when it can be activated at once, not before: a daemon that ends in between
//!   leaves no more than one in each place of `activation_parallel` offered and not activated.
//! - What could not be offered, or did not start, is tried again, with a wait that doubles.

use super::super::{Effect, Failing, Report, Watcher};
use super::asked::Udev;
use super::compare::{Compared, Comparing};
use super::rules::{Held, vg_of_lv};
use super::{Progress, Tally};
use crate::activation::{By, Claimed, Mode, Offered, Outcome, Rule, udev};
use crate::devno::DevNo;
use crate::id::Id;
use crate::metadata::VgText;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;
use std::time::Duration;

/// The first wait before something is tried again; it doubles each time.
const RETRY_FIRST: Duration = Duration::from_secs(1);
/// After its limit, this long until it is given up that anything is heard of an activation.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// What came of the last activation of a VG.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    pub outcome: Outcome,
    pub at: Duration,
    pub took: Duration,
    /// The unit or process it was.
    pub by: Option<String>,
}

#[derive(Debug, Default)]
enum Stage {
    #[default]
    Idle,
    /// The offer is being written down; `activate`: and that is not all.
    Offering {
        activate: bool,
    },
    Claimed,
    Running(Run),
}

#[derive(Debug)]
struct Run {
    name: Vec<u8>,
    since: Duration,
    by: Option<String>,
    limit: Option<Duration>,
    /// It was told to end.
    is_over: bool,
}

/// What is known of the activation of one VG.
#[derive(Debug, Default)]
pub(super) struct Vg {
    stage: Stage,
    pub(super) offered: Option<(Duration, By)>,
    /// By what name it was offered.
    name: Vec<u8>,
    /// It is written down.
    is_recorded: bool,
    /// A PV of it has left since its stage began.
    has_left: bool,
    /// It became complete by what a command wrote.
    pub(super) is_made_complete: bool,
    /// It waits for a place.
    is_queued: bool,
    held: Held,
    /// What a text of it says.
    decision: Option<(Rc<VgText>, Result<(), Rule>)>,
    /// Somebody was told that it is complete.
    is_told: bool,
    /// The rule that the log has named.
    said: Option<&'static str>,
    failing: Option<Failing>,
    /// udev was asked that often and has not dealt with all devices.
    udev_tries: u32,
    /// It is time for something.
    is_time: bool,
    ended: Option<Ended>,
    alarm: Option<Duration>,
    pub(super) comparing: Comparing,
}

/// What LVM had recorded before we began.
#[derive(Debug, Default)]
pub(super) struct Before {
    pub(super) vgs: BTreeSet<Vec<u8>>,
    pub(super) pvs: BTreeSet<Id>,
}

#[derive(Debug, Default)]
pub(in crate::watcher) struct Offers {
    vgs: BTreeMap<Id, Vg>,
    /// To be thought of.
    pub(super) due: BTreeSet<Id>,
    /// Wait for a place, in their order.
    ready: VecDeque<Id>,
    to_record: VecDeque<Id>,
    claimed: VecDeque<Id>,
    /// Those that have a place.
    busy: BTreeSet<Id>,
    alarms: BTreeSet<(Duration, Id)>,
    /// It is known what was offered in this boot.
    pub(super) is_restored: bool,
    pub(super) is_first: bool,
    pub(super) before: Before,
    pub(super) inhibits: BTreeMap<Vec<u8>, Option<Duration>>,
    pub(super) udev: Udev,
    /// The active LVs of each VG.
    pub(super) lvs: BTreeMap<Id, BTreeSet<DevNo>>,
    pub(super) tally: Tally,
    pub(super) differences: VecDeque<Compared>,
    /// What LVM has activated, of VGs that are not known.
    pub(super) lvm_online: BTreeMap<Vec<u8>, Duration>,
}

impl Offers {
    pub(super) fn vg(&mut self, vgid: Id) -> &mut Vg {
        self.vgs.entry(vgid).or_default()
    }

    pub(super) fn wake(&mut self, vgid: Id) {
        if let Some(vg) = self.vgs.get_mut(&vgid) {
            vg.held = Held::No;
        }
        self.due.insert(vgid);
    }

    pub(super) fn wake_for(&mut self, vgid: Id, pvid: Id) {
        if self.vgs.get(&vgid).is_some_and(|vg| vg.held == Held::ByPv(pvid)) {
            self.wake(vgid);
        }
    }

    /// Also those that are only written down.
    pub(super) fn wake_all(&mut self) {
        self.due.extend(self.vgs.keys());
    }

    pub(super) fn forget_decisions(&mut self) {
        for vg in self.vgs.values_mut() {
            vg.decision = None;
            vg.said = None;
        }
    }

    pub(super) fn known_decision(&self, vgid: Id, text: &Rc<VgText>) -> Option<Result<(), Rule>> {
        let (known, decision) = self.vgs.get(&vgid)?.decision.as_ref()?;
        Rc::ptr_eq(known, text).then(|| decision.clone())
    }

    /// What is written down of this boot.
    pub(super) fn remember(&mut self, record: Offered) {
        let vg = self.vg(record.vgid);
        if vg.offered.is_none() && matches!(vg.stage, Stage::Idle) {
            vg.offered = Some((record.at, By::Us));
            vg.name = record.name;
            vg.is_recorded = true;
            vg.is_told = true;
        }
    }

    /// Those that were offered, by their names.
    pub(in crate::watcher) fn offered(&self) -> impl Iterator<Item = (Id, &[u8])> {
        let offered = self.vgs.iter().filter(|(_, vg)| vg.offered.is_some());
        offered.map(|(vgid, vg)| (*vgid, &vg.name[..]))
    }

    /// A PV of the VG has left.
    pub(super) fn left(&mut self, vgid: Id, is_known: bool) -> Option<Effect> {
        let vg = self.vgs.get_mut(&vgid)?;
        let is_recorded = std::mem::take(&mut vg.is_recorded);
        let stage = std::mem::take(&mut vg.stage);
        let is_idle = matches!(stage, Stage::Idle);
        let (alarm, was_queued) = (vg.alarm, vg.is_queued);
        *vg = Vg { stage, has_left: !is_idle, name: std::mem::take(&mut vg.name), alarm, ..Vg::default() };
        if was_queued {
            self.ready.retain(|other| *other != vgid);
        }
        if is_idle {
            self.set_alarm(vgid, None);
            if !is_known {
                self.vgs.remove(&vgid);
            }
        }
        self.due.insert(vgid);
        is_recorded.then_some(Effect::ForgetOffer(vgid))
    }

    pub(super) fn tell(&mut self, vgid: Id) -> bool {
        !std::mem::replace(&mut self.vg(vgid).is_told, true)
    }

    pub(super) fn set_alarm(&mut self, vgid: Id, at: Option<Duration>) {
        let Some(vg) = self.vgs.get_mut(&vgid) else { return };
        if let Some(before) = std::mem::replace(&mut vg.alarm, at) {
            self.alarms.remove(&(before, vgid));
        }
        self.alarms.extend(at.map(|at| (at, vgid)));
    }

    /// Rings at this time, or before for something else.
    pub(super) fn set_alarm_by(&mut self, vgid: Id, at: Duration) {
        if self.vgs.get(&vgid).is_some_and(|vg| vg.alarm.is_none_or(|other| other > at)) {
            self.set_alarm(vgid, Some(at));
        }
    }

    pub(in crate::watcher) fn poll_timeout(&self) -> Option<Duration> {
        let inhibits = self.inhibits.values().flatten().copied();
        self.alarms.first().map(|(at, _)| *at).into_iter().chain(inhibits).min()
    }

    pub(super) fn ring(&mut self, now: Duration) {
        while let Some((at, vgid)) = self.alarms.first().copied().filter(|(at, _)| *at <= now) {
            self.alarms.remove(&(at, vgid));
            let vg = self.vg(vgid);
            vg.alarm = None;
            vg.is_time = true;
            self.wake(vgid);
        }
    }

    pub(super) fn next_claimed(&mut self) -> Option<Id> {
        self.claimed.pop_front()
    }

    pub(super) fn next_to_record(&mut self) -> Option<Id> {
        self.to_record.pop_front()
    }

    pub(super) fn next_ready(&mut self, places: usize) -> Option<Id> {
        if self.busy.len() < places { self.ready.pop_front() } else { None }
    }

    /// Not now; later.
    fn fail(&mut self, now: Duration, vgid: Id, error: String, retry_max: Duration) -> bool {
        let vg = self.vg(vgid);
        let is_news = vg.failing.is_none();
        let failing = vg.failing.get_or_insert(Failing { error: String::new(), since: now, tries: 0, retry_at: None });
        let wait = RETRY_FIRST.saturating_mul(1 << failing.tries.min(16)).min(retry_max);
        failing.error = error;
        failing.tries += 1;
        failing.retry_at = Some(now + wait);
        self.set_alarm(vgid, Some(now + wait));
        is_news
    }

    /// Its place is free.
    fn rest(&mut self, vgid: Id) {
        self.busy.remove(&vgid);
        self.set_alarm(vgid, None);
        let vg = self.vg(vgid);
        vg.stage = Stage::Idle;
        vg.has_left = false;
        self.wake(vgid);
    }

    pub(super) fn progress(&self, vgid: Id) -> Option<Progress> {
        let vg = self.vgs.get(&vgid)?;
        let running = match &vg.stage {
            Stage::Running(run) => Some((run.since, run.by.clone())),
            _ => None,
        };
        Some(Progress {
            vgid,
            name: vg.name.clone(),
            offered: vg.offered,
            running,
            is_queued: vg.is_queued,
            ended: vg.ended.clone(),
            failing: vg.failing.clone(),
        })
    }

    pub(super) fn in_progress(&self) -> Vec<Progress> {
        let is_worth_it = |progress: &Progress| {
            let has_failed = progress.ended.as_ref().is_some_and(|ended| ended.outcome != Outcome::Succeeded);
            progress.running.is_some() || progress.is_queued || progress.failing.is_some() || has_failed
        };
        self.vgs.keys().filter_map(|vgid| self.progress(*vgid)).filter(is_worth_it).collect()
    }

    /// Another device-mapper device has this number, or none.
    pub(in crate::watcher) fn note_lv(&mut self, devno: DevNo, before: Option<&str>, after: Option<&str>) {
        if before == after {
            return;
        }
        if let Some(vgid) = before.and_then(vg_of_lv)
            && let Some(lvs) = self.lvs.get_mut(&vgid)
        {
            lvs.remove(&devno);
            if lvs.is_empty() {
                self.lvs.remove(&vgid);
            }
        }
        if let Some(vgid) = after.and_then(vg_of_lv) {
            self.lvs.entry(vgid).or_default().insert(devno);
        }
    }
}

impl Watcher {
    /// What there is to do about a VG, now that something has happened.
    pub(super) fn consider(&mut self, now: Duration, vgid: Id) {
        let mode = self.settings.mode();
        let is_complete = self.online.truth.vgs.get(&vgid).is_some_and(|vg| vg.is_complete());
        let Some(vg) = self.offers.vgs.get(&vgid) else {
            if !is_complete && mode != Mode::Compare {
                return;
            }
            self.offers.vg(vgid);
            return self.consider(now, vgid);
        };
        match &vg.stage {
            Stage::Running(_) => return self.watch_over(now, vgid),
            Stage::Offering { .. } | Stage::Claimed => return,
            Stage::Idle => {}
        }
        if vg.offered.is_none() && is_complete && mode != Mode::Off && !vg.is_queued {
            self.try_to_get_ready(now, vgid);
        } else if vg.offered.is_some() && !vg.is_recorded && mode == Mode::On && !self.is_to_wait(now, vgid) {
            self.offers.to_record.push_back(vgid);
        }
        if mode == Mode::Compare {
            self.compare(now, vgid);
        }
    }

    /// Its next try is to come.
    fn is_to_wait(&self, now: Duration, vgid: Id) -> bool {
        let failing = self.offers.vgs.get(&vgid).and_then(|vg| vg.failing.as_ref());
        failing.and_then(|failing| failing.retry_at).is_some_and(|at| at > now)
    }

    fn try_to_get_ready(&mut self, now: Duration, vgid: Id) {
        if self.was_lvms(vgid) {
            return self.leave_to_another(now, vgid, By::Another);
        }
        if self.offers.vg(vgid).is_made_complete {
            return self.leave_to_another(now, vgid, By::Command);
        }
        if self.is_to_wait(now, vgid) || self.offers.vg(vgid).held != Held::No {
            return;
        }
        match self.stands_ready(now, vgid) {
            Ok(()) => match self.settings.mode() {
                Mode::On => {
                    self.offers.vg(vgid).is_queued = true;
                    self.offers.ready.push_back(vgid);
                }
                Mode::Report => {
                    self.offered_in_thought(now, vgid);
                    let vg = self.vg_name(vgid).unwrap_or_default();
                    self.report(Report::WouldActivate { vg });
                }
                Mode::Compare | Mode::Off => self.offered_in_thought(now, vgid),
            },
            Err((held, rule)) => {
                let vg = self.offers.vg(vgid);
                vg.held = held;
                let Some(rule) = rule else { return };
                let is_news = vg.said != Some(rule.code()) && !matches!(rule, Rule::AwaitsUdev { .. });
                if is_news {
                    vg.said = Some(rule.code());
                }
                let name = self.vg_name(vgid).unwrap_or_default();
                if rule.leaves_nothing_to_do() {
                    self.offered_in_thought(now, vgid);
                    self.offers.wake(vgid);
                }
                if is_news && self.settings.mode() != Mode::Compare {
                    self.report(Report::NotActivated { vg: name, rule });
                }
            }
        }
    }

    /// It has had its turn, of which nothing is written down.
    fn offered_in_thought(&mut self, now: Duration, vgid: Id) {
        let name = self.vg_name(vgid).unwrap_or_default();
        self.forget_udev(vgid);
        let vg = self.offers.vg(vgid);
        vg.offered = Some((now, By::Us));
        vg.name = name;
        vg.is_recorded = false;
    }

    /// Whether LVM was told to activate the VG before we were in charge.
    fn was_lvms(&self, vgid: Id) -> bool {
        let before = &self.offers.before;
        let Some(vg) = self.online.truth.vgs.get(&vgid) else { return false };
        let is_online = || before.vgs.contains(&vg.text.name);
        match self.settings.mode() {
            Mode::Compare => is_online(),
            _ if !self.offers.is_first => false,
            _ => is_online() || (!before.pvs.is_empty() && vg.text.pvids.iter().all(|pvid| before.pvs.contains(pvid))),
        }
    }

    /// Who was to activate it was told.
    fn leave_to_another(&mut self, now: Duration, vgid: Id, by: By) {
        self.offered_in_thought(now, vgid);
        let vg = self.offers.vg(vgid);
        vg.offered = Some((now, by));
        vg.is_told = true;
        vg.comparing.is_over = true;
        self.offers.wake(vgid);
    }

    /// We are in charge from now on: what is complete was somebody else's to activate.
    pub(super) fn leave_all_complete(&mut self, now: Duration) {
        let complete = self.online.truth.vgs.iter().filter(|(_, vg)| vg.is_complete()).map(|(vgid, _)| *vgid);
        for vgid in complete.collect::<Vec<_>>() {
            let vg = self.offers.vg(vgid);
            if matches!(vg.stage, Stage::Idle) && !vg.is_recorded {
                self.leave_to_another(now, vgid, By::Another);
            }
            self.offers.vg(vgid).comparing.is_over = true;
        }
    }

    /// Whether it can be offered now; if not, what it waits for, and the rule if there is one.
    fn stands_ready(&mut self, now: Duration, vgid: Id) -> Result<(), (Held, Option<Rule>)> {
        let by_vg = |rule| (Held::ByVg, rule);
        let Some(known) = self.online.truth.vgs.get(&vgid) else { return Err(by_vg(None)) };
        let text = Rc::clone(&known.text);
        if self.offers.known_decision(vgid, &text).is_none() {
            let decision = self.by_metadata(&text);
            self.offers.vg(vgid).decision = Some((Rc::clone(&text), decision));
        }
        let known = &self.online.truth.vgs[&vgid];
        self.decide(vgid, known).map_err(|(rule, held)| (held, Some(rule)))?;
        if let Some(pvid) = self.unread_pv(&text) {
            return Err((Held::ByPv(pvid), None));
        }
        if let Some(until) = self.inhibit_of(&text.name) {
            return Err(by_vg(Some(Rule::Inhibited { until })));
        }
        self.ask_udev(now, vgid, &text)
    }

    /// Whether udev has nothing against any of its devices.
    fn ask_udev(&mut self, now: Duration, vgid: Id, text: &VgText) -> Result<(), (Held, Option<Rule>)> {
        let again = std::mem::take(&mut self.offers.vg(vgid).is_time);
        let devices = self.devices_of(text).collect::<Vec<_>>();
        for (_, devno) in &devices {
            let is_awaited = self.offers.udev.standing(*devno) == Some(&udev::Standing::Awaited);
            if again && is_awaited {
                self.offers.udev.forget(*devno);
            }
            self.offers.udev.ask(*devno);
        }
        let is_ready = |devno: DevNo| self.offers.udev.standing(devno) == Some(&udev::Standing::Ready);
        let Some((pvid, _)) = devices.iter().copied().find(|(_, devno)| !is_ready(*devno)) else {
            self.offers.vg(vgid).udev_tries = 0;
            return Ok(());
        };
        let rule = self.udev_rule(text);
        let retry_max = self.settings.retry_max;
        let vg = self.offers.vg(vgid);
        if matches!(rule, Some(Rule::AwaitsUdev { .. })) && vg.alarm.is_none() {
            // Its word may have been lost.
            let wait = RETRY_FIRST.saturating_mul(1 << vg.udev_tries.min(16)).min(retry_max);
            vg.udev_tries += 1;
            self.offers.set_alarm(vgid, Some(now + wait));
        }
        Err((Held::ByPv(pvid), rule))
    }

    fn forget_udev(&mut self, vgid: Id) {
        let Some(known) = self.online.truth.vgs.get(&vgid) else { return };
        let devnos = self.devices_of(&known.text).map(|(_, devno)| devno).collect::<Vec<_>>();
        devnos.into_iter().for_each(|devno| self.offers.udev.forget(devno));
    }

    /// Offers a VG that has waited for a place, if it still may.
    pub(super) fn offer(&mut self, now: Duration, vgid: Id) -> Option<Effect> {
        let vg = self.offers.vgs.get_mut(&vgid)?;
        if !std::mem::take(&mut vg.is_queued) || vg.offered.is_some() || !matches!(vg.stage, Stage::Idle) {
            return None;
        }
        if self.settings.mode() != Mode::On || self.stands_ready(now, vgid).is_err() {
            self.offers.wake(vgid);
            return None;
        }
        let name = self.vg_name(vgid)?;
        if self.online.retry_offline(&name) {
            // It would be taken for somebody else's.
            self.cannot_be_offered(now, vgid, name, "its old file in vgs_online cannot be removed".to_owned());
            return self.online_change();
        }
        self.offers.busy.insert(vgid);
        Some(self.begin_offer(now, vgid, name, true))
    }

    /// Writes down that a VG has had its turn.
    pub(super) fn record(&mut self, now: Duration, vgid: Id) -> Option<Effect> {
        let vg = self.offers.vgs.get(&vgid)?;
        let (offered_at, _) = vg.offered?;
        if vg.is_recorded || !matches!(vg.stage, Stage::Idle) || self.is_to_wait(now, vgid) {
            return None;
        }
        let name = self.vg_name(vgid)?;
        Some(self.begin_offer(offered_at, vgid, name, false))
    }

    fn begin_offer(&mut self, at: Duration, vgid: Id, name: Vec<u8>, activate: bool) -> Effect {
        self.forget_udev(vgid);
        let vg = self.offers.vg(vgid);
        vg.stage = Stage::Offering { activate };
        vg.is_recorded = true;
        vg.has_left = false;
        vg.name.clone_from(&name);
        vg.offered.get_or_insert((at, By::Us));
        Effect::Offer(Offered { vgid, name, at })
    }

    fn cannot_be_offered(&mut self, now: Duration, vgid: Id, vg: Vec<u8>, error: String) {
        if self.offers.fail(now, vgid, error.clone(), self.settings.retry_max) {
            self.report(Report::NotOffered { vg, error });
        }
    }

    pub(super) fn offered(&mut self, now: Duration, vgid: Id, result: Result<Claimed, String>) {
        let Some(vg) = self.offers.vgs.get_mut(&vgid) else { return };
        let Stage::Offering { activate } = vg.stage else { return };
        if vg.has_left {
            return self.offers.rest(vgid);
        }
        match result {
            Ok(claimed) => {
                // What is to be activated may not start: then its tries go on.
                if !activate || claimed == Claimed::Taken {
                    vg.failing = None;
                }
                if !activate {
                    self.offers.rest(vgid);
                } else if claimed == Claimed::Made {
                    vg.stage = Stage::Claimed;
                    self.offers.claimed.push_back(vgid);
                } else {
                    vg.offered = vg.offered.map(|(at, _)| (at, By::Another));
                    let vg = vg.name.clone();
                    self.offers.rest(vgid);
                    self.report(Report::LeftToAnother { vg });
                }
            }
            Err(error) => {
                vg.is_recorded = false;
                if activate {
                    vg.offered = None;
                }
                let name = vg.name.clone();
                self.offers.rest(vgid);
                self.cannot_be_offered(now, vgid, name, error);
            }
        }
    }

    /// Activates a VG that is ours, if it still may be.
    pub(super) fn activate(&mut self, now: Duration, vgid: Id) -> Option<Effect> {
        let vg = self.offers.vgs.get(&vgid)?;
        if !matches!(vg.stage, Stage::Claimed) {
            return None;
        }
        if vg.has_left {
            self.offers.rest(vgid);
            return None;
        }
        let name = self.vg_name(vgid).unwrap_or_else(|| vg.name.clone());
        if self.settings.mode() != Mode::On || !self.may_begin(vgid) {
            return Some(self.take_back(vgid, name));
        }
        let order = self.order(vgid, name.clone());
        let run = Run { name, since: now, by: None, limit: order.limit, is_over: false };
        self.offers.vg(vgid).stage = Stage::Running(run);
        self.offers.set_alarm(vgid, order.limit.map(|limit| now + limit));
        Some(Effect::Activate(order))
    }

    fn may_begin(&self, vgid: Id) -> bool {
        let Some(known) = self.online.truth.vgs.get(&vgid) else { return false };
        self.decide(vgid, known).is_ok()
            && self.unread_pv(&known.text).is_none()
            && self.inhibit_of(&known.text.name).is_none()
    }

    fn take_back(&mut self, vgid: Id, name: Vec<u8>) -> Effect {
        let vg = self.offers.vg(vgid);
        vg.offered = None;
        vg.is_recorded = false;
        self.offers.rest(vgid);
        Effect::WithdrawOffer { vgid, name }
    }

    pub(super) fn activation_started(&mut self, vgid: Id, by: String) {
        let Some(vg) = self.offers.vgs.get_mut(&vgid) else { return };
        let Stage::Running(run) = &mut vg.stage else { return };
        run.by = Some(by.clone());
        let name = run.name.clone();
        vg.failing = None;
        self.report(Report::Activating { vg: name, by });
    }

    pub(super) fn activation_ended(&mut self, now: Duration, vgid: Id, outcome: Outcome) {
        let Some(vg) = self.offers.vgs.get_mut(&vgid) else { return };
        let Stage::Running(run) = &mut vg.stage else { return };
        let (name, by, took) = (std::mem::take(&mut run.name), run.by.take(), now.saturating_sub(run.since));
        let has_left = vg.has_left;
        if let Outcome::NotStarted(why) = outcome {
            let withdraw = if has_left {
                self.offers.rest(vgid);
                None
            } else {
                let name = self.vg_name(vgid).unwrap_or_else(|| name.clone());
                Some(self.take_back(vgid, name))
            };
            self.effects.extend(withdraw);
            if !has_left {
                self.cannot_be_offered(now, vgid, name, why);
            }
            return;
        }
        if !has_left {
            vg.ended = Some(Ended { outcome: outcome.clone(), at: now, took, by: by.clone() });
            vg.failing = None;
        }
        match outcome {
            Outcome::Succeeded => self.offers.tally.succeeded += 1,
            _ => self.offers.tally.failed += 1,
        }
        self.offers.rest(vgid);
        self.report_end(name, by, outcome, took);
    }

    /// Ends what takes too long, and gives up what nothing is heard of.
    fn watch_over(&mut self, now: Duration, vgid: Id) {
        let Stage::Running(run) = &mut self.offers.vg(vgid).stage else { return };
        let Some(limit) = run.limit else { return };
        let ends_at = run.since + limit;
        let given_up_at = ends_at + SILENCE_MAX;
        if now >= given_up_at {
            return self.activation_ended(now, vgid, Outcome::Unknown("nothing was heard of it".to_owned()));
        }
        if now < ends_at {
            return;
        }
        if !std::mem::replace(&mut run.is_over, true) {
            self.effects.push_back(Effect::EndActivation(vgid));
        }
        self.offers.set_alarm(vgid, Some(given_up_at));
    }
}
