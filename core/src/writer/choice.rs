//! The choice between two streams by their load (R19).

use super::machine::Writer;
use super::slots::StreamSlot;
use super::{Choice, Storage, WriterFeatures};
use crate::{Instant, StreamIndex};

/// Load of one stream, as far as this writer causes or observes it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StreamLoad {
    /// Bytes of the sets whose attempts are outstanding at the stream.
    bytes: usize,
    /// Mean latency of the stream's recent first attempts in microseconds; 0 before the first one.
    latency: u32,
    /// Turns in a row that went to another stream.
    passed: u8,
}

/// Number of turns in a row that a stream can lose to a less loaded one.
pub(crate) const MAX_PASSED: u8 = 3;

/// Base-2 logarithm of the number of latencies over which the mean decays.
const MEAN_OF: u32 = 3;

impl StreamLoad {
    pub(crate) const NEW: Self = Self {
        bytes: 0,
        latency: 0,
        passed: 0,
    };

    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) const fn begin(&mut self, bytes: usize) {
        self.bytes += bytes;
    }

    pub(super) const fn end(&mut self, bytes: usize) {
        self.bytes -= bytes;
    }

    /// Adds the latency of a first attempt, in microseconds.
    pub(super) fn record(&mut self, micros: u64) {
        let sample = u32::try_from(micros).unwrap_or(u32::MAX).max(1);
        self.latency = match self.latency {
            0 => sample,
            // At most 2^32 - 1 each, so the sum fits 64 bits and its mean 32.
            mean => {
                let others = u64::from(mean) * ((1 << MEAN_OF) - 1);
                ((others + u64::from(sample)) >> MEAN_OF).max(1) as u32
            }
        };
    }

    /// Returns `true` if a further set of `bytes` bytes would wait longer here than there: the
    /// bytes outstanding with it, times the mean latency, are more. The latencies count once both
    /// are known.
    fn exceeds(&self, other: &Self, bytes: usize) -> bool {
        let known = self.latency != 0 && other.latency != 0;
        let cost = |load: &Self| {
            let latency = if known { load.latency } else { 1 };
            (load.bytes + bytes) as u128 * u128::from(latency)
        };
        cost(self) > cost(other)
    }
}

impl<S: Storage, F: WriterFeatures> Writer<S, F> {
    /// Returns the row at which a set of `bytes` bytes starts, if it is the turn of `row`: that
    /// one, or the next behind it that is healthy and has room too, if that one is less loaded
    /// (R19). Equal loads keep the turn.
    ///
    /// Fairness: a stream that is healthy and has room loses at most [`MAX_PASSED`] turns in a row.
    /// So between two starts of it, every other stream starts at most once more than that.
    pub(super) fn less_loaded(&mut self, row: usize, bytes: usize, now: Instant) -> usize {
        if !self.chooses_by_load() {
            return row;
        }
        let chosen = self.other_row(row, bytes, now).unwrap_or(row);
        let rows = self.storage.tables().streams;
        let (turn, taken) = (rows[row].turn, rows[chosen].turn);
        if chosen != row {
            rows[usize::from(turn.0)].load.passed =
                rows[usize::from(turn.0)].load.passed.saturating_add(1);
            self.counters.turns_passed = self.counters.turns_passed.wrapping_add(1);
        }
        self.storage.tables().streams[usize::from(taken.0)]
            .load
            .passed = 0;
        chosen
    }

    /// Returns the row to use instead of `row`.
    fn other_row(&self, row: usize, bytes: usize, now: Instant) -> Option<usize> {
        let members = usize::from(self.members());
        let rows = self.storage.streams();
        let slot = |row: usize| &rows[usize::from(rows[row].turn.0)];
        let first = slot(row);
        let all_lost = first.load.passed >= MAX_PASSED;
        #[cfg(seeded_bugs)]
        let all_lost =
            all_lost && !crate::seeded_bugs::is_on(crate::seeded_bugs::Bug::PassedWithoutEnd);
        if all_lost || !self.takes_a_turn(first, now) {
            return None;
        }
        let mut others = (row + 1..members).chain(0..row);
        let other = others.find(|&other| self.takes_a_turn(slot(other), now))?;
        first
            .load
            .exceeds(&slot(other).load, bytes)
            .then_some(other)
    }

    fn takes_a_turn(&self, stream: &StreamSlot, now: Instant) -> bool {
        self.is_available(stream, now) && stream.outstanding < self.bounds.window
    }

    pub(super) const fn chooses_by_load(&self) -> bool {
        F::CHOICE && matches!(self.settings.choice(), Choice::Load) && !self.keeps_order()
    }

    /// Handles the begin of an attempt of a set of `bytes` bytes.
    pub(super) fn load_stream(&mut self, stream: StreamIndex, bytes: usize) {
        let slot = &mut self.storage.tables().streams[usize::from(stream.0)];
        slot.outstanding += 1;
        if F::CHOICE {
            slot.load.begin(bytes);
        }
    }

    /// Handles the end of an attempt of a set of `bytes` bytes: frees one place in the stream's
    /// window.
    pub(super) fn unload_stream(&mut self, stream: StreamIndex, bytes: usize) {
        let slot = &mut self.storage.tables().streams[usize::from(stream.0)];
        slot.outstanding -= 1;
        if F::CHOICE {
            slot.load.end(bytes);
        }
    }
}
