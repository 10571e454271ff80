//! As much of D-Bus as it takes to talk to systemd: its messages, and the types that are in ours.
//!
//! What there is for Rust waits while it connects, or brings a runtime of its own (rustbus, zbus).

/// Longer ones are none of systemd's: the standard allows 128 MiB.
const MESSAGE_MAX: usize = 16 << 20;

const PATH: u8 = 1;
const INTERFACE: u8 = 2;
const MEMBER: u8 = 3;
const ERROR_NAME: u8 = 4;
const REPLY_SERIAL: u8 = 5;
const DESTINATION: u8 = 6;
const SIGNATURE: u8 = 8;

/// Not what it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Garbage;

/// Values one behind another, each where its type has to begin.
#[derive(Debug, Default)]
pub struct Writer(Vec<u8>);

impl Writer {
    pub fn align(&mut self, to: usize) -> &mut Writer {
        self.0.resize(self.0.len().next_multiple_of(to), 0);
        self
    }

    pub fn byte(&mut self, value: u8) -> &mut Writer {
        self.0.push(value);
        self
    }

    pub fn u32(&mut self, value: u32) -> &mut Writer {
        self.align(4).0.extend(value.to_le_bytes());
        self
    }

    pub fn u64(&mut self, value: u64) -> &mut Writer {
        self.align(8).0.extend(value.to_le_bytes());
        self
    }

    pub fn bool(&mut self, value: bool) -> &mut Writer {
        self.u32(value.into())
    }

    /// Nothing that is sent comes near to the length that does not fit.
    pub fn string(&mut self, text: &[u8]) -> &mut Writer {
        self.u32(u32::try_from(text.len()).unwrap_or(u32::MAX));
        self.0.extend_from_slice(text);
        self.byte(0)
    }

    pub fn signature(&mut self, text: &str) -> &mut Writer {
        self.byte(u8::try_from(text.len()).unwrap_or(u8::MAX));
        self.0.extend_from_slice(text.as_bytes());
        self.byte(0)
    }

    /// Elements that begin at multiples of `alignment`.
    pub fn array(&mut self, alignment: usize, write: impl FnOnce(&mut Writer)) -> &mut Writer {
        self.u32(0);
        let length_at = self.0.len() - 4;
        let start = self.align(alignment).0.len();
        write(self);
        let length = u32::try_from(self.0.len() - start).unwrap_or(u32::MAX);
        self.0[length_at..length_at + 4].copy_from_slice(&length.to_le_bytes());
        self
    }
}

/// A call of a method. `body` holds values of the types that `signature` names.
pub fn call(serial: u32, path: &str, (interface, member): (&str, &str), signature: &str, body: &Writer) -> Vec<u8> {
    let mut out = Writer::default();
    // In the order of the bytes of an x86, a call, no flags, version 1.
    out.byte(b'l').byte(1).byte(0).byte(1);
    out.u32(u32::try_from(body.0.len()).unwrap_or(u32::MAX)).u32(serial);
    out.array(8, |out| {
        let fields = [
            (PATH, "o", path),
            (INTERFACE, "s", interface),
            (MEMBER, "s", member),
            (DESTINATION, "s", "org.freedesktop.systemd1"),
        ];
        for (field, kind, value) in fields {
            out.align(8).byte(field).signature(kind).string(value.as_bytes());
        }
        if !signature.is_empty() {
            out.align(8).byte(SIGNATURE).signature("g").signature(signature);
        }
    });
    out.align(8);
    out.0.extend_from_slice(&body.0);
    out.0
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Call,
    Return,
    Error,
    Signal,
    /// One that is to be passed over.
    Other,
}

/// A message that has come.
#[derive(Debug, PartialEq, Eq)]
pub struct Message<'b> {
    pub kind: Kind,
    /// Of the call that this is the answer to.
    pub reply_to: Option<u32>,
    pub member: Option<&'b str>,
    pub error: Option<&'b str>,
    signature: &'b str,
    body: &'b [u8],
    is_big_endian: bool,
}

