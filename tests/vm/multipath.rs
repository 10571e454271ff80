//! Several ways to one disk: with multipathd, which makes a map of them, and with a map alone.

use crate::common::wait_until;
use crate::guest::{Disk, Machine, WWID, device_number, run};
use crate::partitions;
use crate::scene::{Opened, Scene};
use serde_json::json;
use std::fs;
use std::path::Path;

const MAP: &str = "/dev/mapper/333333330000007d0";

/// Every disk that is not blacklisted is a path.
const GREEDY: &str = "defaults {\n    find_multipaths greedy\n    user_friendly_names no\n}\n";

/// As a user does before multipathd is started.
fn configure(conf: &str) {
    fs::create_dir_all("/etc/multipath").unwrap();
    fs::write("/etc/multipath.conf", conf).unwrap();
}

/// Waits for multipathd to make a map with so many paths.
fn await_paths(count: usize) {
    wait_until(&format!("a map with {count} paths"), || {
        let table = run(&format!("dmsetup deps -o devname {WWID} 2>/dev/null || true"));
        table.contains(&format!("{count} dependencies")) && Path::new(MAP).exists()
    });
    run("udevadm settle");
}

impl Scene {
    /// The PV is on the map and nowhere else, and was never elsewhere with it.
    fn is_on_map(&self) {
        let map = device_number(Path::new(MAP));
        let vg = self.daemon.vg("vg0").unwrap();
        assert!(vg.is_complete() && vg.present.values().all(|device| *device == map), "{vg:?}");
        self.has_no_duplicates();
    }

    fn has_no_duplicates(&self) {
        assert!(!self.world.log().contains("duplicate"), "{}", self.world.log());
        assert_eq!(self.daemon.status()["counts"]["duplicates"], 0);
    }

    /// These are paths of the map, or of one that is known of.
    fn are_components(&self, paths: &[&str], map: Option<&str>) {
        for path in paths {
            let shown = self.daemon.show_one(path);
            assert_eq!(shown["verdict"], "member", "{shown:#}");
            assert!(shown["pv"].is_null() && shown["read"].is_null(), "{shown:#}");
            let member = &shown["member_of"];
            assert_eq!([&member["format"], &member["role"]], ["multipath", "path"], "{shown:#}");
            assert_eq!([&member["uuid"], &member["name"]], [&json!(WWID), &json!(map)], "{shown:#}");
            let holder = map.map(|map| fs::canonicalize(Path::new("/dev/mapper").join(map)).unwrap());
            assert_eq!(member["device"], json!(holder), "{shown:#}");
        }
    }
}

#[test]
fn multipathd_makes_a_map() {
    let machine = Machine::udev();
    let paths = machine.paths(2, 64);
    let [a, b] = &paths[..] else { unreachable!() };
    b.pull();
    run(&format!("vgcreate -q -s 1M vg0 {a}"));
    a.pull();
    configure(GREEDY);
    run("multipathd; until multipathd show daemon >/dev/null 2>&1; do sleep 0.2; done");
    let (mut scene, mut opened) = Opened::begin("");
    scene.agree("no path is there");

    // The map is made of what comes first.
    a.plug_in();
    await_paths(1);
    scene.agree("a path, and the map of it");
    scene.is_on_map();
    b.plug_in();
    await_paths(2);
    scene.agree("another path");
    scene.is_on_map();
    let nodes = [a, b].map(Disk::to_string);
    let nodes = nodes.each_ref().map(String::as_str);
    scene.are_components(&nodes, Some(WWID));
    scene.step("vgchange -q --addtag both vg0; udevadm settle");

    a.pull();
    await_paths(1);
    scene.agree("a path is gone");
    scene.is_on_map();
    scene.step("vgchange -q --addtag one vg0; udevadm settle");
    a.plug_in();
    await_paths(2);
    scene.agree("it is back");
    scene.is_on_map();
    b.pull();
    await_paths(1);
    scene.agree("the other is gone");
    scene.is_on_map();
    b.plug_in();
    await_paths(2);

    // What has been a path is one for ever, to LVM and to us.
    scene.step(&format!("multipathd shutdown >/dev/null; udevadm settle; multipath -f {WWID}; udevadm settle"));
    assert_eq!(scene.daemon.vg("vg0"), None);
    let nodes = [a, b].map(Disk::to_string);
    let nodes = nodes.each_ref().map(String::as_str);
    scene.are_components(&nodes, None);
    for name in opened.names() {
        assert!(!nodes.contains(&&*name), "{name} is a path");
    }

    // Until that is forgotten. Then the PV is on one of two paths. LVM, which sees that they have
    // one WWID, waits for a map and takes it for nobody's.
    run("rm -r /etc/multipath.conf /etc/multipath; udevadm trigger --settle --action=change --subsystem-match=block");
    wait_until("the files to be missed", || scene.daemon.vg("vg0").is_some_and(|vg| vg.is_complete()));
    assert_eq!(run("pvs --noheadings 2>/dev/null"), "");
    scene.has_no_duplicates();
    let shown = nodes.map(|node| scene.daemon.show_one(node)["pv"]["is_path"] == true);
    assert!(shown.contains(&true) && shown.contains(&false), "{shown:?}");
}

