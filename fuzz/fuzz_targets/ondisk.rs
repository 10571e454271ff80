//! The decoders of the structures on disk answer to any bytes, with good checksums as well.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pvwatch::ondisk::label::{Label, search};
use pvwatch::ondisk::mda::{HEADER_SIZE, MAX_TEXT, MdaHeader, free_sectors};
use pvwatch::ondisk::pv_header::{Area, PvHeader};
use pvwatch::ondisk::{SECTOR, crc};
use pvwatch_fuzz::Input;

fuzz_target!(|input: &[u8]| {
    let mut input = Input(input);
    let device_size = u64::from(input.u16()) << (input.u8() % 56);
    let sector = u64::from(input.u8() % 4);
    labels(input.0);
    let mut bytes = input.0.to_vec();
    bytes.resize(HEADER_SIZE.max(bytes.len()), 0);
    pv_header(&bytes, sector);
    mda_header(&bytes, 0, device_size);
    let sum = crc(&[&bytes[4..HEADER_SIZE]]);
    bytes[..4].copy_from_slice(&sum.to_le_bytes());
    let stated = u64::from_le_bytes(bytes[24..32].try_into().expect("eight bytes"));
    mda_header(&bytes, stated, device_size);
});

fn labels(bytes: &[u8]) {
    let found = search(bytes);
    if let Some((label, sector)) = found.label {
        assert!(label.sector < 4);
        let _ = PvHeader::decode(sector, &label);
    }
}

fn pv_header(bytes: &[u8], number: u64) {
    let mut sector: [u8; SECTOR] = bytes[..SECTOR].try_into().expect("a sector");
    sector[8..16].copy_from_slice(&number.to_le_bytes());
    let sum = crc(&[&sector[20..]]);
    sector[16..20].copy_from_slice(&sum.to_le_bytes());
    let Ok(Some(label)) = Label::decode(&sector, number) else { return };
    if let Ok(header) = PvHeader::decode(&sector, &label) {
        let areas = [&header.data_areas, &header.mdas, &header.bootloader_areas];
        assert!(areas.iter().map(|areas| areas.len()).sum::<usize>() < SECTOR / 16);
        assert!(areas.into_iter().flatten().all(|area| area.offset != 0));
    }
}

fn mda_header(bytes: &[u8], start: u64, device_size: u64) {
    let Ok(header) = MdaHeader::decode(bytes, start) else { return };
    free_sectors(&Area { offset: start, size: header.size }, &header);
    for slot in &header.slots {
        let Ok(parts) = header.locate(slot, device_size, MAX_TEXT) else { continue };
        let ranges = [Some(parts.first), parts.second];
        let mut total = 0;
        for range in ranges.into_iter().flatten() {
            assert!(range.length > 0 && range.end_within(device_size).is_some());
            assert!(range.offset >= start + 512 && range.end_within(start.saturating_add(header.size)).is_some());
            total += range.length;
        }
        assert!(total as u64 == slot.size && slot.size <= MAX_TEXT);
    }
}
