//! A run directory in memory, what other commands do there, and what has to be there in the end.

use crate::oracle::{Choice, choose};
use crate::rng::Rng;
use crate::sim::Sim;
use crate::world::{Disk, World, name, pvid, vgid};
use pvwatch::devno::DevNo;
use pvwatch::id::Id;
use pvwatch::online::{Claim, Hints, Lookup, PvOnline, RunFiles};
use pvwatch::watcher::Watcher;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Default)]
pub struct Files {
    /// `None` for a file that says nothing.
    pub pvs: BTreeMap<Id, Option<PvOnline>>,
    pub vgs: BTreeSet<Vec<u8>>,
    pub lookups: BTreeMap<Vec<u8>, Vec<Id>>,
    /// Nothing can be written, or read.
    pub broken: bool,
    /// Commands are making hints.
    pub hints_in_the_making: bool,
    /// A device has another PV than hints say, and nobody has been told to make them anew.
    pub hints_wrong: bool,
}

pub struct Broken;

impl Files {
    fn check(&self) -> Result<(), Broken> {
        if self.broken { Err(Broken) } else { Ok(()) }
    }

    /// What a crash, another command or somebody careless may leave.
    pub fn meddle(&mut self, rng: &mut Rng) {
        let pv = pvid(rng.small(7));
        let vg = name(rng.small(5)).into_bytes();
        let device = Some(format!("/dev/d{}", rng.below(7)));
        let online = PvOnline { devno: DevNo::new(8, u32::from(rng.small(7))), vg: Some(vg.clone()), device };
        match rng.below(8) {
            0 => drop(self.pvs.remove(&pv)),
            1 => drop(self.pvs.insert(pv, None)),
            2 => drop(self.pvs.insert(pv, Some(PvOnline { vg: None, ..online }))),
            3 => drop(self.pvs.insert(pv, Some(online))),
            4 => {
                self.vgs.insert(vg);
            }
            5 => {
                self.vgs.remove(&vg);
            }
            6 => drop(self.lookups.insert(vg, vec![pv, pvid(0)])),
            _ => drop(self.lookups.remove(&vg)),
        }
    }
}

impl RunFiles for Files {
    type Error = Broken;

    fn claim_pv(&mut self, pvid: Id, online: &PvOnline) -> Result<Claim, Broken> {
        self.check()?;
        match self.pvs.get(&pvid).cloned().flatten() {
            Some(held) if held.devno == online.devno => Ok(Claim::Held),
            Some(taken) => Ok(Claim::Taken(taken)),
            None => self.replace_pv(pvid, online).map(|()| Claim::Made),
        }
    }

    fn replace_pv(&mut self, pvid: Id, online: &PvOnline) -> Result<(), Broken> {
        self.check()?;
        self.pvs.insert(pvid, Some(online.clone()));
        Ok(())
    }

    fn pv(&self, pvid: Id) -> Result<Option<PvOnline>, Broken> {
        self.check().map(|()| self.pvs.get(&pvid).cloned().flatten())
    }

    fn has_pv(&self, pvid: Id) -> Result<bool, Self::Error> {
        self.pv(pvid).map(|online| online.is_some())
    }

    fn pvs(&self) -> Result<Vec<(Id, Option<PvOnline>)>, Broken> {
        self.check().map(|()| self.pvs.clone().into_iter().collect())
    }

    fn remove_pv(&mut self, pvid: Id) -> Result<(), Broken> {
        self.check().map(|()| drop(self.pvs.remove(&pvid)))
    }

    fn claim_vg(&mut self, vg: &[u8]) -> Result<bool, Broken> {
        self.check().map(|()| self.vgs.insert(vg.to_vec()))
    }

    fn vgs(&self) -> Result<Vec<Vec<u8>>, Broken> {
        self.check().map(|()| self.vgs.iter().cloned().collect())
    }

    fn remove_vg(&mut self, vg: &[u8]) -> Result<(), Broken> {
        self.check()?;
        self.vgs.remove(vg);
        Ok(())
    }

    fn claim_lookup(&mut self, lookup: &Lookup) -> Result<bool, Broken> {
        self.check()?;
        let is_new = !self.lookups.contains_key(&lookup.vg);
        self.lookups.entry(lookup.vg.clone()).or_insert_with(|| lookup.pvids.clone());
        Ok(is_new)
    }

    fn replace_lookup(&mut self, lookup: &Lookup) -> Result<(), Broken> {
        self.check().map(|()| drop(self.lookups.insert(lookup.vg.clone(), lookup.pvids.clone())))
    }

    fn lookups(&self) -> Result<Vec<Lookup>, Broken> {
        let lookup = |(vg, pvids): (&Vec<u8>, &Vec<Id>)| Lookup { vg: vg.clone(), pvids: pvids.clone() };
        self.check().map(|()| self.lookups.iter().map(lookup).collect())
    }

    fn remove_lookup(&mut self, vg: &[u8]) -> Result<(), Broken> {
        self.check().map(|()| drop(self.lookups.remove(vg)))
    }

    fn invalidate_hints(&mut self) -> Result<Hints, Broken> {
        self.check()?;
        if self.hints_in_the_making {
            return Ok(Hints::InTheMaking);
        }
        self.hints_wrong = false;
        Ok(Hints::Invalidated)
    }
}

impl Sim {
    /// Hints made before a device had another PV than now, or none, are wrong, whichever copy is used.
    pub fn note_hinted(&mut self) {
        let pvs = self.watcher.devices().iter();
        let hinted = pvs.filter_map(|(devno, device)| Some((*devno, device.pv()?.id))).collect();
        self.files.hints_wrong |= self.hinted != hinted;
        self.hinted = hinted;
    }

