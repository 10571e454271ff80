//! What segments lie on.

use super::{other, seg};
use crate::report::model::lvs::{Area, Kind, Lv, Raid, Status};
use crate::report::row::Row;
use crate::report::value::Value;
use std::borrow::Cow;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Shown {
    /// `name(first)`.
    First,
    /// `name:first-last`.
    Range { marks_hidden: bool },
}

/// The name of the device of the PV that stands there in the list of the VG, or what LVM shows in
/// its place.
pub fn device_name<'r>(row: &Row<'r>, pv: usize) -> Cow<'r, [u8]> {
    let present = row.lvs.zip(row.vg).and_then(|(lvs, vg)| lvs.present(vg, pv));
    let missing = if row.marks.two_word_unknown { "unknown device" } else { "[unknown]" };
    Cow::Borrowed(present.map_or(missing, |present| &present.device.path).as_bytes())
}

fn item<'r>(name: &[u8], extent: u64, length: u64, shown: Shown) -> Cow<'r, [u8]> {
    let mut item = name.to_vec();
    let numbers = match shown {
        Shown::First => format!("({extent})"),
        // 32 bits, as in LVM: what is empty ends before it begins.
        Shown::Range { .. } => {
            let last = extent.wrapping_add(length).wrapping_sub(1) & u64::from(u32::MAX);
            format!(":{extent}-{last}")
        }
    };
    item.extend_from_slice(numbers.as_bytes());
    Cow::Owned(item)
}

fn lv_item<'r>(lv: &Lv, extent: u64, shown: Shown) -> Cow<'r, [u8]> {
    if !lv.is_visible && shown == (Shown::Range { marks_hidden: true }) {
        return item(&[b"[", &lv.name[..], b"]"].concat(), extent, lv.extents, shown);
    }
    item(&lv.name, extent, lv.extents, shown)
}

fn data<'r>(row: &Row<'r>, shown: Shown) -> Value<'r> {
    let seg = seg(row);
    let area = |area: &Area| match *area {
        Area::Pv { pv, extent } => item(&device_name(row, pv), extent, seg.area_length(), shown),
        Area::Lv { lv, .. } => match other(row, Some(lv)) {
            Some(lv) => lv_item(lv, 0, shown),
            None => item(b"unassigned", 0, 0, shown),
        },
        Area::Unassigned => item(b"unassigned", 0, 0, shown),
    };
    Value::List(seg.areas.iter().map(area).collect())
}

fn metadata<'r>(row: &Row<'r>, shown: Shown) -> Value<'r> {
    let seg = seg(row);
    let own = other(row, Some(seg.lv));
    let is_part = own.is_some_and(|own| own.is(Status::RAID_META.or(Status::RAID_IMAGE)));
    if is_part || seg.kind == Kind::Raid(Raid::Raid0) {
        return Value::List(Vec::new());
    }
    let area = |metadata: &Option<usize>| match other(row, *metadata) {
        Some(lv) => lv_item(lv, 0, shown),
        None => item(b"unassigned", 0, 0, shown),
    };
    Value::List(seg.metadata_areas.iter().map(area).collect())
}

pub fn devices<'r>(row: &Row<'r>) -> Value<'r> {
    data(row, Shown::First)
}

pub fn metadata_devices<'r>(row: &Row<'r>) -> Value<'r> {
    metadata(row, Shown::First)
}

pub fn pe_ranges<'r>(row: &Row<'r>) -> Value<'r> {
    data(row, Shown::Range { marks_hidden: false })
}

pub fn le_ranges<'r>(row: &Row<'r>) -> Value<'r> {
    data(row, Shown::Range { marks_hidden: row.marks.hidden })
}

pub fn metadata_le_ranges<'r>(row: &Row<'r>) -> Value<'r> {
    metadata(row, Shown::Range { marks_hidden: row.marks.hidden })
}
