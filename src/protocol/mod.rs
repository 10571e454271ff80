//! lvmetad's wire protocol: framing, and what each request means to the cache.

pub mod frame;
mod handler;

pub use handler::{Push, Reply, handle, too_large};

#[cfg(test)]
mod tests;
