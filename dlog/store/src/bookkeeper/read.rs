//! Reading a stream's entries, across its log segments, up to the last one that is confirmed.

use core::time::Duration;
use std::sync::Arc;

use distributedlog::Dlsn;
use distributedlog_bookkeeper::driver::{
    Client, LedgerAccess, LedgerError, LedgerReader, Refreshed,
};
use distributedlog_bookkeeper::entry::Entry as LedgerEntry;
use distributedlog_bookkeeper::ledger::ReadError;
use distributedlog_bookkeeper::namespace::{LogSegment, SegmentState};
use distributedlog_bookkeeper::{EntryId, NO_ENTRY};
use tokio::time::Instant;

use super::entries::{decode, time_of};
use super::log::unreachable;
use super::segment_writer::SegmentWriter;
use super::view::{Segments, View};
use crate::{EntryRecord, StoreError, StoredEntry, StreamName};

/// Maximum time that one question waits at a bookie for a later entry.
const POLL: Duration = Duration::from_secs(1);

/// Entries that are read ahead at most.
const MAX_AHEAD: usize = 64;

/// Bytes of an entry of a ledger about which nothing is known.
const GUESSED_ENTRY_BYTES: u64 = 16 * 1024;

/// One read of a stream.
pub(super) struct Reading<'a> {
    pub(super) client: &'a Client,
    pub(super) access: &'a LedgerAccess,
    pub(super) stream: &'a StreamName,
    pub(super) view: &'a View,
    /// The segment that this process writes, if it does.
    pub(super) own: Option<Arc<SegmentWriter>>,
    pub(super) max_bytes: usize,
    pub(super) read_ahead_bytes: usize,
}

/// Entries that were found, and the position behind them.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) entries: Vec<StoredEntry>,
    pub(super) next: Dlsn,
    bytes: usize,
    /// Segment in progress at whose end the read arrived, with its last add confirmed.
    open: Option<(LogSegment, EntryId)>,
}

impl Found {
    fn add(&mut self, entry: StoredEntry) {
        let payloads = entry.records.iter().map(|record| record.payload.len());
        self.bytes += payloads.sum::<usize>();
        self.entries.push(entry);
    }
}

/// Last entry of a segment that may be read.
#[derive(Clone, Copy)]
enum Tail {
    /// The ledger is closed behind this entry.
    Closed(EntryId),
    /// The last add confirmed up to now.
    Open(EntryId),
}

