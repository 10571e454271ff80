use super::handle;
use crate::cache::Cache;
use std::time::Duration;

/// Requests at times in seconds, and what each reply has in it.
fn check(cache: &mut Cache, exchanges: &[(u64, &str, &[&str])]) {
    for (at, request, expected) in exchanges {
        let (reply, _) = handle(cache, 1, Duration::from_secs(*at), request.as_bytes());
        let reply = std::str::from_utf8(reply.bytes()).unwrap();
        assert!(reply.ends_with("\n##\n") && reply.matches("\n##\n").count() == 1, "{request}: {reply}");
        for part in *expected {
            assert!(reply.contains(part), "{request}: {reply} has no {part}");
        }
    }
}

fn update(token: &str, pid: u32, timeout: u32) -> String {
    format!("request=\"token_update\"\ntoken=\"{token}\"\npid={pid}\nupdate_timeout={timeout}\ncmd=\"pvscan\"")
}

const BEGIN: &str = "update in progress";
const OK: &str = "response = \"OK\"";
const MISMATCH: &str = "response = \"token_mismatch\"";

/// A cache filled by process 7 with `filter:1`.
fn filled() -> Cache {
    let mut cache = Cache::of_server();
    check(&mut cache, &[(0, &update(BEGIN, 7, 10), &[OK]), (0, &update("filter:1", 7, 10), &[OK])]);
    cache
}

#[test]
fn token_updates_follow_their_table() {
    let begin = update(BEGIN, 7, 10);
    let other_begin = update(BEGIN, 8, 10);
    let taken = "reason = \"another command has populated the cache\"";
    let cache = &mut Cache::of_server();
    check(
        cache,
        &[
            // Not updating, and no update asked for: nothing is changed.
            (0, &update("filter:1", 7, 10), &[OK, "prev_token = \"\"", "update_pid = 0"]),
            (0, "request=\"get_global_info\"\ntoken=\"skip\"", &["token = \"none\""]),
            (10, &begin, &[OK, "prev_token = \"\"", "update_pid = 7"]),
            (19, &other_begin, &["response = \"token_updating\"", "update_pid = 7", taken, "expected = \"update in"]),
            (19, &begin, &["response = \"token_updating\""]),
            (20, &other_begin, &[OK, "prev_token = \"update in progress\"", "update_pid = 8"]),
            (20, &update("filter:1", 7, 10), &[MISMATCH, "update_pid = 8", "received = \"filter:1\"", taken]),
            (20, &update("filter:1", 8, 10), &[OK, "prev_token = \"update in progress\"", "update_pid = 0"]),
            (20, &begin, &[OK, "prev_token = \"filter:1\""]),
            // Cancelled by its age, when somebody asks.
            (29, "request=\"get_global_info\"\ntoken=\"skip\"", &["token = \"update in progress\"", "update_pid = 7"]),
            (30, "request=\"get_global_info\"\ntoken=\"skip\"", &["token = \"none\"", "update_pid = 0"]),
            (30, &update("filter:1", 7, 10), &[OK, "prev_token = \"\""]),
            // Without a timeout it never expires, and is replaced at once.
            (40, &update(BEGIN, 7, 0), &[OK]),
            (4000, "request=\"get_global_info\"\ntoken=\"skip\"", &["token = \"update in progress\""]),
            (4000, &other_begin, &[OK, "update_pid = 8"]),
        ],
    );
}

#[test]
fn requests_need_the_token() {
    let cache = &mut filled();
    check(
        cache,
        &[
            (0, "request=\"hello\"", &[OK, "version = 1"]),
            (0, "request=\"pv_list\"\ntoken=\"filter:1\"", &["physical_volumes"]),
            (0, "request=\"pv_list\"\ntoken=\"skip\"", &["physical_volumes"]),
            (0, "request=\"pv_list\"", &[MISMATCH, "expected = \"filter:1\"", "received = \"NONE\""]),
            (0, "request=\"pv_list\"\ntoken=\"\"", &[MISMATCH, "received = \"NONE\""]),
            (0, "request=\"dump\"", &["# VG METADATA"]),
            (0, "nonsense", &[MISMATCH]),
            (0, "", &[MISMATCH]),
            (0, "request=\"nothing\"\ntoken=\"skip\"", &["response = \"failed\""]),
            (0, &update(BEGIN, 7, 10), &[OK]),
            (0, "request=\"pv_list\"\ntoken=\"filter:1\"", &[MISMATCH]),
            (0, "request=\"pv_list\"\ntoken=\"update in progress\"\npid=8", &[MISMATCH, "populated the lvmetad cache"]),
            (0, "request=\"pv_list\"\ntoken=\"update in progress\"\npid=7", &["physical_volumes"]),
            (0, "request=\"pv_list\"\ntoken=\"update in progress\"", &["physical_volumes"]),
        ],
    );
}

