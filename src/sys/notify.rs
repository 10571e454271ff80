//! What the service manager is told. Nothing happens when there is none.
//!
//! The variables stay in our environment; readers start with an empty one.

use std::time::Duration;

use sd_notify::NotifyState;

/// The socket answers.
pub fn ready() {
    send(&[NotifyState::Ready]);
}

/// One line for `systemctl status`.
pub fn status(text: &str) {
    // A newline would begin another assignment.
    send(&[NotifyState::Status(&text.replace('\n', " "))]);
}

pub fn stopping() {
    send(&[NotifyState::Stopping]);
}

/// The loop still turns.
pub fn alive() {
    send(&[NotifyState::Watchdog]);
}

/// The loop still turns, and is not ready yet: until then it is the time to start that is over
/// some day.
pub fn starting(allowed: Duration) {
    let allowed = u32::try_from(allowed.as_micros()).unwrap_or(u32::MAX);
    send(&[NotifyState::Watchdog, NotifyState::ExtendTimeoutUsec(allowed)]);
}

/// How often to be `alive` or `starting`: half of what is allowed, as systemd advises. `None`:
/// nobody watches.
pub fn watchdog() -> Option<Duration> {
    sd_notify::watchdog_enabled().map(|allowed| allowed / 2)
}

/// A service manager that does not listen is its own problem.
fn send(states: &[NotifyState]) {
    if let Err(error) = sd_notify::notify(states) {
        log::debug!("service manager not told: {error}");
    }
}
