//! Which columns a report has, by the names of fields: what is shown, and what it is sorted by.

use super::fields;
use super::log;
use super::row::Row;
use super::value::{Align, Field, Kind, Object, Value};

/// Whether the row was selected: not of any object. Rows that were not are shown, too, then.
pub static SELECTED: Field = Field {
    name: "selected",
    heading: "Selected",
    width: 8,
    align: Align::Right,
    kind: Kind::Number,
    object: Object::Vg,
    later: false,
    help: "Whether the selection holds for the row.",
    value: |_: &Row<'_>| Value::Undefined(""),
};

/// A set of objects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Objects(u16);

impl Objects {
    pub fn of(objects: &[Object]) -> Objects {
        objects.iter().fold(Objects::default(), |set, object| set.with(*object))
    }

    #[must_use]
    pub fn with(self, object: Object) -> Objects {
        Objects(self.0 | 1 << object as u16)
    }

    #[must_use]
    pub fn and(self, other: Objects) -> Objects {
        Objects(self.0 | other.0)
    }

    pub fn has(self, object: Object) -> bool {
        self.0 & 1 << object as u16 != 0
    }

    pub fn has_any(self, objects: &[Object]) -> bool {
        objects.iter().any(|object| self.has(*object))
    }

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

pub const OBJECTS: [Object; 10] = [
    Object::Label,
    Object::Pv,
    Object::Vg,
    Object::Lv,
    Object::LvInfo,
    Object::LvStatus,
    Object::LvInfoStatus,
    Object::Seg,
    Object::PvSeg,
    Object::Log,
];

/// What names of fields of the object may begin with, and may lack in its own report.
pub fn prefix(object: Object) -> &'static str {
    match object {
        Object::Label | Object::Pv => "pv",
        Object::Vg => "vg",
        Object::Lv | Object::LvInfo | Object::LvStatus | Object::LvInfoStatus => "lv",
        Object::Seg => "seg",
        Object::PvSeg => "pvseg",
        Object::Log => "log",
    }
}

#[derive(Clone, Copy)]
pub struct Column {
    pub field: &'static Field,
    /// It is there to sort by.
    pub is_hidden: bool,
    pub key: Option<Key>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// Of the keys, from 0.
    pub place: usize,
    pub is_descending: bool,
}

#[derive(Clone, Default)]
pub struct Columns {
    pub all: Vec<Column>,
    /// Those of which fields are needed.
    pub objects: Objects,
    /// The help was asked for.
    pub is_help: bool,
    /// Keys that came twice.
    pub duplicate_keys: Vec<&'static str>,
}

/// A name that no field has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unrecognised {
    pub name: String,
    pub is_key: bool,
}

/// A name, and whose it is.
enum Named {
    Field(&'static Field),
    All(Objects),
    Help,
}

/// Of a report that begins as one of `object`.
///
/// # Errors
/// The first name that is none.
pub fn columns(object: Object, names: &str, keys: &str) -> Result<Columns, Unrecognised> {
    let unrecognised = |name: &str, is_key| Unrecognised { name: name.to_owned(), is_key };
    // What `all` stands for depends on all that are named.
    let mut objects = Objects::of(&[object]);
    for name in words(names) {
        match named(object, objects, name).ok_or_else(|| unrecognised(name, false))? {
            Named::Field(field) => objects = add(objects, field),
            Named::All(all) => objects = objects.and(all),
            Named::Help => {}
        }
    }
    for key in words(keys) {
        let (name, _) = key_name(key);
        match named(object, objects, name) {
            Some(Named::Field(field)) => objects = add(objects, field),
            Some(Named::Help) => {}
            Some(Named::All(_)) | None => return Err(unrecognised(key, true)),
        }
    }
    let mut columns = Columns { objects, ..Columns::default() };
    let column = |field| Column { field, is_hidden: false, key: None };
    for name in words(names) {
        match named(object, objects, name) {
            Some(Named::Field(field)) => columns.all.push(column(field)),
            Some(Named::All(all)) => {
                let of_these = known(object).filter(|field| !field.later && all.has(field.object));
                columns.all.extend(of_these.map(column));
            }
            Some(Named::Help) | None => columns.is_help = true,
        }
    }
    let mut place = 0;
    for key in words(keys) {
        let (name, is_descending) = key_name(key);
        let Some(Named::Field(field)) = named(object, objects, name) else { continue };
        let found = match columns.all.iter().position(|column| std::ptr::eq(column.field, field)) {
            Some(found) => found,
            None => {
                columns.all.push(Column { is_hidden: true, ..column(field) });
                columns.all.len() - 1
            }
        };
        let found = &mut columns.all[found];
        if found.key.is_some() {
            columns.duplicate_keys.push(field.name);
        } else {
            found.key = Some(Key { place, is_descending });
            place += 1;
        }
    }
    Ok(columns)
}

fn add(objects: Objects, field: &'static Field) -> Objects {
    if std::ptr::eq(field, &SELECTED) { objects } else { objects.with(field.object) }
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').filter(|word| !word.is_empty())
}

fn key_name(key: &str) -> (&str, bool) {
    match key.strip_prefix('-') {
        Some(name) => (name, true),
        None => (key.strip_prefix('+').unwrap_or(key), false),
    }
}

/// Those that a report may have which begins as one of `object`.
pub fn known(object: Object) -> impl Iterator<Item = &'static Field> {
    let log = if object == Object::Log { &log::FIELDS[..] } else { &[] };
    let others = (object != Object::Log).then(fields::all);
    log.iter().chain(others.into_iter().flatten())
}

