//! Requests that change nothing. Their answers may be large: there is room for one before it is
//! read from the store, and until it is written.

use core::time::Duration;

use distributedlog::Dlsn;
use tokio::time::Instant;

use crate::budget::{ByteBudget, Reservation};
use crate::metrics::StoreOperation;
use crate::remote::ServerSettings;
use crate::remote::protocol::{EntryRef, NAMES_PER_PAGE, Operation, Reply};
use crate::{
    EntryRecord, LogStore, MAX_STREAM_NAME_BYTES, NamesPage, ReadBatch, ReadLimit, SegmentInfo,
    StoreError, StoredEntry, StreamInfo, StreamName,
};

/// Maximum bytes that a read which waits returns with the entry that ends its wait. They have no
/// room until they are there, so they are few; what follows comes with the client's next read.
const WAITING_READ_BYTES: usize = 16 << 10;

/// Room for a read in multiples of its bytes, which count payloads only: an entry and its record
/// take about 160 bytes of memory besides, so this has room for entries of 80 bytes. Smaller ones
/// are read again.
const MEMORY_FACTOR: usize = 3;

/// Room for the answer of a description: that of a thousand log segments. A longer one is asked
/// for again.
const DESCRIPTION_BYTES: usize = 64 << 10;

/// A request that changes nothing.
#[derive(Debug)]
pub(super) enum ReadRequest {
    Entries(StreamName, Dlsn, ReadLimit),
    Names {
        after: Option<StreamName>,
        prefix: String,
        limit: usize,
    },
    Description(StreamName),
}

/// Answer to a [`ReadRequest`].
#[derive(Debug)]
pub(super) enum ReadAnswer {
    Entries(ReadBatch),
    Names(NamesPage),
    Description(StreamInfo),
}

impl ReadRequest {
    /// Returns the operation as which it is counted.
    pub(super) const fn operation(&self) -> StoreOperation {
        match self {
            Self::Entries(..) => StoreOperation::Read,
            Self::Names { .. } => StoreOperation::List,
            Self::Description(_) => StoreOperation::Describe,
        }
    }

    /// Returns the operation as a read, or the operation itself if it changes something.
    pub(super) fn of(operation: Operation) -> Result<Self, Operation> {
        match operation {
            Operation::Describe(stream) => Ok(Self::Description(stream)),
            Operation::List {
                after,
                prefix,
                limit,
            } => Ok(Self::Names {
                after,
                prefix,
                limit: usize::try_from(limit).unwrap_or(usize::MAX),
            }),
            other @ (Operation::Create(_)
            | Operation::Delete(_)
            | Operation::Acquire { .. }
            | Operation::Release(_)
            | Operation::Truncate { .. }
            | Operation::EndSession
            | Operation::SetRetention { .. }
            | Operation::Retention(_)
            | Operation::CheckHealth) => Err(other),
        }
    }

    /// Returns the request with no more than the server's limits.
    pub(super) fn within(self, settings: &ServerSettings) -> Self {
        match self {
            Self::Entries(stream, from, limit) => {
                let limit = ReadLimit {
                    max_bytes: limit.max_bytes.min(settings.max_read_bytes),
                    wait: limit.wait.min(settings.max_read_wait),
                    ..limit
                };
                Self::Entries(stream, from, limit)
            }
            Self::Names {
                after,
                prefix,
                limit,
            } => Self::Names {
                after,
                prefix,
                limit: limit.min(NAMES_PER_PAGE),
            },
            Self::Description(stream) => Self::Description(stream),
        }
    }

    /// Asks the store, as soon as there is room for the answer. Returns it with its room.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future has no effect.
    pub(super) async fn answer(
        &self,
        store: &dyn LogStore,
        answers: &ByteBudget,
    ) -> Result<(ReadAnswer, Reservation), StoreError> {
        match self {
            Self::Entries(stream, from, limit) => {
                wait_for_entries(store, answers, stream, *from, *limit).await
            }
            Self::Names { limit, .. } => {
                let name_bytes = MAX_STREAM_NAME_BYTES + size_of::<StreamName>();
                self.in_room(store, answers, limit.saturating_mul(name_bytes))
                    .await
            }
            Self::Description(_) => self.in_room(store, answers, DESCRIPTION_BYTES).await,
        }
    }

