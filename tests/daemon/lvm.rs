//! Debian's LVM behind the daemon's back. Loop devices 160 to 199 are ours.

use crate::common::daemon::World;
use crate::common::loops::{Loop, attach_watched};
use crate::common::lvm::{Lvm, conf};
use crate::common::testing::needs;
use crate::common::write_blank;
use std::sync::atomic::{AtomicBool, Ordering};

const DISK_SIZE: u64 = 32 << 20;

/// Blank disks numbered from `first`, of which `lvm` sees nothing else.
fn disks(world: &World, first: u32, count: u32) -> std::io::Result<Vec<Loop>> {
    let images = (first..first + count).map(|number| world.path(&number.to_string())).collect::<Vec<_>>();
    images.iter().for_each(|image| write_blank(image, DISK_SIZE));
    world.configure(&conf(first..=first + count - 1, ""));
    let images = images.iter().map(|image| image.as_path()).collect::<Vec<_>>();
    attach_watched(first, &images)
}

#[test]
fn every_change_by_lvm_is_served() {
    let world = World::new();
    let Some(lvm) = needs("every_change_by_lvm_is_served", Lvm::new(&world)) else { return };
    let Some(disks) = needs("every_change_by_lvm_is_served", disks(&world, 160, 3)) else { return };
    let daemon = world.start([""; 0]);
    let nodes = disks.iter().map(|disk| disk.node().display().to_string()).collect::<Vec<_>>();

    lvm.run(&format!("pvcreate {} {}", nodes[0], nodes[1]));
    daemon.settle();
    let pvids = [0, 1].map(|index: usize| lvm.pvid(&disks[index].node()));
    assert_eq!(daemon.pvs(), [0, 1].map(|index: usize| (pvids[index].clone(), disks[index].device())).into());

    let check = |lvs: &[&str]| {
        let vg = daemon.vg("vg0").unwrap();
        let pvs = lvm.report("pvs -o pv_uuid -S vg_name=vg0 -O pv_uuid");
        let mut expected = pvs.split_whitespace().collect::<Vec<_>>();
        expected.sort_unstable();
        assert_eq!(vg.present.keys().collect::<Vec<_>>(), expected);
        assert_eq!(vg.seqno.to_string(), lvm.report("vgs -o seqno vg0"));
        assert!(vg.is_complete() && vg.outdated.is_empty());
        assert_eq!(vg.lvs, lvs);
    };
    lvm.run(&format!("vgcreate vg0 {} {}", nodes[0], nodes[1]));
    check(&[]);
    lvm.run("lvcreate -an -Zn -Wn -l 2 -n one vg0");
    check(&["one"]);
    lvm.run("lvcreate -an -Zn -Wn -i 2 -l 2 -n two vg0");
    check(&["one", "two"]);
    lvm.run(&format!("vgextend vg0 {}", nodes[2]));
    check(&["one", "two"]);
    lvm.run("lvremove vg0/two");
    check(&["one"]);
    lvm.run(&format!("vgreduce vg0 {}", nodes[2]));
    check(&["one"]);
    assert_eq!(daemon.pvs().len(), 3, "no member any more, but a PV");
    lvm.run(&format!("pvremove {}", nodes[2]));
    daemon.settle();
    assert_eq!(daemon.pvs().len(), 2);
    lvm.run("vgrename vg0 vg1");
    assert_eq!(daemon.vg("vg0"), None);
    assert_eq!(daemon.vg("vg1").unwrap().lvs, ["one"]);
    lvm.run("lvremove vg1/one");
    lvm.run("vgremove vg1");
    assert_eq!(daemon.vg("vg1"), None);
    assert_eq!(daemon.pvs().len(), 2);
    lvm.run(&format!("pvremove {} {}", nodes[0], nodes[1]));
    daemon.settle();
    assert!(daemon.pvs().is_empty());
    let status = daemon.status();
    assert_eq!((&status["flags"]["global_disable"], status["quarantined"].as_array()), (&false.into(), Some(&vec![])));
}

#[test]
fn a_running_change_never_makes_a_pv_outdated() {
    let world = World::new();
    let Some(lvm) = needs("a_running_change_never_makes_a_pv_outdated", Lvm::new(&world)) else { return };
    let Some(disks) = needs("a_running_change_never_makes_a_pv_outdated", disks(&world, 170, 4)) else { return };
    let nodes = disks.iter().map(|disk| disk.node().display().to_string()).collect::<Vec<_>>();
    lvm.run(&format!("vgcreate vg0 {}", nodes.join(" ")));
    let daemon = world.start([""; 0]);
    let over = AtomicBool::new(false);
    let last = std::thread::scope(|scope| {
        scope.spawn(|| {
            for round in 0..15 {
                lvm.run(&format!("vgchange --addtag t{round} vg0"));
                lvm.run(&format!("vgchange --deltag t{round} vg0"));
            }
            over.store(true, Ordering::Relaxed);
        });
        let mut last = 0;
        while !over.load(Ordering::Relaxed) {
            let vg = daemon.vg_now("vg0").unwrap();
            assert_eq!(vg.outdated, [""; 0], "seqno {}", vg.seqno);
            assert!(vg.seqno >= last, "back from {last} to {}", vg.seqno);
            assert!(vg.is_complete());
            last = vg.seqno;
        }
        last
    });
    assert!(last > 10);
    let vg = daemon.vg("vg0").unwrap();
    assert_eq!(vg.seqno.to_string(), lvm.report("vgs -o seqno vg0"));
    // Nor later, after the second look that a torn moment asks for.
    std::thread::sleep(std::time::Duration::from_millis(1500));
    assert_eq!(daemon.vg("vg0").unwrap().outdated, [""; 0]);
}
