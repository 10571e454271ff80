//! Fields of PVs, labels, PV segments and VGs beside what lvm2 2.03.16 printed of the same seven images:
//! a VG of five PVs that differ in all that `pvcreate` has options for, one of them missing; an orphan, an
//! exported VG and one of another host. What differs from device to device is left out.

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
fn fields_of_pvs_and_vgs_are_those_of_lvm() {
    let world = World::new();
    // As LVM's names of devices, these come before `[unknown]`.
    let images = ["A", "B", "C", "D", "F", "G", "H"].map(|name| format!("{name}.img"));
    for image in &images {
        let packed = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/images/pvs-{image}.gz"));
        let mut bytes = Vec::new();
        GzDecoder::new(File::open(packed).unwrap()).read_to_end(&mut bytes).unwrap();
        fs::write(world.path(image), bytes).unwrap();
    }
    let recorded: Map<String, Value> = serde_json::from_str(include_str!("report/pvs.json")).unwrap();
    for (line, expected) in &recorded {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pvwatch"));
        command.args(line.split(' ')).args(["--reportformat", "json", "--units", "b", "--devices", &images.join(",")]);
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
