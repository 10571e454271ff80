//! Members of arrays of Promise's FastTrak controllers, which have their superblock at one of many
//! places near the end.

use super::sums::words_32;
use super::{ByteRange, Class, Known, Look, Member, Role, SECTOR_SIZE, Signature, Trouble, When, field};
use crate::ondisk::SECTOR;

pub(super) const SIGNATURE: Signature = Signature {
    format: "promise",
    looks: &[
        Look { when: When::Labelled, at: |known| first(known, &[16, 63, 255, 256]) },
        Look { when: When::Labelled, at: |known| within(known, &[399]) },
        Look { when: When::Labelled, at: |known| within(known, &[591, 675, 735, 911, 951, 974, 991]) },
        Look { when: When::Labelled, at: |known| within(known, &[3087]) },
    ],
};

const MAGIC: &[u8; 24] = b"Promise Technology, Inc.";
const LENGTH: usize = 2048;

/// What is at the places that every PV is asked for.
fn first(known: &Known, places: &[u64]) -> Result<Option<Member>, Trouble> {
    for place in places.iter().filter_map(|place| known.firmware_place(*place)) {
        if let Some(member) = superblock(known, place)? {
            return Ok(Some(member));
        }
    }
    Ok(None)
}

/// The same of places that cost a read of their own, nearest to the end first: of these, only those
/// that a PV leaves room for.
fn within(known: &Known, places: &[u64]) -> Result<Option<Member>, Trouble> {
    let room = |place: &&u64| known.firmware_place(**place).is_some_and(|place| !known.is_in_pv(place));
    let places = places.iter().filter(room).copied().collect::<Vec<_>>();
    let (Some(nearest), Some(farthest)) = (places.first(), places.last()) else { return Ok(None) };
    let Some(offset) = known.firmware_place(*farthest) else { return Ok(None) };
    let between =
        farthest.checked_sub(*nearest).and_then(|sectors| usize::try_from(sectors.checked_mul(SECTOR_SIZE)?).ok());
    let Some(length) = between.and_then(|between| between.checked_add(LENGTH)) else { return Ok(None) };
    known.bytes(ByteRange { offset, length })?;
    first(known, &places)
}

