//! The label header and the search for it.

use super::{Covered, Error, Fields, SECTOR, check_crc};

/// A label is in one of the first four sectors.
pub const SEARCHED_SECTORS: usize = 4;

/// Where the label header ends and its contents may begin.
pub(super) const HEADER_SIZE: usize = 32;

const ID: [u8; 8] = *b"LABELONE";
const TYPE: [u8; 8] = *b"LVM2 001";

/// The checksum covers the sector from here.
const CRC_START: usize = 20;

/// The label header, `struct label_header` in lvm2's `lib/label/label.h`.
///
/// | offset | size | field | meaning |
/// |---|---|---|---|
/// | 0 | 8 | id | `LABELONE` |
/// | 8 | 8 | sector | the sector this is in |
/// | 16 | 4 | crc | of bytes 20 to 511 of the sector |
/// | 20 | 4 | contents_offset | from the start of this sector to the PV header, 32 as LVM writes it |
/// | 24 | 8 | type | `LVM2 001` |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Label {
    pub sector: u64,
    pub contents_offset: u32,
}

impl Label {
    /// Decodes sector `number` of a device. `None` when nothing looks like a label.
    ///
    /// LVM takes a sector with the right type as a label even if its id is wrong, and then
    /// checks nothing else. No tool writes that and blkid does not see it: an error here.
    pub fn decode(sector: &[u8; SECTOR], number: u64) -> Result<Option<Label>, Error> {
        let mut fields = Fields::new(sector);
        let id = fields.bytes()?;
        let stated = fields.u64()?;
        let crc = fields.u32()?;
        let contents_offset = fields.u32()?;
        let kind = fields.bytes()?;
        if id != ID {
            return if kind == TYPE { Err(Error::LabelId) } else { Ok(None) };
        }
        if stated != number {
            return Err(Error::LabelSector { stated });
        }
        check_crc(Covered::Label, crc, &[&sector[CRC_START..]])?;
        if kind != TYPE {
            return Err(Error::LabelType { found: kind });
        }
        Ok(Some(Label { sector: number, contents_offset }))
    }

    pub(super) fn encode(&self, sector: &mut [u8; SECTOR]) {
        sector[0..8].copy_from_slice(&ID);
        sector[8..16].copy_from_slice(&self.sector.to_le_bytes());
        sector[20..24].copy_from_slice(&self.contents_offset.to_le_bytes());
        sector[24..32].copy_from_slice(&TYPE);
        let crc = super::crc(&[&sector[CRC_START..]]);
        sector[16..20].copy_from_slice(&crc.to_le_bytes());
    }
}

/// What the first sectors of a device have to say.
#[derive(Debug)]
pub struct Search<'a> {
    /// The first good label and its sector.
    pub label: Option<(Label, &'a [u8; SECTOR])>,
    /// Sectors with a good label that comes too late.
    pub additional: Vec<u64>,
    /// Sectors with something like a label that is none.
    pub faults: Vec<(u64, Error)>,
}

/// Looks for a label in the first bytes of a device, which may be fewer than four sectors.
pub fn search(head: &[u8]) -> Search<'_> {
    let mut search = Search { label: None, additional: Vec::new(), faults: Vec::new() };
    let (sectors, _) = head.as_chunks();
    for (number, sector) in (0..).zip(sectors.iter().take(SEARCHED_SECTORS)) {
        match Label::decode(sector, number) {
            Ok(None) => {}
            Ok(Some(label)) if search.label.is_none() => search.label = Some((label, sector)),
            Ok(Some(_)) => search.additional.push(number),
            Err(error) => search.faults.push((number, error)),
        }
    }
    search
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label_in(number: u64) -> [u8; SECTOR] {
        let mut sector = [0; SECTOR];
        sector[100] = 7;
        Label { sector: number, contents_offset: 32 }.encode(&mut sector);
        sector
    }

    /// The label found in four sectors, made by changing two good labels in sectors 1 and 3.
    fn check(change: impl Fn(&mut [[u8; SECTOR]; 4]), label: Option<u64>, additional: &[u64], faults: &[(u64, Error)]) {
        let mut head = [[0; SECTOR], label_in(1), [0; SECTOR], label_in(3)];
        change(&mut head);
        let bytes = head.concat();
        let search = search(&bytes);
        assert_eq!(search.label.map(|(label, _)| label.sector), label);
        assert_eq!(search.additional, additional);
        assert_eq!(search.faults, faults);
    }

    #[test]
    fn the_first_good_label_wins() {
        check(|_| {}, Some(1), &[3], &[]);
        check(|head| head[3] = [0; SECTOR], Some(1), &[], &[]);
        check(|head| head[1][8] = 3, Some(3), &[], &[(1, Error::LabelSector { stated: 3 })]);
        check(|head| head[0] = label_in(0), Some(0), &[1, 3], &[]);
        check(|head| *head = [[0; SECTOR]; 4], None, &[], &[]);
    }

    #[test]
    fn a_damaged_id_is_no_label_however_good_the_rest() {
        check(|head| head[1][7] = b'F', Some(3), &[], &[(1, Error::LabelId)]);
    }

    #[test]
    fn another_type_is_another_label() {
        let other = |head: &mut [[u8; SECTOR]; 4]| {
            head[1][31] = b'2';
            let crc = crate::ondisk::crc(&[&head[1][CRC_START..]]);
            head[1][16..20].copy_from_slice(&crc.to_le_bytes());
        };
        check(other, Some(3), &[], &[(1, Error::LabelType { found: *b"LVM2 002" })]);
    }

    #[test]
    fn no_flipped_byte_is_accepted() {
        for at in 0..SECTOR {
            let mut sector = label_in(1);
            sector[at] ^= 0xff;
            assert!(!matches!(Label::decode(&sector, 1), Ok(Some(_))), "byte {at}");
        }
    }

    #[test]
    fn a_cut_sector_is_not_searched() {
        let head = [[0; SECTOR], label_in(1)].concat();
        for length in 0..head.len() {
            let search = search(&head[..length]);
            assert!(search.label.is_none() && search.faults.is_empty(), "cut at {length}");
        }
        assert!(search(&head).label.is_some());
    }
}
