//! What the kernel says of the state of a target: one line of words for each kind of it. The kernel's
//! Documentation/admin-guide/device-mapper and the `status` functions in drivers/md tell the words.
//! What is not as expected is unknown.

/// Of one target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    Cache(Cache),
    Integrity(Integrity),
    Mirror(Mirror),
    Raid(Raid),
    Snapshot(Snapshot),
    Thin(Thin),
    ThinPool(ThinPool),
    VdoPool(VdoPool),
    Writecache(Writecache),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cache {
    Failed,
    /// It answered with an error.
    Error,
    Works(Box<CacheState>),
}

impl Cache {
    pub fn works(&self) -> Option<&CacheState> {
        match self {
            Cache::Works(state) => Some(state),
            Cache::Failed | Cache::Error => None,
        }
    }

    pub fn needs_check(&self) -> bool {
        self.works().is_some_and(|state| state.needs_check)
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CacheState {
    pub metadata_used: u64,
    pub metadata_total: u64,
    pub used: u64,
    pub total: u64,
    pub read_hits: u64,
    pub read_misses: u64,
    pub write_hits: u64,
    pub write_misses: u64,
    /// Blocks that were moved out.
    pub demotions: u64,
    /// Blocks that were moved in.
    pub promotions: u64,
    pub dirty: u64,
    pub metadata2: bool,
    pub no_discard_passdown: bool,
    pub mode: String,
    pub policy: String,
    /// Names and values: of the target itself, then of the policy.
    pub settings: Vec<(String, String)>,
    pub read_only: bool,
    pub needs_check: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Integrity {
    pub mismatches: u64,
    /// Sectors.
    pub provided: u64,
    /// Where the first calculation of the sums is; 0 if there is none.
    pub recalculated: u64,
}

/// In regions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mirror {
    pub in_sync: u64,
    pub total: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Raid {
    /// A letter for each image: in sync, alive and not in sync, dead, or not there.
    pub health: String,
    /// In regions, or sectors.
    pub in_sync: u64,
    pub total: u64,
    /// What is being done; old kernels do not tell.
    pub action: Option<String>,
    pub mismatches: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Snapshot {
    Invalid,
    MergeFailed,
    Overflow,
    /// In sectors.
    Works {
        used: u64,
        total: u64,
        metadata: Option<u64>,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Thin {
    Failed,
    /// In sectors.
    Works {
        mapped: u64,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ThinPool {
    Failed,
    Error,
    Works(ThinPoolState),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ThinPoolState {
    pub metadata_used: u64,
    pub metadata_total: u64,
    pub data_used: u64,
    pub data_total: u64,
    pub discards: Discards,
    pub out_of_data_space: bool,
    pub read_only: bool,
    pub needs_check: bool,
}

impl ThinPool {
    pub fn needs_check(&self) -> bool {
        matches!(self, ThinPool::Works(state) if state.needs_check)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Discards {
    Ignore,
    NoPassdown,
    Passdown,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VdoPool {
    pub mode: &'static str,
    pub index: &'static str,
    pub compression: &'static str,
    /// In blocks of 4 KiB.
    pub used: u64,
    pub total: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Writecache {
    /// errno, or 0.
    pub error: u64,
    pub total: u64,
    pub free: u64,
    pub writeback: u64,
}

impl Status {
    /// `None`: there is no status of this kind of target, or it is not as expected.
    pub fn parse(kind: &str, text: &str) -> Option<Status> {
        let words = &mut Words(text.split_ascii_whitespace());
        Some(match kind {
            "cache" => Status::Cache(cache(text, words)?),
            "integrity" => Status::Integrity(integrity(words)?),
            "mirror" => Status::Mirror(mirror(words)?),
            "raid" => Status::Raid(raid(words)?),
            "snapshot" | "snapshot-merge" => Status::Snapshot(snapshot(text, words)?),
            "thin" => Status::Thin(thin(words)?),
            "thin-pool" => Status::ThinPool(thin_pool(words)?),
            "vdo" => Status::VdoPool(vdo(words)?),
            "writecache" => Status::Writecache(writecache(words)?),
            _ => return None,
        })
    }
}

struct Words<'t>(std::str::SplitAsciiWhitespace<'t>);

impl<'t> Words<'t> {
    fn word(&mut self) -> Option<&'t str> {
        self.0.next()
    }

    fn skip(&mut self, count: usize) -> Option<()> {
        count.checked_sub(1).map_or(Some(()), |last| self.0.nth(last).map(|_| ()))
    }

    fn number(&mut self) -> Option<u64> {
        self.word()?.parse().ok()
    }

    fn count(&mut self) -> Option<usize> {
        self.word()?.parse().ok()
    }

    /// `3/4`.
    fn ratio(&mut self) -> Option<(u64, u64)> {
        ratio(self.word()?)
    }
}

fn ratio(word: &str) -> Option<(u64, u64)> {
    let (numerator, denominator) = word.split_once('/')?;
    Some((numerator.parse().ok()?, denominator.parse().ok()?))
}

/// `cache_status` in drivers/md/dm-cache-target.c.
fn cache(text: &str, words: &mut Words) -> Option<Cache> {
    match text.trim() {
        "Error" => return Some(Cache::Error),
        "Fail" => return Some(Cache::Failed),
        _ => {}
    }
    let mut state = CacheState::default();
    words.skip(1)?;
    (state.metadata_used, state.metadata_total) = words.ratio()?;
    words.skip(1)?;
    (state.used, state.total) = words.ratio()?;
    state.read_hits = words.number()?;
    state.read_misses = words.number()?;
    state.write_hits = words.number()?;
    state.write_misses = words.number()?;
    state.demotions = words.number()?;
    state.promotions = words.number()?;
    state.dirty = words.number()?;
    for _ in 0..words.count()? {
        match words.word()? {
            "metadata2" => state.metadata2 = true,
            "no_discard_passdown" => state.no_discard_passdown = true,
            mode @ ("writethrough" | "writeback" | "passthrough") => mode.clone_into(&mut state.mode),
            _ => {}
        }
    }
    settings(words, &mut state.settings)?;
    words.word()?.clone_into(&mut state.policy);
    settings(words, &mut state.settings)?;
    for word in words.0.by_ref() {
        state.read_only |= word == "ro";
        state.needs_check |= word == "needs_check";
    }
    Some(Cache::Works(Box::new(state)))
}

/// How many words, and as many: names and values by turns.
fn settings(words: &mut Words, out: &mut Vec<(String, String)>) -> Option<()> {
    let count = words.count()?;
    for _ in 0..count / 2 {
        out.push((words.word()?.to_owned(), words.word()?.to_owned()));
    }
    words.skip(count % 2)
}

/// `dm_integrity_status` in drivers/md/dm-integrity.c.
fn integrity(words: &mut Words) -> Option<Integrity> {
    let (mismatches, provided) = (words.number()?, words.number()?);
    let recalculated = match words.word()? {
        "-" => 0,
        word => word.parse().ok()?,
    };
    Some(Integrity { mismatches, provided, recalculated })
}

/// `mirror_status` in drivers/md/dm-raid1.c.
fn mirror(words: &mut Words) -> Option<Mirror> {
    let images = words.count()?;
    words.skip(images)?;
    let (in_sync, total) = words.ratio()?;
    Some(Mirror { in_sync, total })
}

/// `raid_status` in drivers/md/dm-raid.c.
fn raid(words: &mut Words) -> Option<Raid> {
    words.skip(1)?;
    let images = words.count()?;
    let health = words.word()?.to_owned();
    let (mut in_sync, total) = words.ratio()?;
    let action = words.word().map(str::to_owned);
    let mismatches = if action.is_some() { words.number()? } else { 0 };
    // All of it cannot be in sync while some of the images are not. The kernel is about to begin.
    // While stripes are added, the kernel tells fewer images than letters, and LVM goes by those.
    let behind = health.bytes().take(images).filter(|letter| *letter == b'a').count();
    let is_about_to = action
        .as_deref()
        .is_some_and(|action| ["recover", "idle"].iter().any(|known| known.eq_ignore_ascii_case(action)));
    if in_sync == total && behind > 0 && behind < images && is_about_to {
        in_sync = in_sync.saturating_sub(1);
    }
    Some(Raid { health, in_sync, total, action, mismatches })
}

/// `snapshot_status` in drivers/md/dm-snap.c.
fn snapshot(text: &str, words: &mut Words) -> Option<Snapshot> {
    Some(match text.trim() {
        "Invalid" => Snapshot::Invalid,
        "Merge failed" => Snapshot::MergeFailed,
        "Overflow" => Snapshot::Overflow,
        _ => {
            let (used, total) = words.ratio()?;
            let metadata = words.word().and_then(|word| word.parse().ok());
            Snapshot::Works { used, total, metadata }
        }
    })
}

/// `thin_status` in drivers/md/dm-thin.c: how much is mapped, and the last of it, or `-`.
fn thin(words: &mut Words) -> Option<Thin> {
    let mapped = match words.word()? {
        "Fail" => return Some(Thin::Failed),
        "-" => 0,
        word => {
            let mapped = word.parse().ok()?;
            match words.word()? {
                "-" => 0,
                last => {
                    last.parse::<u64>().ok()?;
                    mapped
                }
            }
        }
    };
    Some(Thin::Works { mapped })
}

/// `pool_status` in drivers/md/dm-thin.c: the transaction, what is used, and words.
fn thin_pool(words: &mut Words) -> Option<ThinPool> {
    match words.word()? {
        "Error" => return Some(ThinPool::Error),
        "Fail" => return Some(ThinPool::Failed),
        transaction => transaction.parse::<u64>().ok()?,
    };
    let (metadata_used, metadata_total) = words.ratio()?;
    let (data_used, data_total) = words.ratio()?;
    let mut state = ThinPoolState {
        metadata_used,
        metadata_total,
        data_used,
        data_total,
        discards: Discards::Passdown,
        out_of_data_space: false,
        read_only: false,
        needs_check: false,
    };
    for word in words.0.by_ref() {
        match word {
            "no_discard_passdown" => state.discards = Discards::NoPassdown,
            "ignore_discard" => state.discards = Discards::Ignore,
            "out_of_data_space" => state.out_of_data_space = true,
            "ro" => state.read_only = true,
            "needs_check" => state.needs_check = true,
            _ => {}
        }
    }
    Some(ThinPool::Works(state))
}

/// `vdo_status` in drivers/md/dm-vdo/dm-vdo-target.c.
fn vdo(words: &mut Words) -> Option<VdoPool> {
    let known = |word: &str, all: &[&'static str]| all.iter().find(|known| **known == word).copied();
    words.skip(1)?;
    let mode = known(words.word()?, &["recovering", "read-only", "normal"])?;
    known(words.word()?, &["recovering", "-"])?;
    let index = ["error", "closed", "opening", "closing", "offline", "online", "unknown"];
    let index = known(words.word()?, &index)?;
    let compression = known(words.word()?, &["online", "offline"])?;
    let (used, total) = (words.number()?, words.number()?);
    words.word().is_none().then_some(VdoPool { mode, index, compression, used, total })
}

/// `writecache_status` in drivers/md/dm-writecache.c.
fn writecache(words: &mut Words) -> Option<Writecache> {
    let [error, total, free, writeback] = [words.number()?, words.number()?, words.number()?, words.number()?];
    Some(Writecache { error, total, free, writeback })
}

#[cfg(test)]
mod tests;
