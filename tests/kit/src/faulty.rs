use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard};

use distributedlog::{
    Attempt, AttemptId, Cause, Clock, Failure, FailureDomain, Instant, Outcome, StartRefused,
    StreamIndex, Transport,
};

use crate::Random;

/// Faults of one stream. Default: none.
#[derive(Clone, Copy, Debug)]
pub struct Faults {
    /// The stream accepts attempts, does nothing with them, and never answers.
    pub stall: bool,
    /// Probability that an attempt fails before it reaches the stream.
    pub fail: f64,
    /// Failure of such an attempt.
    pub failure: Failure,
    /// Probability that the transport has no room for an attempt.
    pub refuse: f64,
    /// Probability that the stream does its work and its answer is lost with the connection.
    pub lose_answer: f64,
    /// Probability that the stream does its work and no answer ever arrives.
    pub swallow_answer: f64,
    /// Minimum and maximum delay before an attempt reaches the stream. Different delays reorder
    /// attempts.
    pub delay: (Duration, Duration),
    /// Minimum and maximum delay of an answer.
    pub answer_delay: (Duration, Duration),
}

impl Faults {
    /// No faults.
    pub const NONE: Self = Self {
        stall: false,
        fail: 0.0,
        failure: Failure::not_sent(Cause::Unreachable),
        refuse: 0.0,
        lose_answer: 0.0,
        swallow_answer: 0.0,
        delay: (Duration::ZERO, Duration::ZERO),
        answer_delay: (Duration::ZERO, Duration::ZERO),
    };

    /// Returns faults of a stream that never answers.
    #[must_use]
    pub const fn stalled() -> Self {
        Self {
            stall: true,
            ..Self::NONE
        }
    }

    /// Returns faults by which every attempt fails at once with `failure`.
    #[must_use]
    pub const fn failing(failure: Failure) -> Self {
        Self {
            fail: 1.0,
            failure,
            ..Self::NONE
        }
    }
}

impl Default for Faults {
    fn default() -> Self {
        Self::NONE
    }
}

/// Changes the faults of a [`Faulty`] transport while it runs.
#[derive(Clone, Debug)]
pub struct FaultControl(Arc<Mutex<Vec<Faults>>>);

impl FaultControl {
    /// Sets the faults of a stream from now on. Attempts that are already stalled stay so.
    pub fn set(&self, stream: StreamIndex, faults: Faults) {
        self.faults()[usize::from(stream.0)] = faults;
    }

    fn of(&self, stream: StreamIndex) -> Faults {
        self.faults()[usize::from(stream.0)]
    }

    fn faults(&self) -> MutexGuard<'_, Vec<Faults>> {
        self.0
            .lock()
            .expect("no thread panics while it holds the lock")
    }
}

/// Adds faults to any transport. The same seed and the same calls give the same faults.
#[derive(Debug)]
pub struct Faulty<T, C: Clock> {
    inner: T,
    clock: C,
    control: FaultControl,
    random: Random,
    /// Attempts that are delayed before they reach the inner transport.
    delayed: Vec<Delayed>,
    /// Outcomes that are delayed on their way back.
    outcomes: Vec<(Instant, AttemptId, Outcome)>,
    /// Attempts that the inner transport has, with their streams.
    inside: HashMap<AttemptId, StreamIndex>,
    stalled: HashSet<AttemptId>,
    sleep: Option<Pin<Box<C::Sleep>>>,
}

#[derive(Debug)]
struct Delayed {
    due: Instant,
    id: AttemptId,
    stream: StreamIndex,
    record_set: Vec<u8>,
    record_count: u32,
    earlier_attempts: u32,
    others_outstanding: u32,
    deadline: Instant,
}

impl<T: Transport, C: Clock> Faulty<T, C> {
    /// Wraps a transport to `streams` streams. There are no faults until the control sets them.
    pub fn new(inner: T, clock: C, streams: usize, seed: u64) -> (Self, FaultControl) {
        let control = FaultControl(Arc::new(Mutex::new(vec![Faults::NONE; streams])));
        let faulty = Self {
            inner,
            clock,
            control: control.clone(),
            random: Random::new(seed),
            delayed: Vec::new(),
            outcomes: Vec::new(),
            inside: HashMap::new(),
            stalled: HashSet::new(),
            sleep: None,
        };
        (faulty, control)
    }

    /// Returns the inner transport.
    pub const fn inner(&self) -> &T {
        &self.inner
    }

