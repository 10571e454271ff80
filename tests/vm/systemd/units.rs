//! The units of scripts/systemd, installed as the README says.

use crate::common::daemon::Client;
use crate::common::{LONG, wait_for, wait_until};
use crate::guest::{Machine, run, try_run};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use pvwatch::text::Section;
use serde_json::{Value, json};
use std::fs;
use std::io::Read;
use std::path::Path;
use std::time::{Duration, Instant};

const SOCKET: &str = "/run/lvm/lvmetad.socket";
const PID_FILE: &str = "/run/lvmetad.pid";
const BOTH: &str = "pvwatch.service pvwatch.socket";

/// The installed units. They are gone at the end.
pub struct Units;

impl Units {
    /// Installed, not enabled, not started.
    pub fn install() -> Units {
        let units = Units;
        units.remove();
        let sources = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/systemd");
        run(&format!(
            "install {} {} /usr/sbin/; install -m 644 {sources}/pvwatch.* /etc/systemd/system/; systemctl daemon-reload",
            env!("CARGO_BIN_EXE_pvwatchd"),
            env!("CARGO_BIN_EXE_pvwatch"),
        ));
        units
    }

    pub fn enabled() -> Units {
        let units = Units::install();
        run("systemctl enable --now pvwatch.service");
        units
    }

    fn remove(&self) {
        run(&format!(
            "systemctl disable -q --now {BOTH} 2>/dev/null || true
            systemctl stop {BOTH} user-of-lvmetad 2>/dev/null || true
            cd /etc/systemd/system; rm -rf pvwatch.* lvm2-lvmetad.* user-of-lvmetad.service
            rm -f /usr/sbin/pvwatchd /usr/sbin/pvwatch /etc/lvm/lvmlocal.conf
            systemctl daemon-reload; systemctl reset-failed"
        ));
    }

    /// Settings laid over those of the service; counted from here are its starts, too.
    fn change(&self, settings: &str) {
        let directory = "/etc/systemd/system/pvwatch.service.d";
        fs::create_dir_all(directory).unwrap();
        fs::write(format!("{directory}/test.conf"), settings).unwrap();
        run("systemctl daemon-reload; systemctl reset-failed");
    }
}

impl Drop for Units {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let shown = try_run(&format!("systemctl status -l {BOTH}; journalctl -o short-monotonic -b -n 60"));
            eprintln!("{}", String::from_utf8_lossy(&shown.stdout));
            let _ = try_run(&format!("systemctl stop {BOTH}"));
        } else {
            self.remove();
        }
    }
}

/// A property of the service.
fn property(name: &str) -> String {
    run(&format!("systemctl show -P {name} pvwatch.service")).trim().to_owned()
}

fn main_pid() -> Pid {
    Pid::from_raw(property("MainPID").parse().unwrap())
}

/// What systemd says of both units.
fn states() -> String {
    let shown = try_run(&format!("systemctl is-active {BOTH}")).stdout;
    String::from_utf8(shown).unwrap().trim().replace('\n', " ")
}

fn ask(request: &str) -> String {
    Client::connect(Path::new(SOCKET)).ask(request).response()
}

/// The conversation that an LVM command of 2.02 begins with, and the PVs that it is told of.
fn pvs_for_lvm() -> Vec<String> {
    let mut client = Client::connect(Path::new(SOCKET));
    let hello = client.ask("request=\"hello\"");
    assert_eq!((hello.response().as_str(), hello.str("protocol").as_str(), hello.int("version")), ("OK", "lvmetad", 1));
    let token = wait_for("the scan", || {
        let token = client.ask("request=\"get_global_info\" token=\"skip\"").str("token");
        token.starts_with("filter:").then_some(token)
    });
    let list = client.ask(&format!("request=\"pv_list\" token=\"{token}\""));
    assert_eq!(list.response(), "OK");
    let section = list.section();
    let pvs = section.section("physical_volumes").into_iter().flat_map(Section::sections);
    pvs.map(|(pvid, _)| String::from_utf8_lossy(pvid).into_owned()).collect()
}

