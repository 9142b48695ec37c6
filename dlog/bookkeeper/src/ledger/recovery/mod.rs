//! Recovering a ledger that its writer left: fencing it, finding its end, and closing it.

mod close;
mod tail;
mod types;

#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use super::ensemble::Quorums;
use super::lac::{LacAnswers, LacError};
use super::update::{Decision, MetadataReply, SetReply, Step, Update, Versioned};
use super::writer::SendReply;
use crate::entry::EntryCodec;
use crate::metadata::{BookieId, LedgerMetadata, LedgerState, Segment};

use tail::Tail;
pub use types::{
    ReadAnswer, Recovered, RecoveryError, RecoveryOutput, RecoveryRequest, RecoverySettings,
};

/// The recovery of one ledger.
///
/// It marks the metadata first, so that the writer cannot change the ensemble any more; then it
/// fences the bookies of the last ensemble, so that none stores another entry of the writer; then
/// it reads on behind the last entry that is known to be confirmed, writes every entry that it
/// finds back to the ack quorum, and closes the ledger at the first entry that cannot have been
/// confirmed.
///
/// Several recoveries of one ledger, and its writer, may run at the same time: the change of the
/// node that closes it decides, and the others adopt its end. A recovery that ends in the middle
/// leaves nothing behind that the next could not begin with.
pub struct Recovery {
    settings: RecoverySettings,
    codec: EntryCodec,
    quorums: Quorums,
    stored: Versioned,
    /// Bookies of the last ensemble when the ledger was marked: entries are read from them.
    ensemble: Vec<BookieId>,
    candidates: Vec<BookieId>,
    phase: Phase,
    outputs: VecDeque<RecoveryOutput>,
}

enum Phase {
    /// The node is being marked.
    Marking(Update),
    /// The bookies are being fenced.
    Fencing(LacAnswers),
    /// Entries behind the last confirmed one are read and written back.
    Reading(Tail),
    /// The node is being closed.
    Closing(Tail, Update),
    Ended,
}

impl Recovery {
    /// Begins the recovery of a ledger with metadata that may be out of date.
    ///
    /// `candidates` may take the place of bookies that fail while entries are written back.
    #[must_use]
    pub fn new(
        settings: RecoverySettings,
        codec: EntryCodec,
        known: Versioned,
        candidates: Vec<BookieId>,
    ) -> Self {
        let (update, step) = Update::start(&known, decide_mark);
        let quorums = Quorums::of(&known.metadata);
        let mut recovery = Self {
            settings,
            codec,
            quorums,
            stored: known,
            ensemble: Vec::new(),
            candidates,
            phase: Phase::Marking(update),
            outputs: VecDeque::new(),
        };
        if quorums.fits() {
            recovery.proceed(step);
        } else {
            recovery.fail(RecoveryError::EnsembleTooLarge);
        }
        recovery
    }

    /// Takes the reply to a [`RecoveryOutput::SetMetadata`].
    pub fn handle_set(&mut self, reply: SetReply) {
        let step = match &mut self.phase {
            Phase::Marking(update) | Phase::Closing(_, update) => update.handle_set(reply),
            Phase::Fencing(_) | Phase::Reading(_) | Phase::Ended => return,
        };
        self.proceed(step);
    }

    /// Takes the reply to a [`RecoveryOutput::ReadMetadata`].
    pub fn handle_metadata(&mut self, reply: MetadataReply) {
        let step = match &mut self.phase {
            Phase::Marking(update) => update.handle_read(reply, decide_mark),
            Phase::Closing(tail, update) => {
                let tail = &*tail;
                update.handle_read(reply, |stored| tail.decide_close(stored))
            }
            Phase::Fencing(_) | Phase::Reading(_) | Phase::Ended => return,
        };
        self.proceed(step);
    }

    /// Takes the reply to a [`RecoveryOutput::Read`]. A bookie that does not answer in time is
    /// reported as [`ReadAnswer::Unknown`].
    pub fn handle_read(&mut self, request: RecoveryRequest, answer: ReadAnswer) {
        let outcome = match &mut self.phase {
            Phase::Fencing(answers) if request.is_fence() => {
                let handled = answers.handle(&self.codec, request.index, &answer);
                handled.map_err(|error| match error {
                    LacError::NotCovered => RecoveryError::NotCovered,
                    LacError::Unauthorized => RecoveryError::Unauthorized,
                })
            }
            Phase::Reading(tail) if !request.is_fence() => {
                tail.handle_read(&self.codec, request, answer)
            }
            Phase::Marking(_)
            | Phase::Fencing(_)
            | Phase::Reading(_)
            | Phase::Closing(..)
            | Phase::Ended => return,
        };
        if let Err(error) = outcome {
            self.fail(error);
            return;
        }
        self.advance();
    }

