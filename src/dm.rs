//! What device-mapper says of the targets of a device: whether reading it can lead to anything.

#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects, clippy::expect_used, clippy::indexing_slicing))]

use crate::devno::DevNo;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Why a device-mapper device is not read. LVM does not read these either (`dm_device_is_usable` in
/// lib/activate/dev_manager.c): a read fails, or waits until somebody repairs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unusable {
    NoTable,
    Suspended,
    /// A device that it is stacked on is suspended.
    SuspendedBelow,
    /// There are no bytes behind it.
    ErrorOrZero,
    InvalidSnapshot,
    /// A device of the mirror has failed, and I/O waits until dmeventd has replaced it.
    BlockedMirror,
    /// The pool of a thin device is read-only, full, or has failed.
    ThinPool,
}

impl Unusable {
    pub const ALL: [Unusable; 7] = [
        Unusable::NoTable,
        Unusable::Suspended,
        Unusable::SuspendedBelow,
        Unusable::ErrorOrZero,
        Unusable::InvalidSnapshot,
        Unusable::BlockedMirror,
        Unusable::ThinPool,
    ];
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Unusable::NoTable => "it has no device-mapper table",
            Unusable::Suspended => "the device-mapper device is suspended",
            Unusable::SuspendedBelow => "a device-mapper device below it is suspended",
            Unusable::ErrorOrZero => "all its targets are error or zero",
            Unusable::InvalidSnapshot => "it is an invalid snapshot",
            Unusable::BlockedMirror => "its mirror waits for a failed device to be replaced",
            Unusable::ThinPool => "its thin pool is read-only, out of space or has failed",
        })
    }
}

/// One target of a table, with its parameters or its state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// Sectors.
    pub start: u64,
    pub length: u64,
    pub kind: String,
    pub text: String,
}

/// What else has to be known of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// Its table: what the targets were loaded with.
    Table,
    /// The state of the targets of another device.
    StatusOf(DevNo),
}

/// Why the device with these targets, each with its state, is not to be read. `ask` answers `None`
/// for what cannot be known.
pub fn why_unusable(targets: &[Target], mut ask: impl FnMut(Question) -> Option<Vec<Target>>) -> Option<Unusable> {
    if targets.is_empty() {
        return Some(Unusable::NoTable);
    }
    if targets.iter().all(|target| matches!(target.kind.as_str(), "error" | "zero")) {
        return Some(Unusable::ErrorOrZero);
    }
    for (index, target) in targets.iter().enumerate() {
        let mut table = || Some(ask(Question::Table)?.into_iter().nth(index)?.text);
        let (wrong, why) = match target.kind.as_str() {
            "snapshot" | "snapshot-merge" => (is_invalid(&target.text), Unusable::InvalidSnapshot),
            "mirror" => {
                let wrong = has_failed_leg(&target.text) && table().is_some_and(|table| waits_for_repair(&table));
                (wrong, Unusable::BlockedMirror)
            }
            "thin" => {
                let pool = table().and_then(|table| DevNo::parse(table.split(' ').next()?));
                let status = pool.and_then(|pool| ask(Question::StatusOf(pool)));
                let wrong = target.text == "Fail"
                    || status.into_iter().flatten().any(|pool| pool.kind == "thin-pool" && is_bad_pool(&pool.text));
                (wrong, Unusable::ThinPool)
            }
            _ => continue,
        };
        if wrong {
            return Some(why);
        }
    }
    None
}

/// Instead of how full it is (`snapshot_status` in drivers/md/dm-snap.c).
fn is_invalid(status: &str) -> bool {
    ["Invalid", "Overflow", "Merge failed"].contains(&status)
}

/// `2 253:1 253:2 400/400 1 AD 3 disk 253:3 A`: how many legs and which, what is in sync, a number of
/// words of which the first has a letter for each leg, and the log with its kind, device and letter. A
/// leg or log that works is an `A` (`mirror_status` in drivers/md/dm-raid1.c).
fn has_failed_leg(status: &str) -> bool {
    let mut words = status.split(' ');
    let legs = words.next().and_then(|legs| legs.parse::<usize>().ok());
    let letters = legs.and_then(|legs| words.nth(legs.checked_add(2)?));
    let log = words.nth(2).map(|_| words.next());
    let works = |letters: &str| letters.bytes().all(|letter| letter == b'A');
    letters.is_some_and(|letters| !works(letters)) || log.flatten().is_some_and(|letter| !works(letter))
}

