//! Against a systemd of our own, that is PID 1 of namespaces made for it.

use super::*;
use crate::sys::clock;
use crate::sys::testing::needs;
use mio::{Events, Poll};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use tempfile::TempDir;

const VGID: Id = Id(*b"GpJ7WNyKiuO8xEG1iJyQdO4DYSCGa4HS");
const OTHER: Id = Id(*b"00000000000000000000000000000000");
const LONG: Duration = Duration::from_secs(20);
const TOKEN: Token = Token(1);

/// Nothing is mounted or named outside; it ends with the first process, and that with us.
const BOOT: &str = "mount --make-rprivate / && mount -t tmpfs tmpfs /run && \
    mount -t cgroup2 cgroup2 /sys/fs/cgroup && \
    exec env -i container=test SYSTEMD_UNIT_PATH=$0 SYSTEMD_LOG_TARGET=null $1 --system --show-status=false";

/// Set in the process that is in the namespaces: the directory of the test.
const INSIDE: &str = "PVWATCH_TEST_DIRECTORY";

/// Runs the test as a process of the machine's own: systemd talks to nobody whom it cannot name.
fn in_a_machine(name: &str, test: fn(&Machine)) {
    if let Some(directory) = std::env::var_os(INSIDE) {
        return test(&Machine { directory: directory.into() });
    }
    let Some((directory, machine)) = needs(name, boot()) else { return };
    let pid = machine.pid.to_string();
    let test = format!("sys::activation::systemd::tests::{name}");
    let mut command = Command::new("nsenter");
    command.args(["-t", &pid, "-m", "-p"]).arg(std::env::current_exe().unwrap()).args(["--exact", &test]);
    command.args(["--nocapture", "--test-threads=1"]).env(INSIDE, directory.path()).env_remove("CI");
    let mut run = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    while run.try_wait().unwrap().is_none() {
        // From inside nobody can stop PID 1.
        if directory.path().join("stop").exists() {
            kill(machine.pid, Signal::SIGSTOP).unwrap();
            fs::rename(directory.path().join("stop"), directory.path().join("stopped")).unwrap();
        }
        sleep(Duration::from_millis(5));
    }
    let output = run.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
    assert!(String::from_utf8_lossy(&said).contains("1 passed"));
}

struct Booted {
    unshare: Child,
    pid: Pid,
}

fn boot() -> io::Result<(TempDir, Booted)> {
    let places = ["/usr/lib/systemd/systemd", "/lib/systemd/systemd"].into_iter();
    let program = places.into_iter().find(|path| Path::new(path).exists());
    let program = program.ok_or_else(|| io::Error::other("there is no systemd"))?;
    let directory = tempfile::tempdir()?;
    fs::write(directory.path().join("default.target"), "[Unit]\nDescription=Nothing\n")?;
    let mut command = Command::new("unshare");
    command.args(["-mpuiCnf", "--mount-proc", "--kill-child", "sh", "-c", BOOT]).arg(directory.path()).arg(program);
    let unshare = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let mut booted = Booted { pid: Pid::from_raw(0), unshare };
    let started = clock::now();
    while clock::now() < started + LONG {
        if let Some(status) = booted.unshare.try_wait()? {
            return Err(io::Error::other(format!("systemd cannot be run in namespaces: {status}")));
        }
        let children = format!("/proc/{0}/task/{0}/children", booted.unshare.id());
        let child = fs::read_to_string(children)?.split_whitespace().next().and_then(|pid| pid.parse().ok());
        booted.pid = Pid::from_raw(child.unwrap_or(0));
        if child.is_some() && Path::new(&format!("/proc/{}/root{SOCKET}", booted.pid)).exists() {
            return Ok((directory, booted));
        }
        sleep(Duration::from_millis(5));
    }
    Err(io::Error::other("systemd does not come up in namespaces"))
}

impl Drop for Booted {
    fn drop(&mut self) {
        if self.pid.as_raw() > 1 {
            let _ = kill(self.pid, Signal::SIGKILL);
        }
        let _ = self.unshare.kill();
        let _ = self.unshare.wait();
    }
}

struct Machine {
    directory: PathBuf,
}

impl Machine {
    /// A program that says what it was told, and does this.
    fn program(&self, name: &str, script: &str) -> Program {
        let (path, log) = (self.directory.join(name), self.directory.join("log"));
        fs::write(&path, format!("#!/bin/sh\necho \"$@\" >> {}\n{script}\n", log.display())).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        Program::new(Some(&path))
    }

