//! What the kernel announces about a block device.

#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects, clippy::expect_used, clippy::indexing_slicing))]

use crate::devno::DevNo;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Add,
    Change,
    Remove,
    Move,
    Online,
    Offline,
    Bind,
    Unbind,
    /// An action younger than this program.
    Other,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uevent {
    pub action: Action,
    pub devno: DevNo,
    /// The kernel's name, such as `sda1`; as in `Facts`.
    pub name: String,
    /// Linux 5.15 and later; which incarnation of the disk the event is about.
    pub diskseq: Option<u64>,
    /// Made by a write to the device's file `uevent` in sysfs, as udevd does when a writer has
    /// closed a node.
    pub synthetic: bool,
    /// The uevent's own counter, not a VG's seqno.
    pub seqnum: Option<u64>,
}

impl Action {
    /// Reads the value of `ACTION` (the kernel's lib/kobject_uevent.c, `kobject_actions`).
    pub fn parse(text: &str) -> Action {
        match text {
            "add" => Action::Add,
            "change" => Action::Change,
            "remove" => Action::Remove,
            "move" => Action::Move,
            "online" => Action::Online,
            "offline" => Action::Offline,
            "bind" => Action::Bind,
            "unbind" => Action::Unbind,
            _ => Action::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions_have_the_kernels_words() {
        assert_eq!(Action::parse("remove"), Action::Remove);
        assert_eq!(Action::parse("unbind"), Action::Unbind);
        assert_eq!(Action::parse("Add"), Action::Other);
        assert_eq!(Action::parse(""), Action::Other);
    }
}
