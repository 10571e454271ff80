//! `pvwatch activate --dry-run` of images, against what LVM's `pvscan` said of them in the laboratory.
//!
//! The images are no part of this repository: a plain clone skips the test that needs them.

#[path = "common/mod.rs"]
mod common;
use pvwatch::devno;

use common::daemon::World;
use common::testing::needs;
use common::{vg, write_pv};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const OF_THE_LABORATORY: &str = "global { system_id_source=\"lvmlocal\" } local { system_id=\"disklab\" }";

fn pvwatch(world: &World, words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pvwatch"));
    command.arg("--socket").arg(world.path("nobody")).args(words);
    command.env("LVM_SYSTEM_DIR", world.system_dir()).current_dir(world.path(".")).output().unwrap()
}

/// The exit status and the VGs of a dry run, and what else it says.
fn dry_run(world: &World, words: &[&str]) -> (i32, Vec<Value>, String) {
    let output = pvwatch(world, &[&["activate", "--dry-run", "--json"], words].concat());
    let complaints = String::from_utf8(output.stderr).unwrap();
    let vgs = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{words:?}: {error}: {complaints}"));
    (output.status.code().unwrap(), vgs, complaints)
}

/// Each VG, what of it is activated, and the rule that decides; and each LV that has one of its own.
fn decisions(vgs: &[Value]) -> Vec<String> {
    let word = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let mut decisions = Vec::new();
    for vg in vgs {
        decisions.push(format!("{} {} {}", word(&vg["vg"]), word(&vg["activated"]), word(&vg["rule"])));
        assert_eq!(vg["rule"].is_null(), vg["because"].is_null());
        for lv in vg["lvs"].as_array().unwrap().iter().filter(|lv| lv["rule"] != vg["rule"]) {
            decisions.push(format!("{} {}", word(&lv["name"]), word(&lv["rule"])));
        }
    }
    decisions
}

/// What is activated of the images of each set, and what not: LVM's pvscan told its rule that these
/// VGs are complete, and these not.
const SETS: [(&str, &[&str]); 23] = [
    ("plain", &["vg_plain yes -"]),
    ("plain202", &["vg_two02 yes -"]),
    ("mda2", &["vg_mda2 yes -"]),
    // LVM's pvscan finds a label in the second sector only. They have no LV.
    ("labelsector0", &["vg_ls0 no nothing-to-activate"]),
    ("labelsector2", &["vg_ls2 no nothing-to-activate"]),
    ("bootarea", &["vg_boot no nothing-to-activate"]),
    ("wrap203", &["vg_wrap yes -"]),
    ("oldseq", &["vg_old yes -"]),
    ("tags", &["vg_tags yes -"]),
    ("foreign", &["vg_foreign no foreign"]),
    // pvscan leaves the flag to vgchange.
    ("ownid", &["vg_own no no-auto-activate"]),
    ("shared", &["vg_shared no shared"]),
    ("missing", &["vg_miss no incomplete"]),
    ("missing-full", &["vg_miss yes -"]),
    ("missingflag", &["vg_miss no incomplete"]),
    // vgchange finds both, and refuses.
    ("dup", &["vg_plain no copies"]),
    ("lvtypes", &["vg_types partly -", "tsnap activation-skip"]),
    ("c-text-unknownflag", &["vg_plain no unusable"]),
    ("c-text-unknownseg", &["vg_plain partly -", "lv0 unknown-segment"]),
    ("c-text-unknowncompat", &["vg_plain yes -"]),
    ("c-uuid-mismatch", &["vg_plain no incomplete"]),
    ("c-label-crc", &[]),
    ("orphan", &[]),
];

struct Images {
    folder: PathBuf,
    world: World,
}

impl Images {
    /// The paths of these, unpacked, holes and all.
    fn unpack(&self, names: &[String]) -> Vec<String> {
        names.iter().map(|name| self.unpack_one(name).unwrap_or_else(|error| panic!("{name}: {error}"))).collect()
    }

    fn unpack_one(&self, name: &str) -> io::Result<String> {
        let path = self.world.path(name);
        let mut packed = flate2::read::GzDecoder::new(File::open(self.folder.join(format!("{name}.gz")))?);
        let mut image = File::create(&path)?;
        let mut block = vec![0; 64 << 10];
        let mut length = 0;
        loop {
            let count = packed.read(&mut block)?;
            if count == 0 {
                image.set_len(length)?;
                return Ok(path.to_str().unwrap().to_owned());
            }
            if block[..count].iter().any(|&byte| byte != 0) {
                image.seek(SeekFrom::Start(length))?;
                image.write_all(&block[..count])?;
            }
            length += count as u64;
        }
    }

    fn dry_run(&self, names: &[String]) -> Vec<Value> {
        let paths = self.unpack(names);
        let words = [&["--devices"][..], &paths.iter().map(String::as_str).collect::<Vec<_>>()].concat();
        let (status, vgs, complaints) = dry_run(&self.world, &words);
        assert_eq!(status, 0, "{names:?}: {complaints}");
        paths.iter().for_each(|path| fs::remove_file(path).unwrap());
        vgs
    }
}

