//! VGs that come up as they do at a boot: by the installed units and our rule, LVM's being masked.

use crate::common::{wait_for, wait_until};
use crate::guest::{Disk, Machine, run, try_run};
use crate::units::{Units, call};
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};

/// The whole VGs, each with its LV.
const WHOLE: [&str; 4] = ["linear", "raid", "thin", "array"];
const ALL: [&str; 5] = ["linear", "raid", "thin", "array", "partial"];

/// The disks of five VGs, which are gone between one boot and the next.
struct Host {
    disks: Vec<Disk>,
    /// The PV that never comes.
    missing: String,
    virtio: PathBuf,
    _machine: Machine,
    _takeover: Takeover,
}

/// It is switched off at the end, and the disk that other tests have, too, is as it was.
struct Takeover;

impl Drop for Takeover {
    fn drop(&mut self) {
        let _ = try_run("pvwatch takeover disable; rm -rf /etc/lvm/pvwatch /etc/lvm/lvmlocal.conf");
        let _ = try_run("vgchange -q -an; echo 1 >/sys/bus/pci/rescan; udevadm settle; wipefs -q -a /dev/vdb");
        let _ = try_run("systemctl reset-failed");
    }
}

impl Host {
    fn new(machine: Machine) -> Host {
        let disks = machine.disks(7, 32);
        let nullbs = machine.null_blks(2, 32);
        fs::write("/etc/lvm/lvmlocal.conf", "devices { types=[\"nullb\", 16] }\nactivation { monitoring=0 }\n")
            .unwrap();
        machine.udev_rules("69-lvm.rules", "");
        let [a, b, c, e, f, g, h] = &disks[..] else { unreachable!() };
        let [m, n] = [&nullbs[0], &nullbs[1]].map(|node| node.display());
        run(&format!(
            "mdadm --quiet --create /dev/md/over --run --metadata=1.0 --level=1 --raid-devices=2 --assume-clean {e} {f}
            udevadm settle
            vgcreate -q -s 1M linear {a} {b} {c}; lvcreate -q -y -l 80 -n lv linear
            vgcreate -q -s 1M raid {m} {n}; lvcreate -q -y --type raid1 -m 1 --nosync -l 4 -n lv raid
            wipefs -q -a /dev/vdb; vgcreate -q -s 1M thin /dev/vdb; lvcreate -q -l 4 -T thin/pool; lvcreate -q -V 8M -n lv --thinpool pool thin
            vgcreate -q -s 1M array /dev/md/over; lvcreate -q -y -l 1 -n lv array
            vgcreate -q -s 1M partial {g} {h}; lvcreate -q -y -i 2 -l 2 -n lv partial"
        ));
        let missing = run(&format!("pvs --noheadings -o pv_uuid {h}")).trim().to_owned();
        h.pull();
        let virtio = fs::canonicalize("/sys/block/vdb/device/..").unwrap();
        fs::remove_file("/run/udev/rules.d/69-lvm.rules").unwrap();
        Host { disks, missing, virtio, _machine: machine, _takeover: Takeover }
    }

    /// As a host that has been switched off: no disks, and nothing in `/run`.
    fn shut_down(&self) {
        run("vgchange -q -an; mdadm --quiet --stop --scan; udevadm settle");
        for disk in self.disks.iter().filter(|disk| disk.name().is_some()) {
            fs::write(format!("/sys/block/{}/device/delete", disk.name().unwrap()), "1").unwrap();
        }
        for nullb in 0..2 {
            fs::write(format!("/sys/kernel/config/nullb/nullb{nullb}/power"), "0").unwrap();
        }
        fs::write(self.virtio.join("remove"), "1").unwrap();
        run("udevadm settle; rm -rf /run/lvm/pvs_online /run/lvm/vgs_online /run/lvm/pvs_lookup /run/pvwatch");
    }

    /// All of them at once.
    fn boot(&self) {
        for nullb in 0..2 {
            fs::write(format!("/sys/kernel/config/nullb/nullb{nullb}/power"), "1").unwrap();
        }
        fs::write("/sys/bus/pci/rescan", "1").unwrap();
        for disk in &self.disks[..6] {
            fs::write(format!("/sys/class/scsi_host/host{}/scan", disk.host()), "- - -").unwrap();
        }
    }
}

/// Now, as journalctl has it.
fn now() -> String {
    format!("@{}", run("date +%s.%N").trim())
}

/// How often a unit has activated the VG.
fn starts(vg: &str, since: &str) -> usize {
    let journal = run(&format!("journalctl -q -o cat --since {since} -u lvm-activate-{vg}.service"));
    // A unit of type oneshot is starting while it runs, and never started.
    journal.lines().filter(|line| line.starts_with("Starting ") || line.starts_with("Started ")).count()
}

fn is_active(vg: &str) -> bool {
    Path::new("/dev").join(vg).join("lv").exists()
}

fn wait_until_whole() {
    for vg in WHOLE {
        wait_until(&format!("{vg} to be active"), || is_active(vg));
    }
    run("udevadm settle");
}

fn check_boot(since: &str) {
    for vg in ALL {
        let is_whole = vg != "partial";
        assert_eq!((starts(vg, since), is_active(vg)), (usize::from(is_whole), is_whole), "{vg}");
    }
    // Where disks come slowly, mdadm's timer finds no array that has to be started without one.
    let failed = run("systemctl list-units --failed --no-legend --plain");
    let failed = failed.lines().filter(|unit| !unit.starts_with("mdadm-last-resort@")).collect::<Vec<_>>();
    assert_eq!(failed, [""; 0]);
}

