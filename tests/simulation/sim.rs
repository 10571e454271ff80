//! Drives the watcher as the daemon does, and the world under it.

use crate::activation::Activator;
use crate::oracle::choose;
use crate::rng::Rng;
use crate::run_files::Files;
use crate::stack::{MULTIPATHING, Sort};
use crate::stacking::Told;
use crate::world::{Area, Content, Disk, Fault, SIZE, Shown, Vg, World, pvid, size_of};
use pvwatch::conf::Settings;
use pvwatch::device::Present;
use pvwatch::devno::DevNo;
use pvwatch::id::Id;
use pvwatch::online::{Listing, RunFiles};
use pvwatch::scan::Pv;
use pvwatch::watcher::{Cause, Effect, Event, JobId, Opened, Publish, Report, Watcher};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

/// Kinds of steps, and traits of the world; each seed leaves some out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Kind {
    Add,
    Remove,
    Overwrite,
    Commit,
    Rename,
    VgRemove,
    VgReduce,
    Torn,
    Copy,
    Swap,
    Detach,
    Reuse,
    Fault,
    Heal,
    Suspend,
    Ask,
    Say,
    Push,
    Refill,
    Noise,
    Jump,
    Enumerate,
    /// Uevents that never come, and changes without any.
    Lose,
    Repeat,
    Slow,
    TwoAreas,
    Udevd,
    /// Disks that are members of arrays, and the arrays.
    Arrays,
    /// Others change the run files.
    Meddle,
    /// Several paths to one disk, and the maps that multipath makes of them.
    Paths,
    Partitions,
    /// LVs become active.
    Lvs,
    /// Snapshots, and other devices that show a disk again.
    Copies,
    Mounts,
}

/// What happens to devices that lie on each other.
const STACKING: [Kind; 6] = [Kind::Paths, Kind::Partitions, Kind::Arrays, Kind::Lvs, Kind::Copies, Kind::Mounts];

const STEPS: [Kind; 29] = [
    Kind::Add,
    Kind::Remove,
    Kind::Overwrite,
    Kind::Commit,
    Kind::Commit,
    Kind::Rename,
    Kind::VgRemove,
    Kind::VgReduce,
    Kind::Torn,
    Kind::Copy,
    Kind::Swap,
    Kind::Detach,
    Kind::Reuse,
    Kind::Fault,
    Kind::Heal,
    Kind::Suspend,
    Kind::Ask,
    Kind::Say,
    Kind::Push,
    Kind::Refill,
    Kind::Jump,
    Kind::Enumerate,
    Kind::Paths,
    Kind::Paths,
    Kind::Partitions,
    Kind::Arrays,
    Kind::Lvs,
    Kind::Copies,
    Kind::Mounts,
];

/// What a reader got: the diskseq, and bytes or an errno.
type Bytes = (Option<u64>, Result<Vec<u8>, i32>);

pub enum Pending {
    Event(Event),
    Answer(JobId, Option<Bytes>),
    Release(JobId),
    /// udev has looked at a path.
    Udev {
        devno: DevNo,
        diskseq: u64,
    },
    /// One area of a PV that a command writes; the last one closes the device.
    Write {
        devno: DevNo,
        diskseq: u64,
        pv: u8,
        area: usize,
        to: Area,
        close: bool,
    },
    Request(String),
}

struct Job {
    devno: DevNo,
    /// Offset and length of what it was asked last, if it owes the answer.
    asked: Option<(u64, usize)>,
    opened: bool,
}

/// Longest an answer takes that comes.
const ANSWER_MS: u64 = 60;
/// Nothing here needs more effects at one moment.
const EFFECTS_MAX: usize = 20_000;

pub struct Sim {
    pub rng: Rng,
    pub watcher: Watcher,
    pub world: World,
    pub files: Files,
    /// For what others do to the run files, so that the rest of a seed's schedule is not changed.
    files_rng: Rng,
    /// Others have changed run files, of which nothing tells.
    meddled: bool,
    pub now: Duration,
    /// What commands take for the state of each VG.
    pub vgs: BTreeMap<u8, Rc<Vg>>,
    next_seqno: BTreeMap<u8, i64>,
    commands: usize,
    pending: BTreeMap<(Duration, u64), Pending>,
    next_pending: u64,
    jobs: BTreeMap<JobId, Job>,
    hung: Vec<(JobId, DevNo)>,
    kinds: u64,
    pub schedule: Vec<String>,
    pub lost: bool,
    /// Where the bytes of each LUN are.
    pub luns: BTreeMap<u8, u32>,
    pub told: Told,
    pub cleared_outdated: bool,
    settled: BTreeSet<u64>,
    pub reasons: u64,
    last_seqnos: BTreeMap<Id, i64>,
    pub ready_at: Option<Duration>,
    pub activator: Activator,
}

