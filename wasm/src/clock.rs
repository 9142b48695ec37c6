use core::cell::RefCell;
use core::future::Future;
use core::pin::Pin;
use core::sync::atomic::{AtomicU64, Ordering};
use core::task::{Context, Poll, Waker};
use std::rc::Rc;

use distributedlog::{Clock, Instant};
use wasm_bindgen::prelude::*;

use crate::host::{clear_timeout, performance_now, set_timeout};

/// The longest that `setTimeout` waits; beyond it fires at once.
const LONGEST_MS: f64 = 2_147_483_647.0;

/// `setTimeout` counts in milliseconds: Node, Deno and Bun begin with the one that has begun
/// already, so that their timers fire up to so many microseconds early.
const TICK: u64 = 1_000;

/// The latest time that a timer which fired within its tick was armed for.
static TICKED: AtomicU64 = AtomicU64::new(0);

/// `performance.now` in microseconds, and timers of `setTimeout`.
///
/// A timer that fires less than a millisecond early has fired: what it was armed for is the time
/// from then on, until `performance.now` has come there too. To arm it anew for what is left would
/// take a millisecond at least, and each hedge would be late by as much.
///
/// The time is asked for, never counted from timers: those of a page in the background fire seconds
/// or a minute late, and those of a suspended process when it goes on. What is due then is done
/// once, by the clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct PerformanceClock;

impl Clock for PerformanceClock {
    type Sleep = Sleep;

    fn now(&self) -> Instant {
        // Positive, and below 2^53 for 285 years.
        Instant::from_micros(
            ((performance_now() * 1_000.0) as u64).max(TICKED.load(Ordering::Relaxed)),
        )
    }

    fn sleep_until(&self, at: Instant) -> Sleep {
        Sleep { at, timer: None }
    }
}

/// A timer that is armed when it is first polled, and disarmed when it is dropped: one that is not
/// needed keeps no process alive.
#[derive(Debug)]
pub struct Sleep {
    at: Instant,
    timer: Option<Timer>,
}

#[derive(Debug)]
struct Timer {
    handle: JsValue,
    waker: Rc<RefCell<Option<Waker>>>,
    /// Called at most once; must live until then.
    _then: Closure<dyn FnMut()>,
}

impl Sleep {
    fn arm(&mut self, now: Instant, waker: &Waker) {
        // To the nearest millisecond: within a tick on either side.
        let milliseconds = (self.at.since(now).as_micros() as f64 / 1_000.0)
            .round_ties_even()
            .min(LONGEST_MS);
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
            Some(_) if now.as_micros() + TICK > self.at.as_micros() => {
                TICKED.fetch_max(self.at.as_micros(), Ordering::Relaxed);
                self.timer = None;
                return Poll::Ready(());
            }
            // Not armed yet, or fired far too early: one that was cut at the longest there is.
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
