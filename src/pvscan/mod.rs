//! `pvscan --cache`: what the udev rule of LVM 2.03 is told of a device.

mod facts;
mod json;

pub use facts::{Found, Lv, Pv, Vg};
