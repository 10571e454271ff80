//! The expendable process that opens and reads devices.
//!
//! `open` and `read` on a sick device may sleep for minutes, and a process that sleeps so cannot
//! even be killed. So the daemon never does either: `pool` starts its own executable once more,
//! `child` is what that process does, and this file is what they say to each other.
//!
//! A message is its length (32 bits), a byte that says which it is, and its fields, all
//! little-endian. One request has one reply, and the daemon sends no second request before it.
//! Neither side believes a length: a request asks for at most `MAX_READ` bytes, and the daemon
//! takes no longer reply than the request it sent allows.

mod child;
mod device_mapper;
mod pool;

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::devno::DevNo;
use crate::dm::Unusable;

pub use child::run_if_reader;
pub use pool::{Counts, Happening, IDLE_READERS, JobId, Pool};

/// The argument that makes an executable of ours a reader.
pub const ARGUMENT: &str = "--read-for-parent";
/// The name a reader has in `ps`.
pub const NAME: &str = "pvwatch-reader";

/// Metadata text of 64 MiB, more than lvmetad's clients ever send, and the areas around it.
pub const MAX_READ: usize = (64 << 20) + (1 << 20);
/// A path of `PATH_MAX` and the fields before it.
const MAX_REQUEST: usize = 4096 + 64;
/// What a reply has besides the bytes that were read.
const REPLY_FIELDS: usize = 64;

/// What must be found at the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    Device(DevNo),
    File,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Open {
    pub path: PathBuf,
    pub expect: Expect,
    /// How many bytes at offset 0 to send with the answer.
    pub first: usize,
    /// It is a device-mapper device: ask about its targets first, since opening it may wait for them.
    pub is_dm: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Request {
    Open(Open),
    Read { offset: u64, length: usize },
    Close,
}

/// A device or file that has been opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    pub size: u64,
    /// Which incarnation of the disk was opened; `None` for files and before Linux 5.15.
    pub diskseq: Option<u64>,
    /// The first bytes, fewer than asked for when the device ends before.
    pub head: Vec<u8>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// `Err` has errno. Nothing is open then, but the job still has its reader.
    Opened(Result<Opened, i32>),
    /// Nor then.
    Unusable(Unusable),
    /// Fewer bytes than asked for at the end of the device. `diskseq` was read after them.
    Data { offset: u64, diskseq: Option<u64>, bytes: Result<Vec<u8>, i32> },
}

/// What a reader really sends. The confirmation that the device is closed is the pool's affair:
/// closing may hang too, and the next job must not be blamed for it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Answer {
    Reply(Reply),
    Closed,
}

/// A message that no process of ours writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Garbage;

impl From<Garbage> for io::Error {
    fn from(_: Garbage) -> io::Error {
        io::Error::new(io::ErrorKind::InvalidData, "not a message of the reader's protocol")
    }
}

impl Request {
    fn encode(&self) -> Vec<u8> {
        match self {
            Request::Open(open) => {
                let device = match open.expect {
                    Expect::Device(devno) => Some(devno.to_dev_t()),
                    Expect::File => None,
                };
                frame(1, |out| {
                    put_option(out, device);
                    put_length(out, open.first);
                    out.push(u8::from(open.is_dm));
                    out.extend_from_slice(open.path.as_os_str().as_bytes());
                })
            }
            Request::Read { offset, length } => frame(2, |out| {
                out.extend_from_slice(&offset.to_le_bytes());
                put_length(out, *length);
            }),
            Request::Close => frame(3, |_| {}),
        }
    }

    fn decode(message: &[u8]) -> Result<Request, Garbage> {
        let mut fields = Fields(message);
        let request = match fields.u8()? {
            1 => {
                let expect = match fields.option()? {
                    Some(dev) => Expect::Device(DevNo::from_dev_t(dev)),
                    None => Expect::File,
                };
                let first = fields.length()?;
                let is_dm = match fields.u8()? {
                    0 => false,
                    1 => true,
                    _ => return Err(Garbage),
                };
                let path = Path::new(OsStr::from_bytes(fields.rest())).to_owned();
                Request::Open(Open { path, expect, first, is_dm })
            }
            2 => Request::Read { offset: fields.u64()?, length: fields.length()? },
            3 => Request::Close,
            _ => return Err(Garbage),
        };
        fields.end(request)
    }
}