fn settle() {
    run("udevadm settle; pvwatch settle");
    wait_until("the activations to end", || {
        let activation = &call("Status")["status"]["activation"];
        activation["running"] == json!([]) && activation["waiting"] == 0
    });
}

#[test]
fn at_a_boot_each_vg_comes_up_once_when_it_is_whole() {
    let machine = Machine::systemd();
    let _units = Units::install();
    let host = Host::new(machine);
    run("systemctl enable pvwatch.service; pvwatch takeover enable");
    host.shut_down();
    let since = now();
    run("systemctl start --no-block pvwatch.service");
    host.boot();
    wait_until_whole();
    settle();
    check_boot(&since);
    let status = run("pvwatch status partial");
    assert!(status.contains(&host.missing), "{status}");

    // Nothing again: by another daemon, by other events, and what somebody has deactivated.
    run("vgchange -q -an linear; systemctl restart pvwatch.service");
    run("udevadm trigger --action=change --subsystem-match=block --settle");
    settle();
    assert!(
        !is_active("linear"),
        "{}",
        run("journalctl -o short-monotonic -n 60 -u pvwatch.service -u lvm-activate-linear.service")
    );
    for vg in ALL {
        assert_eq!(starts(vg, &since), usize::from(vg != "partial"), "{vg}");
    }

    // By the rule alone.
    host.shut_down();
    run("systemctl stop pvwatch.socket pvwatch.service");
    let since = now();
    host.boot();
    wait_until_whole();
    check_boot(&since);
    host.shut_down();
}

/// Slows down what activates a VG.
fn lvm(script: &str) {
    fs::write("/usr/local/sbin/lvm-test", format!("#!/bin/sh\n{script}\nexec /sbin/lvm \"$@\"\n")).unwrap();
    run("chmod 755 /usr/local/sbin/lvm-test");
    let settings = "pvwatch { activation=\"on\" lvm=\"/usr/local/sbin/lvm-test\" activation_timeout=15 }\n\
        activation { monitoring=0 }\n";
    fs::write("/etc/lvm/lvmlocal.conf", settings).unwrap();
}

/// PID 1 does not answer until this is dropped.
struct Frozen;

impl Frozen {
    fn begin() -> Frozen {
        fs::write("/sys/fs/cgroup/init.scope/cgroup.freeze", "1").unwrap();
        wait_until("PID 1 to be frozen", || {
            fs::read_to_string("/sys/fs/cgroup/init.scope/cgroup.events").unwrap().contains("frozen 1")
        });
        Frozen
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        fs::write("/sys/fs/cgroup/init.scope/cgroup.freeze", "0").unwrap();
    }
}

#[test]
fn units_that_fail_hang_or_cannot_be_had() {
    let machine = Machine::systemd();
    let disks = machine.disks(4, 16);
    machine.udev_rules("69-lvm.rules", "");
    let vgs = ["fail", "hang", "slow", "late"];
    for (vg, disk) in vgs.iter().zip(&disks) {
        run(&format!("vgcreate -q -s 1M {vg} {disk}; lvcreate -q -y -an -Zn -Wn -l 1 -n lv {vg}"));
    }
    disks.iter().for_each(Disk::pull);
    let [fail, hang, slow, late] = &disks[..] else { unreachable!() };
    let _takeover = Takeover;
    let _units = Units::install();
    lvm(
        "case \"$*\" in *hang) exec sleep 1000;; *fail) echo not today; exit 5;; *slow) touch /run/begun; sleep 3;; esac",
    );
    run("systemctl enable --now pvwatch.service");
    let result = |vg: &str| {
        wait_for(&format!("what comes of {vg}"), || {
            let shown = run(&format!("pvwatch status {vg}"));
            let ended = ["failed", "  activated ", "activation ended"].into_iter().find(|word| shown.contains(word));
            ended.map(|word| (word, shown.clone()))
        })
    };

    for disk in [fail, hang] {
        disk.plug_in();
    }
    assert_eq!(result("fail").0, "failed");
    assert!(run("journalctl -o cat -u lvm-activate-fail.service").contains("not today"));

    // While one is being activated, PID 1 starts itself anew.
    slow.plug_in();
    wait_until("it to begin", || fs::exists("/run/begun").unwrap());
    run("systemctl daemon-reexec");
    wait_until("it to be active", || is_active("slow"));
    println!("{}", result("slow").1);
    println!("{}", result("hang").1);

    // PID 1 does not answer for a while.
    {
        let _frozen = Frozen::begin();
        fs::write(format!("/sys/class/scsi_host/host{}/scan", late.host()), "- - -").unwrap();
        wait_until("the disk", || late.name().is_some());
        run("timeout 20 udevadm settle; timeout 20 pvwatch settle");
        std::thread::sleep(std::time::Duration::from_secs(2));
        assert_eq!(call("Status")["status"]["ready"], true);
    }
    wait_until("it to be active", || is_active("late"));
    let starts = vgs.map(|vg| starts(vg, "-1h"));
    assert_eq!(starts, [1; 4]);
    run("vgchange -q -an; rm -f /usr/local/sbin/lvm-test /run/begun; systemctl reset-failed");
}
