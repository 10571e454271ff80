//! Devices of a pool of Stratis, which has its superblock twice near the start.

use super::fields_at::in_groups;
use super::sums::crc32c;
use super::{Class, Known, Look, Member, SECTOR, Signature, Trouble, When, field};

pub(super) const SIGNATURE: Signature =
    Signature { format: "stratis", looks: &[Look { when: When::Always, at: superblocks }] };

const PLACES: [u64; 2] = [512, 9 * 512];
const MAGIC: &[u8; 16] = b"!Stra0tis\x86\xff\x02^\x41rh";

/// The first that is good, little-endian.
///
/// | offset | size | field | meaning |
/// |---|---|---|---|
/// | 0 | 4 | crc | CRC-32C of the rest of the sector |
/// | 4 | 16 | magic | |
/// | 20 | 8 | sectors | |
/// | 32 | 32 | pool_uuid | text without hyphens |
/// | 64 | 32 | dev_uuid | the same |
fn superblocks(known: &Known) -> Result<Option<Member>, Trouble> {
    for place in PLACES {
        let Some(sector) = known.block::<SECTOR>(place)? else { return Ok(None) };
        if &sector[4..20] == MAGIC && u32::from_le_bytes(field(sector, 0)) == crc32c(&sector[4..]) {
            let member = Member { format: SIGNATURE.format, class: Class::Other, offset: place, ..Member::default() };
            return Ok(Some(Member { uuid: pool(&field(sector, 32)), ..member }));
        }
    }
    Ok(None)
}

/// In the usual groups, if it is text.
fn pool(uuid: &[u8; 32]) -> Option<String> {
    let hex = std::str::from_utf8(uuid).ok().filter(|hex| hex.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
    Some(in_groups(hex))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Sample, look, member};
    use super::*;

    fn put_sum(block: &mut [u8]) {
        let sum = crc32c(&block[4..]);
        block[..4].copy_from_slice(&sum.to_le_bytes());
    }

    fn block() -> [u8; SECTOR] {
        let mut block = [0; SECTOR];
        block[4..20].copy_from_slice(MAGIC);
        block[32..96].fill(b'a');
        put_sum(&mut block);
        block
    }

    #[test]
    fn a_member_by_either_superblock() {
        let damaged = [7; SECTOR];
        for (first, second, place) in [(block(), block(), 512), (block(), damaged, 512), (damaged, block(), 4608)] {
            let found = member(&SIGNATURE, 8192, &[(512, &first), (4608, &second)]).unwrap();
            assert_eq!(found.to_string(), "stratis (aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa)");
            assert_eq!((found.offset, found.is_weak), (place, false));
        }
        assert_eq!(look(&SIGNATURE, 8192, &[(512, &damaged), (4608, &damaged)]).members, []);
        let mut odd = block();
        odd[33] = 0xff;
        put_sum(&mut odd);
        assert_eq!(member(&SIGNATURE, 8192, &[(512, &odd)]).unwrap().uuid, None);
    }

    #[test]
    fn bad_bytes() {
        let block = block();
        let sample = Sample { signature: &SIGNATURE, size: 8192, place: 4608, block: &block, put_sum };
        sample.survives(0..120);
        assert_eq!(sample.flips_that_matter(), (0..SECTOR).collect::<Vec<_>>());
    }
}
