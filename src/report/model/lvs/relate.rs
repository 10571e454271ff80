//! What LVs are to each other, by the segments that name them.

use super::read::Tie;
use super::{Area, CacheSettings, Kind, Lv, LvIndex, Segment, Settings, Snapshot, Status, User};

/// LVM has no snapshot of a snapshot; a text may say so.
const DEPTH_MAX: usize = 16;

/// Of the LV that keeps data while a mirror is converted.
const TEMPORARY_LAYER: &[u8] = b"_mimagetmp";

pub fn relate(all: &mut [Lv], ties: &[Tie]) {
    for index in 0..all.len() {
        let segments = std::mem::take(&mut all[index].segments);
        for (number, segment) in segments.iter().enumerate() {
            Relating { all, lv: index, number }.segment(segment);
        }
        all[index].segments = segments;
    }
    ties.iter().for_each(|tie| tie_snapshot(all, tie));
    for index in 0..all.len() {
        if is_cache_origin(all, index) {
            all[index].status.set(Status::CACHE_ORIGIN);
        }
        if all[index].is(Status::CACHE_POOL) && !all[index].users.is_empty() {
            all[index].segments.iter_mut().for_each(fill_in_cache);
        }
        all[index].is_visible = is_visible(all, index);
    }
}

struct Relating<'a> {
    all: &'a mut [Lv],
    lv: LvIndex,
    number: usize,
}

impl Relating<'_> {
    fn own(&mut self) -> &mut Lv {
        &mut self.all[self.lv]
    }

    fn uses(&mut self, index: Option<LvIndex>, status: Status) -> Option<&mut Lv> {
        let lv = self.all.get_mut(index?)?;
        lv.status.set(status);
        match lv.users.last_mut() {
            Some(last) if (last.lv, last.segment) == (self.lv, self.number) => last.times += 1,
            _ => lv.users.push(User { lv: self.lv, segment: self.number, times: 1 }),
        }
        Some(lv)
    }

    fn hides(&mut self, index: Option<LvIndex>, status: Status) {
        if let Some(lv) = self.uses(index, status) {
            lv.status.clear(Status::VISIBLE);
        }
    }

    fn areas(&mut self, segment: &Segment, status: Status) {
        for area in &segment.areas {
            if let Area::Lv { lv, .. } = *area {
                self.uses(Some(lv), status);
            }
        }
    }

    fn segment(&mut self, segment: &Segment) {
        if segment.kind.is_mirrored() {
            self.own().status.set(Status::MIRRORED);
        }
        if segment.kind.is_virtual() {
            self.own().status.set(Status::VIRTUAL);
        }
        match segment.kind {
            Kind::Striped => {
                self.areas(segment, Status::NONE);
                let stripes = if segment.areas.len() > 1 { Status::HAS_STRIPED } else { Status::HAS_LINEAR };
                self.own().status.set(stripes);
            }
            Kind::Mirror => self.mirror(segment),
            Kind::Raid(_) => self.raid(segment),
            Kind::ThinPool => {
                self.pool(segment, [Status::THIN_POOL, Status::THIN_POOL_DATA, Status::THIN_POOL_METADATA])
            }
            Kind::CachePool => {
                self.pool(segment, [Status::CACHE_POOL, Status::CACHE_POOL_DATA, Status::CACHE_POOL_METADATA])
            }
            Kind::Thin => self.thin(segment),
            Kind::Cache => {
                self.areas(segment, Status::NONE);
                self.own().status.set(Status::CACHE);
                if memchr::memmem::find(&self.own().name, b"_corig").is_some() {
                    self.own().status.set(Status::PENDING_DELETE);
                }
                self.hides(segment.pool, Status::NONE);
            }
            Kind::Writecache => {
                self.own().status.set(Status::WRITECACHE);
                self.areas(segment, Status::WRITECACHE_ORIGIN);
                self.uses(segment.pool, Status::WRITECACHE_CACHEVOL);
            }
            Kind::Integrity => {
                self.own().status.set(Status::INTEGRITY);
                self.areas(segment, Status::INTEGRITY_ORIGIN);
                self.uses(segment.metadata, Status::INTEGRITY_METADATA);
            }
            Kind::VdoPool => {
                self.own().status.set(Status::VDO_POOL);
                self.hides(segment.first_lv(), Status::VDO_POOL_DATA);
            }
            Kind::Vdo => {
                self.own().status.set(Status::VDO);
                self.areas(segment, Status::VDO_POOL);
            }
            Kind::Unknown => self.own().status.set(Status::HAS_UNKNOWN),
            Kind::Snapshot | Kind::Zero | Kind::Error | Kind::Free => {}
        }
    }

    fn mirror(&mut self, segment: &Segment) {
        let number = self.number;
        let own = self.own();
        own.status.set(Status::MIRROR);
        if segment.settings == Settings::Pvmove {
            own.pvmove.get_or_insert(number);
        }
        if let Some(log) = segment.log {
            own.log.get_or_insert(log);
        }
        self.areas(segment, Status::MIRROR_IMAGE);
        self.uses(segment.log, Status::MIRROR_LOG);
        let first = segment.first_lv().and_then(|first| self.all.get(first));
        if number == 0 && first.is_some_and(|first| memchr::memmem::find(&first.name, TEMPORARY_LAYER).is_some()) {
            self.own().status.set(Status::CONVERTING);
        }
    }

    fn raid(&mut self, segment: &Segment) {
        self.own().status.set(Status::RAID);
        for metadata in &segment.metadata_areas {
            self.uses(*metadata, Status::RAID_META);
        }
        self.areas(segment, Status::RAID_IMAGE);
    }

    fn pool(&mut self, segment: &Segment, [pool, data, metadata]: [Status; 3]) {
        self.own().status.set(pool);
        self.hides(segment.first_lv(), data);
        self.hides(segment.metadata, metadata);
    }

    fn thin(&mut self, segment: &Segment) {
        self.own().status.set(Status::THIN_VOLUME);
        if let Settings::Thin { is_merging: true, .. } = segment.settings {
            self.own().status.clear(Status::VISIBLE);
            if let Some(origin) = segment.origin.and_then(|origin| self.all.get_mut(origin)) {
                origin.status.set(Status::MERGING);
            }
        }
        if let Some(origin) = self.uses(segment.origin, Status::NONE) {
            origin.thin_snapshots += 1;
        }
        self.uses(segment.pool, Status::NONE);
        if let Some(origin) = self.uses(segment.external_origin, Status::NONE) {
            origin.external_count += 1;
            origin.status.clear(Status::WRITE);
        }
    }
}

