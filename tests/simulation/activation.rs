//! Whoever carries activation out, what udev and others do meanwhile, and what must hold of it.

use crate::kinds::Kind;
use crate::oracle::{Choice, choose};
use crate::rng::Rng;
use crate::sim::{Pending, Sim};
use crate::world::{World, name, pvid, vgid};
use pvwatch::activation::udev::Standing;
use pvwatch::activation::{By, Claimed, Inhibit, Offered, Order, Outcome, Restored, Rule};
use pvwatch::conf::{ActivationSetting, Settings};
use pvwatch::devno::DevNo;
use pvwatch::id::Id;
use pvwatch::metadata::VgText;
use pvwatch::online::RunFiles;
use pvwatch::watcher::{Because, Effect, Event, Watcher};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(20);
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// What is kept while the daemon is restarted, and what goes on.
pub struct Activator {
    pub rng: Rng,
    parallel: usize,
    records: BTreeMap<Id, Offered>,
    /// Offers that could not be written down, of which the daemon is still to be told.
    failed: BTreeSet<Id>,
    /// The state directory cannot be written.
    full: bool,
    running: BTreeMap<Id, Running>,
    udev: BTreeMap<DevNo, Standing>,
    /// What the daemon was told last.
    told: BTreeMap<DevNo, Standing>,
    pub inhibits: Vec<Inhibit>,
    /// Offers that were made, and not begun since; those of a daemon that ended never are.
    claimed: BTreeSet<Id>,
    /// Somebody else is told of these, or nobody: a daemon ended in between.
    excused: BTreeSet<Id>,
    /// Run files may not be what the watcher takes them for.
    pub files_doubtful: bool,
    pub activations: u64,
    /// Of the VGs of which an offer is written down, the PVs that have been there for them since.
    pub were_there: BTreeMap<Id, BTreeSet<Id>>,
    pub restarts: bool,
    pub witnessed: Witnessed,
}

/// What was read of a device: its incarnation, whether all could be, and what it shows.
#[derive(Clone, PartialEq)]
struct Read {
    diskseq: Option<u64>,
    ended: Duration,
    in_full: bool,
    /// Of a partition: whether its disk shows that it belongs to an array.
    disk_has_it: bool,
    shows: Option<Shown>,
}

impl Read {
    /// Whether both have shown the same, whenever that was.
    fn is_as(&self, other: &Read) -> bool {
        let all = |read: &Read| (read.diskseq, read.in_full, read.disk_has_it);
        all(self) == all(other) && self.shows == other.shows
    }
}

/// A PV: its id, whether it is in use, how many metadata areas it has, and its text: of which VG, which
/// seqno, and what.
type Shown = (Id, bool, usize, Option<(Id, i64, Vec<u8>)>);

/// What was seen to happen to a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Sign {
    Came,
    /// The kernel was asked of it.
    Looked,
    Went,
    Written,
}

/// Whether a VG is complete, as far as can be told from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whole {
    No,
    Untold,
    /// Because a device has come, or because of what was written, if that can be told.
    Yes {
        has_come: Option<bool>,
        since: Duration,
    },
}

/// What has made each VG complete, by what could be seen to happen right before.
#[derive(Default)]
pub struct Witnessed {
    devices: BTreeMap<DevNo, Read>,
    signs: BTreeSet<Sign>,
    vgs: BTreeMap<Id, Whole>,
}

impl Witnessed {
    pub fn note_look(&mut self) {
        self.signs.insert(Sign::Looked);
    }

    /// All that was to be done about what has happened is done.
    pub fn settle(&mut self) {
        self.signs.clear();
    }

