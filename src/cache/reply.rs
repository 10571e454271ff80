//! Replies as bytes, terminator included: made once per change, shared by all who ask.

use super::{Cache, Key, Lookup, ORPHAN, Owner, Vg, body, strings};
use crate::ondisk::pv_header::is_in_use;
use crate::report::inventory::{Label, Mda};
use crate::text::{self, Item, Node, Scalar, Section, TERMINATOR, Value, write_key, write_nodes};
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::io::Write;
use std::rc::Rc;

const OK: &[u8] = b"response=\"OK\"\n";

/// `pvmeta` stands two levels deep in a list of PVs.
const PVMETA_INDENT: usize = 2;

pub(super) fn pvmeta_text(pvmeta: &Section) -> Rc<[u8]> {
    let mut out = Vec::new();
    write_nodes(&pvmeta.0, PVMETA_INDENT, &mut out);
    out.into()
}

fn parse_pvmeta(meta: &[u8]) -> Section<'_> {
    text::parse(meta).expect("a stored pvmeta was written by us and has at least an id")
}

/// What a stored `pvmeta` says of the PV's label, and the size it had.
pub(super) fn label(meta: &[u8]) -> (Label, u64) {
    let meta = parse_pvmeta(meta);
    let long = |section: &Section, key: &str| section.int(key).unwrap_or(0).cast_unsigned();
    let short = |key: &str| u32::try_from(long(&meta, key)).unwrap_or(0);
    let (ext_version, ext_flags) = (short("ext_version"), short("ext_flags"));
    let mda = |number: usize| {
        let mda = meta.section(&format!("mda{number}"))?;
        Some(Mda {
            start: long(mda, "start"),
            size: long(mda, "size"),
            free: long(mda, "free_sectors").saturating_mul(512),
            ignored: long(mda, "ignore") != 0,
            bad: false,
        })
    };
    let bootloader = meta.section("ba0").map_or((0, 0), |area| (long(area, "offset"), long(area, "size")));
    let label = Label {
        ext_version,
        in_use: is_in_use(ext_version, ext_flags),
        dev_size: long(&meta, "dev_size"),
        data_start: meta.int("da0/offset").unwrap_or(0).cast_unsigned(),
        bootloader,
        mdas: (0..).map_while(mda).collect(),
    };
    let size = label.dev_size;
    (label, size)
}

impl Cache {
    pub fn pv_list_reply(&mut self) -> Rc<[u8]> {
        if self.pv_list.is_none() {
            let mut out = [OK, b"physical_volumes {\n"].concat();
            for pvid in self.pvs.keys() {
                self.write_pv(pvid, pvid, 1, &mut out);
            }
            out.extend_from_slice(b"}\n");
            self.pv_list = Some(self.finish(out));
        }
        Rc::clone(self.pv_list.as_ref().expect("made above"))
    }

    pub fn vg_list_reply(&mut self) -> Rc<[u8]> {
        if self.vg_list.is_none() {
            let mut out = [OK, b"volume_groups {\n"].concat();
            for (vgid, vg) in &self.vgs {
                let name = Node::str("name", &*vg.name);
                write_nodes(&[Node::section(&**vgid, vec![name])], 1, &mut out);
            }
            out.extend_from_slice(b"}\n");
            self.vg_list = Some(self.finish(out));
        }
        Rc::clone(self.vg_list.as_ref().expect("made above"))
    }

    /// The PV of this PVID, if it is present.
    pub fn pv_lookup_reply(&self, pvid: &[u8]) -> Option<Rc<[u8]>> {
        let (pvid, _) = self.pvs.get_key_value(pvid)?;
        let mut out = OK.to_vec();
        self.write_pv(pvid, b"physical_volume", 0, &mut out);
        Some(self.finish(out))
    }

    pub fn vg_lookup(&mut self, uuid: Option<&[u8]>, name: Option<&[u8]>) -> Lookup {
        let vgid = match (uuid, name) {
            (None, None) => return Lookup::NotFound,
            (None, Some(name)) => match self.vgids_named(name) {
                [] => return Lookup::NotFound,
                [vgid] => Rc::clone(vgid),
                _ => return Lookup::Multiple,
            },
            (Some(uuid), name) => match (self.vgs.get_key_value(uuid), name) {
                (Some((vgid, vg)), name) if name.is_none_or(|name| *vg.name == *name) => match &vg.reply {
                    Some(reply) => return Lookup::Found(Rc::clone(reply)),
                    None => Rc::clone(vgid),
                },
                (None, None) => return Lookup::NotFound,
                _ => return Lookup::MappingIncomplete,
            },
        };
        Lookup::Found(self.vg_reply(&vgid))
    }

