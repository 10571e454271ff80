//! `pvwatch pvs`, `vgs`, `lvs` and `fullreport`: the world's side of reports.

mod live;
mod run;
mod spool;

use crate::report::help;
use crate::report::layout::escape;
use crate::report::options::{self, Command, Options, Refusal};
use std::ffi::OsString;
use std::io::{self, BufWriter, Write};
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

/// Exit statuses, LVM's but for the last.
const USAGE: u8 = 3;
const FAILED: u8 = 5;
const NO_DAEMON: u8 = 4;

/// More than this is written at a time.
const BUFFER: usize = 256 << 10;

/// Why there is no report, and the exit status.
struct Failure {
    lines: Vec<String>,
    status: u8,
}

impl Failure {
    fn new(status: u8, line: impl Into<String>) -> Failure {
        Failure { lines: vec![line.into()], status }
    }
}

/// Does what the words behind the command's name say; asks at this socket, or where reports are to be
/// had. The exit status.
pub fn run(command: Command, socket: Option<&Path>, words: impl IntoIterator<Item = OsString>) -> u8 {
    let words = words.into_iter().map(OsString::into_vec).collect::<Vec<_>>();
    let options = match options::parse(command, &words) {
        Ok(options) => options,
        Err(Refusal(lines)) => {
            complain(&lines, "");
            return USAGE;
        }
    };
    let mut out = BufWriter::with_capacity(BUFFER, io::stdout());
    let status = report(command, socket, &options, &mut out).unwrap_or_else(|failure| {
        let _ = out.flush();
        complain(&failure.lines, "  ");
        failure.status
    });
    match out.flush() {
        // A reader that has gone away is no error of ours.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            complain(&[format!("standard output: {error}")], "  ");
            FAILED
        }
        _ => status,
    }
}

fn report(command: Command, socket: Option<&Path>, options: &Options, out: &mut dyn Write) -> Result<u8, Failure> {
    if options.version {
        writeln!(out, "pvwatch {}", env!("CARGO_PKG_VERSION"))?;
        return Ok(0);
    }
    if options.help {
        write!(out, "{}", help::usage(command))?;
        return Ok(0);
    }
    run::run(command, socket, options, out)
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Failure { lines: Vec::new(), status: 0 },
            _ => Failure::new(FAILED, format!("standard output: {error}")),
        }
    }
}

/// Nor is one who does not hear what is wrong.
fn complain(lines: &[String], indent: &str) {
    let mut stderr = io::stderr().lock();
    for line in lines {
        let _ = stderr.write_all(indent.as_bytes());
        let _ = stderr.write_all(&escape(line.as_bytes()));
        let _ = stderr.write_all(b"\n");
    }
}
