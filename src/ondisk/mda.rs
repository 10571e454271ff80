//! The header of a metadata area and the way to the text in its circular buffer.

use super::pv_header::Area;
use super::{ByteRange, Covered, Crc, Error, Fields, SECTOR, check_crc, compare_crc};

/// The header's own sector, in front of the buffer.
pub const HEADER_SIZE: usize = SECTOR;
const HEADER_SIZE_U64: u64 = 512;

/// No text above this is read unless the caller says otherwise. LVM's own bound is 8 MiB
/// (`io_memory_size`) where nobody raised it; a VG of 2000 LVs has half a megabyte.
pub const MAX_TEXT: u64 = 64 << 20;

const MAGIC: [u8; 16] = *b" LVM2 x[5A%r0N*>";
const VERSION: u32 = 1;
const SLOTS: usize = 4;

/// The checksum covers the header from here.
const CRC_START: usize = 4;

const FLAG_IGNORED: u32 = 1;

/// A slot of an [`MdaHeader`], `struct raw_locn` in lvm2's `lib/format_text/layout.h`.
///
/// | offset | size | field | meaning |
/// |---|---|---|---|
/// | 0 | 8 | offset | of the text, from the start of the area; 0: the slot is empty |
/// | 8 | 8 | size | bytes of text, with the NUL that ends it |
/// | 16 | 4 | checksum | of that text |
/// | 20 | 4 | flags | bit 0: the area is ignored (slot 0 only) |
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RawLocation {
    pub offset: u64,
    pub size: u64,
    pub checksum: u32,
    pub flags: u32,
}

/// The header of a metadata area, `struct mda_header` in lvm2's `lib/format_text/layout.h`.
///
/// | offset | size | field | meaning |
/// |---|---|---|---|
/// | 0 | 4 | crc | of bytes 4 to 511 |
/// | 4 | 16 | magic | ` LVM2 x[5A%r0N*>` |
/// | 20 | 4 | version | 1 |
/// | 24 | 8 | start | where this header is on the device |
/// | 32 | 8 | size | of the area with this header; it governs where text wraps |
/// | 40 | 4 * 24 | slots | [`RawLocation`]s: committed, precommitted, unused, unused |
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MdaHeader {
    pub start: u64,
    /// Not always the size in the PV header's list; LVM does not compare them.
    pub size: u64,
    pub slots: [RawLocation; SLOTS],
}

/// Where the text is on the device: the second part is what went around the buffer's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TextParts {
    pub first: ByteRange,
    pub second: Option<ByteRange>,
}

impl RawLocation {
    /// Whether the text found there is the one that was put there. It may come in two pieces.
    pub fn check(&self, pieces: &[&[u8]]) -> Result<(), Error> {
        check_crc(Covered::Text, self.checksum, pieces)
    }

    /// The same of a text whose checksum was taken in parts.
    pub fn check_sum(&self, crc: Crc) -> Result<(), Error> {
        compare_crc(Covered::Text, self.checksum, crc.value())
    }
}

impl MdaHeader {
    /// Decodes the header found at `start` of a device.
    pub fn decode(bytes: &[u8], start: u64) -> Result<MdaHeader, Error> {
        let bytes = bytes.first_chunk::<HEADER_SIZE>().ok_or(Error::Truncated)?;
        let mut fields = Fields::new(bytes);
        let crc = fields.u32()?;
        check_crc(Covered::MdaHeader, crc, &[&bytes[CRC_START..]])?;
        if fields.bytes()? != MAGIC {
            return Err(Error::MdaMagic);
        }
        let version = fields.u32()?;
        if version != VERSION {
            return Err(Error::MdaVersion { found: version });
        }
        let stated = fields.u64()?;
        if stated != start {
            return Err(Error::MdaStart { stated });
        }
        let size = fields.u64()?;
        let mut slots = [RawLocation::default(); SLOTS];
        for slot in &mut slots {
            slot.offset = fields.u64()?;
            slot.size = fields.u64()?;
            slot.checksum = fields.u32()?;
            slot.flags = fields.u32()?;
        }
        Ok(MdaHeader { start, size, slots })
    }

