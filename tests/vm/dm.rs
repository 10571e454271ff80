//! Devices of device-mapper itself: suspended ones, LVs that hold PVs, and what is internal.

use crate::common::wait_until;
use crate::guest::{Machine, device_number, run, settle};
use crate::scene::{Opened, Scene, program};
use nix::sys::signal::Signal;
use serde_json::json;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Every name of these dm devices.
fn names_of(names: &[String]) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for name in names {
        all.insert(format!("/dev/mapper/{name}"));
        all.extend(
            run(&format!("udevadm info -q name -q symlink -r /dev/mapper/{name} 2>/dev/null || true"))
                .split_whitespace()
                .map(str::to_owned),
        );
        all.insert(format!("/dev/{}", run(&format!("dmsetup info -c --noheadings -o blkdevname {name}")).trim()));
    }
    all
}

fn dm_names() -> Vec<String> {
    run("dmsetup info -c --noheadings -o name").lines().map(|name| name.trim().to_owned()).collect()
}

/// The states of the daemon and its readers.
fn states(scene: &Scene) -> Vec<char> {
    let processes = scene.daemon.readers().into_iter().chain([scene.daemon.pid()]);
    let stats = processes.filter_map(|process| fs::read_to_string(format!("/proc/{process}/stat")).ok());
    stats.filter_map(|stat| stat.rsplit_once(") ")?.1.chars().next()).collect()
}

#[test]
fn a_device_that_is_suspended_when_something_happens_to_it() {
    let machine = Machine::udev();
    let disks = machine.disks(2, 64);
    let [a, b] = &disks[..] else { unreachable!() };
    let (mut scene, mut opened) = Opened::begin("");
    scene.step(&format!("dmsetup create pv --table '0 65536 linear {a} 2048'"));
    scene.step("pvcreate -q /dev/mapper/pv");
    scene.step(&format!("vgcreate -q vg0 /dev/mapper/pv {b}"));
    assert!(!opened.names().is_disjoint(&names_of(&["pv".into()])), "this is how it is read");
    let node = "/dev/mapper/pv";
    let device = device_number(Path::new(node));

    run("dmsetup suspend pv");
    opened.names();
    for _ in 0..3 {
        run("echo change >/sys/block/$(dmsetup info -c --noheadings -o blkdevname pv)/uevent; udevadm settle");
        assert_eq!(scene.daemon.settle().len(), 1);
        scene.daemon.call("Rescan", &json!({}));
        scene.daemon.settle();
    }
    let shown = scene.daemon.show_one(node);
    assert_eq!(shown["quarantine"]["reason"], "the device-mapper device is suspended");
    assert_eq!(shown["pv"]["stale"], true);
    // What lvm cannot look at, to it is not there; here it is what it was.
    let vg = scene.daemon.vg("vg0").unwrap();
    assert!(vg.is_complete() && vg.present.values().any(|present| *present == device), "{vg:?}");
    assert!(opened.names().is_disjoint(&names_of(&["pv".into()])));
    // One that waits for a page of its program is over it in a moment.
    wait_until("nobody to hang", || !states(&scene).contains(&'D'));
    run("dmsetup resume pv; udevadm settle");
    scene.agree("it is resumed");

    // It has another table when it is resumed.
    run(&format!("dmsetup create pv --table '0 65536 linear {b} 2048' 2>/dev/null || true"));
    scene.step(&format!(
        "dmsetup suspend pv; dmsetup load pv --table '0 32768 linear {a} 81920'; dmsetup resume pv; udevadm settle"
    ));
    assert!(!scene.daemon.pvs().values().any(|present| *present == device));
    scene.step(&format!(
        "dmsetup suspend pv; dmsetup load pv --table '0 65536 linear {a} 2048'; dmsetup resume pv; udevadm settle"
    ));
    scene.step("vgchange -q --addtag tag vg0");
    scene.step("dmsetup rename pv other; udevadm settle");
    scene.step("dmsetup remove --retry other; udevadm settle");
    assert_eq!(scene.daemon.vg("vg0").unwrap().missing.len(), 1);
    // Made without a table, as a snapshot's parts are.
    scene.step("dmsetup create --notable new; udevadm settle");
    scene.step(&format!("dmsetup load new --table '0 65536 linear {a} 2048'; udevadm settle"));
    scene.step("dmsetup resume new; udevadm settle");
    assert!(scene.daemon.vg("vg0").unwrap().is_complete());
    for _ in 0..5 {
        run("dmsetup remove --retry new");
        run(&format!("dmsetup create new --table '0 65536 linear {a} 2048'"));
    }
    scene.agree("it came and went");
    scene.step("vgremove -q vg0; dmsetup remove --retry new; udevadm settle");
    // A device on its way out is no sick one.
    assert_eq!(scene.world.log().matches(": quarantined,").count(), 1, "{}", scene.world.log());
    scene.end();
}

