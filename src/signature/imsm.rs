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
    if known.is_partition() {
        return Ok(None);
    }
    first_good([512, 4096].into_iter(), |sector| at_anchor(known, sector))
}

/// Two sectors of this size before the end.
fn place(device_size: u64, sector: usize) -> Option<u64> {
    let sector = u64::try_from(sector).ok()?;
    device_size.checked_sub(device_size.checked_rem(sector)?)?.checked_sub(sector.checked_mul(2)?)
}

fn at_anchor(known: &Known, sector: usize) -> Result<Option<Member>, Trouble> {
    let place = place(known.size(), sector);
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
    let length = size.next_multiple_of(sector).saturating_sub(sector);
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
    let mut at = disks.saturating_mul(DISK).saturating_add(HEAD);
    while volumes.len() < count
        && let Some(volume) = volume(fields, at)
    {
        at = volume.end;
        volumes.push(volume);
    }
    let status = |disk: usize| fields.u32(disk.checked_mul(DISK)?.checked_add(HEAD + 24)?);
    let is_spare = |disk: usize| status(disk).is_some_and(|status| status & 1 != 0);
    let names = volumes.iter().filter_map(|volume| volume.name.as_deref()).collect::<Vec<_>>();
    let levels = volumes.iter().map(|volume| &*volume.level).collect::<Vec<_>>();
    let version = fields.array::<8>(24).and_then(|version| padded(version)).unwrap_or_default();
    Member {
        format: SIGNATURE.format,
        class: Class::FirmwareRaid,
        version: String::from_utf8_lossy(&version).into_owned(),
        offset: place,
        uuid: fields.u32(40).map(|family| format!("{family:08x}")),
        name: (!names.is_empty()).then(|| names.join(&b", "[..])),
        role: (count == 0 && disks > 0 && (0..disks).all(is_spare)).then_some(Role::Spare),
        level: (!levels.is_empty()).then(|| levels.join(", ")),
        members: same(volumes.iter().map(|volume| volume.members)),
        is_weak: false,
    }
}

struct Volume {
    name: Option<Vec<u8>>,
    level: String,
    members: u32,
    /// Where the next one begins.
    end: usize,
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
    let own = FieldsAt { bytes: fields.bytes.get(at..)?, ..fields };
    let map = 112;
    let members = own.u8(map + 16)?;
    let mut end = map_end(own, map)?;
    if own.u8(88)? != 0 {
        end = map_end(own, end)?;
    }
    let level = match (own.u8(map + 15)?, members) {
        // Firmware has no mirror of more than two disks.
        (1, 3..) => 10,
        (level, _) => level,
    };
    Some(Volume {
        name: padded(own.array::<16>(0)?),
        level: format!("raid{level}"),
        members: u32::from(members),
        end: at.checked_add(end)?,
    })
}

