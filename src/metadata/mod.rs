//! The metadata of a VG, as its text on a PV has it.
//!
//! A text is read on two levels, as LVM reads it. What the scan of a device needs is small: name,
//! id, seqno, PVs. If that cannot be had, the text is refused and its metadata area counts for
//! nothing. The rules of a full read are checked too; a text that breaks one of them still names
//! its VG, but the VG cannot be used.

#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects, clippy::expect_used, clippy::indexing_slicing))]

mod access;
mod cache;
mod check;
mod lvs;

use crate::id::Id;
use crate::text::{self, Item, Scalar, Section};
use std::fmt;
use std::ops::{Deref, Range};
use std::rc::Rc;

pub use access::{Access, Kept};
pub use cache::TextCache;
pub use check::is_known_segment_type;
pub use lvs::{VisibleLv, visible_lvs, visible_sections};

/// `NAME_LEN` in lvm2 counts the NUL.
const MAX_NAME: usize = 127;

const CONTENTS: &[u8] = b"Text Format Volume Group";
const VERSION: i64 = 1;

/// Metadata of a VG. [`VgText::unreadable`] tells whether the VG can be used.
#[derive(Clone, Debug)]
pub struct VgText {
    pub name: Vec<u8>,
    pub vgid: Id,
    pub seqno: i64,
    pub body: Body,
    /// The ids of its PVs, in their order in the text; those that cannot be read are left out.
    pub pvids: Vec<Id>,
    pub access: Access,
    /// Why LVM would refuse to read the whole VG.
    pub unreadable: Option<Problem>,
    pub warnings: Vec<Warning>,
}

/// What a VG's section has between its braces, sharing the text it was read in.
#[derive(Clone)]
pub struct Body {
    text: Rc<[u8]>,
    range: Range<usize>,
}

/// Why a text says nothing about any VG.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    Parse(text::Error),
    /// It does not begin with the section of a VG, or not with a name a VG can have.
    Name(Vec<u8>),
    /// What is missing or of the wrong kind.
    Schema(&'static str),
    /// It is of the VG of this name, and lacks this. LVM knows then that there is such a VG.
    Lacks(Vec<u8>, &'static str),
}

/// A rule of the full read that a text breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub kind: ProblemKind,
    pub detail: String,
    pub about: About,
}

/// What a problem is about, where people may look for LVM's own words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum About {
    /// The status flags of the VG itself, or of a part of it, have one that is unknown.
    Flag {
        flag: Vec<u8>,
        is_of_vg: bool,
    },
    SegmentCount {
        lv: Vec<u8>,
    },
    /// What a segment lies on is not there.
    NoVolume {
        volume: Vec<u8>,
        segment: Vec<u8>,
    },
    #[default]
    Other,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProblemKind {
    /// LVM must not touch what a later LVM marked so.
    StatusFlag,
    Structure,
}

/// Something LVM reads over, at a price.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Warning {
    /// The type or a flag behind it; the LV cannot be activated.
    UnknownSegment { lv: Vec<u8>, segment_type: Vec<u8> },
}

impl VgText {
    /// Reads a text as it is on disk. It ends at the first NUL, or where the bytes do.
    pub fn parse(text: Rc<[u8]>) -> Result<VgText, Refusal> {
        let name = leading_name(&text);
        if !is_valid_name(name) {
            return Err(Refusal::Name(name.to_vec()));
        }
        let message = text::parse_message(&text, &|_, _, _| None).map_err(Refusal::Parse)?;
        let section = &message.section;
        // The name is in front of everything, so the VG's section is the first node.
        let (Some(text::Node { key, item: Item::Section(vg) }), Some(range)) = (section.0.first(), message.braces(0))
        else {
            return Err(Refusal::Schema("the text does not begin with the section of a VG"));
        };
        if string(section, "contents") != Some(CONTENTS) {
            return Err(Refusal::Schema("contents is missing or unknown"));
        }
        if section.int("version") != Some(VERSION) {
            return Err(Refusal::Schema("version is missing or unknown"));
        }
        let lacks = |what| Refusal::Lacks(key.to_vec(), what);
        let vgid = id(vg).ok_or_else(|| lacks("id"))?;
        let seqno = vg.int("seqno").ok_or_else(|| lacks("seqno"))?;
        let name = key.to_vec();
        let pvids = vg.section("physical_volumes").into_iter().flat_map(Section::sections);
        let pvids = pvids.filter_map(|(_, pv)| id(pv)).collect();
        let (mut unreadable, warnings) = check::check(&name, vg);
        let body = Body { text: Rc::clone(&text), range };
        // No LVM writes that, and whoever is served it would take what follows for the next reply.
        if memchr::memmem::find(&body, text::TERMINATOR).is_some() {
            let detail = "it contains what ends a message of lvmetad's protocol".to_owned();
            unreadable.get_or_insert(Problem { kind: ProblemKind::Structure, detail, about: About::Other });
        }
        let access = Access::read(vg);
        Ok(VgText { name, vgid, seqno, body, pvids, access, unreadable, warnings })
    }

