//! What is known of one device.

use crate::device::Facts;
use crate::dm::Unusable;
use crate::filter::Rule;
use crate::id::Id;
use crate::scan::{Finding, Pv, ReadError};
use crate::signature::Member;
use std::fmt;
use std::time::Duration;

use super::{Cause, JobId};

/// Why a device is not read, for the time being.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    DeadlinePassed,
    /// Opening failed with this errno.
    Open(i32),
    Read(ReadError),
    /// The reader process died over it, twice.
    ReaderDied,
    Suspended,
    /// Its target answers no reads on this path.
    Passive,
    /// By what device-mapper says of its targets.
    Unusable(Unusable),
    /// A reader still hangs on what was behind the number before.
    ReaderStuck,
    /// The kernel says one `diskseq`, and who opens the device finds another.
    Incarnation,
    /// What the kernel says of it could not be read.
    Facts(i32),
    /// The daemon could not get a reader process.
    NoReader(i32),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let error = |errno: &i32| std::io::Error::from_raw_os_error(*errno);
        match self {
            Reason::DeadlinePassed => f.write_str("it did not answer within the deadline"),
            Reason::Open(errno) => write!(f, "it cannot be opened: {}", error(errno)),
            Reason::Read(ReadError::Io(errno)) => write!(f, "it cannot be read: {}", error(errno)),
            Reason::Read(ReadError::Short) => f.write_str("it is shorter than it says"),
            Reason::ReaderDied => f.write_str("the process that read it died"),
            Reason::Incarnation => f.write_str("it is not the disk that sysfs says it is (diskseq)"),
            Reason::ReaderStuck => f.write_str("a reader hangs on the device that had its number before"),
            Reason::Facts(errno) => write!(f, "what the kernel says of it cannot be read: {}", error(errno)),
            Reason::Suspended => f.write_str("the device-mapper device is suspended"),
            Reason::Passive => f.write_str("it is a passive path"),
            Reason::Unusable(why) => write!(f, "{why}"),
            Reason::NoReader(errno) => write!(f, "no process to read it could be started: {}", error(errno)),
        }
    }
}

/// A device that cannot be read: known, listed, and tried again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quarantine {
    pub reason: Reason,
    pub since: Duration,
    pub tries: u32,
    /// `None` for one that will tell by itself when it is back.
    pub retry_at: Option<Duration>,
}

/// Why a path to a disk is not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeldBack {
    /// Multipath has it, or will.
    Component(Box<Member>),
    /// The target answers no reads on it.
    Passive(String),
    /// A map may be about to take it. It is read when that is over.
    Pending { since: Duration, until: Duration },
}

impl HeldBack {
    pub fn component(&self) -> Option<&Member> {
        match self {
            HeldBack::Component(member) => Some(member),
            HeldBack::Passive(_) | HeldBack::Pending { .. } => None,
        }
    }
}

/// In words, for who asks why it is no PV.
impl fmt::Display for HeldBack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HeldBack::Component(member) => f.write_str(&member.why_no_pv()),
            HeldBack::Passive(state) => write!(f, "device is a path that is {state}"),
            HeldBack::Pending { .. } => f.write_str("device may be a multipath component"),
        }
    }
}

/// The wait before the first retry; it doubles with each.
const RETRY_FIRST: Duration = Duration::from_secs(1);

/// How long after a writer closed a node udevd may take to say so.
const ECHO_WITHIN: Duration = Duration::from_secs(1);

/// What a good read has shown.
#[derive(Debug)]
pub struct Seen {
    pub content: Content,
    pub diskseq: Option<u64>,
    pub cause: Cause,
    /// When the read was started, and when it ended.
    pub started: Duration,
    pub ended: Duration,
    /// The end of the first read that showed this content, of those without one that failed in between.
    pub content_since: Duration,
    /// This job has read it. Those from the other on began after the content was first known.
    pub(super) job: JobId,
    pub(super) known_to: JobId,
    /// A read that came later confirmed it as outdated.
    pub reported_outdated: bool,
}

