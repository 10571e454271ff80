//! Strings and numbers of a section, as LVM reads them.

use crate::text::{Scalar, Section};

pub fn string<'s>(section: &'s Section, key: &str) -> Option<&'s [u8]> {
    match section.value(key)?.scalars().first()? {
        Scalar::Str(bytes) => Some(bytes),
        Scalar::Int(_) | Scalar::Float(_) => None,
    }
}

pub fn find_number(section: &Section, key: &str) -> Option<u32> {
    section.int(key).map(low_32_bits)
}

pub fn number(section: &Section, key: &str) -> u64 {
    find_number(section, key).map_or(0, u64::from)
}

pub fn number64(section: &Section, key: &str) -> u64 {
    section.int(key).map_or(0, i64::cast_unsigned)
}

/// LVM keeps most numbers in 32 bits.
pub fn low_32_bits(value: i64) -> u32 {
    u32::try_from(value.cast_unsigned() & u64::from(u32::MAX)).unwrap_or(u32::MAX)
}
