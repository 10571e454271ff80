//! LVM's run files, by the daemon and on loop devices. Numbers 500 to 549 are ours.

use crate::common::daemon::{Daemon, World};
use crate::common::loops::attach_watched;
use crate::common::lvm::{Lvm, conf};
use crate::common::testing::needs;
use crate::common::{PV_SIZE, hyphenated, id, vg, wait_until, write_blank, write_pv};
use nix::sys::signal::Signal;
use pvwatch::ondisk::image::{PvSpec, pv_image};
use serde_json::json;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

/// What is in LVM's three directories: the beginning of the name, and the content on one line.
fn files_in(directory: &Path) -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    for kind in ["pvs_online", "vgs_online", "pvs_lookup"] {
        for entry in fs::read_dir(directory.join(kind)).into_iter().flatten().flatten() {
            let name = entry.file_name().into_string().unwrap();
            let content = fs::read_to_string(entry.path()).unwrap_or_default().trim_end().replace('\n', " ");
            files.insert(format!("{kind}/{}", name.trim_end_matches('x')), content.replace('x', ""));
        }
    }
    files
}

fn check_in(daemon: &Daemon, directory: &Path, expected: &[(&str, &str)]) {
    daemon.settle();
    let expected = expected.iter().map(|(name, content)| ((*name).to_owned(), (*content).to_owned())).collect();
    assert_eq!(files_in(directory), expected);
    let left = fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.file_name());
    let left = left.filter(|name| name.to_string_lossy().starts_with(".pvwatch")).collect::<Vec<_>>();
    assert!(left.is_empty(), "{left:?}");
}

