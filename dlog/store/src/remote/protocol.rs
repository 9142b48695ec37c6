//! Bodies of the protocol's frames, in postcard's encoding.
//!
//! The session begins with Tinit, whose header [`HELLO`] contains a [`Hello`]; Rinit replies with
//! [`WELCOME`], [`REFUSED`] or [`BUSY`]; if both share a secret, two more messages come before that
//! (`secret.rs`). Hello and welcome begin with the protocol's version, so
//! that versions that do not understand each other can report that. Then each Tdispatch contains a
//! [`Request`] and each Rdispatch a `Result<Reply, StoreError>`. Tdiscarded cancels a request; it
//! still gets a reply, its own or Rdiscarded, so that both sides know that its tag is free.
// Public for this crate and, with the feature `internals`, for its tests.
#![allow(missing_docs, unreachable_pub)]

use bytes::Bytes;
use distributedlog::Dlsn;
use serde::{Deserialize, Serialize, Serializer};

use crate::{
    Acquired, Entry, EntryRecord, Lease, Owner, ReadLimit, Retention, RetentionInfo, StoreError,
    StoreId, StoredEntry, StreamInfo, StreamName,
};

/// Version of the protocol. Increase it with every change of this file's types.
pub const VERSION: u16 = 5;

/// Key of Tinit's header with the [`Hello`].
pub const HELLO: &[u8] = b"dlog-store";
/// Key of Rinit's header with the [`Welcome`].
pub const WELCOME: &[u8] = b"dlog-store";
/// Key of Rinit's header with the reason why this client is refused permanently.
pub const REFUSED: &[u8] = b"dlog-store-refused";
/// Key of Rinit's header with the reason why this client is refused temporarily.
pub const BUSY: &[u8] = b"dlog-store-busy";

/// Maximum length of a description. The client truncates a longer one; the server refuses it.
pub const MAX_DESCRIPTION_BYTES: usize = 256;

/// Maximum number of names in a reply, whatever the limit of its request; the client requests the
/// next page.
pub const NAMES_PER_PAGE: usize = 8192;

/// The client's first message.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello<'a> {
    /// The namespace of the client's URI.
    pub namespace: &'a str,
    /// Program and process of the client, for the server's log.
    pub description: &'a str,
    /// The largest frame that the client reads, in bytes.
    pub max_frame_bytes: u32,
    /// Session to resume.
    pub resume: Option<SessionKey>,
}

/// Identifies a session and proves its possession. It prevents clients from resuming each other's
/// sessions by mistake; it is no protection against attackers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionKey {
    pub id: u64,
    pub secret: u64,
}

/// The server's reply to a hello that it accepts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// Identity of the store, if it has one.
    pub store: Option<StoreId>,
    /// Session of this client, to resume after a lost connection.
    pub session: SessionKey,
    /// True if it is the session that the client wanted to resume; its leases are still valid.
    pub resumed: bool,
    /// Interval of the client's pings in milliseconds. Either side closes the connection after four
    /// intervals without a frame.
    pub ping_every_ms: u32,
    /// The largest frame that the server reads, in bytes.
    pub max_frame_bytes: u32,
    /// Time in milliseconds for which the server keeps the session after its connection is lost.
    pub grace_ms: u32,
}

/// A client's request.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub enum Request<'a> {
    Append {
        lease: Lease,
        #[serde(borrow)]
        records: Vec<RecordRef<'a>>,
    },
    Read {
        stream: StreamName,
        from: Dlsn,
        limit: ReadLimit,
    },
    Do(Operation),
}

/// Operations that are neither frequent nor waiting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Operation {
    Create(StreamName),
    Delete(StreamName),
    /// Lists a page of the names after this one that begin with a prefix.
    List {
        after: Option<StreamName>,
        prefix: String,
        limit: u32,
    },
    Describe(StreamName),
    Acquire {
        stream: StreamName,
        owner: Owner,
    },
    Release(Lease),
    Truncate {
        stream: StreamName,
        before: Dlsn,
    },
    /// Ends the session and releases its leases without a grace period.
    EndSession,
    /// Sets the retention of a stream, or of the namespace.
    SetRetention {
        stream: Option<StreamName>,
        retention: Option<Retention>,
    },
    /// Requests the retention of a stream, or of the namespace.
    Retention(Option<StreamName>),
    /// Requests whether a write would be taken now.
    CheckHealth,
}

/// Successful reply to a request.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub enum Reply<'a> {
    Done,
    Names {
        names: Vec<StreamName>,
        more: bool,
    },
    Info(StreamInfo),
    Acquired(Acquired),
    Appended(Dlsn),
    Batch {
        #[serde(borrow)]
        entries: Vec<EntryRef<'a>>,
        next: Dlsn,
        start: Dlsn,
        created_unix_ms: u64,
    },
    Retention(RetentionInfo),
}

/// An [`EntryRecord`] whose payload is borrowed from the frame.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordRef<'a> {
    #[serde(serialize_with = "as_bytes")]
    payload: &'a [u8],
    slots: u32,
    is_record_set: bool,
}

/// Serializes bytes at once. serde takes a slice for a sequence, of which each byte is a value of
/// its own; postcard encodes both alike.
fn as_bytes<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_bytes(bytes)
}

/// A [`StoredEntry`] whose payloads are borrowed from the frame.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryRef<'a> {
    dlsn: Dlsn,
    written_unix_ms: u64,
    #[serde(borrow)]
    records: Vec<RecordRef<'a>>,
}

impl<'a> RecordRef<'a> {
    /// Returns true if the records are a valid entry: there is at least one, and each record set
    /// has a slot.
    pub fn make_entry(records: &[Self]) -> bool {
        !records.is_empty()
            && records
                .iter()
                .all(|record| record.slots > 0 || !record.is_record_set)
    }

