//! What DRBD replicates, where it keeps its metadata on the same device: in its last 4 KiB.

use super::{Class, Known, Look, Member, Signature, Trouble, When, field};

pub(super) const SIGNATURE: Signature =
    Signature { format: "drbd", looks: &[Look { when: When::Labelled, at: superblock }] };

const LENGTH: usize = 4096;
const ALIGNMENT: u64 = 4096;

/// blkid knows of no smaller ones.
const MIN_SIZE: u64 = 64 << 10;

const MAGIC_08: u32 = 0x8374_026b;
const MAGIC_84_UNCLEAN: u32 = 0x8374_026c;
const MAGIC_09: u32 = 0x8374_026d;

/// The superblock, big-endian: `struct meta_data_on_disk` and, of version 9,
/// `struct meta_data_on_disk_9`. It has no checksum, and an LV that DRBD replicates has one at its
/// end, which may be a PV's end as well: weak.
///
/// | offset | size | field | meaning |
/// |---|---|---|---|
/// | 40 | 8 | device_uuid | before version 9 |
/// | 48 | 8 | device_uuid | of version 9 |
/// | 60 | 4 | magic | 8374026b, of version 8.4 while in use 8374026c, of version 9 8374026d |
fn superblock(known: &Known) -> Result<Option<Member>, Trouble> {
    let place = known.size() & !(ALIGNMENT - 1);
    let is_possible = |place: &u64| known.size() >= MIN_SIZE && known.is_worth_a_read(*place);
    let Some(place) = place.checked_sub(ALIGNMENT).filter(is_possible) else { return Ok(None) };
    let Some(block) = known.block::<LENGTH>(place)? else { return Ok(None) };
    let (version, uuid) = match u32::from_be_bytes(field(block, 60)) {
        MAGIC_08 | MAGIC_84_UNCLEAN => ("v08", u64::from_be_bytes(field(block, 40))),
        MAGIC_09 => ("v09", u64::from_be_bytes(field(block, 48))),
        _ => return Ok(None),
    };
    Ok(Some(Member {
        format: SIGNATURE.format,
        class: Class::Other,
        version: version.into(),
        offset: place,
        uuid: (uuid != 0).then(|| format!("{uuid:x}")),
        is_weak: true,
        ..Member::default()
    }))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Sample, member, members_in_noise};
    use super::*;

    const SIZE: u64 = (1 << 20) + 512;
    const PLACE: u64 = (1 << 20) - 4096;

    fn block(magic: u32) -> [u8; 64] {
        let mut block = [0; 64];
        block[47] = 0xab;
        block[55] = 0xcd;
        block[60..].copy_from_slice(&magic.to_be_bytes());
        block
    }

    #[test]
    fn members() {
        for (magic, words) in
            [(MAGIC_08, "drbd v08 (ab)"), (MAGIC_84_UNCLEAN, "drbd v08 (ab)"), (MAGIC_09, "drbd v09 (cd)")]
        {
            let member = member(&SIGNATURE, SIZE, &[(PLACE, &block(magic))]).unwrap();
            assert_eq!((member.to_string().as_str(), member.offset, member.is_weak), (words, PLACE, true));
        }
        assert_eq!(member(&SIGNATURE, SIZE, &[(PLACE + 512, &block(MAGIC_08))]), None);
        assert_eq!(member(&SIGNATURE, 61_440, &[(57_344, &block(MAGIC_08))]), None);
    }

    #[test]
    fn bad_bytes() {
        let block = block(MAGIC_09);
        let sample = Sample { signature: &SIGNATURE, size: SIZE, place: PLACE, block: &block, put_sum: |_| {} };
        sample.survives(0..64);
        assert_eq!(sample.flips_that_matter(), (60..64).collect::<Vec<_>>());
        assert_eq!(members_in_noise(&SIGNATURE, SIZE, PLACE, &[]), 0);
    }
}
