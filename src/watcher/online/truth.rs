//! Which run files there ought to be, kept up to date with what is read.
//!
//! | file | there while |
//! |---|---|
//! | `pvs_online/PVID` | a device holds the PV, a VG may use it, and nothing keeps that VG from us |
//! | `pvs_lookup/VG` | the VG has several PVs and its name for itself, and since one of them left, one has come |
//! | `vgs_online/VG` | not made here; gone when a PV of the VG leaves |
//!
//! A change costs the same however many PVs there are; only a VG whose list of PVs changes is gone
//! through. What is due is noted by name and taken from what is true when it is asked for, so that
//! of many changes of one file only the last is made.

use crate::devno::DevNo;
use crate::id::Id;
use crate::metadata::VgText;
use crate::online::{Change, Lookup, PvOnline};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;

/// A PV that comes online unless its VG is kept from us.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    pub(super) pvid: Id,
    pub(super) file: PvOnline,
    /// Whether the VG that its own text names is; `None` without a text.
    pub(super) own_is_kept: Option<bool>,
}

/// The kind of event from which follows what is noted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::watcher) enum Origin {
    /// A device shows what it has shown before, or the choice between copies or a setting is another.
    #[default]
    Look,
    /// A device has come, or can be read in full for the first time.
    Came,
    /// A device has gone, or what it shows counts no more.
    Went,
    /// A device that was there shows something else.
    Written,
}

#[derive(Debug)]
pub(in crate::watcher) struct Vg {
    pub(in crate::watcher) text: Rc<VgText>,
    pub(in crate::watcher) is_kept: bool,
    /// A PV of it has come online since one has left.
    arrived: bool,
    /// How many of its PVs are online, and how many it has.
    online: usize,
    all: usize,
    /// It was kept from us when its PVs had come, and is not any more.
    is_released: bool,
}

impl Vg {
    pub(in crate::watcher) fn is_complete(&self) -> bool {
        !self.is_kept && self.online == self.all
    }

    /// Whether it is no device that has made it complete.
    fn is_made_complete(&self, origin: Origin) -> bool {
        match origin {
            Origin::Look => self.is_released,
            Origin::Came => false,
            Origin::Went | Origin::Written => true,
        }
    }
}

/// What has happened to VGs, for who decides on their activation.
#[derive(Debug, Default)]
pub(in crate::watcher) struct Changes {
    /// A PV of these has left, or all that was known of them.
    pub(in crate::watcher) left: BTreeSet<Id>,
    pub(in crate::watcher) pvs_left: BTreeSet<Id>,
    /// A PV of these has come, or their text is another, or their name is theirs alone now.
    pub(in crate::watcher) changed: BTreeSet<Id>,
    /// These have become complete, and may not be any more; true: because of what was written, and not because a device has
    /// come: a command has made, restored, imported, split or reduced them.
    pub(in crate::watcher) complete: BTreeMap<Id, bool>,
}

#[derive(Debug, Default)]
pub(in crate::watcher) struct Truth {
    candidates: BTreeMap<DevNo, Candidate>,
    /// Where each of them is.
    pub(super) places: BTreeMap<Id, DevNo>,
    /// What is in `pvs_online`, once what is due is done.
    pub(in crate::watcher) pvs: BTreeMap<Id, PvOnline>,
    pub(in crate::watcher) vgs: BTreeMap<Id, Vg>,
    /// The VGs of a name.
    pub(in crate::watcher) names: BTreeMap<Vec<u8>, BTreeSet<Id>>,
    /// The VGs whose text lists a PV.
    pub(in crate::watcher) listed_by: BTreeMap<Id, BTreeSet<Id>>,
    /// What is in `pvs_lookup`, once what is due is done.
    pub(super) lookups: BTreeMap<Vec<u8>, Rc<VgText>>,
    pub(in crate::watcher) due: Due,
    pub(in crate::watcher) changes: Changes,
    event: Happening,
}

