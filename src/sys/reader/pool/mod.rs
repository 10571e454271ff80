//! The daemon's end: the readers there are, what each does, and those that are hard to get rid of.

mod pauses;
mod process;

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use mio::net::UnixStream;
use mio::{Interest, Registry, Token};

use super::messages::{Hello, Request};
use super::{ARGUMENT, JobId, MAX_PIECES, MAX_READ, NAME, Open, PLAIN_JOBS, RING_ARGUMENT, RING_JOBS, Reply};
use crate::conf::Reader as Choice;
use crate::ondisk::ByteRange;
use crate::sys::{clock, panic};
use pauses::Pauses;
use process::{Process, Said, State, Task, TaskId};

/// Plain readers kept for the next job. More are only needed when many devices are slow at once.
pub const IDLE_READERS: usize = 8;
/// So many tasks given up that wait for their devices, and the ring gets no new ones.
const LOST_MAX: usize = RING_JOBS / 2;
/// Likewise, with those that are being closed: that many are only if closing hangs.
pub(super) const LEAVING_MAX: usize = RING_JOBS + LOST_MAX;
/// How long a ring that works on something may say nothing before it is asked whether it lives, and
/// how long it may take to answer. At most a quarter of the time that a device has.
const PATIENCE: Duration = Duration::from_millis(2500);
/// The same of one that waits for lost devices only.
const PATIENCE_WITH_LOST: Duration = Duration::from_secs(30);

#[derive(Debug, PartialEq, Eq)]
pub enum Happening {
    Reply(JobId, Reply),
    /// The reader of this job died, or wrote what no reader writes. The job has no reader any more.
    Died(JobId),
    /// The same of a reader that had other jobs, or it hung altogether: that shows nothing of this one.
    Lost(JobId),
    /// No process could be started for this job, by this errno.
    NoReader(JobId, i32),
    /// What an abandoned job had begun is over, so its device answers again or is gone.
    Released(JobId),
    /// So many jobs can be worked on at a time from now on.
    Capacity(usize),
}

/// What devices are read with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Engine {
    pub is_ring: bool,
    /// Why it is no ring, or what the ring has to do without.
    pub note: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Readers without a job.
    pub idle: usize,
    /// Jobs that readers have, or whose devices they are still closing, or that wait for a reader.
    pub busy: usize,
    /// Jobs given up that are not over, and readers killed and not yet gone.
    pub abandoned: usize,
}

pub struct Pool {
    executable: PathBuf,
    /// By token. Tokens are not used again, so a late readiness event of a reader that is gone
    /// finds nothing.
    readers: BTreeMap<usize, Process>,
    next_token: usize,
    next_task: TaskId,
    jobs: BTreeMap<JobId, (usize, TaskId)>,
    /// Jobs that have no reader yet.
    waiting: VecDeque<(JobId, Open)>,
    /// Killed and not yet gone.
    dying: Vec<Dying>,
    choice: Choice,
    ring: Ring,
    note: Option<String>,
    pauses: Pauses,
    patience: Duration,
    /// What is to be told at the next opportunity.
    news: Vec<Happening>,
}

/// The one that gets new jobs. Others may be there that wait for lost devices.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ring {
    None,
    Starting(usize),
    Ready(usize),
    /// Plain readers do its work until then.
    Paused(Duration),
}

struct Dying {
    process: Child,
    /// The jobs that were abandoned.
    jobs: Vec<JobId>,
}

impl Pool {
    /// Tokens from `first_token` on are the pool's.
    pub fn new(first_token: usize) -> Pool {
        // Not the path it was started by: after an upgrade that is another program.
        Pool::with_executable(first_token, "/proc/self/exe".into())
    }

    /// `executable` has to call `run_if_reader` first thing. Without [`Pool::choose`], plain readers
    /// work.
    pub fn with_executable(first_token: usize, executable: PathBuf) -> Pool {
        Pool {
            executable,
            readers: BTreeMap::new(),
            next_token: first_token,
            next_task: 1,
            jobs: BTreeMap::new(),
            waiting: VecDeque::new(),
            dying: Vec::new(),
            choice: Choice::Pool,
            ring: Ring::None,
            note: None,
            pauses: Pauses::default(),
            patience: PATIENCE,
            news: Vec::new(),
        }
    }

