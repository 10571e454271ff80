//! What udev's database says of a device that a VG lies on.

/// Whether a device may be used, by udev.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// udevd does not run, or has dealt with the device and has nothing against it.
    Ready,
    /// udevd runs, and has not dealt with it yet.
    Awaited,
    /// As `PROPERTY=VALUE`.
    Refused(String),
}
