//! Whatever a daemon streams to who makes a report of it: items, or why they are none.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pvwatch::client::inventory::items;
use pvwatch::report::inventory::Item;

fuzz_target!(|input: &[u8]| {
    let Ok(items) = items(input) else { return };
    let texts = items.iter().filter_map(|item| match item {
        Item::Vg(vg) => vg.text.as_ref().map(|text| text.len()),
        _ => None,
    });
    assert!(texts.sum::<usize>() <= input.len(), "there is more text than was sent");
});
