//! The pure core in a world that a seed makes up: disks come, go, break and change under it, readers
//! hang and die, events are late, doubled and lost, clients say what is so and what is not. Then
//! the faults stop, and the replies must say what is on the disks.
//!
//! What is checked at every moment:
//! - a PV is reported outdated only if it was older on disk than another for a second, and after two
//!   reads of both, a second apart (`moments`);
//! - no VG goes back in seqno while its newest metadata stays on a disk (`moments`);
//! - each request gets one reply, in order, and the one it asked for (`requests`);
//! - what belongs to others is neither opened nor served (`stacking`);
//! - who waits for what has happened waits until it was looked at (`settles`);
//! - a PV that is served stays in `pvs_online`, whatever its device does (`run_files`);
//! - a VG is offered once, when it is whole and nothing stands against it, by who made it so, and
//!   then activated once (`activation`);
//! - nothing that happens makes more effects than the devices and VGs there are need (`sim`).
//!
//! Bugs that were planted to see whether they are found, and the first seed that found each then:
//! - a PV is outdated after two reads of it, and one of the newer: 21;
//! - lost uevents are not followed by a look at everything: 4;
//! - who waits does not wait for devices that are still to be looked at: 4;
//! - metadata on a device that cannot be read any more counts for nothing: 1055;
//! - two requests that come in one piece are answered in the other order: 7.
//!
//! And at the end, when everything has come to rest without another reason to read anything:
//! - PVs, VGs, duplicates and outdated PVs are those of a naive scan of the disks (`oracle`);
//! - so are the run files (`run_files`), and what was activated (`activation`).
//!
//! `PVWATCH_SEEDS` is the number of schedules, or a range of seeds: `1000..2000`. Without it, those
//! of a plain `cargo test` are run; `scripts/test` asks for more, as
//! `PVWATCH_SEEDS=100000 cargo test --profile sim --test simulation`, and `scripts/soak` for as many
//! as there is time for. `PVWATCH_SCHEDULE` is one schedule to look at, as a failure prints it.

mod activation;
mod commands;
mod events;
mod finish;
mod kinds;
mod moments;
mod oracle;
mod readers;
mod requests;
mod rng;
mod run_files;
mod schedule;
mod settles;
mod sim;
mod stack;
mod stacking;
mod steps;
mod world;

use schedule::{END, FIRST_STEP, Schedule};
use sim::Sim;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// What plain `cargo test` has the time for.
const SEEDS: u64 = 200;

/// No more failures are looked for.
const SHOWN: usize = 12;

/// Schedules that have failed once, and what was wrong.
const REGRESSIONS: [&str; 9] = [
    // A PV was outdated that had shown something else while it could not be read.
    "101320:0,1,2,3,14,21,22,26,28,31,34:Remove,VgRemove,Detach,Suspend,Ask,Say,Push,Refill,Noise,TwoAreas,Udevd,\
     Arrays,Meddle,Lvs,Mounts,Tell,Blind,Full,Restart",
    // A VG went back while another device with its newest PV was about to be read again.
    "69048:0,1,2,3,4,14,15,20,21:Overwrite,Reuse,Fault,Ask,Say,Push,Refill,Noise,Repeat,Slow,TwoAreas,Udevd,Meddle,\
     Partitions,Lvs,Copies,Tell,Settle,Blind,Full,Restart",
    // A VG went back from what a command had told, and its newest PV was on a device that was never read.
    "12760:3,4,14,16,20,21,27,29:Detach,Reuse,Fault,Ask,Say,Push,Refill,Noise,Lose,Repeat,TwoAreas,Udevd,Meddle,Paths,\
     Full,Restart",
    // What was written to a device that went unread was not looked for on what it lay on.
    "98075:0,1,6,8,9,14,27,29,30,31,32:Add,Copy,Reuse,Fault,Push,Enumerate,TwoAreas,Udevd,Meddle,Mounts,Full,Restart",
    // Who was told that a device cannot be opened did not wait for what had taken its place by then.
    "6642:1,21,29:Add,Remove,Suspend,Say,Noise,Lose,Repeat,Slow,TwoAreas,Udevd,Meddle,Partitions,Tell,Blind,Full,Restart",
    // A PV was not reported again when the newer one came back.
    "68716:0,2,3,14,15,16,20,21:VgRemove,Torn,Copy,Detach,Reuse,Say,Push,Refill,Noise,Lose,Repeat,TwoAreas,Udevd,\
     Arrays,Meddle,Lvs,Blind,Full,Restart",
    // Nobody looked again who is outdated when one of several copies was chosen once more.
    "145068:0,1,2,3,4,6,7,9,14,15,20,21,22,27,28:Detach,Say,Push,Refill,Noise,Slow,TwoAreas,Udevd,Meddle,Paths,\
     Mounts,Tell,Full,Restart",
    // A PV was outdated no more when its VG went back from what a command had told.
    "193500:0,1,2,3,4,6,8,9,15,16,22,23,27,28,29,30,33,35,38,39,53,56,57,62,66,67:Add,Remove,VgRemove,Copy,Reuse,\
     Fault,Suspend,Say,Push,Refill,Noise,Jump,Enumerate,TwoAreas,Udevd,Meddle,Mounts,Settle,Full,Restart",
    // An LV that was gone before anything was known of it still decided where a PV is.
    "235286:0,1,2,3,6,10,11,21:Commit,Rename,Swap,Detach,Suspend,Push,Noise,Enumerate,Lose,Repeat,Slow,TwoAreas,Udevd,\
     Meddle,Paths,Partitions,Mounts,Tell,Full,Restart",
];

