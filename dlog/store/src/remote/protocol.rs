//! What the bodies of the frames hold, in postcard's encoding.
//!
//! The session begins with Tinit, whose header [`HELLO`] carries a [`Hello`]; Rinit answers with
//! [`WELCOME`], [`REFUSED`] or [`BUSY`]. Both hello and welcome begin with the protocol's version,
//! so that any later version can tell an older one what is wrong. Then each Tdispatch holds a
//! [`Request`] and each Rdispatch a `Result<Response, StoreError>`. A request that is not wanted
//! any more is discarded by Tdiscarded and still answered, with Rdiscarded when there is nothing
//! else to say, so that its tag is free on both sides.
// Only this crate and, by the feature `internals`, its tests see what is public here.
#![allow(missing_docs, unreachable_pub)]

use bytes::Bytes;
use distributedlog::Dlsn;
use serde::{Deserialize, Serialize};

use crate::{
    Acquired, Entry, EntryRecord, Lease, Owner, ReadLimit, StoreError, StoredEntry, StreamInfo,
    StreamName,
};

/// The version of everything in this file. Grows with every change of it.
pub const VERSION: u16 = 2;

/// Key of Tinit's header with the [`Hello`].
pub const HELLO: &[u8] = b"dlog-store";
/// Key of Rinit's header with the [`Welcome`].
pub const WELCOME: &[u8] = b"dlog-store";
/// Key of Rinit's header with a text that says why this client is not served, now or later.
pub const REFUSED: &[u8] = b"dlog-store-refused";
/// Key of Rinit's header with a text that says why this client is not served now.
pub const BUSY: &[u8] = b"dlog-store-busy";

/// A description longer than this is cut by the client and refused by the server.
pub const MAX_DESCRIPTION_BYTES: usize = 256;

/// At most this many names are answered at once; the client asks for more.
pub const NAMES_PER_PAGE: usize = 8192;

/// Who connects, and what it wants.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello<'a> {
    /// The namespace of the client's URI.
    pub namespace: &'a str,
    /// A program and its process, for the server's log.
    pub description: &'a str,
    /// The largest frame that the client reads, in bytes.
    pub max_frame_bytes: u32,
    /// The session to come back to.
    pub resume: Option<SessionKey>,
}

/// What names a session, and proves that it is one's own. It keeps clients from taking each other's
/// sessions by mistake, not by malice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionKey {
    pub id: u64,
    pub secret: u64,
}

/// What the server answers to a client that it serves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// The session, for coming back to it.
    pub session: SessionKey,
    /// Whether it is the one that the client asked for; its leases are valid still.
    pub resumed: bool,
    /// How often the client is to ping, in milliseconds. Silence of four times that length ends
    /// the connection on either side.
    pub ping_every_ms: u32,
    /// The largest frame that the server reads, in bytes.
    pub max_frame_bytes: u32,
    /// How long the session lives on after its connection is lost, in milliseconds.
    pub grace_ms: u32,
}

/// What a client asks for.
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

/// The operations that are neither hot nor held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Operation {
    Create(StreamName),
    Delete(StreamName),
    /// A page of the names after this one.
    List {
        after: Option<StreamName>,
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
    /// Ends the session: its leases are released without grace.
    Leave,
}

/// What an operation answers.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub enum Response<'a> {
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
}

/// An [`EntryRecord`] whose payload lies in the frame.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordRef<'a> {
    payload: &'a [u8],
    slots: u32,
    is_record_set: bool,
}

/// A [`StoredEntry`] whose payloads lie in the frame.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryRef<'a> {
    dlsn: Dlsn,
    written_unix_ms: u64,
    #[serde(borrow)]
    records: Vec<RecordRef<'a>>,
}

impl<'a> RecordRef<'a> {
    /// Whether records make an entry: there is one, and each set takes a slot.
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

/// The entry whose payloads are slices of `frame`, without copying them.
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

/// The entries whose payloads are slices of `frame`, without copying them.
pub fn own_entries(entries: &[EntryRef<'_>], frame: &Bytes) -> Vec<StoredEntry> {
    let own = |entry: &EntryRef<'_>| StoredEntry {
        dlsn: entry.dlsn,
        written_unix_ms: entry.written_unix_ms,
        records: own_records(&entry.records, frame),
    };
    entries.iter().map(own).collect()
}

/// What a request or response is answered with.
pub type Answer<'a> = Result<Response<'a>, StoreError>;

/// Appends `value` to `out`.
pub fn encode<T: Serialize>(value: &T, out: &mut Vec<u8>) {
    postcard::serialize_with_flavor(value, Tail(out))
        .expect("these types have no map or sequence of unknown length, and a Vec grows");
}

/// Reads a value that takes all of `bytes`.
pub fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, Malformed> {
    match postcard::take_from_bytes(bytes) {
        Ok((value, [])) => Ok(value),
        Ok((_, rest)) => Err(Malformed {
            at: bytes.len() - rest.len(),
            detail: "more bytes than belong there".into(),
        }),
        Err(error) => Err(Malformed {
            at: bytes.len(),
            detail: error.to_string(),
        }),
    }
}

/// Appends the version and `value`.
pub fn encode_versioned<T: Serialize>(value: &T, out: &mut Vec<u8>) {
    encode(&VERSION, out);
    encode(value, out);
}

/// Reads the version and, when it is ours, the value that takes the rest.
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

/// The peer speaks this version instead of [`VERSION`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OtherVersion(pub u16);

/// Bytes that are not what they should be.
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

/// postcard's output at the end of a vector, by slices rather than by bytes.
struct Tail<'a>(&'a mut Vec<u8>);

impl postcard::ser_flavors::Flavor for Tail<'_> {
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
