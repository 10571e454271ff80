//! Devices of a pool of ZFS, which has four labels on each: two at the start, two at the end.

use super::{Class, Known, Look, Member, Signature, Trouble, When, field};

pub(super) const SIGNATURE: Signature = Signature { format: "zfs", looks: &[Look { when: When::Asked, at: labels }] };

const LABEL: u64 = 256 << 10;
const LABEL_LENGTH: usize = 256 << 10;

/// ZFS takes no smaller devices.
const MIN_SIZE: u64 = 64 << 20;

/// In a label: name-value pairs up to the ring of uberblocks.
const PAIRS: usize = 16 << 10;
const RING: usize = 128 << 10;
const UBERBLOCK: usize = 1 << 10;
const MAGIC: u64 = 0x00ba_b10c;

/// A single uberblock may be left over from something else.
const UBERBLOCKS_WANTED: usize = 4;

/// The pool by the label in which so many uberblocks have been found.
///
/// | offset | size | field | meaning |
/// |---|---|---|---|
/// | 16384 | 114688 | | name-value pairs |
/// | 131072 | 131072 | | uberblocks, each 1024 bytes or a multiple |
///
/// and of each uberblock, in the byte order of the host that made it,
///
/// | offset | size | field | meaning |
/// |---|---|---|---|
/// | 0 | 8 | ub_magic | bab10c |
/// | 8 | 8 | ub_version | |
fn labels(known: &Known) -> Result<Option<Member>, Trouble> {
    if known.size() < MIN_SIZE {
        return Ok(None);
    }
    let end = known.size() & !(LABEL - 1);
    let mut uberblocks = 0_usize;
    for offset in [0, LABEL, end.saturating_sub(2 * LABEL), end.saturating_sub(LABEL)] {
        let Some(label) = known.block::<LABEL_LENGTH>(offset)? else { continue };
        let versions = label[RING..].chunks(UBERBLOCK).filter_map(uberblock).collect::<Vec<_>>();
        uberblocks = uberblocks.saturating_add(versions.len());
        let Some(version) = versions.last().filter(|_| uberblocks >= UBERBLOCKS_WANTED) else { continue };
        let pairs = &label[PAIRS..RING];
        return Ok(Some(Member {
            format: SIGNATURE.format,
            class: Class::Other,
            version: version.to_string(),
            offset,
            uuid: number(pairs, b"pool_guid").map(|guid| guid.to_string()),
            name: string(pairs, b"name"),
            is_weak: true,
            ..Member::default()
        }));
    }
    Ok(None)
}

/// Its version.
fn uberblock(bytes: &[u8]) -> Option<u64> {
    [u64::from_le_bytes, u64::from_be_bytes]
        .into_iter()
        .find(|decode| decode(field(bytes, 0)) == MAGIC)
        .map(|decode| decode(field(bytes, 8)))
}

const NUMBER: u32 = 8;
const STRING: u32 = 9;

fn number(pairs: &[u8], name: &[u8]) -> Option<u64> {
    value(pairs, name, NUMBER)?.first_chunk().map(|bytes| u64::from_be_bytes(*bytes))
}

fn string(pairs: &[u8], name: &[u8]) -> Option<Vec<u8>> {
    let value = value(pairs, name, STRING)?;
    let length = usize::try_from(u32::from_be_bytes(*value.first_chunk()?)).ok()?;
    value.get(4..)?.get(..length).map(<[u8]>::to_vec)
}

