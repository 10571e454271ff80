//! The run directory that the daemon writes, if it writes one.

use super::Options;
use crate::conf::Settings;
use crate::online::{Change, Hints, Listing, RunFiles};
use crate::sys::run_files::{self, RunDir};
use crate::watcher::Publish;
use std::path::{Path, PathBuf};

/// LVM's own.
const DEFAULT: &str = "/run/lvm";

pub struct Keeper {
    path: Option<PathBuf>,
    publish: Publish,
    /// `None` until it is needed, and after a failure.
    directory: Option<RunDir>,
}

impl Keeper {
    pub fn new(options: &Options, settings: &Settings) -> Keeper {
        let path = path(options, settings);
        let publish = match (&path, options.devices.is_empty()) {
            (None, _) => Publish::Nothing,
            (Some(_), false) => Publish::OurDevices,
            (Some(_), true) => Publish::Everything,
        };
        Keeper { path, publish, directory: None }
    }

    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    pub fn publish(&self) -> Publish {
        self.publish
    }

    pub fn change(&mut self, change: &Change) -> Result<(), String> {
        self.attempt(|directory| change.make(directory))
    }

    /// True if `vgs_online/VG` was not there.
    pub fn claim_vg(&mut self, vg: &[u8]) -> Result<bool, String> {
        self.attempt(|directory| directory.claim_vg(vg))
    }

    pub fn vgs_online(&self) -> Option<PathBuf> {
        self.path.as_ref().map(|path| path.join("vgs_online"))
    }

    pub fn list(&mut self) -> Result<Listing, String> {
        self.attempt(|directory| Listing::read(directory))
    }

    pub fn invalidate_hints(&mut self) -> Result<Hints, String> {
        self.attempt(RunDir::invalidate_hints)
    }

    fn attempt<T>(&mut self, act: impl FnOnce(&mut RunDir) -> Result<T, run_files::Error>) -> Result<T, String> {
        let path = self.path.as_deref().ok_or("there is no run directory")?;
        let mut directory = match self.directory.take() {
            Some(directory) => directory,
            None => RunDir::open(path).map_err(|error| error.to_string())?,
        };
        let result = act(&mut directory).map_err(|error| error.to_string())?;
        self.directory = Some(directory);
        Ok(result)
    }
}

/// A daemon that does not look at all devices must be told to write files of those that it does; one
/// that looks at none has nothing to write.
fn path(options: &Options, settings: &Settings) -> Option<PathBuf> {
    match &settings.run_dir {
        _ if !options.scan => None,
        Some(path) => Some(path.clone()).filter(|path| !path.as_os_str().is_empty()),
        None if options.devices.is_empty() => Some(DEFAULT.into()),
        None => None,
    }
}
