//! One value as text.

use super::Look;
use crate::report::options::Format;
use crate::report::units::Units;
use crate::report::value::{Field, Kind, Value};
use std::io::Write;

/// How values are written.
#[derive(Clone)]
pub struct Texts {
    pub units: Units,
    /// 0 and 1 for what is set or not.
    pub is_binary: bool,
    pub list_separator: Vec<u8>,
    pub time_format: String,
    /// Writes a time by a format of strftime's.
    pub time: fn(i64, &str) -> Vec<u8>,
}

/// A percentage, in millionths.
const PERCENT: u64 = 1_000_000;

/// Adds the text of the value.
pub fn show(out: &mut Vec<u8>, field: &Field, value: &Value, look: &Look) {
    let texts = &look.texts;
    let is_std = look.format == Format::JsonStd;
    match value {
        Value::Text(text) if is_std && field.name == "lv_active" => out.extend_from_slice(match &**text {
            b"" => b"0",
            b"unknown" => b"-1",
            _ => b"1",
        }),
        Value::Text(text) => out.extend_from_slice(text),
        Value::Number(number) => out.extend_from_slice(itoa::Buffer::new().format(*number).as_bytes()),
        Value::Size(sectors) => out.extend_from_slice(texts.units.show(*sectors).as_bytes()),
        Value::Percent(percent) => show_percent(out, *percent),
        Value::Time(seconds) => out.extend((texts.time)(*seconds, &texts.time_format)),
        // Each has its end, and there may be none.
        Value::List(items) if is_std => {
            for item in items {
                out.extend_from_slice(item);
                out.push(0);
            }
        }
        Value::List(items) => {
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.extend_from_slice(separator(field, texts));
                }
                out.extend_from_slice(item);
            }
        }
        Value::Flag(is_set, _) if texts.is_binary => out.push(if *is_set { b'1' } else { b'0' }),
        Value::Flag(is_set, word) => out.extend_from_slice(if *is_set { word.as_bytes() } else { b"" }),
        Value::Word(_, number) if is_std && field.kind == Kind::Number => {
            out.extend_from_slice(itoa::Buffer::new().format(*number).as_bytes());
        }
        Value::Word(word, _) => out.extend_from_slice(word.as_bytes()),
        Value::Undefined("unknown") if texts.is_binary => out.extend_from_slice(b"-1"),
        Value::Undefined(word) => out.extend_from_slice(word.as_bytes()),
    }
}

/// Ranges stand as they may be given to other commands.
fn separator<'t>(field: &Field, texts: &'t Texts) -> &'t [u8] {
    if field.name == "seg_pe_ranges" { b" " } else { &texts.list_separator }
}

/// Two places. Neither 0 nor 100 is shown for what is only near it.
#[expect(clippy::cast_precision_loss, reason = "what libdevmapper does: 3.125 is 3.12, and 12.345 is 12.35")]
fn show_percent(out: &mut Vec<u8>, percent: u64) {
    let least = PERCENT / 100;
    let shown = match percent {
        0 => 0,
        percent if percent < 100 * PERCENT => percent.clamp(least, 100 * PERCENT - least),
        percent => percent,
    };
    let _ = write!(out, "{:.2}", shown as f32 / PERCENT as f32);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percents_are_rounded_as_libdevmapper_rounds_them() {
        for (percent, expected) in [
            (0, "0.00"),
            (1, "0.01"),
            (4_999, "0.01"),
            (1_005_000, "1.00"),
            (3_125_000, "3.12"),
            (3_375_000, "3.38"),
            (12_345_000, "12.35"),
            (33_333_333, "33.33"),
            (99_996_000, "99.99"),
            (99_999_999, "99.99"),
            (100_000_000, "100.00"),
            (150_000_000, "150.00"),
        ] {
            let mut out = Vec::new();
            show_percent(&mut out, percent);
            assert_eq!(out, expected.as_bytes(), "{percent}");
        }
    }
}
