use super::ReadError;
use crate::metadata::{Problem, ProblemKind, Refusal, Warning};
use crate::ondisk::{Covered, Error};
use std::fmt;

/// Something about a device that an administrator should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub code: Code,
    pub detail: String,
    /// Of a label: where it is.
    pub place: Option<Place>,
}

/// The sector of a label, and the one that it says it is in, if that is another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub sector: u64,
    pub stated: Option<u64>,
}

impl Finding {
    pub(super) fn new(code: Code, detail: impl fmt::Display) -> Finding {
        Finding { code, detail: detail.to_string(), place: None }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.detail)
    }
}

/// The kinds of findings. Their names are part of what `inspect` prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Code {
    /// A label's checksum is wrong: it is no label.
    LabelCrc,
    /// A label says that it belongs into another sector: it is no label.
    LabelWrongSector,
    /// A label but for its first bytes. LVM takes it, unchecked; blkid and this do not.
    LabelIdDamaged,
    /// A good label, but not LVM2's.
    LabelType,
    /// A good label behind the one that counts.
    ExtraLabelIgnored,
    /// The label leads out of its sector: not a PV.
    PvHeaderOutOfSector,
    /// A list of areas does not end in the label's sector: not a PV.
    PvHeaderListOverrun,
    /// The PVID has characters that LVM never uses, so no VG can list it. With a NUL or a line
    /// end, which no message can carry, it is not a PV.
    PvidIrregular,
    /// Not exactly one data area.
    DataAreaCount,
    /// The device has shrunk since it became a PV.
    DeviceSmaller,
    /// The header of a metadata area would be beyond the device.
    MdaOutOfRange,
    MdaHeaderCrc,
    MdaHeaderMagic,
    MdaHeaderVersion,
    /// The header of a metadata area belongs to another place.
    MdaHeaderStart,
    /// A third metadata area, or a later one: LVM does not read it either.
    MdaNotUsed,
    /// Two metadata areas of one device have different texts.
    MdaMismatch,
    /// The text would be outside its area or the device.
    LocationOutOfRange,
    /// The text is larger than we are willing to read.
    TextTooLarge,
    TextCrc,
    TextParse,
    /// The text begins with no name a VG can have.
    TextVgName,
    /// The text lacks what makes it the metadata of a VG.
    TextSchema,
    /// The VG is marked by a flag that is unknown here: it must not be used.
    TextUnknownStatusFlag,
    /// The VG's metadata contradicts itself: LVM cannot read it.
    VgStructure,
    /// An LV has a segment of unknown type; the rest of the VG can be used.
    LvUnknownSegment,
    /// The text on this PV is of a VG that does not list it.
    PvidNotInVg,
    /// The label says that a VG uses this PV, but no metadata area says which.
    InUseNoVg,
    /// There is a partition table in the first sector: no PV, where the device can have partitions.
    PartitionTable,
    /// There is the superblock of an array's member, but it is wrong: a PV that reaches over it is
    /// one, another is not.
    MemberDamaged,
    /// Another system's signature is there too, and has less to say.
    OtherClaim,
    /// The end of the device cannot be read, and with it whether it is a member of an array.
    EndUnread,
    /// Reading a part of the device failed.
    ReadError,
    /// The device ended before its size.
    ReadShort,
}

