use super::types::{ReadAnswer, RecoveryError};
use crate::entry::EntryCodec;
use crate::ledger::ensemble::{IndexSet, Quorums};
use crate::{EntryId, NO_ENTRY};

/// Answers to the reads that fence the last ensemble.
pub(super) struct Fence {
    quorums: Quorums,
    /// First entry of the last segment: all before it are confirmed.
    first_entry: EntryId,
    /// Bookies that are fenced now and told their last entry.
    answered: IndexSet,
    /// Bookies that answered anything.
    heard: IndexSet,
    lac: EntryId,
}

impl Fence {
    pub(super) fn new(quorums: Quorums, first_entry: EntryId) -> Self {
        Self {
            quorums,
            first_entry,
            answered: IndexSet::default(),
            heard: IndexSet::default(),
            lac: NO_ENTRY,
        }
    }

    /// Takes an answer.
    pub(super) fn handle(
        &mut self,
        codec: &EntryCodec,
        index: usize,
        answer: ReadAnswer,
    ) -> Result<(), RecoveryError> {
        self.heard.insert(index);
        match answer {
            ReadAnswer::Body(body) => {
                // A damaged body may hide a larger last add confirmed: it does not count.
                if let Ok(entry) = codec.decode_any(&body) {
                    self.answered.insert(index);
                    self.lac = self.lac.max(entry.lac);
                }
            }
            ReadAnswer::Absent => self.answered.insert(index),
            ReadAnswer::Unauthorized => return Err(RecoveryError::Unauthorized),
            ReadAnswer::Unknown => {}
        }
        if self.heard.len() == self.quorums.ensemble && self.base().is_none() {
            return Err(RecoveryError::NotCovered);
        }
        Ok(())
    }

    /// The last entry that is known to be confirmed, once no group of unheard bookies can have
    /// confirmed one on its own.
    pub(super) fn base(&self) -> Option<EntryId> {
        self.quorums
            .covered(self.answered)
            .then(|| self.lac.max(self.first_entry - 1))
    }
}
