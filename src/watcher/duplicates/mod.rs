//! One PV, several devices: which of them it is used on, and what becomes of the others.
//!
//! | | |
//! |---|---|
//! | one is better | the PV is there; the others are duplicates, and are read again when it goes |
//! | none is better, and all are the same | it is where it was, else where it was seen first |
//! | none is better, and they differ | the choice is ambiguous: the PV is nowhere |
//! | they have one WWID | they are paths to one disk, which is no duplicate of itself |
//! | they have one WWID, and go on showing different things | they are not |
//!
//! What each device showed when it was read last counts. A device that could take the place of one
//! that is gone is read again before it does.

mod rank;

use super::apply::Changed;
use super::online::Origin;
use super::{Cause, Report, Watcher};
use crate::device::{Facts, Usage, Use};
use crate::devno::DevNo;
use crate::id::Id;
use crate::metadata::VgText;
use rank::{Names, Rank, difference};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

pub use rank::Because;
pub(super) use rank::differ_in;

/// The devices whose last good read showed this PV.
#[derive(Debug, Default)]
pub(super) struct Copies {
    devices: BTreeSet<DevNo>,
    /// To be read again before the PV may be there: where it was, it is not any more.
    unsure: BTreeSet<DevNo>,
    /// WWIDs that several disks have.
    shared_wwids: BTreeSet<String>,
    /// One of several that differed went away, and nobody has said that it was the wrong one.
    is_doubtful: bool,
    choice: Option<Choice>,
}

/// Which device a PV is used on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    pub device: DevNo,
    pub others: BTreeMap<DevNo, Other>,
    pub ambiguity: Option<Ambiguity>,
    /// The device is to be read again first.
    waits: bool,
}

impl Choice {
    /// The device that the PV is served on.
    fn place(&self) -> Option<DevNo> {
        (self.ambiguity.is_none() && !self.waits).then_some(self.device)
    }
}

/// A device that was not chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Other {
    pub because: Because,
    /// To the same disk as the device that was chosen.
    pub is_path: bool,
}

/// Nothing tells which of these is the right one, and they differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ambiguity {
    pub devices: BTreeSet<DevNo>,
    pub differs: String,
}

/// What is known of the choice between copies of PVs.
#[derive(Debug, Default)]
pub(super) struct Duplicates {
    copies: BTreeMap<Id, Copies>,
    /// PVs to choose a device for, once it is known what uses them.
    due: BTreeMap<Id, Due>,
    usage: Usage,
    usage_asked: bool,
}

/// A choice that is to be made.
#[derive(Clone, Copy, Debug, Default)]
struct Due {
    /// One was read again: the cache has to be held to the choice even if that stays.
    was_read: bool,
    /// Of what it is to be made for. When a copy has gone, that is no news of the one that stays.
    origin: Origin,
}

impl Duplicates {
    fn note_due(&mut self, pvid: Id, was_read: bool, origin: Origin) {
        let origin = if origin == Origin::Went { Origin::Look } else { origin };
        let due = self.due.entry(pvid).or_default();
        due.was_read |= was_read;
        due.origin = due.origin.max(origin);
    }

    /// Asks for what a choice that is due depends on.
    pub(super) fn needs_usage(&mut self) -> bool {
        let needs = !self.due.is_empty() && !self.usage_asked;
        self.usage_asked |= needs;
        needs
    }

    pub(super) fn is_due(&self) -> bool {
        !self.due.is_empty()
    }
}

impl Watcher {
    /// Which device a PV is used on, if any device holds it.
    pub fn choice(&self, pvid: Id) -> Option<&Choice> {
        self.duplicates.copies.get(&pvid)?.choice.as_ref()
    }

    /// All devices that hold the PV.
    pub fn copies(&self, pvid: Id) -> impl Iterator<Item = DevNo> + Clone {
        self.duplicates.copies.get(&pvid).into_iter().flat_map(|copies| &copies.devices).copied()
    }

    /// The PVs that are nowhere because nothing tells where they should be.
    pub fn ambiguous(&self) -> impl Iterator<Item = (Id, &Ambiguity)> {
        let copies = self.duplicates.copies.iter();
        copies.filter_map(|(pvid, copies)| Some((*pvid, copies.choice.as_ref()?.ambiguity.as_ref()?)))
    }

