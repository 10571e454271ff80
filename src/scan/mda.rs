//! One metadata area of a device.

use super::{Code, Finding, ReadError};
use crate::metadata::{Refusal, TextCache, VgText};
use crate::ondisk::mda::{HEADER_SIZE, MdaHeader, RawLocation, free_bytes, free_sectors};
use crate::ondisk::pv_header::Area;
use crate::ondisk::{ByteRange, Crc, Error};
use std::borrow::Cow;
use std::fmt;
use std::rc::Rc;

/// How often an area is read while each time somebody else has changed it meanwhile. A commit
/// takes milliseconds, so that even the second is rare.
const MAX_TRIES: u32 = 4;

/// A longer text is not read ahead.
const AHEAD_MAX: u64 = 64 << 10;

/// Bytes of a text that are worked on at a time.
pub const WORK_MAX: usize = 2 << 20;

/// Bytes that belong together, in their order.
pub(super) type Pieces<'a> = Vec<Cow<'a, [u8]>>;

/// What a metadata area had to say.
#[derive(Clone, Debug)]
pub struct MdaScan {
    pub area: Area,
    /// It is not in use, and what text it has is old.
    pub ignored: bool,
    /// Room for new metadata as lvm2 2.02 counts it; 0 for an area that is ignored or damaged.
    pub free_sectors: u64,
    /// The same in bytes, as lvm2 2.03 counts it.
    pub free: u64,
    /// Why the area counts for nothing.
    pub problem: Option<Code>,
    /// What is wrong with it, for whoever wants to know more.
    pub fault: Option<Box<Fault>>,
    pub text: Option<MdaText>,
}

#[derive(Clone, Debug)]
pub struct MdaText {
    pub location: RawLocation,
    pub vg: Rc<VgText>,
}

/// Why an area counts for nothing, and the text that was in force if it came so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub why: Why,
    pub location: Option<RawLocation>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// Its header would be beyond the device.
    OutOfRange,
    Unread(ReadError),
    /// All that is wrong with the header, by the order of its fields.
    Header(Vec<Error>),
    Bytes(Error),
    Text(Refusal),
}

impl MdaScan {
    /// The name of the VG that its text is of, where that is all that can be said of the VG.
    pub fn lacking_vg(&self) -> Option<&[u8]> {
        match &self.fault.as_ref()?.why {
            Why::Text(Refusal::Lacks(name, _)) => Some(name),
            _ => None,
        }
    }

    /// An area that has not been read.
    pub(super) fn unread(area: Area) -> MdaScan {
        MdaScan { area, ignored: false, free_sectors: 0, free: 0, problem: None, fault: None, text: None }
    }
}

pub(super) enum MdaStep {
    Read(ByteRange),
    /// There is more to do with what was read: [`MdaReader::work`].
    Work,
    Done(MdaScan, Option<Finding>),
}

/// Reads an area: its header, then the text it names. When something is wrong that a writer at
/// work can cause, it starts over, until it finds the same header and the same fault again.
#[derive(Debug)]
pub(super) struct MdaReader {
    area: Area,
    device_size: u64,
    max_text: u64,
    tries: u32,
    /// The text in force at the last try, if that failed and there was any.
    failed: Option<RawLocation>,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    Header,
    Text { header: MdaHeader, location: RawLocation, read: Vec<Vec<u8>>, rest: Option<ByteRange> },
    Check(Box<Check>),
}

/// A long text, on its way through its checksum.
#[derive(Debug)]
struct Check {
    header: MdaHeader,
    location: RawLocation,
    pieces: Vec<Vec<u8>>,
    crc: Crc,
    /// Bytes of all pieces together that are in it.
    done: usize,
}

impl Check {
    /// Takes the next bytes. False if there were none.
    fn go_on(&mut self) -> bool {
        let mut behind = self.done;
        for piece in &self.pieces {
            match piece.get(behind..) {
                Some(rest) if !rest.is_empty() => {
                    let part = rest.get(..WORK_MAX).unwrap_or(rest);
                    self.crc.add(part);
                    self.done = self.done.saturating_add(part.len());
                    return true;
                }
                _ => behind = behind.saturating_sub(piece.len()),
            }
        }
        false
    }
}

impl MdaReader {
    pub(super) fn begin(area: Area, device_size: u64, max_text: u64) -> (MdaReader, MdaStep) {
        let mut reader = MdaReader { area, device_size, max_text, tries: 1, failed: None, stage: Stage::Header };
        let step = match reader.header_range().end_within(device_size) {
            Some(_) => MdaStep::Read(reader.header_range()),
            None => {
                let detail = format_args!("its header is beyond the device's {device_size} bytes").to_string();
                reader.fail(Code::MdaOutOfRange, detail, Why::OutOfRange, None)
            }
        };
        (reader, step)
    }

    /// Only the first try may be served from bytes that were read before.
    pub(super) fn is_first_try(&self) -> bool {
        self.tries == 1
    }

    pub(super) fn handle_read(&mut self, texts: &mut TextCache, data: Result<Pieces, ReadError>) -> MdaStep {
        let bytes = match data {
            Ok(bytes) => bytes,
            Err(error) => return self.fail(Code::from(&error), error, Why::Unread(error), None),
        };
        match std::mem::replace(&mut self.stage, Stage::Header) {
            Stage::Header => self.handle_header(&joined(&bytes)),
            Stage::Text { header, location, mut read, rest: Some(rest) } => {
                read.extend(bytes.into_iter().map(Cow::into_owned));
                self.stage = Stage::Text { header, location, read, rest: None };
                MdaStep::Read(rest)
            }
            Stage::Text { header, location, read, rest: None } => {
                let pieces = read.into_iter().map(Cow::Owned).chain(bytes).collect::<Pieces>();
                if length(&pieces) <= WORK_MAX {
                    let text = joined(&pieces);
                    let checked = location.check(&[&text]);
                    return self.handle_text(texts, &header, location, &text, checked);
                }
                let pieces = pieces.into_iter().map(Cow::into_owned).collect();
                self.stage = Stage::Check(Box::new(Check { header, location, pieces, crc: Crc::default(), done: 0 }));
                MdaStep::Work
            }
            check @ Stage::Check(_) => {
                self.stage = check;
                MdaStep::Work
            }
        }
    }

