//! Any text is the metadata of a VG or is refused, and what is kept of it can be read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pvwatch::metadata::{TextCache, VgText};
use pvwatch::text;
use pvwatch_fuzz::Input;
use std::rc::Rc;

fuzz_target!(|input: &[u8]| {
    check(input.into());
    // The same as the content of a section in a VG that is otherwise good.
    let mut input = Input(input);
    let (head, tail) = [GOOD_VG, GOOD_PVS, GOOD_LVS][usize::from(input.u8() % 3)];
    check([head, input.0, tail].concat().into());
});

const GOOD_VG: (&[u8], &[u8]) = (
    b"vg {\nid = \"VGVGVG-VGVG-VGVG-VGVG-VGVG-VGVG-VGVGVG\"\nseqno = 1\n",
    b"\n}\ncontents = \"Text Format Volume Group\"\nversion = 1\n",
);
const GOOD_PVS: (&[u8], &[u8]) = (
    b"vg {\nid = \"VGVGVG-VGVG-VGVG-VGVG-VGVG-VGVG-VGVGVG\"\nseqno = 1\nstatus = []\nextent_size = 8\nmax_lv = 0\n\
      max_pv = 0\nphysical_volumes {\n",
    b"\n}\n}\ncontents = \"Text Format Volume Group\"\nversion = 1\n",
);
const GOOD_LVS: (&[u8], &[u8]) = (
    b"vg {\nid = \"VGVGVG-VGVG-VGVG-VGVG-VGVG-VGVG-VGVGVG\"\nseqno = 1\nstatus = []\nextent_size = 8\nmax_lv = 0\n\
      max_pv = 0\nphysical_volumes {\npv0 {\nid = \"PVPVPV-PVPV-PVPV-PVPV-PVPV-PVPV-PVPVPV\"\nstatus = []\n\
      pe_start = 8\npe_count = 10\n}\n}\nlogical_volumes {\nl0 {\nid = \"LVLVLV-LVLV-LVLV-LVLV-LVLV-LVLV-LVLVLV\"\n\
      status = []\nsegment_count = 1\n",
    b"\n}\n}\n}\ncontents = \"Text Format Volume Group\"\nversion = 1\n",
);

fn check(text: Rc<[u8]>) {
    let mut texts = TextCache::new();
    let read = match (texts.parse(7, &text), VgText::parse(Rc::clone(&text))) {
        (Ok(read), Ok(again)) => {
            assert_eq!(format!("{read:?}"), format!("{again:?}"));
            read
        }
        (Err(refusal), Err(again)) => {
            assert_eq!(refusal, again);
            let _ = refusal.to_string();
            return;
        }
        _ => panic!("the second reading says something else"),
    };
    assert!(Rc::ptr_eq(&read, &texts.parse(7, &text).expect("it is kept")));
    assert!((1..=127).contains(&read.name.len()) && read.vgid.is_regular());
    assert!(read.pvids.iter().all(|pvid| pvid.is_regular()));
    let body = text::parse(&read.body).expect("the body has been parsed before");
    assert_eq!(body.int("seqno"), Some(read.seqno));
    read.warnings.iter().for_each(|warning| assert!(warning.to_string().len() < 10_000));
    if let Some(problem) = &read.unreadable {
        assert!(problem.detail.len() < 10_000);
    }
}
