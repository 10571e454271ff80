//! Disks of somebody who wants to be believed: metadata and layout as LVM writes them, in which fields
//! have been changed, and nearly every checksum is good.

use pvwatch::id::Id;
use pvwatch::ondisk::image::put_label;
use pvwatch::ondisk::mda::{MdaHeader, RawLocation};
use pvwatch::ondisk::{ByteRange, crc};
use pvwatch::text::{self, Item, Node, Scalar, Section, Value};

/// VGs of every kind.
pub const TEXTS: [&str; 14] = [
    include_str!("../lvs/plain.vg"),
    include_str!("../lvs/caches.vg"),
    include_str!("../lvs/flags.vg"),
    include_str!("../lvs/gone.vg"),
    include_str!("../lvs/gone2.vg"),
    include_str!("../lvs/history.vg"),
    include_str!("../lvs/integrity.vg"),
    include_str!("../lvs/mirrors.vg"),
    include_str!("../lvs/others.vg"),
    include_str!("../lvs/pvmoves.vg"),
    include_str!("../lvs/raids.vg"),
    include_str!("../lvs/reshapes.vg"),
    include_str!("../lvs/snaps.vg"),
    include_str!("../lvs/thins.vg"),
];

/// Where every decision comes from.
pub trait Choices {
    /// A number below this, which is not 0.
    fn below(&mut self, bound: u64) -> u64;

    fn one_in(&mut self, number: u64) -> bool {
        self.below(number) == 0
    }

    fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length.max(1) as u64)).unwrap_or(0)
    }

    fn pick<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.index(of.len())].clone()
    }
}

pub struct Disk {
    /// What the kernel says; there are zeros behind the image.
    pub size: u64,
    pub image: Vec<u8>,
}

impl Disk {
    pub fn read(&self, range: ByteRange) -> Vec<u8> {
        let start = usize::try_from(range.offset).unwrap_or(usize::MAX).min(self.image.len());
        let end = start.saturating_add(range.length).min(self.image.len());
        let mut bytes = self.image[start..end].to_vec();
        bytes.resize(range.length, 0);
        bytes
    }
}

/// Up to three disks that may have PVs of one VG.
pub fn disks(choices: &mut impl Choices) -> Vec<Disk> {
    let text = choices.pick(&TEXTS);
    let section = text::parse(text.as_bytes()).expect("LVM reads it");
    let count = 1 + choices.below(3);
    // Some trouble is in all that was written, and some on one disk.
    let mut shared = section.clone();
    change_text(choices, &mut shared);
    (0..count).map(|_| disk(choices, &section, &shared)).collect()
}

fn pvids(section: &Section) -> Vec<Id> {
    let vg = section.0.iter().find_map(|node| match &node.item {
        Item::Section(vg) => vg.section("physical_volumes"),
        Item::Value(_) | Item::Known(_) => None,
    });
    let ids = vg.into_iter().flat_map(Section::sections).filter_map(|(_, pv)| Id::parse(pv.str("id")?));
    ids.collect()
}

fn disk(choices: &mut impl Choices, good: &Section<'static>, shared: &Section<'static>) -> Disk {
    let id = choices.pick(&pvids(good));
    let mut texts = Vec::new();
    let mut own = if choices.one_in(4) { good.clone() } else { shared.clone() };
    for _ in 0..2 {
        if choices.one_in(4) {
            change_text(choices, &mut own);
        }
        let mut text = Vec::new();
        text::write_nodes(&own.0, 0, &mut text);
        text.push(0);
        texts.push(text);
    }
    let longest = texts.iter().map(Vec::len).max().unwrap_or(0) as u64;
    let area_size = (longest + 512).next_multiple_of(4096) + 4096 * choices.below(3);
    let size = (4096 + 2 * area_size + 65536).next_multiple_of(65536);
    let areas = [(4096, area_size), (size - area_size, area_size)];
    let mut image = vec![0; usize::try_from(size).expect("it is small")];
    for ((start, length), text) in areas.iter().zip(&texts) {
        put_area(choices, &mut image, *start, *length, text);
    }
    let count = choices.index(3);
    put_pv(choices, &mut image, id, &areas[..count]);
    let claimed = if choices.one_in(8) { odd(choices, size, size) } else { size };
    Disk { size: claimed.min(1 << 50), image }
}

