//! Members of DDF arrays: SNIA's Common RAID Disk Data Format, of firmware and of mdadm.
//!
//! The anchor is in the last sector, or 257 sectors from the end. It is a header and leads to two
//! more of the same layout, the primary and the secondary, each with its own copy of the sections:
//!
//! | section | what is in it |
//! |---|---|
//! | physical disk records | all disks of the container, and their state |
//! | virtual disk records | all volumes of the container, and their names |
//! | configuration records | volumes that have data here, and which disks they are on |
//! | disk data | which of the physical disks this is |
//!
//! The anchor alone makes the device a member. What cannot be read or is damaged is left unsaid.

use super::fields_at::{FieldsAt, Order, padded, same};
use super::{Class, Known, Look, Member, Role, Signature, Trouble, When, first_good, if_readable};
use crate::ondisk::ByteRange;

pub(super) const SIGNATURE: Signature =
    Signature { format: "ddf", looks: &[Look { when: When::Labelled, at: at_end }] };

const SECTOR: usize = 512;
const HEADER: u32 = 0xde11_de11;
const PHYSICAL_DISKS: u32 = 0x2222_2222;
const VIRTUAL_DISKS: u32 = 0xdddd_dddd;
const CONFIGURATION: u32 = 0xeeee_eeee;
const DISK_DATA: u32 = 0x3333_3333;

/// No section that is larger is looked at, and of the configuration records only the first of these.
const MAX_SECTION: usize = 256 << 10;
/// A container has rarely more volumes; nobody reads a longer list.
const MAX_NAMES: usize = 32;
const ENTRY: usize = 64;

fn at_end(known: &Known) -> Result<Option<Member>, Trouble> {
    if known.medium.is_partition {
        return Ok(None);
    }
    let sectors = known.size() / 512;
    let places = [1, 257].into_iter().filter_map(|behind: u64| sectors.checked_sub(behind));
    first_good(places, |sector| at_anchor(known, sector * 512))
}

fn at_anchor(known: &Known, place: u64) -> Result<Option<Member>, Trouble> {
    let Some(bytes) = known.bytes(ByteRange { offset: place, length: SECTOR })? else { return Ok(None) };
    let Some(anchor) = Header::decode(bytes) else { return Ok(None) };
    if !anchor.is_sound && anchor.order == Order::Big {
        return Err(Trouble::Damaged(place, format!("DDF anchor at {place}: its checksum is wrong")));
    }
    let member = Member {
        format: SIGNATURE.format,
        class: Class::FirmwareRaid,
        version: String::from_utf8_lossy(padded(&anchor.revision).unwrap_or_default()).into_owned(),
        offset: place,
        uuid: Some(guid_text(&anchor.guid)),
        // Who writes the wrong byte order may sum up in another way, too.
        is_weak: !anchor.is_sound,
        ..Member::default()
    };
    if member.is_weak {
        return Ok(Some(member));
    }
    Ok(Some(match main_header(known, &anchor)? {
        Some((header, lba)) => Contents::read(known, &header, lba)?.describe(member),
        None => member,
    }))
}

/// The primary header, unless it is bad, or a writer was at work between it and the secondary.
fn main_header(known: &Known, anchor: &Header) -> Result<Option<(Header, u64)>, Trouble> {
    let at = |lba: u64, kind: u8| -> Result<Option<(Header, u64)>, Trouble> {
        let bytes = sectors(known, lba, 1)?;
        let header = bytes.and_then(Header::decode).filter(|header| {
            header.is_sound && header.kind == kind && header.guid == anchor.guid && header.order == anchor.order
        });
        Ok(header.map(|header| (header, lba)))
    };
    let primary = at(anchor.primary, 1)?;
    if primary.as_ref().is_some_and(|(header, _)| !header.is_open) {
        return Ok(primary);
    }
    let secondary = at(anchor.secondary, 2)?.filter(|(header, _)| primary.is_none() || !header.is_open);
    Ok(secondary.or(primary))
}