fn waits_for_repair(table: &str) -> bool {
    table.split(' ').any(|word| ["handle_errors", "block_on_error"].contains(&word))
}

/// `Fail`, `Error`, or a transaction, what is used, and then what may be done with it
/// (`pool_status` in drivers/md/dm-thin.c).
fn is_bad_pool(status: &str) -> bool {
    ["Fail", "Error"].contains(&status) || status.split(' ').any(|word| ["ro", "out_of_data_space"].contains(&word))
}

/// `struct dm_target_spec`, in the byte order of the host.
///
/// | offset | bytes | |
/// |---|---|---|
/// | 0 | 8 | first sector |
/// | 8 | 8 | sectors |
/// | 16 | 4 | |
/// | 20 | 4 | where the next one is, from the first |
/// | 24 | 16 | kind, ending with a NUL |
/// | 40 | | parameters or state, ending with a NUL |
const SPEC: usize = 40;

/// The targets in an answer of device-mapper; `None` if it is not such an answer.
pub fn parse_targets(bytes: &[u8], count: usize) -> Option<Vec<Target>> {
    let mut targets = Vec::new();
    let mut at = 0;
    for _ in 0..count {
        let spec = bytes.get(at..)?;
        let sectors = |at: usize| Some(u64::from_ne_bytes(*spec.get(at..)?.first_chunk()?));
        let (start, length) = (sectors(0)?, sectors(8)?);
        let next = usize::try_from(u32::from_ne_bytes(*spec.get(20..)?.first_chunk()?)).ok()?;
        let kind = until_nul(spec.get(24..SPEC)?);
        let text = until_nul(spec.get(SPEC..)?);
        targets.push(Target { start, length, kind, text: text.trim_end().to_owned() });
        // Each is further on than the one before, or an answer could be read for ever.
        at = Some(next).filter(|next| *next > at || targets.len() == count)?;
    }
    Some(targets)
}

/// The numbers in a list of devices: `struct dm_name_list`, each with its number (8 bytes), where the
/// next one is from here, or 0 (4 bytes), and its name. `None` if it is not such a list.
pub fn parse_list(bytes: &[u8]) -> Option<Vec<DevNo>> {
    let mut devices = Vec::new();
    let mut at = 0;
    loop {
        let entry: &[u8] = bytes.get(at..)?;
        let number = u64::from_ne_bytes(*entry.first_chunk()?);
        let next = usize::try_from(u32::from_ne_bytes(*entry.get(8..)?.first_chunk()?)).ok()?;
        // This is how none is said.
        if number != 0 {
            devices.push(DevNo::from_dev_t(number));
        }
        if next == 0 {
            return Some(devices);
        }
        at = at.checked_add(next)?;
    }
}

