use core::time::Duration;
use std::collections::VecDeque;

use distributedlog::Instant;

use super::types::BookieFailure;
use crate::EntryId;
use crate::metadata::BookieId;
use crate::wire::Status;

/// One place of the ensemble and the bookie that holds it.
pub(super) struct Member {
    pub(super) bookie: BookieId,
    /// Number of the bookie at this place, counted from 0.
    pub(super) generation: u32,
    failed: Option<Failed>,
    /// Entries that were sent and not answered, with their bytes and the time, in the order of
    /// sending. Bounded by the bytes that one bookie may have unanswered, above which it fails.
    unanswered: VecDeque<Unanswered>,
    unanswered_bytes: usize,
}

struct Failed {
    retry_at: Instant,
    failure: BookieFailure,
}

struct Unanswered {
    entry: EntryId,
    bytes: usize,
    sent: Instant,
}

impl Member {
    pub(super) const fn new(bookie: BookieId) -> Self {
        Self {
            bookie,
            generation: 0,
            failed: None,
            unanswered: VecDeque::new(),
            unanswered_bytes: 0,
        }
    }

    pub(super) const fn has_failed(&self) -> bool {
        self.failed.is_some()
    }

    /// True if the bookie takes no entries any more: it should be replaced rather than tried again.
    pub(super) fn is_read_only(&self) -> bool {
        let failure = self.failed.as_ref().map(|it| it.failure);
        failure == Some(BookieFailure::Status(Status::ReadOnly))
    }

    pub(super) fn has_unanswered(&self) -> bool {
        !self.unanswered.is_empty()
    }

    pub(super) const fn unanswered_bytes(&self) -> usize {
        self.unanswered_bytes
    }

    pub(super) fn oldest_unanswered(&self) -> Option<Instant> {
        self.unanswered.front().map(|it| it.sent)
    }

    pub(super) fn retry_at(&self) -> Option<Instant> {
        self.failed.as_ref().map(|it| it.retry_at)
    }

    pub(super) fn sent(&mut self, entry: EntryId, bytes: usize, now: Instant) {
        self.unanswered.push_back(Unanswered {
            entry,
            bytes,
            sent: now,
        });
        self.unanswered_bytes += bytes;
    }

    pub(super) fn answered(&mut self, entry: EntryId) {
        // Replies come nearly in the order of the sends: the first is nearly always the one.
        if let Some(position) = self.unanswered.iter().position(|it| it.entry == entry)
            && let Some(found) = self.unanswered.remove(position)
        {
            self.unanswered_bytes -= found.bytes;
        }
    }

    pub(super) fn fail(&mut self, now: Instant, failure: BookieFailure, retry: Duration) {
        self.failed = Some(Failed {
            retry_at: now + retry,
            failure,
        });
        self.forget_unanswered();
    }

    pub(super) fn revive(&mut self) {
        self.failed = None;
        self.forget_unanswered();
    }

    pub(super) fn replace(&mut self, bookie: BookieId) {
        self.bookie = bookie;
        self.generation += 1;
        self.failed = None;
        self.forget_unanswered();
    }

    fn forget_unanswered(&mut self) {
        self.unanswered.clear();
        self.unanswered_bytes = 0;
    }
}
