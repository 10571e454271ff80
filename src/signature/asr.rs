//! Members of arrays of Adaptec's HostRAID (ASR).
//!
//! The reserved block in the last sector says which disk this is, and where the table of all disks
//! and arrays is. Only the table has a checksum: without it, a member is a weak one.

use super::fields_at::{FieldsAt, Order, padded};
use super::{Class, Known, Look, Member, Role, Signature, Trouble, When, if_readable};
use crate::ondisk::ByteRange;

pub(super) const SIGNATURE: Signature =
    Signature { format: "asr", looks: &[Look { when: When::Labelled, at: at_end }] };

const SECTOR: usize = 512;
const MAGIC: u32 = 0x37fc_4d1e;
/// At 256 of the reserved block.
const POINTER_MAGIC: &[u8; 4] = b"DPTM";
const TABLE_MAGIC: u32 = 0x9007_65c4;
/// No table is longer.
const TABLE: usize = 17 * SECTOR;
const ENTRY: usize = 64;

/// The reserved block, big-endian.
///
/// | offset | size | field | meaning |
/// |---|---|---|---|
/// | 0 | 4 | magic | 37fc4d1e |
/// | 4 | 59 | | |
/// | 63 | 1 | version | |
/// | 64 | 4 | drive magic | which disk this is |
/// | 68 | 188 | | |
/// | 256 | 4 | magic | `DPTM` |
/// | 260 | 4 | table | its sector |
fn at_end(known: &Known) -> Result<Option<Member>, Trouble> {
    let place = (known.size() & !511).checked_sub(512).filter(|_| !known.is_partition());
    let Some(place) = place else { return Ok(None) };
    let Some(bytes) = known.bytes(ByteRange { offset: place, length: SECTOR })? else { return Ok(None) };
    let block = FieldsAt { bytes, order: Order::Big };
    if block.u32(0) != Some(MAGIC) || block.array(256) != Some(POINTER_MAGIC) {
        return Ok(None);
    }
    let member = Member {
        format: SIGNATURE.format,
        class: Class::FirmwareRaid,
        version: block.u8(63).unwrap_or_default().to_string(),
        offset: place,
        ..Member::default()
    };
    let table = u64::from(block.u32(260).unwrap_or_default()) * 512;
    let length = usize::try_from(known.size().saturating_sub(table)).map_or(TABLE, |left| left.min(TABLE));
    let bytes = if length < SECTOR { None } else { if_readable(known, ByteRange { offset: table, length })? };
    Ok(Some(match bytes.and_then(Table::decode) {
        Some(table) => table.describe(block.u32(64).unwrap_or_default(), member),
        None => Member { is_weak: true, ..member },
    }))
}

/// The table, big-endian. Entries come behind it.
///
/// | offset | size | field | meaning |
/// |---|---|---|---|
/// | 0 | 4 | magic | 900765c4 |
/// | 4 | 4 | version | |
/// | 8 | 2 | room for entries | |
/// | 10 | 2 | number of entries | |
/// | 12 | 2 | size of an entry | 64 |
/// | 14 | 2 | checksum | sum of the bytes of all entries |
/// | 16 | 20 | | |
/// | 36 | 4 | spare | the drive magic of one |
/// | 40 | 4 | array magic | |
/// | 44 | 20 | | |
struct Table {
    spare: u32,
    magic: u32,
    entries: Vec<Entry>,
}

/// | offset | size | field | meaning |
/// |---|---|---|---|
/// | 0 | 2 | component count | |
/// | 2 | 2 | sequence | which of the components of its array |
/// | 4 | 4 | magic | of the array, or of the drive |
/// | 8 | 1 | kind | 0 disk, 1 array, 2 part of an array, 3 array of arrays |
/// | 9 | 1 | type | RAID level; of a disk fe: spare |
/// | 10 | 1 | state | 3 failed |
/// | 11 | 37 | | |
/// | 48 | 16 | name | padded |
struct Entry {
    components: u16,
    sequence: u16,
    magic: u32,
    kind: u8,
    level: u8,
    state: u8,
    name: Option<Vec<u8>>,
}

const DISK: u8 = 0;
const ARRAY: u8 = 1;
const PART: u8 = 2;
const DUAL_LEVEL: u8 = 3;
const SPARE: u8 = 0xfe;
const FAILED: u8 = 3;