/// Runs a schedule; what happened, if that is to be told, and what was wrong.
fn run(schedule: &Schedule, tell: bool) -> (Vec<String>, Option<String>) {
    let mut sim = Sim::new(schedule, tell);
    let result = catch_unwind(AssertUnwindSafe(|| {
        let (before, steps): (Vec<u32>, Vec<u32>) = schedule.acts.iter().partition(|act| **act < FIRST_STEP);
        for act in before {
            sim.begin_act(schedule, act);
            sim.come_first(act);
        }
        sim.let_come();
        sim.expect_ring();
        sim.restore(true);
        sim.pump();
        for act in steps {
            sim.begin_act(schedule, act);
            sim.step();
        }
        sim.begin_act(schedule, END);
        sim.finish();
        let expect = oracle::Expect { outdated_complete: sim.outdated_complete() };
        oracle::check(&mut sim.watcher, sim.now, &sim.world, &expect)?;
        run_files::check(&sim.watcher, &sim.world, &sim.files, &sim.activator.were_there)?;
        sim.check_activation()
    }));
    let result = result.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
        Err(text.unwrap_or("it panicked").to_owned())
    });
    (sim.happened.take(), result.err())
}

/// What is wrong, without the names and numbers of this time.
fn gist(problem: &str) -> String {
    let is_plain = |word: &&str| !word.contains(|char: char| char.is_ascii_digit());
    problem.split_whitespace().filter(is_plain).take(6).collect::<Vec<_>>().join(" ")
}

/// The shortest schedule like this one that fails as it does, what happens in it, and how to see it
/// again.
fn shown(schedule: Schedule, problem: &str) -> String {
    let fails = |fewer: &Schedule| run(fewer, false).1.is_some_and(|other| gist(&other) == gist(problem));
    let acts = schedule.acts.len();
    let short = schedule.shortened(fails);
    let (happened, problem) = run(&short, true);
    format!(
        "{}\n\nseed {}, {} of {acts} acts: {}\nPVWATCH_SCHEDULE={short} cargo test --profile sim --test simulation",
        happened.join("\n"),
        short.seed,
        short.acts.len(),
        problem.unwrap_or_default(),
    )
}

/// Runs the schedules of these seeds, on as many threads as there are processors; those that fail,
/// and how many were run.
fn failures(seeds: Range<u64>) -> (Vec<(Schedule, String)>, u64) {
    let failed = Mutex::new(Vec::new());
    let (next, count, ran) = (AtomicU64::new(seeds.start), AtomicUsize::new(0), AtomicU64::new(0));
    let work = || {
        while count.load(Ordering::Relaxed) < SHOWN {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return;
            }
            let schedule = Schedule::of(seed);
            ran.fetch_add(1, Ordering::Relaxed);
            if let Some(problem) = run(&schedule, false).1 {
                count.fetch_add(1, Ordering::Relaxed);
                failed.lock().expect("nobody panics with it").push((schedule, problem));
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    let mut failed = failed.into_inner().expect("all threads have ended");
    failed.sort_by_key(|(schedule, _)| schedule.seed);
    (failed, ran.into_inner())
}

fn asked_for() -> Range<u64> {
    let Ok(text) = std::env::var("PVWATCH_SEEDS") else { return 0..SEEDS };
    let number = |text: &str| text.parse().unwrap_or_else(|_| panic!("PVWATCH_SEEDS: a number, or FROM..TO"));
    match text.split_once("..") {
        Some((from, to)) => number(from)..number(to),
        None => 0..number(&text),
    }
}

#[test]
fn the_cache_comes_to_say_what_is_on_the_disks() {
    let seeds = asked_for();
    let parse = |text: &str| Schedule::parse(text).unwrap_or_else(|| panic!("no schedule: {text}"));
    let single = std::env::var("PVWATCH_SCHEDULE").ok().map(|text| parse(&text));
    let known = REGRESSIONS.map(parse);
    std::panic::set_hook(Box::new(|_| {}));
    let report = match single {
        Some(schedule) => {
            let (happened, problem) = run(&schedule, true);
            problem.map(|problem| format!("{}\n\n{problem}", happened.join("\n")))
        }
        None => {
            let known = known.into_iter().filter_map(|schedule| Some((schedule.clone(), run(&schedule, false).1?)));
            let mut failed = known.collect::<Vec<_>>();
            let (more, ran) = failures(seeds);
            failed.extend(more);
            println!("{ran} schedules");
            let list = failed.iter().map(|(schedule, problem)| format!("seed {}: {problem}\n", schedule.seed));
            let list = list.collect::<String>();
            failed.into_iter().next().map(|(schedule, problem)| format!("{list}\n{}", shown(schedule, &problem)))
        }
    };
    let _ = std::panic::take_hook();
    if let Some(report) = report {
        panic!("{report}");
    }
}
