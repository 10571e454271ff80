//! Devices of a file system of bcachefs, which has its superblock where bcache has.

use super::bcache::{PLACE, PLACE_SECTOR};
use super::sums::{crc32c, crc64};
use super::{ByteRange, Class, Known, Look, Member, Signature, Trouble, When, field, padded, uuid_text};

pub(super) const SIGNATURE: Signature =
    Signature { format: "bcachefs", looks: &[Look { when: When::Always, at: superblock }] };

/// Without the fields of variable length behind it.
const LENGTH: usize = 752;

/// What is read first of a device has no more of it.
const MAX_LENGTH: usize = 4096;

const MAGIC: [u8; 16] =
    [0xc6, 0x85, 0x73, 0xf6, 0x66, 0xce, 0x90, 0xa9, 0xd9, 0x6a, 0x60, 0xcf, 0x80, 0x3d, 0xf7, 0xef];

/// The superblock, `struct bch_sb` in bcachefs' `bcachefs_format.h`, little-endian.
///
/// | offset | size | field | meaning |
/// |---|---|---|---|
/// | 0 | 16 | csum | of all behind it |
/// | 16 | 2 | version | |
/// | 24 | 16 | magic | |
/// | 56 | 16 | user_uuid | the file system's |
/// | 72 | 32 | label | |
/// | 104 | 8 | offset | where this is, in sectors |
/// | 122 | 1 | dev_idx | which of the devices this is |
/// | 123 | 1 | nr_devices | |
/// | 124 | 4 | u64s | how many 8 bytes follow |
/// | 144 | 64 | flags | bits 2 to 7: kind of checksum, 1 CRC-32C, 2 CRC-64 |
fn superblock(known: &Known) -> Result<Option<Member>, Trouble> {
    let Some(block) = known.block::<LENGTH>(PLACE)?.filter(|block| block[24..40] == MAGIC) else { return Ok(None) };
    let (index, devices) = (block[122], block[123]);
    if u64::from_le_bytes(field(block, 104)) != PLACE_SECTOR || index >= devices {
        return Ok(None);
    }
    let more = usize::try_from(u32::from_le_bytes(field(block, 124))).unwrap_or(usize::MAX);
    let length = more.saturating_mul(8).saturating_add(LENGTH);
    let whole = if length > MAX_LENGTH { None } else { known.bytes(ByteRange { offset: PLACE, length })? };
    let (found, stored) = match (block[144] >> 2, whole.and_then(|whole| whole.get(16..))) {
        (1, Some(summed)) => (u64::from(crc32c(summed)), u64::from(u32::from_le_bytes(field(block, 0)))),
        (2, Some(summed)) => (crc64(summed), u64::from_le_bytes(field(block, 0))),
        _ => (0, 0),
    };
    if found != stored {
        let what = format!("bcachefs superblock at {PLACE}: its checksum is {found:x}, {stored:x} is stored");
        return Err(Trouble::Damaged(PLACE, what));
    }
    Ok(Some(Member {
        format: SIGNATURE.format,
        class: Class::Other,
        version: u16::from_le_bytes(field(block, 16)).to_string(),
        offset: PLACE,
        uuid: uuid_text(field(block, 56)),
        name: padded(&block[72..104]),
        members: Some(devices.into()),
        is_weak: !matches!((block[144] >> 2, whole), (1 | 2, Some(_))),
        ..Member::default()
    }))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Sample, look, member};
    use super::*;

    const SIZE: u64 = 1 << 20;

    fn put_sum(block: &mut [u8]) {
        let sum = crc32c(&block[16..]);
        block[..4].copy_from_slice(&sum.to_le_bytes());
    }

    fn block() -> [u8; LENGTH + 16] {
        let mut block = [0; LENGTH + 16];
        block[16] = 12;
        block[24..40].copy_from_slice(&MAGIC);
        block[56..72].copy_from_slice(&[0x11; 16]);
        block[72..77].copy_from_slice(b"label");
        block[104] = 8;
        block[123..125].copy_from_slice(&[2, 2]);
        block[144] = 1 << 2;
        put_sum(&mut block);
        block
    }

    #[test]
    fn a_member() {
        let mut block = block();
        let found = member(&SIGNATURE, SIZE, &[(PLACE, &block)]).unwrap();
        assert_eq!(found.to_string(), "bcachefs 12 label (11111111-1111-1111-1111-111111111111), 2 devices");
        assert!(!found.is_weak);
        block[144] = 2 << 2;
        let sum = crc64(&block[16..]);
        block[..8].copy_from_slice(&sum.to_le_bytes());
        assert!(!member(&SIGNATURE, SIZE, &[(PLACE, &block)]).unwrap().is_weak);
        block[144] = 7 << 2;
        assert!(member(&SIGNATURE, SIZE, &[(PLACE, &block)]).unwrap().is_weak, "its checksum is not known here");
        assert_eq!(look(&SIGNATURE, 4096 + 751, &[(PLACE, &block)]).members, []);
    }

    #[test]
    fn bad_bytes() {
        let block = block();
        let sample = Sample { signature: &SIGNATURE, size: SIZE, place: PLACE, block: &block, put_sum };
        sample.survives((14..18).chain(100..150));
        // Another length or another kind of checksum leaves nothing to go by, which is weak.
        let matter = sample.flips_that_matter();
        assert!((16..124).chain(145..LENGTH + 16).all(|at| matter.contains(&at)), "{matter:?}");
        let mut damaged = block;
        damaged[200] ^= 1;
        assert_eq!(look(&SIGNATURE, SIZE, &[(PLACE, &damaged)]).damaged.len(), 1);
    }
}
