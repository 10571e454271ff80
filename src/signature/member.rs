//! What a superblock says.

use super::lvm1;
use crate::device::{Holder, Stack};
use std::fmt;

/// What a superblock says of the device it is on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Member {
    /// [`super::Signature::format`], or `multipath`.
    pub format: &'static str,
    pub class: Class,
    /// Of the superblock, such as `1.0`; empty if it has none.
    pub version: String,
    /// Where the superblock is.
    pub offset: u64,
    /// The array's, as its tool prints it.
    pub uuid: Option<String>,
    /// The array's; of a container with several volumes, theirs, separated by commas.
    pub name: Option<Vec<u8>>,
    pub role: Option<Role>,
    /// Such as `raid1`.
    pub level: Option<String>,
    /// How many devices the array has when it has all.
    pub members: Option<u32>,
    /// There is no checksum that would prove it: it may be left over from something else.
    pub is_weak: bool,
}

/// What kind of system a device belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Class {
    Md,
    /// RAID of a controller's firmware: on whole disks only.
    FirmwareRaid,
    Multipath,
    #[default]
    Other,
}

/// What the device is for in its array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Active(u32),
    Spare,
    Faulty,
    Journal,
    /// One of several ways to the same disk.
    Path,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Role::Active(number) => write!(f, "active device {number}"),
            Role::Spare => f.write_str("spare"),
            Role::Faulty => f.write_str("faulty"),
            Role::Journal => f.write_str("journal"),
            Role::Path => f.write_str("path"),
        }
    }
}

impl Member {
    /// Why the device is no PV, in LVM's words.
    pub fn why_no_pv(&self) -> String {
        match self.class {
            Class::Md => "device is an md component".into(),
            Class::FirmwareRaid => "device is a firmware raid component".into(),
            Class::Multipath => "device is a multipath component".into(),
            Class::Other if self.format == lvm1::SIGNATURE.format => {
                "device has a signature of LVM1, which LVM 2.02.178 and later do not support".into()
            }
            Class::Other => "device has a signature".into(),
        }
    }
}

/// What the device-mapper UUID of a multipath map begins with; its WWID follows.
pub const MAP_PREFIX: &str = "mpath-";
const DMRAID_PREFIX: &str = "DMRAID-";
const LV_PREFIX: &str = "LVM-";

impl Member {
    /// The array or map that has it now, by what is stacked on it. Of an array in a container, both
    /// hold it; then the one with the lower number: mdadm counts down, and makes the container first.
    pub fn holder<'s>(&self, stack: &'s Stack) -> Option<&'s Holder> {
        let has_prefix = |holder: &Holder, prefix| holder.dm_uuid.as_ref().is_some_and(|uuid| uuid.starts_with(prefix));
        let is_md = |holder: &Holder| holder.name.starts_with("md");
        // Of a partition, the disk's.
        let mut holders = stack.all_holders();
        match self.class {
            Class::Md => holders.find(|holder| is_md(holder)),
            Class::FirmwareRaid => holders.find(|holder| is_md(holder) || has_prefix(holder, DMRAID_PREFIX)),
            Class::Multipath => holders.find(|holder| has_prefix(holder, MAP_PREFIX)),
            Class::Other => stack.holders.iter().find(|holder| !has_prefix(holder, LV_PREFIX)),
        }
    }
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Member { format, version, uuid, role, level, members, .. } = self;
        if let Some(role) = role {
            write!(f, "{role} of ")?;
        }
        write!(f, "{format}")?;
        if !version.is_empty() {
            write!(f, " {version}")?;
        }
        if !matches!(self.class, Class::Other) {
            f.write_str(if self.class == Class::Multipath { " map" } else { " array" })?;
        }
        if let Some(name) = &self.name {
            write!(f, " {}", name.escape_ascii())?;
        }
        if let Some(uuid) = uuid {
            write!(f, " ({uuid})")?;
        }
        let devices = members.map(|members| match members {
            1 => "1 device".to_owned(),
            _ => format!("{members} devices"),
        });
        match (level.as_deref(), devices.as_deref()) {
            (Some(level), Some(devices)) => write!(f, ", {level} of {devices}"),
            (Some(one), None) | (None, Some(one)) => write!(f, ", {one}"),
            (None, None) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_array_that_holds_a_member() {
        let holder = |name: &str, minor, uuid: Option<&str>| Holder {
            name: name.into(),
            devno: crate::devno::DevNo::new(9, minor),
            dm_uuid: uuid.map(str::to_owned),
            dm_name: None,
        };
        let holders = vec![
            holder("dm-0", 0, Some("LVM-x")),
            holder("dm-1", 1, Some("mpath-x")),
            holder("dm-2", 2, Some("DMRAID-x")),
            holder("md126", 126, None),
            holder("md127", 127, None),
        ];
        let disk_holders = vec![holder("dm-9", 9, Some("mpath-y"))];
        let whole = Stack { holders, ..Stack::default() };
        let partition = Stack { disk_holders, ..Stack::default() };
        for (class, on_whole, on_partition) in [
            (Class::Md, Some("/dev/md126"), None),
            (Class::FirmwareRaid, Some("/dev/dm-2"), None),
            (Class::Multipath, Some("/dev/dm-1"), Some("/dev/dm-9")),
            (Class::Other, Some("/dev/dm-1"), None),
        ] {
            let member = Member { class, ..Member::default() };
            for (stack, expected) in [(&whole, on_whole), (&partition, on_partition), (&Stack::default(), None)] {
                assert_eq!(member.holder(stack).map(Holder::node).as_deref(), expected, "{class:?} {stack:?}");
            }
        }
    }
}
