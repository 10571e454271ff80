//! Activation by child processes, where there is no systemd.
//!
//! They do not end with the daemon: one that dies in the middle may leave a device suspended. For the
//! same reason they write into a file and not into a pipe, whose reader may be gone.

use super::{Happening, OUTPUT_MAX, Program, activate, not_started, refresh};
use crate::activation::{Order, Outcome};
use crate::id::Id;
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Seek};
use std::os::unix::fs::FileExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

/// What is behind it is not kept.
const WRITTEN_MAX: u64 = 1 << 20;
/// From SIGTERM to SIGKILL, and from there until it is given up.
const GRACE: Duration = Duration::from_secs(5);

#[derive(Default)]
pub struct Processes {
    running: BTreeMap<Id, Running>,
    /// Given up, and not gone.
    left: Vec<Child>,
}

struct Running {
    order: Order,
    program: Program,
    stage: Stage,
    process: Child,
    output: Output,
    ending: Ending,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Refresh,
    Activate,
}

#[derive(Clone, Copy)]
enum Ending {
    No,
    /// It is killed then.
    Asked(Duration),
    /// It is given up then.
    Killed(Duration),
}

impl Processes {
    pub fn start(&mut self, program: &Program, order: Order, out: &mut Vec<Happening>) {
        let stage = if order.refresh { Stage::Refresh } else { Stage::Activate };
        let begin = || {
            let output = Output::new()?;
            Ok((spawn(program, &order, stage, &output)?, output))
        };
        let (process, output) = match begin() {
            Ok(begun) => begun,
            Err(error) => return out.push(not_started(&order, cannot_run(program, &error))),
        };
        out.push(Happening::Started(order.vgid, format!("process {}", process.id())));
        let running = Running { program: program.clone(), stage, process, output, ending: Ending::No, order };
        self.running.insert(running.order.vgid, running);
    }

    /// Has it end: SIGTERM, and what there is for those who do not listen.
    pub fn end(&mut self, now: Duration, vgid: Id) {
        if let Some(running) = self.running.get_mut(&vgid)
            && matches!(running.ending, Ending::No)
        {
            running.signal(Signal::SIGTERM);
            running.ending = Ending::Asked(now + GRACE);
        }
    }

    pub fn poll_timeout(&self) -> Option<Duration> {
        self.running.values().filter_map(Running::due).min()
    }

    pub fn handle_timeout(&mut self, now: Duration, out: &mut Vec<Happening>) {
        let due = self.running.iter().filter(|(_, running)| running.due().is_some_and(|due| due <= now));
        for vgid in due.map(|(vgid, _)| *vgid).collect::<Vec<_>>() {
            let Some(mut running) = self.running.remove(&vgid) else { continue };
            match running.ending {
                Ending::Asked(_) => {
                    running.signal(Signal::SIGKILL);
                    running.ending = Ending::Killed(now + GRACE);
                    self.running.insert(vgid, running);
                }
                Ending::No | Ending::Killed(_) => {
                    out.push(Happening::Ended(vgid, Outcome::TimedOut));
                    self.left.push(running.process);
                }
            }
        }
    }

    /// Collects those that have exited; after SIGCHLD.
    pub fn reap(&mut self, out: &mut Vec<Happening>) {
        self.left.retain_mut(|process| matches!(process.try_wait(), Ok(None)));
        let exited = self.running.iter_mut().filter_map(|(vgid, running)| match running.process.try_wait() {
            Ok(None) => None,
            Ok(Some(status)) => Some((*vgid, Ok(status))),
            Err(error) => Some((*vgid, Err(error))),
        });
        for (vgid, status) in exited.collect::<Vec<_>>() {
            let Some(running) = self.running.remove(&vgid) else { continue };
            match running.exited(status) {
                Next::Goes(running) => drop(self.running.insert(vgid, *running)),
                Next::Ended(outcome) => out.push(Happening::Ended(vgid, outcome)),
            }
        }
    }
}

enum Next {
    Goes(Box<Running>),
    Ended(Outcome),
}

impl Running {
    fn due(&self) -> Option<Duration> {
        match self.ending {
            Ending::No => None,
            Ending::Asked(due) | Ending::Killed(due) => Some(due),
        }
    }

    /// It has not been waited for, so the number is its own. Those that it has started are meant too.
    fn signal(&self, signal: Signal) {
        if let Ok(pid) = self.process.id().try_into() {
            let _ = killpg(Pid::from_raw(pid), signal);
        }
    }

