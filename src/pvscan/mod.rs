//! `pvscan --cache`: what the udev rule of LVM 2.03 is told of a device.
//!
//! ```text
//! words -> args -> Request ---------------------------.
//! the daemon, or the command itself -> Found, Host ---+-> decide, over RunFiles -> Line -> output
//! ```

#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects, clippy::expect_used, clippy::indexing_slicing))]

mod args;
mod decide;
mod facts;
mod json;
mod output;

pub use args::{Journal, List, Operand, Parsed, Refusal, Request, parse};
pub use decide::{Ask, Asked, Host, Line, Outcome, Starter, Whole, decide, forget_all, nothing_to_do};
pub use facts::{Found, Lv, Pv, Vg};
pub use output::{Entry, Output, render};
