//! Hedges that go to no stream that is silent (R21), and the order of the others (R22).
//!
//! Streams of one store share its disk. A sync that takes long holds up all of them at once: a
//! hedge then waits for the same sync, wins nothing, and adds to the load. A shared stall shows in
//! that the other streams do not answer either.

use super::machine::Writer;
use super::slots::{AttemptState, SetSlot, StreamSlot};
use super::{Storage, WriterFeatures};
use crate::{Instant, StreamIndex};

impl<S: Storage, F: WriterFeatures> Writer<S, F> {
    /// Returns `true` if sets wait for silent streams. A constant without
    /// [`WriterFeatures::STALLS`].
    const fn waits_out_stalls(&self) -> bool {
        F::STALLS && self.settings.wait_out_stalls()
    }

    /// Returns `true` if the stream has kept something waiting, and has answered nothing, for half
    /// as long as a set waits there before it is hedged. Not as long: what a stall holds up began
    /// at different times before it, and the first set to be hedged is the oldest.
    ///
    /// One with nothing in flight is not silent: a hedge there finds out.
    fn is_silent(&self, stream: StreamIndex, slot: &StreamSlot, now: Instant) -> bool {
        let quiet = now.micros_since(slot.quiet_since);
        slot.outstanding > 0 && quiet >= self.speculative_delay(stream) / 2
    }

    /// Returns the row at which a set is hedged: of the streams that are not silent, that at which
    /// it would continue, but one that is healthy and in none of the failure domains where the set
    /// waits comes first (R22). `Err` has the row of all streams, if each of them is silent or
    /// paused.
    ///
    /// # Errors
    ///
    /// As said, and `None` if there is none at all.
    pub(super) fn hedge_row(&self, set: u16, now: Instant) -> Result<u16, Option<u16>> {
        let row = self.following_row(set, now).map_err(|_| None)?;
        if !self.waits_out_stalls() {
            return Ok(row);
        }
        let rows = self.storage.streams();
        let slot = &self.storage.sets()[usize::from(set)];
        let silent =
            |stream: StreamIndex| self.is_silent(stream, &rows[usize::from(stream.0)], now);
        let turn = rows[usize::from(row)].turn;
        if !silent(turn) && !self.waits_in_domain(slot, turn) {
            return Ok(row);
        }
        // As if the set had been to all that are silent, and first also to all that share a domain
        // with it. Not copies of the whole set: its attempts are too much for a device's stack.
        let (mut near, mut tried) = (slot.tried, slot.tried);
        for row in &rows[..usize::from(self.members())] {
            if silent(row.turn) {
                tried.insert(row.turn.0.into());
                near.insert(row.turn.0.into());
            } else if self.waits_in_domain(slot, row.turn) {
                near.insert(row.turn.0.into());
            }
        }
        for (passed, anywhere) in [(&near, false), (&tried, true)] {
            if let Ok(row) = self.next_row_of(slot, passed, now) {
                let stream = &rows[usize::from(rows[usize::from(row)].turn.0)];
                if anywhere || self.is_available(stream, now) {
                    return Ok(row);
                }
            }
        }
        Err(Some(row))
    }

    /// Returns the time at which a set whose speculative timeout is over is to be hedged instead,
    /// if every stream where it could go is silent: after as long again as its last attempt has
    /// taken, but no later than the max speculative timeout after that attempt began. `None` if it
    /// is to be hedged now.
    ///
    /// So a set waits a number of times that grows with the logarithm of that timeout, and a stream
    /// that never answers is left in time, whatever the others do.
    pub(super) fn wait_for_answers(&self, set: u16, now: Instant) -> Option<Instant> {
        if !self.waits_out_stalls() || self.hedge_row(set, now).is_ok() {
            return None;
        }
        let most = self.bounds.max_speculative_timeout;
        #[cfg(seeded_bugs)]
        let most = if crate::seeded_bugs::is_on(crate::seeded_bugs::Bug::SilenceWithoutEnd) {
            u64::MAX
        } else {
            most
        };
        let began = self.storage.sets()[usize::from(set)].last_outstanding();
        let waited = now.micros_since(began);
        (waited < most).then(|| now.plus_micros(waited.max(1)).min(began.plus_micros(most)))
    }

    /// Returns the time that an attempt took without that in which another stream was silent too,
    /// in microseconds: a stall that streams share is no fault of one of them (R9).
    pub(super) fn took_alone(&mut self, stream: StreamIndex, began: Instant, now: Instant) -> u64 {
        let took = now.micros_since(began);
        if !self.waits_out_stalls() {
            return took;
        }
        let rows = self.storage.streams();
        let members = rows[..usize::from(self.members())]
            .iter()
            .map(|row| row.turn);
        let others = members.filter(|other| *other != stream);
        let since = others
            .map(|other| (other, &rows[usize::from(other.0)]))
            .filter(|(other, slot)| self.is_silent(*other, slot, now))
            .map(|(_, slot)| slot.quiet_since)
            .min();
        if let Some(since) = since {
            let since = since.max(rows[usize::from(stream.0)].quiet_since);
            let (from, until) = self.shared_stall;
            // The answers after the first one of a stall: their streams were silent until then.
            let from = if since <= until { from } else { since };
            self.shared_stall = (from, now);
        }
        let (from, until) = self.shared_stall;
        took.saturating_sub(until.micros_since(from.max(began)))
    }

    /// Handles the begin of an attempt at a stream, before it is counted: the stream's silence
    /// begins with the first thing that waits.
    pub(super) fn note_waiting(&mut self, stream: StreamIndex, now: Instant) {
        let slot = &mut self.storage.tables().streams[usize::from(stream.0)];
        if F::STALLS && slot.outstanding == 0 {
            slot.quiet_since = now;
        }
    }

    /// Handles an answer of a stream, which ends its silence.
    pub(super) fn note_answer(&mut self, stream: StreamIndex, now: Instant) {
        if F::STALLS {
            self.storage.tables().streams[usize::from(stream.0)].quiet_since = now;
        }
    }
}

impl SetSlot {
    /// Returns the time at which the last of the attempts that are outstanding began.
    fn last_outstanding(&self) -> Instant {
        let outstanding = self.attempts.iter();
        outstanding
            .filter(|attempt| attempt.state == AttemptState::Outstanding)
            .map(|attempt| attempt.started)
            .max()
            .unwrap_or(Instant::ZERO)
    }
}
