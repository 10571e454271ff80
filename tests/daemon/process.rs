//! Starting, stopping, and what happens to the files.

use crate::common::daemon::{Client, DEFAULT_TOKEN, World};
use crate::common::{hyphenated, vg, wait_for, wait_until, wait_until_stale, write_pv};
use nix::sys::signal::{Signal, kill};
use nix::sys::stat::Mode;
use nix::unistd::{Pid, mkfifo};
use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

fn run(command: &mut Command) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = command.output().unwrap();
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

#[test]
fn help_and_version() {
    let world = World::new();
    for option in ["-h", "--help"] {
        let (status, stdout, stderr) = run(world.command().arg(option));
        assert_eq!((status, stderr.as_str()), (Some(0), ""));
        for option in ["-f", "-l", "-p", "-s", "-t", "-V", "-h", "--no-scan", "--devices", "--config"] {
            assert!(stdout.contains(&format!("{option} ")) || stdout.contains(&format!("{option},")), "{option}");
        }
    }
    for option in ["-V", "--version"] {
        let (status, stdout, _) = run(world.command().arg(option));
        assert_eq!(status, Some(0));
        assert_eq!(stdout, format!("pvwatchd version: {} (lvmetad protocol 1)\n", env!("CARGO_PKG_VERSION")));
    }
}

#[test]
fn nobody_has_to_read_the_help() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let status = World::new().command().arg("-h").stdout(writer).status().unwrap();
    assert_eq!(status.code(), Some(0));
}

#[test]
fn a_wrong_command_line_says_what_is_wrong() {
    let world = World::new();
    for (arguments, status, reason) in [
        (&["-f", "--bogus"][..], 2, "--bogus"),
        (&["-f", "-?"], 2, "-?"),
        (&["-f", "operand"], 2, "operand"),
        (&["-f", "-s"], 2, "-s"),
        (&["-f", "-t", "soon"], 1, "soon"),
        (&["-f", "-t", "-1"], 1, "-1"),
        (&["-f", "--devices", "a,,b"], 2, "a,,b"),
        (&["-f", "--no-scan", "--devices", "a"], 2, "--devices"),
        (&["-f", "--config", "/nowhere/conf"], 1, "/nowhere/conf"),
    ] {
        let (found, stdout, stderr) = run(world.command().args(arguments));
        assert_eq!((found, stdout.as_str()), (Some(status), ""), "{arguments:?}");
        assert!(stderr.contains(reason), "{arguments:?}: {stderr}");
        assert!(!world.socket().exists() && !world.pid_file().exists());
    }
}

#[test]
fn a_wrong_configuration_says_what_is_wrong() {
    let world = World::new();
    for (conf, reason) in [
        ("devices {", "lvm.conf"),
        ("devices { global_filter=[\"x|y|\"] }", "global_filter"),
        ("pvwatch { read_deadline=0 }", "pvwatch/read_deadline"),
    ] {
        world.configure(conf);
        let (status, _, stderr) = run(world.command().arg("-f"));
        assert_eq!(status, Some(1), "{conf}");
        assert!(stderr.contains(reason), "{conf}: {stderr}");
    }
    world.configure("");
    world.start(["--no-scan"]);
}

#[test]
fn options_beat_the_environment() {
    let world = World::new();
    let (socket, pid) = (world.path("other-socket"), world.path("other-pid"));
    let mut command = world.command();
    let mut daemon = world.spawn(command.args(["-f", "--no-scan", "-s"]).arg(&socket).arg("-p").arg(&pid));
    wait_until("its socket", || UnixStream::connect(&socket).is_ok());
    assert!(pid.exists() && !world.socket().exists() && !world.pid_file().exists());
    assert_eq!(Client::connect(&socket).ask("request=\"hello\"").response(), "OK");
    daemon.signal(Signal::SIGTERM);
    assert!(daemon.wait().success());
}

#[test]
fn the_pid_file_is_written_locked_and_removed() {
    let world = World::new();
    let mut daemon = world.start(["--no-scan"]);
    assert_eq!(fs::read_to_string(world.pid_file()).unwrap(), format!("{}\n", daemon.pid()));
    assert_eq!(fs::metadata(world.pid_file()).unwrap().permissions().mode() & 0o777, 0o644);
    // A second one, in the foreground and in the background.
    for options in [&["-f", "--no-scan"][..], &["--no-scan"]] {
        let (status, _, stderr) = run(world.command().args(options).arg("-s").arg(world.path("second")));
        assert_eq!(status, Some(13));
        assert!(stderr.contains("locked by another daemon"), "{stderr}");
    }
    assert_eq!(fs::read_to_string(world.pid_file()).unwrap(), format!("{}\n", daemon.pid()));
    assert_eq!(daemon.ask("request=\"hello\"").response(), "OK");
    daemon.signal(Signal::SIGTERM);
    assert!(daemon.wait().success());
    assert!(!world.pid_file().exists() && !world.socket().exists());
}

