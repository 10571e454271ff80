//! What happens to devices that lie on each other, and what must hold of them at every moment.

use crate::kinds::Kind;
use crate::sim::{Pending, Sim};
use crate::stack::{Sort, Standing, View, WAIT};
use crate::world::{Content, SIZE};
use pvwatch::device::Facts;
use pvwatch::devno::DevNo;
use pvwatch::watcher::{Cause, HeldBack};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

const LUNS: u8 = 2;
/// Minor numbers are their own, whatever the major: a device is named by its minor.
const PATHS: [[DevNo; 3]; LUNS as usize] =
    [[sd(10), sd(11), sd(12)], [DevNo::new(259, 14), DevNo::new(259, 15), DevNo::new(259, 16)]];
/// For LUN 1, the map comes before its paths in any order of numbers.
const MAPS: [DevNo; LUNS as usize] = [dm(18), DevNo::new(7, 19)];
const ARRAYS: [(DevNo, [DevNo; 2]); 2] = [(DevNo::new(9, 22), [sd(20), sd(21)]), (DevNo::new(9, 26), [sd(24), sd(25)])];
const TABLES: [(DevNo, [DevNo; 2]); 2] = [(sd(30), [sd(31), sd(32)]), (sd(36), [sd(34), sd(35)])];
const LVS: [DevNo; 2] = [dm(40), dm(41)];
const COPIES: [DevNo; 3] = [dm(44), dm(45), dm(46)];

/// Room for superblocks behind what is on a member, or behind the partitions.
const BEHIND: u64 = 128 << 10;
const FIRST_PARTITION: u64 = 64 << 10;

/// What a disk with partitions may have at its end.
const DISK_VERSIONS: [Option<&str>; 5] = [None, None, Some("0.90"), Some("1.0"), Some("imsm")];

const fn sd(minor: u32) -> DevNo {
    DevNo::new(65, minor)
}

const fn dm(minor: u32) -> DevNo {
    DevNo::new(253, minor)
}

/// What the watcher was told of devices.
#[derive(Default)]
pub struct Told {
    devices: BTreeMap<DevNo, Last>,
    /// Somebody has said that these are no paths.
    no_paths: BTreeSet<DevNo>,
}

struct Last {
    facts: Facts,
    pending_since: Option<Duration>,
    /// There was no reason to wait for a map, or none any more.
    was_free: bool,
    /// It had been read and was in no trouble, this time and the time before.
    was_known: [bool; 2],
}

impl Sim {
    pub fn stack_step(&mut self, kind: Kind) {
        match kind {
            Kind::Paths => self.path_step(),
            Kind::Partitions => self.partition_step(),
            Kind::Arrays => self.array_step(),
            Kind::Lvs => self.lv_step(),
            Kind::Copies => self.copy_step(),
            _ => self.mount_step(),
        }
    }

    fn is_there(&self, devno: DevNo) -> bool {
        self.world.disks.contains_key(&devno)
    }

    fn come(&mut self, devno: DevNo, what: &str) {
        self.log(format_args!("{devno} comes: {what}"));
        self.uevent(devno, "add");
        // What device-mapper and MD add is empty at first.
        if self.world.disks[&devno].sort != Sort::Disk && self.rng.one_in(2) {
            self.uevent(devno, "change");
        }
    }

    /// Takes the device away, after all that is stacked on it.
    fn go(&mut self, devno: DevNo) {
        let above = self.world.holders(devno).chain(self.world.partitions(devno)).map(|(above, _)| above);
        let above = above.filter(|above| self.world.disks[above].on.len() == 1 || self.rng_free(*above));
        for above in above.collect::<Vec<_>>() {
            self.go(above);
        }
        if self.is_there(devno) {
            self.log(format_args!("{devno} goes"));
            let above = self.world.holders(devno).map(|(above, _)| above).collect::<Vec<_>>();
            self.world.remove(self.now, devno);
            self.let_go();
            self.uevent(devno, "remove");
            // A map says that it has lost a path.
            above.into_iter().for_each(|above| self.uevent(above, "change"));
        }
    }

