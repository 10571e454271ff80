//! `2015-07-08 12:30:00 +02:00`, of which the end may be missing, and the signs between digits, too.

use super::{Calendar, Tm, days_in_month, utc};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Span {
    Second,
    Minute,
    Hour,
    Day,
    Month,
    Year,
}

/// Longer numbers are of no date.
const MAX_DIGITS: usize = 14;

struct Text<'t>(&'t [u8]);

impl Text<'_> {
    fn skip_space(&mut self) {
        self.0 = self.0.trim_ascii_start();
    }

    fn take(&mut self, byte: u8) -> bool {
        let rest = self.0.strip_prefix(&[byte]);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    /// How many digits, and the number.
    fn number(&mut self) -> Option<(usize, i64)> {
        let length = self.0.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if length == 0 || length > MAX_DIGITS {
            return None;
        }
        let number = self.0[..length].iter().fold(0, |number, byte| number * 10 + i64::from(byte - b'0'));
        self.0 = &self.0[length..];
        Some((length, number))
    }
}

pub fn parse(text: &[u8], calendar: &dyn Calendar) -> Result<(i64, i64), &'static str> {
    let mut text = Text(text);
    let mut tm = Tm { year: 0, month: 0, day: 0, hour: 0, minute: 0, second: 0, weekday: 0, summer: None };
    let mut span = date(&mut text, &mut tm)?;
    if text.0.first().is_some_and(u8::is_ascii_digit) {
        span = time_of_day(&mut text, &mut tm, span)?;
    }
    let zone = zone(&mut text)?;
    if !text.0.is_empty() {
        return Err("there is more than a date, a time and a time zone");
    }
    let first = calendar.seconds(&tm);
    let last = calendar.seconds(&after(span, &tm)).saturating_sub(1);
    let shift = zone.map_or(0, |offset| offset - zone_of(calendar, first));
    Ok((first.saturating_sub(shift), last.saturating_sub(shift)))
}

fn date(text: &mut Text<'_>, tm: &mut Tm) -> Result<Span, &'static str> {
    let wrong = "a date is YYYY-MM-DD, YYYY-MM or YYYY, or the same without the signs";
    let (length, first) = text.number().ok_or(wrong)?;
    let before = Text(text.0);
    let (span, year, month, day) = if text.take(b'-') {
        match text.number() {
            None => {
                text.0 = before.0;
                (Span::Year, first, 1, 1)
            }
            Some((_, month)) if text.take(b'-') => (Span::Day, first, month, text.number().ok_or(wrong)?.1),
            Some((_, month)) => (Span::Month, first, month, 1),
        }
    } else {
        match length {
            4 => (Span::Year, first, 1, 1),
            6 => (Span::Month, first / 100, first % 100, 1),
            8 => (Span::Day, first / 10_000, first / 100 % 100, first % 100),
            _ => return Err(wrong),
        }
    };
    if !(1..=12).contains(&month) {
        return Err("there is no such month");
    }
    if !(1..=days_in_month(month, year)).contains(&day) {
        return Err("there is no such day");
    }
    if year > 1_000_000 {
        return Err("the year is out of range");
    }
    (tm.year, tm.month, tm.day) = (year - 1900, month - 1, day);
    text.skip_space();
    Ok(span)
}

fn time_of_day(text: &mut Text<'_>, tm: &mut Tm, date: Span) -> Result<Span, &'static str> {
    let wrong = "a time is HH:MM:SS, HH:MM or HH, or the same without the signs";
    let (length, first) = text.number().ok_or(wrong)?;
    let (span, hour, minute, second) = if text.take(b':') {
        let (_, minute) = text.number().ok_or(wrong)?;
        if text.take(b':') {
            (Span::Second, first, minute, text.number().ok_or(wrong)?.1)
        } else {
            (Span::Minute, first, minute, 0)
        }
    } else {
        match length {
            2 => (Span::Hour, first, 0, 0),
            4 => (Span::Minute, first / 100, first % 100, 0),
            6 => (Span::Second, first / 10_000, first / 100 % 100, first % 100),
            _ => return Err(wrong),
        }
    };
    if hour > 23 || minute > 60 || second > 60 {
        return Err("there is no such time of day");
    }
    if date != Span::Day {
        return Err("a time of day needs a day");
    }
    (tm.hour, tm.minute, tm.second) = (hour, minute, second);
    text.skip_space();
    Ok(span)
}

/// Seconds east of Greenwich.
fn zone(text: &mut Text<'_>) -> Result<Option<i64>, &'static str> {
    let wrong = "a time zone is +HH:MM, +HHMM or +HH, or with a -";
    let sign = if text.take(b'-') { -1 } else { 1 };
    let signed = sign < 0 || text.take(b'+');
    if !signed && !text.0.first().is_some_and(u8::is_ascii_digit) {
        return Ok(None);
    }
    let (length, first) = text.number().ok_or(wrong)?;
    let (hour, minute) = if text.take(b':') {
        (first, text.number().ok_or(wrong)?.1)
    } else {
        match length {
            2 => (first, 0),
            4 => (first / 100, first % 100),
            _ => return Err(wrong),
        }
    };
    if hour > 14 || minute > 60 {
        return Err("there is no such time zone");
    }
    text.skip_space();
    Ok(Some(sign * (hour * 3600 + minute * 60)))
}

/// Where the span ends, as LVM reckons it.
fn after(span: Span, tm: &Tm) -> Tm {
    let mut next = *tm;
    if span <= Span::Second && tm.second < 59 {
        next.second += 1;
    } else if span <= Span::Minute && tm.minute < 59 {
        next.minute += 1;
    } else if span <= Span::Hour && tm.hour < 23 {
        next.hour += 1;
    } else if span <= Span::Day && tm.day < days_in_month(tm.month, tm.year) {
        next.day += 1;
    } else if span <= Span::Month && tm.month < 11 {
        next.month += 1;
    } else {
        next.year += 1;
    }
    next
}

/// How far local time is east of Greenwich, without summer time.
fn zone_of(calendar: &dyn Calendar, seconds: i64) -> i64 {
    let as_local = calendar.seconds(&utc(seconds));
    let summer = calendar.local(as_local).summer == Some(true);
    let as_local = if summer { as_local.saturating_sub(3600) } else { as_local };
    seconds.saturating_sub(as_local)
}
