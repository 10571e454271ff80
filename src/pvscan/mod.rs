//! `pvscan --cache`: what the udev rule of LVM 2.03 is told of a device.

mod args;
mod facts;
mod json;

pub use args::{Journal, List, Operand, Parsed, Refusal, Request, parse};
pub use facts::{Found, Lv, Pv, Vg};
