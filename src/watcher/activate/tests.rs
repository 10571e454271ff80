//! What is offered when, a story each.

use super::super::tests::{Bench, SIZE, devno, orphan, pvid, vgid};
use super::super::{Cause, Event, Watcher};
use crate::activation::{By, Claimed, Inhibit, Mode, Offered, Outcome, Restored, Rule, udev};
use crate::conf::{ActivationSetting, Settings, Takeover};
use crate::id::Id;
use crate::ondisk::image::{PvSpec, pv_image, vg_text};
use crate::online::PvOnline;
use std::time::Duration;

fn settings(activation: ActivationSetting) -> Settings {
    Settings { activation, ..Settings::default() }
}

fn text_with_lv(vgid: Id, name: &str, seqno: i64, pvs: &[u8]) -> Vec<u8> {
    let pvs = pvs.iter().map(|pv| (pvid(*pv), SIZE)).collect::<Vec<_>>();
    let text = String::from_utf8(vg_text(name, vgid, seqno, &pvs)).unwrap();
    let segment = "segment1 { start_extent=0 extent_count=1 type=\"striped\" stripe_count=1 stripes=[\"pv0\", 0] }";
    let id = Id([b'l'; 32]);
    let lv = format!("lv {{ id=\"{id}\" status=[\"READ\",\"WRITE\",\"VISIBLE\"] flags=[] segment_count=1 {segment} }}");
    text.replacen("\n}\n# Generated", &format!("\nlogical_volumes {{ {lv} }}\n}}\n# Generated"), 1).into_bytes()
}

/// PV `number` of a VG of these PVs, which has an LV.
fn member_of(vgid: Id, name: &str, number: u8, seqno: i64, pvs: &[u8]) -> Vec<u8> {
    let text = text_with_lv(vgid, name, seqno, pvs);
    pv_image(&PvSpec { dev_size: Some(SIZE), ..PvSpec::member(pvid(number), text) })
}

fn member(number: u8, pvs: &[u8]) -> Vec<u8> {
    member_of(vgid(), "vg", number, 1, pvs)
}

/// In charge, on these disks.
fn bench(images: &[Vec<u8>]) -> Bench {
    let mut bench = unstarted(ActivationSetting::On, images);
    bench.send(Event::Restored(Restored::default()));
    bench
}

fn unstarted(activation: ActivationSetting, images: &[Vec<u8>]) -> Bench {
    let mut bench = Bench::unstarted(images);
    bench.watcher = Watcher::new(settings(activation), 1, Duration::ZERO);
    bench.watcher.set_publish(super::super::Publish::Everything);
    bench
}

fn log(bench: &mut Bench) -> String {
    std::mem::take(&mut bench.activation.log).join(", ")
}

/// Without what udev is asked.
fn done(bench: &mut Bench) -> String {
    bench.activation.log.retain(|line| !line.starts_with("ask"));
    log(bench)
}

fn ended(bench: &mut Bench, outcome: Outcome) {
    bench.send(Event::ActivationEnded { vgid: vgid(), outcome });
}

fn rule(bench: &Bench) -> Option<Rule> {
    bench.watcher.activation(vgid()).unwrap().rule
}

#[test]
fn a_vg_is_offered_once_since_its_last_pv_came() {
    let mut bench = bench(&[member(0, &[0, 1])]);
    assert_eq!(log(&mut bench), "");
    assert_eq!(rule(&bench), Some(Rule::Incomplete { missing: vec![pvid(1)] }));
    bench.insert(1, member(1, &[0, 1]));
    bench.touch(1, Cause::Uevent("add"));
    assert_eq!(log(&mut bench), "ask 8:0, ask 8:1, offer vg, activate vg");
    ended(&mut bench, Outcome::Succeeded);
    for minor in [0, 1] {
        bench.touch(minor, Cause::Uevent("change"));
    }
    assert_eq!((log(&mut bench), rule(&bench)), (String::new(), Some(Rule::OfferedBefore(By::Us))));
    bench.remove(0);
    assert_eq!(log(&mut bench), "forget v");
    bench.insert(7, member(0, &[0, 1]));
    bench.touch(7, Cause::Uevent("add"));
    assert_eq!(done(&mut bench), "offer vg, activate vg");
}

