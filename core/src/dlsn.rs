use core::fmt;
use core::str::FromStr;

mod base64;

/// The position of a record in a log stream (DistributedLog sequence number), ordered as the
/// records are.
///
/// Record `i` of a record set acknowledged at `dlsn` has the position [`dlsn.slot(i)`](Self::slot).
///
/// In requests and answers positions travel as text, the base64 of their bytes:
/// [`to_text`](Self::to_text) writes it and [`str::parse`] reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Dlsn {
    /// Which log segment of the stream; the first is 1.
    pub log_segment_sequence_no: i64,
    /// Which entry of the log segment; the first is 0.
    pub entry_id: i64,
    /// Which record of the entry; the first is 0.
    pub slot_id: i64,
}

const VERSION_0: u8 = 0;
const VERSION_1: u8 = 1;

impl Dlsn {
    /// The position of a stream's first record.
    pub const INITIAL: Self = Self::new(1, 0, 0);
    /// Just before [`INITIAL`](Self::INITIAL).
    pub const NON_INCLUSIVE_LOWER_BOUND: Self = Self::new(1, 0, -1);
    /// The position of no record.
    pub const INVALID: Self = Self::new(0, -1, -1);

    /// Bytes of the encoded form, version 1.
    pub const BYTES: usize = 25;
    /// Bytes of the encoded form, version 0: as many as version 1 has bits. It is read, and never
    /// written.
    pub const BYTES_V0: usize = 200;
    /// Characters of the text form, version 1.
    pub const TEXT_BYTES: usize = 36;
    /// Characters of the text form, version 0.
    pub const TEXT_BYTES_V0: usize = 268;

    /// The position with these three parts.
    #[must_use]
    pub const fn new(log_segment_sequence_no: i64, entry_id: i64, slot_id: i64) -> Self {
        Self {
            log_segment_sequence_no,
            entry_id,
            slot_id,
        }
    }

    /// The position `count` slots further in the same entry.
    #[must_use]
    pub const fn slot(self, count: u32) -> Self {
        Self {
            slot_id: self.slot_id.saturating_add(count as i64),
            ..self
        }
    }

    /// The encoded form, version 1: the version, then the three parts, big-endian.
    #[must_use]
    pub fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [VERSION_1; Self::BYTES];
        let parts = [self.log_segment_sequence_no, self.entry_id, self.slot_id];
        for (place, part) in bytes[1..].chunks_exact_mut(8).zip(parts) {
            place.copy_from_slice(&part.to_be_bytes());
        }
        bytes
    }

    /// The position in its encoded form, of version 1 or 0.
    ///
    /// # Errors
    ///
    /// [`DlsnError`] when there are no bytes, their version is another one, or their length is not
    /// that version's.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DlsnError> {
        let Some((&version, rest)) = bytes.split_first() else {
            return Err(DlsnError::Empty);
        };
        let expected = match version {
            VERSION_1 => Self::BYTES,
            VERSION_0 => Self::BYTES_V0,
            other => return Err(DlsnError::UnknownVersion(other)),
        };
        match rest.as_chunks::<8>().0 {
            [segment, entry, slot, ..] if bytes.len() == expected => Ok(Self::new(
                i64::from_be_bytes(*segment),
                i64::from_be_bytes(*entry),
                i64::from_be_bytes(*slot),
            )),
            _ => Err(DlsnError::WrongLength {
                version,
                expected,
                found: bytes.len(),
            }),
        }
    }

    /// The text form, version 1: padded base64 of [`to_bytes`](Self::to_bytes). Nothing is
    /// allocated.
    #[must_use]
    pub fn to_text(self) -> DlsnText {
        DlsnText(base64::encode(self.to_bytes()))
    }
}

impl FromStr for Dlsn {
    type Err = DlsnError;

    /// Reads the text form, of version 1 or 0.
    fn from_str(text: &str) -> Result<Self, DlsnError> {
        if text.is_empty() {
            return Err(DlsnError::Empty);
        }
        if text.len() > Self::TEXT_BYTES_V0 {
            return Err(DlsnError::TextTooLong { length: text.len() });
        }
        // One byte more than the longest position: so many can be in a text of that length.
        let mut bytes = [0; Self::BYTES_V0 + 1];
        Self::from_bytes(base64::decode(text.as_bytes(), &mut bytes)?)
    }
}

impl fmt::Display for Dlsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "DLSN{{logSegmentSequenceNo={}, entryId={}, slotId={}}}",
            self.log_segment_sequence_no, self.entry_id, self.slot_id
        )
    }
}

/// A position's text form, as answers carry it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct DlsnText([u8; Dlsn::TEXT_BYTES]);

impl DlsnText {
    /// The text.
    #[must_use]
    pub const fn as_str(&self) -> &str {
        match core::str::from_utf8(&self.0) {
            Ok(text) => text,
            Err(_) => panic!("base64 is ASCII"),
        }
    }
}

impl AsRef<str> for DlsnText {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Display for DlsnText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for DlsnText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// Why bytes or a text are no position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DlsnError {
    /// There is nothing.
    Empty,
    /// The text is longer than that of any version.
    TextTooLong {
        /// Bytes of the text.
        length: usize,
    },
    /// The text is not padded base64.
    NotBase64 {
        /// Where in the text it stops being base64.
        offset: usize,
        /// The byte there; `None` when the text's length or padding is wrong.
        found: Option<u8>,
    },
    /// The first byte is no version that there is.
    UnknownVersion(u8),
    /// The length is not that of the version.
    WrongLength {
        /// The version.
        version: u8,
        /// Bytes that it has.
        expected: usize,
        /// Bytes that there are.
        found: usize,
    },
}

impl fmt::Display for DlsnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a DLSN: ")?;
        match self {
            Self::Empty => f.write_str("empty"),
            Self::TextTooLong { length } => write!(
                f,
                "{length} characters, a DLSN's text has {}",
                Dlsn::TEXT_BYTES
            ),
            Self::NotBase64 {
                offset,
                found: Some(found),
            } => {
                write!(
                    f,
                    "'{}' at offset {offset} is not base64",
                    core::ascii::escape_default(*found)
                )
            }
            Self::NotBase64 {
                offset,
                found: None,
            } => write!(
                f,
                "base64 that ends or is padded wrongly at offset {offset}"
            ),
            Self::UnknownVersion(version) => write!(f, "version {version}, 1 and 0 exist"),
            Self::WrongLength {
                version,
                expected,
                found,
            } => write!(
                f,
                "{found} bytes of version {version}, which has {expected}"
            ),
        }
    }
}

impl core::error::Error for DlsnError {}
