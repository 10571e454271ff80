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
use pvwatch::signature::{Known, Medium, OVER_LVM, UNDER_LVM, When, search};
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

/// Bytes wherever they are asked for.
fn superblocks(mut input: Input) {
    let size = u64::from(input.u16()) << (input.u8() % 40);
    for when in [When::Always, When::Labelled, When::Asked] {
        let mut known = Known::new(Medium { size, is_partition: false });
        for _ in 0..60 {
            let signatures = [OVER_LVM, UNDER_LVM].concat();
            let Err(range @ ByteRange { offset, length }) = search(&signatures, when, &known) else { return };
            assert!(length <= 256 << 10 && range.end_within(size).is_some(), "{offset} {length}");
            let mut bytes = input.0.to_vec();
            bytes.resize(length, 0);
            known.put(range, Ok(&bytes));
        }
        panic!("it asks for ever");
    }
}
