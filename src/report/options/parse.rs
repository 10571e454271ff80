//! Words to options, as getopt_long takes them.

use super::table::{Effect, OPTIONS, Repeat, Spec, Takes};
use super::{Command, Group, Options};

/// What is wrong with a command line, one line each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal(pub Vec<String>);

/// Of the words behind the command's name.
///
/// # Errors
/// What LVM says of it.
pub fn parse(command: Command, words: &[Vec<u8>]) -> Result<Options, Refusal> {
    let mut parser = Parser { command, options: Options::default(), seen: Vec::new(), groups: Vec::new() };
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match word.as_slice() {
            b"--" => {
                parser.options.names.extend(words.by_ref().cloned());
            }
            [b'-', b'-', long @ ..] => {
                let (name, value) = match long.iter().position(|&byte| byte == b'=') {
                    Some(at) => (&long[..at], Some(&long[at + 1..])),
                    None => (long, None),
                };
                let spec = parser.long(name)?;
                let value = match (spec.takes, value) {
                    (Takes::Nothing, Some(_)) => {
                        return Err(parser.refuse(format!("option '--{}' doesn't allow an argument", spec.long)));
                    }
                    (Takes::Nothing, None) => &b""[..],
                    (Takes::Value, Some(value)) => value,
                    (Takes::Value, None) => words
                        .next()
                        .ok_or_else(|| parser.refuse(format!("option '--{}' requires an argument", spec.long)))?,
                };
                parser.take(spec, value)?;
            }
            [b'-', short @ ..] if !short.is_empty() => {
                let mut rest = short;
                while let [letter, after @ ..] = rest {
                    rest = after;
                    let spec = parser.short(*letter)?;
                    let value = match spec.takes {
                        Takes::Nothing => &b""[..],
                        Takes::Value if !rest.is_empty() => std::mem::take(&mut rest),
                        Takes::Value => words.next().ok_or_else(|| {
                            parser.refuse(format!("option requires an argument -- '{}'", char::from(*letter)))
                        })?,
                    };
                    parser.take(spec, value)?;
                }
            }
            name => parser.options.names.push(name.to_vec()),
        }
    }
    parser.options.groups = parser.groups.into_iter().map(|(group, _)| group).collect();
    Ok(parser.options)
}

struct Parser {
    command: Command,
    options: Options,
    seen: Vec<&'static str>,
    /// Each with those of its options that it has.
    groups: Vec<(Group, Vec<&'static str>)>,
}

impl Parser {
    fn refuse(&self, what: String) -> Refusal {
        let what = format!("{}: {what}", self.command.name());
        Refusal(vec![what, "  Error during parsing of command line.".to_owned()])
    }

    fn known(&self) -> impl Iterator<Item = &'static Spec> {
        let command = self.command;
        OPTIONS.iter().filter(move |spec| spec.commands.contains(&command))
    }

    fn short(&self, letter: u8) -> Result<&'static Spec, Refusal> {
        let found = self.known().find(|spec| spec.short == Some(letter));
        found.ok_or_else(|| self.refuse(format!("invalid option -- '{}'", letter.escape_ascii())))
    }

    fn long(&self, name: &[u8]) -> Result<&'static Spec, Refusal> {
        if let Some(spec) = self.known().find(|spec| spec.long.as_bytes() == name) {
            return Ok(spec);
        }
        let mut found = self.known().filter(|spec| spec.long.as_bytes().starts_with(name)).collect::<Vec<_>>();
        found.sort_by_key(|spec| spec.long);
        match found[..] {
            [spec] => Ok(spec),
            [] => Err(self.refuse(format!("unrecognized option '--{}'", name.escape_ascii()))),
            _ => {
                let possible = found.iter().map(|spec| format!("'--{}'", spec.long)).collect::<Vec<_>>().join(" ");
                let name = name.escape_ascii();
                Err(self.refuse(format!("option '--{name}' is ambiguous; possibilities: {possible}")))
            }
        }
    }

    fn take(&mut self, spec: &'static Spec, value: &[u8]) -> Result<(), Refusal> {
        let wrong =
            |lines: Vec<String>| Refusal([lines, vec!["  Error during parsing of command line.".to_owned()]].concat());
        if spec.repeat == Repeat::No && self.seen.contains(&spec.long) {
            let name = spec.short.map_or_else(String::new, |letter| format!("-{}/", char::from(letter)));
            return Err(wrong(vec![format!("  Option {name}--{} may not be repeated.", spec.long)]));
        }
        self.seen.push(spec.long);
        let value = String::from_utf8_lossy(value);
        let taken = match &spec.effect {
            Effect::Works(set) => set(&mut self.options, &value),
            Effect::Group(set) => set(self.group(spec.long), &value),
            Effect::Nothing(_) => Ok(()),
            Effect::Refused(why) => return Err(wrong(vec![format!("  --{}: {why}.", spec.long)])),
        };
        taken.map_err(|expected| {
            let what = format!("  Invalid argument for --{}: {}", spec.long, value.escape_default());
            wrong(vec![what, format!("  Expected {expected}.")])
        })
    }

    /// The one that the option goes to. `--configreport` comes before what it is for.
    fn group(&mut self, long: &'static str) -> &mut Group {
        let is_new = match self.groups.last() {
            None => true,
            Some((group, has)) => has.contains(&long) || (long == "configreport" && group.part.is_none()),
        };
        if is_new {
            self.groups.push((Group::default(), Vec::new()));
        }
        let at = self.groups.len() - 1;
        let (group, has) = &mut self.groups[at];
        has.push(long);
        group
    }
}
