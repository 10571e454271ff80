//! `multipath.conf`, as far as it says which disks are nobody's paths.

use super::Problem;
use super::wwid::Names;
use regex::bytes::{Regex, RegexBuilder};

/// More than anybody writes, and few enough for each disk to be held against.
const PATTERNS_MAX: usize = 4096;
/// Of one regular expression, compiled.
const REGEX_SIZE_MAX: usize = 32 << 10;
/// Who has so many wrong lines has not written them one by one.
const PROBLEMS_MAX: usize = 16;

/// What of a file concerns us.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Entry<'a> {
    /// `defaults { find_multipaths ... }`
    FindMultipaths(&'a str),
    /// `blacklist { wwid ... }`
    Blacklisted(&'a str),
    /// `blacklist_exceptions { wwid ... }`
    Excepted(&'a str),
}

/// Reads a file. Everything stands on a line of its own:
///
/// ```text
/// blacklist {
///         wwid 36001405f03a4e7c8b9d4d2c8a1f0e5d7    # or "a regular expression"
///         device {
///                 vendor "ACME"
///         }
/// }
/// ```
///
/// A value is a word or stands in quotes, in which a quote is doubled. From a `#` or `!` on that is not
/// in quotes a line is a comment. What is not known is skipped, with all that is in it.
pub(super) fn parse(
    bytes: &[u8],
    problems: &mut Vec<Problem>,
    mut take: impl FnMut(usize, Entry) -> Result<(), Problem>,
) {
    let mut section = String::new();
    let mut patterns = 0_usize;
    // How many sections are open.
    let mut depth = 0usize;
    for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        let Line { word, value, opens } = Line::read(&String::from_utf8_lossy(line));
        match word.as_str() {
            "" => {}
            "}" => depth = depth.saturating_sub(1),
            _ if opens => {
                if depth == 0 {
                    section = word;
                }
                depth = depth.saturating_add(1);
            }
            _ if depth == 1 => {
                let entry = match (section.as_str(), word.as_str()) {
                    ("defaults", "find_multipaths") => Entry::FindMultipaths(&value),
                    ("blacklist", "wwid") => Entry::Blacklisted(&value),
                    ("blacklist_exceptions", "wwid") => Entry::Excepted(&value),
                    _ => continue,
                };
                patterns = patterns.saturating_add(usize::from(!matches!(entry, Entry::FindMultipaths(_))));
                let line = index.saturating_add(1);
                let taken = if patterns > PATTERNS_MAX { Err(Problem::TooMany) } else { take(line, entry) };
                problems.extend(taken.err());
                if problems.len() == PROBLEMS_MAX {
                    problems.push(Problem::TooMany);
                }
                if problems.last() == Some(&Problem::TooMany) {
                    return;
                }
            }
            _ => {}
        }
    }
    if depth > 0 {
        problems.push(Problem::Unclosed);
    }
}

/// A keyword, its value, and whether it begins a section.
#[derive(Debug, Default, PartialEq, Eq)]
struct Line {
    word: String,
    value: String,
    opens: bool,
}

impl Line {
    fn read(text: &str) -> Line {
        let mut line = Line::default();
        let text = text.trim_start();
        if text.starts_with('}') {
            line.word.push('}');
            return line;
        }
        let is_end = |char: char| char.is_whitespace() || ['"', '#', '!', '{', '}'].contains(&char);
        let (word, rest) = text.split_at(text.find(is_end).unwrap_or(text.len()));
        line.word = word.to_owned();
        let rest = rest.trim_start();
        if let Some(quoted) = rest.strip_prefix('"') {
            let mut chars = quoted.chars().peekable();
            while let Some(char) = chars.next() {
                if char == '"' && chars.next_if_eq(&'"').is_none() {
                    break;
                }
                line.value.push(char);
            }
        } else if rest.starts_with('{') {
            line.opens = true;
        } else {
            line.value = rest.split(is_end).next().unwrap_or_default().to_owned();
        }
        line
    }
}

/// Regular expressions for WWIDs, that match anywhere; one with a `!` before it is for all that it
/// does not match.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Blacklist(Vec<Pattern>);

#[derive(Debug)]
struct Pattern {
    source: String,
    inverted: bool,
    matcher: Matcher,
}

#[derive(Debug)]
enum Matcher {
    /// A WWID, or a part of one.
    Plain(String),
    Regex(Regex),
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Pattern) -> bool {
        self.source == other.source
    }
}

impl Eq for Pattern {}

impl Blacklist {
    pub fn add(&mut self, line: usize, source: &str) -> Result<(), Problem> {
        if self.0.len() >= PATTERNS_MAX {
            return Err(Problem::TooMany);
        }
        let wrong = || Problem::Pattern { line, pattern: source.chars().take(256).collect() };
        self.0.push(Pattern::compile(source).ok_or_else(wrong)?);
        Ok(())
    }

    pub fn matches(&self, names: &Names) -> bool {
        self.0.iter().any(|pattern| pattern.matches(names))
    }
}

impl Pattern {
    fn compile(source: &str) -> Option<Pattern> {
        let (inverted, text) = match source.strip_prefix('!') {
            Some(rest) => (true, rest),
            None if source.starts_with("\\!") => (false, source.strip_prefix('\\').unwrap_or(source)),
            None => (false, source),
        };
        // Many write it so, and the C library lets them.
        let text = if text == "*" { ".*" } else { text };
        let is_plain = |char: char| char.is_ascii_alphanumeric() || char == '_' || char == '-';
        let matcher = if text.is_empty() {
            return None;
        } else if text.chars().all(is_plain) {
            Matcher::Plain(text.to_owned())
        } else {
            let built = RegexBuilder::new(text).unicode(false).size_limit(REGEX_SIZE_MAX).build();
            Matcher::Regex(built.ok()?)
        };
        Some(Pattern { source: source.to_owned(), inverted, matcher })
    }

    fn matches(&self, names: &Names) -> bool {
        let found = names.as_written().any(|name| match &self.matcher {
            Matcher::Plain(part) => name.contains(part.as_str()),
            Matcher::Regex(regex) => regex.is_match(name.as_bytes()),
        });
        found != self.inverted
    }
}