impl<'b> Message<'b> {
    /// The first message in `bytes`, and how long it is; `None` if it is not whole.
    pub fn parse(bytes: &'b [u8]) -> Result<Option<(Message<'b>, usize)>, Garbage> {
        let Some(head) = bytes.get(..16) else { return Ok(None) };
        let is_big_endian = match (head[0], head[3]) {
            (b'l', 1) => false,
            (b'B', 1) => true,
            _ => return Err(Garbage),
        };
        let reader = |bytes| Reader { bytes, at: 0, is_big_endian };
        let mut lengths = reader(head);
        lengths.at = 4;
        let body_length = usize::try_from(lengths.u32()?).map_err(|_| Garbage)?;
        lengths.at = 12;
        let fields_length = usize::try_from(lengths.u32()?).map_err(|_| Garbage)?;
        if body_length > MESSAGE_MAX || fields_length > MESSAGE_MAX {
            return Err(Garbage);
        }
        let body_at = (16 + fields_length).next_multiple_of(8);
        let length = body_at + body_length;
        if length > MESSAGE_MAX {
            return Err(Garbage);
        }
        let Some(bytes) = bytes.get(..length) else { return Ok(None) };
        let kind = match head[1] {
            1 => Kind::Call,
            2 => Kind::Return,
            3 => Kind::Error,
            4 => Kind::Signal,
            0 => return Err(Garbage),
            _ => Kind::Other,
        };
        let body = &bytes[body_at..];
        let mut message =
            Message { kind, reply_to: None, member: None, error: None, signature: "", body, is_big_endian };
        let mut fields = reader(&bytes[..16 + fields_length]);
        fields.at = 16;
        while fields.at < fields.bytes.len() {
            message.read_field(&mut fields)?;
        }
        Ok(Some((message, length)))
    }

    fn read_field(&mut self, fields: &mut Reader<'b>) -> Result<(), Garbage> {
        fields.align(8)?;
        let field = fields.byte()?;
        match (field, fields.signature()?) {
            (MEMBER, "s") => self.member = Some(fields.string()?),
            (ERROR_NAME, "s") => self.error = Some(fields.string()?),
            (REPLY_SERIAL, "u") => self.reply_to = Some(fields.u32()?),
            (SIGNATURE, "g") => self.signature = fields.signature()?,
            (_, "s" | "o") => drop(fields.string()?),
            (_, "g") => drop(fields.signature()?),
            (_, "u") => drop(fields.u32()?),
            _ => return Err(Garbage),
        }
        Ok(())
    }

    /// What is in it, if that is of these types.
    pub fn body(&self, signature: &str) -> Result<Reader<'b>, Garbage> {
        if self.signature != signature {
            return Err(Garbage);
        }
        Ok(Reader { bytes: self.body, at: 0, is_big_endian: self.is_big_endian })
    }

    /// What went wrong, in systemd's words.
    pub fn error_text(&self) -> String {
        let text = self.body("s").and_then(|mut body| body.string());
        text.unwrap_or(self.error.unwrap_or("an error")).to_owned()
    }
}

/// Values as they come.
#[derive(Clone, Debug)]
pub struct Reader<'b> {
    bytes: &'b [u8],
    at: usize,
    is_big_endian: bool,
}

impl<'b> Reader<'b> {
    fn align(&mut self, to: usize) -> Result<(), Garbage> {
        let at = self.at.next_multiple_of(to);
        self.take(at - self.at).map(drop)
    }

    fn take(&mut self, length: usize) -> Result<&'b [u8], Garbage> {
        let end = self.at.checked_add(length).ok_or(Garbage)?;
        let taken = self.bytes.get(self.at..end).ok_or(Garbage)?;
        self.at = end;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, Garbage> {
        Ok(self.take(1)?[0])
    }

