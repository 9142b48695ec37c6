use core::fmt;

/// Bytes that are no record set: what was wrong, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecordSetError {
    /// Offset of the first wrong byte: counted from the start of the set, or, behind the header of
    /// a compressed set, as if its payload were stored uncompressed.
    pub offset: usize,
    /// Kind of the error.
    pub kind: RecordSetErrorKind,
}

/// Kind of a [`RecordSetError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecordSetErrorKind {
    /// The bytes end before the header does.
    NoHeader {
        /// Bytes that are there.
        found: usize,
    },
    /// The first word is not that of a record set: flagged as one, but none.
    NotARecordSet {
        /// The first word.
        found: u32,
    },
    /// A codec that there is none of.
    UnknownCodec(u8),
    /// LZ4, in a build without the feature `lz4`.
    Lz4NotEnabled,
    /// A count or length in the header is below zero.
    Negative(i32),
    /// The header's number of stored bytes is larger than the bytes that follow.
    StoredBeyondEnd {
        /// Number in the header.
        stored: usize,
        /// Bytes behind the header.
        found: usize,
    },
    /// The two lengths of an uncompressed set differ.
    LengthsDiffer {
        /// The uncompressed length.
        payload: usize,
        /// The stored length.
        stored: usize,
    },
    /// The uncompressed length is beyond [`MAX_PAYLOAD_BYTES`](super::MAX_PAYLOAD_BYTES). Nothing
    /// was decompressed.
    TooLarge {
        /// The uncompressed length.
        payload: usize,
    },
    /// The buffer to decompress into is smaller than the uncompressed length. Nothing was
    /// decompressed.
    ScratchTooSmall {
        /// The uncompressed length.
        needed: usize,
        /// Bytes of the buffer.
        available: usize,
    },
    /// The stored bytes are no LZ4 block of the length in the header.
    BadLz4 {
        /// Uncompressed length in the header.
        expected: usize,
    },
    /// The header counts more records than the payload can hold.
    CountTooLarge {
        /// The count.
        count: usize,
        /// Bytes of the payload.
        payload: usize,
    },
    /// A record's length is negative or goes beyond the payload's end.
    RecordBeyondEnd {
        /// Index of the record, from 0.
        record: usize,
        /// The length.
        length: i32,
        /// Bytes of the payload left.
        left: usize,
    },
}

impl fmt::Display for RecordSetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "not a valid record set: at offset {}: {}",
            self.offset, self.kind
        )
    }
}

impl fmt::Display for RecordSetErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoHeader { found } => write!(f, "{found} bytes, a header has 16"),
            Self::NotARecordSet { found } => write!(
                f,
                "the first word is {found:#010x}, a record set's is 0x00001000 or 0x00001001"
            ),
            Self::UnknownCodec(codec) => write!(f, "codec {codec}, 0 (none) and 1 (LZ4) exist"),
            Self::Lz4NotEnabled => {
                f.write_str("compressed with LZ4, which this build was made without")
            }
            Self::Negative(number) => write!(f, "{number} is negative"),
            Self::StoredBeyondEnd { stored, found } => write!(
                f,
                "the stored length is {stored}, {found} bytes follow the header"
            ),
            Self::LengthsDiffer { payload, stored } => write!(
                f,
                "uncompressed, yet its lengths {payload} and {stored} differ"
            ),
            Self::TooLarge { payload } => {
                write!(
                    f,
                    "the uncompressed length is {payload}, at most {} are allowed",
                    super::MAX_PAYLOAD_BYTES
                )
            }
            Self::ScratchTooSmall { needed, available } => write!(
                f,
                "decompressing needs {needed} bytes, the buffer has {available}"
            ),
            Self::BadLz4 { expected } => {
                write!(f, "the stored bytes are no LZ4 block of {expected} bytes")
            }
            Self::CountTooLarge { count, payload } => {
                write!(f, "{count} records in a payload of {payload} bytes")
            }
            Self::RecordBeyondEnd {
                record,
                length,
                left,
            } => {
                write!(
                    f,
                    "record {record} has the length {length}, {left} bytes of the payload are left"
                )
            }
        }
    }
}

impl core::error::Error for RecordSetError {}
