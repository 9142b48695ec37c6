use core::task::{Poll, Waker};

use super::waiters::{WaiterId, Wakers, wake_all};
use crate::writer::{
    AttemptReport, ChangeError, Counters, EnqueueError, FlushMark, MemberError, RecordId,
    Reservation, Settings, StreamStatus, WriteResult,
};
use crate::{AttemptId, Clock, Instant, Outcome, Shared, StreamIndex, Transport};

/// Result of one [`Inner::advance`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Something was done, so there may be more to do.
    Busy,
    /// There is nothing to do before this instant, or before the next event if it is `None`. The
    /// runner's waker is stored.
    Idle(Option<Instant>),
    /// The writer is closed and all its records are completed.
    Finished,
}

/// The operations of handles, futures and the runner on the state. Every method runs while the
/// state is borrowed; it collects wakers, and [`with_wakers`] calls them afterwards.
pub trait Inner {
    /// The clock that stamps records.
    type Time: Clock + Clone;

    fn clock(&self) -> Self::Time;
    fn settings(&self) -> Settings;
    fn counters(&self) -> Counters;
    fn stream_status(&self, stream: StreamIndex) -> Option<StreamStatus>;
    fn max_record_bytes(&self) -> usize;
    fn is_closed(&self) -> bool;

    /// Counts one more handle.
    fn add_handle(&mut self);
    /// Counts one handle less. Without handles, the writer aborts.
    fn drop_handle(&mut self, wakers: &mut Wakers);

    fn try_write(&mut self, record: &[u8], wakers: &mut Wakers) -> Result<RecordId, EnqueueError>;
    /// Writes the record, or waits for room. With `await_result`, `waker` is called when the record
    /// has completed.
    fn poll_write(
        &mut self,
        record: &[u8],
        waiter: &mut Option<WaiterId>,
        waker: &Waker,
        await_result: bool,
        wakers: &mut Wakers,
    ) -> Poll<Result<RecordId, EnqueueError>>;
    fn poll_reserve(
        &mut self,
        len: usize,
        waiter: &mut Option<WaiterId>,
        waker: &Waker,
        wakers: &mut Wakers,
    ) -> Poll<Result<Reservation, EnqueueError>>;
    fn submit(
        &mut self,
        reservation: Reservation,
        record: &[u8],
        wakers: &mut Wakers,
    ) -> Result<RecordId, EnqueueError>;
    fn release(&mut self, reservation: Reservation, wakers: &mut Wakers);

    fn poll_result(
        &mut self,
        record: RecordId,
        waker: &Waker,
        wakers: &mut Wakers,
    ) -> Poll<WriteResult>;
    fn attempt_reports(&self, record: RecordId) -> &[AttemptReport];
    fn forget(&mut self, record: RecordId, wakers: &mut Wakers);
    fn cancel_wait(&mut self, waiter: &mut Option<WaiterId>, wakers: &mut Wakers);

    fn flush(&mut self, wakers: &mut Wakers) -> FlushMark;
    fn poll_flushed(
        &mut self,
        mark: FlushMark,
        waiter: &mut Option<WaiterId>,
        waker: &Waker,
    ) -> Poll<()>;
    /// Adds a stream; `register` is called with its index before any attempt is made there.
    fn add_stream(
        &mut self,
        register: impl FnOnce(StreamIndex),
        wakers: &mut Wakers,
    ) -> Result<StreamIndex, MemberError>;
    fn change_settings(
        &mut self,
        settings: Settings,
        wakers: &mut Wakers,
    ) -> Result<(), ChangeError>;
    fn remove_stream(&mut self, stream: StreamIndex) -> Result<(), MemberError>;
    fn poll_drained(
        &mut self,
        stream: StreamIndex,
        waiter: &mut Option<WaiterId>,
        waker: &Waker,
    ) -> Poll<()>;
    fn close(&mut self, by: Instant, wakers: &mut Wakers);
    fn poll_ended(&mut self, waiter: &mut Option<WaiterId>, waker: &Waker) -> Poll<()>;

    /// Passes the finished attempts and the time to the machine, and starts and cancels attempts as
    /// it asks.
    fn advance<T: Transport>(
        &mut self,
        finished: &mut heapless::Vec<(AttemptId, Outcome), 32>,
        transport: &mut T,
        sleeps_until: Instant,
        waker: &Waker,
        wakers: &mut Wakers,
    ) -> Progress;

    /// Completes all records because the runner ends. Returns `false` if there were more tasks to
    /// wake than `wakers` can hold: call the wakers, then call this again.
    fn end(&mut self, wakers: &mut Wakers) -> bool;
}

/// Runs `work` on the state, and calls the wakers that it collected once the state is free again:
/// a waker may poll its task at once, and the task may use the state.
pub(super) fn with_wakers<S: Shared, R>(
    state: &S,
    work: impl FnOnce(&mut S::State, &mut Wakers) -> R,
) -> R {
    let mut wakers = Wakers::new();
    let result = state.with(|inner| work(inner, &mut wakers));
    wake_all(&mut wakers);
    result
}
