#![allow(unsafe_code)]
//! One job of the ring: how far it is.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, RawFd};
use std::os::unix::ffi::OsStrExt;

use nix::errno::Errno;

use super::super::source::{Fill, Flags, Source, check_node};
use super::memory::{Memory, Space};
use crate::ondisk::ByteRange;
use crate::sys::reader::{Expect, JobId, Open};

pub struct Job {
    pub id: JobId,
    expect: Expect,
    /// The kernel may look at it until the device is open.
    pub path: CString,
    pub flags: Flags,
    pub first: usize,
    pub source: Option<Source>,
    pub doing: Doing,
    /// Nobody waits for it any more but for its end.
    pub is_ending: bool,
}

/// What the kernel has to do for it: one thing at a time, though it may read in several places.
pub enum Doing {
    Nothing,
    Opening,
    Reading(Box<Read>),
    Closing,
}

/// One request, which may be for several places: they are read at the same time.
pub struct Read {
    /// It belongs to opening.
    pub is_head: bool,
    space: Space,
    pieces: Vec<Piece>,
}

struct Piece {
    fill: Fill,
    /// Where its part of the space begins.
    start: usize,
    /// Reading at once would have had to wait, and the kernel did not.
    is_put_off: bool,
    /// Once it is over.
    result: Option<nix::Result<()>>,
}

/// One read of the kernel's.
pub struct Part {
    pub file: RawFd,
    pub start: *mut u8,
    pub length: usize,
    pub at: u64,
    pub is_registered: bool,
    pub is_put_off: bool,
}

impl Read {
    pub fn is_over(&self) -> bool {
        self.pieces.iter().all(|piece| piece.result.is_some())
    }

    /// What the kernel still works on.
    pub fn under_way(&self) -> impl Iterator<Item = usize> + '_ {
        let pieces = self.pieces.iter().enumerate();
        pieces.filter(|(_, piece)| piece.result.is_none()).map(|(index, _)| index)
    }

    pub fn count(&self) -> usize {
        self.pieces.len()
    }

    /// What came of a piece, which must be over.
    pub fn bytes<'a>(&'a mut self, memory: &'a mut Memory, index: usize) -> nix::Result<&'a [u8]> {
        let piece = &self.pieces[index];
        piece.result.unwrap_or(Err(Errno::EIO))?;
        let wanted = piece.fill.wanted();
        Ok(memory.part(&mut self.space, piece.start + wanted.start..piece.start + wanted.end).0)
    }

    pub fn give_back(self, memory: &mut Memory) {
        memory.give_back(self.space);
    }
}

impl Job {
    pub fn new(id: JobId, open: &Open) -> Job {
        Job {
            id,
            expect: open.expect,
            path: CString::default(),
            flags: Flags::of(open.expect),
            first: open.first,
            source: None,
            doing: Doing::Nothing,
            is_ending: false,
        }
    }

    pub fn prepare(&mut self, open: &Open) -> io::Result<()> {
        self.path = CString::new(open.path.as_os_str().as_bytes())?;
        check_node(open)
    }

    pub fn take_descriptor(&mut self, descriptor: usize) -> io::Result<()> {
        let descriptor = RawFd::try_from(descriptor).map_err(|_| Errno::EBADF)?;
        // SAFETY: the kernel has just opened it for this job, and nobody else knows of it.
        let file = unsafe { File::from_raw_fd(descriptor) };
        self.source.insert(Source::new(file)).check(self.expect, self.flags)
    }

    pub fn begin_read(&mut self, memory: &mut Memory, ranges: &[ByteRange], is_head: bool) -> io::Result<()> {
        let source = self.source.as_ref().ok_or(Errno::EBADF)?;
        let mut start = 0;
        let pieces = ranges.iter().map(|range| {
            let fill = Fill::new(source, *range);
            let piece = Piece { start, is_put_off: false, result: None, fill };
            start += piece.fill.space();
            piece
        });
        let pieces = pieces.collect();
        self.doing = Doing::Reading(Box::new(Read { is_head, space: memory.take(start)?, pieces }));
        Ok(())
    }

    /// What to read next of a piece. `None` when it is over.
    pub fn next_part(&mut self, memory: &mut Memory, index: usize) -> Option<Part> {
        let (Doing::Reading(read), Some(source)) = (&mut self.doing, &self.source) else { return None };
        let piece = read.pieces.get_mut(index)?;
        let (range, at) = match piece.fill.next(source) {
            Ok(Some(next)) => next,
            Ok(None) => return piece.end(Ok(())),
            Err(errno) => return piece.end(Err(errno)),
        };
        let range = piece.start + range.start..piece.start + range.end;
        let (space, is_registered) = memory.part(&mut read.space, range);
        Some(Part {
            file: source.file.as_raw_fd(),
            start: space.as_mut_ptr(),
            length: space.len(),
            at: at.unsigned_abs(),
            is_registered,
            is_put_off: piece.is_put_off,
        })
    }

    /// What came of a part. True: there may be more.
    pub fn took(&mut self, index: usize, result: nix::Result<usize>) -> bool {
        let (Doing::Reading(read), Some(source)) = (&mut self.doing, &mut self.source) else { return false };
        let Some(piece) = read.pieces.get_mut(index) else { return false };
        if self.is_ending {
            piece.result = Some(Err(Errno::ECANCELED));
        } else if result == Err(Errno::EAGAIN) && !piece.is_put_off {
            piece.is_put_off = true;
        } else {
            match piece.fill.took(source, result) {
                Ok(true) => {}
                Ok(false) => piece.result = Some(Ok(())),
                Err(errno) => piece.result = Some(Err(errno)),
            }
        }
        piece.result.is_none()
    }
}

impl Piece {
    fn end(&mut self, result: nix::Result<()>) -> Option<Part> {
        self.result = Some(result);
        None
    }
}
