//! Readers: they answer late, get half, hang and die. A job has a reader of its own, or there is one
//! for all of them, with which all are lost.
//!
//! - A job that has lost its reader gets no answer any more.
//! - A job that was given up hangs until its device answers.

use crate::kinds::Kind;
use crate::sim::{Pending, Sim};
use crate::world::{Disk, Fault, SIZE};
use pvwatch::devno::DevNo;
use pvwatch::dm::Unusable;
use pvwatch::ondisk::ByteRange;
use pvwatch::watcher::{Event, JobId, Opened};
use std::time::Duration;

/// What a reader got: the diskseq, and for each place bytes or an errno.
pub type Bytes = (Option<u64>, Vec<Result<Vec<u8>, i32>>);

pub struct Job {
    pub devno: DevNo,
    /// What it was asked last, if it owes the answer.
    pub asked: Option<Vec<ByteRange>>,
    pub opened: bool,
    in_ring: bool,
}

/// Longest an answer takes that comes.
const ANSWER_MS: u64 = 60;
/// Jobs at a time of single readers and of the one for all.
const SINGLE: usize = 8;
const RING: usize = 256;

impl Sim {
    pub fn open(&mut self, id: JobId, devno: DevNo, length: usize) {
        let asked = Some(vec![ByteRange { offset: 0, length }]);
        self.jobs.insert(id, Job { devno, asked, opened: false, in_ring: self.has_ring });
        self.world.open(devno);
        self.ask_reader(id);
    }

    pub fn go_on_reading(&mut self, id: JobId, ranges: Vec<ByteRange>) {
        match self.jobs.get_mut(&id) {
            Some(job) => {
                job.asked = Some(ranges);
                self.ask_reader(id);
            }
            // It was lost after it was told to go on.
            None => self.handle(Event::ReaderDied(id)),
        }
    }

    pub fn begin_ring(&mut self) {
        if !self.has_ring && self.allowed(Kind::Ring) {
            self.log(format_args!("one reader has all jobs from now on"));
            self.has_ring = true;
            self.handle(Event::Capacity(RING));
        }
    }

    /// It is gone, with all its jobs; some have answered last.
    pub fn lose_ring(&mut self) {
        if !self.has_ring {
            return self.begin_ring();
        }
        self.log(format_args!("the reader of all jobs is lost"));
        self.has_ring = false;
        self.handle(Event::Capacity(SINGLE));
        let again_at = self.now + Duration::from_secs(60);
        self.schedule(again_at, Pending::RingReady);
        let jobs = self.jobs.iter().filter(|(_, job)| job.in_ring).map(|(id, _)| *id);
        for id in jobs.collect::<Vec<_>>() {
            let is_sane = |disk: &Disk| !matches!(disk.fault, Some(Fault::Hangs | Fault::Kills));
            let answers = self.jobs[&id].asked.is_some()
                && self.world.disks.get(&self.jobs[&id].devno).is_none_or(is_sane)
                && self.rng.one_in(3);
            if answers {
                self.answer(id, None);
            }
            if self.jobs.remove(&id).is_some() {
                self.handle(Event::ReaderLost(id));
            }
        }
    }

    fn ask_reader(&mut self, id: JobId) {
        let devno = self.jobs[&id].devno;
        if self.world.disks.get(&devno).is_some_and(|disk| disk.fault == Some(Fault::Hangs)) {
            return;
        }
        // All of it, or the first places only, while the others are read later.
        let captured = self.rng.one_in(2).then(|| {
            let (diskseq, mut pieces) = self.read(id);
            pieces.truncate(1 + self.rng.index(pieces.len()));
            (diskseq, pieces)
        });
        let at = self.soon(ANSWER_MS);
        self.schedule(at, Pending::Answer(id, captured));
    }

    fn read(&self, id: JobId) -> Bytes {
        const ENXIO: i32 = 6;
        let job = &self.jobs[&id];
        let asked = job.asked.as_ref().expect("it owes an answer");
        match self.world.disks.get(&job.devno) {
            None => (None, vec![Err(ENXIO)]),
            Some(disk) if !job.opened && disk.fault == Some(Fault::OpenFails) => (None, vec![Err(ENXIO)]),
            Some(disk) => {
                let pieces = asked.iter().map(|range| disk.read(range.offset, range.length)).collect();
                (self.world.diskseq(disk), pieces)
            }
        }
    }

    /// What was captured, and what is missing of it by now. A single reader stops at the first error.
    fn complete(&self, id: JobId, captured: Option<Bytes>) -> Bytes {
        let job = &self.jobs[&id];
        let asked = job.asked.as_ref().map_or(0, Vec::len);
        let (mut diskseq, mut pieces) = captured.unwrap_or_default();
        if pieces.len() < asked {
            let (now, rest) = self.read(id);
            diskseq = now;
            pieces.extend(rest.into_iter().skip(pieces.len()));
        }
        if let Some(error) = pieces.iter().position(Result::is_err).filter(|_| !job.in_ring) {
            pieces.truncate(error + 1);
        }
        (diskseq, pieces)
    }

    pub fn answer(&mut self, id: JobId, captured: Option<Bytes>) {
        let Some(job) = self.jobs.get(&id) else { return };
        let disk = self.world.disks.get(&job.devno);
        match disk.and_then(|disk| disk.fault) {
            Some(Fault::Hangs) if captured.is_none() => return,
            Some(Fault::Unusable) if !job.opened => {
                let why = *self.rng.pick(&Unusable::ALL);
                return self.handle(Event::Unusable { job: id, why });
            }
            Some(Fault::Kills) if job.in_ring => return self.lose_ring(),
            Some(Fault::Kills) => {
                self.jobs.remove(&id);
                return self.handle(Event::ReaderDied(id));
            }
            _ => {}
        }
        let size = disk.map_or(SIZE, |disk| disk.size);
        let (diskseq, mut pieces) = self.complete(id, captured);
        let job = self.jobs.get_mut(&id).expect("found above");
        job.asked = None;
        if job.opened {
            return self.handle(Event::Data { job: id, diskseq, pieces });
        }
        job.opened = true;
        self.handle(match (diskseq, pieces.swap_remove(0)) {
            (diskseq, Ok(head)) => Event::Opened { job: id, result: Ok(Opened { size, diskseq, head }) },
            (None, Err(errno)) => Event::Opened { job: id, result: Err(errno) },
            (Some(_), Err(errno)) => Event::Unread { job: id, errno },
        });
    }

    /// Readers that hung on a disk that hangs no more, or is gone, come back.
    pub fn let_go(&mut self) {
        let hangs = |devno: &DevNo| self.world.disks.get(devno).is_some_and(|disk| disk.fault == Some(Fault::Hangs));
        let (still, free): (Vec<_>, Vec<_>) = self.hung.iter().copied().partition(|(_, devno)| hangs(devno));
        let jobs = self.jobs.iter().filter(|(_, job)| job.asked.is_some() && !hangs(&job.devno)).map(|(id, _)| *id);
        let jobs = jobs.collect::<Vec<_>>();
        self.hung = still;
        for (job, _) in free {
            let at = self.soon(ANSWER_MS);
            self.schedule(at, Pending::Release(job));
        }
        for job in jobs {
            let answered = self.pending.values().any(|pending| matches!(pending, Pending::Answer(id, _) if *id == job));
            if !answered {
                let at = self.soon(ANSWER_MS);
                self.schedule(at, Pending::Answer(job, None));
            }
        }
    }
}