/// What the pair with this name and kind has. The pairs are big-endian, begin after 12 bytes and
/// end with a length of 0. In each:
///
/// | offset | size | field | meaning |
/// |---|---|---|---|
/// | 0 | 4 | length | of the pair |
/// | 8 | 4 | name length | |
/// | 12 | | name | padded with NUL to 4 bytes |
/// | | 4 | kind | 8 a number, 9 a string |
/// | | 4 | count | |
/// | | | value | of a string, its length first |
fn value<'a>(pairs: &'a [u8], name: &[u8], kind: u32) -> Option<&'a [u8]> {
    let word = |bytes: &[u8], at: usize| bytes.get(at..)?.first_chunk().map(|word| u32::from_be_bytes(*word));
    let mut rest = pairs.get(12..)?;
    loop {
        let length = usize::try_from(word(rest, 0)?).ok().filter(|length| *length > 12)?;
        let (pair, next) = rest.split_at_checked(length)?;
        let name_length = usize::try_from(word(pair, 8)?).ok()?;
        let rest_of_pair = pair.get(12..)?;
        let found = rest_of_pair.get(..name_length)?;
        let value = rest_of_pair.get(name_length.checked_next_multiple_of(4)?..)?;
        if found == name && word(value, 0)? == kind {
            return value.get(8..);
        }
        rest = next;
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{look, member};
    use super::*;

    const SIZE: u64 = (64 << 20) + 1000;

    fn pair(name: &[u8], kind: u32, value: &[u8]) -> Vec<u8> {
        let mut out = [[0; 8].as_slice(), &u32::try_from(name.len()).unwrap().to_be_bytes(), name].concat();
        out.resize(out.len().next_multiple_of(4), 0);
        out.extend([kind.to_be_bytes(), 1_u32.to_be_bytes()].concat());
        out.extend(value);
        out.resize(out.len().next_multiple_of(4), 0);
        let length = u32::try_from(out.len()).unwrap();
        out[..4].copy_from_slice(&length.to_be_bytes());
        out
    }

    fn pairs() -> Vec<u8> {
        let name = [&4_u32.to_be_bytes()[..], b"pool"].concat();
        let pairs =
            [pair(b"version", 8, &[0; 8]), pair(b"name", 9, &name), pair(b"pool_guid", 8, &77_u64.to_be_bytes())];
        [&[0; 12][..], &pairs.concat(), &[0; 8]].concat()
    }

    fn uberblocks(magic: [u8; 8], version: [u8; 8]) -> Vec<u8> {
        let mut ring = vec![0; 20 << 10];
        for number in 0..5 {
            ring[number * 4096..][..16].copy_from_slice(&[magic, version].concat());
        }
        ring
    }

    #[test]
    fn a_member_by_any_label_in_either_byte_order() {
        let little = uberblocks(MAGIC.to_le_bytes(), 28_u64.to_le_bytes());
        let big = uberblocks(MAGIC.to_be_bytes(), 28_u64.to_be_bytes());
        for ring in [&little, &big] {
            for label in [0, LABEL, (64 << 20) - 2 * LABEL, (64 << 20) - LABEL] {
                let pieces: [(u64, &[u8]); 2] = [(label + (16 << 10), &pairs()), (label + (128 << 10), ring)];
                let found = member(&SIGNATURE, SIZE, &pieces).unwrap();
                assert_eq!(found.to_string(), "zfs 28 pool (77)");
                assert_eq!(found.offset, label);
                assert_eq!(look(&SIGNATURE, MIN_SIZE - 1, &pieces).members, []);
            }
        }
        let three = &little[..9 << 10];
        assert_eq!(member(&SIGNATURE, SIZE, &[(128 << 10, three)]), None);
        let beyond = (LABEL + (128 << 10), &little[..1 << 10]);
        assert!(member(&SIGNATURE, SIZE, &[(128 << 10, three), beyond]).is_some(), "four in two labels");
    }

    #[test]
    fn no_pair_is_trusted() {
        let good = pairs();
        assert_eq!(string(&good, b"name").as_deref(), Some(&b"pool"[..]));
        assert_eq!(number(&good, b"pool_guid"), Some(77));
        assert_eq!(number(&good, b"name"), None);
        assert_eq!(string(&good, b"nam"), None);
        for at in 0..good.len() {
            assert!(string(&good[..at], b"name").is_none_or(|name| name == b"pool"));
            for value in [0, 1, 0x7f, 0x80, 0xff] {
                for width in [1, 4] {
                    let mut pairs = good.clone();
                    pairs.iter_mut().skip(at).take(width).for_each(|byte| *byte = value);
                    string(&pairs, b"name");
                    number(&pairs, b"pool_guid");
                }
            }
        }
    }
}