    /// Asks when there is room for the `expected` bytes, and again when there is room for the
    /// answer if it was larger than that.
    async fn in_room(
        &self,
        store: &dyn LogStore,
        answers: &ByteBudget,
        mut expected: usize,
    ) -> Result<(ReadAnswer, Reservation), StoreError> {
        // Bounded: each round has more room than the one before, up to all that there is.
        loop {
            let room = answers.reserve(expected).await;
            let answer = self.ask(store).await?;
            let needed = answer.held_bytes();
            if needed <= room.bytes() || room.bytes() == answers.limit() {
                return Ok((answer, room));
            }
            expected = needed.saturating_mul(2);
        }
    }

    async fn ask(&self, store: &dyn LogStore) -> Result<ReadAnswer, StoreError> {
        Ok(match self {
            Self::Entries(stream, from, limit) => {
                ReadAnswer::Entries(store.read(stream, *from, *limit).await?)
            }
            Self::Names {
                after,
                prefix,
                limit,
            } => ReadAnswer::Names(store.list_page(after.as_ref(), prefix, *limit).await?),
            Self::Description(stream) => ReadAnswer::Description(store.describe(stream).await?),
        })
    }
}

impl ReadAnswer {
    pub(super) fn reply(&self) -> Reply<'_> {
        match self {
            Self::Entries(ReadBatch {
                entries,
                next,
                start,
                created_unix_ms,
            }) => Reply::Batch {
                entries: EntryRef::list(entries),
                next: *next,
                start: *start,
                created_unix_ms: *created_unix_ms,
            },
            Self::Names(NamesPage { names, more }) => Reply::Names {
                names: names.clone(),
                more: *more,
            },
            Self::Description(info) => Reply::Info(info.clone()),
        }
    }

    /// Returns the bytes that it takes, encoded or not, whichever is more.
    fn held_bytes(&self) -> usize {
        let of_records = |records: &[EntryRecord]| -> usize {
            let of_record = |it: &EntryRecord| it.payload.len() + size_of::<EntryRecord>();
            records.iter().map(of_record).sum()
        };
        match self {
            Self::Entries(batch) => {
                let of_entry =
                    |entry: &StoredEntry| size_of::<StoredEntry>() + of_records(&entry.records);
                batch.entries.iter().map(of_entry).sum()
            }
            Self::Names(page) => {
                let of_name = |it: &StreamName| it.as_str().len() + size_of::<StreamName>();
                page.names.iter().map(of_name).sum()
            }
            Self::Description(info) => {
                size_of::<StreamInfo>() + info.segments.len() * size_of::<SegmentInfo>()
            }
        }
    }
}

/// Reads entries. A read that finds none holds no room while it waits.
async fn wait_for_entries(
    store: &dyn LogStore,
    answers: &ByteBudget,
    stream: &StreamName,
    from: Dlsn,
    mut limit: ReadLimit,
) -> Result<(ReadAnswer, Reservation), StoreError> {
    // `None`: the wait is longer than the clock counts.
    let deadline = Instant::now().checked_add(limit.wait);
    // Bounded: a round that ends without a return has found an entry, or the stream was truncated.
    loop {
        let now = ReadLimit {
            wait: Duration::ZERO,
            ..limit
        };
        let request = ReadRequest::Entries(stream.clone(), from, now);
        let room = limit.max_bytes.saturating_mul(MEMORY_FACTOR);
        let (answer, room) = request.in_room(store, answers, room).await?;
        let left = deadline.map_or(limit.wait, |deadline| {
            deadline.saturating_duration_since(Instant::now())
        });
        if left.is_zero() {
            return Ok((answer, room));
        }
        match &answer {
            // A stream that is deleted and created again during the wait is another one.
            ReadAnswer::Entries(batch) if batch.entries.is_empty() => {
                limit.created_unix_ms = Some(batch.created_unix_ms);
            }
            ReadAnswer::Entries(_) | ReadAnswer::Names(_) | ReadAnswer::Description(_) => {
                return Ok((answer, room));
            }
        }
        drop((answer, room));
        let waiting = ReadLimit {
            max_bytes: limit.max_bytes.min(WAITING_READ_BYTES),
            wait: left,
            ..limit
        };
        let batch = store.read(stream, from, waiting).await?;
        let found = ReadAnswer::Entries(batch);
        if let Some(room) = answers.try_reserve(found.held_bytes()) {
            return Ok((found, room));
        }
    }
}
