//! What VDO keeps its compressed data on.

use super::{Class, Known, Look, Member, Signature, Trouble, When, field, uuid_text};

pub(super) const SIGNATURE: Signature =
    Signature { format: "vdo", looks: &[Look { when: When::Always, at: geometry }] };

/// The geometry block.
///
/// | offset | size | field | meaning |
/// |---|---|---|---|
/// | 0 | 8 | magic | `dmvdo001` |
/// | 40 | 16 | uuid | |
fn geometry(known: &Known) -> Result<Option<Member>, Trouble> {
    let Some(block) = known.block::<56>(0)?.filter(|block| block.starts_with(b"dmvdo001")) else { return Ok(None) };
    Ok(Some(Member {
        format: SIGNATURE.format,
        class: Class::Other,
        uuid: uuid_text(field(block, 40)),
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
        let mut block = [0; 56];
        block[..8].copy_from_slice(b"dmvdo001");
        block[40..].fill(0x22);
        let found = member(&SIGNATURE, 4096, &[(0, &block)]).unwrap();
        assert_eq!(found.to_string(), "vdo (22222222-2222-2222-2222-222222222222)");
        let sample = Sample { signature: &SIGNATURE, size: 4096, place: 0, block: &block, put_sum: |_| {} };
        sample.survives(0..56);
        assert_eq!(sample.flips_that_matter(), [0, 1, 2, 3, 4, 5, 6, 7]);
    }
}
