//! A daemon that decides and does nothing, beside LVM's own rule.

use crate::common::daemon::World;
use crate::common::wait_for;
use crate::guest::{Disk, Machine, run, settle, try_run};
use crate::in_charge::{dm_names, run_files};
use crate::scene::{configure, program};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;

/// What `pvwatch takeover compare` has written down is taken back.
struct Compare;

impl Drop for Compare {
    fn drop(&mut self) {
        let _ = try_run(&format!("{} takeover disable", program("pvwatch").display()));
    }
}

#[test]
fn what_lvm_does_otherwise_is_told() {
    let machine = Machine::udev();
    let disks = machine.disks(4, 16);
    let [a, b, c, d] = &disks[..] else { unreachable!() };
    configure("");
    for (vg, disks) in [("vg0", format!("{a} {b}")), ("vg1", c.to_string()), ("vg2", d.to_string())] {
        run(&format!("vgcreate -q -s 1M {vg} {disks}; lvcreate -q -y -an -Zn -Wn -l 1 -n lv {vg}"));
    }
    disks.iter().for_each(Disk::pull);
    run("rm -rf /run/lvm/pvs_online /run/lvm/vgs_online /run/lvm/pvs_lookup");
    let pvwatch = program("pvwatch").display().to_string();
    let _compare = Compare;
    run(&format!("{pvwatch} takeover compare"));
    let world = World::new();
    fs::write(world.path("own.conf"), "pvwatch { run_dir=\"/run/lvm\" }\n").unwrap();
    let mut command = world.command_of(&program("pvwatchd"));
    command.arg("-f").args(["--config".as_ref(), world.path("own.conf").as_os_str()]);
    command.env("LVM_SYSTEM_DIR", "/etc/lvm");
    let daemon = world.start_command(&mut command);
    let ask = |words: &str| run(&format!("{pvwatch} -s {} {words}", world.socket().display()));
    let differences = |count: usize| {
        wait_for(&format!("{count} differences\n{}", world.log()), || {
            let told = daemon.status()["activation"]["differences"].take();
            let told = told.as_array()?.iter().map(|difference| {
                let text = |key: &str| difference[key].as_str().unwrap().to_owned();
                (text("vg"), (text("difference"), text("words")))
            });
            Some(told.collect::<BTreeMap<_, _>>()).filter(|told| told.len() == count)
        })
    };

    ask("inhibit vg1");
    [a, b, c].into_iter().for_each(Disk::plug_in);
    let told = differences(2);
    assert!(["earlier", "later"].contains(&told["vg0"].0.as_str()), "{told:?}");
    assert_eq!(told["vg1"].0, "would_not", "{told:?}");
    assert!(told["vg1"].1.contains("inhibited"), "{told:?}");
    settle();
    assert_eq!(dm_names(), BTreeSet::from(["vg0-lv".to_owned(), "vg1-lv".to_owned()]), "by LVM's rule");
    assert_eq!(run_files("pvwatch/offered"), BTreeSet::new(), "the daemon has done nothing");

    machine.udev_rules("69-lvm.rules", "");
    d.plug_in();
    assert_eq!(differences(3)["vg2"].0, "lvm_has_not");
    // It has something to say of LVM's rule, too, which is no more.
    let status = try_run(&format!("{pvwatch} -s {} takeover status", world.socket().display()));
    let status = String::from_utf8_lossy(&status.stdout).into_owned();
    for vg in ["vg0", "vg1", "vg2"] {
        assert!(status.contains(vg), "{vg}: {status}");
    }
}
