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

#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects, clippy::expect_used, clippy::indexing_slicing))]

mod asr;
mod bcache;
mod bcachefs;
mod bitlocker;
mod bluestore;
mod ddf;
mod drbd;
mod drbdproxy;
mod fields_at;
#[doc(hidden)]
pub mod firmware_image;
mod gfs_pool;
mod highpoint;
mod imsm;
mod integrity;
mod jmicron;
mod known;
mod lsi;
mod luks;
mod lvm1;
mod md;
mod member;
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

use crate::ondisk::{ByteRange, ReadError, SECTOR};
use fields_at::{field, padded, uuid_text};
use known::SECTOR_SIZE;

pub use known::{Known, Medium};
pub use member::{Class, MAP_PREFIX, Member, Role};

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
    &drbdproxy::SIGNATURE,
];

/// What ends a look early.
#[derive(Debug, PartialEq, Eq)]
pub enum Trouble {
    /// These bytes are to be read first.
    Wanted(ByteRange),
    Unread(ByteRange, ReadError),
    /// There is a superblock by its magic at this place, and this is wrong with it.
    Damaged(u64, String),
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

/// All that these looks will have read if nobody claims the device: as if nothing but zeros were there.
pub fn wanted(looks: &[(&[&Signature], When)], known: &Known) -> Vec<ByteRange> {
    let (mut known, mut wanted) = (known.clone(), Vec::new());
    for (signatures, when) in looks {
        while let Err(range) = search(signatures, *when, &known) {
            known.put(range, Ok(&vec![0; range.length]));
            wanted.push(range);
        }
    }
    wanted
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A label made for a device of any size, on one of any size.
    #[test]
    fn a_pv_costs_four_reads_of_its_end_at_most() {
        for size in [1 << 20, (1 << 20) + 511, 20 << 20, 1 << 40] {
            for label in [0, 1 << 19, size - (1 << 20), size - 399 * 512, size - 1, size, size + 1] {
                let mut known = Known::new(Medium { size, is_partition: false });
                known.put(ByteRange { offset: 0, length: 8 << 10 }, Ok(&[0; 8 << 10]));
                known.set_data_end(label);
                let mut reads = 0;
                while let Err(range) = search(OVER_LVM, When::Labelled, &known) {
                    known.put(range, Ok(&vec![0; range.length]));
                    reads += 1;
                }
                assert!(search(UNDER_LVM, When::Always, &known).is_ok());
                assert!(reads <= 4, "{size} {label}: {reads}");
            }
        }
    }

    #[test]
    fn of_an_end_that_cannot_be_read_the_rare_are_not_asked_piece_by_piece() {
        const SIZE: u64 = 20 << 20;
        let reads = |label: u64| {
            let mut known = Known::new(Medium { size: SIZE, is_partition: false });
            known.put(ByteRange { offset: 0, length: 8 << 10 }, Ok(&[0; 8 << 10]));
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

    /// All that is looked for without a label, at most, is in the first 8 KiB.
    #[test]
    fn what_is_always_looked_for_is_in_the_head() {
        for size in [1, 5000, 8 << 10, 1 << 20, u64::MAX] {
            let mut known = Known::new(Medium { size, is_partition: false });
            let length = usize::try_from(size.min(8 << 10)).unwrap();
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
