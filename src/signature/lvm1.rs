//! PVs of LVM1. LVM could still read them up to 2.02.177; since then it rejects a device by this
//! alone, whatever label it has: not weak, for all that it has no checksum.

use super::{Class, Known, Look, Member, SECTOR, Signature, Trouble, When, field, padded};
use crate::id::Id;

pub(super) const SIGNATURE: Signature =
    Signature { format: "lvm1", looks: &[Look { when: When::Always, at: structure }] };

/// The beginning of `struct pv_disk` of LVM1, little-endian.
///
/// | offset | size | field | meaning |
/// |---|---|---|---|
/// | 0 | 2 | id | `HM` |
/// | 2 | 2 | version | 1 or 2 |
/// | 44 | 128 | pv_uuid | without hyphens: the first 32 |
/// | 172 | 128 | vg_name | padded with NUL |
fn structure(known: &Known) -> Result<Option<Member>, Trouble> {
    let Some(sector) = known.block::<SECTOR>(0)?.filter(|sector| sector.starts_with(b"HM")) else { return Ok(None) };
    let version = u16::from_le_bytes(field(sector, 2));
    if !matches!(version, 1 | 2) {
        return Ok(None);
    }
    let id = Id(field(sector, 44));
    Ok(Some(Member {
        format: SIGNATURE.format,
        class: Class::Other,
        version: version.to_string(),
        uuid: id.is_regular().then(|| id.to_string()),
        name: padded(&sector[172..300]),
        ..Member::default()
    }))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Sample, member};
    use super::*;

    #[test]
    fn a_member() {
        let mut block = [0; SECTOR];
        block[..3].copy_from_slice(b"HM\x01");
        block[44..76].fill(b'a');
        block[172..174].copy_from_slice(b"vg");
        let found = |block: &[u8]| member(&SIGNATURE, 4096, &[(0, block)]);
        let member = found(&block).unwrap();
        assert_eq!(member.to_string(), "lvm1 1 vg (aaaaaa-aaaa-aaaa-aaaa-aaaa-aaaa-aaaaaa)");
        assert!(!member.is_weak && member.why_no_pv().contains("2.02.178"));
        let sample = Sample { signature: &SIGNATURE, size: 4096, place: 0, block: &block, put_sum: |_| {} };
        sample.survives(0..310);
        assert_eq!(sample.flips_that_matter(), [0, 1, 2, 3]);
        block[2] = 2;
        assert_eq!(found(&block).unwrap().version, "2");
        block[44] = 0;
        assert_eq!(found(&block).unwrap().uuid, None);
    }
}