    fn log(&self) -> Vec<String> {
        let log = fs::read_to_string(self.directory.join("log")).unwrap_or_default();
        log.lines().map(str::to_owned).collect()
    }

    fn systemctl(&self, arguments: &[&str]) -> String {
        let output = Command::new("systemctl").args(arguments).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }
}

/// The daemon's loop, as far as it matters here.
struct Loop {
    poll: Poll,
    systemd: Systemd,
    out: Vec<Happening>,
    /// What the clock is ahead.
    ahead: Duration,
}

impl Loop {
    fn new(socket: &Path) -> Loop {
        Loop {
            poll: Poll::new().unwrap(),
            systemd: Systemd::new(socket, TOKEN),
            out: Vec::new(),
            ahead: Duration::ZERO,
        }
    }

    fn now(&self) -> Duration {
        clock::now() + self.ahead
    }

    fn start(&mut self, program: &Program, order: Order) {
        self.systemd.start(self.now(), self.poll.registry(), program, order, &mut self.out);
    }

    fn turn(&mut self) {
        let mut events = Events::with_capacity(16);
        let _ = self.poll.poll(&mut events, Some(Duration::from_millis(20)));
        let now = self.now();
        if !events.is_empty() {
            self.systemd.handle_ready(now, self.poll.registry(), &mut self.out);
        }
        if self.systemd.poll_timeout().is_some_and(|at| at <= now) {
            self.systemd.handle_timeout(now, self.poll.registry(), &mut self.out);
        }
    }

    /// The next thing that happens.
    fn next(&mut self) -> Happening {
        let started = clock::now();
        while self.out.is_empty() {
            assert!(clock::now() < started + LONG, "nothing happens");
            self.turn();
        }
        self.out.remove(0)
    }

    fn run(&mut self, program: &Program, order: Order) -> Outcome {
        let started = Happening::Started(order.vgid, unit::name(&order.name, order.vgid));
        self.start(program, order);
        assert_eq!(self.next(), started);
        self.ended()
    }

    fn ended(&mut self) -> Outcome {
        match self.next() {
            Happening::Ended(_, outcome) => outcome,
            other => panic!("{other:?}"),
        }
    }
}

/// No two tests have a name in common: their machines share one tree of cgroups, and systemd does not
/// forget a unit while anything runs in its cgroup.
fn order(name: &str) -> Order {
    Order { vgid: VGID, name: name.into(), refresh: false, limit: Some(LONG) }
}

fn failure(why: &str) -> Outcome {
    Outcome::Failed { why: why.into(), output: String::new() }
}

#[test]
fn units_run_and_end() {
    in_a_machine("units_run_and_end", |machine| {
        let mut turns = Loop::new(Path::new(SOCKET));
        let good = machine.program("good", "env >> $0.env; exit 0");
        assert_eq!(turns.run(&good, order("a+b-c")), Outcome::Succeeded);
        assert_eq!(machine.log(), ["vgchange -aay --autoactivation event a+b-c"]);
        let environment = fs::read_to_string(machine.directory.join("good.env")).unwrap();
        assert!(environment.contains("PATH=/usr/sbin:/usr/bin:/sbin:/bin\n") && environment.contains("LC_ALL=C\n"));
        assert!(turns.systemd.connection.is_none(), "nobody has anything to say");

        // One that has failed is in the way of its successor.
        let bad = machine.program("bad", "exit 5");
        assert_eq!(turns.run(&bad, order("ends")), failure("exit status 5"));
        let unit = "lvm-activate-ends.service";
        assert_eq!(machine.systemctl(&["is-failed", unit]), "failed");
        assert_eq!(turns.run(&bad, order("ends")), failure("exit status 5"));
        assert_eq!(turns.run(&good, order("ends")), Outcome::Succeeded);
        assert_eq!(machine.systemctl(&["show", "-PLoadState", unit]), "not-found");
        let killed = machine.program("killed", "kill -9 $$");
        assert_eq!(turns.run(&killed, order("ends")), failure("killed by signal 9"));
        let missing = Program::new(Some(Path::new("/nowhere/lvm")));
        assert_eq!(turns.run(&missing, order("vg1")), failure("exit status 203"));

        // The first may fail.
        fs::write(machine.directory.join("log"), "").unwrap();
        let half = machine.program("half", "[ $2 = -aay ]");
        assert_eq!(turns.run(&half, Order { refresh: true, ..order("vg2") }), Outcome::Succeeded);
        assert_eq!(machine.log(), ["vgchange --refresh vg2", "vgchange -aay --autoactivation event vg2"]);

        let slow = machine.program("slow", "sleep 60");
        let limit = Some(Duration::from_millis(100));
        assert_eq!(turns.run(&slow, Order { limit, ..order("vg3") }), Outcome::TimedOut);

        // Several at a time, each with its own end.
        turns.start(&good, Order { vgid: OTHER, ..order("vg4") });
        turns.start(&bad, order("vg5"));
        let mut ends = Vec::new();
        while ends.len() < 2 {
            if let Happening::Ended(vgid, outcome) = turns.next() {
                ends.push((vgid, outcome));
            }
        }
        ends.sort_by_key(|(vgid, _)| *vgid);
        assert_eq!(ends, [(OTHER, Outcome::Succeeded), (VGID, failure("exit status 5"))]);
    });
}

