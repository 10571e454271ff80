//! What blkid says of devices that belong to others, against what we say of them: images by the
//! tools of those others where they are installed, else with the fewest bytes that blkid wants.

use pvwatch::metadata::TextCache;
use pvwatch::scan::{Scan, Step, Verdict};
use pvwatch::signature::{Medium, Member, When};
use std::collections::BTreeMap;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Command, Stdio};

/// One that is in `/usr/sbin`, too; `None` with a word about it if there is none.
fn tool(name: &str) -> Option<Command> {
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
    let found = path.split(':').map(|folder| Path::new(folder).join(name)).find(|path| path.is_file());
    if found.is_none() {
        let test = std::thread::current().name().unwrap_or_default().to_owned();
        println!("skipped: blkid, {test}: there is no {name}");
    }
    found.map(Command::new)
}

const SIZE: u64 = 8 << 20;

struct Image {
    folder: tempfile::TempDir,
    size: u64,
}

impl Image {
    fn new(size: u64) -> Image {
        let image = Image { folder: tempfile::tempdir().unwrap(), size };
        std::fs::File::create_new(image.path()).unwrap().set_len(size).unwrap();
        image
    }

    fn path(&self) -> std::path::PathBuf {
        self.folder.path().join("image")
    }

    fn put(&self, place: u64, bytes: &[u8]) {
        std::fs::File::options().write(true).open(self.path()).unwrap().write_all_at(bytes, place).unwrap();
    }

    /// Has a tool make it; `false` if there is none.
    fn make(&self, name: &str, arguments: &[&str]) -> bool {
        let Some(mut tool) = tool(name) else { return false };
        let path = self.path();
        let arguments =
            arguments.iter().map(|argument| if *argument == "IMAGE" { path.as_os_str() } else { argument.as_ref() });
        let output = tool.args(arguments).stdin(Stdio::null()).output().unwrap();
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
        true
    }

    fn member(&self) -> Option<Member> {
        let file = std::fs::File::open(self.path()).unwrap();
        let mut texts = TextCache::new();
        let (mut scan, mut step) = Scan::begin(Medium { size: self.size, is_partition: false }, When::Asked);
        loop {
            match step {
                Step::Read(range) => {
                    let mut bytes = vec![0; range.length];
                    file.read_exact_at(&mut bytes, range.offset).unwrap();
                    step = scan.handle_read(&mut texts, Ok(&bytes));
                }
                Step::Done(Verdict::Member { member, .. }) => return Some(*member),
                Step::Done(_) => return None,
            }
        }
    }

    /// Compares; the name of the UUID is that of what we call so.
    fn check(&self, format: &str, blkid_type: &str, uuid: &str) {
        let Some(mut blkid) = tool("blkid") else { return };
        let output = blkid.args(["-p", "-o", "export"]).arg(self.path()).output().unwrap();
        let output = String::from_utf8(output.stdout).unwrap();
        let said = output.lines().filter_map(|line| line.split_once('=')).collect::<BTreeMap<_, _>>();
        let member = self.member().unwrap_or_else(|| panic!("{format}: {said:?}"));
        assert_eq!((member.format, said.get("TYPE")), (format, Some(&blkid_type)));
        // Of BlueStore, later versions of blkid take a part of the UUID for the version.
        if let Some(version) = said.get("VERSION").filter(|_| format != "bluestore") {
            assert_eq!(member.version, *version, "{format}");
        }
        if let Some(label) = said.get("LABEL") {
            assert_eq!(member.name.as_deref(), Some(label.as_bytes()), "{format}");
        }
        if !uuid.is_empty() {
            assert_eq!(member.uuid.as_deref(), said.get(uuid).copied(), "{format}");
        }
    }
}

#[test]
fn swap() {
    for page_size in ["4096", "8192", "16384", "32768", "65536"] {
        let image = Image::new(SIZE);
        if image.make("mkswap", &["-p", page_size, "-L", "label", "IMAGE"]) {
            image.check("swap", "swap", "UUID");
        }
    }
}

