//! The fields of reports, each with its name, heading and how its value is had.

pub mod attr;
pub mod live;
pub mod lv;
mod order;
pub mod pv;
pub mod pvseg;
pub mod seg;
mod table;
mod values;
pub mod vg;

use super::value::Field;
use crate::bytes::Bytes;
use crate::id::Id;
use std::borrow::Cow;
use std::sync::LazyLock;

const TABLES: &[&[Field]] = &[lv::FIELDS, live::FIELDS, pv::FIELDS, vg::FIELDS, seg::FIELDS, pvseg::FIELDS];

/// All fields, in LVM's order, which `-o all` and the help have, too.
pub fn all() -> impl Iterator<Item = &'static Field> {
    static SORTED: LazyLock<Vec<&Field>> = LazyLock::new(|| {
        let mut fields = TABLES.iter().copied().flatten().collect::<Vec<_>>();
        fields.sort_by_key(|field| order::ORDER.iter().position(|name| *name == field.name).unwrap_or(usize::MAX));
        fields
    });
    SORTED.iter().copied()
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn each_field_is_there_once_and_has_its_place() {
        let mut seen = BTreeSet::new();
        for field in all() {
            assert!(seen.insert(field.name), "{} is there twice", field.name);
            assert!(order::ORDER.contains(&field.name), "{} has no place", field.name);
        }
        assert_eq!(order::ORDER.iter().collect::<BTreeSet<_>>().len(), order::ORDER.len());
    }
}
