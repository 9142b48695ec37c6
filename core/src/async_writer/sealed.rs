use core::task::{Poll, Waker};

use super::waiters::{WaiterId, Wakers};
use crate::writer::{
    AttemptReports, Counters, EnqueueError, FlushMark, RecordId, Reservation, Settings,
    StreamStatus, WriteResult,
};
use crate::{AttemptId, Clock, Instant, Outcome, StreamIndex, Transport};

/// What a pass over the machine came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Something was done: there may be more.
    Busy,
    /// Nothing is to be done before this instant, or before something happens. The waker is kept.
    Idle(Option<Instant>),
    /// The writer is closed and everything is completed.
    Finished,
}

/// What handles, futures and the runner ask of the state. Every method runs while the state is
/// borrowed: whom to wake is collected and woken afterwards.
pub trait Inner {
    /// The clock that stamps records.
    type Time: Clock + Clone;

    fn clock(&self) -> Self::Time;
    fn settings(&self) -> Settings;
    fn counters(&self) -> Counters;
    fn stream_status(&self, stream: StreamIndex) -> Option<StreamStatus>;
    fn max_record_bytes(&self) -> usize;
    fn is_closed(&self) -> bool;

    /// One handle more.
    fn enter(&mut self);
    /// One handle fewer; with the last one everything ends.
    fn leave(&mut self, wake: &mut Wakers);

    fn try_write(&mut self, record: &[u8], wake: &mut Wakers) -> Result<RecordId, EnqueueError>;
    /// Writes, or waits for room. With `await_result` the waker is the one to call when the record
    /// has completed.
    fn poll_write(
        &mut self,
        record: &[u8],
        waiter: &mut Option<WaiterId>,
        waker: &Waker,
        await_result: bool,
        wake: &mut Wakers,
    ) -> Poll<Result<RecordId, EnqueueError>>;
    fn poll_reserve(
        &mut self,
        len: usize,
        waiter: &mut Option<WaiterId>,
        waker: &Waker,
        wake: &mut Wakers,
    ) -> Poll<Result<Reservation, EnqueueError>>;
    fn submit(
        &mut self,
        reservation: Reservation,
        record: &[u8],
        wake: &mut Wakers,
    ) -> Result<RecordId, EnqueueError>;
    fn release(&mut self, reservation: Reservation, wake: &mut Wakers);

    fn poll_result(
        &mut self,
        record: RecordId,
        waker: &Waker,
        wake: &mut Wakers,
    ) -> Poll<WriteResult>;
    fn attempt_reports(&self, record: RecordId) -> AttemptReports;
    fn forget(&mut self, record: RecordId, wake: &mut Wakers);
    fn stop_waiting(&mut self, waiter: &mut Option<WaiterId>, wake: &mut Wakers);

    fn flush(&mut self, wake: &mut Wakers) -> FlushMark;
    fn poll_flushed(
        &mut self,
        mark: FlushMark,
        waiter: &mut Option<WaiterId>,
        waker: &Waker,
    ) -> Poll<()>;
    fn close(&mut self, by: Instant, wake: &mut Wakers);
    fn poll_ended(&mut self, waiter: &mut Option<WaiterId>, waker: &Waker) -> Poll<()>;

    /// Tells the machine what finished and what time it is, and does what it wants done.
    fn pass<T: Transport>(
        &mut self,
        finished: &mut heapless::Vec<(AttemptId, Outcome), 32>,
        transport: &mut T,
        sleeps_until: Instant,
        waker: &Waker,
        wake: &mut Wakers,
    ) -> Progress;

    /// The runner ends: completes everything. Whether everybody is woken; if not, call it again.
    fn end(&mut self, wake: &mut Wakers) -> bool;
}
