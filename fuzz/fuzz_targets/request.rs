//! A conversation: whatever is said, the daemon answers with text that ends where it says, the
//! maps of the cache agree (its own assertions), and what it keeps rendered is what it would render.
#![no_main]

use libfuzzer_sys::fuzz_target;
use memchr::memmem;
use pvwatch::cache::Cache;
use pvwatch::text::TERMINATOR;
use pvwatch::protocol::handle;
use pvwatch::text::{self, ErrorKind};
use std::time::Duration;

fuzz_target!(|input: &[u8]| {
    let Some((&flags, stream)) = input.split_first() else { return };
    let mut cache = if flags & 1 == 0 { Cache::of_server() } else { Cache::of_scanner() };
    if flags & 2 == 0 {
        cache.token.set(b"t");
    }
    let mut now = Duration::from_secs(100);
    let mut rest = stream;
    while !rest.is_empty() {
        let at = memmem::find(rest, TERMINATOR);
        let (message, behind) = match at {
            Some(at) => (&rest[..at], &rest[at + TERMINATOR.len()..]),
            None => (rest, &b""[..]),
        };
        rest = behind;
        let (reply, _) = handle(&mut cache, 1, now, message);
        check_reply(reply.bytes());
        now += Duration::from_secs(1);
    }
    check_cached(&mut cache, now);
});

fn check_reply(reply: &[u8]) {
    let text = reply.strip_suffix(TERMINATOR).expect("every reply ends with the terminator");
    let inside = memmem::find(text, TERMINATOR);
    assert_eq!(inside, None, "a reply ends once");
    match text::parse(text) {
        Ok(_) => {}
        // Asked for with a dump, of a cache that holds nothing but comments; and what was nested
        // as deep as we take it stands deeper in a reply.
        Err(error) => assert!(matches!(error.kind, ErrorKind::TooDeep), "{error}: {}", text.escape_ascii()),
    }
}

/// What is handed out from memory is what a cache that remembers nothing would hand out.
fn check_cached(cache: &mut Cache, now: Duration) {
    let vgids = cache.vgs().map(|vg| vg.vgid.to_vec()).collect::<Vec<_>>();
    let requests =
        ["request=\"pv_list\"", "request=\"vg_list\"", "request=\"dump\""].map(|text| text.as_bytes().to_vec());
    let lookups = vgids.iter().map(|vgid| {
        let mut request = b"request=\"vg_lookup\" uuid=\"".to_vec();
        text::escape_into(vgid, &mut request);
        request.push(b'"');
        request
    });
    let requests = requests.into_iter().chain(lookups).map(|mut request| {
        request.extend_from_slice(b" token=\"skip\"");
        request
    });
    let requests = requests.collect::<Vec<_>>();
    let kept = replies(cache, now, &requests);
    // A change of this flag drops all that is kept.
    let invalid = cache.flags().invalid;
    cache.set_invalid(!invalid);
    cache.set_invalid(invalid);
    assert!(replies(cache, now, &requests) == kept, "a reply was kept too long");
}

fn replies(cache: &mut Cache, now: Duration, requests: &[Vec<u8>]) -> Vec<Vec<u8>> {
    requests.iter().map(|request| handle(cache, 1, now, request).0.bytes().to_vec()).collect()
}
