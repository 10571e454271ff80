//! Holding the cache to what the disks say.

use super::online::Origin;
use super::{Device, Report, VgState, Watcher};
use crate::cache::{FoundPv, Key, NewBody, NewMetadata, ORPHAN};
use crate::devno::DevNo;
use crate::id::Id;
use crate::metadata::VgText;
use crate::text::Section;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

/// What has to be looked at after something was found on a device.
#[derive(Debug, Default)]
pub(super) struct Changed {
    /// To be held to the disks.
    pub(super) vgids: BTreeSet<Id>,
    /// Whose PV may have come online or gone.
    pub(super) devnos: BTreeSet<DevNo>,
    pub(super) origin: Origin,
}

impl Watcher {
    /// Brings the last verdict on a device into the cache.
    pub(super) fn apply(&mut self, now: Duration, devno: DevNo, origin: Origin) {
        let in_cache = self.cache.pvid_on(devno.to_wire()).cloned();
        let mut changed = Changed { vgids: self.vgids_of(devno, in_cache.as_ref()), origin, ..Changed::default() };
        let before = self.note_copy(devno);
        let after = self.pv_of(devno);
        // A client may have replaced in the cache what we had put there.
        let wrong = in_cache.filter(|key| after.is_none_or(|after| after.hyphenated() != **key));
        if let Some(key) = &wrong {
            self.not_found(devno);
            self.cache.clear_outdated(key, None);
            self.changed_since_scan = true;
        }
        if before != after || after.is_none() {
            self.index_text(devno);
            changed.devnos.insert(devno);
        }
        let wrong = wrong.and_then(|key| Id::from_hyphenated(&key));
        for pvid in [before, wrong, after].into_iter().flatten().collect::<BTreeSet<_>>() {
            self.choose(pvid, &mut changed);
        }
        self.finish(now, changed);
    }

    /// The PV is on this device, and in the cache on no other.
    pub(super) fn found(&mut self, devno: DevNo) {
        let Some(pv) = self.devices.get(&devno).and_then(Device::pv) else { return };
        let (pvid, pvmeta) = (pv.id.hyphenated(), Section(pv.pvmeta(devno.to_dev_t())));
        let text = pv.metadata_to_serve().cloned();
        let vgid = text.as_ref().map(|text| text.vgid.hyphenated());
        let metadata = text.as_ref().zip(vgid.as_deref()).map(|(text, vgid)| NewMetadata {
            name: &text.name,
            vgid,
            seqno: text.seqno,
            body: NewBody::Shared(&text.body),
        });
        let known = self.cache.device_of(&pvid) == Some(devno.to_wire());
        let result = self.cache.pv_found(FoundPv { pvid: &pvid, device: devno.to_wire(), pvmeta: &pvmeta, metadata });
        if let Ok(found) = result
            && !known
        {
            let (device, _) = self.name_of(devno);
            let vg =
                text.map(|text| text.name.clone()).or_else(|| (*found.vgid != *ORPHAN).then(|| found.vgname.to_vec()));
            self.report(Report::Found { device, pvid, vg });
        }
    }

    /// What the cache has on the device is not there, or the device is not.
    fn not_found(&mut self, devno: DevNo) {
        if let Ok(pvid) = self.cache.pv_gone(None, Some(devno.to_wire())) {
            let (device, _) = self.name_of(devno);
            self.report(Report::Gone { device, pvid: pvid.to_vec() });
        }
    }

    /// Takes back whatever the cache has from a device that is not to be read any more.
    pub(super) fn withdraw(&mut self, now: Duration, devno: DevNo) {
        if let Some(device) = self.devices.get_mut(&devno) {
            device.give_up();
        }
        self.retract(now, devno);
        self.device_resolved(devno);
    }

    /// The same of one that is to be read anew: whoever waits for a read of it goes on waiting.
    pub(super) fn retract(&mut self, now: Duration, devno: DevNo) {
        self.drop_retry(devno);
        self.drop_second_look(devno);
        if let Some(device) = self.devices.get_mut(&devno) {
            device.seen = None;
            device.quarantine = None;
            device.distrust();
        }
        self.apply(now, devno, Origin::Went);
    }

