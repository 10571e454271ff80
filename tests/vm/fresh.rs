//! What a daemon finds that has just been started, without starting one: to start programs is
//! slow here, and this is done after every step.

use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use pvwatch::conf::Settings;
use pvwatch::devno::DevNo;
use pvwatch::ondisk::ByteRange;
use pvwatch::sys::settings::load_multipath;
use pvwatch::sys::sysfs::Sysfs;
use pvwatch::sys::usage;
use pvwatch::watcher::{Effect, Event, Opened, Watcher};
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::time::Duration;

/// Longer than the watcher waits before it takes a second look.
const SECOND_LOOK: Duration = Duration::from_secs(2);

/// A watcher that has scanned everything there is, and has taken its second looks.
pub fn scan(mut settings: Settings) -> Watcher {
    load_multipath(&mut settings);
    let mut scan = Scan { sysfs: Sysfs::new(), open: BTreeMap::new() };
    scan.sysfs.read_udev = settings.multipath.is_configured();
    let mut watcher = Watcher::new(settings, 1, Duration::ZERO);
    for now in [Duration::ZERO, SECOND_LOOK] {
        watcher.handle_timeout(now);
        while let Some(effect) = watcher.poll_effect(now) {
            if let Some(event) = scan.carry_out(effect) {
                watcher.handle(now, event);
            }
        }
    }
    assert!(watcher.is_ready());
    watcher
}

struct Scan {
    sysfs: Sysfs,
    open: BTreeMap<u64, File>,
}

impl Scan {
    fn carry_out(&mut self, effect: Effect) -> Option<Event> {
        match effect {
            Effect::Enumerate => Some(Event::Resync(self.sysfs.list().unwrap())),
            Effect::Examine(devno) => {
                let facts = self.sysfs.facts(devno).unwrap();
                let found = facts.map(|facts| (vec![format!("/dev/{}", facts.name)], facts));
                Some(Event::Facts { devno, found: found.map(|(names, facts)| (facts, names)) })
            }
            Effect::Open { job, devno, path, length } => {
                let result = self.open(job, devno, &path, length);
                Some(Event::Opened { job, result: result.map_err(|error| error.raw_os_error().unwrap()) })
            }
            Effect::Read { job, ranges } => {
                let piece = |range: ByteRange| read(&self.open[&job], range.offset, range.length);
                let piece = |range| piece(range).map_err(|error| error.raw_os_error().unwrap());
                Some(Event::Data { job, diskseq: None, pieces: ranges.into_iter().map(piece).collect() })
            }
            Effect::Close(job) => {
                self.open.remove(&job);
                None
            }
            Effect::ReadUsage => Some(Event::Usage(usage::read())),
            Effect::Abandon(job) => panic!("job {job} hangs"),
            Effect::Publish(_) | Effect::ListRunFiles | Effect::InvalidateHints => panic!("it has no run files"),
            Effect::AskUdev(_)
            | Effect::Offer(_)
            | Effect::ForgetOffer(_)
            | Effect::WithdrawOffer { .. }
            | Effect::Activate(_)
            | Effect::EndActivation(_) => panic!("it activates nothing"),
            Effect::Watch { .. }
            | Effect::Unwatch(_)
            | Effect::Settled { .. }
            | Effect::Awaited(_)
            | Effect::Pause
            | Effect::Ready
            | Effect::Report(_) => None,
        }
    }

    fn open(&mut self, job: u64, devno: DevNo, path: &str, length: usize) -> io::Result<Opened> {
        let size = self.sysfs.facts(devno)?.map_or(0, |facts| facts.size);
        let file = File::open(path)?;
        let head = read(&file, 0, length.min(usize::try_from(size).unwrap()))?;
        self.open.insert(job, file);
        Ok(Opened { size, diskseq: None, head })
    }
}

/// What is on the disk, whatever an earlier read of it has left in memory.
fn read(file: &File, offset: u64, length: usize) -> io::Result<Vec<u8>> {
    posix_fadvise(file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED)?;
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, offset).map(|()| bytes)
}
