//! What `/sys` says about block devices, without opening any of them.

mod directory;
mod path;
mod stack;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use nix::libc;

use crate::device::{Facts, Ids, Present};
use crate::devno::DevNo;
use crate::sys::descriptors::is_shortage;
use directory::Directory;

/// Reads `/sys`, with the names of drivers remembered.
///
/// A device has a handful of files of which each costs three system calls, and start-up asks
/// about thousands of devices. So `uevent`, which has most of it, is read first, and the files of
/// a driver only for that driver's devices.
pub struct Sysfs {
    sys: PathBuf,
    proc_devices: PathBuf,
    drivers: BTreeMap<u32, String>,
    /// Whether anybody asks for [`Facts::ids`].
    pub read_ids: bool,
    /// Whether anybody asks what udev says of paths.
    pub read_udev: bool,
}

/// Whether the kernel has a device-mapper.
pub fn has_device_mapper() -> bool {
    Path::new("/sys/class/misc/device-mapper").exists()
}

impl Default for Sysfs {
    fn default() -> Sysfs {
        Sysfs::new()
    }
}

impl Sysfs {
    pub fn new() -> Sysfs {
        Sysfs::with_paths("/sys".into(), "/proc/devices".into())
    }

    fn with_paths(sys: PathBuf, proc_devices: PathBuf) -> Sysfs {
        Sysfs { sys, proc_devices, drivers: BTreeMap::new(), read_ids: false, read_udev: false }
    }

    /// `None` when there is no such device, also when it went while we looked. An error proves
    /// nothing about it.
    pub fn facts(&mut self, devno: DevNo) -> io::Result<Option<Facts>> {
        Ok(self.look(devno)?.map(|present| present.facts))
    }

    /// The devices that share bytes with this one: the partitions of a disk, the disk of a
    /// partition. What cannot be looked at is left out.
    pub fn relatives(&self, devno: DevNo) -> Vec<DevNo> {
        let directory = self.directory(devno);
        let number = |directory: &Path| DevNo::parse(fs::read_to_string(directory.join("dev")).ok()?.trim_end());
        let is_partition = |directory: &Path| directory.join("partition").exists();
        if is_partition(&directory) {
            return number(&directory.join("..")).into_iter().collect();
        }
        let entries = fs::read_dir(&directory).into_iter().flatten().flatten();
        let partitions = entries.map(|entry| entry.path()).filter(|path| is_partition(path));
        partitions.filter_map(|path| number(&path)).collect()
    }

    /// The disk of a partition that is to be read as well, and where the disk's partitions are.
    pub fn disk_of(&mut self, facts: &Facts) -> io::Result<Option<(Present, Vec<Range<u64>>)>> {
        let Some(devno) = facts.stack.disk else { return Ok(None) };
        let Some(present) = self.look(devno)? else { return Ok(None) };
        let mut places = Vec::new();
        for partition in self.relatives(devno) {
            if let Some(facts) = self.facts(partition)? {
                places.push(facts.stack.start..facts.stack.start.saturating_add(facts.size));
            }
        }
        Ok(Some((present, places)))
    }

    /// The numbers of all block devices.
    pub fn list(&mut self) -> io::Result<Vec<DevNo>> {
        self.read_drivers().map_err(|error| explain(&self.proc_devices, &error))?;
        // Its entries are named by the numbers, so nothing has to be read.
        let numbers = self.sys.join("dev/block");
        let named = |entry: io::Result<fs::DirEntry>| Ok(DevNo::parse(&entry?.file_name().to_string_lossy()));
        let entries =
            fs::read_dir(&numbers).and_then(|entries| entries.filter_map(|entry| named(entry).transpose()).collect());
        entries.map_err(|error| explain(&numbers, &error))
    }

    /// Every block device. One that cannot be looked at is left out.
    pub fn enumerate(&mut self) -> io::Result<Vec<Present>> {
        let mut found = Vec::new();
        for devno in self.list()? {
            match self.facts(devno) {
                Ok(facts) => found.extend(facts.map(|facts| Present { devno, facts })),
                // Not the device's fault: the others would not fare better.
                Err(error) if is_shortage(&error) => return Err(explain(&self.directory(devno), &error)),
                Err(error) => log::warn!("{}", explain(&self.directory(devno), &error)),
            }
        }
        Ok(found)
    }

