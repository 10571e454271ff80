//! Which device to scan when, and what follows from it: the pure half of the daemon.
//!
//! Events come in with the time they happened at, effects go out; nothing here opens, reads or
//! waits. The watcher owns the cache. It keeps the last verdict on each device and holds the
//! cache to these: what a client pushes is answered at once and checked on the disks right after,
//! and where they differ the disks win.
//!
//! Invariants:
//! - A device is read only for a reason (`wanted > started`), and by one job at a time.
//! - A verdict counts for the incarnation of the device (`diskseq`) that it was read from.
//! - A VG's metadata in the cache goes back in seqno only when every device it concerns has been
//!   read since its last sign of change; if no disk has shown it yet, every device that may.
//! - A PV is reported outdated only after two good reads of it and of a newer one, a second apart.

mod activate;
mod apply;
mod awaited;
mod cause;
mod device;
mod duplicates;
mod event;
mod flapping;
mod inventory;
mod jobs;
mod online;
mod outdated;
mod repeats;
mod report;
mod settle;
mod stack;

use crate::cache::{Cache, Key, UPDATE_IN_PROGRESS};
use crate::conf::Settings;
use crate::device::Facts;
use crate::devno::DevNo;
use crate::id::Id;
use crate::metadata::TextCache;
use crate::protocol::{self, Push, Reply, Sender, Trusted};
use crate::scan::{ByteRange, ReadError};
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;
use std::time::Duration;

pub use activate::{Activation, Compared, Difference, Ended, Progress, Tally};
pub use cause::Cause;
pub use device::{Content, Device, HeldBack, Quarantine, Reason, Seen};
pub use duplicates::{Ambiguity, Because, Choice, Other};
pub use event::{Effect, Event, Opened, State};
pub use flapping::Flapping;
pub use inventory::Inventory;
pub use jobs::JobId;
pub use online::{Failing, Publish, RunFilesView};
pub use repeats::Repeats;
pub use report::{Level, Report};
pub use settle::SettleId;

/// Jobs at a time, until [`Event::Capacity`] says otherwise.
const JOBS: usize = 8;

/// How long a client may keep the cache to itself during our first scan, should we never end it.
const OWN_UPDATE_TIMEOUT_SECS: i64 = 60;
/// When the list of devices could not be read.
const ENUMERATE_AGAIN_AFTER: Duration = Duration::from_secs(1);
/// From one look at everything to the next, if events are lost again and again.
const ENUMERATE_PAUSE: Duration = Duration::from_millis(500);
/// How long a client that names no timeout may keep the cache to itself.
const CLIENT_UPDATE_MAX: Duration = Duration::from_secs(60);
/// While writes to some device are not noticed. Each read of a PV is a few KiB.
const BLIND_REREAD_INTERVAL: Duration = Duration::from_secs(60);
/// The reads of the first scan begin a little after it, and so do their deadlines.
const FIRST_SCAN_SLACK: Duration = Duration::from_millis(500);
/// Longer than the first scan takes where no device hangs.
const OFFERS_WAIT: Duration = Duration::from_secs(2);
const OWN_COMMAND: &[u8] = b"pvwatchd";

/// Counted since the start.
#[derive(Clone, Debug, Default)]
pub struct Counters {
    pub scans: u64,
    pub resyncs: u64,
    pub losses: u64,
}

