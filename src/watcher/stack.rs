//! Devices that lie on each other, and what multipath keeps from being read.
//!
//! | what multipath has to do with it | then |
//! |---|---|
//! | a map has it, or it is known to be a path | it is no PV, and not read; the map is |
//! | its target answers no reads now | what is known of it stays; it is looked at again |
//! | a map may be about to take it | it is no PV yet, and not read, for `multipath_wait` |

use super::device::{Device, HeldBack, Reason};
use super::{Cause, Effect, Watcher};
use crate::device::Facts;
use crate::devno::DevNo;
use crate::multipath::Standing;
use std::collections::BTreeSet;
use std::time::Duration;

/// The first look for a map; the wait doubles with each.
const LOOK_FIRST: Duration = Duration::from_millis(100);

impl Watcher {
    /// Has those looked at on which this device lies now, or did before, unless they know.
    pub(super) fn look_below(&mut self, devno: DevNo, facts: &Facts) {
        let before = self.devices.get(&devno).into_iter().flat_map(|device| &device.facts.stack.slaves);
        let all = before.chain(&facts.stack.slaves).copied().collect::<BTreeSet<_>>();
        let knows = |below: &DevNo| {
            let holders = self.devices.get(below).map(|device| &device.facts.stack.holders);
            let known = holders.and_then(|holders| holders.iter().find(|holder| holder.devno == devno));
            match known {
                Some(known) => {
                    facts.stack.slaves.contains(below)
                        && known.dm_uuid == facts.dm_uuid
                        && known.dm_name == facts.dm_name
                }
                None => !facts.stack.slaves.contains(below),
            }
        };
        for below in all.into_iter().filter(|below| !knows(below)).collect::<Vec<_>>() {
            self.touch(below, Cause::Stacked);
            // What multipath holds of a disk, it holds of its partitions.
            let on_it = |facts: &Facts| facts.stack.disk == Some(below);
            let partitions = self.devices.iter().filter(|(_, device)| on_it(&device.facts)).map(|(devno, _)| *devno);
            for partition in partitions.collect::<Vec<_>>() {
                self.touch(partition, Cause::Stacked);
            }
        }
    }

    /// A new partition may be what holds a superblock that was taken for the disk's.
    pub(super) fn look_beside(&mut self, devno: DevNo, facts: &Facts) {
        if facts.stack.disk.is_none() || self.devices.contains_key(&devno) {
            return;
        }
        let is_member = |device: &Device| device.seen.as_ref().is_some_and(|seen| seen.content.member().is_some());
        let beside = |device: &Device| device.facts.stack.disk == facts.stack.disk && is_member(device);
        let others = self.devices.iter().filter(|(_, device)| beside(device)).map(|(devno, _)| *devno);
        for other in others.collect::<Vec<_>>() {
            self.touch(other, Cause::Partition);
        }
    }

    /// Keeps the device from being read if multipath does, now that its facts are known. Whether so.
    pub(super) fn hold_back(&mut self, now: Duration, devno: DevNo) -> bool {
        let standing = self.settings.multipath.standing(&self.devices[&devno].facts);
        let before = self.let_go(devno);
        let known_free = self.no_paths.remove(&devno);
        let device = self.devices.get_mut(&devno).expect("the caller has it");
        device.waited_for_map |= known_free;
        match standing {
            Standing::Free => return false,
            Standing::Component(member) => {
                device.held_back = Some(HeldBack::Component(Box::new(member)));
                self.effects.push_back(Effect::Unwatch(devno));
                self.withdraw(now, devno);
            }
            Standing::Passive(state) => {
                device.held_back = Some(HeldBack::Passive(state));
                device.give_up();
                if device.seen.is_some() {
                    self.quarantine(now, devno, Reason::Passive);
                } else {
                    self.look_at(now + self.settings.retry_max, devno);
                }
                self.device_resolved(devno);
            }
            Standing::Pending => {
                let since = match before {
                    Some(HeldBack::Pending { since, .. }) => since,
                    _ => now,
                };
                let until = since + self.settings.multipath_wait;
                if device.seen.is_some() || device.waited_for_map || until <= now {
                    device.waited_for_map = true;
                    return false;
                }
                let again_at = (since + LOOK_FIRST.max(2 * (now - since))).min(until);
                device.held_back = Some(HeldBack::Pending { since, until });
                device.give_up();
                self.look_at(again_at, devno);
                self.device_resolved(devno);
            }
        }
        true
    }

    /// Somebody knows that multipath does not take the device for a path: it is not waited for a map.
    pub fn know_no_path(&mut self, devno: DevNo) {
        self.no_paths.insert(devno);
        if self.devices.get(&devno).is_some_and(|device| device.held_back.is_some()) {
            self.touch(devno, Cause::Waited);
        }
    }

    fn look_at(&mut self, at: Duration, devno: DevNo) {
        self.devices.get_mut(&devno).expect("the caller has it").look_at = Some(at);
        self.looks.insert((at, devno));
    }

    /// Holds the device back no more, and does not look at it again for that. How it was held back.
    pub(super) fn let_go(&mut self, devno: DevNo) -> Option<HeldBack> {
        let device = self.devices.get_mut(&devno)?;
        if let Some(at) = device.look_at.take() {
            self.looks.remove(&(at, devno));
        }
        device.held_back.take()
    }
}

#[cfg(test)]
mod tests;
