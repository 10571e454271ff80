//! How devices lie on each other: the directories `holders` and `slaves` of sysfs.

use super::{Directory, while_it_lasts};
use crate::device::{Holder, Stack};
use crate::devno::DevNo;
use std::io;

/// Of a device with this directory and name; of a partition, its disk's, too. Only device-mapper and
/// MD devices are `stacked` on others.
///
/// A link to what is gone stays, and leads nowhere, or to a new device of the name: the links go by
/// paths. That one does not have the device among its holders.
pub(super) fn read_stack(
    directory: &Directory,
    name: &str,
    disk: Option<&Directory>,
    stacked: bool,
) -> io::Result<Stack> {
    let mut stack = Stack { holders: holders(directory)?, ..Stack::default() };
    if stacked {
        for slave in directory.names("slaves")? {
            let number = number(directory, &format!("slaves/{slave}/dev"))?;
            let is_held = number.is_some() && directory.has(&format!("slaves/{slave}/holders/{name}"))?;
            stack.lies_on_gone |= !is_held;
            stack.slaves.extend(number);
        }
        stack.slaves.sort();
    }
    if let Some(disk) = disk {
        stack.disk = number(disk, "dev")?;
        // Sectors of 512 bytes, whatever the size of the disk's blocks.
        let start = directory.read("start")?.and_then(|text| text.parse::<u64>().ok());
        stack.start = start.unwrap_or(0).saturating_mul(512);
        stack.disk_holders = holders(disk)?;
    }
    Ok(stack)
}

fn holders(directory: &Directory) -> io::Result<Vec<Holder>> {
    let mut holders = Vec::new();
    for name in directory.names("holders")? {
        let Some(devno) = number(directory, &format!("holders/{name}/dev"))? else { continue };
        let (mut dm_name, mut dm_uuid) = (None, None);
        if name.starts_with("dm-") {
            // One that is being removed does not say any more who it is.
            dm_name = while_it_lasts(directory.read(&format!("holders/{name}/dm/name")))?.flatten();
            dm_uuid = while_it_lasts(directory.read(&format!("holders/{name}/dm/uuid")))?.flatten();
        }
        holders.push(Holder { name, devno, dm_uuid, dm_name });
    }
    holders.sort_by_key(|holder| holder.devno);
    Ok(holders)
}

fn number(directory: &Directory, name: &str) -> io::Result<Option<DevNo>> {
    Ok(directory.read(name)?.as_deref().and_then(DevNo::parse))
}
