//! Records and record sets as they are stored, in frames: the body of a read over HTTP whose
//! `accept` names [`CONTENT_TYPE`]. `docs/http.md` has each byte.
//!
//! A frame is a length (4 bytes, big-endian, of what follows), a kind (1 byte), and its content.
//! Frames of unknown kinds are skipped, so that later versions can add some.

use core::fmt;

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use distributedlog::Dlsn;

/// Content type of a response that has frames.
pub const CONTENT_TYPE: &str = "application/vnd.distributedlog.entries";

/// Longest frame that is accepted, in bytes: 4 MiB. The largest record set takes about 1 MB.
pub const MAX_FRAME_BYTES: usize = 4 << 20;

/// Bytes of a frame's length.
const LENGTH_BYTES: usize = 4;
/// Bytes of a DLSN and a time behind the kind.
const PLACE_BYTES: usize = 32;
/// Bytes of the number of slots of a set.
const SLOTS_BYTES: usize = 4;
/// Bound of the slots of a set, as in stores.
const MAX_SLOTS: u32 = 1 << 31;

/// Memory that is taken at once for what is received, in bytes. Payloads are slices of it.
const BLOCK_BYTES: usize = 256 << 10;

const KIND_START: u8 = 1;
const KIND_RECORD: u8 = 2;
const KIND_SET: u8 = 3;
const KIND_HEARTBEAT: u8 = 4;
const KIND_END: u8 = 5;

/// A position in the stream that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FramePosition {
    /// The position.
    pub dlsn: Dlsn,
    /// Time of creation of the stream, in milliseconds since 1970.
    pub created_unix_ms: u64,
}

/// A record or a record set, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRecord {
    /// Position of its first slot.
    pub dlsn: Dlsn,
    /// Time at which the store wrote it, in milliseconds since 1970.
    pub written_unix_ms: u64,
    /// Number of records: 1 unless it is a set.
    pub slots: u32,
    /// True if `payload` is a record set.
    pub is_record_set: bool,
    /// The application's bytes, or a whole record set.
    pub payload: Bytes,
}

/// A frame that was received.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Frame {
    /// The records from this position on follow. The next set may have records before it, which
    /// must not be delivered.
    Start(FramePosition),
    /// A record or a set.
    Stored(StoredRecord),
    /// There is nothing behind this position yet.
    Heartbeat(FramePosition),
    /// The response ended in order.
    End {
        /// Position at which reading goes on.
        next: FramePosition,
        /// Reason, a word of `docs/http.md`.
        reason: String,
        /// Explanation for people; empty if there is none.
        detail: String,
    },
}

/// Appends a frame that says where the records that follow begin.
pub fn put_start(out: &mut BytesMut, next: FramePosition) {
    put_head(out, KIND_START, PLACE_BYTES);
    put_place(out, next.dlsn, next.created_unix_ms);
}

/// Appends a frame that says that there is nothing behind a position yet.
pub fn put_heartbeat(out: &mut BytesMut, next: FramePosition) {
    put_head(out, KIND_HEARTBEAT, PLACE_BYTES);
    put_place(out, next.dlsn, next.created_unix_ms);
}

/// Appends the frame of a record or a set up to its payload, which the caller sends behind it:
/// large payloads need not be copied.
///
/// # Panics
///
/// If the payload is larger than any that a store takes.
pub fn put_stored_head(out: &mut BytesMut, stored: &StoredRecord) {
    let payload = stored.payload.len();
    if stored.is_record_set {
        put_head(out, KIND_SET, PLACE_BYTES + SLOTS_BYTES + payload);
        put_place(out, stored.dlsn, stored.written_unix_ms);
        out.put_u32(stored.slots);
    } else {
        put_head(out, KIND_RECORD, PLACE_BYTES + payload);
        put_place(out, stored.dlsn, stored.written_unix_ms);
    }
}

