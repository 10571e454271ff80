use super::*;
use crate::conf::Settings;

/// A VG of one PV; `vg` is added to its section, `pv` to that of its PV.
fn text(vg: &str, pv: &str, lvs: &str) -> VgText {
    let text = format!(
        "vg {{ id = \"VGVGVG-VGVG-VGVG-VGVG-VGVG-VGVG-VGVGVG\" seqno = 7 extent_size = 8192 max_lv = 0 max_pv = 0\n\
         {vg} physical_volumes {{ pv0 {{ id = \"PV0PV0-PV0P-V0PV-0PV0-PV0P-V0PV-0PV0PV\" {pv} pe_start = 2048 \
         pe_count = 100 }} }} logical_volumes {{ {lvs} }} }}\ncontents = \"Text Format Volume Group\"\nversion = 1\n"
    );
    VgText::parse(text.into_bytes().into()).unwrap()
}

const VG: &str = "status = [\"RESIZEABLE\"]";
const PV: &str = "status = [\"ALLOCATABLE\"]";

/// One that is seen, with one segment that LVM reads whatever it is.
fn lv(name: &str, flags: &str, segment: &str) -> String {
    format!(
        "{name} {{ id = \"000000-0000-0000-0000-0000-0000-000001\" status = [\"READ\", \"VISIBLE\"] {flags} \
         segment_count = 1 segment1 {{ start_extent = 0 extent_count = 1 {segment} }} }} "
    )
}

fn zero(name: &str, flags: &str) -> String {
    lv(name, flags, "type = \"zero\"")
}

const NOAUTO: &str = "flags = [\"NOAUTOACTIVATE\"]";
const SKIP: &str = "flags = [\"ACTIVATION_SKIP\"]";

fn settings(conf: &str) -> Settings {
    Settings::read(&text::parse(conf.as_bytes()).unwrap().merged()).unwrap()
}

fn check(vg: &VgText, conf: &str, system_id: Option<&str>, expected: &Result<(), Rule>) {
    let found = by_metadata(vg, &settings(conf), system_id);
    assert_eq!(found, *expected, "{} {conf} {system_id:?}", String::from_utf8_lossy(&vg.body));
}

#[test]
fn who_may_use_a_vg() {
    let of = |vg: &str| text(vg, PV, &zero("a", ""));
    let foreign = |id: &str| Err(Rule::Foreign(id.to_owned()));
    let shared = |lock: &str| Err(Rule::Shared(lock.to_owned()));
    let extra = "local/extra_system_ids=[\"old\"]";
    let them = "status = [] system_id = \"them\"";
    for (vg, conf, own, expected) in [
        (VG, "a=1", None, Ok(())),
        (VG, "global/event_activation=0", None, Err(Rule::EventActivation)),
        ("status = [\"EXPORTED\"]", "a=1", None, Err(Rule::Exported)),
        ("status = [\"UNHEARD\"]", "a=1", None, Err(Rule::Unusable("VG vg: unknown status flag UNHEARD".into()))),
        ("status = [] lock_type = \"sanlock\"", "a=1", None, shared("sanlock")),
        ("status = [] lock_type = \"none\"", "a=1", None, Ok(())),
        ("status = [\"CLUSTERED\"]", "a=1", None, shared("clvm")),
        ("status = [\"EXPORTED\"] lock_type = \"dlm\"", "a=1", None, shared("dlm")),
        (them, "a=1", Some("them"), Ok(())),
        (them, "a=1", Some("us"), foreign("them")),
        (them, "a=1", None, foreign("them")),
        ("status = [] system_id = \"old\"", extra, Some("us"), foreign("old")),
        ("status = [] system_id = \"old\"", extra, None, foreign("old")),
        ("status = [\"EXPORTED\"] system_id = \"us\"", extra, Some("us"), Err(Rule::Exported)),
        ("status = [] flags = [\"NOAUTOACTIVATE\"]", "a=1", None, Err(Rule::NoAutoActivate)),
    ] {
        check(&of(vg), conf, own, &expected);
    }
}

#[test]
fn a_pv_that_the_text_calls_missing() {
    let pvid = Id::parse(b"PV0PV0-PV0P-V0PV-0PV0-PV0P-V0PV-0PV0PV").unwrap();
    for pv in ["status = [\"MISSING\"]", "status = [] flags = [\"MISSING\"]"] {
        check(&text(VG, pv, &zero("a", "")), "a=1", None, &Err(Rule::MarkedMissing(pvid)));
    }
}

