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
        Ok(settings) => by_settings(&settings).or_else(|| written_down(&settings, vg)).or_else(|| on_lv(vg)),
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

/// What a daemon, or an administrator, has left for this boot.
fn written_down(settings: &Settings, vg: &Whole) -> Option<String> {
    // Nobody has; nor is it made here.
    if std::fs::symlink_metadata(&settings.state_dir).is_err() {
        return None;
    }
    let read = || {
        let state = StateDir::open(&settings.state_dir)?;
        Ok::<_, crate::sys::run_files::Error>((state.inhibits()?, state.offered()?))
    };
    let (inhibits, offered) = match read() {
        Ok(found) => found,
        Err(error) => return Some(error.to_string()),
    };
    let now = clock::now();
    if inhibits.iter().any(|inhibit| inhibit.vg == vg.name && inhibit.until.is_none_or(|until| now < until)) {
        return Some("it is inhibited".to_owned());
    }
    // LVM forgets that a VG was activated when it is deactivated by hand.
    let was_offered = offered.iter().any(|offered| Some(offered.vgid) == vg.vgid);
    was_offered.then(|| "pvwatchd has had it activated in this boot".to_owned())
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::activation::Offered;
    use crate::id::Id;
    use std::time::Duration;

    fn whole() -> Whole {
        Whole { name: b"vg0".to_vec(), vgid: Some(Id([b'v'; 32])), pvs: vec![(Id([b'a'; 32]), None)] }
    }

    #[test]
    fn the_settings_may_say_no() {
        use ActivationSetting::{Off, On, Report};
        for (activation, takeover, expected) in [
            // An initrd has the rule, and nothing of takeover.
            (ActivationSetting::Takeover, Takeover::Disabled, false),
            (ActivationSetting::Takeover, Takeover::Enabled, false),
            (ActivationSetting::Takeover, Takeover::Compare, true),
            (On, Takeover::Disabled, false),
            (On, Takeover::Compare, false),
            (Off, Takeover::Enabled, true),
            (Report, Takeover::Enabled, true),
        ] {
            let settings = Settings { activation, takeover, ..Settings::default() };
            assert_eq!(by_settings(&settings).is_some(), expected, "{activation:?} {takeover:?}");
        }
    }

    #[test]
    fn what_is_written_down_holds_without_a_daemon() {
        let directory = tempfile::tempdir().unwrap();
        let settings = Settings { state_dir: directory.path().join("state"), ..Settings::default() };
        assert_eq!(written_down(&settings, &whole()), None);
        assert!(!settings.state_dir.exists());
        let state = StateDir::open(&settings.state_dir).unwrap();
        let now = clock::now();
        for (vg, until, expected) in [
            ("vg1", None, false),
            ("vg0", Some(now), false),
            ("vg0", Some(now + Duration::from_secs(3600)), true),
            ("vg0", None, true),
        ] {
            state.inhibit(vg.as_bytes(), until).unwrap();
            assert_eq!(written_down(&settings, &whole()).is_some(), expected, "{vg} {until:?}");
        }
        state.lift(b"vg0").unwrap();
        for (vgid, expected) in [(Id([b'w'; 32]), false), (Id([b'v'; 32]), true)] {
            state.write_offer(&Offered { vgid, name: b"vg0".to_vec(), at: now }).unwrap();
            assert_eq!(written_down(&settings, &whole()).is_some(), expected);
        }
    }

    #[test]
    fn a_unit_has_a_name_without_an_id_too() {
        assert_eq!(unit(&whole()), "lvm-activate-vg0.service");
        assert_eq!(unit(&Whole { vgid: None, ..whole() }), "lvm-activate-vg0.service");
        let long = vec![b'+'; 100];
        assert_eq!(unit(&Whole { name: long.clone(), ..whole() }), format!("lvm-activate-{}.service", "v".repeat(32)));
        assert_eq!(
            unit(&Whole { name: long, vgid: None, ..whole() }),
            format!("lvm-activate-{}.service", "a".repeat(32))
        );
    }
}
