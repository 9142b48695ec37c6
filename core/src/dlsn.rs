use core::fmt;
use core::str::FromStr;

mod base64;

/// Position of a record in a log stream (DistributedLog sequence number), ordered as the records
/// are.
///
/// Record `i` of a record set that was acknowledged at `dlsn` has the position
/// [`dlsn.slot(i)`](Self::slot).
///
/// Requests and replies carry positions as text, the base64 of their bytes:
/// [`to_text`](Self::to_text) writes it and [`str::parse`] reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Dlsn {
    /// Number of the log segment in the stream; the first is 1.
    pub log_segment_sequence_no: i64,
    /// Number of the entry in the log segment; the first is 0.
    pub entry_id: i64,
    /// Number of the record in the entry; the first is 0.
    pub slot_id: i64,
}

const VERSION_0: u8 = 0;
const VERSION_1: u8 = 1;

impl Dlsn {
    /// Position of a stream's first record.
    pub const INITIAL: Self = Self::new(1, 0, 0);
    /// Position just before [`INITIAL`](Self::INITIAL).
    pub const NON_INCLUSIVE_LOWER_BOUND: Self = Self::new(1, 0, -1);
    /// Position that no record has.
    pub const INVALID: Self = Self::new(0, -1, -1);

    /// Length of the encoded form, version 1, in bytes.
    pub const BYTES: usize = 25;
    /// Length of the encoded form, version 0, in bytes: as many as version 1 has bits. It is read,
    /// and never written.
    pub const BYTES_V0: usize = 200;
    /// Length of the text form, version 1, in characters.
    pub const TEXT_BYTES: usize = 36;
    /// Length of the text form, version 0, in characters.
    pub const TEXT_BYTES_V0: usize = 268;

    /// Creates a position of these three parts.
    #[must_use]
    pub const fn new(log_segment_sequence_no: i64, entry_id: i64, slot_id: i64) -> Self {
        Self {
            log_segment_sequence_no,
            entry_id,
            slot_id,
        }
    }

    /// Returns the position `count` slots further in the same entry.
    #[must_use]
    pub const fn slot(self, count: u32) -> Self {
        Self {
            slot_id: self.slot_id.saturating_add(count as i64),
            ..self
        }
    }

    /// Returns the encoded form, version 1: the version, then the three parts, big-endian.
    #[must_use]
    pub fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [VERSION_1; Self::BYTES];
        let parts = [self.log_segment_sequence_no, self.entry_id, self.slot_id];
        for (target, part) in bytes[1..].chunks_exact_mut(8).zip(parts) {
            target.copy_from_slice(&part.to_be_bytes());
        }
        bytes
    }

    /// Parses the encoded form, version 1 or 0.
    ///
    /// # Errors
    ///
    /// [`DlsnError`] if there are no bytes, their version is unknown, or their length is not that
    /// of the version.
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

    /// Returns the text form, version 1: padded base64 of [`to_bytes`](Self::to_bytes). It does not
    /// allocate.
    #[must_use]
    pub fn to_text(self) -> DlsnText {
        DlsnText(base64::encode(self.to_bytes()))
    }
}

impl FromStr for Dlsn {
    type Err = DlsnError;

    /// Parses the text form, version 1 or 0.
    fn from_str(text: &str) -> Result<Self, DlsnError> {
        if text.is_empty() {
            return Err(DlsnError::Empty);
        }
        if text.len() > Self::TEXT_BYTES_V0 {
            return Err(DlsnError::TextTooLong { length: text.len() });
        }
        // One byte more than the longest position: a text of the longest allowed length can encode
        // that many.
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

/// Text form of a position, as replies carry it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct DlsnText([u8; Dlsn::TEXT_BYTES]);

impl DlsnText {
    /// Returns the text.
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

/// Error of bytes or a text that is not a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DlsnError {
    /// There are no bytes, or no text.
    Empty,
    /// The text is longer than that of any version.
    TextTooLong {
        /// Length of the text in bytes.
        length: usize,
    },
    /// The text is not padded base64.
    NotBase64 {
        /// Offset of the first byte that is not base64.
        offset: usize,
        /// The byte at that offset; `None` if the text's length or padding is wrong.
        found: Option<u8>,
    },
    /// The first byte is not a known version.
    UnknownVersion(u8),
    /// The length is not that of the version.
    WrongLength {
        /// The version.
        version: u8,
        /// Length of a position of this version, in bytes.
        expected: usize,
        /// Length of the bytes found.
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
