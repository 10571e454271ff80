use super::{Item, Node, Scalar, Section, Value};
use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

/// Sections nest without limit in LVM, by recursion; a hostile text could use that up. Real
/// metadata needs five levels, the deepest recorded conversation 61.
pub const MAX_DEPTH: usize = 128;

/// Nodes and list elements of one text. A node takes some 25 times the memory of the four bytes
/// it can be written in, with its value if that is no list, and a handful of trees of one text may
/// live at once; a VG of 100,000 LVs needs 1.8 million.
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
        self.input.get(self.braces(index)?)
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
    let text = memchr::memchr(0, input).and_then(|end| input.get(..end)).unwrap_or(input);
    let mut parser = Parser { rest: text, length: text.len(), items: 0, known, inside: Vec::new() };
    match parser.nodes(0) {
        Ok(section) if section.0.is_empty() => Err(error(text, parser.at(), ErrorKind::Empty)),
        Ok(section) => Ok(Message { section, input, inside: parser.inside }),
        Err(kind) => Err(error(text, parser.at(), kind)),
    }
}

fn error(text: &[u8], at: usize, kind: ErrorKind) -> Error {
    let newlines = memchr::memchr_iter(b'\n', text.get(..at).unwrap_or(text)).count();
    Error { line: newlines.saturating_add(1), kind }
}

struct Parser<'a, 'k> {
    /// What is not parsed yet.
    rest: &'a [u8],
    /// Of the whole text.
    length: usize,
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
    /// Where it is in the text.
    fn at(&self) -> usize {
        self.length.saturating_sub(self.rest.len())
    }

    /// The next bytes, all that are left if they are fewer.
    fn take(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.rest.split_at_checked(length).unwrap_or((self.rest, &[]));
        self.rest = rest;
        taken
    }

    /// The next byte that belongs to a token; blank space and comments are passed over.
    fn peek(&mut self) -> Option<u8> {
        loop {
            let (&byte, behind) = self.rest.split_first()?;
            if byte == b'#' {
                self.take(memchr::memchr(b'\n', behind).unwrap_or(behind.len()).saturating_add(1));
            } else if is_space(byte) {
                self.rest = behind;
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
                    self.take(1);
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
        let path = memchr::memchr(b'/', &key).map(|_| Path::of(&key)).transpose()?;
        let more_levels = path.as_ref().map_or(0, |path| path.above.len());
        self.count_items(more_levels.saturating_add(1))?;
        let top_level = depth == 0;
        let top = top_level && more_levels == 0;
        let depth = depth.saturating_add(more_levels);
        if depth > MAX_DEPTH {
            return Err(ErrorKind::TooDeep);
        }
        let mut inside = None;
        let item = match self.peek() {
            Some(b'{') => {
                self.take(1);
                let start = self.at();
                let name = path.as_ref().map_or(Some(&*key), |path| key.get(path.last.clone()));
                let known = name.filter(|_| top).and_then(|name| self.known_section(before, name));
                let item = match known {
                    Some(known) => Item::Known(known),
                    None => Item::Section(self.nodes(depth.saturating_add(1))?),
                };
                inside = top.then(|| start..self.at().saturating_sub(1));
                item
            }
            Some(b'=') => {
                self.take(1);
                Item::Value(self.value(&key)?)
            }
            _ => return Err(ErrorKind::LoneKey),
        };
        if top_level {
            self.inside.push(inside);
        }
        Ok(match path {
            None => Node { key, item },
            Some(path) => nest(&key, &path, item),
        })
    }

    fn count_items(&mut self, count: usize) -> Result<(), ErrorKind> {
        self.items = self.items.saturating_add(count);
        if self.items > MAX_ITEMS { Err(ErrorKind::TooMany) } else { Ok(()) }
    }

    fn known_section(&mut self, before: &Section<'a>, key: &[u8]) -> Option<&'a [u8]> {
        let length = (self.known)(before, key, self.rest)?;
        let inside = self.rest.get(..length)?.strip_suffix(b"}")?;
        self.take(length);
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
        self.take(self.rest.iter().position(|&byte| ends_word(byte)).unwrap_or(self.rest.len()))
    }

    fn value(&mut self, key: &[u8]) -> Result<Value<'a>, ErrorKind> {
        if self.peek() != Some(b'[') {
            return self.scalar(key).map(Value::One);
        }
        self.take(1);
        let mut scalars = Vec::new();
        // A value is expected behind `[` and `,`; elsewhere only a quoted string may follow.
        let mut value_expected = true;
        loop {
            match self.peek() {
                None => return Err(ErrorKind::UnterminatedList),
                Some(b']') => {
                    self.take(1);
                    return Ok(if scalars.len() == 1 { Value::One(scalars.remove(0)) } else { Value::List(scalars) });
                }
                Some(b',') if !value_expected => {
                    self.take(1);
                    value_expected = true;
                }
                Some(b'"' | b'\'') => {
                    self.count_items(1)?;
                    scalars.push(self.scalar(key)?);
                    value_expected = false;
                }
                Some(_) if value_expected => {
                    self.count_items(1)?;
                    scalars.push(self.scalar(key)?);
                    value_expected = false;
                }
                Some(_) => return Err(ErrorKind::CommaExpected),
            }
        }
    }

    fn scalar(&mut self, key: &[u8]) -> Result<Scalar<'a>, ErrorKind> {
        match self.peek() {
            Some(quote @ (b'"' | b'\'')) => self.string(quote).map(Scalar::Str),
            Some(b'0'..=b'9' | b'+' | b'-' | b'.') => self.number(key),
            None | Some(b'{' | b'}' | b'[' | b']' | b',' | b'=') => Err(ErrorKind::ValueExpected),
            Some(_) => Ok(Scalar::Str(Cow::Borrowed(self.word()))),
        }
    }

    fn number(&mut self, key: &[u8]) -> Result<Scalar<'a>, ErrorKind> {
        let mut dotted = false;
        let ends = |(index, byte): (usize, &u8)| match byte {
            b'0'..=b'9' => false,
            b'+' | b'-' => index > 0,
            b'.' => std::mem::replace(&mut dotted, true),
            _ => true,
        };
        let length = self.rest.iter().enumerate().position(ends).unwrap_or(self.rest.len());
        let token = self.take(length);
        if dotted {
            let float = std::str::from_utf8(token).ok().and_then(|token| token.parse::<f64>().ok());
            // A lone dot, signed or not, is zero. What is too large stays a number: infinity, once
            // written, is a word.
            return Ok(Scalar::Float(float.unwrap_or(0.0).clamp(f64::MIN, f64::MAX)));
        }
        match integer(token) {
            Some(value) => Ok(Scalar::Int(value)),
            None if key == b"creation_time" => Ok(Scalar::Int(CREATION_TIME_OUT_OF_RANGE)),
            None => Err(ErrorKind::NumberOutOfRange),
        }
    }

