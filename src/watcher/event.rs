//! What the watcher is told, what it asks for, and how complete the cache is.

use super::{Cause, JobId, Report, SettleId};
use crate::activation::{Claimed, Inhibit, Offered, Order, Outcome, Restored, udev};
use crate::device::{Facts, Usage};
use crate::devno::DevNo;
use crate::dm::Unusable;
use crate::id::Id;
use crate::online::{Change, Hints, Listing};
use crate::scan::ByteRange;

#[derive(Debug)]
pub enum Event {
    /// Everything there is, enumerated after subscribing to changes.
    Resync(Vec<DevNo>),
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
    /// It was opened, and its first bytes cannot be read.
    Unread {
        job: JobId,
        errno: i32,
    },
    /// It was not opened: reading it would lead to nothing.
    Unusable {
        job: JobId,
        why: Unusable,
    },
    /// The answer to [`Effect::Read`]: the first place, or errno, and of the others at least those up
    /// to the first that cannot be read.
    Data {
        job: JobId,
        diskseq: Option<u64>,
        pieces: Vec<Result<Vec<u8>, i32>>,
    },
    ReaderDied(JobId),
    /// The reader is gone that had this job among others: that shows nothing of its device.
    ReaderLost(JobId),
    /// No reader could be had, by this errno.
    NoReader {
        job: JobId,
        errno: i32,
    },
    /// What an abandoned job had begun is over at last.
    ReaderReleased(JobId),
    /// So many jobs can be worked on at a time from now on.
    Capacity(usize),
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
    /// What is written down of this boot: at the start, and when we are put in charge.
    Restored(Restored),
    /// The VGs that are not to be activated, as of now.
    Inhibited(Vec<Inhibit>),
    /// The answer to [`Effect::AskUdev`].
    UdevSays {
        devno: DevNo,
        standing: udev::Standing,
    },
    /// udevd has dealt with an event of the device, that of this number if it says.
    UdevDone {
        devno: DevNo,
        seqnum: Option<u64>,
    },
    /// The answer to [`Effect::Offer`].
    Offered {
        vgid: Id,
        result: Result<Claimed, String>,
    },
    /// An activation has begun: as this unit, or this process.
    ActivationStarted {
        vgid: Id,
        by: String,
    },
    ActivationEnded {
        vgid: Id,
        outcome: Outcome,
    },
    /// Somebody has made `vgs_online/VG`.
    VgOnline(Vec<u8>),
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
    /// Read in all these places, at the same time if that is possible.
    Read {
        job: JobId,
        ranges: Vec<ByteRange>,
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
    /// What udev has to say of a device; answered with [`Event::UdevSays`].
    AskUdev(DevNo),
    /// Write down that the VG is offered now, and make its `vgs_online`; answered with
    /// [`Event::Offered`]. Nothing is left behind by one that fails.
    Offer(Offered),
    /// A PV of the VG has gone: it may be offered again.
    ForgetOffer(Id),
    /// It did not begin: take back what [`Effect::Offer`] has done.
    WithdrawOffer {
        vgid: Id,
        name: Vec<u8>,
    },
    /// Answered with [`Event::ActivationStarted`] and [`Event::ActivationEnded`], or the latter alone.
    Activate(Order),
    /// Its time is over. It ends with [`Event::ActivationEnded`], also if it cannot be killed.
    EndActivation(Id),
    /// As much was done as may be done at a time: let others have their turn, then ask on.
    Pause,
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
