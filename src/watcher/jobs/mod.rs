//! Reading devices: one job is one device opened, read as its scan asks, and closed.

use super::device::{Device, Reason};
use super::{Cause, Effect, Opened, Report, Watcher};
use crate::devno::DevNo;
use crate::dm::Unusable;
use crate::scan::{ByteRange, HEAD, Pv, ReadError, Scan, Step};
use crate::signature::{Medium, When};
use std::time::Duration;

mod reads;
mod verdict;

pub type JobId = u64;

#[derive(Debug)]
pub(super) struct Job {
    id: JobId,
    pub(super) devno: DevNo,
    /// Which of the device's reads this is.
    read: u64,
    cause: Cause,
    started: Duration,
    pub(super) deadline: Duration,
    diskseq: Option<u64>,
    is_partition: bool,
    /// The PV that the partition holds, while it is its disk that is read.
    on_partition: Option<Box<Pv>>,
    /// The disk of the partition could not be read.
    disk_unread: bool,
    /// It could, but not its end.
    end_unread: bool,
    /// `None` until the device is open.
    scan: Option<Scan>,
    /// What has been asked for and is on its way, the head left out.
    asked: Vec<ByteRange>,
    /// What has been read before the scan asked for it.
    ahead: reads::Ahead,
    /// The reader died over it once.
    second_try: bool,
}

impl Watcher {
    pub(super) fn start_jobs(&mut self, now: Duration) {
        while self.jobs.len() < self.capacity {
            let Some((_, devno)) = self.queue.pop_first() else { return };
            let device = self.devices.get_mut(&devno).expect("a device leaves the queue before it is forgotten");
            device.queued = None;
            let busy = self.jobs.values().any(|job| job.devno == devno);
            if busy || !device.is_dirty() {
                // When the job ends it is asked again.
                continue;
            }
            if device.may_be_read() {
                if !self.is_paced(now, devno) {
                    self.start_job(now, devno, false);
                }
            } else {
                device.give_up();
                self.device_resolved(devno);
            }
        }
    }

    fn start_job(&mut self, now: Duration, devno: DevNo, second_try: bool) {
        let id = self.next_job;
        self.next_job += 1;
        self.counters.scans += 1;
        let device = self.devices.get_mut(&devno).expect("the caller has it");
        let job = Job {
            id,
            devno,
            read: device.start(id),
            cause: device.cause,
            started: now,
            deadline: now + self.settings.read_deadline,
            diskseq: device.facts.diskseq,
            is_partition: device.facts.partition,
            on_partition: None,
            disk_unread: false,
            end_unread: false,
            scan: None,
            asked: Vec::new(),
            ahead: Vec::new(),
            second_try,
        };
        let path = device.path();
        self.jobs.insert(id, job);
        self.effects.push_back(Effect::Watch { devno, path: path.clone() });
        self.effects.push_back(Effect::Open { job: id, devno, path, length: HEAD });
    }

    pub(super) fn opened(&mut self, now: Duration, id: JobId, result: Result<Opened, i32>) {
        let opened = match result {
            Ok(opened) => opened,
            Err(errno) => return self.not_opened(now, id, Reason::Open(errno), errno),
        };
        let Some(job) = self.jobs.get_mut(&id) else { return };
        if !same_incarnation(job.diskseq, opened.diskseq) {
            return self.read_another_incarnation(id, opened.diskseq);
        }
        job.diskseq = opened.diskseq.or(job.diskseq);
        let (devno, is_partition, is_disk) = (job.devno, job.is_partition, job.on_partition.is_some());
        let (scan, step) = if is_disk {
            Scan::begin_disk(opened.size, &self.partitions_beside(devno))
        } else {
            Scan::begin(Medium { size: opened.size, is_partition }, When::Always)
        };
        self.jobs.get_mut(&id).expect("found above").scan = Some(scan);
        match step {
            Step::Read(range) if range.offset == 0 && range.length <= opened.head.len() => {
                self.advance(now, id, Ok(opened.head));
            }
            Step::Read(_) => self.advance(now, id, Err(ReadError::Short)),
            Step::Done(verdict) => self.conclude(now, id, verdict),
        }
    }

