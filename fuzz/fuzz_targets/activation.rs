//! Whatever systemd says, and whatever is in the files of the state directory: an answer or none.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pvwatch::activation::{Inhibit, Offered};
use pvwatch::id::Id;
use pvwatch::sys::activation::wire::Message;

fuzz_target!(|input: &[u8]| {
    let mut rest = input;
    while let Ok(Some((message, length))) = Message::parse(rest) {
        assert!((16..=rest.len()).contains(&length));
        let _ = message.error_text();
        if let Ok(mut body) = message.body("uoss") {
            let _ = (body.u32(), body.string(), body.string(), body.string());
        }
        if let Ok(mut body) = message.body("v") {
            let _ = (body.signature(), body.clone().i32(), body.string());
        }
        rest = &rest[length..];
    }
    let offered = Offered::parse(Id([b'a'; 32]), input);
    assert_eq!(Offered::parse(offered.vgid, &offered.encode()), offered);
    if let Some(inhibit) = Inhibit::parse(b"vg", input) {
        assert_eq!(Inhibit::parse(b"vg", &inhibit.encode()), Some(inhibit));
    }
});
