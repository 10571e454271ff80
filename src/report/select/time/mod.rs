//! Times in selections: `@SECONDS`, dates in the manner of ISO 8601, and, for the times of LVs, words
//! such as `"yesterday"` or `"2 days ago"`.
//!
//! Days end where lvm2 2.03.16 has them end: its table of the days of months is off by one month, so
//! that in January, and on the 29th of March or later, a day lasts to the same day of the next month.
//! The end of a minute or hour keeps the smaller parts, as there.

mod absolute;
mod fuzzy;

use super::error::SelectError;
use super::lexer::{Lexer, WORD_END};
use crate::report::value::{Field, Kind};

/// A date and time of day, taken apart as in C.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tm {
    /// Since 1900.
    pub year: i64,
    /// From 0, as all parts but the day of the month; any may be out of range.
    pub month: i64,
    pub day: i64,
    pub hour: i64,
    pub minute: i64,
    pub second: i64,
    /// From Sunday. Of no account in [`Calendar::seconds`].
    pub weekday: i64,
    /// `None` is for the calendar to find out.
    pub summer: Option<bool>,
}

/// The time, and the time zone.
pub trait Calendar {
    fn now(&self) -> i64;
    fn local(&self, seconds: i64) -> Tm;
    fn seconds(&self, local: &Tm) -> i64;
}

/// That of a place without a zone, at this time.
pub struct Utc(pub i64);

const DAY: i64 = 86_400;

impl Calendar for Utc {
    fn now(&self) -> i64 {
        self.0
    }

    fn local(&self, seconds: i64) -> Tm {
        utc(seconds)
    }

    fn seconds(&self, local: &Tm) -> i64 {
        let month = local.month.rem_euclid(12);
        let year = local.year.saturating_add(1900).saturating_add(local.month.div_euclid(12));
        // Years begin with March, and eras of 400 years with one in which that is divisible by 400.
        let year = year.saturating_sub(i64::from(month < 2));
        let from_march = (month + 10) % 12;
        let in_era = year.rem_euclid(400);
        let day_of_era = in_era * 365 + in_era / 4 - in_era / 100 + (153 * from_march + 2) / 5;
        let days = year.div_euclid(400).saturating_mul(146_097).saturating_add(day_of_era - 719_468);
        let days = days.saturating_add(local.day.saturating_sub(1));
        let of_day = local.hour.saturating_mul(3600).saturating_add(local.minute.saturating_mul(60));
        days.saturating_mul(DAY).saturating_add(of_day).saturating_add(local.second)
    }
}

pub fn utc(seconds: i64) -> Tm {
    let days = seconds.div_euclid(DAY);
    let of_day = seconds.rem_euclid(DAY);
    let from_march = days + 719_468;
    let day_of_era = from_march.rem_euclid(146_097);
    let in_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * in_era + in_era / 4 - in_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let year = in_era + from_march.div_euclid(146_097) * 400 + i64::from(month >= 10) - 1900;
    Tm {
        year,
        month: (month + 2) % 12,
        day: day_of_year - (153 * month + 2) / 5 + 1,
        hour: of_day / 3600,
        minute: of_day / 60 % 60,
        second: of_day % 60,
        weekday: (days + 4).rem_euclid(7),
        summer: Some(false),
    }
}

/// As C's table with the days of February in leap years; the year is whatever LVM hands it.
fn days_in_month(month: i64, year: i64) -> i64 {
    let leap = year % 4 == 0 && year % 100 != 0 || year % 400 == 0;
    match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => 0,
    }
}

/// Words, if it is the time of an LV and they are understood: from when to when.
pub fn fuzzy(field: &Field, words: &[u8], calendar: &dyn Calendar) -> Option<(i64, i64)> {
    let has_words = field.kind == Kind::Time && matches!(field.name, "lv_time" | "lv_time_removed");
    if has_words { fuzzy::parse(words, calendar) } else { None }
}

pub fn literal(lexer: &mut Lexer<'_>, calendar: &dyn Calendar) -> Result<(i64, Option<i64>), SelectError> {
    let start = lexer.at;
    if lexer.peek() == Some(b'@') {
        lexer.at += 1;
        let digits = lexer.number().split('.').next().unwrap_or_default();
        let seconds = digits.parse::<u64>();
        return match seconds {
            Ok(seconds) => Ok((seconds.cast_signed(), None)),
            Err(_) => Err(SelectError::new(start, "seconds are expected after the @")),
        };
    }
    let word = lexer.word(WORD_END)?;
    let fail = |reason| SelectError::new(word.start, reason);
    absolute::parse(word.text, calendar).map(|(first, last)| (first, Some(last))).map_err(fail)
}
