//! What clients may take: how many, and how much each.

use crate::common::daemon::{Client, World};
use crate::common::testing::needs;
use crate::common::{vg, wait_for, wait_until, write_pv};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::Signal;
use pvwatch::client::Error;
use serde_json::json;
use std::fs;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;

const HELLO: &str = "request=\"hello\"";

/// Allows this process so many descriptors.
fn descriptors(count: u64) -> io::Result<()> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if soft < count {
        setrlimit(Resource::RLIMIT_NOFILE, count, hard.max(count))?;
    }
    Ok(())
}

/// The daemon, with no more descriptors than these.
fn limited(world: &World, limit: &str) -> Command {
    let mut command = world.command_of(Path::new("sh"));
    let script = format!("ulimit {limit}; exec \"$0\" \"$@\"");
    command.args(["-c", &script, env!("CARGO_BIN_EXE_pvwatchd"), "-f", "--no-scan"]);
    command
}

#[test]
fn ten_thousand_connections() {
    if needs("ten_thousand_connections", descriptors(10_000 + 2000)).is_none() {
        return;
    }
    let world = World::new();
    // What a login shell and systemd have by default; what is needed it sees to itself.
    let daemon = world.start_command(&mut limited(&world, "-S -n 1024"));
    let mut clients = (0..10_000).map(|_| daemon.connect()).collect::<Vec<_>>();
    // One of them asks: there is no room for another.
    let count = |clients: &mut [Client]| {
        clients[0].send(b"{\"method\":\"io.pvwatch.Status\"}\0");
        let mut reply = Vec::new();
        let mut byte = [0];
        while clients[0].stream.read(&mut byte).unwrap() == 1 && byte != [0] {
            reply.push(byte[0]);
        }
        serde_json::from_slice::<serde_json::Value>(&reply).unwrap()["parameters"]["status"]["clients"].take()
    };
    wait_until("all of them to be in", || count(&mut clients)["connected"] == 10_000);
    assert_eq!(count(&mut clients)["clients_max"], 10_000);
    // Who comes then is told so, in either protocol.
    let mut surplus = daemon.connect();
    let refused = surplus.answer();
    assert_eq!((refused.response().as_str(), refused.str("reason").as_str()), ("failed", "too many clients"));
    assert_eq!(surplus.try_answer().unwrap(), None);
    daemon.signal(Signal::SIGSTOP);
    let mut call = UnixStream::connect(world.socket()).unwrap();
    call.write_all(b"{\"method\":\"io.pvwatch.Status\"}\0").unwrap();
    daemon.signal(Signal::SIGCONT);
    let mut reply = String::new();
    let _ = call.read_to_string(&mut reply);
    assert!(reply.contains("too many clients") && reply.starts_with("{\"error\""), "{reply}");
    assert_eq!(count(&mut clients)["refused"]["clients_max"], 2);
    for client in clients.iter_mut().rev() {
        assert_eq!(client.ask(HELLO).response(), "OK");
    }
    drop(clients);
    wait_until("them to be forgotten", || daemon.status()["clients"]["connected"] == 1);
    assert_eq!(daemon.status()["clients"]["not_accepted"], 0);
}

