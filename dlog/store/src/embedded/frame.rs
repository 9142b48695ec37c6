//! Encoding of one entry of the journal, called a frame.
//!
//! All integers are little-endian; offsets count from the frame's start:
//!
//! | offset | size | content |
//! |---|---|---|
//! | 0 | 4 | CRC-32C of everything after it |
//! | 4 | 4 | length of the whole frame, these eight bytes included |
//! | 8 | 4 | kind: 1 entry of a stream, 2 change of the metadata, 3 compaction's copy of an entry |
//! | 12 | 4 | number of records (0 for a change) |
//! | 16 | 8 | stream id (0 for a change) |
//! | 24 | 8 | log segment sequence number (0 for a change) |
//! | 32 | 8 | entry id (0 for a change) |
//! | 40 | 8 | time of writing, milliseconds since 1970 |
//! | 48 | | the records, or the change in postcard's encoding |
//!
//! A record is its u32 length, its u32 number of slots (0 for a control record), with the highest
//! bit set for a record set, and its bytes.

use bytes::Bytes;

use super::change::Change;
use crate::{Entry, EntryRecord};

pub(super) const FRAME_HEADER: usize = 48;
const RECORD_HEADER: usize = 8;
const KIND_ENTRY: u32 = 1;
const KIND_CHANGE: u32 = 2;
const KIND_COPY: u32 = 3;
const RECORD_SET_BIT: u32 = 1 << 31;

/// Identifies an entry: stream, log segment and entry id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct EntryKey {
    pub(super) stream: u64,
    pub(super) lssn: u64,
    pub(super) entry: u64,
}

/// A frame whose checksum is correct.
#[derive(Debug)]
pub(super) struct Frame<'a> {
    pub(super) unix_ms: u64,
    pub(super) body: Body<'a>,
}

#[derive(Debug)]
pub(super) enum Body<'a> {
    Entry {
        key: EntryKey,
        records: Records<'a>,
    },
    /// A copy of an entry, in place of the one that was appended.
    Copy {
        key: EntryKey,
        records: Records<'a>,
    },
    Change(Change),
}

impl Body<'_> {
    /// Returns the key of an entry or of its copy, or `None` for a change.
    pub(super) const fn key(&self) -> Option<EntryKey> {
        match self {
            Self::Entry { key, .. } | Self::Copy { key, .. } => Some(*key),
            Self::Change(_) => None,
        }
    }
}

/// The records of an entry. Invariant: `count` records fill `bytes` exactly.
#[derive(Clone, Copy, Debug)]
pub(super) struct Records<'a> {
    bytes: &'a [u8],
    count: u32,
}

/// Returns an entry's size as the limits count it: its payloads and eight bytes for each record.
pub(super) fn entry_size(entry: &Entry) -> usize {
    entry
        .records
        .iter()
        .map(|record| RECORD_HEADER.saturating_add(record.payload.len()))
        .fold(0, usize::saturating_add)
}

/// Returns the number of slots of the entry's records.
pub(super) fn entry_slots(entry: &Entry) -> u64 {
    entry
        .records
        .iter()
        .map(|record| u64::from(record.slots))
        .sum()
}

/// Appends the frame of an entry to `out` and returns its checksum.
pub(super) fn put_entry(out: &mut Vec<u8>, key: EntryKey, unix_ms: u64, entry: &Entry) -> u32 {
    let start = out.len();
    let count =
        u32::try_from(entry.records.len()).expect("the size limit leaves fewer records than 2^32");
    put_header(out, KIND_ENTRY, count, key, unix_ms);
    for record in &entry.records {
        let length = u32::try_from(record.payload.len()).expect("the size limit is below 2^32");
        let flag = if record.is_record_set {
            RECORD_SET_BIT
        } else {
            0
        };
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(&(record.slots | flag).to_le_bytes());
        out.extend_from_slice(&record.payload);
    }
    finish(out, start)
}

/// Appends a copy of an entry's frame to `out` and returns its checksum. The frame is one that
/// [`parse`] accepted; time and records stay the same.
pub(super) fn put_copy(out: &mut Vec<u8>, frame: &[u8]) -> u32 {
    let start = out.len();
    out.extend_from_slice(frame);
    out[start + 8..start + 12].copy_from_slice(&KIND_COPY.to_le_bytes());
    finish(out, start)
}

/// Appends the frame that takes the place of an entry that is lost: a copy without records. Returns
/// its checksum.
pub(super) fn put_lost(out: &mut Vec<u8>, key: EntryKey, unix_ms: u64) -> u32 {
    let start = out.len();
    put_header(out, KIND_COPY, 0, key, unix_ms);
    finish(out, start)
}

/// Appends the frame of a change to `out` and returns its checksum.
pub(super) fn put_change(out: &mut Vec<u8>, unix_ms: u64, change: &Change) -> u32 {
    let start = out.len();
    put_header(
        out,
        KIND_CHANGE,
        0,
        EntryKey {
            stream: 0,
            lssn: 0,
            entry: 0,
        },
        unix_ms,
    );
    out.extend_from_slice(
        &postcard::to_stdvec(change).expect("a change has nothing that postcard cannot write"),
    );
    finish(out, start)
}

