//! What device-mapper says of LVs, asked by a process that can be given up.
//!
//! The command starts its own executable once more, and takes lines of JSON from it until the end of
//! them or of its patience. An ioctl that hangs is left behind with that process, which is killed and
//! not waited for.

use crate::devno::DevNo;
use crate::dm::{parse_list, parse_targets};
use crate::report::live::{Live, Mapping, Monitored, VdoUse};
use crate::sys::dm_ioctl::{ACTIVE_PRESENT, Control, INACTIVE_PRESENT, NOFLUSH, Question, READ_ONLY, SUSPEND, garbage};
use crate::sys::{dmeventd, reader};
use nix::errno::Errno;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::fs;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The argument that makes an executable of ours ask device-mapper.
pub const ARGUMENT: &str = "--ask-device-mapper-for-parent";
/// Where there is a device-mapper. Opening its node would load it.
const DRIVER: &str = "/sys/class/misc/device-mapper";
/// More than a million devices have to say.
const ANSWER_MAX: u64 = 4 << 30;

/// Why nothing came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    NoDeviceMapper,
    NotPermitted,
    TimedOut(Duration),
    Failed(Errno),
    /// The process that asked died, or wrote what it never does.
    Died,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::NoDeviceMapper => f.write_str("there is no device-mapper to ask (the module dm_mod is not loaded)"),
            Error::NotPermitted => f.write_str("only root may ask device-mapper"),
            Error::TimedOut(deadline) => write!(f, "device-mapper did not answer within {deadline:?}"),
            Error::Failed(errno) => write!(f, "device-mapper cannot be asked: {}", errno.desc()),
            Error::Died => f.write_str("the process that asks device-mapper died"),
        }
    }
}

impl std::error::Error for Error {}

#[derive(Serialize, Deserialize)]
enum Line {
    /// With its uuid.
    Device(String, Mapping),
    /// dmeventd watches this one.
    Monitored(String, Monitored),
    End,
    /// errno.
    Failed(i32),
}

/// All devices of LVs, as of now.
pub fn ask(deadline: Duration) -> Result<Live, Error> {
    // Not the path it was started by, which may be another program by now.
    ask_by(Path::new("/proc/self/exe"), deadline)
}

/// `executable` has to call `reader::run_if_reader` first thing.
pub fn ask_by(executable: &Path, deadline: Duration) -> Result<Live, Error> {
    if !Path::new(DRIVER).exists() {
        return Err(Error::NoDeviceMapper);
    }
    let (ours, theirs) = UnixStream::pair().map_err(|error| failed(&error))?;
    // The environment is not needed there.
    let child = Command::new(executable)
        .arg0(reader::NAME)
        .arg(ARGUMENT)
        .env_clear()
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::null())
        .stderr(Stdio::inherit())
        .spawn()
        .map_err(|error| failed(&error))?;
    let child = Expendable(child);
    let live = receive(ours, deadline);
    drop(child);
    live
}

/// Killed when it is not needed any more; one that is past killing is not waited for.
struct Expendable(Child);

impl Drop for Expendable {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.try_wait();
    }
}

fn failed(error: &io::Error) -> Error {
    match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::EACCES | Errno::EPERM) => Error::NotPermitted,
        Some(Errno::ENOENT | Errno::ENODEV | Errno::ENXIO) => Error::NoDeviceMapper,
        Some(errno) => Error::Failed(errno),
        None => Error::Failed(Errno::EIO),
    }
}

fn receive(socket: UnixStream, deadline: Duration) -> Result<Live, Error> {
    let patient = Patient { socket, until: Instant::now() + deadline };
    let mut lines = BufReader::with_capacity(64 << 10, patient.take(ANSWER_MAX));
    let (mut live, mut line) = (Live::default(), Vec::new());
    loop {
        line.clear();
        match lines.read_until(b'\n', &mut line) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::TimedOut => return Err(Error::TimedOut(deadline)),
            Err(_) => return Err(Error::Died),
        }
        match serde_json::from_slice(&line) {
            Ok(Line::Device(uuid, mapping)) => {
                live.devices.insert(uuid, mapping);
            }
            Ok(Line::Monitored(uuid, how)) => {
                live.monitored.insert(uuid, how);
            }
            Ok(Line::End) => return Ok(live),
            Ok(Line::Failed(errno)) => return Err(failed(&io::Error::from_raw_os_error(errno))),
            Err(_) => return Err(Error::Died),
        }
    }
}

/// Reads until a certain time.
struct Patient {
    socket: UnixStream,
    until: Instant,
}

impl Read for Patient {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let left = self.until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            self.socket.set_read_timeout(Some(left))?;
            match self.socket.read(buffer) {
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
                result => return result,
            }
        }
    }
}

/// By sysfs, which anybody may read; `None` if it does not tell.
pub fn is_suspended(devno: DevNo) -> Option<bool> {
    Some(number(&format!("/sys/dev/block/{devno}/dm/suspended"))? != 0)
}