pub struct Watcher {
    settings: Settings,
    /// False for a pure cache server, which knows what it is told and nothing else.
    scanning: bool,
    own_pid: i64,
    cache: Cache,
    texts: TextCache,
    devices: BTreeMap<DevNo, Device>,
    /// Of the disks that have some, by what the partitions say.
    partitions: BTreeMap<DevNo, BTreeSet<DevNo>>,
    /// Who was told that this device lies on them, or on the disk that they are partitions of.
    told_of: BTreeMap<DevNo, BTreeSet<DevNo>>,
    /// Devices to look at, before anything else is done with them.
    touched: BTreeMap<DevNo, Cause>,
    examining: BTreeMap<DevNo, Cause>,
    /// Devices that want to be read, in the order in which they asked.
    queue: BTreeMap<u64, DevNo>,
    next_ticket: u64,
    jobs: BTreeMap<JobId, jobs::Job>,
    next_job: JobId,
    capacity: usize,
    /// Reads that wait until fewer bytes are on their way.
    unread: VecDeque<(JobId, Vec<ByteRange>)>,
    /// Jobs with a long text that is gone over a part at a time.
    at_work: VecDeque<JobId>,
    /// Readers that were given up and may still be alive, and the device that each hangs on: no
    /// second one is given to it.
    abandoned: BTreeMap<JobId, DevNo>,
    stuck: BTreeSet<DevNo>,
    /// Whose metadata text names a VG, copies that were not chosen left out.
    holders: BTreeMap<Id, BTreeSet<DevNo>>,
    /// The same the other way round.
    indexed: BTreeMap<DevNo, Id>,
    duplicates: duplicates::Duplicates,
    /// VGs that may not be what the disks say: a client told us of them, or they could not be
    /// held to the disks before all their devices were read.
    doubtful: BTreeSet<Key>,
    /// VGs that a client told newer metadata of than any disk has shown.
    only_told: BTreeSet<Id>,
    /// Something has happened since the doubtful VGs were looked at.
    doubts_due: bool,
    /// Second looks, taken before a PV is reported outdated.
    second_looks: BTreeSet<(Duration, DevNo)>,
    retries: BTreeSet<(Duration, DevNo)>,
    /// Paths to look at again: whether there is a map, or whether they answer.
    looks: BTreeSet<(Duration, DevNo)>,
    paces: flapping::Paces,
    /// Devices that flap and are to be read, each not before its time.
    paced: BTreeSet<(Duration, DevNo)>,
    /// What multipath has not taken for paths, to be known when they are looked at next.
    no_paths: BTreeSet<DevNo>,
    /// Devices with something to wait for.
    unquiet: BTreeSet<DevNo>,
    /// What the log last said of each VG, and when.
    vg_states: BTreeMap<Id, (VgState, Duration)>,
    /// VGs to say something of when the first scan is over.
    unreported: BTreeSet<Id>,
    next_reread: Option<Duration>,
    /// Writes to some device are not noticed.
    is_blind: bool,
    settles: Vec<settle::Settle>,
    awaited: awaited::Awaited,
    online: online::Online,
    offers: activate::Offers,
    enumerate: bool,
    enumerating: bool,
    /// When the next enumeration is due, after one that failed or if events are lost again and again.
    enumerate_at: Option<Duration>,
    enumerated_at: Option<Duration>,
    /// Until when the first scan, or one that a client's update made necessary, may take.
    first_scan: Option<FirstScan>,
    ready: bool,
    changed_since_scan: bool,
    counters: Counters,
    effects: VecDeque<Effect>,
}

/// Of a VG: what an administrator is told when it changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct VgState {
    seqno: i64,
    missing: usize,
}

#[derive(Debug)]
struct FirstScan {
    /// No VG is offered before: another may have its name, or another device its PV. But nobody waits
    /// for a device that hangs.
    offers_from: Option<Duration>,
    /// The rest is served without the devices that have not answered by then.
    until: Duration,
    enumerated: bool,
}

impl Watcher {
    /// A watcher that scans, and has everything to do yet.
    pub fn new(settings: Settings, own_pid: i64, now: Duration) -> Watcher {
        let mut watcher = Watcher::with_cache(settings, own_pid, true, Cache::of_scanner());
        watcher.begin_scan(now);
        watcher
    }

    /// A pure cache server: exactly what lvmetad is.
    pub fn server(own_pid: i64) -> Watcher {
        let mut watcher = Watcher::with_cache(Settings::default(), own_pid, false, Cache::of_server());
        watcher.ready = true;
        watcher.effects.push_back(Effect::Ready);
        watcher
    }

