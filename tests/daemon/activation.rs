//! Activation by child processes, with a command that only says what it was told. Loop devices 600 to
//! 629 are ours.

use crate::common::daemon::{Daemon, World};
use crate::common::loops::{Loop, attach_watched};
use crate::common::testing::needs;
use crate::common::{vg, wait_until, write_pv};
use nix::sys::signal::Signal;
use pvwatch::sys::state_dir::StateDir;
use serde_json::json;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// A world whose daemon is in charge, and whose `lvm` does this after it has written down how it was
/// called.
fn in_charge(script: &str, more: &str) -> World {
    let world = World::new();
    let lvm = world.path("lvm");
    let called = world.path("called");
    fs::write(&lvm, format!("#!/bin/sh\necho \"$@\" >> {}\n{script}\n", called.display())).unwrap();
    fs::set_permissions(&lvm, fs::Permissions::from_mode(0o755)).unwrap();
    let conf = format!(
        "pvwatch {{ run_dir=\"{}\" state_dir=\"{}\" lvm=\"{}\" activation=\"on\" {more} }}\n",
        world.run_dir().display(),
        world.path("state").display(),
        lvm.display(),
    );
    fs::write(world.path("lvmlocal.conf"), conf).unwrap();
    world
}

fn called(world: &World) -> Vec<String> {
    let calls = fs::read_to_string(world.path("called")).unwrap_or_default();
    calls.lines().map(str::to_owned).collect()
}

/// A VG on two disks, of which the daemon sees nothing else.
fn disks(world: &World, first: u32) -> io::Result<Vec<Loop>> {
    let (one, two) = (world.path("one"), world.path("two"));
    write_pv(&one, "a", Some(text(&["a", "b"])));
    write_pv(&two, "b", Some(text(&["a", "b"])));
    let last = first + 1;
    world.configure(&format!(
        "devices {{ global_filter=[\"a|^/dev/loop{first}$|\",\"a|^/dev/loop{last}$|\",\"r|.*|\"] }}"
    ));
    attach_watched(first, &[&one, &two])
}

/// With an LV, since one without is nothing to activate.
fn text(pvs: &[&str]) -> Vec<u8> {
    let lv = "lv { id=\"lvlvlv-lvlv-lvlv-lvlv-lvlv-lvlv-lvlvlv\" status=[\"READ\",\"WRITE\",\"VISIBLE\"] flags=[] \
        segment_count=1 segment1 { start_extent=0 extent_count=1 type=\"striped\" stripe_count=1 stripes=[\"pv0\",0] } }";
    let text = String::from_utf8(vg("vg", 1, pvs)).unwrap();
    let with = text.replacen("\n}\n# Generated", &format!("\nlogical_volumes {{ {lv} }}\n}}\n# Generated"), 1);
    assert_ne!(with, text);
    with.into_bytes()
}

/// The daemon has done what there is to be done.
fn settled(daemon: &Daemon, world: &World, calls: usize) {
    daemon.settle();
    wait_until("the command to be called", || called(world).len() >= calls);
    assert_eq!(called(world).len(), calls, "{:?}", called(world));
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut names = entries.map(|entry| entry.file_name().into_string().unwrap()).collect::<Vec<_>>();
    names.sort();
    names
}

const ACTIVATE: &str = "vgchange -aay --autoactivation event vg";

