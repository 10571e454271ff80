//! What is known of PVs and VGs: lvmetad's cache, the thing that every answer comes from.
//!
//! The maps, the rules of `pv_found`, `pv_gone`, `vg_update` and the rest, and their names are
//! those of the protocol. PVIDs, VGIDs and names are opaque bytes here. Metadata is kept as the
//! text it came in, not as a tree; replies are made from it once per change (`reply.rs`).

mod body;
mod merge;
mod reply;
mod token;

use crate::metadata::Body;
use crate::report::inventory::Label;
use crate::report::model;
use crate::text::{Section, Value};
use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

pub use token::{Token, TokenUpdate, UPDATE_IN_PROGRESS};

/// An identifier or name as a client sent it or a disk holds it.
pub type Key = Rc<[u8]>;

/// The word that stands for "in no VG" in replies.
pub const ORPHAN: &[u8] = b"#orphan";

/// Why commands should not use the cache; several can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DisableReason {
    Direct,
    Repair,
    Duplicates,
    VgRestore,
}

impl DisableReason {
    pub const ALL: [DisableReason; 4] =
        [DisableReason::Direct, DisableReason::Repair, DisableReason::Duplicates, DisableReason::VgRestore];

    pub fn as_str(self) -> &'static str {
        match self {
            DisableReason::Direct => "DIRECT",
            DisableReason::Repair => "REPAIR",
            DisableReason::Duplicates => "DUPLICATES",
            DisableReason::VgRestore => "VGRESTORE",
        }
    }
}

#[derive(Clone, Debug, Default)]
pub struct Flags {
    pub invalid: bool,
    pub disabled: bool,
    /// In the order of [`DisableReason::ALL`].
    pub reasons: BTreeSet<DisableReason>,
}

/// A present PV.
#[derive(Debug)]
struct Pv {
    device: i64,
    /// The `pvmeta` section as text, one field a line, indented as in a list of PVs.
    meta: Rc<[u8]>,
    /// Whether a metadata area of it is in use; without one it cannot hold outdated metadata.
    has_used_mda: bool,
    /// The VG that its own metadata was of when it was found.
    named: Option<Key>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Owner {
    Vg(Key),
    Orphan,
}

#[derive(Debug)]
struct Vg {
    name: Key,
    seqno: i64,
    body: Body,
    /// The same content in the other spelling that is about: as a client sends it, or as it
    /// stands on disk. Metadata equal to either needs no parsing.
    alias: Option<Body>,
    /// The PVs that the metadata lists, in its order.
    pvids: Box<[Key]>,
    outdated: Vec<Key>,
    /// The seqno somebody announced with `set_vg_info`.
    external_version: Option<i64>,
    invalid: bool,
    /// The rendered `vg_lookup` reply, dropped by every change that it shows.
    reply: Option<Rc<[u8]>>,
    /// What reports need of it, read when one asks for the first time after a change.
    summary: OnceCell<Rc<model::Vg>>,
}

/// A PV as told by a client or the scanner.
pub struct FoundPv<'a> {
    pub pvid: &'a [u8],
    /// `st_rdev` in the C library's layout.
    pub device: i64,
    pub pvmeta: &'a Section<'a>,
    pub metadata: Option<NewMetadata<'a>>,
}

/// VG metadata as told by a client or the scanner.
#[derive(Clone)]
pub struct NewMetadata<'a> {
    pub name: &'a [u8],
    pub vgid: &'a [u8],
    pub seqno: i64,
    pub body: NewBody<'a>,
}

