use super::super::tests::{Bench, SIZE, devno, member, on_array, pvid};
use super::*;
use crate::conf::Settings;
use crate::device::{Holder, Path, Stack};
use crate::ondisk::image::{PvSpec, pv_image};
use crate::pvscan::Found;
use crate::scan::{Code, ReadError};
use crate::watcher::Event;

const PARTITION: u32 = 1;

/// A PV on a partition of a disk with these bytes; the partition begins at this place.
fn partition(disk: Vec<u8>, start: u64) -> Bench {
    let mut bench = Bench::unstarted(&[disk, member(0, 1, &[0])]);
    make_partition(&mut bench, start);
    bench.run();
    bench
}

fn make_partition(bench: &mut Bench, start: u64) {
    let facts = &mut bench.disk(PARTITION).facts;
    facts.partition = true;
    *facts.stack = Stack { disk: Some(devno(0)), start, ..Stack::default() };
}

fn zeros() -> Vec<u8> {
    vec![0; SIZE.try_into().unwrap()]
}

#[test]
fn a_partition_of_a_disk_of_its_own_is_a_pv() {
    let bench = partition(zeros(), 1 << 20);
    assert_eq!(bench.place(0), Some(PARTITION));
    assert_eq!(bench.opens[&0], 2, "once for itself, and once for what holds its partition");
    // Of the partition two places at its end and its text, and of the disk four at its end.
    assert_eq!(bench.places, 2 + 1 + 4);
    assert_eq!(bench.reads, 2, "each at once");
    assert_eq!(Bench::new(&[zeros()]).reads, 0);
}

#[test]
fn a_partition_of_an_arrays_member_is_no_pv() {
    let bench = partition(on_array(&zeros()), u64::MAX / 2);
    assert_eq!(bench.place(0), None);
    let excluded = Found::Excluded("device is an md component".into());
    assert_eq!(bench.watcher.find(devno(PARTITION), false), excluded);
}

#[test]
fn a_superblock_in_a_partition_is_not_the_disks() {
    let bench = partition(on_array(&zeros()), SIZE - 4096 - 8192);
    assert_eq!(bench.place(0), Some(PARTITION));
}

/// Of an array that is larger than the disk, the kernel finds partitions that are longer than that.
#[test]
fn a_superblock_in_a_partition_that_is_cut_is_the_disks() {
    let pv = pv_image(&PvSpec { dev_size: Some(2 * SIZE), ..PvSpec::orphan(pvid(0)) });
    let mut bench = Bench::unstarted(&[on_array(&zeros()), pv]);
    make_partition(&mut bench, SIZE - 4096 - 8192);
    bench.run();
    assert_eq!(bench.place(0), None);
}

#[test]
fn what_is_less_than_a_label_is_less_than_one_in_a_partition() {
    let mut disk = zeros();
    disk[1024..1029].copy_from_slice(&[1, 0, 0, 0, 1]);
    disk[4086..4096].copy_from_slice(b"SWAPSPACE2");
    let bench = partition(disk, 1 << 20);
    assert!(bench.watcher.devices()[&devno(0)].seen.as_ref().unwrap().content.member().is_some());
    assert_eq!(bench.place(0), Some(PARTITION));
}

#[test]
fn a_partition_of_an_arrays_member_stays_none_when_the_end_of_the_disk_cannot_be_read() {
    let mut bench = Bench::unstarted(&[on_array(&zeros()), member(0, 1, &[0])]);
    make_partition(&mut bench, 0);
    bench.disk(PARTITION).facts.size = 3 << 20;
    bench.run();
    assert_eq!(bench.place(0), None);
    bench.disk(0).read_error = Some(5);
    bench.touch(PARTITION, Cause::Written);
    bench.at(1_000);
    let reason = Reason::Read(ReadError::Io(5));
    assert_eq!((bench.place(0), bench.reason(PARTITION), bench.reason(0)), (None, Some(reason), None));
    bench.disk(0).read_error = None;
    bench.at(60_000);
    assert_eq!((bench.place(0), bench.reason(PARTITION)), (None, None));
    // Of one that was never read in full it is told.
    let mut bench = Bench::unstarted(&[zeros(), member(0, 1, &[0])]);
    make_partition(&mut bench, 0);
    bench.disk(PARTITION).facts.size = 3 << 20;
    bench.disk(0).read_error = Some(5);
    bench.run();
    assert_eq!((bench.place(0), bench.opens[&0]), (Some(PARTITION), 2));
    let findings = &bench.watcher.devices()[&devno(PARTITION)].pv().unwrap().findings;
    assert!(findings.iter().any(|finding| finding.code == Code::EndUnread), "{findings:?}");
}

