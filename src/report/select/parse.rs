//! The grammar: comparisons, joined by `&&`, and these by `||`; `!` only before parentheses.

use super::error::SelectError;
use super::eval::{Node, Test, What};
use super::lexer::{Comparison, Lexer, Logic, Op, WORD_END};
use super::list::Strings;
use super::literal;
use super::reserved::{self, Reserved};
use super::time::{self, Calendar};
use super::{LookUp, MAX_DEPTH};
use crate::dm_regex::DmRegex;
use crate::report::value::{Field, Kind};

pub struct Parser<'t> {
    pub lexer: Lexer<'t>,
    pub look_up: LookUp<'t>,
    pub calendar: &'t dyn Calendar,
    pub fields: Vec<&'static Field>,
    /// Where the second `=` of the last operator is, which is none: it begins the value.
    pub doubled: Option<usize>,
}

impl Parser<'_> {
    pub fn any(&mut self, depth: usize) -> Result<Node, SelectError> {
        self.joined(Logic::Or, What::Any, |parser| parser.all(depth))
    }

    fn all(&mut self, depth: usize) -> Result<Node, SelectError> {
        self.joined(Logic::And, What::All, |parser| parser.one(depth))
    }

    /// What stands alone is not put into a list of one.
    fn joined(
        &mut self,
        operator: Logic,
        join: fn(Vec<Node>) -> What,
        mut part: impl FnMut(&mut Self) -> Result<Node, SelectError>,
    ) -> Result<Node, SelectError> {
        let first = part(self)?;
        let mut nodes = vec![first];
        while self.lexer.logic(&[operator]).is_some() {
            nodes.push(part(self)?);
        }
        match nodes.pop() {
            Some(node) if nodes.is_empty() => Ok(node),
            last => {
                nodes.extend(last);
                Ok(Node { not: false, what: join(nodes) })
            }
        }
    }

    fn one(&mut self, depth: usize) -> Result<Node, SelectError> {
        let not = self.lexer.logic(&[Logic::Not]).is_some();
        self.lexer.skip_space();
        let open = self.lexer.at;
        if self.lexer.logic(&[Logic::Open]).is_none() {
            return if not { self.lexer.fail("a '(' is expected after the '!'") } else { self.test() };
        }
        if depth == MAX_DEPTH {
            return self.lexer.fail("too many parentheses in one another");
        }
        let mut node = self.any(depth + 1)?;
        if self.lexer.logic(&[Logic::Close]).is_none() {
            self.lexer.skip_space();
            return match self.lexer.peek() {
                None => Err(SelectError::new(open, "the ')' that closes this is missing")),
                Some(_) => self.lexer.fail("an operator or a ')' is expected"),
            };
        }
        // LVM takes the negation of a negation for one negation.
        node.not |= not;
        Ok(node)
    }

    fn test(&mut self) -> Result<Node, SelectError> {
        let (column, name) = self.lexer.field_name()?;
        let field = (self.look_up)(name).map_err(|message| SelectError::new(column, message))?;
        let (column, comparison) = self.lexer.comparison()?;
        check_kind(field, comparison).map_err(|message| SelectError::new(column, message))?;
        let is_doubled = comparison == Comparison::Value(Op::Equal) && self.lexer.peek() == Some(b'=');
        self.doubled = is_doubled.then_some(self.lexer.at);
        self.lexer.skip_space();
        let test = match comparison {
            Comparison::Regex { not } => {
                let word = self.lexer.expression()?;
                let regex = DmRegex::compile(word.text);
                let regex = regex.map_err(|error| SelectError::new(word.start + error.at, error.reason))?;
                Test::Regex { not, regex }
            }
            Comparison::Value(op) | Comparison::Time(op) => self.value(field, op)?,
        };
        self.lexer.skip_space();
        if !self.fields.iter().any(|known| std::ptr::eq(*known, field)) {
            self.fields.push(field);
        }
        Ok(Node { not: false, what: What::Test(field, test) })
    }

    fn value(&mut self, field: &Field, op: Op) -> Result<Test, SelectError> {
        let start = self.lexer.at;
        if let Ok(word) = self.lexer.word(WORD_END) {
            if let Some(reserved) = reserved::find(field, word.text) {
                return Ok(reserved_test(op, reserved));
            }
            if let Some((first, last)) = time::fuzzy(field, word.text, self.calendar) {
                return Ok(Test::Time(op, first, Some(last)));
            }
        }
        self.lexer.at = start;
        let lexer = &mut self.lexer;
        match field.kind {
            Kind::Number => Ok(Test::Number(op, literal::number(lexer)?)),
            Kind::Size => Ok(Test::Size(op, literal::size(lexer)?)),
            Kind::Percent => Ok(Test::Percent(op, literal::percent(lexer)?)),
            Kind::String => {
                let wanted = lexer.word(WORD_END)?.text.to_vec();
                Ok(Test::Text { not: op == Op::NotEqual, wanted })
            }
            Kind::StringList => Ok(Test::List { not: op == Op::NotEqual, strings: Strings::parse(lexer)? }),
            Kind::Time => {
                let (first, last) = time::literal(lexer, self.calendar)?;
                Ok(Test::Time(op, first, last))
            }
        }
    }
}

fn check_kind(field: &Field, comparison: Comparison) -> Result<(), &'static str> {
    match comparison {
        Comparison::Regex { .. } if field.kind != Kind::String => {
            Err("regular expressions are for fields that are strings")
        }
        Comparison::Time(_) if field.kind != Kind::Time => Err("this operator is for fields that are times"),
        Comparison::Value(Op::Equal | Op::NotEqual) => Ok(()),
        Comparison::Value(_) if matches!(field.kind, Kind::String | Kind::StringList) => {
            Err("this operator is for fields that are numbers, sizes, percentages or times")
        }
        _ => Ok(()),
    }
}

fn reserved_test(op: Op, reserved: Reserved) -> Test {
    match reserved {
        Reserved::Number(number) => Test::Number(op, number),
        Reserved::Size(size) => Test::Size(op, size),
        Reserved::Text(text) => Test::Text { not: op == Op::NotEqual, wanted: text.as_bytes().to_vec() },
    }
}
