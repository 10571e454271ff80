//! What is recorded of the devices that were asked for, and what is said of them.
//!
//! The rules are those of `_online_devs` in lvm2's `tools/pvscan.c`, but that a record of a PV whose
//! device is gone, or holds another by now, is in nobody's way.

use super::{Found, List, Operand, Pv, Request, Vg};
use crate::devno::DevNo;
use crate::id::Id;
use crate::metadata::Kept;
use crate::online::{Claim, Lookup, PvOnline, RunFiles};
use std::fmt::Display;

/// What of the host's settings counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// `global/event_activation`.
    pub event_activation: bool,
    /// The local system ID.
    pub system_id: Option<String>,
}

/// One device that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    pub operand: Operand,
    /// The number it has or had, where that can be told of one that is gone.
    pub devno: Option<DevNo>,
    pub found: Found,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// What has happened.
    Message(String),
    /// What was asked for.
    Report(String),
    /// The same for udev, which takes lines of this kind and no others.
    Udev(String),
    Warning(String),
    Error(String),
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    pub lines: Vec<Line>,
    pub failed: bool,
    /// A PV was there, so what LVM's hints say may not be all.
    pub found_pv: bool,
}

/// A VG that has turned out to be complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Whole {
    pub name: Vec<u8>,
    /// `None` if its name is all that is known.
    pub vgid: Option<Id>,
    /// Its PVs, and where they are as far as that is recorded.
    pub pvs: Vec<(Id, Option<DevNo>)>,
}

/// Who starts the activation of a VG that is complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Starter {
    /// The daemon.
    Daemon {
        /// Nobody has been told before that it is complete.
        is_first: bool,
    },
    /// Who is told, as this unit.
    Unit(String),
    /// Nobody: why.
    Nobody(String),
}

/// What has to be found out while it is decided.
pub trait Ask {
    /// What a device is that a record names.
    fn look(&mut self, devno: DevNo) -> Found;
    /// Asked with `--activation-unit` alone.
    fn starter(&mut self, vg: &Whole) -> Starter;
}

/// `Some` if the settings leave nothing to do: what is to be said.
pub fn nothing_to_do(request: &Request, host: &Host) -> Option<Vec<Line>> {
    let message = |text: &str| Some(vec![Line::Message(text.to_owned())]);
    if request.check_complete && !host.event_activation {
        return match request.udev_output {
            true => Some(vec![Line::Udev("LVM_EVENT_ACTIVATION=0".to_owned())]),
            false => message("Ignoring pvscan with --checkcomplete because event_activation is disabled."),
        };
    }
    if request.all {
        return None;
    }
    match request.autoactivation.as_deref() {
        _ if !host.event_activation => Some(Vec::new()),
        Some("event") | None => None,
        Some(_) => message("Skip pvscan for unknown autoactivation value."),
    }
}

/// Forgets all that was recorded, for all devices to be recorded anew. What cannot be removed is in
/// the way of nothing else: the last failure is told when all has been tried.
pub fn forget_all<F: RunFiles>(files: &mut F) -> Result<(), F::Error> {
    let (pvs, vgs, lookups) = (files.pvs()?, files.vgs()?, files.lookups()?);
    let mut result = Ok(());
    for (pvid, _) in pvs {
        result = files.remove_pv(pvid).and(result);
    }
    for vg in vgs {
        result = files.remove_vg(&vg).and(result);
    }
    for lookup in lookups {
        result = files.remove_lookup(&lookup.vg).and(result);
    }
    result
}

pub fn decide<F: RunFiles<Error: Display>>(
    request: &Request,
    host: &Host,
    asked: &[Asked],
    files: &mut F,
    ask: &mut dyn Ask,
) -> Outcome {
    let mut decision = Decision { request, host, files, ask, outcome: Outcome::default() };
    for device in asked {
        if let Err(error) = decision.device(device) {
            decision.fail(error.to_string());
        }
    }
    decision.outcome
}

struct Decision<'d, F> {
    request: &'d Request,
    host: &'d Host,
    files: &'d mut F,
    ask: &'d mut dyn Ask,
    outcome: Outcome,
}

