//! Who uses which part of a PV.

use super::{Area, Lv, PvSegment};
use crate::report::model::Vg;

/// Of all PVs of the VG.
pub fn of(vg: &Vg, all: &[Lv]) -> Vec<PvSegment> {
    let mut used = Vec::new();
    for (index, lv) in all.iter().enumerate() {
        for (number, segment) in lv.segments.iter().enumerate() {
            for area in &segment.areas {
                if let Area::Pv { pv, extent } = *area {
                    let (length, used_by) = (segment.area_length(), Some((index, number)));
                    used.push(PvSegment { pv, start: extent, length, used_by });
                }
            }
        }
    }
    used.sort_by_key(|used| (used.pv, used.start));
    let mut used = used.into_iter().peekable();
    let mut out = Vec::with_capacity(used.len() + vg.pvs.len());
    for (pv, listed) in vg.pvs.iter().enumerate() {
        let mut covered = 0;
        while let Some(next) = used.next_if(|used| used.pv == pv) {
            if let Some(length) = next.start.checked_sub(covered).filter(|&length| length > 0) {
                out.push(PvSegment { pv, start: covered, length, used_by: None });
            }
            covered = next.start.saturating_add(next.length);
            out.push(next);
        }
        let rest = listed.pe_count.checked_sub(covered);
        // A PV without extents has a segment all the same.
        if let Some(length) = rest.filter(|&length| length > 0 || listed.pe_count == 0) {
            out.push(PvSegment { pv, start: covered, length, used_by: None });
        }
    }
    out
}
