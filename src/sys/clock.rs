//! The clock the core is told the time of.

use nix::time::{ClockId, clock_gettime};
use std::time::Duration;

/// Time of the monotonic clock, whose whole seconds lvmetad's protocol shows.
pub fn now() -> Duration {
    clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(Duration::ZERO, Duration::from)
}

/// Of one time. A format may ask for more, and gets nothing.
const FORMATTED_MAX: usize = 4096;

/// A time of the calendar of this machine, by a format of strftime's. Our locale is that of C,
/// whatever the environment says.
#[allow(unsafe_code, reason = "there is no other strftime")]
pub fn format(seconds: i64, format: &str) -> Vec<u8> {
    let Ok(format) = std::ffi::CString::new(format) else { return Vec::new() };
    let mut buffer = vec![0_u8; FORMATTED_MAX];
    // SAFETY: a tm of zeros is one, and localtime_r fills it in; strftime writes at most as many bytes
    // as the buffer has, and the format ends with a NUL.
    let length = unsafe {
        let mut time: nix::libc::tm = std::mem::zeroed();
        if nix::libc::localtime_r(&raw const seconds, &raw mut time).is_null() {
            return Vec::new();
        }
        nix::libc::strftime(buffer.as_mut_ptr().cast(), buffer.len(), format.as_ptr(), &raw const time)
    };
    buffer.truncate(length);
    buffer
}