#[test]
fn units_of_others_are_in_the_way() {
    in_a_machine("units_of_others_are_in_the_way", |machine| {
        let mut turns = Loop::new(Path::new(SOCKET));
        let good = machine.program("good", "exit 0");
        let go = machine.directory.join("go");
        let unit = |name: &str, text: &str| {
            fs::write(machine.directory.join(name), format!("[Unit]\nDefaultDependencies=no\n{text}")).unwrap();
            machine.systemctl(&["start", "--no-block", name]);
        };
        let wait = format!("/bin/sh -c 'while [ ! -e {} ]; do sleep 0.05; done'", go.display());

        // Somebody activates it already: what comes of that is what comes of it.
        unit("lvm-activate-one.service", &format!("[Service]\nType=oneshot\nExecStart={wait}\n"));
        while machine.systemctl(&["show", "-PSubState", "lvm-activate-one.service"]) != "start" {
            sleep(Duration::from_millis(5));
        }
        turns.start(&good, order("one"));
        assert_eq!(turns.next(), Happening::Started(VGID, "lvm-activate-one.service".into()));
        fs::write(&go, "").unwrap();
        assert_eq!(turns.ended(), Outcome::Succeeded);
        fs::remove_file(&go).unwrap();

        // Somebody did before, and the unit stays: as those of LVM's own rule do.
        let mut command = Command::new("systemd-run");
        command.args(["-r", "--unit=lvm-activate-two", "-p", "DefaultDependencies=no", "/bin/true"]);
        assert!(command.output().unwrap().status.success());
        while machine.systemctl(&["show", "-PSubState", "lvm-activate-two.service"]) != "exited" {
            sleep(Duration::from_millis(5));
        }
        assert_eq!(turns.run(&good, order("two")), Outcome::Succeeded);
        assert_eq!(machine.log(), ["vgchange -aay --autoactivation event two"]);

        // One that does not end by itself.
        unit("lvm-activate-three.service", &format!("[Service]\nExecStart={wait}\n"));
        while machine.systemctl(&["show", "-PSubState", "lvm-activate-three.service"]) != "running" {
            sleep(Duration::from_millis(5));
        }
        turns.start(&good, order("three"));
        let Outcome::Unknown(why) = turns.ended() else { panic!() };
        assert_eq!(why, "lvm-activate-three.service is there already: running");
        assert_eq!(machine.log().len(), 1);
    });
}

#[test]
fn systemd_executes_itself_anew() {
    in_a_machine("systemd_executes_itself_anew", |machine| {
        let mut turns = Loop::new(Path::new(SOCKET));
        let go = machine.directory.join("go");
        let wait = format!("while [ ! -e {} ]; do sleep 0.05; done; exit 3", go.display());
        let waiting = machine.program("waiting", &wait);
        turns.start(&waiting, order("vg0"));
        assert!(matches!(turns.next(), Happening::Started(..)));
        machine.systemctl(&["daemon-reexec"]);
        while turns.systemd.reconnect.is_none() {
            turns.turn();
        }
        while turns
            .systemd
            .connection
            .as_ref()
            .is_none_or(|connection| !connection.is_open || !connection.asked.is_empty())
        {
            turns.turn();
        }
        fs::write(&go, "").unwrap();
        assert_eq!(turns.ended(), failure("exit status 3"));
    });
}

