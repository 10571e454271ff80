//! What concerns a process as a whole: forking, locks, the environment, inherited descriptors.
//! Each test runs this program again as `helper`, which does one thing to itself.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::linux::fs::MetadataExt;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio, exit};
use std::time::{Duration, Instant};

use pvwatch::sys::{daemonize, log as sys_log, notify, pid_file, socket};

const TASK: &str = "PVWATCH_TEST_TASK";
const PATH: &str = "PVWATCH_TEST_PATH";

/// Not a test, but what the others start. With one test thread, libtest runs it in the main
/// thread and starts no other.
#[test]
fn helper() {
    let Ok(task) = std::env::var(TASK) else { return };
    let path = PathBuf::from(std::env::var_os(PATH).unwrap_or_default());
    match task.as_str() {
        "pid file" => hold_pid_file(&path),
        "ready" => {
            let ready = daemonize::background().unwrap();
            std::thread::sleep(Duration::from_millis(100));
            let text = fs::read_link("/proc/self/cwd").unwrap().display().to_string();
            let session = nix::unistd::getsid(None).unwrap() == nix::unistd::getpid();
            fs::write(&path, format!("{text} {session}")).unwrap();
            ready.announce().unwrap();
            let names = (0..3).map(|number| fs::read_link(format!("/proc/self/fd/{number}")).unwrap());
            let names: Vec<String> = names.map(|name| name.display().to_string()).collect();
            fs::write(path.with_extension("after"), names.join(" ")).unwrap();
            exit(0);
        }
        "fail" => {
            let _ready = daemonize::background().unwrap();
            eprintln!("the reason");
            exit(13);
        }
        "early" => {
            let _ready = daemonize::background().unwrap();
            exit(0);
        }
        "killed" => {
            let _ready = daemonize::background().unwrap();
            nix::sys::signal::raise(nix::sys::signal::Signal::SIGKILL).unwrap();
        }
        "adopt" => {
            let [adopted, other] = socket::adopt_systemd([&path, Path::new("/nowhere")]);
            assert!(other.is_none());
            let flags = fs::read_to_string("/proc/self/fdinfo/3").unwrap_or_default();
            let flags = flags.lines().find_map(|line| line.strip_prefix("flags:")).unwrap_or("0").trim();
            let flags = u32::from_str_radix(flags, 8).unwrap();
            let left =
                ["SD_ACTIVATION", "LISTEN_PID", "LISTEN_FDS"].into_iter().any(|name| std::env::var_os(name).is_some());
            let both = 0o2_000_000 | 0o4000;
            println!("\nanswer {} {} {left}", adopted.is_some(), flags & both == both);
        }
        "notify" => {
            notify::starting(std::time::Duration::from_secs(3));
            notify::ready();
            notify::status("2 PVs\nREADY=0");
            notify::alive();
            notify::stopping();
            println!("\nanswer {:?}", notify::watchdog());
        }
        "log" => {
            sys_log::init("lvmetad", std::env::var("PVWATCH_TEST_LEVELS").ok().as_deref(), true);
            log::error!("an error");
            log::warn!("a\nwarning");
            log::info!("news");
            log::debug!("details");
            log::trace!(target: pvwatch::protocol::LOG_TARGET, "a message");
        }
        other => panic!("{other}"),
    }
}

fn hold_pid_file(path: &Path) {
    match pid_file::PidFile::create(path) {
        Ok(file) => {
            println!("\nanswer locked {}", std::process::id());
            std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
            file.remove().unwrap();
        }
        Err(pid_file::Error::Locked(_)) => println!("\nanswer refused"),
        Err(error) => panic!("{error}"),
    }
}

const ARGUMENTS: [&str; 4] = ["--exact", "helper", "--nocapture", "--test-threads=1"];

fn helper_command(task: &str, path: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(ARGUMENTS).env(TASK, task).env(PATH, path).env_remove("RUST_LOG").stdin(Stdio::null());
    command
}

fn answer(output: &[u8]) -> String {
    let text = String::from_utf8_lossy(output).into_owned();
    text.lines().find_map(|line| line.strip_prefix("answer ")).unwrap_or_else(|| panic!("{text}")).to_owned()
}

#[test]
fn a_locked_pid_file_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("pid");
    let mut holder = helper_command("pid file", &path).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(holder.stdout.take().unwrap()).lines().map(Result::unwrap);
    let locked = lines.find(|line| line.starts_with("answer ")).unwrap();
    assert_eq!(locked, format!("answer locked {}", holder.id()));
    assert_eq!(answer(&helper_command("pid file", &path).output().unwrap().stdout), "refused");
    assert_eq!(fs::read_to_string(&path).unwrap(), format!("{}\n", holder.id()));
    drop(holder.stdin.take());
    assert!(holder.wait().unwrap().success());
    assert!(!path.exists());
    // It is free again, also when the holder could not remove it.
    fs::write(&path, "1\n").unwrap();
    assert!(answer(&helper_command("pid file", &path).output().unwrap().stdout).starts_with("locked"));
}

