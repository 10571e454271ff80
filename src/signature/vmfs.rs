//! Devices of a volume of VMware's VMFS.

use super::{Class, Known, Look, Member, Signature, Trouble, When, field, padded};

pub(super) const SIGNATURE: Signature =
    Signature { format: "vmfs", looks: &[Look { when: When::Asked, at: volume_info }] };

const PLACE: u64 = 1 << 20;
const MAGIC: [u8; 4] = [0x0d, 0xd0, 0x01, 0xc0];

/// The volume information, little-endian.
///
/// | offset | size | field | meaning |
/// |---|---|---|---|
/// | 0 | 4 | magic | c001d00d |
/// | 4 | 4 | version | |
/// | 532 | 35 | uuid | of the volume, text |
fn volume_info(known: &Known) -> Result<Option<Member>, Trouble> {
    let Some(block) = known.block::<1024>(PLACE)?.filter(|block| block.starts_with(&MAGIC)) else { return Ok(None) };
    Ok(Some(Member {
        format: SIGNATURE.format,
        class: Class::Other,
        version: u32::from_le_bytes(field(block, 4)).to_string(),
        offset: PLACE,
        uuid: padded(&block[532..567]).map(|uuid| uuid.escape_ascii().to_string()),
        is_weak: true,
        ..Member::default()
    }))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Sample, member};
    use super::*;

    #[test]
    fn a_member() {
        let mut block = [0; 1024];
        block[..5].copy_from_slice(&[0x0d, 0xd0, 0x01, 0xc0, 4]);
        block[532..567].copy_from_slice(b"4cc6e7d5-11223344-5566-778899aabbcc");
        let found = member(&SIGNATURE, 2 << 20, &[(PLACE, &block)]).unwrap();
        assert_eq!(found.to_string(), "vmfs 4 (4cc6e7d5-11223344-5566-778899aabbcc)");
        assert_eq!(found.offset, PLACE);
        let sample = Sample { signature: &SIGNATURE, size: 2 << 20, place: PLACE, block: &block, put_sum: |_| {} };
        sample.survives((0..10).chain(530..570));
        assert_eq!(sample.flips_that_matter(), [0, 1, 2, 3]);
    }
}
