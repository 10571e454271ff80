//! What must hold at every moment.

use crate::sim::{Pending, Sim};
use crate::world::{SIZE, Shown, pvid};
use pvwatch::devno::DevNo;
use pvwatch::id::Id;
use pvwatch::scan::Pv;
use pvwatch::watcher::{Event, Watcher};
use std::collections::BTreeMap;
use std::time::Duration;

/// What has been read, as far as it can be seen from outside.
#[derive(Default)]
pub struct Reads(BTreeMap<DevNo, Reading>);

/// Reads one after the other that have shown the same PV, VG and seqno.
struct Reading {
    shows: (Id, Id, i64),
    first_ended: Duration,
    last_started: Duration,
}

impl Reads {
    pub fn note(&mut self, watcher: &Watcher) {
        self.0.retain(|devno, _| watcher.devices().get(devno).is_some_and(|device| device.pv().is_some()));
        for (devno, device) in watcher.devices() {
            let (Some(pv), Some(seen)) = (device.pv(), &device.seen) else { continue };
            let Some(text) = &pv.vg else {
                self.0.remove(devno);
                continue;
            };
            let shows = (pv.id, text.vgid, text.seqno);
            match self.0.get_mut(devno).filter(|reading| reading.shows == shows) {
                Some(reading) => reading.last_started = seen.started,
                None => {
                    let reading = Reading { shows, first_ended: seen.ended, last_started: seen.started };
                    self.0.insert(*devno, reading);
                }
            }
        }
    }

    /// Whether two reads of the PV have shown that it is older than another, as two of that have, a
    /// second apart.
    fn have_shown_outdated(&self, pvid: Id, vgid: Id) -> bool {
        let of_vg = self.0.values().filter(|reading| reading.shows.1 == vgid);
        let own = of_vg.clone().filter(|reading| reading.shows.0 == pvid);
        own.into_iter().any(|own| {
            of_vg.clone().filter(|other| other.shows.2 > own.shows.2).any(|other| {
                let both_since = own.first_ended.max(other.first_ended);
                both_since + Duration::from_secs(1) <= own.last_started.min(other.last_started)
            })
        })
    }
}

impl Sim {
    /// A PV is reported only if it was older on disk than another for a second.
    pub fn check_outdated(&self, wire_pvid: &[u8], vgid: Id) {
        let own = Id::from_hyphenated(wire_pvid).expect("one of ours");
        assert!(self.reads.have_shown_outdated(own, vgid), "{own} is reported outdated without a second look");
        if self.clients_push() {
            return;
        }
        let second = Duration::from_secs(1);
        // What is reported is as old as the reads that show it. Of a PV that a client took away, only
        // its own read is new: what it is older than may have been read long before, and what has
        // happened to that since without a sign is not known.
        let reads = self.watcher.devices().values();
        let reads = reads.filter_map(|device| Some((device.pv()?, device.seen.as_ref()?.started)));
        let own = reads.clone().filter(|(pv, _)| pv.id.hyphenated() == wire_pvid);
        let seqno = |pv: &Pv| pv.vg.as_ref().filter(|text| text.vgid == vgid).map(|text| text.seqno);
        let own_seqno = own.clone().filter_map(|(pv, _)| seqno(pv)).min().expect("it was read");
        let newer = reads.filter(|(pv, _)| seqno(pv).is_some_and(|seqno| seqno > own_seqno));
        let recent = own.chain(newer).map(|(_, started)| started).min().expect("it was read");
        // A write of the same moment may have come after the read.
        let recent = recent.saturating_sub(Duration::from_nanos(1));
        let vg = (0..10).find(|vg| crate::world::vgid(*vg) == vgid).expect("one of ours");
        let older = |devno: DevNo, at: Duration| match self.world.shown_at(devno, at) {
            Some((pv, Some((id, seqno)))) if id == vg && pvid(pv).hyphenated() == wire_pvid => Some(seqno),
            _ => None,
        };
        let newer_than = |seqno: i64, at: Duration| {
            let shown = self.world.history.keys().map(|devno| self.world.shown_at(*devno, at));
            shown
                .into_iter()
                .any(|shown: Shown| matches!(shown, Some((_, Some((id, other)))) if id == vg && other > seqno))
        };
        let was_older = |at: Duration| {
            let mut devnos = self.world.history.keys();
            devnos.any(|devno| older(*devno, at).is_some_and(|seqno| newer_than(seqno, at)))
        };
        let later = self.world.moments(recent).into_iter().any(was_older);
        let earlier = self.now >= second
            && self.world.moments(Duration::ZERO).into_iter().any(|at| at + second <= self.now && was_older(at));
        assert!(later && earlier, "{} is reported outdated and is not", wire_pvid.escape_ascii());
    }

    /// No VG goes back while what it was is on a disk that nothing has happened to.
    pub fn check_seqnos(&mut self) {
        let now = self.seqnos();
        if !self.clients_meddle() {
            for (vgid, before) in &self.last_seqnos {
                if now.get(vgid).is_some_and(|seqno| seqno < before) {
                    let held = self.steady_holder(*vgid, *before);
                    assert!(held.is_none(), "VG {vgid} went back from {before}, and {} has it", held.unwrap());
                }
            }
        }
        self.last_seqnos = now;
    }

    pub fn note_seqnos(&mut self) {
        self.last_seqnos = self.seqnos();
    }

    fn seqnos(&self) -> BTreeMap<Id, i64> {
        self.watcher.cache().vgs().filter_map(|vg| Some((Id::parse(vg.vgid)?, vg.seqno()))).collect()
    }

    fn steady_holder(&self, vgid: Id, seqno: i64) -> Option<DevNo> {
        let steady = Duration::from_secs(15);
        let holds = |devno: &DevNo| {
            let disk = &self.world.disks[devno];
            let text = disk.content.text().filter(|vg| crate::world::vgid(vg.id) == vgid && vg.seqno >= seqno);
            let copies = self.world.disks.values().filter(|other| other.content.pv() == disk.content.pv()).count();
            let all_steady = self.world.disks.values().all(|disk| disk.since + steady <= self.now);
            // One that is detached holds nothing. Of one that cannot be read, what was read counts.
            let is_known = disk.size >= SIZE && self.has_read(*devno, vgid, seqno);
            let readable = (disk.is_readable() || is_known) && self.world.is_ours(*devno);
            text.is_some() && copies == 1 && readable && all_steady && !self.is_under_way(*devno)
        };
        self.world.disks.keys().copied().find(holds)
    }

    /// Whether the watcher has seen metadata of the VG on this disk that is no older.
    fn has_read(&self, devno: DevNo, vgid: Id, seqno: i64) -> bool {
        let seen = self.watcher.devices().get(&devno).and_then(|device| device.seen.as_ref());
        let seen = seen.filter(|seen| seen.diskseq.is_none_or(|diskseq| diskseq == self.world.disks[&devno].diskseq));
        let text = seen.and_then(|seen| seen.content.pv()?.vg.as_ref());
        text.is_some_and(|text| text.vgid == vgid && text.seqno >= seqno)
    }

    /// A command has the disk open, or the word of a change has not come: the clock jumps past both.
    fn is_under_way(&self, devno: DevNo) -> bool {
        self.pending.values().any(|pending| match pending {
            Pending::Write { devno: other, .. } | Pending::Event(Event::Touched { devno: other, .. }) => {
                *other == devno
            }
            _ => false,
        })
    }
}