pub fn call(method: &str) -> Value {
    pvwatch::client::call(Path::new(SOCKET), method, &json!({}), Some(LONG)).unwrap()
}

fn pvid(node: impl std::fmt::Display) -> String {
    run(&format!("pvs --noheadings -o pv_uuid {node}")).trim().to_owned()
}

#[test]
fn enabling_makes_it_answer_to_lvmetads_names() {
    let machine = Machine::systemd();
    let disks = machine.disks(1, 32);
    run(&format!("pvcreate {}", disks[0]));
    let units = Units::install();
    run("systemctl enable pvwatch.service");
    assert_eq!(
        run("systemctl is-enabled pvwatch.service pvwatch.socket lvm2-lvmetad.service lvm2-lvmetad.socket"),
        "enabled\nenabled\nalias\nalias\n"
    );
    let verified = try_run("systemd-analyze verify --man=no pvwatch.service lvm2-lvmetad.socket sysinit.target");
    assert!(verified.status.success() && verified.stderr.is_empty(), "{verified:?}");
    // As LVM 2.02's own units have it.
    let user = "[Unit]\nRequires=lvm2-lvmetad.socket\nAfter=lvm2-lvmetad.socket lvm2-lvmetad.service\n\
        [Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/usr/sbin/pvwatch status\n\
        ExecStop=/usr/sbin/pvwatch status\n";
    fs::write("/etc/systemd/system/user-of-lvmetad.service", user).unwrap();
    run("systemctl daemon-reload; systemctl start user-of-lvmetad");
    assert_eq!(pvs_for_lvm(), [pvid(&disks[0])]);
    // Going down, it is the last to go.
    run("systemctl stop user-of-lvmetad lvm2-lvmetad.service lvm2-lvmetad.socket");
    assert_eq!(run("systemctl show -P Result user-of-lvmetad"), "success\n");
    assert_eq!(states(), "inactive inactive");
    run("systemctl disable pvwatch.service");
    assert!(!fs::exists("/etc/systemd/system/lvm2-lvmetad.socket").unwrap());
    drop(units);
}

#[test]
fn it_is_active_when_everything_has_been_read() {
    let machine = Machine::systemd();
    let disks = machine.disks(2, 32);
    run(&format!("vgcreate vg {} {}", disks[0], disks[1]));
    let _units = Units::install();
    // In jiffies, for each command of a disk: 0.4 s at Debian's 250 Hz.
    run("echo 100 >/sys/bus/pseudo/drivers/scsi_debug/delay");
    let start = Instant::now();
    run("systemctl start pvwatch.service");
    let status = call("Status");
    run("echo 1 >/sys/bus/pseudo/drivers/scsi_debug/delay");
    assert!(start.elapsed() > Duration::from_millis(300), "{:?}", start.elapsed());
    assert_eq!((&status["status"]["ready"], &status["status"]["counts"]["pvs"]), (&json!(true), &json!(2)), "{status}");
    assert_eq!(states(), "active active");
    assert_eq!(fs::read_to_string(PID_FILE).unwrap().trim(), main_pid().to_string());
    assert_eq!(run(&format!("stat -c %a {SOCKET} /run/lvm")), "600\n700\n");
}

#[test]
fn a_client_starts_it_again() {
    let machine = Machine::systemd();
    let disks = machine.disks(1, 32);
    run(&format!("pvcreate {}", disks[0]));
    let _units = Units::enabled();
    run("systemctl stop pvwatch.service");
    assert_eq!(states(), "inactive active");
    assert!(fs::exists(SOCKET).unwrap() && !fs::exists(PID_FILE).unwrap());
    assert_eq!(pvs_for_lvm(), [pvid(&disks[0])]);
    wait_until("it to be active", || states() == "active active");
}

