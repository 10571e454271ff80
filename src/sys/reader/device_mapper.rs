//! Asking device-mapper whether a device of its own can be read, before it is opened.

use crate::devno::DevNo;
use crate::dm::{self, Target, Unusable, parse_targets, why_unusable};
use crate::sys::dm_ioctl::{ACTIVE_PRESENT, Control, NOFLUSH, Question, STATUS_TABLE, SUSPEND, garbage};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The kernel stacks no deeper.
const DEPTH_MAX: usize = 16;

/// `None` if the device can be read, and where nobody can be asked: no node, no privilege.
pub(super) fn unusable(devno: DevNo) -> Option<Unusable> {
    let mut control = Control::open().ok()?;
    let (flags, targets) = status(&mut control, devno, NOFLUSH).ok()?;
    if flags & SUSPEND != 0 {
        return Some(Unusable::Suspended);
    }
    if flags & ACTIVE_PRESENT == 0 {
        return Some(Unusable::NoTable);
    }
    let why = why_unusable(&targets, |question| {
        let (devno, flags) = match question {
            dm::Question::Table => (devno, NOFLUSH | STATUS_TABLE),
            dm::Question::StatusOf(other) => (other, NOFLUSH),
        };
        Some(status(&mut control, devno, flags).ok()?.1)
    });
    why.or_else(|| is_suspended_below(Path::new("/sys"), devno).then_some(Unusable::SuspendedBelow))
}

/// The flags that device-mapper answers with, and the targets.
fn status(control: &mut Control, devno: DevNo, flags: u32) -> io::Result<(u32, Vec<Target>)> {
    let answer = control.ask(Question::Targets, Some(devno), flags)?;
    let targets = parse_targets(answer.data(), answer.target_count());
    Ok((answer.flags(), targets.ok_or_else(garbage)?))
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
