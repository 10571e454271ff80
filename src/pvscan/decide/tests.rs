use super::*;
use crate::metadata::Access;
use crate::online::Hints;
use crate::pvscan::{Lv, Parsed, parse};
use std::collections::{BTreeMap, BTreeSet};

/// A run directory, as a mapping.
#[derive(Default)]
struct Memory {
    pvs: BTreeMap<Id, Option<PvOnline>>,
    vgs: BTreeSet<Vec<u8>>,
    lookups: BTreeMap<Vec<u8>, Vec<Id>>,
    /// Nothing can be made any more.
    full: bool,
    /// Cannot be removed.
    fixed: Option<Id>,
    /// Comes online as soon as a lookup is made: another command, at the same time.
    with_lookup: Option<(Id, PvOnline)>,
}

impl Memory {
    fn check(&self) -> Result<(), &'static str> {
        if self.full { Err("No space left on device") } else { Ok(()) }
    }
}

impl RunFiles for Memory {
    type Error = &'static str;

    fn claim_pv(&mut self, pvid: Id, online: &PvOnline) -> Result<Claim, Self::Error> {
        match self.pvs.get(&pvid).cloned().flatten() {
            Some(other) if other.devno == online.devno => Ok(Claim::Held),
            Some(other) => Ok(Claim::Taken(other)),
            None => self.replace_pv(pvid, online).map(|()| Claim::Made),
        }
    }

    fn replace_pv(&mut self, pvid: Id, online: &PvOnline) -> Result<(), Self::Error> {
        self.check()?;
        self.pvs.insert(pvid, Some(online.clone()));
        Ok(())
    }

    fn pv(&self, pvid: Id) -> Result<Option<PvOnline>, Self::Error> {
        Ok(self.pvs.get(&pvid).cloned().flatten())
    }

    fn has_pv(&self, pvid: Id) -> Result<bool, Self::Error> {
        self.pv(pvid).map(|online| online.is_some())
    }

    fn pvs(&self) -> Result<Vec<(Id, Option<PvOnline>)>, Self::Error> {
        Ok(self.pvs.iter().map(|(pvid, online)| (*pvid, online.clone())).collect())
    }

    fn remove_pv(&mut self, pvid: Id) -> Result<(), Self::Error> {
        if self.fixed == Some(pvid) {
            return Err("Is a directory");
        }
        self.pvs.remove(&pvid);
        Ok(())
    }

    fn claim_vg(&mut self, vg: &[u8]) -> Result<bool, Self::Error> {
        self.check()?;
        Ok(self.vgs.insert(vg.to_vec()))
    }

    fn vgs(&self) -> Result<Vec<Vec<u8>>, Self::Error> {
        Ok(self.vgs.iter().cloned().collect())
    }

    fn remove_vg(&mut self, vg: &[u8]) -> Result<(), Self::Error> {
        self.vgs.remove(vg);
        Ok(())
    }

    fn claim_lookup(&mut self, lookup: &Lookup) -> Result<bool, Self::Error> {
        self.check()?;
        if let Some((pvid, online)) = self.with_lookup.take() {
            self.pvs.insert(pvid, Some(online));
        }
        let is_new = !self.lookups.contains_key(&lookup.vg);
        self.lookups.entry(lookup.vg.clone()).or_insert_with(|| lookup.pvids.clone());
        Ok(is_new)
    }

    fn replace_lookup(&mut self, lookup: &Lookup) -> Result<(), Self::Error> {
        self.lookups.insert(lookup.vg.clone(), lookup.pvids.clone());
        Ok(())
    }

    fn lookups(&self) -> Result<Vec<Lookup>, Self::Error> {
        Ok(self.lookups.iter().map(|(vg, pvids)| Lookup { vg: vg.clone(), pvids: pvids.clone() }).collect())
    }

    fn remove_lookup(&mut self, vg: &[u8]) -> Result<(), Self::Error> {
        self.lookups.remove(vg);
        Ok(())
    }

    fn invalidate_hints(&mut self) -> Result<Hints, Self::Error> {
        Ok(Hints::Invalidated)
    }
}

const RULE: &str = "--cache --listvg --checkcomplete --vgonline --autoactivation event";

fn request(words: &str) -> Request {
    match parse(words.split_whitespace().map(Into::into)) {
        Ok(Parsed::Run(request)) => *request,
        other => panic!("{words}: {other:?}"),
    }
}

fn id(letter: char) -> Id {
    Id([u8::try_from(letter).unwrap(); 32])
}

