use super::*;
use crate::devno::DevNo;
use nix::sys::stat::Mode;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::sync::atomic::AtomicBool;
use tempfile::TempDir;

const PVID: Id = Id(*b"GpJ7WNyKiuO8xEG1iJyQdO4DYSCGa4HS");

fn open_new() -> (TempDir, RunDir) {
    let parent = tempfile::tempdir().unwrap();
    let directory = RunDir::open(&parent.path().join("lvm")).unwrap();
    (parent, directory)
}

fn online(minor: u32) -> PvOnline {
    PvOnline { devno: DevNo::new(7, minor), vg: Some(b"vg0".into()), device: Some(format!("/dev/loop{minor}")) }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// Names in the run directory and below.
fn tree(directory: &RunDir) -> Vec<String> {
    let mut names = Vec::new();
    for name in list(directory.path()).unwrap() {
        let path = directory.path().join(std::ffi::OsStr::from_bytes(&name));
        let name = String::from_utf8(name).unwrap();
        let below = if path.is_dir() { list(&path).unwrap() } else { Vec::new() };
        names.extend(below.into_iter().map(|below| format!("{name}/{}", String::from_utf8(below).unwrap())));
        names.push(name);
    }
    names.retain(|name| !Kind::ALL.iter().any(|kind| kind.directory() == name));
    names
}

#[test]
fn everything_is_as_lvm_makes_it() {
    let (_parent, mut directory) = open_new();
    assert_eq!(directory.claim_pv(PVID, &online(1)).unwrap(), Claim::Made);
    assert!(directory.claim_vg(b"vg0").unwrap());
    let lookup = Lookup { vg: b"vg0".into(), pvids: vec![PVID, Id([b'b'; 32])] };
    assert!(directory.claim_lookup(&lookup).unwrap());
    assert_eq!(directory.invalidate_hints().unwrap(), Hints::Invalidated);
    let path = directory.path().to_owned();
    for name in ["", "pvs_online", "vgs_online", "pvs_lookup"] {
        assert_eq!(mode(&path.join(name)), 0o700, "{name}");
    }
    let files = tree(&directory);
    assert_eq!(files, ["newhints", "pvs_lookup/vg0", "pvs_online/GpJ7WNyKiuO8xEG1iJyQdO4DYSCGa4HS", "vgs_online/vg0"]);
    for name in &files {
        assert_eq!(mode(&path.join(name)), 0o600, "{name}");
    }
    assert_eq!(fs::read(path.join(&files[2])).unwrap(), b"7:1\nvg:vg0\ndev:/dev/loop1\n");
    assert_eq!(fs::read(path.join(&files[1])).unwrap(), encode_lookup(&lookup.pvids));
    assert_eq!(fs::read(path.join(&files[3])).unwrap(), b"");
    assert_eq!(directory.pvs().unwrap(), [(PVID, Some(online(1)))]);
    assert_eq!(directory.vgs().unwrap(), [b"vg0"]);
    assert_eq!(directory.lookups().unwrap(), [lookup]);
    directory.remove_pv(PVID).unwrap();
    directory.remove_vg(b"vg0").unwrap();
    directory.remove_lookup(b"vg0").unwrap();
    assert_eq!(tree(&directory), ["newhints"]);
    // Somebody else may have been faster.
    directory.remove_pv(PVID).unwrap();
}

#[test]
fn what_is_there_is_held_or_taken() {
    let (_parent, mut directory) = open_new();
    directory.claim_pv(PVID, &online(1)).unwrap();
    assert_eq!(directory.claim_pv(PVID, &PvOnline { vg: None, ..online(1) }).unwrap(), Claim::Held);
    assert_eq!(directory.claim_pv(PVID, &online(2)).unwrap(), Claim::Taken(online(1)));
    directory.replace_pv(PVID, &online(2)).unwrap();
    assert_eq!(directory.pv(PVID).unwrap(), Some(online(2)));
    assert!(directory.claim_vg(b"vg0").unwrap());
    assert!(!directory.claim_vg(b"vg0").unwrap());
    let lookup = Lookup { vg: b"vg0".into(), pvids: vec![PVID] };
    assert!(directory.claim_lookup(&lookup).unwrap());
    let other = Lookup { pvids: vec![PVID, PVID], ..lookup.clone() };
    assert!(!directory.claim_lookup(&other).unwrap());
    assert_eq!(directory.lookups().unwrap(), [lookup]);
    directory.replace_lookup(&other).unwrap();
    assert_eq!(directory.lookups().unwrap(), [other]);
    assert!(tree(&directory).iter().all(|name| !name.starts_with(TEMPORARY)));
}

#[test]
fn of_many_that_claim_one_wins() {
    let (_parent, directory) = open_new();
    let path = directory.path();
    let claims = std::thread::scope(|scope| {
        let claim = |minor: u32| {
            scope.spawn(move || {
                let mut directory = RunDir::open(path).unwrap();
                let pv = directory.claim_pv(PVID, &online(minor)).unwrap();
                (minor, pv, directory.claim_vg(b"vg0").unwrap())
            })
        };
        let threads = (0..50).map(claim).collect::<Vec<_>>();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
    });
    let winners = claims.iter().filter(|(_, pv, _)| *pv == Claim::Made).collect::<Vec<_>>();
    let [(winner, ..)] = winners[..] else { panic!("{winners:?}") };
    for (minor, pv, _) in &claims {
        assert!(minor == winner || *pv == Claim::Taken(online(*winner)), "{minor}: {pv:?}");
    }
    assert_eq!(claims.iter().filter(|(_, _, vg)| *vg).count(), 1);
    assert_eq!(tree(&directory).len(), 2, "nothing else is left");
}

#[test]
fn no_reader_sees_half_a_file() {
    let (_parent, mut directory) = open_new();
    let long =
        PvOnline { vg: Some([b'v'; 127].into()), device: Some(format!("/dev/{}", "x".repeat(200))), ..online(1) };
    directory.claim_pv(PVID, &long).unwrap();
    let path = directory.path_of(Kind::PvsOnline, &PVID.0).unwrap();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut seen = 0;
            while !over.load(Ordering::Relaxed) {
                let bytes = fs::read(&path).unwrap();
                assert!(bytes == long.encode() || bytes == online(2).encode(), "{}", bytes.escape_ascii());
                seen += 1;
            }
            seen
        });
        for round in 0..3000 {
            let other = online(2);
            directory.replace_pv(PVID, if round % 2 == 0 { &other } else { &long }).unwrap();
        }
        over.store(true, Ordering::Relaxed);
        assert!(reader.join().unwrap() > 0);
    });
}