/// A PV goes, and a command makes its VG whole without it, before it is asked what to do about either:
/// forgetting the old offer must not take the record of the new one, or a restart activates it again.
#[test]
fn an_offer_is_forgotten_before_the_next_one_of_its_vg_is_written_down() {
    let mut bench = bench(&[member(0, &[0, 1]), member(1, &[0, 1])]);
    ended(&mut bench, Outcome::Succeeded);
    assert_eq!(done(&mut bench), "offer vg, activate vg");
    bench.disk(0).held = true;
    bench.write(0, member_of(vgid(), "vg", 0, 2, &[0]));
    bench.watcher.handle(bench.now, Event::Facts { devno: devno(1), found: None });
    bench.release(0);
    assert_eq!(
        (done(&mut bench), rule(&bench)),
        ("forget v, offer vg".to_owned(), Some(Rule::OfferedBefore(By::Command)))
    );
}

#[test]
fn nothing_is_offered_before_it_is_known_what_was() {
    let mut bench = unstarted(ActivationSetting::On, &[member(0, &[0])]);
    bench.run();
    assert_eq!(log(&mut bench), "");
    let record = Offered { vgid: vgid(), name: b"vg".to_vec(), at: Duration::ZERO };
    bench.send(Event::Restored(Restored { offered: vec![record], ..Restored::default() }));
    assert_eq!(log(&mut bench), "");
    assert!(!bench.watcher.told_complete(vgid()));
}

#[test]
fn what_lvm_had_recorded_at_the_first_start_was_its_to_activate() {
    let vgs = || Restored { vgs_online: vec![b"vg".to_vec()], ..Restored::default() };
    let pvs = |pvs: &[u8]| Restored { pvs_online: pvs.iter().map(|pv| pvid(*pv)).collect(), ..Restored::default() };
    for (restored, expected) in [
        (Restored { is_first: true, ..vgs() }, "offer vg"),
        (Restored { is_first: true, ..pvs(&[0, 1]) }, "offer vg"),
        (Restored { is_first: true, ..pvs(&[0]) }, "offer vg, activate vg"),
        (Restored { is_first: true, ..Restored::default() }, "offer vg, activate vg"),
        // Somebody has written something down before: what is not in there is to be claimed.
        (pvs(&[0, 1]), "offer vg, activate vg"),
        (vgs(), "offer vg, activate vg"),
    ] {
        let mut bench = unstarted(ActivationSetting::On, &[member(0, &[0, 1]), member(1, &[0, 1])]);
        let what = format!("{restored:?}");
        bench.send(Event::Restored(restored));
        assert_eq!(done(&mut bench), expected, "{what}");
        let expected = if expected == "offer vg" { By::Another } else { By::Us };
        assert_eq!(rule(&bench), Some(Rule::OfferedBefore(expected)), "{what}");
    }
}

/// Of what was recorded, the PV that is not there when we look has left.
#[test]
fn what_was_recorded_and_is_gone_counts_no_more() {
    let devices = |minor: u32| PvOnline { devno: devno(minor), vg: None, device: None };
    for is_first in [true, false] {
        let mut bench = unstarted(ActivationSetting::On, &[member(0, &[0, 1])]);
        bench.listing.pvs = [0, 1].map(|pv| (pvid(pv), Some(devices(pv.into())))).into();
        bench.listing.vgs = vec![b"vg".to_vec()];
        let record = Offered { vgid: vgid(), name: b"vg".to_vec(), at: Duration::ZERO };
        let offered = if is_first { Vec::new() } else { vec![record] };
        let (vgs_online, pvs_online) = (vec![b"vg".to_vec()], vec![pvid(0), pvid(1)]);
        bench.send(Event::Restored(Restored { offered, inhibits: Vec::new(), is_first, vgs_online, pvs_online }));
        assert_eq!(done(&mut bench), if is_first { "" } else { "forget v" });
        bench.insert(1, member(1, &[0, 1]));
        bench.touch(1, Cause::Uevent("add"));
        assert_eq!(done(&mut bench), "offer vg, activate vg", "{is_first}");
    }
}

