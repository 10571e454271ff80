//! The model: disks and what is on them, as meaning first and as bytes only for the reader.

use crate::stack::{Multipathing, Sort, View};
use pvwatch::devno::DevNo;
use pvwatch::id::Id;
use pvwatch::ondisk::image::{self, PvSpec};
use pvwatch::signature::firmware_image;
use pvwatch::signature::image::superblock;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

pub const SIZE: u64 = 4 << 20;
const IMAGE: usize = 64 << 10;
const MDA: u64 = 16 << 10;
/// Within what is read first, across its end, beyond it, and around the end of the area.
const TEXT_OFFSETS: [u64; 4] = [512, 11776, 13312, 15872];

/// So that there is something to activate.
const LV: &str = "logical_volumes { l { id=\"lxxxxx-xxxx-xxxx-xxxx-xxxx-xxxx-xxxxxx\" status=[\"READ\",\"VISIBLE\"] \
    flags=[] segment_count=1 segment1 { start_extent=0 extent_count=1 type=\"striped\" stripe_count=1 \
    stripes=[\"pv0\",0] } } }";

#[derive(Debug, PartialEq, Eq)]
pub struct Vg {
    pub id: u8,
    pub name: u8,
    pub seqno: i64,
    pub pvs: Vec<u8>,
    /// Tells texts of one seqno apart.
    pub variant: u8,
    /// The disk of each PV when it was written.
    pub on: Vec<u32>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Area {
    Empty,
    Text(Rc<Vg>),
    /// The header names a text that is only half there.
    Torn(Rc<Vg>),
}

#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    Blank,
    Pv {
        pv: u8,
        areas: Vec<Area>,
    },
    /// A partition table was written over this PV.
    Partitioned(u8),
    /// The PV is on an array, of which this is a member: of MD, with a superblock of this version, or of firmware.
    Member {
        version: &'static str,
        pv: u8,
        areas: Vec<Area>,
    },
    /// A disk with partitions, and with a superblock of this version at its end.
    Table(Option<&'static str>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    OpenFails,
    Eio,
    /// Only what is read behind the head.
    EioBehindHead,
    Short,
    Hangs,
    Kills,
    /// Device-mapper says that a read of it would not end.
    Unusable,
}

pub struct Disk {
    pub size: u64,
    /// Which one it is, of all that ever were.
    pub number: u64,
    /// What the kernel counts for that. It counts one more when somebody opens what was started before.
    pub diskseq: u64,
    pub is_started: bool,
    pub sort: Sort,
    /// What it lies on.
    pub on: Vec<DevNo>,
    /// Where its bytes are, and what it shows of them.
    pub store: u32,
    pub view: View,
    pub content: Content,
    image: Vec<u8>,
    pub fault: Option<Fault>,
    pub suspended: bool,
    /// A path on which the target answers no reads.
    pub passive: bool,
    /// What udev says of a path.
    pub udev: Option<bool>,
    pub mounted: bool,
    /// Since when it shows what it shows: a fault hides that, and does not change it.
    pub since: Duration,
    pub watched: bool,
}

/// What a device showed from when on: its PV, and of the newest text VG and seqno.
pub type Shown = Option<(u8, Option<(u8, i64)>)>;

#[derive(Default)]
pub struct World {
    pub disks: BTreeMap<DevNo, Disk>,
    pub history: BTreeMap<DevNo, Vec<(Duration, Shown)>>,
    pub multipath: Multipathing,
    pub stores: BTreeMap<u32, Content>,
    next_diskseq: u64,
}

fn id(kind: char, number: u8) -> Id {
    let text = format!("{kind}{number:03}{}", "x".repeat(28));
    Id::parse(text.as_bytes()).expect("it has 32 regular characters")
}

pub fn pvid(pv: u8) -> Id {
    id('p', pv)
}

pub fn vgid(vg: u8) -> Id {
    id('v', vg)
}

pub fn hyphenated(id: Id) -> String {
    id.to_string()
}

pub fn name(name: u8) -> String {
    format!("vg{name}")
}

impl Vg {
    pub fn text(&self) -> Vec<u8> {
        let pvs = self.pvs.iter().map(|pv| (pvid(*pv), SIZE)).collect::<Vec<_>>();
        let text = image::vg_text(&name(self.name), vgid(self.id), self.seqno, &pvs);
        let text = String::from_utf8(text).expect("it is ASCII");
        let text = text.replacen("\n}\n# Generated", &format!("\n{LV}\n}}\n# Generated"), 1);
        let extent = format!("extent_size = {}\n", self.extent_size());
        let text = text.replacen("extent_size = 8\n", &extent, 1);
        let named = |text: String, (at, minor): (usize, &u32)| {
            text.replacen(&format!("/dev/pv{at}\""), &format!("/dev/d{minor}\""), 1)
        };
        self.on.iter().enumerate().fold(text, named).into_bytes()
    }