fn write(directory: &Path, name: &str, content: &str) {
    let path = directory.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

/// The name of a PV's file.
fn pv_file(pv: &str) -> String {
    format!("pvs_online/{}", String::from_utf8(id(pv).0.to_vec()).unwrap())
}

/// A PV that a VG uses, without metadata.
fn write_textless(path: &Path, pv: &str) {
    let spec = PvSpec { size: usize::try_from(PV_SIZE).unwrap(), mdas: 0, in_use: true, ..PvSpec::orphan(id(pv)) };
    fs::write(path, pv_image(&spec)).unwrap();
}

#[test]
fn a_pv_comes_goes_and_comes_back_elsewhere() {
    let world = World::new();
    let (one, two) = (world.path("one"), world.path("two"));
    write_pv(&one, "a", Some(vg("vg", 1, &["a", "b"])));
    write_textless(&two, "b");
    let attached = needs("a_pv_comes_goes_and_comes_back_elsewhere", attach_watched(500, &[&one, &two, &one]));
    let Some(loops) = attached else { return };
    loops.iter().for_each(|device| device.detach());
    world.configure(&conf(500..=502, ""));
    let daemon = world.start([""; 0]);
    let directory = world.run_dir();
    check_in(&daemon, &directory, &[]);
    loops[1].attach_again(&two);
    check_in(&daemon, &directory, &[("pvs_online/b", "7:501 dev:/dev/loop501")]);
    loops[0].attach_again(&one);
    let here = [
        ("pvs_lookup/vg", "a b"),
        ("pvs_online/a", "7:500 vg:vg dev:/dev/loop500"),
        ("pvs_online/b", "7:501 dev:/dev/loop501"),
    ];
    check_in(&daemon, &directory, &here);
    // Somebody was told to activate it; the PV without metadata goes.
    write(&directory, "vgs_online/vg", "");
    write(&directory, "vgs_online/other", "");
    loops[1].detach();
    check_in(&daemon, &directory, &[here[1], ("vgs_online/other", "")]);
    loops[1].attach_again(&two);
    loops[0].detach();
    loops[2].attach_again(&one);
    let there = [here[0], ("pvs_online/a", "7:502 vg:vg dev:/dev/loop502"), here[2], ("vgs_online/other", "")];
    check_in(&daemon, &directory, &there);
    let status = &daemon.status()["run_files"];
    assert_eq!((&status["directory"], &status["pvs_online"]), (&json!(directory), &json!(2)), "{status}");
    assert_eq!((&status["pvs_lookup"], &status["failures"]), (&json!(1), &json!(0)), "{status}");
    assert!(status["failing"].is_null());
    // Nothing of it goes when the daemon does.
    drop(daemon);
    assert_eq!(files_in(&directory).len(), 4);
}

#[test]
fn what_is_stale_at_the_start_goes() {
    let world = World::new();
    let (one, two) = (world.path("one"), world.path("two"));
    write_pv(&one, "a", Some(vg("vg", 1, &["a", "b"])));
    write_pv(&two, "b", Some(vg("vg", 1, &["a", "b"])));
    let Some(loops) = needs("what_is_stale_at_the_start_goes", attach_watched(505, &[&one, &two])) else { return };
    world.configure(&conf(505..=506, ""));
    let directory = world.run_dir();
    let here = [
        ("pvs_lookup/vg", "a b"),
        ("pvs_online/a", "7:505 vg:vg dev:/dev/loop505"),
        ("pvs_online/b", "7:506 vg:vg dev:/dev/loop506"),
    ];
    let online = ("vgs_online/vg", "");
    write(&directory, &pv_file("a"), "7:77\n");
    write(&directory, &pv_file("gone"), "7:506\nvg:gone\n");
    write(&directory, &pv_file("lost"), "250:99\n");
    write(&directory, "vgs_online/vg", "");
    write(&directory, "vgs_online/gone", "");
    write(&directory, "pvs_lookup/gone", "x");
    write(&directory, "hints", "# not ours");
    write(&directory, ".pvwatch-1-1", "");
    let daemon = world.start([""; 0]);
    check_in(&daemon, &directory, &[here[0], here[1], here[2], online]);
    assert_eq!(fs::read(directory.join("hints")).unwrap(), b"# not ours");
    assert!(directory.join("newhints").exists());
    // It is killed, and a disk goes meanwhile.
    daemon.signal(Signal::SIGKILL);
    drop(daemon);
    loops[1].detach();
    let daemon = world.start([""; 0]);
    check_in(&daemon, &directory, &here[..2]);
    // What somebody spoils is put right when everything is looked at again.
    fs::remove_dir_all(&directory).unwrap();
    daemon.call("Rescan", &json!({}));
    check_in(&daemon, &directory, &here[..2]);
}

#[test]
fn commands_of_lvm_are_followed() {
    let world = World::new();
    let name = "commands_of_lvm_are_followed";
    let Some(lvm) = needs(name, Lvm::new(&world)) else { return };
    let images = [510, 511].map(|number| world.path(&number.to_string()));
    images.iter().for_each(|image| write_blank(image, 32 << 20));
    let Some(loops) = needs(name, attach_watched(510, &[&images[0], &images[1]])) else { return };
    world.configure(&conf(510..=511, ""));
    let daemon = world.start([""; 0]);
    let directory = world.run_dir();
    let nodes = [0, 1].map(|index: usize| loops[index].node().display().to_string());
    lvm.run(&format!("pvcreate {} {}", nodes[0], nodes[1]));
    check_in(&daemon, &directory, &[]);
    let pvids = [0, 1].map(|index: usize| lvm.pvid(&loops[index].node()).replace('-', ""));
    // Random letters may be an x at the end.
    let names = [0, 1].map(|index: usize| format!("pvs_online/{}", pvids[index].trim_end_matches('x')));
    let lookup = format!("{} {}", pvids[0], pvids[1]).replace('x', "");
    let check = |name: &str, count: usize, others: &[(&str, &str)]| {
        let contents = [0, 1].map(|index: usize| format!("7:51{index} vg:{name} dev:/dev/loop51{index}"));
        let mut expected = (0..count).map(|index| (&*names[index], &*contents[index])).collect::<Vec<_>>();
        expected.extend(others);
        check_in(&daemon, &directory, &expected);
    };
    lvm.run(&format!("vgcreate vg0 {} {}", nodes[0], nodes[1]));
    check("vg0", 2, &[("pvs_lookup/vg0", &lookup)]);
    write(&directory, "vgs_online/vg0", "");
    lvm.run("vgrename vg0 vg1");
    check("vg1", 2, &[("pvs_lookup/vg1", &lookup), ("vgs_online/vg1", "")]);
    lvm.run("vgexport vg1");
    check("", 0, &[]);
    let shown = daemon.show_one("vg1");
    assert_eq!((&shown["status"], &shown["kept"]), (&json!("complete"), &json!("exported")), "{shown}");
    let text = pvwatch::words::shown(&[shown]);
    assert!(text.contains("it is exported: not for this host"), "{text}");
    lvm.run("vgimport vg1");
    check("vg1", 2, &[("pvs_lookup/vg1", &lookup)]);
    lvm.run(&format!("vgreduce vg1 {}", nodes[1]));
    check("vg1", 1, &[]);
    lvm.run("vgremove vg1");
    check("", 0, &[]);
    lvm.run(&format!("vgcreate --systemid other vg2 {}", nodes[0]));
    check("vg2", 1, &[]);
    assert!(daemon.show_one("vg2")["kept"].is_null());
    world.configure(&conf(510..=511, "local { system_id=\"us\" } global { system_id_source=\"lvmlocal\" }"));
    daemon.signal(Signal::SIGHUP);
    wait_until("the foreign VG to be left alone", || files_in(&directory).is_empty());
    assert_eq!(daemon.show_one("vg2")["kept"], "foreign");
}

#[test]
fn two_vgs_of_one_name_have_no_lookup() {
    let world = World::new();
    let images = ["a", "b", "c", "d"].map(|pv| world.path(pv));
    for (image, pv) in images.iter().zip(["a", "b", "c", "d"]) {
        let (name, pvs) = if pv < "c" { ("vg", ["a", "b"]) } else { ("new", ["c", "d"]) };
        write_pv(image, pv, Some(vg(name, 1, &pvs)));
    }
    let paths = images.each_ref().map(|image| image.as_path());
    let Some(loops) = needs("two_vgs_of_one_name_have_no_lookup", attach_watched(515, &paths)) else { return };
    world.configure(&conf(515..=518, ""));
    let daemon = world.start([""; 0]);
    let lookups = || {
        daemon.settle();
        let files = files_in(&world.run_dir()).into_keys().filter(|name| name.starts_with("pvs_lookup/"));
        files.collect::<Vec<_>>()
    };
    assert_eq!(lookups(), ["pvs_lookup/new", "pvs_lookup/vg"]);
    let rename = |name: &str, seqno| {
        for (device, pv) in loops[2..].iter().zip(["c", "d"]) {
            let pvs = [(id("c"), PV_SIZE), (id("d"), PV_SIZE)];
            let text = pvwatch::ondisk::image::vg_text(name, id("new"), seqno, &pvs);
            write_pv(&device.node(), pv, Some(text));
        }
    };
    rename("vg", 2);
    assert_eq!(lookups(), [""; 0]);
    rename("new", 3);
    assert_eq!(lookups(), ["pvs_lookup/new", "pvs_lookup/vg"]);
    rename("vg", 4);
    loops[2..].iter().for_each(|device| device.detach());
    assert_eq!(lookups(), ["pvs_lookup/vg"]);
}

#[test]
fn another_run_directory_and_one_that_cannot_be_written() {
    let world = World::new();
    let (one, two) = (world.path("one"), world.path("two"));
    write_pv(&one, "a", None);
    write_pv(&two, "b", Some(vg("vg", 1, &["b", "c"])));
    let attached = needs("another_run_directory_and_one_that_cannot_be_written", attach_watched(520, &[&one, &two]));
    let Some(loops) = attached else { return };
    world.configure(&conf(520..=521, "pvwatch { retry_max=1 }"));
    // A directory whose own is not there.
    let away = world.path("away/run");
    world.write_run_files_to(&away);
    let daemon = world.start([""; 0]);
    let expected = [("pvs_lookup/vg", "b c"), ("pvs_online/b", "7:521 vg:vg dev:/dev/loop521")];
    let failing = || daemon.status()["run_files"]["failing"].clone();
    assert!(failing()["error"].as_str().unwrap().contains("/away/run cannot be created"), "{}", failing());
    let shown = pvwatch::words::status(&daemon.status());
    assert!(shown.contains("not all could be written") && shown.contains("/away/run"), "{shown}");
    assert_eq!(daemon.pvs().len(), 2, "that is nobody else's trouble");
    fs::create_dir(world.path("away")).unwrap();
    wait_until("it to be written", || failing().is_null());
    check_in(&daemon, &away, &expected);
    assert_eq!(world.log().matches("run files: ").count(), 2, "{}", world.log());
    // One bad file does not keep the others from being written.
    fs::create_dir(away.join(pv_file("c"))).unwrap();
    write_pv(&loops[0].node(), "c", Some(vg("vg", 1, &["b", "c"])));
    daemon.settle();
    assert!(failing()["error"].as_str().unwrap().contains(&pv_file("c")), "{}", failing());
    loops[1].detach();
    daemon.settle();
    assert!(!away.join(pv_file("b")).exists());
    fs::remove_dir(away.join(pv_file("c"))).unwrap();
    wait_until("the last to be written", || failing().is_null());
    let expected = [("pvs_lookup/vg", "b c"), ("pvs_online/c", "7:520 vg:vg dev:/dev/loop520")];
    let lookup_of_those_that_came = &expected[1..];
    check_in(&daemon, &away, lookup_of_those_that_came);
    // Another directory; the first is nobody's then.
    world.write_run_files_to(&world.run_dir());
    daemon.signal(Signal::SIGHUP);
    wait_until("the other directory", || files_in(&world.run_dir()).len() == 1);
    loops[1].attach_again(&two);
    daemon.settle();
    assert_eq!(files_in(&world.run_dir()).len(), 3);
    assert_eq!(files_in(&away).len(), 1);
    // And none.
    fs::write(world.path("lvmlocal.conf"), "pvwatch { run_dir=\"\" }\n").unwrap();
    daemon.signal(Signal::SIGHUP);
    wait_until("no directory", || daemon.status()["run_files"].is_null());
    loops[1].detach();
    daemon.settle();
    assert_eq!(files_in(&world.run_dir()).len(), 3);
}

#[test]
fn with_devices_files_of_others_are_left_alone() {
    let world = World::new();
    let (one, two) = (world.path("one"), world.path("two"));
    write_pv(&one, "a", Some(vg("vg", 1, &["a"])));
    write_pv(&two, "b", Some(vg("image", 1, &["b"])));
    let attached = needs("with_devices_files_of_others_are_left_alone", attach_watched(525, &[&one]));
    let Some(loops) = attached else { return };
    let directory = world.run_dir();
    write(&directory, &pv_file("other"), "7:526\nvg:other\n");
    write(&directory, &pv_file("wrong"), "7:525\n");
    write(&directory, "vgs_online/other", "");
    // An image file has no number that LVM could use.
    let daemon = world.watch(&[&loops[0].node(), &two]);
    let here = ("pvs_online/a", "7:525 vg:vg dev:/dev/loop525");
    check_in(&daemon, &directory, &[here, ("pvs_online/other", "7:526 vg:other"), ("vgs_online/other", "")]);
    drop(daemon);
    // Unless it is told to, such a daemon writes nothing.
    fs::remove_file(world.path("lvmlocal.conf")).unwrap();
    let daemon = world.watch(&[&loops[0].node()]);
    assert!(daemon.status()["run_files"].is_null());
    drop(daemon);
    let daemon = world.start(["--no-scan"]);
    assert!(daemon.status()["run_files"].is_null());
}

#[test]
fn online_answers_when_these_devices_have_been_read() {
    let world = World::new();
    let (one, two, blank) = (world.path("one"), world.path("two"), world.path("blank"));
    write_pv(&one, "a", Some(vg("vg", 1, &["a", "b"])));
    write_textless(&two, "b");
    write_blank(&blank, 4 << 20);
    let name = "online_answers_when_these_devices_have_been_read";
    let Some(loops) = needs(name, attach_watched(530, &[&one, &two, &blank])) else { return };
    loops.iter().for_each(|device| device.detach());
    world.configure(&conf(530..=532, ""));
    let daemon = world.start([""; 0]);
    let online = |devices: &[&str]| daemon.call("Online", &json!({ "devices": devices }));
    for round in 0..20 {
        loops[0].attach_again(&one);
        let reply = online(&["/dev/loop530"]);
        let device = &reply["devices"][0];
        assert_eq!((&device["found"], &device["pvid"]), (&json!("pv"), &json!(hyphenated("a"))), "{round}: {reply}");
        assert_eq!(device["operand"], "/dev/loop530");
        assert_eq!(device["vg"]["pvids"], json!([hyphenated("a"), hyphenated("b")]));
        assert!(world.run_dir().join(pv_file("a")).exists(), "it is written by then");
        loops[0].detach();
        let reply = online(&["7:530"]);
        assert_eq!(reply["devices"][0]["found"], "excluded", "{reply}");
        assert!(!world.run_dir().join(pv_file("a")).exists());
    }
    loops[0].attach_again(&one);
    loops[1].attach_again(&two);
    loops[2].attach_again(&blank);
    let reply = online(&["/dev/loop532", "/dev/loop531", "/dev/nothing", "250:99", "/dev/loop530"]);
    let found = reply["devices"].as_array().unwrap().iter().map(|device| device["found"].as_str().unwrap());
    assert_eq!(found.collect::<Vec<_>>(), ["not_a_pv", "pv", "gone", "gone", "pv"], "{reply}");
    assert_eq!(reply["devices"][1]["listed_by"]["name"], "vg", "{reply}");
    assert_eq!((&reply["run_dir"], &reply["event_activation"]), (&json!(world.run_dir()), &json!(false)));
    assert!(reply["system_id"].is_null());
    assert_eq!(online(&[])["devices"].as_array().unwrap().len(), 2);
    assert!(daemon.try_call("Online", &json!({ "devices": ["loop530"] })).is_err());
    // A disk that hangs delays nobody but who asks for it.
    let readers = daemon.readers();
    crate::common::daemon::stop(&readers);
    loops[0].detach();
    let reply = online(&["/dev/loop531"]);
    assert_eq!(reply["devices"][0]["found"], "pv");
    readers.iter().for_each(|reader| nix::sys::signal::kill(*reader, Signal::SIGCONT).unwrap());
}

/// The real `vgchange` and `pvs`, in a mount namespace in which the daemon's run files are theirs.
#[test]
fn lvm_finds_its_devices_from_our_files() {
    let world = World::new();
    let name = "lvm_finds_its_devices_from_our_files";
    let Some(lvm) = needs(name, Lvm::new(&world)) else { return };
    let Some(_) = needs(name, Command::new("strace").arg("-V").output()) else { return };
    let images = (540..544).map(|number: u32| world.path(&number.to_string())).collect::<Vec<_>>();
    images.iter().for_each(|image| write_blank(image, 32 << 20));
    let paths = images.iter().map(|image| image.as_path()).collect::<Vec<_>>();
    let Some(loops) = needs(name, attach_watched(540, &paths)) else { return };
    let settings = conf(540..=543, "").replace("hints=\"none\"", "hints=\"all\"");
    world.configure(&settings.replace("event_activation=0", "event_activation=1"));
    lvm.run("vgcreate one /dev/loop540 /dev/loop541");
    lvm.run("vgcreate two /dev/loop542");
    lvm.run("vgcreate late /dev/loop543");
    loops[3].detach();
    world.write_run_files_to(Path::new("/run/lvm"));
    let mut command = world.command_of(Path::new("unshare"));
    command.args(["-m", "sh", "-c", "mount -t tmpfs tmpfs /run && exec \"$0\" -f"]);
    let daemon = world.start_command(command.arg(env!("CARGO_BIN_EXE_pvwatchd")));
    daemon.settle();
    let run = |command: &str| {
        let mut lvm = Command::new("nsenter");
        let pid = daemon.pid().to_string();
        lvm.args(["-t", &pid, "-m", "strace", "-f", "-e", "trace=openat", "-o"]).arg(world.path("trace")).arg("lvm");
        lvm.args(command.split_whitespace());
        lvm.arg("--config").arg(format!("global/locking_dir=\"{}\"", world.path("lock").display()));
        lvm.env("LVM_SYSTEM_DIR", world.system_dir()).env("LVM_SUPPRESS_FD_WARNINGS", "1");
        let output = lvm.output().unwrap();
        let trace = fs::read_to_string(world.path("trace")).unwrap();
        let opened = (540..544).filter(|number| trace.contains(&format!("\"/dev/loop{number}\"")));
        (String::from_utf8_lossy(&output.stdout).into_owned(), opened.collect::<Vec<u32>>())
    };
    for (vg, devices) in [("one", &[540, 541][..]), ("two", &[542])] {
        let (_, opened) = run(&format!("vgchange -aay --autoactivation event {vg} --driverloaded n"));
        assert_eq!(opened, devices, "{vg}");
    }
    let pvs = || run("pvs --noheadings -o pv_name --driverloaded n").0.split_whitespace().collect::<Vec<_>>().join(" ");
    let three = "/dev/loop540 /dev/loop541 /dev/loop542";
    assert_eq!((pvs(), pvs()), (three.to_owned(), three.to_owned()));
    loops[3].attach_again(&images[3]);
    daemon.settle();
    assert_eq!(pvs(), format!("{three} /dev/loop543"));
    loops[0].detach();
    daemon.settle();
    assert_eq!(pvs().replace("[unknown] ", ""), "/dev/loop541 /dev/loop542 /dev/loop543");
}
