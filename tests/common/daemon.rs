//! A daemon of its own for each test, and its clients.

use super::{LONG, wait_for, wait_until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use pvwatch::text::{self, Section};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use tempfile::TempDir;

/// The token of a machine without a `global_filter`.
pub const DEFAULT_TOKEN: &str = "filter:3239235440";

/// A directory with everything one daemon needs.
pub struct World {
    directory: TempDir,
}

impl World {
    pub fn new() -> World {
        let directory = tempfile::Builder::new().prefix(super::loops::PREFIX).tempdir().unwrap();
        let world = World { directory };
        // Whatever a test configures: the machine's own run files are none of ours.
        world.write_run_files_to(&world.run_dir());
        world
    }

    /// Where the daemon writes its run files, once there is something to write.
    pub fn run_dir(&self) -> PathBuf {
        self.path("run")
    }

    pub fn write_run_files_to(&self, directory: &Path) {
        let conf = format!("pvwatch {{ run_dir=\"{}\" }}\n", directory.display());
        fs::write(self.path("lvmlocal.conf"), conf).unwrap();
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn socket(&self) -> PathBuf {
        self.path("socket")
    }

    /// The one for who may only read.
    pub fn report_socket(&self) -> PathBuf {
        self.path("reports")
    }

    pub fn pid_file(&self) -> PathBuf {
        self.path("pid")
    }

    /// Where the daemon finds its `lvm.conf`, and so does `lvm`.
    pub fn system_dir(&self) -> &Path {
        self.directory.path()
    }

    pub fn configure(&self, conf: &str) {
        fs::write(self.path("lvm.conf"), conf).unwrap();
    }

    /// `pvwatchd` with our paths, and nothing else from our environment.
    pub fn command(&self) -> Command {
        self.command_of(Path::new(env!("CARGO_BIN_EXE_pvwatchd")))
    }

    pub fn command_of(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
            .env("LVM_SYSTEM_DIR", self.system_dir())
            .env("LVM_LVMETAD_SOCKET", self.socket())
            .env("PVWATCH_SOCKET", self.report_socket())
            .env("LVM_LVMETAD_PIDFILE", self.pid_file())
            .stdin(Stdio::null());
        command
    }

    /// Starts a daemon in the foreground, and waits until it is ready.
    pub fn start<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Daemon {
        self.start_command(self.command().arg("-f").args(arguments))
    }

    /// A daemon that watches these.
    pub fn watch(&self, devices: &[&Path]) -> Daemon {
        self.start(devices.iter().flat_map(|device| [OsStr::new("--devices"), device.as_os_str()]))
    }

    pub fn start_command(&self, command: &mut Command) -> Daemon {
        self.start_command_at(command, self.socket())
    }

    /// One that has been told another socket.
    pub fn start_command_at(&self, command: &mut Command, socket: PathBuf) -> Daemon {
        let mut daemon = self.spawn(command);
        daemon.socket = socket;
        wait_until("the daemon to be ready", || {
            daemon.try_call("Status", &json!({})).is_ok_and(|reply| reply["status"]["ready"] == true)
        });
        daemon
    }

    /// Starts a daemon and does not wait.
    pub fn spawn(&self, command: &mut Command) -> Daemon {
        let log = self.path("log");
        let stderr = File::options().create(true).append(true).open(&log).unwrap();
        Daemon { process: command.stderr(stderr).spawn().unwrap(), socket: self.socket(), log }
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }
}

/// A running daemon; it is killed at the end.
pub struct Daemon {
    process: Child,
    socket: PathBuf,
    log: PathBuf,
}

impl Daemon {
    pub fn pid(&self) -> Pid {
        Pid::from_raw(self.process.id().try_into().unwrap())
    }

    pub fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).unwrap();
    }

    pub fn wait(&mut self) -> ExitStatus {
        wait_for("the daemon to leave", || self.process.try_wait().unwrap())
    }

    pub fn has_left(&mut self) -> bool {
        self.process.try_wait().unwrap().is_some()
    }

    pub fn connect(&self) -> Client {
        Client::connect(&self.socket)
    }

    /// One request on a connection of its own.
    pub fn ask(&self, request: &str) -> Answer {
        self.connect().ask(request)
    }

    pub fn try_call(&self, method: &str, parameters: &Value) -> Result<Value, pvwatch::client::Error> {
        pvwatch::client::call(&self.socket, method, parameters, Some(LONG))
    }

    pub fn call(&self, method: &str, parameters: &Value) -> Value {
        self.try_call(method, parameters).unwrap_or_else(|error| panic!("{method}: {error}"))
    }

    pub fn status(&self) -> Value {
        self.call("Status", &json!({}))["status"].take()
    }

    /// Everything that goes by this name; nothing if nothing does.
    pub fn show(&self, thing: impl AsRef<Path>) -> Vec<Value> {
        match self.try_call("Show", &json!({ "thing": thing.as_ref() })) {
            Ok(shown) => shown["shown"].as_array().unwrap().clone(),
            Err(pvwatch::client::Error::NotFound(_)) => Vec::new(),
            Err(error) => panic!("{error}"),
        }
    }

    /// What is shown of a device, or of anything else that only one thing is named like.
    pub fn show_one(&self, thing: impl AsRef<Path>) -> Value {
        match &self.show(thing.as_ref())[..] {
            [only] => only.clone(),
            other => panic!("{}: {other:?}", thing.as_ref().display()),
        }
    }

    /// The names of the quarantined devices.
    pub fn settle(&self) -> Vec<String> {
        let reply = self.call("Settle", &json!({}));
        reply["quarantined"].as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned()).collect()
    }

    /// The PVIDs of the PVs, each with the number of its device.
    pub fn pvs(&self) -> BTreeMap<String, i64> {
        let list = self.ask("request=\"pv_list\" token=\"skip\"");
        let section = list.section();
        let pvs = section.section("physical_volumes").expect("pv_list has a list");
        pvs.sections().map(|(pvid, pv)| (String::from_utf8_lossy(pvid).into(), pv.int("device").unwrap())).collect()
    }

    /// The VG of this name as it is served, once everything that has happened is in the cache.
    pub fn vg(&self, name: &str) -> Option<Vg> {
        self.settle();
        self.vg_now(name)
    }

    /// The VG as it is served now.
    pub fn vg_now(&self, name: &str) -> Option<Vg> {
        let answer = self.ask(&format!("request=\"vg_lookup\" name=\"{name}\" token=\"skip\""));
        match answer.response().as_str() {
            "OK" => Some(Vg::read(&answer)),
            "unknown" => None,
            other => panic!("{other}"),
        }
    }

    /// The processes it has started, which are its readers.
    pub fn readers(&self) -> Vec<Pid> {
        let parent = format!("PPid:\t{}", self.pid());
        let processes =
            fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.file_name().into_string().ok());
        let children = processes.filter_map(|name| name.parse().ok()).filter(|process: &i32| {
            let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
            status.lines().any(|line| line == parent)
        });
        children.map(Pid::from_raw).collect()
    }
}

