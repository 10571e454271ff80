mod duplicates;
mod outdated;
mod reading;
mod told;

use super::*;
use crate::activation::{Claimed, Offered, udev};
use crate::cache::{FoundPv, NewBody, NewMetadata};
use crate::device::{Facts, Usage};
use crate::filter::{DevicesFile, Rule};
use crate::metadata::VgText;
use crate::ondisk::image::{PvSpec, put_partition_table, pv_image, vg_text};
use crate::online::{Change, Hints, Listing, PvOnline};
use crate::scan::ByteRange;
use crate::scan::{Code, ReadError, Scan, Step, Verdict};
use crate::signature::image::superblock;
use crate::signature::{Medium, When};
use crate::text::Section;

pub(super) const SIZE: u64 = 4 << 20;
const EIO: i32 = 5;
const ENXIO: i32 = 6;

pub(super) fn pvid(number: u8) -> Id {
    Id([b'a' + number; 32])
}

pub(super) fn vgid() -> Id {
    Id([b'v'; 32])
}

/// PV `number`, with the metadata of the VG of these PVs.
pub(super) fn member(number: u8, seqno: i64, pvs: &[u8]) -> Vec<u8> {
    member_of(vgid(), number, seqno, pvs)
}

pub(super) fn member_of(vgid: Id, number: u8, seqno: i64, pvs: &[u8]) -> Vec<u8> {
    let pvs = pvs.iter().map(|pv| (pvid(*pv), SIZE)).collect::<Vec<_>>();
    let text = vg_text(if vgid == self::vgid() { "vg" } else { "other" }, vgid, seqno, &pvs);
    // The text begins behind what is read first.
    pv_image(&PvSpec { text_offset: 20 << 10, dev_size: Some(SIZE), ..PvSpec::member(pvid(number), text) })
}

pub(super) fn orphan(number: u8) -> Vec<u8> {
    pv_image(&PvSpec { dev_size: Some(SIZE), ..PvSpec::orphan(pvid(number)) })
}

/// The same on an array, of which the disk is a member.
pub(super) fn on_array(image: &[u8]) -> Vec<u8> {
    let (place, superblock) = superblock("1.0", SIZE).unwrap();
    let mut image = image.to_vec();
    image.resize(SIZE.try_into().unwrap(), 0);
    image[place.try_into().unwrap()..][..superblock.len()].copy_from_slice(&superblock);
    image
}

/// Of an image, behind which there are zeros.
fn part(image: &[u8], range: ByteRange) -> Vec<u8> {
    let start = image.len().min(range.offset.try_into().unwrap());
    let mut bytes = image[start..image.len().min(start + range.length)].to_vec();
    bytes.resize(range.length, 0);
    bytes
}

fn orphan_of(number: u8) -> Vec<u8> {
    let mut id = [b'0'; 32];
    id[0] = b'a' + number % 26;
    id[1] = b'a' + number / 26;
    pv_image(&PvSpec::orphan(Id(id)))
}

pub(super) struct Disk {
    pub(super) image: Vec<u8>,
    /// 0: the kernel does not say.
    pub(super) diskseq: u64,
    /// Answers are kept back until asked for, or those to requests for more bytes than that.
    pub(super) held: bool,
    held_over: usize,
    /// No answer has more pieces.
    pieces_max: usize,
    pub(super) open_error: Option<i32>,
    /// It can be opened, and not even its head be read.
    pub(super) head_error: Option<i32>,
    /// Of reads behind the head.
    pub(super) read_error: Option<i32>,
    pub(super) facts: Facts,
}

enum Ask {
    Open(usize),
    Read(Vec<ByteRange>),
}

/// A watcher whose disks answer at once, unless told otherwise.
pub(super) struct Bench {
    pub(super) watcher: Watcher,
    pub(super) now: Duration,
    disks: BTreeMap<u32, Disk>,
    /// What was asked of disks that are held, with what they showed then.
    asked: Vec<(JobId, DevNo, Event)>,
    pub(super) opens: BTreeMap<u32, u32>,
    /// Requests for what is behind the head, and the places that they were for.
    pub(super) reads: usize,
    pub(super) places: usize,
    /// What each job has open.
    opened: BTreeMap<JobId, DevNo>,
    abandoned: Vec<JobId>,
    pub(super) settled: Vec<SettleId>,
    /// How often it let others have their turn.
    pauses: usize,
    /// What is in the run directory, and what was changed there.
    pub(super) listing: Listing,
    published: Vec<Change>,
    /// When hints were invalidated, and what came of it.
    hints: Vec<Duration>,
    hints_lock: Hints,
    ready_at: Option<Duration>,
    usage: Usage,
    pub(super) reports: Vec<String>,
    /// A PV that no client may miss for a moment.
    kept: Option<u8>,
    pub(super) activation: Activating,
    /// Files in `vgs_online` cannot be removed.
    pub(super) fails_to_remove: bool,
}

/// Whoever activates, and what he was asked to do.
pub(super) struct Activating {
    /// What udev says of each device.
    pub(super) udev: BTreeMap<u32, udev::Standing>,
    pub(super) claimed: Result<Claimed, String>,
    pub(super) log: Vec<String>,
}