#[test]
fn with_few_descriptors_fewer_are_let_in() {
    let world = World::new();
    // As a container without privileges has it: nothing raises it again.
    let mut command = world.command_of(Path::new("setpriv"));
    command.args([
        "--bounding-set=-sys_resource",
        "--inh-caps=-sys_resource",
        "sh",
        "-c",
        "ulimit -n 300; exec \"$0\" \"$@\"",
    ]);
    command.args([env!("CARGO_BIN_EXE_pvwatchd"), "-f", "--no-scan"]);
    let daemon = world.start_command(&mut command);
    let clients = &daemon.status()["clients"];
    assert_eq!((&clients["clients_max"], &clients["clients_max_configured"]), (&json!(33), &json!(10_000)));
    assert!(world.log().contains("300 descriptors may be open, not 12304: 33 clients are let in"), "{}", world.log());
    // Who asked for that may be there for a moment still.
    let mut many = (0..30).map(|_| daemon.connect()).collect::<Vec<_>>();
    for client in &mut many {
        assert_eq!(client.ask(HELLO).response(), "OK");
    }
    // The others are not left waiting.
    let mut refused = 0;
    for _ in 0..200 {
        let mut client = daemon.connect();
        let _ = client.stream.write_all(b"request=\"hello\"\n\n##\n");
        refused += usize::from(client.answer().response() == "failed");
        many.push(client);
    }
    assert!((190..=200).contains(&refused), "{refused}");
    drop(many);
    wait_until("room again", || daemon.try_call("Status", &json!({})).is_ok());
    let clients = &daemon.status()["clients"];
    assert_eq!(clients["not_accepted"], 0);
    assert!(clients["refused"]["clients_max"].as_u64() >= Some(190));
}

/// No device is blamed for a descriptor that its reader lacks.
#[test]
fn with_few_descriptors_devices_are_read_one_by_one() {
    let world = World::new();
    let images = (0..240).map(|number| world.path(&format!("image{number}"))).collect::<Vec<_>>();
    images.iter().enumerate().for_each(|(number, image)| write_pv(image, &format!("p{number}"), None));
    let mut command = world.command_of(Path::new("setpriv"));
    command.args(["--bounding-set=-sys_resource", "--inh-caps=-sys_resource", "prlimit", "--nofile=200:200"]);
    command.args([env!("CARGO_BIN_EXE_pvwatchd"), "-f"]);
    command.args(images.iter().flat_map(|image| [Path::new("--devices"), image]));
    let daemon = world.start_command(&mut command);
    // Few clients are let in, and who asked before may be there for a moment still.
    let status = wait_for("all of them", || {
        let status = daemon.try_call("Status", &json!({})).ok();
        status.filter(|status| status["status"]["counts"]["pvs"] == 240)
    });
    assert!(!world.log().contains(": quarantined, "), "{}", world.log());
    let note = status["status"]["readers"]["note"].to_string();
    assert!(note.contains("200 descriptors may be open"), "{note}");
}

#[test]
fn the_bounds_are_settings_and_status_counts_who_is_over_them() {
    let world = World::new();
    world.configure("pvwatch { clients_max=3 message_max=100000 stalled_max=1 report_clients_max=1 }");
    let daemon = world.start(["--no-scan"]);
    let refused = |bound: &str| daemon.status()["clients"]["refused"][bound].as_u64().unwrap();
    // A message that is too long, before its end and with it.
    for end in ["", "\n##\n"] {
        let mut client = daemon.connect();
        client.send(&[b'x'; 100_010]);
        client.send(end.as_bytes());
        assert_eq!(client.answer().str("reason"), "message too large");
    }
    assert_eq!(refused("message_max"), 2);
    let mut client = daemon.connect();
    let deep = format!("request=\"hello\" {}x=1{}", "a{".repeat(200), "}".repeat(200));
    assert_eq!(client.ask(&deep).str("reason"), "message nested too deeply");
    assert_eq!(refused("nesting"), 1);
    for (levels, count) in [(100, 1), (130, 2), (10_000, 3)] {
        let deep = format!("{{\"method\":\"none\",\"parameters\":{}", "[".repeat(levels)) + &"]".repeat(levels) + "}\0";
        let mut call = UnixStream::connect(world.socket()).unwrap();
        call.write_all(deep.as_bytes()).unwrap();
        call.shutdown(Shutdown::Write).unwrap();
        let mut reply = String::new();
        call.read_to_string(&mut reply).unwrap();
        assert!(reply.starts_with("{\"error\":\"org.varlink.service.InvalidParameter\""), "{reply}");
        assert_eq!(refused("nesting"), count, "{levels} levels");
    }
    // Half a message, and then nothing.
    client.send(b"half");
    wait_until("it to be given up", || refused("stalled_max") == 1);
    assert!(matches!(client.try_answer(), Ok(None) | Err(_)));
    let _reader = UnixStream::connect(world.report_socket()).unwrap();
    let mut second = UnixStream::connect(world.report_socket()).unwrap();
    let mut reply = String::new();
    let _ = second.read_to_string(&mut reply);
    assert!(reply.contains("too many clients"), "{reply}");
    assert_eq!(refused("report_clients_max"), 1);
    // As people see it, and by SIGHUP other bounds.
    let shown =
        Command::new(env!("CARGO_BIN_EXE_pvwatch")).arg("-s").arg(world.socket()).arg("status").output().unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains("refused  message_max 2, nesting 3, report_clients_max 1, stalled_max 1"), "{shown}");
    world.configure("pvwatch { clients_max=1 }");
    daemon.signal(Signal::SIGHUP);
    wait_until("the new bound", || {
        daemon.try_call("Status", &json!({})).is_ok_and(|reply| reply["status"]["clients"]["clients_max"] == 1)
    });
    let _only = daemon.connect();
    let is_refused = |error| matches!(error, Error::Refused(reason) if reason.contains("too many clients"));
    wait_until("it to be in", || daemon.try_call("Status", &json!({})).is_err_and(is_refused));
}

