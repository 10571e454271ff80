//! Who else may own a device: members of arrays, whose first bytes may be those of the array, and
//! what belongs to other systems.
//!
//! A member whose superblock is at its end shows the array's label as if it were its own. So the
//! end is looked at as well, but only where there is a label, since PVs are few, or where somebody
//! asks what is on the device.
//!
//! Each format has a file with a [`Signature`], and that a line in [`OVER_LVM`] or [`UNDER_LVM`]. A
//! [`Look`] asks for bytes as if all of them were there. Those that are not are read, and it is
//! called again.

mod asr;
mod bcache;
mod bcachefs;
mod bitlocker;
mod bluestore;
mod ddf;
mod drbd;
mod fields_at;
#[doc(hidden)]
pub mod firmware_image;
mod gfs_pool;
mod highpoint;
mod imsm;
mod integrity;
mod jmicron;
mod lsi;
mod luks;
mod lvm1;
mod md;
mod nvidia;
mod promise;
mod silicon_image;
mod snapshot;
mod stratis;
mod sums;
mod swap;
#[cfg(test)]
mod testing;
mod vdo;
mod verity;
mod via;
mod vmfs;
#[cfg(test)]
mod whole;
mod zfs;

use crate::device::{Holder, Stack};
use crate::ondisk::{ByteRange, ReadError, SECTOR};
use std::fmt;

#[cfg(test)]
pub(crate) use bcache::image as bcache_image;
#[doc(hidden)]
pub use md::image;

/// How one system marks the devices that are its own.
pub struct Signature {
    /// As in `member_of`.
    pub format: &'static str,
    pub looks: &'static [Look],
}

/// A place where a superblock may be.
pub struct Look {
    pub when: When,
    pub at: fn(&Known) -> Result<Option<Member>, Trouble>,
}

/// What a place may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum When {
    /// It is in what is read first of every device.
    Always,
    /// At the end: of a device with a label, or with a partition that has one.
    Labelled,
    /// Anywhere else: if somebody asks what is on the device.
    Asked,
}

/// Whose word counts for more than a label, the first's for most. The order is blkid's, which
/// probes all kinds of RAID before LVM. It does so on media of more than 1440 KiB only; here the
/// size does not matter, since a member of an array that is taken for a PV costs data.
pub const OVER_LVM: &[&Signature] = &[
    &md::SIGNATURE,
    &ddf::SIGNATURE,
    &imsm::SIGNATURE,
    &asr::SIGNATURE,
    &nvidia::SIGNATURE,
    &promise::SIGNATURE,
    &silicon_image::SIGNATURE,
    &jmicron::SIGNATURE,
    &via::SIGNATURE,
    &lsi::SIGNATURE,
    &highpoint::SIGNATURE,
    &bcache::SIGNATURE,
    &bcachefs::SIGNATURE,
    &drbd::SIGNATURE,
    &lvm1::SIGNATURE,
    &gfs_pool::SIGNATURE,
];

/// Whose word counts where there is no label: LVM takes a device with a label and with one of
/// these for a PV.
pub const UNDER_LVM: &[&Signature] = &[
    &luks::SIGNATURE,
    &snapshot::SIGNATURE,
    &integrity::SIGNATURE,
    &verity::SIGNATURE,
    &stratis::SIGNATURE,
    &vdo::SIGNATURE,
    &vmfs::SIGNATURE,
    &zfs::SIGNATURE,
    &swap::SIGNATURE,
    &bitlocker::SIGNATURE,
    &bluestore::SIGNATURE,
];

/// What a superblock says of the device it is on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Member {
    /// [`Signature::format`], or `multipath`.
    pub format: &'static str,
    pub class: Class,
    /// Of the superblock, such as `1.0`; empty if it has none.
    pub version: String,
    /// Where the superblock is.
    pub offset: u64,
    /// The array's, as its tool prints it.
    pub uuid: Option<String>,
    /// The array's; of a container with several volumes, theirs, separated by commas.
    pub name: Option<Vec<u8>>,
    pub role: Option<Role>,
    /// Such as `raid1`.
    pub level: Option<String>,
    /// How many devices the array has when it has all.
    pub members: Option<u32>,
    /// There is no checksum that would prove it: it may be left over from something else.
    pub is_weak: bool,
}