impl Bench {
    pub(super) fn new(images: &[Vec<u8>]) -> Bench {
        let mut bench = Bench::unstarted(images);
        bench.run();
        bench
    }

    pub(super) fn unstarted(images: &[Vec<u8>]) -> Bench {
        let mut bench = Bench {
            watcher: Watcher::new(Settings::default(), 1, Duration::ZERO),
            now: Duration::ZERO,
            disks: BTreeMap::new(),
            asked: Vec::new(),
            opens: BTreeMap::new(),
            reads: 0,
            places: 0,
            opened: BTreeMap::new(),
            abandoned: Vec::new(),
            settled: Vec::new(),
            pauses: 0,
            listing: Listing::default(),
            published: Vec::new(),
            hints: Vec::new(),
            hints_lock: Hints::Invalidated,
            ready_at: None,
            usage: Usage::default(),
            reports: Vec::new(),
            kept: None,
            fails_to_remove: false,
            activation: Activating { udev: BTreeMap::new(), claimed: Ok(Claimed::Made), log: Vec::new() },
        };
        for (minor, image) in (0..).zip(images) {
            bench.insert(minor, image.clone());
        }
        bench
    }

    pub(super) fn insert(&mut self, minor: u32, image: Vec<u8>) {
        let diskseq = 1 + self.disks.get(&minor).map_or(0, |disk| disk.diskseq);
        let driver = Some("sd".into());
        let facts = Facts { name: format!("d{minor}"), size: SIZE, diskseq: Some(diskseq), driver, ..Facts::default() };
        let disk = Disk {
            image,
            diskseq,
            held: false,
            held_over: usize::MAX,
            pieces_max: usize::MAX,
            open_error: None,
            head_error: None,
            read_error: None,
            facts,
        };
        self.disks.insert(minor, disk);
    }

    pub(super) fn disk(&mut self, minor: u32) -> &mut Disk {
        self.disks.get_mut(&minor).expect("a disk of the test")
    }

    pub(super) fn send(&mut self, event: Event) {
        self.watcher.handle(self.now, event);
        self.run();
    }

    pub(super) fn touch(&mut self, minor: u32, cause: Cause) {
        self.send(Event::Touched { devno: devno(minor), cause });
    }

    pub(super) fn write(&mut self, minor: u32, image: Vec<u8>) {
        self.disk(minor).image = image;
        self.touch(minor, Cause::Written);
    }

    pub(super) fn remove(&mut self, minor: u32) {
        self.disks.remove(&minor);
        self.touch(minor, Cause::Uevent("remove"));
    }

    /// Goes on to this time, in milliseconds.
    pub(super) fn at(&mut self, ms: u64) {
        let until = Duration::from_millis(ms);
        while let Some(due) = self.watcher.poll_timeout().filter(|due| *due <= until) {
            assert!(due > self.now || self.now == Duration::ZERO, "time stands still at {due:?}");
            self.now = due;
            self.watcher.handle_timeout(due);
            self.run();
        }
        self.now = until;
        self.run();
    }

    pub(super) fn run(&mut self) {
        assert!(self.run_some(1000), "there is no end of effects");
    }

    /// Until others are to have their turn.
    fn run_until_pause(&mut self) {
        let before = self.pauses;
        while self.pauses == before {
            assert!(!self.run_some(1), "there is nothing more to do");
        }
    }

    /// The disk is gone, and nothing has been done about it.
    fn remove_only(&mut self, minor: u32) {
        self.disks.remove(&minor);
        self.watcher.handle(self.now, Event::Touched { devno: devno(minor), cause: Cause::Uevent("remove") });
    }

