//! What udev was asked, and has said, of the devices of VGs that are otherwise ready.

use crate::activation::udev;
use crate::devno::DevNo;
use std::collections::{BTreeMap, BTreeSet};

/// What udev has said of the devices that it was asked for.
#[derive(Debug, Default)]
pub(super) struct Udev {
    said: BTreeMap<DevNo, Option<udev::Standing>>,
    /// What has been asked may not be what is so.
    doubted: BTreeSet<DevNo>,
    to_ask: BTreeSet<DevNo>,
}

impl Udev {
    pub(super) fn standing(&self, devno: DevNo) -> Option<&udev::Standing> {
        self.said.get(&devno)?.as_ref()
    }

    pub(super) fn ask(&mut self, devno: DevNo) {
        self.said.entry(devno).or_insert_with(|| {
            self.to_ask.insert(devno);
            None
        });
    }

    pub(super) fn next_to_ask(&mut self) -> Option<DevNo> {
        let devno = self.to_ask.pop_first()?;
        self.doubted.remove(&devno);
        Some(devno)
    }

    /// Whether it is news.
    pub(super) fn answer(&mut self, devno: DevNo, standing: udev::Standing) -> bool {
        let Some(said) = self.said.get_mut(&devno) else { return false };
        if self.doubted.remove(&devno) {
            self.to_ask.insert(devno);
            return false;
        }
        *said = Some(standing);
        true
    }

    /// Whether it was asked.
    pub(super) fn doubt(&mut self, devno: DevNo) -> bool {
        match self.said.get(&devno) {
            None => false,
            Some(None) => {
                self.doubted.insert(devno);
                true
            }
            Some(Some(_)) => {
                self.said.remove(&devno);
                true
            }
        }
    }

    pub(super) fn forget(&mut self, devno: DevNo) {
        self.said.remove(&devno);
        self.to_ask.remove(&devno);
        self.doubted.remove(&devno);
    }
}
