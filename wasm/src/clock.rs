use core::cell::RefCell;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use std::rc::Rc;

use distributedlog::{Clock, Instant};
use wasm_bindgen::prelude::*;

use crate::host::{clear_timeout, performance_now, set_timeout};

/// The longest that `setTimeout` waits; beyond it fires at once.
const LONGEST_MS: f64 = 2_147_483_647.0;

/// `performance.now` in microseconds, and timers of `setTimeout`.
///
/// The time is asked for, never counted from timers: those of a page in the background fire seconds or a minute late, and those of a
/// suspended process when it goes on. What is due then is done once, by the clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct PerformanceClock;

impl Clock for PerformanceClock {
    type Sleep = Sleep;

    fn now(&self) -> Instant {
        // Positive, and below 2^53 for 285 years.
        Instant::from_micros((performance_now() * 1_000.0) as u64)
    }

    fn sleep_until(&self, at: Instant) -> Sleep {
        Sleep { at, timer: None }
    }
}

/// A timer that is armed when it is first polled, and disarmed when it is dropped: one that is not needed keeps no process alive.
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
        // Up to the next millisecond: a timer that fires early would have to be armed again.
        let milliseconds = (self.at.since(now).as_micros() as f64 / 1_000.0).ceil().min(LONGEST_MS);
        let shared = Rc::new(RefCell::new(Some(waker.clone())));
        let fired = Rc::clone(&shared);
        let then = Closure::<dyn FnMut()>::new(move || {
            if let Some(waker) = fired.take() {
                waker.wake();
            }
        });
        let handle = set_timeout(&then, milliseconds);
        self.timer = Some(Timer { handle, waker: shared, _then: then });
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
            Some(timer) if timer.waker.borrow().is_some() => *timer.waker.borrow_mut() = Some(cx.waker().clone()),
            // Not armed yet, or fired early: a timer's resolution, or one that was cut at the longest there is.
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
