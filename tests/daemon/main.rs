//! The daemon as a real process: on private sockets, with image files, and with loop devices,
//! the kernel's events and Debian's LVM where there are any.

mod activation;
mod bounds;
mod clients;
mod duplicates;
mod ends;
mod floods;
mod images;
mod inventory;
mod loops;
mod lvm;
mod process;
mod report_socket;
mod rights;
mod run_files;

#[path = "../common/mod.rs"]
mod common;
// The helpers of the unit tests name `DevNo` as the library does.
use pvwatch::devno;
