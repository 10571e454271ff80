//! LVM2's structures on a device: bytes in, structs out.
//!
//! ```text
//! sector 0          perhaps a partition table, which makes it no PV
//! sector 0..3       the label: label header, PV header and its extension in one sector
//! 4096              metadata area: a header of one sector, then a circular buffer of text
//! data area         physical extents
//! near the end      perhaps a second metadata area
//! ```
//!
//! Only the label has a fixed place, the rest is found through it. Everything is little-endian
//! and packed, and a sector has 512 bytes on every device. What a decoder returns has passed, in
//! this order, magic, checksum and bounds; each struct's table is its doc comment.

#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects, clippy::expect_used, clippy::indexing_slicing))]

#[doc(hidden)]
#[allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "it makes images for tests, and panics of what cannot be made"
)]
pub mod image;
pub mod label;
pub mod mda;
pub mod partitions;
pub mod pv_header;

use std::fmt;

pub const SECTOR: usize = 512;

/// Why bytes could not be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadError {
    /// The device ended early.
    Short,
    /// `errno`.
    Io(i32),
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReadError::Short => write!(f, "the device ended early"),
            ReadError::Io(errno) => write!(f, "reading failed with error {errno}"),
        }
    }
}

/// A piece of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteRange {
    pub offset: u64,
    pub length: usize,
}

impl ByteRange {
    /// Where it ends, when that is on a device of this size.
    pub fn end_within(&self, device_size: u64) -> Option<u64> {
        let length = u64::try_from(self.length).ok()?;
        self.offset.checked_add(length).filter(|&end| end <= device_size)
    }

    /// What is left of it behind its first bytes, of which it has at least so many.
    pub fn behind(&self, bytes: usize) -> ByteRange {
        ByteRange { offset: self.offset.saturating_add(bytes as u64), length: self.length.saturating_sub(bytes) }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    Truncated,
    Checksum {
        what: Covered,
        expected: u32,
        found: u32,
    },
    /// The sector has a label's type at its place, but not its id.
    LabelId,
    LabelSector {
        stated: u64,
    },
    LabelType {
        found: [u8; 8],
    },
    ContentsOffset {
        offset: u32,
    },
    UnterminatedList {
        what: &'static str,
    },
    MdaMagic,
    MdaVersion {
        found: u32,
    },
    MdaStart {
        stated: u64,
    },
    /// The text begins in the header or behind the area, or the area has no room for any.
    LocationOffset {
        offset: u64,
        area_size: u64,
    },
    LocationEmpty,
    LocationSize {
        size: u64,
        capacity: u64,
    },
    LocationBeyondDevice {
        device_size: u64,
    },
    TextTooLarge {
        size: u64,
        limit: u64,
    },
}

/// What a checksum is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Covered {
    Label,
    MdaHeader,
    Text,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Truncated => write!(f, "the bytes end too early"),
            Error::Checksum { what, expected, found } => {
                let what = match what {
                    Covered::Label => "label",
                    Covered::MdaHeader => "header",
                    Covered::Text => "text",
                };
                write!(f, "the checksum of the {what} is {found:08x}, {expected:08x} is stored")
            }
            Error::LabelId => write!(f, "the label's id is damaged, its type is not"),
            Error::LabelSector { stated } => write!(f, "the label says that it belongs into sector {stated}"),
            Error::LabelType { found } => write!(f, "the label is of type \"{}\"", found.escape_ascii()),
            Error::ContentsOffset { offset } => {
                write!(f, "the PV header at {offset} from the label does not fit the label's sector")
            }
            Error::UnterminatedList { what } => write!(f, "the list of {what} does not end in the label's sector"),
            Error::MdaMagic => write!(f, "the header's magic is wrong"),
            Error::MdaVersion { found } => write!(f, "the header is of version {found}"),
            Error::MdaStart { stated } => write!(f, "the header says that it belongs to offset {stated}"),
            Error::LocationOffset { offset, area_size } => {
                write!(f, "the text is said to be at {offset} of an area of {area_size} bytes")
            }
            Error::LocationEmpty => write!(f, "the text is said to have no bytes"),
            Error::LocationSize { size, capacity } => {
                write!(f, "the text is said to have {size} bytes in a buffer of {capacity}")
            }
            Error::LocationBeyondDevice { device_size } => {
                write!(f, "the text is said to reach beyond the device's {device_size} bytes")
            }
            Error::TextTooLarge { size, limit } => write!(f, "the text has {size} bytes, the limit is {limit}"),
        }
    }
}

