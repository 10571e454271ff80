//! LVM's devices file: the devices that it may use, and no others.

use crate::device::Facts;
use crate::id::Id;
use std::collections::{BTreeMap, BTreeSet};

/// What an entry knows its device by (`lib/device/device_id.c` in lvm2).
///
/// | type | where the name is from |
/// |---|---|
/// | `sys_wwid` | sysfs `device/wwid` or `wwid` |
/// | `sys_serial` | sysfs `device/serial` or `serial` |
/// | `mpath_uuid`, `crypt_uuid`, `lvmlv_uuid` | sysfs `dm/uuid`, as its prefix says |
/// | `md_uuid` | sysfs `md/uuid` |
/// | `loop_file` | sysfs `loop/backing_file` |
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum IdType {
    SysWwid,
    SysSerial,
    MpathUuid,
    CryptUuid,
    LvmlvUuid,
    MdUuid,
    LoopFile,
}

impl IdType {
    fn parse(text: &str) -> Option<IdType> {
        Some(match text {
            "sys_wwid" => IdType::SysWwid,
            "sys_serial" => IdType::SysSerial,
            "mpath_uuid" => IdType::MpathUuid,
            "crypt_uuid" => IdType::CryptUuid,
            "lvmlv_uuid" => IdType::LvmlvUuid,
            "md_uuid" => IdType::MdUuid,
            "loop_file" => IdType::LoopFile,
            _ => return None,
        })
    }
}

/// The file, as far as it decides. One line is one entry, with its fields in any order:
///
/// ```text
/// IDTYPE=sys_wwid IDNAME=naa.5000c500a0b1c2d3 DEVNAME=/dev/sda PVID=<32 characters> PART=2
/// ```
///
/// Other lines say when it was written and by whom. A `.` stands for nothing.
///
/// A name below `/dev` may lead to another device tomorrow. So an entry of the type `devname` counts
/// only for a device that holds its PV, if it names one; and as LVM does, that PV is also looked for
/// on devices that nothing but their name is known of. For a type that is unknown here, the PV alone
/// decides.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct DevicesFile {
    /// With the number of the partition, 0 for none.
    ids: BTreeSet<(IdType, String, u32)>,
    /// Of type `devname`; true where one says nothing of a PV.
    names: BTreeMap<(String, u32), bool>,
    /// Of the PVs that only they tell.
    pvids: BTreeSet<Id>,
    /// There are entries of other types.
    others: bool,
}

/// Whether a device is in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listed {
    Yes,
    /// If it turns out to hold a certain PV.
    ByPvid,
    No,
}

impl DevicesFile {
    /// Lines that are no entries are left out, as LVM leaves them out.
    pub fn parse(bytes: &[u8]) -> DevicesFile {
        let mut file = DevicesFile::default();
        for line in bytes.split(|byte| *byte == b'\n') {
            // No device has a name that is not text.
            let Ok(line) = str::from_utf8(line) else { continue };
            if !line.starts_with('#') {
                file.put(line);
            }
        }
        file
    }

    fn put(&mut self, line: &str) {
        let (Some(kind), Some(name)) = (field(line, "IDTYPE="), field(line, "IDNAME=").or(Some("."))) else { return };
        let part = field(line, "PART=").and_then(|part| part.parse().ok()).unwrap_or(0);
        let pvid = field(line, "PVID=").and_then(|pvid| Id::parse(pvid.as_bytes()));
        match IdType::parse(kind) {
            Some(kind) => {
                if name != "." {
                    self.ids.insert((kind, name.to_owned(), part));
                }
                return;
            }
            None if kind == "devname" => {
                if name != "." {
                    *self.names.entry((name.to_owned(), part)).or_default() |= pvid.is_none();
                }
            }
            None => self.others = true,
        }
        self.pvids.extend(pvid);
    }

    /// Whether names other than the kernel's matter.
    pub fn has_names(&self) -> bool {
        !self.names.is_empty()
    }

    /// Whether an entry names the device by something else than a name or its PV.
    pub fn lists_id_of(&self, facts: &Facts) -> bool {
        self.lists_one_of(&ids(facts), partition(facts))
    }

    fn lists_one_of(&self, ids: &[(IdType, String)], part: u32) -> bool {
        ids.iter().any(|(kind, name)| self.ids.contains(&(*kind, name.clone(), part)))
    }