/// What kind of system a device belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Class {
    Md,
    /// RAID of a controller's firmware: on whole disks only.
    FirmwareRaid,
    Multipath,
    #[default]
    Other,
}

/// What the device is for in its array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Active(u32),
    Spare,
    Faulty,
    Journal,
    /// One of several ways to the same disk.
    Path,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Role::Active(number) => write!(f, "active device {number}"),
            Role::Spare => f.write_str("spare"),
            Role::Faulty => f.write_str("faulty"),
            Role::Journal => f.write_str("journal"),
            Role::Path => f.write_str("path"),
        }
    }
}

impl Member {
    /// Why the device is no PV, in LVM's words.
    pub fn why_no_pv(&self) -> String {
        match self.class {
            Class::Md => "device is an md component".into(),
            Class::FirmwareRaid => "device is a firmware raid component".into(),
            Class::Multipath => "device is a multipath component".into(),
            Class::Other if self.format == lvm1::SIGNATURE.format => {
                "device has a signature of LVM1, which LVM 2.02.178 and later do not support".into()
            }
            Class::Other => "device has a signature".into(),
        }
    }
}

/// What the device-mapper UUID of a multipath map begins with; its WWID follows.
pub const MAP_PREFIX: &str = "mpath-";
const DMRAID_PREFIX: &str = "DMRAID-";
const LV_PREFIX: &str = "LVM-";

impl Member {
    /// The array or map that has it now, by what is stacked on it. Of an array in a container, both
    /// hold it; then the one with the lower number, which mdadm made first.
    pub fn holder<'s>(&self, stack: &'s Stack) -> Option<&'s Holder> {
        let has_prefix = |holder: &Holder, prefix| holder.dm_uuid.as_ref().is_some_and(|uuid| uuid.starts_with(prefix));
        let is_md = |holder: &Holder| holder.name.starts_with("md");
        // Of a partition, the disk's.
        let mut holders = stack.holders.iter().chain(&stack.disk_holders);
        match self.class {
            Class::Md => holders.find(|holder| is_md(holder)),
            Class::FirmwareRaid => holders.find(|holder| is_md(holder) || has_prefix(holder, DMRAID_PREFIX)),
            Class::Multipath => holders.find(|holder| has_prefix(holder, MAP_PREFIX)),
            Class::Other => stack.holders.iter().find(|holder| !has_prefix(holder, LV_PREFIX)),
        }
    }
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Member { format, version, uuid, role, level, members, .. } = self;
        if let Some(role) = role {
            write!(f, "{role} of ")?;
        }
        if let Some(members) = members {
            write!(f, "{members} of ")?;
        }
        write!(f, "{format}")?;
        if !version.is_empty() {
            write!(f, " {version}")?;
        }
        if !matches!(self.class, Class::Other) {
            f.write_str(if self.class == Class::Multipath { " map" } else { " array" })?;
        }
        if let Some(name) = &self.name {
            write!(f, " {}", name.escape_ascii())?;
        }
        if let Some(uuid) = uuid {
            write!(f, " ({uuid})")?;
        }
        if let Some(level) = level {
            write!(f, ", {level}")?;
        }
        Ok(())
    }
}

/// What ends a look early.
#[derive(Debug, PartialEq, Eq)]
pub enum Trouble {
    /// These bytes are to be read first.
    Wanted(ByteRange),
    Unread(ByteRange, ReadError),
    /// There is a superblock by its magic at this place, and this is wrong with it.
    Damaged(u64, String),
}

/// A device, as far as its superblocks are concerned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Medium {
    /// In bytes.
    pub size: u64,
    /// Firmware knows of whole disks only.
    pub is_partition: bool,
}

/// What is known of a device, and what has been read of it.
#[derive(Debug)]
pub struct Known {
    medium: Medium,
    /// Where the data end that are known, which may be more than there is: those of a PV, by what its
    /// label says of the size of the device that it was made for, or those of a disk's partitions.
    data_end: Option<u64>,
    pieces: Vec<(ByteRange, Result<Vec<u8>, ReadError>)>,
}

