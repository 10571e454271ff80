//! Segments that go on where the one before them ends: `lv_merge_segments` of lvm2's
//! `lib/metadata/merge.c`.

use super::{Area, Kind, Lv, LvIndex, Segment, Status};
use std::collections::HashSet;

const KEPT: Status = Status::LOCKED.or(Status::PVMOVE);

pub fn merge(all: &mut [Lv]) {
    let kept = images_kept(all);
    for (index, lv) in all.iter_mut().enumerate() {
        if lv.segments.len() < 2 || lv.is(KEPT) || kept.contains(&index) {
            continue;
        }
        let mut merged: Vec<Segment> = Vec::with_capacity(lv.segments.len());
        for segment in lv.segments.drain(..) {
            match merged.last_mut() {
                Some(last) if goes_on(last, &segment) => last.length = last.length.saturating_add(segment.length),
                _ => merged.push(segment),
            }
        }
        lv.segments = merged;
    }
}

/// pvmove wants the segments of a mirror's images to be those of what is moved.
fn images_kept(all: &[Lv]) -> HashSet<LvIndex> {
    let mirrors = all.iter().filter(|lv| lv.is(KEPT)).flat_map(|lv| &lv.segments);
    let areas = mirrors.filter(|segment| segment.kind == Kind::Mirror).flat_map(|segment| &segment.areas);
    let image = |area: &Area| match area {
        Area::Lv { lv, .. } => Some(*lv),
        Area::Pv { .. } | Area::Unassigned => None,
    };
    areas.filter_map(image).collect()
}

fn goes_on(first: &Segment, second: &Segment) -> bool {
    match first.kind {
        Kind::Zero | Kind::Error => first.kind == second.kind,
        Kind::Striped => {
            let length = first.area_length();
            let areas = || first.areas.iter().zip(&second.areas);
            second.kind == Kind::Striped
                && first.areas.len() == second.areas.len()
                && first.stripe_size == second.stripe_size
                && first.tags == second.tags
                && areas().all(|areas| match areas {
                    (Area::Pv { pv, extent }, Area::Pv { pv: next, extent: next_extent }) => {
                        pv == next && extent.saturating_add(length) == *next_extent
                    }
                    _ => false,
                })
        }
        _ => false,
    }
}