impl Sim {
    pub fn new(seed: u64) -> Sim {
        let mut rng = Rng::new(seed);
        let kinds = rng.next() | rng.next();
        let mut world = World::default();
        world.multipath = *rng.pick(&MULTIPATHING);
        let activator = Activator::new(seed);
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
            hung: Vec::new(),
            kinds,
            schedule: Vec::new(),
            lost: false,
            luns: BTreeMap::new(),
            told: Told::default(),
            cleared_outdated: false,
            settled: BTreeSet::new(),
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
        // Writers and clients go on; what was on its way to the one before is lost.
        self.pending
            .retain(|_, pending| matches!(pending, Pending::Write { .. } | Pending::Udev { .. } | Pending::Request(_)));
        self.jobs.clear();
        self.hung.clear();
        self.world.disks.values_mut().for_each(|disk| disk.watched = false);
        self.told = Told::default();
        self.last_seqnos.clear();
        self.settled.clear();
        self.reasons = 0;
        self.ready_at = None;
    }

    pub fn allowed(&self, kind: Kind) -> bool {
        self.kinds & 1 << kind as u32 != 0
    }

    /// Whether a client may have said what is not on disk.
    fn clients_push(&self) -> bool {
        self.allowed(Kind::Push)
    }

    pub fn clients_meddle(&self) -> bool {
        self.allowed(Kind::Say) || self.allowed(Kind::Refill) || self.clients_push()
    }

    pub fn log(&mut self, what: &str) {
        self.schedule.push(format!("{:>9.3} {what}", self.now.as_secs_f64()));
    }

    pub fn schedule(&mut self, at: Duration, pending: Pending) {
        self.pending.insert((at.max(self.now), self.next_pending), pending);
        self.next_pending += 1;
    }

    pub fn soon(&mut self, max_ms: u64) -> Duration {
        self.now + Duration::from_micros(self.rng.below(max_ms * 1000))
    }

    // Events of the kernel and of inotify.

    pub fn uevent(&mut self, devno: DevNo, action: &'static str) {
        self.announce(devno, Cause::Uevent(action));
    }

    fn announce(&mut self, devno: DevNo, cause: Cause) {
        let copies = if self.allowed(Kind::Repeat) { 1 + self.rng.below(2) } else { 1 };
        for _ in 0..copies {
            let at = self.soon(if self.allowed(Kind::Slow) { 3000 } else { 20 });
            if self.allowed(Kind::Lose) && self.rng.one_in(4) {
                // The kernel says so, at some time, or it was never to come.
                self.lost = true;
                if self.rng.one_in(2) {
                    self.schedule(at, Pending::Event(Event::Lost("uevents")));
                }
            } else {
                self.schedule(at, Pending::Event(Event::Touched { devno, cause }));
            }
        }
    }

    /// A writer has closed the device.
    pub fn closed(&mut self, devno: DevNo) {
        let written = self.world.disks.get(&devno).map(|disk| (disk.store, disk.content.pv()));
        let is_news = |(other, disk): (&DevNo, &Disk)| {
            *other != devno
                && written.is_some_and(|(store, _)| disk.store == store)
                && written.map(|(_, pv)| pv.map(pvid))
                    != self.watcher.devices().get(other).map(|device| device.pv().map(|pv| pv.id))
        };
        // Whoever knows of a PV looks for it on other devices, but what else has become one is not known.
        self.lost |= self.world.disks.iter().any(is_news);
        if self.world.disks.get(&devno).is_some_and(|disk| disk.watched) {
            let partitions = self.world.partitions(devno).map(|(partition, _)| partition);
            let disk = self.world.disks[&devno].on.first().filter(|_| self.world.disks[&devno].is_partition());
            for devno in partitions.chain(disk.copied()).chain([devno]).collect::<Vec<_>>() {
                self.announce(devno, Cause::Written);
            }
            if self.allowed(Kind::Udevd) {
                let at = self.soon(1200);
                self.schedule(at, Pending::Event(Event::Touched { devno, cause: Cause::Echo }));
            }
        } else if self.watcher.devices().get(&devno).is_some_and(|device| device.seen.is_some()) {
            // Only what happens before the first read goes unseen.
            self.lost = true;
        } else {
            // A path of a map is not watched, and nothing tells of the map what is written to it.
            let shows_it = |(other, disk): (&DevNo, &Disk)| {
                *other != devno
                    && written.is_some_and(|(store, _)| disk.store == store)
                    && self.watcher.devices().get(other).is_some_and(|device| device.seen.is_some())
            };
            self.lost |= self.world.disks.iter().any(shows_it);
        }
    }

    // The world's doings.

