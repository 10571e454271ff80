//! The whole scan of a hostile device. The input is a recipe: how to lay out a PV, what to change
//! in it, which checksums to make good again, which reads fail; what is left of it is the text.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pvwatch::device::Stack;
use pvwatch::id::Id;
use pvwatch::inspect;
use pvwatch::metadata::TextCache;
use pvwatch::ondisk::image::{PvSpec, pv_image};
use pvwatch::ondisk::mda::MdaHeader;
use pvwatch::ondisk::{ByteRange, crc};
use pvwatch::scan::{HEAD, ReadError, Scan, Step, Verdict};
use pvwatch::signature::{Medium, When};
use pvwatch::text::{self, Section};
use pvwatch_fuzz::{Input, written};

/// Two for the label; for the end, twice, one, nine places in it where a superblock may be, and nine
/// that these may name; for each of two areas four tries of a header and a text in two parts.
const READS_MAX: usize = 2 + 2 * (1 + 9 + 9) + 2 * 4 * 3;

const FIX_LABEL: u8 = 1;
const FIX_HEADERS: u8 = 2;
const FIX_TEXTS: u8 = 4;
const RAW: u8 = 8;
const TWO_AREAS: u8 = 16;
const WRAPPED: u8 = 32;
const OTHER_SIZE: u8 = 64;
const FAULTS: u8 = 128;

const MDA_SIZE: usize = 12 << 10;
const SIZE: usize = 32 << 10;
const AREAS: [usize; 2] = [4096, SIZE - MDA_SIZE];

fuzz_target!(|input: &[u8]| {
    let mut input = Input(input);
    let flags = input.u8();
    let faults = if flags & FAULTS == 0 { [0; 4] } else { [input.u8(), input.u8(), input.u8(), input.u8()] };
    let claimed = if flags & OTHER_SIZE == 0 { None } else { Some(u64::from(input.u16()) << (input.u8() % 49)) };
    let image = image(flags, &mut input);
    let device = Device { size: claimed.unwrap_or(image.len() as u64), image, faults };

    let mut texts = TextCache::new();
    let verdict = device.scan(&mut texts);
    let again = device.scan(&mut texts);
    assert_eq!(format!("{verdict:?}"), format!("{again:?}"));
    look_at(&verdict, device.size);
});

struct Device {
    image: Vec<u8>,
    size: u64,
    /// Which of the reads fail, and how.
    faults: [u8; 4],
}

impl Device {
    fn scan(&self, texts: &mut TextCache) -> Verdict {
        let (mut scan, mut step) = Scan::begin(Medium { size: self.size, is_partition: false }, When::Always);
        for number in 0..=READS_MAX {
            let range = match step {
                Step::Done(verdict) => return verdict,
                Step::Read(range) => range,
            };
            assert!(number > 0 || (range.offset == 0 && range.length <= HEAD));
            assert!(range.length > 0 && range.end_within(self.size).is_some());
            step = scan.handle_read(texts, self.read(number, range));
        }
        panic!("the scan does not come to an end");
    }

    fn read(&self, number: usize, range: ByteRange) -> Result<&[u8], ReadError> {
        let fault = self.faults.iter().find(|&&fault| fault > 0 && usize::from(fault % 16) == number + 1);
        let start = usize::try_from(range.offset).unwrap_or(usize::MAX).min(self.image.len());
        let end = start.saturating_add(range.length).min(self.image.len());
        match fault.map(|fault| fault / 16 % 4) {
            Some(0) => Err(ReadError::Io(5)),
            Some(1) => Err(ReadError::Short),
            Some(2) => Ok(&self.image[start..start + (end - start) / 2]),
            // A device that grew, or claims more than it has.
            _ => Ok(&self.image[start..end]),
        }
    }
}

fn image(flags: u8, input: &mut Input) -> Vec<u8> {
    let patches = input.u8() % 32;
    let patches = (0..patches).map(|_| (input.u16(), input.u8())).collect::<Vec<_>>();
    let mut image = if flags & RAW == 0 {
        let text = input.0.strip_suffix(b"\0").unwrap_or(input.0);
        let text = &text[..text.len().min(MDA_SIZE - 600)];
        let spec = PvSpec {
            size: SIZE,
            mda_size: MDA_SIZE as u64,
            mdas: if flags & TWO_AREAS == 0 { 1 } else { 2 },
            text_offset: if flags & WRAPPED == 0 { 512 } else { MDA_SIZE as u64 - 512 },
            ..PvSpec::member(Id(*b"PVPVPVPVPVPVPVPVPVPVPVPVPVPVPVPV"), text.to_vec())
        };
        pv_image(&spec)
    } else {
        let mut image = input.0.to_vec();
        image.resize(image.len().clamp(2048, SIZE), 0);
        image
    };
    for (at, value) in patches {
        // Half of the changes go to the label, the others to the headers of the areas.
        let at = match usize::from(at) {
            at @ ..0x8000 => 512 + at % 256,
            at @ ..0xc000 => AREAS[0] + at % 144,
            at => AREAS[1] + at % 144,
        };
        if let Some(byte) = image.get_mut(at) {
            *byte = value;
        }
    }
    fix(flags, &mut image);
    image
}

/// Makes the checksums good, the way somebody would who wants to be read.
fn fix(flags: u8, image: &mut [u8]) {
    for start in AREAS {
        if flags & FIX_TEXTS != 0
            && let Some(sum) = text_sum(image, start)
        {
            image[start + 56..start + 60].copy_from_slice(&sum.to_le_bytes());
            put_sum(image, start, 4..512);
        }
        if flags & FIX_HEADERS != 0 {
            put_sum(image, start, 4..512);
        }
    }
    if flags & FIX_LABEL != 0 {
        for sector in (0..4).map(|number| number * 512) {
            if image.len() >= sector + 512 {
                let sum = crc(&[&image[sector + 20..sector + 512]]);
                image[sector + 16..sector + 20].copy_from_slice(&sum.to_le_bytes());
            }
        }
    }
}

fn put_sum(image: &mut [u8], start: usize, covered: std::ops::Range<usize>) {
    if let Some(header) = image.get_mut(start..start + 512) {
        let sum = crc(&[&header[covered]]);
        header[..4].copy_from_slice(&sum.to_le_bytes());
    }
}

fn text_sum(image: &mut [u8], start: usize) -> Option<u32> {
    put_sum(image, start, 4..512);
    let header = MdaHeader::decode(image.get(start..start + 512)?, start as u64).ok()?;
    let parts = header.locate(&header.committed()?, image.len() as u64, u64::MAX).ok()?;
    let bytes = |range: ByteRange| &image[range.offset as usize..][..range.length];
    Some(crc(&[bytes(parts.first), parts.second.map_or(&[][..], bytes)]))
}

fn look_at(verdict: &Verdict, size: u64) {
    let _ = inspect::to_json("device", size, verdict, &Stack::default()).to_string();
    let text = inspect::to_text("device", size, verdict);
    assert!(text.chars().all(|char| char == '\n' || !char.is_control()));
    let Verdict::Pv(pv) = verdict else { return };
    assert!(pv.findings.len() < 64);
    // The cache keeps this as text and reads it again.
    let pvmeta = Section(pv.pvmeta(7));
    assert_eq!(text::parse(&written(&pvmeta)).as_ref(), Ok(&pvmeta));
    if let Some(vg) = pv.metadata_to_serve() {
        assert!(text::parse(&vg.body).is_ok());
    }
}
