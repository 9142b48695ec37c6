//! The multi stream writer on tokio.

mod builder;
mod futures;
mod keyed;
mod shared_transport;
#[cfg(feature = "sink")]
mod sink;
mod streams;
mod telemetry;
#[cfg(feature = "tower")]
mod tower;
mod watch;

use core::time::Duration;
use std::sync::{Arc, Mutex};

pub use builder::MultiStreamWriterBuilder;
use distributedlog::async_writer::{self, HeapSlots, State};
use distributedlog::writer::{
    ChangeError, Counters, EnqueueError, Heap, Settings, StreamStatus, WriteError, WriteResult,
};
use distributedlog::{Clock, Instant, StreamIndex};
use futures::RecordTrace;
pub use futures::{
    Acknowledgement, Close, Closed, Drained, Flush, MapAttempts, Permit, Reserve, Submit,
    WithAttempts, Write,
};
pub use keyed::KeyedWriter;
#[cfg(feature = "sink")]
pub use sink::RecordSink;
pub use streams::StreamChangeError;
pub(crate) use streams::StreamNames;

use crate::driver::SharedCounters;
use crate::transport::LastFailure;
use crate::{ClientCounters, RequestError, TokioClock};

/// State shared by the handles and the writer's task.
type SharedState = Arc<Mutex<State<Heap, HeapSlots, TokioClock>>>;

/// Writes each record to the stream, of several, that replies first. A cheap handle, `Send` and
/// `Sync`: clones share one writer, which one task drives.
///
/// [`close`](Self::close) completes what is outstanding. When the last handle is dropped without
/// it, what is left completes with [`Reason::Closed`](distributedlog::writer::Reason::Closed), and
/// the task ends (R13).
#[derive(Clone, Debug)]
pub struct MultiStreamWriter {
    writer: async_writer::MultiStreamWriter<SharedState>,
    streams: StreamNames,
    clock: TokioClock,
    client_counters: SharedCounters,
    last_failure: LastFailure,
}

impl MultiStreamWriter {
    /// Settings to make a writer over these streams with.
    pub fn builder<S: Into<String>>(
        streams: impl IntoIterator<Item = S>,
    ) -> MultiStreamWriterBuilder {
        MultiStreamWriterBuilder::new(streams)
    }

    /// Writes a record: waits for space, then for the first stream's reply.
    ///
    /// # Errors
    ///
    /// The future's [`WriteError`](distributedlog::writer::WriteError) says what is known of the
    /// record.
    ///
    /// # Cancel safety
    ///
    /// If dropped before it is polled or while it waits for space, the record is not written. If
    /// dropped later, it is written, and its result is lost (R14).
    pub fn write<'a>(&'a self, record: &'a [u8]) -> Write<'a> {
        Write {
            inner: self.writer.write(record),
            trace: RecordTrace::begin(record.len(), &self.streams),
        }
    }

    /// Waits for space and takes the record; the [`Acknowledgement`] returns the result.
    ///
    /// Space is free again when the record completes: any number of acknowledgements may be held
    /// before the first one is awaited. Each keeps about 150 bytes until it is awaited or dropped.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write), for what is known at once: too large, closed.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is ready, the record is not written.
    pub fn submit<'a>(&'a self, record: &'a [u8]) -> Submit<'a> {
        Submit {
            inner: self.writer.submit(record),
            trace: RecordTrace::begin(record.len(), &self.streams),
        }
    }

    /// Takes the record if there is space at present.
    ///
    /// # Errors
    ///
    /// [`EnqueueError::Full`], [`EnqueueError::TooLarge`], [`EnqueueError::Closed`]. The record
    /// stays with the caller.
    pub fn try_write(&self, record: &[u8]) -> Result<Acknowledgement, EnqueueError> {
        let trace = RecordTrace::begin(record.len(), &self.streams);
        let inner = self.writer.try_write(record)?;
        Ok(Acknowledgement { inner, trace })
    }

