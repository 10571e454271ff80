use super::*;
use crate::ondisk::image::{PvSpec, put_label, put_mda_header, put_partition_table, put_text, pv_image, vg_text};
use crate::ondisk::mda::{MdaHeader, RawLocation};
use crate::ondisk::{SECTOR, crc};
use crate::signature::firmware_image::{self, asr, ddf, imsm};
use crate::signature::image::superblock;
use crate::signature::{Medium, When, bcache_image};
use crate::text::{Section, write_nodes};

const PV: Id = Id(*b"PVPVPVPVPVPVPVPVPVPVPVPVPVPVPVPV");
const OTHER: Id = Id(*b"OTHEROTHEROTHEROTHEROTHEROTHEROT");
const VG: Id = Id(*b"VGVGVGVGVGVGVGVGVGVGVGVGVGVGVGVG");

fn medium(size: usize) -> Medium {
    Medium { size: size.try_into().unwrap(), is_partition: false }
}

fn text(seqno: i64) -> Vec<u8> {
    vg_text("vg", VG, seqno, &[(PV, 256 << 10)])
}

fn member() -> PvSpec {
    PvSpec::member(PV, text(1))
}

fn two_mdas() -> PvSpec {
    PvSpec { mdas: 2, ..member() }
}

/// Scans a device that answers each read, given its number and range.
fn scan_device(
    size: usize,
    mut device: impl FnMut(usize, ByteRange) -> Result<Vec<u8>, ReadError>,
) -> (Verdict, Vec<ByteRange>) {
    let (mut scan, mut step) = Scan::begin(medium(size), When::Always);
    let mut texts = TextCache::new();
    let mut reads = Vec::new();
    loop {
        match step {
            Step::Done(verdict) => return (verdict, reads),
            Step::Read(range) => {
                assert!(range.length > 0 && range.end_within(size.try_into().unwrap()).is_some(), "{range:?}");
                let data = device(reads.len(), range);
                reads.push(range);
                step = scan.handle_read(&mut texts, data.as_deref().map_err(|&error| error));
            }
        }
        assert!(reads.len() < 50, "{reads:?}");
    }
}

fn part(image: &[u8], range: ByteRange) -> Vec<u8> {
    let start = usize::try_from(range.offset).unwrap();
    image[start..start + range.length].to_vec()
}

fn scan(image: &[u8]) -> (Verdict, Vec<ByteRange>) {
    scan_device(image.len(), |_, range| Ok(part(image, range)))
}

fn expect_pv(verdict: Verdict) -> Pv {
    match verdict {
        Verdict::Pv(pv) => *pv,
        other => panic!("{other:?}"),
    }
}

/// The kind of the verdict, the seqno of the VG, the findings.
fn summary(verdict: &Verdict) -> (&'static str, Option<i64>, Vec<Code>) {
    let codes = |findings: &[Finding]| findings.iter().map(|finding| finding.code).collect();
    match verdict {
        Verdict::Pv(pv) => ("pv", pv.vg.as_ref().map(|vg| vg.seqno), codes(&pv.findings)),
        Verdict::NotAPv { findings } => ("not", None, codes(findings)),
        Verdict::Member { findings, .. } => ("member", None, codes(findings)),
        Verdict::Unreadable { findings, .. } => ("unreadable", None, codes(findings)),
    }
}

fn check(image: &[u8], kind: &str, seqno: Option<i64>, codes: &[Code]) {
    assert_eq!(summary(&scan(image).0), (kind, seqno, codes.to_vec()));
}

fn check_spec(spec: &PvSpec, seqno: Option<i64>, codes: &[Code]) {
    check(&pv_image(spec), "pv", seqno, codes);
}

/// A good image and what is done to it.
fn changed(spec: &PvSpec, change: impl FnOnce(&mut [u8])) -> Vec<u8> {
    let mut image = pv_image(spec);
    change(&mut image);
    image
}

#[test]
fn good_pvs() {
    check_spec(&member(), Some(1), &[]);
    check_spec(&two_mdas(), Some(1), &[]);
    check_spec(&PvSpec::orphan(PV), None, &[]);
    check_spec(&PvSpec { mdas: 0, ..PvSpec::orphan(PV) }, None, &[]);
    check_spec(&PvSpec { mdas: 0, ..member() }, None, &[]);
    for label_sector in 0..4 {
        check_spec(&PvSpec { label_sector, ..member() }, Some(1), &[]);
    }
}

