//! What `vgchange -aay --autoactivation event` activates is what the rules of metadata and
//! configuration say.

use crate::fresh;
use crate::guest::{Machine, run, settle, try_run};
use pvwatch::activation::decide::{by_metadata, parts};
use pvwatch::metadata::VgText;
use pvwatch::sys::settings::{Over, load};
use pvwatch::sys::system_id;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::rc::Rc;

/// What makes a VG, its first disk and perhaps a second being `$a` and `$b`.
const VGS: [(&str, usize, &str); 14] = [
    ("plain", 1, "lvcreate -l 1 -n one plain; lvcreate -l 1 -n two plain"),
    ("bare", 1, ":"),
    ("exported", 1, "lvcreate -l 1 -n lv exported; vgchange -an exported; vgexport exported"),
    ("foreign", 1, "lvcreate -l 1 -n lv foreign"),
    ("extra", 1, "lvcreate -l 1 -n lv extra"),
    ("own", 1, "lvcreate -l 1 -n lv own"),
    ("noauto", 1, "lvcreate -l 1 -n lv noauto; vgchange --setautoactivation n noauto"),
    (
        "flags",
        1,
        "for lv in no skip yes; do lvcreate -l 1 -n $lv flags; done
        lvchange --setautoactivation n flags/no; lvchange --setactivationskip y flags/skip",
    ),
    ("skipped", 1, "lvcreate -l 1 -n lv skipped; lvchange --setactivationskip y skipped/lv"),
    (
        "tags",
        1,
        "for lv in host mine none; do lvcreate -l 1 -n $lv tags; done
        lvchange --addtag here tags/host; lvchange --addtag mine tags/mine",
    ),
    (
        "thin",
        2,
        "lvcreate -l 2 -T thin/pool; lvcreate -V 8M -n lv --thinpool pool thin; lvcreate -s -n snap thin/lv
        lvcreate -s -kn -n snap2 thin/lv; lvcreate -l 2 -T thin/unused; lvcreate --type cache-pool -l 8 -n cpool thin",
    ),
    ("raid", 2, "lvcreate --type raid1 -m 1 -l 1 -n lv raid"),
    (
        "snaps",
        1,
        "for lv in o p; do lvcreate -l 1 -n $lv snaps; lvcreate -s -l 1 -n of$lv snaps/$lv; done
        lvcreate -s -l 1 -V 8M -n virtual snaps; lvchange -an snaps/p; lvchange --setactivationskip y snaps/p
        lvchange --setautoactivation n snaps/ofo",
    ),
    (
        "marked",
        2,
        "lvcreate -l 1 -n lv marked; vgchange -an marked; vgcfgbackup -f /run/marked marked
        sed -i '0,/flags = \\[\\]/! {/pv1 {/,/}/ s/flags = \\[\\]/flags = [\"MISSING\"]/}' /run/marked
        grep -q MISSING /run/marked; vgcfgrestore --force -f /run/marked marked",
    ),
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
    for (vg, disks, script) in VGS {
        let disks = free.by_ref().take(disks).map(ToString::to_string).collect::<Vec<_>>().join(" ");
        let owner = match vg {
            "foreign" => "them",
            "extra" => "old",
            "own" => "us",
            _ => "",
        };
        let create = format!("vgcreate -q -s 1M --systemid '{owner}' {vg} {disks}");
        lvm(&format!("exec 2>&1; {create}; alias lvcreate='lvcreate -q -y'\n{script}"));
    }
    lvm("vgchange -an");
    assert_eq!(active(), BTreeSet::new());
    let own = "local { system_id=\"us\" extra_system_ids=[\"old\"] } global { system_id_source=\"lvmlocal\" }";
    for (number, conf) in [
        own.to_owned(),
        // A host without a system ID has no VG that has one, extra or not.
        "local { extra_system_ids=[\"old\"] }".to_owned(),
        own.to_owned()
            + " activation { auto_activation_volume_list=[\"plain/two\", \"@mine\", \"thin/lv\", \"snaps/p\"] }",
        own.to_owned()
            + " activation { volume_list=[\"plain/two\", \"@*\", \"\", 7, \"@\"] } tags { here {} other {} }",
        own.to_owned() + " tags { here {} }",
        own.to_owned() + " activation { auto_activation_volume_list=[\"@*\"] volume_list=\"tags\" } tags { here {} }",
        own.to_owned() + " activation { auto_activation_volume_list=[] }",
        own.to_owned() + " global { event_activation=0 }",
    ]
    .iter()
    .enumerate()
    {
        fs::write(path.join("lvm.conf"), conf).unwrap();
        let settings = load(path, Over::Nothing).unwrap();
        let system_id = system_id::local(&settings.system_id);
        let texts = texts(path);
        assert_eq!(texts.len(), VGS.len());
        let mut expected = BTreeMap::new();
        for (vg, text) in &texts {
            let decision = by_metadata(text, &settings, system_id.as_deref());
            let parts = parts(text, &settings.policy);
            let names = parts.iter().filter(|part| part.rule.is_none() && decision.is_ok());
            let names = names.map(|part| format!("{vg}-{}", String::from_utf8_lossy(&part.lv)));
            expected.insert(vg.clone(), names.collect::<BTreeSet<_>>());
        }
        let names = texts.keys().cloned().collect::<Vec<_>>().join(" ");
        let said = String::from_utf8(
            try_run(&format!(
                "export LVM_SYSTEM_DIR={}
                for vg in {names}; do lvm vgchange -aay --autoactivation event $vg 2>&1 || true; done",
                path.display()
            ))
            .stdout,
        );
        settle();
        let active = active();
        let visible = |vg: &str, text: &VgText| {
            let parts = parts(text, &settings.policy);
            parts.iter().map(|part| format!("{vg}-{}", String::from_utf8_lossy(&part.lv))).collect::<BTreeSet<_>>()
        };
        let found =
            texts.iter().map(|(vg, text)| (vg.clone(), &visible(vg, text) & &active)).collect::<BTreeMap<_, _>>();
        assert_eq!(found, expected, "{number}: {conf}\n{said:?}");
        fs::write(path.join("lvm.conf"), all).unwrap();
        lvm("vgchange -q -an");
    }
    fs::write(path.join("lvm.conf"), all).unwrap();
    lvm("vgimport -q exported; vgremove -q -ff -y $(vgs --noheadings -o vg_name | grep -v marked)");
}
