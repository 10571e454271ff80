//! From a command line to its reports.

use super::{Ask, FAILED, Failure, NO_DAEMON, USAGE, live, spool};
use crate::client::inventory::Inventory;
use crate::conf;
use crate::devno::DevNo;
use crate::dry_run::Images;
use crate::report::columns;
use crate::report::engine::{self, Plan};
use crate::report::help;
use crate::report::inventory::{Broken, Item, Needs, Source};
use crate::report::kind;
use crate::report::layout::{Look, Texts};
use crate::report::lists::{self, Asked};
use crate::report::names::Names;
use crate::report::options::{Command, Format, Group, Options, Part};
use crate::report::print::Section;
use crate::report::select::Selection;
use crate::report::settings::Settings;
use crate::report::units::Units;
use crate::report::value::Object;
use crate::sys::settings::{self, Over};
use crate::sys::{calendar, clock};
use std::ffi::OsStr;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

pub fn run(command: Command, ask: Ask, options: &Options, out: &mut dyn Write) -> Result<u8, Failure> {
    if options.unknown_journal {
        super::complain(&["Ignoring unrecognized journal value.".to_owned()], "  ");
    }
    if options.config.as_ref().is_some_and(|text| text.trim().is_empty()) {
        return Err(Failure::new(USAGE, "--config: it sets nothing"));
    }
    let conf = load(laid_over(options)?.as_deref())?;
    let settings = conf.report.clone();
    let look = look(command, &settings, options)?;
    let marks = settings.marks();
    let sections = sections(command, &settings, options)?;
    let has_log = options.log_only || settings.is_on("log/report_command_log");
    let log =
        if has_log { Some(section(Object::Log, log_asked(&settings, options)?, &settings, options)?) } else { None };
    if let Some(help) = help(&sections, options) {
        write!(out, "{help}")?;
        return Ok(0);
    }
    if options.test {
        let line = "TEST MODE: Metadata will NOT be updated and volumes will not be (de)activated.";
        super::complain(&[line.to_owned()], "  ");
    }
    let mut plan = Plan { command, options, look: &look, marks: &marks, sections, log, live: None, keep: spool::keep };
    let kind = plan.kind().map_err(|error| Failure::new(FAILED, error))?;
    let names = Names::parse(&options.names, plan.names_of(kind), device_of);
    let needs = plan.needs(kind, &names);
    let live = if names.fatal.is_some() { None } else { live::ask(options, &needs, plan.needs_status())? };
    plan.live = live.as_ref();
    let (source, unread) = match names.fatal {
        Some(_) => (Box::new(Nothing) as Box<dyn Source>, Vec::new()),
        None => source(ask, options, conf, needs)?,
    };
    let mut source = live::Now(source);
    super::complain(&unread, "  ");
    let mut say = |line: &str| super::complain(&[line.to_owned()], "  ");
    match engine::run(&plan, kind, names, &mut source, out, &mut say) {
        Ok(0) if !unread.is_empty() => Ok(FAILED),
        Ok(status) => Ok(status),
        Err(engine::Error::Write(error)) => Err(error.into()),
        Err(engine::Error::Source(broken)) => {
            Err(Failure::new(if broken.is_gone { NO_DAEMON } else { FAILED }, broken.reason))
        }
    }
}

/// Nobody is asked for what cannot be shown.
struct Nothing;

impl Source for Nothing {
    fn next(&mut self) -> Result<Option<Item>, Broken> {
        Ok(None)
    }
}

fn load(over: Option<&str>) -> Result<conf::Settings, Failure> {
    settings::load(&settings::system_dir(), over.map_or(Over::Nothing, Over::Text)).map_err(|error| {
        let is_given = matches!(&error, settings::Error::Parse { path, .. } if path.as_os_str() == "--config");
        Failure::new(if is_given { USAGE } else { FAILED }, error.to_string())
    })
}

/// What `--profile` and `--config` say, the latter above the former.
fn laid_over(options: &Options) -> Result<Option<String>, Failure> {
    let Some(name) = &options.profile else { return Ok(options.config.clone()) };
    let wrong = |what: &str| Failure::new(FAILED, format!("--profile {}: {what}", name.escape_debug()));
    if name.contains('/') {
        return Err(wrong("a profile is named without its directory"));
    }
    let directory = match load(options.config.as_deref())?.report.text("config/profile_dir") {
        "" => settings::system_dir().join("profile"),
        directory => PathBuf::from(directory),
    };
    let path = directory.join(format!("{name}.profile"));
    let profile = std::fs::read_to_string(&path).map_err(|error| wrong(&format!("{}: {error}", path.display())))?;
    Ok(Some(format!("{profile}\n{}", options.config.as_deref().unwrap_or_default())))
}

/// Of `-o help` and `-S help`.
fn help(sections: &[Section], options: &Options) -> Option<String> {
    let start = sections.first()?.start;
    if options.groups.iter().any(asks_how_to_select) {
        return Some(help::fields(start, true) + help::SELECTION);
    }
    sections.iter().any(|section| section.columns.is_help).then(|| help::fields(start, false))
}

