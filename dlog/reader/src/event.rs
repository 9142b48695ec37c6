use core::fmt;

use bytes::Bytes;
use distributedlog::Dlsn;
use distributedlog::wire::record_set::SetIdentity;

/// What a reader delivers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadEvent {
    /// A record.
    Record(Record),
    /// A record set that cannot be read. The reading goes on behind it.
    Malformed(MalformedSet),
}

impl ReadEvent {
    /// The position of the record, or of the set's first one.
    #[must_use]
    pub const fn dlsn(&self) -> Dlsn {
        match self {
            Self::Record(record) => record.dlsn,
            Self::Malformed(set) => set.dlsn,
        }
    }
}

/// One record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its position in the stream.
    pub dlsn: Dlsn,
    /// The application's bytes.
    pub payload: Bytes,
    /// When the store wrote it: milliseconds since 1970.
    pub written_unix_ms: u64,
    /// Which record set it came in, when the set's writer said so (R12): copies of a set in other
    /// streams carry the same identity.
    pub set: Option<SetIdentity>,
    /// Which record of its set it is, from 0; 0 for a record that was written alone.
    pub set_slot: u32,
    /// How many records its set has, itself included; 1 for a record that was written alone.
    pub set_slots: u32,
}

/// A record set that cannot be read: its positions hold nothing that could be delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MalformedSet {
    /// The position of its first record.
    pub dlsn: Dlsn,
    /// How many positions it takes, from `dlsn` on.
    pub slots: u32,
    /// How many bytes of it are in the store.
    pub stored_bytes: usize,
    /// What is wrong with it.
    pub reason: String,
}

impl fmt::Display for MalformedSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the record set of {} records and {} bytes at {} cannot be read: {}",
            self.slots, self.stored_bytes, self.dlsn, self.reason
        )
    }
}
