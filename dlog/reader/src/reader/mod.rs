//! The reader for applications: several streams, each record once, from any source.

mod builder;
mod error;
mod fault;
mod lag;
mod stats;
mod tail;

pub use builder::MultiStreamReaderBuilder;
pub use error::{BuildError, ReadError};
pub use fault::{FaultKind, StreamFault};
pub use lag::StreamLag;
pub use stats::{ReaderStats, StreamStats};

use core::fmt;
use core::future::{Future, poll_fn};
use core::num::NonZeroUsize;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::sync::Arc;

use distributedlog::merge::{MergeSettings, SavedDedup};
use futures_core::Stream;

use crate::event::{ReadEvent, Record};
use crate::merge::{MergeInput as _, Merger, Taken};
use crate::position::ReaderPosition;
use crate::run::{RecordRun, StreamRun};
use crate::source::{Prepared, Source};
use fault::{FaultReporter, OnFault};
use lag::LagPoint;
use tail::{Tail, TailError};

/// Maximum number of problems of single streams that one poll reports, so that other tasks of the
/// runtime can run.
const MAX_FAULTS_PER_POLL: u32 = 1024;

/// A record, and the stream that it was read from.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamRecord {
    /// The stream. Duplicates of the record may be in others.
    pub stream: Arc<str>,
    /// The record.
    pub record: Record,
}

/// Records of one stream that are delivered at once.
enum Records {
    One(Record),
    Run(RecordRun),
}

/// Records, and the position behind them: what an application commits in one transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecordBatch {
    /// The records, in the order of delivery. Not empty.
    pub records: Vec<StreamRecord>,
    /// Position behind the last of them.
    pub position: ReaderPosition,
}

/// A reader that merges several streams and delivers each record once: it drops the duplicates that
/// a writer stores when a stream is slow. After a lost connection it resumes where it was.
///
/// It is a [`Stream`] of `Result<StreamRecord, ReadError>`, with [`next`](Self::next) of its own.
/// `None` is the end of all streams, which only comes if the reader does not
/// [follow](MultiStreamReaderBuilder::follow), or if all streams were deleted. After an error it is
/// `None` too. Problems of single streams do not end it: they are
/// [reported](MultiStreamReaderBuilder::on_fault), and the stream is read again after a pause.
///
/// The records of one stream are delivered in their order, and those of a set without others
/// between them, unless the rest of the set has not arrived yet. Streams take turns, one set each;
/// a stream that is idle, stalled or failing delays no other.
///
/// Invariant: a record is dropped only if it was delivered. What is remembered of delivered sets,
/// and what happens beyond that, is bounded by [`MergeSettings`]: a record whose set is no longer
/// remembered is delivered, and counted in
/// [`beyond_window`](crate::MergeCounters::beyond_window).
///
/// # Back pressure
///
/// The reader works only while it is polled, but for a read of a store that it has begun: the next
/// batch is read in a task of its own, which ends with the reader. An application that takes no
/// records stops it: it reads no more than
/// [`buffer_bytes`](MultiStreamReaderBuilder::buffer_bytes) ahead, and the connections fill until
/// the proxy waits. A proxy closes a connection after 30 s of that; the reader resumes where it
/// was when it is polled again. Dropping the reader closes its connections.
///
/// # Exactly once
///
/// Each record has an effect once if the application commits the effects of records and the
/// [position](Self::position) behind them in one transaction, and a restarted application resumes
/// at the last position committed:
///
/// ```
/// use core::num::NonZeroUsize;
/// use distributedlog_reader::{MultiStreamReader, ReaderPosition, Source, StreamRecord};
///
/// # trait Database {
/// #     fn position(&self) -> Option<String>;
/// #     fn begin(&mut self) -> Transaction;
/// # }
/// # struct Transaction;
/// # impl Transaction {
/// #     fn apply(&mut self, _: &StreamRecord) {}
/// #     fn set_position(&mut self, _: String) {}
/// #     fn commit(self) -> std::io::Result<()> { Ok(()) }
/// # }
/// async fn consume(
///     source: Source,
///     database: &mut impl Database,
/// ) -> Result<(), Box<dyn std::error::Error>> {
///     // The position is a row beside the application's own data.
///     let saved = database.position().map(|json| ReaderPosition::from_json(&json)).transpose()?;
///     let mut reader = MultiStreamReader::builder(source)
///         .streams(["orders-1", "orders-2"])
///         .position(saved)
///         .build()?;
///     let most = NonZeroUsize::new(1000).expect("not zero");
///     while let Some(batch) = reader.next_batch(most).await? {
///         let mut transaction = database.begin();
///         for record in &batch.records {
///             transaction.apply(record);
///         }
///         transaction.set_position(batch.position.to_json());
///         // After a crash before this the batch is read again; after it, it never is.
///         transaction.commit()?;
///     }
///     Ok(())
/// }
/// ```
///
/// Two applications that run at once on one position would both apply a record: let the transaction
/// check that the position is still the one that it started from.
pub struct MultiStreamReader {
    source: Prepared,
    merger: Merger<Tail>,
    follow: bool,
    /// Sets delivered before the position, kept for the next position if nothing is merged.
    unmerged: SavedDedup,
    faults: FaultReporter,
    malformed: u64,
    /// Error that was met behind the records of a batch.
    failure: Option<ReadError>,
    /// True after the end or an error.
    is_done: bool,
}

