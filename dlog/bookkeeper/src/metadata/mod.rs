//! Metadata of ledgers: what ZooKeeper stores about each, in BookKeeper's three formats, and the
//! nodes' paths.

mod binary;
mod layout;
mod lines;
mod registration;
mod text;

use core::fmt;
use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};

use crate::entry::DigestType;
use crate::wire::{DecodeError, DecodeErrorKind};
use crate::{EntryId, NO_ENTRY};

pub use layout::{Layout, LayoutError};
pub use registration::{BookieAddress, BookieRegistration};

/// Maximum bookies of an ensemble that a decoder accepts. Ensembles have three to seven.
pub const MAX_ENSEMBLE: usize = 256;

/// Maximum segments of a ledger that a decoder accepts: one more with each change of the ensemble.
pub const MAX_SEGMENTS: usize = 65_536;

/// Identifier of a bookie: `host:port`, or a free text that its registration resolves.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BookieId(Arc<str>);

impl BookieId {
    /// Returns the id with this text.
    #[must_use]
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }

    /// Returns the id's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for BookieId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Format of a metadata node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// Lines of numbers. Drops password, digest, custom metadata and an ack quorum of its own.
    Lines,
    /// Protobuf's text format. Every version of BookKeeper since 4.2 reads it.
    Text,
    /// Protobuf behind its length. Versions before 4.9 fail on it.
    Binary,
}

impl Format {
    const fn number(self) -> u8 {
        match self {
            Self::Lines => 1,
            Self::Text => 2,
            Self::Binary => 3,
        }
    }
}

/// State of a ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LedgerState {
    /// A writer may append.
    Open,
    /// A recovery has begun; its writer must not change the ensemble any more.
    InRecovery,
    /// The last entry is final.
    Closed,
}

/// Bookies that store the entries from one entry on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// First entry that these bookies store.
    pub first_entry: EntryId,
    /// The bookies. Entry `e` is at the indices `(e + i) % ensemble.len()`, `i` below the write
    /// quorum.
    pub ensemble: Vec<BookieId>,
}

/// Metadata of a ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerMetadata {
    /// Format of the node. An update keeps it, so that its readers still can.
    pub format: Format,
    /// Bookies of an ensemble.
    pub ensemble_size: usize,
    /// Bookies that store each entry.
    pub write_quorum: usize,
    /// Bookies that must have stored an entry before it is acknowledged.
    pub ack_quorum: usize,
    /// State of the ledger.
    pub state: LedgerState,
    /// Last entry; [`NO_ENTRY`] of an empty ledger and of one that is not closed.
    pub last_entry: EntryId,
    /// Bytes of all payloads; 0 while the ledger is not closed.
    pub length: u64,
    /// Segments with ascending first entries. The first begins at 0.
    pub segments: Vec<Segment>,
    /// Digest of the entries, or `None` where the format or an old version leaves it out.
    pub digest: Option<DigestType>,
    /// Password, in clear, or `None` where the format leaves it out.
    pub password: Option<Bytes>,
    /// Time of creation in milliseconds since 1970.
    pub created_unix_ms: Option<i64>,
    /// Metadata of applications.
    pub custom: BTreeMap<String, Bytes>,
    /// Number by which a creator recognises its own node when ZooKeeper's reply was lost.
    pub creator_token: Option<i64>,
    /// Fields of newer versions as they are encoded, which an update keeps.
    pub unknown: Bytes,
}

/// First line of every node, before the number of its format.
const VERSION_KEY: &[u8] = b"BookieMetadataFormatVersion\t";

impl LedgerMetadata {
    /// Decodes a node's data.
    ///
    /// # Errors
    /// [`DecodeError`] if the data is not the metadata of a ledger, or contradicts itself.
    pub fn decode(data: &[u8]) -> Result<Self, DecodeError> {
        let syntax = DecodeError::new("BookieMetadataFormatVersion", DecodeErrorKind::Syntax);
        let rest = data.strip_prefix(VERSION_KEY).ok_or(syntax)?;
        let end = rest.iter().position(|&byte| byte == b'\n').ok_or(syntax)?;
        let (number, body) = (&rest[..end], &rest[end + 1..]);
        let metadata = match number {
            b"1" => lines::decode(body)?,
            b"2" => text::decode(body)?,
            b"3" => binary::decode(body)?,
            _ => return Err(syntax),
        };
        metadata.check()?;
        Ok(metadata)
    }

