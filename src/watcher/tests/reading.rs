//! How much is read at a time.

use super::*;
use crate::ondisk::image::put_mda_header;
use crate::ondisk::mda::{MAX_TEXT, MdaHeader, RawLocation};
use crate::scan::{HEAD, WORK_MAX};

/// Of a text; two of them are more than is read at a time.
const LONG_TEXT: u64 = 33 << 20;
const LONG_DISK: u64 = 36 << 20;

/// A PV whose metadata is as long as it says, and nothing but zeros.
fn long(number: u8) -> Vec<u8> {
    long_at(number, 512)
}

/// The same, with its text there in the area.
fn long_at(number: u8, offset: u64) -> Vec<u8> {
    let size = usize::try_from(LONG_DISK).unwrap();
    let mda_size = LONG_DISK - (1 << 20);
    let mut image = pv_image(&PvSpec { size, mda_size, ..PvSpec::member(pvid(number), Vec::new()) });
    put_location(&mut image, mda_size, offset, LONG_TEXT);
    image
}

fn put_location(image: &mut [u8], mda_size: u64, offset: u64, size: u64) {
    let text = RawLocation { offset, size, checksum: 1, flags: 0 };
    let slots = [text, RawLocation::default(), RawLocation::default(), RawLocation::default()];
    put_mda_header(image, &MdaHeader { start: 4096, size: mda_size, slots });
}

fn bench(long_disks: u32) -> Bench {
    let mut bench = Bench::unstarted(&[]);
    for minor in 0..long_disks {
        bench.insert(minor, long(minor.try_into().unwrap()));
        bench.disk(minor).facts.size = LONG_DISK;
        bench.disk(minor).held_over = 1 << 20;
    }
    bench
}

/// The disks that long reads are under way of.
fn under_way(bench: &Bench) -> Vec<u32> {
    bench.asked.iter().map(|(_, devno, _)| devno.minor).collect()
}

#[test]
fn long_texts_wait_for_room_and_nobody_else_does() {
    let mut bench = bench(3);
    bench.insert(3, orphan(9));
    bench.run();
    assert_eq!((under_way(&bench), bench.place(9)), (vec![0], Some(3)));
    bench.release(0);
    assert_eq!(under_way(&bench), [1]);
    bench.release(1);
    bench.release(2);
    assert_eq!(bench.opened.len(), 0);
    let places = [0, 1, 2].map(|pv| bench.place(pv));
    assert_eq!(places, [Some(0), Some(1), Some(2)], "they are PVs, of which the metadata is damaged");
}

/// What it has read of its second area before is not in its way, nor in that of others.
#[test]
fn a_text_as_long_as_any_may_be_has_room() {
    let mda_size = 66 << 20;
    let size = usize::try_from(2 * mda_size + (2 << 20)).unwrap();
    let mut image = pv_image(&PvSpec { size, mda_size, mdas: 2, ..PvSpec::member(pvid(0), Vec::new()) });
    put_location(&mut image, mda_size, 1 << 20, MAX_TEXT);
    let mut bench = Bench::unstarted(&[]);
    bench.insert(0, image);
    bench.disk(0).facts.size = u64::try_from(size).unwrap();
    bench.disk(0).held_over = 1 << 20;
    bench.run();
    assert_eq!(under_way(&bench), [0]);
}

/// Else each would hold the beginning of its text while it waits for the rest.
#[test]
fn a_text_around_the_end_of_its_area_is_read_at_once() {
    let mut bench = Bench::unstarted(&[]);
    bench.insert(0, long_at(0, 4 << 20));
    bench.disk(0).facts.size = LONG_DISK;
    bench.disk(0).held_over = 1 << 20;
    bench.run();
    let [(_, _, Event::Data { pieces, .. })] = &bench.asked[..] else { panic!("one request") };
    let lengths = pieces.iter().map(|piece| piece.as_ref().unwrap().len()).collect::<Vec<_>>();
    assert_eq!(lengths, [31 << 20, 2 << 20]);
}

/// A text is gone over so many bytes at a time, and others have their turn in between.
#[test]
fn a_long_damaged_text_is_gone_over_in_parts() {
    let mut bench = bench(1);
    bench.disk(0).held_over = usize::MAX;
    bench.insert(1, orphan(9));
    bench.run_until_pause();
    assert_eq!(bench.watcher.jobs.values().map(|job| job.devno).collect::<Vec<_>>(), [devno(0)]);
    assert_eq!(bench.place(9), Some(1), "the other disk is served before the text is gone over");
    let deadline = u64::try_from(Settings::default().read_deadline.as_millis()).unwrap();
    // Its own time is not over, and what comes meanwhile is dealt with.
    bench.now = Duration::from_millis(deadline + 1);
    bench.watcher.handle_timeout(bench.now);
    bench.remove_only(1);
    bench.run_until_pause();
    assert_eq!((bench.place(9), bench.reason(0)), (None, None));
    bench.run();
    assert_eq!((bench.place(0), bench.reason(0)), (Some(0), None), "a PV, of which the metadata is damaged");
    // It was read twice, since it may have been caught half written, and at first its beginning was
    // in the head.
    let parts = usize::try_from(LONG_TEXT).unwrap().div_ceil(WORK_MAX);
    assert_eq!(bench.pauses, 1 + 2 * (parts + 1));
    let findings = bench.watcher.devices()[&devno(0)].seen.as_ref().unwrap().content.findings();
    assert!(findings.iter().any(|finding| finding.code == Code::TextCrc), "{findings:?}");
}