    /// True if there was nothing more to do.
    fn run_some(&mut self, limit: usize) -> bool {
        for _ in 0..limit {
            let Some(effect) = self.watcher.poll_effect(self.now) else { return true };
            match effect {
                Effect::ReadUsage => self.watcher.handle(self.now, Event::Usage(self.usage.clone())),
                Effect::Report(report) => self.reports.push(report.to_string()),
                Effect::Enumerate => {
                    let present = self.disks.keys().map(|minor| devno(*minor)).collect();
                    self.watcher.handle(self.now, Event::Resync(present));
                }
                Effect::Publish(change) => {
                    let fails = self.fails_to_remove && matches!(change, Change::VgOffline(_));
                    self.published.push(change);
                    let result = if fails { Err("no space".to_owned()) } else { Ok(()) };
                    self.watcher.handle(self.now, Event::Published(result));
                }
                Effect::ListRunFiles => {
                    self.watcher.handle(self.now, Event::RunFiles(Ok(self.listing.clone())));
                }
                Effect::InvalidateHints => {
                    self.hints.push(self.now);
                    self.watcher.handle(self.now, Event::HintsInvalidated(Ok(self.hints_lock)));
                }
                Effect::Awaited(id) => self.settled.push(id),
                Effect::Examine(devno) => {
                    let names = |disk: &Disk| vec![format!("/dev/{}", disk.facts.name)];
                    let found = self.disks.get(&devno.minor).map(|disk| (facts(disk), names(disk)));
                    self.watcher.handle(self.now, Event::Facts { devno, found });
                }
                Effect::Open { job, devno, length, .. } => {
                    *self.opens.entry(devno.minor).or_default() += 1;
                    self.opened.insert(job, devno);
                    self.ask(job, devno, &Ask::Open(length));
                }
                Effect::Read { job, ranges } => {
                    self.reads += 1;
                    self.places += ranges.len();
                    let devno = self.opened[&job];
                    self.ask(job, devno, &Ask::Read(ranges));
                }
                Effect::Abandon(job) => {
                    self.asked.retain(|(asked, ..)| *asked != job);
                    self.abandoned.push(job);
                }
                Effect::Settled { id, .. } => self.settled.push(id),
                Effect::Pause => self.pauses += 1,
                Effect::Ready => self.ready_at = Some(self.now),
                Effect::Watch { .. } | Effect::Unwatch(_) => {}
                Effect::Close(job) => drop(self.opened.remove(&job)),
                Effect::AskUdev(devno) => {
                    let standing = self.activation.udev.get(&devno.minor).cloned().unwrap_or(udev::Standing::Ready);
                    self.activation.log.push(format!("ask {devno}"));
                    self.watcher.handle(self.now, Event::UdevSays { devno, standing });
                }
                Effect::Offer(Offered { vgid, name, .. }) => {
                    self.activation.log.push(format!("offer {}", name.escape_ascii()));
                    let result = self.activation.claimed.clone();
                    self.watcher.handle(self.now, Event::Offered { vgid, result });
                }
                Effect::ForgetOffer(vgid) => self.activation.log.push(format!("forget {}", char::from(vgid.0[0]))),
                Effect::WithdrawOffer { name, .. } => {
                    self.activation.log.push(format!("withdraw {}", name.escape_ascii()));
                }
                Effect::Activate(order) => {
                    let refresh = if order.refresh { "refresh and " } else { "" };
                    self.activation.log.push(format!("{refresh}activate {}", order.name.escape_ascii()));
                }
                Effect::EndActivation(vgid) => self.activation.log.push(format!("end {}", char::from(vgid.0[0]))),
            }
            assert!(self.kept.is_none_or(|pv| self.place(pv).is_some()), "the PV is missing");
        }
        false
    }

    fn ask(&mut self, job: JobId, devno: DevNo, ask: &Ask) {
        let Some(disk) = self.disks.get(&devno.minor) else { return };
        let diskseq = Some(disk.diskseq).filter(|number| *number != 0);
        let answer = match ask {
            Ask::Open(_) if disk.open_error.is_none() && disk.head_error.is_some() => {
                Event::Unread { job, errno: disk.head_error.unwrap() }
            }
            Ask::Open(length) => {
                let head = disk.image[..*length].to_vec();
                let result = disk.open_error.map_or(Ok(Opened { size: disk.facts.size, diskseq, head }), Err);
                Event::Opened { job, result }
            }
            Ask::Read(ranges) => {
                let piece = |range: &ByteRange| disk.read_error.map_or(Ok(part(&disk.image, *range)), Err);
                Event::Data { job, diskseq, pieces: ranges.iter().map(piece).take(disk.pieces_max).collect() }
            }
        };
        let length = match ask {
            Ask::Open(length) => *length,
            Ask::Read(ranges) => ranges.iter().map(|range| range.length).sum(),
        };
        if disk.held || length > disk.held_over {
            self.asked.push((job, devno, answer));
        } else {
            self.watcher.handle(self.now, answer);
        }
    }

    /// Lets a disk answer, with what it showed when it was asked.
    pub(super) fn release(&mut self, minor: u32) {
        let disk = self.disk(minor);
        (disk.held, disk.held_over) = (false, usize::MAX);
        let (answers, others) = std::mem::take(&mut self.asked).into_iter().partition(|(_, d, _)| *d == devno(minor));
        self.asked = others;
        for (_, _, answer) in answers {
            self.send(answer);
        }
    }

    pub(super) fn request(&mut self, request: &str) -> String {
        let token = if request.contains("token=") { "" } else { "token=\"skip\"\n" };
        let reply = self.watcher.handle_request(self.now, format!("{token}{request}").as_bytes());
        let reply = String::from_utf8(reply.bytes().to_vec()).unwrap();
        self.run();
        reply
    }

    fn seqno(&self) -> Option<i64> {
        self.watcher.cache().vg(&vgid().hyphenated()).map(|vg| vg.seqno())
    }

    fn outdated(&self) -> usize {
        self.watcher.cache().vgs().map(|vg| vg.outdated().len()).sum()
    }

    /// The minor number of the device that the PV is on.
    pub(super) fn place(&self, pv: u8) -> Option<u32> {
        let device = self.watcher.cache().device_of(&pvid(pv).hyphenated())?;
        Some(DevNo::from_wire(device).minor)
    }

    pub(super) fn reason(&self, minor: u32) -> Option<Reason> {
        self.watcher.devices()[&devno(minor)].quarantine.as_ref().map(|quarantine| quarantine.reason)
    }
}

pub(super) fn devno(minor: u32) -> DevNo {
    DevNo::new(8, minor)
}

fn facts(disk: &Disk) -> Facts {
    disk.facts.clone()
}