    /// Where the PV is whose copy this device holds, and why it is there. A copy of a PV that is
    /// nowhere is of no other.
    pub fn duplicate_of(&self, devno: DevNo) -> Option<(DevNo, Other)> {
        let choice = self.choice(self.pv_of(devno)?)?;
        let other = choice.others.get(&devno).filter(|_| choice.ambiguity.is_none() && !choice.waits)?;
        Some((choice.device, *other))
    }

    /// The device that the PV is served on.
    pub(super) fn place(&self, pvid: Id) -> Option<DevNo> {
        self.choice(pvid)?.place()
    }

    pub(super) fn has_duplicates(&self) -> bool {
        let choices = self.duplicates.copies.values().filter_map(|copies| copies.choice.as_ref());
        choices.into_iter().any(|choice| choice.others.values().any(|other| !other.is_path))
    }

    /// Whether the metadata on the device counts for its VG.
    pub(super) fn speaks(&self, devno: DevNo) -> bool {
        let choice = self.pv_of(devno).and_then(|pvid| self.choice(pvid));
        choice.is_some_and(|choice| match &choice.ambiguity {
            Some(ambiguity) => ambiguity.devices.contains(&devno),
            None => choice.device == devno && !choice.waits,
        })
    }

    /// Whether what it says of its VG can be acted on. A clone that is left alone may have lost the
    /// rest of its VG elsewhere: nobody is outdated on the word of one that may be it.
    pub(super) fn is_trusted(&self, devno: DevNo) -> bool {
        let Some(pvid) = self.pv_of(devno) else { return false };
        self.duplicates.copies.get(&pvid).is_some_and(|copies| {
            let place = copies.choice.as_ref().and_then(Choice::place);
            place == Some(devno) && !copies.is_doubtful && !self.duplicates.due.contains_key(&pvid)
        })
    }

    /// Whether the right one of several devices that differed may have gone away.
    pub fn is_doubtful(&self, pvid: Id) -> bool {
        self.duplicates.copies.get(&pvid).is_some_and(|copies| copies.is_doubtful)
    }

    pub(super) fn is_ambiguous(&self, pvid: Id) -> bool {
        self.choice(pvid).is_some_and(|choice| choice.ambiguity.is_some())
    }

    /// A good read has shown this device anew.
    pub(super) fn note_sure(&mut self, devno: DevNo) {
        if let Some(pvid) = self.devices.get(&devno).and_then(|device| device.copy_of)
            && let Some(copies) = self.duplicates.copies.get_mut(&pvid)
        {
            copies.unsure.remove(&devno);
        }
    }

    /// Notes which PV the device holds now; where it held another, the others with that one may
    /// take its place. The PV that it held before.
    pub(super) fn note_copy(&mut self, devno: DevNo) -> Option<Id> {
        let after = self.pv_of(devno);
        let before = match self.devices.get_mut(&devno) {
            Some(device) => std::mem::replace(&mut device.copy_of, after),
            None => None,
        };
        if before == after {
            return before;
        }
        if let Some(before) = before {
            self.take_out(before, devno);
        }
        if let Some(after) = after {
            self.duplicates.copies.entry(after).or_default().devices.insert(devno);
        }
        before
    }

    fn take_out(&mut self, pvid: Id, devno: DevNo) {
        let Some(copies) = self.duplicates.copies.get_mut(&pvid) else { return };
        copies.devices.remove(&devno);
        copies.unsure.remove(&devno);
        if copies.devices.len() < 2 {
            copies.shared_wwids.clear();
        }
        let ambiguity = copies.choice.as_ref().and_then(|choice| choice.ambiguity.as_ref());
        let was_ambiguous = ambiguity.is_some_and(|ambiguity| ambiguity.devices.contains(&devno));
        let was_there = was_ambiguous || copies.choice.as_ref().is_some_and(|choice| choice.device == devno);
        // A rule, or another PV in its place, is somebody's decision.
        let is_lost = self.devices.get(&devno).is_none_or(|device| device.seen.is_none() && device.rule.is_none());
        copies.is_doubtful |= was_ambiguous && is_lost;
        if was_there {
            copies.unsure = copies.devices.clone();
            copies.choice = None;
        }
        if copies.devices.is_empty() {
            self.duplicates.copies.remove(&pvid);
            return;
        }
        // What was written here may be there too, if they are paths to one disk.
        let is_there = self.devices.get(&devno).is_some_and(|device| device.seen.is_some());
        if was_there || is_there {
            for other in self.copies(pvid).collect::<Vec<_>>() {
                self.read_too(other, Cause::DuplicateGone, devno);
            }
        }
    }

