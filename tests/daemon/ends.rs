//! How the daemon ends when it should not, and what is lost by it: nothing.

use crate::common::daemon::World;
use crate::common::{hyphenated, vg, wait_until, write_pv};
use nix::sys::signal::Signal;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;

#[test]
fn a_panic_is_logged_and_the_next_start_has_everything_again() {
    let world = World::new();
    let (one, two) = (world.path("one"), world.path("two"));
    write_pv(&one, "a", Some(vg("vg", 3, &["a", "b"])));
    write_pv(&two, "b", Some(vg("vg", 3, &["a", "b"])));
    let devices = format!("{},{}", one.display(), two.display());
    let mut command = world.command();
    command.args(["-f", "--devices", &devices]).env("PVWATCH_TEST_PANIC", "reload");
    let mut daemon = world.start_command(&mut command);
    let (before, pvs) = (daemon.vg("vg"), daemon.pvs());
    let mut client = daemon.connect();
    client.send(b"half");
    daemon.signal(Signal::SIGHUP);
    let status = daemon.wait();
    // Not as after a signal that asks for its end, or systemd would take that for one.
    assert_eq!((status.code(), status.signal()), (Some(101), None));
    let log = world.log();
    let line = log.lines().find(|line| line.contains("asked for in reload")).expect("logged");
    assert!(line.contains(" ERROR panic at src/sys/panic.rs:"), "{line}");
    assert!(matches!(client.try_answer(), Ok(None) | Err(_)));
    // Ready is who has everything.
    let daemon = world.start_command(world.command().args(["-f", "--devices", &devices]));
    assert_eq!((daemon.vg_now("vg"), daemon.pvs()), (before, pvs));
}

/// Of either engine: the others that it was at work on are read by another.
#[test]
fn a_reader_that_panics_is_logged_and_costs_the_device_it_was_at() {
    let world = World::new();
    let images = ["one", "two", "three", "four"].map(|name| world.path(name));
    for (image, pv) in images.iter().zip(["a", "b", "c", "d"]) {
        write_pv(image, pv, Some(vg("vg", 3, &["a", "b", "c", "d"])));
    }
    for engine in ["auto", "pool"] {
        world.configure(&format!("pvwatch {{ reader=\"{engine}\" }}"));
        let mut command = world.command();
        for image in &images {
            command.arg("--devices").arg(image);
        }
        let at = format!("reader {}", images[1].display());
        let logged = world.log().len();
        let daemon = world.start_command(command.arg("-f").env("PVWATCH_TEST_PANIC", at));
        assert_eq!(daemon.settle(), [images[1].to_str().unwrap()]);
        let status = daemon.status();
        assert_eq!(status["quarantined"][0]["reason"], "the process that read it died");
        let log = world.log().split_off(logged);
        let line = log.lines().find(|line| line.contains("asked for in reader")).expect("logged");
        assert!(line.starts_with("process ") && line.contains(": panic at src/sys/panic.rs:"), "{line}");
        let vg = daemon.vg_now("vg").expect("the others were read");
        assert_eq!((vg.present.len(), vg.missing), (3, vec![hyphenated("b")]), "{engine}");
    }
}

#[test]
fn so_it_is_after_a_crash() {
    let world = World::new();
    let image = world.path("image");
    write_pv(&image, "a", Some(vg("vg", 1, &["a"])));
    for signal in [Signal::SIGABRT, Signal::SIGILL, Signal::SIGKILL] {
        let mut daemon = world.watch(&[&image]);
        assert_eq!(daemon.vg_now("vg").unwrap().seqno, 1);
        daemon.signal(signal);
        assert_eq!(daemon.wait().signal(), Some(signal as i32));
    }
    assert!(world.watch(&[&image]).pvs().contains_key(&hyphenated("a")));
}

#[test]
fn readers_are_spared_no_more_than_others() {
    let world = World::new();
    let fifo = world.path("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let mut command = world.command_of(Path::new("sh"));
    let script = "echo -500 >/proc/self/oom_score_adj || exit 7; exec \"$0\" -f --devices \"$1\"";
    command.args(["-c", script, env!("CARGO_BIN_EXE_pvwatchd")]).arg(&fifo);
    let mut daemon = world.spawn(&mut command);
    let score = |process| fs::read_to_string(format!("/proc/{process}/oom_score_adj")).unwrap_or_default();
    wait_until("a reader", || daemon.has_left() || !daemon.readers().is_empty());
    if daemon.has_left() {
        println!("skipped: readers_are_spared_no_more_than_others: no privilege to be spared");
        return;
    }
    assert_eq!(score(daemon.pid()), "-500\n");
    wait_until("it to be like others", || daemon.readers().into_iter().all(|reader| score(reader) == "0\n"));
}

/// In a user namespace of its own the kernel's limits are the test's: what `then` says, with that limit 0.
fn with_limit(world: &World, limit: &str, then: &str) -> Command {
    let mut command = world.command_of(Path::new("unshare"));
    let script = format!("echo 0 >/proc/sys/user/{limit} || exit 7; {then}");
    command.args(["--user", "--map-root-user", "sh", "-c", &script, env!("CARGO_BIN_EXE_pvwatchd")]);
    command
}

fn with_inotify(world: &World, limit: &str, image: &Path) -> Command {
    let mut command = with_limit(world, limit, "exec \"$0\" -f --devices \"$1\"");
    command.arg(image);
    command
}

#[test]
fn without_watches_what_is_written_is_read_again_now_and_then() {
    let world = World::new();
    let image = world.path("image");
    for (limit, watches, inotify) in [("max_inotify_watches", 1, true), ("max_inotify_instances", 0, false)] {
        write_pv(&image, "a", Some(vg("vg", 1, &["a"])));
        if !with_limit(&world, limit, "true").status().is_ok_and(|status| status.success()) {
            println!("skipped: without_watches_what_is_written_is_read_again_now_and_then: no user namespaces");
            return;
        }
        world.configure("");
        let daemon = world.start_command(&mut with_inotify(&world, limit, &image));
        let status = daemon.status();
        assert_eq!((&status["unwatched_nodes"], &status["inotify"]), (&watches.into(), &inotify.into()));
        assert_eq!(status["reread_interval"], 60);
        assert!(world.log().contains("inotify"), "{}", world.log());
        drop(daemon);
        // What is configured counts.
        world.configure("pvwatch { reread_interval=1 }");
        let daemon = world.start_command(&mut with_inotify(&world, limit, &image));
        assert_eq!(daemon.status()["reread_interval"], 1);
        write_pv(&image, "a", Some(vg("vg", 2, &["a"])));
        wait_until("it to be read again", || daemon.vg_now("vg").is_some_and(|vg| vg.seqno == 2));
    }
}
