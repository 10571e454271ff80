//! Devices that come into trouble while clients ask, and that are in trouble from the start: the
//! others are served, the one in trouble is told of, and it is back by itself when that is over. How
//! long clients waited, and how long a daemon takes to leave, is printed.

use crate::common::daemon::{Daemon, Vg, World};
use crate::common::latency::{Asking, Waits};
use crate::common::{hyphenated, vg, wait_until, write_pv};
use crate::guest::{Machine, NULL_BLKS, run, try_run};
use crate::scene::{configure, daemon_command};
use nix::sys::signal::Signal;
use nix::unistd::Pid;
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Whoever waits for a device in trouble waits for this at least.
const DEADLINE: Duration = Duration::from_secs(5);
const CLIENTS: usize = 16;
const SCSI_DEBUG: &str = "/sys/bus/pseudo/drivers/scsi_debug";

/// The finding.
const CORRUPT: &str = "text-crc";

/// How a device comes into trouble and out of it, by shell commands.
struct Trouble {
    node: String,
    pv: &'static str,
    begin: String,
    end: String,
    /// How what is said of it begins: why it is not read, or what is wrong with what was read.
    says: &'static str,
}

/// Those of device-mapper: name, PV, the target with its trouble, and how what is said begins. What is
/// delayed is let go by the suspend when its time is over.
const TARGETS: [(&str, &str, &str, &str); 4] = [
    ("delayed", "a", "delay DISK 60000", "it did not answer within the deadline"),
    ("dead", "b", "error", "all its targets are error or zero"),
    ("failing", "c", "flakey DISK 0 3600", "it cannot be read: "),
    // Of each read its byte 1500: between label and metadata area in the first, in the text when that is read.
    ("corrupt", "d", "flakey DISK 0 3600 5 corrupt_bio_byte 1500 r 1 0", CORRUPT),
];

/// In sectors.
const SIZE: u64 = 16384;

fn place(index: usize) -> u64 {
    2048 + SIZE * u64::try_from(index).unwrap()
}

fn change_of(name: &str) -> String {
    format!("echo change >/sys/block/$(dmsetup info -c --noheadings -o blkdevname {name})/uevent")
}

/// Whatever comes of the test: what hangs is let go, so that it can be taken apart.
struct Release;

impl Drop for Release {
    fn drop(&mut self) {
        let names = TARGETS.map(|(name, ..)| name).join(" ");
        let _ = try_run(&format!(
            "echo 0 >{SCSI_DEBUG}/every_nth; echo 0 >{SCSI_DEBUG}/opts
            for name in suspended {names}; do dmsetup wipe_table --noudevsync --noflush --nolockfs $name || true; done
            dmsetup resume --noudevsync suspended || true"
        ));
    }
}

/// A PV in each trouble, and `quiet`, which is in none; each is a VG of its own.
struct Host {
    troubles: Vec<Trouble>,
    quiet: PathBuf,
    _release: Release,
    _machine: Machine,
}