#[test]
fn incomplete_pushes_are_refused_for_their_reasons() {
    let check = |request: &str, reason: &str| {
        let request = format!("token=\"skip\"\n{request}");
        check(&mut Cache::of_server(), &[(0, &request, &["response = \"failed\"", &format!("reason = \"{reason}\"")])]);
    };
    check("request=\"pv_found\"", "Ignore PV without PV metadata");
    check("request=\"pv_found\"\npvmeta {\ndevice=1\n}", "Ignore PV without PV UUID");
    check("request=\"pv_found\"\npvmeta {\nid=\"p\"\n}", "Ignore PV without device");
    let pv = "request=\"pv_found\"\npvmeta {\nid=\"p\"\ndevice=1\n}\n";
    check(&format!("{pv}metadata {{\nid=\"v\"\nseqno=1\n}}"), "Ignore VG metadata from PV without VG name");
    check(&format!("{pv}vgname=\"n\"\nmetadata {{\nseqno=1\n}}"), "Ignore VG metadata from PV without VG vgid");
    check(&format!("{pv}vgname=\"n\"\nmetadata {{\nid=\"v\"\n}}"), "Ignore VG metadata from PV without VG seqno");
    check(
        &format!("{pv}vgname=\"n\"\nmetadata {{\nid=\"v\"\nseqno=-1\n}}"),
        "Ignore VG metadata from PV without VG seqno",
    );
    // D9: the stock daemon exits.
    check("request=\"vg_update\"\nmetadata {\nid=\"v\"\nseqno=1\n}", "vg_update: need VG name");
    check("request=\"vg_update\"\nvgname=\"n\"\nmetadata {\nseqno=1\n}", "vg_update: need VG UUID");
    check("request=\"vg_update\"\nvgname=\"n\"\nmetadata {\nid=\"v\"\n}", "vg_update: need VG seqno");
    check("request=\"vg_update\"\nvgname=\"n\"\nmetadata {\nid=\"v\"\nseqno=0\n}", "vg_update: failed metadata update");
    check("request=\"vg_remove\"", "need VG UUID");
    check("request=\"vg_clear_outdated_pvs\"", "need VG UUID");
    check("request=\"pv_lookup\"", "need PVID or device");
}

#[test]
fn flags_are_set_and_cleared_as_told() {
    let set = |fields: &str| format!("request=\"set_global_info\"\ntoken=\"skip\"\n{fields}");
    let info = "request=\"get_global_info\"\ntoken=\"skip\"";
    check(
        &mut Cache::of_server(),
        &[
            (0, &set("disable_reason=\"DIRECT\""), &[OK]),
            (0, info, &["global_disable = 0", "disable_reason = \"none\""]),
            (0, &set("global_disable=1\ndisable_reason=\"VGRESTORE\""), &[OK]),
            (0, &set("global_disable=1\ndisable_reason=\"xDIRECTx\""), &[OK]),
            (0, &set("global_disable=2"), &[OK]),
            (0, info, &["global_disable = 1", "disable_reason = \"DIRECT,VGRESTORE,\""]),
            (0, &set("global_disable=0"), &[OK]),
            (0, info, &["global_disable = 0", "disable_reason = \"none\""]),
            (0, &set("global_invalid=1"), &[OK]),
            (0, "request=\"pv_list\"\ntoken=\"skip\"", &["global_invalid"]),
            (0, "request=\"pv_clear_all\"\ntoken=\"skip\"", &[OK]),
            (0, info, &["global_invalid = 1"]),
        ],
    );
}

#[test]
fn bytes_that_are_no_text_come_back_as_they_were() {
    let mut cache = Cache::of_server();
    let request = b"request=\"pv_found\"\ntoken=\"skip\"\npvmeta {\nid=\"p\"\ndevice=1\nodd=\"\xff\xc3\x28\"\n}";
    handle(&mut cache, 1, Duration::ZERO, request);
    let (reply, _) = handle(&mut cache, 1, Duration::ZERO, b"request=\"pv_list\"\ntoken=\"skip\"");
    let odd = b"odd=\"\xff\xc3\x28\"";
    assert!(reply.bytes().windows(odd.len()).any(|part| part == odd), "{}", reply.bytes().escape_ascii());
}
