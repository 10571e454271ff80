#![allow(unsafe_code)]
//! The open descriptors of this process as a whole.

use std::io;
use std::os::fd::RawFd;

use nix::errno::Errno;
use nix::libc;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

const FIRST: RawFd = 3;
/// What every process has that was not deprived of it.
pub const MIN: u64 = 1024;
/// linux/close_range.h; libc's constant has the type of another wrapper.
const CLOSE_RANGE_CLOEXEC: libc::c_long = 1 << 2;

/// Allows as many descriptors as are needed, or as many as we may have; how many that are. What a login
/// shell and systemd set, 1024, is for programs that use select(2).
pub fn raise_limit(needed: u64) -> io::Result<u64> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if soft >= needed {
        return Ok(soft);
    }
    // Beyond the hard limit only a privileged process comes, and none comes beyond fs.nr_open.
    if hard < needed && setrlimit(Resource::RLIMIT_NOFILE, needed, needed).is_ok() {
        return Ok(needed);
    }
    let most = hard.min(needed);
    setrlimit(Resource::RLIMIT_NOFILE, most, hard)?;
    Ok(most)
}

/// Whether we are the ones who lack something, and not what we asked about.
pub fn is_shortage(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM))
}

/// Makes every descriptor from 3 on close-on-exec, those that were open before the program began
/// too: a reader that inherited one of them would keep it open for as long as its device hangs.
pub fn set_close_on_exec() -> io::Result<()> {
    match close_range(CLOSE_RANGE_CLOEXEC) {
        Ok(()) => Ok(()),
        Err(_) => set_close_on_exec_by_list(),
    }
}

fn set_close_on_exec_by_list() -> io::Result<()> {
    for descriptor in open_descriptors()? {
        // SAFETY: F_SETFD changes one flag of a descriptor and no memory; a number that is not
        // open any more gives EBADF.
        Errno::result(unsafe { libc::fcntl(descriptor, libc::F_SETFD, libc::FD_CLOEXEC) }).ok();
    }
    Ok(())
}

/// Closes what was open before the program began, but for sockets that systemd hands over: a
/// daemon must not keep open what its starter waits for the end of. Call it first thing in `main`,
/// before anything has opened a descriptor.
pub fn close_inherited() -> io::Result<()> {
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    let is_a_number = variable("LISTEN_FDS").parse().is_ok_and(|count: u8| count > 0);
    let handed_over = is_a_number && variable("LISTEN_PID") == std::process::id().to_string();
    if handed_over {
        // What systemd starts has nothing else.
        return Ok(());
    }
    // SAFETY: by this function's contract nothing in the process owns a descriptor yet.
    unsafe { close_all() }
}

/// Closes every descriptor from 3 on.
///
/// # Safety
/// Nothing in the process may own one of them: call it first thing in `main`.
pub unsafe fn close_all() -> io::Result<()> {
    if close_range(0).is_ok() {
        return Ok(());
    }
    for descriptor in open_descriptors()? {
        // SAFETY: the caller promises that nobody owns the descriptor; the one that listed the
        // directory is closed already, and closing it again gives EBADF.
        Errno::result(unsafe { libc::close(descriptor) }).ok();
    }
    Ok(())
}

/// By number, because C libraries before 2020 have no function for it. Linux 5.9, the flag 5.11.
fn close_range(flags: libc::c_long) -> nix::Result<()> {
    let (first, last) = (libc::c_long::from(FIRST), libc::c_long::from(RawFd::MAX));
    // SAFETY: close_range takes three integers and touches no memory of ours. That the
    // descriptors are nobody's is the promise of `close_all`'s caller; the other caller only sets
    // a flag on them.
    Errno::result(unsafe { libc::syscall(libc::SYS_close_range, first, last, flags) }).map(drop)
}

fn open_descriptors() -> io::Result<Vec<RawFd>> {
    let mut descriptors = Vec::new();
    for entry in std::fs::read_dir("/proc/self/fd")? {
        match entry?.file_name().to_str().and_then(|name| name.parse().ok()) {
            Some(descriptor) if descriptor >= FIRST => descriptors.push(descriptor),
            _ => {}
        }
    }
    Ok(descriptors)
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::fcntl::{FcntlArg, FdFlag, fcntl};

    #[test]
    fn both_ways_mark_every_descriptor() {
        for mark in [set_close_on_exec, set_close_on_exec_by_list] {
            let file = std::fs::File::open("/dev/null").unwrap();
            fcntl(&file, FcntlArg::F_SETFD(FdFlag::empty())).unwrap();
            mark().unwrap();
            assert_eq!(fcntl(&file, FcntlArg::F_GETFD), Ok(FdFlag::FD_CLOEXEC.bits()));
        }
    }
}
