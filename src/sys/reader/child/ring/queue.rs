#![allow(unsafe_code)]
//! What is submitted to the kernel and what comes back, the daemon's socket included.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsRawFd, IntoRawFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use io_uring::squeue::{Entry, Flags};
use io_uring::types::{Fd, SubmitArgs, Timespec};
use io_uring::{IoUring, opcode};
use nix::errno::Errno;
use nix::libc;

use super::super::KEEP_BUFFER;
use super::super::source::Source;
use super::job::{Job, Part};
use crate::sys::reader::MAX_PIECES;

/// One read from the socket: the requests of a turn of the daemon's.
const CHUNK: usize = 64 << 10;
/// Every open and close is given to a thread, and the kernel makes one for each that finds none free.
/// Most are over so soon that few threads do them all: so not many are begun at first.
const BEGIN: usize = 8;
/// If some have not begun after that time, those before them are slow: twice as many are let go.
const PATIENCE: Duration = Duration::from_millis(10);

const RECEIVE: u64 = u64::MAX;
const SEND: u64 = u64::MAX - 1;
const CANCEL: u64 = u64::MAX - 2;

/// What the kernel knows an operation of a job by.
fn number(slot: usize, piece: usize) -> u64 {
    (slot * MAX_PIECES + piece) as u64
}

pub enum Completion {
    /// Something came from the daemon.
    Received,
    /// Of what the job in this slot had begun. `piece` says which of the places it reads.
    Job { slot: usize, piece: usize, result: nix::Result<usize> },
}

pub struct Queue {
    ring: IoUring,
    /// `None` before it is attached.
    socket: Option<UnixStream>,
    chunk: Box<[u8]>,
    received: nix::Result<usize>,
    /// What is being sent, and how much of it has been.
    sending: Vec<u8>,
    sent: usize,
    /// To be submitted next.
    entries: VecDeque<Entry>,
    /// Opens and closes, which wait until there are fewer with the kernel.
    slow: VecDeque<(usize, Entry)>,
    begun: usize,
    window: usize,
    /// Since when some wait.
    waiting_since: Option<Instant>,
    /// Which of the jobs' operations is an open or a close.
    is_slow: Vec<bool>,
}

impl Queue {
    pub fn new(ring: IoUring) -> Queue {
        Queue {
            ring,
            socket: None,
            chunk: vec![0; CHUNK].into_boxed_slice(),
            received: Ok(0),
            sending: Vec::new(),
            sent: 0,
            entries: VecDeque::new(),
            slow: VecDeque::new(),
            begun: 0,
            window: BEGIN,
            waiting_since: None,
            is_slow: Vec::new(),
        }
    }

    pub fn attach(&mut self, socket: UnixStream) {
        self.socket = Some(socket);
        self.receive();
    }

    fn socket(&self) -> Fd {
        Fd(self.socket.as_ref().map_or(-1, AsRawFd::as_raw_fd))
    }

    /// Waits for the daemon again; what came last must have been taken.
    pub fn receive(&mut self) {
        let length = u32::try_from(self.chunk.len()).expect("it is CHUNK");
        let entry = opcode::Recv::new(self.socket(), self.chunk.as_mut_ptr(), length).build();
        self.entries.push_back(entry.user_data(RECEIVE));
    }

    /// `None` when the daemon has closed its end.
    pub fn take_received(&mut self) -> io::Result<Option<&[u8]>> {
        match self.received {
            Ok(0) | Err(Errno::ECONNRESET) => Ok(None),
            Ok(length) => Ok(Some(&self.chunk[..length])),
            Err(Errno::EINTR | Errno::EAGAIN) => Ok(Some(&[])),
            Err(error) => Err(error.into()),
        }
    }

    /// The path lives in the job until the open is over.
    pub fn open(&mut self, slot: usize, job: &Job) {
        let entry = opcode::OpenAt::new(Fd(libc::AT_FDCWD), job.path.as_ptr()).flags(job.flags.get().bits()).build();
        self.put_slow(slot, entry);
    }

    pub fn close(&mut self, slot: usize, source: Source) {
        self.put_slow(slot, opcode::Close::new(Fd(source.file.into_raw_fd())).build());
    }

    fn put_slow(&mut self, slot: usize, entry: Entry) {
        if self.slow.is_empty() {
            // Those that have been with the kernel for long do not count.
            self.window = self.begun + BEGIN;
            self.waiting_since = Some(Instant::now());
        }
        self.slow.push_back((slot, entry.flags(Flags::ASYNC).user_data(number(slot, 0))));
    }

    /// Whether an open of the job had not begun, and will not.
    pub fn forget(&mut self, slot: usize) -> bool {
        let before = self.slow.len();
        self.slow.retain(|(waiting, _)| *waiting != slot);
        self.slow.len() < before
    }