impl MultiStreamReader {
    /// Creates a builder of a reader of this source.
    pub fn builder(source: impl Into<Source>) -> MultiStreamReaderBuilder {
        MultiStreamReaderBuilder::new(source.into())
    }

    fn new(
        source: Prepared,
        tails: Vec<Tail>,
        seen: SavedDedup,
        merge: Option<MergeSettings>,
        follow: bool,
        on_fault: Option<OnFault>,
    ) -> Self {
        let deduplicator = merge.map(|settings| seen.restore(settings));
        Self {
            source,
            merger: Merger::new(tails, deduplicator),
            follow,
            unmerged: seen,
            faults: FaultReporter::new(on_fault),
            malformed: 0,
            failure: None,
            is_done: false,
        }
    }

    /// Returns the next record of any stream; waits for it if there is none. `None` at the end of
    /// all streams, and after an error.
    ///
    /// # Errors
    ///
    /// [`ReadError`]: reading cannot go on.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses no record and repeats none: the next call delivers what this one
    /// would have. Reads that wait stay in the reader and go on waiting.
    ///
    /// # Panics
    ///
    /// If it is called outside a tokio runtime with I/O and time enabled.
    pub async fn next(&mut self) -> Option<Result<StreamRecord, ReadError>> {
        poll_fn(|context| self.poll_record(context)).await
    }

