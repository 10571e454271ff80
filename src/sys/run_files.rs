//! LVM's run directory. What its files say is in [`online`](crate::online).
//!
//! A file is written under a name of its own and linked, or renamed, to where it belongs: readers
//! find all of it or nothing, and of two that link one wins. Such a name lasts for microseconds; one
//! that a crash left is removed when the directory is opened the next time. Its writer has it
//! locked, so that it is known from those of others who live.

use crate::id::Id;
use crate::metadata::is_valid_name;
use crate::online::{Claim, Hints, Lookup, PvOnline, RunFiles, encode_lookup, parse_lookup};
use nix::fcntl::{Flock, FlockArg};
use nix::libc;
use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// LVM's own, under its `global/umask` of 077.
const DIRECTORY_MODE: u32 = 0o700;
const OPEN_DIRECTORY_MODE: u32 = 0o755;
const FILE_MODE: u32 = 0o600;

/// Not in one of LVM's directories, since it lists these.
const TEMPORARY: &str = ".pvwatch-";
/// LVM reads 511 bytes of a PV's file; what is longer is none of ours, and differs.
const PV_ONLINE_MAX: u64 = 512;
/// 30,000 PVs, far more than a VG can have.
const LOOKUP_MAX: u64 = 1 << 20;
/// Others make and remove the same files; each of these has lost one race.
const TRIES: u32 = 16;

/// What could not be done, and to which file.
#[derive(Debug)]
pub struct Error {
    pub doing: &'static str,
    pub path: PathBuf,
    pub error: io::Error,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} cannot be {}: {}", self.path.display(), self.doing, self.error)
    }
}

impl std::error::Error for Error {}

pub(super) fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    move |error| Error { doing, path: path.to_owned(), error }
}

#[derive(Clone, Copy)]
enum Kind {
    PvsOnline,
    VgsOnline,
    PvsLookup,
}

impl Kind {
    const ALL: [Kind; 3] = [Kind::PvsOnline, Kind::VgsOnline, Kind::PvsLookup];

    fn directory(self) -> &'static str {
        match self {
            Kind::PvsOnline => "pvs_online",
            Kind::VgsOnline => "vgs_online",
            Kind::PvsLookup => "pvs_lookup",
        }
    }

    /// Nothing else becomes a path, and nothing else is ours to look at.
    fn allows(self, name: &[u8]) -> bool {
        match self {
            Kind::PvsOnline => name.try_into().is_ok_and(|id| Id(id).is_regular()),
            Kind::VgsOnline | Kind::PvsLookup => is_valid_name(name),
        }
    }
}

/// LVM's run directory, `/run/lvm`, or one that stands in for it.
#[derive(Debug)]
pub struct RunDir {
    path: PathBuf,
}

impl RunDir {
    /// Looks at nothing yet: directories that are missing are made when something is to be written.
    pub fn at(path: &Path) -> RunDir {
        RunDir { path: path.to_owned() }
    }

    /// Makes the directories that are missing, and removes what was left of files half written.
    pub fn open(path: &Path) -> Result<RunDir, Error> {
        let directory = RunDir::at(path);
        directory.make_directories()?;
        remove_leftovers(path)?;
        Ok(directory)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    fn make_directories(&self) -> Result<(), Error> {
        make_directory(&self.path)?;
        Kind::ALL.iter().try_for_each(|kind| make_directory(&self.path.join(kind.directory())))
    }

    fn path_of(&self, kind: Kind, name: &[u8]) -> Result<PathBuf, Error> {
        let directory = self.path.join(kind.directory());
        if kind.allows(name) {
            return Ok(directory.join(std::ffi::OsStr::from_bytes(name)));
        }
        let path = directory.join(name.escape_ascii().to_string());
        Err(failed("named so", &path)(ErrorKind::InvalidInput.into()))
    }

    fn names(&self, kind: Kind) -> Result<Vec<Vec<u8>>, Error> {
        let names = match list(&self.path.join(kind.directory())) {
            Err(Error { error, .. }) if error.kind() == ErrorKind::NotFound => Vec::new(),
            names => names?,
        };
        Ok(names.into_iter().filter(|name| kind.allows(name)).collect())
    }

    /// Puts a whole file there: false if there is something already.
    fn create(&self, path: &Path, content: &[u8]) -> Result<bool, Error> {
        let linked = self.with_temporary(content, |temporary| {
            let linked = fs::hard_link(temporary, path);
            let _ = fs::remove_file(temporary);
            linked
        });
        match linked {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(failed("created", path)(error)),
        }
    }

    /// Puts a whole file there, in the place of what is there.
    fn replace(&self, path: &Path, content: &[u8]) -> Result<(), Error> {
        let rename = |temporary: &Path| {
            fs::rename(temporary, path).inspect_err(|_| {
                let _ = fs::remove_file(temporary);
            })
        };
        self.with_temporary(content, rename).map_err(failed("written", path))
    }

    /// Writes a file, and has it put in its place. If the directories have been removed meanwhile,
    /// or somebody has taken the file for a leftover, once more.
    fn with_temporary(&self, content: &[u8], mut place: impl FnMut(&Path) -> io::Result<()>) -> io::Result<()> {
        let mut tries = 1;
        loop {
            let placed = write_temporary(&self.path, content).and_then(|(temporary, _lock)| place(&temporary));
            match placed {
                Err(error) if error.kind() == ErrorKind::NotFound && tries < TRIES => {
                    tries += 1;
                    self.make_directories().map_err(|error| error.error)?;
                }
                placed => return placed,
            }
        }
    }

    fn read_pv(&self, path: &Path) -> Result<Option<PvOnline>, Error> {
        Ok(read(path, PV_ONLINE_MAX)?.and_then(|bytes| PvOnline::parse(&bytes)))
    }

    /// Touches `newhints`: the next command that wants hints reads all devices and makes new ones.
    fn touch_newhints(&self) -> Result<(), Error> {
        let path = self.path.join("newhints");
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(FILE_MODE);
        options.custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
        let touched = match options.open(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                self.make_directories()?;
                options.open(&path)
            }
            touched => touched,
        };
        touched.map(drop).map_err(failed("touched", &path))
    }
}