    /// It could not be opened, or then its first bytes could not be read.
    pub(super) fn not_opened(&mut self, now: Duration, id: JobId, reason: Reason, errno: i32) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let devno = job.devno;
        if let Some(pv) = job.on_partition.take() {
            return self.conclude_on_partition(now, id, pv, Err(ReadError::Io(errno)));
        }
        if may_be_gone(errno) && self.is_looked_for(id) {
            return;
        }
        self.fail(now, id, reason);
        // It may have gone just now.
        self.touch(devno, Cause::OpenFailed);
    }

    /// What changes its targets brings a `change` event; what changes below it is found by trying again.
    pub(super) fn unusable(&mut self, now: Duration, id: JobId, why: Unusable) {
        if self.jobs.contains_key(&id) {
            self.fail(now, id, Reason::Unusable(why));
        }
    }

    fn done(&mut self, devno: DevNo, read: u64) {
        if let Some(device) = self.devices.get_mut(&devno) {
            device.done(read);
        }
    }

    /// Ends a job that shows nothing of the device.
    fn fail(&mut self, now: Duration, id: JobId, reason: Reason) {
        self.effects.push_back(Effect::Close(id));
        match self.end_job(id) {
            Some((job, true)) => self.give_up_read(now, &job, reason),
            // What it was read as is no more. What is there now is read, if it is to be.
            Some((job, false)) => self.job_over(job.devno),
            None => {}
        }
    }

    /// Nothing more is to be had from this read.
    fn give_up_read(&mut self, now: Duration, job: &Job, reason: Reason) {
        self.done(job.devno, job.read);
        self.quarantine(now, job.devno, reason);
        self.job_over(job.devno);
    }

    /// The kernel said one thing of the device and its reader another: look at it again.
    fn read_another_incarnation(&mut self, id: JobId, diskseq: Option<u64>) {
        self.effects.push_back(Effect::Close(id));
        if let Some((job, _)) = self.end_job(id) {
            if let Some(device) = self.devices.get_mut(&job.devno) {
                device.read_as = diskseq;
            }
            self.read_again(&job);
        }
    }

    /// A device on its way out is no sick one: whether it is still there is seen before it is blamed.
    /// False if that has been done.
    fn is_looked_for(&mut self, id: JobId) -> bool {
        let device = self.jobs.get(&id).and_then(|job| self.devices.get_mut(&job.devno));
        let Some(device) = device.filter(|device| device.job == Some(id) && !device.may_have_gone) else {
            return false;
        };
        device.may_have_gone = true;
        self.effects.push_back(Effect::Close(id));
        if let Some((job, _)) = self.end_job(id) {
            self.read_again(&job);
        }
        true
    }

    /// It is to be read after a look, whatever was reason enough for a look alone.
    fn read_again(&mut self, job: &Job) {
        let cause = if job.cause.is_only_a_look() { Cause::Retry } else { job.cause };
        self.touch(job.devno, cause);
    }

    pub(super) fn deadline_passed(&mut self, now: Duration, id: JobId) {
        self.effects.push_back(Effect::Abandon(id));
        let Some(job) = self.jobs.get(&id) else { return };
        let devno = job.devno;
        self.abandoned.insert(id, devno);
        self.stuck.insert(devno);
        if let Some((job, _)) = self.end_job(id) {
            if let Some(device) = self.devices.get_mut(&devno) {
                device.stuck = true;
            }
            self.give_up_read(now, &job, Reason::DeadlinePassed);
        }
    }

    /// A reader that was given up is gone: the device answers again, or lets itself be left.
    pub(super) fn reader_released(&mut self, now: Duration, id: JobId) {
        let Some(devno) = self.abandoned.remove(&id) else { return };
        self.stuck.remove(&devno);
        let Some(device) = self.devices.get_mut(&devno) else { return };
        device.stuck = false;
        // One that could be left at once may hang the next reader as well: its back-off goes on.
        if device.retry_at().is_none_or(|at| at <= now) {
            self.touch(devno, Cause::Retry);
        }
    }

    pub(super) fn reader_died(&mut self, now: Duration, id: JobId) {
        if self.abandoned.contains_key(&id) {
            return self.reader_released(now, id);
        }
        let Some(job) = self.end_job_without_reader(id) else { return };
        let Some(device) = self.devices.get_mut(&job.devno) else { return };
        if job.second_try || !device.may_be_read() {
            self.give_up_read(now, &job, Reason::ReaderDied);
        } else {
            device.want();
            self.note_unquiet(job.devno);
            self.start_job(now, job.devno, true);
        }
    }

    /// It is read again, by a reader that has no other.
    pub(super) fn reader_lost(&mut self, now: Duration, id: JobId) {
        if self.abandoned.contains_key(&id) {
            return self.reader_released(now, id);
        }
        let Some(job) = self.end_job_without_reader(id) else { return };
        if let Some(device) = self.devices.get_mut(&job.devno) {
            device.want();
            self.note_unquiet(job.devno);
            self.enqueue(job.devno);
        }
    }

    /// A reader could not even be started.
    pub fn no_reader(&mut self, now: Duration, id: JobId, errno: i32) {
        if self.abandoned.contains_key(&id) {
            // It was given up before it was begun.
            return self.reader_released(now, id);
        }
        if let Some((job, _)) = self.end_job(id) {
            self.give_up_read(now, &job, Reason::NoReader(errno));
        }
    }

    /// What was asked for the job may not have been done yet: what is opened for it now is closed.
    fn end_job_without_reader(&mut self, id: JobId) -> Option<Job> {
        self.effects.push_back(Effect::Close(id));
        Some(self.end_job(id)?.0)
    }

    /// The job, and whether what it read counts. `None` if the device was forgotten meanwhile; if
    /// another has taken its number, that one may be read now.
    fn end_job(&mut self, id: JobId) -> Option<(Job, bool)> {
        let job = self.jobs.remove(&id)?;
        let device = self.devices.get_mut(&job.devno)?;
        if device.job != Some(id) {
            self.enqueue(job.devno);
            return None;
        }
        let counts = device.finish(job.read);
        Some((job, counts))
    }

    fn job_over(&mut self, devno: DevNo) {
        if self.devices.contains_key(&devno) {
            self.enqueue(devno);
        }
        self.device_resolved(devno);
    }

    pub(super) fn quarantine(&mut self, now: Duration, devno: DevNo, reason: Reason) {
        let retry_max = self.settings.retry_max;
        self.drop_retry(devno);
        let Some(device) = self.devices.get_mut(&devno) else { return };
        let news = device.quarantine.as_ref().is_none_or(|before| before.reason != reason);
        device.quarantine(now, reason, retry_max);
        self.retries.extend(device.retry_at().map(|at| (at, devno)));
        if news {
            let (device, pvid) = self.name_of(devno);
            self.report(Report::Quarantined { device, pvid, reason });
        }
        self.serve_last_known(now, devno);
    }

    pub(super) fn drop_retry(&mut self, devno: DevNo) {
        if let Some(at) = self.devices.get(&devno).and_then(Device::retry_at) {
            self.retries.remove(&(at, devno));
        }
    }
}

/// What opening the node of a device says that has just gone, or is about to.
fn may_be_gone(errno: i32) -> bool {
    const ENOENT: i32 = 2;
    const ENXIO: i32 = 6;
    const ENODEV: i32 = 19;
    matches!(errno, ENOENT | ENXIO | ENODEV)
}

/// Numbers that are not known prove nothing.
fn same_incarnation(known: Option<u64>, read: Option<u64>) -> bool {
    known.is_none() || read.is_none() || known == read
}
