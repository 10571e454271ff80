//! A daemon that watches the machine while the real lvm works, and what both have to agree on.

use crate::common::daemon::{Daemon, World};
use crate::common::wait_until;
use crate::fresh;
use crate::guest::{device_number, run, try_run};
use nix::libc::O_NONBLOCK;
use nix::sys::signal::Signal;
use pvwatch::conf::Settings;
use pvwatch::devno::DevNo;
use pvwatch::inspect;
use pvwatch::ondisk::crc;
use pvwatch::scan::Verdict;
use pvwatch::text::{self, Section};
use pvwatch::watcher::Watcher;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use tempfile::TempDir;

/// Debian's settings, less what starts daemons of lvm's own and keeps copies.
const LVMLOCAL: &str = "activation { monitoring=0 }\nbackup { backup=0 archive=0 }\nglobal { use_lvmpolld=0 }\n";
const LVMLOCAL_PATH: &str = "/etc/lvm/lvmlocal.conf";

/// The daemon under test, and what else is needed to judge it.
pub struct Scene {
    pub daemon: Daemon,
    pub world: World,
    /// What `pvwatch inspect` said of a device when `pvck` agreed.
    inspected: BTreeMap<String, Value>,
    /// Of both, laid over the machine's own.
    settings: String,
    began: std::time::Instant,
}

/// One VG, as either side has it.
#[derive(Debug, PartialEq, Eq)]
struct Group {
    name: String,
    seqno: i64,
    /// The number of the device that each PV is on; `None` for a missing one.
    pvs: BTreeMap<String, Option<i64>>,
    /// Names by id, with all that is internal. Those of an exported VG lvm does not tell.
    lvs: BTreeMap<String, String>,
}

/// What is on the disks, as either side has it.
#[derive(Debug, PartialEq, Eq)]
struct Picture {
    vgs: BTreeMap<String, Group>,
    /// The PVs that are there: device and VG.
    pvs: BTreeMap<String, (i64, String)>,
}

impl Scene {
    pub fn begin() -> Scene {
        Scene::begin_with("", |_, _| {})
    }

    /// With settings for lvm and the daemon, and a word in how the daemon is started.
    pub fn begin_with(settings: &str, prepare: impl FnOnce(&World, &mut Command)) -> Scene {
        configure(settings);
        let world = World::new();
        let mut command = daemon_command(&world);
        prepare(&world, &mut command);
        let daemon = world.start_command(&mut command);
        Scene {
            daemon,
            world,
            inspected: BTreeMap::new(),
            settings: format!("{LVMLOCAL}{settings}"),
            began: std::time::Instant::now(),
        }
    }

    /// Other settings for both; the daemon takes them over.
    pub fn reconfigure(&mut self, settings: &str) {
        configure(settings);
        self.settings = format!("{LVMLOCAL}{settings}");
        let resyncs = || self.daemon.status()["resyncs"].as_u64().unwrap();
        let before = resyncs();
        self.daemon.signal(Signal::SIGHUP);
        wait_until("the new settings to be read", || resyncs() > before);
    }

    /// The missing PVs of `vg0`.
    pub fn missing(&self) -> Vec<String> {
        self.daemon.vg("vg0").unwrap().missing
    }

    /// A shell script of commands; then both sides agree.
    pub fn step(&mut self, script: &str) {
        run(script);
        let ran = self.began.elapsed();
        self.agree(script);
        // How long it all takes is for the reader of the log.
        println!(
            "{:6.1} s, {:4.1} s to agree: {script}",
            ran.as_secs_f64(),
            (self.began.elapsed() - ran).as_secs_f64()
        );
    }

