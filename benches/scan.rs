//! What it takes to look at every device again, beside who else does it: run by `scripts/bench-scan`,
//! which tells how and what of.
//!
//! Each round does everything in turn, so that a busy machine hits all alike. The bound is what no
//! scan can do without: `lvmbench scan --mode uring`, which opens the devices and reads labels,
//! headers and texts without parsing them, and one plain pass over `/sys/class/block`.

use pvwatch::client;
use serde_json::{Value, json};
use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const USAGE: &str = "usage: scan LVMBENCH PVWATCHD LVM FIRST DEVICES VGS LVS ROUNDS [SLOW MILLISECONDS]";
/// The kernel counts in these, whatever the size of a device's blocks.
const SECTOR: u64 = 512;

fn main() {
    // What cargo adds of its own begins with a dash.
    let arguments = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect::<Vec<_>>();
    let [lvmbench, pvwatchd, lvm, numbers @ ..] = &arguments[..] else { fail(USAGE) };
    let numbers = numbers.iter().map(|text| text.parse().unwrap_or_else(|_| fail(USAGE))).collect::<Vec<u32>>();
    let (shape, slow) = numbers.split_at_checked(5).unwrap_or_else(|| fail(USAGE));
    let &[first, devices, vgs, lvs, rounds] = shape else { fail(USAGE) };
    let slow = match *slow {
        [] => None,
        [devices, milliseconds] => Some(Slow { devices, milliseconds }),
        _ => fail(USAGE),
    };
    let shape = Shape { first, devices, vgs, lvs, slow };
    let lab = Lab::set_up(lvmbench.as_ref(), pvwatchd.as_ref(), lvm.as_ref(), shape);
    for cold in [false, true] {
        lab.compare(cold, rounds);
    }
    if slow.is_none() {
        lab.count_calls();
    }
}

fn fail(message: &str) -> ! {
    eprintln!("{message}");
    std::process::exit(1)
}

/// DEVICES loop devices from FIRST on, in VGS VGs with LVS LVs each.
#[derive(Clone, Copy)]
struct Shape {
    first: u32,
    devices: u32,
    vgs: u32,
    lvs: u32,
    slow: Option<Slow>,
}

/// All are seen through device-mapper, and the first so many take so long for each read.
#[derive(Clone, Copy)]
struct Slow {
    devices: u32,
    milliseconds: u32,
}

/// Where the devices of device-mapper have the names that lvmbench knows them by.
const OTHER_NAMES: u32 = 20_000;
const MAPPED: &str = "scan";

/// One way to look at the devices.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Uring,
    UringDirect,
    Pass,
    Ours,
    Pvs,
    Pvscan,
}

const WAYS: [(Way, &str); 6] = [
    (Way::Uring, "lvmbench scan --mode uring"),
    (Way::UringDirect, "lvmbench scan --mode during"),
    (Way::Pass, "pass over /sys/class/block"),
    (Way::Ours, "pvwatchd, SIGHUP to settle"),
    (Way::Pvs, "lvm pvs"),
    (Way::Pvscan, "lvm pvscan --cache"),
];

struct Lab {
    lvmbench: PathBuf,
    lvm: PathBuf,
    shape: Shape,
    directory: tempfile::TempDir,
    daemon: Daemon,
}

struct Daemon {
    process: Child,
    socket: PathBuf,
}

impl Lab {
    fn set_up(lvmbench: &Path, pvwatchd: &Path, lvm: &Path, shape: Shape) -> Lab {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let images = directory.path().join("images");
        let pvs = shape.devices / shape.vgs;
        run(Command::new(lvmbench).arg("gen").arg("--dir").arg(&images).args(
            [("--vgs", shape.vgs), ("--pvs", pvs), ("--lvs", shape.lvs)]
                .iter()
                .flat_map(|(option, number)| [(*option).to_owned(), number.to_string()]),
        ));
        run(loops(lvmbench, shape, &images).arg("--up"));
        if let Some(slow) = shape.slow {
            map(shape, slow);
        }
        fs::write(directory.path().join("lvm.conf"), configuration(shape, directory.path())).expect("lvm.conf");
        let daemon = Daemon::start(pvwatchd, directory.path());
        Lab { lvmbench: lvmbench.into(), lvm: lvm.into(), shape, directory, daemon }
    }