#[test]
fn what_is_lvms_in_run_lvm_stays() {
    let _machine = Machine::systemd();
    let _units = Units::enabled();
    run("mkdir -p /run/lvm/pvs_online; touch /run/lvm/pvs_online/a");
    run("systemctl stop pvwatch.socket");
    assert_eq!(states(), "inactive inactive", "nothing is without its socket");
    assert_eq!(run("ls -A /run/lvm/pvs_online"), "a\n");
    assert!(!fs::exists(PID_FILE).unwrap() && !fs::exists(SOCKET).unwrap());
    run("systemctl start pvwatch.service");
    assert_eq!((states().as_str(), ask("request=\"hello\"").as_str()), ("active active", "OK"));
}

#[test]
fn a_restart_lets_the_clients_go_and_knows_the_same() {
    let machine = Machine::systemd();
    let disks = machine.disks(2, 32);
    run(&format!("vgcreate vg {} {}", disks[0], disks[1]));
    let _units = Units::enabled();
    let (before, pid) = (pvs_for_lvm(), main_pid());
    let mut client = Client::connect(Path::new(SOCKET));
    assert_eq!(client.ask("request=\"hello\"").response(), "OK");
    run("systemctl restart pvwatch.service");
    assert_eq!(client.stream.read(&mut [0]).unwrap(), 0);
    assert_ne!(main_pid(), pid);
    assert_eq!(pvs_for_lvm(), before);
    run("systemctl restart pvwatch.socket");
    wait_until("it to be active", || states() == "active active");
    assert_eq!(pvs_for_lvm(), before);
}

/// The daemon gets a signal, and another is started: for so many times now.
fn comes_again_after(signal: Signal, restarts: usize) {
    let pid = main_pid();
    kill(pid, signal).unwrap();
    wait_until("another one", || {
        let now = property("MainPID");
        now != "0" && now != pid.to_string() && states() == "active active"
    });
    assert_eq!(property("NRestarts"), restarts.to_string(), "{signal}");
}

#[test]
fn however_it_is_killed_it_comes_again() {
    let _machine = Machine::systemd();
    let units = Units::enabled();
    // Fast enough for a test.
    units.change("[Service]\nWatchdogSec=2\n");
    run("systemctl restart pvwatch.service");
    for (count, signal) in [Signal::SIGKILL, Signal::SIGTERM, Signal::SIGSTOP].into_iter().enumerate() {
        comes_again_after(signal, count + 1);
        assert_eq!(ask("request=\"hello\""), "OK");
    }
    let journal = run("journalctl -u pvwatch.service -b -n 30");
    assert!(journal.contains("Watchdog timeout"), "{journal}");
}

/// Ready is who has everything.
#[test]
fn after_a_crash_or_a_panic_it_comes_again_with_everything() {
    let machine = Machine::systemd();
    let disks = machine.disks(2, 32);
    run(&format!("vgcreate vg {} {}", disks[0], disks[1]));
    let units = Units::enabled();
    units.change("[Service]\nEnvironment=PVWATCH_TEST_PANIC=reload\n");
    run("systemctl restart pvwatch.service");
    let before = pvs_for_lvm();
    assert_eq!(before.len(), 2);
    for (count, signal) in [Signal::SIGABRT, Signal::SIGHUP].into_iter().enumerate() {
        comes_again_after(signal, count + 1);
        assert_eq!(pvs_for_lvm(), before, "{signal}");
    }
    let journal = run("journalctl -u pvwatch.service -b -n 50");
    assert!(journal.contains("panic at src/sys/panic.rs:"), "{journal}");
    assert!(journal.contains("status=6/ABRT") && journal.contains("status=101"), "{journal}");
    run("vgremove -ff -y vg");
}

#[test]
fn a_reload_takes_the_configuration_over() {
    let machine = Machine::systemd();
    let disks = machine.disks(1, 32);
    run(&format!("pvcreate {}", disks[0]));
    let _units = Units::enabled();
    let pid = main_pid();
    assert_eq!(pvs_for_lvm().len(), 1);
    fs::write("/etc/lvm/lvmlocal.conf", "devices { global_filter=[\"r|/dev/sd|\"] }").unwrap();
    run("systemctl reload pvwatch.service");
    wait_until("the filter", || call("Status")["status"]["counts"]["pvs"] == 0);
    assert_eq!((main_pid(), states().as_str()), (pid, "active active"));
}

