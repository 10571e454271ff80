//! What happened, for the log: one line each, always with the device, then the PVID.

use super::device::Reason;
use crate::id::Id;
use crate::scan::Finding;
use std::fmt;
use std::time::Duration;

use super::{Because, Difference, Watcher};
use crate::activation::{Outcome, Rule};
use crate::devno::DevNo;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    Warn,
    Info,
    Debug,
}

/// Device names are paths or `MAJOR:MINOR`; PVIDs and names are as they came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    Found {
        device: String,
        pvid: Vec<u8>,
        vg: Option<Vec<u8>>,
    },
    Gone {
        device: String,
        pvid: Vec<u8>,
    },
    Duplicate {
        device: String,
        pvid: Vec<u8>,
        other: String,
        because: Because,
    },
    /// To the disk that the PV is on.
    OtherPath {
        device: String,
        pvid: Vec<u8>,
        other: String,
    },
    /// Nothing tells which of these devices is the right one.
    Ambiguous {
        pvid: Vec<u8>,
        devices: Vec<String>,
        differs: String,
    },
    Outdated {
        device: String,
        pvid: Vec<u8>,
        vgid: Id,
    },
    Quarantined {
        device: String,
        pvid: Option<Vec<u8>>,
        reason: Reason,
    },
    Recovered {
        device: String,
        pvid: Option<Vec<u8>>,
    },
    Finding {
        device: String,
        pvid: Option<Vec<u8>>,
        finding: Finding,
    },
    /// It changes again and again, and is read less often from now on.
    Flapping {
        device: String,
        pvid: Option<Vec<u8>>,
    },
    /// It flaps no more.
    Calm {
        device: String,
        pvid: Option<Vec<u8>>,
        changes: u64,
        reads: u64,
        lasted: Duration,
    },
    Vg {
        name: Vec<u8>,
        vgid: Id,
        seqno: i64,
        pvs: usize,
        missing: Vec<Vec<u8>>,
    },
    VgGone {
        vgid: Id,
    },
    Lost {
        what: &'static str,
    },
    Resync {
        devices: usize,
    },
    /// The run files may not be what they should; what could not be done, and why.
    RunFilesWrong {
        error: String,
    },
    RunFilesRight,
    Scanned {
        devices: usize,
        pvs: usize,
        quarantined: usize,
        pending: usize,
    },
    /// As this unit, or this process.
    Activating {
        vg: Vec<u8>,
        by: String,
    },
    Activated {
        vg: Vec<u8>,
        took: Duration,
    },
    ActivationFailed {
        vg: Vec<u8>,
        by: Option<String>,
        outcome: Outcome,
    },
    /// The VG is whole, and this rule keeps it from being activated.
    NotActivated {
        vg: Vec<u8>,
        rule: Rule,
    },
    /// It is to be activated, and that cannot be written down, or does not start.
    NotOffered {
        vg: Vec<u8>,
        error: String,
    },
    /// `vgs_online` has it already.
    LeftToAnother {
        vg: Vec<u8>,
    },
    WouldActivate {
        vg: Vec<u8>,
    },
    Differs {
        vg: Vec<u8>,
        difference: Difference,
    },
}

impl Report {
    pub fn level(&self) -> Level {
        match self {
            Report::Duplicate { .. } | Report::Ambiguous { .. } => Level::Warn,
            Report::Outdated { .. } | Report::Quarantined { .. } | Report::Flapping { .. } => Level::Warn,
            Report::Finding { .. } | Report::Lost { .. } | Report::RunFilesWrong { .. } => Level::Warn,
            Report::Found { .. } | Report::Gone { .. } | Report::Recovered { .. } => Level::Info,
            Report::OtherPath { .. } | Report::RunFilesRight | Report::Calm { .. } => Level::Info,
            Report::Vg { .. } | Report::VgGone { .. } | Report::Scanned { .. } => Level::Info,
            Report::Resync { .. } => Level::Debug,
            Report::ActivationFailed { .. } | Report::NotOffered { .. } => Level::Warn,
            Report::Activating { .. } | Report::Activated { .. } | Report::NotActivated { .. } => Level::Info,
            Report::LeftToAnother { .. } | Report::WouldActivate { .. } | Report::Differs { .. } => Level::Info,
        }
    }
}

impl Report {
    /// What may be reported again and again: of which kind it is, and what it is about.
    pub(super) fn repeatable(&self) -> Option<(&'static str, Vec<u8>)> {
        let (kind, about) = match self {
            Report::Found { device, .. } => ("found", device.as_bytes()),
            Report::Gone { device, .. } => ("gone", device.as_bytes()),
            Report::Duplicate { device, .. } => ("duplicate", device.as_bytes()),
            Report::OtherPath { device, .. } => ("path", device.as_bytes()),
            Report::Ambiguous { pvid, .. } => ("ambiguous", &pvid[..]),
            Report::Outdated { device, .. } => ("outdated", device.as_bytes()),
            Report::Quarantined { device, .. } => ("quarantined", device.as_bytes()),
            Report::Recovered { device, .. } => ("recovered", device.as_bytes()),
            Report::Finding { device, finding, .. } => (finding.code.as_str(), device.as_bytes()),
            Report::Vg { vgid, .. } => ("vg", &vgid.0[..]),
            Report::VgGone { vgid } => ("vg gone", &vgid.0[..]),
            Report::Lost { what } => ("lost", what.as_bytes()),
            Report::Resync { .. } => ("resync", &b""[..]),
            Report::RunFilesWrong { .. } => ("run files", &b""[..]),
            Report::RunFilesRight => ("run files right", &b""[..]),
            Report::Flapping { .. } | Report::Calm { .. } | Report::Scanned { .. } => return None,
            Report::Activating { .. } | Report::Activated { .. } | Report::ActivationFailed { .. } => return None,
            Report::NotActivated { .. } | Report::NotOffered { .. } | Report::LeftToAnother { .. } => return None,
            Report::WouldActivate { .. } | Report::Differs { .. } => return None,
        };
        Some((kind, about.to_vec()))
    }
}

