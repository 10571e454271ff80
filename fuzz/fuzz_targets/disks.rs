//! Disks with good checksums over fields that are not good, through all of the daemon that is pure, and
//! the reports; what the input decides is which fields, and how.
#![no_main]

#[path = "../../tests/hostile_disks/daemon.rs"]
mod daemon;
#[path = "../../tests/hostile_disks/disk.rs"]
mod disk;
#[path = "../../tests/hostile_disks/naive.rs"]
mod naive;

use disk::Choices;
use libfuzzer_sys::fuzz_target;
use pvwatch_fuzz::Input;

struct Decided<'a>(Input<'a>);

impl Choices for Decided<'_> {
    fn below(&mut self, bound: u64) -> u64 {
        let number = if bound <= 256 { u64::from(self.0.u8()) } else { u64::from(self.0.u16()) };
        number % bound
    }

    /// Where the input ends, nothing is odd any more.
    fn one_in(&mut self, number: u64) -> bool {
        self.below(number) == number - 1
    }
}

fuzz_target!(|input: &[u8]| {
    let disks = disk::disks(&mut Decided(Input(input)));
    let (mut watcher, _) = daemon::look(&disks);
    daemon::check(&mut watcher);
    daemon::check_against(&watcher, &disks);
});