fn map_end(fields: FieldsAt, map: usize) -> Option<usize> {
    let members = usize::from(fields.u8(map.checked_add(16)?)?);
    let end = members.checked_mul(4)?.checked_add(48)?.checked_add(map)?;
    (end <= fields.bytes.len()).then_some(end)
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

    pub struct Volume<'a> {
        pub name: &'a str,
        pub level: u8,
        pub members: u8,
        pub is_migrating: bool,
    }

    pub const MIRROR: Volume = Volume { name: "mirror", level: 1, members: 2, is_migrating: false };

    /// A superblock with a good checksum; of the disks the status is given.
    pub fn superblock(disks: &[u32], volumes: &[Volume]) -> Vec<u8> {
        let mut bytes = vec![0; HEAD];
        put(&mut bytes, 0, MAGIC);
        put(&mut bytes, 24, b"1.3.00");
        put(&mut bytes, 40, &0xa355_47d4_u32.to_le_bytes());
        bytes[56] = u8::try_from(disks.len()).unwrap_or(u8::MAX);
        bytes[57] = u8::try_from(volumes.len()).unwrap_or(u8::MAX);
        for status in disks {
            let disk = bytes.len();
            bytes.resize(disk + DISK, 0);
            put(&mut bytes, disk, b"a serial number");
            put(&mut bytes, disk + 24, &status.to_le_bytes());
        }
        for volume in volumes {
            let at = bytes.len();
            bytes.resize(at + 112, 0);
            put(&mut bytes, at, volume.name.as_bytes());
            bytes[at + 88] = u8::from(volume.is_migrating);
            // Before it migrated, it was a disk alone.
            let before = volume.is_migrating.then_some((0, 1));
            for (level, members) in [(volume.level, volume.members)].into_iter().chain(before) {
                let map = bytes.len();
                bytes.resize(map + 48 + 4 * usize::from(members), 0);
                bytes[map + 15] = level;
                bytes[map + 16] = members;
            }
        }
        let size = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        put(&mut bytes, 36, &size.to_le_bytes());
        put_sum(&mut bytes);
        bytes
    }

    /// The pieces of a superblock on a device with sectors of this size; `None` if there is no room.
    pub fn pieces(device_size: u64, sector: usize, superblock: &[u8]) -> Option<Pieces> {
        let place = place(device_size, sector)?;
        let (anchor, rest) = superblock.split_at(superblock.len().min(sector));
        let mut rest = rest.to_vec();
        rest.resize(rest.len().next_multiple_of(sector), 0);
        Some(vec![(place, anchor.to_vec()), (place.checked_sub(rest.len() as u64)?, rest)])
    }

    /// Makes the checksum good.
    pub fn put_sum(superblock: &mut [u8]) {
        let sum = sum(superblock);
        put(superblock, 32, &sum.to_le_bytes());
    }

    fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
        bytes[at..at + value.len()].copy_from_slice(value);
    }
}

#[cfg(test)]
mod tests {
    use super::super::Found;
    use super::super::whole::{look, look_at_partition, look_with_errors, with};
    use super::image::{MIRROR, Volume, pieces, put_sum, superblock};
    use super::*;

    const SIZE: usize = 300 << 10;
    const SPARE: u32 = 1;
    const IN_USE: u32 = 2;
    const SECTORS: [usize; 2] = [512, 4096];

    fn image(sector: usize, superblock: &[u8]) -> Vec<u8> {
        with(SIZE, &pieces(SIZE as u64, sector, superblock).unwrap())
    }

    fn find(sector: usize, superblock: &[u8]) -> Found {
        look(&SIGNATURE, &image(sector, superblock))
    }

    fn check(disks: &[u32], volumes: &[Volume], name: &str, level: &str, members: u32, role: Option<Role>) {
        for sector in SECTORS {
            let found = find(sector, &superblock(disks, volumes));
            let [member] = &found.members[..] else { panic!("{found:?}") };
            assert_eq!((member.offset, member.is_weak), (SIZE as u64 - 2 * sector as u64, false));
            assert_eq!((&*member.version, member.uuid.as_deref()), ("1.3.00", Some("a35547d4")));
            assert_eq!(member.name.as_deref().unwrap_or_default(), name.as_bytes());
            let said = (member.level.as_deref().unwrap_or_default(), member.members.unwrap_or_default(), member.role);
            assert_eq!(said, (level, members, role), "{name}");
        }
    }

    #[test]
    fn volumes() {
        let volume = |name, level, members| Volume { name, level, members, is_migrating: false };
        let in_use = [IN_USE; 12];
        check(&in_use[..2], &[MIRROR], "mirror", "raid1", 2, None);
        check(&in_use[..2], &[volume("a name of 16 let", 0, 2)], "a name of 16 let", "raid0", 2, None);
        check(&in_use[..4], &[volume("old", 1, 4)], "old", "raid10", 4, None);
        check(&in_use[..4], &[volume("new", 10, 4)], "new", "raid10", 4, None);
        check(&in_use[..3], &[volume("five", 5, 3)], "five", "raid5", 3, None);
        check(&in_use[..2], &[volume("a", 0, 2), MIRROR], "a, mirror", "raid0, raid1", 2, None);
        check(&in_use, &[volume("a", 5, 12), volume("b", 0, 3)], "a, b", "raid5, raid0", 0, None);
        let migrating = Volume { is_migrating: true, ..volume("grown", 5, 3) };
        check(&in_use[..3], &[migrating, MIRROR], "grown, mirror", "raid5, raid1", 0, None);
        check(&in_use[..2], &[volume("", 1, 2)], "", "raid1", 2, None);
        check(&in_use[..2], &[], "", "", 0, None);
    }