impl Table {
    /// `None` if there is no good one.
    fn decode(bytes: &[u8]) -> Option<Table> {
        let fields = FieldsAt { bytes, order: Order::Big };
        if fields.u32(0)? != TABLE_MAGIC || usize::from(fields.u16(12)?) != ENTRY {
            return None;
        }
        let count = fields.u16(10).filter(|count| Some(*count) <= fields.u16(8))?;
        let entries = bytes.get(ENTRY..)?.get(..usize::from(count).checked_mul(ENTRY)?)?;
        (sum(entries) == fields.u16(14)?).then_some(())?;
        let entries = entries.as_chunks::<ENTRY>().0.iter().map(|bytes| Entry::decode(bytes));
        Some(Table { spare: fields.u32(36)?, magic: fields.u32(40)?, entries: entries.collect::<Option<_>>()? })
    }

    fn describe(&self, drive: u32, member: Member) -> Member {
        let own = self.entries.iter().rposition(|entry| entry.kind == DISK && entry.magic == drive);
        let above = |end: usize, kinds: &[u8]| self.entries.get(..end)?.iter().rposition(|it| kinds.contains(&it.kind));
        let disk = own.and_then(|own| self.entries.get(own));
        let part = own.and_then(|own| above(own, &[ARRAY, PART]));
        let top = part.and_then(|part| above(part, &[DUAL_LEVEL]).filter(|top| self.is_part_of(part, *top)));
        let array = top.or(part).and_then(|array| self.entries.get(array));
        let disks = part.and_then(|part| self.entries.get(part));
        let (level, members) = match (top.and_then(|top| self.entries.get(top)), disks) {
            (Some(top), Some(part)) => {
                let level = format!("raid{}{}", part.level, top.level);
                (Some(level), Some(u32::from(top.components).saturating_mul(part.components.into())))
            }
            (None, Some(array)) => (Some(format!("raid{}", array.level)), Some(u32::from(array.components))),
            (_, None) => (None, None),
        };
        let named = [array, disk, self.entries.first()].into_iter().flatten();
        let magic = array.map_or(self.magic, |array| array.magic);
        Member {
            uuid: (magic != 0).then(|| format!("{magic:08x}")),
            name: named.filter_map(|entry| entry.name.clone()).next(),
            role: match disk {
                _ if drive != 0 && self.spare == drive => Some(Role::Spare),
                Some(disk) if disk.level == SPARE => Some(Role::Spare),
                Some(disk) if disk.state == FAILED => Some(Role::Faulty),
                Some(disk) if part.is_some() => Some(Role::Active(u32::from(disk.sequence))),
                _ => None,
            },
            level,
            members,
            ..member
        }
    }

    /// Whether an array is one of those that make up another: these come right behind it.
    fn is_part_of(&self, part: usize, top: usize) -> bool {
        let Some(own @ [top, ..]) = self.entries.get(top..=part) else { return false };
        let parts = own.iter().filter(|entry| matches!(entry.kind, ARRAY | PART)).count();
        parts <= usize::from(top.components)
    }
}

impl Entry {
    fn decode(bytes: &[u8]) -> Option<Entry> {
        let fields = FieldsAt { bytes, order: Order::Big };
        Some(Entry {
            components: fields.u16(0)?,
            sequence: fields.u16(2)?,
            magic: fields.u32(4)?,
            kind: fields.u8(8)?,
            level: fields.u8(9)?,
            state: fields.u8(10)?,
            name: padded(fields.array::<16>(48)?),
        })
    }
}

fn sum(entries: &[u8]) -> u16 {
    entries.iter().fold(0, |sum: u16, byte| sum.wrapping_add(u16::from(*byte)))
}

/// Makes members, for tests, simulation and fuzzing.
#[allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "it makes images for tests, and panics of what cannot be made"
)]
pub mod image {
    use super::*;
    use crate::signature::firmware_image::Pieces;

