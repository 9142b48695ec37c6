//! Record sets: several records stored as one, at one position each.
//!
//! A set is a header of [`HEADER_BYTES`] (kind and codec, record count, uncompressed and stored
//! length of the payload) and a payload: each record after its 32-bit length, uncompressed or as
//! one LZ4 block. If a set was acknowledged at a position, its record `i` is `i` slots further.
//!
//! [`RecordSetBuilder`] fills a caller's buffer; [`RecordSet::parse`] checks everything before it
//! hands out the first record.

mod builder;
mod error;
mod identity;
mod reader;

pub use builder::{AppendError, RecordSetBuilder};
#[cfg(feature = "lz4")]
pub use builder::{Lz4Table, max_compressed_len};
pub use error::{RecordSetError, RecordSetErrorKind};
pub use identity::{SetIdentity, WriterId};
pub use reader::{Header, RecordSet, Records};

/// Bytes of a set's header.
pub const HEADER_BYTES: usize = 16;

/// Bytes of the length in front of each record.
pub const LENGTH_BYTES: usize = 4;

/// Bytes of the identity behind the last record (R12).
pub const TRAILER_BYTES: usize = identity::TRAILER_BYTES;

/// The most that a proxy stores as one record, a whole record set with its header included: 1 MiB −
/// 8 KiB.
///
/// The original's writer allows sets of 1 MiB − 4 KiB, which its own proxy then refuses on every
/// stream.
pub const MAX_SET_BYTES: usize = 1024 * 1024 - 8 * 1024;

/// The longest record that fits a set without an identity.
pub const MAX_RECORD_BYTES: usize = MAX_SET_BYTES - HEADER_BYTES - LENGTH_BYTES;

/// The longest record that fits a set with an identity.
pub const MAX_RECORD_BYTES_WITH_IDENTITY: usize = MAX_RECORD_BYTES - TRAILER_BYTES;

/// The longest payload, uncompressed, that a reader takes: the original's writer makes sets of up
/// to 1 MiB − 4 KiB before compression.
pub const MAX_PAYLOAD_BYTES: usize = 1024 * 1024 - 4 * 1024 - HEADER_BYTES;

const _: () = assert!(MAX_SET_BYTES == 1_040_384 && MAX_RECORD_BYTES == 1_040_364);
const _: () = assert!(
    MAX_PAYLOAD_BYTES >= MAX_SET_BYTES - HEADER_BYTES,
    "what our writer makes, our reader takes"
);

/// Encoding of a set's payload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Codec {
    /// Uncompressed.
    #[default]
    None,
    /// As one raw LZ4 block.
    Lz4,
}

impl Codec {
    const fn number(self) -> u32 {
        match self {
            Self::None => 0,
            Self::Lz4 => 1,
        }
    }
}

/// The upper half of a header's first word: what makes bytes a record set of the one version there
/// is.
const VERSION: u32 = 0x1000;
const VERSION_MASK: u32 = 0xf000;
const CODEC_MASK: u32 = 0x3;
