use core::future::Future;
use core::pin::Pin;
use core::task::Context;

use distributedlog::{Clock, Instant};
use tokio::time::Sleep;

use crate::TokioClock;

/// Wakes the driver for the earliest of its deadlines.
///
/// Deadlines move later with nearly every reply, and resetting tokio's timer costs a lock. So the
/// timer is moved to a later time only after it has fired, and fires in vain about once per
/// timeout.
pub(super) struct Timer {
    clock: TokioClock,
    sleep: Pin<Box<Sleep>>,
    armed: Option<Instant>,
}

impl Timer {
    pub(super) fn new(clock: TokioClock) -> Self {
        Self {
            clock,
            sleep: Box::pin(clock.sleep_until(Instant::ZERO)),
            armed: None,
        }
    }

    /// Sees to it that the task is woken at `next`, or earlier.
    pub(super) fn arm(&mut self, cx: &mut Context<'_>, next: Option<Instant>) {
        let Some(next) = next else { return };
        // Twice at most: a timer that has fired for an earlier deadline is set anew once.
        loop {
            if self.armed.is_none_or(|armed| next < armed) {
                self.armed = Some(next);
                match self.clock.to_tokio(next) {
                    Some(at) => self.sleep.as_mut().reset(at),
                    None => self.sleep = Box::pin(self.clock.sleep_until(next)),
                }
            }
            if self.sleep.as_mut().poll(cx).is_pending() {
                return;
            }
            self.armed = None;
            if self.clock.now() >= next {
                cx.waker().wake_by_ref();
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use core::future::poll_fn;
    use core::task::Poll;
    use core::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_task_is_woken_at_the_deadline_though_it_moved_both_ways() {
        let clock = TokioClock::new();
        let mut timer = Timer::new(clock);
        let target = Instant::from_millis(50);
        let mut wakes = 0;
        poll_fn(|cx| {
            wakes += 1;
            if wakes == 1 {
                timer.arm(cx, Some(Instant::from_millis(90)));
                timer.arm(cx, Some(Instant::from_millis(20)));
            }
            timer.arm(cx, Some(target));
            if clock.now() >= target {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
        assert_eq!(clock.now(), target);
        assert!(wakes <= 3, "woken {wakes} times");
        assert!(
            tokio::time::timeout(
                Duration::from_secs(9),
                poll_fn(|cx| {
                    timer.arm(cx, None);
                    Poll::<()>::Pending
                })
            )
            .await
            .is_err()
        );
    }
}
