//! LVM's own regular expressions, in those of the `regex` crate.
//!
//! `. [ ] ( ) * + ? | ^ $ \` are special, and nothing else is: no `{2}`, no classes, no case. To LVM
//! a text has a character before its begin and one after its end, which `^` and `$` match, and so do
//! `.` and `[^x]`: `a.` matches a text that ends with `a`.
//!
//! What LVM refuses is refused. So is what it takes for something else: a `)` too many, at which it
//! stops reading; a `|` with nothing before it, with which it matches everything; and a range whose
//! ends are no ASCII, which it does not survive.

#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects, clippy::expect_used, clippy::indexing_slicing))]

use regex::bytes::{Regex, RegexBuilder};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegexError {
    /// Bytes before the trouble.
    pub at: usize,
    pub reason: &'static str,
}

/// Matches anywhere in a text.
#[derive(Clone, Debug)]
pub struct DmRegex {
    regex: Regex,
}

const BEGIN: u8 = 2;
const END: u8 = 3;
/// Of groups in one another.
const MAX_DEPTH: usize = 50;
/// Of a compiled expression, in bytes.
const MAX_SIZE: usize = 1 << 20;

impl DmRegex {
    pub fn compile(pattern: &[u8]) -> Result<DmRegex, RegexError> {
        let translated = translate(pattern)?;
        let built = RegexBuilder::new(&translated).unicode(false).size_limit(MAX_SIZE).build();
        built.map(|regex| DmRegex { regex }).map_err(|_| RegexError { at: 0, reason: "the expression is too large" })
    }

    pub fn matches(&self, text: &[u8]) -> bool {
        self.regex.is_match(&between_ends(text))
    }
}

/// As LVM sees a text.
pub fn between_ends(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len().saturating_add(2));
    out.push(BEGIN);
    out.extend_from_slice(text);
    out.push(END);
    out
}

/// For texts between their ends.
pub fn translate(pattern: &[u8]) -> Result<String, RegexError> {
    let mut parser = Parser { pattern, at: 0, out: String::from(r"(?-u)\A[^\n\r\x00]*(?:") };
    parser.alternatives(0)?;
    if parser.at < pattern.len() {
        return parser.fail("a ')' closes nothing");
    }
    parser.out.push(')');
    Ok(parser.out)
}

struct Parser<'p> {
    pattern: &'p [u8],
    at: usize,
    out: String,
}

