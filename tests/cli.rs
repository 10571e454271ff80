//! `pvwatch`: what it prints and how it exits.

#[path = "common/mod.rs"]
mod common;
// The helpers of the unit tests name `DevNo` as the library does.
use pvwatch::devno;

use common::daemon::{Daemon, World};
use common::loops::attach_watched;
use common::testing::needs;
use common::{hyphenated, id, vg, wait_until, wait_until_stale, write_blank, write_pv};
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};

struct Ran {
    status: i32,
    stdout: String,
    stderr: String,
}

impl Ran {
    fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {}", self.stdout))
    }
}

fn command(world: &World) -> Command {
    world.command_of(env!("CARGO_BIN_EXE_pvwatch").as_ref())
}

/// Runs it and says if it does not exit as expected.
fn run<S: AsRef<OsStr>>(world: &World, expected: i32, arguments: impl IntoIterator<Item = S>) -> Ran {
    let output = command(world).args(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let status = output.status.code().expect("it exits by itself");
    let ran = Ran { status, stdout: text(output.stdout), stderr: text(output.stderr) };
    assert_eq!(ran.status, expected, "{}{}", ran.stdout, ran.stderr);
    assert_eq!(ran.stderr.is_empty(), expected == 0, "{}", ran.stderr);
    ran
}

fn keys(value: &Value) -> BTreeSet<&str> {
    value.as_object().unwrap_or_else(|| panic!("{value}")).keys().map(String::as_str).collect()
}

/// A VG of two PVs of which one is there, an orphan, a blank disk and one that hangs.
struct Machine {
    world: World,
    daemon: Daemon,
}

impl Machine {
    fn start() -> Machine {
        let world = World::new();
        world.configure("pvwatch { read_deadline=1 }");
        write_pv(&world.path("one"), "a", Some(vg("vg0", 7, &["a", "lost"])));
        write_pv(&world.path("two"), "b", None);
        write_blank(&world.path("blank"), 4 << 20);
        mkfifo(&world.path("hangs"), Mode::S_IRWXU).unwrap();
        let paths = ["one", "two", "blank", "hangs"].map(|name| world.path(name));
        let daemon = world.watch(&paths.each_ref().map(|path| path.as_path()));
        Machine { world, daemon }
    }

    fn path(&self, name: &str) -> String {
        self.world.path(name).display().to_string()
    }

    fn run(&self, expected: i32, arguments: &[&str]) -> Ran {
        run(&self.world, expected, arguments)
    }
}

#[test]
fn help_and_version() {
    let world = World::new();
    for option in ["-h", "--help"] {
        let help = run(&world, 0, [option]).stdout;
        for word in ["status", "dump", "rescan", "settle", "inspect", "pvscan", "--json", "--timeout", "Exit status"] {
            assert!(help.contains(word), "{word}");
        }
    }
    for option in ["-V", "--version"] {
        assert_eq!(run(&world, 0, [option]).stdout, format!("pvwatch {}\n", env!("CARGO_PKG_VERSION")));
    }
}

#[test]
fn wrong_usage_is_2() {
    let world = World::new();
    for (arguments, reason) in [
        (&[][..], "a command is needed"),
        (&["frobnicate"], "frobnicate"),
        (&["--frobnicate"], "--frobnicate"),
        (&["status", "-x"], "-x"),
        (&["status", "one", "two"], "two"),
        (&["dump", "operand"], "operand"),
        (&["settle", "operand"], "operand"),
        (&["settle", "--timeout"], "--timeout"),
        (&["settle", "--timeout", "soon"], "soon"),
        (&["settle", "--timeout", "-1"], "-1"),
        (&["inspect"], "inspect"),
        (&["--json", "vgs"], "--reportformat json"),
        (&["-s"], "-s"),
    ] {
        let ran = run(&world, 2, arguments);
        assert!(ran.stderr.contains(reason) && ran.stderr.contains("--help"), "{arguments:?}: {}", ran.stderr);
        assert_eq!(ran.stdout, "");
    }
}

#[test]
fn no_daemon_is_4() {
    let world = World::new();
    for command in [&["status"][..], &["status", "vg0"], &["dump"], &["rescan"], &["settle"]] {
        let ran = run(&world, 4, command);
        assert!(ran.stderr.contains("cannot reach the daemon at") && ran.stderr.contains("socket"), "{}", ran.stderr);
    }
    assert!(run(&world, 4, ["vgs"]).stderr.contains("systemctl start pvwatch"));
    // A stale socket, and one who hangs up.
    drop(UnixListener::bind(world.socket()).unwrap());
    wait_until_stale(&world.socket());
    run(&world, 4, ["status"]);
    fs::remove_file(world.socket()).unwrap();
    let listener = UnixListener::bind(world.socket()).unwrap();
    let hangs_up = std::thread::spawn(move || drop(listener.accept()));
    run(&world, 4, ["status"]);
    hangs_up.join().unwrap();
    // The option beats the environment.
    let ran = run(&world, 4, ["-s", "/nowhere/socket", "status"]);
    assert!(ran.stderr.contains("/nowhere/socket"), "{}", ran.stderr);
}

#[test]
fn not_in_time_is_5() {
    let world = World::new();
    mkfifo(&world.path("hangs"), Mode::S_IRWXU).unwrap();
    run(&world, 5, [OsStr::new("inspect"), world.path("hangs").as_os_str(), "--timeout".as_ref(), "0.2".as_ref()]);
    world.configure("pvwatch { read_deadline=3600 }");
    let mut command = world.command();
    let _daemon = world.spawn(command.arg("-f").arg("--devices").arg(world.path("hangs")));
    wait_until("its socket", || UnixStream::connect(world.socket()).is_ok());
    run(&world, 5, ["settle", "--timeout", "0.2"]);
    assert_eq!(run(&world, 0, ["status", "--json"]).json()["ready"], false);
}

#[test]
fn a_daemon_that_does_not_scan_settles_nothing() {
    let world = World::new();
    let _daemon = world.start(["--no-scan"]);
    for command in ["settle", "rescan"] {
        assert!(run(&world, 1, [command]).stderr.contains("--no-scan"));
    }
    assert!(run(&world, 0, ["status"]).stdout.contains("--no-scan"));
    run(&world, 0, ["dump"]);
}

#[test]
fn the_state_of_the_daemon() {
    let machine = Machine::start();
    let text = machine.run(0, &["status"]).stdout;
    for words in [
        &format!("(pid {})", machine.daemon.pid()),
        ", token \"filter:3239235440\"",
        "4 devices, 2 PVs, 1 VG (1 partial), 0 duplicates",
        "quarantined: ",
        "/hangs: it did not answer within the deadline",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    let status = machine.run(0, &["status", "--json"]).json();
    let expected = "version pid uptime state ready token counts flags events losses resyncs scans unwatched_nodes clients flapping \
                    inotify reread_interval readers run_files quarantined ambiguous activation";
    assert_eq!(keys(&status), expected.split_whitespace().collect());
    assert_eq!(status["pid"], machine.daemon.pid().as_raw());
    assert_eq!(status["quarantined"][0]["device"], machine.path("hangs"));
    assert_eq!(status["unwatched_nodes"], 0);
    assert!(status["readers"]["abandoned"].is_array());
}

#[test]
fn the_state_of_one_thing() {
    let machine = Machine::start();
    let text = machine.run(0, &["status", "vg0"]).stdout;
    let (here, lost) = (hyphenated("a"), hyphenated("lost"));
    assert!(text.starts_with(&format!("VG vg0 ({}), seqno 7: partial\n", hyphenated("vg0"))), "{text}");
    assert!(text.contains(&format!("PV {here} on {}\n", machine.path("one"))), "{text}");
    assert!(text.contains(&format!("PV {lost} is missing")), "{text}");
    let json = machine.run(0, &["status", "--json", "vg0"]).json();
    assert_eq!((&json[0]["kind"], &json[0]["status"]), (&json!("vg"), &json!("partial")));
    assert_eq!(json[0]["missing"], json!([lost]));

    // By its id, and a PV by either form of its; by a path and a relative one.
    assert_eq!(machine.run(0, &["status", &hyphenated("vg0")]).stdout.lines().next(), text.lines().next());
    for name in [here.as_str(), std::str::from_utf8(&id("a").0).unwrap(), &machine.path("one")] {
        let text = machine.run(0, &["status", name]).stdout;
        assert!(text.contains(&format!("PV {here}\n")), "{text}");
        assert!(text.contains("in VG vg0") && text.contains("enumeration"), "{text}");
        let json = machine.run(0, &["status", name, "--json"]).json();
        assert_eq!((&json[0]["kind"], &json[0]["verdict"]), (&json!("device"), &json!("pv")));
        assert_eq!((&json[0]["pv"]["id"], &json[0]["pv"]["vg"]["seqno"]), (&json!(here), &json!(7)));
    }
    assert!(machine.run(0, &["status", &lost]).stdout.contains("missing"));
    assert!(machine.run(0, &["status", &machine.path("blank")]).stdout.contains("not a PV"));
    assert!(machine.run(0, &["status", &machine.path("hangs")]).stdout.contains("within the deadline"));
    for name in ["nothing", "/nowhere", &hyphenated("nobody")] {
        assert!(machine.run(3, &["status", name]).stderr.contains(name));
        machine.run(3, &["status", "--json", name]);
    }
}

#[test]
fn copies_of_a_pv_say_so() {
    let world = World::new();
    let (one, two) = (world.path("one"), world.path("two"));
    for image in [&one, &two] {
        write_pv(image, "a", Some(vg("vg0", 7, &["a"])));
    }
    let daemon = world.watch(&[&one, &two]);
    let said = |thing: &str| run(&world, 0, ["status", thing]).stdout;
    let (first, second, pv) = (one.to_str().unwrap(), two.to_str().unwrap(), hyphenated("a"));
    let duplicate = format!("it is a duplicate: the PV is on {first}, because it was seen first\n");
    assert!(said(second).contains(&duplicate), "{}", said(second));
    assert!(said(first).contains(&format!("the same PV is also on {second}\n")), "{}", said(first));
    assert!(run(&world, 0, ["status"]).stdout.contains(" 1 duplicate,"));
    let json = run(&world, 0, ["status", "--json", second]).json()[0]["pv"].take();
    assert_eq!(
        (&json["duplicate_of"], &json["is_path"], &json["copies"]),
        (&json!(first), &json!(false), &json!([first]))
    );

    write_pv(&two, "a", Some(vg("vg0", 8, &["a"])));
    daemon.settle();
    let ambiguous = format!(
        "ambiguous: PV {pv} is on {first} and {second}, which differ: seqno 7 on {first}, seqno 8 on {second}; \
        none of them is used until the others are detached or filtered out\n"
    );
    for thing in [first, second, "vg0", &pv] {
        assert!(said(thing).contains(&ambiguous), "{thing}: {}", said(thing));
    }
    assert!(run(&world, 0, ["status"]).stdout.contains(&ambiguous));
    assert!(said("vg0").contains("seqno 8: partial"), "{}", said("vg0"));
}

#[test]
fn a_relative_path_is_of_the_directory_it_is_called_in() {
    let machine = Machine::start();
    for (command_name, expected) in [("status", "two"), ("rescan", "")] {
        let run = command(&machine.world).current_dir(machine.world.path("")).args([command_name, "./two"]).output();
        let run = run.unwrap();
        assert_eq!(run.status.code(), Some(0), "{command_name}: {}", String::from_utf8_lossy(&run.stderr));
        assert!(String::from_utf8_lossy(&run.stdout).contains(expected));
    }
}

#[test]
fn dump_rescan_and_settle() {
    let machine = Machine::start();
    let dump = machine.run(0, &["dump"]).stdout;
    assert!(dump.starts_with("# VG METADATA") && dump.contains("\"vg0\""), "{dump}");
    assert_eq!(machine.run(0, &["dump", "--json"]).json(), json!({ "text": dump }));

    let hangs = machine.path("hangs");
    assert_eq!(machine.run(0, &["settle"]).stdout, format!("quarantined: {hangs}\n"));
    assert_eq!(machine.run(0, &["settle", "--json", "--timeout", "60"]).json(), json!({ "quarantined": [hangs] }));

    let one = machine.path("one");
    assert_eq!(machine.run(0, &["rescan"]).stdout, "");
    assert_eq!(machine.run(0, &["rescan", &one]).stdout, "");
    assert_eq!(machine.run(0, &["rescan", "--json", &one]).json(), json!({ "devices": [one] }));
    assert!(machine.run(3, &["rescan", &one, "/nowhere"]).stderr.contains("/nowhere"));
    machine.daemon.settle();
    assert!(machine.run(0, &["status", &one]).stdout.contains("a request to rescan"));
}

#[test]
fn inspect_needs_no_daemon() {
    let world = World::new();
    let (pv, blank) = (world.path("pv"), world.path("blank"));
    write_pv(&pv, "a", Some(vg("vg0", 7, &["a"])));
    write_blank(&blank, 1 << 20);
    let text = run(&world, 0, [OsStr::new("inspect"), pv.as_os_str(), blank.as_os_str()]).stdout;
    assert!(text.contains(&format!("PV {} of VG vg0", hyphenated("a"))), "{text}");
    assert!(text.contains(&format!("{} (1048576 bytes): not a PV\n", blank.display())), "{text}");

    let json = run(&world, 0, [OsStr::new("inspect"), "--json".as_ref(), pv.as_os_str(), blank.as_os_str()]).json();
    let shapes = |value: &Value| keys(value).into_iter().collect::<Vec<_>>().join(" ");
    let [found, nothing] = &json.as_array().unwrap()[..] else { panic!("{json}") };
    for object in [found, nothing] {
        assert_eq!(shapes(object), "device findings member_of pv size verdict vg");
    }
    assert_eq!((&found["device"], &found["size"]), (&json!(pv), &json!(4 << 20)));
    assert_eq!((&found["verdict"], &found["findings"]), (&json!("pv"), &json!([])));
    assert_eq!(shapes(&found["pv"]), "bootloader_areas data_areas dev_size ext_version id in_use label_sector mdas");
    assert_eq!(found["pv"]["id"], hyphenated("a"));
    assert_eq!(found["pv"]["data_areas"], json!([[65_536, 0]]));
    let mda = &found["pv"]["mdas"][0];
    assert_eq!(shapes(mda), "ignored offset problem size text");
    assert_eq!(shapes(&mda["text"]), "checksum offset seqno size vg_id vg_name");
    let checksum = mda["text"]["checksum"].as_str().unwrap();
    assert!(checksum.len() == 8 && u32::from_str_radix(checksum, 16).is_ok(), "{checksum}");
    assert_eq!(found["vg"], json!({ "name": "vg0", "id": hyphenated("vg0"), "seqno": 7 }));
    assert_eq!((&nothing["verdict"], &nothing["pv"], &nothing["vg"]), (&json!("not_a_pv"), &json!(null), &json!(null)));
}

#[test]
fn inspect_shows_each_problem() {
    let world = World::new();
    let pv = world.path("pv");
    write_pv(&pv, "a", Some(vg("vg0", 7, &["a"])));
    // In the header of the metadata area.
    std::os::unix::fs::FileExt::write_all_at(&File::options().write(true).open(&pv).unwrap(), b"x", 4096 + 40).unwrap();
    let json = run(&world, 0, [OsStr::new("inspect"), "--json".as_ref(), pv.as_os_str()]).json();
    assert_eq!(json[0]["pv"]["mdas"][0]["problem"], "mda-header-crc");
    let findings = json[0]["findings"].as_array().unwrap();
    assert!(findings.iter().all(|finding| keys(finding) == BTreeSet::from(["code", "detail"])));
    assert!(findings.iter().any(|finding| finding["code"] == "mda-header-crc"));
    assert!(run(&world, 0, [OsStr::new("inspect"), pv.as_os_str()]).stdout.contains("  mda-header-crc: "));
}

#[test]
fn inspect_goes_on_after_a_device_that_cannot_be_read() {
    let world = World::new();
    let pv = world.path("pv");
    write_pv(&pv, "a", None);
    let directory = world.path("");
    let paths = |bad: &PathBuf| [OsString::from("inspect"), "--json".into(), bad.into(), pv.clone().into()];
    for (bad, status) in [("/nowhere".into(), 3), (directory, 1)] {
        let json = run(&world, status, paths(&bad)).json();
        assert_eq!(
            (&json[0]["verdict"], &json[0]["findings"][0]["code"]),
            (&json!("unreadable"), &json!("open-error"))
        );
        assert_eq!(json[1]["verdict"], "pv");
    }
}

#[test]
fn inspect_reads_devices() {
    let world = World::new();
    let pv = world.path("pv");
    write_pv(&pv, "a", None);
    let Some(loops) = needs("inspect_reads_devices", attach_watched(200, &[&pv])) else { return };
    let node = loops[0].node();
    let json = run(&world, 0, [OsStr::new("inspect"), "--json".as_ref(), node.as_os_str()]).json();
    assert_eq!((&json[0]["device"], &json[0]["size"]), (&json!(node), &json!(4 << 20)));
    assert_eq!(json[0]["pv"]["id"], hyphenated("a"));
    loops[0].detach();
    assert!(run(&world, 0, [OsStr::new("inspect"), node.as_os_str()]).stdout.contains("(0 bytes): not a PV"));
}

#[test]
fn a_reader_that_has_gone_is_no_error() {
    let machine = Machine::start();
    let one = machine.path("one");
    for arguments in [&["dump"][..], &["status"], &["status", "vg0", "--json"], &["--help"], &["inspect", &one]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = command(&machine.world).args(arguments).stdout(writer).stderr(Stdio::piped()).output().unwrap();
        assert_eq!((output.status.code(), output.stderr), (Some(0), vec![]), "{arguments:?}");
    }
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let status = command(&machine.world).args(["status", "nothing"]).stderr(writer).status().unwrap();
    assert_eq!(status.code(), Some(3), "nobody hears why");
    // A full disk is one.
    let full = File::options().write(true).open("/dev/full").unwrap();
    let output = command(&machine.world).arg("dump").stdout(full).stderr(Stdio::piped()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(!output.stderr.is_empty());
}

/// With a daemon, and without one for the next.
#[test]
fn inhibits_come_and_go() {
    let world = World::new();
    world.configure(&format!("pvwatch {{ state_dir=\"{}\" }}", world.path("state").display()));
    let pvwatch = |arguments: &[&str]| {
        let output = command(&world).arg("inhibit").args(arguments).output().unwrap();
        let complaint = String::from_utf8(output.stderr).unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap(), complaint)
    };
    for is_watched in [false, true] {
        write_pv(&world.path("a"), "a", None);
        let _daemon = is_watched.then(|| world.watch(&[&world.path("a")]));
        let (status, _, complaint) = pvwatch(&["vg0", "--for", "1h 30min"]);
        assert_eq!((status, complaint.contains("cannot reach the daemon")), (0, !is_watched), "{complaint}");
        assert_eq!(pvwatch(&["vg1"]).0, 0);
        assert_eq!(pvwatch(&["vg2", "--until", "2000-01-01T00:00:00Z"]).0, 2);
        assert_eq!(pvwatch(&[]).1, "vg0 for 90 min\nvg1 until it is lifted\n");
        let listed: Value = serde_json::from_str(&pvwatch(&["--json"]).1).unwrap();
        assert!((5000.0..=5400.0).contains(&listed[0]["seconds"].as_f64().unwrap()), "{listed}");
        assert_eq!(listed[1], json!({ "vg": "vg1", "seconds": null }));
        assert_eq!(pvwatch(&["vg0", "--lift"]).0, 0);
        assert_eq!(pvwatch(&["vg0", "--lift"]).0, 3);
        // The daemon that begins next still knows this one.
        assert_eq!(pvwatch(&[]).1, "vg1 until it is lifted\n");
    }
    for wrong in
        [&["../x"][..], &["--lift"], &["vg0", "vg1"], &["vg0", "--lift", "--for", "2h"], &["vg0", "--for", "2"]]
    {
        assert_eq!(pvwatch(wrong).0, 2, "{wrong:?}");
    }
    assert_eq!(pvwatch(&["vg0", "--for", "2h", "--until", "2999-01-01T00:00:00Z"]).0, 2);
    assert_eq!(pvwatch(&["vg0", "--for", "1h", "--for", "2h"]).0, 2);
}

/// What the daemon says is what a look without it finds.
#[test]
fn a_dry_run_asks_the_daemon() {
    let machine = Machine::start();
    write_pv(&machine.world.path("three"), "c", Some(vg("vg1", 7, &["c"])));
    let asked = machine.run(0, &["activate", "--dry-run", "--json"]).json();
    assert_eq!(
        (&asked[0]["vg"], &asked[0]["rule"], &asked[1]),
        (&json!("vg0"), &json!("nothing-to-activate"), &Value::Null)
    );
    machine.run(3, &["activate", "--dry-run", "vg1"]);
    machine.run(0, &["activate", "--dry-run", "vg0"]);
}