/// As many sectors from there on, if they are on the device and can be read.
fn sectors(known: &Known, lba: u64, count: usize) -> Result<Option<&[u8]>, Trouble> {
    let Some(offset) = lba.checked_mul(512) else { return Ok(None) };
    if count == 0 || count > MAX_SECTION / SECTOR {
        return Ok(None);
    }
    if_readable(known, ByteRange { offset, length: count * SECTOR })
}

/// A header, in its own byte order: big, but for broken writers.
///
/// | offset | size | field | meaning |
/// |---|---|---|---|
/// | 0 | 4 | signature | de11de11 |
/// | 4 | 4 | crc | of all 512 bytes |
/// | 8 | 24 | guid | the container's |
/// | 32 | 8 | revision | text, such as `01.02.00` |
/// | 40 | 8 | sequence number, timestamp | |
/// | 48 | 1 | open flag | not 0 while the sections are written |
/// | 49 | 47 | | |
/// | 96 | 8 | primary header | its sector |
/// | 104 | 8 | secondary header | its sector; all ones: there is none |
/// | 112 | 1 | type | 0 anchor, 1 primary, 2 secondary |
/// | 113 | 21 | | |
/// | 134 | 2 | configuration record length | in sectors |
/// | 136 | 56 | | |
/// | 192 | 8 | controller | as all sections: first sector, counted from this header, and number of sectors |
/// | 200 | 8 | physical disk records | |
/// | 208 | 8 | virtual disk records | |
/// | 216 | 8 | configuration records | |
/// | 224 | 8 | disk data | |
struct Header {
    order: Order,
    is_sound: bool,
    guid: [u8; 24],
    revision: [u8; 8],
    is_open: bool,
    primary: u64,
    secondary: u64,
    kind: u8,
    record_sectors: u16,
    physical_disks: (u32, u32),
    virtual_disks: (u32, u32),
    configuration: (u32, u32),
    disk_data: (u32, u32),
}

impl Header {
    /// `None` if it has no header's magic.
    fn decode(bytes: &[u8]) -> Option<Header> {
        let big = FieldsAt { bytes, order: Order::Big };
        let order = match big.u32(0)? {
            HEADER => Order::Big,
            other if other.swap_bytes() == HEADER => Order::Little,
            _ => return None,
        };
        let fields = FieldsAt { bytes, order };
        let section = |at| Some((fields.u32(at)?, fields.u32(at + 4)?));
        Some(Header {
            order,
            is_sound: is_sound(fields),
            guid: *fields.array(8)?,
            revision: *fields.array(32)?,
            is_open: fields.u8(48)? != 0,
            primary: fields.u64(96)?,
            secondary: fields.u64(104)?,
            kind: fields.u8(112)?,
            record_sectors: fields.u16(134)?,
            physical_disks: section(200)?,
            virtual_disks: section(208)?,
            configuration: section(216)?,
            disk_data: section(224)?,
        })
    }
}

/// Whether the checksum of a structure is that of all its bytes.
fn is_sound(fields: FieldsAt) -> bool {
    fields.u32(4) == Some(crc(fields.bytes))
}

/// CRC-32 with ones in place of itself. The register begins with 0, which to the hasher is all ones,
/// and is not inverted at the end.
fn crc(structure: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(u32::MAX);
    let (head, rest) = structure.split_at(structure.len().min(8));
    hasher.update(&head[..head.len().min(4)]);
    hasher.update(&[0xff; 4]);
    hasher.update(rest);
    !hasher.finalize()
}

/// What the sections say.
struct Contents {
    /// This disk's own number; `None` if the disk data are bad.
    reference: Option<u32>,
    /// Type and state of this disk.
    disk: Option<(u16, u16)>,
    names: Vec<([u8; 24], Option<Vec<u8>>)>,
    volumes: Vec<Volume>,
}

struct Volume {
    guid: [u8; 24],
    level: String,
    members: u32,
    /// This disk's place, if it is one of the volume's.
    index: Option<u32>,
}

