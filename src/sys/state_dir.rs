//! What is written down of this boot, in `pvwatch/state_dir`. The files are described in
//! [`record`](crate::activation::record).
//!
//! A file is written under another name and renamed, so that whoever reads finds all of it.

use super::run_files::{
    Error, failed, list, make_directory, make_open_directory, read, remove, remove_leftovers, write_temporary,
};
use crate::activation::{Inhibit, Offered};
use crate::id::Id;
use crate::metadata::is_valid_name;
use std::ffi::OsStr;
use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

const BOOT: &str = "boot";
const OFFERED: &str = "offered";
const INHIBITED: &str = "inhibited";
const LEFT: &str = "left";
/// Each of these files is smaller.
const FILE_MAX: u64 = 4096;

/// Which boot of the host this is.
pub fn boot_id() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

#[derive(Clone, Debug)]
pub struct StateDir {
    path: PathBuf,
}

impl StateDir {
    /// Makes the directory if it is missing, and removes what is of another boot.
    pub fn open(path: &Path) -> Result<StateDir, Error> {
        let boot = boot_id().map_err(failed("used", path))?;
        StateDir::open_in(path, &boot)
    }

    fn open_in(path: &Path, boot: &str) -> Result<StateDir, Error> {
        let directory = StateDir { path: path.to_owned() };
        // The socket for reports may be in it.
        make_open_directory(path)?;
        remove_leftovers(path)?;
        let file = path.join(BOOT);
        if read(&file, FILE_MAX)?.is_none_or(|bytes| bytes.trim_ascii() != boot.as_bytes()) {
            for kind in [OFFERED, INHIBITED] {
                remove_directory(&path.join(kind))?;
            }
            directory.write(&file, format!("{boot}\n").as_bytes())?;
        }
        make_directory(&directory.inhibited())?;
        Ok(directory)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether no daemon has been in charge in this boot, or somebody else since.
    pub fn is_first(&self) -> bool {
        !self.path.join(OFFERED).is_dir() || self.path.join(LEFT).exists()
    }

    /// From here on, one is.
    pub fn take_charge(&self) -> Result<(), Error> {
        make_directory(&self.path.join(OFFERED))?;
        remove(&self.path.join(LEFT))
    }

    /// From here on, somebody else is. Where no daemon has been, nothing is made.
    pub fn leave_charge(path: &Path) -> Result<(), Error> {
        let directory = StateDir { path: path.to_owned() };
        if directory.is_first() { Ok(()) } else { directory.write(&path.join(LEFT), b"") }
    }

    pub fn offered(&self) -> Result<Vec<Offered>, Error> {
        let vgids = names(&self.path.join(OFFERED))?.into_iter().filter_map(|name| Some(Id(name.try_into().ok()?)));
        let mut offered = Vec::new();
        for vgid in vgids.filter(Id::is_regular) {
            let bytes = read(&self.path_of_offer(vgid)?, FILE_MAX)?;
            offered.extend(bytes.map(|bytes| Offered::parse(vgid, &bytes)));
        }
        Ok(offered)
    }

    pub fn write_offer(&self, offered: &Offered) -> Result<(), Error> {
        self.take_charge()?;
        self.write(&self.path_of_offer(offered.vgid)?, &offered.encode())
    }

    pub fn remove_offer(&self, vgid: Id) -> Result<(), Error> {
        remove(&self.path_of_offer(vgid)?)
    }

    /// Where the inhibits are: a directory of one file for each.
    pub fn inhibited(&self) -> PathBuf {
        self.path.join(INHIBITED)
    }

    pub fn inhibits(&self) -> Result<Vec<Inhibit>, Error> {
        let mut inhibits = Vec::new();
        for vg in names(&self.inhibited())? {
            if !is_valid_name(&vg) {
                continue;
            }
            let bytes = read(&self.path_of_inhibit(&vg)?, FILE_MAX)?;
            inhibits.extend(bytes.and_then(|bytes| Inhibit::parse(&vg, &bytes)));
        }
        Ok(inhibits)
    }

    /// Until this time since the host was booted; `None`: until it is lifted.
    pub fn inhibit(&self, vg: &[u8], until: Option<Duration>) -> Result<(), Error> {
        let inhibit = Inhibit { vg: vg.to_vec(), until };
        make_directory(&self.inhibited())?;
        self.write(&self.path_of_inhibit(vg)?, &inhibit.encode())
    }

    /// False if the VG was not inhibited.
    pub fn lift(&self, vg: &[u8]) -> Result<bool, Error> {
        let path = self.path_of_inhibit(vg)?;
        match fs::remove_file(&path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(failed("removed", &path)(error)),
        }
    }

    fn path_of_offer(&self, vgid: Id) -> Result<PathBuf, Error> {
        self.path_of(OFFERED, &vgid.0, vgid.is_regular())
    }

    fn path_of_inhibit(&self, vg: &[u8]) -> Result<PathBuf, Error> {
        self.path_of(INHIBITED, vg, is_valid_name(vg))
    }

    fn path_of(&self, kind: &str, name: &[u8], is_allowed: bool) -> Result<PathBuf, Error> {
        let directory = self.path.join(kind);
        if is_allowed {
            return Ok(directory.join(OsStr::from_bytes(name)));
        }
        let path = directory.join(name.escape_ascii().to_string());
        Err(failed("named so", &path)(ErrorKind::InvalidInput.into()))
    }

    fn write(&self, path: &Path, content: &[u8]) -> Result<(), Error> {
        let write = || {
            let (temporary, _lock) = write_temporary(&self.path, content)?;
            fs::rename(&temporary, path).inspect_err(|_| {
                let _ = fs::remove_file(&temporary);
            })
        };
        write().map_err(failed("written", path))
    }
}

fn names(directory: &Path) -> Result<Vec<Vec<u8>>, Error> {
    match list(directory) {
        Err(Error { error, .. }) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        names => names,
    }
}

/// What there is in it, and itself. A link is removed, and not followed.
fn remove_directory(path: &Path) -> Result<(), Error> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        removed => removed.map_err(failed("removed", path)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    const VGID: Id = Id(*b"GpJ7WNyKiuO8xEG1iJyQdO4DYSCGa4HS");

    fn offered() -> Offered {
        Offered { vgid: VGID, name: b"vg0".to_vec(), at: Duration::from_secs(7) }
    }

    #[test]
    fn it_is_kept_for_a_boot() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state");
        let state = StateDir::open_in(&path, "one").unwrap();
        assert!(state.is_first());
        state.inhibit(b"vg1", Some(Duration::from_secs(9))).unwrap();
        assert!(StateDir::open_in(&path, "one").unwrap().is_first(), "an inhibit is no daemon's");
        state.write_offer(&offered()).unwrap();
        let again = StateDir::open_in(&path, "one").unwrap();
        assert!(!again.is_first());
        assert_eq!(again.offered().unwrap(), [offered()]);
        assert_eq!(again.inhibits().unwrap(), [Inhibit { vg: b"vg1".into(), until: Some(Duration::from_secs(9)) }]);
        let later = StateDir::open_in(&path, "two").unwrap();
        assert!(later.is_first());
        assert_eq!((later.offered().unwrap(), later.inhibits().unwrap()), (vec![], vec![]));
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        later.write_offer(&offered()).unwrap();
        assert_eq!(mode(&path), 0o755);
        assert_eq!(mode(&path.join("offered")), 0o700);
        assert_eq!(mode(&path.join("offered").join(OsStr::from_bytes(&VGID.0))), 0o600);
        later.remove_offer(VGID).unwrap();
        later.remove_offer(VGID).unwrap();
        assert_eq!(later.offered().unwrap(), []);
        assert!(!later.is_first());
        StateDir::leave_charge(&path).unwrap();
        assert!(later.is_first());
        later.take_charge().unwrap();
        assert!(!later.is_first());
        let nowhere = directory.path().join("nowhere");
        StateDir::leave_charge(&nowhere).unwrap();
        assert!(!nowhere.exists());
    }

