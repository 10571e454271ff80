//! How new VG metadata meets what is stored: `pv_found` brings it from a PV, `vg_update` from
//! the command that has just written it.

use super::body;
use super::{Cache, Key, KnowsBy, NewBody, NewMetadata, Owner, Vg};
use crate::metadata::Body;
use std::cell::OnceCell;
use std::cmp::Ordering;
use std::rc::Rc;

impl NewBody<'_> {
    fn bytes(&self) -> &[u8] {
        match self {
            NewBody::Bytes(bytes) => bytes,
            NewBody::Shared(body) => body,
            NewBody::AsStored => &[],
        }
    }

    fn to_body(&self) -> Body {
        match self {
            NewBody::Bytes(bytes) => Body::from(*bytes),
            NewBody::Shared(body) => (*body).clone(),
            NewBody::AsStored => unreachable!("nothing is stored where all is stored already"),
        }
    }
}

impl Cache {
    /// Metadata read from a PV. Refused if it is older than what is stored, or of the same age
    /// and different; the PV itself is stored all the same.
    pub(super) fn merge_from_pv(&mut self, pvid: &Key, new: &NewMetadata) {
        if new.seqno <= 0 || matches!(new.body, NewBody::AsStored) {
            return;
        }
        let Some(old) = self.vgs.get(new.vgid) else {
            return self.store_new_vg(new);
        };
        match new.seqno.cmp(&old.seqno) {
            Ordering::Less => {
                if self.knows_by == KnowsBy::Hearsay {
                    self.mark_outdated(new.vgid, pvid);
                }
            }
            Ordering::Greater => {
                if self.knows_by == KnowsBy::Hearsay {
                    // Everybody of the old metadata, the source too. Looks wrong and is
                    // harmless: clients ignore outdated PVs that are members.
                    for old_pvid in old.pvids.clone() {
                        self.mark_outdated(new.vgid, &old_pvid);
                    }
                }
                self.store_known_vg(new);
            }
            Ordering::Equal => {
                if self.note_same_content(new) && *self.vgs[new.vgid].name != *new.name {
                    self.store_known_vg(new);
                }
            }
        }
    }

    /// Metadata that a command has committed: the command is right.
    pub(super) fn merge_from_command(&mut self, new: &NewMetadata) {
        if matches!(new.body, NewBody::AsStored) {
            return;
        }
        let Some(old) = self.vgs.get(new.vgid) else {
            return self.store_new_vg(new);
        };
        match new.seqno.cmp(&old.seqno) {
            Ordering::Greater => self.store_known_vg(new),
            Ordering::Equal if self.note_same_content(new) => {
                if *self.vgs[new.vgid].name != *new.name {
                    self.store_known_vg(new);
                }
            }
            Ordering::Less | Ordering::Equal => {
                self.vg_remove(new.vgid);
                self.store_new_vg(new);
            }
        }
    }

    /// Whether the content is the stored one; if it is in another spelling, that is kept too.
    fn note_same_content(&mut self, new: &NewMetadata) -> bool {
        let vg = self.vgs.get_mut(new.vgid).expect("the caller found it");
        if vg.is_text(new.body.bytes()) {
            return true;
        }
        let same = body::same_content(&vg.body, new.body.bytes());
        if same {
            vg.alias = Some(new.body.to_body());
        }
        same
    }

    fn store_new_vg(&mut self, new: &NewMetadata) {
        let vgid: Key = Rc::from(new.vgid);
        let name: Key = self.names.get_key_value(new.name).map_or_else(|| Rc::from(new.name), |(n, _)| Rc::clone(n));
        let vg = Vg {
            pvids: self.listed_pvids(&new.body),
            name: Rc::clone(&name),
            seqno: new.seqno,
            body: new.body.to_body(),
            alias: None,
            outdated: Vec::new(),
            external_version: None,
            invalid: false,
            reply: None,
            summary: OnceCell::new(),
        };
        self.names.entry(name).or_default().insert(0, Rc::clone(&vgid));
        self.note_listed(&vgid, &vg.pvids);
        self.vgs.insert(Rc::clone(&vgid), vg);
        self.metadata_changed();
        self.assign(&vgid);
    }

    /// Newer metadata of a stored VG, or the same under another name.
    fn store_known_vg(&mut self, new: &NewMetadata) {
        let pvids = self.listed_pvids(&new.body);
        let vg = self.vgs.get_mut(new.vgid).expect("the caller found it");
        vg.seqno = new.seqno;
        vg.body = new.body.to_body();
        vg.alias = None;
        vg.reply = None;
        vg.summary = OnceCell::new();
        let old_pvids = std::mem::replace(&mut vg.pvids, pvids);
        if *vg.name != *new.name {
            vg.outdated.clear();
            self.with_outdated.remove(new.vgid);
            vg.external_version = None;
            vg.invalid = false;
            let old_name = std::mem::replace(&mut vg.name, Rc::from(new.name));
            let name = Rc::clone(&vg.name);
            let vgid = self.forget_name(&old_name, new.vgid);
            self.names.entry(name).or_default().insert(0, vgid);
        }
        self.metadata_changed();
        let (vgid, vg) = self.vgs.get_key_value(new.vgid).expect("stored above");
        let (vgid, pvids) = (Rc::clone(vgid), vg.pvids.clone());
        self.forget_listed(&vgid, &old_pvids);
        self.note_listed(&vgid, &pvids);
        self.orphan(&old_pvids);
        self.settle_owners(&old_pvids, None);
        self.assign(&vgid);
    }

