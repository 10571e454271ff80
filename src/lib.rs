//! pvwatch.

pub mod device;
pub mod devno;
pub mod id;
pub mod sys;
pub mod text;
pub mod uevent;