/// A PV on a device that cannot be read may have been there all the time.
#[test]
fn what_was_offered_stays_so_while_a_device_of_it_hangs() {
    let mut bench = unstarted(ActivationSetting::On, &[member(0, &[0, 1]), member(1, &[0, 1])]);
    bench.disk(1).open_error = Some(5);
    let devices = |minor: u32| PvOnline { devno: devno(minor), vg: None, device: None };
    bench.listing.pvs = [0, 1].map(|pv| (pvid(pv), Some(devices(pv.into())))).into();
    let record = Offered { vgid: vgid(), name: b"vg".to_vec(), at: Duration::ZERO };
    bench.send(Event::Restored(Restored { offered: vec![record], ..Restored::default() }));
    bench.at(500);
    bench.disk(1).open_error = None;
    bench.at(10_000);
    assert_eq!((done(&mut bench), bench.place(1)), (String::new(), Some(1)));
}

#[test]
fn one_that_somebody_else_has_claimed_is_his() {
    let mut bench = unstarted(ActivationSetting::On, &[member(0, &[0])]);
    bench.activation.claimed = Ok(Claimed::Taken);
    bench.send(Event::Restored(Restored::default()));
    assert_eq!((done(&mut bench), rule(&bench)), ("offer vg".to_owned(), Some(Rule::OfferedBefore(By::Another))));
}

#[test]
fn an_offer_that_cannot_be_written_down_is_made_later_and_reported_once() {
    let mut bench = unstarted(ActivationSetting::On, &[member(0, &[0])]);
    bench.activation.claimed = Err("no space".to_owned());
    bench.send(Event::Restored(Restored::default()));
    bench.at(999);
    assert_eq!(done(&mut bench), "offer vg");
    bench.at(2_999);
    assert_eq!(done(&mut bench), "offer vg");
    assert_eq!(bench.watcher.progress(vgid()).unwrap().failing.unwrap().tries, 2);
    bench.activation.claimed = Ok(Claimed::Made);
    bench.at(10_000);
    assert_eq!(done(&mut bench), "offer vg, activate vg");
    assert_eq!(bench.reports.iter().filter(|report| report.contains("no space")).count(), 1);
    bench.send(Event::ActivationStarted { vgid: vgid(), by: "unit".to_owned() });
    assert_eq!(bench.watcher.progress(vgid()).unwrap().failing, None);
}

#[test]
fn one_that_did_not_start_is_taken_back_and_tried_again() {
    let mut bench = bench(&[member(0, &[0])]);
    assert_eq!(done(&mut bench), "offer vg, activate vg");
    ended(&mut bench, Outcome::NotStarted("busy".to_owned()));
    assert_eq!(done(&mut bench), "withdraw vg");
    bench.at(999);
    assert_eq!(done(&mut bench), "");
    bench.at(1_000);
    assert_eq!(done(&mut bench), "offer vg, activate vg");
    ended(&mut bench, Outcome::NotStarted("busy".to_owned()));
    bench.at(2_999);
    assert_eq!(done(&mut bench), "withdraw vg");
    bench.at(3_000);
    assert_eq!(done(&mut bench), "offer vg, activate vg");
    assert_eq!(bench.reports.iter().filter(|report| report.contains("busy")).count(), 1);
    bench.send(Event::ActivationStarted { vgid: vgid(), by: "unit".to_owned() });
    assert_eq!(bench.watcher.progress(vgid()).unwrap().failing, None);
}

#[test]
fn one_that_fails_is_not_repeated_before_a_pv_has_left() {
    for outcome in [
        Outcome::Failed { why: "exit status 5".to_owned(), output: "bad pool".to_owned() },
        Outcome::TimedOut,
        Outcome::Unknown("it is gone".to_owned()),
    ] {
        let mut bench = bench(&[member(0, &[0])]);
        bench.send(Event::ActivationStarted { vgid: vgid(), by: "unit".to_owned() });
        ended(&mut bench, outcome.clone());
        bench.at(100_000);
        bench.touch(0, Cause::Uevent("change"));
        assert_eq!(done(&mut bench), "offer vg, activate vg");
        let progress = bench.watcher.progress(vgid()).unwrap().ended.unwrap();
        assert_eq!((&progress.outcome, progress.by.as_deref()), (&outcome, Some("unit")));
        assert!(bench.reports.iter().any(|report| report.contains(&format!("activation failed: {outcome}"))));
        bench.remove(0);
        bench.insert(0, member(0, &[0]));
        bench.touch(0, Cause::Uevent("add"));
        assert_eq!(done(&mut bench), "forget v, offer vg, activate vg");
    }
}

