//! What is read of a device behind its head, and how much of all devices at a time.

use super::{Job, JobId, same_incarnation};
use crate::scan::{ByteRange, HEAD, PLACES_MAX, ReadError, Scan, Step};
use crate::watcher::{Effect, Watcher};
use std::time::Duration;

pub(super) type Ahead = Vec<(ByteRange, Result<Vec<u8>, ReadError>)>;

/// Of what is read besides the heads of devices, in all jobs together. One alone may be longer.
const READ_BYTES_MAX: usize = 64 << 20;
/// Reads that are longer than this wait when there is too much under way: those of metadata, and not
/// those of what is at the end of a device.
const LONG: usize = 4 * HEAD;

impl Job {
    /// Bytes that are on their way, wait for the scan to ask for them, or are being gone over.
    fn holds(&self) -> usize {
        let ahead = self.ahead.iter().flat_map(|(_, read)| read).map(Vec::len);
        let at_work = self.scan.as_ref().map_or(0, Scan::holds);
        total(&self.asked) + ahead.sum::<usize>() + at_work
    }
}

/// What was read ahead counts once: who asks again wants to see what is there now.
fn take(ahead: &mut Ahead, range: ByteRange) -> Option<Result<Vec<u8>, ReadError>> {
    let index = ahead.iter().position(|(place, _)| *place == range)?;
    Some(ahead.swap_remove(index).1)
}

fn total(ranges: &[ByteRange]) -> usize {
    ranges.iter().fold(0, |sum, range| sum.saturating_add(range.length))
}

impl Watcher {
    pub(in crate::watcher) fn data(
        &mut self,
        now: Duration,
        id: JobId,
        diskseq: Option<u64>,
        pieces: Vec<Result<Vec<u8>, i32>>,
    ) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let asked = std::mem::take(&mut job.asked);
        if !same_incarnation(job.diskseq, diskseq) {
            return self.read_another_incarnation(id, diskseq);
        }
        let pieces = pieces.into_iter().map(|piece| piece.map_err(ReadError::Io));
        let mut pieces = asked.into_iter().zip(pieces);
        let wanted = pieces.next().map_or(Err(ReadError::Short), |(_, read)| read);
        job.ahead = pieces.collect();
        self.advance(now, id, wanted);
    }

    pub(super) fn advance(&mut self, now: Duration, id: JobId, data: Result<Vec<u8>, ReadError>) {
        let job = self.jobs.get_mut(&id).expect("the caller has it");
        let scan = job.scan.as_mut().expect("a job reads once it is open");
        let step = scan.take_read(&mut self.texts, data);
        self.follow(now, id, step);
    }

    /// Does what the scan of a job wants next.
    fn follow(&mut self, now: Duration, id: JobId, mut step: Option<Step>) {
        let job = self.jobs.get_mut(&id).expect("the caller has it");
        let scan = job.scan.as_mut().expect("a job reads once it is open");
        loop {
            match step {
                Some(Step::Read(range)) => match take(&mut job.ahead, range) {
                    Some(read) => step = scan.take_read(&mut self.texts, read),
                    None => {
                        let ranges = std::iter::once(range).chain(scan.ahead()).take(PLACES_MAX).collect();
                        return self.read(id, ranges);
                    }
                },
                Some(Step::Done(verdict)) => return self.conclude(now, id, verdict),
                None => {
                    // Until its turn comes, nobody waits for the device.
                    job.deadline = Duration::MAX;
                    return self.at_work.push_back(id);
                }
            }
        }
    }

    /// Goes over the next bytes of one of the long texts that have been read, if there is any.
    pub(in crate::watcher) fn work(&mut self, now: Duration) -> bool {
        while let Some(id) = self.at_work.pop_front() {
            if let Some(job) = self.jobs.get_mut(&id)
                && let Some(scan) = job.scan.as_mut()
            {
                let step = scan.work(&mut self.texts);
                job.deadline = now + self.settings.read_deadline;
                self.follow(now, id, step);
                return true;
            }
        }
        false
    }

    /// Metadata may be long, and is held in memory: what would be too much together waits.
    fn read(&mut self, id: JobId, ranges: Vec<ByteRange>) {
        let length = total(&ranges);
        if length > LONG && (!self.unread.is_empty() || !self.has_room_for(length)) {
            let job = self.jobs.get_mut(&id).expect("the caller has it");
            // Those before it have deadlines, and its own begins when it is its turn.
            job.deadline = Duration::MAX;
            // Else those who wait might hold so much that there is never room for any of them.
            job.ahead.clear();
            self.unread.push_back((id, ranges));
        } else {
            self.begin_read(id, ranges);
        }
    }

    fn has_room_for(&self, length: usize) -> bool {
        let reading = self.jobs.values().map(Job::holds).sum::<usize>();
        reading == 0 || reading + length <= READ_BYTES_MAX
    }

    fn begin_read(&mut self, id: JobId, ranges: Vec<ByteRange>) {
        let job = self.jobs.get_mut(&id).expect("the caller has it");
        job.asked.clone_from(&ranges);
        self.effects.push_back(Effect::Read { job: id, ranges });
    }

    /// Those that waited, as far as there is room now.
    pub(in crate::watcher) fn start_reads(&mut self, now: Duration) {
        while let Some((id, ranges)) = self.unread.pop_front() {
            if self.jobs.contains_key(&id) && !self.has_room_for(total(&ranges)) {
                return self.unread.push_front((id, ranges));
            }
            if let Some(job) = self.jobs.get_mut(&id) {
                job.deadline = now + self.settings.read_deadline;
                self.begin_read(id, ranges);
            }
        }
    }
}
