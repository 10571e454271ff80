//! `--live`; and without it, what sysfs has of device-mapper just now.

use super::{FAILED, Failure};
use crate::report::inventory::{Broken, Item, Needs, Source};
use crate::report::live::Live;
use crate::report::options::Options;
use crate::sys;
use std::time::Duration;

/// Device-mapper answers at once, or not at all.
const DEADLINE: Duration = Duration::from_secs(10);

/// What device-mapper says, if it is to be asked and anything of the report depends on it; with the
/// state of targets if that is a part of it. It has nothing to say of devices that were named.
pub fn ask(options: &Options, needs: &Needs, with_status: bool) -> Result<Option<Live>, Failure> {
    if !options.live || !options.devices.is_empty() || !needs.lvs {
        return Ok(None);
    }
    match sys::live::ask(DEADLINE) {
        Ok(live) => Ok(Some(Live { with_status, ..live })),
        Err(error) => Err(Failure::new(FAILED, format!("--live: {error}"))),
    }
}

/// A device is suspended without a word to anybody, so what the daemon heard last may be long past.
pub struct Now(pub Box<dyn Source>);

impl Source for Now {
    fn next(&mut self) -> Result<Option<Item>, Broken> {
        let mut item = self.0.next()?;
        if let Some(Item::Host(host)) = &mut item {
            for mapped in host.mapped.iter_mut().flatten() {
                mapped.suspended = sys::live::is_suspended(mapped.devno).unwrap_or(mapped.suspended);
            }
        }
        Ok(item)
    }
}
