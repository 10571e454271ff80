//! Messages end with `\n##\n`; there is no length field. The stream may be cut anywhere.

use crate::cache::TERMINATOR;

/// The largest message taken. A VG of 100,000 LVs is about 30 MB.
pub const MESSAGE_MAX: usize = 96 << 20;

/// Room that is kept for the next message after a large one.
const KEPT_CAPACITY: usize = 64 << 10;

/// Bytes received and not yet handled.
///
/// `handled ≤ searched ≤ bytes.len()`, and no terminator begins between `handled` and `searched`.
#[derive(Debug, Default)]
pub struct Frames {
    bytes: Vec<u8>,
    handled: usize,
    searched: usize,
}

/// A message longer than [`MESSAGE_MAX`].
#[derive(Debug, PartialEq, Eq)]
pub struct TooLarge;

impl Frames {
    pub fn push(&mut self, received: &[u8]) {
        self.bytes.extend_from_slice(received);
    }

    /// Memory held.
    pub fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// Whether part of a message is waiting for its rest.
    pub fn is_partial(&self) -> bool {
        self.handled < self.bytes.len()
    }

    pub fn first_byte(&self) -> Option<u8> {
        self.bytes.get(self.handled).copied()
    }

    /// The next whole message without its terminator. A message ends at its terminator; where
    /// that is one byte, as in the other protocol served here, give that.
    pub fn next(&mut self, terminator: &[u8]) -> Result<Option<&[u8]>, TooLarge> {
        match memchr::memmem::find(&self.bytes[self.searched..], terminator) {
            Some(at) => {
                let message = self.handled..self.searched + at;
                self.handled = message.end + terminator.len();
                self.searched = self.handled;
                if message.len() > MESSAGE_MAX { Err(TooLarge) } else { Ok(Some(&self.bytes[message])) }
            }
            None => {
                self.forget_handled();
                // The terminator may have begun.
                self.searched = self.bytes.len().saturating_sub(terminator.len() - 1);
                if self.searched > MESSAGE_MAX { Err(TooLarge) } else { Ok(None) }
            }
        }
    }

    /// The next message of lvmetad's protocol.
    pub fn next_request(&mut self) -> Result<Option<&[u8]>, TooLarge> {
        self.next(TERMINATOR)
    }

    fn forget_handled(&mut self) {
        if self.handled == self.bytes.len() {
            self.bytes.clear();
            self.bytes.shrink_to(KEPT_CAPACITY);
        } else if self.handled > 0 {
            self.bytes.drain(..self.handled);
        }
        self.handled = 0;
        self.searched = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(frames: &mut Frames) -> Vec<String> {
        let mut out = Vec::new();
        while let Some(message) = frames.next_request().unwrap() {
            out.push(String::from_utf8(message.to_vec()).unwrap());
        }
        out
    }

    #[test]
    fn a_stream_may_be_cut_anywhere() {
        let stream = b"request=\"a\"\n\n##\nb=\"#\"\n#\n##x\n##\n\n##\n\n##\nrest";
        let expected = ["request=\"a\"\n", "b=\"#\"\n#\n##x", "", ""];
        for cut in 0..stream.len() {
            let mut frames = Frames::default();
            frames.push(&stream[..cut]);
            let mut messages = all(&mut frames);
            frames.push(&stream[cut..]);
            messages.extend(all(&mut frames));
            assert_eq!(messages, expected, "cut at {cut}");
            assert!(frames.is_partial());
        }
        let mut frames = Frames::default();
        let mut messages = Vec::new();
        for byte in stream {
            frames.push(&[*byte]);
            messages.extend(all(&mut frames));
        }
        assert_eq!(messages, expected);
    }

    #[test]
    fn a_message_over_the_limit_is_refused_before_it_ends() {
        let mut frames = Frames::default();
        frames.push(&vec![b'x'; MESSAGE_MAX]);
        frames.push(b"\n##");
        assert_eq!(frames.next_request(), Ok(None));
        frames.push(b"y");
        assert_eq!(frames.next_request(), Err(TooLarge));
    }

    #[test]
    fn memory_of_a_large_message_is_given_back() {
        let mut frames = Frames::default();
        frames.push(&vec![b'x'; 10 << 20]);
        frames.push(TERMINATOR);
        assert!(frames.next_request().unwrap().is_some());
        assert_eq!(frames.next_request(), Ok(None));
        assert!(frames.capacity() <= KEPT_CAPACITY);
    }
}