#[test]
fn what_a_killed_daemon_left_is_taken_over() {
    let world = World::new();
    let mut daemon = world.start(["--no-scan"]);
    daemon.signal(Signal::SIGKILL);
    daemon.wait();
    assert!(world.socket().exists() && world.pid_file().exists());
    let daemon = world.start(["--no-scan"]);
    assert_eq!(fs::read_to_string(world.pid_file()).unwrap(), format!("{}\n", daemon.pid()));
    assert_eq!(daemon.ask("request=\"hello\"").response(), "OK");
}

#[test]
fn what_is_not_a_stale_socket_of_ours_stays() {
    let world = World::new();
    let refused = |reason: &str| {
        for options in [&["-f", "--no-scan"][..], &["--no-scan"]] {
            let (status, _, stderr) = run(world.command().args(options));
            assert_eq!(status, Some(1), "{options:?} {reason}");
            assert!(stderr.contains(reason), "{stderr}");
            assert!(!world.pid_file().exists());
        }
    };
    fs::write(world.socket(), "mine").unwrap();
    refused("not a socket");
    assert_eq!(fs::read(world.socket()).unwrap(), b"mine");
    fs::remove_file(world.socket()).unwrap();

    drop(UnixListener::bind(world.socket()).unwrap());
    fs::set_permissions(world.socket(), fs::Permissions::from_mode(0o770)).unwrap();
    refused("770");
    fs::remove_file(world.socket()).unwrap();

    let listener = UnixListener::bind(world.socket()).unwrap();
    fs::set_permissions(world.socket(), fs::Permissions::from_mode(0o700)).unwrap();
    refused("another daemon answers");
    drop(listener);
    // Now nobody does.
    wait_until_stale(&world.socket());
    world.start(["--no-scan"]);
}

