//! One report: its rows are taken as they come, and printed in their order.

use super::columns::{Column, Columns, SELECTED};
use super::layout::{self, Basic, Json, Look};
use super::options::Format;
use super::row::Row;
use super::sort;
use super::value::{Field, Object, Value};
use std::io::{self, Write};

/// What a report has.
pub struct Section {
    pub start: Object,
    pub columns: Columns,
    /// These are left out if they are empty in all rows.
    pub compact: Vec<&'static str>,
    pub compact_all: bool,
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
    kept: Vec<Kept>,
    /// Stands above the headings.
    title: Vec<u8>,
    has_headings: bool,
    is_last_left_out: bool,
}

struct Kept {
    key: Vec<u8>,
    cells: Vec<u8>,
}

impl<'s> Report<'s> {
    pub fn new(section: &'s Section, look: Look) -> Report<'s> {
        let (hidden, shown): (Vec<Column>, Vec<Column>) =
            section.columns.all.iter().partition(|column| column.is_hidden);
        let keys = shown.iter().chain(&hidden).enumerate();
        let mut keys = keys.filter_map(|(at, column)| Some((column.key?.place, at))).collect::<Vec<_>>();
        keys.sort_unstable();
        let keys = if look.buffered { keys.into_iter().map(|(_, at)| at).collect() } else { Vec::new() };
        Report {
            section,
            look,
            shown,
            hidden,
            keys,
            kept: Vec::new(),
            title: Vec::new(),
            has_headings: false,
            is_last_left_out: false,
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
        let columns = self.shown.iter().chain(&self.hidden).copied().collect::<Vec<_>>();
        let values = columns.iter().map(|column| value(column.field)).collect::<Vec<_>>();
        let mut cells = Vec::with_capacity(128);
        let mut texts = Vec::with_capacity(values.len());
        for (column, value) in columns.iter().zip(&values) {
            let mut text = Vec::new();
            if std::ptr::eq(column.field, &SELECTED) {
                text.push(b'1');
            } else {
                layout::show(&mut text, column.field, value, &self.look.texts);
            }
            texts.push(text);
        }
        for text in &texts[..self.shown.len()] {
            if self.look.is_json() || layout::is_plain(text) {
                add_cell(&mut cells, text);
            } else {
                add_cell(&mut cells, &layout::escape(text));
            }
        }
        let mut key = Vec::new();
        for &at in &self.keys {
            if let Some(place) = columns[at].key {
                sort::add_key(&mut key, place, columns[at].field, &values[at], &texts[at]);
            }
        }
        if self.look.buffered || self.look.is_json() || self.look.transposed {
            self.kept.push(Kept { key, cells });
            return Ok(());
        }
        let mut basic = Basic::new(&self.shown, &self.look);
        basic.widen(self::cells(&cells));
        if !self.has_headings {
            self.has_headings = true;
            out.write_all(&self.title)?;
            basic.headings(out, &self.shown, &self.look, self.is_last_left_out)?;
        }
        basic.row(out, &self.shown, self::cells(&cells), &self.look)
    }

    /// Prints what was kept.
    pub fn finish(mut self, out: &mut dyn Write, json: &mut Json) -> io::Result<()> {
        self.kept.sort_by(|a, b| a.key.cmp(&b.key));
        self.leave_out();
        if self.look.is_json() {
            return self.finish_json(out, json);
        }
        if self.kept.is_empty() {
            return Ok(());
        }
        out.write_all(&self.title)?;
        if self.look.transposed {
            return self.finish_transposed(out);
        }
        let mut basic = Basic::new(&self.shown, &self.look);
        for kept in &self.kept {
            basic.widen(cells(&kept.cells));
        }
        basic.headings(out, &self.shown, &self.look, self.is_last_left_out)?;
        self.kept.iter().try_for_each(|kept| basic.row(out, &self.shown, cells(&kept.cells), &self.look))
    }

    fn finish_json(&self, out: &mut dyn Write, json: &mut Json) -> io::Result<()> {
        let is_std = self.look.format == Format::JsonStd;
        let mut line = Vec::new();
        for (at, kept) in self.kept.iter().enumerate() {
            line.clear();
            line.push(b'{');
            for (at, (column, cell)) in self.shown.iter().zip(cells(&kept.cells)).enumerate() {
                if at > 0 {
                    line.extend_from_slice(b", ");
                }
                layout::add_field(&mut line, column.field, cell, is_std);
            }
            line.push(b'}');
            json.row(out, &line, at + 1 == self.kept.len())?;
        }
        Ok(())
    }

    fn finish_transposed(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut line = Vec::new();
        for (at, column) in self.shown.iter().enumerate() {
            line.clear();
            layout::begin_line(&mut line, column.field, &self.look);
            for (row, kept) in self.kept.iter().enumerate() {
                if row > 0 {
                    line.extend_from_slice(&self.look.separator);
                }
                let cell = cells(&kept.cells).nth(at).unwrap_or_default();
                layout::add_cell(&mut line, column.field, cell, 0, &self.look);
            }
            line.push(b'\n');
            out.write_all(&line)?;
        }
        Ok(())
    }

    /// Takes away the columns that are to be left out and have nothing to show.
    fn leave_out(&mut self) {
        let is_compact = |name| self.section.compact_all || self.section.compact.contains(&name);
        let mut stays = self.shown.iter().map(|column| !is_compact(column.field.name)).collect::<Vec<_>>();
        if !self.look.buffered || self.kept.is_empty() || !stays.contains(&false) {
            return;
        }
        for kept in &self.kept {
            cells(&kept.cells).zip(&mut stays).for_each(|(cell, stays)| *stays |= !cell.is_empty());
        }
        for kept in &mut self.kept {
            let mut left = Vec::new();
            cells(&kept.cells).zip(&stays).filter(|(_, stays)| **stays).for_each(|(cell, _)| add_cell(&mut left, cell));
            kept.cells = left;
        }
        self.is_last_left_out = stays.last() == Some(&false);
        let mut stays = stays.into_iter();
        self.shown.retain(|_| stays.next().unwrap_or(true));
    }
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
