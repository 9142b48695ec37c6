mod ahead;
pub(crate) mod task;

use core::num::NonZeroUsize;
use core::time::Duration;
use std::collections::VecDeque;
use std::sync::Arc;

use distributedlog::Dlsn;

use distributedlog_store::{LogStore, ReadBatch, ReadLimit, StoreError, StoredEntry, StreamName};

use super::entries::StoredRecord;
use super::event::ReadEvent;
use super::expand;
use super::run::RecordRun;
use ahead::ReadAhead;

/// Maximum payload bytes of one read of the store, unless a reader is given another number: 1 MiB.
/// Bounds the memory of a reader.
const BATCH_BYTES: usize = 1 << 20;

/// Maximum wait of one read at the end of a stream: 30 s. The next append ends the wait, so the
/// value does not delay records; it bounds how long the store keeps a read.
pub(crate) const WAIT: Duration = Duration::from_secs(30);

/// Payload bytes from which a batch is taken for one that others follow.
const MIN_FULL_BYTES: usize = 64 << 10;

/// Bytes of a buffer from which half of it is read while the other half is delivered.
const MIN_BYTES_FOR_TWO: usize = 256 << 10;

/// A reader that delivers the records of one stream in order.
///
/// Invariant: every position before [`position`](Self::position) was delivered or is before the
/// start, and no position at or after it was delivered.
///
/// ```
/// # use std::sync::Arc;
/// # use distributedlog_reader::{LogReader, ReadEvent};
/// # use distributedlog_store::{LogStore, StoreError, StreamName};
/// async fn print_all(store: Arc<dyn LogStore>, stream: StreamName) -> Result<(), StoreError> {
///     let mut reader = LogReader::new(store, stream, distributedlog::Dlsn::INITIAL);
///     while let Some(event) = reader.next_available().await? {
///         match event {
///             ReadEvent::Record(record) => println!("{}: {:?}", record.dlsn, record.payload),
///             ReadEvent::Malformed(set) => eprintln!("{set}"),
///         }
///     }
///     Ok(())
/// }
/// ```
pub struct LogReader {
    store: Arc<dyn LogStore>,
    stream: StreamName,
    /// Maximum payload bytes of one read of the store.
    batch_bytes: usize,
    /// Start of the next read of the store. Every record before it is in `entries`, in `ready`, or
    /// was delivered.
    fetch: Dlsn,
    /// Start of the last read, or of the stream at that time if that is later: an entry may contain
    /// records before it, which are not delivered.
    start: Dlsn,
    /// Time of creation of the stream that is read, or `None` until the first read. Another stream
    /// of the same name has other records at the same positions.
    created_unix_ms: Option<u64>,
    /// Entries that were read and not expanded yet. They are expanded one at a time, because a
    /// compressed entry may grow by a large factor.
    entries: VecDeque<StoredEntry>,
    /// Records of the last expanded entry that were not delivered yet.
    ready: VecDeque<ReadEvent>,
    /// True if a batch is read while the one before it is delivered.
    reads_ahead: bool,
    /// The read of the next batch, from `fetch` on, if it was begun.
    ahead: Option<ReadAhead>,
}

impl LogReader {
    /// Creates a reader of `stream` that starts with the first record at or after `from`. Reads
    /// nothing yet.
    #[must_use]
    pub const fn new(store: Arc<dyn LogStore>, stream: StreamName, from: Dlsn) -> Self {
        Self {
            store,
            stream,
            batch_bytes: BATCH_BYTES,
            fetch: from,
            start: from,
            created_unix_ms: None,
            entries: VecDeque::new(),
            ready: VecDeque::new(),
            reads_ahead: false,
            ahead: None,
        }
    }

    /// Lets the store read the next batch while the last one is delivered, in a task of the tokio
    /// runtime; without one nothing is read ahead. The reader then holds up to two batches. Nothing
    /// is read ahead at the end of a stream, and no more when the reader is dropped.
    #[must_use]
    pub const fn reading_ahead(mut self) -> Self {
        self.reads_ahead = true;
        self
    }

    /// Returns the stream's name.
    #[must_use]
    pub const fn stream(&self) -> &StreamName {
        &self.stream
    }

    /// Lets the reader hold up to `bytes` of batches: two of half that size, of which the second is
    /// read while the first is delivered, or one of all if half is not worth a read of its own.
    pub(crate) const fn read_ahead(&mut self, bytes: usize) {
        self.reads_ahead = bytes >= MIN_BYTES_FOR_TWO;
        self.batch_bytes = if self.reads_ahead { bytes / 2 } else { bytes };
    }

