//! Devices that no real one here behaves like: their reader is given up and does not exit, or they are
//! not the disk that sysfs says.

use pvwatch::conf::Settings;
use pvwatch::device::Facts;
use pvwatch::devno::DevNo;
use pvwatch::watcher::{Cause, Effect, Event, JobId, Opened, Reason, Watcher};
use std::time::Duration;

const DISK: DevNo = DevNo::new(8, 0);

fn facts(diskseq: u64) -> Facts {
    Facts { name: "sda".into(), size: 1 << 30, diskseq: Some(diskseq), driver: Some("sd".into()), ..Facts::default() }
}

/// Runs until quiet, with this disk there; the jobs opened, and who has settled.
fn run(watcher: &mut Watcher, now: Duration, diskseq: u64) -> (Vec<JobId>, Vec<Vec<DevNo>>) {
    let (mut jobs, mut settled) = (Vec::new(), Vec::new());
    while let Some(effect) = watcher.poll_effect(now) {
        match effect {
            Effect::Enumerate => {
                watcher.handle(now, Event::Resync(vec![DISK]));
            }
            Effect::Examine(devno) => {
                let found = Some((facts(diskseq), vec!["/dev/sda".into()]));
                watcher.handle(now, Event::Facts { devno, found });
            }
            Effect::Open { job, .. } => jobs.push(job),
            Effect::Settled { quarantined, .. } => settled.push(quarantined),
            _ => {}
        }
    }
    (jobs, settled)
}

/// The job that hangs is given up; when.
fn hang(watcher: &mut Watcher) -> (JobId, Duration) {
    let (jobs, _) = run(watcher, Duration::ZERO, 1);
    let [job] = jobs[..] else { panic!("{jobs:?}") };
    let late = Duration::from_secs(10);
    watcher.handle_timeout(late);
    assert!(run(watcher, late, 1).0.is_empty());
    assert!(watcher.devices()[&DISK].quarantine.is_some());
    (job, late)
}

#[test]
fn a_replaced_disk_stays_quarantined_while_the_reader_hangs() {
    let mut watcher = Watcher::new(Settings::default(), 1, Duration::ZERO);
    let (job, now) = hang(&mut watcher);
    watcher.handle(now, Event::Touched { devno: DISK, cause: Cause::Uevent("change") });
    watcher.handle(now, Event::Settle(1));
    let (jobs, settled) = run(&mut watcher, now, 2);
    assert_eq!((jobs, settled), (vec![], vec![vec![DISK]]), "it was not read");
    watcher.handle(now, Event::ReaderReleased(job));
    assert_eq!(run(&mut watcher, now, 2).0.len(), 1);
}

#[test]
fn a_reader_that_could_be_killed_does_not_shorten_the_wait() {
    let mut watcher = Watcher::new(Settings::default(), 1, Duration::ZERO);
    let (job, now) = hang(&mut watcher);
    let retry_at = watcher.devices()[&DISK].retry_at().unwrap();
    watcher.handle(now, Event::ReaderReleased(job));
    assert!(run(&mut watcher, now, 1).0.is_empty());
    watcher.handle_timeout(retry_at);
    assert_eq!(run(&mut watcher, retry_at, 1).0.len(), 1);
}

/// Nobody will say so again: all its events have been seen.
#[test]
fn a_disk_that_was_exchanged_once_more_is_read_at_once() {
    let mut watcher = Watcher::new(Settings::default(), 1, Duration::ZERO);
    for (sysfs, reader) in [(1, 2), (4, 4)] {
        let jobs = run(&mut watcher, Duration::ZERO, sysfs).0;
        let opened = Opened { size: 1 << 30, diskseq: Some(reader), head: vec![0; 8 << 10] };
        watcher.handle(Duration::ZERO, Event::Opened { job: jobs[0], result: Ok(opened) });
    }
    assert!(watcher.devices()[&DISK].quarantine.is_none());
}

#[test]
fn a_device_that_is_never_the_disk_it_should_be_is_left_alone_for_a_while() {
    let mut watcher = Watcher::new(Settings::default(), 1, Duration::ZERO);
    let mut opened = 0;
    for now in [0, 1, 3].map(Duration::from_secs) {
        watcher.handle_timeout(now);
        while let [job] = run(&mut watcher, now, 1).0[..] {
            opened += 1;
            assert!(opened < 10, "without end");
            let another = Opened { size: 1 << 30, diskseq: Some(9), head: vec![0; 8 << 10] };
            watcher.handle(now, Event::Opened { job, result: Ok(another) });
        }
    }
    assert_eq!(
        (opened, watcher.devices()[&DISK].quarantine.as_ref().map(|q| q.reason)),
        (3, Some(Reason::Incarnation))
    );
}
