//! Several devices with one PV.

use super::*;
use crate::device::{Holder, Path, Use};
use crate::filter::Patterns;
use crate::pvscan::Found;

impl Bench {
    /// Why the PV is not on this device.
    fn because(&self, minor: u32) -> Option<Because> {
        self.watcher.duplicate_of(devno(minor)).map(|(_, other)| other.because)
    }

    fn differs(&self) -> Option<String> {
        self.watcher.ambiguous().next().map(|(_, ambiguity)| ambiguity.differs.clone())
    }

    fn found(&self, minor: u32) -> Found {
        self.watcher.find(devno(minor), false)
    }

    /// Each on a disk of its own, or two on one.
    fn paths(images: &[Vec<u8>], wwids: &[&str]) -> Bench {
        let mut bench = Bench::unstarted(images);
        for (minor, wwid) in (0..).zip(wwids) {
            let path = Path { wwid: Some((*wwid).into()), ..Path::default() };
            bench.disk(minor).facts.path = Some(Box::new(path));
        }
        bench.run();
        bench
    }

    fn has_report(&self, text: &str) -> bool {
        self.reports.iter().any(|report| report.contains(text))
    }
}

fn lv() -> Holder {
    Holder { name: "dm-9".into(), devno: DevNo::new(253, 9), dm_uuid: Some("LVM-x".into()), dm_name: None }
}

/// Of two that are the same the second is better: it is there at once, and nobody misses the PV.
#[test]
fn what_makes_a_device_the_better_one() {
    type Better = fn(&mut Bench, &mut Settings);
    let table: [(Because, Better); 8] = [
        (Because::Shown, |_, settings| {
            settings.filter.local = Some(Patterns::compile([&b"r|/dev/d0$|"[..]].into_iter()).unwrap());
        }),
        (Because::DevicesFile, |bench, settings| {
            let pvid = pvid(0).to_string().replace('-', "");
            let file = format!("IDTYPE=devname IDNAME=/dev/d0 PVID={pvid}\nIDTYPE=mpath_uuid IDNAME=mpath-x");
            settings.filter.devices_file = Some(DevicesFile::parse(file.as_bytes()));
            bench.disk(1).facts.dm_uuid = Some("mpath-x".into());
        }),
        (Because::ActiveLv, |bench, _| bench.disk(1).facts.stack.holders = vec![lv()]),
        (Because::Size, |bench, _| bench.disk(0).facts.size = 2 * SIZE),
        (Because::Name, |bench, _| bench.disk(1).facts.name = "pv0".into()),
        (Because::Mounted, |bench, _| {
            bench.usage.by.insert(devno(1), vec![Use::Mounted("/mnt".into())]);
        }),
        (Because::DeviceMapper, |bench, _| bench.disk(1).facts.dm_uuid = Some("CRYPT-x".into())),
        (Because::Stacked, |bench, _| bench.disk(1).facts.stack.slaves = vec![devno(7)]),
    ];
    for (because, better) in table {
        let mut bench = Bench::new(&[member(0, 1, &[0]), member(0, 1, &[0])]);
        assert_eq!((bench.place(0), bench.because(1)), (Some(0), Some(Because::FirstSeen)), "{because}");
        bench.kept = Some(0);
        let mut settings = Settings::default();
        better(&mut bench, &mut settings);
        bench.watcher.reconfigure(settings, bench.now);
        bench.run();
        assert_eq!((bench.place(0), bench.because(0)), (Some(1), Some(because)));
        assert!(bench.has_report(&format!("/dev/d0 {}: duplicate, the PV is on /dev/", pvid(0))), "{because}");
    }
}

#[test]
fn of_equals_the_one_that_was_there_stays() {
    let mut bench = Bench::new(&[vec![0; 256 << 10], member(0, 1, &[0])]);
    bench.at(1_000);
    bench.write(0, member(0, 1, &[0]));
    assert_eq!((bench.place(0), bench.because(0)), (Some(1), Some(Because::Current)), "it was a PV before");
    bench.insert(2, member(0, 1, &[0]));
    bench.touch(2, Cause::Uevent("add"));
    assert_eq!((bench.place(0), bench.because(2)), (Some(1), Some(Because::FirstSeen)));
    // At the start it does not matter which is read first.
    let mut bench = Bench::unstarted(&[orphan(0), orphan(0)]);
    bench.disk(0).held = true;
    bench.run();
    assert_eq!(bench.place(0), Some(1));
    bench.release(0);
    assert_eq!((bench.place(0), bench.ready_at), (Some(0), Some(Duration::ZERO)));
}