impl Answer {
    fn encode(&self) -> Vec<u8> {
        match self {
            Answer::Reply(Reply::Opened(Ok(opened))) => frame(1, |out| {
                out.extend_from_slice(&opened.size.to_le_bytes());
                put_option(out, opened.diskseq);
                out.extend_from_slice(&opened.head);
            }),
            Answer::Reply(Reply::Opened(Err(errno))) => frame(2, |out| out.extend_from_slice(&errno.to_le_bytes())),
            Answer::Reply(Reply::Data { offset, diskseq, bytes }) => {
                let tag = if bytes.is_ok() { 3 } else { 4 };
                frame(tag, |out| {
                    out.extend_from_slice(&offset.to_le_bytes());
                    put_option(out, *diskseq);
                    match bytes {
                        Ok(bytes) => out.extend_from_slice(bytes),
                        Err(errno) => out.extend_from_slice(&errno.to_le_bytes()),
                    }
                })
            }
            Answer::Closed => frame(5, |_| {}),
            Answer::Reply(Reply::Unusable(why)) => frame(6, |out| out.push(*why as u8)),
        }
    }

    fn decode(message: &[u8]) -> Result<Answer, Garbage> {
        let mut fields = Fields(message);
        let answer = match fields.u8()? {
            1 => {
                let (size, diskseq) = (fields.u64()?, fields.option()?);
                Answer::Reply(Reply::Opened(Ok(Opened { size, diskseq, head: fields.rest().to_vec() })))
            }
            2 => Answer::Reply(Reply::Opened(Err(fields.i32()?))),
            tag @ (3 | 4) => {
                let (offset, diskseq) = (fields.u64()?, fields.option()?);
                let bytes = if tag == 3 { Ok(fields.rest().to_vec()) } else { Err(fields.i32()?) };
                Answer::Reply(Reply::Data { offset, diskseq, bytes })
            }
            5 => Answer::Closed,
            6 => Answer::Reply(Reply::Unusable(*Unusable::ALL.get(usize::from(fields.u8()?)).ok_or(Garbage)?)),
            _ => return Err(Garbage),
        };
        fields.end(answer)
    }
}

fn frame(tag: u8, fields: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = vec![0, 0, 0, 0, tag];
    fields(&mut out);
    let length = u32::try_from(out.len() - 4).expect("MAX_READ and PATH_MAX fit into 32 bits");
    out[..4].copy_from_slice(&length.to_le_bytes());
    out
}

/// The length of the message that `bytes` begins with, once its four bytes are there.
fn frame_length(bytes: &[u8], limit: usize) -> Result<Option<usize>, Garbage> {
    let Some(length) = bytes.first_chunk() else { return Ok(None) };
    match usize::try_from(u32::from_le_bytes(*length)) {
        Ok(length) if length <= limit => Ok(Some(length)),
        _ => Err(Garbage),
    }
}

fn put_option(out: &mut Vec<u8>, value: Option<u64>) {
    out.push(u8::from(value.is_some()));
    out.extend_from_slice(&value.unwrap_or(0).to_le_bytes());
}

fn put_length(out: &mut Vec<u8>, length: usize) {
    out.extend_from_slice(&(length as u64).to_le_bytes());
}

