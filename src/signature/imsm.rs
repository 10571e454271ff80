//! Members of IMSM arrays: Intel Matrix Storage Manager, RST and VROC.
//!
//! The anchor is in the last sector but one, of 512 bytes or of 4096: which of the two the disk has
//! nobody needs to know, since both are near the end. A superblock that is longer than a sector goes
//! on in the sectors before its anchor. Which of the disks this one is, its serial number would tell,
//! which is not on it.

use super::fields_at::{FieldsAt, Order, padded, same};
use super::{Class, Known, Look, Member, Role, Signature, Trouble, When, first_good};
use crate::ondisk::ByteRange;

pub(super) const SIGNATURE: Signature =
    Signature { format: "imsm", looks: &[Look { when: When::Labelled, at: at_end }] };

const MAGIC: &[u8; 24] = b"Intel Raid ISM Cfg Sig. ";
/// The disks come behind this.
const HEAD: usize = 216;
const DISK: usize = 48;
/// With as many disks as a byte counts it is far smaller.
const MAX_SIZE: usize = 64 << 10;

fn at_end(known: &Known) -> Result<Option<Member>, Trouble> {
    if known.medium.is_partition {
        return Ok(None);
    }
    first_good([512, 4096].into_iter(), |sector| at_anchor(known, sector))
}

fn at_anchor(known: &Known, sector: usize) -> Result<Option<Member>, Trouble> {
    let place = (known.size() & !(sector as u64 - 1)).checked_sub(2 * sector as u64);
    let Some(place) = place else { return Ok(None) };
    let Some(anchor) = known.bytes(ByteRange { offset: place, length: sector })? else { return Ok(None) };
    if !anchor.starts_with(MAGIC) {
        return Ok(None);
    }
    let damaged = |what: String| Trouble::Damaged(place, format!("IMSM superblock at {place}: {what}"));
    let size = FieldsAt { bytes: anchor, order: Order::Little }.u32(36).unwrap_or_default();
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    if !(HEAD..=MAX_SIZE).contains(&size) {
        return Err(damaged(format!("it is said to have {size} bytes")));
    }
    let length = (size.div_ceil(sector) - 1) * sector;
    let mut bytes = anchor.to_vec();
    if length > 0 {
        let rest = match place.checked_sub(length as u64) {
            Some(offset) => known.bytes(ByteRange { offset, length })?,
            None => None,
        };
        bytes.extend(rest.ok_or_else(|| damaged(format!("there is no room for its {size} bytes")))?);
    }
    bytes.truncate(size);
    let fields = FieldsAt { bytes: &bytes, order: Order::Little };
    let (found, stored) = (sum(&bytes), fields.u32(32).unwrap_or_default());
    if found != stored {
        return Err(damaged(format!("its checksum is {found:08x}, {stored:08x} is stored")));
    }
    Ok(Some(describe(fields, place)))
}

/// The words added up, without the sum itself.
fn sum(superblock: &[u8]) -> u32 {
    let words = superblock.as_chunks().0.iter().enumerate().filter(|(number, _)| *number != 8);
    words.fold(0, |sum: u32, (_, word)| sum.wrapping_add(u32::from_le_bytes(*word)))
}

/// The superblock, little-endian.
///
/// | offset | size | field | meaning |
/// |---|---|---|---|
/// | 0 | 24 | signature | `Intel Raid ISM Cfg Sig. ` |
/// | 24 | 8 | version | text, such as `1.1.00` |
/// | 32 | 4 | checksum | sum of the words of the superblock, without this one |
/// | 36 | 4 | size | in bytes |
/// | 40 | 4 | family number | which container this is; a spare has one of its own |
/// | 44 | 12 | generation, size of the error log, attributes | |
/// | 56 | 1 | number of disks | |
/// | 57 | 1 | number of volumes | |
/// | 58 | 158 | | |
/// | 216 | 48 each | disks | at 24 the status: bit 0 spare, 1 configured, 2 failed |
/// | | | volumes | one behind the other |
fn describe(fields: FieldsAt, place: u64) -> Member {
    let disks = usize::from(fields.u8(56).unwrap_or_default());
    let count = usize::from(fields.u8(57).unwrap_or_default());
    let mut volumes = Vec::new();
    let mut at = HEAD + disks * DISK;
    while volumes.len() < count
        && let Some(volume) = volume(fields, at)
    {
        at += volume.length;
        volumes.push(volume);
    }
    let is_spare = |disk: usize| fields.u32(HEAD + disk * DISK + 24).is_some_and(|status| status & 1 != 0);
    let names = volumes.iter().filter_map(|volume| volume.name).collect::<Vec<_>>();
    let levels = volumes.iter().map(|volume| &*volume.level).collect::<Vec<_>>();
    let version = fields.array::<8>(24).and_then(|version| padded(version)).unwrap_or_default();
    Member {
        format: SIGNATURE.format,
        class: Class::FirmwareRaid,
        version: String::from_utf8_lossy(version).into_owned(),
        offset: place,
        uuid: fields.u32(40).map(|family| format!("{family:08x}")),
        name: (!names.is_empty()).then(|| names.join(&b", "[..])),
        role: (count == 0 && disks > 0 && (0..disks).all(is_spare)).then_some(Role::Spare),
        level: (!levels.is_empty()).then(|| levels.join(", ")),
        members: same(volumes.iter().map(|volume| volume.members)),
        is_weak: false,
    }
}

struct Volume<'a> {
    name: Option<&'a [u8]>,
    level: String,
    members: u32,
    /// In bytes.
    length: usize,
}

/// One volume. Its offsets, and those of the map in it:
///
/// | offset | size | field | meaning |
/// |---|---|---|---|
/// | 0 | 16 | name | padded |
/// | 16 | 72 | size, status | |
/// | 88 | 1 | migration state | not 0: a second map follows, of how it was before |
/// | 89 | 23 | | |
/// | 112 | | map | |
/// | 112 + 15 | 1 | level | |
/// | 112 + 16 | 1 | members | |
/// | 112 + 48 | 4 * members | disks | in the order of the volume |
fn volume(fields: FieldsAt, at: usize) -> Option<Volume> {
    let map = at + 112;
    let members = fields.u8(map + 16)?;
    let mut end = map_end(fields, map)?;
    if fields.u8(at + 88)? != 0 {
        end = map_end(fields, end)?;
    }
    let level = match (fields.u8(map + 15)?, members) {
        // Firmware has no mirror of more than two disks.
        (1, 3..) => 10,
        (level, _) => level,
    };
    Some(Volume {
        name: padded(fields.array::<16>(at)?),
        level: format!("raid{level}"),
        members: u32::from(members),
        length: end - at,
    })
}

fn map_end(fields: FieldsAt, map: usize) -> Option<usize> {
    let end = map + 48 + 4 * usize::from(fields.u8(map + 16)?);
    (end <= fields.bytes.len()).then_some(end)
}
