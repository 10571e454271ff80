//! Loop devices. Their numbers are given out by the tests, each of which has a range of its own.
//! Nodes that had to be made are kept: removing one is slow, and one without a file costs nothing.

use super::wait_until;
use nix::fcntl::{Flock, FlockArg};
use pvwatch::devno::DevNo;
use pvwatch::sys::monitor::{Monitor, Received};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

/// Of the temporary directories with our images, so that what a killed test left is known.
pub const PREFIX: &str = "pvwatch-test-";

const LOOP_MAJOR: u32 = 7;

/// Taken by tests of many events, each of which would disturb the other.
pub static CROWD: Mutex<()> = Mutex::new(());

/// The numbers are the same in each run of the tests, so runs beside this one wait for its end.
fn take_numbers() -> io::Result<()> {
    static LOCK: Mutex<Option<Flock<File>>> = Mutex::new(None);
    let mut lock = LOCK.lock().unwrap_or_else(PoisonError::into_inner);
    if lock.is_none() {
        let file = File::create(std::env::temp_dir().join(format!("{PREFIX}loops.lock")))?;
        *lock = Some(Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, error)| error)?);
    }
    Ok(())
}

/// Detached at the end.
pub struct Loop {
    pub number: u32,
}

impl Loop {
    /// An error where there is no root or there are no loop devices.
    pub fn attach(number: u32, image: &Path) -> io::Result<Loop> {
        if !nix::unistd::geteuid().is_root() {
            return Err(io::Error::other("loop devices need root"));
        }
        take_numbers()?;
        let device = Loop { number };
        match device.backing_file() {
            Some(file) if !file.contains(PREFIX) => {
                std::mem::forget(device);
                return Err(io::Error::other(format!("/dev/loop{number} is in use with {file}")));
            }
            Some(_) => device.detach(),
            None => {}
        }
        losetup([device.node().as_os_str(), image.as_os_str()])?;
        Ok(device)
    }

    /// Attaches a file to the device, which has none.
    pub fn attach_again(&self, image: &Path) {
        losetup([self.node().as_os_str(), image.as_os_str()]).unwrap();
    }

    /// Returns when it is detached.
    pub fn detach(&self) {
        let _ = losetup(["-d".as_ref(), self.node().as_os_str()]);
        // A reader may have it open still.
        wait_until("the loop device to be free", || self.backing_file().is_none());
    }

    pub fn node(&self) -> PathBuf {
        node(self.number)
    }

    /// The number as the protocol has it.
    pub fn device(&self) -> i64 {
        DevNo::new(LOOP_MAJOR, self.number).to_dev_t().cast_signed()
    }

    fn backing_file(&self) -> Option<String> {
        fs::read_to_string(format!("/sys/block/loop{}/loop/backing_file", self.number)).ok()
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = losetup(["-d".as_ref(), self.node().as_os_str()]);
    }
}

pub fn node(number: u32) -> PathBuf {
    PathBuf::from(format!("/dev/loop{number}"))
}

pub fn losetup<'a>(arguments: impl IntoIterator<Item = &'a std::ffi::OsStr>) -> io::Result<()> {
    let run = Command::new("losetup").args(arguments).output()?;
    if run.status.success() {
        return Ok(());
    }
    Err(io::Error::other(format!("losetup: {}", String::from_utf8_lossy(&run.stderr).trim())))
}

/// Many at once, numbered from `first`.
pub struct Loops {
    first: u32,
    count: u32,
}

impl Loops {
    /// Makes the nodes that are missing, by attaching a file to each for a moment.
    pub fn reserve(first: u32, count: u32, image: &Path) -> io::Result<Loops> {
        let loops = Loops { first, count };
        for number in loops.numbers() {
            if !node(number).exists() {
                drop(Loop::attach(number, image)?);
            }
        }
        drop(Loop::attach(first, image)?);
        Ok(loops)
    }

    pub fn numbers(&self) -> impl Iterator<Item = u32> + use<> {
        self.first..self.first + self.count
    }

    /// One process attaches them all. `image` is a path without its number.
    pub fn attach(&self, image: &Path) {
        let script = "for n in $(seq $1 $2); do losetup /dev/loop$n $3$n || exit 1; done";
        let last = self.first + self.count - 1;
        let mut run = Command::new("sh");
        run.args(["-c", script, "sh"]).args([self.first.to_string(), last.to_string()]).arg(image);
        assert!(run.status().unwrap().success());
    }

    pub fn detach(&self) {
        let nodes = self.numbers().map(node).collect::<Vec<_>>();
        for nodes in nodes.chunks(256) {
            let _ = Command::new("losetup").arg("-d").args(nodes).output();
        }
    }
}

impl Drop for Loops {
    fn drop(&mut self) {
        self.detach();
    }
}

/// Attaches files to devices numbered from `first`, and sees that the kernel tells us of it.
pub fn attach_watched(first: u32, images: &[&Path]) -> io::Result<Vec<Loop>> {
    let loops =
        (first..).zip(images).map(|(number, image)| Loop::attach(number, image)).collect::<io::Result<Vec<_>>>()?;
    kernel_events(first)?;
    Ok(loops)
}

/// An error where the kernel's events do not arrive, as in some containers.
pub fn kernel_events(number: u32) -> io::Result<()> {
    let mut monitor = Monitor::open(1 << 20)?;
    fs::write(format!("/sys/block/loop{number}/uevent"), "change")?;
    // Events queue in the process that causes them.
    loop {
        match monitor.receive() {
            Received::Event(event) if event.devno == DevNo::new(LOOP_MAJOR, number) => return Ok(()),
            Received::Drained => return Err(io::Error::other("the kernel's events do not arrive here")),
            Received::Event(_) | Received::Lost => {}
            Received::Failed(error) => return Err(error),
        }
    }
}