    /// A device that cannot be read keeps its place, whatever a client said of it meanwhile.
    pub(super) fn serve_last_known(&mut self, now: Duration, devno: DevNo) {
        if self.devices.get(&devno).is_some_and(|device| device.pv().is_some()) {
            self.apply(now, devno, Origin::Look);
        }
    }

    /// Does what follows from what was found on devices.
    pub(super) fn finish(&mut self, now: Duration, changed: Changed) {
        self.doubts_due = true;
        self.online.truth.begin_event(changed.origin);
        for vgid in changed.vgids {
            self.reconcile(now, vgid);
        }
        for devno in changed.devnos {
            self.note_online(devno);
        }
        self.online.truth.begin_event(Origin::default());
    }

    /// The VGs that a change of this device may concern.
    pub(super) fn vgids_of(&self, devno: DevNo, pvid: Option<&Key>) -> BTreeSet<Id> {
        let owner = pvid.and_then(|pvid| self.cache.owner(pvid)).and_then(|vgid| Id::parse(vgid));
        let text = self.indexed.get(&devno).copied();
        let read = self.text_of(devno).map(|text| text.vgid);
        [owner, text, read].into_iter().flatten().collect()
    }

    pub(super) fn pv_of(&self, devno: DevNo) -> Option<Id> {
        self.devices.get(&devno)?.pv().map(|pv| pv.id)
    }

    /// The metadata that was read from this device last, if it can be served.
    pub(super) fn text_of(&self, devno: DevNo) -> Option<&Rc<VgText>> {
        self.devices.get(&devno)?.pv()?.metadata_to_serve()
    }

    /// Notes which VG the device's text is of; that of a copy which was not chosen counts for nothing.
    pub(super) fn index_text(&mut self, devno: DevNo) {
        let vgid = self.text_of(devno).map(|text| text.vgid).filter(|_| self.speaks(devno));
        let before = match vgid {
            Some(vgid) => self.indexed.insert(devno, vgid),
            None => self.indexed.remove(&devno),
        };
        if let Some(before) = before.filter(|before| Some(*before) != vgid)
            && let Some(holders) = self.holders.get_mut(&before)
        {
            holders.remove(&devno);
            if holders.is_empty() {
                self.holders.remove(&before);
            }
        }
        if let Some(vgid) = vgid {
            self.holders.entry(vgid).or_default().insert(devno);
        }
    }

    pub(super) fn is_older(&self, text: &VgText) -> bool {
        self.newest_of(text.vgid, |devno| self.is_trusted(devno)).is_some_and(|(_, newest)| newest.seqno > text.seqno)
    }

    /// The newest metadata of the VG. What is on a copy that may be the wrong one counts only where
    /// no other PV says anything: a clone may have lost the rest of its VG.
    pub(super) fn newest(&self, vgid: Id) -> Option<(DevNo, Rc<VgText>)> {
        let is_certain = |devno| self.pv_of(devno).is_some_and(|pvid| !self.is_ambiguous(pvid));
        self.newest_of(vgid, is_certain).or_else(|| self.newest_of(vgid, |_| true))
    }

    /// The newest on some of the devices. Of two that differ at the same seqno, the one in the cache;
    /// else that of the lower device number.
    pub(super) fn newest_of(&self, vgid: Id, counts: impl Fn(DevNo) -> bool) -> Option<(DevNo, Rc<VgText>)> {
        let holders = self.holders.get(&vgid)?.iter();
        let texts = holders.filter_map(|devno| Some((*devno, self.text_of(*devno)?)));
        // What was just read of another VG is not indexed before a choice that is due.
        let texts = texts.filter(|(_, text)| text.vgid == vgid);
        // Whether it counts takes longer to say than what it says, and mostly all say the same.
        let mut newest = None;
        for (devno, text) in texts.clone() {
            if newest.is_none_or(|newest| text.seqno > newest) && counts(devno) {
                newest = Some(text.seqno);
            }
        }
        let newest = newest?;
        let mut candidates = texts.filter(|(devno, text)| text.seqno == newest && counts(*devno));
        let cached = self.cache.vg(&vgid.hyphenated());
        let kept = candidates.clone().find(|(_, text)| cached.is_some_and(|cached| cached.is_text(&text.body)));
        kept.or_else(|| candidates.next()).map(|(devno, text)| (devno, Rc::clone(text)))
    }