fn vg(pvs: &str) -> Vg {
    let pvids = pvs.chars().map(id).collect();
    Vg { name: b"vg0".into(), vgid: id('v'), pvids, access: Access::default(), lvs: vec![] }
}

fn pv(letter: char, minor: u32, vg: Option<Vg>) -> Pv {
    let (devno, device) = (DevNo::new(7, minor), format!("/dev/loop{minor}"));
    Pv { devno, device, pvid: id(letter), used: Some(true), vg, listed_by: None, duplicate_of: None }
}

fn asked(pv: Pv) -> Asked {
    Asked { operand: Operand::Name(pv.device.clone()), devno: Some(pv.devno), found: Found::Pv(Box::new(pv)) }
}

fn found(minor: u32, found: Found) -> Asked {
    Asked { operand: Operand::Number(DevNo::new(7, minor)), devno: Some(DevNo::new(7, minor)), found }
}

/// What others hold are PVs still.
fn there(_: DevNo) -> Found {
    Found::Unreadable("never mind".to_owned())
}

struct Answers<'a> {
    look: &'a mut dyn FnMut(DevNo) -> Found,
    starter: &'a Starter,
}

fn nobody(look: &mut dyn FnMut(DevNo) -> Found) -> impl Ask {
    Answers { look, starter: &Starter::Daemon { is_first: false } }
}

impl Ask for Answers<'_> {
    fn look(&mut self, devno: DevNo) -> Found {
        (self.look)(devno)
    }

    fn starter(&mut self, _: &Whole) -> Starter {
        self.starter.clone()
    }
}

struct Bench {
    files: Memory,
    host: Host,
}

impl Bench {
    fn new() -> Bench {
        Bench { files: Memory::default(), host: Host { event_activation: true, system_id: Some("us".to_owned()) } }
    }

    fn decide(&mut self, words: &str, asked: Asked, look: &mut dyn FnMut(DevNo) -> Found) -> Outcome {
        self.decide_with(words, asked, look, &Starter::Nobody("nobody was asked".to_owned()))
    }

    fn decide_with(
        &mut self,
        words: &str,
        asked: Asked,
        look: &mut dyn FnMut(DevNo) -> Found,
        starter: &Starter,
    ) -> Outcome {
        let request = request(&format!("{words} {}", asked.operand));
        decide(&request, &self.host, &[asked], &mut self.files, &mut Answers { look, starter })
    }

    /// Runs it, and compares the lines without their kinds.
    fn check(&mut self, words: &str, asked: Asked, expected: &[&str]) -> Outcome {
        let outcome = self.decide(words, asked, &mut there);
        assert_eq!(texts(&outcome), expected);
        outcome
    }

    /// PVs, VGs and lookups.
    fn counts(&self) -> [usize; 3] {
        [self.files.pvs.len(), self.files.vgs.len(), self.files.lookups.len()]
    }
}

fn texts(outcome: &Outcome) -> Vec<&str> {
    let lines = outcome.lines.iter().map(|line| match line {
        Line::Message(text) | Line::Report(text) | Line::Udev(text) | Line::Warning(text) | Line::Error(text) => text,
    });
    lines.map(String::as_str).collect()
}

#[test]
fn who_starts_the_activation_of_a_vg() {
    let words = format!("{RULE} --udevoutput --activation-unit");
    let unit = Starter::Unit("lvm-activate-vg0.service".to_owned());
    let nobody = Starter::Nobody("it is inhibited".to_owned());
    let (first, later) = (Starter::Daemon { is_first: true }, Starter::Daemon { is_first: false });
    let complete = Line::Udev("LVM_VG_NAME_COMPLETE='vg0'".to_owned());
    let with_unit = Line::Udev("PVWATCH_UNIT='lvm-activate-vg0.service'".to_owned());
    let warning = Line::Warning("VG vg0 is not activated: it is inhibited.".to_owned());
    let finished = Line::Report("VG vg0 finished".to_owned());
    for (starter, expected, claims, again) in [
        (&unit, vec![&complete, &with_unit], 1, vec![&finished]),
        (&nobody, vec![&complete, &warning], 0, vec![&complete, &warning]),
        (&first, vec![&complete], 0, vec![&complete]),
        (&later, vec![&finished], 0, vec![&finished]),
    ] {
        let mut bench = Bench::new();
        for expected in [expected, again] {
            let pv = asked(pv('a', 1, Some(vg("a"))));
            let outcome = bench.decide_with(&words, pv, &mut there, starter);
            assert_eq!(outcome.lines.iter().skip(1).collect::<Vec<_>>(), expected, "{starter:?}");
            assert!(!outcome.failed);
            assert_eq!(bench.counts(), [1, claims, 0], "{starter:?}");
        }
    }
    // Not before it is complete.
    let mut bench = Bench::new();
    let outcome = bench.decide_with(&words, asked(pv('a', 1, Some(vg("ab")))), &mut there, &unit);
    assert_eq!(outcome.lines.last(), Some(&Line::Udev("LVM_VG_NAME_INCOMPLETE='vg0'".to_owned())));
    // Nothing is promised that is not written down.
    let mut full = Bench::new();
    full.files.pvs.insert(id('a'), Some(PvOnline { devno: DevNo::new(7, 1), vg: None, device: None }));
    full.files.full = true;
    let outcome = full.decide_with(&words, asked(pv('a', 1, Some(vg("a")))), &mut there, &unit);
    assert!(outcome.failed);
    assert!(!outcome.lines.iter().any(|line| matches!(line, Line::Udev(_))), "{outcome:?}");
}

