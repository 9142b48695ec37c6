//! Wakers that are called together: a batch of the journal answers many callers of one connection,
//! and each waker that a thread calls while it answers the others costs that connection a turn of
//! its task and, if its thread sleeps, a system call. What is answered together is answered at one
//! time, so that the clock is read once for it.

use core::cell::RefCell;
use core::task::Waker;

use tokio::time::Instant;

std::thread_local! {
    /// This thread's innermost [`together`]; `None` outside of one.
    static COLLECTED: RefCell<Option<Collected>> = const { RefCell::new(None) };
}

#[derive(Default)]
struct Collected {
    wakers: Vec<Waker>,
    /// Time of the work, once it was asked for.
    now: Option<Instant>,
}

/// Does `work`; wakers that it passes to [`wake`] are called behind it, also if it panics.
pub fn together<R>(work: impl FnOnce() -> R) -> R {
    let _scope = Scope {
        outer: COLLECTED.replace(Some(Collected::default())),
    };
    work()
}

/// Returns the time: in the work of [`together`] the same each time, which is that of the first
/// call.
#[must_use]
pub fn now() -> Instant {
    COLLECTED.with_borrow_mut(|collected| match collected {
        Some(collected) => *collected.now.get_or_insert_with(Instant::now),
        None => Instant::now(),
    })
}

/// Calls a waker, now or behind the work of [`together`].
pub fn wake(waker: Waker) {
    let now = COLLECTED.with_borrow_mut(|collected| match collected {
        Some(collected) => {
            collected.wakers.push(waker);
            None
        }
        None => Some(waker),
    });
    if let Some(waker) = now {
        waker.wake();
    }
}

struct Scope {
    outer: Option<Collected>,
}

impl Drop for Scope {
    fn drop(&mut self) {
        let collected = COLLECTED.replace(self.outer.take());
        for waker in collected.into_iter().flat_map(|it| it.wakers) {
            waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use core::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::Arc;
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    impl Count {
        fn seen(&self) -> usize {
            self.0.load(Ordering::Relaxed)
        }
    }

    #[test]
    fn a_waker_is_called_behind_the_work_or_at_once_outside_of_it() {
        let count = Arc::new(Count::default());
        together(|| {
            wake(count.clone().into());
            together(|| wake(count.clone().into()));
            assert_eq!(count.seen(), 1, "that of the inner work");
        });
        assert_eq!(count.seen(), 2);
        wake(count.clone().into());
        assert_eq!(count.seen(), 3);
    }

    #[test]
    fn time_stands_still_in_the_work_and_goes_on_outside_of_it() {
        let first = together(|| {
            let first = now();
            while Instant::now() == first {}
            assert_eq!(now(), first);
            first
        });
        assert!(now() > first);
    }

    #[test]
    fn a_panic_loses_no_waker() {
        let count = Arc::new(Count::default());
        let panicked = std::panic::catch_unwind(|| {
            together(|| {
                wake(count.clone().into());
                panic!("in the middle of the work");
            })
        });
        assert!(panicked.is_err());
        assert_eq!(count.seen(), 1);
        wake(count.clone().into());
        assert_eq!(count.seen(), 2);
    }
}
