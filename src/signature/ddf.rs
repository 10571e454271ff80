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
    if known.is_partition() {
        return Ok(None);
    }
    let end = known.size() & !511;
    let places = [1, 257].into_iter().filter_map(|behind: u64| end.checked_sub(behind.checked_mul(512)?));
    first_good(places, |place| at_anchor(known, place))
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
        version: String::from_utf8_lossy(&padded(&anchor.revision).unwrap_or_default()).into_owned(),
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
    match count.checked_mul(SECTOR) {
        Some(length @ 1..=MAX_SECTION) => if_readable(known, ByteRange { offset, length }),
        _ => Ok(None),
    }
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
        let section = |at: usize| Some((fields.u32(at)?, fields.u32(at.checked_add(4)?)?));
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
    hasher.update(head.get(..4).unwrap_or(head));
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
    let name = |entry: FieldsAt| Some((*entry.array(0)?, padded(entry.array::<16>(48)?)));
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
    let references = (0..usize::from(count)).map(|number| record.u32(number.checked_mul(4)?.checked_add(SECTOR)?));
    let references = references.collect::<Option<Vec<_>>>()?;
    let place = references.iter().position(|found| Some(*found) == reference);
    let index = place.and_then(|place| u32::try_from(place).ok());
    Some(Volume {
        guid: *record.array(8)?,
        level: level_text(record.u8(67)?, (halves > 1).then_some(record.u8(71)?)),
        members: u32::from(count).saturating_mul(halves.into()),
        index: index.map(|index| u32::from(half).saturating_mul(count.into()).saturating_add(index)),
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

    /// A container as one of its disks describes it; the default is the first disk of a mirror.
    pub struct Spec<'a> {
        pub own: u32,
        /// Reference number, type, state.
        pub disks: &'a [(u32, u16, u16)],
        pub volumes: &'a [Volume<'a>],
        /// Where the anchor is, in sectors from the end.
        pub behind: u64,
        /// The sectors of the primary and of the secondary header, if not close before the anchor.
        pub headers: Option<[u64; 2]>,
        /// The wrong byte order.
        pub little: bool,
    }

    #[derive(Clone, Copy)]
    pub struct Volume<'a> {
        pub name: &'a str,
        pub level: u8,
        /// Number of secondary elements, which of them, and the secondary level.
        pub secondary: [u8; 3],
        pub disks: &'a [u32],
    }

    pub const MIRROR: Volume =
        Volume { name: "mirror", level: 1, secondary: [1, 0, 0xff], disks: &[0x1111_1111, 0x2222_2222] };

    impl Default for Spec<'_> {
        fn default() -> Self {
            Spec {
                own: 0x1111_1111,
                disks: &[(0x1111_1111, 2, 1), (0x2222_2222, 2, 1)],
                volumes: &[MIRROR],
                behind: 1,
                headers: None,
                little: false,
            }
        }
    }

    /// Structures, each with its own checksum, and where they are: the anchor, then the primary header
    /// and its sections, then the secondary; `None` if there is no room.
    pub fn pieces(device_size: u64, spec: &Spec) -> Option<Pieces> {
        let anchor = (device_size / 512).checked_sub(spec.behind)?;
        let [primary, secondary] = match spec.headers {
            Some(headers) => headers,
            None => [anchor.checked_sub(32)?, anchor.checked_sub(64)?],
        };
        let put_number = |bytes: &mut [u8], at: usize, number: &[u8]| {
            let number = number.iter().copied();
            let number = if spec.little { number.rev().collect() } else { number.collect::<Vec<_>>() };
            put(bytes, at, &number);
        };
        let structure = |magic: u32, sectors: usize| {
            let mut bytes = vec![0xff; sectors * SECTOR];
            put_number(&mut bytes, 0, &magic.to_be_bytes());
            bytes
        };
        let header = |kind| {
            let mut bytes = structure(HEADER, 1);
            put(&mut bytes, 8, b"Linux-MD\xde\xad\xbe\xef\0\0\0\0\x11\x11\x11\x11\x22\x22\x22\x2201.02.00");
            bytes[48] = 0;
            put_number(&mut bytes, 96, &primary.to_be_bytes());
            put_number(&mut bytes, 104, &secondary.to_be_bytes());
            bytes[112] = kind;
            put_number(&mut bytes, 134, &[0, 2]);
            let records = 2 * u8::try_from(spec.volumes.len()).unwrap_or(u8::MAX);
            for (number, [start, count]) in [[1, 1], [2, 1], [3, 1], [4, records], [30, 1]].into_iter().enumerate() {
                put_number(&mut bytes, 192 + 8 * number, &[0, 0, 0, start]);
                put_number(&mut bytes, 196 + 8 * number, &[0, 0, 0, count]);
            }
            bytes
        };
        let mut disks = structure(PHYSICAL_DISKS, 1);
        for (disk, entry) in spec.disks.iter().zip(disks.as_chunks_mut::<ENTRY>().0.iter_mut().skip(1)) {
            entry[..24].fill(0x11);
            put_number(entry, 24, &disk.0.to_be_bytes());
            put_number(entry, 28, &disk.1.to_be_bytes());
            put_number(entry, 30, &disk.2.to_be_bytes());
        }
        let mut names = structure(VIRTUAL_DISKS, 1);
        let mut sections = Vec::new();
        for (number, volume) in (0_u8..).zip(spec.volumes) {
            let entry = &mut names[ENTRY * (usize::from(number) + 1)..][..ENTRY];
            entry.fill(0);
            entry[..24].fill(number);
            put(entry, 48, volume.name.as_bytes());
            let mut record = structure(CONFIGURATION, 2);
            record[8..32].fill(number);
            put_number(&mut record, 64, &u16::try_from(volume.disks.len()).ok()?.to_be_bytes());
            record[67] = volume.level;
            put(&mut record, 69, &volume.secondary);
            for (at, disk) in volume.disks.iter().enumerate() {
                put_number(&mut record, SECTOR + at * 4, &disk.to_be_bytes());
            }
            sections.push((4 + 2 * u64::from(number), record));
        }
        let mut data = structure(DISK_DATA, 1);
        put_number(&mut data, 32, &spec.own.to_be_bytes());
        sections.extend([(2, disks), (3, names), (30, data)]);
        let mut pieces = vec![(anchor, header(0))];
        for (lba, kind) in [(primary, 1), (secondary, 2)] {
            pieces.push((lba, header(kind)));
            pieces.extend(sections.iter().map(|(start, bytes)| (lba.wrapping_add(*start), bytes.clone())));
        }
        pieces.iter_mut().for_each(|(_, piece)| put_sum(piece, spec.little));
        Some(pieces.into_iter().map(|(sector, piece)| (sector.wrapping_mul(512), piece)).collect())
    }

    /// Makes the checksum good.
    pub fn put_sum(piece: &mut [u8], little: bool) {
        let sum = crc(piece);
        put(piece, 4, &if little { sum.to_le_bytes() } else { sum.to_be_bytes() });
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
    use super::image::{MIRROR, Spec, Volume, pieces, put_sum};
    use super::*;

    const SIZE: usize = 300 << 10;
    const GUID: &str = "4C696E75:782D4D44:DEADBEEF:00000000:11111111:22222222";
    const DISKS: [u32; 4] = [0x1111_1111, 0x2222_2222, 0x3333_3333, 0x4444_4444];

    fn find(pieces: &[(u64, Vec<u8>)]) -> Found {
        look(&SIGNATURE, &with(SIZE, pieces))
    }

    fn made(spec: &Spec) -> Pieces {
        pieces(SIZE as u64, spec).unwrap()
    }

    /// Its name, level and members, and its role in words.
    fn said(found: &Found) -> (String, String, u32, String) {
        let [member] = &found.members[..] else { panic!("{found:?}") };
        assert_eq!((member.uuid.as_deref(), member.is_weak), (Some(GUID), false));
        let name = member.name.as_deref().map(|name| String::from_utf8_lossy(name).into_owned());
        let role = member.role.map(|role| role.to_string());
        let level = member.level.clone().unwrap_or_default();
        (name.unwrap_or_default(), level, member.members.unwrap_or_default(), role.unwrap_or_default())
    }

    fn check(spec: &Spec, name: &str, level: &str, members: u32, role: &str) {
        assert_eq!(said(&find(&made(spec))), (name.into(), level.into(), members, role.into()));
    }

    #[test]
    fn either_place_of_the_anchor() {
        for behind in [1, 257] {
            let found = find(&made(&Spec { behind, ..Spec::default() }));
            assert_eq!((found.members[0].offset, &*found.members[0].version), (SIZE as u64 - behind * 512, "01.02.00"));
            assert_eq!(said(&found), ("mirror".into(), "raid1".into(), 2, "active device 0".into()));
        }
        assert_eq!(find(&made(&Spec { behind: 2, ..Spec::default() })).members, []);
    }

    #[test]
    fn of_two_anchors_the_good_one_counts() {
        let mut both = made(&Spec::default());
        let (_, anchor) = both[0].clone();
        both.push((SIZE as u64 - 257 * 512, anchor));
        assert_eq!(find(&both).members.len(), 1);
        both[0].1[300] ^= 1;
        let found = find(&both);
        assert_eq!((found.members[0].offset, found.damaged.len()), (SIZE as u64 - 257 * 512, 0));
    }

    #[test]
    fn firmware_knows_no_partitions() {
        let image = with(SIZE, &made(&Spec::default()));
        assert_eq!(look_at_partition(&SIGNATURE, &image).members, []);
    }

    #[test]
    fn the_sections_may_be_anywhere() {
        for headers in [[0, 64], [64, 0], [64, u64::MAX / 512 - 64]] {
            check(&Spec { headers: Some(headers), ..Spec::default() }, "mirror", "raid1", 2, "active device 0");
        }
    }

    #[test]
    fn volumes_of_a_disk() {
        let of = |level, secondary, disks| Volume { name: "a name of sixtn", level, secondary, disks };
        let several = |volumes: &[Volume], name: &str, level: &str, members, role: &str| {
            check(&Spec { volumes, ..Spec::default() }, name, level, members, role);
        };
        let one = |volume: Volume, level: &str, members, role: &str| {
            several(&[volume], "a name of sixtn", level, members, role);
        };
        one(of(0, [1, 0, 0xff], &DISKS), "raid0", 4, "active device 0");
        one(of(5, [1, 0, 0xff], &[9, 8, DISKS[0]]), "raid5", 3, "active device 2");
        one(of(1, [2, 0, 0], &DISKS[..2]), "raid10", 4, "active device 0");
        one(of(1, [2, 1, 3], &[9, DISKS[0]]), "raid10", 4, "active device 3");
        one(of(0, [2, 1, 1], &[9, DISKS[0]]), "raid01", 4, "active device 3");
        one(of(1, [2, 7, 2], &DISKS[..2]), "raid1, concatenated", 4, "active device 0");
        one(of(0x1f, [0, 0, 0], &DISKS[..1]), "linear", 1, "active device 0");
        let parity = Volume { name: "parity", level: 5, secondary: [1, 0, 0xff], disks: &DISKS };
        let turned = Volume { disks: &[DISKS[1], DISKS[0]], ..MIRROR };
        several(&[MIRROR, parity], "mirror, parity", "raid1, raid5", 0, "active device 0");
        several(&[MIRROR, turned], "mirror, mirror", "raid1, raid1", 2, "");
        let others = Volume { disks: &DISKS[2..], name: "others", ..MIRROR };
        several(&[others, parity], "parity", "raid5", 4, "active device 0");
    }

    #[test]
    fn volumes_are_in_the_order_of_their_names() {
        let parity = Volume { name: "parity", level: 5, ..MIRROR };
        let mut pieces = made(&Spec { volumes: &[MIRROR, parity], ..Spec::default() });
        let places = [pieces[RECORD].0, pieces[RECORD + 1].0];
        [pieces[RECORD + 1].0, pieces[RECORD].0] = places;
        assert_eq!(said(&find(&pieces)), ("mirror, parity".into(), "raid1, raid5".into(), 2, "active device 0".into()));
    }

    /// Firmware may have the records of all volumes on all disks, and of a two-level one several.
    #[test]
    fn of_several_records_of_a_volume_that_of_this_disk_counts() {
        let half = |half, disks| Volume { secondary: [2, half, 0], disks, ..MIRROR };
        for order in [[0, 1], [1, 0]] {
            let volumes = order.map(|number: u8| half(number, &DISKS[usize::from(number) * 2..][..2]));
            let mut pieces = made(&Spec { own: DISKS[2], volumes: &volumes, ..Spec::default() });
            for (_, record) in pieces.iter_mut().filter(|(_, piece)| piece.starts_with(&CONFIGURATION.to_be_bytes())) {
                record[8..32].fill(0);
                put_sum(record, false);
            }
            assert_eq!(said(&find(&pieces)), ("mirror".into(), "raid10".into(), 4, "active device 2".into()));
        }
    }

    #[test]
    fn what_the_disk_is_for() {
        let role = |own, kind, state| {
            said(&find(&made(&Spec { own, disks: &[(7, 0, 2), (own, kind, state)], ..Spec::default() }))).3
        };
        assert_eq!(role(DISKS[0], 2, 1), "active device 0");
        assert_eq!(role(DISKS[0], 2, 5), "active device 0", "it is being rebuilt");
        assert_eq!(role(DISKS[0], 2, 3), "faulty");
        assert_eq!(role(DISKS[0], 2, 0x41), "faulty");
        assert_eq!(role(DISKS[2], 4, 1), "spare");
        assert_eq!(role(DISKS[2], 8, 1), "spare");
        assert_eq!(role(DISKS[2], 0, 1), "");
        let spare = Spec { own: DISKS[2], disks: &[(DISKS[2], 4, 1)], ..Spec::default() };
        check(&spare, "mirror", "", 0, "spare");
    }

    #[test]
    fn the_other_byte_order() {
        let spec = Spec { little: true, ..Spec::default() };
        check(&spec, "mirror", "raid1", 2, "active device 0");
        // How such a writer sums up is not known.
        let mut pieces = made(&spec);
        pieces[0].1[4] ^= 1;
        let found = find(&pieces);
        assert!(found.members[0].is_weak && found.damaged.is_empty());
    }

    const ANCHOR: usize = 0;
    const PRIMARY: usize = 1;
    const RECORD: usize = 2;
    const PHYSICAL: usize = 3;
    const VIRTUAL: usize = 4;
    const DATA: usize = 5;
    const SECONDARY: usize = 6;

    /// To whose description each section contributes.
    const FAULTY: Spec =
        Spec { own: DISKS[0], disks: &[(DISKS[0], 2, 3)], volumes: &[MIRROR], behind: 1, headers: None, little: false };

    #[test]
    fn no_flipped_byte_is_accepted() {
        let pieces = made(&FAULTY);
        let good = said(&find(&pieces));
        for number in 0..SECONDARY {
            for at in 0..pieces[number].1.len() {
                let mut damaged = pieces.clone();
                damaged[number].1[at] ^= 0x55;
                let found = find(&damaged);
                let context = format!("{number}: byte {at}");
                match number {
                    ANCHOR => {
                        assert_eq!((found.members.len(), found.damaged.len()), (0, usize::from(at >= 4)), "{context}")
                    }
                    PRIMARY => assert_eq!(said(&found), good, "{context}"),
                    _ => assert_ne!(said(&found), good, "{context}"),
                }
            }
        }
    }

    /// What is left when a section is damaged, or cannot be read.
    #[test]
    fn without_a_section_less_is_said() {
        let left = [
            (RECORD, ("mirror", "", 0, "faulty")),
            (PHYSICAL, ("mirror", "raid1", 2, "active device 0")),
            (VIRTUAL, ("", "raid1", 2, "faulty")),
            (DATA, ("mirror", "raid1", 2, "")),
        ];
        let spec = Spec { headers: Some([16, 64]), ..FAULTY };
        for (number, (name, level, members, role)) in left {
            let mut pieces = made(&spec);
            let place = pieces[number].0;
            let expected = (name.into(), level.into(), members, role.into());
            let found = look_with_errors(&SIGNATURE, &with(SIZE, &pieces), |range| range.offset == place);
            assert_eq!(said(&found), expected, "{number} cannot be read");
            assert!(found.unread.is_empty() && found.damaged.is_empty());
            pieces[number].1[20] ^= 1;
            assert_eq!(said(&find(&pieces)), expected, "{number} is damaged");
        }
    }

    #[test]
    fn the_anchor_is_enough() {
        let nothing = || ("".into(), "".into(), 0, "".into());
        let mut pieces = made(&Spec::default());
        assert_eq!(said(&find(&pieces[..1])), nothing());
        for sector in [0, 599, 600, u64::MAX / 512, u64::MAX / 512 + 1, u64::MAX] {
            for at in [96, 104] {
                pieces[0].1[at..at + 8].copy_from_slice(&sector.to_be_bytes());
            }
            put_sum(&mut pieces[0].1, false);
            assert_eq!(said(&find(&pieces)), nothing(), "{sector}");
        }
    }

    /// The other header is that of another container, or of another kind, or a writer is at work.
    #[test]
    fn which_header_counts() {
        let spec = Spec { headers: Some([16, 64]), ..Spec::default() };
        let secondary = Spec { volumes: &[Volume { name: "second", ..MIRROR }], ..spec };
        let both = [&made(&spec)[..SECONDARY], &made(&secondary)[SECONDARY..]].concat();
        let name = |changes: &[(usize, usize, u8)]| {
            let mut both = both.clone();
            for &(number, at, value) in changes {
                both[number].1[at] = value;
                put_sum(&mut both[number].1, false);
            }
            said(&find(&both)).0
        };
        assert_eq!(name(&[]), "mirror");
        assert_eq!(name(&[(PRIMARY, 8, 9)]), "second");
        assert_eq!(name(&[(PRIMARY, 112, 2)]), "second");
        assert_eq!(name(&[(PRIMARY, 48, 0xff)]), "second");
        assert_eq!(name(&[(PRIMARY, 48, 0xff), (SECONDARY, 48, 0xff)]), "mirror");
        assert_eq!(name(&[(PRIMARY, 48, 0xff), (SECONDARY, 112, 1)]), "mirror");
        assert_eq!(name(&[(PRIMARY, 112, 0), (SECONDARY, 48, 0xff)]), "second");
        assert_eq!(name(&[(PRIMARY, 112, 0), (SECONDARY, 8, 9)]), "");
    }

    /// Sections of any size and place; only configuration records may be looked at in part.
    #[test]
    fn no_length_is_trusted() {
        let lengths = |at: usize, start: u32, count: u32| {
            let mut pieces = made(&Spec { headers: Some([16, u64::MAX]), ..Spec::default() });
            pieces[PRIMARY].1[at..at + 4].copy_from_slice(&start.to_be_bytes());
            pieces[PRIMARY].1[at + 4..at + 8].copy_from_slice(&count.to_be_bytes());
            put_sum(&mut pieces[PRIMARY].1, false);
            said(&find(&pieces))
        };
        for at in [200, 208, 216, 224] {
            for start in [0, 1, 583, 584, u32::MAX] {
                for count in [0, 1, 2, 511, 512, 513, u32::MAX] {
                    lengths(at, start, count);
                }
            }
        }
        assert_eq!(lengths(216, 4, 513).1, "raid1");
        assert_eq!(lengths(208, 3, 513).0, "");
    }

    /// Damage behind a good checksum: any field may have any value.
    #[test]
    fn no_value_of_a_field_is_trusted() {
        let pieces = made(&Spec::default());
        for number in 0..SECONDARY {
            for at in 0..pieces[number].1.len() {
                for value in [0x00, 0x01, 0x7f, 0x80, 0xff] {
                    let mut changed = pieces.clone();
                    changed[number].1[at] = value;
                    put_sum(&mut changed[number].1, false);
                    let found = find(&changed);
                    assert!(found.members.len() == 1 || (number == ANCHOR && at < 4), "{number}: byte {at}");
                    assert!(found.members.iter().all(|member| !member.to_string().is_empty()));
                }
            }
        }
    }

    #[test]
    fn long_lists_of_volumes_are_cut() {
        let volumes = [MIRROR; 7];
        let spec = Spec { volumes: &volumes, ..Spec::default() };
        assert_eq!(said(&find(&made(&spec))).0.len(), 7 * "mirror".len() + 6 * 2);
        let contents = Contents {
            reference: None,
            disk: None,
            names: (0..100).map(|number| ([number; 24], Some(b"x".to_vec()))).collect(),
            volumes: (0..100)
                .map(|number| super::Volume { guid: [number; 24], level: "l".into(), members: 1, index: None })
                .collect(),
        };
        let member = contents.describe(Member::default());
        assert_eq!((member.name.unwrap().len(), member.level.unwrap().len()), (32 + 31 * 2, 32 + 31 * 2));
    }
}