    /// After everything that has happened: the cache is what a daemon finds that has just been
    /// started, it is what lvm finds, and of each PV `pvwatch inspect` says what `pvck` says.
    pub fn agree(&mut self, step: &str) {
        assert_eq!(self.daemon.settle(), [""; 0], "{step}");
        let dump = self.dump();
        let fresh = fresh::scan(self.settings());
        let there = dump_of(&fresh);
        same_dump(&dump, &there, &format!("the cache (-) and a fresh scan (+) after: {step}"));
        let ours = self.ours(&dump);
        let changed = self.changed_pvs(&ours, &fresh);
        // By the headers, texts with the same checksum are the same.
        let mut checked = BTreeSet::new();
        let mut areas = |inspected: &Value| {
            let mdas = (1..).zip(inspected["pv"]["mdas"].as_array().unwrap());
            let new = mdas.filter(|(_, mda)| checked.insert(mda["text"]["checksum"].to_string()));
            new.map(|(area, _)| area).collect()
        };
        let report = Report::make(changed.iter().map(|(node, inspected)| (node.as_str(), areas(inspected))));
        assert_eq!(ours, report.picture, "pvwatchd (left) and lvm (right) after: {step}");
        for ((node, inspected), pvck) in changed.into_iter().zip(&report.pvcks) {
            pvck.check(&inspected, &format!("{node} after: {step}\n{inspected:#}"));
            self.inspected.insert(node, inspected);
        }
        // These take a second look.
        wait_until("both to have the same outdated PVs", || outdated(&self.dump()) == outdated(&there));
    }

    /// The programs themselves say what was taken for theirs.
    pub fn end(mut self) {
        self.agree("the end");
        let world = World::new();
        let fresh = world.start_command(&mut daemon_command(&world));
        same_dump(&self.dump(), &dump(&fresh), "the cache (-) and that of another daemon (+)");
        let nodes = self.daemon.pvs().into_values().map(node_of).collect::<Vec<_>>();
        if !nodes.is_empty() {
            let printed = run(&format!("{} inspect --json {}", program("pvwatch").display(), nodes.join(" ")));
            let inspected: Vec<Value> = serde_json::from_str(&printed).unwrap();
            let expected = nodes.iter().map(|node| self.inspected[node].clone()).collect::<Vec<_>>();
            assert_eq!(inspected, expected);
        }
    }

    fn settings(&self) -> Settings {
        Settings::read(&text::parse(self.settings.as_bytes()).unwrap()).unwrap()
    }

    /// Everything in the cache, as of now.
    pub fn dump(&self) -> String {
        dump(&self.daemon)
    }

    fn ours(&self, dump: &str) -> Picture {
        let dump = text::parse(dump.as_bytes()).unwrap();
        let names = dump.section("vgid_to_vgname").into_iter().flat_map(|section| &section.0);
        let vgs = names.map(|node| {
            let vgid = text_of(&node.key);
            let answer = self.daemon.ask(&format!("request=\"vg_lookup\" uuid=\"{vgid}\" token=\"skip\""));
            let section = answer.section();
            let metadata = section.section("metadata").unwrap();
            let children = |path: &str| metadata.section(path).into_iter().flat_map(Section::sections);
            let id = |section: &Section| text_of(section.str("id").unwrap());
            let pvs = children("physical_volumes").map(|(_, pv)| (id(pv), pv.int("device")));
            // The metadata has an LV for the tie of a snapshot to its origin, which lvm hides.
            let lvs = children("logical_volumes").filter(|(_, lv)| !is_snapshot_tie(lv) && !is_exported(metadata));
            let group = Group {
                name: text_of(section.str("name").unwrap()),
                seqno: metadata.int("seqno").unwrap(),
                pvs: pvs.collect(),
                lvs: lvs.map(|(name, lv)| (id(lv), text_of(name))).collect(),
            };
            (vgid, group)
        });
        let vgs = vgs.collect();
        let list = self.daemon.ask("request=\"pv_list\" token=\"skip\"");
        let list = list.section();
        let listed = list.section("physical_volumes").into_iter().flat_map(Section::sections);
        let pvs = listed.map(|(pvid, pv)| {
            let vgid = pv.str("vgid").map(text_of).unwrap_or_default();
            (text_of(pvid), (pv.int("device").unwrap(), vgid))
        });
        Picture { vgs, pvs: pvs.collect() }
    }

