use super::types::{ReadError, ReadRequest};
use super::{BookieId, EntryCodec, IndexSet, LedgerMetadata, MAX_MEMBERS, Quorums, ReadAnswer};
use crate::{EntryId, NO_ENTRY};

/// Reads the last add confirmed of an open ledger from all bookies of its last ensemble, without
/// fencing it.
pub struct LacReader {
    codec: EntryCodec,
    quorums: Quorums,
    ensemble: Vec<BookieId>,
    /// Entries before this one are confirmed: their ensemble was left.
    first_entry: EntryId,
    heard: IndexSet,
    answered: IndexSet,
    lac: EntryId,
}

impl LacReader {
    /// Returns a reader of the last add confirmed of the ledger with this metadata.
    ///
    /// # Errors
    /// [`ReadError::EnsembleTooLarge`] for an ensemble of more than 64 bookies.
    pub fn new(codec: EntryCodec, metadata: &LedgerMetadata) -> Result<Self, ReadError> {
        if metadata.ensemble_size > MAX_MEMBERS {
            return Err(ReadError::EnsembleTooLarge);
        }
        let segment = metadata.last_segment();
        Ok(Self {
            codec,
            quorums: Quorums {
                ensemble: metadata.ensemble_size,
                write: metadata.write_quorum,
                ack: metadata.ack_quorum,
            },
            ensemble: segment.ensemble.clone(),
            first_entry: segment.first_entry,
            heard: IndexSet::default(),
            answered: IndexSet::default(),
            lac: NO_ENTRY,
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
    /// The body that a bookie returns is its last entry, which is usually not confirmed: the last
    /// add confirmed is the one that its header names.
    ///
    /// # Errors
    /// [`ReadError`] if it cannot be known now.
    pub fn handle_reply(
        &mut self,
        request: ReadRequest,
        answer: &ReadAnswer,
    ) -> Result<Option<EntryId>, ReadError> {
        self.heard.insert(request.place);
        match answer {
            ReadAnswer::Body(body) => {
                if let Ok(entry) = self.codec.decode_any(body) {
                    self.answered.insert(request.place);
                    self.lac = self.lac.max(entry.lac);
                }
            }
            ReadAnswer::Absent => self.answered.insert(request.place),
            ReadAnswer::Unauthorized => return Err(ReadError::Unauthorized),
            ReadAnswer::Unknown => {}
        }
        if self.quorums.covered(self.answered) {
            Ok(Some(self.lac.max(self.first_entry - 1)))
        } else if self.heard.len() == self.quorums.ensemble {
            Err(ReadError::NotCovered)
        } else {
            Ok(None)
        }
    }
}
