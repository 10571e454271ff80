//! `pvwatch pvs`, `vgs`, `lvs` and `fullreport`: the world's side of reports.

mod live;
mod run;
mod spool;

use crate::report::help;
use crate::report::layout::escape;
use crate::report::options::{self, Command, Options, Refusal};
use crate::sys::spool::SpoolError;
use std::ffi::OsString;
use std::io::{self, BufWriter, Write};
use std::os::unix::ffi::OsStringExt;
use std::path::Path;
use std::time::Duration;

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

/// Of the daemon.
#[derive(Clone, Copy, Default)]
pub struct Ask<'a> {
    /// Where; if nowhere is named, where reports are to be had.
    pub socket: Option<&'a Path>,
    /// How long it may be silent.
    pub timeout: Option<Duration>,
}

/// Does what the words behind the command's name say. The exit status.
pub fn run(command: Command, ask: Ask, words: impl IntoIterator<Item = OsString>) -> u8 {
    let words = words.into_iter().map(OsString::into_vec).collect::<Vec<_>>();
    let options = match options::parse(command, &words) {
        Ok(options) => options,
        Err(Refusal(lines)) => {
            complain(&lines, "");
            return USAGE;
        }
    };
    let mut out = BufWriter::with_capacity(BUFFER, io::stdout());
    let status = report(command, ask, &options, &mut out).unwrap_or_else(|failure| {
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

fn report(command: Command, ask: Ask, options: &Options, out: &mut dyn Write) -> Result<u8, Failure> {
    if options.version {
        writeln!(out, "pvwatch {}", env!("CARGO_PKG_VERSION"))?;
        return Ok(0);
    }
    if options.help {
        write!(out, "{}", help::usage(command))?;
        return Ok(0);
    }
    run::run(command, ask, options, out)
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        let of_spool = error.get_ref().and_then(|error| error.downcast_ref::<SpoolError>());
        if let Some(error) = of_spool {
            return Failure::new(FAILED, format!("too many rows to keep in memory: {error}"));
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_not_taken_for_standard_output() {
        let full = || io::Error::from(io::ErrorKind::StorageFull);
        let spooled = io::Error::from(SpoolError { directory: "/var/tmp".into(), error: full() });
        for (error, expected) in [
            (spooled, "too many rows to keep in memory: temporary file in /var/tmp: no storage space"),
            (full(), "standard output: no storage space"),
        ] {
            let failure = Failure::from(error);
            assert_eq!((&*failure.lines, failure.status), (&[expected.to_owned()][..], FAILED));
        }
    }
}
