#![allow(unsafe_code)]
//! The sockets that clients connect to, and connecting to them.

use std::env;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use mio::net::UnixListener;
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::sys::socket::{
    AddressFamily, Backlog, MsgFlags, SockFlag, SockType, UnixAddr, bind, connect, getsockname, getsockopt, listen,
    recv, setsockopt, socket, sockopt,
};
use nix::sys::stat::{Mode, fchmod};
use nix::sys::time::TimeVal;
use nix::unistd::geteuid;

/// A burst of uevents starts a command each, and each connects.
const BACKLOG: i32 = 1024;
/// How often to ask for the lock of the directory, a millisecond apart.
const LOCK_TRIES: u32 = 1000;

/// Bits of a mode that are others' than the owner's.
const OTHERS: u32 = 0o077;

/// Whom a socket is for, besides its owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    Nobody,
    /// Whatever group [`Listener::let_in`] names.
    Group,
}

impl Audience {
    fn mode(self) -> Mode {
        match self {
            Audience::Nobody => Mode::S_IRWXU,
            Audience::Group => Mode::S_IRUSR | Mode::S_IWUSR,
        }
    }

    /// What of [`OTHERS`] the socket of another daemon may have.
    fn of_others(self) -> u32 {
        match self {
            Audience::Nobody => 0,
            Audience::Group => 0o060,
        }
    }
}

/// A listening socket. It stays in its directory until `remove`.
pub struct Listener {
    pub listener: UnixListener,
    path: PathBuf,
    /// Device and inode of the socket we made; `None` when systemd made it.
    made: Option<(u64, u64)>,
}

impl Listener {
    /// Makes a socket that only our own user can connect to. What is at the path already stays,
    /// unless it is a socket of ours that nobody listens to.
    pub fn bind(path: &Path, audience: Audience) -> io::Result<Listener> {
        make(path, audience)
            .map_err(|error| io::Error::new(error.kind(), format!("socket {}: {error}", path.display())))
    }

    /// From here on members of the group can connect too, or nobody else.
    pub fn let_in(&self, group: Option<u32>) -> io::Result<()> {
        // Never open to the one while it is still the other's.
        fs::set_permissions(&self.path, fs::Permissions::from_mode(0o600))?;
        let Some(group) = group else { return Ok(()) };
        std::os::unix::fs::lchown(&self.path, None, Some(group))?;
        fs::set_permissions(&self.path, fs::Permissions::from_mode(0o660))
    }

    /// Removes the socket from its directory, if it is still the one we made.
    pub fn remove(self) -> io::Result<()> {
        match (self.made, fs::symlink_metadata(&self.path)) {
            (Some(made), Ok(found)) if identity(&found) == made => fs::remove_file(&self.path),
            _ => Ok(()),
        }
    }
}

fn make(path: &Path, audience: Audience) -> io::Result<Listener> {
    let address = UnixAddr::new(path).map_err(|error| match error {
        Errno::ENAMETOOLONG => other(&format!("the path is longer than {} bytes", max_path())),
        error => error.into(),
    })?;
    // Between bind and listen our socket answers nobody and looks stale, and so does one that
    // another start is about to replace. So starts take turns.
    let _turn = lock_directory(path)?;
    let socket = new_socket()?;
    // Linux makes the file with the socket's own mode, less the umask.
    fchmod(&socket, audience.mode())?;
    if let Err(error) = bind(socket.as_raw_fd(), &address) {
        if error != Errno::EADDRINUSE {
            return Err(error.into());
        }
        remove_stale(path, &address, audience)?;
        bind(socket.as_raw_fd(), &address)?;
    }
    let made = identity(&fs::symlink_metadata(path)?);
    listen(&socket, Backlog::new(BACKLOG)?)?;
    let listener = UnixListener::from_std(std::os::unix::net::UnixListener::from(socket));
    Ok(Listener { listener, path: path.to_owned(), made: Some(made) })
}

/// `Err` says why what is at the path has to stay.
fn remove_stale(path: &Path, address: &UnixAddr, audience: Audience) -> io::Result<()> {
    let found = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        result => result?,
    };
    if !found.file_type().is_socket() {
        return Err(other("there is something that is not a socket"));
    }
    if found.uid() != geteuid().as_raw() {
        return Err(other(&format!("the socket there belongs to user {}", found.uid())));
    }
    let mode = found.permissions().mode() & 0o777;
    if mode & OTHERS & !audience.of_others() != 0 {
        return Err(other(&format!("the socket there has mode {mode:o}, open to others")));
    }
    // Non-blocking: a daemon with a full backlog answers EAGAIN and lives.
    match connect(new_socket()?.as_raw_fd(), address) {
        Err(Errno::ECONNREFUSED) => fs::remove_file(path),
        Err(Errno::ENOENT) => Ok(()),
        Ok(()) | Err(Errno::EAGAIN) => Err(io::Error::new(io::ErrorKind::AddrInUse, "another daemon answers there")),
        Err(error) => Err(error.into()),
    }
}