#[test]
fn the_pv_is_what_the_label_says() {
    let pv = expect_pv(scan(&pv_image(&two_mdas())).0);
    assert_eq!((pv.id, pv.label_sector, pv.dev_size), (PV, 1, 256 << 10));
    assert_eq!((pv.ext_version, pv.ext_flags, pv.is_in_use()), (2, 1, true));
    assert_eq!(pv.data_areas, [Area { offset: 64 << 10, size: 0 }]);
    assert_eq!(pv.bootloader_areas, []);
    assert_eq!(pv.mdas.iter().map(|mda| mda.area).collect::<Vec<_>>(), two_mdas().mda_areas());
    let text_of = |mda: &MdaScan| Rc::as_ptr(&mda.text.as_ref().unwrap().vg);
    assert_eq!(text_of(&pv.mdas[0]), text_of(&pv.mdas[1]));
    assert!(pv.metadata_to_serve().is_some());
}

#[test]
fn text_is_found_wherever_it_wraps() {
    let length = u64::try_from(text(1).len()).unwrap() + 1;
    let end = 60 << 10;
    for text_offset in (end - length - 2..end).chain([512, 513, 4096, 20 << 10]) {
        check_spec(&PvSpec { text_offset, ..two_mdas() }, Some(1), &[]);
    }
}

#[test]
fn no_more_is_read_than_needed() {
    let reads = |image: &[u8]| scan(image).1.iter().map(|range| (range.offset, range.length)).collect::<Vec<_>>();
    let length = text(1).len() + 1;
    assert_eq!(reads(&[]), []);
    assert_eq!(reads(&[0; 100]), [(0, 100)]);
    assert_eq!(reads(&vec![0; 1 << 20]), [(0, HEAD)]);
    // Of the head, and of the places at the end where others have their superblocks.
    let pv = |size: u64, rest: &[(u64, usize)]| {
        let places = [(0, HEAD), ((size & !0xffff) - (64 << 10), 512), (size - 8192, 8192)];
        let firmware = [(size - 257 * 512, 3 * 512), (size - 63 * 512, 512)];
        [&places[..], &firmware, rest].concat()
    };
    let small = |rest: &[(u64, usize)]| pv(256 << 10, rest);
    assert_eq!(reads(&pv_image(&member())), small(&[]));
    let far = PvSpec { text_offset: 40 << 10, ..member() };
    assert_eq!(reads(&pv_image(&far)), small(&[(44 << 10, length)]));
    let wrapped = PvSpec { text_offset: (60 << 10) - 10, ..member() };
    assert_eq!(reads(&pv_image(&wrapped)), small(&[((64 << 10) - 10, 10)]), "the second part is in the head");
    let across = PvSpec { text_offset: (4 << 10) - 10, ..member() };
    let rest = (8192, length - 10);
    assert_eq!(reads(&pv_image(&across)), small(&[rest]), "the first part is in the head");
    let second = (512 - 200) << 10;
    let larger = pv_image(&PvSpec { size: 512 << 10, mda_size: 200 << 10, ..two_mdas() });
    assert_eq!(reads(&larger), pv(512 << 10, &[(second, 512), (second + 512, length)]));
    let damaged = changed(&member(), |image| image[600] ^= 1);
    assert_eq!(reads(&damaged), [(0, HEAD), (0, HEAD)]);
}

#[test]
fn labels() {
    check(&[0; 4096], "not", None, &[]);
    check(&changed(&member(), |image| image[512] ^= 1), "not", None, &[Code::LabelIdDamaged]);
    check(&changed(&member(), |image| image[520] ^= 1), "not", None, &[Code::LabelWrongSector]);
    check(&changed(&member(), |image| image[600] ^= 1), "not", None, &[Code::LabelCrc]);
    let copy = |image: &mut [u8]| {
        let contents: Vec<u8> = image[544..1024].to_vec();
        put_label(image, 3, 32, &contents);
    };
    check(&changed(&member(), copy), "pv", Some(1), &[Code::ExtraLabelIgnored]);
    let first_bad = changed(&member(), |image| {
        copy(image);
        image[600] ^= 1;
    });
    check(&first_bad, "pv", Some(1), &[Code::LabelCrc]);
    assert_eq!(expect_pv(scan(&first_bad).0).label_sector, 3);
}

#[test]
fn pv_headers() {
    let contents_at = |offset: usize| {
        changed(&member(), |image| {
            let contents: Vec<u8> = image[544..700].to_vec();
            image[512..1024].fill(0xee);
            put_label(image, 1, offset, &contents[..contents.len().min(SECTOR - offset)]);
        })
    };
    check(&contents_at(100), "pv", Some(1), &[]);
    check(&contents_at(400), "not", None, &[Code::PvHeaderListOverrun]);
    check(&contents_at(441), "not", None, &[Code::PvHeaderOutOfSector]);
    let odd = Id([b'/'; 32]);
    check_spec(&PvSpec { id: odd, ..member() }, Some(1), &[Code::PvidIrregular, Code::PvidNotInVg]);
    for byte in [b'\0', b'\n'] {
        let id = Id([byte; 32]);
        check(&pv_image(&PvSpec { id, ..member() }), "not", None, &[Code::PvidIrregular]);
    }
    check_spec(&PvSpec { id: OTHER, ..member() }, Some(1), &[Code::PvidNotInVg]);
}

