//! What udev's database says of a device that a VG lies on.

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