/// Something that a number of this kind should not be; seldom far beyond the device, since that is
/// refused early.
fn odd(choices: &mut impl Choices, number: u64, size: u64) -> u64 {
    let steps = [1, 16, 511, 512, 4096];
    match choices.below(12) {
        0 => 0,
        1 | 2 => number.wrapping_add(choices.pick(&steps)),
        3 | 4 => number.wrapping_sub(choices.pick(&steps)),
        5 => number.wrapping_mul(2),
        6 => size,
        7 => size.wrapping_sub(choices.pick(&steps)),
        8 => choices.below(size.max(1)),
        9 => choices.below(1024),
        10 => choices.pick(&[u64::from(u32::MAX), 1 << 32, 1 << 63, u64::MAX, u64::MAX - 511]),
        _ => number,
    }
}

fn maybe_odd(choices: &mut impl Choices, number: u64, size: u64, seldom: u64) -> u64 {
    if choices.one_in(seldom) { odd(choices, number, size) } else { number }
}

/// The label, and behind it a PV header of which every field may be odd.
fn put_pv(choices: &mut impl Choices, image: &mut [u8], id: Id, mdas: &[(u64, u64)]) {
    let size = image.len() as u64;
    let mut header = id.0.to_vec();
    if choices.one_in(16) {
        let at = choices.index(32);
        header[at] = choices.pick(b"\0\n-\xff!");
    }
    header.extend_from_slice(&maybe_odd(choices, size, size, 24).to_le_bytes());
    let data = [(4096 + mdas.first().map_or(0, |area| area.1), 0)];
    for list in [&data[..], mdas] {
        let repeats = if choices.one_in(12) { choices.below(16) } else { 1 };
        for (start, length) in (0..repeats).flat_map(|_| list) {
            header.extend_from_slice(&maybe_odd(choices, *start, size, 24).to_le_bytes());
            header.extend_from_slice(&maybe_odd(choices, *length, size, 24).to_le_bytes());
        }
        if !choices.one_in(24) {
            header.extend_from_slice(&[0; 16]);
        }
    }
    let version = choices.pick(&[2_u32, 2, 2, 1, 0, 3, u32::MAX]);
    let flags = choices.pick(&[1_u32, 1, 1, 0, 2, u32::MAX]);
    header.extend_from_slice(&version.to_le_bytes());
    header.extend_from_slice(&flags.to_le_bytes());
    for _ in 0..choices.below(3) {
        header.extend_from_slice(&odd(choices, 4096, size).to_le_bytes());
        header.extend_from_slice(&odd(choices, 4096, size).to_le_bytes());
    }
    header.extend_from_slice(&[0; 16]);
    let offset = if choices.one_in(16) { 32 + choices.index(480) } else { 32 };
    header.truncate(512 - offset);
    let sector = if choices.one_in(8) { choices.below(4) } else { 1 };
    put_label(image, sector, offset, &header);
    if choices.one_in(24) {
        put_label(image, choices.below(4), offset, &header);
    }
    if choices.one_in(24) {
        flip(choices, &mut image[512..1024]);
    }
}

/// Damage, which the checksum tells.
fn flip(choices: &mut impl Choices, bytes: &mut [u8]) {
    let at = choices.index(bytes.len());
    bytes[at] ^= 1 << choices.below(8);
}

