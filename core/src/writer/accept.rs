//! The commands of a writer's user: write, reserve, flush, close, abort.

use super::limits::LENGTH_BYTES;
use super::machine::Writer;
use super::slots::{NO_SET, RecordId};
use super::{EnqueueError, Reason, Storage, WriterFeatures};
use crate::Instant;

/// Room that is reserved for one record. Pass it to [`Writer::submit`] or [`Writer::release`]: if
/// it is dropped, its room stays reserved for the life of the writer.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "reserved room is held until it is submitted or released"]
pub struct Reservation {
    len: usize,
}

impl Reservation {
    /// Returns the length of the longest record that fits the room, in bytes.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Returns `true` if only an empty record fits the room.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// A point in the sequence of writes. See [`Writer::flush`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlushMark(u64);

impl<S: Storage, F: WriterFeatures> Writer<S, F> {
    /// Accepts a record into the filling set. This makes the only copy of its bytes, and starts its
    /// request timeout (R1).
    ///
    /// # Errors
    ///
    /// [`EnqueueError`] if there is no room (R7), the record is too large, or the writer is closed.
    pub fn write(&mut self, now: Instant, record: &[u8]) -> Result<RecordId, EnqueueError> {
        let now = self.advance_clock(now);
        self.check_record(record.len())?;
        if !self.has_room(record.len()) {
            return Err(self.refuse_full());
        }
        Ok(self.accept(now, record))
    }

    /// Reserves room for one record of at most `len` bytes. In the worst case the record needs a
    /// set of its own, so a reservation counts as a set in flight until it is used (R7).
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write).
    pub fn reserve(&mut self, len: usize) -> Result<Reservation, EnqueueError> {
        self.check_record(len)?;
        let bytes = self.reserved_bytes(len);
        if !self.has_in_flight_room()
            || self.free_record_slots() == 0
            || self.buffered + self.reserved.bytes + bytes > self.bounds.buffered
        {
            return Err(self.refuse_full());
        }
        self.reserved.sets += 1;
        self.reserved.records += 1;
        self.reserved.bytes += bytes;
        Ok(Reservation { len })
    }

    /// Writes a record into reserved room: never fails with [`EnqueueError::Full`].
    ///
    /// # Errors
    ///
    /// [`EnqueueError::TooLarge`] if the record is longer than what was reserved,
    /// [`EnqueueError::Closed`] if the writer was closed in the meantime. The reservation is used
    /// up in both cases.
    pub fn submit(
        &mut self,
        now: Instant,
        reservation: Reservation,
        record: &[u8],
    ) -> Result<RecordId, EnqueueError> {
        let now = self.advance_clock(now);
        let max = reservation.len;
        self.release(reservation);
        if record.len() > max {
            return Err(EnqueueError::TooLarge {
                len: record.len(),
                max,
            });
        }
        self.check_record(record.len())?;
        debug_assert!(
            self.has_room(record.len()),
            "the reservation kept room for the record"
        );
        Ok(self.accept(now, record))
    }

    /// Counts a refusal for lack of room, and returns its error.
    pub(crate) const fn refuse_full(&mut self) -> EnqueueError {
        self.counters.refused_full = self.counters.refused_full.wrapping_add(1);
        EnqueueError::Full
    }

    /// Releases reserved room.
    pub fn release(&mut self, reservation: Reservation) {
        self.reserved.sets -= 1;
        self.reserved.records -= 1;
        self.reserved.bytes -= self.reserved_bytes(reservation.len);
    }

    /// Queues everything written so far for transmission, as soon as a set may be in flight. The
    /// mark is [reached](Self::is_flushed) when all of it has completed.
    pub fn flush(&mut self) -> FlushMark {
        let mut mark = self.next_sequence;
        if self.filling != NO_SET {
            self.storage.tables().sets[self.filling as usize].due = true;
            mark += 1;
        }
        FlushMark(mark)
    }

    /// Returns `true` if every record that was written before the mark has completed, successfully
    /// or not (R6).
    pub fn is_flushed(&self, mark: FlushMark) -> bool {
        let unfinished = match self.in_flight_sets.first() {
            None => self.next_sequence,
            Some(oldest) => self.storage.sets()[oldest].sequence,
        };
        unfinished >= mark.0
    }