#[test]
fn copies_that_differ_are_used_on_no_device() {
    let mut bench = Bench::new(&[member(0, 4, &[0, 1]), member(1, 4, &[0, 1]), member(0, 4, &[0, 1])]);
    bench.watcher.set_publish(Publish::Everything);
    bench.run();
    assert_eq!(bench.place(0), Some(0));
    bench.published.clear();
    bench.write(2, member(0, 5, &[0, 1]));
    assert_eq!((bench.place(0), bench.place(1), bench.seqno()), (None, Some(1), Some(4)));
    assert_eq!(bench.differs().as_deref(), Some("seqno 4 on /dev/d0, seqno 5 on /dev/d2"));
    assert!(bench.has_report("/dev/d0 and /dev/d2"), "{:?}", bench.reports);
    let vg = b"vg".to_vec();
    assert!(bench.published.contains(&Change::PvGone(pvid(0))), "{:?}", bench.published);
    assert!(bench.published.contains(&Change::VgOffline(vg)), "{:?}", bench.published);
    for minor in [0, 2] {
        let Found::Ambiguous(reason) = bench.found(minor) else { panic!("{:?}", bench.found(minor)) };
        assert!(reason.ends_with("is on /dev/d0 and /dev/d2, which differ: seqno 4 on /dev/d0, seqno 5 on /dev/d2"));
        assert_eq!(bench.watcher.duplicate_of(devno(minor)), None);
    }
    assert!(bench.request("request=\"vg_lookup\"\nname=\"vg\"\n").contains("MISSING"));
    assert!(!bench.watcher.cache().flags().disabled);
    // Whatever a client says.
    let push = format!("request=\"pv_found\"\npvmeta {{\nid=\"{}\"\ndevice={}\n}}", pvid(0), devno(2).to_dev_t());
    bench.request(&push);
    bench.request(&push.replace(&devno(2).to_dev_t().to_string(), &devno(9).to_dev_t().to_string()));
    assert_eq!(bench.place(0), None);
    // Nobody is outdated on the word of one of them.
    bench.at(60_000);
    assert_eq!(bench.outdated(), 0);
    // One that is in use is the right one.
    bench.disk(0).facts.stack.holders = vec![lv()];
    bench.touch(0, Cause::Uevent("change"));
    assert_eq!((bench.place(0), bench.because(2), bench.seqno()), (Some(0), Some(Because::ActiveLv), Some(4)));
    bench.disk(0).facts.stack.holders.clear();
    bench.touch(0, Cause::Uevent("change"));
    assert_eq!(bench.place(0), None);
    // And so is the only one.
    bench.remove(0);
    assert_eq!((bench.place(0), bench.seqno(), bench.differs()), (Some(2), Some(5), None));
    bench.watcher.handle_timeout(bench.now);
    bench.run();
    assert_eq!(bench.outdated(), 0, "it may have been the right one that went");
}

#[test]
fn nobody_is_outdated_on_the_word_of_a_clone_that_is_left_alone() {
    let scene = || Bench::new(&[member(0, 4, &[0, 1]), member(1, 4, &[0, 1]), member(0, 9, &[0])]);
    let outdated = |bench: &mut Bench| {
        bench.at(60_000);
        (bench.place(0), bench.outdated())
    };
    let mut bench = scene();
    bench.remove(0);
    assert_eq!(outdated(&mut bench), (Some(2), 0));
    // Nor is the clone, if it has the older metadata.
    let mut bench = Bench::new(&[member(0, 4, &[0, 1]), member(1, 4, &[0, 1]), member(0, 3, &[0, 1])]);
    bench.remove(0);
    assert_eq!(outdated(&mut bench), (Some(2), 0));
    // When all are gone the doubt is, too.
    bench.remove(2);
    bench.insert(2, member(0, 3, &[0, 1]));
    bench.touch(2, Cause::Uevent("add"));
    bench.at(120_000);
    assert_eq!((bench.place(0), bench.outdated()), (Some(2), 1));
    // Who filters one, or gives it an id of its own, has decided.
    let mut bench = scene();
    let mut settings = Settings::default();
    settings.filter.global = Some(Patterns::compile([&b"r|/dev/d0$|"[..]].into_iter()).unwrap());
    bench.watcher.reconfigure(settings, bench.now);
    bench.run();
    assert_eq!(outdated(&mut bench), (Some(2), 1));
    let mut bench = scene();
    bench.write(0, member(3, 1, &[3]));
    assert_eq!(bench.place(0), Some(2));
}