/// The images that arrived one after the other, and the VGs that were complete then.
fn arrived(log: &str) -> (Vec<String>, Vec<String>) {
    let after = |start: &'static str| log.lines().filter_map(move |line| line.strip_prefix(start));
    let complete = after("LVM_VG_NAME_COMPLETE='").map(|rest| rest.trim_end_matches('\'').to_owned());
    (after("### ARRIVED ").map(str::to_owned).collect(), complete.collect())
}

#[test]
fn images_as_in_the_laboratory() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/vectors/disks");
    let found = match folder.join("MANIFEST.json").is_file() {
        true => Ok(folder),
        false => Err(io::Error::other("there is no ../shared/vectors")),
    };
    let Some(folder) = needs("images_as_in_the_laboratory", found) else { return };
    let images = Images { folder, world: World::new() };
    images.world.configure(OF_THE_LABORATORY);
    let manifest: Value = serde_json::from_reader(File::open(images.folder.join("MANIFEST.json")).unwrap()).unwrap();
    let expected = BTreeMap::from(SETS);
    let mut compared = 0;
    for (set, about) in manifest["sets"].as_object().unwrap() {
        let files = about["images"].as_array().unwrap().iter().map(|image| image["file"].as_str().unwrap().to_owned());
        // Whatever it is, it is looked at.
        let vgs = images.dry_run(&files.collect::<Vec<_>>());
        if let Some(expected) = expected.get(set.as_str()) {
            assert_eq!(decisions(&vgs), *expected, "{set}");
            compared += 1;
        }
        for log in about["pvscan_events"].as_array().into_iter().flatten() {
            let log = fs::read_to_string(images.folder.join(log.as_str().unwrap())).unwrap();
            let (files, complete) = arrived(&log);
            if files.iter().any(|file| !images.folder.join(format!("{file}.gz")).is_file()) {
                continue;
            }
            let activated = images.dry_run(&files);
            let activated = activated.iter().filter(|vg| vg["activated"] != "no").map(|vg| vg["vg"].as_str().unwrap());
            // For the reasons above, and a flag that vgchange finds.
            let complete = if ["ownid", "dup", "missingflag"].contains(&set.as_str()) { Vec::new() } else { complete };
            assert_eq!(activated.collect::<Vec<_>>(), complete, "{set}");
        }
    }
    assert_eq!(compared, SETS.len());
}

#[test]
fn devices_are_all_the_disks_there_are() {
    let world = World::new();
    write_pv(&world.path("a"), "a", Some(vg("vga", 1, &["a", "b"])));
    write_pv(&world.path("b"), "b", Some(vg("vga", 1, &["a", "b"])));
    write_pv(&world.path("c,d"), "c", Some(vg("vgc", 1, &["c"])));
    let found = |words: &[&str]| {
        let (status, vgs, complaints) = dry_run(&world, words);
        (status, decisions(&vgs), complaints)
    };
    let bare = |vg: &str| format!("{vg} no nothing-to-activate");
    assert_eq!(found(&["--devices", "a,b"]), (0, vec![bare("vga")], String::new()));
    assert_eq!(found(&["--devices", "a", "b", "c,d"]), (0, vec![bare("vga"), bare("vgc")], String::new()));
    assert_eq!(
        found(&["vgc", "--devices", "a", "--devices=b", "--devices=c,d"]),
        (0, vec![bare("vgc")], String::new())
    );
    let (status, vgs, complaints) = found(&["vgd", "--devices", "a"]);
    assert_eq!((status, vgs, &*complaints), (3, vec![], "pvwatch: vgd: there is no such VG\n"));
    let (status, vgs, complaints) = found(&["--devices", "b", "none", "."]);
    assert_eq!((status, vgs), (1, vec![bare("vga")]));
    assert!(complaints.contains("none: there is no such device") && complaints.contains(".: it is a directory"));
}

/// Without a daemon it looks at the machine for itself; a device that hangs does not keep it.
#[test]
fn a_device_that_does_not_answer_is_named() {
    let world = World::new();
    world.configure("pvwatch { read_deadline=1 }");
    nix::unistd::mkfifo(&world.path("sick"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    write_pv(&world.path("a"), "a", Some(vg("vga", 1, &["a"])));
    let (status, vgs, complaints) = dry_run(&world, &["--devices", "sick", "a"]);
    assert_eq!((status, decisions(&vgs)), (1, vec!["vga no nothing-to-activate".to_owned()]));
    assert!(complaints.contains("sick: "), "{complaints}");
}

#[test]
fn nothing_is_activated_without_dry_run() {
    let output = pvwatch(&World::new(), &["activate", "vg0"]);
    assert_eq!((output.status.code(), &*output.stdout), (Some(2), &b""[..]));
    assert!(String::from_utf8_lossy(&output.stderr).contains("lvm vgchange -aay vg0"));
}
