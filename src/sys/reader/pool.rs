//! The daemon's end: the readers there are, what each does, and those that are hard to get rid of.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use mio::net::UnixStream;
use mio::{Interest, Registry, Token};

use super::{ARGUMENT, Answer, Garbage, MAX_READ, NAME, Open, REPLY_FIELDS, Reply, Request, frame_length};

pub type JobId = u64;

/// Readers kept for the next job. More are only needed when many devices are slow at once.
pub const IDLE_READERS: usize = 8;
/// One read from a socket.
const CHUNK: usize = 256 << 10;

#[derive(Debug, PartialEq, Eq)]
pub enum Happening {
    Reply(JobId, Reply),
    /// The reader of this job died, or wrote what no reader writes. The job has no reader any more.
    Died(JobId),
    /// An abandoned reader has at last exited, so its device answers again or is gone.
    Released(JobId),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub idle: usize,
    /// With a job, or still closing the device of the last one.
    pub busy: usize,
    /// Killed and not yet gone.
    pub abandoned: usize,
}

pub struct Pool {
    executable: PathBuf,
    /// By token. Tokens are not used again, so a late readiness event of a reader that is gone
    /// finds nothing.
    readers: BTreeMap<usize, Reader>,
    next_token: usize,
    jobs: BTreeMap<JobId, usize>,
    /// Killed and not yet gone.
    dying: Vec<Dying>,
}

struct Reader {
    process: Child,
    socket: UnixStream,
    received: Vec<u8>,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Idle,
    /// Told to close its device, which may hang too: not idle before it says so.
    Closing,
    /// Has a job, and owes no reply.
    Ready(JobId),
    /// Owes the reply to a request for so many bytes (at this offset, if it was a read).
    Opening(JobId, usize),
    Reading(JobId, u64, usize),
}

struct Dying {
    process: Child,
    /// The job that was abandoned; `None` when nobody waits for the news.
    job: Option<JobId>,
}

impl State {
    fn job(self) -> Option<JobId> {
        match self {
            State::Idle | State::Closing => None,
            State::Ready(job) | State::Opening(job, _) | State::Reading(job, _, _) => Some(job),
        }
    }

    /// The longest message that may come now.
    fn reply_limit(self) -> usize {
        match self {
            State::Opening(_, length) | State::Reading(_, _, length) => length + REPLY_FIELDS,
            State::Idle | State::Closing | State::Ready(_) => REPLY_FIELDS,
        }
    }
}

impl Pool {
    /// Tokens from `first_token` on are the pool's.
    pub fn new(first_token: usize) -> Pool {
        // Not the path it was started by: after an upgrade that is another program.
        Pool::with_executable(first_token, "/proc/self/exe".into())
    }

    /// `executable` has to call `run_if_reader` first thing.
    pub fn with_executable(first_token: usize, executable: PathBuf) -> Pool {
        Pool { executable, readers: BTreeMap::new(), next_token: first_token, jobs: BTreeMap::new(), dying: Vec::new() }
    }

    /// Gives the job an idle reader or a new one. Its next happening is `Opened` or `Died`.
    pub fn open(&mut self, registry: &Registry, job: JobId, request: Open) -> io::Result<()> {
        check_length(request.first)?;
        if self.jobs.contains_key(&job) {
            return Err(invalid("the job has a reader already"));
        }
        let message = Request::Open(request.clone()).encode();
        // An idle reader may have died unnoticed; a new one has not.
        while let Some(token) = self.idle() {
            if self.send(token, &message, State::Opening(job, request.first)).is_ok() {
                return Ok(());
            }
            self.retire(registry, token, None);
        }
        let token = self.spawn(registry)?;
        let result = self.send(token, &message, State::Opening(job, request.first));
        if result.is_err() {
            self.retire(registry, token, None);
        }
        result
    }

    /// One request at a time: the reply to the one before has to be there.
    pub fn read(&mut self, job: JobId, (offset, length): (u64, usize)) -> io::Result<()> {
        check_length(length)?;
        let token = *self.jobs.get(&job).ok_or_else(|| invalid("the job has no reader"))?;
        if self.readers[&token].state != State::Ready(job) {
            return Err(invalid("the reader still owes a reply"));
        }
        self.send(token, &Request::Read { offset, length }.encode(), State::Reading(job, offset, length))
    }

    /// Ends a job. A reader that still owes a reply is abandoned, without a `Released` to come.
    pub fn close(&mut self, registry: &Registry, job: JobId) {
        let Some(token) = self.jobs.remove(&job) else { return };
        let spare = self.readers.values().filter(|reader| reader.state.job().is_none()).count();
        let ready = self.readers[&token].state == State::Ready(job);
        if !ready || spare >= IDLE_READERS || self.send(token, &Request::Close.encode(), State::Closing).is_err() {
            self.retire(registry, token, None);
        }
    }

    /// Kills the reader. It may take its time to die, so `Released` comes when it has; until then
    /// its device is held open. Nothing else comes about this job.
    pub fn abandon(&mut self, registry: &Registry, job: JobId) {
        if let Some(token) = self.jobs.remove(&job) {
            self.retire(registry, token, Some(job));
        }
    }