    fn with_cache(settings: Settings, own_pid: i64, scanning: bool, cache: Cache) -> Watcher {
        Watcher {
            settings,
            scanning,
            own_pid,
            cache,
            texts: TextCache::default(),
            devices: BTreeMap::new(),
            partitions: BTreeMap::new(),
            told_of: BTreeMap::new(),
            touched: BTreeMap::new(),
            examining: BTreeMap::new(),
            queue: BTreeMap::new(),
            next_ticket: 0,
            jobs: BTreeMap::new(),
            next_job: 1,
            capacity: JOBS,
            unread: VecDeque::new(),
            at_work: VecDeque::new(),
            abandoned: BTreeMap::new(),
            stuck: BTreeSet::new(),
            holders: BTreeMap::new(),
            indexed: BTreeMap::new(),
            duplicates: duplicates::Duplicates::default(),
            doubtful: BTreeSet::new(),
            only_told: BTreeSet::new(),
            doubts_due: false,
            second_looks: BTreeSet::new(),
            retries: BTreeSet::new(),
            looks: BTreeSet::new(),
            paces: flapping::Paces::default(),
            paced: BTreeSet::new(),
            no_paths: BTreeSet::new(),
            unquiet: BTreeSet::new(),
            vg_states: BTreeMap::new(),
            unreported: BTreeSet::new(),
            next_reread: None,
            is_blind: false,
            settles: Vec::new(),
            awaited: awaited::Awaited::default(),
            online: online::Online::default(),
            offers: activate::Offers::default(),
            enumerate: false,
            enumerating: false,
            enumerate_at: None,
            enumerated_at: None,
            first_scan: None,
            ready: false,
            changed_since_scan: false,
            counters: Counters::default(),
            effects: VecDeque::new(),
        }
    }

    pub fn cache(&self) -> &Cache {
        &self.cache
    }

    pub fn devices(&self) -> &BTreeMap<DevNo, Device> {
        &self.devices
    }

    /// Since when the VG has its seqno and its number of missing PVs.
    pub fn vg_since(&self, vgid: &[u8]) -> Option<Duration> {
        self.vg_states.get(&Id::parse(vgid)?).map(|(_, since)| *since)
    }

    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Jobs at a time.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    pub fn is_scanning(&self) -> bool {
        self.scanning
    }

    pub fn is_ready(&self) -> bool {
        self.ready
    }

    pub fn state(&self) -> State {
        let invalid = || self.cache.flags().invalid || self.cache.vgs().any(|vg| vg.invalid());
        if self.cache.token.current().is_empty() {
            State::Empty
        } else if self.cache.token.is_updating() {
            State::Scanning
        } else if !self.is_quiet() || invalid() {
            State::Outdated
        } else if self.changed_since_scan {
            State::Updated
        } else {
            State::Initialized
        }
    }

    /// Whether nothing is known that is not in the cache.
    fn is_quiet(&self) -> bool {
        self.is_enumerated() && self.unquiet.is_empty()
    }

    fn owes_resync(&self) -> bool {
        self.enumerate || self.enumerating || self.enumerate_at.is_some()
    }

    fn is_enumerated(&self) -> bool {
        !self.owes_resync() && self.touched.is_empty() && self.examining.is_empty() && !self.duplicates.is_due()
    }

    /// Answers a message of lvmetad's protocol, of one who may do everything.
    pub fn handle_request(&mut self, now: Duration, message: &[u8]) -> Reply {
        self.handle_request_of(now, message, &mut Trusted)
    }

    /// The same of anybody.
    pub fn handle_request_of(&mut self, now: Duration, message: &[u8], sender: &mut dyn Sender) -> Reply {
        let (reply, pushes) = protocol::handle_of(&mut self.cache, self.own_pid, now, message, sender);
        for push in pushes {
            self.changed_since_scan = true;
            if self.scanning {
                self.verify(now, push);
            }
        }
        reply
    }