/// How many PVs of a VG are not online.
struct Count {
    vg: Vec<u8>,
    vgid: Option<Id>,
    pvids: Vec<Id>,
    offline: usize,
}

impl<F: RunFiles<Error: Display>> Decision<'_, F> {
    fn device(&mut self, asked: &Asked) -> Result<(), F::Error> {
        let name = &asked.operand;
        match &asked.found {
            Found::Gone => {
                if !self.request.all {
                    self.outcome.lines.push(Line::Warning(format!("No device found for {name}.")));
                }
                asked.devno.map_or(Ok(()), |devno| self.gone(devno))?;
            }
            Found::Excluded(rule) => self.unless_all(format!("{name} excluded: {rule}.")),
            Found::Unreadable(reason) => self.fail(format!("{name} cannot be read: {reason}.")),
            Found::NotAPv => self.unless_all(format!("{name} not an lvm device.")),
            Found::OtherPath(path) => self.unless_all(format!("{name} excluded: it is another path to {path}.")),
            Found::Ambiguous(reason) => self.ambiguous(name, reason),
            Found::Pv(pv) => self.pv(pv)?,
        }
        Ok(())
    }

    fn message(&mut self, text: String) {
        self.outcome.lines.push(Line::Message(text));
    }

    /// Of all devices, most are nobody's concern.
    fn unless_all(&mut self, text: String) {
        if !self.request.all {
            self.message(text);
        }
    }

    fn fail(&mut self, text: String) {
        self.outcome.lines.push(Line::Error(text));
        self.outcome.failed = true;
    }

    /// Of all devices, one that nobody can use is in nobody's way.
    fn ambiguous(&mut self, name: &Operand, reason: &str) {
        let text = format!("Not using device {name}: {reason}.");
        if self.request.all {
            self.outcome.lines.push(Line::Warning(text));
        } else {
            self.fail(text);
        }
    }

    /// Nobody can read which PV it was, but its record says so.
    fn gone(&mut self, devno: DevNo) -> Result<(), F::Error> {
        for (pvid, online) in self.files.pvs()? {
            if let Some(online) = online.filter(|online| online.devno == devno) {
                self.files.remove_pv(pvid)?;
                self.incomplete(pvid, online.vg)?;
            }
        }
        Ok(())
    }

    /// The VG of a PV that has gone may be complete again, and then somebody is told again. The
    /// record of a PV without text does not name its VG, but the lookup of the VG names the PV.
    fn incomplete(&mut self, pvid: Id, vg: Option<Vec<u8>>) -> Result<(), F::Error> {
        let vgs = match vg {
            Some(vg) => vec![vg],
            None => {
                let lookups = self.files.lookups()?.into_iter();
                lookups.filter(|lookup| lookup.pvids.contains(&pvid)).map(|lookup| lookup.vg).collect()
            }
        };
        for vg in vgs {
            self.files.remove_vg(&vg)?;
            self.files.remove_lookup(&vg)?;
        }
        Ok(())
    }

    fn pv(&mut self, pv: &Pv) -> Result<(), F::Error> {
        let device = &pv.device;
        if pv.used == Some(false) {
            self.outcome.found_pv = true;
            self.message(format!("PV {device} not used."));
            return Ok(());
        }
        match &pv.vg {
            None => self.message(format!("PV {device} has no VG metadata.")),
            Some(vg) if !vg.pvids.contains(&pv.pvid) => {
                self.message(format!("PV {device} not found in VG {}.", shown(&vg.name)));
                return Ok(());
            }
            Some(vg) => {
                if let Some(whose) = ignored(vg, self.host) {
                    self.message(format!("PV {device} ignore {whose} VG."));
                    return Ok(());
                }
            }
        }
        if !pv.pvid.is_regular() {
            self.message(format!("PV {device} has a PVID that no VG can list."));
            return Ok(());
        }
        self.outcome.found_pv = true;
        if self.request.cache && !self.record(pv)? {
            return Ok(());
        }
        match self.request.list {
            None => self.message(format!("PV {device} online.")),
            Some(list) => self.list(pv, list)?,
        }
        Ok(())
    }

    /// False if the PV is on another device, too.
    fn record(&mut self, pv: &Pv) -> Result<bool, F::Error> {
        if let Some((devno, device)) = &pv.duplicate_of {
            self.duplicate(pv, *devno, device);
            return Ok(false);
        }
        let vg = pv.vg.as_ref().map(|vg| vg.name.clone());
        let online = PvOnline { devno: pv.devno, vg, device: Some(pv.device.clone()) };
        let other = match self.files.claim_pv(pv.pvid, &online)? {
            Claim::Made | Claim::Held => return Ok(true),
            Claim::Taken(other) => other,
        };
        if !self.holds(other.devno, pv.pvid) {
            self.incomplete(pv.pvid, other.vg)?;
            self.files.replace_pv(pv.pvid, &online)?;
            return Ok(true);
        }
        self.duplicate(pv, other.devno, other.device.as_deref().unwrap_or_default());
        Ok(false)
    }

    fn duplicate(&mut self, pv: &Pv, other: DevNo, name: &str) {
        let (device, devno, pvid) = (&pv.device, pv.devno, pv.pvid.0.escape_ascii());
        if self.request.all {
            let warning = format!("Not using device {device} for PV {}, which is on {name}.", pv.pvid);
            self.outcome.lines.push(Line::Warning(warning));
        } else {
            self.fail(format!("PV {device} {devno} is duplicate for PVID {pvid} on {other} {name}."));
            self.fail(format!("PV {device} failed to create online file."));
        }
    }

    /// Whether a PV is there still; of what cannot be read, it is believed.
    fn holds(&mut self, devno: DevNo, pvid: Id) -> bool {
        match self.ask.look(devno) {
            Found::Gone | Found::NotAPv | Found::OtherPath(_) => false,
            Found::Pv(pv) => pv.pvid == pvid && pv.duplicate_of.is_none(),
            Found::Excluded(_) | Found::Unreadable(_) | Found::Ambiguous(_) => true,
        }
    }

    fn list(&mut self, pv: &Pv, list: List) -> Result<(), F::Error> {
        let device = &pv.device;
        let mut is_complete = false;
        if self.request.check_complete {
            let count = self.count(pv)?;
            self.message(match &count {
                None => format!("PV {device} online, VG unknown."),
                Some(Count { vg, offline: 0, .. }) => format!("PV {device} online, VG {} is complete.", shown(vg)),
                Some(Count { vg, offline, .. }) => {
                    format!("PV {device} online, VG {} incomplete (need {offline}).", shown(vg))
                }
            });
            is_complete = count.as_ref().is_some_and(|count| count.offline == 0);
            match count {
                None => self.unknown(),
                Some(count) if is_complete && self.request.activation_unit => self.complete(count)?,
                Some(count) => self.report(&count.vg, is_complete)?,
            }
        } else {
            match &pv.vg {
                None => self.unknown(),
                Some(vg) => self.report(&vg.name, false)?,
            }
        }
        match &pv.vg {
            Some(vg) if list == List::Lvs => self.lvs(vg, pv.pvid, is_complete),
            None if list == List::Lvs => self.message("Cannot list LVs from device without metadata.".to_owned()),
            Some(_) | None => {}
        }
        Ok(())
    }

    fn unknown(&mut self) {
        self.outcome.lines.push(Line::Report("VG unknown".to_owned()));
    }

    /// Where nobody activates it, `vgs_online` does not say that somebody was told to.
    fn complete(&mut self, count: Count) -> Result<(), F::Error> {
        let name = shown(&count.vg).to_string();
        let pvs = count.pvids.iter().map(|pvid| Ok((*pvid, self.files.pv(*pvid)?.map(|online| online.devno))));
        let pvs = pvs.collect::<Result<Vec<_>, F::Error>>()?;
        let starter = self.ask.starter(&Whole { name: count.vg.clone(), vgid: count.vgid, pvs });
        let is_first = match &starter {
            Starter::Daemon { is_first } => *is_first,
            Starter::Unit(_) => self.files.claim_vg(&count.vg)?,
            Starter::Nobody(_) => true,
        };
        let lines = &mut self.outcome.lines;
        if !is_first {
            lines.push(Line::Report(format!("VG {name} finished")));
            return Ok(());
        }
        lines.push(Line::Udev(format!("LVM_VG_NAME_COMPLETE='{name}'")));
        match starter {
            Starter::Daemon { .. } => {}
            Starter::Unit(unit) => lines.push(Line::Udev(format!("PVWATCH_UNIT='{unit}'"))),
            Starter::Nobody(reason) => lines.push(Line::Warning(format!("VG {name} is not activated: {reason}."))),
        }
        Ok(())
    }

    fn report(&mut self, vg: &[u8], is_complete: bool) -> Result<(), F::Error> {
        let Request { check_complete, vg_online, udev_output, .. } = *self.request;
        let name = shown(vg);
        let line = match (check_complete, is_complete) {
            (false, _) => Line::Report(format!("VG {name}")),
            (true, true) if vg_online && !self.files.claim_vg(vg)? => Line::Report(format!("VG {name} finished")),
            (true, true) if udev_output => Line::Udev(format!("LVM_VG_NAME_COMPLETE='{name}'")),
            (true, true) => Line::Report(format!("VG {name} complete")),
            (true, false) if udev_output => Line::Udev(format!("LVM_VG_NAME_INCOMPLETE='{name}'")),
            (true, false) => Line::Report(format!("VG {name} incomplete")),
        };
        self.outcome.lines.push(line);
        Ok(())
    }

    /// Of a VG that is not complete, LVM has read this one device, and takes all others for missing
    /// even if they are online.
    fn lvs(&mut self, vg: &Vg, pvid: Id, vg_is_complete: bool) {
        for lv in vg.lvs.iter().filter(|lv| lv.pvids.contains(&pvid)) {
            let mut line = format!("LV {}/{}", shown(&vg.name), shown(&lv.name));
            if self.request.check_complete {
                let is_complete = vg_is_complete || lv.pvids.iter().all(|other| *other == pvid);
                line.push_str(if is_complete { " complete" } else { " incomplete" });
            }
            self.outcome.lines.push(Line::Report(line));
        }
    }

    /// `None` if nobody knows of a VG that this is a PV of.
    fn count(&mut self, pv: &Pv) -> Result<Option<Count>, F::Error> {
        if let Some(vg) = &pv.vg {
            return self.count_vg(vg).map(Some);
        }
        let lookups = self.files.lookups()?;
        if let Some(lookup) = lookups.into_iter().find(|lookup| lookup.pvids.contains(&pv.pvid)) {
            let offline = self.offline(&lookup.pvids)?;
            return Ok(Some(Count { vg: lookup.vg, vgid: None, pvids: lookup.pvids, offline }));
        }
        match pv.listed_by.as_ref().filter(|vg| ignored(vg, self.host).is_none()) {
            Some(vg) => self.count_vg(vg).map(Some),
            None => Ok(None),
        }
    }

    /// Of a PV without text, only the lookup tells which VG it completes. So that is there before we
    /// count, whoever has made it: a PV that found none was online by then, and is counted here.
    fn count_vg(&mut self, vg: &Vg) -> Result<Count, F::Error> {
        if vg.pvids.len() > 1 {
            self.files.claim_lookup(&Lookup { vg: vg.name.clone(), pvids: vg.pvids.clone() })?;
        }
        let offline = self.offline(&vg.pvids)?;
        Ok(Count { vg: vg.name.clone(), vgid: Some(vg.vgid), pvids: vg.pvids.clone(), offline })
    }

    fn offline(&self, pvids: &[Id]) -> Result<usize, F::Error> {
        let mut offline = 0_usize;
        for pvid in pvids {
            offline = offline.saturating_add(usize::from(!self.files.has_pv(*pvid)?));
        }
        Ok(offline)
    }
}

/// Why a VG is none that this host activates by itself.
fn ignored(vg: &Vg, host: &Host) -> Option<&'static str> {
    vg.access.kept_from(host.system_id.as_deref().map(str::as_bytes)).map(Kept::as_str)
}

fn shown(name: &[u8]) -> impl Display + '_ {
    name.escape_ascii()
}

#[cfg(test)]
mod tests;
