//! The command: asks the daemon, or looks for itself.

use lexopt::Arg::{Long, Short, Value as Positional};
use lexopt::ValueExt;
use pvwatch::client::{self, DEFAULT_REPORT_SOCKET, DEFAULT_SOCKET, Error};
use pvwatch::conf::Settings;
use pvwatch::devno::DevNo;
use pvwatch::metadata::is_valid_name;
use pvwatch::probe::Inspected;
use pvwatch::report::options::Command;
use pvwatch::sys::{reader, settings};
use pvwatch::{dry_run, inhibit, inspect, probe, pvscan_cli, report_cli, takeover_cli, words};
use serde_json::{Value, json};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

const HELP: &str = "\
Usage: pvwatch [options] COMMAND

  status [VG|PVID|DEV]    the daemon's state, or all about one thing
  dump                    everything in the cache
  rescan [DEV...]         read these devices again, or all
  settle [--timeout S]    wait until everything that has happened is in the cache
  inspect DEV|IMAGE...    what is on it, with every problem; asks no daemon
  activate --dry-run [VG...] [--devices DEV|IMAGE...]
                          which VGs would be activated by themselves, which not, and why; of these
                          devices alone, as if they were all the disks of a host, without the daemon
  inhibit [VG [--for SPAN | --until TIME | --lift]]
                          keep a VG from being activated by itself: for 2h or 1h 30min, until
                          2031-12-31T23:30:00Z, or until --lift; without a VG: which are kept
  pvscan --cache ...      as lvm pvscan: what udev is told of a device; see pvwatch pvscan --help
  pvs|vgs|lvs|fullreport  as LVM's commands of these names; see pvwatch lvs --help
  takeover status|enable|disable|compare
                          who starts activation, LVM's udev rule or ours; see pvwatch takeover --help

  -s, --socket PATH       the daemon's socket (LVM_LVMETAD_SOCKET,
                          default /run/lvm/lvmetad.socket; if we may not ask
                          there, PVWATCH_SOCKET, default /run/pvwatch/pvwatch.socket)
      --json              print JSON; of reports, --reportformat json does
      --timeout SECONDS   give up after that long (30; settle: never; inspect: 10 a device)
  -V, --version           print the version
  -h, --help              print this

Exit status: 0 done, 1 failed, 2 usage, 3 not found, 4 daemon not reachable, 5 timed out.
Of pvscan and reports, LVM's: 0 done, 3 usage, 5 failed; of reports also 4.
";

/// For everything but `settle`, which waits as long as it takes.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);
/// For one device.
const INSPECT_DEADLINE: Duration = Duration::from_secs(10);

/// Exit statuses.
const FAILED: u8 = 1;
const USAGE: u8 = 2;
const NOT_FOUND: u8 = 3;
const UNREACHABLE: u8 = 4;
const TIMED_OUT: u8 = 5;

struct Arguments {
    command: String,
    operands: Vec<String>,
    /// Of `pvscan` and `takeover`, everything behind it.
    words: Vec<OsString>,
    socket: PathBuf,
    /// Where to ask if nobody lets us in there; none if a socket was named.
    report_socket: Option<PathBuf>,
    json: bool,
    timeout: Option<Duration>,
    activate: ActivateOptions,
    inhibit: InhibitOptions,
}

/// Of `activate`.
#[derive(Default)]
struct ActivateOptions {
    dry_run: bool,
    devices: Vec<PathBuf>,
}

/// Of `inhibit`.
#[derive(Default)]
struct InhibitOptions {
    /// For how long.
    span: Option<Duration>,
    lift: bool,
}

/// What to say on standard error, and the exit status.
struct Failure(String, u8);

impl From<lexopt::Error> for Failure {
    fn from(error: lexopt::Error) -> Failure {
        usage(error.to_string())
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        let status = match error {
            Error::Unreachable { .. } | Error::Denied { .. } => UNREACHABLE,
            Error::TimedOut(_) => TIMED_OUT,
            Error::NotFound(_) => NOT_FOUND,
            Error::Refused(_) => FAILED,
        };
        Failure(error.to_string(), status)
    }
}

fn usage(error: impl Into<String>) -> Failure {
    Failure(format!("{}\nTry 'pvwatch --help'.", error.into()), USAGE)
}

fn main() -> ExitCode {
    if let Some(status) = reader::run_if_reader() {
        return status;
    }
    match run() {
        Ok(status) => ExitCode::from(status),
        Err(Failure(error, status)) => {
            complain(&error);
            ExitCode::from(status)
        }
    }
}

