//! Loop devices and the kernel's events. Numbers 100 to 159, and 1000 to 1999, are ours.

use crate::common::daemon::{Daemon, World, stop};
use crate::common::loops::{CROWD, Loops, PREFIX, attach_watched, kernel_events, node};
use crate::common::testing::needs;
use crate::common::{PV_SIZE, copy, hyphenated, lvm, pv_head, vg, wait_until, write_blank, write_pv};
use nix::sys::signal::{Signal, kill};
use serde_json::json;
use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

/// A daemon that watches the whole machine, of which its filter leaves these.
fn watch_machine(world: &World, numbers: std::ops::RangeInclusive<u32>, more: &str) -> Daemon {
    world.configure(&lvm::conf(numbers, more));
    world.start([""; 0])
}

#[test]
fn a_disk_comes_goes_and_comes_back_elsewhere() {
    let world = World::new();
    let (one, two) = (world.path("one"), world.path("two"));
    let text = vg("vg", 1, &["a", "b"]);
    write_pv(&one, "a", Some(text.clone()));
    write_pv(&two, "b", Some(text));
    let attached = needs("a_disk_comes_goes_and_comes_back_elsewhere", attach_watched(100, &[&one, &two, &one]));
    let Some(loops) = attached else { return };
    loops[2].detach();
    let daemon = watch_machine(&world, 100..=102, "");
    let there = |device: &_| daemon.vg("vg").unwrap().present.get(&hyphenated("a")) == Some(device);
    assert!(daemon.vg("vg").unwrap().is_complete());
    assert!(there(&loops[0].device()));
    loops[0].detach();
    let vg = daemon.vg("vg").unwrap();
    assert_eq!((vg.missing, vg.present.len()), (vec![hyphenated("a")], 1));
    loops[2].attach_again(&one);
    assert!(there(&loops[2].device()));
    assert!(daemon.vg("vg").unwrap().is_complete());
    loops[2].detach();
    loops[1].detach();
    assert_eq!(daemon.vg("vg"), None);
    assert_eq!(daemon.show_one(loops[1].node())["ignored"], "the loop device has no backing file");
    let status = daemon.status();
    assert_eq!((&status["events"]["ever_arrived"], &status["events"]["lost"]), (&true.into(), &0.into()));
}

#[test]
fn the_filter_of_the_machine_is_applied_and_its_token_served() {
    let world = World::new();
    let (one, two) = (world.path("one"), world.path("two"));
    write_pv(&one, "a", Some(vg("vg", 1, &["a"])));
    write_pv(&two, "b", None);
    let attached =
        needs("the_filter_of_the_machine_is_applied_and_its_token_served", attach_watched(105, &[&one, &two]));
    let Some(loops) = attached else { return };
    world.configure("devices { global_filter=[\"a|^/dev/loop105$|\",\"r|.*|\"] }");
    let daemon = world.start([""; 0]);
    assert_eq!(daemon.pvs(), [(hyphenated("a"), loops[0].device())].into());
    assert_eq!(daemon.show_one(loops[1].node())["ignored"], "device is rejected by filter config");
    let mut client = daemon.connect();
    let token = client.ask("request=\"get_global_info\" token=\"skip\"").str("token");
    assert_eq!(token, "filter:1995481899");
    let found = client.ask(&format!("request=\"vg_lookup\" name=\"vg\" token=\"{token}\""));
    assert_eq!(found.response(), "OK");
}

