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
/// A GPT has such a table before it, with one entry over all of the disk.
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
