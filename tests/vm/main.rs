//! What needs a real device-mapper, disks and udevd: run by `scripts/vm --test` in its machine,
//! one test after the other. How to write one is told in `guest`.

mod activation;
mod arrays;
mod autoactivation;
mod coldplug;
mod compare;
mod copies;
mod dm;
mod fresh;
mod guest;
mod hotplug;
mod hung;
mod in_charge;
mod live;
mod lvm_commands;
mod machine;
mod multipath;
mod partitions;
mod paths;
mod pvwatchd;
mod scene;
mod schedules;
mod vgchange;

#[path = "../common/mod.rs"]
mod common;
#[path = "../simulation/rng.rs"]
#[allow(dead_code, reason = "the simulation uses more of it")]
mod rng;
// The helpers of the unit tests name `DevNo` as the library does.
use pvwatch::devno;
