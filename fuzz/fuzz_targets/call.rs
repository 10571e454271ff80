//! A Varlink call is taken or answered: the answer is one JSON object with a NUL behind it, and a VG
//! that is to be inhibited has a name and a span that are some.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pvwatch::api::{Call, parse};
use pvwatch::metadata::is_valid_name;
use serde_json::{Map, Value};

fuzz_target!(|input: &[u8]| {
    match parse(input).call {
        Ok(Call::Inhibit { vg, .. }) => assert!(is_valid_name(vg.as_bytes()), "{vg}"),
        Ok(_) => assert!(serde_json::from_slice::<Map<String, Value>>(input).is_ok()),
        Err(reply) => {
            let (end, reply) = reply.split_last().expect("a reply is not empty");
            assert_eq!((*end, memchr::memchr(0, reply)), (0, None));
            let reply = serde_json::from_slice::<Map<String, Value>>(reply).expect("a reply is an object");
            assert!(reply.contains_key("parameters"));
        }
    }
});
