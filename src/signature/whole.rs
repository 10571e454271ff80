//! What the tests of formats share: whole devices in memory.

use super::{Found, Known, Medium, Signature, When, search};
use crate::ondisk::{ByteRange, ReadError};

/// The end in one piece and, if that fails, two places in it; and what DDF's anchor leads to.
const READS_MAX: usize = 3 + 6;

/// A device of this size with these structures and zeros.
pub(super) fn with(size: usize, pieces: &[(u64, Vec<u8>)]) -> Vec<u8> {
    let mut image = vec![0; size];
    for (offset, piece) in pieces {
        let offset = usize::try_from(*offset).unwrap_or(usize::MAX);
        if let Some(place) = offset.checked_add(piece.len()).and_then(|end| image.get_mut(offset..end)) {
            place.copy_from_slice(piece);
        }
    }
    image
}

pub(super) fn look(signature: &Signature, image: &[u8]) -> Found {
    look_with(signature, image, false, |_| false)
}

pub(super) fn look_at_partition(signature: &Signature, image: &[u8]) -> Found {
    look_with(signature, image, true, |_| false)
}

/// Where these reads fail.
pub(super) fn look_with_errors(signature: &Signature, image: &[u8], fails: impl Fn(ByteRange) -> bool) -> Found {
    look_with(signature, image, false, fails)
}

fn look_with(signature: &Signature, image: &[u8], is_partition: bool, fails: impl Fn(ByteRange) -> bool) -> Found {
    let size = image.len() as u64;
    let mut known = Known::new(Medium { size, is_partition });
    for number in 0.. {
        let range = match search(&[signature], When::Labelled, &known) {
            Ok(found) => return found,
            Err(range) => range,
        };
        assert!(range.length > 0 && range.length <= 256 << 10 && range.end_within(size).is_some(), "{range:?}");
        let start = usize::try_from(range.offset).unwrap();
        let read = if fails(range) { Err(ReadError::Io(5)) } else { Ok(&image[start..start + range.length]) };
        known.put(range, read);
        assert!(number < READS_MAX, "it asks for ever");
    }
    unreachable!("it ends or panics")
}
