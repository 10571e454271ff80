//! Members of arrays of JMicron's controllers, which have their superblock in the last sector.

use super::sums::words_16;
use super::{Class, Known, Look, Member, Role, SECTOR, Signature, Trouble, When, field, padded};

pub(super) const SIGNATURE: Signature =
    Signature { format: "jmicron", looks: &[Look { when: When::Labelled, at: superblock }] };

const MEMBERS: usize = 8;

/// The rest is the number of a disk's segment.
const DISK_MASK: u32 = 0xffff_fff0;

/// The superblock, little-endian. It has two letters and a sum of 16 bits to know it by, which any
/// data may have: weak.
///
/// | offset | size | field | meaning |
/// |---|---|---|---|
/// | 0 | 2 | signature | `JM` |
/// | 2 | 1 | minor version | |
/// | 3 | 1 | major version | |
/// | 4 | 2 | checksum | what makes the sum of the 64 16-bit words 0, or 1 |
/// | 16 | 4 | identity | this disk's |
/// | 32 | 16 | name | |
/// | 48 | 1 | mode | 0 striped, 1 mirrored, 2 both, 3 one behind the other, 5 with parity |
/// | 56 | 8 | spares | identities |
/// | 64 | 32 | members | identities |
fn superblock(known: &Known) -> Result<Option<Member>, Trouble> {
    let Some((place, sector)) = known.firmware_sector(1)? else { return Ok(None) };
    if !sector.starts_with(b"JM") || words_16(&sector[..128]) > 1 {
        return Ok(None);
    }
    let level = match sector[48] {
        0 => "raid0",
        1 => "raid1",
        2 => "raid10",
        3 => "linear",
        5 => "raid5",
        _ => return Ok(None),
    };
    let members = members(sector);
    let (count, role) = role(&members, u32::from_le_bytes(field(sector, 16)));
    Ok(Some(Member {
        format: SIGNATURE.format,
        class: Class::FirmwareRaid,
        version: format!("{}.{}", sector[3], sector[2]),
        offset: place,
        uuid: None,
        name: padded(&sector[32..48]),
        role: Some(role),
        level: Some(level.into()),
        members: Some(count),
        is_weak: true,
    }))
}

fn members(sector: &[u8; SECTOR]) -> [u32; MEMBERS] {
    let words: [[u8; 4]; MEMBERS] =
        std::array::from_fn(|number| field(sector, number.saturating_mul(4).saturating_add(64)));
    words.map(u32::from_le_bytes)
}

/// How many there are, and which of them has this identity.
fn role(members: &[u32; MEMBERS], identity: u32) -> (u32, Role) {
    let mut count = 0;
    let mut role = Role::Spare;
    for (number, member) in (1_u32..).zip(members).filter(|(_, member)| **member != 0) {
        count = number;
        if (member ^ identity) & DISK_MASK == 0 {
            role = Role::Active(number.saturating_sub(1));
        }
    }
    (count, role)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Sample, member, members_in_noise};
    use super::*;

    const SIZE: u64 = (1 << 20) + 511;
    const PLACE: u64 = (1 << 20) - 512;

    fn put_sum(block: &mut [u8]) {
        block[4..6].fill(0);
        let sum = words_16(&block[..128]).wrapping_neg();
        block[4..6].copy_from_slice(&sum.to_le_bytes());
    }

    fn block() -> [u8; SECTOR] {
        let mut block = [0; SECTOR];
        block[..4].copy_from_slice(b"JM\x02\x01");
        block[17..19].copy_from_slice(&[7, 6]);
        block[32..37].copy_from_slice(b"array");
        block[48] = 1;
        block[65..67].copy_from_slice(&[5, 5]);
        block[69..71].copy_from_slice(&[7, 6]);
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
        assert_eq!(member.to_string(), "active device 1 of jmicron 1.2 array array, raid1 of 2 devices");
        assert_eq!((member.offset, member.is_weak), (PLACE, true));
        assert_eq!(changed(17, &[9]).unwrap().role, Some(Role::Spare));
        assert_eq!(changed(16, &[9]).unwrap().role, Some(Role::Active(1)), "another segment of the disk");
        assert_eq!(changed(48, &[4]), None);
        let mut one_more = block();
        one_more[4] += 1;
        assert!(super::super::testing::member(&SIGNATURE, SIZE, &[(PLACE, &one_more)]).is_some());
    }

    #[test]
    fn bad_bytes() {
        let block = block();
        let sample = Sample { signature: &SIGNATURE, size: SIZE, place: PLACE, block: &block, put_sum };
        sample.survives(0..SECTOR);
        assert_eq!(sample.flips_that_matter(), (0..128).collect::<Vec<_>>());
    }

    /// A sum of 16 bits that may be 0 or 1, and 5 modes of 256.
    #[test]
    fn noise_is_no_member() {
        assert_eq!(members_in_noise(&SIGNATURE, SIZE, PLACE, &[]), 0);
        assert!(members_in_noise(&SIGNATURE, SIZE, PLACE, &[(0, b"JM")]) <= 2);
    }
}
