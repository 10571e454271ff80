//! How a VG is activated: LVM's own command, as a child of ours or as a unit of systemd's.

pub mod process;
pub mod systemd;
pub mod wire;

use crate::activation::{Order, Outcome};
use crate::id::Id;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Where `lvm` usually is.
const PLACES: [&str; 4] = ["/usr/sbin/lvm", "/sbin/lvm", "/usr/bin/lvm", "/bin/lvm"];
/// `lvm` looks in it for the programs that it starts, such as `thin_check`.
const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";
/// What is told of the output of a command, from its end.
const OUTPUT_MAX: usize = 4096;

/// The command, and what its processes find in their environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    path: PathBuf,
    environment: Vec<(&'static str, OsString)>,
}

impl Program {
    /// `given` is `pvwatch/lvm`.
    pub fn new(given: Option<&Path>) -> Program {
        let usual = || PLACES.iter().map(Path::new).find(|path| path.exists()).unwrap_or(Path::new(PLACES[0]));
        let mut environment = vec![("PATH", PATH.into()), ("LC_ALL", "C".into())];
        environment.extend(std::env::var_os("LVM_SYSTEM_DIR").map(|directory| ("LVM_SYSTEM_DIR", directory)));
        Program { path: given.unwrap_or_else(usual).to_owned(), environment }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Has LVs that lie on devices that are gone look for the new ones.
fn refresh(vg: &[u8]) -> [&OsStr; 3] {
    ["vgchange".as_ref(), "--refresh".as_ref(), OsStr::from_bytes(vg)]
}

fn activate(vg: &[u8]) -> [&OsStr; 5] {
    let [command, option, kind, value] = ["vgchange", "-aay", "--autoactivation", "event"].map(OsStr::new);
    [command, option, kind, value, OsStr::from_bytes(vg)]
}

/// What has become of an [`Order`].
#[derive(Debug, PartialEq, Eq)]
pub enum Happening {
    /// By this process or unit.
    Started(Id, String),
    Ended(Id, Outcome),
}

fn not_started(order: &Order, why: String) -> Happening {
    Happening::Ended(order.vgid, Outcome::NotStarted(why))
}
