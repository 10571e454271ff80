//! Disks that are pulled out and come back, under whatever name the kernel has for them then.

use crate::common::wait_until;
use crate::guest::{Disk, Machine, run};
use crate::scene::{InUse, Scene};
use serde_json::json;

fn pvid(node: &str) -> String {
    run(&format!("pvs --noheadings -o pv_uuid {node}")).trim().to_owned()
}

impl Scene {
    /// Pulls them out, one after the other; both sides agree that they are gone.
    fn pull(&mut self, disks: &[&Disk]) {
        for disk in disks {
            let name = disk.name().unwrap();
            disk.pull();
            self.agree(&format!("{name} is pulled out"));
        }
    }

    fn plug_in(&mut self, disks: &[&Disk]) {
        for disk in disks {
            disk.plug_in();
            self.agree(&format!("a disk comes back as {disk}"));
        }
    }

    fn device_of(&self, pvid: &str) -> i64 {
        self.daemon.pvs()[pvid]
    }
}

#[test]
fn disks_come_back_under_other_names() {
    let machine = Machine::udev();
    let disks = machine.disks(4, 32);
    let [a, b, c, blank] = &disks[..] else { unreachable!() };
    let mut scene = Scene::begin();
    scene.step(&format!("vgcreate -q -s 1M vg0 {a} {b} {c}; lvcreate -q -y -l 6 -i 3 -n lv vg0; vgchange -q -an vg0"));
    let (first, name) = (pvid(&a.to_string()), a.to_string());
    scene.pull(&[a]);
    assert_eq!(scene.missing(), [first.as_str()]);
    // The blank disk takes its name and number.
    scene.pull(&[blank]);
    scene.plug_in(&[blank]);
    assert_eq!(blank.to_string(), name);
    assert_eq!(scene.missing(), [first.as_str()]);
    scene.plug_in(&[a]);
    assert_ne!(a.to_string(), name);
    assert!(scene.daemon.vg("vg0").unwrap().is_complete());
    assert_eq!(scene.device_of(&first), a.device());
    // udevd has activated it.
    scene.step("vgchange -q -an vg0");

    let pvids = [a, b, c].map(|disk| pvid(&disk.to_string()));
    scene.pull(&[b, c, a]);
    assert_eq!(scene.daemon.vg("vg0"), None);
    scene.plug_in(&[c, a, b]);
    assert!(scene.daemon.vg("vg0").unwrap().is_complete());
    for (disk, pvid) in [a, b, c].into_iter().zip(&pvids) {
        assert_eq!(scene.device_of(pvid), disk.device());
    }

    // Two change places while nobody looks.
    scene.step("vgchange -q -an vg0");
    let devices = [a, b].map(Disk::device);
    [a, b].into_iter().for_each(Disk::pull);
    [b, a].into_iter().for_each(Disk::plug_in);
    scene.agree("two disks have changed places");
    assert_eq!([b, a].map(Disk::device), devices);
    assert_eq!([a, b].map(Disk::device), [0, 1].map(|index: usize| scene.device_of(&pvids[index])));
    scene.end();
}

#[test]
fn a_disk_in_use_goes_and_comes_back_outdated() {
    let machine = Machine::udev();
    let disks = machine.disks(4, 32);
    let [a, b, c, blank] = &disks[..] else { unreachable!() };
    let mut scene = Scene::begin();
    scene.step(&format!("vgcreate -q -s 1M vg0 {a} {b} {c}"));
    scene.step(&format!("lvcreate -q -y --type raid1 -m 1 -l 8 -n raid vg0 {a} {b}"));
    let raid = InUse::begin("/dev/vg0/raid");
    let (away, device, before) = (pvid(&b.to_string()), b.device(), scene.daemon.vg("vg0").unwrap().seqno);
    scene.pull(&[b]);
    assert_eq!(scene.missing(), [away.as_str()]);
    // What is left goes on without it, and its metadata with it.
    scene.step(&format!("lvconvert -q -y --repair vg0/raid {c}"));
    assert_eq!(scene.missing(), [away.as_str()]);
    let seqno = scene.daemon.vg("vg0").unwrap().seqno;
    scene.pull(&[blank]);
    scene.plug_in(&[blank, b]);
    assert_ne!(b.device(), device, "another has its old name");
    // Back, and not up to date: what lvm warns of.
    wait_until("it to be outdated", || scene.daemon.show_one("vg0")["outdated"] == json!([away]));
    assert!(scene.daemon.vg("vg0").unwrap().seqno == seqno && scene.missing().is_empty());
    assert!(run("pvs 2>&1").contains(&format!("ignoring metadata seqno {before} on {b} for seqno {seqno}")));
    scene.step(&format!("vgextend -q --restoremissing vg0 {b}"));
    scene.step("vgck -q --updatemetadata vg0");
    assert_eq!(scene.daemon.vg("vg0").unwrap().outdated, [""; 0]);
    assert_eq!(scene.device_of(&away), b.device());
    raid.end();
    scene.end();
}
