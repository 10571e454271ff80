//! Rows that do not fit on a disk.

use pvwatch::sys::spool::Spool;
use std::process::Command;

/// Run with `TMPDIR`, and with a limit for files.
#[test]
#[ignore = "is run by the other test"]
fn fill() {
    let mut spool = Spool::new(1000);
    let error = (0..1_000_000).find_map(|_| spool.push(b"key", &[b'x'; 100]).err());
    println!("told: {}", error.unwrap());
}

#[test]
fn a_full_disk_is_told_by_its_name() {
    let directory = tempfile::tempdir().unwrap();
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' XFSZ; ulimit -f 64; exec \"$0\" --ignored --exact --nocapture fill"]);
    let run = command.arg(std::env::current_exe().unwrap()).env("TMPDIR", directory.path()).output().unwrap();
    let told = String::from_utf8_lossy(&run.stdout);
    let wanted = format!("told: temporary file in {}: File too large", directory.path().display());
    assert!(told.contains(&wanted), "{told}{}", String::from_utf8_lossy(&run.stderr));
}
