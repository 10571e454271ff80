//! lvmetad's wire protocol: framing, and what each request means to the cache.

/// The target of log messages about messages.
pub const LOG_TARGET: &str = "pvwatch::wire";

pub mod frame;
mod handler;
mod request;

pub use handler::{Push, Reply, TOO_MANY_CLIENTS, handle, handle_of, too_large, too_many_clients};
pub use request::{Name, Sender, Trusted};

#[cfg(test)]
mod tests;
