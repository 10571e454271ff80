use super::*;

fn parse(line: &str) -> Option<Status> {
    let (kind, text) = line.split_once(' ').unwrap_or((line, ""));
    Status::parse(kind, text)
}

fn cache_state(line: &str) -> CacheState {
    match parse(line) {
        Some(Status::Cache(Cache::Works(state))) => *state,
        other => panic!("{other:?}"),
    }
}

#[test]
fn raid() {
    let raid = |health: &str, in_sync, total, action: Option<&str>, mismatches| {
        let action = action.map(str::to_owned);
        Some(Status::Raid(Raid { health: health.into(), in_sync, total, action, mismatches }))
    };
    for (line, expected) in [
        ("raid raid1 2 AA 8192/8192 idle 0 0 -", raid("AA", 8192, 8192, Some("idle"), 0)),
        ("raid raid5_ls 3 AAAa 4096/4096 idle 0 0 -", raid("AAAa", 4096, 4096, Some("idle"), 0)),
        ("raid raid6_zr 5 AADaa 0/8192 recover 17 0 -", raid("AADaa", 0, 8192, Some("recover"), 17)),
        // Before version 1.5.0.
        ("raid raid1 2 Aa 1/2", raid("Aa", 1, 2, None, 0)),
        // Some are behind, so it is not all.
        ("raid raid1 2 Aa 2/2 idle 0 0", raid("Aa", 1, 2, Some("idle"), 0)),
        ("raid raid1 2 Aa 2/2 Recover 0 0", raid("Aa", 1, 2, Some("Recover"), 0)),
        ("raid raid1 2 Aa 2/2 resync 0 0", raid("Aa", 2, 2, Some("resync"), 0)),
        ("raid raid1 2 aa 2/2 idle 0 0", raid("aa", 2, 2, Some("idle"), 0)),
        ("raid raid1 2 Aa 0/0 idle 0 0", raid("Aa", 0, 0, Some("idle"), 0)),
        ("raid raid1 2 AA 2/2 idle", None),
        ("raid raid1 2 AA 2/2 idle many", None),
        ("raid raid1 2 AA 2", None),
        ("raid raid1 two AA 2/2", None),
        ("raid", None),
    ] {
        assert_eq!(parse(line), expected, "{line}");
    }
}

#[test]
fn mirror() {
    for (line, expected) in [
        ("mirror 2 253:4 253:5 3/400 1 AA 3 disk 253:3 A", Some((3, 400))),
        ("mirror 1 253:4 1/1 1 A 1 core", Some((1, 1))),
        ("mirror 2 253:4 3/400 1 AA 1 core", None),
        ("mirror 18446744073709551615 253:4 3/400", None),
        ("mirror 99999999999999999999 253:4 3/400", None),
        ("mirror", None),
    ] {
        assert_eq!(parse(line), expected.map(|(in_sync, total)| Status::Mirror(Mirror { in_sync, total })), "{line}");
    }
}

#[test]
fn snapshot() {
    let works = |used, total, metadata| Some(Snapshot::Works { used, total, metadata });
    for (line, expected) in [
        ("snapshot 16/8192 16", works(16, 8192, Some(16))),
        ("snapshot-merge 32/8192 16", works(32, 8192, Some(16))),
        ("snapshot 16/8192", works(16, 8192, None)),
        ("snapshot Invalid", Some(Snapshot::Invalid)),
        ("snapshot Overflow", Some(Snapshot::Overflow)),
        ("snapshot-merge Merge failed", Some(Snapshot::MergeFailed)),
        ("snapshot Unknown", None),
        ("snapshot 16", None),
        ("snapshot-origin", None),
    ] {
        assert_eq!(parse(line), expected.map(Status::Snapshot), "{line}");
    }
}

#[test]
fn thin() {
    for (line, expected) in [
        ("thin 4096 8191", Some(Thin::Works { mapped: 4096 })),
        ("thin 0 -", Some(Thin::Works { mapped: 0 })),
        ("thin -", Some(Thin::Works { mapped: 0 })),
        ("thin Fail", Some(Thin::Failed)),
        ("thin Error", None),
        ("thin 4096", None),
        ("thin", None),
    ] {
        assert_eq!(parse(line), expected.map(Status::Thin), "{line}");
    }
}

#[test]
fn thin_pool() {
    let state = ThinPoolState {
        metadata_used: 11,
        metadata_total: 1024,
        data_used: 2,
        data_total: 64,
        discards: Discards::Passdown,
        out_of_data_space: false,
        read_only: false,
        needs_check: false,
    };
    let works =
        |words: &str, state: ThinPoolState| (format!("thin-pool 1 11/1024 2/64 {words}"), Some(ThinPool::Works(state)));
    let no_passdown = ThinPoolState { discards: Discards::NoPassdown, ..state.clone() };
    let ignore = ThinPoolState { discards: Discards::Ignore, ..state.clone() };
    for (line, expected) in [
        works("- rw discard_passdown queue_if_no_space - 1024", state.clone()),
        works("77 rw no_discard_passdown error_if_no_space - 1024", no_passdown),
        works("- rw ignore_discard queue_if_no_space - 1024", ignore),
        works(
            "- ro discard_passdown queue_if_no_space needs_check 1024",
            ThinPoolState { read_only: true, needs_check: true, ..state.clone() },
        ),
        works(
            "- out_of_data_space discard_passdown queue_if_no_space - 1024",
            ThinPoolState { out_of_data_space: true, ..state.clone() },
        ),
        works("- of words that nobody knows", state),
        ("thin-pool Fail".into(), Some(ThinPool::Failed)),
        ("thin-pool Error".into(), Some(ThinPool::Error)),
        ("thin-pool 1 11/1024".into(), None),
        ("thin-pool 1 11 2/64".into(), None),
        ("thin-pool".into(), None),
    ] {
        assert_eq!(parse(&line), expected.map(Status::ThinPool), "{line}");
    }
}

