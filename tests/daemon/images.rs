//! Image files given with `--devices`: no root, no loop devices.

use crate::common::daemon::{DEFAULT_TOKEN, World, stop};
use crate::common::{copy, hyphenated, vg, wait_until, write_blank, write_pv};
use nix::sys::signal::{Signal, kill};
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use pvwatch::signature::image::superblock;
use std::fs;
use std::os::unix::fs::{FileExt, symlink};
use std::time::Duration;

#[test]
fn a_vg_is_found_and_its_token_needs_no_refill() {
    let world = World::new();
    let (one, two) = (world.path("one"), world.path("two"));
    let text = vg("vg", 4, &["a", "b"]);
    write_pv(&one, "a", Some(text.clone()));
    write_pv(&two, "b", Some(text));
    let daemon = world.watch(&[&one, &two]);
    // As a 2.02 command does.
    let mut client = daemon.connect();
    assert_eq!(client.ask("request=\"hello\"").int("version"), 1);
    let info = client.ask("request=\"get_global_info\" token=\"skip\"");
    assert_eq!((info.str("token").as_str(), info.str("disable_reason").as_str()), (DEFAULT_TOKEN, "none"));
    let found = client.ask(&format!("request=\"vg_lookup\" name=\"vg\" token=\"{DEFAULT_TOKEN}\""));
    assert_eq!((found.response().as_str(), found.int("metadata/seqno")), ("OK", 4));
    let vg = daemon.vg("vg").unwrap();
    assert_eq!(vg.present.into_keys().collect::<Vec<_>>(), [hyphenated("a"), hyphenated("b")]);
    let status = daemon.status();
    assert_eq!((status["state"].as_str(), &status["counts"]["vgs"]), (Some("Initialized"), &1.into()));
}

#[test]
fn a_member_of_an_array_is_told_of_and_its_label_not_served() {
    let world = World::new();
    let image = world.path("image");
    write_pv(&image, "a", Some(vg("vg", 1, &["a"])));
    let daemon = world.watch(&[&image]);
    assert!(daemon.vg("vg").unwrap().is_complete());
    let file = fs::OpenOptions::new().write(true).open(&image).unwrap();
    let (place, superblock) = superblock("0.90", file.metadata().unwrap().len()).unwrap();
    file.write_all_at(&superblock, place).unwrap();
    drop(file);
    assert_eq!(daemon.vg("vg"), None);
    let shown = daemon.show_one(&image);
    assert_eq!((&shown["verdict"], &shown["pv"]), (&"member".into(), &serde_json::Value::Null));
    let member = &shown["member_of"];
    assert_eq!(
        (&member["format"], &member["version"], &member["level"]),
        (&"md".into(), &"0.90".into(), &"raid1".into())
    );
    let text = pvwatch::words::shown(std::slice::from_ref(&shown));
    assert!(text.contains("device is an md component: active device 0 of md 0.90 array (11111111:"), "{text}");
}

#[test]
fn an_image_appears_and_vanishes() {
    let world = World::new();
    let (here, later) = (world.path("here"), world.path("later"));
    let text = vg("vg", 1, &["a", "b"]);
    write_pv(&here, "a", Some(text.clone()));
    let daemon = world.watch(&[&here, &later]);
    assert_eq!(daemon.vg("vg").unwrap().missing, [hyphenated("b")]);
    write_pv(&later, "b", Some(text));
    assert!(daemon.vg("vg").unwrap().is_complete());
    assert_eq!(daemon.status()["state"], "Updated");
    fs::remove_file(&here).unwrap();
    assert_eq!(daemon.vg("vg").unwrap().missing, [hyphenated("a")]);
    fs::remove_file(&later).unwrap();
    assert_eq!(daemon.vg("vg"), None);
    assert!(daemon.pvs().is_empty());
}

#[test]
fn an_image_is_replaced_by_another() {
    let world = World::new();
    let (image, new) = (world.path("image"), world.path("new"));
    write_pv(&image, "a", None);
    let daemon = world.watch(&[&image]);
    for (round, pv) in ["b", "c", "d"].into_iter().enumerate() {
        write_pv(&new, pv, Some(vg("vg", 1, &[pv])));
        fs::rename(&new, &image).unwrap();
        assert_eq!(daemon.vg("vg").unwrap().present.into_keys().collect::<Vec<_>>(), [hyphenated(pv)], "{round}");
        assert_eq!(daemon.pvs().len(), 1);
    }
    fs::rename(&image, &new).unwrap();
    daemon.settle();
    assert!(daemon.pvs().is_empty());
}

