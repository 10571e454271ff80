//! `global_filter`: a list of patterns that accept or reject device names.

use regex::bytes::RegexSet;
use std::fmt;

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
        let mut sources = Vec::new();
        for pattern in patterns {
            let source = String::from_utf8_lossy(pattern).into_owned();
            let fail = |reason| PatternsError { pattern: source.clone(), reason };
            let (accepts, regex) = split(&source).map_err(fail)?;
            accepting.push(accepts);
            translated.push(translate(regex).map_err(fail)?);
            sources.push(source);
        }
        let set = RegexSet::new(&translated)
            .map_err(|_| PatternsError { pattern: sources.join(" "), reason: "not a regular expression LVM knows" })?;
        Ok(Patterns { set, accepting })
    }

    /// Whether every device passes, whatever its names.
    pub fn accepts_all(&self) -> bool {
        self.accepting.iter().all(|&accepts| accepts)
    }

    pub fn accept<'n>(&self, names: impl Iterator<Item = &'n str>) -> bool {
        let mut rejected = false;
        for name in names {
            match self.set.matches(name.as_bytes()).iter().next() {
                Some(first) if self.accepting[first] => return true,
                Some(_) => rejected = true,
                None => {}
            }
        }
        !rejected
    }
}

/// `a|regex|` or `r|regex|`; the delimiter is any character, brackets close with their partner.
fn split(pattern: &str) -> Result<(bool, &str), &'static str> {
    let mut chars = pattern.chars();
    let accepts = match chars.next() {
        Some('a') => true,
        Some('r') => false,
        _ => return Err("it must begin with 'a' or 'r'"),
    };
    let close = match chars.next() {
        Some('(') => ')',
        Some('[') => ']',
        Some('{') => '}',
        Some(other) => other,
        None => return Err("it has no delimiters"),
    };
    let regex = chars.as_str().strip_suffix(close).ok_or("it must end with the closing delimiter")?;
    Ok((accepts, regex))
}

/// LVM's regular expressions (`^ $ . * + ? | ( ) [ ]` and backslash) in the syntax of the `regex`
/// crate, in which more characters are special.
fn translate(pattern: &str) -> Result<String, &'static str> {
    let mut out = String::from("(?s-u)");
    let mut chars = pattern.chars();
    // Whether there is something that a `*` could repeat.
    let mut repeatable = false;
    while let Some(char) = chars.next() {
        match char {
            '*' | '+' | '?' if !repeatable => return Err("a repetition repeats nothing"),
            '*' | '+' | '?' => {
                // Repeating a repetition is the same to LVM; to the crate a second `?` is not.
                out.insert_str(atom_start(&out), "(?:");
                out.push(char);
                out.push(')');
            }
            '(' => out.push_str("(?:"),
            '|' | ')' | '^' | '$' | '.' => out.push(char),
            '[' => set(&mut chars, &mut out)?,
            '\\' => literal(unescape(chars.next().ok_or("it ends with a backslash")?), &mut out),
            _ => literal(char, &mut out),
        }
        repeatable = !matches!(char, '(' | '|' | '^');
    }
    Ok(out)
}

/// Where the last atom of a translated expression begins.
fn atom_start(out: &str) -> usize {
    let bytes = out.as_bytes();
    let escaped = |at: usize| bytes[..at].iter().rev().take_while(|&&byte| byte == b'\\').count() % 2 == 1;
    let mut at = out.char_indices().next_back().map_or(0, |(at, _)| at);
    if escaped(at) {
        return at - 1;
    }
    let (open, close) = match bytes[at] {
        b')' => (b'(', b')'),
        b']' => (b'[', b']'),
        _ => return at,
    };
    let mut depth = 0;
    loop {
        if bytes[at] == close && !escaped(at) {
            depth += 1;
        } else if bytes[at] == open && !escaped(at) {
            depth -= 1;
            if depth == 0 {
                return at;
            }
        }
        if at == 0 {
            return 0;
        }
        at -= 1;
    }
}

fn set(chars: &mut std::str::Chars, out: &mut String) -> Result<(), &'static str> {
    out.push('[');
    if chars.as_str().starts_with('^') {
        chars.next();
        out.push('^');
    }
    let mut empty = true;
    loop {
        match chars.next() {
            None => return Err("a '[' is never closed"),
            Some(']') if empty => return Err("a set of characters is empty"),
            Some(']') => break,
            Some('-') if !empty && !chars.as_str().starts_with(']') => out.push('-'),
            Some('\\') => literal(unescape(chars.next().ok_or("it ends with a backslash")?), out),
            Some(char) => literal(char, out),
        }
        empty = false;
    }
    out.push(']');
    Ok(())
}

fn unescape(char: char) -> char {
    match char {
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        other => other,
    }
}

fn literal(char: char, out: &mut String) {
    if char.is_ascii() && !char.is_ascii_alphanumeric() && !char.is_ascii_whitespace() && char != '/' {
        out.push('\\');
    }
    out.push(char);
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
    fn what_is_special_only_to_the_crate_is_literal() {
        check(&["r|x{2}|"], &["xx"], true);
        check(&["r|x{2}|"], &["x{2}"], false);
        check(&[r"r|\d|"], &["5"], true);
        check(&[r"r|\d|"], &["d"], false);
        check(&["r|a-b|"], &["a-b"], false);
        check(&["r|[a&&b]|"], &["&"], false);
        check(&["r|[^-a]|"], &["-a"], true);
        check(&[r"r|^[\]x]$|"], &["]"], false);
        check(&["r|^(ab)*?$|"], &["abab"], false);
        check(&["r|^[ab]+*c$|"], &["abac"], false);
        check(&[r"r|^\.*$|"], &["..."], false);
    }

    #[test]
    fn broken_patterns_are_named() {
        for pattern in ["sda", "a", "a|sda", "x|sda|", "a|*|", "a|(?i)x|", "a|[x|", "a|[]|", "a|(x|", "a|\\|"] {
            check_error(pattern);
        }
    }
}