#[test]
fn only_our_own_user_can_connect() {
    let world = World::new();
    let _daemon = world.start(["--no-scan"]);
    assert_eq!(fs::symlink_metadata(world.socket()).unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn by_the_name_lvmetad_it_is_the_same() {
    let world = World::new();
    let link = world.path("lvmetad");
    symlink(env!("CARGO_BIN_EXE_pvwatchd"), &link).unwrap();
    let image = world.path("image");
    write_pv(&image, "a", None);
    let mut command = world.command_of(&link);
    let daemon = world.start_command(command.arg("-f").arg("--devices").arg(&image));
    assert!(daemon.pvs().contains_key(&hyphenated("a")), "its readers are started by that name too");
}

#[test]
fn the_parent_returns_when_the_socket_answers_and_the_pid_file_is_written() {
    let world = World::new();
    let image = world.path("image");
    write_pv(&image, "a", None);
    // Relative paths are of the directory it was started in.
    let mut command = world.command();
    command.current_dir(world.path("")).args(["-s", "socket", "-p", "pid", "--devices", "image"]);
    let (status, stdout, stderr) = run(&mut command);
    assert_eq!((status, stdout.as_str(), stderr.as_str()), (Some(0), "", ""));
    let pid = fs::read_to_string(world.pid_file()).unwrap();
    let pid = Pid::from_raw(pid.strip_suffix('\n').unwrap().parse().unwrap());
    let _killed = KillAtEnd(pid);
    let mut client = Client::connect(&world.socket());
    assert_eq!(client.ask("request=\"hello\"").response(), "OK");
    wait_until("the PV", || {
        let request = format!("request=\"pv_lookup\" token=\"skip\" uuid=\"{}\"", hyphenated("a"));
        client.ask(&request).response() == "OK"
    });
    drop(client);
    kill(pid, Signal::SIGTERM).unwrap();
    wait_until("it to leave", || !world.socket().exists() && !world.pid_file().exists());
}

/// A process that is not our child.
struct KillAtEnd(Pid);

impl Drop for KillAtEnd {
    fn drop(&mut self) {
        let _ = kill(self.0, Signal::SIGKILL);
    }
}

/// Who started it may wait for the end of a pipe that the daemon knows nothing of.
#[test]
fn in_the_background_nothing_inherited_stays_open() {
    let world = World::new();
    let mut shell = world.command_of(Path::new("sh"));
    shell.args(["-c", "(exec 9>&1; \"$0\" --no-scan >&2) | timeout 20 cat"]).arg(env!("CARGO_BIN_EXE_pvwatchd"));
    let (status, ..) = run(&mut shell);
    let pid = fs::read_to_string(world.pid_file()).unwrap().trim().parse().unwrap();
    kill(Pid::from_raw(pid), Signal::SIGTERM).unwrap();
    assert_eq!(status, Some(0), "cat saw no end");
}

#[test]
fn the_parent_fails_when_the_socket_cannot_be_made() {
    let world = World::new();
    let (status, _, stderr) = run(world.command().args(["--no-scan", "-s", "/nowhere/socket"]));
    assert_eq!(status, Some(1));
    assert!(stderr.contains("/nowhere"), "{stderr}");
    assert!(!world.pid_file().exists());
    let (status, _, stderr) = run(world.command().args(["--no-scan", "-p", "/nowhere/pid"]));
    assert_eq!(status, Some(1));
    assert!(stderr.contains("/nowhere/pid"), "{stderr}");
}

#[test]
fn systemds_socket_is_used_and_left() {
    let world = World::new();
    let listener = UnixListener::bind(world.socket()).unwrap();
    let script = r#"export SD_ACTIVATION=1 LISTEN_PID=$$ LISTEN_FDS=1; exec "$0" "$@" 3<&0 </dev/null"#;
    let mut command = world.command_of(Path::new("sh"));
    command.args(["-c", script, env!("CARGO_BIN_EXE_pvwatchd"), "-f", "--no-scan"]);
    let mut daemon = world.start_command(command.stdin(Stdio::from(OwnedFd::from(listener.try_clone().unwrap()))));
    assert_eq!(daemon.ask("request=\"hello\"").response(), "OK");
    daemon.signal(Signal::SIGTERM);
    assert!(daemon.wait().success());
    assert!(world.socket().exists(), "it is systemd's");
    assert!(!world.pid_file().exists());
}

#[test]
fn idle_exit_counts_clients_only() {
    let world = World::new();
    let image = world.path("image");
    write_pv(&image, "a", None);
    let arguments = ["-t".as_ref(), "2".as_ref(), "--devices".as_ref(), image.as_os_str()];
    let mut daemon = world.start(arguments);
    let client = daemon.connect();
    std::thread::sleep(Duration::from_secs(3));
    assert!(!daemon.has_left(), "a client is connected");
    drop(client);
    // Devices keep on changing, and it leaves all the same.
    wait_until("it to leave", || {
        write_pv(&image, "a", None);
        daemon.has_left()
    });
    assert!(daemon.wait().success());
    assert!(!world.socket().exists() && !world.pid_file().exists());
}

#[test]
fn sighup_reads_the_configuration_again() {
    let world = World::new();
    let (one, two) = (world.path("one"), world.path("two"));
    write_pv(&one, "a", None);
    write_pv(&two, "b", None);
    let daemon = world.watch(&[&one, &two]);
    let token = || daemon.ask("request=\"get_global_info\" token=\"skip\"").str("token");
    assert_eq!(token(), DEFAULT_TOKEN);
    assert_eq!(daemon.pvs().len(), 2);

    world.configure("devices { global_filter=[\"r|/two$|\"] }");
    daemon.signal(Signal::SIGHUP);
    wait_until("the new token", || ![DEFAULT_TOKEN, "update in progress"].contains(&token().as_str()));
    assert_eq!(daemon.pvs().keys().collect::<Vec<_>>(), [&hyphenated("a")], "whoever has the token has the filter");
    assert_eq!(daemon.show_one(&two)["ignored"], "device is rejected by filter config");

    // A wrong one changes nothing.
    let before = token();
    world.configure("devices { global_filter=[\"x\"] }");
    daemon.signal(Signal::SIGHUP);
    wait_until("the error", || world.log().contains("stays as it was"));
    assert_eq!((token(), daemon.pvs().len()), (before.clone(), 1));

    // Nor does one that would have to be waited for.
    fs::remove_file(world.path("lvm.conf")).unwrap();
    mkfifo(&world.path("lvm.conf"), Mode::S_IRWXU).unwrap();
    daemon.signal(Signal::SIGHUP);
    wait_until("the other error", || world.log().contains("not a regular file"));
    assert_eq!((token(), daemon.pvs().len()), (before, 1));
    fs::remove_file(world.path("lvm.conf")).unwrap();

    world.configure("");
    daemon.signal(Signal::SIGHUP);
    wait_until("the old token", || token() == DEFAULT_TOKEN);
    assert_eq!(daemon.pvs().len(), 2);
}

#[test]
fn multipaths_list_is_read_again_when_it_says_something_else() {
    let world = World::new();
    let (image, list) = (world.path("image"), world.path("multipath/wwids"));
    write_pv(&image, "a", None);
    fs::create_dir(list.parent().unwrap()).unwrap();
    fs::write(&list, "# Multipath wwids\n").unwrap();
    world.configure(&format!("devices {{ multipath_wwids_file=\"{}\" }}", list.display()));
    let daemon = world.watch(&[&image]);
    let reloads = || world.log().matches("configuration read").count();
    assert_eq!(reloads(), 0);
    for (round, wwids) in ["/3600/\n", "/3600/\n/3601/\n"].into_iter().enumerate() {
        fs::write(&list, wwids).unwrap();
        wait_until("the list to be read", || reloads() == round + 1);
    }
    // The same again is no news; one that cannot be read is no reason to end.
    fs::write(&list, "# again\n/3601/\n/3600/\n").unwrap();
    fs::remove_file(&list).unwrap();
    mkfifo(&list, Mode::S_IRWXU).unwrap();
    daemon.signal(Signal::SIGHUP);
    wait_until("the warning", || world.log().contains("wwids: not a regular file"));
    assert_eq!(daemon.pvs().len(), 1);
}

#[test]
fn nobody_has_to_read_the_log() {
    let world = World::new();
    let mut command = world.command_of(Path::new("sh"));
    // A pipe that only the daemon itself could read from.
    let script = "mkfifo \"$1\"; exec 3<> \"$1\"; exec \"$0\" -f -l all --no-scan 2>&3";
    command.args(["-c", script, env!("CARGO_BIN_EXE_pvwatchd")]).arg(world.path("unread"));
    let mut daemon = world.start_command(&mut command);
    let mut client = daemon.connect();
    for _ in 0..3000 {
        assert_eq!(client.ask("= no request").response(), "token_mismatch");
    }
    daemon.signal(Signal::SIGTERM);
    assert!(daemon.wait().success());
}

#[test]
fn sigterm_waits_for_nobody() {
    let world = World::new();
    let (image, fifo) = (world.path("image"), world.path("fifo"));
    let text = vg("vg", 1, &["a"]);
    write_pv(&image, "a", Some(text));
    mkfifo(&fifo, Mode::S_IRWXU).unwrap();
    let arguments = ["--devices".as_ref(), image.as_os_str(), "--devices".as_ref(), fifo.as_os_str()];
    let mut daemon = world.spawn(world.command().arg("-f").args(arguments));
    wait_until("its socket", || UnixStream::connect(world.socket()).is_ok());
    wait_until("a reader that hangs", || daemon.status()["readers"]["busy"] == 1);

    let mut never_reads = daemon.connect();
    never_reads.stream.set_nonblocking(true).unwrap();
    let request = b"request=\"dump\"\n\n##\n".repeat(1000);
    while std::io::Write::write(&mut never_reads.stream, &request).is_ok() {}
    let mut half = daemon.connect();
    half.send(b"request=\"hel");
    let idle = daemon.connect();
    let reader = daemon.readers()[0];

    let start = Instant::now();
    daemon.signal(Signal::SIGTERM);
    wait_until("the files to go", || !world.socket().exists() && !world.pid_file().exists());
    assert!(daemon.wait().success());
    // It takes a moment. Any of them could be waited for for ever.
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    wait_until("its reader to go", || !is_alive(reader));
    drop((never_reads, half, idle));
}

fn is_alive(process: Pid) -> bool {
    fs::read_to_string(format!("/proc/{process}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

#[test]
fn a_request_in_progress_is_answered_on_sigterm() {
    let world = World::new();
    let mut daemon = world.start(["--no-scan"]);
    let mut client = daemon.connect();
    daemon.signal(Signal::SIGSTOP);
    client.send(b"request=\"hello\"\n\n##\n");
    daemon.signal(Signal::SIGTERM);
    daemon.signal(Signal::SIGCONT);
    assert_eq!(client.answer().response(), "OK");
    assert_eq!(client.try_answer().unwrap(), None);
    assert!(daemon.wait().success());
}

#[test]
fn other_signals_end_it_too() {
    for signal in [Signal::SIGINT, Signal::SIGQUIT, Signal::SIGALRM] {
        let world = World::new();
        let mut daemon = world.start(["--no-scan"]);
        daemon.signal(signal);
        assert!(daemon.wait().success(), "{signal}");
        assert!(!world.socket().exists() && !world.pid_file().exists());
    }
}

#[test]
fn the_service_manager_is_told() {
    let world = World::new();
    let (image, fifo) = (world.path("image"), world.path("fifo"));
    write_pv(&image, "a", Some(vg("vg", 1, &["a"])));
    mkfifo(&fifo, Mode::S_IRWXU).unwrap();
    world.configure("pvwatch { read_deadline=1 }");
    let manager = UnixDatagram::bind(world.path("notify")).unwrap();
    manager.set_nonblocking(true).unwrap();
    let mut command = world.command();
    command.arg("-f").arg("--devices").arg(format!("{},{}", image.display(), fifo.display()));
    command.env("NOTIFY_SOCKET", world.path("notify")).env("WATCHDOG_USEC", "400000");
    let mut daemon = world.spawn(&mut command);

    let mut told = Vec::new();
    let mut wait_told = |what: &str| {
        wait_for(what, || {
            let mut message = [0; 1000];
            while let Ok(length) = manager.recv(&mut message) {
                told.push(String::from_utf8_lossy(&message[..length]).trim_end().to_owned());
            }
            let at = told.iter().position(|line| line.starts_with(what))?;
            let before = told.drain(..=at).collect::<Vec<_>>();
            Some((before.last().unwrap().clone(), before))
        })
    };
    // The FIFO does not answer, and holds it up no longer than the deadline.
    let (_, before) = wait_told("READY=1");
    let alive = "WATCHDOG=1\nEXTEND_TIMEOUT_USEC=400000";
    assert!(before.iter().any(|told| told == alive), "alive also before it is ready: {before:?}");
    wait_until("the quarantine", || daemon.status()["quarantined"][0]["device"] == fifo.to_str().unwrap());
    assert_eq!(daemon.pvs().len(), 1);
    wait_told("STATUS=Initialized: 2 devices, 1 PVs, 1 VGs, 1 quarantined");
    wait_told("WATCHDOG=1");
    daemon.signal(Signal::SIGTERM);
    wait_told("STOPPING=1");
    assert!(daemon.wait().success());
}

#[test]
fn sigkill_and_restart_give_the_same_answers() {
    let world = World::new();
    let images = ["a", "b", "c", "d"].map(|pv| world.path(pv));
    let both = vg("vg", 7, &["a", "b"]);
    write_pv(&images[0], "a", Some(both.clone()));
    write_pv(&images[1], "b", Some(both));
    write_pv(&images[2], "c", Some(vg("partial", 3, &["c", "lost"])));
    write_pv(&images[3], "d", None);
    let images = images.each_ref().map(|image| image.as_path());
    let requests = ["pv_list", "vg_list", "vg_lookup\" name=\"vg", "vg_lookup\" name=\"partial"]
        .map(|request| format!("request=\"{request}\" token=\"{DEFAULT_TOKEN}\""));
    let mut daemon = world.watch(&images);
    let answers = requests.each_ref().map(|request| daemon.ask(request));
    assert!(answers.iter().all(|answer| answer.response() == "OK"));
    let reader = daemon.readers();
    daemon.signal(Signal::SIGKILL);
    daemon.wait();
    wait_until("its readers to go", || reader.iter().all(|reader| !is_alive(*reader)));
    let daemon = world.watch(&images);
    assert_eq!(requests.each_ref().map(|request| daemon.ask(request)), answers);
}

#[test]
fn without_scan_it_knows_what_it_is_told() {
    let world = World::new();
    for (argument, variable) in [("--no-scan", "0"), ("-f", "1")] {
        let daemon = world.start_command(world.command().args(["-f", argument]).env("PVWATCH_NO_SCAN", variable));
        let info = daemon.ask("request=\"get_global_info\" token=\"skip\"");
        assert_eq!((info.str("token"), info.int("daemon_pid")), ("none".into(), daemon.pid().as_raw().into()));
        assert_eq!(daemon.status()["events"]["source"], "none: --no-scan");
        assert!(daemon.readers().is_empty() && daemon.pvs().is_empty());
    }
}
