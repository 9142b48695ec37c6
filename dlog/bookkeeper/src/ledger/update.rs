use core::time::Duration;

use crate::metadata::LedgerMetadata;

/// Metadata with the version of its node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Versioned {
    /// The metadata.
    pub metadata: LedgerMetadata,
    /// Version of the node, which a change names.
    pub version: i32,
}

/// Reply to a change of a ledger's node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetReply {
    /// The node was changed, and has this version now.
    Done(i32),
    /// The node has another version than the change named.
    BadVersion,
    /// The node does not exist.
    NoNode,
    /// ZooKeeper's reply did not arrive: the change may have been made.
    Unknown,
}

/// Reply to a read of a ledger's node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MetadataReply {
    /// The node's metadata.
    Found(Versioned),
    /// The node does not exist: the ledger was deleted.
    NoNode,
    /// The node could not be read, or not decoded.
    Unknown,
}

/// Decision about the stored metadata.
pub(super) enum Decision {
    /// The stored metadata is accepted as it is.
    Adopt,
    /// The stored metadata is to be replaced.
    Replace(LedgerMetadata),
}

/// Next step of an update.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Replace the node's metadata if it still has this version.
    Set(Versioned),
    /// Read the node after a pause.
    Read(Duration),
    /// The update is over: this is stored.
    Done(Versioned),
    /// The ledger was deleted.
    Gone,
}

/// One change of a ledger's node: the only place that changes any.
///
/// A reply that did not arrive is resolved by reading the node again and comparing: a client that
/// takes its own lost success for another's change reports a ledger as lost that it closed itself,
/// and one that takes a lost failure for success acknowledges entries on bookies that the metadata
/// does not name.
pub(super) struct Update {
    /// The replacement that may be stored already.
    attempted: Option<LedgerMetadata>,
    /// Reads that failed one after the other.
    failed_reads: u32,
}

/// First pause before the node is read again after a failure.
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// The pause doubles so often: up to 3.2 seconds.
const MAX_DOUBLINGS: u32 = 6;

impl Update {
    /// Begins with metadata that is known; it may be out of date.
    pub(super) fn start(
        known: &Versioned,
        decide: impl FnOnce(&LedgerMetadata) -> Decision,
    ) -> (Self, Step) {
        let mut update = Self {
            attempted: None,
            failed_reads: 0,
        };
        let step = update.decide(known.clone(), decide);
        (update, step)
    }

    /// Takes the reply to [`Step::Set`].
    pub(super) fn handle_set(&mut self, reply: SetReply) -> Step {
        match (reply, self.attempted.take()) {
            (SetReply::Done(version), Some(metadata)) => {
                Step::Done(Versioned { metadata, version })
            }
            #[cfg(seeded_bugs)]
            (SetReply::BadVersion, Some(metadata))
                if crate::seeded_bugs::is_on(crate::seeded_bugs::Bug::ChangeIsLocal) =>
            {
                Step::Done(Versioned {
                    metadata,
                    version: 1,
                })
            }
            #[cfg(seeded_bugs)]
            (SetReply::BadVersion, attempted)
                if crate::seeded_bugs::is_on(crate::seeded_bugs::Bug::ChangeRepeatedBlindly) =>
            {
                self.attempted = attempted;
                Step::Read(Duration::ZERO)
            }
            // No set is in flight: read what is there.
            (SetReply::Done(_), None) | (SetReply::BadVersion, _) => Step::Read(Duration::ZERO),
            #[cfg(seeded_bugs)]
            (SetReply::Unknown, Some(metadata))
                if crate::seeded_bugs::is_on(crate::seeded_bugs::Bug::LostReplyIsSuccess) =>
            {
                Step::Done(Versioned {
                    metadata,
                    version: 1,
                })
            }
            (SetReply::NoNode, _) => Step::Gone,
            (SetReply::Unknown, attempted) => {
                self.attempted = attempted;
                Step::Read(self.pause())
            }
        }
    }

    /// Takes the reply to [`Step::Read`].
    pub(super) fn handle_read(
        &mut self,
        reply: MetadataReply,
        decide: impl FnOnce(&LedgerMetadata) -> Decision,
    ) -> Step {
        match reply {
            MetadataReply::Found(stored) => {
                self.failed_reads = 0;
                #[cfg(seeded_bugs)]
                if crate::seeded_bugs::is_on(crate::seeded_bugs::Bug::ChangeRepeatedBlindly)
                    && let Some(metadata) = self.attempted.clone()
                    && metadata != stored.metadata
                {
                    return Step::Set(Versioned {
                        metadata,
                        version: stored.version,
                    });
                }
                if self
                    .attempted
                    .take()
                    .is_some_and(|attempted| attempted == stored.metadata)
                {
                    return Step::Done(stored);
                }
                self.decide(stored, decide)
            }
            MetadataReply::NoNode => Step::Gone,
            MetadataReply::Unknown => {
                self.failed_reads = self.failed_reads.saturating_add(1);
                Step::Read(self.pause())
            }
        }
    }

    fn decide(
        &mut self,
        stored: Versioned,
        decide: impl FnOnce(&LedgerMetadata) -> Decision,
    ) -> Step {
        match decide(&stored.metadata) {
            Decision::Adopt => Step::Done(stored),
            Decision::Replace(metadata) => {
                self.attempted = Some(metadata.clone());
                Step::Set(Versioned {
                    metadata,
                    version: stored.version,
                })
            }
        }
    }

    const fn pause(&self) -> Duration {
        let doublings = if self.failed_reads < MAX_DOUBLINGS {
            self.failed_reads
        } else {
            MAX_DOUBLINGS
        };
        FIRST_PAUSE.saturating_mul(1 << doublings)
    }
}