fn put_header(out: &mut Vec<u8>, kind: u32, count: u32, key: EntryKey, unix_ms: u64) {
    out.extend_from_slice(&[0; 8]);
    out.extend_from_slice(&kind.to_le_bytes());
    out.extend_from_slice(&count.to_le_bytes());
    for number in [key.stream, key.lssn, key.entry, unix_ms] {
        out.extend_from_slice(&number.to_le_bytes());
    }
}

fn finish(out: &mut [u8], start: usize) -> u32 {
    let frame = &mut out[start..];
    let length = u32::try_from(frame.len()).expect("the size limit is below 2^32");
    frame[4..8].copy_from_slice(&length.to_le_bytes());
    let crc = crc32c::crc32c(&frame[4..]);
    frame[..4].copy_from_slice(&crc.to_le_bytes());
    crc
}

/// Error of a frame that cannot be parsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FrameError {
    /// The bytes differ from what was written: a torn write, or damage.
    Damaged(&'static str),
    /// The checksum is correct, but this version cannot read the frame. This is never a torn write.
    Unreadable(&'static str),
}

/// Returns the key that the header of a damaged frame has, if it says that it is an appended entry.
pub(super) fn claimed_key(bytes: &[u8]) -> Option<EntryKey> {
    (bytes.len() >= FRAME_HEADER && u32_at(bytes, 8) == KIND_ENTRY).then(|| EntryKey {
        stream: u64_at(bytes, 16),
        lssn: u64_at(bytes, 24),
        entry: u64_at(bytes, 32),
    })
}

/// Parses the frame at the start of `bytes`. Returns its checksum, its length and its contents.
pub(super) fn parse(bytes: &[u8]) -> Result<(u32, usize, Frame<'_>), FrameError> {
    if bytes.len() < FRAME_HEADER {
        return Err(FrameError::Damaged("an entry is truncated"));
    }
    let length = u32_at(bytes, 4) as usize;
    if length < FRAME_HEADER || length > bytes.len() {
        return Err(FrameError::Damaged("an entry's length is out of bounds"));
    }
    let crc = u32_at(bytes, 0);
    if crc32c::crc32c(&bytes[4..length]) != crc {
        return Err(FrameError::Damaged("an entry's checksum is wrong"));
    }
    let frame = parse_body(&bytes[..length]).map_err(FrameError::Unreadable)?;
    Ok((crc, length, frame))
}

fn parse_body(bytes: &[u8]) -> Result<Frame<'_>, &'static str> {
    let body = &bytes[FRAME_HEADER..];
    let unix_ms = u64_at(bytes, 40);
    let body = match u32_at(bytes, 8) {
        kind @ (KIND_ENTRY | KIND_COPY) => {
            let key = EntryKey {
                stream: u64_at(bytes, 16),
                lssn: u64_at(bytes, 24),
                entry: u64_at(bytes, 32),
            };
            let records = Records::new(body, u32_at(bytes, 12))?;
            if kind == KIND_ENTRY {
                Body::Entry { key, records }
            } else {
                Body::Copy { key, records }
            }
        }
        KIND_CHANGE => Body::Change(
            postcard::from_bytes(body).map_err(|_| "a change of the metadata cannot be read")?,
        ),
        _ => return Err("an entry is of an unknown kind"),
    };
    Ok(Frame { unix_ms, body })
}

impl<'a> Records<'a> {
    fn new(bytes: &'a [u8], count: u32) -> Result<Self, &'static str> {
        let mut rest = bytes;
        for _ in 0..count {
            let length = if rest.len() < RECORD_HEADER {
                usize::MAX
            } else {
                u32_at(rest, 0) as usize
            };
            rest = rest
                .get(RECORD_HEADER..)
                .and_then(|rest| rest.get(length..))
                .ok_or("a record is longer than its entry")?;
        }
        if rest.is_empty() {
            Ok(Self { bytes, count })
        } else {
            Err("an entry has bytes after its records")
        }
    }

    /// Returns the number of slots and the number of payload bytes of all records.
    pub(super) fn totals(self) -> (u64, u64) {
        self.iter()
            .fold((0, 0), |(slots, bytes), (record, payload)| {
                (slots + u64::from(record.0), bytes + payload.len() as u64)
            })
    }

    /// Returns the records, with payloads as slices of `frame`, which contains them.
    pub(super) fn to_vec(self, frame: &Bytes) -> Vec<EntryRecord> {
        self.iter()
            .map(|((slots, is_record_set), payload)| EntryRecord {
                payload: frame.slice_ref(payload),
                slots,
                is_record_set,
            })
            .collect()
    }

    fn iter(self) -> impl Iterator<Item = ((u32, bool), &'a [u8])> {
        let mut rest = self.bytes;
        (0..self.count).map(move |_| {
            let (length, word) = (u32_at(rest, 0) as usize, u32_at(rest, 4));
            let payload = &rest[RECORD_HEADER..RECORD_HEADER + length];
            rest = &rest[RECORD_HEADER + length..];
            (
                (word & !RECORD_SET_BIT, word & RECORD_SET_BIT != 0),
                payload,
            )
        })
    }
}

/// Reads the little-endian number at `offset`.
pub(super) fn u32_at(bytes: &[u8], offset: usize) -> u32 {
    u32::from_le_bytes(bytes[offset..offset + 4].try_into().expect("four bytes"))
}

/// Reads the little-endian number at `offset`.
pub(super) fn u64_at(bytes: &[u8], offset: usize) -> u64 {
    u64::from_le_bytes(bytes[offset..offset + 8].try_into().expect("eight bytes"))
}