    /// Maps and arrays do without one of several.
    fn rng_free(&self, above: DevNo) -> bool {
        !matches!(self.world.disks[&above].sort, Sort::Map(_) | Sort::Array)
    }

    fn path_step(&mut self) {
        let lun = self.rng.small(LUNS);
        let (paths, map) = (PATHS[usize::from(lun)], MAPS[usize::from(lun)]);
        let (there, absent): (Vec<_>, Vec<_>) = paths.into_iter().partition(|path| self.is_there(*path));
        let has_map = self.is_there(map);
        match self.rng.below(10) {
            0..3 => {
                if let Some(path) = absent.first() {
                    self.add_path(lun, *path);
                }
            }
            3 => {
                if !there.is_empty() {
                    let path = *self.rng.pick(&there);
                    self.go(path);
                }
            }
            4 | 5 => {
                let on = there.iter().copied().filter(|_| !self.rng.one_in(4)).collect::<Vec<_>>();
                if !has_map && !on.is_empty() {
                    let store = self.lun(lun);
                    self.world.insert_on(self.now, map, SIZE, Sort::Map(lun), View::Whole, store, &on);
                    self.come(map, &format!("a map over {on:?}"));
                }
            }
            6 => self.go(map),
            7 => {
                let on = self.world.disks.get(&map).map(|map| map.on.clone()).unwrap_or_default();
                let more = there.iter().copied().find(|path| !on.contains(path));
                if let (true, Some(path)) = (has_map, more) {
                    self.log(format_args!("{map} gains the path {path}"));
                    self.world.disks.get_mut(&map).expect("it is there").on.push(path);
                    self.uevent(map, "change");
                }
            }
            _ => {
                if !there.is_empty() {
                    let path = *self.rng.pick(&there);
                    self.turn(path);
                }
            }
        }
    }

    /// Where the bytes of a LUN are.
    fn lun(&mut self, lun: u8) -> u32 {
        if let Some(store) = self.luns.get(&lun) {
            return *store;
        }
        let content = self.fresh_content();
        let store = self.world.new_store(content);
        self.luns.insert(lun, store);
        store
    }

    fn add_path(&mut self, lun: u8, path: DevNo) {
        let store = self.lun(lun);
        self.world.insert_on(self.now, path, SIZE, Sort::Path(lun), View::Whole, store, &[]);
        let passive = self.rng.one_in(6);
        let disk = self.world.disks.get_mut(&path).expect("inserted");
        disk.passive = passive;
        let diskseq = disk.diskseq;
        self.come(path, &format!("a path to LUN {lun}, passive: {passive}"));
        if self.world.multipath.asks_udev() && !self.rng.one_in(4) {
            let at = self.soon(if self.allowed(Kind::Slow) { 20_000 } else { 200 });
            self.schedule(at, Pending::Udev { devno: path, diskseq });
        }
    }

    /// The target answers no more reads on the path, or does again.
    fn turn(&mut self, path: DevNo) {
        let disk = self.world.disks.get_mut(&path).expect("the caller has it");
        disk.passive = !disk.passive;
        disk.since = self.now;
        let passive = disk.passive;
        self.log(format_args!("{path} is passive: {passive}"));
        if self.rng.one_in(2) {
            self.uevent(path, "change");
        }
    }

