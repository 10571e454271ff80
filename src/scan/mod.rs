//! One device: which bytes to read next, and at the end what it is.
//!
//! Nothing is read here. The caller does what each [`Step`] says and hands over what came of it.
//! A device that is not a PV costs one read of [`HEAD`] bytes, one with a label another of its end,
//! which may say that the label is that of an array; who asks what is on a device has the end of any
//! looked at, and some other places. Only what has a wrong checksum is read again, once, since it may
//! have been caught half written.

#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects, clippy::expect_used, clippy::indexing_slicing))]

mod finding;
mod mda;
mod pvmeta;

use crate::id::Id;
use crate::metadata::{TextCache, VgText};
use crate::ondisk::Error;
use crate::ondisk::label::{self, Search};
use crate::ondisk::mda::MAX_TEXT;
use crate::ondisk::partitions;
use crate::ondisk::pv_header::{FLAGS_SINCE, PvHeader, is_in_use};
use crate::signature::{self, Known, Medium, Member, OVER_LVM, UNDER_LVM, When};
use mda::{MdaReader, MdaStep, Pieces};
use std::borrow::Cow;
use std::ops::Range;
use std::rc::Rc;

pub use crate::ondisk::pv_header::Area;
pub use crate::ondisk::{ByteRange, ReadError};
pub use finding::{Code, Finding, Place};
pub use mda::{Fault, MdaScan, MdaText, WORK_MAX, Why};

/// What is read first: the label and, on most PVs, the first metadata area's header and text.
pub const HEAD: usize = 8 << 10;

/// Places of a device that are read at the same time.
pub const PLACES_MAX: usize = 16;

/// LVM reads no more metadata areas than these.
const MAX_MDAS: usize = 2;

#[derive(Debug)]
pub enum Step {
    Read(ByteRange),
    Done(Verdict),
}

#[derive(Clone, Debug)]
pub enum Verdict {
    Pv(Box<Pv>),
    NotAPv {
        findings: Vec<Finding>,
    },
    /// It belongs to an array or another system, and if there is a label, so does that.
    Member {
        member: Box<Member>,
        findings: Vec<Finding>,
    },
    Unreadable {
        error: ReadError,
        findings: Vec<Finding>,
    },
}

/// A PV, with what its metadata areas say about its VG.
#[derive(Clone, Debug)]
pub struct Pv {
    pub id: Id,
    pub label_sector: u64,
    /// In bytes, when it was made.
    pub dev_size: u64,
    pub ext_version: u32,
    pub ext_flags: u32,
    pub data_areas: Vec<Area>,
    pub bootloader_areas: Vec<Area>,
    pub mdas: Vec<MdaScan>,
    /// The newest text of its areas, even if LVM could not read it in full.
    pub vg: Option<Rc<VgText>>,
    pub findings: Vec<Finding>,
    /// Why a part of it could not be read.
    pub read_error: Option<ReadError>,
    /// To LVM this is no PV, if the device can have partitions.
    pub has_partition_table: bool,
    /// Why it is not known for sure that it is no member of an array.
    pub end_error: Option<ReadError>,
}

impl Verdict {
    /// Whether not even the first bytes could be read.
    pub fn is_all_unread(&self) -> bool {
        match self {
            Verdict::Unreadable { findings, .. } => !findings.iter().any(|finding| finding.code == Code::EndUnread),
            Verdict::Pv(_) | Verdict::NotAPv { .. } | Verdict::Member { .. } => false,
        }
    }
}

impl Pv {
    pub fn is_in_use(&self) -> bool {
        is_in_use(self.ext_version, self.ext_flags)
    }

    /// Whether its header can say that no VG uses it.
    pub fn knows_use(&self) -> bool {
        self.ext_version >= FLAGS_SINCE
    }

    /// The metadata to hand to LVM commands: none that they would choke on.
    pub fn metadata_to_serve(&self) -> Option<&Rc<VgText>> {
        self.vg.as_ref().filter(|vg| vg.unreadable.is_none())
    }

