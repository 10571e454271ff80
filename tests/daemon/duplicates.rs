//! Several devices with one PV, next to what LVM 2.03 says of them. Loop devices 240 to 259 are ours.

use crate::common::daemon::{Daemon, World};
use crate::common::loops::{Loop, attach_watched};
use crate::common::lvm::{Lvm, conf};
use crate::common::testing::needs;
use crate::common::{copy, write_blank};
use serde_json::Value;
use std::path::PathBuf;
use std::process::Command;

const DISK_SIZE: u64 = 32 << 20;

/// A VG on the first disk, and copies of that.
struct Scene {
    world: World,
    disks: Vec<Loop>,
    images: Vec<PathBuf>,
}

impl Scene {
    fn new(first: u32, count: u32) -> std::io::Result<Scene> {
        let world = World::new();
        let images = (first..first + count).map(|number| world.path(&number.to_string())).collect::<Vec<_>>();
        world.configure(&conf(first..=first + count - 1, "global { event_activation=1 }"));
        write_blank(&images[0], DISK_SIZE);
        let disks = attach_watched(first, &[&images[0]])?;
        let mut scene = Scene { world, disks, images };
        let lvm = scene.lvm()?;
        lvm.run(&format!("vgcreate vg0 {}", scene.node(0)));
        for index in 1..scene.images.len() {
            copy(&scene.images[0], &scene.images[index]);
            scene.attach(index)?;
        }
        Ok(scene)
    }

    fn lvm(&self) -> std::io::Result<Lvm<'_>> {
        Lvm::new(&self.world)
    }

    fn attach(&mut self, index: usize) -> std::io::Result<()> {
        let number = self.disks[0].number + u32::try_from(index).expect("small");
        self.disks.push(Loop::attach(number, &self.images[index])?);
        Ok(())
    }

    fn node(&self, index: usize) -> String {
        self.disks[index].node().display().to_string()
    }

    /// Which disk LVM uses, and which it takes for duplicates.
    fn said_by_lvm(&self) -> (Vec<usize>, Vec<usize>) {
        let rows = self.lvm().unwrap().report("pvs -a -o pv_name,pv_duplicate -S pv_name=~loop");
        let (mut used, mut duplicates) = (Vec::new(), Vec::new());
        for row in rows.lines() {
            let words = row.split_whitespace().collect::<Vec<_>>();
            let index = (0..self.disks.len()).find(|index| self.node(*index) == words[0]);
            let is_duplicate = words.get(1) == Some(&"duplicate");
            if is_duplicate { &mut duplicates } else { &mut used }.extend(index);
        }
        (used, duplicates)
    }

    /// The same of ours. One that is a copy of nothing and not used is in neither.
    fn said_by(&self, daemon: &Daemon) -> (Vec<usize>, Vec<usize>) {
        daemon.settle();
        let pvs = daemon.pvs();
        let all = || 0..self.disks.len();
        let used = all().filter(|index| pvs.values().any(|device| *device == self.disks[*index].device()));
        let is_copy = |index: &usize| !self.shown(daemon, *index)["duplicate_of"].is_null();
        (used.collect(), all().filter(is_copy).collect())
    }

    fn shown(&self, daemon: &Daemon, index: usize) -> Value {
        daemon.show_one(self.disks[index].node())["pv"].take()
    }

    /// A command of one who sees this disk and no other.
    fn change_only(&self, index: usize, command: &str) {
        let command = format!("{command} --devices {}", self.node(index));
        let run = self.lvm().unwrap().command(&command).output().unwrap();
        assert!(run.status.success(), "{command}: {}", String::from_utf8_lossy(&run.stderr));
    }
}

fn because(pv: &Value) -> &str {
    pv["because"].as_str().unwrap_or_default()
}