    /// udev has seen a path.
    pub fn udev_says(&mut self, devno: DevNo, diskseq: u64) {
        let is_held = self.world.facts(devno).is_some_and(|facts| !facts.stack.holders.is_empty());
        let taken = self.rng.one_in(2);
        let Some(disk) = self.world.disks.get_mut(&devno).filter(|disk| disk.diskseq == diskseq) else { return };
        let Sort::Path(lun) = disk.sort else { return };
        let is_path = is_held || (taken && self.world.multipath.may_take(lun)) || self.world.multipath.lists(lun);
        disk.udev = Some(is_path);
        self.log(format_args!("udev says that {devno} is a path: {is_path}"));
        // It makes no uevent of the kernel's. Where nobody waits for it, nobody learns of it.
        let waits = |held: &HeldBack| matches!(held, HeldBack::Pending { .. });
        let device = self.watcher.devices().get(&devno);
        self.lost |= !device.is_some_and(|device| device.held_back.as_ref().is_some_and(waits));
        if !is_path && self.rng.one_in(2) {
            self.log(format_args!("somebody knows that {devno} is no path"));
            self.told.no_paths.insert(devno);
            self.watcher.know_no_path(devno);
            self.reasons += 1;
            self.pump();
        }
    }

    fn partition_step(&mut self) {
        let (disk, [first, second]) = *self.rng.pick(&TABLES);
        if !self.is_there(disk) {
            let version = *self.rng.pick(&DISK_VERSIONS);
            let size = FIRST_PARTITION + 2 * SIZE + BEHIND;
            self.world.insert(self.now, disk, size, Content::Table(version));
            self.come(disk, &format!("a disk with partitions, superblock: {version:?}"));
            let content = self.fresh_content();
            self.add_partition(disk, first, FIRST_PARTITION, SIZE, content);
            if self.rng.one_in(2) {
                self.add_second(disk, second);
            }
            return;
        }
        match self.rng.below(5) {
            0 => self.go(disk),
            1 => {
                let version = *self.rng.pick(&DISK_VERSIONS);
                self.log(format_args!("the superblock at the end of {disk} is {version:?} now"));
                self.write(disk, Content::Table(version));
            }
            2 if self.is_there(second) => self.go(second),
            2 => self.add_second(disk, second),
            3 if self.is_there(first) => self.go(first),
            _ if !self.is_there(first) => {
                let content = self.fresh_content();
                self.add_partition(disk, first, FIRST_PARTITION, SIZE, content);
            }
            _ => {}
        }
    }

    /// Up to the end of the disk, or not as far as a superblock would be.
    fn add_second(&mut self, disk: DevNo, second: DevNo) {
        let start = FIRST_PARTITION + SIZE;
        if self.rng.one_in(2) {
            self.add_partition(disk, second, start, SIZE + BEHIND, Content::Blank);
        } else {
            let content = self.fresh_content();
            self.add_partition(disk, second, start, SIZE, content);
        }
    }

    fn add_partition(&mut self, disk: DevNo, devno: DevNo, start: u64, size: u64, content: Content) {
        let store = self.world.new_store(content);
        self.world.insert_on(self.now, devno, size, Sort::Partition(start), View::Partition, store, &[disk]);
        self.come(devno, &format!("a partition of {disk} with {:?}", self.world.disks[&devno].content));
    }

    fn array_step(&mut self) {
        let (array, members) = *self.rng.pick(&ARRAYS);
        let there = members.into_iter().filter(|member| self.is_there(*member)).collect::<Vec<_>>();
        let is_member = |member: &&DevNo| matches!(self.world.disks[member].view, View::Member(_));
        let are_members = there.iter().all(|member| is_member(&member));
        match self.rng.below(8) {
            0..2 if there.is_empty() => {
                let version = *self.rng.pick(&["0.90", "1.0"]);
                let content = self.fresh_content();
                let store = self.world.new_store(content);
                for member in members {
                    let view = View::Member(version);
                    self.world.insert_on(self.now, member, SIZE + BEHIND, Sort::Disk, view, store, &[]);
                    self.come(member, &format!("a member of an array, {version}"));
                }
            }
            0..4 if !there.is_empty() && are_members && !self.is_there(array) => {
                let store = self.world.disks[&there[0]].store;
                // After members were on their own they are one array no more.
                let on = there.iter().copied().filter(|member| self.world.disks[member].store == store);
                let on = on.collect::<Vec<_>>();
                self.world.insert_on(self.now, array, SIZE, Sort::Array, View::Whole, store, &on);
                self.come(array, &format!("an array of {on:?}"));
            }
            4 if self.is_there(array) => {
                self.log(format_args!("{array} stops"));
                self.go(array);
            }
            5 if there.len() == 2 => self.go(there[1]),
            5 if !there.is_empty() && self.rng.one_in(2) => self.go(there[0]),
            6 if !there.is_empty() && !self.is_there(array) => {
                let member = *self.rng.pick(&there);
                self.log(format_args!("the superblock of {member} is removed"));
                self.world.part(self.now, member, View::Whole);
                self.closed(member);
            }
            7 => self.turn_superblock(),
            _ => {}
        }
    }

