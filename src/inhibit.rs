//! Until when `pvwatch inhibit` keeps a VG from being activated.

use humantime::{parse_duration, parse_rfc3339};
use std::time::{Duration, SystemTime};

/// Nobody means to inhibit a VG for longer and not until he lifts it.
const SPAN_MAX: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// A span as `--for` takes it: numbers, each with a unit, as systemd writes them (`2h`, `1h 30min`).
pub fn span(text: &str) -> Result<Duration, String> {
    let span = parse_duration(text).map_err(|error| format!("--for {text}: {error}; such as 90s, 2h or 1h 30min"))?;
    if span <= SPAN_MAX { Ok(span) } else { Err(format!("--for {text}: without --for it is until --lift")) }
}

/// How long it is until a time as `--until` takes it: RFC 3339, in UTC.
pub fn span_until(text: &str, now: SystemTime) -> Result<Duration, String> {
    let time = parse_rfc3339(text)
        .map_err(|error| format!("--until {text}: {error}; a time in UTC is needed, such as 2031-12-31T23:30:00Z"))?;
    let span = time.duration_since(now).map_err(|_| format!("--until {text}: that is over"))?;
    if span <= SPAN_MAX { Ok(span) } else { Err(format!("--until {text}: without --until it is until --lift")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_as_systemd_writes_them() {
        for (text, seconds) in [
            ("90s", 90),
            ("90 seconds", 90),
            ("5min", 300),
            ("2h", 7200),
            ("1h 30min", 5400),
            ("1h30m", 5400),
            ("2d", 2 * 24 * 3600),
            ("1w", 7 * 24 * 3600),
        ] {
            assert_eq!(span(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "2", "h", "-2h", "2 fortnights", "99999y", "99999999999999999999s"] {
            assert!(span(text).is_err(), "{text}");
        }
    }

    #[test]
    fn times_are_ahead_of_now() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(86_400);
        assert_eq!(span_until("1970-01-02T00:01:30Z", now), Ok(Duration::from_secs(90)));
        for text in ["1970-01-01T00:00:00Z", "1970-01-02", "12:00", "2031-01-01T00:00:00+01:00", "9999-01-01T00:00:00Z"]
        {
            assert!(span_until(text, now).is_err(), "{text}");
        }
    }
}
