use core::task::{Poll, Waker};

use super::WaiterSlots;
use super::sealed::{Inner, Progress};
use super::waiter_slots::WaitFor;
use super::waiters::{WaiterId, Waiters, Wakers};
use crate::expect::expect_no_fmt;
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
    pub fn new(writer: Writer<S, F>, mut slots: W, clock: C) -> Self {
        let records = writer.storage().records().len();
        assert!(
            slots.as_mut().len() >= records,
            "one slot is needed for each of the {records} record rows"
        );
        let waiters = Waiters::new(slots.as_mut(), records);
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
        let rows = self.writer.storage().records().len();
        if !W::KEEPS_RESULTS || self.writer.free_record_slots() > 0 || self.announced * 4 < rows {
            return;
        }
        for row in 0..rows {
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
        let slots = self.slots.as_mut();
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
        self.waiters.is_woken(self.slots.as_mut(), waiter)
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
            if let Some(waker) = self.slots.as_mut()[record.slot()].waker.take() {
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
            let id = attempt.id;
            busy = true;
            if transport.start(now, attempt).is_err() {
                self.writer.handle_refused(now, id);
            }
        }
        busy
    }
}

impl<S: Storage, W: WaiterSlots, C: Clock + Clone, F: WriterFeatures> Inner for State<S, W, C, F> {
    type Time = C;

    fn clock(&self) -> C {
        self.clock.clone()
    }

    fn settings(&self) -> Settings {
        *self.writer.settings()
    }

    fn counters(&self) -> Counters {
        self.writer.counters()
    }

    fn stream_status(&self, stream: StreamIndex) -> Option<StreamStatus> {
        self.writer.stream_status(stream)
    }

    fn max_record_bytes(&self) -> usize {
        self.writer.max_record_bytes()
    }

    fn is_closed(&self) -> bool {
        self.writer.is_closed()
    }

    fn add_handle(&mut self) {
        self.handles += 1;
    }

    fn drop_handle(&mut self, wakers: &mut Wakers) {
        self.handles -= 1;
        if self.handles == 0 && !self.ended {
            self.writer.abort(self.clock.now());
            self.wake_runner(wakers);
        }
    }

    fn try_write(&mut self, record: &[u8], wakers: &mut Wakers) -> Result<RecordId, EnqueueError> {
        self.keep_results();
        if !self.may_take_room(None, record.len()) && !self.writer.is_closed() {
            return Err(self.writer.refuse_full());
        }
        let id = self.writer.write(self.clock.now(), record)?;
        self.wake_runner_if_needed(wakers);
        Ok(id)
    }

