//! Arrays that the real mdadm makes, with a PV on them. Whatever happens to an array, its members
//! are no PVs.

use crate::common::LONG;
use crate::common::daemon::stop;
use crate::guest::{Disk, Machine, device_number, run};
use crate::scene::{Scene, program};
use nix::sys::signal::{Signal, kill};
use serde_json::{Value, json};
use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// By default lvm looks at the end of a device only if it has a reason to.
const FULL: &str = "devices { md_component_checks=\"full\" }";

/// All arrays, a container after its volume. That one is stopped is known when its device goes,
/// which is a little later.
const STOP: &str = "cd /sys/devices/virtual/block; while ls -d md* >/dev/null 2>&1; do
    for array in md*; do mdadm -q --stop /dev/$array 2>/dev/null || true; done; sleep 0.1
done";

/// Needed for IMSM on what is no controller of Intel's.
const NO_PLATFORM: &str = "export IMSM_NO_PLATFORM=1 IMSM_DEVNAME_AS_SERIAL=1";

/// What mdadm says of a member, in the words of `member_of`.
fn examined(node: &str) -> Value {
    let printed = run(&format!("{NO_PLATFORM}; mdadm --examine {node}"));
    let field = |name: &str| {
        let fields = printed.lines().filter_map(|line| line.split_once(" : "));
        fields.map(|(key, value)| (key.trim(), value.trim())).find(|(key, _)| *key == name).map(|(_, value)| value)
    };
    let word = |name: &str| field(name).and_then(|value| value.split_whitespace().next()).map(str::to_owned);
    let count = |name: &str| word(name).unwrap().parse::<u32>().unwrap();
    if printed.contains("Intel Raid ISM") {
        let volume = printed.lines().find_map(|line| line.strip_prefix('[')?.strip_suffix("]:"));
        return json!({
            "format": "imsm", "version": word("Version"), "name": volume, "uuid": word("Family"),
            "role": null, "level": format!("raid{}", word("RAID Level").unwrap()), "members": count("Members"),
        });
    }
    if printed.contains("Container GUID") {
        let disks = printed.lines().skip_while(|line| !line.trim_start().starts_with("Number"));
        let mut this = disks.filter(|line| line.contains(&format!(" {node} ")));
        let this = this.next().unwrap();
        let number = this.split_whitespace().next().unwrap();
        // `2 (1@0K 0@0K)`
        let places = field("Raid Devices[0]").unwrap().split(['(', ')']).nth(1).unwrap();
        let place = places.split(' ').position(|place| place.split('@').next() == Some(number)).unwrap();
        return json!({
            "format": "ddf", "version": word("Version"), "name": word("Name[0]"), "uuid": word("Container GUID"),
            "role": if this.contains("Failed") { "faulty".into() } else { format!("active device {place}") },
            "level": word("Raid Level[0]").unwrap().to_lowercase(), "members": count("Raid Devices[0]"),
        });
    }
    // Of 0.90 a line of a table: number, major, minor, place, state.
    let role_of_0_90 = || {
        let this = printed.lines().find_map(|line| line.strip_prefix("this")).unwrap();
        let columns = this.split_whitespace().collect::<Vec<_>>();
        if columns[4] == "active" { format!("active device {}", columns[3]) } else { columns[4].into() }
    };
    json!({
        "format": "md",
        "version": word("Version").unwrap().trim_end_matches(".00"),
        "name": word("Name"),
        "uuid": word("Array UUID").or_else(|| word("UUID")),
        "role": field("Device Role").map_or_else(role_of_0_90, |role| role.replace("Active", "active")),
        "level": word("Raid Level"),
        "members": count("Raid Devices"),
    })
}

fn inspected(disks: &[&Disk]) -> Vec<Value> {
    let nodes = disks.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    serde_json::from_str(&run(&format!("{} inspect --json {nodes}", program("pvwatch").display()))).unwrap()
}

/// The node of the one array there is.
fn array() -> String {
    let arrays = arrays_in("/sys/block");
    assert_eq!(arrays.len(), 1, "{arrays:?}");
    arrays[0].clone()
}

/// The node of the array that runs on the disk.
fn array_of(disk: &Disk) -> Option<String> {
    arrays_in(&format!("/sys/block/{}/holders", disk.name().unwrap())).pop()
}

/// The nodes of arrays, containers apart.
fn arrays_in(directory: &str) -> Vec<String> {
    let names = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let size = |name: &str| fs::read_to_string(format!("/sys/block/{name}/size")).unwrap();
    let arrays = names.filter(|name| name.starts_with("md") && size(name) != "0\n");
    arrays.map(|name| format!("/dev/{name}")).collect()
}

