//! How sizes are written.

use std::fmt;

/// What `--units` and `--nosuffix` say.
#[derive(Clone, Debug, PartialEq)]
pub struct Units {
    /// The letter, or `None` for a unit of a number of bytes.
    pub letter: Option<u8>,
    /// Bytes of one unit; 0 for those that fit themselves to the size (`r`, `h` and `H`).
    pub factor: f64,
    pub suffix: bool,
    /// Capitals are for thousands. Otherwise all letters are capitals.
    pub consistent: bool,
}

/// LVM says no more than that the units are invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnitsError {
    pub reason: &'static str,
}

impl fmt::Display for UnitsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason)
    }
}

impl std::error::Error for UnitsError {}

const SECTOR: u64 = 512;

/// From the largest.
const LETTERS: [u8; 6] = *b"eptgmk";

impl Default for Units {
    fn default() -> Units {
        Units { letter: Some(b'r'), factor: 0.0, suffix: true, consistent: true }
    }
}

impl Units {
    /// `[Number]r|h|b|s|k|m|g|t|p|e`, or the upper-case letter, which for all but `b` and `s` counts
    /// in thousands.
    ///
    /// As LVM has it: a number of which the whole part is 1 keeps the letter (`1.5k` writes `k`), and
    /// a product is that of 64 bits, so that `16e` is nothing.
    pub fn parse(text: &[u8]) -> Result<Units, UnitsError> {
        let fail = |reason| Err(UnitsError { reason });
        let (number, rest) = text.split_at(number_length(text));
        let [letter] = rest else {
            return fail(match rest {
                [] => "the letter of the unit is missing",
                _ => "units are one letter, with or without a number before it",
            });
        };
        if matches!(letter, b'r' | b'R' | b'h' | b'H') {
            return Ok(Units { letter: Some(*letter), factor: 0.0, ..Units::default() });
        }
        let Some(multiplier) = bytes_of(*letter) else {
            return fail("the letter is none of r, h, b, s, k, m, g, t, p and e");
        };
        let (whole, factor) = if number.is_empty() { (1, multiplier) } else { product(number, multiplier) };
        if factor == 0 {
            return fail("a unit of no bytes, or of more than there are");
        }
        #[expect(clippy::cast_precision_loss, reason = "LVM divides by it as a double")]
        let factor = factor as f64;
        Ok(Units { letter: (whole == 1).then_some(*letter), factor, ..Units::default() })
    }

    /// As reports show a size. `<` says of `r` that the two places were rounded up.
    pub fn show(&self, sectors: u64) -> String {
        let mut shown = self.show_consistent(sectors);
        if !self.consistent {
            shown.make_ascii_uppercase();
        }
        shown
    }

    fn show_consistent(&self, sectors: u64) -> String {
        match self.letter {
            Some(b'r' | b'R' | b'h' | b'H') if sectors == 0 => (if self.suffix { "0 " } else { "0" }).to_owned(),
            Some(b'r') => fitting(sectors, 1024, true),
            Some(b'R') => fitting(sectors, 1000, true),
            Some(b'h') => fitting(sectors, 1024, false),
            Some(b'H') => fitting(sectors, 1000, false),
            letter => self.fixed(sectors, letter),
        }
    }

    fn fixed(&self, sectors: u64, letter: Option<u8>) -> String {
        let shown = match letter {
            Some(letter @ (b'b' | b's')) => letter.to_ascii_uppercase(),
            Some(letter) => letter,
            None => b'U',
        };
        let places = if matches!(shown, b'B' | b'S') { 0 } else { 2 };
        let suffix = if self.suffix { char::from(shown).to_string() } else { String::new() };
        if sectors == 0 {
            return format!("0{suffix}");
        }
        format!("{:.places$}{suffix}", double(bytes(sectors)) / self.factor)
    }
}

/// LVM counts the bytes in 64 bits, whatever the sectors.
fn bytes(sectors: u64) -> u64 {
    sectors.wrapping_mul(SECTOR)
}

#[expect(clippy::cast_precision_loss, reason = "LVM shows sizes by way of a double")]
fn double(bytes: u64) -> f64 {
    bytes as f64
}

/// In the largest unit of which there is one.
fn fitting(sectors: u64, step: u64, tell_rounding: bool) -> String {
    let bytes = bytes(sectors);
    let mut unit = step.pow(6);
    for letter in LETTERS {
        if bytes >= unit {
            let hundredths = 100.0 * double(bytes) / double(unit);
            let up = tell_rounding && hundredths.round_ties_even() > hundredths.floor();
            let letter = if step == 1000 { letter.to_ascii_uppercase() } else { letter };
            let prefix = if up { "<" } else { "" };
            return format!("{prefix}{:.2}{}", double(bytes) / double(unit), char::from(letter));
        }
        unit /= step;
    }
    format!("{bytes}{}", if step == 1000 { 'B' } else { 'b' })
}

/// Bytes of one unit of a letter.
pub fn bytes_of(letter: u8) -> Option<u64> {
    let power = |step: u64| {
        let at = LETTERS.iter().rev().position(|&known| known == letter.to_ascii_lowercase())?;
        step.checked_pow(u32::try_from(at).ok()? + 1)
    };
    match letter {
        b'b' | b'B' => Some(1),
        b's' | b'S' => Some(SECTOR),
        _ if letter.is_ascii_uppercase() => power(1000),
        _ => power(1024),
    }
}

/// How much of the text is a number as C reads it, if it begins with a digit: `12`, `1.5`, `1e3`.
fn number_length(text: &[u8]) -> usize {
    let digits = |from: usize| text[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let mut at = digits(0);
    if at == 0 {
        return 0;
    }
    if text.get(at) == Some(&b'.') {
        at += 1 + digits(at + 1);
    }
    if matches!(text.get(at), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(text.get(at + 1), Some(b'+' | b'-')));
        let exponent = digits(at + 1 + sign);
        if exponent > 0 {
            at += 1 + sign + exponent;
        }
    }
    at
}

/// The whole part of the number, and so many times the multiplier.
fn product(number: &[u8], multiplier: u64) -> (u64, u64) {
    let text = str::from_utf8(number).unwrap_or_default();
    let digits = text.split(|char: char| !char.is_ascii_digit()).next().unwrap_or_default();
    let whole = digits.parse::<u64>().unwrap_or(u64::MAX);
    let value = text.parse::<f64>().unwrap_or_default();
    if (double(whole) - value).abs() < f64::EPSILON {
        return (whole, whole.wrapping_mul(multiplier));
    }
    let product = value * double(multiplier);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "in the range of u64")]
    let factor = if product < 2f64.powi(64) { product as u64 } else { 0 };
    (whole, factor)
}

#[cfg(test)]
mod tests;
