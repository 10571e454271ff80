//! Which rows a report has, by the fields that it shows, sorts and selects by.

use super::columns::Objects;
use super::options::{Command, Part};
use super::value::Object;

/// What a row is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Log,
    /// Labels of devices only.
    Labels,
    Pvs,
    PvSegments,
    Vgs,
    Lvs,
    Segments,
}

/// Where a report begins: what its command is about.
pub fn start(command: Command, with_segments: bool) -> Object {
    match (command, with_segments) {
        (Command::Pvs, false) => Object::Label,
        (Command::Pvs, true) => Object::PvSeg,
        (Command::Lvs, true) => Object::Seg,
        (Command::Lvs, false) => Object::Lv,
        (Command::Vgs | Command::FullReport, _) => Object::Vg,
    }
}

/// In JSON, and in errors.
pub fn name(start: Object) -> &'static str {
    super::columns::prefix(start)
}

/// The rows that a report has by itself.
pub fn own(start: Object) -> Kind {
    match start {
        Object::Label => Kind::Labels,
        Object::Pv => Kind::Pvs,
        Object::Vg => Kind::Vgs,
        Object::Lv | Object::LvInfo | Object::LvStatus | Object::LvInfoStatus => Kind::Lvs,
        Object::Seg => Kind::Segments,
        Object::PvSeg => Kind::PvSegments,
        Object::Log => Kind::Log,
    }
}

/// What stands above a report that is not the only one.
pub fn title(start: Object) -> &'static str {
    match start {
        Object::Label => "Physical Volume Label",
        Object::Pv => "Physical Volume",
        Object::Vg => "Volume Group",
        Object::Lv | Object::LvInfo | Object::LvStatus | Object::LvInfoStatus => "Logical Volume",
        Object::Seg => "Logical Volume Segment",
        Object::PvSeg => "Physical Volume Segment",
        Object::Log => "Command Log",
    }
}

/// The report of each part of `fullreport`.
pub fn start_of(part: Part) -> Object {
    match part {
        Part::Log => Object::Log,
        Part::Vg => Object::Vg,
        Part::Pv => Object::Pv,
        Part::Lv => Object::Lv,
        Part::PvSeg => Object::PvSeg,
        Part::Seg => Object::Seg,
    }
}

const LV: &[Object] = &[Object::Lv, Object::LvInfo, Object::LvStatus, Object::LvInfoStatus, Object::Seg];

/// The kind of a report that began at `start`; `vg` is the one that a part of a full report is of.
///
/// # Errors
/// What LVM says of fields that do not go together.
pub fn kind(start: Object, objects: Objects, vg: Option<&str>) -> Result<Kind, String> {
    let has_lv = objects.has_any(LV);
    let has_pv = objects.has_any(&[Object::Pv, Object::Label, Object::PvSeg]);
    let is_of_pvs = match vg {
        None => matches!(start, Object::Label | Object::Pv | Object::PvSeg),
        Some(_) => start == Object::PvSeg,
    };
    if has_lv && has_pv && !is_of_pvs {
        let (sub, of) = vg.map_or(("", String::new()), |vg| ("sub", format!(" in VG {vg}")));
        let name = name(start);
        return Err(format!("Can't report LV and PV fields at the same time in {sub}report type \"{name}\"{of}."));
    }
    Ok(if start == Object::Log {
        Kind::Log
    } else if objects.has(Object::PvSeg) || (has_pv && has_lv) {
        Kind::PvSegments
    } else if objects.has(Object::Pv) || (objects.has(Object::Label) && objects.has(Object::Vg)) {
        Kind::Pvs
    } else if objects.has(Object::Seg) {
        Kind::Segments
    } else if has_lv {
        Kind::Lvs
    } else if objects.has(Object::Label) {
        Kind::Labels
    } else {
        Kind::Vgs
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_decide_what_a_row_is_of() {
        use Object::{Label, Lv, Pv, PvSeg, Seg, Vg};
        for (start, objects, expected) in [
            (Label, &[Label][..], Some(Kind::Labels)),
            (Label, &[Label, Vg], Some(Kind::Pvs)),
            (Label, &[Label, Pv, Lv], Some(Kind::PvSegments)),
            (Label, &[Label, PvSeg], Some(Kind::PvSegments)),
            (Vg, &[Vg], Some(Kind::Vgs)),
            (Vg, &[Vg, Label], Some(Kind::Pvs)),
            (Vg, &[Vg, Lv], Some(Kind::Lvs)),
            (Vg, &[Vg, Lv, Pv], None),
            (Lv, &[Lv, Vg], Some(Kind::Lvs)),
            (Lv, &[Lv, Seg], Some(Kind::Segments)),
            (Lv, &[Lv, Label], None),
        ] {
            assert_eq!(kind(start, Objects::of(objects), None).ok(), expected, "{start:?} {objects:?}");
        }
    }
}
