//! The watcher in a world that a seed makes up: disks come, go, break and change under it, readers
//! hang and die, events are late, doubled and lost, clients say what is so and what is not. Then
//! the faults stop, and the replies must say what is on the disks.
//!
//! `PVWATCH_SEEDS` is the number of seeds and `PVWATCH_FROM` the first, `PVWATCH_SEED` a single one
//! to look at.

mod activation;
mod oracle;
mod requests;
mod rng;
mod run_files;
mod sim;
mod stack;
mod stacking;
mod world;

use sim::Sim;
use std::panic::{AssertUnwindSafe, catch_unwind};

const SEEDS: u64 = 1000;
const STEPS: u64 = 60;

/// No more failures are looked for.
const SHOWN: usize = 12;

/// Seeds that have failed once.
const REGRESSIONS: [u64; 23] = [
    2, 66, 127, 186, 221, 288, 291, 307, 1230, 1291, 1601, 4532, 5366, 5561, 7002, 7031, 7445, 15025, 15663, 20362,
    26716, 80266, 121147,
];

fn run(seed: u64, steps: u64) -> (Vec<String>, Result<(), String>) {
    let mut sim = Sim::new(seed);
    let result = catch_unwind(AssertUnwindSafe(|| {
        sim.populate();
        sim.restore(true);
        sim.pump();
        for _ in 0..steps {
            sim.step();
        }
        sim.finish();
        let expect = oracle::Expect { outdated_complete: sim.outdated_complete() };
        oracle::check(&mut sim.watcher, sim.now, &sim.world, &expect)?;
        run_files::check(&sim.watcher, &sim.world, &sim.files)?;
        sim.check_activation()
    }));
    let result = result.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
        Err(text.unwrap_or("it panicked").to_owned())
    });
    (sim.schedule, result)
}

/// The failure of a seed, with a schedule whose tail is cut.
fn failure(seed: u64) -> Option<String> {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let steps =
        number("PVWATCH_STEPS").or_else(|| (0..=STEPS).find(|steps| run(seed, *steps).1.is_err())).unwrap_or(STEPS);
    let (schedule, result) = run(seed, steps);
    let problem = result.err().unwrap_or_default();
    Some(format!("seed {seed}, {steps} steps: {problem}\n{}", schedule.join("\n")))
}

#[test]
fn the_cache_comes_to_say_what_is_on_the_disks() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    std::panic::set_hook(Box::new(|_| {}));
    let seeds = match number("PVWATCH_SEED") {
        Some(seed) => vec![seed],
        None => {
            let from = number("PVWATCH_FROM").unwrap_or(0);
            REGRESSIONS.into_iter().chain(from..from + number("PVWATCH_SEEDS").unwrap_or(SEEDS)).collect()
        }
    };
    let failed =
        seeds.into_iter().filter_map(|seed| Some((seed, run(seed, STEPS).1.err()?))).take(SHOWN).collect::<Vec<_>>();
    let shortest = failed.first().and_then(|(seed, _)| failure(*seed));
    let _ = std::panic::take_hook();
    if let Some(shortest) = shortest {
        let list = failed.iter().map(|(seed, problem)| format!("seed {seed}: {problem}\n")).collect::<String>();
        panic!("{list}\n{shortest}");
    }
}
