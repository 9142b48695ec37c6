//! Writing one ledger.

mod change;
mod close;
mod member;
mod pending;
mod types;

#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use bytes::Bytes;
use distributedlog::Instant;

#[cfg(seeded_bugs)]
use super::ensemble::IndexSet;
use super::ensemble::Quorums;
use super::update::{MetadataReply, SetReply, Step, Update, Versioned};
use crate::entry::EntryCodec;
use crate::metadata::BookieId;
use crate::wire::{MAX_FRAME_BYTES, Status};
use crate::{EntryId, NO_ENTRY};

use change::Change;
use member::Member;
use pending::Pending;
pub use types::{
    AppendError, BookieFailure, CloseReason, Fate, SendId, SendReply, WriterOutput, WriterSettings,
};

/// Bytes of a frame that are neither header, digest nor payload of an entry: message headers, ids
/// and key, rounded up.
const FRAME_OVERHEAD: usize = 128;

/// The writer of one ledger, which it alone appends to.
///
/// Invariant: an entry is confirmed only when the ack quorum of the bookies that the stored
/// metadata names for it have it, and all entries before it are confirmed. So a recovery, by
/// whomever, finds every confirmed entry. While a change of the metadata may be stored or not, only
/// bookies count that are named either way.
///
/// With at least the ack quorum of an entry's bookies it goes on: bookies that fail are replaced as
/// soon as others are there, in the background. If fewer are left and none can replace them, or
/// another client fences the ledger, it closes the ledger, and the stored end decides the fate of
/// every entry that was not confirmed.
pub struct Writer {
    settings: WriterSettings,
    codec: EntryCodec,
    quorums: Quorums,
    stored: Versioned,
    members: Vec<Member>,
    /// Bookies that may replace a member, best first.
    candidates: Vec<BookieId>,
    /// Entries that are not confirmed, in their order. While the ensemble changes those come first
    /// that were confirmed since it began: the new bookies get them as well.
    pending: VecDeque<Pending>,
    pending_bytes: usize,
    next_entry: EntryId,
    /// Last entry that is confirmed, and the bytes of all payloads up to it.
    confirmed: EntryId,
    confirmed_length: u64,
    /// Bytes of all payloads.
    length: u64,
    phase: Phase,
    /// A change of the node that is in flight, and its purpose.
    update: Option<(Purpose, Update)>,
    outputs: VecDeque<WriterOutput>,
}

/// State of the writer.
enum Phase {
    /// It takes entries.
    Open,
    /// It takes none, and closes the ledger when all are confirmed.
    Draining,
    /// Nothing is confirmed any more; the ledger's node is being closed.
    Closing(CloseReason),
    /// The node is closed, or gone.
    Ended,
}

enum Purpose {
    Change(Change),
    Close,
}

impl Writer {
    /// Returns the writer of a ledger that was just created: its metadata is open and without
    /// entries.
    ///
    /// # Panics
    /// If the ensemble has more than 64 bookies, which creators refuse.
    #[must_use]
    pub fn new(settings: WriterSettings, codec: EntryCodec, created: Versioned) -> Self {
        let metadata = &created.metadata;
        let members = metadata
            .last_segment()
            .ensemble
            .iter()
            .cloned()
            .map(Member::new)
            .collect();
        let quorums = Quorums::of(metadata);
        assert!(quorums.fits(), "creators refuse larger ensembles");
        Self {
            settings,
            codec,
            quorums,
            stored: created,
            members,
            candidates: Vec::new(),
            pending: VecDeque::new(),
            pending_bytes: 0,
            next_entry: 0,
            confirmed: NO_ENTRY,
            confirmed_length: 0,
            length: 0,
            phase: Phase::Open,
            update: None,
            outputs: VecDeque::new(),
        }
    }

