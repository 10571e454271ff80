//! A naive scan of the world, and what the watcher's replies must say if it saw the same.

use crate::world::{Content, Disk, SIZE, Vg, World, hyphenated, name, pvid, vgid};
use pvwatch::devno::DevNo;
use pvwatch::text::{self, Section};
use pvwatch::watcher::Watcher;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

/// A request as a client makes it, without its terminator; its reply without, too.
pub fn ask(watcher: &mut Watcher, now: Duration, request: &str) -> Vec<u8> {
    let reply = watcher.handle_request(now, request.as_bytes());
    let bytes = reply.bytes();
    bytes.strip_suffix(b"\n##\n").unwrap_or_else(|| panic!("no terminator: {}", bytes.escape_ascii())).to_vec()
}

fn string<'a>(section: &'a Section, path: &str) -> Option<&'a str> {
    section.str(path).map(|bytes| std::str::from_utf8(bytes).expect("ASCII"))
}

/// Where a PV is, as far as the disks tell.
#[derive(Debug)]
pub enum Choice {
    /// On one of these, which show the same.
    Any(Vec<DevNo>),
    /// On none, since these differ.
    Ambiguous(Vec<DevNo>),
}

impl Choice {
    pub fn devnos(&self) -> &[DevNo] {
        match self {
            Choice::Any(devnos) | Choice::Ambiguous(devnos) => devnos,
        }
    }
}

/// The best of the disks that hold the PV, by what a disk of this world can be better in.
pub fn choose(world: &World, pv: u8) -> Choice {
    let holds =
        |devno: &DevNo, disk: &Disk| disk.size >= SIZE && disk.content.pv() == Some(pv) && world.is_ours(*devno);
    let disks = world.disks.iter().filter(|(devno, disk)| holds(devno, disk));
    let texts = disks.clone().filter_map(|(_, disk)| disk.content.text());
    // Each text says where the PV was when it was written; if they disagree, none is believed.
    let on = |text: &Rc<Vg>| Some(text.on[text.pvs.iter().position(|other| *other == pv)?]);
    let mut said = texts.clone().filter_map(on).collect::<BTreeSet<_>>();
    if texts.count() == 0 {
        // Where no copy says anything, its VG does.
        let listing = newest_texts(world).into_iter().filter(|text| text.pvs.contains(&pv));
        let hints = listing.map(|text| (text.id, on(text))).collect::<BTreeSet<_>>();
        if hints.len() == 1 {
            said.extend(hints.into_iter().filter_map(|(_, on)| on));
        }
    }
    let rank = |devno: &DevNo, disk: &Disk| {
        let is_named = said.len() == 1 && said.contains(&devno.minor);
        let is_dm = disk.dm_uuid(*devno).is_some();
        (
            world.has_lvs(*devno),
            disk.fits_label(),
            is_named,
            disk.mounted,
            is_dm,
            !disk.on.is_empty() && !disk.is_partition(),
        )
    };
    let best = disks.clone().map(|(devno, disk)| rank(devno, disk)).max();
    let best = disks.filter(|(devno, disk)| Some(rank(devno, disk)) == best).collect::<Vec<_>>();
    let devnos = best.iter().map(|(devno, _)| **devno).collect();
    let same = best.iter().all(|(_, disk)| disk.content.shows() == best[0].1.content.shows());
    if same { Choice::Any(devnos) } else { Choice::Ambiguous(devnos) }
}