    /// Encodes the node's data in the metadata's format.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::new();
        out.put_slice(VERSION_KEY);
        out.put_u8(b'0' + self.format.number());
        out.put_u8(b'\n');
        match self.format {
            Format::Lines => lines::encode(self, &mut out),
            Format::Text => text::encode(self, &mut out),
            Format::Binary => binary::encode(self, &mut out),
        }
        out.freeze()
    }

    /// Returns the segment that holds an entry.
    #[must_use]
    pub fn segment_of(&self, entry: EntryId) -> &Segment {
        let after = self
            .segments
            .partition_point(|segment| segment.first_entry <= entry);
        &self.segments[after.saturating_sub(1)]
    }

    /// Returns the last segment, to which a writer appends.
    #[must_use]
    pub fn last_segment(&self) -> &Segment {
        self.segments
            .last()
            .expect("metadata has at least one segment: `check` and creators see to it")
    }

    /// Returns true if the ledger is closed.
    #[must_use]
    pub const fn is_closed(&self) -> bool {
        matches!(self.state, LedgerState::Closed)
    }

    /// Refuses metadata that no client could have written.
    pub(crate) fn check(&self) -> Result<(), DecodeError> {
        let refuse = |field, value: usize| {
            let value = i64::try_from(value).unwrap_or(i64::MAX);
            Err(DecodeError::new(field, DecodeErrorKind::OutOfRange(value)))
        };
        if self.ensemble_size == 0 || self.ensemble_size > MAX_ENSEMBLE {
            return refuse("ensembleSize", self.ensemble_size);
        }
        if self.write_quorum == 0 || self.write_quorum > self.ensemble_size {
            return refuse("quorumSize", self.write_quorum);
        }
        if self.ack_quorum == 0 || self.ack_quorum > self.write_quorum {
            return refuse("ackQuorumSize", self.ack_quorum);
        }
        if self.last_entry < NO_ENTRY {
            let kind = DecodeErrorKind::OutOfRange(self.last_entry);
            return Err(DecodeError::new("lastEntryId", kind));
        }
        let mut before = NO_ENTRY;
        for segment in &self.segments {
            // An ensemble has its size: entries are found by the remainder of it.
            if segment.ensemble.len() != self.ensemble_size {
                return refuse("segment.ensembleMember", segment.ensemble.len());
            }
            if segment.first_entry <= before {
                let kind = DecodeErrorKind::OutOfRange(segment.first_entry);
                return Err(DecodeError::new("segment.firstEntryId", kind));
            }
            before = segment.first_entry;
        }
        match self.segments.first() {
            Some(first) if first.first_entry == 0 => Ok(()),
            Some(_) | None => Err(DecodeError::missing("segment.firstEntryId")),
        }
    }
}

/// Fields that the decoders of formats 2 and 3 gather before the required fields are known to be
/// there.
#[derive(Default)]
struct Partial {
    write_quorum: Option<usize>,
    ensemble_size: Option<usize>,
    length: Option<u64>,
    last_entry: Option<EntryId>,
    state: Option<LedgerState>,
    segments: Vec<Segment>,
    digest: Option<DigestType>,
    password: Option<Bytes>,
    ack_quorum: Option<usize>,
    created_unix_ms: Option<i64>,
    custom: BTreeMap<String, Bytes>,
    creator_token: Option<i64>,
    unknown: BytesMut,
}

impl Partial {
    fn complete(self, format: Format) -> Result<LedgerMetadata, DecodeError> {
        let write_quorum = self
            .write_quorum
            .ok_or_else(|| DecodeError::missing("quorumSize"))?;
        Ok(LedgerMetadata {
            format,
            ensemble_size: self
                .ensemble_size
                .ok_or_else(|| DecodeError::missing("ensembleSize"))?,
            write_quorum,
            // Versions before ack quorums acknowledged with all.
            ack_quorum: self.ack_quorum.unwrap_or(write_quorum),
            state: self.state.ok_or_else(|| DecodeError::missing("state"))?,
            last_entry: self.last_entry.unwrap_or(NO_ENTRY),
            length: self.length.ok_or_else(|| DecodeError::missing("length"))?,
            segments: self.segments,
            digest: self.digest,
            password: self.password,
            created_unix_ms: self.created_unix_ms,
            custom: self.custom,
            creator_token: self.creator_token,
            unknown: self.unknown.freeze(),
        })
    }

    fn add_segment(&mut self, segment: Segment) -> Result<(), DecodeError> {
        if self.segments.len() == MAX_SEGMENTS {
            let kind = DecodeErrorKind::TooMany {
                limit: MAX_SEGMENTS,
            };
            return Err(DecodeError::new("segment", kind));
        }
        self.segments.push(segment);
        Ok(())
    }
}

/// Adds a bookie to an ensemble, unless it has too many.
fn add_member(ensemble: &mut Vec<BookieId>, member: &str) -> Result<(), DecodeError> {
    if ensemble.len() == MAX_ENSEMBLE {
        let kind = DecodeErrorKind::TooMany {
            limit: MAX_ENSEMBLE,
        };
        return Err(DecodeError::new("segment.ensembleMember", kind));
    }
    ensemble.push(BookieId::new(member));
    Ok(())
}

fn state_of(code: i64) -> Result<LedgerState, DecodeError> {
    Ok(match code {
        1 => LedgerState::Open,
        2 => LedgerState::InRecovery,
        3 => LedgerState::Closed,
        _ => return Err(DecodeError::new("state", DecodeErrorKind::OutOfRange(code))),
    })
}

fn digest_of(code: i64) -> Result<DigestType, DecodeError> {
    DigestType::from_code(code)
        .ok_or_else(|| DecodeError::new("digestType", DecodeErrorKind::OutOfRange(code)))
}

fn size_of(field: &'static str, value: i64) -> Result<usize, DecodeError> {
    usize::try_from(value).map_err(|_| DecodeError::new(field, DecodeErrorKind::OutOfRange(value)))
}

fn length_of(value: i64) -> Result<u64, DecodeError> {
    u64::try_from(value).map_err(|_| DecodeError::new("length", DecodeErrorKind::OutOfRange(value)))
}
