use core::time::Duration;

use super::futures::{Acknowledgement, Close, Flush, Reserve, Submit, Write, on};
use super::sealed::Inner;
use super::{AsyncWriterState, Runner};
use crate::writer::{Counters, EnqueueError, Settings, StreamStatus};
use crate::{Clock, Instant, Shared, StreamIndex, Transport};

/// Writes records to a set of streams: each to whichever answers first. A cheap handle; clones
/// write through the same writer.
///
/// The work is done by the [`Runner`], a future that the user spawns. Dropping the last handle
/// completes what is unfinished with [`Reason::Closed`](crate::writer::Reason::Closed) and ends the
/// runner: [`close`](Self::close) first (R13).
#[derive(Debug)]
pub struct MultiStreamWriter<S: Shared<State: AsyncWriterState>> {
    state: S,
}

impl<S: Shared<State: AsyncWriterState>> MultiStreamWriter<S> {
    /// The first handle and the runner of a writer. Call it once for a state.
    pub fn new<T: Transport>(state: S, transport: T) -> (Self, Runner<S, T>) {
        state.with(|inner| inner.enter());
        (
            Self {
                state: state.clone(),
            },
            Runner::new(state, transport),
        )
    }

    /// Writes a record: waits for room, then for the answer of the stream that is first.
    ///
    /// # Errors
    ///
    /// The future's [`WriteError`](crate::writer::WriteError) says what is known of the record.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is polled or while it waits for room, the record is not written. Dropped
    /// later, it is written, and nobody is told where (R14).
    pub fn write<'a>(&'a self, record: &'a [u8]) -> Write<'a, S> {
        Write::new(&self.state, record)
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
    pub fn submit<'a>(&'a self, record: &'a [u8]) -> Submit<'a, S> {
        Submit::new(&self.state, record)
    }

    /// Takes the record if there is room just now.
    ///
    /// # Errors
    ///
    /// [`EnqueueError::Full`] if there is no room or other tasks wait for it,
    /// [`EnqueueError::TooLarge`], [`EnqueueError::Closed`]. The record stays with the caller.
    pub fn try_write(&self, record: &[u8]) -> Result<Acknowledgement<S>, EnqueueError> {
        on(&self.state, |inner, wake| inner.try_write(record, wake))
            .map(|record| Acknowledgement::new(self.state.clone(), record))
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
    pub fn reserve(&self, len: usize) -> Reserve<'_, S> {
        Reserve::new(&self.state, len)
    }

    /// Waits until all that was accepted before has completed, with whatever result (R6). Each
    /// record's own future tells its result.
    ///
    /// # Cancel safety
    ///
    /// What was to be flushed is flushed.
    pub fn flush(&self) -> Flush<'_, S> {
        Flush::new(&self.state)
    }

    /// Takes no more records, flushes, and waits until everything has completed and the transport
    /// is closed (R13). Takes no longer than the request timeout, by which every record has
    /// completed, and what the transport needs to close.
    ///
    /// # Cancel safety
    ///
    /// The writer closes all the same.
    pub fn close(&self) -> Close<'_, S> {
        Close::new(&self.state, Instant::MAX)
    }

    /// As [`close`](Self::close); what is not completed within `time` completes with
    /// [`Reason::Closed`](crate::writer::Reason::Closed).
    pub fn close_within(&self, time: Duration) -> Close<'_, S> {
        let now = self.state.with(|inner| inner.clock()).now();
        Close::new(&self.state, now + time)
    }

    /// The settings.
    pub fn settings(&self) -> Settings {
        self.state.with(|inner| inner.settings())
    }

    /// What was done so far.
    pub fn counters(&self) -> Counters {
        self.state.with(|inner| inner.counters())
    }

    /// How a stream does; none for a stream that the writer does not have.
    pub fn stream_status(&self, stream: StreamIndex) -> Option<StreamStatus> {
        self.state.with(|inner| inner.stream_status(stream))
    }

    /// Whether the writer takes no more records: it was closed, or its runner was dropped.
    pub fn is_closed(&self) -> bool {
        self.state.with(|inner| inner.is_closed())
    }

    /// The longest record that fits a set.
    pub fn max_record_bytes(&self) -> usize {
        self.state.with(|inner| inner.max_record_bytes())
    }
}

impl<S: Shared<State: AsyncWriterState>> Clone for MultiStreamWriter<S> {
    fn clone(&self) -> Self {
        self.state.with(|inner| inner.enter());
        Self {
            state: self.state.clone(),
        }
    }
}

impl<S: Shared<State: AsyncWriterState>> Drop for MultiStreamWriter<S> {
    fn drop(&mut self) {
        on(&self.state, |inner, wake| inner.leave(wake));
    }
}
