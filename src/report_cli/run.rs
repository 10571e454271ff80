//! One report, or all of a full one.

use super::{FAILED, Failure, NO_DAEMON, USAGE};
use crate::report::columns::{self, Columns};
use crate::report::inventory::{Host, Item, Source};
use crate::report::kind::{self, Kind};
use crate::report::layout::{Json, Look, Texts};
use crate::report::lists::{self, Asked};
use crate::report::model::lvs::Lv;
use crate::report::options::{Command, Format, Options, Part};
use crate::report::print::Report;
use crate::report::rows::{Common, Wanted};
use crate::report::units::Units;
use crate::report::value::Object;
use crate::sys::clock;
use crate::sys::settings::{self, Over};
use std::io::Write;

pub fn run(command: Command, options: &Options, out: &mut dyn Write) -> Result<u8, Failure> {
    let over = options.config.as_deref().map_or(Over::Nothing, Over::Text);
    let settings = settings::load(&settings::system_dir(), over);
    let settings = settings.map_err(|error| Failure::new(FAILED, error.to_string()))?.report;
    let look = look(&settings, options)?;
    let start = kind::start(command, options.segments);
    let asked = asked(&settings, options, start)?;
    let columns = columns::columns(start, &asked.fields, &asked.sort);
    let columns = columns.map_err(|error| Failure::new(FAILED, format!("Unrecognised field: {}", error.name)))?;
    let kind = kind::kind(start, columns.objects, None).map_err(|error| Failure::new(FAILED, error))?;
    let mut source = source(options)?;
    let mut json = Json::default();
    if look.is_json() {
        json.begin(out)?;
        json.begin_array(out, "report")?;
        json.begin_object(out)?;
        json.begin_array(out, kind::name(start))?;
    }
    single(&mut *source, &columns, kind, options, &look, &settings.marks(), out, &mut json)?;
    if look.is_json() {
        json.end_array(out)?;
        json.end_object(out)?;
        json.end_array(out)?;
        json.end(out)?;
    }
    Ok(0)
}

fn source(_: &Options) -> Result<Box<dyn Source>, Failure> {
    Err(Failure::new(NO_DAEMON, "no daemon answers; start one: systemctl start pvwatchd"))
}

#[allow(clippy::too_many_arguments)]
fn single(
    source: &mut dyn Source,
    columns: &Columns,
    kind: Kind,
    options: &Options,
    look: &Look,
    marks: &crate::report::row::Marks,
    out: &mut dyn Write,
    json: &mut Json,
) -> Result<(), Failure> {
    let mut report = Report::new(columns, look);
    let mut host = Host::default();
    let is_lv_wanted = |lv: &Lv| options.all || lv.is_visible;
    let wanted = Wanted {
        kind,
        all: options.all,
        history: options.history,
        is_lv_wanted: &is_lv_wanted,
        is_pv_wanted: &|_, _| true,
    };
    while let Some(item) = source.next().map_err(|error| Failure::new(NO_DAEMON, error))? {
        let common = |host| Common { host, marks, live: None };
        match item {
            Item::Host(found) => host = found,
            Item::Vg(vg) => common(&host).vg(&vg, None, &wanted, |row| report.add(row, out))?,
            Item::Unreadable(_) => {}
            Item::Orphan(present) => common(&host).orphan(&present, kind, |row| report.add(row, out))?,
            Item::Device(device) => common(&host).device(&device, kind, |row| report.add(row, out))?,
        }
    }
    Ok(report.finish(out, json)?)
}

fn look(settings: &crate::report::settings::Settings, options: &Options) -> Result<Look, Failure> {
    let units = options.units.as_deref().unwrap_or(settings.text("global/units"));
    let wrong = |_| Failure { lines: vec!["Invalid units specification".to_owned()], status: USAGE };
    let units = Units::parse(units.as_bytes()).map_err(wrong)?;
    let has_separator = options.separator.is_some();
    let separator = options.separator.as_deref().unwrap_or(settings.text("report/separator"));
    let transposed = options.rows || settings.is_on("report/columns_as_rows");
    let aligned = settings.is_on("report/aligned") && !has_separator;
    Ok(Look {
        format: options.format.unwrap_or(Format::Basic),
        aligned: (aligned || options.aligned) && !options.name_prefixes && !transposed,
        buffered: settings.is_on("report/buffered") && (!options.unbuffered || has_sort(options)),
        headings: options.headings.unwrap_or(settings.headings),
        separator: separator.into(),
        prefixes: options.name_prefixes || settings.is_on("report/prefixes"),
        quoted: settings.is_on("report/quoted") && !options.unquoted,
        transposed,
        texts: Texts {
            units: Units { suffix: settings.is_on("global/suffix") && !options.no_suffix, ..units },
            is_binary: options.binary || settings.is_on("report/binary_values_as_numeric"),
            list_separator: settings.text("report/list_item_separator").into(),
            time_format: settings.text("report/time_format").to_owned(),
            time: clock::format,
        },
    })
}

fn has_sort(options: &Options) -> bool {
    options.groups.iter().any(|group| group.sort.is_some())
}

fn asked(settings: &crate::report::settings::Settings, options: &Options, start: Object) -> Result<Asked, Failure> {
    let name = match start {
        Object::Label | Object::Pv => "pvs",
        Object::Vg => "vgs",
        Object::Lv | Object::LvInfo | Object::LvStatus | Object::LvInfoStatus => "lvs",
        Object::Seg => "segs",
        Object::PvSeg => "pvsegs",
    };
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
