//! What the daemon and a reader say to each other.
//!
//! A message is its length (32 bits), a byte that says which it is, the number of the job if it is
//! about one, and its fields, all little-endian. A reader begins with `Hello`. One request about a
//! job has one reply, and the daemon sends no second request about it before. Neither side believes
//! a length: a request asks for at most `MAX_READ` bytes in `MAX_PIECES` places, and the daemon takes
//! no longer reply than the request it sent allows.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::{Expect, JobId, MAX_PIECES, MAX_READ, Open, Opened, Piece, Reply};
use crate::devno::DevNo;
use crate::dm::Unusable;
use crate::ondisk::ByteRange;

/// A path of `PATH_MAX` and the fields before it.
pub(super) const MAX_REQUEST: usize = 4096 + 64;
/// What each piece has besides its bytes.
const PIECE_FIELDS: usize = 1 + 8;
/// What a reply has besides the bytes that were read.
pub(super) const REPLY_FIELDS: usize = 64 + MAX_PIECES * PIECE_FIELDS;
/// Of [`Hello`]'s words.
const MAX_NOTE: usize = 512;
/// The byte that says which it is, and the number of the job.
const HEADER: usize = 1 + 8;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Request {
    Open(JobId, Open),
    Read(JobId, Vec<ByteRange>),
    /// Answered with `Closed`.
    Close(JobId),
    /// End it wherever it is. Its reply does not come any more, but `Closed` when it is over.
    Cancel(JobId),
    /// Answered with `Pong` by a reader that does not hang itself.
    Ping,
}

/// What a reader really sends. The confirmation that the device is closed is the pool's affair:
/// closing may hang too, and the next job must not be blamed for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Hello(Hello),
    Reply(JobId, Reply),
    Closed(JobId),
    Pong,
}

/// The first thing that a reader says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hello {
    /// Jobs at a time; 1 for a plain reader.
    pub slots: usize,
    /// Why it is no ring, if it was to be one, or what the ring has to do without.
    pub note: Option<String>,
}

/// A message that no process of ours writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Garbage;

impl From<Garbage> for io::Error {
    fn from(_: Garbage) -> io::Error {
        io::Error::new(io::ErrorKind::InvalidData, "not a message of the reader's protocol")
    }
}

impl Request {
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        match self {
            Request::Open(job, open) => {
                let device = match open.expect {
                    Expect::Device(devno) => Some(devno.to_dev_t()),
                    Expect::File => None,
                };
                frame(out, 1, |out| {
                    put_u64(out, *job);
                    put_option(out, device);
                    put_length(out, open.first);
                    out.push(u8::from(open.is_dm));
                    out.extend_from_slice(open.path.as_os_str().as_bytes());
                });
            }
            Request::Read(job, ranges) => frame(out, 2, |out| {
                put_u64(out, *job);
                for range in ranges {
                    put_u64(out, range.offset);
                    put_length(out, range.length);
                }
            }),
            Request::Close(job) => frame(out, 3, |out| put_u64(out, *job)),
            Request::Cancel(job) => frame(out, 4, |out| put_u64(out, *job)),
            Request::Ping => frame(out, 5, |_| {}),
        }
    }

    pub(super) fn decode(message: &[u8]) -> Result<Request, Garbage> {
        let mut fields = Fields(message);
        let request = match fields.u8()? {
            1 => {
                let job = fields.u64()?;
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
                Request::Open(job, Open { path, expect, first, is_dm })
            }
            2 => {
                let (job, mut ranges, mut total) = (fields.u64()?, Vec::new(), 0);
                while !fields.0.is_empty() {
                    let range = ByteRange { offset: fields.u64()?, length: fields.length()? };
                    total += range.length;
                    ranges.push(range);
                    if total > MAX_READ || ranges.len() > MAX_PIECES {
                        return Err(Garbage);
                    }
                }
                Request::Read(job, ranges)
            }
            3 => Request::Close(fields.u64()?),
            4 => Request::Cancel(fields.u64()?),
            5 => Request::Ping,
            _ => return Err(Garbage),
        };
        fields.end(request)
    }
}

/// Of a device that has been opened: [`Opened`], with its bytes still elsewhere.
pub(super) fn put_opened(out: &mut Vec<u8>, job: JobId, size: u64, diskseq: Option<u64>, head: &[u8]) {
    frame(out, 1, |out| {
        put_u64(out, job);
        put_u64(out, size);
        put_option(out, diskseq);
        out.extend_from_slice(head);
    });
}

