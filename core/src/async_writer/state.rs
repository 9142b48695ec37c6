use core::task::{Poll, Waker};

#[cfg(feature = "std")]
use super::HeapSlots;
use super::WaiterSlots;
use super::sealed::Inner;
use super::waiter_slots::WaitFor;
use super::waiters::{WaiterId, Waiters, Wakers, set_waker};
use crate::expect::expect_no_fmt;
#[cfg(feature = "std")]
use crate::writer::Heap;
use crate::writer::{
    AllFeatures, AttemptReport, AttemptReports, ChangeError, Counters, EnqueueError, FlushMark,
    MemberError, RecordId, Reservation, Settings, Storage, StreamStatus, WriteResult, Writer,
    WriterFeatures,
};
use crate::{AttemptId, Clock, Instant, Outcome, StreamIndex, Transport};

/// The state that handles, futures and the runner share. Sealed: [`State`] implements it for every
/// kind of storage.
pub trait AsyncWriterState: Inner {}

impl<S: Storage, W: WaiterSlots, C: Clock + Clone, F: WriterFeatures> AsyncWriterState
    for State<S, W, C, F>
{
}

/// Result of one [`State::advance`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// Something was done, so there may be more to do.
    Busy,
    /// There is nothing to do before this instant, or before the next event if it is `None`. The
    /// runner's waker is stored.
    Idle(Option<Instant>),
    /// The writer is closed and all its records are completed.
    Finished,
}

/// The state machine, the slots of waiting tasks (see [`WaiterSlots`]), and the clock that stamps
/// records. Handles and runner share it. `F` is that of the [`Writer`].
#[derive(Debug)]
pub struct State<S: Storage, W: WaiterSlots, C: Clock, F: WriterFeatures = AllFeatures> {
    writer: Writer<S, F>,
    slots: W,
    waiters: Waiters,
    clock: C,
    handles: usize,
    /// The runner's waker while it sleeps; `None` while it works.
    runner: Option<Waker>,
    /// The time for which the sleeping runner has set its timer.
    runner_sleeps_until: Instant,
    ended: bool,
    /// Records whose results wait to be taken and were announced. Counted if the slots keep
    /// results.
    announced: usize,
}

impl<S: Storage, W: WaiterSlots, C: Clock + Clone, F: WriterFeatures> State<S, W, C, F> {
    /// Creates the state of a writer. Put it into a [`Shared`](crate::Shared), and pass that to
    /// [`MultiStreamWriter::new`](super::MultiStreamWriter::new).
    ///
    /// # Panics
    ///
    /// If there are fewer slots than record rows.
    pub fn new(writer: Writer<S, F>, slots: W, clock: C) -> Self {
        let records = writer.max_record_slots();
        assert!(
            slots.has_room_for(records),
            "one slot is needed for each of the {records} record rows"
        );
        let waiters = Waiters::new(records);
        Self {
            writer,
            slots,
            waiters,
            clock,
            handles: 0,
            runner: None,
            runner_sleeps_until: Instant::MAX,
            ended: false,
            announced: 0,
        }
    }

    /// Returns the state machine.
    pub const fn writer(&self) -> &Writer<S, F> {
        &self.writer
    }

    /// Moves results that were not taken out of the table of records, if it is full and a quarter
    /// of it is such results: so a caller may hold more acknowledgements than there are rows, and
    /// each look through the table moves many.
    fn keep_results(&mut self) {
        let most = self.writer.max_record_slots();
        if !W::KEEPS_RESULTS || self.writer.free_record_slots() > 0 || self.announced * 4 < most {
            return;
        }
        self.move_results();
    }

    /// Moves results that were announced and not taken out of the table of records, to slots that
    /// keep results.
    fn move_results(&mut self) {
        for row in 0..self.writer.storage().records().len() {
            let Some(record) = self.writer.announced(row) else {
                continue;
            };
            let reports = AttemptReports::copied(self.writer.attempt_reports(record));
            if let Some(result) = self.writer.take(record) {
                self.slots.keep(record, result, &reports);
            }
        }
        self.announced = 0;
    }