/// A text and its header, of which every field may be odd; the checksum is of what it leads to.
fn put_area(choices: &mut impl Choices, image: &mut [u8], start: u64, length: u64, text: &[u8]) {
    let device = image.len() as u64;
    // Half of them go around the end of the area.
    let offset = if choices.one_in(2) { 512 } else { length - 512 * (1 + choices.below(4)) };
    let slot = RawLocation { offset, size: text.len() as u64, checksum: 0, flags: 0 };
    let mut header = MdaHeader { start, size: length, slots: [slot, RawLocation::default(), slot, slot] };
    let range = |range: ByteRange| {
        let start = usize::try_from(range.offset).expect("it is within an image");
        start..start + range.length
    };
    let parts = header.locate(&slot, device, u64::MAX).expect("it has room");
    let (first, second) = text.split_at(parts.first.length);
    image[range(parts.first)].copy_from_slice(first);
    if let Some(part) = parts.second {
        image[range(part)].copy_from_slice(second);
    }
    header.start = maybe_odd(choices, start, device, 48);
    header.size = maybe_odd(choices, length, device, 24);
    let [slot, ..] = &mut header.slots;
    match choices.below(24) {
        // As much as there is room for, or more than that: behind the NUL anything may be.
        0 => slot.size = length - 512 + choices.pick(&[0, 1, 16, 511, 512, 4096]),
        // At the end of the area, which is its beginning for who goes around it at once.
        1 => {
            slot.offset = length;
            put_text(image, start + 512, text);
        }
        // Behind it.
        2 => {
            slot.offset = length + choices.pick(&[1, 512, 4096]);
            put_text(image, start + slot.offset, text);
        }
        _ => {
            slot.offset = maybe_odd(choices, slot.offset, length, 24);
            slot.size = maybe_odd(choices, slot.size, length, 24);
        }
    }
    slot.flags = choices.pick(&[0, 0, 0, 0, 0, 0, 1, u32::MAX]);
    let [slot, ..] = &header.slots;
    if let Some(text) = led_to(image, header.start, header.size, slot.offset, slot.size) {
        header.slots[0].checksum = crc(&[&text]);
    }
    if choices.one_in(24) {
        flip(choices, &mut image[range(parts.first)]);
    }
    let start = usize::try_from(start).expect("it is within an image");
    image[start..start + 512].copy_from_slice(&sector(choices, &header));
    if choices.one_in(24) {
        flip(choices, &mut image[start..start + 512]);
    }
}

/// If there is room for it on the disk.
fn put_text(image: &mut [u8], place: u64, text: &[u8]) {
    let place = usize::try_from(place).expect("it is near an image");
    if let Some(room) = image.get_mut(place..place + text.len()) {
        room.copy_from_slice(text);
    }
}

/// The bytes that a slot leads to who believes whatever it says, so that its checksum is good for them:
/// round the end of the area once, however far that leads, and straight on from behind the end.
fn led_to(image: &[u8], start: u64, area: u64, offset: u64, size: u64) -> Option<Vec<u8>> {
    let part = |from: u64, length: u64| {
        let from = usize::try_from(start.checked_add(from)?).ok()?;
        image.get(from..from.checked_add(length.try_into().ok()?)?)
    };
    let first = area.checked_sub(offset).map_or(size, |straight| size.min(straight));
    Some([part(offset, first)?, part(512, size - first)?].concat())
}

fn sector(choices: &mut impl Choices, header: &MdaHeader) -> [u8; 512] {
    let mut bytes = b"\0\0\0\0 LVM2 x[5A%r0N*>".to_vec();
    let version = if choices.one_in(32) { 2_u32 } else { 1 };
    bytes.extend_from_slice(&version.to_le_bytes());
    bytes.extend_from_slice(&header.start.to_le_bytes());
    bytes.extend_from_slice(&header.size.to_le_bytes());
    for slot in &header.slots {
        bytes.extend_from_slice(&slot.offset.to_le_bytes());
        bytes.extend_from_slice(&slot.size.to_le_bytes());
        bytes.extend_from_slice(&slot.checksum.to_le_bytes());
        bytes.extend_from_slice(&slot.flags.to_le_bytes());
    }
    bytes.resize(512, 0);
    let sum = crc(&[&bytes[4..]]);
    bytes[..4].copy_from_slice(&sum.to_le_bytes());
    bytes.try_into().expect("it is a sector")
}

/// Changes some fields of a text, of those that all VGs have as well as of any.
fn change_text(choices: &mut impl Choices, text: &mut Section<'static>) {
    let strings = strings(text);
    for _ in 0..choices.below(4) {
        let Some(places) = place(text, &mut choices.index(count(text))) else { return };
        let mut section = &mut *text;
        for place in places[1..].iter().rev() {
            let Item::Section(inside) = &mut section.0[*place].item else { return };
            section = inside;
        }
        change(choices, section, places[0], &strings);
    }
}