#[derive(Debug)]
pub enum Content {
    Pv(Box<Pv>),
    NotAPv(Vec<Finding>),
    Member(Box<Member>, Vec<Finding>),
}

impl Content {
    pub fn pv(&self) -> Option<&Pv> {
        match self {
            Content::Pv(pv) => Some(pv),
            Content::NotAPv(_) | Content::Member(..) => None,
        }
    }

    pub fn member(&self) -> Option<&Member> {
        match self {
            Content::Member(member, _) => Some(member),
            Content::Pv(_) | Content::NotAPv(_) => None,
        }
    }

    pub fn findings(&self) -> &[Finding] {
        match self {
            Content::Pv(pv) => &pv.findings,
            Content::NotAPv(findings) | Content::Member(_, findings) => findings,
        }
    }
}

/// `done ≤ started ≤ wanted`: numbers of reads. One that is wanted and not started makes the
/// device dirty; nothing wanted that is not done makes it quiet.
#[derive(Debug)]
pub struct Device {
    pub facts: Facts,
    /// All names below `/dev`, or the path of an image.
    pub names: Vec<String>,
    pub cause: Cause,
    pub first_seen: Duration,
    /// Why it is not scanned at all.
    pub rule: Option<Rule>,
    /// Why there is nothing to read now.
    pub not_ready: Option<&'static str>,
    /// What multipath has to do with it, if that keeps it from being read.
    pub held_back: Option<HeldBack>,
    /// It flaps, and is to be read, but not before this.
    pub paced_until: Option<Duration>,
    /// When it is looked at again for being held back.
    pub(super) look_at: Option<Duration>,
    /// No map has taken it in time.
    pub(super) waited_for_map: bool,
    /// The disk of this partition could not be read when a PV was found here.
    pub(super) disk_unread: bool,
    pub seen: Option<Seen>,
    pub quarantine: Option<Quarantine>,
    wanted: u64,
    started: u64,
    done: u64,
    /// Reads up to this one began before a client told us something newer.
    distrusted: u64,
    /// The PV that it is known to hold a copy of, which may be the only one.
    pub(super) copy_of: Option<Id>,
    /// Its ticket in the queue.
    pub(super) queued: Option<u64>,
    pub(super) job: Option<JobId>,
    pub(super) second_look: Option<Duration>,
    /// When a writer closed it last, and the reads begun by then; udevd has not repeated it yet.
    unechoed: Option<(Duration, u64)>,
    /// The `diskseq` its last reader found, if that was not the one expected.
    pub(super) read_as: Option<u64>,
    /// Opening it failed as if it were gone, and nothing was read of it since.
    pub(super) may_have_gone: bool,
    /// A reader that was given up over it has not exited yet.
    pub stuck: bool,
}

impl Device {
    pub(super) fn new(now: Duration, cause: Cause) -> Device {
        Device {
            facts: Facts::default(),
            names: Vec::new(),
            cause,
            first_seen: now,
            rule: None,
            not_ready: None,
            held_back: None,
            paced_until: None,
            look_at: None,
            waited_for_map: false,
            disk_unread: false,
            seen: None,
            quarantine: None,
            wanted: 0,
            started: 0,
            done: 0,
            distrusted: 0,
            copy_of: None,
            queued: None,
            job: None,
            second_look: None,
            unechoed: None,
            read_as: None,
            may_have_gone: false,
            stuck: false,
        }
    }

    /// The path a reader opens.
    pub fn path(&self) -> String {
        self.names.first().cloned().unwrap_or_else(|| format!("/dev/{}", self.facts.name))
    }

    /// The node of the kernel's name, in which a `!` stands for a slash; the path of an image.
    pub fn node(&self) -> String {
        let name = &self.facts.name;
        if name.starts_with('/') { name.clone() } else { format!("/dev/{}", name.replace('!', "/")) }
    }

