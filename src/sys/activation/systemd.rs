//! Activation by systemd, as a transient unit, over its private socket.
//!
//! Nothing here waits: a PID 1 that does not answer holds nobody up. The connection lasts as long as
//! there is something to do, since over this socket systemd tells everything that happens to any unit.

use super::wire::{Garbage, Kind, Message, Reader, Writer, call};
use super::{Happening, Program, activate, not_started, refresh};
use crate::activation::{Order, Outcome, unit};
use crate::id::Id;
use mio::net::UnixStream;
use mio::{Interest, Registry, Token};
use nix::unistd::geteuid;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Whether systemd runs, as `sd_booted` finds out.
pub fn is_running() -> bool {
    Path::new("/run/systemd/system").is_dir()
}

pub const SOCKET: &str = "/run/systemd/private";

/// So long an answer is awaited.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two tries to connect when the connection has been lost, as when systemd executes itself anew.
const RECONNECT: Duration = Duration::from_millis(500);
/// SIGTERM, that long, SIGKILL, and once more that long: the unit has ended then.
const STOP: Duration = Duration::from_secs(5);
/// By then systemd itself has ended what took too long.
const GRACE: Duration = Duration::from_secs(15);
/// A unit that has failed, and one that is active, can be in the way; and one that has ended, until
/// systemd has forgotten it, which is some answers later.
const TRIES: u8 = 100;
const CHUNK: usize = 64 << 10;
/// Of the authentication.
const LINE_MAX: usize = 1024;

const MANAGER: &str = "/org/freedesktop/systemd1";
const MANAGER_INTERFACE: &str = "org.freedesktop.systemd1.Manager";
const UNIT_INTERFACE: &str = "org.freedesktop.systemd1.Unit";
const SERVICE_INTERFACE: &str = "org.freedesktop.systemd1.Service";
const UNIT_EXISTS: &str = "org.freedesktop.systemd1.UnitExists";

pub struct Systemd {
    socket: PathBuf,
    token: Token,
    connection: Option<Connection>,
    tasks: BTreeMap<Id, Task>,
    reconnect: Option<Reconnect>,
}

/// A connection has been lost, and there is none that works.
#[derive(Clone, Copy)]
struct Reconnect {
    /// The next try; `None` while one is under way.
    next: Option<Duration>,
    given_up_at: Duration,
}

struct Task {
    order: Order,
    program: Program,
    unit: String,
    state: State,
    tries: u8,
    told: bool,
    /// Its time is over, and so long it is waited for systemd to say so.
    given_up_at: Option<Duration>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    /// Nothing has been sent.
    New,
    Starting,
    /// A failed unit of this name is in the way.
    Resetting,
    /// There is a unit of this name: what does it do?
    Looking,
    /// It has ended, and is active all the same. The job, once that is known.
    Stopping(Option<String>),
    /// This job, or whichever there is.
    Running(Option<String>),
    /// It has failed: why?
    AskingResult,
    AskingStatus(String),
}

struct Connection {
    stream: UnixStream,
    received: Vec<u8>,
    to_send: Vec<u8>,
    /// Authentication is over.
    is_open: bool,
    serial: u32,
    /// Calls without an answer.
    asked: BTreeMap<u32, Id>,
    /// When it is given up, if something is awaited.
    patience: Option<Duration>,
}

impl Systemd {
    pub fn new(socket: &Path, token: Token) -> Systemd {
        Systemd { socket: socket.to_owned(), token, connection: None, tasks: BTreeMap::new(), reconnect: None }
    }

    pub fn start(
        &mut self,
        now: Duration,
        registry: &Registry,
        program: &Program,
        order: Order,
        out: &mut Vec<Happening>,
    ) {
        if self.connection.is_none()
            && let Err(error) = self.connect(now, registry)
        {
            return out.push(not_started(&order, format!("systemd cannot be reached: {error}")));
        }
        let unit = unit::name(&order.name, order.vgid);
        let vgid = order.vgid;
        let program = program.clone();
        let task = Task { order, program, unit, state: State::New, tries: 0, told: false, given_up_at: None };
        self.tasks.insert(vgid, task);
        self.go_on(now, registry, out);
    }

    /// Its time is over. systemd has been told how long it may take, and ends it.
    pub fn end(&mut self, now: Duration, vgid: Id) {
        if let Some(task) = self.tasks.get_mut(&vgid) {
            task.given_up_at.get_or_insert(now + GRACE);
        }
    }

