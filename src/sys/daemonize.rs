#![allow(unsafe_code)]
//! Leaving the terminal.

use std::fs::File;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::AsFd;
use std::process::exit;

use nix::errno::Errno;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, chdir, dup2_stderr, dup2_stdin, dup2_stdout, fork, setsid};

/// The parent waits for this to be announced.
#[must_use = "the parent waits"]
pub struct Ready(PipeWriter);

/// Goes on in a child without terminal, in `/`; the parent stays until the child is ready, exits
/// with 0 then, and else with the child's exit status. Standard error stays the terminal's for as
/// long, so that what goes wrong at start is seen.
///
/// Call it before there are threads, before the pid file is locked (the lock is not the child's),
/// and with relative paths made absolute.
pub fn background() -> io::Result<Ready> {
    // Both ends are close-on-exec: a reader must not keep the parent waiting.
    let (receiver, sender) = io::pipe()?;
    // SAFETY: there is only this thread (by this function's contract), so the child finds no lock
    // held by a thread that it does not have, and may go on like any program.
    match unsafe { fork() }? {
        ForkResult::Parent { child } => {
            drop(sender);
            exit(wait(receiver, child));
        }
        ForkResult::Child => {
            drop(receiver);
            setsid()?;
            chdir("/")?;
            let null = File::options().read(true).write(true).open("/dev/null")?;
            dup2_stdin(&null)?;
            dup2_stdout(&null)?;
            Ok(Ready(sender))
        }
    }
}

impl Ready {
    /// The parent may exit: the daemon answers, and its pid file is written.
    pub fn announce(mut self) -> io::Result<()> {
        let null = File::options().write(true).open("/dev/null")?;
        dup2_stderr(null.as_fd())?;
        match self.0.write_all(b"r") {
            // Nobody waits any more, which is no reason not to be a daemon.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            result => result,
        }
    }
}

/// The exit status for the parent.
fn wait(mut receiver: PipeReader, child: Pid) -> i32 {
    let mut byte = [0];
    // An interrupted read is tried again by `read_exact`.
    if receiver.read_exact(&mut byte).is_ok() {
        return 0;
    }
    loop {
        match waitpid(child, None) {
            Err(Errno::EINTR) => {}
            // Never ready, so it did not succeed, whatever it says.
            Ok(WaitStatus::Exited(_, 0)) | Err(_) => return 1,
            Ok(WaitStatus::Exited(_, status)) => return status,
            // As a shell says it.
            Ok(WaitStatus::Signaled(_, signal, _)) => return 128 + signal as i32,
            Ok(_) => {}
        }
    }
}