    fn directory(&self, devno: DevNo) -> PathBuf {
        self.sys.join(format!("dev/block/{devno}"))
    }

    fn look(&mut self, devno: DevNo) -> io::Result<Option<Present>> {
        let path = self.directory(devno);
        let Some(directory) = &Directory::open(&path)? else { return Ok(None) };
        let driver = self.driver(devno.major)?;
        let loop_backed = match driver.as_deref() {
            Some("loop") => Some(directory.has("loop/backing_file")?),
            _ => None,
        };
        // A machine may have thousands that are not in use: without size, holders, partitions, and a
        // `diskseq` that anybody would ask for.
        if loop_backed == Some(false)
            && let Some(name) = directory::link_name(&path)?.filter(|name| is_whole_loop(name))
        {
            let ids = self.read_ids.then(Box::default);
            return Ok(Some(Present { devno, facts: Facts { name, driver, loop_backed, ids, ..Facts::default() } }));
        }
        let (Some(uevent), Some(size)) = (directory.read("uevent")?, directory.read("size")?) else {
            return Ok(None);
        };
        let uevent: BTreeMap<&str, &str> = uevent.lines().filter_map(|line| line.split_once('=')).collect();
        let number = |key| uevent.get(key).and_then(|value| value.parse().ok());
        // The paths that NVMe hides have no number, except before Linux 5.15 (see `hidden`).
        let (Some(major), Some(minor), Some(name)) = (number("MAJOR"), number("MINOR"), uevent.get("DEVNAME")) else {
            return Ok(None);
        };
        let partition = uevent.get("DEVTYPE") == Some(&"partition");
        let parent = if partition { directory.at("..")? } else { None };
        let disk = parent.as_ref().unwrap_or(directory);
        let mut facts = Facts {
            name: (*name).to_owned(),
            // Sectors of 512 bytes, whatever the size of the device's blocks.
            size: size.parse::<u64>().unwrap_or(0).saturating_mul(512),
            diskseq: uevent.get("DISKSEQ").and_then(|text| text.parse().ok()),
            partition,
            ..Facts::default()
        };
        if partition {
            facts.diskseq = disk.read("diskseq")?.and_then(|text| text.parse().ok());
        } else if driver.as_deref() == Some("loop") {
            facts.loop_backed = loop_backed;
            facts.loop_partscan = loop_backed == Some(true) && directory.read("loop/partscan")?.as_deref() == Some("1");
        } else if driver.as_deref() == Some("device-mapper") {
            if while_it_lasts(read_dm(directory, &mut facts))? != Some(true) {
                return Ok(None);
            }
        } else if matches!(driver.as_deref(), Some("md" | "mdp")) {
            facts.md_array_state = directory.read("md/array_state")?;
        } else if is_nvme_path(name) {
            facts.hidden = directory.read("hidden")?.as_deref() == Some("1");
        }
        let devno = DevNo::new(major, minor);
        let stacked = matches!(driver.as_deref(), Some("device-mapper" | "md" | "mdp"));
        facts.stack = Box::new(stack::read_stack(directory, name, parent.as_ref(), stacked)?);
        if let Some(kind) = path::kind(driver.as_deref(), name).filter(|_| !facts.hidden) {
            let mut found = path::read_path(disk, kind)?;
            if self.read_udev {
                found.udev = path::udev(facts.stack.disk.unwrap_or(devno));
            }
            facts.path = Some(Box::new(found));
        }
        if self.read_ids {
            let mut ids = read_ids(disk, driver.as_deref(), facts.path.as_deref())?;
            if partition {
                ids.partition = directory.read("partition")?.and_then(|text| text.parse().ok()).unwrap_or(0);
            }
            facts.ids = Some(Box::new(ids));
        }
        facts.driver = driver;
        Ok(Some(Present { devno, facts }))
    }