    /// Accepts no more records, flushes, and completes with `Closed` at `by` what is unfinished
    /// then (R13). A second call can only move that time forward.
    pub fn close(&mut self, now: Instant, by: Instant) {
        self.advance_clock(now);
        self.closing = Some(self.closing.map_or(by, |earlier| earlier.min(by)));
        let _ = self.flush();
    }

    /// Completes every unfinished record with `Closed` at once, and accepts no more records (R13).
    pub fn abort(&mut self, now: Instant) {
        let now = self.advance_clock(now);
        self.closing = Some(now);
        if self.filling != NO_SET {
            self.fail_filling(Reason::Closed);
        }
        while let Some(oldest) = self.in_flight_sets.first() {
            self.fail_set(oldest as u16, Reason::Closed, now);
        }
    }

    /// Returns `true` if a record of `len` bytes would be accepted now, provided that the writer is
    /// not closed.
    pub fn has_room(&self, len: usize) -> bool {
        let fits = self.filling_takes(len);
        let opens = if fits { 0 } else { self.bounds.overhead };
        self.free_record_slots() > 0
            && self.buffered + self.reserved.bytes + opens + LENGTH_BYTES + len
                <= self.bounds.buffered
            && (fits || self.filling == NO_SET || self.has_in_flight_room())
    }

    /// Estimates how many records of `len` bytes would be accepted now. It guides how many of the
    /// waiting tasks to wake.
    pub fn room_for(&self, len: usize) -> usize {
        // Each limit of R7 gives a number of records; the smallest is the estimate. Sets are full
        // at `bounds.full` bytes, and the record that reaches this size still goes in, hence the
        // rounding up.
        let each = len + LENGTH_BYTES;
        let full = self.bounds.full;
        let per_set = full
            .saturating_sub(self.bounds.overhead)
            .div_ceil(each)
            .max(1);
        let (filling, fresh) = match self.filling {
            NO_SET => (0, 1),
            set => {
                let content = &self.storage.sets()[set as usize].content;
                (
                    if content.fits(len) {
                        full.saturating_sub(content.byte_len()).div_ceil(each)
                    } else {
                        0
                    },
                    0,
                )
            }
        };
        let free = usize::from(
            self.bounds
                .in_flight
                .saturating_sub(self.in_flight + self.ending + self.reserved.sets),
        ) + fresh;
        let bytes = self
            .bounds
            .buffered
            .saturating_sub(self.buffered + self.reserved.bytes + self.bounds.overhead);
        (filling + free.saturating_mul(per_set))
            .min(self.free_record_slots())
            .min(bytes / each)
    }

    /// Returns `true` if one more set may be in flight. Sets whose attempts are still to be
    /// cancelled count, and reservations count until the writer is closed, which voids them.
    pub(super) const fn has_in_flight_room(&self) -> bool {
        let reserved = if self.is_closed() {
            0
        } else {
            self.reserved.sets
        };
        self.in_flight + self.ending + reserved < self.bounds.in_flight
    }

    const fn reserved_bytes(&self, len: usize) -> usize {
        self.bounds.overhead + LENGTH_BYTES + len
    }

    const fn check_record(&self, len: usize) -> Result<(), EnqueueError> {
        if self.is_closed() {
            return Err(EnqueueError::Closed);
        }
        if len > self.bounds.record_bytes {
            return Err(EnqueueError::TooLarge {
                len,
                max: self.bounds.record_bytes,
            });
        }
        Ok(())
    }

    /// Returns the deadline of a record that is accepted now (R1).
    pub(super) fn deadline(&self, now: Instant) -> Instant {
        let deadline = now.plus_micros(self.bounds.request_timeout);
        if F::CHANGES && self.filling != NO_SET {
            let slot = &self.storage.sets()[self.filling as usize];
            if !slot.records.is_empty() {
                // The deadlines of a set's records ascend, also when the timeout was shortened.
                return deadline.max(slot.deadline);
            }
        }
        deadline
    }
}
