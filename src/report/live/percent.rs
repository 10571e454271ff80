//! How full, or how far.

/// As device-mapper counts: 100 %.
pub const FULL: u64 = 100_000_000;

/// In millionths of a percent. Whatever is not nothing or all does not look like it.
#[expect(clippy::cast_precision_loss, reason = "it is what libdevmapper does")]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "casts of floats saturate")]
pub fn percent(part: u64, whole: u64) -> u64 {
    if whole == 0 || part == whole {
        return FULL;
    }
    if part == 0 {
        return 0;
    }
    match (FULL as f64 * (part as f64 / whole as f64)) as u64 {
        FULL => FULL - 1,
        0 => 1,
        percent => percent,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_all_is_less() {
        for (part, whole, expected) in [
            (0, 5, 0),
            (5, 5, FULL),
            (0, 0, FULL),
            (3, 0, FULL),
            (1, 3, 33_333_333),
            (1, u64::MAX, 1),
            (u64::MAX - 1, u64::MAX, FULL - 1),
            (3, 2, 150_000_000),
        ] {
            assert_eq!(percent(part, whole), expected, "{part}/{whole}");
        }
        assert!(percent(u64::MAX, 1) > FULL);
    }
}
