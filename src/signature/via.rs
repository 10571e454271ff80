//! Members of arrays of VIA's controllers, which have their superblock in the last sector.

use super::{Class, Known, Look, Member, Role, SECTOR, Signature, Trouble, When, field};

pub(super) const SIGNATURE: Signature =
    Signature { format: "via", looks: &[Look { when: When::Labelled, at: superblock }] };

const MAX_VERSION: u8 = 2;
const COVERED: usize = 50;

/// The superblock, little-endian. Its magic is that of any boot sector and its sum has 8 bits:
/// weak, even though its type and its serial number have to be right.
///
/// | offset | size | field | meaning |
/// |---|---|---|---|
/// | 0 | 2 | signature | aa55 |
/// | 2 | 1 | version | at most 2 |
/// | 3 | 2 | disk | bits 3 to 6 type: 0 striped, 1 mirrored, 8 one behind the other, 9 striped and mirrored; 10 to 14 what it is in the array |
/// | 5 | 1 | array | bits 0 to 2 disks |
/// | 14 | 4 | serial | sum of this disk's serial number |
/// | 18 | 32 | serials | those of all |
/// | 50 | 1 | checksum | sum of the bytes before it |
fn superblock(known: &Known) -> Result<Option<Member>, Trouble> {
    let Some((place, sector)) = known.firmware_sector(1)? else { return Ok(None) };
    let sum = sector[..COVERED].iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
    if !sector.starts_with(&[0x55, 0xaa]) || sector[2] > MAX_VERSION || sum != sector[COVERED] || !is_listed(sector) {
        return Ok(None);
    }
    let disk = u16::from_le_bytes(field(sector, 3));
    let (kind, info) = (disk >> 3 & 0xf, u32::from(disk >> 10 & 0x1f));
    let (level, role) = match kind {
        0 => ("raid0", Role::Active(info & 7)),
        1 if info & 3 == 1 => ("raid1", Role::Spare),
        1 => ("raid1", Role::Active(u32::from(info & 3 != 0))),
        8 => ("linear", Role::Active(info & 7)),
        9 => ("raid10", Role::Active(info & 7)),
        _ => return Ok(None),
    };
    Ok(Some(Member {
        format: SIGNATURE.format,
        class: Class::FirmwareRaid,
        version: sector[2].to_string(),
        offset: place,
        uuid: None,
        name: None,
        role: Some(role),
        level: Some(level.into()),
        members: Some(if kind == 1 { 2 } else { u32::from(sector[5] & 7) }),
        is_weak: true,
    }))
}

/// Whether this disk is among those of its array.
fn is_listed(sector: &[u8; SECTOR]) -> bool {
    let serial = field::<4>(sector, 14);
    serial != [0; 4] && sector[18..COVERED].chunks(4).any(|other| other == serial)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Sample, member, members_in_noise};
    use super::*;

    const SIZE: u64 = (1 << 20) + 511;
    const PLACE: u64 = (1 << 20) - 512;

    fn put_sum(block: &mut [u8]) {
        block[50] = block[..50].iter().fold(0, |sum, byte| sum.wrapping_add(*byte));
    }

    fn block() -> [u8; SECTOR] {
        let mut block = [0; SECTOR];
        block[..6].copy_from_slice(&[0x55, 0xaa, 1, 1 << 3 | 4, 2 << 2, 2]);
        block[14..18].copy_from_slice(b"same");
        block[18..26].copy_from_slice(b"nonesame");
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
        assert_eq!(member.to_string(), "active device 1 of via 1 array, raid1 of 2 devices");
        assert_eq!((member.offset, member.is_weak), (PLACE, true));
        assert_eq!(changed(4, &[1 << 2]).unwrap().role, Some(Role::Spare));
        assert_eq!(changed(4, &[0]).unwrap().role, Some(Role::Active(0)));
        let striped = changed(3, &[4, 3 << 2, 4]).unwrap();
        assert_eq!(
            (striped.level.as_deref(), striped.role, striped.members),
            (Some("raid0"), Some(Role::Active(3)), Some(4))
        );
        assert_eq!(changed(2, &[3]), None);
        assert_eq!(changed(3, &[2 << 3]), None);
        assert_eq!(changed(14, b"else"), None);
    }

    #[test]
    fn bad_bytes() {
        let block = block();
        let sample = Sample { signature: &SIGNATURE, size: SIZE, place: PLACE, block: &block, put_sum };
        sample.survives(0..60);
        assert_eq!(sample.flips_that_matter(), (0..51).collect::<Vec<_>>());
    }

    /// A boot sector, or what a ROM begins with, is not enough.
    #[test]
    fn noise_is_no_member() {
        assert_eq!(members_in_noise(&SIGNATURE, SIZE, PLACE, &[(0, &[0x55, 0xaa, 1])]), 0);
        let mut zeros = [0; SECTOR];
        zeros[..2].copy_from_slice(&[0x55, 0xaa]);
        zeros[50] = 0xff;
        assert_eq!(member(&SIGNATURE, SIZE, &[(PLACE, &zeros)]), None);
    }
}