impl Code {
    pub fn as_str(self) -> &'static str {
        match self {
            Code::LabelCrc => "label-crc",
            Code::LabelWrongSector => "label-wrong-sector",
            Code::LabelIdDamaged => "label-id-damaged",
            Code::LabelType => "label-type",
            Code::ExtraLabelIgnored => "extra-label-ignored",
            Code::PvHeaderOutOfSector => "pv-header-out-of-sector",
            Code::PvHeaderListOverrun => "pv-header-list-overrun",
            Code::PvidIrregular => "pvid-irregular",
            Code::DataAreaCount => "data-area-count",
            Code::DeviceSmaller => "device-smaller",
            Code::MdaOutOfRange => "mda-out-of-range",
            Code::MdaHeaderCrc => "mda-header-crc",
            Code::MdaHeaderMagic => "mda-header-magic",
            Code::MdaHeaderVersion => "mda-header-version",
            Code::MdaHeaderStart => "mda-header-start",
            Code::MdaNotUsed => "mda-not-used",
            Code::MdaMismatch => "mda-mismatch",
            Code::LocationOutOfRange => "location-out-of-range",
            Code::TextTooLarge => "text-too-large",
            Code::TextCrc => "text-crc",
            Code::TextParse => "text-parse",
            Code::TextVgName => "text-vg-name",
            Code::TextSchema => "text-schema",
            Code::TextUnknownStatusFlag => "text-unknown-status-flag",
            Code::VgStructure => "vg-structure",
            Code::LvUnknownSegment => "lv-unknown-segment",
            Code::PvidNotInVg => "pvid-not-in-vg",
            Code::InUseNoVg => "in-use-no-vg",
            Code::PartitionTable => "partition-table",
            Code::MemberDamaged => "member-damaged",
            Code::OtherClaim => "other-claim",
            Code::EndUnread => "end-unread",
            Code::ReadError => "read-error",
            Code::ReadShort => "read-short",
        }
    }

    /// Whether a writer that was at work between two reads can be the cause.
    pub(super) fn may_pass(self) -> bool {
        matches!(
            self,
            Code::LabelCrc
                | Code::MdaHeaderCrc
                | Code::LocationOutOfRange
                | Code::TextTooLarge
                | Code::TextCrc
                | Code::TextParse
                | Code::TextVgName
                | Code::TextSchema
                | Code::MemberDamaged
        )
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl From<&Error> for Code {
    fn from(error: &Error) -> Code {
        match error {
            Error::Truncated => Code::ReadShort,
            Error::Checksum { what: Covered::Label, .. } => Code::LabelCrc,
            Error::Checksum { what: Covered::MdaHeader, .. } => Code::MdaHeaderCrc,
            Error::Checksum { what: Covered::Text, .. } => Code::TextCrc,
            Error::LabelId => Code::LabelIdDamaged,
            Error::LabelSector { .. } => Code::LabelWrongSector,
            Error::LabelType { .. } => Code::LabelType,
            Error::ContentsOffset { .. } => Code::PvHeaderOutOfSector,
            Error::UnterminatedList { .. } => Code::PvHeaderListOverrun,
            Error::MdaMagic => Code::MdaHeaderMagic,
            Error::MdaVersion { .. } => Code::MdaHeaderVersion,
            Error::MdaStart { .. } => Code::MdaHeaderStart,
            Error::LocationOffset { .. }
            | Error::LocationEmpty
            | Error::LocationSize { .. }
            | Error::LocationBeyondDevice { .. } => Code::LocationOutOfRange,
            Error::TextTooLarge { .. } => Code::TextTooLarge,
        }
    }
}

impl From<&ReadError> for Code {
    fn from(error: &ReadError) -> Code {
        match error {
            ReadError::Short => Code::ReadShort,
            ReadError::Io(_) => Code::ReadError,
        }
    }
}

impl From<&Refusal> for Code {
    fn from(refusal: &Refusal) -> Code {
        match refusal {
            Refusal::Parse(_) => Code::TextParse,
            Refusal::Name(_) => Code::TextVgName,
            Refusal::Schema(_) | Refusal::Lacks(..) => Code::TextSchema,
        }
    }
}

impl From<&Problem> for Finding {
    fn from(problem: &Problem) -> Finding {
        let code = match problem.kind {
            ProblemKind::StatusFlag => Code::TextUnknownStatusFlag,
            ProblemKind::Structure => Code::VgStructure,
        };
        Finding::new(code, &problem.detail)
    }
}

impl From<&Warning> for Finding {
    fn from(warning: &Warning) -> Finding {
        let code = match warning {
            Warning::UnknownSegment { .. } => Code::LvUnknownSegment,
        };
        Finding::new(code, warning)
    }
}
