//! For how long plain readers work instead of a ring that died or hung.

use std::time::Duration;

const FIRST: Duration = Duration::from_secs(60);
const MAX: Duration = Duration::from_secs(3600);

/// Each pause is twice as long as the one before, unless a ring has worked in between for as long as
/// the next one would last: then it begins anew. So a ring that cannot do it is tried ever more seldom,
/// and one that fails now and then is there for most of the time.
#[derive(Debug)]
pub struct Pauses {
    next: Duration,
    /// Since when a ring has worked.
    since: Option<Duration>,
}

impl Default for Pauses {
    fn default() -> Pauses {
        Pauses { next: FIRST, since: None }
    }
}

impl Pauses {
    /// A ring says that it works. One that takes the place of another which is worn goes on for it.
    pub fn works(&mut self, now: Duration) {
        self.since.get_or_insert(now);
    }

    /// The ring was given up: how long it is not tried again.
    pub fn next(&mut self, now: Duration) -> Duration {
        if self.since.take().is_some_and(|since| now.saturating_sub(since) >= self.next) {
            self.next = FIRST;
        }
        let pause = self.next;
        self.next = (2 * pause).min(MAX);
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The pauses, in seconds, of rings that each work so many seconds.
    fn pauses(works: &[u64]) -> Vec<u64> {
        let (mut pauses, mut now) = (Pauses::default(), Duration::ZERO);
        let pause = |seconds: &u64| {
            pauses.works(now);
            now += Duration::from_secs(*seconds);
            let pause = pauses.next(now);
            now += pause;
            pause.as_secs()
        };
        works.iter().map(pause).collect()
    }

    #[test]
    fn they_grow_while_rings_fail() {
        assert_eq!(pauses(&[0; 9]), [60, 120, 240, 480, 960, 1920, 3600, 3600, 3600]);
        assert_eq!(pauses(&[0, 119, 239, 479, 959, 1919, 3599, 3599])[6..], [3600, 3600]);
    }

    #[test]
    fn one_that_has_worked_for_longer_than_the_next_begins_anew() {
        assert_eq!(pauses(&[0, 0, 0, 480, 0, 0]), [60, 120, 240, 60, 120, 240]);
        assert_eq!(pauses(&[0, 0, 0, 0, 0, 0, 0, 3600, 0]), [60, 120, 240, 480, 960, 1920, 3600, 60, 120]);
        // Whatever came before, one that dies every two hours is out for a minute each time.
        assert_eq!(pauses(&[7200; 4]), [60; 4]);
    }

    #[test]
    fn a_ring_that_never_works_is_not_counted_by_the_time_since() {
        let mut pauses = Pauses::default();
        pauses.works(Duration::ZERO);
        assert_eq!(pauses.next(Duration::from_secs(1)), FIRST);
        assert_eq!(pauses.next(Duration::from_secs(100_000)), 2 * FIRST, "it did not even start");
        // Another that takes the place of a worn one does not make it young.
        pauses.works(Duration::from_secs(200_000));
        pauses.works(Duration::from_secs(200_239));
        assert_eq!(pauses.next(Duration::from_secs(200_240)), FIRST);
    }
}