    fn note_devices(&mut self, watcher: &Watcher) {
        let read = |device: &pvwatch::watcher::Device| {
            let seen = device.seen.as_ref()?;
            let pv = seen.content.pv();
            let text = |pv: &pvwatch::scan::Pv| pv.vg.as_ref().map(|vg| (vg.vgid, vg.seqno, vg.body.to_vec()));
            Some(Read {
                diskseq: seen.diskseq,
                ended: seen.ended,
                in_full: pv.is_none_or(|pv| pv.read_error.is_none() && pv.end_error.is_none()),
                disk_has_it: device.facts.partition && seen.content.member().is_some(),
                shows: pv.map(|pv| (pv.id, pv.is_in_use(), pv.mdas.len(), text(pv))),
            })
        };
        let devices = watcher.devices().iter().filter_map(|(devno, device)| Some((*devno, read(device)?)));
        let devices = devices.collect::<BTreeMap<_, _>>();
        for (devno, after) in &devices {
            match self.devices.get(devno) {
                // Which of several copies is used may have waited for that.
                Some(before) if before == after => {}
                Some(before) if before.is_as(after) => {
                    self.signs.extend(after.shows.is_some().then_some(Sign::Looked));
                }
                Some(before) if before.diskseq == after.diskseq && before.in_full => {
                    if before.shows != after.shows {
                        self.signs.insert(Sign::Written);
                        // Nothing may have been written, and its disk be read at last.
                        self.signs.extend((before.disk_has_it != after.disk_has_it).then_some(Sign::Looked));
                    }
                }
                _ => drop(self.signs.insert(Sign::Came)),
            }
        }
        if self.devices.keys().any(|devno| !devices.contains_key(devno)) {
            self.signs.insert(Sign::Went);
        }
        self.devices = devices;
    }

    fn has_come(&self) -> Option<bool> {
        match self.signs.iter().copied().collect::<Vec<_>>()[..] {
            [] | [Sign::Came | Sign::Looked] | [Sign::Came, Sign::Looked] => Some(true),
            [Sign::Written] => Some(false),
            _ => None,
        }
    }
}

struct Running {
    since: Duration,
    /// The daemon that has begun it does not listen any more.
    orphan: bool,
}

impl Activator {
    pub fn new(seed: u64, may_restart: bool) -> Activator {
        let mut rng = Rng::new(seed.rotate_left(17) ^ 0xac7);
        Activator {
            parallel: 1 + rng.index(3),
            restarts: may_restart && seed % 5 == 4,
            rng,
            records: BTreeMap::new(),
            failed: BTreeSet::new(),
            full: false,
            running: BTreeMap::new(),
            udev: BTreeMap::new(),
            told: BTreeMap::new(),
            inhibits: Vec::new(),
            claimed: BTreeSet::new(),
            excused: BTreeSet::new(),
            files_doubtful: false,
            activations: 0,
            were_there: BTreeMap::new(),
            witnessed: Witnessed::default(),
        }
    }

    pub fn settings(&self, settings: Settings) -> Settings {
        Settings {
            activation: ActivationSetting::On,
            activation_parallel: self.parallel,
            activation_timeout: Some(LIMIT),
            ..settings
        }
    }

    fn standing(&self, devno: DevNo) -> Standing {
        self.udev.get(&devno).cloned().unwrap_or(Standing::Ready)
    }
}

impl Sim {
    /// The daemon starts: for the first time in this boot, or again.
    pub fn restore(&mut self, is_first: bool) {
        let restored = Restored {
            offered: self.activator.records.values().cloned().collect(),
            inhibits: self.activator.inhibits.clone(),
            is_first,
            vgs_online: self.files.vgs.iter().cloned().collect(),
            pvs_online: self.files.pvs.keys().copied().collect(),
        };
        self.log(format_args!("restored: {restored:?}"));
        self.watcher.handle(self.now, Event::Restored(restored));
    }

    /// Looks at what has happened, and at the VGs that are complete now.
    pub fn witness(&mut self) {
        let witnessed = &mut self.activator.witnessed;
        witnessed.note_devices(&self.watcher);
        self.reads.note(&self.watcher);
        self.note_hinted();
        let witnessed = &mut self.activator.witnessed;
        let mut vgs = BTreeMap::new();
        for activation in self.watcher.activations() {
            let before = witnessed.vgs.get(&activation.vgid).copied().unwrap_or(Whole::No);
            let whole = match (&activation.decision, before) {
                // It is there for another VG, or as a PV that is not in use.
                (Some(Rule::Incomplete { missing }), _)
                    if missing.iter().all(|pvid| is_somewhere(&self.watcher, *pvid)) =>
                {
                    Whole::Untold
                }
                (Some(Rule::Incomplete { .. }), _) => Whole::No,
                (Some(Rule::NameTaken), _) | (_, Whole::Untold) => Whole::Untold,
                (_, yes @ Whole::Yes { .. }) => yes,
                (_, Whole::No) => Whole::Yes { has_come: witnessed.has_come(), since: self.now },
            };
            vgs.insert(activation.vgid, whole);
        }
        witnessed.vgs = vgs;
    }

