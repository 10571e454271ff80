//! Which of the devices that hold a PV is the one to use, in the order of LVM 2.03
//! (`_choose_duplicates` of lvm2's `lib/cache/lvmcache.c`), and what makes two of them different.

use crate::devno::DevNo;
use crate::metadata::VgText;
use crate::scan::Pv;
use std::cmp::Reverse;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

/// Why a device was preferred to another: the first of these in which they differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Because {
    /// The other is one that `devices/filter` keeps commands from.
    Shown,
    DevicesFile,
    ActiveLv,
    Size,
    Name,
    Mounted,
    DeviceMapper,
    Stacked,
    Readable,
    Current,
    FirstSeen,
}

const ORDER: [Because; MERITS] = [
    Because::Shown,
    Because::DevicesFile,
    Because::ActiveLv,
    Because::Size,
    Because::Name,
    Because::Mounted,
    Because::DeviceMapper,
    Because::Stacked,
    Because::Readable,
    Because::Current,
];
const MERITS: usize = 10;
/// The rest says nothing about which device is the right one.
const DECISIVE: usize = 8;
/// Where the name is in the order.
const NAME: usize = 4;

/// What the metadata on several devices says of where the PV was when it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Names {
    Agree,
    /// A snapshot that was written to, or a clone, says that it is the one, and its origin the same.
    Differ,
}

impl Because {
    /// As LVM gives its reason; some of them it does not have.
    pub fn in_lvms_words(self) -> &'static str {
        match self {
            Because::ActiveLv => "device is used by LV",
            Because::Size => "device size is correct",
            Because::Name => "device name matches previous",
            Because::Mounted => "device has fs mounted",
            Because::DeviceMapper => "device is in dm subsystem",
            Because::Stacked => "device is in subsystem",
            Because::Current | Because::FirstSeen => "device was seen first",
            Because::DevicesFile => "the devices file lists it by an id of its own",
            Because::Shown => "the other device is rejected by filter config",
            Because::Readable => "the other device cannot be read",
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Because::Shown => "this one is rejected by devices/filter",
            Because::DevicesFile => "the devices file lists it by an id of its own",
            Because::ActiveLv => "active LVs are on it",
            Because::Size => "it has the size that its label says",
            Because::Name => "the metadata of the VG names it",
            Because::Mounted => "it is mounted",
            Because::DeviceMapper => "it is a device-mapper device",
            Because::Stacked => "it is stacked on other devices",
            Because::Readable => "this one cannot be read",
            Because::Current => "the PV was there before",
            Because::FirstSeen => "it was seen first",
        }
    }
}

impl fmt::Display for Because {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What speaks for a device; the greatest is the best.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    merits: [bool; MERITS],
    seen: Reverse<(Duration, DevNo)>,
}

impl Rank {
    pub(super) fn new(first_seen: Duration, devno: DevNo, has: impl Fn(Because) -> bool) -> Rank {
        Rank { merits: ORDER.map(has), seen: Reverse((first_seen, devno)) }
    }

    /// Whether a better one is right for better reasons than that it can be read, or was first. If
    /// each is named by its own metadata, what comes after the name proves nothing either.
    pub(super) fn is_below(&self, other: &Rank, names: Names) -> bool {
        let decisive = match names {
            Names::Differ => NAME,
            Names::Agree => DECISIVE,
        };
        self.merits[..decisive] < other.merits[..decisive]
    }

    /// Why this one comes before the other.
    pub(super) fn because(&self, other: &Rank) -> Because {
        let differ = self.merits.iter().zip(other.merits).position(|(own, other)| *own != other);
        match differ.map_or(Because::FirstSeen, |at| ORDER[at]) {
            Because::Current if self.seen > other.seen => Because::FirstSeen,
            because => because,
        }
    }
}

/// In what two devices that hold the same PV differ.
#[derive(Debug)]
pub(in crate::watcher) enum Difference {
    /// What the one has, and what the other.
    Each(String, String),
    Both(String),
}