    pub fn poll_timeout(&self) -> Option<Duration> {
        let given_up = self.tasks.values().filter_map(|task| task.given_up_at);
        let patience = self.connection.as_ref().and_then(|connection| connection.patience);
        given_up.chain(patience).chain(self.reconnect.and_then(|reconnect| reconnect.next)).min()
    }

    pub fn handle_timeout(&mut self, now: Duration, registry: &Registry, out: &mut Vec<Happening>) {
        let over = self.tasks.iter().filter(|(_, task)| task.given_up_at.is_some_and(|at| at <= now));
        for (vgid, is_new) in over.map(|(vgid, task)| (*vgid, task.state == State::New)).collect::<Vec<_>>() {
            let outcome = match is_new {
                true => Outcome::NotStarted("systemd does not answer".to_owned()),
                false => Outcome::TimedOut,
            };
            self.finish(vgid, outcome, out);
        }
        let patience = self.connection.as_ref().and_then(|connection| connection.patience);
        if patience.is_some_and(|at| at <= now) {
            self.disconnect(registry);
            let why = format!("systemd does not answer: not for {} s", PATIENCE.as_secs());
            self.reconnect = None;
            self.finish_all(&why, out);
        }
        if self.reconnect.and_then(|reconnect| reconnect.next).is_some_and(|next| next <= now)
            && let Err(error) = self.connect(now, registry)
        {
            self.lost(now, registry, &error, out);
        }
        self.go_on(now, registry, out);
    }

    pub fn handle_ready(&mut self, now: Duration, registry: &Registry, out: &mut Vec<Happening>) {
        while let Some(connection) = &mut self.connection {
            let received = connection.receive();
            let result = self.take_messages(now, out);
            match received.and_then(|more| result.map(|()| more)) {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => self.lost(now, registry, &error, out),
            }
        }
        self.go_on(now, registry, out);
    }

    fn connect(&mut self, now: Duration, registry: &Registry) -> io::Result<()> {
        let mut stream = UnixStream::connect(&self.socket)?;
        registry.register(&mut stream, self.token, Interest::READABLE | Interest::WRITABLE)?;
        let user = geteuid().to_string().bytes().map(|digit| format!("{digit:02x}")).collect::<String>();
        if let Some(reconnect) = &mut self.reconnect {
            reconnect.next = None;
        }
        self.connection = Some(Connection {
            stream,
            received: Vec::new(),
            to_send: format!("\0AUTH EXTERNAL {user}\r\n").into_bytes(),
            is_open: false,
            serial: 0,
            asked: BTreeMap::new(),
            patience: Some(now + PATIENCE),
        });
        Ok(())
    }

    fn disconnect(&mut self, registry: &Registry) {
        if let Some(mut connection) = self.connection.take() {
            let _ = registry.deregister(&mut connection.stream);
        }
    }

    /// What has begun goes on without us, and there will be somebody to ask again, as when systemd has
    /// executed itself anew.
    fn lost(&mut self, now: Duration, registry: &Registry, error: &io::Error, out: &mut Vec<Happening>) {
        log::debug!("there is no connection to systemd: {error}");
        self.disconnect(registry);
        let reconnect = self.reconnect.get_or_insert(Reconnect { next: None, given_up_at: now + PATIENCE });
        reconnect.next = Some(now + RECONNECT);
        if reconnect.given_up_at <= now {
            self.reconnect = None;
            return self.finish_all(&format!("there is no connection to systemd: {error}"), out);
        }
        for task in self.tasks.values_mut().filter(|task| task.state != State::New) {
            task.state = State::Running(None);
        }
    }

    fn finish(&mut self, vgid: Id, outcome: Outcome, out: &mut Vec<Happening>) {
        if self.tasks.remove(&vgid).is_some() {
            out.push(Happening::Ended(vgid, outcome));
        }
    }

    fn finish_all(&mut self, why: &str, out: &mut Vec<Happening>) {
        for (vgid, task) in std::mem::take(&mut self.tasks) {
            let outcome = match task.state {
                State::New => Outcome::NotStarted(why.to_owned()),
                _ => Outcome::Unknown(why.to_owned()),
            };
            out.push(Happening::Ended(vgid, outcome));
        }
    }

