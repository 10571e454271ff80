//! pvwatch finds LVM physical volumes by itself and serves what it knows of them.
//!
//! ```text
//! kernel -> sys::monitor -> Event::Touched -> watcher: what is it now? (Effect::Examine)
//!        -> Event::Facts -> filter: is it for us? -> Effect::Watch, Effect::Open
//!        -> sys::reader fetches bytes -> scan asks for the next ones, and ends in a Verdict
//!        -> watcher holds the cache to it: pv_found, pv_gone, vg_update
//! client -> sys::socket -> daemon::clients -> protocol or api -> cache -> bytes
//! ```
//!
//! Pure, without a file, socket, clock or environment:
//!
//! | module | what it knows |
//! |---|---|
//! | [`id`], [`devno`], [`device`], [`uevent`] | names of things, and what the kernel says of a device |
//! | [`text`] | LVM's text format: metadata, `lvm.conf`, and lvmetad's messages |
//! | [`ondisk`] | label, PV header and metadata area: bytes to structs |
//! | [`metadata`] | the text of a VG, checked |
//! | [`signature`] | who else may own a device |
//! | [`dm`] | the state of device-mapper's targets: what cannot be read |
//! | [`multipath`] | which devices are paths to a disk that has others |
//! | [`scan`] | one device: which bytes next, and at the end a verdict |
//! | [`filter`], [`conf`] | which devices are scanned; the settings |
//! | [`cache`] | PVs and VGs, and the replies made of them |
//! | [`activation`] | which VG is activated when, and why not |
//! | [`online`], [`pvscan`] | LVM's run files, and what its udev rule, or ours, is told |
//! | [`takeover`] | who starts activation, LVM's udev rule or ours |
//! | [`watcher`] | which device to scan when, and what follows; owns the cache |
//! | [`protocol`], [`api`] | lvmetad's protocol and ours, on the same socket |
//! | [`report`] | what LVM's `pvs`, `vgs`, `lvs` and `fullreport` print |
//! | [`inspect`], [`words`] | JSON and plain words for people |
//! | [`bytes`], [`dm_regex`] | bytes that are mostly text, in JSON; LVM's own regular expressions |
//!
//! The world: [`sys`], the only place with system calls and `unsafe`; [`daemon`], the loop, which
//! decides nothing; [`client`], [`probe`], [`dry_run`], [`inhibit`], [`pvscan_cli`],
//! [`report_cli`] and [`takeover_cli`], the command's side.
//!
//! A VG is activated so:
//!
//! ```text
//! cache -> watcher::online: it is complete -> watcher::activate asks the rules (activation::decide)
//!       -> Effect::AskUdev -> sys::udev_db -> Effect::Offer: sys::state_dir, then vgs_online
//!       -> Effect::Activate -> sys::activation: `lvm vgchange` as a unit of systemd's, or a child
//! ```
//!
//! *Architecture invariant:* the pure modules do not know that there is a world; nothing in them
//! names `sys`, `mio`, `nix` or a clock. Time is handed in.
//!
//! *Architecture invariant:* the daemon never opens a block device, since that may never return.
//! Processes that can be given up do it (`sys::reader`).
//!
//! *Architecture invariant:* nothing read from a device or a socket can make the daemon panic,
//! allocate without bound, or end.
//!
//! *Architecture invariant:* what is done about a VG is written down before it is done, and who makes
//! `vgs_online/VG` does it: no VG is activated twice, whoever ends or starts in between.

// Nothing that is read may make the daemon panic. What takes bytes of the world apart says so for
// indices, sums and `expect` as well, at the top of its file.
#![cfg_attr(not(test), warn(clippy::panic, clippy::string_slice, clippy::unwrap_used))]

pub mod activation;
pub mod api;
pub mod bytes;
pub mod cache;
pub mod client;
pub mod conf;
pub mod daemon;
pub mod device;
pub mod devno;
pub mod dm;
pub mod dm_regex;
pub mod dry_run;
pub mod filter;
pub mod id;
pub mod inhibit;
pub mod inspect;
pub mod metadata;
pub mod multipath;
pub mod ondisk;
pub mod online;
pub mod probe;
pub mod protocol;
pub mod pvscan;
pub mod pvscan_cli;
pub mod report;
pub mod report_cli;
pub mod scan;
pub mod signature;
pub mod sys;
pub mod takeover;
pub mod takeover_cli;
pub mod text;
pub mod uevent;
pub mod watcher;
pub mod words;