    pub fn write(&mut self, devno: DevNo, content: Content) {
        self.world.write(self.now, devno, content);
        self.closed(devno);
    }

    /// The disks that are there before the watcher.
    pub fn populate(&mut self) {
        for minor in 0..self.rng.small(6) {
            self.add(DevNo::new(8, minor.into()));
        }
        let stacking = STACKING.into_iter().filter(|kind| self.allowed(*kind)).collect::<Vec<_>>();
        for _ in 0..self.rng.below(8) {
            if !stacking.is_empty() {
                let kind = *self.rng.pick(&stacking);
                self.stack_step(kind);
            }
        }
        for _ in 0..self.rng.below(4) {
            self.command(Kind::Commit);
        }
        while let Some((_, pending)) = self.pending.pop_first() {
            if let Pending::Write { .. } | Pending::Udev { .. } = pending {
                self.deliver(pending);
            }
        }
        self.lost = false;
    }

    pub fn step(&mut self) {
        let kinds = STEPS.into_iter().filter(|kind| self.allowed(*kind)).collect::<Vec<_>>();
        if kinds.is_empty() {
            return;
        }
        let kind = *self.rng.pick(&kinds);
        let devno = self.some_devno();
        let there = self.world.disks.keys().copied().collect::<Vec<_>>();
        let present = if there.is_empty() { devno } else { *self.rng.pick(&there) };
        let is_writable = |devno: &DevNo| self.world.disks.get(devno).is_some_and(Disk::is_writable);
        // What something lies on does not go away under it here.
        let is_alone = |devno: &DevNo| {
            let sort = self.world.disks.get(devno).map(|disk| disk.sort);
            sort == Some(Sort::Disk) && is_writable(devno) && self.world.holders(*devno).next().is_none()
        };
        match kind {
            Kind::Add => self.add(devno),
            Kind::Remove | Kind::Detach if !is_alone(&present) => {}
            Kind::Reuse if !is_alone(&devno) => {}
            Kind::Overwrite | Kind::Copy if !is_writable(&present) => {}
            Kind::Swap if !is_writable(&present) || !is_writable(&devno) => {}
            Kind::Remove => self.remove(present),
            Kind::Overwrite => {
                let content = self.fresh_content();
                self.log(&format!("overwrite {present} with {}", shown(&content)));
                self.write(present, content);
            }
            Kind::Commit | Kind::Rename | Kind::VgReduce | Kind::Torn => self.command(kind),
            Kind::VgRemove => self.vg_remove(),
            Kind::Copy => {
                if let Some(content) = self.world.disks.get(&present).map(|disk| disk.content.clone()) {
                    self.log(&format!("copy {present} to {devno}"));
                    self.write(devno, content);
                }
            }
            Kind::Swap => self.swap(present, devno),
            Kind::Detach => self.detach(present),
            Kind::Reuse => {
                if self.world.disks.contains_key(&devno) {
                    let content = self.fresh_content();
                    self.log(&format!("{devno} becomes another disk with {}", shown(&content)));
                    self.world.insert(self.now, devno, size_of(devno), content);
                    self.let_go();
                    self.uevent(devno, "remove");
                    self.uevent(devno, "add");
                }
            }
            Kind::Fault => self.break_disk(present),
            Kind::Heal => self.heal(present),
            Kind::Suspend => {
                if let Some(disk) = self.world.disks.get_mut(&present) {
                    disk.suspended = !disk.suspended;
                    let suspended = disk.suspended;
                    self.log(&format!("{present} suspended: {suspended}"));
                    // Suspending says nothing, resuming does.
                    if !suspended || self.rng.one_in(3) {
                        self.uevent(present, "change");
                    }
                }
            }
            Kind::Jump => {
                self.log("the clock jumps");
                self.now += Duration::from_secs(1 + self.rng.below(100));
            }
            Kind::Enumerate => {
                self.log("everything is asked for");
                self.watcher.rescan_all();
            }
            kind if STACKING.contains(&kind) => self.stack_step(kind),
            _ => self.client(),
        }
        self.meddle();
        self.activation_step();
        self.pump();
        let pause = match self.rng.below(4) {
            0 => 0,
            1 => 30,
            2 => 1500,
            _ => 8000,
        };
        let until = self.now + Duration::from_millis(self.rng.below(pause + 1));
        self.run_until(until);
    }

    /// What others do to the run files.
    fn meddle(&mut self) {
        match self.files_rng.below(12) {
            0 if self.allowed(Kind::Meddle) => {
                self.files.meddle(&mut self.files_rng);
                self.activator.files_doubtful = true;
                self.meddled = true;
            }
            1 => self.files.broken = !self.files.broken,
            2 => self.files.hints_in_the_making = !self.files.hints_in_the_making,
            _ => return,
        }
        let Files { broken, hints_in_the_making, .. } = self.files;
        self.log(&format!("run files are meddled with; broken: {broken}, hints locked: {hints_in_the_making}"));
    }

