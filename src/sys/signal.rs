#![allow(unsafe_code)]
//! Signals as something to read.

use std::io;
use std::os::fd::{AsRawFd, RawFd};

use nix::sys::signal::{self, SigHandler, SigSet};
use nix::sys::signalfd::{SfdFlags, SignalFd};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    Terminate,
    Interrupt,
    HangUp,
    Quit,
    Alarm,
    /// A reader has exited.
    Child,
}

const SIGNALS: [(signal::Signal, Signal); 6] = [
    (signal::Signal::SIGTERM, Signal::Terminate),
    (signal::Signal::SIGINT, Signal::Interrupt),
    (signal::Signal::SIGHUP, Signal::HangUp),
    (signal::Signal::SIGQUIT, Signal::Quit),
    (signal::Signal::SIGALRM, Signal::Alarm),
    (signal::Signal::SIGCHLD, Signal::Child),
];

pub struct Signals {
    descriptor: SignalFd,
}

impl Signals {
    /// From here on the signals do nothing but wait to be received. They are blocked for the
    /// calling thread and those it starts, so call it before there are others. Readers and other
    /// children inherit the mask and have to undo it.
    pub fn open() -> io::Result<Signals> {
        let mask: SigSet = SIGNALS.into_iter().map(|(number, _)| number).collect();
        mask.thread_block()?;
        // SAFETY: ignoring a signal runs no code, and nobody here counts on dying of SIGPIPE.
        unsafe { signal::signal(signal::Signal::SIGPIPE, SigHandler::SigIgn) }?;
        let descriptor = SignalFd::with_flags(&mask, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
        Ok(Signals { descriptor })
    }

    /// `None` when there is no more. One `Child` may stand for several.
    pub fn receive(&mut self) -> Option<Signal> {
        let number = self.descriptor.read_signal().ok().flatten()?.ssi_signo;
        SIGNALS.into_iter().find(|(known, _)| u32::try_from(*known as i32) == Ok(number)).map(|(_, signal)| signal)
    }
}

impl AsRawFd for Signals {
    fn as_raw_fd(&self) -> RawFd {
        self.descriptor.as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_wait_to_be_received() {
        let mut signals = Signals::open().unwrap();
        assert_eq!(signals.receive(), None);
        // `raise` is to this thread only: the others of the test program have not blocked them.
        for number in [signal::Signal::SIGHUP, signal::Signal::SIGCHLD] {
            signal::raise(number).unwrap();
        }
        let mut received = [signals.receive(), signals.receive()];
        received.sort_by_key(|signal| signal.map(|signal| signal as u8));
        assert_eq!(received, [Some(Signal::HangUp), Some(Signal::Child)]);
        assert_eq!(signals.receive(), None);
    }
}