#[test]
fn what_leaves_while_it_is_activated_is_offered_again_when_that_is_over() {
    let mut bench = bench(&[member(0, &[0])]);
    done(&mut bench);
    bench.remove(0);
    bench.insert(3, member(0, &[0]));
    bench.touch(3, Cause::Uevent("add"));
    assert_eq!(done(&mut bench), "forget v");
    ended(&mut bench, Outcome::Succeeded);
    assert_eq!(done(&mut bench), "offer vg, activate vg");
    // What an activation that did not start has claimed is not there any more.
    bench.remove(3);
    assert_eq!(done(&mut bench), "forget v");
    ended(&mut bench, Outcome::NotStarted("busy".to_owned()));
    assert_eq!(done(&mut bench), "");
}

#[test]
fn one_that_takes_too_long_is_ended_and_then_given_up() {
    let mut bench = bench(&[member(0, &[0])]);
    done(&mut bench);
    bench.at(89_999);
    assert_eq!(done(&mut bench), "");
    bench.at(119_999);
    assert_eq!(done(&mut bench), "end v");
    assert!(bench.watcher.progress(vgid()).unwrap().running.is_some());
    bench.at(120_000);
    let ended = bench.watcher.progress(vgid()).unwrap().ended.unwrap();
    assert!(matches!(ended.outcome, Outcome::Unknown(_)), "{ended:?}");
    assert_eq!(done(&mut bench), "");
}

fn vg(number: u8) -> (Id, String) {
    (Id([b'A' + number; 32]), format!("vg{number}"))
}

#[test]
fn so_many_at_a_time_and_no_more_offered() {
    let images = (0..6).map(|number| member_of(vg(number).0, &vg(number).1, number, 1, &[number])).collect::<Vec<_>>();
    let mut bench = bench(&images);
    let offered = |numbers: std::ops::Range<u8>| {
        let lines = numbers.map(|number| format!("offer vg{number}, activate vg{number}"));
        lines.collect::<Vec<_>>().join(", ")
    };
    assert_eq!(done(&mut bench), offered(0..4));
    bench.send(Event::ActivationEnded { vgid: vg(2).0, outcome: Outcome::Succeeded });
    assert_eq!(done(&mut bench), offered(4..5));
    // One that leaves while it waits is not offered.
    bench.remove(5);
    bench.send(Event::ActivationEnded { vgid: vg(0).0, outcome: Outcome::TimedOut });
    assert_eq!(done(&mut bench), "");
    let tally = bench.watcher.activation_tally();
    assert_eq!((tally.succeeded, tally.failed), (1, 1));
}

#[test]
fn udev_has_dealt_with_each_device_first() {
    let mut bench = unstarted(ActivationSetting::On, &[member(0, &[0, 1]), member(1, &[0, 1])]);
    bench.activation.udev.insert(1, udev::Standing::Awaited);
    bench.send(Event::Restored(Restored::default()));
    assert_eq!(log(&mut bench), "ask 8:0, ask 8:1");
    assert_eq!(rule(&bench), Some(Rule::AwaitsUdev { device: "/dev/d1".to_owned() }));
    bench.activation.udev.insert(1, udev::Standing::Refused("SYSTEMD_READY=0".to_owned()));
    bench.send(Event::UdevDone { devno: devno(1), seqnum: None });
    assert_eq!(log(&mut bench), "ask 8:1");
    let property = "SYSTEMD_READY=0".to_owned();
    assert_eq!(rule(&bench), Some(Rule::RefusedByUdev { device: "/dev/d1".to_owned(), property }));
    bench.at(100_000);
    assert_eq!(log(&mut bench), "", "only an event changes that");
    bench.activation.udev.clear();
    // What it said of another device meanwhile counts as well.
    bench.activation.udev.insert(0, udev::Standing::Refused("SYSTEMD_READY=0".to_owned()));
    for minor in [0, 1] {
        bench.send(Event::UdevDone { devno: devno(minor), seqnum: None });
    }
    assert_eq!(log(&mut bench), "ask 8:0, ask 8:1");
    bench.activation.udev.clear();
    bench.send(Event::UdevDone { devno: devno(0), seqnum: None });
    assert_eq!(log(&mut bench), "ask 8:0, offer vg, activate vg");
}

