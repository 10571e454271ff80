//! What a client says and no disk does, and when a VG goes back to what the disks say.

use super::*;

#[test]
fn what_a_client_says_makes_a_read_in_flight_worthless() {
    let mut bench = Bench::new(&[member(0, 1, &[0])]);
    bench.disk(0).held = true;
    bench.touch(0, Cause::Written);
    // The command has committed 2, and tells so before the reader answers with 1.
    bench.disk(0).image = member(0, 2, &[0]);
    let text = String::from_utf8(vg_text("vg", vgid(), 2, &[(pvid(0), SIZE)])).unwrap();
    let body = &text[text.find('{').unwrap()..text.find("\n# Generated").unwrap()];
    bench.request(&format!("request=\"vg_update\"\nvgname=\"vg\"\nmetadata {body}"));
    bench.send(Event::Settle(1));
    assert_eq!(bench.seqno(), Some(2));
    bench.disk(0).held = true;
    let (answers, _): (Vec<_>, Vec<_>) = std::mem::take(&mut bench.asked).into_iter().partition(|_| true);
    for (_, _, answer) in answers {
        bench.send(answer);
        assert_eq!((bench.seqno(), bench.settled.len()), (Some(2), 0), "the old read does not count");
    }
    bench.release(0);
    assert_eq!((bench.seqno(), &bench.settled[..]), (Some(2), &[1][..]));
}

#[test]
fn after_a_clients_refill_the_disks_win() {
    let mut bench = Bench::new(&[member(0, 3, &[0]), orphan(1)]);
    bench.request("request=\"token_update\"\ntoken=\"update in progress\"\npid=7\nupdate_timeout=10");
    bench.request("request=\"pv_clear_all\"");
    assert_eq!((bench.seqno(), bench.place(1)), (None, None));
    bench.request("request=\"token_update\"\ntoken=\"filter:1\"\npid=7");
    assert_eq!((bench.seqno(), bench.place(0), bench.place(1)), (Some(3), Some(0), Some(1)));
    // And if it never ends.
    bench.at(1_000);
    bench.request("request=\"token_update\"\ntoken=\"update in progress\"\npid=7\nupdate_timeout=5");
    bench.request("request=\"pv_clear_all\"");
    bench.at(6_000);
    assert_eq!((bench.seqno(), bench.place(1), bench.watcher.state()), (Some(3), Some(1), State::Initialized));
    // Nor says how long it may take.
    for (at, timeout) in [(10_000, 0), (100_000, -1)] {
        bench.at(at);
        bench.request(&format!(
            "request=\"token_update\"\ntoken=\"update in progress\"\npid=7\nupdate_timeout={timeout}"
        ));
        bench.request("request=\"pv_clear_all\"");
        assert_eq!((bench.seqno(), bench.watcher.state()), (None, State::Scanning));
        bench.at(at + 61_000);
        assert_eq!((bench.seqno(), bench.watcher.state()), (Some(3), State::Initialized));
    }
}

#[test]
fn a_cache_cleared_during_our_own_scan_is_filled_again() {
    let mut bench = Bench::unstarted(&[orphan(0), orphan(1)]);
    bench.disk(1).held = true;
    bench.run();
    bench.request("request=\"pv_clear_all\"");
    bench.release(1);
    assert_eq!((bench.place(0), bench.place(1), bench.watcher.is_ready()), (Some(0), Some(1), true));
}

#[test]
fn a_cleared_cache_is_filled_from_devices_that_hang_too() {
    let mut bench = Bench::new(&[member(0, 1, &[0])]);
    bench.disk(0).held = true;
    bench.touch(0, Cause::Written);
    bench.at(20_000);
    bench.request("request=\"pv_clear_all\"");
    assert_eq!((bench.reason(0), bench.place(0), bench.seqno()), (Some(Reason::DeadlinePassed), Some(0), Some(1)));
}

#[test]
fn a_vg_that_only_a_client_knows_does_not_stay() {
    let mut bench = Bench::new(&[orphan(0)]);
    let text = String::from_utf8(vg_text("vg", vgid(), 2, &[(pvid(5), SIZE)])).unwrap();
    let body = &text[text.find('{').unwrap()..text.find("\n# Generated").unwrap()];
    bench.request(&format!("request=\"vg_update\"\nvgname=\"vg\"\nmetadata {body}"));
    bench.request(&format!("request=\"vg_update\"\nvgname=\"vg\"\nmetadata {}", body.replace("vvvvvv", "v")));
    assert_eq!(bench.watcher.cache().vg_count(), 0);
}