    /// Chooses among the texts of the areas, all of which have been read.
    fn choose_vg(&mut self) {
        let mut texts = self.mdas.iter().filter_map(|mda| Some((mda.area.offset, &mda.text.as_ref()?.vg)));
        let Some(mut chosen) = texts.next() else {
            if self.is_in_use() && self.mdas.iter().any(|mda| !mda.ignored) {
                let detail = "the PV is marked as used by a VG, but its metadata areas name none";
                self.findings.push(Finding::new(Code::InUseNoVg, detail));
            }
            return;
        };
        for other in texts {
            if !Rc::ptr_eq(other.1, chosen.1) {
                let detail = format_args!(
                    "the metadata areas at {} and {} have different metadata, of seqno {} and {}",
                    chosen.0, other.0, chosen.1.seqno, other.1.seqno
                )
                .to_string();
                self.findings.push(Finding::new(Code::MdaMismatch, detail));
            }
            if other.1.seqno > chosen.1.seqno {
                chosen = other;
            }
        }
        let vg = Rc::clone(chosen.1);
        self.findings.extend(vg.unreadable.iter().map(Finding::from));
        self.findings.extend(vg.warnings.iter().map(Finding::from));
        if !vg.pvids.contains(&self.id) {
            let detail = format_args!("VG {} does not list PV {}", vg.name.escape_ascii(), self.id).to_string();
            self.findings.push(Finding::new(Code::PvidNotInVg, detail));
        }
        self.vg = Some(vg);
    }
}

/// What a partition is on which a PV was found, now that its disk has been read with its end: the
/// label may be that of an array whose members have their superblocks there. The kernel looks for
/// partitions on those, too. A superblock in one of the disk's partitions, these places, is not the
/// disk's, unless the PV was made on something larger: then the kernel has cut the partition of a
/// larger array where the disk ends.
pub fn on_partition(mut pv: Box<Pv>, disk: Result<Verdict, ReadError>, partitions: &[Range<u64>]) -> Verdict {
    let unread = match disk {
        Ok(Verdict::Member { member, findings }) => {
            let is_cut = pv.findings.iter().any(|finding| finding.code == Code::DeviceSmaller);
            if is_cut || !partitions.iter().any(|place| place.contains(&member.offset)) {
                return Verdict::Member { member, findings };
            }
            None
        }
        Ok(Verdict::Unreadable { error, .. }) | Err(error) => Some(error),
        Ok(Verdict::Pv(_) | Verdict::NotAPv { .. }) => None,
    };
    if let Some(error) = unread {
        pv.findings.push(Finding::new(Code::EndUnread, format_args!("the partition's disk: {error}")));
        pv.end_error = pv.end_error.or(Some(error));
    }
    Verdict::Pv(pv)
}

/// The scan of one device.
#[derive(Debug)]
pub struct Scan {
    medium: Medium,
    look: When,
    /// Of a disk that is read for the sake of a partition: the end of the last one.
    partitioned: Option<u64>,
    max_text: u64,
    /// What has been read for the sake of signatures.
    known: Known,
    asked: ByteRange,
    state: State,
}

#[derive(Debug)]
enum State {
    Head,
    /// The label was damaged; what was found then.
    HeadAgain(Vec<Finding>),
    /// A PV or nothing, unless somebody else claims it.
    Claims {
        label: Option<Labelled>,
        findings: Vec<Finding>,
        /// They were read before, and what was there damaged.
        again: bool,
    },
    Areas {
        pv: Box<Pv>,
        left: std::vec::IntoIter<Area>,
        reader: Box<MdaReader>,
        /// The beginning of what it wants, which had been read before.
        before: Vec<u8>,
    },
    Done,
}

/// A PV by its label, and its metadata areas.
#[derive(Debug)]
struct Labelled {
    pv: Box<Pv>,
    areas: Vec<Area>,
}

impl Scan {
    /// Begins the scan of a device. `look` is how far to look for signatures where there is no label.
    pub fn begin(medium: Medium, look: When) -> (Scan, Step) {
        Scan::begin_with(medium, look, MAX_TEXT)
    }

