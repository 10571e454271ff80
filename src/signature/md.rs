//! Members of MD arrays (Linux software RAID).
//!
//! | version | place of the superblock, on a device of N bytes |
//! |---|---|
//! | 0.90 | 64 KiB below N rounded down to 64 KiB |
//! | 1.0 | 8 KiB below N rounded down to 4 KiB |
//! | 1.1 | 0 |
//! | 1.2 | 4096 |
//!
//! LVM and blkid know them by their magic. It alone may be left over from something else, so here
//! the checksum has to be right as well, and the places it names have to be on the device.

use super::{Class, Known, Look, Member, Role, Signature, Trouble, When, field};
use crate::ondisk::{ByteRange, Error, Fields, SECTOR as SECTOR_BYTES};

pub(super) const SIGNATURE: Signature = Signature {
    format: "md",
    looks: &[
        Look { when: When::Always, at: version_1_1 },
        Look { when: When::Always, at: version_1_2 },
        Look { when: When::Labelled, at: version_0_90 },
        Look { when: When::Labelled, at: version_1_0 },
    ],
};

/// Either version's superblock is within a block of this size.
const BLOCK: usize = 4096;
const MAGIC: u32 = 0xa92b_4efc;
const KIB: u64 = 1 << 10;
/// As large as chunks are made. A superblock of version 0.90 with more before it than that may be of
/// an array in an LV that ends where the PV does: nothing in it says where it is.
const CHUNK_MAX: u64 = 1 << 20;
const SECTOR: u64 = 512;

fn version_0_90(known: &Known) -> Result<Option<Member>, Trouble> {
    let Some(place) = place_of_0_90(known.size()) else { return Ok(None) };
    // By far most devices have none, and its place is read for nothing else.
    match known.block::<SECTOR_BYTES>(place)? {
        Some(sector) if words_of_0_90(field(sector, 0)).is_some() => with_block(known, place, decode_0_90),
        _ => Ok(None),
    }
}

fn version_1_0(known: &Known) -> Result<Option<Member>, Trouble> {
    let Some(place) = (known.size() & !0xfff).checked_sub(8 * KIB) else { return Ok(None) };
    with_block(known, place, |block, place| decode_1(block, place, known.size(), "1.0"))
}

fn version_1_1(known: &Known) -> Result<Option<Member>, Trouble> {
    with_block(known, 0, |block, place| decode_1(block, place, known.size(), "1.1"))
}

fn version_1_2(known: &Known) -> Result<Option<Member>, Trouble> {
    with_block(known, 4 * KIB, |block, place| decode_1(block, place, known.size(), "1.2"))
}

fn place_of_0_90(device_size: u64) -> Option<u64> {
    (device_size & !0xffff).checked_sub(64 * KIB)
}

/// Decodes what is in the block at this place.
fn with_block(
    known: &Known,
    place: u64,
    decode: impl Fn(&[u8; BLOCK], u64) -> Result<Option<Member>, Damage>,
) -> Result<Option<Member>, Trouble> {
    match known.bytes(ByteRange { offset: place, length: BLOCK })?.and_then(|bytes| bytes.first_chunk()) {
        Some(block) => decode(block, place)
            .map_err(|Damage(what)| Trouble::Damaged(place, format!("MD superblock at {place}: {what}"))),
        None => Ok(None),
    }
}

/// What is wrong with a superblock.
struct Damage(String);

impl Damage {
    fn checksum(found: u32, stored: u32) -> Damage {
        Damage(format!("its checksum is {found:08x}, {stored:08x} is stored"))
    }
}

impl From<Error> for Damage {
    fn from(error: Error) -> Damage {
        Damage(error.to_string())
    }
}

/// No array has more members, and so no superblock more roles: they fill its block.
const MAX_ROLES: u32 = 1920;

