use core::fmt;

/// Bytes or text that are not DistributedLog's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NamespaceError {
    /// A log segment's text has another number of fields than its version, or a field is not a
    /// number in its range.
    Segment {
        /// The field, counted from 0.
        field: usize,
    },
    /// A log segment of a version that is not known.
    SegmentVersion(u8),
    /// An entry ends before its records do, or names a length that is not its own.
    EntryLength,
    /// An entry or record set of a version or codec that is not known.
    EntryVersion(u32),
    /// A compressed entry that does not decompress to the length that it names.
    Compression,
    /// A record is larger than the format allows.
    RecordTooLarge {
        /// Bytes of the payload.
        bytes: usize,
    },
    /// The name of a lock's member that does not follow the format.
    LockMember,
}

impl fmt::Display for NamespaceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Segment { field } => {
                write!(
                    f,
                    "the log segment's field {field} is missing or out of range"
                )
            }
            Self::SegmentVersion(version) => {
                write!(f, "the log segment has version {version}; known are 1 to 5")
            }
            Self::EntryLength => f.write_str("the entry's lengths do not add up"),
            Self::EntryVersion(found) => {
                write!(
                    f,
                    "the entry has version or codec {found}, which is not known"
                )
            }
            Self::Compression => f.write_str("the entry does not decompress to its length"),
            Self::RecordTooLarge { bytes } => write!(
                f,
                "a record of {bytes} bytes; the limit is {}",
                super::entry::MAX_RECORD_BYTES
            ),
            Self::LockMember => f.write_str("the lock has a member with another kind of name"),
        }
    }
}

impl core::error::Error for NamespaceError {}
