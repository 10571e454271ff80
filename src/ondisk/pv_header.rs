//! The PV header and its extension, in the sector of the label.

use super::label::{HEADER_SIZE, Label};
use super::{Error, Fields, SECTOR};
use crate::id::Id;

/// An id, a size and the end marks of two lists.
const SMALLEST: usize = 40 + 16 + 16;

/// Version and flags of the extension.
const EXTENSION_SIZE: usize = 4 + 4;

/// The extension's version from which its flags mean something.
pub const FLAGS_SINCE: u32 = 2;

const FLAG_IN_USE: u32 = 1;

/// A part of a device, an entry of the lists in a [`PvHeader`]: `struct disk_locn` in lvm2's
/// `lib/format_text/layout.h`. An entry with offset 0 ends its list, whatever its size.
///
/// | offset | size | field | meaning |
/// |---|---|---|---|
/// | 0 | 8 | offset | from the start of the device |
/// | 8 | 8 | size | in bytes; of a data area, 0 is "to the end of the device" |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Area {
    pub offset: u64,
    pub size: u64,
}

/// The PV header, `struct pv_header` and `struct pv_header_extension` in lvm2's
/// `lib/format_text/layout.h`. It has no count and no length; the lists must end in the sector.
///
/// | offset | size | field | meaning |
/// |---|---|---|---|
/// | 0 | 32 | id | PVID, without hyphens |
/// | 32 | 8 | dev_size | the device's size in bytes when the PV was made |
/// | 40 | 16 each | data_areas | list of [`Area`]s; one in practice |
/// | .. | 16 each | mdas | list of metadata areas |
/// | .. | 4 | ext_version | 0: no extension, what follows means nothing |
/// | .. | 4 | ext_flags | from version 2: bit 0, a VG uses this PV |
/// | .. | 16 each | bootloader_areas | list of areas |
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PvHeader {
    pub id: Id,
    pub dev_size: u64,
    pub data_areas: Vec<Area>,
    pub mdas: Vec<Area>,
    pub ext_version: u32,
    pub ext_flags: u32,
    pub bootloader_areas: Vec<Area>,
}

impl PvHeader {
    /// Decodes the PV header that a label, whose checksum is good, leads to.
    pub fn decode(sector: &[u8; SECTOR], label: &Label) -> Result<PvHeader, Error> {
        let offset = label.contents_offset;
        let contents = usize::try_from(offset)
            .ok()
            .filter(|offset| (HEADER_SIZE..=SECTOR - SMALLEST).contains(offset))
            .and_then(|offset| sector.get(offset..))
            .ok_or(Error::ContentsOffset { offset })?;
        let mut fields = Fields::new(contents);
        let id = Id(fields.bytes()?);
        let dev_size = fields.u64()?;
        let data_areas = decode_areas(&mut fields, "data areas")?;
        let mdas = decode_areas(&mut fields, "metadata areas")?;
        let mut header =
            PvHeader { id, dev_size, data_areas, mdas, ext_version: 0, ext_flags: 0, bootloader_areas: Vec::new() };
        if fields.remaining() >= EXTENSION_SIZE {
            header.ext_version = fields.u32()?;
        }
        if header.ext_version > 0 {
            header.ext_flags = fields.u32()?;
            header.bootloader_areas = decode_areas(&mut fields, "bootloader areas")?;
        }
        Ok(header)
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.extend_from_slice(&self.id.0);
        out.extend_from_slice(&self.dev_size.to_le_bytes());
        encode_areas(&self.data_areas, &mut out);
        encode_areas(&self.mdas, &mut out);
        out.extend_from_slice(&self.ext_version.to_le_bytes());
        out.extend_from_slice(&self.ext_flags.to_le_bytes());
        encode_areas(&self.bootloader_areas, &mut out);
        out
    }
}

/// Whether an extension says that the PV belongs to a VG. Version 1 had flags, but not this one.
pub fn is_in_use(ext_version: u32, ext_flags: u32) -> bool {
    ext_version >= FLAGS_SINCE && ext_flags & FLAG_IN_USE != 0
}

fn decode_areas(fields: &mut Fields, what: &'static str) -> Result<Vec<Area>, Error> {
    let mut areas = Vec::new();
    while let (Ok(offset), Ok(size)) = (fields.u64(), fields.u64()) {
        if offset == 0 {
            return Ok(areas);
        }
        areas.push(Area { offset, size });
    }
    Err(Error::UnterminatedList { what })
}