    /// `None` for a number that no driver has claimed. Drivers come and go with their modules, so
    /// an unknown number is looked up again.
    fn driver(&mut self, major: u32) -> io::Result<Option<String>> {
        if !self.drivers.contains_key(&major) {
            self.read_drivers()?;
        }
        Ok(self.drivers.get(&major).cloned())
    }

    fn read_drivers(&mut self) -> io::Result<()> {
        let text = fs::read_to_string(&self.proc_devices)?;
        self.drivers = parse_drivers(&text);
        Ok(())
    }
}

/// The part "Block devices:" of `/proc/devices`: a number and a name on each line.
fn parse_drivers(text: &str) -> BTreeMap<u32, String> {
    let lines = text.lines().skip_while(|line| *line != "Block devices:").skip(1);
    lines
        .filter_map(|line| line.trim_start().split_once(' '))
        .filter_map(|(major, name)| Some((major.parse().ok()?, name.trim().to_owned())))
        .collect()
}

fn read_ids(disk: &Directory, driver: Option<&str>, path: Option<&crate::device::Path>) -> io::Result<Ids> {
    let mut ids = Ids::default();
    match driver {
        Some("device-mapper") => {}
        Some("md" | "mdp") => ids.md_uuid = disk.read("md/uuid")?,
        Some("loop") => {
            ids.loop_file = disk.read("loop/backing_file")?.filter(|path| !path.ends_with(" (deleted)"));
        }
        _ => {
            ids.wwid = match path {
                Some(path) => path.wwid.clone(),
                None => read_first(disk, ["device/wwid", "wwid"])?,
            };
            ids.serial = read_first(disk, ["device/serial", "serial"])?;
        }
    }
    Ok(ids)
}

fn read_first(directory: &Directory, names: [&str; 2]) -> io::Result<Option<String>> {
    match directory.read(names[0])?.filter(|text| !text.is_empty()) {
        None => directory.read(names[1]),
        found => Ok(found),
    }
}

