//! Reading devices and images without a daemon, with a deadline.

use crate::device::{Facts, Stack};
use crate::devno::DevNo;
use crate::metadata::TextCache;
use crate::multipath::{Multipath, Standing};
use crate::scan::{HEAD, Pv, ReadError, Scan, Step, Verdict, on_partition};
use crate::signature::{Medium, When};
use crate::sys::names::node_of;
use crate::sys::reader::{Expect, Happening, JobId, Open, Pool, Reply};
use crate::sys::sysfs::Sysfs;
use mio::{Events, Poll};
use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Reading is waiting for devices, and one that hangs must not hold up the others.
const PARALLEL: usize = 8;

/// What came of reading one: its size, and what is on it. `TimedOut` if it did not answer in time.
pub type Probed = io::Result<(u64, Verdict)>;

/// What is to be read.
pub struct Target {
    pub path: PathBuf,
    pub expect: Expect,
    pub is_dm: bool,
    pub is_partition: bool,
    /// Of a partition, if it can be read.
    pub disk: Option<Disk>,
}

/// The disk of a partition, whose end has a say if there is a PV on the partition.
pub struct Disk {
    path: PathBuf,
    pub devno: DevNo,
    /// Where its partitions are, in bytes.
    partitions: Vec<Range<u64>>,
}

impl Disk {
    pub fn node(&self) -> String {
        self.path.to_string_lossy().into_owned()
    }

    /// `None` for what is no partition, or one of a disk that cannot be read.
    pub fn of(sysfs: &mut Sysfs, facts: &Facts) -> io::Result<Option<Disk>> {
        let found = sysfs.disk_of(facts)?.filter(|(disk, _)| disk.facts.not_ready().is_none());
        Ok(found.map(|(disk, partitions)| Disk {
            path: node_of(&disk.facts.name).into(),
            devno: disk.devno,
            partitions,
        }))
    }
}

/// What is known of a device or image that somebody asked about.
pub struct Inspected {
    pub size: u64,
    pub verdict: Verdict,
    pub stack: Stack,
}

/// Reads the device as the daemon does, in a process of its own, and looks for every signature. A path
/// to a disk is not read, as what is on it says nothing of it.
pub fn inspect(path: &Path, deadline: Duration, multipath: &Multipath) -> io::Result<Inspected> {
    let metadata = std::fs::metadata(path)?;
    let expect = match metadata.file_type() {
        kind if kind.is_block_device() => Expect::Device(DevNo::from_dev_t(metadata.rdev())),
        kind if kind.is_dir() => return Err(io::ErrorKind::IsADirectory.into()),
        // A FIFO takes its time, as a sick disk does.
        kind if kind.is_file() || kind.is_fifo() => Expect::File,
        _ => return Err(io::Error::other("it is neither a block device nor a file")),
    };
    let facts = match expect {
        Expect::Device(devno) => facts(devno, multipath)?,
        Expect::File => Facts::default(),
    };
    match multipath.standing(&facts) {
        Standing::Component(member) => {
            let verdict = Verdict::Member { member: Box::new(member), findings: Vec::new() };
            return Ok(Inspected { size: facts.size, verdict, stack: *facts.stack });
        }
        Standing::Passive(state) => return Err(io::Error::other(passive(&state))),
        Standing::Pending | Standing::Free => {}
    }
    let disk = Disk::of(&mut Sysfs::new(), &facts)?;
    let target = Target { path: path.to_owned(), expect, is_dm: facts.is_dm(), is_partition: facts.partition, disk };
    let probed = probe_all(vec![target], When::Asked, deadline, &mut |_| {}).pop();
    let (size, verdict) = probed.expect("one that is read has a result")?;
    Ok(Inspected { size, verdict, stack: *facts.stack })
}

/// What the kernel says; nothing of a device that has gone, which opening will tell.
fn facts(devno: DevNo, multipath: &Multipath) -> io::Result<Facts> {
    let mut sysfs = Sysfs::new();
    sysfs.read_udev = multipath.is_configured();
    Ok(sysfs.facts(devno)?.unwrap_or_default())
}

/// Why a path is not read, by its state.
pub fn passive(state: &str) -> String {
    format!("device is a path that is {state}")
}

/// Reads them, some at a time, each with the deadline. `done` hears how many have been.
pub fn probe_all(targets: Vec<Target>, look: When, deadline: Duration, done: &mut dyn FnMut(usize)) -> Vec<Probed> {
    let mut results = targets.iter().map(|_| None).collect::<Vec<_>>();
    if let Err(error) = Prober::new(look, deadline).and_then(|prober| prober.run(targets, &mut results, done)) {
        let failed = || Some(Err(io::Error::new(error.kind(), error.to_string())));
        results.iter_mut().filter(|result| result.is_none()).for_each(|result| *result = failed());
    }
    results.into_iter().flatten().collect()
}

struct Prober {
    look: When,
    deadline: Duration,
    poll: Poll,
    pool: Pool,
    texts: TextCache,
    running: BTreeMap<JobId, Running>,
}

struct Running {
    until: Instant,
    is_partition: bool,
    disk: Option<Disk>,
    /// The PV that the partition holds, and where its disk's partitions are, while the disk is read.
    on_partition: Option<(Box<Pv>, Vec<Range<u64>>)>,
    size: u64,
    scan: Option<Scan>,
}

impl Prober {
    fn new(look: When, deadline: Duration) -> io::Result<Prober> {
        let (texts, running) = (TextCache::new(), BTreeMap::new());
        Ok(Prober { look, deadline, poll: Poll::new()?, pool: Pool::new(0), texts, running })
    }

