//! Waiting until some devices have been looked at, whatever the others do.
//!
//! At boot a thousand may wait, each for a device of its own: only those are looked at whose
//! devices something has happened to.

use super::settle::SettleId;
use super::{Cause, Device, Effect, Watcher};
use crate::devno::DevNo;
use std::collections::{BTreeMap, BTreeSet};

/// The read that is waited for; `None` until it is known which.
type Read = Option<u64>;

#[derive(Debug, Default)]
pub(super) struct Awaited {
    /// How many devices each waits for.
    waiting: BTreeMap<SettleId, usize>,
    by_device: BTreeMap<DevNo, Vec<(SettleId, Read)>>,
    /// Something has happened to these.
    changed: BTreeSet<DevNo>,
    over: Vec<SettleId>,
}

impl Awaited {
    pub(super) fn note(&mut self, devno: DevNo) {
        if self.by_device.contains_key(&devno) {
            self.changed.insert(devno);
        }
    }

    pub(super) fn waits_for(&self, devno: DevNo) -> bool {
        self.by_device.get(&devno).is_some_and(|waiting| waiting.iter().any(|(id, _)| self.waiting.contains_key(id)))
    }

    pub(super) fn give_up(&mut self, id: SettleId) {
        self.waiting.remove(&id);
    }

    /// Who waits for a device waits for another because of it.
    pub(super) fn wait_too(&mut self, devno: DevNo, because_of: DevNo) {
        let ids = self.by_device.get(&because_of).into_iter().flatten().map(|(id, _)| *id);
        for id in ids.collect::<BTreeSet<_>>() {
            if self.waiting.contains_key(&id) {
                self.wait(id, devno, None);
            }
        }
    }

    fn wait(&mut self, id: SettleId, devno: DevNo, read: Read) {
        *self.waiting.entry(id).or_default() += 1;
        self.by_device.entry(devno).or_default().push((id, read));
    }

    fn done(&mut self, id: SettleId) {
        let left = self.waiting.get_mut(&id).expect("it waits for one at least");
        *left -= 1;
        if *left == 0 {
            self.waiting.remove(&id);
            self.over.push(id);
        }
    }
}

impl Watcher {
    /// Answers with [`Effect::Awaited`] when each of these that is dirty now, and each other device
    /// with the PV of one, has been scanned or quarantined. One that is not known is looked at.
    pub(super) fn await_devices(&mut self, id: SettleId, devnos: Vec<DevNo>) {
        // Until all of them are noted.
        self.awaited.waiting.insert(id, 1);
        let pvids = devnos.iter().filter_map(|devno| self.pv_of(*devno)).collect::<BTreeSet<_>>();
        let copies = pvids.into_iter().flat_map(|pvid| self.copies(pvid));
        for devno in devnos.iter().copied().chain(copies).collect::<BTreeSet<_>>() {
            if !self.devices.contains_key(&devno) {
                self.touched.entry(devno).or_insert(Cause::Asked);
            }
            if self.is_to_be_examined(devno) {
                self.awaited.wait(id, devno, None);
            } else if let Some(read) = self.read_to_come(devno) {
                self.awaited.wait(id, devno, Some(read));
                self.hurry_if_awaited(devno);
            }
        }
        self.awaited.done(id);
    }

    pub(super) fn answer_awaited(&mut self) {
        for devno in std::mem::take(&mut self.awaited.changed) {
            for (id, read) in self.awaited.by_device.remove(&devno).unwrap_or_default() {
                if !self.awaited.waiting.contains_key(&id) {
                    continue;
                }
                let read = match read {
                    None if self.is_to_be_examined(devno) => Some(None),
                    None => self.read_to_come(devno).map(Some),
                    Some(read) => {
                        let waits = self.devices.get(&devno).is_some_and(|device| !device.is_done(read));
                        waits.then_some(Some(read))
                    }
                };
                match read {
                    Some(read) => self.awaited.by_device.entry(devno).or_default().push((id, read)),
                    None => self.awaited.done(id),
                }
            }
        }
        let over = std::mem::take(&mut self.awaited.over);
        self.effects.extend(over.into_iter().map(Effect::Awaited));
    }

    fn is_to_be_examined(&self, devno: DevNo) -> bool {
        self.touched.contains_key(&devno) || self.examining.contains_key(&devno)
    }

    /// The read that is due of the device, or going on.
    fn read_to_come(&self, devno: DevNo) -> Read {
        self.devices.get(&devno).filter(|device| !device.is_quiet()).map(Device::wanted)
    }
}