    fn poll_write(
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
                        self.waiters.cancel(self.slots.as_mut(), waiter);
                        self.wake_waiters_for_room(wakers);
                    }
                    if let (Ok(id), true) = (&outcome, await_result) {
                        self.slots.as_mut()[id.slot()].set_waker(waker);
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

    fn poll_reserve(
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
                        self.waiters.cancel(self.slots.as_mut(), waiter);
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

    fn submit(
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

    fn release(&mut self, reservation: Reservation, wakers: &mut Wakers) {
        self.writer.release(reservation);
        self.wake_waiters_for_room(wakers);
        self.wake_runner_if_needed(wakers);
    }

    fn poll_result(
        &mut self,
        record: RecordId,
        waker: &Waker,
        wakers: &mut Wakers,
    ) -> Poll<WriteResult> {
        self.count_leaving(record);
        match self.writer.take(record) {
            Some(result) => {
                self.slots.as_mut()[record.slot()].waker = None;
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
                self.slots.as_mut()[record.slot()].set_waker(waker);
                Poll::Pending
            }
        }
    }

    fn attempt_reports(&self, record: RecordId) -> &[AttemptReport] {
        if W::KEEPS_RESULTS && !self.writer.has(record) {
            return self.slots.kept_reports(record);
        }
        self.writer.attempt_reports(record)
    }

    fn forget(&mut self, record: RecordId, wakers: &mut Wakers) {
        if W::KEEPS_RESULTS && !self.writer.has(record) {
            self.slots.take_kept(record);
            return;
        }
        self.count_leaving(record);
        self.slots.as_mut()[record.slot()].waker = None;
        self.writer.forget(record);
        self.wake_waiters_for_room(wakers);
    }

    fn cancel_wait(&mut self, waiter: &mut Option<WaiterId>, wakers: &mut Wakers) {
        self.waiters.cancel(self.slots.as_mut(), waiter);
        self.wake_waiters_for_room(wakers);
    }

    fn flush(&mut self, wakers: &mut Wakers) -> FlushMark {
        let mark = self.writer.flush();
        self.wake_runner_if_needed(wakers);
        mark
    }

    fn poll_flushed(
        &mut self,
        mark: FlushMark,
        waiter: &mut Option<WaiterId>,
        waker: &Waker,
    ) -> Poll<()> {
        if self.writer.is_flushed(mark) {
            self.waiters.cancel(self.slots.as_mut(), waiter);
            return Poll::Ready(());
        }
        self.waiters
            .wait(&mut self.slots, waiter, WaitFor::Flush(mark), waker);
        Poll::Pending
    }

    fn add_stream(
        &mut self,
        register: impl FnOnce(StreamIndex),
        wakers: &mut Wakers,
    ) -> Result<StreamIndex, MemberError> {
        let stream = self.writer.add_stream()?;
        register(stream);
        self.wake_runner_if_needed(wakers);
        Ok(stream)
    }

    fn change_settings(
        &mut self,
        settings: Settings,
        wakers: &mut Wakers,
    ) -> Result<(), ChangeError> {
        self.writer.change_settings(settings)?;
        self.wake_waiters_for_room(wakers);
        self.wake_runner_if_needed(wakers);
        Ok(())
    }

    fn remove_stream(&mut self, stream: StreamIndex) -> Result<(), MemberError> {
        self.writer.remove_stream(stream)
    }

    fn poll_drained(
        &mut self,
        stream: StreamIndex,
        waiter: &mut Option<WaiterId>,
        waker: &Waker,
    ) -> Poll<()> {
        if self.ended || self.writer.is_drained(stream) {
            self.waiters.cancel(self.slots.as_mut(), waiter);
            return Poll::Ready(());
        }
        self.waiters
            .wait(&mut self.slots, waiter, WaitFor::Drain(stream), waker);
        Poll::Pending
    }

    fn close(&mut self, by: Instant, wakers: &mut Wakers) {
        self.writer.close(self.clock.now(), by);
        self.wake_runner(wakers);
    }

    fn poll_ended(&mut self, waiter: &mut Option<WaiterId>, waker: &Waker) -> Poll<()> {
        if self.ended {
            self.waiters.cancel(self.slots.as_mut(), waiter);
            return Poll::Ready(());
        }
        self.waiters
            .wait(&mut self.slots, waiter, WaitFor::End, waker);
        Poll::Pending
    }

    fn advance<T: Transport>(
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
                .wake_matching(self.slots.as_mut(), wakers, |wait_for| match wait_for {
                    WaitFor::Flush(mark) => self.writer.is_flushed(mark),
                    WaitFor::Drain(stream) => self.writer.is_drained(stream),
                    WaitFor::Room(_) | WaitFor::End => false,
                })
            && (!closed || self.waiters.wake_all_for_room(self.slots.as_mut(), wakers));
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

    fn end(&mut self, wakers: &mut Wakers) -> bool {
        if !self.ended {
            self.ended = true;
            self.writer.abort(self.clock.now());
        }
        // The transport is closed already or dropped with the runner, so that attempts need not be
        // cancelled or started.
        while self.writer.poll_cancel().is_some() {}
        while self.writer.poll_transmit(self.clock.now()).is_some() {}
        let slots = self.slots.as_mut();
        self.waiters.wake_all_for_room(slots, wakers)
            && self.waiters.wake_matching(slots, wakers, |_| true)
            && self.wake_completed(wakers)
    }
}
