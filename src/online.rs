//! LVM's run files: which PVs and VGs have come online since the host was booted.
//!
//! | file in the run directory | content | meaning |
//! |---|---|---|
//! | `pvs_online/PVID` | `M:m`, then `vg:NAME` if its own text names one, then `dev:/dev/NAME`, a line each | the PV is there, on that device |
//! | `pvs_lookup/VG` | one PVID a line, in the order of the text | the PVs of a VG that has more than one |
//! | `vgs_online/VG` | nothing | the VG was complete, and somebody was told to activate it |
//!
//! PVIDs stand without hyphens. Format and rules are those of `lib/device/online.c` in lvm2.
//! `vgchange -aay --autoactivation event VG` opens the devices that these files name and no others.

#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects, clippy::expect_used, clippy::indexing_slicing))]

use crate::devno::DevNo;
use crate::id::Id;
use crate::metadata::is_valid_name;

/// LVM reads no more of a file in `pvs_online`.
const PV_ONLINE_MAX: usize = 511;

/// What `pvs_online/PVID` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PvOnline {
    pub devno: DevNo,
    /// The VG that the PV's own text names.
    pub vg: Option<Vec<u8>>,
    /// Below `/dev/`.
    pub device: Option<String>,
}

/// What `pvs_lookup/VG` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lookup {
    pub vg: Vec<u8>,
    /// In the order of the text.
    pub pvids: Vec<Id>,
}

/// What came of creating a file that only one can create.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    Made,
    /// It is there, and for the same device.
    Held,
    /// It is there for another.
    Taken(PvOnline),
}

/// What came of having LVM's hints made anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hints {
    Invalidated,
    /// A command makes new ones at this moment, perhaps of what it saw before the change, and will
    /// take our word for an older one: say it again when it is done.
    InTheMaking,
}

/// The run directory, as the rules see it.
///
/// Nobody who reads sees half a file; of two that create one, one wins. A PVID has to be regular
/// ([`Id::is_regular`]) and a VG's name one that LVM allows; others are refused.
pub trait RunFiles {
    type Error;

    /// Creates `pvs_online/PVID`. One that is there and says nothing is nobody's: it is replaced.
    fn claim_pv(&mut self, pvid: Id, online: &PvOnline) -> Result<Claim, Self::Error>;
    /// Creates it, or puts it in the place of what is there.
    fn replace_pv(&mut self, pvid: Id, online: &PvOnline) -> Result<(), Self::Error>;
    /// `None` also for one that says nothing.
    fn pv(&self, pvid: Id) -> Result<Option<PvOnline>, Self::Error>;
    /// Whether there is one, whatever it says: that costs less to find out.
    fn has_pv(&self, pvid: Id) -> Result<bool, Self::Error>;
    /// All that name a PVID. `None` for one that says nothing: to LVM that PV is online all the same.
    fn pvs(&self) -> Result<Vec<(Id, Option<PvOnline>)>, Self::Error>;
    fn remove_pv(&mut self, pvid: Id) -> Result<(), Self::Error>;

    /// Creates `vgs_online/VG`: true for the one who did.
    fn claim_vg(&mut self, vg: &[u8]) -> Result<bool, Self::Error>;
    fn vgs(&self) -> Result<Vec<Vec<u8>>, Self::Error>;
    fn remove_vg(&mut self, vg: &[u8]) -> Result<(), Self::Error>;

    /// Creates `pvs_lookup/VG` unless it is there: true for the one who did.
    fn claim_lookup(&mut self, lookup: &Lookup) -> Result<bool, Self::Error>;
    /// Creates it, or puts it in the place of what is there.
    fn replace_lookup(&mut self, lookup: &Lookup) -> Result<(), Self::Error>;
    fn lookups(&self) -> Result<Vec<Lookup>, Self::Error>;
    fn remove_lookup(&mut self, vg: &[u8]) -> Result<(), Self::Error>;

    /// Has the next command that wants LVM's hints make them anew, as `pvscan --cache DEV` does.
    /// Does not wait for whoever has them locked.
    fn invalidate_hints(&mut self) -> Result<Hints, Self::Error>;
}

/// What is to be changed in the run directory, whatever is there by now: other commands make and
/// remove the same files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    Pv(Id, PvOnline),
    PvGone(Id),
    Lookup(Lookup),
    LookupGone(Vec<u8>),
    VgOffline(Vec<u8>),
    /// If the VG was online, it is by its new name.
    VgRenamed {
        from: Vec<u8>,
        to: Vec<u8>,
    },
}

