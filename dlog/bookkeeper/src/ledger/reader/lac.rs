use super::super::ensemble::Quorums;
use super::super::lac::{LacAnswers, LacError};
use super::types::{ReadError, ReadRequest};
use super::{BookieId, EntryCodec, LedgerMetadata, ReadAnswer};
use crate::{EntryId, NO_ENTRY};

/// Reads the last add confirmed of an open ledger from all bookies of its last ensemble, without
/// fencing it.
pub struct LacReader {
    codec: EntryCodec,
    ensemble: Vec<BookieId>,
    answers: LacAnswers,
}

impl LacReader {
    /// Returns a reader of the last add confirmed of the ledger with this metadata.
    ///
    /// # Errors
    /// [`ReadError::EnsembleTooLarge`] for an ensemble of more than 64 bookies.
    pub fn new(codec: EntryCodec, metadata: &LedgerMetadata) -> Result<Self, ReadError> {
        let quorums = Quorums::of(metadata);
        if !quorums.fits() {
            return Err(ReadError::EnsembleTooLarge);
        }
        let segment = metadata.last_segment();
        Ok(Self {
            codec,
            ensemble: segment.ensemble.clone(),
            answers: LacAnswers::new(quorums, segment.first_entry),
        })
    }

    /// Returns the reads to send, all at once.
    pub fn requests(&self) -> impl Iterator<Item = (ReadRequest, &BookieId)> {
        let request = |place| ReadRequest {
            entry: NO_ENTRY,
            place,
        };
        self.ensemble
            .iter()
            .enumerate()
            .map(move |(place, bookie)| (request(place), bookie))
    }

    /// Takes a reply. Returns the last add confirmed once enough bookies have answered that no
    /// group of the others can know a later one alone, and `None` before.
    ///
    /// # Errors
    /// [`ReadError`] if it cannot be known now.
    pub fn handle_reply(
        &mut self,
        request: ReadRequest,
        answer: &ReadAnswer,
    ) -> Result<Option<EntryId>, ReadError> {
        let handled = self.answers.handle(&self.codec, request.place, answer);
        handled.map_err(|error| match error {
            LacError::NotCovered => ReadError::NotCovered,
            LacError::Unauthorized => ReadError::Unauthorized,
        })?;
        Ok(self.answers.last_confirmed())
    }
}