/// Appends the last frame. `reason` is a short word.
///
/// # Panics
///
/// If `reason` has more than 255 bytes.
pub fn put_end(out: &mut BytesMut, next: FramePosition, reason: &str, detail: &str) {
    put_head(out, KIND_END, PLACE_BYTES + 1 + reason.len() + detail.len());
    put_place(out, next.dlsn, next.created_unix_ms);
    out.put_u8(u8::try_from(reason.len()).expect("a short word"));
    out.put_slice(reason.as_bytes());
    out.put_slice(detail.as_bytes());
}

fn put_head(out: &mut BytesMut, kind: u8, content: usize) {
    out.put_u32(u32::try_from(1 + content).expect("stores take less"));
    out.put_u8(kind);
}

fn put_place(out: &mut BytesMut, dlsn: Dlsn, unix_ms: u64) {
    out.put_i64(dlsn.log_segment_sequence_no);
    out.put_i64(dlsn.entry_id);
    out.put_i64(dlsn.slot_id);
    out.put_u64(unix_ms);
}

/// The bytes of a response, taken frame by frame. Holds at most one frame that is not whole.
#[derive(Debug, Default)]
pub struct FrameBuffer {
    bytes: BytesMut,
}

impl FrameBuffer {
    /// Adds what was received.
    pub fn push(&mut self, piece: &[u8]) {
        if self.bytes.capacity() - self.bytes.len() < piece.len() {
            self.bytes.reserve(piece.len().max(BLOCK_BYTES));
        }
        self.bytes.extend_from_slice(piece);
    }

    /// Number of bytes that were received and not taken.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Returns true if all that was received was taken.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Takes the next whole frame. `None` if there is none yet. Payloads are not copied.
    ///
    /// # Errors
    ///
    /// The bytes are none of a write proxy. A frame that is too long is refused by its length.
    pub fn pop(&mut self) -> Result<Option<Frame>, FrameError> {
        // Bounded: each round takes a frame out of the buffer.
        loop {
            let Some(length) = self.bytes.first_chunk::<LENGTH_BYTES>() else {
                return Ok(None);
            };
            let length = u32::from_be_bytes(*length) as usize;
            if length == 0 || length > MAX_FRAME_BYTES {
                return Err(FrameError::Length(length));
            }
            if self.bytes.len() < LENGTH_BYTES + length {
                return Ok(None);
            }
            self.bytes.advance(LENGTH_BYTES);
            let frame = self.bytes.split_to(length).freeze();
            if let Some(frame) = parse(frame)? {
                return Ok(Some(frame));
            }
        }
    }
}

/// Parses a frame behind its length. `None` if its kind is unknown.
fn parse(mut frame: Bytes) -> Result<Option<Frame>, FrameError> {
    let kind = frame.get_u8();
    if !(KIND_START..=KIND_END).contains(&kind) {
        return Ok(None);
    }
    let least = match kind {
        KIND_SET => PLACE_BYTES + SLOTS_BYTES,
        KIND_END => PLACE_BYTES + 1,
        _ => PLACE_BYTES,
    };
    if frame.len() < least {
        return Err(FrameError::Short { kind });
    }
    let dlsn = Dlsn::new(frame.get_i64(), frame.get_i64(), frame.get_i64());
    let unix_ms = frame.get_u64();
    let place = FramePosition {
        dlsn,
        created_unix_ms: unix_ms,
    };
    Ok(Some(match kind {
        KIND_START => Frame::Start(place),
        KIND_HEARTBEAT => Frame::Heartbeat(place),
        KIND_END => {
            let length = usize::from(frame.get_u8());
            if frame.len() < length {
                return Err(FrameError::Short { kind });
            }
            let text = |bytes: Bytes| String::from_utf8_lossy(&bytes).into_owned();
            Frame::End {
                next: place,
                reason: text(frame.split_to(length)),
                detail: text(frame),
            }
        }
        _ => {
            let is_record_set = kind == KIND_SET;
            let slots = if is_record_set { frame.get_u32() } else { 1 };
            if slots == 0 || slots >= MAX_SLOTS {
                return Err(FrameError::Slots(slots));
            }
            Frame::Stored(StoredRecord {
                dlsn,
                written_unix_ms: unix_ms,
                slots,
                is_record_set,
                payload: frame,
            })
        }
    }))
}