    #[derive(Clone, Copy)]
    pub struct Line<'a> {
        pub components: u16,
        pub sequence: u16,
        pub magic: u32,
        /// Kind, type and state.
        pub kind: [u8; 3],
        pub name: &'a str,
    }

    pub const OWN: u32 = 0xa5a5_0001;

    /// Two disks and their mirror.
    pub const MIRROR: [Line; 3] = [
        Line { components: 2, sequence: 0, magic: 0xc0ff_ee01, kind: [ARRAY, 1, 0], name: "MIRROR" },
        Line { components: 0, sequence: 0, magic: OWN, kind: [DISK, 1, 0], name: "" },
        Line { components: 0, sequence: 1, magic: 0xa5a5_0002, kind: [DISK, 1, 0], name: "" },
    ];

    /// The reserved block of the disk [`OWN`], and the table in this sector; `None` if there is no room.
    pub fn pieces(device_size: u64, sector: u32, lines: &[Line]) -> Option<Pieces> {
        let mut block = vec![0; SECTOR];
        put(&mut block, 0, &MAGIC.to_be_bytes());
        block[63] = 8;
        put(&mut block, 64, &OWN.to_be_bytes());
        put(&mut block, 256, POINTER_MAGIC);
        put(&mut block, 260, &sector.to_be_bytes());
        let mut table = vec![0; ENTRY * (lines.len() + 1)];
        put(&mut table, 0, &TABLE_MAGIC.to_be_bytes());
        put(&mut table, 8, &[0, 0xff]);
        put(&mut table, 10, &u16::try_from(lines.len()).ok()?.to_be_bytes());
        table[13] = 64;
        put(&mut table, 40, &0xc0ff_ee00_u32.to_be_bytes());
        for (entry, line) in table.as_chunks_mut::<ENTRY>().0.iter_mut().skip(1).zip(lines) {
            put(entry, 0, &line.components.to_be_bytes());
            put(entry, 2, &line.sequence.to_be_bytes());
            put(entry, 4, &line.magic.to_be_bytes());
            put(entry, 8, &line.kind);
            put(entry, 48, &[b' '; 16]);
            put(entry, 48, line.name.as_bytes());
        }
        put_sum(&mut table);
        Some(vec![((device_size / 512).checked_sub(1)? * 512, block), (u64::from(sector) * 512, table)])
    }

    /// Makes the checksum of a table good.
    pub fn put_sum(table: &mut [u8]) {
        let end = ENTRY + usize::from(u16::from_be_bytes([table[10], table[11]])) * ENTRY;
        let sum = sum(&table[ENTRY.min(table.len())..end.min(table.len())]);
        put(table, 14, &sum.to_be_bytes());
    }

    fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
        bytes[at..at + value.len()].copy_from_slice(value);
    }
}

#[cfg(test)]
mod tests {
    use super::super::Found;
    use super::super::firmware_image::Pieces;
    use super::super::whole::{look, look_at_partition, look_with_errors, with};
    use super::image::{Line, MIRROR, OWN, pieces, put_sum};
    use super::*;

    const SIZE: usize = 300 << 10;
    const SECTORS: u32 = 600;

    fn made(lines: &[Line]) -> Pieces {
        pieces(SIZE as u64, SECTORS - 32, lines).unwrap()
    }

    fn find(pieces: &[(u64, Vec<u8>)]) -> Found {
        look(&SIGNATURE, &with(SIZE, pieces))
    }

    /// Its name, UUID, level and members, and its role in words.
    fn said(found: &Found) -> (String, String, String, u32, String) {
        let [member] = &found.members[..] else { panic!("{found:?}") };
        assert_eq!((&*member.version, member.offset), ("8", SIZE as u64 - 512));
        let name = member.name.as_deref().map(|name| String::from_utf8_lossy(name).into_owned());
        let role = member.role.map(|role| role.to_string());
        (
            name.unwrap_or_default(),
            member.uuid.clone().unwrap_or_default(),
            member.level.clone().unwrap_or_default(),
            member.members.unwrap_or_default(),
            role.unwrap_or_default(),
        )
    }

    fn check(lines: &[Line], name: &str, uuid: &str, level: &str, members: u32, role: &str) {
        let found = find(&made(lines));
        assert!(!found.members[0].is_weak);
        assert_eq!(said(&found), (name.into(), uuid.into(), level.into(), members, role.into()));
    }

