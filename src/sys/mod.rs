//! The world outside: the only modules with system calls and `unsafe`.
//!
//! They may use the pure modules, never the reverse, and they decide nothing.

pub mod descriptors;
pub mod inotify;
pub mod monitor;
pub mod reader;
pub mod signal;
pub mod sysfs;
#[cfg(test)]
pub mod testing;