fn asks_how_to_select(group: &Group) -> bool {
    group.select.as_ref().is_some_and(|text| Selection::is_help(text.as_bytes()))
}

/// The block device that a path leads to.
fn device_of(path: &[u8]) -> Option<DevNo> {
    let found = std::fs::metadata(Path::new(OsStr::from_bytes(path))).ok()?;
    found.file_type().is_block_device().then(|| DevNo::from_dev_t(found.rdev()))
}

/// Where the inventory comes from, and what of the devices that were named could not be looked at.
fn source(
    ask: Ask,
    options: &Options,
    mut conf: conf::Settings,
    needs: Needs,
) -> Result<(Box<dyn Source>, Vec<String>), Failure> {
    if options.devices.is_empty() {
        let named = options.socket.as_deref().map(Path::new);
        let ask = Ask { socket: named.or(ask.socket), ..ask };
        let asked = Inventory::open(ask.socket, &needs, ask.timeout)
            .map_err(|error| Failure::new(if error.is_gone() { NO_DAEMON } else { FAILED }, error.to_string()))?;
        return Ok((Box::new(asked), Vec::new()));
    }
    settings::load_multipath(&mut conf);
    let devices = options.devices.iter().flat_map(|given| device_list(given)).collect::<Vec<_>>();
    if devices.is_empty() {
        return Err(Failure::new(FAILED, "--devices: it names no device"));
    }
    let images = Images::look(conf, &devices, needs)
        .map_err(|error| Failure::new(FAILED, format!("the devices cannot be looked at: {error}")))?;
    let unread = images.unread.iter().map(|(name, why)| format!("{name}: {why}")).collect();
    Ok((Box::new(images), unread))
}

/// Separated by commas, unless it is the name of one that has a comma in it.
fn device_list(given: &str) -> Vec<PathBuf> {
    if Path::new(given).exists() {
        return vec![given.into()];
    }
    given.split(',').filter(|name| !name.is_empty()).map(PathBuf::from).collect()
}

fn look(command: Command, settings: &Settings, options: &Options) -> Result<Look, Failure> {
    let units = options.units.as_deref().unwrap_or(settings.text("global/units"));
    let units = Units::parse(units.as_bytes()).map_err(|error| {
        let lines = [
            "Invalid units specification".to_owned(),
            format!("--units {}: {error}", units.escape_debug()),
            format!("Run `{} --help' for more information.", command.name()),
        ];
        Failure { lines: lines.into(), status: USAGE }
    })?;
    let format = match settings.text("report/output_format") {
        _ if options.format.is_some() => options.format.unwrap_or(Format::Basic),
        "json" => Format::Json,
        "json_std" => Format::JsonStd,
        "basic" => Format::Basic,
        other => {
            return Err(Failure::new(FAILED, format!("{}: unknown report format.", other.escape_debug())));
        }
    };
    let has_separator = options.separator.is_some();
    let separator = options.separator.as_deref().unwrap_or(settings.text("report/separator"));
    let transposed = options.rows || settings.is_on("report/columns_as_rows");
    let has_sort = options.groups.iter().any(|group| group.sort.is_some());
    let aligned = (settings.is_on("report/aligned") && !has_separator) || options.aligned;
    Ok(Look {
        format,
        aligned: aligned && !options.name_prefixes && !transposed,
        buffered: (settings.is_on("report/buffered") && (!options.unbuffered || has_sort)) || transposed,
        headings: options.headings.unwrap_or(settings.headings),
        separator: separator.into(),
        prefixes: options.name_prefixes || settings.is_on("report/prefixes"),
        quoted: settings.is_on("report/quoted") && !options.unquoted,
        transposed: transposed && format == Format::Basic,
        texts: Texts {
            units: Units {
                suffix: settings.is_on("global/suffix") && !options.no_suffix,
                consistent: settings.is_on("global/si_unit_consistency"),
                ..units
            },
            is_binary: options.binary || format == Format::JsonStd || settings.is_on("report/binary_values_as_numeric"),
            list_separator: settings.text("report/list_item_separator").into(),
            time_format: settings.text("report/time_format").to_owned(),
            time: clock::format,
        },
    })
}

/// What of `lvm.conf` is of a report that begins so.
fn setting(start: Object) -> &'static str {
    match start {
        Object::Label | Object::Pv => "pvs",
        Object::Vg => "vgs",
        Object::Lv | Object::LvInfo | Object::LvStatus | Object::LvInfoStatus => "lvs",
        Object::Seg => "segs",
        Object::PvSeg => "pvsegs",
        Object::Log => "log",
    }
}