/// Its word may be lost.
#[test]
fn udev_is_asked_again() {
    let mut bench = unstarted(ActivationSetting::On, &[member(0, &[0])]);
    bench.activation.udev.insert(0, udev::Standing::Awaited);
    bench.send(Event::Restored(Restored::default()));
    bench.at(3_000);
    assert_eq!(log(&mut bench), "ask 8:0, ask 8:0, ask 8:0");
    bench.activation.udev.clear();
    bench.at(7_000);
    assert_eq!(log(&mut bench), "ask 8:0, offer vg, activate vg");
}

#[test]
fn what_has_happened_to_a_device_is_looked_at_first() {
    let mut bench = unstarted(ActivationSetting::On, &[member(0, &[0, 1]), member(1, &[0, 1]), member(2, &[2])]);
    bench.disk(2).held = true;
    bench.activation.udev.insert(0, udev::Standing::Awaited);
    bench.send(Event::Restored(Restored::default()));
    bench.disk(1).held = true;
    bench.touch(1, Cause::Uevent("change"));
    bench.activation.udev.clear();
    bench.send(Event::UdevDone { devno: devno(0), seqnum: None });
    assert_eq!(done(&mut bench), "");
    bench.release(1);
    bench.at(1_999);
    assert_eq!(done(&mut bench), "", "the other may be of its name");
    bench.at(2_000);
    // Though another device hangs, and the first scan goes on.
    assert_eq!(done(&mut bench), "offer vg, activate vg");
    assert!(!bench.watcher.is_ready());
}

#[test]
fn at_the_start_the_others_are_read_first() {
    let other = Id([b'w'; 32]);
    let mut bench = unstarted(ActivationSetting::On, &[member(0, &[0]), member_of(other, "vg", 1, 1, &[1])]);
    bench.disk(1).held = true;
    bench.send(Event::Restored(Restored::default()));
    assert_eq!(done(&mut bench), "");
    bench.release(1);
    bench.at(10_000);
    assert_eq!((done(&mut bench), rule(&bench)), (String::new(), Some(Rule::NameTaken)));
}

#[test]
fn an_inhibit_counts_until_its_time_is_over() {
    let mut bench = unstarted(ActivationSetting::On, &[member(0, &[0])]);
    let inhibit = |until: Option<u64>| Inhibit { vg: b"vg".to_vec(), until: until.map(Duration::from_secs) };
    bench.send(Event::Restored(Restored { inhibits: vec![inhibit(Some(60))], ..Restored::default() }));
    bench.at(59_999);
    assert_eq!(log(&mut bench), "");
    assert_eq!(rule(&bench), Some(Rule::Inhibited { until: Some(Duration::from_secs(60)) }));
    bench.send(Event::Inhibited(vec![inhibit(None)]));
    bench.at(1_000_000);
    assert_eq!((log(&mut bench), rule(&bench)), (String::new(), Some(Rule::Inhibited { until: None })));
    bench.send(Event::Inhibited(Vec::new()));
    assert_eq!(done(&mut bench), "offer vg, activate vg");
    let mut bench = unstarted(ActivationSetting::On, &[member(0, &[0])]);
    bench.send(Event::Restored(Restored { inhibits: vec![inhibit(Some(60))], ..Restored::default() }));
    bench.at(60_000);
    assert_eq!(done(&mut bench), "offer vg, activate vg");
}

#[test]
fn what_is_complete_when_we_are_put_in_charge_is_not_ours() {
    let mut bench = unstarted(ActivationSetting::Off, &[member(0, &[0]), member_of(vg(1).0, "vg1", 1, 1, &[1, 2])]);
    bench.send(Event::Restored(Restored::default()));
    assert_eq!((log(&mut bench), rule(&bench)), (String::new(), Some(Rule::Mode(Mode::Off))));
    let now = bench.now;
    bench.watcher.reconfigure(settings(ActivationSetting::On), now);
    bench.run();
    assert_eq!((done(&mut bench), rule(&bench)), ("offer vg".to_owned(), Some(Rule::OfferedBefore(By::Another))));
    bench.insert(2, member_of(vg(1).0, "vg1", 2, 1, &[1, 2]));
    bench.touch(2, Cause::Uevent("add"));
    assert_eq!(done(&mut bench), "offer vg1, activate vg1");
}

#[test]
fn a_report_says_once_what_would_be_done() {
    let mut bench = unstarted(ActivationSetting::Report, &[member(0, &[0])]);
    bench.send(Event::Restored(Restored::default()));
    bench.touch(0, Cause::Uevent("change"));
    assert_eq!(log(&mut bench), "ask 8:0");
    assert_eq!(bench.reports.iter().filter(|report| report.contains("VG vg: would be activated")).count(), 1);
}