#[test]
fn what_a_crash_left_goes_and_what_others_write_stays() {
    let (_parent, mut directory) = open_new();
    fs::write(directory.path().join(".pvwatch-1-0"), "7:1").unwrap();
    fs::write(directory.path().join("hints"), "others'").unwrap();
    let (written, _lock) = write_temporary(directory.path(), b"7:1\n").unwrap();
    directory = RunDir::open(directory.path()).unwrap();
    assert_eq!(tree(&directory), [written.file_name().unwrap().to_str().unwrap(), "hints"]);
    // One that cannot be removed is in nobody's way.
    fs::create_dir_all(directory.path().join(".pvwatch-1-2")).unwrap();
    RunDir::open(directory.path()).unwrap();
    // One that is taken for a leftover in the moment before it is locked is written again.
    let mut first = true;
    let path = directory.path().join("pvs_online/x");
    directory
        .with_temporary(b"x", |temporary| {
            if std::mem::take(&mut first) {
                fs::remove_file(temporary).unwrap();
            }
            fs::rename(temporary, &path)
        })
        .unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"x");
    // So are directories that somebody has removed.
    fs::remove_dir_all(directory.path()).unwrap();
    assert_eq!(directory.pvs().unwrap(), []);
    assert_eq!(directory.claim_pv(PVID, &online(1)).unwrap(), Claim::Made);
    fs::remove_dir_all(directory.path()).unwrap();
    directory.replace_pv(PVID, &online(1)).unwrap();
}

#[test]
fn hostile_entries() {
    let (parent, mut directory) = open_new();
    let outside = parent.path().join("outside");
    fs::write(&outside, "7:1\n").unwrap();
    let pvs = directory.path().join("pvs_online");
    let ids = ["d", "f", "l", "s", "e", "b"].map(|name| Id(name.repeat(32).into_bytes().try_into().unwrap()));
    let [in_directory, fifo, link, socket, empty, big] = ids.map(|id| pvs.join(std::str::from_utf8(&id.0).unwrap()));
    fs::create_dir(&in_directory).unwrap();
    nix::unistd::mkfifo(&fifo, Mode::S_IRWXU).unwrap();
    symlink(&outside, &link).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    fs::write(&empty, "").unwrap();
    fs::write(&big, [b"7:1\n".to_vec(), vec![b'x'; 1 << 20]].concat()).unwrap();
    fs::write(pvs.join("short"), "7:1\n").unwrap();
    fs::write(pvs.join("-".repeat(32)), "7:1\n").unwrap();
    let mut expected = ids.map(|id| (id, None));
    expected[5].1 = PvOnline::parse(b"7:1\n");
    expected.sort_by_key(|(id, _)| *id);
    assert_eq!(directory.pvs().unwrap(), expected);
    for id in ids {
        let directory_in_its_place = id == ids[0];
        let made = directory.claim_pv(id, &online(3));
        let replaced = directory.replace_pv(id, &online(3));
        assert_eq!((made.is_err(), replaced.is_err()), (directory_in_its_place, directory_in_its_place), "{id}");
        let removed = directory.remove_pv(id);
        assert_eq!(removed.is_err(), directory_in_its_place, "{id}");
    }
    assert_eq!(fs::read(&outside).unwrap(), b"7:1\n", "links are not followed");
    let error = directory.remove_pv(ids[0]).unwrap_err().to_string();
    assert!(error.contains(in_directory.to_str().unwrap()) && error.contains("cannot be removed"), "{error}");
    // No name leads out of the directory.
    for name in ["", ".", "..", "../x", "a/b", "-x", "a b", &"x".repeat(128)] {
        assert_eq!(directory.claim_vg(name.as_bytes()).unwrap_err().error.kind(), ErrorKind::InvalidInput, "{name}");
    }
    assert!(directory.remove_pv(Id([b'/'; 32])).is_err());
    fs::remove_dir_all(directory.path().join("vgs_online")).unwrap();
    symlink(parent.path(), directory.path().join("vgs_online")).unwrap();
    assert!(RunDir::open(directory.path()).is_err());
}

