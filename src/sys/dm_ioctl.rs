#![allow(unsafe_code)]
//! Asking device-mapper, which has a node of its own for that. Nothing here changes anything.
//!
//! An ioctl may wait for ever: only processes that can be given up ask.

use crate::devno::DevNo;
use nix::libc;
use std::fs::File;
use std::io;
use std::mem::offset_of;
use std::os::fd::{AsRawFd, RawFd};

/// From `<linux/dm-ioctl.h>`.
#[repr(C)]
struct DmIoctl {
    version: [u32; 3],
    data_size: u32,
    data_start: u32,
    target_count: u32,
    open_count: i32,
    flags: u32,
    event_nr: u32,
    padding: u32,
    dev: u64,
    name: [u8; 128],
    uuid: [u8; 129],
    data: [u8; 7],
}

pub const READ_ONLY: u32 = 1;
pub const SUSPEND: u32 = 1 << 1;
pub const STATUS_TABLE: u32 = 1 << 4;
pub const ACTIVE_PRESENT: u32 = 1 << 5;
pub const INACTIVE_PRESENT: u32 = 1 << 6;
const BUFFER_FULL: u32 = 1 << 8;
/// What is asked for does not wait for I/O.
pub const NOFLUSH: u32 = 1 << 11;

const HEADER: usize = size_of::<DmIoctl>();
const FIRST_SIZE: usize = 16 << 10;
/// A table of many thousands of targets.
const TABLE_MAX: usize = 4 << 20;
/// Names of a million devices, and there are not more numbers for them.
const LIST_MAX: usize = 256 << 20;

nix::ioctl_readwrite!(dm_list_devices, 0xfd, 2, DmIoctl);
nix::ioctl_readwrite!(dm_dev_status, 0xfd, 7, DmIoctl);
nix::ioctl_readwrite!(dm_table_status, 0xfd, 12, DmIoctl);

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Question {
    /// Which devices there are.
    List,
    /// A device alone.
    Device,
    /// A device and its targets: their state, or with `STATUS_TABLE` what they were loaded with.
    Targets,
}

impl Question {
    fn size_max(self) -> usize {
        if self == Question::List { LIST_MAX } else { TABLE_MAX }
    }

    /// # Safety
    /// There are `data_size` bytes from the pointer on.
    unsafe fn ioctl(self, control: RawFd, request: *mut DmIoctl) -> nix::Result<i32> {
        // SAFETY: device-mapper writes no further than `data_size`.
        unsafe {
            match self {
                Question::List => dm_list_devices(control, request),
                Question::Device => dm_dev_status(control, request),
                Question::Targets => dm_table_status(control, request),
            }
        }
    }
}

pub struct Control {
    file: File,
    /// Of u64, so that the structure in front is aligned.
    buffer: Vec<u64>,
}

impl Control {
    pub fn open() -> io::Result<Control> {
        let file = File::open("/dev/mapper/control")?;
        Ok(Control { file, buffer: vec![0; FIRST_SIZE / size_of::<u64>()] })
    }

