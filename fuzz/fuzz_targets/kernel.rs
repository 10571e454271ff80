//! What device-mapper, udev and files of the host say may be anything.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pvwatch::activation::udev::Standing;
use pvwatch::conf::{self, Settings};
use pvwatch::device::Facts;
use pvwatch::devno::DevNo;
use pvwatch::dm::{self, Target};
use pvwatch::filter::DevicesFile;
use pvwatch::report::live::Status;
use pvwatch::report::options::{self, Command};
use pvwatch::takeover::{self, Mode};
use pvwatch::text::parse;

const KINDS: [&str; 12] = [
    "snapshot",
    "snapshot-merge",
    "mirror",
    "raid",
    "thin",
    "thin-pool",
    "cache",
    "writecache",
    "vdo",
    "integrity",
    "error",
    "linear",
];

fuzz_target!(|input: &[u8]| {
    let text = String::from_utf8_lossy(input);
    device_mapper(input, &text);
    let property = |name: &str| {
        let mut lines = text.lines().filter_map(|line| line.split_once('='));
        lines.find(|(key, _)| *key == name).map(|(_, value)| value.to_owned())
    };
    let _ = Standing::of(property);
    if let Some(devno) = DevNo::parse(&text) {
        assert_eq!(DevNo::parse(&devno.to_string()), Some(devno));
    }
    let _ = conf::system_id(input);
    let _ = DevicesFile::parse(input).lists(&Facts::default(), ["/dev/sda"].into_iter());
    if let Ok(section) = parse(input) {
        let section = section.merged();
        let _ = (Settings::read(&section), conf::host_tags(&section, "host"));
    }
    if let Ok(state) = takeover::State::parse(input) {
        assert!(takeover::State::parse(&state.encode()).is_ok());
    }
    let _ = (takeover::is_ours(input), takeover::runs_pvscan(input), Mode::parse(&text));
    let words = input.split(|byte| *byte == b' ').map(<[u8]>::to_vec).collect::<Vec<_>>();
    for command in ["pvs", "vgs", "lvs", "fullreport"] {
        let _ = Command::parse(command).map(|command| options::parse(command, &words));
    }
});

fn device_mapper(input: &[u8], text: &str) {
    let _ = dm::parse_list(input);
    let count = input.first().map_or(0, |count| usize::from(*count));
    if let Some(targets) = dm::parse_targets(input.get(1..).unwrap_or_default(), count) {
        assert!(targets.len() <= count);
    }
    for kind in KINDS {
        let _ = Status::parse(kind, text);
        let target = Target { start: 0, length: 8, kind: kind.to_owned(), text: text.to_owned() };
        let _ = dm::why_unusable(std::slice::from_ref(&target), |_| Some(vec![target.clone()]));
    }
}