#[test]
fn shrunken_and_cut_devices() {
    let image = pv_image(&member());
    check(&image[..image.len() - 1], "pv", Some(1), &[Code::DeviceSmaller]);
    let text_end = 4096 + 512 + text(1).len() + 1;
    check(&image[..text_end], "pv", Some(1), &[Code::DeviceSmaller]);
    let no_vg = |code| [Code::DeviceSmaller, code, Code::InUseNoVg];
    check(&image[..text_end - 1], "pv", None, &no_vg(Code::LocationOutOfRange));
    check(&image[..4096 + 511], "pv", None, &no_vg(Code::MdaOutOfRange));
    check(&image[..1024], "pv", None, &no_vg(Code::MdaOutOfRange));
    check(&image[..1023], "not", None, &[]);
}

/// The header of the first area with a changed slot 0.
fn relocated(change: impl Fn(&mut RawLocation)) -> Vec<u8> {
    changed(&member(), |image| {
        let mut header = MdaHeader::decode(&image[4096..], 4096).unwrap();
        change(&mut header.slots[0]);
        put_mda_header(image, &header);
    })
}

#[test]
fn a_bad_area_does_not_lose_the_pv() {
    let bad = |image: &[u8], code| check(image, "pv", None, &[code, Code::InUseNoVg]);
    bad(&changed(&member(), |image| image[4096 + 300] ^= 1), Code::MdaHeaderCrc);
    bad(&changed(&member(), |image| image[4096..4608].fill(0)), Code::MdaHeaderCrc);
    bad(&changed(&member(), |image| image[4096 + 600] ^= 1), Code::TextCrc);
    bad(&relocated(|slot| slot.checksum ^= 1), Code::TextCrc);
    bad(&relocated(|slot| slot.offset = 100), Code::LocationOutOfRange);
    bad(&relocated(|slot| slot.offset = 60 << 10), Code::LocationOutOfRange);
    bad(&relocated(|slot| slot.size = 0), Code::LocationOutOfRange);
    bad(&relocated(|slot| slot.size = 60 << 10), Code::LocationOutOfRange);
    bad(&relocated(|slot| slot.size = u64::MAX - 100), Code::LocationOutOfRange);
    let one_bad = changed(&two_mdas(), |image| image[4096 + 600] ^= 1);
    check(&one_bad, "pv", Some(1), &[Code::TextCrc]);
    let pv = expect_pv(scan(&one_bad).0);
    assert_eq!(pv.mdas.iter().map(|mda| mda.problem).collect::<Vec<_>>(), [Some(Code::TextCrc), None]);
}

#[test]
fn texts_that_are_refused() {
    let bad = |text: &[u8], code| {
        check_spec(&PvSpec::member(PV, text.to_vec()), None, &[code, Code::InUseNoVg]);
    };
    let good = String::from_utf8(text(1)).unwrap();
    bad(good.replacen('}', "", 1).as_bytes(), Code::TextParse);
    bad(good.replacen("vg", "v!", 1).as_bytes(), Code::TextVgName);
    bad(good.replace("version", "vision").as_bytes(), Code::TextSchema);
    bad(b"", Code::TextVgName);
}

#[test]
fn metadata_that_lvm_could_not_read_is_named_but_not_served() {
    for (from, to, code) in
        [("\"READ\"", "\"FUTUREFLAG\"", Code::TextUnknownStatusFlag), ("extent_size", "extend_size", Code::VgStructure)]
    {
        let text = String::from_utf8(text(1)).unwrap().replace(from, to);
        let image = pv_image(&PvSpec::member(PV, text.into_bytes()));
        check(&image, "pv", Some(1), &[code]);
        assert!(expect_pv(scan(&image).0).metadata_to_serve().is_none());
    }
}

#[test]
fn the_newer_of_two_areas_is_taken() {
    for (first, second) in [(7, 8), (8, 7)] {
        let image = changed(&two_mdas(), |image| {
            let areas = two_mdas().mda_areas();
            put_text(image, areas[0], 512, Some(&text(first)));
            put_text(image, areas[1], 512, Some(&text(second)));
        });
        check(&image, "pv", Some(8), &[Code::MdaMismatch]);
    }
    let one_empty = changed(&two_mdas(), |image| put_text(image, two_mdas().mda_areas()[0], 512, None));
    check(&one_empty, "pv", Some(1), &[]);
}

#[test]
fn an_ignored_area_is_not_read() {
    let image = relocated(|slot| {
        slot.flags = 1;
        slot.offset = 40 << 10;
    });
    check(&image, "pv", None, &[]);
    let is_read = |range: &ByteRange| (44 << 10..64 << 10).contains(&range.offset);
    assert!(!scan(&image).1.iter().any(is_read));
    assert!(expect_pv(scan(&image).0).mdas[0].ignored);
}

