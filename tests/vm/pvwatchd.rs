//! The daemon beside the real lvm, without being told anything by it.

use crate::common::daemon::World;
use crate::guest::{Machine, run};

#[test]
fn it_finds_what_the_real_lvm_makes_and_sees_disks_come_and_go() {
    let machine = Machine::udev();
    let disks = machine.disks(2, 32);
    let world = World::new();
    let daemon = world.start_command(world.command().arg("-f").env("LVM_SYSTEM_DIR", "/etc/lvm"));
    assert!(daemon.pvs().is_empty());
    run(&format!("pvcreate {}", disks[0]));
    daemon.settle();
    let pvid = run(&format!("pvs --noheadings -o pv_uuid {}", disks[0]));
    assert_eq!(daemon.pvs(), [(pvid.trim().to_owned(), disks[0].device())].into());

    run(&format!("vgcreate vg {} {}; lvcreate -y -l 1 -n lv vg", disks[0], disks[1]));
    let vg = daemon.vg("vg").unwrap();
    assert!(vg.is_complete() && vg.lvs == ["lv"], "{vg:?}");
    disks[1].pull();
    assert_eq!(daemon.vg("vg").unwrap().missing.len(), 1);
    disks[1].plug_in();
    assert_eq!(daemon.vg("vg").unwrap(), vg);
    run("vgremove -y vg");
    assert_eq!(daemon.vg("vg"), None);
}
