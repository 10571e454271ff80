//! `pvwatch takeover`: who starts activation, LVM's udev rule or ours.

use crate::client;
use crate::conf::Settings;
use crate::sys::settings;
use crate::sys::takeover::Tree;
use crate::takeover::{Circumstances, Found, Here, Judgement, Mode, Programs, Saved, State, disable, enable, judge};
use lexopt::Arg::{Long, Short, Value as Positional};
use lexopt::ValueExt;
use serde_json::{Value, json};
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

const HELP: &str = "\
Usage: pvwatch [-s SOCKET] takeover status [--root DIR] [--json]
       pvwatch [-s SOCKET] takeover enable [--variant rule|events|lvm202] [--root DIR]
       pvwatch [-s SOCKET] takeover disable|compare [--root DIR]

Who starts activation of VGs, LVM's udev rule or ours.

  status    who does, file by file, and what is contradictory
  enable    ours does, and LVM's is masked in /etc/udev/rules.d; what was there is kept
  disable   LVM's does, and everything is as it was
  compare   LVM's does, and the daemon tells where it would have done otherwise

  --variant rule     udev runs one process for each PV; activates without a daemon, too (default)
  --variant events   udev runs nothing; the daemon acts on events alone
  --variant lvm202   as LVM 2.02: lvm2-pvscan@.service activates
  --root DIR         in the image of a host; no daemon and no udevd is told
  --json             print JSON

Exit status: 0 done, of status: all is consistent; 1 failed, of status: it is not; 2 usage.
";

const FAILED: u8 = 1;
const USAGE: u8 = 2;
/// For the daemon, and for `udevadm`.
const TIMEOUT: Duration = Duration::from_secs(10);

struct Arguments {
    action: Action,
    root: Option<PathBuf>,
    json: bool,
}

enum Action {
    Status,
    Enable(Mode),
    Disable,
}

/// What to say on standard error, and the exit status.
struct Failure(String, u8);

impl From<lexopt::Error> for Failure {
    fn from(error: lexopt::Error) -> Failure {
        Failure(format!("{error}\nTry 'pvwatch takeover --help'."), USAGE)
    }
}

impl From<crate::sys::takeover::Error> for Failure {
    fn from(error: crate::sys::takeover::Error) -> Failure {
        Failure(error.to_string(), FAILED)
    }
}

impl From<crate::takeover::Refusal> for Failure {
    fn from(refusal: crate::takeover::Refusal) -> Failure {
        Failure(refusal.to_string(), FAILED)
    }
}

/// Does what the words behind `takeover` say. The exit status.
pub fn run(socket: &Path, json: bool, words: impl IntoIterator<Item = OsString>) -> u8 {
    let done = parse(json, words).and_then(|arguments| match arguments {
        Some(arguments) => act(socket, &arguments),
        None => print(HELP).map(|()| 0),
    });
    match done {
        Ok(status) => status,
        Err(Failure(error, status)) => {
            complain(&error);
            status
        }
    }
}

fn parse(json: bool, words: impl IntoIterator<Item = OsString>) -> Result<Option<Arguments>, Failure> {
    let (mut action, mut variant, mut root, mut json) = (None, None, None, json);
    let mut parser = lexopt::Parser::from_args(words);
    while let Some(argument) = parser.next()? {
        match argument {
            Short('h') | Long("help") => return Ok(None),
            Long("json") => json = true,
            Long("root") => root = Some(PathBuf::from(parser.value()?)),
            Long("variant") => variant = Some(parser.value()?.string()?),
            Positional(word) if action.is_none() => action = Some(word.string()?),
            _ => return Err(argument.unexpected().into()),
        }
    }
    let mode = variant.as_deref().map_or(Some(Mode::Rule), Mode::parse).filter(|mode| *mode != Mode::Compare);
    let mode = mode.ok_or_else(|| lexopt::Error::from("--variant is rule, events or lvm202"))?;
    let action = match action.as_deref() {
        Some("enable") => Action::Enable(mode),
        _ if variant.is_some() => return Err(lexopt::Error::from("--variant is for enable").into()),
        Some("status") => Action::Status,
        Some("disable") => Action::Disable,
        Some("compare") => Action::Enable(Mode::Compare),
        Some(other) => return Err(lexopt::Error::from(format!("takeover {other}: no such action")).into()),
        None => return Err(lexopt::Error::from("takeover status, enable, disable or compare").into()),
    };
    Ok(Some(Arguments { action, root, json }))
}

