//! The names of block devices below `/dev`.

use crate::devno::DevNo;
use crate::sys::descriptors::is_shortage;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

const DEV: &str = "/dev";
/// Links are never followed to directories, so this is far more than any real tree has.
const DEPTH_MAX: usize = 8;

/// The node of a kernel name; a `!` in it stands for a slash.
pub fn node_of(name: &str) -> String {
    format!("{DEV}/{}", name.replace('!', "/"))
}

/// Every name of each device: nodes and links to them.
#[derive(Debug, Default)]
pub struct Aliases {
    by_devno: BTreeMap<DevNo, Vec<String>>,
    by_name: BTreeMap<String, DevNo>,
}

impl Aliases {
    /// A directory that cannot be read has no names for us; an error is about us, not about it.
    pub fn read() -> io::Result<Aliases> {
        let mut aliases = Aliases::default();
        walk(Path::new(DEV), 0, &mut |path, is_directory| {
            if !is_directory && let Some(devno) = devno_at(path) {
                aliases.insert(path.to_string_lossy().into_owned(), devno);
            }
        })?;
        Ok(aliases)
    }

    pub fn of(&self, devno: DevNo) -> impl Iterator<Item = &String> {
        self.by_devno.get(&devno).into_iter().flatten()
    }

    /// Notes the names in a directory that is new, and below it: the devices that have them.
    pub fn read_below(&mut self, directory: &Path) -> io::Result<Vec<DevNo>> {
        let mut devnos = Vec::new();
        walk(directory, 0, &mut |path, is_directory| {
            if !is_directory && let Some(devno) = devno_at(path) {
                devnos.extend(self.update(path, Some(devno)));
            }
        })?;
        Ok(devnos)
    }

    /// Forgets the names in a directory that is gone or another, and below it: the devices that
    /// had them.
    pub fn forget_below(&mut self, directory: &Path) -> Vec<DevNo> {
        let prefix = format!("{}/", directory.to_string_lossy());
        let below = self.by_name.range(prefix.clone()..).take_while(|(name, _)| name.starts_with(&prefix));
        let names = below.map(|(name, _)| PathBuf::from(name)).collect::<Vec<_>>();
        names.iter().filter_map(|name| self.update(name, None)).collect()
    }

    /// Notes what a name stands for now. The device whose names have changed, if any have.
    pub fn update(&mut self, path: &Path, devno: Option<DevNo>) -> Option<DevNo> {
        let name = path.to_string_lossy().into_owned();
        let before = self.by_name.remove(&name);
        if let Some(names) = before.and_then(|before| self.by_devno.get_mut(&before)) {
            names.retain(|other| *other != name);
        }
        if let Some(devno) = devno {
            self.insert(name, devno);
        }
        devno.or(before)
    }

    fn insert(&mut self, name: String, devno: DevNo) {
        self.by_devno.entry(devno).or_default().push(name.clone());
        self.by_name.insert(name, devno);
    }
}

/// `/dev` and the directories in it.
pub fn directories() -> io::Result<Vec<PathBuf>> {
    let mut directories = vec![PathBuf::from(DEV)];
    walk(Path::new(DEV), 0, &mut |path, is_directory| {
        if is_directory {
            directories.push(path.to_owned());
        }
    })?;
    Ok(directories)
}

fn devno_at(path: &Path) -> Option<DevNo> {
    let metadata = fs::metadata(path).ok()?;
    metadata.file_type().is_block_device().then(|| DevNo::from_dev_t(metadata.rdev()))
}

fn walk(directory: &Path, depth: usize, visit: &mut dyn FnMut(&Path, bool)) -> io::Result<()> {
    let entries = match fs::read_dir(directory) {
        Err(error) if is_shortage(&error) => return Err(error),
        Err(_) => return Ok(()),
        Ok(entries) => entries,
    };
    for entry in entries.flatten() {
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_block_device() || kind.is_symlink() {
            visit(&entry.path(), false);
        } else if kind.is_dir() && depth < DEPTH_MAX {
            visit(&entry.path(), true);
            walk(&entry.path(), depth + 1, visit)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_below_a_directory_go_with_it() {
        let mut aliases = Aliases::default();
        let (one, two) = (DevNo::new(8, 0), DevNo::new(8, 16));
        for (name, devno) in [("/dev/by/id/a", one), ("/dev/by/id/b", two), ("/dev/by/ident", two), ("/dev/by", one)] {
            aliases.update(Path::new(name), Some(devno));
        }
        assert_eq!(aliases.forget_below(Path::new("/dev/by/id")), [one, two]);
        assert_eq!(aliases.of(one).collect::<Vec<_>>(), ["/dev/by"]);
        assert_eq!(aliases.of(two).collect::<Vec<_>>(), ["/dev/by/ident"]);
        assert_eq!(aliases.forget_below(Path::new("/dev/by/id")), []);
    }
}
