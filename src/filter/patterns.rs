//! `global_filter`: a list of patterns that accept or reject device names.

use crate::dm_regex;
use regex::bytes::{RegexSet, RegexSetBuilder};
use std::fmt;

/// Of all patterns compiled, in bytes.
const MAX_SIZE: usize = 16 << 20;

/// A compiled list. For each name the first pattern in the list that matches anywhere in it
/// decides; one accepted name accepts the device, else one rejected name rejects it, and a device
/// that no pattern matches is accepted.
#[derive(Debug)]
pub struct Patterns {
    set: RegexSet,
    accepting: Vec<bool>,
}

#[derive(Debug, PartialEq, Eq)]
pub struct PatternsError {
    pub pattern: String,
    pub reason: &'static str,
}

impl fmt::Display for PatternsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pattern \"{}\": {}", self.pattern.escape_debug(), self.reason)
    }
}

impl std::error::Error for PatternsError {}

impl Patterns {
    pub fn compile<'p>(patterns: impl Iterator<Item = &'p [u8]>) -> Result<Patterns, PatternsError> {
        let mut accepting = Vec::new();
        let mut translated = Vec::new();
        for pattern in patterns {
            let fail = |reason| PatternsError { pattern: String::from_utf8_lossy(pattern).into_owned(), reason };
            let (accepts, regex) = split(pattern).map_err(fail)?;
            accepting.push(accepts);
            translated.push(dm_regex::translate(regex).map_err(|error| fail(error.reason))?);
        }
        let set = RegexSetBuilder::new(&translated).unicode(false).size_limit(MAX_SIZE).build();
        // They are expressions, each of them; what is wrong is what they are together.
        let too_large = |_| PatternsError { pattern: "...".to_owned(), reason: "the patterns are too large together" };
        Ok(Patterns { set: set.map_err(too_large)?, accepting })
    }

    /// Whether every device passes, whatever its names.
    pub fn accepts_all(&self) -> bool {
        self.accepting.iter().all(|&accepts| accepts)
    }

    pub fn accept<'n>(&self, names: impl Iterator<Item = &'n str>) -> bool {
        let mut rejected = false;
        for name in names {
            match self.set.matches(&dm_regex::between_ends(name.as_bytes())).iter().next() {
                Some(first) if self.accepting.get(first) == Some(&true) => return true,
                Some(_) => rejected = true,
                None => {}
            }
        }
        !rejected
    }
}

/// `a|regex|` or `r|regex|`; the delimiter is any character, brackets close with their partner.
fn split(pattern: &[u8]) -> Result<(bool, &[u8]), &'static str> {
    let (accepts, rest) = match pattern {
        [b'a', rest @ ..] => (true, rest),
        [b'r', rest @ ..] => (false, rest),
        _ => return Err("it must begin with 'a' or 'r'"),
    };
    let (open, rest) = rest.split_first().ok_or("it has no delimiters")?;
    let close = match open {
        b'(' => b')',
        b'[' => b']',
        b'{' => b'}',
        other => *other,
    };
    let regex = rest.strip_suffix(&[close]).ok_or("it must end with the closing delimiter")?;
    Ok((accepts, regex))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(patterns: &[&str], names: &[&str], accepted: bool) {
        let compiled = Patterns::compile(patterns.iter().map(|pattern| pattern.as_bytes())).unwrap();
        assert_eq!(compiled.accept(names.iter().copied()), accepted, "{patterns:?} {names:?}");
    }

    fn check_error(pattern: &str) {
        assert!(Patterns::compile(std::iter::once(pattern.as_bytes())).is_err(), "{pattern}");
    }

    #[test]
    fn first_match_decides_and_any_accepted_name_accepts() {
        check(&["a|sda|", "r|.*|"], &["/dev/block/8:0", "/dev/sda"], true);
        check(&["a|sda|", "r|.*|"], &["/dev/sdb"], false);
        check(&["r|sdb|"], &["/dev/sda"], true);
        check(&["r|/dev/loop|", "a|loop1|"], &["/dev/loop1"], false);
        check(&["a|^/dev/loop4[0-5]$|", "r|.*|"], &["/dev/loop45"], true);
        check(&["a|^/dev/loop4[0-5]$|", "r|.*|"], &["/dev/loop450"], false);
        check(&["r|nothing|"], &[], true);
    }

    #[test]
    fn delimiters_may_be_any_character() {
        check(&["r(^/dev/sd(a|b)$)"], &["/dev/sdb"], false);
        check(&["r{sda}"], &["/dev/sda"], false);
        check(&["r/sd/a/"], &["sd/a"], false);
    }

    #[test]
    fn the_ends_of_a_name_are_characters() {
        check(&["r|/dev/sda.|"], &["/dev/sda"], false);
        check(&["r|/dev/sda[^1]|"], &["/dev/sda"], false);
        check(&["r|/dev/sda[^1]|"], &["/dev/sda1"], true);
        check(&["r|sda..|"], &["/dev/sda"], true);
        check(&["r|.^/dev|"], &["/dev/sda"], true);
    }

    #[test]
    fn what_is_special_only_to_the_crate_is_literal() {
        check(&["r|x{2}|"], &["xx"], true);
        check(&["r|x{2}|"], &["x{2}"], false);
        check(&[r"r|\d|"], &["5"], true);
        check(&[r"r|\d|"], &["d"], false);
        check(&["r|a-b|"], &["a-b"], false);
        check(&["r|[a&&b]|"], &["&"], false);
        check(&["r|^[^-a]|"], &["-a"], true);
        check(&[r"r|^[\]x]$|"], &["]"], false);
        check(&["r|^(ab)*?$|"], &["abab"], false);
        check(&["r|^[ab]+*c$|"], &["abac"], false);
        check(&[r"r|^\.*$|"], &["..."], false);
    }

    #[test]
    fn broken_patterns_are_named() {
        for pattern in
            ["sda", "a", "a|sda", "x|sda|", "a|*|", "a|(?i)x|", "a|[x|", "a|(x|", "a|\\|", "a||", "a|x)|", "a||x|"]
        {
            check_error(pattern);
        }
    }
}
