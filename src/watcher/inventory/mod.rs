//! What reports are made of, a piece at a time: `report::inventory`.
//!
//! A report may take long to be sent, and the cache goes on living. So only the order is fixed when it
//! begins, and each piece is as it is when its turn comes; what is gone by then is left out.
//!
//! LVM goes through the VGs in the order in which it found them, the last one first, and it looks at
//! devices in the order of their numbers. PVs in no VG and other devices come in that order.

mod warnings;

use super::{Content, Device, Watcher};
use crate::cache::{Key, VgView};
use crate::devno::DevNo;
use crate::id::Id;
use crate::metadata::VgText;
use crate::report::inventory::{
    Device as Shown, Host, Item, Label, Mapped, Mda, Named, NamedDevice, Needs, Present, Unreadable, VgItem,
};
use crate::report::model::Vg;
use crate::scan::{Code, MdaScan, Pv};
use crate::signature::{Class, Member};
use std::collections::{BTreeMap, HashMap, VecDeque};

/// How far a report has come.
#[derive(Debug)]
pub struct Inventory {
    of_vgs: OfVgs,
    /// Whether what device-mapper has matters.
    shows_mapped: bool,
    /// What devices are called that have another name here.
    names: BTreeMap<DevNo, String>,
    steps: VecDeque<Step>,
}

/// What of VGs is needed.
#[derive(Clone, Copy, Debug)]
struct OfVgs {
    text: bool,
    labels: bool,
}

#[derive(Debug)]
enum Step {
    Host,
    Named(usize, DevNo),
    Vg(Key),
    Unreadable(DevNo),
    Orphan(Key),
    Device(DevNo),
}

impl Inventory {
    /// Of all there is. `shows_mapped` is whether there is a device-mapper, and the devices looked at
    /// are this host's.
    pub fn begin(watcher: &Watcher, needs: &Needs, shows_mapped: bool) -> Inventory {
        let mut steps = VecDeque::from([Step::Host]);
        steps.extend(watcher.named_steps(&needs.named));
        steps.extend(watcher.vg_steps());
        steps.extend(watcher.orphans().into_iter().map(Step::Orphan));
        if needs.devices {
            let devices = watcher.devices.iter().filter(|(_, device)| watcher.is_no_pv(device));
            let mut devices = devices.map(|(devno, _)| *devno).collect::<Vec<_>>();
            devices.sort_by_key(|devno| devno.turn());
            steps.extend(devices.into_iter().map(Step::Device));
        }
        Inventory {
            of_vgs: OfVgs { text: needs.lvs, labels: needs.labels },
            shows_mapped,
            names: BTreeMap::new(),
            steps,
        }
    }

    /// Calls devices by these names.
    pub fn call(&mut self, names: BTreeMap<DevNo, String>) {
        self.names = names;
    }

    /// The next piece, if there is one.
    pub fn next(&mut self, watcher: &Watcher) -> Option<Item> {
        while let Some(step) = self.steps.pop_front() {
            let view = View { watcher, names: &self.names };
            let item = match step {
                Step::Host => Some(Item::Host(view.host(self.shows_mapped))),
                Step::Named(at, devno) => Some(Item::Named(Named { at, devno, reason: watcher.why_not_used(devno) })),
                Step::Vg(vgid) => view.vg(&vgid, self.of_vgs).map(|vg| Item::Vg(Box::new(vg))),
                Step::Unreadable(devno) => view.unreadable(devno).map(|vg| Item::Unreadable(Box::new(vg))),
                Step::Orphan(pvid) => view.orphan(&pvid),
                Step::Device(devno) => {
                    let device = watcher.devices.get(&devno).filter(|device| watcher.is_no_pv(device));
                    device.map(|device| Item::Device(view.device(devno, device)))
                }
            };
            if item.is_some() {
                return item;
            }
        }
        None
    }
}

impl Watcher {
    /// Those that there are.
    fn named_steps(&self, named: &[NamedDevice]) -> Vec<Step> {
        let has_paths = named.iter().any(|named| named.devno.is_none());
        let paths = self.devices.iter().filter(|_| has_paths);
        let paths = paths.map(|(devno, device)| (device.path().into_bytes(), *devno)).collect::<HashMap<_, _>>();
        let steps = named.iter().enumerate().filter_map(|(at, named)| {
            let devno = named.devno.or_else(|| paths.get(&*named.path).copied())?;
            let is_there = self.devices.contains_key(&devno) || self.cache.pvid_on(devno.to_wire()).is_some();
            is_there.then_some(Step::Named(at, devno))
        });
        steps.collect()
    }

