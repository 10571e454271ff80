//! Fields of PVs, and of their devices and labels.

use super::{id_text, sorted};
use crate::bytes::Bytes;
use crate::report::inventory::{Device, Label, Present};
use crate::report::model::{Vg, VgPv};
use crate::report::row::Row;
use crate::report::value::{Align, Field, Kind, Object, Value};
use std::borrow::Cow;

const SECTOR: u64 = 512;

/// A field of a label, or of a PV; what it is, how it is compared, and what makes its value.
const fn field(
    (object, kind, align): (Object, Kind, Align),
    (heading, width): (&'static str, usize),
    name: &'static str,
    help: &'static str,
    value: for<'r> fn(&Row<'r>) -> Value<'r>,
) -> Field {
    Field { name, heading, width, align, kind, object, later: false, help, value }
}

type Sort = (Object, Kind, Align);
const LABEL_TEXT: Sort = (Object::Label, Kind::String, Align::Left);
const LABEL_NUMBER: Sort = (Object::Label, Kind::Number, Align::Right);
const LABEL_SIZE: Sort = (Object::Label, Kind::Size, Align::Right);
const TEXT: Sort = (Object::Pv, Kind::String, Align::Left);
const LIST: Sort = (Object::Pv, Kind::StringList, Align::Left);
const NUMBER: Sort = (Object::Pv, Kind::Number, Align::Right);
const SIZE: Sort = (Object::Pv, Kind::Size, Align::Right);

pub const FIELDS: &[Field] = &[
    field(LABEL_TEXT, ("Fmt", 0), "pv_fmt", "Format of its metadata.", format),
    field(LABEL_TEXT, ("PV UUID", 38), "pv_uuid", "What it is known by, wherever it is.", uuid),
    field(LABEL_SIZE, ("DevSize", 0), "dev_size", "How large its device is now.", |row| Value::Size(device_size(row))),
    field(LABEL_TEXT, ("PV", 10), "pv_name", "Path of its device.", name),
    field(LABEL_TEXT, ("Maj", 0), "pv_major", "Major number of its device.", |row| {
        number(row, |device| device.devno.major)
    }),
    field(LABEL_TEXT, ("Min", 0), "pv_minor", "Minor number of its device.", |row| {
        number(row, |device| device.devno.minor)
    }),
    field(LABEL_SIZE, ("PMdaFree", 9), "pv_mda_free", "Room in the fullest of its metadata areas.", mda_free),
    field(LABEL_SIZE, ("PMdaSize", 9), "pv_mda_size", "Size of the smallest of its metadata areas.", mda_size),
    field(LABEL_NUMBER, ("PExtVsn", 0), "pv_ext_vsn", "Version of the extension of its header.", ext_version),
    field(NUMBER, ("1st PE", 7), "pe_start", "Where on the device its first extent begins.", start),
    field(SIZE, ("PSize", 0), "pv_size", "Size of all its extents.", |row| Value::Size(size(row))),
    field(SIZE, ("PFree", 0), "pv_free", "Size of the extents that no LV uses.", free),
    field(SIZE, ("Used", 0), "pv_used", "Size of the extents that LVs use.", used),
    field(TEXT, ("Attr", 0), "pv_attr", "Whether it is allocatable, exported, missing: a letter each.", attributes),
    field(NUMBER, ("Allocatable", 0), "pv_allocatable", "LVs may be put on it.", |row| {
        Value::Flag(is_allocatable(row), "allocatable")
    }),
    field(NUMBER, ("Exported", 10), "pv_exported", "Its VG is exported.", |row| {
        Value::Flag(is_exported(row), "exported")
    }),
    field(NUMBER, ("Missing", 10), "pv_missing", "It is not there.", |row| Value::Flag(is_missing(row), "missing")),
    field(NUMBER, ("PE", 3), "pv_pe_count", "How many extents it has.", |row| of(row, |pv| pv.pe_count)),
    field(NUMBER, ("Alloc", 0), "pv_pe_alloc_count", "How many of its extents LVs use.", |row| {
        of(row, |pv| pv.pe_alloc_count)
    }),
    field(LIST, ("PV Tags", 0), "pv_tags", "Its tags.", |row| {
        Value::List(row.pv.and_then(|pv| pv.listed).map_or_else(Vec::new, |pv| sorted(&pv.tags)))
    }),
    field(NUMBER, ("#PMda", 0), "pv_mda_count", "How many metadata areas it has.", |row| mdas(row, |_| true)),
    field(NUMBER, ("#PMdaUse", 0), "pv_mda_used_count", "How many of its metadata areas are in use.", |row| {
        mdas(row, |ignored| !ignored)
    }),
    field(SIZE, ("BA Start", 0), "pv_ba_start", "Where on the device its bootloader area begins.", |row| {
        bootloader(row, |pv| pv.ba_start, |label| label.bootloader.0)
    }),
    field(SIZE, ("BA Size", 0), "pv_ba_size", "Size of its bootloader area.", |row| {
        bootloader(row, |pv| pv.ba_size, |label| label.bootloader.1)
    }),
    field(NUMBER, ("PInUse", 0), "pv_in_use", "A VG uses it.", |row| Value::Flag(is_in_use(row), "used")),
    field(NUMBER, ("Duplicate", 0), "pv_duplicate", "Another device with the same PV is used.", |row| {
        Value::Flag(is_duplicate(row), "duplicate")
    }),
    field(TEXT, ("DeviceID", 0), "pv_device_id", "What its device was known by when its VG was changed.", |row| {
        device_id(row, |pv| &pv.device_id)
    }),
    field(TEXT, ("DeviceIDType", 0), "pv_device_id_type", "What kind of thing that is.", |row| {
        device_id(row, |pv| &pv.device_id_type)
    }),
];