#[test]
fn in_use_without_a_text_is_told() {
    check_spec(&PvSpec { in_use: true, ..PvSpec::orphan(PV) }, None, &[Code::InUseNoVg]);
}

#[test]
fn a_third_area_is_listed_and_never_read() {
    let image = changed(&two_mdas(), |image| {
        let mut contents = image[544..1024].to_vec();
        let entry = contents[72..88].to_vec();
        contents.splice(72..72, entry);
        put_label(image, 1, 32, &contents[..480]);
    });
    check(&image, "pv", Some(1), &[Code::MdaNotUsed]);
    let pv = expect_pv(scan(&image).0);
    assert_eq!(pv.mdas.len(), 3);
    assert!(pv.mdas[1].text.is_some() && pv.mdas[2].text.is_none());
}

#[test]
fn failed_reads() {
    let image = pv_image(&PvSpec { size: 512 << 10, mda_size: 200 << 10, ..two_mdas() });
    let failing = |which: usize, error: ReadError| {
        let (verdict, _) = scan_device(
            image.len(),
            |number, range| {
                if number == which { Err(error) } else { Ok(part(&image, range)) }
            },
        );
        summary(&verdict)
    };
    assert_eq!(failing(0, ReadError::Io(5)), ("unreadable", None, vec![]));
    assert_eq!(failing(1, ReadError::Io(5)), ("pv", Some(1), vec![Code::EndUnread]));
    assert_eq!(failing(2, ReadError::Io(5)), ("pv", Some(1), vec![]), "its parts can be read");
    assert_eq!(failing(5, ReadError::Io(5)), ("pv", Some(1), vec![Code::ReadError]));
    assert_eq!(failing(6, ReadError::Short), ("pv", Some(1), vec![Code::ReadShort]));
    let (verdict, _) = scan_device(image.len(), |_, range| Ok(part(&image, range)[1..].to_vec()));
    assert!(matches!(verdict, Verdict::Unreadable { error: ReadError::Short, .. }));
    let mut damaged = image.clone();
    damaged[600] ^= 1;
    let (verdict, _) =
        scan_device(
            image.len(),
            |number, range| {
                if number == 1 { Err(ReadError::Io(5)) } else { Ok(part(&damaged, range)) }
            },
        );
    assert_eq!(summary(&verdict), ("unreadable", None, vec![Code::LabelCrc]));
}

#[test]
fn a_label_caught_half_written_is_read_again() {
    let image = pv_image(&member());
    let (verdict, reads) = scan_device(image.len(), |number, range| {
        let mut bytes = part(&image, range);
        if number == 0 {
            bytes[600] ^= 1;
        }
        Ok(bytes)
    });
    assert_eq!(summary(&verdict), ("pv", Some(1), vec![]));
    assert_eq!(reads[..2].iter().map(|range| range.offset).collect::<Vec<_>>(), [0, 0]);
}

/// A device on which a commit happens before each of the first reads behind the head.
fn scan_while_committing(commits: i64) -> (Verdict, Vec<ByteRange>) {
    let area = member().mda_areas()[0];
    let mut image = pv_image(&PvSpec { text_offset: 40 << 10, ..member() });
    let mut seqno = 1;
    scan_device(image.len(), |number, range| {
        // The old text is overwritten at once, which LVM would do only after a few commits.
        if number > 0 && number % 2 == 1 && seqno <= commits {
            image[44 << 10..50 << 10].fill(b'x');
            seqno += 1;
            let offset = if seqno % 2 == 0 { 42 << 10 } else { 40 << 10 };
            put_text(&mut image, area, offset, Some(&text(seqno)));
        }
        Ok(part(&image, range))
    })
}

#[test]
fn an_area_rewritten_meanwhile_is_read_again_but_not_for_ever() {
    assert_eq!(summary(&scan_while_committing(0).0), ("pv", Some(1), vec![]));
    assert_eq!(summary(&scan_while_committing(1).0), ("pv", Some(2), vec![]));
    assert_eq!(summary(&scan_while_committing(2).0), ("pv", Some(3), vec![]));
    let (verdict, reads) = scan_while_committing(1000);
    assert_eq!(summary(&verdict).0, "pv");
    let of_the_area = reads.iter().filter(|range| (4096..64 << 10).contains(&range.offset)).count();
    assert!(of_the_area <= 2 * 4, "{reads:?}");
}