    /// `names` are all names of the device below `/dev`, the kernel's first.
    pub fn lists<'n>(&self, facts: &Facts, names: impl Iterator<Item = &'n str>) -> Listed {
        let (ids, part) = (ids(facts), partition(facts));
        if self.lists_one_of(&ids, part) {
            return Listed::Yes;
        }
        // Of a device-mapper device, any name counts.
        let names = names.take(if facts.dm_uuid.is_some() { usize::MAX } else { 1 });
        let named = names
            .filter_map(|name| self.names.get(&(name.to_owned(), part)))
            .fold(None, |found, any| Some(found.unwrap_or(false) | any));
        match named {
            Some(true) => Listed::Yes,
            Some(false) => Listed::ByPvid,
            None if !self.pvids.is_empty() && (ids.is_empty() || self.others) => Listed::ByPvid,
            None => Listed::No,
        }
    }

    pub fn lists_pvid(&self, pvid: &Id) -> bool {
        self.pvids.contains(pvid)
    }
}

/// What follows the key, wherever that is, up to the next space.
fn field<'l>(line: &'l str, key: &str) -> Option<&'l str> {
    let (_, rest) = line.split_once(key)?;
    rest.split(' ').next().filter(|value| !value.is_empty())
}

fn partition(facts: &Facts) -> u32 {
    facts.ids.as_ref().map_or(0, |ids| ids.partition)
}

/// What the device can be known by, other than its names.
fn ids(facts: &Facts) -> Vec<(IdType, String)> {
    let dm = facts.dm_uuid.as_ref().and_then(|uuid| {
        let kinds = [("mpath-", IdType::MpathUuid), ("CRYPT-", IdType::CryptUuid), ("LVM-", IdType::LvmlvUuid)];
        kinds.into_iter().find(|(prefix, _)| uuid.starts_with(prefix)).map(|(_, kind)| (kind, uuid))
    });
    let found = facts.ids.as_deref();
    let ids = found.into_iter().flat_map(|ids| {
        [
            (IdType::SysWwid, ids.wwid.as_ref()),
            (IdType::SysSerial, ids.serial.as_ref()),
            (IdType::MdUuid, ids.md_uuid.as_ref()),
            (IdType::LoopFile, ids.loop_file.as_ref()),
        ]
    });
    let ids = ids.filter_map(|(kind, name)| Some((kind, name?))).chain(dm);
    ids.map(|(kind, name)| (kind, id_name(name))).filter(|(_, name)| !name.is_empty()).collect()
}

/// The name as it stands in the file: without white space around it, and with `_` for what is in
/// it; in an id of type t10, for a row of it.
fn id_name(name: &str) -> String {
    let name = name.trim_matches(is_space);
    if name.starts_with("t10.") {
        return name.split(is_space).filter(|word| !word.is_empty()).collect::<Vec<_>>().join("_");
    }
    name.replace(is_space, "_")
}

