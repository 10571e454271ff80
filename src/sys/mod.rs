//! The world outside: the only modules with system calls and `unsafe`.
//!
//! They may use the pure modules, never the reverse, and they decide nothing.

pub mod activation;
pub mod calendar;
pub mod clock;
pub mod daemonize;
pub mod descriptors;
pub mod dm_ioctl;
pub mod dmeventd;
pub mod inotify;
pub mod journal;
pub mod live;
pub mod log;
pub mod monitor;
pub mod names;
pub mod notify;
pub mod oom;
pub mod panic;
pub mod peer;
pub mod pid_file;
pub mod reader;
pub mod run_files;
pub mod settings;
pub mod signal;
pub mod socket;
pub mod spool;
pub mod state_dir;
pub mod sysfs;
pub mod system_id;
pub mod takeover;
#[cfg(test)]
pub mod testing;
pub mod udev_db;
pub mod usage;