#[test]
fn cache() {
    let line = "cache 8 27/1024 128 64/512 10 20 30 40 1 2 5 3 metadata2 writethrough no_discard_passdown \
        2 migration_threshold 2048 mq 4 random_threshold 4 sequential_threshold 512 rw -";
    let state = cache_state(line);
    let setting = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let expected = CacheState {
        metadata_used: 27,
        metadata_total: 1024,
        used: 64,
        total: 512,
        read_hits: 10,
        read_misses: 20,
        write_hits: 30,
        write_misses: 40,
        demotions: 1,
        promotions: 2,
        dirty: 5,
        metadata2: true,
        no_discard_passdown: true,
        mode: "writethrough".into(),
        policy: "mq".into(),
        settings: vec![
            setting("migration_threshold", "2048"),
            setting("random_threshold", "4"),
            setting("sequential_threshold", "512"),
        ],
        read_only: false,
        needs_check: false,
    };
    assert_eq!(state, expected);
    let state = cache_state("cache 8 27/1024 128 64/512 1 2 3 4 1 2 5 1 writeback 2 a 1 smq 0 ro needs_check");
    assert!(state.read_only && state.needs_check && !state.metadata2 && !state.no_discard_passdown);
    assert_eq!((state.policy.as_str(), state.settings), ("smq", vec![setting("a", "1")]));
    assert_eq!(parse("cache Fail"), Some(Status::Cache(Cache::Failed)));
    assert_eq!(parse("cache Error"), Some(Status::Cache(Cache::Error)));
    // Cut anywhere before its last two words, it is not what it was.
    let words = line.split(' ').collect::<Vec<_>>();
    for end in 0..words.len() - 2 {
        assert_eq!(parse(&words[..end].join(" ")), None, "{end}");
    }
    // More words are announced than there are.
    assert_eq!(parse("cache 8 27/1024 128 64/512 1 2 3 4 1 2 5 18446744073709551615 writeback"), None);
    assert_eq!(parse("cache 8 27/1024 128 64/512 1 2 3 4 1 2 5 0 18446744073709551615 a"), None);
}

#[test]
fn integrity() {
    for (line, expected) in [
        ("integrity 3 8192 4096", Some((3, 8192, 4096))),
        ("integrity 0 8192 -", Some((0, 8192, 0))),
        ("integrity 0 8192", None),
        ("integrity 0 8192 x", None),
    ] {
        let expected = expected.map(|(mismatches, provided, recalculated)| {
            Status::Integrity(Integrity { mismatches, provided, recalculated })
        });
        assert_eq!(parse(line), expected, "{line}");
    }
}

#[test]
fn writecache() {
    let expected = Some(Status::Writecache(Writecache { error: 5, total: 100, free: 90, writeback: 1 }));
    assert_eq!(parse("writecache 5 100 90 1"), expected);
    assert_eq!(parse("writecache 5 100 90 1 7 8 9"), expected, "newer kernels count more");
    assert_eq!(parse("writecache 5 100 90"), None);
    assert_eq!(parse("writecache -5 100 90 1"), None);
}

#[test]
fn vdo() {
    let expected = VdoPool { mode: "normal", index: "online", compression: "offline", used: 5, total: 99 };
    assert_eq!(parse("vdo 253:3 normal - online offline 5 99"), Some(Status::VdoPool(expected)));
    for line in [
        "vdo 253:3 normal - online offline 5",
        "vdo 253:3 normal - online offline 5 99 more",
        "vdo 253:3 odd - online offline 5 99",
        "vdo 253:3 normal x online offline 5 99",
        "vdo 253:3 normal - on offline 5 99",
        "vdo 253:3 normal - online so-so 5 99",
    ] {
        assert_eq!(parse(line), None, "{line}");
    }
}

#[test]
fn others_have_none() {
    for line in ["linear", "striped 2 253:1 253:2 1 AA", "error", "zero", "crypt", "", "snapshot-origin"] {
        assert_eq!(parse(line), None, "{line}");
    }
}

/// Whatever a kernel may say, and cut wherever: it is told or not, and nothing else happens.
#[test]
fn hostile_text() {
    let kinds = ["cache", "integrity", "mirror", "raid", "snapshot", "thin", "thin-pool", "vdo", "writecache"];
    let words = ["", "0", "1", "-", "-1", "18446744073709551615", "1/2", "5/", "/", "Fail", "\u{fffd}", "ro", "A"];
    let mut state = 1u64;
    for round in 0..20_000u64 {
        let text = (0..round % 24)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                words[usize::try_from(state >> 33).unwrap() % words.len()]
            })
            .collect::<Vec<_>>();
        for kind in kinds {
            let _ = Status::parse(kind, &text.join(" "));
        }
    }
}