struct Hanging;

impl Drop for Hanging {
    fn drop(&mut self) {
        let _ = try_run("dmsetup resume below");
    }
}

/// The disk below hangs, and whoever reads the one above cannot be killed.
#[test]
fn a_reader_that_hangs_holds_nothing_up() {
    let machine = Machine::systemd();
    let disks = machine.disks(2, 32);
    run(&format!("pvcreate {}", disks[1]));
    // Later lvm would hang too.
    let pvs = [pvid(&disks[1])];
    let units = Units::install();
    // One that waits for each read. What a ring waits for is the kernel's affair once its process is killed.
    fs::write("/etc/lvm/lvmlocal.conf", "pvwatch { reader=\"pool\" }").unwrap();
    let hanging = Hanging;
    run(&format!(
        "dmsetup create below --table '0 32768 linear {} 0'
        dmsetup create above --table '0 32768 linear /dev/mapper/below 0'
        udevadm settle; dmsetup suspend --nolockfs --noflush below",
        disks[0]
    ));
    // The boot does not wait longer than that for a slow start, which is no failed one.
    units.change("[Unit]\nJobRunningTimeoutSec=1\n[Service]\nWatchdogSec=5\nTimeoutStartSec=5\n");
    let started = try_run("systemctl start pvwatch.service");
    assert!(!started.status.success() && property("ActiveState") == "activating", "{started:?}");
    wait_until("it to be ready", || states() == "active active");
    assert_eq!(property("NRestarts"), "0");
    let status = call("Status");
    assert_eq!(status["status"]["quarantined"].as_array().unwrap().len(), 2, "both: {status}");

    let pid = main_pid();
    let start = Instant::now();
    run("systemctl stop pvwatch.service");
    let stopped = start.elapsed();
    assert!(stopped < Duration::from_secs(5), "{stopped:?}");
    assert_eq!((property("Result").as_str(), states().as_str()), ("success", "inactive active"));
    let left = run("cat /sys/fs/cgroup/system.slice/pvwatch.service/cgroup.procs").trim().to_owned();
    let status = fs::read_to_string(format!("/proc/{left}/status")).unwrap_or_default();
    assert!(status.contains("State:\tD"), "one reader, which nobody can kill: {left} {status}");
    assert!(!fs::exists(format!("/proc/{pid}")).unwrap());
    // The one that is left over is in nobody's way.
    let _ = try_run("systemctl start pvwatch.service");
    wait_until("it to be ready", || states() == "active active");
    assert_eq!(pvs_for_lvm(), pvs);
    // The same if there is something else to start at once.
    let (pid, start) = (main_pid(), Instant::now());
    let _ = try_run("systemctl restart pvwatch.service");
    let restarted = start.elapsed();
    wait_until("it to be ready", || states() == "active active");
    println!(
        "stopped after {stopped:.1?}, restarted after {restarted:.1?}, ready {:.1?} later",
        start.elapsed() - restarted
    );
    assert!(!fs::exists(format!("/proc/{pid}")).unwrap());
    assert_eq!((property("Result").as_str(), property("NRestarts").as_str()), ("success", "0"));
    assert_eq!(pvs_for_lvm(), pvs);
    let left = run("cat /sys/fs/cgroup/system.slice/pvwatch.service/cgroup.procs");
    let left = left.lines().filter(|process| *process != main_pid().to_string()).collect::<Vec<_>>();
    assert!(left.len() >= 3, "the readers of all three: {left:?}");
    drop(hanging);
    run("systemctl stop pvwatch.service");
    let is_left = || left.iter().any(|process| fs::exists(format!("/proc/{process}")).unwrap());
    wait_until("the readers to go", || !is_left());
}

