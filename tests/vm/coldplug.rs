//! Each variant of our rule, installed by `pvwatch takeover enable`, with a daemon and without, when
//! udev goes over the devices that are there.

use crate::common::daemon::{Daemon, World};
use crate::guest::{Machine, run, settle, try_run};
use crate::in_charge::{dm_names, run_files, wait_until_idle};
use crate::scene::{configure, program};
use std::collections::BTreeSet;

/// As the rule calls it.
const PVSCAN: &str = "/usr/sbin/pvwatch pvscan --cache --listvg --checkcomplete --vgonline \
    --autoactivation event --udevoutput --journal=output --activation-unit";

/// The installed programs and rules; LVM's own setup is back at the end.
struct Installed;

impl Installed {
    fn begin() -> Installed {
        run(&format!("install {} /usr/sbin/", program("pvwatch").display()));
        Installed
    }

    fn enable(variant: &str) {
        run(&format!("/usr/sbin/pvwatch takeover enable --variant {variant}"));
    }
}

impl Drop for Installed {
    fn drop(&mut self) {
        let _ = try_run("/usr/sbin/pvwatch takeover disable; rm -rf /usr/sbin/pvwatch /etc/lvm/pvwatch");
    }
}

/// As installed: it goes by what `pvwatch takeover` has written down, and is found at its usual place.
fn start(world: &World) -> Daemon {
    let mut command = world.command_of(&program("pvwatchd"));
    command.arg("-f").env("LVM_SYSTEM_DIR", "/etc/lvm").env("LVM_LVMETAD_SOCKET", "/run/lvm/lvmetad.socket");
    std::fs::create_dir_all("/run/lvm").unwrap();
    world.start_command_at(&mut command, "/run/lvm/lvmetad.socket".into())
}

fn coldplug() {
    run("udevadm trigger --action=add --subsystem-match=block --settle");
}

/// As before the first coldplug of a boot.
fn forget() {
    run("vgchange -q -an; rm -rf /run/lvm/pvs_online /run/lvm/vgs_online /run/lvm/pvs_lookup /run/pvwatch");
    settle();
}

#[test]
fn udev_goes_over_what_is_there() {
    let machine = Machine::udev();
    let disks = machine.disks(3, 16);
    let [a, b, c] = &disks[..] else { unreachable!() };
    // As long as LVM lets it be with an LV, and nothing that a unit's name can be made of.
    let long = "+".repeat(120);
    configure("");
    machine.udev_rules("69-lvm.rules", "");
    run(&format!(
        "vgcreate -q -s 1M vg0 {a} {b}; lvcreate -q -y -i 2 -l 2 -n lv vg0
        vgcreate -q -s 1M {long} {c}; lvcreate -q -y -l 1 -n l {long}"
    ));
    std::fs::remove_file("/run/udev/rules.d/69-lvm.rules").unwrap();
    forget();
    let _installed = Installed::begin();
    let active = BTreeSet::from(["vg0-lv".to_owned(), format!("{long}-l")]);
    for (variant, has_daemon) in [("rule", true), ("events", true), ("rule", false), ("events", false)] {
        let context = format!("variant {variant}, daemon: {has_daemon}");
        Installed::enable(variant);
        let world = World::new();
        // Of the devices it finds udev has not heard yet: as at a boot, they are to be gone over first.
        let daemon = has_daemon.then(|| start(&world));
        coldplug();
        if let Some(daemon) = &daemon {
            wait_until_idle(daemon);
        }
        settle();
        let expected = if has_daemon || variant == "rule" { active.clone() } else { BTreeSet::new() };
        assert_eq!(dm_names(), expected, "{context}\n{}", world.log());
        let properties = run(&format!("udevadm info {a}"));
        assert!(
            properties.contains("SYSTEMD_READY=1") && properties.contains("by-id/lvm-pv-uuid-"),
            "{context}: {properties}"
        );
        // Deactivated by hand, it is nobody's to activate. That command has removed it from
        // `vgs_online`: by the rule alone, a coldplug would activate it again, as with LVM's.
        run("vgchange -q -an");
        match has_daemon {
            true => coldplug(),
            false => drop(run("udevadm trigger --action=change --subsystem-match=block --settle")),
        }
        if let Some(daemon) = &daemon {
            wait_until_idle(daemon);
        }
        settle();
        assert_eq!(dm_names(), BTreeSet::new(), "again: {context}\n{}", world.log());
        drop(daemon);
        forget();
    }

    // What udev is told of a PV, when it completes the VG and when not.
    Installed::enable("rule");
    let test = |node: String| run(&format!("udevadm test --action=add /sys/block/{node} 2>/dev/null"));
    let first = test(a.name().unwrap());
    assert!(!first.contains("LVM_VG_NAME_COMPLETE"), "{first}");
    let second = test(b.name().unwrap());
    for line in ["LVM_VG_NAME_COMPLETE=vg0", "PVWATCH_UNIT=lvm-activate-vg0.service", "SYSTEMD_READY=1"] {
        assert!(second.lines().any(|found| found == line), "{line}: {second}");
    }
    assert!(!test(a.name().unwrap()).contains("LVM_VG_NAME_COMPLETE"), "it is told once");
    assert_eq!(run_files("lvm/vgs_online"), BTreeSet::from(["vg0".to_owned()]));

    // One that is not there any more is no error, and says nothing.
    let gone = try_run(&format!("{PVSCAN} /dev/sdzz"));
    assert!(gone.status.success() && gone.stdout.is_empty(), "{gone:?}");
    forget();
}