    /// `OutOfMemory` for an answer that is too long for anybody.
    pub fn ask(&mut self, question: Question, devno: Option<DevNo>, flags: u32) -> io::Result<Answer<'_>> {
        loop {
            let size = self.buffer.len() * size_of::<u64>();
            let request: *mut DmIoctl = self.buffer.as_mut_ptr().cast();
            let header = DmIoctl {
                version: [4, 0, 0],
                data_size: u32::try_from(size).expect("LIST_MAX fits"),
                data_start: u32::try_from(HEADER).expect("it is a few hundred bytes"),
                target_count: 0,
                open_count: 0,
                flags,
                event_nr: 0,
                padding: 0,
                dev: devno.map_or(0, DevNo::to_dev_t),
                name: [0; 128],
                uuid: [0; 129],
                data: [0; 7],
            };
            // SAFETY: the buffer is larger than the structure and aligned for it.
            unsafe { request.write(header) };
            // SAFETY: the buffer has `data_size` bytes.
            unsafe { question.ioctl(self.file.as_raw_fd(), request) }?;
            // SAFETY: the buffer is initialized, all of it, and a u8 needs no alignment.
            let bytes = unsafe { std::slice::from_raw_parts(self.buffer.as_ptr().cast::<u8>(), size) };
            if number(bytes, offset_of!(DmIoctl, flags)) & BUFFER_FULL == 0 {
                break;
            }
            if size * 4 > question.size_max() {
                return Err(io::ErrorKind::OutOfMemory.into());
            }
            self.buffer = vec![0; self.buffer.len() * 4];
        }
        let size = self.buffer.len() * size_of::<u64>();
        // SAFETY: as above.
        Ok(Answer(unsafe { std::slice::from_raw_parts(self.buffer.as_ptr().cast::<u8>(), size) }))
    }
}

fn number(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes(*bytes[at..].first_chunk().expect("the header has it"))
}

/// The header, then what was asked for.
pub struct Answer<'b>(&'b [u8]);

impl<'b> Answer<'b> {
    /// One that was written down; `None` if it has no whole header.
    pub fn of(bytes: &'b [u8]) -> Option<Answer<'b>> {
        (bytes.len() >= HEADER).then_some(Answer(bytes))
    }

    pub fn flags(&self) -> u32 {
        number(self.0, offset_of!(DmIoctl, flags))
    }

    pub fn open_count(&self) -> u32 {
        number(self.0, offset_of!(DmIoctl, open_count))
    }

    pub fn target_count(&self) -> usize {
        as_size(number(self.0, offset_of!(DmIoctl, target_count)))
    }

    pub fn name(&self) -> String {
        self.text(offset_of!(DmIoctl, name)..offset_of!(DmIoctl, uuid))
    }

    pub fn uuid(&self) -> String {
        self.text(offset_of!(DmIoctl, uuid)..offset_of!(DmIoctl, data))
    }

    pub fn data(&self) -> &'b [u8] {
        self.0.get(as_size(number(self.0, offset_of!(DmIoctl, data_start)))..).unwrap_or_default()
    }

    fn text(&self, range: std::ops::Range<usize>) -> String {
        let bytes = &self.0[range];
        let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
        String::from_utf8_lossy(&bytes[..end]).into_owned()
    }
}

fn as_size(value: u32) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

/// An answer that is not one.
pub fn garbage() -> io::Error {
    io::Error::from_raw_os_error(libc::EPROTO)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_is_the_kernels() {
        assert_eq!(HEADER, 312);
        assert_eq!(offset_of!(DmIoctl, dev), 40);
        assert_eq!(offset_of!(DmIoctl, data), 305);
    }

    #[test]
    fn an_answer_is_taken_apart() {
        let mut bytes = vec![0; HEADER + 8];
        bytes[16..20].copy_from_slice(&312u32.to_ne_bytes());
        bytes[20..24].copy_from_slice(&3u32.to_ne_bytes());
        bytes[24..28].copy_from_slice(&2u32.to_ne_bytes());
        bytes[28..32].copy_from_slice(&(SUSPEND | READ_ONLY).to_ne_bytes());
        bytes[48..176].fill(b'n');
        bytes[176..180].copy_from_slice(b"LVM-");
        let answer = Answer(&bytes);
        assert_eq!((answer.target_count(), answer.open_count(), answer.flags()), (3, 2, 3));
        assert_eq!((answer.name(), answer.uuid()), ("n".repeat(128), "LVM-".to_owned()));
        assert_eq!(answer.data(), [0; 8]);
        bytes[16..20].copy_from_slice(&u32::MAX.to_ne_bytes());
        assert!(Answer(&bytes).data().is_empty());
        assert!(Answer::of(&bytes).is_some() && Answer::of(&bytes[..HEADER - 1]).is_none());
    }
}