    /// Begins the scan of a disk for the sake of a partition that holds a PV. What lies before the
    /// end of the last partition is not the disk's.
    pub fn begin_disk(size: u64, partitions: &[Range<u64>]) -> (Scan, Step) {
        let (mut scan, step) = Scan::begin(Medium { size, is_partition: false }, When::Labelled);
        scan.partitioned = partitions.iter().map(|place| place.end.min(size)).max();
        (scan, step)
    }

    /// Like [`Scan::begin`], with another limit for the size of a metadata text.
    pub fn begin_with(medium: Medium, look: When, max_text: u64) -> (Scan, Step) {
        let length = usize::try_from(medium.size).map_or(HEAD, |size| size.min(HEAD));
        let head = ByteRange { offset: 0, length };
        let known = Known::new(medium);
        let mut scan = Scan { medium, look, partitioned: None, max_text, known, asked: head, state: State::Head };
        if length == 0 {
            scan.state = State::Done;
            return (scan, Step::Done(Verdict::NotAPv { findings: Vec::new() }));
        }
        (scan, Step::Read(head))
    }

    /// Takes the result of the read that the last step asked for: exactly its bytes.
    ///
    /// Panics after the last step.
    pub fn handle_read(&mut self, texts: &mut TextCache, data: Result<&[u8], ReadError>) -> Step {
        let mut step = self.begin_read(texts, data.map(Cow::Borrowed));
        loop {
            match step {
                Some(step) => return step,
                None => step = self.work(texts),
            }
        }
    }

    /// The same for who has others to serve: of what was read, no more than [`WORK_MAX`] bytes are
    /// gone over. `None`: there is more, call [`Scan::work`] until there is a step. What a text says
    /// that has shown itself undamaged is read in one go.
    pub fn take_read(&mut self, texts: &mut TextCache, data: Result<Vec<u8>, ReadError>) -> Option<Step> {
        self.begin_read(texts, data.map(Cow::Owned))
    }

    /// Goes over the next bytes of what was read.
    pub fn work(&mut self, texts: &mut TextCache) -> Option<Step> {
        match std::mem::replace(&mut self.state, State::Done) {
            State::Areas { pv, left, mut reader, before } if before.is_empty() => {
                let step = reader.work(texts);
                self.read_areas(texts, pv, left, Some((*reader, step)))
            }
            other => {
                self.state = other;
                Some(Step::Read(self.asked))
            }
        }
    }

    /// Bytes that were read and are still to be gone over.
    pub fn holds(&self) -> usize {
        match &self.state {
            State::Areas { reader, .. } => reader.holds(),
            State::Head | State::HeadAgain(_) | State::Claims { .. } | State::Done => 0,
        }
    }

    #[allow(clippy::panic, reason = "whoever asks on is wrong, whatever the device says")]
    fn begin_read(&mut self, texts: &mut TextCache, data: Result<Cow<[u8]>, ReadError>) -> Option<Step> {
        let length = self.asked.length;
        let data = data.and_then(|bytes| match bytes {
            Cow::Borrowed(bytes) => bytes.get(..length).map(Cow::Borrowed).ok_or(ReadError::Short),
            Cow::Owned(bytes) if bytes.len() < length => Err(ReadError::Short),
            Cow::Owned(mut bytes) => {
                bytes.truncate(length);
                Ok(Cow::Owned(bytes))
            }
        });
        match std::mem::replace(&mut self.state, State::Done) {
            State::Head => self.handle_head(texts, data.as_deref().map_err(|error| *error), None),
            State::HeadAgain(findings) => {
                self.handle_head(texts, data.as_deref().map_err(|error| *error), Some(findings))
            }
            State::Claims { label, findings, again } => {
                self.known.put(self.asked, data.as_deref().map_err(|error| *error));
                self.look_at_claims(texts, label, findings, again)
            }
            State::Areas { mut pv, left, mut reader, before } => {
                pv.read_error = pv.read_error.or(data.as_ref().err().copied());
                let before = Some(before).filter(|before| !before.is_empty()).map(Cow::Owned);
                let whole = data.map(|rest| before.into_iter().chain([rest]).collect::<Pieces>());
                let step = reader.handle_read(texts, whole);
                self.read_areas(texts, pv, left, Some((*reader, step)))
            }
            State::Done => panic!("the scan is over, there is nothing to read"),
        }
    }