    fn string(&mut self, quote: u8) -> Result<Cow<'a, [u8]>, ErrorKind> {
        let body = self.rest.get(1..).unwrap_or_default();
        let (length, escapes) = string_length(quote, body).ok_or(ErrorKind::UnterminatedString)?;
        let (raw, behind) = body.split_at_checked(length).unwrap_or((body, &[]));
        self.rest = behind.get(1..).unwrap_or_default();
        Ok(if escapes { Cow::Owned(unescape(raw)) } else { Cow::Borrowed(raw) })
    }
}

/// How long a string is whose quote has been opened, and whether there are backslashes in it. Only
/// between double quotes they are anything.
fn string_length(quote: u8, body: &[u8]) -> Option<(usize, bool)> {
    if quote == b'\'' {
        return Some((memchr::memchr(quote, body)?, false));
    }
    let (mut length, mut escapes) = (0_usize, false);
    loop {
        let rest = body.get(length..)?;
        let at = memchr::memchr2(quote, b'\\', rest)?;
        length = length.saturating_add(at);
        if rest.get(at) == Some(&quote) {
            return Some((length, escapes));
        }
        escapes = true;
        length = length.saturating_add(2);
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
fn integer(token: &[u8]) -> Option<i64> {
    let (negative, digits) = match token {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] | digits => (false, digits),
    };
    let base = if digits.starts_with(b"0") { 8 } else { 10 };
    digits.iter().map_while(|digit| char::from(*digit).to_digit(base)).try_fold(0i64, |value, digit| {
        let value = value.checked_mul(i64::from(base))?;
        if negative { value.checked_sub(i64::from(digit)) } else { value.checked_add(i64::from(digit)) }
    })
}

/// Where the levels of a path key stand in it. Leading and repeated slashes count for nothing, a
/// trailing one makes an empty last level.
struct Path {
    above: Vec<Range<usize>>,
    last: Range<usize>,
}

impl Path {
    fn of(key: &[u8]) -> Result<Path, ErrorKind> {
        let mut above = Vec::with_capacity(1);
        let mut start = 0_usize;
        while let Some(length) = memchr::memchr(b'/', key.get(start..).unwrap_or_default()) {
            if above.len() > MAX_DEPTH {
                return Err(ErrorKind::TooDeep);
            }
            let end = start.saturating_add(length);
            if length > 0 {
                above.push(start..end);
            }
            start = end.saturating_add(1);
        }
        Ok(Path { above, last: start..key.len() })
    }
}

fn nest<'a>(key: &Cow<'a, [u8]>, path: &Path, item: Item<'a>) -> Node<'a> {
    let part = |range: &Range<usize>| match key {
        Cow::Borrowed(bytes) => Cow::Borrowed(bytes.get(range.clone()).unwrap_or_default()),
        Cow::Owned(bytes) => Cow::Owned(bytes.get(range.clone()).unwrap_or_default().to_vec()),
    };
    let last = Node { key: part(&path.last), item };
    let around = |node, level| Node { key: part(level), item: Item::Section(Section(vec![node])) };
    path.above.iter().rev().fold(last, around)
}
