//! Who else may own a device: members of arrays, whose first bytes may be those of the array.
//!
//! A member whose superblock is at its end shows the array's label as if it were its own. So the
//! end is looked at as well, but only where there is a label, since PVs are few.
//!
//! Each format has a file, and each place of a superblock a line in [`AT_START`] or [`AT_END`]: a
//! function that asks for bytes as if all of them were there. Those that are not are read, and it
//! is called again.

mod md;

use crate::ondisk::{ByteRange, ReadError};
use std::fmt;

#[doc(hidden)]
pub use md::image;

/// What a superblock says of the device it is on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// `md`.
    pub format: &'static str,
    /// Of the superblock, such as `1.0`.
    pub version: &'static str,
    /// Where the superblock is.
    pub offset: u64,
    /// The array's, as its tool prints it.
    pub uuid: String,
    pub name: Option<Vec<u8>>,
    pub role: Role,
    /// Such as `raid1`.
    pub level: String,
    /// How many devices the array has when it has all.
    pub members: u32,
}

/// What the device is for in its array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Active(u32),
    Spare,
    Faulty,
    Journal,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Role::Active(number) => write!(f, "active device {number}"),
            Role::Spare => f.write_str("spare"),
            Role::Faulty => f.write_str("faulty"),
            Role::Journal => f.write_str("journal"),
        }
    }
}

impl Member {
    /// Why the device is no PV, in LVM's words.
    pub fn why_no_pv(&self) -> String {
        format!("device is an {} component", self.format)
    }
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Member { format, version, uuid, role, level, members, .. } = self;
        write!(f, "{role} of {members} of {format} {version} array ")?;
        if let Some(name) = &self.name {
            write!(f, "{} ", name.escape_ascii())?;
        }
        write!(f, "({uuid}), {level}")
    }
}

/// A superblock that may be there.
type Look = fn(&Known) -> Result<Option<Member>, Trouble>;

/// In what is read first of every device.
pub const AT_START: &[Look] = &[md::version_1_1, md::version_1_2];

/// At the end of a device that has a label.
pub const AT_END: &[Look] = &[md::version_1_0, md::version_0_90];

/// What ends a look early.
#[derive(Debug, PartialEq, Eq)]
pub enum Trouble {
    /// These bytes are to be read first.
    Wanted(ByteRange),
    Unread(ByteRange, ReadError),
    /// There is a superblock by its magic at this place, and this is wrong with it.
    Damaged(u64, String),
}

/// What has been read of a device.
#[derive(Debug)]
pub struct Known {
    device_size: u64,
    pieces: Vec<(ByteRange, Result<Vec<u8>, ReadError>)>,
}

/// What the looks came to.
#[derive(Debug, Default)]
pub struct Found {
    pub member: Option<Member>,
    /// Superblocks that count for nothing: where, and why.
    pub damaged: Vec<(u64, String)>,
    /// What could not be read; if there is no member, there may be one all the same.
    pub unread: Option<(ByteRange, ReadError)>,
}

/// Looks in these places, the first member wins; an error is what has to be read before.
pub fn search(looks: &[Look], known: &Known) -> Result<Found, ByteRange> {
    let mut found = Found::default();
    for look in looks {
        match look(known) {
            Ok(None) => {}
            Ok(Some(member)) => {
                found.member = Some(member);
                return Ok(found);
            }
            Err(Trouble::Wanted(range)) => return Err(range),
            Err(Trouble::Unread(range, error)) => found.unread = found.unread.or(Some((range, error))),
            Err(Trouble::Damaged(place, what)) => found.damaged.push((place, what)),
        }
    }
    Ok(found)
}

impl Known {
    pub fn new(device_size: u64) -> Known {
        Known { device_size, pieces: Vec::new() }
    }

    pub fn put(&mut self, range: ByteRange, read: Result<&[u8], ReadError>) {
        self.pieces.push((range, read.map(<[u8]>::to_vec)));
    }