#[test]
fn pvs_inside_lvs_and_what_is_internal() {
    let machine = Machine::udev();
    let disks = machine.disks(3, 64);
    let [a, b, c] = &disks[..] else { unreachable!() };
    let (mut scene, mut opened) = Opened::begin("");
    scene.step(&format!("vgcreate -q -s 1M vg0 {a} {b} {c}"));
    scene.step("lvcreate -q -y -l 8 -n linear vg0");
    scene.step("lvcreate -q -y --type raid1 -m 1 -l 8 -n raid vg0");
    scene.step("lvcreate -q -y -T -L 8M -V 8M -n thin vg0/pool");
    scene.step("lvcreate -q -y -s -l 4 -n snap vg0/linear");
    // lvm itself refuses, unless told so.
    run("for lv in raid thin; do pvcreate -q -y --config devices/scan_lvs=1 /dev/vg0/$lv; done; udevadm settle");
    scene.agree("two LVs hold PVs");
    assert_eq!(scene.daemon.show_one("/dev/vg0/raid")["ignored"], "device is an LV");
    let dm_opened = opened.names().into_iter().filter(|name| {
        name.starts_with("/dev/dm-") || name.starts_with("/dev/mapper/") || name.starts_with("/dev/vg0/")
    });
    assert_eq!(dm_opened.collect::<Vec<_>>(), [""; 0]);

    scene.reconfigure("devices { scan_lvs=1 }");
    scene.agree("LVs are scanned");
    scene.step("vgcreate -q -s 1M vg1 /dev/vg0/raid /dev/vg0/thin");
    scene.step("lvcreate -q -y -l 4 -n lv vg1");
    assert_eq!(scene.daemon.vg("vg1").unwrap().present.len(), 2);
    settle();
    scene.daemon.settle();
    opened.names();
    run("udevadm trigger --settle --action=change --subsystem-match=block");
    scene.daemon.call("Rescan", &json!({}));
    scene.agree("everything is looked at again");
    let opened_now = opened.names();
    let is_internal = |name: &&String| {
        ["_rimage_", "_rmeta_", "_tmeta", "_tdata", "-tpool", "-real", "-cow"].iter().any(|part| name.contains(part))
    };
    let internal = dm_names().iter().filter(is_internal).cloned().collect::<Vec<_>>();
    assert_eq!(internal.len(), 9, "{internal:?}");
    let internal = names_of(&internal);
    assert_eq!(opened_now.intersection(&internal).collect::<Vec<_>>(), [""; 0], "of {opened_now:?}");
    assert!(!opened_now.is_disjoint(&names_of(&["vg0-raid".into()])), "{opened_now:?}");
    assert!(!opened_now.is_disjoint(&names_of(&["vg0-thin".into()])), "{opened_now:?}");
    scene.step("vgremove -q -y vg1");
    scene.step("vgremove -q -y vg0");
    scene.daemon.signal(Signal::SIGHUP);
    scene.end();
}

