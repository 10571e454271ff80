//! Fields of PVs, labels, PV segments and VGs beside what lvm2 2.03.16 printed of the same seven images:
//! a VG of five PVs that differ in all that `pvcreate` has options for, one of them missing; an orphan, an
//! exported VG and one of another host. What differs from device to device is left out.

#[path = "common/mod.rs"]
mod common;
#[path = "common/recorded.rs"]
mod recorded;
use pvwatch::devno;

use common::daemon::World;

#[test]
fn fields_of_pvs_and_vgs_are_those_of_lvm() {
    let world = World::new();
    // As LVM's names of devices, these come before `[unknown]`.
    let images = ["A", "B", "C", "D", "F", "G", "H"].map(|name| (format!("pvs-{name}.img.gz"), format!("{name}.img")));
    recorded::unpack(&world, &images);
    let names = images.map(|(_, name)| name).join(",");
    let options = ["--reportformat", "json", "--units", "b", "--devices", &names];
    recorded::compare(&world, include_str!("report/pvs.json"), &options);
}
