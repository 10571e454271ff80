//! What came of reading a device: whether that is all, whether it counts, and what is new.

use super::{Job, JobId};
use crate::devno::DevNo;
use crate::filter::Rule;
use crate::scan::{HEAD, Pv, ReadError, Verdict, on_partition};
use crate::watcher::device::{Content, Reason, Seen};
use crate::watcher::duplicates::differ_in;
use crate::watcher::online::Origin;
use crate::watcher::{Cause, Effect, Report, Watcher};
use std::ops::Range;
use std::time::Duration;

impl Watcher {
    pub(super) fn conclude(&mut self, now: Duration, id: JobId, verdict: Verdict) {
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
        job.ahead.clear();
        let path = self.devices[&disk].path();
        self.effects.push_back(Effect::Close(id));
        self.effects.push_back(Effect::Open { job: id, devno: disk, path, length: HEAD });
    }

    pub(super) fn conclude_on_partition(
        &mut self,
        now: Duration,
        id: JobId,
        pv: Box<Pv>,
        disk: Result<Verdict, ReadError>,
    ) {
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
        let waiting = self.partitions_of(disk).filter(|(_, device)| device.disk_unread).map(|(devno, _)| devno);
        for partition in waiting.collect::<Vec<_>>() {
            self.touch(partition, Cause::DiskRead);
        }
    }

    /// Where the partitions of this one's disk are, in bytes.
    pub(super) fn partitions_beside(&self, devno: DevNo) -> Vec<Range<u64>> {
        let disk = self.devices.get(&devno).and_then(|device| device.facts.stack.disk);
        let beside = disk.into_iter().flat_map(|disk| self.partitions_of(disk));
        beside
            .map(|(_, device)| &device.facts)
            .map(|facts| facts.stack.start..facts.stack.start.saturating_add(facts.size))
            .collect()
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
            // While it could not be read it may have shown something else.
            content_since: same.filter(|_| !recovered).map_or(now, |seen| seen.content_since),
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

/// Whether two reads showed the same PV with the same metadata.
fn is_same(one: &Content, other: &Content) -> bool {
    match (one, other) {
        (Content::Pv(one), Content::Pv(other)) => one.id == other.id && differ_in(one, other).is_none(),
        (Content::NotAPv(_), Content::NotAPv(_)) => true,
        (Content::Member(one, _), Content::Member(other, _)) => one == other,
        _ => false,
    }
}
