//! Activation as udevd does it when a VG is complete: lvm goes by the run files, and those are ours.

use crate::guest::{Disk, Machine, run};
use crate::scene::{Scene, opened_names};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

/// Nobody else writes run files: what udevd calls does nothing.
const SETTINGS: &str = "global { event_activation=0 }";

fn run_files(directory: &str) -> BTreeSet<String> {
    let entries = fs::read_dir(Path::new("/run/lvm").join(directory)).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().into_string().unwrap()).collect()
}

/// The PVIDs, as the names of run files have them.
fn pvids(disks: &[&Disk]) -> BTreeSet<String> {
    let nodes = disks.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    run(&format!("pvs --noheadings -o pv_uuid {nodes}")).split_whitespace().map(|pvid| pvid.replace('-', "")).collect()
}

/// Activates the VG, and says which disks were opened for it.
fn activate(vg: &str) -> BTreeSet<String> {
    let log = tempfile::NamedTempFile::new().unwrap();
    run(&format!(
        "strace -f -qq -e trace=open,openat,openat2 -o {} \
         lvm vgchange -q -aay --autoactivation event --config global/event_activation=1 {vg}",
        log.path().display()
    ));
    let names = opened_names(&fs::read_to_string(log.path()).unwrap());
    let nodes = names.iter().filter_map(|name| fs::canonicalize(name).ok());
    let nodes = nodes.filter(|node| fs::metadata(node).is_ok_and(|metadata| metadata.file_type().is_block_device()));
    let names = nodes.map(|node| node.display().to_string());
    names.filter(|name| !name.starts_with("/dev/dm-")).collect()
}

fn is_active(vg: &str) -> bool {
    run(&format!("lvs --noheadings -o lv_active {vg}")).contains("active")
}

#[test]
fn vgchange_goes_by_our_run_files_alone() {
    let machine = Machine::udev();
    let disks = machine.disks(6, 32);
    let [a, b, c, d, e, blank] = &disks[..] else { unreachable!() };
    let names = |disks: &[&Disk]| disks.iter().map(ToString::to_string).collect::<BTreeSet<_>>();
    // Of a VG that no run files tell of, lvm looks at everything.
    let mut scene = Scene::begin_with(SETTINGS, |_, _| {});
    scene.step(&format!("vgcreate -q -s 1M vg0 {a} {b} {c}; lvcreate -q -y -i 3 -l 6 -n lv vg0; vgchange -q -an vg0"));
    scene.step(&format!("vgcreate -q -s 1M vg1 {d} {e}; lvcreate -q -y -i 2 -l 6 -n lv vg1; vgchange -q -an vg1"));
    assert_eq!(run_files("pvs_online"), BTreeSet::new());
    assert!(activate("vg0").is_superset(&names(&[a, b, c, d, e])));
    run("vgchange -q -an vg0 vg1; rm -rf /run/lvm/pvs_online /run/lvm/vgs_online /run/lvm/pvs_lookup");
    scene.end();

    let mut scene = Scene::begin_with(SETTINGS, |world, _| {
        fs::write(world.path("own.conf"), "pvwatch { run_dir=\"/run/lvm\" }\n").unwrap();
    });
    scene.agree("another daemon has begun");
    assert_eq!(run_files("pvs_online"), pvids(&[a, b, c, d, e]));
    assert_eq!(activate("vg0"), names(&[a, b, c]));
    assert!(is_active("vg0") && !is_active("vg1"));
    assert_eq!(activate("vg1"), names(&[d, e]));
    assert!(is_active("vg1"));
    scene.step("vgchange -q -an vg0; vgchange -q -an vg1");

    // It comes back with another number.
    let all = pvids(&[a, b, c, d, e]);
    let pvid = pvids(&[b]);
    b.pull();
    blank.pull();
    scene.agree("two disks are pulled out");
    assert_eq!(run_files("pvs_online"), all.difference(&pvid).cloned().collect());
    blank.plug_in();
    b.plug_in();
    scene.agree("they are back, each in the place of the other");
    assert_eq!(run_files("pvs_online"), all);
    assert_eq!(activate("vg0"), names(&[a, b, c]));
    assert!(is_active("vg0") && !is_active("vg1"));
    scene.step("vgchange -q -an vg0");

    // A VG that is another now.
    scene.step(&format!("vgextend -q vg0 {blank}; vgrename -q vg0 vg2"));
    assert_eq!(activate("vg2"), names(&[a, b, c, blank]));
    assert!(is_active("vg2") && !is_active("vg1"));
    scene.step("vgremove -q -y vg1 vg2");
    scene.step("pvremove -q $(pvs --noheadings -o pv_name)");
    assert_eq!(run_files("pvs_online"), BTreeSet::new());
    scene.end();
}