    /// Why LVM would not use a device, in its words.
    fn why_not_used(&self, devno: DevNo) -> Option<String> {
        let device = self.devices.get(&devno)?;
        if let Some(rule) = device.rule {
            return Some(rule.to_string());
        }
        if let Some(Content::Member(member, _)) = device.seen.as_ref().map(|seen| &seen.content)
            && is_filtered(member)
        {
            return Some(member.why_no_pv());
        }
        let held_back = device.held_back.as_ref().map(ToString::to_string);
        let not_ready = device.not_ready.map(str::to_owned);
        let names = device.names.iter().map(String::as_str);
        not_ready.or(held_back).or_else(|| Some(self.settings.filter.hides(names)?.to_string()))
    }

    fn vg_steps(&self) -> Vec<Step> {
        let mut found: BTreeMap<Vec<u8>, (u32, DevNo)> = BTreeMap::new();
        let mut note = |vgid: Vec<u8>, devno: DevNo| {
            let first = found.entry(vgid).or_insert((devno.turn(), devno));
            *first = (*first).min((devno.turn(), devno));
        };
        let mut nameless = Vec::new();
        for (devno, device) in &self.devices {
            let Some(pv) = device.pv() else { continue };
            if let Some(text) = &pv.vg {
                note(text.vgid.hyphenated(), *devno);
            } else if pv.mdas.iter().any(|mda| mda.lacking_vg().is_some()) {
                nameless.push((devno.turn(), Step::Unreadable(*devno)));
            }
        }
        // What a client has told us may be on no device that was read.
        for vg in self.cache.vgs().filter(|vg| !found.contains_key(&**vg.vgid)).collect::<Vec<_>>() {
            let devnos = vg.pvids().iter().filter_map(|pvid| self.cache.device_of(pvid)).map(DevNo::from_wire);
            let first = devnos.map(|devno| (devno.turn(), devno)).min();
            found.insert(vg.vgid.to_vec(), first.unwrap_or((u32::MAX, DevNo::new(u32::MAX, u32::MAX))));
        }
        let known = found.into_iter().map(|(vgid, (turn, devno))| match self.cache.vg(&vgid) {
            Some(vg) => (turn, Step::Vg(Key::clone(vg.vgid))),
            None => (turn, Step::Unreadable(devno)),
        });
        let mut steps = known.chain(nameless).collect::<Vec<_>>();
        steps.sort_by_key(|(turn, _)| std::cmp::Reverse(*turn));
        steps.into_iter().map(|(_, step)| step).collect()
    }

    fn orphans(&self) -> Vec<Key> {
        let orphans = self.cache.present_pvs().filter(|(pvid, _)| self.cache.owner(pvid).is_none());
        let mut orphans = orphans.collect::<Vec<_>>();
        orphans.sort_by_key(|(_, device)| DevNo::from_wire(*device).turn());
        orphans.into_iter().map(|(pvid, _)| Key::clone(pvid)).collect()
    }

    /// Whether `pvs -a` lists the device although it is no PV: it passes LVM's filters.
    fn is_no_pv(&self, device: &Device) -> bool {
        let is_free = match device.seen.as_ref().map(|seen| &seen.content) {
            None | Some(Content::Pv(_)) => false,
            Some(Content::NotAPv(findings)) => {
                // To LVM the label is good, and what it leads to is no PV.
                !findings.iter().any(|finding| finding.code == Code::PvHeaderOutOfSector)
            }
            Some(Content::Member(member, _)) => !is_filtered(member),
        };
        let names = || device.names.iter().map(String::as_str);
        is_free
            && device.rule.is_none()
            && device.not_ready.is_none()
            && device.held_back.is_none()
            && self.settings.filter.hides(names()).is_none()
    }
}

/// The watcher, and what devices are called.
#[derive(Clone, Copy)]
struct View<'w> {
    watcher: &'w Watcher,
    names: &'w BTreeMap<DevNo, String>,
}

/// A PV whose metadata areas have a text of the VG.
struct Holder<'w> {
    devno: DevNo,
    device: &'w Device,
    pv: &'w Pv,
    text: &'w VgText,
}

