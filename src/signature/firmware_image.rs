//! Makes members of arrays of firmware, for tests, simulation and fuzzing.

pub use super::asr::image as asr;
pub use super::ddf::image as ddf;
pub use super::imsm::image as imsm;

/// Structures, and where they are.
pub type Pieces = Vec<(u64, Vec<u8>)>;

pub const FORMATS: [&str; 3] = ["ddf", "imsm", "asr"];

/// What makes a device of this size a member of a mirror of two; `None` if there is no room.
pub fn mirror(format: &str, device_size: u64) -> Option<Pieces> {
    match format {
        "ddf" => ddf::pieces(device_size, &ddf::Spec::default()),
        "imsm" => imsm::pieces(device_size, 512, &imsm::superblock(&[2, 2], &[imsm::MIRROR])),
        _ => {
            let table = u32::try_from(device_size / 512).ok()?.checked_sub(32)?;
            asr::pieces(device_size, table, &asr::MIRROR)
        }
    }
}
