//! Where log lines go: standard error, and errors to syslog as well.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::linux::fs::MetadataExt;
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, SystemTime};

use crate::protocol::LOG_TARGET as WIRE;
use env_logger::{Builder, Target};
use log::{Level, LevelFilter, Log, Metadata, Record};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// PIPE_BUF, less what a cut leaves behind.
const LINE_MAX: usize = 4096 - 4;

const SYSLOG: &str = "/dev/log";
/// syslog(3), `LOG_DAEMON | LOG_ERR`.
const SYSLOG_PRIORITY: u8 = 3 << 3 | 3;

/// Starts logging. `levels` is lvmetad's option `-l`, RUST_LOG may say more, and what is not said
/// is `info` in the foreground and `error` else. `ident` is the name for syslog.
pub fn init(ident: &str, levels: Option<&str>, foreground: bool) {
    let mut builder = Builder::new();
    builder.filter_level(if foreground { LevelFilter::Info } else { LevelFilter::Error });
    if let Some(levels) = levels {
        let levels = Levels::parse(levels);
        builder.filter_level(levels.general);
        builder.filter_module(WIRE, if levels.wire { LevelFilter::Trace } else { LevelFilter::Off });
    }
    if let Ok(filters) = std::env::var("RUST_LOG") {
        builder.parse_filters(&filters);
    }
    let journal = is_journal(std::env::var("JOURNAL_STREAM").ok().as_deref());
    builder.format(move |out, record| {
        let text = one_line(&record.args().to_string());
        if journal {
            writeln!(out, "<{}>{text}", priority(record.level()))
        } else {
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            writeln!(out, "{} {} {text}", timestamp(now), record.level())
        }
    });
    builder.target(Target::Pipe(Box::new(Stderr::default())));
    let logger = Logger { stderr: builder.build(), syslog: Syslog::new(ident, SYSLOG) };
    let most = logger.stderr.filter().max(LevelFilter::Error);
    if log::set_boxed_logger(Box::new(logger)).is_ok() {
        log::set_max_level(most);
    }
}

/// Standard error, with the promise not to wait for whoever reads it: a pager that stands still
/// must not stop the daemon. What it does not take at once is lost, and counted.
#[derive(Default)]
struct Stderr {
    lost: u64,
}

impl Stderr {
    fn takes(&self) -> bool {
        let stderr = io::stderr();
        let mut ready = [PollFd::new(stderr.as_fd(), PollFlags::POLLOUT)];
        !matches!(poll(&mut ready, PollTimeout::ZERO), Ok(0))
    }
}

impl Write for Stderr {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if !self.takes() {
            self.lost += 1;
            return Ok(line.len());
        }
        if self.lost > 0 {
            let lost = std::mem::take(&mut self.lost);
            let _ = io::stderr().write(format!("... {lost} lines were not taken\n").as_bytes());
            return self.write(line);
        }
        // A pipe that takes anything takes as much as this.
        match line.get(..LINE_MAX) {
            None => io::stderr().write(line)?,
            Some(beginning) => io::stderr().write(&[beginning, b"...\n"].concat())?,
        };
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Logger {
    stderr: env_logger::Logger,
    syslog: Syslog,
}

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata) -> bool {
        metadata.level() == Level::Error || self.stderr.enabled(metadata)
    }

    fn log(&self, record: &Record) {
        // It asks its own filter.
        self.stderr.log(record);
        if record.level() == Level::Error {
            self.syslog.send(&record.args().to_string());
        }
    }

    fn flush(&self) {
        self.stderr.flush();
    }
}

/// A syslog daemon may come, go and hang; a message that it does not take at once is lost.
struct Syslog {
    ident: String,
    path: &'static str,
    socket: io::Result<UnixDatagram>,
}

impl Syslog {
    fn new(ident: &str, path: &'static str) -> Syslog {
        let socket = UnixDatagram::unbound().and_then(|socket| {
            socket.set_nonblocking(true)?;
            Ok(socket)
        });
        Syslog { ident: ident.to_owned(), path, socket }
    }

    fn send(&self, text: &str) {
        if let Ok(socket) = &self.socket {
            let process = std::process::id();
            // Not connected, so that a syslog daemon that was restarted is found again.
            let _ = socket.send_to(
                format!("<{SYSLOG_PRIORITY}>{}[{process}]: {}", self.ident, one_line(text)).as_bytes(),
                self.path,
            );
        }
    }
}

/// What `-l` asks for.
#[derive(Debug, PartialEq, Eq)]
struct Levels {
    general: LevelFilter,
    wire: bool,
}

