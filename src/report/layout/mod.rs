//! Values to what LVM prints.

mod basic;
mod json;
mod text;

pub use basic::{Basic, add_cell, begin_line, escape, is_plain};
pub use json::{Json, add_field};
pub use text::{Texts, show};

use super::options::Format;
use super::settings::Headings;

/// How a report looks.
#[derive(Clone)]
pub struct Look {
    pub format: Format,
    pub aligned: bool,
    pub buffered: bool,
    pub headings: Headings,
    pub separator: Vec<u8>,
    /// `LVM2_FIELD='value'`.
    pub prefixes: bool,
    pub quoted: bool,
    /// A line for each column.
    pub transposed: bool,
    pub texts: Texts,
}

impl Look {
    /// JSON has neither columns nor headings, and nothing is printed before all rows are there.
    pub fn is_json(&self) -> bool {
        matches!(self.format, Format::Json | Format::JsonStd)
    }
}

/// All of LVM's output begins so.
pub const INDENT: &[u8] = b"  ";
