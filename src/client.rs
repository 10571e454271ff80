//! The command's side of the daemon's socket.

use crate::protocol::frame::CALL_END;
use crate::sys::socket::connect_within;
use serde_json::{Value, json};
use std::fmt;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Where the daemon listens for who may only read.
pub const DEFAULT_REPORT_SOCKET: &str = "/run/pvwatch/pvwatch.socket";

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
    NotFound(String),
    /// The daemon refused, or answered what no daemon answers.
    Refused(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Unreachable { socket, error } => {
                write!(f, "cannot reach the daemon at {}: {error}", socket.display())
            }
            Error::TimedOut(waited) => write!(f, "no answer within {} s", waited.as_secs_f64()),
            Error::NotFound(thing) => write!(f, "{thing}: not known"),
            Error::Refused(reason) => f.write_str(reason),
        }
    }
}

impl std::error::Error for Error {}

/// Calls a method and waits for its reply, for ever if there is no timeout.
pub fn call(socket: &Path, method: &str, parameters: &Value, timeout: Option<Duration>) -> Result<Value, Error> {
    let until = timeout.map(|timeout| Instant::now() + timeout);
    let unreachable = |error: io::Error| match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Error::TimedOut(timeout.unwrap_or_default()),
        _ => Error::Unreachable { socket: socket.to_owned(), error },
    };
    let mut stream = connect_within(socket, timeout).map_err(unreachable)?;
    let mut message =
        json!({"method": format!("io.pvwatch.{method}"), "parameters": parameters}).to_string().into_bytes();
    message.push(CALL_END);
    stream.write_all(&message).map_err(unreachable)?;
    let reply = receive(stream, until).map_err(unreachable)?;
    let reply: Value = serde_json::from_slice(&reply)
        .map_err(|error| Error::Refused(format!("{}: not a pvwatchd: {error}", socket.display())))?;
    let parameters = reply.get("parameters").cloned().unwrap_or_default();
    match reply.get("error").and_then(Value::as_str) {
        None => Ok(parameters),
        Some("io.pvwatch.NotFound") => {
            Err(Error::NotFound(parameters["thing"].as_str().unwrap_or_default().to_owned()))
        }
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