fn run() -> Result<u8, Failure> {
    let Some(arguments) = parse()? else { return Ok(0) };
    match arguments.command.as_str() {
        "status" => status(&arguments),
        "dump" => dump(&arguments),
        "rescan" => rescan(&arguments),
        "settle" => settle(&arguments),
        "inspect" => inspect(&arguments),
        "activate" => activate(&arguments),
        "inhibit" => inhibit_vg(&arguments),
        "pvscan" => Ok(pvscan_cli::run(&arguments.socket, arguments.words)),
        "takeover" => Ok(takeover_cli::run(&arguments.socket, arguments.json, arguments.words)),
        other => match Command::parse(other) {
            Some(_) if arguments.json => Err(usage(format!("--json: of {other} it is --reportformat json"))),
            Some(command) => {
                let is_named = arguments.report_socket.is_none();
                let socket = is_named.then_some(&*arguments.socket);
                let ask = report_cli::Ask { socket, timeout: arguments.timeout };
                Ok(report_cli::run(command, ask, arguments.words))
            }
            None => Err(usage(format!("{other}: no such command"))),
        },
    }
}

fn parse() -> Result<Option<Arguments>, Failure> {
    let path_from = |variable: &str, default: &str| {
        let named = std::env::var_os(variable).filter(|path| !path.is_empty());
        named.map_or_else(|| default.into(), PathBuf::from)
    };
    let mut arguments = Arguments {
        command: String::new(),
        operands: Vec::new(),
        words: Vec::new(),
        socket: path_from("LVM_LVMETAD_SOCKET", DEFAULT_SOCKET),
        report_socket: Some(path_from("PVWATCH_SOCKET", DEFAULT_REPORT_SOCKET)),
        json: false,
        timeout: None,
        activate: ActivateOptions::default(),
        inhibit: InhibitOptions::default(),
    };
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Short('s') | Long("socket") => {
                arguments.socket = parser.value()?.into();
                arguments.report_socket = None;
            }
            Long("json") => arguments.json = true,
            Long("timeout") => arguments.timeout = Some(seconds(&parser.value()?.string()?)?),
            Long("dry-run") if arguments.command == "activate" => arguments.activate.dry_run = true,
            Long("devices") if arguments.command == "activate" => {
                let given = parser.values()?.collect::<Vec<_>>();
                arguments.activate.devices.extend(given.iter().flat_map(|given| device_list(given)));
            }
            Long("for" | "until") if arguments.command == "inhibit" && arguments.inhibit.span.is_some() => {
                return Err(usage("inhibit: --for or --until, once"));
            }
            Long("for") if arguments.command == "inhibit" => {
                arguments.inhibit.span = Some(inhibit::span(&parser.value()?.string()?).map_err(usage)?);
            }
            Long("until") if arguments.command == "inhibit" => {
                let time = parser.value()?.string()?;
                arguments.inhibit.span = Some(inhibit::span_until(&time, SystemTime::now()).map_err(usage)?);
            }
            Long("lift") if arguments.command == "inhibit" => arguments.inhibit.lift = true,
            Short('V') | Long("version") => {
                print(&format!("pvwatch {}\n", env!("CARGO_PKG_VERSION")))?;
                return Ok(None);
            }
            Short('h') | Long("help") => {
                print(HELP)?;
                return Ok(None);
            }
            // These have options of their own.
            Positional(value) if arguments.command.is_empty() && has_own_options(&value) => {
                arguments.command = value.string()?;
                arguments.words = parser.raw_args()?.collect();
                return Ok(Some(arguments));
            }
            Positional(value) if arguments.command.is_empty() => arguments.command = value.string()?,
            Positional(value) => arguments.operands.push(value.string()?),
            _ => return Err(argument.unexpected().into()),
        }
    }
    if arguments.command.is_empty() { Err(usage("a command is needed")) } else { Ok(Some(arguments)) }
}

fn has_own_options(command: &OsStr) -> bool {
    let command = command.to_str().unwrap_or_default();
    matches!(command, "pvscan" | "takeover") || Command::parse(command).is_some()
}

fn seconds(text: &str) -> Result<Duration, Failure> {
    let seconds = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    seconds.ok_or_else(|| usage(format!("--timeout {text}: not a number of seconds")))
}

/// Separated by commas, unless it is the name of one that has a comma in it.
fn device_list(given: &OsStr) -> Vec<PathBuf> {
    if Path::new(given).exists() {
        return vec![given.into()];
    }
    let names = given.as_bytes().split(|&byte| byte == b',').filter(|name| !name.is_empty());
    names.map(|name| OsStr::from_bytes(name).into()).collect()
}

/// A reader that has gone away is no error of ours.
fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure(format!("standard output: {error}"), FAILED))
        }
        _ => Ok(()),
    }
}

/// Nor is one who does not hear what is wrong.
fn complain(text: &str) {
    let _ = writeln!(std::io::stderr(), "pvwatch: {text}");
}

fn print_json(value: &Value) -> Result<(), Failure> {
    print(&format!("{value:#}\n"))
}

