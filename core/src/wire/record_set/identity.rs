use core::fmt;

use crate::wire::crc;

/// Names one writer for all of its life, among all writers: 16 random bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct WriterId(pub [u8; 16]);

/// Identity of a record set, the same in every duplicate of it (R12): readers of several streams
/// deliver the first duplicate that they meet and drop the others.
///
/// It follows the last record, inside the payload, which the original's readers do not read: they
/// stop after the number of records in the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct SetIdentity {
    /// Id of the writer.
    pub writer: WriterId,
    /// Number of the set among the writer's, from 0.
    pub sequence: u64,
}

/// Magic, version, writer, sequence, checksum.
pub(super) const TRAILER_BYTES: usize = 8 + 4 + SetIdentity::BYTES + 4;

/// Unlikely as the beginning of other data behind the records of a set.
const MAGIC: [u8; 8] = *b"\x89DLSETID";
const VERSION: u32 = 1;

const _: () = assert!(
    TRAILER_BYTES == 40,
    "the length that was tried against the original's reader"
);

impl SetIdentity {
    /// Bytes of the bare form, without magic, version and checksum.
    pub const BYTES: usize = 24;

    /// The bare form: writer, then sequence, big-endian.
    #[must_use]
    pub fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..16].copy_from_slice(&self.writer.0);
        bytes[16..].copy_from_slice(&self.sequence.to_be_bytes());
        bytes
    }

    /// The identity in its bare form; `None` unless there are 24 bytes.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; Self::BYTES] = bytes.try_into().ok()?;
        let (writer, sequence) = bytes.split_first_chunk::<16>()?;
        Some(Self {
            writer: WriterId(*writer),
            sequence: u64::from_be_bytes(*sequence.first_chunk()?),
        })
    }

    /// Returns the bytes that follow a set's last record: magic, version 1, the bare form, and the
    /// CRC-32 of all that.
    #[must_use]
    pub fn to_trailer(self) -> [u8; TRAILER_BYTES] {
        let mut trailer = [0; TRAILER_BYTES];
        trailer[..8].copy_from_slice(&MAGIC);
        trailer[8..12].copy_from_slice(&VERSION.to_be_bytes());
        trailer[12..36].copy_from_slice(&self.to_bytes());
        let sum = crc::of(&trailer[..36]);
        trailer[36..].copy_from_slice(&sum.to_be_bytes());
        trailer
    }

    /// The identity that `bytes`, what follows a set's last record, begin with, and what follows
    /// it; `None` when they begin with something else, with an identity of another version, or
    /// with one whose checksum is wrong.
    #[must_use]
    pub fn from_trailer(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let (trailer, rest) = bytes.split_first_chunk::<TRAILER_BYTES>()?;
        let known = trailer[..8] == MAGIC && trailer[8..12] == VERSION.to_be_bytes();
        if !known || trailer[36..] != crc::of(&trailer[..36]).to_be_bytes() {
            return None;
        }
        Some((Self::from_bytes(&trailer[12..36])?, rest))
    }
}

impl fmt::Display for WriterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Display for SetIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.writer, self.sequence)
    }
}
