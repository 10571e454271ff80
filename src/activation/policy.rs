//! What `lvm.conf` says of activation.

/// The settings that decide whether, and which part of, a VG is activated.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// `activation/auto_activation_volume_list`; `None`: all.
    pub auto_activation_volume_list: Option<Vec<Vec<u8>>>,
    /// `activation/volume_list`, likewise.
    pub volume_list: Option<Vec<Vec<u8>>>,
    /// What `@*` in these stands for.
    pub host_tags: Vec<Vec<u8>>,
    /// `devices/allow_changes_with_duplicate_pvs`.
    pub allow_duplicates: bool,
}