#[test]
fn the_devices_file_decides_whenever_it_is_written() {
    let world = World::new();
    let (one, two) = (world.path("one"), world.path("two"));
    write_pv(&one, "a", Some(vg("vg", 1, &["a"])));
    write_pv(&two, "b", None);
    let attached = needs("the_devices_file_decides_whenever_it_is_written", attach_watched(144, &[&one, &two]));
    let Some(loops) = attached else { return };
    // With a devices file in use, the patterns do not count.
    world.configure("devices { use_devicesfile=1 global_filter=[\"r|.*|\"] }");
    let directory = world.system_dir().join("devices");
    fs::create_dir(&directory).unwrap();
    let file = directory.join("system.devices");
    let entry = |path: &Path| format!("IDTYPE=loop_file IDNAME={} DEVNAME=. PVID=.\n", path.display());
    fs::write(&file, entry(&one)).unwrap();
    let daemon = world.start([""; 0]);
    let pvs = || {
        daemon.settle();
        daemon.pvs()
    };
    let (a, b) = ((hyphenated("a"), loops[0].device()), (hyphenated("b"), loops[1].device()));
    assert_eq!(pvs(), [a.clone()].into());
    assert_eq!(daemon.show_one(loops[1].node())["ignored"], "device is not in devices file");
    // As LVM writes it.
    let new = directory.join("system.devices_new");
    fs::write(&new, entry(&one) + &entry(&two)).unwrap();
    fs::rename(&new, &file).unwrap();
    assert_eq!(pvs(), [a, b.clone()].into());
    // A name counts with its PV only, and follows it.
    let named = |pv: &str| format!("IDTYPE=devname IDNAME={} PVID={}\n", loops[1].node().display(), plain(pv));
    fs::write(&file, named("a")).unwrap();
    assert!(pvs().is_empty());
    fs::write(&file, named("b")).unwrap();
    assert_eq!(pvs(), [b].into());
    // An empty file lists nothing; without one, all is as ever.
    fs::write(&file, "").unwrap();
    assert!(pvs().is_empty());
    fs::remove_file(&file).unwrap();
    daemon.settle();
    assert_eq!(daemon.show_one(loops[1].node())["ignored"], "device is rejected by filter config");
}

/// As files of LVM have it.
fn plain(pv: &str) -> String {
    hyphenated(pv).replace('-', "")
}

#[test]
fn settle_is_exact() {
    let world = World::new();
    let images = ["a", "b"].map(|pv| {
        let image = world.path(pv);
        write_pv(&image, pv, Some(vg("vg", 1, &[pv])));
        (pv, image)
    });
    let Some(loops) = needs("settle_is_exact", attach_watched(110, &[&images[0].1])) else { return };
    let device = &loops[0];
    device.detach();
    let daemon = watch_machine(&world, 110..=110, "");
    for round in 0..200 {
        let (pv, image) = &images[round % 2];
        device.attach_again(image);
        assert_eq!(daemon.settle(), [""; 0]);
        assert_eq!(daemon.pvs(), [(hyphenated(pv), device.device())].into(), "round {round}");
        device.detach();
        daemon.settle();
        assert!(daemon.pvs().is_empty(), "round {round}");
    }
}

#[test]
fn settle_sees_what_was_written_to_the_node() {
    let world = World::new();
    let image = world.path("image");
    write_blank(&image, 4 << 20);
    let Some(loops) = needs("settle_sees_what_was_written_to_the_node", attach_watched(112, &[&image])) else { return };
    let daemon = watch_machine(&world, 112..=112, "");
    for seqno in 1..=100 {
        write_pv(&loops[0].node(), "a", Some(vg("vg", seqno, &["a"])));
        assert_eq!(daemon.vg("vg").map(|vg| vg.seqno), Some(seqno));
    }
    // Through the backing file no event comes, so somebody has to say it.
    write_pv(&image, "a", Some(vg("vg", 101, &["a"])));
    assert_eq!(daemon.vg("vg").unwrap().seqno, 100);
    daemon.call("Rescan", &json!({ "devices": [loops[0].node()] }));
    assert_eq!(daemon.vg("vg").unwrap().seqno, 101);
    write_pv(&image, "a", Some(vg("vg", 102, &["a"])));
    daemon.call("Rescan", &json!({}));
    assert_eq!(daemon.vg("vg").unwrap().seqno, 102);
}

