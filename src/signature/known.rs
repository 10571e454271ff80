//! What of a device has been read for the sake of its superblocks.

use super::Trouble;
use crate::ondisk::{ByteRange, ReadError, SECTOR};

/// A device, as far as its superblocks are concerned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Medium {
    /// In bytes.
    pub size: u64,
    /// Firmware knows of whole disks only.
    pub is_partition: bool,
}

/// What is known of a device, and what has been read of it.
#[derive(Debug)]
pub struct Known {
    medium: Medium,
    /// Where the data end that are known, which may be more than there is: those of a PV, by what its
    /// label says of the size of the device that it was made for, or those of a disk's partitions.
    data_end: Option<u64>,
    pieces: Vec<(ByteRange, Result<Vec<u8>, ReadError>)>,
}

impl Known {
    pub fn new(medium: Medium) -> Known {
        Known { medium, data_end: None, pieces: Vec::new() }
    }

    pub fn put(&mut self, range: ByteRange, read: Result<&[u8], ReadError>) {
        self.pieces.push((range, read.map(<[u8]>::to_vec)));
    }

    /// There is a label, made for a device of this size, or the last partition of a disk ends here.
    pub fn set_data_end(&mut self, size: u64) {
        self.data_end = Some(size);
    }

    /// Has everything but the first piece read again.
    pub fn forget_end(&mut self) {
        self.pieces.truncate(1);
    }

    /// Whether the PV, if there is a label, reaches over this place: then what is there is the PV's.
    /// An array ends before the superblocks of its members, unless it is larger than a member.
    pub fn is_in_pv(&self, place: u64) -> bool {
        self.data_end.is_some_and(|size| place < size && size <= self.medium.size)
    }

    /// These bytes, if they have been read.
    pub fn read_before(&self, range: ByteRange) -> Option<&[u8]> {
        self.pieces.iter().find_map(|(piece, read)| {
            let start = usize::try_from(range.offset.checked_sub(piece.offset)?).ok()?;
            read.as_ref().ok()?.get(start..start.checked_add(range.length)?)
        })
    }

    pub(super) fn size(&self) -> u64 {
        self.medium.size
    }

    pub(super) fn is_partition(&self) -> bool {
        self.medium.is_partition
    }

    /// `None` if they are not all on the device.
    pub(super) fn block<const N: usize>(&self, offset: u64) -> Result<Option<&[u8; N]>, Trouble> {
        Ok(self.bytes(ByteRange { offset, length: N })?.and_then(|bytes| bytes.first_chunk()))
    }

    /// Where this many sectors from the end are, of a disk that firmware may know of.
    pub(super) fn firmware_place(&self, sectors_from_end: u64) -> Option<u64> {
        let is_disk = !self.medium.is_partition && self.size() >= FIRMWARE_MIN;
        let sector = (self.size() / SECTOR_SIZE).checked_sub(sectors_from_end).filter(|_| is_disk)?;
        Some(sector * SECTOR_SIZE).filter(|place| self.is_worth_a_read(*place))
    }

    /// If the end cannot be read at once, each of its places is a read, and a sick disk takes its
    /// time for each. Where the PV is, whoever is rare there is not worth it.
    pub(super) fn is_worth_a_read(&self, place: u64) -> bool {
        let tail = self.tail();
        let is_unread = self.pieces.iter().any(|(piece, read)| *piece == tail && read.is_err());
        !(is_unread && self.is_in_pv(place))
    }

    /// The sector there, and where it is.
    pub(super) fn firmware_sector(&self, sectors_from_end: u64) -> Result<Option<(u64, &[u8; SECTOR])>, Trouble> {
        let Some(place) = self.firmware_place(sectors_from_end) else { return Ok(None) };
        Ok(self.block(place)?.map(|sector| (place, sector)))
    }

    /// All that a look may want of the end, which is read at once: of a disk with a PV that leaves
    /// room for more of firmware's places, more.
    fn tail(&self) -> ByteRange {
        let end = self.size() & !0x1ff;
        let wide = end.saturating_sub(WIDE_TAIL);
        let offset = if self.medium.is_partition || self.is_in_pv(wide) { end.saturating_sub(TAIL) } else { wide };
        let length = usize::try_from(self.size() - offset).expect("it is less than 256 KiB");
        ByteRange { offset, length }
    }