impl Parser<'_> {
    fn fail<T>(&self, reason: &'static str) -> Result<T, RegexError> {
        Err(RegexError { at: self.at, reason })
    }

    fn peek(&self) -> Option<u8> {
        self.pattern.get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at = self.at.saturating_add(1);
        Some(byte)
    }

    fn alternatives(&mut self, depth: usize) -> Result<(), RegexError> {
        loop {
            self.sequence(depth)?;
            if self.peek() != Some(b'|') {
                return Ok(());
            }
            self.at = self.at.saturating_add(1);
            self.out.push('|');
        }
    }

    fn sequence(&mut self, depth: usize) -> Result<(), RegexError> {
        let mut empty = true;
        loop {
            match self.peek() {
                None | Some(b'|' | b')') if empty => return self.fail("an expression is empty"),
                None | Some(b'|' | b')') => return Ok(()),
                Some(b'*' | b'+' | b'?') => return self.fail("a repetition repeats nothing"),
                Some(_) => self.repeated(depth)?,
            }
            empty = false;
        }
    }

    /// Repeating a repetition is one: `+*` is `*`.
    fn repeated(&mut self, depth: usize) -> Result<(), RegexError> {
        let start = self.out.len();
        self.term(depth)?;
        let mut repetition = None;
        while let Some(byte @ (b'*' | b'+' | b'?')) = self.peek() {
            self.at = self.at.saturating_add(1);
            repetition = match repetition {
                None => Some(byte),
                Some(before) if before == byte => Some(byte),
                Some(_) => Some(b'*'),
            };
        }
        if let Some(byte) = repetition {
            self.out.insert_str(start, "(?:");
            self.out.push(')');
            self.out.push(char::from(byte));
        }
        Ok(())
    }

    fn term(&mut self, depth: usize) -> Result<(), RegexError> {
        match self.next() {
            Some(b'(') => {
                if depth == MAX_DEPTH {
                    return self.fail("too many parentheses");
                }
                let open = self.at.saturating_sub(1);
                self.out.push_str("(?:");
                self.alternatives(depth.saturating_add(1))?;
                if self.next() != Some(b')') {
                    return Err(RegexError { at: open, reason: "a '(' is never closed" });
                }
                self.out.push(')');
            }
            Some(b'[') => self.set()?,
            Some(b'^') => push(BEGIN, &mut self.out),
            Some(b'$') => push(END, &mut self.out),
            Some(b'.') => self.out.push_str(r"[^\n\r\x00]"),
            Some(b'\\') => {
                let Some(byte) = self.next() else { return self.fail("it ends with a backslash") };
                push(unescape(byte), &mut self.out);
            }
            Some(byte) => push(byte, &mut self.out),
            None => {}
        }
        Ok(())
    }

    /// As LVM reads it: the first `]` closes it, unless a `-` before it makes it the end of a range.
    fn set(&mut self) -> Result<(), RegexError> {
        let open = self.at.saturating_sub(1);
        let unclosed = RegexError { at: open, reason: "a '[' is never closed" };
        let mut members = [false; 256];
        let negated = self.peek() == Some(b'^');
        if negated {
            self.at = self.at.saturating_add(1);
        }
        let one = |byte: u8| (byte, byte);
        let mut last = None;
        loop {
            let (low, high) = match (self.next().ok_or(unclosed)?, last) {
                (b']', _) => break,
                (b'\\', _) => one(unescape(self.next().ok_or(unclosed)?)),
                (b'-', Some(first)) => {
                    let end = self.next().ok_or(unclosed)?;
                    if !first_of_range(first) || !first_of_range(end) {
                        return Err(RegexError {
                            at: self.at.saturating_sub(1),
                            reason: "the ends of a range are no ASCII",
                        });
                    }
                    (end.min(first), end.max(first))
                }
                (byte, _) => one(byte),
            };
            if let Some(range) = members.get_mut(usize::from(low)..=usize::from(high)) {
                range.fill(true);
            }
            last = Some(high);
        }
        members[0] |= negated;
        if negated {
            members = members.map(|member| !member);
        }
        self.out.push_str(if members.contains(&true) { "[" } else { r"[^\x00-\xff" });
        for (byte, _) in (0..=u8::MAX).zip(members).filter(|(_, member)| *member) {
            push(byte, &mut self.out);
        }
        self.out.push(']');
        Ok(())
    }
}

fn first_of_range(byte: u8) -> bool {
    byte < 0x7f
}

fn unescape(byte: u8) -> u8 {
    match byte {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        other => other,
    }
}

fn push(byte: u8, out: &mut String) {
    if byte.is_ascii_alphanumeric() {
        out.push(char::from(byte));
    } else {
        out.push_str(&format!("\\x{byte:02x}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pattern: &str, text: &str, matches: bool) {
        let regex = DmRegex::compile(pattern.as_bytes()).unwrap();
        assert_eq!(regex.matches(text.as_bytes()), matches, "{pattern} {text}");
    }

    #[test]
    fn special_characters_are_lvms() {
        check("^lv[0-9]+$", "lv12", true);
        check("^lv[0-9]+$", "lv12a", false);
        check("v1", "lv12", true);
        check("a{2}", "aa", false);
        check(r"\d", "5", false);
        check("^(a|bc)*?$", "abcbc", true);
        check("^[^a-c]$", "b", false);
        check("^[c-a]$", "b", true);
        check("^[a-]x]$", "`", true);
        check("^[a-]x]$", "x", true);
        check("[]", "x", false);
        check("^[&&]$", "&", true);
        check("^[+*]+*$", "+*", true);
    }

    #[test]
    fn the_ends_are_characters() {
        check("^.", "", true);
        check("^.$", "", false);
        check("a.", "a", true);
        check("^a.$", "a", false);
        check("[^a]a", "a", true);
        check("x$y", "xy", false);
        check("a.b", "a\nb", false);
    }

    #[test]
    fn what_lvm_refuses_is_refused_where_the_trouble_is() {
        let refused =
            [("", 0), ("a|", 2), ("*", 0), ("a()", 2), ("a(b", 1), ("a)", 1), ("x[a", 1), (r"a\", 2), ("[a-", 0)];
        for (pattern, at) in refused {
            assert_eq!(DmRegex::compile(pattern.as_bytes()).unwrap_err().at, at, "{pattern}");
        }
        assert!(DmRegex::compile("(".repeat(1000).as_bytes()).is_err());
    }

    #[test]
    fn bytes_are_bytes() {
        assert!(DmRegex::compile(b"^\xff.$").unwrap().matches(b"\xff\xfe"));
        assert!(DmRegex::compile(b"[\xc3\xa4]").unwrap().matches(b"x\xa4"));
    }
}