fn new_socket() -> nix::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    socket(AddressFamily::Unix, SockType::Stream, flags, None)
}

/// A connection to whoever listens there. While its backlog is full, and later while it takes
/// nothing, the caller waits so long and no longer; for ever if there is no timeout.
pub fn connect_within(path: &Path, timeout: Option<Duration>) -> io::Result<UnixStream> {
    let socket = socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    if let Some(timeout) = timeout {
        // None at all would be for ever.
        let timeout = timeout.max(Duration::from_millis(1));
        let seconds = i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX);
        setsockopt(&socket, sockopt::SendTimeout, &TimeVal::new(seconds, i64::from(timeout.subsec_micros())))?;
    }
    connect(socket.as_raw_fd(), &UnixAddr::new(path)?)?;
    Ok(UnixStream::from(socket))
}

/// The first byte that waits to be read, if there is one already. It goes on waiting.
pub fn first_byte(socket: &impl AsRawFd) -> Option<u8> {
    let mut byte = [0];
    let flags = MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT;
    (recv(socket.as_raw_fd(), &mut byte, flags) == Ok(1)).then_some(byte[0])
}

fn lock_directory(path: &Path) -> io::Result<Flock<File>> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut file = File::open(directory)
        .map_err(|error| io::Error::new(error.kind(), format!("directory {}: {error}", directory.display())))?;
    for _ in 0..LOCK_TRIES {
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => return Ok(lock),
            Err((unlocked, Errno::EWOULDBLOCK | Errno::EINTR)) => file = unlocked,
            Err((_, error)) => return Err(error.into()),
        }
        sleep(Duration::from_millis(1));
    }
    Err(other("another process holds the lock of the directory"))
}

