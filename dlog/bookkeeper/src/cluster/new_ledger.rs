use std::collections::BTreeMap;

use bytes::Bytes;

use crate::NO_ENTRY;
use crate::entry::DigestType;
use crate::metadata::{BookieId, Format, LedgerMetadata, LedgerState, Segment};

/// Key of the custom metadata by which a creator recognises its own node in format 2, whose field
/// `cToken` versions before 4.17 do not have. It survives all changes.
const TOKEN_KEY: &str = "dlog-create";

/// A ledger to create.
#[derive(Clone, Debug)]
pub struct NewLedger {
    /// Bookies of the first ensemble, in order.
    pub ensemble: Vec<BookieId>,
    /// Bookies that store each entry.
    pub write_quorum: usize,
    /// Bookies that must have stored an entry before it is acknowledged.
    pub ack_quorum: usize,
    /// Digest of the entries. DistributedLog's ledgers have CRC-32.
    pub digest: DigestType,
    /// Password. DistributedLog's default is the empty one.
    pub password: Bytes,
    /// Format of the metadata. Versions of BookKeeper before 4.9 fail on [`Format::Binary`].
    pub format: Format,
    /// Time of creation in milliseconds since 1970.
    pub created_unix_ms: i64,
    /// Metadata of the application.
    pub custom: BTreeMap<String, Bytes>,
    /// Random number by which a creation whose reply was lost is recognised. Never the same twice.
    pub token: u128,
}

impl NewLedger {
    /// Returns the metadata of the open ledger, with the token.
    #[must_use]
    pub fn metadata(&self) -> LedgerMetadata {
        let mut custom = self.custom.clone();
        let mut creator_token = None;
        match self.format {
            Format::Text => {
                let token = Bytes::copy_from_slice(&self.token.to_be_bytes());
                custom.insert(TOKEN_KEY.to_owned(), token);
            }
            Format::Binary => creator_token = Some(self.short_token()),
            // It has room for none.
            Format::Lines => {}
        }
        LedgerMetadata {
            format: self.format,
            ensemble_size: self.ensemble.len(),
            write_quorum: self.write_quorum,
            ack_quorum: self.ack_quorum,
            state: LedgerState::Open,
            last_entry: NO_ENTRY,
            length: 0,
            segments: vec![Segment {
                first_entry: 0,
                ensemble: self.ensemble.clone(),
            }],
            digest: Some(self.digest),
            password: Some(self.password.clone()),
            created_unix_ms: Some(self.created_unix_ms),
            custom,
            creator_token,
            unknown: Bytes::new(),
        }
    }

    /// Returns true if a node is this creation's own.
    pub(super) fn is_own(&self, stored: &LedgerMetadata) -> bool {
        match self.format {
            Format::Text => stored
                .custom
                .get(TOKEN_KEY)
                .is_some_and(|token| **token == self.token.to_be_bytes()),
            Format::Binary => stored.creator_token == Some(self.short_token()),
            // Another client could have created the same. The ledger is left, and another created.
            Format::Lines => false,
        }
    }

    /// The token in 64 bits, never 0, which Java writes for none.
    const fn short_token(&self) -> i64 {
        let folded = (self.token >> 64) as u64 ^ self.token as u64;
        (folded | 1).cast_signed()
    }
}
