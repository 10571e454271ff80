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
    /// Has those looked at on which this device lies now, or did before, unless they know; and those
    /// that were told that it does, which need not be what itself said when it was looked at last.
    pub(super) fn look_below(&mut self, devno: DevNo, facts: &Facts) {
        let slaves = &facts.stack.slaves;
        let before = self.devices.get(&devno).into_iter().flat_map(|device| &device.facts.stack.slaves);
        let told = self.told_of.get(&devno).into_iter().flatten();
        let all = before.chain(slaves).chain(told).copied().collect::<BTreeSet<_>>();
        let knows = |below: &DevNo| {
            let stack = self.devices.get(below).map(|device| &device.facts.stack);
            let is_on_disk = stack.and_then(|stack| stack.disk).is_some_and(|disk| slaves.contains(&disk));
            let lies_there = slaves.contains(below) || is_on_disk;
            match stack.and_then(|stack| stack.all_holders().find(|holder| holder.devno == devno)) {
                Some(known) => lies_there && known.dm_uuid == facts.dm_uuid && known.dm_name == facts.dm_name,
                None => !lies_there,
            }
        };
        for below in all.into_iter().filter(|below| !knows(below)).collect::<Vec<_>>() {
            self.touch(below, Cause::Stacked);
            // What multipath holds of a disk, it holds of its partitions.
            for partition in self.partitions_of(below).map(|(devno, _)| devno).collect::<Vec<_>>() {
                self.touch(partition, Cause::Stacked);
            }
        }
    }

    /// Notes what the kernel says of what lies on the device, before that is stored; if it says something
    /// new, partitions of it are looked at that do not know. `None`: it is gone.
    pub(super) fn note_holders(&mut self, devno: DevNo, facts: Option<&Facts>) {
        let before = self.devices.get(&devno).map(|device| &device.facts.stack);
        if before == facts.map(|facts| &facts.stack) {
            return;
        }
        let before = before.cloned().unwrap_or_default();
        for holder in before.all_holders() {
            if let Some(told) = self.told_of.get_mut(&holder.devno) {
                told.remove(&devno);
                if told.is_empty() {
                    self.told_of.remove(&holder.devno);
                }
            }
        }
        let Some(after) = facts.map(|facts| &facts.stack) else { return };
        for holder in after.all_holders() {
            self.told_of.entry(holder.devno).or_default().insert(devno);
        }
        if before.holders == after.holders {
            return;
        }
        let knows = |partition: &Device| partition.facts.stack.disk_holders == after.holders;
        let partitions = self.partitions_of(devno).filter(|(_, partition)| !knows(partition));
        for partition in partitions.map(|(devno, _)| devno).collect::<Vec<_>>() {
            self.touch(partition, Cause::Stacked);
        }
    }

    /// Notes which disk the device is a partition of, before that is stored. `None`: it is gone.
    pub(super) fn note_disk(&mut self, devno: DevNo, facts: Option<&Facts>) {
        let before = self.devices.get(&devno).and_then(|device| device.facts.stack.disk);
        let after = facts.and_then(|facts| facts.stack.disk);
        if before == after {
            return;
        }
        if let Some(before) = before
            && let Some(partitions) = self.partitions.get_mut(&before)
        {
            partitions.remove(&devno);
            if partitions.is_empty() {
                self.partitions.remove(&before);
            }
        }
        if let Some(after) = after {
            self.partitions.entry(after).or_default().insert(devno);
        }
    }

    pub(super) fn partitions_of(&self, disk: DevNo) -> impl Iterator<Item = (DevNo, &Device)> {
        let partitions = self.partitions.get(&disk).into_iter().flatten();
        partitions.filter_map(|devno| Some((*devno, self.devices.get(devno)?)))
    }

    /// What was written to a device that goes unread is on those that it lay on. The word of that may
    /// come after that of its end, or has come already.
    pub(super) fn read_below(&mut self, devno: DevNo) {
        let is_unread = |device: &Device| device.quarantine.is_some() || device.seen.is_none() || !device.is_quiet();
        let device = self.devices.get(&devno).filter(|device| device.rule.is_none() && is_unread(device));
        for below in device.map(|device| device.facts.stack.slaves.clone()).unwrap_or_default() {
            self.touch(below, Cause::Above);
        }
    }

    /// A superblock in a partition is not the disk's. So where there is a partition now, those beside it
    /// that were taken for members of an array may be none, and where there is one no more, they may be.
    /// `None`: it is gone.
    pub(super) fn look_beside(&mut self, devno: DevNo, facts: Option<&Facts>) {
        let place = |facts: &Facts| facts.stack.disk.map(|disk| (disk, facts.stack.start, facts.size));
        // One whose facts could not be read before is as good as new.
        let before = self.devices.get(&devno).and_then(|device| place(&device.facts));
        let after = facts.and_then(place);
        if before == after {
            return;
        }
        for (place, are_members) in [(before, false), (after, true)] {
            let Some((disk, ..)) = place else { continue };
            let may_change = |device: &Device| {
                let is_member = device.seen.as_ref().map(|seen| seen.content.member().is_some());
                is_member == Some(are_members)
            };
            let others = self.partitions_of(disk).filter(|(other, device)| *other != devno && may_change(device));
            for other in others.map(|(devno, _)| devno).collect::<Vec<_>>() {
                self.touch(other, Cause::Partition);
            }
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
