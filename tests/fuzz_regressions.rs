//! What fuzzing and the search for worst cases have found, as messages to the daemon.

use pvwatch::cache::Cache;
use pvwatch::protocol::handle;
use pvwatch::text::TERMINATOR;
use std::time::Duration;

fn say(cache: &mut Cache, message: &[u8]) -> Vec<u8> {
    handle(cache, 1, Duration::ZERO, message).0.bytes().to_vec()
}

fn text(reply: &[u8]) -> String {
    String::from_utf8_lossy(reply.strip_suffix(TERMINATOR).unwrap()).into_owned()
}

/// Written as `-inf` it could not be read again, and the next look at the PV ended the daemon.
#[test]
fn a_float_beyond_all_bounds_is_kept_as_a_number() {
    let mut cache = Cache::of_server();
    let digits = "9".repeat(400);
    let found = format!("request=\"pv_found\" token=\"skip\" pvmeta {{ id=\"a\" device=1 x=-{digits}. }}");
    assert!(text(&say(&mut cache, found.as_bytes())).contains("\"OK\""));
    assert!(text(&say(&mut cache, b"request=\"dump\" token=\"skip\"")).contains("-1797693134"));
}

/// With the whole description at each place a text of a megabyte made a reply of gigabytes.
#[test]
fn a_pv_listed_many_times_is_described_once() {
    let mut cache = Cache::of_server();
    let filler = "f".repeat(1000);
    let pvs = "pv { id=\"a\" status=[] }\n".repeat(10_000);
    let found = format!(
        "request=\"pv_found\" token=\"skip\" vgname=\"v\" pvmeta {{ id=\"a\" device=1 x=\"{filler}\" }} \
         metadata {{ id=\"V\" seqno=1 physical_volumes {{ {pvs} }} }}"
    );
    say(&mut cache, found.as_bytes());
    let reply = say(&mut cache, b"request=\"vg_lookup\" token=\"skip\" name=\"v\"");
    assert!(text(&reply).contains(&filler));
    assert!(reply.len() < 2_000_000, "{} bytes", reply.len());
}

/// Each was asked for among all nodes in front of it, and this took minutes.
#[test]
fn many_metadata_sections_take_no_quadratic_time() {
    let message = [&b"a=1 ".repeat(400_000)[..], &b"metadata{}".repeat(400_000)].concat();
    assert!(text(&say(&mut Cache::of_server(), &message)).contains("token_mismatch"));
}