impl Host {
    fn new() -> Host {
        let machine = Machine::udev();
        let release = Release;
        // Those of udev that read what is on a disk, and hang with it.
        machine.udev_rules("60-persistent-storage.rules", "");
        machine.udev_rules("60-persistent-storage-dm.rules", "");
        let silent = machine.disks(1, 16)[0].to_string();
        let name = silent.trim_start_matches("/dev/").to_owned();
        // What it does not answer is tried again after that.
        run(&format!("echo 10 >/sys/block/{name}/device/timeout; modprobe -a dm-delay dm-flakey"));
        let disk = machine.null_blks(1, 64)[0].display().to_string();
        // Without a queue of requests. Of a bio that was one of those, this kernel's dm-flakey corrupts nothing.
        run(&format!("cd {NULL_BLKS}/nullb0; echo 0 >power; echo 0 >queue_mode; echo 1 >power; udevadm settle"));
        let make = |name: &str, index: usize| {
            run(&format!("dmsetup create {name} --table '0 {SIZE} linear {disk} {}'", place(index)));
            format!("/dev/mapper/{name}")
        };
        let mut troubles = vec![
            Trouble {
                node: make("suspended", TARGETS.len()),
                pv: "e",
                begin: format!("dmsetup suspend --nolockfs suspended; {}", change_of("suspended")),
                end: "dmsetup resume --noudevsync suspended".into(),
                says: "the device-mapper device is suspended",
            },
            Trouble {
                pv: "f",
                begin: format!(
                    "echo 1 >{SCSI_DEBUG}/every_nth; echo 4 >{SCSI_DEBUG}/opts; echo change >/sys/block/{name}/uevent"
                ),
                end: format!("echo 0 >{SCSI_DEBUG}/every_nth; echo 0 >{SCSI_DEBUG}/opts"),
                says: "it did not answer within the deadline",
                node: silent,
            },
        ];
        for (index, (name, pv, target, says)) in TARGETS.into_iter().enumerate() {
            let node = make(name, index);
            let table = |target: &str| {
                let target = target.replace("DISK", &format!("{disk} {}", place(index)));
                format!(
                    "dmsetup load {name} --table '0 {SIZE} {target}'
                    dmsetup suspend --noflush --nolockfs {name}; dmsetup resume --noudevsync {name}"
                )
            };
            troubles.push(Trouble { node, pv, begin: table(target), end: table("linear DISK"), says });
        }
        run("udevadm settle");
        let quiet = machine.loop_device(16);
        let nodes = troubles.iter().map(|trouble| (trouble.pv, Path::new(&trouble.node)));
        for (pv, node) in nodes.chain([("quiet", quiet.as_path())]) {
            // Not all of the text is where the label is, and read with it.
            let text = [vg(&format!("vg{pv}"), 1, &[pv]), vec![b'#'; 8 << 10], b"\n".to_vec()].concat();
            write_pv(node, pv, Some(text));
        }
        run("udevadm settle");
        Host { troubles, quiet, _release: release, _machine: machine }
    }

    /// The quiet PV is changed, and the change served, though nobody asks for it.
    fn serves_the_rest(&self, daemons: &[&Daemon], seqno: i64) {
        write_pv(&self.quiet, "quiet", Some(vg("vgquiet", seqno, &["quiet"])));
        let is_served = |daemon: &&Daemon| daemon.vg_now("vgquiet").is_some_and(|vg| vg.seqno == seqno);
        wait_until("the change", || daemons.iter().all(is_served));
    }

    fn pvs(&self) -> Vec<String> {
        let mut pvs = self.troubles.iter().map(|trouble| hyphenated(trouble.pv)).collect::<Vec<_>>();
        pvs.push(hyphenated("quiet"));
        pvs.sort_unstable();
        pvs
    }
}

fn pvs(daemon: &Daemon) -> Vec<String> {
    daemon.pvs().into_keys().collect()
}

impl Trouble {
    /// Why it is not read, or what is wrong with what was.
    fn is_told(&self, daemon: &Daemon) -> bool {
        let shown = daemon.show_one(&self.node);
        let reason = shown["quarantine"]["reason"].as_str().unwrap_or_default();
        let codes = shown["findings"].as_array().unwrap().iter().filter_map(|finding| finding["code"].as_str());
        reason.starts_with(self.says) || codes.into_iter().any(|code| code == self.says)
    }

    fn is_over(&self, daemon: &Daemon) -> bool {
        let shown = daemon.show_one(&self.node);
        shown["quarantine"].is_null() && shown["findings"].as_array().unwrap().is_empty() && shown["dirty"] == false
    }
}

fn asked(daemon: &World, meanwhile: impl FnOnce()) -> Waits {
    let asking = Asking::begin(&daemon.socket(), CLIENTS);
    meanwhile();
    asking.end()
}

/// Of `pvwatch/reader`. Daemons with either are in the same trouble at once: most of the time is spent
/// waiting.
const READERS: [&str; 2] = ["auto", "pool"];

/// A daemon with each of [`READERS`], when both are ready.
fn start() -> [(World, Daemon); 2] {
    configure("");
    let both = READERS.map(|reader| {
        let world = World::new();
        let mut command = daemon_command(&world);
        let settings = format!("read_deadline={} reader=\"{reader}\"", DEADLINE.as_secs());
        let run_dir = world.run_dir().display().to_string();
        fs::write(world.path("own.conf"), format!("pvwatch {{ run_dir=\"{run_dir}\" {settings} }}\n")).unwrap();
        let daemon = world.spawn(&mut command);
        (world, daemon)
    });
    for (_, daemon) in &both {
        let status = || daemon.try_call("Status", &json!({}));
        wait_until("the daemon to be ready", || status().is_ok_and(|reply| reply["status"]["ready"] == true));
    }
    let engines = both.each_ref().map(|(_, daemon)| daemon.status()["readers"]["engine"].take());
    assert_eq!(engines, ["io_uring", "pool"]);
    both
}

