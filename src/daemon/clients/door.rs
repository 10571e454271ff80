//! Where clients come in: the socket of lvmetad, for root, and the one for reading.

use crate::api;
use crate::sys::peer::{self, Peer};
use mio::net::{UnixListener, UnixStream};
use nix::unistd::geteuid;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::Duration;

/// Each takes a descriptor and little else while it is silent.
const FULL_MAX: usize = 4096;
/// Whoever may only read keeps nobody out who may do more.
const READING_MAX: usize = 2048;
/// And one of them not all the others.
const OF_ONE_USER_MAX: usize = 512;
/// After an accept failed for want of descriptors.
const AGAIN_AFTER: Duration = Duration::from_millis(100);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Says and asks everything, in both protocols.
    Full,
    /// Calls what only reads.
    Reading,
}

/// Who may come in.
#[derive(Clone, Copy, Debug)]
pub enum Admission {
    /// Whom the mode of the socket lets in.
    Full,
    /// Root, our own user, and the members of this group.
    Reading { group: Option<u32> },
}

impl Admission {
    pub fn access(self) -> Access {
        match self {
            Admission::Full => Access::Full,
            Admission::Reading { .. } => Access::Reading,
        }
    }
}

pub(super) struct Door {
    access: Access,
    /// How many of each user are in.
    inside: BTreeMap<u32, usize>,
    count: usize,
    /// When to try again, after it failed.
    pub again: Option<Duration>,
    failures: u64,
    refused: u64,
    denied: u64,
}

impl Door {
    pub fn new(access: Access) -> Door {
        Door { access, inside: BTreeMap::new(), count: 0, again: None, failures: 0, refused: 0, denied: 0 }
    }

    /// The next who may come in, and whose he is, who is in from now on; `None` if nobody else waits.
    pub fn accept(
        &mut self,
        now: Duration,
        listener: &UnixListener,
        admission: Admission,
    ) -> Option<(UnixStream, u32)> {
        self.again = None;
        loop {
            let socket = match listener.accept() {
                Ok((socket, _)) => socket,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    self.failures += 1;
                    if self.failures.is_power_of_two() {
                        log::warn!("a connection could not be accepted, as {} before: {error}", self.failures - 1);
                    }
                    self.again = Some(now + AGAIN_AFTER);
                    return None;
                }
            };
            let admitted = match admission {
                Admission::Full => Ok(geteuid().as_raw()),
                Admission::Reading { group } => peer::of(&socket).and_then(|peer| self.admit(&peer, group)),
            };
            let Ok(uid) = admitted.inspect_err(|_| deny(&socket)) else { continue };
            if self.has_room(uid) {
                self.enter(uid);
                return Some((socket, uid));
            }
            self.refused += 1;
            if self.refused.is_power_of_two() {
                log::warn!("{} clients are connected, {} were refused", self.count, self.refused);
            }
        }
    }

    fn admit(&mut self, peer: &Peer, group: Option<u32>) -> io::Result<u32> {
        if may_read(peer, geteuid().as_raw(), group) {
            return Ok(peer.uid);
        }
        self.denied += 1;
        if self.denied.is_power_of_two() {
            let Peer { uid, pid, .. } = peer;
            log::warn!("process {pid} of user {uid} may not ask, as {} before", self.denied - 1);
        }
        Err(io::ErrorKind::PermissionDenied.into())
    }

    fn has_room(&self, uid: u32) -> bool {
        let of_user = || self.inside.get(&uid).copied().unwrap_or(0);
        match self.access {
            Access::Full => self.count < FULL_MAX,
            Access::Reading => self.count < READING_MAX && (uid == 0 || of_user() < OF_ONE_USER_MAX),
        }
    }

    fn enter(&mut self, uid: u32) {
        self.count += 1;
        *self.inside.entry(uid).or_default() += 1;
    }

    pub fn leave(&mut self, uid: u32) {
        self.count = self.count.saturating_sub(1);
        if let Some(inside) = self.inside.get_mut(&uid) {
            *inside = inside.saturating_sub(1);
            if *inside == 0 {
                self.inside.remove(&uid);
            }
        }
    }
}

fn may_read(peer: &Peer, own: u32, group: Option<u32>) -> bool {
    let is_member = group.is_some_and(|group| peer.groups.contains(&group));
    peer.uid == 0 || peer.uid == own || is_member
}

/// Says so, if it fits; a new socket has room.
fn deny(mut socket: &UnixStream) {
    let _ = socket.write(&api::permission_denied());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_and_the_group_may_read() {
        let peer = |uid, groups: &[u32]| Peer { uid, pid: 1, groups: groups.to_vec() };
        assert!(may_read(&peer(0, &[0]), 0, None));
        assert!(may_read(&peer(1000, &[1000]), 1000, None));
        assert!(may_read(&peer(1000, &[6]), 0, Some(6)));
        assert!(may_read(&peer(1000, &[1000, 4, 6]), 0, Some(6)));
        assert!(!may_read(&peer(1000, &[1000, 0]), 0, None));
        assert!(!may_read(&peer(1000, &[1000, 4]), 0, Some(6)));
        // A user whose number is the group's is no member of it.
        assert!(!may_read(&peer(6, &[1000]), 0, Some(6)));
    }

    #[test]
    fn nobody_takes_all_the_room() {
        let with = |access, uid, count| {
            let mut door = Door::new(access);
            (0..count).for_each(|_| door.enter(uid));
            door
        };
        assert!(with(Access::Full, 0, FULL_MAX - 1).has_room(0));
        let mut full = with(Access::Full, 0, FULL_MAX);
        assert!(!full.has_room(0));
        full.leave(0);
        assert!(full.has_room(0));
        assert!(with(Access::Reading, 0, READING_MAX - 1).has_room(0));
        assert!(!with(Access::Reading, 7, READING_MAX).has_room(0));
        let mut reading = with(Access::Reading, 7, OF_ONE_USER_MAX);
        assert!(reading.has_room(8) && !reading.has_room(7));
        reading.leave(7);
        assert!(reading.has_room(7));
        (0..OF_ONE_USER_MAX).for_each(|_| reading.leave(7));
        assert_eq!((reading.count, reading.inside.len()), (0, 0));
    }
}
