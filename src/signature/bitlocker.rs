//! Encrypted by Windows' BitLocker.

use super::{Class, Known, Look, Member, SECTOR, Signature, Trouble, When};

pub(super) const SIGNATURE: Signature =
    Signature { format: "bitlocker", looks: &[Look { when: When::Always, at: boot_sector }] };

/// The boot sector.
///
/// | offset | size | field | meaning |
/// |---|---|---|---|
/// | 0 | 3 | jump | eb 52 90 by Windows Vista, eb 58 90 by later ones |
/// | 3 | 8 | signature | `-FVE-FS-` |
/// | 510 | 2 | | 55 aa |
fn boot_sector(known: &Known) -> Result<Option<Member>, Trouble> {
    let Some(sector) = known.block::<SECTOR>(0)? else { return Ok(None) };
    let jumps = sector[0] == 0xeb && matches!(sector[1], 0x52 | 0x58) && sector[2] == 0x90;
    let is_found = jumps && &sector[3..11] == b"-FVE-FS-" && sector[510..] == [0x55, 0xaa];
    let member = Member { format: SIGNATURE.format, class: Class::Other, is_weak: true, ..Member::default() };
    Ok(is_found.then_some(member))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Sample, member};
    use super::*;

    #[test]
    fn a_member() {
        for jump in [0x52, 0x58] {
            let mut block = [0; SECTOR];
            block[..11].copy_from_slice(b"\xeb\x00\x90-FVE-FS-");
            block[1] = jump;
            block[510..].copy_from_slice(&[0x55, 0xaa]);
            assert_eq!(member(&SIGNATURE, 4096, &[(0, &block)]).unwrap().to_string(), "bitlocker");
            let sample = Sample { signature: &SIGNATURE, size: 4096, place: 0, block: &block, put_sum: |_| {} };
            sample.survives((0..20).chain(500..512));
            assert_eq!(sample.flips_that_matter(), (0..11).chain(510..512).collect::<Vec<_>>());
        }
    }
}
