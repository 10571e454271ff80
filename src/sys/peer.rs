#![allow(unsafe_code)]
//! Who is at the other end of a socket, and the groups of this host.

use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{getsockopt, sockopt};
use nix::unistd::geteuid;
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

/// Whether he is root or our own user, who may change things.
pub fn may_change(socket: &impl AsFd) -> bool {
    getsockopt(socket, sockopt::PeerCredentials).is_ok_and(|peer| is_trusted(peer.uid(), geteuid().as_raw()))
}

fn is_trusted(uid: u32, own: u32) -> bool {
    uid == 0 || uid == own
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

/// Where the groups of a host are. Nobody else is asked: at the boot there may be nobody yet who
/// answers.
const GROUP_FILES: [&str; 2] = ["/etc/group", "/usr/lib/group"];

/// The number of a group, which may be given as one.
pub fn group_number(name: &str) -> Option<u32> {
    let of_name = |(other, number): (&str, u32)| (other == name).then_some(number);
    listed_groups(|text| groups(text).find_map(of_name)).or_else(|| name.parse().ok())
}

/// The name of a group, or its number.
pub fn group_name(number: u32) -> String {
    let of_number = |(name, other): (&str, u32)| (other == number).then(|| name.to_owned());
    listed_groups(|text| groups(text).find_map(of_number)).unwrap_or_else(|| number.to_string())
}

fn listed_groups<T>(find: impl Fn(&str) -> Option<T>) -> Option<T> {
    GROUP_FILES.iter().find_map(|file| find(&String::from_utf8_lossy(&std::fs::read(file).ok()?)))
}

/// Lines of `name:password:number:members`.
fn groups(text: &str) -> impl Iterator<Item = (&str, u32)> {
    text.lines().filter_map(|line| {
        let mut fields = line.split(':');
        Some((fields.next()?, fields.nth(1)?.parse().ok()?))
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
    fn root_and_our_own_user_may_change_things() {
        assert!(is_trusted(0, 0) && is_trusted(0, 1000) && is_trusted(1000, 1000));
        assert!(!is_trusted(1000, 0) && !is_trusted(1001, 1000));
        assert!(may_change(&UnixStream::pair().unwrap().0));
        // Whoever cannot be asked about may not.
        assert!(!may_change(&std::fs::File::open("/dev/null").unwrap()));
    }

    #[test]
    fn groups_by_name_and_by_number() {
        let text = "root:x:0:\n# no group\ndisk:x:6:anna,bert\nodd:x:\nlast:!:4294967294:";
        assert_eq!(groups(text).collect::<Vec<_>>(), [("root", 0), ("disk", 6), ("last", 4_294_967_294)]);
        assert_eq!(group_number("root"), Some(0));
        assert_eq!(group_number("4711"), Some(4711));
        assert_eq!(group_number("no-such-group"), None);
        assert_eq!(group_name(0), "root");
        assert_eq!(group_name(54_321_987), "54321987");
    }
}
