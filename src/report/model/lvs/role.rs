//! `lv_layout` and `lv_role`, by `lv_layout_and_role` of lvm2's `lib/metadata/lv_manip.c`.

use super::{Lv, Lvs, Raid, Status};

const MIRROR_TYPES: Status = Status::MIRROR.or(Status::MIRROR_LOG).or(Status::MIRROR_IMAGE);
const RAID_TYPES: Status = Status::RAID.or(Status::RAID_IMAGE).or(Status::RAID_META);
const THIN_TYPES: Status =
    Status::THIN_POOL.or(Status::THIN_VOLUME).or(Status::THIN_POOL_DATA).or(Status::THIN_POOL_METADATA);
pub const CACHE_TYPES: Status = Status::CACHE
    .or(Status::CACHE_POOL)
    .or(Status::CACHE_VOL)
    .or(Status::CACHE_POOL_DATA)
    .or(Status::CACHE_POOL_METADATA);

pub struct Role {
    pub layout: Vec<&'static str>,
    pub role: Vec<&'static str>,
    is_private: bool,
}

impl Role {
    fn part(&mut self, words: &[&'static str]) {
        self.role.extend(words);
        self.is_private = true;
    }

    /// Each of these once.
    fn role(&mut self, words: &[&'static str]) {
        for word in words {
            if !self.role.contains(word) {
                self.role.push(word);
            }
        }
    }

    fn mirror(&mut self, lv: &Lv) {
        if lv.is(Status::MIRROR_IMAGE) {
            self.part(&["mirror", "image"]);
        } else if lv.is(Status::MIRROR_LOG) {
            self.part(&["mirror", "log"]);
            if lv.is(Status::MIRRORED) {
                self.layout.push("mirror");
            }
        } else {
            if lv.is(Status::PVMOVE) {
                self.part(&["pvmove"]);
            }
            self.layout.push("mirror");
        }
    }

    fn raid(&mut self, lv: &Lv) {
        if lv.is(Status::RAID_IMAGE) {
            return self.part(&["raid", "image"]);
        }
        if lv.is(Status::RAID_META) {
            return self.part(&["raid", "metadata"]);
        }
        self.layout.push("raid");
        if lv.is(Status::PVMOVE) {
            return self.part(&["pvmove"]);
        }
        let Some(first) = lv.first() else { return };
        let level = match first.kind.raid() {
            Some(Raid::Raid0) => "raid0",
            Some(Raid::Raid1) => "raid1",
            Some(Raid::Raid10) => "raid10",
            Some(Raid::Raid4) => "raid4",
            Some(Raid::Raid5) => "raid5",
            Some(Raid::Raid6) => "raid6",
            Some(Raid::Raid0Meta) | None => return,
        };
        self.layout.push(level);
        const SHOWN: [&str; 7] = ["raid5_la", "raid5_ra", "raid5_ls", "raid5_rs", "raid6_zr", "raid6_nr", "raid6_nc"];
        self.layout.extend(match &*first.type_name {
            b"raid5" => Some("raid5_ls"),
            b"raid6" => Some("raid6_zr"),
            other => SHOWN.into_iter().find(|name| name.as_bytes() == other),
        });
    }

    fn thin(&mut self, lv: &Lv) {
        if lv.is(Status::THIN_POOL_METADATA) {
            return self.part(&["thin", "pool", "metadata"]);
        }
        if lv.is(Status::THIN_POOL_DATA) {
            return self.part(&["thin", "pool", "data"]);
        }
        if lv.is(Status::THIN_VOLUME) {
            self.layout.extend(["thin", "sparse"]);
            if lv.thin_snapshots > 0 {
                self.role(&["origin"]);
                self.role.push("thinorigin");
            }
            if lv.thin_snapshots > 1 {
                self.role.push("multithinorigin");
            }
            if lv.first().is_some_and(|first| first.origin.or(first.external_origin).is_some()) {
                self.role(&["snapshot"]);
                self.role.push("thinsnapshot");
            }
        } else if lv.is(Status::THIN_POOL) {
            self.layout.extend(["thin", "pool"]);
            self.is_private = true;
        }
        if lv.is_external_origin() {
            self.role(&["origin"]);
            self.role.push("extthinorigin");
            if lv.external_count > 1 {
                self.role.push("multiextthinorigin");
            }
        }
    }

    fn cache(&mut self, lv: &Lv) {
        if lv.is(Status::CACHE_POOL_METADATA) {
            return self.part(&["cache", "pool", "metadata"]);
        }
        if lv.is(Status::CACHE_POOL_DATA) {
            self.part(&["cache", "pool", "data"]);
        } else if lv.is(Status::CACHE_ORIGIN) {
            self.role(&["cache", "origin"]);
            self.part(&["cacheorigin"]);
        } else if lv.is(Status::WRITECACHE_ORIGIN) {
            self.role(&["writecache", "origin"]);
            self.part(&["writecacheorigin"]);
            if lv.is(Status::WRITECACHE) {
                self.layout.push("writecache");
            }
            return;
        } else if lv.is(Status::CACHE) {
        } else if lv.is(Status::WRITECACHE) {
            self.layout.push("writecache");
        } else if lv.is(Status::WRITECACHE_CACHEVOL) {
            self.layout.extend(["writecache", "cachevol"]);
            self.is_private = true;
        } else if lv.is(Status::CACHE_VOL) {
            self.layout.extend(["cache", "cachevol"]);
            self.is_private = true;
        } else if lv.is(Status::CACHE_POOL) {
            self.layout.extend(["cache", "pool"]);
            self.is_private = true;
        }
        if lv.is(Status::CACHE) {
            self.layout.push("cache");
        }
    }

    fn integrity(&mut self, lv: &Lv) {
        if lv.is(Status::INTEGRITY_METADATA) {
            self.part(&["integrity", "metadata"]);
        } else if lv.is(Status::INTEGRITY_ORIGIN) {
            self.part(&["integrity", "origin", "integrityorigin"]);
        } else {
            self.layout.push("integrity");
        }
    }

    fn vdo(&mut self, lv: &Lv) {
        if lv.is(Status::VDO_POOL) {
            self.layout.extend(["vdo", "pool"]);
            self.is_private = true;
        } else if lv.is(Status::VDO_POOL_DATA) {
            self.part(&["vdo", "pool", "data"]);
        } else {
            self.layout.extend(["vdo", "sparse"]);
        }
    }

    fn thick_snapshot(&mut self, lv: &Lv) {
        if lv.is_origin() {
            self.role(&["origin"]);
            self.role.push("thickorigin");
            if lv.is(Status::VIRTUAL) && !lv.is(Status::THIN_VOLUME) {
                self.layout.push("virtual");
                self.is_private = true;
            }
            if lv.origin_count > 1 {
                self.role.push("multithickorigin");
            }
        } else if lv.cow.is_some() {
            self.role(&["snapshot"]);
            self.role.push("thicksnapshot");
        }
    }
}

impl Lvs {
    pub fn role(lv: &Lv) -> Role {
        let mut role = Role { layout: Vec::new(), role: Vec::new(), is_private: false };
        if lv.is_historical {
            role.layout.push("none");
            role.role.push("history");
        }
        if lv.is(MIRROR_TYPES.or(Status::PVMOVE)) {
            role.mirror(lv);
        }
        if lv.is(RAID_TYPES) {
            role.raid(lv);
        }
        if lv.is(THIN_TYPES) || lv.is_external_origin() {
            role.thin(lv);
        }
        if lv.is(CACHE_TYPES.or(Status::CACHE_ORIGIN).or(Status::WRITECACHE).or(Status::WRITECACHE_ORIGIN)) {
            role.cache(lv);
        }
        if lv.is(Status::INTEGRITY.or(Status::INTEGRITY_ORIGIN).or(Status::INTEGRITY_METADATA)) {
            role.integrity(lv);
        }
        if lv.is(Status::VDO.or(Status::VDO_POOL).or(Status::VDO_POOL_DATA)) {
            role.vdo(lv);
        }
        if lv.is(Status::POOL_METADATA_SPARE) {
            role.part(&["pool", "spare"]);
        }
        role.thick_snapshot(lv);
        if lv.is(Status::SANLOCK) {
            role.part(&["lockd", "sanlock"]);
        }
        if role.layout.is_empty() {
            for (flag, word) in [(Status::HAS_LINEAR, "linear"), (Status::HAS_STRIPED, "striped")] {
                role.layout.extend(lv.is(flag).then_some(word));
            }
            if role.layout.is_empty() {
                role.layout.push("unknown");
            }
        }
        role.role.insert(0, if role.is_private { "private" } else { "public" });
        role
    }
}