    /// Sends what there is to be sent, and leaves when there is nothing more to do.
    fn go_on(&mut self, now: Duration, registry: &Registry, out: &mut Vec<Happening>) {
        if self.tasks.is_empty() {
            self.reconnect = None;
            return self.disconnect(registry);
        }
        let Some(connection) = &mut self.connection else { return };
        if connection.is_open {
            let new = self.tasks.iter_mut().filter(|(_, task)| task.state == State::New);
            for (vgid, task) in new {
                task.state = State::Starting;
                connection.ask(now, *vgid, &Ask::start(task));
            }
        }
        if let Err(error) = connection.send() {
            self.lost(now, registry, &error, out);
        }
    }

    fn take_messages(&mut self, now: Duration, out: &mut Vec<Happening>) -> io::Result<()> {
        let Some(connection) = &mut self.connection else { return Ok(()) };
        let received = std::mem::take(&mut connection.received);
        let mut rest = &received[..];
        if !connection.is_open {
            let Some(end) = memchr::memchr(b'\n', rest) else {
                connection.received = received;
                return if connection.received.len() < LINE_MAX { Ok(()) } else { Err(garbage(Garbage)) };
            };
            if !rest.starts_with(b"OK ") {
                let refused = String::from_utf8_lossy(rest[..end].trim_ascii());
                return Err(io::Error::other(format!("it refuses to talk to us: {refused}")));
            }
            rest = &rest[end + 1..];
            connection.is_open = true;
            connection.patience = None;
            self.reconnect = None;
            connection.to_send.extend(b"BEGIN\r\n");
            // What had begun when an earlier connection was lost.
            for (vgid, task) in self.tasks.iter_mut().filter(|(_, task)| task.state == State::Running(None)) {
                connection.ask(now, *vgid, &Ask::property(task, UNIT_INTERFACE, "SubState"));
            }
        }
        while let Some((message, length)) = Message::parse(rest).map_err(garbage)? {
            rest = &rest[length..];
            match message.kind {
                Kind::Return | Kind::Error => self.answered(now, &message, out),
                Kind::Signal if message.member == Some("JobRemoved") => self.job_removed(now, &message, out),
                Kind::Signal | Kind::Call | Kind::Other => {}
            }
        }
        if let Some(connection) = &mut self.connection {
            connection.received = rest.to_vec();
        }
        Ok(())
    }

    fn answered(&mut self, now: Duration, message: &Message, out: &mut Vec<Happening>) {
        let Some(connection) = &mut self.connection else { return };
        let Some(vgid) = message.reply_to.and_then(|serial| connection.asked.remove(&serial)) else { return };
        // It answers one after the other.
        connection.patience = (!connection.asked.is_empty()).then_some(now + PATIENCE);
        // It may have been given up meanwhile.
        let Some(task) = self.tasks.get_mut(&vgid) else { return };
        let next = task.answered(message);
        self.follow(now, vgid, next, out);
    }

    fn job_removed(&mut self, now: Duration, message: &Message, out: &mut Vec<Happening>) {
        let Ok((job, unit, result)) = read_job_removed(message) else { return };
        let of_unit = self.tasks.iter().find(|(_, task)| task.unit == unit);
        let Some((vgid, task)) = of_unit else { return };
        let is_ours = |known: &Option<String>| known.as_ref().is_none_or(|known| known == job);
        let next = match &task.state {
            State::Stopping(known) if is_ours(known) => Next::Ask(State::Starting),
            State::Running(known) if is_ours(known) => match result {
                "done" => Next::End(Outcome::Succeeded),
                "failed" => Next::Ask(State::AskingResult),
                "timeout" => Next::End(Outcome::TimedOut),
                other => Next::End(failed(format!("systemd: {other}"))),
            },
            _ => return,
        };
        self.follow(now, *vgid, next, out);
    }

    fn follow(&mut self, now: Duration, vgid: Id, next: Next, out: &mut Vec<Happening>) {
        let (Some(task), Some(connection)) = (self.tasks.get_mut(&vgid), &mut self.connection) else { return };
        match next {
            Next::End(outcome) => return self.finish(vgid, outcome, out),
            Next::Wait(state) => task.state = state,
            Next::Ask(state) => {
                task.state = state;
                connection.ask(now, vgid, &Ask::of(task));
            }
        }
        if matches!(task.state, State::Running(_)) && !task.told {
            task.told = true;
            out.push(Happening::Started(vgid, task.unit.clone()));
        }
    }
}