/// What the process does that was started to ask.
pub(super) fn answer(socket: UnixStream) -> io::Result<()> {
    let mut out = BufWriter::with_capacity(64 << 10, socket);
    let last = match tell(&mut out) {
        Ok(()) => Line::End,
        Err(error) => Line::Failed(error.raw_os_error().unwrap_or(Errno::EIO as i32)),
    };
    write_line(&mut out, &last)?;
    out.flush()
}

fn write_line(out: &mut impl Write, line: &Line) -> io::Result<()> {
    serde_json::to_writer(&mut *out, line)?;
    out.write_all(b"\n")
}

fn tell(out: &mut impl Write) -> io::Result<()> {
    let mut control = Control::open()?;
    let devices = parse_list(control.ask(Question::List, None, 0)?.data()).ok_or_else(garbage)?;
    for devno in devices {
        match look(&mut control, devno) {
            Ok(Some((uuid, mapping))) => write_line(out, &Line::Device(uuid, mapping))?,
            Ok(None) => {}
            // It was removed since.
            Err(error) if error.raw_os_error() == Some(Errno::ENXIO as i32) => {}
            Err(error) => return Err(error),
        }
    }
    // LVM takes a dmeventd that does not answer for one that watches nothing, too.
    for (uuid, how) in dmeventd::monitored().unwrap_or_default() {
        write_line(out, &Line::Monitored(uuid, how))?;
    }
    Ok(())
}

/// `None` for a device that is none of LVM's, which is not asked for its targets.
fn look(control: &mut Control, devno: DevNo) -> io::Result<Option<(String, Mapping)>> {
    if !control.ask(Question::Device, Some(devno), 0)?.uuid().starts_with("LVM-") {
        return Ok(None);
    }
    let answer = match control.ask(Question::Targets, Some(devno), NOFLUSH) {
        // There are more of them than anybody can want to know.
        Err(error) if error.kind() == io::ErrorKind::OutOfMemory => control.ask(Question::Device, Some(devno), 0)?,
        answer => answer?,
    };
    let flags = answer.flags();
    let mut mapping = Mapping {
        name: answer.name(),
        devno,
        suspended: flags & SUSPEND != 0,
        read_only: flags & READ_ONLY != 0,
        open_count: answer.open_count(),
        live_table: flags & ACTIVE_PRESENT != 0,
        inactive_table: flags & INACTIVE_PRESENT != 0,
        read_ahead: None,
        targets: parse_targets(answer.data(), answer.target_count()).unwrap_or_default(),
        vdo: None,
    };
    let uuid = answer.uuid();
    let directory = format!("/sys/dev/block/{devno}");
    mapping.read_ahead = number(&format!("{directory}/bdi/read_ahead_kb")).map(|kibibytes| kibibytes.saturating_mul(2));
    if mapping.targets.iter().any(|target| target.kind == "vdo") {
        mapping.vdo = vdo_use(&format!("{directory}/vdo"), &mapping.name);
    }
    Ok(Some((uuid, mapping)))
}

/// Where the driver has its statistics: of late with the device, before under its name.
fn vdo_use(directory: &str, name: &str) -> Option<VdoUse> {
    let value = |file: &str| {
        number(&format!("{directory}/statistics/{file}"))
            .or_else(|| number(&format!("/sys/kvdo/{name}/statistics/{file}")))
    };
    Some(VdoUse { data_blocks: value("data_blocks_used")?, logical_blocks: value("logical_blocks_used")? })
}

fn number(path: &str) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(lines: &[&str], keep_open: bool, deadline: Duration) -> Result<Live, Error> {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.write_all(lines.concat().as_bytes()).unwrap();
        let _open = keep_open.then_some(theirs);
        receive(ours, deadline)
    }

    #[test]
    fn what_the_process_says_is_taken_or_not() {
        let mapping = Mapping {
            name: "vg-lv".into(),
            devno: DevNo::new(253, 1),
            suspended: false,
            read_only: true,
            open_count: 3,
            live_table: true,
            inactive_table: false,
            read_ahead: Some(256),
            targets: Vec::new(),
            vdo: None,
        };
        let mut device = serde_json::to_string(&Line::Device("LVM-1".into(), mapping.clone())).unwrap();
        device.push('\n');
        let soon = Duration::from_millis(20);
        let long = Duration::from_secs(60);
        let live = told(&[&device, "\"End\"\n"], true, long).unwrap();
        assert_eq!(live.devices, [("LVM-1".to_owned(), mapping)].into());
        let error = |lines: &[&str], keep_open, deadline| told(lines, keep_open, deadline).unwrap_err();
        assert_eq!(error(&[&device], true, soon), Error::TimedOut(soon));
        assert_eq!(error(&[&device], false, long), Error::Died, "what is not all is nothing");
        assert_eq!(error(&[&device, "what\n"], true, long), Error::Died);
        assert_eq!(error(&["{\"Failed\":1}\n"], true, long), Error::NotPermitted);
        assert_eq!(error(&["{\"Failed\":13}\n"], true, long), Error::NotPermitted);
        assert_eq!(error(&["{\"Failed\":19}\n"], true, long), Error::NoDeviceMapper);
        assert_eq!(error(&["{\"Failed\":71}\n"], true, long), Error::Failed(Errno::EPROTO));
    }
}
