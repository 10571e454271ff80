//! `--live`: what the kernel has of LVs of every kind, beside what lvm shows of them.

use crate::common::daemon::World;
use crate::guest::{Disk, Machine, run, try_run};
use crate::scene::{daemon_command, program};
use serde_json::Value;
use std::fs::File;

/// Makes them, a line at a time: each has some time, and all of them together need more.
const SCENE: &str = include_str!("live.sh");

/// What moves while one looks may be as lvm has it before or after.
fn compare(lvm: &str, ours: &str, wrong: &mut Vec<String>) {
    let show = |command: &str| cells(&run(&format!("{command} 2>/dev/null || true")), command);
    let [before, shown] = [lvm, ours].map(show);
    // Programs take long to start here.
    if before == shown {
        return;
    }
    let after = show(lvm);
    if [&before, &after].iter().all(|lvm| lvm.len() != shown.len()) {
        wrong.push(format!("{lvm}: {} of {}", shown.len(), before.len()));
        return;
    }
    for (place, (what, cell)) in shown.iter().enumerate() {
        if [&before, &after].iter().all(|lvm| lvm.get(place).is_none_or(|(_, theirs)| theirs != cell)) {
            let theirs = after.get(place).map_or("", |(_, theirs)| theirs);
            wrong.push(format!("{lvm}: {what}\n  ours {cell}\n  LVM  {theirs}"));
        }
    }
}

/// What is compared: in JSON each field, or else each line.
fn cells(text: &str, command: &str) -> Vec<(String, String)> {
    if !command.contains("json") {
        return text.lines().map(|line| (String::new(), line.to_owned())).collect();
    }
    let report: Value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{command}: {error}\n{text}"));
    let rows = report["report"][0].as_object().unwrap().values().next().unwrap().as_array().unwrap();
    let name =
        |row: &Value| ["lv_name", "pv_name", "vg_name"].iter().find_map(|key| row[key].as_str().map(str::to_owned));
    let cells = rows.iter().flat_map(|row| {
        let name = name(row).unwrap();
        let fields = row.as_object().unwrap().iter();
        fields.map(move |(field, value)| (format!("{field} of {name}"), value.to_string()))
    });
    cells.collect()
}

#[test]
fn lvs_of_every_kind_are_shown_as_lvm_shows_them() {
    let machine = Machine::udev();
    let disks = machine.disks(11, 64).iter().map(Disk::to_string).collect::<Vec<_>>().join(" ");
    let (head, lines) = SCENE.split_once("\n\n").unwrap();
    for line in lines.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        run(&format!("{head}\nset -- {disks}\n{line}"));
    }
    let open = ["/dev/vg/held", "/dev/vg/later"].map(|path| File::open(path).unwrap());
    let world = World::new();
    let daemon = world.start_command(&mut daemon_command(&world));
    daemon.settle();
    let socket = world.report_socket().display().to_string();
    let pvwatch = format!("PVWATCH_SOCKET={socket} {}", program("pvwatch").display());

    // lvm starts dmeventd when it is asked for all; it is there from the first one on.
    run("lvs -o seg_monitor >/dev/null 2>&1 || true; lvchange --monitor y vg/raid1 vg/pool 2>/dev/null || true");
    let mut wrong = Vec::new();
    for command in [
        "lvs",
        "lvs -aH --segments -o +seg_monitor",
        "lvs -a -o all --reportformat json",
        "lvs -a --binary -o lv_name,lv_active_locally,lv_suspended,lv_snapshot_invalid,lv_check_needed",
        "pvs -a -o all --reportformat json",
        "vgs -o all --reportformat json",
    ] {
        compare(&format!("lvm {command}"), &format!("{pvwatch} {command} --live"), &mut wrong);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));

    // Nobody is asked: the name, the number and whether it is suspended are in sysfs.
    let shown = |fields: &str, lv: &str| {
        run(&format!("{pvwatch} lvs --noheadings --separator ' ' -o {fields} vg/{lv}")).trim().to_owned()
    };
    assert_eq!(shown("lv_active,lv_suspended,lv_attr", "susp"), "active suspended -wi-sX----");
    assert_eq!(shown("lv_active,lv_suspended,lv_attr", "linear"), "active  -wi-aX----");
    assert_eq!(shown("lv_active,lv_attr", "off"), "-wi-------");
    run("dmsetup resume vg-susp");
    assert_eq!(shown("lv_attr", "susp"), "-wi-aX----", "though nobody told the daemon");

    // Only root may ask.
    let refused = try_run(&format!("setpriv --reuid 65534 --clear-groups env {pvwatch} lvs --live"));
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(5), "{said}");
    assert!(said.contains("only root may ask device-mapper"), "{said}");
    drop(open);
}
