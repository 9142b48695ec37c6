use distributedlog::{Clock, Instant};
use tokio::time;

/// Tokio's monotonic clock, in microseconds since the clock was made.
///
/// Clones count from the same moment. It follows `tokio::time::pause` and `advance`, so that tests
/// control the time. Tokio's timers have a resolution of one millisecond and round up: a sleep
/// never ends early and may end up to a millisecond late.
#[derive(Clone, Copy, Debug)]
pub struct TokioClock {
    start: time::Instant,
}

impl TokioClock {
    /// A clock that starts counting now.
    #[must_use]
    pub fn new() -> Self {
        Self {
            start: time::Instant::now(),
        }
    }

    /// Returns the same moment on tokio's clock, or `None` if the platform cannot express it.
    #[must_use]
    pub fn to_tokio(&self, at: Instant) -> Option<time::Instant> {
        self.start.checked_add(at.since(Instant::ZERO))
    }
}

impl Default for TokioClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for TokioClock {
    type Sleep = time::Sleep;

    fn now(&self) -> Instant {
        Instant::ZERO + self.start.elapsed()
    }

    /// # Panics
    ///
    /// When called outside a tokio runtime with its time driver enabled.
    fn sleep_until(&self, at: Instant) -> Self::Sleep {
        match self.to_tokio(at) {
            Some(at) => time::sleep_until(at),
            None => time::sleep(core::time::Duration::MAX),
        }
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn time_is_counted_in_microseconds_from_the_clocks_making() {
        let clock = TokioClock::new();
        assert_eq!(clock.now(), Instant::ZERO);
        time::advance(Duration::from_micros(1_500)).await;
        assert_eq!(clock.now(), Instant::from_micros(1_500));
    }

    #[tokio::test(start_paused = true)]
    async fn a_sleep_never_ends_early() {
        let clock = TokioClock::new();
        let at = Instant::from_micros(2_500);
        clock.sleep_until(at).await;
        assert!(clock.now() >= at);
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_of_time_can_be_slept_for() {
        let clock = TokioClock::new();
        let sleep = clock.sleep_until(Instant::MAX);
        assert!(
            time::timeout(Duration::from_secs(3_600), sleep)
                .await
                .is_err()
        );
    }
}
