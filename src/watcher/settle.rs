//! Waiting until everything known now has been looked at.

use super::{Cause, Device, Effect, Watcher};
use crate::devno::DevNo;
use std::collections::{BTreeMap, BTreeSet};

/// The caller's name for one who waits.
pub type SettleId = u64;

#[derive(Debug)]
pub(super) struct Settle {
    pub(super) id: SettleId,
    /// An enumeration was due or running.
    resync: bool,
    /// Not looked at yet.
    examine: BTreeSet<DevNo>,
    /// The read of each device that is waited for.
    reads: BTreeMap<DevNo, u64>,
}

impl Settle {
    /// Waits for a device that is to be looked at because of one waited for.
    pub(super) fn wait_for(&mut self, devno: DevNo) {
        self.examine.insert(devno);
    }
}

impl Watcher {
    /// Answers with [`Effect::Settled`] when each device that is dirty now has been scanned or
    /// quarantined, and a resync that is due now is over.
    pub(super) fn settle(&mut self, id: SettleId) {
        let reads = self.unquiet.iter().filter_map(|devno| Some((*devno, self.devices.get(devno)?.wanted())));
        self.settles.push(Settle {
            id,
            resync: self.owes_resync() || self.first_scan.as_ref().is_some_and(|scan| !scan.enumerated),
            examine: self.touched.keys().chain(self.examining.keys()).copied().collect(),
            reads: reads.collect(),
        });
        self.hurry_all();
    }

    /// Notes that a device has something to wait for. One in quarantine has been answered for: its
    /// next try concerns nobody, unless something has happened to it.
    pub(super) fn note_unquiet(&mut self, devno: DevNo) {
        let retried = |device: &Device| device.quarantine.is_some() && device.cause == Cause::Retry;
        if !self.devices.get(&devno).is_some_and(retried) {
            self.unquiet.insert(devno);
        }
    }

    /// Notes that a device was read, given up or forgotten.
    pub(super) fn device_resolved(&mut self, devno: DevNo) {
        if self.devices.get(&devno).is_none_or(Device::is_quiet) {
            self.unquiet.remove(&devno);
        }
        self.awaited.note(devno);
        self.note_choice_due(devno);
        self.note_standing(devno);
    }

    pub(super) fn answer_settles(&mut self) {
        for mut settle in std::mem::take(&mut self.settles) {
            if settle.resync && !self.owes_resync() {
                // What the enumeration found is what is waited for now.
                settle.resync = false;
                settle.examine.extend(self.touched.keys().chain(self.examining.keys()));
                settle.reads.extend(self.unquiet.iter().filter_map(|d| Some((*d, self.devices.get(d)?.wanted()))));
            }
            while let Some(devno) = settle.examine.first().copied() {
                if self.touched.contains_key(&devno) || self.examining.contains_key(&devno) {
                    break;
                }
                settle.examine.remove(&devno);
                settle.reads.extend(self.devices.get(&devno).map(|device| (devno, device.wanted())));
            }
            // Only the first is looked at each time: there may be very many.
            while let Some((devno, read)) = settle.reads.first_key_value() {
                if self.devices.get(devno).is_some_and(|device| !device.is_done(*read)) {
                    break;
                }
                settle.reads.pop_first();
            }
            if settle.resync || !settle.examine.is_empty() || !settle.reads.is_empty() {
                self.settles.push(settle);
                continue;
            }
            let quarantined = self.devices.iter().filter(|(_, device)| device.quarantine.is_some());
            let quarantined = quarantined.map(|(devno, _)| *devno).collect();
            self.effects.push_back(Effect::Settled { id: settle.id, quarantined });
        }
    }
}
