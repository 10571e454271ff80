//! The daemon. By the name `lvmetad` it is the same.

use lexopt::ValueExt;
use pvwatch::client::DEFAULT_REPORT_SOCKET;
use pvwatch::daemon::{self, Error, Options};
use pvwatch::sys::{descriptors, log, panic, pid_file, reader};
use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

const HELP: &str = "\
Usage: pvwatchd [options]

Finds LVM physical volumes by itself and serves them as lvmetad.

  -f, --foreground         do not fork into the background
  -l, --log LEVELS         log these to standard error: all fatal error warn info wire debug
  -p, --pid-file PATH      pid file (LVM_LVMETAD_PIDFILE, default /run/lvmetad.pid)
  -s, --socket PATH        socket (LVM_LVMETAD_SOCKET, default /run/lvm/lvmetad.socket)
      --report-socket PATH the socket for reports, which only reads (PVWATCH_SOCKET,
                           default /run/pvwatch/pvwatch.socket); empty: none
  -t, --idle-exit SECONDS  leave after that long without a client; 0: never
      --no-scan            know what clients tell and nothing else, as lvmetad (PVWATCH_NO_SCAN=1)
      --devices PATH[,PATH...]
                           watch only these block devices or image files; may be repeated
      --config FILE        settings laid over those of lvm.conf
  -V, --version            print the version
  -h, --help               print this

lvm.conf is read from LVM_SYSTEM_DIR (default /etc/lvm). RUST_LOG sets log levels by module.
";

const DEFAULT_SOCKET: &str = "/run/lvm/lvmetad.socket";
const DEFAULT_PID_FILE: &str = "/run/lvmetad.pid";
const DEFAULT_SYSTEM_DIR: &str = "/etc/lvm";

/// Command line errors.
const EXIT_USAGE: u8 = 2;
/// Another instance holds the pid file; lvmetad's status.
const EXIT_LOCKED: u8 = 13;

enum Command {
    Run { options: Options, log_levels: Option<String> },
    Print(String),
}

/// A line for standard error, and the exit status.
struct Usage(String, u8);

impl From<lexopt::Error> for Usage {
    fn from(error: lexopt::Error) -> Usage {
        Usage(error.to_string(), EXIT_USAGE)
    }
}

fn main() -> ExitCode {
    panic::install();
    if let Some(status) = reader::run_if_reader() {
        return status;
    }
    match parse() {
        Ok(Command::Print(text)) => {
            // Whoever does not want to read it is no error.
            let _ = std::io::stdout().write_all(text.as_bytes());
            ExitCode::SUCCESS
        }
        Ok(Command::Run { options, log_levels }) => {
            if !options.foreground
                && let Err(error) = descriptors::close_inherited()
            {
                eprintln!("pvwatchd: inherited descriptors cannot be closed: {error}");
                return ExitCode::FAILURE;
            }
            log::init("pvwatchd", log_levels.as_deref(), options.foreground);
            run(&options)
        }
        Err(Usage(error, status)) => {
            let _ = writeln!(std::io::stderr(), "pvwatchd: {error}\nTry 'pvwatchd --help'.");
            ExitCode::from(status)
        }
    }
}

fn run(options: &Options) -> ExitCode {
    let Err(error) = daemon::run(options) else { return ExitCode::SUCCESS };
    ::log::error!("{error}");
    match error {
        Error::PidFile(pid_file::Error::Locked(_)) => ExitCode::from(EXIT_LOCKED),
        _ => ExitCode::FAILURE,
    }
}

fn parse() -> Result<Command, Usage> {
    use lexopt::Arg::{Long, Short};
    let mut options = Options {
        foreground: false,
        pid_file: path_from("LVM_LVMETAD_PIDFILE", DEFAULT_PID_FILE),
        socket: path_from("LVM_LVMETAD_SOCKET", DEFAULT_SOCKET),
        report_socket: Some(path_from("PVWATCH_SOCKET", DEFAULT_REPORT_SOCKET)),
        idle_exit: None,
        scan: std::env::var_os("PVWATCH_NO_SCAN").is_none_or(|value| value != "1"),
        devices: Vec::new(),
        system_dir: path_from("LVM_SYSTEM_DIR", DEFAULT_SYSTEM_DIR),
        config: None,
    };
    let mut log_levels = None;
    let mut arguments = lexopt::Parser::from_env();
    while let Some(argument) = arguments.next()? {
        match argument {
            Short('f') | Long("foreground") => options.foreground = true,
            Short('l') | Long("log") => log_levels = Some(arguments.value()?.string()?),
            Short('p') | Long("pid-file") => options.pid_file = arguments.value()?.into(),
            Short('s') | Long("socket") => options.socket = arguments.value()?.into(),
            Long("report-socket") => {
                let path = PathBuf::from(arguments.value()?);
                options.report_socket = Some(path).filter(|path| !path.as_os_str().is_empty());
            }
            Short('t') | Long("idle-exit") => options.idle_exit = idle_exit(&arguments.value()?)?,
            Long("no-scan") => options.scan = false,
            Long("devices") => options.devices.extend(paths(arguments.value()?)?),
            Long("config") => options.config = Some(arguments.value()?.into()),
            Short('V') | Long("version") => {
                return Ok(Command::Print(format!(
                    "pvwatchd version: {} (lvmetad protocol 1)\n",
                    env!("CARGO_PKG_VERSION")
                )));
            }
            Short('h') | Long("help") => return Ok(Command::Print(HELP.to_owned())),
            _ => return Err(argument.unexpected().into()),
        }
    }
    if !options.scan && !options.devices.is_empty() {
        return Err(Usage("--devices is for scanning, which --no-scan turns off".into(), EXIT_USAGE));
    }
    // In the background the working directory is another.
    let given = [&mut options.pid_file, &mut options.socket, &mut options.system_dir];
    let more = options.config.iter_mut().chain(&mut options.report_socket).chain(&mut options.devices);
    for path in given.into_iter().chain(more) {
        *path = std::path::absolute(&*path).map_err(|error| Usage(format!("{}: {error}", path.display()), 1))?;
    }
    Ok(Command::Run { options, log_levels })
}

fn path_from(variable: &str, default: &str) -> PathBuf {
    std::env::var_os(variable)
        .filter(|value| !value.is_empty())
        .map_or_else(|| Path::new(default).into(), PathBuf::from)
}

/// lvmetad's own exit status for a number that is none is 1.
fn idle_exit(value: &OsString) -> Result<Option<Duration>, Usage> {
    let seconds = value.to_str().and_then(|value| value.parse().ok());
    let seconds: u64 = seconds.ok_or_else(|| Usage(format!("-t {}: not a number of seconds", value.display()), 1))?;
    Ok((seconds > 0).then(|| Duration::from_secs(seconds)))
}

fn paths(value: OsString) -> Result<Vec<PathBuf>, Usage> {
    let value = value.string()?;
    match value.split(',').any(str::is_empty) {
        true => Err(Usage(format!("--devices {value}: a path is empty"), EXIT_USAGE)),
        false => Ok(value.split(',').map(PathBuf::from).collect()),
    }
}
