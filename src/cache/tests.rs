use super::*;
use crate::id::Id;
use crate::text;
use crate::text::TERMINATOR;

/// `v2:a,b` is metadata of VG `v` (its id and name) at seqno 2 that lists PVs `a` and `b`; `v/n2:a`
/// has another name, `v2*:a` other content.
struct Metadata {
    vgid: String,
    name: String,
    seqno: i64,
    body: String,
}

impl Metadata {
    fn new(spec: &str) -> Metadata {
        let (vg, pvs) = spec.split_once(':').unwrap();
        let (names, seqno) = vg.split_at(vg.find(|c: char| c.is_ascii_digit() || c == '-').unwrap());
        let (vgid, name) = names.split_once('/').unwrap_or((names, names));
        let (seqno, changed) = seqno.strip_suffix('*').map_or((seqno, 0), |seqno| (seqno, 1));
        let pvs = pvs.split(',').enumerate().map(|(number, pv)| {
            format!("pv{number} {{\ndevice=\"/dev/{number}\"\nid=\"{pv}\"\nstatus=[]\ndev_size=8\n}}\n")
        });
        let pvs = pvs.collect::<String>();
        let body = format!("id=\"{vgid}\"\nseqno={seqno}\nmax_lv={changed}\nphysical_volumes {{\n{pvs}}}\n");
        Metadata { vgid: vgid.into(), name: name.into(), seqno: seqno.parse().unwrap(), body }
    }

    fn new_metadata(&self) -> NewMetadata<'_> {
        let body = NewBody::Bytes(self.body.as_bytes());
        NewMetadata { name: self.name.as_bytes(), vgid: self.vgid.as_bytes(), seqno: self.seqno, body }
    }
}

fn found(cache: &mut Cache, pv: &str, device: i64, spec: &str) -> Result<Found, DuplicatePv> {
    let text = format!("device={device}\ndev_size=4096\nid=\"{pv}\"\nmda0 {{\nignore=0\n}}\n");
    let pvmeta = text::parse(text.as_bytes()).unwrap();
    let metadata = (!spec.is_empty()).then(|| Metadata::new(spec));
    let metadata = metadata.as_ref().map(Metadata::new_metadata);
    cache.pv_found(FoundPv { pvid: pv.as_bytes(), device, pvmeta: &pvmeta, metadata })
}

fn update(cache: &mut Cache, spec: &str) {
    cache.vg_update(Metadata::new(spec).new_metadata()).unwrap();
}

/// Everything that replies say, in short: `a@1(v) | v/n2: a -b !c`: PV `a` on device 1 in VG `v`;
/// VG `v` of name `n` at 2 with `a` there, `b` missing, and `c` outdated.
fn state(cache: &mut Cache) -> String {
    let word = |section: &Section, key: &str| String::from_utf8(section.str(key).unwrap_or_default().to_vec()).unwrap();
    let reply = |bytes: Rc<[u8]>| bytes.strip_suffix(TERMINATOR).unwrap().to_vec();
    let list = reply(cache.pv_list_reply());
    let list = text::parse(&list).unwrap();
    let mut out = Vec::new();
    for (_, pv) in list.section("physical_volumes").unwrap().sections() {
        let vg = word(pv, "vgid");
        let vg = if vg.is_empty() { vg } else { format!("({vg})") };
        out.push(format!("{}@{}{vg}", word(pv, "id"), pv.int("device").unwrap()));
    }
    out.push("|".into());
    let list = reply(cache.vg_list_reply());
    let list = text::parse(&list).unwrap();
    for (vgid, vg) in list.section("volume_groups").unwrap().sections() {
        let Lookup::Found(shown) = cache.vg_lookup(Some(vgid), None) else { panic!("it is listed") };
        let shown = reply(shown);
        let shown = text::parse(&shown).unwrap();
        let name = word(vg, "name");
        assert_eq!(word(&shown, "name"), name);
        let name = if name.as_bytes() == vgid { name } else { format!("{}/{name}", vgid.escape_ascii()) };
        let changed = if shown.int("metadata/max_lv") == Some(1) { "*" } else { "" };
        out.push(format!("{name}{}{changed}:", shown.int("metadata/seqno").unwrap()));
        for (_, pv) in shown.section("metadata/physical_volumes").unwrap().sections() {
            let missing = pv.value("status").unwrap().strings().any(|word| word == b"MISSING");
            assert_eq!(missing, pv.int("device").is_none());
            assert_eq!(pv.int("dev_size"), Some(8), "that of the metadata");
            out.push(format!("{}{}", if missing { "-" } else { "" }, word(pv, "id")));
        }
        for (_, pv) in shown.section("metadata/outdated_pvs").into_iter().flat_map(Section::sections) {
            out.push(format!("!{}", word(pv, "id")));
        }
        out.extend(shown.node("vg_invalid").map(|_| "invalid".to_owned()));
    }
    out.join(" ")
}

