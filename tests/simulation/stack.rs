//! Devices that lie on each other, in the model: paths and their maps, partitions, arrays, LVs and
//! other device-mapper devices. What the kernel says of each, and which may be used.

use crate::world::{Content, Disk, Fault, SIZE, World, superblocks};
use pvwatch::conf::Settings;
use pvwatch::device::{Facts, Holder, Path, Stack, Usage, Use};
use pvwatch::devno::DevNo;
use pvwatch::multipath::Multipath;
use std::collections::BTreeMap;
use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    Disk,
    /// One of several ways to the LUN of this number.
    Path(u8),
    /// What multipath makes of them.
    Map(u8),
    /// Beginning so many bytes behind that of what it lies on.
    Partition(u64),
    Array,
    /// All of another device.
    Linear,
    /// What was on another device once.
    Snapshot,
    Lv,
}

/// What a device shows of the bytes it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    Whole,
    /// All, and a superblock of this version behind that.
    Member(&'static str),
    /// A partition has no partitions, and is no member of a firmware's array.
    Partition,
}

impl View {
    pub fn of(self, content: &Content) -> Content {
        match (self, content) {
            (View::Member(version), Content::Pv { pv, areas }) => {
                Content::Member { version, pv: *pv, areas: areas.clone() }
            }
            (View::Member(version), Content::Blank | Content::Partitioned(_)) => Content::Table(Some(version)),
            (View::Partition, Content::Partitioned(_) | Content::Member { version: "asr" | "imsm" | "ddf", .. }) => {
                Content::Blank
            }
            _ => content.clone(),
        }
    }
}

/// What multipath is told to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Multipathing {
    #[default]
    Unknown,
    /// It may make a map of any disk.
    Configured,
    /// It has made one of LUN 0, and of others only if it is told to.
    Strict,
    /// It has made one of LUN 0.
    Listed,
    /// It has made one of each and is to make none of LUN 1 any more.
    Blacklisted,
    /// LVM is told that only maps that are there count.
    Undetected,
}

pub const MULTIPATHING: [Multipathing; 6] = [
    Multipathing::Unknown,
    Multipathing::Configured,
    Multipathing::Strict,
    Multipathing::Listed,
    Multipathing::Blacklisted,
    Multipathing::Undetected,
];

/// How long no path is read that a map may take.
pub const WAIT: Duration = Duration::from_secs(6);

fn wwid(lun: u8) -> String {
    format!("naa.60014050000000{lun}")
}

impl Multipathing {
    pub fn settings(self) -> Settings {
        let mut multipath = Multipath::new(self != Multipathing::Undetected);
        let wwid = |lun| format!("3{}", &wwid(lun)[4..]);
        let list = |luns: &[u8]| luns.iter().map(|lun| format!("/{}/\n", wwid(*lun))).collect::<String>();
        let (conf, listed) = match self {
            Multipathing::Unknown => (None, list(&[])),
            Multipathing::Configured => (Some("defaults {\n}\n".to_owned()), list(&[])),
            Multipathing::Strict => (Some("defaults {\n find_multipaths strict\n}\n".to_owned()), list(&[0])),
            Multipathing::Listed => (None, list(&[0])),
            Multipathing::Blacklisted => (Some(format!("blacklist {{\n wwid {}\n}}\n", wwid(1))), list(&[0, 1])),
            Multipathing::Undetected => (Some(String::new()), list(&[0])),
        };
        if let Some(conf) = conf {
            assert_eq!(multipath.add_conf(conf.as_bytes()), []);
        }
        multipath.add_wwids(listed.as_bytes()).expect("they are few");
        Settings { read_deadline: Duration::from_secs(10), multipath, multipath_wait: WAIT, ..Settings::default() }
    }

    /// Whether it pays to ask udev.
    pub fn asks_udev(self) -> bool {
        !matches!(self, Multipathing::Unknown | Multipathing::Undetected)
    }

