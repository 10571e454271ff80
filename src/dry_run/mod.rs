//! `pvwatch activate --dry-run`: what would be activated of the VGs of this host, or of a set of
//! devices and images as if they were all the disks of one; what not, and the rule that decided.

mod images;
mod look;
mod table;

use crate::api;
use crate::sys::clock;
use crate::sys::settings::{self, Over};
use crate::watcher::{Device, HeldBack};
use serde_json::Value;
use std::fmt;
use std::io;
use std::path::PathBuf;

pub use images::Images;
pub use table::table;

/// What a look has led to.
#[derive(Debug, Default)]
pub struct Looked {
    /// As the daemon's `Activations` has them.
    pub activations: Vec<Value>,
    /// Devices that could not be read, and why.
    pub unread: Vec<(String, String)>,
    /// Devices given that a filter leaves out, and which.
    pub left_out: Vec<(String, String)>,
}

/// Why nothing could be looked at.
#[derive(Debug)]
pub enum Error {
    Settings(settings::Error),
    System(io::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Settings(error) => write!(f, "{error}"),
            Error::System(error) => write!(f, "the devices cannot be looked at: {error}"),
        }
    }
}

impl std::error::Error for Error {}

/// Looks at these, or at all devices of the machine if there are none, by its configuration.
pub fn look(devices: &[PathBuf]) -> Result<Looked, Error> {
    let directory = settings::system_dir();
    let mut settings = settings::load(&directory, Over::Nothing).map_err(Error::Settings)?;
    // Devices that were named are not looked up in it.
    settings.devices_file = settings.devices_file.filter(|_| devices.is_empty());
    settings::load_devices_file(&directory, &mut settings).map_err(Error::Settings)?;
    settings::load_multipath(&mut settings);
    let (watcher, scope) = look::look(settings, devices).map_err(Error::System)?;
    let mut looked = Looked { activations: api::activations(&watcher, clock::now()), ..Looked::default() };
    // Nobody is in charge of what is only looked at.
    for vg in &mut looked.activations {
        vg["now"] = Value::Null;
    }
    for device in watcher.devices().values() {
        if let Some(quarantine) = &device.quarantine {
            looked.unread.push((device.path(), quarantine.reason.to_string()));
        } else if let Some(held_back @ HeldBack::Pending { .. }) = &device.held_back {
            looked.left_out.push((device.path(), held_back.to_string()));
        }
    }
    for path in devices {
        let name = path.display().to_string();
        match scope.resolve(path).and_then(|devno| watcher.devices().get(&devno)) {
            None if path.is_dir() => looked.unread.push((name, "it is a directory".to_owned())),
            None => looked.unread.push((name, "there is no such device or image".to_owned())),
            Some(Device { rule: Some(rule), .. }) => looked.left_out.push((name, rule.to_string())),
            Some(Device { not_ready: Some(reason), .. }) => looked.unread.push((name, (*reason).to_owned())),
            Some(Device { held_back: Some(HeldBack::Pending { .. }), .. }) => {}
            Some(Device { held_back: Some(held_back), .. }) => looked.left_out.push((name, held_back.to_string())),
            Some(_) => {}
        }
    }
    Ok(looked)
}