    fn note_listed(&mut self, vgid: &Key, pvids: &[Key]) {
        for pvid in pvids {
            self.listed_by.entry(Rc::clone(pvid)).or_default().insert(Rc::clone(vgid));
        }
    }

    fn forget_listed(&mut self, vgid: &[u8], pvids: &[Key]) {
        for pvid in pvids {
            if let Some(vgids) = self.listed_by.get_mut(pvid) {
                vgids.remove(vgid);
                if vgids.is_empty() {
                    self.listed_by.remove(pvid);
                }
            }
        }
    }

    fn listed_pvids(&self, body: &NewBody) -> Box<[Key]> {
        let mut section = body::parse(body.bytes());
        body::physical_volumes(&mut section).filter_map(|pv| Some(self.intern(&body::pvid(pv)?))).collect()
    }

    /// Makes the VG the owner of the PVs it lists, and drops VGs that lose their last PV by it.
    /// The owners of such a VG's other PVs are left as they are; they count as orphans.
    fn assign(&mut self, vgid: &Key) {
        let pvids = self.vgs[vgid].pvids.clone();
        if self.knows_by == KnowsBy::Disks {
            return self.settle_owners(&pvids, Some(vgid));
        }
        let mut previous = Vec::new();
        for pvid in pvids {
            if let Some(Owner::Vg(other)) = self.owners.insert(pvid, Owner::Vg(Rc::clone(vgid)))
                && other != *vgid
                && !previous.contains(&other)
            {
                previous.push(other);
            }
        }
        for other in previous {
            self.drop_vg_if_empty(&other, false);
        }
    }

    /// Where the disks are known, a PV that VGs list is in the one that its own metadata names;
    /// else in the new one; else it stays; else it is in any.
    pub(super) fn settle_owners(&mut self, pvids: &[Key], new: Option<&Key>) {
        if self.knows_by == KnowsBy::Hearsay {
            return;
        }
        for pvid in pvids {
            let before = self.owner(pvid).cloned();
            let owner = self.listed_by.get(pvid).and_then(|vgids| {
                let named = self.pvs.get(pvid).and_then(|pv| pv.named.as_ref());
                let preferred = [named, new, before.as_ref()].into_iter().flatten();
                preferred.filter_map(|vgid| vgids.get(vgid)).chain(vgids.first()).next().cloned()
            });
            if owner != before {
                self.pv_list = None;
                for vgid in [&owner, &before].into_iter().flatten() {
                    self.drop_reply(vgid);
                }
            }
            match owner {
                Some(vgid) => self.owners.insert(Rc::clone(pvid), Owner::Vg(vgid)),
                None => self.owners.remove(pvid),
            };
        }
    }

    /// A PV that another has taken the device of is in no VG, as far as one can hear.
    pub(super) fn forget_owner(&mut self, pvid: &Key) {
        if self.knows_by == KnowsBy::Hearsay {
            self.owners.remove(pvid);
        }
    }

    pub(super) fn orphan(&mut self, pvids: &[Key]) {
        if self.knows_by == KnowsBy::Disks {
            return;
        }
        for pvid in pvids {
            self.owners.insert(Rc::clone(pvid), Owner::Orphan);
        }
        self.pv_list = None;
    }

    /// Forgets a VG none of whose listed PVs is both present and owned by it.
    pub(super) fn drop_vg_if_empty(&mut self, vgid: &Key, orphan_pvs: bool) {
        let Some(vg) = self.vgs.get(vgid).filter(|_| self.knows_by == KnowsBy::Hearsay) else { return };
        let holds = |pvid: &Key| self.pvs.contains_key(pvid) && self.owner(pvid) == Some(vgid);
        if vg.pvids.iter().any(holds) {
            return;
        }
        let pvids = vg.pvids.clone();
        self.forget_vg(vgid);
        if orphan_pvs {
            self.orphan(&pvids);
        }
    }

    pub(super) fn forget_vg(&mut self, vgid: &[u8]) {
        if let Some(vg) = self.vgs.remove(vgid) {
            self.forget_name(&vg.name, vgid);
            self.forget_listed(vgid, &vg.pvids);
            self.with_outdated.remove(vgid);
            self.metadata_changed();
        }
    }

    fn forget_name(&mut self, name: &Key, vgid: &[u8]) -> Key {
        let vgids = self.names.get_mut(name).expect("each stored VG has its name here");
        let at = vgids.iter().position(|other| **other == *vgid).expect("and is listed under it");
        let vgid = vgids.remove(at);
        if vgids.is_empty() {
            self.names.remove(name);
        }
        vgid
    }

    fn metadata_changed(&mut self) {
        self.pv_list = None;
        self.vg_list = None;
    }
}