    pub fn lists(self, lun: u8) -> bool {
        match self {
            Multipathing::Unknown | Multipathing::Configured | Multipathing::Undetected => false,
            Multipathing::Strict | Multipathing::Listed | Multipathing::Blacklisted => lun == 0,
        }
    }

    pub fn may_take(self, lun: u8) -> bool {
        match self {
            Multipathing::Unknown | Multipathing::Strict | Multipathing::Undetected => false,
            Multipathing::Configured | Multipathing::Listed => true,
            Multipathing::Blacklisted => lun != 1,
        }
    }
}

/// What a device is to multipath.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    Free,
    Component,
    Passive,
    Pending,
}

impl World {
    pub fn holders(&self, devno: DevNo) -> impl Iterator<Item = (DevNo, &Disk)> {
        let is_on = move |(_, disk): &(&DevNo, &Disk)| !disk.is_partition() && disk.on.contains(&devno);
        self.disks.iter().filter(is_on).map(|(devno, disk)| (*devno, disk))
    }

    /// Whether LVs are active on it.
    pub fn has_lvs(&self, devno: DevNo) -> bool {
        self.holders(devno).any(|(_, holder)| holder.sort == Sort::Lv)
    }

    pub fn partitions(&self, devno: DevNo) -> impl Iterator<Item = (DevNo, &Disk)> {
        let is_on = move |(_, disk): &(&DevNo, &Disk)| disk.is_partition() && disk.on.contains(&devno);
        self.disks.iter().filter(is_on).map(|(devno, disk)| (*devno, disk))
    }

    /// What the kernel says of the device.
    pub fn facts(&self, devno: DevNo) -> Option<Facts> {
        let disk = self.disks.get(&devno)?;
        let holders = |devno| {
            let holder = |(devno, disk): (DevNo, &Disk)| {
                let (dm_uuid, dm_name) = (disk.dm_uuid(devno), disk.dm_name(devno));
                Holder { name: Disk::kernel_name(devno), devno, dm_uuid, dm_name }
            };
            self.holders(devno).map(holder).collect::<Vec<_>>()
        };
        let mut stack = Stack { holders: holders(devno), ..Stack::default() };
        if let Sort::Partition(start) = disk.sort {
            stack.disk = disk.on.first().copied();
            stack.start = start;
            stack.disk_holders = stack.disk.map(holders).unwrap_or_default();
        } else {
            stack.slaves = disk.on.clone();
        }
        Some(Facts {
            name: Disk::kernel_name(devno),
            size: disk.size,
            diskseq: self.diskseq(disk),
            driver: Some(disk.driver().into()),
            partition: disk.is_partition(),
            dm_uuid: disk.dm_uuid(devno),
            dm_name: disk.dm_name(devno),
            dm_suspended: disk.suspended,
            md_array_state: (disk.sort == Sort::Array).then(|| if disk.size == 0 { "clear" } else { "clean" }.into()),
            stack: Box::new(stack),
            path: self.path(disk).map(Box::new),
            ..Facts::default()
        })
    }

    /// A partition has its disk's.
    pub fn diskseq(&self, disk: &Disk) -> Option<u64> {
        let whole = disk.on.first().filter(|_| disk.is_partition()).and_then(|devno| self.disks.get(devno));
        Some(whole.unwrap_or(disk).diskseq)
    }

    fn path(&self, disk: &Disk) -> Option<Path> {
        let Sort::Path(lun) = disk.sort else { return None };
        Some(Path {
            wwid: Some(wwid(lun)),
            passive: disk.passive.then(|| "standby".into()),
            udev: disk.udev.filter(|_| self.multipath.asks_udev()),
        })
    }

    pub fn usage(&self) -> Usage {
        let mounted = self.disks.iter().filter(|(_, disk)| disk.mounted);
        let used = |devno: &DevNo| vec![Use::Mounted(format!("/mnt/{}", devno.minor))];
        Usage { by: mounted.map(|(devno, _)| (*devno, used(devno))).collect::<BTreeMap<_, _>>() }
    }