    /// Whether this is one of its names below `/dev`.
    pub fn is_named(&self, name: &str) -> bool {
        let mapped =
            || name.strip_prefix("/dev/mapper/").is_some_and(|rest| self.facts.dm_name.as_deref() == Some(rest));
        self.names.iter().any(|own| own == name) || self.node() == name || mapped()
    }

    /// Whether a read would be answered, as far as is known. One that is suspended will answer.
    pub(super) fn can_be_read(&self) -> bool {
        self.quarantine.as_ref().is_none_or(|quarantine| quarantine.reason == Reason::Suspended)
    }

    pub fn pv(&self) -> Option<&Pv> {
        self.seen.as_ref().and_then(|seen| seen.content.pv())
    }

    /// What is known of it is from before its trouble began.
    pub fn is_stale(&self) -> bool {
        self.quarantine.is_some() && self.seen.is_some()
    }

    pub(super) fn may_be_read(&self) -> bool {
        self.rule.is_none() && self.not_ready.is_none() && self.held_back.is_none() && !self.stuck
    }

    /// Whether it has been read, is being read, or was tried to be.
    pub(super) fn is_attended(&self) -> bool {
        self.may_be_read() && (self.seen.is_some() || self.quarantine.is_some() || !self.is_quiet())
    }

    pub(super) fn is_dirty(&self) -> bool {
        self.wanted > self.started
    }

    pub fn is_quiet(&self) -> bool {
        self.done == self.wanted
    }

    /// The read that a request made now has to wait for.
    pub(super) fn wanted(&self) -> u64 {
        self.wanted
    }

    /// One that has been away counts its reads anew: the read was of what was there before.
    pub(super) fn is_done(&self, read: u64) -> bool {
        self.done >= read || self.wanted < read
    }

    /// Asks for a read that begins from now on; any number of reasons are one read.
    pub(super) fn want(&mut self) {
        self.wanted = self.started + 1;
    }

    pub(super) fn start(&mut self, job: JobId) -> u64 {
        self.started = self.wanted;
        self.job = Some(job);
        self.started
    }

    /// Ends a job; true if what it read counts. What does not count is read again.
    pub(super) fn finish(&mut self, read: u64) -> bool {
        self.job = None;
        read > self.distrusted
    }

    pub(super) fn done(&mut self, read: u64) {
        self.done = self.done.max(read);
    }

    pub(super) fn written(&mut self, now: Duration) {
        self.unechoed = Some((now, self.started));
    }

    /// Whether this `change` event says only what was known and read: a writer closed the node a
    /// moment ago, and a good read has begun since.
    pub(super) fn take_echo(&mut self, now: Duration) -> bool {
        let Some((written, reads)) = self.unechoed.take() else { return false };
        now <= written + ECHO_WITHIN && self.started > reads && self.quarantine.is_none()
    }

    pub(super) fn distrust(&mut self) {
        self.distrusted = self.started;
    }

    /// There is nothing to wait for: it cannot be read now.
    pub(super) fn give_up(&mut self) {
        self.started = self.wanted;
        self.done = self.wanted;
    }

    pub(super) fn quarantine(&mut self, now: Duration, reason: Reason, retry_max: Duration) {
        let (since, tries) = self.quarantine.as_ref().map_or((now, 0), |before| (before.since, before.tries));
        let wait = RETRY_FIRST.saturating_mul(1 << tries.min(16)).min(retry_max);
        let tells_itself = matches!(reason, Reason::Suspended | Reason::ReaderStuck);
        let retry_at = (!tells_itself).then_some(now + wait);
        self.quarantine = Some(Quarantine { reason, since, tries: tries + 1, retry_at });
    }

    pub fn retry_at(&self) -> Option<Duration> {
        self.quarantine.as_ref().and_then(|quarantine| quarantine.retry_at)
    }
}