    #[test]
    fn inhibits_come_and_go() {
        let directory = tempfile::tempdir().unwrap();
        let state = StateDir::open(directory.path()).unwrap();
        state.inhibit(b".vg", None).unwrap();
        state.inhibit(b"vg0", None).unwrap();
        state.inhibit(b"vg0", Some(Duration::from_millis(1500))).unwrap();
        let inhibit = |vg: &str, until| Inhibit { vg: vg.into(), until };
        let expected = [inhibit(".vg", None), inhibit("vg0", Some(Duration::from_millis(1500)))];
        assert_eq!(state.inhibits().unwrap(), expected);
        assert!(state.lift(b"vg0").unwrap());
        assert!(!state.lift(b"vg0").unwrap());
        assert_eq!(state.inhibits().unwrap().len(), 1);
        for name in [&b"../x"[..], b"", b".", b"a b"] {
            assert!(state.inhibit(name, None).is_err() && state.lift(name).is_err(), "{}", name.escape_ascii());
        }
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2, "boot and inhibited");
    }

    #[test]
    fn what_is_not_ours_is_passed_over() {
        let directory = tempfile::tempdir().unwrap();
        let state = StateDir::open(directory.path()).unwrap();
        state.write_offer(&offered()).unwrap();
        fs::write(directory.path().join("offered/x"), "vg:a\n").unwrap();
        fs::create_dir(directory.path().join("offered/00000000000000000000000000000000")).unwrap();
        fs::write(directory.path().join("inhibited/a b"), "").unwrap();
        assert_eq!(StateDir::open(directory.path()).unwrap().offered().unwrap(), [offered()]);
        // One that is damaged tells that there was an offer all the same.
        fs::write(directory.path().join("offered/11111111111111111111111111111111"), vec![b'x'; 10_000]).unwrap();
        let damaged = Offered { vgid: Id([b'1'; 32]), name: Vec::new(), at: Duration::ZERO };
        assert_eq!(state.offered().unwrap(), [damaged, offered()]);
        assert_eq!(state.inhibits().unwrap(), []);
        // Something in the place of a file.
        fs::write(directory.path().join("file"), "").unwrap();
        assert!(StateDir::open(&directory.path().join("file")).is_err());
    }
}
