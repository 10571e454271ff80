//! Messages end with `\n##\n`; there is no length field. The stream may be cut anywhere.

use crate::text::TERMINATOR;

/// The largest message taken. A VG of 100,000 LVs is about 30 MB.
pub const MESSAGE_MAX: usize = 96 << 20;

/// A call of the other protocol is a JSON object that ends with a NUL.
const CALL_BEGIN: u8 = b'{';
pub const CALL_END: u8 = 0;
/// No call is longer; what is, is taken for a request.
const CALL_MAX: usize = 1 << 20;

/// Nor any that only reads: the longest names a path.
const READING_CALL_MAX: usize = 16 << 10;

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

/// What is no call, or too long for one.
#[derive(Debug, PartialEq, Eq)]
pub struct NotACall;

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

    /// The next request without its terminator.
    pub fn next_request(&mut self) -> Result<Option<&[u8]>, TooLarge> {
        match memchr::memmem::find(&self.bytes[self.searched..], TERMINATOR) {
            Some(at) => {
                let message = self.handled..self.searched + at;
                self.handled = message.end + TERMINATOR.len();
                self.searched = self.handled;
                if message.len() > MESSAGE_MAX { Err(TooLarge) } else { Ok(Some(&self.bytes[message])) }
            }
            None => {
                self.forget_handled();
                // The terminator may have begun.
                self.searched = self.bytes.len().saturating_sub(TERMINATOR.len() - 1);
                if self.searched > MESSAGE_MAX { Err(TooLarge) } else { Ok(None) }
            }
        }
    }

    /// The next message if it is a call of the other protocol served here: it begins with a brace
    /// and ends with a NUL. No request can begin so and be right, so whichever end comes first
    /// tells which it is.
    pub fn next_call(&mut self) -> Option<&[u8]> {
        let rest = &self.bytes[self.handled..];
        if rest.first() != Some(&CALL_BEGIN) {
            return None;
        }
        let rest = &rest[..rest.len().min(CALL_MAX)];
        let length = memchr::memchr(CALL_END, rest)?;
        if memchr::memmem::find(&rest[..length], TERMINATOR).is_some() {
            return None;
        }
        let call = self.handled..self.handled + length;
        self.handled = call.end + 1;
        self.searched = self.handled;
        Some(&self.bytes[call])
    }

    /// The next call of a client who can only call, and nothing long.
    pub fn next_reading_call(&mut self) -> Result<Option<&[u8]>, NotACall> {
        let rest = &self.bytes[self.handled..];
        if rest.first().is_some_and(|first| *first != CALL_BEGIN) {
            return Err(NotACall);
        }
        let end = memchr::memchr(CALL_END, &self.bytes[self.searched..]).map(|at| self.searched + at);
        if end.unwrap_or(self.bytes.len()) - self.handled > READING_CALL_MAX {
            return Err(NotACall);
        }
        let Some(end) = end else {
            self.forget_handled();
            self.searched = self.bytes.len();
            return Ok(None);
        };
        let call = self.handled..end;
        self.handled = end + 1;
        self.searched = self.handled;
        Ok(Some(&self.bytes[call]))
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
    fn calls_and_requests_may_share_a_stream() {
        let mut frames = Frames::default();
        frames.push(b"{\"method\":\"a\"}\0request=\"hello\"\n##\n{ not=json }\n##\n{\"method\"");
        assert_eq!(frames.next_call(), Some(&b"{\"method\":\"a\"}"[..]));
        assert_eq!(frames.next_call(), None);
        assert_eq!(frames.next_request(), Ok(Some(&b"request=\"hello\""[..])));
        assert_eq!(frames.next_call(), None);
        assert_eq!(frames.next_request(), Ok(Some(&b"{ not=json }"[..])));
        assert_eq!(frames.next_call(), None);
        assert_eq!(frames.next_request(), Ok(None));
        frames.push(b":1}\0");
        assert_eq!(frames.next_call(), Some(&b"{\"method\":1}"[..]));
    }

    #[test]
    fn who_can_only_call_sends_nothing_else() {
        let stream = b"{\"method\":\"a\"}\0{\n##\n}\0{\"method\"";
        for cut in 0..stream.len() {
            let mut frames = Frames::default();
            let mut calls = Vec::new();
            for part in [&stream[..cut], &stream[cut..]] {
                frames.push(part);
                while let Some(call) = frames.next_reading_call().unwrap() {
                    calls.push(call.to_vec());
                }
            }
            assert_eq!(calls, [&b"{\"method\":\"a\"}"[..], b"{\n##\n}"], "cut at {cut}");
            assert!(frames.is_partial());
        }
        for wrong in [&b"request=\"hello\""[..], b"\0", b"\n{}\0", b"[1]\0"] {
            let mut frames = Frames::default();
            frames.push(wrong);
            assert_eq!(frames.next_reading_call(), Err(NotACall));
        }
        let mut long = Frames::default();
        long.push(b"{}\0");
        long.push(&vec![b'{'; READING_CALL_MAX]);
        assert_eq!(long.next_reading_call(), Ok(Some(&b"{}"[..])));
        assert_eq!(long.next_reading_call(), Ok(None));
        long.push(b"\0");
        assert_eq!(long.next_reading_call().unwrap().map(<[u8]>::len), Some(READING_CALL_MAX));
        long.push(&vec![b'{'; READING_CALL_MAX + 1]);
        assert_eq!(long.next_reading_call(), Err(NotACall));
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