    fn add(&mut self, devno: DevNo) {
        if self.world.disks.contains_key(&devno) {
            return;
        }
        let content = self.fresh_content();
        self.log(&format!("add {devno} with {}", shown(&content)));
        let size = if self.rng.one_in(12) { 1 << 20 } else { size_of(devno) };
        self.world.insert(self.now, devno, size, content);
        if self.allowed(Kind::Lose) && self.rng.one_in(6) {
            self.lost = true;
        } else {
            self.uevent(devno, "add");
        }
    }

    fn remove(&mut self, devno: DevNo) {
        if self.world.disks.contains_key(&devno) {
            self.log(&format!("remove {devno}"));
            self.world.remove(self.now, devno);
            self.let_go();
            if self.allowed(Kind::Lose) && self.rng.one_in(6) {
                self.lost = true;
            } else {
                self.uevent(devno, "remove");
            }
        }
    }

    fn detach(&mut self, devno: DevNo) {
        let Some(disk) = self.world.disks.get(&devno) else { return };
        let (size, content) = (disk.size, disk.content.clone());
        if size == 0 {
            self.log(&format!("attach {devno}"));
            self.world.insert(self.now, devno, size_of(devno), content);
        } else {
            self.log(&format!("detach {devno}"));
            self.world.insert(self.now, devno, 0, content);
        }
        self.let_go();
        self.uevent(devno, "change");
    }

    fn swap(&mut self, one: DevNo, other: DevNo) {
        let content = |devno: &DevNo| self.world.disks.get(devno).map(|disk| disk.content.clone());
        if let (Some(first), Some(second)) = (content(&one), content(&other))
            && one != other
        {
            self.log(&format!("swap {one} and {other}"));
            self.write(one, second);
            self.write(other, first);
        }
    }

    pub fn fresh_content(&mut self) -> Content {
        if self.rng.one_in(4) {
            return Content::Blank;
        }
        // Most PVs are made once: a copy is a step of its own.
        let taken = self.world.disks.values().filter_map(|disk| disk.content.pv()).collect::<BTreeSet<_>>();
        let pv = (0..6).find(|pv| !taken.contains(pv)).unwrap_or(0);
        if self.rng.one_in(16) {
            return Content::Partitioned(pv);
        }
        let areas = match self.rng.below(8) {
            0 => 0,
            1..3 if self.allowed(Kind::TwoAreas) => 2,
            _ => 1,
        };
        let back = self.vgs.values().find(|vg| vg.pvs.contains(&pv)).cloned();
        let area = match back {
            // It was away, and comes back as it is by now or as it was then.
            Some(vg) if self.rng.one_in(2) => Area::Text(vg),
            Some(vg) if vg.seqno > 1 && self.rng.one_in(2) => {
                Area::Text(Rc::new(Vg { seqno: vg.seqno - 1, pvs: vg.pvs.clone(), on: vg.on.clone(), ..*vg }))
            }
            _ => Area::Empty,
        };
        let areas = vec![area; areas];
        if !self.allowed(Kind::Arrays) {
            return Content::Pv { pv, areas };
        }
        match self.rng.below(8) {
            0 => Content::Member { version: "0.90", pv, areas },
            1 => {
                let version = ["1.0", "ddf", "imsm", "asr"][usize::from(pv % 4)];
                Content::Member { version, pv, areas }
            }
            _ => Content::Pv { pv, areas },
        }
    }

