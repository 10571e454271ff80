//! Members of arrays of NVIDIA's nForce chipsets, which have their superblock in the last sector
//! but one.

use super::sums::words_32;
use super::{Class, Known, Look, Member, Role, SECTOR, Signature, Trouble, When, field};

pub(super) const SIGNATURE: Signature =
    Signature { format: "nvidia", looks: &[Look { when: When::Labelled, at: superblock }] };

const SUPERBLOCK_WORDS: u32 = 30;
const SUPERBLOCK_LENGTH: usize = 120;

/// The superblock, little-endian; of the words, the sum is 0.
///
/// | offset | size | field | meaning |
/// |---|---|---|---|
/// | 0 | 8 | vendor | `NVIDIA` and two spaces or NULs |
/// | 8 | 4 | size | of this, 30 words |
/// | 12 | 4 | checksum | what makes the sum 0 |
/// | 16 | 2 | version | |
/// | 18 | 1 | unit | which of the disks this is |
/// | 56 | 16 | signature | the array's |
/// | 73 | 1 | stripe width | disks, not counting mirrors and parity |
/// | 74 | 1 | volumes | disks with spares |
/// | 76 | 4 | level | |
fn superblock(known: &Known) -> Result<Option<Member>, Trouble> {
    let Some((place, sector)) = known.firmware_sector(2)? else { return Ok(None) };
    if !sector.starts_with(b"NVIDIA") || u32::from_le_bytes(field(sector, 8)) != SUPERBLOCK_WORDS {
        return Ok(None);
    }
    let sum = words_32(&sector[..SUPERBLOCK_LENGTH]);
    if sum != 0 {
        let what = format!("NVIDIA superblock at {place}: the sum of its words is {sum:08x}, not 0");
        return Err(Trouble::Damaged(place, what));
    }
    let (unit, width, volumes) = (sector[18], u16::from(sector[73]), sector[74]);
    let (level, used) = match u32::from_le_bytes(field(sector, 76)) {
        0x80 => ("raid0".into(), width),
        0x81 => ("raid1".into(), width.saturating_mul(2)),
        0x83 => ("raid3".into(), width),
        0x85 => ("raid5".into(), width),
        0x95 => ("raid5".into(), width.saturating_add(1)),
        0x8a | 0x8180 => ("raid10".into(), width.saturating_mul(2)),
        0xff => ("linear".into(), width),
        other => (format!("level {other:#x}"), width),
    };
    let is_spare = u16::from(volumes) >= used && u16::from(unit) >= used;
    Ok(Some(Member {
        format: SIGNATURE.format,
        class: Class::FirmwareRaid,
        version: u16::from_le_bytes(field(sector, 16)).to_string(),
        offset: place,
        uuid: Some(array_id(sector)),
        name: None,
        role: Some(if is_spare { Role::Spare } else { Role::Active(unit.into()) }),
        level: Some(level),
        members: Some(volumes.into()),
        is_weak: false,
    }))
}

fn array_id(sector: &[u8; SECTOR]) -> String {
    let words = field::<16>(sector, 56);
    let words = words.as_chunks().0.iter().map(|word| format!("{:08x}", u32::from_le_bytes(*word)));
    words.collect::<Vec<_>>().join(":")
}

#[cfg(test)]
mod tests {
    use super::super::Medium;
    use super::super::testing::{Sample, look, look_at, member};
    use super::*;

    const SIZE: u64 = (1 << 20) + 100;
    const PLACE: u64 = (1 << 20) - 1024;

    fn put_sum(block: &mut [u8]) {
        block[12..16].fill(0);
        let sum = words_32(&block[..120]).wrapping_neg();
        block[12..16].copy_from_slice(&sum.to_le_bytes());
    }

    fn block() -> [u8; SECTOR] {
        let mut block = [0; SECTOR];
        block[..8].copy_from_slice(b"NVIDIA  ");
        block[8] = 30;
        block[16] = 100;
        block[18] = 1;
        block[56..72].copy_from_slice(&[0x11; 16]);
        block[73..77].copy_from_slice(&[1, 2, 1, 0x81]);
        put_sum(&mut block);
        block
    }

    fn changed(at: usize, bytes: &[u8]) -> Member {
        let mut block = block();
        block[at..at + bytes.len()].copy_from_slice(bytes);
        put_sum(&mut block);
        member(&SIGNATURE, SIZE, &[(PLACE, &block)]).unwrap()
    }

    #[test]
    fn a_member() {
        let member = changed(0, &[]);
        assert_eq!(
            member.to_string(),
            "active device 1 of nvidia 100 array (11111111:11111111:11111111:11111111), raid1 of 2 devices"
        );
        assert_eq!((member.offset, member.is_weak), (PLACE, false));
        assert_eq!(changed(18, &[2]).role, Some(Role::Spare));
        assert_eq!(changed(76, &[0x8a]).level.as_deref(), Some("raid10"));
        assert_eq!(changed(76, &[1, 2, 3, 4]).level.as_deref(), Some("level 0x4030201"));
    }

    #[test]
    fn only_disks_have_one() {
        let medium = |size, is_partition| Medium { size, is_partition };
        assert_eq!(look_at(&SIGNATURE, medium(SIZE, true), &[(PLACE, &block())]).members, []);
        assert_eq!(look_at(&SIGNATURE, medium(65_535, false), &[(64_000 - 512, &block())]).members, []);
    }

    #[test]
    fn bad_bytes() {
        let block = block();
        let sample = Sample { signature: &SIGNATURE, size: SIZE, place: PLACE, block: &block, put_sum };
        sample.survives(0..SECTOR);
        assert_eq!(sample.flips_that_matter(), (0..120).collect::<Vec<_>>());
        let mut damaged = block;
        damaged[100] ^= 1;
        assert_eq!(look(&SIGNATURE, SIZE, &[(PLACE, &damaged)]).damaged[0].0, PLACE);
    }
}
