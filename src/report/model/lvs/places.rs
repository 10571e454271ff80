//! What there is of the PVs beneath LVs.

use super::{Area, Lv, LvIndex, Lvs, Status};
use crate::report::inventory::{Present, VgItem};
use crate::report::model::VgPv;
use std::collections::HashMap;

/// Found out when it is first asked for.
#[derive(Clone, Debug)]
pub struct Places {
    /// Where in the list of PVs that are there each of the VG stands.
    present: Vec<Option<usize>>,
    partial: Vec<bool>,
}

impl Lvs {
    /// What is there of the PV that stands there in the list of the VG, which these LVs are of.
    pub fn present<'v>(&self, vg: &'v VgItem, pv: usize) -> Option<&'v Present> {
        self.places(vg).present.get(pv).copied().flatten().and_then(|index| vg.present.get(index))
    }

    /// Something beneath it is missing.
    pub fn is_partial(&self, vg: &VgItem, index: LvIndex) -> bool {
        self.places(vg).partial.get(index).is_some_and(|&partial| partial)
    }

    fn places(&self, vg: &VgItem) -> &Places {
        self.places.get_or_init(|| {
            let by_id = vg.present.iter().enumerate().map(|(index, present)| (present.id, index));
            let by_id = by_id.collect::<HashMap<_, _>>();
            let place = |pv: &VgPv| pv.id.and_then(|id| by_id.get(&id).copied());
            let present = vg.vg.pvs.iter().map(place).collect::<Vec<_>>();
            let is_missing = |pv: usize| {
                present.get(pv).copied().flatten().is_none() || vg.vg.pvs.get(pv).is_none_or(is_marked_missing)
            };
            let partial = partial(&self.all, is_missing);
            Places { present, partial }
        })
    }
}

fn is_marked_missing(pv: &VgPv) -> bool {
    pv.status.iter().chain(&pv.flags).any(|word| *word == *"MISSING")
}

/// `_lv_postorder_vg` with `_lv_mark_if_partial_single` of lvm2's `lib/metadata/metadata.c`: each is
/// judged when all beneath it has been. An origin lies with its snapshots, and each of them with it: of
/// such a circle the one that comes first in the text is judged last, by what is known then.
fn partial(all: &[Lv], is_missing: impl Fn(usize) -> bool) -> Vec<bool> {
    let below = all.iter().map(below).collect::<Vec<_>>();
    let mut partial = vec![false; all.len()];
    // LVM takes its mark of these for that it has looked at them already.
    let mut is_seen = all.iter().map(|lv| lv.is(Status::INTEGRITY_METADATA)).collect::<Vec<_>>();
    for top in 0..all.len() {
        let mut open = Vec::new();
        if !std::mem::replace(&mut is_seen[top], true) {
            open.push((top, below[top].iter()));
        }
        while let Some((index, next)) = open.last_mut() {
            match next.next() {
                Some(&lv) if std::mem::replace(&mut is_seen[lv], true) => {}
                Some(&lv) => open.push((lv, below[lv].iter())),
                None => {
                    let has_lost = |area: &Area| matches!(*area, Area::Pv { pv, .. } if is_missing(pv));
                    let mut areas = all[*index].segments.iter().flat_map(|segment| &segment.areas);
                    partial[*index] = areas.any(has_lost) || below[*index].iter().any(|&lv| partial[lv]);
                    open.pop();
                }
            }
        }
    }
    partial
}

/// What LVM goes on to from there.
fn below(lv: &Lv) -> Vec<LvIndex> {
    let mut below = lv.cow.map(|cow| cow.origin).into_iter().collect::<Vec<_>>();
    for segment in &lv.segments {
        // A missing device with the metadata of raid or of integrity makes no other LV partial.
        let metadata = segment.metadata.filter(|_| segment.kind.is_pool());
        below.extend([segment.external_origin, segment.log, segment.pool, metadata].into_iter().flatten());
        below.extend(segment.areas.iter().filter_map(|area| match *area {
            Area::Lv { lv, .. } => Some(lv),
            Area::Pv { .. } | Area::Unassigned => None,
        }));
    }
    below.extend(&lv.snapshots);
    below
}
