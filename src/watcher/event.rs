//! What the watcher is told, what it asks for, and how complete the cache is.

use super::{Cause, JobId, Report, SettleId};
use crate::device::{Facts, Present, Usage};
use crate::devno::DevNo;
use crate::dm::Unusable;
use crate::online::{Change, Hints, Listing};
use crate::scan::ByteRange;

#[derive(Debug)]
pub enum Event {
    /// Everything there is, enumerated after subscribing to changes.
    Resync(Vec<Present>),
    /// Something happened to this device; look at it.
    Touched {
        devno: DevNo,
        cause: Cause,
    },
    /// What the kernel says of it now, and its names; `None` if there is no such device.
    Facts {
        devno: DevNo,
        found: Option<(Facts, Vec<String>)>,
    },
    /// What the kernel says of it could not be read: that proves nothing.
    NoFacts {
        devno: DevNo,
        errno: i32,
    },
    /// It could not be enumerated what there is.
    NoResync,
    /// Events were lost.
    Lost(&'static str),
    Opened {
        job: JobId,
        result: Result<Opened, i32>,
    },
    /// It was not opened: reading it would lead to nothing.
    Unusable {
        job: JobId,
        why: Unusable,
    },
    Data {
        job: JobId,
        diskseq: Option<u64>,
        result: Result<Vec<u8>, i32>,
    },
    ReaderDied(JobId),
    /// The reader of an abandoned job has exited at last.
    ReaderReleased(JobId),
    Settle(SettleId),
    /// Somebody waits for these devices only. One that is not known is looked at.
    Await {
        id: SettleId,
        devnos: Vec<DevNo>,
    },
    /// A change of the run files could be made, or the reason why not.
    Published(Result<(), String>),
    /// What there is in the run directory.
    RunFiles(Result<Listing, String>),
    HintsInvalidated(Result<Hints, String>),
    /// The answer to [`Effect::ReadUsage`].
    Usage(Usage),
    /// Nobody waits for this any more.
    Unsettle(SettleId),
}

/// A device that a reader has opened.
#[derive(Debug)]
pub struct Opened {
    /// In bytes.
    pub size: u64,
    pub diskseq: Option<u64>,
    /// The bytes from offset 0.
    pub head: Vec<u8>,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Effect {
    Enumerate,
    Examine(DevNo),
    /// Watch the node for writers that close it; emitted before each read.
    Watch {
        devno: DevNo,
        path: String,
    },
    Unwatch(DevNo),
    Open {
        job: JobId,
        devno: DevNo,
        path: String,
        length: usize,
    },
    Read {
        job: JobId,
        range: ByteRange,
    },
    Close(JobId),
    /// Give the job's reader up; it may be stuck in the kernel.
    Abandon(JobId),
    Settled {
        id: SettleId,
        quarantined: Vec<DevNo>,
    },
    /// Those that somebody waits for have been scanned or quarantined.
    Awaited(SettleId),
    /// What uses devices, where that decides between copies of a PV; answered with [`Event::Usage`].
    ReadUsage,
    /// Change a run file; answered with [`Event::Published`], as the next two are with their own.
    Publish(Change),
    ListRunFiles,
    InvalidateHints,
    /// Each device that was present at the start is scanned or quarantined, or its time is up.
    Ready,
    Report(Report),
}

/// How complete the cache is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Never filled.
    Empty,
    /// Being filled, by us or by a command.
    Scanning,
    /// Complete as of the scan, and nothing has happened since.
    Initialized,
    /// Something has happened that is not in the cache yet.
    Outdated,
    /// Brought up to date since.
    Updated,
}

impl State {
    pub fn as_str(self) -> &'static str {
        match self {
            State::Empty => "Empty",
            State::Scanning => "Scanning",
            State::Initialized => "Initialized",
            State::Outdated => "Outdated",
            State::Updated => "Updated",
        }
    }
}