#[test]
fn luks() {
    let key = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(key.path(), "key").unwrap();
    let common =
        ["--batch-mode", "--pbkdf-force-iterations", "1000", "luksFormat", "IMAGE", key.path().to_str().unwrap()];
    let image = Image::new(32 << 20);
    if image.make("cryptsetup", &[&["--type", "luks1"][..], &common].concat()) {
        image.check("luks", "crypto_LUKS", "UUID");
    }
    let image = Image::new(32 << 20);
    if image.make("cryptsetup", &[&["--type", "luks2", "--pbkdf", "pbkdf2", "--label", "label"][..], &common].concat())
    {
        image.check("luks", "crypto_LUKS", "UUID");
        assert!(!image.member().unwrap().is_weak, "its checksum is right");
        image.put(0, &[0; 4096]);
        image.check("luks", "crypto_LUKS", "UUID");
        assert_eq!(image.member().unwrap().offset, 16 << 10);
    }
}

#[test]
fn verity() {
    let (image, data) = (Image::new(SIZE), Image::new(SIZE));
    if image.make("veritysetup", &["format", data.path().to_str().unwrap(), "IMAGE"]) {
        image.check("verity", "DM_verity_hash", "UUID");
    }
}

/// As make-bcache and drbdmeta wrote them.
#[test]
fn bcache_and_drbd() {
    let magic = b"\xc6\x85\x73\xf6\x4e\x1a\x45\xca\x82\x65\xf5\x7f\x48\xba\x6d\x81";
    let uuid = b"\xcf\x43\xb4\xf9\x71\xaa\x4a\x1e\x8e\x81\xee\xcb\xd7\x41\x4a\x3b";
    let set = b"\xad\xaa\x72\x74\x75\x75\x44\x4a\xa7\x17\xfe\x24\x49\xec\xcc\xc8";
    let sum = b"\x3c\xc5\x3c\xff\x04\xfc\xf4\xe5";
    let image = Image::new(SIZE);
    let pieces: [(usize, &[u8]); 8] =
        [(0, sum), (8, &[8]), (16, &[1]), (24, magic), (40, uuid), (56, set), (192, &[8]), (195, &[4])];
    image.put(4096, &block(200, &pieces));
    image.check("bcache", "bcache", "UUID");
    for (version, peers) in [(0x6b, 0), (0x6c, 0), (0x6d, 1)] {
        let image = Image::new(SIZE);
        let start = [0x83, 0x74, 0x02, version, 0, 0, 0, 0x50, 0xff, 0xff, 0xff, 0xc0, 0, 0, 1, 1];
        let pieces: [(usize, &[u8]); 5] = [(7, &[4]), (40, &[0xab; 16]), (59, &[0x80]), (60, &start), (91, &[peers])];
        image.put(SIZE - 4096, &block(4096, &pieces));
        image.check("drbd", "drbd", "UUID");
    }
}

/// A superblock of a controller's firmware, in words of this size that add up to 0.
fn summed(mut block: Vec<u8>, sum_at: usize, covered: usize, word: usize) -> Vec<u8> {
    let value = |word: &[u8]| word.iter().rev().fold(0_u64, |value, byte| value << 8 | u64::from(*byte));
    let sum = block[..covered].chunks(word).fold(0, |sum: u64, word| sum.wrapping_add(value(word)));
    block[sum_at..sum_at + word].copy_from_slice(&sum.wrapping_neg().to_le_bytes()[..word]);
    block
}

/// These bytes of a block of zeros.
fn block(length: usize, pieces: &[(usize, &[u8])]) -> Vec<u8> {
    let mut block = vec![0; length];
    for (at, bytes) in pieces {
        block[*at..at + bytes.len()].copy_from_slice(bytes);
    }
    block
}