    /// Looks at the disks for what a client has said.
    fn verify(&mut self, now: Duration, push: Push) {
        match push {
            Push::Device(device) => {
                self.distrust(DevNo::from_wire(device));
                self.overrule(now, DevNo::from_wire(device));
            }
            Push::Vg { vgid, pvids } => {
                self.doubt(Rc::clone(&vgid));
                let devices = pvids.iter().filter_map(|pvid| self.cache.device_of(pvid));
                let mut devnos = devices.map(DevNo::from_wire).collect::<BTreeSet<_>>();
                if let Some(vgid) = Id::parse(&vgid) {
                    self.note_told(vgid);
                    devnos.extend(self.holders.get(&vgid).into_iter().flatten());
                }
                devnos.into_iter().for_each(|devno| self.distrust(devno));
            }
            // The refill that this belongs to is checked at its end.
            Push::Cleared if self.cache.token.is_updating() && !self.is_own_update() => {}
            Push::Cleared | Push::Invalidated => self.distrust_all(),
            Push::UpdateBegun => {}
            Push::UpdateEnded => {
                if self.cache.token.current().is_empty() {
                    self.begin_scan(now);
                }
                self.distrust_all();
            }
        }
    }

    /// Reads the device again; a read that has begun does not count.
    fn distrust(&mut self, devno: DevNo) {
        if let Some(device) = self.devices.get_mut(&devno) {
            device.distrust();
        }
        self.touch(devno, Cause::Client);
    }

    fn distrust_all(&mut self) {
        self.known_devnos().into_iter().for_each(|devno| self.distrust(devno));
    }

    /// Not only of devices: a client may have pushed one that never was.
    fn known_devnos(&self) -> BTreeSet<DevNo> {
        let pushed = self.cache.present_pvs().map(|(_, device)| DevNo::from_wire(device));
        self.devices.keys().copied().chain(pushed).collect()
    }

    fn touch(&mut self, devno: DevNo, cause: Cause) {
        match self.touched.entry(devno) {
            // The others ask for more than whether it is there.
            Entry::Occupied(_) if cause.is_only_a_look() => {}
            Entry::Occupied(mut touched) => *touched.get_mut() = cause,
            Entry::Vacant(untouched) => {
                untouched.insert(cause);
            }
        }
    }

    fn noticed(&mut self, now: Duration, devno: DevNo, cause: Cause) {
        self.paces.changed(now, devno);
        if let Some(device) = self.devices.get_mut(&devno) {
            if cause == Cause::Written {
                device.written(now);
            } else if cause == Cause::Echo && device.take_echo(now) {
                return;
            }
        }
        self.touch(devno, cause);
    }

    /// Takes the token, as a command does that fills the cache.
    fn begin_scan(&mut self, now: Duration) {
        let deadline = i64::try_from(self.settings.read_deadline.as_secs()).unwrap_or(i64::MAX);
        let timeout = OWN_UPDATE_TIMEOUT_SECS.max(deadline.saturating_add(1));
        self.cache.token.request_update(UPDATE_IN_PROGRESS, self.own_pid, timeout, OWN_COMMAND, now);
        self.first_scan = Some(FirstScan {
            offers_from: Some(now + OFFERS_WAIT),
            until: now + self.settings.read_deadline + FIRST_SCAN_SLACK,
            enumerated: false,
        });
        self.enumerate = true;
    }

    fn is_own_update(&self) -> bool {
        self.cache.token.is_updating() && self.cache.token.update().pid == self.own_pid
    }

    /// Looks at everything again.
    pub fn rescan_all(&mut self) {
        self.enumerate = self.scanning;
    }

    /// New settings, and everything is looked at again.
    pub fn reconfigure(&mut self, settings: Settings, now: Duration) {
        let token_changed = settings.token != self.settings.token;
        let (mode, had_event_activation) = (self.settings.mode(), self.settings.event_activation);
        self.settings = settings;
        self.reconfigure_activation(now, mode, had_event_activation);
        self.next_reread = None;
        if self.scanning {
            // A command with the new token must not be answered before the new filter is applied.
            if token_changed && !self.cache.token.is_updating() {
                self.begin_scan(now);
            }
            self.enumerate = true;
        }
    }

