//! Reads log streams: the records one by one, each with its own position, also those that were
//! written as record sets.
//!
//! A reader reads the store, not the proxy. [`LogReader`] starts at a position, delivers every
//! record at or after it in order, and at the end of the stream waits for the next one without
//! polling.
//!
//! A record set that is damaged does not end the reading: it is delivered as one
//! [`ReadEvent::Malformed`] that says which positions are lost and why, and the reading goes on
//! behind it. An operator can look at such a set in the store; a reader that stopped there would
//! keep everything behind it from everyone.
//!
//! [`MultiReader`] reads several streams as one and delivers each record once, whatever copies of
//! it a writer made (R12).

mod event;
mod expand;
mod merge;

pub use event::{MalformedSet, ReadEvent, Record};
pub use merge::{
    MergeCounters, MergePosition, MergePositionError, MergeSettings, Merged, MultiReader,
    StreamFault, StreamTrouble,
};

use core::time::Duration;
use std::collections::VecDeque;
use std::sync::Arc;

use distributedlog::Dlsn;

use distributedlog_store::{LogStore, ReadLimit, StoreError, StoredEntry, StreamName};

/// How much a reader asks the store for at once.
const BATCH_BYTES: usize = 1 << 20;

/// How long one read waits at the end of a stream before the reader asks again. Waiting costs
/// nothing: a record that arrives is delivered at once.
const WAIT: Duration = Duration::from_secs(30);

/// Delivers the records of one stream in order.
///
/// The invariant: every position before [`position`](Self::position) was delivered or lies before
/// the start, and none at or after it was.
///
/// ```
/// # use std::sync::Arc;
/// # use distributedlog_reader::{LogReader, ReadEvent};
/// # use distributedlog_store::{LogStore, StoreError, StreamName};
/// async fn print_all(store: Arc<dyn LogStore>, stream: StreamName) -> Result<(), StoreError> {
///     let mut reader = LogReader::new(store, stream, distributedlog::Dlsn::INITIAL);
///     while let Some(event) = reader.next_available().await? {
///         match event {
///             ReadEvent::Record(record) => println!("{}: {} bytes", record.dlsn, record.payload.len()),
///             ReadEvent::Malformed(set) => eprintln!("{set}"),
///         }
///     }
///     Ok(())
/// }
/// ```
pub struct LogReader {
    store: Arc<dyn LogStore>,
    stream: StreamName,
    /// Where the next read of the store starts. Everything before it is in `entries`, in `ready`,
    /// or delivered.
    fetch: Dlsn,
    /// Where the last read started, or the stream by then: an entry may hold records before that.
    start: Dlsn,
    /// When the stream was created that this reader is in, once that is known: another one of its
    /// name has other records at the same positions.
    created_unix_ms: Option<u64>,
    /// What was read and not taken apart yet. One entry at a time is, because a compressed one may
    /// grow manifold.
    entries: VecDeque<StoredEntry>,
    /// What was taken apart and not delivered yet.
    ready: VecDeque<ReadEvent>,
}

impl LogReader {
    /// A reader of `stream` that starts with the first record at or after `from`. Nothing is read
    /// yet.
    #[must_use]
    pub const fn new(store: Arc<dyn LogStore>, stream: StreamName, from: Dlsn) -> Self {
        Self {
            store,
            stream,
            fetch: from,
            start: from,
            created_unix_ms: None,
            entries: VecDeque::new(),
            ready: VecDeque::new(),
        }
    }

    /// The stream.
    #[must_use]
    pub const fn stream(&self) -> &StreamName {
        &self.stream
    }

    /// A reader of the stream's beginning, in the same store.
    pub(crate) fn restarted(&self) -> Self {
        Self::new(Arc::clone(&self.store), self.stream.clone(), Dlsn::INITIAL)
    }

    /// The same reader, of the stream that was created then and of no other.
    pub(crate) const fn of_stream_created(mut self, unix_ms: u64) -> Self {
        self.created_unix_ms = Some(unix_ms);
        self
    }

    /// When the stream was created that has the name now, by the store.
    pub(crate) async fn created_unix_ms(&self) -> Result<u64, StoreError> {
        Ok(self.store.describe(&self.stream).await?.created_unix_ms)
    }

    /// The position at or after which the next record will be. A reader that starts there continues
    /// where this one is.
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

    /// The next record; at the end of the stream, waits for it.
    ///
    /// # Errors
    /// The store's; [`StoreError::StreamNotFound`] also when the stream was deleted and another one
    /// was created with its name. The reader stays where it is: calling again continues there.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing: the next call delivers what this one would have.
    pub async fn next(&mut self) -> Result<ReadEvent, StoreError> {
        loop {
            if let Some(event) = self.next_buffered() {
                return Ok(event);
            }
            self.fetch(WAIT).await?;
        }
    }

    /// The next record, or `None` at the end of the stream.
    ///
    /// # Errors
    /// The store's; [`StoreError::StreamNotFound`] also when the stream was deleted and another one
    /// was created with its name. The reader stays where it is: calling again continues there.
    ///
    /// # Cancel safety
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

    /// The next record of those that were read from the store already, or `None` when it takes another
    /// read to know.
    pub fn next_buffered(&mut self) -> Option<ReadEvent> {
        while self.ready.is_empty() {
            expand::entry(&self.entries.pop_front()?, self.start, &mut self.ready);
        }
        self.ready.pop_front()
    }

    /// Reads the next batch. Answers whether there was anything, which may yet lie before the
    /// start.
    async fn fetch(&mut self, wait: Duration) -> Result<bool, StoreError> {
        debug_assert!(
            self.ready.is_empty() && self.entries.is_empty(),
            "a batch is delivered before the next one is read"
        );
        let limit = ReadLimit {
            max_bytes: BATCH_BYTES,
            wait,
            created_unix_ms: self.created_unix_ms,
        };
        // The only await: nothing has changed when it is dropped, and all that follows happens at
        // once.
        let batch = self.store.read(&self.stream, self.fetch, limit).await?;
        let any = !batch.entries.is_empty();
        if batch.next < self.fetch || (any && batch.next == self.fetch) {
            let detail = format!(
                "the store answered a read from {} with {} as the next position, which leads \
                 nowhere",
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
        Ok(any)
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
