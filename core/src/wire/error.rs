use core::fmt;

/// Bytes that are not what their format allows: what was wrong, in which field, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DecodeError {
    /// The field that was being read, in the words of its protocol: `WriteContext.triedHosts`,
    /// `Tdispatch.contexts`.
    pub field: &'static str,
    /// Offset of the first wrong byte, counted from the start of the decoded bytes.
    pub offset: usize,
    /// Kind of the error.
    pub kind: DecodeErrorKind,
}

/// Kind of a [`DecodeError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecodeErrorKind {
    /// The bytes end before the value does.
    Truncated {
        /// Bytes that the value needs.
        needed: usize,
        /// Bytes that are there.
        remaining: usize,
    },
    /// A length or a count is below zero.
    NegativeLength(i32),
    /// A length or a count is larger than the bytes that follow it.
    LengthBeyondBuffer {
        /// Value of the length.
        length: usize,
        /// Bytes that are there.
        remaining: usize,
    },
    /// A fixed-size value has another length.
    WrongLength {
        /// The length that is right.
        expected: usize,
        /// The length found.
        found: usize,
    },
    /// Text that is not UTF-8.
    NotUtf8,
    /// A field, or a collection's elements, has another type than its interface defines.
    WrongType {
        /// Thrift's number of the type that is right.
        expected: u8,
        /// Thrift's number of the type found.
        found: u8,
    },
    /// A number that is no thrift type.
    UnknownType(u8),
    /// Structs and collections inside each other, deeper than the limit.
    TooDeep {
        /// Maximum depth.
        limit: u8,
    },
    /// A thrift message does not begin with the strict protocol's version, `0x8001`.
    BadVersion(u32),
    /// A message has a kind that is not valid here: a reply where a call is expected, or the
    /// reverse.
    UnexpectedMessageKind(u8),
    /// A number that is no mux frame type.
    UnknownFrameType(i8),
    /// A mux status byte that has no meaning.
    UnknownStatus(u8),
    /// A mux frame that is one fragment of several: fragments belong to a later version than the
    /// one that is spoken.
    Fragment,
    /// A method that is not of DistributedLogService.
    UnknownMethod,
    /// A field that must be there is not.
    Missing,
    /// Bytes follow the end of the decoded value.
    TrailingBytes(usize),
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at offset {}: {}", self.field, self.offset, self.kind)
    }
}

impl fmt::Display for DecodeErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated { needed, remaining } => {
                write!(f, "needs {needed} bytes, {remaining} are left")
            }
            Self::NegativeLength(length) => write!(f, "the length {length} is negative"),
            Self::LengthBeyondBuffer { length, remaining } => write!(
                f,
                "the length {length} is beyond the {remaining} bytes left"
            ),
            Self::WrongLength { expected, found } => {
                write!(f, "has {found} bytes, must have {expected}")
            }
            Self::NotUtf8 => f.write_str("not UTF-8"),
            Self::WrongType { expected, found } => {
                write!(f, "has thrift type {found}, must have {expected}")
            }
            Self::UnknownType(found) => write!(f, "{found} is no thrift type"),
            Self::TooDeep { limit } => write!(f, "nested deeper than {limit}"),
            Self::BadVersion(found) => write!(
                f,
                "begins with {found:#010x}, must begin with 0x8001 and the message's kind"
            ),
            Self::UnexpectedMessageKind(kind) => {
                write!(f, "unexpected message of kind {kind}")
            }
            Self::UnknownFrameType(found) => write!(f, "{found} is no mux frame type"),
            Self::UnknownStatus(found) => write!(f, "{found} is no mux status; 0, 1 and 2 are"),
            Self::Fragment => {
                f.write_str("the frame is a fragment, which this version of mux does not have")
            }
            Self::UnknownMethod => f.write_str("no such method in DistributedLogService"),
            Self::Missing => f.write_str("missing"),
            Self::TrailingBytes(count) => write!(f, "{count} bytes follow its end"),
        }
    }
}

impl core::error::Error for DecodeError {}

/// The buffer to encode into is too small. What was written into it is of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BufferTooSmall {
    /// Bytes that the whole message needs; `usize::MAX` if a value is longer than its format's
    /// length field can express, so that no buffer is large enough.
    pub needed: usize,
    /// Bytes that the buffer has.
    pub available: usize,
}

impl fmt::Display for BufferTooSmall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "encoding needs {} bytes, the buffer has {}",
            self.needed, self.available
        )
    }
}

impl core::error::Error for BufferTooSmall {}

/// A frame announces more bytes than the receiver takes. Known from its first four bytes, before
/// anything is buffered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameTooLarge {
    /// Bytes of the whole frame, its length field included.
    pub length: u64,
    /// The largest whole frame that is taken.
    pub limit: usize,
}

impl fmt::Display for FrameTooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "a frame of {} bytes, {} are allowed",
            self.length, self.limit
        )
    }
}

impl core::error::Error for FrameTooLarge {}