/// How long a path waits for its map here: long enough to be seen waiting.
const WAIT: &str = "pvwatch { multipath_wait=20 }";

#[test]
fn a_map_without_multipathd() {
    let machine = Machine::udev();
    // Nobody tells udev what is a path.
    machine.udev_rules("60-multipath.rules", "");
    machine.udev_rules("60-kpartx.rules", "");
    // With the handler each path has a state, and of three one is not to be used.
    run("modprobe -a scsi_dh_alua dm-multipath");
    let paths = machine.paths(3, 64);
    let state =
        |path: &Disk| fs::read_to_string(format!("/sys/block/{}/device/access_state", path.name().unwrap())).unwrap();
    let (standby, active): (Vec<_>, Vec<_>) = paths.iter().partition(|path| state(path) == "standby\n");
    let ([standby], [a, b]) = (&standby[..], &active[..]) else {
        panic!("{:?}", paths.iter().map(state).collect::<Vec<_>>())
    };
    let nodes = [a, b].map(ToString::to_string);
    let nodes = nodes.each_ref().map(String::as_str);
    let table = format!("0 131072 multipath 0 0 2 1 service-time 0 1 0 {a} service-time 0 1 0 {b}");
    let make_map = format!("dmsetup create {WWID} --uuid mpath-{WWID} --table '{table}'; udevadm settle");
    let remove_map = format!("dmsetup remove --retry {WWID}; udevadm settle");
    run(&format!("{make_map}; vgcreate -q -s 1M vg0 {MAP}; {remove_map}"));

    configure("defaults {\n    find_multipaths no\n}\n");
    let (mut scene, mut opened) = Opened::begin(WAIT);
    for node in nodes {
        let shown = scene.daemon.show_one(node);
        assert_eq!([&shown["verdict"], &shown["ignored"]], ["pending", "device may be a multipath component"]);
    }
    assert_eq!(scene.daemon.vg("vg0"), None);
    assert_eq!(scene.daemon.show_one(standby.node())["ignored"], "device is a path that is standby");
    scene.step(&make_map);
    scene.is_on_map();
    scene.are_components(&nodes, Some(WWID));
    assert!(opened.names().is_disjoint(&nodes.map(str::to_owned).into()));

    scene.step("vgremove -q vg0; pvremove -q /dev/mapper/333333330000007d0");
    let kpartx = format!("kpartx -s -p -part {MAP}");
    run(&partitions::table(MAP, &[(2048, 32768), (40960, 32768)]));
    scene.step(&format!("{kpartx} -a; udevadm settle"));
    scene.step(&format!("vgcreate -q -s 1M vg0 {MAP}-part1 {MAP}-part2"));
    let parts = [1, 2].map(|number| device_number(Path::new(&format!("{MAP}-part{number}"))));
    let is_on_parts = |scene: &Scene| {
        let vg = scene.daemon.vg("vg0").unwrap();
        assert!(vg.is_complete() && vg.present.values().all(|device| parts.contains(device)), "{vg:?}");
        scene.has_no_duplicates();
    };
    is_on_parts(&scene);
    // The kernel's own partitions of a path are in the way of the map's.
    scene.step(&format!("partx -a {a}; udevadm settle"));
    is_on_parts(&scene);
    scene.are_components(&[&format!("{a}1"), &format!("{a}2")], Some(WWID));
    scene.step(&format!("partx -d {a}; udevadm settle"));
    scene.step(&format!("{kpartx} -d; udevadm settle"));
    assert_eq!(scene.daemon.vg("vg0"), None);
    scene.step(&format!("{kpartx} -a; udevadm settle"));
    is_on_parts(&scene);
    scene.step(&format!(
        "vgremove -q vg0; udevadm settle; {kpartx} -d; dd if=/dev/zero of={MAP} bs=1M count=1 conv=fsync status=none; udevadm settle"
    ));
    scene.step(&format!("vgcreate -q -s 1M vg0 {MAP}"));
    scene.is_on_map();

    // Nobody knows of a map now, so after a while the PV is on one of the paths. LVM, which sees
    // that they have one WWID, takes it for nobody's.
    run(&remove_map);
    assert_eq!(scene.daemon.vg("vg0"), None);
    wait_until("the wait for a map to be over", || scene.daemon.vg("vg0").is_some());
    let vg = scene.daemon.vg("vg0").unwrap();
    assert!(vg.present.values().all(|device| [a.device(), b.device()].contains(device)), "{vg:?}");
    scene.has_no_duplicates();
    assert_eq!(run("pvs --noheadings 2>/dev/null"), "");
    scene.step(&make_map);
    scene.is_on_map();
    scene.are_components(&nodes, Some(WWID));
    assert!(!opened.names().contains(&standby.to_string()));
    scene.end();
}
