//! How devices lie on each other: the directories `holders` and `slaves` of sysfs.

use super::{read, while_it_lasts};
use crate::device::{Holder, Stack};
use crate::devno::DevNo;
use nix::libc;
use std::fs;
use std::io;
use std::path::Path;

/// Of a device with this directory and name. Only device-mapper and MD devices are `stacked` on others.
///
/// A link to what is gone stays, and leads nowhere, or to a new device of the name: the links go by
/// paths. That one does not have the device among its holders.
pub(super) fn read_stack(directory: &Path, name: &str, partition: bool, stacked: bool) -> io::Result<Stack> {
    let mut stack = Stack { holders: holders(directory)?, ..Stack::default() };
    if stacked {
        each(&directory.join("slaves"), |_, slave| {
            let slave_number = number(slave)?;
            let is_held = slave_number.is_some() && slave.join("holders").join(name).symlink_metadata().is_ok();
            stack.lies_on_gone |= !is_held;
            stack.slaves.extend(slave_number);
            Ok(())
        })?;
        stack.slaves.sort();
    }
    if partition {
        // The directory is a link, so `..` is the disk's.
        let disk = directory.join("..");
        stack.disk = number(&disk)?;
        // Sectors of 512 bytes, whatever the size of the disk's blocks.
        let start = read(directory, "start")?.and_then(|text| text.parse::<u64>().ok());
        stack.start = start.unwrap_or(0).saturating_mul(512);
        stack.disk_holders = holders(&disk)?;
    }
    Ok(stack)
}

fn holders(directory: &Path) -> io::Result<Vec<Holder>> {
    let mut holders = Vec::new();
    each(&directory.join("holders"), |name, holder| {
        let Some(devno) = number(holder)? else { return Ok(()) };
        let (mut dm_name, mut dm_uuid) = (None, None);
        if name.starts_with("dm-") {
            // One that is being removed does not say any more who it is.
            dm_name = while_it_lasts(read(holder, "dm/name"))?.flatten();
            dm_uuid = while_it_lasts(read(holder, "dm/uuid"))?.flatten();
        }
        holders.push(Holder { name: name.to_owned(), devno, dm_uuid, dm_name });
        Ok(())
    })?;
    holders.sort_by_key(|holder| holder.devno);
    Ok(holders)
}

fn number(directory: &Path) -> io::Result<Option<DevNo>> {
    Ok(read(directory, "dev")?.as_deref().and_then(DevNo::parse))
}

/// Every device that the directory has a link to; none if there is no such directory, or not any more.
fn each(directory: &Path, mut visit: impl FnMut(&str, &Path) -> io::Result<()>) -> io::Result<()> {
    let is_gone = |error: &io::Error| matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENODEV | libc::ENOTDIR));
    let entries = match fs::read_dir(directory) {
        Err(error) if is_gone(&error) => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = match entry {
            Err(error) if is_gone(&error) => return Ok(()),
            entry => entry?,
        };
        visit(&entry.file_name().to_string_lossy(), &entry.path())?;
    }
    Ok(())
}
