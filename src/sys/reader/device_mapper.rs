//! Asking device-mapper whether a device of its own can be read, before it is opened.

use crate::devno::DevNo;
use crate::dm::{self, Target, Unusable, parse_targets, why_unusable};
use crate::sys::dm_ioctl::{ACTIVE_PRESENT, Control, NOFLUSH, Question, STATUS_TABLE, SUSPEND, garbage};
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;

/// How the names begin of devices that have others below them.
const STACKED: [&str; 3] = ["dm-", "md", "bcache"];

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
    let mut waiting = slaves(&sys.join(format!("dev/block/{devno}")));
    let mut seen = BTreeSet::new();
    while let Some(name) = waiting.pop() {
        // What lies on nothing is only a directory more to read.
        if !STACKED.iter().any(|prefix| name.starts_with(prefix)) || seen.contains(&name) {
            continue;
        }
        let device = sys.join("class/block").join(&name);
        if fs::read(device.join("dm/suspended")).is_ok_and(|text| text == b"1\n") {
            return true;
        }
        waiting.extend(slaves(&device));
        seen.insert(name);
    }
    false
}

/// The kernel's names of what it is stacked on.
fn slaves(device: &Path) -> Vec<String> {
    let entries = fs::read_dir(device.join("slaves")).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn what_is_suspended_below_is_found_at_any_depth() {
        let sys = tempfile::tempdir().unwrap();
        let device = |name: &str| sys.path().join("devices").join(name);
        fs::create_dir_all(sys.path().join("class/block")).unwrap();
        for name in ["dm-0", "dm-1", "dm-2", "sda"] {
            fs::create_dir_all(device(name).join("slaves")).unwrap();
            symlink(device(name), sys.path().join("class/block").join(name)).unwrap();
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
