use core::future::{Future, Pending, poll_fn};
use core::pin::{Pin, pin};
use core::task::{Context, Poll};

use super::AsyncWriterState;
use super::sealed::{Inner, with_wakers};
use super::state::Progress;
use super::waiters::{Wakers, wake_all};
use crate::expect::expect_no_fmt;
use crate::{AttemptId, Clock, Instant, Outcome, Shared, Transport};

/// Does the writer's work: starts attempts, handles their outcomes, and waits for the timers. The
/// user spawns [`run`](Self::run) on a runtime.
///
/// Dropping the runner completes every unfinished write with
/// [`Reason::Closed`](crate::writer::Reason::Closed) (R13).
#[derive(Debug)]
pub struct Runner<S: Shared<State: AsyncWriterState>, T: Transport> {
    state: S,
    transport: T,
    finished: heapless::Vec<(AttemptId, Outcome), 32>,
}

/// Steps of the machine in one poll. Bounded, so that a busy writer leaves time to other tasks of
/// the executor.
const ADVANCES_PER_POLL: usize = 64;

/// Reason for which [`Runner::poll_work`] is ready.
enum Stop {
    /// The timer has fired, or an earlier one is needed.
    Rearm,
    /// The writer is closed and all its records are completed.
    Finished,
}

impl<S: Shared<State: AsyncWriterState>, T: Transport> Runner<S, T> {
    pub(super) const fn new(state: S, transport: T) -> Self {
        Self {
            state,
            transport,
            finished: heapless::Vec::new(),
        }
    }

    /// Runs until the writer is closed and all its records are completed, or until its last handle
    /// is dropped.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the runner.
    pub async fn run(mut self) {
        let clock = self.state.with(|inner| inner.state().clock());
        let mut wanted = None;
        loop {
            let stop = match wanted {
                None => {
                    poll_fn(|cx| {
                        self.poll_work(cx, None::<Pin<&mut Pending<()>>>, Instant::MAX, &mut wanted)
                    })
                    .await
                }
                Some(at) => {
                    let mut sleep = pin!(clock.sleep_until(at));
                    poll_fn(|cx| self.poll_work(cx, Some(sleep.as_mut()), at, &mut wanted)).await
                }
            };
            match stop {
                Stop::Rearm => {}
                Stop::Finished => break,
            }
        }
        poll_fn(|cx| self.transport.poll_close(cx)).await;
    }

    /// Works until there is nothing to do. Ready with [`Stop::Rearm`] when the timer is to be set
    /// again, to `wanted`.
    fn poll_work<F: Future<Output = ()>>(
        &mut self,
        cx: &mut Context<'_>,
        mut sleep: Option<Pin<&mut F>>,
        sleeps_until: Instant,
        wanted: &mut Option<Instant>,
    ) -> Poll<Stop> {
        for _ in 0..ADVANCES_PER_POLL {
            // The state is not borrowed while the transport does its I/O, so that tasks which
            // write at the same time do not wait for it.
            while !self.finished.is_full() {
                let Poll::Ready(finished) = self.transport.poll_finished(cx) else {
                    break;
                };
                expect_no_fmt(self.finished.push(finished), "it is not full");
            }
            let mut wakers = Wakers::new();
            let (finished, transport) = (&mut self.finished, &mut self.transport);
            let progress = self.state.with(|inner| {
                let state = inner.state();
                state.advance(finished, transport, sleeps_until, cx.waker(), &mut wakers)
            });
            wake_all(&mut wakers);
            match progress {
                Progress::Busy => {}
                Progress::Finished => return Poll::Ready(Stop::Finished),
                Progress::Idle(timeout) => {
                    let slept = sleep
                        .as_mut()
                        .is_some_and(|sleep| sleep.as_mut().poll(cx).is_ready());
                    let earlier = timeout.is_some_and(|at| at < sleeps_until);
                    if slept || earlier {
                        *wanted = timeout;
                        return Poll::Ready(Stop::Rearm);
                    }
                    return Poll::Pending;
                }
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<S: Shared<State: AsyncWriterState>, T: Transport> Drop for Runner<S, T> {
    fn drop(&mut self) {
        // Bounded: each round wakes at least one of the waiting tasks.
        while !with_wakers(&self.state, |inner, wakers| inner.end(wakers)) {}
    }
}
