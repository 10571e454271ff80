//! Partitions, which come and go with the table, and disks on which there should not be one.

use crate::guest::{Machine, run};
use crate::scene::Scene;

/// A command that writes a table of these to a disk: first sector and sectors.
pub fn table(disk: &str, partitions: &[(u32, u32)]) -> String {
    let mut sector = [0; 512];
    for (entry, (start, size)) in sector[446..].chunks_mut(16).zip(partitions) {
        entry[4] = 0x83;
        entry[8..12].copy_from_slice(&start.to_le_bytes());
        entry[12..16].copy_from_slice(&size.to_le_bytes());
    }
    sector[510..].copy_from_slice(&[0x55, 0xaa]);
    let bytes = sector.iter().map(|byte| format!("\\{byte:03o}")).collect::<String>();
    format!("printf '{bytes}' | dd of={disk} conv=notrunc,fsync status=none")
}

/// Nobody may have a partition open, and udevd, which has seen the table being written, may.
fn reread(disk: &str) -> String {
    format!("udevadm settle; until blockdev --rereadpt {disk} 2>/dev/null; do sleep 0.1; done; udevadm settle")
}

const NO_TABLE: &str = "dd if=/dev/zero bs=512 count=1 conv=notrunc,fsync status=none";

impl Scene {
    fn partition(&mut self, disk: &str, partitions: &[(u32, u32)]) {
        run(&format!("{}; {}", table(disk, partitions), reread(disk)));
        self.agree(&format!("{disk} has the partitions {partitions:?}"));
    }
}

#[test]
fn partitions_come_and_go_with_the_table() {
    let machine = Machine::udev();
    let disks = machine.disks(2, 64);
    let [a, b] = [&disks[0], &disks[1]].map(ToString::to_string);
    let (first, second) = ((2048, 32768), (40960, 32768));
    let mut scene = Scene::begin();
    scene.partition(&a, &[first, second]);
    scene.step(&format!("pvcreate -q {a}1"));
    scene.step(&format!("vgcreate -q vg0 {a}1 {a}2 {b}"));
    scene.step("lvcreate -q -y -an -Zn -Wn -l 3 -n lv vg0");
    scene.partition(&a, &[first]);
    assert_eq!(scene.missing().len(), 1);
    scene.partition(&a, &[first, second]);
    assert_eq!(scene.missing().len(), 0);
    // What was the second is the first now, and in the place of the second nothing is.
    scene.partition(&a, &[second, (76800, 32768)]);
    assert_eq!(scene.missing().len(), 1);
    scene.partition(&a, &[first, second]);
    // Without the table being changed.
    scene.step(&format!("delpart {a} 1; udevadm settle"));
    assert_eq!(scene.missing().len(), 1);
    scene.step(&format!("partx -a --nr 1 {a}; udevadm settle"));
    assert_eq!(scene.missing().len(), 0);
    scene.step(&format!("{NO_TABLE} of={a}; {}", reread(&a)));
    assert_eq!(scene.missing().len(), 2);
    scene.end();
}

/// Its label is still there, behind the table; to LVM such a disk holds no PV.
#[test]
fn a_pv_on_a_disk_over_which_a_table_is_written() {
    let machine = Machine::udev();
    let disks = machine.disks(2, 64);
    let [a, b] = [&disks[0], &disks[1]].map(ToString::to_string);
    let image = machine.loop_device(64).display().to_string();
    let mut scene = Scene::begin();
    scene.step(&format!("pvcreate -q {image}"));
    scene.step(&format!("vgcreate -q vg0 {a} {b}"));
    scene.partition(&a, &[(2048, 32768)]);
    assert_eq!(scene.missing().len(), 1);
    assert_eq!(scene.daemon.show_one(&a)["findings"][0]["code"], "partition-table");
    scene.step(&format!("pvcreate -q {a}1"));
    scene.step(&format!("{NO_TABLE} of={a}; {}", reread(&a)));
    assert_eq!(scene.missing().len(), 0);
    // Nobody looks for partitions on a loop device, unless told to.
    run(&table(&image, &[(2048, 32768)]));
    scene.agree("a loop device has a table");
    assert_eq!(scene.daemon.pvs().len(), 3);
    scene.step(&format!(
        "file=$(losetup -n -O BACK-FILE {image}); losetup -d {image}; losetup -P {image} $file; udevadm settle"
    ));
    assert_eq!(scene.daemon.pvs().len(), 2);
    scene.end();
}
