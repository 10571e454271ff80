use super::*;
use crate::watcher::Event;
use crate::watcher::tests::{Bench, devno, member, orphan};

const MS: Duration = Duration::from_millis(1);

/// When a device is read to which something happens in each millisecond from the first of these on.
fn reads_of(from: u32, until: u32, awaited: bool) -> Vec<u32> {
    let mut paces = Paces::default();
    (from..until)
        .filter(|ms| {
            let now = MS * *ms;
            paces.changed(now, devno(0));
            let is_read = paces.pace(now, devno(0), awaited) == Pace::Now;
            if is_read {
                paces.read(now, devno(0));
            }
            is_read
        })
        .collect()
}

#[test]
fn the_first_reads_come_at_once_and_the_pause_grows() {
    let reads = reads_of(0, 20_000, false);
    // While it is read a hundred times, it earns one more.
    assert_eq!(reads[..100], (0..100).collect::<Vec<_>>());
    let pauses = reads[100..].windows(2).map(|pair| pair[1] - pair[0]).collect::<Vec<_>>();
    assert_eq!(pauses[..5], [101, 200, 400, 800, 1600], "the first from where it began to flap");
    assert!(pauses[5..].iter().all(|pause| *pause == 2000), "{pauses:?}");
}

#[test]
fn one_that_somebody_waits_for_is_read_ten_times_a_second() {
    let reads = reads_of(0, 20_000, true);
    let pauses = reads[101..].windows(2).map(|pair| pair[1] - pair[0]).collect::<Vec<_>>();
    assert!(pauses.len() > 190 && pauses.iter().all(|pause| *pause == 100), "{pauses:?}");
}

#[test]
fn ten_changes_a_second_are_no_flapping() {
    let mut paces = Paces::default();
    for change in 0..10_000_u32 {
        let now = 100 * MS * change;
        assert_eq!(paces.pace(now, devno(0), false), Pace::Now, "{now:?}");
        paces.read(now, devno(0));
    }
    assert_eq!(paces.get(devno(0)), None);
}

#[test]
fn one_that_is_left_alone_is_calm_and_has_earned_its_reads() {
    let mut paces = Paces::default();
    let mut now = Duration::ZERO;
    while paces.pace(now, devno(0), false) == Pace::Now {
        paces.read(now, devno(0));
    }
    for _ in 0..50 {
        now += 100 * MS;
        paces.changed(now, devno(0));
    }
    assert_eq!(paces.poll_timeout(), Some(now + CALM_AFTER));
    assert_eq!(paces.calm(now + CALM_AFTER - MS), []);
    let calm = paces.calm(now + CALM_AFTER);
    assert_eq!(calm.iter().map(|(devno, flapping)| (*devno, flapping.changes)).collect::<Vec<_>>(), [(devno(0), 51)]);
    now += CALM_AFTER;
    for read in 0..AT_ONCE {
        assert_eq!(paces.pace(now, devno(0), false), Pace::Now, "{read}");
        paces.read(now, devno(0));
    }
}

#[test]
fn devices_that_come_once_are_forgotten() {
    let mut paces = Paces::default();
    for minor in 0..100_000 {
        paces.read(100 * MS * minor, devno(minor));
    }
    assert!(paces.earned_at.len() < 1000);
}

/// Two disks of one VG, of which the first has just begun to flap.
fn flapping_bench() -> Bench {
    let mut bench = Bench::new(&[member(0, 1, &[0, 1]), member(1, 1, &[0, 1])]);
    while bench.watcher.flapping(devno(0)).is_none() {
        bench.touch(0, Cause::Uevent("change"));
    }
    assert!(bench.opens[&0] >= AT_ONCE && bench.opens[&1] == 1);
    bench
}

#[test]
fn a_paced_device_is_read_when_its_time_has_come() {
    let mut bench = flapping_bench();
    bench.disk(0).image = orphan(0);
    let reads = bench.opens[&0];
    bench.at(99);
    assert_eq!((bench.opens[&0], bench.place(0)), (reads, Some(0)));
    assert!(bench.watcher.cache().vg(&crate::watcher::tests::vgid().hyphenated()).is_some());
    bench.at(101);
    assert_eq!(bench.opens[&0], reads + 1);
    assert_eq!(bench.watcher.flapping(devno(0)).unwrap().reads, 1);
    // It is said once that it begins, and once that it ends.
    bench.at(30_000);
    assert_eq!(bench.watcher.flapping(devno(0)), None);
    let said = |words: &str| bench.reports.iter().filter(|report| report.contains(words)).count();
    assert_eq!((said("again and again"), said("calm again")), (1, 1), "{:?}", bench.reports);
}

#[test]
fn one_that_has_gone_is_gone_at_once() {
    let mut bench = flapping_bench();
    bench.remove(0);
    assert_eq!((bench.place(0), bench.place(1)), (None, Some(1)));
    // What comes in its place is not known until it is read, and that is paced, too.
    bench.insert(0, orphan(5));
    bench.touch(0, Cause::Uevent("add"));
    assert_eq!(bench.place(5), None);
    bench.at(2001);
    assert_eq!(bench.place(5), Some(0));
}

#[test]
fn a_device_with_another_disk_shows_nothing_of_the_old_one() {
    let mut bench = flapping_bench();
    bench.insert(0, orphan(5));
    bench.touch(0, Cause::Uevent("change"));
    assert_eq!((bench.place(0), bench.place(5)), (None, None));
    bench.at(2001);
    assert_eq!(bench.place(5), Some(0));
}

#[test]
fn whoever_waits_waits_for_the_read_and_has_it_soon() {
    for waits_for_all in [true, false] {
        let mut bench = flapping_bench();
        for ms in 0..5000 {
            bench.at(ms);
            bench.touch(0, Cause::Uevent("change"));
        }
        bench.disk(0).image = orphan(0);
        bench.touch(0, Cause::Uevent("change"));
        let reads = bench.opens[&0];
        bench.send(if waits_for_all { Event::Settle(1) } else { Event::Await { id: 1, devnos: vec![devno(0)] } });
        let answered = bench.settled.clone();
        // The last read may be a tenth of a second ago, or not; the pause is two seconds by now.
        assert_eq!(answered.is_empty(), bench.opens[&0] == reads, "not before it is read");
        bench.at(5100);
        assert_eq!((bench.opens[&0], &bench.settled[..]), (reads + 1, &[1][..]));
    }
}

#[test]
fn a_quiet_device_does_not_wait_for_one_that_flaps() {
    let mut bench = flapping_bench();
    for _ in 0..1000 {
        bench.touch(0, Cause::Uevent("change"));
    }
    bench.write(1, orphan(1));
    assert_eq!(bench.opens[&1], 2);
    bench.send(Event::Await { id: 1, devnos: vec![devno(1)] });
    assert_eq!(bench.settled, [1]);
}

#[test]
fn lost_events_over_and_over_are_two_looks_a_second() {
    let mut bench = Bench::new(&[orphan(0)]);
    let resyncs = bench.watcher.counters().resyncs;
    bench.at(10_000);
    for ms in 10_000..20_000 {
        bench.at(ms);
        bench.send(Event::Lost("uevents"));
    }
    bench.insert(1, orphan(1));
    bench.send(Event::Lost("uevents"));
    bench.send(Event::Settle(1));
    assert!(bench.settled.is_empty());
    bench.at(20_500);
    assert_eq!((&bench.settled[..], bench.place(1)), (&[1][..], Some(1)));
    assert_eq!(bench.watcher.counters().resyncs - resyncs, 21);
}
