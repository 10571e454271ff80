//! Drives the watcher as the daemon does, and the world under it.

use crate::activation::Activator;
use crate::kinds::{Kind, LIES};
use crate::moments::Reads;
use crate::readers::{Bytes, Job};
use crate::requests::Clients;
use crate::rng::Rng;
use crate::run_files::Files;
use crate::schedule::Schedule;
use crate::settles::Settles;
use crate::stack::MULTIPATHING;
use crate::stacking::Told;
use crate::world::{Area, Content, Vg, World};
use pvwatch::conf::Settings;
use pvwatch::devno::DevNo;
use pvwatch::id::Id;
use pvwatch::online::{Listing, RunFiles};
use pvwatch::watcher::{Effect, Event, JobId, Publish, Report, Watcher};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

pub enum Pending {
    Event(Event),
    Answer(JobId, Option<Bytes>),
    Release(JobId),
    /// There is a reader for all jobs.
    RingReady,
    /// udev has looked at a path.
    Udev {
        devno: DevNo,
        diskseq: u64,
    },
    /// One area of a PV that a command writes; the last one closes the device.
    Write {
        devno: DevNo,
        number: u64,
        pv: u8,
        area: usize,
        to: Area,
        close: bool,
    },
    /// What a client sends.
    Piece(u64, Vec<u8>),
}

/// At one moment, for each device and VG that there is and for everything else.
const EFFECTS_EACH: usize = 24;
const EFFECTS_REST: usize = 48;

/// What comes within it may be told together.
const BREATH: Duration = Duration::from_millis(20);

const RING_STARTS_IN: Duration = Duration::from_millis(5);

const EMFILE: i32 = 24;

pub struct Sim {
    pub rng: Rng,
    pub watcher: Watcher,
    pub world: World,
    pub files: Files,
    /// For what others do to the run files, so that the rest of a seed's schedule is not changed.
    pub files_rng: Rng,
    /// Others have changed run files, of which nothing tells.
    pub meddled: bool,
    pub now: Duration,
    /// What commands take for the state of each VG.
    pub vgs: BTreeMap<u8, Rc<Vg>>,
    pub next_seqno: BTreeMap<u8, i64>,
    pub commands: usize,
    pub pending: BTreeMap<(Duration, u64), Pending>,
    next_pending: u64,
    pub jobs: BTreeMap<JobId, Job>,
    /// New jobs are for the reader that has all.
    pub has_ring: bool,
    pub hung: Vec<(JobId, DevNo)>,
    kinds: u64,
    /// What happened, if that is to be told.
    pub happened: RefCell<Vec<String>>,
    tell: bool,
    pub faults_are_over: bool,
    pub lost: bool,
    /// Where the bytes of each LUN are.
    pub luns: BTreeMap<u8, u32>,
    pub told: Told,
    pub cleared_outdated: bool,
    pub settles: Settles,
    pub clients: Clients,
    pub reads: Reads,
    /// Which PV is on which device, as far as that is known: hints that say otherwise are wrong.
    pub hinted: BTreeMap<DevNo, Id>,
    pub reasons: u64,
    pub last_seqnos: BTreeMap<Id, i64>,
    pub ready_at: Option<Duration>,
    pub activator: Activator,
}

impl Sim {
    pub fn new(schedule: &Schedule, tell: bool) -> Sim {
        let seed = schedule.seed;
        let mut rng = Rng::new(seed);
        // What clients say that is not so, several checks cannot tell from what the watcher makes up.
        let lies = LIES.iter().filter(|_| seed.is_multiple_of(4));
        let left_out = schedule.without.iter().chain(lies).fold(0, |bits, kind| bits | 1 << *kind as u32);
        let kinds = (rng.next() | rng.next()) & !left_out;
        let mut world = World::default();
        world.multipath = *rng.pick(&MULTIPATHING);
        let activator = Activator::new(seed, kinds & 1 << Kind::Restart as u32 != 0);
        let mut watcher = Watcher::new(activator.settings(world.multipath.settings()), 1, Duration::ZERO);
        watcher.set_publish(Publish::Everything);
        let mut files_rng = Rng::new(!seed);
        let mut files = Files::default();
        for _ in 0..files_rng.below(5) {
            files.meddle(&mut files_rng);
        }
        Sim {
            rng,
            watcher,
            world,
            files,
            files_rng,
            meddled: false,
            now: Duration::ZERO,
            vgs: BTreeMap::new(),
            next_seqno: BTreeMap::new(),
            commands: 0,
            pending: BTreeMap::new(),
            next_pending: 0,
            jobs: BTreeMap::new(),
            has_ring: false,
            hung: Vec::new(),
            kinds,
            happened: RefCell::default(),
            tell,
            faults_are_over: false,
            lost: false,
            luns: BTreeMap::new(),
            told: Told::default(),
            cleared_outdated: false,
            settles: Settles::default(),
            clients: Clients::default(),
            reads: Reads::default(),
            hinted: BTreeMap::new(),
            reasons: 0,
            last_seqnos: BTreeMap::new(),
            ready_at: None,
            activator,
        }
    }

