//! What the tests of the whole programs share: a daemon on private sockets, a client of each of
//! its protocols, images and loop devices.
#![allow(dead_code, reason = "each program of tests uses a part of this")]

pub mod daemon;
pub mod loops;
pub mod lvm;
#[path = "../../src/sys/testing.rs"]
pub mod testing;

use pvwatch::id::Id;
use pvwatch::ondisk::image::{PvSpec, pv_image, vg_text};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

/// Far longer than anything takes that happens at all, on a machine busy with other tests.
pub const LONG: Duration = Duration::from_secs(60);

/// Asks until the answer is there.
pub fn wait_for<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    while start.elapsed() < LONG {
        if let Some(answer) = ask() {
            return answer;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("waited in vain: {what}");
}

pub fn wait_until(what: &str, mut ask: impl FnMut() -> bool) {
    wait_for(what, || ask().then_some(()));
}

/// An id that shows what it is of.
pub fn id(name: &str) -> Id {
    Id::parse(format!("{name:x<32}").as_bytes()).expect("a name of letters and digits")
}

pub fn hyphenated(name: &str) -> String {
    id(name).to_string()
}

/// The size of the PVs made here, on the disk and in their metadata.
pub const PV_SIZE: u64 = 4 << 20;

/// A VG of these PVs, without LVs.
pub fn vg(name: &str, seqno: i64, pvs: &[&str]) -> Vec<u8> {
    let pvs = pvs.iter().map(|pv| (id(pv), PV_SIZE)).collect::<Vec<_>>();
    vg_text(name, id(name), seqno, &pvs)
}

/// Puts a PV into the file, which may be there and is changed in place.
pub fn write_pv(path: &Path, pv: &str, vg: Option<Vec<u8>>) {
    let spec = match vg {
        Some(text) => PvSpec::member(id(pv), text),
        None => PvSpec::orphan(id(pv)),
    };
    let mut image = pv_image(&PvSpec { size: usize::try_from(PV_SIZE).unwrap(), ..spec });
    // The rest stays a hole.
    image.truncate(64 << 10);
    let file = File::options().write(true).create(true).truncate(false).open(path).unwrap();
    file.set_len(PV_SIZE).unwrap();
    file.write_all_at(&image, 0).unwrap();
}

/// An empty disk.
pub fn write_blank(path: &Path, size: u64) {
    let file = File::options().write(true).create(true).truncate(true).open(path).unwrap();
    file.set_len(size).unwrap();
}
