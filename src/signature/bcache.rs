//! What bcache caches, and what it caches on.

use super::sums::crc64;
use super::{Class, Known, Look, Member, Signature, Trouble, When, field, padded, uuid_text};

pub(super) const SIGNATURE: Signature =
    Signature { format: "bcache", looks: &[Look { when: When::Always, at: superblock }] };

/// The superblock's place.
pub(super) const PLACE: u64 = 4096;
pub(super) const PLACE_SECTOR: u64 = PLACE / 512;

/// Behind the fields there is room for the numbers of so many buckets.
const MAX_KEYS: usize = 256;
const FIELDS_END: usize = 208;
const LENGTH: usize = FIELDS_END + MAX_KEYS * 8;

const MAGIC: [u8; 16] =
    [0xc6, 0x85, 0x73, 0xf6, 0x4e, 0x1a, 0x45, 0xca, 0x82, 0x65, 0xf5, 0x7f, 0x48, 0xba, 0x6d, 0x81];

/// The superblock, `struct cache_sb_disk` in Linux' `drivers/md/bcache/bcache_ondisk.h`,
/// little-endian.
///
/// | offset | size | field | meaning |
/// |---|---|---|---|
/// | 0 | 8 | csum | CRC-64 of all from `offset` to the last key |
/// | 8 | 8 | offset | where this is, in sectors |
/// | 16 | 8 | version | 0, 3, 5 on a cache, 1, 4, 6 on what it caches |
/// | 24 | 16 | magic | |
/// | 40 | 16 | uuid | the device's |
/// | 72 | 32 | label | |
/// | 206 | 2 | keys | how many there are |
/// | 208 | 8 * keys | d | keys |
fn superblock(known: &Known) -> Result<Option<Member>, Trouble> {
    let Some(block) = known.block::<LENGTH>(PLACE)?.filter(|block| block[24..40] == MAGIC) else { return Ok(None) };
    if u64::from_le_bytes(field(block, 8)) != PLACE_SECTOR {
        return Ok(None);
    }
    let damaged = |what: String| Err(Trouble::Damaged(PLACE, format!("bcache superblock at {PLACE}: {what}")));
    let keys = usize::from(u16::from_le_bytes(field(block, 206)));
    let summed = keys.checked_mul(8).and_then(|length| block.get(8..FIELDS_END.checked_add(length)?));
    let Some(summed) = summed.filter(|_| keys <= MAX_KEYS) else {
        return damaged(format!("it has {keys} keys"));
    };
    let (found, stored) = (crc64(summed), u64::from_le_bytes(field(block, 0)));
    if found != stored {
        return damaged(format!("its checksum is {found:016x}, {stored:016x} is stored"));
    }
    Ok(Some(Member {
        format: SIGNATURE.format,
        class: Class::Other,
        version: u64::from_le_bytes(field(block, 16)).to_string(),
        offset: PLACE,
        uuid: uuid_text(field(block, 40)),
        name: padded(&block[72..104]),
        ..Member::default()
    }))
}

/// Makes superblocks, for tests.
#[cfg(test)]
pub(crate) mod image {
    use super::*;

    /// That of a device that is cached.
    pub(crate) fn block() -> [u8; 512] {
        let mut block = [0; 512];
        block[8] = 8;
        block[16] = 1;
        block[24..40].copy_from_slice(&MAGIC);
        block[40..56].copy_from_slice(&[0x11; 16]);
        block[72..77].copy_from_slice(b"label");
        put_sum(&mut block);
        block
    }

    pub(crate) fn put_sum(block: &mut [u8]) {
        let keys = usize::from(u16::from_le_bytes(field(block, 206)));
        let mut covered = block[8..].to_vec();
        covered.resize(FIELDS_END - 8 + keys * 8, 0);
        block[..8].copy_from_slice(&crc64(&covered).to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Sample, look, member};
    use super::image::{block, put_sum};
    use super::*;

    const SIZE: u64 = 1 << 20;

    #[test]
    fn a_member() {
        let found = member(&SIGNATURE, SIZE, &[(PLACE, &block())]).unwrap();
        assert_eq!(found.to_string(), "bcache 1 label (11111111-1111-1111-1111-111111111111)");
        assert_eq!((found.offset, found.is_weak), (PLACE, false));
        assert_eq!(look(&SIGNATURE, 4096 + LENGTH as u64 - 1, &[(PLACE, &block())]).members, []);
    }

    #[test]
    fn bad_bytes() {
        let block = block();
        let sample = Sample { signature: &SIGNATURE, size: SIZE, place: PLACE, block: &block, put_sum };
        sample.survives((6..26).chain(200..210));
        assert_eq!(sample.flips_that_matter(), (0..FIELDS_END).collect::<Vec<_>>());
        for at in [0, 100, 206, 207] {
            let mut damaged = block;
            damaged[at] ^= 0x7f;
            assert_eq!(look(&SIGNATURE, SIZE, &[(PLACE, &damaged)]).damaged.len(), 1, "{at}");
        }
    }
}
