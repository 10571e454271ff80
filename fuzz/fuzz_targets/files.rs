//! What is read from run files, the devices file, multipath's files and a daemon's answer may be
//! anything; so may a superblock whose checksum is right.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pvwatch::device::{Facts, Path};
use pvwatch::filter::DevicesFile;
use pvwatch::multipath::{Multipath, Standing};
use pvwatch::ondisk::ByteRange;
use pvwatch::online::{PvOnline, encode_lookup, parse_lookup};
use pvwatch::pvscan::{Found, Parsed, parse};
use pvwatch::scan::ReadError;
use pvwatch::signature::firmware_image::{self, asr, ddf, imsm};
use pvwatch::signature::image::{put_sum, superblock};
use pvwatch::signature::{Class, Known, Medium, OVER_LVM, UNDER_LVM, When, search};
use pvwatch_fuzz::Input;

fuzz_target!(|input: &[u8]| {
    run_files(input);
    let _ = DevicesFile::parse(input).lists(&Facts::default(), ["/dev/sda"].into_iter());
    if let Ok(value) = serde_json::from_slice(input)
        && let Some(found) = Found::from_json(&value)
    {
        assert_eq!(Found::from_json(&serde_json::Value::Object(found.to_json())), Some(found));
    }
    let words = input.split(|&byte| byte == b' ').map(|word| String::from_utf8_lossy(word).into_owned().into());
    if let Ok(Parsed::Run(request)) = parse(words) {
        assert!(!request.all || request.operands.is_empty());
    }
    multipath(input);
    superblocks(Input(input));
});

/// A disk that is listed is a path, unless the configuration says otherwise; and nothing makes it one
/// that stands in the configuration alone.
fn multipath(bytes: &[u8]) {
    let wwid = String::from_utf8_lossy(bytes.split(|byte| *byte == b'\n').next().unwrap_or_default()).into_owned();
    let path = Path { wwid: Some(wwid), ..Path::default() };
    let disk = Facts { path: Some(Box::new(path)), ..Facts::default() };
    let mut conf = Multipath::default();
    conf.add_conf(bytes);
    assert!(!matches!(conf.standing(&disk), Standing::Component(_)));
    if conf.add_wwids(bytes).is_ok() {
        let _ = conf.standing(&disk);
    }
    let mut listed = Multipath::default();
    if listed.add_wwids(bytes).is_ok()
        && let Standing::Component(path) = listed.standing(&disk)
    {
        assert!(path.uuid.is_some_and(|wwid| !wwid.is_empty()));
    }
}

fn run_files(bytes: &[u8]) {
    if let Some(online) = PvOnline::parse(bytes) {
        assert!(online.device.as_ref().is_none_or(|device| device.starts_with("/dev/")));
        // A file that LVM reads in full says the same when it is written again.
        if online.encode().len() < 500 {
            assert_eq!(PvOnline::parse(&online.encode()), Some(online));
        }
    }
    let pvids = parse_lookup(bytes);
    assert_eq!(parse_lookup(&encode_lookup(&pvids)), pvids);
}

/// Bytes wherever they are asked for, or superblocks in their places, which somebody has changed who
/// wants to be believed.
fn superblocks(mut input: Input) {
    let is_partition = input.u8() % 8 == 7;
    if input.u8() % 2 == 0 {
        let size = u64::from(input.u16()) << (input.u8() % 40);
        let bytes = input.0.to_vec();
        return look(Medium { size, is_partition }, |range| {
            let mut bytes = bytes.clone();
            bytes.resize(range.length, 0);
            Some(bytes)
        });
    }
    let mut image = vec![0; SIZE as usize];
    for (place, piece) in pieces(&mut input).unwrap_or_default() {
        let place = usize::try_from(place).unwrap_or(usize::MAX);
        if let Some(place) = place.checked_add(piece.len()).and_then(|end| image.get_mut(place..end)) {
            place.copy_from_slice(&piece);
        }
    }
    let failing = u64::from(input.u8()) << 11;
    look(Medium { size: SIZE, is_partition }, |range| {
        let start = range.offset as usize;
        let fails = failing > 0 && range.offset <= failing && failing < range.offset + range.length as u64;
        (!fails).then(|| image[start..start + range.length].to_vec())
    });
}

