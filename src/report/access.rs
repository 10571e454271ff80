//! Which VGs a report leaves out, and what LVM says of that.

use super::inventory::Host;
use super::model::Vg;

/// Why a VG is not looked into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Barred {
    /// It is another host's.
    Foreign,
    /// It needs LVM's lock daemon.
    Shared,
    /// It needs the cluster manager that LVM once had, whatever is asked for.
    Clustered,
    /// Its LVs are not for this host.
    Exported,
}

/// Who asks.
#[derive(Clone, Copy, Debug, Default)]
pub struct Access {
    pub foreign: bool,
    pub shared: bool,
    /// LVs are processed, which those of an exported VG are not.
    pub is_of_lvs: bool,
}

/// Whether it is no other host's.
pub fn is_own(vg: &Vg, system_id: Option<&str>) -> bool {
    vg.system_id.is_empty() || system_id.is_some_and(|own| own.as_bytes() == &*vg.system_id)
}

pub fn barred(vg: &Vg, host: &Host, access: Access) -> Option<Barred> {
    let is_own = is_own(vg, host.system_id.as_deref());
    if has_status(vg, "CLUSTERED") {
        Some(Barred::Clustered)
    } else if !is_own && !access.foreign {
        Some(Barred::Foreign)
    } else if matches!(&*vg.lock_type, b"sanlock" | b"dlm" | b"idm") && !access.shared {
        Some(Barred::Shared)
    } else if access.is_of_lvs && is_exported(vg) {
        Some(Barred::Exported)
    } else {
        None
    }
}

pub fn is_exported(vg: &Vg) -> bool {
    has_status(vg, "EXPORTED")
}

fn has_status(vg: &Vg, wanted: &str) -> bool {
    vg.status.iter().any(|flag| flag == wanted)
}

/// The lines for a VG, which was named or came along. That a VG is foreign is said when it was named;
/// a host without a system ID says it of each VG it comes to as well.
pub fn lines(barred: Barred, vg: &Vg, host: &Host, is_named: bool) -> Vec<String> {
    let name = super::names::show(&vg.name);
    match barred {
        Barred::Foreign => {
            let own = host.system_id.as_ref().filter(|own| !own.is_empty());
            let local = match own {
                Some(local) => format!("local system ID {local}"),
                None => "unknown local system ID".to_owned(),
            };
            let id = super::names::show(&vg.system_id);
            let line = format!("Cannot access VG {name} with system ID {id} with {local}.");
            vec![line; usize::from(own.is_none()) + usize::from(is_named)]
        }
        Barred::Shared if is_named => {
            let kind = super::names::show(&vg.lock_type);
            vec![format!("Cannot access VG {name} with lock type {kind} that requires lvmlockd.")]
        }
        Barred::Clustered => vec![
            format!("{} clustered VG {name}.", if is_named { "Cannot access" } else { "Skipping" }),
            "See lvmlockd(8) for changing a clvm/clustered VG to a shared VG.".to_owned(),
        ],
        Barred::Exported if is_named => vec![format!("Volume group {name} is exported")],
        Barred::Shared | Barred::Exported => Vec::new(),
    }
}

/// With `-v`, of a VG that was not named.
pub fn skip_line(barred: Barred, vg: &Vg) -> Option<String> {
    let name = super::names::show(&vg.name);
    match barred {
        Barred::Foreign => Some(format!("Skipping foreign volume group {name}")),
        Barred::Shared => Some(format!("Skipping volume group {name}")),
        Barred::Clustered | Barred::Exported => None,
    }
}

/// Of a PV that was named.
pub fn pv_line(barred: Barred, vg: &Vg, path: &str) -> Option<String> {
    let name = super::names::show(&vg.name);
    match barred {
        Barred::Foreign => Some(format!("Cannot use PV {path} in foreign VG {name}.")),
        Barred::Shared => Some(format!("Cannot use PV {path} in shared VG {name}.")),
        Barred::Clustered | Barred::Exported => None,
    }
}