    /// Writes a superblock on a disk that is a PV, or removes the one of a disk that has both.
    fn turn_superblock(&mut self) {
        let disks = self.world.disks.iter().filter(|(_, disk)| disk.sort == Sort::Disk && disk.is_writable());
        let disks = disks.map(|(devno, _)| *devno).filter(|devno| self.world.holders(*devno).next().is_none());
        let disks = disks.collect::<Vec<_>>();
        if disks.is_empty() {
            return;
        }
        let devno = *self.rng.pick(&disks);
        let version = *self.rng.pick(&["0.90", "1.0"]);
        let content = match self.world.disks[&devno].content.clone() {
            Content::Pv { pv, areas } => Content::Member { version, pv, areas },
            Content::Member { pv, areas, .. } => Content::Pv { pv, areas },
            Content::Blank | Content::Partitioned(_) | Content::Table(_) => return,
        };
        self.log(format_args!("a superblock is written on or removed from {devno}: {content:?}"));
        self.write(devno, content);
    }

    /// A device that something may be stacked on.
    fn some_base(&mut self, is_base: impl Fn(Sort) -> bool) -> Option<DevNo> {
        let disks = self.world.disks.iter().filter(|(_, disk)| is_base(disk.sort) && disk.is_writable());
        let disks = disks.filter(|(_, disk)| disk.size >= SIZE && disk.content.pv().is_some());
        let disks = disks.map(|(devno, _)| *devno).collect::<Vec<_>>();
        if disks.is_empty() { None } else { Some(*self.rng.pick(&disks)) }
    }

    /// An LV becomes active, or inactive. There is a PV on it, which is nobody's concern.
    fn lv_step(&mut self) {
        let lv = *self.rng.pick(&LVS);
        if self.is_there(lv) {
            return self.go(lv);
        }
        let Some(base) = self.some_base(|sort| sort != Sort::Lv) else { return };
        let pv = self.rng.small(6);
        let store = self.world.new_store(Content::Pv { pv, areas: Vec::new() });
        self.world.insert_on(self.now, lv, SIZE, Sort::Lv, View::Whole, store, &[base]);
        self.come(lv, &format!("an LV on {base}, with PV {pv} on it"));
    }

    /// All of a disk once more, as it is or as it was.
    fn copy_step(&mut self) {
        let copy = *self.rng.pick(&COPIES);
        if self.is_there(copy) {
            return self.go(copy);
        }
        let Some(base) = self.some_base(|sort| sort == Sort::Disk || sort == Sort::Array) else { return };
        let disk = &self.world.disks[&base];
        let (size, store, content) = (disk.size, disk.store, disk.content.clone());
        if self.rng.one_in(2) {
            self.world.insert_on(self.now, copy, size, Sort::Linear, View::Whole, store, &[base]);
            self.come(copy, &format!("all of {base}"));
        } else {
            let store = self.world.new_store(content);
            self.world.insert_on(self.now, copy, size, Sort::Snapshot, View::Whole, store, &[base]);
            self.come(copy, &format!("a snapshot of {base}"));
        }
    }