impl std::error::Error for Error {}

/// LVM's CRC starts at 0xf597a6cf and leaves out both inversions of CRC-32. The hasher inverts
/// the value it is started with and the one it returns, so both are inverted back.
const CRC_INITIAL: u32 = 0xf597_a6cf;

/// `calc_crc` of lvm2's `lib/misc/crc.c`, over one piece after the other.
#[derive(Clone, Debug)]
pub struct Crc(crc32fast::Hasher);

impl Default for Crc {
    fn default() -> Crc {
        Crc(crc32fast::Hasher::new_with_initial(!CRC_INITIAL))
    }
}

impl Crc {
    pub fn add(&mut self, piece: &[u8]) {
        self.0.update(piece);
    }

    pub fn value(self) -> u32 {
        !self.0.finalize()
    }
}

/// [`Crc`] of pieces that belong together.
pub fn crc(pieces: &[&[u8]]) -> u32 {
    let mut crc = Crc::default();
    pieces.iter().for_each(|piece| crc.add(piece));
    crc.value()
}

fn check_crc(what: Covered, expected: u32, pieces: &[&[u8]]) -> Result<(), Error> {
    compare_crc(what, expected, crc(pieces))
}

fn compare_crc(what: Covered, expected: u32, found: u32) -> Result<(), Error> {
    if found == expected { Ok(()) } else { Err(Error::Checksum { what, expected, found }) }
}

/// Reads fields one behind the other. Every getter can only fail with [`Error::Truncated`].
pub struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub fn new(bytes: &'a [u8]) -> Fields<'a> {
        Fields { rest: bytes }
    }

    pub fn bytes<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let (bytes, rest) = self.rest.split_first_chunk().ok_or(Error::Truncated)?;
        self.rest = rest;
        Ok(*bytes)
    }

    pub fn u32(&mut self) -> Result<u32, Error> {
        self.bytes().map(u32::from_le_bytes)
    }

    pub fn u64(&mut self) -> Result<u64, Error> {
        self.bytes().map(u64::from_le_bytes)
    }

    pub fn remaining(&self) -> usize {
        self.rest.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crc_has_its_own_start_and_no_inversions() {
        assert_eq!(crc(&[]), 0xf597_a6cf);
        assert_eq!(crc(&[b"123456789"]), 0x4991_cf02);
        assert_eq!(crc(&[b"1234", b"", b"56789"]), 0x4991_cf02);
        assert_eq!(crc(&[&[0; 492]]), 0x02c8_1f10);
    }

    #[test]
    fn fields_end_where_the_bytes_do() {
        let mut fields = Fields::new(&[1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 9]);
        assert_eq!(fields.u32(), Ok(1));
        assert_eq!(fields.u64(), Ok(2));
        assert_eq!(fields.remaining(), 1);
        assert_eq!(fields.u32(), Err(Error::Truncated));
        assert_eq!(fields.bytes(), Ok([9]));
    }

    #[test]
    fn ranges_end_on_the_device_or_nowhere() {
        let end = |offset, length| ByteRange { offset, length }.end_within(1000);
        assert_eq!(end(0, 1000), Some(1000));
        assert_eq!(end(1, 1000), None);
        assert_eq!(end(u64::MAX, 1), None);
    }
}
