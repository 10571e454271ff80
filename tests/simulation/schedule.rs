//! A schedule as data: a seed, which of its acts happen, and what is left out of all of them.
//!
//! Each act has a stream of random numbers of its own. So one that is left out changes none of the
//! others, and a schedule that fails can be shortened by leaving out acts while it still does.

use crate::kinds::{ALL, Kind};
use crate::rng::Rng;
use std::fmt;

/// Acts before this one make the world that the watcher finds; the others happen under it.
pub const FIRST_STEP: u32 = 20;
/// The act in which the faults stop.
pub const END: u32 = u32::MAX;
/// How many disks may be there at first, how many devices that lie on others, and how many commits.
const DISKS: u32 = 6;
const STACKED: u32 = 8;
const COMMITS: u32 = 4;

/// Many small worlds find more than few large ones, but some things need many steps.
const LENGTHS: [u32; 12] = [3, 5, 6, 8, 8, 10, 10, 12, 12, 16, 24, 60];

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    pub seed: u64,
    pub acts: Vec<u32>,
    /// What does not happen, though the seed says so.
    pub without: Vec<Kind>,
}

/// What an act before the first step is.
pub enum Coming {
    Disk(u32),
    Stacked,
    Commit,
}

impl Schedule {
    pub fn of(seed: u64) -> Schedule {
        let mut rng = Rng::new(seed ^ 0x0005_c4ed);
        let mut acts = Vec::new();
        for (first, most) in [(0, DISKS), (DISKS, STACKED), (DISKS + STACKED, COMMITS)] {
            acts.extend(first..first + rng.below_u32(most));
        }
        acts.extend(FIRST_STEP..FIRST_STEP + *rng.pick(&LENGTHS));
        Schedule { seed, acts, without: Vec::new() }
    }

    /// What [`Schedule`] prints.
    pub fn parse(text: &str) -> Option<Schedule> {
        let mut parts = text.trim().split(':');
        let seed = parts.next()?.parse().ok()?;
        let list = |text: &str| text.split(',').filter(|part| !part.is_empty()).map(str::to_owned).collect::<Vec<_>>();
        let acts = list(parts.next()?).iter().map(|act| act.parse().ok()).collect::<Option<_>>()?;
        let kind = |name: &String| ALL.into_iter().find(|kind| format!("{kind:?}") == *name);
        let without = list(parts.next().unwrap_or("")).iter().map(kind).collect::<Option<_>>()?;
        Some(Schedule { seed, acts, without })
    }

    pub fn rng(&self, act: u32) -> Rng {
        Rng::new(Rng::new(self.seed.wrapping_mul(0xd134_2543_de82_ef95) ^ u64::from(act)).next())
    }

    /// The shortest schedule found that fails in the same way.
    pub fn shortened(mut self, fails: impl Fn(&Schedule) -> bool) -> Schedule {
        loop {
            let before = self.clone();
            self = self.with_fewer_acts(&fails);
            for kind in ALL {
                if !self.without.contains(&kind) {
                    let mut fewer = self.clone();
                    fewer.without.push(kind);
                    if fails(&fewer) {
                        self = fewer;
                    }
                }
            }
            if self.acts == before.acts {
                return self;
            }
        }
    }

    fn with_fewer_acts(mut self, fails: &impl Fn(&Schedule) -> bool) -> Schedule {
        let mut size = self.acts.len() / 2;
        while size > 0 {
            let mut at = 0;
            while at < self.acts.len() {
                let mut fewer = self.clone();
                fewer.acts.drain(at..(at + size).min(self.acts.len()));
                if fails(&fewer) {
                    self = fewer;
                } else {
                    at += size;
                }
            }
            size /= 2;
        }
        self
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let acts = self.acts.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
        let without = self.without.iter().map(|kind| format!("{kind:?}")).collect::<Vec<_>>().join(",");
        write!(f, "{}:{acts}:{without}", self.seed)
    }
}

pub fn coming(act: u32) -> Coming {
    match act {
        0..DISKS => Coming::Disk(act),
        _ if act < DISKS + STACKED => Coming::Stacked,
        _ => Coming::Commit,
    }
}