#[test]
fn a_link_to_an_image_is_followed_wherever_it_leads() {
    let world = World::new();
    fs::create_dir(world.path("elsewhere")).unwrap();
    let (given, step) = (world.path("given"), world.path("elsewhere/step"));
    let (first, second, kept) = (world.path("elsewhere/first"), world.path("elsewhere/second"), world.path("kept"));
    write_pv(&first, "a", None);
    symlink("elsewhere/step", &given).unwrap();
    symlink("first", &step).unwrap();
    // The same directory by two names.
    symlink(world.path(""), world.path("self")).unwrap();
    let other = world.path("self/other");
    let daemon = world.watch(&[&given, &other]);
    let pvs = || {
        daemon.settle();
        daemon.pvs().into_keys().collect::<Vec<_>>()
    };
    assert_eq!(pvs(), [hyphenated("a")]);
    // Replaced, and the old one lives on under another name.
    fs::hard_link(&first, &kept).unwrap();
    write_pv(&second, "b", None);
    fs::rename(&second, &first).unwrap();
    assert_eq!(pvs(), [hyphenated("b")]);
    fs::remove_file(&first).unwrap();
    assert!(pvs().is_empty());
    write_pv(&first, "c", None);
    assert_eq!(pvs(), [hyphenated("c")]);
    // The link in the middle leads to a directory that was not concerned so far.
    fs::remove_file(&step).unwrap();
    fs::create_dir(world.path("third")).unwrap();
    symlink("../third/image", &step).unwrap();
    assert!(pvs().is_empty());
    write_pv(&world.path("third/image"), "d", None);
    assert_eq!(pvs(), [hyphenated("d")]);
    fs::remove_file(&given).unwrap();
    assert!(pvs().is_empty());
    write_pv(&world.path("other"), "e", None);
    assert_eq!(pvs(), [hyphenated("e")]);
}

#[test]
fn an_image_is_rewritten_in_place() {
    let world = World::new();
    let image = world.path("image");
    write_pv(&image, "a", Some(vg("vg", 1, &["a"])));
    let daemon = world.watch(&[&image]);
    for seqno in 2..20 {
        write_pv(&image, "a", Some(vg("vg", seqno, &["a"])));
        assert_eq!(daemon.vg("vg").unwrap().seqno, seqno);
    }
    // Back to an older one, as from a backup.
    write_pv(&image, "a", Some(vg("vg", 3, &["a"])));
    assert_eq!(daemon.vg("vg").unwrap().seqno, 3);
    write_blank(&image, 4 << 20);
    assert_eq!(daemon.vg("vg"), None);
    assert_eq!(daemon.show_one(&image)["verdict"], "not_a_pv");
}

#[test]
fn a_copy_of_an_image_is_a_duplicate() {
    let world = World::new();
    let (one, two) = (world.path("one"), world.path("two"));
    write_pv(&one, "a", Some(vg("vg", 1, &["a"])));
    let daemon = world.watch(&[&one, &two]);
    let device = daemon.pvs()[&hyphenated("a")];
    copy(&one, &two);
    daemon.settle();
    assert_eq!(daemon.pvs()[&hyphenated("a")], device, "the first stays");
    let status = daemon.status();
    assert_eq!((&status["flags"]["global_disable"], &status["counts"]["duplicates"]), (&false.into(), &1.into()));
    fs::remove_file(&one).unwrap();
    daemon.settle();
    assert_ne!(daemon.pvs()[&hyphenated("a")], device, "the other takes over");
}

#[test]
fn a_disk_that_hangs_is_quarantined_and_comes_back() {
    let world = World::new();
    let (image, hangs, new) = (world.path("image"), world.path("hangs"), world.path("new"));
    let text = vg("vg", 1, &["a", "b"]);
    write_pv(&image, "a", Some(text.clone()));
    write_pv(&hangs, "b", Some(text.clone()));
    world.configure("pvwatch { read_deadline=1 retry_max=1 }");
    let daemon = world.watch(&[&image, &hangs]);
    assert!(daemon.vg("vg").unwrap().is_complete());
    // The same file for all the daemon knows, and an open of it never returns.
    mkfifo(&new, Mode::S_IRWXU).unwrap();
    let path = hangs.to_str().unwrap();
    fs::rename(&new, &hangs).unwrap();
    assert_eq!(daemon.settle(), [path]);
    let shown = daemon.show_one(&hangs);
    assert_eq!(shown["quarantine"]["reason"], "it did not answer within the deadline");
    // Everybody else goes on.
    write_pv(&image, "a", Some(vg("vg", 2, &["a", "b"])));
    wait_until("the change", || daemon.vg_now("vg").unwrap().seqno == 2);
    wait_until("another try", || daemon.status()["quarantined"][0]["tries"].as_u64() > Some(1));
    write_pv(&new, "b", Some(text));
    fs::rename(&new, &hangs).unwrap();
    wait_until("it to be back", || daemon.vg("vg").unwrap().is_complete());
    assert_eq!(daemon.settle(), [""; 0]);
}