/// What a cache that believes each read makes of them.
fn naive(reads: &[(u32, Vec<u8>)]) -> Cache {
    let mut cache = Cache::of_server();
    for (minor, image) in reads {
        let mut texts = TextCache::new();
        let (mut scan, mut step) = Scan::begin(Medium { size: SIZE, is_partition: false }, When::Always);
        let pv = loop {
            match step {
                Step::Read(range) => step = scan.handle_read(&mut texts, Ok(&part(image, range))),
                Step::Done(Verdict::Pv(pv)) => break pv,
                Step::Done(other) => panic!("{other:?}"),
            }
        };
        let text: &VgText = pv.vg.as_ref().unwrap();
        let (name, vgid) = (&text.name[..], text.vgid.hyphenated());
        let device = devno(*minor).to_dev_t();
        let metadata = NewMetadata { name, vgid: &vgid, seqno: text.seqno, body: NewBody::Shared(&text.body) };
        let (pvid, pvmeta) = (pv.id.hyphenated(), Section(pv.pvmeta(device)));
        let found = FoundPv { pvid: &pvid, device: device.cast_signed(), pvmeta: &pvmeta, metadata: Some(metadata) };
        cache.pv_found(found).unwrap();
    }
    cache
}

#[test]
fn a_partition_table_over_a_pv_hides_it() {
    let image = member(0, 1, &[0]);
    let mut partitioned = image.clone();
    put_partition_table(&mut partitioned);
    let mut bench = Bench::new(std::slice::from_ref(&image));
    assert_eq!(bench.watcher.cache().pv_count(), 1);
    bench.write(0, partitioned);
    assert_eq!((bench.watcher.cache().pv_count(), bench.seqno()), (0, None));
    let content = &bench.watcher.devices()[&devno(0)].seen.as_ref().unwrap().content;
    assert!(content.findings().iter().any(|finding| finding.code == Code::PartitionTable));
    bench.write(0, image);
    assert_eq!(bench.seqno(), Some(1));
}

#[test]
fn a_duplicate_is_read_when_the_first_goes() {
    let mut bench = Bench::new(&[orphan(0), orphan(0)]);
    let duplicate_of = bench.watcher.duplicate_of(devno(1)).map(|(other, how)| (other, how.because));
    assert_eq!((bench.place(0), duplicate_of), (Some(0), Some((devno(0), Because::FirstSeen))));
    assert!(!bench.watcher.cache().flags().disabled);
    let opens = bench.opens[&1];
    bench.remove(0);
    assert_eq!((bench.place(0), bench.opens[&1]), (Some(1), opens + 1));
}

#[test]
fn a_duplicate_is_read_even_if_a_client_hid_that_the_first_went() {
    let mut bench = Bench::new(&[orphan(0), orphan(0)]);
    bench.disk(0).image = vec![0; 256 << 10];
    let other = pvid(7);
    bench.request(&format!("request=\"pv_found\"\npvmeta {{\nid=\"{other}\"\ndevice={}\n}}", devno(0).to_dev_t()));
    assert_eq!((bench.place(7), bench.place(0)), (None, Some(1)));
}

#[test]
fn another_incarnation_is_not_believed() {
    let mut bench = Bench::new(&[orphan(0)]);
    bench.disk(0).held = true;
    bench.touch(0, Cause::Written);
    // Another disk has come behind the number, and its events have not.
    bench.insert(0, orphan(1));
    bench.release(0);
    assert_eq!((bench.place(0), bench.place(1)), (None, Some(0)), "the rest of the read was of another disk");

    bench.disk(0).held = true;
    bench.touch(0, Cause::Written);
    bench.insert(0, orphan(2));
    bench.touch(0, Cause::Uevent("add"));
    assert_eq!(bench.place(1), None, "what was known is of the old disk");
    bench.release(0);
    assert_eq!((bench.place(1), bench.place(2)), (None, Some(0)));

    // Whatever it was read for.
    bench.insert(1, orphan(3));
    bench.disk(1).held = true;
    bench.touch(1, Cause::Waited);
    bench.insert(1, orphan(4));
    bench.touch(1, Cause::Stacked);
    bench.release(1);
    assert_eq!((bench.place(3), bench.place(4)), (None, Some(1)));
}

#[test]
fn what_is_no_more_is_not_blamed_for_a_read() {
    // It has nothing behind it now, or something else.
    for has_gone in [true, false] {
        let mut bench = Bench::new(&[member(0, 1, &[0])]);
        bench.disk(0).held = true;
        bench.disk(0).open_error = Some(EIO);
        bench.touch(0, Cause::Written);
        bench.send(Event::Settle(1));
        if has_gone {
            bench.disk(0).facts.size = 0;
        } else {
            bench.insert(0, orphan(1));
        }
        bench.touch(0, Cause::Uevent("change"));
        bench.release(0);
        assert_eq!((bench.reason(0), &bench.settled[..]), (None, &[1][..]));
        assert!(!bench.reports.iter().any(|report| report.contains(": quarantined,")), "{:?}", bench.reports);
        assert_eq!((bench.place(0), bench.place(1)), (None, (!has_gone).then_some(0)));
    }
}

