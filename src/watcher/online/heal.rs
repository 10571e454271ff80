//! What is in the run directory, against what is true.

use super::truth::Truth;
use crate::devno::DevNo;
use crate::id::Id;
use crate::online::{Listing, Lookup, PvOnline};
use std::collections::{BTreeMap, BTreeSet};

/// What is known of the device that a file names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// Whether it holds a PV that is online: what is true says which.
    Read,
    /// It is there, and nobody can say what is on it.
    Unread,
    /// It is none of those that we look at.
    Elsewhere,
    Gone,
}

/// Files of PVs that stay although they are not known to be true: each with what it says.
type Spared<'l> = BTreeMap<Id, Option<&'l PvOnline>>;

impl Truth {
    /// Notes what has to be done to get from the one to the other. Of what cannot be known
    /// everything stays. Those of the VGs that were offered, each with its name, that have not been
    /// complete all the time since.
    pub(super) fn heal<'o>(
        &mut self,
        listing: &Listing,
        offered: impl Iterator<Item = (Id, &'o [u8])>,
        known: &dyn Fn(Option<DevNo>) -> Known,
    ) -> BTreeSet<Id> {
        let spared = self.heal_pvs(listing, known);
        self.heal_lookups(listing, &spared);
        let lookups = listing.lookups.iter().map(|lookup| (&*lookup.vg, lookup)).collect::<BTreeMap<_, _>>();
        for vg in &listing.vgs {
            let stays = match self.names.get(vg) {
                Some(vgids) => vgids.iter().any(|vgid| self.is_complete(*vgid, &spared)),
                None => is_spared(vg, lookups.get(&**vg).copied(), &spared),
            };
            if !stays {
                self.due.offline(vg);
            }
        }
        let gone = offered.filter(|(vgid, name)| !self.stays(*vgid, name, &lookups, &spared));
        gone.map(|(vgid, _)| vgid).collect()
    }

    /// Whether a VG that was offered may have been complete all the time since.
    fn stays(&self, vgid: Id, name: &[u8], lookups: &BTreeMap<&[u8], &Lookup>, spared: &Spared) -> bool {
        match self.vgs.contains_key(&vgid) {
            true => self.is_complete(vgid, spared),
            false if name.is_empty() => !spared.is_empty(),
            false => is_spared(name, lookups.get(name).copied(), spared),
        }
    }

    fn heal_pvs<'l>(&mut self, listing: &'l Listing, known: &dyn Fn(Option<DevNo>) -> Known) -> Spared<'l> {
        let mut missing = self.pvs.keys().copied().collect::<BTreeSet<_>>();
        let mut spared = Spared::new();
        for (pvid, file) in &listing.pvs {
            missing.remove(pvid);
            match self.pvs.get(pvid) {
                Some(right) if Some(right) == file.as_ref() => {}
                Some(_) => drop(self.due.pvs.insert(*pvid)),
                None => match known(file.as_ref().map(|file| file.devno)) {
                    Known::Read | Known::Gone => drop(self.due.pvs.insert(*pvid)),
                    Known::Unread | Known::Elsewhere => drop(spared.insert(*pvid, file.as_ref())),
                },
            }
        }
        self.due.pvs.extend(missing);
        spared
    }

    fn heal_lookups(&mut self, listing: &Listing, spared: &Spared) {
        let mut missing = self.lookups.keys().cloned().collect::<BTreeSet<_>>();
        for lookup in &listing.lookups {
            missing.remove(&lookup.vg);
            let stays = match self.lookups.get(&lookup.vg) {
                Some(text) => text.pvids == lookup.pvids,
                None => !self.names.contains_key(&lookup.vg) && is_spared(&lookup.vg, Some(lookup), spared),
            };
            if !stays {
                self.due.lookups.insert(lookup.vg.clone());
            }
        }
        self.due.lookups.extend(missing);
    }

    fn is_complete(&self, vgid: Id, spared: &Spared) -> bool {
        self.vgs.get(&vgid).is_some_and(|vg| {
            !vg.is_kept && vg.text.pvids.iter().all(|pvid| self.pvs.contains_key(pvid) || spared.contains_key(pvid))
        })
    }
}

/// Whether a VG that is not known may be that of PVs of which nothing is known either.
fn is_spared(vg: &[u8], lookup: Option<&Lookup>, spared: &Spared) -> bool {
    let named = || spared.values().flatten().any(|file| file.vg.as_deref() == Some(vg));
    lookup.is_some_and(|lookup| lookup.pvids.iter().any(|pvid| spared.contains_key(pvid))) || named()
}