    /// Takes in what has happened. What follows from it comes out of [`Watcher::poll_effect`].
    pub fn handle(&mut self, now: Duration, event: Event) {
        match event {
            Event::Resync(present) => self.resync(present),
            Event::Touched { devno, cause } => self.noticed(now, devno, cause),
            Event::Facts { devno, found } => {
                let cause = self.examining.remove(&devno).unwrap_or(Cause::Enumerated);
                self.learn(now, devno, found, cause);
                self.awaited.note(devno);
            }
            Event::NoFacts { devno, errno } => self.learn_nothing(now, devno, errno),
            Event::NoResync => {
                self.enumerating = false;
                self.enumerate_at = Some(now + ENUMERATE_AGAIN_AFTER);
            }
            Event::Lost(what) => {
                self.counters.losses += 1;
                self.report(Report::Lost { what });
                self.enumerate_after_loss(now);
            }
            Event::Opened { job, result } => self.opened(now, job, result),
            Event::Unread { job, errno } => self.not_opened(now, job, Reason::Read(ReadError::Io(errno)), errno),
            Event::Unusable { job, why } => self.unusable(now, job, why),
            Event::Data { job, diskseq, pieces } => self.data(now, job, diskseq, pieces),
            Event::ReaderDied(job) => self.reader_died(now, job),
            Event::ReaderLost(job) => self.reader_lost(now, job),
            Event::NoReader { job, errno } => self.no_reader(now, job, errno),
            Event::ReaderReleased(job) => self.reader_released(now, job),
            Event::Capacity(jobs) => self.capacity = jobs,
            Event::Settle(id) => self.settle(id),
            Event::Await { id, devnos } => self.await_devices(id, devnos),
            Event::Unsettle(id) => {
                self.settles.retain(|settle| settle.id != id);
                self.awaited.give_up(id);
            }
            Event::Published(result) => self.published(now, result),
            Event::RunFiles(result) => self.listed(now, result),
            Event::HintsInvalidated(result) => self.hints_invalidated(now, result),
            Event::Usage(usage) => self.used_by(now, usage),
            event @ (Event::Restored(_)
            | Event::Inhibited(_)
            | Event::UdevSays { .. }
            | Event::UdevDone { .. }
            | Event::Offered { .. }
            | Event::ActivationStarted { .. }
            | Event::ActivationEnded { .. }
            | Event::VgOnline(_)) => self.handle_activation(now, event),
        }
    }

    /// At once, unless everything was looked at a moment ago: where events are lost as fast as they
    /// come, there would be nothing but enumerations.
    fn enumerate_after_loss(&mut self, now: Duration) {
        match self.enumerated_at.map(|at| at + ENUMERATE_PAUSE).filter(|at| *at > now) {
            Some(at) if !self.enumerate => self.enumerate_at = Some(self.enumerate_at.map_or(at, |due| due.min(at))),
            _ => self.enumerate = true,
        }
    }

    fn resync(&mut self, present: Vec<DevNo>) {
        self.enumerating = false;
        self.online.heal_when_quiet();
        self.counters.resyncs += 1;
        self.report(Report::Resync { devices: present.len() });
        // One that is missing may only have been overlooked: a look will tell.
        for devno in self.known_devnos().into_iter().chain(present) {
            let cause = self.touched.entry(devno).or_insert(Cause::Enumerated);
            if cause.is_only_a_look() {
                *cause = Cause::Enumerated;
            }
        }
        if let Some(scan) = &mut self.first_scan {
            scan.enumerated = true;
        }
    }

