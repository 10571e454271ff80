//! Members of arrays of firmware that mdadm made, against what mdadm and blkid say of them: see
//! `tests/images/README.md`.

#[path = "common/examined.rs"]
mod examined;

use examined::Examined;
use pvwatch::metadata::TextCache;
use pvwatch::scan::{ByteRange, Scan, Step, Verdict};
use pvwatch::signature::{Medium, When};
use serde_json::Value;
use std::io::Read;

struct Disk {
    name: String,
    size: u64,
    pieces: Vec<(u64, Vec<u8>)>,
    mdadm: Vec<String>,
    blkid: Value,
}

fn disks() -> Vec<Disk> {
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(&include_bytes!("images/firmware.bin.gz")[..]).read_to_end(&mut bytes).unwrap();
    let mut bytes = &bytes[..];
    let described: Value = serde_json::from_str(include_str!("images/firmware.json")).unwrap();
    let disks = described.as_array().unwrap().iter().map(|disk| Disk {
        name: disk["name"].as_str().unwrap().into(),
        size: disk["size"].as_u64().unwrap(),
        pieces: disk["pieces"]
            .as_array()
            .unwrap()
            .iter()
            .map(|piece| {
                let (first, rest) = bytes.split_at(usize::try_from(piece[1].as_u64().unwrap()).unwrap());
                bytes = rest;
                (piece[0].as_u64().unwrap(), first.to_vec())
            })
            .collect(),
        mdadm: disk["mdadm_examine"].as_array().unwrap().iter().map(|line| line.as_str().unwrap().into()).collect(),
        blkid: disk["blkid"].clone(),
    });
    let disks = disks.collect();
    assert!(bytes.is_empty());
    disks
}

impl Disk {
    /// What is between the pieces is zeros.
    fn read(&self, range: ByteRange) -> Vec<u8> {
        let mut bytes = vec![0; range.length];
        for (offset, piece) in &self.pieces {
            for (at, byte) in (*offset..).zip(piece).filter(|(at, _)| *at >= range.offset) {
                let at = usize::try_from(at - range.offset).unwrap();
                if at < bytes.len() {
                    bytes[at] = *byte;
                }
            }
        }
        bytes
    }

    fn scan(&self, is_partition: bool, look: When) -> (Verdict, usize) {
        let (mut scan, mut step) = Scan::begin(Medium { size: self.size, is_partition }, look);
        let mut texts = TextCache::new();
        for reads in 0.. {
            match step {
                Step::Done(verdict) => return (verdict, reads),
                Step::Read(range) => step = scan.handle_read(&mut texts, Ok(&self.read(range))),
            }
        }
        unreachable!("it ends")
    }

    fn has_label(&self) -> bool {
        self.read(ByteRange { offset: 512, length: 8 }) == b"LABELONE"
    }
}

#[test]
fn members_are_those_that_mdadm_and_blkid_know() {
    let disks = disks();
    assert_eq!(disks.len(), 14);
    for disk in disks {
        let (verdict, reads) = disk.scan(false, When::Asked);
        let Verdict::Member { member, findings } = verdict else { panic!("{}: {verdict:?}", disk.name) };
        assert_eq!(findings, [], "{}", disk.name);
        let lines = disk.mdadm.iter().map(String::as_str).collect::<Vec<_>>();
        assert_eq!(Examined::from(&*member), Examined::new(&lines), "{}", disk.name);
        let format = match disk.blkid["TYPE"].as_str().unwrap() {
            "isw_raid_member" => "imsm",
            "ddf_raid_member" => "ddf",
            other => panic!("{other}"),
        };
        assert_eq!((member.format, disk.blkid["VERSION"].as_str()), (format, Some(&*member.version)), "{}", disk.name);
        assert!(!member.is_weak);
        assert!(reads <= 40, "{}: {reads} reads", disk.name);
    }
}

/// The PV on the array is seen at the beginning of some of its disks.
#[test]
fn the_array_is_the_pv_and_its_disks_are_not() {
    let labelled = disks().into_iter().filter(Disk::has_label).collect::<Vec<_>>();
    let names = labelled.iter().map(|disk| &*disk.name).collect::<Vec<_>>();
    assert_eq!(names, ["dr0-b", "d3-b", "i1-a"]);
    for disk in &labelled {
        let (verdict, _) = disk.scan(false, When::Labelled);
        assert!(matches!(verdict, Verdict::Member { .. }), "{}: {verdict:?}", disk.name);
        // No firmware makes an array of partitions.
        let (verdict, _) = disk.scan(true, When::Labelled);
        assert!(matches!(verdict, Verdict::Pv(_)), "{}: {verdict:?}", disk.name);
    }
}
