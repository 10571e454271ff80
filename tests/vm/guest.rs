//! The virtual machine that these tests run in, and the disks it can be given.
//!
//! A test begins with `let machine = Machine::udev();` and has the machine for itself until that
//! is dropped. It finds no disks, and whatever it makes with the commands and functions here is
//! gone when the next test begins. See `scripts/vm`.
#![allow(dead_code, reason = "each program of tests uses a part of this")]

use crate::common::{LONG, wait_for};
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tempfile::TempDir;

/// What a shell prints for this. It has to succeed; what it printed is shown if it does not.
pub fn run(script: &str) -> String {
    let output = try_run(script);
    let [stdout, stderr] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned());
    assert!(output.status.success(), "{script}\n{}\n{stdout}{stderr}", output.status);
    stdout
}

/// The same, whatever comes of it. What hangs is killed, if it can be (124).
pub fn try_run(script: &str) -> Output {
    let limit = LONG.as_secs().to_string();
    Command::new("timeout").args([&limit, "sh", "-euc", script]).stdin(Stdio::null()).output().unwrap()
}

/// Waits until udevd has dealt with all that has happened.
pub fn settle() {
    // It may hang up on who asks without an answer, as if it were not there for a moment.
    let told = try_run("udevadm settle");
    if !told.status.success() {
        let why = String::from_utf8_lossy(&told.stderr);
        assert!(why.contains("wait for daemon to reply"), "udevadm settle: {}: {why}", told.status);
        run("udevadm settle");
    }
}

/// The machine, which a test has to itself.
pub struct Machine {
    directory: TempDir,
    _alone: MutexGuard<'static, ()>,
}

impl Machine {
    /// That of `scripts/vm`.
    pub fn udev() -> Machine {
        Machine::begin("udev")
    }

    /// That of `scripts/vm --systemd`.
    pub fn systemd() -> Machine {
        Machine::begin("systemd")
    }

    fn begin(kind: &str) -> Machine {
        static ALONE: Mutex<()> = Mutex::new(());
        let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let option = format!("pvwatch.vm={kind}");
        let command_line = fs::read_to_string("/proc/cmdline").unwrap();
        assert!(
            std::env::var("PVWATCH_VM").is_ok_and(|value| value == kind)
                && command_line.split_whitespace().any(|word| word == option),
            "this test changes disks and runs in no other machine than that of `scripts/vm`, which is `{option}`"
        );
        clean();
        Machine { directory: tempfile::tempdir().unwrap(), _alone }
    }

    /// SCSI disks, each with contents and numbers of its own; the memory is the machine's.
    pub fn disks(&self, count: usize, mebibytes: u64) -> Vec<Disk> {
        self.disks_with(count, mebibytes, "")
    }

    /// The same with more parameters of `scsi_debug`. Once in a test: it is a module's.
    pub fn disks_with(&self, count: usize, mebibytes: u64, parameters: &str) -> Vec<Disk> {
        // With one store for all of them, they would be copies of each other.
        self.scsi_debug(count, mebibytes, &format!("per_host_store=1 {parameters}"))
    }

    /// Ways to one SCSI disk, each of which can be pulled out; in place of other disks.
    pub fn paths(&self, count: usize, mebibytes: u64) -> Vec<Disk> {
        // The disk's id is its vendor's own, which Debian's rules take for less than the id of a
        // real disk. To multipath it is to be as the kernel has it.
        self.udev_rules("50-wwid.rules", &format!("KERNEL==\"sd*\", ENV{{ID_SERIAL}}=\"{WWID}\"\n"));
        self.scsi_debug(count, mebibytes, "vpd_use_hostno=0")
    }

    fn scsi_debug(&self, count: usize, mebibytes: u64, parameters: &str) -> Vec<Disk> {
        run(&format!("modprobe scsi_debug add_host={count} num_tgts=1 dev_size_mb={mebibytes} {parameters}"));
        let disks = wait_for("the disks", || {
            let disks = scsi_debug_hosts().into_iter().map(|host| Disk { host }).collect::<Vec<_>>();
            (disks.len() == count && disks.iter().all(|disk| disk.name().is_some())).then_some(disks)
        });
        settle();
        disks
    }

    /// Block devices without SCSI around them, in memory too. LVM takes them for disks only if its
    /// `devices/types` has `nullb`, and udev's own rules do not look for what is on them.
    pub fn null_blks(&self, count: usize, mebibytes: u64) -> Vec<PathBuf> {
        self.udev_rules("60-nullb.rules", "ACTION!=\"remove\", KERNEL==\"nullb*\", IMPORT{builtin}=\"blkid\"\n");
        run(
            "modprobe null_blk nr_devices=0; mountpoint -q /sys/kernel/config || mount -t configfs none /sys/kernel/config",
        );
        let made = (0..count).map(|number| {
            run(&format!(
                "cd {NULL_BLKS}; mkdir nullb{number}; cd nullb{number}
                echo {mebibytes} >size; echo 1 >memory_backed; echo 1 >power"
            ));
            PathBuf::from(format!("/dev/nullb{number}"))
        });
        let made = made.collect();
        settle();
        made
    }

    /// Rules for udevd, in place of its own if it has a file of that name.
    pub fn udev_rules(&self, file: &str, rules: &str) {
        fs::create_dir_all(RULES).unwrap();
        fs::write(Path::new(RULES).join(file), rules).unwrap();
        run("udevadm control --reload");
    }

