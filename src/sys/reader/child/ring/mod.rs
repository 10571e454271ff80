#![allow(unsafe_code)]
//! The ring: many jobs in one process and one thread.
//!
//! What can wait for a device is done by the kernel while we go on: it opens and closes in threads
//! of its own, since there is no other way to do these without waiting, and reads as the device
//! answers. Requests are taken, operations submitted and replies sent as they come together: one
//! system call for all of them. What is asked of an open device besides (its number, its size) the
//! kernel knows without it. Should a call wait all the same, the daemon finds that we do not even
//! answer `Ping`.

mod job;
mod memory;
mod queue;

use std::collections::BTreeMap;
use std::io;
use std::os::unix::net::UnixStream;

use io_uring::{IoUring, Probe, opcode};
use nix::errno::Errno;
use nix::libc;

use super::{errno, unusable};
use crate::ondisk::ByteRange;
use crate::sys::descriptors;
use crate::sys::reader::messages::{
    Answer, Garbage, Hello, MAX_REQUEST, Request, frame_length, put_data, put_opened, put_piece,
};
use crate::sys::reader::{JobId, Open, RING_DESCRIPTORS, RING_SLOTS, Reply};
use job::{Doing, Job};
use memory::Memory;
use queue::{Completion, Queue};

pub struct Ring {
    queue: Queue,
    memory: Memory,
    note: Option<String>,
}

impl Ring {
    /// Whatever fails here, plain readers can do without.
    pub fn new() -> io::Result<Ring> {
        check_descriptors()?;
        let ring = build()?;
        let mut probe = Probe::new();
        let failed = |what: &'static str| move |error: io::Error| io::Error::other(format!("{what}: {error}"));
        ring.submitter().register_probe(&mut probe).map_err(failed("IORING_REGISTER_PROBE"))?;
        let needed = [
            opcode::OpenAt::CODE,
            opcode::Close::CODE,
            opcode::Read::CODE,
            opcode::ReadFixed::CODE,
            opcode::AsyncCancel::CODE,
            opcode::Recv::CODE,
            opcode::Send::CODE,
        ];
        if !ring.params().is_feature_ext_arg() || !needed.iter().all(|code| probe.is_supported(*code)) {
            return Err(io::Error::other("io_uring of this kernel is too old"));
        }
        // Else eight devices that hang while they are opened would stop everything on two CPUs.
        let workers = u32::try_from(RING_SLOTS).expect("it is a thousand");
        let result = ring.submitter().register_iowq_max_workers(&mut [workers, workers]);
        result.map_err(failed("IORING_REGISTER_IOWQ_MAX_WORKERS"))?;
        let mut memory = Memory::new()?;
        let (start, length) = memory.whole();
        let buffer = libc::iovec { iov_base: start.cast(), iov_len: length };
        // SAFETY: the map is never moved nor given back while the process lives.
        let registered = unsafe { ring.submitter().register_buffers(&[buffer]) };
        memory.is_registered = registered.is_ok();
        let note = registered.err().map(|error| format!("buffers are not registered: {error}"));
        Ok(Ring { queue: Queue::new(ring), memory, note })
    }

    pub fn hello(&self) -> Hello {
        Hello { slots: RING_SLOTS, note: self.note.clone() }
    }

    /// Until the daemon closes its end.
    pub fn serve(self, socket: UnixStream) -> io::Result<()> {
        let Ring { queue, memory, .. } = self;
        let mut server =
            Server { queue, memory, jobs: vec![], free: vec![], by_id: BTreeMap::new(), received: vec![], out: vec![] };
        server.queue.attach(socket);
        loop {
            for completion in server.queue.turn(&mut server.out)? {
                match completion {
                    Completion::Received => {
                        if !server.handle_requests()? {
                            return Ok(());
                        }
                    }
                    Completion::Job { slot, piece, result } => server.completed(slot, piece, result),
                }
            }
        }
    }
}

/// Else devices could not be opened for no fault of theirs. The daemon has raised the limit as far as
/// it may.
fn check_descriptors() -> io::Result<()> {
    let granted = descriptors::raise_limit(RING_DESCRIPTORS as u64)?;
    if granted < RING_DESCRIPTORS as u64 {
        return Err(io::Error::other(format!("{granted} descriptors may be open, not {RING_DESCRIPTORS}")));
    }
    Ok(())
}