    fn compare(&self, cold: bool, rounds: u32) {
        let mut walls = vec![Vec::new(); WAYS.len()];
        let mut bytes = vec![Vec::new(); WAYS.len()];
        for _ in 0..rounds {
            for (index, (way, _)) in WAYS.iter().enumerate() {
                if cold {
                    drop_caches();
                }
                let before = self.bytes_read();
                walls[index].push(self.go(*way).as_secs_f64() * 1e3);
                bytes[index].push((self.bytes_read() - before) as f64 / f64::from(self.shape.devices) / 1024.0);
            }
        }
        let Shape { devices, vgs, lvs, .. } = self.shape;
        println!(
            "\n{devices} devices, {vgs} VGs of {lvs} LVs, {}, {rounds} rounds",
            if cold { "cold" } else { "warm" }
        );
        println!("{:34} {:>10} {:>10} {:>12}", "", "median ms", "least ms", "KiB a device");
        for (index, (_, name)) in WAYS.iter().enumerate() {
            let (wall, least) = (median(&walls[index]), least(&walls[index]));
            println!("{name:34} {wall:10.2} {least:10.2} {:12.1}", median(&bytes[index]));
        }
        let at = |way| WAYS.iter().position(|(other, _)| *other == way).expect("it is one of them");
        let wall = |way| median(&walls[at(way)]);
        let ratio = |of: f64, to: f64| if to > 0.0 { of / to } else { f64::NAN };
        let bound = wall(Way::Uring) + wall(Way::Pass);
        println!("ours / (uring + pass)        {:6.2}", ratio(wall(Way::Ours), bound));
        println!(
            "ours / (direct uring + pass) {:6.2}",
            ratio(wall(Way::Ours), wall(Way::UringDirect) + wall(Way::Pass))
        );
        println!("pvs / ours                   {:6.2}", ratio(wall(Way::Pvs), wall(Way::Ours)));
        println!("pvscan / ours                {:6.2}", ratio(wall(Way::Pvscan), wall(Way::Ours)));
        println!(
            "bytes: pvs / ours            {:6.2}",
            ratio(median(&bytes[at(Way::Pvs)]), median(&bytes[at(Way::Ours)]))
        );
        println!("peak memory: daemon {} KiB, its readers {} KiB", self.daemon.peak(), self.daemon.readers_peak());
    }

    fn go(&self, way: Way) -> Duration {
        match way {
            // Its own figure, without the start of the program.
            Way::Uring | Way::UringDirect => {
                let mode = if way == Way::Uring { "uring" } else { "during" };
                let Shape { devices, .. } = self.shape;
                let first = if self.shape.slow.is_some() { OTHER_NAMES } else { self.shape.first };
                let head = if way == Way::Uring { "4096" } else { "16384" };
                let mut scan = Command::new(&self.lvmbench);
                scan.args(["scan", "--runs", "1", "--mode", mode, "--head", head]);
                scan.args(["--first", &first.to_string(), "--count", &devices.to_string()]);
                let said = output(&mut scan);
                let wall = said.split_whitespace().find_map(|word| word.strip_prefix("wall_ms="));
                Duration::from_secs_f64(wall.and_then(|ms| ms.parse::<f64>().ok()).expect("a wall time") / 1e3)
            }
            Way::Pass => timed(|| {
                let mut text = [0; 4096];
                for entry in fs::read_dir("/sys/class/block").expect("sysfs") {
                    let path = entry.expect("sysfs").path();
                    for name in ["dev", "size"] {
                        let _ = File::open(path.join(name)).and_then(|mut file| file.read(&mut text));
                    }
                }
            }),
            Way::Ours => self.daemon.look_again(),
            Way::Pvs => timed(|| drop(output(self.lvm_command().args(["pvs", "--noheadings"])))),
            Way::Pvscan => timed(|| drop(output(self.lvm_command().args(["pvscan", "--cache"])))),
        }
    }

