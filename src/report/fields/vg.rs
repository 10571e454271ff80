//! Fields of VGs.

use super::table::later;
use super::{id_text, sorted};
use crate::report::inventory::{Mda, VgItem};
use crate::report::model::{ClusterKind, Vg};
use crate::report::row::Row;
use crate::report::value::{Align, Field, Kind, Object, Value};
use std::borrow::Cow;

const SECTOR: u64 = 512;

/// How many metadata areas are in use, where nobody or everybody is to say.
const UNMANAGED: u32 = 0;

const fn field(
    (kind, align): (Kind, Align),
    (heading, width): (&'static str, usize),
    name: &'static str,
    help: &'static str,
    value: for<'r> fn(&Row<'r>) -> Value<'r>,
) -> Field {
    Field { name, heading, width, align, kind, object: Object::Vg, later: false, help, value }
}

type Sort = (Kind, Align);
const TEXT: Sort = (Kind::String, Align::Left);
const LIST: Sort = (Kind::StringList, Align::Left);
const NUMBER: Sort = (Kind::Number, Align::Right);
const SIZE: Sort = (Kind::Size, Align::Right);

pub const FIELDS: &[Field] = &[
    field(TEXT, ("Fmt", 0), "vg_fmt", "Format of its metadata.", |_| Value::Text(Cow::Borrowed(b"lvm2"))),
    field(TEXT, ("VG UUID", 38), "vg_uuid", "What it is known by, whatever its name.", uuid),
    field(TEXT, ("VG", 0), "vg_name", "Its name.", name),
    field(TEXT, ("Attr", 5), "vg_attr", "How it may be used and what is wrong: a letter each.", attributes),
    field(TEXT, ("VPerms", 10), "vg_permissions", "Whether it may be changed.", |row| {
        let is_writeable = vg(row).is_some_and(Vg::is_writeable);
        Value::Text(Cow::Borrowed(if is_writeable { b"writeable" } else { b"read-only" }))
    }),
    field(NUMBER, ("Extendable", 0), "vg_extendable", "PVs can be added to it.", |row| {
        Value::Flag(has(row, "RESIZEABLE"), "extendable")
    }),
    field(NUMBER, ("Exported", 10), "vg_exported", "It is exported.", |row| {
        Value::Flag(has(row, "EXPORTED"), "exported")
    }),
    field(NUMBER, ("AutoAct", 0), "vg_autoactivation", "Its LVs may be activated by themselves.", |row| {
        Value::Flag(vg(row).is_none_or(|vg| !vg.has_flag("NOAUTOACTIVATE")), "enabled")
    }),
    field(NUMBER, ("Partial", 10), "vg_partial", "A PV of it is missing.", |row| {
        Value::Flag(missing(row) > 0, "partial")
    }),
    field(TEXT, ("AllocPol", 10), "vg_allocation_policy", "How extents are chosen for its LVs.", |row| {
        Value::Text(Cow::Borrowed(policy(row).map_or("unknown", |(name, _)| name).as_bytes()))
    }),
    field(NUMBER, ("Clustered", 10), "vg_clustered", "It belongs to a cluster, by clvmd.", |row| {
        Value::Flag(has(row, "CLUSTERED"), "clustered")
    }),
    field(NUMBER, ("Shared", 7), "vg_shared", "Hosts share it, by lvmlockd.", |row| {
        Value::Flag(vg(row).is_some_and(|vg| vg.cluster() == Some(ClusterKind::Shared)), "shared")
    }),
    field(SIZE, ("VSize", 0), "vg_size", "Size of all extents of its PVs.", |row| {
        Value::Size(extents(row, Vg::extent_count))
    }),
    field(SIZE, ("VFree", 0), "vg_free", "Size of the extents that no LV uses.", |row| {
        Value::Size(extents(row, Vg::free_count))
    }),
    field(TEXT, ("SYS ID", 0), "vg_sysid", "The host that it belongs to: another name of vg_systemid.", system_id),
    field(TEXT, ("System ID", 0), "vg_systemid", "The host that it belongs to.", system_id),
    field(TEXT, ("LockType", 0), "vg_lock_type", "What hosts that share it lock it by.", |row| {
        text(row, |vg| &vg.lock_type)
    }),
    field(TEXT, ("VLockArgs", 0), "vg_lock_args", "What lvmlockd has to know of its locks.", |row| {
        text(row, |vg| &vg.lock_args)
    }),
    field(SIZE, ("Ext", 0), "vg_extent_size", "Size of an extent.", |row| {
        Value::Size(vg(row).map_or(0, |vg| vg.extent_size))
    }),
    field(NUMBER, ("#Ext", 0), "vg_extent_count", "How many extents its PVs have.", |row| count(row, Vg::extent_count)),
    field(NUMBER, ("Free", 0), "vg_free_count", "How many extents no LV uses.", |row| count(row, Vg::free_count)),
    field(NUMBER, ("MaxLV", 0), "max_lv", "How many LVs it may have; 0: any number.", |row| count(row, |vg| vg.max_lv)),
    field(NUMBER, ("MaxPV", 0), "max_pv", "How many PVs it may have; 0: any number.", |row| count(row, |vg| vg.max_pv)),
    field(NUMBER, ("#PV", 0), "pv_count", "How many PVs it has.", |row| count(row, |vg| vg.pvs.len() as u64)),
    field(NUMBER, ("#PV Missing", 0), "vg_missing_pv_count", "How many of its PVs are missing.", |row| {
        Value::Number(missing(row))
    }),
    field(NUMBER, ("#LV", 0), "lv_count", "How many LVs it has that users see.", |row| count(row, |vg| vg.lv_count)),
    field(NUMBER, ("#SN", 0), "snap_count", "How many of them are snapshots that are not thin.", |row| {
        count(row, |vg| vg.snap_count)
    }),
    field(NUMBER, ("Seq", 0), "vg_seqno", "How often its metadata was changed.", |row| {
        count(row, |vg| (vg.seqno & i64::from(u32::MAX)).cast_unsigned())
    }),
    field(LIST, ("VG Tags", 0), "vg_tags", "Its tags.", |row| {
        Value::List(vg(row).map_or_else(Vec::new, |vg| sorted(&vg.tags)))
    }),
    field(TEXT, ("VProfile", 0), "vg_profile", "The profile that it has settings from.", |row| {
        text(row, |vg| &vg.profile)
    }),
    field(NUMBER, ("#VMda", 0), "vg_mda_count", "How many metadata areas its PVs have.", |row| {
        Value::Number(mdas(row).count() as u64)
    }),
    field(NUMBER, ("#VMdaUse", 0), "vg_mda_used_count", "How many of these are in use.", |row| {
        Value::Number(used_mdas(row).count() as u64)
    }),
    field(SIZE, ("VMdaFree", 9), "vg_mda_free", "Room in the fullest of them.", |row| {
        Value::Size(used_mdas(row).map(|mda| mda.free).min().unwrap_or(0) / SECTOR)
    }),
    field(SIZE, ("VMdaSize", 9), "vg_mda_size", "Size of the smallest of them.", |row| {
        Value::Size(used_mdas(row).map(|mda| mda.size).min().unwrap_or(0) / SECTOR)
    }),
    field(NUMBER, ("#VMdaCps", 0), "vg_mda_copies", "How many metadata areas are to be in use.", copies),
    // What it is shown as is not in the metadata alone.
    later(field(TEXT, ("PR", 0), "pr", "Persistent reservations of its PVs; not known here.", |_| {
        Value::Undefined("")
    })),
];

