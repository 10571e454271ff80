//! One client: what it is in the middle of.

use super::super::inventory::Stream;
use super::memory::Held;
use super::{Access, CHUNK, READING_CHUNK};
use crate::api::{self, Bound};
use crate::protocol::frame::{Frames, NotACall, TooLarge};
use crate::protocol::{self, Reply};
use crate::watcher::SettleId;
use mio::net::UnixStream;
use mio::{Interest, Registry, Token};
use std::io::{self, Write};
use std::time::Duration;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Closing {
    No,
    /// What it has sent is answered still.
    AfterRequests,
    /// Nothing it has sent is looked at any more.
    AfterReply,
}

pub(super) struct Client {
    pub(super) socket: UnixStream,
    pub(super) access: Access,
    /// Whose it is.
    pub(super) uid: u32,
    pub(super) frames: Frames,
    /// The reply on its way, and how much of it is written. While there is one, nothing is read.
    pub(super) reply: Option<(Reply, usize)>,
    /// What follows the reply.
    pub(super) stream: Option<Box<Stream>>,
    /// A settle to be answered before anything else.
    pub(super) settle: Option<SettleId>,
    /// There may be something to read.
    pub(super) readable: bool,
    /// There is the end to read, behind what else there is.
    pub(super) read_closed: bool,
    /// The socket was full.
    pub(super) blocked: bool,
    /// A wake-up when it is not any more has been asked for.
    pub(super) room_watched: bool,
    /// Its sending half is shut down. What it sent before is answered.
    pub(super) ended: bool,
    pub(super) closing: Closing,
    pub(super) progress: Duration,
    /// What of the sums is its.
    pub(super) held: Held,
}

pub(super) enum Advance {
    Answered,
    Call(Vec<u8>),
    /// The reply is taken, and another is to follow.
    Streaming,
    Waiting,
    /// It has had its share of this turn.
    More,
    Gone,
}

impl Client {
    pub(super) fn new(now: Duration, socket: UnixStream, access: Access, uid: u32, message_max: usize) -> Client {
        Client {
            socket,
            access,
            uid,
            frames: Frames::new(message_max),
            reply: None,
            stream: None,
            settle: None,
            readable: true,
            read_closed: false,
            blocked: false,
            room_watched: false,
            ended: false,
            closing: Closing::No,
            progress: now,
            held: Held::default(),
        }
    }

    /// It owes us the rest of a message, or has not taken a reply.
    pub(super) fn is_midway(&self) -> bool {
        self.settle.is_none() && (self.reply.is_some() || self.frames.is_partial())
    }

    /// Writes what the socket takes; true if nothing is left.
    pub(super) fn flush(&mut self, now: Duration) -> io::Result<bool> {
        while let Some((reply, written)) = &mut self.reply {
            if self.blocked {
                return Ok(false);
            }
            match self.socket.write(&reply.bytes()[*written..]) {
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
    pub(super) fn wait_for_room(&mut self, token: usize, registry: &Registry) -> Advance {
        if self.room_watched {
            return Advance::Waiting;
        }
        self.room_watched = true;
        let interest = Interest::READABLE | Interest::WRITABLE;
        match registry.reregister(&mut self.socket, Token(token), interest) {
            Ok(()) => Advance::Waiting,
            Err(_) => Advance::Gone,
        }
    }

    /// How much is read at a time.
    pub(super) fn chunk(&self) -> usize {
        match self.access {
            Access::Full => CHUNK,
            Access::Reading => READING_CHUNK,
        }
    }

    /// One last reply.
    pub(super) fn refuse(&mut self, reply: Reply) {
        self.frames = Frames::new(0);
        self.reply = Some((reply, 0));
        self.closing = Closing::AfterReply;
    }
}

/// Looks at what has been received for something to answer.
pub(super) fn next_message(frames: &mut Frames, access: Access) -> Option<Message<'_>> {
    if access == Access::Reading {
        return match frames.next_reading_call() {
            Ok(call) => call.map(|call| Message::Call(call.to_vec())),
            Err(NotACall) => Some(Message::Wrong(Reply::Own(api::invalid("call")), None)),
        };
    }
    if let Some(call) = frames.next_call() {
        return Some(Message::Call(call.to_vec()));
    }
    match frames.next_request() {
        Ok(request) => request.map(Message::Request),
        Err(TooLarge) => Some(Message::Wrong(protocol::too_large(), Some(Bound::Message))),
    }
}

/// What a client has sent.
pub(super) enum Message<'c> {
    Call(Vec<u8>),
    Request(&'c [u8]),
    /// With the reply, after which nothing of it is looked at, and the bound that it is over.
    Wrong(Reply, Option<Bound>),
}