    /// Waits until there is space for a record of at most `len` bytes, and reserves it.
    ///
    /// # Errors
    ///
    /// The future's [`EnqueueError`]: too large, closed.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is ready, nothing is held.
    pub fn reserve(&self, len: usize) -> Reserve<'_> {
        Reserve {
            inner: self.writer.reserve(len),
            streams: &self.streams,
        }
    }

    /// Waits until all records that were accepted before have completed, with any result (R6).
    ///
    /// # Cancel safety
    ///
    /// The records are flushed even if the future is dropped.
    pub fn flush(&self) -> Flush<'_> {
        self.writer.flush()
    }

    /// Takes no more records, flushes, waits until everything has completed, and closes the
    /// connections, unless they are those of a shared client (R13). Returns how many records were
    /// written meanwhile and how many were not.
    ///
    /// # Cancel safety
    ///
    /// The writer closes even if the future is dropped.
    pub fn close(&self) -> Close<'_> {
        self.closing(self.writer.close())
    }

    /// As [`close`](Self::close); what is not completed within `time` completes with
    /// [`Reason::Closed`](distributedlog::writer::Reason::Closed).
    pub fn close_within(&self, time: Duration) -> Close<'_> {
        self.closing(self.writer.close_within(time))
    }

    fn closing<'a>(&'a self, inner: async_writer::Close<'a, SharedState>) -> Close<'a> {
        Close {
            inner,
            writer: &self.writer,
            before: self.writer.counters(),
        }
    }

    /// Writes records in order, as [`submit`](Self::submit) does, and returns their results in the
    /// same order once all have completed. It waits for room as needed, so a batch may be larger
    /// than the writer's bounds.
    ///
    /// ```no_run
    /// # async fn load(writer: distributedlog_tokio::MultiStreamWriter, lines: Vec<String>) {
    /// let results = writer.write_batch(&lines).await;
    /// let failed = results.iter().filter(|result| result.is_err()).count();
    /// println!("{failed} of {} lines were not written", lines.len());
    /// # }
    /// ```
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, records that were accepted are written, and those that still
    /// waited for room are not.
    pub async fn write_batch<R: AsRef<[u8]>>(
        &self,
        records: impl IntoIterator<Item = R>,
    ) -> Vec<WriteResult> {
        let mut accepted = Vec::new();
        for record in records {
            accepted.push(self.submit(record.as_ref()).await);
        }
        results(accepted).await
    }

    /// Adds a stream, to which record sets start from now on (R17). It takes turns with the others,
    /// which keep their order: while two streams stay, healthy and with room, the numbers of sets
    /// that start at them differ by at most one, also while others are added and removed. With
    /// [`Choice::Load`](distributedlog::writer::Choice::Load) they may differ by more (R19).
    ///
    /// ```no_run
    /// # async fn grow(
    /// #     writer: distributedlog_tokio::MultiStreamWriter,
    /// # ) -> Result<(), distributedlog_tokio::StreamChangeError> {
    /// writer.add_stream("clicks-4")?;
    /// let removed = writer.remove_stream("clicks-1")?;
    /// writer.drained(removed).await;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`StreamChangeError::StreamName`], [`StreamChangeError::Present`], and
    /// [`StreamChangeError::Full`] beyond 256 streams.
    pub fn add_stream(&self, name: &str) -> Result<StreamIndex, StreamChangeError> {
        let writer = &self.writer;
        self.streams
            .add(name, |register| writer.add_stream(register))
    }

    /// Removes a stream: no further attempt is made there (R17). Attempts that are outstanding
    /// there end as all others do, and their sets are hedged as others are.
    ///
    /// # Errors
    ///
    /// [`StreamChangeError::Absent`], and [`StreamChangeError::OnlyStream`] for the last one.
    pub fn remove_stream(&self, name: &str) -> Result<StreamIndex, StreamChangeError> {
        self.streams
            .remove(name, |index| self.writer.remove_stream(index))
    }

    /// Waits until no attempt is outstanding at a stream that was removed. Never ready for another
    /// one, unless the writer ends.
    ///
    /// An attempt that was cancelled because another stream succeeded first counts as ended, but
    /// its proxy may store it a moment later.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost if the future is dropped.
    pub fn drained(&self, stream: StreamIndex) -> Drained<'_> {
        self.writer.drained(stream)
    }

    /// Returns the names of the streams that it writes to.
    #[must_use]
    pub fn streams(&self) -> Vec<Arc<str>> {
        self.streams.members()
    }

    /// Returns the name of a stream, by the index in the writer's results. The name of a stream
    /// that was removed stays until 256 others were added.
    ///
    /// # Panics
    ///
    /// When the index is not one of this writer's.
    #[must_use]
    pub fn stream_name(&self, stream: StreamIndex) -> Arc<str> {
        let stream = self.streams.get(stream);
        stream.expect("the index is one of this writer's").0
    }

    /// Returns the index of a stream that it writes to, or `None`.
    #[must_use]
    pub fn stream_index(&self, name: &str) -> Option<StreamIndex> {
        self.streams.find(name)
    }

    /// Returns `true` if the writer takes no more records: it was closed, or its task has ended.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.writer.is_closed()
    }

    /// Changes settings while the writer runs (R18): size and time of sets, timeouts, rounds,
    /// budget, health, windows, choice of streams and adaptive timeouts. They hold for what is
    /// accepted from now on.
    ///
    /// ```no_run
    /// # fn prefer_throughput(
    /// #     writer: distributedlog_tokio::MultiStreamWriter,
    /// # ) -> Result<(), Box<dyn std::error::Error>> {
    /// let settings = writer.settings().to_builder().buffer_size(256 << 10).build()?;
    /// writer.change_settings(settings)?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// The client's attempt timeout stays: without one of its own it is the request timeout that
    /// the writer was built with.
    ///
    /// # Errors
    ///
    /// [`ChangeError`] if a setting differs that is fixed when the writer is built. The settings
    /// are then as before.
    pub fn change_settings(&self, settings: Settings) -> Result<(), ChangeError> {
        self.writer.change_settings(settings)
    }

    /// Returns the settings in force.
    #[must_use]
    pub fn settings(&self) -> Settings {
        self.writer.settings()
    }

    /// Returns the writer's counters.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.writer.counters()
    }

    /// Returns the counters of the client behind it: requests, redirects, connections. They are
    /// updated once per turn of the task, and remain available after the writer was closed. Those
    /// of a [shared client](MultiStreamWriterBuilder::shared_client) count what all its users do.
    #[must_use]
    pub fn client_counters(&self) -> ClientCounters {
        self.client_counters.get()
    }

    /// Returns the last attempt that failed, with the proxy's message, or `None` if one has
    /// succeeded since. It shows what keeps records from being written; it may be another record's
    /// attempt than the one that a caller waits for.
    #[must_use]
    pub fn last_failure(&self) -> Option<RequestError> {
        self.last_failure.get()
    }

    /// Returns a stream's health, latency and counters, or `None` if the index is out of range.
    #[must_use]
    pub fn stream_status(&self, stream: StreamIndex) -> Option<StreamStatus> {
        self.writer.stream_status(stream)
    }

    /// Returns the time on the writer's clock: the one by which the reports of attempts
    /// [say](distributedlog::writer::AttemptReport::started) when they started.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.clock.now()
    }

    /// The longest record that it takes, in bytes.
    #[must_use]
    pub fn max_record_bytes(&self) -> usize {
        self.writer.max_record_bytes()
    }
}

/// Waits for the results of records, in their order.
async fn results(accepted: Vec<Result<Acknowledgement, WriteError>>) -> Vec<WriteResult> {
    let mut results = Vec::with_capacity(accepted.len());
    for record in accepted {
        results.push(match record {
            Ok(acknowledgement) => acknowledgement.await,
            Err(error) => Err(error),
        });
    }
    results
}

// Handles are shared by threads, so they must be `Send` and `Sync` for any change of the state
// machines.
const _: () = {
    const fn is_shared<T: Send + Sync + Clone>() {}
    is_shared::<MultiStreamWriter>();
    is_shared::<KeyedWriter>();
    is_shared::<crate::ProxyClient>();
};