    /// Notes whether the VG in the cache is newer than on any disk that has been read.
    pub(super) fn note_told(&mut self, vgid: Id) {
        let read = self.newest_of(vgid, |_| true).map_or(0, |(_, text)| text.seqno);
        match self.cache.vg(&vgid.hyphenated()) {
            Some(vg) if vg.seqno() > read => drop(self.only_told.insert(vgid)),
            _ => drop(self.only_told.remove(&vgid)),
        }
    }

    /// Holds the VG to the newest metadata on disk.
    fn reconcile(&mut self, now: Duration, vgid: Id) {
        self.hold_vg(now, vgid);
        if self.only_told.contains(&vgid) {
            self.note_told(vgid);
        }
    }

    fn hold_vg(&mut self, now: Duration, vgid: Id) {
        let key = vgid.hyphenated();
        let newest = self.newest(vgid);
        let text = newest.as_ref().map(|(_, text)| Rc::clone(text));
        let before = self.note_vg(vgid, text.clone());
        if before.as_ref().map(Rc::as_ptr) != text.as_ref().map(Rc::as_ptr) {
            before.iter().chain(&text).for_each(|text| self.note_named(text));
        }
        match newest {
            None => {
                if self.cache.vg(&key).is_some() && self.may_go_back(vgid) {
                    self.cache.vg_remove(&key);
                }
                self.report_vg(now, vgid);
            }
            Some((_, text)) => {
                let new =
                    NewMetadata { name: &text.name, vgid: &key, seqno: text.seqno, body: NewBody::Shared(&text.body) };
                if self.differs(&text, &key) {
                    // Metadata comes from a checked text with seqno > 0, or was refused before.
                    let _ = self.cache.vg_update(new);
                    self.forget_lost_reports(vgid);
                } else if self.cache.vg(&key).is_some_and(|vg| {
                    vg.invalid() && vg.external_version().is_some_and(|version| (1..=text.seqno).contains(&version))
                }) {
                    // What was announced is on disk and read.
                    let _ = self.cache.vg_update(new);
                }
                self.look_for_outdated(now, vgid);
                self.report_vg(now, vgid);
            }
        }
    }

    /// Whether the cached VG is to be replaced: by newer metadata at once, by anything else only
    /// when all its devices have been read since they last changed.
    fn differs(&mut self, text: &VgText, key: &[u8]) -> bool {
        let Some(cached) = self.cache.vg(key) else { return text.seqno > 0 };
        if text.seqno > cached.seqno() {
            return true;
        }
        let same = text.seqno == cached.seqno() && **cached.name() == *text.name && cached.has_content(&text.body);
        if text.seqno < cached.seqno() && self.may_be_unseen(text.vgid) {
            self.doubtful.insert(key.into());
            return false;
        }
        !same && text.seqno > 0 && self.may_go_back(text.vgid)
    }

    /// Whether every device that the VG concerns has been read since its last sign of change. If
    /// not, the VG is looked at again then.
    fn may_go_back(&mut self, vgid: Id) -> bool {
        let may = self.is_known_vg(vgid);
        if !may {
            self.doubtful.insert(vgid.hyphenated().into());
        }
        may
    }

    /// Notes a VG that a client told us of.
    pub(super) fn doubt(&mut self, vgid: Key) {
        self.doubtful.insert(vgid);
        self.doubts_due = true;
    }

