use super::{Item, Node, Scalar, Section, Value};
use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

/// Sections nest without limit in LVM, by recursion; a hostile text could use that up. Real
/// metadata needs five levels, the deepest recorded conversation 61.
pub const MAX_DEPTH: usize = 128;

/// Nodes and list elements of one text. A node takes some 25 times the memory of the four bytes
/// it can be written in, and a handful of trees of one text may live at once; a VG of 100,000 LVs
/// needs 1.5 million.
pub const MAX_ITEMS: usize = 2 << 20;

/// A whole creation time is sometimes damaged in old metadata; LVM puts 2018-05-24 there.
const CREATION_TIME_OUT_OF_RANGE: i64 = 1_527_120_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Error {
    /// Counted from 1.
    pub line: usize,
    pub kind: ErrorKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    Empty,
    KeyExpected,
    EmptyKey,
    /// A key with neither `=` nor `{` behind it.
    LoneKey,
    ValueExpected,
    NumberOutOfRange,
    UnterminatedString,
    UnterminatedList,
    UnterminatedSection,
    CommaExpected,
    UnexpectedBrace,
    TooDeep,
    TooMany,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            ErrorKind::Empty => "there is nothing in it",
            ErrorKind::KeyExpected => "a key was expected",
            ErrorKind::EmptyKey => "a key is empty",
            ErrorKind::LoneKey => "a key is followed by neither '=' nor '{'",
            ErrorKind::ValueExpected => "a value was expected",
            ErrorKind::NumberOutOfRange => "a number does not fit 64 bits",
            ErrorKind::UnterminatedString => "a string is never closed",
            ErrorKind::UnterminatedList => "a list is never closed",
            ErrorKind::UnterminatedSection => "a section is never closed",
            ErrorKind::CommaExpected => "a comma was expected in a list",
            ErrorKind::UnexpectedBrace => "a '}' closes nothing",
            ErrorKind::TooDeep => "sections are nested too deep",
            ErrorKind::TooMany => "there are too many nodes",
        };
        write!(f, "line {}: {what}", self.line)
    }
}

impl std::error::Error for Error {}

/// Parses a whole text, up to its end or its first NUL.
pub fn parse(input: &[u8]) -> Result<Section<'_>, Error> {
    parse_message(input, &|_, _, _| None).map(|message| message.section)
}

/// A text whose top-level sections are also known by their bytes.
#[derive(Debug)]
pub struct Message<'a> {
    pub section: Section<'a>,
    input: &'a [u8],
    /// For each node of `section` that is `key { ... }`, where it stands between its braces.
    inside: Vec<Option<Range<usize>>>,
}

impl<'a> Message<'a> {
    /// The bytes between the braces of the first node with this key.
    pub fn inside(&self, key: &str) -> Option<&'a [u8]> {
        let index = self.section.0.iter().position(|node| &*node.key == key.as_bytes())?;
        self.braces(index).map(|range| &self.input[range])
    }

    /// Where in the text the node of this index stands between its braces.
    pub fn braces(&self, index: usize) -> Option<Range<usize>> {
        self.inside.get(index)?.clone()
    }
}

/// Tells how many of the bytes behind an opening brace are a section known already: given the
/// nodes parsed so far, the key, and those bytes.
pub type Known<'k, 'a> = &'k dyn Fn(&Section<'a>, &[u8], &'a [u8]) -> Option<usize>;

/// Like [`parse`], but asks before each top-level section whether its text is known already.
///
/// If the bytes begin with a text that has parsed before as a section, closing brace included,
/// `known` returns the length of that text, and the section becomes [`Item::Known`]. Parsing is
/// deterministic, so equal bytes end at the same brace.
pub fn parse_message<'a>(input: &'a [u8], known: Known<'_, 'a>) -> Result<Message<'a>, Error> {
    let end = memchr::memchr(0, input).unwrap_or(input.len());
    let mut parser = Parser { input: &input[..end], at: 0, items: 0, known, inside: Vec::new() };
    match parser.nodes(0) {
        Ok(section) if section.0.is_empty() => Err(parser.error(ErrorKind::Empty)),
        Ok(section) => Ok(Message { section, input, inside: parser.inside }),
        Err(kind) => Err(parser.error(kind)),
    }
}

struct Parser<'a, 'k> {
    input: &'a [u8],
    at: usize,
    items: usize,
    known: Known<'k, 'a>,
    inside: Vec<Option<Range<usize>>>,
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

fn ends_word(byte: u8) -> bool {
    is_space(byte) || matches!(byte, b'#' | b'=' | b'{' | b'}')
}

impl<'a> Parser<'a, '_> {
    fn error(&self, kind: ErrorKind) -> Error {
        let line = memchr::memchr_iter(b'\n', &self.input[..self.at]).count() + 1;
        Error { line, kind }
    }

