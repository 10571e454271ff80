//! The command's side of the daemon's sockets.

pub mod inventory;

use crate::protocol::frame::CALL_END;
use crate::sys::peer;
use crate::sys::socket::connect_within;
use crate::text::TERMINATOR;
use serde_json::{Value, json};
use std::fmt;
use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Where the daemon listens for root.
pub const DEFAULT_SOCKET: &str = "/run/lvm/lvmetad.socket";
/// Where it does for who may only read.
pub const DEFAULT_REPORT_SOCKET: &str = "/run/pvwatch/pvwatch.socket";

/// What is also answered to who may only read.
pub const READS: [&str; 4] = ["Status", "Show", "Activations", "Inhibited"];

/// The largest reply taken: a dump of the largest cache we can think of.
const REPLY_MAX: usize = 1 << 30;

#[derive(Debug)]
pub enum Error {
    /// Nobody answers at the socket.
    Unreachable {
        socket: PathBuf,
        error: io::Error,
    },
    TimedOut(Duration),
    /// We may not ask there.
    Denied {
        socket: PathBuf,
        /// Besides root, who may.
        group: Option<String>,
    },
    NotFound(String),
    /// The daemon refused, or answered what no daemon answers.
    Refused(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Unreachable { socket, error } => {
                write!(
                    f,
                    "cannot reach the daemon at {}: {error}; to start it: systemctl start pvwatch",
                    socket.display()
                )
            }
            Error::Denied { socket, group: Some(group) } => {
                write!(f, "{}: permission denied: root and members of group {group} may ask", socket.display())
            }
            Error::Denied { socket, group: None } => {
                write!(f, "{}: permission denied: only root may ask", socket.display())
            }
            Error::TimedOut(waited) => write!(f, "no answer within {} s", waited.as_secs_f64()),
            Error::NotFound(thing) => write!(f, "{thing}: not known"),
            Error::Refused(reason) => f.write_str(reason),
        }
    }
}

impl std::error::Error for Error {}

impl Error {
    /// Of connecting, sending or receiving.
    /// There is no daemon to ask, or none that lets us.
    pub fn is_gone(&self) -> bool {
        matches!(self, Error::Unreachable { .. } | Error::Denied { .. })
    }

    fn of(socket: &Path, timeout: Duration, error: io::Error) -> Error {
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Error::TimedOut(timeout),
            io::ErrorKind::PermissionDenied => Error::denied(socket),
            _ => Error::Unreachable { socket: socket.to_owned(), error },
        }
    }

    fn denied(socket: &Path) -> Error {
        let group = fs::symlink_metadata(socket).ok().filter(|found| found.mode() & 0o060 == 0o060);
        let group = group.map(|found| peer::group_name(found.gid()));
        Error::Denied { socket: socket.to_owned(), group }
    }

    /// Of a Varlink error, with what comes with it.
    fn of_name(name: &str, socket: &Path, because: Option<String>) -> Error {
        match name {
            "org.varlink.service.PermissionDenied" => Error::denied(socket),
            "org.varlink.service.MethodNotFound" => {
                Error::Refused("the daemon is an older one, which makes no reports: it has to be restarted".to_owned())
            }
            name => Error::Refused(format!("the daemon refused: {}", because.as_deref().unwrap_or(name))),
        }
    }
}

/// Where to ask for reports: at the sockets that the environment names, or at the usual ones.
pub fn report_sockets() -> Vec<PathBuf> {
    let named = |variable: &str| std::env::var_os(variable).filter(|path| !path.is_empty()).map(PathBuf::from);
    match (named("PVWATCH_SOCKET"), named("LVM_LVMETAD_SOCKET")) {
        (Some(reports), _) => vec![reports],
        (None, Some(lvmetad)) => vec![lvmetad, DEFAULT_REPORT_SOCKET.into()],
        (None, None) => vec![DEFAULT_REPORT_SOCKET.into(), DEFAULT_SOCKET.into()],
    }
}