    pub fn list(records: &'a [EntryRecord]) -> Vec<Self> {
        records
            .iter()
            .map(|record| Self {
                payload: &record.payload,
                slots: record.slots,
                is_record_set: record.is_record_set,
            })
            .collect()
    }
}

/// Returns the entry with payloads as slices of `frame`, without copying them.
pub fn own_entry(records: &[RecordRef<'_>], frame: &Bytes) -> Entry {
    Entry {
        records: own_records(records, frame),
    }
}

fn own_records(records: &[RecordRef<'_>], frame: &Bytes) -> Vec<EntryRecord> {
    let own = |record: &RecordRef<'_>| EntryRecord {
        payload: frame.slice_ref(record.payload),
        slots: record.slots,
        is_record_set: record.is_record_set,
    };
    records.iter().map(own).collect()
}

impl<'a> EntryRef<'a> {
    pub fn list(entries: &'a [StoredEntry]) -> Vec<Self> {
        let lend = |entry: &'a StoredEntry| Self {
            dlsn: entry.dlsn,
            written_unix_ms: entry.written_unix_ms,
            records: RecordRef::list(&entry.records),
        };
        entries.iter().map(lend).collect()
    }
}

/// Returns the entries with payloads as slices of `frame`, without copying them.
pub fn own_entries(entries: &[EntryRef<'_>], frame: &Bytes) -> Vec<StoredEntry> {
    let own = |entry: &EntryRef<'_>| StoredEntry {
        dlsn: entry.dlsn,
        written_unix_ms: entry.written_unix_ms,
        records: own_records(&entry.records, frame),
    };
    entries.iter().map(own).collect()
}

/// Reply to a request: success or the store's error.
pub type ReplyResult<'a> = Result<Reply<'a>, StoreError>;

/// Appends the encoding of `value` to `out`.
pub fn encode<T: Serialize>(value: &T, out: &mut Vec<u8>) {
    postcard::serialize_with_flavor(value, Append(out))
        .expect("these types have no map or sequence of unknown length, and a Vec grows");
}

/// Decodes a value that takes all of `bytes`.
pub fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, Malformed> {
    match postcard::take_from_bytes(bytes) {
        Ok((value, [])) => Ok(value),
        Ok((_, rest)) => Err(Malformed {
            at: bytes.len() - rest.len(),
            detail: "unexpected bytes after the value".into(),
        }),
        Err(error) => Err(Malformed {
            at: bytes.len(),
            detail: error.to_string(),
        }),
    }
}

/// Appends the version and the encoding of `value`.
pub fn encode_versioned<T: Serialize>(value: &T, out: &mut Vec<u8>) {
    encode(&VERSION, out);
    encode(value, out);
}

/// Decodes the version and, if it is [`VERSION`], the value that takes the rest.
pub fn decode_versioned<'a, T: Deserialize<'a>>(
    bytes: &'a [u8],
) -> Result<Result<T, OtherVersion>, Malformed> {
    let (version, rest) = postcard::take_from_bytes::<u16>(bytes).map_err(|error| Malformed {
        at: 0,
        detail: format!("no version: {error}"),
    })?;
    if version != VERSION {
        return Ok(Err(OtherVersion(version)));
    }
    decode(rest).map(Ok)
}

/// The peer's version, which is not [`VERSION`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OtherVersion(pub u16);

/// Error of bytes that cannot be decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed {
    at: usize,
    detail: String,
}

impl core::fmt::Display for Malformed {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "malformed at byte {}: {}", self.at, self.detail)
    }
}

/// Output of postcard that appends to a vector, by slices rather than by bytes.
struct Append<'a>(&'a mut Vec<u8>);

impl postcard::ser_flavors::Flavor for Append<'_> {
    type Output = ();

    fn try_extend(&mut self, data: &[u8]) -> postcard::Result<()> {
        self.0.extend_from_slice(data);
        Ok(())
    }

    fn try_push(&mut self, data: u8) -> postcard::Result<()> {
        self.0.push(data);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use postcard::ser_flavors::Flavor;

    use super::*;

    /// Output that counts the bytes which came one by one, and those which came in slices.
    #[derive(Default)]
    struct Counting {
        single: usize,
        in_slices: usize,
    }

    impl Flavor for Counting {
        type Output = Self;

        fn try_extend(&mut self, data: &[u8]) -> postcard::Result<()> {
            self.in_slices += data.len();
            Ok(())
        }

        fn try_push(&mut self, _: u8) -> postcard::Result<()> {
            self.single += 1;
            Ok(())
        }

        fn finalize(self) -> postcard::Result<Self> {
            Ok(self)
        }
    }

    #[test]
    fn payloads_are_appended_whole() {
        let records = [EntryRecord {
            payload: Bytes::from(vec![7; 10_000]),
            slots: 1,
            is_record_set: false,
        }];
        let request = Request::Append {
            lease: Lease {
                stream: StreamName::new("s").expect("a name"),
                epoch: 1,
            },
            records: RecordRef::list(&records),
        };
        let counted = postcard::serialize_with_flavor(&request, Counting::default());
        let Counting { single, in_slices } = counted.expect("it takes all");
        assert!(single < 20 && in_slices > 10_000, "{single}, {in_slices}");
        let mut bytes = Vec::new();
        encode(&request, &mut bytes);
        assert_eq!(decode::<Request<'_>>(&bytes), Ok(request));
        // Its length and its bytes, as those of a sequence are encoded.
        assert!(bytes.windows(4).any(|it| it == [0x90, 0x4e, 7, 7]));
    }
}
