//! Lists of strings: `tag`, `[a && b]`, `{a || b}`.

use super::error::SelectError;
use super::lexer::{ITEM_END, Lexer, Logic, WORD_END, Word};

/// What a list is compared with.
pub struct Strings {
    /// `[ ]`: the list has nothing else.
    strict: bool,
    /// `&&`, or one item in `[ ]`.
    all: bool,
    items: Vec<Vec<u8>>,
}

impl Strings {
    pub fn parse(lexer: &mut Lexer<'_>) -> Result<Strings, SelectError> {
        let (strict, all, words) = match lexer.logic(&[Logic::ListOpen, Logic::SubsetOpen]) {
            None => (false, false, vec![lexer.word(WORD_END)?]),
            Some(open) => list(lexer, open == Logic::ListOpen)?,
        };
        Ok(Strings { strict, all, items: words.into_iter().map(|word| word.text.to_vec()).collect() })
    }

    /// LVM takes an empty list for a list of an empty string.
    pub fn match_list(&self, mut list: Vec<&[u8]>) -> bool {
        let wanted = &self.items;
        if list.is_empty() {
            return if self.all { wanted.len() == 1 && wanted[0].is_empty() } else { wanted.contains(&Vec::new()) };
        }
        if !self.all {
            return wanted.iter().any(|item| list.contains(&&**item));
        }
        if !self.strict {
            return wanted.iter().all(|item| list.contains(&&**item));
        }
        let mut wanted = wanted.iter().map(|item| &**item).collect::<Vec<_>>();
        wanted.sort_unstable();
        list.sort_unstable();
        wanted == list
    }
}

type List<'t> = (bool, bool, Vec<Word<'t>>);

fn list<'t>(lexer: &mut Lexer<'t>, strict: bool) -> Result<List<'t>, SelectError> {
    let start = lexer.at - 1;
    let (closing, sign) = if strict { (Logic::ListClose, ']') } else { (Logic::SubsetClose, '}') };
    let mut words = Vec::new();
    let mut joined = None;
    loop {
        lexer.skip_space();
        if lexer.rest().is_empty() {
            return Err(SelectError::new(start, format!("the {sign} that closes this list is missing")));
        }
        words.push(lexer.word(ITEM_END)?);
        lexer.skip_space();
        let operator = lexer.at;
        match lexer.logic(ITEM_END) {
            Some(logic) if logic == closing => break,
            Some(Logic::ListClose | Logic::SubsetClose) => {
                return Err(SelectError::new(operator, format!("{sign} is expected, to close the list")));
            }
            Some(logic) if joined.is_some_and(|before| before != logic) => {
                return Err(SelectError::new(operator, "a list is joined by && or by ||, not by both"));
            }
            Some(logic) => joined = Some(logic),
            None if lexer.rest().is_empty() => {}
            None => return lexer.fail(format!("&&, || or {sign} is expected in a list")),
        }
    }
    let all = joined.map_or(strict, |logic| logic == Logic::And);
    Ok((strict, all, words))
}