/// What the looks came to.
#[derive(Debug, Default)]
pub struct Found {
    /// Everybody who claims the device, in the order of the signatures.
    pub members: Vec<Member>,
    /// Superblocks that count for nothing: where, and why.
    pub damaged: Vec<(u64, String)>,
    /// What could not be read; if there is no member, there may be one all the same.
    pub unread: Vec<(ByteRange, ReadError)>,
}

/// Looks in all places that may cost no more than this; an error is what has to be read before.
pub fn search(signatures: &[&Signature], when: When, known: &Known) -> Result<Found, ByteRange> {
    let mut found = Found::default();
    let looks = signatures.iter().flat_map(|signature| signature.looks);
    for look in looks.filter(|look| look.when <= when) {
        match (look.at)(known) {
            Ok(member) => found.members.extend(member),
            Err(Trouble::Wanted(range)) => return Err(range),
            Err(Trouble::Unread(range, error)) => found.unread.push((range, error)),
            Err(Trouble::Damaged(place, what)) => found.damaged.push((place, what)),
        }
    }
    Ok(found)
}

/// The first place where there is a superblock that counts; if there is none, the first trouble.
fn first_good<T>(
    places: impl Iterator<Item = T>,
    look: impl Fn(T) -> Result<Option<Member>, Trouble>,
) -> Result<Option<Member>, Trouble> {
    let mut trouble = None;
    for place in places {
        match look(place) {
            Ok(None) => {}
            Err(Trouble::Wanted(range)) => return Err(Trouble::Wanted(range)),
            Err(other) => trouble = trouble.or(Some(other)),
            found => return found,
        }
    }
    trouble.map_or(Ok(None), Err)
}

/// Bytes without which a member has only less to say; `None` if they cannot be had.
fn if_readable(known: &Known, range: ByteRange) -> Result<Option<&[u8]>, Trouble> {
    match known.bytes(range) {
        Err(Trouble::Unread(..)) => Ok(None),
        other => other,
    }
}

impl Known {
    pub fn new(medium: Medium) -> Known {
        Known { medium, data_end: None, pieces: Vec::new() }
    }

    pub fn put(&mut self, range: ByteRange, read: Result<&[u8], ReadError>) {
        self.pieces.push((range, read.map(<[u8]>::to_vec)));
    }

    /// There is a label, made for a device of this size, or the last partition of a disk ends here.
    pub fn set_data_end(&mut self, size: u64) {
        self.data_end = Some(size);
    }

    /// Has everything but the first piece read again.
    pub fn forget_end(&mut self) {
        self.pieces.truncate(1);
    }

    /// Whether the PV, if there is a label, reaches over this place: then what is there is the PV's.
    /// An array ends before the superblocks of its members, unless it is larger than a member.
    pub fn is_in_pv(&self, place: u64) -> bool {
        self.data_end.is_some_and(|size| place < size && size <= self.medium.size)
    }

    /// These bytes, if they have been read.
    pub fn read_before(&self, range: ByteRange) -> Option<&[u8]> {
        self.pieces.iter().find_map(|(piece, read)| {
            let start = usize::try_from(range.offset.checked_sub(piece.offset)?).ok()?;
            read.as_ref().ok()?.get(start..start.checked_add(range.length)?)
        })
    }

    fn size(&self) -> u64 {
        self.medium.size
    }

    /// `None` if they are not all on the device.
    fn block<const N: usize>(&self, offset: u64) -> Result<Option<&[u8; N]>, Trouble> {
        Ok(self.bytes(ByteRange { offset, length: N })?.and_then(|bytes| bytes.first_chunk()))
    }

    /// Where this many sectors from the end are, of a disk that firmware may know of.
    fn firmware_place(&self, sectors_from_end: u64) -> Option<u64> {
        let is_disk = !self.medium.is_partition && self.size() >= FIRMWARE_MIN;
        let sector = (self.size() / SECTOR_SIZE).checked_sub(sectors_from_end).filter(|_| is_disk)?;
        Some(sector * SECTOR_SIZE).filter(|place| self.is_worth_a_read(*place))
    }