fn garbage(_: Garbage) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "what came is no message")
}

fn failed(why: String) -> Outcome {
    Outcome::Failed { why, output: String::new() }
}

fn read_job_removed<'b>(message: &Message<'b>) -> Result<(&'b str, &'b str, &'b str), Garbage> {
    let mut body = message.body("uoss")?;
    body.u32()?;
    Ok((body.string()?, body.string()?, body.string()?))
}

enum Next {
    Ask(State),
    Wait(State),
    End(Outcome),
}

impl Task {
    /// What follows from the answer to what was asked last.
    fn answered(&mut self, message: &Message) -> Next {
        let is_error = message.kind == Kind::Error;
        match &self.state {
            State::Starting if message.error == Some(UNIT_EXISTS) => {
                self.tries += 1;
                match self.tries {
                    1 => Next::Ask(State::Resetting),
                    tries if tries < TRIES => Next::Ask(State::Looking),
                    _ => Next::End(Outcome::NotStarted(format!("{} is in the way", self.unit))),
                }
            }
            State::Starting | State::Stopping(_) if is_error => {
                Next::End(Outcome::NotStarted(format!("systemd: {}", message.error_text())))
            }
            State::Starting => Next::Wait(State::Running(job(message))),
            State::Stopping(_) => Next::Wait(State::Stopping(job(message))),
            // That there is none is as good.
            State::Resetting => Next::Ask(State::Starting),
            State::Looking => match string(message).as_deref() {
                Some("exited") => Next::Ask(State::Stopping(None)),
                Some("start-pre" | "start" | "start-post") => Next::Wait(State::Running(None)),
                Some("dead" | "failed") | None => Next::Ask(State::Starting),
                Some(state) => Next::End(Outcome::Unknown(format!("{} is there already: {state}", self.unit))),
            },
            State::Running(_) => match string(message).as_deref() {
                Some("failed") => Next::Ask(State::AskingResult),
                Some("dead" | "exited") | None => {
                    Next::End(Outcome::Unknown("it ended while there was no connection to systemd".to_owned()))
                }
                // It goes on, and its job will end.
                Some(_) => Next::Wait(self.state.clone()),
            },
            State::AskingResult => match string(message).as_deref() {
                Some(result @ ("exit-code" | "signal" | "core-dump")) => {
                    Next::Ask(State::AskingStatus(result.to_owned()))
                }
                Some("timeout") => Next::End(Outcome::TimedOut),
                Some(result) => Next::End(failed(format!("systemd: {result}"))),
                None => Next::End(failed("systemd: failed".to_owned())),
            },
            State::AskingStatus(result) => {
                let status = variant(message, "i").and_then(|mut value| value.i32());
                Next::End(failed(match (result.as_str(), status) {
                    ("exit-code", Ok(status)) => format!("exit status {status}"),
                    (_, Ok(signal)) => format!("killed by signal {signal}"),
                    (result, Err(_)) => format!("systemd: {result}"),
                }))
            }
            State::New => Next::Wait(State::New),
        }
    }
}

fn job(message: &Message) -> Option<String> {
    message.body("o").and_then(|mut body| body.string()).ok().map(str::to_owned)
}

/// The value of a property of this type.
fn variant<'b>(message: &Message<'b>, signature: &str) -> Result<Reader<'b>, Garbage> {
    let mut body = message.body("v")?;
    if body.signature()? == signature { Ok(body) } else { Err(Garbage) }
}

fn string(message: &Message) -> Option<String> {
    variant(message, "s").and_then(|mut value| value.string()).ok().map(str::to_owned)
}

/// A call to be made.
struct Ask {
    path: String,
    method: (&'static str, &'static str),
    signature: &'static str,
    body: Writer,
}

