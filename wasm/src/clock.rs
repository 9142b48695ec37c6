//! Clock and timers of JavaScript.

use core::cell::RefCell;
use core::future::Future;
use core::pin::Pin;
use core::sync::atomic::{AtomicU64, Ordering};
use core::task::{Context, Poll, Waker};
use std::rc::Rc;

use distributedlog::{Clock, Instant};
use wasm_bindgen::prelude::*;

use crate::host::{clear_timeout, performance_now, set_timeout};

/// Longest delay of `setTimeout`, 2^31 - 1 ms: a longer one fires at once.
const MAX_TIMEOUT_MS: f64 = 2_147_483_647.0;

/// Resolution of `setTimeout` in microseconds. Node, Deno and Bun count from the start of the
/// current millisecond, so that their timers fire up to this much early.
const TICK_US: u64 = 1_000;

/// Latest deadline of a timer that fired less than one tick early, in microseconds.
static EARLY_FIRED_US: AtomicU64 = AtomicU64::new(0);

/// A [`Clock`] over `performance.now`, in microseconds, and `setTimeout`.
///
/// A timer that fires less than a millisecond early counts as fired, and [`now`](Clock::now)
/// returns its deadline until `performance.now` has passed it. Arming it again for the rest would
/// take at least a millisecond more, by which each hedge would be late.
///
/// The time is read, never counted from timers: timers of a page in the background fire seconds or
/// a minute late, and timers of a suspended process fire when it resumes. All that is due then is
/// handled once, by the clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct PerformanceClock;

impl Clock for PerformanceClock {
    type Sleep = Sleep;

    fn now(&self) -> Instant {
        // Positive, and exact as a double for 285 years: 2^53 us.
        Instant::from_micros(
            ((performance_now() * 1_000.0) as u64).max(EARLY_FIRED_US.load(Ordering::Relaxed)),
        )
    }

    fn sleep_until(&self, at: Instant) -> Sleep {
        Sleep { at, timer: None }
    }
}

/// A future that completes at its deadline.
///
/// The timer is armed by the first poll and cleared on drop, so that an unused one keeps no process
/// alive.
#[derive(Debug)]
pub struct Sleep {
    at: Instant,
    timer: Option<Timer>,
}

#[derive(Debug)]
struct Timer {
    handle: JsValue,
    waker: Rc<RefCell<Option<Waker>>>,
    /// Callback of the timer, called at most once. Held here because JavaScript does not own it.
    _then: Closure<dyn FnMut()>,
}

impl Sleep {
    fn arm(&mut self, now: Instant, waker: &Waker) {
        // Rounded to the nearest millisecond, because `setTimeout` truncates: at most half a tick
        // late, and at most half a tick early, which `poll` accepts.
        let milliseconds = (self.at.since(now).as_micros() as f64 / 1_000.0)
            .round_ties_even()
            .min(MAX_TIMEOUT_MS);
        let shared = Rc::new(RefCell::new(Some(waker.clone())));
        let fired = Rc::clone(&shared);
        let then = Closure::<dyn FnMut()>::new(move || {
            if let Some(waker) = fired.take() {
                waker.wake();
            }
        });
        let handle = set_timeout(&then, milliseconds);
        self.timer = Some(Timer {
            handle,
            waker: shared,
            _then: then,
        });
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let now = PerformanceClock.now();
        if now >= self.at {
            self.timer = None;
            return Poll::Ready(());
        }
        match &self.timer {
            Some(timer) if timer.waker.borrow().is_some() => {
                *timer.waker.borrow_mut() = Some(cx.waker().clone())
            }
            Some(_) if now.as_micros() + TICK_US > self.at.as_micros() => {
                EARLY_FIRED_US.fetch_max(self.at.as_micros(), Ordering::Relaxed);
                self.timer = None;
                return Poll::Ready(());
            }
            // Not armed yet, or fired a tick or more early because its delay was above
            // MAX_TIMEOUT_MS.
            Some(_) | None => self.arm(now, cx.waker()),
        }
        Poll::Pending
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        clear_timeout(&self.handle);
    }
}