    /// What follows from how the device is now.
    fn learn(&mut self, now: Duration, devno: DevNo, found: Option<(Facts, Vec<String>)>, cause: Cause) {
        self.doubt_udev(devno);
        let uuid_before = self.devices.get(&devno).and_then(|device| device.facts.dm_uuid.as_deref());
        let uuid = found.as_ref().and_then(|(facts, _)| facts.dm_uuid.as_deref());
        self.offers.note_lv(devno, uuid_before, uuid);
        let Some((facts, names)) = found else { return self.forget_device(now, devno, cause) };
        self.look_below(devno, &facts);
        self.look_beside(devno, Some(&facts));
        self.note_holders(devno, Some(&facts));
        let rule = self.settings.filter.rejects(&facts, names.iter().map(String::as_str));
        let not_ready = facts.not_ready();
        let suspended = facts.dm_suspended;
        let stuck = self.stuck.contains(&devno);
        self.note_disk(devno, Some(&facts));
        let device = self.devices.entry(devno).or_insert_with(|| Device::new(now, cause));
        device.stuck = stuck;
        let replaced = device.facts.diskseq.is_some() && device.facts.diskseq != facts.diskseq;
        let contradicted = device.read_as.take().is_some_and(|read| facts.diskseq != Some(read)) && !replaced;
        let is_enough = cause.is_only_a_look() && !replaced && device.is_attended();
        device.facts = facts;
        device.names = names;
        if !is_enough {
            device.cause = cause;
        }
        device.rule = rule;
        device.not_ready = not_ready;
        if rule.is_some() || (not_ready.is_some() && !suspended) {
            self.let_go(devno);
            self.effects.push_back(Effect::Unwatch(devno));
            return self.withdraw(now, devno);
        }
        if replaced {
            // Another disk behind the same number: what was known is of the old one. There need not have
            // been an event, so whoever waits for a read waits for one of this; also who had the answer
            // that it cannot be read, and not yet those of others.
            if self.devices.get(&devno).is_some_and(|device| device.quarantine.is_some()) {
                self.settles.iter_mut().for_each(|settle| settle.wait_for(devno));
                self.awaited.wait_too(devno, devno);
            }
            self.retract(now, devno);
            self.let_go(devno);
            self.devices.get_mut(&devno).expect("inserted above").waited_for_map = false;
        }
        if self.hold_back(now, devno) {
            return;
        }
        self.note_choice_due(devno);
        let device = self.devices.get_mut(&devno).expect("inserted above");
        if suspended {
            // It keeps what is known of it; resuming sends an event.
            device.give_up();
            self.quarantine(now, devno, Reason::Suspended);
            self.device_resolved(devno);
        } else if device.stuck {
            // Its quarantine goes on until the reader that hangs on it is gone.
            device.give_up();
            match &device.quarantine {
                Some(quarantine) if quarantine.reason == Reason::DeadlinePassed => self.serve_last_known(now, devno),
                // It has taken the place of what the reader hangs on.
                _ => self.quarantine(now, devno, Reason::ReaderStuck),
            }
            self.device_resolved(devno);
        } else if contradicted {
            // Sysfs says what it has said before. If that changes, an event will tell.
            device.give_up();
            self.quarantine(now, devno, Reason::Incarnation);
            self.device_resolved(devno);
        } else if is_enough {
            // It is there, and if it is in quarantine its next try will come.
            self.device_resolved(devno);
        } else {
            self.want(devno);
        }
    }

    /// The device may be gone, or another; what is known of it stays, and it is looked at again.
    fn learn_nothing(&mut self, now: Duration, devno: DevNo, errno: i32) {
        let cause = self.examining.remove(&devno).unwrap_or(Cause::Enumerated);
        let device = self.devices.entry(devno).or_insert_with(|| Device::new(now, cause));
        if device.facts.name.is_empty() {
            device.names = vec![devno.to_string()];
        }
        device.cause = cause;
        device.not_ready = Some("what the kernel says of it cannot be read");
        device.distrust();
        device.give_up();
        self.quarantine(now, devno, Reason::Facts(errno));
        self.device_resolved(devno);
    }

