//! One report: its rows are taken as they come, and printed in their order.

use super::columns::{Column, Columns, SELECTED};
use super::key;
use super::layout::{self, Basic, Json, Look};
use super::options::Format;
use super::row::Row;
use super::select::Selection;
use super::value::{Field, Object, Value};
use std::io::{self, Write};

/// What a report has.
pub struct Section {
    pub start: Object,
    pub columns: Columns,
    pub selection: Option<Selection>,
    /// These are left out if they are empty in all rows.
    pub compact: Vec<&'static str>,
    pub compact_all: bool,
    /// The first name of those to be left out that no field has: none is left out then.
    pub unknown_compact: Option<String>,
}

impl Section {
    /// Whether any field is of more than what VGs themselves say, such as the metadata areas of their PVs.
    pub fn has_more_than_vgs(&self) -> bool {
        let compared = self.selection.iter().flat_map(Selection::fields).copied();
        let mut fields = self.columns.all.iter().map(|column| column.field).chain(compared);
        fields.any(|field| field.object != Object::Vg || field.name.starts_with("vg_mda"))
    }
}

/// Where rows are kept until all are there, each with the key that it is sorted by.
pub trait Keep {
    /// # Errors
    /// There is no room.
    fn push(&mut self, key: &[u8], row: &[u8]) -> io::Result<()>;

    /// In the order of their keys; those with the same one as they came.
    fn sort(self: Box<Self>) -> Box<dyn Kept>;
}

pub trait Kept {
    /// # Errors
    /// The first of `each`, or they cannot be read.
    fn each(&self, each: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()>;
}

pub struct Report<'s> {
    section: &'s Section,
    look: Look,
    /// Those that are shown.
    shown: Vec<Column>,
    /// Those that are only sorted by.
    hidden: Vec<Column>,
    /// Columns by which rows are sorted, shown ones first, in the order of the keys.
    keys: Vec<usize>,
    kept: Option<Box<dyn Keep>>,
    /// Rows that are kept.
    count: usize,
    /// Of each shown column, whether it is shown although it may be empty, or has something to show.
    stays: Vec<bool>,
    basic: Basic,
    /// Stands above the headings.
    title: Vec<u8>,
    /// A row came, which may not have been selected.
    has_rows: bool,
    has_headings: bool,
}

