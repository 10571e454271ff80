//! The text of a VG section.

use crate::text::{self, Item, Section};
use std::ops::{Deref, Range};
use std::rc::Rc;

/// What stands between the braces of a VG section, in memory shared with the text it came in.
#[derive(Clone, Debug)]
pub struct Body {
    text: Rc<[u8]>,
    range: Range<usize>,
}

impl Body {
    /// # Panics
    /// If the range is not inside the text.
    pub fn new(text: Rc<[u8]>, range: Range<usize>) -> Body {
        assert!(range.start <= range.end && range.end <= text.len());
        Body { text, range }
    }
}

impl From<&[u8]> for Body {
    fn from(bytes: &[u8]) -> Body {
        Body { text: Rc::from(bytes), range: 0..bytes.len() }
    }
}

impl Deref for Body {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.text[self.range.clone()]
    }
}

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

/// Two texts that say the same: keys, values, order and presence, but for device hints.
pub fn same_content(one: &[u8], other: &[u8]) -> bool {
    one == other || parse(one) == parse(other)
}