#[test]
fn one_byte_at_a_time_both_ways_while_the_metadata_changes() {
    let world = World::new();
    let image = world.path("image");
    write_pv(&image, "a", Some(vg("vg", 1, &["a"])));
    let daemon = world.watch(&[&image]);
    let mut slow = daemon.connect();
    for byte in b"request=\"vg_lookup\" name=\"vg\" token=\"skip\"\n\n##\n" {
        slow.send(&[*byte]);
    }
    let mut reply = Vec::new();
    for seqno in 2..12 {
        let mut byte = [0; 1];
        slow.stream.read_exact(&mut byte).unwrap();
        reply.push(byte[0]);
        write_pv(&image, "a", Some(vg("vg", seqno, &["a"])));
        wait_until("the new metadata", || daemon.vg("vg").unwrap().seqno == seqno);
    }
    slow.stream.shutdown(Shutdown::Write).unwrap();
    slow.stream.read_to_end(&mut reply).unwrap();
    let reply = String::from_utf8(reply).unwrap();
    assert!(reply.contains("seqno = 1\n") || reply.contains("seqno=1\n"), "as it was when it was asked: {reply}");
    assert!(reply.ends_with("\n##\n"));
}

#[test]
fn who_dies_at_any_point_leaves_nothing() {
    let world = World::new();
    let image = world.path("image");
    write_pv(&image, "a", Some(vg("vg", 1, &["a"])));
    let daemon = world.watch(&[&image]);
    let descriptors = || fs::read_dir(format!("/proc/{}/fd", daemon.pid())).unwrap().count();
    let before = descriptors();
    let lvmetad = b"request=\"hello\"\n\n##\nrequest=\"dump\"\n\n##\n";
    let varlink = b"{\"method\":\"io.pvwatch.Settle\"}\0{\"method\":\"io.pvwatch.Inventory\",\"more\":true,\"parameters\":{\"lvs\":true}}\0";
    for conversation in [&lvmetad[..], &varlink[..]] {
        for length in 0..=conversation.len() {
            let mut client = daemon.connect();
            client.send(&conversation[..length]);
            match length % 3 {
                0 => {}
                1 => client.stream.shutdown(Shutdown::Write).unwrap(),
                _ => client.stream.shutdown(Shutdown::Read).unwrap(),
            }
        }
    }
    wait_until("them to be forgotten", || daemon.status()["clients"]["connected"] == 1);
    wait_until("their descriptors to be closed", || descriptors() <= before);
    let clients = &daemon.status()["clients"];
    // Of who asks for it, there may be the call.
    assert!(clients["buffered"].as_u64() < Some(100) && clients["unread"] == 0, "{clients}");
    assert_eq!(daemon.vg("vg").unwrap().seqno, 1);
}