impl RunFiles for RunDir {
    type Error = Error;

    fn claim_pv(&mut self, pvid: Id, online: &PvOnline) -> Result<Claim, Error> {
        let path = self.path_of(Kind::PvsOnline, &pvid.0)?;
        for _ in 0..TRIES {
            // Where the daemon runs, it has been faster.
            match self.read_pv(&path)? {
                Some(held) if held.devno == online.devno => return Ok(Claim::Held),
                Some(taken) => return Ok(Claim::Taken(taken)),
                None if is_there(&path) => return self.replace(&path, &online.encode()).map(|()| Claim::Made),
                None => {}
            }
            if self.create(&path, &online.encode())? {
                return Ok(Claim::Made);
            }
        }
        Err(failed("created", &path)(ErrorKind::ResourceBusy.into()))
    }

    fn replace_pv(&mut self, pvid: Id, online: &PvOnline) -> Result<(), Error> {
        self.replace(&self.path_of(Kind::PvsOnline, &pvid.0)?, &online.encode())
    }

    fn pv(&self, pvid: Id) -> Result<Option<PvOnline>, Error> {
        self.read_pv(&self.path_of(Kind::PvsOnline, &pvid.0)?)
    }

    /// One that is empty is being written, by LVM.
    fn has_pv(&self, pvid: Id) -> Result<bool, Error> {
        let path = self.path_of(Kind::PvsOnline, &pvid.0)?;
        match fs::symlink_metadata(&path) {
            Ok(metadata) => Ok(metadata.is_file() && metadata.len() > 0),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(failed("examined", &path)(error)),
        }
    }

    fn pvs(&self) -> Result<Vec<(Id, Option<PvOnline>)>, Error> {
        let pvids = self.names(Kind::PvsOnline)?.into_iter().filter_map(|name| Some(Id(name.try_into().ok()?)));
        pvids.map(|pvid| Ok((pvid, self.pv(pvid)?))).collect()
    }

    fn remove_pv(&mut self, pvid: Id) -> Result<(), Error> {
        remove(&self.path_of(Kind::PvsOnline, &pvid.0)?)
    }

    fn claim_vg(&mut self, vg: &[u8]) -> Result<bool, Error> {
        self.create(&self.path_of(Kind::VgsOnline, vg)?, b"")
    }

    fn vgs(&self) -> Result<Vec<Vec<u8>>, Error> {
        self.names(Kind::VgsOnline)
    }

    fn remove_vg(&mut self, vg: &[u8]) -> Result<(), Error> {
        remove(&self.path_of(Kind::VgsOnline, vg)?)
    }

    fn claim_lookup(&mut self, lookup: &Lookup) -> Result<bool, Error> {
        self.create(&self.path_of(Kind::PvsLookup, &lookup.vg)?, &encode_lookup(&lookup.pvids))
    }

    fn replace_lookup(&mut self, lookup: &Lookup) -> Result<(), Error> {
        self.replace(&self.path_of(Kind::PvsLookup, &lookup.vg)?, &encode_lookup(&lookup.pvids))
    }

    fn lookups(&self) -> Result<Vec<Lookup>, Error> {
        let lookup = |vg: Vec<u8>| {
            let bytes = read(&self.path_of(Kind::PvsLookup, &vg)?, LOOKUP_MAX)?;
            Ok(Lookup { vg, pvids: parse_lookup(&bytes.unwrap_or_default()) })
        };
        self.names(Kind::PvsLookup)?.into_iter().map(lookup).collect()
    }