/// Of each VG, on disks that may be those of their PVs, and only where no other says anything on one
/// of several that differ.
fn newest_texts(world: &World) -> Vec<&Rc<Vg>> {
    let ours = world.disks.iter().filter(|(devno, disk)| disk.size >= SIZE && world.is_ours(**devno));
    let texts = ours.filter_map(|(devno, disk)| {
        let (text, pv) = (disk.content.text()?, disk.content.pv()?);
        match choose(world, pv) {
            Choice::Any(devnos) => devnos.contains(devno).then_some((text, true)),
            Choice::Ambiguous(devnos) => devnos.contains(devno).then_some((text, false)),
        }
    });
    let texts = texts.collect::<Vec<_>>();
    let rank = |(text, certain): &(&Rc<Vg>, bool)| (*certain, text.seqno);
    let is_newest =
        |one: &&(&Rc<Vg>, bool)| !texts.iter().any(|other| other.0.id == one.0.id && rank(other) > rank(one));
    texts.iter().filter(is_newest).map(|(text, _)| *text).collect()
}

/// Every copy says of which device it is one.
fn check_copies(
    watcher: &Watcher,
    copies: &BTreeMap<u8, Vec<(DevNo, &Content)>>,
    chosen: &BTreeMap<u8, (DevNo, &Content)>,
) -> Result<(), String> {
    for (pv, copies) in copies {
        let place = chosen.get(pv).map(|(devno, _)| *devno);
        for (devno, _) in copies {
            let said = watcher.duplicate_of(*devno).map(|(other, _)| other);
            if said != place.filter(|place| place != devno) {
                return Err(format!("{devno} is said to be a copy of {said:?}, and PV {pv} is on {place:?}"));
            }
        }
    }
    let known = watcher.ambiguous().map(|(pvid, _)| pvid).collect::<BTreeSet<_>>();
    let right = copies.keys().filter(|pv| !chosen.contains_key(pv)).map(|pv| pvid(*pv)).collect::<BTreeSet<_>>();
    if known == right { Ok(()) } else { Err(format!("ambiguous are {known:?} and not {right:?}")) }
}

pub struct Expect {
    /// Outdated PVs were not cleared by any client.
    pub outdated_complete: bool,
}