/// What it holds counts, so that there are never many of them.
#[test]
fn while_a_text_is_gone_over_no_other_long_one_is_read() {
    let mut bench = bench(2);
    bench.disk(0).held_over = usize::MAX;
    while bench.pauses < 3 {
        bench.run_until_pause();
        assert_eq!((under_way(&bench), bench.opened.len()), (vec![], 2));
    }
    bench.run();
    assert_eq!(under_way(&bench), [1]);
    bench.release(1);
    assert_eq!([0, 1].map(|pv| bench.place(pv)), [Some(0), Some(1)]);
}

#[test]
fn who_waits_for_room_is_not_late() {
    let mut bench = bench(3);
    bench.run();
    let deadline = u64::try_from(Settings::default().read_deadline.as_millis()).unwrap();
    bench.at(deadline - 1);
    assert_eq!(under_way(&bench), [0]);
    bench.at(deadline);
    let reasons = |bench: &Bench| [0, 1, 2].map(|minor| bench.reason(minor));
    assert_eq!((under_way(&bench), reasons(&bench)), (vec![1], [Some(Reason::DeadlinePassed), None, None]));
    bench.at(2 * deadline - 1);
    assert_eq!(reasons(&bench)[1..], [None, None]);
    bench.remove(1);
    bench.at(2 * deadline);
    assert_eq!((under_way(&bench), bench.reason(2)), (vec![2], None));
}

#[test]
fn as_many_devices_are_read_as_readers_take() {
    let mut bench = Bench::unstarted(&(0..30).map(orphan).collect::<Vec<_>>());
    (0..30).for_each(|minor| bench.disk(minor).held = true);
    bench.run();
    assert_eq!(bench.opened.len(), JOBS);
    bench.send(Event::Capacity(20));
    assert_eq!(bench.opened.len(), 20);
    // Those that are under way are not taken back.
    bench.send(Event::Capacity(3));
    assert_eq!(bench.opened.len(), 20);
    for minor in 0..18 {
        bench.release(minor);
    }
    assert_eq!(bench.opened.len(), 3);
    (0..30).for_each(|minor| bench.release(minor));
    assert_eq!((bench.opened.len(), bench.watcher.cache().pv_count()), (0, 30));
}

/// The ring is gone with all its jobs: each is read again, as many at a time as there are readers now.
#[test]
fn the_jobs_of_a_ring_that_is_lost_are_done_by_others() {
    let mut bench = Bench::unstarted(&(0..30).map(orphan).collect::<Vec<_>>());
    (0..30).for_each(|minor| bench.disk(minor).held = true);
    bench.send(Event::Capacity(256));
    let jobs = bench.opened.keys().copied().collect::<Vec<_>>();
    assert_eq!(jobs.len(), 30);
    bench.asked.clear();
    bench.watcher.handle(bench.now, Event::Capacity(4));
    jobs.iter().for_each(|job| bench.watcher.handle(bench.now, Event::ReaderLost(*job)));
    bench.run();
    assert_eq!((bench.opened.len(), bench.watcher.cache().pv_count()), (4, 0));
    (0..30).for_each(|minor| bench.release(minor));
    assert_eq!((bench.opened.len(), bench.watcher.cache().pv_count()), (0, 30));
    assert!((0..30).all(|minor| bench.reason(minor).is_none() && bench.opens[&minor] == 2));
}

/// Some places at the end cannot be read, or were not: each is asked for again before it is believed.
#[test]
fn what_was_read_ahead_counts_once_and_not_if_it_did_not_come() {
    let mut bench = Bench::new(&[member(0, 1, &[0])]);
    assert_eq!((bench.reads, bench.place(0)), (1, Some(0)));
    let places = bench.places;
    bench.disk(0).pieces_max = 1;
    bench.write(0, member(0, 2, &[0]));
    assert_eq!((bench.seqno(), bench.place(0)), (Some(2), Some(0)));
    assert_eq!(bench.reads, 1 + places, "one place after the other");
}

#[test]
fn what_was_read_ahead_and_is_damaged_is_read_again() {
    let mut image = on_array(&member(0, 1, &[0]));
    let magic = 0xa92b_4efc_u32.to_le_bytes();
    let place = image.windows(4).rposition(|bytes| bytes == magic).unwrap();
    assert!(place > HEAD);
    image[place + 100] ^= 1;
    let mut bench = Bench::new(&[image.clone()]);
    assert_eq!(bench.reads, 2);
    image[place + 100] ^= 1;
    bench.write(0, image);
    assert_eq!(bench.reads, 2 + 1);
}
