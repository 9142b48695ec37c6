//! The filling set: records are appended until it is sealed.

use super::machine::Writer;
use super::slots::{AttemptKind, NO_SET, RecordId, RecordState, SetPhase, SetSlot};
use super::{Codec, Identity, Reason, SetBuffer, Storage, WriteError, WriterFeatures};
use crate::expect::expect_no_fmt;
use crate::wire::record_set::{RecordSetBuilder, SetIdentity};
use crate::{Instant, WriteState};

impl<S: Storage, F: WriterFeatures> Writer<S, F> {
    /// Returns `true` if there is a filling set that takes a record of `len` bytes: it is below its
    /// full size, and the record with its length prefix does not overflow it.
    pub(super) fn filling_takes(&self, len: usize) -> bool {
        if self.filling == NO_SET {
            return false;
        }
        let content = &self.storage.sets()[self.filling as usize].content;
        content.byte_len() < self.bounds.full && content.fits(len)
    }

    /// Accepts a record. The caller checked that there is room for it.
    pub(super) fn accept(&mut self, now: Instant, record: &[u8]) -> RecordId {
        if self.filling != NO_SET && !self.filling_takes(record.len()) {
            self.seal();
        }
        let opened = self.filling == NO_SET;
        if opened {
            self.open_set(now);
        }
        let id = self.append(now, record);
        let slot = &mut self.storage.tables().sets[self.filling as usize];
        if slot.content.byte_len() >= self.bounds.full {
            slot.due = true;
        }
        if slot.due && self.has_in_flight_room() {
            self.seal();
        } else if opened {
            self.rearm(self.filling);
        }
        id
    }

    fn append(&mut self, now: Instant, record: &[u8]) -> RecordId {
        let deadline = self.deadline(now);
        let (set, index) = (self.filling as usize, self.take_record_slot());
        let tables = self.storage.tables();
        let (slot, buffer) = (&mut tables.sets[set], &mut tables.buffers[set]);
        let before = slot.content.byte_len();
        buffer.grow(
            before
                + super::limits::LENGTH_BYTES
                + record.len()
                + (self.bounds.overhead - super::limits::HEADER_BYTES),
        );
        expect_no_fmt(
            slot.content.append(buffer.as_mut_slice(), record),
            "the set was sealed if the record did not fit it",
        );
        self.buffered += slot.content.byte_len() - before;
        slot.deadline = deadline;

        let row = &mut tables.records[index];
        row.deadline = deadline;
        row.state = RecordState::Pending;
        let id = RecordId {
            slot: index as u32,
            generation: row.generation,
        };
        if slot.records.is_empty() {
            slot.expire_at = deadline;
        }
        slot.records.push_back(tables.records, index);
        self.counters.records = self.counters.records.wrapping_add(1);
        self.counters.bytes = self.counters.bytes.wrapping_add(record.len() as u64);
        id
    }

    /// Takes a row for a record, for which the table grows if it must and can. The caller checked
    /// that there is room.
    fn take_record_slot(&mut self) -> usize {
        if S::GROWS
            && self
                .record_slots
                .next(self.storage.records().len())
                .is_none()
        {
            self.storage.grow_records(self.max_record_slots());
        }
        self.record_slots.take(self.storage.records())
    }

    /// Takes a row for a set, for which the tables grow if they must and can.
    fn take_set_slot(&mut self) -> u16 {
        if S::GROWS && self.set_slots.next(self.storage.sets().len()).is_none() {
            self.storage.grow_sets(self.bounds.in_flight as usize + 1);
        }
        // There is one slot more than sets may be in flight.
        self.set_slots.take(self.storage.sets()) as u16
    }

    fn open_set(&mut self, now: Instant) {
        let set = self.take_set_slot();
        let with_identity = !matches!(self.identity(), Identity::Off);
        let slot = &mut self.storage.tables().sets[set as usize];
        let flush_at = match self.bounds.flush_interval {
            0 => Instant::MAX,
            interval => now.plus_micros(interval),
        };
        let content = RecordSetBuilder::new(self.bounds.set_bytes, with_identity);
        *slot = SetSlot {
            phase: SetPhase::Filling,
            content,
            flush_at,
            ..SetSlot::EMPTY
        };
        self.filling = set;
        self.buffered += self.bounds.overhead;
    }

