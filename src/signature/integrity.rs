//! What dm-integrity keeps data and their checksums on.

use super::{Class, Known, Look, Member, Signature, Trouble, When};

pub(super) const SIGNATURE: Signature =
    Signature { format: "integrity", looks: &[Look { when: When::Always, at: superblock }] };

/// `struct superblock` in Linux' `drivers/md/dm-integrity.c`, little-endian.
///
/// | offset | size | field | meaning |
/// |---|---|---|---|
/// | 0 | 8 | magic | `integrt` and a NUL |
/// | 8 | 1 | version | |
fn superblock(known: &Known) -> Result<Option<Member>, Trouble> {
    let Some(block) = known.block::<9>(0)?.filter(|block| block.starts_with(b"integrt\0")) else { return Ok(None) };
    Ok(Some(Member {
        format: SIGNATURE.format,
        class: Class::Other,
        version: block[8].to_string(),
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
        let block = b"integrt\0\x05";
        assert_eq!(member(&SIGNATURE, 4096, &[(0, block)]).unwrap().to_string(), "integrity 5");
        let sample = Sample { signature: &SIGNATURE, size: 4096, place: 0, block, put_sum: |_| {} };
        sample.survives(0..9);
        assert_eq!(sample.flips_that_matter(), [0, 1, 2, 3, 4, 5, 6, 7]);
    }
}
