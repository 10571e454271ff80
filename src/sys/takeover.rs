//! The files of [`takeover`](crate::takeover), of this host or of an image.
//!
//! A file is written under another name and renamed, and what was in its place is linked to another
//! name before: at no time is there half a file, or nothing where something was. All of it is on the
//! disk before the next step begins.

use crate::takeover::{Found, Here, LVM_RULES, OWN_RULE, Saved, Slot, State, Step, is_ours, runs_pvscan};
use nix::fcntl::{Flock, FlockArg};
use std::fmt;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

const RULES: &str = "/etc/udev/rules.d";
/// Where udevd looks after [`RULES`], the first of a name counts.
const ELSEWHERE: [&str; 4] =
    ["/run/udev/rules.d", "/usr/local/lib/udev/rules.d", "/usr/lib/udev/rules.d", "/lib/udev/rules.d"];
const OWN: &str = "pvwatch";
const STATE: &str = "takeover";
const SAVED: &str = "saved";
/// No file of rules, nor ours, is longer.
const SIZE_MAX: u64 = 1 << 20;
const TEMPORARY: &str = ".pvwatch-takeover";

/// What could not be done, and to what.
#[derive(Debug)]
pub struct Error {
    doing: &'static str,
    path: PathBuf,
    error: io::Error,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} cannot be {}: {}", self.path.display(), self.doing, self.error)
    }
}

impl std::error::Error for Error {}

fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    move |error| Error { doing, path: path.to_owned(), error }
}

/// The root of a host, and LVM's system directory in it.
#[derive(Debug)]
pub struct Tree {
    root: PathBuf,
    system_dir: PathBuf,
}

impl Tree {
    pub fn new(root: &Path, system_dir: &Path) -> Result<Tree, Error> {
        let root = root.canonicalize().map_err(failed("used", root))?;
        let tree = Tree { root, system_dir: system_dir.to_owned() };
        // A link in an image that leads out of it would have us change this host.
        for path in [tree.at(RULES), tree.own(), tree.own().join(SAVED)] {
            let there = path.ancestors().find_map(|path| path.canonicalize().ok());
            if !there.is_some_and(|there| there.starts_with(&tree.root)) {
                return Err(failed("used", &path)(io::Error::other("it leads out of the image")));
            }
        }
        Ok(tree)
    }

    /// Where a path of the host's is.
    pub fn at(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = path.as_ref();
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }

    pub fn system_dir(&self) -> PathBuf {
        self.at(&self.system_dir)
    }

    fn own(&self) -> PathBuf {
        self.system_dir().join(OWN)
    }

    fn state(&self) -> PathBuf {
        self.own().join(STATE)
    }

    fn here(&self, name: &str) -> PathBuf {
        self.at(RULES).join(name)
    }

    fn saved(&self, name: &str) -> PathBuf {
        self.own().join(SAVED).join(name)
    }

    /// Nobody else changes anything, until it is dropped.
    pub fn lock(&self) -> Result<Flock<File>, Error> {
        let path = self.at("/etc");
        let directory = File::open(&path).map_err(failed("locked", &path))?;
        let locked = Flock::lock(directory, FlockArg::LockExclusiveNonblock);
        locked.map_err(|(_, errno)| failed("locked", &path)(errno.into()))
    }

    pub fn look(&self) -> Result<Found, Error> {
        let state = read(&self.state())?.map(|bytes| State::parse(&bytes).map_err(|error| error.to_string()));
        let own_text = read(&self.here(OWN_RULE))?.unwrap_or_default();
        let mut own = self.slot(OWN_RULE)?;
        if own.here == Here::Theirs && is_ours(&own_text) {
            own.here = Here::Ours;
        }
        let lvm = LVM_RULES.into_iter().map(|name| self.slot(name)).collect::<Result<Vec<_>, _>>()?;
        let directories = [self.system_dir.clone(), "/etc/udev".into(), RULES.into()];
        let absent = directories.iter().filter(|path| !exists(&self.at(path)));
        Ok(Found {
            state,
            lvm,
            own: Some(own),
            own_text,
            others: self.others()?,
            absent: absent.map(|path| path.to_string_lossy().into_owned()).collect(),
        })
    }

    fn slot(&self, name: &str) -> Result<Slot, Error> {
        let (here, saved) = (self.here(name), self.saved(name));
        let is_same = match (fs::symlink_metadata(&here), fs::symlink_metadata(&saved)) {
            (_, Err(_)) => Saved::No,
            (Ok(here), Ok(saved)) if (here.dev(), here.ino()) == (saved.dev(), saved.ino()) => Saved::Both,
            (_, Ok(_)) => Saved::Yes,
        };
        let elsewhere = ELSEWHERE.iter().map(|directory| Path::new(directory).join(name));
        let elsewhere = elsewhere.clone().find(|path| exists(&self.at(path))).filter(|path| !is_mask(&self.at(path)));
        Ok(Slot {
            name: name.to_owned(),
            here: match exists(&here) {
                false => Here::Nothing,
                true if is_mask(&here) => Here::Mask,
                true => Here::Theirs,
            },
            saved: is_same,
            elsewhere: elsewhere.map(|path| path.to_string_lossy().into_owned()),
        })
    }