#[test]
fn what_makes_copies_different() {
    let other_vg = member_of(Id([b'w'; 32]), 0, 1, &[0]);
    let larger = pv_image(&PvSpec { dev_size: Some(SIZE / 2), ..PvSpec::orphan(pvid(0)) });
    for (one, other, differs) in [
        (member(0, 1, &[0]), member(0, 1, &[0]), None),
        (member(0, 1, &[0]), member(0, 1, &[0, 1]), Some("metadata that is not the same, both of seqno 1")),
        (member(0, 2, &[0]), member(0, 1, &[0]), Some("seqno 2 on /dev/d0, seqno 1 on /dev/d1")),
        (member(0, 1, &[0]), orphan(0), Some("seqno 1 of VG vg on /dev/d0, no metadata on /dev/d1")),
        (member(0, 1, &[0]), other_vg, Some("VG vg (")),
        (
            orphan(0),
            pv_image(&PvSpec { dev_size: Some(SIZE), in_use: true, ..PvSpec::orphan(pvid(0)) }),
            Some("the PV header"),
        ),
    ] {
        let bench = Bench::new(&[one, other]);
        let shown = bench.differs().map(|shown| shown.starts_with(differs.unwrap_or("nothing")));
        assert_eq!((shown, bench.place(0).is_some()), (differs.map(|_| true), differs.is_none()), "{differs:?}");
    }
    // One that has not the size that it says is not the right one.
    let bench = Bench::new(&[larger, orphan(0)]);
    assert_eq!((bench.place(0), bench.because(0)), (Some(1), Some(Because::Size)));
}

#[test]
fn what_was_reported_on_the_word_of_a_copy_is_taken_back() {
    let mut bench = Bench::new(&[member(0, 1, &[0, 1]), member(1, 2, &[1])]);
    bench.at(2_000);
    assert_eq!(bench.outdated(), 1);
    bench.insert(2, member(1, 1, &[0, 1]));
    bench.touch(2, Cause::Uevent("add"));
    assert_eq!((bench.place(1), bench.outdated(), bench.seqno()), (None, 0, Some(1)));
    bench.at(60_000);
    assert_eq!(bench.outdated(), 0);
    bench.write(2, vec![0; 256 << 10]);
    bench.at(120_000);
    assert_eq!((bench.place(1), bench.outdated()), (Some(1), 1));
    // Nor does one that was not chosen make anybody outdated, or is so itself.
    let mut bench = Bench::new(&[member(0, 2, &[0, 1]), member(1, 2, &[0, 1]), member(1, 2, &[0, 1])]);
    bench.disk(1).facts.stack.holders = vec![lv()];
    bench.touch(1, Cause::Uevent("change"));
    for seqno in [1, 3] {
        bench.write(2, member(1, seqno, &[0, 1]));
        bench.at(100_000 * seqno.unsigned_abs());
        assert_eq!((bench.place(1), bench.seqno(), bench.outdated()), (Some(1), Some(2), 0));
    }
}

/// The choice is to be made again when the VG changes, and stays.
#[test]
fn one_of_several_copies_is_outdated_as_any_other_pv_is() {
    let mut bench = Bench::unstarted(&[orphan(0), member(0, 1, &[0, 1]), member(1, 1, &[0, 1])]);
    bench.disk(1).facts.dm_uuid = Some("COPY-x".into());
    bench.run();
    bench.at(10_000);
    assert_eq!((bench.place(0), bench.because(0)), (Some(1), Some(Because::DeviceMapper)));
    bench.write(2, member(1, 2, &[1]));
    assert_eq!((bench.place(0), bench.seqno(), bench.outdated()), (Some(1), Some(2), 0));
    bench.at(20_000);
    assert_eq!(bench.outdated(), 1);
}

