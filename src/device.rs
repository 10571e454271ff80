//! What the kernel says about a block device without opening it.

use crate::devno::DevNo;

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
    /// `dm/suspended`: opening works, reading may wait for ever.
    pub dm_suspended: bool,
    /// `md/array_state`, for MD arrays only.
    pub md_array_state: Option<String>,
    /// What devices files know it by; read only if there is one.
    pub ids: Option<Box<Ids>>,
    /// `loop/backing_file` exists; `None` for devices that are not loop devices.
    pub loop_backed: Option<bool>,
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

impl Facts {
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