    /// The nodes of PVs of which there is something else to say than there was, with what.
    fn changed_pvs(&self, ours: &Picture, fresh: &Watcher) -> BTreeMap<String, Value> {
        let devices = ours.pvs.values().map(|(device, _)| &fresh.devices()[&DevNo::from_wire(*device)]);
        let pvs = devices.filter_map(|device| Some((device, device.pv()?)));
        let inspected = pvs.map(|(device, pv)| {
            let node = device.path();
            let inspected =
                inspect::to_json(&node, device.facts.size, &Verdict::Pv(Box::new(pv.clone())), &device.facts.stack);
            (node, inspected)
        });
        inspected.filter(|(node, inspected)| self.inspected.get(node) != Some(inspected)).collect()
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let _ = fs::remove_file(LVMLOCAL_PATH);
    }
}

/// Of strace's log of opens: names below /dev, as they were given.
pub fn opened_names(log: &str) -> BTreeSet<String> {
    let opened = log.lines().filter_map(|line| line.split('"').nth(1)).filter(|name| name.starts_with("/dev/"));
    opened.filter(|name| !Path::new(name).is_dir() && *name != "/dev/null").map(str::to_owned).collect()
}

/// The nodes that daemons and their readers have opened since this was asked last, by the kernel's own
/// account: who traces system calls does not see what is opened by io_uring.
pub struct Opened {
    trace: File,
}

const TRACING: &str = "/sys/kernel/tracing";
/// The daemon; its readers, which are `/proc/self/exe` to the kernel; and the kernel's threads for theirs.
const OPENERS: &str = "comm == \"pvwatchd\" || comm == \"exe\" || comm ~ \"iou-wrk-*\"";

impl Opened {
    /// A scene with everything recorded that is opened.
    pub fn begin(settings: &str) -> (Scene, Opened) {
        run(&format!(
            "mountpoint -q {TRACING} || mount -t tracefs tracefs {TRACING}
            cd {TRACING}; echo 'p:opened do_filp_open name=+0(+0($arg2)):string' >kprobe_events
            echo 'name ~ \"/dev/*\" && ({OPENERS})' >events/kprobes/opened/filter
            echo 1 >events/kprobes/opened/enable"
        ));
        let trace = File::options().read(true).custom_flags(O_NONBLOCK).open(format!("{TRACING}/trace_pipe"));
        let opened = Opened { trace: trace.unwrap() };
        (Scene::begin_with(settings, |_, _| {}), opened)
    }

    /// The names below /dev, as they were given.
    pub fn names(&mut self) -> BTreeSet<String> {
        let mut trace = Vec::new();
        // The end is that there is nothing more for now.
        let end = self.trace.read_to_end(&mut trace).unwrap_err();
        assert_eq!(end.kind(), ErrorKind::WouldBlock, "{end}");
        let trace = text_of(trace);
        assert!(!trace.contains("LOST"), "{trace}");
        opened_names(&trace)
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        try_run(&format!("cd {TRACING}; echo 0 >events/kprobes/opened/enable; echo >kprobe_events"));
    }
}

/// Settings of lvm and of the daemon for what is run from now on.
pub fn configure(settings: &str) {
    fs::write(LVMLOCAL_PATH, format!("{LVMLOCAL}{settings}\n")).unwrap();
}

/// A copy in memory of one of our programs: to start one from where they were built is slow.
pub fn program(name: &str) -> PathBuf {
    static DIRECTORY: OnceLock<TempDir> = OnceLock::new();
    let directory = DIRECTORY.get_or_init(|| {
        let directory = tempfile::tempdir().unwrap();
        let programs = [env!("CARGO_BIN_EXE_pvwatch"), env!("CARGO_BIN_EXE_pvwatchd")];
        run(&format!("cp {} {}", programs.join(" "), directory.path().display()));
        directory
    });
    directory.path().join(name)
}

/// The machine's own settings, and run files of its own.
pub fn daemon_command(world: &World) -> Command {
    let run_dir = world.run_dir().display().to_string();
    fs::write(world.path("own.conf"), format!("pvwatch {{ run_dir=\"{run_dir}\" }}\n")).unwrap();
    let mut command = world.command_of(&program("pvwatchd"));
    command.arg("-f").args(["--config".as_ref(), world.path("own.conf").as_os_str()]);
    command.env("LVM_SYSTEM_DIR", "/etc/lvm");
    command
}

