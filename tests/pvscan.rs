//! `pvwatch pvscan` against LVM's: what the real one did in the laboratory, and what it does here.
//!
//! Each command has a `/run` of its own, in a mount namespace, and its own configuration. The images
//! are no part of this repository: a plain clone skips the tests that need them, and says so.

#[path = "common/mod.rs"]
mod common;
use pvwatch::devno;

use common::daemon::World;
use common::loops::{Loop, kernel_events};
use common::testing::needs;
use common::{vg, write_blank, write_pv};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The words of LVM's udev rule.
const RULE: &str = "--cache --listvg --checkcomplete --vgonline --autoactivation event --udevoutput --journal=output";

/// The system ID of the laboratory, and no device but those of a test.
fn conf(loops: &[Loop]) -> String {
    let patterns = loops.iter().map(|device| format!("\"a|^/dev/loop{}$|\", ", device.number)).collect::<String>();
    format!(
        "config {{ checks=0 }}
devices {{ global_filter=[{patterns}\"r|.*|\"] use_devicesfile=0 obtain_device_list_from_udev=0 }}
activation {{ activation=0 udev_sync=0 udev_rules=0 monitoring=0 }}
backup {{ backup=0 archive=0 }}
global {{ system_id_source=\"lvmlocal\" }}
local {{ system_id=\"disklab\" }}
"
    )
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Who {
    Ours,
    Lvm,
}

/// A machine as one of the commands sees it: a directory that is its `/run`.
struct Run<'w> {
    world: &'w World,
    name: &'static str,
    who: Who,
}

#[derive(Debug, PartialEq, Eq)]
struct Ran {
    status: i32,
    /// With the number of the process replaced.
    stdout: String,
}

impl<'w> Run<'w> {
    fn new(world: &'w World, name: &'static str, who: Who) -> Run<'w> {
        let run = Run { world, name, who };
        run.clear();
        world.write_run_files_to(Path::new("/run/lvm"));
        run
    }

    fn clear(&self) {
        let _ = fs::remove_dir_all(self.directory());
        fs::create_dir_all(self.directory().join("lock")).unwrap();
    }

    fn directory(&self) -> PathBuf {
        self.world.path(self.name)
    }

    fn lvm(&self, path: &str) -> PathBuf {
        self.directory().join("lvm").join(path)
    }

    fn command<'a>(&self, words: impl IntoIterator<Item = &'a str>) -> Command {
        self.command_with(words, "true")
    }

    /// `before` is done in the namespace.
    fn command_with<'a>(&self, words: impl IntoIterator<Item = &'a str>, before: &str) -> Command {
        let script = format!("mount --make-rprivate / && mount --bind \"$0\" /run && {before} && exec \"$@\"");
        let mut command = self.world.command_of(Path::new("unshare"));
        command.args(["-m", "sh", "-c", &script]).arg(self.directory());
        match self.who {
            Who::Ours => command.arg(env!("CARGO_BIN_EXE_pvwatch")),
            Who::Lvm => command.arg("lvm"),
        };
        command.arg("pvscan").args(words).env("LVM_SUPPRESS_FD_WARNINGS", "1").env("LC_ALL", "C");
        command
    }

    fn run(&self, words: &str) -> Ran {
        ran(&mut self.command(words.split_whitespace()))
    }

    /// Every file, by its path, with the names that these devices have in the log of an arrival.
    fn files(&self, names: &BTreeMap<u32, String>) -> BTreeMap<String, String> {
        let mut files = BTreeMap::new();
        for directory in ["pvs_online", "vgs_online", "pvs_lookup"] {
            for entry in fs::read_dir(self.lvm(directory)).into_iter().flatten().flatten() {
                let mut text = fs::read_to_string(entry.path()).unwrap();
                for (number, name) in names {
                    text = text.replace(&format!("7:{number}\n"), &format!("7:MINOR({name})\n"));
                    text = text.replace(&format!("dev:/dev/loop{number}\n"), &format!("dev:/dev/{name}\n"));
                }
                files.insert(format!("{directory}/{}", entry.file_name().to_str().unwrap()), text);
            }
        }
        files
    }

    fn all_files(&self) -> BTreeMap<String, String> {
        self.files(&BTreeMap::new())
    }
}

fn ran(command: &mut Command) -> Ran {
    let output = command.output().unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    let lines = stdout.lines().map(|line| {
        match line.split_once("pvscan[").and_then(|(start, rest)| Some((start, rest.split_once(']')?.1))) {
            Some((start, rest)) => format!("{start}pvscan[]{rest}\n"),
            None => format!("{line}\n"),
        }
    });
    Ran { status: output.status.code().unwrap_or(-1), stdout: lines.collect() }
}

/// The folder of the images, when there is one.
fn folder() -> io::Result<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/vectors/disks");
    match folder.join("MANIFEST.json").is_file() {
        true => Ok(folder),
        false => Err(io::Error::other("there is no ../shared/vectors")),
    }
}

/// Unpacks an image, with holes.
fn unpack(world: &World, name: &str) -> io::Result<PathBuf> {
    let path = world.path(name);
    let mut packed = flate2::read::GzDecoder::new(File::open(folder()?.join(format!("{name}.gz")))?);
    let mut file = File::create(&path)?;
    let mut block = vec![0; 64 << 10];
    let mut size = 0;
    loop {
        let length = packed.read(&mut block)?;
        if length == 0 {
            file.set_len(size)?;
            return Ok(path);
        }
        size += length as u64;
        if block[..length].iter().all(|byte| *byte == 0) {
            file.seek(SeekFrom::Current(length.try_into().unwrap()))?;
        } else {
            file.write_all(&block[..length])?;
        }
    }
}

/// Attaches images to the numbers from `first` on.
fn attach(world: &World, first: u32, names: &[&str]) -> io::Result<Vec<Loop>> {
    let namespaces = Command::new("unshare").args(["-m", "true"]).status();
    if !namespaces.is_ok_and(|status| status.success()) {
        return Err(io::Error::other("mount namespaces need root"));
    }
    let paths = names.iter().map(|name| unpack(world, name)).collect::<io::Result<Vec<_>>>()?;
    (first..).zip(paths).map(|(number, path)| Loop::attach(number, &path)).collect()
}

/// PVs of our own making on the numbers from `first` on.
fn made(world: &World, first: u32, pvs: &[(&str, Option<Vec<u8>>)]) -> io::Result<Vec<Loop>> {
    let attach = |(number, (name, vg)): (u32, &(&str, Option<Vec<u8>>))| {
        let path = world.path(name);
        write_pv(&path, name.trim_end_matches("-again"), vg.clone());
        Loop::attach(number, &path)
    };
    let loops = (first..).zip(pvs).map(attach).collect::<io::Result<Vec<_>>>()?;
    world.configure(&conf(&loops));
    Ok(loops)
}

fn has_lvm() -> io::Result<()> {
    let run = Command::new("lvm").arg("version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    run.map(drop).map_err(|error| io::Error::new(error.kind(), format!("lvm (package lvm2): {error}")))
}

/// One arrival, as the log of the laboratory has it.
#[derive(Debug, Default)]
struct Arrival {
    image: String,
    status: i32,
    stdout: String,
    files: BTreeMap<String, String>,
}

/// The arrivals, and the names of the files that are left when the first device is removed.
fn parse_log(log: &str) -> (Vec<Arrival>, Vec<String>) {
    let (mut arrivals, mut left) = (Vec::<Arrival>::new(), Vec::new());
    let (mut removed, mut file, mut in_stdout) = (false, None, false);
    for line in log.lines() {
        if let Some(image) = line.strip_prefix("### ARRIVED ") {
            arrivals.push(Arrival { image: image.to_owned(), ..Arrival::default() });
            file = None;
        } else if line.starts_with("### REMOVE ") {
            removed = true;
        } else if removed {
            left.extend(Some(line.to_owned()).filter(|line| !line.starts_with("rc ")));
        } else if let Some(arrival) = arrivals.last_mut() {
            match (line.strip_prefix("rc "), line.strip_prefix("--file ")) {
                (Some(status), _) => arrival.status = status.parse().unwrap(),
                (_, Some(path)) => {
                    arrival.files.insert(path.to_owned(), String::new());
                    file = Some(path.to_owned());
                }
                _ if matches!(line, "--stdout" | "--stderr") => in_stdout = line == "--stdout",
                _ => match &file {
                    Some(path) => {
                        let content = arrival.files.get_mut(path).unwrap();
                        content.push_str(&format!("{}\n", line.strip_suffix('$').unwrap()));
                    }
                    None if in_stdout => arrival.stdout.push_str(&format!("{line}\n")),
                    None => {}
                },
            }
        }
    }
    (arrivals, left)
}

/// Where we are better than the log, as the README lists it.
fn better(event: &str, arrivals: &mut [Arrival], left: &mut Vec<String>) {
    // A label in another sector is one.
    if let Some(sector) = event.strip_prefix("expected/pvscan-labelsector") {
        let [arrival] = arrivals else { panic!("{sector}") };
        arrival.stdout = "LVM_VG_NAME_COMPLETE='vg_ls'\n".to_owned();
    }
    // The VG of a PV without text is found by its lookup.
    let is_textless = matches!(event, "expected/pvscan-mda0-textless-first.txt" | "expected/pvscan-ign.txt");
    if is_textless {
        left.retain(|path| path.starts_with("pvs_online/"));
    }
}

/// Where nothing is known but what comes online: the VG's name, and so the files.
fn is_better_and_unknown(event: &str) -> bool {
    event.starts_with("expected/pvscan-labelsector")
}

/// A set of images that were attached one after the other, and what came of it.
struct Set {
    event: String,
    arrivals: Vec<Arrival>,
    left: Vec<String>,
}

impl Set {
    /// All whose images are there.
    fn all(test: &str) -> Vec<Set> {
        let Some(folder) = needs(test, folder()) else { return Vec::new() };
        let manifest: Value = serde_json::from_reader(File::open(folder.join("MANIFEST.json")).unwrap()).unwrap();
        let sets = manifest["sets"].as_object().unwrap().values();
        let events = sets.flat_map(|set| set["pvscan_events"].as_array().into_iter().flatten());
        let mut sets = Vec::new();
        for event in events.filter_map(Value::as_str) {
            let (mut arrivals, mut left) = parse_log(&fs::read_to_string(folder.join(event)).unwrap());
            let mut images = arrivals.iter().map(|arrival| &arrival.image);
            if let Some(missing) = images.find(|image| !folder.join(format!("{image}.gz")).is_file()) {
                println!("skipped: {test}: {event}: there is no {missing}");
                continue;
            }
            better(event, &mut arrivals, &mut left);
            sets.push(Set { event: event.to_owned(), arrivals, left });
        }
        assert!(!sets.is_empty());
        sets
    }

    fn attach(&self, world: &World, first: u32) -> io::Result<Vec<Loop>> {
        let images = self.arrivals.iter().map(|arrival| arrival.image.as_str()).collect::<Vec<_>>();
        attach(world, first, &images)
    }

    /// Each arrives, then the first is removed.
    fn replay(&self, run: &Run, loops: &[Loop], arrive: impl Fn(usize), settle: impl Fn()) {
        let event = &self.event;
        let by_number = loops.iter().zip(&self.arrivals);
        let by_number = by_number.map(|(device, arrival)| (device.number, arrival.image.clone())).collect();
        for (index, (device, arrival)) in loops.iter().zip(&self.arrivals).enumerate() {
            arrive(index);
            let ran = run.run(&format!("{RULE} /dev/loop{}", device.number));
            let files = run.files(&by_number);
            if is_better_and_unknown(event) {
                assert!(ran.stdout.starts_with("LVM_VG_NAME_COMPLETE='"), "{event}: {}", ran.stdout);
                assert_eq!((ran.status, files.len()), (0, 2), "{event}");
                continue;
            }
            let expected = Ran { status: arrival.status, stdout: arrival.stdout.clone() };
            assert_eq!(ran, expected, "{event}: {}", arrival.image);
            assert_eq!(files, arrival.files, "{event}: {}", arrival.image);
        }
        loops[0].detach();
        assert_eq!(run.run(&format!("--cache 7:{}", loops[0].number)).status, 0);
        settle();
        assert_eq!(run.files(&by_number).into_keys().collect::<Vec<_>>(), self.left, "{event}: removal");
    }
}

#[test]
fn arrivals_as_in_the_laboratory() {
    let test = "arrivals_as_in_the_laboratory";
    for set in Set::all(test) {
        let world = World::new();
        let Some(loops) = needs(test, set.attach(&world, 410)) else { return };
        world.configure(&conf(&loops));
        set.replay(&Run::new(&world, "ours", Who::Ours), &loops, |_| {}, || {});
    }
}

/// The daemon sees them come, and is asked before it has settled.
#[test]
fn arrivals_with_a_daemon() {
    let test = "arrivals_with_a_daemon";
    for mut set in Set::all(test) {
        // The second has the PV when the first is gone and it has been read again, which the daemon
        // does by itself.
        if set.event == "expected/pvscan-dup.txt" {
            let files = set.arrivals[0].files.keys();
            set.left = files.filter(|path| path.starts_with("pvs_online/")).cloned().collect();
        }
        let world = World::new();
        let Some(loops) = needs(test, set.attach(&world, 450)) else { return };
        let Some(()) = needs(test, kernel_events(loops[0].number)) else { return };
        loops.iter().for_each(Loop::detach);
        let run = Run::new(&world, "ours", Who::Ours);
        world.configure(&conf(&loops));
        world.write_run_files_to(&run.lvm(""));
        let nodes = loops.iter().map(Loop::node).collect::<Vec<_>>();
        let daemon = world.watch(&nodes.iter().map(PathBuf::as_path).collect::<Vec<_>>());
        let arrive = |index: usize| loops[index].attach_again(&world.path(&set.arrivals[index].image));
        set.replay(&run, &loops, arrive, || drop(daemon.settle()));
    }
}

/// Runs both and compares what they say, how they exit, and the files they leave.
struct Both<'w> {
    ours: Run<'w>,
    lvm: Run<'w>,
}

impl<'w> Both<'w> {
    fn new(world: &'w World) -> Both<'w> {
        Both { ours: Run::new(world, "ours", Who::Ours), lvm: Run::new(world, "lvm", Who::Lvm) }
    }

    fn check(&self, words: &str) {
        let (ours, mut lvm) = (self.ours.run(words), self.lvm.run(words));
        // It retries what it finds damaged, and says so.
        lvm.stdout = lvm.stdout.replace("  Retrying metadata scan.\n", "");
        assert_eq!(ours, lvm, "{words}");
        assert_eq!(self.ours.all_files(), self.lvm.all_files(), "{words}");
        // Asked for all devices, LVM makes new hints itself.
        let makes_hints = self.lvm.lvm("hints").exists();
        assert_eq!(self.ours.lvm("newhints").exists(), self.lvm.lvm("newhints").exists() || makes_hints, "{words}");
    }

    fn clear(&self) {
        self.ours.clear();
        self.lvm.clear();
    }
}

/// The sets whose arrivals are compared. One of `dup` must not be asked for together with the other.
const SETS: &[&[&str]] = &[
    &["plain"],
    &["orphan"],
    &["foreign"],
    &["shared"],
    &["ownid"],
    &["lvm1"],
    &["zero"],
    &["mda2"],
    &["dup-a", "dup-b"],
    &["mda0-orphan"],
    &["mda0-a"],
    &["oldseq-b", "oldseq-a"],
    &["missing-a", "missing-b"],
    &["lvt-1", "lvt-2", "lvt-3", "lvt-4", "lvt-5"],
    &["c-uuid-mismatch"],
    &["c-pvh-uuid-odd"],
    &["c-ext-v1"],
    &["c-text-unknownseg"],
    &["c-mda1-text"],
    &["c-dev-smaller"],
    &["c-label-two"],
];

/// Each option with each other that it can be with.
fn combinations() -> Vec<String> {
    let mut all = vec!["--cache".to_owned(), "--listvg".to_owned(), "--listlvs".to_owned()];
    for list in ["--listvg", "--listlvs"] {
        for options in 0..8 {
            let mut words = format!("--cache {list}");
            let choices = ["--checkcomplete", "--vgonline", "--udevoutput --autoactivation event"];
            for (bit, option) in choices.iter().enumerate().filter(|(bit, _)| options & 1 << bit != 0) {
                if list == "--listvg" || bit < 2 {
                    words = format!("{words} {option}");
                }
            }
            if !all.contains(&words) {
                all.push(words);
            }
        }
    }
    all
}

#[test]
fn each_combination_of_options_as_lvm() {
    let test = "each_combination_of_options_as_lvm";
    let (Some(_), Some(())) = (needs(test, folder()), needs(test, has_lvm())) else { return };
    for set in SETS {
        let world = World::new();
        let images = set.iter().map(|image| format!("{image}.img")).collect::<Vec<_>>();
        let images = images.iter().map(String::as_str).collect::<Vec<_>>();
        if images.iter().any(|image| !folder().unwrap().join(format!("{image}.gz")).is_file()) {
            println!("skipped: {test}: {set:?}: there is no such image");
            continue;
        }
        let Some(loops) = needs(test, attach(&world, 420, &images)) else { return };
        world.configure(&conf(&loops));
        let both = Both::new(&world);
        for words in combinations() {
            for device in &loops {
                both.check(&format!("{words} /dev/loop{}", device.number));
            }
            both.check(&format!("{words} 7:{}", loops[0].number));
            both.clear();
        }
        // All that there is; then one goes.
        if set[0] != "dup-a" {
            both.check("--cache");
            both.ours.clear();
            both.lvm.clear();
            for device in &loops {
                both.check(&format!("--cache --listvg --checkcomplete --vgonline /dev/loop{}", device.number));
            }
            if set[0] != "mda0-a" {
                loops[0].detach();
                both.check(&format!("--cache 7:{}", loops[0].number));
            }
        }
    }
}

#[test]
fn each_refusal_as_lvm() {
    let world = World::new();
    let test = "each_refusal_as_lvm";
    let (Some(loops), Some(())) =
        (needs(test, made(&world, 430, &[("a", Some(vg("vg0", 1, &["a"])))])), needs(test, has_lvm()))
    else {
        return;
    };
    let both = Both::new(&world);
    let device = format!("/dev/loop{}", loops[0].number);
    for words in [
        "--cache --listvg --listlvs DEV",
        "--cache --listlvs --udevoutput DEV",
        "--cache --listlvs --autoactivation event DEV",
        "--cache --checkcomplete DEV",
        "--cache --vgonline DEV",
        "--cache --udevoutput DEV",
        "--cache --autoactivation event DEV",
        "--listvg --checkcomplete DEV",
        "--listlvs --vgonline DEV",
        "--cache --listvg",
        "--listvg",
        "--cache --listvg DEV DEV",
        "--cache --listvg --major 7 --minor 430",
        "--cache --listvg -b DEV",
        "--cache --listvg --reportformat json DEV",
        "--cache --listvg --noudevsync DEV",
        "--cache --major 7",
        "--cache --minor 430",
        "--cache --major x --minor 430",
        "--cache --major 7 --minor -1",
        "--cache -a y DEV",
        "-a ay DEV",
        "--cache --frob DEV",
        "--cache --list DEV",
        "--cache --cache DEV",
        "--cache --listvg --listvg DEV",
        "--cache -e DEV",
        "--cache -s DEV",
        "--cache --config x{ DEV",
        "--cache --reportformat xml DEV",
        "--cache --driverloaded maybe DEV",
        "--cache --journal",
    ] {
        assert_eq!(both.ours.run(&words.replace("DEV", &device)).status, 3, "{words}");
        both.check(&words.replace("DEV", &device));
    }
    for words in [
        "--cache 7:430",
        "--cache 7:430junk",
        "--cache 7: 7:x loop430 DEV",
        "--cache -j 7 --minor=430",
        "--cache --major 7 --minor 430 --major 7 --minor 499 DEV",
        "--cache /dev/null /dev /etc/passwd /dev/nowhere 7:1000000",
        "--cac --listv DEV",
        "--cache --listvg --autoactivation sysinit DEV",
        "--cache -qq -yt --nolocking --nohints --noudevsync --reportformat json DEV",
        "--cache --devicesfile= DEV",
        "--cache --journal output DEV",
        "--cache --config global/event_activation=0 DEV",
        "--cache --config global/event_activation=0 --listvg DEV",
        "--cache --config global/event_activation=0 --listvg --checkcomplete DEV",
        "--cache --config global/event_activation=0 --listvg --checkcomplete --udevoutput DEV",
        "--cache --config global/event_activation=0",
        "--cache --config devices/global_filter=\"r|.*|\" DEV",
        "--cache --config devices/pv_min_size=10000 DEV",
    ] {
        assert_eq!(both.ours.run(&words.replace("DEV", &device)).status, 0, "{words}");
        both.check(&words.replace("DEV", &device));
    }
}

/// Of so many that find a VG complete at the same time, one is told.
#[test]
fn one_of_fifty_is_told() {
    let world = World::new();
    let text = || Some(vg("vg0", 1, &["a", "b", "c"]));
    let pvs = [("a", text()), ("b", text()), ("c", text())];
    let Some(loops) = needs("one_of_fifty_is_told", made(&world, 433, &pvs)) else { return };
    let run = Run::new(&world, "ours", Who::Ours);
    for _ in 0..3 {
        run.clear();
        let start = |number: usize| {
            let device = format!("/dev/loop{}", loops[number % loops.len()].number);
            let words = format!("{RULE} {device}");
            run.command(words.split_whitespace()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        };
        let racers = (0..50).map(start).collect::<Vec<_>>();
        let outputs = racers.into_iter().map(|racer| racer.wait_with_output().unwrap()).collect::<Vec<_>>();
        let told = outputs.iter().filter(|output| output.stdout == b"LVM_VG_NAME_COMPLETE='vg0'\n").count();
        let failed = outputs.iter().find(|output| !output.status.success());
        assert!(failed.is_none(), "{failed:?}");
        assert_eq!((told, run.all_files().len()), (1, 5));
    }
}

/// What LVM gets wrong, as the README lists it.
#[test]
fn better_than_lvm() {
    let world = World::new();
    let pvs = [("a", Some(vg("vg0", 1, &["a"]))), ("a-again", Some(vg("vg0", 1, &["a"])))];
    let Some(loops) = needs("better_than_lvm", made(&world, 436, &pvs)) else { return };
    let run = Run::new(&world, "ours", Who::Ours);
    let [first, second] = &loops[..] else { panic!() };
    let scan = |device: &Loop| run.run(&format!("{RULE} /dev/loop{}", device.number));
    let complete = Ran { status: 0, stdout: "LVM_VG_NAME_COMPLETE='vg0'\n".to_owned() };
    let silent = |status| Ran { status, stdout: String::new() };

    // A torn record, and one of somebody else, is nobody's.
    let path = run.lvm(&format!("pvs_online/{}", std::str::from_utf8(&common::id("a").0).unwrap()));
    assert_eq!(scan(first), complete);
    for torn in ["", "7", "nonsense"] {
        fs::write(&path, torn).unwrap();
        assert_eq!(scan(first), silent(0), "{torn}");
        let expected = format!("7:{0}\nvg:vg0\ndev:/dev/loop{0}\n", first.number);
        assert_eq!(fs::read_to_string(&path).unwrap(), expected);
    }
    // A second device is a duplicate for as long as the first is there.
    assert_eq!(scan(second), silent(5));
    first.detach();
    assert_eq!(scan(second), complete);
    assert!(fs::read_to_string(&path).unwrap().starts_with(&format!("7:{}\n", second.number)));
    // One whose node is there still, and nothing behind it, is gone by its name, too.
    second.detach();
    assert_eq!(run.run(&format!("--cache /dev/loop{}", second.number)), silent(0));
    assert!(run.all_files().is_empty());
    // It is another disk now.
    let blank = world.path("blank");
    write_blank(&blank, 4 << 20);
    first.attach_again(&world.path("a"));
    assert_eq!(scan(first), complete);
    first.detach();
    first.attach_again(&blank);
    second.attach_again(&world.path("a"));
    assert_eq!(scan(second), complete);
}

#[test]
fn what_cannot_be_recorded_is_5() {
    let world = World::new();
    let Some(loops) = needs("what_cannot_be_recorded_is_5", made(&world, 438, &[("a", Some(vg("vg0", 1, &["a"])))]))
    else {
        return;
    };
    let run = Run::new(&world, "ours", Who::Ours);
    let device = format!("/dev/loop{}", loops[0].number);
    for (before, reason) in [
        ("mount -o remount,bind,ro /run", "Read-only"),
        ("touch /run/lvm", "lvm"),
        ("rm -f /run/lvm && mount -t tmpfs -o nr_inodes=5 none /run", "No space"),
        ("mount -t tmpfs -o nr_inodes=6 none /run", "No space"),
        ("mount -t tmpfs -o size=4k,nr_inodes=100 none /run && head -c 4096 /dev/zero > /run/full", "No space"),
    ] {
        let words = format!("{RULE} {device}");
        let output = run.command_with(words.split_whitespace(), before).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(5), &b""[..]), "{before}: {stderr}");
        assert!(stderr.contains(reason) && stderr.lines().count() == 1, "{before}: {stderr}");
    }
}

#[test]
fn in_the_background() {
    let world = World::new();
    let Some(loops) = needs("in_the_background", made(&world, 439, &[("a", Some(vg("vg0", 1, &["a"])))])) else {
        return;
    };
    let run = Run::new(&world, "ours", Who::Ours);
    let ran = run.run(&format!("--background --cache --major 7 --minor {}", loops[0].number));
    assert_eq!(ran, Ran { status: 0, stdout: String::new() });
    common::wait_until("the PV to be recorded", || run.all_files().len() == 1);
}

#[test]
fn the_journal_has_it() {
    let world = World::new();
    let Some(loops) = needs("the_journal_has_it", made(&world, 440, &[("a", Some(vg("vg0", 1, &["a"])))])) else {
        return;
    };
    let run = Run::new(&world, "ours", Who::Ours);
    fs::create_dir_all(run.directory().join("systemd/journal")).unwrap();
    let journal = std::os::unix::net::UnixDatagram::bind(run.directory().join("systemd/journal/socket")).unwrap();
    journal.set_nonblocking(true).unwrap();
    let entries = |words: &str| {
        let ran = run.run(&format!("{words} /dev/loop{}", loops[0].number));
        let mut entries = Vec::new();
        let mut entry = [0; 4096];
        while let Ok(length) = journal.recv(&mut entry) {
            entries.push(String::from_utf8_lossy(&entry[..length]).into_owned());
        }
        (ran.stdout, entries)
    };
    let message = "MESSAGE=PV /dev/loop440 online, VG vg0 is complete.\nPRIORITY=4\nSYSLOG_IDENTIFIER=lvm\n";
    assert_eq!(entries(RULE), ("LVM_VG_NAME_COMPLETE='vg0'\n".to_owned(), vec![message.to_owned()]));
    let (stdout, command) = entries("--cache --journal command");
    assert_eq!(stdout, "  pvscan[] PV /dev/loop440 online.\n");
    assert!(command.len() == 1 && command[0].contains("LVM_CMD_NAME=pvscan\n"), "{command:?}");
    assert_eq!(entries("--cache --journal debug").1.len(), 2);
    // It stands still: nobody waits for it. Each sender has room for less than the queue has.
    let socket = run.directory().join("systemd/journal/socket");
    let senders = std::iter::from_fn(|| {
        let sender = std::os::unix::net::UnixDatagram::unbound().unwrap();
        sender.set_nonblocking(true).unwrap();
        sender.send_to(b"MESSAGE=x\n", &socket).ok().map(|_| {
            while sender.send_to(b"MESSAGE=x\n", &socket).is_ok() {}
            sender
        })
    });
    let _senders = senders.collect::<Vec<_>>();
    assert_eq!(run.run(&format!("{RULE} /dev/loop440")).status, 0);
}