/// [`Reply::Data`] likewise: `piece` puts each of so many, by [`put_piece`].
pub(super) fn put_data(
    out: &mut Vec<u8>,
    job: JobId,
    diskseq: Option<u64>,
    count: usize,
    mut piece: impl FnMut(&mut Vec<u8>, usize),
) {
    frame(out, 3, |out| {
        put_u64(out, job);
        put_option(out, diskseq);
        (0..count).for_each(|index| piece(out, index));
    });
}

pub(super) fn put_piece(out: &mut Vec<u8>, bytes: Result<&[u8], i32>) {
    match bytes {
        Ok(bytes) => {
            out.push(1);
            put_length(out, bytes.len());
            out.extend_from_slice(bytes);
        }
        Err(errno) => {
            out.push(0);
            put_length(out, 4);
            out.extend_from_slice(&errno.to_le_bytes());
        }
    }
}

impl Answer {
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        match self {
            Answer::Reply(job, Reply::Opened(Ok(Opened { size, diskseq, head }))) => {
                put_opened(out, *job, *size, *diskseq, head);
            }
            Answer::Reply(job, Reply::Opened(Err(errno))) => frame(out, 2, |out| {
                put_u64(out, *job);
                out.extend_from_slice(&errno.to_le_bytes());
            }),
            Answer::Reply(job, Reply::Unread(errno)) => frame(out, 9, |out| {
                put_u64(out, *job);
                out.extend_from_slice(&errno.to_le_bytes());
            }),
            Answer::Reply(job, Reply::Data { diskseq, pieces }) => {
                put_data(out, *job, *diskseq, pieces.len(), |out, index| {
                    put_piece(out, pieces[index].as_deref().map_err(|errno| *errno));
                });
            }
            Answer::Closed(job) => frame(out, 5, |out| put_u64(out, *job)),
            Answer::Reply(job, Reply::Unusable(why)) => frame(out, 6, |out| {
                put_u64(out, *job);
                out.push(*why as u8);
            }),
            Answer::Hello(Hello { slots, note }) => frame(out, 7, |out| {
                put_length(out, *slots);
                let note = note.as_deref().unwrap_or_default();
                out.extend_from_slice(&note.as_bytes()[..note.len().min(MAX_NOTE)]);
            }),
            Answer::Pong => frame(out, 8, |_| {}),
        }
    }

    pub(super) fn decode(message: &[u8]) -> Result<Answer, Garbage> {
        let mut fields = Fields(message);
        let answer = match fields.u8()? {
            1 => {
                let (job, size, diskseq) = (fields.u64()?, fields.u64()?, fields.option()?);
                Answer::Reply(job, Reply::Opened(Ok(Opened { size, diskseq, head: fields.rest().to_vec() })))
            }
            2 => Answer::Reply(fields.u64()?, Reply::Opened(Err(fields.i32()?))),
            3 => {
                let (job, diskseq, mut pieces) = (fields.u64()?, fields.option()?, Vec::new());
                while !fields.0.is_empty() {
                    if pieces.len() == MAX_PIECES {
                        return Err(Garbage);
                    }
                    pieces.push(fields.piece()?);
                }
                Answer::Reply(job, Reply::Data { diskseq, pieces })
            }
            5 => Answer::Closed(fields.u64()?),
            6 => {
                let job = fields.u64()?;
                let why = Unusable::ALL.get(usize::from(fields.u8()?)).ok_or(Garbage)?;
                Answer::Reply(job, Reply::Unusable(*why))
            }
            7 => {
                let slots = fields.length()?;
                let note = fields.rest();
                if slots == 0 || note.len() > MAX_NOTE {
                    return Err(Garbage);
                }
                let note = Some(String::from_utf8_lossy(note).into_owned()).filter(|note| !note.is_empty());
                Answer::Hello(Hello { slots, note })
            }
            8 => Answer::Pong,
            9 => Answer::Reply(fields.u64()?, Reply::Unread(fields.i32()?)),
            _ => return Err(Garbage),
        };
        fields.end(answer)
    }

    /// The job that the answer is about, of one that has begun to arrive.
    pub(super) fn job_of(message: &[u8]) -> Option<JobId> {
        let (tag, rest) = message.split_first()?;
        let job = rest.first_chunk().map(|job| u64::from_le_bytes(*job));
        job.filter(|_| message.len() >= HEADER && matches!(tag, 1..=3 | 5 | 6 | 9))
    }
}