/// The superblock of version 1, `struct mdp_superblock_1` in Linux' `raid/md_p.h`, little-endian.
///
/// | offset | size | field | meaning |
/// |---|---|---|---|
/// | 0 | 4 | magic | a92b4efc |
/// | 4 | 4 | major_version | 1 |
/// | 8 | 8 | feature_map, pad0 | |
/// | 16 | 16 | set_uuid | the array's |
/// | 32 | 32 | set_name | padded with NUL |
/// | 64 | 8 | ctime | |
/// | 72 | 4 | level | signed |
/// | 76 | 4 | layout | |
/// | 80 | 8 | size | used of each member, in sectors |
/// | 88 | 4 | chunksize | |
/// | 92 | 4 | raid_disks | |
/// | 96 | 32 | | bitmap and reshape |
/// | 128 | 8 | data_offset | in sectors |
/// | 136 | 8 | data_size | in sectors |
/// | 144 | 8 | super_offset | in sectors: where this is |
/// | 152 | 8 | recovery_offset | |
/// | 160 | 4 | dev_number | which of the roles is this device's |
/// | 164 | 52 | | times and counts |
/// | 216 | 4 | sb_csum | sum of the words of the superblock and its roles, without this one |
/// | 220 | 4 | max_dev | number of roles |
/// | 224 | 32 | pad3 | |
/// | 256 | 2 * max_dev | dev_roles | ffff spare, fffe faulty, fffd journal, else the number in the array |
fn decode_1(
    block: &[u8; BLOCK],
    place: u64,
    device_size: u64,
    version: &'static str,
) -> Result<Option<Member>, Damage> {
    let mut fields = Fields::new(block);
    if fields.u32()? != MAGIC || fields.u32()? != 1 {
        return Ok(None);
    }
    fields.bytes::<8>()?;
    let uuid = fields.bytes::<16>()?;
    let name = fields.bytes::<32>()?;
    fields.bytes::<8>()?;
    let level = fields.u32()?.cast_signed();
    fields.bytes::<16>()?;
    let members = fields.u32()?;
    fields.bytes::<32>()?;
    let data_offset = fields.u64()?;
    let data_size = fields.u64()?;
    let super_offset = fields.u64()?;
    fields.bytes::<8>()?;
    let dev_number = fields.u32()?;
    fields.bytes::<52>()?;
    let stored = fields.u32()?;
    let max_dev = fields.u32()?;
    fields.bytes::<32>()?;
    if max_dev > MAX_ROLES {
        return Err(Damage(format!("it has {max_dev} roles")));
    }
    let roles = (0..max_dev).map(|_| fields.bytes().map(u16::from_le_bytes)).collect::<Result<Vec<_>, _>>()?;
    let summed = block.get(..BLOCK.saturating_sub(fields.remaining())).unwrap_or_default();
    let found = sum_1(summed);
    if found != stored {
        return Err(Damage::checksum(found, stored));
    }
    if super_offset.checked_mul(SECTOR) != Some(place) {
        return Err(Damage(format!("it says that it belongs into sector {super_offset}")));
    }
    // The data are below the superblock, or behind it up to the end of the device.
    let data = if version == "1.0" { 0..place } else { place.saturating_add(SECTOR)..device_size };
    let end = data_offset.checked_add(data_size).and_then(|end| end.checked_mul(SECTOR));
    if data_offset < data.start / SECTOR || end.is_none_or(|end| end > data.end) {
        return Err(Damage(format!("its data are said to be {data_size} sectors from sector {data_offset} on")));
    }
    let role = usize::try_from(dev_number).ok().and_then(|number| roles.get(number));
    let name = name.split(|byte| *byte == 0).next().filter(|name| !name.is_empty());
    let words = uuid.as_chunks().0.iter().map(|word| u32::from_be_bytes(*word));
    Ok(Some(Member {
        format: SIGNATURE.format,
        class: Class::Md,
        version: version.into(),
        offset: place,
        uuid: Some(uuid_text(words)),
        name: name.map(<[u8]>::to_vec),
        role: Some(match role {
            None | Some(0xffff) => Role::Spare,
            Some(0xfffe) => Role::Faulty,
            Some(0xfffd) => Role::Journal,
            Some(number) => Role::Active(u32::from(*number)),
        }),
        level: Some(level_text(level)),
        members: Some(members),
        is_weak: false,
    }))
}

/// The words added up, and at the end half a word if there is one; the upper half of the sum is
/// added to the lower.
fn sum_1(superblock: &[u8]) -> u32 {
    let (words, rest) = superblock.as_chunks();
    let word = |(number, word): (usize, &[u8; 4])| if number == 54 { 0 } else { u64::from(u32::from_le_bytes(*word)) };
    let half = rest.first_chunk().map_or(0, |half| u64::from(u16::from_le_bytes(*half)));
    fold(words.iter().enumerate().map(word).sum::<u64>().saturating_add(half))
}

fn fold(sum: u64) -> u32 {
    let [a, b, c, d, high @ ..] = sum.to_le_bytes();
    u32::from_le_bytes([a, b, c, d]).wrapping_add(u32::from_le_bytes(high))
}