/// `loop7`, and not its partition `loop7p1`, which the kernel may give a number of the same major.
fn is_whole_loop(name: &str) -> bool {
    name.strip_prefix("loop")
        .is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

/// `nvme0c1n1`: controller 1's path to namespace 1 of subsystem 0.
fn is_nvme_path(name: &str) -> bool {
    name.strip_prefix("nvme").is_some_and(|rest| rest.contains('c'))
}

/// What device-mapper says of its device. False for one that has no such files: it has a number
/// before they come, and still has its size when they have gone (`dm_setup_md_queue` and
/// `__dm_destroy` in drivers/md/dm.c), and whose it is cannot be told then. An event follows.
fn read_dm(directory: &Directory, facts: &mut Facts) -> io::Result<bool> {
    facts.dm_suspended = directory.read("dm/suspended")?.as_deref() == Some("1");
    facts.dm_name = directory.read("dm/name")?;
    facts.dm_uuid = directory.read("dm/uuid")?;
    Ok(facts.dm_uuid.is_some())
}

/// From the moment that a device-mapper device is to be removed its files answer EINVAL, until
/// they go themselves and the event comes (`dm_attr_show` in drivers/md/dm-sysfs.c).
fn while_it_lasts<T>(looked: io::Result<T>) -> io::Result<Option<T>> {
    match looked {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => Ok(None),
        looked => looked.map(Some),
    }
}

fn explain(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::{Holder, Path as DiskPath, Stack};
    use crate::sys::testing::{LOOP_SIZE, LoopDevice, needs};
    use std::os::unix::fs::symlink;
    use tempfile::TempDir;

    const PROC_DEVICES: &str = "Character devices:\n  8 not-this\n\nBlock devices:\n  7 loop\n  8 sd\n  9 md\n\
                                252 device-mapper\n259 blkext\n";

    /// A made-up `/sys` with devices as `(path below devices, files)`.
    struct Tree(TempDir);

    impl Tree {
        fn new(devices: &[(&str, &[(&str, &str)])]) -> Tree {
            let tree = Tree(tempfile::tempdir().unwrap());
            let root = tree.0.path();
            fs::write(root.join("proc_devices"), PROC_DEVICES).unwrap();
            fs::create_dir_all(root.join("class/block")).unwrap();
            fs::create_dir_all(root.join("dev/block")).unwrap();
            for (path, files) in devices {
                let directory = root.join("devices").join(path);
                for (name, contents) in *files {
                    let file = directory.join(name);
                    fs::create_dir_all(file.parent().unwrap()).unwrap();
                    fs::write(file, contents).unwrap();
                }
                let name = directory.file_name().unwrap();
                symlink(&directory, root.join("class/block").join(name)).unwrap();
                let uevent = files.iter().find(|(name, _)| *name == "uevent").map_or("", |(_, text)| text);
                let value = |key: &str| uevent.lines().find_map(|line| line.strip_prefix(key));
                if let (Some(major), Some(minor)) = (value("MAJOR="), value("MINOR=")) {
                    symlink(&directory, root.join(format!("dev/block/{major}:{minor}"))).unwrap();
                }
            }
            tree
        }

        /// Both by their paths below devices.
        fn stack(&self, above: &str, below: &str) {
            let devices = self.0.path().join("devices");
            for (device, directory, other) in [(below, "holders", above), (above, "slaves", below)] {
                let directory = devices.join(device).join(directory);
                fs::create_dir_all(&directory).unwrap();
                let other = devices.join(other);
                symlink(&other, directory.join(other.file_name().unwrap())).unwrap();
            }
        }

        fn sysfs(&self) -> Sysfs {
            Sysfs::with_paths(self.0.path().to_owned(), self.0.path().join("proc_devices"))
        }

        fn only(&self) -> Present {
            match <[Present; 1]>::try_from(self.sysfs().enumerate().unwrap()) {
                Ok([present]) => present,
                Err(found) => panic!("{found:?}"),
            }
        }
    }

    #[test]
    fn names_need_not_be_text() {
        let device = "MAJOR=8\nMINOR=0\nDEVNAME=sda\nDEVTYPE=disk\n";
        let map = "MAJOR=252\nMINOR=0\nDEVNAME=dm-0\nDEVTYPE=disk\n";
        let tree = Tree::new(&[
            ("sda", &[("uevent", device), ("size", "100\n"), ("dev", "8:0\n"), ("device/wwid", "")]),
            ("dm-0", &[("uevent", map), ("size", "100\n"), ("dev", "252:0\n"), ("dm/name", ""), ("dm/uuid", "x\n")]),
        ]);
        tree.stack("dm-0", "sda");
        fs::write(tree.0.path().join("devices/sda/device/wwid"), b"disk\xff\n").unwrap();
        fs::write(tree.0.path().join("devices/dm-0/dm/name"), b"m\xfe\n").unwrap();
        let facts = |devno| tree.sysfs().facts(DevNo::parse(devno).unwrap()).unwrap().unwrap();
        let disk = facts("8:0");
        assert_eq!(disk.path.unwrap().wwid.as_deref(), Some("disk\\xff"));
        assert_eq!(disk.stack.holders[0].dm_name.as_deref(), Some("m\\xfe"));
        assert_eq!(facts("252:0").dm_name.as_deref(), Some("m\\xfe"));
        assert_eq!(tree.sysfs().enumerate().unwrap().len(), 2);
    }

    #[test]
    fn a_partition_has_its_disks_diskseq() {
        let tree = Tree::new(&[
            (
                "sda",
                &[
                    ("uevent", "MAJOR=8\nMINOR=0\nDEVNAME=sda\nDEVTYPE=disk\nDISKSEQ=5\n"),
                    ("size", "100\n"),
                    ("dev", "8:0\n"),
                ],
            ),
            (
                "sda/sda1",
                &[
                    ("uevent", "MAJOR=8\nMINOR=1\nDEVNAME=sda1\nDEVTYPE=partition\n"),
                    ("size", "10\n"),
                    ("start", "2\n"),
                ],
            ),
        ]);
        fs::write(tree.0.path().join("devices/sda/diskseq"), "5\n").unwrap();
        let mut found = tree.sysfs().enumerate().unwrap();
        found.sort_by_key(|present| present.devno);
        let disk = Facts {
            name: "sda".into(),
            size: 51_200,
            diskseq: Some(5),
            driver: Some("sd".into()),
            path: Some(Box::default()),
            ..Facts::default()
        };
        assert_eq!(found[0], Present { devno: DevNo::new(8, 0), facts: disk.clone() });
        let stack = Box::new(Stack { disk: Some(DevNo::new(8, 0)), start: 1024, ..Stack::default() });
        let partition = Facts { name: "sda1".into(), size: 5120, partition: true, stack, ..disk };
        assert_eq!(found[1], Present { devno: DevNo::new(8, 1), facts: partition });
    }

    #[test]
    fn drivers_have_their_own_files() {
        let dm = Tree::new(&[(
            "dm-0",
            &[
                ("uevent", "MAJOR=252\nMINOR=0\nDEVNAME=dm-0\nDEVTYPE=disk\n"),
                ("size", "8\n"),
                ("dm/uuid", "LVM-abc\n"),
                ("dm/name", "vg-lv\n"),
                ("dm/suspended", "1\n"),
            ],
        )]);
        let facts = dm.only().facts;
        assert_eq!((facts.dm_uuid.as_deref(), facts.dm_suspended), (Some("LVM-abc"), true));
        assert_eq!(facts.dm_name.as_deref(), Some("vg-lv"));
        assert_eq!((facts.md_array_state, facts.loop_backed, facts.diskseq), (None, None, None));

        let fleeting = [("uevent", "MAJOR=252\nMINOR=0\nDEVNAME=dm-0\nDEVTYPE=disk\n"), ("size", "8\n")];
        assert_eq!(Tree::new(&[("dm-0", &fleeting)]).sysfs().enumerate().unwrap(), []);

        let md = [("uevent", "MAJOR=9\nMINOR=1\nDEVNAME=md1\n"), ("size", "8"), ("md/array_state", "clean\n")];
        assert_eq!(Tree::new(&[("md1", &md)]).only().facts.md_array_state.as_deref(), Some("clean"));

        let hidden = [("uevent", "MAJOR=259\nMINOR=3\nDEVNAME=nvme0c0n1\n"), ("size", "8"), ("hidden", "1\n")];
        assert!(Tree::new(&[("nvme0c0n1", &hidden)]).only().facts.hidden);

        let free = [("uevent", "MAJOR=7\nMINOR=1\nDEVNAME=loop1\n"), ("size", "0\n")];
        assert_eq!(Tree::new(&[("loop1", &free)]).only().facts.loop_backed, Some(false));
    }

    #[test]
    fn a_partition_of_a_loop_device_is_not_one_that_is_idle() {
        let disk = [
            ("uevent", "MAJOR=7\nMINOR=16\nDEVNAME=loop1\n"),
            ("size", "9\n"),
            ("dev", "7:16\n"),
            ("loop/backing_file", "x\n"),
        ];
        let partition = [
            ("uevent", "MAJOR=7\nMINOR=17\nDEVNAME=loop1p1\nDEVTYPE=partition\n"),
            ("size", "8\n"),
            ("partition", "1\n"),
        ];
        let tree = Tree::new(&[("loop1", &disk), ("loop1/loop1p1", &partition)]);
        let mut sysfs = tree.sysfs();
        let facts = sysfs.facts(DevNo::new(7, 17)).unwrap().unwrap();
        assert_eq!((facts.name.as_str(), facts.size, facts.loop_backed), ("loop1p1", 8 * 512, None));
        assert_eq!(facts.stack.disk, Some(DevNo::new(7, 16)));
        assert_eq!(sysfs.facts(DevNo::new(7, 16)).unwrap().unwrap().loop_backed, Some(true));
    }

    #[test]
    fn a_dm_device_that_is_being_removed_is_gone() {
        let error = |errno| Err::<(), _>(io::Error::from_raw_os_error(errno));
        assert_eq!(while_it_lasts(error(libc::EINVAL)).unwrap(), None);
        assert_eq!(while_it_lasts(error(libc::EIO)).unwrap_err().raw_os_error(), Some(libc::EIO));
        assert_eq!(while_it_lasts(Ok(1)).unwrap(), Some(1));
    }

    #[test]
    fn ids_are_read_where_somebody_asks() {
        let ids = |files: &[(&str, &str)], name: &str| {
            let tree = Tree::new(&[(name, files)]);
            assert_eq!(tree.only().facts.ids, None);
            let mut sysfs = tree.sysfs();
            sysfs.read_ids = true;
            *sysfs.enumerate().unwrap().remove(0).facts.ids.unwrap()
        };
        let some = |text: &str| Some(text.to_owned());
        let sda = [("uevent", "MAJOR=8\nMINOR=0\nDEVNAME=sda\n"), ("size", "8"), ("device/wwid", "naa.5\n")];
        assert_eq!(ids(&sda, "sda"), Ids { wwid: some("naa.5"), ..Ids::default() });
        let vda = [("uevent", "MAJOR=254\nMINOR=0\nDEVNAME=vda\n"), ("size", "8"), ("serial", "s1")];
        assert_eq!(ids(&vda, "vda"), Ids { serial: some("s1"), ..Ids::default() });
        let uevent = "MAJOR=7\nMINOR=1\nDEVNAME=loop1\n";
        let looped = [("uevent", uevent), ("size", "8"), ("loop/backing_file", "/a b\n")];
        assert_eq!(ids(&looped, "loop1"), Ids { loop_file: some("/a b"), ..Ids::default() });
        let deleted = [("uevent", uevent), ("size", "8"), ("loop/backing_file", "/a (deleted)\n")];
        assert_eq!(ids(&deleted, "loop1"), Ids::default());
        let fleeting = [("uevent", "MAJOR=252\nMINOR=0\nDEVNAME=dm-0\nDEVTYPE=disk\n"), ("size", "8\n")];
        assert_eq!(Tree::new(&[("dm-0", &fleeting)]).sysfs().enumerate().unwrap(), []);

        let md = [("uevent", "MAJOR=9\nMINOR=1\nDEVNAME=md1\n"), ("size", "8"), ("md/uuid", "9903\n")];
        assert_eq!(ids(&md, "md1"), Ids { md_uuid: some("9903"), ..Ids::default() });
        let tree = Tree::new(&[
            ("sda", &sda),
            (
                "sda/sda2",
                &[
                    ("uevent", "MAJOR=8\nMINOR=2\nDEVNAME=sda2\nDEVTYPE=partition\n"),
                    ("size", "8"),
                    ("partition", "2\n"),
                ],
            ),
        ]);
        let mut sysfs = tree.sysfs();
        sysfs.read_ids = true;
        let found = sysfs.enumerate().unwrap();
        let partition = found.iter().find(|present| present.facts.partition).unwrap();
        let expected = Ids { wwid: some("naa.5"), partition: 2, ..Ids::default() };
        assert_eq!(partition.facts.ids.as_deref(), Some(&expected));
    }

    fn dm(name: &str, minor: u32) -> Holder {
        Holder {
            name: format!("dm-{minor}"),
            devno: DevNo::new(252, minor),
            dm_uuid: Some(format!("mpath-{name}")),
            dm_name: Some(name.to_owned()),
        }
    }

    /// Two paths, of which one has a partition, a map over both, and an array over the partition.
    #[test]
    fn how_devices_are_stacked() {
        let dm0 = [
            ("uevent", "MAJOR=252\nMINOR=0\nDEVNAME=dm-0\n"),
            ("size", "8\n"),
            ("dev", "252:0\n"),
            ("dm/uuid", "mpath-a\n"),
            ("dm/name", "a\n"),
        ];
        let disk = |name: &str, minor: u32| {
            [
                ("uevent".to_owned(), format!("MAJOR=8\nMINOR={minor}\nDEVNAME={name}\n")),
                ("size".to_owned(), "8\n".to_owned()),
                ("dev".to_owned(), format!("8:{minor}\n")),
            ]
        };
        let (sda, sdb) = (disk("sda", 0), disk("sdb", 16));
        let (sda, sdb) = (sda.each_ref(), sdb.each_ref());
        let (sda, sdb) = (sda.map(|(file, text)| (&**file, &**text)), sdb.map(|(file, text)| (&**file, &**text)));
        let sda1 =
            [("uevent", "MAJOR=8\nMINOR=1\nDEVNAME=sda1\nDEVTYPE=partition\n"), ("size", "8\n"), ("dev", "8:1\n")];
        let md0 = [("uevent", "MAJOR=9\nMINOR=0\nDEVNAME=md0\n"), ("size", "8\n"), ("dev", "9:0\n")];
        let tree = Tree::new(&[("dm-0", &dm0), ("sda", &sda), ("sdb", &sdb), ("sda/sda1", &sda1), ("md0", &md0)]);
        for (above, below) in [("dm-0", "sda"), ("dm-0", "sdb"), ("md0", "sda/sda1")] {
            tree.stack(above, below);
        }
        // One that went after the directory was read.
        fs::create_dir_all(tree.0.path().join("devices/sdb/holders")).unwrap();
        symlink("/nowhere", tree.0.path().join("devices/sdb/holders/dm-9")).unwrap();
        let found = tree.sysfs().enumerate().unwrap();
        let stack = |name: &str| *found.iter().find(|present| present.facts.name == name).unwrap().facts.stack.clone();
        let map = vec![dm("a", 0)];
        let (sda, sdb, sda1) = (DevNo::new(8, 0), DevNo::new(8, 16), DevNo::new(8, 1));
        let md = Holder { name: "md0".into(), devno: DevNo::new(9, 0), dm_uuid: None, dm_name: None };
        assert_eq!(stack("sda"), Stack { holders: map.clone(), ..Stack::default() });
        assert_eq!(stack("sdb"), stack("sda"));
        let of_partition = Stack { holders: vec![md], disk: Some(sda), disk_holders: map, ..Stack::default() };
        assert_eq!(stack("sda1"), of_partition);
        assert_eq!(stack("dm-0"), Stack { slaves: vec![sda, sdb], ..Stack::default() });
        assert_eq!(stack("md0"), Stack { slaves: vec![sda1], ..Stack::default() });
        let lies_on_gone = || {
            let found = tree.sysfs().enumerate().unwrap();
            found.iter().find(|present| present.facts.name == "dm-0").unwrap().facts.stack.lies_on_gone
        };
        assert!(!lies_on_gone());
        let holder = tree.0.path().join("devices/sdb/holders/dm-0");
        fs::remove_file(&holder).unwrap();
        assert!(lies_on_gone(), "another has the name");
        symlink("/nowhere", &holder).unwrap();
        assert!(!lies_on_gone());
        fs::remove_dir_all(tree.0.path().join("devices/sdb")).unwrap();
        assert!(lies_on_gone());
    }

    #[test]
    fn what_a_path_to_a_disk_has() {
        let path = |driver: (&str, u32), files: &[(&str, &str)]| {
            let uevent = format!("MAJOR={}\nMINOR=0\nDEVNAME={}\n", driver.1, driver.0);
            let files = [&[("uevent", &*uevent), ("size", "8")], files].concat();
            let tree = Tree::new(&[(driver.0, &files)]);
            tree.only().facts.path.map(|path| *path)
        };
        let some = |wwid: Option<&str>, passive: Option<&str>| {
            Some(DiskPath { wwid: wwid.map(str::to_owned), passive: passive.map(str::to_owned), udev: None })
        };
        let (sda, nvme) = (("sda", 8), ("nvme0n1", 259));
        assert_eq!(path(sda, &[]), some(None, None));
        assert_eq!(
            path(sda, &[("device/wwid", "naa.5\n"), ("device/dh_state", "detached\n")]),
            some(Some("naa.5"), None)
        );
        for (state, passive) in [
            ("active/optimized", false),
            ("active/non-optimized", false),
            ("lba-dependent", false),
            ("standby", true),
            ("unavailable", true),
            ("offline", true),
            ("transitioning", true),
        ] {
            let files = [("device/access_state", state), ("device/dh_state", "alua\n")];
            assert_eq!(path(sda, &files), some(None, passive.then_some(state)), "{state}");
        }
        assert_eq!(path(sda, &[("device/dh_state", "passive\n")]), some(None, Some("passive")));
        for (state, passive) in [
            ("optimized", false),
            ("non-optimized", false),
            ("inaccessible", true),
            ("persistent-loss", true),
            ("change", true),
        ] {
            let files = [("ana_state", state), ("wwid", "uuid.1\n")];
            assert_eq!(path(nvme, &files), some(Some("uuid.1"), passive.then_some(state)), "{state}");
        }
        assert_eq!(path(("vda", 254), &[("device/wwid", "naa.5")]), None);
        assert_eq!(path(("loop0", 7), &[("wwid", "naa.5")]), None);
    }

    #[test]
    fn what_has_gone_or_has_no_number_is_not_there() {
        let tree = Tree::new(&[
            ("half", &[("uevent", "MAJOR=8\nMINOR=0\nDEVNAME=sda\n")]),
            ("unnumbered", &[("uevent", "DEVNAME=nvme0c0n1\n"), ("size", "8\n")]),
        ]);
        symlink("/nowhere", tree.0.path().join("class/block/gone")).unwrap();
        assert_eq!(tree.sysfs().enumerate().unwrap(), []);
        assert_eq!(tree.sysfs().facts(DevNo::new(8, 0)).unwrap(), None);
    }

    #[test]
    fn a_driver_loaded_later_is_found() {
        let tree = Tree::new(&[("x", &[("uevent", "MAJOR=240\nMINOR=0\nDEVNAME=x\n"), ("size", "8\n")])]);
        let mut sysfs = tree.sysfs();
        assert_eq!(sysfs.enumerate().unwrap()[0].facts.driver, None);
        fs::write(tree.0.path().join("proc_devices"), "Block devices:\n240 new one\n").unwrap();
        assert_eq!(sysfs.facts(DevNo::new(240, 0)).unwrap().unwrap().driver.as_deref(), Some("new one"));
    }

    #[test]
    fn a_real_loop_device_comes_and_goes() {
        let Some(device) = needs("a_real_loop_device", LoopDevice::create(65)) else { return };
        let mut sysfs = Sysfs::new();
        let facts = sysfs.facts(device.devno()).unwrap().unwrap();
        let expected = Facts {
            name: "loop65".into(),
            size: LOOP_SIZE,
            diskseq: Some(device.diskseq()),
            driver: Some("loop".into()),
            loop_backed: Some(true),
            ..Facts::default()
        };
        assert_eq!(facts, expected);
        let present = Present { devno: device.devno(), facts };
        assert!(sysfs.enumerate().unwrap().contains(&present));
        device.detach();
        let facts = sysfs.facts(device.devno()).unwrap().unwrap();
        assert_eq!((facts.size, facts.loop_backed), (0, Some(false)));
        assert_eq!(sysfs.facts(DevNo::new(7, 1_000_000)).unwrap(), None);
    }

    #[test]
    fn a_real_partition_has_its_disk() {
        let Some(device) = needs("a_real_partition_has_its_disk", LoopDevice::create(69)) else { return };
        let add = std::process::Command::new("addpart").arg(device.node()).args(["1", "64", "128"]).output();
        if !add.is_ok_and(|output| output.status.success()) {
            println!("skipped: a_real_partition_has_its_disk: addpart");
            return;
        }
        let found = Sysfs::new().enumerate().unwrap();
        let partition = found.iter().find(|present| present.facts.name == "loop69p1");
        let stack = partition.map(|present| *present.facts.stack.clone());
        assert!(std::process::Command::new("delpart").arg(device.node()).arg("1").status().unwrap().success());
        assert_eq!(stack, Some(Stack { disk: Some(device.devno()), start: 64 * 512, ..Stack::default() }));
    }
}
