//! Reading devices: one job is one device opened, read as its scan asks, and closed.

use super::device::{Content, Device, Reason, Seen};
use super::duplicates::differ_in;
use super::online::Origin;
use super::{Cause, Effect, JOBS_MAX, Opened, Report, Watcher};
use crate::devno::DevNo;
use crate::dm::Unusable;
use crate::filter::Rule;
use crate::scan::{HEAD, Pv, ReadError, Scan, Step, Verdict, on_partition};
use crate::signature::{Medium, When};
use std::ops::Range;
use std::time::Duration;

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
    /// The reader died over it once.
    second_try: bool,
}

impl Watcher {
    pub(super) fn start_jobs(&mut self, now: Duration) {
        while self.jobs.len() < JOBS_MAX {
            let Some((_, devno)) = self.queue.pop_first() else { return };
            let device = self.devices.get_mut(&devno).expect("a device leaves the queue before it is forgotten");
            device.queued = None;
            let busy = self.jobs.values().any(|job| job.devno == devno);
            if busy || !device.is_dirty() {
                // When the job ends it is asked again.
                continue;
            }
            if device.may_be_read() {
                self.start_job(now, devno, false);
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
            second_try,
        };
        let path = device.path();
        self.jobs.insert(id, job);
        self.effects.push_back(Effect::Watch { devno, path: path.clone() });
        self.effects.push_back(Effect::Open { job: id, devno, path, length: HEAD });
    }

    pub(super) fn opened(&mut self, now: Duration, id: JobId, result: Result<Opened, i32>) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let opened = match result {
            Ok(opened) => opened,
            Err(errno) => {
                let devno = job.devno;
                if let Some(pv) = job.on_partition.take() {
                    return self.conclude_on_partition(now, id, pv, Err(ReadError::Io(errno)));
                }
                if may_be_gone(errno) && self.is_looked_for(id) {
                    return;
                }
                self.fail(now, id, Reason::Open(errno));
                // It may have gone just now.
                return self.touch(devno, Cause::OpenFailed);
            }
        };
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
                let head = &opened.head[..range.length];
                self.advance(now, id, Ok(head));
            }
            Step::Read(_) => self.advance(now, id, Err(ReadError::Short)),
            Step::Done(verdict) => self.conclude(now, id, verdict),
        }
    }

    /// What changes its targets brings a `change` event; what changes below it is found by trying again.
    pub(super) fn unusable(&mut self, now: Duration, id: JobId, why: Unusable) {
        if self.jobs.contains_key(&id) {
            self.fail(now, id, Reason::Unusable(why));
        }
    }

    pub(super) fn data(&mut self, now: Duration, id: JobId, diskseq: Option<u64>, result: Result<Vec<u8>, i32>) {
        let Some(job) = self.jobs.get(&id) else { return };
        if !same_incarnation(job.diskseq, diskseq) {
            return self.read_another_incarnation(id, diskseq);
        }
        self.advance(now, id, result.as_deref().map_err(|errno| ReadError::Io(*errno)));
    }

    fn advance(&mut self, now: Duration, id: JobId, data: Result<&[u8], ReadError>) {
        let job = self.jobs.get_mut(&id).expect("the caller has it");
        let scan = job.scan.as_mut().expect("a job reads once it is open");
        match scan.handle_read(&mut self.texts, data) {
            Step::Read(range) => self.effects.push_back(Effect::Read { job: id, range }),
            Step::Done(verdict) => self.conclude(now, id, verdict),
        }
    }

    fn conclude(&mut self, now: Duration, id: JobId, verdict: Verdict) {
        let job = self.jobs.get_mut(&id).expect("the caller has it");
        match (job.on_partition.take(), verdict) {
            (Some(pv), verdict) => self.conclude_on_partition(now, id, pv, Ok(verdict)),
            (None, Verdict::Pv(pv)) => match self.disk_of(id) {
                Some(disk) if self.is_readable_disk(disk) => self.read_disk(id, disk, pv),
                disk => {
                    self.jobs.get_mut(&id).expect("the caller has it").disk_unread = disk.is_some();
                    self.conclude_own(now, id, Verdict::Pv(pv));
                }
            },
            (None, verdict) => self.conclude_own(now, id, verdict),
        }
    }

    /// The disk of the partition that the job is about.
    fn disk_of(&self, id: JobId) -> Option<DevNo> {
        self.devices.get(&self.jobs.get(&id)?.devno)?.facts.stack.disk
    }

    fn is_readable_disk(&self, disk: DevNo) -> bool {
        self.devices.get(&disk).is_some_and(|disk| disk.may_be_read() && disk.quarantine.is_none())
    }

    /// Goes on with what is at the end of the disk.
    fn read_disk(&mut self, id: JobId, disk: DevNo, pv: Box<Pv>) {
        let job = self.jobs.get_mut(&id).expect("the caller has it");
        job.on_partition = Some(pv);
        job.is_partition = false;
        job.scan = None;
        let path = self.devices[&disk].path();
        self.effects.push_back(Effect::Close(id));
        self.effects.push_back(Effect::Open { job: id, devno: disk, path, length: HEAD });
    }

    fn conclude_on_partition(&mut self, now: Duration, id: JobId, pv: Box<Pv>, disk: Result<Verdict, ReadError>) {
        let job = self.jobs.get_mut(&id).expect("the caller has it");
        job.disk_unread = disk.as_ref().map_or(true, Verdict::is_all_unread);
        job.end_unread = !job.disk_unread && matches!(disk, Ok(Verdict::Unreadable { .. }));
        let (partition, is_unread) = (job.devno, job.disk_unread);
        let places = self.partitions_beside(partition);
        let unread = self.disk_of(id).filter(|_| is_unread);
        self.conclude_own(now, id, on_partition(pv, disk, &places));
        // When it can be read, the partition is read again.
        if let Some(disk) = unread {
            self.want_again(disk, Cause::PartitionRead);
        }
    }

    /// The disk can be read: it may say more of the PVs on its partitions than was known.
    fn read_partitions(&mut self, disk: DevNo) {
        let waits = |device: &Device| device.disk_unread && device.facts.stack.disk == Some(disk);
        let waiting = self.devices.iter().filter(|(_, device)| waits(device)).map(|(devno, _)| *devno);
        for partition in waiting.collect::<Vec<_>>() {
            self.touch(partition, Cause::DiskRead);
        }
    }

    /// Where the partitions of this one's disk are, in bytes.
    fn partitions_beside(&self, devno: DevNo) -> Vec<Range<u64>> {
        let disk = self.devices.get(&devno).and_then(|device| device.facts.stack.disk);
        let beside = self.devices.values().map(|device| &device.facts).filter(|facts| facts.stack.disk == disk);
        beside.map(|facts| facts.stack.start..facts.stack.start.saturating_add(facts.size)).collect()
    }

    fn conclude_own(&mut self, now: Duration, id: JobId, verdict: Verdict) {
        let (content, unread) = match verdict {
            Verdict::Pv(pv) if pv.has_partition_table && self.may_be_partitioned(id) => {
                (Content::NotAPv(pv.findings), None)
            }
            Verdict::Pv(pv) => match pv.read_error.or(pv.end_error) {
                Some(error) if self.knows_more(id, &pv) => return self.fail(now, id, Reason::Read(error)),
                // The disk shows itself well, so nothing but another try will tell.
                Some(error) if self.jobs[&id].end_unread => (Content::Pv(pv), Some(error)),
                // A PV, but not all of it could be read.
                Some(error) if pv.read_error.is_some() && pv.vg.is_none() => (Content::Pv(pv), Some(error)),
                _ => (Content::Pv(pv), None),
            },
            Verdict::NotAPv { findings } => (Content::NotAPv(findings), None),
            Verdict::Member { member, findings } => (Content::Member(member, findings), None),
            Verdict::Unreadable { error, .. } => return self.fail(now, id, Reason::Read(error)),
        };
        self.effects.push_back(Effect::Close(id));
        let Some((job, counts)) = self.end_job(id) else { return };
        if counts && !self.admits(job.devno, &content) {
            self.done(job.devno, job.read);
            self.reject(now, job.devno);
        } else if counts {
            self.done(job.devno, job.read);
            let (is_new, origin) = self.store_seen(now, &job, content);
            self.note_sure(job.devno);
            self.apply(now, job.devno, origin);
            if is_new {
                self.read_others(job.devno);
            }
            if let Some(error) = unread {
                self.quarantine(now, job.devno, Reason::Read(error));
            }
        }
        self.job_over(job.devno);
    }

    fn may_be_partitioned(&self, id: JobId) -> bool {
        let device = self.jobs.get(&id).and_then(|job| self.devices.get(&job.devno));
        device.is_some_and(|device| device.facts.may_be_partitioned())
    }

    /// Whether what was found may be used. Some devices are read only to see which PV they hold.
    fn admits(&self, devno: DevNo, content: &Content) -> bool {
        let (Some(device), Some(pv)) = (self.devices.get(&devno), content.pv()) else { return true };
        self.settings.filter.admits(&device.facts, device.names.iter().map(String::as_str), &pv.id)
    }

    /// A rule applies to the device after all. If something has happened to it since, that will be
    /// read; until then it is watched, so that it may.
    fn reject(&mut self, now: Duration, devno: DevNo) {
        let device = self.devices.get_mut(&devno).expect("its job has just ended");
        if !device.is_dirty() {
            device.rule = Some(Rule::DevicesFile);
            self.withdraw(now, devno);
        }
    }

    /// Whether an earlier read showed what this one, for an error, does not: that the device is a
    /// member of an array, and of a PV metadata, or newer metadata of the VG.
    fn knows_more(&self, id: JobId, pv: &Pv) -> bool {
        let device = self.jobs.get(&id).and_then(|job| self.devices.get(&job.devno));
        match device.and_then(|device| device.seen.as_ref()).map(|seen| &seen.content) {
            Some(Content::Member(..)) => pv.end_error.is_some(),
            Some(Content::Pv(known)) if known.id == pv.id && pv.read_error.is_some() => match (&known.vg, &pv.vg) {
                (_, None) => true,
                (Some(known), Some(read)) => known.vgid == read.vgid && known.seqno > read.seqno,
                (None, Some(_)) => false,
            },
            Some(Content::Pv(_) | Content::NotAPv(_)) | None => false,
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
        if let Some((job, _)) = self.end_job(id) {
            self.give_up_read(now, &job, reason);
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
            self.touch(job.devno, job.cause);
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
            // It is to be read, whatever was reason enough for a look alone.
            let cause = if job.cause.is_only_a_look() { Cause::Retry } else { job.cause };
            self.touch(job.devno, cause);
        }
        true
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
        let Some((job, _)) = self.end_job(id) else { return };
        let Some(device) = self.devices.get_mut(&job.devno) else { return };
        if job.second_try || !device.may_be_read() {
            self.give_up_read(now, &job, Reason::ReaderDied);
        } else {
            device.want();
            self.note_unquiet(job.devno);
            self.start_job(now, job.devno, true);
        }
    }

    /// A reader could not even be started.
    pub fn no_reader(&mut self, now: Duration, id: JobId, errno: i32) {
        if let Some((job, _)) = self.end_job(id) {
            self.give_up_read(now, &job, Reason::NoReader(errno));
        }
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

    /// Whether it is not what the device showed before, and whence that comes.
    fn store_seen(&mut self, now: Duration, job: &Job, content: Content) -> (bool, Origin) {
        self.drop_retry(job.devno);
        let device = self.devices.get_mut(&job.devno).expect("its job has just ended");
        let recovered = device.quarantine.take().is_some();
        device.may_have_gone = false;
        device.disk_unread = job.disk_unread;
        let before = device.seen.as_ref();
        let same = before.filter(|seen| is_same(&seen.content, &content) && seen.diskseq == job.diskseq);
        let known = before.map_or(&[][..], |seen| seen.content.findings());
        let new = content.findings().iter().filter(|finding| !known.contains(finding)).cloned().collect::<Vec<_>>();
        let is_new = same.is_none();
        let origin = if is_new { origin_of_news(before, job) } else { Origin::Look };
        device.seen = Some(Seen {
            content_since: same.map_or(now, |seen| seen.content_since),
            job: job.id,
            known_to: same.map_or(self.next_job, |seen| seen.known_to),
            content,
            diskseq: job.diskseq,
            cause: job.cause,
            started: job.started,
            ended: now,
            reported_outdated: false,
        });
        self.read_partitions(job.devno);
        if recovered {
            self.note_readable(job.devno);
            let (device, pvid) = self.name_of(job.devno);
            self.report(Report::Recovered { device, pvid });
        }
        for finding in new {
            let (device, pvid) = self.name_of(job.devno);
            self.report(Report::Finding { device, pvid, finding });
        }
        (is_new, origin)
    }
}

/// Whence comes what was not on the device when it was read before.
fn origin_of_news(before: Option<&Seen>, job: &Job) -> Origin {
    // Without a number nothing else tells one disk from another.
    let is_added = job.diskseq.is_none() && matches!(job.cause, Cause::Uevent("add"));
    let same_disk = before.filter(|seen| seen.diskseq == job.diskseq && !is_added);
    let was_read_in_full = |seen: &Seen| {
        let error = seen.content.pv().and_then(|pv| pv.read_error.or(pv.end_error));
        error.is_none()
    };
    if same_disk.is_some_and(was_read_in_full) { Origin::Written } else { Origin::Came }
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

/// Whether two reads showed the same PV with the same metadata.
fn is_same(one: &Content, other: &Content) -> bool {
    match (one, other) {
        (Content::Pv(one), Content::Pv(other)) => one.id == other.id && differ_in(one, other).is_none(),
        (Content::NotAPv(_), Content::NotAPv(_)) => true,
        (Content::Member(one, _), Content::Member(other, _)) => one == other,
        _ => false,
    }
}