    /// What follows for multipath from what was said of the device.
    pub fn standing(&self, facts: &Facts) -> Standing {
        let mut holders = facts.stack.holders.iter().chain(&facts.stack.disk_holders);
        if holders.any(|holder| holder.dm_uuid.as_ref().is_some_and(|uuid| uuid.starts_with("mpath-"))) {
            return Standing::Component;
        }
        let Some(path) = &facts.path else { return Standing::Free };
        let lun = (0..9).find(|lun| path.wwid == Some(wwid(*lun))).expect("all paths have one");
        if self.multipath.lists(lun) || path.udev == Some(true) {
            Standing::Component
        } else if path.passive.is_some() {
            Standing::Passive
        } else if self.multipath.may_take(lun) && path.udev != Some(false) {
            Standing::Pending
        } else {
            Standing::Free
        }
    }

    /// Whether the device is nobody else's, as far as the kernel tells: a PV on it may be served.
    pub fn is_ours(&self, devno: DevNo) -> bool {
        let Some(facts) = self.facts(devno) else { return false };
        self.disks[&devno].sort != Sort::Lv
            && self.standing(&facts) != Standing::Component
            && !self.is_of_member(&self.disks[&devno])
    }

    /// Whether it is a partition of a disk whose superblock is in no partition.
    fn is_of_member(&self, disk: &Disk) -> bool {
        let whole = disk.on.first().filter(|_| disk.is_partition());
        let Some((devno, whole)) = whole.and_then(|devno| Some((*devno, self.disks.get(devno)?))) else { return false };
        let Content::Table(Some(version)) = whole.content else { return false };
        let place = superblocks(version, whole.size).iter().map(|(place, _)| *place).min().expect("it has room");
        let covers = |part: &Disk| match part.sort {
            Sort::Partition(start) => (start..start + part.size).contains(&place),
            _ => false,
        };
        !self.partitions(devno).any(|(_, part)| covers(part))
    }
}

impl Disk {
    pub fn is_partition(&self) -> bool {
        matches!(self.sort, Sort::Partition(_))
    }

    /// Whether anybody may write a PV to it.
    pub fn is_writable(&self) -> bool {
        self.sort != Sort::Lv && !matches!(self.view, View::Member(_)) && !matches!(self.content, Content::Table(_))
    }

    /// Who cannot open it, or is not answered, does not write to it either.
    pub fn takes_writes(&self) -> bool {
        let is_shut = matches!(self.fault, Some(Fault::OpenFails | Fault::Unusable));
        !self.suspended && !self.passive && !is_shut
    }

    pub fn is_readable(&self) -> bool {
        self.size >= SIZE && self.fault.is_none() && !self.suspended && !self.passive
    }

    fn kernel_name(devno: DevNo) -> String {
        format!("d{}", devno.minor)
    }

    fn driver(&self) -> &'static str {
        match self.sort {
            Sort::Disk | Sort::Path(_) | Sort::Partition(_) => "sd",
            Sort::Map(_) | Sort::Linear | Sort::Snapshot | Sort::Lv => "device-mapper",
            Sort::Array => "md",
        }
    }

    pub fn dm_uuid(&self, devno: DevNo) -> Option<String> {
        match self.sort {
            Sort::Disk | Sort::Path(_) | Sort::Partition(_) | Sort::Array => None,
            Sort::Map(lun) => Some(format!("mpath-3{}", &wwid(lun)[4..])),
            Sort::Linear | Sort::Snapshot => Some(format!("COPY-{}", devno.minor)),
            Sort::Lv => Some(format!("LVM-{:064}", devno.minor)),
        }
    }

    fn dm_name(&self, devno: DevNo) -> Option<String> {
        self.dm_uuid(devno).map(|_| format!("dm{}", devno.minor))
    }
}