    /// The memory of the part is kept until the read is over.
    pub fn read(&mut self, slot: usize, piece: usize, part: Part) {
        let Part { file, start, at, is_registered, is_put_off, .. } = part;
        let length = u32::try_from(part.length).expect("MAX_READ and a block fit");
        let entry = if is_registered {
            opcode::ReadFixed::new(Fd(file), start, length, 0).offset(at).build()
        } else {
            opcode::Read::new(Fd(file), start, length).offset(at).build()
        };
        let flags = if is_put_off { Flags::ASYNC } else { Flags::empty() };
        self.entries.push_back(entry.flags(flags).user_data(number(slot, piece)));
    }

    /// The operation ends with an error if it can be made to end.
    pub fn cancel(&mut self, slot: usize, piece: usize) {
        self.entries.push_back(opcode::AsyncCancel::new(number(slot, piece)).build().user_data(CANCEL));
    }

    /// Submits what there is, `out` to the daemon included, and waits until something is over.
    pub fn turn(&mut self, out: &mut Vec<u8>) -> io::Result<Vec<Completion>> {
        if self.sending.is_empty() && !out.is_empty() {
            std::mem::swap(&mut self.sending, out);
            self.sent = 0;
            self.send();
        }
        self.begin_slow();
        self.submit()?;
        let mut completions = Vec::new();
        let over = self.ring.completion().map(|entry| (entry.user_data(), entry.result())).collect::<Vec<_>>();
        for (whose, result) in over {
            let result = usize::try_from(result).map_err(|_| Errno::from_raw(-result));
            match whose {
                RECEIVE => {
                    self.received = result;
                    completions.push(Completion::Received);
                }
                SEND => self.has_sent(result)?,
                CANCEL => {}
                job => {
                    let number = usize::try_from(job).expect("it was one");
                    let (slot, piece) = (number / MAX_PIECES, number % MAX_PIECES);
                    if std::mem::take(&mut self.is_slow[slot]) {
                        self.begun -= 1;
                    }
                    completions.push(Completion::Job { slot, piece, result });
                }
            }
        }
        Ok(completions)
    }

    fn begin_slow(&mut self) {
        if self.waiting_since.is_some_and(|since| since.elapsed() >= PATIENCE) {
            self.window = 2 * self.window.max(self.begun);
            self.waiting_since = Some(Instant::now());
        }
        while self.begun < self.window
            && let Some((slot, entry)) = self.slow.pop_front()
        {
            self.is_slow.resize(self.is_slow.len().max(slot + 1), false);
            self.is_slow[slot] = true;
            self.begun += 1;
            self.entries.push_back(entry);
        }
        if self.slow.is_empty() {
            self.waiting_since = None;
        }
    }

    fn submit(&mut self) -> io::Result<()> {
        let mut submission = self.ring.submission();
        while let Some(entry) = self.entries.pop_front() {
            // SAFETY: what the entry points to (a path, a slice of memory, a buffer of ours) stays
            // where it is until its operation is over: jobs, and we, keep it so long.
            if unsafe { submission.push(&entry) }.is_err() {
                self.entries.push_front(entry);
                break;
            }
        }
        drop(submission);
        let want = usize::from(self.entries.is_empty());
        let result = match self.waiting_since {
            None => self.ring.submit_and_wait(want),
            Some(since) => {
                let left = Timespec::from(PATIENCE.saturating_sub(since.elapsed()));
                self.ring.submitter().submit_with_args(want, &SubmitArgs::new().timespec(&left))
            }
        };
        match result {
            Ok(_) => Ok(()),
            Err(error) => match error.raw_os_error() {
                Some(libc::EINTR | libc::ETIME | libc::EBUSY | libc::EAGAIN) => Ok(()),
                _ => Err(error),
            },
        }
    }

    fn send(&mut self) {
        let rest = &self.sending[self.sent..];
        let length = u32::try_from(rest.len()).unwrap_or(u32::MAX);
        let entry = opcode::Send::new(self.socket(), rest.as_ptr(), length).flags(libc::MSG_NOSIGNAL).build();
        self.entries.push_back(entry.user_data(SEND));
    }

    fn has_sent(&mut self, result: nix::Result<usize>) -> io::Result<()> {
        match result {
            Ok(count) => self.sent += count,
            Err(Errno::EINTR | Errno::EAGAIN) => {}
            Err(error) => return Err(error.into()),
        }
        if self.sent < self.sending.len() {
            self.send();
        } else {
            self.sending.clear();
            self.sending.shrink_to(KEEP_BUFFER);
        }
        Ok(())
    }
}
