//! Messages end with `\n##\n`; there is no length field. The stream may be cut anywhere.

#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects, clippy::expect_used, clippy::indexing_slicing))]

use crate::text::TERMINATOR;

/// The largest message taken, unless something else is configured. A VG of 100,000 LVs is about 30 MB.
pub const MESSAGE_MAX: usize = 96 << 20;

/// A call of the other protocol is a JSON object that ends with a NUL.
const CALL_BEGIN: u8 = b'{';
pub const CALL_END: u8 = 0;
/// No call is longer; what is, is taken for a request.
const CALL_MAX: usize = 1 << 20;

/// Nor any that only reads: the longest names a path.
const READING_CALL_MAX: usize = 16 << 10;

/// Room that is kept for the next message after a larger one, by each of ten thousand clients.
const KEPT_CAPACITY: usize = 4 << 10;

/// Bytes received and not yet handled.
///
/// `handled ≤ searched ≤ bytes.len()`, and no terminator begins between `handled` and `searched`; no
/// call ends between `handled` and `searched_for_call`. What comes byte by byte is searched once.
#[derive(Debug)]
pub struct Frames {
    message_max: usize,
    bytes: Vec<u8>,
    handled: usize,
    searched: usize,
    searched_for_call: usize,
}

impl Default for Frames {
    fn default() -> Frames {
        Frames::new(MESSAGE_MAX)
    }
}

/// A message longer than is taken.
#[derive(Debug, PartialEq, Eq)]
pub struct TooLarge;

/// What is no call, or too long for one.
#[derive(Debug, PartialEq, Eq)]
pub struct NotACall;

impl Frames {
    /// No message of more bytes is taken.
    pub fn new(message_max: usize) -> Frames {
        Frames { message_max, bytes: Vec::new(), handled: 0, searched: 0, searched_for_call: 0 }
    }

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
        match memchr::memmem::find(self.from(self.searched), TERMINATOR) {
            Some(at) => {
                let most = self.message_max;
                let message = self.take(self.searched.saturating_add(at), TERMINATOR.len());
                if message.len() > most { Err(TooLarge) } else { Ok(Some(message)) }
            }
            None => {
                self.forget_handled();
                // The terminator may have begun.
                self.searched = self.bytes.len().saturating_sub(const { TERMINATOR.len() - 1 });
                if self.searched > self.message_max { Err(TooLarge) } else { Ok(None) }
            }
        }
    }

    /// The next message if it is a call of the other protocol served here: it begins with a brace
    /// and ends with a NUL. No request can begin so and be right, so whichever end comes first
    /// tells which it is.
    pub fn next_call(&mut self) -> Option<&[u8]> {
        if self.from(self.handled).first() != Some(&CALL_BEGIN) {
            return None;
        }
        let from = self.searched_for_call.max(self.handled);
        let most = self.bytes.len().min(self.handled.saturating_add(CALL_MAX));
        let Some(at) = memchr::memchr(CALL_END, self.bytes.get(from..most)?) else {
            self.searched_for_call = most;
            return None;
        };
        let end = from.saturating_add(at);
        if memchr::memmem::find(self.bytes.get(self.handled..end)?, TERMINATOR).is_some() {
            return None;
        }
        Some(self.take(end, 1))
    }

    /// The next call of a client who can only call, and nothing long.
    pub fn next_reading_call(&mut self) -> Result<Option<&[u8]>, NotACall> {
        if self.from(self.handled).first().is_some_and(|first| *first != CALL_BEGIN) {
            return Err(NotACall);
        }
        let end = memchr::memchr(CALL_END, self.from(self.searched)).map(|at| self.searched.saturating_add(at));
        if end.unwrap_or(self.bytes.len()).saturating_sub(self.handled) > READING_CALL_MAX {
            return Err(NotACall);
        }
        let Some(end) = end else {
            self.forget_handled();
            self.searched = self.bytes.len();
            return Ok(None);
        };
        Ok(Some(self.take(end, 1)))
    }

    fn from(&self, at: usize) -> &[u8] {
        self.bytes.get(at..).unwrap_or_default()
    }

    /// The message that ends there, with a terminator of this length behind it.
    fn take(&mut self, end: usize, terminator: usize) -> &[u8] {
        let message = self.handled..end;
        self.handled = end.saturating_add(terminator);
        self.searched = self.handled;
        self.bytes.get(message).unwrap_or_default()
    }

    fn forget_handled(&mut self) {
        if self.handled == self.bytes.len() {
            self.bytes.clear();
            self.bytes.shrink_to(KEPT_CAPACITY);
        } else if self.handled > 0 {
            self.bytes.drain(..self.handled);
        }
        self.searched_for_call = self.searched_for_call.saturating_sub(self.handled);
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

    /// Else each byte of a call that comes byte by byte costs a look at all of it.
    #[test]
    fn what_may_be_a_call_is_searched_once() {
        let mut frames = Frames::default();
        frames.push(b"request\n##\n{\"method\":");
        assert_eq!(frames.next_request().unwrap(), Some(&b"request"[..]));
        assert_eq!(frames.next_call(), None);
        assert_eq!(frames.next_request(), Ok(None));
        for (count, byte) in b"\"Status\"".iter().enumerate() {
            assert_eq!(frames.searched_for_call, b"{\"method\":".len() + count);
            frames.push(&[*byte]);
            assert_eq!(frames.next_call(), None);
            assert_eq!(frames.next_request(), Ok(None));
        }
        frames.push(b"}\0{\"next\"}\0{\n##\n{}\0");
        assert_eq!(frames.next_call(), Some(&b"{\"method\":\"Status\"}"[..]));
        assert_eq!(frames.next_call(), Some(&b"{\"next\"}"[..]));
        assert_eq!(frames.next_call(), None);
        assert_eq!(frames.next_request().unwrap(), Some(&b"{"[..]));
        assert_eq!(frames.next_call(), Some(&b"{}"[..]));
    }

    #[test]
    fn what_is_longer_than_any_call_is_none() {
        let mut frames = Frames::default();
        frames.push(b"{");
        for length in [CALL_MAX / 2, CALL_MAX / 2, 10] {
            frames.push(&vec![b'x'; length]);
            assert_eq!(frames.next_call(), None);
            assert_eq!(frames.next_request(), Ok(None));
        }
        frames.push(b"\0");
        assert_eq!(frames.next_call(), None);
        assert_eq!(frames.searched_for_call, CALL_MAX);
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
        let mut frames = Frames::new(1000);
        frames.push(&[b'x'; 1000]);
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