/// The byte order of the host that wrote it, which its magic shows.
fn words_of_0_90(magic: [u8; 4]) -> Option<fn([u8; 4]) -> u32> {
    [u32::from_le_bytes, u32::from_be_bytes].into_iter().find(|decode| decode(magic) == MAGIC)
}

/// The superblock of version 0.90, `mdp_super_t` in Linux' `raid/md_p.h`: 1024 words in the byte
/// order of the host that made it.
///
/// | word | field | meaning |
/// |---|---|---|
/// | 0 | md_magic | a92b4efc |
/// | 1 | major_version | 0 |
/// | 2 | minor_version | 90, while the array is being reshaped 91 |
/// | 3, 4 | | |
/// | 5 | set_uuid0 | |
/// | 6 | ctime | |
/// | 7 | level | signed |
/// | 8 | size | used of each member, in KiB |
/// | 9 | nr_disks | |
/// | 10 | raid_disks | |
/// | 11, 12 | | |
/// | 13 to 15 | set_uuid1 to set_uuid3 | |
/// | 38 | sb_csum | sum of all words, without this one |
/// | 992 | this_disk.number | |
/// | 993, 994 | | |
/// | 995 | this_disk.raid_disk | the number in the array |
/// | 996 | this_disk.state | bit 0 faulty, bit 1 active |
fn decode_0_90(block: &[u8; BLOCK], place: u64) -> Result<Option<Member>, Damage> {
    let (words, _) = block.as_chunks();
    let Some(decode) = words_of_0_90(field(block, 0)) else { return Ok(None) };
    let word = |number: usize| words.get(number).map_or(0, |word| decode(*word));
    if word(1) != 0 || !matches!(word(2), 90 | 91) {
        return Ok(None);
    }
    let stored = word(38);
    let found = fold((0..words.len()).filter(|number| *number != 38).map(|number| u64::from(word(number))).sum());
    if found != stored {
        return Err(Damage::checksum(found, stored));
    }
    let size = word(8);
    // That of a member lies right behind its data, but for a part of a chunk.
    let gap = u64::from(size).checked_mul(KIB).and_then(|end| place.checked_sub(end));
    let Some(gap) = gap else { return Err(Damage(format!("its data are said to be {size} KiB"))) };
    let state = word(996);
    Ok(Some(Member {
        format: SIGNATURE.format,
        class: Class::Md,
        version: "0.90".into(),
        offset: place,
        uuid: Some(uuid_text([5, 13, 14, 15].into_iter().map(word))),
        name: None,
        role: Some(match (state & 1, state >> 1 & 1) {
            (1, _) => Role::Faulty,
            (_, 1) => Role::Active(word(995)),
            _ => Role::Spare,
        }),
        level: Some(level_text(word(7).cast_signed())),
        members: Some(word(10)),
        is_weak: gap >= CHUNK_MAX,
    }))
}

/// As mdadm prints it.
fn uuid_text(words: impl Iterator<Item = u32>) -> String {
    words.map(|word| format!("{word:08x}")).collect::<Vec<_>>().join(":")
}

fn level_text(level: i32) -> String {
    match level {
        -4 => "multipath".into(),
        -1 => "linear".into(),
        level => format!("raid{level}"),
    }
}

/// Makes superblocks, for tests, simulation and fuzzing.
#[allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "it makes images for tests, and panics of what cannot be made"
)]
pub mod image {
    use super::*;

    /// The superblock of the first of two members of a RAID 1, at its place on a device of this
    /// size; `None` if it has no room.
    pub fn superblock(version: &str, device_size: u64) -> Option<(u64, [u8; BLOCK])> {
        let place = match version {
            "0.90" => place_of_0_90(device_size)?,
            "1.0" => (device_size & !0xfff).checked_sub(8 * KIB)?,
            "1.1" => 0,
            _ => 4 * KIB,
        };
        let mut block = [0; BLOCK];
        put(&mut block, 0, &MAGIC.to_le_bytes());
        if version == "0.90" {
            let words = [(2, 90), (5, 0x1111_1111), (7, 1), (8, place / KIB), (10, 2), (13, 0x2222_2222), (996, 6)];
            for (number, word) in words {
                put(&mut block, number * 4, &word.to_le_bytes()[..4]);
            }
        } else {
            put(&mut block, 4, &[1]);
            put(&mut block, 16, &[0x11; 16]);
            put(&mut block, 32, b"host:array");
            put(&mut block, 72, &[1]);
            put(&mut block, 92, &[2]);
            let start = if version == "1.0" { 0 } else { place / SECTOR + 8 };
            let end = if version == "1.0" { place } else { device_size } / SECTOR;
            put(&mut block, 128, &start.to_le_bytes());
            put(&mut block, 136, &end.checked_sub(start)?.to_le_bytes());
            put(&mut block, 144, &(place / SECTOR).to_le_bytes());
            put(&mut block, 220, &[2]);
            put(&mut block, 258, &[1]);
        }
        put_sum(&mut block);
        Some((place, block))
    }

