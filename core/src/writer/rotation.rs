//! The choice of the next stream (R4, R5, R9).

use super::machine::Writer;
use super::slots::StreamSlot;
use super::{Storage, WriterFeatures};
use crate::{Instant, StreamIndex};

impl<S: Storage, F: WriterFeatures> Writer<S, F> {
    /// Returns the row at which a set starts: the next in the rotation whose stream is healthy and
    /// has room in its window; the next healthy one without room, if none has room; the next of all
    /// that has room, if none is healthy, and the next at all otherwise (R9). The rotation
    /// continues behind the chosen row, so that healthy streams share the sets evenly.
    ///
    /// Fairness: the rotation passes a stream that is healthy and has room only by starting there.
    /// So between two starts of a stream that stayed healthy and had room, every other stream
    /// starts at most once: over any sequence of sets no such stream starts more than one set less
    /// than another.
    pub(super) fn first_row(&mut self, now: Instant) -> u16 {
        let streams = self.streams as usize;
        let start = self.next_row as usize;
        let rows = &self.storage.streams()[..streams];
        let turns = || {
            (0..streams)
                .map(|step| wrap(start + step, streams))
                .map(|row| (row, &rows[rows[row].turn.0 as usize]))
        };
        let has_room = |slot: &StreamSlot| slot.outstanding < self.bounds.window;
        let mut full = None;
        let mut row = None;
        for (turn, slot) in turns().filter(|(_, slot)| self.is_available(slot, now)) {
            if has_room(slot) {
                row = Some(turn);
                break;
            }
            full = full.or(Some(turn));
        }
        if row.is_some() && full.is_some() {
            self.counters.window_full = self.counters.window_full.wrapping_add(1);
        }
        let row = row
            .or(full)
            .or_else(|| {
                turns()
                    .find(|(_, slot)| has_room(slot))
                    .map(|(turn, _)| turn)
            })
            .unwrap_or(start);
        self.next_row = wrap(row + 1, streams) as u16;
        #[cfg(seeded_bugs)]
        if crate::seeded_bugs::is_on(crate::seeded_bugs::Bug::TurnNotTaken) {
            self.next_row = wrap(start + 1, streams) as u16;
        }
        row as u16
    }

    /// Returns the row at which a set continues: the next behind its last one that was not tried in
    /// this round and did not refuse the set permanently. Healthy streams come first, and among
    /// them those with room in their window.
    pub(super) fn following_row(&self, set: u16, now: Instant) -> Option<u16> {
        let streams = self.streams as usize;
        let slot = &self.storage.sets()[set as usize];
        let rows = &self.storage.streams()[..streams];
        let (mut full, mut unavailable) = (None, None);
        for step in 1..=streams {
            let row = wrap(slot.row as usize + step, streams);
            let stream = rows[row].turn;
            if slot.tried.contains(stream) || slot.refused_by.contains(stream) {
                continue;
            }
            let slot = &rows[stream.0 as usize];
            if !self.is_available(slot, now) {
                unavailable = unavailable.or(Some(row as u16));
            } else if slot.outstanding < self.bounds.window {
                return Some(row as u16);
            } else {
                full = full.or(Some(row as u16));
            }
        }
        full.or(unavailable)
    }
}

/// Probes of streams on probation (R9).
impl<S: Storage, F: WriterFeatures> Writer<S, F> {
    /// Returns the row of a stream that is due for a probe, if the budget has a token for it and
    /// the set was not tried there. From now on the stream waits for the outcome of the probe.
    pub(super) fn probe_row(&mut self, set: u16, now: Instant) -> Option<u16> {
        let slot = &self.storage.sets()[set as usize];
        let rows = &self.storage.streams()[..self.streams as usize];
        let row = rows.iter().position(|row| {
            let due = rows[row.turn.0 as usize]
                .health
                .probe_at()
                .is_some_and(|at| at <= now);
            due && !slot.tried.contains(row.turn)
        })?;
        if F::BUDGET && !self.budget.take(now) {
            return None;
        }
        let rows = self.storage.tables().streams;
        let stream = rows[row].turn.0 as usize;
        rows[stream].health.begin_probe();
        self.next_probe = rows[..self.streams as usize]
            .iter()
            .filter_map(|row| row.health.probe_at())
            .min()
            .unwrap_or(Instant::MAX);
        Some(row as u16)
    }

    /// Moves the time of the next probe forward if this stream is due earlier.
    pub(super) fn update_next_probe(&mut self, stream: StreamIndex) {
        if F::HEALTH
            && let Some(at) = self.storage.streams()[stream.0 as usize].health.probe_at()
        {
            self.next_probe = self.next_probe.min(at);
        }
    }

    /// Handles an end that says nothing about the stream's health.
    pub(super) fn note_inconclusive(&mut self, stream: StreamIndex, now: Instant) {
        if F::HEALTH {
            self.storage.tables().streams[stream.0 as usize]
                .health
                .on_inconclusive(now);
            self.update_next_probe(stream);
        }
    }
}

/// Wraps `row` around a rotation of `streams` rows. It is the sum of a row below `streams` and a
/// step of at most `streams`, so one subtraction is enough.
const fn wrap(row: usize, streams: usize) -> usize {
    if row >= streams { row - streams } else { row }
}
