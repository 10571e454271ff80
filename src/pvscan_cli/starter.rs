//! Who starts the activation of a VG where no daemon does: the rules that the daemon would apply, as
//! far as they can be known without reading every disk.

use crate::conf::{ActivationSetting, Settings, Takeover};
use crate::pvscan::{Starter, Whole};
use crate::sys::state_dir::StateDir;
use crate::sys::sysfs::Sysfs;
use crate::sys::{clock, settings};

pub fn without_daemon(over: settings::Over, vg: &Whole) -> Starter {
    match refusal(over, vg) {
        Some(reason) => Starter::Nobody(reason),
        None => Starter::Unit(unit(vg)),
    }
}

fn unit(vg: &Whole) -> String {
    // Any id of its own will do, where its name is too long.
    let id = vg.vgid.or_else(|| vg.pvs.first().map(|(pvid, _)| *pvid));
    id.map_or_else(String::new, |id| crate::activation::unit::unescaped(&vg.name, id))
}

fn refusal(over: settings::Over, vg: &Whole) -> Option<String> {
    match settings::load(&settings::system_dir(), over) {
        Ok(settings) => by_settings(&settings).or_else(|| inhibited(&settings, vg)).or_else(|| on_lv(vg)),
        Err(error) => Some(error.to_string()),
    }
}

/// An initrd may have the rule that calls us, and not what is written down of takeover.
fn by_settings(settings: &Settings) -> Option<String> {
    match (settings.activation, settings.takeover) {
        (ActivationSetting::Off, _) => Some("pvwatch/activation is \"off\"".to_owned()),
        (ActivationSetting::Report, _) => Some("pvwatch/activation is \"report\"".to_owned()),
        (ActivationSetting::Takeover, Takeover::Compare) => Some("LVM's rule is in charge".to_owned()),
        (ActivationSetting::Takeover | ActivationSetting::On, _) => None,
    }
}

fn inhibited(settings: &Settings, vg: &Whole) -> Option<String> {
    // Nobody has ever inhibited anything; nor is it made here.
    if std::fs::symlink_metadata(&settings.state_dir).is_err() {
        return None;
    }
    let inhibits = match StateDir::open(&settings.state_dir).and_then(|state| state.inhibits()) {
        Ok(inhibits) => inhibits,
        Err(error) => return Some(error.to_string()),
    };
    let now = clock::now();
    let holds = inhibits.iter().any(|inhibit| inhibit.vg == vg.name && inhibit.until.is_none_or(|until| now < until));
    holds.then(|| "it is inhibited".to_owned())
}

/// Unless whoever wants such PVs has said so to udev.
fn on_lv(vg: &Whole) -> Option<String> {
    if std::env::var_os("LVM_PVSCAN_ON_LVS").is_some_and(|value| value == "1") {
        return None;
    }
    let mut sysfs = Sysfs::new();
    vg.pvs.iter().find_map(|(pvid, devno)| {
        let facts = sysfs.facts((*devno)?).ok()??;
        let is_lv = facts.dm_uuid.as_deref().is_some_and(|uuid| uuid.starts_with("LVM-"));
        is_lv.then(|| format!("PV {pvid} is on an LV, {}", facts.name))
    })
}