    /// A loop device on a file of holes.
    pub fn loop_device(&self, mebibytes: u64) -> PathBuf {
        let image = tempfile::NamedTempFile::new_in(self.directory.path()).unwrap();
        image.as_file().set_len(mebibytes << 20).unwrap();
        let (_, image) = image.keep().unwrap();
        let node = run(&format!("losetup -f --show {}", image.display())).trim().into();
        settle();
        node
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // What went wrong first is what is to be told.
        if !std::thread::panicking() {
            clean();
        }
    }
}

/// What multipath calls the disk of [`Machine::paths`].
pub const WWID: &str = "333333330000007d0";

/// What is here goes before Debian's own.
const RULES: &str = "/run/udev/rules.d";
/// Where those of [`Machine::null_blks`] are made.
pub const NULL_BLKS: &str = "/sys/kernel/config/nullb";

/// Takes all of it apart, from the top. Starting programs is slow in an emulated machine: no more
/// than there is to do.
fn clean() {
    run(&format!(
        "any() {{ [ -e \"$1\" ]; }}
        # What has let go of a disk may be at it for a moment; what dmeventd and pvmove left does not let go.
        unload() {{
            for _ in 1 2 3 4 5; do
                ! modprobe -r $module 2>/dev/null || return 0
                pkill 'dmeventd|lvm2copyd' || true
                sleep 1
            done
            modprobe -r $module || {{ ls -l /proc/[0-9]*/fd 2>/dev/null | grep /dev/ | grep -v null; exit 1; }}
        }}
        ! any /run/multipathd.pid || multipathd shutdown >/dev/null
        for _ in 1 2 3 4 5 6 7 8; do
            ! any /sys/block/dm-* || dmsetup remove_all --force >/dev/null 2>&1 || true
            ! any /sys/block/md* || mdadm --stop --scan >/dev/null 2>&1 || true
        done
        if any /sys/block/dm-* || any /sys/block/md*; then
            echo 'These are in use:'; ls -d /sys/block/dm-* /sys/block/md*; dmsetup ls --tree; exit 1
        fi
        ! any /sys/block/loop*/loop || losetup -D
        for disk in {NULL_BLKS}/*/power; do
            ! any \"$disk\" || {{ echo 0 >$disk; rmdir ${{disk%/power}}; }}
        done
        for module in scsi_debug null_blk; do
            ! any /sys/module/$module || {{ udevadm settle; unload; udevadm settle; }}
        done
        # Where lvm and not udev has made names, nobody takes them away.
        ! any /dev/vg*/ || rm -r /dev/vg*/
        for node in /dev/mapper/*; do
            [ $node = /dev/mapper/control ] || ! any $node || rm $node
        done
        ! any {RULES}/* || {{ rm {RULES}/*; udevadm control --reload; }}
        rm -rf /etc/multipath /etc/multipath.conf /run/lvm/* /run/pvwatch /etc/lvm/archive /etc/lvm/backup /etc/lvm/devices"
    ));
}

fn scsi_debug_hosts() -> Vec<u32> {
    let adapters = names("/sys/bus/pseudo/drivers/scsi_debug").filter(|name| name.starts_with("adapter"));
    let hosts = adapters.flat_map(|adapter| names(format!("/sys/bus/pseudo/drivers/scsi_debug/{adapter}")));
    let mut hosts = hosts.filter_map(|name| name.strip_prefix("host")?.parse().ok()).collect::<Vec<_>>();
    hosts.sort_unstable();
    hosts
}

fn names(directory: impl AsRef<Path>) -> impl Iterator<Item = String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok())
}

/// A disk of `scsi_debug`. It can be pulled out, and keeps what is on it.
pub struct Disk {
    host: u32,
}

impl Disk {
    /// Its name as of now; `None` while it is out.
    pub fn name(&self) -> Option<String> {
        names(format!("/sys/class/scsi_host/host{}/device", self.host)).find_map(|target| {
            let target = target.strip_prefix("target")?;
            names(format!("/sys/class/scsi_host/host{}/device/target{target}/{target}:0/block", self.host)).next()
        })
    }

    pub fn host(&self) -> u32 {
        self.host
    }

    pub fn node(&self) -> PathBuf {
        Path::new("/dev").join(self.name().expect("the disk is plugged in"))
    }

    /// Its device number as the daemon has it.
    pub fn device(&self) -> i64 {
        device_number(&self.node())
    }

    /// Gone at once, whoever uses it.
    pub fn pull(&self) {
        run(&format!("echo 1 >/sys/block/{}/device/delete; udevadm settle", self.name().unwrap()));
    }

    /// It comes again; its name may be another then.
    pub fn plug_in(&self) {
        run(&format!("echo '- - -' >/sys/class/scsi_host/host{}/scan", self.host));
        wait_for("the disk", || self.name());
        settle();
    }
}

impl std::fmt::Display for Disk {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.node().display().fmt(formatter)
    }
}

/// The number of a block device, as the daemon has it.
pub fn device_number(node: &Path) -> i64 {
    let metadata = fs::metadata(node).unwrap();
    assert!(metadata.file_type().is_block_device(), "{}", node.display());
    metadata.rdev().cast_signed()
}
