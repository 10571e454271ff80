//! pvwatch.

pub mod cache;
pub mod device;
pub mod devno;
pub mod id;
pub mod protocol;
pub mod text;
