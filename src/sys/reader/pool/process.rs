//! One reader process as the daemon sees it: what it works on, and its end of the socket.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::process::Child;
use std::time::Duration;

use mio::net::UnixStream;
use mio::{Interest, Registry, Token};

use crate::sys::reader::messages::{Answer, Garbage, Hello, LongData, REPLY_FIELDS, Request, frame_length};
use crate::sys::reader::{JobId, MAX_READ, Reply};

/// The number of a task is the pool's own and not used twice: a job may close a device and open
/// another before the first one is closed.
pub type TaskId = u64;

/// One read from a socket.
const CHUNK: usize = 256 << 10;
/// From one reader, before others have their turn: a long text comes as fast as it is taken.
const RECEIVED_PER_TURN: usize = 4 * CHUNK;
/// No message without bytes of a device is longer.
const SMALL: usize = 1024;

pub struct Process {
    pub child: Child,
    pub socket: UnixStream,
    /// It was started to be a ring, and has not said that it cannot.
    pub is_ring: bool,
    /// How many tasks it takes at a time; `None` before it has said so.
    pub slots: Option<usize>,
    pub tasks: BTreeMap<TaskId, Task>,
    received: Vec<u8>,
    /// A long reply that comes, what has come of it left out of `received`.
    long: Option<LongData>,
    out: Vec<u8>,
    is_writing: bool,
    /// Since when it has owed something and said nothing.
    pub silent_since: Option<Duration>,
    /// When it was asked whether it lives, and has said nothing since.
    pub pinged: Option<Duration>,
}

#[derive(Clone, Copy)]
pub struct Task {
    pub job: JobId,
    pub state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Owes no reply.
    Ready,
    /// Owes the reply to a request for so many bytes (in so many places, if it was a read).
    Opening(usize),
    Reading(usize, usize),
    /// Told to close its device, which may hang too.
    Closing,
    /// Given up. Its last reply, not longer than that, may be on its way.
    Lost {
        is_awaited: bool,
        length: usize,
    },
}

impl State {
    pub fn is_owing(self) -> bool {
        matches!(self, State::Opening(_) | State::Reading(..))
    }

    pub fn is_lost(self) -> bool {
        matches!(self, State::Lost { .. })
    }

    /// Whether a job has it.
    pub fn is_working(self) -> bool {
        self == State::Ready || self.is_owing()
    }

    pub fn length(self) -> usize {
        match self {
            State::Opening(length) | State::Reading(_, length) | State::Lost { length, .. } => length,
            State::Ready | State::Closing => 0,
        }
    }
}

/// What a reader has said.
pub enum Said {
    Hello(Hello),
    Reply(JobId, Reply),
    /// The task is no more; it was given up, and the job waits for the news.
    Released(JobId),
}

impl Process {
    pub fn new(child: Child, socket: UnixStream, is_ring: bool) -> Process {
        Process {
            child,
            socket,
            is_ring,
            slots: None,
            tasks: BTreeMap::new(),
            received: Vec::new(),
            long: None,
            out: Vec::new(),
            is_writing: false,
            silent_since: None,
            pinged: None,
        }
    }

    pub fn count(&self, is: impl Fn(State) -> bool) -> usize {
        self.tasks.values().filter(|task| is(task.state)).count()
    }

    pub fn has_room(&self) -> bool {
        self.slots.is_some_and(|slots| self.tasks.len() < slots)
    }

    /// The request goes out with the next flush.
    pub fn put(&mut self, request: &Request) {
        request.put(&mut self.out);
    }

    pub fn set(&mut self, task: TaskId, state: State) {
        if let Some(task) = self.tasks.get_mut(&task) {
            task.state = state;
        }
    }