/// What was read of a VG.
struct Read<'r, 'w> {
    /// Of its PVs that are there, if not only a client told.
    pvs: Vec<Option<&'w Pv>>,
    holders: &'r [Holder<'w>],
    unlisted: &'r [&'r Holder<'w>],
}

impl<'w> View<'w> {
    fn path(&self, devno: DevNo, device: &Device) -> String {
        self.names.get(&devno).cloned().unwrap_or_else(|| device.path())
    }

    fn host(&self, shows_mapped: bool) -> Host {
        let mapped = |(devno, device): (&DevNo, &Device)| {
            let uuid = device.facts.dm_uuid.as_ref().filter(|uuid| uuid.starts_with("LVM-"))?;
            let name = device.facts.dm_name.clone().unwrap_or_default();
            Some(Mapped { uuid: uuid.clone(), name, devno: *devno, suspended: device.facts.dm_suspended })
        };
        let mapped = shows_mapped.then(|| {
            let mut all = self.watcher.devices.iter().filter_map(mapped).collect::<Vec<_>>();
            all.sort_unstable_by(|one: &Mapped, other| one.uuid.cmp(&other.uuid));
            all
        });
        Host { system_id: self.watcher.system_id().map(str::to_owned), mapped, warnings: self.of_scan() }
    }

    fn vg(&self, vgid: &Key, needs: OfVgs) -> Option<VgItem> {
        let vg = self.watcher.cache.vg(vgid)?;
        let found = vg.present().filter_map(|pvid| self.present(pvid));
        let (mut present, pvs): (Vec<_>, Vec<_>) = found.unzip();
        let summary = vg.summary();
        let holders = self.holders(vg);
        let unlisted = self.unlisted(vg, &holders, &present);
        let warnings = self.of_vg(vg, &summary, &present, &Read { pvs, holders: &holders, unlisted: &unlisted });
        let counted = unlisted.iter().filter(|holder| holder.text.seqno >= vg.seqno());
        let stray = counted.flat_map(|holder| label_of(holder.pv).mdas).filter(|mda| !mda.bad).collect();
        if !needs.labels {
            leave_out_labels(&summary, &mut present);
        }
        let text = needs.text.then(|| vg.body().clone());
        Some(VgItem { vg: summary, present, stray, warnings, text })
    }