    /// Holds the doubtful VGs to the disks, once all there is to read has been read.
    pub(super) fn resolve_doubts(&mut self, now: Duration) {
        if !self.doubts_due || !self.is_quiet() {
            return;
        }
        self.doubts_due = false;
        if !self.has_duplicates() {
            self.cache.duplicates_resolved();
        }
        let only_told = std::mem::take(&mut self.only_told);
        self.only_told = only_told.into_iter().filter(|vgid| self.cache.vg(&vgid.hyphenated()).is_some()).collect();
        for key in std::mem::take(&mut self.doubtful) {
            match Id::parse(&key).filter(|vgid| vgid.hyphenated() == *key) {
                Some(vgid) => self.reconcile(now, vgid),
                // No disk says this.
                None => self.cache.vg_remove(&key),
            }
        }
    }

    fn is_known_vg(&self, vgid: Id) -> bool {
        if self.only_told.contains(&vgid) && self.may_be_unread(vgid) {
            return false;
        }
        let listed = self.cache.vg(&vgid.hyphenated()).into_iter().flat_map(|vg| vg.pvids());
        let present = listed.clone().filter_map(|pvid| self.cache.device_of(pvid));
        let devnos = present.map(DevNo::from_wire);
        // One that is nowhere for the moment may be on another device, which is read again first.
        let copies = listed.filter_map(|pvid| Id::from_hyphenated(pvid)).flat_map(|pvid| self.copies(pvid));
        let holders = self.holders.get(&vgid).into_iter().flatten().copied();
        devnos.chain(copies).chain(holders).all(|devno| {
            !self.touched.contains_key(&devno)
                && !self.examining.contains_key(&devno)
                && self.devices.get(&devno).is_none_or(|device| device.is_quiet() && !device.is_stale())
        })
    }

    /// Whether a PV of the VG may be on a device of which nobody can say yet what is on it.
    fn may_be_unread(&self, vgid: Id) -> bool {
        let is_unread = |device: &Device| device.quarantine.is_some() || !device.is_quiet();
        self.has_some_nowhere(vgid) && (!self.is_enumerated() || self.devices.values().any(is_unread))
    }

    /// Whether a PV of the VG may be on a device that has come, perhaps under another name, and could
    /// not be read so far.
    fn may_be_unseen(&self, vgid: Id) -> bool {
        let is_unseen = |device: &Device| device.quarantine.is_some() && device.seen.is_none();
        self.has_some_nowhere(vgid) && self.devices.values().any(is_unseen)
    }

    fn has_some_nowhere(&self, vgid: Id) -> bool {
        let is_nowhere = |pvid: &Key| self.cache.device_of(pvid).is_none();
        self.cache.vg(&vgid.hyphenated()).is_some_and(|vg| vg.pvids().iter().any(is_nowhere))
    }

    /// Tells when a VG appears, becomes complete or partial, or goes.
    ///
    /// During a first scan every VG is partial until its last PV is read, which is no news.
    pub(super) fn report_vg(&mut self, now: Duration, vgid: Id) {
        if self.first_scan.is_some() {
            self.unreported.insert(vgid);
            return;
        }
        let view = self.cache.vg(&vgid.hyphenated());
        let state = view.map(|vg| VgState { seqno: vg.seqno(), missing: vg.missing().count() });
        let before = self.vg_states.get(&vgid).map(|(state, _)| *state);
        if before == state {
            return;
        }
        match state {
            Some(state) => self.vg_states.insert(vgid, (state, now)),
            None => self.vg_states.remove(&vgid),
        };
        self.changed_since_scan = true;
        let report = match view {
            Some(vg) => Report::Vg {
                name: vg.name().to_vec(),
                vgid,
                seqno: vg.seqno(),
                pvs: vg.pvids().len(),
                missing: vg.missing().map(|pvid| pvid.to_vec()).collect(),
            },
            None => Report::VgGone { vgid },
        };
        self.report(report);
    }
}
