#![allow(unsafe_code)]
//! An open device or file, and how bytes are read from it: what both engines have in common.

use std::fs::{self, File};
use std::io;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::libc;

use crate::devno::DevNo;
use crate::ondisk::{ByteRange, SECTOR};
use crate::sys::reader::{Expect, Open};

/// Every page is a multiple of this; memory is mapped in pages, whose borders O_DIRECT is content with.
pub const PAGE: usize = 4096;

nix::ioctl_read!(blkgetsize64, 0x12, 114, libc::size_t);
nix::ioctl_read!(blkgetdiskseq, 0x12, 128, u64);
nix::ioctl_read_bad!(blksszget, nix::request_code_none!(0x12, 104), libc::c_int);

/// What opening is tried with: as little trace as possible, and past the page cache, which may know
/// what the disk said once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flags(OFlag);

impl Flags {
    pub fn of(expect: Expect) -> Flags {
        let common = OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NOATIME | OFlag::O_NOCTTY;
        match expect {
            Expect::Device(_) => Flags(common | OFlag::O_DIRECT),
            Expect::File => Flags(common),
        }
    }

    pub fn get(self) -> OFlag {
        self.0
    }

    fn is_direct(self) -> bool {
        self.0.contains(OFlag::O_DIRECT)
    }

    /// What to try after this error, if anything.
    pub fn after(self, error: Errno) -> Option<Flags> {
        let less = match error {
            // Only the owner may ask that reading does not change the time stamp of the node.
            Errno::EPERM => OFlag::O_NOATIME,
            Errno::EINVAL => OFlag::O_DIRECT,
            _ => return None,
        };
        self.0.contains(less).then_some(Flags(self.0 - less))
    }
}

/// Before opening, because opening alone may do something: rewind a tape, arm a watchdog.
pub fn check_node(open: &Open) -> io::Result<()> {
    match open.expect {
        Expect::Device(devno) if !is_device(&fs::metadata(&open.path)?, devno) => Err(Errno::ENXIO.into()),
        Expect::Device(_) | Expect::File => Ok(()),
    }
}

fn is_device(metadata: &fs::Metadata, devno: DevNo) -> bool {
    metadata.file_type().is_block_device() && DevNo::from_dev_t(metadata.rdev()) == devno
}

pub struct Source {
    pub file: File,
    pub size: u64,
    device: bool,
    /// Offsets and lengths of reads are multiples of this; 1 for files and where O_DIRECT is not
    /// possible.
    alignment: usize,
}

impl Source {
    /// Of what has just been opened, to be checked before anything is done with it.
    pub fn new(file: File) -> Source {
        Source { file, size: 0, device: false, alignment: 1 }
    }

    /// Nothing here waits for the device.
    pub fn check(&mut self, expect: Expect, flags: Flags) -> io::Result<()> {
        let metadata = self.file.metadata()?;
        match expect {
            // The node may have been replaced since it was looked at.
            Expect::Device(devno) if !is_device(&metadata, devno) => return Err(Errno::ENXIO.into()),
            Expect::Device(_) => {}
            Expect::File if !metadata.is_file() => return Err(Errno::EINVAL.into()),
            Expect::File => {
                self.size = metadata.len();
                return Ok(());
            }
        }
        self.device = true;
        // SAFETY: BLKGETSIZE64 stores 64 bits through the pointer also where the size_t in its
        // definition is smaller, and `size` has 64 bits.
        unsafe { blkgetsize64(self.file.as_raw_fd(), (&raw mut self.size).cast()) }?;
        let mut block = 0;
        // SAFETY: BLKSSZGET stores a C int through the pointer to a C int.
        unsafe { blksszget(self.file.as_raw_fd(), &raw mut block) }?;
        if flags.is_direct() {
            // More would be read in vain, and of some devices a lot of times.
            self.alignment = usize::try_from(block).unwrap_or(0).max(SECTOR);
        }
        Ok(())
    }

    pub fn diskseq(&self) -> Option<u64> {
        let mut diskseq = 0;
        // SAFETY: BLKGETDISKSEQ stores 64 bits through the pointer to a u64; whoever does not know
        // it stores nothing.
        let result = unsafe { blkgetdiskseq(self.file.as_raw_fd(), &raw mut diskseq) };
        (self.device && result.is_ok()).then_some(diskseq)
    }

    fn stop_direct(&mut self) -> nix::Result<()> {
        let flags = OFlag::from_bits_retain(fcntl(&self.file, FcntlArg::F_GETFL)?);
        fcntl(&self.file, FcntlArg::F_SETFL(flags - OFlag::O_DIRECT))?;
        self.alignment = 1;
        Ok(())
    }
}

/// One read that was asked for, which may take several of the kernel's.
#[derive(Debug)]
pub struct Fill {
    start: u64,
    padding: usize,
    length: usize,
    space: usize,
    found: usize,
    /// It was begun in the source's blocks, which the source may have given up since.
    in_blocks: bool,
}

impl Fill {
    pub fn new(source: &Source, ByteRange { offset, length }: ByteRange) -> Fill {
        let padding = usize::try_from(offset % source.alignment as u64).expect("the alignment is a usize");
        let space = (padding + length).next_multiple_of(source.alignment);
        let in_blocks = source.alignment > 1;
        Fill { start: offset - padding as u64, padding, length, space, found: 0, in_blocks }
    }

    /// How much memory it takes, at the border of a page, or of a block.
    pub fn space(&self) -> usize {
        self.space
    }

    /// Where to go on, and at which offset of the device; `None` when everything is there.
    pub fn next(&self, source: &Source) -> nix::Result<Option<(Range<usize>, i64)>> {
        let at = self.start.checked_add(self.found as u64).and_then(|at| i64::try_from(at).ok());
        let at = at.ok_or(Errno::EINVAL)?;
        // A device says how long it is, while a file may be longer by now.
        let is_over = self.found >= self.space || (source.device && at.unsigned_abs() >= source.size);
        Ok((!is_over).then_some((self.found..self.space, at)))
    }

    /// What came of that. True: there may be more.
    pub fn took(&mut self, source: &mut Source, result: nix::Result<usize>) -> nix::Result<bool> {
        match result {
            Ok(0) => Ok(false),
            Ok(count) => {
                self.found += count;
                Ok(true)
            }
            Err(Errno::EINTR) => Ok(true),
            // The device ends inside an aligned block, and there is nothing after its end.
            Err(Errno::EINVAL) if self.found > 0 && self.start + self.found as u64 >= source.size => Ok(false),
            // Some device drivers take O_DIRECT at open and refuse it at read.
            Err(Errno::EINVAL) if self.in_blocks => {
                if source.alignment > 1 {
                    source.stop_direct()?;
                }
                (self.found, self.in_blocks) = (0, false);
                Ok(true)
            }
            Err(error) => Err(error),
        }
    }

    /// What was asked for, of the space.
    pub fn wanted(&self) -> Range<usize> {
        let end = self.found.min(self.padding + self.length);
        self.padding.min(end)..end
    }
}
