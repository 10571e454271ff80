use super::*;
use crate::device::{Holder, Stack};
use crate::devno::DevNo;

const WWID: &str = "naa.600140512345678";
const LISTED: &str = "3600140512345678";

fn conf(text: &str) -> Multipath {
    let mut multipath = Multipath::default();
    assert_eq!(multipath.add_conf(text.as_bytes()), []);
    multipath
}

fn listing(multipath: Multipath, wwids: &str) -> Multipath {
    let mut multipath = multipath;
    multipath.add_wwids(wwids.as_bytes()).unwrap();
    multipath
}

fn disk(wwid: &str) -> Facts {
    let path = Path { wwid: Some(wwid.into()), ..Path::default() };
    Facts { name: "sda".into(), driver: Some("sd".into()), path: Some(Box::new(path)), ..Facts::default() }
}

fn with_path(change: impl FnOnce(&mut Path)) -> Facts {
    let mut facts = disk(WWID);
    change(facts.path.as_mut().unwrap());
    facts
}

fn holder(uuid: &str) -> Holder {
    Holder {
        name: "dm-0".into(),
        devno: DevNo::new(252, 0),
        dm_uuid: Some(uuid.into()),
        dm_name: Some("mpatha".into()),
    }
}

fn component(name: Option<&str>, wwid: &str) -> Standing {
    Standing::Component(path_of(name.map(|name| name.as_bytes().to_vec()), Some(wwid.into())))
}

#[test]
fn a_map_that_is_there_counts_always() {
    let map = || vec![holder("CRYPT-LUKS2-x"), holder("mpath-3600")];
    let on = |stack: Stack, path: bool| Facts {
        stack: Box::new(stack),
        path: if path { disk(WWID).path } else { None },
        ..Facts::default()
    };
    let whole = Stack { holders: map(), ..Stack::default() };
    let partition = Stack { disk: Some(DevNo::new(8, 0)), disk_holders: map(), ..Stack::default() };
    for multipath in [Multipath::default(), Multipath::new(false), conf("blacklist {\nwwid .*\n}\n")] {
        for stack in [&whole, &partition] {
            for path in [false, true] {
                let facts = on(stack.clone(), path);
                assert_eq!(multipath.standing(&facts), component(Some("mpatha"), "3600"));
            }
        }
    }
    let Standing::Component(member) = Multipath::default().standing(&on(whole, true)) else { panic!() };
    assert_eq!(member.to_string(), "path of multipath map mpatha (3600)");
    // A partition of a map, as kpartx makes it, and other maps.
    for uuid in ["part1-mpath-3600", "CRYPT-LUKS2-x", "LVM-x", ""] {
        let facts = on(Stack { holders: vec![holder(uuid)], ..Stack::default() }, true);
        assert_eq!(Multipath::default().standing(&facts), Standing::Free, "{uuid}");
    }
}

/// What lvm2 2.03 and multipath-tools 0.9 make of them.
#[test]
fn a_wwid_is_listed_in_multipaths_form() {
    for (wwid, line, expected) in [
        (WWID, "/3600140512345678/", true),
        (WWID, "/600140512345678/", true),
        (WWID, "3600140512345678", true),
        (WWID, "/3600140512345678/ rest\r", true),
        (WWID, "#/3600140512345678/", false),
        (WWID, "/360014051234567/", false),
        (WWID, "/36001405123456789/", false),
        (WWID, "/naa.600140512345678/", true),
        ("eui.00a0", "/200a0/", true),
        ("eui.00a0", "/eui.00a0/", true),
        ("t10.ATA     QEMU HARDDISK   QM00001  ", "/1ATA_QEMU_HARDDISK_QM00001/", true),
        ("t10.Linux   scsi_debug      2000", "/Linux_scsi_debug_2000/", true),
        ("nvme.8086-41-42-00000001", "/nvme.8086-41-42-00000001/", true),
        ("uuid.5bdb5fc6-4e53", "/uuid.5bdb5fc6-4e53/", true),
        ("naa.", "/3/", false),
        ("", "//", false),
        ("  ", "/ /", false),
    ] {
        let multipath = listing(conf("defaults {\nfind_multipaths strict\n}\n"), line);
        let names = Names::of(wwid);
        let expected = match names.filter(|_| expected) {
            Some(names) => component(None, &names.multipath),
            None => Standing::Free,
        };
        assert_eq!(multipath.standing(&disk(wwid)), expected, "{wwid} {line}");
    }
}

#[test]
fn what_is_true_first_counts() {
    let strict = || conf("defaults {\nfind_multipaths strict\n}\n");
    let blacklist = || conf("blacklist {\nwwid 3600140512345678\n}\n");
    let says = |udev| with_path(|path| path.udev = udev);
    let passive = |udev| {
        with_path(|path| {
            path.udev = udev;
            path.passive = Some("standby".into());
        })
    };
    let free = || Standing::Free;
    let standby = || Standing::Passive("standby".into());
    let path = || component(None, LISTED);
    for (multipath, facts, expected) in [
        (Multipath::default(), says(None), free()),
        (Multipath::default(), passive(None), standby()),
        (Multipath::new(false), passive(None), standby()),
        (conf(""), says(None), Standing::Pending),
        (conf(""), passive(None), standby()),
        (conf(""), says(Some(false)), free()),
        (conf(""), says(Some(true)), path()),
        (conf(""), passive(Some(true)), path()),
        (conf("defaults {\nfind_multipaths \"no\"\n}\n"), says(None), Standing::Pending),
        (strict(), says(None), free()),
        (strict(), says(Some(true)), path()),
        (blacklist(), says(None), free()),
        (blacklist(), says(Some(true)), path()),
        (listing(blacklist(), LISTED), says(None), free()),
        (listing(strict(), LISTED), passive(Some(false)), path()),
        (listing(Multipath::default(), "/3600/"), says(None), Standing::Pending),
        (listing(Multipath::default(), "# nothing\n"), says(None), free()),
        (conf(""), with_path(|path| path.wwid = None), free()),
        (conf(""), Facts { path: None, ..disk(WWID) }, free()),
    ] {
        assert_eq!(multipath.standing(&facts), expected, "{multipath:?} {facts:?}");
    }
    let mut off = Multipath::new(false);
    off.add_conf(b"");
    off.add_wwids(LISTED.as_bytes()).unwrap();
    assert_eq!(off.standing(&says(Some(true))), free());
    assert!(!off.is_configured() && conf("").is_configured() && !Multipath::default().is_configured());
}