#[derive(Clone)]
pub enum NewBody<'a> {
    /// What stands between the braces of the section.
    Bytes(&'a [u8]),
    /// The same, in memory that can be shared.
    Shared(&'a Body),
    /// Exactly what is stored for this VG under this name, as [`Cache::known_metadata`] saw.
    AsStored,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Orphan,
    Partial,
    Complete,
}

/// The answer to `pv_found`.
#[derive(Debug, PartialEq, Eq)]
pub struct Found {
    pub changed: bool,
    pub vgid: Key,
    pub vgname: Key,
    /// What was stored; the PV's own if nothing was, -1 if it came without metadata.
    pub seqno_before: i64,
    /// What is stored now; -1 if the PV is in no VG that is.
    pub seqno_after: i64,
}

/// `pv_found` refuses one thing by itself: a second device with a PVID that is present.
#[derive(Debug, PartialEq, Eq)]
pub struct DuplicatePv {
    /// Where the PV is.
    pub device: i64,
}

#[derive(Debug, PartialEq, Eq)]
pub enum NotGone {
    DeviceUnknown,
    PvUnknown,
}

/// The answer to `vg_lookup`.
pub enum Lookup {
    Found(Rc<[u8]>),
    NotFound,
    MappingIncomplete,
    Multiple,
}

#[derive(Debug, PartialEq, Eq)]
pub struct BadUpdate;

/// Where a cache has its knowledge from. That decides what metadata proves:
///
/// | | hearsay | disks |
/// |---|---|---|
/// | a PV whose metadata is older than the stored | is outdated | is, when [`Cache::mark_outdated`] says so: while a command writes one PV after the other, all of them are fine |
/// | a PV that several VGs list | is in the VG stored last, and present in all | is in the one that its own metadata names, and missing in the others |
/// | a VG none of whose PVs is present and its own | is dropped | stays until [`Cache::vg_remove`]: some device holds it |
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum KnowsBy {
    /// A cache server knows what it is told and nothing else: exactly lvmetad.
    Hearsay,
    #[default]
    Disks,
}

#[derive(Debug, Default)]
pub struct Cache {
    pvs: BTreeMap<Key, Pv>,
    devices: BTreeMap<i64, Key>,
    /// Independent of presence: it survives `pv_gone` as long as the VG does.
    owners: BTreeMap<Key, Owner>,
    vgs: BTreeMap<Key, Vg>,
    /// Several VGs may share a name; the one added last stands first.
    names: BTreeMap<Key, Vec<Key>>,
    /// The VGs whose metadata lists this PV.
    listed_by: BTreeMap<Key, BTreeSet<Key>>,
    knows_by: KnowsBy,
    /// VGs with a list of outdated PVs.
    with_outdated: BTreeSet<Key>,
    flags: Flags,
    pub token: Token,
    pv_list: Option<Rc<[u8]>>,
    vg_list: Option<Rc<[u8]>>,
}

impl Cache {
    /// The cache of a daemon that knows what it is told and nothing else.
    pub fn of_server() -> Cache {
        Cache { knows_by: KnowsBy::Hearsay, ..Cache::default() }
    }

    /// The cache of a daemon that reads the disks itself.
    pub fn of_scanner() -> Cache {
        Cache::default()
    }

    pub fn pv_count(&self) -> usize {
        self.pvs.len()
    }

    pub fn vg_count(&self) -> usize {
        self.vgs.len()
    }

    pub fn flags(&self) -> &Flags {
        &self.flags
    }

    /// The PVID of the PV on this device.
    pub fn pvid_on(&self, device: i64) -> Option<&Key> {
        self.devices.get(&device)
    }

    pub fn device_of(&self, pvid: &[u8]) -> Option<i64> {
        self.pvs.get(pvid).map(|pv| pv.device)
    }

    /// What a client has said of a PV that is present: its label, and the size of its device.
    pub fn told(&self, pvid: &[u8]) -> Option<(Label, u64)> {
        self.pvs.get(pvid).map(|pv| reply::label(&pv.meta))
    }

    pub fn present_pvs(&self) -> impl Iterator<Item = (&Key, i64)> {
        self.pvs.iter().map(|(pvid, pv)| (pvid, pv.device))
    }

    pub fn vgs(&self) -> impl Iterator<Item = VgView<'_>> {
        self.vgs.iter().map(|(vgid, vg)| self.view(vgid, vg))
    }

    pub fn vg(&self, vgid: &[u8]) -> Option<VgView<'_>> {
        self.vgs.get_key_value(vgid).map(|(vgid, vg)| self.view(vgid, vg))
    }

    /// The VGs of this name, the one added last first.
    pub fn vgids_named(&self, name: &[u8]) -> &[Key] {
        self.names.get(name).map_or(&[], Vec::as_slice)
    }

    /// The VG that this PV is in; one that is no longer stored counts as none.
    pub fn owner(&self, pvid: &[u8]) -> Option<&Key> {
        match self.owners.get(pvid)? {
            Owner::Vg(vgid) if self.vgs.contains_key(vgid) => Some(vgid),
            Owner::Vg(_) | Owner::Orphan => None,
        }
    }

    /// The VG of this name whose stored section `rest` begins with, closing brace included, and
    /// the length of that. Saves parsing what is sent again unchanged.
    pub fn known_metadata(&self, vgname: &[u8], rest: &[u8]) -> Option<(&Key, usize)> {
        self.vgids_named(vgname).iter().find_map(|vgid| {
            let vg = self.vgs.get(vgid)?;
            let mut spellings = [Some(&vg.body), vg.alias.as_ref()].into_iter().flatten();
            let body = spellings.find(|body| rest.starts_with(body) && rest.get(body.len()) == Some(&b'}'))?;
            Some((vgid, body.len() + 1))
        })
    }

    /// A PV has been seen on a device, with or without its VG's metadata.
    ///
    /// # Errors
    /// The PV is present on another device. Whatever was on this one is gone all the same.
    pub fn pv_found(&mut self, found: FoundPv) -> Result<Found, DuplicatePv> {
        let pvid = self.intern(found.pvid);
        let device = found.device;
        let on_device = self.devices.get(&device).cloned();
        let pv_device = self.device_of(&pvid);
        let mut displaced = None;
        let mut changed = true;
        match (on_device, pv_device) {
            (None, None) => self.store_pv(&pvid, &found),
            (Some(here), Some(there)) if here == pvid && there == device => {
                changed = self.replace_pvmeta(&pvid, &found);
            }
            (Some(other), None) => {
                self.forget_presence(&other);
                self.store_pv(&pvid, &found);
                displaced = Some(other);
            }
            (None, Some(there)) => return Err(self.refuse_duplicate(there)),
            (Some(other), Some(there)) => {
                // The device now holds a copy of a PV that is present elsewhere: what was on it
                // is gone, and the copy is a duplicate.
                self.remove_pv(&other);
                return Err(self.refuse_duplicate(there));
            }
        }
        let reply = match found.metadata {
            Some(metadata) => self.found_with_metadata(&pvid, metadata, changed),
            None => self.found_without_metadata(&pvid, changed),
        };
        if let Some(other) = displaced {
            let owner = self.owner(&other).cloned();
            if let Some(vgid) = owner.filter(|vgid| *vgid != reply.vgid) {
                self.drop_vg_if_empty(&vgid, true);
            }
            self.forget_owner(&other);
        }
        self.check();
        Ok(reply)
    }

    fn found_with_metadata(&mut self, pvid: &Key, new: NewMetadata, changed: bool) -> Found {
        let (vgid, vgname) = (Rc::from(new.vgid), Rc::from(new.name));
        let seqno = new.seqno;
        let seqno_before = self.vgs.get(new.vgid).map_or(seqno, |vg| vg.seqno);
        self.merge_from_pv(pvid, &new);
        self.pvs.get_mut(pvid).expect("it was just stored").named = Some(Rc::clone(&vgid));
        self.settle_owners(std::slice::from_ref(pvid), None);
        Found {
            changed: changed || seqno_before != seqno,
            seqno_before,
            seqno_after: self.vgs.get(&vgid).map_or(-1, |vg| vg.seqno),
            vgid,
            vgname,
        }
    }

    fn found_without_metadata(&mut self, pvid: &Key, changed: bool) -> Found {
        self.pvs.get_mut(pvid).expect("it was just stored").named = None;
        self.settle_owners(std::slice::from_ref(pvid), None);
        let owner = self.owner(pvid).cloned();
        let vg = owner.as_ref().and_then(|vgid| Some((vgid, self.vgs.get(vgid)?)));
        let orphan = || Rc::from(ORPHAN);
        Found {
            changed,
            vgid: vg.map_or_else(orphan, |(vgid, _)| Rc::clone(vgid)),
            vgname: vg.map_or_else(orphan, |(_, vg)| Rc::clone(&vg.name)),
            seqno_before: -1,
            seqno_after: vg.map_or(-1, |(_, vg)| vg.seqno),
        }
    }

    /// Of the VG of a PV that was found, or [`ORPHAN`].
    pub fn status(&self, vgid: &[u8]) -> Status {
        match self.vgs.get(vgid) {
            None => Status::Orphan,
            Some(vg) if vg.pvids.iter().all(|pvid| self.is_member(vgid, pvid)) => Status::Complete,
            Some(_) => Status::Partial,
        }
    }

    /// Whether a PV that a VG, which there is, lists is there for it.
    fn is_member(&self, vgid: &[u8], pvid: &Key) -> bool {
        let is_its_own = || matches!(self.owners.get(pvid), Some(Owner::Vg(owner)) if **owner == *vgid);
        self.pvs.contains_key(pvid) && (self.knows_by == KnowsBy::Hearsay || is_its_own())
    }

    /// A PV is not there any more, named by its PVID or else by its device. Its PVID.
    pub fn pv_gone(&mut self, uuid: Option<&[u8]>, device: Option<i64>) -> Result<Key, NotGone> {
        let pvid = match (uuid, device) {
            (Some(uuid), _) => Rc::from(uuid),
            (None, Some(device)) => Rc::clone(self.devices.get(&device).ok_or(NotGone::DeviceUnknown)?),
            (None, None) => return Err(NotGone::DeviceUnknown),
        };
        if !self.pvs.contains_key(&pvid) {
            return Err(NotGone::PvUnknown);
        }
        self.remove_pv(&pvid);
        self.check();
        Ok(pvid)
    }

    /// Presence ends, and with it the VG if this was the last PV of it.
    fn remove_pv(&mut self, pvid: &Key) {
        self.forget_presence(pvid);
        if let Some(vgid) = self.owner(pvid).cloned() {
            self.drop_vg_if_empty(&vgid, true);
        }
    }

    /// Forgets all PVs and VGs; token and flags stay.
    pub fn pv_clear_all(&mut self) {
        let (token, flags) = (std::mem::take(&mut self.token), std::mem::take(&mut self.flags));
        *self = Cache { token, flags, knows_by: self.knows_by, ..Cache::default() };
    }

    /// Metadata that a command has committed, or that all disks agree on.
    ///
    /// # Errors
    /// Its seqno is not above 0; nothing is changed.
    pub fn vg_update(&mut self, new: NewMetadata) -> Result<(), BadUpdate> {
        if new.seqno <= 0 {
            return Err(BadUpdate);
        }
        self.merge_from_command(&new);
        if let Some(vg) = self.vgs.get_mut(new.vgid)
            && vg.external_version.is_some_and(|version| new.seqno >= version)
        {
            vg.invalid = false;
            vg.reply = None;
        }
        self.check();
        Ok(())
    }

    /// Removes everything stored for the VG; its PVs become orphans.
    pub fn vg_remove(&mut self, vgid: &[u8]) {
        if let Some(vg) = self.vgs.get(vgid) {
            let pvids = vg.pvids.clone();
            self.forget_vg(vgid);
            self.orphan(&pvids);
            self.settle_owners(&pvids, None);
        }
        self.check();
    }

    /// The client has dealt with the PVs that were reported as outdated.
    pub fn vg_clear_outdated_pvs(&mut self, vgid: &[u8]) {
        if let Some(vg) = self.vgs.get_mut(vgid)
            && !vg.outdated.is_empty()
        {
            vg.outdated.clear();
            vg.reply = None;
            self.with_outdated.remove(vgid);
        }
    }

    /// Announces metadata of this version; 0 always counts as newer. Returns the VGs flagged.
    pub fn set_vg_info(&mut self, uuid: Option<&[u8]>, name: Option<&[u8]>, version: i64) -> Vec<Key> {
        let vgids = match uuid.and_then(|uuid| self.vgs.get_key_value(uuid)) {
            Some((vgid, _)) => vec![Rc::clone(vgid)],
            None => name.map_or(Vec::new(), |name| self.vgids_named(name).to_vec()),
        };
        let flagged = vgids.into_iter().filter(|vgid| {
            let vg = self.vgs.get_mut(vgid).expect("names hold stored VGs only");
            let newer = version == 0 || version > vg.seqno;
            if newer {
                vg.external_version = Some(version);
                vg.invalid = true;
                vg.reply = None;
            }
            newer
        });
        flagged.collect()
    }

    pub fn set_invalid(&mut self, invalid: bool) {
        if self.flags.invalid != invalid {
            self.flags.invalid = invalid;
            self.pv_list = None;
            self.vg_list = None;
            self.vgs.values_mut().for_each(|vg| vg.reply = None);
        }
    }

    pub fn disable(&mut self, reasons: impl IntoIterator<Item = DisableReason>) {
        self.flags.disabled = true;
        self.flags.reasons.extend(reasons);
    }

    pub fn enable(&mut self) {
        self.flags.disabled = false;
        self.flags.reasons.clear();
    }

    /// The last duplicate is gone; if nothing else disabled the cache, it is enabled.
    pub fn duplicates_resolved(&mut self) {
        if self.flags.reasons.remove(&DisableReason::Duplicates) && self.flags.reasons.is_empty() {
            self.flags.disabled = false;
        }
    }

    /// Lists a PV as holding outdated metadata of the VG, if it is present and able to. True if
    /// it was not listed before.
    pub fn mark_outdated(&mut self, vgid: &[u8], pvid: &[u8]) -> bool {
        let able = self.pvs.get_key_value(pvid).filter(|(_, pv)| pv.has_used_mda).map(|(pvid, _)| Rc::clone(pvid));
        let vgid = self.vgs.get_key_value(vgid).map(|(vgid, _)| Rc::clone(vgid));
        let (Some(pvid), Some(vgid)) = (able, vgid) else { return false };
        let vg = self.vgs.get_mut(&vgid).expect("its key was found");
        if vg.outdated.contains(&pvid) {
            return false;
        }
        vg.outdated.insert(0, pvid);
        vg.reply = None;
        self.with_outdated.insert(vgid);
        true
    }

    /// Takes a PV off the lists of outdated PVs, but for that of the VG it was just read to hold
    /// older metadata of.
    pub fn clear_outdated(&mut self, pvid: &[u8], except: Option<&[u8]>) {
        let vgids = self.with_outdated.iter().filter(|vgid| except != Some(&***vgid)).cloned().collect::<Vec<_>>();
        for vgid in vgids {
            let vg = self.vgs.get_mut(&vgid).expect("only stored VGs are in here");
            let listed = vg.outdated.len();
            vg.outdated.retain(|other| **other != *pvid);
            if vg.outdated.len() != listed {
                vg.reply = None;
            }
            if vg.outdated.is_empty() {
                self.with_outdated.remove(&vgid);
            }
        }
    }

    fn intern(&self, pvid: &[u8]) -> Key {
        let known = self.owners.get_key_value(pvid).map(|(key, _)| key);
        let known = known.or_else(|| self.pvs.get_key_value(pvid).map(|(key, _)| key));
        known.map_or_else(|| Rc::from(pvid), Rc::clone)
    }

    fn store_pv(&mut self, pvid: &Key, found: &FoundPv) {
        let pv = Pv {
            device: found.device,
            meta: reply::pvmeta_text(found.pvmeta),
            has_used_mda: ["mda0/ignore", "mda1/ignore"].iter().any(|path| found.pvmeta.int(path) == Some(0)),
            named: None,
        };
        self.devices.insert(found.device, Rc::clone(pvid));
        self.pvs.insert(Rc::clone(pvid), pv);
        self.presence_changed(pvid);
    }

    /// True if the new section differs from the old.
    fn replace_pvmeta(&mut self, pvid: &Key, found: &FoundPv) -> bool {
        let meta = reply::pvmeta_text(found.pvmeta);
        let changed = self.pvs.get(pvid).is_none_or(|pv| pv.meta != meta);
        if changed {
            self.store_pv(pvid, found);
        }
        changed
    }

    fn forget_presence(&mut self, pvid: &Key) {
        if let Some(pv) = self.pvs.remove(pvid) {
            self.devices.remove(&pv.device);
            self.presence_changed(pvid);
        }
    }

    /// Drops the replies that show this PV.
    fn presence_changed(&mut self, pvid: &Key) {
        self.pv_list = None;
        let outdated_in = self.with_outdated.iter().filter(|vgid| self.vgs[*vgid].outdated.contains(pvid));
        let listed_by = self.listed_by.get(pvid).into_iter().flatten();
        for vgid in listed_by.chain(outdated_in).cloned().collect::<Vec<_>>() {
            self.drop_reply(&vgid);
        }
    }

    fn drop_reply(&mut self, vgid: &[u8]) {
        if let Some(vg) = self.vgs.get_mut(vgid) {
            vg.reply = None;
        }
    }

    fn refuse_duplicate(&mut self, device: i64) -> DuplicatePv {
        // Who reads the disks chooses among the devices of a PV; the cache is right all the same.
        if self.knows_by == KnowsBy::Hearsay {
            self.disable([DisableReason::Duplicates]);
        }
        self.check();
        DuplicatePv { device }
    }

    fn view<'a>(&'a self, vgid: &'a Key, vg: &'a Vg) -> VgView<'a> {
        VgView { cache: self, vgid, vg }
    }

    /// The maps agree with each other; runs at the end of each change.
    fn check(&self) {
        if !cfg!(debug_assertions) {
            return;
        }
        debug_assert_eq!(self.pvs.len(), self.devices.len());
        for (device, pvid) in &self.devices {
            debug_assert_eq!(self.device_of(pvid), Some(*device));
        }
        for (name, vgids) in &self.names {
            debug_assert!(!vgids.is_empty());
            for vgid in vgids {
                debug_assert_eq!(self.vgs.get(vgid).map(|vg| &vg.name), Some(name));
            }
        }
        debug_assert_eq!(self.names.values().map(Vec::len).sum::<usize>(), self.vgs.len());
        let mut listings = 0;
        for (vgid, vg) in &self.vgs {
            debug_assert!(vg.seqno > 0, "{}", vgid.escape_ascii());
            let listed = vg.pvids.iter().collect::<BTreeSet<_>>();
            listings += listed.len();
            for pvid in listed {
                debug_assert!(self.listed_by[pvid].contains(vgid), "{}", vgid.escape_ascii());
                debug_assert!(self.knows_by == KnowsBy::Hearsay || self.owner(pvid).is_some());
            }
        }
        debug_assert_eq!(self.listed_by.values().map(BTreeSet::len).sum::<usize>(), listings);
    }
}

