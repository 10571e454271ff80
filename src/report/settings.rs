//! What `lvm.conf` says of reports: `report/*`, `global/units`, `global/suffix` and the log report.

use super::row::Marks;
use crate::text::{Scalar, Section};
use std::collections::BTreeMap;

/// Settings that are texts, and what they are if they are not set.
const TEXTS: &[(&str, &str)] = &[
    ("global/units", "r"),
    ("config/profile_dir", ""),
    ("report/output_format", "basic"),
    ("report/separator", " "),
    ("report/list_item_separator", ","),
    ("report/time_format", "%Y-%m-%d %T %z"),
    ("report/compact_output_cols", ""),
    ("report/lvs_sort", "vg_name,lv_name"),
    (
        "report/lvs_cols",
        "lv_name,vg_name,lv_attr,lv_size,pool_lv,origin,data_percent,metadata_percent,move_pv,mirror_log,\
         copy_percent,convert_lv",
    ),
    (
        "report/lvs_cols_verbose",
        "lv_name,vg_name,seg_count,lv_attr,lv_size,lv_major,lv_minor,lv_kernel_major,lv_kernel_minor,pool_lv,\
         origin,data_percent,metadata_percent,move_pv,copy_percent,mirror_log,convert_lv,lv_uuid,lv_profile",
    ),
    ("report/vgs_sort", "vg_name"),
    ("report/vgs_cols", "vg_name,pv_count,lv_count,snap_count,vg_attr,vg_size,vg_free"),
    (
        "report/vgs_cols_verbose",
        "vg_name,vg_attr,vg_extent_size,pv_count,lv_count,snap_count,vg_size,vg_free,vg_uuid,vg_profile",
    ),
    ("report/pvs_sort", "pv_name"),
    ("report/pvs_cols", "pv_name,vg_name,pv_fmt,pv_attr,pv_size,pv_free"),
    ("report/pvs_cols_verbose", "pv_name,vg_name,pv_fmt,pv_attr,pv_size,pv_free,dev_size,pv_uuid"),
    ("report/segs_sort", "vg_name,lv_name,seg_start"),
    ("report/segs_cols", "lv_name,vg_name,lv_attr,stripes,segtype,seg_size"),
    ("report/segs_cols_verbose", "lv_name,vg_name,lv_attr,seg_start,seg_size,stripes,segtype,stripesize,chunksize"),
    ("report/pvsegs_sort", "pv_name,pvseg_start"),
    ("report/pvsegs_cols", "pv_name,vg_name,pv_fmt,pv_attr,pv_size,pv_free,pvseg_start,pvseg_size"),
    (
        "report/pvsegs_cols_verbose",
        "pv_name,vg_name,pv_fmt,pv_attr,pv_size,pv_free,pvseg_start,pvseg_size,lv_name,seg_start_pe,segtype,\
         seg_pe_ranges",
    ),
    ("report/vgs_cols_full", "vg_all"),
    ("report/pvs_cols_full", "pv_all"),
    ("report/lvs_cols_full", "lv_all"),
    ("report/pvsegs_cols_full", "pvseg_all,pv_uuid,lv_uuid"),
    ("report/segs_cols_full", "seg_all,lv_uuid"),
    ("report/vgs_sort_full", "vg_name"),
    ("report/pvs_sort_full", "pv_name"),
    ("report/lvs_sort_full", "vg_name,lv_name"),
    ("report/pvsegs_sort_full", "pv_uuid,pvseg_start"),
    ("report/segs_sort_full", "lv_uuid,seg_start"),
    ("log/command_log_sort", "log_seq_num"),
    (
        "log/command_log_cols",
        "log_seq_num,log_type,log_context,log_object_type,log_object_name,log_object_id,log_object_group,\
         log_object_group_id,log_message,log_errno,log_ret_code",
    ),
    ("log/command_log_selection", "!(log_type=status && message=success)"),
];

/// Settings that are on or off, and what they are if they are not set.
const SWITCHES: &[(&str, bool)] = &[
    ("activation/monitoring", true),
    ("global/suffix", true),
    ("global/si_unit_consistency", true),
    ("report/aligned", true),
    ("report/buffered", true),
    ("report/prefixes", false),
    ("report/quoted", true),
    ("report/columns_as_rows", false),
    ("report/binary_values_as_numeric", false),
    ("report/compact_output", false),
    ("report/mark_hidden_devices", true),
    ("report/two_word_unknown_device", false),
    ("log/report_command_log", false),
];

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Headings {
    Off,
    #[default]
    Short,
    /// The names of the fields.
    Names,
}

/// What is set, if it differs from what it is otherwise.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    texts: BTreeMap<&'static str, String>,
    switches: BTreeMap<&'static str, bool>,
    pub headings: Headings,
}

impl Settings {
    pub fn read(conf: &Section) -> Settings {
        let mut settings = Settings::default();
        for (path, _) in TEXTS {
            if let Some(text) = text(conf, path) {
                settings.texts.insert(path, text);
            }
        }
        for (path, _) in SWITCHES {
            if let Some(number) = number(conf, path) {
                settings.switches.insert(path, number != 0);
            }
        }
        settings.headings = match number(conf, "report/headings") {
            None | Some(1) => Headings::Short,
            Some(0) => Headings::Off,
            Some(_) => Headings::Names,
        };
        settings
    }

    pub fn text(&self, path: &str) -> &str {
        let default = || TEXTS.iter().find(|(known, _)| *known == path).map_or("", |(_, default)| *default);
        self.texts.get(path).map_or_else(default, String::as_str)
    }

    pub fn is_set(&self, path: &str) -> bool {
        self.texts.contains_key(path)
    }

    pub fn is_on(&self, path: &str) -> bool {
        let default = || SWITCHES.iter().any(|(known, default)| *known == path && *default);
        self.switches.get(path).copied().unwrap_or_else(default)
    }

    pub fn marks(&self) -> Marks {
        Marks {
            hidden: self.is_on("report/mark_hidden_devices"),
            two_word_unknown: self.is_on("report/two_word_unknown_device"),
            monitoring: self.is_on("activation/monitoring"),
            time_format: self.text("report/time_format").to_owned(),
        }
    }
}

/// Of a list, its first element.
fn text(conf: &Section, path: &str) -> Option<String> {
    Some(match conf.value(path)?.scalars().first()? {
        Scalar::Str(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Scalar::Int(number) => number.to_string(),
        Scalar::Float(number) => number.to_string(),
    })
}

/// A word such as `yes` is a number, too, for LVM.
fn number(conf: &Section, path: &str) -> Option<i64> {
    match conf.value(path)?.scalars().first()? {
        Scalar::Int(number) => Some(*number),
        #[allow(clippy::cast_possible_truncation, reason = "a number that is written so is on or off")]
        Scalar::Float(number) => Some(*number as i64),
        Scalar::Str(word) => match word.to_ascii_lowercase().as_slice() {
            b"y" | b"yes" | b"on" | b"true" | b"1" => Some(1),
            b"n" | b"no" | b"off" | b"false" | b"0" => Some(0),
            _ => None,
        },
    }
}
