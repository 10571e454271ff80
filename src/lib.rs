//! pvwatch.

pub mod cache;
pub mod conf;
pub mod device;
pub mod devno;
pub mod filter;
pub mod id;
pub mod protocol;
pub mod text;