    /// A command changes a VG, or makes one: each PV is written in turn, while the world goes on.
    fn command(&mut self, kind: Kind) {
        self.commands += 1;
        let id = self.rng.small(4);
        let there = self.world.disks.values().filter(|disk| disk.size >= SIZE);
        let there = there.filter_map(|disk| disk.content.pv()).collect::<BTreeSet<_>>();
        let in_others =
            self.vgs.values().filter(|vg| vg.id != id).flat_map(|vg| vg.pvs.clone()).collect::<BTreeSet<_>>();
        let mut vg = match self.vgs.get(&id) {
            Some(vg) => Vg { seqno: 0, pvs: vg.pvs.clone(), on: Vec::new(), ..**vg },
            None => {
                let name = if self.allowed(Kind::Rename) { self.rng.small(4) } else { id };
                Vg { id, name, seqno: 0, pvs: Vec::new(), variant: 0, on: Vec::new() }
            }
        };
        let members = vg.pvs.clone();
        let free =
            there.iter().copied().filter(|pv| !in_others.contains(pv) && !vg.pvs.contains(pv)).collect::<Vec<_>>();
        if vg.pvs.is_empty() || (!free.is_empty() && self.rng.one_in(2)) {
            let Some(first) = free.first() else { return };
            vg.pvs.push(*first);
            vg.pvs.extend(free.get(1).filter(|_| self.rng.one_in(2)));
        } else if kind == Kind::VgReduce && vg.pvs.len() > 1 {
            let at = self.rng.index(vg.pvs.len());
            vg.pvs.remove(at);
        }
        if !vg.pvs.iter().any(|pv| there.contains(pv)) {
            return;
        }
        if kind == Kind::Rename {
            vg.name = self.rng.small(4);
        }
        vg.variant = self.rng.small(4);
        vg.on = vg.pvs.iter().map(|pv| self.disk_of(*pv).map_or(9, |devno| devno.minor)).collect();
        let seqno = self.next_seqno.entry(id).or_default();
        *seqno += 1;
        vg.seqno = *seqno;
        let vg = Rc::new(vg);
        self.vgs.insert(id, Rc::clone(&vg));
        self.log(&format!("commit {vg:?}"));
        let mut at = self.now;
        for pv in &vg.pvs {
            self.write_pv(&mut at, *pv, &Area::Text(Rc::clone(&vg)), kind == Kind::Torn);
        }
        for pv in members.iter().filter(|pv| !vg.pvs.contains(pv)) {
            // It is out of the VG; that it is told so does not always work out.
            if !self.rng.one_in(3) {
                self.write_pv(&mut at, *pv, &Area::Empty, false);
            }
        }
    }

    fn vg_remove(&mut self) {
        let ids = self.vgs.keys().copied().collect::<Vec<_>>();
        if ids.is_empty() {
            return;
        }
        let id = *self.rng.pick(&ids);
        let vg = self.vgs.remove(&id).expect("picked from it");
        self.log(&format!("vgremove {id}"));
        let mut at = self.now;
        for pv in &vg.pvs {
            self.write_pv(&mut at, *pv, &Area::Empty, false);
        }
    }

    fn write_pv(&mut self, at: &mut Duration, pv: u8, to: &Area, torn: bool) {
        let Some(devno) = self.disk_of(pv) else { return };
        let disk = &self.world.disks[&devno];
        let diskseq = disk.diskseq;
        let Content::Pv { areas, .. } = &disk.content else { return };
        let count = areas.len();
        for area in 0..count {
            if let (true, Area::Text(vg)) = (torn, to) {
                let to = Area::Torn(Rc::clone(vg));
                let close = self.rng.one_in(3);
                self.schedule(*at, Pending::Write { devno, diskseq, pv, area, to, close });
                *at += self.gap();
            }
            let close = area + 1 == count;
            self.schedule(*at, Pending::Write { devno, diskseq, pv, area, to: to.clone(), close });
            *at += self.gap();
        }
    }

    /// Of copies, a command writes one, and the next command maybe another.
    fn disk_of(&self, pv: u8) -> Option<DevNo> {
        let choice = choose(&self.world, pv);
        let copies = choice.devnos();
        (!copies.is_empty()).then(|| copies[self.commands % copies.len()])
    }

    fn gap(&mut self) -> Duration {
        let max = if self.allowed(Kind::Slow) { 4000 } else { 100 };
        Duration::from_millis(self.rng.below(max))
    }

    fn break_disk(&mut self, devno: DevNo) {
        let faults = [
            Fault::OpenFails,
            Fault::Eio,
            Fault::EioBehindHead,
            Fault::Short,
            Fault::Hangs,
            Fault::Hangs,
            Fault::Kills,
        ];
        let fault = *self.rng.pick(&faults);
        let now = self.now;
        if let Some(disk) = self.world.disks.get_mut(&devno) {
            disk.fault = Some(fault);
            disk.since = now;
            self.log(&format!("{devno} has {fault:?}"));
            if self.rng.one_in(2) {
                self.uevent(devno, "change");
            }
        }
    }

    fn heal(&mut self, devno: DevNo) {
        let now = self.now;
        let Some(disk) = self.world.disks.get_mut(&devno) else { return };
        if let Some(fault) = disk.fault.take() {
            disk.since = now;
            self.log(&format!("{devno} has no more {fault:?}"));
        }
        self.let_go();
    }

    /// Readers that hung on a disk that hangs no more, or is gone, come back.
    pub fn let_go(&mut self) {
        let hangs = |devno: &DevNo| self.world.disks.get(devno).is_some_and(|disk| disk.fault == Some(Fault::Hangs));
        let (still, free): (Vec<_>, Vec<_>) = self.hung.iter().copied().partition(|(_, devno)| hangs(devno));
        let jobs = self.jobs.iter().filter(|(_, job)| job.asked.is_some() && !hangs(&job.devno)).map(|(id, _)| *id);
        let jobs = jobs.collect::<Vec<_>>();
        self.hung = still;
        for (job, _) in free {
            let at = self.soon(ANSWER_MS);
            self.schedule(at, Pending::Release(job));
        }
        for job in jobs {
            let answered = self.pending.values().any(|pending| matches!(pending, Pending::Answer(id, _) if *id == job));
            if !answered {
                let at = self.soon(ANSWER_MS);
                self.schedule(at, Pending::Answer(job, None));
            }
        }
    }

