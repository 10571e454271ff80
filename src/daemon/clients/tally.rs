//! Who is refused what: each is counted, and few are logged.

use crate::api::{Bound, Refusals};
use std::cell::Cell;
use std::fmt;

#[derive(Default)]
pub(super) struct Tally {
    refusals: Cell<Refusals>,
}

impl Tally {
    pub fn refusals(&self) -> Refusals {
        self.refusals.get()
    }

    /// The first of its kind, the second, the fourth, the eighth is logged: a flood of clients is none
    /// of the log.
    pub fn refuse(&self, bound: Bound, what: fmt::Arguments) {
        let mut refusals = self.refusals.get();
        let count = refusals.note(bound) + 1;
        self.refusals.set(refusals);
        if count.is_power_of_two() {
            log::warn!("{what} ({}: {count} so far)", bound.as_str());
        }
    }
}
