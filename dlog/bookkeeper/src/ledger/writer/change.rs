//! Replacing bookies of the ensemble that failed.

use distributedlog::Instant;

use super::pending::Pending;
use super::types::{CloseReason, WriterOutput, WriterSettings};
use super::{Phase, Purpose, Writer};
use crate::EntryId;
use crate::ledger::ensemble::IndexSet;
use crate::ledger::update::{Decision, Update, Versioned};
use crate::metadata::{BookieId, LedgerMetadata, LedgerState, Segment};

/// A change of the ensemble that is being stored.
pub(super) struct Change {
    /// First entry of the new ensemble: the one behind the last confirmed when it began. Entries
    /// that are confirmed until it is stored are so by bookies that stay, which the metadata names
    /// for them before and after.
    start: EntryId,
    /// Bytes of all payloads before the first entry.
    start_length: u64,
    replacements: Vec<Replacement>,
}

struct Replacement {
    index: usize,
    old: BookieId,
    new: BookieId,
}

impl Change {
    /// Returns the indices whose bookies leave: their copies do not count until it is known what is
    /// stored.
    pub(super) fn leaving(&self) -> IndexSet {
        let mut leaving = IndexSet::default();
        for replacement in &self.replacements {
            leaving.insert(replacement.index);
        }
        leaving
    }

    /// Returns true if an entry may be confirmed before the change is stored. What is confirmed
    /// meanwhile is kept for the new bookies, and gets half of the window: so there is always an
    /// entry whose outcome makes room when the window is full.
    pub(super) fn has_room(&self, next: &Pending, settings: &WriterSettings) -> bool {
        let entries = usize::try_from(next.entry - self.start).unwrap_or(usize::MAX);
        let bytes = next.length - self.start_length;
        entries < settings.max_pending_entries / 2 && bytes <= settings.max_pending_bytes as u64 / 2
    }

    /// Decides by the stored metadata. Another client's change that already took the failed bookies
    /// out is adopted, as is a recovery or a close, which ends this writer.
    pub(super) fn decide(&self, stored: &LedgerMetadata) -> Decision {
        if stored.state != LedgerState::Open {
            return Decision::Adopt;
        }
        let mut ensemble = stored.last_segment().ensemble.clone();
        let mut changed = false;
        for Replacement { index, old, new } in &self.replacements {
            // A replacement that another client has put into the ensemble meanwhile cannot be there
            // twice.
            if ensemble[*index] == *old && !ensemble.contains(new) {
                ensemble[*index] = new.clone();
                changed = true;
            }
        }
        if !changed {
            return Decision::Adopt;
        }
        let mut next = stored.clone();
        let segment = Segment {
            first_entry: self.start,
            ensemble,
        };
        match next.segments.last_mut() {
            // No entry of the last segment is confirmed: it is replaced, first entries ascend.
            Some(last) if last.first_entry == self.start => *last = segment,
            Some(_) | None => next.segments.push(segment),
        }
        Decision::Replace(next)
    }
}

impl Writer {
    /// Begins to replace members that failed, if others are there. With too few members left for an
    /// entry and no other bookie, the ledger is closed.
    pub(super) fn start_change(&mut self, now: Instant) {
        if self.update.is_some() || matches!(self.phase, Phase::Closing(_) | Phase::Ended) {
            return;
        }
        if self.members.iter().all(|it| !it.has_failed()) {
            return;
        }
        let replacements = self.choose();
        if replacements.is_empty() {
            // Without a spare bookie it goes on with the ack quorum of each entry.
            let spare = self.quorums.write - self.quorums.ack;
            if self.pending.iter().any(|it| it.failed.len() > spare) {
                self.die(CloseReason::NotEnoughBookies);
            }
            return;
        }
        let change = Change {
            start: self.start_of_change(),
            start_length: self.confirmed_length,
            replacements,
        };
        let (update, step) = Update::start(&self.stored, |it| change.decide(it));
        self.update = Some((Purpose::Change(change), update));
        self.proceed(now, step);
    }

    /// First entry of the next ensemble.
    fn start_of_change(&self) -> EntryId {
        #[cfg(seeded_bugs)]
        if crate::seeded_bugs::is_on(crate::seeded_bugs::Bug::ChangeStartsTooLate) {
            return self
                .next_entry
                .max(self.stored.metadata.last_segment().first_entry);
        }
        self.confirmed + 1
    }

    /// Returns the candidates that are not members, best first.
    pub(super) fn spares(&self) -> impl Iterator<Item = &BookieId> {
        self.candidates
            .iter()
            .filter(|candidate| self.members.iter().all(|it| it.bookie != **candidate))
    }

    /// Pairs failed members with the best candidates that are not members.
    fn choose(&self) -> Vec<Replacement> {
        let mut free = self.spares();
        let mut failed: Vec<usize> = (0..self.members.len())
            .filter(|&index| self.members[index].has_failed())
            .collect();
        // Members that cannot come back first: candidates may be fewer than failed members.
        failed.sort_by_key(|&index| !self.members[index].is_read_only());
        failed
            .into_iter()
            .map_while(|index| {
                let new = free.next()?.clone();
                Some(Replacement {
                    index,
                    old: self.members[index].bookie.clone(),
                    new,
                })
            })
            .collect()
    }

    /// Takes the metadata at the end of a change: ours, or another client's.
    pub(super) fn changed(&mut self, now: Instant, stored: Versioned) {
        let state = stored.metadata.state;
        self.stored = stored;
        if matches!(self.phase, Phase::Closing(_) | Phase::Ended) {
            return; // The writer died meanwhile: nothing is sent any more.
        }
        if state != LedgerState::Open {
            self.die(CloseReason::TakenOver);
            return;
        }
        let ensemble = self.stored.metadata.last_segment().ensemble.clone();
        let mut replaced = Vec::new();
        for (index, (member, bookie)) in self.members.iter_mut().zip(ensemble).enumerate() {
            if member.bookie != bookie {
                member.replace(bookie);
                replaced.push(index);
            }
        }
        // First every acknowledgement of a bookie that left is dropped, then anything is confirmed:
        // an entry must not count copies that the metadata does not name.
        for pending in &mut self.pending {
            for &index in &replaced {
                pending.acks.remove(index);
                pending.failed.remove(index);
            }
        }
        for index in replaced {
            self.resend(now, index);
        }
        self.forget_confirmed();
        self.outputs.push_back(WriterOutput::EnsembleChanged);
    }
}