    #[test]
    fn a_disk_that_has_no_volume_is_a_spare() {
        check(&[SPARE], &[], "", "", 0, Some(Role::Spare));
        check(&[SPARE, IN_USE], &[], "", "", 0, None);
        check(&[SPARE, IN_USE, IN_USE], &[MIRROR], "mirror", "raid1", 2, None);
        check(&[SPARE, SPARE], &[MIRROR], "mirror", "raid1", 2, None);
        check(&[], &[], "", "", 0, None);
    }

    #[test]
    fn firmware_knows_no_partitions() {
        for sector in SECTORS {
            assert_eq!(look_at_partition(&SIGNATURE, &image(sector, &superblock(&[SPARE], &[]))).members, []);
        }
    }

    #[test]
    fn no_size_is_trusted() {
        let good = superblock(&[IN_USE; 20], &[MIRROR]);
        for sector in SECTORS {
            for size in [0, 215, 216, 511, 512, 513, 4096, 4097, 65536, 65537, u32::MAX] {
                let mut bytes = good.clone();
                bytes[36..40].copy_from_slice(&size.to_le_bytes());
                let found = find(sector, &bytes);
                assert_eq!((found.members.len(), found.damaged.len()), (0, 1), "{size}");
            }
        }
        // What would be before the beginning of the device.
        let image = image(512, &good);
        for left in [512, 1024, 1536] {
            let found = look(&SIGNATURE, &image[SIZE - left..]);
            assert_eq!((found.members.len(), found.damaged.len()), (0, usize::from(left > 512)), "{left}");
        }
        assert_eq!(look(&SIGNATURE, &image[SIZE - 2048..]).members.len(), 1);
        let largest = {
            let mut bytes = good.clone();
            bytes.resize(64 << 10, 0);
            bytes[36..40].copy_from_slice(&(64_u32 << 10).to_le_bytes());
            put_sum(&mut bytes);
            bytes
        };
        for sector in SECTORS {
            let found = find(sector, &largest);
            assert_eq!(found.members[0].name.as_deref(), Some(&b"mirror"[..]));
        }
    }

    /// Volumes and disks that are not all there are left unsaid.
    #[test]
    fn no_count_is_trusted() {
        for (at, name) in [(56, ""), (57, "mirror")] {
            let mut bytes = superblock(&[IN_USE; 2], &[MIRROR]);
            bytes[at] = 0xff;
            put_sum(&mut bytes);
            let found = find(512, &bytes);
            assert_eq!(found.members[0].name.as_deref().unwrap_or_default(), name.as_bytes());
        }
    }

    #[test]
    fn what_cannot_be_read_is_told() {
        let image = image(512, &superblock(&[IN_USE; 20], &[MIRROR]));
        for place in [SIZE as u64 - 1024, SIZE as u64 - 1024 - 2 * 512] {
            let found = look_with_errors(&SIGNATURE, &image, |range| range.length > 100_000 || range.offset == place);
            assert_eq!((found.members.len(), found.unread.len()), (0, 1), "{place}");
        }
    }

    #[test]
    fn no_flipped_byte_is_accepted() {
        let good = superblock(&[IN_USE; 9], &[MIRROR]);
        for sector in SECTORS {
            for at in 0..good.len() {
                let mut damaged = good.clone();
                damaged[at] ^= 0x55;
                let found = find(sector, &damaged);
                assert_eq!((found.members.len(), found.damaged.len()), (0, usize::from(at >= 24)), "byte {at}");
            }
        }
    }

    /// Damage behind a good checksum: any field may have any value.
    #[test]
    fn no_value_of_a_field_is_trusted() {
        let good = superblock(&[IN_USE; 3], &[Volume { is_migrating: true, ..MIRROR }, MIRROR]);
        for at in (24..good.len()).filter(|at| !(32..40).contains(at)) {
            for value in [0x00, 0x01, 0x7f, 0x80, 0xff] {
                let mut changed = good.clone();
                changed[at] = value;
                put_sum(&mut changed);
                let found = find(512, &changed);
                assert!(found.members.len() == 1 && !found.members[0].to_string().is_empty(), "byte {at}");
            }
        }
    }
}
