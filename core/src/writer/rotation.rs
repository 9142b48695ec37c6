//! Which stream is next (R4, R5, R9).

use super::machine::Writer;
use super::slots::StreamSlot;
use super::{Storage, WriterFeatures};
use crate::{Instant, StreamIndex};

impl<S: Storage, F: WriterFeatures> Writer<S, F> {
    /// The row at which a set starts: the next in the rotation whose stream is healthy and has room
    /// in its window; the next without room, where none has; the next at all, with or without
    /// room, when none is healthy (R9). The rotation goes on behind it, so that healthy streams
    /// share the sets evenly.
    ///
    /// Fairness: the rotation passes a stream that is fit and has room only by starting there. So
    /// between two starts of a stream that was fit and had room all along, every other stream
    /// starts at most once: over any stretch of sets none starts more than one set more.
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

    /// The row at which a set goes on: the next behind its last one that was not tried in this
    /// round and did not refuse the set for good; a healthy one, if there is one, and among
    /// those one whose window has room.
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
    /// The row of a stream that is due for a probe, if the budget has a token for it and the set
    /// was not tried there. The stream waits for the probe's end from now on.
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

    /// The stream's state may have changed: it may be the next that is to be probed.
    pub(super) fn update_next_probe(&mut self, stream: StreamIndex) {
        if F::HEALTH
            && let Some(at) = self.storage.streams()[stream.0 as usize].health.probe_at()
        {
            self.next_probe = self.next_probe.min(at);
        }
    }

    /// An attempt at the stream ended in a way that says nothing of its health.
    pub(super) fn note_inconclusive(&mut self, stream: StreamIndex, now: Instant) {
        if F::HEALTH {
            self.storage.tables().streams[stream.0 as usize]
                .health
                .on_inconclusive(now);
            self.update_next_probe(stream);
        }
    }
}

/// `row` in a rotation of `streams` rows; both summands were below it.
const fn wrap(row: usize, streams: usize) -> usize {
    if row >= streams { row - streams } else { row }
}