#[test]
fn what_leads_to_nothing_is_not_opened() {
    let machine = Machine::udev();
    let disks = machine.disks(1, 64);
    let disk = &disks[0];
    let (mut scene, mut opened) = Opened::begin("");
    let reason = |scene: &Scene, name: &str| -> serde_json::Value {
        scene.daemon.settle();
        scene.daemon.show_one(format!("/dev/mapper/{name}"))["quarantine"]["reason"].clone()
    };
    run("modprobe dm-mirror; modprobe dm-snapshot; modprobe dm-thin-pool; modprobe dm-zero 2>/dev/null || true");
    scene.step(&format!("dmsetup create base --table '0 16384 linear {disk} 2048'"));
    scene.step(&format!("dmsetup create cow --table '0 1024 linear {disk} 32768'"));
    scene.step(&format!("dmsetup create meta --table '0 8192 linear {disk} 40960'"));
    scene.step(&format!("dmsetup create data --table '0 16384 linear {disk} 65536'"));
    run("dmsetup create dead --table '0 16384 error'; udevadm settle");
    assert_eq!(reason(&scene, "dead"), "all its targets are error or zero");
    run("printf '0 8192 error\n8192 8192 zero\n' | dmsetup create both; udevadm settle");
    assert_eq!(reason(&scene, "both"), "all its targets are error or zero");

    run("dmsetup create snap --table '0 16384 snapshot /dev/mapper/base /dev/mapper/cow P 8'; udevadm settle");
    assert_eq!(reason(&scene, "snap"), json!(null));
    run("dd if=/dev/zero of=/dev/mapper/snap bs=1M count=4 oflag=direct status=none 2>/dev/null || true");
    run("echo change >/sys/block/$(dmsetup info -c --noheadings -o blkdevname snap)/uevent; udevadm settle");
    assert_eq!(reason(&scene, "snap"), "it is an invalid snapshot");

    run("dd if=/dev/zero of=/dev/mapper/meta bs=4k count=1 oflag=direct status=none
        dmsetup create pool --table '0 16384 thin-pool /dev/mapper/meta /dev/mapper/data 128 0'
        dmsetup message pool 0 'create_thin 0'
        dmsetup create thin --table '0 16384 thin /dev/mapper/pool 0'; udevadm settle");
    assert_eq!(reason(&scene, "thin"), json!(null));
    run("dmsetup load pool --table '0 16384 thin-pool /dev/mapper/meta /dev/mapper/data 128 0 1 read_only'
        dmsetup suspend --noflush pool; dmsetup resume pool
        echo change >/sys/block/$(dmsetup info -c --noheadings -o blkdevname thin)/uevent; udevadm settle");
    assert_eq!(reason(&scene, "thin"), "its thin pool is read-only, out of space or has failed");

    run("dmsetup create mirror --table \
        '0 16384 mirror core 1 1024 2 /dev/mapper/data 0 /dev/mapper/dead 0 1 handle_errors'; sleep 2
        echo change >/sys/block/$(dmsetup info -c --noheadings -o blkdevname mirror)/uevent; udevadm settle");
    assert_eq!(reason(&scene, "mirror"), "its mirror waits for a failed device to be replaced");

    run(&format!(
        "dmsetup create under --table '0 16384 linear {disk} 100000'
        dmsetup create above --table '0 16384 linear /dev/mapper/under 0'; udevadm settle"
    ));
    assert_eq!(reason(&scene, "above"), json!(null));
    opened.names();
    run("dmsetup suspend under
        echo change >/sys/block/$(dmsetup info -c --noheadings -o blkdevname above)/uevent");
    wait_until("the one below to be noticed", || {
        scene.daemon.show_one("/dev/mapper/above")["quarantine"]["reason"]
            == "a device-mapper device below it is suspended"
    });
    let inspected = run(&format!("{} inspect --json /dev/mapper/above || true", program("pvwatch").display()));
    assert!(inspected.contains("a device-mapper device below it is suspended"), "{inspected}");
    scene.daemon.call("Rescan", &json!({}));
    scene.daemon.settle();
    let unusable = ["dead", "both", "snap", "thin", "mirror", "above", "under"].map(str::to_owned);
    assert_eq!(opened.names().intersection(&names_of(&unusable)).collect::<Vec<_>>(), [""; 0]);
    // One that waits for a page of its program is over it in a moment.
    wait_until("nobody to hang", || !states(&scene).contains(&'D'));
    // It is tried again, without an event of its own.
    run("dmsetup resume under");
    wait_until("it to be read", || reason(&scene, "above") == json!(null));
    run("for name in above under mirror thin pool snap both dead data meta cow base; do
        dmsetup remove --retry $name
    done; udevadm settle");
    scene.end();
}