#[test]
fn hints_that_are_being_made_are_not_waited_for() {
    let (_parent, mut directory) = open_new();
    let (hints, newhints) = (directory.path().join("hints"), directory.path().join("newhints"));
    fs::write(&hints, "made by pvs").unwrap();
    let maker = Flock::lock(File::open(&hints).unwrap(), FlockArg::LockExclusive).unwrap();
    assert_eq!(directory.invalidate_hints().unwrap(), Hints::InTheMaking);
    assert!(newhints.exists());
    drop(maker);
    fs::remove_file(&newhints).unwrap();
    // One who reads them is in nobody's way.
    let _reader = Flock::lock(File::open(&hints).unwrap(), FlockArg::LockShared).unwrap();
    assert_eq!(directory.invalidate_hints().unwrap(), Hints::Invalidated);
    assert!(newhints.exists());
    assert_eq!(fs::read(&hints).unwrap(), b"made by pvs", "they are not written");
    // Ours ends with the call.
    drop(_reader);
    assert!(Flock::lock(File::open(&hints).unwrap(), FlockArg::LockExclusiveNonblock).is_ok());
}

/// Runs a test again in a mount namespace of its own with a small file system at the path given.
fn in_small_file_system(test: &str, options: &str) -> Option<PathBuf> {
    const HERE: &str = "PVWATCH_TEST_SMALL";
    if let Some(path) = std::env::var_os(HERE) {
        return Some(path.into());
    }
    let place = tempfile::tempdir().unwrap();
    let script = format!("mount -t tmpfs -o {options} tmpfs \"${HERE}\" && exec \"$0\" \"$@\"");
    let mut run = std::process::Command::new("unshare");
    run.args(["-m", "sh", "-c", &script]).arg(std::env::current_exe().unwrap());
    run.args(["--exact", &format!("sys::run_files::tests::{test}"), "--nocapture"]).env(HERE, place.path());
    let output = run.output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    let possible = if text.contains("unshare failed") || text.contains("mount:") {
        Err(io::Error::other(text.trim().to_owned()))
    } else {
        assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stdout));
        Ok(())
    };
    crate::sys::testing::needs(test, possible);
    None
}

#[test]
fn when_there_is_no_room() {
    let Some(place) = in_small_file_system("when_there_is_no_room", "size=16k,nr_inodes=64") else { return };
    let mut directory = RunDir::open(&place.join("lvm")).unwrap();
    directory.claim_pv(PVID, &online(1)).unwrap();
    fs::write(place.join("ballast"), [0; 16 << 10]).unwrap_err();
    let error = directory.replace_pv(PVID, &online(2)).unwrap_err();
    assert_eq!(error.error.raw_os_error(), Some(libc::ENOSPC), "{error}");
    assert_eq!(directory.pv(PVID).unwrap(), Some(online(1)), "what is there stays");
    assert_eq!(tree(&directory).len(), 1, "nothing is left");
    fs::remove_file(place.join("ballast")).unwrap();
    directory.replace_pv(PVID, &online(2)).unwrap();
}

#[test]
fn when_nothing_may_be_written() {
    let Some(place) = in_small_file_system("when_nothing_may_be_written", "size=64k") else { return };
    let mut directory = RunDir::open(&place.join("lvm")).unwrap();
    directory.claim_pv(PVID, &online(1)).unwrap();
    let mut remount = std::process::Command::new("mount");
    assert!(remount.args(["-o", "remount,ro"]).arg(&place).status().unwrap().success());
    for error in [
        directory.claim_pv(Id([b'x'; 32]), &online(2)).unwrap_err(),
        directory.replace_pv(PVID, &online(2)).unwrap_err(),
        directory.remove_pv(PVID).unwrap_err(),
        directory.claim_vg(b"vg0").unwrap_err(),
        directory.invalidate_hints().unwrap_err(),
        RunDir::open(&place.join("other")).unwrap_err(),
    ] {
        assert_eq!(error.error.raw_os_error(), Some(libc::EROFS), "{error}");
    }
    assert_eq!(directory.pvs().unwrap(), [(PVID, Some(online(1)))]);
    assert!(RunDir::open(directory.path()).is_ok());
}
