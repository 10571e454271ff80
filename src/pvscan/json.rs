//! The facts as JSON, in which the daemon hands them to the command.
//!
//! | member | of | |
//! |---|---|---|
//! | `found` | all | `gone`, `excluded`, `unreadable`, `not_a_pv`, `other_path`, `ambiguous` or `pv` |
//! | `reason` | `excluded`, `unreadable`, `ambiguous` | the rule or the reason, in words |
//! | `path` | `other_path` | the device that is used |
//! | `devno`, `device`, `pvid` | `pv` | `MAJOR:MINOR`, its name below `/dev`, the PVID |
//! | `used` | `pv` | whether a VG uses it; absent if its header cannot say |
//! | `vg`, `listed_by` | `pv` | absent if there is none |
//! | `duplicate_of` | `pv` | `MAJOR:MINOR` and name of the device that the PV is used on; absent if on this |
//! | `name`, `vgid`, `pvids`, `exported` | a VG | |
//! | `system_id`, `lock_type`, `lvs` | a VG | absent if it has none |
//! | `name`, `pvids` | an LV | |
//!
//! Ids are hyphenated. Each byte of an id is the character of its number, so that one that no LVM
//! made is still itself at the other end; other strings have what is no UTF-8 replaced, since
//! nothing that is not ASCII is equal to anything that they are compared with.

use super::{Found, Lv, Pv, Vg};
use crate::devno::DevNo;
use crate::id::Id;
use crate::metadata::{Access, is_valid_name};
use serde_json::{Map, Value};

impl Found {
    pub fn to_json(&self) -> Map<String, Value> {
        let mut out = Map::new();
        let kind = match self {
            Found::Gone => "gone",
            Found::Excluded(reason) => {
                out.insert("reason".into(), reason.clone().into());
                "excluded"
            }
            Found::Unreadable(reason) => {
                out.insert("reason".into(), reason.clone().into());
                "unreadable"
            }
            Found::NotAPv => "not_a_pv",
            Found::OtherPath(path) => {
                out.insert("path".into(), path.clone().into());
                "other_path"
            }
            Found::Ambiguous(reason) => {
                out.insert("reason".into(), reason.clone().into());
                "ambiguous"
            }
            Found::Pv(pv) => {
                pv.to_json(&mut out);
                "pv"
            }
        };
        out.insert("found".into(), kind.into());
        out
    }

    /// Members that are not known here are left alone. `None` if it is not what
    /// [`Found::to_json`] writes.
    pub fn from_json(json: &Value) -> Option<Found> {
        let reason = || string(json, "reason").map(str::to_owned);
        match string(json, "found")? {
            "gone" => Some(Found::Gone),
            "excluded" => reason().map(Found::Excluded),
            "unreadable" => reason().map(Found::Unreadable),
            "not_a_pv" => Some(Found::NotAPv),
            "other_path" => string(json, "path").map(str::to_owned).map(Found::OtherPath),
            "ambiguous" => reason().map(Found::Ambiguous),
            "pv" => Pv::from_json(json).map(Box::new).map(Found::Pv),
            _ => None,
        }
    }
}

impl Pv {
    fn to_json(&self, out: &mut Map<String, Value>) {
        out.insert("devno".into(), self.devno.to_string().into());
        out.insert("device".into(), self.device.clone().into());
        out.insert("pvid".into(), write_id(self.pvid));
        insert(out, "used", self.used);
        insert(out, "vg", self.vg.as_ref().map(Vg::to_json));
        insert(out, "listed_by", self.listed_by.as_ref().map(Vg::to_json));
        let other = |(devno, device): &(DevNo, String)| Value::from(vec![devno.to_string(), device.clone()]);
        insert(out, "duplicate_of", self.duplicate_of.as_ref().map(other));
    }

    fn from_json(json: &Value) -> Option<Pv> {
        Some(Pv {
            devno: DevNo::parse(string(json, "devno")?)?,
            device: string(json, "device")?.to_owned(),
            pvid: read_id(&json["pvid"])?,
            used: optional(json, "used", Value::as_bool)?,
            vg: optional(json, "vg", Vg::from_json)?,
            listed_by: optional(json, "listed_by", Vg::from_json)?,
            duplicate_of: optional(json, "duplicate_of", |value| {
                Some((DevNo::parse(value[0].as_str()?)?, value[1].as_str()?.to_owned()))
            })?,
        })
    }
}

impl Vg {
    fn to_json(&self) -> Value {
        let mut out = Map::new();
        out.insert("name".into(), words(&self.name));
        out.insert("vgid".into(), write_id(self.vgid));
        out.insert("pvids".into(), write_ids(&self.pvids));
        out.insert("exported".into(), self.access.exported.into());
        insert(&mut out, "system_id", self.access.system_id.as_deref().map(words));
        insert(&mut out, "lock_type", self.access.lock_type.as_deref().map(words));
        if !self.lvs.is_empty() {
            out.insert("lvs".into(), self.lvs.iter().map(Lv::to_json).collect());
        }
        out.into()
    }