    /// `None` if they are not all on the device.
    pub(super) fn bytes(&self, range: ByteRange) -> Result<Option<&[u8]>, Trouble> {
        if range.end_within(self.size()).is_none() {
            return Ok(None);
        }
        if let Some(bytes) = self.read_before(range) {
            return Ok(Some(bytes));
        }
        let read = |wanted: ByteRange| self.pieces.iter().find(|(piece, _)| *piece == wanted);
        // All that a look may want of the end lies together. If that cannot be read, the rest of
        // it is nobody's concern.
        let tail = self.tail();
        if range.offset >= tail.offset && read(tail).is_none() {
            return Err(Trouble::Wanted(tail));
        }
        match read(range) {
            Some((_, Err(error))) => Err(Trouble::Unread(range, *error)),
            _ => Err(Trouble::Wanted(range)),
        }
    }
}

/// DDF's second place is further from the end than any other that every PV is asked for.
const TAIL: u64 = 257 * SECTOR_SIZE;

/// The next of Promise's places.
const WIDE_TAIL: u64 = 399 * SECTOR_SIZE;

pub(super) const SECTOR_SIZE: u64 = 512;

/// blkid knows of no smaller disks with RAID of a controller's firmware.
const FIRMWARE_MIN: u64 = 64 << 10;

#[cfg(test)]
mod tests {
    use super::super::{When, md, search};
    use super::*;

    fn known(size: u64, pieces: &[(u64, usize, bool)]) -> Known {
        let mut known = Known::new(Medium { size, is_partition: false });
        for &(offset, length, good) in pieces {
            let bytes = vec![7; length];
            known.put(ByteRange { offset, length }, if good { Ok(&bytes) } else { Err(ReadError::Io(5)) });
        }
        known
    }

    #[test]
    fn the_end_is_one_read_and_pieces_if_that_fails() {
        const SIZE: u64 = 20 << 20;
        let end = SIZE - (64 << 10);
        let want = |offset, length| Some(ByteRange { offset, length });
        let search = |pieces: &[(u64, usize, bool)]| search(&[&md::SIGNATURE], When::Labelled, &known(SIZE, pieces));
        let next = |pieces: &[(u64, usize, bool)]| search(&[&[(0, 8192, true)], pieces].concat()).err();
        let tail = (SIZE - 204_288, 204_288, false);
        assert_eq!(next(&[]), want(SIZE - 204_288, 204_288));
        assert_eq!(next(&[(SIZE - 204_288, 204_288, true)]), None);
        assert_eq!(next(&[tail]), want(end, 4096));
        assert_eq!(next(&[tail, (end, 4096, true)]), want(SIZE - 8192, 4096));
        let head = (0, 8192, true);
        let found = search(&[head, tail, (end, 4096, true), (SIZE - 8192, 4096, false)]).unwrap();
        assert_eq!(found.unread, [(ByteRange { offset: SIZE - 8192, length: 4096 }, ReadError::Io(5))]);
        let found = search(&[head, tail, (end, 4096, true), (SIZE - 8192, 4096, true)]).unwrap();
        assert!(found.unread.is_empty() && found.members.is_empty() && found.damaged.is_empty());
    }

    #[test]
    fn of_the_end_only_a_disk_that_a_pv_leaves_room_on_has_more_read() {
        const SIZE: u64 = 20 << 20;
        let tail = |is_partition, label: Option<u64>| {
            let mut known = Known::new(Medium { size: SIZE, is_partition });
            label.into_iter().for_each(|size| known.set_data_end(size));
            SIZE - known.tail().offset
        };
        assert_eq!(tail(false, None), 399 * 512);
        assert_eq!(tail(false, Some(SIZE)), 257 * 512);
        assert_eq!(tail(false, Some(SIZE - 399 * 512 + 1)), 257 * 512);
        assert_eq!(tail(false, Some(SIZE - 399 * 512)), 399 * 512);
        assert_eq!(tail(false, Some(SIZE + 1)), 399 * 512, "the PV is larger than the disk");
        assert_eq!(tail(true, None), 257 * 512);
    }
}