fn build() -> io::Result<IoUring> {
    let entries = 512;
    let completions = u32::try_from(4 * RING_SLOTS).expect("it is a few thousand");
    let setup_failed = |error: io::Error| io::Error::other(format!("io_uring_setup: {error}"));
    // Completions are looked at when we ask and not before, where the kernel can do that.
    let newest =
        IoUring::builder().setup_cqsize(completions).setup_single_issuer().setup_defer_taskrun().build(entries);
    match newest {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
            IoUring::builder().setup_cqsize(completions).build(entries).map_err(setup_failed)
        }
        result => result.map_err(setup_failed),
    }
}

struct Server {
    queue: Queue,
    memory: Memory,
    /// By slot, which is what the kernel calls them.
    jobs: Vec<Option<Job>>,
    free: Vec<usize>,
    by_id: BTreeMap<JobId, usize>,
    received: Vec<u8>,
    out: Vec<u8>,
}

impl Server {
    /// False when the daemon has closed its end.
    fn handle_requests(&mut self) -> io::Result<bool> {
        let Some(bytes) = self.queue.take_received()? else { return Ok(false) };
        let mut received = std::mem::take(&mut self.received);
        received.extend_from_slice(bytes);
        self.queue.receive();
        let mut rest = &received[..];
        while let Some(length) = frame_length(rest, MAX_REQUEST)? {
            let Some(message) = rest.get(4..4 + length) else { break };
            self.handle_request(Request::decode(message)?)?;
            rest = &rest[4 + length..];
        }
        let taken = received.len() - rest.len();
        received.drain(..taken);
        self.received = received;
        Ok(true)
    }

    fn handle_request(&mut self, request: Request) -> Result<(), Garbage> {
        match request {
            Request::Open(id, open) => self.open(id, &open)?,
            Request::Read(job, ranges) => {
                let slot = self.slot(job)?;
                self.read(slot, &ranges, false)?;
            }
            Request::Close(job) | Request::Cancel(job) => {
                let slot = self.slot(job)?;
                self.end(slot);
            }
            Request::Ping => Answer::Pong.put(&mut self.out),
        }
        Ok(())
    }

    fn slot(&self, id: JobId) -> Result<usize, Garbage> {
        self.by_id.get(&id).copied().ok_or(Garbage)
    }

    fn open(&mut self, id: JobId, open: &Open) -> Result<(), Garbage> {
        if self.by_id.contains_key(&id) || self.by_id.len() >= RING_SLOTS {
            return Err(Garbage);
        }
        let slot = self.free.pop().unwrap_or_else(|| {
            self.jobs.push(None);
            self.jobs.len() - 1
        });
        self.by_id.insert(id, slot);
        let job = self.jobs[slot].insert(Job::new(id, open));
        if let Some(why) = unusable(open) {
            Answer::Reply(id, Reply::Unusable(why)).put(&mut self.out);
        } else if let Err(error) = job.prepare(open) {
            Answer::Reply(id, Reply::Opened(Err(errno(&error)))).put(&mut self.out);
        } else {
            job.doing = Doing::Opening;
            self.queue.open(slot, job);
        }
        Ok(())
    }

    /// `is_head`: it belongs to opening.
    fn read(&mut self, slot: usize, ranges: &[ByteRange], is_head: bool) -> Result<(), Garbage> {
        let job = self.jobs[slot].as_mut().ok_or(Garbage)?;
        let begun = match (&job.doing, &job.source) {
            (Doing::Opening | Doing::Reading(_), _) => return Err(Garbage),
            (Doing::Nothing | Doing::Closing, None) => Err(Errno::EBADF.into()),
            (Doing::Nothing | Doing::Closing, Some(_)) => job.begin_read(&mut self.memory, ranges, is_head),
        };
        match begun {
            Ok(()) => {
                (0..ranges.len()).for_each(|piece| self.go_on(slot, piece));
                self.reply_if_over(slot);
            }
            Err(error) if is_head => {
                Answer::Reply(job.id, Reply::Unread(errno(&error))).put(&mut self.out);
                self.close(slot);
            }
            Err(error) => {
                put_data(&mut self.out, job.id, None, ranges.len(), |out, _| put_piece(out, Err(errno(&error))))
            }
        }
        Ok(())
    }

    /// Submits the next part of a piece, if there is one.
    fn go_on(&mut self, slot: usize, piece: usize) {
        let job = self.jobs[slot].as_mut().expect("slots in use have jobs");
        if let Some(part) = job.next_part(&mut self.memory, piece) {
            self.queue.read(slot, piece, part);
        }
    }