fn encode_areas(areas: &[Area], out: &mut Vec<u8>) {
    for area in areas.iter().chain([&Area { offset: 0, size: 0 }]) {
        out.extend_from_slice(&area.offset.to_le_bytes());
        out.extend_from_slice(&area.size.to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> PvHeader {
        PvHeader {
            id: Id(*b"GpJ7WNyKiuO8xEG1iJyQdO4DYSCGa4HS"),
            dev_size: 16 << 20,
            data_areas: vec![Area { offset: 1 << 20, size: 0 }],
            mdas: vec![Area { offset: 4096, size: 1_044_480 }, Area { offset: 15 << 20, size: 1 << 20 }],
            ext_version: 2,
            ext_flags: 1,
            bootloader_areas: vec![Area { offset: 2 << 20, size: 4096 }],
        }
    }

    fn decoded(contents: &[u8], contents_offset: u32) -> Result<PvHeader, Error> {
        let mut sector = [0xee; SECTOR];
        let start = usize::try_from(contents_offset).unwrap().min(SECTOR);
        let length = contents.len().min(SECTOR - start);
        sector[start..start + length].copy_from_slice(&contents[..length]);
        PvHeader::decode(&sector, &Label { sector: 1, contents_offset })
    }

    fn check(contents: &[u8], contents_offset: u32, expected: Result<PvHeader, Error>) {
        assert_eq!(decoded(contents, contents_offset), expected);
    }

    #[test]
    fn what_is_encoded_is_decoded() {
        let long = header().encode();
        check(&long, 32, Ok(header()));
        check(&long, 100, Ok(header()));
        let room = u32::try_from(SECTOR - long.len()).unwrap();
        check(&long, room, Ok(header()));
    }

    #[test]
    fn contents_must_be_behind_the_label_and_in_its_sector() {
        let mut smallest = header().encode()[..40].to_vec();
        smallest.resize(SMALLEST, 0);
        for offset in [0, 31, 441, 512, 600, u32::MAX] {
            check(&smallest, offset, Err(Error::ContentsOffset { offset }));
        }
        let without_lists = PvHeader {
            data_areas: Vec::new(),
            mdas: Vec::new(),
            ext_version: 0,
            ext_flags: 0,
            bootloader_areas: Vec::new(),
            ..header()
        };
        check(&smallest, 440, Ok(without_lists));
    }

    #[test]
    fn lists_end_at_offset_0_or_with_the_sector() {
        let one = |what| Err(Error::UnterminatedList { what });
        check(&header().encode()[..40], 32, one("data areas"));
        check(&header().encode()[..40 + 32], 32, one("metadata areas"));
        let mut no_end = header().encode();
        no_end.truncate(no_end.len() - 16);
        check(&no_end, 32, one("bootloader areas"));
        let mut sized_end = header().encode();
        let last = sized_end.len() - 1;
        sized_end[last] = 1;
        check(&sized_end, 32, Ok(header()));
    }

    #[test]
    fn version_0_has_no_extension_and_version_1_no_flag_to_trust() {
        let absent = PvHeader { ext_version: 0, ..header() };
        check(&absent.encode(), 32, Ok(PvHeader { ext_flags: 0, bootloader_areas: Vec::new(), ..absent.clone() }));
        let first = PvHeader { ext_version: 1, ..header() };
        check(&first.encode(), 32, Ok(first.clone()));
        assert!(!is_in_use(1, 1));
        assert!(is_in_use(2, 1) && !is_in_use(2, 2));
    }

    /// It is behind the label's checksum, so any bytes may come: an answer is all we ask, and
    /// that no flip goes unseen but in the size of an end mark, which means nothing.
    #[test]
    fn every_flip_and_every_cut_is_answered() {
        let good = header().encode();
        let end_mark_sizes = [40 + 16 + 8, 40 + 16 + 16 + 32 + 8, good.len() - 8];
        for at in 0..good.len() {
            let mut bytes = good.clone();
            bytes[at] ^= 0xff;
            let means_nothing = end_mark_sizes.iter().any(|&start| (start..start + 8).contains(&at));
            assert_eq!(decoded(&bytes, 32) == Ok(header()), means_nothing, "byte {at}");
            let only_a_size_is_cut = at >= good.len() - 8;
            assert_eq!(decoded(&good[..at], 32) == Ok(header()), only_a_size_is_cut, "cut at {at}");
        }
    }
}