/// Steps such as `a@1 v2:a,b` (`pv_found`), `gone a`, `gone 1`, `update v2:a`, `remove v`, and the
/// state after each.
fn check(mut cache: Cache, steps: &[(&str, &str)]) {
    for (step, expected) in steps {
        let (verb, rest) = step.split_once(' ').unwrap_or((step, ""));
        match verb {
            "gone" => {
                let device = rest.parse::<i64>().ok();
                cache.pv_gone(device.is_none().then_some(rest.as_bytes()), device).unwrap();
            }
            "update" => update(&mut cache, rest),
            "remove" => cache.vg_remove(rest.as_bytes()),
            "clear" => cache.vg_clear_outdated_pvs(rest.as_bytes()),
            "mark" => assert!(cache.mark_outdated(b"v", rest.as_bytes())),
            "info" => drop(cache.set_vg_info(Some(b"v"), None, rest.parse().unwrap())),
            _ => {
                let (pv, device) = verb.split_once('@').unwrap();
                drop(found(&mut cache, pv, device.parse().unwrap(), rest));
            }
        }
        assert_eq!(state(&mut cache), *expected, "after {step}");
    }
}

#[test]
fn a_pv_and_a_device_have_five_cases() {
    let server = Cache::of_server;
    check(server(), &[("a@1", "a@1 |"), ("a@1", "a@1 |")]);
    // The device is used for another PV.
    check(server(), &[("a@1 v1:a", "a@1(v) | v1: a"), ("b@1", "b@1 |")]);
    // A duplicate.
    check(server(), &[("a@1", "a@1 |"), ("a@2", "a@1 |")]);
    // A duplicate in place of another PV.
    check(server(), &[("a@1", "a@1 |"), ("b@2", "a@1 b@2 |"), ("a@2", "a@1 |"), ("b@3", "a@1 b@3 |")]);
    let mut cache = server();
    found(&mut cache, "a", 1, "").unwrap();
    assert_eq!(found(&mut cache, "a", 2, ""), Err(DuplicatePv { device: 1 }));
    assert_eq!(cache.flags().reasons.first(), Some(&DisableReason::Duplicates));
    assert!(!found(&mut cache, "a", 1, "").unwrap().changed);
}

#[test]
fn metadata_of_a_pv_replaces_older_only() {
    let server = Cache::of_server;
    check(
        server(),
        &[
            ("a@1 v2:a,b", "a@1(v) | v2: a -b"),
            ("b@2 v1:a,b", "a@1(v) b@2(v) | v2: a b !b"),
            ("clear v", "a@1(v) b@2(v) | v2: a b"),
            ("b@2 v2*:a,b", "a@1(v) b@2(v) | v2: a b"),
            ("b@2 v2:a,b", "a@1(v) b@2(v) | v2: a b"),
            ("a@1 v3:a", "a@1(v) b@2 | v3: a !b !a"),
        ],
    );
    // Refused, and no reason to forget the PV.
    check(server(), &[("a@1 v0:a", "a@1 |")]);
    // A new name, with a new seqno or without.
    check(server(), &[("a@1 v1:a", "a@1(v) | v1: a"), ("a@1 v/n2:a", "a@1(v) | v/n2: a")]);
    check(server(), &[("a@1 v1:a", "a@1(v) | v1: a"), ("a@1 v/n1:a", "a@1(v) | v/n1: a")]);
    // A new id: another VG, and the old one goes with its last PV.
    check(
        server(),
        &[
            ("a@1 v1:a,b", "a@1(v) | v1: a -b"),
            ("b@2 v1:a,b", "a@1(v) b@2(v) | v1: a b"),
            ("a@1 w/v2:a,b", "a@1(w) b@2(w) | w/v2: a b"),
        ],
    );
}

#[test]
fn metadata_of_a_command_is_right() {
    let server = Cache::of_server;
    check(
        server(),
        &[
            ("a@1 v5:a", "a@1(v) | v5: a"),
            ("update v6:a,b", "a@1(v) | v6: a -b"),
            ("update v6*:a", "a@1(v) | v6*: a"),
            ("update v3:a", "a@1(v) | v3: a"),
            ("remove v", "a@1 |"),
            ("update w1:z", "a@1 | w1: -z"),
        ],
    );
    let mut cache = server();
    update(&mut cache, "v2:a");
    assert_eq!(cache.vg_update(Metadata::new("v0:a").new_metadata()), Err(BadUpdate));
    assert_eq!(state(&mut cache), "| v2: -a");
}

#[test]
fn an_announced_version_marks_the_vg_until_it_comes() {
    check(
        Cache::of_server(),
        &[
            ("a@1 v2:a", "a@1(v) | v2: a"),
            ("info 2", "a@1(v) | v2: a"),
            ("info 4", "a@1(v) | v2: a invalid"),
            ("update v3:a", "a@1(v) | v3: a invalid"),
            ("a@1 v4:a", "a@1(v) | v4: a !a invalid"),
            ("clear v", "a@1(v) | v4: a invalid"),
            ("update v4:a", "a@1(v) | v4: a"),
            ("info 0", "a@1(v) | v4: a invalid"),
            ("update v/n5:a", "a@1(v) | v/n5: a"),
        ],
    );
}