#[test]
fn the_parent_exits_when_the_child_is_ready() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state");
    let run = helper_command("ready", &path).stdin(Stdio::piped()).status().unwrap();
    assert_eq!(run.code(), Some(0));
    assert_eq!(fs::read_to_string(&path).unwrap(), "/ true", "written before the parent left");
    let (after, start) = (path.with_extension("after"), Instant::now());
    while fs::read_to_string(&after).unwrap_or_default().is_empty() && start.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(fs::read_to_string(&after).unwrap(), "/dev/null /dev/null /dev/null");
}

#[test]
fn the_parent_passes_on_a_failure() {
    let run = |task| helper_command(task, Path::new("")).output().unwrap();
    let failed = run("fail");
    assert_eq!(failed.status.code(), Some(13));
    assert!(String::from_utf8_lossy(&failed.stderr).contains("the reason"));
    assert_eq!(run("early").status.code(), Some(1));
    let killed = run("killed").status;
    assert_eq!((killed.code(), killed.signal()), (Some(128 + 9), None));
}

/// Starts the helper as systemd would, with the listening socket as descriptor 3.
fn adopt(listener: &UnixListener, path: &Path, variables: &str) -> String {
    let script = format!(r#"export {variables}; exec "$0" "$@" 3<&0 </dev/null"#);
    let run = Command::new("sh")
        .arg("-c")
        .arg(script)
        .arg(std::env::current_exe().unwrap())
        .args(ARGUMENTS)
        .env(TASK, "adopt")
        .env(PATH, path)
        .stdin(Stdio::from(std::os::fd::OwnedFd::from(listener.try_clone().unwrap())))
        .output()
        .unwrap();
    answer(&run.stdout)
}

#[test]
fn systemds_socket_is_used_only_if_everything_fits() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    let right = "SD_ACTIVATION=1 LISTEN_PID=$$ LISTEN_FDS=1";
    assert_eq!(adopt(&listener, &path, right), "true true false");
    assert_eq!(adopt(&listener, &path, "SD_ACTIVATION=1 LISTEN_PID=$$ LISTEN_FDS=2"), "true true false");
    assert!(path.exists());
    assert_eq!(adopt(&listener, &directory.path().join("other"), right), "false false false");
    for wrong in [
        "SD_ACTIVATION=0 LISTEN_PID=$$ LISTEN_FDS=1",
        "LISTEN_PID=$$ LISTEN_FDS=1",
        "SD_ACTIVATION=1 LISTEN_PID=1 LISTEN_FDS=1",
        "SD_ACTIVATION=1 LISTEN_PID=$$ LISTEN_FDS=0",
        "SD_ACTIVATION=1 LISTEN_PID=$$ LISTEN_FDS=x",
    ] {
        let answer = adopt(&listener, &path, wrong);
        assert!(answer.starts_with("false ") && answer.ends_with(" false"), "{wrong}: {answer}");
    }
    UnixStream::connect(&path).unwrap();
}

#[test]
fn the_service_manager_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_nonblocking(true).unwrap();
    let run =
        helper_command("notify", Path::new("")).env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "3000000").output();
    assert_eq!(answer(&run.unwrap().stdout), "Some(1.5s)");
    let mut told = Vec::new();
    let mut message = [0; 100];
    while let Ok(length) = manager.recv(&mut message) {
        told.push(String::from_utf8(message[..length].to_vec()).unwrap());
    }
    assert_eq!(
        told,
        [
            "WATCHDOG=1\nEXTEND_TIMEOUT_USEC=3000000\n",
            "READY=1\n",
            "STATUS=2 PVs READY=0\n",
            "WATCHDOG=1\n",
            "STOPPING=1\n"
        ]
    );
    let alone = helper_command("notify", Path::new("")).env_remove("NOTIFY_SOCKET").output().unwrap();
    assert_eq!(answer(&alone.stdout), "None");
}

#[test]
fn log_lines_have_a_time_or_a_priority() {
    // Without the time, which is one word.
    let lines = |command: &mut Command| -> Vec<String> {
        let stderr = command.output().unwrap().stderr;
        let lines = String::from_utf8(stderr).unwrap();
        lines.lines().map(|line| line.split_once("Z ").unwrap().1.to_owned()).collect()
    };
    let run = || helper_command("log", Path::new(""));
    assert_eq!(lines(&mut run()), ["ERROR an error", r"WARN a\nwarning", "INFO news"]);
    assert_eq!(lines(run().env("PVWATCH_TEST_LEVELS", "error,wire")), ["ERROR an error", "TRACE a message"]);
    assert_eq!(lines(run().env("PVWATCH_TEST_LEVELS", "debug")).len(), 4);
    assert_eq!(lines(run().env("RUST_LOG", "warn,pvwatch::wire=trace")).len(), 3);

    let file = tempfile::NamedTempFile::new().unwrap();
    let found = file.as_file().metadata().unwrap();
    run()
        .env("JOURNAL_STREAM", format!("{}:{}", found.st_dev(), found.st_ino()))
        .stderr(file.reopen().unwrap())
        .status()
        .unwrap();
    assert_eq!(fs::read_to_string(file.path()).unwrap(), "<3>an error\n<4>a\\nwarning\n<6>news\n");
}