#[test]
fn a_copied_disk_is_a_duplicate_while_both_are_there() {
    let world = World::new();
    let (one, two) = (world.path("one"), world.path("two"));
    write_pv(&one, "a", Some(vg("vg", 1, &["a"])));
    copy(&one, &two);
    let Some(loops) = needs("a_copied_disk_is_a_duplicate_while_both_are_there", attach_watched(115, &[&one, &two]))
    else {
        return;
    };
    loops[1].detach();
    let daemon = watch_machine(&world, 115..=116, "");
    let disabled = || {
        let info = daemon.ask("request=\"get_global_info\" token=\"skip\"");
        (info.int("global_disable"), info.str("disable_reason"))
    };
    let shown_duplicate_of = |index: usize| daemon.show_one(loops[index].node())["pv"]["duplicate_of"].clone();
    assert_eq!(disabled(), (0, "none".into()));
    for (first, second) in [(0, 1), (1, 0)] {
        loops[second].attach_again([&one, &two][second]);
        daemon.settle();
        assert_eq!(disabled(), (0, "none".into()), "the cache is right for the rest");
        assert_eq!(daemon.pvs(), [(hyphenated("a"), loops[first].device())].into(), "the first stays");
        assert_eq!(shown_duplicate_of(second), loops[first].node().to_str().unwrap());
        assert!(shown_duplicate_of(first).is_null());
        assert_eq!(daemon.show(hyphenated("a")).len(), 2, "both are shown");
        assert_eq!(daemon.status()["counts"]["duplicates"], 1);

        loops[first].detach();
        daemon.settle();
        assert_eq!(daemon.pvs(), [(hyphenated("a"), loops[second].device())].into(), "the other takes over");
        assert_eq!(disabled(), (0, "none".into()));
        assert!(daemon.vg("vg").unwrap().is_complete());
    }
}

#[test]
fn a_disk_that_goes_or_changes_while_it_is_read() {
    let world = World::new();
    let (one, two) = (world.path("one"), world.path("two"));
    write_pv(&one, "a", None);
    write_pv(&two, "b", None);
    let Some(loops) = needs("a_disk_that_goes_or_changes_while_it_is_read", attach_watched(120, &[&one])) else {
        return;
    };
    let device = &loops[0];
    let daemon = watch_machine(&world, 120..=120, "");
    for (replaced, expected) in [(false, None), (true, Some(hyphenated("b")))] {
        daemon.settle();
        let readers = daemon.readers();
        stop(&readers);
        device.detach();
        device.attach_again(&one);
        wait_until("the read", || daemon.status()["readers"]["busy"].as_u64() > Some(0));
        device.detach();
        if replaced {
            device.attach_again(&two);
        }
        readers.iter().for_each(|reader| kill(*reader, Signal::SIGCONT).unwrap());
        assert_eq!(daemon.settle(), [""; 0]);
        assert_eq!(daemon.pvs().into_keys().next(), expected);
        device.detach();
    }
}

