//! What `lvm.conf` says of activation: which part of which VG.

/// The settings that decide whether, and which part of, a VG is activated. What of a list is no
/// string, or an empty one, or `@` alone, is not in it: LVM says so and goes on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// `activation/auto_activation_volume_list`; `None`: all.
    pub auto_activation_volume_list: Option<Vec<Vec<u8>>>,
    /// `activation/volume_list`; `None`: all, or on a host that has tags, what has one of them.
    pub volume_list: Option<Vec<Vec<u8>>>,
    /// What `@*` in these stands for.
    pub host_tags: Vec<Vec<u8>>,
    /// `devices/allow_changes_with_duplicate_pvs`.
    pub allow_duplicates: bool,
}

/// By what an entry of a list names an LV.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names<'n> {
    pub vg: &'n [u8],
    pub lv: &'n [u8],
    /// Of the VG and of the LV.
    pub tags: Vec<&'n [u8]>,
}

impl Policy {
    /// Whether an LV may be activated by itself.
    pub fn auto_activates(&self, names: &Names) -> bool {
        self.auto_activation_volume_list.as_ref().is_none_or(|list| self.selects(list, names))
    }

    /// Whether it may be activated at all.
    pub fn activates(&self, names: &Names) -> bool {
        match &self.volume_list {
            Some(list) => self.selects(list, names),
            None => self.host_tags.is_empty() || self.has_host_tag(names),
        }
    }

    fn selects(&self, list: &[Vec<u8>], names: &Names) -> bool {
        list.iter().any(|entry| match entry.split_first() {
            Some((b'@', b"*")) => self.has_host_tag(names),
            Some((b'@', tag)) => !tag.is_empty() && names.tags.contains(&tag),
            _ => {
                let mut parts = entry.splitn(2, |&byte| byte == b'/');
                match (parts.next(), parts.next()) {
                    (Some(vg), Some(lv)) => *vg == *names.vg && *lv == *names.lv,
                    (_, _) => !entry.is_empty() && entry == names.vg,
                }
            }
        })
    }

    fn has_host_tag(&self, names: &Names) -> bool {
        self.host_tags.iter().any(|tag| names.tags.contains(&tag.as_slice()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_entries_of_a_list_select() {
        let names = Names { vg: b"vg", lv: b"lv", tags: vec![b"t", b"u"] };
        for (list, host, expected) in [
            (&[][..], &[][..], false),
            (&["vg"], &[], true),
            (&["other", "vg"], &[], true),
            (&["vg/lv"], &[], true),
            (&["vg/"], &[], false),
            (&["vg/lv/"], &[], false),
            (&["vg/other", "lv", "VG", "v"], &[], false),
            (&["@u"], &[], true),
            (&["@v", "@vg", "t"], &["t"], false),
            (&["@*"], &[], false),
            (&["@*"], &["v"], false),
            (&["@*"], &["v", "t"], true),
            (&["@", ""], &["t"], false),
        ] {
            let bytes = |list: &[&str]| list.iter().map(|entry| entry.as_bytes().to_vec()).collect::<Vec<_>>();
            let policy = Policy { host_tags: bytes(host), ..Policy::default() };
            assert_eq!(policy.selects(&bytes(list), &names), expected, "{list:?} {host:?}");
        }
    }

    #[test]
    fn without_a_list_the_tags_of_the_host_are_one() {
        let names = |tags| Names { vg: b"vg", lv: b"lv", tags };
        let mut policy = Policy { host_tags: vec![b"t".to_vec()], ..Policy::default() };
        assert!(policy.activates(&names(vec![b"t"])));
        assert!(!policy.activates(&names(vec![b"u"])));
        assert!(policy.auto_activates(&names(vec![b"u"])));
        policy.volume_list = Some(vec![b"vg".to_vec()]);
        assert!(policy.activates(&names(vec![b"u"])));
        policy = Policy::default();
        assert!(policy.activates(&names(vec![])) && policy.auto_activates(&names(vec![])));
    }
}