    /// Notes which PVs of the VGs that were offered are there, as PVs that are in use.
    pub fn note_there(&mut self) {
        for vgid in self.activator.records.keys() {
            let pvids = listed(&self.watcher, *vgid);
            let is_there = |pvid: &Id| {
                let choice = self.watcher.choice(*pvid).filter(|choice| choice.ambiguity.is_none());
                let pv = choice.and_then(|choice| self.watcher.devices()[&choice.device].pv());
                pv.is_some_and(|pv| pv.is_in_use())
            };
            let there = pvids.into_iter().filter(is_there);
            self.activator.were_there.entry(*vgid).or_default().extend(there);
        }
    }

    /// What a command has made complete is not for us to activate.
    fn check_origin(&self, vgid: Id, at: Duration, by: By) {
        let whole = self.activator.witnessed.vgs.get(&vgid);
        let Some(Whole::Yes { has_come: Some(has_come), since }) = whole else { return };
        // It had its turn before it was extended, and only now could that be written down.
        if at < *since {
            return;
        }
        assert!(by != By::Us || *has_come, "{vgid} is offered, and a command has made it complete");
        assert!(
            by != By::Command || !*has_come,
            "{vgid} is recorded as a command's, and a device has made it complete"
        );
    }

    /// What happens around activation.
    pub fn activation_step(&mut self) {
        match self.activator.rng.below(10) {
            0 if self.allowed(Kind::Full) => {
                self.activator.full = !self.activator.full;
                let full = self.activator.full;
                self.log(format_args!("the state directory is full: {full}"));
            }
            1 | 2 => {
                let devnos = self.world.disks.keys().copied().collect::<Vec<_>>();
                if devnos.is_empty() {
                    return;
                }
                let devno = *self.activator.rng.pick(&devnos);
                let standing = match self.activator.rng.below(4) {
                    0 => Standing::Refused("SYSTEMD_READY=0".to_owned()),
                    1 => Standing::Awaited,
                    _ => Standing::Ready,
                };
                self.udev_turns(devno, standing);
            }
            3 => {
                let vg = name(self.activator.rng.small(4)).into_bytes();
                let lasts = self.activator.rng.below(30);
                let until = if lasts == 0 { None } else { Some(self.now + Duration::from_secs(lasts)) };
                self.activator.inhibits.retain(|inhibit| inhibit.vg != vg);
                if self.activator.rng.one_in(2) {
                    self.activator.inhibits.push(Inhibit { vg, until });
                }
                self.log(format_args!("inhibits: {:?}", self.activator.inhibits));
                self.watcher.handle(self.now, Event::Inhibited(self.activator.inhibits.clone()));
            }
            4 if self.activator.restarts && self.activator.rng.one_in(3) => self.restart(),
            _ => {}
        }
    }

    fn udev_turns(&mut self, devno: DevNo, standing: Standing) {
        self.log(format_args!("udev says of {devno}: {standing:?}"));
        let is_lost = self.activator.standing(devno) == Standing::Awaited && self.activator.rng.one_in(4);
        self.activator.udev.insert(devno, standing);
        if !is_lost {
            let at = self.now + Duration::from_millis(self.activator.rng.below(50));
            self.schedule(at, Pending::Event(Event::UdevDone { devno, seqnum: None }));
        }
    }

    /// Nothing stands against activation any more.
    pub fn let_activate(&mut self) {
        self.activator.full = false;
        for devno in self.activator.udev.keys().copied().collect::<Vec<_>>() {
            self.activator.udev.insert(devno, Standing::Ready);
            self.watcher.handle(self.now, Event::UdevDone { devno, seqnum: None });
        }
        self.activator.inhibits.clear();
        self.watcher.handle(self.now, Event::Inhibited(Vec::new()));
    }

    /// Another daemon takes the place of this one, in the same boot.
    fn restart(&mut self) {
        self.log(format_args!("the daemon is restarted"));
        let settings = self.activator.settings(self.world.multipath.settings());
        self.begin_anew(settings);
        self.activator.told.clear();
        self.activator.failed.clear();
        self.activator.witnessed = Witnessed::default();
        self.activator.excused.append(&mut self.activator.claimed);
        self.activator.running.values_mut().for_each(|running| running.orphan = true);
        self.note_all_happened();
        self.restore(false);
    }