    fn run(
        mut self,
        targets: Vec<Target>,
        results: &mut [Option<Probed>],
        done: &mut dyn FnMut(usize),
    ) -> io::Result<()> {
        let mut waiting = (0..).zip(targets);
        let mut finished = 0;
        loop {
            while self.running.len() < PARALLEL
                && let Some((job, target)) = waiting.next()
            {
                let open = Open { path: target.path, expect: target.expect, first: HEAD, is_dm: target.is_dm };
                self.pool.open(self.poll.registry(), job, open)?;
                let until = Instant::now() + self.deadline;
                let (is_partition, disk) = (target.is_partition, target.disk);
                let running = Running { until, is_partition, disk, on_partition: None, size: 0, scan: None };
                self.running.insert(job, running);
            }
            if self.running.is_empty() {
                return Ok(());
            }
            for (job, result) in self.turn()? {
                self.running.remove(&job);
                match result {
                    Err(_) => self.pool.abandon(self.poll.registry(), job),
                    Ok(_) => self.pool.close(self.poll.registry(), job),
                }
                results[usize::try_from(job).expect("jobs are numbers of results")] = Some(result);
                finished += 1;
                done(finished);
            }
        }
    }

    /// Waits for whatever comes next; the jobs that it ends.
    fn turn(&mut self) -> io::Result<Vec<(JobId, Probed)>> {
        let now = Instant::now();
        let mut ended = Vec::new();
        for (job, running) in &self.running {
            if running.until <= now {
                ended.push((*job, Err(io::ErrorKind::TimedOut.into())));
            }
        }
        let next = self.running.values().map(|running| running.until).min();
        let left = next.map(|next| next.saturating_duration_since(now));
        let mut events = Events::with_capacity(PARALLEL);
        if ended.is_empty() {
            match self.poll.poll(&mut events, left) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
        let mut happenings = Vec::new();
        for event in &events {
            self.pool.handle_ready(self.poll.registry(), event.token(), &mut happenings);
        }
        for happening in happenings {
            match happening {
                Happening::Reply(job, reply) => {
                    if let Some(result) = self.handle_reply(job, reply).transpose() {
                        ended.push((job, result));
                    }
                }
                Happening::Died(job) | Happening::Lost(job) => {
                    ended.push((job, Err(io::Error::other("the process that read it died"))));
                }
                Happening::NoReader(job, errno) => ended.push((job, Err(io::Error::from_raw_os_error(errno)))),
                Happening::Released(_) | Happening::Capacity(_) => {}
            }
        }
        Ok(ended)
    }

    /// `None` if there is more to read.
    fn handle_reply(&mut self, job: JobId, reply: Reply) -> io::Result<Option<(u64, Verdict)>> {
        let running = self.running.get_mut(&job).ok_or(io::ErrorKind::InvalidData)?;
        let step = match reply {
            Reply::Opened(Err(errno)) | Reply::Unread(errno) if running.on_partition.is_some() => {
                return self.conclude(job, Err(ReadError::Io(errno)));
            }
            Reply::Opened(opened) => {
                let opened = opened.map_err(io::Error::from_raw_os_error)?;
                let (begun, step) = match &running.on_partition {
                    Some((_, partitions)) => Scan::begin_disk(opened.size, partitions),
                    None => {
                        running.size = opened.size;
                        Scan::begin(Medium { size: opened.size, is_partition: running.is_partition }, self.look)
                    }
                };
                let begun = running.scan.insert(begun);
                match step {
                    Step::Read(range) => {
                        begun.handle_read(&mut self.texts, opened.head.get(..range.length).ok_or(ReadError::Short))
                    }
                    done @ Step::Done(_) => done,
                }
            }
            Reply::Unread(errno) => return Err(io::Error::from_raw_os_error(errno)),
            Reply::Unusable(why) => return Err(io::Error::other(why.to_string())),
            Reply::Data { pieces, .. } => {
                let scan = running.scan.as_mut().ok_or(io::ErrorKind::InvalidData)?;
                let [piece] = &pieces[..] else { return Err(io::ErrorKind::InvalidData.into()) };
                scan.handle_read(&mut self.texts, piece.as_deref().map_err(|errno| ReadError::Io(*errno)))
            }
        };
        match step {
            Step::Read(range) => self.pool.read(self.poll.registry(), job, &[range]).map(|()| None),
            Step::Done(verdict) => self.conclude(job, Ok(verdict)),
        }
    }

    /// `None` if the disk is to be read as well.
    fn conclude(&mut self, job: JobId, verdict: Result<Verdict, ReadError>) -> io::Result<Option<(u64, Verdict)>> {
        let running = self.running.get_mut(&job).ok_or(io::ErrorKind::InvalidData)?;
        let verdict = match (running.on_partition.take(), verdict) {
            (Some((pv, partitions)), verdict) => on_partition(pv, verdict, &partitions),
            (None, Ok(Verdict::Pv(pv))) => match running.disk.take() {
                None => Verdict::Pv(pv),
                Some(Disk { path, devno, partitions }) => {
                    running.on_partition = Some((pv, partitions));
                    running.scan = None;
                    let expect = Expect::Device(devno);
                    self.pool.close(self.poll.registry(), job);
                    self.pool.open(self.poll.registry(), job, Open { path, expect, first: HEAD, is_dm: false })?;
                    return Ok(None);
                }
            },
            (None, Ok(verdict)) => verdict,
            (None, Err(_)) => return Err(io::ErrorKind::InvalidData.into()),
        };
        Ok(Some((running.size, verdict)))
    }
}
