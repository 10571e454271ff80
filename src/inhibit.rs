//! `pvwatch inhibit`: until when a VG is kept from being activated, and where no daemon is told that.

use crate::sys::clock;
use crate::sys::settings::{self, Over};
use crate::sys::state_dir::StateDir;
use crate::words::{lasting, printable};
use humantime::{parse_duration, parse_rfc3339};
use serde_json::{Value, json};
use std::time::{Duration, SystemTime};

/// Nobody means to inhibit a VG for longer and not until he lifts it.
const SPAN_MAX: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// A span as `--for` takes it: numbers, each with a unit, as systemd writes them (`2h`, `1h 30min`).
pub fn span(text: &str) -> Result<Duration, String> {
    let span = parse_duration(text).map_err(|error| format!("--for {text}: {error}; such as 90s, 2h or 1h 30min"))?;
    match span {
        Duration::ZERO => Err(format!("--for {text}: that is over at once; --lift ends an inhibit")),
        span if span <= SPAN_MAX => Ok(span),
        _ => Err(format!("--for {text}: without --for it is until --lift")),
    }
}

/// How long it is until a time as `--until` takes it: RFC 3339, in UTC.
pub fn span_until(text: &str, now: SystemTime) -> Result<Duration, String> {
    let time = parse_rfc3339(text)
        .map_err(|error| format!("--until {text}: {error}; a time in UTC is needed, such as 2031-12-31T23:30:00Z"))?;
    let span = time.duration_since(now).map_err(|_| format!("--until {text}: that is over"))?;
    if span <= SPAN_MAX { Ok(span) } else { Err(format!("--until {text}: without --until it is until --lift")) }
}

/// What is written down, for whoever cannot ask the daemon: the state directory and the time since boot
/// are its own.
pub struct Written {
    state: StateDir,
    now: Duration,
}

impl Written {
    pub fn open() -> Result<Written, String> {
        let settings = settings::load(&settings::system_dir(), Over::Nothing).map_err(|error| error.to_string())?;
        let state = StateDir::open(&settings.state_dir).map_err(|error| error.to_string())?;
        Ok(Written { state, now: clock::now() })
    }

    /// For so long, or until it is lifted.
    pub fn inhibit(&self, vg: &str, span: Option<Duration>) -> Result<(), String> {
        let until = span.map(|span| self.now.saturating_add(span));
        self.state.inhibit(vg.as_bytes(), until).map_err(|error| error.to_string())
    }

    /// Whether there was something to lift.
    pub fn lift(&self, vg: &str) -> Result<bool, String> {
        self.state.lift(vg.as_bytes()).map_err(|error| error.to_string())
    }

    /// As the daemon's `Inhibited` has them.
    pub fn inhibits(&self) -> Result<Value, String> {
        let inhibits = self.state.inhibits().map_err(|error| error.to_string())?;
        let inhibits = inhibits.iter().filter(|inhibit| inhibit.until.is_none_or(|until| until > self.now));
        let left = |until: Duration| until.saturating_sub(self.now).as_secs_f64();
        let inhibits = inhibits
            .map(|inhibit| json!({ "vg": String::from_utf8_lossy(&inhibit.vg), "seconds": inhibit.until.map(left) }));
        Ok(inhibits.collect())
    }
}

/// A line for each.
pub fn list(inhibits: &Value) -> String {
    let line = |inhibit: &Value| {
        let left = &inhibit["seconds"];
        let left = if left.is_null() { "until it is lifted".to_owned() } else { format!("for {}", lasting(left)) };
        format!("{} {left}\n", printable(inhibit["vg"].as_str().unwrap_or_default()))
    };
    inhibits.as_array().into_iter().flatten().map(line).collect()
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
        for text in ["", "0s", "2", "h", "-2h", "2 fortnights", "99999y", "99999999999999999999s"] {
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