    fn remove_lookup(&mut self, vg: &[u8]) -> Result<(), Error> {
        remove(&self.path_of(Kind::PvsLookup, vg)?)
    }

    /// A command that makes hints locks `hints`, reads the devices, writes what it found, removes
    /// `newhints` and unlocks. Under a lock of ours none is in between.
    fn invalidate_hints(&mut self) -> Result<Hints, Error> {
        let path = self.path.join("hints");
        let lock = match open(&path) {
            Ok(file) => Some(Flock::lock(file, FlockArg::LockSharedNonblock)),
            // Nobody has made any; the lock is on them.
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(failed("locked", &path)(error)),
        };
        self.touch_newhints()?;
        match lock {
            Some(Err(_)) => Ok(Hints::InTheMaking),
            Some(Ok(_)) | None => Ok(Hints::Invalidated),
        }
    }
}

/// One that stays is in nobody's way.
pub(super) fn remove_leftovers(directory: &Path) -> Result<(), Error> {
    for name in list(directory)? {
        if !name.starts_with(TEMPORARY.as_bytes()) {
            continue;
        }
        let path = directory.join(std::ffi::OsStr::from_bytes(&name));
        // Whoever writes it has it locked.
        let left = open(&path).ok().and_then(|file| Flock::lock(file, FlockArg::LockExclusiveNonblock).ok());
        if left.is_some() {
            let _ = remove(&path);
        }
    }
    Ok(())
}

/// Writes a file under a name of its own in the directory. Its lock tells that its writer lives.
pub(super) fn write_temporary(directory: &Path, content: &[u8]) -> io::Result<(PathBuf, Flock<File>)> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(FILE_MODE);
    loop {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = directory.join(format!("{TEMPORARY}{}-{number}", std::process::id()));
        let file = match options.open(&path) {
            // Another has our number, in a namespace of its own, or had it and crashed.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => continue,
            opened => opened?,
        };
        let written = Flock::lock(file, FlockArg::LockExclusiveNonblock)
            .map_err(|(_, errno)| io::Error::from(errno))
            .and_then(|mut file| file.write_all(content).map(|()| file));
        let remove = |_: &io::Error| {
            let _ = fs::remove_file(&path);
        };
        let file = written.inspect_err(remove)?;
        return Ok((path, file));
    }
}

pub(super) fn make_directory(path: &Path) -> Result<(), Error> {
    make_directory_with(DIRECTORY_MODE, path)
}

/// One that others may pass, whatever our umask is. One that is there stays as it is.
pub fn make_open_directory(path: &Path) -> Result<(), Error> {
    make_directory_with(OPEN_DIRECTORY_MODE, path)
}

/// A link is no directory: nothing of ours may come to be elsewhere.
fn make_directory_with(mode: u32, path: &Path) -> Result<(), Error> {
    match DirBuilder::new().mode(mode).create(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        made => {
            let set_mode = || fs::set_permissions(path, Permissions::from_mode(mode));
            return made.and_then(|()| set_mode()).map_err(failed("created", path));
        }
    }
    match fs::symlink_metadata(path).map_err(failed("examined", path))?.is_dir() {
        true => Ok(()),
        false => Err(failed("used", path)(ErrorKind::NotADirectory.into())),
    }
}

/// In the order of the names.
pub(super) fn list(directory: &Path) -> Result<Vec<Vec<u8>>, Error> {
    let entries = fs::read_dir(directory).map_err(failed("listed", directory))?;
    let names = entries.map(|entry| Ok(entry?.file_name().into_vec()));
    let mut names = names.collect::<io::Result<Vec<_>>>().map_err(failed("listed", directory))?;
    names.sort_unstable();
    Ok(names)
}

/// Opens what is there without waiting for anybody, and follows no link.
fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path)
}

/// The beginning of a file; `None` for what is none, or is not there.
pub(super) fn read(path: &Path, max: u64) -> Result<Option<Vec<u8>>, Error> {
    let read = || -> io::Result<_> {
        let file = open(path)?;
        if !file.metadata()?.is_file() {
            return Ok(None);
        }
        // Most are small enough for one read, and one that finds the end.
        let mut bytes = Vec::with_capacity(512);
        file.take(max).read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    };
    match read() {
        // A socket cannot be opened, and a link not without following it.
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ELOOP | libc::ENXIO)) => Ok(None),
        read => read.map_err(failed("read", path)),
    }
}

fn is_there(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

/// That somebody else was faster is no error.
pub(super) fn remove(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        removed => removed.map_err(failed("removed", path)),
    }
}

#[cfg(test)]
mod tests;
