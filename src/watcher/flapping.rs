//! Devices that change again and again, which are read less often.
//!
//! Each device may be read at once as often as it takes for whatever commands do. One that goes on
//! beyond that flaps: its reads have a pause between them, which grows while it goes on. What is
//! known of it is known to be possibly old all the while, as of any device that waits to be read;
//! that it has gone is seen at once, without a read.

use super::{Cause, Report, Watcher, pop_due};
use crate::devno::DevNo;
use std::collections::BTreeMap;
use std::time::Duration;

/// What a device may be read at once for something that happened to it. A command that changes a VG
/// has each of its PVs read two or three times.
const AT_ONCE: u32 = 100;
/// After each of these it may be read once more.
const EARNED_EVERY: Duration = Duration::from_millis(100);
/// The pause of one that begins to flap; each read doubles it. It is not longer than this for one
/// that somebody waits for, however it flaps.
const PAUSE_FIRST: Duration = Duration::from_millis(100);
/// Whoever waits for nothing sees what has become of it no later than this.
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// One that nothing has happened to for so long does not flap any more.
const CALM_AFTER: Duration = Duration::from_secs(10);
/// Devices whose reads are counted, before those that have earned theirs again are forgotten.
const COUNTED_MIN: usize = 64;

/// A device that flaps; all times are since the start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flapping {
    pub since: Duration,
    /// What has happened to it since then, and how often it was read for that.
    pub changes: u64,
    pub reads: u64,
    pause: Duration,
    last_change: Duration,
    last_read: Duration,
}

/// How often each device was read lately. A device may be forgotten and come back meanwhile.
#[derive(Debug, Default)]
pub(super) struct Paces {
    /// When a device will have earned back all that it was read.
    earned_at: BTreeMap<DevNo, Duration>,
    flapping: BTreeMap<DevNo, Flapping>,
    forget_from: usize,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Pace {
    Now,
    /// It begins to flap.
    Begins(Duration),
    At(Duration),
}

impl Paces {
    /// When a device that has something to be read for may be read, given whether somebody waits.
    pub(super) fn pace(&mut self, now: Duration, devno: DevNo, awaited: bool) -> Pace {
        if let Some(flapping) = self.flapping.get(&devno) {
            let pause = if awaited { PAUSE_FIRST } else { flapping.pause };
            let at = flapping.last_read + pause;
            return if at <= now { Pace::Now } else { Pace::At(at) };
        }
        let earned_at = self.earned_at.get(&devno).copied().unwrap_or_default();
        if earned_at.saturating_sub(now) <= EARNED_EVERY * (AT_ONCE - 1) {
            return Pace::Now;
        }
        let flapping =
            Flapping { since: now, changes: 1, reads: 0, pause: PAUSE_FIRST, last_change: now, last_read: now };
        self.flapping.insert(devno, flapping);
        Pace::Begins(now + PAUSE_FIRST)
    }

    pub(super) fn read(&mut self, now: Duration, devno: DevNo) {
        if let Some(flapping) = self.flapping.get_mut(&devno) {
            flapping.reads += 1;
            flapping.last_read = now;
            flapping.pause = (flapping.pause * 2).min(PAUSE_MAX);
        }
        let earned_at = self.earned_at.entry(devno).or_default();
        *earned_at = (*earned_at).max(now) + EARNED_EVERY;
        if self.earned_at.len() > self.forget_from.max(COUNTED_MIN) {
            self.earned_at.retain(|_, earned_at| *earned_at > now);
            self.forget_from = self.earned_at.len() * 2;
        }
    }

    pub(super) fn changed(&mut self, now: Duration, devno: DevNo) {
        if let Some(flapping) = self.flapping.get_mut(&devno) {
            flapping.changes += 1;
            flapping.last_change = now;
        }
    }