fn look(medium: Medium, read: impl Fn(ByteRange) -> Option<Vec<u8>>) {
    for when in [When::Always, When::Labelled, When::Asked] {
        let mut known = Known::new(medium);
        let signatures = [OVER_LVM, UNDER_LVM].concat();
        let found = (0..60).find_map(|_| match search(&signatures, when, &known) {
            Ok(found) => Some(found),
            Err(range @ ByteRange { offset, length }) => {
                assert!(length > 0 && length <= 256 << 10, "{offset} {length}");
                assert!(range.end_within(medium.size).is_some(), "{offset} {length}");
                known.put(range, read(range).as_deref().ok_or(ReadError::Io(5)));
                None
            }
        });
        for member in found.expect("it asks for ever").members {
            assert!(member.offset < medium.size && member.to_string().len() < 4096);
            assert!(!medium.is_partition || member.class != Class::FirmwareRaid);
        }
    }
}

const SIZE: u64 = 320 << 10;

/// Superblocks of several formats. Each byte of the input's patches changes one of theirs; then
/// checksums are made good again, but for some.
fn pieces(input: &mut Input) -> Option<firmware_image::Pieces> {
    let formats = input.u8();
    let mut all = Vec::new();
    if formats & 3 != 0 {
        let level = input.u8();
        let secondary = [input.u8() % 4, input.u8() % 4, input.u8()];
        let volumes =
            [ddf::MIRROR, ddf::Volume { name: "other", level, secondary, disks: &[0x2222_2222, 0x1111_1111] }];
        let spec = ddf::Spec {
            volumes: &volumes[..usize::from(input.u8() % 3)],
            behind: if formats & 1 == 0 { 257 } else { 1 },
            headers: (formats & 2 == 0).then(|| [u64::from(input.u16() % 640), u64::from(input.u16() % 640)]),
            little: formats & 3 == 3,
            ..ddf::Spec::default()
        };
        let mut pieces = ddf::pieces(SIZE, &spec)?;
        for (_, piece) in &mut pieces {
            patch(input, piece, |piece| ddf::put_sum(piece, spec.little));
        }
        all.extend(pieces);
    }
    if formats & 12 != 0 {
        let volume = || imsm::Volume { is_migrating: formats & 4 != 0, ..imsm::MIRROR };
        let disks = vec![1; usize::from(input.u8() % 24)];
        let mut superblock = imsm::superblock(&disks, &[volume(), imsm::MIRROR]);
        patch(input, &mut superblock, imsm::put_sum);
        all.extend(imsm::pieces(SIZE, if formats & 8 == 0 { 512 } else { 4096 }, &superblock)?);
    }
    if formats & 16 != 0 {
        let mut lines = asr::MIRROR.to_vec();
        lines.resize(usize::from(input.u8() % 140), asr::MIRROR[1]);
        let mut pieces = asr::pieces(SIZE, u32::from(input.u16()) % 700, &lines)?;
        patch(input, &mut pieces[0].1, |_| {});
        patch(input, &mut pieces[1].1, asr::put_sum);
        all.extend(pieces);
    }
    for version in ["0.90", "1.0", "1.1"].iter().zip([32, 64, 128]).filter(|(_, bit)| formats & bit != 0) {
        let (place, mut block) = superblock(version.0, SIZE)?;
        patch(input, &mut block, |block| put_sum(block.try_into().expect("it is as long as before")));
        all.push((place, block.to_vec()));
    }
    Some(all)
}

fn patch(input: &mut Input, bytes: &mut [u8], put_sum: impl Fn(&mut [u8])) {
    let count = input.u8();
    for _ in 0..count % 16 {
        let at = usize::from(input.u16()) % bytes.len();
        bytes[at] = input.u8();
    }
    if count < 240 {
        put_sum(bytes);
    }
}