    /// A PV that is served and in use stays online, whatever becomes of its device.
    pub fn check_published(&self) {
        if self.activator.files_doubtful || self.clients_meddle() || self.files.broken || self.ready_at.is_none() {
            return;
        }
        for (key, device) in self.watcher.cache().present_pvs() {
            let devno = DevNo::from_wire(device);
            let Some(pv) = self.watcher.devices().get(&devno).and_then(|device| device.pv()) else { continue };
            let is_member = pv.is_in_use() && pv.vg.as_ref().is_some_and(|text| text.pvids.contains(&pv.id));
            let file = self.files.pvs.get(&pv.id).and_then(Option::as_ref);
            let is_online = file.is_some_and(|file| file.devno == devno);
            assert!(!is_member || is_online, "PV {} is served and not online", key.escape_ascii());
        }
    }
}

/// Compares what is there with what a naive look at the disks says; the error says the first thing
/// that is wrong.
pub fn check(
    watcher: &Watcher,
    world: &World,
    files: &Files,
    were_there: &BTreeMap<Id, BTreeSet<Id>>,
) -> Result<(), String> {
    let readable = |devno: &DevNo, disk: &Disk| disk.is_readable() && world.is_ours(*devno);
    let mut pvs = BTreeMap::new();
    // Of copies, the one that the watcher chose.
    let chosen = |devno: &DevNo, pv: u8| {
        watcher.cache().device_of(&pvid(pv).hyphenated()) == Some(devno.to_dev_t().cast_signed())
    };
    let mut holders = Vec::new();
    // What a command takes into a VG without marking it is there, and does not come online.
    let mut unmarked = BTreeSet::new();
    for (devno, disk) in world.disks.iter().filter(|(devno, disk)| readable(devno, disk)) {
        let Some(pv) = disk.content.pv() else { continue };
        let text = disk.content.text();
        if let Choice::Ambiguous(devnos) = choose(world, pv)
            && devnos.contains(devno)
        {
            holders.extend(text);
        }
        if !chosen(devno, pv) {
            continue;
        }
        holders.extend(text);
        let is_in_use = disk.content.is_in_use();
        if !is_in_use {
            unmarked.insert(pvid(pv));
        }
        if is_in_use && text.is_none_or(|text| text.pvs.contains(&pv)) {
            let vg = text.map(|text| name(text.name).into_bytes());
            let online = PvOnline { devno: *devno, vg, device: Some(format!("/dev/d{}", devno.minor)) };
            pvs.insert(pvid(pv), Some(online));
        }
    }
    if let Some((pvid, file)) = pvs.iter().find(|(pvid, file)| files.pvs.get(pvid) != Some(file)) {
        return Err(format!("pvs_online/{pvid} says {:?} and not {file:?}", files.pvs.get(pvid)));
    }
    if let Some((pvid, file)) = files.pvs.iter().find(|(pvid, _)| !pvs.contains_key(pvid)) {
        return Err(format!("pvs_online/{pvid} is there and says {file:?}"));
    }
    let vgs = watcher.cache().vgs().map(|vg| {
        let pvids = vg.pvids().iter().map(|pvid| Id::parse(pvid).expect("they are regular")).collect::<Vec<_>>();
        (vg.name().to_vec(), pvids)
    });
    let mut by_name: BTreeMap<Vec<u8>, Vec<Vec<Id>>> = BTreeMap::new();
    vgs.for_each(|(name, pvids)| by_name.entry(name).or_default().push(pvids));
    let ids = holders.iter().map(|text| vgid(text.id)).collect::<BTreeSet<_>>();
    if ids.len() != by_name.values().map(Vec::len).sum::<usize>() {
        return Err("the cache has other VGs than the disks".to_owned());
    }
    let complete = |pvids: &Vec<Id>| pvids.iter().all(|pvid| pvs.contains_key(pvid));
    for (name, found) in &files.lookups {
        match by_name.get(name).map(Vec::as_slice) {
            Some([only]) if only.len() > 1 && only == found => {}
            right => return Err(format!("pvs_lookup/{} is not that of {right:?}", name.escape_ascii())),
        }
    }
    for (name, vgs) in &by_name {
        if let [only] = &vgs[..]
            && only.len() > 1
            && complete(only)
            && !files.lookups.contains_key(name)
        {
            return Err(format!("pvs_lookup/{} is missing", name.escape_ascii()));
        }
    }
    let may_be = |pvids: &Vec<Id>| pvids.iter().all(|pvid| pvs.contains_key(pvid) || unmarked.contains(pvid));
    // One that was taken into a VG when it was not there any more has not left it: LVM leaves the file too.
    let has_lost_none = |name: &Vec<u8>| {
        let vgs = watcher.cache().vgs().filter(|vg| **vg.name() == **name);
        vgs.into_iter().any(|vg| {
            let there = Id::parse(vg.vgid).and_then(|vgid| were_there.get(&vgid));
            let is_listed = |pvid: &&Id| vg.pvids().iter().any(|key| **key == pvid.hyphenated());
            let mut there = there.into_iter().flatten().filter(is_listed).peekable();
            there.peek().is_some() && there.all(|pvid| pvs.contains_key(pvid) || unmarked.contains(pvid))
        })
    };
    let online = |name: &&Vec<u8>| by_name.get(*name).is_some_and(|vgs| vgs.iter().any(may_be)) || has_lost_none(name);
    if let Some(name) = files.vgs.iter().find(|name| !online(name)) {
        return Err(format!("vgs_online/{} is there, and the VG is not complete", name.escape_ascii()));
    }
    if files.hints_wrong { Err("hints were not invalidated".to_owned()) } else { Ok(()) }
}
