//! Any bytes parse or are refused; what parses can be written and reads back the same; a section
//! that is known already is passed over as if it had been parsed.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pvwatch::text::{Item, Section, parse, parse_message};
use pvwatch_fuzz::{without_floats, written};

fuzz_target!(|input: &[u8]| {
    let Ok(section) = parse(input) else { return };
    let text = written(&section);
    let again = parse(&text).expect("what is written can be read");
    assert_eq!(without_floats(&section), without_floats(&again));
    assert_eq!(text, written(&again));
    check_known(input, &section);
    let merged = section.clone().merged();
    assert_eq!(merged, merged.clone().merged());
});

/// Gives every second top-level section as known, by what the first reading said of it.
fn check_known(input: &[u8], section: &Section) {
    let plain = parse_message(input, &|_, _, _| None).expect("it has parsed");
    assert_eq!(plain.section, *section);
    let known = |before: &Section, key: &[u8], rest: &[u8]| {
        let index = before.0.len();
        assert_eq!(*plain.section.0[index].key, *key);
        let range = plain.braces(index).expect("asked of top-level sections only");
        assert_eq!(rest, &input[range.start..][..rest.len()]);
        (index % 2 == 0).then_some(range.len() + 1)
    };
    let message = parse_message(input, &known).expect("and parses with parts known");
    assert_eq!(message.section.0.len(), section.0.len());
    for (index, (node, full)) in message.section.0.iter().zip(&section.0).enumerate() {
        assert_eq!(node.key, full.key);
        assert_eq!(message.braces(index), plain.braces(index));
        match &node.item {
            Item::Known(inside) => {
                let Item::Section(expected) = &full.item else { panic!("only a section is known") };
                let read =
                    if expected.0.is_empty() { Section::default() } else { parse(inside).expect("it has parsed") };
                assert_eq!(read, *expected);
            }
            item => assert_eq!(*item, full.item),
        }
    }
}