    /// Has everything but the first piece read again.
    pub fn forget_end(&mut self) {
        self.pieces.truncate(1);
    }

    /// These bytes, if they have been read.
    pub fn read_before(&self, range: ByteRange) -> Option<&[u8]> {
        self.pieces.iter().find_map(|(piece, read)| {
            let start = usize::try_from(range.offset.checked_sub(piece.offset)?).ok()?;
            read.as_ref().ok()?.get(start..start.checked_add(range.length)?)
        })
    }

    /// `None` if they are not all on the device.
    fn bytes(&self, range: ByteRange) -> Result<Option<&[u8]>, Trouble> {
        if range.end_within(self.device_size).is_none() {
            return Ok(None);
        }
        if let Some(bytes) = self.read_before(range) {
            return Ok(Some(bytes));
        }
        let read = |wanted: ByteRange| self.pieces.iter().find(|(piece, _)| *piece == wanted);
        // All that a look may want of the end lies together. If that cannot be read, the rest of
        // it is nobody's concern.
        let tail = tail(self.device_size);
        if range.offset >= tail.offset && read(tail).is_none() {
            return Err(Trouble::Wanted(tail));
        }
        match read(range) {
            Some((_, Err(error))) => Err(Trouble::Unread(range, *error)),
            _ => Err(Trouble::Wanted(range)),
        }
    }
}

/// From the first superblock that may be at the end of a device: at most 128 KiB.
fn tail(device_size: u64) -> ByteRange {
    let offset = md::place_of_0_90(device_size).unwrap_or(0);
    ByteRange { offset, length: usize::try_from(device_size - offset).expect("at most 128 KiB") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(size: u64, pieces: &[(u64, usize, bool)]) -> Known {
        let mut known = Known::new(size);
        for &(offset, length, good) in pieces {
            let bytes = vec![7; length];
            known.put(ByteRange { offset, length }, if good { Ok(&bytes) } else { Err(ReadError::Io(5)) });
        }
        known
    }

    #[test]
    fn the_end_is_one_read_and_two_if_that_fails() {
        const SIZE: u64 = 20 << 20;
        let end = SIZE - (64 << 10);
        let want = |offset, length| Some(ByteRange { offset, length });
        let next = |pieces: &[(u64, usize, bool)]| search(AT_END, &known(SIZE, pieces)).err();
        let tail = (end, 64 << 10, false);
        assert_eq!(next(&[]), want(end, 64 << 10));
        assert_eq!(next(&[(end, 64 << 10, true)]), None);
        assert_eq!(next(&[tail]), want(SIZE - 8192, 4096));
        assert_eq!(next(&[tail, (SIZE - 8192, 4096, true)]), want(end, 4096));
        let found = search(AT_END, &known(SIZE, &[tail, (SIZE - 8192, 4096, true), (end, 4096, false)])).unwrap();
        assert_eq!(found.unread, Some((ByteRange { offset: end, length: 4096 }, ReadError::Io(5))));
        let found = search(AT_END, &known(SIZE, &[tail, (SIZE - 8192, 4096, true), (end, 4096, true)])).unwrap();
        assert!(found.unread.is_none() && found.member.is_none() && found.damaged.is_empty());
    }

    #[test]
    fn no_size_is_too_odd() {
        let edges = [0, 1, 511, 4095, 4096, 8191, 8192, 8193, 65535, 65536, 65537, 131_071, 131_072, u64::MAX];
        for size in edges.into_iter().chain((0..200_000).step_by(509)) {
            for looks in [AT_START, AT_END] {
                let mut known = Known::new(size);
                for _ in 0..4 {
                    let Err(range) = search(looks, &known) else { break };
                    assert!(
                        range.length > 0 && range.length <= 128 << 10 && range.end_within(size).is_some(),
                        "{size}"
                    );
                    known.put(range, Ok(&vec![0; range.length]));
                }
                assert!(search(looks, &known).is_ok(), "{size}");
            }
        }
    }
}
