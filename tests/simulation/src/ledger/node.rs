//! The ledger's node in ZooKeeper.

use distributedlog_bookkeeper::ledger::{MetadataReply, SetReply, Versioned};
use distributedlog_bookkeeper::metadata::LedgerMetadata;

/// The node: its bytes, as ZooKeeper has them, and its version.
pub(super) struct Node {
    data: Vec<u8>,
    version: i32,
}

impl Node {
    pub(super) fn new(metadata: &LedgerMetadata) -> Self {
        Self {
            data: metadata.encode().to_vec(),
            version: 0,
        }
    }

    pub(super) fn set(&mut self, next: &Versioned) -> SetReply {
        if next.version != self.version {
            return SetReply::BadVersion;
        }
        let before = self.metadata();
        let after = &next.metadata;
        assert!(
            !before.is_closed() || *after == before,
            "I3 a closed ledger stays as it is: {before:?} became {after:?}"
        );
        let firsts: Vec<_> = after.segments.iter().map(|it| it.first_entry).collect();
        assert!(
            firsts.is_sorted_by(|a, b| a < b),
            "first entries of segments ascend: {firsts:?}"
        );
        self.data = after.encode().to_vec();
        self.version += 1;
        SetReply::Done(self.version)
    }

    pub(super) fn get(&self) -> MetadataReply {
        MetadataReply::Found(Versioned {
            metadata: self.metadata(),
            version: self.version,
        })
    }

    /// The stored metadata.
    pub(super) fn metadata(&self) -> LedgerMetadata {
        LedgerMetadata::decode(&self.data).expect("every client stores valid metadata")
    }
}
