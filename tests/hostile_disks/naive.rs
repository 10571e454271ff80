//! What may be believed of a disk, read as simply as can be: whatever is served has to be in it. Who
//! reads more of a header than the daemon does no harm here.

use super::disk::Disk;
use pvwatch::id::Id;
use pvwatch::text::{self, Section};

/// A VG as a text with a good checksum has it.
#[derive(Debug, PartialEq, Eq)]
pub struct Vg {
    pub id: Vec<u8>,
    pub seqno: i64,
}

impl Vg {
    pub fn read(body: &Section) -> Option<Vg> {
        Some(Vg { id: body.str("id")?.to_vec(), seqno: body.int("seqno")? })
    }
}

#[derive(Default)]
pub struct Believed {
    pub pvs: Vec<Id>,
    pub vgs: Vec<Vg>,
}

pub fn believe(disks: &[Disk]) -> Believed {
    let mut believed = Believed::default();
    for disk in disks {
        // What the kernel says is there and the image has not is zeros.
        let image = &disk.image[..disk.image.len().min(usize::try_from(disk.size).expect("it fits"))];
        for number in 0..4 {
            let sector = image.get(number * 512..(number + 1) * 512);
            if let Some(header) = sector.and_then(|sector| pv_header(sector, number as u64)) {
                believed.pvs.extend(header.first_chunk().map(|id| Id(*id)));
                let texts = areas(header).into_iter().filter_map(|start| committed(image, start));
                believed.vgs.extend(texts.filter_map(|text| vg(&text)));
            }
        }
    }
    believed
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// CRC-32 bit by bit, with LVM's start and without inversions.
fn crc(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0xf597_a6cf, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
    })
}

/// What is behind a good label in its sector.
fn pv_header(sector: &[u8], number: u64) -> Option<&[u8]> {
    let is_good = sector.starts_with(b"LABELONE")
        && u64_at(sector, 8)? == number
        && u32_at(sector, 16)? == crc(&sector[20..])
        && &sector[24..32] == b"LVM2 001";
    sector.get(u32_at(sector, 20)?.try_into().ok()?..).filter(|_| is_good)
}

/// Where metadata areas start: the second list of pairs behind the id and the size.
fn areas(header: &[u8]) -> Vec<u64> {
    let pairs = (40..).step_by(16).map_while(|at| u64_at(header, at).zip(u64_at(header, at + 8)));
    let (mut lists, mut starts) = (0, Vec::new());
    for (start, _) in pairs {
        match (start, lists) {
            (0, _) => lists += 1,
            (_, 1) => starts.push(start),
            _ => {}
        }
    }
    starts
}

/// The text in force of an area, if the checksums of it and of its header are good.
fn committed(image: &[u8], start: u64) -> Option<Vec<u8>> {
    let header = image.get(usize::try_from(start).ok()?..)?.get(..512)?;
    let is_good = u32_at(header, 0)? == crc(&header[4..])
        && &header[4..20] == b" LVM2 x[5A%r0N*>"
        && u32_at(header, 20)? == 1
        && u64_at(header, 24)? == start
        && u32_at(header, 60)? & 1 == 0;
    let text = text(image, start, u64_at(header, 32)?, u64_at(header, 40)?, u64_at(header, 48)?)?;
    (is_good && u32_at(header, 56)? == crc(&text)).then_some(text)
}

/// The bytes from an offset in an area, round its end to behind its header, within the image and not
/// more than there are.
pub fn text(image: &[u8], start: u64, area: u64, offset: u64, size: u64) -> Option<Vec<u8>> {
    if offset < 512 || offset >= area || size == 0 || size > area - 512 {
        return None;
    }
    let part = |from: u64, length: u64| {
        let from = usize::try_from(start.checked_add(from)?).ok()?;
        image.get(from..from.checked_add(length.try_into().ok()?)?)
    };
    let first = size.min(area - offset);
    Some([part(offset, first)?, part(512, size - first)?].concat())
}

fn vg(text: &[u8]) -> Option<Vg> {
    let section = text::parse(text).ok()?;
    section.sections().find_map(|(_, section)| Vg::read(section))
}
