use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use distributedlog::{Clock, Instant};

/// A clock that moves only by [`advance`](Self::advance). Clones show the same time.
#[derive(Clone, Debug, Default)]
pub struct VirtualClock(Arc<Mutex<Time>>);

#[derive(Debug, Default)]
struct Time {
    now: Instant,
    /// Wakers by the time at which they are due. The number distinguishes sleepers of the same
    /// instant, which wake in the order in which they were polled first.
    sleepers: BTreeMap<(Instant, u64), Waker>,
    next: u64,
}

impl VirtualClock {
    /// Creates a clock that shows zero.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Advances the clock to `to`, unless that is in the past, and wakes the tasks whose timers are
    /// due.
    pub fn advance(&self, to: Instant) {
        let due = {
            let mut time = self.time();
            time.now = time.now.max(to);
            let after = Instant::from_micros(time.now.as_micros().saturating_add(1));
            let later = time.sleepers.split_off(&(after, 0));
            core::mem::replace(&mut time.sleepers, later)
        };
        due.into_values().for_each(Waker::wake);
    }

    /// Returns the earliest instant for which a timer is set, or `None` if there is no timer.
    #[must_use]
    pub fn next_timer(&self) -> Option<Instant> {
        self.time()
            .sleepers
            .first_key_value()
            .map(|((at, _), _)| *at)
    }

    fn time(&self) -> MutexGuard<'_, Time> {
        self.0
            .lock()
            .expect("no thread panics while it holds the lock")
    }
}

impl Clock for VirtualClock {
    type Sleep = VirtualSleep;

    fn now(&self) -> Instant {
        self.time().now
    }

    fn sleep_until(&self, at: Instant) -> VirtualSleep {
        VirtualSleep {
            clock: self.clone(),
            at,
            key: None,
        }
    }
}

/// Timer of a [`VirtualClock`].
#[derive(Debug)]
pub struct VirtualSleep {
    clock: VirtualClock,
    at: Instant,
    key: Option<u64>,
}

impl Future for VirtualSleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let mut time = this.clock.time();
        if this.at <= time.now {
            return Poll::Ready(());
        }
        let key = *this.key.get_or_insert_with(|| {
            time.next += 1;
            time.next
        });
        time.sleepers.insert((this.at, key), cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for VirtualSleep {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.clock.time().sleepers.remove(&(self.at, key));
        }
    }
}