impl Contents {
    fn read(known: &Known, header: &Header, lba: u64) -> Result<Contents, Trouble> {
        let section = |(start, count): (u32, u32), most: usize| -> Result<Option<FieldsAt>, Trouble> {
            let Some(start) = lba.checked_add(u64::from(start)) else { return Ok(None) };
            let count = usize::try_from(count).map_or(most, |count| count.min(most));
            let bytes = sectors(known, start, count)?;
            Ok(bytes.map(|bytes| FieldsAt { bytes, order: header.order }))
        };
        let sound = |fields: &FieldsAt, magic| fields.u32(0) == Some(magic) && is_sound(*fields);
        let data = section(header.disk_data, usize::MAX)?.filter(|data| sound(data, DISK_DATA));
        let physical = section(header.physical_disks, usize::MAX)?.filter(|disks| sound(disks, PHYSICAL_DISKS));
        let virtuals = section(header.virtual_disks, usize::MAX)?.filter(|disks| sound(disks, VIRTUAL_DISKS));
        let configuration = section(header.configuration, MAX_SECTION / SECTOR)?;
        let reference = data.and_then(|data| data.u32(32));
        let record = usize::from(header.record_sectors) * SECTOR;
        let records = configuration.filter(|_| record > 0).into_iter().flat_map(|records| {
            let order = records.order;
            records.bytes.chunks_exact(record).map(move |bytes| FieldsAt { bytes, order })
        });
        let mut volumes = Vec::new();
        for volume in records.filter(|record| sound(record, CONFIGURATION)).filter_map(|it| volume(it, reference)) {
            // Of a two-level volume there may be a record for each half.
            match volumes.iter_mut().find(|other: &&mut Volume| other.guid == volume.guid) {
                Some(other) if other.index.is_none() => *other = volume,
                Some(_) => {}
                None => volumes.push(volume),
            }
        }
        Ok(Contents {
            reference,
            disk: physical.zip(reference).and_then(|(disks, reference)| disk(disks, reference)),
            names: virtuals.map(names).unwrap_or_default(),
            volumes,
        })
    }

    fn describe(mut self, member: Member) -> Member {
        if self.reference.is_some() {
            self.volumes.retain(|volume| volume.index.is_some());
        }
        let number = |volume: &Volume| self.names.iter().position(|(guid, _)| *guid == volume.guid);
        self.volumes.sort_by_key(|volume| number(volume).unwrap_or(usize::MAX));
        let is_here = |guid| self.volumes.is_empty() || self.volumes.iter().any(|volume| volume.guid == guid);
        let names = self.names.iter().filter(|(guid, _)| is_here(*guid)).filter_map(|(_, name)| name.as_deref());
        let names = names.take(MAX_NAMES).collect::<Vec<_>>();
        let levels = self.volumes.iter().map(|volume| &*volume.level).take(MAX_NAMES).collect::<Vec<_>>();
        let (kind, state) = self.disk.unwrap_or_default();
        let role = if state & (FAILED | MISSING) != 0 {
            Some(Role::Faulty)
        } else if !self.volumes.is_empty() {
            same(self.volumes.iter().map(|volume| volume.index)).flatten().map(Role::Active)
        } else {
            (kind & (GLOBAL_SPARE | SPARE) != 0).then_some(Role::Spare)
        };
        Member {
            name: (!names.is_empty()).then(|| names.join(&b", "[..])),
            level: (!levels.is_empty()).then(|| levels.join(", ")),
            members: same(self.volumes.iter().map(|volume| volume.members)),
            role,
            ..member
        }
    }
}

const GLOBAL_SPARE: u16 = 1 << 2;
const SPARE: u16 = 1 << 3;
const FAILED: u16 = 1 << 1;
const MISSING: u16 = 1 << 6;

