//! What LVM's `pvs`, `vgs`, `lvs` and `fullreport` print, from what is known of a host.
//!
//! ```text
//! inventory: the daemon's cache, over its socket, or a look at devices and images
//!     -> model: the text of each VG, read in full    -> rows: which objects, each a Row
//!     -> fields: Row to Value, one function a field   -> select, sort
//!     -> layout: Value to what LVM prints, in columns or JSON
//! ```
//!
//! One VG is looked at after the other, and nothing of it is kept but the values that are to be
//! printed. Everything here is pure; whoever asks the daemon, devices or device-mapper hands in what
//! came of it.
//!
//! *Architecture invariant:* the daemon makes no reports. It hands out its inventory, a piece at a
//! time, and the command does the rest.

pub mod access;
pub mod columns;
pub mod engine;
pub mod fields;
pub mod help;
pub mod inventory;
pub mod key;
pub mod kind;
pub mod layout;
pub mod lists;
pub mod live;
pub mod log;
pub mod model;
pub mod names;
pub mod options;
pub mod print;
pub mod row;
pub mod rows;
pub mod select;
pub mod settings;
pub mod units;
pub mod value;