#[test]
fn who_crashes_at_once_is_given_up_and_lvm_is_told() {
    let _machine = Machine::systemd();
    let units = Units::install();
    units.change("[Service]\nExecStart=\nExecStart=/bin/false\n");
    assert!(!try_run("systemctl start pvwatch.service").status.success());
    wait_until("the last try", || states() == "failed failed");
    assert!(!fs::exists(SOCKET).unwrap(), "LVM commands scan for themselves");
    fs::remove_dir_all("/etc/systemd/system/pvwatch.service.d").unwrap();
    run(&format!("systemctl daemon-reload; systemctl reset-failed {BOTH}; systemctl start pvwatch.service"));
    assert_eq!((states().as_str(), ask("request=\"hello\"").as_str()), ("active active", "OK"));
}

/// In the place of the daemon, with all that it is allowed.
#[test]
fn what_the_service_may_and_what_not() {
    let machine = Machine::systemd();
    let disks = machine.disks(1, 32);
    let units = Units::install();
    let script = format!(
        "try() {{ if sh -c \"$1\" 2>/dev/null; then echo \"$1: yes\"; else echo \"$1: no\"; fi; }}
        chown nobody {disk}; chmod 600 {disk}
        try 'head -c 512 {disk} >/dev/null'
        try 'echo 1 >>{disk}'
        try 'mkdir -p /run/lvm/pvs_online && echo a >/run/lvm/pvs_online/a'
        try 'echo a >/run/pvwatch/a && rm /run/pvwatch/a'
        try 'systemd-run -q --no-block true'
        try 'cat /dev/kmsg'
        try '>/dev/loop-control'
        try '>/etc/lvm/a'
        try '>/usr/a'
        try 'echo 0 >/proc/sys/vm/laptop_mode'
        try 'echo remove >/sys/block/{name}/uevent'
        try 'mount -t tmpfs none /mnt'
        try 'mknod /run/a b 8 0'
        try 'unshare -n true'",
        disk = disks[0],
        name = disks[0].name().unwrap(),
    );
    // The owner is changed by who may do so.
    let script = script.replacen("chown", "#", 1);
    fs::write("/run/pvwatch-test.sh", script).unwrap();
    run(&format!("chown nobody {0}; chmod 600 {0}", disks[0]));
    units.change(
        "[Service]\nType=oneshot\nRestart=no\nExecStart=\nExecStart=/bin/sh /run/pvwatch-test.sh\nStandardOutput=file:/run/pvwatch-test.out\n",
    );
    run("systemctl start pvwatch.service");
    let found = fs::read_to_string("/run/pvwatch-test.out").unwrap();
    let verdicts = found.lines().map(|line| line.rsplit_once(' ').unwrap().1).collect::<Vec<_>>();
    let expected = ["yes", "no", "yes", "yes", "yes", "no", "no", "no", "no", "no", "no", "no", "no", "no"];
    assert_eq!(verdicts, expected, "{found}");
    run("rm -f /run/pvwatch-test.*");
}

#[test]
fn a_word_of_the_kernel_command_line_turns_it_off() {
    let _machine = Machine::systemd();
    let _units = Units::install();
    assert_eq!(
        run("cd /etc/systemd/system; grep -c '^ConditionKernelCommandLine=!pvwatch=off$' pvwatch.*"),
        "pvwatch.service:1\npvwatch.socket:1\n"
    );
    // Another word of the same kind, which this machine was started with.
    run("sed -i 's/!pvwatch=off/!pvwatch.vm=systemd/' /etc/systemd/system/pvwatch.*; systemctl daemon-reload");
    run("systemctl enable --now pvwatch.service; systemctl start lvm2-lvmetad.socket");
    assert_eq!(run(&format!("systemctl show -P ConditionResult {BOTH}")), "no\n\nno\n");
    assert_eq!(states(), "inactive inactive");
    assert!(!fs::exists(SOCKET).unwrap());
    assert_eq!(run("systemctl is-system-running"), "running\n", "and nothing is wrong with that");
}
