//! Paths to a disk, before the daemon comes in: what `inspect` and `pvscan` without it make of them.

use crate::common::wait_for;
use crate::guest::{Machine, run, settle};
use crate::scene::program;
use serde_json::{Value, json};
use std::fs;

const LIST: &str = "/etc/multipath/wwids";
const CONF: &str = "/etc/multipath.conf";

/// The machine's files are those of whoever runs it next.
struct Files;

impl Drop for Files {
    fn drop(&mut self) {
        let _ = fs::remove_file(LIST);
        let _ = fs::remove_file(CONF);
    }
}

fn inspect(node: &str) -> Value {
    let printed = run(&format!("{} inspect --json {node} || true", program("pvwatch").display()));
    serde_json::from_str::<Value>(&printed).unwrap()[0].clone()
}

fn pvscan(node: &str) -> String {
    run(&format!(
        "LVM_LVMETAD_SOCKET=/nowhere {} pvscan --cache --listvg {node} 2>&1 || true",
        program("pvwatch").display()
    ))
}

#[test]
fn a_path_is_told_by_its_map_or_by_the_list() {
    let _machine = Machine::udev();
    let _files = Files;
    // Two hosts over one store.
    run("modprobe dm-mod; modprobe scsi_debug add_host=2 num_tgts=1 dev_size_mb=64 vpd_use_hostno=0");
    let nodes = wait_for("the disks", || {
        let nodes =
            run("ls -d /sys/bus/pseudo/drivers/scsi_debug/adapter*/host*/target*/*/block/* 2>/dev/null || true");
        let nodes = nodes.lines().map(|path| format!("/dev/{}", path.rsplit('/').next().unwrap())).collect::<Vec<_>>();
        (nodes.len() == 2).then_some(nodes)
    });
    settle();
    let [one, two] = &nodes[..] else { unreachable!() };
    let disk = one.rsplit('/').next().unwrap();
    run(&format!("pvcreate -q --config devices/scan_lvs=0 {one}; udevadm settle"));
    for node in [one, two] {
        let inspected = inspect(node);
        assert_eq!(inspected["verdict"], "pv", "{inspected}");
    }

    let wwid = fs::read_to_string(format!("/sys/block/{disk}/device/wwid")).unwrap();
    let wwid = wwid.trim().strip_prefix("naa.").map(|id| format!("3{id}")).expect("scsi_debug has NAA names");
    fs::create_dir_all("/etc/multipath").unwrap();
    fs::write(LIST, format!("# Multipath wwids\n/{wwid}/\n")).unwrap();
    for node in [one, two] {
        let inspected = inspect(node);
        assert_eq!(inspected["verdict"], "member", "{inspected}");
        let member = json!({
            "device": null, "format": "multipath", "version": "", "name": null, "uuid": wwid,
            "role": "path", "level": null, "members": null,
        });
        assert_eq!(inspected["member_of"], member);
        assert!(pvscan(node).contains("device is a multipath component"), "{}", pvscan(node));
        // LVM goes by the same list.
        let theirs = run(&format!("pvs -a {node} 2>&1 || true"));
        assert!(theirs.contains("multipath component"), "{theirs}");
    }
    fs::write(CONF, format!("blacklist {{\n\twwid {wwid}\n}}\n")).unwrap();
    assert_eq!(inspect(one)["verdict"], "pv");
    fs::remove_file(LIST).unwrap();
    fs::write(CONF, "defaults {\n\tfind_multipaths yes\n}\n").unwrap();
    assert_eq!(inspect(one)["verdict"], "pv", "who asks gets to know what is there");
    let pending = pvscan(one);
    let udev_says_no = run(&format!("udevadm info -q property {one}")).contains("DM_MULTIPATH_DEVICE_PATH=0");
    assert_eq!(pending.contains("device may be a multipath component"), !udev_says_no, "{pending}");
    fs::remove_file(CONF).unwrap();

    // What holds them is told by its UUID, whatever its targets are; of one store, either half is right.
    let half = run(&format!("blockdev --getsz {one}")).trim().parse::<u64>().unwrap() / 2;
    run(&format!(
        "printf '0 {half} linear {one} 0\n{half} {half} linear {two} {half}\n' | dmsetup create -u mpath-{wwid} mpatha
        udevadm settle"
    ));
    let node = run("readlink -f /dev/mapper/mpatha");
    for path in [one, two] {
        let member = &inspect(path)["member_of"];
        assert_eq!(
            (&member["device"], &member["name"], &member["uuid"]),
            (&json!(node.trim()), &json!("mpatha"), &json!(wwid))
        );
    }
    let inspected = inspect("/dev/mapper/mpatha");
    assert_eq!(inspected["verdict"], "pv", "{inspected}");
    run("dmsetup remove --retry mpatha; udevadm settle");
    assert_eq!(inspect(one)["verdict"], "pv");
}