/// The VG of the row. Of a duplicate of one of its PVs, LVM knows no more than which VG it is in.
fn vg<'r>(row: &Row<'r>) -> Option<&'r Vg> {
    item(row).map(|item| &*item.vg)
}

fn item<'r>(row: &Row<'r>) -> Option<&'r VgItem> {
    row.vg.filter(|_| row.pv.is_none_or(|pv| pv.duplicate.is_none()))
}

fn has(row: &Row, status: &str) -> bool {
    vg(row).is_some_and(|vg| vg.has_status(status))
}

fn text<'r>(row: &Row<'r>, which: impl Fn(&'r Vg) -> &'r [u8]) -> Value<'r> {
    Value::Text(Cow::Borrowed(vg(row).map_or(&[], which)))
}

fn count<'r>(row: &Row<'r>, which: impl Fn(&Vg) -> u64) -> Value<'r> {
    Value::Number(vg(row).map_or(0, which))
}

fn extents(row: &Row, count: impl Fn(&Vg) -> u64) -> u64 {
    vg(row).map_or(0, |vg| count(vg).saturating_mul(vg.extent_size))
}

fn name<'r>(row: &Row<'r>) -> Value<'r> {
    // A PV that is in use, by a VG that nobody knows.
    // What LVM shows of another device with a PV in no VG.
    let is_duplicate = row.pv.is_some_and(|pv| pv.duplicate.is_some());
    let is_in_use = row.pv.and_then(|pv| pv.present).is_some_and(|present| present.label.in_use);
    let has_segment = row.pv_segment.is_some();
    let none: &[u8] = if !has_segment && (is_duplicate || is_in_use) { b"[unknown]" } else { b"" };
    let vg = row.vg.filter(|_| !(has_segment && is_duplicate));
    Value::Text(Cow::Borrowed(vg.map_or(none, |item| &item.vg.name)))
}

