//! The command line of `pvs`, `vgs`, `lvs` and `fullreport`.

mod parse;
mod table;

pub use parse::{Refusal, parse};
pub use table::{Effect, OPTIONS, Spec, Takes};

use super::settings::Headings;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    Pvs,
    Vgs,
    Lvs,
    FullReport,
}

impl Command {
    pub fn parse(name: &str) -> Option<Command> {
        match name {
            "pvs" => Some(Command::Pvs),
            "vgs" => Some(Command::Vgs),
            "lvs" => Some(Command::Lvs),
            "fullreport" => Some(Command::FullReport),
            _ => None,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Command::Pvs => "pvs",
            Command::Vgs => "vgs",
            Command::Lvs => "lvs",
            Command::FullReport => "fullreport",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Basic,
    Json,
    JsonStd,
}

/// What `-o`, `-O` and `-S` may be for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Log,
    Vg,
    Pv,
    Lv,
    PvSeg,
    Seg,
}

impl Part {
    pub fn parse(name: &str) -> Option<Part> {
        match name.to_ascii_lowercase().as_str() {
            "log" => Some(Part::Log),
            "vg" => Some(Part::Vg),
            "pv" => Some(Part::Pv),
            "lv" => Some(Part::Lv),
            "pvseg" => Some(Part::PvSeg),
            "seg" => Some(Part::Seg),
            _ => None,
        }
    }
}

/// Options that belong together: a new group begins where one of them comes again, and with each
/// `--configreport`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Group {
    pub part: Option<Part>,
    pub fields: Option<String>,
    pub sort: Option<String>,
    pub select: Option<String>,
}

/// What a command line says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    pub groups: Vec<Group>,
    pub segments: bool,
    pub all: bool,
    pub history: bool,
    pub foreign: bool,
    pub shared: bool,
    pub aligned: bool,
    pub unbuffered: bool,
    pub binary: bool,
    pub headings: Option<Headings>,
    pub name_prefixes: bool,
    pub no_suffix: bool,
    pub unquoted: bool,
    pub rows: bool,
    pub log_only: bool,
    pub separator: Option<String>,
    pub units: Option<String>,
    pub format: Option<Format>,
    pub verbose: u32,
    /// `--test`, which LVM tells before it does anything.
    pub test: bool,
    /// `--journal` with a value that LVM takes and does not know.
    pub unknown_journal: bool,
    pub config: Option<String>,
    pub profile: Option<String>,
    pub devices: Vec<String>,
    pub socket: Option<String>,
    pub live: bool,
    pub help: bool,
    pub version: bool,
    /// VGs, LVs, PVs and tags.
    pub names: Vec<Vec<u8>>,
}
