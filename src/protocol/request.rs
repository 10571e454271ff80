//! The requests by name, and what each may do.

/// The name of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name {
    Hello,
    TokenUpdate,
    GetGlobalInfo,
    SetGlobalInfo,
    PvFound,
    PvGone,
    PvClearAll,
    PvLookup,
    PvList,
    VgList,
    VgLookup,
    VgUpdate,
    VgRemove,
    VgClearOutdatedPvs,
    SetVgInfo,
    Dump,
    Unknown,
}

impl Name {
    /// All that mean something, as they are sent.
    pub const ALL: [(&str, Name); 16] = [
        ("hello", Name::Hello),
        ("token_update", Name::TokenUpdate),
        ("get_global_info", Name::GetGlobalInfo),
        ("set_global_info", Name::SetGlobalInfo),
        ("pv_found", Name::PvFound),
        ("pv_gone", Name::PvGone),
        ("pv_clear_all", Name::PvClearAll),
        ("pv_lookup", Name::PvLookup),
        ("pv_list", Name::PvList),
        ("vg_list", Name::VgList),
        ("vg_lookup", Name::VgLookup),
        ("vg_update", Name::VgUpdate),
        ("vg_remove", Name::VgRemove),
        ("vg_clear_outdated_pvs", Name::VgClearOutdatedPvs),
        ("set_vg_info", Name::SetVgInfo),
        ("dump", Name::Dump),
    ];

    pub fn parse(word: &[u8]) -> Name {
        Name::ALL.iter().find(|(known, _)| known.as_bytes() == word).map_or(Name::Unknown, |(_, name)| *name)
    }

    /// Whether it changes what others are told. No request is left out here by a wildcard.
    pub fn changes(self) -> bool {
        match self {
            Name::TokenUpdate
            | Name::SetGlobalInfo
            | Name::PvFound
            | Name::PvGone
            | Name::PvClearAll
            | Name::VgUpdate
            | Name::VgRemove
            | Name::VgClearOutdatedPvs
            | Name::SetVgInfo => true,
            Name::Hello
            | Name::GetGlobalInfo
            | Name::PvLookup
            | Name::PvList
            | Name::VgList
            | Name::VgLookup
            | Name::Dump
            | Name::Unknown => false,
        }
    }

    /// Those that a conversation begins with have none yet.
    pub(super) fn needs_token(self) -> bool {
        !matches!(self, Name::Hello | Name::TokenUpdate)
    }
}

/// Who has sent a message.
pub trait Sender {
    /// Asked before each request that changes something.
    fn may_change(&mut self) -> bool;

    /// The message has more levels than are looked at (`text::MAX_DEPTH`), and is refused.
    fn nests_too_deeply(&mut self);
}

/// One who may do everything.
pub struct Trusted;

impl Sender for Trusted {
    fn may_change(&mut self) -> bool {
        true
    }

    fn nests_too_deeply(&mut self) {}
}
