use core::task::{Poll, Waker};

use super::WaiterSlots;
use super::sealed::{Inner, Progress};
use super::waiter_slots::WaitFor;
use super::waiters::{WaiterId, Waiters, Wakers};
use crate::expect::expect_no_fmt;
use crate::writer::{
    AttemptReports, Counters, EnqueueError, FlushMark, RecordId, Reservation, Settings, Storage,
    StreamStatus, WriteResult, Writer,
};
use crate::{AttemptId, Clock, Instant, Outcome, StreamIndex, Transport};

/// What handles, futures and the runner ask of a [`State`], whatever its memory. Only `State`
/// implements it.
pub trait AsyncWriterState: Inner {}

impl<S: Storage, W: WaiterSlots, C: Clock + Clone> AsyncWriterState for State<S, W, C> {}

/// What handles and runner share: the machine, the seats of waiting tasks, and the clock that
/// stamps records.
///
/// The seats are those of the tasks that wait: see [`WaiterSlots`].
#[derive(Debug)]
pub struct State<S: Storage, W: WaiterSlots, C: Clock> {
    writer: Writer<S>,
    slots: W,
    waiters: Waiters,
    clock: C,
    handles: usize,
    /// The runner's waker while it sleeps, and until when it sleeps by itself.
    runner: Option<Waker>,
    runner_sleeps_until: Instant,
    ended: bool,
}

impl<S: Storage, W: WaiterSlots, C: Clock + Clone> State<S, W, C> {
    /// A writer that nobody drives yet: put it into a [`Shared`](crate::Shared) and give that to
    /// [`MultiStreamWriter::new`](super::MultiStreamWriter::new).
    ///
    /// # Panics
    ///
    /// When there are fewer seats than record rows.
    pub fn new(writer: Writer<S>, mut slots: W, clock: C) -> Self {
        let records = writer.storage().records().len();
        assert!(
            slots.as_mut().len() >= records,
            "one seat for each of the {records} record rows"
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
        }
    }

    /// The machine, to look at.
    pub const fn writer(&self) -> &Writer<S> {
        &self.writer
    }

    /// Wakes as many of those who wait for room as there seems to be room for, those not counted
    /// who are on their way (R7).
    fn share_room(&mut self, wake: &mut Wakers) {
        let slots = self.slots.as_mut();
        // Bounded: each pass takes one off the queue.
        while let Some(len) = self.waiters.first_for_room(slots) {
            if wake.is_full() || self.writer.room_for(len) <= self.waiters.woken() {
                return;
            }
            self.waiters.wake_first_for_room(slots, wake);
        }
    }

    /// Whether a task may take room now: nobody was there before it, or it was woken for it.
    fn may_take_room(&mut self, waiter: Option<WaiterId>, len: usize) -> bool {
        let woken = self.waiters.woken();
        self.waiters.is_woken(self.slots.as_mut(), waiter)
            || (self.waiters.nobody_waits_for_room()
                && (woken == 0 || self.writer.room_for(len) > woken))
    }

    /// Wakes the runner if it sleeps and there is something to do before it would wake by itself.
    fn rouse_runner(&mut self, wake: &mut Wakers) {
        if self.runner.is_none() {
            return;
        }
        let early = self
            .writer
            .poll_timeout()
            .is_some_and(|at| at < self.runner_sleeps_until);
        if early || self.writer.has_work() {
            self.wake_runner(wake);
        }
    }

    fn wake_runner(&mut self, wake: &mut Wakers) {
        if let Some(runner) = self.runner.take()
            && let Err(runner) = wake.push(runner)
        {
            runner.wake();
        }
    }

    /// Wakes the tasks of completed records, as many as fit. Whether all were.
    fn announce(&mut self, wake: &mut Wakers) -> bool {
        while !wake.is_full() {
            let Some(record) = self.writer.poll_completed() else {
                return true;
            };
            if let Some(waker) = self.slots.as_mut()[record.slot()].waker.take() {
                expect_no_fmt(wake.push(waker), "it is not full");
            }
        }
        false
    }