fn act(socket: &Path, arguments: &Arguments) -> Result<u8, Failure> {
    let root = arguments.root.as_deref();
    let tree = Tree::new(root.unwrap_or(Path::new("/")), &settings::system_dir())?;
    if matches!(arguments.action, Action::Status) {
        return status(socket, arguments, &tree);
    }
    let lock = tree.lock()?;
    let found = tree.look()?;
    let (plan, mode) = match arguments.action {
        Action::Enable(mode) => (enable(&found, mode, &programs(&tree, root.is_some(), mode))?, Some(mode)),
        Action::Disable | Action::Status => (disable(&found, None)?, None),
    };
    let carried_out = plan.steps.iter().try_for_each(|step| tree.carry_out(step));
    carried_out
        .map_err(|error| Failure(format!("{error}; what was done is undone by: pvwatch takeover disable"), FAILED))?;
    drop(lock);
    plan.notes.iter().for_each(|note| complain(note));
    if root.is_none() {
        tell_udevd();
        tell_daemon(socket);
    }
    advise(&tree, mode);
    // What is still not as it should be is told at once, and not only to those who ask.
    let judgement = judge(&tree.look()?, &circumstances(socket, root.is_some(), &tree, &tree.look()?));
    judgement.problems.iter().for_each(|problem| complain(problem));
    print(&format!("{} activates\n", judgement.charge.as_str()))?;
    Ok(0)
}

/// What the rule is to run on this host, or that of the image.
fn programs(tree: &Tree, is_image: bool, mode: Mode) -> Programs {
    let default = Programs::default();
    let own = match is_image {
        true => tree.program("pvwatch"),
        false => std::env::current_exe().ok().map(|path| path.to_string_lossy().into_owned()),
    };
    let programs = Programs {
        pvwatch: own.unwrap_or(default.pvwatch),
        lvm: tree.program("lvm").unwrap_or(default.lvm),
        systemd_run: tree.program("systemd-run").unwrap_or(default.systemd_run),
    };
    let is_early = ["/usr/sbin/", "/usr/bin/", "/usr/lib/", "/usr/libexec/", "/sbin/", "/bin/"];
    if mode == Mode::Rule && !is_early.iter().any(|directory| programs.pvwatch.starts_with(directory)) {
        complain(&format!("{} may not be there when the host boots: the rule runs lvm pvscan then", programs.pvwatch));
    }
    programs
}

/// Without udevd, rules are read when it starts.
fn tell_udevd() {
    if !Path::new("/run/udev/control").exists() {
        return;
    }
    let mut command = Command::new("udevadm");
    command.args(["control", "--reload", &format!("--timeout={}", TIMEOUT.as_secs())]).stdin(Stdio::null());
    match command.status() {
        Ok(status) if status.success() => {}
        Ok(status) => complain(&format!("udevd was not told to read its rules: udevadm control --reload: {status}")),
        Err(error) => complain(&format!("udevd was not told to read its rules: udevadm: {error}")),
    }
}

fn tell_daemon(socket: &Path) {
    if let Err(error) = client::call(socket, "Reload", &json!({}), Some(TIMEOUT)) {
        complain(&format!("the daemon was not told, and takes note when it starts or gets SIGHUP: {error}"));
    }
}

fn advise(tree: &Tree, mode: Option<Mode>) {
    if mode != Some(Mode::Compare) {
        let remake = match (tree.program("update-initramfs"), tree.program("dracut")) {
            (Some(_), _) => "update-initramfs -u",
            (None, Some(_)) => "dracut -f",
            (None, None) => "update-initramfs -u, or dracut -f",
        };
        complain(&format!("an initrd keeps the rules it was made with, until: {remake}"));
    }
    if settings::load(&tree.system_dir(), settings::Over::Nothing).is_ok_and(|settings| !settings.event_activation) {
        complain("global/event_activation is 0: nothing is activated by events, whoever is in charge");
    }
}

fn circumstances(socket: &Path, is_image: bool, tree: &Tree, found: &Found) -> Circumstances {
    let settings = settings::load(&tree.system_dir(), settings::Over::Nothing).unwrap_or_else(|error| {
        complain(&error.to_string());
        Settings::default()
    });
    let daemon = if is_image { None } else { daemon_status(socket) };
    let programs = match &found.state {
        Some(Ok(State { mode: Mode::Rule, programs, .. })) => {
            vec![&*programs.pvwatch, &*programs.lvm]
        }
        Some(Ok(State { mode: Mode::Lvm202, programs, .. })) => vec![&*programs.lvm],
        Some(_) | None => Vec::new(),
    };
    Circumstances {
        setting: settings.activation,
        daemon: daemon.map(|status| status["activation"]["mode"].as_str().unwrap_or_default().to_owned()),
        is_image,
        absent_programs: programs.into_iter().filter(|path| !tree.is_program(path)).map(str::to_owned).collect(),
    }
}