#[test]
fn a_hung_device_does_not_let_its_vg_go_back() {
    let mut bench = Bench::new(&[member(0, 1, &[0])]);
    bench.disk(0).held = true;
    bench.write(0, member(0, 2, &[0]));
    let text = String::from_utf8(vg_text("vg", vgid(), 2, &[(pvid(0), SIZE)])).unwrap();
    let body = &text[text.find('{').unwrap()..text.find("\n# Generated").unwrap()];
    bench.request(&format!("request=\"vg_update\"\nvgname=\"vg\"\nmetadata {body}"));
    bench.at(60_000);
    assert_eq!((bench.reason(0), bench.seqno()), (Some(Reason::DeadlinePassed), Some(2)));
}

#[test]
fn what_a_client_says_stays_while_the_pv_may_be_on_a_device_that_was_never_read() {
    let text = String::from_utf8(vg_text("vg", vgid(), 2, &[(pvid(0), SIZE)])).unwrap();
    let body = &text[text.find('{').unwrap()..text.find("\n# Generated").unwrap()];
    let told = |error: Option<i32>, image: Vec<u8>| {
        let mut bench = Bench::unstarted(&[image, member(1, 1, &[0, 1])]);
        bench.disk(0).open_error = error;
        bench.run();
        bench.request(&format!("request=\"vg_update\"\nvgname=\"vg\"\nmetadata {body}"));
        bench
    };
    let mut bench = told(Some(EIO), member(0, 2, &[0]));
    assert_eq!((bench.reason(0), bench.seqno()), (Some(Reason::Open(EIO)), Some(2)));
    bench.disk(0).open_error = None;
    bench.touch(0, Cause::Written);
    assert_eq!((bench.reason(0), bench.seqno()), (None, Some(2)));
    // What was on a disk that is gone may be on one that was never read, and on no other that cannot be.
    for was_read in [false, true] {
        let mut bench = told(None, member(0, 2, &[0]));
        bench.insert(2, orphan(2));
        bench.disk(2).open_error = Some(EIO).filter(|_| !was_read);
        bench.touch(2, Cause::Uevent("add"));
        bench.disk(2).open_error = Some(EIO);
        bench.touch(2, Cause::Written);
        bench.remove(0);
        let seqno = if was_read { 1 } else { 2 };
        assert_eq!((bench.reason(2), bench.seqno()), (Some(Reason::Open(EIO)), Some(seqno)));
    }
    // It is not so, which is known once all have been read.
    assert_eq!(told(None, orphan(2)).seqno(), Some(1));
    let mut bench = told(Some(EIO), orphan(2));
    assert_eq!(bench.seqno(), Some(2));
    bench.disk(0).open_error = None;
    bench.touch(0, Cause::Written);
    assert_eq!(bench.seqno(), Some(1));
    // Nor is it looked for any longer than the device is there.
    let mut bench = told(Some(EIO), orphan(2));
    bench.remove(0);
    assert_eq!(bench.seqno(), Some(1));
}

#[test]
fn a_vg_does_not_go_back_while_another_device_with_its_newest_pv_is_read_again() {
    let newest = member(0, 2, &[0, 1]);
    let mut bench = Bench::new(&[newest.clone(), member(1, 1, &[0, 1]), newest]);
    assert_eq!((bench.place(0), bench.seqno()), (Some(0), Some(2)));
    bench.disk(2).held = true;
    bench.write(0, orphan(2));
    bench.touch(1, Cause::Written);
    assert_eq!((bench.place(0), bench.seqno()), (None, Some(2)));
    bench.release(2);
    assert_eq!((bench.place(0), bench.seqno()), (Some(2), Some(2)));
}

#[test]
fn a_vg_does_not_go_back_while_its_newest_pv_may_be_on_a_device_that_was_never_read() {
    for comes_back in [true, false] {
        let mut bench = Bench::new(&[member(0, 1, &[0, 1]), member(1, 2, &[0, 1])]);
        assert_eq!(bench.seqno(), Some(2));
        bench.insert(2, member(1, 2, &[0, 1]));
        bench.disk(2).open_error = Some(EIO);
        bench.touch(2, Cause::Uevent("add"));
        bench.remove(1);
        bench.at(60_000);
        assert_eq!((bench.seqno(), bench.place(1)), (Some(2), None));
        if comes_back {
            bench.disk(2).open_error = None;
            bench.touch(2, Cause::Written);
        } else {
            bench.remove(2);
        }
        assert_eq!((bench.seqno(), bench.place(1)), if comes_back { (Some(2), Some(2)) } else { (Some(1), None) });
    }
}

#[test]
fn a_vg_removed_behind_our_back_is_gone() {
    let mut bench = Bench::new(&[member(0, 1, &[0, 1]), member(1, 1, &[0, 1])]);
    bench.write(0, orphan(0));
    assert_eq!(bench.seqno(), Some(1));
    bench.write(1, orphan(1));
    assert_eq!((bench.seqno(), bench.place(0), bench.place(1)), (None, Some(0), Some(1)));
}
