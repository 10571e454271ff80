//! `--reportformat json_std` beside what lvm2 2.03.31 printed of the same two images, which has it;
//! what differs from device to device is left out.

#[path = "common/mod.rs"]
mod common;
#[path = "common/recorded.rs"]
mod recorded;
use pvwatch::devno;

use common::daemon::World;

#[test]
fn json_std_is_that_of_later_versions() {
    let world = World::new();
    let images = ["disk1.img", "disk2.img"].map(|name| (format!("{name}.gz"), name.to_owned()));
    recorded::unpack(&world, &images);
    let options = ["--reportformat", "json_std", "--devices", "disk1.img,disk2.img"];
    recorded::compare(&world, include_str!("report/json_std.json"), &options);
}
