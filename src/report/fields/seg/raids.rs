//! How raid spreads data over devices.

use super::{extents, number, other, seg};
use crate::report::model::lvs::{Area, Kind, Lv, Raid, Segment, Status};
use crate::report::row::Row;
use crate::report::value::Value;

pub fn count(seg: &Segment) -> u64 {
    u64::try_from(seg.areas.len()).unwrap_or(u64::MAX)
}

fn area_lv<'r>(row: &Row<'r>, area: &Area) -> Option<&'r Lv> {
    match *area {
        Area::Lv { lv, .. } => other(row, Some(lv)),
        Area::Pv { .. } | Area::Unassigned => None,
    }
}

/// Without those that a reshape has emptied.
pub fn data_stripes<'r>(row: &Row<'r>) -> Value<'r> {
    let seg = seg(row);
    let is_left = |area: &&Area| area_lv(row, area).is_some_and(|lv| lv.is(Status::REMOVE_AFTER_RESHAPE));
    let left = seg.areas.iter().skip(1).rev().take_while(is_left).count();
    let used = count(seg).saturating_sub(u64::try_from(left).unwrap_or(u64::MAX));
    let stripes = used.saturating_sub(seg.kind.parity_devices());
    match seg.kind {
        Kind::Raid(Raid::Raid10) => number(stripes / seg.data_copies.max(1)),
        _ => number(stripes),
    }
}

/// The raid that can be reshaped which the segment is of, or is the start of an image of.
fn reshapable<'r>(row: &Row<'r>) -> Option<&'r Lv> {
    let seg = seg(row);
    let lv = other(row, Some(seg.lv))?;
    if seg.kind.is_reshapable() {
        return Some(lv);
    }
    if !lv.is(Status::RAID_IMAGE) || seg.start > 0 {
        return None;
    }
    let raid = other(row, Some(lv.users.first()?.lv))?;
    raid.kind().filter(|kind| kind.is_reshapable()).map(|_| raid)
}

fn reshape_extents(row: &Row) -> Option<u64> {
    reshapable(row).map(|_| seg(row).reshape_length.saturating_mul(count(seg(row))))
}

pub fn reshape_len<'r>(row: &Row<'r>) -> Value<'r> {
    reshape_extents(row).map_or(Value::Undefined(""), |length| extents(row, length))
}

pub fn reshape_len_le<'r>(row: &Row<'r>) -> Value<'r> {
    reshape_extents(row).map_or(Value::Undefined(""), number)
}

pub fn data_copies<'r>(row: &Row<'r>) -> Value<'r> {
    match seg(row).data_copies {
        0 => Value::Undefined(""),
        copies => number(copies),
    }
}

/// LVM asks the kernel for these.
pub fn data_offset<'r>(_row: &Row<'r>) -> Value<'r> {
    Value::Undefined("")
}

fn lost_devices(seg: &Segment) -> u64 {
    match seg.kind.parity_devices() {
        // 32 bits: of what no LV uses, there are no copies.
        0 => seg.data_copies.wrapping_sub(1) & u64::from(u32::MAX),
        devices => devices,
    }
}

/// One more if each device is one that may lose some itself.
pub fn parity_chunks<'r>(row: &Row<'r>) -> Value<'r> {
    let seg = seg(row);
    let lost = lost_devices(seg);
    if lost == 0 {
        return Value::Undefined("");
    }
    let is_safe = |area: &Area| {
        let first = area_lv(row, area).and_then(Lv::first);
        first.is_some_and(|first| first.kind.parity_devices() > 0 || first.data_copies > 1)
    };
    let all_safe = !seg.areas.is_empty() && seg.areas.iter().all(is_safe);
    number(lost + u64::from(all_safe))
}