    /// Closes the filling set to further records and queues it for its first attempt.
    pub(super) fn seal(&mut self) {
        let set = core::mem::replace(&mut self.filling, NO_SET);
        let sets = self.storage.tables().sets;
        let slot = &mut sets[set as usize];
        slot.phase = SetPhase::InFlight;
        slot.sequence = self.next_sequence;
        self.in_flight_sets.push_back(sets, set.into());
        self.next_sequence = self.next_sequence.wrapping_add(1);
        self.in_flight += 1;
        self.counters.sets = self.counters.sets.wrapping_add(1);
        // At this point and not at the first attempt: the transport may refuse an attempt, and the
        // set would deposit its share again.
        if F::BUDGET {
            self.budget.deposit();
        }
        self.enqueue(set, AttemptKind::First);
    }

    /// Seals the filling set if it is due and one more set may be in flight. A set is due if it is
    /// full, its flush interval is over, it was flushed, or no other set is in flight and the
    /// settings say not to wait then (R6).
    pub(super) fn seal_if_due(&mut self) {
        if self.filling == NO_SET {
            return;
        }
        let idle = self.settings.flush_when_idle() && self.in_flight == 0;
        if (idle || self.storage.sets()[self.filling as usize].due) && self.has_in_flight_room() {
            self.seal();
        }
    }

    /// Writes the final bytes of a set before its first attempt: identity (R12), compression,
    /// header.
    pub(super) fn prepare(&mut self, set: u16) {
        let slot = &self.storage.sets()[set as usize];
        let (content, sequence) = (slot.content, slot.sequence);
        let identity = match self.identity() {
            Identity::Off => None,
            Identity::Trailer {
                writer,
                first_sequence,
            } => Some(SetIdentity {
                writer,
                sequence: first_sequence.wrapping_add(sequence),
            }),
        };
        let stored = match self.settings.codec() {
            Codec::None => None,
            Codec::Lz4 => self.compress(set, &content, identity.as_ref()),
        };
        let tables = self.storage.tables();
        tables.sets[set as usize].stored = match stored {
            Some(stored) => stored,
            None => content
                .finish(
                    tables.buffers[set as usize].as_mut_slice(),
                    identity.as_ref(),
                )
                .len(),
        };
    }

    /// Compresses a set into the spare buffer and swaps the two buffers. `None` if that would not
    /// make the set smaller.
    #[cfg(feature = "lz4")]
    fn compress(
        &mut self,
        set: u16,
        content: &RecordSetBuilder,
        identity: Option<&SetIdentity>,
    ) -> Option<usize> {
        let plain = content.byte_len() - super::limits::HEADER_BYTES + self.bounds.overhead;
        let buffers = self.storage.tables().buffers;
        // The last buffer is no set's: there is one more than sets.
        let (set, spare) = (set as usize, buffers.len() - 1);
        let mut out = self.lz4.take()?;
        let (sets, into) = buffers.split_at_mut(spare);
        let (from, into) = (&mut sets[set], &mut into[0]);
        into.grow(crate::wire::record_set::max_compressed_len(plain));
        let stored = content
            .finish_lz4(from.as_mut_slice(), identity, &mut out, into.as_mut_slice())
            .expect("the buffers hold the largest set's compressed form")
            .len();
        self.lz4 = Some(out);
        if stored >= plain {
            return None;
        }
        buffers.swap(set, spare);
        Some(stored)
    }

    #[cfg(not(feature = "lz4"))]
    const fn compress(
        &self,
        _set: u16,
        _content: &RecordSetBuilder,
        _identity: Option<&SetIdentity>,
    ) -> Option<usize> {
        None
    }

    /// Fails those records of the filling set whose deadline has passed, and removes them from it:
    /// they will not be written.
    pub(super) fn expire_filling(&mut self, now: Instant) {
        let set = self.filling as usize;
        let tables = self.storage.tables();
        if tables.sets[set].deadline <= now {
            self.fail_filling(Reason::TimedOut);
            return;
        }
        let expired = tables.sets[set].expired_records(tables.records, now);
        self.fail_first(
            self.filling,
            expired,
            WriteError::unsent(WriteState::NotWritten, Reason::TimedOut),
        );
        let tables = self.storage.tables();
        let slot = &mut tables.sets[set];
        let before = slot.content.byte_len();
        slot.content
            .remove_first(tables.buffers[set].as_mut_slice(), expired);
        self.buffered -= before - slot.content.byte_len();
        // The remaining records are the first of the buffer again.
        slot.expired = 0;
    }

    /// Fails all records of the filling set. None of them was sent.
    pub(super) fn fail_filling(&mut self, reason: Reason) {
        let set = core::mem::replace(&mut self.filling, NO_SET);
        self.fail_first(
            set,
            u32::MAX,
            WriteError::unsent(WriteState::NotWritten, reason),
        );
        // The sequence number is used up, because a flush mark may be waiting for it.
        self.next_sequence = self.next_sequence.wrapping_add(1);
        self.disarm(set);
        self.release_bytes(set);
        self.free_set(set);
    }
}