    fn holders(&self, vg: VgView) -> Vec<Holder<'w>> {
        let Some(vgid) = Id::from_hyphenated(vg.vgid) else { return Vec::new() };
        let holders = self.watcher.holders.get(&vgid).into_iter().flatten();
        let holders = holders.filter_map(|&devno| {
            let device = self.watcher.devices.get(&devno)?;
            let pv = device.pv()?;
            let text = pv.vg.as_deref().filter(|text| text.vgid == vgid)?;
            Some(Holder { devno, device, pv, text })
        });
        holders.collect()
    }

    /// Those that the VG does not list.
    fn unlisted<'h>(&self, vg: VgView, holders: &'h [Holder<'w>], present: &[Present]) -> Vec<&'h Holder<'w>> {
        let mut there = present.iter().map(|present| present.id.0).collect::<Vec<_>>();
        there.sort_unstable();
        let is_unlisted = |holder: &&Holder| {
            if there.binary_search(&holder.pv.id.0).is_ok() {
                return false;
            }
            let key = Key::from(holder.pv.id.hyphenated());
            let is_owned = self.watcher.cache.owner(&key).is_some_and(|owner| owner == vg.vgid);
            !is_owned && !vg.pvids().contains(&key) && self.watcher.place(holder.pv.id) == Some(holder.devno)
        };
        holders.iter().filter(is_unlisted).collect()
    }

    fn unreadable(&self, devno: DevNo) -> Option<Unreadable> {
        let device = self.watcher.devices.get(&devno)?;
        let pv = device.pv()?;
        let Some(text) = &pv.vg else {
            let name = pv.mdas.iter().find_map(|mda| mda.lacking_vg())?;
            let devices = vec![self.device(devno, device)];
            return Some(Unreadable { name: name.into(), id: None, devices, warnings: Vec::new() });
        };
        if self.watcher.cache.vg(&text.vgid.hyphenated()).is_some() {
            return None;
        }
        let is_of_it = |pv: &Pv| pv.vg.as_ref().is_some_and(|other| other.vgid == text.vgid);
        let devices = self.watcher.devices.iter().filter(|(_, device)| device.pv().is_some_and(is_of_it));
        let devices = devices.map(|(devno, device)| self.device(*devno, device)).collect();
        let mut holders = self
            .watcher
            .devices
            .iter()
            .filter_map(|(devno, device)| Some((*devno, device, device.pv().filter(|pv| is_of_it(pv))?)))
            .collect::<Vec<_>>();
        holders.sort_by_key(|(devno, ..)| devno.turn());
        let warnings = holders.iter().flat_map(|(devno, device, pv)| self.of_unreadable(*devno, device, pv));
        let warnings = warnings.collect();
        Some(Unreadable { name: (&*text.name).into(), id: Some(text.vgid), devices, warnings })
    }

    fn orphan(&self, pvid: &Key) -> Option<Item> {
        if self.watcher.cache.owner(pvid).is_some() {
            return None;
        }
        let device = DevNo::from_wire(self.watcher.cache.device_of(pvid)?);
        let pv = self.watcher.devices.get(&device).and_then(Device::pv);
        // What names a VG that does not list it, or cannot be read, LVM shows the label of at most.
        let names_vg = |pv: &Pv| pv.vg.is_some() || pv.mdas.iter().any(|mda| mda.lacking_vg().is_some());
        let mut present = Box::new(self.present(pvid)?.0);
        if pv.is_some_and(names_vg) {
            return Some(Item::Label(present));
        }
        if let Some(pv) = pv {
            present.warnings = warnings::of_orphan(&present.device.path, pv);
        }
        Some(Item::Orphan(present))
    }

    /// A PV that is in the cache, by what was read of its device; or by what a client said, if that is
    /// all there is.
    fn present(&self, pvid: &Key) -> Option<(Present, Option<&'w Pv>)> {
        let id = Id::from_hyphenated(pvid)?;
        let devno = DevNo::from_wire(self.watcher.cache.device_of(pvid)?);
        let read = self.watcher.devices.get(&devno).and_then(|device| Some((device, device.pv()?)));
        let Some((device, pv)) = read.filter(|(_, pv)| pv.id == id) else {
            let (label, size) = self.watcher.cache.told(pvid)?;
            let device = Shown { path: format!("/dev/block/{devno}"), devno, size };
            let told = Present { id, device, label, duplicates: Vec::new(), warnings: Vec::new() };
            return Some((told, None));
        };
        let names = || device.names.iter().map(String::as_str);
        if self.watcher.settings.filter.hides(names()).is_some() {
            return None;
        }
        let others = self.watcher.choice(id).into_iter().flat_map(|choice| choice.others.keys());
        let others = others.filter_map(|devno| Some(self.device(*devno, self.watcher.devices.get(devno)?)));
        let present = Present {
            id,
            device: self.device(devno, device),
            label: label_of(pv),
            duplicates: others.collect(),
            warnings: Vec::new(),
        };
        Some((present, Some(pv)))
    }

    fn device(&self, devno: DevNo, device: &Device) -> Shown {
        Shown { path: self.path(devno, device), devno, size: device.facts.size }
    }
}

/// LVM looks for these superblocks itself; of others it has heard from udev at most.
fn is_filtered(member: &Member) -> bool {
    matches!(member.class, Class::Md | Class::Multipath) || LVM_FILTERS.contains(&member.format)
}

/// The signatures that make LVM leave a device alone.
const LVM_FILTERS: [&str; 2] = ["lvm1", "gfs_pool"];

/// But of those that were missing once: by its label such a PV is there again, or not.
fn leave_out_labels(vg: &Vg, present: &mut [Present]) {
    let mut left = present.iter_mut().peekable();
    for listed in &vg.pvs {
        if let Some(present) = left.next_if(|present| Some(present.id) == listed.id)
            && !listed.is_marked_missing()
        {
            present.device = Shown::default();
            present.label = Label::default();
        }
    }
}

fn label_of(pv: &Pv) -> Label {
    let bootloader = pv.bootloader_areas.first().map_or((0, 0), |area| (area.offset, area.size));
    let mda = |mda: &MdaScan| Mda {
        start: mda.area.offset,
        size: mda.area.size,
        free: mda.free,
        ignored: mda.ignored,
        bad: mda.problem.is_some(),
    };
    Label {
        ext_version: pv.ext_version,
        in_use: pv.is_in_use(),
        dev_size: pv.dev_size,
        data_start: pv.data_areas.first().map_or(0, |area| area.offset),
        bootloader,
        mdas: pv.mdas.iter().map(mda).collect(),
    }
}

#[cfg(test)]
mod tests;
