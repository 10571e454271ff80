//! How sizes are written.

/// What `--units` and `--nosuffix` say.
#[derive(Clone, Debug, PartialEq)]
pub struct Units {
    /// The letter, or `None` for a unit of a number of bytes.
    pub letter: Option<u8>,
    /// Bytes of one unit; 0 for those that fit themselves to the size (`r`, `h` and `H`).
    pub factor: f64,
    pub suffix: bool,
}
