use core::future::{Future, Pending, poll_fn};
use core::pin::{Pin, pin};
use core::task::{Context, Poll};

use super::AsyncWriterState;
use super::futures::on;
use super::sealed::{Inner, Progress};
use super::waiters::{Wakers, wake_all};
use crate::expect::expect_no_fmt;
use crate::{AttemptId, Clock, Instant, Outcome, Shared, Transport};

/// Does the writer's work: starts attempts, hears answers, keeps the timers. The user spawns
/// [`run`](Self::run) on a runtime.
///
/// Dropping it completes every unfinished write with
/// [`Reason::Closed`](crate::writer::Reason::Closed) (R13).
#[derive(Debug)]
pub struct Runner<S: Shared<State: AsyncWriterState>, T: Transport> {
    state: S,
    transport: T,
    finished: heapless::Vec<(AttemptId, Outcome), 32>,
}

/// How many passes a poll makes before it lets others run.
const PASSES: usize = 64;

/// Why the runner stopped sleeping.
enum Rest {
    /// When the timer has fired, or an earlier one is wanted.
    Rearm,
    /// When all is done.
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
    /// Dropping it is as dropping the runner.
    pub async fn run(mut self) {
        let clock = self.state.with(|inner| inner.clock());
        let mut wanted = None;
        loop {
            let rest = match wanted {
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
            match rest {
                Rest::Rearm => {}
                Rest::Finished => break,
            }
        }
        poll_fn(|cx| self.transport.poll_close(cx)).await;
    }

    /// Works until there is nothing to do. Ready when the timer must be set anew, to `wanted`.
    fn poll_work<F: Future<Output = ()>>(
        &mut self,
        cx: &mut Context<'_>,
        mut sleep: Option<Pin<&mut F>>,
        sleeps_until: Instant,
        wanted: &mut Option<Instant>,
    ) -> Poll<Rest> {
        for _ in 0..PASSES {
            // The transport works without the state being borrowed: who writes meanwhile does not
            // wait for its I/O.
            while !self.finished.is_full() {
                let Poll::Ready(finished) = self.transport.poll_finished(cx) else {
                    break;
                };
                expect_no_fmt(self.finished.push(finished), "it is not full");
            }
            let mut wakers = Wakers::new();
            let (finished, transport) = (&mut self.finished, &mut self.transport);
            let pass = self.state.with(|inner| {
                inner.pass(finished, transport, sleeps_until, cx.waker(), &mut wakers)
            });
            wake_all(&mut wakers);
            match pass {
                Progress::Busy => {}
                Progress::Finished => return Poll::Ready(Rest::Finished),
                Progress::Idle(timeout) => {
                    let slept = sleep
                        .as_mut()
                        .is_some_and(|sleep| sleep.as_mut().poll(cx).is_ready());
                    let earlier = timeout.is_some_and(|at| at < sleeps_until);
                    if slept || earlier {
                        *wanted = timeout;
                        return Poll::Ready(Rest::Rearm);
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
        // Bounded: each pass wakes some of those who wait.
        while !on(&self.state, |inner, wake| inner.end(wake)) {}
    }
}