    pub fn carry_out_activation(&mut self, effect: Effect) {
        match effect {
            Effect::AskUdev(devno) => {
                let standing = self.activator.standing(devno);
                self.activator.told.insert(devno, standing.clone());
                self.watcher.handle(self.now, Event::UdevSays { devno, standing });
            }
            Effect::Offer(offer) => self.carry_out_offer(offer),
            Effect::ForgetOffer(vgid) => {
                self.log(format_args!("    forget the offer of {vgid}"));
                let was_recorded = self.activator.records.remove(&vgid).is_some();
                let may_have_been = self.activator.failed.contains(&vgid);
                assert!(was_recorded || may_have_been, "what is forgotten was not offered");
                self.activator.claimed.remove(&vgid);
                self.activator.excused.remove(&vgid);
            }
            Effect::WithdrawOffer { vgid, name } => {
                self.log(format_args!("    withdraw the offer of {vgid}"));
                assert!(self.activator.records.remove(&vgid).is_some(), "what is withdrawn was not offered");
                self.activator.claimed.remove(&vgid);
                let _ = self.files.remove_vg(&name);
            }
            Effect::Activate(order) => self.carry_out_order(&order),
            Effect::EndActivation(vgid) => {
                self.log(format_args!("    end the activation of {vgid}"));
                let running = self.activator.running.get(&vgid).expect("it goes on");
                assert!(self.now >= running.since + LIMIT, "it is ended early");
                // Some cannot be killed.
                if self.activator.rng.one_in(2) {
                    self.end_soon(vgid, Outcome::TimedOut, 2_000);
                }
            }
            _ => unreachable!("the caller passes on no others"),
        }
    }

    fn carry_out_offer(&mut self, offer: Offered) {
        let Offered { vgid, name, .. } = &offer;
        assert!(!self.activator.records.contains_key(vgid), "{vgid} is offered twice");
        let known = self.watcher.progress(*vgid).expect("it is offered");
        let is_for_us = matches!(known.offered, Some((_, By::Us)));
        if let Some((at, by)) = known.offered {
            self.check_origin(*vgid, at, by);
        }
        if is_for_us {
            self.check_offer(*vgid, name);
        }
        let result = if self.activator.full {
            Err("no space".to_owned())
        } else {
            match self.files.claim_vg(name) {
                Ok(true) => Ok(Claimed::Made),
                Ok(false) => Ok(Claimed::Taken),
                Err(_) => Err("broken".to_owned()),
            }
        };
        self.log(format_args!("    offer {vgid} {}: {result:?}", name.escape_ascii()));
        let vgid = *vgid;
        if let Ok(claimed) = result {
            self.activator.records.insert(vgid, offer);
            self.activator.were_there.remove(&vgid);
            if is_for_us && claimed == Claimed::Made {
                self.activator.claimed.insert(vgid);
            } else {
                self.activator.excused.insert(vgid);
            }
        }
        let is_made = result.is_ok();
        if result.is_err() {
            self.activator.failed.insert(vgid);
        }
        let event = Event::Offered { vgid, result };
        if is_made && self.activator.rng.one_in(3) {
            let at = self.now + Duration::from_millis(self.activator.rng.below(40));
            self.schedule(at, Pending::Event(event));
        } else {
            self.note_answer(&event);
            self.watcher.handle(self.now, event);
        }
    }

    /// It is whole, and nothing stands against it.
    fn check_offer(&self, vgid: Id, name: &[u8]) {
        let what = || format!("VG {} is offered", name.escape_ascii());
        let is_inhibited = |inhibit: &Inhibit| inhibit.vg == name && inhibit.until.is_none_or(|until| until > self.now);
        assert!(!self.activator.inhibits.iter().any(is_inhibited), "{}, which is inhibited", what());
        for devno in self.check_devices(vgid, &what()) {
            let told = self.activator.told.get(&devno);
            assert_eq!(told, Some(&Standing::Ready), "{}, and udev has not said so of {devno}", what());
        }
    }