impl Difference {
    /// In words, with the names of the devices.
    pub(super) fn between(&self, one: &str, other: &str) -> String {
        match self {
            Difference::Each(on_one, on_other) => format!("{on_one} on {one}, {on_other} on {other}"),
            Difference::Both(what) => what.clone(),
        }
    }
}

/// `None` if whoever uses the one or the other finds the same.
pub(super) fn difference(one: &Pv, other: &Pv) -> Option<Difference> {
    if one.read_error.is_some() || other.read_error.is_some() {
        return Some(Difference::Both("not all of it can be read on each".to_owned()));
    }
    differ_in(one, other)
}

/// In what their headers or the metadata on them differ, as far as they were read.
pub(in crate::watcher) fn differ_in(one: &Pv, other: &Pv) -> Option<Difference> {
    let text = |pv: &Pv| match &pv.vg {
        Some(vg) => format!("seqno {} of VG {}", vg.seqno, shown(&vg.name)),
        None => "no metadata".to_owned(),
    };
    match (&one.vg, &other.vg) {
        (Some(one), Some(other)) if Rc::ptr_eq(one, other) || one.text() == other.text() => {}
        (Some(one), Some(other)) if one.vgid != other.vgid => {
            let vg = |vg: &VgText| format!("VG {} ({})", shown(&vg.name), vg.vgid);
            return Some(Difference::Each(vg(one), vg(other)));
        }
        (Some(one), Some(other)) if one.seqno != other.seqno => {
            return Some(Difference::Each(format!("seqno {}", one.seqno), format!("seqno {}", other.seqno)));
        }
        (Some(one), Some(_)) => {
            return Some(Difference::Both(format!("metadata that is not the same, both of seqno {}", one.seqno)));
        }
        (Some(_), None) | (None, Some(_)) => return Some(Difference::Each(text(one), text(other))),
        (None, None) => {}
    }
    let header = |pv: &Pv| {
        let mdas = pv.mdas.iter().map(|mda| (mda.area, mda.ignored)).collect::<Vec<_>>();
        let areas = (pv.data_areas.clone(), pv.bootloader_areas.clone());
        (pv.label_sector, pv.dev_size, pv.ext_version, pv.ext_flags, areas, mdas)
    };
    (header(one) != header(other)).then(|| Difference::Both("the PV header".to_owned()))
}

fn shown(name: &[u8]) -> impl fmt::Display + '_ {
    name.escape_ascii()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rank(minor: u32, seen: u64, merits: &[Because]) -> Rank {
        Rank::new(Duration::from_secs(seen), DevNo::new(8, minor), |merit| merits.contains(&merit))
    }

    /// Each merit against all that come after it together.
    #[test]
    fn the_order_is_that_of_lvm() {
        for (at, merit) in ORDER.into_iter().enumerate() {
            let (better, other) = (rank(1, 2, &[merit]), rank(0, 1, &ORDER[at + 1..]));
            assert!(better > other, "{merit}");
            let because = if merit == Because::Current { Because::Current } else { merit };
            assert_eq!(better.because(&other), because);
            let is_below = |names| (other.is_below(&better, names), better.is_below(&other, names));
            assert_eq!(is_below(Names::Agree), (at < DECISIVE, false), "{merit}");
            assert_eq!(is_below(Names::Differ), (at < NAME, false), "{merit}");
        }
        assert_eq!(ORDER[NAME], Because::Name);
        assert!(!ORDER[..DECISIVE].contains(&Because::Readable) && ORDER[DECISIVE] == Because::Readable);
    }

    #[test]
    fn of_equals_the_first_is_the_best() {
        let (first, second, third) = (rank(1, 1, &ORDER), rank(0, 2, &ORDER), rank(2, 2, &ORDER));
        assert!(first > second && second > third);
        assert_eq!(first.because(&second), Because::FirstSeen);
        // One that was first and is still there is there because it was first.
        assert_eq!(rank(1, 1, &[Because::Current]).because(&rank(0, 2, &[])), Because::FirstSeen);
        assert_eq!(rank(1, 2, &[Because::Current]).because(&rank(0, 1, &[])), Because::Current);
    }
}
