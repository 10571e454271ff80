//! The rules of udev-rules/ as `udevadm test` takes them, on a loop device with a PV. What udevd makes
//! of them, and at a coldplug, is for tests/vm. Needs Debian's package udev.

#[path = "common/mod.rs"]
mod common;
// The helpers of the unit tests name `DevNo` as the library does.
use pvwatch::devno;

use common::loops::{Loop, PREFIX};
use common::testing::needs;
use common::{PV_SIZE, id, write_pv};
use pvwatch::ondisk::image::vg_text;
use pvwatch::takeover::{Mode, Programs};
use std::io;
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

/// What `udevadm test` says, in a mount namespace with no other rule for PVs, and an empty `/run`.
fn udevadm(rule: &Path, prepare: &str, action: &str, sysfs: &Path) -> io::Result<String> {
    let script = "mount --make-rprivate / && mount -t tmpfs tmpfs /run && mount -t tmpfs tmpfs /etc/udev/rules.d \
        && cp \"$1\" /etc/udev/rules.d/69-pvwatch.rules && ln -s /dev/null /etc/udev/rules.d/69-lvm.rules || exit 9\n\
        eval \"$2\"\nudevadm test --action=\"$3\" \"$4\" 2>&1; ls /run/lvm/* 2>&1";
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", script, "sh"]).arg(rule).args([prepare, action]).arg(sysfs);
    let run = command.output()?;
    match run.status.code() {
        Some(1 | 9) => Err(io::Error::other(String::from_utf8_lossy(&run.stderr).trim().to_owned())),
        _ => Ok(String::from_utf8_lossy(&run.stdout).into_owned()),
    }
}

struct Bench {
    directory: TempDir,
    device: Loop,
}

const SYSTEMD: &str = "mkdir -p /run/systemd/system";

impl Bench {
    fn new(number: u32) -> io::Result<Bench> {
        let directory = tempfile::Builder::new().prefix(PREFIX).tempdir()?;
        let image = directory.path().join("image");
        write_pv(&image, "rules", Some(vg_text("v+g", id("vg"), 1, &[(id("rules"), PV_SIZE)])));
        let device = Loop::attach(number, &image)?;
        Ok(Bench { directory, device })
    }

    fn udevadm(&self, mode: Mode, prepare: &str) -> io::Result<String> {
        let programs = Programs { pvwatch: env!("CARGO_BIN_EXE_pvwatch").to_owned(), ..Programs::default() };
        let rule = self.directory.path().join("rule");
        std::fs::write(&rule, programs.rule(mode).unwrap())?;
        let number = self.device.number;
        udevadm(&rule, prepare, "change", Path::new(&format!("/sys/block/loop{number}")))
    }
}

#[test]
fn what_udev_makes_of_a_pv() {
    let test = "what_udev_makes_of_a_pv";
    let Some(bench) = needs(test, Bench::new(470)) else { return };
    for mode in [Mode::Rule, Mode::Events, Mode::Lvm202] {
        for prepare in [SYSTEMD, ""] {
            let Some(run) = needs(test, bench.udevadm(mode, prepare)) else { return };
            // udevd says so of a line that it cannot take.
            let is_refused = |line: &&str| line.starts_with("/etc/udev/rules.d/69-pvwatch.rules:");
            assert_eq!(run.lines().find(is_refused), None, "{mode:?}");
            assert!(run.contains(" LINK 'disk/by-id/lvm-pv-uuid-rulesx-"), "{run}");
            assert!(run.contains("\nSYSTEMD_READY=1\n") && run.contains("\nLVM_LOOP_PV_ACTIVATED=1\n"), "{run}");
            let runs = run.lines().filter(|line| line.starts_with("run: ")).collect::<Vec<_>>();
            let has_systemd = prepare == SYSTEMD;
            let activate = "/usr/sbin/lvm vgchange -aay --autoactivation event v+g'";
            match mode {
                Mode::Rule => {
                    assert!(run.contains("\nLVM_VG_NAME_COMPLETE=v+g\n"), "{run}");
                    assert!(run.contains("\nPVWATCH_UNIT=lvm-activate-v+g.service\n"), "{run}");
                    assert!(run.contains("/run/lvm/vgs_online:\nv+g"), "{run}");
                    assert!(runs.len() == 1 && runs[0].ends_with(activate), "{runs:?}");
                    assert_eq!(runs[0].contains("--unit=lvm-activate-v+g.service"), has_systemd, "{runs:?}");
                }
                Mode::Events | Mode::Compare => {
                    assert!(runs.is_empty() && !run.contains("LVM_VG_NAME") && !run.contains("pvscan"), "{run}");
                }
                Mode::Lvm202 => {
                    let number = bench.device.number;
                    assert_eq!(run.contains(&format!("\nSYSTEMD_WANTS=lvm2-pvscan@7:{number}.service\n")), has_systemd);
                    assert_eq!(run.contains(&format!("\nSYSTEMD_ALIAS=/dev/block/7:{number}\n")), has_systemd);
                    assert_eq!(runs.len(), usize::from(!has_systemd), "{runs:?}");
                }
            }
        }
    }
}

/// The database has the last event's word for it.
fn database(number: u32, properties: &str) -> String {
    let lines = properties.split_whitespace().map(|property| format!("E:{property}\\n")).collect::<String>();
    format!("mkdir -p /run/udev/data && printf 'I:1\\n{lines}V:1\\n' >/run/udev/data/b7:{number}; {SYSTEMD}")
}

#[test]
fn what_udev_remembers_counts() {
    let test = "what_udev_remembers_counts";
    let Some(bench) = needs(test, Bench::new(471)) else { return };
    let ready = database(471, "ID_FS_TYPE=LVM2_member LVM_LOOP_PV_ACTIVATED=1");
    // A writer has closed it: the PV has come before, and nobody is told again.
    let Some(run) = needs(test, bench.udevadm(Mode::Rule, &ready)) else { return };
    assert!(!run.contains("pvscan") && run.contains("\nLVM_LOOP_PV_ACTIVATED=1\n"), "{run}");
    // In 2.02 the unit stays only if it is named again.
    let run = bench.udevadm(Mode::Lvm202, &ready).unwrap();
    assert!(run.contains("\nSYSTEMD_WANTS=lvm2-pvscan@7:471.service\n"), "{run}");
    // It was a PV, and is none now.
    let wiped = format!("{ready}; head -c 65536 /dev/zero >/dev/loop471");
    let run = bench.udevadm(Mode::Lvm202, &wiped).unwrap();
    assert!(run.contains("\nLVM_PV_GONE=1\n") && !run.contains("SYSTEMD_WANTS"), "{run}");
    assert!(run.contains("/usr/sbin/lvm pvscan --cache 7:471'"), "{run}");
}

/// As in an initrd that was made without it.
#[test]
fn without_the_program_lvms_own_is_called() {
    let test = "without_the_program_lvms_own_is_called";
    let Some(bench) = needs(test, Bench::new(472)) else { return };
    let rule = bench.directory.path().join("rule");
    let programs =
        Programs { pvwatch: "/nonexistent/pvwatch".to_owned(), lvm: "/bin/echo".to_owned(), ..Programs::default() };
    std::fs::write(&rule, programs.rule(Mode::Rule).unwrap()).unwrap();
    let Some(run) = needs(test, udevadm(&rule, "", "change", Path::new("/sys/block/loop472"))) else { return };
    assert!(run.contains("'/bin/echo pvscan --cache") && !run.contains("/nonexistent"), "{run}");
}
