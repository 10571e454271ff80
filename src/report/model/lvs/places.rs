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

/// `_lv_mark_if_partial` of lvm2's `lib/metadata/metadata.c`, from below.
fn partial(all: &[Lv], is_missing: impl Fn(usize) -> bool) -> Vec<bool> {
    let mut above = vec![Vec::new(); all.len()];
    let mut partial = vec![false; all.len()];
    let mut found = Vec::new();
    for (index, lv) in all.iter().enumerate() {
        // It lies with its snapshots, and they do not lie with it.
        if let Some(cow) = lv.cow {
            above[index].push(cow.origin);
        }
        for segment in &lv.segments {
            // A missing device with the metadata of raid or of integrity makes no other LV partial.
            let metadata = segment.metadata.filter(|_| segment.kind.is_pool());
            for below in [segment.external_origin, segment.log, segment.pool, metadata].into_iter().flatten() {
                above[below].push(index);
            }
            for area in &segment.areas {
                match *area {
                    Area::Pv { pv, .. } if is_missing(pv) => found.push(index),
                    Area::Lv { lv, .. } => above[lv].push(index),
                    Area::Pv { .. } | Area::Unassigned => {}
                }
            }
        }
    }
    while let Some(index) = found.pop() {
        // LVM takes its mark of these for that it has looked at them already.
        if !all[index].is(Status::INTEGRITY_METADATA) && !std::mem::replace(&mut partial[index], true) {
            found.extend(&above[index]);
        }
    }
    partial
}