fn is_space(char: char) -> bool {
    char.is_ascii_whitespace() || char.is_ascii_control()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::Ids;

    const PVID: &str = "0P6rfGcdytbjmBBwVcdtb090Jaglqnft";

    fn disk(wwid: &str, partition: u32) -> Facts {
        let ids = Ids { wwid: Some(wwid.into()), partition, ..Ids::default() };
        Facts { name: "sda".into(), ids: Some(Box::new(ids)), ..Facts::default() }
    }

    fn looped(path: &str) -> Facts {
        let ids = Ids { loop_file: Some(path.into()), ..Ids::default() };
        Facts { name: "loop7".into(), ids: Some(Box::new(ids)), ..Facts::default() }
    }

    fn dm(uuid: &str) -> Facts {
        Facts { name: "dm-1".into(), dm_uuid: Some(uuid.into()), ids: Some(Box::default()), ..Facts::default() }
    }

    fn check(file: &str, facts: &Facts, expected: Listed) {
        let names = [format!("/dev/{}", facts.name), "/dev/mapper/mine".into()];
        let file = DevicesFile::parse(file.as_bytes());
        assert_eq!(file.lists(facts, names.iter().map(String::as_str)), expected, "{file:?} {facts:?}");
    }

    /// The same entries and devices as were put before lvm2 2.03.16.
    #[test]
    fn entries_are_read_as_lvm_reads_them() {
        let device = looped("/img/a");
        check("", &device, Listed::No);
        check("VERSION=1.1.5\nIDTYPE=loop_file IDNAME=/img/a DEVNAME=/dev/x PVID=.\n", &device, Listed::Yes);
        check("IDNAME=/img/a IDTYPE=loop_file", &device, Listed::Yes);
        check("  IDTYPE=loop_file   IDNAME=/img/a   FOO=bar", &device, Listed::Yes);
        check("DEVNAME=/dev/loop7 PVID=.\tIDNAME=/img/a IDTYPE=loop_file", &device, Listed::Yes);
        check("IDTYPE=loop_file\tIDNAME=/img/a\tDEVNAME=.", &device, Listed::No);
        check("#IDTYPE=loop_file IDNAME=/img/a", &device, Listed::No);
        check("IDTYPE=sys_wwid IDNAME=/img/a DEVNAME=/dev/loop7", &device, Listed::No);
        check("IDTYPE=loop_file IDNAME=/img/a PART=1", &device, Listed::No);
        check("IDTYPE=loop_file IDNAME=/img/df_61_0.img", &looped("/img/df 61 0.img"), Listed::Yes);
    }

    #[test]
    fn each_type_has_its_fact() {
        check("IDTYPE=sys_wwid IDNAME=naa.5000 PART=2", &disk("naa.5000", 2), Listed::Yes);
        check("IDTYPE=sys_wwid IDNAME=naa.5000 PART=2", &disk("naa.5000", 0), Listed::No);
        check("IDTYPE=sys_wwid IDNAME=t10.ATA_Disk_1", &disk("t10.ATA     Disk   1  ", 0), Listed::Yes);
        check("IDTYPE=mpath_uuid IDNAME=mpath-3600", &dm("mpath-3600"), Listed::Yes);
        check("IDTYPE=crypt_uuid IDNAME=mpath-3600", &dm("mpath-3600"), Listed::No);
        check("IDTYPE=lvmlv_uuid IDNAME=LVM-abc", &dm("LVM-abc"), Listed::Yes);
    }

    #[test]
    fn a_name_counts_for_the_device_with_its_pv() {
        let device = looped("/img/a");
        let entry = format!("IDTYPE=devname IDNAME=/dev/loop7 DEVNAME=/dev/loop7 PVID={PVID}");
        check(&entry, &device, Listed::ByPvid);
        check("IDTYPE=devname IDNAME=/dev/loop7 PVID=.", &device, Listed::Yes);
        let file = DevicesFile::parse(entry.as_bytes());
        assert!(file.lists_pvid(&Id(*PVID.as_bytes().first_chunk().unwrap())) && !file.lists_pvid(&Id([b'x'; 32])));
        // Elsewhere the PV is looked for only where there is nothing else to go by.
        let other = entry.replace("loop7", "sdx");
        check(&other, &device, Listed::No);
        check(&other, &Facts { ids: Some(Box::default()), ..device.clone() }, Listed::ByPvid);
        check(&entry.replace("=/dev/loop7", "=."), &Facts { ids: None, ..device.clone() }, Listed::ByPvid);
        // Only of a device-mapper device, every name counts.
        let mapped = "IDTYPE=devname IDNAME=/dev/mapper/mine PVID=.";
        check(mapped, &dm("CRYPT-x"), Listed::Yes);
        check(mapped, &device, Listed::No);
    }

    #[test]
    fn of_a_type_that_is_unknown_the_pv_decides() {
        check(&format!("IDTYPE=wwid_naa IDNAME=naa.5 DEVNAME=/dev/sda PVID={PVID}"), &disk("naa.5", 0), Listed::ByPvid);
        check("IDTYPE=wwid_naa IDNAME=naa.5 DEVNAME=/dev/sda PVID=.", &disk("naa.5", 0), Listed::No);
    }

    #[test]
    fn no_line_is_too_odd() {
        for line in
            ["IDTYPE=", "IDTYPE= IDNAME=", "IDNAME=x", "IDTYPE=devname", "PART=99999999999999999999 IDTYPE=md_uuid"]
        {
            check(line, &looped("/img/a"), Listed::No);
        }
        let long = format!("IDTYPE=devname IDNAME={} PVID={}", "x".repeat(1 << 20), "y".repeat(1 << 20));
        check(&long, &looped("/img/a"), Listed::No);
        assert_eq!(DevicesFile::parse(b"\xff\xfe\0\n\nIDTYPE=sys_wwid IDNAME=\xff\n"), DevicesFile::default());
    }
}
