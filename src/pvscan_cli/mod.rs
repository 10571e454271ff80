//! `pvwatch pvscan`: the facts, wherever they are to be had, and what follows for the run files.
//!
//! The daemon has usually read the device already. Where there is none, or it cannot say, the
//! command looks for itself; what it makes of it is the same.

mod own;
mod starter;

use crate::client;
use crate::devno::DevNo;
use crate::online::RunFiles;
use crate::pvscan::{self, Asked, Entry, Found, Host, Line, Operand, Outcome, Parsed, Request, Starter, Whole};
use crate::sys::names::node_of;
use crate::sys::run_files::RunDir;
use crate::sys::sysfs::Sysfs;
use crate::sys::{daemonize, journal, settings};
use own::Own;
use serde_json::{Value, json};
use std::ffi::OsString;
use std::io::{self, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

const HELP: &str = "\
Usage: pvwatch [-s SOCKET] pvscan --cache [options] [DEV|MAJOR:MINOR...]
       pvwatch [-s SOCKET] pvscan --listvg|--listlvs DEV

Records that PVs are online or offline, and tells which VG is complete; as lvm pvscan. The daemon is
asked; where there is none, the device is read. Without --cache nothing is recorded.

  --listvg           tell the VG that uses the device
  --listlvs          and the LVs on it
  --checkcomplete    and whether all their PVs are online
  --vgonline         of those who find a VG complete, only one is told so
  --activation-unit  and starts its activation, as PVWATCH_UNIT, unless the daemon does
  --udevoutput       for udev: KEY='value' lines, nothing else
  --autoactivation event
                     do nothing if global/event_activation is 0
  --journal output|command|debug
                     messages, the command, or both to the journal
  -j, --major MAJOR --minor MINOR
                     a device by its numbers, also one that is gone
  -b, --background   return at once, and go on
  --config TEXT      settings laid over lvm.conf; the daemon is not asked then

Without a device: all are looked at, and all is recorded anew.
Exit status: 0 done, 3 usage, 5 failed.
";

/// Exit statuses.
const FAILED: u8 = 5;
const USAGE: u8 = 3;

/// Longer than a daemon with default settings takes to give up a device.
const DAEMON_TIMEOUT: Duration = Duration::from_secs(30);
/// A daemon that has not answered by then is asked whether it answers at all: one that does not
/// would hold up each device in turn. One that is only busy, as when hundreds of disks come at once,
/// is to be waited for: to do its work beside it makes it slower yet.
const PROMPT: Duration = Duration::from_secs(10);
const RUN_DIR: &str = "/run/lvm";

/// LVM's own, by which its messages are found.
const JOURNAL_IDENTIFIER: &str = "lvm";
const JOURNAL_COMMAND_ID: &str = "3ca432788c374e4ba684b834188eca36";

/// Does what the words behind `pvscan` say. The exit status.
pub fn run(socket: &Path, words: impl IntoIterator<Item = OsString>) -> u8 {
    let request = match pvscan::parse(words) {
        Ok(Parsed::Run(request)) => request,
        Ok(Parsed::Help) => return write(io::stdout(), HELP),
        Ok(Parsed::Version) => return write(io::stdout(), &format!("pvwatch {}\n", env!("CARGO_PKG_VERSION"))),
        Err(refusal) => {
            write(io::stderr(), &format!("  pvscan: {refusal}\n"));
            return USAGE;
        }
    };
    if request.background
        && let Err(error) = daemonize::background().and_then(daemonize::Ready::announce)
    {
        write(io::stderr(), &format!("  pvscan: the background cannot be reached: {error}\n"));
        return FAILED;
    }
    let mut outcome = answer(socket, &request);
    let warnings = request.warnings.iter().cloned().map(Line::Warning);
    outcome.lines.splice(0..0, warnings);
    publish(&request, &outcome)
}

fn publish(request: &Request, outcome: &Outcome) -> u8 {
    let output = pvscan::render(request, &outcome.lines, std::process::id());
    for Entry { priority, message } in &output.journal {
        // Nobody has promised that there is a journal.
        let _ = journal::send(&[
            ("MESSAGE", message),
            ("PRIORITY", &priority.to_string()),
            ("SYSLOG_IDENTIFIER", JOURNAL_IDENTIFIER),
        ]);
    }
    if request.journal.command {
        let _ = journal::send(&[
            ("MESSAGE", "lvm command pvscan"),
            ("MESSAGE_ID", JOURNAL_COMMAND_ID),
            ("LVM_CMD_NAME", "pvscan"),
            ("LVM_CMD_ID", "pvscan_cache"),
            ("PRIORITY", "6"),
            ("SYSLOG_IDENTIFIER", JOURNAL_IDENTIFIER),
        ]);
    }
    write(io::stderr(), &output.stderr);
    let written = write(io::stdout(), &output.stdout);
    if outcome.failed { FAILED } else { written }
}

/// A reader that has gone away is no error of ours.
fn write(mut to: impl Write, text: &str) -> u8 {
    match to.write_all(text.as_bytes()).and_then(|()| to.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => FAILED,
        _ => 0,
    }
}

fn answer(socket: &Path, request: &Request) -> Outcome {
    match try_answer(socket, request) {
        Ok(outcome) => outcome,
        Err(Failure(reason)) => Outcome { lines: vec![Line::Error(reason)], failed: true, found_pv: false },
    }
}

/// Why nothing could be done at all.
struct Failure(String);

impl From<crate::sys::run_files::Error> for Failure {
    fn from(error: crate::sys::run_files::Error) -> Failure {
        Failure(error.to_string())
    }
}

impl From<settings::Error> for Failure {
    fn from(error: settings::Error) -> Failure {
        Failure(error.to_string())
    }
}

fn try_answer(socket: &Path, request: &Request) -> Result<Outcome, Failure> {
    let over = request.config.as_deref().map_or(settings::Over::Nothing, settings::Over::Text);
    let mut source = Source::new(socket, over);
    if request.all {
        return all(&mut source, request);
    }
    let asked = source.ask(request)?;
    if let Some(lines) = pvscan::nothing_to_do(request, &asked.host) {
        return Ok(Outcome { lines, ..Outcome::default() });
    }
    decide(&mut source, request, asked)
}

/// Whatever comes online from here on is recorded by whoever sees it, so that nothing is lost
/// between looking and recording.
fn all(source: &mut Source, request: &Request) -> Result<Outcome, Failure> {
    let before = source.ask(&Request { operands: Vec::new(), all: false, ..request.clone() })?;
    let forgotten = pvscan::forget_all(&mut RunDir::open(&before.run_dir)?);
    let mut asked = source.ask(request)?;
    asked.devices.sort_by_key(|asked| asked.devno);
    let mut outcome = decide(source, request, asked)?;
    if let Err(error) = forgotten {
        outcome.lines.push(Line::Error(error.to_string()));
        outcome.failed = true;
    }
    Ok(outcome)
}

fn decide(source: &mut Source, request: &Request, mut asked: Answer) -> Result<Outcome, Failure> {
    asked.devices.iter_mut().for_each(name_device);
    let mut files = RunDir::at(&asked.run_dir);
    source.is_first = asked.is_first;
    let mut outcome = pvscan::decide(request, &asked.host, &asked.devices, &mut files, source);
    if (outcome.found_pv || request.all)
        && !outcome.failed
        && source.is_own()
        && let Err(error) = files.invalidate_hints()
    {
        outcome.lines.push(Line::Warning(error.to_string()));
    }
    Ok(outcome)
}

/// What was found, and what has to be known of the host.
struct Answer {
    devices: Vec<Asked>,
    host: Host,
    run_dir: PathBuf,
    /// The daemon starts the activation of the VG: whether nobody was told before that it is complete.
    is_first: Option<bool>,
}

/// The daemon, until it turns out not to be there.
struct Source<'s> {
    socket: &'s Path,
    over: settings::Over<'s>,
    own: Option<Own>,
    /// See [`Answer::is_first`].
    is_first: Option<bool>,
}

