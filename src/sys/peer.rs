#![allow(unsafe_code)]
//! Who is at the other end of a socket, and the groups of this host.

use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{getsockopt, sockopt};
use std::io;
use std::os::fd::{AsFd, AsRawFd};

/// Who connected, as he was at that moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    pub uid: u32,
    pub pid: i32,
    /// His own group and all others that he is in.
    pub groups: Vec<u32>,
}

/// As many as a process can be in (`NGROUPS_MAX`).
const GROUPS_MAX: usize = 65_536;
/// Room for as many as people mostly are in.
const GROUPS_FEW: usize = 32;

pub fn of(socket: &impl AsFd) -> io::Result<Peer> {
    let credentials = getsockopt(socket, sockopt::PeerCredentials)?;
    let mut groups = vec![credentials.gid()];
    groups.extend(more_groups(socket)?);
    Ok(Peer { uid: credentials.uid(), pid: credentials.pid(), groups })
}

/// The supplementary ones (`SO_PEERGROUPS`, Linux 4.13); before that nobody has any.
fn more_groups(socket: &impl AsFd) -> io::Result<Vec<u32>> {
    let mut room = GROUPS_FEW;
    loop {
        let mut groups: Vec<libc::gid_t> = vec![0; room];
        let size = room * size_of::<libc::gid_t>();
        let mut length = libc::socklen_t::try_from(size).map_err(io::Error::other)?;
        // SAFETY: the kernel writes at most `length` bytes to `groups`, which has that many, and the
        // number of those it would have written to `length`.
        let result = unsafe {
            libc::getsockopt(
                socket.as_fd().as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_PEERGROUPS,
                groups.as_mut_ptr().cast(),
                &raw mut length,
            )
        };
        match Errno::result(result) {
            Ok(_) => {
                groups.truncate(usize::try_from(length).unwrap_or(size).min(size) / size_of::<libc::gid_t>());
                return Ok(groups);
            }
            Err(Errno::ERANGE) if room < GROUPS_MAX => room = GROUPS_MAX,
            Err(Errno::ENOPROTOOPT) => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        }
    }
}

/// The number of a group, which may be given as one. Asked are the files of this host and nobody
/// else: at the boot there may be nobody yet who answers.
pub fn group_number(name: &str) -> Option<u32> {
    let files = ["/etc/group", "/usr/lib/group"];
    let listed = files.iter().find_map(|file| in_group_file(&std::fs::read_to_string(file).ok()?, name));
    listed.or_else(|| name.parse().ok())
}

/// Lines of `name:password:number:members`.
fn in_group_file(text: &str, name: &str) -> Option<u32> {
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        let is_it = fields.next() == Some(name);
        if is_it { fields.nth(1)?.parse().ok() } else { None }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;

    #[test]
    fn the_peer_of_a_pair_is_this_process() {
        let (one, _other) = UnixStream::pair().unwrap();
        let peer = of(&one).unwrap();
        assert_eq!(peer.uid, nix::unistd::geteuid().as_raw());
        assert_eq!(peer.pid, nix::unistd::getpid().as_raw());
        assert_eq!(peer.groups[0], nix::unistd::getegid().as_raw());
        let own = nix::unistd::getgroups().unwrap().iter().map(|group| group.as_raw()).collect::<Vec<_>>();
        assert_eq!(peer.groups[1..], own);
    }

    #[test]
    fn groups_by_name_and_by_number() {
        let text = "root:x:0:\n# no group\ndisk:x:6:anna,bert\nodd:x:\nlast:!:4294967294:";
        assert_eq!(in_group_file(text, "disk"), Some(6));
        assert_eq!(in_group_file(text, "last"), Some(4_294_967_294));
        for name in ["dis", "odd", "anna", "x", "", "# no group"] {
            assert_eq!(in_group_file(text, name), None, "{name}");
        }
        assert_eq!(group_number("root"), Some(0));
        assert_eq!(group_number("4711"), Some(4711));
        assert_eq!(group_number("no-such-group"), None);
    }
}