    /// The content of the device has changed: another with its PV that was read no later and shows
    /// something else may have changed as well.
    pub(super) fn read_others(&mut self, devno: DevNo) {
        let Some(device) = self.devices.get(&devno) else { return };
        let (Some(pv), Some(seen)) = (device.pv(), &device.seen) else { return };
        let is_behind = |other: &DevNo| {
            let other = &self.devices[other];
            let no_later = other.seen.as_ref().is_some_and(|other| other.started <= seen.started);
            no_later && other.pv().is_some_and(|other| difference(pv, other).is_some())
        };
        for other in self.copies(pv.id).filter(|other| *other != devno).filter(is_behind).collect::<Vec<_>>() {
            self.read_too(other, Cause::CopyChanged, devno);
        }
    }

    /// Has a device read because of what another showed. Who waits for that waits for it too.
    fn read_too(&mut self, devno: DevNo, cause: Cause, because_of: DevNo) {
        self.touch(devno, cause);
        self.settles.iter_mut().for_each(|settle| settle.wait_for(devno));
        self.awaited.wait_too(devno, because_of);
    }

    /// Notes that something that a choice depends on may have changed on this device.
    pub(super) fn note_choice_due(&mut self, devno: DevNo) {
        let Some(pvid) = self.devices.get(&devno).and_then(|device| device.copy_of) else { return };
        let is_open = |copies: &Copies| copies.devices.len() > 1 || !copies.unsure.is_empty();
        if self.duplicates.copies.get(&pvid).is_some_and(is_open) {
            self.duplicates.note_due(pvid, false, Origin::Look);
        }
    }

    /// Metadata names the devices of its PVs, which may decide between copies that have none.
    pub(super) fn note_named(&mut self, text: &VgText) {
        let has_copies = |pvid: &&Id| self.duplicates.copies.get(pvid).is_some_and(|copies| copies.devices.len() > 1);
        let named = text.pvids.iter().filter(has_copies).copied().collect::<Vec<_>>();
        for pvid in named {
            self.duplicates.note_due(pvid, false, self.online.truth.origin());
        }
    }

    /// Chooses a device for the PV: at once if there is one, else when it is known what uses them.
    pub(super) fn choose(&mut self, pvid: Id, changed: &mut Changed) {
        match self.duplicates.copies.get(&pvid).map(|copies| copies.devices.len()) {
            None => self.cache.clear_outdated(&pvid.hyphenated(), None),
            Some(1) => self.elect(pvid, true, changed),
            Some(_) => self.duplicates.note_due(pvid, true, changed.origin),
        }
    }

    /// What uses devices is known now.
    pub(super) fn used_by(&mut self, now: Duration, usage: Usage) {
        self.duplicates.usage = usage;
        self.duplicates.usage_asked = false;
        let due = std::mem::take(&mut self.duplicates.due);
        for origin in [Origin::Look, Origin::Came, Origin::Written] {
            let mut changed = Changed { origin, ..Changed::default() };
            for (pvid, due) in due.iter().filter(|(_, due)| due.origin == origin) {
                self.elect(*pvid, due.was_read, &mut changed);
            }
            self.finish(now, changed);
        }
    }

    /// A client has put a PV on this device.
    pub(super) fn overrule(&mut self, now: Duration, devno: DevNo) {
        let Some(pvid) = self.cache.pvid_on(devno.to_wire()).and_then(|key| Id::from_hyphenated(key)) else { return };
        let place = self.place(pvid);
        let is_copy = self.copies(pvid).any(|copy| copy == devno);
        if self.is_ambiguous(pvid) || (is_copy && place.is_some_and(|place| place != devno)) {
            let mut changed = Changed::default();
            self.hold(pvid, &mut changed);
            self.finish(now, changed);
        }
    }