/// Error of bytes that are no frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FrameError {
    /// The length of a frame is zero, or beyond [`MAX_FRAME_BYTES`].
    Length(usize),
    /// A frame is shorter than its kind requires.
    Short {
        /// Kind of the frame.
        kind: u8,
    },
    /// A set has no records, or 2^31 and more.
    Slots(u32),
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length(length) => write!(
                f,
                "a frame has {length} bytes, and 1 to {MAX_FRAME_BYTES} are valid"
            ),
            Self::Short { kind } => write!(f, "a frame of kind {kind} is too short"),
            Self::Slots(slots) => write!(f, "a record set has {slots} records"),
        }
    }
}

impl core::error::Error for FrameError {}

#[cfg(test)]
mod tests {
    use super::*;

    const NEXT: FramePosition = FramePosition {
        dlsn: Dlsn::new(1, 2, 3),
        created_unix_ms: 7,
    };

    fn stored(payload: &'static [u8], is_record_set: bool) -> StoredRecord {
        StoredRecord {
            dlsn: Dlsn::new(1, 2, 3),
            written_unix_ms: 9,
            slots: if is_record_set { 5 } else { 1 },
            is_record_set,
            payload: Bytes::from_static(payload),
        }
    }

    /// A response with each kind of frame, one of them unknown.
    fn response() -> BytesMut {
        let mut out = BytesMut::new();
        put_start(&mut out, NEXT);
        for stored in [
            stored(b"record", false),
            stored(b"", false),
            stored(b"set", true),
        ] {
            put_stored_head(&mut out, &stored);
            out.put_slice(&stored.payload);
        }
        out.put_slice(&[0, 0, 0, 3, 200, 1, 2]);
        put_heartbeat(&mut out, NEXT);
        put_end(&mut out, NEXT, "failed", "the disk");
        out
    }

    fn frames(pieces: &[&[u8]]) -> Result<Vec<Frame>, FrameError> {
        let (mut buffer, mut frames) = (FrameBuffer::default(), Vec::new());
        for piece in pieces {
            buffer.push(piece);
            while let Some(frame) = buffer.pop()? {
                frames.push(frame);
            }
        }
        Ok(frames)
    }

    #[test]
    fn frames_are_taken_whole_however_they_are_cut() {
        let response = response();
        let expected = [
            Frame::Start(NEXT),
            Frame::Stored(stored(b"record", false)),
            Frame::Stored(stored(b"", false)),
            Frame::Stored(stored(b"set", true)),
            Frame::Heartbeat(NEXT),
            Frame::End {
                next: NEXT,
                reason: "failed".to_owned(),
                detail: "the disk".to_owned(),
            },
        ];
        for cut in 0..=response.len() {
            let (first, second) = response.split_at(cut);
            assert_eq!(frames(&[first, second]).expect("frames"), expected, "{cut}");
        }
    }

    #[test]
    fn the_bytes_of_a_frame_are_those_of_the_documentation() {
        let mut out = BytesMut::new();
        put_stored_head(&mut out, &stored(b"set", true));
        let expected = concat!(
            "00000028",
            "03",
            "0000000000000001",
            "0000000000000002",
            "0000000000000003",
            "0000000000000009",
            "00000005"
        );
        let found: String = out.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_frame_that_is_too_long_is_refused_by_its_length_alone() {
        for length in [0, MAX_FRAME_BYTES + 1, u32::MAX as usize] {
            let bytes = u32::try_from(length).expect("small").to_be_bytes();
            assert_eq!(frames(&[&bytes]), Err(FrameError::Length(length)));
        }
        let longest = u32::try_from(MAX_FRAME_BYTES).expect("small").to_be_bytes();
        assert_eq!(frames(&[&longest]), Ok(Vec::new()));
    }

    #[test]
    fn no_bytes_make_it_panic() {
        for kind in 0..=6 {
            for length in 1..60_u32 {
                let mut bytes = length.to_be_bytes().to_vec();
                bytes.push(kind);
                bytes.resize(LENGTH_BYTES + length as usize, 0xff);
                let _ = frames(&[&bytes]);
            }
        }
    }
}