    fn forward(&mut self, now: Instant, attempt: Attempt<'_>) -> Result<(), StartRefused> {
        self.inner.start(now, attempt)?;
        self.inside.insert(attempt.id, attempt.stream);
        Ok(())
    }

    fn forward_due(&mut self, now: Instant) {
        // In the order of their due times, so that a short delay overtakes a long one.
        self.delayed.sort_by_key(|delayed| delayed.due);
        while self
            .delayed
            .first()
            .is_some_and(|delayed| delayed.due <= now)
        {
            let delayed = self.delayed.remove(0);
            let attempt = Attempt {
                id: delayed.id,
                stream: delayed.stream,
                record_set: &delayed.record_set,
                record_count: delayed.record_count,
                earlier_attempts: delayed.earlier_attempts,
                others_outstanding: delayed.others_outstanding,
                deadline: delayed.deadline,
            };
            if self.forward(now, attempt).is_err() {
                self.outcomes.push((
                    now,
                    delayed.id,
                    Err(Failure::not_sent(Cause::TransportFull)),
                ));
            }
        }
    }

    /// Applies the faults to an answer of the inner transport.
    fn on_answer(&mut self, now: Instant, attempt: AttemptId, outcome: Outcome) {
        let Some(stream) = self.inside.remove(&attempt) else {
            return;
        };
        let faults = self.control.of(stream);
        if self.random.chance(faults.swallow_answer) {
            self.stalled.insert(attempt);
            return;
        }
        let lost = self.random.chance(faults.lose_answer);
        let outcome = if lost {
            Err(Failure::unanswered(Cause::ConnectionLost))
        } else {
            outcome
        };
        let delay = self
            .random
            .between(faults.answer_delay.0, faults.answer_delay.1);
        self.outcomes.push((now + delay, attempt, outcome));
    }

    fn due_outcome(&mut self, now: Instant) -> Option<(AttemptId, Outcome)> {
        let due = self.outcomes.iter().position(|(at, ..)| *at <= now)?;
        let (_, attempt, outcome) = self.outcomes.remove(due);
        Some((attempt, outcome))
    }

    fn next_due(&self) -> Option<Instant> {
        let delayed = self.delayed.iter().map(|delayed| delayed.due);
        delayed
            .chain(self.outcomes.iter().map(|(at, ..)| *at))
            .min()
    }
}

impl<T: Transport, C: Clock> Transport for Faulty<T, C> {
    fn start(&mut self, now: Instant, attempt: Attempt<'_>) -> Result<(), StartRefused> {
        let faults = self.control.of(attempt.stream);
        if self.random.chance(faults.refuse) {
            return Err(StartRefused);
        }
        if faults.stall {
            self.stalled.insert(attempt.id);
            return Ok(());
        }
        let delay = self.random.between(faults.delay.0, faults.delay.1);
        if self.random.chance(faults.fail) {
            self.outcomes
                .push((now + delay, attempt.id, Err(faults.failure)));
            return Ok(());
        }
        if delay.is_zero() {
            return self.forward(now, attempt);
        }
        self.delayed.push(Delayed {
            due: now + delay,
            id: attempt.id,
            stream: attempt.stream,
            record_set: attempt.record_set.to_vec(),
            record_count: attempt.record_count,
            earlier_attempts: attempt.earlier_attempts,
            others_outstanding: attempt.others_outstanding,
            deadline: attempt.deadline,
        });
        Ok(())
    }

    fn cancel(&mut self, now: Instant, attempt: AttemptId) {
        self.stalled.remove(&attempt);
        self.delayed.retain(|delayed| delayed.id != attempt);
        if self.inside.remove(&attempt).is_some() {
            self.inner.cancel(now, attempt);
        }
    }

    fn poll_finished(&mut self, cx: &mut Context<'_>) -> Poll<(AttemptId, Outcome)> {
        loop {
            let now = self.clock.now();
            self.forward_due(now);
            while let Poll::Ready((attempt, outcome)) = self.inner.poll_finished(cx) {
                self.on_answer(now, attempt, outcome);
            }
            if let Some(finished) = self.due_outcome(now) {
                return Poll::Ready(finished);
            }
            let Some(next) = self.next_due() else {
                self.sleep = None;
                return Poll::Pending;
            };
            let mut sleep = Box::pin(self.clock.sleep_until(next));
            if sleep.as_mut().poll(cx).is_pending() {
                self.sleep = Some(sleep);
                return Poll::Pending;
            }
        }
    }

    fn failure_domain(&mut self, stream: StreamIndex) -> Option<FailureDomain> {
        self.inner.failure_domain(stream)
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.inner.poll_close(cx)
    }
}