fn tie_snapshot(all: &mut [Lv], tie: &Tie) {
    let Tie { origin, chunk_size, extents, is_merging, .. } = *tie;
    all[tie.cow].status.clear(Status::VISIBLE);
    all[tie.cow].cow = Some(Snapshot { origin, chunk_size, extents, is_merging });
    let origin = &mut all[origin];
    origin.origin_count += 1;
    origin.snapshots.push(tie.cow);
    if !origin.is(Status::VISIBLE) && origin.cow.is_none() {
        origin.status.set(Status::VIRTUAL_ORIGIN);
    }
    if is_merging {
        origin.status.set(Status::MERGING);
    }
}

/// `lv_is_visible` of lvm2.
fn is_visible(all: &[Lv], index: LvIndex) -> bool {
    let mut lv = &all[index];
    for _ in 0..DEPTH_MAX {
        match lv.cow {
            None => break,
            Some(cow) if all[cow.origin].is(Status::VIRTUAL_ORIGIN) => return true,
            Some(cow) if cow.is_merging => return false,
            Some(cow) => lv = &all[cow.origin],
        }
    }
    lv.is_historical || lv.is(Status::VISIBLE)
}

fn is_cache_origin(all: &[Lv], index: LvIndex) -> bool {
    let [User { lv, segment, times: 1 }] = all[index].users[..] else { return false };
    let user = &all[lv];
    user.is(Status::CACHE)
        && !user.is(Status::PENDING_DELETE)
        && user.segments.get(segment).and_then(Segment::first_lv) == Some(index)
}

/// What a cache pool in use was meant to have, as far as a text of old does not say.
fn fill_in_cache(segment: &mut Segment) {
    if let Settings::Cache(settings) = &mut segment.settings {
        let CacheSettings { mode, policy, metadata_format, .. } = &mut **settings;
        mode.get_or_insert("writethrough");
        policy.get_or_insert_with(|| b"mq".to_vec());
        metadata_format.get_or_insert(1);
    }
}
