//! Reports beside what lvm printed of the same images.

use crate::common::daemon::World;
use flate2::read::GzDecoder;
use serde_json::{Map, Value};
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;
use std::process::Command;

/// Packed images of `tests/images`, each with the name that its copy gets.
pub fn unpack(world: &World, images: &[(String, String)]) {
    for (packed, name) in images {
        let packed = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/images").join(packed);
        let mut image = Vec::new();
        GzDecoder::new(File::open(packed).unwrap()).read_to_end(&mut image).unwrap();
        fs::write(world.path(name), image).unwrap();
    }
}

/// Compares the fields that are recorded, by command lines; `options` are for all of these.
pub fn compare(world: &World, recorded: &str, options: &[&str]) {
    let recorded: Map<String, Value> = serde_json::from_str(recorded).unwrap();
    for (line, expected) in &recorded {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pvwatch"));
        command.args(line.split(' ')).args(options);
        command.env("LVM_SYSTEM_DIR", world.system_dir()).env("TZ", "UTC").current_dir(world.path("."));
        let printed: Value = serde_json::from_slice(&command.output().unwrap().stdout).unwrap();
        for (list, expected) in expected.as_object().unwrap() {
            let (found, expected) = (printed["report"][0][list].as_array().unwrap(), expected.as_array().unwrap());
            assert_eq!(found.len(), expected.len(), "{line}");
            for (found, expected) in found.iter().zip(expected) {
                for (field, expected) in expected.as_object().unwrap() {
                    assert_eq!(found.get(field), Some(expected), "{line}: {field} of {}", found["pv_name"]);
                }
            }
        }
    }
}
