//! pvwatch.

pub mod device;
pub mod devno;
pub mod id;
pub mod inspect;
pub mod metadata;
pub mod ondisk;
pub mod scan;
pub mod text;
