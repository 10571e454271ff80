//! Keeps the log readable: what is reported of one thing again and again is counted and summed up.

use super::Report;
use std::collections::BTreeMap;
use std::time::Duration;

/// Reports of one kind about one thing that are passed on as they come, in each window.
pub const AT_ONCE: u64 = 20;
/// It begins with the first of them. Those that came too many are summed up at its end.
pub const WINDOW: Duration = Duration::from_secs(60);
/// Windows that are open before those that are over are looked for.
const OPEN_MIN: usize = 64;

#[derive(Debug)]
struct Window {
    until: Duration,
    passed_on: u64,
    /// How many were kept back, and the last of these.
    kept_back: Option<(u64, Report)>,
}

/// The reports of the last minute. Time is handed in.
#[derive(Debug, Default)]
pub struct Repeats {
    windows: BTreeMap<(&'static str, Vec<u8>), Window>,
    /// Those in which something was kept back.
    overfull: usize,
    look_from: usize,
}

impl Repeats {
    /// The report, unless there were too many of its kind about the same thing.
    pub fn admit(&mut self, now: Duration, report: Report) -> Option<Report> {
        let Some(key) = report.repeatable() else { return Some(report) };
        self.close_silent(now);
        let new = || Window { until: now + WINDOW, passed_on: 0, kept_back: None };
        let window = self.windows.entry(key).or_insert_with(new);
        if window.until <= now && window.kept_back.is_none() {
            *window = new();
        }
        if window.passed_on < AT_ONCE {
            window.passed_on += 1;
            return Some(report);
        }
        let count = window.kept_back.as_ref().map_or(0, |(count, _)| *count);
        self.overfull += usize::from(window.kept_back.is_none());
        window.kept_back = Some((count + 1, report));
        None
    }

    /// Forgets the windows that are over, when there may be many.
    fn close_silent(&mut self, now: Duration) {
        if self.windows.len() > self.look_from.max(OPEN_MIN) {
            self.windows.retain(|_, window| window.until > now || window.kept_back.is_some());
            self.look_from = self.windows.len() * 2;
        }
    }

    /// When there is something to sum up.
    pub fn poll_timeout(&self) -> Option<Duration> {
        if self.overfull == 0 {
            return None;
        }
        self.windows.values().filter(|window| window.kept_back.is_some()).map(|window| window.until).min()
    }

    /// What was kept back in windows that are over: how many, and the last of each.
    pub fn sum_up(&mut self, now: Duration) -> Vec<(u64, Report)> {
        if self.poll_timeout().is_none_or(|at| at > now) {
            return Vec::new();
        }
        let over = self.windows.values_mut().filter(|window| window.until <= now);
        let sums = over.filter_map(|window| window.kept_back.take()).collect::<Vec<_>>();
        self.overfull -= sums.len();
        self.windows.retain(|_, window| window.until > now);
        sums
    }

    /// The same of all windows, whether they are over or not.
    pub fn finish(&mut self) -> Vec<(u64, Report)> {
        self.overfull = 0;
        std::mem::take(&mut self.windows).into_values().filter_map(|window| window.kept_back).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gone(device: &str) -> Report {
        Report::Gone { device: device.into(), pvid: b"pv".to_vec() }
    }

    fn found(device: &str) -> Report {
        Report::Found { device: device.into(), pvid: b"pv".to_vec(), vg: None }
    }

    #[test]
    fn what_comes_too_often_is_summed_up_at_the_end_of_its_window() {
        let mut repeats = Repeats::default();
        let second = Duration::from_secs;
        let mut passed_on = 0;
        for tenth in 0..500_u32 {
            let now = second(1) + Duration::from_millis(100) * tenth;
            passed_on += u64::from(repeats.admit(now, gone("a")).is_some());
            assert!(tenth >= 15 || repeats.admit(now, found("a")).is_some(), "another kind");
            assert!(tenth >= 15 || repeats.admit(now, gone("b")).is_some(), "another device");
        }
        assert_eq!(passed_on, AT_ONCE);
        assert_eq!(repeats.poll_timeout(), Some(second(61)));
        assert!(repeats.sum_up(second(60)).is_empty());
        assert_eq!(repeats.sum_up(second(61)), [(500 - AT_ONCE, gone("a"))]);
        assert_eq!((repeats.poll_timeout(), repeats.sum_up(second(200))), (None, Vec::new()));
        assert!(repeats.admit(second(201), gone("a")).is_some(), "a new window");
        for _ in 0..AT_ONCE {
            repeats.admit(second(201), gone("a"));
        }
        assert_eq!(repeats.finish(), [(1, gone("a"))], "nothing is left unsaid at the end");
    }

    #[test]
    fn a_window_that_is_over_begins_anew_and_is_forgotten_with_many_others() {
        let mut repeats = Repeats::default();
        for minute in 0..100 {
            for _ in 0..AT_ONCE {
                assert!(repeats.admit(WINDOW * minute, gone("a")).is_some());
            }
        }
        for number in 0..100_000_u32 {
            repeats.admit(WINDOW * (number / 100), gone(&number.to_string()));
        }
        assert!(repeats.windows.len() < 1000, "{}", repeats.windows.len());
    }

    #[test]
    fn what_is_no_repetition_is_always_passed_on() {
        let mut repeats = Repeats::default();
        for _ in 0..1000 {
            let calm = Report::Calm { device: "a".into(), pvid: None, changes: 1, reads: 1, lasted: WINDOW };
            assert!(repeats.admit(WINDOW, calm).is_some());
        }
        assert_eq!(repeats.poll_timeout(), None);
    }
}