    /// Something is mounted or is not any more, of which nothing tells.
    fn mount_step(&mut self) {
        let Some(base) = self.some_base(|sort| sort != Sort::Lv) else { return };
        let disk = self.world.disks.get_mut(&base).expect("it was picked");
        disk.mounted = !disk.mounted;
        let mounted = disk.mounted;
        self.lost = true;
        self.log(format_args!("{base} is mounted: {mounted}"));
    }

    // What must hold at every moment.

    /// The watcher is told of a device.
    pub fn tell(&mut self, devno: DevNo, facts: Option<&Facts>) {
        let excused = self.told.no_paths.remove(&devno);
        let Some(facts) = facts else {
            self.told.devices.remove(&devno);
            return;
        };
        let same = |last: &Last| last.facts.diskseq == facts.diskseq;
        let last = self.told.devices.remove(&devno).filter(same);
        let mut last = last.unwrap_or(Last {
            facts: Facts::default(),
            pending_since: None,
            was_free: false,
            was_known: [false; 2],
        });
        last.facts = facts.clone();
        last.was_free |= excused;
        let device = self.watcher.devices().get(&devno);
        let is_known = device.is_some_and(|device| device.seen.is_some() && device.quarantine.is_none());
        last.was_known = [last.was_known[1], is_known];
        match self.world.standing(facts) {
            Standing::Free => last.was_free = true,
            Standing::Pending => last.pending_since = last.pending_since.or(Some(self.now)),
            Standing::Component | Standing::Passive => {}
        }
        self.told.devices.insert(devno, last);
    }

    /// What others hold is not opened, nor is any path that does not answer or may be taken yet.
    pub fn check_open(&self, devno: DevNo) {
        let last = self.told.devices.get(&devno).expect("it was told of it");
        match self.world.standing(&last.facts) {
            Standing::Component => panic!("{devno} is opened, a path of a map"),
            Standing::Passive => panic!("{devno} is opened, a passive path"),
            Standing::Pending if !last.was_free => {
                let since = last.pending_since.expect("it was told when");
                assert!(since + WAIT <= self.now, "{devno} is opened, for which a map may come");
            }
            Standing::Pending | Standing::Free => {}
        }
        assert!(last.facts.dm_uuid.as_ref().is_none_or(|uuid| !uuid.starts_with("LVM-")), "{devno} is opened, an LV");
        let device = &self.watcher.devices()[&devno];
        let is_known = last.was_known == [true; 2] && device.seen.is_some() && device.quarantine.is_none();
        let is_for_partition = self.world.partitions(devno).next().is_some();
        assert!(
            device.cause != Cause::Stacked || !is_known || is_for_partition,
            "{devno} is read again for what is stacked on it"
        );
    }

    /// No PV is where the watcher knows that it is somebody else's.
    pub fn check_served(&self) {
        if self.clients_meddle() {
            return;
        }
        for (pvid, device) in self.watcher.cache().present_pvs() {
            let devno = DevNo::from_wire(device);
            let what = || format!("PV {} is served on {devno}", pvid.escape_ascii());
            let last = self.told.devices.get(&devno).unwrap_or_else(|| panic!("{}, which is not there", what()));
            assert!(self.world.standing(&last.facts) != Standing::Component, "{}, a path of a map", what());
            let uuid = last.facts.dm_uuid.as_deref().unwrap_or_default();
            assert!(!uuid.starts_with("LVM-"), "{}, an LV", what());
        }
    }

    /// All paths answer again.
    pub fn wake_paths(&mut self) {
        let passive = self.world.disks.iter().filter(|(_, disk)| disk.passive).map(|(devno, _)| *devno);
        for path in passive.collect::<Vec<_>>() {
            self.turn(path);
        }
    }

    pub fn check_rest(&self) {
        for (devno, device) in self.watcher.devices() {
            let waits = matches!(device.held_back, Some(HeldBack::Pending { .. } | HeldBack::Passive(_)));
            assert!(!waits, "{devno} is still held back: {:?}", device.held_back);
        }
    }
}