    /// What the scan will want next, besides what it asks for now, unless the device is an unusual
    /// one: whoever reads it at the same time waits for the device once.
    pub fn ahead(&self) -> Vec<ByteRange> {
        let label = match &self.state {
            State::Claims { label, .. } => label,
            State::Areas { reader, .. } => return reader.rest().into_iter().collect(),
            State::Head | State::HeadAgain(_) | State::Done => return Vec::new(),
        };
        let when = if label.is_some() { self.look.max(When::Labelled) } else { self.look };
        let claims = signature::wanted(&[(OVER_LVM, when), (UNDER_LVM, self.look)], &self.known);
        let texts = label.iter().flat_map(|label| label.areas.iter().take(MAX_MDAS)).filter_map(|area| {
            let header = MdaReader::header_of(*area);
            let Some(header) = self.known.read_before(header) else {
                return header.end_within(self.medium.size).map(|_| header);
            };
            let text = MdaReader::text_of(*area, self.medium.size, header)?;
            let begun = self.known.begun_before(text).map_or(0, <[u8]>::len);
            Some(text.behind(begun)).filter(|rest| rest.length > 0)
        });
        let mut ahead = Vec::new();
        for range in claims.into_iter().chain(texts) {
            if range != self.asked && !ahead.contains(&range) {
                ahead.push(range);
            }
        }
        ahead
    }

    fn handle_head(
        &mut self,
        texts: &mut TextCache,
        data: Result<&[u8], ReadError>,
        before: Option<Vec<Finding>>,
    ) -> Option<Step> {
        let head = match data {
            Ok(head) => head,
            Err(error) => {
                return Some(Step::Done(Verdict::Unreadable { error, findings: before.unwrap_or_default() }));
            }
        };
        let search = label::search(head);
        let mut findings = label_findings(&search);
        self.known = Known::new(self.medium);
        self.known.put(self.asked, Ok(head));
        if let Some(end) = self.partitioned {
            self.known.set_data_end(end);
        }
        // Their places are in the head, or not on the device.
        let owners = signature::search(OVER_LVM, When::Always, &self.known).unwrap_or_default();
        let damaged = owners.damaged.iter().map(|(_, what)| Finding::new(Code::MemberDamaged, what));
        if self.look == When::Always && owners.members.iter().any(|member| !member.is_weak) {
            findings.extend(damaged);
            return Some(member(owners.members, findings));
        }
        let is_damaged = !owners.damaged.is_empty();
        if before.is_none() && needs_second_look(&search, &findings, is_damaged) {
            findings.extend(damaged);
            self.state = State::HeadAgain(findings);
            return Some(Step::Read(self.asked));
        }
        let label = match self.labelled(&search, head, &mut findings) {
            Ok(label) => label,
            Err(code_and_detail) => {
                findings.push(code_and_detail);
                None
            }
        };
        self.look_at_claims(texts, label, findings, false)
    }

    /// The PV that a label speaks of.
    fn labelled(&self, search: &Search, head: &[u8], findings: &mut Vec<Finding>) -> Result<Option<Labelled>, Finding> {
        let Some((label, sector)) = &search.label else { return Ok(None) };
        let header = PvHeader::decode(sector, label).map_err(|error| Finding::new(Code::from(&error), error))?;
        findings.extend(pv_findings(&header, self.medium.size));
        let has_partition_table = partitions::has_table(head);
        if has_partition_table {
            let detail = "there is a partition table in its first sector: no PV, if it can have partitions";
            findings.push(Finding::new(Code::PartitionTable, detail));
        }
        if !header.id.fits_message() {
            return Ok(None);
        }
        let pv = Pv {
            id: header.id,
            label_sector: label.sector,
            dev_size: header.dev_size,
            ext_version: header.ext_version,
            ext_flags: header.ext_flags,
            data_areas: header.data_areas,
            bootloader_areas: header.bootloader_areas,
            mdas: Vec::new(),
            vg: None,
            findings: Vec::new(),
            read_error: None,
            has_partition_table,
            end_error: None,
        };
        Ok(Some(Labelled { pv: Box::new(pv), areas: header.mdas }))
    }

