//! Devices of a pool of GFS, which LVM rejects by this alone, whatever label they have: not weak,
//! for all that it has no checksum.

use super::{Class, Known, Look, Member, SECTOR, Signature, Trouble, When, field, padded};

pub(super) const SIGNATURE: Signature =
    Signature { format: "gfs_pool", looks: &[Look { when: When::Always, at: label }] };

const MAGIC: u64 = 0x01_1670;

/// The pool label, big-endian.
///
/// | offset | size | field | meaning |
/// |---|---|---|---|
/// | 0 | 8 | magic | 11670 |
/// | 8 | 8 | pool id | |
/// | 16 | 256 | name | padded with NUL |
/// | 272 | 4 | version | |
fn label(known: &Known) -> Result<Option<Member>, Trouble> {
    let Some(sector) = known.block::<SECTOR>(0)? else { return Ok(None) };
    if u64::from_be_bytes(field(sector, 0)) != MAGIC {
        return Ok(None);
    }
    Ok(Some(Member {
        format: SIGNATURE.format,
        class: Class::Other,
        version: u32::from_be_bytes(field(sector, 272)).to_string(),
        uuid: Some(format!("{:016x}", u64::from_be_bytes(field(sector, 8)))),
        name: padded(&sector[16..272]),
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
        block[5..8].copy_from_slice(&[0x01, 0x16, 0x70]);
        block[15] = 0xab;
        block[16..20].copy_from_slice(b"pool");
        block[275] = 3;
        let member = member(&SIGNATURE, 4096, &[(0, &block)]).unwrap();
        assert_eq!(member.to_string(), "gfs_pool 3 pool (00000000000000ab)");
        let sample = Sample { signature: &SIGNATURE, size: 4096, place: 0, block: &block, put_sum: |_| {} };
        sample.survives(0..280);
        assert_eq!(sample.flips_that_matter(), [0, 1, 2, 3, 4, 5, 6, 7]);
    }
}
