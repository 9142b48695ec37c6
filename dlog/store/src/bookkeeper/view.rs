//! State of a stream for reading: its log segments, ledgers that are open, and
//! entries that are read ahead.

use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use distributedlog::Dlsn;
use distributedlog_bookkeeper::driver::{Entries, LedgerReader};
use distributedlog_bookkeeper::namespace::{LogSegment, Truncation};
use distributedlog_bookkeeper::zookeeper::NodeWatch;
use distributedlog_bookkeeper::{EntryId, LedgerId};
use tokio::sync::Notify;
use tokio::time::timeout;

/// Time within which the deletion of a log segment is seen whose ledger is gone.
const NEWS: Duration = Duration::from_secs(2);

/// Ledgers that stay open for one stream.
const MAX_LEDGERS: usize = 4;

/// Readers of one stream whose read-ahead is kept between two reads.
const MAX_CURSORS: usize = 4;

/// A stream's log segments, as they were read last.
pub(super) struct Segments {
    /// Time of creation of the stream in milliseconds since 1970.
    pub(super) created_unix_ms: u64,
    /// Segments in the order of their numbers.
    pub(super) segments: Vec<LogSegment>,
    is_stale: AtomicBool,
    /// Notified when the segments have changed.
    changed: Notify,
}

impl Segments {
    /// Returns the segments, which are stale when the watch ends.
    pub(super) fn new(
        created_unix_ms: u64,
        segments: Vec<LogSegment>,
        watch: NodeWatch,
    ) -> Arc<Self> {
        let this = Arc::new(Self {
            created_unix_ms,
            segments,
            is_stale: AtomicBool::new(false),
            changed: Notify::new(),
        });
        let weak = Arc::downgrade(&this);
        tokio::spawn(async move {
            watch.await;
            #[cfg(seeded_bugs)]
            if super::seeded_bugs::is_on(super::seeded_bugs::Bug::NewsAreMissed) {
                return;
            }
            if let Some(this) = weak.upgrade() {
                this.set_stale();
            }
        });
        this
    }

    fn set_stale(&self) {
        self.is_stale.store(true, Ordering::Release);
        self.changed.notify_waiters();
    }

    pub(super) fn is_stale(&self) -> bool {
        self.is_stale.load(Ordering::Acquire)
    }

    /// Waits until the segments have changed.
    pub(super) async fn changed(&self) {
        let changed = self.changed.notified();
        tokio::pin!(changed);
        changed.as_mut().enable();
        if !self.is_stale() {
            changed.await;
        }
    }

    /// Returns true if the segments have changed, or change soon: what seemed to be damage may be a
    /// segment that is deleted. Its node goes before its ledger, but the news of it may come later
    /// if the ledgers have another ensemble; and Java's processes delete the ledger first.
    pub(super) async fn have_changed(&self) -> bool {
        timeout(NEWS, self.changed()).await.is_ok()
    }

    /// Returns the position before which everything was truncated, or `None` if nothing was.
    pub(super) fn truncated_before(&self) -> Option<Dlsn> {
        let first = self.active().next();
        let position = |segment: &LogSegment| Dlsn {
            log_segment_sequence_no: segment.sequence_number,
            entry_id: segment.min_active.0,
            slot_id: segment.min_active.1,
        };
        match first {
            Some(segment) => {
                let is_truncated = segment.truncation == Truncation::Partial
                    || self.segments.first().map(|it| it.sequence_number)
                        != Some(segment.sequence_number);
                is_truncated.then(|| position(segment))
            }
            None => self.segments.last().map(|last| Dlsn {
                log_segment_sequence_no: last.sequence_number + 1,
                entry_id: 0,
                slot_id: 0,
            }),
        }
    }

    /// Returns the segments that are not truncated as a whole.
    pub(super) fn active(&self) -> impl Iterator<Item = &LogSegment> {
        self.segments
            .iter()
            .filter(|it| it.truncation != Truncation::Whole)
    }
}

/// A stream as this process reads it.
#[derive(Default)]
pub(super) struct View {
    state: Mutex<State>,
    /// Held while the segments are read, so that many readers read them once.
    pub(super) loading: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    segments: Option<Arc<Segments>>,
    ledgers: Vec<OpenLedger>,
    cursors: Vec<Cursor>,
}

struct OpenLedger {
    reader: LedgerReader,
    last_confirmed: EntryId,
}

/// Entries that are read ahead, from this position on.
struct Cursor {
    at: (LedgerId, EntryId),
    entries: Entries,
}

impl View {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the segments if they are known and have not changed since.
    pub(super) fn segments(&self) -> Option<Arc<Segments>> {
        let state = self.lock();
        state.segments.clone().filter(|it| !it.is_stale())
    }

    pub(super) fn set_segments(&self, segments: Option<Arc<Segments>>) {
        let old = core::mem::replace(&mut self.lock().segments, segments);
        if let Some(old) = old {
            old.set_stale();
        }
    }

    /// Returns the reader of a ledger that is open, and the last add confirmed that was seen.
    pub(super) fn ledger(&self, ledger: LedgerId) -> Option<(LedgerReader, EntryId)> {
        let state = self.lock();
        let open = state.ledgers.iter().find(|it| it.reader.ledger() == ledger);
        open.map(|it| (it.reader.clone(), it.last_confirmed))
    }

    /// Keeps a ledger open. The last add confirmed never goes back, and neither do the bookies: a
    /// reader that waited may have older metadata than one that read on. Returns what is known now.
    pub(super) fn keep_ledger(
        &self,
        mut reader: LedgerReader,
        mut last_confirmed: EntryId,
    ) -> (LedgerReader, EntryId) {
        let mut state = self.lock();
        let ledger = reader.ledger();
        let known = state
            .ledgers
            .iter()
            .position(|it| it.reader.ledger() == ledger);
        if let Some(known) = known.map(|at| state.ledgers.remove(at)) {
            last_confirmed = last_confirmed.max(known.last_confirmed);
            if known.reader.metadata().version > reader.metadata().version {
                reader = known.reader;
            }
        }
        if state.ledgers.len() >= MAX_LEDGERS {
            state.ledgers.remove(0);
        }
        state.ledgers.push(OpenLedger {
            reader: reader.clone(),
            last_confirmed,
        });
        (reader, last_confirmed)
    }

    /// Takes the entries that were read ahead from this position on.
    pub(super) fn take_cursor(&self, ledger: LedgerId, entry: EntryId) -> Option<Entries> {
        let mut state = self.lock();
        let at = state
            .cursors
            .iter()
            .position(|it| it.at == (ledger, entry))?;
        Some(state.cursors.remove(at).entries)
    }

    pub(super) fn keep_cursor(&self, ledger: LedgerId, entry: EntryId, entries: Entries) {
        let mut state = self.lock();
        if state.cursors.len() >= MAX_CURSORS {
            state.cursors.remove(0);
        }
        state.cursors.push(Cursor {
            at: (ledger, entry),
            entries,
        });
    }
}
