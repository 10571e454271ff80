//! What needs systemd: run by `scripts/vm --systemd --test` in its machine, one test after the
//! other. How to write one is told in `guest`.

mod activation;
mod machine;
mod pvwatchd;
mod units;

#[path = "../../common/mod.rs"]
mod common;
#[path = "../guest.rs"]
mod guest;
// The helpers of the unit tests name `DevNo` as the library does.
use pvwatch::devno;