/// Whoever reads ahead waits twice for a usual PV: for its beginning, and for all the rest. Where the
/// text of a second area is, only its header tells.
#[test]
fn what_a_scan_will_ask_for_is_told_ahead() {
    // After some changes of the VG its text lies behind what is read first.
    let changed = PvSpec { text_offset: 20 << 10, ..member() };
    for (spec, told, untold) in [(member(), 4, 0), (two_mdas(), 5, 1), (changed, 5, 0)] {
        let image = pv_image(&spec);
        let (mut scan, _) = Scan::begin(medium(image.len()), When::Always);
        let mut texts = TextCache::new();
        let mut step = scan.handle_read(&mut texts, Ok(&image[..HEAD]));
        let Step::Read(first) = step else { panic!("{step:?}") };
        let ahead = scan.ahead();
        assert!(!ahead.contains(&first) && ahead.len() < PLACES_MAX);
        let mut asked = Vec::new();
        while let Step::Read(range) = step {
            asked.push(range);
            step = scan.handle_read(&mut texts, Ok(&part(&image, range)));
            assert!(asked.len() < 10, "{asked:?}");
        }
        let was_told = |range: &&ByteRange| **range == first || ahead.contains(range);
        assert_eq!(asked.iter().filter(was_told).count(), told, "{asked:?} of {ahead:?}");
        assert_eq!(asked.len(), told + untold);
        assert_eq!(ahead.len() + 1, told, "nothing is read in vain");
    }
}

#[test]
fn text_is_read_within_the_limit() {
    let image = pv_image(&member());
    let run = |limit| {
        let (mut scan, _) = Scan::begin_with(medium(image.len()), When::Always, limit);
        let mut texts = TextCache::new();
        let mut step = scan.handle_read(&mut texts, Ok(&image[..HEAD]));
        while let Step::Read(range) = step {
            step = scan.handle_read(&mut texts, Ok(&part(&image, range)));
        }
        match step {
            Step::Done(verdict) => summary(&verdict),
            Step::Read(_) => unreachable!("the loop ends with the reads"),
        }
    };
    let size = u64::try_from(text(1).len()).unwrap() + 1;
    assert_eq!(run(size), ("pv", Some(1), vec![]));
    assert_eq!(run(size - 1), ("pv", None, vec![Code::TextTooLarge, Code::InUseNoVg]));
}

/// Whatever is flipped is found by a checksum, or is one of the fields that no checksum covers.
#[test]
fn no_flip_in_what_is_covered_is_taken_for_good() {
    let spec = PvSpec { size: 80 << 10, ..member() };
    let image = pv_image(&spec);
    let text_end = 4608 + text(1).len() + 1;
    for at in (0..1536).chain(4096..text_end + 16) {
        let flipped = changed(&spec, |image| image[at] ^= 0xff);
        let good = summary(&scan(&flipped).0) == ("pv", Some(1), vec![]);
        let covered = (512..1024).contains(&at) || (4096..text_end).contains(&at);
        assert_eq!(good, !covered, "byte {at}");
    }
    for length in 0..image.len().min(8192) {
        assert_ne!(summary(&scan(&image[..length]).0), ("pv", Some(1), vec![]), "cut at {length}");
    }
}

/// Damage behind good checksums: any field may have any value.
#[test]
fn no_value_of_a_field_is_trusted() {
    let good = pv_image(&two_mdas());
    for at in (520..700).chain(4100..4300) {
        for value in [0x00, 0x01, 0x7f, 0x80, 0xff] {
            let mut image = good.clone();
            image[at] = value;
            for (sector, covered, field) in [(512, 532, 528), (4096, 4100, 4096)] {
                let sum = crc(&[&image[covered..sector + SECTOR]]);
                image[field..field + 4].copy_from_slice(&sum.to_le_bytes());
            }
            scan(&image);
        }
    }
}

#[test]
fn pvmeta_is_what_a_2_02_command_sends() {
    let pv = expect_pv(scan(&pv_image(&two_mdas())).0);
    let mut out = Vec::new();
    write_nodes(&Section(pv.pvmeta(1794)).0, 0, &mut out);
    let expected = "device=1794\ndev_size=262144\nformat=\"lvm2\"\nlabel_sector=1\n\
        id=\"PVPVPV-PVPV-PVPV-PVPV-PVPV-PVPV-PVPVPV\"\next_version=2\next_flags=1\n\
        mda0 {\n\tignore=0\n\tstart=4096\n\tsize=61440\n\tfree_sectors=58\n}\n\
        mda1 {\n\tignore=0\n\tstart=200704\n\tsize=61440\n\tfree_sectors=58\n}\n\
        da0 {\n\toffset=65536\n\tsize=0\n}\n";
    assert_eq!(String::from_utf8(out).unwrap(), expected);
}

/// Whether it can have partitions is not known here.
#[test]
fn a_partition_table_over_a_pv_is_told() {
    let mut image = pv_image(&member());
    put_partition_table(&mut image);
    let pv = expect_pv(scan(&image).0);
    assert!(pv.has_partition_table && pv.vg.is_some());
    assert_eq!(pv.findings.iter().map(|finding| finding.code).collect::<Vec<_>>(), [Code::PartitionTable]);
    assert!(!expect_pv(scan(&pv_image(&member())).0).has_partition_table);
}