/// Compares; the error says the first thing that is wrong.
pub fn check(watcher: &mut Watcher, now: Duration, world: &World, expect: &Expect) -> Result<(), String> {
    let readable = |devno: &DevNo, disk: &Disk| disk.is_readable() && world.is_ours(*devno);
    let on_disk = world.disks.iter().filter(|(devno, disk)| readable(devno, disk));
    let mut copies: BTreeMap<u8, Vec<(DevNo, &Content)>> = BTreeMap::new();
    for (devno, disk) in on_disk {
        if let Some(pv) = disk.content.pv() {
            copies.entry(pv).or_default().push((*devno, &disk.content));
        }
    }
    let pv_list = ask(watcher, now, "request=\"pv_list\"\ntoken=\"skip\"\n");
    let pv_list = text::parse(&pv_list).map_err(|error| format!("pv_list: {error}"))?;
    let listed = pv_list.section("physical_volumes").map(Section::sections).into_iter().flatten();
    let listed: BTreeMap<_, _> = listed.map(|(key, pv)| (key.to_vec(), pv)).collect();
    let mut chosen: BTreeMap<u8, (DevNo, &Content)> = BTreeMap::new();
    for (pv, copies) in &copies {
        let key = pvid(*pv).hyphenated();
        if let Choice::Ambiguous(_) = choose(world, *pv) {
            if listed.contains_key(&key) {
                return Err(format!("PV {pv} is listed, and nothing tells which of {copies:?} it is"));
            }
            continue;
        }
        let shown = listed.get(&key).ok_or_else(|| format!("PV {pv} is not listed"))?;
        let device = shown.int("device").expect("a device").cast_unsigned();
        let copy = copies.iter().find(|(devno, _)| devno.to_dev_t() == device);
        let copy = copy.ok_or_else(|| format!("PV {pv} is listed on {}", DevNo::from_dev_t(device)))?;
        if let Choice::Any(devnos) = choose(world, *pv)
            && !devnos.contains(&copy.0)
        {
            return Err(format!("PV {pv} is listed on {}, and the best are {devnos:?}", copy.0));
        }
        chosen.insert(*pv, *copy);
        let lookup = ask(watcher, now, &format!("request=\"pv_lookup\"\ntoken=\"skip\"\ndevice={device}\n"));
        let lookup = text::parse(&lookup).map_err(|error| format!("pv_lookup: {error}"))?;
        if lookup.section("physical_volume") != Some(*shown) {
            return Err(format!("pv_lookup and pv_list differ about PV {pv}"));
        }
    }
    if listed.len() != chosen.len() {
        return Err(format!("{} PVs are listed, {} are there", listed.len(), chosen.len()));
    }
    if watcher.cache().flags().disabled {
        return Err("the cache is disabled".to_owned());
    }
    check_copies(watcher, &copies, &chosen)?;
    // What may be on one of several disks says only of which VGs nobody else says anything.
    let ambiguous = copies.iter().filter(|(pv, _)| !chosen.contains_key(pv)).flat_map(|(pv, copies)| {
        let best = choose(world, *pv);
        copies.iter().filter(move |(devno, _)| best.devnos().contains(devno)).map(|(_, content)| *content)
    });
    let certain = chosen.values().filter_map(|(_, content)| content.text()).collect::<Vec<_>>();
    let is_only_there = |text: &&Rc<Vg>| !certain.iter().any(|other| other.id == text.id);
    let ambiguous = ambiguous.filter_map(Content::text).filter(is_only_there);
    let mut newest: BTreeMap<u8, Vec<&Rc<Vg>>> = BTreeMap::new();
    for text in certain.iter().copied().chain(ambiguous) {
        let texts = newest.entry(text.id).or_default();
        if texts.first().is_some_and(|best| best.seqno < text.seqno) {
            texts.clear();
        }
        if texts.first().is_none_or(|best| best.seqno == text.seqno) {
            texts.push(text);
        }
    }
    let vg_list = ask(watcher, now, "request=\"vg_list\"\ntoken=\"skip\"\n");
    let vg_list = text::parse(&vg_list).map_err(|error| format!("vg_list: {error}"))?;
    let vg_list = vg_list.section("volume_groups").map(Section::sections).into_iter().flatten();
    let vg_list: BTreeSet<_> = vg_list.map(|(key, vg)| (key.to_vec(), vg.str("name").map(<[u8]>::to_vec))).collect();
    let mut members: BTreeMap<u8, BTreeSet<u8>> = BTreeMap::new();
    let mut served = 0;
    for (id, texts) in &newest {
        if watcher.cache().vg(&vgid(*id).hyphenated()).is_none() {
            return Err(format!("VG {id} is not served"));
        }
        served += 1;
        let uuid = hyphenated(vgid(*id));
        let reply = ask(watcher, now, &format!("request=\"vg_lookup\"\ntoken=\"skip\"\nuuid=\"{uuid}\"\n"));
        let reply = text::parse(&reply).map_err(|error| format!("vg_lookup: {error}"))?;
        let text = texts.iter().find(|text| is_served(&reply, text));
        let Some(text) = text else {
            return Err(format!(
                "VG {id} is not the newest on disk, {:?}, but {:?}",
                texts,
                reply.int("metadata/seqno")
            ));
        };
        if !vg_list.contains(&(uuid.clone().into_bytes(), Some(name(text.name).into_bytes()))) {
            return Err(format!("VG {id} is not in vg_list by its name"));
        }
        let owned = |pv: &u8| chosen.contains_key(pv) && string(listed[&pvid(*pv).hyphenated()], "vgid") == Some(&uuid);
        check_pvs(&reply, text, &chosen, &owned)?;
        // Of one that may be the wrong one, nobody is told to be outdated, and it is not itself.
        let speaks = |content: &Content| content.text().is_some_and(|own| own.id == *id);
        let mut holders = chosen.iter().filter(|(_, (_, content))| speaks(content));
        let is_complete = expect.outdated_complete && !holders.any(|(pv, _)| watcher.is_doubtful(pvid(*pv)));
        check_outdated(&reply, text, &chosen, is_complete)?;
        members.insert(*id, text.pvs.iter().copied().collect());
    }
    if vg_list.len() != served || watcher.cache().vg_count() != served {
        return Err(format!("{} VGs are listed, {served} are on the disks", vg_list.len()));
    }
    for (pv, (_, content)) in &chosen {
        let own = content.text().filter(|own| members.get(&own.id).is_some_and(|pvs| pvs.contains(pv)));
        check_owner(*pv, own.map(|own| own.id), string(listed[&pvid(*pv).hyphenated()], "vgid"), &members)?;
    }
    Ok(())
}

