//! The clients: bytes in, messages out, replies in, bytes out. Nothing one of them does holds up
//! another: not half a message, not a reply that is never taken, not a thousand connections.

mod client;
mod door;
mod memory;
mod relief;
mod tally;
#[cfg(test)]
mod tests;

use super::inventory::Stream;
use crate::api::{self, Bound};
use crate::conf::ClientLimits;
use crate::protocol::{Reply, Sender};
use crate::sys::peer;
use crate::watcher::SettleId;
use client::{Advance, Client, Closing, Message};
use door::{ACCEPTS_PER_TURN, Door, Rules};
use memory::{Held, Memory};
use mio::net::{UnixListener, UnixStream};
use mio::{Interest, Registry, Token};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::{self, Read};
use std::time::Duration;
use tally::Tally;

pub use door::{Access, Admission};

/// How often those are looked for who stand still in the middle of something.
const SWEEP_INTERVAL: Duration = Duration::from_secs(5);
/// Requests answered before events are looked at again.
const REQUESTS_PER_TURN: usize = 64;
/// Clients looked at before that, also those who have sent nothing whole.
const VISITS_PER_TURN: usize = 1024;
/// Reads from one client before others have their turn.
const READS_PER_VISIT: usize = 4;
/// One read. Larger than a socket's buffer, so that a short read means that it is empty; behind
/// what is read there may be the end still.
const CHUNK: usize = 256 << 10;
/// Of who sends nothing but short calls.
const READING_CHUNK: usize = 16 << 10;

pub struct Clients {
    clients: BTreeMap<usize, Client>,
    next_token: usize,
    /// Those with something to do, in turn.
    turn: VecDeque<usize>,
    in_turn: BTreeSet<usize>,
    answered_this_turn: usize,
    visited_this_turn: usize,
    /// Those who have taken a reply that is not the last, in turn.
    streams: VecDeque<usize>,
    chunk: Vec<u8>,
    next_settle: SettleId,
    settles: BTreeMap<SettleId, usize>,
    given_up: Vec<SettleId>,
    doors: [Door; 2],
    next_sweep: Option<Duration>,
    configured: ClientLimits,
    /// What of it there are descriptors for.
    limits: ClientLimits,
    memory: Memory,
    tally: Tally,
}

/// What a client's requests are answered by.
pub type Answer<'a> = dyn FnMut(&[u8], &mut dyn Sender) -> Reply + 'a;

/// Whoever sends a request.
struct Peer<'c> {
    socket: &'c UnixStream,
    tally: &'c Tally,
}

impl Sender for Peer<'_> {
    fn may_change(&mut self) -> bool {
        let may = peer::may_change(self.socket);
        if !may {
            self.tally.refuse(Bound::Changes, format_args!("a user who is not root may change nothing"));
        }
        may
    }

    fn nests_too_deeply(&mut self) {
        self.tally.refuse(Bound::Nesting, format_args!("a client's message is nested too deeply, and was refused"));
    }
}

impl Clients {
    /// `descriptors` is how many this process may have open.
    pub fn new(first_token: usize, limits: ClientLimits, descriptors: u64) -> Clients {
        Clients {
            clients: BTreeMap::new(),
            next_token: first_token,
            turn: VecDeque::new(),
            in_turn: BTreeSet::new(),
            answered_this_turn: 0,
            visited_this_turn: 0,
            streams: VecDeque::new(),
            chunk: vec![0; CHUNK],
            next_settle: 1,
            settles: BTreeMap::new(),
            given_up: Vec::new(),
            doors: [Door::new(Access::Full), Door::new(Access::Reading)],
            next_sweep: None,
            configured: limits,
            limits: limits.within(descriptors),
            memory: Memory::default(),
            tally: Tally::default(),
        }
    }

    /// Who is in already stays.
    pub fn configure(&mut self, limits: ClientLimits, descriptors: u64) {
        self.configured = limits;
        self.limits = limits.within(descriptors);
    }