/// In what is said of the member something else than mdadm says.
fn difference(said: &Value, expected: &Value, context: &str) -> Option<String> {
    if said["verdict"] != "member" {
        return Some(format!("{context}: {said:#}"));
    }
    let wrong = expected.as_object().unwrap().iter().find(|(key, value)| said["member_of"][key] != **value);
    wrong.map(|(key, value)| format!("{context}, {key} is to be {value}: {said:#}"))
}

#[track_caller]
fn check_member(said: &Value, expected: &Value, context: &str) {
    if let Some(difference) = difference(said, expected, context) {
        panic!("{difference}");
    }
}

impl Scene {
    /// These are members and no PVs, and the same is said of them as by mdadm. What the kernel
    /// writes to a member while the array runs no event tells of, so they are read again.
    #[track_caller]
    fn are_members(&self, disks: &[&Disk]) {
        let began = Instant::now();
        while let Some(difference) = self.how_members_differ(disks) {
            // The kernel writes when it likes, so mdadm may have read something else.
            assert!(began.elapsed() < LONG, "{difference}");
            sleep(Duration::from_millis(500));
        }
    }

    fn how_members_differ(&self, disks: &[&Disk]) -> Option<String> {
        self.daemon.call("Rescan", &json!({}));
        self.daemon.settle();
        disks.iter().zip(inspected(disks)).find_map(|(disk, inspected)| {
            let mut expected = examined(&disk.to_string());
            expected["device"] = json!(array_of(disk));
            let shown = self.daemon.show_one(disk.node());
            difference(&inspected, &expected, "inspect").or_else(|| difference(&shown, &expected, "status"))
        })
    }

    fn wipe(&mut self, disks: &[&Disk]) {
        let nodes = disks.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        // First the label: of two copies of a PV, one would be a duplicate.
        run(&format!("for disk in {nodes}; do dd if=/dev/zero of=$disk bs=1M count=2 conv=fsync status=none; done"));
        self.step(&format!("mdadm -q --zero-superblock {nodes} >/dev/null 2>&1 || true; udevadm settle"));
        assert!(self.daemon.pvs().is_empty());
    }

    /// The VG is complete, on the array alone.
    fn is_on_array(&self) {
        let vg = self.daemon.vg("vg0").unwrap();
        let array = device_number(array().as_ref());
        assert_eq!(vg.present.values().copied().collect::<Vec<_>>(), [array]);
        assert!(vg.is_complete());
    }
}

/// With a superblock at the end, the members of a mirror look like the array.
#[test]
fn a_mirror_of_each_version() {
    let machine = Machine::udev();
    // Stopping writes to the members, and who hears of that would put them together again.
    machine.udev_rules("64-md-raid-assembly.rules", "");
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
        if shows_label {
            // By default lvm sees no reason to look at the end, and takes any of the three for the
            // PV: which one depends on how the kernel has named them.
            let lvms = run("pvs 2>/dev/null --noheadings -o pv_name --config \
                 'devices { md_component_checks=\"auto\" hints=\"none\" }'");
            assert!([a, b, c].iter().any(|disk| disk.to_string() == lvms.trim()), "{lvms}");
        }
        scene.wipe(&[a, b, c]);
    }
    scene.end();
}

/// Whoever is the first to open or close an array that has been started gives it another `diskseq`, and no
/// event says so. Who waits for the array waits until it has been read as that.
#[test]
fn an_array_that_nobody_has_opened_since_it_was_started() {
    let machine = Machine::udev();
    machine.udev_rules("64-md-raid-assembly.rules", "");
    let disks = machine.disks(2, 32);
    let [a, b] = &disks[..] else { unreachable!() };
    let mut scene = Scene::begin_with(FULL, |_, _| {});
    scene.step(&format!(
        "mdadm -q --create /dev/md0 --run --assume-clean --metadata 1.0 --level 1 -n 2 {a} {b} 2>&1
        vgcreate -q -s 1M vg0 /dev/md0"
    ));
    // udevd would open it, and mdadm would close it.
    run("udevadm settle; udevadm control --stop-exec-queue; echo inactive >/sys/block/md0/md/array_state");
    scene.daemon.call("Rescan", &json!({}));
    assert_eq!(scene.daemon.vg("vg0"), None);
    let readers = scene.daemon.readers();
    stop(&readers);
    let diskseq = || fs::read_to_string("/sys/block/md0/diskseq").unwrap();
    let before = diskseq();
    run("echo active >/sys/block/md0/md/array_state");
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| (scene.daemon.settle(), scene.daemon.pvs()));
        sleep(Duration::from_secs(1));
        assert_eq!(diskseq(), before);
        readers.iter().for_each(|reader| kill(*reader, Signal::SIGCONT).unwrap());
        let (quarantined, pvs) = waiting.join().unwrap();
        assert_ne!(diskseq(), before);
        assert_eq!(quarantined, [""; 0]);
        assert_eq!(pvs.into_values().collect::<Vec<_>>(), [device_number("/dev/md0".as_ref())]);
    });
    run("udevadm control --start-exec-queue; udevadm settle");
    scene.agree("it is started");
    scene.is_on_array();
    scene.step(STOP);
    scene.wipe(&[a, b]);
    scene.end();
}