/// A PV on an array of this version, and a member of it.
fn array_member(version: &str, spec: &PvSpec) -> Vec<u8> {
    changed(spec, |image| {
        let (place, superblock) = superblock(version, image.len().try_into().unwrap()).unwrap();
        image[usize::try_from(place).unwrap()..][..superblock.len()].copy_from_slice(&superblock);
    })
}

#[test]
fn the_label_of_an_array_makes_no_pv_of_its_member() {
    for (version, reads) in [("0.90", 6), ("1.0", 5), ("1.1", 1), ("1.2", 1)] {
        let image = array_member(version, &member());
        check(&image, "member", None, &[]);
        assert_eq!(scan(&image).1.len(), reads, "{version}");
    }
}

#[test]
fn a_superblock_caught_half_written_is_read_again() {
    for (version, place) in [("0.90", 192 << 10), ("1.0", 248 << 10), ("1.2", 4096)] {
        let image = array_member(version, &PvSpec { mdas: 0, ..member() });
        let damaged = |number: usize, until: usize, range: ByteRange| {
            let mut image = image.clone();
            image[place + 100] ^= u8::from(number < until);
            Ok(part(&image, range))
        };
        let passing = scan_device(image.len(), |number, range| damaged(number, 2, range)).0;
        let passing =
            if version == "1.2" { scan_device(image.len(), |n, range| damaged(n, 1, range)).0 } else { passing };
        assert!(matches!(passing, Verdict::Member { .. }), "{version}: {passing:?}");
        let (verdict, reads) = scan_device(image.len(), |number, range| damaged(number, 99, range));
        assert_eq!(summary(&verdict), ("pv", None, vec![Code::MemberDamaged]), "{version}");
        let times = reads
            .iter()
            .filter(|range| (range.offset..range.offset + range.length as u64).contains(&(place as u64 + 100)))
            .count();
        assert_eq!(
            times,
            if version == "0.90" { 4 } else { 2 },
            "{version}: its first sector, and all of it: {reads:?}"
        );
    }
}

#[test]
fn a_damaged_superblock_that_a_pv_leaves_room_for_makes_it_none() {
    for (dev_size, kind, seqno) in [(248 << 10, "not", None), ((248 << 10) + 1, "pv", Some(1))] {
        let mut image = array_member("1.0", &PvSpec { dev_size: Some(dev_size), ..member() });
        image[(248 << 10) + 100] ^= 1;
        check(&image, kind, seqno, &[Code::MemberDamaged]);
    }
}

#[test]
fn an_end_that_cannot_be_read() {
    let behind_head = |image: &[u8], good: &[u64]| {
        let read = |_, range: ByteRange| {
            if range.offset == 0 || good.contains(&range.offset) {
                Ok(part(image, range))
            } else {
                Err(ReadError::Io(5))
            }
        };
        summary(&scan_device(image.len(), read).0)
    };
    let filling = pv_image(&member());
    assert_eq!(behind_head(&filling, &[]), ("pv", Some(1), vec![Code::EndUnread]));
    let smaller = |size: u64| pv_image(&PvSpec { dev_size: Some(size), ..member() });
    // As far as the place of 0.90, and of 1.0.
    for size in [192 << 10, 248 << 10] {
        assert_eq!(behind_head(&smaller(size), &[]), ("unreadable", None, vec![Code::EndUnread]), "{size}");
    }
    // A superblock that can be read says it, whatever is with the other.
    let image = array_member("0.90", &member());
    assert_eq!(behind_head(&image, &[192 << 10]), ("member", None, vec![]));
    let image = array_member("1.0", &member());
    assert_eq!(behind_head(&image, &[248 << 10]), ("member", None, vec![]));
}

fn put_pieces(image: &mut [u8], pieces: &[(u64, Vec<u8>)]) {
    for (place, piece) in pieces {
        image[usize::try_from(*place).unwrap()..][..piece.len()].copy_from_slice(piece);
    }
}

/// A PV on an array of firmware, and a member of it.
fn firmware_member(format: &str, spec: &PvSpec) -> Vec<u8> {
    changed(spec, |image| put_pieces(image, &firmware_image::mirror(format, image.len() as u64).unwrap()))
}

#[test]
fn the_label_of_an_array_of_firmware_makes_no_pv_of_its_member() {
    for format in firmware_image::FORMATS {
        let image = firmware_member(format, &member());
        let (verdict, reads) = scan(&image);
        assert_eq!(summary(&verdict), ("member", None, vec![]), "{format}");
        assert!(reads.len() <= 5 + 5, "{format}: {reads:?}");
        let Verdict::Member { member, .. } = verdict else { unreachable!() };
        assert_eq!((member.format, member.why_no_pv()), (format, "device is a firmware raid component".into()));
        // The array may be larger than each of its members.
        check(&firmware_member(format, &PvSpec { dev_size: Some(1 << 20), ..self::member() }), "member", None, &[]);
    }
}

