//! What reports are made of, from devices and images that were named.

use super::look;
use crate::conf::Settings;
use crate::daemon::scope::Scope;
use crate::report::inventory::{Broken, Item, Needs, Source};
use crate::watcher::{Device, HeldBack, Inventory, Watcher};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

pub struct Images {
    watcher: Watcher,
    inventory: Inventory,
    /// What could not be looked at, by the name that it was given, and why.
    pub unread: Vec<(String, String)>,
}

impl Images {
    /// Reads them all. As LVM does where devices are named, it asks neither the devices file nor the
    /// patterns of filters.
    ///
    /// # Errors
    /// Nothing could be looked at.
    pub fn look(mut settings: Settings, devices: &[PathBuf], mut needs: Needs) -> io::Result<Images> {
        settings.devices_file = None;
        settings.filter.devices_file = None;
        settings.filter.global = None;
        settings.filter.local = None;
        let (watcher, scope) = look::look(settings, devices)?;
        let unread = unread(&watcher, &scope, devices);
        let mut names = BTreeMap::new();
        for path in devices {
            if let Some(devno) = scope.resolve(path) {
                names.entry(devno).or_insert_with(|| path.to_string_lossy().into_owned());
            }
        }
        for named in needs.named.iter_mut().filter(|named| named.devno.is_none()) {
            named.devno = scope.resolve(Path::new(OsStr::from_bytes(&named.path)));
        }
        // Whatever the host has of device-mapper is not theirs.
        let mut inventory = Inventory::begin(&watcher, &needs, false);
        inventory.call(names);
        Ok(Images { watcher, inventory, unread })
    }
}

fn unread(watcher: &Watcher, scope: &Scope, devices: &[PathBuf]) -> Vec<(String, String)> {
    let mut unread = Vec::new();
    for path in devices {
        let why = match scope.resolve(path).and_then(|devno| watcher.devices().get(&devno)) {
            _ if path.is_dir() => "it is a directory".to_owned(),
            _ if is_odd(path) => "it is neither a block device nor a file".to_owned(),
            None => "there is no such device or image".to_owned(),
            Some(Device { quarantine: Some(quarantine), .. }) => quarantine.reason.to_string(),
            Some(Device { not_ready: Some(reason), rule: None, .. }) => (*reason).to_owned(),
            Some(Device { held_back: Some(held_back @ HeldBack::Pending { .. }), .. }) => held_back.to_string(),
            Some(_) => continue,
        };
        unread.push((path.display().to_string(), why));
    }
    unread
}

fn is_odd(path: &Path) -> bool {
    path.metadata().is_ok_and(|found| !found.is_file() && !found.file_type().is_block_device())
}

impl Source for Images {
    fn next(&mut self) -> Result<Option<Item>, Broken> {
        Ok(self.inventory.next(&self.watcher))
    }
}