/// What the kernel says of the partition with the superblock could not be read at first.
#[test]
fn a_partition_that_is_known_late_has_those_beside_it_read_again() {
    let mut bench = partition(on_array(&zeros()), u64::MAX / 2);
    assert_eq!(bench.place(0), None);
    bench.insert(2, zeros());
    let facts = &mut bench.disk(2).facts;
    facts.partition = true;
    *facts.stack = Stack { disk: Some(devno(0)), start: SIZE - 4096 - 8192, ..Stack::default() };
    bench.send(Event::NoFacts { devno: devno(2), errno: 24 });
    assert_eq!(bench.place(0), None);
    bench.at(2_000);
    assert_eq!(bench.place(0), Some(PARTITION));
}

/// The superblock was in the partition, and is now the disk's.
#[test]
fn a_partition_that_goes_has_those_beside_it_read_again() {
    let with_superblock = |length: u64| {
        let mut bench = Bench::unstarted(&[on_array(&zeros()), member(0, 1, &[0]), zeros()]);
        make_partition(&mut bench, u64::MAX / 2);
        let facts = &mut bench.disk(2).facts;
        (facts.partition, facts.size) = (true, length);
        *facts.stack = Stack { disk: Some(devno(0)), start: SIZE - 4096 - 8192, ..Stack::default() };
        bench.run();
        assert_eq!(bench.place(0), Some(PARTITION));
        bench
    };
    let mut bench = with_superblock(8192);
    bench.remove(2);
    assert_eq!(bench.place(0), None);
    // The same of one that is made smaller.
    let mut bench = with_superblock(8192);
    bench.disk(2).facts.size = 512;
    bench.touch(2, Cause::Uevent("change"));
    assert_eq!(bench.place(0), None);
}

#[test]
fn a_disk_that_cannot_be_read_leaves_its_partition_a_pv() {
    let mut bench = partition(zeros(), 1 << 20);
    bench.disk(0).open_error = Some(5);
    bench.touch(PARTITION, Cause::Written);
    assert_eq!((bench.place(0), bench.reason(PARTITION)), (Some(PARTITION), None));
    assert_eq!(bench.watcher.devices()[&devno(PARTITION)].pv().unwrap().id, pvid(0));
}

#[test]
fn a_disk_that_can_be_read_again_tells_of_its_partitions() {
    let mut bench = Bench::unstarted(&[on_array(&zeros()), member(0, 1, &[0])]);
    make_partition(&mut bench, u64::MAX / 2);
    bench.disk(0).open_error = Some(5);
    bench.run();
    assert_eq!(bench.place(0), Some(PARTITION));
    bench.disk(0).open_error = None;
    bench.at(2_000);
    assert_eq!(bench.place(0), None);
}

/// The disk is not known to be in trouble until the read for its partition fails.
#[test]
fn a_disk_that_fails_under_its_partition_is_tried_again() {
    let mut bench = partition(on_array(&zeros()), u64::MAX / 2);
    bench.disk(0).open_error = Some(5);
    bench.remove(PARTITION);
    bench.insert(PARTITION, member(0, 1, &[0]));
    make_partition(&mut bench, u64::MAX / 2);
    bench.touch(PARTITION, Cause::Uevent("add"));
    assert_eq!((bench.place(0), bench.reason(0)), (Some(PARTITION), Some(Reason::Open(5))));
    bench.disk(0).open_error = None;
    bench.at(5_000);
    assert_eq!(bench.place(0), None);
}

