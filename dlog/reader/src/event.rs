use core::fmt;

use bytes::Bytes;
use distributedlog::Dlsn;
use distributedlog::wire::record_set::SetIdentity;

/// An item that a reader delivers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadEvent {
    /// A record.
    Record(Record),
    /// A record set that cannot be read. The reader goes on behind it.
    Malformed(MalformedSet),
}

impl ReadEvent {
    /// Returns the position of the record, or of the set's first record.
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
#[non_exhaustive]
pub struct Record {
    /// Its position in the stream.
    pub dlsn: Dlsn,
    /// The application's bytes.
    pub payload: Bytes,
    /// Time at which the store wrote the record: milliseconds since 1970.
    pub written_unix_ms: u64,
    /// Identity of the record set that the record came in (R12): duplicates of the set in other
    /// streams have the same one. `None` if the record was written alone, or its writer puts no
    /// identities into its sets.
    pub set: Option<SetIdentity>,
    /// Index of the record in its set, from 0; 0 for a record that was written alone.
    pub set_slot: u32,
    /// Number of records in its set, itself included; 1 for a record that was written alone.
    pub set_slots: u32,
}

impl Record {
    /// Creates a record that was written alone, for tests of what an application does with records.
    #[must_use]
    pub const fn new(dlsn: Dlsn, payload: Bytes, written_unix_ms: u64) -> Self {
        Self {
            dlsn,
            payload,
            written_unix_ms,
            set: None,
            set_slot: 0,
            set_slots: 1,
        }
    }
}

/// A record set that cannot be read: no record at its positions can be delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MalformedSet {
    /// Position of its first record at or after the reader's start.
    pub dlsn: Dlsn,
    /// Number of positions that it takes, from `dlsn` on.
    pub slots: u32,
    /// Size of the set in the store, in bytes.
    pub stored_bytes: usize,
    /// Description of the damage.
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
