//! The reader process and the pool, with real processes, loop devices and a FIFO as a disk that
//! hangs. Loop devices need root.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::sys::stat::Mode;
use nix::unistd::{Pid, mkfifo};
use pvwatch::devno::DevNo;
use pvwatch::sys::reader::{Counts, Expect, Happening, IDLE_READERS, JobId, MAX_READ, Open, Opened, Pool, Reply};
use tempfile::TempDir;

use testing::{LOOP_SIZE, LoopDevice, needs};

// The helpers of the unit tests name `DevNo` as the library does.
use pvwatch::devno;
#[path = "../src/sys/testing.rs"]
mod testing;

const FIRST_TOKEN: usize = 100;
/// Far longer than anything that does not hang takes.
const LONG: Duration = Duration::from_secs(10);
/// Long enough to see that something hangs.
const SHORT: Duration = Duration::from_millis(150);

struct World {
    poll: mio::Poll,
    pool: Pool,
    directory: TempDir,
}

impl World {
    fn new() -> World {
        World::with_executable(env!("CARGO_BIN_EXE_pvwatchd").into())
    }

    fn with_executable(executable: PathBuf) -> World {
        let pool = Pool::with_executable(FIRST_TOKEN, executable);
        World { poll: mio::Poll::new().unwrap(), pool, directory: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn fifo(&self) -> PathBuf {
        let path = self.path("fifo");
        mkfifo(&path, Mode::S_IRWXU).unwrap();
        path
    }

    fn open(&mut self, job: JobId, path: &Path, expect: Expect, first: usize) {
        self.pool.open(self.poll.registry(), job, Open { path: path.to_owned(), expect, first, is_dm: false }).unwrap();
    }

    fn close(&mut self, job: JobId) {
        self.pool.close(self.poll.registry(), job);
    }

    fn abandon(&mut self, job: JobId) {
        self.pool.abandon(self.poll.registry(), job);
    }

    /// Runs the loop until something happens or the time is over.
    fn happenings(&mut self, patience: Duration) -> Vec<Happening> {
        self.run(patience, |_, out| !out.is_empty())
    }

    fn run(&mut self, patience: Duration, enough: impl Fn(&Pool, &[Happening]) -> bool) -> Vec<Happening> {
        let (start, mut out, mut events) = (Instant::now(), Vec::new(), mio::Events::with_capacity(16));
        while !enough(&self.pool, &out) && start.elapsed() < patience {
            match self.poll.poll(&mut events, Some(Duration::from_millis(5))) {
                // A child of a test beside this one has exited.
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                result => result.unwrap(),
            }
            for event in &events {
                self.pool.handle_ready(self.poll.registry(), event.token(), &mut out);
            }
            self.pool.reap(&mut out);
        }
        out
    }

    fn opened(&mut self, job: JobId) -> Result<Opened, i32> {
        match &self.happenings(LONG)[..] {
            [Happening::Reply(found, Reply::Opened(result))] if *found == job => result.clone(),
            other => panic!("{other:?}"),
        }
    }

    fn data(&mut self, job: JobId, range: (u64, usize)) -> (Option<u64>, Result<Vec<u8>, i32>) {
        self.pool.read(job, range).unwrap();
        match self.happenings(LONG).pop() {
            Some(Happening::Reply(found, Reply::Data { offset, diskseq, bytes })) => {
                assert_eq!((found, offset), (job, range.0));
                (diskseq, bytes)
            }
            other => panic!("{other:?}"),
        }
    }

    fn until(&mut self, counts: Counts) {
        self.run(LONG, |pool, _| pool.counts() == counts);
        assert_eq!(self.pool.counts(), counts);
    }

    fn process(&self, job: JobId) -> Pid {
        Pid::from_raw(self.pool.process_of(job).unwrap().try_into().unwrap())
    }
}

fn counts(idle: usize, busy: usize, abandoned: usize) -> Counts {
    Counts { idle, busy, abandoned }
}

fn descriptors(process: Pid) -> BTreeSet<i32> {
    let entries = fs::read_dir(format!("/proc/{process}/fd")).unwrap();
    entries.map(|entry| entry.unwrap().file_name().to_str().unwrap().parse().unwrap()).collect()
}

/// One field of `/proc/PID/status`; `None` when the process is gone.
fn status(process: Pid, field: &str) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    text.lines().find_map(|line| Some(line.strip_prefix(field)?.strip_prefix(':')?.trim().to_owned()))
}

fn is_gone(process: Pid) -> bool {
    let start = Instant::now();
    while start.elapsed() < LONG {
        if status(process, "State").is_none_or(|state| state.starts_with('Z')) {
            return true;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    false
}

fn pattern(length: u64) -> Vec<u8> {
    (0..length / 8).flat_map(|word| word.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes()).collect()
}

#[test]
fn a_device_is_read_at_any_offset() {
    let Some(device) = needs("a_device_is_read", LoopDevice::create(63)) else { return };
    let contents = pattern(LOOP_SIZE);
    device.image().write_all_at(&contents, 0).unwrap();
    let mut world = World::new();
    world.open(1, device.node(), Expect::Device(device.devno()), 131_072);
    let opened = world.opened(1).unwrap();
    assert_eq!((opened.size, opened.diskseq), (LOOP_SIZE, Some(device.diskseq())));
    assert!(opened.head == contents[..131_072]);

    let fdinfo = fs::read_to_string(format!("/proc/{}/fdinfo/3", world.process(1))).unwrap();
    let flags = fdinfo.lines().find_map(|line| line.strip_prefix("flags:")).unwrap();
    assert_ne!(u32::from_str_radix(flags.trim(), 8).unwrap() & 0o40000, 0, "O_DIRECT: {fdinfo}");

    let end = usize::try_from(LOOP_SIZE).unwrap();
    let ranges =
        [(0, 1), (511, 3), (4095, 2), (4096, 4096), (7, 200_000), (end - 512, 512), (end - 1, 1), (end - 700, 5000)];
    for (offset, length) in ranges.into_iter().chain([(end, 1), (end + 4097, 4096), (100, 0), (0, 2 * end)]) {
        let (diskseq, bytes) = world.data(1, (offset as u64, length));
        let expected = &contents[offset.min(end)..(offset + length).min(end)];
        assert!(bytes.unwrap() == expected, "{length} bytes at {offset}");
        assert_eq!(diskseq, Some(device.diskseq()));
    }
}

#[test]
fn what_is_written_to_the_disk_is_seen_at_once() {
    let Some(device) = needs("what_is_written", LoopDevice::create(64)) else { return };
    let mut world = World::new();
    world.open(1, device.node(), Expect::Device(device.devno()), 512);
    assert_eq!(world.opened(1).unwrap().head, vec![0; 512]);
    device.image().write_all_at(&[1; 512], 0).unwrap();
    assert_eq!(world.data(1, (0, 512)).1, Ok(vec![1; 512]));
}

#[test]
fn the_wrong_thing_at_the_path_is_an_error() {
    let mut world = World::new();
    let file = world.path("file");
    fs::write(&file, b"abc").unwrap();
    let device = Expect::Device(DevNo::new(7, 0));
    let cases = [
        (Path::new("/dev/null"), device, nix::libc::ENXIO),
        (&file, device, nix::libc::ENXIO),
        (Path::new("/dev/loop1"), device, nix::libc::ENXIO),
        (Path::new("/nowhere"), device, nix::libc::ENOENT),
        (Path::new("/nowhere"), Expect::File, nix::libc::ENOENT),
        (Path::new("/dev/null"), Expect::File, nix::libc::EINVAL),
        (Path::new("/"), Expect::File, nix::libc::EINVAL),
    ];
    for (job, (path, expect, errno)) in (1..).zip(cases) {
        if path.starts_with("/dev/loop1") && !path.exists() {
            continue;
        }
        world.open(job, path, expect, 10);
        assert_eq!(world.opened(job), Err(errno), "{path:?} {expect:?}");
        assert_eq!(descriptors(world.process(job)), BTreeSet::from([0, 1, 2]), "nothing stays open");
        assert_eq!(world.data(job, (0, 1)).1, Err(nix::libc::EBADF));
        world.close(job);
        world.until(counts(1, 0, 0));
    }
}

#[test]
fn files_are_read_too() {
    let mut world = World::new();
    let file = world.path("image");
    fs::write(&file, b"0123456789").unwrap();
    world.open(1, &file, Expect::File, 4);
    assert_eq!(world.opened(1), Ok(Opened { size: 10, diskseq: None, head: b"0123".to_vec() }));
    assert_eq!(world.data(1, (7, 100)), (None, Ok(b"789".to_vec())));
    assert_eq!(world.data(1, (11, 1)), (None, Ok(vec![])));
    assert_eq!(world.data(1, (u64::MAX - 2, 9)), (None, Err(nix::libc::EINVAL)));
}

#[test]
fn the_longest_read_arrives_and_its_memory_is_given_back() {
    let mut world = World::new();
    let path = world.path("image");
    let file = fs::File::create(&path).unwrap();
    file.set_len(MAX_READ as u64 + 10).unwrap();
    file.write_all_at(b"end", MAX_READ as u64 - 3).unwrap();
    world.open(1, &path, Expect::File, 0);
    world.opened(1).unwrap();
    let bytes = world.data(1, (0, MAX_READ)).1.unwrap();
    assert_eq!(bytes.len(), MAX_READ);
    assert!(bytes.ends_with(b"\0end"));
    // The reply to a small request tells that the big one is over and done with.
    world.data(1, (0, 1)).1.unwrap();
    let resident = status(world.process(1), "VmRSS").unwrap();
    let kilobytes: usize = resident.split(' ').next().unwrap().parse().unwrap();
    assert!(kilobytes < 20_000, "{resident}");
    assert!(world.pool.read(1, (0, MAX_READ + 1)).is_err());
}

#[test]
fn readers_inherit_nothing() {
    // Open without close-on-exec, as a careless library would leave it.
    let careless = fs::File::open("/dev/null").unwrap();
    nix::fcntl::fcntl(&careless, nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::empty())).unwrap();
    // Blocked and ignored signals survive an exec.
    let mut blocked = nix::sys::signal::SigSet::empty();
    blocked.add(Signal::SIGTERM);
    blocked.thread_block().unwrap();
    let mut world = World::new();
    let file = world.path("image");
    fs::write(&file, b"x").unwrap();
    world.open(1, &file, Expect::File, 1);
    world.opened(1).unwrap();
    let process = world.process(1);
    assert_eq!(descriptors(process), BTreeSet::from([0, 1, 2, 3]));
    for field in ["SigBlk", "SigIgn"] {
        // Those from 32 on are the C library's and real-time ones, which nobody sends a reader.
        let mask = u64::from_str_radix(&status(process, field).unwrap(), 16).unwrap();
        assert_eq!(mask & 0x7fff_ffff, 0, "{field}");
    }
    assert_eq!(fs::read(format!("/proc/{process}/environ")).unwrap(), b"");
    assert_eq!(fs::read(format!("/proc/{process}/cmdline")).unwrap(), b"pvwatch-reader\0--read-for-parent\0");
    world.close(1);
    world.until(counts(1, 0, 0));
    assert_eq!(descriptors(process), BTreeSet::from([0, 1, 2]), "closed at once");
}

#[test]
fn a_reader_serves_one_job_after_the_other() {
    let mut world = World::new();
    let file = world.path("image");
    fs::write(&file, b"x").unwrap();
    world.open(1, &file, Expect::File, 1);
    world.opened(1).unwrap();
    let first = world.process(1);
    world.close(1);
    world.until(counts(1, 0, 0));
    world.open(2, &file, Expect::File, 1);
    world.opened(2).unwrap();
    assert_eq!(world.process(2), first);
    assert!(world.pool.read(1, (0, 1)).is_err(), "that job is over");
    // While it is busy, another job gets another reader.
    world.open(3, &file, Expect::File, 1);
    world.opened(3).unwrap();
    assert_ne!(world.process(3), first);
}

#[test]
fn few_idle_readers_are_kept() {
    let mut world = World::new();
    let file = world.path("image");
    fs::write(&file, b"x").unwrap();
    let jobs = IDLE_READERS + 3;
    for job in 0..jobs as u64 {
        world.open(job, &file, Expect::File, 1);
        world.opened(job).unwrap();
    }
    assert_eq!(world.pool.counts(), counts(0, jobs, 0));
    for job in 0..jobs as u64 {
        world.close(job);
    }
    world.until(counts(IDLE_READERS, 0, 0));
    assert_eq!(world.pool.abandoned().count(), 0);
}

#[test]
fn a_hanging_open_is_abandoned() {
    let mut world = World::new();
    let fifo = world.fifo();
    world.open(7, &fifo, Expect::File, 10);
    assert_eq!(world.happenings(SHORT), []);
    assert!(world.pool.read(7, (0, 1)).is_err(), "it still owes a reply");
    let process = world.process(7);
    world.abandon(7);
    assert_eq!(world.pool.counts(), counts(0, 0, 1));
    assert_eq!(world.pool.abandoned().collect::<Vec<_>>(), [(7, u32::try_from(process.as_raw()).unwrap())]);
    assert_eq!(world.happenings(LONG), [Happening::Released(7)]);
    assert_eq!(world.pool.counts(), counts(0, 0, 0));
    assert!(status(process, "State").is_none(), "reaped");
}

#[test]
fn closing_a_hanging_job_ends_its_reader() {
    let mut world = World::new();
    let fifo = world.fifo();
    world.open(7, &fifo, Expect::File, 10);
    let process = world.process(7);
    world.close(7);
    world.until(counts(0, 0, 0));
    assert!(is_gone(process));
}

#[test]
fn a_killed_reader_is_reported_and_replaced() {
    let mut world = World::new();
    let fifo = world.fifo();
    world.open(1, &fifo, Expect::File, 10);
    kill(world.process(1), Signal::SIGKILL).unwrap();
    assert_eq!(world.happenings(LONG), [Happening::Died(1)]);
    world.until(counts(0, 0, 0));
    let file = world.path("image");
    fs::write(&file, b"x").unwrap();
    world.open(1, &file, Expect::File, 1);
    assert_eq!(world.opened(1).unwrap().head, b"x");
}

#[test]
fn an_idle_reader_that_died_gets_no_job() {
    let mut world = World::new();
    let file = world.path("image");
    fs::write(&file, b"x").unwrap();
    world.open(1, &file, Expect::File, 1);
    world.opened(1).unwrap();
    let process = world.process(1);
    world.close(1);
    world.until(counts(1, 0, 0));
    kill(process, Signal::SIGKILL).unwrap();
    assert!(is_gone(process));
    // The pool has not been told yet.
    assert_eq!(world.pool.counts(), counts(1, 0, 0));
    world.open(2, &file, Expect::File, 1);
    assert_eq!(world.opened(2).unwrap().head, b"x");
    world.until(counts(0, 1, 0));
}

#[test]
fn a_stopped_reader_is_abandoned() {
    let mut world = World::new();
    let file = world.path("image");
    fs::write(&file, b"x").unwrap();
    world.open(1, &file, Expect::File, 1);
    world.opened(1).unwrap();
    kill(world.process(1), Signal::SIGSTOP).unwrap();
    world.pool.read(1, (0, 1)).unwrap();
    assert_eq!(world.happenings(SHORT), []);
    world.abandon(1);
    assert_eq!(world.happenings(LONG), [Happening::Released(1)]);
}

#[test]
fn a_reader_that_has_not_closed_gets_no_job() {
    let mut world = World::new();
    let file = world.path("image");
    fs::write(&file, b"x").unwrap();
    world.open(1, &file, Expect::File, 1);
    world.opened(1).unwrap();
    let stopped = world.process(1);
    kill(stopped, Signal::SIGSTOP).unwrap();
    world.close(1);
    world.open(2, &file, Expect::File, 1);
    world.opened(2).unwrap();
    assert_ne!(world.process(2), stopped);
    kill(stopped, Signal::SIGCONT).unwrap();
}

/// A reader that is a shell script.
fn script(name: &str, text: &str) -> (World, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(name);
    // Written by another process: a fork in another test would hold our descriptor for a moment,
    // and a file that is open for writing is not executed (ETXTBSY).
    let write = r#"printf '%s\n' '#!/bin/sh' "$1" > "$0" && chmod +x "$0""#;
    assert!(Command::new("sh").args(["-c", write]).arg(&path).arg(text).status().unwrap().success());
    (World::with_executable(path), directory)
}

#[test]
fn a_reader_that_talks_nonsense_is_killed() {
    let opened_fields = r"\001\003\000\000\000\000\000\000\000\000\000\000\000\000\000\000\000\000";
    let cases = [
        // No message has this length.
        r"printf 'hello, world' >&0; exec sleep 100".to_owned(),
        // A known length, an unknown message.
        r"printf '\001\000\000\000\011' >&0; exec sleep 100".to_owned(),
        // A length that no answer to this request has, and not even its bytes.
        r"printf '\000\000\000\001\001' >&0; exec sleep 100".to_owned(),
        // The end inside a message. Not before the request has been sent.
        r"head -c 1 >/dev/null; printf '\005\000\000\000\002' >&0".to_owned(),
        // Closed, which nobody asked for.
        r"printf '\001\000\000\000\005' >&0; exec sleep 100".to_owned(),
        // 65 bytes instead of 64 at most.
        format!(r"printf '\123\000\000\000{opened_fields}%065d' 0 >&0; exec sleep 100"),
        // The right answer, and then another.
        format!(r"printf '\122\000\000\000{opened_fields}%064d\001\000\000\000\005' 0 >&0; exec sleep 100"),
    ];
    for text in cases {
        let (mut world, _directory) = script("nonsense", &text);
        world.open(1, Path::new("/x"), Expect::File, 64);
        let process = world.process(1);
        let happenings = world.run(LONG, |_, out| out.contains(&Happening::Died(1)));
        assert_eq!(happenings.last(), Some(&Happening::Died(1)), "{text}");
        assert!(is_gone(process), "{text}");
        world.until(counts(0, 0, 0));
    }
}

#[test]
fn an_answer_in_pieces_is_put_together() {
    let (mut world, _directory) = script(
        "slow",
        r"printf '\005' >&0; sleep 0.05; printf '\000\000' >&0; sleep 0.05; printf '\000\002\015' >&0; sleep 0.05
          printf '\000\000\000' >&0; exec sleep 100",
    );
    world.open(1, Path::new("/x"), Expect::File, 64);
    assert_eq!(world.opened(1), Err(13));
}

#[test]
fn an_executable_that_is_missing_is_an_error() {
    let mut world = World::with_executable("/nowhere/pvwatchd".into());
    let request = Open { path: "/x".into(), expect: Expect::File, first: 0, is_dm: false };
    assert!(world.pool.open(world.poll.registry(), 1, request).is_err());
    assert_eq!(world.pool.counts(), counts(0, 0, 0));
}

#[test]
fn dropping_the_pool_kills_and_does_not_wait() {
    let mut world = World::new();
    let fifo = world.fifo();
    world.open(1, &fifo, Expect::File, 10);
    world.happenings(SHORT);
    let process = world.process(1);
    let start = Instant::now();
    drop(world.pool);
    assert!(start.elapsed() < Duration::from_millis(100));
    assert!(is_gone(process));
}

#[test]
fn a_reader_without_parent_refuses() {
    let run = Command::new(env!("CARGO_BIN_EXE_pvwatchd")).arg("--read-for-parent").stdin(Stdio::null()).output();
    let run = run.unwrap();
    assert!(!run.status.success());
    assert!(String::from_utf8_lossy(&run.stderr).starts_with("reader: "));
}

/// Not a test: the daemon that dies in the next test.
#[test]
fn helper_daemon() {
    let Some(fifo) = std::env::var_os("PVWATCH_TEST_FIFO") else { return };
    let mut world = World::new();
    world.open(1, Path::new(&fifo), Expect::File, 10);
    world.happenings(SHORT);
    println!("reader {}", world.process(1));
    std::thread::sleep(LONG);
}

#[test]
fn a_hanging_reader_dies_with_the_daemon() {
    let world = World::new();
    let mut daemon = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "helper_daemon", "--nocapture"])
        .env("PVWATCH_TEST_FIFO", world.fifo())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(daemon.stdout.take().unwrap()).lines().map(Result::unwrap);
    let reader = lines.find_map(|line| Some(line.split_once("reader ")?.1.trim().parse().unwrap())).unwrap();
    let reader = Pid::from_raw(reader);
    assert!(status(reader, "State").is_some());
    daemon.kill().unwrap();
    daemon.wait().unwrap();
    assert!(is_gone(reader));
}

#[test]
fn reading_leaves_no_trace_in_the_access_time() {
    let mut world = World::new();
    let file = world.path("image");
    fs::write(&file, b"x").unwrap();
    let old = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1);
    let times = fs::FileTimes::new().set_accessed(old);
    fs::File::options().write(true).open(&file).unwrap().set_times(times).unwrap();
    world.open(1, &file, Expect::File, 1);
    world.opened(1).unwrap();
    assert_eq!(fs::metadata(&file).unwrap().atime(), 1);
}