/// The device that the row is about.
fn device<'r>(row: &Row<'r>) -> Option<&'r Device> {
    let pv = row.pv?;
    pv.duplicate.or(pv.device).or_else(|| pv.present.map(|present| &present.device))
}

/// The PV that is there; of a duplicate nothing is known but its device.
fn present<'r>(row: &Row<'r>) -> Option<&'r Present> {
    row.pv.filter(|pv| pv.duplicate.is_none()).and_then(|pv| pv.present)
}

fn listed<'r>(row: &Row<'r>) -> Option<&'r VgPv> {
    row.pv.filter(|pv| pv.duplicate.is_none()).and_then(|pv| pv.listed)
}

fn vg<'r>(row: &Row<'r>) -> Option<&'r Vg> {
    row.vg.map(|vg| &*vg.vg)
}

fn is_duplicate(row: &Row) -> bool {
    row.pv.is_some_and(|pv| pv.duplicate.is_some())
}

fn of<'r>(row: &Row<'r>, value: impl Fn(&VgPv) -> u64) -> Value<'r> {
    Value::Number(listed(row).map_or(0, value))
}

fn format<'r>(row: &Row<'r>) -> Value<'r> {
    let is_pv = row.pv.is_some_and(|pv| pv.listed.is_some() || pv.present.is_some());
    Value::Text(Cow::Borrowed(if is_pv { b"lvm2" } else { b"" }))
}

fn uuid<'r>(row: &Row<'r>) -> Value<'r> {
    let id = row.pv.and_then(|pv| pv.present.map(|present| present.id).or_else(|| pv.listed?.id));
    Value::Text(id_text(id))
}

fn name<'r>(row: &Row<'r>) -> Value<'r> {
    let unknown = if row.marks.two_word_unknown { "unknown device" } else { "[unknown]" };
    Value::Text(Cow::Borrowed(device(row).map_or(unknown, |device| &device.path).as_bytes()))
}

/// LVM shows these numbers as text.
fn number<'r>(row: &Row<'r>, which: impl Fn(&Device) -> u32) -> Value<'r> {
    Value::Text(Cow::Owned(device(row).map_or(0, which).to_string().into_bytes()))
}

