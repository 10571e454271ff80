//! Every option of LVM's report commands, and ours.

use super::{Command, Format, Group, Options, Part};
use crate::report::settings::Headings;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    Nothing,
    Value,
}

/// How often an option may be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeat {
    No,
    Yes,
    /// In another group.
    Grouped,
}

pub enum Effect {
    /// Sets what it says; if it cannot mean anything, in words, what its value must be.
    Works(fn(&mut Options, &str) -> Result<(), String>),
    /// Of a group.
    Group(fn(&mut Group, &str) -> Result<(), String>),
    /// Taken, and changes nothing here: why. A value that LVM refuses is refused.
    Nothing(&'static str, fn(&mut Options, &str) -> Result<(), String>),
    /// Not taken: why.
    Refused(&'static str),
}

pub struct Spec {
    pub short: Option<u8>,
    pub long: &'static str,
    pub takes: Takes,
    pub repeat: Repeat,
    pub effect: Effect,
    pub commands: &'static [Command],
    /// In our words.
    pub help: &'static str,
}

const ALL: &[Command] = &[Command::Pvs, Command::Vgs, Command::Lvs, Command::FullReport];
const WITH_SEGMENTS: &[Command] = &[Command::Pvs, Command::Lvs];
const OF_LVS: &[Command] = &[Command::Lvs];

const NO_LOCKS: &str = "nothing is locked";
const NO_CHANGES: &str = "nothing is changed";
const NO_FILE: &str = "the daemon goes by its own, and with --devices none counts";
const NO_JOURNAL: &str = "nothing is written to the journal";
const ONLY_LIVE: &str = "device-mapper is asked with --live only";
const READ_ANEW: &str = "hints are not used";

const fn switch(
    short: Option<u8>,
    long: &'static str,
    help: &'static str,
    set: fn(&mut Options, &str) -> Result<(), String>,
) -> Spec {
    Spec { short, long, takes: Takes::Nothing, repeat: Repeat::No, effect: Effect::Works(set), commands: ALL, help }
}

const fn value(
    short: Option<u8>,
    long: &'static str,
    help: &'static str,
    set: fn(&mut Options, &str) -> Result<(), String>,
) -> Spec {
    Spec { short, long, takes: Takes::Value, repeat: Repeat::No, effect: Effect::Works(set), commands: ALL, help }
}

const fn grouped(
    short: Option<u8>,
    long: &'static str,
    help: &'static str,
    set: fn(&mut Group, &str) -> Result<(), String>,
) -> Spec {
    Spec { short, long, takes: Takes::Value, repeat: Repeat::Grouped, effect: Effect::Group(set), commands: ALL, help }
}

const fn nothing(short: Option<u8>, long: &'static str, takes: Takes, why: &'static str) -> Spec {
    let effect = Effect::Nothing(why, |_, _| Ok(()));
    Spec { short, long, takes, repeat: Repeat::No, effect, commands: ALL, help: why }
}

const fn checked(spec: Spec, why: &'static str, check: fn(&mut Options, &str) -> Result<(), String>) -> Spec {
    Spec { effect: Effect::Nothing(why, check), ..spec }
}

const fn refused(long: &'static str, takes: Takes, why: &'static str) -> Spec {
    Spec { short: None, long, takes, repeat: Repeat::Yes, effect: Effect::Refused(why), commands: ALL, help: why }
}

macro_rules! set {
    ($field:ident) => {
        |options, _| {
            options.$field = true;
            Ok(())
        }
    };
}

macro_rules! keep {
    ($field:ident) => {
        |options, value| {
            options.$field = Some(value.to_owned());
            Ok(())
        }
    };
}

pub const OPTIONS: &[Spec] = &[
    grouped(
        Some(b'o'),
        "options",
        "fields to show; +FIELDS adds, -FIELDS takes away, #FIELDS shows only if set",
        keep!(fields),
    ),
    grouped(Some(b'O'), "sort", "fields to sort by; -FIELD from the last one", keep!(sort)),
    grouped(Some(b'S'), "select", "only rows for which this holds; see -S help", keep!(select)),
    grouped(
        None,
        "configreport",
        "what -o, -O and -S behind it are for: log, vg, lv, pv, pvseg or seg",
        |group, value| {
            group.part = Some(Part::parse(value).ok_or("log, vg, lv, pv, pvseg or seg")?);
            Ok(())
        },
    ),
    Spec { commands: WITH_SEGMENTS, ..switch(None, "segments", "a row for each segment", set!(segments)) },
    switch(Some(b'a'), "all", "LVs that users do not see; devices that are no PVs", set!(all)),
    Spec {
        commands: OF_LVS,
        ..switch(Some(b'H'), "history", "LVs that were removed and are remembered", set!(history))
    },
    switch(None, "foreign", "VGs of other hosts, too", set!(foreign)),
    switch(None, "shared", "VGs that need a lock daemon, too", set!(shared)),
    value(None, "units", "r, h, b, s, k, m, g, t, p, e, in capitals by thousands, or a number of these", keep!(units)),
    switch(None, "nosuffix", "sizes without their unit", set!(no_suffix)),
    switch(None, "noheadings", "no headings", |options, _| {
        options.headings = Some(Headings::Off);
        Ok(())
    }),
    value(None, "headings", "none, abbrev or full", |options, value| {
        options.headings = Some(match value {
            "none" | "0" => Headings::Off,
            "abbrev" | "1" => Headings::Short,
            "full" | "2" => Headings::Names,
            _ => return Err("none, abbrev, full, 0, 1 or 2".to_owned()),
        });
        Ok(())
    }),
    value(None, "separator", "between columns", keep!(separator)),
    switch(None, "nameprefixes", "LVM2_FIELD='value'", set!(name_prefixes)),
    switch(None, "unquoted", "without the quotes", set!(unquoted)),
    switch(None, "rows", "a line for each column", set!(rows)),
    switch(None, "aligned", "columns with --separator, too", set!(aligned)),
    switch(None, "unbuffered", "each row at once, unsorted", set!(unbuffered)),
    switch(None, "binary", "0 and 1 for what is set or not", set!(binary)),
    value(None, "reportformat", "basic, json or json_std", |options, value| {
        options.format = Some(match value {
            "basic" => Format::Basic,
            "json" => Format::Json,
            "json_std" => Format::JsonStd,
            _ => return Err("basic, json or json_std".to_owned()),
        });
        Ok(())
    }),
    switch(None, "logonly", "what was done, not what was found", set!(log_only)),
    value(None, "config", "settings laid over lvm.conf", keep!(config)),
    value(None, "profile", "a file of settings laid over lvm.conf", keep!(profile)),
    value(None, "commandprofile", "the same", keep!(profile)),
    checked(nothing(None, "devicesfile", Takes::Value, NO_FILE), NO_FILE, |_, value| {
        if value.contains('/') { Err("the name of a file, without its directory".to_owned()) } else { Ok(()) }
    }),
    Spec {
        repeat: Repeat::Yes,
        ..value(None, "devices", "look at these devices and images, without a daemon", |options, value| {
            options.devices.push(value.to_owned());
            Ok(())
        })
    },
    value(Some(b's'), "socket", "where the daemon is to be asked", keep!(socket)),
    switch(None, "live", "ask device-mapper, which needs root", set!(live)),
    Spec {
        repeat: Repeat::Yes,
        ..switch(Some(b'v'), "verbose", "more columns", |options, _| {
            options.verbose = options.verbose.saturating_add(1);
            Ok(())
        })
    },
    Spec { repeat: Repeat::Yes, ..nothing(Some(b'q'), "quiet", Takes::Nothing, "reports have nothing that it hides") },
    switch(Some(b'h'), "help", "print this", set!(help)),
    switch(None, "longhelp", "print this", set!(help)),
    switch(None, "version", "print the version", set!(version)),
    Spec { repeat: Repeat::Yes, ..nothing(Some(b'd'), "debug", Takes::Nothing, "there is no debugging output") },
    checked(nothing(Some(b't'), "test", Takes::Nothing, NO_CHANGES), NO_CHANGES, |options, _| {
        options.test = true;
        Ok(())
    }),
    nothing(Some(b'y'), "yes", Takes::Nothing, "nothing is asked"),
    checked(nothing(None, "driverloaded", Takes::Value, ONLY_LIVE), ONLY_LIVE, |_, value| match value {
        "y" | "n" => Ok(()),
        _ => Err("y or n".to_owned()),
    }),
    nothing(None, "ignorelockingfailure", Takes::Nothing, NO_LOCKS),
    nothing(None, "nolocking", Takes::Nothing, NO_LOCKS),
    nothing(None, "lockopt", Takes::Value, NO_LOCKS),
    nothing(None, "readonly", Takes::Nothing, "nothing is ever locked or written"),
    nothing(None, "nohints", Takes::Nothing, READ_ANEW),
    checked(nothing(None, "journal", Takes::Value, NO_JOURNAL), NO_JOURNAL, |options, value| {
        options.unknown_journal = !matches!(value, "command" | "output" | "debug");
        Ok(())
    }),
    nothing(Some(b'P'), "partial", Takes::Nothing, "VGs that lack PVs are always shown"),
    nothing(None, "trustcache", Takes::Nothing, "it is the daemon's cache that is shown"),
    nothing(None, "ignoreskippedcluster", Takes::Nothing, "no VG is clustered any more"),
    nothing(None, "buffered", Takes::Nothing, "output is buffered unless it is said otherwise"),
    refused("unknown", Takes::Nothing, "it is for pvchange and pvremove of LVM 1"),
];