#[test]
fn an_lv_of_which_nothing_was_ever_known_decides_no_more_when_it_is_gone() {
    let mut bench = Bench::unstarted(&[orphan(0), orphan(0)]);
    bench.disk(0).facts.stack.holders = vec![lv()];
    bench.disk(1).facts.dm_uuid = Some("COPY-x".into());
    bench.run();
    assert_eq!((bench.place(0), bench.because(1)), (Some(0), Some(Because::ActiveLv)));
    bench.send(Event::NoFacts { devno: lv().devno, errno: EIO });
    bench.disk(0).facts.stack.holders.clear();
    // The kernel says nothing of the device that it lay on.
    bench.send(Event::Facts { devno: lv().devno, found: None });
    assert_eq!((bench.place(0), bench.because(0)), (Some(1), Some(Because::DeviceMapper)));
}

#[test]
fn paths_to_one_disk_are_no_duplicates() {
    let image = |seqno| member(0, seqno, &[0]);
    let mut bench = Bench::paths(&[image(1), image(1), image(1)], &["naa.1", "naa.1", "naa.2"]);
    let is_path = |bench: &Bench, minor| bench.watcher.duplicate_of(devno(minor)).map(|(_, other)| other.is_path);
    assert_eq!((bench.place(0), is_path(&bench, 1), is_path(&bench, 2)), (Some(0), Some(true), Some(false)));
    assert_eq!(bench.found(1), Found::OtherPath("/dev/d0".into()));
    let Found::Pv(copy) = bench.found(2) else { panic!("{:?}", bench.found(2)) };
    assert_eq!(copy.duplicate_of, Some((devno(0), "/dev/d0".into())));
    bench.remove(2);
    // A command writes by the path that is not used: the other is read again, and who waits for the
    // one waits for that.
    bench.kept = Some(0);
    bench.disk(0).image = image(2);
    bench.disk(0).held = true;
    bench.write(1, image(2));
    bench.send(Event::Settle(1));
    bench.send(Event::Await { id: 2, devnos: vec![devno(1)] });
    assert_eq!((bench.place(0), bench.seqno(), bench.settled.len()), (Some(0), Some(1), 0));
    bench.release(0);
    assert_eq!((bench.place(0), bench.seqno(), bench.settled.len()), (Some(0), Some(2), 2));
    assert_eq!(bench.differs(), None);
    // By the one that is used, too.
    bench.disk(1).image = image(3);
    let opens = bench.opens[&1];
    bench.write(0, image(3));
    assert_eq!((bench.seqno(), bench.opens[&1]), (Some(3), opens + 1));
    // Partitions of one number are, others are not.
    let mut bench = Bench::paths(&[orphan(0), orphan(0), orphan(0)], &["naa.1", "naa.1", "naa.1"]);
    for (minor, name) in [(0, "sda1"), (1, "sdb1"), (2, "sdc2")] {
        bench.disk(minor).facts.name = name.into();
        bench.disk(minor).facts.partition = true;
        bench.touch(minor, Cause::Uevent("change"));
    }
    assert_eq!((is_path(&bench, 1), is_path(&bench, 2)), (Some(true), Some(false)));
}

#[test]
fn of_three_copies_the_next_takes_over_once_it_is_read_again() {
    let mut bench = Bench::new(&[orphan(0), orphan(0), orphan(0)]);
    bench.disk(1).held = true;
    bench.disk(2).held = true;
    bench.remove(0);
    bench.send(Event::Settle(1));
    bench.send(Event::Await { id: 2, devnos: vec![devno(2)] });
    bench.release(2);
    assert_eq!((bench.place(0), bench.settled.len()), (None, 0), "the better one is still being read");
    bench.release(1);
    assert_eq!((bench.place(0), bench.settled.len(), bench.because(2)), (Some(1), 2, Some(Because::FirstSeen)));
    // One that hangs is not waited for longer than its deadline.
    bench.at(1_000);
    bench.insert(0, orphan(0));
    bench.touch(0, Cause::Uevent("add"));
    bench.disk(2).held = true;
    bench.remove(1);
    bench.send(Event::Settle(3));
    assert_eq!((bench.place(0), bench.settled.contains(&3)), (None, false));
    bench.at(11_000);
    assert_eq!((bench.place(0), bench.because(2)), (Some(0), Some(Because::Readable)));
    assert!(bench.settled.contains(&3));
    // One that was not read again does not become the PV's device.
    bench.remove(0);
    assert_eq!(bench.place(0), None);
    bench.disk(2).held = false;
    let job = bench.abandoned[0];
    bench.send(Event::ReaderReleased(job));
    bench.at(20_000);
    assert_eq!(bench.place(0), Some(2));
}

