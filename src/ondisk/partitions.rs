//! Partition tables, as far as LVM knows of them.

use super::{Error, Fields};

/// From the start of the disk (linux/genhd.h, and `struct partition` in lvm2's
/// lib/device/dev-type.c):
///
/// | offset | size | field |
/// |---|---|---|
/// | 446 | 16 | the first of four entries |
/// | 510 | 2 | 0xaa55 |
///
/// and of each entry
///
/// | offset | size | field |
/// |---|---|---|
/// | 0 | 1 | 0x80 for the one to boot from, else 0 |
/// | 12 | 4 | sectors |
///
/// A GPT has such a table before it, with one entry over all of the disk. By that LVM 2.03.16 knows
/// it, and so do blkid and Linux: none takes a header of a GPT alone for a table, and LVM does not
/// ask whether the GPT has any partitions.
const TABLE_OFFSET: usize = 446;
const ENTRIES: usize = 4;
const MAGIC: [u8; 2] = [0x55, 0xaa];

/// Whether there is a table with anything in it.
pub fn has_table(head: &[u8]) -> bool {
    has_entries(head).unwrap_or(false)
}

fn has_entries(head: &[u8]) -> Result<bool, Error> {
    let mut fields = Fields::new(head);
    fields.bytes::<TABLE_OFFSET>()?;
    let mut any = false;
    for _ in 0..ENTRIES {
        let [boot] = fields.bytes()?;
        fields.bytes::<11>()?;
        let sectors = fields.u32()?;
        if boot & 0x7f != 0 {
            return Ok(false);
        }
        any |= sectors != 0;
    }
    Ok(fields.bytes()? == MAGIC && any)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ondisk::image::put_partition_table;

    fn sector(changes: &[(usize, u8)]) -> [u8; 512] {
        let mut sector = [0; 512];
        put_partition_table(&mut sector);
        for (offset, byte) in changes {
            sector[*offset] = *byte;
        }
        sector
    }

    /// What `lvm pvs` 2.03.16 said of a disk of 4096-byte sectors, which has its GPT at 4096 and so
    /// leaves a label in sector 1 as it is: "device is partitioned", or that it is a PV.
    #[test]
    fn a_gpt_is_known_by_the_table_before_it() {
        let mut entry = [0; 16];
        entry[..8].copy_from_slice(&[0, 0, 2, 0, 0xee, 0xff, 0xff, 0xff]);
        entry[8] = 1;
        entry[12..].fill(0xff);
        for (has_table_before, has_header, has_partition, is_partitioned) in [
            (true, true, true, true),
            (true, true, false, true),
            (true, false, false, true),
            (false, true, true, false),
            (false, false, false, false),
        ] {
            for sector_size in [512, 4096] {
                let mut head = vec![0; 16 << 10];
                if has_table_before {
                    head[446..462].copy_from_slice(&entry);
                    head[510..512].copy_from_slice(&MAGIC);
                }
                if has_header {
                    head[sector_size..][..8].copy_from_slice(b"EFI PART");
                }
                head[2 * sector_size] = u8::from(has_partition);
                assert_eq!(has_table(&head), is_partitioned);
            }
        }
    }

    #[test]
    fn a_table_has_a_magic_and_an_entry() {
        assert!(has_table(&sector(&[])));
        assert!(has_table(&sector(&[(446, 0x80)])));
        assert!(has_table(&sector(&[(446 + 12, 0), (446 + 48 + 15, 1)])));
        assert!(!has_table(&sector(&[(446 + 12, 0)])), "it is empty");
        assert!(!has_table(&sector(&[(446 + 16, 1)])), "no boot flag, so a boot sector with other contents");
        assert!(!has_table(&sector(&[(511, 0)])));
        for length in 0..512 {
            assert!(!has_table(&sector(&[])[..length]));
        }
    }
}