fn device_size(row: &Row) -> u64 {
    device(row).map_or(0, |device| device.size / SECTOR)
}

fn device_id<'r>(row: &Row<'r>, which: impl Fn(&'r VgPv) -> &'r Bytes) -> Value<'r> {
    Value::Text(Cow::Borrowed(listed(row).map_or(&[], |pv| which(pv))))
}

fn mda_free<'r>(row: &Row<'r>) -> Value<'r> {
    let free = |present: &Present| present.label.readable_mdas().map(|mda| mda.free).min();
    Value::Size(present(row).and_then(free).unwrap_or(0) / SECTOR)
}

fn mda_size<'r>(row: &Row<'r>) -> Value<'r> {
    let size = |present: &Present| present.label.readable_mdas().map(|mda| mda.size).min();
    Value::Size(present(row).and_then(size).unwrap_or(0) / SECTOR)
}

fn mdas<'r>(row: &Row<'r>, counts: impl Fn(bool) -> bool) -> Value<'r> {
    let count = |present: &Present| present.label.readable_mdas().filter(|mda| counts(mda.ignored)).count();
    Value::Number(present(row).map_or(0, count) as u64)
}

fn ext_version<'r>(row: &Row<'r>) -> Value<'r> {
    present(row).map_or(Value::Undefined(""), |present| Value::Number(present.label.ext_version.into()))
}

fn start<'r>(row: &Row<'r>) -> Value<'r> {
    let of_label = || present(row).map_or(0, |present| present.label.data_start / SECTOR);
    Value::Size(listed(row).map_or_else(of_label, |pv| pv.pe_start))
}

fn extents(row: &Row, count: u64) -> u64 {
    vg(row).map_or(0, |vg| vg.extent_size).saturating_mul(count)
}

fn size(row: &Row) -> u64 {
    match listed(row) {
        Some(pv) if pv.pe_count > 0 => extents(row, pv.pe_count),
        Some(pv) => pv.dev_size,
        None => present(row).map_or(0, |present| present.label.dev_size / SECTOR),
    }
}

fn free<'r>(row: &Row<'r>) -> Value<'r> {
    Value::Size(match listed(row) {
        Some(pv) => extents(row, pv.pe_count.saturating_sub(pv.pe_alloc_count)),
        None if is_in_use(row) => 0,
        None => size(row),
    })
}

fn used<'r>(row: &Row<'r>) -> Value<'r> {
    Value::Size(listed(row).map_or(0, |pv| extents(row, pv.pe_alloc_count)))
}

fn bootloader<'r>(row: &Row<'r>, of_pv: impl Fn(&VgPv) -> u64, of_label: impl Fn(&Label) -> u64) -> Value<'r> {
    let of_label = || present(row).map_or(0, |present| of_label(&present.label) / SECTOR);
    Value::Size(listed(row).map_or_else(of_label, of_pv))
}

fn is_allocatable(row: &Row) -> bool {
    listed(row).is_some_and(|pv| pv.has("ALLOCATABLE"))
}

fn is_exported(row: &Row) -> bool {
    listed(row).is_some_and(|pv| pv.has("EXPORTED"))
}

fn is_missing(row: &Row) -> bool {
    listed(row).is_some_and(|pv| pv.is_missing(present(row)))
}

fn is_in_use(row: &Row) -> bool {
    match row.pv {
        Some(pv) if pv.listed.is_some() => true,
        Some(pv) => pv.present.is_some_and(|present| present.label.in_use),
        None => false,
    }
}

fn attributes<'r>(row: &Row<'r>) -> Value<'r> {
    let first = if is_duplicate(row) {
        b'd'
    } else if is_allocatable(row) {
        b'a'
    } else if is_in_use(row) {
        b'u'
    } else {
        b'-'
    };
    let letter = |is_set, letter| if is_set { letter } else { b'-' };
    let letters = [first, letter(is_exported(row), b'x'), letter(is_missing(row), b'm')];
    Value::Text(Cow::Owned(letters.to_vec()))
}
