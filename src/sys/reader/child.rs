#![allow(unsafe_code)]
//! What the reader process does: it answers requests from descriptor 0 until that ends.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

use memmap2::MmapMut;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::libc;
use nix::sys::signal::{SigHandler, SigSet, SigmaskHow, Signal, signal, sigprocmask};
use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use nix::sys::uio::pread;

use super::device_mapper;
use super::{ARGUMENT, Answer, Expect, MAX_REQUEST, Open, Opened, Reply, Request, frame_length};
use crate::devno::DevNo;
use crate::dm::Unusable;
use crate::sys::{descriptors, live};

/// Logical blocks are never larger on x86, and a page everywhere is at least this.
const ALIGNMENT: usize = 4096;
/// A buffer that grew beyond this is given back after its request; readers idle for days.
const KEEP_BUFFER: usize = 1 << 20;

nix::ioctl_read!(blkgetsize64, 0x12, 114, libc::size_t);
nix::ioctl_read!(blkgetdiskseq, 0x12, 128, u64);
nix::ioctl_read_bad!(blksszget, nix::request_code_none!(0x12, 104), libc::c_int);

/// Both programs call this first thing in `main`. `None`: this is not a reader, nor does it ask
/// device-mapper.
pub fn run_if_reader() -> Option<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    let work = match arguments.next()? {
        first if first == ARGUMENT => serve,
        first if first == live::ARGUMENT => live::answer,
        _ => return None,
    };
    if arguments.next().is_some() {
        return None;
    }
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
    // SAFETY: descriptor 0 is open (the parent made it our end of the socket pair, else the next
    // call says so), and nothing in a reader uses standard input.
    let socket = unsafe { UnixStream::from_raw_fd(0) };
    // The parent may have died before it could be our death: the socket knows who made it.
    if getsockopt(&socket, PeerCredentials)?.pid() != nix::unistd::getppid().as_raw() {
        return Err(io::Error::other("the parent is gone"));
    }
    Ok(socket)
}

fn serve(mut socket: UnixStream) -> io::Result<()> {
    let mut buffer = Buffer(MmapMut::map_anon(ALIGNMENT)?);
    let mut source: Option<Source> = None;
    while let Some(request) = receive(&mut socket)? {
        let answer = match request {
            Request::Open(open) => {
                // Before the new one: a reader never has two devices open.
                drop(source.take());
                Answer::Reply(match unusable(&open) {
                    Some(why) => Reply::Unusable(why),
                    None => {
                        let result = Source::open(&open).and_then(|mut opened| {
                            let head = opened.read(&mut buffer, 0, open.first)?.to_vec();
                            let reply = Opened { size: opened.size, diskseq: opened.diskseq(), head };
                            source = Some(opened);
                            Ok(reply)
                        });
                        Reply::Opened(result.map_err(|error| errno(&error)))
                    }
                })
            }
            Request::Read { offset, length } => {
                let bytes = match &mut source {
                    Some(open) => open.read(&mut buffer, offset, length).map(<[u8]>::to_vec),
                    None => Err(Errno::EBADF.into()),
                };
                let diskseq = source.as_ref().and_then(Source::diskseq);
                Answer::Reply(Reply::Data { offset, diskseq, bytes: bytes.map_err(|error| errno(&error)) })
            }
            Request::Close => {
                drop(source.take());
                Answer::Closed
            }
        };
        socket.write_all(&answer.encode())?;
        buffer.shrink()?;
    }
    Ok(())
}

fn unusable(open: &Open) -> Option<Unusable> {
    match open.expect {
        Expect::Device(devno) if open.is_dm => device_mapper::unusable(devno),
        Expect::Device(_) | Expect::File => None,
    }
}

/// `None` when the daemon has closed its end.
fn receive(socket: &mut UnixStream) -> io::Result<Option<Request>> {
    let mut length = [0; 4];
    match socket.read_exact(&mut length) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        result => result?,
    }
    let mut message = vec![0; frame_length(&length, MAX_REQUEST)?.unwrap_or(0)];
    socket.read_exact(&mut message)?;
    Ok(Some(Request::decode(&message)?))
}

fn errno(error: &io::Error) -> i32 {
    error.raw_os_error().unwrap_or(libc::EIO)
}

/// An open device or file.
struct Source {
    file: File,
    size: u64,
    device: bool,
    /// Offsets and lengths of reads are multiples of this; 1 for files and where O_DIRECT is not
    /// possible.
    alignment: usize,
}

impl Source {
    fn open(open: &Open) -> io::Result<Source> {
        match open.expect {
            Expect::Device(devno) => Source::open_device(open, devno),
            Expect::File => {
                let file = open_with(open, OFlag::empty())?;
                let metadata = file.metadata()?;
                if !metadata.is_file() {
                    return Err(Errno::EINVAL.into());
                }
                Ok(Source { file, size: metadata.len(), device: false, alignment: 1 })
            }
        }
    }

