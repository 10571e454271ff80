//! Reports of metadata that nobody's lvm2 wrote, and of devices that are none.

#[path = "common/mod.rs"]
mod common;
use pvwatch::devno;

use common::daemon::World;
use common::{vg, write_pv};
use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Output};

fn report(world: &World, words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pvwatch"));
    command.args(words).env("LVM_SYSTEM_DIR", world.system_dir()).current_dir(world.path(".")).output().unwrap()
}

/// The exit status, and what is on both outputs.
fn said(world: &World, words: &[&str]) -> (i32, String, String) {
    let output = report(world, words);
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// An image of a PV of `vg0`, of whose text the first is the second.
fn write(world: &World, is: &str, becomes: &str) {
    let text = String::from_utf8(vg("vg0", 1, &["a"])).unwrap();
    assert!(text.contains(is), "{text}");
    write_pv(&world.path("image"), "a", Some(text.replacen(is, becomes, 1).into_bytes()));
}

#[test]
fn a_clustered_vg_is_skipped_whatever_is_asked_for() {
    let world = World::new();
    write(&world, "\"WRITE\"", "\"WRITE\", \"CLUSTERED\"");
    let hint = "  See lvmlockd(8) for changing a clvm/clustered VG to a shared VG.\n";
    for command in ["pvs", "vgs", "lvs"] {
        let expected = (0, String::new(), format!("  Skipping clustered VG vg0.\n{hint}"));
        assert_eq!(said(&world, &[command, "--devices", "image", "--foreign", "--shared"]), expected, "{command}");
    }
    let expected = (5, String::new(), format!("  Cannot access clustered VG vg0.\n{hint}"));
    assert_eq!(said(&world, &["vgs", "vg0", "--devices", "image"]), expected);
}

#[test]
fn what_is_said_of_metadata_cannot_act_on_a_terminal() {
    let world = World::new();
    let lv = "logical_volumes {\nlv { id = \"llllll-llll-llll-llll-llll-llll-llllll\" status = [\"READ\"] flags = []
        segment_count = 1 segment1 { start_extent = 0 extent_count = 1 type = \"a\x1b[1mb\nc\" } } }\n";
    write(&world, "physical_volumes", &format!("{lv}physical_volumes"));
    let (status, _, stderr) = said(&world, &["vgs", "--devices", "image"]);
    assert_eq!((status, &*stderr), (0, "  WARNING: Unrecognised segment type a\\x1b[1mb\\x0ac\n"));
}

#[test]
fn a_vg_that_cannot_be_told_from_an_older_one_is_not_left_out_without_a_word() {
    for seqno in [0, -3] {
        let world = World::new();
        write(&world, "seqno = 1", &format!("seqno = {seqno}"));
        let (_, _, stderr) = said(&world, &["pvs", "--devices", "image"]);
        assert_eq!(stderr, format!("  WARNING: VG vg0 on image is left out: its seqno is {seqno}.\n"));
    }
}

/// Without any, all devices of the host would be looked at.
#[test]
fn a_list_of_devices_has_one_at_least() {
    let world = World::new();
    for list in ["", ","] {
        let expected = (5, String::new(), "  --devices: it names no device\n".to_owned());
        assert_eq!(said(&world, &["pvs", "--devices", list]), expected);
    }
}

/// What who hangs on says again and again.
const NOTHING_YET: &str = "{\"continues\":true,\"parameters\":{\"items\":[]}}\0";

/// Takes one connection after the other, says this to each and hangs up, or says nothing, or never stops.
fn answer(socket: &Path, reply: Option<&'static str>, forever: bool) {
    let listener = UnixListener::bind(socket).unwrap();
    std::thread::spawn(move || {
        let mut silent = Vec::new();
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            match reply {
                Some(reply) => {
                    let _ = stream.read(&mut [0; 4096]);
                    while stream.write_all(reply.as_bytes()).is_ok() && forever {}
                }
                None => silent.push(stream),
            }
        }
    });
}

#[test]
fn who_answers_nonsense_is_no_daemon_that_is_missing() {
    for (reply, status, expected) in [
        (Some("nonsense\0"), 5, "not a pvwatchd"),
        (Some("{\"parameters\":{\"items\":[7]}}\0"), 5, "not a pvwatchd"),
        (Some("{\"continues\":true,\"parameters\":{\"items\":[]}}\0"), 4, "it closed the connection"),
        (None, 5, "0.2"),
    ] {
        let world = World::new();
        let socket = world.path("socket");
        answer(&socket, reply, false);
        let (code, _, stderr) = said(&world, &["--timeout", "0.2", "vgs", "-s", socket.to_str().unwrap()]);
        assert!(code == status && stderr.contains(expected), "{reply:?}: {code}: {stderr}");
    }
}

#[test]
fn who_says_nothing_without_end_is_left() {
    for reply in [NOTHING_YET, " "] {
        let world = World::new();
        let socket = world.path("socket");
        answer(&socket, Some(reply), true);
        let (code, _, stderr) = said(&world, &["--timeout", "0.2", "vgs", "-s", socket.to_str().unwrap()]);
        assert!(
            code == 5 && ["no answer", "no end"].iter().any(|part| stderr.contains(part)),
            "{reply}: {code}: {stderr}"
        );
    }
}

#[test]
fn devices_that_are_none_are_told_apart() {
    let world = World::new();
    write_pv(&world.path("image"), "a", None);
    std::fs::write(world.path("zeros"), vec![0; 4 << 20]).unwrap();
    let path = |name: &str| world.path(name).display().to_string();
    let (status, stdout, stderr) = said(&world, &["pvs", "--devices", "/dev/null,.,nope,image"]);
    let expected = "  /dev/null: it is neither a block device nor a file\n  .: it is a directory\n  nope: there is no such device or image\n";
    assert_eq!((status, &*stderr), (5, expected));
    assert!(stdout.contains(" image "), "{stdout}");

    let _daemon = world.watch(&[&world.path("image"), &world.path("zeros")]);
    let socket = world.report_socket().display().to_string();
    let (status, stdout, stderr) =
        said(&world, &["pvs", "-s", &socket, "--noheadings", &path("zeros"), &path("image"), "nope"]);
    let expected =
        format!("  Cannot use nope: device not found\n  Failed to find physical volume \"{}\".\n", path("zeros"));
    assert_eq!((status, stderr), (5, expected));
    assert!(stdout.contains(&path("image")), "{stdout}");
    let (status, _, stderr) = said(&world, &["dump", "-s", &socket]);
    assert!(status == 1 && stderr.contains("this is for root, at the socket of lvmetad"), "{stderr}");
}