    /// For who asks.
    pub fn status(&self) -> api::Clients {
        let [full, reading] = &self.doors;
        api::Clients {
            connected: full.count(),
            report_connected: reading.count(),
            buffered: self.memory.buffered,
            unread: self.memory.unread,
            limits: self.limits,
            configured: self.configured,
            refusals: self.tally.refusals(),
            not_accepted: full.failures + reading.failures,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.clients.is_empty()
    }

    /// Whether somebody can be served without waiting.
    pub fn have_more(&self) -> bool {
        !self.turn.is_empty() || !self.streams.is_empty()
    }

    pub fn poll_timeout(&self) -> Option<Duration> {
        let accepts = self.doors.iter().filter_map(|door| door.again);
        accepts.chain(self.next_sweep).min()
    }

    pub fn accept(&mut self, now: Duration, listener: &UnixListener, admission: Admission, registry: &Registry) {
        for _ in 0..ACCEPTS_PER_TURN {
            let rules = Rules { limits: &self.limits, tally: &self.tally };
            let [full, reading] = &mut self.doors;
            let door = if admission.access() == Access::Full { full } else { reading };
            let Some((socket, uid)) = door.accept(now, listener, admission, &rules) else { return };
            self.add(Client::new(now, socket, admission.access(), uid, self.limits.message), registry);
        }
        self.door(admission.access()).again = Some(now);
    }

    fn door(&mut self, access: Access) -> &mut Door {
        let [full, reading] = &mut self.doors;
        match access {
            Access::Full => full,
            Access::Reading => reading,
        }
    }

    fn add(&mut self, mut client: Client, registry: &Registry) {
        let token = self.next_token;
        self.next_token += 1;
        if let Err(error) = registry.register(&mut client.socket, Token(token), Interest::READABLE) {
            self.door(client.access).leave(client.uid);
            return log::warn!("a connection could not be watched: {error}");
        }
        self.clients.insert(token, client);
        self.give_turn(token);
    }

    /// Readiness is a hint: reading and writing will tell.
    pub fn ready(&mut self, Token(token): Token, read_closed: bool) {
        if let Some(client) = self.clients.get_mut(&token) {
            client.readable = true;
            client.read_closed |= read_closed;
            client.blocked = false;
            self.give_turn(token);
        }
    }

    fn give_turn(&mut self, token: usize) {
        if self.in_turn.insert(token) {
            self.turn.push_back(token);
        }
    }

    /// Serves those who have something to do, in turn. Requests of lvmetad's protocol are
    /// answered by `answer`; a call of the other is returned, for [`Clients::reply`]. `None` when
    /// nobody has anything to do, or when it is time to look at other events.
    pub fn serve(&mut self, now: Duration, registry: &Registry, answer: &mut Answer) -> Option<(Token, Vec<u8>)> {
        self.sweep(now, registry);
        while self.answered_this_turn < REQUESTS_PER_TURN && self.visited_this_turn < VISITS_PER_TURN {
            let Some(token) = self.turn.pop_front() else { break };
            self.in_turn.remove(&token);
            self.visited_this_turn += 1;
            let advance = self.advance(now, token, registry, answer);
            self.account(token, registry);
            match advance {
                Advance::More => self.give_turn(token),
                Advance::Streaming if self.streams.contains(&token) => {}
                Advance::Streaming => self.streams.push_back(token),
                Advance::Waiting => self.note_midway(now, token),
                // It comes again behind the others.
                Advance::Answered => self.give_turn(token),
                Advance::Call(message) => {
                    self.answered_this_turn += 1;
                    return Some((Token(token), message));
                }
                Advance::Gone => self.remove(token, registry),
            }
        }
        self.answered_this_turn = 0;
        self.visited_this_turn = 0;
        None
    }

    fn advance(&mut self, now: Duration, token: usize, registry: &Registry, answer: &mut Answer) -> Advance {
        let Some(client) = self.clients.get_mut(&token) else { return Advance::Waiting };
        let mut answered = false;
        let mut reads = 0;
        loop {
            match client.flush(now) {
                Ok(true) => {}
                Ok(false) => return client.wait_for_room(token, registry),
                Err(_) => return Advance::Gone,
            }
            if client.closing == Closing::AfterReply {
                return Advance::Gone;
            }
            if client.stream.is_some() {
                return Advance::Streaming;
            }
            if client.settle.is_some() {
                // A client that goes away does not want to know any more. What else it sends stays
                // in its socket meanwhile.
                return if client.read_closed { Advance::Gone } else { Advance::Waiting };
            }
            if answered {
                return if client.readable || client.frames.is_partial() {
                    Advance::Answered
                } else {
                    Advance::Waiting
                };
            }
            match client::next_message(&mut client.frames, client.access) {
                Some(Message::Call(call)) => return Advance::Call(call),
                Some(Message::Request(request)) => {
                    let reply = answer(request, &mut Peer { socket: &client.socket, tally: &self.tally });
                    client.reply = Some((reply, 0));
                    self.answered_this_turn += 1;
                    answered = true;
                    continue;
                }
                Some(Message::Wrong(reply, bound)) => {
                    if let Some(bound) = bound {
                        self.tally.refuse(bound, format_args!("a client's message is too large, and was refused"));
                    }
                    client.refuse(reply);
                    continue;
                }
                None => {}
            }
            if client.ended || (client.closing == Closing::AfterRequests && !client.readable) {
                return Advance::Gone;
            }
            if !client.readable {
                return Advance::Waiting;
            }
            if reads == READS_PER_VISIT {
                return Advance::More;
            }
            reads += 1;
            let chunk = &mut self.chunk[..client.chunk()];
            match client.socket.read(chunk) {
                Ok(0) => client.ended = true,
                Ok(length) => {
                    client.readable = client.read_closed || length == chunk.len();
                    client.progress = now;
                    client.frames.push(&chunk[..length]);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => client.readable = false,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Advance::Gone,
            }
        }
    }

    /// Whether who called may change something. What the socket's mode is does not matter, nor who made it.
    pub fn may_change(&self, Token(token): Token) -> bool {
        let sender = |client: &Client| Peer { socket: &client.socket, tally: &self.tally }.may_change();
        self.clients.get(&token).is_some_and(sender)
    }

    /// Counts a call with more levels than are looked at.
    pub fn refuse_nesting(&self, Token(token): Token) {
        if let Some(client) = self.clients.get(&token) {
            Peer { socket: &client.socket, tally: &self.tally }.nests_too_deeply();
        }
    }

    pub fn access(&self, Token(token): Token) -> Option<Access> {
        self.clients.get(&token).map(|client| client.access)
    }

    /// Who called wants no answer.
    pub fn no_reply(&mut self, Token(token): Token) {
        self.give_turn(token);
    }

    pub fn reply(&mut self, Token(token): Token, reply: Reply) {
        if let Some(client) = self.clients.get_mut(&token) {
            client.reply = Some((reply, 0));
            self.give_turn(token);
        }
    }

    /// The client waits; other messages of it wait with it.
    pub fn wait_for_settle(&mut self, Token(token): Token) -> SettleId {
        let id = self.next_settle;
        self.next_settle += 1;
        if let Some(client) = self.clients.get_mut(&token) {
            client.settle = Some(id);
            self.settles.insert(id, token);
        }
        id
    }

    pub fn settled(&mut self, id: SettleId, reply: Vec<u8>) {
        if let Some(token) = self.end_settle(id) {
            self.reply(token, Reply::Own(reply));
        }
    }

    /// Who waited for it, and is still there.
    pub fn end_settle(&mut self, id: SettleId) -> Option<Token> {
        let token = self.settles.remove(&id)?;
        self.clients.get_mut(&token)?.settle = None;
        Some(Token(token))
    }

    /// The client is answered with many replies; other messages of it wait.
    pub fn begin_stream(&mut self, Token(token): Token, stream: Box<Stream>) {
        if let Some(client) = self.clients.get_mut(&token) {
            client.stream = Some(stream);
            self.streams.push_back(token);
        }
    }

    /// Who is to have the next reply of many.
    pub fn next_stream(&mut self) -> Option<(Token, Box<Stream>)> {
        while let Some(token) = self.streams.pop_front() {
            if let Some(stream) = self.clients.get_mut(&token).and_then(|client| client.stream.take()) {
                return Some((Token(token), stream));
            }
        }
        None
    }

    /// `rest` is what follows it, if that is not all.
    pub fn reply_part(&mut self, Token(token): Token, reply: Vec<u8>, rest: Option<Box<Stream>>) {
        if let Some(client) = self.clients.get_mut(&token) {
            client.stream = rest;
            self.reply(Token(token), Reply::Own(reply));
        }
    }

    /// The settles of clients that have left.
    pub fn take_given_up(&mut self) -> Vec<SettleId> {
        std::mem::take(&mut self.given_up)
    }

    /// Answers what has been asked, and takes nothing more.
    pub fn finish(&mut self, registry: &Registry) {
        self.doors.iter_mut().for_each(|door| door.again = None);
        let tokens = self.clients.keys().copied().collect::<Vec<_>>();
        for token in tokens {
            let client = self.clients.get_mut(&token).expect("just listed");
            if client.settle.is_some() {
                self.remove(token, registry);
            } else {
                client.closing = Closing::AfterRequests;
                client.readable = true;
                self.give_turn(token);
            }
        }
    }

    /// One that waits in the middle of something is looked at again; the others cost no timer.
    fn note_midway(&mut self, now: Duration, token: usize) {
        if self.clients.get(&token).is_some_and(Client::is_midway) {
            self.next_sweep.get_or_insert(now + SWEEP_INTERVAL);
        }
    }

    /// Whether accepting is to be tried again.
    pub fn wants_accept(&self, now: Duration) -> bool {
        self.doors.iter().filter_map(|door| door.again).any(|at| at <= now)
    }

    fn remove(&mut self, token: usize, registry: &Registry) {
        if let Some(mut client) = self.clients.remove(&token) {
            let _ = registry.deregister(&mut client.socket);
            self.memory.change(&mut client.held, Held::default());
            self.door(client.access).leave(client.uid);
            if let Some(settle) = client.settle {
                self.settles.remove(&settle);
                self.given_up.push(settle);
            }
        }
    }
}