#[test]
fn a_disk_whose_end_cannot_be_read_is_tried_again_for_its_partition() {
    let mut bench = Bench::unstarted(&[on_array(&zeros()), member(0, 1, &[0])]);
    make_partition(&mut bench, 1 << 20);
    bench.disk(PARTITION).facts.size = 2 << 20;
    bench.disk(0).read_error = Some(5);
    bench.run();
    assert_eq!(bench.place(0), Some(PARTITION));
    assert_eq!(bench.reason(PARTITION), Some(Reason::Read(crate::scan::ReadError::Io(5))));
    assert_eq!(bench.reason(0), None);
    bench.disk(0).read_error = None;
    bench.at(5_000);
    assert_eq!((bench.place(0), bench.reason(PARTITION)), (None, None));
}

fn path(wwid: &str) -> Option<Box<Path>> {
    Some(Box::new(Path { wwid: Some(wwid.into()), ..Path::default() }))
}

const MAP: u32 = 9;

fn map() -> Holder {
    Holder {
        name: "dm-0".into(),
        devno: devno(MAP),
        dm_uuid: Some("mpath-35000".into()),
        dm_name: Some("mpatha".into()),
    }
}

/// Two paths to a disk with a PV, where multipath is configured.
fn paths() -> Bench {
    let mut bench = Bench::unstarted(&[member(0, 1, &[0]), member(0, 1, &[0])]);
    for minor in [0, 1] {
        bench.disk(minor).facts.path = path("naa.5000");
    }
    let mut settings = Settings::default();
    settings.multipath.add_conf(b"");
    bench.watcher.reconfigure(settings, Duration::ZERO);
    bench
}

/// The map comes over both paths, as its events tell.
fn make_map(bench: &mut Bench) {
    for minor in [0, 1] {
        bench.disk(minor).facts.stack.holders = vec![map()];
    }
    bench.insert(MAP, member(0, 1, &[0]));
    let facts = &mut bench.disk(MAP).facts;
    facts.stack.slaves = vec![devno(0), devno(1)];
    facts.dm_uuid = map().dm_uuid;
    facts.dm_name = map().dm_name;
    bench.touch(MAP, Cause::Uevent("change"));
}

fn held_back(bench: &Bench, minor: u32) -> Option<String> {
    bench.watcher.devices()[&devno(minor)].held_back.as_ref().map(HeldBack::to_string)
}

#[test]
fn a_path_waits_for_its_map_unread() {
    let mut bench = paths();
    bench.run();
    bench.at(9_900);
    assert_eq!((bench.place(0), bench.opens.len()), (None, 0));
    assert_eq!(held_back(&bench, 0).as_deref(), Some("device may be a multipath component"));
    make_map(&mut bench);
    assert_eq!(bench.place(0), Some(MAP));
    bench.at(60_000);
    assert_eq!((bench.place(0), bench.opens.len()), (Some(MAP), 1), "paths have not been opened");
    assert_eq!(held_back(&bench, 1).as_deref(), Some("device is a multipath component"));
}

#[test]
fn a_map_is_found_by_looking_again_too() {
    let mut bench = paths();
    bench.run();
    bench.disk(0).facts.stack.holders = vec![map()];
    bench.at(200);
    assert_eq!(held_back(&bench, 0).as_deref(), Some("device is a multipath component"));
}

#[test]
fn the_wait_for_a_map_ends() {
    let mut bench = paths();
    bench.run();
    bench.at(10_000);
    assert!(bench.place(0).is_some() && held_back(&bench, 0).is_none());
    // And does not begin anew with every event.
    bench.touch(0, Cause::Uevent("change"));
    assert!(held_back(&bench, 0).is_none());
    assert_eq!(bench.opens[&0], 2);
    // Another disk may have a map.
    bench.insert(0, member(0, 1, &[0]));
    bench.disk(0).facts.path = path("naa.5000");
    bench.touch(0, Cause::Uevent("add"));
    assert!(held_back(&bench, 0).is_some());
}

#[test]
fn what_is_known_to_be_no_path_is_read_at_once() {
    let mut bench = paths();
    bench.watcher.know_no_path(devno(0));
    bench.run();
    assert_eq!(bench.place(0), Some(0));
    assert!(held_back(&bench, 1).is_some());
    bench.watcher.know_no_path(devno(1));
    bench.run();
    assert!(held_back(&bench, 1).is_none());
}

