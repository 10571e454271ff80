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
#[derive(Clone, Debug)]
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

    /// The beginning of these bytes, as far as it has been read.
    pub fn begun_before(&self, range: ByteRange) -> Option<&[u8]> {
        self.pieces.iter().find_map(|(piece, read)| {
            let start = usize::try_from(range.offset.checked_sub(piece.offset)?).ok()?;
            let rest = read.as_ref().ok()?.get(start..)?;
            rest.get(..range.length.min(rest.len())).filter(|begun| !begun.is_empty())
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
        sector.checked_mul(SECTOR_SIZE).filter(|place| self.is_worth_a_read(*place))
    }

    /// If the end cannot be read at once, each of its places is a read, and a sick disk takes its
    /// time for each. Where the PV is, whoever is rare there is not worth it.
    pub(super) fn is_worth_a_read(&self, place: u64) -> bool {
        let is_unread = |range: &ByteRange| self.pieces.iter().any(|(piece, read)| piece == range && read.is_err());
        !(self.is_in_pv(place) && self.at_once().iter().any(is_unread))
    }

    /// The sector there, and where it is.
    pub(super) fn firmware_sector(&self, sectors_from_end: u64) -> Result<Option<(u64, &[u8; SECTOR])>, Trouble> {
        let Some(place) = self.firmware_place(sectors_from_end) else { return Ok(None) };
        Ok(self.block(place)?.map(|sector| (place, sector)))
    }

    /// What of the end is read at once, whichever of it is wanted. If a PV leaves room for more of
    /// firmware's places, that is all of it; if not, the places that are left are few and far between.
    fn at_once(&self) -> Vec<ByteRange> {
        let end = self.size() & !0x1ff;
        let (wide, near) = (end.saturating_sub(WIDE_TAIL), (self.size() & !0xfff).saturating_sub(NEAR));
        let to_the_end = |offset: u64| ByteRange { offset, length: length_of(self.size().saturating_sub(offset)) };
        if self.medium.is_partition {
            vec![to_the_end(near)]
        } else if self.is_in_pv(wide) {
            let far = end.saturating_sub(FAR);
            vec![to_the_end(near), ByteRange { offset: far, length: FAR_LENGTH }]
        } else {
            vec![to_the_end(wide)]
        }
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
        // If what is read at once cannot be read, the rest of it is nobody's concern.
        let holds = |whole: &&ByteRange| {
            let behind =
                range.offset.checked_sub(whole.offset).and_then(|behind| behind.checked_add(range.length as u64));
            behind.is_some_and(|behind| behind <= whole.length as u64)
        };
        if let Some(whole) = self.at_once().iter().find(holds)
            && read(*whole).is_none()
        {
            return Err(Trouble::Wanted(*whole));
        }
        match read(range) {
            Some((_, Err(error))) => Err(Trouble::Unread(range, *error)),
            _ => Err(Trouble::Wanted(range)),
        }
    }
}

fn length_of(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or_default()
}

/// Nearer to the end of the last whole 4 KiB, or behind it, is what most formats have there.
const NEAR: u64 = 8 << 10;

/// DDF's second place is further from the end than any other that every PV is asked for; two of
/// Promise's follow.
const FAR: u64 = 257 * SECTOR_SIZE;
const FAR_LENGTH: usize = 3 * SECTOR;

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
    fn the_end_is_read_at_once_and_in_pieces_if_that_fails() {
        const SIZE: u64 = 20 << 20;
        let end = SIZE - (64 << 10);
        let want = |offset, length| Some(ByteRange { offset, length });
        let search = |pieces: &[(u64, usize, bool)]| search(&[&md::SIGNATURE], When::Labelled, &known(SIZE, pieces));
        let next = |pieces: &[(u64, usize, bool)]| search(&[&[(0, 8192, true)], pieces].concat()).err();
        let tail = (SIZE - 204_288, 204_288, false);
        assert_eq!(next(&[]), want(SIZE - 204_288, 204_288));
        assert_eq!(next(&[(SIZE - 204_288, 204_288, true)]), None);
        assert_eq!(next(&[tail]), want(end, 512));
        assert_eq!(next(&[tail, (end, 512, true)]), want(SIZE - 8192, 4096));
        let head = (0, 8192, true);
        let found = search(&[head, tail, (end, 512, true), (SIZE - 8192, 4096, false)]).unwrap();
        assert_eq!(found.unread, [(ByteRange { offset: SIZE - 8192, length: 4096 }, ReadError::Io(5))]);
        let found = search(&[head, tail, (end, 512, true), (SIZE - 8192, 4096, true)]).unwrap();
        assert!(found.unread.is_empty() && found.members.is_empty() && found.damaged.is_empty());
    }

    #[test]
    fn of_the_end_only_a_disk_that_a_pv_leaves_room_on_has_all_read() {
        const SIZE: u64 = 20 << 20;
        let at_once = |is_partition, label: Option<u64>| {
            let mut known = Known::new(Medium { size: SIZE, is_partition });
            label.into_iter().for_each(|size| known.set_data_end(size));
            known.at_once().iter().map(|range| (SIZE - range.offset, range.length)).collect::<Vec<_>>()
        };
        let (wide, near, far) = ((399 * 512, 399 * 512), (8192, 8192), (257 * 512, 3 * 512));
        assert_eq!(at_once(false, None), [wide]);
        assert_eq!(at_once(false, Some(SIZE)), [near, far]);
        assert_eq!(at_once(false, Some(SIZE - 399 * 512 + 1)), [near, far]);
        assert_eq!(at_once(false, Some(SIZE - 399 * 512)), [wide]);
        assert_eq!(at_once(false, Some(SIZE + 1)), [wide], "the PV is larger than the disk");
        assert_eq!(at_once(true, None), [near]);
    }

    /// A PV that fills its disk, as nearly all do, costs few bytes of the end.
    #[test]
    fn what_is_read_of_the_end_of_a_pv() {
        for size in [1 << 20, 20 << 20, (1 << 40) + 4096] {
            let mut known = Known::new(Medium { size, is_partition: false });
            known.put(ByteRange { offset: 0, length: 8192 }, Ok(&[0; 8192]));
            known.set_data_end(size);
            let mut read = 0;
            while let Err(range) = search(super::super::OVER_LVM, When::Labelled, &known) {
                known.put(range, Ok(&vec![0; range.length]));
                read += range.length;
            }
            assert!(read <= 11_264, "{size}: {read}");
        }
    }
}