#[test]
fn the_first_to_be_told_is_told_once_since_it_became_complete() {
    let mut bench = unstarted(ActivationSetting::Off, &[member(0, &[0, 1])]);
    bench.run();
    assert!(!bench.watcher.told_complete(vgid()));
    bench.insert(1, member(1, &[0, 1]));
    bench.touch(1, Cause::Uevent("add"));
    assert!(bench.watcher.told_complete(vgid()) && !bench.watcher.told_complete(vgid()));
    bench.remove(0);
    assert!(!bench.watcher.told_complete(vgid()));
    bench.insert(0, member(0, &[0, 1]));
    bench.touch(0, Cause::Uevent("add"));
    assert!(bench.watcher.told_complete(vgid()) && !bench.watcher.told_complete(vgid()));
}

#[test]
fn of_two_of_a_name_neither_until_the_other_is_gone() {
    let mut bench = bench(&[]);
    for (minor, number) in [(0, 0), (1, 1)] {
        bench.insert(minor, member_of(vg(number).0, "vg", number, 1, &[number, 2]));
        bench.touch(minor, Cause::Uevent("add"));
    }
    bench.insert(2, member_of(vg(0).0, "vg", 2, 1, &[0, 2]));
    bench.touch(2, Cause::Uevent("add"));
    assert_eq!(done(&mut bench), "");
    assert_eq!(bench.watcher.activation(vg(0).0).unwrap().decision, Some(Rule::NameTaken));
    bench.remove(1);
    assert_eq!(done(&mut bench), "offer vg, activate vg");
}

#[test]
fn copies_that_only_come_first_or_later_are_not_activated() {
    let mut bench = bench(&[]);
    for minor in [0, 1] {
        bench.insert(minor, member(0, &[0, 1]));
        bench.touch(minor, Cause::Uevent("add"));
    }
    bench.insert(2, member(1, &[0, 1]));
    bench.touch(2, Cause::Uevent("add"));
    let devices = ["/dev/d0", "/dev/d1"].map(str::to_owned).to_vec();
    assert_eq!((done(&mut bench), rule(&bench)), (String::new(), Some(Rule::Copies { pvid: pvid(0), devices })));
    bench.remove(1);
    assert_eq!(done(&mut bench), "offer vg, activate vg");
}

#[test]
fn a_device_that_cannot_be_read_now_is_not_used() {
    let mut bench = unstarted(ActivationSetting::On, &[member(0, &[0])]);
    bench.run();
    bench.disk(0).facts.dm_suspended = true;
    bench.touch(0, Cause::Uevent("change"));
    bench.send(Event::Restored(Restored::default()));
    let expected = Rule::Unreadable {
        pvid: pvid(0),
        device: "/dev/d0".to_owned(),
        reason: "the device-mapper device is suspended".to_owned(),
    };
    assert_eq!((done(&mut bench), rule(&bench)), (String::new(), Some(expected)));
    bench.disk(0).facts.dm_suspended = false;
    bench.touch(0, Cause::Uevent("change"));
    assert_eq!(done(&mut bench), "offer vg, activate vg");
}

#[test]
fn lvs_on_what_is_gone_look_for_the_new_device_first() {
    let mut bench = bench(&[member(0, &[0]), orphan(1)]);
    ended(&mut bench, Outcome::Succeeded);
    done(&mut bench);
    let lv = bench.disk(1);
    lv.facts.dm_uuid = Some(format!("LVM-{}{}", "v".repeat(32), "l".repeat(32)));
    lv.facts.stack.slaves = vec![devno(0)];
    bench.touch(1, Cause::Uevent("add"));
    bench.remove(0);
    bench.insert(5, member(0, &[0]));
    bench.touch(5, Cause::Uevent("add"));
    assert_eq!(done(&mut bench), "forget v, offer vg, refresh and activate vg");
    ended(&mut bench, Outcome::Succeeded);
    // One that comes back by its old number.
    bench.disk(1).facts.stack.slaves = vec![devno(5)];
    bench.touch(1, Cause::Uevent("change"));
    bench.disk(1).facts.stack.lies_on_gone = true;
    bench.remove(5);
    bench.insert(5, member(0, &[0]));
    bench.touch(5, Cause::Uevent("add"));
    assert_eq!(done(&mut bench), "forget v, offer vg, refresh and activate vg");
}

