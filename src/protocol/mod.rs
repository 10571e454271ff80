//! lvmetad's wire protocol: framing, and what each request means to the cache.

/// The target of log messages about messages.
pub const LOG_TARGET: &str = "pvwatch::wire";

pub mod frame;
mod handler;

pub use handler::{Push, Reply, handle, too_large};

#[cfg(test)]
mod tests;