    /// Appends an entry and returns its number. Its fate follows as a
    /// [`WriterOutput::Confirmed`] or [`WriterOutput::Resolved`].
    ///
    /// # Errors
    /// [`AppendError`]; nothing was sent.
    pub fn append(&mut self, now: Instant, payload: &Bytes) -> Result<EntryId, AppendError> {
        match self.phase {
            Phase::Open => {}
            Phase::Draining | Phase::Closing(_) | Phase::Ended => return Err(AppendError::Closed),
        }
        let limit = MAX_FRAME_BYTES - FRAME_OVERHEAD - self.codec.overhead();
        if payload.len() > limit {
            return Err(AppendError::TooLarge {
                bytes: payload.len(),
                limit,
            });
        }
        if self.pending.len() >= self.settings.max_pending_entries
            || self.pending_bytes + payload.len() > self.settings.max_pending_bytes
                && !self.pending.is_empty()
        {
            return Err(AppendError::Full);
        }
        let entry = self.next_entry;
        self.next_entry += 1;
        self.length += payload.len() as u64;
        self.pending_bytes += payload.len();
        let lac = self.confirmed;
        #[cfg(seeded_bugs)]
        let lac = if crate::seeded_bugs::is_on(crate::seeded_bugs::Bug::HeaderConfirmsTooMuch) {
            entry - 1
        } else {
            lac
        };
        let body = self.codec.encode(entry, lac, self.length, payload);
        self.pending
            .push_back(Pending::new(entry, body, payload.len(), self.length));
        let last = self.pending.len() - 1;
        for index in self.quorums.write_set(entry) {
            self.send(now, last, index);
        }
        self.react(now);
        Ok(entry)
    }

    /// Stops taking entries, waits for those that are pending, and closes the ledger. Ends with
    /// [`WriterOutput::Closed`].
    pub fn close(&mut self, now: Instant) {
        if matches!(self.phase, Phase::Open) {
            self.phase = Phase::Draining;
            self.react(now);
        }
    }

    /// Stops confirming entries and closes the ledger behind the last confirmed one, which decides
    /// the fate of the others.
    pub fn abort(&mut self, now: Instant) {
        self.die(CloseReason::Aborted);
        self.react(now);
    }

    /// Takes the bookies that may replace a member, best first. Those of the ensemble among them
    /// are left out.
    pub fn handle_candidates(&mut self, now: Instant, candidates: Vec<BookieId>) {
        self.candidates = candidates;
        self.react(now);
    }

    /// Takes the reply to a [`WriterOutput::Send`].
    pub fn handle_reply(&mut self, now: Instant, send: SendId, reply: SendReply) {
        let Some(member) = self.members.get_mut(send.index) else {
            return;
        };
        let is_member = member.generation == send.generation;
        #[cfg(seeded_bugs)]
        let is_member =
            is_member || crate::seeded_bugs::is_on(crate::seeded_bugs::Bug::ReplacedBookieCounts);
        if !is_member {
            return; // The bookie is not a member any more: what it has does not count (W4).
        }
        member.answered(send.entry);
        match reply {
            SendReply::Status(Status::Ok) => self.acknowledge(send),
            SendReply::Status(status @ (Status::Fenced | Status::Unauthorized)) => {
                self.die(CloseReason::Refused(status));
            }
            SendReply::Status(status) => self.fail(now, send.index, BookieFailure::Status(status)),
            SendReply::Lost => self.fail(now, send.index, BookieFailure::Lost),
        }
        self.react(now);
    }

    /// Takes the loss of the connection to a bookie: everything that is in flight to it fails in
    /// one step.
    pub fn handle_disconnected(&mut self, now: Instant, bookie: &BookieId) {
        if let Some(index) = self.members.iter().position(|it| it.bookie == *bookie)
            && self.members[index].has_unanswered()
        {
            self.fail(now, index, BookieFailure::Lost);
            self.react(now);
        }
    }

    /// Takes the reply to a [`WriterOutput::SetMetadata`].
    pub fn handle_set(&mut self, now: Instant, reply: SetReply) {
        let Some((_, update)) = &mut self.update else {
            return;
        };
        let step = update.handle_set(reply);
        self.proceed(now, step);
    }

    /// Takes the reply to a [`WriterOutput::ReadMetadata`].
    pub fn handle_metadata(&mut self, now: Instant, reply: MetadataReply) {
        let Some((purpose, mut update)) = self.update.take() else {
            return;
        };
        let step = match &purpose {
            Purpose::Change(change) => update.handle_read(reply, |it| change.decide(it)),
            Purpose::Close => update.handle_read(reply, |it| self.decide_close(it)),
        };
        self.update = Some((purpose, update));
        self.proceed(now, step);
    }

