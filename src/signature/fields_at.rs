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

/// A name padded with spaces or NUL; `None` if there is nothing else.
pub(super) fn padded(name: &[u8]) -> Option<&[u8]> {
    let name = name.split(|byte| *byte == 0).next()?.trim_ascii_end();
    (!name.is_empty()).then_some(name)
}

/// What several volumes say, if they all say the same.
pub(super) fn same<T: PartialEq>(mut said: impl Iterator<Item = T>) -> Option<T> {
    let first = said.next()?;
    said.all(|other| other == first).then_some(first)
}