    pub(super) fn get(&self, devno: DevNo) -> Option<&Flapping> {
        self.flapping.get(&devno)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = (DevNo, &Flapping)> {
        self.flapping.iter().map(|(devno, flapping)| (*devno, flapping))
    }

    pub(super) fn poll_timeout(&self) -> Option<Duration> {
        self.flapping.values().map(|flapping| flapping.last_change.max(flapping.last_read) + CALM_AFTER).min()
    }

    /// Those that flap no more.
    pub(super) fn calm(&mut self, now: Duration) -> Vec<(DevNo, Flapping)> {
        let is_calm = |flapping: &Flapping| flapping.last_change.max(flapping.last_read) + CALM_AFTER <= now;
        let (calm, others) =
            std::mem::take(&mut self.flapping).into_iter().partition(|(_, flapping)| is_calm(flapping));
        self.flapping = others;
        BTreeMap::into_iter(calm).collect()
    }
}

/// Whether a read for this counts: that it happens again and again is the device's doing, or that of
/// who writes to it.
fn counts(cause: Cause) -> bool {
    matches!(
        cause,
        Cause::Uevent(_) | Cause::Written | Cause::Node | Cause::Client | Cause::Asked | Cause::Echo | Cause::Partition
    )
}

impl Watcher {
    /// Of the device, if it flaps.
    pub fn flapping(&self, devno: DevNo) -> Option<&Flapping> {
        self.paces.get(devno)
    }

    pub fn all_flapping(&self) -> impl Iterator<Item = (DevNo, &Flapping)> {
        self.paces.all()
    }

    /// Whether a device that may be read now has to wait because it flaps. It is asked once for each read.
    pub(super) fn is_paced(&mut self, now: Duration, devno: DevNo) -> bool {
        let awaited = self.is_waited_for(devno);
        let Some(cause) = self.devices.get(&devno).map(|device| device.cause) else { return false };
        if self.paces.get(devno).is_none() && !counts(cause) {
            return false;
        }
        let pace = self.paces.pace(now, devno, awaited);
        let at = match pace {
            Pace::Now => {
                self.paces.read(now, devno);
                return false;
            }
            Pace::Begins(at) | Pace::At(at) => at,
        };
        if matches!(pace, Pace::Begins(_)) {
            let (device, pvid) = self.name_of(devno);
            self.report(Report::Flapping { device, pvid });
        }
        if let Some(device) = self.devices.get_mut(&devno) {
            device.paced_until = Some(at);
            self.paced.insert((at, devno));
        }
        true
    }

    /// Somebody waits for everything, or for this device.
    fn is_waited_for(&self, devno: DevNo) -> bool {
        !self.settles.is_empty() || self.awaited.waits_for(devno)
    }

    /// Ends the pause of one that somebody begins to wait for: it may be a shorter one.
    pub(super) fn hurry(&mut self, devno: DevNo) {
        if self.drop_pace(devno) {
            self.enqueue(devno);
        }
    }

    pub(super) fn hurry_all(&mut self) {
        for (_, devno) in self.paced.clone() {
            self.hurry(devno);
        }
    }

    /// The same if somebody waits for it already.
    pub(super) fn hurry_if_awaited(&mut self, devno: DevNo) {
        if self.devices.get(&devno).is_some_and(|device| device.paced_until.is_some()) && self.is_waited_for(devno) {
            self.hurry(devno);
        }
    }

    /// True if it was waiting for its time.
    pub(super) fn drop_pace(&mut self, devno: DevNo) -> bool {
        let at = self.devices.get_mut(&devno).and_then(|device| device.paced_until.take());
        at.is_some_and(|at| self.paced.remove(&(at, devno)))
    }

    pub(super) fn flapping_timeout(&self) -> Option<Duration> {
        let due = self.paced.first().map(|(at, _)| *at);
        due.into_iter().chain(self.paces.poll_timeout()).min()
    }

    pub(super) fn handle_flapping_timeout(&mut self, now: Duration) {
        while let Some((_, devno)) = pop_due(&mut self.paced, now) {
            if let Some(device) = self.devices.get_mut(&devno) {
                device.paced_until = None;
                self.enqueue(devno);
            }
        }
        if self.paces.poll_timeout().is_none_or(|at| at > now) {
            return;
        }
        for (devno, flapping) in self.paces.calm(now) {
            let (device, pvid) = self.name_of(devno);
            let Flapping { since, changes, reads, last_change, .. } = flapping;
            let lasted = last_change.saturating_sub(since);
            self.report(Report::Calm { device, pvid, changes, reads, lasted });
        }
    }
}

#[cfg(test)]
mod tests;