/// The event from which follows what is noted now.
#[derive(Debug, Default)]
struct Happening {
    origin: Origin,
    /// VGs that were complete before it, and are not, for the time being.
    interrupted: BTreeSet<Id>,
}

impl Happening {
    fn note(&mut self, changes: &mut Changes, vgid: Id, was_complete: bool, vg: &Vg) {
        match (was_complete, vg.is_complete()) {
            (true, false) => drop(self.interrupted.insert(vgid)),
            // What made it complete before still does.
            (false, true) if self.interrupted.remove(&vgid) => {}
            (false, true) => drop(changes.complete.insert(vgid, vg.is_made_complete(self.origin))),
            (true, true) | (false, false) => {}
        }
    }
}

#[derive(Debug, Default)]
pub(in crate::watcher) struct Due {
    renamed: VecDeque<(Vec<u8>, Vec<u8>)>,
    offline: BTreeSet<Vec<u8>>,
    pub(super) pvs: BTreeSet<Id>,
    pub(super) lookups: BTreeSet<Vec<u8>>,
}

impl Due {
    pub(in crate::watcher) fn offline(&mut self, vg: &[u8]) {
        self.offline.insert(vg.to_vec());
    }

    fn rename(&mut self, from: &[u8], to: &[u8]) {
        // What is offline by its old name is by the new one.
        if !self.offline.contains(from) {
            self.renamed.push_back((from.to_vec(), to.to_vec()));
        }
    }
}

impl Truth {
    /// What is noted from now on follows from another event.
    pub(in crate::watcher) fn begin_event(&mut self, origin: Origin) {
        self.event = Happening { origin, interrupted: BTreeSet::new() };
    }

    pub(in crate::watcher) fn origin(&self) -> Origin {
        self.event.origin
    }

    /// A device as it is known now; `holds` is the PVID on it, whether that comes online or not.
    pub(super) fn device(&mut self, devno: DevNo, candidate: Option<Candidate>, holds: Option<Id>) {
        let pvid = candidate.as_ref().map(|candidate| candidate.pvid);
        let before = match candidate {
            Some(candidate) => self.candidates.insert(devno, candidate),
            None => self.candidates.remove(&devno),
        };
        let before = before.map(|candidate| candidate.pvid).filter(|before| Some(*before) != pvid);
        if let Some(before) = before.filter(|before| self.places.get(before) == Some(&devno)) {
            self.places.remove(&before);
            // One that is still there, and not in use any more, was taken out of its VG.
            self.refresh(before, holds != Some(before));
        }
        if let Some(pvid) = pvid {
            self.places.insert(pvid, devno);
            self.refresh(pvid, true);
        }
    }

    /// The newest text of a VG, and whether it is kept from us; `None` when no device has one.
    pub(super) fn vg(&mut self, vgid: Id, text: Option<(Rc<VgText>, bool)>) {
        let same = |vg: &Vg, text: &VgText, is_kept: bool| {
            vg.is_kept == is_kept && vg.text.name == text.name && vg.text.pvids == text.pvids
        };
        match (self.vgs.get_mut(&vgid), &text) {
            (None, None) => return,
            (Some(vg), Some((text, is_kept))) if Rc::ptr_eq(&vg.text, text) && vg.is_kept == *is_kept => return,
            (Some(vg), Some((text, is_kept))) if same(vg, text, *is_kept) => {
                vg.text = Rc::clone(text);
                self.changes.changed.insert(vgid);
                return;
            }
            _ => {}
        }
        let before = self.forget_vg(vgid);
        let touched = before.iter().map(|vg| &vg.text).chain(text.as_ref().map(|(text, _)| text));
        let pvids = touched.flat_map(|text| &text.pvids).copied().collect::<BTreeSet<_>>();
        match (&before, text) {
            (Some(before), None) => {
                self.due.offline(&before.text.name);
                self.changes.left.insert(vgid);
            }
            (before, Some((text, is_kept))) => self.store_vg(vgid, before.as_ref(), text, is_kept),
            (None, None) => {}
        }
        if let Some(before) = before {
            self.refresh_lookup(&before.text.name);
        }
        // Of those without a text it may have said whose they are.
        for pvid in pvids {
            self.refresh(pvid, true);
        }
    }

