//! Disks with good checksums over fields that are not good, through all of the daemon that is pure; and
//! some with bad ones, of which nothing may be served.
//!
//! `PVWATCH_DISKS` is how many sets of them there are and `PVWATCH_FROM` the first, `PVWATCH_SEED` a
//! single one to look at.

#[path = "../common/counting.rs"]
mod counting;
mod daemon;
mod disk;
mod naive;
mod texts;

use counting::{Counting, most_of};
use disk::Choices;
use std::panic::{AssertUnwindSafe, catch_unwind};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const SETS: u64 = 2000;

/// Of each byte read, and of a set of disks without a text.
const BYTES_PER_BYTE: u64 = 60;
const BYTES: u64 = 8 << 20;

/// splitmix64
struct Rng(u64);

impl Choices for Rng {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ z >> 31) % bound
    }
}

/// How many VGs a seed's disks have.
fn run(seed: u64) -> usize {
    let disks = disk::disks(&mut Rng(seed));
    let ((mut watcher, read), most) = most_of(|| daemon::look(&disks));
    let bound = BYTES + BYTES_PER_BYTE * read;
    assert!(most as u64 <= bound, "{most} bytes are held of {read} that were read, at most {bound} are expected");
    let (vgs, most) = most_of(|| daemon::check(&mut watcher));
    daemon::check_against(&watcher, &disks);
    assert!(most as u64 <= bound, "{most} bytes are held to serve {read}, at most {bound} are expected");
    vgs
}

#[test]
fn whatever_fields_say_the_daemon_and_reports_have_an_answer() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let from = number("PVWATCH_SEED").or(number("PVWATCH_FROM")).unwrap_or(0);
    let count = if number("PVWATCH_SEED").is_some() { 1 } else { number("PVWATCH_DISKS").unwrap_or(SETS) };
    let mut with_vgs = 0;
    let mut failed = Vec::new();
    for seed in from..from + count {
        match catch_unwind(AssertUnwindSafe(|| run(seed))) {
            Ok(vgs) => with_vgs += u64::from(vgs > 0),
            Err(_) => failed.push(seed),
        }
    }
    assert!(failed.is_empty(), "seeds {failed:?}");
    // What is refused at once tells nothing.
    assert!(count < SETS || with_vgs > count / 5, "only {with_vgs} of {count} sets have a VG");
    println!("{with_vgs} of {count} sets have a VG");
}
