//! The body of a read that has records and sets as they are stored.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use distributedlog::Dlsn;
use distributedlog_reader::entries::{self, FramePosition, StoredRecord};
use distributedlog_reader::{LogReader, StreamPosition};

use super::line::EndReason;

/// Size from which a payload is sent without a copy, in bytes. Below it a piece of its own costs
/// more than the copy.
const MIN_SHARED_BYTES: usize = 4 << 10;
/// Size from which copied frames become a piece, in bytes.
const PIECE_BYTES: usize = 32 << 10;

/// Frames on their way to a client.
#[derive(Debug, Default)]
pub(super) struct StoredEncoder {
    /// Bounded: by a batch of the store.
    pieces: VecDeque<Bytes>,
    /// Frames that are not in a piece yet.
    out: BytesMut,
    /// Position that the client was told last, before which it delivers nothing.
    start: Option<Dlsn>,
}

impl StoredEncoder {
    /// Takes the next piece of the body. `None` if all was taken.
    pub(super) fn pop(&mut self) -> Option<Bytes> {
        if let Some(piece) = self.pieces.pop_front() {
            return Some(piece);
        }
        (!self.out.is_empty()).then(|| self.out.split().freeze())
    }

    /// Adds the first frame.
    pub(super) fn start(&mut self, next: StreamPosition) {
        self.start = Some(next.dlsn);
        entries::put_start(&mut self.out, place(next));
    }

    /// Adds a heartbeat.
    pub(super) fn heartbeat(&mut self, next: StreamPosition) {
        entries::put_heartbeat(&mut self.out, place(next));
    }

    /// Adds the last frame.
    pub(super) fn end(&mut self, reason: EndReason, next: StreamPosition, detail: Option<&str>) {
        let detail = detail.unwrap_or_default();
        entries::put_end(&mut self.out, place(next), reason.name(), detail);
    }

    /// Adds what the reader has buffered, up to the set that reaches the number of records that are
    /// `left`. Returns the number of records.
    pub(super) fn put(&mut self, reader: &mut LogReader, created_unix_ms: u64, left: u64) -> u64 {
        let (start, mut count) = (reader.start(), 0);
        while count < left
            && let Some(entry) = reader.next_stored()
        {
            for stored in entry {
                if stored.dlsn < start && self.start.is_none_or(|told| told < start) {
                    self.start(StreamPosition::new(start, Some(created_unix_ms)));
                }
                count += deliverable(&stored, start);
                self.put_stored(stored);
            }
        }
        count
    }

    fn put_stored(&mut self, stored: StoredRecord) {
        entries::put_stored_head(&mut self.out, &stored);
        if stored.payload.len() < MIN_SHARED_BYTES {
            self.out.extend_from_slice(&stored.payload);
            if self.out.len() >= PIECE_BYTES {
                self.pieces.push_back(self.out.split().freeze());
            }
        } else {
            self.pieces.push_back(self.out.split().freeze());
            self.pieces.push_back(stored.payload);
        }
    }
}

/// Returns the number of records at and after `start`.
fn deliverable(stored: &StoredRecord, start: Dlsn) -> u64 {
    let slots = u64::from(stored.slots);
    if stored.dlsn >= start {
        return slots;
    }
    slots.saturating_sub(start.slot_id.abs_diff(stored.dlsn.slot_id))
}

fn place(position: StreamPosition) -> FramePosition {
    FramePosition {
        dlsn: position.dlsn,
        created_unix_ms: position.created_unix_ms.unwrap_or_default(),
    }
}
