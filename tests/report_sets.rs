//! Reports of images, against what LVM printed of them in the laboratory.
//!
//! The images are no part of this repository: a plain clone skips the test that needs them.

#[path = "common/mod.rs"]
mod common;
use pvwatch::devno;

use common::daemon::World;
use common::testing::needs;
use serde_json::Value;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::process::{Command, Output};

const OF_THE_LABORATORY: &str = "global { system_id_source=\"lvmlocal\" } local { system_id=\"disklab\" }";

/// Where this project decides otherwise on purpose: a label whose first bytes are damaged is none.
const DECIDED_OTHERWISE: &str = "c-label-magic";

/// Sets of which LVM says something that is said otherwise here, or not at all; the table in
/// `src/watcher/inventory/warnings.rs` has the reasons.
const SAID_OTHERWISE: [&str; 6] = [
    DECIDED_OTHERWISE,
    "c-label-offset-big",
    "c-pvh-uuid-odd",
    "c-rlocn-size-overflow",
    "c-text-parse",
    "c-uuid-mismatch",
];

/// The key of what was recorded, the command that LVM made it with, and what its list is called.
const REPORTS: [(&str, &[&str], &str); 7] = [
    ("pvs", &["pvs", "-a", "--units", "b", "--nosuffix", "--foreign", "--shared"], "pv"),
    ("vgs", &["vgs", "-a", "--units", "b", "--nosuffix", "--foreign", "--shared"], "vg"),
    ("lvs", &["lvs", "-a", "--units", "b", "--nosuffix", "--foreign", "--shared"], "lv"),
    ("segments", &["lvs", "--segments", "-a", "--units", "b", "--nosuffix", "--foreign", "--shared"], "seg"),
    ("pvs_default", &["pvs"], "pv"),
    ("vgs_default", &["vgs"], "vg"),
    ("lvs_default", &["lvs"], "lv"),
];

/// Unpacks an image, holes and all, into the folder where the command runs.
fn unpack(folder: &Path, world: &World, name: &str) -> io::Result<()> {
    let mut packed = flate2::read::GzDecoder::new(File::open(folder.join(format!("{name}.gz")))?);
    let mut image = File::create(world.path(name))?;
    let mut block = vec![0; 64 << 10];
    let mut length = 0;
    loop {
        let count = packed.read(&mut block)?;
        if count == 0 {
            return image.set_len(length);
        }
        if block[..count].iter().any(|&byte| byte != 0) {
            image.seek(SeekFrom::Start(length))?;
            image.write_all(&block[..count])?;
        }
        length += count as u64;
    }
}

fn report(world: &World, words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pvwatch"));
    command.args(words).env("LVM_SYSTEM_DIR", world.system_dir()).current_dir(world.path("."));
    command.output().unwrap()
}

/// LVM printed the names of images, without the folder.
fn strip(value: &mut Value, folder: &str) {
    if let Some(text) = value.as_str().filter(|text| text.contains(folder)) {
        *value = Value::from(text.replace(folder, ""));
    }
}

/// What is not as it was recorded, in words.
fn compare(world: &World, set: &str, about: &Value, images: &[&str]) -> Vec<String> {
    let mut wrong = Vec::new();
    // Paths, since LVM sorts by them: `/` stands before the `[` of what is unknown.
    let folder = format!("{}/", world.path("x").parent().unwrap().display());
    let images = images.iter().map(|image| format!("{folder}{image}")).collect::<Vec<_>>().join(",");
    for (key, words, list) in REPORTS {
        let expected = about["lvm"][key].as_array().unwrap();
        let fields = expected.first().and_then(Value::as_object).map(|row| {
            let all = row.keys().map(String::as_str).collect::<Vec<_>>();
            all.join(",")
        });
        let mut words = [words, &["--devices", &images, "--reportformat", "json"]].concat();
        if let Some(fields) = &fields {
            words.extend(["-o", fields]);
        }
        let ran = report(world, &words);
        let said = String::from_utf8_lossy(&ran.stderr).replace(&folder, "");
        let found: Value = match serde_json::from_slice(&ran.stdout) {
            Ok(found) => found,
            Err(error) => {
                wrong.push(format!("{set}: {key}: {error}: {said}"));
                continue;
            }
        };
        let mut found = found["report"][0][list].clone();
        for row in found.as_array_mut().into_iter().flatten() {
            row.as_object_mut().unwrap().values_mut().for_each(|value| strip(value, &folder));
        }
        if found.as_array() != Some(expected) && set != DECIDED_OTHERWISE {
            let expected = Value::from(expected.clone());
            wrong.push(format!("{set}: {key}:\n  is  {found}\n  LVM {expected}"));
        }
        if ran.status.code() != Some(0) {
            wrong.push(format!("{set}: {key}: {}: {said}", ran.status));
        }
        if key == "pvs" && !SAID_OTHERWISE.contains(&set) {
            let lines = about["lvm"]["stderr"].as_array().map_or(&[][..], Vec::as_slice);
            // The name that a missing device had was recorded as that of its image.
            let device = |line: &str| line.split(" (last written to").next().unwrap_or_default().to_owned();
            let expected = lines.iter().map(|line| device(line.as_str().unwrap())).collect::<Vec<_>>();
            let said = said.lines().map(|line| device(line.trim_start())).collect::<Vec<_>>();
            if said != expected {
                wrong.push(format!("{set}: it says\n  {}\nLVM\n  {}", said.join("\n  "), expected.join("\n  ")));
            }
        }
    }
    wrong
}

#[test]
fn sets_as_in_the_laboratory() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/vectors/disks");
    let found = match folder.join("MANIFEST.json").is_file() {
        true => Ok(folder),
        false => Err(io::Error::other("there is no ../shared/vectors")),
    };
    let Some(folder) = needs("sets_as_in_the_laboratory", found) else { return };
    let world = World::new();
    world.configure(OF_THE_LABORATORY);
    let manifest: Value = serde_json::from_reader(File::open(folder.join("MANIFEST.json")).unwrap()).unwrap();
    let mut wrong = Vec::new();
    for (set, about) in manifest["sets"].as_object().unwrap() {
        let images = about["images"].as_array().unwrap().iter().map(|image| image["file"].as_str().unwrap());
        let images = images.collect::<Vec<_>>();
        images.iter().for_each(|image| unpack(&folder, &world, image).unwrap());
        wrong.extend(compare(&world, set, about, &images));
        images.iter().for_each(|image| fs::remove_file(world.path(image)).unwrap());
    }
    assert!(wrong.is_empty(), "{} reports differ\n{}", wrong.len(), wrong.join("\n"));
}