    /// Returns the next records of any stream as one run: those of a whole set if they are at most
    /// `most`, otherwise one record; waits for them if there are none. `None` at the end of all
    /// streams, and after an error. The position is then behind the whole run. For applications to
    /// which a record is its payload: nothing is made for each record.
    ///
    /// ```
    /// # use core::num::NonZeroUsize;
    /// # use distributedlog_reader::{MultiStreamReader, ReadError};
    /// async fn count_bytes(reader: &mut MultiStreamReader) -> Result<usize, ReadError> {
    ///     let mut bytes = 0;
    ///     while let Some(it) = reader.next_run(NonZeroUsize::MAX).await.transpose()? {
    ///         bytes += it.run.iter().map(|(_dlsn, payload)| payload.len()).sum::<usize>();
    ///     }
    ///     Ok(bytes)
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`next`](Self::next).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses no record and repeats none.
    ///
    /// # Panics
    ///
    /// If it is called outside a tokio runtime with I/O and time enabled.
    pub async fn next_run(&mut self, most: NonZeroUsize) -> Option<Result<StreamRun, ReadError>> {
        poll_fn(|context| self.poll_run(context, most)).await
    }

    /// Waits for the next record, and returns it with those, up to `most`, that can be had without
    /// waiting, and with the position behind them. `None` at the end of all streams.
    ///
    /// # Errors
    ///
    /// As [`next`](Self::next). The records that were read before the error are returned first.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses no record and repeats none.
    ///
    /// # Panics
    ///
    /// If it is called outside a tokio runtime with I/O and time enabled.
    pub async fn next_batch(
        &mut self,
        most: NonZeroUsize,
    ) -> Result<Option<RecordBatch>, ReadError> {
        let records = poll_fn(|context| self.poll_batch(context, most)).await?;
        Ok((!records.is_empty()).then(|| RecordBatch {
            records,
            position: self.position(),
        }))
    }

    /// Returns the position behind every record that was delivered.
    #[must_use]
    pub fn position(&self) -> ReaderPosition {
        let streams = self
            .merger
            .inputs
            .iter()
            .map(|tail| (tail.stream.to_string(), tail.position.clone()));
        ReaderPosition {
            streams: streams.collect(),
            seen: self
                .merger
                .deduplicator()
                .map_or_else(|| self.unmerged.clone(), SavedDedup::of),
        }
    }

    /// Returns the counters, and the state of each stream.
    #[must_use]
    pub fn stats(&self) -> ReaderStats {
        let tails = &self.merger.inputs;
        ReaderStats {
            merge: self.merger.counters(),
            malformed: self.malformed,
            faults: self.faults.faults,
            connections: tails.iter().map(|tail| tail.connections).sum(),
            buffered_bytes: tails.iter().map(Tail::buffered_bytes).sum(),
            streams: tails
                .iter()
                .map(|tail| StreamStats {
                    stream: Arc::clone(&tail.stream),
                    caught_up: tail.caught_up,
                    last_written_unix_ms: tail.last_written_unix_ms,
                    ended: tail.is_ended(),
                })
                .collect(),
        }
    }

    /// Asks the source for the ends of the streams, and returns the distance of the reader to them
    /// as of this call. The future does not borrow the reader, so that another task can await it.
    /// It makes one request for each stream: for a gauge that is read every second,
    /// [`stats`](Self::stats) has an estimate that costs none.
    pub fn lag(&self) -> impl Future<Output = Vec<StreamLag>> + Send + use<> {
        let points = self.merger.inputs.iter().map(|tail| LagPoint {
            stream: Arc::clone(&tail.stream),
            position: tail.position.clone(),
            last_written_unix_ms: tail.last_written_unix_ms,
        });
        lag::measure(self.source.clone(), points.collect())
    }

    fn poll_record(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<StreamRecord, ReadError>>> {
        let taken = core::task::ready!(self.poll_taken(context, None));
        Poll::Ready(taken.map(|result| {
            result.map(|(stream, records)| match records {
                Records::One(record) => StreamRecord { stream, record },
                Records::Run(_) => unreachable!("runs were not asked for"),
            })
        }))
    }

    fn poll_run(
        &mut self,
        context: &mut Context<'_>,
        most: NonZeroUsize,
    ) -> Poll<Option<Result<StreamRun, ReadError>>> {
        let taken = core::task::ready!(self.poll_taken(context, Some(most)));
        Poll::Ready(taken.map(|result| {
            result.map(|(stream, records)| StreamRun {
                stream,
                run: match records {
                    Records::One(record) => RecordRun::alone(record),
                    Records::Run(run) => run,
                },
            })
        }))
    }

    /// Takes the next run of at most `most` records, or the next record; always that with `None`.
    #[expect(
        clippy::type_complexity,
        reason = "a poll of the next item of a stream"
    )]
    fn poll_taken(
        &mut self,
        context: &mut Context<'_>,
        most: Option<NonZeroUsize>,
    ) -> Poll<Option<Result<(Arc<str>, Records), ReadError>>> {
        if let Some(error) = self.failure.take() {
            return Poll::Ready(Some(Err(error)));
        }
        if self.is_done {
            return Poll::Ready(None);
        }
        for _ in 0..MAX_FAULTS_PER_POLL {
            let next = core::task::ready!(self.merger.poll_next(context, most));
            let Some((index, result)) = next else {
                self.is_done = true;
                return Poll::Ready(self.incomplete().map(Err));
            };
            if let Some(result) = self.handle(index, result) {
                return Poll::Ready(Some(result));
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }

    /// Handles what came of a stream. `None` if it was a problem of that stream, which is reported.
    fn handle(
        &mut self,
        index: usize,
        result: Result<Taken, TailError>,
    ) -> Option<Result<(Arc<str>, Records), ReadError>> {
        let stream = Arc::clone(&self.merger.inputs[index].stream);
        match result {
            Ok(Taken::Event(ReadEvent::Record(record))) => {
                return Some(Ok((stream, Records::One(record))));
            }
            Ok(Taken::Run(run)) => return Some(Ok((stream, Records::Run(run)))),
            Ok(Taken::Event(ReadEvent::Malformed(set))) => {
                self.malformed += 1;
                self.faults.report(&StreamFault {
                    stream,
                    kind: FaultKind::Malformed {
                        dlsn: set.dlsn,
                        slots: set.slots,
                    },
                    detail: set.reason,
                });
            }
            Err(TailError::Fault(fault)) => self.faults.report(&fault),
            Err(TailError::Fatal(error)) => {
                self.is_done = true;
                return Some(Err(error));
            }
        }
        None
    }

    /// Returns the error of a reader that does not follow, if streams were not read to their ends.
    fn incomplete(&self) -> Option<ReadError> {
        if self.follow {
            return None;
        }
        let unread: Vec<_> = self
            .merger
            .inputs
            .iter()
            .filter_map(|tail| tail.unread().cloned())
            .collect();
        (!unread.is_empty()).then_some(ReadError::Incomplete { unread })
    }

    /// Takes records until there are `most`, or until one must be waited for. Empty at the end.
    fn poll_batch(
        &mut self,
        context: &mut Context<'_>,
        most: NonZeroUsize,
    ) -> Poll<Result<Vec<StreamRecord>, ReadError>> {
        let mut records = Vec::new();
        while records.len() < most.get() {
            match self.poll_record(context) {
                Poll::Ready(Some(Ok(record))) => records.push(record),
                Poll::Ready(Some(Err(error))) if records.is_empty() => {
                    return Poll::Ready(Err(error));
                }
                Poll::Ready(Some(Err(error))) => {
                    self.failure = Some(error);
                    break;
                }
                Poll::Ready(None) => break,
                Poll::Pending if records.is_empty() => return Poll::Pending,
                Poll::Pending => break,
            }
        }
        Poll::Ready(Ok(records))
    }
}

impl Stream for MultiStreamReader {
    type Item = Result<StreamRecord, ReadError>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().poll_record(context)
    }
}

impl fmt::Debug for MultiStreamReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let streams: Vec<_> = self
            .merger
            .inputs
            .iter()
            .map(|tail| (&tail.stream, &tail.position))
            .collect();
        f.debug_struct("MultiStreamReader")
            .field("streams", &streams)
            .field("follow", &self.follow)
            .finish_non_exhaustive()
    }
}
