//! What device-mapper answers, from the header on: the device, its targets and their states, or the
//! list of all devices.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pvwatch::dm;
use pvwatch::report::live::Status;
use pvwatch::sys::dm_ioctl::Answer;

fuzz_target!(|input: &[u8]| {
    let Some(answer) = Answer::of(input) else { return };
    let _ = (answer.flags(), answer.open_count());
    for text in [answer.name(), answer.uuid()] {
        assert!(!text.contains('\0'));
    }
    assert!(answer.data().len() <= input.len());
    if let Some(devices) = dm::parse_list(answer.data()) {
        assert!(devices.len() <= answer.data().len());
    }
    let Some(targets) = dm::parse_targets(answer.data(), answer.target_count()) else { return };
    assert!(targets.len() <= answer.target_count());
    for target in &targets {
        let _ = Status::parse(&target.kind, &target.text);
    }
    let _ = dm::why_unusable(&targets, |_| Some(targets.clone()));
});