    pub fn extent_size(&self) -> i64 {
        8 << self.variant
    }

    /// What stands between the braces, as a client sends it.
    pub fn body(&self) -> String {
        let text = String::from_utf8(self.text()).expect("it is ASCII");
        let end = text.find("\n}\n# Generated").expect("the VG ends there");
        text[text.find('{').expect("the VG begins there") + 1..end].to_owned() + "\n"
    }
}

impl Content {
    pub fn pv(&self) -> Option<u8> {
        match self {
            Content::Blank | Content::Partitioned(_) | Content::Member { .. } | Content::Table(_) => None,
            Content::Pv { pv, .. } => Some(*pv),
        }
    }

    /// The newest whole text.
    pub fn text(&self) -> Option<&Rc<Vg>> {
        let Content::Pv { areas, .. } = self else { return None };
        let texts = areas.iter().filter_map(|area| match area {
            Area::Text(vg) => Some(vg),
            Area::Empty | Area::Torn(_) => None,
        });
        texts.rev().max_by_key(|vg| vg.seqno)
    }

    /// What its header says.
    pub fn is_in_use(&self) -> bool {
        matches!(self, Content::Pv { areas, .. } if areas.iter().any(|area| *area != Area::Empty))
    }

    /// All that tells two copies of a PV apart.
    pub fn shows(&self) -> (Option<u8>, usize, bool, Option<&Rc<Vg>>) {
        let areas = if let Content::Pv { areas, .. } = self { areas.len() } else { 0 };
        (self.pv(), areas, self.is_in_use(), self.text())
    }

    pub fn shown(&self) -> Shown {
        self.pv().map(|pv| (pv, self.text().map(|vg| (vg.id, vg.seqno))))
    }

    fn image(&self) -> Vec<u8> {
        let (pv, areas, dev_size) = match self {
            Content::Blank => return vec![0; IMAGE],
            // Some PVs leave room at the end of their disk, as those on arrays do.
            Content::Pv { pv, areas } => (pv, areas, Some(SIZE).filter(|_| pv % 2 == 0)),
            Content::Member { pv, areas, .. } => (pv, areas, None),
            Content::Table(_) => {
                let mut image = vec![0; IMAGE];
                image::put_partition_table(&mut image);
                return image;
            }
            Content::Partitioned(pv) => {
                let mut image = image::pv_image(&PvSpec { size: IMAGE, mda_size: MDA, ..PvSpec::orphan(pvid(*pv)) });
                image::put_partition_table(&mut image);
                return image;
            }
        };
        let spec = PvSpec { size: IMAGE, dev_size, mdas: areas.len(), mda_size: MDA, ..PvSpec::orphan(pvid(*pv)) };
        let in_use = areas.iter().any(|area| *area != Area::Empty);
        let spec = PvSpec { in_use, ..spec };
        let mut image = image::pv_image(&spec);
        for (area, at) in areas.iter().zip(spec.mda_areas()) {
            let (Area::Text(vg) | Area::Torn(vg)) = area else { continue };
            let offset = TEXT_OFFSETS[usize::try_from(vg.seqno).expect("small") % TEXT_OFFSETS.len()];
            image::put_text(&mut image, at, offset, Some(&vg.text()));
            if let Area::Torn(_) = area {
                let byte = usize::try_from(at.offset + offset).expect("small") + 100;
                image[byte] ^= 0x55;
            }
        }
        image
    }
}

/// Some disks are larger than the PVs that are made.
pub fn size_of(devno: DevNo) -> u64 {
    if devno.minor >= 5 { 2 * SIZE } else { SIZE }
}

impl Disk {
    /// Whether it is as large as the label on it says.
    pub fn fits_label(&self) -> bool {
        self.size == SIZE && self.content.pv().is_some_and(|pv| pv % 2 == 0)
    }

