//! Members of arrays of HighPoint's controllers: those of series 45x have their superblock 11
//! sectors from the end, those of 37x 9 sectors from the start.

use super::{Class, Known, Look, Member, Role, SECTOR, SECTOR_SIZE, Signature, Trouble, When, field};

pub(super) const SIGNATURE: Signature = Signature {
    format: "highpoint",
    looks: &[Look { when: When::Labelled, at: series_45x }, Look { when: When::Labelled, at: series_37x }],
};

/// A disk that has failed.
const MAGIC_BAD: u32 = 0x5a78_16fd;
const MAGIC_45X: u32 = 0x5a78_16f3;
const MAGIC_37X: u32 = 0x5a78_16f0;
const MAX_DISKS: u8 = 8;
const SECTORS_FROM_END: u64 = 11;
const SECTORS_FROM_START: u64 = 9;

/// The superblock of series 45x, little-endian. It has no checksum.
///
/// | offset | size | field | meaning |
/// |---|---|---|---|
/// | 0 | 4 | magic | 5a7816f3, of a disk that has failed 5a7816fd |
/// | 4 | 4 | set | 0: a spare |
/// | 16 | 1 | type | 4 one behind the other, 5 striped, 6 mirrored |
/// | 17 | 1 | disks | |
/// | 18 | 1 | disk number | less than 8 |
/// | 32 | 1 | type above | 6 if striped sets are mirrored |
fn series_45x(known: &Known) -> Result<Option<Member>, Trouble> {
    let Some((place, sector)) = known.firmware_sector(SECTORS_FROM_END)? else { return Ok(None) };
    let level = match (sector[16], sector[32]) {
        (4, _) => Some("linear"),
        (5, 6) => Some("raid10"),
        (5, _) => Some("raid0"),
        (6, _) => Some("raid1"),
        _ => None,
    };
    let found = Found { series: "45x", place, magic: MAGIC_45X, disks: sector[17], number: sector[18], level };
    Ok(found.member(sector))
}

/// The superblock of series 37x, little-endian. It has no checksum.
///
/// | offset | size | field | meaning |
/// |---|---|---|---|
/// | 32 | 4 | magic | 5a7816f0, of a disk that has failed 5a7816fd |
/// | 36 | 4 | set | 0: a spare |
/// | 48 | 1 | disks | |
/// | 50 | 1 | type | 0 striped, 1 mirrored, 2 and 7 both, 3 and 6 one behind the other, 4 and 5 with parity |
/// | 51 | 1 | disk number | less than 8 |
fn series_37x(known: &Known) -> Result<Option<Member>, Trouble> {
    let place = SECTORS_FROM_START * SECTOR_SIZE;
    if known.firmware_place(SECTORS_FROM_START).is_none() {
        return Ok(None);
    }
    let Some(sector) = known.block::<SECTOR>(place)? else { return Ok(None) };
    let level = match sector[50] {
        0 => Some("raid0"),
        1 => Some("raid1"),
        2 | 7 => Some("raid10"),
        3 | 6 => Some("linear"),
        4 => Some("raid3"),
        5 => Some("raid5"),
        _ => None,
    };
    let found = Found { series: "37x", place, magic: MAGIC_37X, disks: sector[48], number: sector[51], level };
    Ok(found.member(&sector[32..]))
}

struct Found {
    series: &'static str,
    place: u64,
    magic: u32,
    disks: u8,
    number: u8,
    level: Option<&'static str>,
}

impl Found {
    /// What begins with the magic and the set.
    fn member(self, bytes: &[u8]) -> Option<Member> {
        let magic = u32::from_le_bytes(field(bytes, 0));
        if ![self.magic, MAGIC_BAD].contains(&magic) || self.number >= MAX_DISKS {
            return None;
        }
        let set = u32::from_le_bytes(field(bytes, 4));
        Some(Member {
            format: SIGNATURE.format,
            class: Class::FirmwareRaid,
            version: self.series.into(),
            offset: self.place,
            uuid: Some(format!("{set:08x}")),
            name: None,
            role: Some(match (magic, set) {
                (MAGIC_BAD, _) => Role::Faulty,
                (_, 0) => Role::Spare,
                _ => Role::Active(self.number.into()),
            }),
            level: self.level.map(str::to_string),
            members: Some(self.disks.into()),
            is_weak: true,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Sample, member, members_in_noise};
    use super::*;

    const SIZE: u64 = 1 << 20;
    const AT_45X: u64 = SIZE - 11 * 512;
    const AT_37X: u64 = 9 * 512;

    fn block(series: &str, changes: &[(usize, u8)]) -> [u8; 512] {
        let mut block = [0; 512];
        if series == "45x" {
            block[..5].copy_from_slice(&[0xf3, 0x16, 0x78, 0x5a, 1]);
            block[16..19].copy_from_slice(&[6, 2, 1]);
        } else {
            block[32..37].copy_from_slice(&[0xf0, 0x16, 0x78, 0x5a, 1]);
            block[48..52].copy_from_slice(&[2, 0, 1, 1]);
        }
        changes.iter().for_each(|(at, byte)| block[*at] = *byte);
        block
    }

    #[test]
    fn members() {
        let found = |series: &str, place, changes: &[(usize, u8)]| {
            member(&SIGNATURE, SIZE, &[(place, &block(series, changes))])
        };
        let role = |series, place, changes: &[(usize, u8)]| found(series, place, changes).unwrap().role.unwrap();
        for (series, place, magic) in [("45x", AT_45X, 0), ("37x", AT_37X, 32)] {
            let member = found(series, place, &[]).unwrap();
            assert_eq!(
                member.to_string(),
                format!("active device 1 of highpoint {series} array (00000001), raid1 of 2 devices")
            );
            assert_eq!((member.offset, member.is_weak), (place, true));
            assert_eq!(role(series, place, &[(magic, 0xfd)]), Role::Faulty);
            assert_eq!(role(series, place, &[(magic + 4, 0)]), Role::Spare);
        }
        assert_eq!(found("45x", AT_37X, &[]), None);
        assert_eq!(found("45x", AT_45X, &[(18, 8)]), None);
        assert_eq!(found("37x", AT_37X, &[(51, 8)]), None);
        assert_eq!(found("45x", AT_45X, &[(16, 5), (32, 6)]).unwrap().level.as_deref(), Some("raid10"));
        assert_eq!(found("37x", AT_37X, &[(50, 5)]).unwrap().level.as_deref(), Some("raid5"));
    }

    #[test]
    fn bad_bytes() {
        for (series, place) in [("45x", AT_45X), ("37x", AT_37X)] {
            let block = block(series, &[]);
            let sample = Sample { signature: &SIGNATURE, size: SIZE, place, block: &block, put_sum: |_| {} };
            sample.survives(0..60);
            let magic = if series == "45x" { 0 } else { 32 };
            let number = if series == "45x" { 18 } else { 51 };
            assert_eq!(sample.flips_that_matter(), (magic..magic + 4).chain([number]).collect::<Vec<_>>());
            assert_eq!(members_in_noise(&SIGNATURE, SIZE, place, &[]), 0);
        }
    }
}
