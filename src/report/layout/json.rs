//! LVM's JSON: everything a string in `json`; in `json_std` numbers are numbers and lists are lists.

use crate::report::value::{Field, Kind};
use std::io::{self, Write};

/// One level of nesting.
const LEVEL: usize = 4;

/// The braces and brackets around rows.
#[derive(Default)]
pub struct Json {
    indent: usize,
    /// Of each open array or object, how many things it has.
    counts: Vec<usize>,
}

impl Json {
    /// Begins the whole, with its first name.
    pub fn begin(&mut self, out: &mut dyn Write) -> io::Result<()> {
        self.line(out, "{")?;
        self.indent += LEVEL;
        self.counts.push(0);
        Ok(())
    }

    pub fn end(&mut self, out: &mut dyn Write) -> io::Result<()> {
        self.close(out, "}")
    }

    pub fn begin_array(&mut self, out: &mut dyn Write, name: &str) -> io::Result<()> {
        self.separate(out)?;
        self.line(out, &format!("\"{name}\": ["))?;
        self.indent += LEVEL;
        self.counts.push(0);
        Ok(())
    }

    pub fn end_array(&mut self, out: &mut dyn Write) -> io::Result<()> {
        self.close(out, "]")
    }

    pub fn begin_object(&mut self, out: &mut dyn Write) -> io::Result<()> {
        self.separate(out)?;
        self.begin(out)
    }

    pub fn end_object(&mut self, out: &mut dyn Write) -> io::Result<()> {
        self.close(out, "}")
    }

    /// A row, which `is_last` or has a comma behind it.
    pub fn row(&mut self, out: &mut dyn Write, row: &[u8], is_last: bool) -> io::Result<()> {
        write!(out, "  {:indent$}", "", indent = self.indent)?;
        out.write_all(row)?;
        out.write_all(if is_last { b"\n" } else { b",\n" })
    }

    fn separate(&mut self, out: &mut dyn Write) -> io::Result<()> {
        let Some(count) = self.counts.last_mut() else { return Ok(()) };
        *count += 1;
        if *count > 1 { self.line(out, ",") } else { Ok(()) }
    }

    fn close(&mut self, out: &mut dyn Write, with: &str) -> io::Result<()> {
        self.counts.pop();
        self.indent = self.indent.saturating_sub(LEVEL);
        self.line(out, with)
    }

    fn line(&self, out: &mut dyn Write, text: &str) -> io::Result<()> {
        writeln!(out, "  {:indent$}{text}", "", indent = self.indent)
    }
}

/// Of fields that came to be of another kind when `json_std` did, that one.
fn std_kind(field: &Field) -> Kind {
    match field.name {
        "pv_major" | "pv_minor" | "lv_active" => Kind::Number,
        "pe_start" => Kind::Size,
        _ => field.kind,
    }
}

/// Adds `"name":value`. Items of a list stand in `json_std` with a NUL behind each.
pub fn add_field(out: &mut Vec<u8>, field: &Field, text: &[u8], is_std: bool) {
    out.push(b'"');
    out.extend_from_slice(field.name.as_bytes());
    out.extend_from_slice(b"\":");
    match std_kind(field) {
        Kind::StringList if is_std => {
            out.push(b'[');
            for (at, item) in text.split_inclusive(|&byte| byte == 0).enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                add_string(out, item.strip_suffix(b"\0").unwrap_or(item));
            }
            out.push(b']');
        }
        Kind::Number | Kind::Percent if is_std && text.is_empty() => out.extend_from_slice(b"null"),
        Kind::Number | Kind::Percent if is_std && is_number(text) => out.extend_from_slice(text),
        _ => add_string(out, text),
    }
}

/// Some numbers are shown as words, such as `unknown`.
fn is_number(text: &[u8]) -> bool {
    serde_json::from_slice::<serde_json::Number>(text).is_ok()
}

fn add_string(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    for chunk in text.utf8_chunks() {
        for &byte in chunk.valid().as_bytes() {
            match byte {
                b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
                0..0x20 | 0x7f => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
                byte => out.push(byte),
            }
        }
        if !chunk.invalid().is_empty() {
            out.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(kind: Kind, text: &[u8], json: &str, std: &str) {
        let field = Field::of_kind("x", kind);
        for (is_std, expected) in [(false, json), (true, std)] {
            let mut out = Vec::new();
            add_field(&mut out, &field, text, is_std);
            let out = String::from_utf8(out).unwrap();
            assert_eq!(out, format!("\"x\":{expected}"));
            serde_json::from_str::<serde_json::Value>(&format!("{{{out}}}")).unwrap();
        }
    }

    #[test]
    fn only_json_std_has_numbers_and_lists() {
        check(Kind::String, b"a\"b\\\x1b\xff", "\"a\\\"b\\\\\\u001b\u{fffd}\"", "\"a\\\"b\\\\\\u001b\u{fffd}\"");
        check(Kind::Number, b"7", "\"7\"", "7");
        check(Kind::Number, b"", "\"\"", "null");
        check(Kind::Number, b"-1", "\"-1\"", "-1");
        check(Kind::Number, b"enabled", "\"enabled\"", "\"enabled\"");
        check(Kind::Number, b"007", "\"007\"", "\"007\"");
        check(Kind::Size, b"4.00m", "\"4.00m\"", "\"4.00m\"");
        check(Kind::Percent, b"50.00", "\"50.00\"", "50.00");
        check(Kind::StringList, b"", "\"\"", "[]");
    }

    #[test]
    fn some_fields_came_to_be_of_another_kind() {
        for (name, text, expected) in
            [("pv_minor", "7", "7"), ("lv_active", "-1", "-1"), ("pe_start", "1048576", "\"1048576\"")]
        {
            let field = crate::report::fields::all().find(|field| field.name == name).unwrap();
            let mut out = Vec::new();
            add_field(&mut out, field, text.as_bytes(), true);
            assert_eq!(String::from_utf8(out).unwrap(), format!("\"{name}\":{expected}"));
        }
    }

    #[test]
    fn items_of_a_list_end_with_a_nul() {
        let mut out = Vec::new();
        for field in crate::report::fields::all().filter(|field| field.name == "vg_tags") {
            add_field(&mut out, field, b"a\0\0b\0", true);
        }
        assert_eq!(String::from_utf8(out).unwrap(), "\"vg_tags\":[\"a\",\"\",\"b\"]");
    }
}