    /// Counts a record that leaves the table, if it was announced.
    fn count_leaving(&mut self, record: RecordId) {
        if W::KEEPS_RESULTS && self.writer.announced(record.slot()) == Some(record) {
            self.announced -= 1;
        }
    }

    /// Wakes as many tasks of the queue for room as there is likely room for, less those that were
    /// woken and have not been polled yet (R7).
    fn wake_waiters_for_room(&mut self, wakers: &mut Wakers) {
        self.keep_results();
        let slots = &mut self.slots;
        // Bounded: each iteration takes one task off the queue.
        while let Some(len) = self.waiters.first_for_room(slots) {
            if wakers.is_full() || self.writer.room_for(len) <= self.waiters.woken() {
                return;
            }
            self.waiters.wake_first_for_room(slots, wakers);
        }
    }

    /// Returns `true` if the task may take room now: it was woken for it, or no task that came
    /// earlier waits for it.
    fn may_take_room(&mut self, waiter: Option<WaiterId>, len: usize) -> bool {
        let woken = self.waiters.woken();
        self.waiters.is_woken(&mut self.slots, waiter)
            || (self.waiters.is_room_queue_empty()
                && (woken == 0 || self.writer.room_for(len) > woken))
    }

    /// Wakes the runner if it sleeps and there is something to do before its timer fires.
    fn wake_runner_if_needed(&mut self, wakers: &mut Wakers) {
        if self.runner.is_none() {
            return;
        }
        let early = self
            .writer
            .poll_timeout()
            .is_some_and(|at| at < self.runner_sleeps_until);
        if early || self.writer.has_work() {
            self.wake_runner(wakers);
        }
    }

    fn wake_runner(&mut self, wakers: &mut Wakers) {
        if let Some(runner) = self.runner.take()
            && let Err(runner) = wakers.push(runner)
        {
            runner.wake();
        }
    }

    /// Wakes the tasks of completed records. Returns `false` if `wakers` is full before all are
    /// woken.
    fn wake_completed(&mut self, wakers: &mut Wakers) -> bool {
        while !wakers.is_full() {
            let Some(record) = self.writer.poll_completed() else {
                return true;
            };
            if W::KEEPS_RESULTS {
                self.announced += 1;
            }
            if let Some(waker) = self.slots.record_waker(record.slot()).take() {
                expect_no_fmt(wakers.push(waker), "it is not full");
            }
        }
        false
    }

    /// Cancels and starts attempts as the machine asks. Returns `true` if there were any.
    fn drive_transport<T: Transport>(&mut self, transport: &mut T, now: Instant) -> bool {
        let mut busy = false;
        while let Some(attempt) = self.writer.poll_cancel() {
            transport.cancel(now, attempt);
            busy = true;
        }
        while let Some(attempt) = self.writer.poll_transmit(now) {
            let (id, stream) = (attempt.id, attempt.stream);
            busy = true;
            if transport.start(now, attempt).is_err() {
                self.writer.handle_refused(now, id);
            } else if F::STALLS {
                let domain = transport.failure_domain(stream);
                self.writer.set_failure_domain(stream, domain);
            }
        }
        busy
    }
}

#[cfg(feature = "std")]
impl<C: Clock + Clone, F: WriterFeatures> State<Heap, HeapSlots, C, F> {
    /// Frees the tables of an idle writer, as [`Writer::shrink`] does: results that were not taken
    /// are kept elsewhere. Returns `false`, and frees nothing, while the writer has work.
    pub fn shrink(&mut self) -> bool {
        self.move_results();
        let shrunk = self.writer.shrink();
        if shrunk {
            self.slots.shrink();
        }
        shrunk
    }
}