impl Arguments {
    fn call(&self, method: &str, parameters: &Value) -> Result<Value, Failure> {
        let timeout = self.timeout.or((method != "Settle").then_some(DEFAULT_TIMEOUT));
        let only_reads = client::READS.contains(&method);
        let second = self.report_socket.as_deref().filter(|_| only_reads);
        let sockets = [&*self.socket].into_iter().chain(second).collect::<Vec<_>>();
        Ok(client::call_first(&sockets, method, parameters, timeout)?)
    }

    fn no_operands(&self) -> Result<(), Failure> {
        match self.operands.first() {
            Some(operand) => Err(usage(format!("{}: '{}' takes no operands", operand, self.command))),
            None => Ok(()),
        }
    }
}

fn status(arguments: &Arguments) -> Result<u8, Failure> {
    match &arguments.operands[..] {
        [] => {
            let status = arguments.call("Status", &json!({}))?;
            if arguments.json { print_json(&status["status"])? } else { print(&words::status(&status["status"]))? }
        }
        [thing] => {
            // No VG has a slash in its name. The daemon is in another directory than we are.
            let path = absolute(thing);
            let show = |thing: &str| arguments.call("Show", &json!({ "thing": thing }));
            let shown = if thing.contains('/') { show(&path) } else { show(thing) };
            let shown = match shown {
                Err(Failure(_, NOT_FOUND)) if Path::new(thing).exists() => show(&path),
                shown => shown,
            };
            // Who may only read has no path looked up by the daemon.
            let shown = match (shown, block_device(Path::new(thing))) {
                (Err(Failure(_, NOT_FOUND)), Some(devno)) => show(&devno.to_string())?,
                (shown, _) => shown?,
            };
            let things = shown["shown"].as_array().map_or(&[][..], Vec::as_slice);
            if arguments.json { print_json(&shown["shown"])? } else { print(&words::shown(things))? }
        }
        [_, more, ..] => return Err(usage(format!("{more}: one thing at a time"))),
    }
    Ok(0)
}

fn block_device(path: &Path) -> Option<DevNo> {
    let found = fs::metadata(path).ok().filter(|found| found.file_type().is_block_device());
    found.map(|found| DevNo::from_dev_t(found.rdev()))
}

fn absolute(path: &str) -> String {
    std::path::absolute(path).map_or_else(|_| path.to_owned(), |path| path.to_string_lossy().into_owned())
}

fn dump(arguments: &Arguments) -> Result<u8, Failure> {
    arguments.no_operands()?;
    let dump = arguments.call("Dump", &json!({}))?;
    if arguments.json {
        print_json(&dump)?
    } else {
        print(dump["text"].as_str().unwrap_or_default())?
    }
    Ok(0)
}

fn rescan(arguments: &Arguments) -> Result<u8, Failure> {
    let is_path = |operand: &str| operand.contains('/') || Path::new(operand).exists();
    let device = |operand: &String| if is_path(operand) { absolute(operand) } else { operand.clone() };
    let devices = arguments.operands.iter().map(device).collect::<Vec<_>>();
    let reply = arguments.call("Rescan", &json!({"devices": devices}))?;
    if arguments.json {
        print_json(&reply)?;
    }
    Ok(0)
}

fn settle(arguments: &Arguments) -> Result<u8, Failure> {
    arguments.no_operands()?;
    let reply = arguments.call("Settle", &json!({}))?;
    if arguments.json {
        print_json(&reply)?;
    } else {
        for device in reply["quarantined"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            print(&format!("quarantined: {device}\n"))?;
        }
    }
    Ok(0)
}

fn inspect(arguments: &Arguments) -> Result<u8, Failure> {
    if arguments.operands.is_empty() {
        return Err(usage("inspect: a device or an image is needed"));
    }
    let deadline = arguments.timeout.unwrap_or(INSPECT_DEADLINE);
    // Of the settings nothing else counts here, and a mistake in them does not either.
    let mut settings = settings::load(&settings::system_dir(), settings::Over::Nothing).unwrap_or_else(|error| {
        complain(&error.to_string());
        Settings::default()
    });
    settings::load_multipath(&mut settings);
    let mut results = Vec::new();
    let mut worst = 0;
    for name in &arguments.operands {
        match probe::inspect(Path::new(name), deadline, &settings.multipath) {
            Ok(Inspected { size, verdict, stack }) if arguments.json => {
                results.push(inspect::to_json(name, size, &verdict, &stack));
            }
            Ok(Inspected { size, verdict, .. }) => print(&inspect::to_text(name, size, &verdict))?,
            Err(error) => {
                complain(&format!("{name}: {error}"));
                worst = worst.max(match error.kind() {
                    std::io::ErrorKind::NotFound => NOT_FOUND,
                    std::io::ErrorKind::TimedOut => TIMED_OUT,
                    _ => FAILED,
                });
                results.push(inspect::not_read_json(name, &error));
            }
        }
    }
    if arguments.json {
        print_json(&Value::Array(results))?;
    }
    Ok(worst)
}

