//! Kinds of steps, and traits of the world.

/// Kinds of steps, and traits of the world; each seed leaves some out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Kind {
    Add,
    Remove,
    Overwrite,
    Commit,
    Rename,
    VgRemove,
    VgReduce,
    Torn,
    Copy,
    Swap,
    Detach,
    Reuse,
    Fault,
    Heal,
    Suspend,
    Ask,
    Say,
    Push,
    Refill,
    Noise,
    Jump,
    Enumerate,
    /// Uevents that never come, and changes without any.
    Lose,
    Repeat,
    Slow,
    TwoAreas,
    Udevd,
    /// Disks that are members of arrays, and the arrays.
    Arrays,
    /// Others change the run files.
    Meddle,
    /// Several paths to one disk, and the maps that multipath makes of them.
    Paths,
    Partitions,
    /// LVs become active.
    Lvs,
    /// Snapshots, and other devices that show a disk again.
    Copies,
    Mounts,
    /// Who writes a VG tells of it, before, between or after the writes.
    Tell,
    /// Somebody waits until all is looked at.
    Settle,
    /// What the kernel says cannot be read, nothing can be enumerated, no reader started.
    Blind,
    /// The run directory or that of the state is full.
    Full,
    /// The daemon is restarted.
    Restart,
    /// One reader has all jobs, and may be lost with them.
    Ring,
}

/// What happens to devices that lie on each other.
pub const STACKING: [Kind; 6] = [Kind::Paths, Kind::Partitions, Kind::Arrays, Kind::Lvs, Kind::Copies, Kind::Mounts];

/// By which a client may say what is on no disk.
pub const LIES: [Kind; 3] = [Kind::Say, Kind::Refill, Kind::Push];

pub const STEPS: [Kind; 31] = [
    Kind::Add,
    Kind::Remove,
    Kind::Overwrite,
    Kind::Commit,
    Kind::Commit,
    Kind::Rename,
    Kind::VgRemove,
    Kind::VgReduce,
    Kind::Torn,
    Kind::Copy,
    Kind::Swap,
    Kind::Detach,
    Kind::Reuse,
    Kind::Fault,
    Kind::Heal,
    Kind::Suspend,
    Kind::Ask,
    Kind::Say,
    Kind::Push,
    Kind::Refill,
    Kind::Jump,
    Kind::Enumerate,
    Kind::Paths,
    Kind::Paths,
    Kind::Partitions,
    Kind::Arrays,
    Kind::Lvs,
    Kind::Copies,
    Kind::Mounts,
    Kind::Settle,
    Kind::Ring,
];

pub const ALL: [Kind; 40] = [
    Kind::Add,
    Kind::Remove,
    Kind::Overwrite,
    Kind::Commit,
    Kind::Rename,
    Kind::VgRemove,
    Kind::VgReduce,
    Kind::Torn,
    Kind::Copy,
    Kind::Swap,
    Kind::Detach,
    Kind::Reuse,
    Kind::Fault,
    Kind::Heal,
    Kind::Suspend,
    Kind::Ask,
    Kind::Say,
    Kind::Push,
    Kind::Refill,
    Kind::Noise,
    Kind::Jump,
    Kind::Enumerate,
    Kind::Lose,
    Kind::Repeat,
    Kind::Slow,
    Kind::TwoAreas,
    Kind::Udevd,
    Kind::Arrays,
    Kind::Meddle,
    Kind::Paths,
    Kind::Partitions,
    Kind::Lvs,
    Kind::Copies,
    Kind::Mounts,
    Kind::Tell,
    Kind::Settle,
    Kind::Blind,
    Kind::Full,
    Kind::Restart,
    Kind::Ring,
];
