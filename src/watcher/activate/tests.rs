//! What is offered when, a story each.

use super::super::tests::{Bench, SIZE, pvid, vgid};
use super::super::{Cause, Event, Watcher};
use crate::activation::{By, Offered, Outcome, Restored, Rule};
use crate::conf::{ActivationSetting, Settings};
use crate::id::Id;
use crate::ondisk::image::{PvSpec, pv_image, vg_text};
use std::time::Duration;

fn settings(activation: ActivationSetting) -> Settings {
    Settings { activation, ..Settings::default() }
}

/// PV `number` of a VG of these PVs, which has an LV.
fn member_of(vgid: Id, name: &str, number: u8, seqno: i64, pvs: &[u8]) -> Vec<u8> {
    let pvs = pvs.iter().map(|pv| (pvid(*pv), SIZE)).collect::<Vec<_>>();
    let text = String::from_utf8(vg_text(name, vgid, seqno, &pvs)).unwrap();
    let segment = "segment1 { start_extent=0 extent_count=1 type=\"striped\" stripe_count=1 stripes=[\"pv0\", 0] }";
    let id = Id([b'l'; 32]);
    let lv = format!("lv {{ id=\"{id}\" status=[\"READ\",\"WRITE\",\"VISIBLE\"] flags=[] segment_count=1 {segment} }}");
    let text = text.replacen("\n}\n# Generated", &format!("\nlogical_volumes {{ {lv} }}\n}}\n# Generated"), 1);
    pv_image(&PvSpec { dev_size: Some(SIZE), ..PvSpec::member(pvid(number), text.into_bytes()) })
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
