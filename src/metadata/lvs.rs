//! Which PVs an LV lies on.

use super::check::is_known_segment_type;
use super::{id, string};
use crate::id::Id;
use crate::text::{Scalar, Section};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// LVM stacks LVs a handful deep; a text may nest them as it likes.
const DEPTH_MAX: usize = 64;

/// The LVs of a VG that users see, in the order of the text, with the PVs that each lies on:
/// `lv_is_visible` and `lv_is_on_pv` of lvm2.
pub fn visible_lvs(vg: &Section) -> Vec<(Vec<u8>, Vec<Id>)> {
    let map = Map::new(vg);
    let mut known = BTreeMap::new();
    let visible = map.order.iter().filter(|name| map.is_visible(name));
    visible.map(|name| (name.to_vec(), map.pvs_of(name, &mut known, 0).iter().copied().collect())).collect()
}

/// An LV that users see.
pub struct VisibleLv<'s> {
    pub name: &'s [u8],
    pub lv: &'s Section<'s>,
    /// Of a snapshot that is not thin, if its origin is seen, too: what it is a snapshot of.
    pub origin: Option<&'s [u8]>,
}

/// The same LVs, with what the text says of each.
pub fn visible_sections<'s>(vg: &'s Section<'s>) -> Vec<VisibleLv<'s>> {
    let map = Map::new(vg);
    let visible = map.order.iter().filter(|name| map.is_visible(name));
    let origin = |name: &[u8]| map.cows.get(name).copied().flatten().filter(|origin| map.is_visible(origin));
    visible.filter_map(|&name| Some(VisibleLv { name, lv: map.lvs.get(name)?, origin: origin(name) })).collect()
}

impl VisibleLv<'_> {
    pub fn has_unknown_segment(&self) -> bool {
        segments(self.lv).filter_map(|segment| string(segment, "type")).any(|kind| !is_known_segment_type(kind))
    }

    /// Whether its first segment is of this type.
    pub fn is(&self, kind: &[u8]) -> bool {
        segments(self.lv).next().is_some_and(|segment| string(segment, "type") == Some(kind))
    }
}

struct Map<'s> {
    pvs: BTreeMap<&'s [u8], Id>,
    lvs: BTreeMap<&'s [u8], &'s Section<'s>>,
    order: Vec<&'s [u8]>,
    /// LVs that hold what snapshots have of their own, with the origin of each.
    cows: BTreeMap<&'s [u8], Option<&'s [u8]>>,
}

impl<'s> Map<'s> {
    fn new(vg: &'s Section<'s>) -> Map<'s> {
        let pvs = vg.section("physical_volumes").into_iter().flat_map(Section::sections);
        let lvs = || vg.section("logical_volumes").into_iter().flat_map(Section::sections);
        let cows = lvs().filter(|(_, lv)| is_snapshot(lv)).flat_map(|(_, lv)| segments(lv));
        Map {
            pvs: pvs.filter_map(|(name, pv)| Some((name, id(pv)?))).collect(),
            lvs: lvs().collect(),
            order: lvs().map(|(name, _)| name).collect(),
            cows: cows.filter_map(|segment| Some((string(segment, "cow_store")?, string(segment, "origin")))).collect(),
        }
    }

    fn is_visible(&self, name: &[u8]) -> bool {
        let Some(lv) = self.lvs.get(name).filter(|lv| !is_snapshot(lv)) else { return false };
        let is_marked = lv.value("status").is_some_and(|status| status.strings().any(|flag| flag == b"VISIBLE"));
        is_marked || self.cows.contains_key(name)
    }

    fn pvs_of(
        &self,
        name: &'s [u8],
        known: &mut BTreeMap<&'s [u8], Rc<BTreeSet<Id>>>,
        depth: usize,
    ) -> Rc<BTreeSet<Id>> {
        if let Some(pvs) = known.get(name) {
            return Rc::clone(pvs);
        }
        // So that a circle ends.
        known.insert(name, Rc::default());
        let mut pvs = BTreeSet::new();
        for segment in self.lvs.get(name).into_iter().flat_map(|lv| segments(lv)) {
            for part in parts(segment) {
                match self.pvs.get(part) {
                    Some(pv) => drop(pvs.insert(*pv)),
                    None if depth < DEPTH_MAX => pvs.extend(self.pvs_of(part, known, depth.saturating_add(1)).iter()),
                    None => {}
                }
            }
        }
        let pvs = Rc::new(pvs);
        known.insert(name, Rc::clone(&pvs));
        pvs
    }
}

fn segments<'s>(lv: &'s Section<'s>) -> impl Iterator<Item = &'s Section<'s>> {
    lv.sections().map(|(_, segment)| segment)
}

/// The LV that ties a snapshot to its origin, of which users see nothing.
fn is_snapshot(lv: &Section) -> bool {
    segments(lv).any(|segment| string(segment, "type") == Some(b"snapshot"))
}

