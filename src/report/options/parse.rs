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
            [b'-', b'-', rest @ ..] if rest.iter().all(|&byte| byte == b'-') => {
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

    /// Hyphens in it count for nothing, as for LVM: `--no-headings` is `--noheadings`.
    fn long(&self, name: &[u8]) -> Result<&'static Spec, Refusal> {
        let name = &name.iter().copied().filter(|&byte| byte != b'-').collect::<Vec<_>>()[..];
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
            Effect::Nothing(_, check) => check(&mut self.options, &value),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::options::Part;
    use crate::report::settings::Headings;

    fn parse_line(command: Command, line: &str) -> Result<Options, Vec<String>> {
        let words = line.split(' ').filter(|word| !word.is_empty()).map(|word| word.as_bytes().to_vec());
        parse(command, &words.collect::<Vec<_>>()).map_err(|Refusal(lines)| lines)
    }

    #[test]
    fn words_are_taken_as_getopt_takes_them() {
        let options = parse_line(Command::Lvs, "-ao+devices vg --unbuf --units=m -Ovg_name -- -x").unwrap();
        assert!(options.all && options.unbuffered);
        assert_eq!(options.units.as_deref(), Some("m"));
        assert_eq!(options.names, [b"vg".to_vec(), b"-x".to_vec()]);
        let [group] = &options.groups[..] else { panic!("{options:?}") };
        assert_eq!((group.fields.as_deref(), group.sort.as_deref()), (Some("+devices"), Some("vg_name")));
    }

    #[test]
    fn what_has_no_effect_is_told_where_lvm_tells_it() {
        let options = parse_line(Command::Vgs, "-t --journal foo -q -q -d -d --driverloaded n").unwrap();
        assert!(options.test && options.unknown_journal);
        assert!(!parse_line(Command::Vgs, "--journal output").unwrap().unknown_journal);
    }

    #[test]
    fn hyphens_in_options_count_for_nothing() {
        let options = parse_line(Command::Vgs, "--no-head --no-suffix --un-its=b ---rows --- --all").unwrap();
        assert!(options.headings == Some(Headings::Off) && options.no_suffix && options.rows);
        assert_eq!(options.units.as_deref(), Some("b"));
        assert_eq!(options.names, [b"--all".to_vec()]);
    }

    #[test]
    fn what_is_for_another_report_is_another_group() {
        let line = "-o a --configreport lv -o b -S c --configreport seg -o d -o e";
        let options = parse_line(Command::FullReport, line).unwrap();
        let groups = options.groups.iter().map(|group| (group.part, group.fields.as_deref().unwrap_or("")));
        let expected = [(None, "a"), (Some(Part::Lv), "b"), (Some(Part::Seg), "d"), (None, "e")];
        assert_eq!(groups.collect::<Vec<_>>(), expected);
        assert_eq!(options.groups[1].select.as_deref(), Some("c"));
    }

    #[test]
    fn a_line_that_is_wrong_is_refused_in_lvms_words() {
        for (command, line, expected) in [
            (Command::Lvs, "--foo", "lvs: unrecognized option '--foo'"),
            (Command::Lvs, "--no-foo", "lvs: unrecognized option '--nofoo'"),
            (Command::Vgs, "--segments", "vgs: unrecognized option '--segments'"),
            (Command::Lvs, "-Z", "lvs: invalid option -- 'Z'"),
            (Command::Lvs, "-a -a", "  Option -a/--all may not be repeated."),
            (Command::Lvs, "--rows --rows", "  Option --rows may not be repeated."),
            (Command::Lvs, "--rows=1", "lvs: option '--rows' doesn't allow an argument"),
            (Command::Pvs, "--reportformat x", "  Invalid argument for --reportformat: x"),
            (Command::Pvs, "--driverloaded yes", "  Invalid argument for --driverloaded: yes"),
            (Command::Pvs, "--devicesfile a/b", "  Invalid argument for --devicesfile: a/b"),
            (Command::Pvs, "--nolocking --nolocking", "  Option --nolocking may not be repeated."),
            (Command::Pvs, "-t -t", "  Option -t/--test may not be repeated."),
            (Command::Pvs, "--configreport foo", "  Invalid argument for --configreport: foo"),
            (
                Command::Lvs,
                "--no",
                "lvs: option '--no' is ambiguous; possibilities: '--noheadings' '--nohints' '--nolocking' '--nosuffix'",
            ),
        ] {
            let lines = parse_line(command, line).unwrap_err();
            assert_eq!(lines[0], expected);
            assert_eq!(lines.last().unwrap(), "  Error during parsing of command line.");
        }
    }
}