/// dmraid takes each of these for a member of a mirror, too.
#[test]
fn firmware_raid() {
    let check = |place: u64, block: &[u8], format: &str, blkid_type: &str| {
        let image = Image::new(SIZE);
        image.put(place, block);
        image.check(format, blkid_type, "");
        let member = image.member().unwrap();
        assert_eq!((member.level.as_deref(), member.offset), (Some("raid1"), place), "{format}");
    };
    let last = SIZE - 512;
    let nvidia = block(120, &[(0, b"NVIDIA  \x1e"), (16, &[100, 0, 1]), (56, &[1; 16]), (73, &[1, 2, 1, 0x81])]);
    check(SIZE - 1024, &summed(nvidia, 12, 120, 4), "nvidia", "nvidia_raid_member");
    let promise = block(2048, &[(0, b"Promise Technology, Inc."), (543, &[1, 2])]);
    let mut promise = summed(promise, 2044, 2044, 4);
    let sum = u32::from_le_bytes(*promise[2044..].first_chunk().unwrap()).wrapping_neg();
    promise[2044..].copy_from_slice(&sum.to_le_bytes());
    for sectors in [16, 63, 255, 256, 399, 591, 675, 735, 911, 951, 974, 991, 3087] {
        check(SIZE - sectors * 512, &promise, "promise", "promise_fasttrack_raid_member");
    }
    let silicon = block(512, &[(99, &[0x2f]), (264, &[1, 0, 2]), (278, &[1, 1, 0, 0, 2])]);
    check(last, &summed(silicon, 318, 318, 2), "silicon_image", "silicon_medley_raid_member");
    let jmicron = block(128, &[(0, b"JM\x02\x01"), (17, &[7]), (32, b"array"), (48, &[1]), (65, &[5, 0, 0, 0, 7])]);
    check(last, &summed(jmicron, 4, 128, 2), "jmicron", "jmicron_raid_member");
    let mut via = block(51, &[(0, &[0x55, 0xaa, 1, 1 << 3 | 4, 2 << 2, 2]), (14, b"same"), (18, b"nonesame")]);
    via[50] = via.iter().fold(0, |sum, byte| sum.wrapping_add(*byte));
    check(last, &via, "via", "via_raid_member");
    check(last, &block(512, &[(0, b"$XIDE$"), (16, &[2])]), "lsi", "lsi_mega_raid_member");
    // Their version is the series, which blkid has in the type.
    let of_45x = block(48, &[(0, &[0xf3, 0x16, 0x78, 0x5a, 1]), (16, &[6, 2, 1])]);
    check(SIZE - 11 * 512, &of_45x, "highpoint", "hpt45x_raid_member");
    let of_37x = block(512, &[(32, &[0xf0, 0x16, 0x78, 0x5a, 1]), (48, &[2, 0, 1, 1])]);
    check(9 * 512, &of_37x, "highpoint", "hpt37x_raid_member");
}

#[test]
fn others() {
    let check = |pieces: &[(u64, &[u8])], format: &str, blkid_type: &str, uuid: &str| {
        let image = Image::new(SIZE);
        pieces.iter().for_each(|(place, bytes)| image.put(*place, bytes));
        image.check(format, blkid_type, uuid);
    };
    check(&[(0, b"SnAp\x01\0\0\0\x01\0\0\0\x08")], "snapshot", "DM_snapshot_cow", "");
    // As `integritysetup format` begins one.
    check(&[(0, b"integrt\0\x05\x0f\x04\0\x01")], "integrity", "DM_integrity", "");
    check(&[(0, b"dmvdo001"), (40, &[0x22; 16])], "vdo", "vdo", "UUID");
    check(&[(0, b"HM\x01"), (44, &[b'a'; 32])], "lvm1", "LVM1_member", "UUID");
    check(&[(0, b"\xeb\x52\x90-FVE-FS-"), (510, &[0x55, 0xaa])], "bitlocker", "BitLocker", "");
    let bluestore = b"bluestore block device\n331e7ad1-a8bb-4bef-aeae-60856be7525e\n";
    check(&[(0, bluestore)], "bluestore", "ceph_bluestore", "");
    check(&[(0, b"DRBDdlh*\x02"), (16, &[0x22; 16])], "drbdproxy", "drbdproxy_datalog", "UUID");
    let volume = (1 << 20, &b"\x0d\xd0\x01\xc0\x04"[..]);
    check(&[volume, ((1 << 20) + 532, b"4cc6e7d5-11223344-5566-778899aabbcc")], "vmfs", "VMFS_volume_member", "UUID");
    let stratis = block(512, &[(4, b"!Stra0tis\x86\xff\x02^\x41rh"), (32, &[b'a'; 64])]);
    let stratis = [&[0xf0, 0x62, 0xc8, 0x60][..], &stratis[4..]].concat();
    check(&[(512, &stratis)], "stratis", "stratis", "POOL_UUID");
    check(&[(4608, &stratis)], "stratis", "stratis", "POOL_UUID");
}
