//! Which LVs of a VG are shown.

use crate::report::inventory::VgItem;
use crate::report::kind::Kind;
use crate::report::model::lvs::Lv;
use crate::report::names::{Names, VgName};
use crate::report::options::Options;

pub struct LvFilter<'f> {
    names: &'f Names,
    options: &'f Options,
    named: Option<&'f VgName>,
    takes_all: bool,
}

impl<'f> LvFilter<'f> {
    pub fn new(names: &'f Names, options: &'f Options, vg: &VgItem) -> LvFilter<'f> {
        let named = names.vgs.iter().find(|named| named.name == *vg.vg.name);
        let is_whole = named.is_some_and(|named| named.is_whole);
        let has_lvs = named.is_some_and(|named| !named.lvs.is_empty());
        let takes_all = is_whole || (names.tags.is_empty() && !has_lvs) || names.has_tag(&vg.vg.tags);
        LvFilter { names, options, named: named.filter(|_| !is_whole), takes_all }
    }

    pub fn takes(&self, lv: &Lv, kind: Kind) -> bool {
        if lv.is_historical && !self.options.history {
            return false;
        }
        let lvs = self.named.map_or(&[][..], |named| &named.lvs);
        let is_hidden = !lv.is_visible && !lv.is_historical && !self.options.all;
        if is_hidden && (lvs.is_empty() || kind == Kind::Segments) {
            return false;
        }
        let is_named = lvs.iter().any(|named| named.name == lv.name);
        let takes_all = self.takes_all && (!is_hidden || lvs.is_empty());
        takes_all || is_named || lv.tags.iter().any(|tag| self.names.tags.contains(tag))
    }
}
