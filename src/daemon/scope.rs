//! Which devices there are for us: all of the machine, or those given with `--devices`. An image
//! file stands for a device; it has a number of major 0, which no block device has.

use crate::conf::Settings;
use crate::device::Facts;
use crate::devno::DevNo;
use crate::sys::names;
use crate::sys::sysfs::Sysfs;
use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

const IMAGE_MAJOR: u32 = 0;
/// As many as the kernel follows.
const LINKS_MAX: usize = 40;

pub fn is_image(devno: DevNo) -> bool {
    devno.major == IMAGE_MAJOR
}

pub struct Scope {
    /// Given with `--devices`, made absolute; empty for the whole machine.
    only: Vec<PathBuf>,
    /// Each of `only`, and where it leads if it is a symbolic link, link by link.
    trails: Vec<Vec<PathBuf>>,
    /// By which of `only` each block device was found last.
    found: BTreeMap<DevNo, usize>,
    /// Whether filters look at names, so that all of a device's have to be known.
    need_aliases: bool,
    aliases: names::Aliases,
    sysfs: Sysfs,
}

impl Scope {
    /// Of these, or of everything if there are none.
    pub fn new(devices: &[PathBuf], settings: &Settings) -> Scope {
        let absolute = |path: &PathBuf| std::path::absolute(path).unwrap_or_else(|_| path.clone());
        let mut scope = Scope {
            only: devices.iter().map(absolute).collect(),
            trails: Vec::new(),
            found: BTreeMap::new(),
            need_aliases: false,
            aliases: names::Aliases::default(),
            sysfs: Sysfs::new(),
        };
        scope.configure(settings);
        scope
    }

    pub fn configure(&mut self, settings: &Settings) {
        self.need_aliases = settings.filter.needs_names();
        self.sysfs.read_ids = settings.filter.devices_file.is_some();
        self.sysfs.read_udev = settings.multipath.is_configured();
    }

    /// Whether none of it is, or looks like becoming, a block device: then no uevent concerns us.
    pub fn only_images(&self) -> bool {
        let is_image = |path: &PathBuf| !path.starts_with("/dev") && block_devno(path).is_none();
        !self.only.is_empty() && self.only.iter().all(is_image)
    }

    /// Whose changes of names concern us; to be asked again when one that [`Scope::leads_on`] has changed.
    pub fn directories(&mut self) -> Vec<PathBuf> {
        let mut directories = if self.only.is_empty() {
            if self.need_aliases { names::directories().unwrap_or_default() } else { vec![PathBuf::from("/dev")] }
        } else {
            self.trails = self.only.iter().map(|path| trail(path)).collect();
            self.trails.iter().flatten().filter_map(|path| path.parent()).map(Path::to_owned).collect()
        };
        directories.sort();
        directories.dedup();
        directories
    }

    /// Everything there is to look at.
    pub fn enumerate(&mut self) -> io::Result<Vec<DevNo>> {
        if self.need_aliases {
            self.aliases = names::Aliases::read()?;
        }
        if self.only.is_empty() {
            return self.sysfs.list();
        }
        self.found.clear();
        for index in 0..self.only.len() {
            if let Some(devno) = self.devno_of(index) {
                self.found.entry(devno).or_insert(index);
            }
        }
        Ok(self.found.keys().copied().collect())
    }

    /// The devices that a write to this one changes.
    pub fn written(&self, devno: DevNo) -> Vec<DevNo> {
        let relatives = if is_image(devno) { Vec::new() } else { self.sysfs.relatives(devno) };
        std::iter::once(devno).chain(relatives).collect()
    }

    /// What the kernel says of the device now, and its names; `None` if it is gone or none of ours.
    /// An error proves nothing about it.
    pub fn examine(&mut self, devno: DevNo) -> io::Result<Option<(Facts, Vec<String>)>> {
        if is_image(devno) {
            let Some(path) = self.image(devno) else { return Ok(None) };
            return Ok(image_facts(&path).map(|facts| (facts, vec![path.to_string_lossy().into_owned()])));
        }
        let given = if self.only.is_empty() { None } else { self.given_path(devno) };
        if given.is_none() && !self.only.is_empty() {
            return Ok(None);
        }
        let Some(facts) = self.sysfs.facts(devno)? else { return Ok(None) };
        let node = names::node_of(&facts.name);
        let mut names = vec![node];
        if let Some(given) = given {
            let given = given.to_string_lossy().into_owned();
            names.retain(|name| *name != given);
            names.insert(0, given);
        }
        if self.need_aliases {
            names.extend(self.aliases.of(devno).filter(|alias| !names.contains(alias)).cloned().collect::<Vec<_>>());
        }
        Ok(Some((facts, names)))
    }

