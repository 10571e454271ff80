//! A daemon that activates VGs, on the machine's own run files; LVM's rule does nothing.

use crate::common::daemon::{Daemon, World};
use crate::common::wait_until;
use crate::guest::{Machine, device_number, run, settle};
use crate::scene::{configure, program};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// What `pvwatch/lvm` is: it writes down what it is called with.
pub const LVM: &str = "exec /sbin/lvm \"$@\"";
const EVENTS_RULES: &str = include_str!("../../udev-rules/69-pvwatch-events.rules");

pub struct InCharge {
    pub daemon: Daemon,
    world: World,
}

impl InCharge {
    pub fn begin(machine: &Machine) -> InCharge {
        InCharge::begin_with(machine, "", "", LVM)
    }

    /// With settings for lvm and the daemon, of the daemon's own section, and what a shell does in
    /// place of lvm.
    pub fn begin_with(machine: &Machine, settings: &str, own: &str, lvm: &str) -> InCharge {
        machine.udev_rules("69-lvm.rules", "");
        machine.udev_rules("69-pvwatch.rules", EVENTS_RULES);
        configure(settings);
        let world = World::new();
        let [log, lvm_path] = ["calls", "lvm"].map(|name| world.path(name));
        fs::write(&log, "").unwrap();
        fs::write(&lvm_path, format!("#!/bin/sh\necho \"$*\" >>{}\n{lvm}\n", log.display())).unwrap();
        fs::set_permissions(&lvm_path, fs::Permissions::from_mode(0o755)).unwrap();
        let own = format!("run_dir=\"/run/lvm\" activation=\"on\" lvm=\"{}\" {own}", lvm_path.display());
        fs::write(world.path("own.conf"), format!("pvwatch {{ {own} }}\n")).unwrap();
        let daemon = start(&world);
        InCharge { daemon, world }
    }

    /// The daemon goes and another one comes.
    pub fn restart(&mut self) {
        self.daemon.signal(Signal::SIGTERM);
        self.daemon.wait();
        self.daemon = start(&self.world);
    }

    /// After everything that has happened, and what was to be activated for it.
    pub fn settle(&self) {
        wait_until_idle(&self.daemon);
    }

    /// What lvm was called with, each time.
    pub fn calls(&self) -> Vec<String> {
        fs::read_to_string(self.world.path("calls")).unwrap().lines().map(str::to_owned).collect()
    }

    /// How often the VG has been activated.
    pub fn activations(&self, vg: &str) -> usize {
        self.calls().iter().filter(|call| **call == format!("vgchange -aay --autoactivation event {vg}")).count()
    }

    /// What is shown of activation of a VG.
    pub fn shown(&self, vg: &str) -> Value {
        self.daemon.show_one(vg)["activation"].take()
    }

    /// The open files of the daemon, by what they are.
    pub fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.daemon.pid())).unwrap().count()
    }

    pub fn log(&self) -> String {
        self.world.log()
    }
}

fn start(world: &World) -> Daemon {
    let mut command = world.command_of(&program("pvwatchd"));
    command.arg("-f").args(["--config".as_ref(), world.path("own.conf").as_os_str()]);
    command.env("LVM_SYSTEM_DIR", "/etc/lvm");
    world.start_command(&mut command)
}

/// After everything that has happened, and what was to be activated for it.
pub fn wait_until_idle(daemon: &Daemon) {
    settle();
    daemon.settle();
    wait_until("the activations to end", || {
        let activation = &daemon.status()["activation"];
        activation["running"] == json!([]) && activation["waiting"] == 0 && activation["delayed"] == json!([])
    });
    settle();
}

/// The device-mapper devices there are, by name; nobody has to be started to know.
pub fn dm_names() -> BTreeSet<String> {
    let names = fs::read_dir("/sys/block").unwrap().flatten();
    let names = names.filter_map(|entry| fs::read_to_string(entry.path().join("dm/name")).ok());
    names.map(|name| name.trim_end().to_owned()).collect()
}

/// udev has made the link, too.
pub fn wait_until_active(lv: &str) {
    wait_until(&format!("{lv} to be active"), || Path::new("/dev").join(lv).exists());
}

/// The names in a directory of run files.
pub fn run_files(directory: &str) -> BTreeSet<String> {
    let entries = fs::read_dir(Path::new("/run").join(directory)).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().into_string().unwrap()).collect()
}

/// PVIDs as the names of run files have them, by node.
pub fn pvids_of(nodes: &[PathBuf]) -> BTreeMap<PathBuf, String> {
    let names = nodes.iter().map(|node| node.display().to_string()).collect::<Vec<_>>().join(" ");
    let printed = run(&format!("pvs --noheadings -o pv_name,pv_uuid {names}"));
    let pairs = printed.lines().map(|line| line.trim().split_once(' ').unwrap());
    pairs.map(|(node, pvid)| (node.into(), pvid.trim().replace('-', ""))).collect()
}

/// All run files of these VGs, each with its PVs there, are as they have to be: `pvs_online`,
/// `pvs_lookup` and `vgs_online`.
pub fn check_run_files(vgs: &BTreeMap<String, Vec<(String, Option<PathBuf>)>>, context: &str) {
    let there =
        vgs.iter().flat_map(|(vg, pvs)| pvs.iter().filter_map(move |(pvid, node)| Some((vg, pvid, node.as_ref()?))));
    let there = there.collect::<Vec<_>>();
    let expected = there.iter().map(|(_, pvid, _)| (*pvid).clone()).collect::<BTreeSet<_>>();
    assert_eq!(run_files("lvm/pvs_online"), expected, "pvs_online: {context}");
    for (vg, pvid, node) in there {
        let text = fs::read_to_string(format!("/run/lvm/pvs_online/{pvid}")).unwrap();
        let number = device_number(node).cast_unsigned();
        let expected = format!("{}:{}", nix::sys::stat::major(number), nix::sys::stat::minor(number));
        assert!(text.starts_with(&format!("{expected}\nvg:{vg}\n")), "{}: {text}: {context}", node.display());
    }
    let complete = vgs.iter().filter(|(_, pvs)| pvs.iter().all(|(_, node)| node.is_some()));
    let complete = complete.map(|(vg, _)| vg.clone()).collect::<BTreeSet<_>>();
    assert_eq!(run_files("lvm/vgs_online"), complete, "vgs_online: {context}");
    for vg in run_files("lvm/pvs_lookup") {
        let text = fs::read_to_string(format!("/run/lvm/pvs_lookup/{vg}")).unwrap();
        let listed = text.lines().map(str::to_owned).collect::<BTreeSet<_>>();
        let expected = vgs[&vg].iter().map(|(pvid, _)| pvid.clone()).collect::<BTreeSet<_>>();
        assert_eq!(listed, expected, "pvs_lookup of {vg}: {context}");
    }
}