    fn line(kind: u8, level: u8, components: u16, sequence: u16, magic: u32, name: &str) -> Line<'_> {
        Line { components, sequence, magic, kind: [kind, level, 0], name }
    }

    #[test]
    fn arrays() {
        check(&MIRROR, "MIRROR", "c0ffee01", "raid1", 2, "active device 0");
        let other = [line(ARRAY, 0, 2, 0, 7, "OTHER"), line(DISK, 0, 0, 0, 8, ""), line(DISK, 0, 0, 1, OWN, "")];
        check(&[other, MIRROR].concat(), "MIRROR", "c0ffee01", "raid1", 2, "active device 0");
        check(&[MIRROR, other].concat(), "OTHER", "00000007", "raid0", 2, "active device 1");
        // The entry of an array may lack a name that those of its disks have.
        let named = [line(ARRAY, 5, 3, 0, 9, ""), line(DISK, 5, 0, 2, OWN, "OF THE DISK")];
        check(&named, "OF THE DISK", "00000009", "raid5", 3, "active device 2");
        let first = [line(ARRAY, 1, 2, 0, 1, "FIRST"), line(ARRAY, 1, 2, 0, 9, ""), line(DISK, 1, 0, 0, OWN, "")];
        check(&first, "FIRST", "00000009", "raid1", 2, "active device 0");
    }

    #[test]
    fn arrays_of_arrays() {
        for part in [ARRAY, PART] {
            let half = |sequence| line(part, 1, 2, sequence, 5, "");
            let disk = |sequence, magic| line(DISK, 1, 0, sequence, magic, "");
            let top = line(DUAL_LEVEL, 0, 2, 0, 3, "TEN");
            let whole = [top, half(0), disk(0, 11), disk(1, 12), half(1), disk(0, 13), disk(1, OWN)];
            check(&whole, "TEN", "00000003", "raid10", 4, "active device 1");
            let behind = [&[top, half(0), disk(0, 11), half(1), disk(0, 13)][..], &MIRROR].concat();
            check(&behind, "MIRROR", "c0ffee01", "raid1", 2, "active device 0");
        }
    }

    #[test]
    fn what_the_disk_is_for() {
        let [array, own, other] = MIRROR;
        let with_state = |state| [array, Line { kind: [DISK, 1, state], ..own }, other];
        check(&with_state(FAILED), "MIRROR", "c0ffee01", "raid1", 2, "faulty");
        check(&with_state(0x20), "MIRROR", "c0ffee01", "raid1", 2, "active device 0");
        let spare = [array, other, Line { kind: [DISK, SPARE, 0], ..own }];
        check(&spare, "MIRROR", "c0ffee01", "raid1", 2, "spare");
        let alone = [Line { kind: [DISK, SPARE, 0], ..own }];
        check(&alone, "", "c0ffee00", "", 0, "spare");
        check(&[array, other], "MIRROR", "c0ffee00", "", 0, "");
        check(&[own], "", "c0ffee00", "", 0, "");
        check(&[], "", "c0ffee00", "", 0, "");
        let mut named = made(&[array, other]);
        named[1].1[36..40].copy_from_slice(&OWN.to_be_bytes());
        assert_eq!(said(&find(&named)).4, "spare");
    }

    #[test]
    fn firmware_knows_no_partitions() {
        assert_eq!(look_at_partition(&SIGNATURE, &with(SIZE, &made(&MIRROR))).members, []);
    }

    #[test]
    fn without_a_good_table_it_is_a_weak_one() {
        let weak = |found: &Found| {
            assert!(found.members[0].is_weak && found.damaged.is_empty() && found.unread.is_empty());
            assert_eq!(said(found), ("".into(), "".into(), "".into(), 0, "".into()));
        };
        for sector in [0, SECTORS - 1, SECTORS, u32::MAX] {
            let pieces = pieces(SIZE as u64, sector, &[]).unwrap();
            weak(&find(&pieces[..1]));
        }
        let image = with(SIZE, &pieces(SIZE as u64, 16, &MIRROR).unwrap());
        assert_eq!(said(&look(&SIGNATURE, &image)).0, "MIRROR");
        weak(&look_with_errors(&SIGNATURE, &image, |range| range.offset == 16 * 512));
        // No more entries than there is room for.
        let many = vec![MIRROR[0]; 136];
        let pieces_of = |count: usize| pieces(SIZE as u64, 16, &many[..count]).unwrap();
        assert!(!find(&pieces_of(135)).members[0].is_weak);
        weak(&find(&pieces_of(136)));
        let mut no_room = made(&MIRROR);
        no_room[1].1[9] = 2;
        weak(&find(&no_room));
    }

    #[test]
    fn no_flipped_byte_is_accepted() {
        let pieces = made(&MIRROR);
        let mut damaged = pieces.clone();
        for number in [0, 1] {
            for at in 0..pieces[number].1.len() {
                damaged[number].1[at] ^= 0x55;
                let found = find(&damaged);
                damaged[number].1[at] ^= 0x55;
                match number {
                    0 => assert_eq!(found.members.is_empty(), at < 4 || (256..260).contains(&at), "byte {at}"),
                    _ => {
                        // That there are more entries, of zeros, makes no other sum.
                        let proven = matches!(at, 0..4 | 10 | 12..16 | 64..);
                        assert_eq!(found.members[0].is_weak, proven, "byte {at}");
                    }
                }
                assert!(found.damaged.is_empty());
            }
        }
    }

    /// Damage behind a good checksum: any field may have any value.
    #[test]
    fn no_value_of_a_field_is_trusted() {
        let top = line(DUAL_LEVEL, 0, 2, 0, 3, "TEN");
        let pieces = made(&[&[top][..], &MIRROR].concat());
        for number in [0, 1] {
            for at in 0..pieces[number].1.len() {
                for value in [0x00, 0x01, 0x7f, 0x80, 0xff] {
                    let mut changed = pieces.clone();
                    changed[number].1[at] = value;
                    put_sum(&mut changed[1].1);
                    let found = find(&changed);
                    assert!(found.members.iter().all(|member| !member.to_string().is_empty()), "byte {at}");
                }
            }
        }
    }
}
