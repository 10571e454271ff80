//! Devices and images that were named, looked at without a daemon.

use crate::conf::Settings;
use crate::dry_run;
use crate::report::inventory::{Item, Needs, Source};
use crate::watcher::{Inventory, Watcher};
use std::path::PathBuf;

pub struct Images {
    watcher: Watcher,
    inventory: Inventory,
}

impl Images {
    /// Reads them all.
    ///
    /// # Errors
    /// In words, why nothing could be looked at.
    pub fn look(settings: Settings, devices: &[PathBuf], needs: Needs) -> Result<Images, String> {
        let looked = dry_run::watch(settings, devices);
        let (watcher, _) = looked.map_err(|error| format!("the devices cannot be looked at: {error}"))?;
        // Whatever the host has of device-mapper is not theirs.
        let inventory = Inventory::begin(&watcher, needs, false);
        Ok(Images { watcher, inventory })
    }
}

impl Source for Images {
    fn next(&mut self) -> Result<Option<Item>, String> {
        Ok(self.inventory.next(&self.watcher))
    }
}
