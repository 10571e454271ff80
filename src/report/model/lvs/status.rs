//! The status flags of LVs: those of the text, and those that LVM draws from the LV's segments and
//! from what uses it.

/// A set of flags.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Status(u64);

macro_rules! flags {
    ($($(#[$about:meta])* $name:ident = $bit:literal;)*) => {
        impl Status {
            $($(#[$about])* pub const $name: Status = Status(1 << $bit);)*
        }
    };
}

flags! {
    READ = 0;
    WRITE = 1;
    FIXED_MINOR = 2;
    VISIBLE = 3;
    PVMOVE = 4;
    LOCKED = 5;
    NOTSYNCED = 6;
    REBUILD = 7;
    WRITEMOSTLY = 8;
    CACHE_VOL = 9;
    ACTIVATION_SKIP = 10;
    NOAUTOACTIVATE = 11;
    ERROR_WHEN_FULL = 12;
    REMOVE_AFTER_RESHAPE = 13;

    MIRROR = 16;
    /// Its segments are of types whose areas hold the same data, raid1 among them.
    MIRRORED = 17;
    RAID = 18;
    VIRTUAL = 19;
    CONVERTING = 20;
    RAID_IMAGE = 21;
    RAID_META = 22;
    MIRROR_IMAGE = 23;
    MIRROR_LOG = 24;
    THIN_VOLUME = 25;
    THIN_POOL = 26;
    THIN_POOL_DATA = 27;
    THIN_POOL_METADATA = 28;
    CACHE = 29;
    CACHE_POOL = 30;
    CACHE_POOL_DATA = 31;
    CACHE_POOL_METADATA = 32;
    WRITECACHE = 33;
    INTEGRITY = 34;
    INTEGRITY_METADATA = 35;
    VDO = 36;
    VDO_POOL = 37;
    VDO_POOL_DATA = 38;
    POOL_METADATA_SPARE = 39;
    SANLOCK = 40;
    /// Of an origin: a snapshot of it is merged into it.
    MERGING = 41;
    /// An origin that nobody sees: all there is of it is in its snapshot.
    VIRTUAL_ORIGIN = 42;
    PENDING_DELETE = 43;
    CACHE_ORIGIN = 44;
    WRITECACHE_ORIGIN = 45;
    WRITECACHE_CACHEVOL = 46;
    INTEGRITY_ORIGIN = 47;
    HAS_LINEAR = 48;
    HAS_STRIPED = 49;
    HAS_UNKNOWN = 50;
}

/// As the text has them, in `status` and behind a segment's type.
const WRITTEN: &[(&[u8], Status)] = &[
    (b"READ", Status::READ),
    (b"WRITE", Status::WRITE),
    (b"VISIBLE", Status::VISIBLE),
    (b"FIXED_MINOR", Status::FIXED_MINOR),
    (b"PVMOVE", Status::PVMOVE),
    (b"LOCKED", Status::LOCKED),
    (b"NOTSYNCED", Status::NOTSYNCED),
    (b"REBUILD", Status::REBUILD),
    (b"WRITEMOSTLY", Status::WRITEMOSTLY),
    (b"CACHE_VOL", Status::CACHE_VOL),
    (b"REMOVE_AFTER_RESHAPE", Status::REMOVE_AFTER_RESHAPE),
];

/// As the text has them in `flags`, where others count for nothing.
const COMPATIBLE: &[(&[u8], Status)] = &[
    // What an LVM that knows of system IDs and lock managers writes for WRITE.
    (b"WRITE_LOCKED", Status::WRITE),
    (b"ACTIVATION_SKIP", Status::ACTIVATION_SKIP),
    (b"NOAUTOACTIVATE", Status::NOAUTOACTIVATE),
    (b"ERROR_WHEN_FULL", Status::ERROR_WHEN_FULL),
    (b"CACHE_VOL", Status::CACHE_VOL),
];

impl Status {
    pub const NONE: Status = Status(0);

    /// One that says nothing here is none.
    pub fn written(word: &[u8]) -> Status {
        find(WRITTEN, word)
    }

    pub fn compatible(word: &[u8]) -> Status {
        find(COMPATIBLE, word)
    }

    /// Any of these.
    pub fn has(self, flags: Status) -> bool {
        self.0 & flags.0 != 0
    }

    pub fn set(&mut self, flags: Status) {
        self.0 |= flags.0;
    }

    pub fn clear(&mut self, flags: Status) {
        self.0 &= !flags.0;
    }

    pub const fn or(self, flags: Status) -> Status {
        Status(self.0 | flags.0)
    }
}

fn find(known: &[(&[u8], Status)], word: &[u8]) -> Status {
    known.iter().find(|(known, _)| *known == word).map_or(Status::NONE, |(_, flag)| *flag)
}
