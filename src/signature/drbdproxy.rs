//! The data log of DRBD Proxy, which holds what is still to be sent to the other site.

use super::{Class, Known, Look, Member, SECTOR, Signature, Trouble, When, field, uuid_text};

pub(super) const SIGNATURE: Signature =
    Signature { format: "drbdproxy", looks: &[Look { when: When::Always, at: log_header }] };

const MAGIC: &[u8] = b"DRBDdlh*";

/// The beginning of the log. It has no checksum.
///
/// | offset | size | field | meaning |
/// |---|---|---|---|
/// | 0 | 8 | magic | `DRBDdlh*` |
/// | 8 | 8 | version | little-endian |
/// | 16 | 16 | uuid | |
fn log_header(known: &Known) -> Result<Option<Member>, Trouble> {
    let Some(sector) = known.block::<SECTOR>(0)?.filter(|sector| sector.starts_with(MAGIC)) else { return Ok(None) };
    Ok(Some(Member {
        format: SIGNATURE.format,
        class: Class::Other,
        version: format!("v{}", u64::from_le_bytes(field(sector, 8))),
        uuid: uuid_text(field(sector, 16)),
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
        let mut block = [0; SECTOR];
        block[..9].copy_from_slice(b"DRBDdlh*\x02");
        block[16..32].fill(0x11);
        let found = |block: &[u8]| member(&SIGNATURE, 4096, &[(0, block)]);
        assert_eq!(found(&block).unwrap().to_string(), "drbdproxy v2 (11111111-1111-1111-1111-111111111111)");
        let sample = Sample { signature: &SIGNATURE, size: 4096, place: 0, block: &block, put_sum: |_| {} };
        sample.survives(0..40);
        assert_eq!(sample.flips_that_matter(), (0..8).collect::<Vec<_>>());
        block[16..32].fill(0);
        assert_eq!(found(&block).unwrap().uuid, None);
    }
}