    fn open_device(open: &Open, devno: DevNo) -> io::Result<Source> {
        let is_it = |metadata: &fs::Metadata| {
            metadata.file_type().is_block_device() && DevNo::from_dev_t(metadata.rdev()) == devno
        };
        // Before opening, because opening alone may do something: rewind a tape, arm a watchdog.
        // And after it, because the node may have been replaced in between.
        if !is_it(&fs::metadata(&open.path)?) {
            return Err(Errno::ENXIO.into());
        }
        let (file, direct) = match open_with(open, OFlag::O_DIRECT) {
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => (open_with(open, OFlag::empty())?, false),
            result => (result?, true),
        };
        if !is_it(&file.metadata()?) {
            return Err(Errno::ENXIO.into());
        }
        let mut size: u64 = 0;
        // SAFETY: BLKGETSIZE64 stores 64 bits through the pointer also where the size_t in its
        // definition is smaller, and `size` has 64 bits.
        unsafe { blkgetsize64(file.as_raw_fd(), (&raw mut size).cast()) }?;
        let mut block = 0;
        // SAFETY: BLKSSZGET stores a C int through the pointer to a C int.
        unsafe { blksszget(file.as_raw_fd(), &raw mut block) }?;
        let alignment = if direct { ALIGNMENT.max(usize::try_from(block).unwrap_or(0)) } else { 1 };
        Ok(Source { file, size, device: true, alignment })
    }

    fn diskseq(&self) -> Option<u64> {
        let mut diskseq = 0;
        // SAFETY: BLKGETDISKSEQ stores 64 bits through the pointer to a u64; whoever does not know
        // it stores nothing.
        let result = unsafe { blkgetdiskseq(self.file.as_raw_fd(), &raw mut diskseq) };
        (self.device && result.is_ok()).then_some(diskseq)
    }

    fn read<'a>(&mut self, buffer: &'a mut Buffer, offset: u64, length: usize) -> io::Result<&'a [u8]> {
        let padding = usize::try_from(offset % self.alignment as u64).expect("the alignment is a usize");
        let wanted = (padding + length).next_multiple_of(self.alignment);
        let space = buffer.reserve(wanted)?;
        let start = offset - padding as u64;
        let found = match self.fill(start, space) {
            // Some device drivers take O_DIRECT at open and refuse it at read.
            Err(Errno::EINVAL) if self.alignment > 1 => {
                let flags = OFlag::from_bits_retain(fcntl(&self.file, FcntlArg::F_GETFL)?);
                fcntl(&self.file, FcntlArg::F_SETFL(flags - OFlag::O_DIRECT))?;
                self.alignment = 1;
                self.fill(start, space)?
            }
            result => result?,
        };
        let end = found.min(padding + length);
        Ok(&space[padding.min(end)..end])
    }

    /// Reads until the space is full or the device ends.
    fn fill(&self, start: u64, space: &mut [u8]) -> nix::Result<usize> {
        let mut found = 0;
        while found < space.len() {
            let at = start.checked_add(found as u64).and_then(|at| i64::try_from(at).ok()).ok_or(Errno::EINVAL)?;
            match pread(&self.file, &mut space[found..], at) {
                Ok(0) => break,
                Ok(count) => found += count,
                Err(Errno::EINTR) => {}
                // The device ends inside an aligned block, and there is nothing after its end.
                Err(Errno::EINVAL) if found > 0 && start + found as u64 >= self.size => break,
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    }
}

/// Reading a device must not change the time stamp of its node, but only its owner may ask so.
fn open_with(open: &Open, flags: OFlag) -> io::Result<File> {
    let try_open = |flags: OFlag| OpenOptions::new().read(true).custom_flags(flags.bits()).open(&open.path);
    match try_open(flags | OFlag::O_NOATIME | OFlag::O_NOCTTY) {
        Err(error) if error.raw_os_error() == Some(libc::EPERM) => try_open(flags | OFlag::O_NOCTTY),
        result => result,
    }
}

/// Page-aligned memory, as O_DIRECT wants it.
struct Buffer(MmapMut);

impl Buffer {
    fn reserve(&mut self, length: usize) -> io::Result<&mut [u8]> {
        if self.0.len() < length {
            self.0 = MmapMut::map_anon(length)?;
        }
        Ok(&mut self.0[..length])
    }

    fn shrink(&mut self) -> io::Result<()> {
        if self.0.len() > KEEP_BUFFER {
            self.0 = MmapMut::map_anon(ALIGNMENT)?;
        }
        Ok(())
    }
}
