//! The expendable process that opens and reads devices.
//!
//! `open` and `read` on a sick device may sleep for minutes, and a process that sleeps so cannot
//! even be killed. So the daemon never does either: `pool` starts its own executable once more,
//! `child` is what that process does, and `messages` is what they say to each other.
//!
//! There are two engines. A *ring* is one process that works on many devices at once by `io_uring`,
//! so that one which does not answer costs a slot of it. *Plain readers* are processes that work on
//! one device each; they do it where `io_uring` is not to be had, and for a while after a ring died
//! or hung, since then it shows which device it is that a reader dies of.

mod child;
mod device_mapper;
mod messages;
mod pool;

use std::path::PathBuf;

use crate::devno::DevNo;
use crate::dm::Unusable;

pub use child::run_if_reader;
pub use pool::{Counts, Engine, Happening, IDLE_READERS, Pool};

pub type JobId = u64;

/// The argument that makes an executable of ours a reader.
pub const ARGUMENT: &str = "--read-for-parent";
/// And then one that makes it a ring, if that can be had.
pub const RING_ARGUMENT: &str = "--ring";
/// The name a reader has in `ps`.
pub const NAME: &str = "pvwatch-reader";

/// Jobs at a time with a ring.
pub const RING_JOBS: usize = 256;
/// Jobs at a time with plain readers, each of which takes a process.
pub const PLAIN_JOBS: usize = 8;
/// Jobs that a ring has room for: those worked on, those being closed, and those that are lost.
const RING_SLOTS: usize = 1024;
/// What a ring may have open: the devices of its jobs, those that may be given up or on their way to be
/// closed before another ring takes its place, and some descriptors of its own.
const RING_DESCRIPTORS: usize = RING_JOBS + pool::LEAVING_MAX + 16;

/// Metadata text of 64 MiB, more than lvmetad's clients ever send, and the areas around it.
pub const MAX_READ: usize = (64 << 20) + (1 << 20);
/// Places of a device that are read with one request.
pub const MAX_PIECES: usize = crate::scan::PLACES_MAX;

/// What must be found at the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    Device(DevNo),
    File,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Open {
    pub path: PathBuf,
    pub expect: Expect,
    /// How many bytes at offset 0 to send with the answer.
    pub first: usize,
    /// It is a device-mapper device: ask about its targets first, since opening it may wait for them.
    pub is_dm: bool,
}

/// A device or file that has been opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    pub size: u64,
    /// Which incarnation of the disk was opened; `None` for files and before Linux 5.15.
    pub diskseq: Option<u64>,
    /// The first bytes, fewer than asked for when the device ends before.
    pub head: Vec<u8>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// `Err` has errno. Nothing is open then, but the job still has its reader.
    Opened(Result<Opened, i32>),
    /// It could be opened, and its first bytes cannot be read, by this errno. Nothing is open then either.
    Unread(i32),
    /// Nor then.
    Unusable(Unusable),
    /// One for each place that was asked for, up to the first that cannot be read, and maybe more.
    /// `diskseq` was read after them.
    Data { diskseq: Option<u64>, pieces: Vec<Piece> },
}

/// Fewer bytes than asked for at the end of the device; or errno.
pub type Piece = Result<Vec<u8>, i32>;
