//! Checksums that several formats have.

/// CRC-32C, as Stratis and bcachefs use it.
pub(super) fn crc32c(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 };
    !bytes.iter().fold(!0, |crc: u32, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}

/// CRC-64 with the polynomial of ECMA-182, both ends inverted, highest bit first: bcache's.
pub(super) fn crc64(bytes: &[u8]) -> u64 {
    let step = |crc: u64, _| if crc >> 63 == 1 { crc << 1 ^ 0x42f0_e1eb_a9ea_3693 } else { crc << 1 };
    !bytes.iter().fold(!0, |crc: u64, byte| (0..8).fold(crc ^ u64::from(*byte) << 56, step))
}

/// The 32-bit words, little-endian, added up.
pub(super) fn words_32(bytes: &[u8]) -> u32 {
    bytes.as_chunks().0.iter().fold(0, |sum: u32, word| sum.wrapping_add(u32::from_le_bytes(*word)))
}

/// The 16-bit words, little-endian, added up.
pub(super) fn words_16(bytes: &[u8]) -> u16 {
    bytes.as_chunks().0.iter().fold(0, |sum: u16, word| sum.wrapping_add(u16::from_le_bytes(*word)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_those_of_their_definitions() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc64(b"123456789"), 0x62ec_59e3_f1a4_f00a);
        assert_eq!(words_32(&[1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 9]), 0);
        assert_eq!(words_16(&[2, 1, 0xff, 0xff, 9]), 0x101);
    }
}