    /// The device is not there any more, or there is nothing behind it.
    fn forget_device(&mut self, now: Duration, devno: DevNo, cause: Cause) {
        self.look_below(devno, &Facts::default());
        self.read_below(devno);
        self.look_beside(devno, None);
        self.note_holders(devno, None);
        self.no_paths.remove(&devno);
        if let Some(device) = self.devices.get_mut(&devno) {
            device.cause = cause;
        }
        self.effects.push_back(Effect::Unwatch(devno));
        self.withdraw(now, devno);
        self.let_go(devno);
        self.drop_pace(devno);
        self.note_disk(devno, None);
        if let Some(ticket) = self.devices.remove(&devno).and_then(|device| device.queued) {
            self.queue.remove(&ticket);
        }
        self.device_resolved(devno);
    }

    fn want(&mut self, devno: DevNo) {
        let device = self.devices.get_mut(&devno).expect("only known devices are wanted");
        device.want();
        self.note_unquiet(devno);
        self.hurry_if_awaited(devno);
        self.enqueue(devno);
    }

    fn enqueue(&mut self, devno: DevNo) {
        let device = self.devices.get_mut(&devno).expect("only known devices are wanted");
        if device.queued.is_none() && device.paced_until.is_none() && device.is_dirty() {
            device.queued = Some(self.next_ticket);
            self.queue.insert(self.next_ticket, devno);
            self.next_ticket += 1;
        }
    }

    /// What is to be done next; ask until there is nothing. Enumerating and examining are answered
    /// with events, in whatever order the caller likes.
    pub fn poll_effect(&mut self, now: Duration) -> Option<Effect> {
        if let Some(effect) = self.effects.pop_front().or_else(|| self.online_change()) {
            return Some(effect);
        }
        if self.duplicates.needs_usage() {
            return Some(Effect::ReadUsage);
        }
        if self.enumerate {
            self.enumerate = false;
            self.enumerate_at = None;
            self.enumerated_at = Some(now);
            self.enumerating = true;
            return Some(Effect::Enumerate);
        }
        if let Some((devno, cause)) = self.touched.pop_first() {
            self.examining.insert(devno, cause);
            return Some(Effect::Examine(devno));
        }
        self.start_reads(now);
        self.start_jobs(now);
        self.resolve_doubts(now);
        self.end_first_scan(now);
        if let Some(effect) = self.effects.pop_front().or_else(|| self.online_change()) {
            return Some(effect);
        }
        if let Some(effect) = self.check_run_files() {
            return Some(effect);
        }
        if self.duplicates.is_due() {
            return self.duplicates.needs_usage().then_some(Effect::ReadUsage);
        }
        if let Some(effect) = self.next_activation(now) {
            return Some(effect);
        }
        self.answer_settles();
        self.answer_awaited();
        self.effects.pop_front().or_else(|| self.work(now).then_some(Effect::Pause))
    }

    /// Whether there are devices that may be written to without our hearing of it.
    pub fn set_blind(&mut self, now: Duration, is_blind: bool) {
        if self.is_blind != is_blind {
            self.is_blind = is_blind;
            self.next_reread = self.reread_interval().map(|interval| now + interval);
        }
    }

    /// How often all PVs are read again: as it is configured, or if writes are not noticed, now and then.
    pub fn reread_interval(&self) -> Option<Duration> {
        self.settings.reread_interval.or_else(|| self.is_blind.then_some(BLIND_REREAD_INTERVAL))
    }

    /// When [`Watcher::handle_timeout`] has something to do.
    pub fn poll_timeout(&self) -> Option<Duration> {
        let jobs = self.jobs.values().map(|job| job.deadline);
        let others = [
            self.retries.first().map(|(at, _)| *at),
            self.second_looks.first().map(|(at, _)| *at),
            self.looks.first().map(|(at, _)| *at),
            self.next_reread,
            self.enumerate_at,
            self.first_scan.as_ref().map(|scan| scan.offers_from.map_or(scan.until, |from| from.min(scan.until))),
            self.update_ends_at(),
            self.online.poll_timeout(),
            self.offers.poll_timeout(),
            self.flapping_timeout(),
        ];
        jobs.chain(others.into_iter().flatten()).min()
    }