fn count(section: &Section) -> usize {
    let inside = |node: &Node| if let Item::Section(inside) = &node.item { count(inside) } else { 0 };
    section.0.iter().map(|node| 1 + inside(node)).sum()
}

/// Where the node of this number is: its place in its section, that one's in its, and so on.
fn place(section: &Section, number: &mut usize) -> Option<Vec<usize>> {
    for (place, node) in section.0.iter().enumerate() {
        if *number == 0 {
            return Some(vec![place]);
        }
        *number -= 1;
        let Item::Section(inside) = &node.item else { continue };
        if let Some(mut places) = self::place(inside, number) {
            places.push(place);
            return Some(places);
        }
    }
    None
}

/// What a text says somewhere may be said somewhere else.
fn strings(section: &Section) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for node in &section.0 {
        all.push(node.key.to_vec());
        match &node.item {
            Item::Section(inside) => all.extend(strings(inside)),
            Item::Value(value) => all.extend(value.scalars().iter().filter_map(|scalar| match scalar {
                Scalar::Str(bytes) => Some(bytes.to_vec()),
                Scalar::Int(_) | Scalar::Float(_) => None,
            })),
            Item::Known(_) => {}
        }
    }
    all
}

fn change(choices: &mut impl Choices, section: &mut Section<'static>, place: usize, strings: &[Vec<u8>]) {
    match choices.below(10) {
        0 => drop(section.0.remove(place)),
        1 => section.0.insert(place, section.0[place].clone()),
        2 => section.0[place].key = other_string(choices, strings).into(),
        _ => match &mut section.0[place].item {
            Item::Value(Value::One(scalar)) => change_scalar(choices, scalar, strings),
            Item::Value(Value::List(scalars)) if !scalars.is_empty() => {
                let place = choices.index(scalars.len());
                match choices.below(6) {
                    0 => drop(scalars.remove(place)),
                    1 => scalars.insert(place, scalars[place].clone()),
                    _ => change_scalar(choices, &mut scalars[place], strings),
                }
            }
            item @ (Item::Value(Value::List(_)) | Item::Known(_)) => *item = Item::Value(Value::One(Scalar::Int(7))),
            Item::Section(inside) if choices.one_in(2) => inside.0.clear(),
            item @ Item::Section(_) => *item = Item::Value(Value::List(Vec::new())),
        },
    }
}

fn change_scalar(choices: &mut impl Choices, scalar: &mut Scalar<'static>, strings: &[Vec<u8>]) {
    *scalar = match scalar {
        _ if choices.one_in(12) => Scalar::Float(-1.5),
        Scalar::Int(number) if !choices.one_in(12) => Scalar::Int(odd_integer(choices, *number)),
        Scalar::Str(_) if choices.one_in(12) => Scalar::Int(odd_integer(choices, 1)),
        Scalar::Int(_) | Scalar::Str(_) | Scalar::Float(_) => Scalar::Str(other_string(choices, strings).into()),
    };
}

fn odd_integer(choices: &mut impl Choices, number: i64) -> i64 {
    let edges = [0, 1, -1, i64::from(i32::MAX), 1 << 31, i64::from(u32::MAX), 1 << 32, 1 << 53, i64::MAX, i64::MIN];
    match choices.below(4) {
        0 => number.wrapping_add(1),
        1 => number.wrapping_sub(1),
        2 => number.wrapping_mul(2),
        _ => choices.pick(&edges),
    }
}

fn other_string(choices: &mut impl Choices, strings: &[Vec<u8>]) -> Vec<u8> {
    match choices.below(6) {
        0 => choices.pick(&[&b""[..], b"/", b"a/b", b"..", b"-x", b"\"\\\"", b"\xff\xfe", b"\n##\n", b"#"]).to_vec(),
        1 => choices.pick(&[b'x', 0x80, b'/']).to_string().repeat(1 + choices.index(200)).into_bytes(),
        _ => choices.pick(strings),
    }
}
