#![allow(unsafe_code)]
//! Asking device-mapper whether a device of its own can be read, before it is opened.

use crate::devno::DevNo;
use crate::dm::{Question, Target, Unusable, parse_targets, why_unusable};
use nix::libc;
use std::fs::{self, File};
use std::io;
use std::mem::offset_of;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

/// From `<linux/dm-ioctl.h>`.
#[repr(C)]
struct DmIoctl {
    version: [u32; 3],
    data_size: u32,
    data_start: u32,
    target_count: u32,
    open_count: i32,
    flags: u32,
    event_nr: u32,
    padding: u32,
    dev: u64,
    name: [u8; 128],
    uuid: [u8; 129],
    data: [u8; 7],
}

const SUSPEND: u32 = 1 << 1;
const STATUS_TABLE: u32 = 1 << 4;
const ACTIVE_PRESENT: u32 = 1 << 5;
const BUFFER_FULL: u32 = 1 << 8;
const NOFLUSH: u32 = 1 << 11;

const HEADER: usize = size_of::<DmIoctl>();
const FIRST_SIZE: usize = 16 << 10;
/// A table of many thousands of targets. What has more is read without asking.
const SIZE_MAX: usize = 4 << 20;
/// The kernel stacks no deeper.
const DEPTH_MAX: usize = 16;

nix::ioctl_readwrite!(dm_table_status, 0xfd, 12, DmIoctl);

/// `None` if the device can be read, and where nobody can be asked: no node, no privilege.
pub(super) fn unusable(devno: DevNo) -> Option<Unusable> {
    let control = File::open("/dev/mapper/control").ok()?;
    let (flags, targets) = table_status(&control, devno, NOFLUSH).ok()?;
    if flags & SUSPEND != 0 {
        return Some(Unusable::Suspended);
    }
    if flags & ACTIVE_PRESENT == 0 {
        return Some(Unusable::NoTable);
    }
    let why = why_unusable(&targets, |question| {
        let (devno, flags) = match question {
            Question::Table => (devno, NOFLUSH | STATUS_TABLE),
            Question::StatusOf(other) => (other, NOFLUSH),
        };
        Some(table_status(&control, devno, flags).ok()?.1)
    });
    why.or_else(|| is_suspended_below(Path::new("/sys"), devno).then_some(Unusable::SuspendedBelow))
}

/// The flags that device-mapper answers with, and the targets.
fn table_status(control: &File, devno: DevNo, flags: u32) -> io::Result<(u32, Vec<Target>)> {
    let mut size = FIRST_SIZE;
    loop {
        // Of u64, so that the structure in front is aligned.
        let mut buffer = vec![0u64; size / size_of::<u64>()];
        let request: *mut DmIoctl = buffer.as_mut_ptr().cast();
        let header = DmIoctl {
            version: [4, 0, 0],
            data_size: u32::try_from(size).expect("SIZE_MAX fits"),
            data_start: u32::try_from(HEADER).expect("it is a few hundred bytes"),
            target_count: 0,
            open_count: 0,
            flags,
            event_nr: 0,
            padding: 0,
            dev: devno.to_dev_t(),
            name: [0; 128],
            uuid: [0; 129],
            data: [0; 7],
        };
        // SAFETY: the buffer is larger than the structure and aligned for it.
        unsafe { request.write(header) };
        // SAFETY: device-mapper writes `data_size` bytes from the pointer on at most, and the buffer
        // has as many.
        unsafe { dm_table_status(control.as_raw_fd(), request) }?;
        // SAFETY: the buffer is initialized, all of it, and a u8 needs no alignment.
        let bytes = unsafe { std::slice::from_raw_parts(buffer.as_ptr().cast::<u8>(), size) };
        let field = |at: usize| u32::from_ne_bytes(*bytes[at..].first_chunk().expect("the header has it"));
        let flags = field(offset_of!(DmIoctl, flags));
        if flags & BUFFER_FULL != 0 {
            size *= 4;
            if size > SIZE_MAX {
                return Err(io::ErrorKind::OutOfMemory.into());
            }
            continue;
        }
        let as_size = |value: u32| usize::try_from(value).unwrap_or(usize::MAX);
        let start = as_size(field(offset_of!(DmIoctl, data_start)));
        let count = as_size(field(offset_of!(DmIoctl, target_count)));
        let specs = bytes.get(start..).unwrap_or_default();
        let targets = parse_targets(specs, count).ok_or_else(|| io::Error::from_raw_os_error(libc::EPROTO))?;
        return Ok((flags, targets));
    }
}

/// Whether a device-mapper device that this one is stacked on is suspended: reading waits for it.
fn is_suspended_below(sys: &Path, devno: DevNo) -> bool {
    let mut level = vec![sys.join(format!("dev/block/{devno}"))];
    for _ in 0..DEPTH_MAX {
        level = level.iter().flat_map(|device| slaves(device)).collect();
        level.sort();
        level.dedup();
        let is_suspended = |device: &PathBuf| fs::read(device.join("dm/suspended")).is_ok_and(|text| text == b"1\n");
        if level.iter().any(is_suspended) {
            return true;
        }
    }
    false
}

fn slaves(device: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(device.join("slaves")).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.path().canonicalize().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn the_header_is_the_kernels() {
        assert_eq!(HEADER, 312);
        assert_eq!(offset_of!(DmIoctl, dev), 40);
        assert_eq!(offset_of!(DmIoctl, data), 305);
    }

    #[test]
    fn what_is_suspended_below_is_found_at_any_depth() {
        let sys = tempfile::tempdir().unwrap();
        let device = |name: &str| sys.path().join("devices").join(name);
        for name in ["dm-0", "dm-1", "dm-2", "sda"] {
            fs::create_dir_all(device(name).join("slaves")).unwrap();
            if name.starts_with("dm-") {
                fs::create_dir(device(name).join("dm")).unwrap();
                fs::write(device(name).join("dm/suspended"), "0\n").unwrap();
            }
        }
        for (above, below) in [("dm-2", "dm-1"), ("dm-1", "dm-0"), ("dm-0", "sda")] {
            symlink(device(below), device(above).join("slaves").join(below)).unwrap();
        }
        fs::create_dir_all(sys.path().join("dev/block")).unwrap();
        symlink(device("dm-2"), sys.path().join("dev/block/253:2")).unwrap();
        let check = |expected| assert_eq!(is_suspended_below(sys.path(), DevNo::new(253, 2)), expected);
        check(false);
        for name in ["dm-0", "dm-1"] {
            fs::write(device(name).join("dm/suspended"), "1\n").unwrap();
            check(true);
            fs::write(device(name).join("dm/suspended"), "0\n").unwrap();
        }
        // Its own state is asked elsewhere.
        fs::write(device("dm-2").join("dm/suspended"), "1\n").unwrap();
        check(false);
    }
}
