//! Makes small images of PVs, for tests, simulation and fuzzing.

use super::label::{HEADER_SIZE as LABEL_HEADER_SIZE, Label};
use super::mda::{HEADER_SIZE as MDA_HEADER_SIZE, MdaHeader, RawLocation};
use super::pv_header::{Area, PvHeader};
use super::{ByteRange, SECTOR, crc};
use crate::id::Id;
use std::io::Write;

const FIRST_MDA: u64 = 4096;

/// What to put on an image. The first metadata area is at 4096, the second ends the image, the
/// data area begins behind the first.
#[derive(Clone, Debug)]
pub struct PvSpec {
    pub id: Id,
    /// Bytes.
    pub size: usize,
    /// What the label says of it, if not the same.
    pub dev_size: Option<u64>,
    pub label_sector: u64,
    /// 0, 1 or 2.
    pub mdas: usize,
    pub mda_size: u64,
    /// VG metadata, without the NUL behind it; without any the PV is an orphan.
    pub text: Option<Vec<u8>>,
    /// Where in each metadata area the text begins; it goes around the end of the area.
    pub text_offset: u64,
    pub in_use: bool,
}

impl PvSpec {
    /// An orphan with one metadata area.
    pub fn orphan(id: Id) -> PvSpec {
        PvSpec {
            id,
            size: 256 << 10,
            dev_size: None,
            label_sector: 1,
            mdas: 1,
            mda_size: 60 << 10,
            text: None,
            text_offset: 512,
            in_use: false,
        }
    }

    /// A PV of a VG with one metadata area.
    pub fn member(id: Id, text: Vec<u8>) -> PvSpec {
        PvSpec { text: Some(text), in_use: true, ..PvSpec::orphan(id) }
    }

    pub fn mda_areas(&self) -> Vec<Area> {
        let last = to_u64(self.size).saturating_sub(self.mda_size);
        [FIRST_MDA, last].iter().take(self.mdas).map(|&offset| Area { offset, size: self.mda_size }).collect()
    }
}

/// The whole image of a PV.
///
/// Panics when the parts do not fit into its size.
pub fn pv_image(spec: &PvSpec) -> Vec<u8> {
    let mut image = vec![0; spec.size];
    let contents_offset = LABEL_HEADER_SIZE;
    let header = PvHeader {
        id: spec.id,
        dev_size: spec.dev_size.unwrap_or(to_u64(spec.size)),
        data_areas: vec![Area { offset: FIRST_MDA + spec.mda_size, size: 0 }],
        mdas: spec.mda_areas(),
        ext_version: 2,
        ext_flags: u32::from(spec.in_use),
        bootloader_areas: Vec::new(),
    };
    put_label(&mut image, spec.label_sector, contents_offset, &header.encode());
    for area in header.mdas {
        put_text(&mut image, area, spec.text_offset, spec.text.as_deref());
    }
    image
}

/// Writes a partition table with one entry.
pub fn put_partition_table(image: &mut [u8]) {
    image[446 + 12] = 1;
    image[510..512].copy_from_slice(&[0x55, 0xaa]);
}

/// Writes a label with a good checksum, and `contents` behind its header.
pub fn put_label(image: &mut [u8], number: u64, contents_offset: usize, contents: &[u8]) {
    let start = to_usize(number) * SECTOR;
    let sector: &mut [u8; SECTOR] = (&mut image[start..start + SECTOR]).try_into().expect("a sector's length");
    sector[contents_offset..contents_offset + contents.len()].copy_from_slice(contents);
    let contents_offset = u32::try_from(contents_offset).expect("it is within a sector");
    Label { sector: number, contents_offset }.encode(sector);
}

/// Commits a text to a metadata area: the text with its NUL first, the header that names it last.
pub fn put_text(image: &mut [u8], area: Area, offset: u64, text: Option<&[u8]>) {
    let mut header = MdaHeader { start: area.offset, size: area.size, slots: [RawLocation::default(); 4] };
    if let Some(text) = text {
        let text = [text, b"\0"].concat();
        let slot = RawLocation { offset, size: to_u64(text.len()), checksum: crc(&[&text]), flags: 0 };
        let parts = header.locate(&slot, to_u64(image.len()), u64::MAX).expect("the text fits its area");
        let (first, second) = text.split_at(parts.first.length);
        put_bytes(image, parts.first, first);
        if let Some(range) = parts.second {
            put_bytes(image, range, second);
        }
        header.slots[0] = slot;
    }
    put_mda_header(image, &header);
}

/// Writes the header of a metadata area with a good checksum.
pub fn put_mda_header(image: &mut [u8], header: &MdaHeader) {
    put_bytes(image, ByteRange { offset: header.start, length: MDA_HEADER_SIZE }, &header.encode());
}

fn put_bytes(image: &mut [u8], range: ByteRange, bytes: &[u8]) {
    let start = to_usize(range.offset);
    image[start..start + range.length].copy_from_slice(bytes);
}

/// Metadata of a VG without LVs as lvm2 2.03 writes it, for PVs with these ids and sizes in bytes.
pub fn vg_text(name: &str, vgid: Id, seqno: i64, pvs: &[(Id, u64)]) -> Vec<u8> {
    let mut out = Vec::new();
    write_vg(&mut out, name, vgid, seqno, pvs).expect("a Vec takes every write");
    out
}

fn write_vg(out: &mut Vec<u8>, name: &str, vgid: Id, seqno: i64, pvs: &[(Id, u64)]) -> std::io::Result<()> {
    writeln!(out, "{name} {{\nid = \"{vgid}\"\nseqno = {seqno}\nformat = \"lvm2\"")?;
    writeln!(out, "status = [\"RESIZEABLE\", \"READ\", \"WRITE\"]\nflags = []\nextent_size = 8")?;
    writeln!(out, "max_lv = 0\nmax_pv = 0\nmetadata_copies = 0\n\nphysical_volumes {{")?;
    for (number, (id, size)) in pvs.iter().enumerate() {
        let sectors = size / to_u64(SECTOR);
        let pe_count = sectors.saturating_sub(128) / 8;
        writeln!(out, "\npv{number} {{\nid = \"{id}\"\ndevice = \"/dev/pv{number}\"\n\nstatus = [\"ALLOCATABLE\"]")?;
        writeln!(out, "flags = []\ndev_size = {sectors}\npe_start = 128\npe_count = {pe_count}\n}}")?;
    }
    writeln!(out, "}}\n\n}}\n# Generated by a test\n\ncontents = \"Text Format Volume Group\"\nversion = 1\n")?;
    writeln!(out, "description = \"\"\n\ncreation_host = \"test\"\ncreation_time = 1795188971\n")
}

fn to_u64(number: usize) -> u64 {
    u64::try_from(number).expect("no image is that large")
}

fn to_usize(number: u64) -> usize {
    usize::try_from(number).expect("no image is that large")
}