/// Fields of that name, with or without the prefix of the report, and with or without underscores.
pub fn field(object: Object, name: &str) -> Option<&'static Field> {
    let name = canonical(name)?;
    let prefix = prefix(object);
    let is_same = |field: &str| {
        let field = canonical(field).unwrap_or_default();
        field == name || field.strip_prefix(prefix).is_some_and(|field| field == name)
    };
    if is_same(SELECTED.name) {
        return Some(&SELECTED);
    }
    known(object).find(|field| is_same(field.name))
}

fn named(object: Object, objects: Objects, name: &str) -> Option<Named> {
    if matches!(canonical(name)?.as_str(), "help" | "?") {
        return Some(Named::Help);
    }
    if let Some(field) = field(object, name) {
        return Some(Named::Field(field));
    }
    let is_bare = name.eq_ignore_ascii_case("all");
    let name = canonical(name)?;
    let is_meant = |of: &Object| {
        if is_bare { prefix(*of) == prefix(object) } else { name.strip_prefix(prefix(*of)) == Some("all") }
    };
    let mut all = if is_bare { objects } else { Objects::default() };
    for of in OBJECTS.iter().filter(|of| is_meant(of)) {
        all = all.with(*of);
    }
    (!all.is_empty()).then_some(Named::All(all))
}

/// Longer names there are none, as LVM sees it.
const NAME_MAX: usize = 31;

fn canonical(name: &str) -> Option<String> {
    let name = name.chars().filter(|&char| char != '_').collect::<String>().to_ascii_lowercase();
    (!name.is_empty() && name.len() <= NAME_MAX).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(object: Object, fields: &str, keys: &str) -> Vec<&'static str> {
        let columns = columns(object, fields, keys).unwrap();
        columns.all.iter().filter(|column| !column.is_hidden).map(|column| column.field.name).collect()
    }

    #[test]
    fn a_field_has_many_names() {
        for name in ["lv_name", "name", "lvname", "LV_Name", "_l_v_name"] {
            assert_eq!(names(Object::Lv, name, ""), ["lv_name"], "{name}");
        }
        assert_eq!(names(Object::Vg, "name,size", ""), ["vg_name", "vg_size"]);
        assert_eq!(names(Object::Label, "name", ""), ["pv_name"]);
        let wrong = columns(Object::Vg, "vg_name,nope", "").err().unwrap();
        assert_eq!((wrong.name.as_str(), wrong.is_key), ("nope", false));
        assert!(columns(Object::Vg, "vg_name", "-nope").is_err_and(|error| error.is_key && error.name == "-nope"));
        assert!(columns(Object::Vg, "vg_name", "all").is_err());
    }

    #[test]
    fn all_is_what_the_report_is_of_and_what_it_is_sorted_by() {
        assert!(names(Object::Lv, "all", "vg_name,lv_name").contains(&"vg_size"));
        assert!(!names(Object::Lv, "all", "lv_name").contains(&"vg_size"));
        assert!(!names(Object::Lv, "lv_all", "vg_name").contains(&"vg_size"));
        assert!(names(Object::Label, "all", "").contains(&"pv_attr"));
    }

    #[test]
    fn keys_that_are_not_shown_are_hidden() {
        let columns = columns(Object::Vg, "vg_name", "-vg_free,vg_name,vg_free").unwrap();
        let [name, free] = &columns.all[..] else { panic!() };
        assert_eq!((name.is_hidden, name.key), (false, Some(Key { place: 1, is_descending: false })));
        assert_eq!((free.is_hidden, free.key), (true, Some(Key { place: 0, is_descending: true })));
        assert_eq!(columns.duplicate_keys, ["vg_free"]);
    }
}