/// Whoever is the first to open or close an array that has been started gives it another `diskseq`, and
/// no event says so.
#[test]
fn whoever_waits_for_a_read_waits_until_what_is_there_has_been_read() {
    for wait in [Event::Settle(1), Event::Await { id: 1, devnos: vec![devno(0)] }] {
        let mut bench = Bench::new(&[vec![0; 256 << 10]]);
        bench.disk(0).image = orphan(0);
        bench.disk(0).held = true;
        bench.touch(0, Cause::Uevent("change"));
        bench.send(wait);
        bench.disk(0).diskseq += 1;
        bench.disk(0).facts.diskseq = Some(bench.disk(0).diskseq);
        let (_, _, mut answer) = bench.asked.remove(0);
        if let Event::Opened { result: Ok(opened), .. } = &mut answer {
            opened.diskseq = Some(bench.disk(0).diskseq);
        }
        bench.send(answer);
        assert_eq!((bench.place(0), &bench.settled[..]), (None, &[][..]), "that is read again");
        bench.release(0);
        assert_eq!((bench.place(0), &bench.settled[..]), (Some(0), &[1][..]));
    }
}

/// That it could not be opened was said of what was there before.
#[test]
fn whoever_was_told_that_a_device_cannot_be_read_waits_for_what_took_its_place() {
    for wait in [Event::Settle(1), Event::Await { id: 1, devnos: vec![devno(0)] }] {
        let mut bench = Bench::unstarted(&[orphan(0)]);
        bench.disk(0).held = true;
        bench.disk(0).open_error = Some(ENXIO);
        bench.run();
        bench.send(wait);
        // The first time it is looked for again, in case it was not there for a moment.
        let (_, _, answer) = bench.asked.remove(0);
        bench.send(answer);
        let (_, _, answer) = bench.asked.remove(0);
        bench.insert(0, orphan(1));
        bench.disk(0).held = true;
        bench.send(answer);
        assert_eq!((bench.place(1), &bench.settled[..]), (None, &[][..]));
        bench.release(0);
        assert_eq!((bench.place(1), &bench.settled[..]), (Some(0), &[1][..]));
    }
}

#[test]
fn an_event_during_a_read_leads_to_another() {
    let mut bench = Bench::new(&[member(0, 1, &[0])]);
    let opens = bench.opens[&0];
    bench.disk(0).held = true;
    bench.touch(0, Cause::Written);
    bench.write(0, member(0, 2, &[0]));
    bench.touch(0, Cause::Written);
    bench.release(0);
    assert_eq!((bench.seqno(), bench.opens[&0]), (Some(2), opens + 2));
}

#[test]
fn a_look_that_is_due_does_not_stand_for_the_read_that_a_resync_wants() {
    let mut bench = Bench::new(&[orphan(0)]);
    bench.disk(0).image = orphan(1);
    bench.watcher.touch(devno(0), Cause::Stacked);
    bench.send(Event::Resync(vec![devno(0)]));
    assert_eq!((bench.opens[&0], bench.place(1)), (2, Some(0)));
}

#[test]
fn a_device_that_hangs_is_quarantined_and_comes_back() {
    let mut bench = Bench::new(&[member(0, 1, &[0])]);
    bench.at(1_000);
    bench.disk(0).held = true;
    bench.write(0, member(0, 2, &[0]));
    bench.at(10_999);
    assert_eq!(bench.reason(0), None);
    bench.at(11_000);
    assert_eq!((bench.reason(0), bench.seqno()), (Some(Reason::DeadlinePassed), Some(1)), "the last known is served");
    let opens = bench.opens[&0];
    bench.at(100_000);
    bench.touch(0, Cause::Uevent("change"));
    assert_eq!(bench.opens[&0], opens, "no second reader hangs on it");
    bench.disk(0).held = false;
    let job = bench.abandoned[0];
    bench.send(Event::ReaderReleased(job));
    assert_eq!((bench.reason(0), bench.seqno()), (None, Some(2)));
}

#[test]
fn a_reader_that_lets_go_at_once_does_not_cut_the_back_off_short() {
    let mut bench = Bench::unstarted(&[orphan(0)]);
    bench.disk(0).held = true;
    bench.run();
    bench.at(10_000);
    let job = bench.abandoned[0];
    bench.send(Event::ReaderDied(job));
    assert_eq!(bench.opens[&0], 1);
    bench.at(11_000);
    assert_eq!(bench.opens[&0], 2);
}

/// Both are on their way at once: that the deadline is over, and that there is no reader.
#[test]
fn a_job_that_is_given_up_without_a_reader_hangs_nowhere() {
    for gone in [Event::ReaderLost, Event::ReaderDied, |job| Event::NoReader { job, errno: 24 }] {
        let mut bench = Bench::new(&[orphan(0)]);
        bench.disk(0).held = true;
        bench.touch(0, Cause::Uevent("change"));
        let job = *bench.opened.keys().next().unwrap();
        bench.now += Settings::default().read_deadline;
        bench.watcher.handle_timeout(bench.now);
        bench.watcher.handle(bench.now, gone(job));
        bench.run();
        bench.disk(0).held = false;
        bench.at(100_000);
        assert_eq!((bench.reason(0), bench.place(0)), (None, Some(0)));
    }
}

/// It may have answered last that something else is to be opened for the job, and that comes next.
#[test]
fn a_job_whose_reader_is_gone_is_closed() {
    for gone in [Event::ReaderLost, Event::ReaderDied] {
        let mut bench = Bench::new(&[orphan(0)]);
        bench.disk(0).held = true;
        bench.touch(0, Cause::Uevent("change"));
        let job = *bench.opened.keys().next().unwrap();
        bench.disk(0).held = false;
        bench.send(gone(job));
        assert_eq!((bench.opened.len(), bench.place(0)), (0, Some(0)));
    }
}

