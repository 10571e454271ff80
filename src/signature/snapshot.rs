//! What device-mapper's snapshots keep their changes on.

use super::{Class, Known, Look, Member, Signature, Trouble, When, field};

pub(super) const SIGNATURE: Signature =
    Signature { format: "snapshot", looks: &[Look { when: When::Always, at: header }] };

/// `struct disk_header` in Linux' `drivers/md/dm-snap-persistent.c`, little-endian.
///
/// | offset | size | field | meaning |
/// |---|---|---|---|
/// | 0 | 4 | magic | `SnAp` |
/// | 4 | 4 | valid | |
/// | 8 | 4 | version | |
fn header(known: &Known) -> Result<Option<Member>, Trouble> {
    let Some(header) = known.block::<12>(0)?.filter(|header| header.starts_with(b"SnAp")) else { return Ok(None) };
    Ok(Some(Member {
        format: SIGNATURE.format,
        class: Class::Other,
        version: u32::from_le_bytes(field(header, 8)).to_string(),
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
        let block = b"SnAp\x01\0\0\0\x01\0\0\0";
        assert_eq!(member(&SIGNATURE, 4096, &[(0, block)]).unwrap().to_string(), "snapshot 1");
        let sample = Sample { signature: &SIGNATURE, size: 4096, place: 0, block, put_sum: |_| {} };
        sample.survives(0..12);
        assert_eq!(sample.flips_that_matter(), [0, 1, 2, 3]);
    }
}