/// Stops processes, and waits until they have stopped.
pub fn stop(processes: &[Pid]) {
    for process in processes {
        kill(*process, Signal::SIGSTOP).unwrap();
        wait_until("it to stop", || {
            fs::read_to_string(format!("/proc/{process}/stat")).is_ok_and(|stat| stat.contains(") T "))
        });
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        if std::thread::panicking() {
            eprintln!("--- log of the daemon\n{}---", fs::read_to_string(&self.log).unwrap_or_default());
        }
    }
}

/// What `vg_lookup` says.
#[derive(Debug, PartialEq, Eq)]
pub struct Vg {
    pub seqno: i64,
    /// The PVIDs of those that are there, with the numbers of their devices, and of those that
    /// are not.
    pub present: BTreeMap<String, i64>,
    pub missing: Vec<String>,
    pub outdated: Vec<String>,
    pub lvs: Vec<String>,
}

impl Vg {
    fn read(answer: &Answer) -> Vg {
        let section = answer.section();
        let metadata = section.section("metadata").expect("a VG that is found has metadata");
        let names = |path: &str| -> Vec<String> {
            let children = metadata.section(path).into_iter().flat_map(Section::sections);
            children.map(|(name, _)| String::from_utf8_lossy(name).into_owned()).collect()
        };
        let mut vg = Vg {
            seqno: metadata.int("seqno").unwrap(),
            present: BTreeMap::new(),
            missing: Vec::new(),
            outdated: names("outdated_pvs"),
            lvs: names("logical_volumes"),
        };
        for (_, pv) in metadata.section("physical_volumes").into_iter().flat_map(Section::sections) {
            let pvid = String::from_utf8_lossy(pv.str("id").unwrap()).into_owned();
            let is_marked = pv.value("status").is_some_and(|status| status.strings().any(|word| word == b"MISSING"));
            match pv.int("device") {
                Some(device) if !is_marked => drop(vg.present.insert(pvid, device)),
                None if is_marked => vg.missing.push(pvid),
                device => panic!("PV {pvid}: device {device:?}, marked missing: {is_marked}"),
            }
        }
        vg
    }