#[test]
fn devices_that_come_into_trouble_while_clients_ask() {
    let host = Host::new();
    let both = start();
    let world = &both[0].0;
    let daemons = both.each_ref().map(|(_, daemon)| daemon);
    for daemon in daemons {
        daemon.settle();
        assert_eq!(pvs(daemon), host.pvs());
    }
    let before = asked(world, || std::thread::sleep(Duration::from_secs(2)));
    println!("{CLIENTS} clients, no trouble: {before}");
    for (seqno, trouble) in (2..).zip(&host.troubles) {
        let start = Instant::now();
        let during = asked(world, || {
            run(&trouble.begin);
            let is_told = || daemons.iter().all(|daemon| trouble.is_told(daemon));
            wait_until(&format!("it to be told of {}", trouble.node), is_told);
            host.serves_the_rest(&daemons, seqno);
        });
        let told = start.elapsed();
        // No device has gone, and no metadata is another; what has a wrong checksum is none, as for lvm.
        let name = format!("vg{}", trouble.pv);
        let is_as_before = |vg: &Option<Vg>| vg.as_ref().is_some_and(|vg| vg.is_complete() && vg.seqno == 1);
        for daemon in daemons {
            let vg = daemon.vg_now(&name);
            let is_right = if trouble.says == CORRUPT { vg.is_none() } else { is_as_before(&vg) };
            assert!(is_right, "{}: {vg:?}", trouble.node);
            assert_eq!(pvs(daemon), host.pvs(), "{}", trouble.node);
        }
        let end = Instant::now();
        run(&trouble.end);
        for daemon in daemons {
            wait_until(&format!("{} to be back", trouble.node), || trouble.is_over(daemon));
            let vg = daemon.vg_now(&name);
            assert!(is_as_before(&vg), "{}: {vg:?}", trouble.node);
        }
        println!("{}: told after {told:.1?}, back {:.1?} after its end; {during}", trouble.node, end.elapsed());
        assert!(during.longest() < DEADLINE, "{}: {during}", trouble.node);
    }
    for daemon in daemons {
        assert_eq!(daemon.settle(), [""; 0]);
        assert_eq!(pvs(daemon), host.pvs());
    }
}

fn is_there(process: Pid) -> bool {
    fs::exists(format!("/proc/{process}")).unwrap()
}

#[test]
fn devices_in_trouble_at_the_start_and_at_the_end() {
    let host = Host::new();
    host.troubles.iter().for_each(|trouble| drop(run(&trouble.begin)));
    let mut hanging = Vec::new();
    for seqno in 2..4 {
        let begin = Instant::now();
        let mut both = start();
        let ready = begin.elapsed();
        for trouble in &host.troubles {
            let is_told = || both.iter().all(|(_, daemon)| trouble.is_told(daemon));
            wait_until(&format!("it to be told of {}", trouble.node), is_told);
        }
        host.serves_the_rest(&both.each_ref().map(|(_, daemon)| daemon), seqno);
        for ((_, daemon), reader) in both.iter_mut().zip(READERS) {
            let readers = daemon.readers();
            let end = Instant::now();
            daemon.signal(Signal::SIGTERM);
            daemon.wait();
            let took = end.elapsed();
            let left = readers.into_iter().filter(|reader| is_there(*reader)).collect::<Vec<_>>();
            println!("{reader}: ready after {ready:.1?}, left {took:.1?} after SIGTERM, readers left behind: {left:?}");
            assert!(took < Duration::from_secs(5), "{took:?}");
            // What a ring waits for the kernel keeps by itself, without the process.
            assert!(reader == "auto" || !left.is_empty(), "a read hung");
            hanging.extend(left);
        }
    }
    let both = start();
    let end = Instant::now();
    for trouble in &host.troubles {
        run(&trouble.end);
        for (_, daemon) in &both {
            wait_until(&format!("{} to be back", trouble.node), || trouble.is_over(daemon));
        }
    }
    println!("all back {:.1?} after the first one's end", end.elapsed());
    for (_, daemon) in &both {
        assert_eq!(pvs(daemon), host.pvs());
        assert_eq!(daemon.settle(), [""; 0]);
    }
    wait_until("the readers left behind to go", || !hanging.iter().any(|reader| is_there(*reader)));
}