    /// Chooses among the copies as they are, now.
    fn elect(&mut self, pvid: Id, was_read: bool, changed: &mut Changed) {
        self.duplicates.due.remove(&pvid);
        self.doubt_wwids(pvid);
        let Some(copies) = self.duplicates.copies.get(&pvid) else { return };
        let choice = self.best(pvid, copies);
        let copies = self.duplicates.copies.get_mut(&pvid).expect("found above");
        let is_new = copies.choice != choice;
        let before = std::mem::replace(&mut copies.choice, choice);
        self.report_choice(pvid, before.filter(|before| !before.waits).as_ref());
        if is_new || was_read {
            self.hold(pvid, changed);
        } else if let Some(place) = self.place(pvid) {
            // Until it was said that it stays, nobody was outdated on its word, nor was it itself.
            changed.vgids.extend(self.vgids_of(place, None));
        }
        self.wake_pv(pvid);
    }

    /// Whether the device was to be read again, and no read of it is to come.
    fn has_failed(&self, copies: &Copies, devno: DevNo) -> bool {
        copies.unsure.contains(&devno) && !self.is_to_be_read(devno)
    }

    /// Whether it is still to be said which device the PV is on.
    pub(super) fn is_choice_due(&self, pvid: Id) -> bool {
        self.duplicates.due.contains_key(&pvid)
    }

    pub(super) fn is_to_be_read(&self, devno: DevNo) -> bool {
        self.touched.contains_key(&devno)
            || self.examining.contains_key(&devno)
            || self.devices.get(&devno).is_some_and(|device| !device.is_quiet())
    }

    /// Looks for WWIDs that are no proof of one disk. What is written by one path is soon found on
    /// the others, and nothing goes back: two that show different things, and do so again when both
    /// are known, are two disks.
    fn doubt_wwids(&mut self, pvid: Id) {
        let mut by_disk: BTreeMap<_, Vec<DevNo>> = BTreeMap::new();
        for devno in self.copies(pvid).filter(|devno| self.shows_all(*devno)) {
            if let Some((wwid, partition)) = self.disk_by_wwid(devno) {
                by_disk.entry((wwid.to_owned(), partition)).or_default().push(devno);
            }
        }
        let mut again = BTreeSet::new();
        for ((wwid, _), devices) in by_disk {
            let Some((one, others)) = devices.split_first() else { continue };
            for other in others {
                let seen = [one, other].map(|devno| self.devices[devno].seen.as_ref().expect("it shows all"));
                let [Some(first), Some(second)] = seen.map(|seen| seen.content.pv()) else { continue };
                if differ_in(first, second).is_none() || [one, other].iter().any(|devno| self.is_to_be_read(**devno)) {
                    continue;
                }
                let both_known = seen[0].known_to.max(seen[1].known_to);
                let unconfirmed = [(*one, *other), (*other, *one)];
                let unconfirmed = unconfirmed.into_iter().zip(seen).filter(|(_, seen)| seen.job < both_known);
                let unconfirmed = unconfirmed.map(|(devnos, _)| devnos).collect::<Vec<_>>();
                if unconfirmed.is_empty() {
                    let copies = self.duplicates.copies.get_mut(&pvid).expect("it has devices");
                    copies.shared_wwids.insert(wwid.clone());
                } else {
                    again.extend(unconfirmed);
                }
            }
        }
        for (devno, because_of) in again {
            self.read_too(devno, Cause::CopyChanged, because_of);
        }
    }

    /// Whether the device can be read again, and was read in full.
    fn shows_all(&self, devno: DevNo) -> bool {
        self.devices.get(&devno).is_some_and(|device| {
            device.may_be_read() && device.quarantine.is_none() && device.pv().is_some_and(|pv| pv.read_error.is_none())
        })
    }