#[test]
fn systemd_does_not_answer() {
    in_a_machine("systemd_does_not_answer", |machine| {
        let mut turns = Loop::new(Path::new(SOCKET));
        let good = machine.program("good", "exit 0");
        let slow = machine.program("slow", "sleep 60");
        turns.start(&slow, order("vg0"));
        assert!(matches!(turns.next(), Happening::Started(..)));
        fs::write(machine.directory.join("stop"), "").unwrap();
        while !machine.directory.join("stopped").exists() {
            sleep(Duration::from_millis(5));
        }
        turns.start(&good, Order { vgid: OTHER, ..order("vg1") });
        turns.turn();
        assert_eq!(turns.out, []);
        turns.ahead = PATIENCE;
        let mut ends = [turns.next(), turns.next()];
        ends.sort_by_key(|end| matches!(end, Happening::Ended(VGID, _)));
        let why = "systemd does not answer: not for 30 s";
        let unknown = |vgid| Happening::Ended(vgid, Outcome::Unknown(why.into()));
        assert_eq!(ends, [unknown(OTHER), unknown(VGID)]);
        // Nothing has been sent to it yet.
        turns.start(&good, order("vg2"));
        turns.turn();
        turns.ahead += PATIENCE;
        assert_eq!(turns.ended(), Outcome::NotStarted(why.into()));
        // Nor does one whose time is over wait for it.
        turns.start(&good, order("vg3"));
        turns.systemd.end(turns.now(), VGID);
        turns.ahead += GRACE;
        assert!(matches!(turns.ended(), Outcome::NotStarted(_)));
        assert!(turns.systemd.connection.is_none() && turns.systemd.poll_timeout().is_none());
    });
}

#[test]
fn nobody_is_there_or_somebody_else() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("private");
    let mut turns = Loop::new(&socket);
    let program = Program::new(None);
    turns.start(&program, order("vg0"));
    let Outcome::NotStarted(why) = turns.ended() else { panic!() };
    assert!(why.starts_with("systemd cannot be reached: No such file"), "{why}");
    let listener = UnixListener::bind(&socket).unwrap();
    for answer in [&b"REJECTED EXTERNAL\r\n"[..], b"OK 1\r\nl\0\0\x01xxxxxxxxxxxx", &[b'x'; 5000]] {
        turns.start(&program, order("vg0"));
        let (mut peer, _) = listener.accept().unwrap();
        peer.write_all(answer).unwrap();
        while turns.systemd.reconnect.is_none() {
            turns.turn();
        }
        assert!(turns.systemd.connection.is_none());
        // It is tried again, and not for ever.
        turns.ahead += RECONNECT;
        while turns.systemd.connection.is_none() {
            turns.turn();
        }
        drop(listener.accept().unwrap());
        turns.ahead += PATIENCE;
        assert!(matches!(turns.ended(), Outcome::NotStarted(_) | Outcome::Unknown(_)));
    }
}

#[test]
fn one_that_is_slow_answers() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("private");
    let listener = UnixListener::bind(&socket).unwrap();
    let (mut turns, program) = (Loop::new(&socket), Program::new(None));
    turns.start(&program, order("vg0"));
    turns.start(&program, Order { vgid: OTHER, ..order("vg1") });
    let (mut peer, _) = listener.accept().unwrap();
    peer.write_all(b"OK 1\r\n").unwrap();
    while turns.systemd.tasks.values().any(|task| task.state == State::New) {
        turns.turn();
    }
    turns.ahead = PATIENCE - Duration::from_secs(10);
    let job = b"l\x02\x01\x01\x28\0\0\0\x07\0\0\0\x0f\0\0\0\x05\x01u\0\x01\0\0\0\x08\x01g\0\x01o\0\0\
        \x23\0\0\0/org/freedesktop/systemd1/job/12345\0";
    peer.write_all(job).unwrap();
    assert!(matches!(turns.next(), Happening::Started(..)));
    turns.ahead = PATIENCE;
    turns.turn();
    assert!(turns.systemd.connection.is_some() && turns.out.is_empty());
    turns.ahead = 2 * PATIENCE;
    assert!(matches!(turns.ended(), Outcome::Unknown(why) if why.contains("does not answer")));
}
