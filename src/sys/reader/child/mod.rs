#![allow(unsafe_code)]
//! What the reader process does: it answers requests from descriptor 0 until that ends.

mod plain;
mod ring;
mod source;

use std::io::{self, Write};
use std::os::fd::FromRawFd;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

use nix::libc;
use nix::sys::signal::{SigHandler, SigSet, SigmaskHow, Signal, signal, sigprocmask};
use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};

use super::device_mapper;
use super::messages::{Answer, Hello};
use super::{ARGUMENT, Expect, Open, RING_ARGUMENT};
use crate::dm::Unusable;
use crate::sys::{descriptors, live, panic};

/// A buffer that grew beyond this is given back after its request; readers idle for days.
const KEEP_BUFFER: usize = 1 << 20;

/// Both programs call this first thing in `main`. `None`: this is not a reader, nor does it ask
/// device-mapper.
pub fn run_if_reader() -> Option<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    let first = arguments.next()?;
    let second = arguments.next();
    if arguments.next().is_some() {
        return None;
    }
    let work = match second {
        None if first == ARGUMENT => serve_plain,
        Some(second) if first == ARGUMENT && second == RING_ARGUMENT => serve_ring,
        None if first == live::ARGUMENT => live::answer,
        _ => return None,
    };
    match prepare().and_then(work) {
        Ok(()) => Some(ExitCode::SUCCESS),
        Err(error) => {
            eprintln!("reader: {error}");
            Some(ExitCode::FAILURE)
        }
    }
}

/// Leaves nothing of the parent's but descriptors 0 to 2, and sees to it that the parent's death
/// is ours.
fn prepare() -> io::Result<UnixStream> {
    // SAFETY: this runs first thing in `main`, before anything here has opened a descriptor.
    unsafe { descriptors::close_all() }?;
    for number in Signal::iterator().filter(|number| !matches!(number, Signal::SIGKILL | Signal::SIGSTOP)) {
        // SAFETY: the default action replaces no handler that anybody here relies on.
        unsafe { signal(number, SigHandler::SigDfl) }?;
    }
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)?;
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?;
    // Without /proc it is spared as its parent is, which is no reason not to read.
    let _ = crate::sys::oom::be_expendable();
    // SAFETY: descriptor 0 is open (the parent made it our end of the socket pair, else the next
    // call says so), and nothing in a reader uses standard input.
    let socket = unsafe { UnixStream::from_raw_fd(0) };
    // The parent may have died before it could be our death: the socket knows who made it.
    if getsockopt(&socket, PeerCredentials)?.pid() != nix::unistd::getppid().as_raw() {
        return Err(io::Error::other("the parent is gone"));
    }
    Ok(socket)
}

fn serve_plain(mut socket: UnixStream) -> io::Result<()> {
    greet(&mut socket, Hello { slots: 1, note: None })?;
    plain::serve(socket)
}

/// What cannot be a ring is a plain reader.
fn serve_ring(mut socket: UnixStream) -> io::Result<()> {
    match ring::Ring::new() {
        Ok(ring) => {
            greet(&mut socket, ring.hello())?;
            ring.serve(socket)
        }
        Err(error) => {
            greet(&mut socket, Hello { slots: 1, note: Some(error.to_string()) })?;
            plain::serve(socket)
        }
    }
}

fn greet(socket: &mut UnixStream, hello: Hello) -> io::Result<()> {
    let mut out = Vec::new();
    Answer::Hello(hello).put(&mut out);
    socket.write_all(&out)
}

fn unusable(open: &Open) -> Option<Unusable> {
    panic::if_asked_for_at("reader", &open.path);
    match open.expect {
        Expect::Device(devno) if open.is_dm => device_mapper::unusable(devno),
        Expect::Device(_) | Expect::File => None,
    }
}

fn errno(error: &io::Error) -> i32 {
    error.raw_os_error().unwrap_or(libc::EIO)
}