    /// Whether the label, or the device if there is none, is somebody else's.
    fn look_at_claims(
        &mut self,
        texts: &mut TextCache,
        label: Option<Labelled>,
        mut findings: Vec<Finding>,
        again: bool,
    ) -> Option<Step> {
        let when = if label.is_some() { self.look.max(When::Labelled) } else { self.look };
        if let Some(Labelled { pv, .. }) = &label {
            self.known.set_data_end(pv.dev_size);
        }
        let searched = signature::search(OVER_LVM, when, &self.known).and_then(|owners| {
            // These are not worth a read where there is a label.
            Ok((owners, signature::search(UNDER_LVM, self.look, &self.known)?))
        });
        let (mut owners, lesser) = match searched {
            Ok(found) => found,
            Err(range) => {
                self.asked = range;
                self.state = State::Claims { label, findings, again };
                return Some(Step::Read(range));
            }
        };
        // What is weak may be anything that lies in the PV.
        let (weak, strong) = owners
            .members
            .into_iter()
            .partition::<Vec<_>, _>(|member| member.is_weak && self.known.is_in_pv(member.offset));
        owners.members = strong;
        if owners.members.is_empty() && !again && owners.damaged.iter().any(|(place, _)| *place >= HEAD as u64) {
            self.known.forget_end();
            return self.look_at_claims(texts, label, findings, true);
        }
        findings.extend(owners.damaged.iter().map(|(_, what)| Finding::new(Code::MemberDamaged, what)));
        if !owners.members.is_empty() {
            // The label is the array's, which may be larger.
            findings.retain(|finding| finding.code != Code::DeviceSmaller);
            let lesser = lesser.members.into_iter().chain(weak);
            return Some(member(owners.members.into_iter().chain(lesser).collect(), findings));
        }
        let Some(Labelled { mut pv, areas }) = label else {
            if self.partitioned.is_some() {
                return Some(Step::Done(self.partitioned_disk(&owners.unread, findings)));
            }
            if lesser.members.is_empty() {
                findings.extend(owners.unread.first().map(end_unread));
                return Some(Step::Done(Verdict::NotAPv { findings }));
            }
            return Some(member(lesser.members, findings));
        };
        findings.extend(lesser.members.iter().chain(&weak).map(other_claim));
        // An array ends before the superblocks of its members. A PV that reaches further is on none;
        // of one that does not, LVM says the same without a look at the checksum.
        if owners.damaged.iter().any(|(place, _)| !self.known.is_in_pv(*place)) {
            return Some(Step::Done(Verdict::NotAPv { findings }));
        }
        if let Some(unread) = owners.unread.first() {
            findings.push(end_unread(unread));
            pv.end_error = Some(unread.1);
        }
        if let Some((_, error)) = owners.unread.iter().find(|(range, _)| !self.known.is_in_pv(range.offset)) {
            return Some(Step::Done(Verdict::Unreadable { error: *error, findings }));
        }
        pv.findings = findings;
        self.read_areas(texts, pv, areas.into_iter(), None)
    }

    /// A disk that nobody claims, as far as it can be read: whoever says less than a label says less
    /// than one in a partition, too.
    fn partitioned_disk(&self, unread: &[(ByteRange, ReadError)], mut findings: Vec<Finding>) -> Verdict {
        let Some(unread) = unread.iter().find(|(range, _)| !self.known.is_in_pv(range.offset)) else {
            return Verdict::NotAPv { findings };
        };
        findings.push(end_unread(unread));
        Verdict::Unreadable { error: unread.1, findings }
    }