/// The rule of each LV, and that of the VG.
#[test]
fn what_is_activated_of_a_vg() {
    let list = |name: &str, list: &str| format!("activation/{name}=[{list}]");
    let auto = |entries: &str| list("auto_activation_volume_list", entries);
    let any = |entries: &str| list("volume_list", entries);
    let a = zero("a", "");
    let tagged = zero("b", "tags = [\"t\"]");
    let hidden = a.replace(", \"VISIBLE\"", "");
    let snapshot = |origin: &str| {
        let cow = zero("cow", NOAUTO).replace(", \"VISIBLE\"", "");
        let tie = lv("snapshot0", "", &format!("type = \"snapshot\" origin = \"{origin}\" cow_store = \"cow\""));
        cow + &tie.replace(", \"VISIBLE\"", "")
    };
    let none = || "a=1".to_owned();
    for (lvs, conf, parts, rule) in [
        (String::new(), none(), "", Err(Rule::NothingToActivate)),
        (hidden.clone(), none(), "", Err(Rule::NothingToActivate)),
        (a.clone(), none(), "a", Ok(())),
        (zero("a", NOAUTO), none(), "a no-auto-activate", Err(Rule::NoAutoActivate)),
        (zero("a", NOAUTO) + &tagged, none(), "a no-auto-activate, b", Ok(())),
        (zero("a", SKIP), none(), "a activation-skip", Err(Rule::NothingToActivate)),
        (
            zero("a", SKIP) + &zero("b", NOAUTO),
            none(),
            "a activation-skip, b no-auto-activate",
            Err(Rule::NothingToActivate),
        ),
        (a.clone(), auto(""), "a auto-activation-volume-list", Err(Rule::AutoActivationVolumeList)),
        (a.clone(), any(""), "a volume-list", Err(Rule::VolumeList)),
        (a.clone() + &tagged, any("\"@t\""), "a volume-list, b", Ok(())),
        (a.clone() + &tagged, auto("\"vg/a\""), "a, b auto-activation-volume-list", Ok(())),
        (
            a.clone() + &zero("s", SKIP),
            auto("\"vg/s\""),
            "a auto-activation-volume-list, s activation-skip",
            Err(Rule::AutoActivationVolumeList),
        ),
        (
            a.clone() + &tagged,
            auto("\"vg/a\"") + " " + &any("\"vg/b\""),
            "a volume-list, b auto-activation-volume-list",
            Err(Rule::VolumeList),
        ),
        (a.clone() + &snapshot("a"), none(), "a, cow", Ok(())),
        (
            zero("a", SKIP) + &snapshot("a"),
            none(),
            "a activation-skip, cow activation-skip",
            Err(Rule::NothingToActivate),
        ),
        (hidden.clone() + &snapshot("a"), none(), "cow no-auto-activate", Err(Rule::NoAutoActivate)),
        (lv("a", "", "type = \"unheard\""), none(), "a unknown-segment", Err(Rule::NothingToActivate)),
        (lv("a", "", "type = \"zero+UNHEARD\"") + &tagged, none(), "a unknown-segment, b", Ok(())),
        (
            hidden + &lv("p", "", "type = \"cache-pool\" data = \"a\" metadata = \"a\""),
            none(),
            "p cache-pool",
            Err(Rule::NothingToActivate),
        ),
    ] {
        let vg = text(VG, PV, &lvs);
        assert_eq!(vg.unreadable, None, "{lvs}");
        check(&vg, &conf, None, &rule);
        let word = |part: &Part| {
            let rule = part.rule.map_or(String::new(), |rule| format!(" {}", rule.code()));
            String::from_utf8_lossy(&part.lv).into_owned() + &rule
        };
        let found = super::parts(&vg, &settings(&conf).policy);
        assert_eq!(found.iter().map(word).collect::<Vec<_>>().join(", "), parts, "{lvs} {conf}");
    }
}

#[test]
fn a_vg_that_cannot_be_used_has_no_parts() {
    let vg = text("status = [\"UNHEARD\"]", PV, &zero("a", ""));
    assert_eq!(parts(&vg, &Policy::default()), []);
}