    /// `deadline` is how long a job may take: within half of it, it is known of a ring that hangs that
    /// it is not the devices.
    pub fn choose(&mut self, registry: &Registry, choice: Choice, deadline: Duration) {
        self.patience = (deadline / 4).min(PATIENCE);
        match (self.choice, choice) {
            (Choice::Pool, Choice::Auto) => self.start_ring(registry),
            // What kept it from being one may be over.
            (Choice::Auto, Choice::Auto) if matches!(self.ring, Ring::None | Ring::Paused(_)) => {
                self.pauses = Pauses::default();
                self.start_ring(registry);
            }
            (Choice::Auto, Choice::Pool) => {
                self.ring = Ring::None;
                self.news.push(Happening::Capacity(PLAIN_JOBS));
                self.retire_empty_rings(registry);
            }
            _ => {}
        }
        if choice == Choice::Pool {
            self.note = Some("pvwatch/reader is \"pool\"".into());
        }
        self.choice = choice;
    }

    pub fn engine(&self) -> Engine {
        Engine { is_ring: matches!(self.ring, Ring::Ready(_)), note: self.note.clone() }
    }

    /// Gives the job a reader, or lets it wait for one. Its next happening is `Opened`, or that there
    /// is no reader for it any more.
    pub fn open(&mut self, registry: &Registry, job: JobId, request: Open) -> io::Result<()> {
        check_length(request.first)?;
        if self.jobs.contains_key(&job) || self.is_waiting(job) {
            return Err(invalid("the job has a reader already"));
        }
        match self.ring {
            Ring::Ready(token) if self.readers[&token].has_room() => {
                self.assign(token, job, request);
                Ok(())
            }
            Ring::Ready(_) | Ring::Starting(_) => {
                self.waiting.push_back((job, request));
                Ok(())
            }
            Ring::None | Ring::Paused(_) => self.open_plain(registry, job, request),
        }
    }

    fn is_waiting(&self, job: JobId) -> bool {
        self.waiting.iter().any(|(waiting, _)| *waiting == job)
    }

    fn assign(&mut self, token: usize, job: JobId, open: Open) {
        let task = self.next_task;
        self.next_task += 1;
        let reader = self.readers.get_mut(&token).expect("tokens in use have readers");
        reader.tasks.insert(task, Task { job, state: State::Opening(open.first) });
        reader.put(&Request::Open(task, open));
        self.jobs.insert(job, (token, task));
    }

    fn open_plain(&mut self, registry: &Registry, job: JobId, open: Open) -> io::Result<()> {
        // An idle reader may have died unnoticed; a new one has not.
        while let Some(token) = self.idle() {
            self.assign(token, job, open.clone());
            if self.flush_one(registry, token).is_ok() {
                return Ok(());
            }
            self.jobs.remove(&job);
            self.retire(registry, token);
        }
        let token = self.spawn(registry, false)?;
        self.assign(token, job, open);
        let result = self.flush_one(registry, token);
        if result.is_err() {
            self.jobs.remove(&job);
            self.retire(registry, token);
        }
        result
    }

    fn flush_one(&mut self, registry: &Registry, token: usize) -> io::Result<()> {
        let reader = self.readers.get_mut(&token).expect("tokens in use have readers");
        reader.flush(registry, token, clock::now())
    }

    /// Reads up to [`MAX_PIECES`] places. One request at a time: the reply to the one before has to
    /// be there.
    pub fn read(&mut self, registry: &Registry, job: JobId, ranges: &[ByteRange]) -> io::Result<()> {
        let length = ranges.iter().fold(0_usize, |sum, range| sum.saturating_add(range.length));
        check_length(length)?;
        if !(1..=MAX_PIECES).contains(&ranges.len()) {
            return Err(invalid("none, or more places than a reader reads at once"));
        }
        let (token, task) = *self.jobs.get(&job).ok_or_else(|| invalid("the job has no reader"))?;
        let reader = self.readers.get_mut(&token).expect("tokens in use have readers");
        if reader.tasks[&task].state != State::Ready {
            return Err(invalid("the reader still owes a reply"));
        }
        reader.set(task, State::Reading(ranges.len(), length));
        reader.put(&Request::Read(task, ranges.to_vec()));
        if reader.is_ring { Ok(()) } else { self.flush_one(registry, token) }
    }

