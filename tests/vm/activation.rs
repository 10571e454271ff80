//! Activation by a daemon in charge, with udev's rule of the variant in which udev starts nothing.

use crate::common::wait_until;
use crate::guest::{Disk, Machine, run, settle, try_run};
use crate::in_charge::{InCharge, LVM, dm_names, run_files, wait_until_active};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

fn pull(disks: &[&Disk]) {
    for disk in disks {
        fs::write(format!("/sys/block/{}/device/delete", disk.name().unwrap()), "1").unwrap();
    }
}

/// What an activation that keeps nothing behind leaves as it was.
#[derive(Debug, PartialEq, Eq)]
struct Kept {
    dm: BTreeSet<String>,
    files: Vec<BTreeSet<String>>,
    descriptors: usize,
    processes: usize,
}

fn kept(charge: &InCharge) -> Kept {
    let directories = [
        "pvwatch",
        "pvwatch/offered",
        "pvwatch/inhibited",
        "lvm",
        "lvm/pvs_online",
        "lvm/vgs_online",
        "lvm/pvs_lookup",
    ];
    Kept {
        dm: dm_names(),
        files: directories.into_iter().map(run_files).map(without_hints).collect(),
        descriptors: charge.descriptors(),
        processes: charge.daemon.readers().len(),
    }
}

/// They are made and invalidated at times of their own.
fn without_hints(mut names: BTreeSet<String>) -> BTreeSet<String> {
    names.retain(|name| !name.ends_with("hints"));
    names
}

#[test]
fn ten_times_a_disk_is_pulled_and_comes_back_under_another_name() {
    let machine = Machine::udev();
    let disks = machine.disks(3, 16);
    let [a, b, spare] = &disks[..] else { unreachable!() };
    let charge = InCharge::begin(&machine);
    run(&format!("vgcreate -q -s 1M vg0 {a} {b}; lvcreate -q -y -i 2 -l 8 -n lv vg0; mke2fs -q -t ext4 /dev/vg0/lv"));
    charge.settle();
    let directory = tempfile::tempdir().unwrap();
    let mount = directory.path().display().to_string();
    let pvid = run(&format!("pvs --noheadings -o pv_uuid {b}")).trim().to_owned();
    let mut before = None;
    for round in 0..10 {
        let (name, spare_name, count) = (b.name(), spare.name(), charge.activations("vg0"));
        run(&format!("mount /dev/vg0/lv {mount}; echo {round} >{mount}/file; sync -f {mount}"));
        // Who is quick lets go of the file system before the disk is back, and of the LV.
        pull(&[b, spare]);
        charge.settle();
        assert_eq!(charge.daemon.vg("vg0").unwrap().missing, [pvid.as_str()]);
        assert_eq!((run_files("lvm/vgs_online"), run_files("pvwatch/offered")), (BTreeSet::new(), BTreeSet::new()));
        match round % 3 {
            0 => {}
            1 => drop(run(&format!("umount {mount}"))),
            _ => drop(run(&format!("umount {mount}; dmsetup remove vg0-lv"))),
        }
        // Who comes first gets the first name that is free.
        let order = if spare_name < name { [b, spare] } else { [spare, b] };
        order.into_iter().for_each(Disk::plug_in);
        assert_ne!(b.name(), name);
        charge.settle();
        assert_eq!(charge.activations("vg0"), count + 1, "{:#?}\n{}", charge.calls(), charge.log());
        wait_until_active("vg0/lv");
        if round % 3 == 0 {
            run(&format!("umount {mount}"));
        }
        // The journal is the file system's own affair.
        let found =
            run(&format!("mount /dev/vg0/lv {mount}; cat {mount}/file; echo again >{mount}/file; umount {mount}"));
        assert_eq!(found, format!("{round}\n"));
        run("e2fsck -f -n /dev/vg0/lv");
        let now = kept(&charge);
        // The first round may have made what stays.
        assert_eq!(before.get_or_insert(kept(&charge)), &now, "round {round}");
        if round == 0 {
            before = Some(now);
        }
    }
}