    /// Makes the checksum good.
    pub fn put_sum(block: &mut [u8; BLOCK]) {
        if block[4] == 1 {
            let roles = u32::from_le_bytes(*block[220..].first_chunk().expect("it is within the block"));
            let end = usize::try_from(roles).map_or(BLOCK, |roles| roles.saturating_mul(2).saturating_add(256));
            let sum = sum_1(&block[..end.min(BLOCK)]);
            put(block, 216, &sum.to_le_bytes());
        } else {
            let big = block[0] == 0xa9;
            let words = block.as_chunks().0.iter().enumerate().filter(|(number, _)| *number != 38);
            let word = |word: &[u8; 4]| if big { u32::from_be_bytes(*word) } else { u32::from_le_bytes(*word) };
            let sum = fold(words.map(|(_, bytes)| u64::from(word(bytes))).sum());
            put(block, 38 * 4, &if big { sum.to_be_bytes() } else { sum.to_le_bytes() });
        }
    }

    fn put(block: &mut [u8; BLOCK], at: usize, bytes: &[u8]) {
        block[at..at + bytes.len()].copy_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Found, Medium, search};
    use super::image::{put_sum, superblock};
    use super::*;

    const SIZE: u64 = 300 << 10;
    const VERSIONS: [&str; 4] = ["0.90", "1.0", "1.1", "1.2"];

    /// What is found on a device that has these blocks and zeros.
    fn look(size: u64, blocks: &[(u64, [u8; BLOCK])]) -> Found {
        let mut known = Known::new(Medium { size, is_partition: false });
        for (offset, block) in blocks {
            known.put(ByteRange { offset: *offset, length: BLOCK }, Ok(block));
        }
        loop {
            match search(&[&SIGNATURE], When::Labelled, &known) {
                Ok(found) => return found,
                Err(range) => known.put(range, Ok(&vec![0; range.length])),
            }
        }
    }

    fn changed(version: &str, at: usize, bytes: &[u8]) -> (u64, [u8; BLOCK]) {
        let (place, mut block) = superblock(version, SIZE).unwrap();
        block[at..at + bytes.len()].copy_from_slice(bytes);
        put_sum(&mut block);
        (place, block)
    }

    fn member(version: &str, at: usize, bytes: &[u8]) -> Option<Member> {
        look(SIZE, &[changed(version, at, bytes)]).members.pop()
    }

    #[test]
    fn each_version_has_its_place() {
        for (version, place) in VERSIONS.into_iter().zip([192 << 10, 292 << 10, 0, 4096]) {
            let member = member(version, 0, &[]).unwrap();
            assert_eq!((&*member.version, member.offset, member.role), (version, place, Some(Role::Active(0))));
            assert_eq!((member.level.as_deref(), member.members), (Some("raid1"), Some(2)));
            let moved = (place ^ 4096, superblock(version, SIZE).unwrap().1);
            assert_eq!(look(SIZE, &[moved]).members, [], "{version}");
        }
        assert_eq!(member("1.0", 0, &[]).unwrap().uuid.unwrap(), "11111111:11111111:11111111:11111111");
        assert_eq!(member("1.0", 0, &[]).unwrap().name.as_deref(), Some(&b"host:array"[..]));
        assert_eq!(member("0.90", 0, &[]).unwrap().uuid.unwrap(), "11111111:22222222:00000000:00000000");
    }

    #[test]
    fn the_other_byte_order() {
        let (place, mut block) = superblock("0.90", SIZE).unwrap();
        let expected = member("0.90", 0, &[]);
        block.as_chunks_mut::<4>().0.iter_mut().for_each(|word| word.reverse());
        assert_eq!(look(SIZE, &[(place, block)]).members.pop(), expected);
        block[4095] ^= 1;
        assert_eq!(look(SIZE, &[(place, block)]).members, []);
    }