    /// All that [`MdaHeader::decode`] would refuse it for, where that ends at the first.
    pub fn faults(bytes: &[u8], start: u64) -> Vec<Error> {
        let mut faults = Vec::new();
        let Some(bytes) = bytes.first_chunk::<HEADER_SIZE>() else { return vec![Error::Truncated] };
        let mut fields = Fields::new(bytes);
        let crc = fields.u32().unwrap_or(0);
        faults.extend(check_crc(Covered::MdaHeader, crc, &[&bytes[CRC_START..]]).err());
        if fields.bytes() != Ok(MAGIC) {
            faults.push(Error::MdaMagic);
        }
        let version = fields.u32().unwrap_or(0);
        if version != VERSION {
            faults.push(Error::MdaVersion { found: version });
        }
        let stated = fields.u64().unwrap_or(0);
        if stated != start {
            faults.push(Error::MdaStart { stated });
        }
        faults
    }

    /// An ignored area keeps old text with a good checksum: it must not be read.
    pub fn is_ignored(&self) -> bool {
        self.slots[0].flags & FLAG_IGNORED != 0
    }

    /// The slot of the metadata in force. The others are a writer's business.
    pub fn committed(&self) -> Option<RawLocation> {
        Some(self.slots[0]).filter(|slot| slot.offset != 0)
    }

    /// The parts of the device that a text is in, all of them within the bounds: behind the
    /// header, in the area, on the device, not above the buffer's size or `max_text`.
    pub fn locate(&self, text: &RawLocation, device_size: u64, max_text: u64) -> Result<TextParts, Error> {
        let RawLocation { offset, size, .. } = *text;
        let outside = Error::LocationOffset { offset, area_size: self.size };
        // What is left of the area behind its header, and from the text on.
        let capacity = self.size.checked_sub(HEADER_SIZE_U64).ok_or(outside)?;
        let straight = self.size.checked_sub(offset).ok_or(outside)?;
        if offset < HEADER_SIZE_U64 || straight == 0 {
            return Err(outside);
        }
        if size == 0 {
            return Err(Error::LocationEmpty);
        }
        if size > capacity {
            return Err(Error::LocationSize { size, capacity });
        }
        if size > max_text {
            return Err(Error::TextTooLarge { size, limit: max_text });
        }
        let range = |offset: u64, length: u64| {
            let beyond = Error::LocationBeyondDevice { device_size };
            let offset = self.start.checked_add(offset).ok_or(beyond)?;
            let range = ByteRange { offset, length: usize::try_from(length).map_err(|_| beyond)? };
            range.end_within(device_size).map(|_| range).ok_or(beyond)
        };
        let first = range(offset, size.min(straight))?;
        let around = size.checked_sub(straight).filter(|&length| length > 0);
        let second = around.map(|length| range(HEADER_SIZE_U64, length)).transpose()?;
        Ok(TextParts { first, second })
    }

    pub(super) fn encode(&self) -> [u8; HEADER_SIZE] {
        let mut fields = Vec::with_capacity(HEADER_SIZE);
        fields.extend_from_slice(&[0; CRC_START]);
        fields.extend_from_slice(&MAGIC);
        fields.extend_from_slice(&VERSION.to_le_bytes());
        fields.extend_from_slice(&self.start.to_le_bytes());
        fields.extend_from_slice(&self.size.to_le_bytes());
        for slot in &self.slots {
            fields.extend_from_slice(&slot.offset.to_le_bytes());
            fields.extend_from_slice(&slot.size.to_le_bytes());
            fields.extend_from_slice(&slot.checksum.to_le_bytes());
            fields.extend_from_slice(&slot.flags.to_le_bytes());
        }
        let mut out = [0; HEADER_SIZE];
        for (out, byte) in out.iter_mut().zip(fields) {
            *out = byte;
        }
        let crc = super::crc(&[&out[CRC_START..]]);
        out[..CRC_START].copy_from_slice(&crc.to_le_bytes());
        out
    }
}