impl<'s> Source<'s> {
    /// With settings of its own the command may find something else than the daemon.
    fn new(socket: &'s Path, over: settings::Over<'s>) -> Source<'s> {
        Source { socket, over, own: None, is_first: None }
    }

    fn is_own(&self) -> bool {
        self.own.is_some()
    }

    fn own(&mut self) -> Result<&mut Own, settings::Error> {
        if self.own.is_none() {
            self.own = Some(Own::load(self.over)?);
        }
        Ok(self.own.as_mut().expect("it has just been loaded"))
    }

    fn ask(&mut self, request: &Request) -> Result<Answer, Failure> {
        if self.own.is_none()
            && matches!(self.over, settings::Over::Nothing)
            && let Some(answer) = ask_daemon(self.socket, request)
        {
            return Ok(self.checked(answer));
        }
        let own = self.own()?;
        let host = own.host();
        // Before anything is read: with nothing to do, nothing is.
        let is_needed = pvscan::nothing_to_do(request, &host).is_none();
        let devices = if is_needed { own.find(request) } else { Vec::new() };
        let run_dir = own.run_dir().map_or_else(|| RUN_DIR.into(), Path::to_owned);
        Ok(Answer { devices, host, run_dir, is_first: None })
    }

    /// Whether a device is gone is for the kernel to say: the daemon may not have heard of it yet,
    /// and by its rules a loop device without a file is too small.
    fn checked(&mut self, mut answer: Answer) -> Answer {
        for asked in &mut answer.devices {
            // An image file that the daemon watches is no device.
            if matches!(&asked.found, Found::Pv(pv) if pv.devno.major == 0) {
                asked.found = Found::Gone;
            }
            if !matches!(asked.found, Found::Gone | Found::Excluded(_)) {
                continue;
            }
            asked.devno = match &asked.operand {
                Operand::Name(name) => block_devno(Path::new(name)),
                Operand::Number(devno) => Some(*devno),
            };
            let Some(devno) = asked.devno else { continue };
            match own::is_gone(devno) {
                true => asked.found = Found::Gone,
                false if asked.found != Found::Gone => {}
                false => {
                    if let Ok(own) = self.own() {
                        asked.found = own.look_at(&asked.operand);
                    }
                }
            }
        }
        answer
    }
}