#[test]
fn of_several_owners_the_first_counts() {
    let size = 256 << 10;
    let mut image = pv_image(&member());
    let mut claims = vec![];
    let mut claim = |pieces: &[(u64, Vec<u8>)], format: &'static str| {
        put_pieces(&mut image, pieces);
        claims.insert(0, format);
        let Verdict::Member { member, findings } = scan(&image).0 else { panic!("{format}") };
        assert_eq!(member.format, format);
        assert!(findings.iter().all(|finding| finding.code == Code::OtherClaim));
        assert_eq!(findings.len(), claims.len() - 1, "{findings:?}");
        for (finding, format) in findings.iter().zip(&claims[1..]) {
            assert!(finding.detail.contains(format), "{findings:?}");
        }
    };
    claim(&firmware_image::mirror("asr", size).unwrap(), "asr");
    claim(&imsm::pieces(size, 512, &imsm::superblock(&[2, 2], &[imsm::MIRROR])).unwrap(), "imsm");
    claim(&ddf::pieces(size, &ddf::Spec { behind: 257, ..ddf::Spec::default() }).unwrap(), "ddf");
    let (place, superblock) = superblock("1.0", size).unwrap();
    claim(&[(place, superblock.to_vec())], "md");
}

#[test]
fn damage_to_a_superblock_of_firmware() {
    for (format, place) in [("ddf", (256 << 10) - 400), ("imsm", (256 << 10) - 1024 + 30)] {
        for (dev_size, kind, seqno) in [(248 << 10, "not", None), (256 << 10, "pv", Some(1))] {
            let mut image = firmware_member(format, &PvSpec { dev_size: Some(dev_size), ..member() });
            image[place] ^= 1;
            check(&image, kind, seqno, &[Code::MemberDamaged]);
        }
    }
}

fn put(image: &mut [u8], place: usize, bytes: &[u8]) {
    image[place..place + bytes.len()].copy_from_slice(bytes);
}

/// DRBD's, as it is at the end of what it replicates.
fn put_drbd(image: &mut [u8]) {
    let place = image.len() - 4096 + 60;
    put(image, place, &[0x83, 0x74, 0x02, 0x6d]);
}

fn put_swap(image: &mut [u8]) {
    put(image, 1024, &[1, 0, 0, 0, 1]);
    put(image, 4086, b"SWAPSPACE2");
}

/// A PV without metadata areas, which would be where some superblocks are.
fn bare() -> PvSpec {
    PvSpec { mdas: 0, ..PvSpec::orphan(PV) }
}

type Put<'a> = &'a dyn Fn(&mut [u8]);

