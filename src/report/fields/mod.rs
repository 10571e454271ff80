//! The fields of reports, each with its name, heading and how its value is had.

pub mod lv;
pub mod pv;
pub mod pvseg;
pub mod seg;
pub mod vg;

use super::value::Field;

/// All fields, in LVM's order, which `-o all` and the help have, too.
pub fn all() -> impl Iterator<Item = &'static Field> {
    [lv::FIELDS, pv::FIELDS, vg::FIELDS, seg::FIELDS, pvseg::FIELDS].into_iter().flatten()
}
