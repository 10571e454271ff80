//! The rows of a VG, a PV or a device.

use super::inventory::{Device, Host, Present, VgItem};
use super::kind::Kind;
use super::live::Live;
use super::model::VgPv;
use super::model::lvs::{Kind as LvKind, Lv, Lvs, PvSegment};
use super::row::{Marks, PvRow, Row};

/// What is the same for all rows.
#[derive(Clone, Copy)]
pub struct Common<'r> {
    pub host: &'r Host,
    pub marks: &'r Marks,
    pub live: Option<&'r Live>,
}

/// What of a VG is shown.
pub struct Wanted<'w> {
    pub kind: Kind,
    pub is_lv_wanted: &'w dyn Fn(&Lv) -> bool,
    pub is_pv_wanted: &'w dyn Fn(Option<&VgPv>, Option<&Present>) -> bool,
}

/// What there is of a PV that is in no VG, in the place of its parts.
const NO_SEGMENT: PvSegment = PvSegment { pv: 0, start: 0, length: 0, used_by: None };

impl<'r> Common<'r> {
    fn row(&self) -> Row<'r> {
        let Common { host, marks, live } = *self;
        Row { host, marks, live, vg: None, pv: None, lvs: None, lv: None, segment: None, pv_segment: None }
    }

    /// Calls `each` for each row of the VG.
    ///
    /// # Errors
    /// The first of `each`.
    pub fn vg<E>(
        &self,
        vg: &VgItem,
        lvs: Option<&Lvs>,
        wanted: &Wanted,
        mut each: impl FnMut(&Row) -> Result<(), E>,
    ) -> Result<(), E> {
        let row = Row { vg: Some(vg), lvs, ..self.row() };
        match wanted.kind {
            Kind::Log => Ok(()),
            Kind::Vgs => each(&row),
            Kind::Lvs | Kind::Segments => {
                let lvs = lvs.map_or(&[][..], |lvs| &lvs.all);
                for lv in in_turn(lvs).filter(|lv| (wanted.is_lv_wanted)(lv)) {
                    let row = Row { lv: Some(lv), ..row };
                    if wanted.kind == Kind::Lvs {
                        each(&row)?;
                        continue;
                    }
                    for segment in &lv.segments {
                        each(&Row { segment: Some(segment), ..row })?;
                    }
                }
                Ok(())
            }
            Kind::Labels | Kind::Pvs | Kind::PvSegments => {
                let present = |listed: &VgPv| vg.present.iter().find(|present| Some(present.id) == listed.id);
                for (place, listed) in vg.vg.pvs.iter().enumerate() {
                    let present = present(listed);
                    if (wanted.kind == Kind::Labels && present.is_none())
                        || !(wanted.is_pv_wanted)(Some(listed), present)
                    {
                        continue;
                    }
                    let pv = PvRow { listed: Some(listed), present, ..PvRow::default() };
                    let row = Row { pv: Some(pv), ..row };
                    if wanted.kind == Kind::PvSegments { segments(&row, place, &mut each)? } else { each(&row)? }
                }
                Ok(())
            }
        }
    }

    /// Of a PV in no VG.
    ///
    /// # Errors
    /// The first of `each`.
    pub fn orphan<E>(
        &self,
        present: &Present,
        kind: Kind,
        mut each: impl FnMut(&Row) -> Result<(), E>,
    ) -> Result<(), E> {
        let pv = PvRow { present: Some(present), ..PvRow::default() };
        let pv_segment = (kind == Kind::PvSegments).then_some(&NO_SEGMENT);
        each(&Row { pv: Some(pv), pv_segment, ..self.row() })
    }

    /// Of a device with a PV that another device is used for.
    ///
    /// # Errors
    /// The first of `each`.
    pub fn duplicate<E>(
        &self,
        vg: Option<&VgItem>,
        pv: PvRow,
        kind: Kind,
        mut each: impl FnMut(&Row) -> Result<(), E>,
    ) -> Result<(), E> {
        let pv_segment = (kind == Kind::PvSegments).then_some(&NO_SEGMENT);
        each(&Row { vg, pv: Some(pv), pv_segment, ..self.row() })
    }

    /// Of a device with no PV.
    ///
    /// # Errors
    /// The first of `each`.
    pub fn device<E>(&self, device: &Device, kind: Kind, mut each: impl FnMut(&Row) -> Result<(), E>) -> Result<(), E> {
        let pv = PvRow { device: Some(device), ..PvRow::default() };
        let pv_segment = (kind == Kind::PvSegments).then_some(&NO_SEGMENT);
        each(&Row { pv: Some(pv), pv_segment, ..self.row() })
    }
}

/// In the order in which LVM comes to them: what users see first; and thin pools before all, the last
/// one first, since LVM moves each to the front as it reads it.
fn in_turn(lvs: &[Lv]) -> impl Iterator<Item = &Lv> {
    let is_pool = |lv: &Lv| lv.first().is_some_and(|segment| segment.kind == LvKind::ThinPool);
    let pools = move || lvs.iter().rev().filter(move |lv| is_pool(lv));
    let others = move || lvs.iter().filter(move |lv| !is_pool(lv));
    let all = move || pools().chain(others());
    let is_late = |lv: &&Lv| !lv.is_visible && !lv.is_historical;
    all().filter(move |lv| !is_late(lv)).chain(all().filter(is_late))
}

fn segments<'r, E>(row: &Row<'r>, pv: usize, each: &mut impl FnMut(&Row) -> Result<(), E>) -> Result<(), E> {
    let Some(lvs) = row.lvs else { return each(&Row { pv_segment: Some(&NO_SEGMENT), ..*row }) };
    for pv_segment in lvs.pv_segments_of(pv) {
        let lv = pv_segment.used_by.and_then(|(lv, _)| lvs.all.get(lv));
        let segment = lv.zip(pv_segment.used_by).and_then(|(lv, (_, segment))| lv.segments.get(segment));
        each(&Row { lv, segment, pv_segment: Some(pv_segment), ..*row })?;
    }
    Ok(())
}
