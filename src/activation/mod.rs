//! Which VG is activated when it is whole: the rules, and what is written down of it.
//!
//! A VG is offered once: when it has become complete, and again when a PV of it has gone and come
//! back. Everything here is pure; [`crate::watcher`] applies it, and the daemon carries it out.

#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects, clippy::indexing_slicing))]

pub mod decide;
pub mod policy;
pub mod record;
pub mod udev;
pub mod unit;
mod words;

use crate::id::Id;
use std::fmt;
use std::time::Duration;

pub use decide::{LvRule, Part};
pub use policy::Policy;
pub use record::{Inhibit, Offered};

/// What is done about a VG that is whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Nothing: somebody else activates.
    #[default]
    Off,
    /// It is said what would be done, and nothing else.
    Report,
    /// LVM's own rule activates; it is told where we would have done otherwise.
    Compare,
    /// It is activated.
    On,
}

impl Mode {
    pub fn as_str(self) -> &'static str {
        match self {
            Mode::Off => "off",
            Mode::Report => "report",
            Mode::Compare => "compare",
            Mode::On => "on",
        }
    }
}

/// Why a VG is not activated. [`Rule::code`] is for programs, the words are for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rule {
    /// These PVs are not there.
    Incomplete {
        missing: Vec<Id>,
    },
    /// Its metadata cannot be used.
    Unusable(String),
    Exported,
    /// It is another host's, by this system ID.
    Foreign(String),
    /// By this lock manager.
    Shared(String),
    /// Another VG that is there has its name.
    NameTaken,
    /// Its metadata calls this PV missing, though it is there: `vgextend --restoremissing`.
    MarkedMissing(Id),
    /// `global/event_activation` is 0.
    EventActivation,
    /// It, or each of its LVs, has the flag NOAUTOACTIVATE.
    NoAutoActivate,
    /// `activation/auto_activation_volume_list` names nothing of it.
    AutoActivationVolumeList,
    /// Nor does `activation/volume_list`.
    VolumeList,
    /// There is no LV that would be activated: none at all, or all are to be skipped.
    NothingToActivate,
    /// This PV is on an LV, so it is a guest's.
    OnLv {
        pvid: Id,
        device: String,
    },
    /// The PV is on several devices that look the same, and nothing tells which is the right one.
    Copies {
        pvid: Id,
        devices: Vec<String>,
    },
    /// The PV's device cannot be read now.
    Unreadable {
        pvid: Id,
        device: String,
        reason: String,
    },
    /// udev has not dealt with the device yet.
    AwaitsUdev {
        device: String,
    },
    /// udev's database says that the device is not to be used: in its words.
    RefusedByUdev {
        device: String,
        property: String,
    },
    /// Until this time since the host was booted; `None`: until it is lifted.
    Inhibited {
        until: Option<Duration>,
    },
    /// By us, or by somebody else, in this boot.
    OfferedBefore(By),
    /// The configuration says to report only, or LVM's rule is in charge.
    Mode(Mode),
}

impl Rule {
    /// Whether a VG by which nothing is left to do when it becomes whole has had its turn: what a
    /// command changes of it afterwards activates nothing. LVM records such a VG as online as well.
    pub fn leaves_nothing_to_do(&self) -> bool {
        matches!(
            self,
            Rule::NoAutoActivate | Rule::AutoActivationVolumeList | Rule::VolumeList | Rule::NothingToActivate
        )
    }
}

/// Why nothing is activated by it.
impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Mode::Off => "pvwatch activates nothing",
            Mode::Report => "pvwatch only reports",
            Mode::Compare => "pvwatch only compares with LVM's rule",
            Mode::On => "pvwatch activates",
        })
    }
}

/// Who has offered a VG.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    Us,
    /// It was complete before we were in charge, or is in `vgs_online`.
    Another,
    /// A command that made it complete: by creating, restoring, importing or splitting it. LVM's rule
    /// goes by devices that come, too.
    Command,
}

/// What came of one activation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Succeeded,
    /// In words, with the exit status or the signal; and the last of what it said, if we have heard it.
    Failed {
        why: String,
        output: String,
    },
    /// It took longer than `pvwatch/activation_timeout`, and was ended.
    TimedOut,
    /// It has not begun, and may be tried again.
    NotStarted(String),
    /// It may have begun; how it ended cannot be known.
    Unknown(String),
}

impl Outcome {
    /// For programs.
    pub fn code(&self) -> &'static str {
        match self {
            Outcome::Succeeded => "succeeded",
            Outcome::Failed { .. } => "failed",
            Outcome::TimedOut => "timed_out",
            Outcome::NotStarted(_) => "not_started",
            Outcome::Unknown(_) => "unknown",
        }
    }

    /// The last of what it said.
    pub fn output(&self) -> Option<&str> {
        match self {
            Outcome::Failed { output, .. } => Some(output.trim()).filter(|output| !output.is_empty()),
            _ => None,
        }
    }
}

/// Without what it said.
impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Succeeded => f.write_str("succeeded"),
            Outcome::Failed { why, .. } => f.write_str(why),
            Outcome::TimedOut => f.write_str("it took longer than pvwatch/activation_timeout"),
            Outcome::NotStarted(why) => write!(f, "it did not start: {why}"),
            Outcome::Unknown(why) => write!(f, "how it ended is not known: {why}"),
        }
    }
}

/// What is to be started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    pub vgid: Id,
    /// One that LVM allows.
    pub name: Vec<u8>,
    /// LVs that are active lie on devices that are gone: have them look for the new ones first.
    pub refresh: bool,
    /// How long it may take; `None`: as long as it likes.
    pub limit: Option<Duration>,
}

/// What came of writing an offer down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claimed {
    /// It is ours.
    Made,
    /// `vgs_online` has it already: somebody else was told to activate it.
    Taken,
}

/// What is found when the daemon starts, or is put in charge.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Restored {
    /// Offers of this boot.
    pub offered: Vec<Offered>,
    pub inhibits: Vec<Inhibit>,
    /// Nobody has written anything down in this boot: what LVM has recorded as online was its to
    /// activate.
    pub is_first: bool,
    /// `vgs_online`, before we change anything.
    pub vgs_online: Vec<Vec<u8>>,
    /// `pvs_online`, likewise.
    pub pvs_online: Vec<Id>,
}