#[test]
fn a_vg_is_activated_once() {
    let world = in_charge("exit 0", "");
    let Some(disks) = needs("a_vg_is_activated_once", disks(&world, 600)) else { return };
    disks[1].detach();
    let mut daemon = world.start([""; 0]);
    settled(&daemon, &world, 0);
    assert_eq!(names(&world.path("state/offered")), [""; 0]);
    disks[1].attach_again(&world.path("two"));
    settled(&daemon, &world, 1);
    assert_eq!(called(&world), [ACTIVATE]);
    assert_eq!(names(&world.path("state/offered")).len(), 1);
    assert_eq!(names(&world.path("run/vgs_online")), ["vg"]);
    // Nothing that is read again changes that, nor another daemon.
    daemon.call("Rescan", &json!({}));
    daemon.call("Reload", &json!({}));
    settled(&daemon, &world, 1);
    daemon.signal(Signal::SIGTERM);
    daemon.wait();
    let mut daemon = world.start([""; 0]);
    settled(&daemon, &world, 1);
    daemon.signal(Signal::SIGKILL);
    daemon.wait();
    let mut daemon = world.start([""; 0]);
    settled(&daemon, &world, 1);
    // Nor what is written down, if it is damaged, also after somebody has deactivated it.
    daemon.signal(Signal::SIGTERM);
    daemon.wait();
    for name in names(&world.path("state/offered")) {
        fs::write(world.path("state/offered").join(name), "").unwrap();
    }
    fs::remove_file(world.path("run/vgs_online/vg")).unwrap();
    let daemon = world.start([""; 0]);
    settled(&daemon, &world, 1);
    // A PV that leaves does.
    disks[0].detach();
    daemon.settle();
    wait_until("the offer to be forgotten", || names(&world.path("state/offered")).is_empty());
    wait_until("the VG to be offline", || names(&world.path("run/vgs_online")).is_empty());
    settled(&daemon, &world, 1);
    disks[0].attach_again(&world.path("one"));
    settled(&daemon, &world, 2);
}

#[test]
fn what_lvm_has_recorded_was_its_own() {
    let world = in_charge("exit 0", "");
    let Some(disks) = needs("what_lvm_has_recorded_was_its_own", disks(&world, 602)) else { return };
    fs::create_dir_all(world.path("run/vgs_online")).unwrap();
    fs::write(world.path("run/vgs_online/vg"), "").unwrap();
    let daemon = world.start([""; 0]);
    settled(&daemon, &world, 0);
    // It was LVM's until now, and from now on it is not.
    disks[1].detach();
    daemon.settle();
    wait_until("the VG to be offline", || names(&world.path("run/vgs_online")).is_empty());
    disks[1].attach_again(&world.path("two"));
    settled(&daemon, &world, 1);
}

#[test]
fn where_nothing_can_be_written_down_the_rule_activates() {
    let world = in_charge("exit 0", "");
    let Some(_disks) = needs("where_nothing_can_be_written_down", disks(&world, 612)) else { return };
    fs::write(world.path("state"), "").unwrap();
    let daemon = world.start([""; 0]);
    settled(&daemon, &world, 0);
    assert!(world.log().contains("nothing is activated"), "{}", world.log());
    let error = || daemon.call("Status", &json!({}))["status"]["activation"]["error"].clone();
    assert!(error().as_str().is_some_and(|error| error.contains("not a directory")), "{}", error());
    let online = || daemon.call("Online", &json!({ "devices": ["/dev/loop612"], "complete": true }));
    assert_eq!(online()["devices"][0]["is_first"], json!(null));
    // What we have recorded as online meanwhile was not LVM's.
    assert_eq!(names(&world.path("run/pvs_online")).len(), 2);
    fs::remove_file(world.path("state")).unwrap();
    wait_until("the command to be called", || !called(&world).is_empty());
    settled(&daemon, &world, 1);
    assert_eq!(error(), json!(null));
    assert_eq!(online()["devices"][0]["is_first"], json!(true));
    assert_eq!(online()["devices"][0]["is_first"], json!(false));
}

#[test]
fn what_comes_while_another_is_in_charge_is_its_own() {
    let world = in_charge("exit 0", "");
    let Some(disks) = needs("what_comes_while_another_is_in_charge", disks(&world, 614)) else { return };
    disks[1].detach();
    let mut daemon = world.start([""; 0]);
    settled(&daemon, &world, 0);
    let conf = fs::read_to_string(world.path("lvmlocal.conf")).unwrap();
    fs::write(world.path("lvmlocal.conf"), conf.replace("activation=\"on\"", "activation=\"off\"")).unwrap();
    daemon.call("Reload", &json!({}));
    // LVM activates it, somebody deactivates it, and that is undone in no place.
    disks[1].attach_again(&world.path("two"));
    settled(&daemon, &world, 0);
    daemon.signal(Signal::SIGTERM);
    daemon.wait();
    fs::write(world.path("lvmlocal.conf"), conf).unwrap();
    let daemon = world.start([""; 0]);
    settled(&daemon, &world, 0);
    disks[1].detach();
    settled(&daemon, &world, 0);
    disks[1].attach_again(&world.path("two"));
    settled(&daemon, &world, 1);
}