    /// Sends what it can. The rest goes when there is room.
    pub fn flush(&mut self, registry: &Registry, token: usize, now: Duration) -> io::Result<()> {
        while !self.out.is_empty() {
            match self.socket.write(&self.out) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => drop(self.out.drain(..count)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        if self.is_writing == self.out.is_empty() {
            self.is_writing = !self.out.is_empty();
            let interest = self.interest();
            registry.reregister(&mut self.socket, Token(token), interest)?;
        }
        if self.silent_since.is_none() && self.owes() {
            self.silent_since = Some(now);
        }
        Ok(())
    }

    /// Whether something is to come from it.
    fn owes(&self) -> bool {
        self.slots.is_none() || self.tasks.values().any(|task| task.state != State::Ready)
    }

    /// Reads what there is, as far as one turn goes. `Err`: there is no living, sane reader at the
    /// other end.
    pub fn receive(
        &mut self,
        registry: &Registry,
        token: usize,
        now: Duration,
        said: &mut Vec<Said>,
    ) -> io::Result<()> {
        let mut budget = RECEIVED_PER_TURN;
        while budget > 0 {
            let count = match read_some(&mut self.socket, &mut self.received, &mut budget) {
                Ok(Some(count)) => count,
                Ok(None) => return Ok(()),
                Err(error) => return Err(error),
            };
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.pinged = None;
            let taken = self.take_messages(said);
            self.silent_since = self.owes().then_some(now);
            taken?;
        }
        // Readiness is told when it begins. Asked anew, it is told again if there is more.
        let interest = self.interest();
        registry.reregister(&mut self.socket, Token(token), interest)
    }

    fn interest(&self) -> Interest {
        if self.is_writing { Interest::READABLE | Interest::WRITABLE } else { Interest::READABLE }
    }

    fn take_messages(&mut self, said: &mut Vec<Said>) -> Result<(), Garbage> {
        let mut received = std::mem::take(&mut self.received);
        let mut rest = &received[..];
        loop {
            if let Some(mut long) = self.long.take() {
                rest = &rest[long.take(rest)?..];
                match long.end() {
                    Ok(answer) => said.extend(self.take(answer)?),
                    Err(long) => {
                        self.long = Some(long);
                        break;
                    }
                }
            }
            let Some(length) = frame_length(rest, MAX_READ + REPLY_FIELDS)? else { break };
            let begun = &rest[4..rest.len().min(4 + length)];
            if length > SMALL && !self.is_expected(begun, length)? {
                break;
            }
            if begun.len() < length {
                let Some((long, taken)) = LongData::begin(length, begun)? else { break };
                self.long = Some(long);
                rest = &rest[4 + taken..];
                continue;
            }
            said.extend(self.take(Answer::decode(begun)?)?);
            rest = &rest[4 + length..];
        }
        let left = rest.len();
        if left == 0 && received.capacity() > 4 * CHUNK {
            // A buffer for 64 MiB is not worth keeping; the next reply is small.
            received = Vec::new();
        } else {
            received.drain(..received.len() - left);
        }
        self.received = received;
        Ok(())
    }

    /// Whether it is known yet that a long message may come. Nobody sends one who was not asked.
    fn is_expected(&self, begun: &[u8], length: usize) -> Result<bool, Garbage> {
        match Answer::job_of(begun).map(|task| self.tasks.get(&task).ok_or(Garbage)).transpose()? {
            None if begun.len() > 8 => Err(Garbage),
            None => Ok(false),
            Some(task) if length <= task.state.length() + REPLY_FIELDS => Ok(true),
            Some(_) => Err(Garbage),
        }
    }

    /// What was asked decides what may come: a reader that is not asked has nothing to say.
    fn take(&mut self, answer: Answer) -> Result<Option<Said>, Garbage> {
        match answer {
            Answer::Hello(hello) if self.slots.is_none() => {
                self.slots = Some(hello.slots);
                Ok(Some(Said::Hello(hello)))
            }
            Answer::Hello(_) => Err(Garbage),
            _ if self.slots.is_none() => Err(Garbage),
            Answer::Pong if self.is_ring => Ok(None),
            Answer::Pong => Err(Garbage),
            Answer::Closed(id) => {
                let Task { job, state } = *self.tasks.get(&id).ok_or(Garbage)?;
                // One that still has a job is not removed: the job has to hear of it.
                if state.is_working() {
                    return Err(Garbage);
                }
                self.tasks.remove(&id);
                let is_awaited = matches!(state, State::Lost { is_awaited: true, .. });
                Ok(is_awaited.then_some(Said::Released(job)))
            }
            Answer::Reply(id, reply) => {
                let task = self.tasks.get_mut(&id).ok_or(Garbage)?;
                if task.state.is_lost() {
                    return Ok(None);
                }
                if !answers(task.state, &reply) {
                    return Err(Garbage);
                }
                task.state = State::Ready;
                Ok(Some(Said::Reply(task.job, reply)))
            }
        }
    }
}

/// Appends what there is, up to a chunk, and not more than `budget`. `None`: there is nothing now.
fn read_some(source: &mut impl Read, received: &mut Vec<u8>, budget: &mut usize) -> io::Result<Option<usize>> {
    let have = received.len();
    received.resize(have + CHUNK.min(*budget), 0);
    let result = loop {
        match source.read(&mut received[have..]) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => break result,
        }
    };
    let count = *result.as_ref().unwrap_or(&0);
    received.truncate(have + count);
    *budget -= count;
    match result {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        result => result.map(Some),
    }
}

fn answers(state: State, reply: &Reply) -> bool {
    match (state, reply) {
        (State::Opening(length), Reply::Opened(Ok(opened))) => opened.head.len() <= length,
        (State::Opening(_), Reply::Opened(Err(_)) | Reply::Unread(_) | Reply::Unusable(_)) => true,
        (State::Reading(places, length), Reply::Data { pieces, .. }) => {
            // Who keeps the rest of a text back would have its beginning kept in memory.
            let is_whole = pieces.len() == places || pieces.last().is_some_and(Result::is_err);
            let is_short = pieces.len() <= places && pieces.iter().flatten().map(Vec::len).sum::<usize>() <= length;
            is_whole && is_short
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::CommandExt;
    use std::process::{Command, Stdio};

    /// A reader that has 16 MiB to say, of which one turn takes no more than its part, and the poll
    /// tells of the rest at once.
    #[test]
    fn a_long_reply_is_taken_over_many_turns() {
        const LENGTH: usize = 16 << 20;
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let mut poll = mio::Poll::new().unwrap();
        let mut socket = UnixStream::from_std(ours);
        poll.registry().register(&mut socket, Token(7), Interest::READABLE).unwrap();
        let child = Command::new("/proc/self/exe").arg0("-").arg("--list").stdout(Stdio::null()).spawn().unwrap();
        let mut process = Process::new(child, socket, true);
        process.slots = Some(1);
        process.tasks.insert(3, Task { job: 9, state: State::Reading(1, LENGTH) });
        let writer = std::thread::spawn(move || {
            let mut out = Vec::new();
            Answer::Reply(3, Reply::Data { diskseq: None, pieces: vec![Ok(vec![5; LENGTH])] }).put(&mut out);
            (&theirs).write_all(&out).unwrap();
            theirs
        });
        let (mut said, mut events, mut before) = (Vec::new(), mio::Events::with_capacity(4), 0);
        let come = |process: &Process| process.received.len() + process.long.as_ref().map_or(0, LongData::len);
        while said.is_empty() {
            poll.poll(&mut events, None).unwrap();
            assert!(events.iter().all(|event| event.token() == Token(7)));
            process.receive(poll.registry(), 7, Duration::ZERO, &mut said).unwrap();
            assert!(come(&process) <= before + (1 << 20), "{} in one turn", come(&process) - before);
            // It is never copied as a whole.
            assert!(process.received.capacity() <= 4 * CHUNK, "{}", process.received.capacity());
            before = come(&process);
        }
        assert!(matches!(&said[..], [Said::Reply(9, Reply::Data { pieces, .. })] if pieces[0] == Ok(vec![5; LENGTH])));
        drop(writer.join());
        let _ = process.child.wait();
    }

    /// The scan that wants both parts of a text would hold the first as long as the other is not there.
    #[test]
    fn a_reader_may_leave_out_only_what_follows_an_error() {
        let is_taken = |pieces| answers(State::Reading(2, 8), &Reply::Data { diskseq: None, pieces });
        let (good, bad) = (|| Ok(vec![1; 4]), || Err(5));
        assert!(is_taken(vec![good(), good()]) && is_taken(vec![bad(), good()]));
        assert!(is_taken(vec![good(), bad()]) && is_taken(vec![bad()]));
        assert!(!is_taken(vec![good()]) && !is_taken(vec![]));
        assert!(!is_taken(vec![good(), good(), bad()]) && !is_taken(vec![Ok(vec![1; 9]), bad()]));
    }

    /// Also if it comes faster than it is taken.
    #[test]
    fn what_never_ends_is_taken_in_parts() {
        let (mut received, mut budget, mut reads) = (Vec::new(), 3 * CHUNK + 7, 0);
        while budget > 0 {
            assert!(read_some(&mut io::repeat(1), &mut received, &mut budget).unwrap().unwrap() <= CHUNK);
            reads += 1;
        }
        assert_eq!((received.len(), reads), (3 * CHUNK + 7, 4));
    }
}
