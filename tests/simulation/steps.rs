//! What happens to disks.

use crate::kinds::{Kind, STACKING, STEPS};
use crate::run_files::Files;
use crate::schedule::{Coming, coming};
use crate::sim::{Pending, Sim, shown};
use crate::stack::Sort;
use crate::world::{Area, Content, Disk, Fault, Vg, size_of};
use pvwatch::devno::DevNo;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

impl Sim {
    /// What is there before the watcher.
    pub fn come_first(&mut self, act: u32) {
        let stacking = STACKING.into_iter().filter(|kind| self.allowed(*kind)).collect::<Vec<_>>();
        match coming(act) {
            Coming::Disk(minor) => self.add(DevNo::new(8, minor)),
            Coming::Stacked if stacking.is_empty() => {}
            Coming::Stacked => {
                let kind = *self.rng.pick(&stacking);
                self.stack_step(kind);
            }
            Coming::Commit => self.command(Kind::Commit),
        }
    }

    /// All that was begun before the watcher ends before it.
    pub fn let_come(&mut self) {
        while let Some((_, pending)) = self.pending.pop_first() {
            if let Pending::Write { .. } | Pending::Udev { .. } = pending {
                self.deliver(pending);
            }
        }
        self.clients = Default::default();
        self.lost = false;
        self.note_all_happened();
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
                self.log(format_args!("overwrite {present} with {}", shown(&content)));
                self.write(present, content);
            }
            Kind::Commit | Kind::Rename | Kind::VgReduce | Kind::Torn => self.command(kind),
            Kind::VgRemove => self.vg_remove(),
            Kind::Copy => {
                if let Some(content) = self.world.disks.get(&present).map(|disk| disk.content.clone()) {
                    self.log(format_args!("copy {present} to {devno}"));
                    self.write(devno, content);
                }
            }
            Kind::Swap => self.swap(present, devno),
            Kind::Detach => self.detach(present),
            Kind::Reuse => {
                if self.world.disks.contains_key(&devno) {
                    let content = self.fresh_content();
                    self.log(format_args!("{devno} becomes another disk with {}", shown(&content)));
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
                    self.log(format_args!("{present} suspended: {suspended}"));
                    // Suspending says nothing, resuming does.
                    if !suspended || self.rng.one_in(3) {
                        self.uevent(present, "change");
                    }
                }
            }
            Kind::Jump => {
                self.log(format_args!("the clock jumps"));
                self.now += Duration::from_secs(1 + self.rng.below(100));
            }
            Kind::Enumerate => {
                self.log(format_args!("everything is asked for"));
                self.note_all_happened();
                self.watcher.rescan_all();
            }
            Kind::Settle => self.wait_step(),
            Kind::Ring => self.lose_ring(),
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
            1 if self.allowed(Kind::Full) => self.files.broken = !self.files.broken,
            2 => self.files.hints_in_the_making = !self.files.hints_in_the_making,
            _ => return,
        }
        let Files { broken, hints_in_the_making, .. } = self.files;
        self.log(format_args!("run files are meddled with; broken: {broken}, hints locked: {hints_in_the_making}"));
    }

    fn add(&mut self, devno: DevNo) {
        if self.world.disks.contains_key(&devno) {
            return;
        }
        let content = self.fresh_content();
        self.log(format_args!("add {devno} with {}", shown(&content)));
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
            self.log(format_args!("remove {devno}"));
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
            self.log(format_args!("attach {devno}"));
            self.world.insert(self.now, devno, size_of(devno), content);
        } else {
            self.log(format_args!("detach {devno}"));
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
            self.log(format_args!("swap {one} and {other}"));
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
        let mut fault = *self.rng.pick(&faults);
        let is_dm = self.world.disks.get(&devno).is_some_and(|disk| disk.dm_uuid(devno).is_some());
        if is_dm && self.rng.one_in(3) {
            fault = Fault::Unusable;
        }
        if let Some(disk) = self.world.disks.get_mut(&devno) {
            disk.fault = Some(fault);
            self.log(format_args!("{devno} has {fault:?}"));
            if self.rng.one_in(2) {
                self.uevent(devno, "change");
            }
        }
    }

    pub fn heal(&mut self, devno: DevNo) {
        let now = self.now;
        let Some(disk) = self.world.disks.get_mut(&devno) else { return };
        if let Some(fault) = disk.fault.take() {
            disk.since = now;
            self.log(format_args!("{devno} has no more {fault:?}"));
        }
        self.let_go();
    }
}
