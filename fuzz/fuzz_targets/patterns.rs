//! Filter patterns compile or are refused, and both small parsers of words answer to anything.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pvwatch::conf::Settings;
use pvwatch::filter::Patterns;
use pvwatch::id::Id;
use pvwatch::text::parse;

fuzz_target!(|input: &[u8]| {
    if let Ok(patterns) = Patterns::compile(input.split(|&byte| byte == b'\n')) {
        let _ = patterns.accepts_all();
        let accepted = patterns.accept(["/dev/sda", "/dev/disk/by-id/x"].into_iter());
        assert!(accepted || !patterns.accepts_all());
    }
    if let Some(id) = Id::parse(input) {
        assert_eq!(Id::parse(&id.hyphenated()), Some(id));
    }
    if let Ok(section) = parse(input) {
        let _ = Settings::read(&section.merged());
    }
});