impl<'s> Report<'s> {
    pub fn new(section: &'s Section, look: Look, keep: Box<dyn Keep>) -> Report<'s> {
        let (hidden, shown): (Vec<Column>, Vec<Column>) =
            section.columns.all.iter().partition(|column| column.is_hidden);
        let keys = shown.iter().chain(&hidden).enumerate();
        let mut keys = keys.filter_map(|(at, column)| Some((column.key?.place, at))).collect::<Vec<_>>();
        keys.sort_unstable();
        let keys = if look.buffered { keys.into_iter().map(|(_, at)| at).collect() } else { Vec::new() };
        let is_compact = |name| section.compact_all || section.compact.contains(&name);
        let stays = shown.iter().map(|column| !look.buffered || !is_compact(column.field.name)).collect();
        let basic = Basic::new(&shown, &look);
        Report {
            section,
            look,
            shown,
            hidden,
            keys,
            kept: Some(keep),
            count: 0,
            stays,
            basic,
            title: Vec::new(),
            has_rows: false,
            has_headings: false,
        }
    }

    /// What stands above it in columns; an empty line does, too, if it `is_after` another.
    pub fn set_title(&mut self, title: &str, is_after: bool) {
        let blank = if is_after { "  \n" } else { "" };
        self.title = format!("{blank}  {title}\n  {}\n", "=".repeat(title.len())).into_bytes();
    }

    pub fn add_row(&mut self, row: &Row, out: &mut dyn Write) -> io::Result<()> {
        self.add(&|field| (field.value)(row), out)
    }

    /// Takes a row, and prints it at once if nothing is to be waited for.
    pub fn add<'v>(&mut self, value: &dyn Fn(&'static Field) -> Value<'v>, out: &mut dyn Write) -> io::Result<()> {
        self.has_rows = true;
        let selection = self.section.selection.as_ref();
        let is_selected = selection.is_none_or(|selection| selection.matches(&mut |field| value(field)));
        if !is_selected && !self.shown.iter().any(|column| is_selected_field(column.field)) {
            return Ok(());
        }
        let value = |field: &'static Field| match field {
            field if is_selected_field(field) => Value::Number(is_selected.into()),
            field => value(field),
        };
        let mut cells = Vec::with_capacity(128);
        let mut text = Vec::new();
        let mut values = Vec::with_capacity(self.shown.len() + self.hidden.len());
        for (column, stays) in self.shown.iter().zip(&mut self.stays) {
            let value = value(column.field);
            text.clear();
            layout::show(&mut text, column.field, &value, &self.look);
            if !self.look.is_json() && !layout::is_plain(&text) {
                text = layout::escape(&text);
            }
            *stays |= !text.is_empty();
            add_cell(&mut cells, &text);
            values.push(value);
        }
        values.extend(self.hidden.iter().map(|column| value(column.field)));
        let mut key = Vec::new();
        for &at in &self.keys {
            let column = if at < self.shown.len() { &self.shown[at] } else { &self.hidden[at - self.shown.len()] };
            key::push(column.field, &values[at], column.key.is_some_and(|key| key.is_descending), &mut key);
        }
        if self.look.buffered || self.look.is_json() || self.look.transposed {
            self.count += 1;
            self.basic.widen(self::cells(&cells));
            return self.kept.as_mut().map_or(Ok(()), |kept| kept.push(&key, &cells));
        }
        let mut basic = Basic::new(&self.shown, &self.look);
        basic.widen(self::cells(&cells));
        if !self.has_headings {
            self.has_headings = true;
            out.write_all(&self.title)?;
            basic.headings(out, &self.shown, &self.stays, &self.look)?;
        }
        basic.row(out, &self.shown, &self.stays, self::cells(&cells), &self.look)
    }

    /// Prints what was kept.
    ///
    /// # Errors
    /// It cannot be written, or what was kept cannot be read.
    pub fn finish(mut self, out: &mut dyn Write, json: &mut Json) -> io::Result<()> {
        let Some(kept) = self.kept.take().map(Keep::sort) else { return Ok(()) };
        if self.look.is_json() {
            return self.finish_json(&*kept, out, json);
        }
        // LVM's log has headings for the rows that are not shown, too.
        let is_empty = if self.section.start == Object::Log { !self.has_rows } else { self.count == 0 };
        if is_empty || self.has_headings {
            return Ok(());
        }
        out.write_all(&self.title)?;
        if self.look.transposed {
            return self.finish_transposed(&*kept, out);
        }
        self.basic.headings(out, &self.shown, &self.stays, &self.look)?;
        kept.each(&mut |row| self.basic.row(out, &self.shown, &self.stays, cells(row), &self.look))
    }

    fn finish_json(&self, kept: &dyn Kept, out: &mut dyn Write, json: &mut Json) -> io::Result<()> {
        let is_std = self.look.format == Format::JsonStd;
        let mut line = Vec::new();
        let mut left = self.count;
        kept.each(&mut |row| {
            line.clear();
            line.push(b'{');
            let shown = self.shown.iter().zip(&self.stays).zip(cells(row));
            for ((column, _), cell) in shown.filter(|((_, stays), _)| **stays) {
                if line.len() > 1 {
                    line.extend_from_slice(b", ");
                }
                layout::add_field(&mut line, column.field, cell, is_std);
            }
            line.push(b'}');
            left = left.saturating_sub(1);
            json.row(out, &line, left == 0)
        })
    }

    fn finish_transposed(&self, kept: &dyn Kept, out: &mut dyn Write) -> io::Result<()> {
        for (at, column) in self.shown.iter().enumerate().filter(|(at, _)| self.stays[*at]) {
            let mut line = Vec::new();
            layout::begin_line(&mut line, column.field, &self.look);
            let mut is_first = true;
            kept.each(&mut |row| {
                if !std::mem::take(&mut is_first) {
                    line.extend_from_slice(&self.look.separator);
                }
                let cell = cells(row).nth(at).unwrap_or_default();
                layout::add_cell(&mut line, column.field, cell, 0, &self.look);
                out.write_all(&line)?;
                line.clear();
                Ok(())
            })?;
            out.write_all(&line)?;
            out.write_all(b"\n")?;
        }
        Ok(())
    }
}

fn is_selected_field(field: &Field) -> bool {
    std::ptr::eq(field, &SELECTED)
}

/// A length and the bytes.
fn add_cell(cells: &mut Vec<u8>, text: &[u8]) {
    let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
    cells.extend_from_slice(&length.to_le_bytes());
    cells.extend_from_slice(&text[..length as usize]);
}

fn cells(mut row: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (length, rest) = row.split_first_chunk()?;
        let (cell, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        row = rest;
        Some(cell)
    })
}