    /// If the end cannot be read at once, each of its places is a read, and a sick disk takes its
    /// time for each. Where the PV is, whoever is rare there is not worth it.
    fn is_worth_a_read(&self, place: u64) -> bool {
        let tail = self.tail();
        let is_unread = self.pieces.iter().any(|(piece, read)| *piece == tail && read.is_err());
        !(is_unread && self.is_in_pv(place))
    }

    /// The sector there, and where it is.
    fn firmware_sector(&self, sectors_from_end: u64) -> Result<Option<(u64, &[u8; SECTOR])>, Trouble> {
        let Some(place) = self.firmware_place(sectors_from_end) else { return Ok(None) };
        Ok(self.block(place)?.map(|sector| (place, sector)))
    }

    /// All that a look may want of the end, which is read at once: of a disk with a PV that leaves
    /// room for more of firmware's places, more.
    fn tail(&self) -> ByteRange {
        let end = self.size() & !0x1ff;
        let wide = end.saturating_sub(WIDE_TAIL);
        let offset = if self.medium.is_partition || self.is_in_pv(wide) { end.saturating_sub(TAIL) } else { wide };
        let length = usize::try_from(self.size() - offset).expect("it is less than 256 KiB");
        ByteRange { offset, length }
    }

    /// `None` if they are not all on the device.
    fn bytes(&self, range: ByteRange) -> Result<Option<&[u8]>, Trouble> {
        if range.end_within(self.size()).is_none() {
            return Ok(None);
        }
        if let Some(bytes) = self.read_before(range) {
            return Ok(Some(bytes));
        }
        let read = |wanted: ByteRange| self.pieces.iter().find(|(piece, _)| *piece == wanted);
        // All that a look may want of the end lies together. If that cannot be read, the rest of
        // it is nobody's concern.
        let tail = self.tail();
        if range.offset >= tail.offset && read(tail).is_none() {
            return Err(Trouble::Wanted(tail));
        }
        match read(range) {
            Some((_, Err(error))) => Err(Trouble::Unread(range, *error)),
            _ => Err(Trouble::Wanted(range)),
        }
    }
}

/// DDF's second place is further from the end than any other that every PV is asked for.
const TAIL: u64 = 257 * SECTOR_SIZE;

/// The next of Promise's places.
const WIDE_TAIL: u64 = 399 * SECTOR_SIZE;

const SECTOR_SIZE: u64 = 512;

/// blkid knows of no smaller disks with RAID of a controller's firmware.
const FIRMWARE_MIN: u64 = 64 << 10;

/// The bytes of a field, at a place that its structure always has.
fn field<const N: usize>(structure: &[u8], at: usize) -> [u8; N] {
    *structure[at..].first_chunk().expect("a structure has room for its fields")
}

/// Up to the first NUL, without the spaces that pad it; `None` if that is nothing.
fn padded(bytes: &[u8]) -> Option<Vec<u8>> {
    let text = bytes.split(|byte| *byte == 0).next().unwrap_or_default().trim_ascii_end();
    (!text.is_empty()).then(|| text.to_vec())
}