impl Ask {
    fn of(task: &Task) -> Ask {
        match &task.state {
            State::New | State::Starting => Ask::start(task),
            State::Resetting => {
                let mut body = Writer::default();
                body.string(task.unit.as_bytes());
                Ask::manager("ResetFailedUnit", "s", body)
            }
            State::Stopping(_) => {
                let mut body = Writer::default();
                body.string(task.unit.as_bytes()).string(b"fail");
                Ask::manager("StopUnit", "ss", body)
            }
            State::Looking | State::Running(_) => Ask::property(task, UNIT_INTERFACE, "SubState"),
            State::AskingResult => Ask::property(task, SERVICE_INTERFACE, "Result"),
            State::AskingStatus(_) => Ask::property(task, SERVICE_INTERFACE, "ExecMainStatus"),
        }
    }

    fn manager(method: &'static str, signature: &'static str, body: Writer) -> Ask {
        Ask { path: MANAGER.to_owned(), method: (MANAGER_INTERFACE, method), signature, body }
    }

    fn property(task: &Task, interface: &str, name: &str) -> Ask {
        let mut body = Writer::default();
        body.string(interface.as_bytes()).string(name.as_bytes());
        let method = ("org.freedesktop.DBus.Properties", "Get");
        Ask { path: object(&task.unit), method, signature: "ss", body }
    }

    /// systemd kills the command when it takes too long, and nothing that the command has left to
    /// itself, such as dmeventd.
    fn start(task: &Task) -> Ask {
        let (order, program) = (&task.order, &task.program);
        let mut body = Writer::default();
        body.string(task.unit.as_bytes()).string(b"fail").array(8, |out| {
            let description = [b"Activation of LVM volume group ", &*order.name].concat();
            property(out, "Description", "s").string(&description);
            property(out, "Type", "s").string(b"oneshot");
            property(out, "DefaultDependencies", "b").bool(false);
            property(out, "KillMode", "s").string(b"process");
            property(out, "TimeoutStopUSec", "t").u64(microseconds(Some(STOP)));
            property(out, "TimeoutStartUSec", "t").u64(microseconds(order.limit));
            property(out, "Environment", "as").array(4, |out| {
                for (name, value) in &program.environment {
                    out.string(&[name.as_bytes(), b"=", value.as_bytes()].concat());
                }
            });
            property(out, "ExecStart", "a(sasb)").array(8, |out| {
                if order.refresh {
                    command(out, program.path(), &refresh(&order.name), true);
                }
                command(out, program.path(), &activate(&order.name), false);
            });
        });
        body.array(8, |_| {});
        Ask::manager("StartTransientUnit", "ssa(sv)a(sa(sv))", body)
    }
}

fn property<'w>(out: &'w mut Writer, name: &str, signature: &str) -> &'w mut Writer {
    out.align(8).string(name.as_bytes()).signature(signature)
}

fn command(out: &mut Writer, program: &Path, arguments: &[&OsStr], may_fail: bool) {
    let program = program.as_os_str();
    out.align(8).string(program.as_bytes()).array(4, |out| {
        for argument in std::iter::once(&program).chain(arguments) {
            out.string(argument.as_bytes());
        }
    });
    out.bool(may_fail);
}

/// `None` is for ever.
fn microseconds(time: Option<Duration>) -> u64 {
    time.map_or(u64::MAX, |time| u64::try_from(time.as_micros()).unwrap_or(u64::MAX))
}

/// The unit's path: what is no letter and no digit is escaped.
fn object(unit: &str) -> String {
    let mut path = format!("{MANAGER}/unit/");
    for byte in unit.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => path.push(char::from(byte)),
            _ => path.push_str(&format!("_{byte:02x}")),
        }
    }
    path
}

impl Connection {
    fn ask(&mut self, now: Duration, vgid: Id, ask: &Ask) {
        self.serial += 1;
        self.to_send.extend(call(self.serial, &ask.path, ask.method, ask.signature, &ask.body));
        self.asked.insert(self.serial, vgid);
        self.patience.get_or_insert(now + PATIENCE);
    }

    fn send(&mut self) -> io::Result<()> {
        while !self.to_send.is_empty() {
            match self.stream.write(&self.to_send) {
                Ok(length) => drop(self.to_send.drain(..length)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Reads some of what there is: whether there may be more. An error also when that was all that
    /// will come.
    fn receive(&mut self) -> io::Result<bool> {
        loop {
            let have = self.received.len();
            self.received.resize(have + CHUNK, 0);
            let result = self.stream.read(&mut self.received[have..]);
            self.received.truncate(have + *result.as_ref().unwrap_or(&0));
            match result {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) => return Ok(true),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

#[cfg(test)]
mod tests;
