//! Fields of segments of LVs.

mod areas;
mod caches;
mod raids;
mod vdo;

use super::table::{field, later};
use super::values::{bytes, list, number, text};
use crate::report::model::lvs::{Kind, Lv, Segment, Settings};
use crate::report::row::Row;
use crate::report::value::Kind::{Number, Size, String, StringList};
use crate::report::value::{Field, Object, Value};

pub use areas::device_name;

const SEG: Object = Object::Seg;

pub const FIELDS: &[Field] = &[
    field(SEG, String, "segtype", "Type", "Its type.", type_name),
    field(SEG, Number, "stripes", "#Str", "How many areas it has: stripes, images or legs.", |row| {
        number(raids::count(seg(row)))
    }),
    field(SEG, Number, "data_stripes", "#DStr", "How many of them hold data of their own.", raids::data_stripes),
    field(SEG, Size, "reshape_len", "RSize", "Room that there is for a reshape.", raids::reshape_len),
    field(SEG, Number, "reshape_len_le", "RSize", "The same, in extents.", raids::reshape_len_le),
    field(SEG, Number, "data_copies", "#Cpy", "How often the data are there.", raids::data_copies),
    field(SEG, Number, "data_offset", "DOff", "Where data begin on each image.", raids::data_offset),
    field(SEG, Number, "new_data_offset", "NOff", "Where they will, after a reshape.", raids::data_offset),
    field(SEG, Number, "parity_chunks", "#Par", "How many devices may be lost.", raids::parity_chunks),
    field(SEG, Size, "stripe_size", "Stripe", "What goes to one stripe before the next has its turn.", |row| {
        Value::Size(seg(row).stripe_size)
    }),
    field(SEG, Size, "region_size", "Region", "What of a mirror is synchronized at a time.", |row| {
        Value::Size(seg(row).region_size)
    }),
    field(SEG, Size, "chunk_size", "Chunk", "What a snapshot, pool or cache manages at a time.", chunk_size),
    field(SEG, Number, "thin_count", "#Thins", "How many thin volumes are in the pool.", thin_count),
    field(SEG, String, "discards", "Discards", "What a thin pool does with discards.", discards),
    field(SEG, Number, "cache_metadata_format", "CMFmt", "The format of a cache's metadata.", caches::format),
    field(SEG, String, "cache_mode", "CacheMode", "When writes are done: in the cache, or beneath.", caches::mode),
    field(SEG, Number, "zero", "Zero", "A thin pool gives out its blocks zeroed.", zero),
    field(SEG, Number, "transaction_id", "TransId", "Of a thin pool, or when a thin volume was made.", transaction_id),
    field(SEG, Number, "thin_id", "ThId", "The number of a thin volume in its pool.", thin_id),
    field(SEG, Size, "seg_start", "Start", "Where in the LV it begins.", |row| extents(row, seg(row).start)),
    field(SEG, Number, "seg_start_pe", "Start", "The same, in extents.", |row| number(seg(row).start)),
    field(SEG, Size, "seg_size", "SSize", "How long it is.", |row| extents(row, length(row))),
    field(SEG, Size, "seg_size_pe", "SSize", "The same, in extents.", |row| number(length(row))),
    field(SEG, StringList, "seg_tags", "Seg Tags", "Its tags.", |row| list(&seg(row).tags)),
    field(
        SEG,
        StringList,
        "seg_pe_ranges",
        "PE Ranges",
        "Where on PVs and LVs it lies, from extent to extent; seg_le_ranges has taken its place.",
        areas::pe_ranges,
    ),
    field(SEG, StringList, "seg_le_ranges", "LE Ranges", "Where it lies, from extent to extent.", areas::le_ranges),
    field(
        SEG,
        StringList,
        "seg_metadata_le_ranges",
        "Metadata LE Ranges",
        "Where its metadata lie, from extent to extent.",
        areas::metadata_le_ranges,
    ),
    field(SEG, StringList, "devices", "Devices", "Where it lies, with the first extent.", areas::devices),
    field(
        SEG,
        StringList,
        "metadata_devices",
        "Metadata Devs",
        "Where its metadata lie, with the first extent.",
        areas::metadata_devices,
    ),
    field(SEG, String, "cache_policy", "CachePolicy", "What decides what is cached.", caches::policy),
    field(SEG, StringList, "cache_settings", "CacheSettings", "What was set for that.", caches::settings),
    later(field(
        SEG,
        StringList,
        "integrity_settings",
        "IntegSettings",
        "How checksums are written.",
        |row| match &seg(row).settings {
            Settings::Integrity { settings, .. } => list(settings),
            _ => Value::List(Vec::new()),
        },
    )),
    field(SEG, Number, "vdo_compression", "VDOCompression", "Its data are compressed.", |row| {
        vdo::flag(row, |vdo| vdo.compression, "enabled")
    }),
    field(SEG, Number, "vdo_deduplication", "VDODeduplication", "Data that are the same are kept once.", |row| {
        vdo::flag(row, |vdo| vdo.deduplication, "enabled")
    }),
    field(SEG, Number, "vdo_use_metadata_hints", "VDOMetadataHints", "Writes of metadata are marked so.", |row| {
        vdo::flag(row, |vdo| vdo.metadata_hints, "enabled")
    }),
    field(SEG, Number, "vdo_minimum_io_size", "VDOMinimumIOSize", "The least that is read or written.", |row| {
        vdo::size(row, |vdo| vdo.minimum_io_size)
    }),
    field(SEG, Size, "vdo_block_map_cache_size", "VDOBlockMapCacheSize", "Memory for the block map.", |row| {
        vdo::mebibytes(row, |vdo| vdo.block_map_cache_size_mb)
    }),
    field(SEG, Number, "vdo_block_map_era_length", "VDOBlockMapEraLength", "How long block map changes wait.", |row| {
        vdo::number_of(row, |vdo| vdo.block_map_era_length)
    }),
    field(SEG, Number, "vdo_use_sparse_index", "VDOSparseIndex", "Its index is a sparse one.", |row| {
        vdo::flag(row, |vdo| vdo.sparse_index, "enabled")
    }),
    field(SEG, Size, "vdo_index_memory_size", "VDOIndexMemorySize", "Memory for the index.", |row| {
        vdo::mebibytes(row, |vdo| vdo.index_memory_size_mb)
    }),
    field(SEG, Size, "vdo_slab_size", "VDOSlabSize", "By what it can grow.", |row| {
        vdo::mebibytes(row, |vdo| vdo.slab_size_mb)
    }),
    field(SEG, Number, "vdo_ack_threads", "VDOAckThreads", "Threads that say that requests are done.", |row| {
        vdo::number_of(row, |vdo| vdo.ack_threads)
    }),
    field(SEG, Number, "vdo_bio_threads", "VDOBioThreads", "Threads that hand requests on.", |row| {
        vdo::number_of(row, |vdo| vdo.bio_threads)
    }),
    field(SEG, Number, "vdo_bio_rotation", "VDOBioRotation", "Requests one of them takes before the next.", |row| {
        vdo::number_of(row, |vdo| vdo.bio_rotation)
    }),
    field(SEG, Number, "vdo_cpu_threads", "VDOCPUThreads", "Threads that compress and hash.", |row| {
        vdo::number_of(row, |vdo| vdo.cpu_threads)
    }),
    field(SEG, Number, "vdo_hash_zone_threads", "VDOHashZoneThreads", "Threads that look for equal data.", |row| {
        vdo::number_of(row, |vdo| vdo.hash_zone_threads)
    }),
    field(SEG, Number, "vdo_logical_threads", "VDOLogicalThreads", "Threads for logical addresses.", |row| {
        vdo::number_of(row, |vdo| vdo.logical_threads)
    }),
    field(SEG, Number, "vdo_physical_threads", "VDOPhysicalThreads", "Threads for physical addresses.", |row| {
        vdo::number_of(row, |vdo| vdo.physical_threads)
    }),
    field(SEG, Number, "vdo_max_discard", "VDOMaxDiscard", "The most that is discarded at a time.", |row| {
        vdo::number_of(row, |vdo| vdo.max_discard)
    }),
    field(SEG, String, "vdo_write_policy", "VDOWritePolicy", "When writes are done.", vdo::write_policy),
    field(SEG, Size, "vdo_header_size", "VDOHeaderSize", "What is in front of its data.", |row| {
        vdo::size(row, |vdo| vdo.header_size)
    }),
];

