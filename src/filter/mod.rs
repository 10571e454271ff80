//! Which devices are scanned: LVM's filters as far as they need no read.

#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects, clippy::expect_used, clippy::indexing_slicing))]

mod devices_file;
mod patterns;

use crate::device::Facts;
use crate::id::Id;
use std::fmt;

pub use devices_file::{DevicesFile, Listed};
pub use patterns::{Patterns, PatternsError};

/// The rules of this machine, from `lvm.conf`.
#[derive(Debug)]
pub struct Filter {
    /// `devices/global_filter`.
    pub global: Option<Patterns>,
    /// `devices/filter`. Clients apply it to what we serve, so it keeps no device from being read;
    /// but no PV that it rejects comes online.
    pub local: Option<Patterns>,
    /// With one in use, LVM does not look at the patterns.
    pub devices_file: Option<DevicesFile>,
    /// `devices/pv_min_size`, in bytes.
    pub pv_min_size: u64,
    /// `devices/scan_lvs`: whether an LV may be a PV.
    pub scan_lvs: bool,
}

/// The rule that keeps a device from being scanned; the words are LVM's where it has some.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    Patterns,
    DevicesFile,
    DeviceType,
    IsLv,
    DmInternal,
    TooSmall,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Rule::Patterns => "device is rejected by filter config",
            Rule::DevicesFile => "device is not in devices file",
            Rule::DeviceType => "device type is not one that holds PVs",
            Rule::IsLv => "device is an LV",
            Rule::DmInternal => "device is internal to device-mapper",
            Rule::TooSmall => "device is too small (pv_min_size)",
        })
    }
}

/// Drivers whose devices LVM does not know: optical and floppy drives, raw flash, RAM disks made
/// by compression. Opening an empty drive can take seconds.
const OTHER_DRIVERS: [&str; 5] = ["sr", "fd", "mtdblock", "zram", "rpmb"];

/// Prefixes of `dm/uuid` of devices that are parts of something.
const DM_INTERNAL: [&str; 3] = ["CRYPT-TEMP-", "CRYPT-SUBDEV-", "stratis-"];

/// What the names of LVs begin with or contain that LVM keeps for itself (lib/misc/lvm-string.c).
/// Some of these have nothing in their `dm/uuid` that would tell.
const RESERVED_PREFIXES: [&str; 2] = ["pvmove", "snapshot"];
const RESERVED_PARTS: [&str; 16] = [
    "_cdata", "_cmeta", "_corig", "_cvol", "_wcorig", "_mimage", "_mlog", "_rimage", "_rmeta", "_tdata", "_tmeta",
    "_vdata", "_imeta", "_iorig", "_pmspare", "_vorigin",
];

/// `LVM-`, a VG id and an LV id.
const LV_UUID_LENGTH: usize = 4 + 64;

impl Filter {
    /// `None` if the device is to be scanned. `names` are all its names below `/dev`.
    pub fn rejects<'n>(&self, facts: &Facts, names: impl Iterator<Item = &'n str>) -> Option<Rule> {
        if let Some(file) = &self.devices_file {
            if file.lists(facts, names) == Listed::No {
                return Some(Rule::DevicesFile);
            }
        } else if self.global.as_ref().is_some_and(|patterns| !patterns.accept(names)) {
            return Some(Rule::Patterns);
        }
        if facts.driver.as_deref().is_some_and(|driver| OTHER_DRIVERS.contains(&driver)) {
            return Some(Rule::DeviceType);
        }
        if let Some(uuid) = &facts.dm_uuid {
            let name = facts.dm_name.as_deref().unwrap_or_default();
            if DM_INTERNAL.iter().any(|prefix| uuid.starts_with(prefix)) || is_sub_lv(uuid, name) {
                return Some(Rule::DmInternal);
            }
            if uuid.starts_with("LVM-") && !self.scan_lvs {
                return Some(Rule::IsLv);
            }
        }
        (facts.size < self.pv_min_size).then_some(Rule::TooSmall)
    }
}

impl Filter {
    /// Whether a device that was to be scanned may be used, now that this PV was found on it.
    pub fn admits<'n>(&self, facts: &Facts, names: impl Iterator<Item = &'n str>, pvid: &Id) -> bool {
        self.devices_file.as_ref().is_none_or(|file| match file.lists(facts, names) {
            Listed::Yes => true,
            Listed::ByPvid => file.lists_pvid(pvid),
            Listed::No => false,
        })
    }

    /// Whether the devices file names the device by an id of its own.
    pub fn lists_id_of(&self, facts: &Facts) -> bool {
        self.devices_file.as_ref().is_some_and(|file| file.lists_id_of(facts))
    }

    /// Whether LVM's commands do not use the device, although it is scanned.
    pub fn hides<'n>(&self, names: impl Iterator<Item = &'n str>) -> Option<Rule> {
        let local = self.local.as_ref().filter(|_| self.devices_file.is_none())?;
        (!local.accept(names)).then_some(Rule::Patterns)
    }

    /// Whether it takes all of a device's names to decide.
    pub fn needs_names(&self) -> bool {
        let has_patterns = self.global.is_some() || self.local.is_some();
        self.devices_file.as_ref().map_or(has_patterns, DevicesFile::has_names)
    }
}

