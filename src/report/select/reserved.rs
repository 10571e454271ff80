//! Words that stand for values: those of all numbers, and those of single fields.

use crate::report::value::{Field, Kind};

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Reserved {
    Number(u64),
    Size(f64),
    Text(&'static str),
}

const UNDEFINED: Reserved = Reserved::Number(u64::MAX);

/// Fields that are set or not, and the words for set, beside `yes`. The word for not is `no`.
const FLAGS: &[(&str, &[&str])] = &[
    ("pv_allocatable", &["allocatable"]),
    ("pv_exported", &["exported"]),
    ("pv_missing", &["missing"]),
    ("pv_in_use", &["used", "in use"]),
    ("pv_duplicate", &["duplicate"]),
    ("vg_extendable", &["extendable"]),
    ("vg_exported", &["exported"]),
    ("vg_partial", &["partial"]),
    ("vg_clustered", &["clustered"]),
    ("vg_shared", &["shared"]),
    ("lv_initial_image_sync", &["initial image sync", "sync"]),
    ("lv_image_synced", &["image synced", "synced"]),
    ("lv_merging", &["merging"]),
    ("lv_converting", &["converting"]),
    ("lv_allocation_locked", &["allocation locked", "locked"]),
    ("lv_fixed_minor", &["fixed minor", "fixed"]),
    ("lv_active_locally", &["active locally", "active", "locally"]),
    ("lv_active_remotely", &["active remotely", "active", "remotely"]),
    ("lv_active_exclusively", &["active exclusively", "active", "exclusively"]),
    ("lv_merge_failed", &["merge failed", "failed"]),
    ("lv_snapshot_invalid", &["snapshot invalid", "invalid"]),
    ("lv_suspended", &["suspended"]),
    ("lv_live_table", &["live table present", "live table", "live"]),
    ("lv_inactive_table", &["inactive table present", "inactive table", "inactive"]),
    ("lv_device_open", &["open"]),
    ("lv_skip_activation", &["skip activation", "skip"]),
    ("zero", &["zero"]),
    ("lv_check_needed", &["check needed", "needed"]),
    ("vdo_compression", &["enabled"]),
    ("vdo_deduplication", &["enabled"]),
    ("vdo_use_metadata_hints", &["enabled"]),
    ("vdo_use_sparse_index", &["enabled"]),
];

/// Words of a field, and the one that it shows.
const TEXTS: &[(&str, &[&str], &str)] = &[
    ("vg_permissions", &["writeable", "rw", "read-write"], "writeable"),
    ("vg_permissions", &["read-only", "r", "ro"], "read-only"),
    ("lv_permissions", &["writeable", "rw", "read-write"], "writeable"),
    ("lv_permissions", &["read-only", "r", "ro"], "read-only"),
    ("lv_permissions", &["read-only-override", "ro-override", "r-override", "R"], "read-only-override"),
    ("lv_when_full", &["error", "error when full", "error if no space"], "error"),
    ("lv_when_full", &["queue", "queue when full", "queue if no space"], "queue"),
    ("lv_when_full", &["", "undefined"], ""),
    ("cache_policy", &["", "undefined"], ""),
    ("seg_monitor", &["", "undefined"], ""),
    ("lv_health_status", &["", "undefined"], ""),
    ("kernel_discards", &["", "undefined"], ""),
    ("vdo_write_policy", &["", "undefined"], ""),
];

/// What a word stands for in comparisons with a field.
pub fn find(field: &Field, word: &[u8]) -> Option<Reserved> {
    let is_one_of = |words: &[&str]| words.iter().any(|known| known.as_bytes() == word);
    match field.kind {
        Kind::Number if is_one_of(&["-1", "unknown", "undefined", "undef"]) => Some(UNDEFINED),
        Kind::Number if field.name == "vg_mda_copies" => is_one_of(&["unmanaged"]).then_some(UNDEFINED),
        Kind::Number => {
            let (_, words) = FLAGS.iter().find(|(name, _)| *name == field.name)?;
            if is_one_of(words) || is_one_of(&["yes"]) {
                return Some(Reserved::Number(1));
            }
            is_one_of(&["no"]).then_some(Reserved::Number(0))
        }
        Kind::Size => (field.name == "lv_read_ahead" && is_one_of(&["auto"])).then_some(Reserved::Size(f64::MAX)),
        Kind::String => {
            let found = TEXTS.iter().find(|(name, words, _)| *name == field.name && is_one_of(words));
            found.map(|(_, _, shown)| Reserved::Text(shown))
        }
        Kind::Percent | Kind::StringList | Kind::Time => None,
    }
}
