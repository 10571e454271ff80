//! Numbers at fixed places of a structure, in either byte order.

/// In which order a number's bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Big,
    Little,
}

/// A structure; what it is too short for is `None`.
#[derive(Clone, Copy)]
pub(super) struct FieldsAt<'a> {
    pub bytes: &'a [u8],
    pub order: Order,
}

impl<'a> FieldsAt<'a> {
    pub fn array<const N: usize>(self, at: usize) -> Option<&'a [u8; N]> {
        self.bytes.get(at..)?.first_chunk()
    }

    pub fn u8(self, at: usize) -> Option<u8> {
        self.bytes.get(at).copied()
    }

    pub fn u16(self, at: usize) -> Option<u16> {
        self.array(at).map(|bytes| match self.order {
            Order::Big => u16::from_be_bytes(*bytes),
            Order::Little => u16::from_le_bytes(*bytes),
        })
    }

    pub fn u32(self, at: usize) -> Option<u32> {
        self.array(at).map(|bytes| match self.order {
            Order::Big => u32::from_be_bytes(*bytes),
            Order::Little => u32::from_le_bytes(*bytes),
        })
    }

    pub fn u64(self, at: usize) -> Option<u64> {
        self.array(at).map(|bytes| match self.order {
            Order::Big => u64::from_be_bytes(*bytes),
            Order::Little => u64::from_le_bytes(*bytes),
        })
    }
}

/// The bytes of a field, at a place that its structure always has.
pub(super) fn field<const N: usize>(structure: &[u8], at: usize) -> [u8; N] {
    let bytes = structure.get(at..).and_then(|rest| rest.first_chunk().copied());
    debug_assert!(bytes.is_some(), "a structure has room for its fields");
    bytes.unwrap_or([0; N])
}

/// Up to the first NUL, without the spaces that pad it; `None` if that is nothing.
pub(super) fn padded(bytes: &[u8]) -> Option<Vec<u8>> {
    let text = bytes.split(|byte| *byte == 0).next().unwrap_or_default().trim_ascii_end();
    (!text.is_empty()).then(|| text.to_vec())
}

/// In the usual groups; `None` if there is none.
pub(super) fn uuid_text(uuid: [u8; 16]) -> Option<String> {
    (uuid != [0; 16]).then(|| in_groups(&format!("{:032x}", u128::from_be_bytes(uuid))))
}

/// A UUID of 32 digits, with its hyphens.
pub(super) fn in_groups(hex: &str) -> String {
    let mut out = String::with_capacity(36);
    for (number, digit) in hex.chars().enumerate() {
        if matches!(number, 8 | 12 | 16 | 20) {
            out.push('-');
        }
        out.push(digit);
    }
    out
}

/// What several volumes say, if they all say the same.
pub(super) fn same<T: PartialEq>(mut said: impl Iterator<Item = T>) -> Option<T> {
    let first = said.next()?;
    said.all(|other| other == first).then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts() {
        assert_eq!(padded(b"a b  \0c").as_deref(), Some(&b"a b"[..]));
        assert_eq!(padded(b"  \0c"), None);
        assert_eq!(padded(b""), None);
        let uuid = std::array::from_fn(|number| u8::try_from(number).unwrap());
        assert_eq!(uuid_text(uuid).as_deref(), Some("00010203-0405-0607-0809-0a0b0c0d0e0f"));
        assert_eq!(uuid_text([0; 16]), None);
    }
}