    /// Another watcher, which knows nothing.
    pub fn begin_anew(&mut self, settings: Settings) {
        self.watcher = Watcher::new(settings, 1, self.now);
        self.watcher.set_publish(Publish::Everything);
        // Writers go on; what was on its way to the one before is lost.
        self.pending.retain(|_, pending| matches!(pending, Pending::Write { .. } | Pending::Udev { .. }));
        self.clients = Clients::default();
        self.reads = Reads::default();
        self.hinted.clear();
        self.jobs.clear();
        self.has_ring = false;
        self.hung.clear();
        self.world.disks.values_mut().for_each(|disk| disk.watched = false);
        self.told = Told::default();
        self.last_seqnos.clear();
        self.settles = Settles::default();
        self.reasons = 0;
        self.ready_at = None;
        self.expect_ring();
    }

    /// The daemon begins with single readers, until the one for all says that it is there.
    pub fn expect_ring(&mut self) {
        self.schedule(self.now + RING_STARTS_IN, Pending::RingReady);
    }

    pub fn allowed(&self, kind: Kind) -> bool {
        self.kinds & 1 << kind as u32 != 0
    }

    /// Whether a client may have said what is not on disk.
    pub fn clients_push(&self) -> bool {
        self.allowed(Kind::Push)
    }

    pub fn clients_meddle(&self) -> bool {
        self.allowed(Kind::Say) || self.allowed(Kind::Refill) || self.clients_push()
    }

    pub fn log(&self, what: fmt::Arguments) {
        if self.tell {
            self.happened.borrow_mut().push(format!("{:>9.3} {what}", self.now.as_secs_f64()));
        }
    }

    /// From here on chance is that of this act.
    pub fn begin_act(&mut self, schedule: &Schedule, act: u32) {
        self.rng = schedule.rng(act);
        self.files_rng = Rng::new(self.rng.next());
        self.activator.rng = Rng::new(self.rng.next());
        self.log(format_args!("-- {act}"));
    }

    pub fn schedule(&mut self, at: Duration, pending: Pending) {
        self.pending.insert((at.max(self.now), self.next_pending), pending);
        self.next_pending += 1;
    }

    pub fn soon(&mut self, max_ms: u64) -> Duration {
        self.now + Duration::from_micros(self.rng.below(max_ms * 1000))
    }

    pub fn run_until(&mut self, until: Duration) {
        let mut spins = 0;
        loop {
            self.pump();
            let due = self.pending.first_key_value().map(|((at, _), _)| *at);
            let timer = self.watcher.poll_timeout();
            let next = due.into_iter().chain(timer).min().filter(|at| *at <= until);
            let Some(next) = next else { break };
            spins = if next <= self.now { spins + 1 } else { 0 };
            assert!(spins < 2000, "it spins at {:?}", self.now);
            self.now = self.now.max(next);
            while self.pending.first_key_value().is_some_and(|((at, _), _)| *at <= self.now) {
                let (_, pending) = self.pending.pop_first().expect("it is due");
                self.deliver(pending);
                // Some of what comes soon after is told in one breath.
                match self.pending.first_key_value() {
                    Some(((at, _), _)) if *at <= until && *at < self.now + BREATH && self.rng.one_in(4) => {
                        self.now = self.now.max(*at);
                    }
                    _ => break,
                }
            }
            if self.watcher.poll_timeout().is_some_and(|at| at <= self.now) {
                // Each thing that is due is a reason to read some devices again.
                self.reasons += 1 + self.world.disks.len() as u64;
                self.watcher.handle_timeout(self.now);
            }
        }
        self.now = self.now.max(until);
    }

    pub fn deliver(&mut self, pending: Pending) {
        match pending {
            Pending::Event(event) => self.handle(event),
            Pending::Answer(job, captured) => self.answer(job, captured),
            Pending::Udev { devno, diskseq } => self.udev_says(devno, diskseq),
            Pending::Release(job) => {
                self.log(format_args!("reader {job} is gone"));
                self.handle(Event::ReaderReleased(job));
            }
            Pending::RingReady => self.begin_ring(),
            Pending::Piece(client, bytes) => self.receive(client, &bytes),
            Pending::Write { devno, number, pv, area, to, close } => {
                let Some(disk) = self.world.disks.get(&devno).filter(|disk| disk.number == number) else { return };
                let mut content = disk.content.clone();
                let same = disk.takes_writes() && content.pv() == Some(pv);
                if let (true, Content::Pv { areas, .. }) = (same, &mut content)
                    && let Some(place) = areas.get_mut(area)
                {
                    *place = to;
                    self.log(format_args!("write {devno} area {area}: {}", shown(&content)));
                    self.world.write(self.now, devno, content);
                }
                // Who could not write it closes it all the same.
                if close {
                    self.closed(devno);
                }
            }
        }
    }

    pub fn handle(&mut self, event: Event) {
        self.note_answer(&event);
        self.note_event(&event);
        self.reasons += match &event {
            Event::Resync(present) => present.len() as u64,
            Event::Touched { .. } | Event::ReaderDied(_) | Event::ReaderLost(_) | Event::ReaderReleased(_) => 1,
            // One lie of a device about its number is one more look at it.
            _ => 0,
        };
        self.tell_watcher(event);
    }