#[test]
fn a_vg_is_complete_once() {
    let mut bench = Bench::new();
    let complete = "PV /dev/loop1 online, VG vg0 is complete.";
    let outcome = bench.check(RULE, asked(pv('a', 1, Some(vg("a")))), &[complete, "VG vg0 complete"]);
    assert!(outcome.found_pv && !outcome.failed);
    bench.check(RULE, asked(pv('a', 1, Some(vg("a")))), &[complete, "VG vg0 finished"]);
    let udev = bench.decide(&format!("{RULE} --udevoutput"), asked(pv('a', 1, Some(vg("a")))), &mut there);
    assert!(!udev.lines.iter().any(|line| matches!(line, Line::Udev(_))));
    assert_eq!(bench.counts(), [1, 1, 0]);
    bench.check("--cache --listvg", asked(pv('a', 1, Some(vg("a")))), &["VG vg0"]);
    bench.check("--cache", asked(pv('a', 1, Some(vg("a")))), &["PV /dev/loop1 online."]);
}

#[test]
fn without_cache_nothing_is_recorded() {
    let mut bench = Bench::new();
    bench.check("--listvg", asked(pv('a', 1, Some(vg("a")))), &["VG vg0"]);
    assert_eq!(bench.counts(), [0, 0, 0]);
}

#[test]
fn a_pv_without_text_comes_first_or_last() {
    let unknown = ["PV /dev/loop1 has no VG metadata.", "PV /dev/loop1 online, VG unknown.", "VG unknown"];
    let complete = ["PV /dev/loop2 online, VG vg0 is complete.", "VG vg0 complete"];
    let mut first = Bench::new();
    first.check(RULE, asked(pv('a', 1, None)), &unknown);
    first.check(RULE, asked(pv('b', 2, Some(vg("ab")))), &complete);
    assert_eq!(first.counts(), [2, 1, 1]);
    let mut last = Bench::new();
    last.check(
        RULE,
        asked(pv('b', 2, Some(vg("ab")))),
        &["PV /dev/loop2 online, VG vg0 incomplete (need 1).", "VG vg0 incomplete"],
    );
    last.check(
        RULE,
        asked(pv('a', 1, None)),
        &["PV /dev/loop1 has no VG metadata.", "PV /dev/loop1 online, VG vg0 is complete.", "VG vg0 complete"],
    );
    assert_eq!(last.counts(), [2, 1, 1]);
    // The daemon may know its VG before there is a lookup, but not one that is no concern of ours.
    for (access, expected) in [(Access::default(), 0), (Access { exported: true, ..Access::default() }, 1)] {
        let mut told = Bench::new();
        let listed_by = Some(Vg { access, ..vg("ab") });
        told.files.pvs.insert(id('b'), Some(PvOnline { devno: DevNo::new(7, 2), vg: None, device: None }));
        let outcome = told.decide(RULE, asked(Pv { listed_by, ..pv('a', 1, None) }), &mut there);
        assert_eq!(texts(&outcome).iter().filter(|text| **text == "VG unknown").count(), expected);
        assert_eq!(told.counts(), [2, 1 - expected, 1 - expected]);
    }
}