    /// Acts on the time: bookies that did not answer in time have failed, and ones that failed long
    /// ago are tried again.
    pub fn handle_timeout(&mut self, now: Instant) {
        for index in 0..self.members.len() {
            let due = self.add_deadline(&self.members[index]);
            if due.is_some_and(|due| now >= due) {
                self.fail(now, index, BookieFailure::Timeout);
            }
        }
        self.retry_members(now);
        self.react(now);
    }

    /// Returns the next time at which [`handle_timeout`](Self::handle_timeout) has something to do.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        if matches!(self.phase, Phase::Closing(_) | Phase::Ended) {
            return None;
        }
        self.members
            .iter()
            .flat_map(|it| [self.add_deadline(it), it.retry_at()])
            .flatten()
            .min()
    }

    /// Time at which a member has failed that answers nothing until then.
    fn add_deadline(&self, member: &Member) -> Option<Instant> {
        let sent = member.oldest_unanswered()?;
        let can_be_spared = self.failed_bookies() < self.quorums.write - self.quorums.ack;
        let limit = if can_be_spared || self.spares().next().is_some() {
            self.settings.add_timeout
        } else {
            self.settings.stall_timeout.max(self.settings.add_timeout)
        };
        Some(sent + limit)
    }

    /// Returns the next thing to do or to know, or `None`.
    pub fn poll_output(&mut self) -> Option<WriterOutput> {
        self.outputs.pop_front()
    }

    /// Returns the last confirmed entry, or [`NO_ENTRY`].
    #[must_use]
    pub const fn last_confirmed(&self) -> EntryId {
        self.confirmed
    }

    /// Returns the number of entries that are neither confirmed nor resolved.
    #[must_use]
    pub fn pending_entries(&self) -> usize {
        self.pending.len() - self.confirmed_pending()
    }

    /// Returns the number of bookies of the ensemble that have failed and could not be replaced
    /// yet.
    #[must_use]
    pub fn failed_bookies(&self) -> usize {
        self.members.iter().filter(|it| it.has_failed()).count()
    }

    /// Returns the metadata that is stored as far as the writer knows.
    #[must_use]
    pub const fn stored(&self) -> &Versioned {
        &self.stored
    }

    /// Everything that follows from a change of state, in the one order that is right: a change of
    /// the ensemble begins before entries are confirmed, so that none is confirmed behind its
    /// start by a bookie that it takes out.
    fn react(&mut self, now: Instant) {
        self.start_change(now);
        self.confirm();
        self.start_close(now);
    }

    /// Confirms entries in their order, as long as the ack quorum has them.
    fn confirm(&mut self) {
        if matches!(self.phase, Phase::Closing(_) | Phase::Ended) {
            return;
        }
        let change = match &self.update {
            Some((Purpose::Change(change), _)) => Some(change),
            Some((Purpose::Close, _)) | None => None,
        };
        let leaving = change.map(Change::leaving).unwrap_or_default();
        #[cfg(seeded_bugs)]
        let leaving = if crate::seeded_bugs::is_on(crate::seeded_bugs::Bug::ConfirmsWhileChanging) {
            IndexSet::default()
        } else {
            leaving
        };
        let enough = self.quorums.ack;
        #[cfg(seeded_bugs)]
        let enough = enough
            - usize::from(crate::seeded_bugs::is_on(
                crate::seeded_bugs::Bug::ConfirmsTooEarly,
            ));
        #[cfg(seeded_bugs)]
        if crate::seeded_bugs::is_on(crate::seeded_bugs::Bug::ConfirmsPastHole)
            && let Some(at) = self.pending.iter().position(|it| it.acks.len() >= enough)
        {
            for pending in self.pending.iter_mut().take(at) {
                (0..enough).for_each(|index| pending.acks.insert(index));
            }
        }
        for next in self.pending.iter().skip(self.confirmed_pending()) {
            let has_room = change.is_none_or(|it| it.has_room(next, &self.settings));
            if next.acks.without(leaving).len() < enough || !has_room {
                break;
            }
            self.confirmed = next.entry;
            self.confirmed_length = next.length;
            self.outputs
                .push_back(WriterOutput::Confirmed { entry: next.entry });
        }
        if change.is_none() {
            self.forget_confirmed();
        }
    }

    /// Returns the number of entries at the front of those that are pending which are confirmed.
    fn confirmed_pending(&self) -> usize {
        let first = self.pending.front().map(|it| it.entry);
        first.map_or(0, |first| {
            usize::try_from(self.confirmed + 1 - first).unwrap_or(0)
        })
    }

    /// Drops the entries that are confirmed: every bookie of the ensemble was sent them.
    fn forget_confirmed(&mut self) {
        for pending in self.pending.drain(..self.confirmed_pending()) {
            self.pending_bytes -= pending.payload_bytes;
        }
    }

    fn acknowledge(&mut self, send: SendId) {
        if let Some(pending) = self.pending_of(send.entry) {
            pending.acks.insert(send.index);
            pending.failed.remove(send.index);
        }
    }

    fn pending_of(&mut self, entry: EntryId) -> Option<&mut Pending> {
        let first = self.pending.front()?.entry;
        self.pending
            .get_mut(usize::try_from(entry.checked_sub(first)?).ok()?)
    }

    /// Sends a pending entry to a member, unless the member has failed.
    fn send(&mut self, now: Instant, position: usize, index: usize) {
        let (Some(pending), Some(member)) =
            (self.pending.get_mut(position), self.members.get_mut(index))
        else {
            return;
        };
        if member.has_failed() {
            pending.failed.insert(index);
            return;
        }
        member.sent(pending.entry, pending.body.len(), now);
        let over = member.unanswered_bytes() > self.settings.max_unanswered_bytes_per_bookie;
        self.outputs.push_back(WriterOutput::Send {
            send: SendId {
                entry: pending.entry,
                index,
                generation: member.generation,
            },
            bookie: member.bookie.clone(),
            body: pending.body.clone(),
        });
        if over {
            self.fail(now, index, BookieFailure::Overloaded);
        }
    }

    /// Marks a member as failed, with everything that it has not acknowledged.
    fn fail(&mut self, now: Instant, index: usize, failure: BookieFailure) {
        let member = &mut self.members[index];
        if member.has_failed() {
            return;
        }
        member.fail(now, failure, self.settings.retry_interval);
        self.outputs.push_back(WriterOutput::BookieFailed {
            bookie: member.bookie.clone(),
            failure,
        });
        let quorums = self.quorums;
        for pending in &mut self.pending {
            if !pending.acks.contains(index)
                && quorums.write_set(pending.entry).any(|it| it == index)
            {
                pending.failed.insert(index);
            }
        }
    }

    /// Tries members again that failed long ago and could not be replaced.
    fn retry_members(&mut self, now: Instant) {
        for index in 0..self.members.len() {
            if self.members[index].retry_at().is_some_and(|at| now >= at) {
                self.members[index].revive();
                self.resend(now, index);
            }
        }
    }

    /// Sends every pending entry to a member that has it not acknowledged: the same bytes again, so
    /// that copies never differ (W2).
    fn resend(&mut self, now: Instant, index: usize) {
        for position in 0..self.pending.len() {
            let pending = &mut self.pending[position];
            let entry = pending.entry;
            if !pending.acks.contains(index) && self.quorums.write_set(entry).any(|it| it == index)
            {
                pending.failed.remove(index);
                self.send(now, position, index);
            }
        }
    }

    /// Takes the next step of the update in flight.
    fn proceed(&mut self, now: Instant, step: Step) {
        match step {
            Step::Set(next) => self.outputs.push_back(WriterOutput::SetMetadata(next)),
            Step::Read(after) => self.outputs.push_back(WriterOutput::ReadMetadata { after }),
            Step::Done(stored) => match self.update.take() {
                Some((Purpose::Change(_), _)) => self.changed(now, stored),
                Some((Purpose::Close, _)) => self.closed(stored),
                None => {}
            },
            Step::Gone => {
                self.update = None;
                self.gone();
            }
        }
        self.react(now);
    }
}
