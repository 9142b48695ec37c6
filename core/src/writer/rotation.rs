//! The choice of the next stream (R4, R5, R9).

use super::machine::Writer;
use super::slots::{SetSlot, StreamSet};
use super::{Storage, WriterFeatures};
use crate::{Instant, StreamIndex};

impl<S: Storage, F: WriterFeatures> Writer<S, F> {
    /// Returns the row at which a set starts: the next in the rotation whose stream is healthy and
    /// has room in its window; the next healthy one without room, if none has room; the next of all
    /// that has room, if none is healthy, and the next at all otherwise (R9). `None` if every
    /// stream is paused (R16). The rotation continues behind the chosen row, so that healthy
    /// streams share the sets evenly.
    ///
    /// If records keep their order, every set looks from the same row on (R20).
    ///
    /// Fairness: the rotation passes a stream that is healthy and has room only by starting there.
    /// So between two starts of a stream that stayed healthy and had room, every other stream
    /// starts at most once: over any sequence of sets no such stream starts more than one set less
    /// than another.
    pub(super) fn first_row(&mut self, set: u16, now: Instant) -> Option<u16> {
        let start = self.start_row();
        let (row, passed_full) = self.best_row(start, None, now).ok()?;
        if passed_full {
            self.counters.window_full = self.counters.window_full.wrapping_add(1);
        }
        let bytes = self.storage.sets()[set as usize].content.byte_len();
        let row = self.less_loaded(row, bytes, now);
        self.next_row = wrap(row + 1, self.members().into()) as u16;
        #[cfg(seeded_bugs)]
        if crate::seeded_bugs::is_on(crate::seeded_bugs::Bug::TurnNotTaken) {
            self.next_row = wrap(start + 1, self.members().into()) as u16;
        }
        Some(row as u16)
    }

    /// Returns the row at which a set continues: the next behind its last one that was not tried in
    /// this round, did not refuse the set permanently and is not paused. Healthy streams come
    /// first, and among them those with room in their window.
    ///
    /// # Errors
    ///
    /// There is none. The first end of a pause of the streams where the set may still go in this
    /// round (R16), or [`Instant::MAX`] if none of them is paused.
    pub(super) fn following_row(&self, set: u16, now: Instant) -> Result<u16, Instant> {
        let slot = &self.storage.sets()[set as usize];
        self.next_row_of(slot, &slot.tried, now)
    }

    /// The same for a set that was tried at these streams.
    #[inline(always)]
    pub(super) fn next_row_of(
        &self,
        slot: &SetSlot,
        tried: &StreamSet,
        now: Instant,
    ) -> Result<u16, Instant> {
        let start = wrap(slot.row as usize + 1, self.members().into());
        self.best_row(start, Some([tried, &slot.refused_by]), now)
            .map(|(row, _)| row as u16)
    }

    /// Returns the best row from `start` on of those whose stream is in neither set, and `true` if
    /// healthy streams without room were passed by for one with room.
    ///
    /// # Errors
    ///
    /// As for [`following_row`](Self::following_row).
    fn best_row(
        &self,
        start: usize,
        barred: Option<[&StreamSet; 2]>,
        now: Instant,
    ) -> Result<(usize, bool), Instant> {
        let streams = self.members() as usize;
        let all = self.storage.streams();
        let rows = &all[..streams];
        // Those of streams that were removed are behind the rotation's.
        let slots = if F::CHANGES { all } else { rows };
        let mut best = None;
        let mut passed_full = false;
        let mut pause_end = Instant::MAX;
        for step in 0..streams {
            let row = wrap(start + step, streams);
            let stream = rows[row].turn;
            let slot = &slots[stream.0 as usize];
            let is_barred =
                |sets: [&StreamSet; 2]| sets.iter().any(|set| set.contains(stream.0.into()));
            if barred.is_some_and(is_barred) {
                continue;
            }
            if self.is_paused(slot, now) {
                pause_end = pause_end.min(slot.health.pause_end());
                continue;
            }
            // Ascending: the lowest is taken.
            let rank = 2 * u8::from(!self.is_available(slot, now))
                + u8::from(slot.outstanding >= self.bounds.window);
            if rank == 0 {
                return Ok((row, passed_full));
            }
            passed_full |= rank == 1;
            if best.is_none_or(|(lowest, _)| rank < lowest) {
                best = Some((rank, row));
            }
        }
        best.map(|(_, row)| (row, false)).ok_or(pause_end)
    }
}

/// Probes of streams on probation (R9).
impl<S: Storage, F: WriterFeatures> Writer<S, F> {
    /// Returns the row of a stream that is due for a probe, if the budget has a token for it and
    /// the set was not tried there. From now on the stream waits for the outcome of the probe.
    pub(super) fn probe_row(&mut self, set: u16, now: Instant) -> Option<u16> {
        let slot = &self.storage.sets()[set as usize];
        let members = usize::from(self.members());
        let rows = self.storage.streams();
        let row = rows[..members]
            .iter()
            .enumerate()
            .position(|(index, row)| {
                let due = rows[row.turn.0 as usize]
                    .health
                    .probe_at()
                    .is_some_and(|at| at <= now);
                due && !slot.tried.contains(row.turn.0.into()) && self.may_probe(index, slot.row)
            })?;
        if F::BUDGET && !self.budget.take(now) {
            return None;
        }
        let rows = self.storage.tables().streams;
        let stream = rows[row].turn.0 as usize;
        rows[stream].health.begin_probe();
        self.find_next_probe();
        Some(row as u16)
    }

    /// Computes the time of the next probe.
    pub(super) fn find_next_probe(&mut self) {
        let probes = self.rotation().filter_map(|it| it.health.probe_at());
        self.next_probe = probes.min().unwrap_or(Instant::MAX);
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
        if F::HEALTH && !self.is_removed(stream) {
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
