//! `--reportformat json_std` beside what lvm2 2.03.31 printed of the same two images, which has it;
//! what differs from device to device is left out.

#[path = "common/mod.rs"]
mod common;
use pvwatch::devno;

use common::daemon::World;
use flate2::read::GzDecoder;
use serde_json::{Map, Value};
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;
use std::process::Command;

#[test]
fn json_std_is_that_of_later_versions() {
    let world = World::new();
    for name in ["disk1.img", "disk2.img"] {
        let packed = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/images").join(format!("{name}.gz"));
        let mut image = Vec::new();
        GzDecoder::new(File::open(packed).unwrap()).read_to_end(&mut image).unwrap();
        fs::write(world.path(name), image).unwrap();
    }
    let recorded: Map<String, Value> = serde_json::from_str(include_str!("report/json_std.json")).unwrap();
    for (line, expected) in &recorded {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pvwatch"));
        command.args(line.split(' ')).args(["--reportformat", "json_std", "--devices", "disk1.img,disk2.img"]);
        command.env("LVM_SYSTEM_DIR", world.system_dir()).env("TZ", "UTC").current_dir(world.path("."));
        let printed: Value = serde_json::from_slice(&command.output().unwrap().stdout).unwrap();
        for (list, expected) in expected.as_object().unwrap() {
            let (found, expected) = (printed["report"][0][list].as_array().unwrap(), expected.as_array().unwrap());
            assert_eq!(found.len(), expected.len(), "{line}");
            for (found, expected) in found.iter().zip(expected) {
                for (field, expected) in expected.as_object().unwrap() {
                    assert_eq!(found.get(field), Some(expected), "{line}: {field}");
                }
            }
        }
    }
}