    /// The best device; ambiguous if another is as good and not the same. `None` if none can be had.
    fn best(&self, pvid: Id, copies: &Copies) -> Option<Choice> {
        let (hint, names) = if copies.devices.len() > 1 { self.hint(pvid, copies) } else { (None, Names::Agree) };
        let current = copies.choice.as_ref().filter(|choice| self.ready && !choice.waits).map(|choice| choice.device);
        let ranks = copies.devices.iter().map(|devno| (*devno, self.rank(*devno, hint.as_deref(), current)));
        let ranks = ranks.collect::<BTreeMap<_, _>>();
        let eligible = ranks.iter().filter(|(devno, _)| !self.has_failed(copies, **devno));
        let (mut device, rank) =
            eligible.clone().max_by_key(|(_, rank)| **rank).map(|(devno, rank)| (*devno, *rank))?;
        let equals = ranks.iter().filter(|(_, other)| !other.is_below(&rank, names)).map(|(devno, _)| *devno);
        let equals = equals.collect::<BTreeSet<_>>();
        // In the order in which they will be named.
        let first = *equals.first()?;
        let differs = equals.iter().find_map(|other| self.differ(copies, first, *other));
        let ambiguity = differs.map(|differs| Ambiguity { devices: equals.clone(), differs });
        if ambiguity.is_some() {
            device = current.filter(|current| equals.contains(current)).unwrap_or(device);
        } else if !self.devices[&device].can_be_read() {
            // One that shows the same is as good, and what is written there then counts.
            let is_as_good = |devno: &DevNo| {
                self.devices[devno].can_be_read()
                    && (current == Some(*devno) || self.differ(copies, device, *devno).is_none())
            };
            let readable = eligible.filter(|(devno, _)| is_as_good(devno)).max_by_key(|(_, rank)| **rank);
            device = readable.map_or(device, |(devno, _)| *devno);
        }
        let rank = ranks[&device];
        let others = ranks.iter().filter(|(other, _)| **other != device).map(|(other, lower)| {
            let because = if *lower > rank { Because::Readable } else { rank.because(lower) };
            (*other, Other { because, is_path: self.is_one_disk(copies, device, *other) })
        });
        Some(Choice { device, others: others.collect(), ambiguity, waits: copies.unsure.contains(&device) })
    }

    fn rank(&self, devno: DevNo, hint: Option<&str>, current: Option<DevNo>) -> Rank {
        let device = &self.devices[&devno];
        let facts = &device.facts;
        let has = |merit| match merit {
            Because::Shown => self.hides(device).is_none(),
            Because::DevicesFile => self.settings.filter.lists_id_of(facts),
            Because::ActiveLv => facts.stack.holders.iter().any(|holder| is_lv(holder.dm_uuid.as_deref())),
            Because::Size => device.pv().is_some_and(|pv| pv.dev_size == facts.size),
            Because::Name => hint.is_some_and(|hint| device.is_named(hint)),
            Because::Mounted => self.is_mounted(devno),
            Because::DeviceMapper => facts.dm_uuid.is_some() || facts.dm_name.is_some(),
            Because::Stacked => !facts.stack.slaves.is_empty(),
            Because::Readable => device.can_be_read(),
            Because::Current => current == Some(devno),
            Because::FirstSeen => false,
        };
        Rank::new(device.first_seen, devno, has)
    }

    fn is_mounted(&self, devno: DevNo) -> bool {
        let uses = self.duplicates.usage.by.get(&devno).into_iter().flatten();
        uses.into_iter().any(|used| matches!(used, Use::Mounted(_)))
    }

    /// The name that the device of the PV had when the metadata was written. Where the copies say
    /// different things, each says what it was itself, and that proves nothing.
    fn hint(&self, pvid: Id, copies: &Copies) -> (Option<String>, Names) {
        let mut texts = Vec::<Rc<VgText>>::new();
        for text in copies.devices.iter().filter_map(|devno| self.text_of(*devno)) {
            if !texts.iter().any(|other| Rc::ptr_eq(other, text)) {
                texts.push(Rc::clone(text));
            }
        }
        if texts.is_empty() {
            texts.extend(self.only_listing(pvid).map(Rc::clone));
        }
        let mut said = texts.iter().filter_map(|text| text.device_hint(pvid)).collect::<BTreeSet<_>>();
        match said.pop_first() {
            Some(only) if said.is_empty() => (String::from_utf8(only).ok(), Names::Agree),
            Some(_) => (None, Names::Differ),
            None => (None, Names::Agree),
        }
    }

    /// In what these differ, in words.
    fn differ(&self, copies: &Copies, one: DevNo, other: DevNo) -> Option<String> {
        if one == other || self.is_one_disk(copies, one, other) {
            return None;
        }
        let (one, other) = (&self.devices[&one.min(other)], &self.devices[&one.max(other)]);
        Some(difference(one.pv()?, other.pv()?)?.between(&one.path(), &other.path()))
    }