/// That of the row; in its place what LVM shows of what no LV uses.
fn seg<'r>(row: &Row<'r>) -> &'r Segment {
    static FREE: Segment = Segment::FREE;
    row.segment.unwrap_or(&FREE)
}

fn other<'r>(row: &Row<'r>, lv: Option<usize>) -> Option<&'r Lv> {
    row.lvs?.lv(lv?)
}

fn length(row: &Row) -> u64 {
    match (row.segment, row.pv_segment) {
        (None, Some(free)) => free.length,
        (segment, _) => segment.map_or(0, |segment| segment.length),
    }
}

fn extents<'r>(row: &Row<'r>, count: u64) -> Value<'r> {
    let size = row.vg.map_or(0, |vg| vg.vg.extent_size);
    Value::Size(count.saturating_mul(size))
}

fn type_name<'r>(row: &Row<'r>) -> Value<'r> {
    let seg = seg(row);
    if seg.kind == Kind::Striped && seg.areas.len() == 1 { text("linear") } else { bytes(&seg.type_name) }
}

fn chunk_size<'r>(row: &Row<'r>) -> Value<'r> {
    let seg = seg(row);
    let cow = other(row, Some(seg.lv)).and_then(|lv| lv.cow);
    Value::Size(match (cow, seg.kind) {
        (Some(cow), _) => cow.chunk_size,
        (None, Kind::Cache) => caches::segment(row).map_or(0, |cache| cache.chunk_size),
        (None, _) => seg.chunk_size,
    })
}

