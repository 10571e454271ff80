//! The file that says which process the daemon is, and whose lock says that it is alive.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;

/// As often as lvmetad tries, a millisecond apart.
const TRIES: u32 = 20;

/// The locked file.
///
/// The lock is POSIX's, which other programs look for, and it is fragile: it belongs to this
/// process and not to one that it forks, and it ends as soon as this process closes *any*
/// descriptor of the file. So nothing else here may open the path.
pub struct PidFile {
    file: File,
    path: PathBuf,
}

#[derive(Debug)]
pub enum Error {
    /// Another daemon lives.
    Locked(PathBuf),
    Io(PathBuf, io::Error),
}

impl PidFile {
    /// Locks the file and writes the number of this process into it, which has to be the one that
    /// stays.
    pub fn create(path: &Path) -> Result<PidFile, Error> {
        let explain = |error| Error::Io(path.to_owned(), error);
        for _ in 0..TRIES {
            let file = open(path).map_err(explain)?;
            match lock(&file) {
                // A daemon that ends removes its file, and may do so after we opened it.
                Ok(()) if is_at(&file, path).map_err(explain)? => {
                    let mut created = PidFile { file, path: path.to_owned() };
                    created.write().map_err(explain)?;
                    return Ok(created);
                }
                Ok(()) => {}
                Err(Errno::EAGAIN | Errno::EACCES) => sleep(Duration::from_millis(1)),
                Err(error) => return Err(explain(error.into())),
            }
        }
        Err(Error::Locked(path.to_owned()))
    }

    fn write(&mut self) -> io::Result<()> {
        self.file.set_len(0)?;
        writeln!(self.file, "{}", std::process::id())
    }

    /// Removes the file, if it is still ours, and then the lock.
    pub fn remove(self) -> io::Result<()> {
        if is_at(&self.file, &self.path)? { fs::remove_file(&self.path) } else { Ok(()) }
    }
}

fn open(path: &Path) -> io::Result<File> {
    // Not truncated: the number of a living daemon must stay. Close-on-exec is the default.
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o644)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(path)
}

fn lock(file: &File) -> nix::Result<()> {
    let whole = libc::flock {
        l_type: libc::F_WRLCK.try_into().expect("a small constant"),
        l_whence: libc::SEEK_SET.try_into().expect("a small constant"),
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    fcntl(file, FcntlArg::F_SETLK(&whole)).map(drop)
}

fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let ours = file.metadata()?;
    match fs::symlink_metadata(path) {
        Ok(found) => Ok((found.dev(), found.ino()) == (ours.dev(), ours.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Locked(path) => write!(f, "pid file {}: locked by another daemon", path.display()),
            Error::Io(path, error) => write!(f, "pid file {}: {error}", path.display()),
        }
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::process::Command;

    #[test]
    fn the_file_has_our_number_and_goes_with_us() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pid");
        // What an earlier daemon left.
        fs::write(&path, "1234567890\n").unwrap();
        let file = PidFile::create(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o644);
        // In another process, because closing it here would end the lock.
        let cat = Command::new("cat").arg(&path).output().unwrap();
        assert_eq!(String::from_utf8(cat.stdout).unwrap(), format!("{}\n", std::process::id()));
        file.remove().unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn a_file_that_is_not_ours_any_more_stays() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pid");
        let file = PidFile::create(&path).unwrap();
        fs::rename(&path, directory.path().join("old")).unwrap();
        fs::write(&path, "another's").unwrap();
        file.remove().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"another's");
    }

    #[test]
    fn links_are_not_followed_and_directories_not_made() {
        let directory = tempfile::tempdir().unwrap();
        let link = directory.path().join("link");
        symlink(directory.path().join("target"), &link).unwrap();
        for path in [&link, Path::new("/nowhere/pid")] {
            let error = PidFile::create(path).err().expect("refused");
            assert!(matches!(error, Error::Io(..)), "{error}");
            assert!(error.to_string().contains(path.to_str().unwrap()));
        }
    }
}