#[test]
fn a_failing_removal_is_made_up_for_before_an_offer() {
    let mut bench = bench(&[member(0, &[0])]);
    ended(&mut bench, Outcome::Succeeded);
    done(&mut bench);
    bench.fails_to_remove = true;
    bench.remove(0);
    bench.insert(0, member(0, &[0]));
    bench.touch(0, Cause::Uevent("add"));
    assert_eq!(done(&mut bench), "forget v");
    bench.fails_to_remove = false;
    bench.at(5_000);
    assert_eq!(done(&mut bench), "offer vg, activate vg");
}

fn differences(bench: &Bench) -> Vec<String> {
    bench.watcher.differences().map(|compared| compared.difference.to_string()).collect()
}

#[test]
fn what_lvm_does_otherwise_is_said_once() {
    let compare = |images: &[Vec<u8>]| {
        let mut bench = unstarted(ActivationSetting::Takeover, images);
        let settings = Settings { takeover: Takeover::Compare, ..Settings::default() };
        bench.watcher = Watcher::new(settings, 1, Duration::ZERO);
        bench.send(Event::Restored(Restored::default()));
        bench
    };
    let online = || Event::VgOnline(b"vg".to_vec());
    let mut bench = compare(&[member(0, &[0])]);
    bench.at(1_200);
    for _ in 0..2 {
        bench.send(online());
    }
    bench.at(100_000);
    assert_eq!(differences(&bench), ["would have been activated 1.200 s earlier"]);
    assert_eq!(done(&mut bench), "", "nothing is done or written down");

    let mut bench = compare(&[member(0, &[0])]);
    bench.at(100_000);
    assert_eq!(differences(&bench), ["LVM has not activated it 10.000 s after pvwatch would have"]);

    let mut bench = compare(&[member(0, &[0, 1])]);
    bench.send(online());
    bench.at(500);
    bench.insert(1, member(1, &[0, 1]));
    bench.touch(1, Cause::Uevent("add"));
    assert_eq!(differences(&bench), ["would have been activated 0.500 s later"]);

    let mut bench = compare(&[member(0, &[0, 1])]);
    bench.send(online());
    bench.at(100_000);
    let missing = format!("LVM has activated it, which pvwatch would not: PV {} is missing", pvid(1));
    assert_eq!(differences(&bench), [missing]);

    // LVM was quicker than the first read.
    let mut bench = compare(&[]);
    bench.send(online());
    bench.at(300);
    bench.insert(0, member(0, &[0]));
    bench.touch(0, Cause::Uevent("add"));
    assert_eq!(differences(&bench), ["would have been activated 0.300 s later"]);
}

#[test]
fn arrivals_cost_the_same_however_many_pvs_there_are() {
    let pvs = (0..20).collect::<Vec<_>>();
    let mut bench = bench(&[]);
    for pv in 0..20 {
        bench.insert(pv.into(), member(pv, &pvs));
        bench.touch(pv.into(), Cause::Uevent("add"));
    }
    let log = log(&mut bench);
    assert_eq!(log.matches("ask").count(), 20, "{log}");
    assert!(log.ends_with("offer vg, activate vg"), "{log}");
}