struct Suspended(&'static str);

impl Suspended {
    fn begin(name: &'static str) -> Suspended {
        run(&format!("dmsetup suspend --nolockfs --noflush {name}"));
        Suspended(name)
    }
}

impl Drop for Suspended {
    fn drop(&mut self) {
        run(&format!("dmsetup resume {}", self.0));
    }
}

#[test]
fn a_suspended_device_holds_nobody_else_up() {
    let machine = Machine::udev();
    let disks = machine.disks(4, 16);
    let [a, b, c, d] = &disks[..] else { unreachable!() };
    machine.udev_rules("69-lvm.rules", "");
    run(&format!(
        "dmsetup create early --table '0 30720 linear {a} 2048'; dmsetup create late --table '0 30720 linear {b} 2048'
        udevadm settle
        vgcreate -q -s 1M vg0 /dev/mapper/early; vgcreate -q -s 1M vg1 /dev/mapper/late
        vgcreate -q -s 1M vg2 {c}; vgcreate -q -s 1M vg3 {d}
        for vg in vg0 vg1 vg2 vg3; do lvcreate -q -y -l 1 -n lv $vg; done; vgchange -q -an; udevadm settle"
    ));
    pull(&[d]);
    settle();
    let early = Suspended::begin("early");
    let mut charge = InCharge::begin(&machine);
    charge.settle();
    for (vg, is_active) in [("vg0", false), ("vg1", true), ("vg2", true), ("vg3", false)] {
        assert_eq!(dm_names().contains(&format!("{vg}-lv")), is_active, "{vg}\n{}", charge.log());
        assert_eq!(charge.activations(vg), usize::from(is_active), "{vg}");
    }
    // Of one that has become active, suspended later, nothing is to be done.
    let late = Suspended::begin("late");
    d.plug_in();
    charge.settle();
    wait_until_active("vg3/lv");
    drop(late);
    drop(early);
    charge.settle();
    wait_until_active("vg0/lv");
    // What somebody has deactivated stays so.
    run("vgchange -q -an vg2");
    charge.restart();
    charge.settle();
    assert!(!dm_names().contains("vg2-lv"));
    let counts = ["vg0", "vg1", "vg2", "vg3"].map(|vg| charge.activations(vg));
    assert_eq!(counts, [1; 4], "{:#?}", charge.calls());
    run("vgchange -q -an; dmsetup remove early late");
}

#[test]
fn a_vg_on_an_encrypted_disk_is_activated_when_that_is_opened() {
    let machine = Machine::udev();
    let disks = machine.disks(2, 16);
    let [a, b] = &disks[..] else { unreachable!() };
    machine.udev_rules("69-lvm.rules", "");
    let open = format!("echo -n secret | cryptsetup -q open --key-file - {a} opened; udevadm settle");
    run(&format!(
        "echo -n secret | cryptsetup -q luksFormat --type luks1 --pbkdf-force-iterations 1000 --key-file - {a}
        {open}
        vgcreate -q -s 1M vg0 /dev/mapper/opened {b}; lvcreate -q -y -i 2 -l 2 -n lv vg0; vgchange -q -an vg0
        cryptsetup close opened; udevadm settle"
    ));
    let charge = InCharge::begin(&machine);
    charge.settle();
    for round in 1..3 {
        assert_eq!((dm_names(), charge.activations("vg0")), (BTreeSet::new(), round - 1));
        run(&open);
        charge.settle();
        wait_until_active("vg0/lv");
        assert_eq!(charge.activations("vg0"), round, "{:#?}", charge.calls());
        run("vgchange -q -an vg0; cryptsetup close opened");
        charge.settle();
    }
}

#[test]
fn what_fails_or_hangs_is_told_and_the_others_go_on() {
    let machine = Machine::udev();
    let disks = machine.disks(6, 32);
    let [taken, thin, hang, stuck, below, good] = &disks[..] else { unreachable!() };
    machine.udev_rules("69-lvm.rules", "");
    run(&format!(
        "dmsetup create below --table '0 63488 linear {below} 2048'; udevadm settle
        vgcreate -q -s 1M taken {taken}; vgcreate -q -s 1M hang {hang}; vgcreate -q -s 1M good {good}
        vgcreate -q -s 1M stuck {stuck} /dev/mapper/below; vgcreate -q -s 1M thin {thin}
        for vg in taken hang good stuck; do lvcreate -q -y -l 1 -n lv $vg; done"
    ));
    run(&format!(
        "lvcreate -q -l 2 -T thin/pool; lvcreate -q -V 8M -n lv --thinpool pool thin
        vgchange -q -an; udevadm settle
        sector=$(lvs -a --noheadings -o seg_pe_ranges thin/pool_tmeta | sed 's/.*:\\([0-9]*\\)-.*/\\1/')
        dd if=/dev/zero of={thin} bs=1M seek=$((sector + 1)) count=1 conv=fsync status=none
        dmsetup create taken-lv --table '0 8 zero'; udevadm settle"
    ));
    pull(&[taken, thin, hang, stuck, good]);
    settle();
    // One program that never ends, and lvm itself which nothing can end.
    let lvm = format!(
        "case \"$*\" in *hang) exec sleep 1000;; *stuck) dmsetup suspend --nolockfs --noflush below;; esac\n{LVM}"
    );
    let charge = InCharge::begin_with(&machine, "", "activation_timeout=15 activation_parallel=3", &lvm);
    let suspended = Suspended("below");
    for disk in [hang, stuck, taken, thin, good] {
        fs::write(format!("/sys/class/scsi_host/host{}/scan", disk.host()), "- - -").unwrap();
    }
    wait_until_active("good/lv");
    let outcome = |vg: &str| -> Value { charge.shown(vg)["ended"]["outcome"].clone() };
    wait_until("all to have ended", || {
        ["taken", "thin", "hang", "stuck", "good"].iter().all(|vg| !outcome(vg).is_null())
    });
    println!("{:#}", json!(["taken", "thin", "hang", "stuck", "good"].map(|vg| charge.shown(vg))));
    drop(suspended);
    // It is not tried again and again.
    charge.settle();
    for vg in ["taken", "thin", "hang", "stuck", "good"] {
        assert_eq!(charge.activations(vg), 1, "{vg}: {:#?}", charge.calls());
    }
    run("dmsetup remove taken-lv; vgchange -q -an stuck; dmsetup remove below");
    assert!(Path::new("/dev/good/lv").exists());
    let _ = try_run("vgchange -q -an");
}
