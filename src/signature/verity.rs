//! The hashes by which dm-verity checks another device.

use super::{Class, Known, Look, Member, Signature, Trouble, When, field, uuid_text};

pub(super) const SIGNATURE: Signature =
    Signature { format: "verity", looks: &[Look { when: When::Always, at: superblock }] };

/// `struct verity_sb` of cryptsetup, little-endian.
///
/// | offset | size | field | meaning |
/// |---|---|---|---|
/// | 0 | 8 | signature | `verity` and two NULs |
/// | 8 | 4 | version | 1 |
/// | 12 | 4 | hash_type | |
/// | 16 | 16 | uuid | |
fn superblock(known: &Known) -> Result<Option<Member>, Trouble> {
    let Some(block) = known.block::<32>(0)?.filter(|block| block.starts_with(b"verity\0\0")) else { return Ok(None) };
    let version = u32::from_le_bytes(field(block, 8));
    Ok((version == 1).then(|| Member {
        format: SIGNATURE.format,
        class: Class::Other,
        version: version.to_string(),
        uuid: uuid_text(field(block, 16)),
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
        let block = b"verity\0\0\x01\0\0\0\x01\0\0\0aaaaaaaaaaaaaaaa";
        let found = member(&SIGNATURE, 4096, &[(0, block)]).unwrap();
        assert_eq!(found.to_string(), "verity 1 (61616161-6161-6161-6161-616161616161)");
        let sample = Sample { signature: &SIGNATURE, size: 4096, place: 0, block, put_sum: |_| {} };
        sample.survives(0..32);
        assert_eq!(sample.flips_that_matter(), (0..12).collect::<Vec<_>>());
    }
}
