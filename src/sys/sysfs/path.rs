//! What a disk that may be one of several paths has: a WWID, and a state of the path.

use super::Directory;
use crate::device::Path;
use crate::devno::DevNo;
use crate::multipath::by_udev;
use nix::libc;
use std::io;

/// Which files a disk has.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Scsi,
    Nvme,
}

/// `None` for what is nobody's path: multipath takes SCSI disks and NVMe namespaces, and DASDs, that
/// have no WWID in sysfs and that LVM does not look for either.
pub(super) fn kind(driver: Option<&str>, name: &str) -> Option<Kind> {
    match driver {
        Some("sd") => Some(Kind::Scsi),
        // Namespaces and their partitions have numbers of `blkext`, as a disk's partitions from the 16th on.
        Some("nvme" | "blkext") if name.starts_with("nvme") => Some(Kind::Nvme),
        Some("blkext") if name.starts_with("sd") => Some(Kind::Scsi),
        _ => None,
    }
}

/// Of a disk with this directory.
pub(super) fn read_path(disk: &Directory, kind: Kind) -> io::Result<Path> {
    let wwid = match kind {
        Kind::Scsi => "device/wwid",
        Kind::Nvme => "wwid",
    };
    let wwid = if_any(disk.read(wwid))?.filter(|wwid| !wwid.is_empty());
    Ok(Path { wwid, passive: passive(disk, kind)?, udev: None })
}

/// A SCSI disk has the files of a WWID and of a state also where it has neither: they answer ENXIO
/// without VPD page 0x83, and EINVAL with no name in it or without a device handler (drivers/scsi/scsi_lib.c,
/// scsi_sysfs.c).
fn if_any(read: io::Result<Option<String>>) -> io::Result<Option<String>> {
    match read {
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENXIO | libc::EINVAL)) => Ok(None),
        read => read,
    }
}

/// The state, if it is one in which the target answers no reads.
///
/// | file | states | answer no reads |
/// |---|---|---|
/// | `device/access_state` (SCSI, with a device handler) | `active/optimized`, `active/non-optimized`, `standby`, `unavailable`, `lba-dependent`, `offline`, `transitioning` | `standby`, `unavailable`, `offline`, `transitioning` |
/// | `device/dh_state` (SCSI, without that) | a handler's name, `detached`; some handlers' state | `passive` |
/// | `ana_state` (NVMe without native multipath) | `optimized`, `non-optimized`, `inaccessible`, `persistent-loss`, `change` | the last three |
fn passive(disk: &Directory, kind: Kind) -> io::Result<Option<String>> {
    let (state, passive): (_, &[&str]) = match kind {
        Kind::Nvme => (if_any(disk.read("ana_state"))?, &["inaccessible", "persistent-loss", "change"]),
        Kind::Scsi => match if_any(disk.read("device/access_state"))? {
            None => (if_any(disk.read("device/dh_state"))?, &["passive"]),
            state => (state, &["standby", "unavailable", "offline", "transitioning"]),
        },
    };
    Ok(state.filter(|state| passive.contains(&state.as_str())))
}

/// What udev's database says of the disk. `None` also where no rule of multipath has looked at it.
pub(super) fn udev(disk: DevNo) -> Option<bool> {
    let device = udev::Device::from_devnum(udev::DeviceType::Block, disk.to_dev_t()).ok()?;
    let property = |name| device.property_value(name).and_then(|value| value.to_str());
    if !device.is_initialized() {
        return None;
    }
    by_udev(property("DM_MULTIPATH_DEVICE_PATH"), property("ID_FS_TYPE"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_disk_has_not_is_no_error() {
        let error = |errno| Err(io::Error::from_raw_os_error(errno));
        assert_eq!(if_any(error(libc::EINVAL)).unwrap(), None);
        assert_eq!(if_any(error(libc::ENXIO)).unwrap(), None);
        assert_eq!(if_any(error(libc::EMFILE)).unwrap_err().raw_os_error(), Some(libc::EMFILE));
        assert_eq!(if_any(Ok(Some("naa.5".into()))).unwrap().as_deref(), Some("naa.5"));
    }

    #[test]
    fn which_disks_may_be_paths() {
        let check = |driver: &str, name: &str, expected: bool| {
            assert_eq!(kind(Some(driver), name).is_some(), expected, "{driver} {name}");
        };
        check("sd", "sdaa1", true);
        check("blkext", "sda16", true);
        check("nvme", "nvme0n1", true);
        check("blkext", "nvme0n1p3", true);
        check("blkext", "vda16", false);
        check("virtblk", "vda", false);
        check("loop", "loop0", false);
        check("device-mapper", "dm-0", false);
        assert!(kind(None, "sda").is_none());
    }
}
