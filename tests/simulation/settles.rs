//! Who waits until all that has happened was looked at, and what must have been read by then.

use crate::kinds::Kind;
use crate::sim::Sim;
use pvwatch::devno::DevNo;
use pvwatch::watcher::{Cause, Event};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

#[derive(Default)]
pub struct Settles {
    last: u64,
    /// Since when each device is owed a read, and as which disk.
    happened: BTreeMap<DevNo, (Duration, u64)>,
    /// The same of those that are to be enumerated, for which only who waits for all waits.
    enumerated: BTreeMap<DevNo, (Duration, u64)>,
    waiting: BTreeMap<u64, BTreeMap<DevNo, (Duration, u64)>>,
    done: BTreeSet<u64>,
    /// When each was looked at last and found to be kept from being read.
    held_back: BTreeMap<DevNo, Duration>,
    /// When a read of each began that was good when it was looked at last; or when that was, if it was
    /// in quarantine then.
    answered: BTreeMap<DevNo, Duration>,
}

impl Sim {
    /// The watcher is told that something has happened, after which it is to read the device.
    pub fn note_event(&mut self, event: &Event) {
        match event {
            Event::Touched { devno, cause: Cause::Uevent("add" | "change") | Cause::Written } => {
                if let Some(disk) = self.world.disks.get(devno) {
                    self.settles.happened.insert(*devno, (self.now, disk.number));
                }
            }
            Event::Lost(_) => self.note_all_happened(),
            _ => {}
        }
    }

    /// The watcher is going to look at the device, and may find that it has become another, or that it
    /// can be read now.
    pub fn note_answered(&mut self, devno: DevNo) {
        let Some(device) = self.watcher.devices().get(&devno) else { return };
        let since = device.quarantine.as_ref().map(|_| self.now);
        let since = since.or(device.seen.as_ref().map(|seen| seen.started));
        self.settles.answered.extend(since.map(|since| (devno, since)));
    }

    /// The watcher has looked at the device.
    pub fn note_held_back(&mut self, devno: DevNo) {
        if self.watcher.devices().get(&devno).is_some_and(|device| device.held_back.is_some()) {
            self.settles.held_back.insert(devno, self.now);
        }
    }

    /// Everything is to be looked at.
    pub fn note_all_happened(&mut self) {
        let there = self.world.disks.iter().map(|(devno, disk)| (*devno, (self.now, disk.number)));
        self.settles.enumerated = there.collect();
    }

    /// Waits for all devices, or for these; the name of that.
    pub fn wait(&mut self, devnos: Option<Vec<DevNo>>) -> u64 {
        let settles = &mut self.settles;
        settles.last += 1;
        let id = settles.last;
        let mut owed = settles.happened.clone();
        match &devnos {
            Some(devnos) => owed.retain(|devno, _| devnos.contains(devno)),
            None => {
                for (devno, since) in &settles.enumerated {
                    let latest = owed.entry(*devno).or_insert(*since);
                    *latest = (*latest).max(*since);
                }
            }
        }
        settles.waiting.insert(id, owed);
        self.log(format_args!("wait {id} for {devnos:?}"));
        self.handle(match devnos {
            None => Event::Settle(id),
            Some(devnos) => Event::Await { id, devnos },
        });
        id
    }

    pub fn wait_step(&mut self) {
        let devnos = self.world.disks.keys().copied().collect::<Vec<_>>();
        if let (true, Some(devno)) = (self.rng.one_in(2), devnos.first()) {
            let restarts = self.rng.one_in(4);
            if let (true, Some(disk)) = (restarts, self.world.disks.get_mut(devno)) {
                disk.is_started = true;
            }
            // Told in one breath.
            self.handle(Event::Touched { devno: *devno, cause: Cause::Uevent("change") });
        }
        let some = (0..devnos.len().min(2)).map(|_| *self.rng.pick(&devnos));
        let some = some.collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>();
        let some = Some(some).filter(|some| !some.is_empty() && self.rng.one_in(2));
        self.wait(some);
    }

    pub fn is_settled(&self, id: u64) -> bool {
        self.settles.done.contains(&id)
    }

    /// Each device was read since, or it is said that it cannot be, or it is not to be read.
    pub fn check_settled(&mut self, id: u64, quarantined: Option<&[DevNo]>) {
        self.log(format_args!("    {id} has waited"));
        assert!(self.settles.done.insert(id), "settled twice");
        let owed = self.settles.waiting.remove(&id).expect("somebody waits");
        // What a client says has devices read again, and then what was read before does not count.
        for (devno, (since, number)) in owed.into_iter().filter(|_| !self.allowed(Kind::Say)) {
            if self.world.disks.get(&devno).is_none_or(|disk| disk.number != number) {
                continue;
            }
            let Some(device) = self.watcher.devices().get(&devno) else {
                panic!("settled, and {devno} is not known, of which something was told at {since:?}");
            };
            if device.quarantine.is_some() {
                let is_listed = quarantined.is_none_or(|quarantined| quarantined.contains(&devno));
                assert!(is_listed, "settled, and it is not said that {devno} is in quarantine");
                continue;
            }
            // That it may be read by now is news that came later, for which nobody waits.
            let was_held_back = self.settles.held_back.get(&devno).is_some_and(|at| *at >= since);
            let is_out = device.rule.is_some() || device.not_ready.is_some() || was_held_back;
            let is_read = device.seen.as_ref().is_some_and(|seen| seen.started >= since);
            // So is that it became another after it had been read, or readable after it was not.
            let was_answered = self.settles.answered.get(&devno).is_some_and(|started| *started >= since);
            assert!(
                is_out || is_read || was_answered,
                "settled, and {devno} was not read since something was told of it at {since:?}"
            );
        }
    }
}
