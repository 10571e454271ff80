//! udev's database.

use crate::activation::udev::Standing;
use crate::devno::DevNo;
use std::path::Path;
use udev::{Device, DeviceType};

/// Its control socket is there as long as it is.
pub fn udevd_is_running() -> bool {
    Path::new("/run/udev/control").exists()
}

/// What udevd has to say of a device. One that is gone is not in the database.
pub fn standing(devno: DevNo) -> Standing {
    if udevd_is_running() { recorded(devno) } else { Standing::Ready }
}

fn recorded(devno: DevNo) -> Standing {
    match Device::from_devnum(DeviceType::Block, devno.to_dev_t()) {
        Ok(device) if device.is_initialized() => {
            Standing::of(|name| Some(device.property_value(name)?.to_string_lossy().into_owned()))
        }
        Ok(_) | Err(_) => Standing::Awaited,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::testing::{LoopDevice, needs};
    use std::fs;

    #[test]
    fn what_the_database_says_of_a_device() {
        if udevd_is_running() {
            return println!("skipped: what_the_database_says_of_a_device: the database is udevd's");
        }
        let Some(device) = needs("what_the_database_says_of_a_device", LoopDevice::create(63)) else { return };
        let directory = Path::new("/run/udev/data");
        let file = directory.join(format!("b{}", device.devno()));
        let write = |text: &str| fs::create_dir_all(directory).and_then(|()| fs::write(&file, text));
        let Some(()) = needs("what_the_database_says_of_a_device", write("I:5\nE:ID_FS_TYPE=LVM2_member\n")) else {
            return;
        };
        assert_eq!(recorded(device.devno()), Standing::Ready);
        write("I:5\nE:SYSTEMD_READY=0\n").unwrap();
        assert_eq!(recorded(device.devno()), Standing::Refused("SYSTEMD_READY=0".into()));
        assert_eq!(standing(device.devno()), Standing::Ready, "nobody keeps it");
        fs::remove_file(&file).unwrap();
        assert_eq!(recorded(device.devno()), Standing::Awaited);
        assert_eq!(recorded(DevNo::new(7, 1_000_000)), Standing::Awaited);
    }
}
