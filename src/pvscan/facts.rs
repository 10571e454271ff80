//! What a device has turned out to be, whoever has read it: the daemon, or the command itself.

use crate::devno::DevNo;
use crate::id::Id;
use crate::metadata::{VgText, visible_lvs};
use crate::scan;
use crate::text;

/// What is behind a device's name or numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// There is no such device.
    Gone,
    /// A rule keeps it from being read: the rule, in LVM's words where it has some.
    Excluded(String),
    /// It could not be read: the reason.
    Unreadable(String),
    NotAPv,
    Pv(Box<Pv>),
}

/// A PV, as far as coming online is concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pv {
    pub devno: DevNo,
    /// Below `/dev/`.
    pub device: String,
    pub pvid: Id,
    /// False if its header says that no VG uses it; `None` if its header cannot say.
    pub used: Option<bool>,
    /// Of the VG that its own text names.
    pub vg: Option<Vg>,
    /// Of the VG that lists it, if it has no text itself and the daemon knows one.
    pub listed_by: Option<Vg>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vg {
    pub name: Vec<u8>,
    pub vgid: Id,
    /// In the order of the text.
    pub pvids: Vec<Id>,
    pub system_id: Option<Vec<u8>>,
    /// `lock_type`, such as `sanlock`.
    pub lock_type: Option<Vec<u8>>,
    pub exported: bool,
    /// Only where somebody asked for them.
    pub lvs: Vec<Lv>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lv {
    pub name: Vec<u8>,
    /// The PVs that it lies on.
    pub pvids: Vec<Id>,
}

impl Pv {
    /// What a scan has found, as far as this device alone tells.
    pub fn of_scan(scanned: &scan::Pv, devno: DevNo, device: String, lvs: bool) -> Pv {
        Pv {
            devno,
            device,
            pvid: scanned.id,
            used: scanned.knows_use().then(|| scanned.is_in_use()),
            vg: scanned.metadata_to_serve().and_then(|vg| Vg::of_text(vg, lvs)),
            listed_by: None,
        }
    }
}

impl Vg {
    /// `None` for what no VG's text can be.
    pub fn of_text(vg: &VgText, lvs: bool) -> Option<Vg> {
        let section = text::parse(&vg.body).ok()?;
        let lvs = if lvs { visible_lvs(&section) } else { Vec::new() };
        Some(Vg {
            name: vg.name.clone(),
            vgid: vg.vgid,
            pvids: vg.pvids.clone(),
            system_id: section.str("system_id").map(<[u8]>::to_vec),
            lock_type: section.str("lock_type").map(<[u8]>::to_vec),
            exported: section.value("status").is_some_and(|status| status.strings().any(|flag| flag == b"EXPORTED")),
            lvs: lvs.into_iter().map(|(name, pvids)| Lv { name, pvids }).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ondisk::image;

    #[test]
    fn a_text_says_whose_the_vg_is() {
        let read = |more: &str| {
            let text =
                String::from_utf8(image::vg_text("vg0", Id([b'v'; 32]), 3, &[(Id([b'a'; 32]), 4 << 20)])).unwrap();
            let text = text.replacen("seqno", &format!("{more}\nseqno"), 1);
            let text =
                if more.is_empty() { text } else { text.replacen("\"RESIZEABLE\"", "\"RESIZEABLE\", \"EXPORTED\"", 1) };
            Vg::of_text(&VgText::parse(text.as_bytes().into()).unwrap(), true).unwrap()
        };
        let plain = read("");
        assert_eq!((plain.name.as_slice(), &plain.pvids[..]), (&b"vg0"[..], &[Id([b'a'; 32])][..]));
        assert_eq!((plain.system_id, plain.lock_type, plain.exported, plain.lvs), (None, None, false, vec![]));
        let other = read("system_id=\"host\" lock_type=\"sanlock\"");
        let expected = (Some(b"host".to_vec()), Some(b"sanlock".to_vec()), true);
        assert_eq!((other.system_id, other.lock_type, other.exported), expected);
        assert_eq!(read("system_id=\"\"").system_id, None);
    }
}