/// The PVs and LVs that a segment lies on. The origin of a thin snapshot is none of them.
fn parts<'s>(segment: &'s Section<'s>) -> Vec<&'s [u8]> {
    let kind = string(segment, "type").unwrap_or_default();
    let kind = kind.split(|&byte| byte == b'+').next().unwrap_or_default();
    let (lists, names): (&[&str], &[&str]) = match kind {
        b"striped" | b"linear" => (&["stripes"], &[]),
        b"mirror" => (&["mirrors"], &["mirror_log"]),
        b"thin-pool" => (&[], &["metadata", "pool"]),
        b"thin" => (&[], &["thin_pool", "external_origin"]),
        b"cache-pool" => (&[], &["data", "metadata"]),
        b"cache" => (&[], &["cache_pool", "origin"]),
        b"writecache" => (&[], &["writecache", "origin"]),
        b"integrity" => (&[], &["origin", "meta_dev"]),
        b"vdo" => (&[], &["vdo_pool"]),
        b"vdo-pool" => (&[], &["data"]),
        kind if kind.starts_with(b"raid") => (&["raids", "raid0_lvs"], &[]),
        _ => (&[], &[]),
    };
    let listed = lists.iter().filter_map(|key| segment.value(key)).flat_map(|list| list.scalars());
    let listed = listed.filter_map(|scalar| match scalar {
        Scalar::Str(name) => Some(&**name),
        Scalar::Int(_) | Scalar::Float(_) => None,
    });
    listed.chain(names.iter().filter_map(|key| string(segment, key))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::parse;

    fn check(lvs: &str, expected: &[(&str, &[&str])]) {
        let pv = |name: &str| format!("{name} {{ id=\"{}\" }}", name.repeat(16));
        let text = format!("physical_volumes {{ {} {} }} logical_volumes {{ {lvs} }}", pv("p0"), pv("p1"));
        let found = visible_lvs(&parse(text.as_bytes()).unwrap());
        let name = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let found = found.iter().map(|(lv, pvs)| (name(lv), pvs.iter().map(|pv| name(&pv.0[..2])).collect::<Vec<_>>()));
        let expected =
            expected.iter().map(|(lv, pvs)| ((*lv).to_owned(), pvs.iter().map(|&pv| pv.to_owned()).collect()));
        assert_eq!(found.collect::<Vec<_>>(), expected.collect::<Vec<_>>(), "{lvs}");
    }

    #[test]
    fn an_lv_lies_where_its_parts_do() {
        let hidden = |name: &str, pv: &str| format!("{name} {{ s1 {{ type=\"striped\" stripes=[\"{pv}\", 0] }} }} ");
        let seen = "status=[\"VISIBLE\"]";
        check(&hidden("h", "p0"), &[]);
        let areas = hidden("a", "p0") + &hidden("b", "p1");
        for (segment, expected) in [
            ("type=\"striped\" stripes=[\"p1\", 0, \"p0\", 5]", &["p0", "p1"][..]),
            ("type=\"raid1\" raids=[\"a\", \"b\"]", &["p0", "p1"]),
            ("type=\"raid0\" raid0_lvs=[\"b\"]", &["p1"]),
            ("type=\"mirror\" mirrors=[\"a\", 0] mirror_log=\"b\"", &["p0", "p1"]),
            ("type=\"thin-pool\" metadata=\"a\" pool=\"b\"", &["p0", "p1"]),
            ("type=\"thin\" thin_pool=\"b\" origin=\"a\"", &["p1"]),
            ("type=\"cache+METADATA_FORMAT\" cache_pool=\"a\" origin=\"b\"", &["p0", "p1"]),
            ("type=\"unheard\" stripes=[\"p0\", 0]", &[]),
            ("type=\"zero\"", &[]),
        ] {
            check(&format!("{areas} lv {{ {seen} s1 {{ {segment} }} }}"), &[("lv", expected)]);
        }
    }

    #[test]
    fn a_snapshot_is_seen_by_its_own_name() {
        let cow = "snap { s1 { type=\"striped\" stripes=[\"p0\", 0] } }";
        let tie = "snapshot0 { status=[\"VISIBLE\"] s1 { type=\"snapshot\" origin=\"o\" cow_store=\"snap\" } }";
        check(&format!("{cow} {tie}"), &[("snap", &["p0"])]);
    }

    #[test]
    fn circles_and_chains_end() {
        check("lv { status=[\"VISIBLE\"] s1 { type=\"thin\" thin_pool=\"lv\" } }", &[("lv", &[])]);
        let link = |n| format!("l{n} {{ s1 {{ type=\"thin\" thin_pool=\"l{}\" }} }} ", n + 1);
        let chain = (0..10_000).map(link).collect::<String>();
        check(
            &format!("{chain} lv {{ status=[\"VISIBLE\"] s1 {{ type=\"thin\" thin_pool=\"l0\" }} }}"),
            &[("lv", &[])],
        );
    }
}
