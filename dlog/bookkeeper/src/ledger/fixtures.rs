//! A ledger for the scripts of the state machines: 3/3/2, CRC-32, entries of one byte.

use bytes::Bytes;

use super::ReadAnswer;
use crate::entry::{DigestType, EntryCodec};
use crate::metadata::{BookieId, Format, LedgerMetadata, LedgerState, Segment};
use crate::{EntryId, NO_ENTRY};

pub(super) fn id(name: &str) -> BookieId {
    BookieId::new(name)
}

pub(super) fn codec() -> EntryCodec {
    EntryCodec::new(7, DigestType::Crc32, b"")
}

/// Body of an entry of one byte.
pub(super) fn body(entry: EntryId, lac: EntryId) -> ReadAnswer {
    let length = u64::try_from(entry + 1).expect("an entry");
    ReadAnswer::Body(codec().encode(entry, lac, length, b"x"))
}

/// Metadata of an open ledger with these segments: first entry and bookies.
pub(super) fn metadata(segments: &[(EntryId, [&str; 3])]) -> LedgerMetadata {
    let segment = |(first_entry, names): &(EntryId, [&str; 3])| Segment {
        first_entry: *first_entry,
        ensemble: names.map(id).to_vec(),
    };
    LedgerMetadata {
        format: Format::Text,
        ensemble_size: 3,
        write_quorum: 3,
        ack_quorum: 2,
        state: LedgerState::Open,
        last_entry: NO_ENTRY,
        length: 0,
        segments: segments.iter().map(segment).collect(),
        digest: Some(DigestType::Crc32),
        password: Some(Bytes::new()),
        created_unix_ms: None,
        custom: Default::default(),
        creator_token: None,
        unknown: Bytes::new(),
    }
}
