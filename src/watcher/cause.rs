//! Why a device is looked at.

use crate::uevent::{Action, Uevent};
use std::fmt;

/// Why a device is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// It was there when everything was enumerated.
    Enumerated,
    /// A uevent, by its action.
    Uevent(&'static str),
    /// Somebody closed the node after writing.
    Written,
    /// The node, or the image file, appeared or went.
    Node,
    /// A client told us something of it.
    Client,
    /// `pvwatch rescan`.
    Asked,
    /// It was quarantined.
    Retry,
    /// To be sure before a PV is reported outdated.
    SecondLook,
    /// The PV elsewhere that this one duplicates is gone.
    DuplicateGone,
    /// Another device with its PVID shows something else than before.
    CopyChanged,
    Periodic,
    /// It could not be opened, or not read at all: is it still there?
    OpenFailed,
    /// A device that is stacked on it has come, changed or gone.
    Stacked,
    /// A device that it may lie on has gone.
    Below,
    /// A device that lay on it has gone, to which may have been written what was not read.
    Above,
    /// The disk of this partition could be read, which could not be before.
    DiskRead,
    /// It was not to be read for one of its partitions.
    PartitionRead,
    /// Another partition of its disk has come, gone, or changed its place.
    Partition,
    /// A map might have taken it meanwhile.
    Waited,
    /// A `change` event that udevd makes when a writer has closed a node.
    Echo,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::Enumerated => f.write_str("enumeration"),
            Cause::Uevent(action) => write!(f, "uevent {action}"),
            Cause::Written => f.write_str("a writer closed it"),
            Cause::Node => f.write_str("its node changed"),
            Cause::Client => f.write_str("a client's message"),
            Cause::Asked => f.write_str("a request to rescan"),
            Cause::Retry => f.write_str("another try"),
            Cause::SecondLook => f.write_str("a second look"),
            Cause::DuplicateGone => f.write_str("the other device with its PVID went"),
            Cause::CopyChanged => f.write_str("another device with its PVID changed"),
            Cause::Periodic => f.write_str("the periodic re-read"),
            Cause::OpenFailed => f.write_str("it could not be opened or read"),
            Cause::Stacked => f.write_str("a change of what is stacked on it"),
            Cause::Below => f.write_str("a device below it went"),
            Cause::Above => f.write_str("a device on it went"),
            Cause::DiskRead => f.write_str("its disk could be read"),
            Cause::PartitionRead => f.write_str("it could not be read for a partition"),
            Cause::Partition => f.write_str("another partition of its disk"),
            Cause::Waited => f.write_str("the wait for a multipath map"),
            Cause::Echo => f.write_str("uevent change, after a writer"),
        }
    }
}

impl Cause {
    /// Whether it is no reason to read a device again of which something is known.
    pub(super) fn is_only_a_look(self) -> bool {
        matches!(self, Cause::OpenFailed | Cause::Stacked | Cause::Below | Cause::Waited)
    }

    /// What a uevent asks for; `udevd` tells whether that is running. The facts are read from
    /// sysfs afterwards, so an event that comes late or twice does no harm:
    ///
    /// | action | meaning |
    /// |---|---|
    /// | add, online | there may be a PV: look, and read it |
    /// | change | size, table, backing file or content may have changed: look, and read it |
    /// | change, made by udevd after a writer | our own watch has said so |
    /// | move | it has another name: look, and read it by that |
    /// | remove, offline | look; if it is gone or has no size, its PV is gone |
    /// | bind, unbind | about drivers; the disk's own events follow or went before |
    pub fn of(event: &Uevent, udevd: bool) -> Option<Cause> {
        match event.action {
            Action::Add => Some(Cause::Uevent("add")),
            Action::Change if event.synthetic && udevd => Some(Cause::Echo),
            Action::Change => Some(Cause::Uevent("change")),
            Action::Remove => Some(Cause::Uevent("remove")),
            Action::Move => Some(Cause::Uevent("move")),
            Action::Online => Some(Cause::Uevent("online")),
            Action::Offline => Some(Cause::Uevent("offline")),
            Action::Bind | Action::Unbind => None,
            Action::Other => Some(Cause::Uevent("of an unknown kind")),
        }
    }
}
