//! pvwatch.

pub mod api;
pub mod cache;
pub mod client;
pub mod conf;
pub mod daemon;
pub mod device;
pub mod devno;
pub mod filter;
pub mod id;
pub mod inspect;
pub mod metadata;
pub mod ondisk;
pub mod probe;
pub mod protocol;
pub mod scan;
pub mod sys;
pub mod text;
pub mod uevent;
pub mod watcher;
pub mod words;
