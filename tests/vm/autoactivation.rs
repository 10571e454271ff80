//! What LVM activates of the VGs whose PVs `pvscan` lets come online is what the rules of metadata and
//! configuration say: `vgchange -aay --autoactivation event`, each by itself.

use crate::fresh;
use crate::guest::{Machine, run, settle};
use pvwatch::activation::Part;
use pvwatch::activation::decide::{by_metadata, parts};
use pvwatch::metadata::VgText;
use pvwatch::sys::settings::{Over, load};
use pvwatch::sys::system_id;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::rc::Rc;

/// The name of a VG, how many disks it has, and what is done to it when it is made.
const VGS: [(&str, usize, &str); 13] = [
    ("plain", 1, "lvcreate -an -Zn -Wn -l 1 -n one plain; lvcreate -an -Zn -Wn -l 1 -n two plain"),
    ("bare", 1, ":"),
    ("exported", 1, "lvcreate -an -Zn -Wn -l 1 -n lv exported; vgexport exported"),
    ("foreign", 1, "lvcreate -an -Zn -Wn -l 1 -n lv foreign"),
    ("extra", 1, "lvcreate -an -Zn -Wn -l 1 -n lv extra"),
    ("noauto", 1, "lvcreate -an -Zn -Wn -l 1 -n lv noauto; vgchange --setautoactivation n noauto"),
    (
        "flags",
        1,
        "for lv in no skip yes; do lvcreate -an -Zn -Wn -l 1 -n $lv flags; done
        lvchange --setautoactivation n flags/no; lvchange --setactivationskip y flags/skip",
    ),
    ("skipped", 1, "lvcreate -an -Zn -Wn -l 1 -n lv skipped; lvchange --setactivationskip y skipped/lv"),
    (
        "tags",
        1,
        "for lv in host mine none; do lvcreate -an -Zn -Wn -l 1 -n $lv tags; done
        lvchange --addtag here tags/host; lvchange --addtag mine tags/mine",
    ),
    (
        "thin",
        2,
        "lvcreate -l 2 -T thin/pool; lvcreate -V 8M -n lv --thinpool pool thin
        lvcreate -s -n snap thin/lv; lvcreate -l 2 -T thin/unused
        lvcreate --type cache-pool -l 8 -n cpool thin",
    ),
    ("raid", 2, "lvcreate -an -Zn -Wn --type raid1 -m 1 -l 1 -n lv raid"),
    (
        "snaps",
        1,
        "lvcreate -l 1 -n o snaps; lvcreate -s -l 1 -n ofo snaps/o
        lvcreate -l 1 -n p snaps; lvcreate -s -l 1 -n ofp snaps/p
        lvcreate -s -l 1 -V 8M -n virtual snaps; lvchange -an snaps/p
        lvchange --setactivationskip y snaps/p; lvchange --setautoactivation n snaps/ofo",
    ),
    ("missing", 2, "lvcreate -an -Zn -Wn -l 2 -n lv missing"),
];

/// Each LV that is active: `VG-LV`, and what LVM has made of it below.
fn active() -> BTreeSet<String> {
    let listed = run("dmsetup ls");
    listed.lines().filter(|line| line.contains('\t')).map(|line| line.split('\t').next().unwrap().to_owned()).collect()
}

fn texts(directory: &Path) -> BTreeMap<String, Rc<VgText>> {
    let watcher = fresh::scan(load(directory, Over::Nothing).unwrap());
    let found = watcher.devices().values().filter_map(|device| device.pv()?.vg.clone());
    found.map(|text| (String::from_utf8(text.name.clone()).unwrap(), text)).collect()
}

#[test]
fn vgchange_activates_what_the_rules_say() {
    let machine = Machine::udev();
    let count = VGS.iter().map(|(_, disks, _)| disks).sum::<usize>();
    let disks = machine.disks(count, 40);
    let mut free = disks.iter();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    // As an administrator sees them, who may touch all of them.
    let all =
        "local { system_id=\"us\" extra_system_ids=[\"old\", \"them\"] } global { system_id_source=\"lvmlocal\" }";
    fs::write(path.join("lvm.conf"), all).unwrap();
    let lvm = |script: &str| run(&format!("export LVM_SYSTEM_DIR={}; {script}", path.display()));
    assert_eq!(VGS.last().unwrap().0, "missing");
    for (vg, disks, script) in VGS {
        let disks = free.by_ref().take(disks).map(ToString::to_string).collect::<Vec<_>>().join(" ");
        let owner = match vg {
            "foreign" => "them",
            "extra" => "old",
            _ => "",
        };
        let create = format!("vgcreate -q -s 1M --systemid '{owner}' {vg} {disks}");
        lvm(&create);
        script.lines().for_each(|line| drop(lvm(&format!("alias lvcreate='lvcreate -q -y'\n{line}"))));
    }
    lvm("vgchange -q -an thin snaps");
    disks.last().unwrap().pull();
    let own = "local { system_id=\"us\" extra_system_ids=[\"old\"] } global { system_id_source=\"lvmlocal\" }";
    for conf in [
        "",
        "activation { auto_activation_volume_list=[\"plain/two\", \"@mine\", \"thin/lv\", \"snaps/p\"] }",
        "activation { volume_list=[\"plain/two\", \"@*\", \"\", 7, \"@\"] } tags { here {} other {} }",
    ] {
        fs::write(path.join("lvm.conf"), format!("{own} {conf}")).unwrap();
        let settings = load(path, Over::Nothing).unwrap();
        let system_id = system_id::local(&settings.system_id);
        let texts = texts(path);
        assert_eq!(texts.len(), VGS.len());
        let lv_names = |vg: &str, parts: &[Part]| {
            parts.iter().map(|part| format!("{vg}-{}", String::from_utf8_lossy(&part.lv))).collect::<BTreeSet<_>>()
        };
        let mut visible = BTreeSet::new();
        let mut expected = BTreeSet::new();
        for (vg, text) in &texts {
            let mut parts = parts(text, &settings.policy);
            visible.extend(lv_names(vg, &parts));
            parts.retain(|part| part.rule.is_none());
            match by_metadata(text, &settings, system_id.as_deref()) {
                Ok(()) => assert_ne!(parts, [], "{vg}"),
                Err(_) => parts.clear(),
            }
            // Its devices are another matter.
            if vg != "missing" {
                expected.extend(lv_names(vg, &parts));
            }
        }
        lvm("rm -rf /run/lvm/pvs_online /run/lvm/vgs_online /run/lvm/pvs_lookup; lvm pvscan -q --cache");
        let online = lvm("sed -n s/^vg://p /run/lvm/pvs_online/* | sort -u");
        let activate = |vg| lvm(&format!("lvm vgchange -aay --autoactivation event {vg} 2>&1 || echo status $?"));
        let said = online.lines().map(activate).collect::<String>();
        settle();
        assert_eq!(&active() & &visible, expected, "{conf}\n{said}");
        fs::write(path.join("lvm.conf"), all).unwrap();
        lvm("vgchange -q -an");
        assert_eq!(active(), BTreeSet::new());
    }
}