fn activate(arguments: &Arguments) -> Result<u8, Failure> {
    let ActivateOptions { dry_run, devices } = &arguments.activate;
    if !dry_run {
        let vg = arguments.operands.first().map_or("VG", String::as_str);
        let hint = format!("to activate now: lvm vgchange -aay {vg}");
        return Err(Failure(format!("this activates nothing: --dry-run shows what would be; {hint}"), USAGE));
    }
    let (shown, mut status) = what_would_be(arguments, devices)?;
    let named = |vg: &Value, name: &String| vg["vg"] == **name || vg["id"] == **name;
    let is_asked = |vg: &&Value| arguments.operands.is_empty() || arguments.operands.iter().any(|name| named(vg, name));
    let asked = shown.iter().filter(is_asked).cloned().collect::<Vec<_>>();
    if arguments.json {
        print_json(&Value::Array(asked))?
    } else {
        print(&dry_run::table(&asked))?
    }
    for name in &arguments.operands {
        if !shown.iter().any(|vg| named(vg, name)) {
            complain(&format!("{name}: there is no such VG"));
            status = NOT_FOUND;
        }
    }
    Ok(status)
}

/// By the daemon, if these are the disks of this host and there is one; and the exit status.
fn what_would_be(arguments: &Arguments, devices: &[PathBuf]) -> Result<(Vec<Value>, u8), Failure> {
    if devices.is_empty() {
        match arguments.call("Activations", &json!({})) {
            Ok(mut reply) => match reply["activations"].take() {
                Value::Array(activations) => return Ok((activations, 0)),
                _ => return Err(Failure("the daemon answered what no daemon answers".to_owned(), FAILED)),
            },
            Err(Failure(error, UNREACHABLE)) => complain(&format!("{error}; looking without it")),
            Err(failure) => return Err(failure),
        }
    }
    let looked = dry_run::look(devices).map_err(|error| Failure(error.to_string(), FAILED))?;
    looked.left_out.iter().for_each(|(name, why)| complain(&format!("{name}: left out: {why}")));
    looked.unread.iter().for_each(|(name, why)| complain(&format!("{name}: {why}")));
    let status = if looked.unread.is_empty() { 0 } else { FAILED };
    Ok((looked.activations, status))
}

fn inhibit_vg(arguments: &Arguments) -> Result<u8, Failure> {
    let InhibitOptions { span, lift } = arguments.inhibit;
    let vg = match &arguments.operands[..] {
        [] if span.is_some() || lift => return Err(usage("inhibit: a VG is needed")),
        [] => return inhibits(arguments),
        [_, more, ..] => return Err(usage(format!("{more}: one VG at a time"))),
        [_] if span.is_some() && lift => return Err(usage("inhibit: either for some time or --lift")),
        [vg] if !is_valid_name(vg.as_bytes()) => return Err(usage(format!("{vg}: no VG can have this name"))),
        [vg] => vg,
    };
    let seconds = span.map(|span| span.as_secs_f64());
    let reply =
        or_by_itself(arguments.call("Inhibit", &json!({ "vg": vg, "seconds": seconds, "lift": lift })), |written| {
            let lifted = if lift { written.lift(vg)? } else { written.inhibit(vg, span).map(|()| false)? };
            Ok(json!({ "lifted": lifted }))
        })?;
    if arguments.json {
        print_json(&reply)?;
    }
    if lift && reply["lifted"] == false {
        return Err(Failure(format!("{vg}: not inhibited"), NOT_FOUND));
    }
    Ok(0)
}

fn inhibits(arguments: &Arguments) -> Result<u8, Failure> {
    let reply = or_by_itself(arguments.call("Inhibited", &json!({})), |written| {
        Ok(json!({ "inhibits": written.inhibits()? }))
    })?;
    let inhibits = &reply["inhibits"];
    if arguments.json {
        print_json(inhibits)?
    } else {
        print(&inhibit::list(inhibits))?
    }
    Ok(0)
}

/// Where no daemon can be reached, what is written down for the next one counts.
fn or_by_itself(
    reply: Result<Value, Failure>,
    look: impl FnOnce(&inhibit::Written) -> Result<Value, String>,
) -> Result<Value, Failure> {
    match reply {
        Err(Failure(error, UNREACHABLE)) => {
            complain(&format!("{error}; the rule and the next daemon go by what is written down"));
            let done = inhibit::Written::open().and_then(|written| look(&written));
            done.map_err(|error| Failure(error, FAILED))
        }
        reply => reply,
    }
}
