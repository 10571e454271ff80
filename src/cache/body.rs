//! The text of a VG section.

use crate::id::Id;
use crate::text::{self, Item, Section};
use std::borrow::Cow;

/// The body as a tree, without the PVs' `device` nodes: these are hints of another moment.
pub fn parse(body: &[u8]) -> Section<'_> {
    let mut section = text::parse(body).expect("a stored body has been parsed before");
    for pv in physical_volumes(&mut section) {
        pv.0.retain(|node| &*node.key != b"device");
    }
    section
}

/// The PV sections of a VG; only the first section of that name counts.
pub fn physical_volumes<'s, 'a>(vg: &'s mut Section<'a>) -> impl Iterator<Item = &'s mut Section<'a>> {
    let pvs = vg.0.iter_mut().find(|node| &*node.key == b"physical_volumes");
    let nodes = match pvs.map(|node| &mut node.item) {
        Some(Item::Section(section)) => &mut section.0[..],
        _ => &mut [],
    };
    nodes.iter_mut().filter_map(|node| match &mut node.item {
        Item::Section(pv) => Some(pv),
        Item::Value(_) | Item::Known(_) => None,
    })
}

/// What the section of a PV has for its id, written as LVM writes it: a reader drops hyphens wherever they are.
pub fn pvid<'s>(pv: &'s Section) -> Option<Cow<'s, [u8]>> {
    let written = pv.str("id")?;
    Some(Id::parse(written).map_or(Cow::Borrowed(written), |id| Cow::Owned(id.hyphenated())))
}

/// Two texts that say the same: keys, values, order and presence, but for device hints.
pub fn same_content(one: &[u8], other: &[u8]) -> bool {
    one == other || parse(one) == parse(other)
}