fn uuid<'r>(row: &Row<'r>) -> Value<'r> {
    Value::Text(id_text(row.vg.and_then(|item| item.vg.id)))
}

fn missing(row: &Row) -> u64 {
    item(row).map_or(0, VgItem::missing_count)
}

fn mdas<'r>(row: &Row<'r>) -> impl Iterator<Item = &'r Mda> {
    let present = item(row).into_iter().flat_map(|item| &item.present);
    let stray = item(row).into_iter().flat_map(|item| &item.stray);
    present.flat_map(|present| present.label.readable_mdas()).chain(stray)
}

fn used_mdas<'r>(row: &Row<'r>) -> impl Iterator<Item = &'r Mda> {
    mdas(row).filter(|mda| !mda.ignored)
}

fn system_id<'r>(row: &Row<'r>) -> Value<'r> {
    text(row, |vg| &vg.system_id)
}

/// LVM takes what it does not know for `normal`.
fn policy(row: &Row) -> Option<(&'static str, u8)> {
    vg(row).map(|vg| vg.policy().unwrap_or(("normal", b'n')))
}

fn attributes<'r>(row: &Row<'r>) -> Value<'r> {
    let letter = |is_set, letter| if is_set { letter } else { b'-' };
    let cluster = match vg(row).and_then(Vg::cluster) {
        Some(ClusterKind::Clustered) => b'c',
        Some(ClusterKind::Shared) => b's',
        None => b'-',
    };
    let letters = [
        if vg(row).is_some_and(Vg::is_writeable) { b'w' } else { b'r' },
        letter(has(row, "RESIZEABLE"), b'z'),
        letter(has(row, "EXPORTED"), b'x'),
        letter(missing(row) > 0, b'p'),
        policy(row).map_or(b'-', |(_, letter)| letter),
        cluster,
    ];
    Value::Text(Cow::Owned(letters.to_vec()))
}

fn copies<'r>(row: &Row<'r>) -> Value<'r> {
    match vg(row).map_or(UNMANAGED, |vg| vg.metadata_copies) {
        UNMANAGED => Value::Word("unmanaged", UNMANAGED.into()),
        copies => Value::Number(copies.into()),
    }
}
