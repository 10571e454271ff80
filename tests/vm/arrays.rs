//! Arrays that the real mdadm makes, with a PV on them. Whatever happens to an array, its members
//! are no PVs.

use crate::guest::{Disk, Machine, run};
use crate::scene::{Scene, program};
use serde_json::{Value, json};
use std::fs;

/// By default lvm looks at the end of a device only if it has a reason to.
const FULL: &str = "devices { md_component_checks=\"full\" }";

/// That it is stopped is known when its device goes, which is a little later.
const STOP: &str = "mdadm -q --stop /dev/md0; while [ -e /sys/devices/virtual/block/md0 ]; do sleep 0.1; done";

/// What mdadm says of a member, in the words of `member_of`.
fn examined(node: &str) -> Value {
    let printed = run(&format!("mdadm --examine {node}"));
    let field = |name: &str| {
        let fields = printed.lines().filter_map(|line| line.split_once(" : "));
        fields.map(|(key, value)| (key.trim(), value.trim())).find(|(key, _)| *key == name).map(|(_, value)| value)
    };
    // `Active device 0` and `spare`, and of 0.90 a line of a table: number, major, minor, place, state.
    let of_0_90 = || {
        let this = printed.lines().find_map(|line| line.strip_prefix("this")).unwrap();
        let columns = this.split_whitespace().collect::<Vec<_>>();
        if columns[4] == "active" { format!("active device {}", columns[3]) } else { columns[4].into() }
    };
    json!({
        "format": "md",
        "version": field("Version").unwrap().trim_end_matches(".00"),
        "name": field("Name").map(|name| name.split("  ").next().unwrap()),
        "uuid": field("Array UUID").or(field("UUID")).map(|uuid| uuid.split(' ').next().unwrap()),
        "role": field("Device Role").map_or_else(of_0_90, |role| role.replace("Active", "active")),
        "level": field("Raid Level").unwrap(),
        "members": field("Raid Devices").unwrap().parse::<u32>().unwrap(),
    })
}

fn inspected(disks: &[&Disk]) -> Vec<Value> {
    let nodes = disks.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    serde_json::from_str(&run(&format!("{} inspect --json {nodes}", program("pvwatch").display()))).unwrap()
}

/// The node of the one array there is.
fn array() -> String {
    let names = fs::read_dir("/sys/block").unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let arrays = names.filter(|name| name.starts_with("md")).collect::<Vec<_>>();
    assert_eq!(arrays.len(), 1, "{arrays:?}");
    format!("/dev/{}", arrays[0])
}

/// Whether the member said so says what mdadm says of it.
#[track_caller]
fn check_member(said: &Value, expected: &Value, context: &str) {
    assert_eq!(said["verdict"], "member", "{context}: {said:#}");
    for (key, value) in expected.as_object().unwrap() {
        assert_eq!(said["member_of"][key], *value, "{context}, {key}: {said:#}");
    }
}

impl Scene {
    /// These are members and no PVs, and the same is said of them as by mdadm. What the kernel
    /// writes to a member while the array runs no event tells of, so they are read again.
    fn are_members(&self, disks: &[&Disk]) {
        self.daemon.call("Rescan", &json!({}));
        self.daemon.settle();
        for (disk, inspected) in disks.iter().zip(inspected(disks)) {
            let expected = examined(&disk.to_string());
            check_member(&inspected, &expected, "inspect");
            check_member(&self.daemon.show_one(disk.node()), &expected, "status");
        }
    }

    /// The VG is complete, on the array alone.
    fn is_on_array(&self) {
        let vg = self.daemon.vg("vg0").unwrap();
        let array = crate::guest::device_number(array().as_ref());
        assert_eq!(vg.present.values().copied().collect::<Vec<_>>(), [array]);
        assert!(vg.is_complete());
    }
}

fn nodes(disks: &[&Disk]) -> String {
    disks.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

/// With a superblock at the end, the members of a mirror look like the array.
#[test]
fn a_mirror_of_each_version() {
    let machine = Machine::udev();
    let disks = machine.disks(3, 32);
    let [a, b, c] = &disks[..] else { unreachable!() };
    let mut scene = Scene::begin_with(FULL, |_, _| {});
    for version in ["0.90", "1.0", "1.1", "1.2"] {
        let shows_label = matches!(version, "0.90" | "1.0");
        scene.step(&format!(
            "mdadm -q --create /dev/md0 --run --assume-clean --metadata {version} --level 1 -n 2 {a} {b} 2>&1"
        ));
        scene.step("vgcreate -q -s 1M vg0 /dev/md0");
        scene.is_on_array();
        scene.are_members(&[a, b]);

        // What is removed keeps the metadata of then.
        scene.step(&format!("mdadm -q /dev/md0 --fail {b}; mdadm -q /dev/md0 --remove {b}"));
        scene.step("vgchange -q --addtag degraded vg0");
        scene.is_on_array();
        scene.are_members(&[a, b]);
        scene.step(&format!("mdadm -q /dev/md0 --add {b}; mdadm --wait /dev/md0 || true"));
        scene.are_members(&[a, b]);

        scene.step(STOP);
        assert_eq!(scene.daemon.vg("vg0"), None);
        scene.are_members(&[a, b]);
        scene.step(&format!("mdadm -q --assemble /dev/md0 {a} {b}"));
        scene.is_on_array();
        scene.step(&format!("mdadm -q /dev/md0 --add {c}"));
        scene.are_members(&[a, b]);
        // On a spare there is no label, so nobody reads its end unless asked to.
        check_member(&inspected(&[c])[0], &examined(&c.to_string()), "a spare");
        scene.step("mdadm -q --grow /dev/md0 -n 3; mdadm --wait /dev/md0 || true");
        scene.is_on_array();
        scene.are_members(&[a, b, c]);

        // What has no superblock any more is what it looks like.
        scene.step(STOP);
        scene.step(&format!("mdadm -q --zero-superblock {c}; udevadm settle"));
        scene.are_members(&[a, b]);
        assert_eq!(scene.daemon.vg("vg0").is_some(), shows_label);
        println!(
            "{version}: {}",
            run("pvs 2>&1 --config 'devices { md_component_checks=\"auto\" }'; pvs 2>&1 -a -o +pv_duplicate")
        );
        run(&format!(
            "for disk in {}; do dd if=/dev/zero of=$disk bs=1M count=2 conv=fsync status=none; done",
            nodes(&[a, b, c])
        ));
        scene.step(&format!("mdadm -q --zero-superblock {a} {b} 2>&1 || true; udevadm settle"));
        assert!(scene.daemon.pvs().is_empty());
    }
    scene.end();
}