#[test]
fn a_thousand_disks_appear_and_vanish_at_once() {
    const COUNT: u32 = 1000;
    let _alone = CROWD.lock().unwrap_or_else(PoisonError::into_inner);
    let world = World::new();
    let blank = world.path("blank");
    write_blank(&blank, 4 << 20);
    let reserved = Loops::reserve(1000, COUNT, &blank).and_then(|loops| kernel_events(1000).map(|()| loops));
    let Some(loops) = needs("a_thousand_disks_appear_and_vanish_at_once", reserved) else { return };
    for number in loops.numbers() {
        let name = format!("vg{}", number / 2);
        let text = vg(&name, 1, &[&format!("pv{}", number & !1), &format!("pv{}", number | 1)]);
        let image = fs::File::create(world.path(&format!("image{number}"))).unwrap();
        (&image).write_all(&pv_head(&format!("pv{number}"), Some(text))).unwrap();
        image.set_len(PV_SIZE).unwrap();
    }
    world.configure("devices { global_filter=[\"a|^/dev/loop1[0-9][0-9][0-9]$|\", \"r|.*|\"] }");
    let daemon = world.start([""; 0]);
    assert!(daemon.pvs().is_empty());
    daemon.signal(Signal::SIGSTOP);
    loops.attach(&world.path("image"));
    daemon.signal(Signal::SIGCONT);
    assert_eq!(daemon.ask("request=\"hello\"").response(), "OK");
    assert_eq!(daemon.settle(), [""; 0]);
    assert_eq!(daemon.pvs().len(), 1000);
    for number in loops.numbers().step_by(2) {
        let vg = daemon.vg_now(&format!("vg{}", number / 2)).unwrap();
        assert!(vg.is_complete() && vg.present.len() == 2, "{number}: {vg:?}");
    }
    let status = daemon.status();
    assert_eq!((&status["events"]["lost"], &status["counts"]["partial_vgs"]), (&0.into(), &0.into()));
    daemon.signal(Signal::SIGSTOP);
    loops.detach();
    daemon.signal(Signal::SIGCONT);
    daemon.settle();
    assert_eq!(daemon.status()["counts"]["pvs"], 0);
    assert_eq!(daemon.status()["counts"]["vgs"], 0);
}

#[test]
fn after_lost_events_the_cache_is_right() {
    let _alone = CROWD.lock().unwrap_or_else(PoisonError::into_inner);
    let world = World::new();
    let images = ["a", "b", "c"].map(|pv| world.path(pv));
    for (image, pv) in images.iter().zip(["a", "b", "c"]) {
        write_pv(image, pv, Some(vg(&format!("vg{pv}"), 1, &[pv])));
    }
    let paths = images.each_ref().map(|image| image.as_path());
    let Some(loops) = needs("after_lost_events_the_cache_is_right", attach_watched(125, &paths)) else { return };
    loops[2].detach();
    let daemon = watch_machine(&world, 125..=127, "pvwatch { receive_buffer=1 }");
    // It may have lost some already, to the tests beside this one.
    daemon.settle();
    assert_eq!(daemon.pvs().len(), 2);
    daemon.signal(Signal::SIGSTOP);
    // Enough to fill the smallest buffer there is; what matters comes when it is full.
    for _ in 0..200 {
        fs::write("/sys/block/loop126/uevent", "change").unwrap();
    }
    loops[0].detach();
    loops[2].attach_again(&images[2]);
    daemon.signal(Signal::SIGCONT);
    daemon.settle();
    assert_eq!(daemon.pvs().into_keys().collect::<Vec<_>>(), [hyphenated("b"), hyphenated("c")]);
    assert_eq!(daemon.vg("vga"), None);
    let status = daemon.status();
    assert!(status["events"]["lost"].as_u64() > Some(0), "{status}");
    assert!(status["losses"].as_u64() > Some(0));
    assert!(world.log().contains("uevents lost"));
}

#[test]
fn an_old_copy_of_a_pv_is_outdated_but_not_at_once() {
    let world = World::new();
    let (new, old) = (world.path("new"), world.path("old"));
    write_pv(&new, "a", Some(vg("vg", 2, &["a", "b"])));
    write_pv(&old, "b", Some(vg("vg", 1, &["a", "b"])));
    let Some(loops) = needs("an_old_copy_of_a_pv_is_outdated_but_not_at_once", attach_watched(130, &[&new, &old]))
    else {
        return;
    };
    loops[1].detach();
    let daemon = watch_machine(&world, 130..=131, "");
    let start = Instant::now();
    loops[1].attach_again(&old);
    let served = daemon.vg("vg").unwrap();
    assert!(served.is_complete() && served.seqno == 2);
    wait_until("it to be outdated", || daemon.vg_now("vg").unwrap().outdated == [hyphenated("b")]);
    assert!(start.elapsed() > Duration::from_secs(1), "{:?}", start.elapsed());
    assert_eq!(daemon.show_one("vg")["outdated"], json!([hyphenated("b")]));
    // Brought up to date, it is not any more.
    write_pv(&old, "b", Some(vg("vg", 2, &["a", "b"])));
    daemon.call("Rescan", &json!({ "devices": [loops[1].node()] }));
    assert_eq!(daemon.vg("vg").unwrap().outdated, [""; 0]);
}