#[test]
fn a_cloned_disk_is_a_copy_until_it_is_changed() {
    let Some(scene) = needs("a_cloned_disk_is_a_copy_until_it_is_changed", Scene::new(240, 2)) else { return };
    let daemon = scene.world.start([""; 0]);
    // The name of the first is in the metadata.
    assert_eq!(scene.said_by(&daemon), (vec![0], vec![1]));
    assert_eq!(scene.said_by_lvm(), (vec![0], vec![1]));
    assert_eq!(because(&scene.shown(&daemon, 1)), "the metadata of the VG names it");
    assert_eq!(daemon.status()["flags"]["global_disable"], false);
    assert!(scene.world.run_dir().join("pvs_online").read_dir().unwrap().count() == 1);

    // Changed on the clone: its metadata is newer, and names the clone. LVM goes on with the first,
    // whose metadata is the older; we take none.
    scene.change_only(1, "vgchange --addtag clone vg0");
    assert_eq!(scene.said_by(&daemon), (vec![], vec![]));
    assert_eq!(scene.said_by_lvm(), (vec![0], vec![1]));
    let vg = daemon.vg("vg0").unwrap();
    assert_eq!((vg.seqno, vg.missing.len(), &vg.outdated[..]), (2, 1, &[][..]));
    let status = daemon.status();
    assert_eq!((&status["counts"]["ambiguous"], &status["counts"]["duplicates"]), (&1.into(), &0.into()));
    let differs = format!("seqno 1 on {}, seqno 2 on {}", scene.node(0), scene.node(1));
    assert_eq!(status["ambiguous"][0]["differs"], differs);
    assert_eq!(status["ambiguous"][0]["devices"], serde_json::json!([scene.node(0), scene.node(1)]));
    assert_eq!(scene.world.run_dir().join("pvs_online").read_dir().unwrap().count(), 0);
    for index in [0, 1] {
        let run = Command::new(env!("CARGO_BIN_EXE_pvwatch"))
            .arg("-s")
            .arg(scene.world.socket())
            .args(["pvscan", "--cache", "--listvg", &scene.node(index)])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&run.stderr);
        assert_eq!((run.status.code(), said.contains(&differs)), (Some(5), true), "{said}");
    }
    // It ends by itself.
    scene.disks[1].detach();
    assert_eq!(scene.said_by(&daemon), (vec![0], vec![]));
    assert_eq!(daemon.vg("vg0").unwrap().seqno, 1);
    assert!(scene.world.log().contains(&format!("ambiguous, they differ: {differs}")));
}

#[test]
fn of_three_copies_the_next_takes_over() {
    let Some(scene) = needs("of_three_copies_the_next_takes_over", Scene::new(244, 3)) else { return };
    let daemon = scene.world.start([""; 0]);
    for (used, copies) in [(0, vec![1, 2]), (1, vec![2]), (2, vec![])] {
        assert_eq!(scene.said_by(&daemon), (vec![used], copies.clone()));
        assert_eq!(scene.said_by_lvm(), (vec![used], copies));
        assert!(daemon.vg("vg0").unwrap().is_complete());
        scene.disks[used].detach();
    }
    assert_eq!(scene.said_by(&daemon), (vec![], vec![]));
    // And they come back as they went.
    for index in [2, 0] {
        scene.disks[index].attach_again(&scene.images[index]);
    }
    daemon.settle();
    assert_eq!(because(&scene.shown(&daemon, 2)), "the metadata of the VG names it");
    assert_eq!(scene.said_by(&daemon), scene.said_by_lvm());
}

/// As when a disk was copied to a larger one: the label says how large its own disk is.
#[test]
fn a_copy_on_a_larger_disk_is_not_the_one() {
    let Some(scene) = needs("a_copy_on_a_larger_disk_is_not_the_one", Scene::new(248, 2)) else { return };
    scene.disks.iter().for_each(Loop::detach);
    // The name speaks for the first, and the size, which comes before, for the second.
    let larger = std::fs::File::options().write(true).open(&scene.images[0]).unwrap();
    larger.set_len(2 * DISK_SIZE).unwrap();
    drop(larger);
    for index in [0, 1] {
        scene.disks[index].attach_again(&scene.images[index]);
    }
    let daemon = scene.world.start([""; 0]);
    assert_eq!(scene.said_by(&daemon), (vec![1], vec![0]));
    assert_eq!(because(&scene.shown(&daemon, 0)), "it has the size that its label says");
    assert_eq!(scene.said_by_lvm(), (vec![1], vec![0]));
}

#[test]
fn the_name_in_the_metadata_decides_and_not_who_was_first() {
    let scene = needs("the_name_in_the_metadata_decides_and_not_who_was_first", Scene::new(252, 2));
    let Some(scene) = scene else { return };
    scene.disks[0].detach();
    let daemon = scene.world.start([""; 0]);
    assert_eq!(scene.said_by(&daemon), (vec![1], vec![]));
    scene.disks[0].attach_again(&scene.images[0]);
    assert_eq!(scene.said_by(&daemon), (vec![0], vec![1]));
    assert_eq!(scene.said_by_lvm(), (vec![0], vec![1]));
}