    pub fn is_complete(&self) -> bool {
        self.missing.is_empty()
    }
}

/// A client of lvmetad's protocol.
pub struct Client {
    pub stream: UnixStream,
    /// Received behind the last answer.
    received: Vec<u8>,
}

const TERMINATOR: &[u8] = b"\n##\n";

impl Client {
    pub fn connect(socket: &Path) -> Client {
        let stream = UnixStream::connect(socket).unwrap();
        stream.set_read_timeout(Some(LONG)).unwrap();
        stream.set_write_timeout(Some(LONG)).unwrap();
        Client { stream, received: Vec::new() }
    }

    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    pub fn ask(&mut self, request: &str) -> Answer {
        self.send(format!("{request}\n\n##\n").as_bytes());
        self.answer()
    }

    /// The next answer.
    pub fn answer(&mut self) -> Answer {
        self.try_answer().unwrap().expect("an answer, not the end")
    }

    /// `None` when the daemon has closed the connection.
    pub fn try_answer(&mut self) -> io::Result<Option<Answer>> {
        let mut searched = 0;
        loop {
            if let Some(at) = memchr_find(&self.received[searched..]) {
                let rest = self.received.split_off(searched + at + TERMINATOR.len());
                let mut answer = std::mem::replace(&mut self.received, rest);
                answer.truncate(searched + at);
                return Ok(Some(Answer(answer)));
            }
            searched = self.received.len().saturating_sub(TERMINATOR.len() - 1);
            let mut chunk = vec![0; 64 << 10];
            match self.stream.read(&mut chunk) {
                Ok(0) => return Ok(None),
                Ok(length) => self.received.extend_from_slice(&chunk[..length]),
                // A child of a test beside this one has exited.
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

fn memchr_find(bytes: &[u8]) -> Option<usize> {
    bytes.windows(TERMINATOR.len()).position(|window| window == TERMINATOR)
}

/// An answer without its terminator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer(pub Vec<u8>);

impl Answer {
    pub fn section(&self) -> Section<'_> {
        text::parse(&self.0).unwrap_or_else(|error| panic!("{error}: {}", self.0.escape_ascii()))
    }

    pub fn str(&self, path: &str) -> String {
        String::from_utf8_lossy(self.section().str(path).unwrap_or_default()).into_owned()
    }

    pub fn int(&self, path: &str) -> i64 {
        self.section().int(path).unwrap_or_else(|| panic!("{path} in {}", self.0.escape_ascii()))
    }

    pub fn response(&self) -> String {
        self.str("response")
    }
}