fn dump(daemon: &Daemon) -> String {
    daemon.call("Dump", &json!({}))["text"].as_str().unwrap().trim_end().to_owned()
}

fn dump_of(watcher: &Watcher) -> String {
    let reply = text_of(watcher.cache().dump_reply());
    reply.strip_suffix(text_of(text::TERMINATOR).as_str()).unwrap().trim_end().to_owned()
}

/// But for what takes a second look.
fn same_dump(one: &str, other: &str, what: &str) {
    let [one, other] = [one, other].map(without_outdated);
    if one != other {
        let lines = |text: &str| text.lines().map(str::to_owned).collect::<BTreeSet<_>>();
        let (ones, others) = (lines(&one), lines(&other));
        let only = |sign: char, lines: &BTreeSet<String>, but: &BTreeSet<String>| {
            lines.difference(but).map(|line| format!("{sign} {line}\n")).collect::<String>()
        };
        panic!("{what}\n{}{}", only('-', &ones, &others), only('+', &others, &ones));
    }
}

const OUTDATED: &str = "# VGID to outdated PVs mapping";

fn without_outdated(dump: &str) -> String {
    let (before, rest) = dump.split_once(OUTDATED).unwrap();
    let (_, after) = rest.split_once("\n# ").unwrap();
    format!("{before}# {after}")
}

fn outdated(dump: &str) -> &str {
    let (_, rest) = dump.split_once(OUTDATED).unwrap();
    rest.split_once("\n# ").unwrap().0
}

fn text_of(bytes: impl AsRef<[u8]>) -> String {
    String::from_utf8_lossy(bytes.as_ref()).into_owned()
}

fn is_exported(vg: &Section) -> bool {
    vg.value("status").is_some_and(|status| status.strings().any(|flag| flag == b"EXPORTED"))
}

fn is_snapshot_tie(lv: &Section) -> bool {
    lv.section("segment1").and_then(|segment| segment.str("type")) == Some(b"snapshot")
}

/// The kernel's name of the device.
fn node_of(device: i64) -> String {
    let devno = DevNo::from_wire(device);
    let directory = fs::canonicalize(format!("/sys/dev/block/{devno}")).unwrap();
    format!("/dev/{}", directory.file_name().unwrap().to_str().unwrap())
}

/// What lvm says.
struct Report {
    picture: Picture,
    pvcks: Vec<Pvck>,
}

/// `pvck --dump` of one device.
struct Pvck {
    headers: BTreeMap<String, String>,
    /// The text of each metadata area, unless another device has the same.
    texts: [Option<Vec<u8>>; 2],
}

