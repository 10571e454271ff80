//! What there is to ask for, in our words.

use super::columns::{self, SELECTED};
use super::options::{Command, Effect, OPTIONS, Takes};
use super::value::{Field, Kind, Object};
use std::fmt::Write;

/// The usage of a command.
pub fn usage(command: Command) -> String {
    let (names, about) = match command {
        Command::Pvs => ("[PV|@TAG...]", "PVs"),
        Command::Vgs => ("[VG|@TAG...]", "VGs"),
        Command::Lvs => ("[VG|VG/LV|@TAG...]", "LVs"),
        Command::FullReport => ("[VG|@TAG...]", "VGs with all that is in them"),
    };
    let name = command.name();
    let mut out = format!("Usage: pvwatch {name} [options] {names}\n\nReports {about}, as lvm {name} does.\n\n");
    for spec in OPTIONS.iter().filter(|spec| spec.commands.contains(&command)) {
        let short = spec.short.map_or_else(|| "    ".to_owned(), |letter| format!("-{}, ", char::from(letter)));
        let value = if spec.takes == Takes::Value { " VALUE" } else { "" };
        let long = format!("--{}{value}", spec.long);
        let what = match &spec.effect {
            Effect::Works(_) | Effect::Group(_) => spec.help.to_owned(),
            Effect::Nothing(why, _) => format!("no effect: {why}"),
            Effect::Refused(why) => format!("refused: {why}"),
        };
        let _ = writeln!(out, "  {short}{long:24} {what}");
    }
    let _ = writeln!(out, "\n-o help: all fields; -S help: their kinds, and how to select by them.");
    let _ =
        writeln!(out, "pvwatch --timeout SECONDS {}: wait that long for the daemon, not 30 seconds.", command.name());
    let _ = writeln!(out, "Exit status: 0 done, 3 usage, 4 the daemon cannot be asked, 5 failed.");
    out
}

fn title(object: Object) -> &'static str {
    match object {
        Object::Label => "PV labels",
        Object::Pv => "PVs",
        Object::Vg => "VGs",
        Object::Lv => "LVs",
        Object::LvInfo => "LVs, of their devices",
        Object::LvStatus => "LVs, of what device-mapper knows",
        Object::LvInfoStatus => "LVs, of metadata and device-mapper",
        Object::Seg => "segments of LVs",
        Object::PvSeg => "segments of PVs",
        Object::Log => "the log",
    }
}

fn kind(field: &Field) -> &'static str {
    match field.kind {
        Kind::Number => "number",
        Kind::Size => "size",
        Kind::Percent => "percent",
        Kind::String => "string",
        Kind::StringList => "string list",
        Kind::Time => "time",
    }
}

/// All fields that a report may have which begins as one of `object`.
pub fn fields(object: Object, with_kinds: bool) -> String {
    let mut out = String::new();
    let mut last = None;
    let known = || columns::known(object);
    let width = known().map(|field| field.name.len()).max().unwrap_or(0);
    for field in known() {
        if last != Some(field.object) {
            let gap = if last.is_some() { "\n" } else { "" };
            let _ = writeln!(out, "{gap}  Fields of {}", title(field.object));
            let all = format!("{}_all", columns::prefix(field.object));
            let _ = writeln!(out, "    {all:width$} - All of these.");
            last = Some(field.object);
        }
        line(&mut out, field, width, with_kinds);
    }
    out.push_str("\n  Fields of any report\n");
    line(&mut out, &SELECTED, width, with_kinds);
    out
}

fn line(out: &mut String, field: &Field, width: usize, with_kinds: bool) {
    let kind = if with_kinds { format!(" [{}]", kind(field)) } else { String::new() };
    let later = if field.later { " (not in all)" } else { "" };
    let _ = writeln!(out, "    {:width$} - {}{later}{kind}", field.name, field.help);
}

/// How rows are selected.
pub const SELECTION: &str = "
  How to select
    FIELD = VALUE   FIELD != VALUE      equal, or not [all kinds]
    FIELD < VALUE   <=   >   >=         [number, size, percent, time]
    FIELD =~ REGEX  FIELD !~ REGEX      the expression fits, or not [string]
    FIELD since|after|until|before TIME [time]
    A && B   A , B                      both
    A || B   A # B                      one of them, or both
    !(A)   (A)                          not A; A before the rest
    { X && Y }   { X || Y }             a list has all of these, or one
    [ X && Y ]                          a list has these and no others
  Sizes are in megabytes, or in what their letter says. Values with spaces stand in quotes.
  undefined, unknown, undef and -1 are for numbers of which nothing is known.
";

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of options in the README.
    fn table() -> Vec<String> {
        let readme = include_str!("../../README.md");
        let rows = readme.lines().skip_while(|line| *line != "| option of a report | |").skip(2);
        rows.take_while(|line| line.starts_with('|')).map(str::to_owned).collect()
    }

    #[test]
    fn every_option_is_in_the_readme() {
        let rows = table();
        for spec in OPTIONS {
            let name = format!("`--{}`", spec.long);
            let row = rows.iter().find(|row| row.contains(&name));
            let row = row.unwrap_or_else(|| panic!("--{} is not there", spec.long));
            let expected = match &spec.effect {
                Effect::Works(_) | Effect::Group(_) => "works",
                Effect::Nothing(..) => "no effect",
                Effect::Refused(_) => "refused",
            };
            assert!(row.split('|').nth(2).is_some_and(|what| what.trim().starts_with(expected)), "{row}");
        }
    }
}