/// Two commands at the same time: the one finds no lookup, the other sees to it that there is one
/// and counts after that. The daemon may have been faster.
#[test]
fn of_two_at_once_one_sees_the_vg_complete() {
    for made_by_daemon in [false, true] {
        let mut bench = Bench::new();
        let other = PvOnline { devno: DevNo::new(7, 1), vg: None, device: None };
        bench.files.with_lookup = Some((id('a'), other));
        if made_by_daemon {
            bench.files.lookups.insert(b"vg0".into(), vec![id('a'), id('b')]);
        }
        let messages = ["PV /dev/loop2 online, VG vg0 is complete.", "VG vg0 complete"];
        bench.check(RULE, asked(pv('b', 2, Some(vg("ab")))), &messages);
    }
}

#[test]
fn what_is_let_alone() {
    let mut bench = Bench::new();
    let of = |access| pv('a', 1, Some(Vg { access, ..vg("a") }));
    let foreign = Access { system_id: Some(b"them".into()), ..Access::default() };
    let shared = Access { lock_type: Some(b"sanlock".into()), ..Access::default() };
    let exported = Access { exported: true, ..Access::default() };
    for (asked, expected) in [
        (asked(of(foreign.clone())), "PV /dev/loop1 ignore foreign VG."),
        (asked(of(shared)), "PV /dev/loop1 ignore shared VG."),
        (asked(of(exported)), "PV /dev/loop1 ignore exported VG."),
        (asked(Pv { used: Some(false), ..pv('a', 1, None) }), "PV /dev/loop1 not used."),
        (asked(pv('a', 1, Some(vg("b")))), "PV /dev/loop1 not found in VG vg0."),
        (asked(pv('/', 1, None)), "PV /dev/loop1 has no VG metadata."),
        (found(1, Found::NotAPv), "7:1 not an lvm device."),
        (found(1, Found::Excluded("device is an LV".into())), "7:1 excluded: device is an LV."),
    ] {
        let outcome = bench.decide(RULE, asked, &mut there);
        assert_eq!(texts(&outcome)[0], expected);
        assert!(!outcome.failed && bench.counts() == [0, 0, 0], "{expected}");
    }
    // A host without system ID has no VG that is foreign.
    bench.host.system_id = None;
    bench.check("--cache", asked(of(foreign)), &["PV /dev/loop1 online."]);
}

#[test]
fn what_cannot_be_read_or_recorded_is_a_failure() {
    let mut bench = Bench::new();
    let unreadable = found(1, Found::Unreadable("it did not answer".into()));
    let outcome = bench.check(RULE, unreadable, &["7:1 cannot be read: it did not answer."]);
    assert!(outcome.failed);
    bench.files.full = true;
    assert!(bench.check(RULE, asked(pv('a', 1, Some(vg("a")))), &["No space left on device"]).failed);
}

#[test]
fn a_second_device_is_refused_as_long_as_the_first_is_there() {
    let duplicate = [
        "PV /dev/loop2 7:2 is duplicate for PVID aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa on 7:1 /dev/loop1.",
        "PV /dev/loop2 failed to create online file.",
    ];
    for (first, is_there) in [
        (Found::Pv(Box::new(pv('a', 1, None))), true),
        (Found::Unreadable("hangs".into()), true),
        (Found::Excluded("device is an LV".into()), true),
        (Found::Pv(Box::new(pv('b', 1, None))), false),
        (Found::Pv(Box::new(copy_of(pv('a', 1, None), 3))), false),
        (Found::Ambiguous("they differ".into()), true),
        (Found::OtherPath("/dev/loop2".into()), false),
        (Found::NotAPv, false),
        (Found::Gone, false),
    ] {
        let mut bench = Bench::new();
        bench.decide(RULE, asked(pv('a', 1, Some(vg("a")))), &mut there);
        let look = &mut |devno| {
            assert_eq!(devno, DevNo::new(7, 1));
            first.clone()
        };
        let outcome = bench.decide(RULE, asked(pv('a', 2, Some(vg("a")))), look);
        let minor = bench.files.pvs[&id('a')].as_ref().unwrap().devno.minor;
        assert_eq!((outcome.failed, minor), (is_there, if is_there { 1 } else { 2 }), "{first:?}");
        if is_there {
            assert_eq!(texts(&outcome), duplicate);
        } else {
            // It went and came again, which is to be told again.
            assert_eq!(texts(&outcome)[1], "VG vg0 complete");
        }
    }
}

fn copy_of(pv: Pv, minor: u32) -> Pv {
    Pv { duplicate_of: Some((DevNo::new(7, minor), format!("/dev/loop{minor}"))), ..pv }
}

