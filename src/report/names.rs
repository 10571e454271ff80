//! The names on a command line: VGs, LVs, PVs and tags, and what LVM says of those that are not there.

use super::inventory::{Device, Named, NamedDevice, Present, VgItem};
use super::model::lvs::Lvs;
use crate::bytes::Bytes;
use crate::devno::DevNo;

/// What the names may be of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    Vgs,
    Lvs,
    Pvs,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    pub vgs: Vec<VgName>,
    pub pvs: Vec<PvName>,
    pub tags: Vec<Vec<u8>>,
    /// What LVM says of names before it looks for anything.
    pub complaints: Vec<String>,
    /// The exit status, if nothing is looked for.
    pub fatal: Option<u8>,
    /// Devices were given that are none, or are not used.
    pub has_missed: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VgName {
    pub name: Vec<u8>,
    /// These of its LVs; if there are none, all.
    pub lvs: Vec<LvName>,
    /// The VG itself was named.
    pub is_whole: bool,
    pub is_found: bool,
    /// Several VGs of this host have it.
    pub has_twins: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LvName {
    pub name: Vec<u8>,
    pub is_found: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PvName {
    pub text: Vec<u8>,
    /// The device that it leads to.
    pub devno: Option<DevNo>,
    /// There is such a device, and it is used.
    pub is_device: bool,
    /// Why there is one and it is not.
    pub reason: Option<String>,
    pub is_found: bool,
}

pub const FAILED: u8 = 5;
pub const USAGE: u8 = 3;

const DEV: &[u8] = b"/dev/";
const MAPPER: &[u8] = b"/dev/mapper/";

impl PvName {
    pub fn is_of(&self, device: &Device) -> bool {
        self.text == device.path.as_bytes() || self.devno == Some(device.devno)
    }

    pub fn to_device(&self) -> NamedDevice {
        NamedDevice { path: self.text.as_slice().into(), devno: self.devno }
    }
}

impl Names {
    /// `devno` tells which device a path leads to.
    pub fn parse(words: &[Vec<u8>], of: Of, devno: impl Fn(&[u8]) -> Option<DevNo>) -> Names {
        let mut names = Names::default();
        for word in words {
            match (word.as_slice(), of) {
                ([b'@', tag @ ..], of) => names.add_tag(tag, of),
                (word, Of::Pvs) => {
                    if !names.pvs.iter().any(|pv| pv.text == word) {
                        names.pvs.push(PvName {
                            text: word.to_vec(),
                            devno: devno(word),
                            is_device: false,
                            reason: None,
                            is_found: false,
                        });
                    }
                }
                (word, Of::Vgs) => {
                    let name = word.strip_prefix(DEV).unwrap_or(word);
                    if name.contains(&b'/') {
                        names.complaints.push(format!("Invalid volume group name {}.", show(name)));
                        names.fatal = Some(USAGE);
                    } else {
                        names.add_vg(name, None);
                    }
                }
                (word, Of::Lvs) => names.add_lv(word),
            }
        }
        names
    }

    pub fn has_tag(&self, tags: &[Bytes]) -> bool {
        tags.iter().any(|tag| self.tags.contains(&tag.0))
    }

    pub fn has_path(&self, device: &Device) -> bool {
        self.pvs.iter().any(|pv| pv.is_of(device))
    }

    pub fn takes_pv(&self, present: &Present) -> bool {
        self.has_path(&present.device)
    }

    /// The PV on it was found.
    pub fn note_path(&mut self, device: &Device) {
        for pv in self.pvs.iter_mut().filter(|pv| pv.is_of(device)) {
            pv.is_found = true;
        }
    }

    /// It is there.
    pub fn note_device(&mut self, named: Named) {
        if let Some(pv) = self.pvs.get_mut(named.at) {
            pv.devno = Some(named.devno);
            pv.is_device = named.reason.is_none();
            pv.reason = named.reason;
        }
    }

    /// The LVs of the VG were found.
    pub fn note_lvs(&mut self, vg: &VgItem, lvs: Option<&Lvs>) {
        let Some(named) = self.vgs.iter_mut().find(|named| named.name == *vg.vg.name) else { return };
        for lv in &mut named.lvs {
            lv.is_found |= lvs.is_some_and(|lvs| lvs.all.iter().any(|known| known.name == lv.name));
        }
    }

    /// PVs were named, nothing else, and all of them that are there were found.
    pub fn has_all_pvs(&self) -> bool {
        let is_named = (!self.pvs.is_empty() || self.has_missed) && self.tags.is_empty();
        is_named && self.pvs.iter().all(|pv| pv.is_found)
    }

    pub fn is_empty(&self) -> bool {
        self.vgs.is_empty() && self.pvs.is_empty() && self.tags.is_empty() && !self.has_missed
    }

    fn add_tag(&mut self, tag: &[u8], of: Of) {
        let is_valid = |byte: &u8| byte.is_ascii_alphanumeric() || b"_+.-/=!:#&".contains(byte);
        if tag.is_empty() || tag.len() > TAG_MAX || !tag.iter().all(is_valid) || tag[0] == b'-' {
            let tag = show(tag);
            self.complaints.push(match of {
                Of::Vgs => format!("Skipping invalid tag: @{tag}"),
                Of::Lvs => format!("Skipping invalid tag @{tag}."),
                Of::Pvs => format!("Skipping invalid tag {tag}."),
            });
            if of != Of::Lvs {
                self.fatal = Some(USAGE);
            }
        } else if !self.tags.iter().any(|known| known == tag) {
            self.tags.push(tag.to_vec());
        }
    }

    fn add_lv(&mut self, word: &[u8]) {
        let split = match word.strip_prefix(MAPPER) {
            Some(mapped) => split_mapped(mapped),
            None => {
                let name = word.strip_prefix(DEV).unwrap_or(word);
                let mut parts = name.splitn(2, |&byte| byte == b'/');
                let vg = parts.next().unwrap_or_default();
                let lv = parts.next();
                let is_path = vg.is_empty() && lv.is_some() || lv.is_some_and(|lv| lv.contains(&b'/'));
                (!is_path).then(|| (vg.to_vec(), lv.map(<[u8]>::to_vec)))
            }
        };
        match split {
            Some((vg, lv)) => self.add_vg(&vg, lv.as_deref()),
            None => {
                self.complaints.push(format!("\"{}\": Invalid path for Logical Volume.", show(word)));
                self.fatal = Some(FAILED);
            }
        }
    }

    fn add_vg(&mut self, name: &[u8], lv: Option<&[u8]>) {
        let at = match self.vgs.iter().position(|vg| vg.name == name) {
            Some(at) => at,
            None => {
                let vg =
                    VgName { name: name.to_vec(), lvs: Vec::new(), is_whole: false, is_found: false, has_twins: false };
                self.vgs.push(vg);
                self.vgs.len() - 1
            }
        };
        let vg = &mut self.vgs[at];
        match lv {
            None => vg.is_whole = true,
            Some(lv) if !vg.lvs.iter().any(|known| known.name == lv) => {
                vg.lvs.push(LvName { name: lv.to_vec(), is_found: false });
            }
            Some(_) => {}
        }
    }
}

const TAG_MAX: usize = 1024;

/// `vg-lv`, in which a `-` that is part of a name is doubled.
fn split_mapped(name: &[u8]) -> Option<(Vec<u8>, Option<Vec<u8>>)> {
    let mut parts = vec![Vec::new()];
    let mut bytes = name.iter().peekable();
    while let Some(&byte) = bytes.next() {
        if byte == b'-' && bytes.next_if(|&&next| next == b'-').is_none() {
            parts.push(Vec::new());
        } else if let Some(part) = parts.last_mut() {
            part.push(byte);
        }
    }
    let mut parts = parts.into_iter();
    Some((parts.next()?, Some(parts.next()?)))
}

pub fn show(name: &[u8]) -> String {
    String::from_utf8_lossy(name).escape_debug().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lvs(words: &[&str]) -> Names {
        let words = words.iter().map(|word| word.as_bytes().to_vec()).collect::<Vec<_>>();
        Names::parse(&words, Of::Lvs, |_| None)
    }

    fn check(word: &str, vg: &str, lv: Option<&str>) {
        let names = lvs(&[word]);
        let [named] = &names.vgs[..] else { panic!("{word}: {names:?}") };
        assert_eq!(named.name, vg.as_bytes(), "{word}");
        assert_eq!(named.lvs.first().map(|lv| &lv.name[..]), lv.map(str::as_bytes), "{word}");
        assert_eq!(named.is_whole, lv.is_none(), "{word}");
    }

    #[test]
    fn names_of_lvs_have_many_forms() {
        check("vg", "vg", None);
        check("/dev/vg", "vg", None);
        check("vg/lv", "vg", Some("lv"));
        check("/dev/vg/lv", "vg", Some("lv"));
        check("/dev/mapper/vg-lv", "vg", Some("lv"));
        check("/dev/mapper/v--g-l--v", "v-g", Some("l-v"));
        check("/dev/mapper/v---l", "v-", Some("l"));
    }

    #[test]
    fn names_that_are_none_are_told() {
        for (word, expected) in [
            ("/vg/lv", "\"/vg/lv\": Invalid path for Logical Volume."),
            ("vg/lv/x", "\"vg/lv/x\": Invalid path for Logical Volume."),
            ("@", "Skipping invalid tag @."),
        ] {
            assert_eq!(lvs(&[word]).complaints, [expected]);
        }
        let words = [b"@".to_vec(), b"vg/".to_vec(), b"vg".to_vec(), b"@a b".to_vec()];
        let names = Names::parse(&words, Of::Vgs, |_| None);
        assert_eq!(names.fatal, Some(USAGE));
        let expected = ["Skipping invalid tag: @", "Invalid volume group name vg/.", "Skipping invalid tag: @a b"];
        assert_eq!(names.complaints, expected);
        assert_eq!(Names::parse(&words[..1], Of::Pvs, |_| None).fatal, Some(USAGE));
        assert_eq!(lvs(&["@"]).fatal, None);
    }
}
