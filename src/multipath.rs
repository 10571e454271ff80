//! What multipath is told to do, and from that, which disks are paths of a map or may become some.
//!
//! Every path to a disk has the disk's label, and nothing on it says that it is a path. So it takes
//! what the kernel says of the device, and multipath's own files.

#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects, clippy::expect_used, clippy::indexing_slicing))]

mod conf;
mod wwid;

use crate::device::{Facts, Path};
use crate::signature::{Class, MAP_PREFIX, Member, Role};
use conf::Blacklist;
use std::collections::BTreeSet;
use std::fmt;
use wwid::Names;

/// A list is longer only by mistake.
const WWIDS_MAX: usize = 1 << 20;

/// `/etc/multipath.conf`, the files of `/etc/multipath/conf.d` and `/etc/multipath/wwids`.
#[derive(Debug, PartialEq, Eq)]
pub struct Multipath {
    /// `devices/multipath_component_detection`: whether anything but a map that is there counts.
    detection: bool,
    /// There is a `multipath.conf`.
    has_conf: bool,
    find: Option<FindMultipaths>,
    blacklist: Blacklist,
    exceptions: Blacklist,
    /// The WWIDs of all maps there ever were, as multipath writes them and without their type.
    listed: BTreeSet<String>,
}

/// `find_multipaths`: of which new disks multipath makes maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FindMultipaths {
    /// Of none but those that are listed.
    Strict,
    /// Of some: `no`, `yes`, `greedy` and `smart` tell which, and multipath knows.
    Others,
}

/// What of a configuration file counts for nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// On the line of this number.
    Pattern {
        line: usize,
        pattern: String,
    },
    Unclosed,
    TooMany,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Problem::Pattern { line, pattern } => {
                write!(f, "line {line}: \"{}\" is not a regular expression", pattern.escape_debug())
            }
            Problem::Unclosed => f.write_str("a section has no end"),
            Problem::TooMany => f.write_str("there are too many entries, and the last ones do not count"),
        }
    }
}

/// What a disk, or a partition of it, is to multipath.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// No path.
    Free,
    /// A path, by a map that holds it or by the list of WWIDs.
    Component(Member),
    /// Its target answers no reads on it now.
    Passive(String),
    /// A map may be about to take it.
    Pending,
}

/// Whether udev takes a disk for a path, by the properties `DM_MULTIPATH_DEVICE_PATH` and `ID_FS_TYPE`;
/// `None` where no rule of multipath's has looked at it.
pub fn by_udev(device_path: Option<&str>, fs_type: Option<&str>) -> Option<bool> {
    match device_path {
        _ if fs_type == Some("mpath_member") => Some(true),
        Some("1") => Some(true),
        Some("0") => Some(false),
        _ => None,
    }
}

impl Default for Multipath {
    fn default() -> Multipath {
        Multipath::new(true)
    }
}

impl Multipath {
    /// Multipath without any file.
    pub fn new(detection: bool) -> Multipath {
        Multipath {
            detection,
            has_conf: false,
            find: None,
            blacklist: Blacklist::default(),
            exceptions: Blacklist::default(),
            listed: BTreeSet::new(),
        }
    }

    /// Whether its files count at all.
    pub fn has_detection(&self) -> bool {
        self.detection
    }

    /// Whether it pays to ask udev what it takes for a path.
    pub fn is_configured(&self) -> bool {
        self.detection && (self.has_conf || !self.listed.is_empty())
    }

    /// The list of WWIDs: one on each line between slashes, and comments from a `#` on.
    pub fn add_wwids(&mut self, bytes: &[u8]) -> Result<(), Problem> {
        for line in bytes.split(|byte| *byte == b'\n') {
            let Ok(line) = str::from_utf8(line) else { continue };
            let Some(wwid) = wwid::of_line(line) else { continue };
            if self.listed.len() >= WWIDS_MAX {
                return Err(Problem::TooMany);
            }
            self.listed.insert(wwid::without_type(wwid).to_owned());
            self.listed.insert(wwid.to_owned());
        }
        Ok(())
    }

    /// A configuration file; what a later one says of the same thing counts.
    pub fn add_conf(&mut self, bytes: &[u8]) -> Vec<Problem> {
        self.has_conf = true;
        let mut problems = Vec::new();
        conf::parse(bytes, &mut problems, |line, entry| {
            let (list, pattern) = match entry {
                conf::Entry::FindMultipaths(value) => {
                    self.find = Some(if value == "strict" { FindMultipaths::Strict } else { FindMultipaths::Others });
                    return Ok(());
                }
                conf::Entry::Blacklisted(pattern) => (&mut self.blacklist, pattern),
                conf::Entry::Excepted(pattern) => (&mut self.exceptions, pattern),
            };
            list.add(line, pattern)
        });
        problems
    }

    /// What the device is to multipath. The first that is true, and why it is:
    ///
    /// | | standing | reason |
    /// |---|---|---|
    /// | a map holds it, or its disk | component | all reads and writes are the map's |
    /// | its WWID is listed and not blacklisted | component | multipath will make its map again; LVM does not use it either, map or not |
    /// | udev says that it is a path | component | so multipath has decided |
    /// | the target answers no reads on it | passive | a read fails, or waits until the array has moved the disk |
    /// | multipath makes maps of new disks, it has a WWID that is not blacklisted, and udev does not say that it is none | pending | whoever serves it now would have to take that back when the map comes |
    /// | else | free | |
    ///
    /// Without `devices/multipath_component_detection`, what only announces a map counts for nothing.
    /// A map that is there counts always: LVM, told so, takes its paths for duplicates, and the
    /// map for the PV.
    pub fn standing(&self, facts: &Facts) -> Standing {
        for holder in facts.stack.all_holders() {
            if let Some(wwid) = holder.dm_uuid.as_ref().and_then(|uuid| uuid.strip_prefix(MAP_PREFIX)) {
                let name = holder.dm_name.as_ref().map(|name| name.clone().into_bytes());
                return Standing::Component(path_of(name, Some(wwid.to_owned())));
            }
        }
        let Some(path) = &facts.path else { return Standing::Free };
        let names = path.wwid.as_deref().and_then(Names::of);
        if self.is_component(path, names.as_ref()) {
            return Standing::Component(path_of(None, names.map(|names| names.multipath)));
        }
        if let Some(state) = &path.passive {
            return Standing::Passive(state.clone());
        }
        if self.is_configured()
            && self.find != Some(FindMultipaths::Strict)
            && path.udev != Some(false)
            && names.is_some_and(|names| !self.is_blacklisted(&names))
        {
            return Standing::Pending;
        }
        Standing::Free
    }

    fn is_component(&self, path: &Path, names: Option<&Names>) -> bool {
        let is_listed = |names: &Names| names.all().any(|name| self.listed.contains(name));
        self.detection
            && (path.udev == Some(true) || names.is_some_and(|names| is_listed(names) && !self.is_blacklisted(names)))
    }

    fn is_blacklisted(&self, names: &Names) -> bool {
        self.blacklist.matches(names) && !self.exceptions.matches(names)
    }
}

fn path_of(name: Option<Vec<u8>>, wwid: Option<String>) -> Member {
    Member {
        format: "multipath",
        class: Class::Multipath,
        name,
        uuid: wwid,
        role: Some(Role::Path),
        ..Member::default()
    }
}

#[cfg(test)]
mod tests;
