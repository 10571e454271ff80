//! Whether a PV is really one on an MD array, of which the device is a part.
//!
//! With metadata 0.90 or 1.0, which is at the end, a member of an array begins as the array does,
//! label and all.

use crate::metadata::VgText;
use crate::ondisk::ByteRange;
use std::vec::IntoIter;

const MAGIC: u32 = 0xa92b_4efc;
const SECTOR: u64 = 512;
/// Of what is read at each place; the magic is in front.
const LENGTH: usize = 4096;
/// Metadata 0.90 has the last 64 KiB that begin at a multiple of 64 KiB.
const RESERVED: u64 = 64 << 10;

/// Where the array's metadata would be, if the text says that the PV was made on another device
/// than this: on an MD array, or on one of another size. As lvm2 (`_online_devs`), we look no
/// further otherwise.
pub(super) fn places(vg: &VgText, pvid: crate::id::Id, device_size: u64) -> IntoIter<ByteRange> {
    let listed = vg.pvids.iter().position(|other| *other == pvid).and_then(|index| vg.made_on.get(index));
    let is_odd = listed.is_some_and(|made_on| made_on.md_array || made_on.size.is_some_and(|size| size != device_size));
    if !is_odd {
        return Vec::new().into_iter();
    }
    let v0_90 = (device_size / RESERVED * RESERVED).checked_sub(RESERVED);
    let v1_0 = (device_size / SECTOR).checked_sub(16).map(|sector| sector / 8 * 8 * SECTOR);
    let ranges = v0_90.into_iter().chain(v1_0).map(|offset| ByteRange { offset, length: LENGTH });
    ranges.filter(|range| range.end_within(device_size).is_some()).collect::<Vec<_>>().into_iter()
}

/// Metadata 0.90 is written in the byte order of its machine.
pub(super) fn is_metadata(bytes: &[u8]) -> bool {
    bytes.first_chunk().is_some_and(|magic| [MAGIC.to_le_bytes(), MAGIC.to_be_bytes()].contains(magic))
}
