//! What udev's database says of a device that a VG lies on.

use crate::devno::DevNo;
use std::collections::BTreeMap;

/// Which devices have come anew since udevd dealt with them: what its database has may be of another
/// that had their number.
#[derive(Debug, Default)]
pub struct Adds {
    /// The kernel's newest `add` of each, by its seqnum.
    awaited: BTreeMap<DevNo, u64>,
    /// The newest event of each that udevd has dealt with. The two are heard of in any order.
    done: BTreeMap<DevNo, u64>,
}

impl Adds {
    pub fn added(&mut self, devno: DevNo, seqnum: u64) {
        if self.done.get(&devno).is_none_or(|done| *done < seqnum) {
            self.awaited.insert(devno, seqnum);
        }
    }

    pub fn done(&mut self, devno: DevNo, seqnum: u64) {
        let done = self.done.entry(devno).or_default();
        *done = seqnum.max(*done);
        if self.awaited.get(&devno).is_some_and(|awaited| *awaited <= *done) {
            self.awaited.remove(&devno);
        }
    }

    pub fn is_awaited(&self, devno: DevNo) -> bool {
        self.awaited.contains_key(&devno)
    }

    /// Some of udevd's events were lost.
    pub fn lost(&mut self) {
        self.awaited.clear();
    }
}

/// Whether a device may be used, by udev.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// udevd does not run, or has dealt with the device and has nothing against it.
    Ready,
    /// udevd runs, and has not dealt with it yet.
    Awaited,
    /// As `PROPERTY=VALUE`.
    Refused(String),
}

/// These say so with the value 1: what the device is, or that it is not to be looked at now.
const FLAGS: [&str; 4] = ["DM_MULTIPATH_DEVICE_PATH", "DM_UDEV_DISABLE_OTHER_RULES_FLAG", "DM_SUSPENDED", "DM_NOSCAN"];

impl Standing {
    /// Of a device that is in the database, by its properties there.
    pub fn of(property: impl Fn(&str) -> Option<String>) -> Standing {
        let refuses = |name: &str, value: &str| match name {
            "SYSTEMD_READY" => value == "0",
            "ID_FS_TYPE" => value.ends_with("_raid_member") || value == "mpath_member",
            _ => value == "1",
        };
        let refused = FLAGS.into_iter().chain(["ID_FS_TYPE", "SYSTEMD_READY"]).find_map(|name| {
            let value = property(name).filter(|value| refuses(name, value))?;
            Some(Standing::Refused(format!("{name}={value}")))
        });
        refused.unwrap_or(Standing::Ready)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_add_is_awaited_until_udevd_has_dealt_with_it() {
        let (one, two) = (DevNo::new(8, 0), DevNo::new(8, 16));
        let mut adds = Adds::default();
        adds.added(one, 5);
        assert!(adds.is_awaited(one) && !adds.is_awaited(two));
        // Of the device that had the number before.
        adds.done(one, 4);
        adds.done(two, 9);
        assert!(adds.is_awaited(one));
        adds.done(one, 5);
        assert!(!adds.is_awaited(one));
        // udevd was faster than we.
        adds.added(one, 5);
        adds.added(two, 8);
        assert!(!adds.is_awaited(one) && !adds.is_awaited(two));
        adds.added(one, 6);
        adds.done(one, 7);
        assert!(!adds.is_awaited(one));
        adds.added(two, 10);
        adds.lost();
        assert!(!adds.is_awaited(two));
    }

    #[test]
    fn what_speaks_against_a_device() {
        for (properties, refused) in [
            (&[][..], None),
            (&[("SYSTEMD_READY", "1"), ("DM_SUSPENDED", "0"), ("ID_FS_TYPE", "LVM2_member")], None),
            (&[("DM_NOSCAN", ""), ("SYSTEMD_READY", "")], None),
            (&[("SYSTEMD_READY", "0")], Some("SYSTEMD_READY=0")),
            (&[("ID_FS_TYPE", "linux_raid_member")], Some("ID_FS_TYPE=linux_raid_member")),
            (&[("ID_FS_TYPE", "ddf_raid_member")], Some("ID_FS_TYPE=ddf_raid_member")),
            (&[("ID_FS_TYPE", "mpath_member")], Some("ID_FS_TYPE=mpath_member")),
            (&[("DM_NOSCAN", "1")], Some("DM_NOSCAN=1")),
            (&[("DM_SUSPENDED", "1"), ("SYSTEMD_READY", "0")], Some("DM_SUSPENDED=1")),
            (&[("DM_UDEV_DISABLE_OTHER_RULES_FLAG", "1")], Some("DM_UDEV_DISABLE_OTHER_RULES_FLAG=1")),
            (&[("DM_MULTIPATH_DEVICE_PATH", "1")], Some("DM_MULTIPATH_DEVICE_PATH=1")),
            (&[("SYSTEMD_READY", "0 ")], None),
        ] {
            let property =
                |name: &str| properties.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
            let expected = refused.map_or(Standing::Ready, |refused| Standing::Refused(refused.to_owned()));
            assert_eq!(Standing::of(property), expected, "{properties:?}");
        }
    }
}