/// `LVM-<ids>-<suffix>` and `<VG>-<LV>-<suffix>` are layers of an LV, such as a pool's `-tpool` or a
/// `-real`; the images of RAID and the like are LVs of their own, with a reserved name.
fn is_sub_lv(uuid: &str, name: &str) -> bool {
    let mut parts = name_parts(name).skip(1);
    let lv = parts.next().unwrap_or_default();
    uuid.starts_with("LVM-")
        && (uuid.get(LV_UUID_LENGTH..).is_some_and(|rest| rest.starts_with('-'))
            || parts.next().is_some()
            || RESERVED_PREFIXES.iter().any(|prefix| lv.starts_with(prefix))
            || RESERVED_PARTS.iter().any(|part| lv.contains(part)))
}

/// What single hyphens separate: VG, LV and layer, in which hyphens are doubled.
fn name_parts(name: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(name);
    std::iter::from_fn(move || {
        let name = rest.take()?;
        let mut from = 0;
        while let Some(at) = name.get(from..).and_then(|name| name.find('-')) {
            let (part, behind) = name.split_at_checked(at.checked_add(from)?)?;
            let behind = behind.strip_prefix('-')?;
            if !behind.starts_with('-') {
                rest = Some(behind);
                return Some(part);
            }
            from = part.len().checked_add(2)?;
        }
        Some(name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(facts: &Facts, expected: Option<Rule>) {
        let filter = Filter { global: None, local: None, devices_file: None, pv_min_size: 2 << 20, scan_lvs: false };
        assert_eq!(filter.rejects(facts, std::iter::empty()), expected, "{facts:?}");
    }

    #[test]
    fn facts_decide() {
        let disk = Facts { name: "sda".into(), size: 1 << 30, driver: Some("sd".into()), ..Facts::default() };
        check(&disk, None);
        check(&Facts { size: (2 << 20) - 512, ..disk.clone() }, Some(Rule::TooSmall));
        check(&Facts { driver: Some("sr".into()), ..disk.clone() }, Some(Rule::DeviceType));
        let ids = "x".repeat(64);
        for (uuid, expected) in [
            ("mpath-3600".to_owned(), None),
            ("CRYPT-LUKS2-abc".to_owned(), None),
            ("CRYPT-TEMP-abc".to_owned(), Some(Rule::DmInternal)),
            (format!("LVM-{ids}"), Some(Rule::IsLv)),
            (format!("LVM-{ids}-tpool"), Some(Rule::DmInternal)),
        ] {
            check(&Facts { dm_uuid: Some(uuid), ..disk.clone() }, expected);
        }
    }

    #[test]
    fn lvs_may_be_scanned_on_request() {
        let filter = Filter { global: None, local: None, devices_file: None, pv_min_size: 0, scan_lvs: true };
        let lv = Facts { size: 1 << 30, dm_uuid: Some(format!("LVM-{}", "x".repeat(64))), ..Facts::default() };
        let check = |name: &str, expected: Option<Rule>| {
            let facts = Facts { dm_name: Some(name.into()), ..lv.clone() };
            assert_eq!(filter.rejects(&facts, std::iter::empty()), expected, "{name}");
        };
        check("vg-lv", None);
        check("vg--of--mine-my--lv", None);
        check("a_rimage_0-lv", None);
        check("vg-my_snapshot", None);
        for internal in
            ["vg-lv_rimage_0", "vg-lv_rmeta_1", "vg-pvmove0", "vg-snapshot0", "a--b-c--d_tdata", "vg-lv-real"]
        {
            check(internal, Some(Rule::DmInternal));
        }
        assert_eq!(filter.rejects(&lv, std::iter::empty()), None, "without a name");
    }

    #[test]
    fn single_hyphens_separate() {
        let parts = |name| name_parts(name).collect::<Vec<_>>();
        assert_eq!(parts("vg-lv"), ["vg", "lv"]);
        assert_eq!(parts("v--g-l----v-real"), ["v--g", "l----v", "real"]);
        assert_eq!(parts("mpatha"), ["mpatha"]);
        assert_eq!(parts("vg-"), ["vg", ""]);
        assert_eq!(parts(""), [""]);
    }

    #[test]
    fn with_a_devices_file_the_patterns_do_not_count() {
        let facts = Facts { name: "sda".into(), size: 1 << 30, ..Facts::default() };
        let global = Some(Patterns::compile([&b"r|.*|"[..]].into_iter()).unwrap());
        let devices_file = Some(DevicesFile::parse(b"IDTYPE=devname IDNAME=/dev/sda PVID=."));
        let mut filter = Filter { global, local: None, devices_file, pv_min_size: 0, scan_lvs: false };
        let rejects = |filter: &Filter, name| filter.rejects(&facts, std::iter::once(name));
        assert_eq!(rejects(&filter, "/dev/sda"), None);
        assert_eq!(rejects(&filter, "/dev/sdb"), Some(Rule::DevicesFile));
        filter.devices_file = None;
        assert_eq!(rejects(&filter, "/dev/sda"), Some(Rule::Patterns));
    }

    #[test]
    fn what_the_local_filter_rejects_is_scanned_and_hidden() {
        let local = Patterns::compile([&b"a|^/dev/mapper/|"[..], b"r|.*|"].into_iter()).unwrap();
        let mut filter =
            Filter { global: None, local: Some(local), devices_file: None, pv_min_size: 0, scan_lvs: false };
        assert_eq!(filter.rejects(&Facts::default(), ["/dev/sda"].into_iter()), None);
        assert_eq!(filter.hides(["/dev/sda"].into_iter()), Some(Rule::Patterns));
        assert_eq!(filter.hides(["/dev/dm-0", "/dev/mapper/mpatha"].into_iter()), None);
        assert!(filter.needs_names());
        filter.devices_file = Some(DevicesFile::default());
        assert_eq!(filter.hides(["/dev/sda"].into_iter()), None);
    }
}
