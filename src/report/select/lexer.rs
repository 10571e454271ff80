//! Takes the words of a selection apart.

use super::error::SelectError;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    Equal,
    NotEqual,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
}

pub struct Lexer<'t> {
    pub text: &'t [u8],
    pub at: usize,
}

/// What joins comparisons, in LVM's order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Logic {
    And,
    Or,
    Not,
    Open,
    Close,
    ListOpen,
    ListClose,
    SubsetOpen,
    SubsetClose,
}

const LOGIC: [(&[u8], Logic); 11] = [
    (b"&&", Logic::And),
    (b",", Logic::And),
    (b"||", Logic::Or),
    (b"#", Logic::Or),
    (b"!", Logic::Not),
    (b"(", Logic::Open),
    (b")", Logic::Close),
    (b"[", Logic::ListOpen),
    (b"]", Logic::ListClose),
    (b"{", Logic::SubsetOpen),
    (b"}", Logic::SubsetClose),
];

/// What ends a word that is not quoted.
pub const WORD_END: &[Logic] = &[Logic::And, Logic::Or, Logic::Close];
pub const ITEM_END: &[Logic] = &[Logic::And, Logic::Or, Logic::ListClose, Logic::SubsetClose];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    Regex {
        not: bool,
    },
    /// Of any kind for `=` and `!=`, else of what has an order.
    Value(Op),
    /// The word for it that only times have.
    Time(Op),
}

const COMPARISONS: [(&[u8], Comparison); 12] = [
    (b"=~", Comparison::Regex { not: false }),
    (b"!~", Comparison::Regex { not: true }),
    (b"=", Comparison::Value(Op::Equal)),
    (b"!=", Comparison::Value(Op::NotEqual)),
    (b">=", Comparison::Value(Op::GreaterOrEqual)),
    (b">", Comparison::Value(Op::Greater)),
    (b"<=", Comparison::Value(Op::LessOrEqual)),
    (b"<", Comparison::Value(Op::Less)),
    (b"since", Comparison::Time(Op::GreaterOrEqual)),
    (b"after", Comparison::Time(Op::Greater)),
    (b"until", Comparison::Time(Op::LessOrEqual)),
    (b"before", Comparison::Time(Op::Less)),
];

/// As C has it.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

impl<'t> Lexer<'t> {
    pub fn rest(&self) -> &'t [u8] {
        self.text.get(self.at..).unwrap_or_default()
    }

    pub fn peek(&self) -> Option<u8> {
        self.rest().first().copied()
    }

    pub fn skip_space(&mut self) {
        self.at += self.rest().iter().take_while(|&&byte| is_space(byte)).count();
    }

    pub fn fail<T>(&self, message: impl Into<String>) -> Result<T, SelectError> {
        Err(SelectError::new(self.at, message))
    }

    /// The operator that comes next, if it is one of these, is taken.
    pub fn logic(&mut self, wanted: &[Logic]) -> Option<Logic> {
        let found = find_logic(self.rest(), wanted)?;
        self.at += found.0;
        Some(found.1)
    }

    pub fn field_name(&mut self) -> Result<(usize, &'t str), SelectError> {
        self.skip_space();
        let start = self.at;
        let is_name = |byte: &&u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        let length = self.rest().iter().take_while(is_name).count();
        let name = str::from_utf8(&self.rest()[..length]).unwrap_or_default();
        if name.is_empty() {
            return self.fail("the name of a field is expected");
        }
        self.at += length;
        Ok((start, name))
    }

    pub fn comparison(&mut self) -> Result<(usize, Comparison), SelectError> {
        self.skip_space();
        let start = self.at;
        let found = COMPARISONS.iter().find(|(sign, _)| self.rest().starts_with(sign));
        let Some((sign, comparison)) = found else {
            return self.fail("an operator is expected: one of =~ !~ = != >= > <= < since after until before");
        };
        self.at += sign.len();
        Ok((start, *comparison))
    }

    /// A word, in quotes or up to a space or one of the operators.
    pub fn word(&mut self, ends: &[Logic]) -> Result<Word<'t>, SelectError> {
        match self.peek() {
            Some(quote @ (b'"' | b'\'')) => self.until(quote),
            _ => Ok(self.bare(ends)),
        }
    }

    /// An expression may stand in brackets of any kind, too, which are no part of it.
    pub fn expression(&mut self) -> Result<Word<'t>, SelectError> {
        match self.peek() {
            None => self.fail("a regular expression is expected"),
            Some(b'(') => self.until(b')'),
            Some(b'{') => self.until(b'}'),
            Some(b'[') => self.until(b']'),
            Some(_) => self.word(WORD_END),
        }
    }

    fn until(&mut self, close: u8) -> Result<Word<'t>, SelectError> {
        let inner = self.rest().get(1..).unwrap_or_default();
        let Some(length) = memchr::memchr(close, inner) else {
            return self.fail(format!("the {} that closes this is missing", char::from(close)));
        };
        let word = Word { start: self.at + 1, text: &inner[..length] };
        self.at += length + 2;
        Ok(word)
    }

    fn bare(&mut self, ends: &[Logic]) -> Word<'t> {
        let rest = self.rest();
        let mut length = 0;
        while length < rest.len() && rest[length] != b' ' && find_logic(&rest[length..], ends).is_none() {
            // Other space than this belongs to the word, if no operator comes after it.
            length += rest[length..].iter().take_while(|&&byte| byte != b' ' && is_space(byte)).count().max(1);
        }
        let word = Word { start: self.at, text: &rest[..length] };
        self.at += length;
        word
    }

    /// Digits with at most one point.
    pub fn number(&mut self) -> &'t str {
        let mut points = 0;
        let is_part = |byte: &&u8| match byte {
            b'.' => {
                points += 1;
                points == 1
            }
            byte => byte.is_ascii_digit(),
        };
        let length = self.rest().iter().take_while(is_part).count();
        let digits = str::from_utf8(&self.rest()[..length]).unwrap_or_default();
        self.at += length;
        digits
    }
}

/// A value as it stands in the selection, without its quotes.
#[derive(Clone, Copy)]
pub struct Word<'t> {
    pub start: usize,
    pub text: &'t [u8],
}

/// How long the operator is, with the space before it.
fn find_logic(rest: &[u8], wanted: &[Logic]) -> Option<(usize, Logic)> {
    let space = rest.iter().take_while(|&&byte| is_space(byte)).count();
    let known = |&(sign, logic): &(&[u8], Logic)| wanted.contains(&logic) && rest[space..].starts_with(sign);
    LOGIC.into_iter().find(known).map(|(sign, logic)| (space + sign.len(), logic))
}