    fn from_json(json: &Value) -> Option<Vg> {
        let bytes = |value: &Value| value.as_str().map(|text| text.as_bytes().to_vec());
        let lvs = json["lvs"].as_array().into_iter().flatten();
        Some(Vg {
            // It becomes a file's.
            name: bytes(&json["name"]).filter(|name| is_valid_name(name))?,
            vgid: read_id(&json["vgid"])?,
            pvids: read_ids(&json["pvids"])?,
            access: Access {
                system_id: optional(json, "system_id", bytes)?,
                lock_type: optional(json, "lock_type", bytes)?,
                exported: json["exported"].as_bool()?,
            },
            lvs: lvs.map(Lv::from_json).collect::<Option<_>>()?,
        })
    }
}

impl Lv {
    fn to_json(&self) -> Value {
        let members = [("name".to_owned(), words(&self.name)), ("pvids".to_owned(), write_ids(&self.pvids))];
        Value::Object(members.into_iter().collect())
    }

    fn from_json(json: &Value) -> Option<Lv> {
        Some(Lv { name: string(json, "name")?.as_bytes().to_vec(), pvids: read_ids(&json["pvids"])? })
    }
}

fn insert(out: &mut Map<String, Value>, name: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        out.insert(name.to_owned(), value.into());
    }
}

fn string<'j>(json: &'j Value, name: &str) -> Option<&'j str> {
    json[name].as_str()
}

/// `Some(None)` for a member that is absent, `None` for one that is wrong.
#[expect(clippy::option_option, reason = "the two are different answers")]
fn optional<T>(json: &Value, name: &str, read: impl Fn(&Value) -> Option<T>) -> Option<Option<T>> {
    match &json[name] {
        Value::Null => Some(None),
        value => read(value).map(Some),
    }
}

fn words(bytes: &[u8]) -> Value {
    String::from_utf8_lossy(bytes).into()
}

fn write_id(id: Id) -> Value {
    id.hyphenated().into_iter().map(char::from).collect::<String>().into()
}

fn read_id(json: &Value) -> Option<Id> {
    let written: Vec<u8> = json.as_str()?.chars().map(|c| u8::try_from(c).ok()).collect::<Option<_>>()?;
    Id::from_hyphenated(&written)
}

fn write_ids(ids: &[Id]) -> Value {
    ids.iter().copied().map(write_id).collect()
}

fn read_ids(json: &Value) -> Option<Vec<Id>> {
    json.as_array()?.iter().map(read_id).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn id(byte: u8) -> Id {
        Id([byte; 32])
    }

    fn full() -> Pv {
        let lvs = vec![Lv { name: b"lv0".into(), pvids: vec![id(b'a')] }];
        let vg = Vg {
            name: b"vg0".into(),
            vgid: id(b'v'),
            pvids: vec![id(b'a'), id(b'b')],
            access: Access { system_id: Some(b"host".into()), lock_type: Some(b"sanlock".into()), exported: true },
            lvs,
        };
        Pv {
            devno: DevNo::new(7, 1),
            device: "/dev/loop1".into(),
            pvid: id(b'a'),
            used: Some(true),
            vg: Some(vg.clone()),
            listed_by: Some(Vg { access: Access::default(), lvs: vec![], ..vg }),
            duplicate_of: Some((DevNo::new(7, 2), "/dev/loop2".into())),
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let bare = Pv { used: None, vg: None, listed_by: None, duplicate_of: None, pvid: Id([b'-'; 32]), ..full() };
        let odd = Pv { pvid: Id(std::array::from_fn(|at| 0xf0 ^ u8::try_from(at).unwrap())), ..full() };
        let pvs = [full(), bare, odd].map(|pv| Found::Pv(Box::new(pv)));
        let others = [Found::Gone, Found::NotAPv, Found::Excluded("device is an LV".into())];
        let more = [Found::Unreadable("EIO".into()), Found::OtherPath("/dev/sda".into()), Found::Ambiguous("x".into())];
        for found in pvs.into_iter().chain(others).chain(more) {
            let text = Value::from(found.to_json()).to_string();
            assert_eq!(Found::from_json(&serde_json::from_str(&text).unwrap()), Some(found), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_nothing() {
        let good = Value::from(Found::Pv(Box::new(full())).to_json());
        for (member, value) in [
            ("found", json!("lost")),
            ("found", json!(1)),
            ("devno", json!("7")),
            ("device", Value::Null),
            ("pvid", json!("short")),
            ("used", json!("yes")),
            ("vg", json!({})),
        ] {
            let mut wrong = good.clone();
            wrong[member] = value;
            assert_eq!(Found::from_json(&wrong), None, "{wrong}");
        }
        for name in ["", "..", "a/b"] {
            let mut wrong = good.clone();
            wrong["vg"]["name"] = name.into();
            assert_eq!(Found::from_json(&wrong), None, "{wrong}");
        }
        assert_eq!(Found::from_json(&json!([])), None);
    }
}