fn daemon_status(socket: &Path) -> Option<Value> {
    client::call(socket, "Status", &json!({}), Some(TIMEOUT)).ok().map(|reply| reply["status"].clone())
}

fn status(socket: &Path, arguments: &Arguments, tree: &Tree) -> Result<u8, Failure> {
    let is_image = arguments.root.is_some();
    let found = tree.look()?;
    let Judgement { charge, problems } = judge(&found, &circumstances(socket, is_image, tree, &found));
    let daemon = if is_image { None } else { daemon_status(socket) };
    let mode = match &found.state {
        Some(Ok(state)) => state.mode.as_str(),
        Some(Err(_)) => "unknown",
        None => "disabled",
    };
    let files = files(&found);
    if arguments.json {
        let files = files.iter().map(|(path, what)| json!({"path": path, "is": what})).collect::<Vec<_>>();
        let json = json!({
            "takeover": mode,
            "activates": charge.as_str(),
            "files": files,
            "problems": problems,
            "daemon": daemon.as_ref().map(|status| &status["activation"]),
        });
        print(&format!("{json:#}\n"))?;
    } else {
        print(&in_words(mode, charge.as_str(), &files, daemon.as_ref().filter(|_| !is_image), is_image))?;
        problems.iter().try_for_each(|problem| print(&format!("problem   {problem}\n")))?;
    }
    Ok(if problems.is_empty() { 0 } else { FAILED })
}

fn in_words(
    mode: &str,
    charge: &str,
    files: &[(String, &'static str)],
    daemon: Option<&Value>,
    is_image: bool,
) -> String {
    let mut out = format!("takeover  {mode}: {charge} activates\n");
    for (path, what) in files {
        out.push_str(&format!("file      {path}: {what}\n"));
    }
    match daemon {
        _ if is_image => {}
        None => out.push_str("daemon    does not answer\n"),
        Some(status) => {
            let mode = status["activation"]["mode"].as_str().unwrap_or("unknown");
            out.push_str(&format!("daemon    runs, mode {mode}\n"));
            let differences = status["activation"]["differences"].as_array();
            for difference in differences.into_iter().flatten() {
                let word = |name: &str| difference[name].as_str().unwrap_or_default().escape_debug().to_string();
                out.push_str(&format!("differs   VG {}: {}\n", word("vg"), word("words")));
            }
        }
    }
    out
}

/// Each that is there, and what it is.
fn files(found: &Found) -> Vec<(String, &'static str)> {
    let mut out = Vec::new();
    for slot in found.own.iter().chain(&found.lvm) {
        let here = match slot.here {
            Here::Nothing => None,
            Here::Mask => Some("masked"),
            Here::Ours => Some("pvwatch's rule"),
            Here::Theirs => Some("an administrator's own rule"),
        };
        out.extend(here.map(|what| (format!("/etc/udev/rules.d/{}", slot.name), what)));
        if let Some(path) = &slot.elsewhere {
            let is_hidden = slot.here != Here::Nothing;
            out.push((path.clone(), if is_hidden { "LVM's rule, not in force" } else { "LVM's rule, in force" }));
        }
        if slot.saved != Saved::No {
            out.push((format!("pvwatch/saved/{}", slot.name), "put aside until takeover is disabled"));
        }
    }
    out.extend(found.others.iter().map(|path| (path.clone(), "calls pvscan, in force")));
    out
}

fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure(format!("standard output: {error}"), FAILED))
        }
        _ => Ok(()),
    }
}

fn complain(text: &str) {
    let _ = writeln!(io::stderr(), "pvwatch: {text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_daemon_has_found_otherwise_is_told() {
        let difference = json!({"vg": "vg0", "words": "1.2 s\u{1b} earlier", "ago": 3.0});
        let status = json!({"activation": {"mode": "compare", "differences": [difference]}});
        let files = [("/etc/udev/rules.d/69-lvm.rules".to_owned(), "masked")];
        let words = in_words("compare", "LVM's rule", &files, Some(&status), false);
        let expected = [
            "takeover  compare: LVM's rule activates",
            "file      /etc/udev/rules.d/69-lvm.rules: masked",
            "daemon    runs, mode compare",
            "differs   VG vg0: 1.2 s\\u{1b} earlier",
        ];
        assert_eq!(words.lines().collect::<Vec<_>>(), expected);
        assert!(in_words("rule", "pvwatch", &[], None, false).ends_with("daemon    does not answer\n"));
        assert_eq!(in_words("rule", "pvwatch", &[], None, true), "takeover  rule: pvwatch activates\n");
    }
}