    pub fn handle_timeout(&mut self, now: Duration) {
        let late = self.jobs.iter().filter(|(_, job)| job.deadline <= now).map(|(id, _)| *id).collect::<Vec<_>>();
        for job in late {
            self.deadline_passed(now, job);
        }
        self.enumerate |= self.enumerate_at.is_some_and(|at| at <= now);
        self.online.handle_timeout(now);
        if let Some(scan) = &mut self.first_scan {
            scan.offers_from = scan.offers_from.filter(|from| *from > now);
        }
        self.handle_activation_timeout(now);
        self.handle_flapping_timeout(now);
        while let Some((_, devno)) = pop_due(&mut self.retries, now) {
            self.touch(devno, Cause::Retry);
        }
        while let Some((_, devno)) = pop_due(&mut self.looks, now) {
            if let Some(device) = self.devices.get_mut(&devno) {
                device.look_at = None;
            }
            self.touch(devno, Cause::Waited);
        }
        while let Some((_, devno)) = pop_due(&mut self.second_looks, now) {
            if let Some(device) = self.devices.get_mut(&devno) {
                device.second_look = None;
            }
            self.want_again(devno, Cause::SecondLook);
        }
        if self.next_reread.is_some_and(|at| at <= now) {
            self.next_reread = None;
            let pvs = self.devices.iter().filter(|(_, device)| device.pv().is_some()).map(|(devno, _)| *devno);
            for devno in pvs.collect::<Vec<_>>() {
                self.want_again(devno, Cause::Periodic);
            }
        }
        if self.next_reread.is_none() {
            self.next_reread = self.reread_interval().map(|interval| now + interval);
        }
        if self.update_ends_at().is_some_and(|at| at <= now) {
            // Whoever was filling the cache never came back.
            self.cache.token.set(b"");
            self.begin_scan(now);
            self.distrust_all();
        }
    }

    /// When whoever is filling the cache has had the time for it: its own timeout, or ours if it
    /// gave none. A cache server waits for ever, as lvmetad does.
    fn update_ends_at(&self) -> Option<Duration> {
        let token = &self.cache.token;
        let unlimited = || Duration::from_secs(token.update().begin) + CLIENT_UPDATE_MAX;
        (self.scanning && token.is_updating()).then(|| token.expires_at().unwrap_or_else(unlimited))
    }

    /// Reads a device that nothing has happened to.
    fn want_again(&mut self, devno: DevNo, cause: Cause) {
        if let Some(device) = self.devices.get_mut(&devno)
            && device.may_be_read()
        {
            device.cause = cause;
            self.want(devno);
        }
    }

    fn end_first_scan(&mut self, now: Duration) {
        let Some(scan) = &self.first_scan else { return };
        let done = scan.enumerated && self.is_quiet();
        if !done && now < scan.until {
            return;
        }
        self.first_scan = None;
        self.online.heal_now();
        for vgid in std::mem::take(&mut self.unreported) {
            self.report_vg(now, vgid);
        }
        let pending = self.unquiet.len();
        if self.is_own_update() {
            let token = self.settings.token.clone();
            self.cache.token.set(&token);
            self.changed_since_scan = false;
        }
        let quarantined = self.devices.values().filter(|device| device.quarantine.is_some()).count();
        self.report(Report::Scanned { devices: self.devices.len(), pvs: self.cache.pv_count(), quarantined, pending });
        if self.next_reread.is_none() {
            self.next_reread = self.reread_interval().map(|interval| now + interval);
        }
        if !self.ready {
            self.ready = true;
            self.effects.push_back(Effect::Ready);
        }
    }

    fn report(&mut self, report: Report) {
        self.effects.push_back(Effect::Report(report));
    }
}

fn pop_due(times: &mut BTreeSet<(Duration, DevNo)>, now: Duration) -> Option<(Duration, DevNo)> {
    if times.first().is_some_and(|(at, _)| *at <= now) { times.pop_first() } else { None }
}

#[cfg(test)]
mod tests;