fn identity(metadata: &fs::Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

/// What `sun_path` holds, without the zero at its end.
fn max_path() -> usize {
    size_of::<nix::libc::sockaddr_un>() - size_of::<nix::libc::sa_family_t>() - 1
}

fn other(reason: &str) -> io::Error {
    io::Error::other(reason.to_owned())
}

/// The descriptor at which systemd's hand-over begins.
const SYSTEMD_FIRST: RawFd = 3;
/// It hands over no more that are for us.
const SYSTEMD_MAX: RawFd = 8;

/// The sockets that systemd listens at for us, those that are the ones at these paths. Call it at
/// most once, before anything is opened, before forking (the variables name our process) and before
/// there are threads. The variables are removed in any case.
pub fn adopt_systemd<const N: usize>(paths: [&Path; N]) -> [Option<Listener>; N] {
    let [active, process, count] = ["SD_ACTIVATION", "LISTEN_PID", "LISTEN_FDS"].map(|name| {
        let value = env::var(name).ok();
        // SAFETY: nobody reads the environment at the same time, because by this function's
        // contract there is only this thread.
        unsafe { env::remove_var(name) };
        value
    });
    let mut adopted = paths.map(|_| None);
    let ours = process == Some(std::process::id().to_string());
    let count = count.and_then(|count| count.parse().ok()).unwrap_or(0);
    if active.as_deref() != Some("1") || !ours || !(1..=SYSTEMD_MAX).contains(&count) {
        return adopted;
    }
    for descriptor in SYSTEMD_FIRST..SYSTEMD_FIRST + count {
        let Ok(address) = getsockname::<UnixAddr>(descriptor) else { continue };
        let wanted = paths.iter().zip(&mut adopted).find(|(path, _)| address.path() == Some(**path));
        if let Some((path, adopted @ None)) = wanted {
            // SAFETY: the descriptor is open (it has a name), systemd opened it for us, and by this
            // function's contract nothing else owns it. Each is taken once.
            let socket = unsafe { OwnedFd::from_raw_fd(descriptor) };
            *adopted = adopt(socket, path);
        }
    }
    adopted
}

fn adopt(socket: OwnedFd, path: &Path) -> Option<Listener> {
    let listens = getsockopt(&socket, sockopt::AcceptConn).ok()?;
    if !listens || getsockopt(&socket, sockopt::SockType).ok()? != SockType::Stream {
        return None;
    }
    let socket = std::os::unix::net::UnixListener::from(socket);
    socket.set_nonblocking(true).ok()?;
    nix::fcntl::fcntl(&socket, nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::FD_CLOEXEC)).ok()?;
    Some(Listener { listener: UnixListener::from_std(socket), path: path.to_owned(), made: None })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener as StdListener;
    use std::time::Instant;

    fn refusal(path: &Path) -> String {
        Listener::bind(path, Audience::Nobody).err().expect("refused").to_string()
    }

    fn make_stale(path: &Path) {
        drop(StdListener::bind(path).unwrap());
        fs::set_permissions(path, fs::Permissions::from_mode(0o700)).unwrap();
    }

    #[test]
    fn a_new_socket_is_private_and_removed_at_the_end() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let listener = Listener::bind(&path, Audience::Nobody).unwrap();
        assert_eq!(fs::symlink_metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        UnixStream::connect(&path).unwrap();
        assert!(listener.listener.accept().is_ok());
        assert_eq!(listener.listener.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
        listener.remove().unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn a_stale_socket_is_replaced_and_a_living_one_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        make_stale(&path);
        let first = Listener::bind(&path, Audience::Nobody).unwrap();
        assert!(refusal(&path).contains("another daemon answers"));
        // Somebody else replaces it: not ours to remove any more.
        fs::remove_file(&path).unwrap();
        let second = Listener::bind(&path, Audience::Nobody).unwrap();
        first.remove().unwrap();
        UnixStream::connect(&path).unwrap();
        second.remove().unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn a_daemon_with_a_full_backlog_is_alive() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let address = UnixAddr::new(&path).unwrap();
        let busy = new_socket().unwrap();
        bind(busy.as_raw_fd(), &address).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
        listen(&busy, Backlog::new(0).unwrap()).unwrap();
        let _waiting = UnixStream::connect(&path).unwrap();
        assert!(refusal(&path).contains("another daemon answers"));
        let begun = Instant::now();
        let error = connect_within(&path, Some(Duration::from_millis(50))).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        assert!(begun.elapsed() >= Duration::from_millis(50));
    }

    #[test]
    fn what_is_not_a_private_socket_stays() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        fs::write(&path, b"precious").unwrap();
        assert!(refusal(&path).ends_with("not a socket"));
        assert_eq!(fs::read(&path).unwrap(), b"precious");
        fs::remove_file(&path).unwrap();

        make_stale(&path);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o710)).unwrap();
        assert!(refusal(&path).contains("mode 710"));
        if geteuid().is_root() {
            fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
            std::os::unix::fs::chown(&path, Some(1), None).unwrap();
            assert!(refusal(&path).ends_with("user 1"));
        }
        // A link to a socket is not one.
        let link = directory.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(refusal(&link).ends_with("not a socket"));
    }

    #[test]
    fn a_group_is_let_in() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let mode = || fs::symlink_metadata(&path).unwrap().permissions().mode() & 0o777;
        let own = nix::unistd::getegid().as_raw();
        let listener = Listener::bind(&path, Audience::Group).unwrap();
        assert_eq!(mode(), 0o600);
        listener.let_in(Some(own)).unwrap();
        assert_eq!((mode(), fs::symlink_metadata(&path).unwrap().gid()), (0o660, own));
        listener.let_in(None).unwrap();
        assert_eq!(mode(), 0o600);
        // What a daemon that was killed leaves is replaced by one like it, and by no other.
        listener.let_in(Some(own)).unwrap();
        drop(listener);
        assert!(refusal(&path).contains("mode 660"));
        Listener::bind(&path, Audience::Group).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
        let open = Listener::bind(&path, Audience::Group).err().expect("refused").to_string();
        assert!(open.contains("mode 666"), "{open}");
    }

    #[test]
    fn errors_name_the_path_and_the_reason() {
        let missing = refusal(Path::new("/nowhere/socket"));
        assert!(missing.starts_with("socket /nowhere/socket: directory /nowhere: "), "{missing}");
        let long = refusal(&Path::new("/").join("x".repeat(108)));
        assert!(long.ends_with("longer than 107 bytes"), "{long}");
    }

    #[test]
    fn only_a_listening_stream_socket_is_adopted() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let listening = StdListener::bind(&path).unwrap();
        let adopted = adopt(listening.into(), &path).unwrap();
        assert_eq!(adopted.listener.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
        adopted.remove().unwrap();
        assert!(path.exists(), "systemd's to remove");
        assert!(adopt(UnixStream::pair().unwrap().0.into(), &path).is_none());
        assert!(adopt(std::os::unix::net::UnixDatagram::unbound().unwrap().into(), &path).is_none());
    }
}