#[test]
fn the_blacklist_is_of_regular_expressions() {
    for (blacklist, exceptions, expected) in [
        (LISTED, "", true),
        ("600140512", "", true),
        ("\"^36001\"", "", true),
        ("\"^6001\"", "", false),
        // A word ends at a brace.
        ("^3600[0-9a-f]{12}5$", "", true),
        ("\"^3600[0-9a-f]{12}$\"", "", true),
        ("\"^naa[.]\"", "", true),
        ("3600140512345679", "", false),
        ("\".*\"", "", true),
        ("\"*\"", "", true),
        ("\"!^3600\"", "", false),
        ("\"!^3700\"", "", true),
        ("\"\\!3600\"", "", false),
        ("\"^3(500|600)\"", "", true),
        ("\"(unclosed\"", "", false),
        ("\".*\"", LISTED, false),
        ("\".*\"", "3600140512345679", true),
        ("", LISTED, false),
    ] {
        let text = format!("blacklist {{\nwwid {blacklist}\n}}\nblacklist_exceptions {{\nwwid {exceptions}\n}}\n");
        let mut multipath = Multipath::default();
        multipath.add_conf(text.as_bytes());
        let expected = if expected { Standing::Free } else { Standing::Pending };
        assert_eq!(multipath.standing(&disk(WWID)), expected, "{blacklist} {exceptions}");
    }
}

#[test]
fn only_what_is_known_is_read_of_the_configuration() {
    let check = |text: &str, find: Option<FindMultipaths>, blacklisted: bool| {
        let multipath = conf(text);
        assert_eq!(multipath.find, find, "{text}");
        assert_eq!(multipath.is_blacklisted(&Names::of(WWID).unwrap()), blacklisted, "{text}");
    };
    let (strict, others) = (Some(FindMultipaths::Strict), Some(FindMultipaths::Others));
    check("", None, false);
    check("defaults {\n\tfind_multipaths\tstrict\n}\n", strict, false);
    check("defaults{\nfind_multipaths \"strict\"# so\n}\n", strict, false);
    check("defaults {\nfind_multipaths yes\nfind_multipaths strict\n}\n", strict, false);
    check("defaults {\nfind_multipaths strict\n}\ndefaults {\nfind_multipaths greedy\n}\n", others, false);
    check("# defaults {\n!find_multipaths strict\n}\n", None, false);
    check("find_multipaths strict\n", None, false);
    check("overrides {\nfind_multipaths strict\n}\n", None, false);
    check("blacklist {\ndevice {\nvendor \"A}C\"\nwwid .*\n}\nwwid 3600140512345678 # ours\n}\n", None, true);
    check("blacklist {\ndevice {\nwwid 3600140512345678\n}\n}\n", None, false);
    check("multipaths {\nmultipath {\nwwid 3600140512345678\n}\n}\n", None, false);
    check("blacklist {\r\n\twwid \"3600140512345678\"\r\n}\r\n", None, true);
    check("blacklist {\nwwid \"36\"\"x\"\n}\n", None, false);
    check("blacklist {\ndevnode \".*\"\nproperty \".*\"\nprotocol \".*\"\n}\n", None, false);
}

#[test]
fn what_is_wrong_with_a_configuration_is_told() {
    let problems = |text: &str| Multipath::default().add_conf(text.as_bytes());
    let pattern = |line, pattern: &str| Problem::Pattern { line, pattern: pattern.into() };
    assert_eq!(problems("blacklist {\n\nwwid \"(x\"\nwwid\n}\n"), [pattern(3, "(x"), pattern(4, "")]);
    assert_eq!(problems("blacklist {\nwwid x\n"), [Problem::Unclosed]);
    assert_eq!(pattern(3, "(\u{1b}").to_string(), "line 3: \"(\\u{1b}\" is not a regular expression");
    let many = format!("blacklist {{\n{}}}\n", "wwid 36\n".repeat(5000));
    assert_eq!(problems(&many), [Problem::TooMany]);
    let wrong = format!("blacklist {{\n{}}}\n", "wwid \"(\"\n".repeat(5000));
    assert_eq!(problems(&wrong).len(), 17);
    let large = format!("blacklist {{\nwwid \"{}\"\n}}\n", "(a{1,100}){1,100}".repeat(10));
    assert_eq!(problems(&large).len(), 1);
}

#[test]
fn what_udev_says() {
    for (device_path, fs_type, expected) in [
        (None, None, None),
        (Some("1"), None, Some(true)),
        (Some("1"), Some("mpath_member"), Some(true)),
        (None, Some("mpath_member"), Some(true)),
        (Some("0"), Some("LVM2_member"), Some(false)),
        (None, Some("LVM2_member"), None),
        (Some(""), None, None),
    ] {
        assert_eq!(by_udev(device_path, fs_type), expected, "{device_path:?} {fs_type:?}");
    }
}
