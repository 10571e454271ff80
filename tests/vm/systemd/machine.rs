//! That the machine is what the other tests take it for.

use crate::common::wait_until;
use crate::guest::{Machine, run};
use std::fs;

#[test]
fn systemd_is_up_and_content() {
    let _machine = Machine::systemd();
    assert_eq!(fs::read_to_string("/proc/1/comm").unwrap(), "systemd\n");
    assert_eq!(run("systemctl is-system-running"), "running\n");
    assert_eq!(run("systemd-run --quiet --pipe --wait -p Type=exec echo hello"), "hello\n");
}

#[test]
fn a_vg_that_comes_is_activated_by_debians_rule() {
    let machine = Machine::systemd();
    let disks = machine.disks(2, 32);
    run(&format!("vgcreate vg {} {}; lvcreate -y -l 1 -n lv vg; vgchange -an vg", disks[0], disks[1]));
    for disk in &disks {
        disk.pull();
    }
    for disk in disks.iter().rev() {
        assert!(!fs::exists("/dev/vg/lv").unwrap());
        disk.plug_in();
    }
    wait_until("the VG to be active", || fs::exists("/dev/vg/lv").unwrap());
    let journal = run("journalctl -o cat -u lvm-activate-vg.service");
    assert!(journal.contains("now active"), "by a unit that the rule starts: {journal}");
}
