//! Encrypted by LUKS.

use super::{ByteRange, Class, Known, Look, Member, Signature, Trouble, When, field, if_readable, padded};
use sha2::{Digest, Sha256};

pub(super) const SIGNATURE: Signature = Signature {
    format: "luks",
    looks: &[Look { when: When::Always, at: primary }, Look { when: When::Asked, at: secondary }],
};

const LENGTH: usize = 512;
/// Of a header of version 2 with its text.
const USUAL_LENGTH: usize = 16 << 10;
const MAGIC: &[u8; 6] = b"LUKS\xba\xbe";

/// Of the second header of version 2, which is at one of these places.
const SECOND_MAGIC: &[u8; 6] = b"SKUL\xba\xbe";
const SECOND_PLACES: [u64; 9] =
    [16 << 10, 32 << 10, 64 << 10, 128 << 10, 256 << 10, 512 << 10, 1 << 20, 2 << 20, 4 << 20];

fn primary(known: &Known) -> Result<Option<Member>, Trouble> {
    header(known, 0, MAGIC)
}

/// Where the first has been overwritten.
fn secondary(known: &Known) -> Result<Option<Member>, Trouble> {
    if header(known, 0, MAGIC)?.is_some() {
        return Ok(None);
    }
    for place in SECOND_PLACES {
        if let Some(member) = header(known, place, SECOND_MAGIC)? {
            return Ok(Some(member));
        }
    }
    Ok(None)
}

/// The header, `struct luks_phdr` and `struct luks2_hdr_disk` of cryptsetup, big-endian.
///
/// | offset | size | field | meaning |
/// |---|---|---|---|
/// | 0 | 6 | magic | |
/// | 6 | 2 | version | |
/// | 8 | 8 | hdr_size | of version 2, as all that follow but the uuid: with its text, in bytes |
/// | 24 | 48 | label | padded with NUL |
/// | 72 | 32 | checksum_alg | `sha256` |
/// | 168 | 40 | uuid | text |
/// | 256 | 8 | hdr_offset | where this is |
/// | 448 | 64 | csum | of all that `hdr_size` says, without this |
fn header(known: &Known, place: u64, magic: &[u8; 6]) -> Result<Option<Member>, Trouble> {
    let Some(header) = known.block::<LENGTH>(place)?.filter(|header| header.starts_with(magic)) else {
        return Ok(None);
    };
    let version = u16::from_be_bytes(field(header, 6));
    if version == 2 && u64::from_be_bytes(field(header, 256)) != place {
        return Ok(None);
    }
    let is_proven = version == 2 && is_proven(known, header, place)?;
    Ok(Some(Member {
        format: SIGNATURE.format,
        class: Class::Other,
        version: version.to_string(),
        offset: place,
        uuid: padded(&header[168..208]).map(|uuid| uuid.escape_ascii().to_string()),
        name: padded(&header[24..72]).filter(|_| version == 2),
        is_weak: !is_proven,
        ..Member::default()
    }))
}

/// Whether the checksum of a header of version 2 is right, if it is not larger than cryptsetup makes it
/// where nobody asks for more.
fn is_proven(known: &Known, header: &[u8; LENGTH], place: u64) -> Result<bool, Trouble> {
    let length = usize::try_from(u64::from_be_bytes(field(header, 8))).unwrap_or(usize::MAX);
    let is_usual = length <= USUAL_LENGTH && header[72..].starts_with(b"sha256\0");
    let whole = if is_usual { if_readable(known, ByteRange { offset: place, length })? } else { None };
    let Some((first, rest)) = whole.and_then(|whole| whole.split_first_chunk::<LENGTH>()) else { return Ok(false) };
    let sum = Sha256::new().chain_update(&first[..448]).chain_update([0; 64]).chain_update(rest).finalize();
    Ok(header[448..480] == sum[..])
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Sample, look, member};
    use super::*;

    const SIZE: u64 = 8 << 20;
    const UUID: &[u8; 36] = b"331e7ad1-a8bb-4bef-aeae-60856be7525e";

    fn put_sum(block: &mut [u8]) {
        let mut whole = block.to_vec();
        whole.resize(16 << 10, 0);
        whole[448..512].fill(0);
        block[448..480].copy_from_slice(&Sha256::digest(whole));
    }

    fn block(version: u8, place: u64) -> [u8; LENGTH] {
        let mut block = [0; LENGTH];
        block[..6].copy_from_slice(if place == 0 { MAGIC } else { SECOND_MAGIC });
        block[7] = version;
        block[168..204].copy_from_slice(UUID);
        if version == 2 {
            block[8..16].copy_from_slice(&(16_u64 << 10).to_be_bytes());
            block[24..29].copy_from_slice(b"label");
            block[72..78].copy_from_slice(b"sha256");
            block[256..264].copy_from_slice(&place.to_be_bytes());
            put_sum(&mut block);
        }
        block
    }

    #[test]
    fn members() {
        let first = member(&SIGNATURE, SIZE, &[(0, &block(1, 0))]).unwrap();
        assert_eq!(first.to_string(), "luks 1 (331e7ad1-a8bb-4bef-aeae-60856be7525e)");
        assert!(first.is_weak);
        let second = block(2, 0);
        for place in [0].into_iter().chain(SECOND_PLACES) {
            let found = look(&SIGNATURE, SIZE, &[(place, &block(2, place))]).members;
            assert_eq!(found.len(), 1);
            assert_eq!(found[0].to_string(), "luks 2 label (331e7ad1-a8bb-4bef-aeae-60856be7525e)");
            assert_eq!(found[0].offset, place);
        }
        assert_eq!(member(&SIGNATURE, SIZE, &[(4096, &second)]), None);
        let both = look(&SIGNATURE, SIZE, &[(0, &second), (16 << 10, &block(2, 16 << 10))]);
        assert_eq!(both.members.len(), 1, "the second is asked where there is no first");
    }

    #[test]
    fn a_checksum_proves_a_header_of_the_usual_size() {
        let weak = |block: &[u8]| {
            let mut known = Known::new(super::super::Medium { size: SIZE, is_partition: false });
            let mut head = vec![0; 16 << 10];
            head[..block.len()].copy_from_slice(block);
            known.put(ByteRange { offset: 0, length: head.len() }, Ok(&head));
            primary(&known).unwrap().unwrap().is_weak
        };
        let mut block = block(2, 0);
        assert!(!weak(&block));
        block[100] ^= 1;
        assert!(weak(&block));
        for size in [0, 511, 4096, 16 << 10, 32 << 10, u64::MAX] {
            block[8..16].copy_from_slice(&size.to_be_bytes());
            assert!(weak(&block));
        }
    }

    #[test]
    fn bad_bytes() {
        for (version, matter) in [(1, (0..6).collect::<Vec<_>>()), (2, (0..6).chain(256..264).collect())] {
            let block = block(version, 0);
            let sample = Sample { signature: &SIGNATURE, size: SIZE, place: 0, block: &block, put_sum };
            sample.survives((0..30).chain(70..80).chain(160..170).chain(250..265));
            assert_eq!(sample.flips_that_matter(), matter);
        }
    }
}
