//! The way of a writer's attempts back from the task of the client that it shares: a queue of
//! outcomes for each writer.

use core::task::{Context, Waker};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use distributedlog::client::routing::Success;
use distributedlog::{AttemptId, Cause, Failure};

use super::outcome::error_of;
use super::room::InFlightPermit;
use crate::driver::{Driver, FinishedRequest};
use crate::error::RequestError;

/// End of a writer's attempt.
#[derive(Debug)]
pub(crate) struct FinishedAttempt {
    pub(crate) attempt: AttemptId,
    /// Its result. A failure is described, with the proxy and its message.
    pub(crate) result: Result<Success, Box<RequestError>>,
}

impl FinishedAttempt {
    /// The end of the attempt that this request carried.
    pub(crate) fn of(attempt: AttemptId, finished: FinishedRequest, driver: &Driver) -> Self {
        let result = finished.result.map_err(|failure| {
            let host = finished.host.and_then(|host| driver.address(host));
            Box::new(error_of(finished, failure, host))
        });
        Self { attempt, result }
    }
}

/// Outcomes of one writer's attempts, between the client's task and the writer's. Bounded: at most
/// one for each attempt of the writer, which its settings bound.
#[derive(Clone, Debug, Default)]
pub(super) struct OutcomeQueue(Arc<Mutex<Outcomes>>);

#[derive(Debug, Default)]
struct Outcomes {
    arrived: VecDeque<FinishedAttempt>,
    /// The writer's task, while it waits for an outcome.
    waker: Option<Waker>,
}

impl OutcomeQueue {
    /// Adds an outcome. Returns `true` if it is the only one: [`wake`](Self::wake) must follow, and
    /// may do so for several at once.
    fn push(&self, finished: FinishedAttempt) -> bool {
        let mut outcomes = self.lock();
        outcomes.arrived.push_back(finished);
        outcomes.arrived.len() == 1
    }

    /// Wakes the writer's task, if it waits.
    pub(super) fn wake(&self) {
        let waker = self.lock().waker.take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Exchanges all outcomes that have arrived for `taken`, which is empty: both keep their
    /// memory. Returns `false` if there are none, and wakes the task when there are.
    pub(super) fn take(&self, taken: &mut VecDeque<FinishedAttempt>, cx: &Context<'_>) -> bool {
        debug_assert!(taken.is_empty(), "outcomes are handed out once");
        let mut outcomes = self.lock();
        if outcomes.arrived.is_empty() {
            match &mut outcomes.waker {
                Some(own) => own.clone_from(cx.waker()),
                none => *none = Some(cx.waker().clone()),
            }
            return false;
        }
        core::mem::swap(&mut outcomes.arrived, taken);
        true
    }

    fn lock(&self) -> MutexGuard<'_, Outcomes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where the outcome of an attempt goes, and its room in the client. An attempt without an outcome,
/// because the client's task has ended, ends with [`Cause::Closed`] when this is dropped.
#[derive(Debug)]
pub(crate) struct ReplyTo {
    queue: OutcomeQueue,
    attempt: AttemptId,
    /// The attempt was started, so that its request may have been sent.
    started: bool,
    /// The writer still waits for the outcome.
    owed: bool,
    _room: InFlightPermit,
}

impl ReplyTo {
    pub(super) const fn new(queue: OutcomeQueue, attempt: AttemptId, room: InFlightPermit) -> Self {
        Self {
            queue,
            attempt,
            started: false,
            owed: true,
            _room: room,
        }
    }

    pub(super) const fn attempt(&self) -> AttemptId {
        self.attempt
    }

    /// Records that the attempt was started.
    pub(super) const fn started(mut self) -> Self {
        self.started = true;
        self
    }

    /// Hands the outcome over. The queue that is returned must be woken.
    pub(super) fn finish(
        mut self,
        result: Result<Success, Box<RequestError>>,
    ) -> Option<OutcomeQueue> {
        self.owed = false;
        let attempt = self.attempt;
        let first = self.queue.push(FinishedAttempt { attempt, result });
        first.then(|| self.queue.clone())
    }

    /// Forgets an attempt that the writer has cancelled.
    pub(super) fn forget(mut self) {
        self.owed = false;
    }
}

impl Drop for ReplyTo {
    fn drop(&mut self) {
        if !self.owed {
            return;
        }
        let failure = if self.started {
            Failure::unanswered(Cause::Closed)
        } else {
            Failure::not_sent(Cause::Closed)
        };
        let finished = FinishedAttempt {
            attempt: self.attempt,
            result: Err(Box::new(RequestError::client_closed(failure))),
        };
        if self.queue.push(finished) {
            self.queue.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use core::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use distributedlog::Dlsn;

    use super::*;
    use crate::client::room::Room;

    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A queue, whose writer waits, and attempts of it that were started.
    fn attempts(count: u64, wakes: &Arc<Wakes>) -> (OutcomeQueue, Vec<ReplyTo>) {
        let (queue, room) = (OutcomeQueue::default(), Room::new(8, 8 * 1024));
        let waker = Waker::from(Arc::clone(wakes));
        assert!(!queue.take(&mut VecDeque::new(), &Context::from_waker(&waker)));
        let reply_to = |id| {
            let permit = room.try_acquire(1).unwrap();
            ReplyTo::new(queue.clone(), AttemptId(id), permit).started()
        };
        let attempts = (0..count).map(reply_to).collect();
        (queue, attempts)
    }

    fn taken(queue: &OutcomeQueue) -> Vec<FinishedAttempt> {
        let mut taken = VecDeque::new();
        queue.take(&mut taken, &Context::from_waker(Waker::noop()));
        taken.into()
    }

    #[test]
    fn a_writer_is_woken_once_for_all_outcomes_of_a_turn() {
        let wakes = Arc::new(Wakes::default());
        let (queue, attempts) = attempts(5, &wakes);
        let written = Success::Written(Dlsn::new(1, 2, 0));
        let unwoken: Vec<OutcomeQueue> = attempts
            .into_iter()
            .filter_map(|attempt| attempt.finish(Ok(written)))
            .collect();
        assert_eq!((unwoken.len(), wakes.0.load(Ordering::Relaxed)), (1, 0));
        unwoken[0].wake();
        assert_eq!(wakes.0.load(Ordering::Relaxed), 1);
        assert_eq!(taken(&queue).len(), 5);
    }

    #[test]
    fn an_attempt_without_an_outcome_ends_as_closed_and_a_cancelled_one_not_at_all() {
        let wakes = Arc::new(Wakes::default());
        let (queue, mut attempts) = attempts(2, &wakes);
        attempts.pop().unwrap().forget();
        drop(attempts);
        assert_eq!(wakes.0.load(Ordering::Relaxed), 1);
        let [FinishedAttempt { attempt, result }] = &taken(&queue)[..] else {
            panic!("there is one outcome");
        };
        let failure = result.as_ref().unwrap_err().failure;
        assert_eq!(
            (*attempt, failure),
            (AttemptId(0), Failure::unanswered(Cause::Closed))
        );
    }
}