#[test]
fn a_copy_that_has_become_something_else_does_not_take_over() {
    let mut bench = Bench::new(&[orphan(0), orphan(0), orphan(0)]);
    bench.disk(1).image = orphan(1);
    bench.remove(0);
    assert_eq!((bench.place(0), bench.place(1)), (Some(2), Some(1)));
    bench.write(2, on_array(&orphan(0)));
    assert_eq!(bench.place(0), None);
}

#[test]
fn a_device_that_cannot_be_read_gives_way_to_the_same_content_only() {
    let fail = |bench: &mut Bench, minor| {
        bench.disk(minor).open_error = Some(EIO);
        bench.touch(minor, Cause::Written);
    };
    let mut bench = Bench::new(&[orphan(0), orphan(0)]);
    bench.kept = Some(0);
    fail(&mut bench, 0);
    assert_eq!((bench.place(0), bench.because(0)), (Some(1), Some(Because::Readable)));
    fail(&mut bench, 1);
    assert_eq!(bench.place(0), Some(1), "one is as bad as the other");
    bench.kept = None;
    bench.disk(1).open_error = None;
    bench.write(1, member(0, 1, &[0]));
    assert_eq!((bench.place(0), bench.differs().is_some()), (None, true));
    // Being suspended is no fault.
    let mut bench = Bench::new(&[orphan(0), orphan(0)]);
    bench.disk(0).facts.dm_suspended = true;
    bench.touch(0, Cause::Uevent("change"));
    assert_eq!(bench.place(0), Some(0));
}

#[test]
fn a_commit_to_a_copied_disk_makes_the_choice_ambiguous_unless_it_is_in_use() {
    let commit = |bench: &mut Bench| {
        bench.disk(0).image = member(0, 2, &[0]);
        let text = String::from_utf8(vg_text("vg", vgid(), 2, &[(pvid(0), SIZE)])).unwrap();
        let body = &text[text.find('{').unwrap()..text.find("\n# Generated").unwrap()];
        bench.request(&format!("request=\"vg_update\"\nvgname=\"vg\"\nmetadata {body}"));
    };
    for in_use in [false, true] {
        let mut bench = Bench::new(&[member(0, 1, &[0]), member(0, 1, &[0])]);
        bench.disk(0).facts.stack.holders = if in_use { vec![lv()] } else { Vec::new() };
        bench.touch(0, Cause::Uevent("change"));
        commit(&mut bench);
        assert_eq!((bench.place(0), bench.seqno()), (in_use.then_some(0), Some(2)));
        assert_eq!(bench.differs().is_some(), !in_use);
    }
}

#[test]
fn a_client_is_told_of_a_duplicate_and_the_cache_stays_enabled() {
    let mut bench = Bench::new(&[orphan(0), orphan(1)]);
    let push = format!("request=\"pv_found\"\npvmeta {{\nid=\"{}\"\ndevice={}\n}}", pvid(0), devno(1).to_dev_t());
    assert!(bench.request(&push).contains("Ignore duplicate PV"));
    assert!(!bench.watcher.cache().flags().disabled);
    assert_eq!((bench.place(0), bench.place(1)), (Some(0), Some(1)), "and the disks are looked at");
    // It may put a PV where we would not: until then it was where we read it.
    let mut bench = Bench::new(&[orphan(0), orphan(0)]);
    bench.disk(0).held = true;
    bench.request(&format!("request=\"pv_gone\"\nuuid=\"{}\"", pvid(0)));
    assert_eq!(bench.request(&push).matches("OK").count(), 1);
    assert_eq!(bench.place(0), Some(0));
}

