//! The multi stream writer on tokio.

mod builder;

use core::time::Duration;
use std::sync::{Arc, Mutex};

pub use builder::MultiStreamWriterBuilder;
use distributedlog::StreamIndex;
use distributedlog::async_writer::{
    self, Acknowledgement, Close, Flush, Reserve, State, Submit, WaiterSlot, Write,
};
use distributedlog::writer::{Counters, EnqueueError, Heap, Settings, StreamStatus};

use crate::driver::SharedCounters;
use crate::{ClientCounters, TokioClock};

/// What handles and the writer's task share. The futures of [`MultiStreamWriter`] are generic over
/// it.
pub type SharedState = Arc<Mutex<State<Heap, Box<[WaiterSlot]>, TokioClock>>>;

/// Writes each record to whichever of a set of streams answers first. A cheap handle, `Send` and
/// `Sync`: clones write through the same writer, whose work one task does.
///
/// [`close`](Self::close) completes what is outstanding. When the last handle is dropped without
/// it, what is left completes with [`Reason::Closed`](distributedlog::writer::Reason::Closed), and
/// the task ends (R13).
#[derive(Clone, Debug)]
pub struct MultiStreamWriter {
    writer: async_writer::MultiStreamWriter<SharedState>,
    streams: Arc<[Box<str>]>,
    client_counters: SharedCounters,
}

impl MultiStreamWriter {
    /// Settings to make a writer over these streams with.
    pub fn builder<S: Into<String>>(
        streams: impl IntoIterator<Item = S>,
    ) -> MultiStreamWriterBuilder {
        MultiStreamWriterBuilder::new(streams)
    }

    /// Writes a record: waits for room, then for the answer of the stream that is first.
    ///
    /// # Errors
    ///
    /// The future's [`WriteError`](distributedlog::writer::WriteError) says what is known of the
    /// record.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is polled or while it waits for room, the record is not written. Dropped
    /// later, it is written, and nobody is told where (R14).
    pub fn write<'a>(&'a self, record: &'a [u8]) -> Write<'a, SharedState> {
        self.writer.write(record)
    }

    /// Waits for room and takes the record; the answer comes through the [`Acknowledgement`].
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write), for what is known at once: too large, closed.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is ready, the record is not written.
    pub fn submit<'a>(&'a self, record: &'a [u8]) -> Submit<'a, SharedState> {
        self.writer.submit(record)
    }

    /// Takes the record if there is room just now.
    ///
    /// # Errors
    ///
    /// [`EnqueueError::Full`], [`EnqueueError::TooLarge`], [`EnqueueError::Closed`]. The record stays
    /// with the caller.
    pub fn try_write(&self, record: &[u8]) -> Result<Acknowledgement<SharedState>, EnqueueError> {
        self.writer.try_write(record)
    }

    /// Waits until there is room for a record of at most `len` bytes, and holds it.
    ///
    /// # Errors
    ///
    /// The future's [`EnqueueError`]: too large, closed.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is ready, nothing is held.
    pub fn reserve(&self, len: usize) -> Reserve<'_, SharedState> {
        self.writer.reserve(len)
    }

    /// Waits until all that was accepted before has completed, with whatever result (R6).
    ///
    /// # Cancel safety
    ///
    /// What was to be flushed is flushed.
    pub fn flush(&self) -> Flush<'_, SharedState> {
        self.writer.flush()
    }

    /// Takes no more records, flushes, waits until everything has completed, and closes the
    /// connections (R13).
    ///
    /// # Cancel safety
    ///
    /// The writer closes all the same.
    pub fn close(&self) -> Close<'_, SharedState> {
        self.writer.close()
    }

    /// As [`close`](Self::close); what is not completed within `time` completes with
    /// [`Reason::Closed`](distributedlog::writer::Reason::Closed).
    pub fn close_within(&self, time: Duration) -> Close<'_, SharedState> {
        self.writer.close_within(time)
    }

    /// The streams that it writes to, in the order in which [`StreamIndex`] counts them.
    #[must_use]
    pub fn streams(&self) -> &[Box<str>] {
        &self.streams
    }

    /// The name of a stream that the writer says it wrote to.
    ///
    /// # Panics
    ///
    /// When the index is not one of this writer's.
    #[must_use]
    pub fn stream_name(&self, stream: StreamIndex) -> &str {
        &self.streams[usize::from(stream.0)]
    }

    /// The settings it was built with.
    #[must_use]
    pub fn settings(&self) -> Settings {
        self.writer.settings()
    }

    /// What was done so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.writer.counters()
    }

    /// What the client behind it did so far: requests, redirects, connections. Up to its last turn,
    /// also after it was closed.
    #[must_use]
    pub fn client_counters(&self) -> ClientCounters {
        self.client_counters.get()
    }

    /// How a stream does: whether it takes its turn, how fast it answers, what was done with it;
    /// `None` for a stream that the writer does not have.
    #[must_use]
    pub fn stream_status(&self, stream: StreamIndex) -> Option<StreamStatus> {
        self.writer.stream_status(stream)
    }

    /// The longest record that it takes, in bytes.
    #[must_use]
    pub fn max_record_bytes(&self) -> usize {
        self.writer.max_record_bytes()
    }
}

// Handles are shared by threads, whatever the state machines inside them become.
const _: () = {
    const fn is_shared<T: Send + Sync + Clone>() {}
    is_shared::<MultiStreamWriter>();
    is_shared::<crate::ProxyClient>();
};