    /// Rules by other names that do what LVM's do.
    fn others(&self) -> Result<Vec<String>, Error> {
        let mut seen = LVM_RULES.into_iter().chain([OWN_RULE]).map(std::ffi::OsString::from).collect::<Vec<_>>();
        let mut out = Vec::new();
        for directory in std::iter::once(RULES).chain(ELSEWHERE) {
            let path = self.at(directory);
            let entries = match fs::read_dir(&path) {
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                entries => entries.map_err(failed("listed", &path))?,
            };
            for entry in entries {
                let name = entry.map_err(failed("listed", &path))?.file_name();
                if !name.as_encoded_bytes().ends_with(b".rules") || seen.contains(&name) {
                    continue;
                }
                if read(&path.join(&name))?.is_some_and(|rules| runs_pvscan(&rules)) {
                    out.push(Path::new(directory).join(&name).to_string_lossy().into_owned());
                }
                seen.push(name);
            }
        }
        out.sort_unstable();
        Ok(out)
    }

    /// Does one step, whole.
    pub fn carry_out(&self, step: &Step) -> Result<(), Error> {
        match step {
            Step::MakeDirectory(path) => make_directory(&self.at(path)),
            Step::WriteState(state) => {
                make_directory(&self.own())?;
                write(&self.state(), &state.encode())
            }
            Step::Save(name) => {
                make_directory(&self.own())?;
                make_directory(&self.own().join(SAVED))?;
                let (from, to) = (self.here(name), self.saved(name));
                // Of a symbolic link, the link itself.
                fs::hard_link(&from, &to).map_err(failed("put aside", &from))?;
                sync_parent(&to)
            }
            Step::Mask(name) => {
                let path = self.here(name);
                put(&path, |temporary| symlink("/dev/null", temporary)).map_err(failed("masked", &path))
            }
            Step::WriteRule(rule) => write(&self.here(OWN_RULE), rule.as_bytes()),
            Step::Restore(name) => {
                let (from, to) = (self.saved(name), self.here(name));
                fs::rename(&from, &to).map_err(failed("put back", &to))?;
                sync_parent(&to)?;
                sync_parent(&from)
            }
            Step::DropSaved(name) => remove(&self.saved(name)),
            Step::Remove(name) => remove(&self.here(name)),
            Step::RemoveState => remove(&self.state()),
            Step::RemoveOwnDirectories => {
                // A crash may have left one.
                remove(&self.here(TEMPORARY))?;
                remove(&self.state().with_file_name(TEMPORARY))?;
                remove_directory(&self.own().join(SAVED))?;
                remove_directory(&self.own())
            }
            Step::RemoveDirectory(path) => remove_directory(&self.at(path)),
        }
    }

    /// A program, where commands usually are.
    pub fn program(&self, name: &str) -> Option<String> {
        let directories = ["/usr/sbin", "/usr/bin", "/sbin", "/bin", "/usr/local/sbin", "/usr/local/bin"];
        let paths = directories.map(|directory| format!("{directory}/{name}"));
        paths.into_iter().find(|path| self.is_program(path))
    }

    pub fn is_program(&self, path: &str) -> bool {
        fs::metadata(self.at(path)).is_ok_and(|metadata| metadata.is_file() && metadata.mode() & 0o111 != 0)
    }
}

fn exists(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

/// As udevd takes it: `/dev/null`, or nothing in it. The link of an image is not followed.
fn is_mask(path: &Path) -> bool {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_symlink() => fs::read_link(path).is_ok_and(|to| to == Path::new("/dev/null")),
        Ok(metadata) => metadata.is_file() && metadata.len() == 0,
        Err(_) => false,
    }
}

/// `None` for what is not there, and for what is no file.
fn read(path: &Path) -> Result<Option<Vec<u8>>, Error> {
    let read = || -> io::Result<_> {
        let file = OpenOptions::new().read(true).custom_flags(nix::libc::O_NONBLOCK).open(path)?;
        if !file.metadata()?.is_file() {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        file.take(SIZE_MAX).read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    };
    match read() {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        read => read.map_err(failed("read", path)),
    }
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let make = |temporary: &Path| {
        let mut file = OpenOptions::new().write(true).create_new(true).open(temporary)?;
        file.set_permissions(Permissions::from_mode(0o644))?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    put(path, make).map_err(failed("written", path))
}

/// What a crash has left by the temporary name is in nobody's way.
fn put(path: &Path, make: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<()> {
    let temporary = path.with_file_name(TEMPORARY);
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let made = make(&temporary).and_then(|()| fs::rename(&temporary, path));
    if made.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    made?;
    File::open(path.parent().unwrap_or(path))?.sync_all()
}

fn sync_parent(path: &Path) -> Result<(), Error> {
    let directory = path.parent().unwrap_or(path);
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(failed("written", directory))
}

fn make_directory(path: &Path) -> Result<(), Error> {
    match fs::create_dir(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        made => made
            .and_then(|()| fs::set_permissions(path, Permissions::from_mode(0o755)))
            .map_err(failed("made", path))
            .and_then(|()| sync_parent(path)),
    }
}

fn remove(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        removed => removed.map_err(failed("removed", path)).and_then(|()| sync_parent(path)),
    }
}

/// What somebody has put there stays.
fn remove_directory(path: &Path) -> Result<(), Error> {
    match fs::remove_dir(path) {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::DirectoryNotEmpty) => Ok(()),
        removed => removed.map_err(failed("removed", path)).and_then(|()| sync_parent(path)),
    }
}
