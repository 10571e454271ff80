//! Debian's LVM on our loop devices, without device-mapper and udev.

use super::daemon::World;
use std::io;
use std::path::Path;
use std::process::Command;

/// `lvm.conf` for `lvm` and for the daemon, which sees the same devices.
pub fn conf(numbers: std::ops::RangeInclusive<u32>, more: &str) -> String {
    let patterns = numbers.map(|number| format!("\"a|^/dev/loop{number}$|\", ")).collect::<String>();
    format!(
        "config {{ checks=0 }}
devices {{ global_filter=[{patterns}\"r|.*|\"] use_devicesfile=0 hints=\"none\" obtain_device_list_from_udev=0
    md_component_detection=0 multipath_component_detection=0 }}
activation {{ activation=0 udev_sync=0 udev_rules=0 monitoring=0 }}
backup {{ backup=0 archive=0 }}
global {{ event_activation=0 }}
{more}
"
    )
}

pub struct Lvm<'w> {
    world: &'w World,
}

impl<'w> Lvm<'w> {
    /// An error where it is not installed.
    pub fn new(world: &'w World) -> io::Result<Lvm<'w>> {
        let run = Command::new("lvm").arg("version").output();
        run.map_err(|error| io::Error::new(error.kind(), format!("lvm (package lvm2): {error}")))?;
        Ok(Lvm { world })
    }

    /// `vgcreate vg0 /dev/loop1`, in one word.
    pub fn run(&self, command: &str) {
        let run = self.command(command).output().unwrap();
        assert!(run.status.success(), "{command}: {}", String::from_utf8_lossy(&run.stderr));
    }

    pub fn command(&self, command: &str) -> Command {
        let locks = self.world.path("lock");
        let mut lvm = Command::new("lvm");
        lvm.args(command.split_whitespace())
            .args(["--driverloaded", "n", "--yes", "--config"])
            .arg(format!("global/locking_dir=\"{}\"", locks.display()))
            .env("LVM_SYSTEM_DIR", self.world.system_dir())
            .env("LVM_SUPPRESS_FD_WARNINGS", "1")
            .env("LC_ALL", "C");
        lvm
    }

    /// One field of one thing.
    pub fn report(&self, command: &str) -> String {
        let run = self.command(command).arg("--noheadings").output().unwrap();
        assert!(run.status.success(), "{command}: {}", String::from_utf8_lossy(&run.stderr));
        String::from_utf8_lossy(&run.stdout).trim().to_owned()
    }

    pub fn pvid(&self, device: &Path) -> String {
        self.report(&format!("pvs -o pv_uuid {}", device.display()))
    }
}