fn sections(command: Command, settings: &Settings, options: &Options) -> Result<Vec<Section>, Failure> {
    if command != Command::FullReport {
        let start = kind::start(command, options.segments);
        // Tags are not in labels.
        let has_tags = options.names.iter().any(|name| name.starts_with(b"@"));
        let start = if start == Object::Label && has_tags { Object::Pv } else { start };
        return Ok(vec![section(start, asked(settings, options, start)?, settings, options)?]);
    }
    let parts = [Part::Vg, Part::Pv, Part::Lv, Part::PvSeg, Part::Seg];
    let full = |part| {
        let start = kind::start_of(part);
        let name = setting(start);
        let asked = Asked {
            fields: settings.text(&format!("report/{name}_cols_full")).to_owned(),
            sort: settings.text(&format!("report/{name}_sort_full")).to_owned(),
            ..Asked::default()
        };
        let asked = lists::asked(asked, &options.groups, start, |for_part| for_part == Some(part));
        section(start, asked.map_err(|error| Failure::new(FAILED, error))?, settings, options)
    };
    parts.into_iter().map(full).collect()
}

fn asked(settings: &Settings, options: &Options, start: Object) -> Result<Asked, Failure> {
    let name = setting(start);
    let verbose = if options.verbose > 0 { "_verbose" } else { "" };
    let asked = Asked {
        fields: settings.text(&format!("report/{name}_cols{verbose}")).to_owned(),
        sort: settings.text(&format!("report/{name}_sort")).to_owned(),
        select: None,
        compact: settings.text("report/compact_output_cols").to_owned(),
    };
    let is_own = |part: Option<Part>| match part {
        None => true,
        Some(Part::Pv | Part::PvSeg) => matches!(start, Object::Label | Object::Pv | Object::PvSeg),
        Some(Part::Lv | Part::Seg) => matches!(start, Object::Lv | Object::Seg),
        Some(Part::Vg) => start == Object::Vg,
        Some(Part::Log) => false,
    };
    lists::asked(asked, &options.groups, start, is_own).map_err(|error| Failure::new(FAILED, error))
}

fn log_asked(settings: &Settings, options: &Options) -> Result<Asked, Failure> {
    let asked = Asked {
        fields: settings.text("log/command_log_cols").to_owned(),
        sort: settings.text("log/command_log_sort").to_owned(),
        select: Some(settings.text("log/command_log_selection").to_owned()),
        compact: settings.text("report/compact_output_cols").to_owned(),
    };
    let asked = lists::asked(asked, &options.groups, Object::Log, |part| part == Some(Part::Log));
    asked.map_err(|error| Failure::new(FAILED, error))
}

fn selection(start: Object, text: &str) -> Result<Selection, Failure> {
    let look_up = |name: &str| match columns::field(start, name) {
        Some(field) if std::ptr::eq(field, &columns::SELECTED) => Err(format!("{name} cannot be selected by")),
        Some(field) => Ok(field),
        None => Err(format!("Unrecognised selection field: {name}")),
    };
    Selection::parse(text.as_bytes(), &look_up, &calendar::Local).map_err(|error| {
        let column = text.get(..error.column).map_or(0, |before| before.chars().count());
        pointed(error.message, text, column)
    })
}

/// An error, and below it where it is.
fn pointed(what: String, text: &str, column: usize) -> Failure {
    let text = text.chars().map(|char| if char.is_control() { '?' } else { char }).collect();
    Failure { lines: vec![what, text, format!("{:column$}^", "")], status: FAILED }
}

fn section(start: Object, asked: Asked, settings: &Settings, options: &Options) -> Result<Section, Failure> {
    let columns = columns::columns(start, &asked.fields, &asked.sort).map_err(|error| {
        let list = if error.is_key { &asked.sort } else { &asked.fields };
        let what = if error.is_key { "sort field" } else { "field" };
        // What was typed, unless it is of the settings.
        let typed = options
            .groups
            .iter()
            .filter_map(|group| if error.is_key { group.sort.as_ref() } else { group.fields.as_ref() });
        let mut places = typed.chain([list]).filter_map(|text| Some((text, lists::place(text, &error.name)?)));
        let (text, column) = places.next().unwrap_or((list, 0));
        pointed(format!("Unrecognised {what}: {}", error.name.escape_debug()), text, column)
    })?;
    let text = asked.select.as_deref().filter(|text| !Selection::is_help(text.as_bytes()));
    let selection = text.map(|text| selection(start, text)).transpose()?;
    let mut columns = columns;
    for field in selection.iter().flat_map(Selection::fields) {
        columns.objects = columns.objects.with(field.object);
    }
    let mut compact = Vec::new();
    let mut unknown_compact = None;
    for name in asked.compact.split(',').filter(|name| !name.is_empty()) {
        match columns::field(start, name) {
            Some(field) => compact.push(field.name),
            None => unknown_compact = unknown_compact.or_else(|| Some(name.to_owned())),
        }
    }
    if unknown_compact.is_some() {
        compact.clear();
    }
    let compact_all = settings.is_on("report/compact_output");
    Ok(Section { start, columns, selection, compact, compact_all, unknown_compact })
}