#[test]
fn a_disk_that_hangs_is_tried_again_with_longer_and_longer_waits() {
    let world = World::new();
    let hangs = world.path("hangs");
    mkfifo(&hangs, Mode::S_IRWXU).unwrap();
    world.configure("pvwatch { read_deadline=1 }");
    let daemon = world.watch(&[&hangs]);
    // The process that hung on it can be killed, but that says nothing of the disk.
    wait_until("the second try", || daemon.status()["quarantined"][0]["tries"] == 2);
    // The third comes two seconds later, of which there may be less left by now.
    for _ in 0..10 {
        let status = daemon.status();
        if status["quarantined"][0]["retry_in"].as_f64().is_none_or(|left| left == 0.0) {
            break;
        }
        assert_eq!(status["readers"]["busy"], 0, "{status}");
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(daemon.settle(), [hangs.to_str().unwrap()], "at once");
}

#[test]
fn a_killed_reader_is_replaced_and_its_job_tried_again() {
    let world = World::new();
    let image = world.path("image");
    write_pv(&image, "a", Some(vg("vg", 1, &["a"])));
    let daemon = world.watch(&[&image]);
    daemon.settle();
    let readers = daemon.readers();
    assert!(!readers.is_empty());
    stop(&readers);
    write_pv(&image, "a", Some(vg("vg", 2, &["a"])));
    wait_until("the job", || daemon.status()["readers"]["busy"] == 1);
    assert_eq!(daemon.vg_now("vg").unwrap().seqno, 1, "served as it was");
    readers.iter().for_each(|reader| kill(*reader, Signal::SIGKILL).unwrap());
    assert_eq!(daemon.settle(), [""; 0]);
    assert_eq!(daemon.vg("vg").unwrap().seqno, 2);
}

#[test]
fn a_stopped_reader_is_given_up_at_the_deadline() {
    let world = World::new();
    let (image, other) = (world.path("image"), world.path("other"));
    write_pv(&image, "a", Some(vg("vg", 1, &["a"])));
    world.configure("pvwatch { read_deadline=2 reader=\"pool\" }");
    let daemon = world.watch(&[&image, &other]);
    daemon.settle();
    let readers = daemon.readers();
    stop(&readers);
    let mut hanging = Vec::new();
    // Until each of them has a job, and hangs on it.
    for seqno in 2.. {
        write_pv(&image, "a", Some(vg("vg", seqno, &["a"])));
        wait_until("the job", || daemon.status()["readers"]["busy"].as_u64() > Some(hanging.len() as u64));
        hanging.push(seqno);
        if hanging.len() == readers.len() {
            break;
        }
        wait_until("the deadline", || daemon.status()["readers"]["busy"] == 0);
    }
    // Another is read meanwhile.
    write_pv(&other, "b", None);
    wait_until("the other", || daemon.pvs().contains_key(&hyphenated("b")));
    assert!(daemon.pvs().contains_key(&hyphenated("a")), "its last known PV is kept");
    wait_until("the quarantine", || world.log().contains("quarantined, it did not answer within the deadline"));
    wait_until("it to be back", || world.log().contains("readable again"));
    daemon.settle();
    assert_eq!(daemon.vg("vg").unwrap().seqno, *hanging.last().unwrap());
    assert!(daemon.readers().iter().all(|reader| !readers.contains(reader)));
}

#[test]
fn a_global_filter_is_applied() {
    let world = World::new();
    let (one, two) = (world.path("one"), world.path("two"));
    write_pv(&one, "a", None);
    write_pv(&two, "b", None);
    world.configure("devices { global_filter=[\"a|/one$|\", \"r|.*|\"] }");
    let daemon = world.watch(&[&one, &two]);
    assert_eq!(daemon.pvs().into_keys().collect::<Vec<_>>(), [hyphenated("a")]);
    assert_eq!(daemon.show_one(&two)["verdict"], "ignored");
    // CRC-32 of both strings from a zero register, not inverted.
    let mut crc = crc32fast::Hasher::new_with_initial(!0);
    crc.update(b"a|/one$|r|.*|");
    let token = format!("filter:{}", !crc.finalize());
    assert_eq!(daemon.ask("request=\"get_global_info\" token=\"skip\"").str("token"), token);
    assert_eq!(daemon.ask(&format!("request=\"pv_list\" token=\"{token}\"")).response(), "OK");
}

#[test]
fn an_image_too_small_for_a_pv_is_ignored() {
    let world = World::new();
    let image = world.path("image");
    write_blank(&image, (2 << 20) - 512);
    let daemon = world.watch(&[&image]);
    assert_eq!(daemon.show_one(&image)["ignored"], "device is too small (pv_min_size)");
    write_pv(&image, "a", None);
    daemon.settle();
    assert!(daemon.pvs().contains_key(&hyphenated("a")), "it has grown");
}
