//! That the machine is what the other tests take it for.

use crate::guest::{Machine, run, settle, try_run};
use std::fs;

#[test]
fn the_kernel_has_what_is_needed_and_udevd_runs() {
    let _machine = Machine::udev();
    for module in [
        "dm-mod",
        "dm-thin-pool",
        "dm-snapshot",
        "dm-cache",
        "dm-raid",
        "dm-mirror",
        "dm-delay",
        "dm-flakey",
        "dm-multipath",
        "md-mod",
        "raid0",
        "raid1",
        "raid10",
        "raid456",
        "loop",
        "scsi_debug",
        "scsi_dh_alua",
        "null_blk",
    ] {
        run(&format!("modprobe -n {module}"));
    }
    run("udevadm control --ping");
    assert!(!fs::exists("/run/systemd/system").unwrap(), "systemd is in the other machine");
}

#[test]
fn disks_are_independent_of_each_other() {
    let machine = Machine::udev();
    let disks = machine.disks(3, 8);
    for disk in &disks {
        run(&format!("printf %s {disk} | dd of={disk} bs=512 conv=sync oflag=direct status=none"));
    }
    for disk in &disks {
        assert_eq!(run(&format!("head -c 8 {disk}")), disk.to_string());
    }
    let nodes = disks.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    let serials = run(&format!("for disk in {nodes}; do udevadm info -q property --property ID_SERIAL $disk; done"));
    let mut serials = serials.lines().collect::<Vec<_>>();
    serials.sort_unstable();
    serials.dedup();
    assert_eq!(serials.len(), 3, "{serials:?}");
}

#[test]
fn a_disk_keeps_its_contents_while_it_is_out() {
    let machine = Machine::udev();
    let disk = &machine.disks(1, 8)[0];
    run(&format!("echo contents | dd of={disk} bs=512 conv=sync oflag=direct status=none"));
    disk.pull();
    assert_eq!(disk.name(), None);
    disk.plug_in();
    assert_eq!(run(&format!("head -n 1 {disk}")), "contents\n");
}

#[test]
fn nothing_is_left_for_the_next_test() {
    {
        let machine = Machine::udev();
        let disks = machine.disks(2, 32);
        machine.null_blks(1, 32);
        run(&format!("vgcreate -q vg {} {}", machine.loop_device(32).display(), disks[0]));
        run("lvcreate -q -y -l 1 -n lv vg; echo 0 2048 linear /dev/vg/lv 0 | dmsetup create top");
        run(&format!("mdadm -q --create /dev/md0 --run --level 1 -n 2 {} missing", disks[1]));
        settle();
        run("lvcreate -q -y --config 'activation { udev_sync=0 udev_rules=0 }' -l 1 -n own vg");
        run("dmsetup suspend vg-lv");
    }
    let _machine = Machine::udev();
    assert_eq!(run("lsblk -n -o NAME --exclude 11"), "", "the CD drive apart");
    assert_eq!(run("pvs -a --noheadings"), "");
    assert_eq!(run("ls -d /dev/mapper/* /dev/vg/* 2>/dev/null || true"), "/dev/mapper/control\n");
}

#[test]
fn null_blk_and_loop_devices_hold_what_is_written() {
    let machine = Machine::udev();
    let mut devices = machine.null_blks(2, 8);
    devices.extend([machine.loop_device(8), machine.loop_device(8)]);
    for node in &devices {
        let node = node.display();
        run(&format!("printf %s {node} | dd of={node} bs=512 conv=sync,fsync status=none"));
    }
    for node in &devices {
        assert!(run(&format!("head -c 512 {}", node.display())).starts_with(node.to_str().unwrap()));
    }
}

#[test]
fn lvm_is_as_debian_ships_it() {
    let machine = Machine::udev();
    for (setting, value) in
        [("global/event_activation", "1"), ("activation/udev_sync", "1"), ("activation/udev_rules", "1")]
    {
        let name = setting.split_once('/').unwrap().1;
        assert_eq!(run(&format!("lvmconfig --type full {setting}")), format!("{name}={value}\n"));
    }
    assert!(fs::metadata("/etc/lvm/lvm.conf").unwrap().len() > 10_000, "the commented one");
    let disks = machine.disks(2, 32);
    run(&format!("pvcreate {}", disks[0]));
    assert_eq!(run("pvs --noheadings -o pv_name").trim(), disks[0].to_string());
    let made = try_run(&format!("vgcreate vg {} {}; lvcreate -y -L 8M -n lv vg", disks[0], disks[1]));
    assert!(made.status.success());
    assert_eq!(String::from_utf8_lossy(&made.stderr), "", "no descriptor is leaked into it, nothing else is odd");
    settle();
    assert_eq!(run("lvs --noheadings -o lv_active vg/lv").trim(), "active");
    // udev makes these names, not lvm.
    assert_eq!(fs::canonicalize("/dev/vg/lv").unwrap(), fs::canonicalize("/dev/mapper/vg-lv").unwrap());
    assert!(fs::symlink_metadata("/dev/mapper/vg-lv").unwrap().is_symlink());
}

/// Where there is no systemd to do it, udevd activates a VG itself when its last PV comes.
#[test]
fn udevd_activates_a_vg_that_comes() {
    let machine = Machine::udev();
    let disks = machine.disks(2, 32);
    run(&format!("vgcreate vg {} {}; lvcreate -y -l 1 -n lv vg; vgchange -an vg", disks[0], disks[1]));
    let active = || run("dmsetup ls") != "No devices found\n";
    for disk in &disks {
        disk.pull();
    }
    disks[1].plug_in();
    assert!(!active());
    disks[0].plug_in();
    assert!(active());
}