    pub fn tell_watcher(&mut self, event: Event) {
        self.watcher.handle(self.now, event);
        self.witness();
    }

    /// Carries out effects until there are none.
    pub fn pump(&mut self) {
        let mut effects = 0;
        while let Some(effect) = self.watcher.poll_effect(self.now) {
            self.carry_out(effect);
            effects += 1;
            let each = self.watcher.devices().len() + self.world.disks.len() + self.watcher.cache().vg_count();
            let most = EFFECTS_EACH * each + EFFECTS_REST;
            assert!(effects <= most, "more than {most} effects at {:?}", self.now);
        }
        self.witness();
        self.note_there();
        self.activator.witnessed.settle();
        self.check_served();
        self.check_published();
        self.check_seqnos();
    }

    /// Whether something cannot be had, for want of descriptors or processes.
    fn is_blind(&mut self, n: u64) -> bool {
        let is_blind = !self.faults_are_over && self.allowed(Kind::Blind) && self.rng.one_in(n);
        if is_blind {
            self.log(format_args!("what is asked for next cannot be had"));
        }
        is_blind
    }

    fn carry_out(&mut self, effect: Effect) {
        self.witness();
        match effect {
            Effect::ReadUsage => self.tell_watcher(Event::Usage(self.world.usage())),
            Effect::Enumerate if self.is_blind(4) => self.handle(Event::NoResync),
            Effect::Enumerate => {
                let present = self.world.disks.keys().copied().collect();
                self.handle(Event::Resync(present));
            }
            Effect::Examine(devno) if self.is_blind(12) => {
                // Another path to the disk may be taken for it, which makes VGs complete as any look does.
                self.activator.witnessed.note_look();
                self.handle(Event::NoFacts { devno, errno: EMFILE });
            }
            Effect::Examine(devno) => {
                let facts = self.world.facts(devno);
                self.tell(devno, facts.as_ref());
                let found = facts.map(|facts| (facts, vec![format!("/dev/d{}", devno.minor)]));
                self.activator.witnessed.note_look();
                self.note_answered(devno);
                self.tell_watcher(Event::Facts { devno, found });
                self.note_held_back(devno);
            }
            Effect::Watch { devno, .. } => self.set_watched(devno, true),
            Effect::Unwatch(devno) => self.set_watched(devno, false),
            Effect::Open { job, devno, length, .. } => {
                self.check_open(devno);
                if self.is_blind(16) {
                    return self.handle(Event::NoReader { job, errno: EMFILE });
                }
                self.open(job, devno, length);
            }
            Effect::Read { job, ranges } => self.go_on_reading(job, ranges),
            Effect::Close(job) => {
                self.jobs.remove(&job);
            }
            Effect::Abandon(job) => {
                self.log(format_args!("    give up reader {job}"));
                if let Some(Job { devno, .. }) = self.jobs.remove(&job) {
                    self.hung.push((job, devno));
                    self.let_go();
                }
            }
            Effect::Publish(change) => {
                let result = change.make(&mut self.files).map_err(|_| "broken".to_owned());
                self.activator.files_doubtful |= result.is_err();
                self.watcher.handle(self.now, Event::Published(result));
            }
            Effect::ListRunFiles => {
                let result = Listing::read(&self.files).map_err(|_| "broken".to_owned());
                self.watcher.handle(self.now, Event::RunFiles(result));
            }
            Effect::InvalidateHints => {
                let result = self.files.invalidate_hints().map_err(|_| "broken".to_owned());
                self.watcher.handle(self.now, Event::HintsInvalidated(result));
            }
            Effect::Awaited(id) => self.check_settled(id, None),
            Effect::Settled { id, quarantined } => self.check_settled(id, Some(&quarantined)),
            effect @ (Effect::AskUdev(_)
            | Effect::Offer(_)
            | Effect::ForgetOffer(_)
            | Effect::WithdrawOffer { .. }
            | Effect::Activate(_)
            | Effect::EndActivation(_)) => self.carry_out_activation(effect),
            Effect::Pause => {}
            Effect::Ready => {
                assert!(self.ready_at.is_none(), "ready twice");
                self.ready_at = Some(self.now);
            }
            Effect::Report(report) => {
                if let Report::Outdated { pvid, vgid, .. } = &report {
                    self.check_outdated(pvid, *vgid);
                }
                self.log(format_args!("    {report}"));
            }
        }
    }

    fn set_watched(&mut self, devno: DevNo, watched: bool) {
        if let Some(disk) = self.world.disks.get_mut(&devno) {
            disk.watched = watched;
        }
    }
}

pub fn shown(content: &Content) -> String {
    match content.shown() {
        None => "nothing".to_owned(),
        Some((pv, None)) => format!("PV {pv}"),
        Some((pv, Some((vg, seqno)))) => format!("PV {pv} of VG {vg} at {seqno}"),
    }
}