/// A connection to the first of these sockets that lets us in.
///
/// # Errors
/// Of the first one; if we may not ask there, of one that says who may.
fn connect_first(sockets: &[&Path], timeout: Option<Duration>) -> Result<(PathBuf, UnixStream), Error> {
    let mut errors = Vec::new();
    for socket in sockets {
        match connect_within(socket, timeout) {
            Ok(stream) => return Ok(((*socket).to_owned(), stream)),
            Err(error) => errors.push(Error::of(socket, timeout.unwrap_or_default(), error)),
        }
    }
    let says_who = errors.iter().position(|error| matches!(error, Error::Denied { group: Some(_), .. }));
    let is_denied = matches!(errors.first(), Some(Error::Denied { .. }));
    let of = says_who.filter(|_| is_denied).unwrap_or(0);
    Err(errors.into_iter().nth(of).unwrap_or_else(|| Error::Refused("there is no socket to ask at".to_owned())))
}

/// Calls a method and waits for its reply, for ever if there is no timeout.
pub fn call(socket: &Path, method: &str, parameters: &Value, timeout: Option<Duration>) -> Result<Value, Error> {
    call_first(&[socket], method, parameters, timeout)
}

/// The same at the first of these sockets that lets us in.
pub fn call_first(
    sockets: &[&Path],
    method: &str,
    parameters: &Value,
    timeout: Option<Duration>,
) -> Result<Value, Error> {
    let until = timeout.map(|timeout| Instant::now() + timeout);
    let (socket, mut stream) = connect_first(sockets, timeout)?;
    let failed = |error: io::Error| Error::of(&socket, timeout.unwrap_or_default(), error);
    let mut message =
        json!({"method": format!("io.pvwatch.{method}"), "parameters": parameters}).to_string().into_bytes();
    message.push(CALL_END);
    match stream.write_all(&message) {
        // Why it hangs up it has said before.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => return Err(failed(error)),
        Ok(()) | Err(_) => {}
    }
    let reply = receive(stream, until).map_err(failed)?;
    if reply.ends_with(TERMINATOR) {
        // Before it has heard what is asked, the daemon answers as an LVM command understands it.
        return Err(Error::Refused("the daemon has too many clients".to_owned()));
    }
    let reply: Value = serde_json::from_slice(&reply)
        .map_err(|error| Error::Refused(format!("{}: not a pvwatchd: {error}", socket.display())))?;
    let parameters = reply.get("parameters").cloned().unwrap_or_default();
    match reply.get("error").and_then(Value::as_str) {
        None => Ok(parameters),
        Some("io.pvwatch.NotFound") => {
            Err(Error::NotFound(parameters["thing"].as_str().unwrap_or_default().to_owned()))
        }
        Some("org.varlink.service.PermissionDenied") if !READS.contains(&method) => Err(Error::Refused(format!(
            "{}: permission denied: this is for root, at the socket of lvmetad",
            socket.display()
        ))),
        Some("org.varlink.service.PermissionDenied") => Err(Error::denied(&socket)),
        Some("io.pvwatch.NotScanning") => {
            Err(Error::Refused("the daemon was started with --no-scan and reads no devices".to_owned()))
        }
        Some("io.pvwatch.NotScanned") => {
            let word = |name: &str| parameters[name].as_str().unwrap_or_default();
            Err(Error::Refused(format!("{}: {}", word("device"), word("rule"))))
        }
        Some(error) => Err(Error::Refused(format!("the daemon refused: {error} {parameters}"))),
    }
}

fn receive(stream: UnixStream, until: Option<Instant>) -> io::Result<Vec<u8>> {
    let mut reader = BufReader::new(stream);
    let mut reply = Vec::new();
    loop {
        if let Some(until) = until {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            reader.get_ref().set_read_timeout(Some(left))?;
        }
        let available = match reader.fill_buf() {
            Ok([]) if reply.ends_with(TERMINATOR) => return Ok(reply),
            Ok([]) => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it closed the connection")),
            Ok(available) => available,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if let Some(end) = memchr::memchr(CALL_END, available) {
            reply.extend_from_slice(&available[..end]);
            return Ok(reply);
        }
        reply.extend_from_slice(available);
        let length = available.len();
        reader.consume(length);
        if reply.len() > REPLY_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "its reply has no end"));
        }
    }
}
