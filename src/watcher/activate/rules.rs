//! The rules, asked in their order.

use super::super::Because;
use super::super::online::Vg;
use super::super::{Device, Watcher};
use crate::activation::{Rule, decide, udev};
use crate::devno::DevNo;
use crate::id::Id;
use crate::metadata::VgText;

/// What a VG waits for that is not offered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Held {
    /// It has not been thought of since something happened.
    #[default]
    No,
    /// For something to happen to this PV.
    ByPv(Id),
    /// For something to happen to it as a whole.
    ByVg,
}

impl Watcher {
    /// The first rule of those that ask for the VG, its PVs and the configuration only.
    pub(super) fn decide(&self, vgid: Id, vg: &Vg) -> Result<(), (Rule, Held)> {
        let by_metadata = match self.offers.known_decision(vgid, &vg.text) {
            Some(known) => known,
            None => self.by_metadata(&vg.text),
        };
        match &by_metadata {
            Err(Rule::MarkedMissing(_)) | Ok(()) => {}
            Err(rule) => return Err((rule.clone(), Held::ByVg)),
        }
        if !vg.is_kept && self.online.truth.only_one_named(&vg.text.name) != Some(vgid) {
            return Err((Rule::NameTaken, Held::ByVg));
        }
        if !vg.is_complete() {
            let missing = vg.text.pvids.iter().filter(|pvid| !self.online.truth.pvs.contains_key(pvid));
            return Err((Rule::Incomplete { missing: missing.copied().collect() }, Held::ByVg));
        }
        by_metadata.map_err(|rule| (rule, Held::ByVg))?;
        for pvid in &vg.text.pvids {
            self.decide_pv(vgid, *pvid).map_err(|rule| (rule, Held::ByPv(*pvid)))?;
        }
        Ok(())
    }

    pub(super) fn by_metadata(&self, text: &VgText) -> Result<(), Rule> {
        decide::by_metadata(text, &self.settings, self.system_id())
    }

    fn decide_pv(&self, vgid: Id, pvid: Id) -> Result<(), Rule> {
        let missing = || Rule::Incomplete { missing: vec![pvid] };
        let devno = self.online.truth.place(pvid).ok_or_else(missing)?;
        let device = self.devices.get(&devno).ok_or_else(missing)?;
        if self.text_of(devno).is_some_and(|text| text.vgid != vgid) {
            return Err(missing());
        }
        let name = || device.path();
        if self.is_on_lv(device) {
            return Err(Rule::OnLv { pvid, device: name() });
        }
        if !self.settings.policy.allow_duplicates
            && let Some(devices) = self.equal_copies(pvid)
        {
            return Err(Rule::Copies { pvid, devices });
        }
        match &device.quarantine {
            Some(quarantine) => Err(Rule::Unreadable { pvid, device: name(), reason: quarantine.reason.to_string() }),
            None => Ok(()),
        }
    }

    fn is_on_lv(&self, device: &Device) -> bool {
        let disk = device.facts.stack.disk.and_then(|disk| self.devices.get(&disk));
        [Some(device), disk].into_iter().flatten().any(|device| device.facts.dm_uuid.as_deref().is_some_and(is_of_lv))
    }

    /// The devices that the PV is on, if nothing tells which is the right one but that one can be
    /// read, or was there first.
    fn equal_copies(&self, pvid: Id) -> Option<Vec<String>> {
        let choice = self.choice(pvid)?;
        let proves_nothing = |because| matches!(because, Because::Readable | Because::Current | Because::FirstSeen);
        let others = choice.others.iter().filter(|(_, other)| !other.is_path && proves_nothing(other.because));
        let others = others.map(|(devno, _)| self.name_of(*devno).0).collect::<Vec<_>>();
        (!others.is_empty()).then(|| [self.name_of(choice.device).0].into_iter().chain(others).collect())
    }

    /// A PV of the VG whose device is still to be read, or chosen.
    pub(super) fn unread_pv(&self, text: &VgText) -> Option<Id> {
        let is_unread = |pvid: &&Id| {
            let devno = self.online.truth.place(**pvid);
            self.is_choice_due(**pvid) || devno.is_none_or(|devno| self.is_to_be_read(devno))
        };
        text.pvids.iter().find(is_unread).copied()
    }

    pub(super) fn devices_of<'w>(&'w self, text: &'w VgText) -> impl Iterator<Item = (Id, DevNo)> + 'w {
        text.pvids.iter().filter_map(|pvid| Some((*pvid, self.online.truth.place(*pvid)?)))
    }

    /// What keeps the VG from being activated by udev, as far as udev was asked.
    pub(super) fn udev_rule(&self, text: &VgText) -> Option<Rule> {
        self.devices_of(text).find_map(|(_, devno)| {
            let device = || self.name_of(devno).0;
            match self.offers.udev.standing(devno)? {
                udev::Standing::Ready => None,
                udev::Standing::Awaited => Some(Rule::AwaitsUdev { device: device() }),
                udev::Standing::Refused(property) => {
                    Some(Rule::RefusedByUdev { device: device(), property: property.clone() })
                }
            }
        })
    }

    /// Whether an LV of the VG is active, and its table names a device that is gone: `vgchange
    /// --refresh` has it look for the new one.
    pub(super) fn lvs_lie_on_gone_devices(&self, vgid: Id) -> bool {
        let mut lvs = self.offers.lvs.get(&vgid).into_iter().flatten().filter_map(|devno| self.devices.get(devno));
        lvs.any(|lv| {
            let stack = &lv.facts.stack;
            stack.lies_on_gone || stack.slaves.iter().any(|below| !self.devices.contains_key(below))
        })
    }
}

/// An LV, or a partition that kpartx has made of one.
fn is_of_lv(dm_uuid: &str) -> bool {
    let whole = match dm_uuid.strip_prefix("part").and_then(|rest| rest.split_once('-')) {
        Some((number, whole)) if number.bytes().all(|byte| byte.is_ascii_digit()) => whole,
        _ => dm_uuid,
    };
    whole.starts_with("LVM-")
}

/// The VG that an active LV is of, by its dm device.
pub(super) fn vg_of_lv(dm_uuid: &str) -> Option<Id> {
    Id::parse(dm_uuid.strip_prefix("LVM-")?.as_bytes().get(..32)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_on_an_lv() {
        let lv = format!("LVM-{}{}", "v".repeat(32), "l".repeat(32));
        for (uuid, expected) in [
            (lv.as_str(), true),
            (&format!("{lv}-tpool"), true),
            (&format!("part12-{lv}"), true),
            (&format!("partx-{lv}"), false),
            (&format!("CRYPT-LUKS2-{lv}"), false),
            ("mpath-1", false),
            ("part1-mpath-1", false),
        ] {
            assert_eq!(is_of_lv(uuid), expected, "{uuid}");
        }
        assert_eq!(vg_of_lv(&lv), Some(Id([b'v'; 32])));
        assert_eq!(vg_of_lv("LVM-short"), None);
    }
}