impl Change {
    pub fn make<F: RunFiles>(&self, files: &mut F) -> Result<(), F::Error> {
        match self {
            Change::Pv(pvid, online) => match files.claim_pv(*pvid, online)? {
                Claim::Made => Ok(()),
                Claim::Held if files.pv(*pvid)?.as_ref() == Some(online) => Ok(()),
                Claim::Held | Claim::Taken(_) => files.replace_pv(*pvid, online),
            },
            Change::PvGone(pvid) => files.remove_pv(*pvid),
            Change::Lookup(lookup) => files.replace_lookup(lookup),
            Change::LookupGone(vg) => files.remove_lookup(vg),
            Change::VgOffline(vg) => files.remove_vg(vg),
            Change::VgRenamed { from, to } => {
                if files.vgs()?.contains(from) {
                    files.claim_vg(to)?;
                    files.remove_vg(from)?;
                }
                Ok(())
            }
        }
    }
}

/// What there is in the run directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    pub pvs: Vec<(Id, Option<PvOnline>)>,
    pub vgs: Vec<Vec<u8>>,
    pub lookups: Vec<Lookup>,
}

impl Listing {
    pub fn read<F: RunFiles>(files: &F) -> Result<Listing, F::Error> {
        Ok(Listing { pvs: files.pvs()?, vgs: files.vgs()?, lookups: files.lookups()? })
    }
}

impl PvOnline {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = format!("{}\n", self.devno).into_bytes();
        if let Some(vg) = &self.vg {
            out.extend_from_slice(b"vg:");
            out.extend_from_slice(vg);
            out.push(b'\n');
        }
        if let Some(device) = &self.device {
            out.extend_from_slice(format!("dev:{device}\n").as_bytes());
        }
        out
    }

    /// Reads a file as LVM does: numbers at the beginning, the rest wherever it stands, and what can
    /// be no name of a VG for none.
    pub fn parse(bytes: &[u8]) -> Option<PvOnline> {
        let bytes = bytes.get(..PV_ONLINE_MAX).unwrap_or(bytes);
        let mut lines = bytes.split(|byte| *byte == b'\n');
        let devno = DevNo::parse(std::str::from_utf8(lines.next()?).ok()?.trim())?;
        let named = |prefix: &[u8]| bytes.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(prefix));
        let device = named(b"dev:").and_then(|device| String::from_utf8(device.to_vec()).ok());
        Some(PvOnline {
            devno,
            vg: named(b"vg:").filter(|vg| is_valid_name(vg)).map(<[u8]>::to_vec),
            device: device.filter(|device| device.starts_with("/dev/")),
        })
    }
}

/// `pvs_lookup/VG`.
pub fn encode_lookup(pvids: &[Id]) -> Vec<u8> {
    pvids.iter().flat_map(|pvid| pvid.0.into_iter().chain([b'\n'])).collect()
}

/// Lines that are no PVID are left out.
pub fn parse_lookup(bytes: &[u8]) -> Vec<Id> {
    let regular = |line: &[u8]| Some(Id(line.try_into().ok()?)).filter(Id::is_regular);
    bytes.split(|byte| *byte == b'\n').filter_map(regular).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PVID: Id = Id(*b"GpJ7WNyKiuO8xEG1iJyQdO4DYSCGa4HS");

    #[test]
    fn a_pv_is_written_as_lvm_writes_it() {
        let full = PvOnline { devno: DevNo::new(7, 1), vg: Some(b"vg0".into()), device: Some("/dev/loop1".into()) };
        assert_eq!(full.encode(), b"7:1\nvg:vg0\ndev:/dev/loop1\n");
        let bare = PvOnline { vg: None, ..full.clone() };
        assert_eq!(bare.encode(), b"7:1\ndev:/dev/loop1\n");
        for online in [full, bare] {
            assert_eq!(PvOnline::parse(&online.encode()), Some(online));
        }
    }

    #[test]
    fn what_others_wrote_is_read_as_lvm_reads_it() {
        let numbers = PvOnline { devno: DevNo::new(253, 70), vg: None, device: None };
        assert_eq!(PvOnline::parse(b"253:70"), Some(numbers.clone()));
        for bytes in [&b"253:70\nvg:\ndev:sda\nmore\n"[..], b"253:70\nvg:../x\n", b"253:70\nvg:a b\n"] {
            assert_eq!(PvOnline::parse(bytes), Some(numbers.clone()), "{}", bytes.escape_ascii());
        }
        for bytes in [&b""[..], b"\n7:1\n", b"7\n", b"x:1\n", b"\xff\n"] {
            assert_eq!(PvOnline::parse(bytes), None, "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn a_lookup_is_a_pvid_a_line() {
        assert_eq!(encode_lookup(&[PVID, PVID]).len(), 66);
        assert_eq!(parse_lookup(&encode_lookup(&[PVID])), [PVID]);
        assert_eq!(parse_lookup(b"short\n\nGpJ7WNyKiuO8xEG1iJyQdO4DYSCGa4H/\n"), []);
    }
}