    pub fn read(&self, offset: u64, length: usize) -> Result<Vec<u8>, i32> {
        const EIO: i32 = 5;
        match self.fault {
            Some(Fault::Eio) => return Err(EIO),
            Some(Fault::EioBehindHead) if offset > 0 => return Err(EIO),
            _ if self.passive => return Err(EIO),
            _ => {}
        }
        let start = usize::try_from(offset.min(self.size)).expect("small");
        let end = (start + length).min(usize::try_from(self.size).expect("small"));
        let mut bytes = self.image.get(start..end.min(self.image.len())).unwrap_or_default().to_vec();
        bytes.resize(end - start, 0);
        if let Content::Member { version, .. } | Content::Table(Some(version)) = &self.content {
            for (place, piece) in superblocks(version, self.size) {
                let place = usize::try_from(place).expect("small");
                for (at, byte) in (place..end).zip(piece).filter(|(at, _)| *at >= start) {
                    bytes[at - start] = byte;
                }
            }
        }
        if self.fault == Some(Fault::Short) {
            bytes.truncate(length / 2);
        }
        Ok(bytes)
    }
}

/// What makes a disk a member of an array of MD, by its version, or of firmware.
pub fn superblocks(version: &str, size: u64) -> firmware_image::Pieces {
    if firmware_image::FORMATS.contains(&version) {
        return firmware_image::mirror(version, size).unwrap_or_default();
    }
    superblock(version, size).map(|(place, block)| (place, block.to_vec())).into_iter().collect()
}

impl World {
    /// Another disk, with a diskseq and bytes of its own.
    pub fn insert(&mut self, now: Duration, devno: DevNo, size: u64, content: Content) {
        let store = self.new_store(content);
        self.insert_on(now, devno, size, Sort::Disk, View::Whole, store, &[]);
    }

    pub fn new_store(&mut self, content: Content) -> u32 {
        let store = self.stores.last_key_value().map_or(0, |(store, _)| store + 1);
        self.stores.insert(store, content);
        store
    }

    /// Another device, that shows what is in a store.
    #[allow(clippy::too_many_arguments)]
    pub fn insert_on(
        &mut self,
        now: Duration,
        devno: DevNo,
        size: u64,
        sort: Sort,
        view: View,
        store: u32,
        on: &[DevNo],
    ) {
        self.next_diskseq += 1;
        let content = view.of(&self.stores[&store]);
        let disk = Disk {
            size,
            number: self.next_diskseq,
            diskseq: self.next_diskseq,
            is_started: sort == Sort::Array,
            sort,
            on: on.to_vec(),
            store,
            view,
            image: content.image(),
            content,
            fault: None,
            suspended: false,
            passive: false,
            udev: None,
            mounted: false,
            since: now,
            watched: false,
        };
        self.disks.insert(devno, disk);
        self.note(now, devno);
    }

    /// No event says that it has another diskseq now.
    pub fn open(&mut self, devno: DevNo) {
        let Some(disk) = self.disks.get_mut(&devno) else { return };
        if std::mem::take(&mut disk.is_started) {
            self.next_diskseq += 1;
            disk.diskseq = self.next_diskseq;
        }
    }

    pub fn remove(&mut self, now: Duration, devno: DevNo) {
        self.disks.remove(&devno);
        self.disks.values_mut().for_each(|disk| disk.on.retain(|below| *below != devno));
        self.note(now, devno);
    }

    /// Writes to the device, and so to all that show the same.
    pub fn write(&mut self, now: Duration, devno: DevNo, content: Content) {
        let Some(disk) = self.disks.get(&devno) else { return };
        let store = disk.store;
        self.stores.insert(store, content);
        self.show(now, store);
    }

    fn show(&mut self, now: Duration, store: u32) {
        let devnos = self.disks.iter().filter(|(_, disk)| disk.store == store).map(|(devno, _)| *devno);
        for devno in devnos.collect::<Vec<_>>() {
            let disk = self.disks.get_mut(&devno).expect("listed");
            disk.content = disk.view.of(&self.stores[&store]);
            disk.image = disk.content.image();
            disk.since = now;
            self.note(now, devno);
        }
    }

    /// From now on the device has bytes of its own.
    pub fn part(&mut self, now: Duration, devno: DevNo, view: View) {
        let Some(disk) = self.disks.get(&devno) else { return };
        let store = self.new_store(self.stores[&disk.store].clone());
        let disk = self.disks.get_mut(&devno).expect("found above");
        (disk.store, disk.view) = (store, view);
        self.show(now, store);
    }

    fn note(&mut self, now: Duration, devno: DevNo) {
        let shown = self.disks.get(&devno).and_then(|disk| if disk.size < SIZE { None } else { disk.content.shown() });
        self.history.entry(devno).or_default().push((now, shown));
    }

    pub fn shown_at(&self, devno: DevNo, at: Duration) -> Shown {
        self.history.get(&devno)?.iter().rev().find(|(since, _)| *since <= at)?.1
    }

    /// The moments at which something changed anywhere, from `from` on, and `from` itself.
    pub fn moments(&self, from: Duration) -> Vec<Duration> {
        let changes = self.history.values().flatten().map(|(at, _)| *at).filter(|at| *at >= from);
        changes.chain([from]).collect()
    }
}
