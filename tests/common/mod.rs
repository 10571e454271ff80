//! What the tests of the whole programs share: a daemon on private sockets, a client of each of
//! its protocols, images and loop devices.
#![allow(dead_code, reason = "each program of tests uses a part of this")]

pub mod daemon;
pub mod latency;
pub mod loops;
pub mod lvm;
#[path = "../../src/sys/testing.rs"]
pub mod testing;

use pvwatch::id::Id;
use pvwatch::ondisk::image::{PvSpec, pv_image, vg_text};
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};
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

/// The first bytes of a PV; the rest is a hole.
pub fn pv_head(pv: &str, vg: Option<Vec<u8>>) -> Vec<u8> {
    let spec = match vg {
        Some(text) => PvSpec::member(id(pv), text),
        None => PvSpec::orphan(id(pv)),
    };
    let mut image = pv_image(&PvSpec { size: usize::try_from(PV_SIZE).unwrap(), ..spec });
    image.truncate(64 << 10);
    image
}

/// Puts a PV into the file or the device, which may be there and is changed in place.
pub fn write_pv(path: &Path, pv: &str, vg: Option<Vec<u8>>) {
    write(path, PV_SIZE, &pv_head(pv, vg));
}

/// An empty disk.
pub fn write_blank(path: &Path, size: u64) {
    write(path, 0, b"");
    write(path, size, b"");
}

/// Has another process write: a file that is open here is open for a moment in each process that
/// a test beside this one starts, and so it may not be closed when we have closed it.
fn write(path: &Path, size: u64, bytes: &[u8]) {
    let script = "dd of=\"$0\" bs=64K conv=notrunc status=none && { [ -b \"$0\" ] || truncate -s \"$1\" \"$0\"; }";
    let mut writer = Command::new("sh");
    writer.args(["-c", script]).arg(path).arg(size.to_string()).stdin(Stdio::piped());
    let mut writer = writer.spawn().unwrap();
    writer.stdin.take().unwrap().write_all(bytes).unwrap();
    assert!(writer.wait().unwrap().success());
}

/// Copies a file, by another process for the same reason.
pub fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").args([from, to]).status().unwrap().success());
}

/// Waits until nobody listens at a socket that was closed here, for the same reason.
pub fn wait_until_stale(socket: &Path) {
    wait_until("the socket to be stale", || UnixStream::connect(socket).is_err());
}
