//! The 32-character identifier of a PV, VG or LV.

#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects, clippy::expect_used, clippy::indexing_slicing))]

use crate::bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;

/// A PVID, VGID or LV id, without hyphens. LVM does not check the characters when it reads a
/// label, so any byte may be in here; [`Id::is_regular`] tells.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(pub [u8; 32]);

/// Lengths of the groups in the written form, `XXXXXX-XXXX-XXXX-XXXX-XXXX-XXXX-XXXXXX`.
const GROUPS: [usize; 7] = [6, 4, 4, 4, 4, 4, 6];

impl Id {
    /// Reads the written form as metadata readers do: hyphens count for nothing wherever they
    /// are, and exactly 32 characters of the alphabet must be left.
    pub fn parse(text: &[u8]) -> Option<Id> {
        let mut id = [0; 32];
        let mut characters = text.iter().filter(|byte| **byte != b'-');
        for place in &mut id {
            *place = *characters.next()?;
        }
        let id = Id(id);
        (characters.next().is_none() && id.is_regular()).then_some(id)
    }

    /// Whether all characters are of LVM's alphabet, `0-9A-Za-z!#`.
    pub fn is_regular(&self) -> bool {
        self.0.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'!' | b'#'))
    }

    /// Whether a message of lvmetad's protocol can carry it: a NUL ends the text, and a line end
    /// can be part of what ends the message.
    pub fn fits_message(&self) -> bool {
        !self.0.iter().any(|byte| matches!(byte, 0 | b'\n'))
    }

    /// Reads exactly what [`Id::hyphenated`] writes, whatever the characters.
    pub fn from_hyphenated(text: &[u8]) -> Option<Id> {
        let mut id = Vec::with_capacity(32);
        let mut rest = text;
        for (group, length) in GROUPS.into_iter().enumerate() {
            rest = if group == 0 { rest } else { rest.strip_prefix(b"-")? };
            let (start, tail) = rest.split_at_checked(length)?;
            id.extend_from_slice(start);
            rest = tail;
        }
        if rest.is_empty() { id.try_into().ok().map(Id) } else { None }
    }

    /// The written form, as bytes: an irregular id keeps its odd ones.
    pub fn hyphenated(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(38);
        let mut rest = &self.0[..];
        for length in GROUPS {
            let (group, tail) = rest.split_at(length);
            if !out.is_empty() {
                out.push(b'-');
            }
            out.extend_from_slice(group);
            rest = tail;
        }
        out
    }
}

/// The written form; bytes that are not printable ASCII are shown as `\xNN`.
impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.hyphenated().escape_ascii())
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// As its 32 characters.
impl Serialize for Id {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Bytes::from(&self.0[..]).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Id, D::Error> {
        let bytes = Bytes::deserialize(deserializer)?;
        <[u8; 32]>::try_from(&*bytes).map(Id).map_err(|_| de::Error::custom("an id has 32 bytes"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hyphens_may_stand_anywhere() {
        let id = Id::parse(b"GpJ7WN-yKiu-O8xE-G1iJ-yQdO-4DYS-CGa4HS").unwrap();
        assert_eq!(id, Id(*b"GpJ7WNyKiuO8xEG1iJyQdO4DYSCGa4HS"));
        assert_eq!(Id::parse(b"--GpJ7WNyKiuO8xEG1iJyQdO4DYSCGa4HS-"), Some(id));
        assert_eq!(id.to_string(), "GpJ7WN-yKiu-O8xE-G1iJ-yQdO-4DYS-CGa4HS");
    }

    #[test]
    fn an_irregular_id_can_be_written_and_read() {
        let odd = Id(*b"GpJ7-NyK-uO8-EG1-JyQ-O4D-SC\xff\0a4S");
        assert_eq!(Id::from_hyphenated(&odd.hyphenated()), Some(odd));
        for wrong in [&b""[..], b"GpJ7WNyKiuO8xEG1iJyQdO4DYSCGa4HS", b"GpJ7WN-yKiu-O8xE-G1iJ-yQdO-4DYS-CGa4HS-"] {
            assert_eq!(Id::from_hyphenated(wrong), None);
        }
    }

    #[test]
    fn wrong_length_and_wrong_characters_are_refused() {
        assert_eq!(Id::parse(b"GpJ7WNyKiuO8xEG1iJyQdO4DYSCGa4H"), None);
        assert_eq!(Id::parse(b"GpJ7WNyKiuO8xEG1iJyQdO4DYSCGa4HSx"), None);
        assert_eq!(Id::parse(b"GpJ7WNyKiuO8xEG1iJyQdO4DYSCGa4H/"), None);
    }
}