    /// Reads what readers sent. Tokens that are not the pool's are ignored.
    pub fn handle_ready(&mut self, registry: &Registry, token: Token, out: &mut Vec<Happening>) {
        let Some(reader) = self.readers.get_mut(&token.0) else { return };
        let (job, mut answers) = (reader.state.job(), Vec::new());
        let result = reader.receive(&mut answers);
        out.extend(answers.into_iter().filter_map(|reply| Some(Happening::Reply(job?, reply))));
        if result.is_err() {
            if let Some(job) = job {
                self.jobs.remove(&job);
                out.push(Happening::Died(job));
            }
            self.retire(registry, token.0, None);
            self.reap(out);
        }
    }

    /// Collects the readers that have died; after SIGCHLD, and now and then.
    pub fn reap(&mut self, out: &mut Vec<Happening>) {
        self.dying.retain_mut(|dying| match dying.process.try_wait() {
            Ok(None) => true,
            // An error means that there is no such child (any more).
            Ok(Some(_)) | Err(_) => {
                out.extend(dying.job.map(Happening::Released));
                false
            }
        });
    }

    pub fn counts(&self) -> Counts {
        let idle = self.readers.values().filter(|reader| reader.state == State::Idle).count();
        Counts { idle, busy: self.readers.len() - idle, abandoned: self.dying.len() }
    }

    /// The jobs whose readers are not yet gone, with the process each waits for.
    pub fn abandoned(&self) -> impl Iterator<Item = (JobId, u32)> + '_ {
        self.dying.iter().filter_map(|dying| Some((dying.job?, dying.process.id())))
    }

    /// The process that works for a job.
    pub fn process_of(&self, job: JobId) -> Option<u32> {
        Some(self.readers[self.jobs.get(&job)?].process.id())
    }

    fn idle(&self) -> Option<usize> {
        self.readers.iter().find(|(_, reader)| reader.state == State::Idle).map(|(&token, _)| token)
    }

    fn spawn(&mut self, registry: &Registry) -> io::Result<usize> {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let mut socket = UnixStream::from_std(ours);
        let token = self.next_token;
        registry.register(&mut socket, Token(token), Interest::READABLE)?;
        // The environment stays here: it has what the service manager meant for the daemon.
        let process = Command::new(&self.executable)
            .arg0(NAME)
            .arg(ARGUMENT)
            .env_clear()
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .spawn()?;
        self.next_token += 1;
        self.readers.insert(token, Reader { process, socket, received: Vec::new(), state: State::Idle });
        Ok(token)
    }

    /// The socket has room for many requests, so one that does not fit means that the reader does
    /// not read: an error like any other.
    fn send(&mut self, token: usize, message: &[u8], state: State) -> io::Result<()> {
        let reader = self.readers.get_mut(&token).expect("tokens in use have readers");
        let written = reader.socket.write(message)?;
        if written != message.len() {
            return Err(io::ErrorKind::WriteZero.into());
        }
        reader.state = state;
        if let Some(job) = state.job() {
            self.jobs.insert(job, token);
        }
        Ok(())
    }

    fn retire(&mut self, registry: &Registry, token: usize, job: Option<JobId>) {
        let Some(mut reader) = self.readers.remove(&token) else { return };
        // Closing the socket would do it too; and a process that is gone needs no killing.
        let _ = registry.deregister(&mut reader.socket);
        let _ = reader.process.kill();
        self.dying.push(Dying { process: reader.process, job });
    }
}

impl Drop for Pool {
    /// Kills and does not wait: a reader that hangs must not keep the daemon from leaving.
    fn drop(&mut self) {
        for reader in self.readers.values_mut() {
            let _ = reader.process.kill();
        }
    }
}

impl Reader {
    /// Reads until there is nothing more. `Err`: there is no living, sane reader at the other end.
    fn receive(&mut self, replies: &mut Vec<Reply>) -> io::Result<()> {
        loop {
            let have = self.received.len();
            self.received.resize(have + CHUNK, 0);
            let result = self.socket.read(&mut self.received[have..]);
            self.received.truncate(have + *result.as_ref().unwrap_or(&0));
            match result {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) => self.take_messages(replies)?,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn take_messages(&mut self, replies: &mut Vec<Reply>) -> Result<(), Garbage> {
        while let Some(length) = frame_length(&self.received, self.state.reply_limit())? {
            let Some(message) = self.received.get(4..4 + length) else { break };
            let answer = Answer::decode(message)?;
            // What was asked decides what may come: a reader that is not asked has nothing to say.
            let state = match (self.state, &answer) {
                (State::Closing, Answer::Closed) => State::Idle,
                (State::Opening(job, length), Answer::Reply(Reply::Opened(result))) => match result {
                    Ok(opened) if opened.head.len() > length => return Err(Garbage),
                    _ => State::Ready(job),
                },
                (State::Opening(job, _), Answer::Reply(Reply::Unusable(_))) => State::Ready(job),
                (State::Reading(job, asked, length), Answer::Reply(Reply::Data { offset, bytes, .. })) => match bytes {
                    Ok(bytes) if bytes.len() > length => return Err(Garbage),
                    _ if *offset != asked => return Err(Garbage),
                    _ => State::Ready(job),
                },
                _ => return Err(Garbage),
            };
            self.state = state;
            if let Answer::Reply(reply) = answer {
                replies.push(reply);
            }
            // A buffer for 64 MiB is not worth keeping; the next reply is small.
            self.received = self.received.split_off(4 + length);
        }
        Ok(())
    }
}

fn check_length(length: usize) -> io::Result<()> {
    if length > MAX_READ { Err(invalid("longer than a reader reads at once")) } else { Ok(()) }
}

fn invalid(reason: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, reason)
}