    /// Those of one look at everything; on a traced process it would take too long to measure.
    fn count_calls(&self) {
        let process = self.daemon.process.id();
        let readers = children_of(process);
        let mut tracers = vec![trace(process, &self.directory.path().join("daemon.calls"))];
        let files = readers.iter().map(|reader| self.directory.path().join(format!("{reader}.calls")));
        let files = files.collect::<Vec<_>>();
        tracers.extend(readers.iter().zip(&files).map(|(reader, file)| trace(*reader, file)));
        std::thread::sleep(Duration::from_secs(1));
        self.daemon.look_again();
        for tracer in &mut tracers {
            let _ = Command::new("kill").args(["-INT", &tracer.id().to_string()]).status();
            let _ = tracer.wait();
        }
        let a_device = |calls: u64| calls as f64 / f64::from(self.shape.devices);
        let of_readers = files.iter().map(|file| calls_in(file)).sum();
        println!("system calls for each of the devices: reader {:.1}", a_device(of_readers));
        let others = fs::read_dir("/sys/class/block").expect("sysfs").count();
        let daemon = calls_in(&self.directory.path().join("daemon.calls"));
        println!("system calls of the daemon: {daemon}, for {others} devices of the machine");
    }

    fn lvm_command(&self) -> Command {
        let mut command = Command::new(&self.lvm);
        command.env("LVM_SYSTEM_DIR", self.directory.path()).env("LVM_SUPPRESS_FD_WARNINGS", "1");
        command
    }

    /// By the kernel's count.
    fn bytes_read(&self) -> u64 {
        let sectors = |number: u32| {
            let stat = fs::read_to_string(format!("/sys/block/loop{number}/stat")).unwrap_or_default();
            stat.split_whitespace().nth(2).and_then(|sectors| sectors.parse::<u64>().ok()).unwrap_or(0)
        };
        let Shape { first, devices, .. } = self.shape;
        (first..first + devices).map(sectors).sum::<u64>() * SECTOR
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let _ = self.daemon.process.kill();
        let _ = self.daemon.process.wait();
        let _ = loops(&self.lvmbench, self.shape, self.directory.path()).arg("--down").status();
    }
}

impl Daemon {
    fn start(pvwatchd: &Path, directory: &Path) -> Daemon {
        let socket = directory.join("socket");
        let process = Command::new(pvwatchd)
            .args(["-f", "-l", "error", "-s"])
            .arg(&socket)
            .arg("-p")
            .arg(directory.join("pid"))
            .env("LVM_SYSTEM_DIR", directory)
            .env("PVWATCH_SOCKET", directory.join("reports"))
            .stdin(Stdio::null())
            .spawn()
            .expect("pvwatchd");
        let daemon = Daemon { process, socket };
        let began = Instant::now();
        while daemon.call("Settle").is_err() {
            assert!(began.elapsed() < Duration::from_secs(60), "pvwatchd does not answer");
            std::thread::sleep(Duration::from_millis(20));
        }
        daemon
    }

    fn call(&self, method: &str) -> Result<Value, client::Error> {
        client::call(&self.socket, method, &json!({}), Some(Duration::from_secs(60)))
    }

    /// From the signal to the end of `settle`.
    fn look_again(&self) -> Duration {
        let resyncs = || self.call("Status").expect("a status")["status"]["resyncs"].as_u64().expect("a count");
        let before = resyncs();
        let process = nix::unistd::Pid::from_raw(self.process.id().try_into().expect("a process"));
        let wall = timed(|| {
            nix::sys::signal::kill(process, nix::sys::signal::Signal::SIGHUP).expect("the daemon is there");
            self.call("Settle").expect("it settles");
        });
        assert!(resyncs() > before, "it settled before the signal");
        wall
    }

    fn peak(&self) -> u64 {
        peak_of(self.process.id())
    }

    fn readers_peak(&self) -> u64 {
        children_of(self.process.id()).into_iter().map(peak_of).sum()
    }
}

