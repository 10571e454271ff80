//! What the kernel says about a block device without opening it.

#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects, clippy::expect_used, clippy::indexing_slicing))]

use crate::devno::DevNo;
use std::collections::BTreeMap;

/// Facts from `/sys/class/block/NAME`, read at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// The kernel's name, such as `sda1`.
    pub name: String,
    /// Bytes; 0 for a loop device without backing file and for a drive without medium.
    pub size: u64,
    /// `diskseq`: which incarnation of the disk this is (Linux 5.15 and later). A partition has
    /// its disk's.
    pub diskseq: Option<u64>,
    /// `/proc/devices` name of the major number, such as `sd`, `loop`, `device-mapper`.
    pub driver: Option<String>,
    pub partition: bool,
    /// `hidden`: a multipath component that NVMe keeps for itself; it has no node.
    pub hidden: bool,
    /// `dm/uuid`, for device-mapper devices only.
    pub dm_uuid: Option<String>,
    /// `dm/name`, likewise: of an LV, `VG-LV` with hyphens doubled in either.
    pub dm_name: Option<String>,
    /// `dm/suspended`: opening works, reading may wait for ever.
    pub dm_suspended: bool,
    /// `md/array_state`, for MD arrays only.
    pub md_array_state: Option<String>,
    /// What devices files know it by; read only if there is one.
    pub ids: Option<Box<Ids>>,
    /// What is stacked on it, and what it is stacked on.
    pub stack: Box<Stack>,
    /// What a path to a disk has: SCSI disks and NVMe namespaces, and of their partitions the disk's.
    pub path: Option<Box<Path>>,
    /// `loop/backing_file` exists; `None` for devices that are not loop devices.
    pub loop_backed: Option<bool>,
    /// `loop/partscan`: the kernel looks for partitions on the loop device.
    pub loop_partscan: bool,
}

/// How devices lie on each other, as the kernel has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stack {
    /// `holders`.
    pub holders: Vec<Holder>,
    /// `slaves`; of device-mapper and MD devices only.
    pub slaves: Vec<DevNo>,
    /// A device that it lies on is gone, whether another has its name and number by now or not.
    pub lies_on_gone: bool,
    /// Of a partition, the disk that it is on.
    pub disk: Option<DevNo>,
    /// Where on that it begins, in bytes.
    pub start: u64,
    /// The holders of the disk.
    pub disk_holders: Vec<Holder>,
}

impl Stack {
    /// What is stacked on the device, or on the disk that it is a partition of.
    pub fn all_holders(&self) -> impl Iterator<Item = &Holder> {
        self.holders.iter().chain(&self.disk_holders)
    }
}

/// A device that is stacked on another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The kernel's name, such as `dm-3` or `md127`.
    pub name: String,
    pub devno: DevNo,
    /// `dm/uuid` and `dm/name`, for device-mapper devices only.
    pub dm_uuid: Option<String>,
    pub dm_name: Option<String>,
}

impl Holder {
    /// In the kernel's name a `!` stands for a slash.
    pub fn node(&self) -> String {
        format!("/dev/{}", self.name.replace('!', "/"))
    }
}

/// What is known of a path to a disk without sending anything over it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Path {
    /// `device/wwid` or `wwid`: the same on every path to a disk.
    pub wwid: Option<String>,
    /// Why the target answers no reads on this path, such as `standby`: from `device/access_state`,
    /// `device/dh_state` or `ana_state`.
    pub passive: Option<String>,
    /// Whether multipathd takes it for a path, by `DM_MULTIPATH_DEVICE_PATH` and `ID_FS_TYPE` of
    /// udev's database; asked where multipath is configured, and `None` until udev has seen the device.
    pub udev: Option<bool>,
}

/// What uses devices besides what is stacked on them, as of one moment; from `/proc` and `/sys`,
/// never by opening a device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    pub by: BTreeMap<DevNo, Vec<Use>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Use {
    /// Where it is mounted.
    Mounted(String),
    Swap,
    /// The loop device, by its kernel name, that has it as backing file.
    Loop(String),
}

/// What a device is known by wherever it is attached; a partition has what its disk has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ids {
    /// `device/wwid` or `wwid`.
    pub wwid: Option<String>,
    /// `device/serial` or `serial`.
    pub serial: Option<String>,
    /// `md/uuid`.
    pub md_uuid: Option<String>,
    /// `loop/backing_file`, if that has not been deleted.
    pub loop_file: Option<String>,
    /// `partition`; 0 for what is none.
    pub partition: u32,
}

/// A device that enumeration found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Present {
    pub devno: DevNo,
    pub facts: Facts,
}

/// Drivers whose devices LVM takes for whole ones that have no partitions (lib/device/device-types.h).
const NEVER_PARTITIONED: [&str; 6] = ["ramdisk", "gnbd", "blkext", "bcache", "zram", "mdp"];

impl Facts {
    pub fn is_dm(&self) -> bool {
        self.driver.as_deref() == Some("device-mapper")
    }

    /// Whether a partition table on it would be one: LVM takes no such device for a PV, whatever
    /// else is on it (`_is_partitionable` in lib/device/dev-type.c).
    pub fn may_be_partitioned(&self) -> bool {
        match self.driver.as_deref() {
            _ if self.partition => false,
            // A file, or nothing that LVM would look at.
            None => false,
            Some("loop") => self.loop_partscan,
            // Namespaces have numbers of the kind that partitions have.
            Some("blkext") => self.name.starts_with("nvme"),
            Some(driver) => !NEVER_PARTITIONED.contains(&driver),
        }
    }

    /// Why the device cannot be read now, in words for an administrator; `None` when it can.
    pub fn not_ready(&self) -> Option<&'static str> {
        if self.hidden {
            Some("it is hidden by the kernel")
        } else if self.loop_backed == Some(false) {
            Some("the loop device has no backing file")
        } else if self.dm_suspended {
            Some("the device-mapper device is suspended")
        } else if matches!(self.md_array_state.as_deref(), Some("clear" | "inactive")) {
            Some("the MD array is not running")
        } else if self.size == 0 {
            Some("it has no size")
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_partition_table_counts_on() {
        let check = |name: &str, driver: &str, expected: bool| {
            let facts = Facts { name: name.into(), driver: Some(driver.into()), ..Facts::default() };
            assert_eq!(facts.may_be_partitioned(), expected, "{facts:?}");
            assert!(!Facts { partition: true, ..facts }.may_be_partitioned());
        };
        check("sda", "sd", true);
        check("vda", "virtblk", true);
        check("dm-0", "device-mapper", true);
        check("md0", "md", true);
        check("nvme0n1", "blkext", true);
        check("nvme0n1", "nvme", true);
        check("nullb0", "blkext", false);
        check("ram0", "ramdisk", false);
        check("loop0", "loop", false);
        let partscan = Facts { driver: Some("loop".into()), loop_partscan: true, ..Facts::default() };
        assert!(partscan.may_be_partitioned());
        assert!(!Facts::default().may_be_partitioned());
    }
}