impl Report {
    /// One process does it all: starting many is slow here.
    fn make<'n>(nodes: impl Iterator<Item = (&'n str, Vec<usize>)>) -> Report {
        let directory = tempfile::tempdir().unwrap();
        let file = |node: usize, area: usize| directory.path().join(format!("{node}-{area}"));
        let mut commands = String::new();
        for (command, fields) in [
            ("vgs", "vg_uuid,vg_name,vg_seqno"),
            ("pvs", "pv_uuid,pv_name,vg_uuid"),
            ("lvs -a", "lv_uuid,lv_name,vg_uuid"),
        ] {
            writeln!(commands, "{command} --noheadings --nameprefixes -o {fields}").unwrap();
        }
        let mut count = 0;
        for (index, (node, areas)) in nodes.enumerate() {
            writeln!(commands, "pvck --dump headers {node}").unwrap();
            for area in areas {
                let file = file(index, area).display().to_string();
                writeln!(commands, "pvck --dump metadata --settings mda_num={area} -f {file} {node}").unwrap();
            }
            count += 1;
        }
        let said = lvm_shell(&commands);
        let mut pvcks = Vec::<Pvck>::new();
        let (mut vgs, mut pvs) = (BTreeMap::new(), BTreeMap::new());
        for line in said.lines() {
            let line = line.trim();
            let fields = nameprefixed(line);
            if fields.contains_key("LVM2_VG_SEQNO") {
                let group = Group {
                    name: fields["LVM2_VG_NAME"].into(),
                    seqno: fields["LVM2_VG_SEQNO"].parse().unwrap(),
                    pvs: BTreeMap::new(),
                    lvs: BTreeMap::new(),
                };
                vgs.insert(fields["LVM2_VG_UUID"].to_owned(), group);
            } else if let Some(pvid) = fields.get("LVM2_PV_UUID").copied() {
                let (name, vgid) = (fields["LVM2_PV_NAME"], fields["LVM2_VG_UUID"]);
                let device = (name != "[unknown]").then(|| device_number(Path::new(name)));
                if !vgid.is_empty() {
                    vgs.get_mut(vgid).unwrap().pvs.insert(pvid.to_owned(), device);
                }
                pvs.extend(device.map(|device| (pvid.to_owned(), (device, vgid.to_owned()))));
            } else if let Some(lvid) = fields.get("LVM2_LV_UUID").copied() {
                let name = fields["LVM2_LV_NAME"].trim_matches(['[', ']']);
                vgs.get_mut(fields["LVM2_VG_UUID"]).unwrap().lvs.insert(lvid.to_owned(), name.to_owned());
            } else if let Some((name, value)) = line.split_once(' ') {
                if name == "label_header" {
                    let index = pvcks.len();
                    let texts = [1, 2].map(|area| fs::read(file(index, area)).ok().filter(|text| !text.is_empty()));
                    pvcks.push(Pvck { headers: BTreeMap::new(), texts });
                }
                pvcks.last_mut().map(|pvck| pvck.headers.insert(name.to_owned(), value.trim().to_owned()));
            }
        }
        assert_eq!(pvcks.len(), count, "{said}");
        Report { picture: Picture { vgs, pvs }, pvcks }
    }
}

fn lvm_shell(commands: &str) -> String {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), commands).unwrap();
    // Its status is that of its last command; it complains of missing PVs, too.
    let output = try_run(&format!("LC_ALL=C lvm <{}", file.path().display()));
    text_of(&output.stdout)
}

/// `LVM2_VG_NAME='vg0' LVM2_VG_UUID=''`
fn nameprefixed(line: &str) -> BTreeMap<&str, &str> {
    let fields = line.split("' ").filter_map(|field| field.split_once("='"));
    fields.map(|(name, value)| (name, value.trim_end_matches('\''))).collect()
}

fn number(text: &str) -> u64 {
    let text = text.split_whitespace().next().unwrap();
    match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).unwrap(),
        None => text.parse().unwrap(),
    }
}

impl Pvck {
    fn check(&self, inspected: &Value, context: &str) {
        let context = format!("{context}\n{:#?}", self.headers);
        self.check_headers(inspected, &context);
        for (mda, text) in inspected["pv"]["mdas"].as_array().unwrap().iter().zip(&self.texts) {
            if let Some(text) = text {
                check_text(&mda["text"], text.clone(), &context);
            }
        }
    }