    fn vg_reply(&mut self, vgid: &Key) -> Rc<[u8]> {
        let vg = &self.vgs[vgid];
        if let Some(reply) = &vg.reply {
            return Rc::clone(reply);
        }
        let reply = self.render_vg(vgid, vg);
        self.vgs.get_mut(vgid).expect("just looked up").reply = Some(Rc::clone(&reply));
        reply
    }

    /// The metadata as stored, with the present PVs' `pvmeta` put in front of their fields and
    /// the absent ones marked `MISSING`.
    fn render_vg(&self, vgid: &Key, vg: &Vg) -> Rc<[u8]> {
        let mut metadata = body::parse(&vg.body);
        let mut shown = BTreeSet::new();
        for pv in body::physical_volumes(&mut metadata) {
            let Some(pvid) = body::pvid(pv) else { continue };
            match self.pvs.get_key_value(&*pvid).filter(|(pvid, _)| self.is_member(vgid, pvid)) {
                // A PV is listed once. A text that lists it a million times gets no larger here.
                Some((pvid, _)) if !shown.insert(pvid) => {}
                Some((_, present)) => {
                    let mut fields = parse_pvmeta(&present.meta).0;
                    fields.retain(|field| !matches!(&*field.key, b"id" | b"dev_size"));
                    clear_missing(pv);
                    pv.0.splice(0..0, fields);
                }
                None => mark_missing(pv),
            }
        }
        let mut out = OK.to_vec();
        write_nodes(&[Node::str("name", &*vg.name)], 0, &mut out);
        out.extend_from_slice(b"metadata {\n");
        self.write_outdated(vg, &mut out);
        write_nodes(&metadata.0, 1, &mut out);
        out.extend_from_slice(b"}\n");
        if vg.invalid {
            out.extend_from_slice(b"vg_invalid {\n}\n");
        }
        self.finish(out)
    }

    fn write_outdated(&self, vg: &Vg, out: &mut Vec<u8>) {
        if vg.outdated.is_empty() {
            return;
        }
        out.extend_from_slice(b"\toutdated_pvs {\n");
        for pvid in &vg.outdated {
            if let Some(pv) = self.pvs.get(pvid) {
                out.extend_from_slice(b"\t\t");
                write_key(pvid, out);
                out.extend_from_slice(b" {\n");
                out.extend_from_slice(&pv.meta);
                out.extend_from_slice(b"\t\t}\n");
            }
        }
        out.extend_from_slice(b"\t}\n");
    }

    fn write_pv(&self, pvid: &Key, key: &[u8], indent: usize, out: &mut Vec<u8>) {
        let tabs = &b"\t\t"[..indent];
        out.extend_from_slice(tabs);
        write_key(key, out);
        out.extend_from_slice(b" {\n");
        out.extend_from_slice(&self.pvs[pvid].meta);
        if let Some(vgid) = self.owner(pvid) {
            let vg = [Node::str("vgid", &**vgid), Node::str("vgname", &*self.vgs[vgid].name)];
            write_nodes(&vg, PVMETA_INDENT, out);
        }
        out.extend_from_slice(tabs);
        out.extend_from_slice(b"}\n");
    }

    fn finish(&self, mut out: Vec<u8>) -> Rc<[u8]> {
        if self.flags.invalid {
            out.extend_from_slice(b"global_invalid {\n}\n");
        }
        out.extend_from_slice(TERMINATOR);
        out.into()
    }