    /// Ends a job. If it still owes a reply it is abandoned, without a `Released` to come.
    pub fn close(&mut self, registry: &Registry, job: JobId) {
        self.waiting.retain(|(waiting, _)| *waiting != job);
        let Some((token, task)) = self.jobs.remove(&job) else { return };
        let spare = self.readers.values().filter(|reader| !reader.is_ring && !has_job(reader)).count();
        let reader = self.readers.get_mut(&token).expect("tokens in use have readers");
        let state = reader.tasks[&task].state;
        if reader.is_ring && state.is_owing() {
            self.lose(registry, token, task, false);
        } else if reader.is_ring {
            reader.set(task, State::Closing);
            reader.put(&Request::Close(task));
            self.replace_worn(registry, token);
        } else if state == State::Ready && spare < IDLE_READERS {
            reader.set(task, State::Closing);
            reader.put(&Request::Close(task));
            if self.flush_one(registry, token).is_err() {
                self.retire(registry, token);
            }
        } else {
            self.retire(registry, token);
        }
    }

    /// Gives up what the job has begun, and the reader itself if it has no other. That may take its
    /// time, so `Released` comes when it is over; until then the device is held open. Nothing else
    /// comes about this job.
    pub fn abandon(&mut self, registry: &Registry, job: JobId) {
        if self.is_waiting(job) {
            self.waiting.retain(|(waiting, _)| *waiting != job);
            self.news.push(Happening::Released(job));
        }
        if let Some((token, task)) = self.jobs.remove(&job) {
            self.lose(registry, token, task, true);
        }
    }

    fn lose(&mut self, registry: &Registry, token: usize, task: TaskId, is_awaited: bool) {
        let reader = self.readers.get_mut(&token).expect("tokens in use have readers");
        let length = reader.tasks[&task].state.length();
        reader.set(task, State::Lost { is_awaited, length });
        if reader.is_ring {
            reader.put(&Request::Cancel(task));
            self.replace_worn(registry, token);
        } else {
            self.retire(registry, token);
        }
    }

    /// A ring in which too many slots are lost gets no new jobs. It goes on with those it has, and
    /// ends when nothing hangs any more.
    fn replace_worn(&mut self, registry: &Registry, token: usize) {
        let reader = &self.readers[&token];
        let is_leaving = |state: State| state.is_lost() || state == State::Closing;
        let is_worn = reader.count(State::is_lost) >= LOST_MAX || reader.count(is_leaving) >= LEAVING_MAX;
        if self.ring == Ring::Ready(token) && is_worn {
            log::info!("too many devices hang in one reader, starting another");
            self.start_ring(registry);
        }
    }

    /// To be called when there is nothing more to ask for at the moment: requests to a ring go out
    /// together.
    pub fn flush(&mut self, registry: &Registry, out: &mut Vec<Happening>) {
        self.dispatch(registry);
        let rings = self.readers.iter().filter(|(_, reader)| reader.is_ring).map(|(token, _)| *token);
        for token in rings.collect::<Vec<_>>() {
            if let Err(error) = self.flush_one(registry, token) {
                self.lose_reader(registry, token, &error.to_string());
            }
        }
        out.append(&mut self.news);
    }

    /// Gives jobs that wait a reader.
    fn dispatch(&mut self, registry: &Registry) {
        while !self.waiting.is_empty() {
            let plain = self.readers.values().filter(|reader| !reader.is_ring && has_job(reader)).count();
            let has_room = match self.ring {
                Ring::Starting(_) => false,
                Ring::Ready(token) => self.readers[&token].has_room(),
                Ring::None | Ring::Paused(_) => plain < PLAIN_JOBS,
            };
            let Some((job, open)) = has_room.then(|| self.waiting.pop_front()).flatten() else { return };
            if let Err(error) = self.open(registry, job, open) {
                self.news.push(Happening::NoReader(job, error.raw_os_error().unwrap_or(0)));
            }
        }
    }

    /// Reads what readers sent. Tokens that are not the pool's are ignored.
    pub fn handle_ready(&mut self, registry: &Registry, token: Token, out: &mut Vec<Happening>) {
        let Token(token) = token;
        let Some(reader) = self.readers.get_mut(&token) else { return };
        let now = clock::now();
        let mut said = Vec::new();
        let mut result = reader.receive(registry, token, now, &mut said);
        if result.is_ok() {
            result = reader.flush(registry, token, now);
        }
        for said in said {
            match said {
                Said::Hello(hello) => self.greeted(token, hello),
                Said::Reply(job, reply) => self.news.push(Happening::Reply(job, reply)),
                Said::Released(job) => self.news.push(Happening::Released(job)),
            }
        }
        let has_failed = result.is_err();
        if let Err(error) = result {
            self.lose_reader(registry, token, &error.to_string());
        }
        self.retire_empty_rings(registry);
        self.dispatch(registry);
        out.append(&mut self.news);
        if has_failed {
            self.reap(out);
        }
    }