/// The superblock, little-endian.
///
/// | offset | size | field | meaning |
/// |---|---|---|---|
/// | 0 | 24 | id | `Promise Technology, Inc.` |
/// | 517 | 1 | disk number | |
/// | 543 | 1 | type | 0 striped, 1 mirrored, 2 both, 8 one behind the other |
/// | 544 | 1 | disks | |
/// | 556 | 4 | magic | the array's |
/// | 2044 | 4 | checksum | sum of the 511 words before it |
fn superblock(known: &Known, place: u64) -> Result<Option<Member>, Trouble> {
    if known.block::<SECTOR>(place)?.is_none_or(|sector| !sector.starts_with(MAGIC)) {
        return Ok(None);
    }
    let Some(block) = known.block::<LENGTH>(place)? else { return Ok(None) };
    let (sum, stored) = (words_32(&block[..LENGTH - 4]), u32::from_le_bytes(field(block, LENGTH - 4)));
    if sum != stored {
        let what = format!("Promise superblock at {place}: its checksum is {sum:08x}, {stored:08x} is stored");
        return Err(Trouble::Damaged(place, what));
    }
    let disks = block[544];
    let level = match block[543] {
        0 => "raid0".into(),
        1 if disks <= 3 => "raid1".into(),
        1 | 2 => "raid10".into(),
        8 => "linear".into(),
        other => format!("type {other}"),
    };
    Ok(Some(Member {
        format: SIGNATURE.format,
        class: Class::FirmwareRaid,
        version: String::new(),
        offset: place,
        uuid: Some(format!("{:08x}", u32::from_le_bytes(field(block, 556)))),
        name: None,
        role: Some(Role::Active(block[517].into())),
        level: Some(level),
        members: Some(disks.into()),
        is_weak: false,
    }))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Sample, look, look_for, member};
    use super::super::{Medium, search};
    use super::*;

    const SIZE: u64 = 8 << 20;

    fn put_sum(block: &mut [u8]) {
        let sum = words_32(&block[..2044]);
        block[2044..].copy_from_slice(&sum.to_le_bytes());
    }

    fn block() -> [u8; LENGTH] {
        let mut block = [0; LENGTH];
        block[..24].copy_from_slice(MAGIC);
        block[517] = 1;
        block[543..545].copy_from_slice(&[1, 2]);
        block[556..560].copy_from_slice(&[4, 3, 2, 1]);
        put_sum(&mut block);
        block
    }

    const PLACES: [u64; 13] = [16, 63, 255, 256, 399, 591, 675, 735, 911, 951, 974, 991, 3087];

    #[test]
    fn a_member_wherever_its_superblock_is() {
        for sectors in PLACES {
            let place = SIZE - sectors * 512;
            let member = member(&SIGNATURE, SIZE, &[(place, &block())]).unwrap();
            assert_eq!(member.to_string(), "active device 1 of promise array (01020304), raid1 of 2 devices");
            assert_eq!((member.offset, member.is_weak), (place, false));
        }
        assert!(member(&SIGNATURE, SIZE, &[(SIZE - 17 * 512, &block())]).is_none());
        let mut four = block();
        four[544] = 4;
        put_sum(&mut four);
        assert_eq!(member(&SIGNATURE, SIZE, &[(SIZE - 8192, &four)]).unwrap().level.unwrap(), "raid10");
    }

    /// What is asked for if there is a label made for a device of this size.
    fn reads(data_end: u64) -> Vec<(u64, usize)> {
        let mut known = Known::new(Medium { size: SIZE, is_partition: false });
        known.set_data_end(data_end);
        let mut reads = Vec::new();
        while let Err(range) = search(&[&SIGNATURE], When::Labelled, &known) {
            reads.push(((SIZE - range.offset) / 512, range.length));
            known.put(range, Ok(&vec![0; range.length]));
        }
        reads
    }

    #[test]
    fn a_pv_is_read_only_where_it_leaves_room() {
        let before = |sectors: u64| SIZE - sectors * 512;
        assert_eq!(reads(SIZE), [(16, 16 * 512), (63, 512), (257, 3 * 512)]);
        assert_eq!(reads(before(257)), reads(SIZE));
        assert_eq!(reads(before(399)), [(399, 399 * 512)]);
        assert_eq!(reads(before(591)), [(399, 399 * 512), (591, 2048)]);
        assert_eq!(reads(before(3087)), [(399, 399 * 512), (991, 404 * 512), (3087, 2048)]);
        assert_eq!(reads(1 << 20), [(399, 399 * 512), (991, 404 * 512), (3087, 2048)], "two more than the end");
    }

    #[test]
    fn what_lies_in_a_pv_counts_only_where_it_is_read_anyway() {
        for sectors in PLACES {
            let mut known = Known::new(Medium { size: SIZE, is_partition: false });
            known.set_data_end(SIZE);
            let found = look_for(&SIGNATURE, When::Labelled, known, &[(SIZE - sectors * 512, &block())]);
            assert_eq!(found.members.len(), usize::from(sectors <= 257), "{sectors}");
        }
    }

    #[test]
    fn bad_bytes() {
        let block = block();
        let sample = Sample { signature: &SIGNATURE, size: SIZE, place: SIZE - 16 * 512, block: &block, put_sum };
        sample.survives((510..520).chain(540..560));
        assert_eq!(sample.flips_that_matter(), (0..LENGTH).collect::<Vec<_>>());
        for place in PLACES.map(|sectors| SIZE - sectors * 512) {
            let mut damaged = block;
            damaged[100] ^= 1;
            assert_eq!(look(&SIGNATURE, SIZE, &[(place, &damaged)]).damaged[0].0, place);
        }
    }
}
