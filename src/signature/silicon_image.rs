//! Members of arrays of Silicon Image's Medley, which have their superblock in the last sector.

use super::sums::words_16;
use super::{Class, Known, Look, Member, Role, SECTOR, Signature, Trouble, When, field, padded};

pub(super) const SIGNATURE: Signature =
    Signature { format: "silicon_image", looks: &[Look { when: When::Labelled, at: superblock }] };

const MAGIC: u32 = 0x2f00_0000;
const MAX_DISKS: u8 = 8;

/// The superblock, little-endian. The magic is too common to call it damaged if the rest is wrong.
///
/// | offset | size | field | meaning |
/// |---|---|---|---|
/// | 54 | 32 | disk name | |
/// | 96 | 4 | magic | 2f000000 |
/// | 264 | 2 | minor version | |
/// | 266 | 2 | major version | |
/// | 278 | 1 | disk number | less than 8 |
/// | 279 | 1 | type | 0 striped, 1 mirrored, 2 both, 3 spare, 16 with parity, 255 one behind the other |
/// | 280 | 1 | disks of a striped set | |
/// | 282 | 1 | disks of a mirrored set | |
/// | 302 | 16 | text | |
/// | 318 | 2 | checksum | what makes the sum of these 16-bit words 0 |
fn superblock(known: &Known) -> Result<Option<Member>, Trouble> {
    let Some((place, sector)) = known.firmware_sector(1)? else { return Ok(None) };
    let (number, kind) = (sector[278], sector[279]);
    if u32::from_le_bytes(field(sector, 96)) != MAGIC || number >= MAX_DISKS || words_16(&sector[..320]) != 0 {
        return Ok(None);
    }
    let (striped, mirrored) = (u32::from(sector[280]), u32::from(sector[282]));
    let (level, members) = match kind {
        0 => ("raid0", striped),
        1 => ("raid1", mirrored),
        2 => ("raid10", striped.saturating_mul(mirrored)),
        16 => ("raid5", striped),
        255 => ("linear", striped),
        _ => ("", 0),
    };
    let text = |at| u16::from_le_bytes(field(sector, at));
    Ok(Some(Member {
        format: SIGNATURE.format,
        class: Class::FirmwareRaid,
        version: format!("{}.{}", text(266), text(264)),
        offset: place,
        uuid: None,
        name: set_name(sector),
        role: Some(if kind == 3 { Role::Spare } else { Role::Active(number.into()) }),
        level: (!level.is_empty()).then(|| level.into()),
        members: (members > 0).then_some(members),
        is_weak: false,
    }))
}

fn set_name(sector: &[u8; SECTOR]) -> Option<Vec<u8>> {
    padded(&sector[302..318])
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Sample, member, members_in_noise};
    use super::*;

    const SIZE: u64 = (1 << 20) + 511;
    const PLACE: u64 = (1 << 20) - 512;

    fn put_sum(block: &mut [u8]) {
        block[318..320].fill(0);
        let sum = words_16(&block[..320]).wrapping_neg();
        block[318..320].copy_from_slice(&sum.to_le_bytes());
    }

    fn block() -> [u8; SECTOR] {
        let mut block = [0; SECTOR];
        block[99] = 0x2f;
        block[264] = 1;
        block[266] = 2;
        block[278..284].copy_from_slice(&[1, 1, 0, 0, 2, 0]);
        block[302..306].copy_from_slice(b"set ");
        put_sum(&mut block);
        block
    }

    fn changed(at: usize, bytes: &[u8]) -> Option<Member> {
        let mut block = block();
        block[at..at + bytes.len()].copy_from_slice(bytes);
        put_sum(&mut block);
        member(&SIGNATURE, SIZE, &[(PLACE, &block)])
    }

    #[test]
    fn a_member() {
        let member = changed(0, &[]).unwrap();
        assert_eq!(member.to_string(), "active device 1 of silicon_image 2.1 array set, raid1 of 2 devices");
        assert_eq!((member.offset, member.is_weak), (PLACE, false));
        let spare = changed(279, &[3]).unwrap();
        assert_eq!((spare.role, spare.level, spare.members), (Some(Role::Spare), None, None));
        let both = changed(279, &[2, 2]).unwrap();
        assert_eq!((both.level.as_deref(), both.members), (Some("raid10"), Some(4)));
        assert_eq!(changed(278, &[8]), None);
    }

    #[test]
    fn bad_bytes() {
        let block = block();
        let sample = Sample { signature: &SIGNATURE, size: SIZE, place: PLACE, block: &block, put_sum };
        sample.survives(0..SECTOR);
        assert_eq!(sample.flips_that_matter(), (0..320).collect::<Vec<_>>());
    }

    /// A sum of 16 bits and a number of 8 let 1 of 2 million pass that have the magic.
    #[test]
    fn noise_is_no_member() {
        assert_eq!(members_in_noise(&SIGNATURE, SIZE, PLACE, &[]), 0);
        assert!(members_in_noise(&SIGNATURE, SIZE, PLACE, &[(96, &MAGIC.to_le_bytes())]) <= 1);
    }
}