    /// The devices of its PVs, each of them read since anything has happened to it.
    fn check_devices(&self, vgid: Id, what: &str) -> Vec<DevNo> {
        let devices = self.watcher.devices();
        // Of copies, the one that was chosen.
        let is_chosen = |devno: DevNo, pvid: Id| {
            self.watcher.choice(pvid).is_some_and(|choice| choice.device == devno && choice.ambiguity.is_none())
        };
        let pvs = devices.iter().filter_map(|(devno, device)| device.pv().filter(|pv| is_chosen(*devno, pv.id)));
        let texts = pvs.filter_map(|pv| pv.vg.as_ref()).filter(|text| text.vgid == vgid);
        // Of two that differ at one seqno, the one that is served; if a client says otherwise, either.
        let served = self.watcher.cache().vg(&vgid.hyphenated());
        let is_served = |text: &VgText| served.is_some_and(|vg| vg.is_text(&text.body));
        let are_there = |text: &VgText| text.pvids.iter().all(|pvid| self.watcher.choice(*pvid).is_some());
        let text = texts
            .max_by_key(|text| (text.seqno, is_served(text), are_there(text)))
            .unwrap_or_else(|| panic!("{what}, of which nothing is known"));
        let mut out = Vec::new();
        for pvid in &text.pvids {
            let choice = self.watcher.choice(*pvid).unwrap_or_else(|| panic!("{what}, and PV {pvid} is not there"));
            assert!(choice.ambiguity.is_none(), "{what}, and PV {pvid} is ambiguous");
            let device = &devices[&choice.device];
            assert!(device.is_quiet(), "{what}, and {} is to be read", choice.device);
            assert!(device.quarantine.is_none(), "{what}, and {} cannot be read", choice.device);
            if !self.activator.files_doubtful {
                let file = self.files.pvs.get(pvid).and_then(Option::as_ref).map(|file| file.devno);
                assert_eq!(file, Some(choice.device), "{what}, and PV {pvid} is not written down");
            }
            out.push(choice.device);
        }
        out
    }

    fn carry_out_order(&mut self, order: &Order) {
        let vgid = order.vgid;
        self.log(format_args!("    activate {vgid} {}", order.name.escape_ascii()));
        self.activator.activations += 1;
        assert!(self.activator.claimed.remove(&vgid), "{vgid} is activated, and was not offered");
        assert!(self.activator.records.contains_key(&vgid), "{vgid} is activated, and that is not written down");
        if !self.activator.files_doubtful {
            assert!(self.files.vgs.contains(&order.name), "{vgid} is activated, and is not in vgs_online");
        }
        self.check_devices(vgid, "it is activated");
        let now = self.now;
        self.activator.running.retain(|_, running| now < running.since + LIMIT + SILENCE_MAX);
        let ours = self.activator.running.values().filter(|running| !running.orphan).count();
        assert!(ours < self.activator.parallel, "too many are activated at a time");
        let before = self.activator.running.insert(vgid, Running { since: self.now, orphan: false });
        if before.is_some_and(|before| !before.orphan) {
            panic!("{vgid} is activated twice at a time");
        }
        match self.activator.rng.below(6) {
            0 => return self.end_soon(vgid, Outcome::NotStarted("busy".to_owned()), 100),
            1 => {
                let at = self.now + Duration::from_millis(self.activator.rng.below(50));
                self.schedule(at, Pending::Event(Event::ActivationStarted { vgid, by: "unit".to_owned() }));
                // It hangs.
                return;
            }
            2 => {
                let failed = Outcome::Failed { why: "exit status 5".to_owned(), output: String::new() };
                self.end_soon(vgid, failed, 3_000);
            }
            _ => self.end_soon(vgid, Outcome::Succeeded, 3_000),
        }
        self.watcher.handle(self.now, Event::ActivationStarted { vgid, by: "unit".to_owned() });
    }

    fn end_soon(&mut self, vgid: Id, outcome: Outcome, max_ms: u64) {
        let at = self.now + Duration::from_millis(self.activator.rng.below(max_ms));
        self.schedule(at, Pending::Event(Event::ActivationEnded { vgid, outcome }));
    }