#[test]
fn only_what_is_given_is_watched() {
    let world = World::new();
    let (one, two) = (world.path("one"), world.path("two"));
    write_pv(&one, "a", None);
    write_pv(&two, "b", None);
    let Some(loops) = needs("only_what_is_given_is_watched", attach_watched(135, &[&one, &two])) else { return };
    let daemon = world.watch(&[&loops[0].node()]);
    assert_eq!(daemon.pvs(), [(hyphenated("a"), loops[0].device())].into());
    assert!(daemon.show(loops[1].node()).is_empty());
    loops[1].detach();
    loops[0].detach();
    daemon.settle();
    assert!(daemon.pvs().is_empty());
    loops[0].attach_again(&two);
    daemon.settle();
    assert_eq!(daemon.pvs(), [(hyphenated("b"), loops[0].device())].into());
    assert!(Path::new(&node(135)).exists());
}

#[test]
fn a_filter_sees_names_in_a_new_directory() {
    let world = World::new();
    let image = world.path("image");
    write_pv(&image, "a", None);
    let attached = needs("a_filter_sees_names_in_a_new_directory", attach_watched(154, &[&image]));
    let Some(loops) = attached else { return };
    let new = tempfile::Builder::new().prefix(PREFIX).tempdir_in("/dev").unwrap();
    let directory = new.path().to_owned();
    world.configure(&format!("devices {{ global_filter=[\"a|^{}/by/name$|\",\"r|.*|\"] }}", directory.display()));
    new.close().unwrap();
    let daemon = world.start([""; 0]);
    assert!(daemon.pvs().is_empty());
    fs::create_dir_all(directory.join("by")).unwrap();
    symlink(loops[0].node(), directory.join("by/name")).unwrap();
    daemon.settle();
    assert_eq!(daemon.pvs(), [(hyphenated("a"), loops[0].device())].into());
    fs::remove_dir_all(&directory).unwrap();
    daemon.settle();
    assert!(daemon.pvs().is_empty());
}

#[test]
fn a_link_of_which_only_the_present_device_counts() {
    let world = World::new();
    let (one, two, link) = (world.path("one"), world.path("two"), world.path("link"));
    write_pv(&one, "a", None);
    write_pv(&two, "b", None);
    let attached = needs("a_link_of_which_only_the_present_device_counts", attach_watched(152, &[&one, &two]));
    let Some(loops) = attached else { return };
    symlink(loops[0].node(), &link).unwrap();
    let daemon = world.watch(&[&link]);
    let pvs = || {
        daemon.settle();
        daemon.pvs()
    };
    assert_eq!(pvs(), [(hyphenated("a"), loops[0].device())].into());
    fs::remove_file(&link).unwrap();
    symlink(loops[1].node(), &link).unwrap();
    assert_eq!(pvs(), [(hyphenated("b"), loops[1].device())].into());
    fs::remove_file(&link).unwrap();
    assert!(pvs().is_empty());
    symlink(&one, &link).unwrap();
    assert_eq!(pvs().into_keys().collect::<Vec<_>>(), [hyphenated("a")]);
}

