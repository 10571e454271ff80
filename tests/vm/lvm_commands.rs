//! VGs of all kinds through all that is done to them, with LVs in use all the while.

use crate::guest::Machine;
use crate::scene::{InUse, Scene};

#[test]
fn linear_and_striped() {
    let machine = Machine::udev();
    let disks = machine.disks(6, 64);
    let [a, b, c, d, e, f] = &disks[..] else { unreachable!() };
    let mut scene = Scene::begin();
    scene.agree("nothing yet");
    scene.step(&format!("pvcreate -q {a}"));
    scene.step(&format!("pvcreate -q --metadatacopies 2 {b}"));
    scene.step(&format!("pvcreate -q --metadatacopies 0 {c}"));
    scene.step(&format!("vgcreate -q -s 1M vg0 {a} {b} {c}"));
    scene.step(&format!("lvcreate -q -y -l 24 -n linear vg0 {a}:0-7 {b}:0-7 {c}:0-7"));
    let linear = InUse::begin("/dev/vg0/linear");
    scene.agree("it is mounted");
    scene.step("lvcreate -q -y -i 3 -l 12 -n striped vg0");
    let striped = InUse::begin("/dev/vg0/striped");
    scene.step(&format!("vgextend -q vg0 {d} {e}"));
    scene.step("lvextend -q -l +10 vg0/linear");
    scene.step("lvrename -q vg0 striped stripes");
    scene.step("vgrename -q vg0 vg1");
    scene.step("vgchange -q --addtag tag vg1");
    scene.step(&format!("pvchange -q --metadataignore y {b}"));
    scene.step(&format!("pvmove -q -i 1 {a} {d}"));
    scene.step(&format!("vgreduce -q vg1 {a}"));
    scene.step(&format!("pvchange -q --metadataignore n {b}"));
    scene.step(&format!("vgsplit -q vg1 vg2 {e}"));
    scene.step("lvcreate -q -y -l 3 -n other vg2");
    scene.step("lvchange -q -an vg2/other; vgmerge -q vg1 vg2");
    scene.step("vgck --updatemetadata vg1");

    scene.step(&format!("vgcreate -q -s 1M vg3 {a} {f}; lvcreate -q -y -an -Zn -Wn -l 4 -n lv vg3"));
    scene.step("vgexport -q vg3");
    scene.step("vgimport -q vg3");
    scene.step("vgchange -q -u vg3");
    scene.step(&format!("pvchange -q -u {a}"));
    scene.step("vgcfgbackup -q -f /run/vg3.backup vg3; lvcreate -q -y -an -Zn -Wn -l 4 -n more vg3");
    scene.step("vgcfgrestore -q -f /run/vg3.backup vg3");
    scene.step(&format!("pvresize -q -y --setphysicalvolumesize 32M {f}"));
    scene.step("vgremove -q -y vg3");
    scene.step(&format!("pvremove -q {a} {f}"));

    linear.end();
    striped.end();
    scene.step("lvreduce -q -y -l 6 vg1/stripes");
    scene.step("lvremove -q -y vg1/linear");
    scene.step("vgremove -q -y vg1");
    scene.step(&format!("pvremove -q {b} {c} {d} {e}"));
    scene.end();
}

#[test]
fn raid_thin_cache_and_snapshots() {
    let machine = Machine::udev();
    let disks = machine.disks(4, 64);
    let [a, b, c, d] = &disks[..] else { unreachable!() };
    let mut scene = Scene::begin();
    scene.step(&format!("vgcreate -q -s 1M vg0 {a} {b} {c} {d}"));
    scene.step("lvcreate -q -y --type raid1 -m 1 -l 8 -n raid vg0");
    let raid = InUse::begin("/dev/vg0/raid");
    scene.step("lvconvert -q -y -m 2 vg0/raid");
    scene.step("lvconvert -q -y -m 1 vg0/raid");
    scene.step("lvextend -q -l +4 vg0/raid");

    scene.step("lvcreate -q -y -T -L 8M -V 16M -n thin vg0/pool");
    let thin = InUse::begin("/dev/vg0/thin");
    scene.step("lvcreate -q -y -s -kn -n thinsnap vg0/thin");
    scene.step("lvextend -q -L +4M vg0/pool");
    scene.step("lvremove -q -y vg0/thinsnap");

    scene.step("lvcreate -q -y -l 8 -n origin vg0");
    let origin = InUse::begin("/dev/vg0/origin");
    scene.step("lvcreate -q -y -s -l 4 -n snap vg0/origin");
    scene.step("lvextend -q -l +2 vg0/snap");
    scene.step("lvremove -q -y vg0/snap");
    scene.step("lvcreate -q -y -l 8 -n fast vg0");
    scene.step("lvconvert -q -y --type cache --cachevol fast vg0/origin");
    scene.step("lvconvert -q -y --uncache vg0/origin");
    scene.step("lvcreate -q -y --type cache-pool -l 8 -n fast vg0");
    scene.step("lvconvert -q -y --type cache --cachepool fast vg0/origin");
    scene.step("lvconvert -q -y --splitcache vg0/origin");
    scene.step("vgrename -q vg0 vg1");

    origin.end();
    thin.end();
    raid.end();
    scene.step("lvcreate -q -y -s -l 4 -n snap vg1/origin; lvconvert -q -y -i 1 --merge vg1/snap");
    scene.step("lvremove -q -y vg1/pool");
    scene.step("vgchange -q -an vg1");
    scene.step("vgchange -q -ay vg1");
    scene.step("vgremove -q -y vg1");
    scene.end();
}
