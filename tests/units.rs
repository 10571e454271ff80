//! The units of scripts/systemd, as `systemd-analyze verify` sees them. How they behave is for
//! tests/vm/systemd/units.rs.

#[path = "common/mod.rs"]
mod common;
// The helpers of the unit tests name `DevNo` as the library does.
use pvwatch::devno;

use common::testing::needs;
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

const UNITS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/systemd");
const ALIASES: [(&str, &str); 2] =
    [("pvwatch.service", "lvm2-lvmetad.service"), ("pvwatch.socket", "lvm2-lvmetad.socket")];

/// The units as they are when they are enabled, with our program.
fn enabled() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let wants = directory.path().join("sysinit.target.wants");
    fs::create_dir(&wants).unwrap();
    for (name, alias) in ALIASES {
        let text = fs::read_to_string(Path::new(UNITS).join(name)).unwrap();
        assert!(text.contains(&format!("\nAlias={alias}\n")) && text.contains("\nWantedBy=sysinit.target\n"), "{name}");
        let text = text.replace("/usr/sbin/pvwatchd", env!("CARGO_BIN_EXE_pvwatchd"));
        fs::write(directory.path().join(name), text).unwrap();
        symlink(name, directory.path().join(alias)).unwrap();
        symlink(Path::new("..").join(name), wants.join(name)).unwrap();
    }
    directory
}

/// What it finds wrong, in our units and in this machine's own.
fn verify(directory: &Path, unit: &str) -> io::Result<String> {
    // The colon at the end is for the machine's own units.
    let path = format!("{}:", directory.display());
    let run = Command::new("systemd-analyze")
        .args(["verify", "--man=no", unit])
        .env("SYSTEMD_UNIT_PATH", path)
        .env("SYSTEMD_LOG_LEVEL", "warning")
        .output()
        .map_err(|error| io::Error::new(error.kind(), format!("systemd-analyze: {error}")))?;
    let found = String::from_utf8_lossy(&run.stderr).into_owned();
    match run.status.success() || !found.is_empty() {
        true => Ok(found),
        false => Err(io::Error::other(format!("systemd-analyze verify: {}", run.status))),
    }
}

#[test]
fn the_units_are_clean_by_all_their_names() {
    let directory = enabled();
    for name in ALIASES.iter().flat_map(|(name, alias)| [name, alias]) {
        let Some(found) = needs("the_units_are_clean_by_all_their_names", verify(directory.path(), name)) else {
            return;
        };
        assert_eq!(found, "", "{name}");
    }
}

#[test]
fn the_boot_has_no_ordering_cycle() {
    let directory = enabled();
    // What lvm2's own units of 2.02 say.
    let early = "[Unit]\nDefaultDependencies=no\nRequires=lvm2-lvmetad.socket\n\
        After=lvm2-lvmetad.socket lvm2-lvmetad.service\nBefore=local-fs-pre.target\n[Service]\nExecStart=/bin/true\n";
    fs::write(directory.path().join("lvm2-activation-early.service"), early).unwrap();
    let wanted = "sysinit.target.wants/lvm2-activation-early.service";
    symlink("../lvm2-activation-early.service", directory.path().join(wanted)).unwrap();
    let cycle = || {
        let found = needs("the_boot_has_no_ordering_cycle", verify(directory.path(), "sysinit.target"))?;
        Some(found.to_lowercase().contains("ordering cycle"))
    };
    let Some(found) = cycle() else { return };
    assert!(!found);
    // It would be seen.
    fs::create_dir(directory.path().join("pvwatch.service.d")).unwrap();
    let late = "[Unit]\nAfter=local-fs.target\n";
    fs::write(directory.path().join("pvwatch.service.d/late.conf"), late).unwrap();
    assert_eq!(cycle(), Some(true));
}
