//! Where clients come in: the socket of lvmetad, for root, and the one for reading.

use super::tally::Tally;
use crate::api::{self, Bound};
use crate::conf::ClientLimits;
use crate::protocol;
use crate::sys::peer::{self, Peer};
use crate::sys::socket::first_byte;
use mio::net::{UnixListener, UnixStream};
use nix::unistd::geteuid;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::Duration;

/// After an accept failed for want of descriptors.
const AGAIN_AFTER: Duration = Duration::from_millis(100);
/// Connections taken, or refused, before the clients are served again.
pub(super) const ACCEPTS_PER_TURN: usize = 256;

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

/// How many may come in, and who counts those who may not.
pub(super) struct Rules<'c> {
    pub limits: &'c ClientLimits,
    pub tally: &'c Tally,
}

pub(super) struct Door {
    access: Access,
    /// How many of each user are in.
    inside: BTreeMap<u32, usize>,
    count: usize,
    /// When to try again, after it failed.
    pub again: Option<Duration>,
    pub failures: u64,
}

impl Door {
    pub fn new(access: Access) -> Door {
        Door { access, inside: BTreeMap::new(), count: 0, again: None, failures: 0 }
    }

    /// The next who may come in, and whose he is, who is in from now on; `None` if nobody else waits, or
    /// if enough have come for once.
    pub fn accept(
        &mut self,
        now: Duration,
        listener: &UnixListener,
        admission: Admission,
        rules: &Rules,
    ) -> Option<(UnixStream, u32)> {
        self.again = None;
        for _ in 0..ACCEPTS_PER_TURN {
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
                Admission::Reading { group } => peer::of(&socket).and_then(|peer| admit(&peer, group, rules.tally)),
            };
            let Ok(uid) = admitted.inspect_err(|_| say(&socket, &api::permission_denied())) else { continue };
            match self.room(uid, rules.limits) {
                Ok(()) => {
                    self.enter(uid);
                    return Some((socket, uid));
                }
                Err(bound) => {
                    rules.tally.refuse(bound, format_args!("{} clients are connected, one was refused", self.count));
                    self.turn_away(&socket);
                }
            }
        }
        self.again = Some(now);
        None
    }

    /// Who has said nothing yet is taken for an LVM command.
    fn turn_away(&self, socket: &UnixStream) {
        if self.access == Access::Reading || first_byte(socket) == Some(b'{') {
            say(socket, &api::too_many_clients());
        } else {
            say(socket, protocol::too_many_clients().bytes());
        }
    }

    pub fn count(&self) -> usize {
        self.count
    }

    fn room(&self, uid: u32, limits: &ClientLimits) -> Result<(), Bound> {
        let of_user = || self.inside.get(&uid).copied().unwrap_or(0);
        match self.access {
            Access::Full if self.count >= limits.clients => Err(Bound::Clients),
            Access::Reading if self.count >= limits.report_clients => Err(Bound::ReportClients),
            Access::Reading if uid != 0 && of_user() >= limits.report_clients_per_user => {
                Err(Bound::ReportClientsPerUser)
            }
            Access::Full | Access::Reading => Ok(()),
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

fn admit(peer: &Peer, group: Option<u32>, tally: &Tally) -> io::Result<u32> {
    if may_read(peer, geteuid().as_raw(), group) {
        return Ok(peer.uid);
    }
    let Peer { uid, pid, .. } = peer;
    tally.refuse(Bound::Admission, format_args!("process {pid} of user {uid} may not ask"));
    Err(io::ErrorKind::PermissionDenied.into())
}

fn may_read(peer: &Peer, own: u32, group: Option<u32>) -> bool {
    let is_member = group.is_some_and(|group| peer.groups.contains(&group));
    peer.uid == 0 || peer.uid == own || is_member
}

/// Says so, if it fits; a new socket has room.
fn say(mut socket: &UnixStream, reply: &[u8]) {
    let _ = socket.write(reply);
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
        let limits = ClientLimits { clients: 9, report_clients: 7, report_clients_per_user: 3, ..Default::default() };
        let with = |access, uid, count| {
            let mut door = Door::new(access);
            (0..count).for_each(|_| door.enter(uid));
            door
        };
        let room = |door: &Door, uid| door.room(uid, &limits);
        assert_eq!(room(&with(Access::Full, 0, 8), 0), Ok(()));
        let mut full = with(Access::Full, 0, 9);
        assert_eq!(room(&full, 0), Err(Bound::Clients));
        full.leave(0);
        assert_eq!(room(&full, 0), Ok(()));
        assert_eq!(room(&with(Access::Reading, 0, 6), 0), Ok(()));
        assert_eq!(room(&with(Access::Reading, 7, 7), 0), Err(Bound::ReportClients));
        let mut reading = with(Access::Reading, 7, 3);
        assert_eq!((room(&reading, 8), room(&reading, 7)), (Ok(()), Err(Bound::ReportClientsPerUser)));
        reading.leave(7);
        assert_eq!(room(&reading, 7), Ok(()));
        (0..3).for_each(|_| reading.leave(7));
        assert_eq!((reading.count, reading.inside.len()), (0, 0));
    }
}