/// What an image is taken for, and then whoever else claims it.
fn claims(image: &[u8], look: When) -> Vec<String> {
    let (mut scan, mut step) = Scan::begin(medium(image.len()), look);
    let mut texts = TextCache::new();
    while let Step::Read(range) = step {
        step = scan.handle_read(&mut texts, Ok(&part(image, range)));
    }
    let told = |findings: Vec<Finding>| {
        findings.into_iter().filter(|finding| finding.code == Code::OtherClaim).map(|finding| finding.detail)
    };
    match step {
        Step::Done(Verdict::Member { member, findings }) => {
            [member.to_string()].into_iter().chain(told(findings)).collect()
        }
        Step::Done(Verdict::Pv(pv)) => ["PV".to_string()].into_iter().chain(told(pv.findings)).collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_label_left_over_in_a_members_data_is_not_reported() {
    let bcache = |image: &mut [u8]| put(image, 4096, &bcache_image::block());
    let lvm1 = |image: &mut [u8]| put(image, 0, b"HM\x01\0");
    let pool = |image: &mut [u8]| put(image, 0, &[0, 0, 0, 0, 0, 1, 0x16, 0x70]);
    let puts: [(&str, Put); 3] = [("bcache", &bcache), ("lvm1", &lvm1), ("gfs_pool", &pool)];
    for (format, put) in puts {
        let image = changed(&bare(), put);
        check(&image, "member", None, &[]);
        assert_eq!(scan(&image).1.len(), 1, "{format}");
        for look in [When::Labelled, When::Asked] {
            let claims = claims(&image, look);
            assert!(claims.len() == 1 && claims[0].starts_with(format), "{claims:?}");
        }
    }
    for version in ["1.1", "1.2"] {
        let claims = claims(&array_member(version, &bare()), When::Asked);
        assert!(claims.len() == 1 && claims[0].contains("of md"), "{claims:?}");
    }
}

#[test]
fn what_proves_nothing_counts_only_where_a_pv_leaves_room() {
    let jmicron = |image: &mut [u8]| {
        let place = image.len() - 512;
        put(image, place, b"JM\0\0\xb6\xb2");
    };
    let puts: [(&str, Put, u64); 2] = [("drbd", &put_drbd, 4096), ("jmicron", &jmicron, 512)];
    for (format, put, length) in puts {
        let with = |dev_size| changed(&PvSpec { dev_size: Some(dev_size), ..member() }, put);
        let size = 256 << 10;
        for look in [When::Labelled, When::Asked] {
            assert!(claims(&with(size - length), look)[0].contains(format), "the PV is on what is replicated");
            for dev_size in [size - length + 1, size] {
                let claims = claims(&with(dev_size), look);
                assert!(claims[0] == "PV" && claims[1].contains(format), "an LV of it is: {claims:?}");
            }
            assert!(claims(&with(size + 1), look)[0].contains(format), "the PV is larger than the device");
        }
    }
}

/// A reserved block without a table proves nothing where a PV reaches over it.
#[test]
fn a_weak_claim_is_less_than_a_pv_that_reaches_over_it() {
    for (dev_size, kind, seqno, codes) in
        [(248 << 10, "member", None, &[][..]), (256 << 10, "pv", Some(1), &[Code::OtherClaim])]
    {
        let spec = PvSpec { dev_size: Some(dev_size), ..member() };
        let image = changed(&spec, |image| put_pieces(image, &asr::pieces(256 << 10, 0, &[]).unwrap()[..1]));
        check(&image, kind, seqno, codes);
    }
}

#[test]
fn a_member_whose_sections_cannot_be_read_is_one() {
    let image = changed(&member(), |image| {
        let headers = Some([64, 128]);
        put_pieces(image, &ddf::pieces(256 << 10, &ddf::Spec { headers, ..ddf::Spec::default() }).unwrap());
    });
    let read = |bad: bool| {
        let (verdict, reads) = scan_device(image.len(), |_, range| match range.offset {
            0 | 130_560.. => Ok(part(&image, range)),
            _ if bad => Err(ReadError::Io(5)),
            _ => Ok(part(&image, range)),
        });
        let Verdict::Member { member, findings } = verdict else { panic!("{verdict:?}") };
        assert_eq!(findings, []);
        (member.name, reads.len())
    };
    assert_eq!(read(false), (Some(b"mirror".to_vec()), 5 + 5));
    assert_eq!(read(true), (None, 5 + 2));
}

#[test]
fn what_proves_nothing_counts_as_little_in_the_head() {
    let bcachefs = changed(&bare(), |image| {
        let magic = [0xc6, 0x85, 0x73, 0xf6, 0x66, 0xce, 0x90, 0xa9, 0xd9, 0x6a, 0x60, 0xcf, 0x80, 0x3d, 0xf7, 0xef];
        put(image, 4096 + 24, &magic);
        put(image, 4096 + 104, &[8]);
        put(image, 4096 + 123, &[1]);
    });
    for look in [When::Labelled, When::Asked] {
        assert_eq!(claims(&bcachefs, look), ["PV", "bcachefs 0, 1 device"]);
    }
    let no_label = [&[0; 4096][..], &bcachefs[4096..]].concat();
    assert_eq!(claims(&no_label, When::Labelled), ["bcachefs 0, 1 device"]);
}

#[test]
fn lvm_takes_a_device_with_a_label_whatever_else_is_there() {
    let image = changed(&bare(), put_swap);
    check(&image, "pv", None, &[Code::OtherClaim]);
    for look in [When::Labelled, When::Asked] {
        assert_eq!(claims(&image, look), ["PV", "swap 1"]);
    }
    let mut no_label = image;
    no_label[512..1024].fill(0);
    assert_eq!(claims(&no_label, When::Labelled), ["swap 1"]);
}

/// The order is that of the signatures: arrays, caches and replicas, what LVM rejects, the rest.
#[test]
fn who_comes_first_of_two_and_both_are_told() {
    let md = "active device 0 of md 1.0 array host:array (11111111:11111111:11111111:11111111), raid1 of 2 devices";
    let bcache = "bcache 1 label (11111111-1111-1111-1111-111111111111)";
    let image = changed(&bare(), |image| {
        put(image, 4096, &bcache_image::block());
        put(image, 0, b"HM\x01\0");
    });
    for look in [When::Labelled, When::Asked] {
        assert_eq!(claims(&image, look), [bcache, "lvm1 1"]);
    }
    let (place, superblock) = superblock("1.0", 256 << 10).unwrap();
    let image = changed(&PvSpec { dev_size: Some(128 << 10), ..bare() }, |image| {
        put(image, place.try_into().unwrap(), &superblock);
        put_drbd(image);
        put_swap(image);
    });
    for look in [When::Labelled, When::Asked] {
        assert_eq!(claims(&image, look), [md, "drbd v09", "swap 1"]);
    }
    let filling = changed(&bare(), |image| {
        put(image, place.try_into().unwrap(), &superblock);
        put_drbd(image);
    });
    assert_eq!(claims(&filling, When::Labelled), [md, "drbd v09"], "what is strong counts all the same");
}
