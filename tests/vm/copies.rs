//! One PV on several devices: which of them it is used on is what lvm chooses, too.

use crate::guest::{Machine, device_number, run};
use crate::scene::{Opened, Scene};
use std::collections::BTreeSet;
use std::path::Path;

impl Scene {
    /// Both sides use this device and have these others for duplicates.
    #[track_caller]
    fn is_on(&self, node: &str, others: &[&str]) {
        let vg = self.daemon.vg("vg0").unwrap();
        let device = device_number(Path::new(node));
        assert!(vg.present.values().any(|present| *present == device), "{node}: {vg:?}");
        let expected = others.iter().map(|other| device_number(Path::new(other))).collect::<BTreeSet<_>>();
        let shown = |device: &i64| self.daemon.show_one(pvwatch::devno::DevNo::from_wire(*device).to_string());
        for device in &expected {
            let shown = shown(device);
            assert!(shown["pv"]["duplicate_of"].is_string(), "{shown:#}");
        }
        assert_eq!(self.daemon.status()["counts"]["duplicates"], expected.len());
        // All that a client of 2.02 is to know is which device to use.
        assert_eq!(self.daemon.status()["flags"]["global_disable"], false);
        let rows = run("pvs -a --noheadings --nameprefixes -o pv_name,pv_duplicate 2>/dev/null");
        let duplicates = rows.lines().filter(|row| row.contains("LVM2_PV_DUPLICATE='duplicate'"));
        let names = duplicates.map(|row| row.split('\'').nth(1).unwrap());
        let lvms = names.map(|name| device_number(Path::new(name))).collect::<BTreeSet<_>>();
        assert_eq!(lvms, expected, "{rows}");
    }
}

#[test]
fn a_snapshot_of_a_pv() {
    let machine = Machine::udev();
    let disks = machine.disks(2, 64);
    let [a, cow] = [&disks[0], &disks[1]].map(ToString::to_string);
    let mut scene = Scene::begin();
    // No LV is active but where it is told to be.
    scene.step(&format!("vgcreate -q --setautoactivation n -s 1M vg0 {a}"));
    scene.step("lvcreate -q -y -an -Zn -Wn -l 4 -n lv vg0");
    scene.step(&format!("dmsetup create origin --table '0 131072 snapshot-origin {a}'; udevadm settle"));
    scene.is_on(&a, &["/dev/mapper/origin"]);
    scene.step(&format!("dmsetup create snap --table '0 131072 snapshot {a} {cow} P 8'; udevadm settle"));
    scene.is_on(&a, &["/dev/mapper/origin", "/dev/mapper/snap"]);

    // Where an LV is active, there the PV is, whatever else speaks for another.
    scene.step("vgchange -q -ay --devices /dev/mapper/snap vg0; udevadm settle");
    scene.is_on("/dev/mapper/snap", &[&a, "/dev/mapper/origin"]);
    scene.step("vgchange -q -an vg0; udevadm settle");
    scene.is_on(&a, &["/dev/mapper/origin", "/dev/mapper/snap"]);
    scene.step("vgchange -q -ay --devices /dev/mapper/origin vg0; udevadm settle");
    scene.is_on("/dev/mapper/origin", &[&a, "/dev/mapper/snap"]);
    scene.step("vgchange -q -an vg0; dmsetup remove --retry origin; udevadm settle");
    scene.is_on(&a, &["/dev/mapper/snap"]);
    scene.step("dmsetup remove --retry snap; udevadm settle");
    scene.is_on(&a, &[]);
    scene.end();
}

#[test]
fn a_linear_device_over_a_pv() {
    let machine = Machine::udev();
    let disks = machine.disks(2, 64);
    let [a, b] = [&disks[0], &disks[1]].map(ToString::to_string);
    let (mut scene, mut opened) = Opened::begin("");
    scene.step(&format!("vgcreate -q -s 1M vg0 {a} {b}"));
    let linear = "/dev/mapper/linear";
    let create = format!("dmsetup create linear --table '0 131072 linear {a} 0'; udevadm settle");
    scene.step(&create);
    scene.is_on(&a, &[linear]);
    // The name that is in the metadata speaks for a device.
    scene.step(&format!("vgchange -q --addtag linear --devices {linear},{b} vg0; udevadm settle"));
    scene.is_on(linear, &[&a]);
    scene.step("dmsetup remove --retry linear; udevadm settle");
    scene.is_on(&a, &[]);
    scene.step(&create);
    scene.is_on(linear, &[&a]);

    // What has nothing behind it is not even opened. What was read of it stays, marked as old.
    let reload = |table: &str| {
        format!("dmsetup suspend linear; dmsetup load linear --table '{table}'; dmsetup resume linear; udevadm settle")
    };
    let dm = std::fs::canonicalize(linear).unwrap();
    for target in ["error", "zero"] {
        run("udevadm settle");
        scene.daemon.settle();
        opened.names();
        run(&reload(&format!("0 131072 {target}")));
        assert_eq!(scene.daemon.settle().len(), 1);
        let shown = scene.daemon.show_one(linear);
        assert_eq!(shown["quarantine"]["reason"], "all its targets are error or zero", "{shown:#}");
        assert!(opened.names().iter().all(|name| *name != linear && Path::new(name) != dm));
    }
    scene.step(&reload(&format!("0 131072 linear {a} 0")));
    scene.is_on(linear, &[&a]);
    scene.end();
}

#[test]
fn a_cloned_disk_and_three_copies() {
    let machine = Machine::udev();
    let disks = machine.disks(3, 32);
    let nodes = [&disks[0], &disks[1], &disks[2]].map(ToString::to_string);
    let [a, b, c] = nodes.each_ref().map(String::as_str);
    let mut scene = Scene::begin();
    scene.step(&format!("vgcreate -q -s 1M vg0 {a}"));
    for copy in [b, c] {
        scene.step(&format!("dd if={a} of={copy} bs=1M conv=fsync status=none; udevadm settle"));
    }
    scene.is_on(a, &[b, c]);
    // The clone goes its own way. Which of them is right nothing tells; lvm goes by the one that
    // it has seen first, and so does not even see what it has written itself.
    run(&format!("vgchange -q --addtag clone --devices {b} vg0; udevadm settle"));
    assert_eq!(scene.missing().len(), 1);
    let ambiguous = scene.daemon.status()["ambiguous"].take();
    assert_eq!(ambiguous[0]["devices"], serde_json::json!([a, b, c]));
    assert_eq!(ambiguous[0]["differs"], format!("seqno 1 on {a}, seqno 2 on {b}"));
    assert_eq!(
        run("pvs --noheadings -o pv_name,vg_seqno 2>/dev/null").split_whitespace().collect::<Vec<_>>(),
        [a, "1"]
    );
    disks[1].pull();
    scene.agree("the clone is gone");
    scene.is_on(a, &[c]);
    disks[0].pull();
    scene.agree("the first is gone");
    scene.is_on(c, &[]);
    scene.end();
}
