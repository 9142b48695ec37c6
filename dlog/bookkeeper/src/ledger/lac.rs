use super::ReadAnswer;
use super::ensemble::{IndexSet, Quorums};
use crate::entry::EntryCodec;
use crate::{EntryId, NO_ENTRY};

/// Answers of a ledger's last ensemble to the question for its last entry.
///
/// The body that a bookie returns is its last entry, which is usually not confirmed: the last add
/// confirmed is the one that its header names.
pub(super) struct LacAnswers {
    quorums: Quorums,
    /// First entry of the last segment: all before it are confirmed.
    first_entry: EntryId,
    /// Bookies that answered anything.
    heard: IndexSet,
    /// Bookies that named their last entry, or that they have none.
    answered: IndexSet,
    lac: EntryId,
}

/// Reason for which the last add confirmed cannot be known now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LacError {
    /// Too few bookies answered: the others may have confirmed entries.
    NotCovered,
    /// A bookie refuses the password or the connection.
    Unauthorized,
}

impl LacAnswers {
    pub(super) fn new(quorums: Quorums, first_entry: EntryId) -> Self {
        Self {
            quorums,
            first_entry,
            heard: IndexSet::default(),
            answered: IndexSet::default(),
            lac: NO_ENTRY,
        }
    }

    /// Takes the answer of the bookie at an index.
    pub(super) fn handle(
        &mut self,
        codec: &EntryCodec,
        index: usize,
        answer: &ReadAnswer,
    ) -> Result<(), LacError> {
        self.heard.insert(index);
        match answer {
            ReadAnswer::Body(body) => {
                // A damaged body may hide a larger last add confirmed: it does not count.
                if let Ok(entry) = codec.decode_any(body) {
                    self.answered.insert(index);
                    self.lac = self.lac.max(entry.lac);
                }
            }
            ReadAnswer::Absent => self.answered.insert(index),
            ReadAnswer::Unauthorized => return Err(LacError::Unauthorized),
            ReadAnswer::Unknown => {}
        }
        if self.heard.len() == self.quorums.ensemble && self.last_confirmed().is_none() {
            return Err(LacError::NotCovered);
        }
        Ok(())
    }

    /// Returns the last entry that is known to be confirmed, once no group of unheard bookies can
    /// have confirmed one on its own.
    pub(super) fn last_confirmed(&self) -> Option<EntryId> {
        self.quorums
            .covered(self.answered)
            .then(|| self.lac.max(self.first_entry - 1))
    }
}