fn frame(out: &mut Vec<u8>, tag: u8, fields: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0, 0, 0, 0, tag]);
    fields(out);
    let length = u32::try_from(out.len() - start - 4).expect("MAX_READ and PATH_MAX fit into 32 bits");
    out[start..start + 4].copy_from_slice(&length.to_le_bytes());
}

/// A long [`Reply::Data`] while it comes: each of its pieces grows where it will be, so that it is never
/// copied as a whole.
pub(super) struct LongData {
    job: JobId,
    diskseq: Option<u64>,
    pieces: Vec<Piece>,
    /// The piece that is coming, its bytes that have not come, and whether they are a device's.
    coming: Option<(Vec<u8>, usize, bool)>,
    /// Bytes of the message that have not been taken.
    left: usize,
}

impl LongData {
    /// Of a message of this length, of which that has come; and how many bytes were taken of it. `None`:
    /// it is another, or too little has come to tell.
    pub(super) fn begin(length: usize, begun: &[u8]) -> Result<Option<(LongData, usize)>, Garbage> {
        let mut fields = Fields(begun.get(..length.min(HEADER + 9)).unwrap_or_default());
        if fields.0.len() < HEADER + 9 || fields.u8()? != 3 {
            return Ok(None);
        }
        let (job, diskseq) = (fields.u64()?, fields.option()?);
        let left = length - (HEADER + 9);
        Ok(Some((LongData { job, diskseq, pieces: Vec::new(), coming: None, left }, HEADER + 9)))
    }

    /// Takes what has come since, and says how much of it.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Result<usize, Garbage> {
        let whole = &bytes[..bytes.len().min(self.left)];
        let mut fields = Fields(whole);
        loop {
            if let Some((mut piece, length, is_good)) = self.coming.take() {
                let (part, rest) = fields.0.split_at(length.min(fields.0.len()));
                piece.extend_from_slice(part);
                fields.0 = rest;
                if part.len() < length {
                    self.coming = Some((piece, length - part.len(), is_good));
                    break;
                }
                let errno = |piece: Vec<u8>| piece.try_into().map(i32::from_le_bytes).map_err(|_| Garbage);
                self.pieces.push(if is_good { Ok(piece) } else { Err(errno(piece)?) });
            }
            // What is left at the end of the message has to be taken, or it is none.
            let is_end = whole.len() == self.left;
            if fields.0.is_empty() || (fields.0.len() < PIECE_FIELDS && !is_end) {
                break;
            }
            if self.pieces.len() == MAX_PIECES {
                return Err(Garbage);
            }
            let (kind, length) = (fields.u8()?, fields.length()?);
            let behind = self.left - (whole.len() - fields.0.len());
            if kind > 1 || length > behind || (kind == 0 && length != 4) {
                return Err(Garbage);
            }
            self.coming = Some((Vec::with_capacity(length), length, kind == 1));
        }
        let taken = whole.len() - fields.0.len();
        self.left -= taken;
        Ok(taken)
    }

    /// Bytes of the device that have come.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        let coming = self.coming.as_ref().map_or(0, |(piece, ..)| piece.len());
        self.pieces.iter().flatten().map(Vec::len).sum::<usize>() + coming
    }

    /// The answer, once all of it has come.
    pub(super) fn end(self) -> Result<Answer, LongData> {
        if self.left > 0 || self.coming.is_some() {
            return Err(self);
        }
        Ok(Answer::Reply(self.job, Reply::Data { diskseq: self.diskseq, pieces: self.pieces }))
    }
}

/// The length of the message that `bytes` begins with, once its four bytes are there.
pub(super) fn frame_length(bytes: &[u8], limit: usize) -> Result<Option<usize>, Garbage> {
    let Some(length) = bytes.first_chunk() else { return Ok(None) };
    match usize::try_from(u32::from_le_bytes(*length)) {
        Ok(length) if length <= limit => Ok(Some(length)),
        _ => Err(Garbage),
    }
}

fn put_u64(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(&value.to_le_bytes());
}

fn put_option(out: &mut Vec<u8>, value: Option<u64>) {
    out.push(u8::from(value.is_some()));
    put_u64(out, value.unwrap_or(0));
}