    /// Creates a reader of the same stream from its beginning.
    pub(crate) fn restarted(&self) -> Self {
        Self {
            batch_bytes: self.batch_bytes,
            reads_ahead: self.reads_ahead,
            ..Self::new(Arc::clone(&self.store), self.stream.clone(), Dlsn::INITIAL)
        }
    }

    /// Restricts the reader to the stream that was created at this time, in milliseconds since
    /// 1970. A stream of this name that was created at another time is
    /// [not found](StoreError::StreamNotFound): it has other records at the same positions.
    #[must_use]
    pub const fn of_stream_created(mut self, unix_ms: u64) -> Self {
        self.created_unix_ms = Some(unix_ms);
        self
    }

    /// Asks the store for the time of creation of the stream that has the name now.
    pub(crate) async fn created_unix_ms(&self) -> Result<u64, StoreError> {
        Ok(self.store.describe(&self.stream).await?.created_unix_ms)
    }

    /// Returns the position at or after which the next record is. A reader that starts there
    /// delivers what this one has not delivered.
    #[must_use]
    pub fn position(&self) -> Dlsn {
        match (self.ready.front(), self.entries.front()) {
            (Some(event), _) => event.dlsn(),
            (None, Some(entry)) => entry.dlsn.max(self.start),
            (None, None) => self.fetch,
        }
    }

    #[cfg(seeded_bugs)]
    pub(crate) const fn read_up_to(&self) -> Dlsn {
        self.fetch
    }

    /// Returns the next record; waits for it at the end of the stream.
    ///
    /// # Errors
    ///
    /// Those of the store; [`StoreError::StreamNotFound`] also if the stream was deleted and
    /// another one was created with its name. The position does not change: the next call tries
    /// again.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing: the next call delivers what this one would have.
    pub async fn next(&mut self) -> Result<ReadEvent, StoreError> {
        loop {
            if let Some(event) = self.next_buffered() {
                return Ok(event);
            }
            self.fetch(WAIT).await?;
        }
    }

    /// Returns the next record, or `None` at the end of the stream.
    ///
    /// # Errors
    ///
    /// Those of the store; [`StoreError::StreamNotFound`] also if the stream was deleted and
    /// another one was created with its name. The position does not change: the next call tries
    /// again.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing: the next call delivers what this one would have.
    pub async fn next_available(&mut self) -> Result<Option<ReadEvent>, StoreError> {
        loop {
            if let Some(event) = self.next_buffered() {
                return Ok(Some(event));
            }
            if !self.fetch(Duration::ZERO).await? {
                return Ok(None);
            }
        }
    }

    /// Returns the next record that was already read from the store, or `None` if the next record,
    /// if there is one, needs another read.
    pub fn next_buffered(&mut self) -> Option<ReadEvent> {
        while self.ready.is_empty() {
            expand::entry(self.entries.pop_front()?, self.start, &mut self.ready);
        }
        self.ready.pop_front()
    }

    /// Takes the next records that were already read as one run: those of a whole set of at most
    /// `most` records, or one that was written alone. `None` if nothing is buffered, or if
    /// [`next_buffered`](Self::next_buffered) must be asked for what is: a set that is larger, that
    /// is damaged, of which a part was delivered or is before the start, or that shares its entry
    /// with others.
    pub fn next_buffered_run(&mut self, most: NonZeroUsize) -> Option<RecordRun> {
        if !self.ready.is_empty() {
            return None;
        }
        let entry = self.entries.front()?;
        let [record] = &entry.records[..] else {
            return None;
        };
        let slots = record.slots as usize;
        if entry.dlsn < self.start || !(1..=most.get()).contains(&slots) {
            return None;
        }
        let run = expand::run(&StoredRecord {
            dlsn: entry.dlsn,
            written_unix_ms: entry.written_unix_ms,
            slots: record.slots,
            is_record_set: record.is_record_set,
            payload: record.payload.clone(),
        });
        let run = run.ok()?;
        self.entries.pop_front();
        Some(run)
    }

    /// Returns true if something is read and not delivered; all of it may be before the start.
    #[must_use]
    pub fn has_buffered(&self) -> bool {
        !self.ready.is_empty() || !self.entries.is_empty()
    }

    /// Returns the position before which nothing is to be delivered of the entries that are
    /// buffered: a record set may contain records before it.
    #[must_use]
    pub const fn start(&self) -> Dlsn {
        self.start
    }

