//! pvwatch.

pub mod cache;
pub mod conf;
pub mod device;
pub mod devno;
pub mod filter;
pub mod id;
pub mod metadata;
pub mod ondisk;
pub mod protocol;
pub mod sys;
pub mod text;
pub mod uevent;