    fn greeted(&mut self, token: usize, hello: Hello) {
        if self.ring != Ring::Starting(token) {
            return;
        }
        if hello.slots > 1 {
            log::debug!("devices are read with io_uring; {}", hello.note.as_deref().unwrap_or("nothing is missing"));
            self.ring = Ring::Ready(token);
            self.pauses.works(clock::now());
            self.news.push(Happening::Capacity(RING_JOBS));
        } else {
            let reader = self.readers.get_mut(&token).expect("it has just said so");
            reader.is_ring = false;
            self.ring = Ring::None;
            let why = hello.note.as_deref().unwrap_or_default();
            log::info!("io_uring is not to be had ({why}): {PLAIN_JOBS} devices are read at a time");
            self.news.push(Happening::Capacity(PLAIN_JOBS));
        }
        self.note = hello.note;
    }

    /// When [`Pool::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Duration> {
        let resume = match self.ring {
            Ring::Paused(until) => Some(until),
            Ring::None | Ring::Starting(_) | Ring::Ready(_) => None,
        };
        self.readers.values().filter_map(|reader| self.due(reader)).chain(resume).min()
    }

    /// When the silence of a ring has lasted too long. That of a plain reader is its device's.
    fn due(&self, reader: &Process) -> Option<Duration> {
        let since = reader.pinged.or(reader.silent_since).filter(|_| reader.is_ring)?;
        let is_at_work = reader.slots.is_none() || reader.tasks.values().any(|task| task.state.is_owing());
        let patience = if is_at_work || reader.pinged.is_some() { self.patience } else { PATIENCE_WITH_LOST };
        Some(since + patience)
    }

    /// Asks silent rings whether they live, and replaces those that did not answer.
    pub fn handle_timeout(&mut self, registry: &Registry, now: Duration, out: &mut Vec<Happening>) {
        let is_due = |reader: &Process| self.due(reader).is_some_and(|due| due <= now);
        let due = self.readers.iter().filter(|(_, reader)| is_due(reader)).map(|(token, _)| *token);
        for token in due.collect::<Vec<_>>() {
            let reader = self.readers.get_mut(&token).expect("found above");
            if reader.pinged.is_some() {
                self.lose_reader(registry, token, "it does not answer");
            } else {
                reader.pinged = Some(now);
                reader.put(&Request::Ping);
            }
        }
        if matches!(self.ring, Ring::Paused(until) if until <= now) {
            self.start_ring(registry);
        }
        self.flush(registry, out);
    }

    fn start_ring(&mut self, registry: &Registry) {
        match self.spawn(registry, true) {
            Ok(token) => self.ring = Ring::Starting(token),
            Err(error) => self.pause(&error.to_string()),
        }
    }

    fn pause(&mut self, why: &str) {
        let now = clock::now();
        let pause = self.pauses.next(now);
        self.ring = Ring::Paused(now + pause);
        self.note = Some(format!("the reader with io_uring was given up: {why}"));
        log::warn!(
            "the reader with io_uring was given up ({why}): for {} s, {PLAIN_JOBS} devices are read at a time",
            pause.as_secs()
        );
        self.news.push(Happening::Capacity(PLAIN_JOBS));
    }

    /// There is no living, sane reader any more behind the token.
    fn lose_reader(&mut self, registry: &Registry, token: usize, why: &str) {
        let Some(reader) = self.readers.get(&token) else { return };
        let is_ring = reader.is_ring;
        let jobs = reader.tasks.values().filter(|task| task.state.is_working()).map(|task| task.job);
        let jobs = jobs.collect::<Vec<_>>();
        if [Ring::Starting(token), Ring::Ready(token)].contains(&self.ring) {
            self.pause(why);
        }
        for job in jobs {
            self.jobs.remove(&job);
            self.news.push(if is_ring { Happening::Lost(job) } else { Happening::Died(job) });
        }
        self.retire(registry, token);
    }

    /// Collects the readers that have died; after SIGCHLD, and now and then.
    pub fn reap(&mut self, out: &mut Vec<Happening>) {
        self.dying.retain_mut(|dying| match dying.process.try_wait() {
            Ok(None) => true,
            // An error means that there is no such child (any more).
            Ok(Some(_)) | Err(_) => {
                out.extend(dying.jobs.drain(..).map(Happening::Released));
                false
            }
        });
    }

    pub fn counts(&self) -> Counts {
        let lost = self.readers.values().map(|reader| reader.count(State::is_lost)).sum::<usize>();
        let tasks = self.readers.values().map(|reader| reader.tasks.len()).sum::<usize>();
        Counts {
            idle: self.readers.values().filter(|reader| reader.tasks.is_empty()).count(),
            busy: tasks - lost + self.waiting.len(),
            abandoned: lost + self.dying.len(),
        }
    }

    /// The jobs that are given up and not over, with the process each waits for.
    pub fn abandoned(&self) -> impl Iterator<Item = (JobId, u32)> + '_ {
        let lost = self.readers.values().flat_map(|reader| {
            let lost = reader.tasks.values().filter_map(awaited);
            lost.map(|job| (job, reader.child.id()))
        });
        let dying = self.dying.iter().flat_map(|dying| dying.jobs.iter().map(|job| (*job, dying.process.id())));
        lost.chain(dying)
    }

    /// The process that works for a job.
    pub fn process_of(&self, job: JobId) -> Option<u32> {
        let (token, _) = self.jobs.get(&job)?;
        Some(self.readers[token].child.id())
    }

    fn idle(&self) -> Option<usize> {
        let mut idle = self.readers.iter().filter(|(_, reader)| !reader.is_ring && reader.tasks.is_empty());
        idle.next().map(|(&token, _)| token)
    }

    fn spawn(&mut self, registry: &Registry, is_ring: bool) -> io::Result<usize> {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let mut socket = UnixStream::from_std(ours);
        let token = self.next_token;
        registry.register(&mut socket, Token(token), Interest::READABLE)?;
        // The environment stays here: it has what the service manager meant for the daemon.
        let child = Command::new(&self.executable)
            .arg0(NAME)
            .arg(ARGUMENT)
            .args(is_ring.then_some(RING_ARGUMENT))
            .env_clear()
            .envs(panic::asked_for().map(|place| (panic::VARIABLE, place)))
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .spawn()?;
        self.next_token += 1;
        let mut reader = Process::new(child, socket, is_ring);
        reader.silent_since = Some(clock::now());
        self.readers.insert(token, reader);
        Ok(token)
    }

    /// Rings that get no new jobs and have none.
    fn retire_empty_rings(&mut self, registry: &Registry) {
        let is_over = |token: usize, reader: &Process| {
            let is_current = [Ring::Starting(token), Ring::Ready(token)].contains(&self.ring);
            reader.is_ring && reader.tasks.is_empty() && !is_current
        };
        let over = self.readers.iter().filter(|(token, reader)| is_over(**token, reader)).map(|(token, _)| *token);
        for token in over.collect::<Vec<_>>() {
            self.retire(registry, token);
        }
    }

    fn retire(&mut self, registry: &Registry, token: usize) {
        let Some(mut reader) = self.readers.remove(&token) else { return };
        // Closing the socket would do it too; and a process that is gone needs no killing.
        let _ = registry.deregister(&mut reader.socket);
        let _ = reader.child.kill();
        self.dying.push(Dying { jobs: reader.tasks.values().filter_map(awaited).collect(), process: reader.child });
    }
}

impl Drop for Pool {
    /// Kills and does not wait: a reader that hangs must not keep the daemon from leaving.
    fn drop(&mut self) {
        for reader in self.readers.values_mut() {
            let _ = reader.child.kill();
        }
    }
}

/// Of a plain reader.
fn has_job(reader: &Process) -> bool {
    reader.tasks.values().any(|task| task.state.is_working())
}

/// The job that waits for the end of a task given up.
fn awaited(task: &Task) -> Option<JobId> {
    matches!(task.state, State::Lost { is_awaited: true, .. }).then_some(task.job)
}

fn check_length(length: usize) -> io::Result<()> {
    if length > MAX_READ { Err(invalid("longer than a reader reads at once")) } else { Ok(()) }
}

fn invalid(reason: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, reason)
}