    /// Takes the next entry that was already read, as it is stored: its records and sets that have
    /// something to deliver, with their positions. `None` if there is none, or if
    /// [`next_buffered`](Self::next_buffered) has delivered a part of it.
    pub fn next_stored(&mut self) -> Option<impl Iterator<Item = StoredRecord> + use<>> {
        if !self.ready.is_empty() {
            return None;
        }
        self.entries.pop_front().map(expand::stored_records)
    }

    /// Sets the maximum payload bytes of the next reads of the store; an entry that is larger is
    /// read in any case. Default: 1 MiB.
    pub const fn set_batch_bytes(&mut self, bytes: usize) {
        self.batch_bytes = bytes;
    }

    /// Returns the payload bytes that are read and not delivered. Those of a record set are counted
    /// as they are stored, compressed or not, until its first record is delivered.
    #[must_use]
    pub fn buffered_bytes(&self) -> usize {
        let stored = self.entries.iter().flat_map(|entry| &entry.records);
        let stored: usize = stored.map(|record| record.payload.len()).sum();
        let ready = self.ready.iter().map(|event| match event {
            ReadEvent::Record(record) => record.payload.len(),
            ReadEvent::Malformed(_) => 0,
        });
        stored + ready.sum::<usize>()
    }

    /// Drops what is read and not delivered; it is read again.
    pub fn drop_buffered(&mut self) {
        self.fetch = self.position();
        self.ahead = None;
        self.entries = VecDeque::new();
        self.ready = VecDeque::new();
    }

    /// Reads the next batch from the store if nothing is buffered, and waits for `wait` if there is
    /// none. Returns true if something is buffered; all of it may be before the start.
    ///
    /// # Errors
    ///
    /// As [`next`](Self::next).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn fill(&mut self, wait: Duration) -> Result<bool, StoreError> {
        if self.has_buffered() {
            return Ok(true);
        }
        self.fetch(wait).await
    }

    /// Waits until something is buffered; all of it may be before the start.
    ///
    /// # Errors
    ///
    /// As [`next`](Self::next).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub(crate) async fn filled(&mut self) -> Result<(), StoreError> {
        while !self.fill(WAIT).await? {}
        Ok(())
    }

    /// Reads the next batch. Returns true if it has entries; all their records may be before the
    /// start.
    async fn fetch(&mut self, wait: Duration) -> Result<bool, StoreError> {
        debug_assert!(
            self.ready.is_empty() && self.entries.is_empty(),
            "a batch is delivered before the next one is read"
        );
        if let Some(ahead) = &mut self.ahead {
            // It stays there if this future is dropped.
            let batch = ahead.batch().await;
            self.ahead = None;
            // An error or an end may be over by now: the read below meets them again.
            if let Some(batch) = batch {
                return self.accept(batch);
            }
        }
        // A future that is dropped here has changed nothing.
        let limit = self.limit(wait);
        let batch = self.store.read(&self.stream, self.fetch, limit).await?;
        self.accept(batch)
    }

    const fn limit(&self, wait: Duration) -> ReadLimit {
        ReadLimit {
            max_bytes: self.batch_bytes,
            wait,
            created_unix_ms: self.created_unix_ms,
        }
    }

    /// Takes a batch that was read. Returns true if it has entries.
    fn accept(&mut self, batch: ReadBatch) -> Result<bool, StoreError> {
        let has_entries = !batch.entries.is_empty();
        if batch.next < self.fetch || (has_entries && batch.next == self.fetch) {
            let detail = format!(
                "the store answered a read from {} with the next position {}, which makes no \
                 progress",
                self.fetch, batch.next
            );
            return Err(StoreError::Corrupt {
                path: self.stream.to_string(),
                detail,
            });
        }
        self.created_unix_ms = Some(batch.created_unix_ms);
        self.start = batch.start.max(self.fetch);
        self.fetch = batch.next;
        self.entries = batch.entries.into();
        // A small batch is that of an end: a read behind it would find nothing.
        let enough = (self.batch_bytes / 2).min(MIN_FULL_BYTES);
        if self.reads_ahead && self.buffered_bytes() >= enough {
            let (store, stream) = (Arc::clone(&self.store), self.stream.clone());
            self.ahead = ReadAhead::begin(store, stream, self.fetch, self.limit(Duration::ZERO));
        }
        Ok(has_entries)
    }
}

impl core::fmt::Debug for LogReader {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("LogReader")
            .field("stream", &self.stream)
            .field("position", &self.position())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