struct Pvid<'a>(&'a Option<Vec<u8>>);

impl fmt::Display for Pvid<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(pvid) => write!(f, "{}", pvid.escape_ascii()),
            None => f.write_str("no PV"),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Report::Found { device, pvid, vg } => {
                write!(f, "{device} {}: PV found", pvid.escape_ascii())?;
                match vg {
                    Some(vg) => write!(f, ", VG {}", vg.escape_ascii()),
                    None => f.write_str(", in no VG"),
                }
            }
            Report::Gone { device, pvid } => write!(f, "{device} {}: PV gone", pvid.escape_ascii()),
            Report::Duplicate { device, pvid, other, because } => {
                write!(f, "{device} {}: duplicate, the PV is on {other}, because {because}", pvid.escape_ascii())
            }
            Report::OtherPath { device, pvid, other } => {
                write!(f, "{device} {}: another path to {other}", pvid.escape_ascii())
            }
            Report::Ambiguous { pvid, devices, differs } => {
                let (devices, pvid) = (devices.join(" and "), pvid.escape_ascii());
                write!(f, "{devices} {pvid}: ambiguous, they differ: {differs}; the PV is used on none of them")
            }
            Report::Outdated { device, pvid, vgid } => {
                write!(f, "{device} {}: holds outdated metadata of VG {vgid}", pvid.escape_ascii())
            }
            Report::Quarantined { device, pvid, reason } => write!(f, "{device} {}: quarantined, {reason}", Pvid(pvid)),
            Report::Recovered { device, pvid } => write!(f, "{device} {}: readable again", Pvid(pvid)),
            Report::Finding { device, pvid, finding } => {
                write!(f, "{device} {}: {}: {}", Pvid(pvid), finding.code.as_str(), finding.detail)
            }
            Report::Flapping { device, pvid } => {
                write!(f, "{device} {}: it changes again and again, and is read less often", Pvid(pvid))
            }
            Report::Calm { device, pvid, changes, reads, lasted } => {
                let (pvid, seconds) = (Pvid(pvid), lasted.as_secs_f64());
                write!(f, "{device} {pvid}: calm again, after {changes} changes in {seconds:.1} s and {reads} reads")
            }
            Report::Vg { name, vgid, seqno, pvs, missing } => {
                write!(f, "VG {} {vgid}: seqno {seqno}, ", name.escape_ascii())?;
                match &missing[..] {
                    [] if *pvs == 1 => f.write_str("complete with 1 PV"),
                    [] => write!(f, "complete with {pvs} PVs"),
                    missing => {
                        let names = missing.iter().map(|pvid| pvid.escape_ascii().to_string()).collect::<Vec<_>>();
                        write!(f, "partial, {} of {pvs} PVs missing: {}", missing.len(), names.join(" "))
                    }
                }
            }
            Report::VgGone { vgid } => write!(f, "VG {vgid}: gone"),
            Report::Lost { what } => write!(f, "{what} lost, looking at all devices again"),
            Report::RunFilesWrong { error } => write!(f, "run files: {error}; it will be tried again"),
            Report::RunFilesRight => write!(f, "run files: all are written again"),
            Report::Resync { devices } => write!(f, "resync: {devices} devices present"),
            Report::Scanned { devices, pvs, quarantined, pending } => {
                write!(f, "scanned: {devices} devices, {pvs} PVs, {quarantined} quarantined, {pending} not read yet")
            }
            Report::Activating { vg, by } => write!(f, "VG {}: activation started ({by})", vg.escape_ascii()),
            Report::Activated { vg, took } => {
                write!(f, "VG {}: activated in {:.1} s", vg.escape_ascii(), took.as_secs_f64())
            }
            Report::ActivationFailed { vg, by, outcome } => {
                write!(f, "VG {}: activation failed: {outcome}", vg.escape_ascii())?;
                if let Some(by) = by {
                    write!(f, " ({by})")?;
                }
                outcome.output().map_or(Ok(()), |output| write!(f, ": {}", output.escape_debug()))
            }
            Report::NotActivated { vg, rule } => write!(f, "VG {}: not activated: {rule}", vg.escape_ascii()),
            Report::NotOffered { vg, error } => {
                write!(f, "VG {}: cannot be activated yet: {error}; it will be tried again", vg.escape_ascii())
            }
            Report::LeftToAnother { vg } => {
                write!(f, "VG {}: somebody else was told to activate it", vg.escape_ascii())
            }
            Report::WouldActivate { vg } => write!(f, "VG {}: would be activated", vg.escape_ascii()),
            Report::Differs { vg, difference } => write!(f, "VG {}: {difference}", vg.escape_ascii()),
        }
    }
}

impl Watcher {
    /// How a report names a device, and the PVID last known on it.
    pub(super) fn name_of(&self, devno: DevNo) -> (String, Option<Vec<u8>>) {
        let device = self.devices.get(&devno);
        let name = device.map_or_else(|| devno.to_string(), super::Device::path);
        let cached = || self.cache.pvid_on(devno.to_wire()).map(|pvid| pvid.to_vec());
        (name, device.and_then(|device| device.pv()).map(|pv| pv.id.hyphenated()).or_else(cached))
    }
}
