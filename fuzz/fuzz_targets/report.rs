//! Every field of every report has a value, whatever text a VG has.
#![no_main]

#[path = "../../tests/hostile_disks/daemon.rs"]
#[allow(dead_code)]
mod daemon;
#[path = "../../tests/hostile_disks/disk.rs"]
#[allow(dead_code)]
mod disk;
#[path = "../../tests/hostile_disks/naive.rs"]
#[allow(dead_code)]
mod naive;

use libfuzzer_sys::fuzz_target;

/// In front of an input that is not a whole text: what LVM has to know first.
const HEAD: &[u8] =
    b"vg {\nid = \"VGVGVG-VGVG-VGVG-VGVG-VGVG-VGVG-VGVGVG\"\nseqno = 1\nstatus = []\nextent_size = 8\nmax_lv = 0\n\
    max_pv = 0\nphysical_volumes {\npv0 {\nid = \"PVPVPV-PVPV-PVPV-PVPV-PVPV-PVPV-PVPVPV\"\nstatus = []\n\
    pe_start = 8\npe_count = 10\n}\n}\nlogical_volumes {\n";
const TAIL: &[u8] = b"\n}\n}\ncontents = \"Text Format Volume Group\"\nversion = 1\n";

fuzz_target!(|input: &[u8]| {
    daemon::report_text(input);
    daemon::report_text(&[HEAD, input, TAIL].concat());
});
