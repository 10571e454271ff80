//! The socket for who may only read: whom it lets in, and what it answers.

use crate::common::daemon::{Client, Daemon, World};
use crate::common::testing::needs;
use crate::common::{LONG, vg, wait_until, write_pv};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Output};

/// A group and a user of which nothing is known here.
const GROUP: u32 = 54_321;
const USER: u32 = 54_322;

fn a_vg(world: &World) -> Daemon {
    let image = world.path("image");
    write_pv(&image, "a", Some(vg("vg0", 1, &["a"])));
    world.watch(&[&image])
}

/// A caller at this socket.
pub struct Caller {
    pub stream: UnixStream,
    received: Vec<u8>,
}

impl Caller {
    pub fn connect(socket: &Path) -> Caller {
        let stream = UnixStream::connect(socket).unwrap();
        stream.set_read_timeout(Some(LONG)).unwrap();
        stream.set_write_timeout(Some(LONG)).unwrap();
        Caller { stream, received: Vec::new() }
    }

    pub fn send(&mut self, message: &[u8]) {
        self.stream.write_all(message).unwrap();
    }

    pub fn call(&mut self, call: &str) -> Value {
        self.send(call.as_bytes());
        self.send(b"\0");
        self.reply().expect("a reply, not the end")
    }

    pub fn method(&mut self, method: &str) -> Value {
        self.call(&json!({ "method": method }).to_string())
    }

