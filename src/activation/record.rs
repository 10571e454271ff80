//! What cannot be computed again, in `pvwatch/state_dir` (`/run/pvwatch`):
//!
//! | file | content | meaning |
//! |---|---|---|
//! | `boot` | the kernel's boot id | all else here is of that boot, and counts for nothing in another |
//! | `offered/VGID` | `vg:NAME`, `at:SECONDS` since boot, a line each | the VG was offered; VGID without hyphens |
//! | `inhibited/VG` | `until:SECONDS` since boot, or `until:lifted` | the VG of this name is not to be activated |

use crate::id::Id;
use std::time::Duration;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offered {
    pub vgid: Id,
    pub name: Vec<u8>,
    /// Since the host was booted.
    pub at: Duration,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inhibit {
    /// A name that LVM allows.
    pub vg: Vec<u8>,
    /// Since the host was booted; `None`: until it is lifted.
    pub until: Option<Duration>,
}