fn until_nul(bytes: &[u8]) -> String {
    let text = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(line: &str) -> Target {
        let (kind, text) = line.split_once(' ').unwrap_or((line, ""));
        Target { start: 0, length: 0, kind: kind.into(), text: text.into() }
    }

    fn check(status: &[&str], table: &str, pool: &str, expected: Option<Unusable>) {
        let status = status.iter().map(|line| target(line)).collect::<Vec<_>>();
        let why = why_unusable(&status, |question| match question {
            Question::Table if table.is_empty() => None,
            Question::Table => Some(vec![target(table); status.len()]),
            Question::StatusOf(devno) => {
                assert_eq!(devno, DevNo::new(253, 2));
                (!pool.is_empty()).then(|| vec![target(pool)])
            }
        });
        assert_eq!(why, expected, "{status:?} {table} {pool}");
    }

    #[test]
    fn the_state_of_the_targets_decides() {
        let alone = |status: &str, expected| check(&[status], "", "", expected);
        check(&[], "", "", Some(Unusable::NoTable));
        check(&["error", "zero"], "", "", Some(Unusable::ErrorOrZero));
        check(&["error", "linear"], "", "", None);
        alone("linear", None);
        alone("multipath 2 0 0 0 1 1 A 0 1 0 8:0 F 1", None);
        alone("snapshot 16/2048 16", None);
        alone("snapshot Unknown", None);
        alone("snapshot Invalid", Some(Unusable::InvalidSnapshot));
        alone("snapshot Overflow", Some(Unusable::InvalidSnapshot));
        alone("snapshot-merge Merge failed", Some(Unusable::InvalidSnapshot));
        check(&["linear", "snapshot Invalid"], "", "", Some(Unusable::InvalidSnapshot));
    }

    #[test]
    fn a_mirror_is_blocked_when_it_waits_for_repair() {
        let (waits, does_not) =
            ("mirror core 1 1024 2 253:1 0 253:2 0 1 handle_errors", "mirror core 1 1024 2 253:1 0 253:2 0");
        let blocked = Some(Unusable::BlockedMirror);
        for (status, failed) in [
            ("mirror 2 253:1 253:2 400/400 1 AA 1 core", false),
            ("mirror 2 253:1 253:2 400/400 1 AA 3 disk 253:3 A", false),
            ("mirror 2 253:1 253:2 400/400 1 AD 1 core", true),
            ("mirror 2 253:1 253:2 400/400 1 AA 3 disk 253:3 D", true),
            ("mirror 3 253:1 253:2 253:4 4/400 1 AAS 1 core", true),
            ("mirror", false),
            ("mirror 99999999999999999999 A", false),
            ("mirror 18446744073709551615 A", false),
        ] {
            check(&[status], waits, "", if failed { blocked } else { None });
            check(&[status], does_not, "", None);
            check(&[status], "", "", None);
        }
    }

    #[test]
    fn a_thin_device_is_as_good_as_its_pool() {
        let table = "thin 253:2 1";
        let bad = Some(Unusable::ThinPool);
        for (pool, expected) in [
            ("thin-pool 1 6/1024 0/64 - rw discard_passdown queue_if_no_space - 1024", None),
            ("thin-pool 1 6/1024 64/64 - out_of_data_space discard_passdown queue_if_no_space - 1024", bad),
            ("thin-pool 1 6/1024 0/64 - ro discard_passdown queue_if_no_space needs_check 1024", bad),
            ("thin-pool Fail", bad),
            ("thin-pool Error", bad),
            ("linear Fail", None),
            ("", None),
        ] {
            check(&["thin 0 -"], table, pool, expected);
        }
        check(&["thin Fail"], "", "", bad);
        check(&["thin 0 -"], "thin", "", None);
    }

    fn spec(next: u32, kind: &str, text: &str) -> Vec<u8> {
        let mut bytes = vec![0; SPEC];
        bytes[20..24].copy_from_slice(&next.to_ne_bytes());
        bytes[24..24 + kind.len()].copy_from_slice(kind.as_bytes());
        bytes.extend_from_slice(text.as_bytes());
        bytes.push(0);
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        bytes
    }

    #[test]
    fn answers_are_taken_apart() {
        let bytes = [spec(48, "linear", ""), spec(96, "snapshot", "1/2 3 "), spec(144, "sixteen-letters!", "x")];
        let mut bytes = bytes.concat();
        bytes[48..56].copy_from_slice(&8u64.to_ne_bytes());
        bytes[56..64].copy_from_slice(&u64::MAX.to_ne_bytes());
        let mut expected = ["linear", "snapshot 1/2 3", "sixteen-letters! x"].map(target);
        (expected[1].start, expected[1].length) = (8, u64::MAX);
        assert_eq!(parse_targets(&bytes, 3).unwrap(), expected);
        assert_eq!(parse_targets(&bytes, 0).unwrap(), []);
        assert_eq!(parse_targets(&bytes, 4), None);
        for end in 0..96 + SPEC {
            assert_eq!(parse_targets(&bytes[..end], 3), None, "{end}");
        }
        // One that points to itself.
        assert_eq!(parse_targets(&[spec(0, "linear", ""), spec(0, "linear", "")].concat(), usize::MAX), None);
        assert_eq!(parse_targets(&spec(u32::MAX, "linear", ""), 2), None);
    }

    #[test]
    fn a_list_of_devices_is_taken_apart() {
        let entry =
            |number: u64, next: u32| [&number.to_ne_bytes()[..], &next.to_ne_bytes(), b"name\0\0\0\0\0\0\0\0"].concat();
        let list = [entry(0xfd03, 24), entry(0x0010_fd05, 0)].concat();
        assert_eq!(parse_list(&list).unwrap(), [DevNo::new(253, 3), DevNo::new(253, 261)]);
        assert_eq!(parse_list(&entry(0, 0)).unwrap(), []);
        for end in 0..36 {
            assert_eq!(parse_list(&list[..end]), None, "{end}");
        }
        assert_eq!(parse_list(&entry(0xfd03, u32::MAX)), None);
    }

    #[test]
    fn all_are_all() {
        for (index, why) in Unusable::ALL.into_iter().enumerate() {
            assert_eq!(why as usize, index);
        }
    }
}
