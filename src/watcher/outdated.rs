//! When a PV is outdated: it holds older metadata of a VG than another PV does.
//!
//! A command that changes a VG writes one PV after the other. Who reads in between sees the same
//! as who reads after a crash, or after a PV was away during a change. Clients *wipe* a PV that is
//! reported outdated and no longer a member, so we look twice: both PVs must have shown what they
//! show for at least a second, from the end of one good read to the start of another.

use super::device::Seen;
use super::{Report, Watcher};
use crate::devno::DevNo;
use crate::id::Id;
use std::time::Duration;

/// Longer than a command takes from its first commit to its last.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(1);

impl Watcher {
    /// Reports the PVs that are outdated for sure, and has the doubtful read again. Of a PV whose
    /// place is not known, no copy is believed.
    pub(super) fn look_for_outdated(&mut self, now: Duration, vgid: Id) {
        let newest = self.newest_of(vgid, |devno| self.is_trusted(devno));
        let seqno = newest.as_ref().map(|(_, text)| text.seqno);
        self.take_back_outdated(vgid, seqno);
        let holders = self.holders.get(&vgid).into_iter().flatten().copied();
        let is_older = |devno: DevNo| self.text_of(devno).is_some_and(|own| Some(own.seqno) < seqno);
        let was_reported = |devno: DevNo| {
            let seen = self.devices.get(&devno).and_then(|device| device.seen.as_ref());
            seen.is_some_and(|seen| seen.reported_outdated)
        };
        let (mut older, mut no_more) = (Vec::new(), Vec::new());
        for devno in holders {
            if is_older(devno) {
                older.push(devno);
            } else if was_reported(devno) {
                no_more.push(devno);
            }
        }
        for devno in no_more {
            self.forget_report(devno);
        }
        let Some((newest, _)) = newest else { return };
        for devno in older.into_iter().filter(|devno| self.is_trusted(*devno)).collect::<Vec<_>>() {
            self.judge(now, vgid, devno, newest);
        }
    }

    /// That it was reported counts no longer: if it comes to be outdated, that is news.
    fn forget_report(&mut self, devno: DevNo) {
        let device = self.devices.get_mut(&devno);
        if let Some(seen) = device.and_then(|device| device.seen.as_mut()) {
            seen.reported_outdated = false;
        }
    }

    /// The cache has other metadata of the VG, and may have lost its list of outdated PVs by that: of
    /// those that are not in it any more, that they are outdated is news.
    pub(super) fn forget_lost_reports(&mut self, vgid: Id) {
        let listed = self.cache.vg(&vgid.hyphenated()).map(|vg| vg.outdated()).unwrap_or_default();
        let is_listed = |devno: &DevNo| {
            self.pv_of(*devno).is_some_and(|pvid| listed.iter().any(|listed| **listed == *pvid.hyphenated()))
        };
        let holders = self.holders.get(&vgid).into_iter().flatten().copied();
        for devno in holders.filter(|devno| !is_listed(devno)).collect::<Vec<_>>() {
            self.forget_report(devno);
        }
    }

    /// What was reported because of a device that is not believed any more counts no longer.
    fn take_back_outdated(&mut self, vgid: Id, newest: Option<i64>) {
        let Some(vg) = self.cache.vg(&vgid.hyphenated()) else { return };
        for pvid in vg.outdated().to_vec() {
            let place = Id::from_hyphenated(&pvid).and_then(|pvid| self.place(pvid));
            let own = place.and_then(|place| self.text_of(place));
            let is_older = own.is_some_and(|own| own.vgid == vgid && newest.is_some_and(|newest| own.seqno < newest));
            if !is_older {
                let of_another = own.map(|own| own.vgid).filter(|other| *other != vgid).map(|other| other.hyphenated());
                self.cache.clear_outdated(&pvid, of_another.as_deref());
                place.into_iter().for_each(|place| self.forget_report(place));
            }
        }
    }

    fn judge(&mut self, now: Duration, vgid: Id, old: DevNo, new: DevNo) {
        let seen = |devno: DevNo| self.devices.get(&devno).and_then(|device| device.seen.as_ref());
        let (Some(old_seen), Some(new_seen)) = (seen(old), seen(new)) else { return };
        if old_seen.reported_outdated {
            return;
        }
        let both_since = old_seen.content_since.max(new_seen.content_since);
        let again_at = both_since + LOOK_AGAIN_AFTER;
        let confirmed = |devno: DevNo, seen: &Seen| {
            seen.started >= again_at
                && !self.touched.contains_key(&devno)
                && self.devices[&devno].is_quiet()
                && self.devices[&devno].quarantine.is_none()
        };
        if confirmed(old, old_seen) && confirmed(new, new_seen) {
            return self.report_outdated(vgid, old);
        }
        for devno in [old, new] {
            self.look_again(now, devno, again_at);
        }
    }

    /// Has the device read once more, unless a read is on its way; when that is done, it is judged
    /// again.
    fn look_again(&mut self, now: Duration, devno: DevNo, at: Duration) {
        let Some(device) = self.devices.get_mut(&devno) else { return };
        let read = device.seen.as_ref().is_some_and(|seen| seen.started >= at);
        // One that cannot be read is tried again as its quarantine says.
        let may_read = device.is_quiet() && device.quarantine.is_none();
        if !read && may_read && device.second_look.is_none_or(|other| other < at) {
            self.drop_second_look(devno);
            let at = at.max(now);
            self.devices.get_mut(&devno).expect("found above").second_look = Some(at);
            self.second_looks.insert((at, devno));
        }
    }

    pub(super) fn drop_second_look(&mut self, devno: DevNo) {
        if let Some(at) = self.devices.get_mut(&devno).and_then(|device| device.second_look.take()) {
            self.second_looks.remove(&(at, devno));
        }
    }

    fn report_outdated(&mut self, vgid: Id, devno: DevNo) {
        let seen = self.devices.get_mut(&devno).and_then(|device| device.seen.as_mut());
        seen.expect("it was judged by it").reported_outdated = true;
        let (device, pvid) = self.name_of(devno);
        let pvid = pvid.expect("a device with metadata has a PV");
        if self.cache.mark_outdated(&vgid.hyphenated(), &pvid) {
            self.report(Report::Outdated { device, pvid, vgid });
        }
    }
}
