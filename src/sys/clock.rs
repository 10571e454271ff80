//! The clock the core is told the time of.

use nix::time::{ClockId, clock_gettime};
use std::time::Duration;

/// Time of the monotonic clock, whose whole seconds lvmetad's protocol shows.
pub fn now() -> Duration {
    clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(Duration::ZERO, Duration::from)
}
