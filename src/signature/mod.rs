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
mod ddf;
mod fields_at;
#[doc(hidden)]
pub mod firmware_image;
mod imsm;
mod md;
#[cfg(test)]
mod whole;

use crate::device::{Holder, Stack};
use crate::ondisk::{ByteRange, ReadError};
use std::fmt;

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
/// probes all kinds of RAID before LVM.
pub const OVER_LVM: &[&Signature] = &[&md::SIGNATURE, &ddf::SIGNATURE, &imsm::SIGNATURE, &asr::SIGNATURE];

/// Whose word counts where there is no label: LVM takes a device with a label and with one of
/// these for a PV.
pub const UNDER_LVM: &[&Signature] = &[];

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
    /// What the label says of the size of the device that it was made for.
    label_size: Option<u64>,
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
        Known { medium, label_size: None, pieces: Vec::new() }
    }

    pub fn put(&mut self, range: ByteRange, read: Result<&[u8], ReadError>) {
        self.pieces.push((range, read.map(<[u8]>::to_vec)));
    }

    /// There is a label, made for a device of this size.
    pub fn set_label(&mut self, size: u64) {
        self.label_size = Some(size);
    }

    /// Has everything but the first piece read again.
    pub fn forget_end(&mut self) {
        self.pieces.truncate(1);
    }

    /// Whether the PV, if there is a label, reaches over this place: then what is there is the PV's.
    /// An array ends before the superblocks of its members, unless it is larger than a member.
    pub fn is_in_pv(&self, place: u64) -> bool {
        self.label_size.is_some_and(|size| place < size && size <= self.medium.size)
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
        let tail = tail(self.size());
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
const TAIL: u64 = 257 * 512;

/// The end of a device, which is read at once.
fn tail(device_size: u64) -> ByteRange {
    let offset = (device_size & !0x1ff).saturating_sub(TAIL);
    ByteRange { offset, length: usize::try_from(device_size - offset).expect("it is a little more than 128 KiB") }
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
        let tail = (SIZE - 131_584, 131_584, false);
        assert_eq!(next(&[]), want(SIZE - 131_584, 131_584));
        assert_eq!(next(&[(SIZE - 131_584, 131_584, true)]), None);
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