    fn exited(mut self, status: io::Result<ExitStatus>) -> Next {
        let status = match status {
            Ok(status) => status,
            Err(error) => return Next::Ended(Outcome::Unknown(format!("its exit status cannot be had: {error}"))),
        };
        let outcome = match (self.stage, status.success()) {
            _ if !matches!(self.ending, Ending::No) => Outcome::TimedOut,
            (Stage::Refresh, _) => match spawn(&self.program, &self.order, Stage::Activate, &self.output) {
                Ok(process) => {
                    (self.process, self.stage) = (process, Stage::Activate);
                    return Next::Goes(Box::new(self));
                }
                Err(error) => Outcome::NotStarted(cannot_run(&self.program, &error)),
            },
            (Stage::Activate, true) => Outcome::Succeeded,
            (Stage::Activate, false) => Outcome::Failed { why: words(status), output: self.output.end() },
        };
        Next::Ended(outcome)
    }
}

fn words(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => format!("killed by signal {signal}"),
        (None, None) => status.to_string(),
    }
}

fn cannot_run(program: &Program, error: &io::Error) -> String {
    format!("{} cannot be run: {error}", program.path.display())
}

/// The standard library unblocks all signals in a child, and SIGPIPE ends it.
fn spawn(program: &Program, order: &Order, stage: Stage, output: &Output) -> io::Result<Child> {
    let arguments: &[&OsStr] = match stage {
        Stage::Refresh => &refresh(&order.name),
        Stage::Activate => &activate(&order.name),
    };
    Command::new(&program.path)
        .args(arguments)
        .env_clear()
        .envs(program.environment.iter().map(|(name, value)| (name, value)))
        .current_dir("/")
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(output.0.try_clone()?)
        .stderr(output.0.try_clone()?)
        .spawn()
}

/// What the processes write. They and we have one position in it, which is its length: it cannot
/// grow beyond what it is made with.
struct Output(File);

impl Output {
    fn new() -> io::Result<Output> {
        let file = File::from(memfd_create("lvm", MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING)?);
        file.set_len(WRITTEN_MAX)?;
        fcntl(&file, FcntlArg::F_ADD_SEALS(SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SHRINK))?;
        Ok(Output(file))
    }