#[test]
fn defects_of_the_stock_daemon_are_not_repeated() {
    // D8: a PV that went by its UUID is found again on its device.
    check(Cache::of_server(), &[("a@1", "a@1 |"), ("gone a", "|"), ("a@1", "a@1 |"), ("gone 1", "|")]);
    // D11: a PV whose VG is stored no more is an orphan.
    let mut cache = Cache::of_server();
    found(&mut cache, "a", 1, "v1:a,b").unwrap();
    found(&mut cache, "a", 1, "w1:a").unwrap();
    let b = found(&mut cache, "b", 2, "").unwrap();
    assert_eq!((cache.status(&b.vgid), &*b.vgid, b.seqno_after), (Status::Orphan, ORPHAN, -1));
    assert_eq!(state(&mut cache), "a@1(w) b@2 | w1: a");
    // D15: announced by name, all VGs of it are marked.
    let mut cache = Cache::of_server();
    update(&mut cache, "v/n1:a");
    update(&mut cache, "w/n1:b");
    assert_eq!(cache.set_vg_info(None, Some(b"n"), 0).len(), 2);
    assert_eq!(state(&mut cache), "| v/n1: -a invalid w/n1: -b invalid");
    // D17: a VG goes with its last PV, whatever took that one's place.
    check(Cache::of_server(), &[("a@1", "a@1 |"), ("b@2 v1:b", "a@1 b@2(v) | v1: b"), ("a@2", "a@1 |")]);
    // Device hints go wherever they stand, and an empty status list still takes `MISSING` (D23);
    // `state` looks at both.
    check(Cache::of_server(), &[("a@1 v1:a,b", "a@1(v) | v1: a -b"), ("gone 1", "|")]);
}

#[test]
fn a_reply_is_made_anew_when_what_it_shows_changes() {
    check(
        Cache::of_server(),
        &[
            ("a@1 v1:a,b", "a@1(v) | v1: a -b"),
            ("b@2", "a@1(v) b@2(v) | v1: a b"),
            ("gone b", "a@1(v) | v1: a -b"),
            ("b@3", "a@1(v) b@3(v) | v1: a b"),
            // One that two VGs list, and the second takes.
            ("update w1:b,c", "a@1(v) b@3(w) | v1: a b w1: b -c"),
            ("gone b", "a@1(v) | v1: a -b"),
        ],
    );
    // An owner taken away by the removal of another VG.
    check(
        Cache::of_server(),
        &[
            ("a@1 v1:a,b", "a@1(v) | v1: a -b"),
            ("b@2", "a@1(v) b@2(v) | v1: a b"),
            ("update w1:b,c", "a@1(v) b@2(w) | v1: a b w1: b -c"),
            ("c@3", "a@1(v) b@2(w) c@3(w) | v1: a b w1: b c"),
            ("remove v", "a@1 b@2 c@3(w) | w1: b c"),
            ("gone b", "a@1 c@3(w) | w1: -b c"),
        ],
    );
    // An outdated PV that is no member.
    check(
        Cache::of_server(),
        &[
            ("a@1 v2:a", "a@1(v) | v2: a"),
            ("b@2 v1:a,b", "a@1(v) b@2 | v2: a !b"),
            ("gone b", "a@1(v) | v2: a"),
            ("b@3", "a@1(v) b@3 | v2: a !b"),
        ],
    );
}

#[test]
fn where_disks_are_read_older_metadata_proves_nothing_by_itself() {
    check(
        Cache::of_scanner(),
        &[
            ("a@1 v2:a,b", "a@1(v) | v2: a -b"),
            ("b@2 v1:a,b", "a@1(v) b@2(v) | v2: a b"),
            ("a@1 v3:a,b", "a@1(v) b@2(v) | v3: a b"),
            ("mark b", "a@1(v) b@2(v) | v3: a b !b"),
            ("remove v", "a@1 b@2 |"),
        ],
    );
}

#[test]
fn where_disks_are_read_a_pv_is_in_the_vg_that_it_names() {
    check(
        Cache::of_scanner(),
        &[
            ("a@1 v1:a,b", "a@1(v) | v1: a -b"),
            ("b@2 w1:b", "a@1(v) b@2(w) | v1: a -b w1: b"),
            // It stays where it is, whatever else lists it.
            ("a@1 v2:a,b", "a@1(v) b@2(w) | v2: a -b w1: b"),
            ("update x1:b", "a@1(v) b@2(w) | v2: a -b w1: b x1: -b"),
            ("remove x", "a@1(v) b@2(w) | v2: a -b w1: b"),
            // Removing one VG takes no PV of another.
            ("remove v", "a@1 b@2(w) | w1: b"),
            ("update v2:a,b", "a@1(v) b@2(w) | v2: a -b w1: b"),
            ("remove w", "a@1(v) b@2(v) | v2: a b"),
        ],
    );
}

#[test]
fn hyphens_in_the_id_of_a_pv_count_for_nothing() {
    let (id, bare) = (Id([b'a'; 32]).to_string(), "a".repeat(32));
    let mut cache = Cache::of_scanner();
    found(&mut cache, &id, 1, &format!("v1:{bare}")).unwrap();
    assert_eq!(state(&mut cache), format!("{id}@1(v) | v1: {bare}"));
}
