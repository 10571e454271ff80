//! When a PV is reported outdated, and when no more.

use super::*;

#[test]
fn a_commit_caught_between_two_pvs_makes_nobody_outdated() {
    let both = [0, 1];
    let reads = [(0, member(0, 1, &both)), (1, member(1, 1, &both)), (0, member(0, 2, &both))];
    assert!(naive(&reads).vgs().any(|vg| !vg.outdated().is_empty()), "this is what must not be served");

    let mut bench = Bench::new(&[member(0, 1, &both), member(1, 1, &both)]);
    bench.at(5_000);
    bench.write(0, member(0, 2, &both));
    assert_eq!((bench.seqno(), bench.outdated()), (Some(2), 0));
    bench.at(5_900);
    bench.write(1, member(1, 2, &both));
    bench.at(60_000);
    assert_eq!((bench.seqno(), bench.outdated()), (Some(2), 0));
}

#[test]
fn a_pv_is_outdated_after_two_reads_a_second_apart() {
    let mut bench = Bench::new(&[member(0, 1, &[0, 1]), member(1, 2, &[1])]);
    let opens = bench.opens[&0];
    bench.at(999);
    assert_eq!((bench.outdated(), bench.opens[&0]), (0, opens));
    bench.at(1_000);
    assert_eq!((bench.outdated(), bench.opens[&0], bench.opens[&1]), (1, opens + 1, opens + 1));
    assert!(bench.request("request=\"vg_lookup\"\nname=\"vg\"\n").contains("outdated_pvs"));
    bench.at(100_000);
    assert_eq!(bench.opens[&0], opens + 1, "once is enough");
}

/// What it shows now it may not have shown all the time.
#[test]
fn a_pv_that_could_not_be_read_meanwhile_is_outdated_after_two_more_reads() {
    let mut bench = Bench::new(&[member(0, 1, &[0, 1]), member(1, 1, &[0, 1])]);
    bench.at(5_000);
    bench.disk(0).read_error = Some(EIO);
    bench.touch(0, Cause::Written);
    bench.write(1, member(1, 2, &[0, 1]));
    bench.at(20_000);
    assert_eq!((bench.reason(0).is_some(), bench.outdated()), (true, 0));
    bench.disk(0).read_error = None;
    bench.touch(0, Cause::Written);
    assert_eq!((bench.reason(0), bench.outdated()), (None, 0));
    bench.at(21_000);
    assert_eq!(bench.outdated(), 1);
}

#[test]
fn an_outdated_pv_that_is_used_again_is_taken_off_the_list() {
    let outdated = || {
        let mut bench = Bench::new(&[member(0, 1, &[0, 1]), member(1, 2, &[1])]);
        bench.at(2_000);
        assert_eq!(bench.outdated(), 1);
        bench
    };
    for image in [member_of(Id([b'w'; 32]), 0, 1, &[0]), orphan(0), member(0, 2, &[1])] {
        let mut bench = outdated();
        bench.write(0, image);
        assert_eq!(bench.outdated(), 0);
    }
    // Nor is it on the list when it was away.
    let mut bench = outdated();
    bench.remove(0);
    bench.insert(0, member(0, 1, &[0, 1]));
    bench.touch(0, Cause::Uevent("add"));
    assert_eq!((bench.place(0), bench.outdated()), (Some(0), 0));
}

/// While the one that is newer is away, nobody is outdated.
#[test]
fn a_pv_is_outdated_again_when_the_newer_one_has_come_back() {
    let mut bench = Bench::new(&[member(0, 1, &[0, 1]), member(1, 2, &[0, 1])]);
    bench.at(2_000);
    assert_eq!((bench.seqno(), bench.outdated()), (Some(2), 1));
    bench.remove(1);
    assert_eq!((bench.seqno(), bench.outdated()), (Some(1), 0));
    bench.insert(1, member(1, 2, &[0, 1]));
    bench.touch(1, Cause::Uevent("add"));
    assert_eq!((bench.seqno(), bench.outdated()), (Some(2), 0));
    bench.at(4_000);
    assert_eq!(bench.outdated(), 1);
}

#[test]
fn an_outdated_pv_that_a_client_took_away_is_reported_after_one_read_of_it() {
    let mut bench = Bench::new(&[member(0, 1, &[0, 1]), member(1, 2, &[1])]);
    bench.at(10_000);
    assert_eq!(bench.outdated(), 1);
    let opens = bench.opens.clone();
    // Of the PV that is newer there has been no sign of change: what was read stands, as the report
    // would have without the client.
    bench.disk(1).image = orphan(1);
    bench.request(&format!("request=\"pv_gone\"\nuuid=\"{}\"\n", pvid(0)));
    assert_eq!((bench.outdated(), bench.opens[&0], bench.opens[&1]), (1, opens[&0] + 1, opens[&1]));
    // Once it is known, there is nothing newer.
    bench.touch(1, Cause::Written);
    assert_eq!((bench.seqno(), bench.outdated()), (Some(1), 0));
}

#[test]
fn what_a_client_said_of_a_vg_does_not_hide_for_good_who_is_outdated() {
    let mut bench = Bench::new(&[member(0, 2, &[0, 2]), member(1, 1, &[0, 1, 2]), member(2, 2, &[0, 2])]);
    bench.at(10_000);
    assert_eq!((bench.seqno(), bench.outdated()), (Some(2), 1));
    // The list is one of the VG that goes, when the last of its PVs has been read.
    let text = String::from_utf8(vg_text("vg", vgid(), 5, &[(pvid(0), SIZE), (pvid(2), SIZE)])).unwrap();
    let body = &text[text.find('{').unwrap()..text.find("\n# Generated").unwrap()];
    bench.request(&format!("request=\"vg_update\"\nvgname=\"vg\"\nmetadata {body}"));
    assert_eq!((bench.seqno(), bench.outdated()), (Some(2), 1));
}