fn is_served(reply: &Section, text: &Vg) -> bool {
    let pvs = reply.section("metadata/physical_volumes").map(Section::sections).into_iter().flatten();
    let pvs = pvs.map(|(_, pv)| string(pv, "id").map(str::to_owned));
    string(reply, "name") == Some(&name(text.name))
        && reply.int("metadata/seqno") == Some(text.seqno)
        && reply.int("metadata/extent_size") == Some(text.extent_size())
        && pvs.eq(text.pvs.iter().map(|pv| Some(hyphenated(pvid(*pv)))))
}

/// A PV is missing if it is not there, or there for another VG.
fn check_pvs(
    reply: &Section,
    text: &Vg,
    chosen: &BTreeMap<u8, (DevNo, &Content)>,
    owned: &dyn Fn(&u8) -> bool,
) -> Result<(), String> {
    let shown = reply.section("metadata/physical_volumes").expect("compared before");
    for (pv, (_, section)) in text.pvs.iter().zip(shown.sections()) {
        let missing = section.value("status").is_some_and(|status| status.strings().any(|word| word == b"MISSING"));
        let device = chosen.get(pv).filter(|_| owned(pv)).map(|(devno, _)| devno.to_dev_t().cast_signed());
        if missing != device.is_none() || section.int("device") != device {
            return Err(format!("VG {} shows PV {pv} on {:?}, missing: {missing}", text.id, section.int("device")));
        }
    }
    Ok(())
}

fn check_outdated(
    reply: &Section,
    text: &Vg,
    chosen: &BTreeMap<u8, (DevNo, &Content)>,
    is_complete: bool,
) -> Result<(), String> {
    let shown = reply.section("metadata/outdated_pvs").map(Section::sections).into_iter().flatten();
    let shown = shown.map(|(key, _)| key.to_vec()).collect::<BTreeSet<_>>();
    let older = chosen
        .iter()
        .filter(|(_, (_, content))| content.text().is_some_and(|own| own.id == text.id && own.seqno < text.seqno));
    let older = older.map(|(pv, _)| pvid(*pv).hyphenated()).collect::<BTreeSet<_>>();
    if let Some(wrong) = shown.difference(&older).next() {
        return Err(format!("VG {} lists {} as outdated, and it is not", text.id, wrong.escape_ascii()));
    }
    match older.difference(&shown).next() {
        Some(unknown) if is_complete => {
            Err(format!("VG {} does not list {} as outdated", text.id, unknown.escape_ascii()))
        }
        _ => Ok(()),
    }
}

/// A PV is in a VG that lists it; if its own metadata names one of these, in that.
fn check_owner(
    pv: u8,
    own: Option<u8>,
    owner: Option<&str>,
    members: &BTreeMap<u8, BTreeSet<u8>>,
) -> Result<(), String> {
    let listing = members.iter().filter(|(_, pvs)| pvs.contains(&pv)).map(|(id, _)| *id);
    let mut listing = listing.filter(|id| own.is_none_or(|own| own == *id)).map(|id| hyphenated(vgid(id)));
    let right = match owner {
        None => listing.clone().next().is_none(),
        Some(owner) => listing.any(|vgid| vgid == owner),
    };
    if right { Ok(()) } else { Err(format!("PV {pv} is said to be in {owner:?}")) }
}
