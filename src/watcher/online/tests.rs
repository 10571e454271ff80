//! What follows from what, a line each.

use super::heal::Known;
use super::truth::{Candidate, Truth};
use crate::devno::DevNo;
use crate::id::Id;
use crate::metadata::VgText;
use crate::ondisk::image::vg_text;
use crate::online::{Listing, Lookup, PvOnline};
use std::rc::Rc;

fn pv(name: char) -> Id {
    Id([u8::try_from(name).unwrap(); 32])
}

fn devno(minor: u32) -> DevNo {
    DevNo::new(8, minor)
}

/// Of the VG with this id: `vg:ab`.
fn text(vgid: char, vg: &str) -> Rc<VgText> {
    let (name, pvs) = vg.split_once(':').unwrap();
    let pvs = pvs.chars().map(|name| (pv(name), 4 << 20)).collect::<Vec<_>>();
    Rc::new(VgText::parse(vg_text(name, pv(vgid), 1, &pvs).into()).unwrap())
}

fn file(minor: u32, vg: Option<&str>) -> PvOnline {
    PvOnline { devno: devno(minor), vg: vg.map(|vg| vg.as_bytes().to_vec()), device: None }
}

/// What a step is: `come 1 a vg`, `come 1 a -` (without a text), `leave 1`, `unused 1 a`,
/// `vg v vg:ab`, `kept v vg:ab`, `unknown v`.
fn step(truth: &mut Truth, step: &str) {
    let words = step.split_whitespace().collect::<Vec<_>>();
    let name = |word: &str| word.chars().next().unwrap();
    match words[..] {
        ["come", minor, pvid, vg] => {
            let (minor, vg) = (minor.parse().unwrap(), Some(vg).filter(|vg| *vg != "-"));
            let pvid = pv(name(pvid));
            let candidate = Candidate { pvid, file: file(minor, vg), own_is_kept: vg.map(|_| false) };
            truth.device(devno(minor), Some(candidate), Some(pvid));
        }
        ["leave", minor] => truth.device(devno(minor.parse().unwrap()), None, None),
        ["unused", minor, pvid] => truth.device(devno(minor.parse().unwrap()), None, Some(pv(name(pvid)))),
        ["vg", id, vg] => truth.vg(pv(name(id)), Some((text(name(id), vg), false))),
        ["kept", id, vg] => truth.vg(pv(name(id)), Some((text(name(id), vg), true))),
        ["unknown", id] => truth.vg(pv(name(id)), None),
        _ => panic!("{step}"),
    }
}