    /// Whether these are paths to one disk.
    fn is_one_disk(&self, copies: &Copies, one: DevNo, other: DevNo) -> bool {
        let disk = self.disk_by_wwid(one).filter(|(wwid, _)| !copies.shared_wwids.contains(*wwid));
        disk.is_some_and(|disk| self.disk_by_wwid(other) == Some(disk))
    }

    /// The WWID of the disk, and the number of the partition.
    fn disk_by_wwid(&self, devno: DevNo) -> Option<(&str, u32)> {
        let facts = &self.devices.get(&devno)?.facts;
        Some((facts.path.as_ref()?.wwid.as_deref()?, partition_number(facts)?))
    }

    fn report_choice(&mut self, pvid: Id, before: Option<&Choice>) {
        let Some(choice) = self.choice(pvid).filter(|choice| !choice.waits).cloned() else { return };
        let pvid = pvid.hyphenated();
        if let Some(ambiguity) = choice.ambiguity {
            if before.is_none_or(|before| before.ambiguity.as_ref() != Some(&ambiguity)) {
                let devices = ambiguity.devices.iter().map(|devno| self.name_of(*devno).0).collect();
                self.report(Report::Ambiguous { pvid, devices, differs: ambiguity.differs });
            }
            return;
        }
        let before = before.filter(|before| before.device == choice.device && before.ambiguity.is_none());
        let (other, _) = self.name_of(choice.device);
        for (devno, Other { because, is_path }) in choice.others {
            let known = before.and_then(|before| before.others.get(&devno));
            if known.is_none_or(|known| known.is_path != is_path) {
                let (device, _) = self.name_of(devno);
                let (pvid, other) = (pvid.clone(), other.clone());
                self.report(match is_path {
                    true => Report::OtherPath { device, pvid, other },
                    false => Report::Duplicate { device, pvid, other, because },
                });
            }
        }
    }

    /// Holds the cache to the choice.
    fn hold(&mut self, pvid: Id, changed: &mut Changed) {
        let key = pvid.hyphenated();
        let (place, is_ambiguous) = (self.place(pvid), self.is_ambiguous(pvid));
        let devices = self.copies(pvid).collect::<BTreeSet<_>>();
        let there = self.cache.device_of(&key).map(DevNo::from_wire);
        for devno in devices.iter().copied().chain(there) {
            let on_it = self.cache.pvid_on(devno.to_wire()).cloned();
            changed.vgids.extend(self.vgids_of(devno, on_it.as_ref()));
        }
        if let Some(there) =
            there.filter(|there| place != Some(*there) && (place.is_some() || is_ambiguous || devices.contains(there)))
        {
            let _ = self.cache.pv_gone(Some(&key), None);
            self.cache.clear_outdated(&key, None);
            changed.devnos.insert(there);
            if place.is_none() {
                let (device, _) = self.name_of(there);
                self.report(Report::Gone { device, pvid: key.clone() });
            }
        }
        if let Some(place) = place {
            self.found(place);
        }
        for devno in &devices {
            self.index_text(*devno);
            let on_it = self.cache.pvid_on(devno.to_wire()).cloned();
            changed.vgids.extend(self.vgids_of(*devno, on_it.as_ref()));
        }
        let older_of = place.and_then(|place| self.text_of(place)).filter(|text| self.is_older(text));
        let older_of = older_of.map(|text| text.vgid.hyphenated());
        self.cache.clear_outdated(&key, older_of.as_deref());
        self.changed_since_scan |= there != self.cache.device_of(&key).map(DevNo::from_wire);
        changed.devnos.extend(devices);
    }
}

/// A dm device of LVM's.
fn is_lv(dm_uuid: Option<&str>) -> bool {
    dm_uuid.is_some_and(|uuid| uuid.starts_with("LVM-"))
}

/// 0 for what is none. The kernel puts it at the end of the disk's name.
fn partition_number(facts: &Facts) -> Option<u32> {
    if !facts.partition {
        return Some(0);
    }
    let disk = facts.name.trim_end_matches(|char: char| char.is_ascii_digit());
    facts.name.strip_prefix(disk)?.parse().ok()
}
