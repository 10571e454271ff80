//! The clients: bytes in, messages out, replies in, bytes out. Nothing one of them does holds up
//! another: not half a message, not a reply that is never taken, not a thousand connections.

use crate::protocol::frame::{Frames, MESSAGE_MAX, TooLarge};
use crate::protocol::{self, Reply};
use crate::watcher::SettleId;
use mio::net::{UnixListener, UnixStream};
use mio::{Interest, Registry, Token};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::{self, Read, Write};
use std::time::Duration;

/// Each takes a descriptor and little else while it is silent.
const CLIENTS_MAX: usize = 4096;
/// Of all unfinished messages together; whoever goes over it is sent away.
const BUFFERED_MAX: usize = 2 * MESSAGE_MAX + (64 << 20);
/// How long half a message, or a reply not taken, may stand still.
const STALLED_MAX: Duration = Duration::from_secs(60);
/// How often that is looked for.
const SWEEP_INTERVAL: Duration = Duration::from_secs(5);
/// After an accept failed for want of descriptors.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(100);
/// Requests answered before events are looked at again.
const REQUESTS_PER_TURN: usize = 64;
/// One read. Larger than a socket's buffer, so that a short read means that it is empty; behind
/// what is read there may be the end still.
const CHUNK: usize = 256 << 10;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Closing {
    No,
    /// What it has sent is answered still.
    AfterRequests,
    /// Nothing it has sent is looked at any more.
    AfterReply,
}

struct Client {
    stream: UnixStream,
    frames: Frames,
    /// The reply on its way, and how much of it is written. While there is one, nothing is read.
    reply: Option<(Reply, usize)>,
    /// A settle to be answered before anything else.
    settle: Option<SettleId>,
    /// There may be something to read.
    readable: bool,
    /// There is the end to read, behind what else there is.
    read_closed: bool,
    /// The socket was full.
    blocked: bool,
    /// A wake-up when it is not any more has been asked for.
    room_watched: bool,
    /// Its sending half is shut down. What it sent before is answered.
    ended: bool,
    closing: Closing,
    progress: Duration,
}

pub struct Clients {
    clients: BTreeMap<usize, Client>,
    next_token: usize,
    /// Those with something to do, in turn.
    turn: VecDeque<usize>,
    in_turn: BTreeSet<usize>,
    answered_this_turn: usize,
    chunk: Vec<u8>,
    next_settle: SettleId,
    settles: BTreeMap<SettleId, usize>,
    given_up: Vec<SettleId>,
    accept_again: Option<Duration>,
    accept_failures: u64,
    next_sweep: Option<Duration>,
    refused: u64,
}

impl Clients {
    pub fn new(first_token: usize) -> Clients {
        Clients {
            clients: BTreeMap::new(),
            next_token: first_token,
            turn: VecDeque::new(),
            in_turn: BTreeSet::new(),
            answered_this_turn: 0,
            chunk: vec![0; CHUNK],
            next_settle: 1,
            settles: BTreeMap::new(),
            given_up: Vec::new(),
            accept_again: None,
            accept_failures: 0,
            next_sweep: None,
            refused: 0,
        }
    }

    pub fn len(&self) -> usize {
        self.clients.len()
    }

    pub fn is_empty(&self) -> bool {
        self.clients.is_empty()
    }

    /// Whether somebody can be served without waiting.
    pub fn have_more(&self) -> bool {
        !self.turn.is_empty()
    }

    pub fn poll_timeout(&self) -> Option<Duration> {
        [self.accept_again, self.next_sweep].into_iter().flatten().min()
    }

