//! Clients that do not behave, and many of them. None of these may be noticed by another.

use crate::common::daemon::{Client, DEFAULT_TOKEN, World};
use crate::common::{vg, wait_until, write_pv};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::Signal;
use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::path::Path;
use std::time::Duration;

const HELLO: &str = "request=\"hello\"";

#[test]
fn half_a_request_holds_nobody_up() {
    let world = World::new();
    let daemon = world.start(["--no-scan"]);
    let mut halves = (0..50).map(|_| daemon.connect()).collect::<Vec<_>>();
    for half in &mut halves {
        half.send(b"request=\"hel");
    }
    assert_eq!(daemon.ask(HELLO).response(), "OK");
    for half in &mut halves {
        half.send(b"lo\"\n\n#");
    }
    assert_eq!(daemon.ask(HELLO).response(), "OK");
    for half in &mut halves {
        half.send(b"#\n");
        assert_eq!(half.answer().response(), "OK");
    }
}

#[test]
fn a_client_that_never_reads_holds_nobody_up() {
    let world = World::new();
    let image = world.path("image");
    write_pv(&image, "a", Some(vg("vg", 1, &["a"])));
    let daemon = world.watch(&[&image]);
    let mut never_reads = daemon.connect();
    never_reads.stream.set_nonblocking(true).unwrap();
    let request = b"request=\"dump\"\n\n##\n".repeat(1000);
    let mut sent = 0;
    // Until the daemon takes no more from it.
    loop {
        match never_reads.stream.write(&request) {
            Ok(length) => sent += length,
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => panic!("{error}"),
        }
        assert_eq!(daemon.ask(HELLO).response(), "OK");
    }
    assert!(sent < 100 << 20, "a limit");
    assert_eq!(daemon.vg("vg").unwrap().seqno, 1);
    // Should it read after all, everything it asked is answered.
    never_reads.stream.set_nonblocking(false).unwrap();
    for _ in 0..sent / (request.len() / 1000) {
        assert!(never_reads.answer().0.starts_with(b"# VG METADATA"));
    }
}

#[test]
fn a_client_that_asks_and_never_reads_costs_no_time() {
    let world = World::new();
    let daemon = world.start(["--no-scan"]);
    let mut client = daemon.connect();
    client.stream.set_nonblocking(true).unwrap();
    let requests = "request=\"get_global_info\" token=\"skip\"\n##\n".repeat(100);
    // Until neither side takes anything more.
    let mut full = 0;
    while full < 20 {
        full = if client.stream.write(requests.as_bytes()).is_ok() { 0 } else { full + 1 };
        std::thread::sleep(Duration::from_millis(5));
    }
    let stat = || fs::read_to_string(format!("/proc/{}/stat", daemon.pid())).unwrap();
    let ticks = || stat().split(' ').skip(13).take(2).map(|field| field.parse::<u64>().unwrap()).sum::<u64>();
    let before = ticks();
    std::thread::sleep(Duration::from_secs(1));
    assert!(ticks() - before < 30, "{} hundredths of a second", ticks() - before);
}

#[test]
fn a_thousand_connections_and_more() {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    let count = usize::try_from(hard.min(1800)).unwrap() - 200;
    setrlimit(Resource::RLIMIT_NOFILE, hard.min(4096), hard).unwrap();
    let world = World::new();
    // What a login shell and systemd have by default.
    let mut command = world.command_of(Path::new("sh"));
    command.args(["-c", "ulimit -S -n 1024; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_pvwatchd"), "-f", "--no-scan"]);
    let daemon = world.start_command(&mut command);
    let mut clients = (0..count).map(|_| daemon.connect()).collect::<Vec<_>>();
    wait_until("all of them", || daemon.status()["counts"]["clients"] == count + 1);
    for client in clients.iter_mut().rev() {
        assert_eq!(client.ask(HELLO).response(), "OK");
    }
    drop(clients);
    wait_until("them to be forgotten", || daemon.status()["counts"]["clients"] == 1);
}

#[test]
fn a_message_over_the_limit_is_refused() {
    let world = World::new();
    let daemon = world.start(["--no-scan"]);
    let mut client = daemon.connect();
    let chunk = vec![b'x'; 1 << 20];
    let mut sent = 0_usize;
    // The daemon stops taking it and closes, which is an error here sooner or later.
    while sent < 1 << 30 && client.stream.write_all(&chunk).is_ok() {
        sent += chunk.len();
    }
    assert!(sent < 200 << 20, "{sent} bytes taken");
    assert_eq!(daemon.ask(HELLO).response(), "OK");
    let resident = std::fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
    let resident = resident.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    let kilobytes: u64 = resident.trim().split(' ').next().unwrap().parse().unwrap();
    assert!(kilobytes < 50_000, "given back: {resident}");
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let world = World::new();
    let daemon = world.start(["--no-scan"]);
    let mut client = daemon.connect();
    let mut requests = String::new();
    for number in 0..500 {
        requests.push_str("request=\"hello\"\n\n##\n");
        requests.push_str(&format!("request=\"pv_list\" token=\"t{number}\"\n##\n"));
    }
    client.send(requests.as_bytes());
    client.stream.shutdown(Shutdown::Write).unwrap();
    for number in 0..500 {
        assert_eq!(client.answer().str("protocol"), "lvmetad");
        let refused = client.answer();
        assert_eq!((refused.response(), refused.str("received")), ("token_mismatch".into(), format!("t{number}")));
    }
    assert_eq!(client.try_answer().unwrap(), None);
}