/// Type and state of one of the physical disks. A header of 64 bytes, and entries:
///
/// | offset | size | field | meaning |
/// |---|---|---|---|
/// | 0 | 24 | guid | all ones: not in use |
/// | 24 | 4 | reference number | |
/// | 28 | 2 | type | bit 1 has a volume's data, 2 global spare, 3 spare |
/// | 30 | 2 | state | bit 0 online, 1 failed, 2 rebuilding, 6 missing |
/// | 32 | 32 | size, path | |
fn disk(disks: FieldsAt, reference: u32) -> Option<(u16, u16)> {
    let disk = entries(disks).find(|entry| entry.u32(24) == Some(reference))?;
    Some((disk.u16(28)?, disk.u16(30)?))
}

/// GUIDs and names of the container's volumes. A header of 64 bytes, and entries:
///
/// | offset | size | field | meaning |
/// |---|---|---|---|
/// | 0 | 24 | guid | all ones: not in use |
/// | 24 | 24 | unit, type, state | |
/// | 48 | 16 | name | padded |
fn names(disks: FieldsAt) -> Vec<([u8; 24], Option<Vec<u8>>)> {
    let name = |entry: FieldsAt| Some((*entry.array(0)?, padded(entry.array::<16>(48)?).map(<[u8]>::to_vec)));
    entries(disks).filter_map(name).collect()
}

fn entries(section: FieldsAt) -> impl Iterator<Item = FieldsAt> {
    let order = section.order;
    let entries = section.bytes.as_chunks::<ENTRY>().0.iter().skip(1);
    entries.map(move |bytes| FieldsAt { bytes, order }).filter(|entry| entry.array(0) != Some(&[0xff; 24]))
}

/// One configuration record.
///
/// | offset | size | field | meaning |
/// |---|---|---|---|
/// | 0 | 8 | signature, crc | of all the record |
/// | 8 | 24 | guid | the volume's |
/// | 32 | 32 | timestamp, sequence number | |
/// | 64 | 2 | primary element count | disks of this level |
/// | 66 | 1 | stripe size | |
/// | 67 | 1 | primary RAID level | |
/// | 68 | 1 | RAID level qualifier | |
/// | 69 | 1 | secondary element count | how many of these make up the volume |
/// | 70 | 1 | secondary element number | which of them this is |
/// | 71 | 1 | secondary RAID level | |
/// | 72 | 440 | sizes, spares, and what is the vendor's | |
/// | 512 | 4 * count | reference numbers | of the disks, in order |
fn volume(record: FieldsAt, reference: Option<u32>) -> Option<Volume> {
    let count = record.u16(64)?;
    let halves = record.u8(69)?.max(1);
    let half = Some(record.u8(70)?).filter(|half| *half < halves).unwrap_or_default();
    let references = (0..count).map(|number| record.u32(SECTOR + usize::from(number) * 4));
    let references = references.collect::<Option<Vec<_>>>()?;
    let place = references.iter().position(|found| Some(*found) == reference);
    let index = place.and_then(|place| u32::try_from(place).ok());
    Some(Volume {
        guid: *record.array(8)?,
        level: level_text(record.u8(67)?, (halves > 1).then_some(record.u8(71)?)),
        members: u32::from(count) * u32::from(halves),
        index: index.map(|index| u32::from(half) * u32::from(count) + index),
    })
}

/// The level; and of what is made of such volumes, how they are put together.
fn level_text(primary: u8, secondary: Option<u8>) -> String {
    let level = match primary {
        0x0f => "jbod".into(),
        0x11 => "raid1e".into(),
        0x15 => "raid5e".into(),
        0x1f => "linear".into(),
        0x25 => "raid5ee".into(),
        0x35 => "raid5r".into(),
        level => format!("raid{level}"),
    };
    match secondary {
        None => level,
        // Striped, and spanned: mdadm writes this for its RAID 10.
        Some(0 | 3) => format!("{level}0"),
        Some(1) => format!("{level}1"),
        Some(_) => format!("{level}, concatenated"),
    }
}

/// As mdadm prints it.
fn guid_text(guid: &[u8; 24]) -> String {
    let words = guid.as_chunks().0.iter().map(|word| format!("{:08X}", u32::from_be_bytes(*word)));
    words.collect::<Vec<_>>().join(":")
}
