//! The fields of reports, each with its name, heading and how its value is had.

pub mod lv;
pub mod pv;
pub mod pvseg;
pub mod seg;
pub mod vg;

use super::value::Field;
use crate::bytes::Bytes;
use crate::id::Id;
use std::borrow::Cow;

/// All fields, in LVM's order, which `-o all` and the help have, too.
pub fn all() -> impl Iterator<Item = &'static Field> {
    [lv::FIELDS, pv::FIELDS, vg::FIELDS, seg::FIELDS, pvseg::FIELDS].into_iter().flatten()
}

/// Tags in the order in which LVM shows them, each once.
fn sorted(tags: &[Bytes]) -> Vec<Cow<'_, [u8]>> {
    let mut tags = tags.iter().map(|tag| Cow::Borrowed(&**tag)).collect::<Vec<_>>();
    tags.sort();
    tags.dedup();
    tags
}

/// An id as it is shown; nothing where there is none.
fn id_text(id: Option<Id>) -> Cow<'static, [u8]> {
    Cow::Owned(id.map_or_else(Vec::new, |id| id.hyphenated()))
}
