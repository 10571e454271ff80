//! Many clients at a time, with the other ends of their sockets here, and nothing measured but numbers.

use super::*;
use mio::Poll;
use std::io::Write;

/// Clients that are never woken: what is looked at is whom they serve.
struct Room {
    poll: Poll,
    clients: Clients,
    now: Duration,
    /// What each request had in it, in the order of the answers.
    answered: Vec<String>,
    reply: Vec<u8>,
}

impl Room {
    fn new(limits: ClientLimits) -> Room {
        Room {
            poll: Poll::new().unwrap(),
            clients: Clients::new(0, limits, u64::MAX),
            now: Duration::ZERO,
            answered: Vec::new(),
            reply: b"\n##\n".to_vec(),
        }
    }

    fn connect(&mut self) -> std::os::unix::net::UnixStream {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        for end in [&ours, &theirs] {
            end.set_nonblocking(true).unwrap();
        }
        let client = Client::new(self.now, UnixStream::from_std(ours), Access::Full, 0, self.clients.limits.message);
        self.clients.add(client, self.poll.registry());
        theirs
    }

    /// Whatever may be there to be read.
    fn wake(&mut self) {
        for token in self.clients.clients.keys().copied().collect::<Vec<_>>() {
            self.clients.ready(Token(token), false);
        }
    }

    /// What is done before the loop looks at events again.
    fn turn(&mut self) {
        let Room { clients, poll, answered, reply, now } = self;
        let mut answer = |request: &[u8], _: &mut dyn Sender| {
            answered.push(String::from_utf8_lossy(request).into_owned());
            Reply::Own(reply.clone())
        };
        while clients.serve(*now, poll.registry(), &mut answer).is_some() {}
    }

    fn until_idle(&mut self) {
        while self.clients.have_more() {
            self.turn();
        }
    }

    fn refused(&self, bound: Bound) -> u64 {
        self.clients.tally.refusals().of(bound)
    }
}

fn fill(socket: &mut std::os::unix::net::UnixStream, bytes: &[u8]) -> usize {
    let mut sent = 0;
    while let Ok(length) = socket.write(bytes) {
        sent += length;
    }
    sent
}

#[test]
fn one_who_floods_has_one_answer_for_each_of_the_others() {
    let mut room = Room::new(ClientLimits::default());
    let mut flood = room.connect();
    let others = (0..10).map(|_| room.connect()).collect::<Vec<_>>();
    assert!(fill(&mut flood, &b"flood\n##\n".repeat(100)) > 1000);
    for mut other in &others {
        other.write_all(b"a\n##\nb\n##\n").unwrap();
    }
    room.wake();
    room.turn();
    for word in ["a", "b"] {
        let last = room.answered.iter().rposition(|request| request == word).expect("answered in the first turn");
        let before = room.answered[..last].iter().filter(|request| *request == "flood").count();
        assert!(before <= 2, "{before} of the flood before the last {word}");
    }
    assert_eq!(room.answered.len(), REQUESTS_PER_TURN, "then events are looked at");
    room.turn();
    assert_eq!(room.answered.len(), 2 * REQUESTS_PER_TURN);
}

#[test]
fn one_who_sends_without_end_is_left_in_the_middle() {
    let mut room = Room::new(ClientLimits::default());
    let mut flood = room.connect();
    room.turn();
    let mut other = room.connect();
    other.write_all(b"a\n##\n").unwrap();
    // More than is read of one at a time, if its socket takes that much.
    let chunk = vec![b'x'; 8 * CHUNK];
    let sent = fill(&mut flood, &chunk);
    room.wake();
    room.turn();
    assert_eq!(room.answered, ["a"]);
    assert!(sent <= READS_PER_VISIT * CHUNK || room.clients.memory.buffered <= 2 * READS_PER_VISIT * CHUNK);
}

#[test]
fn a_turn_is_bounded_also_if_nobody_sends_anything_whole() {
    let mut room = Room::new(ClientLimits::default());
    let sockets = (0..200).map(|_| room.connect()).collect::<Vec<_>>();
    room.until_idle();
    for _ in 0..10 {
        for mut socket in &sockets {
            socket.write_all(b"h").unwrap();
        }
        room.wake();
        room.until_idle();
    }
    assert!(room.answered.is_empty());
    room.clients.visited_this_turn = VISITS_PER_TURN - 3;
    room.wake();
    room.turn();
    assert_eq!(room.clients.turn.len(), sockets.len() - 3);
}

#[test]
fn of_too_many_halves_the_one_that_stands_still_goes() {
    let limits = ClientLimits { message: 200_000, buffered: 1, ..ClientLimits::default() };
    let mut room = Room::new(limits);
    let mut sockets = [room.connect(), room.connect()];
    let half = [b'x'; 150_000];
    // The first goes on.
    for (second, sender, bytes) in [(1, 0, &half[..]), (2, 1, &half), (3, 0, b"x")] {
        room.now = Duration::from_secs(second);
        sockets[sender].write_all(bytes).unwrap();
        room.wake();
        room.until_idle();
    }
    assert_eq!((room.refused(Bound::Buffered), room.clients.clients.len()), (1, 1));
    assert!((150_001..=400_000).contains(&room.clients.memory.buffered), "{}", room.clients.memory.buffered);
    let mut reply = String::new();
    let _ = io::Read::read_to_string(&mut sockets[1], &mut reply);
    assert!(reply.contains("message too large"), "{reply}");
    drop(sockets);
    room.wake();
    room.until_idle();
    assert_eq!((room.clients.memory.buffered, room.clients.clients.len()), (0, 0));
}

#[test]
fn of_replies_that_nobody_takes_one_is_kept() {
    let mut room = Room::new(ClientLimits { unread: 5 << 20, ..ClientLimits::default() });
    room.reply = vec![b'x'; 2 << 20];
    let mut sockets = Vec::new();
    for second in 1..=6 {
        room.now = Duration::from_secs(second);
        let mut socket = room.connect();
        socket.write_all(b"a\n##\n").unwrap();
        room.until_idle();
        sockets.push(socket);
    }
    assert_eq!((room.refused(Bound::Unread), room.clients.memory.unread), (4, 4 << 20));
    // One alone is larger than all may be.
    room.reply = vec![b'x'; 10 << 20];
    let mut large = room.connect();
    large.write_all(b"a\n##\n").unwrap();
    room.now += Duration::from_secs(1);
    room.until_idle();
    assert_eq!((room.refused(Bound::Unread), room.clients.clients.len()), (6, 1));
    assert_eq!(room.clients.memory.unread, 10 << 20);
}

#[test]
fn who_stands_still_is_forgotten_and_who_is_silent_is_not() {
    let mut room = Room::new(ClientLimits { stalled: Duration::from_secs(7), ..ClientLimits::default() });
    let _silent = room.connect();
    let mut half = room.connect();
    half.write_all(b"half").unwrap();
    room.wake();
    room.until_idle();
    for second in 1..=30 {
        room.now = Duration::from_secs(second);
        room.turn();
        assert_eq!(room.clients.clients.len(), if second < 10 { 2 } else { 1 }, "after {second} s");
    }
    assert_eq!(room.refused(Bound::Stalled), 1);
    assert_eq!(room.clients.poll_timeout(), None);
}
