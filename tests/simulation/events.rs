//! What the kernel and inotify tell of, late, twice or not at all.

use crate::kinds::Kind;
use crate::sim::{Pending, Sim};
use crate::world::{Content, Disk, pvid};
use pvwatch::devno::DevNo;
use pvwatch::watcher::{Cause, Event};

impl Sim {
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
        // A read that is under way may have got what was there before.
        let is_being_read = |other: DevNo| self.jobs.values().any(|job| job.devno == other);
        let is_news = |(other, disk): (&DevNo, &Disk)| {
            *other != devno
                && written.is_some_and(|(store, _)| disk.store == store)
                && (is_being_read(*other)
                    || written.map(|(_, pv)| pv.map(pvid))
                        != self.watcher.devices().get(other).map(|device| device.pv().map(|pv| pv.id)))
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

    pub fn write(&mut self, devno: DevNo, content: Content) {
        if !self.world.disks.get(&devno).is_some_and(Disk::takes_writes) {
            return;
        }
        self.world.write(self.now, devno, content);
        self.closed(devno);
    }
}
