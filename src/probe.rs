//! Reading one device or image without a daemon, with a deadline.

use crate::devno::DevNo;
use crate::metadata::TextCache;
use crate::scan::{HEAD, ReadError, Scan, Step, Verdict};
use crate::sys::reader::{Expect, Happening, Open, Pool, Reply};
use mio::{Events, Poll};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;
use std::time::{Duration, Instant};

/// The only job.
const JOB: u64 = 1;

/// Reads the device as the daemon does, in a process of its own. Its size, and what is on it.
/// `TimedOut` if it does not answer in time.
pub fn probe(path: &Path, deadline: Duration) -> io::Result<(u64, Verdict)> {
    let until = Instant::now() + deadline;
    let metadata = std::fs::metadata(path)?;
    let expect = match metadata.file_type() {
        kind if kind.is_block_device() => Expect::Device(DevNo::from_dev_t(metadata.rdev())),
        kind if kind.is_dir() => return Err(io::ErrorKind::IsADirectory.into()),
        // A FIFO takes its time, as a sick disk does.
        kind if kind.is_file() || kind.is_fifo() => Expect::File,
        _ => return Err(io::Error::other("it is neither a block device nor a file")),
    };
    let mut poll = Poll::new()?;
    let mut pool = Pool::new(0);
    pool.open(poll.registry(), JOB, Open { path: path.to_owned(), expect, first: HEAD })?;
    let mut texts = TextCache::new();
    let mut scan = None;
    let mut size = 0;
    loop {
        let step = match wait(&mut poll, &mut pool, until)? {
            Reply::Opened(opened) => {
                let opened = opened.map_err(io::Error::from_raw_os_error)?;
                size = opened.size;
                let (begun, step) = Scan::begin(size);
                let begun = scan.insert(begun);
                match step {
                    Step::Read(range) => {
                        begun.handle_read(&mut texts, opened.head.get(..range.length).ok_or(ReadError::Short))
                    }
                    done @ Step::Done(_) => done,
                }
            }
            Reply::Data { bytes, .. } => {
                let scan = scan.as_mut().ok_or(io::ErrorKind::InvalidData)?;
                scan.handle_read(&mut texts, bytes.as_deref().map_err(|errno| ReadError::Io(*errno)))
            }
        };
        match step {
            Step::Read(range) => pool.read(JOB, (range.offset, range.length))?,
            Step::Done(verdict) => return Ok((size, verdict)),
        }
    }
}

fn wait(poll: &mut Poll, pool: &mut Pool, until: Instant) -> io::Result<Reply> {
    let mut events = Events::with_capacity(8);
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        match poll.poll(&mut events, Some(left)) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let mut happenings = Vec::new();
        for event in &events {
            pool.handle_ready(poll.registry(), event.token(), &mut happenings);
        }
        match happenings.into_iter().next() {
            Some(Happening::Reply(_, reply)) => return Ok(reply),
            Some(Happening::Died(_)) => return Err(io::Error::other("the process that read it died")),
            Some(Happening::Released(_)) | None => {}
        }
    }
}