    // Time.

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
            if due.is_some_and(|at| at <= self.now) {
                let (_, pending) = self.pending.pop_first().expect("it is due");
                self.deliver(pending);
            }
            if self.watcher.poll_timeout().is_some_and(|at| at <= self.now) {
                // Each thing that is due is a reason to read some devices again.
                self.reasons += 1 + self.world.disks.len() as u64;
                self.watcher.handle_timeout(self.now);
            }
        }
        self.now = self.now.max(until);
    }

    fn deliver(&mut self, pending: Pending) {
        match pending {
            Pending::Event(event) => self.handle(event),
            Pending::Answer(job, captured) => self.answer(job, captured),
            Pending::Udev { devno, diskseq } => self.udev_says(devno, diskseq),
            Pending::Release(job) => self.handle(Event::ReaderReleased(job)),
            Pending::Request(request) => {
                self.log(&format!("later: {}", request.replace('\n', " ")));
                self.send(&[request]);
            }
            Pending::Write { devno, diskseq, pv, area, to, close } => {
                let Some(disk) = self.world.disks.get(&devno) else { return };
                let mut content = disk.content.clone();
                let same = disk.diskseq == diskseq && content.pv() == Some(pv);
                if let (true, Content::Pv { areas, .. }) = (same, &mut content)
                    && let Some(place) = areas.get_mut(area)
                {
                    *place = to;
                    self.log(&format!("write {devno} area {area}: {}", shown(&content)));
                    self.world.write(self.now, devno, content);
                    if close {
                        self.closed(devno);
                    }
                }
            }
        }
    }

    fn handle(&mut self, event: Event) {
        self.note_answer(&event);
        self.reasons += match &event {
            Event::Resync(present) => present.len() as u64,
            Event::Touched { .. } | Event::ReaderDied(_) | Event::ReaderReleased(_) => 1,
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
        for _ in 0..EFFECTS_MAX {
            match self.watcher.poll_effect(self.now) {
                Some(effect) => self.carry_out(effect),
                None => {
                    self.witness();
                    self.activator.witnessed.settle();
                    self.check_served();
                    return self.check_seqnos();
                }
            }
        }
        panic!("there is no end of effects at {:?}", self.now);
    }

    fn carry_out(&mut self, effect: Effect) {
        self.witness();
        match effect {
            Effect::ReadUsage => self.tell_watcher(Event::Usage(self.world.usage())),
            Effect::Enumerate => {
                let present = self.world.disks.keys();
                let present =
                    present.filter_map(|devno| Some(Present { devno: *devno, facts: self.world.facts(*devno)? }));
                let present = present.collect();
                self.handle(Event::Resync(present));
            }
            Effect::Examine(devno) => {
                let facts = self.world.facts(devno);
                self.tell(devno, facts.as_ref());
                let found = facts.map(|facts| (facts, vec![format!("/dev/d{}", devno.minor)]));
                self.tell_watcher(Event::Facts { devno, found });
            }
            Effect::Watch { devno, .. } => self.set_watched(devno, true),
            Effect::Unwatch(devno) => self.set_watched(devno, false),
            Effect::Open { job, devno, length, .. } => {
                self.check_open(devno);
                self.jobs.insert(job, Job { devno, asked: Some((0, length)), opened: false });
                self.ask_reader(job);
            }
            Effect::Read { job, range } => {
                self.jobs.get_mut(&job).expect("only an open job reads").asked = Some((range.offset, range.length));
                self.ask_reader(job);
            }
            Effect::Close(job) => {
                self.jobs.remove(&job);
            }
            Effect::Abandon(job) => {
                if let Some(job_) = self.jobs.remove(&job) {
                    self.hung.push((job, job_.devno));
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
            Effect::Awaited(id) => assert!(self.settled.insert(id), "settled twice"),
            Effect::Settled { id, .. } => assert!(self.settled.insert(id), "settled twice"),
            effect @ (Effect::AskUdev(_)
            | Effect::Offer(_)
            | Effect::ForgetOffer(_)
            | Effect::WithdrawOffer { .. }
            | Effect::Activate(_)
            | Effect::EndActivation(_)) => self.carry_out_activation(effect),
            Effect::Ready => {
                assert!(self.ready_at.is_none(), "ready twice");
                self.ready_at = Some(self.now);
            }
            Effect::Report(report) => {
                if let Report::Outdated { pvid, vgid, .. } = &report {
                    self.check_outdated(pvid, *vgid);
                }
                // What a client says changes no disk, and of copies commands make no hints.
                if let Report::Found { pvid, .. } | Report::Gone { pvid, .. } = &report {
                    let pvid = Id::from_hyphenated(pvid).expect("one of ours");
                    self.files.hints_wrong |= !self.clients_meddle() && self.watcher.copies(pvid).count() < 2;
                }
                self.log(&format!("    {report}"));
            }
        }
    }

    fn set_watched(&mut self, devno: DevNo, watched: bool) {
        if let Some(disk) = self.world.disks.get_mut(&devno) {
            disk.watched = watched;
        }
    }

    // Readers.

    fn ask_reader(&mut self, id: JobId) {
        let devno = self.jobs[&id].devno;
        if self.world.disks.get(&devno).is_some_and(|disk| disk.fault == Some(Fault::Hangs)) {
            return;
        }
        let captured = if self.rng.one_in(2) { Some(self.read(id)) } else { None };
        let at = self.soon(ANSWER_MS);
        self.schedule(at, Pending::Answer(id, captured));
    }

    fn read(&self, id: JobId) -> Bytes {
        const ENXIO: i32 = 6;
        let job = &self.jobs[&id];
        let (offset, length) = job.asked.expect("it owes an answer");
        match self.world.disks.get(&job.devno) {
            None => (None, Err(ENXIO)),
            Some(disk) if !job.opened && disk.fault == Some(Fault::OpenFails) => (None, Err(ENXIO)),
            Some(disk) => (self.world.diskseq(disk), disk.read(offset, length)),
        }
    }

    fn answer(&mut self, id: JobId, captured: Option<Bytes>) {
        let Some(job) = self.jobs.get(&id) else { return };
        let disk = self.world.disks.get(&job.devno);
        match disk.and_then(|disk| disk.fault) {
            Some(Fault::Hangs) if captured.is_none() => return,
            Some(Fault::Kills) => {
                self.jobs.remove(&id);
                return self.handle(Event::ReaderDied(id));
            }
            _ => {}
        }
        let size = disk.map_or(SIZE, |disk| disk.size);
        let (diskseq, result) = captured.unwrap_or_else(|| self.read(id));
        let job = self.jobs.get_mut(&id).expect("found above");
        job.asked = None;
        if job.opened {
            return self.handle(Event::Data { job: id, diskseq, result });
        }
        job.opened = true;
        let result = match (diskseq, result) {
            (None, Err(errno)) => Err(errno),
            (diskseq, Ok(head)) => Ok(Opened { size, diskseq, head }),
            (_, Err(errno)) => Err(errno),
        };
        self.handle(Event::Opened { job: id, result });
    }

    // What must hold at every moment.

    /// A PV is reported only if it was older on disk than another for a second.
    fn check_outdated(&self, wire_pvid: &[u8], vgid: Id) {
        if self.clients_push() {
            return;
        }
        let second = Duration::from_secs(1);
        // What is reported is as old as the reads that show it. Of a PV that a client took away, only
        // its own read is new: what it is older than may have been read long before, and what has
        // happened to that since without a sign is not known.
        let reads = self.watcher.devices().values();
        let reads = reads.filter_map(|device| Some((device.pv()?, device.seen.as_ref()?.started)));
        let own = reads.clone().filter(|(pv, _)| pv.id.hyphenated() == wire_pvid);
        let seqno = |pv: &Pv| pv.vg.as_ref().filter(|text| text.vgid == vgid).map(|text| text.seqno);
        let own_seqno = own.clone().filter_map(|(pv, _)| seqno(pv)).min().expect("it was read");
        let newer = reads.filter(|(pv, _)| seqno(pv).is_some_and(|seqno| seqno > own_seqno));
        let recent = own.chain(newer).map(|(_, started)| started).min().expect("it was read");
        // A write of the same moment may have come after the read.
        let recent = recent.saturating_sub(Duration::from_nanos(1));
        let vg = (0..10).find(|vg| crate::world::vgid(*vg) == vgid).expect("one of ours");
        let older = |devno: DevNo, at: Duration| match self.world.shown_at(devno, at) {
            Some((pv, Some((id, seqno)))) if id == vg && pvid(pv).hyphenated() == wire_pvid => Some(seqno),
            _ => None,
        };
        let newer_than = |seqno: i64, at: Duration| {
            let shown = self.world.history.keys().map(|devno| self.world.shown_at(*devno, at));
            shown
                .into_iter()
                .any(|shown: Shown| matches!(shown, Some((_, Some((id, other)))) if id == vg && other > seqno))
        };
        let was_older = |at: Duration| {
            let mut devnos = self.world.history.keys();
            devnos.any(|devno| older(*devno, at).is_some_and(|seqno| newer_than(seqno, at)))
        };
        let later = self.world.moments(recent).into_iter().any(was_older);
        let earlier = self.now >= second
            && self.world.moments(Duration::ZERO).into_iter().any(|at| at + second <= self.now && was_older(at));
        assert!(later && earlier, "{} is reported outdated and is not", wire_pvid.escape_ascii());
    }

    /// No VG goes back while what it was is on a disk that nothing has happened to.
    fn check_seqnos(&mut self) {
        let cache = self.watcher.cache();
        let now: BTreeMap<_, _> = cache.vgs().filter_map(|vg| Some((Id::parse(vg.vgid)?, vg.seqno()))).collect();
        if !self.clients_meddle() {
            for (vgid, before) in &self.last_seqnos {
                if now.get(vgid).is_some_and(|seqno| seqno < before) {
                    let held = self.steady_holder(*vgid, *before);
                    assert!(held.is_none(), "VG {vgid} went back from {before}, and {} has it", held.unwrap());
                }
            }
        }
        self.last_seqnos = now;
    }

    fn steady_holder(&self, vgid: Id, seqno: i64) -> Option<DevNo> {
        let steady = Duration::from_secs(15);
        let holds = |devno: &DevNo| {
            let disk = &self.world.disks[devno];
            let text = disk.content.text().filter(|vg| crate::world::vgid(vg.id) == vgid && vg.seqno >= seqno);
            let copies = self.world.disks.values().filter(|other| other.content.pv() == disk.content.pv()).count();
            let all_steady = self.world.disks.values().all(|disk| disk.since + steady <= self.now);
            // One that is detached holds nothing.
            let readable = disk.size >= SIZE && disk.fault.is_none() && !disk.suspended && !disk.passive;
            let readable = readable && self.world.is_ours(*devno);
            text.is_some() && copies == 1 && readable && all_steady && !self.is_under_way(*devno)
        };
        self.world.disks.keys().copied().find(holds)
    }

    /// A command has the disk open, or the word of a change has not come: the clock jumps past both.
    fn is_under_way(&self, devno: DevNo) -> bool {
        self.pending.values().any(|pending| match pending {
            Pending::Write { devno: other, .. } | Pending::Event(Event::Touched { devno: other, .. }) => {
                *other == devno
            }
            _ => false,
        })
    }

    // The end.

    /// Stops the faults, and lets everything come to rest.
    pub fn finish(&mut self) {
        self.log("the faults stop");
        self.files.broken = false;
        self.files.hints_in_the_making = false;
        for devno in self.world.disks.keys().copied().collect::<Vec<_>>() {
            self.heal(devno);
            if self.world.disks[&devno].suspended {
                self.world.disks.get_mut(&devno).expect("listed").suspended = false;
                self.uevent(devno, "change");
            }
        }
        self.let_go();
        self.let_activate();
        self.wake_paths();
        let events = self.now + Duration::from_secs(40);
        self.run_until(events);
        if self.meddled {
            self.watcher.rescan_all();
        }
        if self.lost {
            self.handle(Event::Lost("uevents"));
        }
        // The longest back-off is a minute, an update of a client half of one.
        let retries = self.now + Duration::from_secs(100);
        self.run_until(retries);
        self.handle(Event::Settle(1));
        let settled = self.now + Duration::from_secs(20);
        self.run_until(settled);
        assert!(self.settled.contains(&1), "it does not settle");
        assert!(self.ready_at.is_some(), "it is not ready");
        assert!(!self.watcher.cache().token.is_updating(), "an update never ends");
        let scans = self.watcher.counters().scans;
        let quiet = self.now + Duration::from_secs(300);
        self.run_until(quiet);
        assert_eq!(self.watcher.counters().scans, scans, "it reads without a reason");
        let quarantined = self.watcher.devices().values().filter(|device| device.quarantine.is_some()).count();
        assert_eq!(quarantined, 0, "nothing is wrong with any device");
        assert!(self.jobs.is_empty(), "a job was left open");
        self.check_rest();
        let reasons = self.reasons + 1;
        assert!(scans <= 3 * reasons, "{scans} scans for {reasons} reasons");
    }

    pub fn outdated_complete(&self) -> bool {
        !self.clients_meddle() && !self.cleared_outdated
    }
}

fn shown(content: &Content) -> String {
    match content.shown() {
        None => "nothing".to_owned(),
        Some((pv, None)) => format!("PV {pv}"),
        Some((pv, Some((vg, seqno)))) => format!("PV {pv} of VG {vg} at {seqno}"),
    }
}