#[test]
fn another_disk_behind_the_number_of_one_that_hangs_is_read_when_the_reader_is_gone() {
    let mut bench = Bench::unstarted(&[orphan(0)]);
    bench.disk(0).held = true;
    bench.run();
    bench.at(10_000);
    bench.insert(0, orphan(1));
    bench.touch(0, Cause::Uevent("add"));
    assert_eq!((bench.place(1), bench.reason(0), bench.opens[&0]), (None, Some(Reason::ReaderStuck), 1));
    let job = bench.abandoned[0];
    bench.send(Event::ReaderReleased(job));
    assert_eq!((bench.place(1), bench.reason(0)), (Some(0), None));
}

#[test]
fn retries_back_off_to_the_maximum() {
    let mut bench = Bench::unstarted(&[orphan(0)]);
    bench.disk(0).open_error = Some(EIO);
    bench.run();
    assert_eq!((bench.reason(0), bench.opens[&0]), (Some(Reason::Open(EIO)), 1), "once, and not again at once");
    let mut opens = 1;
    for at in [1, 3, 7, 15, 31, 63, 123, 183] {
        bench.at(at * 1000 - 1);
        assert_eq!(bench.opens[&0], opens, "before {at} s");
        bench.at(at * 1000);
        opens += 1;
        assert_eq!(bench.opens[&0], opens, "at {at} s");
    }
    bench.disk(0).open_error = None;
    bench.touch(0, Cause::Uevent("change"));
    assert_eq!((bench.reason(0), bench.place(0)), (None, Some(0)), "an event is a reason to try at once");
}

#[test]
fn a_device_that_opens_and_cannot_be_read_is_not_said_to_stay_closed() {
    let mut bench = Bench::new(&[orphan(0)]);
    bench.disk(0).head_error = Some(EIO);
    bench.touch(0, Cause::Written);
    assert_eq!((bench.reason(0), bench.place(0)), (Some(Reason::Read(ReadError::Io(EIO))), Some(0)));
    let says = "it cannot be read: Input/output error";
    assert!(bench.reports.iter().any(|report| report.contains(says)), "{:?}", bench.reports);
    let opens = bench.opens[&0];
    bench.disk(0).head_error = None;
    bench.at(1000);
    assert_eq!((bench.reason(0), bench.opens[&0]), (None, opens + 1), "it is tried again");
    // One that goes is not blamed.
    bench.disk(0).head_error = Some(ENXIO);
    bench.touch(0, Cause::Written);
    assert_eq!((bench.reason(0), bench.opens[&0]), (Some(Reason::Read(ReadError::Io(ENXIO))), opens + 3));
}

#[test]
fn a_device_that_goes_while_it_is_opened_is_not_blamed() {
    let mut bench = Bench::unstarted(&[orphan(0)]);
    bench.disk(0).held = true;
    bench.disk(0).open_error = Some(ENXIO);
    bench.run();
    bench.disks.clear();
    for (_, _, answer) in std::mem::take(&mut bench.asked) {
        bench.send(answer);
    }
    assert!(bench.watcher.devices().is_empty());
    assert!(!bench.reports.iter().any(|report| report.contains(": quarantined,")), "{:?}", bench.reports);
    // One that is still there has to answer for it.
    let mut bench = Bench::unstarted(&[orphan(0)]);
    bench.disk(0).open_error = Some(ENXIO);
    bench.run();
    assert_eq!((bench.reason(0), bench.opens[&0]), (Some(Reason::Open(ENXIO)), 2));
    bench.at(1000);
    assert_eq!(bench.opens[&0], 3, "it is known by now");
    // Whatever it was read for.
    bench.insert(1, orphan(1));
    bench.disk(1).open_error = Some(ENXIO);
    bench.touch(1, Cause::Waited);
    assert_eq!((bench.reason(1), bench.opens[&1]), (Some(Reason::Open(ENXIO)), 2));
}

#[test]
fn an_error_in_a_metadata_area_keeps_what_was_known() {
    let mut bench = Bench::new(&[member(0, 1, &[0])]);
    bench.disk(0).read_error = Some(EIO);
    bench.write(0, member(0, 2, &[0]));
    let reason = Some(Reason::Read(ReadError::Io(EIO)));
    assert_eq!((bench.seqno(), bench.reason(0)), (Some(1), reason));
    bench.disk(0).read_error = None;
    bench.at(1_000);
    assert_eq!((bench.seqno(), bench.reason(0)), (Some(2), None));
    // Of a PV never seen before, its label is served.
    bench.insert(1, member(1, 1, &[1]));
    bench.disk(1).read_error = Some(EIO);
    bench.touch(1, Cause::Uevent("add"));
    assert_eq!((bench.place(1), bench.reason(1)), (Some(1), reason));
    bench.at(100_000);
    assert_eq!((bench.place(1), bench.reason(1)), (Some(1), reason));
}