/// Room for new metadata as lvm2 2.02 counts it: half of what the buffer has beside two times
/// the text in force, rounded up to sectors. `vgname_from_mda` in `lib/format_text/format-text.c`.
pub fn free_sectors(area: &Area, header: &MdaHeader) -> u64 {
    let Some(text) = header.committed() else {
        return area.size.saturating_sub(HEADER_SIZE_U64) / 2 / HEADER_SIZE_U64;
    };
    let capacity = header.size.saturating_sub(HEADER_SIZE_U64);
    let used = text.size.checked_next_multiple_of(HEADER_SIZE_U64).unwrap_or(u64::MAX);
    capacity.saturating_sub(used.saturating_mul(2)) / 2 / HEADER_SIZE_U64
}

/// The same in bytes, as lvm2 2.03 counts it: a text may have half of the buffer, less a sector.
/// `read_metadata_location_summary` in `lib/format_text/format-text.c`.
pub fn free_bytes(header: &MdaHeader) -> u64 {
    let largest = (header.size.saturating_sub(HEADER_SIZE_U64) / 2).saturating_sub(HEADER_SIZE_U64);
    let used = header.committed().map_or(0, |text| text.size);
    let free = largest.saturating_sub(used);
    free.saturating_sub(free % HEADER_SIZE_U64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: u64 = 4096;
    const SIZE: u64 = 61_440;
    const DEVICE: u64 = 1 << 20;

    fn header(offset: u64, size: u64) -> MdaHeader {
        let mut slots = [RawLocation::default(); SLOTS];
        slots[0] = RawLocation { offset, size, checksum: 7, flags: 0 };
        MdaHeader { start: START, size: SIZE, slots }
    }

    fn check(offset: u64, size: u64, expected: Result<&[(u64, usize)], Error>) {
        let header = header(offset, size);
        let parts = header.locate(&header.slots[0], DEVICE, 32 << 10).map(|parts| {
            let parts = [Some(parts.first), parts.second];
            parts.iter().flatten().map(|part| (part.offset, part.length)).collect::<Vec<_>>()
        });
        assert_eq!(parts, expected.map(<[_]>::to_vec), "{offset}+{size}");
    }

    #[test]
    fn text_goes_around_the_end_of_the_buffer() {
        check(512, 1517, Ok(&[(4608, 1517)]));
        check(SIZE - 1000, 1000, Ok(&[(START + SIZE - 1000, 1000)]));
        check(SIZE - 1000, 1001, Ok(&[(START + SIZE - 1000, 1000), (4608, 1)]));
        check(SIZE - 1, 512, Ok(&[(START + SIZE - 1, 1), (4608, 511)]));
    }

    #[test]
    fn locations_out_of_bounds_are_refused() {
        let outside = |offset| Err(Error::LocationOffset { offset, area_size: SIZE });
        for offset in [1, 100, 511, SIZE, SIZE + 1, u64::MAX] {
            check(offset, 1517, outside(offset));
        }
        check(512, 0, Err(Error::LocationEmpty));
        let capacity = SIZE - 512;
        for size in [capacity + 1, SIZE, 1 << 32, u64::MAX - 511, u64::MAX] {
            check(512, size, Err(Error::LocationSize { size, capacity }));
            check(SIZE - 1, size, Err(Error::LocationSize { size, capacity }));
        }
        check(512, capacity, Err(Error::TextTooLarge { size: capacity, limit: 32 << 10 }));
    }

    #[test]
    fn text_must_be_on_the_device_but_the_area_need_not() {
        let header = header(SIZE - 1000, 1001);
        let text = header.slots[0];
        assert!(header.locate(&text, START + SIZE, MAX_TEXT).is_ok());
        let device_size = START + SIZE - 1;
        let beyond = Err(Error::LocationBeyondDevice { device_size });
        assert_eq!(header.locate(&text, device_size, MAX_TEXT), beyond);
        let early = RawLocation { offset: 512, size: 1, ..text };
        assert!(header.locate(&early, START + 513, MAX_TEXT).is_ok());
        let far = MdaHeader { start: u64::MAX - 100, ..header };
        assert!(far.locate(&early, u64::MAX, MAX_TEXT).is_err());
        let tiny = MdaHeader { size: 511, ..far };
        assert!(tiny.locate(&early, u64::MAX, MAX_TEXT).is_err());
    }

    #[test]
    fn header_faults_have_their_own_errors() {
        let good = header(512, 10);
        assert_eq!(MdaHeader::decode(&good.encode(), START), Ok(good.clone()));
        assert_eq!(MdaHeader::decode(&good.encode(), 4097), Err(Error::MdaStart { stated: START }));
        let patched = |at: usize| {
            let mut bytes = good.encode();
            bytes[at] ^= 2;
            let crc = crate::ondisk::crc(&[&bytes[CRC_START..]]);
            bytes[..CRC_START].copy_from_slice(&crc.to_le_bytes());
            MdaHeader::decode(&bytes, START)
        };
        assert_eq!(patched(5), Err(Error::MdaMagic));
        assert_eq!(patched(20), Err(Error::MdaVersion { found: 3 }));
    }

    #[test]
    fn no_flip_and_no_cut_is_accepted() {
        let good = header(512, 10).encode();
        for at in 0..HEADER_SIZE {
            let mut bytes = good;
            bytes[at] ^= 0xff;
            assert!(matches!(MdaHeader::decode(&bytes, START), Err(Error::Checksum { .. })), "byte {at}");
            assert_eq!(MdaHeader::decode(&good[..at], START), Err(Error::Truncated), "cut at {at}");
        }
    }

    #[test]
    fn text_is_checked_across_its_pieces() {
        let slot = RawLocation { checksum: 0x4991_cf02, ..RawLocation::default() };
        assert_eq!(slot.check(&[b"12345", b"6789"]), Ok(()));
        assert!(matches!(slot.check(&[b"12345", b"678"]), Err(Error::Checksum { what: Covered::Text, .. })));
    }

    #[test]
    fn only_slot_0_counts() {
        let mut header = header(0, 10);
        header.slots[1] = RawLocation { offset: 512, size: 10, checksum: 0, flags: FLAG_IGNORED };
        assert_eq!(header.committed(), None);
        assert!(!header.is_ignored());
        header.slots[0].flags = 3;
        assert!(header.is_ignored());
    }

    #[test]
    fn free_sectors_are_counted_as_2_02_does() {
        let area = Area { offset: START, size: 1_044_480 };
        let free = |offset, size| free_sectors(&area, &MdaHeader { size: 1_044_480, ..header(offset, size) });
        assert_eq!(free(4608, 1517), 1016);
        assert_eq!(free(0, 0), 1019);
        assert_eq!(free(512, 600_000), 0);
        assert_eq!(free(512, u64::MAX), 0);
    }

    #[test]
    fn free_bytes_are_counted_as_2_03_does() {
        let free = |offset, size, area| free_bytes(&MdaHeader { size: area, ..header(offset, size) });
        assert_eq!(free(4608, 1517, 1_044_480), 519_680);
        assert_eq!(free(4608, 1517, 524_288), 259_584);
        assert_eq!(free(0, 0, 1_044_480), 521_216);
        assert_eq!(free(512, u64::MAX, 1_044_480), 0);
        assert_eq!(free(0, 0, 100), 0);
    }
}