/// A snapshot was written to: its metadata name it, and those of its origin the origin.
#[test]
fn of_two_that_name_themselves_a_dm_device_is_no_better() {
    let named = |name: &str, seqno: i64| {
        let text = vg_text("vg", vgid(), seqno, &[(pvid(0), SIZE)]);
        let text = String::from_utf8(text).unwrap().replace("/dev/pv0", name);
        pv_image(&PvSpec { dev_size: Some(SIZE), ..PvSpec::member(pvid(0), text.into_bytes()) })
    };
    let mut bench = Bench::unstarted(&[named("/dev/d0", 1), named("/dev/d0", 1)]);
    bench.disk(1).facts.dm_uuid = Some("SNAP-x".into());
    bench.run();
    assert_eq!((bench.place(0), bench.because(1)), (Some(0), Some(Because::Name)));
    bench.write(1, named("/dev/d1", 2));
    assert_eq!((bench.place(0), bench.differs().as_deref()), (None, Some("seqno 1 on /dev/d0, seqno 2 on /dev/d1")));
    // That LVs are active on one of them proves something.
    bench.disk(0).facts.stack.holders = vec![lv()];
    bench.touch(0, Cause::Uevent("change"));
    assert_eq!((bench.place(0), bench.because(1)), (Some(0), Some(Because::ActiveLv)));
}

#[test]
fn one_that_can_be_read_is_better_than_a_better_one_that_cannot_if_they_are_the_same() {
    let mut bench = Bench::unstarted(&[member(0, 1, &[0]), member(0, 1, &[0])]);
    bench.disk(1).facts.dm_uuid = Some("x".into());
    bench.run();
    assert_eq!((bench.place(0), bench.because(0)), (Some(1), Some(Because::DeviceMapper)));
    bench.disk(1).open_error = Some(EIO);
    bench.touch(1, Cause::Uevent("change"));
    assert_eq!((bench.place(0), bench.because(1)), (Some(0), Some(Because::Readable)));
    bench.write(0, member(0, 2, &[0]));
    assert_eq!((bench.place(0), bench.seqno()), (Some(0), Some(2)));
    bench.disk(1).open_error = None;
    bench.disk(1).image = member(0, 2, &[0]);
    bench.touch(1, Cause::Uevent("change"));
    assert_eq!((bench.place(0), bench.seqno()), (Some(1), Some(2)));
}

#[test]
fn a_copy_that_may_be_wrong_says_nothing_of_its_vg_if_another_pv_does() {
    // Elsewhere the VG lost the PV that was not cloned.
    let mut bench = Bench::new(&[member(0, 4, &[0, 1]), member(1, 4, &[0, 1]), member(0, 9, &[0])]);
    let is_in_vg = |bench: &mut Bench| {
        let lookup = bench.request(&format!("request=\"pv_lookup\"\nuuid=\"{}\"\n", pvid(1)));
        lookup.contains(&format!("vgid=\"{}\"", vgid()))
    };
    assert_eq!((bench.place(0), bench.place(1), bench.seqno()), (None, Some(1), Some(4)));
    assert!(is_in_vg(&mut bench), "nobody may take it for one that is free");
    // Where nobody else does, it is at least known that there is a VG.
    bench.write(1, orphan(1));
    assert_eq!((bench.place(0), bench.seqno()), (None, Some(9)));
    bench.write(1, member(1, 5, &[0, 1]));
    assert_eq!((bench.seqno(), is_in_vg(&mut bench)), (Some(5), true));
}

#[test]
fn a_copy_that_could_not_be_read_again_is_not_said_to_be_the_pv() {
    let mut bench = Bench::new(&[vec![0; 256 << 10], orphan(0), orphan(0)]);
    assert_eq!(bench.place(0), Some(1));
    bench.disk(2).open_error = Some(EIO);
    bench.remove(1);
    assert_eq!(bench.place(0), None);
    let Found::Unreadable(reason) = bench.found(2) else { panic!("{:?}", bench.found(2)) };
    assert!(reason.contains("opened"), "{reason}");
    bench.disk(2).open_error = None;
    bench.touch(2, Cause::Uevent("change"));
    assert_eq!(bench.place(0), Some(2));
    assert!(matches!(bench.found(2), Found::Pv(_)));
}

