//! What device-mapper says of LVs.

pub mod asked;
mod devices;
mod known;
mod monitor;
mod percent;
mod raid;
pub mod status;

use super::row::Row;
use crate::devno::DevNo;

use devices::{Devices, Layer};

pub use asked::{Live, Mapping, Monitored, VdoUse};
pub use known::{Known, State, known};
pub use monitor::monitored;
pub use percent::{Percent, percent};
pub use raid::{
    Mismatches, copy_percent, image_in_sync, integrity_mismatches, is_healthy, mismatch_count, sync_action,
};
pub use status::{Cache, Discards, Snapshot, Status, Thin, ThinPool};

/// What is known of the device of an LV.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Info {
    /// Not even whether there is one: nothing else here means anything then.
    pub is_known: bool,
    pub exists: bool,
    pub devno: Option<DevNo>,
    pub suspended: bool,
    /// The rest only device-mapper itself tells.
    pub open: Option<bool>,
    pub read_only: Option<bool>,
    pub live_table: Option<bool>,
    pub inactive_table: Option<bool>,
    /// Sectors.
    pub read_ahead: Option<u64>,
}

/// Of the row's LV, from device-mapper if it was asked, or else from sysfs.
pub fn info(row: &Row) -> Info {
    if row.live.is_some_and(|live| !live.with_status) { top(row) } else { known(row).info }
}

/// Of what has the name of the row's LV: whether it is active.
pub fn top(row: &Row) -> Info {
    let devices = Devices::of(row).zip(row.lv.filter(|lv| !lv.is_historical));
    devices.map_or(Info { is_known: Devices::of(row).is_some(), ..Info::default() }, |(devices, lv)| {
        devices.device(lv, Layer::Top).info
    })
}