#[test]
fn of_the_devices_file_the_pvid_may_decide() {
    let mut bench = Bench::new(&[orphan(0), orphan(1)]);
    assert_eq!((bench.place(0), bench.place(1)), (Some(0), Some(1)));
    let rule = |bench: &Bench, minor| bench.watcher.devices()[&devno(minor)].rule;
    let reconfigure = |bench: &mut Bench, file: &str| {
        let mut settings = Settings::default();
        settings.filter.devices_file = Some(DevicesFile::parse(file.as_bytes()));
        bench.watcher.reconfigure(settings, bench.now);
        bench.run();
    };
    reconfigure(&mut bench, &format!("IDTYPE=devname IDNAME=/dev/x PVID={}", pvid(1)).replace('-', ""));
    assert_eq!((bench.place(0), bench.place(1)), (None, Some(1)));
    assert_eq!((rule(&bench, 0), rule(&bench, 1)), (Some(Rule::DevicesFile), None));
    // The PV that is listed comes to the other device, while that is being read.
    bench.disk(0).held = true;
    bench.touch(0, Cause::Written);
    bench.write(1, orphan(2));
    bench.disk(0).image = orphan(1);
    bench.touch(0, Cause::Written);
    bench.release(0);
    assert_eq!((bench.place(1), bench.place(2)), (Some(0), None));
    bench.send(Event::Settle(1));
    assert_eq!(bench.settled, [1]);
    reconfigure(&mut bench, "");
    assert_eq!((bench.place(1), rule(&bench, 1)), (None, Some(Rule::DevicesFile)));
}

#[test]
fn a_member_of_an_array_is_no_pv() {
    let mut bench = Bench::new(&[on_array(&member(0, 1, &[0])), member(1, 1, &[1])]);
    assert_eq!((bench.place(0), bench.reason(0)), (None, None));
    assert!(bench.watcher.devices()[&devno(0)].seen.as_ref().unwrap().content.member().is_some());
    // The PV of a disk goes when an array is made of it, and comes back with it.
    bench.write(1, on_array(&member(1, 1, &[1])));
    assert_eq!((bench.place(1), bench.seqno()), (None, None));
    bench.write(1, member(1, 1, &[1]));
    assert_eq!((bench.place(1), bench.seqno()), (Some(1), Some(1)));
}

#[test]
fn an_end_that_cannot_be_read_changes_nothing() {
    let reason = Some(Reason::Read(ReadError::Io(EIO)));
    let mut bench = Bench::new(&[on_array(&orphan(0)), orphan(1)]);
    for minor in [0, 1] {
        bench.disk(minor).read_error = Some(EIO);
        bench.touch(minor, Cause::Written);
    }
    assert_eq!((bench.place(0), bench.reason(0)), (None, reason), "a member stays one");
    assert_eq!((bench.place(1), bench.reason(1)), (Some(1), None), "a PV that fills its disk is on no array");
    // One that leaves room for a superblock may be.
    let short = pv_image(&PvSpec::orphan(pvid(2)));
    for known in [false, true] {
        bench.insert(2, short.clone());
        bench.disk(2).read_error = Some(EIO).filter(|_| !known);
        bench.touch(2, Cause::Uevent("add"));
        bench.disk(2).read_error = Some(EIO);
        bench.touch(2, Cause::Written);
        assert_eq!((bench.place(2), bench.reason(2)), (known.then_some(2), reason));
    }
}

#[test]
fn settle_waits_for_what_was_dirty_and_no_more() {
    let mut bench = Bench::new(&[orphan(0), orphan(1)]);
    bench.send(Event::Settle(1));
    assert_eq!(bench.settled, [1], "there was nothing to wait for");
    bench.disk(0).held = true;
    bench.disk(1).held = true;
    bench.touch(0, Cause::Written);
    bench.send(Event::Settle(2));
    bench.touch(1, Cause::Written);
    bench.send(Event::Settle(3));
    assert_eq!(bench.settled, [1]);
    bench.release(0);
    assert_eq!(bench.settled, [1, 2]);
    bench.release(1);
    assert_eq!(bench.settled, [1, 2, 3]);
}

#[test]
fn ready_does_not_wait_for_a_device_that_hangs() {
    let mut bench = Bench::unstarted(&[orphan(0), orphan(1)]);
    bench.disk(0).held = true;
    bench.run();
    assert_eq!((bench.ready_at, bench.place(1)), (None, Some(1)));
    bench.at(60_000);
    assert_eq!(bench.ready_at, Some(bench.watcher.settings().read_deadline));
}

#[test]
fn a_pv_that_moves_to_another_device_is_found_there() {
    let mut bench = Bench::new(&[member(0, 1, &[0])]);
    let image = bench.disks.remove(&0).unwrap().image;
    bench.insert(1, image);
    // The new device is announced first.
    bench.touch(1, Cause::Uevent("add"));
    assert_eq!(bench.place(0), Some(0));
    bench.touch(0, Cause::Uevent("remove"));
    assert_eq!((bench.place(0), bench.seqno()), (Some(1), Some(1)));
    assert!(!bench.watcher.cache().flags().disabled);
}

