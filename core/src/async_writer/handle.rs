use core::time::Duration;

use super::acknowledgement::Acknowledgement;
use super::futures::{Close, Drained, Flush, Submit, Write};
use super::permit::Reserve;
use super::sealed::{Inner, with_wakers};
use super::{AsyncWriterState, Runner};
use crate::writer::{ChangeError, Counters, EnqueueError, MemberError, Settings, StreamStatus};
use crate::{Clock, Instant, Shared, StreamIndex, Transport};

/// Writes records to a set of streams: each record to the stream that answers first. The handle is
/// cheap to clone; all clones write through the same writer.
///
/// The [`Runner`], a future that the user spawns, does the work. Dropping the last handle completes
/// unfinished records with [`Reason::Closed`](crate::writer::Reason::Closed) and ends the runner:
/// call [`close`](Self::close) first (R13).
#[derive(Debug)]
pub struct MultiStreamWriter<S: Shared<State: AsyncWriterState>> {
    state: S,
}

impl<S: Shared<State: AsyncWriterState>> MultiStreamWriter<S> {
    /// Creates the first handle and the runner of a writer. Call it once for a state.
    pub fn new<T: Transport>(state: S, transport: T) -> (Self, Runner<S, T>) {
        state.with(|inner| inner.state().add_handle());
        (
            Self {
                state: state.clone(),
            },
            Runner::new(state, transport),
        )
    }

    /// Writes a record: waits for room, then for the first stream that acknowledges it.
    ///
    /// # Errors
    ///
    /// The future's [`WriteError`](crate::writer::WriteError) says what is known of the record.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it is polled or while it waits for room, the record is not
    /// written. If it is dropped later, the record is written and its result is discarded (R14).
    pub fn write<'a>(&'a self, record: &'a [u8]) -> Write<'a, S> {
        Write::new(&self.state, record)
    }

    /// Waits for room and accepts the record; the [`Acknowledgement`] returns its result.
    ///
    /// With `HeapSlots` (feature `std`) the room of a record is free when it completes. With
    /// other slots its row is in use until the acknowledgement is awaited or dropped: a task that
    /// holds as many acknowledgements as there are rows waits here for ever.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write), for what is known at once: the record is too large, or the writer
    /// is closed.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it is ready, the record is not written.
    pub fn submit<'a>(&'a self, record: &'a [u8]) -> Submit<'a, S> {
        Submit::new(&self.state, record)
    }

    /// Accepts the record if there is room now.
    ///
    /// # Errors
    ///
    /// [`EnqueueError::Full`] if there is no room or other tasks wait for it,
    /// [`EnqueueError::TooLarge`], [`EnqueueError::Closed`]. The record stays with the caller.
    pub fn try_write(&self, record: &[u8]) -> Result<Acknowledgement<S>, EnqueueError> {
        with_wakers(&self.state, |inner, wakers| inner.try_write(record, wakers))
            .map(|record| Acknowledgement::new(self.state.clone(), record))
    }

    /// Waits until there is room for a record of at most `len` bytes, and reserves it.
    ///
    /// # Errors
    ///
    /// [`EnqueueError::TooLarge`] or [`EnqueueError::Closed`].
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it is ready, no room is reserved.
    pub fn reserve(&self, len: usize) -> Reserve<'_, S> {
        Reserve::new(&self.state, len)
    }

    /// Waits until all records that were accepted before have completed, successfully or not (R6).
    /// The future of each record returns its result.
    ///
    /// # Cancel safety
    ///
    /// Once polled, the flush takes place also if the future is dropped.
    pub fn flush(&self) -> Flush<'_, S> {
        Flush::new(&self.state)
    }

    /// Accepts no more records, flushes, and waits until all records have completed and the
    /// transport is closed (R13). Takes no longer than the request timeout, by which every record
    /// has completed, and the time that the transport needs to close.
    ///
    /// # Cancel safety
    ///
    /// Once polled, the writer closes also if the future is dropped.
    pub fn close(&self) -> Close<'_, S> {
        Close::new(&self.state, Instant::MAX)
    }

    /// Closes as [`close`](Self::close) does; records not completed within `time` complete with
    /// [`Reason::Closed`](crate::writer::Reason::Closed).
    pub fn close_within(&self, time: Duration) -> Close<'_, S> {
        let now = self.state.with(|inner| inner.state().clock()).now();
        Close::new(&self.state, now + time)
    }

    /// Adds a stream, to which sets start from now on (R17). Calls `register` with its index before
    /// any attempt is made there: the transport must know the stream by then. The writer is locked
    /// meanwhile, so `register` must not use it.
    ///
    /// # Errors
    ///
    /// [`MemberError::Full`].
    pub fn add_stream(
        &self,
        register: impl FnOnce(StreamIndex),
    ) -> Result<StreamIndex, MemberError> {
        with_wakers(&self.state, |inner, wakers| {
            inner.add_stream(register, wakers)
        })
    }

    /// Removes a stream: no further attempt is made there (R17). What is outstanding there ends as
    /// all other attempts do; [`drained`](Self::drained) waits for that.
    ///
    /// # Errors
    ///
    /// [`MemberError::NotMember`], [`MemberError::OnlyStream`].
    pub fn remove_stream(&self, stream: StreamIndex) -> Result<(), MemberError> {
        self.state.with(|inner| inner.state().remove_stream(stream))
    }

    /// Waits until no attempt is outstanding at a stream that was removed. Never ready for a stream
    /// that was not, unless the writer ends.
    ///
    /// An attempt that was cancelled because another stream succeeded first counts as ended, but
    /// its proxy may store it a moment later.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost if the future is dropped.
    pub fn drained(&self, stream: StreamIndex) -> Drained<'_, S> {
        Drained::new(&self.state, stream)
    }

    /// Changes the settings, for what is accepted from now on (R18): those of
    /// [`settings`](Self::settings), with some of them replaced.
    ///
    /// # Errors
    ///
    /// [`ChangeError`] if a setting differs that is fixed. The settings are then as before.
    pub fn change_settings(&self, settings: Settings) -> Result<(), ChangeError> {
        with_wakers(&self.state, |inner, wakers| {
            inner.change_settings(settings, wakers)
        })
    }

    /// Returns the settings.
    pub fn settings(&self) -> Settings {
        self.state.with(|inner| inner.state().settings())
    }

    /// Returns the counters of the writer's work so far.
    pub fn counters(&self) -> Counters {
        self.state.with(|inner| inner.state().counters())
    }

    /// Returns the stream's health and counters, or `None` if the index is out of range.
    pub fn stream_status(&self, stream: StreamIndex) -> Option<StreamStatus> {
        self.state.with(|inner| inner.state().stream_status(stream))
    }

    /// Returns `true` if the writer accepts no more records: it was closed, or its runner was
    /// dropped.
    pub fn is_closed(&self) -> bool {
        self.state.with(|inner| inner.state().is_closed())
    }

    /// Returns the length of the longest record that fits a set, in bytes.
    pub fn max_record_bytes(&self) -> usize {
        self.state.with(|inner| inner.state().max_record_bytes())
    }
}

impl<S: Shared<State: AsyncWriterState>> Clone for MultiStreamWriter<S> {
    fn clone(&self) -> Self {
        self.state.with(|inner| inner.state().add_handle());
        Self {
            state: self.state.clone(),
        }
    }
}

impl<S: Shared<State: AsyncWriterState>> Drop for MultiStreamWriter<S> {
    fn drop(&mut self) {
        with_wakers(&self.state, |inner, wakers| inner.drop_handle(wakers));
    }
}
