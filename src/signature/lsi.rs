//! Members of arrays of LSI's MegaRAID IDE, which have their superblock in the last sector.

use super::{Class, Known, Look, Member, Role, Signature, Trouble, When, field};

pub(super) const SIGNATURE: Signature =
    Signature { format: "lsi", looks: &[Look { when: When::Labelled, at: superblock }] };

const MAGIC: &[u8] = b"$XIDE$";

/// The superblock, little-endian, as far as it is known. It has no checksum.
///
/// | offset | size | field | meaning |
/// |---|---|---|---|
/// | 0 | 6 | magic | `$XIDE$` |
/// | 16 | 1 | type | 1 striped, 2 mirrored, 3 both |
/// | 496 | 1 | disk number | in its set |
/// | 497 | 1 | set number | of sets of two disks |
/// | 498 | 4 | set id | |
fn superblock(known: &Known) -> Result<Option<Member>, Trouble> {
    let Some((place, sector)) = known.firmware_sector(1)? else { return Ok(None) };
    if !sector.starts_with(MAGIC) {
        return Ok(None);
    }
    let level = match sector[16] {
        1 => Some("raid0"),
        2 => Some("raid1"),
        3 => Some("raid10"),
        _ => None,
    };
    Ok(Some(Member {
        format: SIGNATURE.format,
        class: Class::FirmwareRaid,
        version: String::new(),
        offset: place,
        uuid: Some(format!("{:08x}", u32::from_le_bytes(field(sector, 498)))),
        name: None,
        role: Some(Role::Active(u32::from(sector[497]).saturating_mul(2).saturating_add(sector[496].into()))),
        level: level.map(str::to_string),
        members: None,
        is_weak: true,
    }))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Sample, member};
    use super::*;

    #[test]
    fn a_member() {
        let mut block = [0; 512];
        block[..6].copy_from_slice(MAGIC);
        block[16] = 3;
        block[496..502].copy_from_slice(&[1, 1, 4, 3, 2, 1]);
        let (size, place) = ((1 << 20) + 511, (1 << 20) - 512);
        let member = member(&SIGNATURE, size, &[(place, &block)]).unwrap();
        assert_eq!(member.to_string(), "active device 3 of lsi array (01020304), raid10");
        assert_eq!((member.offset, member.is_weak), (place, true));
        let sample = Sample { signature: &SIGNATURE, size, place, block: &block, put_sum: |_| {} };
        sample.survives((0..20).chain(490..512));
        assert_eq!(sample.flips_that_matter(), (0..6).collect::<Vec<_>>());
    }
}
