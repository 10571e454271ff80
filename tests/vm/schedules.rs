//! Disks that come, go and flap at random: whatever has happened in between, at the end each VG
//! that is complete is active, has been activated once for being complete, and no other is.
//!
//! `PVWATCH_SEED` is the seed of a single schedule, `PVWATCH_SEEDS` how many there are.

use crate::common::wait_until;
use crate::guest::{Machine, run};
use crate::in_charge::{InCharge, LVM, check_run_files, dm_names, pvids_of};
use crate::rng::Rng;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

/// All 50 take as long as everything else in the machine: `PVWATCH_SEEDS=50 scripts/vm --timeout 3000
/// --test schedules`.
const SEEDS: u64 = 5;
const VGS: usize = 6;
const PVS: usize = 2;
const OPERATIONS: u64 = 10;

struct Disks {
    nodes: Vec<PathBuf>,
    /// PVIDs, in the same order.
    pvids: Vec<String>,
    is_on: Vec<bool>,
    /// Of each VG, whether an LV may be left of when it was whole.
    is_littered: [bool; VGS],
}

impl Disks {
    fn switch(&mut self, disk: usize, on: bool) {
        let power = format!("/sys/kernel/config/nullb/nullb{disk}/power");
        fs::write(power, if on { "1" } else { "0" }).unwrap();
        self.is_on[disk] = on;
    }

    fn is_complete(&self, vg: usize) -> bool {
        self.is_on[vg * PVS..(vg + 1) * PVS].iter().all(|is_on| *is_on)
    }

    fn vgs(&self) -> BTreeMap<String, Vec<(String, Option<PathBuf>)>> {
        let pv = |disk: usize| (self.pvids[disk].clone(), self.is_on[disk].then(|| self.nodes[disk].clone()));
        (0..VGS).map(|vg| (format!("vg{vg}"), (vg * PVS..(vg + 1) * PVS).map(pv).collect())).collect()
    }
}

fn lv_of(vg: usize) -> String {
    format!("vg{vg}-lv")
}

/// Whoever pulls a disk removes what was on it before it is back: `null_blk` gives it its old number
/// again, though an LV still has the one that has gone, and no refresh helps that LV then.
fn remove_lv(vg: usize) {
    if dm_names().contains(&lv_of(vg)) {
        run(&format!("dmsetup remove --retry {}", lv_of(vg)));
    }
}

/// All of it is read, from the disks.
fn read_lv(vg: usize) -> std::io::Result<usize> {
    let flags = nix::fcntl::OFlag::O_DIRECT.bits();
    let mut lv = File::options().read(true).custom_flags(flags).open(format!("/dev/mapper/{}", lv_of(vg)))?;
    // Of a vector twice as long, there is a part that is aligned.
    let mut bytes = vec![0; 128 << 10];
    let at = bytes.as_ptr().align_offset(4096);
    lv.read(&mut bytes[at..at + (64 << 10)])
}

#[test]
fn at_the_end_each_complete_vg_is_active_and_no_other() {
    let machine = Machine::udev();
    let nodes = machine.null_blks(VGS * PVS, 8);
    let settings = "devices { types=[\"nullb\", 16] }";
    let charge = InCharge::begin_with(&machine, settings, "", LVM);
    let mut commands = String::new();
    for vg in 0..VGS {
        let [a, b] = [0, 1].map(|pv| nodes[vg * PVS + pv].display());
        write!(commands, "vgcreate -qq -s 1M vg{vg} {a} {b}\nlvcreate -qq -an -Zn -Wn -i 2 -l 2 -n lv vg{vg}\n")
            .unwrap();
    }
    run(&format!("lvm <<'END'\n{commands}END"));
    let pvids = pvids_of(&nodes);
    let mut disks = Disks {
        pvids: nodes.iter().map(|node| pvids[node].clone()).collect(),
        is_on: vec![true; nodes.len()],
        nodes,
        is_littered: [false; VGS],
    };
    for disk in 0..VGS * PVS {
        disks.switch(disk, false);
    }
    charge.settle();
    let seeds = match std::env::var("PVWATCH_SEED") {
        Ok(seed) => vec![seed.parse().unwrap()],
        Err(_) => {
            let count = std::env::var("PVWATCH_SEEDS").map_or(SEEDS, |count| count.parse().unwrap());
            (0..count).collect()
        }
    };
    for seed in seeds {
        schedule(seed, &charge, &mut disks);
    }
}

fn schedule(seed: u64, charge: &InCharge, disks: &mut Disks) {
    let mut rng = Rng::new(seed);
    let calls = charge.calls().len();
    let before = (0..VGS).map(|vg| charge.activations(&format!("vg{vg}"))).collect::<Vec<_>>();
    let mut completed = [0; VGS];
    let mut story = String::new();
    for _ in 0..OPERATIONS {
        let disk = rng.index(VGS * PVS);
        let vg = disk / PVS;
        let was_on = disks.is_on[disk];
        write!(story, "{}{disk} ", if was_on { '-' } else { '+' }).unwrap();
        if was_on {
            // Perhaps while it is being activated.
            disks.is_littered[vg] |= disks.is_complete(vg);
            disks.switch(disk, false);
        }
        // Or back at once.
        if !was_on || rng.one_in(3) {
            if disks.is_littered[vg] {
                charge.settle();
                remove_lv(vg);
                disks.is_littered[vg] = false;
            }
            disks.switch(disk, true);
            completed[vg] += usize::from(disks.is_complete(vg));
            story.push_str(if was_on { "and back " } else { "" });
        }
        if rng.one_in(3) {
            story.push_str("settle ");
            charge.settle();
        }
    }
    charge.settle();
    // An activation may have begun before its disk was pulled.
    for vg in 0..VGS {
        if !disks.is_complete(vg) {
            remove_lv(vg);
            disks.is_littered[vg] = false;
        }
    }
    let context = format!("PVWATCH_SEED={seed}: {story}\n{:#?}\n{}", &charge.calls()[calls..], charge.log());
    let active = (0..VGS).filter(|vg| disks.is_complete(*vg)).map(lv_of).collect();
    assert_eq!(dm_names(), active, "{context}");
    check_run_files(&disks.vgs(), &context);
    for vg in 0..VGS {
        let count = charge.activations(&format!("vg{vg}")) - before[vg];
        // One that was whole for a moment only may have been seen so, or not.
        let fewest = usize::from(completed[vg] > 0 && disks.is_complete(vg));
        assert!((fewest..=completed[vg]).contains(&count), "vg{vg} {count} times of {}: {context}", completed[vg]);
        if disks.is_complete(vg) {
            wait_until("udev to make its node", || fs::exists(format!("/dev/mapper/{}", lv_of(vg))).unwrap());
            assert_eq!(read_lv(vg).unwrap_or_else(|error| panic!("vg{vg}: {error}: {context}")), 64 << 10, "{context}");
        }
    }
}