    /// What becomes of an offer, or of an activation.
    pub fn note_answer(&mut self, event: &Event) {
        if let Event::Offered { vgid, .. } = event {
            self.activator.failed.remove(vgid);
        }
        if let Event::ActivationEnded { vgid, outcome } = event {
            let running = self.activator.running.remove(vgid);
            if running.is_some() && matches!(outcome, Outcome::NotStarted(_)) {
                // It is to be tried again, if it is still to be.
                self.activator.excused.remove(vgid);
            }
        }
    }

    /// At the end each VG that is whole and alone with its name has had its turn, and no other.
    pub fn check_activation(&self) -> Result<(), String> {
        let watcher = &self.watcher;
        for activation in watcher.activations() {
            let vg = format!("VG {}", activation.name.escape_ascii());
            let is_recorded = self.activator.records.contains_key(&activation.vgid);
            let Some(naive) = is_allowed(watcher, &self.world, activation.vgid) else { continue };
            if activation.decision.is_none() != naive {
                return Err(format!("{vg}: decided {:?}, and to be activated is {naive}", activation.decision));
            }
            // What is there for another VG, or as a PV that is not in use, has not left. Nor has what was
            // not there any more when it was taken into the VG.
            let were_there = self.activator.were_there.get(&activation.vgid);
            let has_left = |pvid: &Id| {
                !is_somewhere(watcher, *pvid) && were_there.is_some_and(|were_there| were_there.contains(pvid))
            };
            let is_whole = match &activation.decision {
                Some(Rule::Incomplete { missing }) => !missing.iter().any(has_left),
                _ => true,
            };
            if naive && !is_recorded {
                return Err(format!("{vg} is whole, and was not offered: {:?}", activation.rule));
            }
            if !is_whole && is_recorded {
                return Err(format!("{vg} is not whole, and what was offered is still written down"));
            }
            if self.activator.claimed.contains(&activation.vgid) {
                return Err(format!("{vg} was offered, and never activated"));
            }
        }
        let known = watcher.activations().into_iter().map(|activation| activation.vgid).collect::<BTreeSet<_>>();
        match self.activator.records.keys().find(|vgid| !known.contains(vgid)) {
            Some(vgid) => Err(format!("the offer of {vgid} is written down, and it is not there")),
            None => Ok(()),
        }
    }
}

/// The PVs of the VG, by the newest of its texts.
fn listed(watcher: &Watcher, vgid: Id) -> BTreeSet<Id> {
    let pvs = watcher.devices().values().filter_map(|device| device.pv());
    let texts = pvs.filter_map(|pv| pv.vg.as_ref()).filter(|text| text.vgid == vgid);
    texts.max_by_key(|text| text.seqno).into_iter().flat_map(|text| &text.pvids).copied().collect()
}

fn is_somewhere(watcher: &Watcher, pvid: Id) -> bool {
    watcher.choice(pvid).is_some_and(|choice| choice.ambiguity.is_none())
}

/// What a naive look says: each of its PVs is on a device, for it, and on no other that is the same.
/// `None` where that cannot tell which device is the better one.
fn is_allowed(watcher: &Watcher, world: &World, id: Id) -> Option<bool> {
    let Some(vg) = watcher.cache().vg(&id.hyphenated()) else { return Some(false) };
    let number = (0..10).find(|number| vgid(*number) == id).expect("one of ours");
    let is_alone = watcher.cache().vgids_named(vg.name()).len() == 1;
    let mut is_allowed = is_alone;
    for key in vg.pvids() {
        let pv = (0..10).find(|pv| pvid(*pv).hyphenated() == **key).expect("one of ours");
        let Some(device) = watcher.cache().device_of(key).map(DevNo::from_wire) else { return Some(false) };
        let content = &world.disks[&device].content;
        is_allowed &= content.text().is_none_or(|text| text.id == number) && content.is_in_use();
        let others = watcher.choice(pvid(pv)).into_iter().flat_map(|choice| choice.others.values());
        let others = others.filter(|other| !other.is_path).collect::<Vec<_>>();
        let proves_nothing = [Because::Readable, Because::Current, Because::FirstSeen];
        match choose(world, pv) {
            _ if others.is_empty() => {}
            Choice::Any(devnos) if devnos.len() == 1 => {}
            _ if others.iter().any(|other| proves_nothing.contains(&other.because)) => is_allowed = false,
            _ => return None,
        }
    }
    Some(is_allowed)
}