impl pvscan::Ask for Source<'_> {
    fn look(&mut self, devno: DevNo) -> Found {
        let operand = Operand::Number(devno);
        if self.own.is_none() {
            let request = Request { operands: vec![operand.clone()], ..Request::default() };
            if let Some(answer) = ask_daemon(self.socket, &request) {
                return self.checked(answer).devices.pop().map_or(Found::Gone, |asked| asked.found);
            }
        }
        self.own().map_or_else(|error| Found::Unreadable(error.to_string()), |own| own.look_at(&operand))
    }

    fn starter(&mut self, vg: &Whole) -> Starter {
        match self.is_first {
            Some(is_first) => Starter::Daemon { is_first },
            None => starter::without_daemon(self.over, vg),
        }
    }
}

/// LVM calls by its name also what it was asked for by its numbers.
fn name_device(asked: &mut Asked) {
    if let (Operand::Number(devno), Found::Excluded(_) | Found::NotAPv | Found::Unreadable(_)) =
        (&asked.operand, &asked.found)
        && let Ok(Some(facts)) = Sysfs::new().facts(*devno)
    {
        asked.operand = Operand::Name(node_of(&facts.name));
    }
}

fn block_devno(path: &Path) -> Option<DevNo> {
    let metadata = std::fs::metadata(path).ok()?;
    metadata.file_type().is_block_device().then(|| DevNo::from_dev_t(metadata.rdev()))
}

/// `None` if there is no daemon that can say.
fn ask_daemon(socket: &Path, request: &Request) -> Option<Answer> {
    // Of none, not of all.
    if !request.all && request.operands.is_empty() {
        return read_answer(&client::call(socket, "Online", &of_none(), Some(PROMPT)).ok()?, &[]);
    }
    let devices = request.operands.iter().map(Operand::to_string).collect::<Vec<_>>();
    let lvs = request.list == Some(pvscan::List::Lvs);
    let no_paths = own::udev_says() == Some(false);
    let parameters = json!({"devices": devices, "lvs": lvs, "no_paths": no_paths, "complete": request.activation_unit});
    let reply = match client::call(socket, "Online", &parameters, Some(PROMPT)) {
        Err(client::Error::TimedOut(_)) => {
            client::call(socket, "Online", &of_none(), Some(PROMPT)).ok()?;
            client::call(socket, "Online", &parameters, Some(DAEMON_TIMEOUT)).ok()?
        }
        reply => reply.ok()?,
    };
    let answer = read_answer(&reply, &request.operands)?;
    let is_whole = request.all || answer.devices.len() == request.operands.len();
    is_whole.then_some(answer)
}

/// Asks for no device, and so for the settings alone.
fn of_none() -> Value {
    json!({"devices": ["0:0"], "lvs": false})
}

/// The devices of the reply in the order of the operands, or as they come if all were asked for.
fn read_answer(reply: &Value, operands: &[Operand]) -> Option<Answer> {
    let found = |value: &Value| {
        let found = Found::from_json(value)?;
        let devno = match &found {
            Found::Pv(pv) => Some(pv.devno),
            _ => None,
        };
        let operand = value["operand"].as_str().map(str::to_owned);
        Some((operand, devno, found))
    };
    let replied = reply["devices"].as_array()?.iter().map(found).collect::<Option<Vec<_>>>()?;
    let devices = if operands.is_empty() {
        let all = replied.into_iter().map(|(operand, devno, found)| {
            let operand = match (&found, operand) {
                (Found::Pv(pv), _) => Operand::Name(pv.device.clone()),
                (_, operand) => Operand::Name(operand.unwrap_or_default()),
            };
            Asked { operand, devno, found }
        });
        all.collect()
    } else {
        let find = |operand: &Operand| {
            let name = operand.to_string();
            let (_, devno, found) = replied.iter().find(|(asked, _, _)| asked.as_deref() == Some(&name))?;
            Some(Asked { operand: operand.clone(), devno: *devno, found: named(found.clone(), operand) })
        };
        operands.iter().map(find).collect::<Option<Vec<_>>>()?
    };
    // With --activation-unit one device is asked for.
    let is_first = reply["devices"][0]["is_first"].as_bool();
    Some(Answer {
        devices,
        is_first,
        host: Host {
            event_activation: reply["event_activation"].as_bool()?,
            system_id: reply["system_id"].as_str().map(str::to_owned),
        },
        run_dir: reply["run_dir"].as_str().map_or_else(|| RUN_DIR.into(), PathBuf::from),
    })
}

/// A device goes by the name that it was asked for.
fn named(found: Found, operand: &Operand) -> Found {
    match (found, operand) {
        (Found::Pv(mut pv), Operand::Name(name)) if name.starts_with("/dev/") => {
            pv.device.clone_from(name);
            Found::Pv(pv)
        }
        (found, _) => found,
    }
}
