//! Bytes that are mostly text, as JSON has them: a string, in which a byte that is no UTF-8 stands
//! as the character of a private use area that is U+10FF00 and it. Metadata may hold any bytes, and
//! what is read back from the JSON is what was put in.

#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects, clippy::expect_used, clippy::indexing_slicing))]

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;

#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bytes(pub Vec<u8>);

/// The first character that stands for a byte.
const FIRST: u32 = 0x10_FF80;

fn stands_for_a_byte(char: char) -> bool {
    u32::from(char) >= FIRST
}

/// Whether there is what UTF-8 has those characters begin with.
fn may_have_stand_ins(bytes: &[u8]) -> bool {
    memchr::memchr(0xf4, bytes).is_some()
}

/// The text for the bytes.
pub fn to_text(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) if !may_have_stand_ins(bytes) => return Cow::Borrowed(text),
        Ok(_) | Err(_) => {}
    }
    let mut out = String::with_capacity(bytes.len().saturating_add(16));
    let stand_in = |byte: &u8| char::from_u32(0x10_FF00 + u32::from(*byte)).unwrap_or(char::REPLACEMENT_CHARACTER);
    for chunk in bytes.utf8_chunks() {
        for char in chunk.valid().chars() {
            if stands_for_a_byte(char) {
                out.extend(char.encode_utf8(&mut [0; 4]).as_bytes().iter().map(stand_in));
            } else {
                out.push(char);
            }
        }
        out.extend(chunk.invalid().iter().map(stand_in));
    }
    Cow::Owned(out)
}

/// The bytes that the text is for.
pub fn from_text(text: String) -> Vec<u8> {
    if !may_have_stand_ins(text.as_bytes()) {
        return text.into_bytes();
    }
    let mut out = Vec::with_capacity(text.len());
    for char in text.chars() {
        if stands_for_a_byte(char) {
            out.push(u32::from(char).to_le_bytes()[0]);
        } else {
            out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
        }
    }
    out
}

/// What JSON need not say.
pub fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl From<&[u8]> for Bytes {
    fn from(bytes: &[u8]) -> Bytes {
        Bytes(bytes.to_vec())
    }
}

impl From<&str> for Bytes {
    fn from(text: &str) -> Bytes {
        Bytes(text.as_bytes().to_vec())
    }
}

impl PartialEq<str> for Bytes {
    fn eq(&self, other: &str) -> bool {
        self.0 == other.as_bytes()
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&to_text(&self.0))
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
        String::deserialize(deserializer).map(|text| Bytes(from_text(text)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_survive() {
        let all: Vec<u8> = (0..=255).collect();
        let stand_ins = "\u{10ff80}\u{10ffff} \u{10ff7f}";
        let cut = &"\u{10ffff}".as_bytes()[..3];
        for bytes in [&all, &b"plain \"text\"\n"[..], "gr\u{fc}n".as_bytes(), stand_ins.as_bytes(), cut, b""] {
            let json = serde_json::to_string(&Bytes::from(bytes)).unwrap();
            let back: Bytes = serde_json::from_str(&json).unwrap();
            assert_eq!(&*back, bytes, "{json}");
        }
        assert_eq!(to_text("gr\u{fc}n".as_bytes()), "gr\u{fc}n");
        assert_eq!(to_text(b"a\xffb"), "a\u{10ffff}b");
    }
}
