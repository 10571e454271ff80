//! The daemon as a unit.

use crate::guest::{Machine, run};

#[test]
fn a_unit_of_type_notify_is_active_when_all_has_been_read() {
    let machine = Machine::systemd();
    let disks = machine.disks(1, 32);
    run(&format!("vgcreate vg {}", disks[0]));
    let program = env!("CARGO_BIN_EXE_pvwatchd");
    let client = env!("CARGO_BIN_EXE_pvwatch");
    let options = "-s /run/vm.socket -p /run/vm.pid";
    // Returns when it is ready, and the VG is there by then.
    run(&format!("systemd-run --quiet --unit pvwatchd-test --service-type=notify {program} -f {options}"));
    assert_eq!(run("systemctl is-active pvwatchd-test"), "active\n");
    let status = run(&format!("{client} status vg -s /run/vm.socket"));
    assert!(status.contains("complete"), "{status}");
    run("systemctl stop pvwatchd-test");
    assert_eq!(run("systemctl is-system-running"), "running\n");
}
