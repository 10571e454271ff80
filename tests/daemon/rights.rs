//! Who may change things: root and the daemon's own user, whatever the sockets' modes say.

use crate::common::daemon::{Client, Daemon, World};
use crate::common::testing::needs;
use crate::common::{vg, write_pv};
use pvwatch::client::{Error, call};
use pvwatch::protocol::Name;
use serde_json::json;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// A user of whom nothing is known here.
const USER: u32 = 54_322;
/// Where the other user's process finds the socket.
const SOCKET: &str = "PVWATCH_TEST_SOCKET_OF_ANOTHER";
/// What he makes of it.
const AS_ANOTHER: &str = "rights::as_another_user";

fn root() -> io::Result<()> {
    if nix::unistd::geteuid().is_root() { Ok(()) } else { Err(io::Error::other("only root changes users")) }
}

/// This program, by another user, with the one test in it that is his.
fn run_as_another(world: &World) {
    let program = world.path("tests");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(world.system_dir(), fs::Permissions::from_mode(0o711)).unwrap();
    fs::set_permissions(world.socket(), fs::Permissions::from_mode(0o666)).unwrap();
    let mut command = Command::new("setpriv");
    command.args([&format!("--reuid={USER}"), &format!("--regid={USER}"), "--clear-groups"]).arg(&program);
    let run = command.args(["--exact", AS_ANOTHER, "--nocapture"]).env(SOCKET, world.socket()).output().unwrap();
    let output = format!("{}{}", String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    assert!(run.status.success() && output.contains("1 passed"), "{output}");
}

/// Each request that changes something, as it would be right.
fn requests() -> Vec<(&'static str, String)> {
    let rest = |word| match word {
        "token_update" => "token=\"update in progress\" pid=1 update_timeout=60 cmd=\"x\"",
        "set_global_info" => "token=\"skip\" global_disable=1 disable_reason=\"LVM1\"",
        "pv_found" => "token=\"skip\" pvmeta { id=\"fake\" device=64512 dev_size=1 }",
        _ => "token=\"skip\" uuid=\"x\" vgid=\"x\" version=9",
    };
    let changing = Name::ALL.into_iter().filter(|(_, name)| name.changes());
    changing.map(|(word, _)| (word, format!("request=\"{word}\" {}", rest(word)))).collect()
}

/// A part of other tests, by itself nothing.
#[test]
fn as_another_user() {
    let Some(socket) = std::env::var_os(SOCKET).map(PathBuf::from) else { return };
    let mut client = Client::connect(&socket);
    assert_eq!(client.ask("request=\"hello\"").response(), "OK", "the socket's mode lets him in");
    assert_eq!(client.ask("request=\"pv_list\" token=\"skip\"").response(), "OK");
    let requests = requests();
    assert_eq!(requests.len(), 9);
    for (word, request) in requests {
        let answer = client.ask(&request);
        assert_eq!(
            (answer.response().as_str(), answer.str("reason").as_str()),
            ("failed", "permission denied"),
            "{word}"
        );
    }
    let ask = |method: &str, parameters| call(&socket, method, &parameters, Some(Duration::from_secs(60)));
    assert!(ask("Status", json!({})).is_ok());
    for (method, parameters) in [
        ("Rescan", json!({})),
        ("Reload", json!({})),
        ("Inhibit", json!({ "vg": "vg" })),
        ("Online", json!({ "devices": [], "complete": true })),
    ] {
        let refused = ask(method, parameters).unwrap_err();
        assert!(matches!(refused, Error::Refused(_) | Error::Denied { .. }), "{method}: {refused}");
    }
}

fn is_unchanged(world: &World, daemon: &Daemon) {
    let info = daemon.ask("request=\"get_global_info\" token=\"skip\"");
    assert_eq!((info.int("global_disable"), info.int("update_pid")), (0, 0));
    let status = daemon.status();
    assert_eq!(status["clients"]["refused"]["changes"], 13);
    assert!(world.log().contains("may change nothing (changes: 1 so far)"), "{}", world.log());
    assert_eq!(world.log().matches("may change nothing").count(), 4, "the first, second, fourth and eighth");
}

#[test]
fn another_user_changes_nothing_though_the_socket_is_open_to_him() {
    if needs("another_user_changes_nothing_though_the_socket_is_open_to_him", root()).is_none() {
        return;
    }
    let world = World::new();
    let image = world.path("image");
    write_pv(&image, "a", Some(vg("vg", 1, &["a"])));
    let daemon = world.watch(&[&image]);
    let before = daemon.pvs();
    run_as_another(&world);
    is_unchanged(&world, &daemon);
    assert_eq!(daemon.pvs(), before);
    // Whoever is root may.
    assert_eq!(daemon.ask("request=\"set_global_info\" token=\"skip\" global_invalid=0").response(), "OK");
}

#[test]
fn nor_through_a_socket_that_systemd_made() {
    if needs("nor_through_a_socket_that_systemd_made", root()).is_none() {
        return;
    }
    let world = World::new();
    let listener = UnixListener::bind(world.socket()).unwrap();
    let script = r#"export SD_ACTIVATION=1 LISTEN_PID=$$ LISTEN_FDS=1; exec "$0" "$@" 3<&0 </dev/null"#;
    let mut command = world.command_of(Path::new("sh"));
    let image = world.path("image");
    write_pv(&image, "a", None);
    command.args(["-c", script, env!("CARGO_BIN_EXE_pvwatchd"), "-f", "--devices"]).arg(&image);
    let daemon = world.start_command(command.stdin(Stdio::from(OwnedFd::from(listener))));
    run_as_another(&world);
    is_unchanged(&world, &daemon);
}