    fn forget_vg(&mut self, vgid: Id) -> Option<Vg> {
        let vg = self.vgs.remove(&vgid)?;
        take_out(&mut self.names, &vg.text.name, vgid);
        for pvid in &vg.text.pvids {
            take_out(&mut self.listed_by, pvid, vgid);
        }
        let alone = self.only_one_named(&vg.text.name);
        self.changes.changed.extend(alone);
        Some(vg)
    }

    fn store_vg(&mut self, vgid: Id, before: Option<&Vg>, text: Rc<VgText>, is_kept: bool) {
        let is_new = before.is_none_or(|before| before.is_kept || before.text.pvids != text.pvids);
        let arrived = before.is_some_and(|before| before.arrived)
            || (is_new && text.pvids.iter().any(|pvid| self.pvs.contains_key(pvid)));
        if let Some(before) = before.filter(|before| before.text.name != text.name) {
            match (self.names.contains_key(&before.text.name), self.names.contains_key(&text.name)) {
                (false, false) => self.due.rename(&before.text.name, &text.name),
                (false, true) => self.due.offline(&before.text.name),
                // Whose it was cannot be known.
                (true, _) => {}
            }
        }
        self.names.entry(text.name.clone()).or_default().insert(vgid);
        for pvid in &text.pvids {
            self.listed_by.entry(*pvid).or_default().insert(vgid);
        }
        let name = text.name.clone();
        let pvids = text.pvids.iter().collect::<BTreeSet<_>>();
        let (all, online) = (pvids.len(), pvids.iter().filter(|pvid| self.pvs.contains_key(pvid)).count());
        let was_complete = before.is_some_and(Vg::is_complete);
        let is_released = before.is_some_and(|before| !is_kept && (before.is_kept || before.is_released));
        let vg = Vg { text, is_kept, arrived, online, all, is_released };
        self.event.note(&mut self.changes, vgid, was_complete, &vg);
        self.vgs.insert(vgid, vg);
        self.changes.changed.insert(vgid);
        self.refresh_lookup(&name);
    }

    /// The VG of this name that nothing keeps from us, if there is but one.
    pub(in crate::watcher) fn only_one_named(&self, name: &[u8]) -> Option<Id> {
        let is_free = |vgid: &&Id| self.vgs.get(vgid).is_some_and(|vg| !vg.is_kept);
        let mut free = self.names.get(name)?.iter().filter(is_free);
        let first = free.next()?;
        free.next().is_none().then_some(*first)
    }

    fn is_kept(&self, candidate: &Candidate) -> bool {
        candidate.own_is_kept.unwrap_or_else(|| {
            self.listed_by
                .get(&candidate.pvid)
                .is_some_and(|vgids| vgids.iter().all(|vgid| self.vgs.get(vgid).is_some_and(|vg| vg.is_kept)))
        })
    }

    /// What follows for the PV's file. `left`: if it has none any more, the PV has left its VG
    /// incomplete.
    fn refresh(&mut self, pvid: Id, left: bool) {
        let candidate = self.places.get(&pvid).and_then(|devno| self.candidates.get(devno));
        let file = candidate.filter(|candidate| !self.is_kept(candidate)).map(|candidate| candidate.file.clone());
        let devno = file.as_ref().map(|file| file.devno);
        let before = self.pvs.get(&pvid);
        if before == file.as_ref() {
            return;
        }
        let devno_before = before.map(|before| before.devno);
        self.due.pvs.insert(pvid);
        self.count(pvid, devno_before.is_some(), devno.is_some());
        match file {
            Some(file) => self.pvs.insert(pvid, file),
            None => self.pvs.remove(&pvid),
        };
        if devno.is_some() && devno != devno_before {
            self.note_arrival(pvid, true);
        } else if devno.is_none() && left {
            self.note_arrival(pvid, false);
        }
    }

