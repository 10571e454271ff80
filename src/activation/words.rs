//! The rules, for programs and for people.

use super::{By, Rule};
use crate::id::Id;
use std::fmt;

/// How many missing PVs are named.
const NAMED_MAX: usize = 3;

impl Rule {
    pub fn code(&self) -> &'static str {
        match self {
            Rule::Incomplete { .. } => "incomplete",
            Rule::Unusable(_) => "unusable",
            Rule::Exported => "exported",
            Rule::Foreign(_) => "foreign",
            Rule::Shared(_) => "shared",
            Rule::NameTaken => "name-taken",
            Rule::MarkedMissing(_) => "marked-missing",
            Rule::EventActivation => "event-activation",
            Rule::NoAutoActivate => "no-auto-activate",
            Rule::AutoActivationVolumeList => "auto-activation-volume-list",
            Rule::VolumeList => "volume-list",
            Rule::NothingToActivate => "nothing-to-activate",
            Rule::OnLv { .. } => "on-lv",
            Rule::Copies { .. } => "copies",
            Rule::Unreadable { .. } => "unreadable",
            Rule::AwaitsUdev { .. } => "awaits-udev",
            Rule::RefusedByUdev { .. } => "refused-by-udev",
            Rule::Inhibited { .. } => "inhibited",
            Rule::OfferedBefore(_) => "offered-before",
            Rule::Mode(_) => "mode",
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Rule::Incomplete { missing } => {
                let named = missing.iter().take(NAMED_MAX).map(Id::to_string).collect::<Vec<_>>().join(", ");
                match missing.len().saturating_sub(NAMED_MAX) {
                    0 if missing.len() == 1 => write!(f, "PV {named} is missing"),
                    0 => write!(f, "PVs {named} are missing"),
                    others => write!(f, "PVs {named} and {others} more are missing"),
                }
            }
            Rule::Unusable(why) => write!(f, "its metadata cannot be used: {why}"),
            Rule::Exported => f.write_str("it is exported"),
            Rule::Foreign(system_id) => write!(f, "it belongs to the host with system ID {}", shown(system_id)),
            Rule::Shared(lock) => write!(f, "it is shared, and {} says who may use it", shown(lock)),
            Rule::NameTaken => f.write_str("another VG has its name"),
            Rule::MarkedMissing(pvid) => {
                write!(f, "its metadata calls PV {pvid} missing (vgextend --restoremissing)")
            }
            Rule::EventActivation => f.write_str("global/event_activation is 0"),
            Rule::NoAutoActivate => f.write_str("it, or each of its LVs, has the flag NOAUTOACTIVATE"),
            Rule::AutoActivationVolumeList => f.write_str("activation/auto_activation_volume_list names nothing of it"),
            Rule::VolumeList => f.write_str("activation/volume_list, or a tag of the host, names nothing of it"),
            Rule::NothingToActivate => f.write_str("no LV of it is to be activated"),
            Rule::OnLv { pvid, device } => write!(f, "PV {pvid} is on an LV, {device}: it is a guest's"),
            Rule::Copies { pvid, devices } => {
                write!(f, "PV {pvid} is on {}, and nothing tells which is the right one", devices.join(" and "))
            }
            Rule::Unreadable { pvid, device, reason } => {
                write!(f, "{device}, with PV {pvid}, cannot be read: {reason}")
            }
            Rule::AwaitsUdev { device } => write!(f, "udev has not dealt with {device} yet"),
            Rule::RefusedByUdev { device, property } => write!(f, "udev says of {device}: {property}"),
            Rule::Inhibited { until: Some(_) } => f.write_str("it is inhibited for a time: see pvwatch inhibit"),
            Rule::Inhibited { until: None } => f.write_str("it is inhibited until that is lifted"),
            Rule::OfferedBefore(By::Us) => f.write_str("it had its turn in this boot"),
            Rule::OfferedBefore(By::Another) => f.write_str("it was LVM's to activate in this boot"),
            Rule::OfferedBefore(By::Command) => f.write_str("a command made it complete, and not a device that came"),
            Rule::Mode(mode) => write!(f, "{mode}"),
        }
    }
}

/// What a text says, which may be anything.
fn shown(text: &str) -> String {
    text.escape_debug().to_string()
}
