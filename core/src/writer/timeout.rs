//! Timers: flush, speculative timeout, retry and expiry.

use super::machine::Writer;
use super::slots::{NO_SET, RecordSlot, SetPhase, SetSlot};
use super::{Reason, Storage, WriterFeatures};
use crate::Instant;

/// Timer of a set. Each set has one entry in the timer table, for the earliest of its timers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Timer {
    /// The filling set has reached the flush interval (R6).
    Flush,
    /// A set has waited for its outstanding attempts as long as the speculative timeout, and is
    /// hedged (R3).
    Speculate,
    /// The next round of a set begins, or the budget is to be asked for a token again (R5, R8).
    Retry,
    /// The oldest record of a set reaches its deadline (R1).
    Expire,
}

impl<S: Storage, F: WriterFeatures> Writer<S, F> {
    /// Returns the time at which [`handle_timeout`](Self::handle_timeout) is to be called, or
    /// `None` if no timer is set.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let closing = self
            .closing
            .filter(|_| self.filling != NO_SET || self.in_flight > 0);
        let first = self.timers.first(self.storage.timers()).map(|(at, _)| at);
        match (closing, first) {
            (Some(closing), Some(first)) => Some(closing.min(first)),
            (closing, first) => closing.or(first),
        }
    }

    /// Handles the timers that are due. An early call has no effect. A late call causes at most one
    /// hedge per set, because the next timeout is counted from now; expiry depends on the time
    /// only, not on how many timers were missed.
    pub fn handle_timeout(&mut self, now: Instant) {
        let now = self.advance_clock(now);
        if self.closing.is_some_and(|by| by <= now) {
            self.abort(now);
        }
        // Bounded: each iteration moves its set's entry behind `now`, or removes it.
        while let Some((at, set)) = self.timers.first(self.storage.timers()) {
            if at > now {
                break;
            }
            let set = set as u16;
            while let Some(timer) = self.storage.sets()[set as usize].due_timer(now) {
                self.on_timer(set, timer, now);
            }
            self.rearm(set);
        }
    }

    fn on_timer(&mut self, set: u16, timer: Timer, now: Instant) {
        match timer {
            Timer::Flush => {
                let slot = &mut self.storage.tables().sets[set as usize];
                slot.flush_at = Instant::MAX;
                slot.due = true;
            }
            Timer::Expire if set == self.filling => self.expire_filling(now),
            Timer::Expire => self.expire_in_flight(set, now),
            Timer::Retry => self.on_retry_timer(set, now),
            Timer::Speculate => self.on_speculative_timer(set, now),
        }
    }

    /// Fails a set whose last record has expired. Otherwise fails only its expired records, which
    /// may still be written, and the set continues.
    fn expire_in_flight(&mut self, set: u16, now: Instant) {
        let tables = self.storage.tables();
        let slot = &tables.sets[set as usize];
        if slot.deadline <= now {
            return self.fail_set(set, Reason::TimedOut, now);
        }
        let expired = slot.expired_records(tables.records, now);
        let known = crate::WriteState::Unknown;
        #[cfg(seeded_bugs)]
        let known = if slot.may_be_written
            || !crate::seeded_bugs::is_on(crate::seeded_bugs::Bug::OutstandingForgotten)
        {
            known
        } else {
            crate::WriteState::NotWritten
        };
        let error = super::WriteError {
            known,
            reason: Reason::TimedOut,
            last_cause: slot.last_cause,
            attempts: slot.attempts_made,
        };
        self.fail_first(set, expired, error);
    }

    /// Sets a set's entry in the timer table to its earliest timer, or removes the entry if it has
    /// none.
    pub(super) fn rearm(&mut self, set: u16) {
        let tables = self.storage.tables();
        let at = tables.sets[set as usize].earliest();
        self.timers.set(tables.timers, set.into(), at);
    }

    pub(super) fn disarm(&mut self, set: u16) {
        self.timers.clear(self.storage.tables().timers, set.into());
    }
}

impl SetSlot {
    /// Returns the number of its records, from the first, whose deadline has passed.
    pub(super) fn expired_records(&self, records: &[RecordSlot], now: Instant) -> u32 {
        let expired = |record: &usize| records[*record].deadline <= now;
        self.records.iter(records).take_while(expired).count() as u32
    }

    fn earliest(&self) -> Instant {
        match self.phase {
            SetPhase::Free | SetPhase::Ending => Instant::MAX,
            #[cfg(seeded_bugs)]
            SetPhase::InFlight
                if crate::seeded_bugs::is_on(crate::seeded_bugs::Bug::DeadlineForgotten)
                    && self.speculate_at.min(self.retry_at) < Instant::MAX =>
            {
                self.speculate_at.min(self.retry_at)
            }
            SetPhase::Filling => self.flush_at.min(self.expire_at),
            SetPhase::InFlight => self.speculate_at.min(self.retry_at).min(self.expire_at),
        }
    }

    /// Returns the timer that is due. Expiry comes first: an expired set is not hedged any more.
    fn due_timer(&self, now: Instant) -> Option<Timer> {
        let in_flight = self.phase == SetPhase::InFlight;
        let filling = self.phase == SetPhase::Filling;
        if (in_flight || filling) && self.expire_at <= now {
            Some(Timer::Expire)
        } else if filling && self.flush_at <= now {
            Some(Timer::Flush)
        } else if in_flight && self.retry_at <= now {
            Some(Timer::Retry)
        } else if in_flight && self.speculate_at <= now {
            Some(Timer::Speculate)
        } else {
            None
        }
    }
}
