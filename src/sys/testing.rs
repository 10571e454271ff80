//! What the tests of this layer share: loop devices, and what to do where there are none.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::devno::DevNo;

/// Loop devices of this size unless a test says otherwise: 2049 sectors, no multiple of 4096.
pub const LOOP_SIZE: u64 = 2049 * 512;

/// What a test cannot do without. Where it is missing the test is skipped, but not under CI,
/// where a skipped test would hide that nothing is tested.
pub fn needs<T>(test: &str, thing: io::Result<T>) -> Option<T> {
    match thing {
        Ok(thing) => Some(thing),
        Err(error) if std::env::var_os("CI").is_some_and(|value| value == "true") => panic!("{test}: {error}"),
        Err(error) => {
            println!("skipped: {test}: {error}");
            None
        }
    }
}

/// A loop device on a temporary file, detached at the end. Each test has a number of its own.
pub struct LoopDevice {
    number: u32,
    node: PathBuf,
    _image: tempfile::NamedTempFile,
}

impl LoopDevice {
    pub fn create(number: u32) -> io::Result<LoopDevice> {
        let image = tempfile::NamedTempFile::new()?;
        image.as_file().set_len(LOOP_SIZE)?;
        let node = PathBuf::from(format!("/dev/loop{number}"));
        let device = LoopDevice { number, node, _image: image };
        device.attach(device._image.path())?;
        Ok(device)
    }

    /// Attaches another file, which makes it another disk.
    pub fn attach(&self, image: &Path) -> io::Result<()> {
        self.detach();
        let run = Command::new("losetup").arg(&self.node).arg(image).output()?;
        if run.status.success() {
            return Ok(());
        }
        Err(io::Error::other(format!("losetup: {}", String::from_utf8_lossy(&run.stderr).trim())))
    }

    pub fn detach(&self) {
        let _ = Command::new("losetup").arg("-d").arg(&self.node).output();
    }

    pub fn node(&self) -> &Path {
        &self.node
    }

    pub fn devno(&self) -> DevNo {
        DevNo::new(7, self.number)
    }

    pub fn sysfs(&self) -> PathBuf {
        PathBuf::from(format!("/sys/class/block/loop{}", self.number))
    }

    pub fn diskseq(&self) -> u64 {
        fs::read_to_string(self.sysfs().join("diskseq")).unwrap().trim().parse().unwrap()
    }

    pub fn image(&self) -> &File {
        self._image.as_file()
    }
}

impl Drop for LoopDevice {
    fn drop(&mut self) {
        self.detach();
    }
}