    /// The next byte that belongs to a token; blank space and comments are passed over.
    fn peek(&mut self) -> Option<u8> {
        loop {
            let byte = *self.input.get(self.at)?;
            if byte == b'#' {
                let rest = &self.input[self.at..];
                self.at += memchr::memchr(b'\n', rest).unwrap_or(rest.len());
            } else if is_space(byte) {
                self.at += 1;
            } else {
                return Some(byte);
            }
        }
    }

    fn nodes(&mut self, depth: usize) -> Result<Section<'a>, ErrorKind> {
        if depth > MAX_DEPTH {
            return Err(ErrorKind::TooDeep);
        }
        // A request has about this many fields.
        let mut section = Section(Vec::with_capacity(if depth == 0 { 8 } else { 0 }));
        loop {
            match self.peek() {
                None if depth == 0 => return Ok(section),
                None => return Err(ErrorKind::UnterminatedSection),
                Some(b'}') if depth == 0 => return Err(ErrorKind::UnexpectedBrace),
                Some(b'}') => {
                    self.at += 1;
                    // There is room for four from the first on. A text of small sections would
                    // take four times the memory it needs.
                    if section.0.len() < 3 {
                        section.0.shrink_to_fit();
                    }
                    return Ok(section);
                }
                Some(first) => {
                    let node = self.node(first, depth, &section)?;
                    section.0.push(node);
                }
            }
        }
    }

    fn node(&mut self, first: u8, depth: usize, before: &Section<'a>) -> Result<Node<'a>, ErrorKind> {
        let key = self.key(first)?;
        let path = memchr::memchr(b'/', &key).map(|_| path_levels(&key)).transpose()?;
        let more_levels = path.as_ref().map_or(0, |levels| levels.len() - 1);
        self.count_items(1 + more_levels)?;
        let top_level = depth == 0;
        let top = top_level && more_levels == 0;
        let depth = depth + more_levels;
        if depth > MAX_DEPTH {
            return Err(ErrorKind::TooDeep);
        }
        let mut inside = None;
        let item = match self.peek() {
            Some(b'{') => {
                self.at += 1;
                let start = self.at;
                let known = if top {
                    self.known_section(before, path.as_ref().map_or(&key, |levels| &key[levels[0].clone()]))
                } else {
                    None
                };
                let item = match known {
                    Some(known) => Item::Known(known),
                    None => Item::Section(self.nodes(depth + 1)?),
                };
                inside = top.then(|| start..self.at - 1);
                item
            }
            Some(b'=') => {
                self.at += 1;
                Item::Value(self.value(&key)?)
            }
            _ => return Err(ErrorKind::LoneKey),
        };
        if top_level {
            self.inside.push(inside);
        }
        Ok(match path {
            None => Node { key, item },
            Some(levels) => nest(&key, &levels, item),
        })
    }

    fn count_items(&mut self, count: usize) -> Result<(), ErrorKind> {
        self.items += count;
        if self.items > MAX_ITEMS { Err(ErrorKind::TooMany) } else { Ok(()) }
    }

    fn known_section(&mut self, before: &Section<'a>, key: &[u8]) -> Option<&'a [u8]> {
        let rest = &self.input[self.at..];
        let length = (self.known)(before, key, rest)?;
        let inside = rest.get(..length)?.strip_suffix(b"}")?;
        self.at += length;
        Some(inside)
    }

    fn key(&mut self, first: u8) -> Result<Cow<'a, [u8]>, ErrorKind> {
        match first {
            b'"' | b'\'' => {
                let key = self.string(first)?;
                if key.is_empty() { Err(ErrorKind::EmptyKey) } else { Ok(key) }
            }
            b'{' | b'[' | b']' | b',' | b'=' => Err(ErrorKind::KeyExpected),
            _ => Ok(Cow::Borrowed(self.word())),
        }
    }

    fn word(&mut self) -> &'a [u8] {
        let rest = &self.input[self.at..];
        let length = rest.iter().position(|&byte| ends_word(byte)).unwrap_or(rest.len());
        self.at += length;
        &rest[..length]
    }

    fn value(&mut self, key: &[u8]) -> Result<Value<'a>, ErrorKind> {
        if self.peek() != Some(b'[') {
            return self.scalar(key).map(Value::One);
        }
        self.at += 1;
        let mut scalars = Vec::new();
        // A value is expected behind `[` and `,`; elsewhere only a quoted string may follow.
        let mut value_expected = true;
        loop {
            match self.peek() {
                None => return Err(ErrorKind::UnterminatedList),
                Some(b']') => {
                    self.at += 1;
                    return Ok(if scalars.len() == 1 { Value::One(scalars.remove(0)) } else { Value::List(scalars) });
                }
                Some(b',') if !value_expected => {
                    self.at += 1;
                    value_expected = true;
                }
                Some(b'"' | b'\'') => {
                    scalars.push(self.scalar(key)?);
                    value_expected = false;
                }
                Some(_) if value_expected => {
                    scalars.push(self.scalar(key)?);
                    value_expected = false;
                }
                Some(_) => return Err(ErrorKind::CommaExpected),
            }
        }
    }

    fn scalar(&mut self, key: &[u8]) -> Result<Scalar<'a>, ErrorKind> {
        self.count_items(1)?;
        match self.peek() {
            Some(quote @ (b'"' | b'\'')) => self.string(quote).map(Scalar::Str),
            Some(b'0'..=b'9' | b'+' | b'-' | b'.') => self.number(key),
            None | Some(b'{' | b'}' | b'[' | b']' | b',' | b'=') => Err(ErrorKind::ValueExpected),
            Some(_) => Ok(Scalar::Str(Cow::Borrowed(self.word()))),
        }
    }

    fn number(&mut self, key: &[u8]) -> Result<Scalar<'a>, ErrorKind> {
        let start = self.at;
        let mut dots = 0;
        while let Some(&byte) = self.input.get(self.at) {
            match byte {
                b'0'..=b'9' => {}
                b'+' | b'-' if self.at == start => {}
                b'.' if dots == 0 => dots += 1,
                _ => break,
            }
            self.at += 1;
        }
        let token = std::str::from_utf8(&self.input[start..self.at]).expect("signs, digits and a dot are ASCII");
        if dots == 1 {
            // A lone dot, signed or not, is zero. What is too large stays a number: infinity, once
            // written, is a word.
            return Ok(Scalar::Float(token.parse::<f64>().unwrap_or(0.0).clamp(f64::MIN, f64::MAX)));
        }
        match integer(token) {
            Some(value) => Ok(Scalar::Int(value)),
            None if key == b"creation_time" => Ok(Scalar::Int(CREATION_TIME_OUT_OF_RANGE)),
            None => Err(ErrorKind::NumberOutOfRange),
        }
    }

    fn string(&mut self, quote: u8) -> Result<Cow<'a, [u8]>, ErrorKind> {
        let body = &self.input[self.at + 1..];
        if quote == b'\'' {
            let length = memchr::memchr(quote, body).ok_or(ErrorKind::UnterminatedString)?;
            self.at += length + 2;
            return Ok(Cow::Borrowed(&body[..length]));
        }
        let mut length = 0;
        let mut escapes = false;
        loop {
            length += memchr::memchr2(quote, b'\\', &body[length..]).ok_or(ErrorKind::UnterminatedString)?;
            if body[length] == quote {
                break;
            }
            escapes = true;
            length += 2;
            if length > body.len() {
                return Err(ErrorKind::UnterminatedString);
            }
        }
        self.at += length + 2;
        let raw = &body[..length];
        Ok(if escapes { Cow::Owned(unescape(raw)) } else { Cow::Borrowed(raw) })
    }
}