    /// A PV that was online, or was not, is, or is not.
    fn count(&mut self, pvid: Id, was_online: bool, is_online: bool) {
        if was_online == is_online {
            return;
        }
        for vgid in self.listed_by.get(&pvid).into_iter().flatten() {
            let Some(vg) = self.vgs.get_mut(vgid) else { continue };
            let was_complete = vg.is_complete();
            vg.online = vg.online + usize::from(is_online) - usize::from(was_online);
            self.changes.changed.insert(*vgid);
            self.event.note(&mut self.changes, *vgid, was_complete, vg);
        }
    }

    /// A PV has come, or has left.
    fn note_arrival(&mut self, pvid: Id, arrived: bool) {
        if !arrived {
            self.changes.pvs_left.insert(pvid);
        }
        for vgid in self.listed_by.get(&pvid).cloned().unwrap_or_default() {
            let Some(vg) = self.vgs.get_mut(&vgid) else { continue };
            vg.arrived = arrived;
            vg.is_released &= arrived;
            let name = vg.text.name.clone();
            if !arrived {
                self.event.interrupted.remove(&vgid);
                self.due.offline(&name);
                self.changes.left.insert(vgid);
            }
            self.refresh_lookup(&name);
        }
    }

    fn refresh_lookup(&mut self, name: &[u8]) {
        let only = self.names.get(name).filter(|vgids| vgids.len() == 1).and_then(|vgids| vgids.first());
        let vg = only.and_then(|vgid| self.vgs.get(vgid));
        let text = vg.filter(|vg| vg.arrived && !vg.is_kept && vg.text.pvids.len() > 1).map(|vg| Rc::clone(&vg.text));
        let same = match (self.lookups.get(name), &text) {
            (Some(before), Some(text)) => Rc::ptr_eq(before, text) || before.pvids == text.pvids,
            (before, text) => before.is_none() && text.is_none(),
        };
        if same {
            return;
        }
        self.due.lookups.insert(name.to_vec());
        match text {
            Some(text) => self.lookups.insert(name.to_vec(), text),
            None => self.lookups.remove(name),
        };
    }

    /// The device that a PV that is online is on.
    pub(in crate::watcher) fn place(&self, pvid: Id) -> Option<DevNo> {
        self.pvs.get(&pvid).map(|file| file.devno)
    }

    /// Everything is to be written, wherever it was before.
    pub(super) fn start_over(&mut self) {
        self.due = Due::default();
        self.due.pvs.extend(self.pvs.keys());
        self.due.lookups.extend(self.lookups.keys().cloned());
    }

    /// What is to be done next. Nothing is noted of what has not been done.
    pub(super) fn pop(&mut self) -> Option<Change> {
        if let Some((from, to)) = self.due.renamed.pop_front() {
            return Some(Change::VgRenamed { from, to });
        }
        if let Some(vg) = self.due.offline.pop_first() {
            return Some(Change::VgOffline(vg));
        }
        if let Some(pvid) = self.due.pvs.pop_first() {
            let file = self.pvs.get(&pvid).cloned();
            return Some(file.map_or(Change::PvGone(pvid), |file| Change::Pv(pvid, file)));
        }
        let vg = self.due.lookups.pop_first()?;
        Some(match self.lookups.get(&vg) {
            Some(text) => Change::Lookup(Lookup { vg, pvids: text.pvids.clone() }),
            None => Change::LookupGone(vg),
        })
    }
}

fn take_out<K: Ord + Clone>(map: &mut BTreeMap<K, BTreeSet<Id>>, key: &K, id: Id) {
    if let Some(ids) = map.get_mut(key) {
        ids.remove(&id);
        if ids.is_empty() {
            map.remove(key);
        }
    }
}