fn shown(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn letters(pvids: &[Id]) -> String {
    pvids.iter().map(|pvid| char::from(pvid.0[0])).collect()
}

fn changes(truth: &mut Truth) -> String {
    use crate::online::Change;
    let change = |change| match change {
        Change::Pv(pvid, PvOnline { devno, vg, .. }) => {
            format!("{}={}/{}", letters(&[pvid]), devno.minor, vg.map_or("-".into(), |vg| shown(&vg)))
        }
        Change::PvGone(pvid) => format!("-{}", letters(&[pvid])),
        Change::Lookup(Lookup { vg, pvids }) => format!("{}:{}", shown(&vg), letters(&pvids)),
        Change::LookupGone(vg) => format!("-{}:", shown(&vg)),
        Change::VgOffline(vg) => format!("offline:{}", shown(&vg)),
        Change::VgRenamed { from, to } => format!("{}>{}", shown(&from), shown(&to)),
    };
    std::iter::from_fn(|| truth.pop().map(change)).collect::<Vec<_>>().join(" ")
}

/// Steps, each with what it makes due.
fn check(steps: &[(&str, &str)]) -> Truth {
    let mut truth = Truth::default();
    for (number, (what, expected)) in steps.iter().enumerate() {
        what.split(", ").for_each(|what| step(&mut truth, what));
        assert_eq!(changes(&mut truth), *expected, "step {number}: {what}");
    }
    truth
}

#[test]
fn a_vg_comes_and_goes() {
    check(&[
        ("vg v vg:ab, come 1 a vg", "a=1/vg vg:ab"),
        ("come 1 a vg", ""),
        ("come 2 b vg", "b=2/vg"),
        ("leave 1", "offline:vg -a -vg:"),
        ("come 3 a vg", "a=3/vg vg:ab"),
        // It is found by another number at once.
        ("come 4 a vg", "a=4/vg"),
        ("leave 3", ""),
        ("leave 4, leave 2, unknown v", "offline:vg -a -b -vg:"),
    ]);
    // A VG with one PV needs no lookup.
    check(&[("vg v vg:a, come 1 a vg", "a=1/vg"), ("leave 1", "offline:vg -a")]);
}

/// As in the logs of the real one, but that the VG of a PV without text is known when it goes.
#[test]
fn a_pv_without_text() {
    check(&[
        ("come 1 a -", "a=1/-"),
        ("vg v vg:ab, come 2 b vg", "b=2/vg vg:ab"),
        ("leave 1", "offline:vg -a -vg:"),
        ("come 1 a -", "a=1/- vg:ab"),
        ("leave 2, unknown v", "offline:vg -b -vg:"),
    ]);
}

#[test]
fn what_commands_do() {
    let vg = ("vg v vg:ab, come 1 a vg, come 2 b vg", "a=1/vg b=2/vg vg:ab");
    // vgrename
    check(&[vg, ("vg v new:ab, come 1 a new, come 2 b new", "vg>new a=1/new b=2/new new:ab -vg:")]);
    // vgreduce, whichever is read first; the VG has all it needs.
    check(&[vg, ("vg v vg:a", "-vg:"), ("unused 2 b", "-b")]);
    check(&[vg, ("unused 2 b", "-b"), ("vg v vg:a", "-vg:")]);
    // vgextend
    check(&[vg, ("vg v vg:abc", "vg:abc"), ("come 3 c vg", "c=3/vg")]);
    // vgremove, and pvremove
    check(&[vg, ("unknown v, unused 1 a, unused 2 b", "offline:vg -a -b -vg:"), ("leave 1", "")]);
    // vgexport and vgimport, with a PV without text
    let exported = ("kept v vg:abc, unused 1 a, unused 2 b", "offline:vg -a -b -c -vg:");
    check(&[vg, ("come 3 c -", "c=3/-"), ("vg v vg:abc", "vg:abc"), exported, ("vg v vg:abc", "c=3/- vg:abc")]);
}

#[test]
fn two_vgs_of_one_name() {
    let first = ("vg v vg:ab, come 1 a vg, come 2 b vg", "a=1/vg b=2/vg vg:ab");
    let second = ("vg w vg:cd, come 3 c vg, come 4 d vg", "c=3/vg d=4/vg -vg:");
    check(&[first, second, ("vg w new:cd, come 3 c new, come 4 d new", "c=3/new d=4/new new:cd vg:ab")]);
    check(&[first, second, ("leave 3, leave 4, unknown w", "offline:vg -c -d vg:ab")]);
    // Into the name of another.
    check(&[first, ("vg w o:cd, come 3 c o", "c=3/o o:cd"), ("vg w vg:cd", "offline:o -o: -vg:")]);
}

#[test]
fn of_many_changes_the_last_is_made() {
    check(&[
        ("vg v vg:ab, come 1 a vg, leave 1, unknown v", "offline:vg -a -vg:"),
        ("vg v vg:ab, come 1 a vg, leave 1, come 2 a vg", "offline:vg a=2/vg vg:ab"),
        ("leave 2, vg v new:ab", "offline:vg -a -vg:"),
    ]);
}

/// What is there, as `a=1/vg` `vg:ab` `online:vg`, and what is due then. Devices 1 and 2 are read, 8
/// is not, 9 is not ours, others are gone.
fn check_heal(truth: &mut Truth, there: &str, expected: &str) {
    let mut listing = Listing::default();
    for word in there.split_whitespace() {
        if let Some((pvid, said)) = word.split_once('=') {
            let said =
                said.split_once('/').map(|(minor, vg)| file(minor.parse().unwrap(), Some(vg).filter(|vg| *vg != "-")));
            listing.pvs.push((pv(pvid.chars().next().unwrap()), said));
        } else if let Some(vg) = word.strip_prefix("online:") {
            listing.vgs.push(vg.as_bytes().to_vec());
        } else if let Some((vg, pvids)) = word.split_once(':') {
            listing.lookups.push(Lookup { vg: vg.as_bytes().to_vec(), pvids: pvids.chars().map(pv).collect() });
        }
    }
    let known = |devno: Option<DevNo>| match devno.map(|devno| devno.minor) {
        Some(1 | 2) => Known::Read,
        Some(8) | None => Known::Unread,
        Some(9) => Known::Elsewhere,
        Some(_) => Known::Gone,
    };
    truth.heal(&listing, std::iter::empty(), &known);
    assert_eq!(changes(truth), expected, "{there}");
}

#[test]
fn what_is_wrong_is_put_right() {
    let mut truth = check(&[("vg v vg:ab, come 1 a vg, come 2 b vg", "a=1/vg b=2/vg vg:ab")]);
    for (there, expected) in [
        ("a=1/vg b=2/vg vg:ab online:vg", ""),
        ("", "a=1/vg b=2/vg vg:ab"),
        ("a=2/vg b=2/- vg:ba", "a=1/vg b=2/vg vg:ab"),
        ("a=nothing b=2/vg vg:ab", "a=1/vg"),
        // Of devices that are gone, that hold something else, that nobody knows of, and of others.
        ("a=1/vg b=2/vg vg:ab c=7/vg d=1/vg e=8/vg f=9/vg g=nothing", "-c -d"),
        ("a=1/vg b=2/vg vg:ab other:xy online:other old:ab online:old", "offline:old offline:other -old: -other:"),
        ("a=1/vg b=2/vg vg:ab other:xe online:other e=8/- f=9/third online:third third:z", ""),
    ] {
        check_heal(&mut truth, there, expected);
    }
    // One whose file cannot be known to be wrong may be there.
    let mut truth = check(&[("vg v vg:ab, come 1 a vg", "a=1/vg vg:ab")]);
    check_heal(&mut truth, "a=1/vg b=8/vg vg:ab online:vg", "");
    check_heal(&mut truth, "a=1/vg b=7/vg vg:ab online:vg", "offline:vg -b");
    let mut truth = check(&[("kept v vg:ab", "")]);
    check_heal(&mut truth, "a=1/vg b=2/vg vg:ab online:vg", "offline:vg -a -b -vg:");
}