/// Whether or not the device that the PV is used on has a record.
#[test]
fn a_copy_never_comes_online() {
    let mut bench = Bench::new();
    let duplicate = [
        "PV /dev/loop2 7:2 is duplicate for PVID aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa on 7:1 /dev/loop1.",
        "PV /dev/loop2 failed to create online file.",
    ];
    assert!(bench.check(RULE, asked(copy_of(pv('a', 2, Some(vg("a"))), 1)), &duplicate).failed);
    let ambiguous = || found(2, Found::Ambiguous("it is on two, which differ".into()));
    let refused = "Not using device 7:2: it is on two, which differ.";
    assert!(bench.check(RULE, ambiguous(), &[refused]).failed);
    let outcome = decide(&request("--cache"), &bench.host, &[ambiguous()], &mut bench.files, &mut nobody(&mut there));
    assert_eq!((outcome.failed, &texts(&outcome)[..]), (false, &[refused][..]), "all were asked for");
    // Another path is nobody's fault.
    let path = || found(2, Found::OtherPath("/dev/loop1".into()));
    assert!(!bench.check(RULE, path(), &["7:2 excluded: it is another path to /dev/loop1."]).failed);
    assert_eq!(bench.counts(), [0, 0, 0]);
}

#[test]
fn one_that_is_gone_takes_its_vg_along() {
    let mut bench = Bench::new();
    bench.decide(RULE, asked(pv('b', 2, Some(vg("ab")))), &mut there);
    bench.decide(RULE, asked(pv('a', 1, None)), &mut there);
    assert_eq!(bench.counts(), [2, 1, 1]);
    bench.check("--cache", found(3, Found::Gone), &["No device found for 7:3."]);
    assert_eq!(bench.counts(), [2, 1, 1]);
    // The one without text: its record does not name the VG.
    bench.check("--cache", found(1, Found::Gone), &["No device found for 7:1."]);
    assert_eq!(bench.counts(), [1, 0, 0]);
    bench.decide("--cache", found(2, Found::Gone), &mut there);
    assert_eq!(bench.counts(), [0, 0, 0]);
}

#[test]
fn lvs_are_complete_with_their_vg_or_on_one_pv() {
    let lv = |name: &str, pvs: &str| Lv { name: name.into(), pvids: pvs.chars().map(id).collect() };
    let lvs = vec![lv("here", "a"), lv("both", "ab"), lv("there", "b")];
    let with_lvs = || asked(pv('a', 1, Some(Vg { lvs: lvs.clone(), ..vg("ab") })));
    let mut bench = Bench::new();
    bench.check("--cache --listlvs", with_lvs(), &["VG vg0", "LV vg0/here", "LV vg0/both"]);
    let lines = [
        "PV /dev/loop1 online, VG vg0 incomplete (need 1).",
        "VG vg0 incomplete",
        "LV vg0/here complete",
        "LV vg0/both incomplete",
    ];
    bench.check("--cache --listlvs --checkcomplete", with_lvs(), &lines);
    let outcome = bench.decide("--cache --listlvs", asked(pv('b', 2, None)), &mut there);
    assert_eq!(texts(&outcome)[2], "Cannot list LVs from device without metadata.");
}

#[test]
fn settings_may_leave_nothing_to_do() {
    let host = |event_activation| Host { event_activation, system_id: None };
    let udev = format!("{RULE} --udevoutput /dev/x");
    let check = |words: &str, is_on, expected: Option<&[&str]>| {
        let lines = nothing_to_do(&request(words), &host(is_on)).map(|lines| Outcome { lines, ..Outcome::default() });
        assert_eq!(lines.as_ref().map(texts).as_deref(), expected, "{words}");
    };
    check(&udev, true, None);
    check(&udev, false, Some(&["LVM_EVENT_ACTIVATION=0"]));
    check("--cache --listvg /dev/x", false, Some(&[]));
    check("--cache /dev/x", false, Some(&[]));
    check("--cache", false, None);
    let unknown = "Skip pvscan for unknown autoactivation value.";
    check("--cache --listvg --autoactivation sysinit /dev/x", true, Some(&[unknown]));
}

#[test]
fn all_is_forgotten() {
    let mut bench = Bench::new();
    bench.decide(RULE, asked(pv('a', 1, Some(vg("ab")))), &mut there);
    bench.files.vgs.insert(b"vg1".into());
    bench.files.fixed = Some(id('a'));
    assert_eq!(forget_all(&mut bench.files), Err("Is a directory"));
    assert_eq!(bench.counts(), [1, 0, 0], "all that can be");
    bench.files.fixed = None;
    assert_eq!(forget_all(&mut bench.files), Ok(()));
    assert_eq!(bench.counts(), [0, 0, 0]);
}