    /// Takes the reply to a [`RecoveryOutput::WriteBack`]. A bookie that does not answer in time is
    /// reported as lost.
    pub fn handle_written(&mut self, request: RecoveryRequest, reply: SendReply) {
        let Phase::Reading(tail) = &mut self.phase else {
            return;
        };
        match tail.handle_written(request, reply, &self.candidates) {
            Ok(()) => self.advance(),
            Err(error) => self.fail(error),
        }
    }

    /// Returns the next thing to do or to know, or `None`.
    pub fn poll_output(&mut self) -> Option<RecoveryOutput> {
        self.outputs.pop_front()
    }

    fn proceed(&mut self, step: Step) {
        match step {
            Step::Set(next) => self.outputs.push_back(RecoveryOutput::SetMetadata(next)),
            Step::Read(after) => self
                .outputs
                .push_back(RecoveryOutput::ReadMetadata { after }),
            Step::Done(stored) => {
                self.stored = stored;
                if self.stored.metadata.state == LedgerState::Closed {
                    self.finish();
                } else if matches!(self.phase, Phase::Marking(_)) {
                    self.start_fencing();
                } else {
                    self.fail(RecoveryError::Conflict);
                }
            }
            Step::Gone => self.fail(RecoveryError::Deleted),
        }
    }

    fn start_fencing(&mut self) {
        let segment = self.stored.metadata.last_segment();
        self.ensemble.clone_from(&segment.ensemble);
        let answers = LacAnswers::new(self.quorums, segment.first_entry);
        for (index, bookie) in self.ensemble.iter().enumerate() {
            self.outputs.push_back(RecoveryOutput::Read {
                request: RecoveryRequest::fence(index),
                bookie: bookie.clone(),
            });
        }
        self.phase = Phase::Fencing(answers);
    }

    /// Goes as far as the answers allow.
    fn advance(&mut self) {
        if let Phase::Fencing(answers) = &self.phase {
            let Some(base) = answers.last_confirmed() else {
                return;
            };
            let base_ensemble = self.stored.metadata.segment_of(base).ensemble.clone();
            let tail = Tail::new(self.quorums, base, self.ensemble.clone(), base_ensemble);
            self.phase = Phase::Reading(tail);
        }
        let Phase::Reading(tail) = &mut self.phase else {
            return;
        };
        match tail.advance(&self.codec, self.settings.read_ahead, &mut self.outputs) {
            Ok(false) => {}
            Ok(true) => self.start_closing(),
            Err(error) => self.fail(error),
        }
    }

    fn start_closing(&mut self) {
        let Phase::Reading(tail) = core::mem::replace(&mut self.phase, Phase::Ended) else {
            return;
        };
        let (update, step) = Update::start(&self.stored, |stored| tail.decide_close(stored));
        self.phase = Phase::Closing(tail, update);
        self.proceed(step);
    }

    fn finish(&mut self) {
        self.phase = Phase::Ended;
        self.outputs.push_back(RecoveryOutput::Closed(Recovered {
            stored: self.stored.clone(),
        }));
    }

    fn fail(&mut self, error: RecoveryError) {
        self.phase = Phase::Ended;
        self.outputs.push_back(RecoveryOutput::Failed(error));
    }
}

/// A ledger that is open is marked; one that another recovery has marked stays so.
fn decide_mark(stored: &LedgerMetadata) -> Decision {
    match stored.state {
        LedgerState::InRecovery | LedgerState::Closed => Decision::Adopt,
        #[cfg(seeded_bugs)]
        LedgerState::Open
            if crate::seeded_bugs::is_on(crate::seeded_bugs::Bug::RecoveryDoesNotMark) =>
        {
            Decision::Adopt
        }
        LedgerState::Open => {
            let mut next = stored.clone();
            next.state = LedgerState::InRecovery;
            Decision::Replace(next)
        }
    }
}
