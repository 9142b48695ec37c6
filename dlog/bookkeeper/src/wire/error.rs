use core::fmt;

/// Bytes that are not a message of BookKeeper's protocol or a ledger's metadata.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeError {
    /// The message or field that was being read, in the protocol's words: `AddRequest.ledgerId`.
    pub field: &'static str,
    /// Kind of the error.
    pub kind: DecodeErrorKind,
}

/// Kind of a [`DecodeError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecodeErrorKind {
    /// The bytes end before the value does.
    Truncated,
    /// A number takes more than ten bytes, or more than 64 bits.
    NumberTooLong,
    /// A length is larger than the bytes that follow it.
    LengthBeyondEnd,
    /// A wire type that protobuf does not define, or a group, which the protocol does not use.
    WireType(u8),
    /// A field has another wire type than the protocol defines.
    WrongType,
    /// A required field is missing.
    Missing,
    /// A number is out of the field's range.
    OutOfRange(i64),
    /// Bytes have another length than the field demands.
    WrongLength {
        /// The length that is right.
        expected: usize,
        /// The length found.
        found: usize,
    },
    /// Text that is not UTF-8.
    NotUtf8,
    /// Text that does not follow the format.
    Syntax,
    /// More elements than a value of this kind can have.
    TooMany {
        /// Maximum number of elements.
        limit: usize,
    },
}

impl DecodeError {
    pub(crate) const fn new(field: &'static str, kind: DecodeErrorKind) -> Self {
        Self { field, kind }
    }

    pub(crate) const fn missing(field: &'static str) -> Self {
        Self::new(field, DecodeErrorKind::Missing)
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.field)?;
        match self.kind {
            DecodeErrorKind::Truncated => f.write_str("the bytes end before the value"),
            DecodeErrorKind::NumberTooLong => f.write_str("the number has more than 64 bits"),
            DecodeErrorKind::LengthBeyondEnd => f.write_str("the length exceeds the bytes"),
            DecodeErrorKind::WireType(found) => write!(f, "there is no wire type {found}"),
            DecodeErrorKind::WrongType => f.write_str("the wire type is wrong"),
            DecodeErrorKind::Missing => f.write_str("the field is missing"),
            DecodeErrorKind::OutOfRange(found) => write!(f, "{found} is out of range"),
            DecodeErrorKind::WrongLength { expected, found } => {
                write!(f, "{found} bytes instead of {expected}")
            }
            DecodeErrorKind::NotUtf8 => f.write_str("the text is not UTF-8"),
            DecodeErrorKind::Syntax => f.write_str("the text does not follow the format"),
            DecodeErrorKind::TooMany { limit } => write!(f, "there are more than {limit}"),
        }
    }
}

impl core::error::Error for DecodeError {}