    /// Label, PV header, and the headers of the metadata areas.
    fn check_headers(&self, inspected: &Value, context: &str) {
        let headers = &self.headers;
        let header = |name: &str| number(headers.get(name).unwrap_or_else(|| panic!("no {name}: {context}")));
        let pv = &inspected["pv"];
        assert_eq!(pv["id"].as_str().unwrap().replace('-', ""), headers["pv_header.pv_uuid"], "{context}");
        assert_eq!(pv["label_sector"], header("label_header.sector"), "{context}");
        assert_eq!(pv["dev_size"], header("pv_header.device_size"), "{context}");
        assert_eq!(pv["ext_version"], header("pv_header_extension.version"), "{context}");
        assert_eq!(pv["in_use"], header("pv_header_extension.flags") & 1 == 1, "{context}");
        // Two lists, each with an end.
        let locations = (0..).map_while(|index| {
            let name = format!("pv_header.disk_locn[{index}]");
            headers.contains_key(&name).then(|| [header(&format!("{name}.offset")), header(&format!("{name}.size"))])
        });
        let locations = locations.collect::<Vec<_>>();
        let mut lists = locations.split(|location| *location == [0, 0]);
        assert_eq!(pv["data_areas"], json!(lists.next().unwrap()), "{context}");
        let areas = lists.next().unwrap();
        let mdas = pv["mdas"].as_array().unwrap();
        assert_eq!(mdas.len(), areas.len(), "{context}");
        for (index, (mda, area)) in mdas.iter().zip(areas).enumerate() {
            let name = format!("mda_header_{}", index + 1);
            let location = |field: &str| header(&format!("{name}.raw_locn[0].{field}"));
            assert_eq!([&mda["offset"], &mda["size"]], [&Value::from(area[0]), &Value::from(area[1])], "{context}");
            assert_eq!([header(&format!("{name}.start")), header(&format!("{name}.size"))], *area, "{context}");
            assert_eq!(mda["ignored"], location("flags") & 1 == 1, "{context}");
            assert_eq!(mda["problem"], Value::Null, "{context}");
            let text = &mda["text"];
            if text.is_null() {
                assert!(location("offset") == 0 || mda["ignored"] == true, "{context}");
                continue;
            }
            assert_eq!(text["offset"], location("offset"), "{context}");
            assert_eq!(text["size"], location("size"), "{context}");
            assert_eq!(text["checksum"], format!("{:08x}", location("checksum")), "{context}");
        }
    }
}

/// What `pvck` took from the disk has our checksum, and is of the same VG.
fn check_text(found: &Value, mut dumped: Vec<u8>, context: &str) {
    while dumped.last().is_some_and(|byte| *byte == 0) {
        dumped.pop();
    }
    let parsed = text::parse(&dumped).unwrap_or_else(|error| panic!("{error}: {context}"));
    let (vg_name, vg) = parsed.sections().next().unwrap();
    assert_eq!(found["vg_name"], text_of(vg_name), "{context}");
    assert_eq!(found["vg_id"], text_of(vg.str("id").unwrap()), "{context}");
    assert_eq!(found["seqno"], vg.int("seqno").unwrap(), "{context}");
    // On the disk it ends with a NUL.
    dumped.push(0);
    assert_eq!(found["size"], dumped.len(), "{context}");
    assert_eq!(found["checksum"], format!("{:08x}", crc(&[&dumped])), "{context}");
}

/// A file system on an LV that somebody writes to.
pub struct InUse {
    directory: TempDir,
    rounds: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
    writer: Option<JoinHandle<()>>,
}

impl InUse {
    pub fn begin(lv: &str) -> InUse {
        let directory = tempfile::tempdir().unwrap();
        run(&format!("mke2fs -q -t ext4 {lv}; mount {lv} {}", directory.path().display()));
        let (rounds, over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let writer = {
            let (path, rounds, over) = (directory.path().join("file"), Arc::clone(&rounds), Arc::clone(&over));
            std::thread::spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    write_round(&path, rounds.fetch_add(1, Ordering::Relaxed));
                    std::thread::sleep(std::time::Duration::from_millis(50));
                }
            })
        };
        InUse { directory, rounds, over, writer: Some(writer) }
    }

    fn file(&self) -> PathBuf {
        self.directory.path().join("file")
    }

    /// What was written last is what is read from the LV.
    pub fn end(mut self) {
        self.stop();
        let round = self.rounds.load(Ordering::Relaxed) - 1;
        run("echo 3 >/proc/sys/vm/drop_caches");
        assert_eq!(fs::read(self.file()).unwrap(), contents(round), "round {round}");
    }

    fn stop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(writer) = self.writer.take() {
            let result = writer.join();
            assert!(std::thread::panicking() || result.is_ok(), "it could not be written to");
        }
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        self.stop();
        run(&format!("umount {}", self.directory.path().display()));
    }
}

fn contents(round: u64) -> Vec<u8> {
    format!("round {round:8}\n").repeat(1000).into_bytes()
}

fn write_round(path: &Path, round: u64) {
    let mut file = File::create(path).unwrap();
    file.write_all(&contents(round)).unwrap();
    file.sync_all().unwrap();
}