fn put_length(out: &mut Vec<u8>, length: usize) {
    put_u64(out, length as u64);
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

    fn piece(&mut self) -> Result<Piece, Garbage> {
        let (is_good, length) = (self.u8()?, self.length()?);
        let (bytes, rest) = self.0.split_at_checked(length).ok_or(Garbage)?;
        self.0 = rest;
        match is_good {
            1 => Ok(Ok(bytes.to_vec())),
            0 => Ok(Err(i32::from_le_bytes(bytes.try_into().map_err(|_| Garbage)?))),
            _ => Err(Garbage),
        }
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
            Request::Open(7, open(Expect::Device(DevNo::new(259, 70_000)), true)),
            Request::Open(u64::MAX, open(Expect::File, false)),
            Request::Read(7, vec![ByteRange { offset: u64::MAX - 5, length: MAX_READ }]),
            Request::Read(7, vec![ByteRange { offset: 1, length: 2 }; MAX_PIECES]),
            Request::Close(8),
            Request::Cancel(9),
            Request::Ping,
        ]
    }

    fn answers() -> Vec<Answer> {
        let opened = Opened { size: 1 << 40, diskseq: Some(0), head: vec![7; 100] };
        let data = |pieces| Answer::Reply(1 << 40, Reply::Data { diskseq: None, pieces });
        vec![
            Answer::Reply(7, Reply::Opened(Ok(opened))),
            Answer::Reply(7, Reply::Opened(Err(6))),
            Answer::Reply(7, Reply::Unread(5)),
            data(vec![Ok(vec![1, 2, 3])]),
            data(vec![Ok(vec![])]),
            data(vec![Err(5)]),
            data(vec![Ok(vec![4; 40]), Err(7), Ok(vec![]), Ok(vec![5])]),
            data(vec![Err(1); MAX_PIECES]),
            Answer::Reply(7, Reply::Unusable(Unusable::ThinPool)),
            Answer::Closed(u64::MAX),
            Answer::Hello(Hello { slots: 1, note: None }),
            Answer::Hello(Hello { slots: 1024, note: Some("io_uring_setup: not permitted".into()) }),
            Answer::Pong,
        ]
    }

    fn request(request: &Request) -> Vec<u8> {
        let mut out = Vec::new();
        request.put(&mut out);
        out
    }

    fn answer(answer: &Answer) -> Vec<u8> {
        let mut out = Vec::new();
        answer.put(&mut out);
        out
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
        for sent in requests() {
            assert_eq!(Request::decode(message(&request(&sent))), Ok(sent));
        }
        for sent in answers() {
            assert_eq!(Answer::decode(message(&answer(&sent))), Ok(sent));
        }
    }

    #[test]
    fn what_they_are_about_is_seen_before_they_are_whole() {
        for sent in answers() {
            let job = match sent {
                Answer::Reply(job, _) | Answer::Closed(job) => Some(job),
                Answer::Hello(_) | Answer::Pong => None,
            };
            let frame = answer(&sent);
            assert_eq!(Answer::job_of(&frame[4..]), job, "{sent:?}");
            assert_eq!(Answer::job_of(&frame[4..frame.len().min(12)]), None, "{sent:?}");
        }
    }

    #[test]
    fn cut_messages_are_garbage_or_have_fewer_bytes() {
        for sent in answers() {
            let frame = answer(&sent);
            for end in 4..frame.len() {
                match (Answer::decode(&frame[4..end]), &sent) {
                    (Err(Garbage), _) | (Ok(Answer::Hello(_)), Answer::Hello(_)) => {}
                    (Ok(Answer::Reply(_, Reply::Opened(Ok(_)))), Answer::Reply(_, Reply::Opened(Ok(_)))) => {}
                    (
                        Ok(Answer::Reply(_, Reply::Data { pieces: some, .. })),
                        Answer::Reply(_, Reply::Data { pieces, .. }),
                    ) => assert!(some.len() < pieces.len() && pieces.starts_with(&some)),
                    (decoded, _) => panic!("{end} bytes of {sent:?} are {decoded:?}"),
                }
            }
        }
        for sent in requests() {
            let frame = request(&sent);
            let fixed = if matches!(sent, Request::Open(..)) { 4 + 9 + 9 + 8 + 1 } else { frame.len() };
            for end in 4..fixed {
                match (Request::decode(&frame[4..end]), &sent) {
                    (Err(Garbage), _) => {}
                    (Ok(Request::Read(_, some)), Request::Read(_, ranges)) => assert!(some.len() < ranges.len()),
                    (decoded, _) => panic!("{end} bytes of {sent:?} are {decoded:?}"),
                }
            }
        }
    }

    /// What comes of a message that comes so many bytes at a time.
    fn long(message: &[u8], at_a_time: usize) -> Result<Answer, Garbage> {
        let mut long: Option<LongData> = None;
        let (mut waiting, mut come) = (Vec::new(), 0);
        loop {
            let next = message.len().min(come + at_a_time);
            waiting.extend_from_slice(&message[come..next]);
            come = next;
            if long.is_none()
                && let Some((begun, taken)) = LongData::begin(message.len(), &waiting)?
            {
                long = Some(begun);
                waiting.drain(..taken);
            }
            if let Some(mut data) = long.take() {
                let taken = data.take(&waiting)?;
                waiting.drain(..taken);
                match data.end() {
                    Ok(answer) => return Ok(answer),
                    Err(data) => long = Some(data),
                }
            }
            if come == message.len() {
                return Err(Garbage);
            }
        }
    }

    #[test]
    fn a_long_answer_is_the_same_in_parts() {
        for sent in answers().into_iter().filter(|sent| matches!(sent, Answer::Reply(_, Reply::Data { .. }))) {
            let frame = answer(&sent);
            let message = message(&frame);
            for at_a_time in (1..=message.len()).filter(|step| *step < 40 || step % 7 == 0) {
                assert_eq!(long(message, at_a_time).as_ref(), Ok(&sent), "{at_a_time} at a time");
            }
            // Whatever is changed in it, both say the same.
            for at in 0..message.len() {
                for value in [0, 1, 2, 3, 4, 5, 255] {
                    let mut changed = message.to_vec();
                    changed[at] = value;
                    let expected = if value == 3 || at > 0 { Answer::decode(&changed) } else { Err(Garbage) };
                    assert_eq!(long(&changed, 5), expected, "{value} at {at}");
                }
            }
            for end in 0..message.len() {
                assert_eq!(
                    long(&message[..end], 3).is_ok(),
                    matches!(Answer::decode(&message[..end]), Ok(Answer::Reply(_, Reply::Data { .. })))
                );
            }
        }
    }

    #[test]
    fn extra_and_impossible_values_are_garbage() {
        let mut closed = answer(&Answer::Closed(1));
        closed.push(0);
        assert_eq!(Answer::decode(&closed[4..]), Err(Garbage));
        assert_eq!(Answer::decode(&[0]), Err(Garbage));
        assert_eq!(Answer::decode(&[9]), Err(Garbage));
        assert_eq!(Answer::decode(&[10]), Err(Garbage));
        assert_eq!(Answer::decode(&[6, 0, 0, 0, 0, 0, 0, 0, 0, 200]), Err(Garbage));
        assert_eq!(Answer::decode(&[7, 0, 0, 0, 0, 0, 0, 0, 0]), Err(Garbage), "no slots");
        let read = |lengths: &[usize]| {
            let ranges = lengths.iter().map(|length| ByteRange { offset: 0, length: *length });
            Request::decode(&request(&Request::Read(1, ranges.collect()))[4..])
        };
        assert_eq!(read(&[MAX_READ + 1]), Err(Garbage));
        assert_eq!(read(&[MAX_READ, 1]), Err(Garbage));
        assert_eq!(read(&[1; MAX_PIECES + 1]), Err(Garbage));
        assert!(read(&[MAX_READ - 1, 1]).is_ok());
        let many = Reply::Data { diskseq: None, pieces: vec![Ok(vec![]); MAX_PIECES + 1] };
        assert_eq!(Answer::decode(&answer(&Answer::Reply(1, many))[4..]), Err(Garbage));
        assert_eq!(Answer::decode(&[4, 0, 0, 0, 0, 0, 0, 0, 0]), Err(Garbage));
        // A flag that is neither 0 nor 1, and a value that is absent but not 0.
        for (flag, value) in [(2, 0), (0, 1)] {
            let opened = Opened { size: 0, diskseq: None, head: vec![] };
            let mut opened = answer(&Answer::Reply(1, Reply::Opened(Ok(opened))));
            (opened[21], opened[22]) = (flag, value);
            assert_eq!(Answer::decode(&opened[4..]), Err(Garbage));
        }
    }
}