/// Takes one field after the other off the front.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], Garbage> {
        let (field, rest) = self.0.split_first_chunk().ok_or(Garbage)?;
        self.0 = rest;
        Ok(*field)
    }

    fn u8(&mut self) -> Result<u8, Garbage> {
        Ok(u8::from_le_bytes(self.take()?))
    }

    fn u64(&mut self) -> Result<u64, Garbage> {
        Ok(u64::from_le_bytes(self.take()?))
    }

    fn i32(&mut self) -> Result<i32, Garbage> {
        Ok(i32::from_le_bytes(self.take()?))
    }

    fn option(&mut self) -> Result<Option<u64>, Garbage> {
        match (self.u8()?, self.u64()?) {
            (0, 0) => Ok(None),
            (1, value) => Ok(Some(value)),
            _ => Err(Garbage),
        }
    }

    fn length(&mut self) -> Result<usize, Garbage> {
        usize::try_from(self.u64()?).ok().filter(|&length| length <= MAX_READ).ok_or(Garbage)
    }

    fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    fn end<T>(self, value: T) -> Result<T, Garbage> {
        if self.0.is_empty() { Ok(value) } else { Err(Garbage) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requests() -> Vec<Request> {
        let open = |expect, is_dm| Open { path: "/dev/mapper/a b".into(), expect, first: 131_072, is_dm };
        vec![
            Request::Open(open(Expect::Device(DevNo::new(259, 70_000)), true)),
            Request::Open(open(Expect::File, false)),
            Request::Read { offset: u64::MAX - 5, length: MAX_READ },
            Request::Close,
        ]
    }

    fn answers() -> Vec<Answer> {
        let opened = Opened { size: 1 << 40, diskseq: Some(0), head: vec![7; 100] };
        let data = |bytes| Reply::Data { offset: 4096, diskseq: None, bytes };
        vec![
            Answer::Reply(Reply::Opened(Ok(opened))),
            Answer::Reply(Reply::Opened(Err(6))),
            Answer::Reply(data(Ok(vec![1, 2, 3]))),
            Answer::Reply(data(Ok(vec![]))),
            Answer::Reply(data(Err(5))),
            Answer::Reply(Reply::Unusable(Unusable::ThinPool)),
            Answer::Closed,
        ]
    }

    /// The message without its length, after checking the length.
    fn message(frame: &[u8]) -> &[u8] {
        assert_eq!(frame_length(frame, frame.len() - 4), Ok(Some(frame.len() - 4)));
        assert_eq!(frame_length(frame, frame.len() - 5), Err(Garbage));
        assert_eq!(frame_length(&frame[..3], 0), Ok(None));
        &frame[4..]
    }

    #[test]
    fn messages_come_back() {
        for request in requests() {
            assert_eq!(Request::decode(message(&request.encode())), Ok(request));
        }
        for answer in answers() {
            assert_eq!(Answer::decode(message(&answer.encode())), Ok(answer));
        }
    }

    #[test]
    fn cut_messages_are_garbage_or_have_fewer_bytes() {
        for answer in answers() {
            let frame = answer.encode();
            for end in 4..frame.len() {
                match (Answer::decode(&frame[4..end]), &answer) {
                    (Err(Garbage), _) => {}
                    (Ok(Answer::Reply(Reply::Opened(Ok(_)))), Answer::Reply(Reply::Opened(Ok(_)))) => {}
                    (Ok(Answer::Reply(Reply::Data { .. })), Answer::Reply(Reply::Data { bytes: Ok(_), .. })) => {}
                    (decoded, _) => panic!("{end} bytes of {answer:?} are {decoded:?}"),
                }
            }
        }
        for request in requests() {
            let frame = request.encode();
            let fixed = if matches!(request, Request::Open(_)) { 4 + 1 + 9 + 8 + 1 } else { frame.len() };
            for end in 4..fixed {
                assert_eq!(Request::decode(&frame[4..end]), Err(Garbage), "{end} bytes of {request:?}");
            }
        }
    }

    #[test]
    fn extra_and_impossible_values_are_garbage() {
        let mut closed = Answer::Closed.encode();
        closed.push(0);
        assert_eq!(Answer::decode(&closed[4..]), Err(Garbage));
        assert_eq!(Answer::decode(&[0]), Err(Garbage));
        assert_eq!(Answer::decode(&[7]), Err(Garbage));
        assert_eq!(Answer::decode(&[6, 200]), Err(Garbage));
        let long = Request::Read { offset: 0, length: MAX_READ + 1 };
        assert_eq!(Request::decode(&long.encode()[4..]), Err(Garbage));
        // A flag that is neither 0 nor 1, and a value that is absent but not 0.
        for (flag, value) in [(2, 0), (0, 1)] {
            let mut opened = Answer::Reply(Reply::Opened(Ok(Opened { size: 0, diskseq: None, head: vec![] }))).encode();
            (opened[13], opened[14]) = (flag, value);
            assert_eq!(Answer::decode(&opened[4..]), Err(Garbage));
        }
    }
}
