//! The answer to `Inventory`: many replies, each of some of the items, so that nobody waits for all of
//! it and nobody has to keep it. The text of a VG, and the list of device-mapper's devices, are cut.

use super::{failed, finish_with};
use crate::bytes;
use crate::metadata::Body;
use crate::report::inventory::{Device, Host, Item, Mapped, Mda, Named, Present, Unreadable, Warning};
use crate::report::model::Vg;
use serde::{Serialize, Serializer};
use std::collections::VecDeque;

/// A reply ends with the item that makes it longer.
const REPLY_BYTES: usize = 32 << 10;
/// Of device-mapper's devices in one item.
const MAPPED_PART: usize = 128;

/// One of the items, under its name.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Piece<'i> {
    Host(&'i Host),
    Mapped(&'i [Mapped]),
    Named(&'i Named),
    Vg(VolumeGroup<'i>),
    Text(Text<'i>),
    Unreadable(&'i Unreadable),
    Orphan(&'i Present),
    Label(&'i Present),
    Device(&'i Device),
}

#[derive(Serialize)]
struct VolumeGroup<'i> {
    metadata: &'i Vg,
    present: &'i [Present],
    stray: &'i [Mda],
    warnings: &'i [Warning],
    /// Bytes of what follows as text.
    text_size: Option<usize>,
}

struct Text<'i>(&'i [u8]);

impl Serialize for Text<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&bytes::to_text(self.0))
    }
}

/// What is left of the item that was begun last.
#[derive(Debug, Default)]
pub struct Replies {
    mapped: VecDeque<Mapped>,
    text: Option<(Body, usize)>,
}

/// A reply, and whether others follow.
pub struct Slice {
    pub bytes: Vec<u8>,
    pub continues: bool,
}

impl Replies {
    /// The next one, of what is left and of what comes next.
    pub fn next(&mut self, next: &mut dyn FnMut() -> Option<Item>) -> Slice {
        let mut out = br#"{"parameters":{"items":["#.to_vec();
        let begin = out.len();
        loop {
            if out.len() >= REPLY_BYTES {
                return Slice { bytes: finish_with(out, br#"]},"continues":true}"#), continues: true };
            }
            if out.len() > begin {
                out.push(b',');
            }
            match self.write_one(&mut out, next) {
                Ok(true) => {}
                Ok(false) => {
                    if out.len() > begin {
                        out.pop();
                    }
                    return Slice { bytes: finish_with(out, b"]}}"), continues: false };
                }
                Err(error) => return Slice { bytes: failed(&error.to_string()), continues: false },
            }
        }
    }

    /// False if there is nothing to write any more.
    fn write_one(&mut self, out: &mut Vec<u8>, next: &mut dyn FnMut() -> Option<Item>) -> serde_json::Result<bool> {
        if !self.mapped.is_empty() {
            let part = self.mapped.drain(..self.mapped.len().min(MAPPED_PART)).collect::<Vec<_>>();
            serde_json::to_writer(out, &Piece::Mapped(&part))?;
        } else if let Some((body, at)) = self.text.take() {
            let end = at + cut(&body[at..], REPLY_BYTES.saturating_sub(out.len()));
            serde_json::to_writer(out, &Piece::Text(Text(&body[at..end])))?;
            self.text = (end < body.len()).then_some((body, end));
        } else {
            let Some(item) = next() else { return Ok(false) };
            self.begin(out, item)?;
        }
        Ok(true)
    }

    fn begin(&mut self, out: &mut Vec<u8>, item: Item) -> serde_json::Result<()> {
        match item {
            Item::Host(mut host) => {
                self.mapped = host.mapped.as_mut().map(std::mem::take).unwrap_or_default().into();
                serde_json::to_writer(out, &Piece::Host(&host))
            }
            Item::Vg(item) => {
                let text = item.text.filter(|text| !text.is_empty());
                let text_size = text.as_ref().map(|text| text.len());
                self.text = text.map(|text| (text, 0));
                let group = VolumeGroup {
                    metadata: &item.vg,
                    present: &item.present,
                    stray: &item.stray,
                    warnings: &item.warnings,
                    text_size,
                };
                serde_json::to_writer(out, &Piece::Vg(group))
            }
            Item::Named(named) => serde_json::to_writer(out, &Piece::Named(&named)),
            Item::Unreadable(vg) => serde_json::to_writer(out, &Piece::Unreadable(&vg)),
            Item::Orphan(present) => serde_json::to_writer(out, &Piece::Orphan(&present)),
            Item::Label(present) => serde_json::to_writer(out, &Piece::Label(&present)),
            Item::Device(device) => serde_json::to_writer(out, &Piece::Device(&device)),
        }
    }
}

/// How much of it is about so long, at least something, and ends between characters.
fn cut(text: &[u8], about: usize) -> usize {
    let end = about.max(4).min(text.len());
    let is_within = |at: &usize| text.get(*at).is_some_and(|byte| byte & 0xc0 == 0x80);
    // No character has more bytes than four.
    (end.saturating_sub(3)..=end).rev().find(|at| !is_within(at)).unwrap_or(end)
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::devno::DevNo;
    use crate::id::Id;
    use crate::protocol::frame::CALL_END;
    use crate::report::inventory::{Label, VgItem};
    use crate::report::model::VgPv;
    use std::rc::Rc;

    pub fn device(number: u32) -> Device {
        Device { path: format!("/dev/sd\u{fc}{number}"), devno: DevNo::new(8, number), size: u64::MAX }
    }

    pub fn present(number: u32) -> Present {
        let label = Label { ext_version: 2, in_use: true, bootloader: (1, 2), ..Label::default() };
        let id = Id([u8::try_from(number % 256).unwrap(); 32]);
        Present { id, device: device(number), label, duplicates: vec![device(9)], warnings: Vec::new() }
    }

    fn mda() -> Mda {
        Mda { start: 1, size: 2, free: 3, ignored: true, bad: true }
    }

    pub fn vg(name: &str, text: Option<&[u8]>) -> Item {
        let pv = VgPv {
            id: Some(Id(*b"GpJ7WNyKiuO8xEG1iJyQdO4DYSCGa4HS")),
            device_id_type: "loop_file".into(),
            device_id: "/img".into(),
            flags: vec!["F".into()],
            tags: vec!["t".into()],
            dev_size: 8192,
            pe_alloc_count: 1,
            ba_start: 2,
            ba_size: 3,
            ..VgPv::default()
        };
        let vg = Vg {
            name: name.into(),
            seqno: 7,
            flags: vec!["WRITE_LOCKED".into()],
            tags: vec![(&b"\xff\0\n"[..]).into()],
            system_id: "s".into(),
            lock_type: "none".into(),
            lock_args: "a".into(),
            max_lv: 1,
            max_pv: 2,
            profile: "p".into(),
            metadata_copies: 3,
            pvs: vec![pv],
            snap_count: 4,
            has_historical: true,
            ..Vg::default()
        };
        let warnings = vec![Warning { text: "a \"warning\"".into(), unless_foreign: true }];
        Item::Vg(Box::new(VgItem {
            vg: Rc::new(vg),
            present: vec![present(1)],
            stray: vec![mda()],
            warnings,
            text: text.map(Body::from),
        }))
    }

    pub fn host(mapped: Option<usize>) -> Item {
        let one = |number: usize| Mapped {
            uuid: format!("LVM-{number}"),
            name: format!("vg-lv{number}"),
            devno: DevNo::new(253, u32::try_from(number).unwrap()),
            suspended: number.is_multiple_of(2),
        };
        let mapped = mapped.map(|count| (0..count).map(one).collect());
        Item::Host(Host { system_id: Some("here".into()), mapped, warnings: Vec::new() })
    }

    /// All replies to it, without their ends.
    pub fn replies(items: Vec<Item>) -> Vec<Vec<u8>> {
        let mut items = items.into_iter();
        let mut replies = Replies::default();
        let mut out = Vec::new();
        loop {
            let Slice { mut bytes, continues } = replies.next(&mut || items.next());
            assert_eq!(bytes.pop(), Some(CALL_END));
            assert!(!bytes.contains(&CALL_END));
            out.push(bytes);
            if !continues {
                return out;
            }
        }
    }

    #[test]
    fn a_reply_is_of_bounded_length_whatever_the_items() {
        let text = b"\"\n\\\x01\xff\xc3".repeat(100_000);
        let items = vec![host(Some(10_000)), vg("large", Some(&text)), vg("small", None)];
        let replies = replies(items);
        assert!(replies.len() > 20, "{}", replies.len());
        for reply in &replies {
            assert!(reply.len() < 8 * REPLY_BYTES, "{}", reply.len());
        }
        assert_eq!(String::from_utf8_lossy(&super::tests::replies(Vec::new())[0]), r#"{"parameters":{"items":[]}}"#);
    }

    #[test]
    fn text_is_cut_between_characters() {
        let text = "a\u{fc}\u{20ac}\u{1f600}b".repeat(3);
        for about in 4..text.len() {
            let end = cut(text.as_bytes(), about);
            assert!(text.is_char_boundary(end) && (about - 3..=about).contains(&end), "{about}: {end}");
        }
        assert_eq!(cut(&[0x80; 10], 6), 6);
        assert_eq!((cut(b"abc", 9), cut(b"abcdef", 0), cut(b"", 5)), (3, 4, 0));
    }

    /// The members of a type of the interface file, and whether they may be absent.
    fn members(name: &str) -> Vec<(String, bool)> {
        let begin = format!("\ntype {name} (");
        let text = crate::api::DESCRIPTION;
        let text = &text[text.find(&begin).unwrap_or_else(|| panic!("type {name}")) + begin.len()..];
        let members = text[..text.find(')').unwrap()].split(',');
        let member = |member: &str| {
            let (name, of) = member.split_once(':').unwrap();
            (name.trim().to_owned(), of.trim().starts_with('?'))
        };
        members.map(member).collect()
    }

    #[test]
    fn the_interface_file_says_what_is_sent() {
        use serde_json::Value;
        let unreadable = Unreadable {
            name: "odd".into(),
            id: None,
            devices: vec![device(3)],
            warnings: vec![Warning { text: String::new(), unless_foreign: false }],
        };
        let items = vec![
            host(Some(2)),
            vg("vg", Some(b"text")),
            Item::Unreadable(Box::new(unreadable)),
            Item::Orphan(Box::new(present(2))),
            Item::Label(Box::new(present(2))),
            Item::Device(device(4)),
        ];
        let reply: Value = serde_json::from_slice(&replies(items)[0]).unwrap();
        let items = reply["parameters"]["items"].as_array().unwrap();
        let item = |name: &str| items.iter().find_map(|item| item.get(name)).unwrap_or_else(|| panic!("{name}"));
        let mut area = item("orphan")["label"].clone();
        area["mdas"] = serde_json::to_value([mda()]).unwrap();
        let mut keys = items.iter().map(|item| item.as_object().unwrap().keys().next().unwrap().clone());
        assert!(keys.all(|key| members("Item").contains(&(key, true))));
        for (name, value) in [
            ("Host", item("host")),
            ("Mapped", &item("mapped")[0]),
            ("VolumeGroup", item("vg")),
            ("Metadata", &item("vg")["metadata"]),
            ("ListedVolume", &item("vg")["metadata"]["pvs"][0]),
            ("Warning", &item("vg")["warnings"][0]),
            ("UnreadableGroup", item("unreadable")),
            ("PhysicalVolume", item("orphan")),
            ("Label", &item("orphan")["label"]),
            ("MetadataArea", &area["mdas"][0]),
            ("Device", item("device")),
        ] {
            let sent = value.as_object().unwrap();
            let said = members(name);
            for key in sent.keys() {
                assert!(said.iter().any(|(name, _)| name == key), "{name}: {key}");
            }
            for (key, may_be_absent) in &said {
                assert!(*may_be_absent || sent.contains_key(key), "{name}: {key}");
            }
        }
    }
}