impl<S: Storage, W: WaiterSlots, C: Clock + Clone, F: WriterFeatures> Inner for State<S, W, C, F> {
    type Storage = S;
    type Slots = W;
    type Time = C;
    type Features = F;

    fn state(&mut self) -> &mut Self {
        self
    }
}

/// The operations of handles, futures and the runner. Each runs while the state is borrowed; it
/// collects wakers, which [`with_wakers`](super::sealed::with_wakers) calls afterwards.
impl<S: Storage, W: WaiterSlots, C: Clock + Clone, F: WriterFeatures> State<S, W, C, F> {
    pub(super) fn clock(&self) -> C {
        self.clock.clone()
    }

    pub(super) fn settings(&self) -> Settings {
        *self.writer.settings()
    }

    pub(super) fn counters(&self) -> Counters {
        self.writer.counters()
    }

    pub(super) fn stream_status(&self, stream: StreamIndex) -> Option<StreamStatus> {
        self.writer.stream_status(stream)
    }

    pub(super) fn max_record_bytes(&self) -> usize {
        self.writer.max_record_bytes()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.writer.is_closed()
    }

    /// Counts one more handle.
    pub(super) fn add_handle(&mut self) {
        self.handles += 1;
    }

    /// Counts one handle less. Without handles, the writer aborts.
    pub(super) fn drop_handle(&mut self, wakers: &mut Wakers) {
        self.handles -= 1;
        if self.handles == 0 && !self.ended {
            self.writer.abort(self.clock.now());
            self.wake_runner(wakers);
        }
    }

    pub(super) fn try_write(
        &mut self,
        record: &[u8],
        wakers: &mut Wakers,
    ) -> Result<RecordId, EnqueueError> {
        self.keep_results();
        if !self.may_take_room(None, record.len()) && !self.writer.is_closed() {
            return Err(self.writer.refuse_full());
        }
        let id = self.writer.write(self.clock.now(), record)?;
        self.wake_runner_if_needed(wakers);
        Ok(id)
    }

    /// Writes the record, or waits for room. With `await_result`, `waker` is called when the record
    /// has completed.
    pub(super) fn poll_write(
        &mut self,
        record: &[u8],
        waiter: &mut Option<WaiterId>,
        waker: &Waker,
        await_result: bool,
        wakers: &mut Wakers,
    ) -> Poll<Result<RecordId, EnqueueError>> {
        self.keep_results();
        let len = record.len();
        // Checked before `write` is called, because the machine counts each refusal, and a task
        // that waits is not refused.
        let decided = self.writer.is_closed() || len > self.writer.max_record_bytes();
        if decided || (self.may_take_room(*waiter, len) && self.writer.has_room(len)) {
            match self.writer.write(self.clock.now(), record) {
                Err(EnqueueError::Full) => {}
                outcome @ (Ok(_) | Err(EnqueueError::TooLarge { .. } | EnqueueError::Closed)) => {
                    if waiter.is_some() {
                        self.waiters.cancel(&mut self.slots, waiter);
                        self.wake_waiters_for_room(wakers);
                    }
                    if let (Ok(id), true) = (&outcome, await_result) {
                        set_waker(self.slots.record_waker(id.slot()), waker);
                    }
                    self.wake_runner_if_needed(wakers);
                    return Poll::Ready(outcome);
                }
            }
        }
        self.waiters
            .wait(&mut self.slots, waiter, WaitFor::Room(len), waker);
        Poll::Pending
    }

    pub(super) fn poll_reserve(
        &mut self,
        len: usize,
        waiter: &mut Option<WaiterId>,
        waker: &Waker,
        wakers: &mut Wakers,
    ) -> Poll<Result<Reservation, EnqueueError>> {
        self.keep_results();
        if self.writer.is_closed()
            || len > self.writer.max_record_bytes()
            || self.may_take_room(*waiter, len)
        {
            match self.writer.reserve(len) {
                Err(EnqueueError::Full) => {}
                outcome @ (Ok(_) | Err(EnqueueError::TooLarge { .. } | EnqueueError::Closed)) => {
                    if waiter.is_some() {
                        self.waiters.cancel(&mut self.slots, waiter);
                        self.wake_waiters_for_room(wakers);
                    }
                    return Poll::Ready(outcome);
                }
            }
        }
        self.waiters
            .wait(&mut self.slots, waiter, WaitFor::Room(len), waker);
        Poll::Pending
    }