#[test]
fn a_client_that_tells_of_a_pv_that_is_not_there_is_not_believed_for_long() {
    let world = World::new();
    let image = world.path("image");
    write_pv(&image, "a", Some(vg("vg", 1, &["a"])));
    let Some(loops) =
        needs("a_client_that_tells_of_a_pv_that_is_not_there_is_not_believed_for_long", attach_watched(140, &[&image]))
    else {
        return;
    };
    let daemon = watch_machine(&world, 140..=140, "");
    let token = daemon.ask("request=\"get_global_info\" token=\"skip\"").str("token");
    let mut client = daemon.connect();
    let device = loops[0].device();
    let fake = format!("request=\"pv_found\" token=\"{token}\" pvmeta {{ id=\"fake\" device={device} dev_size=1 }}");
    assert_eq!(client.ask(&fake).response(), "OK");
    daemon.settle();
    assert_eq!(daemon.pvs(), [(hyphenated("a"), device)].into());
    assert_eq!(client.ask(&format!("request=\"pv_gone\" token=\"{token}\" device={device}")).response(), "OK");
    daemon.settle();
    assert_eq!(daemon.pvs(), [(hyphenated("a"), device)].into());
    assert!(daemon.vg("vg").unwrap().is_complete());
}

#[test]
fn without_descriptors_nothing_is_declared_gone() {
    let world = World::new();
    let image = world.path("image");
    write_pv(&image, "a", Some(vg("vg", 1, &["a"])));
    let attached = needs("without_descriptors_nothing_is_declared_gone", attach_watched(150, &[&image]));
    let Some(loops) = attached else { return };
    world.configure(&lvm::conf(150..=150, ""));
    let daemon = world.start([""; 0]);
    let pvs = daemon.pvs();
    assert_eq!(pvs, [(hyphenated("a"), loops[0].device())].into());
    let mut witness = daemon.connect();
    let limit = |descriptors: &str| {
        let process = daemon.pid().to_string();
        let status = Command::new("prlimit").args(["--pid", &process, &format!("--nofile={descriptors}:")]).status();
        assert!(status.unwrap().success());
    };
    limit("4");
    kernel_events(150).unwrap();
    let pv = format!("request=\"pv_lookup\"\nuuid=\"{}\"\ntoken=\"skip\"\n", hyphenated("a"));
    wait_until("the event to be noticed", || world.log().contains("cannot be read"));
    assert_eq!(witness.ask(&pv).response(), "OK", "{}", world.log());
    limit("1024");
    wait_until("the end of it", || daemon.settle().is_empty());
    assert_eq!(daemon.pvs(), pvs);
}

/// A partition begins at 1 MiB of the disk; writing there through the disk's node tells nobody of
/// the partition's.
#[test]
fn a_write_through_the_disk_is_a_write_to_its_partition() {
    let world = World::new();
    let (disk, partition) = (world.path("disk"), world.path("partition"));
    write_blank(&disk, 16 << 20);
    write_pv(&partition, "a", None);
    let name = "a_write_through_the_disk_is_a_write_to_its_partition";
    let Some(loops) = needs(name, attach_watched(150, &[&disk])) else { return };
    let node = node(150);
    let run = |program: &str, arguments: &[&str]| {
        assert!(Command::new(program).args(arguments).status().unwrap().success(), "{program} {arguments:?}");
    };
    let device = node.to_str().unwrap();
    run("addpart", &[device, "1", "2048", "16384"]);
    world.configure(&format!("devices {{ global_filter=[\"a|^{device}p1$|\",\"a|^{device}$|\",\"r|.*|\"] }}"));
    let daemon = world.start([""; 0]);
    let to_disk = |from: &str| {
        let (from, to) = (format!("if={from}"), format!("of={device}"));
        run("dd", &[&from, &to, "bs=1M", "seek=1", "count=1", "conv=notrunc", "oflag=direct", "status=none"]);
    };
    to_disk(partition.to_str().unwrap());
    daemon.settle();
    assert_eq!(daemon.pvs().into_keys().collect::<Vec<_>>(), [hyphenated("a")]);
    to_disk("/dev/zero");
    daemon.settle();
    assert!(daemon.pvs().is_empty());
    run("delpart", &[device, "1"]);
    loops[0].detach();
}