    fn step<T: Transport>(&mut self, transport: &mut T, now: Instant) -> bool {
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

impl<S: Storage, W: WaiterSlots, C: Clock + Clone> Inner for State<S, W, C> {
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

    fn enter(&mut self) {
        self.handles += 1;
    }

    fn leave(&mut self, wake: &mut Wakers) {
        self.handles -= 1;
        if self.handles == 0 && !self.ended {
            self.writer.abort(self.clock.now());
            self.wake_runner(wake);
        }
    }

    fn try_write(&mut self, record: &[u8], wake: &mut Wakers) -> Result<RecordId, EnqueueError> {
        if !self.may_take_room(None, record.len()) && !self.writer.is_closed() {
            return Err(self.writer.full());
        }
        let id = self.writer.write(self.clock.now(), record)?;
        self.rouse_runner(wake);
        Ok(id)
    }

    fn poll_write(
        &mut self,
        record: &[u8],
        waiter: &mut Option<WaiterId>,
        waker: &Waker,
        await_result: bool,
        wake: &mut Wakers,
    ) -> Poll<Result<RecordId, EnqueueError>> {
        let len = record.len();
        // Asked before it is tried, because the machine counts what it refuses.
        let decided = self.writer.is_closed() || len > self.writer.max_record_bytes();
        if decided || (self.may_take_room(*waiter, len) && self.writer.has_room(len)) {
            match self.writer.write(self.clock.now(), record) {
                Err(EnqueueError::Full) => {}
                outcome @ (Ok(_) | Err(EnqueueError::TooLarge { .. } | EnqueueError::Closed)) => {
                    if waiter.is_some() {
                        self.waiters.leave(self.slots.as_mut(), waiter);
                        self.share_room(wake);
                    }
                    if let (Ok(id), true) = (&outcome, await_result) {
                        self.slots.as_mut()[id.slot()].set_waker(waker);
                    }
                    self.rouse_runner(wake);
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
        wake: &mut Wakers,
    ) -> Poll<Result<Reservation, EnqueueError>> {
        if self.writer.is_closed()
            || len > self.writer.max_record_bytes()
            || self.may_take_room(*waiter, len)
        {
            match self.writer.reserve(len) {
                Err(EnqueueError::Full) => {}
                outcome @ (Ok(_) | Err(EnqueueError::TooLarge { .. } | EnqueueError::Closed)) => {
                    if waiter.is_some() {
                        self.waiters.leave(self.slots.as_mut(), waiter);
                        self.share_room(wake);
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
        wake: &mut Wakers,
    ) -> Result<RecordId, EnqueueError> {
        let outcome = self.writer.submit(self.clock.now(), reservation, record);
        self.share_room(wake);
        self.rouse_runner(wake);
        outcome
    }

    fn release(&mut self, reservation: Reservation, wake: &mut Wakers) {
        self.writer.release(reservation);
        self.share_room(wake);
        self.rouse_runner(wake);
    }

    fn poll_result(
        &mut self,
        record: RecordId,
        waker: &Waker,
        wake: &mut Wakers,
    ) -> Poll<WriteResult> {
        match self.writer.take(record) {
            Some(result) => {
                self.slots.as_mut()[record.slot()].waker = None;
                self.share_room(wake);
                Poll::Ready(result)
            }
            None => {
                self.slots.as_mut()[record.slot()].set_waker(waker);
                Poll::Pending
            }
        }
    }

    fn attempt_reports(&self, record: RecordId) -> AttemptReports {
        self.writer.attempt_reports(record)
    }

    fn forget(&mut self, record: RecordId, wake: &mut Wakers) {
        self.slots.as_mut()[record.slot()].waker = None;
        self.writer.forget(record);
        self.share_room(wake);
    }

    fn stop_waiting(&mut self, waiter: &mut Option<WaiterId>, wake: &mut Wakers) {
        self.waiters.leave(self.slots.as_mut(), waiter);
        self.share_room(wake);
    }

    fn flush(&mut self, wake: &mut Wakers) -> FlushMark {
        let mark = self.writer.flush();
        self.rouse_runner(wake);
        mark
    }

    fn poll_flushed(
        &mut self,
        mark: FlushMark,
        waiter: &mut Option<WaiterId>,
        waker: &Waker,
    ) -> Poll<()> {
        if self.writer.is_flushed(mark) {
            self.waiters.leave(self.slots.as_mut(), waiter);
            return Poll::Ready(());
        }
        self.waiters
            .wait(&mut self.slots, waiter, WaitFor::Flush(mark), waker);
        Poll::Pending
    }

    fn close(&mut self, by: Instant, wake: &mut Wakers) {
        self.writer.close(self.clock.now(), by);
        self.wake_runner(wake);
    }

    fn poll_ended(&mut self, waiter: &mut Option<WaiterId>, waker: &Waker) -> Poll<()> {
        if self.ended {
            self.waiters.leave(self.slots.as_mut(), waiter);
            return Poll::Ready(());
        }
        self.waiters
            .wait(&mut self.slots, waiter, WaitFor::End, waker);
        Poll::Pending
    }

    fn pass<T: Transport>(
        &mut self,
        finished: &mut heapless::Vec<(AttemptId, Outcome), 32>,
        transport: &mut T,
        sleeps_until: Instant,
        waker: &Waker,
        wake: &mut Wakers,
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
        busy |= self.step(transport, now);
        let closed = self.writer.is_closed();
        let all = self.announce(wake)
            && self
                .waiters
                .wake_rest(self.slots.as_mut(), wake, |wait_for| match wait_for {
                    WaitFor::Flush(mark) => self.writer.is_flushed(mark),
                    WaitFor::Room(_) | WaitFor::End => false,
                })
            && (!closed || self.waiters.wake_all_for_room(self.slots.as_mut(), wake));
        self.share_room(wake);
        if !all || busy || !wake.is_empty() {
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

    fn end(&mut self, wake: &mut Wakers) -> bool {
        if !self.ended {
            self.ended = true;
            self.writer.abort(self.clock.now());
        }
        // Nobody is left to tell the transport: it is dropped with the runner, or closed already.
        while self.writer.poll_cancel().is_some() {}
        while self.writer.poll_transmit(self.clock.now()).is_some() {}
        let slots = self.slots.as_mut();
        self.waiters.wake_all_for_room(slots, wake)
            && self.waiters.wake_rest(slots, wake, |_| true)
            && self.announce(wake)
    }
}