#[test]
fn disks_with_one_wwid_that_go_on_being_different_are_not_one() {
    let image = |seqno| member(0, seqno, &[0]);
    let is_path = |bench: &Bench, minor| bench.watcher.duplicate_of(devno(minor)).map(|(_, other)| other.is_path);
    let opens = |bench: &Bench| [0, 1].map(|minor| bench.opens[&minor]);
    let mut bench = Bench::paths(&[image(1), image(2)], &["naa.1", "naa.1"]);
    assert_eq!((bench.place(0), bench.differs().as_deref()), (None, Some("seqno 1 on /dev/d0, seqno 2 on /dev/d1")));
    assert!(matches!(bench.found(0), Found::Ambiguous(_)) && matches!(bench.found(1), Found::Ambiguous(_)));
    // So it stays, whatever is written to the one or the other.
    bench.write(0, image(3));
    bench.write(1, image(4));
    assert_eq!((bench.place(0), bench.differs().as_deref()), (None, Some("seqno 3 on /dev/d0, seqno 4 on /dev/d1")));
    let before = opens(&bench);
    bench.touch(0, Cause::Uevent("change"));
    bench.touch(1, Cause::Uevent("change"));
    assert_eq!(opens(&bench), before.map(|opens| opens + 1), "they are not read for ever");
    bench.remove(1);
    assert_eq!(bench.place(0), Some(0));
    bench.insert(1, image(3));
    bench.disk(1).facts.path = bench.disk(0).facts.path.clone();
    bench.touch(1, Cause::Uevent("add"));
    assert_eq!((bench.place(0), is_path(&bench, 1)), (Some(0), Some(true)), "who comes anew is believed");
    // It seemed to be one disk until somebody wrote to it.
    bench.write(1, image(4));
    assert_eq!((bench.place(0), bench.differs().as_deref()), (None, Some("seqno 3 on /dev/d0, seqno 4 on /dev/d1")));
    bench.disk(0).facts.stack.holders = vec![lv()];
    bench.touch(0, Cause::Uevent("change"));
    assert_eq!((bench.place(0), is_path(&bench, 1)), (Some(0), Some(false)));
    // Real paths, of which one was read before a commit and the other after it: as many reads as
    // there are paths.
    let mut bench = Bench::paths(&[image(1), image(1)], &["naa.1", "naa.1"]);
    bench.kept = Some(0);
    for seqno in 2..5 {
        let before = opens(&bench);
        bench.disk(0).image = image(seqno);
        bench.write(1, image(seqno));
        assert_eq!((bench.seqno(), is_path(&bench, 1)), (Some(seqno), Some(true)));
        assert_eq!(opens(&bench), before.map(|opens| opens + 1));
    }
    // And the next commit comes before the first path is read again.
    bench.disk(0).held = true;
    bench.write(1, image(5));
    bench.disk(0).image = image(6);
    bench.disk(1).image = image(6);
    bench.release(0);
    assert_eq!((bench.place(0), bench.seqno(), is_path(&bench, 1)), (Some(0), Some(6), Some(true)));
    // What cannot be read proves nothing.
    bench.disk(0).image = image(7);
    bench.disk(0).open_error = Some(EIO);
    bench.write(1, image(7));
    bench.at(30_000);
    bench.kept = None;
    assert_eq!(bench.differs(), None);
    bench.disk(0).open_error = None;
    bench.touch(0, Cause::Uevent("change"));
    assert_eq!((bench.seqno(), bench.differs(), bench.watcher.copies(pvid(0)).count()), (Some(7), None, 2));
}

/// What a client pushes is no news when it is read, but then it counts.
#[test]
fn the_metadata_of_a_vg_names_the_device_when_it_is_read() {
    let mut bench = Bench::unstarted(&[orphan(0), orphan(0), member(1, 1, &[0, 1])]);
    bench.disk(0).facts.dm_uuid = Some("CRYPT-x".into());
    bench.disk(1).facts.name = "pv0".into();
    bench.disk(2).held = true;
    bench.run();
    let text = String::from_utf8(vg_text("vg", vgid(), 1, &[(pvid(0), SIZE), (pvid(1), SIZE)])).unwrap();
    let body = &text[text.find('{').unwrap()..text.find("\n# Generated").unwrap()];
    bench.request(&format!("request=\"vg_update\"\ntoken=\"skip\"\nvgname=\"vg\"\nmetadata {body}"));
    assert_eq!((bench.place(0), bench.because(1)), (Some(0), Some(Because::DeviceMapper)));
    bench.release(2);
    bench.touch(2, Cause::Uevent("change"));
    assert_eq!((bench.place(0), bench.because(0)), (Some(1), Some(Because::Name)));
    bench.remove(2);
    assert_eq!((bench.place(0), bench.because(1)), (Some(0), Some(Because::DeviceMapper)));
}