/// Only `\"` and `\\` are escapes; any other backslash stays, with the byte behind it.
fn unescape(raw: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(raw.len());
    let mut bytes = raw.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        match (byte, bytes.peek()) {
            (b'\\', Some(&escaped @ (b'"' | b'\\'))) => {
                out.push(escaped);
                bytes.next();
            }
            _ => out.push(byte),
        }
    }
    out
}

/// The value C's `strtoll` gives with base 0: a leading zero makes it octal, and digits that
/// do not fit the base end it. `None` when it does not fit 64 bits.
fn integer(token: &str) -> Option<i64> {
    let (negative, digits) = match token.as_bytes().first() {
        Some(b'-') => (true, &token[1..]),
        Some(b'+') => (false, &token[1..]),
        _ => (false, token),
    };
    let base = if digits.starts_with('0') { 8 } else { 10 };
    digits.chars().map_while(|digit| digit.to_digit(base)).try_fold(0i64, |value, digit| {
        let value = value.checked_mul(i64::from(base))?;
        if negative { value.checked_sub(i64::from(digit)) } else { value.checked_add(i64::from(digit)) }
    })
}

/// Where the levels of a path key stand in it. Leading and repeated slashes count for nothing, a
/// trailing one makes an empty last level.
fn path_levels(key: &[u8]) -> Result<Vec<Range<usize>>, ErrorKind> {
    let mut levels = Vec::with_capacity(1);
    let mut start = 0;
    while let Some(length) = memchr::memchr(b'/', &key[start..]) {
        if levels.len() > MAX_DEPTH {
            return Err(ErrorKind::TooDeep);
        }
        if length > 0 {
            levels.push(start..start + length);
        }
        start += length + 1;
    }
    levels.push(start..key.len());
    Ok(levels)
}

fn nest<'a>(key: &Cow<'a, [u8]>, levels: &[Range<usize>], item: Item<'a>) -> Node<'a> {
    let (first, deeper) = levels.split_first().expect("a key has at least one level");
    let part = |range: &Range<usize>| match key {
        Cow::Borrowed(bytes) => Cow::Borrowed(&bytes[range.clone()]),
        Cow::Owned(bytes) => Cow::Owned(bytes[range.clone()].to_vec()),
    };
    let item =
        deeper.iter().rev().fold(item, |item, level| Item::Section(Section(vec![Node { key: part(level), item }])));
    Node { key: part(first), item }
}