    pub fn u32(&mut self) -> Result<u32, Garbage> {
        self.align(4)?;
        let bytes = self.take(4)?.try_into().map_err(|_| Garbage)?;
        Ok(if self.is_big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) })
    }

    pub fn i32(&mut self) -> Result<i32, Garbage> {
        self.u32().map(u32::cast_signed)
    }

    /// A string, or the path of an object.
    pub fn string(&mut self) -> Result<&'b str, Garbage> {
        let length = usize::try_from(self.u32()?).map_err(|_| Garbage)?;
        self.text(length)
    }

    pub fn signature(&mut self) -> Result<&'b str, Garbage> {
        let length = self.byte()?.into();
        self.text(length)
    }

    fn text(&mut self, length: usize) -> Result<&'b str, Garbage> {
        let text = self.take(length)?;
        if self.byte()? != 0 {
            return Err(Garbage);
        }
        std::str::from_utf8(text).map_err(|_| Garbage)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As systemd answers a call with the serial 1.
    const JOB: &[u8] = b"l\x02\x01\x01\x28\0\0\0\x07\0\0\0\x0f\0\0\0\x05\x01u\0\x01\0\0\0\x08\x01g\0\x01o\0\0\
        \x23\0\0\0/org/freedesktop/systemd1/job/12345\0";

    #[test]
    fn an_answer_is_read_once_it_is_whole() {
        for length in 0..JOB.len() {
            assert_eq!(Message::parse(&JOB[..length]), Ok(None), "{length}");
        }
        let more = [JOB, JOB].concat();
        let (message, length) = Message::parse(&more).unwrap().unwrap();
        assert_eq!((message.kind, message.reply_to, length), (Kind::Return, Some(1), JOB.len()));
        assert_eq!(message.body("o").unwrap().string(), Ok("/org/freedesktop/systemd1/job/12345"));
        assert!(message.body("s").is_err());
    }

    #[test]
    fn a_call_is_read_as_it_was_written() {
        let mut body = Writer::default();
        body.string(b"text").bool(true).array(8, |out| {
            out.align(8).string(b"a");
            out.align(8).string(b"bc");
        });
        let bytes = call(7, "/a", ("i.f", "Member"), "sba(s)", &body);
        let (message, length) = Message::parse(&bytes).unwrap().unwrap();
        assert_eq!((message.kind, message.member, length), (Kind::Call, Some("Member"), bytes.len()));
        let mut body = message.body("sba(s)").unwrap();
        assert_eq!((body.string(), body.u32(), body.u32()), (Ok("text"), Ok(1), Ok(15)));
        body.align(8).unwrap();
        assert_eq!(body.string(), Ok("a"));
        body.align(8).unwrap();
        assert_eq!((body.string(), body.byte()), (Ok("bc"), Err(Garbage)));
    }

    #[test]
    fn an_array_may_be_empty() {
        let mut body = Writer::default();
        body.array(8, |_| {}).u32(5);
        // The elements would begin at 8.
        assert_eq!(body.0, [0, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0]);
    }

    #[test]
    fn the_other_order_of_bytes() {
        let mut bytes =
            b"B\x02\x01\x01\0\0\0\x04\0\0\0\x07\0\0\0\x0f\x05\x01u\0\0\0\0\x01\x08\x01g\0\x01u\0\0".to_vec();
        bytes.extend([0, 0, 1, 0]);
        let (message, _) = Message::parse(&bytes).unwrap().unwrap();
        assert_eq!((message.reply_to, message.body("u").unwrap().u32()), (Some(1), Ok(256)));
    }

    #[test]
    fn nothing_that_comes_is_trusted() {
        let changed = |at: usize, byte: u8| {
            let mut bytes = JOB.to_vec();
            bytes[at] = byte;
            bytes
        };
        for (at, byte) in [(0, b'x'), (3, 2), (1, 0), (7, 0xff), (15, 0xff), (18, b'x')] {
            assert_eq!(Message::parse(&changed(at, byte)), Err(Garbage), "{at}");
        }
        // Whatever is changed: an answer or none, and no end.
        for at in 0..JOB.len() {
            for byte in 0..=255 {
                let bytes = changed(at, byte);
                if let Ok(Some((message, length))) = Message::parse(&bytes) {
                    assert!(length <= bytes.len());
                    let _ = (message.body("o").and_then(|mut body| body.string()), message.error_text());
                }
            }
        }
    }
}