    pub fn accept(&mut self, now: Duration, listener: &UnixListener, registry: &Registry) {
        self.accept_again = None;
        loop {
            match listener.accept() {
                Ok((stream, _)) if self.clients.len() < CLIENTS_MAX => self.add(now, stream, registry),
                Ok(_refused) => {
                    self.refused += 1;
                    if self.refused.is_power_of_two() {
                        log::warn!("{CLIENTS_MAX} clients are connected, {} were refused", self.refused);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.accept_failures += 1;
                    if self.accept_failures.is_power_of_two() {
                        log::warn!(
                            "a connection could not be accepted, as {} before: {error}",
                            self.accept_failures - 1
                        );
                    }
                    self.accept_again = Some(now + ACCEPT_AGAIN_AFTER);
                    return;
                }
            }
        }
    }

    fn add(&mut self, now: Duration, mut stream: UnixStream, registry: &Registry) {
        let token = self.next_token;
        self.next_token += 1;
        if let Err(error) = registry.register(&mut stream, Token(token), Interest::READABLE) {
            return log::warn!("a connection could not be watched: {error}");
        }
        let client = Client {
            stream,
            frames: Frames::default(),
            reply: None,
            settle: None,
            readable: true,
            read_closed: false,
            blocked: false,
            room_watched: false,
            ended: false,
            closing: Closing::No,
            progress: now,
        };
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
    pub fn serve(
        &mut self,
        now: Duration,
        registry: &Registry,
        answer: &mut dyn FnMut(&[u8]) -> Reply,
    ) -> Option<(Token, Vec<u8>)> {
        self.sweep(now, registry);
        while self.answered_this_turn < REQUESTS_PER_TURN {
            let Some(token) = self.turn.pop_front() else { break };
            self.in_turn.remove(&token);
            match self.advance(now, token, registry, answer) {
                Advance::Waiting => self.note_midway(now, token),
                Advance::Answered => {
                    self.answered_this_turn += 1;
                    // It comes again behind the others.
                    self.give_turn(token);
                }
                Advance::Call(message) => {
                    self.answered_this_turn += 1;
                    return Some((Token(token), message));
                }
                Advance::Gone => self.remove(token, registry),
            }
        }
        self.answered_this_turn = 0;
        None
    }

    fn advance(
        &mut self,
        now: Duration,
        token: usize,
        registry: &Registry,
        answer: &mut dyn FnMut(&[u8]) -> Reply,
    ) -> Advance {
        let others = self.buffered_by_others(token);
        let Some(client) = self.clients.get_mut(&token) else { return Advance::Waiting };
        let mut answered = false;
        loop {
            match client.flush(now) {
                Ok(true) => {}
                Ok(false) => return client.wait_for_room(token, registry),
                Err(_) => return Advance::Gone,
            }
            if client.closing == Closing::AfterReply {
                return Advance::Gone;
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
            if let Some(call) = client.frames.next_call() {
                return Advance::Call(call.to_vec());
            }
            match client.frames.next_request() {
                Ok(Some(request)) => {
                    client.reply = Some((answer(request), 0));
                    answered = true;
                    continue;
                }
                Ok(None) => {}
                Err(TooLarge) => {
                    client.refuse();
                    continue;
                }
            }
            if client.ended || (client.closing == Closing::AfterRequests && !client.readable) {
                return Advance::Gone;
            }
            if !client.readable {
                return Advance::Waiting;
            }
            match client.stream.read(&mut self.chunk) {
                Ok(0) => client.ended = true,
                Ok(length) => {
                    client.readable = client.read_closed || length == self.chunk.len();
                    client.progress = now;
                    client.frames.push(&self.chunk[..length]);
                    if others + client.frames.capacity() > BUFFERED_MAX {
                        client.refuse();
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => client.readable = false,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Advance::Gone,
            }
        }
    }

    fn buffered_by_others(&self, token: usize) -> usize {
        // Only a client with a large message is worth the sum.
        if self.clients.get(&token).is_none_or(|client| client.frames.capacity() < CHUNK) {
            return 0;
        }
        self.clients.iter().filter(|(other, _)| **other != token).map(|(_, client)| client.frames.capacity()).sum()
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
        if let Some(token) = self.settles.remove(&id)
            && let Some(client) = self.clients.get_mut(&token)
        {
            client.settle = None;
            self.reply(Token(token), Reply::Own(reply));
        }
    }

    /// The settles of clients that have left.
    pub fn take_given_up(&mut self) -> Vec<SettleId> {
        std::mem::take(&mut self.given_up)
    }

    /// Answers what has been asked, and takes nothing more.
    pub fn finish(&mut self, registry: &Registry) {
        self.accept_again = None;
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

    fn sweep(&mut self, now: Duration, registry: &Registry) {
        if self.next_sweep.is_none_or(|at| at > now) {
            return;
        }
        let midway = self.clients.values().any(Client::is_midway);
        self.next_sweep = midway.then_some(now + SWEEP_INTERVAL);
        let stalled = |client: &Client| client.is_midway() && now >= client.progress + STALLED_MAX;
        let tokens = self.clients.iter().filter(|(_, client)| stalled(client)).map(|(token, _)| *token);
        for token in tokens.collect::<Vec<_>>() {
            log::debug!("a client stood still in the middle of a message for {} s", STALLED_MAX.as_secs());
            self.remove(token, registry);
        }
    }

    /// Whether accepting is to be tried again.
    pub fn wants_accept(&self, now: Duration) -> bool {
        self.accept_again.is_some_and(|at| at <= now)
    }

    fn remove(&mut self, token: usize, registry: &Registry) {
        if let Some(mut client) = self.clients.remove(&token) {
            let _ = registry.deregister(&mut client.stream);
            if let Some(settle) = client.settle {
                self.settles.remove(&settle);
                self.given_up.push(settle);
            }
        }
    }
}

enum Advance {
    Answered,
    Call(Vec<u8>),
    Waiting,
    Gone,
}

impl Client {
    /// It owes us the rest of a message, or has not taken a reply.
    fn is_midway(&self) -> bool {
        self.settle.is_none() && (self.reply.is_some() || self.frames.is_partial())
    }

    /// Writes what the socket takes; true if nothing is left.
    fn flush(&mut self, now: Duration) -> io::Result<bool> {
        while let Some((reply, written)) = &mut self.reply {
            if self.blocked {
                return Ok(false);
            }
            match self.stream.write(&reply.bytes()[*written..]) {
                Ok(length) => {
                    *written += length;
                    self.progress = now;
                    if *written == reply.bytes().len() {
                        self.reply = None;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.blocked = true;
                    return Ok(false);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Asks for a wake-up when the socket takes more. Only then: each reply that a client takes
    /// would be an event otherwise. And only once: asking again is answered at once while there is
    /// something to read, so that we would go round and round.
    fn wait_for_room(&mut self, token: usize, registry: &Registry) -> Advance {
        if self.room_watched {
            return Advance::Waiting;
        }
        self.room_watched = true;
        let interest = Interest::READABLE | Interest::WRITABLE;
        match registry.reregister(&mut self.stream, Token(token), interest) {
            Ok(()) => Advance::Waiting,
            Err(_) => Advance::Gone,
        }
    }

    /// One last reply.
    fn refuse(&mut self) {
        log::warn!("a client's message is larger than {} MiB and was refused", MESSAGE_MAX >> 20);
        self.frames = Frames::default();
        self.reply = Some((protocol::too_large(), 0));
        self.closing = Closing::AfterReply;
    }
}
