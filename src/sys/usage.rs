//! What uses block devices, without opening any of them.

use crate::device::{Usage, Use};
use crate::devno::DevNo;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

const MOUNTS: &str = "/proc/self/mountinfo";

/// As of now. What cannot be read is left out.
pub fn read() -> Usage {
    Places { mounts: MOUNTS.into(), swaps: "/proc/swaps".into(), block: "/sys/block".into() }.read()
}

/// Only what is mounted: it may decide between copies of a PV, of which there may be very many. The
/// rest, for which all devices are gone through, is news for people.
pub fn read_mounts() -> Usage {
    let by = mounts(&text(Path::new(MOUNTS))).into_iter();
    by.fold(Usage::default(), |mut usage, (devno, place)| {
        usage.by.entry(devno).or_default().push(Use::Mounted(place));
        usage
    })
}

struct Places {
    mounts: PathBuf,
    swaps: PathBuf,
    block: PathBuf,
}

impl Places {
    fn read(&self) -> Usage {
        let mut usage = Usage::default();
        let mut add = |devno: DevNo, new: Use| {
            let uses = usage.by.entry(devno).or_default();
            if !uses.contains(&new) {
                uses.push(new);
            }
        };
        for (devno, place) in mounts(&text(&self.mounts)) {
            add(devno, Use::Mounted(place));
        }
        for devno in swaps(&text(&self.swaps)) {
            add(devno, Use::Swap);
        }
        for (devno, name) in self.loops() {
            add(devno, Use::Loop(name));
        }
        usage
    }

    /// The block devices that loop devices have as their backing files.
    fn loops(&self) -> Vec<(DevNo, String)> {
        let entries = fs::read_dir(&self.block).into_iter().flatten().flatten();
        let loops = entries.filter_map(|entry| {
            let name = entry.file_name().into_string().ok().filter(|name| name.starts_with("loop"))?;
            let file = fs::read_to_string(entry.path().join("loop/backing_file")).ok()?;
            Some((node(file.trim_end_matches('\n'))?, name))
        });
        let mut loops = loops.collect::<Vec<_>>();
        loops.sort();
        loops
    }
}

/// Names in these files need not be text.
fn text(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
}

/// The device and the directory of each line of `mountinfo`:
///
/// ```text
/// 36 35 98:0 / /mnt/a\040b rw,noatime shared:1 - ext4 /dev/sda1 rw
/// ```
///
/// A file system on several devices has a number of its own, with major 0: then the source is
/// the node of one of them.
fn mounts(text: &str) -> Vec<(DevNo, String)> {
    let line = |line: &str| {
        let (mount, filesystem) = line.split_once(" - ")?;
        let mut fields = mount.split(' ').skip(2);
        let devno = DevNo::parse(fields.next()?)?;
        let place = unescape(fields.nth(1)?);
        let devno = match devno.major {
            0 => node(&unescape(filesystem.split(' ').nth(1)?))?,
            _ => devno,
        };
        Some((devno, place))
    };
    text.lines().filter_map(line).collect()
}

/// The devices of `/proc/swaps`, which has a line of headings, and then a name and a type on each.
fn swaps(text: &str) -> Vec<DevNo> {
    let line = |line: &str| {
        let mut fields = line.split_ascii_whitespace();
        let name = fields.next()?;
        (fields.next()? == "partition").then(|| node(&unescape(name)))?
    };
    text.lines().skip(1).filter_map(line).collect()
}

/// The block device with this node. Names elsewhere are not looked up: that may wait for a server.
fn node(path: &str) -> Option<DevNo> {
    if !path.starts_with("/dev/") {
        return None;
    }
    let metadata = fs::metadata(path).ok()?;
    metadata.file_type().is_block_device().then(|| DevNo::from_dev_t(metadata.rdev()))
}