    /// Once all that was asked for has come, or will not.
    fn reply_if_over(&mut self, slot: usize) {
        let job = self.jobs[slot].as_mut().expect("slots in use have jobs");
        let mut read = match std::mem::replace(&mut job.doing, Doing::Nothing) {
            Doing::Reading(read) if read.is_over() => read,
            other => {
                job.doing = other;
                return;
            }
        };
        let mut close = job.is_ending;
        if !job.is_ending {
            let diskseq = job.source.as_ref().and_then(|source| source.diskseq());
            let size = job.source.as_ref().map_or(0, |source| source.size);
            if read.is_head {
                match read.bytes(&mut self.memory, 0) {
                    Ok(bytes) => put_opened(&mut self.out, job.id, size, diskseq, bytes),
                    Err(errno) => {
                        close = true;
                        Answer::Reply(job.id, Reply::Unread(errno as i32)).put(&mut self.out);
                    }
                }
            } else {
                put_data(&mut self.out, job.id, diskseq, read.count(), |out, piece| {
                    put_piece(out, read.bytes(&mut self.memory, piece).map_err(|errno| errno as i32));
                });
            }
        }
        read.give_back(&mut self.memory);
        if close {
            self.close(slot);
        }
    }

    /// An operation of the job is over.
    fn completed(&mut self, slot: usize, piece: usize, result: nix::Result<usize>) {
        let Some(job) = self.jobs.get_mut(slot).and_then(Option::as_mut) else { return };
        match &mut job.doing {
            Doing::Nothing => {}
            Doing::Opening => self.opened(slot, result),
            Doing::Reading(_) => {
                if job.took(piece, result) {
                    self.go_on(slot, piece);
                }
                self.reply_if_over(slot);
            }
            // It is closed whatever close says.
            Doing::Closing => {
                job.doing = Doing::Nothing;
                if job.is_ending {
                    self.forget(slot);
                }
            }
        }
    }

    fn opened(&mut self, slot: usize, result: nix::Result<usize>) {
        let job = self.jobs[slot].as_mut().expect("slots in use have jobs");
        let is_ending = job.is_ending;
        match result {
            Ok(descriptor) => {
                job.doing = Doing::Nothing;
                let checked = job.take_descriptor(descriptor);
                if is_ending {
                    return self.close(slot);
                }
                let (id, first) = (job.id, job.first);
                match checked {
                    // Nothing is being done, and there is a source: this is no garbage.
                    Ok(()) => drop(self.read(slot, &[ByteRange { offset: 0, length: first }], true)),
                    Err(error) => {
                        Answer::Reply(id, Reply::Opened(Err(errno(&error)))).put(&mut self.out);
                        self.close(slot);
                    }
                }
            }
            Err(_) if is_ending => self.forget(slot),
            Err(error) => match job.flags.after(error) {
                Some(flags) => {
                    job.flags = flags;
                    self.queue.open(slot, job);
                }
                None if error == Errno::EINTR => self.queue.open(slot, job),
                None => {
                    job.doing = Doing::Nothing;
                    Answer::Reply(job.id, Reply::Opened(Err(error as i32))).put(&mut self.out);
                }
            },
        }
    }

    /// The job is to end, wherever it is.
    fn end(&mut self, slot: usize) {
        let job = self.jobs[slot].as_mut().expect("slots in use have jobs");
        job.is_ending = true;
        match job.doing {
            Doing::Nothing => self.close(slot),
            Doing::Closing => {}
            Doing::Opening if self.queue.forget(slot) => self.forget(slot),
            Doing::Opening => self.queue.cancel(slot, 0),
            Doing::Reading(ref read) => read.under_way().for_each(|piece| self.queue.cancel(slot, piece)),
        }
    }

    fn close(&mut self, slot: usize) {
        let job = self.jobs[slot].as_mut().expect("slots in use have jobs");
        match job.source.take() {
            Some(source) => {
                job.doing = Doing::Closing;
                self.queue.close(slot, source);
            }
            None if job.is_ending => self.forget(slot),
            None => {}
        }
    }

    /// Nothing of the job is left but to say so.
    fn forget(&mut self, slot: usize) {
        let Some(job) = self.jobs[slot].take() else { return };
        self.by_id.remove(&job.id);
        self.free.push(slot);
        Answer::Closed(job.id).put(&mut self.out);
    }
}
