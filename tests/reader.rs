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
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{Pid, mkfifo};
use pvwatch::conf::Reader;
use pvwatch::devno::DevNo;
use pvwatch::ondisk::ByteRange;
use pvwatch::sys::reader::{
    Counts, Expect, Happening, IDLE_READERS, JobId, MAX_PIECES, MAX_READ, Open, Opened, PLAIN_JOBS, Piece, Pool,
    RING_JOBS, Reply,
};
use tempfile::TempDir;

use testing::{LOOP_SIZE, LoopDevice, needs};

// The helpers of the unit tests name `DevNo` as the library does.
use pvwatch::devno;
#[path = "../src/sys/testing.rs"]
mod testing;

const FIRST_TOKEN: usize = 100;
/// Far longer than anything that does not hang takes.
const LONG: Duration = Duration::from_secs(60);
/// Long enough to see that something hangs.
const SHORT: Duration = Duration::from_millis(150);

/// How long a device has, where that matters.
const DEADLINE: Duration = Duration::from_secs(4);

struct World {
    poll: mio::Poll,
    pool: Pool,
    directory: TempDir,
    is_ring: bool,
}

/// Tests that hold for both engines.
macro_rules! of_both_engines {
    ($($name:ident),* $(,)?) => {
        mod plain {
            $(#[test] fn $name() { super::$name(super::World::new()) })*
        }
        mod ring {
            $(#[test] fn $name() { if let Some(world) = super::World::ring() { super::$name(world) } })*
        }
    };
}

of_both_engines!(
    a_device_is_read_at_any_offset,
    places_are_read_together,
    a_place_that_cannot_be_read_costs_no_other,
    what_is_written_to_the_disk_is_seen_at_once,
    the_wrong_thing_at_the_path_is_an_error,
    files_are_read_too,
    what_opens_and_cannot_be_read_is_told_from_what_does_not_open,
    the_longest_read_arrives_and_its_memory_is_given_back,
    readers_inherit_nothing,
    a_job_closes_one_file_and_opens_another,
    a_hanging_open_is_abandoned,
    closing_a_hanging_job_leaves_nothing_open,
    a_stopped_reader_dies_with_the_pool,
    dropping_the_pool_kills_and_does_not_wait,
    reading_leaves_no_trace_in_the_access_time,
    a_device_without_size_has_no_head,
);

impl World {
    fn new() -> World {
        World::with_executable(env!("CARGO_BIN_EXE_pvwatchd").into())
    }

    fn with_executable(executable: PathBuf) -> World {
        let pool = Pool::with_executable(FIRST_TOKEN, executable);
        let directory = tempfile::tempdir().unwrap();
        World { poll: mio::Poll::new().unwrap(), pool, directory, is_ring: false }
    }

    /// `None` where there is no io_uring.
    fn ring() -> Option<World> {
        World::new().with_ring()
    }

    fn with_ring(mut self) -> Option<World> {
        self.pool.choose(self.poll.registry(), Reader::Auto, DEADLINE);
        let told = self.happenings(LONG);
        assert!(matches!(told[..], [Happening::Capacity(RING_JOBS | PLAIN_JOBS)]), "{told:?}");
        self.is_ring = self.pool.engine().is_ring;
        if !self.is_ring {
            eprintln!("skipped: {:?}", self.pool.engine());
        }
        self.is_ring.then_some(self)
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
        self.pool.flush(self.poll.registry(), &mut out);
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
            let now = pvwatch::sys::clock::now();
            if self.pool.poll_timeout().is_some_and(|at| at <= now) {
                self.pool.handle_timeout(self.poll.registry(), now, &mut out);
            }
            self.pool.flush(self.poll.registry(), &mut out);
        }
        out
    }

    fn opened(&mut self, job: JobId) -> Result<Opened, i32> {
        match &self.happenings(LONG)[..] {
            [Happening::Reply(found, Reply::Opened(result))] if *found == job => result.clone(),
            other => panic!("{other:?}"),
        }
    }

    fn data(&mut self, job: JobId, range: (u64, usize)) -> (Option<u64>, Piece) {
        let (diskseq, mut pieces) = self.pieces(job, &[range]);
        (diskseq, pieces.pop().unwrap())
    }

    fn pieces(&mut self, job: JobId, ranges: &[(u64, usize)]) -> (Option<u64>, Vec<Piece>) {
        self.read(job, ranges).unwrap();
        match self.happenings(LONG).pop() {
            Some(Happening::Reply(found, Reply::Data { diskseq, pieces })) => {
                assert_eq!(found, job);
                (diskseq, pieces)
            }
            other => panic!("{other:?}"),
        }
    }

    fn read(&mut self, job: JobId, ranges: &[(u64, usize)]) -> std::io::Result<()> {
        let ranges = ranges.iter().map(|&(offset, length)| ByteRange { offset, length }).collect::<Vec<_>>();
        self.pool.read(self.poll.registry(), job, &ranges)
    }

    fn until(&mut self, counts: Counts) {
        self.run(LONG, |pool, _| pool.counts() == counts);
        assert_eq!(self.pool.counts(), counts);
    }

    /// Nothing but what the reader itself needs.
    fn until_nothing_is_open(&mut self, process: Pid) {
        let expected = if self.is_ring { BTreeSet::from([0, 1, 2, 3]) } else { BTreeSet::from([0, 1, 2]) };
        self.run(LONG, |_, _| descriptors(process) == expected);
        assert_eq!(descriptors(process), expected);
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

fn target(process: Pid, descriptor: i32) -> PathBuf {
    fs::read_link(format!("/proc/{process}/fd/{descriptor}")).unwrap_or_default()
}

/// The two engines are tested at the same time.
fn loop_number(number: u32, world: &World) -> u32 {
    if world.is_ring { number + 3 } else { number }
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

fn a_device_is_read_at_any_offset(mut world: World) {
    let Some(device) = needs("a_device_is_read", LoopDevice::create(loop_number(63, &world))) else { return };
    let contents = pattern(LOOP_SIZE);
    device.image().write_all_at(&contents, 0).unwrap();
    world.open(1, device.node(), Expect::Device(device.devno()), 131_072);
    let opened = world.opened(1).unwrap();
    assert_eq!((opened.size, opened.diskseq), (LOOP_SIZE, Some(device.diskseq())));
    assert!(opened.head == contents[..131_072]);

    let process = world.process(1);
    let descriptor = descriptors(process).into_iter().find(|descriptor| target(process, *descriptor) == device.node());
    let fdinfo = fs::read_to_string(format!("/proc/{process}/fdinfo/{}", descriptor.unwrap())).unwrap();
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

fn places_are_read_together(mut world: World) {
    let Some(device) = needs("places_are_read", LoopDevice::create(loop_number(69, &world))) else { return };
    let contents = pattern(LOOP_SIZE);
    device.image().write_all_at(&contents, 0).unwrap();
    world.open(1, device.node(), Expect::Device(device.devno()), 512);
    world.opened(1).unwrap();
    let end = usize::try_from(LOOP_SIZE).unwrap();
    // With gaps, over each other, of many lengths, at and beyond the end, nothing at all.
    let places = [(end - 65_536, 512), (end - 8192, 8192), (5, 100_000), (0, 0), (end - 3, 10), (end, 1), (7, 1)];
    let all = places.into_iter().cycle().take(MAX_PIECES).collect::<Vec<_>>();
    for count in [2, 7, MAX_PIECES] {
        let ranges = all.iter().map(|&(offset, length)| (offset as u64, length)).take(count).collect::<Vec<_>>();
        let (diskseq, pieces) = world.pieces(1, &ranges);
        assert_eq!((diskseq, pieces.len()), (Some(device.diskseq()), count));
        for (piece, (offset, length)) in pieces.iter().zip(&all) {
            let expected = &contents[*offset..(offset + length).min(end)];
            assert!(piece.as_deref() == Ok(expected), "{length} bytes at {offset}");
        }
    }
    assert!(world.read(1, &[]).is_err());
    assert!(world.read(1, &[(0, 1); MAX_PIECES + 1]).is_err());
    assert!(world.read(1, &[(0, MAX_READ), (0, 1)]).is_err());
}

/// Of the places behind it a plain reader says nothing: each takes its time on a sick disk.
fn a_place_that_cannot_be_read_costs_no_other(mut world: World) {
    let file = world.path("image");
    fs::write(&file, b"abc").unwrap();
    world.open(1, &file, Expect::File, 0);
    world.opened(1).unwrap();
    let (_, pieces) = world.pieces(1, &[(1, 2), (u64::MAX - 2, 9), (0, 1)]);
    let behind = world.is_ring.then(|| Ok(b"a".to_vec()));
    let expected = [Ok(b"bc".to_vec()), Err(nix::libc::EINVAL)].into_iter().chain(behind);
    assert_eq!(pieces, expected.collect::<Vec<_>>());
    assert_eq!(world.data(1, (0, 3)).1, Ok(b"abc".to_vec()));
}

fn what_is_written_to_the_disk_is_seen_at_once(mut world: World) {
    let Some(device) = needs("what_is_written", LoopDevice::create(loop_number(64, &world))) else { return };
    world.open(1, device.node(), Expect::Device(device.devno()), 512);
    assert_eq!(world.opened(1).unwrap().head, vec![0; 512]);
    device.image().write_all_at(&[1; 512], 0).unwrap();
    assert_eq!(world.data(1, (0, 512)).1, Ok(vec![1; 512]));
}

fn the_wrong_thing_at_the_path_is_an_error(mut world: World) {
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
        world.until_nothing_is_open(world.process(job));
        assert_eq!(world.data(job, (0, 1)).1, Err(nix::libc::EBADF));
        world.close(job);
        world.until(counts(1, 0, 0));
    }
}

fn files_are_read_too(mut world: World) {
    let file = world.path("image");
    fs::write(&file, b"0123456789").unwrap();
    world.open(1, &file, Expect::File, 4);
    assert_eq!(world.opened(1), Ok(Opened { size: 10, diskseq: None, head: b"0123".to_vec() }));
    assert_eq!(world.data(1, (7, 100)), (None, Ok(b"789".to_vec())));
    assert_eq!(world.data(1, (11, 1)), (None, Ok(vec![])));
    assert_eq!(world.data(1, (u64::MAX - 2, 9)), (None, Err(nix::libc::EINVAL)));
}

fn what_opens_and_cannot_be_read_is_told_from_what_does_not_open(mut world: World) {
    // Nobody has memory at address 0.
    world.open(1, Path::new("/proc/self/mem"), Expect::File, 10);
    assert_eq!(world.happenings(LONG), [Happening::Reply(1, Reply::Unread(nix::libc::EIO))]);
    world.until_nothing_is_open(world.process(1));
    assert_eq!(world.data(1, (0, 1)).1, Err(nix::libc::EBADF));
    world.close(1);
    world.until(counts(1, 0, 0));
    let file = world.path("file");
    world.open(2, &file, Expect::File, 10);
    assert_eq!(world.opened(2), Err(nix::libc::ENOENT));
    world.close(2);
    fs::write(&file, b"abc").unwrap();
    world.open(3, &file, Expect::File, 10);
    assert_eq!(world.opened(3).unwrap().head, b"abc");
}

fn the_longest_read_arrives_and_its_memory_is_given_back(mut world: World) {
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
    assert!(world.read(1, &[(0, MAX_READ + 1)]).is_err());
}

fn readers_inherit_nothing(mut world: World) {
    // Open without close-on-exec, as a careless library would leave it.
    let careless = fs::File::open("/dev/null").unwrap();
    nix::fcntl::fcntl(&careless, nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::empty())).unwrap();
    // Blocked and ignored signals survive an exec.
    let mut blocked = nix::sys::signal::SigSet::empty();
    blocked.add(Signal::SIGTERM);
    blocked.thread_block().unwrap();
    let file = world.path("image");
    fs::write(&file, b"x").unwrap();
    world.open(1, &file, Expect::File, 1);
    world.opened(1).unwrap();
    let process = world.process(1);
    assert_eq!(descriptors(process).len(), if world.is_ring { 5 } else { 4 });
    for field in ["SigBlk", "SigIgn"] {
        // Those from 32 on are the C library's and real-time ones, which nobody sends a reader.
        let mask = u64::from_str_radix(&status(process, field).unwrap(), 16).unwrap();
        assert_eq!(mask & 0x7fff_ffff, 0, "{field}");
    }
    assert_eq!(fs::read(format!("/proc/{process}/environ")).unwrap(), b"");
    let arguments = if world.is_ring { "--read-for-parent\0--ring\0" } else { "--read-for-parent\0" };
    let expected = format!("pvwatch-reader\0{arguments}");
    assert_eq!(fs::read_to_string(format!("/proc/{process}/cmdline")).unwrap(), expected);
    world.close(1);
    world.until(counts(1, 0, 0));
    world.until_nothing_is_open(process);
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
    assert!(world.read(1, &[(0, 1)]).is_err(), "that job is over");
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

fn a_hanging_open_is_abandoned(mut world: World) {
    let fifo = world.fifo();
    world.open(7, &fifo, Expect::File, 10);
    assert_eq!(world.happenings(SHORT), []);
    assert!(world.read(7, &[(0, 1)]).is_err(), "it still owes a reply");
    let process = world.process(7);
    world.abandon(7);
    assert_eq!(world.pool.counts(), counts(0, 0, 1));
    assert_eq!(world.pool.abandoned().collect::<Vec<_>>(), [(7, u32::try_from(process.as_raw()).unwrap())]);
    assert_eq!(world.happenings(LONG), [Happening::Released(7)]);
    if world.is_ring {
        assert_eq!(world.pool.counts(), counts(1, 0, 0));
        world.until_nothing_is_open(process);
    } else {
        assert_eq!(world.pool.counts(), counts(0, 0, 0));
        assert!(status(process, "State").is_none(), "reaped");
    }
}

fn closing_a_hanging_job_leaves_nothing_open(mut world: World) {
    let fifo = world.fifo();
    world.open(7, &fifo, Expect::File, 10);
    world.happenings(SHORT);
    let process = world.process(7);
    world.close(7);
    world.until(counts(usize::from(world.is_ring), 0, 0));
    assert!(world.is_ring || is_gone(process));
}

/// As for the end of a disk, after a PV on a partition of it.
fn a_job_closes_one_file_and_opens_another(mut world: World) {
    for (name, text) in [("one", "1"), ("other", "2")] {
        let file = world.path(name);
        fs::write(&file, text).unwrap();
        world.open(1, &file, Expect::File, 1);
        assert_eq!(world.opened(1).unwrap().head, text.as_bytes());
        world.close(1);
    }
    world.until(counts(if world.is_ring { 1 } else { 2 }, 0, 0));
}

fn a_stopped_reader_dies_with_the_pool(mut world: World) {
    let file = world.path("image");
    fs::write(&file, b"x").unwrap();
    world.open(1, &file, Expect::File, 1);
    world.opened(1).unwrap();
    let process = world.process(1);
    kill(process, Signal::SIGSTOP).unwrap();
    drop(world.pool);
    assert!(is_gone(process));
}

fn a_device_without_size_has_no_head(mut world: World) {
    let number = loop_number(62, &world);
    let Some(device) = needs("a_device_without_size", LoopDevice::create(number)) else { return };
    let empty = world.path("empty");
    fs::write(&empty, b"").unwrap();
    device.attach(&empty).unwrap();
    world.open(1, device.node(), Expect::Device(device.devno()), 16_384);
    let opened = world.opened(1).unwrap();
    assert_eq!((opened.size, opened.head), (0, vec![]));
    assert_eq!(world.data(1, (0, 512)).1, Ok(vec![]));
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
    world.read(1, &[(0, 1)]).unwrap();
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

/// A plain reader that is a shell script.
fn script(name: &str, text: &str) -> (World, TempDir) {
    let hello = r"printf '\011\000\000\000\007\001\000\000\000\000\000\000\000' >&0";
    script_alone(name, &format!("{hello}\n{text}"))
}

fn script_alone(name: &str, text: &str) -> (World, TempDir) {
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
    let job = r"\001\000\000\000\000\000\000\000";
    let opened_fields = format!(r"\001{job}\003\000\000\000\000\000\000\000\000\000\000\000\000\000\000\000\000");
    let cases = [
        // No message has this length.
        r"printf 'hello, world' >&0; exec sleep 100".to_owned(),
        // A known length, an unknown message.
        r"printf '\001\000\000\000\011' >&0; exec sleep 100".to_owned(),
        // A length that no answer to this request has, and not even its bytes.
        format!(r"printf '\000\000\000\001\001{job}' >&0; exec sleep 100"),
        // The end inside a message. Not before the request has been sent.
        r"head -c 1 >/dev/null; printf '\005\000\000\000\002' >&0".to_owned(),
        // Closed, which nobody asked for.
        format!(r"printf '\011\000\000\000\005{job}' >&0; exec sleep 100"),
        // 65 bytes instead of 64 at most.
        format!(r"printf '\133\000\000\000{opened_fields}%065d' 0 >&0; exec sleep 100"),
        // The right answer, and then another.
        format!(r"printf '\132\000\000\000{opened_fields}%064d\011\000\000\000\005{job}' 0 >&0; exec sleep 100"),
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
        r"printf '\015' >&0; sleep 0.05; printf '\000\000' >&0; sleep 0.05; printf '\000\002\001\000' >&0; sleep 0.05
          printf '\000\000\000\000\000\000\015\000' >&0; sleep 0.05; printf '\000\000' >&0; exec sleep 100",
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

fn dropping_the_pool_kills_and_does_not_wait(mut world: World) {
    let fifo = world.fifo();
    world.open(1, &fifo, Expect::File, 10);
    world.happenings(SHORT);
    let process = world.process(1);
    drop(world.pool);
    // Whoever had waited for it would have taken the news of its end.
    assert!(matches!(waitpid(process, None), Ok(WaitStatus::Signaled(_, Signal::SIGKILL, _))));
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

fn reading_leaves_no_trace_in_the_access_time(mut world: World) {
    let file = world.path("image");
    fs::write(&file, b"x").unwrap();
    let old = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1);
    let times = fs::FileTimes::new().set_accessed(old);
    fs::File::options().write(true).open(&file).unwrap().set_times(times).unwrap();
    world.open(1, &file, Expect::File, 1);
    world.opened(1).unwrap();
    assert_eq!(fs::metadata(&file).unwrap().atime(), 1);
}

/// So many FIFOs, which hang until somebody writes to them.
fn fifos(world: &World, count: u64) -> Vec<PathBuf> {
    let fifos = (0..count).map(|number| world.path(&format!("fifo{number}"))).collect::<Vec<_>>();
    fifos.iter().for_each(|fifo| mkfifo(fifo, Mode::S_IRWXU).unwrap());
    fifos
}

fn replies(happenings: &[Happening]) -> BTreeSet<JobId> {
    let reply = |happening: &Happening| match happening {
        Happening::Reply(job, Reply::Opened(Ok(opened))) if opened.head == b"x" => Some(*job),
        _ => None,
    };
    happenings.iter().filter_map(reply).collect()
}

/// Many more than the threads that the kernel has for a ring by itself, which are four a CPU.
#[test]
fn devices_that_hang_hold_up_no_other() {
    let Some(mut world) = World::ring() else { return };
    let file = world.path("image");
    fs::write(&file, b"x").unwrap();
    let hanging = 64;
    for (job, fifo) in (0..).zip(fifos(&world, hanging)) {
        world.open(job, &fifo, Expect::File, 1);
    }
    let healthy = 1000..1100;
    healthy.clone().for_each(|job| world.open(job, &file, Expect::File, 1));
    let happenings = world.run(LONG, |_, out| out.len() == 100);
    assert_eq!(replies(&happenings), healthy.clone().collect());
    let process = world.process(0);
    assert_eq!(world.process(1000), process, "one process has them all");
    (0..hanging).for_each(|job| world.abandon(job));
    assert_eq!(world.pool.counts(), counts(0, 100, 64));
    let released = world.run(LONG, |_, out| out.len() == 64);
    assert_eq!(released.len(), 64, "{released:?}");
    assert!(released.iter().all(|happening| matches!(happening, Happening::Released(job) if *job < hanging)));
    healthy.for_each(|job| world.close(job));
    world.until(counts(1, 0, 0));
    world.until_nothing_is_open(process);
}

#[test]
fn jobs_of_a_ring_that_is_killed_go_to_plain_readers() {
    for signal in [Signal::SIGKILL, Signal::SIGSTOP] {
        let Some(mut world) = World::ring() else { return };
        let (file, fifo) = (world.path("image"), world.fifo());
        fs::write(&file, b"x").unwrap();
        world.open(1, &file, Expect::File, 1);
        world.opened(1).unwrap();
        world.open(2, &fifo, Expect::File, 1);
        assert_eq!(world.happenings(SHORT), []);
        kill(world.process(1), signal).unwrap();
        world.read(1, &[(0, 1)]).unwrap();
        // The one that hangs is not told from the others, and none is blamed.
        let happenings = world.run(DEADLINE, |_, out| out.len() == 3);
        assert_eq!(happenings, [Happening::Capacity(PLAIN_JOBS), Happening::Lost(1), Happening::Lost(2)], "{signal}");
        let engine = world.pool.engine();
        assert!(!engine.is_ring && engine.note.unwrap().contains("given up"));
        world.open(3, &fifo, Expect::File, 1);
        world.open(4, &file, Expect::File, 1);
        assert_eq!(world.opened(4).unwrap().head, b"x");
        kill(world.process(3), Signal::SIGKILL).unwrap();
        assert_eq!(world.happenings(LONG), [Happening::Died(3)], "of this one it is known");
        // The settings are read again: what was wrong may have been put right.
        world.pool.choose(world.poll.registry(), Reader::Auto, DEADLINE);
        assert_eq!(world.happenings(LONG), [Happening::Capacity(RING_JOBS)], "{signal}");
        assert!(world.pool.engine().is_ring);
    }
}

/// It lives and says so: that a device is late is the device's affair.
#[test]
fn a_ring_that_only_waits_for_its_devices_is_kept() {
    let Some(mut world) = World::ring() else { return };
    let fifo = world.fifo();
    world.open(1, &fifo, Expect::File, 1);
    assert_eq!(world.happenings(2 * DEADLINE), []);
    assert!(world.pool.engine().is_ring);
}

/// A ring, as it says, that answers nothing.
const MUTE: &str = r"printf '\011\000\000\000\007\000\004\000\000\000\000\000\000' >&0; exec sleep 100";

#[test]
fn a_ring_with_too_many_lost_slots_is_replaced() {
    let (world, _directory) = script_alone("mute", MUTE);
    let mut world = world.with_ring().unwrap();
    let lost = RING_JOBS as u64 / 2;
    (0..=lost).for_each(|job| world.open(job, Path::new("/x"), Expect::File, 1));
    let first = world.process(0);
    (0..lost).for_each(|job| world.abandon(job));
    assert_eq!(world.happenings(LONG), [Happening::Capacity(RING_JOBS)], "of the next");
    world.open(1000, Path::new("/x"), Expect::File, 1);
    assert_ne!(world.process(1000), first);
    assert_eq!(world.process(lost), first, "it goes on with what it has");
    assert_eq!(world.pool.abandoned().count(), RING_JOBS / 2);
    // Nothing but its end gives them back.
    kill(first, Signal::SIGKILL).unwrap();
    let happenings = world.run(LONG, |_, out| out.len() > RING_JOBS / 2);
    assert!(happenings.contains(&Happening::Lost(lost)));
    assert!((0..lost).all(|job| happenings.contains(&Happening::Released(job))));
}

/// From here on, in this thread and in what it starts.
#[allow(unsafe_code, reason = "there is no other way to ask for it")]
fn forbid_io_uring() {
    use nix::libc::{self, sock_filter, sock_fprog};
    let instruction = |code: u32, jt, jf, k| sock_filter { code: u16::try_from(code).unwrap(), jt, jf, k };
    let number = u32::try_from(libc::SYS_io_uring_setup).unwrap();
    let refusal = libc::SECCOMP_RET_ERRNO | u32::try_from(libc::EPERM).unwrap();
    let mut filter = [
        instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        instruction(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, number),
        instruction(libc::BPF_RET | libc::BPF_K, 0, 0, refusal),
        instruction(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = sock_fprog { len: 4, filter: filter.as_mut_ptr() };
    // SAFETY: the kernel copies the program, which lives until it has.
    let done = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
            && libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) == 0
    };
    assert!(done, "{}", std::io::Error::last_os_error());
}

#[test]
fn where_io_uring_is_forbidden_plain_readers_work() {
    forbid_io_uring();
    let mut world = World::new();
    let file = world.path("image");
    fs::write(&file, b"x").unwrap();
    world.pool.choose(world.poll.registry(), Reader::Auto, DEADLINE);
    // They wait until it is known.
    (0..20).for_each(|job| world.open(job, &file, Expect::File, 1));
    let happenings = world.run(LONG, |_, out| replies(out).len() == PLAIN_JOBS);
    assert_eq!(happenings[0], Happening::Capacity(PLAIN_JOBS));
    let engine = world.pool.engine();
    assert!(!engine.is_ring);
    assert_eq!(engine.note.unwrap(), "io_uring_setup: Operation not permitted (os error 1)");
    let mut served = replies(&happenings);
    while served.len() < 20 {
        served.clone().into_iter().for_each(|job| world.close(job));
        let more = replies(&world.happenings(LONG));
        assert!(!more.is_empty());
        served.extend(more);
    }
}

#[test]
fn the_setting_decides() {
    let Some(mut world) = World::ring() else { return };
    let file = world.path("image");
    fs::write(&file, b"x").unwrap();
    world.open(1, &file, Expect::File, 1);
    world.opened(1).unwrap();
    let ring = world.process(1);
    world.pool.choose(world.poll.registry(), Reader::Pool, DEADLINE);
    assert_eq!(world.happenings(LONG), [Happening::Capacity(PLAIN_JOBS)]);
    assert_eq!(world.pool.engine().note.unwrap(), "pvwatch/reader is \"pool\"");
    world.open(2, &file, Expect::File, 1);
    world.opened(2).unwrap();
    assert_ne!(world.process(2), ring);
    assert_eq!(world.data(1, (0, 1)).1, Ok(b"x".to_vec()), "it goes on with what it has");
    world.close(1);
    assert_eq!(world.happenings(SHORT), []);
    assert!(is_gone(ring));
}