/// White space, backslashes and hashes stand in these files as a backslash and three octal digits.
fn unescape(text: &str) -> String {
    let mut out = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let octal = tail.first_chunk::<3>().filter(|_| first == b'\\');
        match octal.and_then(|digits| u8::from_str_radix(str::from_utf8(digits).ok()?, 8).ok()) {
            Some(byte) => {
                out.push(byte);
                rest = &tail[3..];
            }
            None => {
                out.push(first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::testing::{LoopDevice, needs};
    use std::process::Command;

    #[test]
    fn lines_of_mountinfo() {
        let check = |line: &str, expected: &[(&str, &str)]| {
            let expected = expected.iter().map(|(devno, place)| (DevNo::parse(devno).unwrap(), (*place).to_owned()));
            assert_eq!(mounts(line), expected.collect::<Vec<_>>(), "{line}");
        };
        check("36 35 98:0 / /mnt rw,noatime master:1 - ext3 /dev/root rw", &[("98:0", "/mnt")]);
        check("36 35 253:3 /sub /a\\040b\\134\\011 rw - xfs /dev/x rw\n", &[("253:3", "/a b\\\t")]);
        check("36 35 8:1 / /a rw shared:1 master:2 unbindable - ext4 /dev/sda1 rw", &[("8:1", "/a")]);
        check("22 27 0:21 / /proc rw - proc proc rw", &[]);
        check("22 27 0:21 / /a rw - nfs server:/dev/sda rw", &[]);
        check("22 27 0:21 / /a rw - btrfs /dev/null rw", &[]);
        check("22 27 0:21 / /a rw - btrfs /dev/not-there rw", &[]);
        check("36 35 8:1 / /a rw\n36 35 8:2 - ext4\n36 35 x:1 / /a rw - ext4 /dev/x rw\n\n - \n", &[]);
    }

    #[test]
    fn no_name_is_too_odd() {
        for (text, expected) in [
            ("\\", "\\"),
            ("\\04", "\\04"),
            ("\\048", "\\048"),
            ("\\777", "\\777"),
            ("\\040", " "),
            ("a\\134040", "a\\040"),
        ] {
            assert_eq!(unescape(text), expected);
        }
    }

    #[test]
    fn lines_of_swaps() {
        let Some(device) = needs("lines_of_swaps", LoopDevice::create(66)) else { return };
        let node = device.node().display();
        let heading = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n";
        let line = |name: &str, kind: &str| format!("{heading}{name}      {kind}\t1048572\t\t0\t\t-2\n");
        assert_eq!(swaps(heading), []);
        assert_eq!(swaps(&line(&node.to_string(), "partition")), [device.devno()]);
        assert_eq!(swaps(&line(&node.to_string(), "file\t")), []);
        assert_eq!(swaps(&line("/dev/not\\040there", "partition")), []);
        assert_eq!(swaps(&line("/dev/null", "partition")), []);
    }

    #[test]
    fn real_loops_and_mounts_are_seen() {
        let Some(below) = needs("real_loops_and_mounts_are_seen", LoopDevice::create(67)) else { return };
        let Some(above) = needs("real_loops_and_mounts_are_seen", LoopDevice::create(68)) else { return };
        let uses = || read().by.remove(&below.devno()).unwrap_or_default();
        assert_eq!(uses(), []);
        above.attach(below.node()).unwrap();
        assert_eq!(uses(), [Use::Loop("loop68".into())]);
        assert_eq!(read_mounts().by.get(&below.devno()), None);
        above.detach();
        // A file is no device.
        assert!(read().by.values().flatten().all(|found| *found != Use::Loop("loop67".into())));
        let root = DevNo::from_dev_t(fs::metadata("/").unwrap().dev());
        if root.major != 0 {
            assert!(read().by[&root].contains(&Use::Mounted("/".into())));
        }
        let directory = tempfile::tempdir().unwrap();
        let run = |program: &str, arguments: &[&Path]| {
            Command::new(program).args(arguments).output().is_ok_and(|output| output.status.success())
        };
        if !run("mkfs.ext2", &[Path::new("-q"), below.node()]) || !run("mount", &[below.node(), directory.path()]) {
            println!("skipped: a real mount");
            return;
        }
        let (seen, mounted) = (uses(), read_mounts().by.remove(&below.devno()));
        assert!(run("umount", &[directory.path()]));
        assert_eq!(seen, [Use::Mounted(directory.path().display().to_string())]);
        assert_eq!(mounted, Some(seen));
        assert_eq!(uses(), []);
    }
}
