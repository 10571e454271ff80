use super::*;
use crate::cache::{FoundPv, NewBody, NewMetadata};
use crate::report::model::Vg;
use crate::text;
use std::rc::Rc;

const VGID: &[u8] = b"vvvvvv-vvvv-vvvv-vvvv-vvvv-vvvv-vvvvvv";

fn pvid(letter: char) -> String {
    Id([letter as u8; 32]).to_string()
}

fn push(watcher: &mut Watcher, vgid: &[u8], name: &str, pvs: &[(char, i64)]) {
    let listed = pvs.iter().map(|(letter, _)| format!("{letter} {{ id=\"{}\" pe_count=5 }}", pvid(*letter)));
    let vgid_text = String::from_utf8_lossy(vgid);
    let body = format!("id=\"{vgid_text}\" seqno=1 physical_volumes {{ {} }}", listed.collect::<String>());
    for (letter, device) in pvs {
        let pvid = pvid(*letter);
        let pvmeta =
            format!("device={device} dev_size=4096 id=\"{pvid}\" ext_version=2 ext_flags=1 da0 {{ offset=1024 }}");
        let pvmeta = format!("{pvmeta} mda0 {{ ignore=0 start=4096 size=1024 free_sectors=1 }}");
        let metadata = NewMetadata { name: name.as_bytes(), vgid, seqno: 1, body: NewBody::Bytes(body.as_bytes()) };
        let found = FoundPv {
            pvid: pvid.as_bytes(),
            device: *device,
            pvmeta: &text::parse(pvmeta.as_bytes()).unwrap(),
            metadata: Some(metadata),
        };
        watcher.cache.pv_found(found).unwrap();
    }
}

fn all(inventory: &mut Inventory, watcher: &Watcher) -> Vec<String> {
    let word = |item| match item {
        Item::Host(_) => "host".to_owned(),
        Item::Named(named) => format!("named {} {}", named.at, named.devno),
        Item::Vg(vg) => {
            let there = vg.present.iter().map(|present| char::from(present.id.0[0])).collect::<String>();
            format!("{} {there}", String::from_utf8_lossy(&vg.vg.name))
        }
        Item::Label(present) => format!("label {}", present.device.path),
        Item::Unreadable(vg) => format!("unreadable {}", String::from_utf8_lossy(&vg.name)),
        Item::Orphan(present) => format!("orphan {}", char::from(present.id.0[0])),
        Item::Device(device) => device.path,
    };
    std::iter::from_fn(|| inventory.next(watcher)).map(word).collect()
}

fn of_server() -> Watcher {
    let mut watcher = Watcher::server(1);
    push(&mut watcher, VGID, "first", &[('b', 0x701), ('a', 0x700)]);
    push(&mut watcher, b"wwwwww-wwww-wwww-wwww-wwww-wwww-wwwwww", "last", &[('c', 0x702)]);
    watcher
}

#[test]
fn vgs_come_by_their_devices_the_last_one_first() {
    let watcher = of_server();
    let mut inventory = Inventory::begin(&watcher, &Needs::default(), true);
    assert_eq!(all(&mut inventory, &watcher), ["host", "last c", "first ba"]);
}

#[test]
fn what_was_named_comes_first() {
    let watcher = of_server();
    let named = [("x", None), ("/dev/loop2", Some(DevNo::from_wire(0x702))), ("y", Some(DevNo::new(8, 0)))];
    let named = named.map(|(path, devno)| NamedDevice { path: path.into(), devno }).to_vec();
    let mut inventory = Inventory::begin(&watcher, &Needs { named, ..Needs::default() }, true);
    assert_eq!(all(&mut inventory, &watcher), ["host", "named 1 7:2", "last c", "first ba"]);
}

#[test]
fn what_is_gone_by_then_is_left_out() {
    let mut watcher = of_server();
    let mut inventory = Inventory::begin(&watcher, &Needs::default(), false);
    watcher.cache.vg_remove(b"wwwwww-wwww-wwww-wwww-wwww-wwww-wwwwww");
    watcher.cache.pv_gone(Some(pvid('b').as_bytes()), None).unwrap();
    assert_eq!(all(&mut inventory, &watcher), ["host", "first a"]);
    let mut inventory = Inventory::begin(&watcher, &Needs::default(), false);
    assert_eq!(all(&mut inventory, &watcher), ["host", "first a", "orphan c"]);
}

#[test]
fn a_server_knows_what_it_was_told() {
    let watcher = of_server();
    let needs = Needs { lvs: true, labels: true, devices: true, named: Vec::new() };
    let mut inventory = Inventory::begin(&watcher, &needs, true);
    let Some(Item::Host(host)) = inventory.next(&watcher) else { panic!() };
    assert_eq!((host.mapped, host.warnings), (Some(vec![]), vec![]));
    let Some(Item::Vg(vg)) = inventory.next(&watcher) else { panic!() };
    let [present] = &vg.present[..] else { panic!("{vg:?}") };
    let mda = Mda { start: 4096, size: 1024, free: 512, ignored: false, bad: false };
    let label =
        Label { ext_version: 2, in_use: true, dev_size: 4096, data_start: 1024, bootloader: (0, 0), mdas: vec![mda] };
    assert_eq!(present.label, label);
    assert_eq!((&*present.device.path, present.device.size), ("/dev/block/7:2", 4096));
    assert_eq!(vg.vg.pvs[0].pe_count, 5);
    assert!(vg.text.is_some());
}

#[test]
fn labels_are_left_out_but_of_pvs_that_were_missing() {
    let mut watcher = of_server();
    let listed = |letter, more: &str| format!("{letter} {{ id=\"{}\" pe_count=5 {more} }}", pvid(letter));
    let pvs = listed('b', "status=[\"MISSING\"]") + &listed('a', "");
    let body = format!("id=\"{}\" seqno=2 physical_volumes {{ {pvs} }}", String::from_utf8_lossy(VGID));
    let new = NewMetadata { name: b"first", vgid: VGID, seqno: 2, body: NewBody::Bytes(body.as_bytes()) };
    watcher.cache.vg_update(new).unwrap();
    for labels in [false, true] {
        let mut inventory = Inventory::begin(&watcher, &Needs { labels, ..Needs::default() }, false);
        let vg = std::iter::from_fn(|| inventory.next(&watcher)).find_map(|item| match item {
            Item::Vg(vg) if vg.vg.name == *"first" => Some(vg),
            _ => None,
        });
        let vg = vg.unwrap();
        let known = |present: &Present| (present.label != Label::default(), !present.device.path.is_empty());
        assert_eq!(vg.present.iter().map(known).collect::<Vec<_>>(), [(true, true), (labels, labels)]);
    }
}

#[test]
fn a_summary_is_made_once_for_each_change() {
    let mut watcher = of_server();
    let summary = |watcher: &Watcher| watcher.cache.vg(VGID).unwrap().summary();
    let first = summary(&watcher);
    assert!(Rc::ptr_eq(&first, &summary(&watcher)));
    let body = b"id=\"vvvvvv-vvvv-vvvv-vvvv-vvvv-vvvv-vvvvvv\" seqno=2 max_lv=7 physical_volumes { }";
    let new = NewMetadata { name: b"renamed", vgid: VGID, seqno: 2, body: NewBody::Bytes(body) };
    watcher.cache.vg_update(new).unwrap();
    let expected = Vg::read(b"renamed", body).unwrap();
    assert_eq!((&*summary(&watcher), expected.max_lv), (&expected, 7));
}
