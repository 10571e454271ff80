//! LVM's columns.

use super::{INDENT, Look};
use crate::report::columns::Column;
use crate::report::settings::Headings;
use crate::report::value::{Align, Field};
use std::io::{self, Write};

/// The columns as wide as they are by now.
pub struct Basic {
    widths: Vec<usize>,
}

/// What stands before the name of a field.
const NAME_PREFIX: &str = "LVM2_";

impl Basic {
    pub fn new(columns: &[Column], look: &Look) -> Basic {
        let least = |field: &Field| if field.width == 0 { field.heading.len() } else { field.width };
        let width = |column: &Column| match look.headings {
            Headings::Names => least(column.field).max(column.field.name.len()),
            Headings::Off | Headings::Short => least(column.field),
        };
        Basic { widths: columns.iter().map(width).collect() }
    }

    /// Makes room for a row.
    pub fn widen<'c>(&mut self, cells: impl Iterator<Item = &'c [u8]>) {
        for (width, cell) in self.widths.iter_mut().zip(cells) {
            *width = (*width).max(cell.len());
        }
    }

    /// Of the columns that stay. LVM has a separator behind each but the last of all, which may be left
    /// out.
    pub fn headings(&self, out: &mut dyn Write, columns: &[Column], stays: &[bool], look: &Look) -> io::Result<()> {
        if look.headings == Headings::Off {
            return Ok(());
        }
        let mut line = INDENT.to_vec();
        for (at, column) in columns.iter().enumerate().filter(|(at, _)| stays[*at]) {
            let heading = heading(column.field, look).as_bytes();
            if look.aligned {
                let width = self.widths[at];
                line.extend_from_slice(&heading[..heading.len().min(width)]);
                pad(&mut line, width.saturating_sub(heading.len()));
            } else {
                line.extend_from_slice(heading);
            }
            if at + 1 < columns.len() {
                line.extend_from_slice(&look.separator);
            }
        }
        line.push(b'\n');
        out.write_all(&line)
    }

    pub fn row<'c>(
        &self,
        out: &mut dyn Write,
        columns: &[Column],
        stays: &[bool],
        cells: impl Iterator<Item = &'c [u8]>,
        look: &Look,
    ) -> io::Result<()> {
        let mut line = INDENT.to_vec();
        let mut is_first = true;
        for (at, (column, cell)) in columns.iter().zip(cells).enumerate().filter(|(at, _)| stays[*at]) {
            if !std::mem::take(&mut is_first) {
                line.extend_from_slice(&look.separator);
            }
            let width = if look.aligned { self.widths[at] } else { 0 };
            add_cell(&mut line, column.field, cell, width, look);
        }
        line.push(b'\n');
        out.write_all(&line)
    }
}

fn heading(field: &Field, look: &Look) -> &'static str {
    if look.headings == Headings::Names { field.name } else { field.heading }
}

/// Begins the line of a column, where each has one.
pub fn begin_line(line: &mut Vec<u8>, field: &Field, look: &Look) {
    line.extend_from_slice(INDENT);
    if look.headings != Headings::Off {
        line.extend_from_slice(heading(field, look).as_bytes());
        line.extend_from_slice(&look.separator);
    }
}

pub fn add_cell(line: &mut Vec<u8>, field: &Field, cell: &[u8], width: usize, look: &Look) {
    let quote = look.prefixes && look.quoted;
    if look.prefixes {
        line.extend_from_slice(NAME_PREFIX.as_bytes());
        line.extend(field.name.bytes().map(|byte| byte.to_ascii_uppercase()));
        line.push(b'=');
    }
    if quote {
        line.push(b'\'');
    }
    let padding = width.saturating_sub(cell.len());
    if field.align == Align::Right {
        pad(line, padding);
    }
    line.extend_from_slice(cell);
    if field.align == Align::Left {
        pad(line, padding);
    }
    if quote {
        line.push(b'\'');
    }
}

fn pad(line: &mut Vec<u8>, count: usize) {
    line.resize(line.len() + count, b' ');
}

/// Writes as `\xNN` what could act on a terminal.
pub fn escape(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 16);
    for chunk in text.utf8_chunks() {
        for char in chunk.valid().chars() {
            let mut bytes = [0; 4];
            let bytes = char.encode_utf8(&mut bytes).as_bytes();
            if char.is_control() { add_hex(&mut out, bytes) } else { out.extend_from_slice(bytes) }
        }
        add_hex(&mut out, chunk.invalid());
    }
    out
}

/// Whether there is nothing to escape, as far as can be told quickly.
pub fn is_plain(text: &[u8]) -> bool {
    text.iter().all(|byte| matches!(byte, 0x20..0x7f))
}

fn add_hex(out: &mut Vec<u8>, bytes: &[u8]) {
    for byte in bytes {
        out.extend_from_slice(format!("\\x{byte:02x}").as_bytes());
    }
}