    /// The path of `--devices` that leads to the device now.
    fn given_path(&mut self, devno: DevNo) -> Option<PathBuf> {
        let leads_there = |index: &usize| block_devno(&self.only[*index]) == Some(devno);
        let index = self.found.get(&devno).copied().filter(leads_there);
        let index = index.or_else(|| (0..self.only.len()).find(leads_there))?;
        self.found.insert(devno, index);
        Some(self.only[index].clone())
    }

    /// The path of an image.
    pub fn image(&self, devno: DevNo) -> Option<PathBuf> {
        is_image(devno).then(|| self.only.get(usize::try_from(devno.minor).ok()?).cloned())?
    }

    fn devno_of(&self, index: usize) -> Option<DevNo> {
        let path = &self.only[index];
        match std::fs::metadata(path) {
            Ok(metadata) if metadata.file_type().is_block_device() => Some(DevNo::from_dev_t(metadata.rdev())),
            Ok(metadata) if metadata.is_dir() => None,
            // An image that is not there yet may come.
            Ok(_) | Err(_) => image_devno(index),
        }
    }

    /// The devices whose name this is, or was.
    pub fn named(&mut self, path: &Path) -> Vec<DevNo> {
        if !self.only.is_empty() {
            let leads_there = |index: &usize| self.trails[*index].iter().any(|step| step == path);
            let indices = (0..self.trails.len()).filter(leads_there).collect::<Vec<_>>();
            return indices.into_iter().flat_map(|index| self.devnos_of(index)).collect();
        }
        let devno = block_devno(path);
        if !self.need_aliases {
            return devno.into_iter().collect();
        }
        let mut devnos = self.aliases.forget_below(path);
        devnos.extend(self.aliases.update(path, devno));
        if self.is_directory_of_ours(path) {
            devnos.extend(self.aliases.read_below(path).unwrap_or_default());
        }
        devnos
    }

    /// Whether it is a directory whose names filters look at.
    fn is_directory_of_ours(&self, path: &Path) -> bool {
        let is_directory = || std::fs::symlink_metadata(path).is_ok_and(|found| found.is_dir());
        self.only.is_empty() && self.need_aliases && path.starts_with("/dev") && is_directory()
    }

    /// Everything that a path of `--devices` stands for now, and did before.
    fn devnos_of(&mut self, index: usize) -> Vec<DevNo> {
        let mut before = Vec::new();
        self.found.retain(|devno, by| {
            before.extend((*by == index).then_some(*devno));
            *by != index
        });
        before.into_iter().chain(image_devno(index)).chain(self.devno_of(index)).collect()
    }

    /// Whether names in other directories concern us, now that this one has changed.
    pub fn leads_on(&self, path: &Path) -> bool {
        self.is_directory_of_ours(path) || self.trails.iter().any(|steps| steps.iter().any(|step| step == path))
    }

    /// The device that somebody means by a path.
    pub fn resolve(&self, path: &Path) -> Option<DevNo> {
        let absolute = std::path::absolute(path).ok()?;
        let given = self.only.iter().position(|only| *only == absolute);
        given.and_then(|index| self.devno_of(index)).or_else(|| block_devno(path))
    }

    pub fn covers(&mut self, devno: DevNo) -> bool {
        self.examine(devno).is_ok_and(|found| found.is_some())
    }
}

fn image_devno(index: usize) -> Option<DevNo> {
    Some(DevNo::new(IMAGE_MAJOR, u32::try_from(index).ok()?))
}

/// The path, and the one it is a link to, and so on. Links among its directories are not looked
/// into.
fn trail(path: &Path) -> Vec<PathBuf> {
    let mut trail = vec![path.to_owned()];
    while let Some(last) = trail.last()
        && let Ok(target) = std::fs::read_link(last)
        && trail.len() <= LINKS_MAX
    {
        let directory = last.parent().unwrap_or(Path::new("/"));
        let directory = directory.canonicalize().unwrap_or_else(|_| directory.to_owned());
        trail.push(directory.join(target));
    }
    trail
}

fn block_devno(path: &Path) -> Option<DevNo> {
    let metadata = std::fs::metadata(path).ok()?;
    metadata.file_type().is_block_device().then(|| DevNo::from_dev_t(metadata.rdev()))
}

/// A file's inode number is its incarnation. What is neither a file nor a block device has no
/// size to go by, and is read to see.
fn image_facts(path: &Path) -> Option<Facts> {
    let metadata = std::fs::metadata(path).ok()?;
    if metadata.is_dir() || metadata.file_type().is_block_device() {
        return None;
    }
    let size = if metadata.is_file() { metadata.len() } else { u64::MAX };
    Some(Facts { name: path.to_string_lossy().into_owned(), size, diskseq: Some(metadata.ino()), ..Facts::default() })
}