impl Levels {
    /// A comma list of `all fatal error warn info wire debug`; other words are ignored. Unlike
    /// lvmetad's, a level includes the more urgent ones.
    fn parse(list: &str) -> Levels {
        // Why it could not start is said in any case.
        let mut levels = Levels { general: LevelFilter::Error, wire: false };
        for word in list.split(',') {
            let level = match word.trim() {
                "all" => {
                    levels.wire = true;
                    LevelFilter::Trace
                }
                "wire" => {
                    levels.wire = true;
                    LevelFilter::Off
                }
                "fatal" | "error" => LevelFilter::Error,
                "warn" => LevelFilter::Warn,
                "info" => LevelFilter::Info,
                "debug" => LevelFilter::Debug,
                _ => LevelFilter::Off,
            };
            levels.general = levels.general.max(level);
        }
        levels
    }
}

/// Whether standard error is the journal: systemd says which device and inode it gave us.
fn is_journal(stream: Option<&str>) -> bool {
    // Through /proc, because there is no other safe way to ask about descriptor 2.
    match (stream, std::fs::metadata("/proc/self/fd/2")) {
        (Some(stream), Ok(found)) => stream == format!("{}:{}", found.st_dev(), found.st_ino()),
        _ => false,
    }
}

/// sd-daemon(3).
fn priority(level: Level) -> u8 {
    match level {
        Level::Error => 3,
        Level::Warn => 4,
        Level::Info => 6,
        Level::Debug | Level::Trace => 7,
    }
}

/// Names from disks and clients must not be able to forge a line or to write to a terminal.
fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() {
            let _ = write!(line, "{}", character.escape_default());
        } else {
            line.push(character);
        }
    }
    line
}

/// UTC, to the millisecond.
fn timestamp(since_1970: Duration) -> String {
    let seconds = since_1970.as_secs();
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    let (year, month, day) = date(seconds / 86400);
    let millis = since_1970.subsec_millis();
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
}

/// The day after so many days since 1970, counted in years that begin in March, whose leap day is
/// the last (Howard Hinnant, chrono-Compatible Low-Level Date Algorithms, `civil_from_days`).
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_words_in_any_order() {
        let check = |list, general, wire| assert_eq!(Levels::parse(list), Levels { general, wire }, "{list}");
        check("fatal,warn,error", LevelFilter::Warn, false);
        check("info, wire", LevelFilter::Info, true);
        check("wire", LevelFilter::Error, true);
        check("all", LevelFilter::Trace, true);
        check("debug,nonsense", LevelFilter::Debug, false);
        check("nonsense", LevelFilter::Error, false);
    }

    #[test]
    fn time_stamps_are_dates() {
        let check = |seconds, expected: &str| assert_eq!(timestamp(Duration::from_secs(seconds)), expected);
        check(0, "1970-01-01T00:00:00.000Z");
        check(951_782_400, "2000-02-29T00:00:00.000Z");
        check(951_868_799, "2000-02-29T23:59:59.000Z");
        check(4_107_542_400, "2100-03-01T00:00:00.000Z");
        check(1_798_761_599, "2026-12-31T23:59:59.000Z");
        assert_eq!(timestamp(Duration::from_millis(1007)), "1970-01-01T00:00:01.007Z");
    }

    #[test]
    fn a_message_is_one_line() {
        assert_eq!(one_line("VG \u{e9}\n<0>forged\u{1b}[2J"), "VG \u{e9}\\n<0>forged\\u{1b}[2J");
    }

    #[test]
    fn the_journal_is_recognised_by_its_inode() {
        let found = std::fs::metadata("/proc/self/fd/2").unwrap();
        assert!(is_journal(Some(&format!("{}:{}", found.st_dev(), found.st_ino()))));
        assert!(!is_journal(Some(&format!("{}:{}", found.st_dev(), found.st_ino() + 1))));
        assert!(!is_journal(None));
    }

    #[test]
    fn errors_go_to_syslog() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let listener = UnixDatagram::bind(&path).unwrap();
        listener.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let logger = Logger {
            stderr: Builder::new().filter_level(LevelFilter::Off).build(),
            syslog: Syslog::new("lvmetad", path.to_str().unwrap().to_owned().leak()),
        };
        logger.log(&Record::builder().level(Level::Warn).args(format_args!("not this")).build());
        logger.log(&Record::builder().level(Level::Error).args(format_args!("bad\nnews")).build());
        let mut message = [0; 100];
        let length = listener.recv(&mut message).unwrap();
        let expected = format!("<27>lvmetad[{}]: bad\\nnews", std::process::id());
        assert_eq!(std::str::from_utf8(&message[..length]), Ok(expected.as_str()));
        // Nobody reads: the loop must not wait for it.
        (0..5000).for_each(|_| logger.syslog.send("unread"));
    }
}