/// A VG as others may see it.
#[derive(Clone, Copy)]
pub struct VgView<'a> {
    cache: &'a Cache,
    pub vgid: &'a Key,
    vg: &'a Vg,
}

impl<'a> VgView<'a> {
    pub fn name(&self) -> &'a Key {
        &self.vg.name
    }

    pub fn seqno(&self) -> i64 {
        self.vg.seqno
    }

    pub fn invalid(&self) -> bool {
        self.vg.invalid
    }

    /// The version that `set_vg_info` announced last.
    pub fn external_version(&self) -> Option<i64> {
        self.vg.external_version
    }

    /// The PVs that the metadata lists.
    pub fn pvids(&self) -> &'a [Key] {
        &self.vg.pvids
    }

    pub fn outdated(&self) -> &'a [Key] {
        &self.vg.outdated
    }

    pub fn body(&self) -> &'a Body {
        &self.vg.body
    }

    /// What its text says of it without its LVs.
    pub fn summary(&self) -> Rc<model::Vg> {
        // What is stored has been parsed before.
        let read = || Rc::new(model::Vg::read(&self.vg.name, &self.vg.body).unwrap_or_default());
        Rc::clone(self.vg.summary.get_or_init(read))
    }

    /// The PVs that are there for it.
    pub fn present(&self) -> impl Iterator<Item = &'a Key> {
        let (cache, vgid) = (self.cache, self.vgid);
        self.vg.pvids.iter().filter(move |pvid| cache.is_member(vgid, pvid))
    }

    pub fn missing(&self) -> impl Iterator<Item = &'a Key> {
        let (cache, vgid) = (self.cache, self.vgid);
        self.vg.pvids.iter().filter(move |pvid| !cache.is_member(vgid, pvid))
    }

    pub fn status(&self) -> Status {
        self.cache.status(self.vgid)
    }

    /// Whether the metadata is this text, in either spelling kept.
    pub fn is_text(&self, body: &[u8]) -> bool {
        self.vg.is_text(body)
    }

    pub fn has_content(&self, body: &Body) -> bool {
        self.vg.is_text(body) || body::same_content(&self.vg.body, body)
    }
}

impl Vg {
    fn is_text(&self, body: &[u8]) -> bool {
        let is = |own: &Body| std::ptr::eq(&**own, body) || **own == *body;
        is(&self.body) || self.alias.as_ref().is_some_and(is)
    }
}

/// The strings of a list such as `status`.
fn strings<'a>(value: Option<&'a Value>) -> Vec<&'a [u8]> {
    value.map_or(Vec::new(), |value| value.strings().collect())
}

#[cfg(test)]
mod tests;
