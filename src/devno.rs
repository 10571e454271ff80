//! The number of a block device.

#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects, clippy::expect_used, clippy::indexing_slicing))]

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;

#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DevNo {
    pub major: u32,
    pub minor: u32,
}

impl DevNo {
    pub const fn new(major: u32, minor: u32) -> DevNo {
        DevNo { major, minor }
    }

    /// `st_rdev` as the C library lays it out and as lvmetad's protocol carries it: minor bits
    /// 0-7, major bits 0-11 from bit 8, the other minor bits from bit 20, the other major bits
    /// from bit 44 (sysmacros.h, `gnu_dev_makedev`).
    pub const fn to_dev_t(self) -> u64 {
        let (major, minor) = (self.major as u64, self.minor as u64);
        (minor & 0xff) | (major & 0xfff) << 8 | (minor & !0xff) << 12 | (major & !0xfff) << 32
    }

    /// When LVM's commands come to the device: their tree of devices goes by the bytes of the lower half
    /// of the number, from the lowest one on.
    #[expect(clippy::cast_possible_truncation, reason = "LVM keeps the lower 32 bits")]
    pub const fn turn(self) -> u32 {
        (self.to_dev_t() as u32).swap_bytes()
    }

    #[expect(clippy::cast_possible_truncation, reason = "each half is masked to its 32 bits")]
    pub const fn from_dev_t(dev: u64) -> DevNo {
        let major = (dev >> 8 & 0xfff) | (dev >> 32 & 0xffff_f000);
        let minor = (dev & 0xff) | (dev >> 12 & 0xffff_ff00);
        DevNo { major: major as u32, minor: minor as u32 }
    }

    /// The number as lvmetad's protocol carries it, in an integer with a sign.
    pub const fn to_wire(self) -> i64 {
        self.to_dev_t().cast_signed()
    }

    pub const fn from_wire(device: i64) -> DevNo {
        DevNo::from_dev_t(device.cast_unsigned())
    }

    /// Reads `MAJOR:MINOR`, the form sysfs uses.
    pub fn parse(text: &str) -> Option<DevNo> {
        let (major, minor) = text.split_once(':')?;
        Some(DevNo { major: major.parse().ok()?, minor: minor.parse().ok()? })
    }
}

impl fmt::Display for DevNo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.major, self.minor)
    }
}

impl fmt::Debug for DevNo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// As `MAJOR:MINOR`.
impl Serialize for DevNo {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for DevNo {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<DevNo, D::Error> {
        let text = String::deserialize(deserializer)?;
        DevNo::parse(&text).ok_or_else(|| de::Error::custom("a device's number is MAJOR:MINOR"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dev_t_is_the_c_librarys() {
        assert_eq!(DevNo::new(7, 40).to_dev_t(), 1832);
        assert_eq!(DevNo::new(259, 300).to_dev_t(), 259 << 8 | 0x2c | 1 << 20);
        for devno in [DevNo::new(8, 0), DevNo::new(253, 524_288), DevNo::new(0xffff_ffff, 0xffff_ffff)] {
            assert_eq!(DevNo::from_dev_t(devno.to_dev_t()), devno);
        }
    }

    #[test]
    fn text_is_major_colon_minor() {
        assert_eq!(DevNo::parse("7:40"), Some(DevNo::new(7, 40)));
        assert_eq!(DevNo::new(7, 40).to_string(), "7:40");
        assert_eq!(DevNo::parse("7"), None);
        assert_eq!(DevNo::parse("-7:1"), None);
    }
}