#[test]
fn one_that_fails_says_why() {
    let world = in_charge("echo a thin pool is broken >&2; exit 5", "");
    let Some(_disks) = needs("one_that_fails_says_why", disks(&world, 604)) else { return };
    let daemon = world.start([""; 0]);
    settled(&daemon, &world, 1);
    wait_until("the failure to be logged", || world.log().contains("a thin pool is broken"));
    assert!(world.log().contains("exit status 5"), "{}", world.log());
    settled(&daemon, &world, 1);
}

#[test]
fn one_that_hangs_is_ended() {
    let world = in_charge("exec sleep 600", "activation_timeout=1");
    let Some(_disks) = needs("one_that_hangs_is_ended", disks(&world, 606)) else { return };
    let daemon = world.start([""; 0]);
    settled(&daemon, &world, 1);
    let children = format!("/proc/{0}/task/{0}/children", daemon.pid());
    let is_sleeping = || {
        let children = fs::read_to_string(&children).unwrap();
        let command = |pid| fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        children.split_whitespace().any(|pid| command(pid) == "sleep\n")
    };
    wait_until("it to be ended", || !is_sleeping());
    wait_until("that to be logged", || world.log().contains("activation_timeout") || world.log().contains("too long"));
    settled(&daemon, &world, 1);
}

#[test]
fn an_inhibit_holds() {
    let world = in_charge("exit 0", "");
    let Some(_disks) = needs("an_inhibit_holds", disks(&world, 608)) else { return };
    let state = StateDir::open(&world.path("state")).unwrap();
    state.inhibit(b"vg", None).unwrap();
    let mut daemon = world.start([""; 0]);
    settled(&daemon, &world, 0);
    assert_eq!(daemon.call("Inhibited", &json!({}))["inhibits"], json!([{ "vg": "vg", "seconds": null }]));
    daemon.signal(Signal::SIGTERM);
    daemon.wait();
    let daemon = world.start([""; 0]);
    settled(&daemon, &world, 0);
    assert_eq!(daemon.call("Inhibit", &json!({ "vg": "vg", "seconds": 600 }))["lifted"], false);
    settled(&daemon, &world, 0);
    // Another may write there too.
    assert!(state.lift(b"vg").unwrap());
    settled(&daemon, &world, 1);
    assert_eq!(daemon.call("Inhibit", &json!({ "vg": "vg", "lift": true }))["lifted"], false);
}

#[test]
fn a_daemon_that_activates_nothing_leaves_no_trace() {
    let world = in_charge("exit 0", "");
    let Some(_disks) = needs("a_daemon_that_activates_nothing", disks(&world, 610)) else { return };
    let conf = fs::read_to_string(world.path("lvmlocal.conf")).unwrap();
    fs::write(world.path("lvmlocal.conf"), conf.replace("activation=\"on\"", "")).unwrap();
    let daemon = world.start([""; 0]);
    settled(&daemon, &world, 0);
    assert!(!world.path("state").exists());
    // What is complete when we are put in charge was another's.
    fs::write(world.path("lvmlocal.conf"), conf).unwrap();
    daemon.call("Reload", &json!({}));
    settled(&daemon, &world, 0);
    wait_until("it to be written down", || names(&world.path("state/offered")).len() == 1);
    // What is wrong stays as it was, and is said.
    fs::write(world.path("lvmlocal.conf"), "pvwatch/activation=5").unwrap();
    let error = daemon.try_call("Reload", &json!({})).unwrap_err().to_string();
    assert!(error.contains("pvwatch/activation"), "{error}");
}

#[test]
fn images_are_not_activated() {
    let world = in_charge("exit 0", "");
    let image = world.path("image");
    write_pv(&image, "a", Some(text(&["a"])));
    let daemon = world.watch(&[&image]);
    settled(&daemon, &world, 0);
    assert!(!world.path("state").exists());
}
