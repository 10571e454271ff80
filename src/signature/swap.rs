//! Swap space, also with a suspended system on it.

use super::{Class, Known, Look, Member, Signature, Trouble, When, field, padded, uuid_text};

pub(super) const SIGNATURE: Signature = Signature {
    format: "swap",
    looks: &[
        Look { when: When::Always, at: |known| first(known, &[4 << 10, 8 << 10]) },
        Look { when: When::Asked, at: |known| first(known, &[16 << 10, 32 << 10, 64 << 10]) },
    ],
};

/// blkid knows of no smaller ones.
const MIN_SIZE: u64 = 40 << 10;
const HEADER: u64 = 1024;

/// What the first page ends with, and the version that blkid calls it.
const MAGICS: [(&[u8], &str); 6] = [
    (b"SWAPSPACE2", "1"),
    (b"SWAP-SPACE", "0"),
    (b"S1SUSPEND", "s1suspend"),
    (b"S2SUSPEND", "s2suspend"),
    (b"ULSUSPEND", "ulsuspend"),
    (b"LINHIB0001", "linhib0001"),
];

/// What there is by the end of a first page of one of these sizes.
fn first(known: &Known, page_sizes: &[u64]) -> Result<Option<Member>, Trouble> {
    if known.size() < MIN_SIZE {
        return Ok(None);
    }
    for page_size in page_sizes {
        let Some(place) = page_size.checked_sub(10) else { continue };
        let Some(end) = known.block::<10>(place)? else { return Ok(None) };
        if let Some((_, version)) = MAGICS.iter().find(|(magic, _)| end.starts_with(magic)) {
            return header(known, place, version);
        }
    }
    Ok(None)
}

/// The header, `union swap_header` in Linux' `include/linux/swap.h`, in the byte order of the host
/// that made it. Version 0 has none.
///
/// | offset | size | field | meaning |
/// |---|---|---|---|
/// | 0 | 4 | version | 1 |
/// | 4 | 4 | last_page | not 0 |
/// | 12 | 16 | sws_uuid | |
/// | 28 | 16 | sws_volume | label |
fn header(known: &Known, place: u64, version: &str) -> Result<Option<Member>, Trouble> {
    let Some(header) = known.block::<44>(HEADER)? else { return Ok(None) };
    let stated = field::<4>(header, 0);
    let is_good = [u32::from_le_bytes(stated), u32::from_be_bytes(stated)].contains(&1) && header[4..8] != [0; 4];
    if version == "1" && !is_good {
        return Ok(None);
    }
    let has_header = version != "0";
    Ok(Some(Member {
        format: SIGNATURE.format,
        class: Class::Other,
        version: version.into(),
        offset: place,
        uuid: uuid_text(field(header, 12)).filter(|_| has_header),
        name: padded(&header[28..]).filter(|_| has_header),
        is_weak: true,
        ..Member::default()
    }))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Pieces, look, look_for, member};
    use super::super::{Medium, Member};
    use super::*;

    const SIZE: u64 = 1 << 20;

    fn header_block() -> [u8; 44] {
        let mut header = [0; 44];
        header[0] = 1;
        header[5] = 1;
        header[12..28].fill(0x11);
        header[28..33].copy_from_slice(b"label");
        header
    }

    #[test]
    fn members() {
        let found = |pieces: Pieces| member(&SIGNATURE, SIZE, pieces).as_ref().map(Member::to_string);
        let words = "swap 1 label (11111111-1111-1111-1111-111111111111)";
        for page_size in [4_u64 << 10, 8 << 10, 16 << 10, 32 << 10, 64 << 10] {
            let end = (page_size - 10, &b"SWAPSPACE2"[..]);
            assert_eq!(found(&[(1024, &header_block()), end]).as_deref(), Some(words));
            assert_eq!(found(&[end]), None, "a page without a header");
            assert_eq!(found(&[(page_size - 10, b"SWAP-SPACE")]).as_deref(), Some("swap 0"));
            assert_eq!(found(&[(page_size - 10, b"S1SUSPEND")]).as_deref(), Some("swap s1suspend"));
            let known = Known::new(Medium { size: SIZE, is_partition: false });
            let at_once = look_for(&SIGNATURE, When::Always, known, &[(1024, &header_block()), end]).members.len();
            assert_eq!(at_once, usize::from(page_size <= 8 << 10));
        }
        let mut big = header_block();
        big[..8].copy_from_slice(&[0, 0, 0, 1, 0, 0, 1, 0]);
        assert_eq!(found(&[(1024, &big), (4086, b"SWAPSPACE2")]).as_deref(), Some(words));
        assert_eq!(look(&SIGNATURE, MIN_SIZE - 1, &[(1024, &big), (4086, b"SWAPSPACE2")]).members, []);
    }

    #[test]
    fn no_field_is_trusted() {
        for at in 0..44 {
            for value in [0, 1, 0x7f, 0x80, 0xff] {
                let mut header = header_block();
                header[at] = value;
                let found = member(&SIGNATURE, SIZE, &[(1024, &header), (4086, b"SWAPSPACE2")]);
                assert!(found.is_some() || at < 8, "{at}");
            }
        }
    }
}