#[test]
fn a_writers_close_and_its_echo_are_one_read() {
    let mut bench = Bench::new(&[orphan(0)]);
    let mut opens = bench.opens[&0];
    let mut check = |bench: &mut Bench, at: u64, cause: Cause, reads: u32, why: &str| {
        bench.at(at);
        bench.touch(0, cause);
        opens += reads;
        assert_eq!(bench.opens[&0], opens, "{why}");
    };
    check(&mut bench, 1_000, Cause::Echo, 1, "nobody wrote");
    check(&mut bench, 2_000, Cause::Written, 1, "somebody wrote");
    check(&mut bench, 2_500, Cause::Echo, 0, "the echo of that");
    check(&mut bench, 2_600, Cause::Echo, 1, "not a second one");
    check(&mut bench, 3_000, Cause::Written, 1, "somebody wrote");
    check(&mut bench, 4_001, Cause::Echo, 1, "too late for an echo");
    bench.disk(0).held = true;
    check(&mut bench, 5_000, Cause::Written, 1, "somebody wrote");
    check(&mut bench, 5_100, Cause::Written, 0, "and again, while that is read");
    check(&mut bench, 5_200, Cause::Echo, 0, "the read is to come anyhow");
    bench.release(0);
    assert_eq!(bench.opens[&0], opens + 1);
}

#[test]
fn the_file_of_a_device_that_was_never_read_stays_until_it_is() {
    let mut bench = Bench::unstarted(&[member(0, 1, &[0]), orphan(1)]);
    bench.watcher.set_publish(Publish::Everything);
    bench.disk(1).open_error = Some(EIO);
    bench.listing.pvs = [1, 9].map(|minor| (pvid(minor), PvOnline::parse(format!("8:{minor}\n").as_bytes()))).into();
    bench.run();
    assert!(bench.published.contains(&Change::PvGone(pvid(9))), "{:?}", bench.published);
    assert!(!bench.published.contains(&Change::PvGone(pvid(1))), "{:?}", bench.published);
    // It turns out to hold a PV that nobody uses.
    bench.disk(1).open_error = None;
    bench.at(2_000);
    assert!(bench.published.contains(&Change::PvGone(pvid(1))), "{:?}", bench.published);
}

#[test]
fn hints_are_invalidated_once_for_many_and_once_more_later() {
    let mut bench = Bench::unstarted(&(0..20).map(orphan).collect::<Vec<_>>());
    bench.watcher.set_publish(Publish::Everything);
    bench.run();
    let seconds = |times: &[u64]| times.iter().map(|ms| Duration::from_millis(*ms)).collect::<Vec<_>>();
    bench.at(10_000);
    assert_eq!(bench.hints, seconds(&[0, 2_000]));
    // Nothing has come or gone.
    bench.touch(0, Cause::Written);
    bench.at(20_000);
    assert_eq!(bench.hints.len(), 2);
    // A command makes new ones for a while, of what it saw before.
    bench.hints_lock = Hints::InTheMaking;
    bench.remove(0);
    bench.at(20_400);
    bench.hints_lock = Hints::Invalidated;
    bench.at(30_000);
    assert_eq!(bench.hints[2..], seconds(&[20_000, 20_100, 20_300, 20_700, 22_700]));
}

#[test]
fn who_waits_for_one_device_waits_for_no_other() {
    let mut bench = Bench::new(&[orphan(0), orphan(1), orphan(2)]);
    let wait = |bench: &mut Bench, id, minors: &[u32]| {
        let devnos = minors.iter().map(|minor| devno(*minor)).collect();
        bench.send(Event::Await { id, devnos });
        bench.settled.contains(&id)
    };
    assert!(wait(&mut bench, 1, &[0, 1, 2]) && wait(&mut bench, 2, &[]), "all are known");
    bench.disk(0).held = true;
    bench.touch(0, Cause::Written);
    assert!(wait(&mut bench, 3, &[1, 2]) && !wait(&mut bench, 4, &[0, 1]));
    bench.send(Event::Settle(5));
    assert!(!bench.settled.contains(&5), "a settle is for all");
    // One that is not known is looked at, and one that is not there is none.
    bench.insert(7, orphan(7));
    assert!(wait(&mut bench, 6, &[7, 8]) && bench.place(7) == Some(7));
    bench.insert(9, orphan(9));
    bench.disk(9).held = true;
    assert!(!wait(&mut bench, 7, &[9]));
    bench.release(9);
    assert!(bench.settled.contains(&7) && !bench.settled.contains(&4));
    // One who has left waits for nothing; the disk that hangs is answered for when it is given up.
    assert!(!wait(&mut bench, 8, &[0]));
    bench.send(Event::Unsettle(8));
    bench.at(11_000);
    assert!(bench.settled.contains(&4) && bench.settled.contains(&5) && !bench.settled.contains(&8));
}

/// A thousand of them cost what one costs, a thousand times.
#[test]
fn a_thousand_wait_for_a_device_each() {
    let images = (0..250).map(orphan_of).collect::<Vec<_>>();
    let mut bench = Bench::unstarted(&images);
    for (id, minor) in (0..1000).zip((0..250).cycle()) {
        bench.watcher.handle(Duration::ZERO, Event::Await { id, devnos: vec![devno(minor)] });
    }
    for _ in 0..20 {
        bench.run_some(1000);
    }
    bench.settled.sort_unstable();
    assert_eq!(bench.settled, (0..1000).collect::<Vec<_>>());
}