    #[test]
    fn roles_and_levels() {
        let role = |version, at, bytes: &[u8]| member(version, at, bytes).unwrap().role.unwrap();
        assert_eq!(role("1.2", 160, &[1]), Role::Active(1));
        assert_eq!(role("1.2", 160, &[2]), Role::Spare, "there is no third role");
        assert_eq!(role("1.2", 160, &[0xff; 4]), Role::Spare);
        assert_eq!(role("1.2", 256, &[0xff, 0xff]), Role::Spare);
        assert_eq!(role("1.2", 256, &[0xfe, 0xff]), Role::Faulty);
        assert_eq!(role("1.2", 256, &[0xfd, 0xff]), Role::Journal);
        assert_eq!(role("0.90", 996 * 4, &[7]), Role::Faulty);
        assert_eq!(role("0.90", 996 * 4, &[0]), Role::Spare);
        assert_eq!(role("0.90", 995 * 4, &[1]), Role::Active(1));
        assert_eq!(member("1.0", 72, &[0xff; 4]).unwrap().level.unwrap(), "linear");
        assert_eq!(member("0.90", 7 * 4, &[10]).unwrap().level.unwrap(), "raid10");
        assert_eq!(member("1.0", 32, &[0]).unwrap().name, None);
    }

    #[test]
    fn a_superblock_of_absurd_places_counts_for_nothing() {
        let not = |version: &str, at: usize, bytes: &[u8]| {
            let found = look(SIZE, &[changed(version, at, bytes)]);
            assert!(found.members.is_empty() && found.damaged.len() == 1, "{version} {at}: {found:?}");
        };
        for version in ["1.0", "1.1", "1.2"] {
            not(version, 144, &[9]);
            not(version, 144, &[0xff; 8]);
            not(version, 128, &[0xff; 8]);
            not(version, 136, &[0xff; 8]);
            not(version, 136, &(SIZE / 512 + 1).to_le_bytes());
            not(version, 220, &[0xff; 4]);
            not(version, 220, &1921_u32.to_le_bytes());
        }
        not("1.1", 128, &[0]);
        not("1.2", 128, &[8]);
        not("0.90", 32, &193_u32.to_le_bytes());
        not("0.90", 32, &[0xff; 4]);
    }

    #[test]
    fn what_lies_far_behind_its_data_proves_nothing() {
        let size = 4 << 20;
        let is_weak = |kibibytes: u32| {
            let (place, mut block) = superblock("0.90", size).unwrap();
            block[32..36].copy_from_slice(&kibibytes.to_le_bytes());
            put_sum(&mut block);
            look(size, &[(place, block)]).members[0].is_weak
        };
        let place = (4 << 10) - 64;
        assert_eq!([place, place - 1023, place - 1024, 0].map(is_weak), [false, false, true, true]);
    }

    #[test]
    fn as_many_roles_as_there_is_room_for() {
        assert!(member("1.2", 220, &1920_u32.to_le_bytes()).is_some());
        // Half a word is left at the end.
        assert!(member("1.2", 220, &1919_u32.to_le_bytes()).is_some());
    }

    /// Damage is told of, except where it leaves nothing of a superblock.
    #[test]
    fn no_flipped_byte_is_accepted() {
        for version in VERSIONS {
            let (place, block) = superblock(version, SIZE).unwrap();
            let covered = if version == "0.90" { BLOCK } else { 256 + 4 };
            for at in 0..BLOCK {
                let mut damaged = block;
                damaged[at] ^= 0x55;
                let found = look(SIZE, &[(place, damaged)]);
                assert_eq!(!found.members.is_empty(), at >= covered, "{version}: byte {at}");
                let identity = if version == "0.90" { 12 } else { 8 };
                assert_eq!(found.damaged.len(), usize::from((identity..covered).contains(&at)), "{version}: byte {at}");
            }
        }
    }

    /// Damage behind a good checksum: any field may have any value.
    #[test]
    fn no_value_of_a_field_is_trusted() {
        for version in VERSIONS {
            for at in (0..300).chain(3960..4000) {
                for value in [0x00, 0x01, 0x7f, 0x80, 0xff] {
                    let Some(member) = member(version, at, &[value]) else { continue };
                    assert!(member.offset < SIZE && !member.to_string().is_empty());
                }
            }
        }
    }
}
