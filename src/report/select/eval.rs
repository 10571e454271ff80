//! A selection, read: what it compares, and whether that matches.

use super::lexer::Op;
use super::list::Strings;
use crate::dm_regex::DmRegex;
use crate::report::key;
use crate::report::value::{Field, Value};

pub struct Node {
    pub not: bool,
    pub what: What,
}

pub enum What {
    All(Vec<Node>),
    Any(Vec<Node>),
    Test(&'static Field, Test),
}

pub enum Test {
    Number(Op, u64),
    /// In sectors.
    Size(Op, f64),
    Percent(Op, u64),
    Text {
        not: bool,
        wanted: Vec<u8>,
    },
    Regex {
        not: bool,
        regex: DmRegex,
    },
    List {
        not: bool,
        strings: Strings,
    },
    /// From the one to the other, if there is another.
    Time(Op, i64, Option<i64>),
}

/// What stands for an undefined number.
const UNDEFINED: u64 = u64::MAX;
const WHOLE: u64 = 100_000_000;

impl Node {
    pub fn matches<'v>(&self, value: &mut dyn FnMut(&'static Field) -> Value<'v>) -> bool {
        let found = match &self.what {
            What::All(nodes) => nodes.iter().all(|node| node.matches(value)),
            What::Any(nodes) => nodes.iter().any(|node| node.matches(value)),
            What::Test(field, test) => test.matches(field, &value(field)),
        };
        found != self.not
    }
}

impl Test {
    fn matches(&self, field: &Field, value: &Value<'_>) -> bool {
        match self {
            Test::Number(op, wanted) => number(*op, key::number(value), *wanted),
            Test::Percent(op, wanted) => {
                let percent = key::number(value);
                percent <= WHOLE && number(*op, percent, *wanted)
            }
            Test::Size(op, wanted) => size(*op, key::size(value), *wanted),
            Test::Text { not, wanted } => (*key::text(field, value) == **wanted) != *not,
            Test::Regex { not, regex } => regex.matches(&key::text(field, value)) != *not,
            Test::List { not, strings } => strings.match_list(key::items(value)) != *not,
            Test::Time(op, first, last) => time(*op, key::time(value), *first, *last),
        }
    }
}

fn number(op: Op, value: u64, wanted: u64) -> bool {
    let defined = value != UNDEFINED && wanted != UNDEFINED;
    match op {
        Op::Equal => value == wanted,
        Op::NotEqual => value != wanted,
        Op::Greater => defined && value > wanted,
        Op::GreaterOrEqual => defined && value >= wanted,
        Op::Less => defined && value < wanted,
        Op::LessOrEqual => defined && value <= wanted,
    }
}

/// What is nearer than this is equal, to LVM. The largest size stands for `auto`.
fn size(op: Op, value: f64, wanted: f64) -> bool {
    let equal = (value - wanted).abs() < f64::EPSILON;
    let ordered = value < f64::MAX && wanted < f64::MAX;
    match op {
        Op::Equal => equal,
        Op::NotEqual => !equal,
        Op::Greater => ordered && value > wanted && !equal,
        Op::GreaterOrEqual => ordered && (value > wanted || equal),
        Op::Less => ordered && value < wanted && !equal,
        Op::LessOrEqual => ordered && (value < wanted || equal),
    }
}

/// `!=` with a span of time is what `=` is. That is LVM's doing.
fn time(op: Op, value: i64, first: i64, last: Option<i64>) -> bool {
    let last_of_it = last.unwrap_or(first);
    match op {
        Op::NotEqual if last.is_none() => value != first,
        Op::Equal | Op::NotEqual => value >= first && value <= last_of_it,
        Op::Greater => value > last_of_it,
        Op::GreaterOrEqual => value >= first,
        Op::Less => value < first,
        Op::LessOrEqual => value <= last_of_it,
    }
}
