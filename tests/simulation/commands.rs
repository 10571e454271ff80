//! Commands that change VGs, and write one PV after the other while the world goes on.

use crate::kinds::Kind;
use crate::oracle::choose;
use crate::sim::{Pending, Sim};
use crate::world::{Area, Content, SIZE, Vg};
use pvwatch::devno::DevNo;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

impl Sim {
    /// A command changes a VG, or makes one: each PV is written in turn, while the world goes on.
    pub fn command(&mut self, kind: Kind) {
        self.commands += 1;
        let id = self.rng.small(4);
        // What is on an LV or on a path of a map alone is no PV to a command.
        let there = self.world.disks.values().filter(|disk| disk.size >= SIZE);
        let there = there.filter_map(|disk| disk.content.pv()).collect::<BTreeSet<_>>();
        let there = there.into_iter().filter(|pv| self.disk_of(*pv).is_some()).collect::<BTreeSet<_>>();
        let in_others =
            self.vgs.values().filter(|vg| vg.id != id).flat_map(|vg| vg.pvs.clone()).collect::<BTreeSet<_>>();
        let mut vg = match self.vgs.get(&id) {
            Some(vg) => Vg { seqno: 0, pvs: vg.pvs.clone(), on: Vec::new(), ..**vg },
            None => {
                let name = if self.allowed(Kind::Rename) { self.rng.small(4) } else { id };
                Vg { id, name, seqno: 0, pvs: Vec::new(), variant: 0, on: Vec::new() }
            }
        };
        let members = vg.pvs.clone();
        let free =
            there.iter().copied().filter(|pv| !in_others.contains(pv) && !vg.pvs.contains(pv)).collect::<Vec<_>>();
        if vg.pvs.is_empty() || (!free.is_empty() && self.rng.one_in(2)) {
            let Some(first) = free.first() else { return };
            vg.pvs.push(*first);
            vg.pvs.extend(free.get(1).filter(|_| self.rng.one_in(2)));
        } else if kind == Kind::VgReduce && vg.pvs.len() > 1 {
            let at = self.rng.index(vg.pvs.len());
            vg.pvs.remove(at);
        }
        if !vg.pvs.iter().any(|pv| there.contains(pv)) {
            return;
        }
        if kind == Kind::Rename {
            vg.name = self.rng.small(4);
        }
        vg.variant = self.rng.small(4);
        vg.on = vg.pvs.iter().map(|pv| self.disk_of(*pv).map_or(9, |devno| devno.minor)).collect();
        let seqno = self.next_seqno.entry(id).or_default();
        *seqno += 1;
        vg.seqno = *seqno;
        let vg = Rc::new(vg);
        self.vgs.insert(id, Rc::clone(&vg));
        self.log(format_args!("commit {vg:?}"));
        let mut at = self.now;
        for pv in &vg.pvs {
            self.write_pv(&mut at, *pv, &Area::Text(Rc::clone(&vg)), kind == Kind::Torn);
        }
        if self.allowed(Kind::Tell) {
            let lasts = (at - self.now).as_micros() + 1;
            let told_at = self.now + Duration::from_micros(self.rng.below(u64::try_from(lasts).expect("short")));
            self.tell_of(told_at, &vg);
        }
        for pv in members.iter().filter(|pv| !vg.pvs.contains(pv)) {
            // It is out of the VG; that it is told so does not always work out.
            if !self.rng.one_in(3) {
                self.write_pv(&mut at, *pv, &Area::Empty, false);
            }
        }
    }

    pub fn vg_remove(&mut self) {
        let ids = self.vgs.keys().copied().collect::<Vec<_>>();
        if ids.is_empty() {
            return;
        }
        let id = *self.rng.pick(&ids);
        let vg = self.vgs.remove(&id).expect("picked from it");
        self.log(format_args!("vgremove {id}"));
        let mut at = self.now;
        for pv in &vg.pvs {
            self.write_pv(&mut at, *pv, &Area::Empty, false);
        }
    }

    fn write_pv(&mut self, at: &mut Duration, pv: u8, to: &Area, torn: bool) {
        let Some(devno) = self.disk_of(pv) else { return };
        let disk = &self.world.disks[&devno];
        let number = disk.number;
        let Content::Pv { areas, .. } = &disk.content else { return };
        let count = areas.len();
        for area in 0..count {
            if let (true, Area::Text(vg)) = (torn, to) {
                let to = Area::Torn(Rc::clone(vg));
                let close = self.rng.one_in(3);
                self.schedule(*at, Pending::Write { devno, number, pv, area, to, close });
                *at += self.gap();
            }
            let close = area + 1 == count;
            self.schedule(*at, Pending::Write { devno, number, pv, area, to: to.clone(), close });
            *at += self.gap();
        }
    }

    /// Of copies, a command writes one, and the next command maybe another.
    fn disk_of(&self, pv: u8) -> Option<DevNo> {
        let choice = choose(&self.world, pv);
        let copies = choice.devnos();
        (!copies.is_empty()).then(|| copies[self.commands % copies.len()])
    }

    fn gap(&mut self) -> Duration {
        let max = if self.allowed(Kind::Slow) { 4000 } else { 100 };
        Duration::from_millis(self.rng.below(max))
    }
}
