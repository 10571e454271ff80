//! What dmeventd says that it watches may be anything.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pvwatch::sys::dmeventd::parse;

fuzz_target!(|input: &[u8]| {
    let watched = parse(input);
    assert!(watched.len() <= input.split(|byte| *byte == b';').count());
    assert!(watched.iter().all(|(uuid, _)| !uuid.is_empty() && !uuid.contains([' ', ';'])));
});