/// In the usual groups; `None` if there is none.
fn uuid_text(uuid: [u8; 16]) -> Option<String> {
    let hex = format!("{:032x}", u128::from_be_bytes(uuid));
    let groups = [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]];
    (uuid != [0; 16]).then(|| groups.join("-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(size: u64, pieces: &[(u64, usize, bool)]) -> Known {
        let mut known = Known::new(Medium { size, is_partition: false });
        for &(offset, length, good) in pieces {
            let bytes = vec![7; length];
            known.put(ByteRange { offset, length }, if good { Ok(&bytes) } else { Err(ReadError::Io(5)) });
        }
        known
    }

    #[test]
    fn the_end_is_one_read_and_pieces_if_that_fails() {
        const SIZE: u64 = 20 << 20;
        let end = SIZE - (64 << 10);
        let want = |offset, length| Some(ByteRange { offset, length });
        let search = |pieces: &[(u64, usize, bool)]| search(&[&md::SIGNATURE], When::Labelled, &known(SIZE, pieces));
        let next = |pieces: &[(u64, usize, bool)]| search(&[&[(0, 8192, true)], pieces].concat()).err();
        let tail = (SIZE - 204_288, 204_288, false);
        assert_eq!(next(&[]), want(SIZE - 204_288, 204_288));
        assert_eq!(next(&[(SIZE - 204_288, 204_288, true)]), None);
        assert_eq!(next(&[tail]), want(end, 4096));
        assert_eq!(next(&[tail, (end, 4096, true)]), want(SIZE - 8192, 4096));
        let head = (0, 8192, true);
        let found = search(&[head, tail, (end, 4096, true), (SIZE - 8192, 4096, false)]).unwrap();
        assert_eq!(found.unread, [(ByteRange { offset: SIZE - 8192, length: 4096 }, ReadError::Io(5))]);
        let found = search(&[head, tail, (end, 4096, true), (SIZE - 8192, 4096, true)]).unwrap();
        assert!(found.unread.is_empty() && found.members.is_empty() && found.damaged.is_empty());
    }

    #[test]
    fn the_array_that_holds_a_member() {
        let holder = |name: &str, minor, uuid: Option<&str>| Holder {
            name: name.into(),
            devno: crate::devno::DevNo::new(9, minor),
            dm_uuid: uuid.map(str::to_owned),
            dm_name: None,
        };
        let holders = vec![
            holder("dm-0", 0, Some("LVM-x")),
            holder("dm-1", 1, Some("mpath-x")),
            holder("dm-2", 2, Some("DMRAID-x")),
            holder("md126", 126, None),
            holder("md127", 127, None),
        ];
        let disk_holders = vec![holder("dm-9", 9, Some("mpath-y"))];
        let whole = Stack { holders, ..Stack::default() };
        let partition = Stack { disk_holders, ..Stack::default() };
        for (class, on_whole, on_partition) in [
            (Class::Md, Some("/dev/md126"), None),
            (Class::FirmwareRaid, Some("/dev/dm-2"), None),
            (Class::Multipath, Some("/dev/dm-1"), Some("/dev/dm-9")),
            (Class::Other, Some("/dev/dm-1"), None),
        ] {
            let member = Member { class, ..Member::default() };
            for (stack, expected) in [(&whole, on_whole), (&partition, on_partition), (&Stack::default(), None)] {
                assert_eq!(member.holder(stack).map(Holder::node).as_deref(), expected, "{class:?} {stack:?}");
            }
        }
    }

    #[test]
    fn of_the_end_only_a_disk_that_a_pv_leaves_room_on_has_more_read() {
        const SIZE: u64 = 20 << 20;
        let tail = |is_partition, label: Option<u64>| {
            let mut known = Known::new(Medium { size: SIZE, is_partition });
            label.into_iter().for_each(|size| known.set_data_end(size));
            SIZE - known.tail().offset
        };
        assert_eq!(tail(false, None), 399 * 512);
        assert_eq!(tail(false, Some(SIZE)), 257 * 512);
        assert_eq!(tail(false, Some(SIZE - 399 * 512 + 1)), 257 * 512);
        assert_eq!(tail(false, Some(SIZE - 399 * 512)), 399 * 512);
        assert_eq!(tail(false, Some(SIZE + 1)), 399 * 512, "the PV is larger than the disk");
        assert_eq!(tail(true, None), 257 * 512);
    }

    /// A label made for a device of any size, on one of any size.
    #[test]
    fn a_pv_costs_three_reads_of_its_end_at_most() {
        for size in [1 << 20, (1 << 20) + 511, 20 << 20, 1 << 40] {
            for label in [0, 1 << 19, size - (1 << 20), size - 399 * 512, size - 1, size, size + 1] {
                let mut known = Known::new(Medium { size, is_partition: false });
                known.put(ByteRange { offset: 0, length: 16 << 10 }, Ok(&[0; 16 << 10]));
                known.set_data_end(label);
                let mut reads = 0;
                while let Err(range) = search(OVER_LVM, When::Labelled, &known) {
                    known.put(range, Ok(&vec![0; range.length]));
                    reads += 1;
                }
                assert!(search(UNDER_LVM, When::Always, &known).is_ok());
                assert!(reads <= 3 && (reads == 1 || label != size), "{size} {label}: {reads}");
            }
        }
    }

    #[test]
    fn of_an_end_that_cannot_be_read_the_rare_are_not_asked_piece_by_piece() {
        const SIZE: u64 = 20 << 20;
        let reads = |label: u64| {
            let mut known = Known::new(Medium { size: SIZE, is_partition: false });
            known.put(ByteRange { offset: 0, length: 16 << 10 }, Ok(&[0; 16 << 10]));
            known.set_data_end(label);
            let rare =
                [&nvidia::SIGNATURE, &promise::SIGNATURE, &via::SIGNATURE, &highpoint::SIGNATURE, &drbd::SIGNATURE];
            let mut reads = 0;
            loop {
                match search(&rare, When::Labelled, &known) {
                    Ok(found) => return (reads, found.unread.len()),
                    Err(range) => known.put(range, Err(ReadError::Io(5))),
                }
                reads += 1;
            }
        };
        assert_eq!(reads(SIZE), (1, 0));
        let (count, unread) = reads(SIZE - (2 << 20));
        assert!(count > 5 && unread > 5, "a PV that leaves room may be on any of them: {count}, {unread}");
    }

    /// All that is looked for without a label, at most, is in the first 16 KiB.
    #[test]
    fn what_is_always_looked_for_is_in_the_head() {
        for size in [1, 5000, 16 << 10, 1 << 20, u64::MAX] {
            let mut known = Known::new(Medium { size, is_partition: false });
            let length = usize::try_from(size.min(16 << 10)).unwrap();
            known.put(ByteRange { offset: 0, length }, Ok(&vec![0xff; length]));
            assert!(search(&[OVER_LVM, UNDER_LVM].concat(), When::Always, &known).is_ok(), "{size}");
        }
    }

    #[test]
    fn noise_belongs_to_nobody() {
        let signatures = [OVER_LVM, UNDER_LVM].concat();
        for seed in 0..40 {
            let mut noise = testing::Noise(seed);
            let mut known = Known::new(Medium { size: 80 << 20, is_partition: false });
            let found = loop {
                match search(&signatures, When::Asked, &known) {
                    Ok(found) => break found,
                    Err(range) => {
                        let mut bytes = vec![0; range.length];
                        noise.fill(&mut bytes);
                        known.put(range, Ok(&bytes));
                    }
                }
            };
            assert!(found.members.is_empty() && found.damaged.is_empty(), "{found:?}");
        }
    }

    #[test]
    fn texts() {
        assert_eq!(padded(b"a b  \0c").as_deref(), Some(&b"a b"[..]));
        assert_eq!(padded(b"  \0c"), None);
        assert_eq!(padded(b""), None);
        let uuid = std::array::from_fn(|number| u8::try_from(number).unwrap());
        assert_eq!(uuid_text(uuid).as_deref(), Some("00010203-0405-0607-0809-0a0b0c0d0e0f"));
        assert_eq!(uuid_text([0; 16]), None);
    }

    #[test]
    fn no_size_is_too_odd() {
        let edges = [0, 1, 511, 4095, 4096, 8191, 8192, 8193, 65535, 65536, 65537, 131_071, 131_072, u64::MAX];
        for size in edges.into_iter().chain((0..200_000).step_by(509)) {
            for when in [When::Always, When::Labelled, When::Asked] {
                let mut known = Known::new(Medium { size, is_partition: false });
                let signatures = [OVER_LVM, UNDER_LVM].concat();
                for _ in 0..40 {
                    let Err(range) = search(&signatures, when, &known) else { break };
                    assert!(
                        range.length > 0 && range.length <= 256 << 10 && range.end_within(size).is_some(),
                        "{size}"
                    );
                    known.put(range, Ok(&vec![0; range.length]));
                }
                assert!(search(&signatures, when, &known).is_ok(), "{size}");
            }
        }
    }
}