    /// Everything stored, for people.
    pub fn dump_reply(&self) -> Rc<[u8]> {
        let mut out = b"# VG METADATA\n\n".to_vec();
        for (vgid, vg) in &self.vgs {
            write_nodes(&[Node::section(&**vgid, body::parse(&vg.body).0)], 0, &mut out);
        }
        out.extend_from_slice(b"\n# PV METADATA\n\n");
        for (pvid, pv) in &self.pvs {
            write_nodes(&[Node::section(&**pvid, parse_pvmeta(&pv.meta).0)], 0, &mut out);
        }
        let vgs = || self.vgs.iter();
        write_map("VGID to VGNAME", "vgid_to_vgname", vgs().map(|(vgid, vg)| str_node(vgid, &vg.name)), &mut out);
        let outdated = vgs().filter(|(_, vg)| !vg.outdated.is_empty()).map(|(vgid, vg)| list_node(vgid, &vg.outdated));
        write_map("VGID to outdated PVs", "vgid_to_outdated_pvs", outdated, &mut out);
        write_map("VGNAME to VGID", "vgname_to_vgid", self.names.iter().map(|(n, ids)| list_node(n, ids)), &mut out);
        let owners = self.owners.iter().map(|(pvid, owner)| match owner {
            Owner::Vg(vgid) => str_node(pvid, vgid),
            Owner::Orphan => str_node(pvid, ORPHAN),
        });
        write_map("PVID to VGID", "pvid_to_vgid", owners, &mut out);
        let devices = self.devices.iter().map(|(device, pvid)| Node {
            key: Cow::Owned(device.to_string().into_bytes()),
            item: str_node(b"", pvid).item,
        });
        write_map("DEVICE to PVID", "device_to_pvid", devices, &mut out);
        let versions = vgs().filter_map(|(vgid, vg)| Some(int_node(vgid, vg.external_version?)));
        write_map("VGID to INFO version", "vgid_to_info", versions, &mut out);
        let told = vgs().filter(|(_, vg)| vg.external_version.is_some());
        write_map(
            "VGID to INFO flags",
            "vgid_to_info",
            told.map(|(vgid, vg)| int_node(vgid, vg.invalid.into())),
            &mut out,
        );
        out.extend_from_slice(TERMINATOR);
        out.into()
    }
}

fn write_map<'a>(title: &str, key: &'a str, nodes: impl Iterator<Item = Node<'a>>, out: &mut Vec<u8>) {
    writeln!(out, "\n# {title} mapping\n").expect("a Vec takes every write");
    write_nodes(&[Node::section(key.as_bytes(), nodes.collect())], 0, out);
}

fn str_node<'a>(key: &'a [u8], value: &'a [u8]) -> Node<'a> {
    list_item(key, vec![Scalar::Str(Cow::Borrowed(value))])
}

fn list_node<'a>(key: &'a [u8], values: &'a [Key]) -> Node<'a> {
    list_item(key, values.iter().map(|value| Scalar::Str(Cow::Borrowed(&**value))).collect())
}

fn int_node(key: &[u8], value: i64) -> Node<'_> {
    list_item(key, vec![Scalar::Int(value)])
}

fn list_item<'a>(key: &'a [u8], mut scalars: Vec<Scalar<'a>>) -> Node<'a> {
    let value = if scalars.len() == 1 { Value::One(scalars.remove(0)) } else { Value::List(scalars) };
    Node { key: Cow::Borrowed(key), item: Item::Value(value) }
}

const MISSING: &[u8] = b"MISSING";

/// Takes the word out of `status`; the one in `flags` stays, it tells clients to adopt the PV again.
fn clear_missing(pv: &mut Section) {
    let Some(status) = pv.0.iter_mut().find(|node| &*node.key == b"status") else { return };
    if let Item::Value(value) = &mut status.item
        && strings(Some(value)).contains(&MISSING)
    {
        let mut kept: Vec<_> = value.scalars().to_vec();
        kept.retain(|scalar| *scalar != Scalar::Str(Cow::Borrowed(MISSING)));
        *value = if kept.len() == 1 { Value::One(kept.remove(0)) } else { Value::List(kept) };
    }
}

fn mark_missing(pv: &mut Section) {
    let missing = Scalar::Str(Cow::Borrowed(MISSING));
    match pv.0.iter_mut().find(|node| &*node.key == b"status").map(|node| &mut node.item) {
        Some(Item::Value(value)) if strings(Some(value)).contains(&MISSING) => {}
        Some(Item::Value(value)) => {
            let mut scalars = vec![missing];
            scalars.extend(value.scalars().iter().cloned());
            *value = if scalars.len() == 1 { Value::One(scalars.remove(0)) } else { Value::List(scalars) };
        }
        _ => pv.0.push(Node::str("status", MISSING)),
    }
}