/// Chunks so small that a label and the metadata are on different members.
#[test]
fn striped_arrays_that_udevd_assembles() {
    let machine = Machine::udev();
    let disks = machine.disks(3, 32);
    let mut scene = Scene::begin_with(FULL, |_, _| {});
    for (level, version, count) in [("5", "1.0", 3), ("10", "0.90", 3), ("0", "1.0", 2)] {
        let members = disks.iter().take(count).collect::<Vec<_>>();
        let nodes = members.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        let clean = if level == "0" { "" } else { "--assume-clean" };
        scene.step(&format!(
            "mdadm -q --create /dev/md0 --run {clean} --metadata {version} --level {level} --chunk 4 -n {count} {nodes} 2>&1"
        ));
        scene.step("vgcreate -q -s 1M vg0 /dev/md0");
        scene.is_on_array();
        for (index, (inspected, disk)) in inspected(&members).iter().zip(&members).enumerate() {
            check_member(inspected, &examined(&disk.to_string()), &format!("raid{level} of {version}"));
            let has_label = run(&format!("dd if={disk} bs=512 skip=1 count=1 status=none")).starts_with("LABELONE");
            assert_eq!(has_label, index == 0 || (level, index) == ("10", 1), "raid{level}, {disk}");
        }

        scene.step(STOP);
        assert_eq!(scene.daemon.vg("vg0"), None);
        for disk in &members {
            disk.pull();
        }
        scene.agree("no disk is there");
        for disk in &members {
            disk.plug_in();
            scene.agree("a member is there");
        }
        scene.is_on_array();
        scene.are_members(&members[..1]);
        scene.step(STOP);
        scene.wipe(&members);
    }
    scene.end();
}

#[test]
fn a_volume_in_a_container() {
    let machine = Machine::udev();
    // It is not to take a disk that has just been taken out.
    machine.udev_rules("64-md-raid-assembly.rules", "");
    let disks = machine.disks(3, 64);
    let [a, b, c] = &disks[..] else { unreachable!() };
    let mut scene = Scene::begin_with(FULL, |_, _| {});
    for format in ["imsm", "ddf"] {
        scene.step(&format!(
            "{NO_PLATFORM}; mdadm -q --create /dev/md/box --run -e {format} -n 2 {a} {b}
            mdadm -q --create /dev/md/vol0 --run --assume-clean --level 1 -n 2 --size 8M /dev/md/box; udevadm settle"
        ));
        scene.step("vgcreate -q -s 1M vg0 /dev/md/vol0");
        scene.is_on_array();
        scene.are_members(&[a, b]);

        scene.step(&format!(
            "mdadm -q /dev/md/vol0 --fail {b}; until mdadm -q /dev/md/box --remove {b} 2>/dev/null; do sleep 0.2; done"
        ));
        scene.step("vgchange -q --addtag degraded vg0");
        scene.is_on_array();
        scene.are_members(&[a, b]);
        // Of DDF mdadm can take back a disk, and crashes over a new one.
        let (added, how) = if format == "ddf" { (b, "-I") } else { (c, "/dev/md/box --add") };
        scene.step(&format!(
            "{NO_PLATFORM}; mdadm -q {how} {added}; until grep -q '\\[UU\\]' /proc/mdstat; do sleep 0.2; done"
        ));
        scene.is_on_array();
        scene.are_members(&[a, b]);
        scene.are_members(&[added]);

        scene.step(STOP);
        assert_eq!(scene.daemon.vg("vg0"), None);
        scene.are_members(&[a, b]);
        scene.step(&format!("{NO_PLATFORM}; mdadm -q -I {a}; mdadm -q -I {added}; udevadm settle"));
        scene.is_on_array();
        scene.step(STOP);
        scene.step(&format!("{NO_PLATFORM}; mdadm -q --zero-superblock {b}; udevadm settle"));
        assert_eq!(scene.daemon.vg("vg0").unwrap().present.into_values().collect::<Vec<_>>(), [b.device()]);
        scene.wipe(&[a, b, c]);
    }
    scene.end();
}
