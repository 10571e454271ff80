//! A directory of sysfs, and what is in it by names below it.
//!
//! The way to a device's directory is long, and each device has a handful of files there: so the
//! way is gone once, and a file costs three short system calls, one that is not there only one.

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, openat, readlink};
use nix::libc;
use nix::sys::stat::{Mode, fstatat};
use nix::unistd::read;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// An attribute of sysfs is never longer than a page.
const PAGE: usize = 4096;

pub(super) struct Directory(OwnedFd);

impl Directory {
    /// `None` when it is not there, or not any more.
    pub(super) fn open(path: &Path) -> io::Result<Option<Directory>> {
        Directory::open_at(AT_FDCWD, path)
    }

    /// One below it, or `..`.
    pub(super) fn at(&self, name: &str) -> io::Result<Option<Directory>> {
        Directory::open_at(self.0.as_fd(), Path::new(name))
    }

    fn open_at(from: BorrowedFd<'_>, path: &Path) -> io::Result<Option<Directory>> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        Ok(if_there(openat(from, path, flags, Mode::empty()))?.map(Directory))
    }

    /// A file without its newline. `None` when it is not there, or not any more.
    ///
    /// Most of it are the kernel's own words. Names that a disk gives itself, or somebody a map, need
    /// not be text: that is escaped, so that two of them do not become one.
    pub(super) fn read(&self, name: &str) -> io::Result<Option<String>> {
        let Some(file) = if_there(openat(&self.0, name, OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty()))? else {
            return Ok(None);
        };
        let mut page = [0; PAGE];
        let length = loop {
            match read(&file, &mut page) {
                Err(Errno::EINTR) => {}
                result => break if_there(result)?,
            }
        };
        let Some(bytes) = length.and_then(|length| page.get(..length)) else { return Ok(None) };
        Ok(Some(match std::str::from_utf8(bytes) {
            Ok(text) => text.trim_end_matches('\n').to_owned(),
            Err(_) => bytes.strip_suffix(b"\n").unwrap_or(bytes).escape_ascii().to_string(),
        }))
    }

    /// Whether there is something of the name, also a link that leads nowhere.
    pub(super) fn has(&self, name: &str) -> io::Result<bool> {
        Ok(if_there(fstatat(&self.0, name, AtFlags::AT_SYMLINK_NOFOLLOW))?.is_some())
    }

    /// The names in a directory below it; none if there is no such directory, or not any more.
    pub(super) fn names(&self, name: &str) -> io::Result<Vec<String>> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let Some(mut directory) = if_there(Dir::openat(&self.0, name, flags, Mode::empty()))? else {
            return Ok(Vec::new());
        };
        let mut names = Vec::new();
        for entry in directory.iter() {
            let Some(entry) = if_there(entry)? else { return Ok(Vec::new()) };
            let name = entry.file_name().to_string_lossy();
            if name != "." && name != ".." {
                names.push(name.into_owned());
            }
        }
        Ok(names)
    }
}

/// The name of what a link leads to.
pub(super) fn link_name(path: &Path) -> io::Result<Option<String>> {
    let target = if_there(readlink(path))?;
    Ok(target.and_then(|target| Some(Path::new(&target).file_name()?.to_str()?.to_owned())))
}

/// A file opened before its device went says ENODEV.
fn is_gone(errno: Option<i32>) -> bool {
    matches!(errno, Some(libc::ENOENT | libc::ENODEV | libc::ENOTDIR))
}

fn if_there<T>(result: nix::Result<T>) -> io::Result<Option<T>> {
    match result {
        Err(errno) if is_gone(Some(errno as i32)) => Ok(None),
        result => Ok(Some(result?)),
    }
}
