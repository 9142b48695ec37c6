//! Closing the ledger, which decides the fate of every entry.

use distributedlog::Instant;

use super::types::{CloseReason, Fate, WriterOutput};
use super::{Phase, Purpose, Writer};
use crate::ledger::update::{Decision, Update, Versioned};
use crate::metadata::{LedgerMetadata, LedgerState};

impl Writer {
    /// Stops confirming. The ledger is closed as soon as no other change of its node is in flight.
    pub(super) fn die(&mut self, reason: CloseReason) {
        match self.phase {
            Phase::Open | Phase::Draining => self.phase = Phase::Closing(reason),
            Phase::Closing(_) | Phase::Ended => {}
        }
    }

    /// Begins to close the node if it is time to.
    pub(super) fn start_close(&mut self, now: Instant) {
        if self.update.is_some() {
            return;
        }
        match self.phase {
            Phase::Draining if self.pending.is_empty() => {
                self.phase = Phase::Closing(CloseReason::Finished);
            }
            Phase::Closing(_) => {}
            Phase::Open | Phase::Draining | Phase::Ended => return,
        }
        let (update, step) = Update::start(&self.stored, |it| self.decide_close(it));
        self.update = Some((Purpose::Close, update));
        self.proceed(now, step);
    }

    /// The node is closed behind the last confirmed entry, also over another client's recovery:
    /// that finds it closed and adopts the end, and no acknowledged entry is behind it. An end that
    /// is stored is final.
    pub(super) fn decide_close(&self, stored: &LedgerMetadata) -> Decision {
        if stored.state == LedgerState::Closed {
            return Decision::Adopt;
        }
        let mut next = stored.clone();
        next.state = LedgerState::Closed;
        next.last_entry = self.confirmed;
        next.length = self.confirmed_length;
        #[cfg(seeded_bugs)]
        if crate::seeded_bugs::is_on(crate::seeded_bugs::Bug::CloseClaimsTooMuch) {
            next.last_entry = self.next_entry - 1;
            next.length = self.length;
        }
        Decision::Replace(next)
    }

    /// Takes the stored end.
    pub(super) fn closed(&mut self, stored: Versioned) {
        let last = stored.metadata.last_entry;
        self.stored = stored;
        self.forget_confirmed();
        for pending in self.pending.drain(..) {
            let fate = if pending.entry <= last {
                Fate::Written
            } else {
                Fate::NotWritten
            };
            self.outputs.push_back(WriterOutput::Resolved {
                entry: pending.entry,
                fate,
            });
        }
        self.end(Some(last));
    }

    /// The node does not exist any more.
    pub(super) fn gone(&mut self) {
        self.die(CloseReason::Deleted);
        self.forget_confirmed();
        for pending in self.pending.drain(..) {
            let fate = Fate::Unknown;
            self.outputs.push_back(WriterOutput::Resolved {
                entry: pending.entry,
                fate,
            });
        }
        self.end(None);
    }

    fn end(&mut self, last_entry: Option<crate::EntryId>) {
        let reason = match core::mem::replace(&mut self.phase, Phase::Ended) {
            Phase::Closing(reason) => reason,
            Phase::Open | Phase::Draining | Phase::Ended => CloseReason::Deleted,
        };
        self.pending_bytes = 0;
        self.outputs.push_back(WriterOutput::Closed {
            last_entry,
            reason,
            lost_confirmed: last_entry.is_some_and(|last| last < self.confirmed),
        });
    }
}