    /// The name that the device of a PV had when this was written.
    pub fn device_hint(&self, pvid: Id) -> Option<Vec<u8>> {
        let section = text::parse(&self.body).ok()?;
        let pvs = section.section("physical_volumes")?;
        let (_, pv) = pvs.sections().find(|(_, pv)| id(pv) == Some(pvid))?;
        pv.str("device").map(<[u8]>::to_vec)
    }

    /// All bytes of the text that this was read from, on disk and so with the NUL.
    pub fn text(&self) -> &[u8] {
        &self.body.text
    }
}

/// What LVM takes for the VG's name before it parses.
fn leading_name(text: &[u8]) -> &[u8] {
    let ends = |byte: &u8| matches!(byte, 0 | b'\t'..=b'\r' | b' ' | b'{');
    let text = text.get(..=MAX_NAME).unwrap_or(text);
    text.split(ends).next().unwrap_or_default()
}

/// Whether a VG can have this name: `validate_name` of lvm2's `lib/misc/lvm-string.c`.
pub fn is_valid_name(name: &[u8]) -> bool {
    let legal = |byte: &u8| byte.is_ascii_alphanumeric() || b"._+-".contains(byte);
    (1..=MAX_NAME).contains(&name.len())
        && name.iter().all(legal)
        && !name.starts_with(b"-")
        && !matches!(name, b"." | b"..")
}

/// A string, which may be empty; of a list, its first element.
fn string<'s>(section: &'s Section, key: &str) -> Option<&'s [u8]> {
    match section.value(key)?.scalars().first()? {
        Scalar::Str(bytes) => Some(bytes),
        Scalar::Int(_) | Scalar::Float(_) => None,
    }
}

fn id(section: &Section) -> Option<Id> {
    Id::parse(string(section, "id")?)
}

/// A name from a text for people to read: escaped, and of one that is too long, its beginning.
struct Shown<'s>(&'s [u8]);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.get(..MAX_NAME) {
            Some(beginning) if self.0.len() > MAX_NAME => write!(f, "{}...", beginning.escape_ascii()),
            _ => write!(f, "{}", self.0.escape_ascii()),
        }
    }
}

impl Deref for Body {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.text.get(self.range.clone()).unwrap_or_default()
    }
}

impl From<&[u8]> for Body {
    fn from(bytes: &[u8]) -> Body {
        Body { text: Rc::from(bytes), range: 0..bytes.len() }
    }
}

impl PartialEq for Body {
    fn eq(&self, other: &Body) -> bool {
        **self == **other
    }
}

impl Eq for Body {}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Body({} bytes)", self.len())
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Parse(error) => write!(f, "{error}"),
            Refusal::Name(name) => write!(f, "no VG can be named \"{}\"", name.escape_ascii()),
            Refusal::Schema(what) => write!(f, "{what}"),
            Refusal::Lacks(_, what) => write!(f, "the VG has no {what}"),
        }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Warning::UnknownSegment { lv, segment_type } => {
                write!(f, "LV {} has a segment of unknown type {}", Shown(lv), Shown(segment_type))
            }
        }
    }
}

#[cfg(test)]
mod tests;