fn thin_count<'r>(row: &Row<'r>) -> Value<'r> {
    let seg = seg(row);
    let pool = other(row, Some(seg.lv)).filter(|_| seg.kind == Kind::ThinPool);
    pool.map_or(Value::Undefined(""), |pool| number(u64::try_from(pool.users.len()).unwrap_or(u64::MAX)))
}

/// Of a thin pool, or of that of a thin volume.
fn pool<'r>(row: &Row<'r>) -> Option<(&'static str, bool)> {
    let seg = seg(row);
    let pool = if seg.kind == Kind::Thin { other(row, seg.pool)?.first()? } else { seg };
    match pool.settings {
        Settings::ThinPool { discards, zeroes, .. } => Some((discards, zeroes)),
        _ => None,
    }
}

fn discards<'r>(row: &Row<'r>) -> Value<'r> {
    text(pool(row).map_or("", |(discards, _)| discards))
}

fn zero<'r>(row: &Row<'r>) -> Value<'r> {
    pool(row).map_or(Value::Undefined("unknown"), |(_, zeroes)| Value::Flag(zeroes, "zero"))
}

fn transaction_id<'r>(row: &Row<'r>) -> Value<'r> {
    match seg(row).settings {
        Settings::ThinPool { transaction_id, .. } | Settings::Thin { transaction_id, .. } => number(transaction_id),
        _ => Value::Undefined(""),
    }
}

fn thin_id<'r>(row: &Row<'r>) -> Value<'r> {
    match seg(row).settings {
        Settings::Thin { device_id, .. } => number(device_id),
        _ => Value::Undefined(""),
    }
}
