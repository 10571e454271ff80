//! What only segments of some types have.

use super::Kind;
use super::section::{find_number, number, number64, string};
use crate::text::{Node, Section, write_nodes};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Settings {
    #[default]
    None,
    /// Of a mirror that pvmove made.
    Pvmove,
    Raid(RaidSettings),
    ThinPool {
        transaction_id: u64,
        discards: &'static str,
        zeroes: bool,
    },
    Thin {
        transaction_id: u64,
        device_id: u64,
        is_merging: bool,
    },
    /// Of a cache pool, and of a cache without one.
    Cache(Box<CacheSettings>),
    Writecache {
        block_size: Option<u64>,
        /// As `key=value`.
        settings: Vec<Vec<u8>>,
    },
    Integrity {
        mode: &'static str,
        block_size: u64,
        data_sectors: u64,
        /// As `key=value`.
        settings: Vec<Vec<u8>>,
    },
    VdoPool(Box<VdoSettings>),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RaidSettings {
    pub write_behind: u64,
    pub min_recovery_rate: u64,
    pub max_recovery_rate: u64,
    pub data_offset: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CacheSettings {
    pub mode: Option<&'static str>,
    pub policy: Option<Vec<u8>>,
    /// As `key=value`.
    pub policy_settings: Vec<Vec<u8>>,
    pub metadata_format: Option<u64>,
    /// Sectors.
    pub metadata_length: u64,
}

/// Sizes are in sectors, but those that the text has in MiB.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VdoSettings {
    /// Of all that is in the pool.
    pub virtual_extents: u64,
    pub header_size: u64,
    pub compression: bool,
    pub deduplication: bool,
    pub metadata_hints: bool,
    pub sparse_index: bool,
    pub minimum_io_size: u64,
    pub block_map_cache_size_mb: u64,
    pub block_map_era_length: u64,
    pub index_memory_size_mb: u64,
    pub max_discard: u64,
    pub slab_size_mb: u64,
    pub ack_threads: u64,
    pub bio_threads: u64,
    pub bio_rotation: u64,
    pub cpu_threads: u64,
    pub hash_zone_threads: u64,
    pub logical_threads: u64,
    pub physical_threads: u64,
    pub write_policy: Vec<u8>,
}

/// What LVM takes where a text asks for a minor number alone, and no device-mapper says otherwise.
pub const DEVICE_MAPPER_MAJOR: u64 = 0;

/// What may stand behind a segment's type.
pub const SEGMENT_FLAGS: &[&[u8]] = &[
    b"RESHAPE",
    b"RESHAPE_DATA_OFFSET",
    b"RESHAPE_DELTA_DISKS_PLUS",
    b"RESHAPE_DELTA_DISKS_MINUS",
    b"REMOVE_AFTER_RESHAPE",
    b"METADATA_FORMAT",
    b"CROP_METADATA",
    b"CACHE_USES_CACHEVOL",
];

pub fn read(kind: Kind, section: &Section) -> Settings {
    let number = |key| number(section, key);
    match kind {
        Kind::Mirror if section.node("extents_moved").is_some() => Settings::Pvmove,
        Kind::Raid(_) => Settings::Raid(RaidSettings {
            write_behind: number("writebehind"),
            min_recovery_rate: number("min_recovery_rate"),
            max_recovery_rate: number("max_recovery_rate"),
            data_offset: number("data_offset"),
        }),
        Kind::ThinPool => Settings::ThinPool {
            transaction_id: number64(section, "transaction_id"),
            discards: match string(section, "discards") {
                Some(b"passdown") => "passdown",
                Some(b"nopassdown") => "nopassdown",
                _ => "ignore",
            },
            zeroes: number("zero_new_blocks") > 0,
        },
        Kind::Thin => Settings::Thin {
            transaction_id: number64(section, "transaction_id"),
            device_id: number("device_id"),
            is_merging: section.node("merge").is_some(),
        },
        Kind::CachePool | Kind::Cache => Settings::Cache(Box::new(cache(section))),
        Kind::Writecache => Settings::Writecache {
            block_size: find_number(section, "writecache_block_size").map(u64::from),
            settings: numbers(section, WRITECACHE),
        },
        Kind::Integrity => Settings::Integrity {
            mode: match string(section, "mode").and_then(|mode| mode.first()) {
                Some(b'B') => "bitmap",
                Some(b'J') => "journal",
                _ => "",
            },
            block_size: number("block_size"),
            data_sectors: number64(section, "data_sectors"),
            settings: numbers(section, INTEGRITY),
        },
        Kind::VdoPool => Settings::VdoPool(Box::new(vdo(section))),
        _ => Settings::None,
    }
}

fn cache(section: &Section) -> CacheSettings {
    let policy_settings = section.section("policy_settings").map_or(&[][..], |settings| &settings.0);
    CacheSettings {
        mode: match string(section, "cache_mode") {
            Some(b"writethrough") => Some("writethrough"),
            Some(b"writeback") => Some("writeback"),
            Some(b"passthrough") => Some("passthrough"),
            _ => None,
        },
        policy: string(section, "policy").map(<[u8]>::to_vec),
        policy_settings: policy_settings.iter().map(one_line).collect(),
        metadata_format: find_number(section, "metadata_format").map(u64::from),
        metadata_length: number64(section, "metadata_len"),
    }
}

const WRITECACHE: &[&str] = &[
    "high_watermark",
    "low_watermark",
    "writeback_jobs",
    "autocommit_blocks",
    "autocommit_time",
    "fua",
    "nofua",
    "cleaner",
    "max_age",
];

/// What lvm2 2.03.31 shows of them.
const INTEGRITY: &[&str] = &["journal_watermark", "commit_time", "bitmap_flush_interval"];

/// Those of these that are set, as `key=value`.
fn numbers(section: &Section, keys: &[&str]) -> Vec<Vec<u8>> {
    let setting = |key: &&str| section.int(key).map(|value| format!("{key}={}", value.cast_unsigned()).into_bytes());
    keys.iter().filter_map(setting).collect()
}

/// As LVM writes a node on a line of its own.
fn one_line(node: &Node) -> Vec<u8> {
    let mut line = Vec::new();
    write_nodes(std::slice::from_ref(node), 0, &mut line);
    line.trim_ascii_end().to_vec()
}

fn vdo(section: &Section) -> VdoSettings {
    let number = |key| number(section, key);
    VdoSettings {
        virtual_extents: number("virtual_extents"),
        header_size: number("header_size"),
        compression: number("use_compression") > 0,
        deduplication: number("use_deduplication") > 0,
        metadata_hints: number("use_metadata_hints") > 0,
        sparse_index: number("use_sparse_index") > 0,
        minimum_io_size: number("minimum_io_size") >> 9,
        block_map_cache_size_mb: number("block_map_cache_size_mb"),
        block_map_era_length: number("block_map_era_length"),
        index_memory_size_mb: number("index_memory_size_mb"),
        max_discard: number("max_discard"),
        slab_size_mb: number("slab_size_mb"),
        ack_threads: number("ack_threads"),
        bio_threads: number("bio_threads"),
        bio_rotation: number("bio_rotation"),
        cpu_threads: number("cpu_threads"),
        hash_zone_threads: number("hash_zone_threads"),
        logical_threads: number("logical_threads"),
        physical_threads: number("physical_threads"),
        write_policy: string(section, "write_policy").unwrap_or(b"auto").to_vec(),
    }
}