    /// `None` when the daemon has closed the connection.
    pub fn reply(&mut self) -> Option<Value> {
        let mut searched = 0;
        loop {
            if let Some(end) = self.received[searched..].iter().position(|byte| *byte == 0) {
                let rest = self.received.split_off(searched + end + 1);
                let reply = std::mem::replace(&mut self.received, rest);
                return Some(serde_json::from_slice(&reply[..searched + end]).unwrap());
            }
            searched = self.received.len();
            let mut chunk = [0; 4096];
            match self.stream.read(&mut chunk) {
                Ok(0) => return None,
                Ok(length) => self.received.extend_from_slice(&chunk[..length]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("{error}"),
            }
        }
    }
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777
}

fn root() -> io::Result<()> {
    if nix::unistd::geteuid().is_root() { Ok(()) } else { Err(io::Error::other("only root changes users")) }
}

/// `pvwatch status` of somebody else, with this main group and those others.
fn status_as(world: &World, user: u32, group: u32, groups: &str) -> Output {
    ask_as(world, user, group, groups, &["--json", "status"])
}

fn ask_as(world: &World, user: u32, group: u32, groups: &str, words: &[&str]) -> Output {
    // Wherever this was built: others may have no way there.
    let program = world.path("pvwatch");
    fs::copy(env!("CARGO_BIN_EXE_pvwatch"), &program).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = Command::new("setpriv");
    command.arg(format!("--reuid={user}")).arg(format!("--regid={group}"));
    command.arg(if groups.is_empty() { "--clear-groups".to_owned() } else { format!("--groups={groups}") });
    command.arg(program).arg("-s").arg(world.report_socket()).args(words).output().unwrap()
}

#[test]
fn members_of_the_group_may_ask_and_nobody_else() {
    if needs("members_of_the_group_may_ask_and_nobody_else", root()).is_none() {
        return;
    }
    let world = World::new();
    world.configure(&format!("pvwatch {{ socket_group={GROUP} }}"));
    fs::set_permissions(world.system_dir(), fs::Permissions::from_mode(0o711)).unwrap();
    let daemon = a_vg(&world);
    let socket = world.report_socket();
    let owner = || fs::symlink_metadata(&socket).map(|found| (found.uid(), found.gid())).unwrap();
    assert_eq!((mode(&socket), owner()), (0o660, (0, GROUP)));
    assert_eq!(mode(&world.socket()), 0o700);

    let other = GROUP + 1;
    let succeeds = |user, group, groups: &str| status_as(&world, user, group, groups).status.success();
    assert!(succeeds(0, 0, ""));
    assert!(succeeds(USER, GROUP, ""));
    assert!(succeeds(USER, other, &format!("{},{GROUP}", other + 1)));
    assert!(!succeeds(USER, other, ""));
    let report = |group| ask_as(&world, USER, group, "", &["vgs"]).status.code();
    assert_eq!((report(GROUP), report(other)), (Some(0), Some(4)));

    // What the mode of the socket lets in, the daemon does not.
    fs::set_permissions(&socket, fs::Permissions::from_mode(0o666)).unwrap();
    let refused = status_as(&world, USER, other, "");
    assert!(!refused.status.success());
    assert!(world.log().contains(&format!("of user {USER} may not ask")), "{}", world.log());

    world.configure("pvwatch { socket_group=\"no-such-group\" }");
    daemon.signal(Signal::SIGHUP);
    wait_until("the configuration to be read", || mode(&socket) == 0o600);
    wait_until("the log", || world.log().contains("there is no group \"no-such-group\""));
    assert!(!succeeds(USER, GROUP, ""));
    assert!(succeeds(0, 0, ""));
}

#[test]
fn only_what_reads_is_answered() {
    let world = World::new();
    let daemon = a_vg(&world);
    let mut caller = Caller::connect(&world.report_socket());
    assert_eq!(caller.method("io.pvwatch.Status")["parameters"]["status"]["ready"], true);
    let show = |thing: &str| json!({ "method": "io.pvwatch.Show", "parameters": { "thing": thing } }).to_string();
    assert_eq!(caller.call(&show("vg0"))["parameters"]["shown"][0]["name"], "vg0");
    let activations = caller.call(r#"{"method":"io.pvwatch.Activations","parameters":null}"#);
    assert_eq!(activations["parameters"]["activations"][0]["vg"], "vg0");
    let interfaces = caller.method("org.varlink.service.GetInfo")["parameters"]["interfaces"].clone();
    assert_eq!(interfaces, json!(["org.varlink.service", "io.pvwatch"]));
    for method in ["Dump", "Rescan", "Settle", "Reload", "Online"] {
        let reply = caller.method(&format!("io.pvwatch.{method}"));
        assert_eq!(reply["error"], "org.varlink.service.PermissionDenied", "{method}");
    }
    let inhibit = r#"{"method":"io.pvwatch.Inhibit","parameters":{"vg":"vg0"}}"#;
    assert_eq!(caller.call(inhibit)["error"], "org.varlink.service.PermissionDenied");
    assert_eq!(caller.method("io.pvwatch.NoSuch")["error"], "org.varlink.service.MethodNotFound");
    // A path is not looked up.
    let fifo = world.path("link");
    std::os::unix::fs::symlink(world.path("image"), &fifo).unwrap();
    assert_eq!(caller.call(&show(fifo.to_str().unwrap()))["error"], "io.pvwatch.NotFound");
    assert_eq!(
        caller.call(&show(world.path("image").to_str().unwrap()))["parameters"]["shown"][0]["pv"]["vg"]["name"],
        "vg0"
    );
    assert_eq!(daemon.call("Inhibited", &json!({}))["inhibits"], json!([]));
}

#[test]
fn calls_may_come_all_at_once_or_without_a_wish_for_an_answer() {
    let world = World::new();
    let _daemon = a_vg(&world);
    for socket in [world.report_socket(), world.socket()] {
        let mut caller = Caller::connect(&socket);
        caller.send(b"{\"method\":\"io.pvwatch.Status\"}\0{\"method\":\"a\",\"oneway\":true}\0");
        caller.send(b"{\"method\":\"io.pvwatch.Inhibited\",\"oneway\":true}\0{\"method\":\"io.pvwatch.Status\",\"more\":true}\0");
        caller.send(b"{\"method\":\"io.pvwatch.Status\",\"upgrade\":true}\0");
        for _ in 0..2 {
            let reply = caller.reply().unwrap();
            assert!(reply["parameters"]["status"].is_object() && reply["continues"] != true, "{reply}");
        }
        assert_eq!(caller.reply().unwrap()["parameters"]["parameter"], "upgrade");
    }
}

#[test]
fn what_is_no_call_ends_the_connection() {
    let world = World::new();
    let daemon = a_vg(&world);
    let long = vec![b'{'; 64 << 10];
    for wrong in [&b"request=\"hello\"\n\n##\n"[..], b"\0", b"GET / HTTP/1.1\r\n\r\n", &long] {
        let mut caller = Caller::connect(&world.report_socket());
        // It may have been sent away before all of that was sent.
        let _ = caller.stream.write_all(wrong);
        if let Some(reply) = caller.reply() {
            assert_eq!(reply["error"], "org.varlink.service.InvalidParameter");
        }
        assert!(caller.reply().is_none());
    }
    // One that is no right call, but ends like one, does not.
    let mut caller = Caller::connect(&world.report_socket());
    assert_eq!(caller.call("{nonsense}")["error"], "org.varlink.service.InvalidParameter");
    assert!(caller.method("io.pvwatch.Status")["parameters"].is_object());
    // Half a call holds up nobody.
    caller.send(b"{\"method\":\"io.pvwatch.");
    assert!(Caller::connect(&world.report_socket()).method("io.pvwatch.Status")["parameters"].is_object());
    assert_eq!(daemon.ask("request=\"hello\"").response(), "OK");
    caller.send(b"Status\"}\0");
    assert!(caller.reply().unwrap()["parameters"].is_object());
}

#[test]
fn a_crowd_of_readers_keeps_out_nobody_else() {
    let world = World::new();
    let daemon = a_vg(&world);
    let _ = pvwatch::sys::descriptors::raise_limit(8192);
    let mut crowd = Vec::new();
    for _ in 0..4096 {
        match UnixStream::connect(world.report_socket()) {
            Ok(stream) => crowd.push(stream),
            // This process may have less room than the daemon.
            Err(error) => {
                assert_eq!(error.raw_os_error(), Some(nix::libc::EMFILE), "{error}");
                break;
            }
        }
    }
    crowd.truncate(crowd.len().saturating_sub(16));
    assert_eq!(Client::connect(&world.socket()).ask("request=\"hello\"").response(), "OK");
    wait_until("those that are too many to be sent away", || {
        daemon.status()["counts"]["clients"].as_u64().is_some_and(|clients| clients <= 2049)
    });
    drop(crowd);
    wait_until("the rest to be gone", || daemon.status()["counts"]["clients"] == 1);
    assert!(Caller::connect(&world.report_socket()).method("io.pvwatch.Status")["parameters"].is_object());
}

#[test]
fn the_socket_comes_and_goes_with_the_daemon() {
    let world = World::new();
    let socket = world.path("new").join("reports");
    let mut daemon = world.start_command(world.command().env("PVWATCH_SOCKET", &socket).args(["-f", "--no-scan"]));
    assert_eq!(mode(&world.path("new")), 0o755);
    let status = Caller::connect(&socket).method("io.pvwatch.Status");
    assert_eq!(status["parameters"]["status"]["state"], "Empty");
    daemon.signal(Signal::SIGTERM);
    assert!(daemon.wait().success());
    assert!(!socket.exists());

    // One that was killed leaves it.
    let mut daemon = world.start(["--no-scan"]);
    daemon.signal(Signal::SIGKILL);
    daemon.wait();
    assert!(world.report_socket().exists());
    let mut daemon = world.start(["--no-scan"]);
    assert!(Caller::connect(&world.report_socket()).method("io.pvwatch.Status")["parameters"].is_object());
    daemon.signal(Signal::SIGTERM);
    daemon.wait();

    // What stands in its way is said, and holds up nothing else.
    fs::write(world.report_socket(), b"precious").unwrap();
    let mut daemon = world.start(["--no-scan"]);
    assert!(world.log().contains("nobody can ask for reports"), "{}", world.log());
    daemon.signal(Signal::SIGTERM);
    daemon.wait();
    assert_eq!(fs::read(world.report_socket()).unwrap(), b"precious");

    let daemon = world.start(["--no-scan", "--report-socket", ""]);
    assert!(!daemon.status().is_null());
    assert_eq!(fs::read(world.report_socket()).unwrap(), b"precious");
}