#[test]
fn what_a_command_has_made_complete_is_for_it_to_activate() {
    let by_command = Some(Rule::OfferedBefore(By::Command));
    // vgcreate, vgsplit.
    let mut made = bench(&[vec![0; 1 << 20], vec![0; 1 << 20]]);
    made.write(0, member(0, &[0, 1]));
    made.write(1, member(1, &[0, 1]));
    assert_eq!((done(&mut made), rule(&made)), ("offer vg".to_owned(), by_command.clone()));
    made.remove(1);
    made.insert(1, member(1, &[0, 1]));
    made.touch(1, Cause::Uevent("add"));
    assert_eq!(done(&mut made), "forget v, offer vg, activate vg", "now it has come");

    // vgcreate on what pvcreate has made before.
    let mut made = bench(&[orphan(0), orphan(1)]);
    made.write(0, member(0, &[0, 1]));
    made.write(1, member(1, &[0, 1]));
    assert_eq!((done(&mut made), rule(&made)), ("offer vg".to_owned(), by_command.clone()));

    // vgreduce --removemissing.
    let mut reduced = bench(&[member(0, &[0, 1])]);
    reduced.write(0, member_of(vgid(), "vg", 0, 2, &[0]));
    assert_eq!((done(&mut reduced), rule(&reduced)), ("offer vg".to_owned(), by_command.clone()));

    // pvcreate --restorefile on a new disk.
    let mut restored = bench(&[member(0, &[0, 1]), vec![0; 1 << 20]]);
    restored.write(1, pv_image(&PvSpec { in_use: true, ..PvSpec::orphan(pvid(1)) }));
    assert_eq!((done(&mut restored), rule(&restored)), ("offer vg".to_owned(), by_command.clone()));

    // vgimport.
    let exported = |number| {
        let text = String::from_utf8(vg_text("vg", vgid(), 1, &[(pvid(0), SIZE), (pvid(1), SIZE)])).unwrap();
        let text = text.replacen("status = [", "status = [\"EXPORTED\", ", 1);
        pv_image(&PvSpec { dev_size: Some(SIZE), ..PvSpec::member(pvid(number), text.into_bytes()) })
    };
    let mut imported = bench(&[exported(0), exported(1)]);
    assert_eq!(rule(&imported), Some(Rule::Exported));
    imported.write(0, member_of(vgid(), "vg", 0, 2, &[0, 1]));
    imported.write(1, member_of(vgid(), "vg", 1, 2, &[0, 1]));
    assert_eq!((done(&mut imported), rule(&imported)), ("offer vg".to_owned(), by_command));
}

#[test]
fn what_a_device_has_made_complete_is_for_us_to_activate_whatever_was_written_before() {
    // vgimport --force, without one of the PVs.
    let exported = |number| {
        let text = String::from_utf8(vg_text("vg", vgid(), 1, &[(pvid(0), SIZE), (pvid(1), SIZE)])).unwrap();
        let text = text.replacen("status = [", "status = [\"EXPORTED\", ", 1);
        pv_image(&PvSpec { dev_size: Some(SIZE), ..PvSpec::member(pvid(number), text.into_bytes()) })
    };
    let mut imported = bench(&[exported(0)]);
    imported.write(0, member_of(vgid(), "vg", 0, 2, &[0, 1]));
    assert_eq!(done(&mut imported), "");
    imported.insert(1, member_of(vgid(), "vg", 1, 2, &[0, 1]));
    imported.touch(1, Cause::Uevent("add"));
    assert_eq!(done(&mut imported), "offer vg, activate vg");

    // What comes is newer, and says that the PV that is missing is not one any more.
    let mut newer = bench(&[member(0, &[0, 1, 2])]);
    newer.insert(1, member_of(vgid(), "vg", 1, 2, &[0, 1]));
    newer.touch(1, Cause::Uevent("add"));
    assert_eq!(done(&mut newer), "offer vg, activate vg");

    // The right one of two copies that differ goes nowhere, but the other one goes.
    let mut copies = bench(&[member(0, &[0]), member_of(vgid(), "vg", 0, 2, &[0])]);
    assert_eq!(done(&mut copies), "");
    copies.remove(1);
    assert_eq!(done(&mut copies), "offer vg, activate vg");

    // Another disk by the same number, where the kernel does not count them.
    let mut uncounted = bench(&[member(0, &[0, 1]), vec![0; 1 << 20]]);
    for image in [vec![0; 1 << 20], member(1, &[0, 1])] {
        uncounted.insert(1, image);
        uncounted.disk(1).diskseq = 0;
        uncounted.disk(1).facts.diskseq = None;
        uncounted.touch(1, Cause::Uevent("add"));
    }
    assert_eq!(done(&mut uncounted), "offer vg, activate vg");
}

#[test]
fn what_can_be_read_in_full_at_last_has_come() {
    let mut bench = bench(&[]);
    // The text begins behind what is read first.
    let text = text_with_lv(vgid(), "vg", 1, &[0]);
    bench.insert(0, pv_image(&PvSpec { text_offset: 20 << 10, dev_size: Some(SIZE), ..PvSpec::member(pvid(0), text) }));
    bench.disk(0).read_error = Some(5);
    bench.touch(0, Cause::Uevent("add"));
    assert_eq!(done(&mut bench), "");
    bench.disk(0).read_error = None;
    bench.touch(0, Cause::Uevent("change"));
    assert_eq!(done(&mut bench), "offer vg, activate vg");
}
