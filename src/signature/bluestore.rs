//! Devices of an OSD of Ceph, which keeps its objects on them by BlueStore.

use super::{Class, Known, Look, Member, SECTOR, Signature, Trouble, When};

pub(super) const SIGNATURE: Signature =
    Signature { format: "bluestore", looks: &[Look { when: When::Always, at: label }] };

const MAGIC: &[u8] = b"bluestore block device\n";

/// The label.
///
/// | offset | size | field | meaning |
/// |---|---|---|---|
/// | 0 | 23 | magic | `bluestore block device` and a line end |
/// | 23 | 36 | uuid | the OSD's, text |
fn label(known: &Known) -> Result<Option<Member>, Trouble> {
    let Some(sector) = known.block::<SECTOR>(0)?.filter(|sector| sector.starts_with(MAGIC)) else { return Ok(None) };
    let uuid = std::str::from_utf8(&sector[23..59]).ok();
    let uuid = uuid.filter(|uuid| uuid.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-'));
    Ok(Some(Member {
        format: SIGNATURE.format,
        class: Class::Other,
        uuid: uuid.map(str::to_string),
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
        block[..59].copy_from_slice(b"bluestore block device\n331e7ad1-a8bb-4bef-aeae-60856be7525e");
        let found = member(&SIGNATURE, 4096, &[(0, &block)]).unwrap();
        assert_eq!(found.to_string(), "bluestore (331e7ad1-a8bb-4bef-aeae-60856be7525e)");
        let sample = Sample { signature: &SIGNATURE, size: 4096, place: 0, block: &block, put_sum: |_| {} };
        sample.survives(0..60);
        assert_eq!(sample.flips_that_matter(), (0..23).collect::<Vec<_>>());
        block[30] = 0xff;
        assert_eq!(member(&SIGNATURE, 4096, &[(0, &block)]).unwrap().uuid, None);
    }
}