#[test]
fn a_pv_moves_to_the_map_and_back() {
    let mut bench = paths();
    bench.run();
    bench.at(10_000);
    let path = bench.place(0).unwrap();
    make_map(&mut bench);
    assert_eq!(bench.place(0), Some(MAP));
    let opens = bench.opens.clone();
    for minor in [0, 1] {
        bench.disk(minor).facts.stack.holders.clear();
    }
    bench.remove(MAP);
    assert_eq!(bench.place(0), Some(path));
    assert!(bench.opens[&path] > opens[&path], "it is read again");
}

#[test]
fn what_is_stacked_on_a_device_is_no_reason_to_read_it() {
    let mut bench = Bench::new(&[member(0, 1, &[0])]);
    let lv = Holder { dm_uuid: Some("LVM-".into()), ..map() };
    bench.disk(0).facts.stack.holders = vec![lv];
    bench.insert(MAP, vec![0; SIZE.try_into().unwrap()]);
    bench.disk(MAP).facts.stack.slaves = vec![devno(0)];
    bench.touch(MAP, Cause::Uevent("add"));
    assert_eq!(bench.watcher.devices()[&devno(0)].facts.stack.holders.len(), 1);
    bench.disk(0).facts.stack.holders.clear();
    bench.remove(MAP);
    assert!(bench.watcher.devices()[&devno(0)].facts.stack.holders.is_empty());
    assert_eq!(bench.opens[&0], 1);
}

#[test]
fn a_passive_path_is_not_read() {
    let passive = |bench: &mut Bench, passive: Option<&str>| {
        let path = Path { passive: passive.map(str::to_owned), ..Path::default() };
        bench.disk(0).facts.path = Some(Box::new(path));
    };
    let mut bench = Bench::unstarted(&[member(0, 1, &[0])]);
    passive(&mut bench, Some("standby"));
    bench.run();
    bench.at(50_000);
    assert_eq!((bench.place(0), bench.opens.len(), bench.reason(0)), (None, 0, None));
    assert_eq!(held_back(&bench, 0).as_deref(), Some("device is a path that is standby"));
    passive(&mut bench, None);
    bench.at(70_000);
    assert_eq!(bench.place(0), Some(0));
    // What is known of it stays.
    passive(&mut bench, Some("standby"));
    bench.touch(0, Cause::Uevent("change"));
    assert_eq!((bench.place(0), bench.reason(0), bench.opens[&0]), (Some(0), Some(Reason::Passive), 1));
    passive(&mut bench, None);
    bench.at(140_000);
    assert_eq!((bench.place(0), bench.reason(0), bench.opens[&0]), (Some(0), None, 2));
}

#[test]
fn what_was_written_to_a_device_that_goes_unread_is_looked_for_below_it() {
    let mut bench = Bench::unstarted(&[member(0, 1, &[0]), zeros()]);
    let copy = bench.disk(1);
    copy.open_error = Some(5);
    copy.facts.dm_uuid = Some("COPY-1".into());
    copy.facts.stack.slaves = vec![devno(0)];
    bench.run();
    bench.disk(0).image = zeros();
    bench.touch(1, Cause::Written);
    assert_eq!(bench.place(0), Some(0), "it cannot be read where it was written");
    // The word of a write may also come after that of the end.
    bench.remove(1);
    assert_eq!(bench.place(0), None);
}

/// multipathd has an event made of each path when it has made a map.
#[test]
fn a_partition_of_a_disk_that_learns_of_its_map_before_the_map_comes_is_no_pv() {
    let mut bench = partition(zeros(), 1 << 20);
    assert_eq!(bench.place(0), Some(PARTITION));
    let uuid = Some("mpath-x".to_owned());
    let map = Holder { name: "d2".into(), devno: devno(2), dm_uuid: uuid.clone(), dm_name: None };
    bench.disk(0).facts.stack.holders = vec![map.clone()];
    bench.disk(PARTITION).facts.stack.disk_holders = vec![map];
    bench.insert(2, zeros());
    let facts = &mut bench.disk(2).facts;
    (facts.dm_uuid, facts.stack.slaves) = (uuid, vec![devno(0)]);
    bench.touch(0, Cause::Uevent("change"));
    bench.touch(2, Cause::Uevent("add"));
    assert_eq!(bench.place(0), None);
}