    pub(super) fn submit(
        &mut self,
        reservation: Reservation,
        record: &[u8],
        wakers: &mut Wakers,
    ) -> Result<RecordId, EnqueueError> {
        let outcome = self.writer.submit(self.clock.now(), reservation, record);
        self.wake_waiters_for_room(wakers);
        self.wake_runner_if_needed(wakers);
        outcome
    }

    pub(super) fn release(&mut self, reservation: Reservation, wakers: &mut Wakers) {
        self.writer.release(reservation);
        self.wake_waiters_for_room(wakers);
        self.wake_runner_if_needed(wakers);
    }

    pub(super) fn poll_result(
        &mut self,
        record: RecordId,
        waker: &Waker,
        wakers: &mut Wakers,
    ) -> Poll<WriteResult> {
        self.count_leaving(record);
        match self.writer.take(record) {
            Some(result) => {
                *self.slots.record_waker(record.slot()) = None;
                self.wake_waiters_for_room(wakers);
                Poll::Ready(result)
            }
            None => {
                // The row of a result that is kept may be another record's.
                if W::KEEPS_RESULTS
                    && !self.writer.has(record)
                    && let Some(result) = self.slots.take_kept(record)
                {
                    return Poll::Ready(result);
                }
                set_waker(self.slots.record_waker(record.slot()), waker);
                Poll::Pending
            }
        }
    }

    pub(super) fn attempt_reports(&self, record: RecordId) -> &[AttemptReport] {
        if W::KEEPS_RESULTS && !self.writer.has(record) {
            return self.slots.kept_reports(record);
        }
        self.writer.attempt_reports(record)
    }

    pub(super) fn forget(&mut self, record: RecordId, wakers: &mut Wakers) {
        if W::KEEPS_RESULTS && !self.writer.has(record) {
            self.slots.take_kept(record);
            return;
        }
        self.count_leaving(record);
        *self.slots.record_waker(record.slot()) = None;
        self.writer.forget(record);
        self.wake_waiters_for_room(wakers);
    }

    pub(super) fn cancel_wait(&mut self, waiter: &mut Option<WaiterId>, wakers: &mut Wakers) {
        self.waiters.cancel(&mut self.slots, waiter);
        self.wake_waiters_for_room(wakers);
    }

    pub(super) fn flush(&mut self, wakers: &mut Wakers) -> FlushMark {
        let mark = self.writer.flush();
        self.wake_runner_if_needed(wakers);
        mark
    }

    pub(super) fn poll_flushed(
        &mut self,
        mark: FlushMark,
        waiter: &mut Option<WaiterId>,
        waker: &Waker,
    ) -> Poll<()> {
        if self.writer.is_flushed(mark) {
            self.waiters.cancel(&mut self.slots, waiter);
            return Poll::Ready(());
        }
        self.waiters
            .wait(&mut self.slots, waiter, WaitFor::Flush(mark), waker);
        Poll::Pending
    }

    /// Adds a stream; `register` is called with its index before any attempt is made there.
    pub(super) fn add_stream(
        &mut self,
        register: impl FnOnce(StreamIndex),
        wakers: &mut Wakers,
    ) -> Result<StreamIndex, MemberError> {
        let stream = self.writer.add_stream()?;
        register(stream);
        self.wake_runner_if_needed(wakers);
        Ok(stream)
    }

