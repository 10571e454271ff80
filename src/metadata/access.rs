//! Who may use a VG: the only part of its text that says whether its PVs come online.

use super::string;
use crate::text::Section;

/// Who may use a VG.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// The only host that may.
    pub system_id: Option<Vec<u8>>,
    /// The lock manager that says who may, such as `sanlock`; `clvm` also for `CLUSTERED`.
    pub lock_type: Option<Vec<u8>>,
    /// Nobody may.
    pub exported: bool,
}

/// Why LVM lets a VG alone when its PVs come online.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    Exported,
    Foreign,
    Shared,
}

impl Kept {
    pub fn as_str(self) -> &'static str {
        match self {
            Kept::Exported => "exported",
            Kept::Foreign => "foreign",
            Kept::Shared => "shared",
        }
    }
}

/// What lvm2's `is_lockd_type` knows, and what it makes of `CLUSTERED`.
const LOCK_MANAGERS: [&[u8]; 4] = [b"dlm", b"sanlock", b"idm", CLVM];
const CLVM: &[u8] = b"clvm";

impl Access {
    pub(super) fn read(vg: &Section) -> Access {
        let has = |flag: &[u8]| vg.value("status").is_some_and(|status| status.strings().any(|other| other == flag));
        let text = |key: &str| string(vg, key).filter(|value| !value.is_empty()).map(<[u8]>::to_vec);
        Access {
            system_id: text("system_id"),
            lock_type: text("lock_type").or_else(|| has(b"CLUSTERED").then(|| CLVM.to_vec())),
            exported: has(b"EXPORTED"),
        }
    }

    /// To a host with this system ID. One without has no VG that is foreign to it.
    pub fn kept_from(&self, system_id: Option<&[u8]>) -> Option<Kept> {
        let is_foreign = |own: &[u8]| self.system_id.as_deref().is_some_and(|theirs| theirs != own);
        if self.lock_type.as_deref().is_some_and(|lock_type| LOCK_MANAGERS.contains(&lock_type)) {
            Some(Kept::Shared)
        } else if system_id.is_some_and(is_foreign) {
            Some(Kept::Foreign)
        } else if self.exported {
            Some(Kept::Exported)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::parse;

    #[test]
    fn pvscan_lets_these_alone() {
        for (vg, local, expected) in [
            ("status=[\"RESIZEABLE\"]", Some("us"), None),
            ("status=[\"RESIZEABLE\", \"EXPORTED\"]", None, Some(Kept::Exported)),
            ("status=\"EXPORTED\"", None, Some(Kept::Exported)),
            ("system_id=\"us\"", Some("us"), None),
            ("system_id=\"them\"", Some("us"), Some(Kept::Foreign)),
            ("system_id=\"them\"", None, None),
            ("system_id=\"\"", Some("us"), None),
            ("lock_type=\"sanlock\"", None, Some(Kept::Shared)),
            ("lock_type=\"dlm\" status=[\"EXPORTED\"]", None, Some(Kept::Shared)),
            ("lock_type=\"none\"", None, None),
            ("status=[\"CLUSTERED\"]", None, Some(Kept::Shared)),
        ] {
            let access = Access::read(&parse(vg.as_bytes()).unwrap());
            assert_eq!(access.kept_from(local.map(str::as_bytes)), expected, "{vg} {local:?}");
        }
    }
}