impl Reading<'_> {
    /// Returns the entries at and behind a position that are there.
    pub(super) async fn available(
        &self,
        segments: &Segments,
        from: Dlsn,
    ) -> Result<Found, StoreError> {
        let mut found = Found {
            entries: Vec::new(),
            next: from,
            bytes: 0,
            open: None,
        };
        for segment in segments.active() {
            if segment.sequence_number < found.next.log_segment_sequence_no {
                continue;
            }
            if segment.sequence_number > found.next.log_segment_sequence_no {
                found.next = Dlsn {
                    log_segment_sequence_no: segment.sequence_number,
                    entry_id: segment.min_active.0,
                    slot_id: segment.min_active.1,
                };
            }
            let (ledger, tail) = match self.tail(segment, found.next.entry_id).await {
                Ok(tail) => tail,
                // It ended empty, and its node is deleted next: Java deletes the ledger first.
                Err(StoreError::Corrupt { .. }) if !is_completed(segment) => break,
                Err(error) => return Err(error),
            };
            let (Tail::Closed(last) | Tail::Open(last)) = tail;
            self.read_segment(segment, ledger, last, &mut found).await?;
            if found.bytes >= self.max_bytes {
                break;
            }
            if let Tail::Open(last) = tail {
                found.open = Some((*segment, last));
                break;
            }
        }
        Ok(found)
    }

    /// Returns the ledger of a segment, and its last entry that may be read. Where `wanted` is
    /// known to be confirmed, nobody is asked.
    async fn tail(
        &self,
        segment: &LogSegment,
        wanted: EntryId,
    ) -> Result<(LedgerReader, Tail), StoreError> {
        let own = self.own.as_ref();
        let own = own.filter(|it| it.sequence_number() == segment.sequence_number);
        let known = self.view.ledger(segment.ledger);
        if let (Some(own), Some((reader, _))) = (own, &known) {
            // Bookies of the ensemble change: the writer knows first.
            let mut reader = reader.clone();
            if reader.metadata().version != own.ledger().metadata().version {
                reader = self.open(segment).await?;
                self.view.keep_ledger(reader.clone(), NO_ENTRY);
            }
            return Ok((reader, Tail::Open(own_last(own))));
        }
        // A read must not end in a completed segment: a control record may be all that follows.
        let may_end_here = own.is_none() && !is_completed(segment);
        let mut reader = match known {
            Some((reader, last)) if may_end_here && last >= wanted => {
                return Ok((reader, Tail::Open(last)));
            }
            Some((reader, _)) => reader,
            None => self.open(segment).await?,
        };
        if reader.metadata().metadata.is_closed() {
            let last = reader.metadata().metadata.last_entry;
            self.view.keep_ledger(reader.clone(), last);
            return Ok((reader, Tail::Closed(last)));
        }
        if let Some(own) = own {
            self.view.keep_ledger(reader.clone(), NO_ENTRY);
            return Ok((reader, Tail::Open(own_last(own))));
        }
        // Its bookies may have changed, or it is closed by now.
        if reader.refresh().await == Refreshed::Deleted {
            return Err(self.gone(segment));
        }
        let is_closed = reader.metadata().metadata.is_closed();
        let last = match reader.last_confirmed().await {
            Ok(last) => last,
            Err(error) => return Err(self.failed(segment, error)),
        };
        // Another read may know more entries, and the bookies that have them.
        let (reader, last) = self.view.keep_ledger(reader, last);
        Ok((
            reader,
            if is_closed {
                Tail::Closed(last)
            } else {
                Tail::Open(last)
            },
        ))
    }

    async fn open(&self, segment: &LogSegment) -> Result<LedgerReader, StoreError> {
        match self.client.open(segment.ledger, self.access).await {
            Ok(reader) => Ok(reader),
            Err(LedgerError::NotFound(_)) => Err(self.gone(segment)),
            Err(error) => Err(unreachable(self.stream, error.to_string())),
        }
    }

    /// Returns the ledger of a segment, its last entry that may be read, and true if more may
    /// follow.
    pub(super) async fn end(
        &self,
        segment: &LogSegment,
    ) -> Result<(LedgerReader, EntryId, bool), StoreError> {
        let (reader, tail) = self.tail(segment, EntryId::MAX).await?;
        Ok(match tail {
            Tail::Closed(last) => (reader, last, !is_completed(segment)),
            Tail::Open(last) => (reader, last, true),
        })
    }

    /// Reads one entry.
    pub(super) async fn entry(
        &self,
        segment: &LogSegment,
        reader: &LedgerReader,
        entry: EntryId,
    ) -> Result<LedgerEntry, StoreError> {
        let mut reader = reader.clone();
        loop {
            let entries = reader.entries(entry, entry, 1);
            let mut entries = entries.map_err(|error| self.failed(segment, error))?;
            match entries.next().await {
                Some(Ok(read)) => return Ok(read),
                // Bounded: each further turn is a change of the ledger in between.
                Some(Err(error)) => reader = self.renewed(segment, &reader, error).await?,
                None => return Err(self.damaged(segment, entry, "it cannot be read")),
            }
        }
    }

    /// Reads entries of one segment into `found`, up to `last`.
    async fn read_segment(
        &self,
        segment: &LogSegment,
        mut reader: LedgerReader,
        last: EntryId,
        found: &mut Found,
    ) -> Result<(), StoreError> {
        let number = segment.sequence_number;
        let started = time_of(segment.first_txid).unwrap_or(0);
        let (mut next, mut first_slot) = (found.next.entry_id.max(0), found.next.slot_id);
        let ledger = segment.ledger;
        while next <= last && found.bytes < self.max_bytes {
            let before = next;
            // What was read ahead may end before `last`: the segment has grown since.
            let kept = self.view.take_cursor(ledger, next);
            let kept = kept.filter(|entries| entries.last() >= next);
            let was_kept = kept.is_some();
            let mut entries = match kept {
                Some(entries) => entries,
                None => reader
                    .entries(next, last, self.ahead(&reader))
                    .map_err(|error| self.failed(segment, error))?,
            };
            let failure = loop {
                if found.bytes >= self.max_bytes {
                    break None;
                }
                let entry = match entries.next().await {
                    Some(Ok(entry)) => entry,
                    Some(Err(error)) => break Some(error),
                    None => break None,
                };
                let decoded = decode(number, started, &entry)
                    .map_err(|error| self.damaged(segment, entry.entry, &error.to_string()))?;
                next = entry.entry + 1;
                if let Some(stored) = decoded.entry.and_then(|it| cut(it, first_slot)) {
                    found.add(stored);
                }
                first_slot = 0;
            };
            if let Some(error) = failure {
                // They may have been asked for before bookies were replaced, which another read has
                // heard of since. Bounded: what is asked for now is not kept.
                if was_kept {
                    continue;
                }
                // Bounded: each further turn is a change of the ledger in between.
                reader = self.renewed(segment, &reader, error).await?;
                continue;
            }
            if next <= entries.last() {
                self.view.keep_cursor(ledger, next, entries);
            }
            #[cfg(seeded_bugs)]
            if super::seeded_bugs::is_on(super::seeded_bugs::Bug::ReadAheadIsAll) {
                break;
            }
            if next == before {
                return Err(self.damaged(segment, next, "it cannot be read"));
            }
        }
        found.next = Dlsn {
            log_segment_sequence_no: number,
            entry_id: next,
            slot_id: first_slot,
        };
        Ok(())
    }

    /// Returns a ledger whose read failed with its newest metadata, if that has changed: bookies
    /// may have been replaced since it was opened.
    ///
    /// # Errors
    /// That of the read, if nothing has changed; that ZooKeeper cannot be reached, if that cannot
    /// be known.
    async fn renewed(
        &self,
        segment: &LogSegment,
        reader: &LedgerReader,
        error: ReadError,
    ) -> Result<LedgerReader, StoreError> {
        let mut newer = reader.clone();
        match newer.refresh().await {
            Refreshed::Current => {}
            Refreshed::Deleted => return Err(self.gone(segment)),
            // Other bookies may have what these do not.
            Refreshed::Unknown => {
                let detail = format!(
                    "the bookies of ledger {} may have changed, and no ZooKeeper server can be \
                     reached: {error}",
                    segment.ledger
                );
                return Err(unreachable(self.stream, detail));
            }
        }
        if newer.metadata().version == reader.metadata().version {
            return Err(self.failed(segment, error));
        }
        let (newest, _) = self.view.keep_ledger(newer, NO_ENTRY);
        Ok(newest)
    }

    /// Number of entries to read ahead, by their length so far.
    fn ahead(&self, reader: &LedgerReader) -> usize {
        let metadata = &reader.metadata().metadata;
        let count = u64::try_from(metadata.last_entry + 1).unwrap_or(0);
        let average = metadata.length.checked_div(count).unwrap_or(0);
        let average = if average == 0 {
            GUESSED_ENTRY_BYTES
        } else {
            average
        };
        let ahead = self.read_ahead_bytes as u64 / average.max(1);
        usize::try_from(ahead)
            .unwrap_or(MAX_AHEAD)
            .clamp(2, MAX_AHEAD)
    }

    /// Waits until there may be more behind what was found, or until the time is over.
    pub(super) async fn wait(&self, segments: &Segments, found: &Found, until: Instant) {
        let more = async {
            let Some((segment, known)) = found.open else {
                return core::future::pending().await;
            };
            let own = self.own.as_ref();
            let own = own.filter(|it| it.sequence_number() == segment.sequence_number);
            if let Some(own) = own {
                // A segment that is not written any more has other nodes: look again then.
                own.readable().wait_for(|last| *last > known).await;
                return;
            }
            let Some((reader, _)) = self.view.ledger(segment.ledger) else {
                return;
            };
            let left = until.saturating_duration_since(Instant::now());
            let polled = reader.poll(known, left.min(POLL)).await;
            self.view.keep_ledger(reader, polled.last_confirmed);
            if polled.last_confirmed <= known {
                // Nothing yet, or no bookie answered at once.
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::select! {
            biased;
            () = segments.changed() => {}
            () = more => {}
            () = tokio::time::sleep_until(until) => {}
        }
    }

    fn gone(&self, segment: &LogSegment) -> StoreError {
        StoreError::Corrupt {
            path: format!("log stream {}", self.stream),
            detail: format!(
                "ledger {} of log segment {} does not exist",
                segment.ledger, segment.sequence_number
            ),
        }
    }

    fn failed(&self, segment: &LogSegment, error: ReadError) -> StoreError {
        let detail = format!(
            "ledger {} of log segment {}: {error}",
            segment.ledger, segment.sequence_number
        );
        if matches!(error, ReadError::NoEntry { .. }) {
            StoreError::Corrupt {
                path: format!("log stream {}", self.stream),
                detail,
            }
        } else {
            unreachable(self.stream, detail)
        }
    }

    pub(super) fn damaged(&self, segment: &LogSegment, entry: EntryId, reason: &str) -> StoreError {
        StoreError::Corrupt {
            path: format!("log stream {}", self.stream),
            detail: format!(
                "entry {entry} of ledger {}, log segment {}: {reason}",
                segment.ledger, segment.sequence_number
            ),
        }
    }
}

/// Returns the last entry of this process's own segment that may be read.
fn own_last(own: &SegmentWriter) -> EntryId {
    let last = own.ledger().last_confirmed();
    #[cfg(seeded_bugs)]
    if super::seeded_bugs::is_on(super::seeded_bugs::Bug::ReadsUnconfirmed) {
        let pending = own.ledger().pending_entries();
        return last + EntryId::try_from(pending).unwrap_or(0);
    }
    last
}

impl Found {
    /// Returns true if the read stopped at the end of what is there.
    pub(super) const fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

/// Leaves out the records that are complete before a slot. `None` if none is left.
fn cut(mut entry: StoredEntry, first_slot: i64) -> Option<StoredEntry> {
    let taken = |record: &EntryRecord| i64::from(record.slots.max(1));
    let mut slot = entry.dlsn.slot_id;
    let before = entry
        .records
        .iter()
        .take_while(|record| {
            let is_before = slot + taken(record) <= first_slot;
            if is_before {
                slot += taken(record);
            }
            is_before
        })
        .count();
    entry.records.drain(..before);
    entry.dlsn.slot_id = slot;
    let has_records = entry.records.iter().any(|it| it.slots > 0);
    has_records.then_some(entry)
}

/// Returns true if a segment has an end that is final.
pub(super) const fn is_completed(segment: &LogSegment) -> bool {
    matches!(segment.state, SegmentState::Completed(_))
}
