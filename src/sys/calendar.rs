//! The calendar of this machine, with its time zone.

use crate::report::select::time::{Calendar, Tm, utc};
use nix::libc;
use std::time::{SystemTime, UNIX_EPOCH};

pub struct Local;

impl Calendar for Local {
    fn now(&self) -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
    }

    #[allow(unsafe_code, reason = "nothing safe knows the time zone")]
    fn local(&self, seconds: i64) -> Tm {
        // SAFETY: a tm of zeros is one, and localtime_r only fills it in.
        let (found, time) = unsafe {
            let mut time: libc::tm = std::mem::zeroed();
            (!libc::localtime_r(&raw const seconds, &raw mut time).is_null(), time)
        };
        if !found {
            return utc(seconds);
        }
        Tm {
            year: time.tm_year.into(),
            month: time.tm_mon.into(),
            day: time.tm_mday.into(),
            hour: time.tm_hour.into(),
            minute: time.tm_min.into(),
            second: time.tm_sec.into(),
            weekday: time.tm_wday.into(),
            summer: Some(time.tm_isdst > 0),
        }
    }

    #[allow(unsafe_code, reason = "nothing safe knows the time zone")]
    fn seconds(&self, local: &Tm) -> i64 {
        let part = |value: i64| i32::try_from(value).unwrap_or(if value < 0 { i32::MIN } else { i32::MAX });
        // SAFETY: a tm of zeros is one, and mktime only reads and normalizes it.
        unsafe {
            let mut time: libc::tm = std::mem::zeroed();
            time.tm_year = part(local.year);
            time.tm_mon = part(local.month);
            time.tm_mday = part(local.day);
            time.tm_hour = part(local.hour);
            time.tm_min = part(local.minute);
            time.tm_sec = part(local.second);
            time.tm_isdst = local.summer.map_or(-1, i32::from);
            libc::mktime(&raw mut time)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_taken_apart_and_put_together() {
        for seconds in [0, 1_441_802_096, 1_435_708_800, 951_782_400, 4_102_444_799] {
            let local = Local.local(seconds);
            assert_eq!(Local.seconds(&local), seconds);
            assert_eq!(Local.seconds(&Tm { summer: None, ..local }), seconds);
        }
    }
}