fn children_of(process: u32) -> Vec<u32> {
    let children = fs::read_to_string(format!("/proc/{process}/task/{process}/children")).unwrap_or_default();
    children.split_whitespace().filter_map(|child| child.parse().ok()).collect()
}

fn trace(process: u32, file: &Path) -> Child {
    let mut strace = Command::new("strace");
    strace.args(["-qq", "-c", "-p", &process.to_string(), "-o"]).arg(file);
    strace.stdin(Stdio::null()).stderr(Stdio::null()).spawn().expect("strace")
}

/// The column `calls` of the last line, which is the sum.
fn calls_in(file: &Path) -> u64 {
    let text = fs::read_to_string(file).unwrap_or_default();
    let total = text.lines().rfind(|line| line.ends_with("total"));
    total.and_then(|line| line.split_whitespace().nth(3)?.parse().ok()).unwrap_or(0)
}

/// KiB.
fn peak_of(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// One device over each loop device, all made by one command.
fn map(shape: Shape, slow: Slow) {
    let table = |index: u32| {
        let number = shape.first + index;
        let sectors = fs::read_to_string(format!("/sys/block/loop{number}/size")).expect("a loop device");
        let sectors = sectors.trim();
        let target = if index < slow.devices { format!(" {}", slow.milliseconds) } else { String::new() };
        let kind = if index < slow.devices { "delay" } else { "linear" };
        format!("{MAPPED}{index},,,rw,0 {sectors} {kind} /dev/loop{number} 0{target}")
    };
    let tables = (0..shape.devices).map(table).collect::<Vec<_>>().join(";");
    // Nobody else is to look at them: udevd is best not running.
    run(Command::new("dmsetup").env("DM_DISABLE_UDEV", "1").args(["create", "--concise", &tables]));
    for index in 0..shape.devices {
        let stat = fs::metadata(mapped(&index.to_string())).expect("it was made just now").rdev();
        let (major, minor) = (nix::sys::stat::major(stat).to_string(), nix::sys::stat::minor(stat).to_string());
        run(Command::new("mknod").args([&format!("/dev/loop{}", OTHER_NAMES + index), "b", &major, &minor]));
    }
}

fn mapped(index: &str) -> String {
    format!("/dev/mapper/{MAPPED}{index}")
}

fn loops(lvmbench: &Path, shape: Shape, images: &Path) -> Command {
    let mut command = Command::new(lvmbench);
    command.arg("loops").args(["--first", &shape.first.to_string(), "--count", &shape.devices.to_string()]);
    command.arg("--dir").arg(images);
    command
}

/// The same for us and for lvm: these devices and no others, and nothing of either's is left behind.
fn configuration(shape: Shape, directory: &Path) -> String {
    let nodes = match shape.slow {
        None => (shape.first..shape.first + shape.devices).map(|number| format!("/dev/loop{number}$")).collect(),
        Some(_) => vec![mapped("[0-9]*$")],
    };
    let nodes = nodes.join("|");
    let locks = directory.join("locks");
    format!(
        "devices {{ global_filter = [ \"a#^({nodes})#\", \"r|.*|\" ] use_devicesfile = 0 hints = \"none\"\n\
         obtain_device_list_from_udev = 0 external_device_info_source = \"none\" }}\n\
         global {{ locking_dir = \"{}\" }}\nactivation {{ udev_sync = 0 udev_rules = 0 monitoring = 0 }}\n\
         backup {{ backup = 0 archive = 0 }}\npvwatch {{ run_dir = \"\" }}\n",
        locks.display()
    )
}

fn drop_caches() {
    let _ = Command::new("sync").status();
    fs::write("/proc/sys/vm/drop_caches", "3").expect("caches can be dropped");
}

fn timed(work: impl FnOnce()) -> Duration {
    let began = Instant::now();
    work();
    began.elapsed()
}

fn run(command: &mut Command) {
    drop(output(command));
}

fn output(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|error| fail(&format!("{command:?}: {error}")));
    if !output.status.success() {
        fail(&format!("{command:?}: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr)));
    }
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn least(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::INFINITY, f64::min)
}
