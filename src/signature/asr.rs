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
    let Some(sector) = (known.size() / 512).checked_sub(1).filter(|_| !known.medium.is_partition) else {
        return Ok(None);
    };
    let place = sector * 512;
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
/// | 4 | 6 | version, room for entries | |
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
        let end = ENTRY + usize::from(fields.u16(10)?) * ENTRY;
        let entries = bytes.get(ENTRY..end)?;
        (sum(entries) == fields.u16(14)?).then_some(())?;
        let entries = entries.as_chunks::<ENTRY>().0.iter().map(|bytes| Entry::decode(bytes));
        Some(Table { spare: fields.u32(36)?, magic: fields.u32(40)?, entries: entries.collect::<Option<_>>()? })
    }

    fn describe(&self, drive: u32, member: Member) -> Member {
        let own = self.entries.iter().rposition(|entry| entry.kind == DISK && entry.magic == drive);
        let above = |end: usize, kinds: &[u8]| self.entries[..end].iter().rposition(|it| kinds.contains(&it.kind));
        let disk = own.map(|own| &self.entries[own]);
        let part = own.and_then(|own| above(own, &[ARRAY, PART]));
        let top = part.and_then(|part| above(part, &[DUAL_LEVEL]).filter(|top| self.is_part_of(part, *top)));
        let array = top.or(part).map(|array| &self.entries[array]);
        let disks = part.map(|part| &self.entries[part]);
        let (level, members) = match (top.map(|top| &self.entries[top]), disks) {
            (Some(top), Some(part)) => {
                let level = format!("raid{}{}", part.level, top.level);
                (Some(level), Some(u32::from(top.components) * u32::from(part.components)))
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
        let parts = self.entries[top..=part].iter().filter(|entry| matches!(entry.kind, ARRAY | PART)).count();
        parts <= usize::from(self.entries[top].components)
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
            name: padded(fields.array::<16>(48)?).map(<[u8]>::to_vec),
        })
    }
}

fn sum(entries: &[u8]) -> u16 {
    entries.iter().fold(0, |sum: u16, byte| sum.wrapping_add(u16::from(*byte)))
}
