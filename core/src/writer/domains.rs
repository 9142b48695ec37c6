//! Hedges that go to another failure domain (R22).
//!
//! What holds up one stream of a store, its disk most often, holds up the others too. Silence (R21)
//! shows that after a while, and only where something waits; a proxy that says which streams share
//! their storage shows it at once.

use super::machine::Writer;
use super::slots::{AttemptState, SetSlot};
use super::{Storage, WriterFeatures};
use crate::{FailureDomain, StreamIndex};

impl<S: Storage, F: WriterFeatures> Writer<S, F> {
    /// Sets the failure domain of a stream's storage, from now on (R22); `None`, as at the
    /// beginning: it shares its storage with no other stream, as far as it is known. Ignored if the
    /// index is out of range, and without [`WriterFeatures::STALLS`].
    pub fn set_failure_domain(&mut self, stream: StreamIndex, domain: Option<FailureDomain>) {
        if F::STALLS && stream.0 < self.streams {
            self.storage.tables().streams[usize::from(stream.0)].domain = domain;
        }
    }

    /// Returns `true` if an attempt of the set is outstanding in the stream's failure domain.
    pub(super) fn waits_in_domain(&self, slot: &SetSlot, stream: StreamIndex) -> bool {
        let rows = self.storage.streams();
        let domain = rows[usize::from(stream.0)].domain;
        let mut outstanding = slot
            .attempts
            .iter()
            .filter(|attempt| attempt.state == AttemptState::Outstanding);
        let shares = domain.is_some()
            && outstanding.any(|attempt| rows[usize::from(attempt.stream.0)].domain == domain);
        #[cfg(seeded_bugs)]
        if crate::seeded_bugs::is_on(crate::seeded_bugs::Bug::SameDomainFirst) {
            return !shares;
        }
        shares
    }
}
