//! `--select`: which rows a report has.
//!
//! The grammar is that of lvmreport(7). `&&` (or `,`) binds more than `||` (or `#`); `!` stands only
//! before parentheses. A value without quotes ends at a space, at `&&`, `||`, `,`, `#` or `)`.
//!
//! How each kind is compared, found out with lvm2 2.03.16:
//!
//! - Numbers as whole ones; what is behind a point is dropped. What is undefined is 2^64 - 1, which
//!   equals `undefined`, `unknown`, `undef` and `-1`, and is neither smaller nor larger than anything.
//! - Sizes in sectors, as doubles. `k` is 1024 bytes and `K` 1000, no unit is `m`. An undefined size
//!   equals nothing, and so `!=` finds it; `auto` is neither smaller nor larger than anything.
//! - Percentages in millionths, cut off. One that is undefined is found by no comparison.
//! - Strings byte by byte. A name in brackets is compared without them.
//! - Lists: `a` and `{a || b}` match if any is there, `{a && b}` if all are, `[a && b]` if these are
//!   the list. An empty list is one of an empty string. Regular expressions are not for lists.
//! - Times as seconds. What names no second is a span, which a time is in, before or after; `!=` with
//!   a span is the same as `=`. See [`time`].
//! - The negation of a negation is one negation.
//!
//! Regular expressions are those of [`crate::dm_regex`].

mod error;
mod eval;
mod lexer;
mod list;
mod literal;
mod parse;
mod reserved;
pub mod time;

#[cfg(test)]
mod tests;

use super::value::{Field, Value};
pub use error::SelectError;
use eval::Node;
use lexer::Lexer;
use time::Calendar;

/// Finds a field by its name, as for `--options`; or says why there is none.
pub type LookUp<'l> = &'l dyn Fn(&str) -> Result<&'static Field, String>;

/// Of parentheses in one another.
const MAX_DEPTH: usize = 100;
const MAX_LENGTH: usize = 1 << 16;

pub struct Selection {
    root: Option<Node>,
    fields: Vec<&'static Field>,
}

impl Selection {
    /// Nothing and `all` select all rows.
    pub fn parse(text: &[u8], look_up: LookUp<'_>, calendar: &dyn Calendar) -> Result<Selection, SelectError> {
        if text.is_empty() || text.eq_ignore_ascii_case(b"all") {
            return Ok(Selection { root: None, fields: Vec::new() });
        }
        if text.len() > MAX_LENGTH {
            return Err(SelectError::new(MAX_LENGTH, "the selection is too long"));
        }
        let lexer = Lexer { text, at: 0 };
        let mut parser = parse::Parser { lexer, look_up, calendar, fields: Vec::new(), doubled: None };
        let parsed = parser.any(0).and_then(|root| {
            parser.lexer.skip_space();
            if parser.lexer.rest().is_empty() { Ok(root) } else { parser.lexer.fail("&& or || is expected") }
        });
        match (parsed, parser.doubled) {
            (Ok(root), _) => Ok(Selection { root: Some(root), fields: parser.fields }),
            (Err(_), Some(column)) => Err(SelectError::new(column, "the operator is =, not ==")),
            (Err(error), None) => Err(error),
        }
    }

    /// Whether it asks for the fields and operators that there are.
    pub fn is_help(text: &[u8]) -> bool {
        text.eq_ignore_ascii_case(b"help") || text == b"?"
    }

    /// Those that are compared, once each.
    pub fn fields(&self) -> &[&'static Field] {
        &self.fields
    }

    pub fn matches<'v>(&self, value: &mut dyn FnMut(&'static Field) -> Value<'v>) -> bool {
        self.root.as_ref().is_none_or(|root| root.matches(value))
    }
}
