use super::{Refusal, VgText};
use std::collections::BTreeMap;
use std::rc::{Rc, Weak};

/// Below this many entries, dead ones are not worth looking for.
const KEPT_UNPRUNED: usize = 16;

/// The texts in use, so that one that is on a hundred PVs is parsed and kept once.
///
/// It holds none of them alive, and entries of texts that are gone are dropped in time: there
/// are never more than twice as many entries as there were texts in use, or a small number.
#[derive(Debug, Default)]
pub struct TextCache {
    texts: BTreeMap<(u32, usize), Weak<VgText>>,
    prune_at: usize,
}

impl TextCache {
    pub fn new() -> TextCache {
        TextCache::default()
    }

    /// [`VgText::parse`], or what that gave for the same bytes before. The checksum only helps
    /// to find those: it is no proof, since who writes a device can choose it.
    pub fn parse(&mut self, checksum: u32, text: &[u8]) -> Result<Rc<VgText>, Refusal> {
        let key = (checksum, text.len());
        let known = self.texts.get(&key).and_then(Weak::upgrade);
        if let Some(known) = known.filter(|known| known.text() == text) {
            return Ok(known);
        }
        let parsed = Rc::new(VgText::parse(text.into())?);
        self.texts.insert(key, Rc::downgrade(&parsed));
        self.prune();
        Ok(parsed)
    }

    fn prune(&mut self) {
        if self.texts.len() >= self.prune_at.max(KEPT_UNPRUNED) {
            self.texts.retain(|_, text| text.strong_count() > 0);
            self.prune_at = self.texts.len().saturating_mul(2);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Id;
    use crate::ondisk::image;

    fn text(seqno: i64) -> Vec<u8> {
        image::vg_text("vg", Id([b'v'; 32]), seqno, &[])
    }

    #[test]
    fn a_text_is_parsed_once_while_it_is_in_use() {
        let mut texts = TextCache::new();
        let first = texts.parse(7, &text(1)).unwrap();
        assert!(Rc::ptr_eq(&first, &texts.parse(7, &text(1)).unwrap()));
        let weak = Rc::downgrade(&first);
        drop(first);
        assert!(weak.upgrade().is_none());
    }

    #[test]
    fn another_text_with_the_same_checksum_is_another_text() {
        let mut texts = TextCache::new();
        let first = texts.parse(7, &text(1)).unwrap();
        let second = texts.parse(7, &text(2)).unwrap();
        assert_eq!((first.seqno, second.seqno), (1, 2));
        assert!(texts.parse(7, b"nonsense").is_err());
    }

    #[test]
    fn texts_that_are_gone_leave_no_entries() {
        let mut texts = TextCache::new();
        let in_use: Vec<_> = (0..100).map(|seqno| texts.parse(0, &text(seqno))).collect();
        for checksum in 1..1000 {
            texts.parse(checksum, &text(1)).unwrap();
        }
        assert!(texts.texts.len() <= 2 * in_use.len(), "{}", texts.texts.len());
        let kept: Vec<_> = (1000..2000).map(|checksum| texts.parse(checksum, &text(1)).unwrap()).collect();
        assert!(texts.texts.len() >= kept.len());
    }
}
