//! Numbers, sizes and percentages.

use super::error::SelectError;
use super::lexer::Lexer;
use crate::report::units;

const OUT_OF_RANGE: &str = "the number is out of range";

pub fn number(lexer: &mut Lexer<'_>) -> Result<u64, SelectError> {
    let start = lexer.at;
    let digits = digits(lexer)?;
    refuse_percent(lexer)?;
    refuse_unit(lexer)?;
    // What is behind the point is of no account.
    let whole = digits.split('.').next().unwrap_or_default();
    let number = if whole.is_empty() { Ok(0) } else { whole.parse::<u64>() };
    match number {
        Ok(u64::MAX) => Err(SelectError::new(start, "this number stands for what is undefined: write -1 or undefined")),
        Ok(number) => Ok(number),
        Err(_) => Err(SelectError::new(start, OUT_OF_RANGE)),
    }
}

/// In sectors, of mebibytes if no unit is given, whatever the units that sizes are shown in.
pub fn size(lexer: &mut Lexer<'_>) -> Result<f64, SelectError> {
    let start = lexer.at;
    let value = float(digits(lexer)?);
    refuse_percent(lexer)?;
    let unit = unit(lexer);
    lexer.at += usize::from(unit.is_some());
    if value.is_infinite() {
        return Err(SelectError::new(start, OUT_OF_RANGE));
    }
    Ok(value * unit.unwrap_or(1_048_576.0) / 512.0)
}

pub fn percent(lexer: &mut Lexer<'_>) -> Result<u64, SelectError> {
    let start = lexer.at;
    let value = float(digits(lexer)?);
    if lexer.peek() == Some(b'%') {
        lexer.at += 1;
    } else {
        refuse_unit(lexer)?;
    }
    if value > 100.0 {
        return Err(SelectError::new(start, "a percentage is between 0 and 100"));
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 100,000,000")]
    Ok((value * 1_000_000.0) as u64)
}

fn digits<'t>(lexer: &mut Lexer<'t>) -> Result<&'t str, SelectError> {
    match lexer.number() {
        "" => lexer.fail("a number is expected"),
        digits => Ok(digits),
    }
}

fn float(digits: &str) -> f64 {
    digits.parse().unwrap_or_default()
}

/// Bytes of the unit that comes next.
#[expect(clippy::cast_precision_loss, reason = "LVM compares sizes as doubles")]
fn unit(lexer: &Lexer<'_>) -> Option<f64> {
    match lexer.peek()? {
        b'r' | b'R' | b'h' | b'H' => Some(1.0),
        letter => units::bytes_of(letter).map(|bytes| bytes as f64),
    }
}

fn refuse_percent(lexer: &Lexer<'_>) -> Result<(), SelectError> {
    if lexer.peek() == Some(b'%') { lexer.fail("the field is no percentage") } else { Ok(()) }
}

fn refuse_unit(lexer: &Lexer<'_>) -> Result<(), SelectError> {
    if unit(lexer).is_some() { lexer.fail("the field is no size, and has no unit") } else { Ok(()) }
}