    /// The last lines of it, as far as there is room.
    fn end(&mut self) -> String {
        let written = self.0.stream_position().unwrap_or(0).min(WRITTEN_MAX);
        let mut bytes = [0; OUTPUT_MAX];
        let start = written.saturating_sub(OUTPUT_MAX as u64);
        let length = usize::try_from(written - start).unwrap_or(0);
        match self.0.read_at(&mut bytes[..length], start) {
            Ok(length) => String::from_utf8_lossy(&bytes[..length]).trim().to_owned(),
            Err(_) => String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::signal::Signals;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;
    use std::thread::sleep;
    use std::time::Instant;

    const VGID: Id = Id(*b"GpJ7WNyKiuO8xEG1iJyQdO4DYSCGa4HS");
    const LONG: Duration = Duration::from_secs(20);

    /// A program that does this.
    fn program(directory: &Path, script: &str) -> Program {
        let path = directory.join("lvm");
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        // Another test may be about to start a process that has it open for writing still.
        while Command::new(&path).arg("--version").env("TRY", "1").output().is_err() {
            sleep(Duration::from_millis(1));
        }
        let _ = fs::remove_file(directory.join("log"));
        Program::new(Some(&path))
    }

    fn order(refresh: bool) -> Order {
        Order { vgid: VGID, name: b"vg0".to_vec(), refresh, limit: None }
    }

    fn outcome(processes: &mut Processes) -> Outcome {
        let (start, mut out) = (Instant::now(), Vec::new());
        while start.elapsed() < LONG {
            processes.reap(&mut out);
            match out.pop() {
                Some(Happening::Ended(VGID, outcome)) => return outcome,
                Some(other) => panic!("{other:?}"),
                None => sleep(Duration::from_millis(1)),
            }
        }
        panic!("it has not ended")
    }

    fn run(program: &Program, refresh: bool) -> Outcome {
        let (mut processes, mut out) = (Processes::default(), Vec::new());
        processes.start(program, order(refresh), &mut out);
        assert!(matches!(&out[..], [Happening::Started(VGID, by)] if by.starts_with("process ")), "{out:?}");
        outcome(&mut processes)
    }

    #[test]
    fn what_is_run_and_how_it_ends() {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("log");
        let logged = |script: &str| format!("echo \"$@\" >> {}\n{script}", log.display());
        assert_eq!(run(&program(directory.path(), &logged("exit 0")), false), Outcome::Succeeded);
        assert_eq!(fs::read_to_string(&log).unwrap(), "vgchange -aay --autoactivation event vg0\n");
        // The first may fail.
        let failing = logged("echo out; echo err >&2; [ $2 = -aay ]");
        assert_eq!(run(&program(directory.path(), &failing), true), Outcome::Succeeded);
        let both = "vgchange --refresh vg0\nvgchange -aay --autoactivation event vg0\n";
        assert_eq!(fs::read_to_string(&log).unwrap(), both);
        let failed = |why: &str, output: &str| Outcome::Failed { why: why.into(), output: output.into() };
        let failing = program(directory.path(), "echo out; echo err >&2; exit 5");
        assert_eq!(run(&failing, false), failed("exit status 5", "out\nerr"));
        assert_eq!(run(&program(directory.path(), "kill -9 $$"), false), failed("killed by signal 9", ""));
    }

    #[test]
    fn of_much_output_the_end_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let script = "head -c 100000 /dev/zero | tr '\\0' x; echo last; exit 1";
        let Outcome::Failed { output, .. } = run(&program(directory.path(), script), false) else { panic!() };
        assert!(output.len() <= OUTPUT_MAX && output.len() > OUTPUT_MAX / 2 && output.ends_with("xlast"));
        let script = "head -c 10000000 /dev/zero | tr '\\0' x 2> /dev/null; exit 1";
        assert!(matches!(run(&program(directory.path(), script), false), Outcome::Failed { .. }));
    }

    #[test]
    fn a_program_that_is_not_there() {
        let (mut processes, mut out) = (Processes::default(), Vec::new());
        processes.start(&Program::new(Some(Path::new("/nowhere/lvm"))), order(true), &mut out);
        let [Happening::Ended(VGID, Outcome::NotStarted(why))] = &out[..] else { panic!("{out:?}") };
        assert!(why.starts_with("/nowhere/lvm cannot be run: "), "{why}");
    }

    /// Nothing of ours: no signal blocked or ignored, no descriptor, no variable.
    #[test]
    fn the_child_is_clean() {
        let _signals = Signals::open().unwrap();
        let directory = tempfile::tempdir().unwrap();
        let script = "grep -E '^Sig(Blk|Ign)' /proc/self/status; readlink /proc/$$/fd/*; env; exit 1";
        let Outcome::Failed { output, .. } = run(&program(directory.path(), script), false) else { panic!() };
        let mask = |name: &str| {
            let line = output.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            u64::from_str_radix(line.trim(), 16).unwrap()
        };
        assert_eq!(mask("SigBlk:"), 0);
        assert_eq!(mask("SigIgn:") >> (Signal::SIGPIPE as u64 - 1) & 1, 0);
        // Standard output and standard error; the rest of the tests' own are none of the daemon's.
        assert_eq!(output.matches("memfd:").count(), 2, "{output}");
        assert!(!output.contains("signalfd"), "{output}");
        assert!(output.contains("LC_ALL=C") && !output.contains("CARGO"), "{output}");
    }

    #[test]
    fn one_that_does_not_listen_is_killed() {
        let directory = tempfile::tempdir().unwrap();
        let ready = directory.path().join("log");
        let script = format!("trap '' TERM; [ $TRY ] || touch {}; while [ ! $TRY ]; do sleep 1; done", ready.display());
        let program = program(directory.path(), &script);
        let (mut processes, mut out) = (Processes::default(), Vec::new());
        let second = Duration::from_secs(1);
        processes.start(&program, order(true), &mut out);
        out.clear();
        while !ready.exists() {
            sleep(Duration::from_millis(1));
        }
        assert_eq!(processes.poll_timeout(), None);
        processes.end(second, VGID);
        processes.end(2 * second, VGID);
        assert_eq!(processes.poll_timeout(), Some(6 * second));
        processes.handle_timeout(5 * second, &mut out);
        processes.reap(&mut out);
        assert_eq!(out, []);
        processes.handle_timeout(6 * second, &mut out);
        assert_eq!(processes.poll_timeout(), Some(11 * second));
        assert_eq!(outcome(&mut processes), Outcome::TimedOut);
        assert_eq!(processes.poll_timeout(), None);
        // One that cannot be killed is given up, and waited for all the same.
        processes.start(&program, order(false), &mut out);
        processes.running.get_mut(&VGID).unwrap().ending = Ending::Killed(second);
        out.clear();
        processes.handle_timeout(second, &mut out);
        assert_eq!(out, [Happening::Ended(VGID, Outcome::TimedOut)]);
        assert!(processes.running.is_empty());
        processes.left[0].kill().unwrap();
        let start = Instant::now();
        while !processes.left.is_empty() && start.elapsed() < LONG {
            processes.reap(&mut out);
        }
        assert!(processes.left.is_empty());
    }
}