    /// Goes on with a long text: the checksum of its next bytes, or at last what it says.
    pub(super) fn work(&mut self, texts: &mut TextCache) -> MdaStep {
        match std::mem::replace(&mut self.stage, Stage::Header) {
            Stage::Check(mut check) => {
                if check.go_on() {
                    self.stage = Stage::Check(check);
                    return MdaStep::Work;
                }
                let Check { header, location, pieces, crc, .. } = *check;
                match location.check_sum(crc) {
                    Ok(()) => self.handle_text(texts, &header, location, &pieces.concat(), Ok(())),
                    wrong => self.handle_text(texts, &header, location, &[], wrong),
                }
            }
            other => {
                self.stage = other;
                MdaStep::Read(self.header_range())
            }
        }
    }

    /// Bytes of a text that has been read and not been dealt with.
    pub(super) fn holds(&self) -> usize {
        match &self.stage {
            Stage::Check(check) => check.pieces.iter().fold(0, |sum, piece| sum.saturating_add(piece.len())),
            Stage::Header | Stage::Text { .. } => 0,
        }
    }

    /// What is left of a text that goes around the end of its area, while its beginning is read. Whoever
    /// reads both at the same time never keeps the one while the other waits.
    pub(super) fn rest(&self) -> Option<ByteRange> {
        match &self.stage {
            Stage::Text { rest, .. } => *rest,
            Stage::Header | Stage::Check(_) => None,
        }
    }

    /// What it will read next if its header is this one, as far as is known.
    pub(super) fn text_of(area: Area, device_size: u64, header: &[u8]) -> Option<ByteRange> {
        let header = MdaHeader::decode(header, area.offset).ok().filter(|header| !header.is_ignored())?;
        Some(header.locate(&header.committed()?, device_size, AHEAD_MAX).ok()?.first)
    }

    pub(super) fn header_of(area: Area) -> ByteRange {
        ByteRange { offset: area.offset, length: HEADER_SIZE }
    }

    fn handle_header(&mut self, bytes: &[u8]) -> MdaStep {
        let header = match MdaHeader::decode(bytes, self.area.offset) {
            Ok(header) => header,
            Err(error) => {
                let why = Why::Header(MdaHeader::faults(bytes, self.area.offset));
                return self.fail(Code::from(&error), error, why, None);
            }
        };
        if header.is_ignored() {
            return MdaStep::Done(MdaScan { ignored: true, ..MdaScan::unread(self.area) }, None);
        }
        let Some(location) = header.committed() else {
            return MdaStep::Done(self.good(&header, None), None);
        };
        match header.locate(&location, self.device_size, self.max_text) {
            Err(error) => self.fail(Code::from(&error), error, Why::Bytes(error), Some(location)),
            Ok(parts) => {
                self.stage = Stage::Text { header, location, read: Vec::new(), rest: parts.second };
                MdaStep::Read(parts.first)
            }
        }
    }

    fn handle_text(
        &mut self,
        texts: &mut TextCache,
        header: &MdaHeader,
        location: RawLocation,
        text: &[u8],
        checked: Result<(), Error>,
    ) -> MdaStep {
        if let Err(error) = checked {
            return self.fail(Code::from(&error), error, Why::Bytes(error), Some(location));
        }
        match texts.parse(location.checksum, text) {
            Ok(vg) => MdaStep::Done(self.good(header, Some(MdaText { location, vg })), None),
            Err(refusal) => self.fail(Code::from(&refusal), refusal.to_string(), Why::Text(refusal), Some(location)),
        }
    }

    fn good(&self, header: &MdaHeader, text: Option<MdaText>) -> MdaScan {
        MdaScan {
            free_sectors: free_sectors(&self.area, header),
            free: free_bytes(header),
            text,
            ..MdaScan::unread(self.area)
        }
    }

    fn fail(&mut self, code: Code, detail: impl fmt::Display, why: Why, location: Option<RawLocation>) -> MdaStep {
        let seen_before = self.tries > 1 && self.failed == location;
        if code.may_pass() && !seen_before && self.tries < MAX_TRIES {
            self.tries = self.tries.saturating_add(1);
            self.failed = location;
            self.stage = Stage::Header;
            return MdaStep::Read(self.header_range());
        }
        let detail = format_args!("metadata area at {}: {detail}", self.area.offset).to_string();
        let fault = Some(Box::new(Fault { why, location }));
        let scan = MdaScan { problem: Some(code), fault, ..MdaScan::unread(self.area) };
        MdaStep::Done(scan, Some(Finding::new(code, detail)))
    }

    fn header_range(&self) -> ByteRange {
        MdaReader::header_of(self.area)
    }
}

fn joined<'a>(pieces: &'a [Cow<'_, [u8]>]) -> Cow<'a, [u8]> {
    match pieces {
        [piece] => Cow::Borrowed(piece),
        pieces => Cow::Owned(pieces.concat()),
    }
}

fn length(pieces: &[Cow<'_, [u8]>]) -> usize {
    pieces.iter().fold(0, |sum, piece| sum.saturating_add(piece.len()))
}