    /// Goes on with the area under way and then the ones that are left, until a read is needed
    /// of what has not been read before, or there is more to do with what was.
    fn read_areas(
        &mut self,
        texts: &mut TextCache,
        mut pv: Box<Pv>,
        mut left: std::vec::IntoIter<Area>,
        mut under_way: Option<(MdaReader, MdaStep)>,
    ) -> Option<Step> {
        loop {
            match under_way {
                Some((mut reader, MdaStep::Read(range))) => match self.read_before(&reader, range) {
                    Some(bytes) => {
                        let step = reader.handle_read(texts, Ok(vec![Cow::Borrowed(bytes)]));
                        under_way = Some((reader, step));
                    }
                    None => {
                        let before = self.begun_before(&reader, range);
                        self.asked = range.behind(before.len());
                        self.state = State::Areas { pv, left, reader: Box::new(reader), before };
                        return Some(Step::Read(self.asked));
                    }
                },
                Some((reader, MdaStep::Work)) => {
                    self.state = State::Areas { pv, left, reader: Box::new(reader), before: Vec::new() };
                    return None;
                }
                Some((_, MdaStep::Done(mda, finding))) => {
                    pv.mdas.push(mda);
                    pv.findings.extend(finding);
                    under_way = None;
                }
                None => match left.next() {
                    Some(area) if pv.mdas.len() < MAX_MDAS => {
                        under_way = Some(MdaReader::begin(area, self.medium.size, self.max_text));
                    }
                    Some(area) => {
                        let detail = format_args!("metadata area at {}: it is one too many", area.offset).to_string();
                        pv.findings.push(Finding::new(Code::MdaNotUsed, detail));
                        pv.mdas.push(MdaScan::unread(area));
                    }
                    None => {
                        pv.choose_vg();
                        return Some(Step::Done(Verdict::Pv(pv)));
                    }
                },
            }
        }
    }

    fn read_before(&self, reader: &MdaReader, range: ByteRange) -> Option<&[u8]> {
        self.known.read_before(range).filter(|_| reader.is_first_try())
    }

    fn begun_before(&self, reader: &MdaReader, range: ByteRange) -> Vec<u8> {
        let begun = self.known.begun_before(range).filter(|_| reader.is_first_try());
        begun.unwrap_or_default().to_vec()
    }
}

/// The verdict on a device that these claim; the first has most to say.
fn member(mut members: Vec<Member>, mut findings: Vec<Finding>) -> Step {
    let first = members.remove(0);
    findings.extend(members.iter().map(other_claim));
    Step::Done(Verdict::Member { member: Box::new(first), findings })
}

fn other_claim(member: &Member) -> Finding {
    Finding::new(Code::OtherClaim, member)
}

fn end_unread((range, error): &(ByteRange, ReadError)) -> Finding {
    let detail = format_args!("{} bytes at {}: {error}", range.length, range.offset).to_string();
    Finding::new(Code::EndUnread, detail)
}

/// Whether what is wrong may be the work of a writer, and matters.
fn needs_second_look(search: &Search, findings: &[Finding], is_damaged: bool) -> bool {
    is_damaged || (search.label.is_none() && findings.iter().any(|finding| finding.code.may_pass()))
}

fn label_findings(search: &Search) -> Vec<Finding> {
    let faults = search.faults.iter().map(|(sector, error)| {
        let stated = match error {
            Error::LabelSector { stated } => Some(*stated),
            _ => None,
        };
        let place = Some(Place { sector: *sector, stated });
        Finding { place, ..Finding::new(Code::from(error), format_args!("sector {sector}: {error}")) }
    });
    let additional = search.additional.iter().map(|sector| {
        let place = Some(Place { sector: *sector, stated: None });
        let detail = format_args!("sector {sector}: another label came first").to_string();
        Finding { place, ..Finding::new(Code::ExtraLabelIgnored, detail) }
    });
    faults.chain(additional).collect()
}

fn pv_findings(header: &PvHeader, device_size: u64) -> Vec<Finding> {
    let mut findings = Vec::new();
    if !header.id.is_regular() {
        let detail = format!("the PVID {} has characters that LVM does not use", header.id);
        findings.push(Finding::new(Code::PvidIrregular, detail));
    }
    if header.data_areas.len() != 1 {
        let detail = format!("the PV has {} data areas", header.data_areas.len());
        findings.push(Finding::new(Code::DataAreaCount, detail));
    }
    if device_size < header.dev_size {
        let detail = format!("the device has {device_size} bytes, the PV was made on {}", header.dev_size);
        findings.push(Finding::new(Code::DeviceSmaller, detail));
    }
    findings
}

#[cfg(test)]
mod tests;