#[test]
fn a_last_request_is_answered_and_the_connection_closed() {
    let world = World::new();
    let daemon = world.start(["--no-scan"]);
    let mut client = daemon.connect();
    assert_eq!(client.ask(HELLO).response(), "OK");
    // The daemon hears of the request and of the end at once.
    daemon.signal(Signal::SIGSTOP);
    client.send(b"request=\"hello\"\n\n##\n");
    client.stream.shutdown(Shutdown::Write).unwrap();
    daemon.signal(Signal::SIGCONT);
    assert_eq!(client.answer().response(), "OK");
    assert_eq!(client.try_answer().unwrap(), None);
}

#[test]
fn garbage_is_answered_and_survived() {
    let world = World::new();
    let daemon = world.start(["--no-scan"]);
    let mut client = daemon.connect();
    let nested = "a{".repeat(10_000);
    for garbage in ["", "\0\0\0", "}{", "request=", "request=[[[", "request=\"hello", "=", "\u{fffd}\u{1}"] {
        assert_eq!(client.ask(garbage).response(), "token_mismatch", "{garbage:.20}");
    }
    assert_eq!(client.ask(&nested).response(), "failed");
    // The same on the other protocol, which ends with a NUL and not with lvmetad's words.
    for garbage in ["{", "{}", "{\"method\":5}", "{\"method\":\"x\\u0000\"}"] {
        let mut stream = daemon.connect().stream;
        stream.write_all(garbage.as_bytes()).unwrap();
        stream.write_all(b"\0").unwrap();
        let mut reply = [0; 4096];
        let length = stream.read(&mut reply).unwrap();
        assert!(reply[..length].starts_with(b"{\"error\":"), "{}", reply[..length].escape_ascii());
    }
    assert_eq!(client.ask(HELLO).response(), "OK");
}

#[test]
fn a_dump_needs_no_greeting_and_no_open_end() {
    let world = World::new();
    let image = world.path("image");
    write_pv(&image, "a", Some(vg("vg", 1, &["a"])));
    let daemon = world.watch(&[&image]);
    let mut client = daemon.connect();
    client.send(b"request=\"dump\"\n\n##\n");
    client.stream.shutdown(Shutdown::Write).unwrap();
    let mut dump = Vec::new();
    client.stream.read_to_end(&mut dump).unwrap();
    assert!(dump.starts_with(b"# VG METADATA") && dump.ends_with(b"\n##\n"), "{}", dump.escape_ascii());
    assert!(dump.windows(4).any(|window| window == b"\"vg\""));
}

#[test]
fn a_refill_by_a_client_ends_with_what_the_disks_say() {
    let world = World::new();
    let image = world.path("image");
    write_pv(&image, "a", Some(vg("vg", 3, &["a"])));
    let daemon = world.watch(&[&image]);
    let before = daemon.pvs();
    let mut client = daemon.connect();
    let mut ask = |request: &str| {
        let answer = client.ask(request);
        assert_eq!(answer.response(), "OK", "{request}");
        answer
    };
    let updating = "token=\"update in progress\" pid=77 cmd=\"pvscan\"";
    ask("request=\"token_update\" token=\"update in progress\" pid=77 update_timeout=60 cmd=\"pvscan\"");
    assert_eq!(daemon.ask(&format!("request=\"pv_list\" token=\"{DEFAULT_TOKEN}\"")).response(), "token_mismatch");
    ask(&format!("request=\"pv_clear_all\" {updating}"));
    // One that is on no disk, and nothing of the one that is.
    ask(&format!("request=\"pv_found\" {updating} pvmeta {{ id=\"fake\" device=64512 dev_size=1 }}"));
    ask(&format!("request=\"token_update\" token=\"{DEFAULT_TOKEN}\" pid=77"));
    daemon.settle();
    assert_eq!(daemon.pvs(), before);
    assert_eq!(daemon.vg("vg").unwrap().seqno, 3);
    let info = daemon.ask("request=\"get_global_info\" token=\"skip\"");
    assert_eq!((info.str("token").as_str(), info.int("global_disable")), (DEFAULT_TOKEN, 0));
}

#[test]
fn a_refill_that_never_ends_is_replaced_by_our_own() {
    let world = World::new();
    let image = world.path("image");
    write_pv(&image, "a", None);
    let daemon = world.watch(&[&image]);
    let mut client = daemon.connect();
    client.ask("request=\"token_update\" token=\"update in progress\" pid=77 update_timeout=1 cmd=\"pvscan\"");
    client.ask("request=\"pv_clear_all\" token=\"update in progress\" pid=77");
    drop(client);
    wait_until("the token to be back", || {
        let info = daemon.ask("request=\"get_global_info\" token=\"skip\"");
        info.str("token") == DEFAULT_TOKEN
    });
    assert_eq!(daemon.pvs().len(), 1);
}

#[test]
fn one_who_waits_to_settle_may_leave() {
    let world = World::new();
    let fifo = world.path("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    world.configure("pvwatch { read_deadline=3600 }");
    let mut command = world.command();
    let daemon = world.spawn(command.arg("-f").arg("--devices").arg(&fifo));
    wait_until("its socket", || std::os::unix::net::UnixStream::connect(world.socket()).is_ok());
    let mut waiting = Client::connect(&world.socket());
    waiting.send(b"{\"method\":\"io.pvwatch.Settle\"}\0");
    waiting.stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    assert_eq!(waiting.stream.read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock, "the FIFO does not answer");
    drop(waiting);
    wait_until("it to be forgotten", || daemon.status()["counts"]["clients"] == 1);
}
