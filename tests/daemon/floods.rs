//! Floods of events and lost ones, after which the cache has to be what a daemon finds that has just
//! been started. Numbers 7000 to 8199 are ours.
//!
//! Smaller than what `PVWATCH_FLOOD=200000 PVWATCH_FLAP_SECONDS=60 cargo test --test daemon floods::
//! -- --nocapture --test-threads=1` does: so many uevents over 1,000 devices, and a minute of flapping.

use crate::common::daemon::{Daemon, World};
use crate::common::latency::Asking;
use crate::common::loops::{CROWD, Loop, Loops, attach_watched, kernel_events};
use crate::common::testing::needs;
use crate::common::{PV_SIZE, hyphenated, lvm, pv_head, vg, wait_until, write_blank, write_pv};
use nix::sys::signal::Signal;
use serde_json::json;
use std::fs;
use std::path::Path;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

fn amount(variable: &str, default: u32) -> u32 {
    std::env::var(variable).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

fn uevent(number: u32) {
    fs::write(format!("/sys/block/loop{number}/uevent"), "change").unwrap();
}

/// Everything that is in the cache.
fn dump(daemon: &Daemon) -> String {
    daemon.call("Dump", &json!({}))["text"].as_str().unwrap().to_owned()
}

/// Once all has been looked at, the cache is that of another daemon with the same settings.
fn is_what_a_fresh_scan_finds(daemon: &Daemon, conf: &str) {
    let fresh_world = World::new();
    fresh_world.configure(conf);
    let fresh = fresh_world.start([""; 0]);
    assert_eq!((daemon.settle(), fresh.settle()), (Vec::new(), Vec::new()));
    let [ours, theirs] = [daemon, &fresh].map(dump);
    if ours != theirs {
        let lines = |of: &str, without: &str| {
            let lines = of.lines().filter(|line| !without.lines().any(|other| other == *line));
            lines.map(|line| format!("{line}\n")).collect::<String>()
        };
        panic!("only in the cache:\n{}only in a fresh one:\n{}", lines(&ours, &theirs), lines(&theirs, &ours));
    }
}

/// A PV of a VG of its own, with this seqno, behind the loop device of the number.
fn image(world: &World, number: u32, seqno: i64) {
    let text = vg(&format!("vg{number}"), seqno, &[&format!("pv{number}")]);
    fs::write(world.path(&format!("image{number}")), pv_head(&format!("pv{number}"), Some(text))).unwrap();
    fs::File::options().write(true).open(world.path(&format!("image{number}"))).unwrap().set_len(PV_SIZE).unwrap();
}

fn flood(name: &str, first: u32, devices: u32, events: u32, settings: &str, lost: bool) {
    let _alone = CROWD.lock().unwrap_or_else(PoisonError::into_inner);
    let world = World::new();
    let blank = world.path("blank");
    write_blank(&blank, PV_SIZE);
    let reserved = Loops::reserve(first, devices, &blank).and_then(|loops| kernel_events(first).map(|()| loops));
    let Some(loops) = needs(name, reserved) else { return };
    loops.numbers().for_each(|number| image(&world, number, 1));
    loops.attach(&world.path("image"));
    let conf = lvm::conf(first..=first + devices - 1, settings);
    world.configure(&conf);
    let daemon = world.start([""; 0]);
    daemon.settle();
    assert_eq!(daemon.pvs().len(), usize::try_from(devices).unwrap());
    let scans = |daemon: &Daemon| daemon.status()["scans"].as_u64().unwrap();
    let (before, start) = (scans(&daemon), Instant::now());
    let asking = Asking::begin(&world.socket(), 4);
    for event in 0..events {
        let number = first + event % devices;
        if event % 97 == 0 {
            // What an event is about has happened before it: it is never lost with the event.
            image(&world, number, i64::from(2 + event));
        }
        uevent(number);
    }
    let sent = start.elapsed();
    // Of the last changes no event may tell but the last.
    for number in [first, first + devices / 2, first + devices - 1] {
        image(&world, number, i64::from(events) + 10);
        uevent(number);
    }
    daemon.settle();
    let (settled, waits) = (start.elapsed(), asking.end());
    let status = daemon.status();
    println!(
        "{name}: {events} events over {devices} devices sent in {sent:.1?}, settled after {settled:.1?}; {} reads, {} \
         resyncs, {} losses; 4 clients: {waits}",
        scans(&daemon) - before,
        status["resyncs"],
        status["losses"]
    );
    assert_eq!(status["losses"].as_u64() > Some(0), lost, "{status}");
    is_what_a_fresh_scan_finds(&daemon, &conf);
}

#[test]
fn a_burst_of_events_of_many_devices() {
    let events = amount("PVWATCH_FLOOD", 20_000);
    flood("a_burst_of_events_of_many_devices", 7000, if events < 100_000 { 200 } else { 1000 }, events, "", false);
}

#[test]
fn a_burst_that_the_smallest_buffer_does_not_hold() {
    let events = amount("PVWATCH_FLOOD", 20_000);
    let settings = "pvwatch { receive_buffer=1 }";
    flood("a_burst_that_the_smallest_buffer_does_not_hold", 8000, 50, events, settings, true);
}

/// Who works beside the test ends with it, however it ends.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Does something over and over beside the test.
fn beside(over: &AtomicBool, mut work: impl FnMut()) {
    while !over.load(Ordering::Relaxed) {
        work();
    }
}

/// A disk that is detached and attached again, each time with another PV, at last with that of `image`.
fn come_and_go(over: &AtomicBool, device: &Loop, images: [&Path; 2]) {
    beside(over, || {
        for image in images {
            device.detach();
            device.attach_again(image);
            std::thread::sleep(Duration::from_millis(20));
        }
    });
}

#[test]
fn events_that_come_while_everything_is_looked_at() {
    let world = World::new();
    let images = ["a", "b", "c"].map(|pv| world.path(pv));
    for (image, pv) in images.iter().zip(["a", "b", "c"]) {
        write_pv(image, pv, Some(vg(&format!("vg{pv}"), 1, &[pv])));
    }
    let attached = attach_watched(8100, &[&images[0], &images[1], &images[2]]);
    let Some(loops) = needs("events_that_come_while_everything_is_looked_at", attached) else { return };
    let conf = lvm::conf(8100..=8102, "");
    world.configure(&conf);
    let daemon = world.start([""; 0]);
    let other = world.path("d");
    write_pv(&other, "d", Some(vg("vgd", 1, &["d"])));
    let over = AtomicBool::new(false);
    let resyncs = || daemon.status()["resyncs"].as_u64().unwrap();
    let before = resyncs();
    std::thread::scope(|scope| {
        let end = Over(&over);
        scope.spawn(|| come_and_go(&over, &loops[0], [&other, &images[0]]));
        scope.spawn(|| {
            beside(&over, || {
                uevent(8101);
                std::thread::sleep(Duration::from_millis(1));
            })
        });
        let mut seqno = 1;
        while resyncs() < before + 20 {
            daemon.signal(Signal::SIGHUP);
            daemon.call("Rescan", &json!({}));
            seqno += 1;
            write_pv(&loops[2].node(), "c", Some(vg("vgc", seqno, &["c"])));
            assert_eq!(daemon.vg("vgc").map(|vg| vg.seqno), Some(seqno), "nobody else's events delay it");
        }
        drop(end);
    });
    is_what_a_fresh_scan_finds(&daemon, &conf);
    assert_eq!(daemon.pvs().into_keys().collect::<Vec<_>>(), ["a", "b", "c"].map(hyphenated));
}

/// The bound of new inotify queues; the old one comes back at the end.
struct QueueBound(String);

const QUEUE_BOUND: &str = "/proc/sys/fs/inotify/max_queued_events";

impl QueueBound {
    fn set(bound: u32) -> std::io::Result<QueueBound> {
        let before = fs::read_to_string(QUEUE_BOUND)?;
        fs::write(QUEUE_BOUND, bound.to_string())?;
        Ok(QueueBound(before))
    }
}

impl Drop for QueueBound {
    fn drop(&mut self) {
        fs::write(QUEUE_BOUND, self.0.trim()).unwrap();
    }
}

/// Without udevd nothing but inotify tells of writers.
#[test]
fn writers_of_whom_the_full_queue_does_not_tell() {
    let _alone = CROWD.lock().unwrap_or_else(PoisonError::into_inner);
    let name = "writers_of_whom_the_full_queue_does_not_tell";
    let world = World::new();
    let images = ["a", "b", "c"].map(|pv| world.path(pv));
    for (image, pv) in images.iter().zip(["a", "b", "c"]) {
        write_pv(image, pv, None);
    }
    let Some(loops) = needs(name, attach_watched(8110, &[&images[0], &images[1], &images[2]])) else { return };
    let conf = lvm::conf(8110..=8112, "");
    world.configure(&conf);
    let Some(bound) = needs(name, QueueBound::set(16)) else { return };
    let daemon = world.start([""; 0]);
    drop(bound);
    daemon.settle();
    daemon.signal(Signal::SIGSTOP);
    // Two of the same in a row are one.
    for round in 1..=20 {
        for (device, pv) in loops[..2].iter().zip(["a", "b"]) {
            write_pv(&device.node(), pv, Some(vg(&format!("vg{pv}"), round, &[pv])));
        }
    }
    write_pv(&loops[2].node(), "c", Some(vg("vgc", 1, &["c"])));
    daemon.signal(Signal::SIGCONT);
    assert_eq!(daemon.vg("vgc").map(|vg| vg.seqno), Some(1));
    assert_eq!(["vga", "vgb"].map(|vg| daemon.vg(vg).unwrap().seqno), [20, 20]);
    assert!(world.log().contains("inotify events lost"), "{}", world.log());
    is_what_a_fresh_scan_finds(&daemon, &conf);
}

#[test]
fn devices_that_flap_disturb_nobody_and_are_right_when_they_have_done() {
    const FLAPPING: usize = 10;
    let _alone = CROWD.lock().unwrap_or_else(PoisonError::into_inner);
    let world = World::new();
    let images = (0..=FLAPPING).map(|number| world.path(&format!("pv{number}"))).collect::<Vec<_>>();
    for (number, image) in images.iter().enumerate() {
        write_pv(image, &format!("pv{number}"), Some(vg(&format!("vg{number}"), 1, &[&format!("pv{number}")])));
    }
    let paths = images.iter().map(AsRef::as_ref).collect::<Vec<&Path>>();
    let attached = attach_watched(8120, &paths);
    let Some(loops) = needs("devices_that_flap_disturb_nobody_and_are_right_when_they_have_done", attached) else {
        return;
    };
    let conf = lvm::conf(8120..=8130, "");
    world.configure(&conf);
    let daemon = world.start([""; 0]);
    let quiet = &loops[FLAPPING];
    let scans = || daemon.status()["scans"].as_u64().unwrap();
    let (before, lines, start) = (scans(), world.log().lines().count(), Instant::now());
    let lasts = Duration::from_secs(amount("PVWATCH_FLAP_SECONDS", 6).into());
    let over = AtomicBool::new(false);
    let asking = Asking::begin(&world.socket(), 4);
    std::thread::scope(|scope| {
        let end = Over(&over);
        for (device, image) in loops[..2].iter().zip(&images) {
            scope.spawn(|| come_and_go(&over, device, [image, image]));
        }
        for device in &loops[2..FLAPPING] {
            scope.spawn(|| {
                beside(&over, || {
                    uevent(device.number);
                    // Faster than it is allowed to be read, and not so fast that on a slow machine several are one.
                    std::thread::sleep(Duration::from_millis(20));
                });
            });
        }
        wait_until("them to flap", || {
            std::thread::sleep(Duration::from_millis(100));
            !daemon.status()["flapping"].as_array().unwrap().is_empty()
        });
        let mut seqno = 1;
        while start.elapsed() < lasts {
            // Nobody waits for those that flap: it is there by itself.
            seqno += 1;
            write_pv(&quiet.node(), &format!("pv{FLAPPING}"), Some(vg("vg10", seqno, &[&format!("pv{FLAPPING}")])));
            wait_until("the quiet one", || daemon.vg_now("vg10").is_some_and(|vg| vg.seqno == seqno));
            std::thread::sleep(Duration::from_millis(200));
        }
        let status = daemon.status();
        let first = &status["flapping"][0];
        assert!(first["changes"].as_u64() > first["reads"].as_u64() && first["since"].as_f64() > Some(0.0), "{first}");
        let shown = daemon.show_one(first["device"].as_str().unwrap());
        assert!(shown["flapping"]["changes"].as_u64() > first["reads"].as_u64(), "{shown}");
        assert_eq!(daemon.show_one(quiet.node())["flapping"], json!(null));
        drop(end);
    });
    let (flapped, reads) = (start.elapsed(), scans() - before);
    for (number, device) in loops[..FLAPPING].iter().enumerate() {
        let pv = format!("pv{number}");
        write_pv(&device.node(), &pv, Some(vg(&format!("vg{number}"), 1000, &[&pv])));
    }
    assert_eq!(daemon.vg("vg0").map(|vg| vg.seqno), Some(1000));
    is_what_a_fresh_scan_finds(&daemon, &conf);
    let waits = asking.end();
    let logged = world.log().lines().count() - lines;
    println!("{reads} reads and {logged} lines of log in {flapped:.1?} of flapping; 4 clients: {waits}");
    // A hundred each at once, those of a second before anybody waits, ten a second for who does, and the quiet one's.
    let quiet_reads = 10 * flapped.as_secs();
    assert!(reads < 10 * (110 + 10 * flapped.as_secs()) + quiet_reads, "{reads} reads");
    // Twenty of a kind of each device.
    let kinds = ["PV found", "PV gone"].map(|kind| world.log().lines().filter(|line| line.contains(kind)).count());
    assert!(
        kinds.iter().all(|count| *count < 11 * 20 * (2 + usize::try_from(flapped.as_secs()).unwrap() / 60)),
        "{kinds:?}"
    );
    wait_until("them to be calm", || daemon.status()["flapping"] == json!([]));
    assert!(world.log().contains("calm again, after"), "{}", world.log());
}