    pub(super) fn change_settings(
        &mut self,
        settings: Settings,
        wakers: &mut Wakers,
    ) -> Result<(), ChangeError> {
        self.writer.change_settings(settings)?;
        self.wake_waiters_for_room(wakers);
        self.wake_runner_if_needed(wakers);
        Ok(())
    }

    pub(super) fn remove_stream(&mut self, stream: StreamIndex) -> Result<(), MemberError> {
        self.writer.remove_stream(stream)
    }

    pub(super) fn poll_drained(
        &mut self,
        stream: StreamIndex,
        waiter: &mut Option<WaiterId>,
        waker: &Waker,
    ) -> Poll<()> {
        if self.ended || self.writer.is_drained(stream) {
            self.waiters.cancel(&mut self.slots, waiter);
            return Poll::Ready(());
        }
        self.waiters
            .wait(&mut self.slots, waiter, WaitFor::Drain(stream), waker);
        Poll::Pending
    }

    pub(super) fn close(&mut self, by: Instant, wakers: &mut Wakers) {
        self.writer.close(self.clock.now(), by);
        self.wake_runner(wakers);
    }

    pub(super) fn poll_ended(&mut self, waiter: &mut Option<WaiterId>, waker: &Waker) -> Poll<()> {
        if self.ended {
            self.waiters.cancel(&mut self.slots, waiter);
            return Poll::Ready(());
        }
        self.waiters
            .wait(&mut self.slots, waiter, WaitFor::End, waker);
        Poll::Pending
    }

    /// Passes the finished attempts and the time to the machine, and starts and cancels attempts as
    /// it asks.
    pub(super) fn advance<T: Transport>(
        &mut self,
        finished: &mut heapless::Vec<(AttemptId, Outcome), 32>,
        transport: &mut T,
        sleeps_until: Instant,
        waker: &Waker,
        wakers: &mut Wakers,
    ) -> Progress {
        let now = self.clock.now();
        let mut busy = !finished.is_empty();
        for (attempt, outcome) in core::mem::take(finished) {
            self.writer.handle_finished(now, attempt, outcome);
        }
        if self.writer.poll_timeout().is_some_and(|at| at <= now) {
            self.writer.handle_timeout(now);
            busy = true;
        }
        busy |= self.drive_transport(transport, now);
        let closed = self.writer.is_closed();
        let all = self.wake_completed(wakers)
            && self
                .waiters
                .wake_matching(&mut self.slots, wakers, |wait_for| match wait_for {
                    WaitFor::Flush(mark) => self.writer.is_flushed(mark),
                    WaitFor::Drain(stream) => self.writer.is_drained(stream),
                    WaitFor::Room(_) | WaitFor::End => false,
                })
            && (!closed || self.waiters.wake_all_for_room(&mut self.slots, wakers));
        self.wake_waiters_for_room(wakers);
        if !all || busy || !wakers.is_empty() {
            return Progress::Busy;
        }
        if self.writer.is_finished() {
            return Progress::Finished;
        }
        self.runner_sleeps_until = sleeps_until;
        match &mut self.runner {
            Some(own) => own.clone_from(waker),
            none => *none = Some(waker.clone()),
        }
        Progress::Idle(self.writer.poll_timeout())
    }

    /// Completes all records because the runner ends. Returns `false` if there were more tasks to
    /// wake than `wakers` can hold: call the wakers, then call this again.
    pub(super) fn end(&mut self, wakers: &mut Wakers) -> bool {
        if !self.ended {
            self.ended = true;
            self.writer.abort(self.clock.now());
        }
        // The transport is closed already or dropped with the runner, so that attempts need not be
        // cancelled or started.
        while self.writer.poll_cancel().is_some() {}
        while self.writer.poll_transmit(self.clock.now()).is_some() {}
        let slots = &mut self.slots;
        self.waiters.wake_all_for_room(slots, wakers)
            && self.waiters.wake_matching(slots, wakers, |_| true)
            && self.wake_completed(wakers)
    }
}
